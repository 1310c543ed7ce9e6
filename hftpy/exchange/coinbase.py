"""Coinbase: the Advanced Trade feed, best bid and ask (``ticker``), trades (``market_trades``), books (``level2``),
klines (``candles``).

Source: Coinbase Developer Documentation, Advanced Trade WebSocket: overview, channels, rate limits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.common.log import LimitedLog
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.market import FeedRules, MarketProtocol
from hftpy.exchange.periodic import PeriodicProtocol
from hftpy.exchange.product_requests import LEFT_OUT, ProductRequests
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import NativeStream

URL = "wss://advanced-trade-ws.coinbase.com"
PRODUCTS_PER_MESSAGE = 100

_log = LimitedLog(logger, 60.0)


class CoinbaseMarketProtocol(MarketProtocol):
    """One connection of ``ticker``, ``ticker_batch`` or ``market_trades``, and of ``heartbeats``.

    The venue numbers all frames of a connection: a missing one is told as a Gap of all symbols. It names the maker's
    side, and lists the newest trade of a frame first; the parser and the feed turn both round.

    A pair in USDC is mostly another name of the one in USD, whose name the answers bear.
    """

    exchange = Exchange.COINBASE
    url = URL
    rules = FeedRules(trades="by_one", newest_first=True)
    heartbeat_timeout_s = 10.0  # the venue sends one each second
    send_interval_s = 0.15  # the venue takes 8 messages a second

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        batch = bool(self.args.pop("batch", False))
        self.channel_name = "market_trades" if channel is Channel.TRADE else "ticker_batch" if batch else "ticker"
        self._requests = ProductRequests(self, self._subscribe, PRODUCTS_PER_MESSAGE)

    def spellings(self) -> Mapping[str, CurrencyPair]:
        aliases = {
            native.removesuffix("C"): pair
            for native, pair in self.natives.items()
            if native.endswith("-USDC") and native.removesuffix("C") not in self.natives
        }
        return {**self.natives, **aliases}

    def open(self) -> list[str]:
        self.forget()
        # Answers come in the order of the messages: that to the last one ends the first round.
        heartbeats = msgspec.json.encode({"type": "subscribe", "channel": "heartbeats", **self.args}).decode()
        return [*self._requests.begin(), heartbeats]

    def _subscribe(self, natives: Sequence[str]) -> str:
        message = {"type": "subscribe", "product_ids": natives, "channel": self.channel_name, **self.args}
        return msgspec.json.encode(message).decode()

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        if kind is not FrameKind.CONTROL or frame.startswith(b'{"channel":"heartbeats"'):
            return
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
            raise ParseError(f"a frame must be JSON: {failed}") from failed
        if not isinstance(message, dict):
            return
        if message.get("type") == "error":
            self._refused(message)
        elif message.get("channel") == "subscriptions":
            for subscriptions in _subscriptions(message):
                products = subscriptions.get(self.channel_name)
                self._requests.acknowledge(products if isinstance(products, list) else ())
                if "heartbeats" in subscriptions:
                    self._requests.end_first_round()

    def _refused(self, message: Mapping[str, Any]) -> None:
        reason = ": ".join(str(message[key]) for key in ("message", "reason") if message.get(key)) or "no reason given"
        if "authentication" in reason.lower():
            self._requests.refuse_all(reason)
        elif not self._requests.refuse(reason, next((word for word in reason.split() if word in self.natives), "")):
            _log.warning("refused", f"coinbase.{self.channel}: the venue refused a message: {reason}")

    def retryable(self, reason: str) -> bool:
        return reason == LEFT_OUT or any(word in reason.lower() for word in ("rate limit", "too many", "internal"))


class CoinbaseBookProtocol(BookProtocol, CoinbaseMarketProtocol):
    """Order books. The venue numbers all frames of a connection: a missing one makes every book of it invalid."""

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.channel_name = "level2"

    @property
    def kept_depth(self) -> int:
        """All: the venue tells every level, and nothing brings back one that was dropped for its depth."""
        return 0

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        natives = [self.native_of[pair]]
        leave = {"type": "unsubscribe", "product_ids": natives, "channel": self.channel_name, **self.args}
        return [msgspec.json.encode(leave).decode(), self._subscribe(natives)]


class CoinbaseKlineProtocol(PeriodicProtocol, CoinbaseMarketProtocol):
    """Klines of five minutes, the only ones that the venue sends. A hundred of history come first.

    The venue does not say that a kline has closed: the first one of the next interval tells. It leaves out those
    without a trade. The older Exchange feed has no klines.
    """

    intervals: ClassVar[Mapping[str, str]] = {"5m": "5m"}
    default_interval: ClassVar[str] = "5m"

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.channel_name = "candles"


def _subscriptions(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    events = message.get("events")
    for event in events if isinstance(events, list) else ():
        found = event.get("subscriptions") if isinstance(event, dict) else None
        if isinstance(found, dict):
            yield found


class CoinbaseStream(NativeStream):
    """Coinbase Advanced Trade: ticker (``ticker``; ``ticker_batch`` with ``{"batch": True}``), trade, book and kline.

    The last 100 trades of each pair come first, flagged SNAPSHOT; on a new connection those of them that were not
    delivered before. So do the last 100 klines. The frames of the older Exchange feed are read too, where somebody
    brings them to the parser; it has no klines.
    """

    exchange = Exchange.COINBASE
    absent_channels: ClassVar[Mapping[Channel, str]] = {Channel.FUNDING: "spot pairs have no funding"}

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's trade numbers, lost frames by theirs."""
        await self._market(Channel.TRADE)

    async def book_channel(self) -> None:
        """Order books; a missing frame is found by the connection's numbers."""
        await self.run_protocol(CoinbaseBookProtocol(Channel.BOOK, self.currency_pairs, self.args_of(Channel.BOOK)))

    async def kline_channel(self) -> None:
        """Klines of five minutes; lost frames are found by their numbers."""
        await self.run_protocol(CoinbaseKlineProtocol(Channel.KLINE, self.currency_pairs, self.args_of(Channel.KLINE)))

    async def _market(self, channel: Channel) -> None:
        await self.run_protocol(CoinbaseMarketProtocol(channel, self.currency_pairs, self.args_of(channel)))
