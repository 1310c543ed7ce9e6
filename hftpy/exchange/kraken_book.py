"""Kraken spot: order books of the WebSocket API v2.

Frames are not counted; the checksum over the ten best levels is the only proof. A book that fails it is unsubscribed
and subscribed again, at the same depth.

Source: https://docs.kraken.com/api/docs/websocket-v2 (book), "Spot WebSocket book checksum".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hftcore.enums import Channel
from hftcore.symbols import CurrencyPair
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.kraken_market import KrakenMarketProtocol


class KrakenBookProtocol(BookProtocol, KrakenMarketProtocol):
    """Books of the v2 API; `depth` 10, 25, 100, 500 or 1000."""

    default_depth = 100
    depths = (10, 25, 100, 500, 1000)

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.args |= {"depth": self.depth, "snapshot": True}
        self.args.pop("event_trigger", None)

    def unreadable(self, frame: bytes) -> None:
        # The checksum would show it only within the ten best levels.
        if b'"book' in frame and self.feed is not None:
            named = [pair for native, pair in self.spellings().items() if f'"{native}"'.encode() in frame]
            self.feed.unreadable(named or self.pairs)

    def ask_again(self, pair: CurrencyPair) -> list[str]:
        params = {"channel": "book", "symbol": [self.native_of[pair]], "depth": self.depth}
        self._number += 1
        leave = msgspec.json.encode({"method": "unsubscribe", "params": params, "req_id": self._number}).decode()
        return [leave, self.request({**params, "snapshot": True}, [pair])]
