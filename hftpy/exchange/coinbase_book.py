"""Coinbase Advanced Trade: order books (``level2``), every level of them.

The venue numbers all frames of a connection and none of a product: a missing frame makes every book of the connection
invalid, and each is asked for again.

Source: Coinbase Developer Documentation, Advanced Trade WebSocket, level2 channel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hftcore.enums import Channel
from hftcore.symbols import CurrencyPair
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.coinbase_market import CoinbaseMarketProtocol


class CoinbaseBookProtocol(BookProtocol, CoinbaseMarketProtocol):
    """Whole books; there is no `depth` to choose."""

    depths = (0,)

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.channel_name = "level2"

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        request = {"product_ids": [self.native_of[pair]], "channel": self.channel_name, **self.args}
        return [msgspec.json.encode({"type": kind, **request}).decode() for kind in ("unsubscribe", "subscribe")]
