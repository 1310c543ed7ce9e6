"""Coinbase: the Advanced Trade feed, best bid and ask (``ticker``) and trades (``market_trades``).

Source: Coinbase Developer Documentation, Advanced Trade WebSocket: overview, channels, rate limits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair
from hftpy.common.log import LimitedLog
from hftpy.exchange.market import FeedRules, MarketProtocol
from hftpy.exchange.product_requests import LEFT_OUT, ProductRequests
from hftpy.exchange.runner import logger

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


def _subscriptions(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    events = message.get("events")
    for event in events if isinstance(events, list) else ():
        found = event.get("subscriptions") if isinstance(event, dict) else None
        if isinstance(found, dict):
            yield found
