"""Kraken Futures: best bid and ask and funding (feed ``ticker``), trades (feed ``trade``), order books (feed ``book``).

Source: Kraken documentation, Futures WebSocket: subscriptions, ticker, ticker lite, trade, heartbeat, sessions.
"""

import re
from collections.abc import Mapping, Sequence
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
from hftpy.exchange.product_requests import ProductRequests
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import NativeStream

URL = "wss://futures.kraken.com/ws/v1"
PRODUCTS_PER_MESSAGE = 100
ALREADY_SUBSCRIBED = "Already subscribed"

_log = LimitedLog(logger, 60.0)
_product = re.compile(r"\b[A-Za-z]{2}_[^\s`'\",]+")


class KrakenFutureMarketProtocol(MarketProtocol):
    """One connection of ``ticker``, ``ticker_lite`` or ``trade``, and of ``heartbeat``.

    Trades are known by `seq`, which counts by one per product (their ids are UUIDs); the last hundred of a product
    come first, the newest of them first, which the feed turns round.
    """

    exchange = Exchange.KRAKEN_FUTURE
    url = URL
    rules = FeedRules(trades="by_one", number="seq", newest_first=True)
    heartbeat_timeout_s = 40.0  # the venue sends one about every 10 seconds
    send_interval_s = 0.02  # the venue takes 100 messages a second

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        lite = bool(self.args.pop("lite", False))
        self.feed_name = "trade" if channel is Channel.TRADE else "ticker_lite" if lite else "ticker"
        self._requests = ProductRequests(self, self._subscribe, PRODUCTS_PER_MESSAGE)

    def open(self) -> list[str]:
        self.forget()
        return [*self._requests.begin(), '{"event":"subscribe","feed":"heartbeat"}']

    def _subscribe(self, natives: Sequence[str]) -> str:
        message = {"event": "subscribe", "feed": self.feed_name, "product_ids": natives, **self.args}
        return msgspec.json.encode(message).decode()

    def control_frame(self, frame: bytes, kind: FrameKind) -> None:
        if kind is not FrameKind.CONTROL:
            return
        try:
            message = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as failed:
            raise ParseError(f"a frame must be JSON: {failed}") from failed
        if not isinstance(message, dict):
            return
        event = message.get("event")
        if event == "subscribed" and message.get("feed") == self.feed_name:
            products = message.get("product_ids")
            listed = products if isinstance(products, list) else ()
            self._requests.acknowledge(product.upper() for product in listed if isinstance(product, str))
        elif event in ("error", "alert"):
            self._refused(str(message.get("message") or "no reason given"))

    def _refused(self, reason: str) -> None:
        named = _product.search(reason)
        if reason.startswith(ALREADY_SUBSCRIBED) or not self._requests.refuse(
            reason, named[0].upper() if named else ""
        ):
            _log.warning("refused", f"kraken_future.{self.channel}: the venue says: {reason}")


class KrakenFutureBookProtocol(BookProtocol, KrakenFutureMarketProtocol):
    """Order books: the whole one, then one frame for each level; `seq` counts by one per product."""

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.feed_name = "book"

    @property
    def kept_depth(self) -> int:
        """All: the venue tells every level, and nothing brings back one that was dropped for its depth."""
        return 0

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        natives = [self.native_of[pair]]
        leave = {"event": "unsubscribe", "feed": self.feed_name, "product_ids": natives, **self.args}
        return [msgspec.json.encode(leave).decode(), self._subscribe(natives)]


class KrakenFutureFundingProtocol(PeriodicProtocol, KrakenFutureMarketProtocol):
    """Funding with mark and index prices, from the feed ``ticker``, about once a second and product.

    Rates are the venue's relative ones: fractions of the position's value, per hour. Dated futures have none.
    """

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.feed_name = "ticker"


class KrakenFutureStream(NativeStream):
    """Kraken Futures: ticker (feed ``ticker``; ``ticker_lite``, without sizes, with ``{"lite": True}``), trade, book,
    funding. It has no klines: the venue's WebSocket has no feed of candles.

    ``btc/usd:usd`` is the linear perpetual PF_XBTUSD, and so is ``btc/usd``; ``btc/usd:btc`` the inverse PI_XBTUSD;
    ``btc/usd:btc-210625`` a dated future. Events carry the pair as it was subscribed. The last 100 trades of each
    product come first, flagged SNAPSHOT; on a new connection those of them that were not delivered before.
    """

    exchange = Exchange.KRAKEN_FUTURE
    absent_channels: ClassVar[Mapping[Channel, str]] = {
        Channel.KLINE: "the venue has no feed of candles over WebSocket, only charts by REST; build them from trades"
    }

    async def ticker_channel(self) -> None:
        """Best bid and ask."""
        await self._market(Channel.TICKER)

    async def trade_channel(self) -> None:
        """Trades; lost ones are found by the venue's numbers."""
        await self._market(Channel.TRADE)

    async def book_channel(self) -> None:
        """Order books; a missing update is found by the venue's numbers."""
        args = self.args_of(Channel.BOOK)
        await self.run_protocol(KrakenFutureBookProtocol(Channel.BOOK, self.currency_pairs, args))

    async def funding_channel(self) -> None:
        """Funding rates, mark and index prices."""
        args = self.args_of(Channel.FUNDING)
        await self.run_protocol(KrakenFutureFundingProtocol(Channel.FUNDING, self.currency_pairs, args))

    async def _market(self, channel: Channel) -> None:
        await self.run_protocol(KrakenFutureMarketProtocol(channel, self.currency_pairs, self.args_of(channel)))
