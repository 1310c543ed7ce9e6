"""Kraken Futures: order books (feed ``book``), every level of them.

Updates of a product count by one from its snapshot: a missing one makes that product's book invalid, which is
unsubscribed and subscribed again.

Source: Kraken documentation, Futures WebSocket, book.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hftcore.enums import Channel
from hftcore.symbols import CurrencyPair
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.kraken_future_market import KrakenFutureMarketProtocol


class KrakenFutureBookProtocol(BookProtocol, KrakenFutureMarketProtocol):
    """Whole books; there is no `depth` to choose."""

    depths = (0,)

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.feed_name = "book"

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        request = {"feed": self.feed_name, "product_ids": [self.native_of[pair]], **self.args}
        return [msgspec.json.encode({"event": kind, **request}).decode() for kind in ("unsubscribe", "subscribe")]
