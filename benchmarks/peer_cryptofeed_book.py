"""cryptofeed as a peer of order books (T17): its exchanges' own message handlers, fed without a network.

Written against cryptofeed 2.4.
"""

import asyncio
from time import time
from typing import Any

from cryptofeed.defines import BINANCE, KRAKEN, L2_BOOK
from cryptofeed.exchanges.binance import Binance
from cryptofeed.exchanges.kraken import Kraken
from cryptofeed.symbols import Symbol, Symbols

EXCHANGES = {"binance": (BINANCE, Binance), "kraken": (KRAKEN, Kraken)}
Top = tuple[str, float, float]


class CryptofeedBooks:
    """Raw frames → the exchange's `message_handler` → best bid and ask of the book that it hands over.

    Parameters
    ----------
    exchange
        "binance" (combined streams) or "kraken" (WebSocket v1, with its checksums checked).
    natives
        The venue's name of each pair, by (base, quote).
    snapshots
        The REST answers by the venue's name, for Binance.
    """

    def __init__(self, exchange: str, natives: dict[tuple[str, str], str], snapshots: dict[str, bytes]) -> None:
        name, kind = EXCHANGES[exchange]
        pairs = {Symbol(*pair).normalized: native for pair, native in natives.items()}
        Symbols.set(name, pairs, {"instrument_type": {}})
        self.loop = asyncio.new_event_loop()
        self.tops: list[Top] = []

        async def on_book(book: Any, receipt_time: float) -> None:
            sides = book.book
            if len(sides.bids) and len(sides.asks):
                best = pairs[book.symbol], float(sides.bids.index(0)[0]), float(sides.asks.index(0)[0])
                self.tops.append(best)

        more = {"checksum_validation": True} if exchange == "kraken" else {}
        self.exchange = kind(
            symbols=list(pairs), channels=[L2_BOOK], callbacks={L2_BOOK: on_book}, max_depth=1000, **more
        )

        async def read(address: str) -> bytes:
            return snapshots[address.partition("symbol=")[2].partition("&")[0]]

        self.exchange.http_conn.read = read

    def feed(self, frames: list[str]) -> None:
        """Hand the frames to the exchange's handler, as its connection handler does."""

        async def run() -> None:
            handle = self.exchange.message_handler
            for frame in frames:
                await handle(frame, None, time())

        self.loop.run_until_complete(run())

    def close(self) -> None:
        """Close the loop."""
        self.loop.close()
