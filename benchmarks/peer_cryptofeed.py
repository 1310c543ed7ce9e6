"""cryptofeed as a peer (T6, T17): its exchanges' own message handlers, fed without a network.

Written against cryptofeed 2.4. A callback must be a coroutine function; cryptofeed runs others in a thread pool, which
costs more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import Any

from cryptofeed.defines import L2_BOOK, PERPETUAL, SPOT, TICKER, TRADES
from cryptofeed.exchanges.binance import Binance
from cryptofeed.exchanges.binance_futures import BinanceFutures
from cryptofeed.exchanges.coinbase import Coinbase
from cryptofeed.exchanges.kraken import Kraken
from cryptofeed.exchanges.kraken_futures import KrakenFutures
from cryptofeed.exchanges.okx import OKX
from cryptofeed.symbols import Symbol, Symbols

# Kraken is WebSocket v1, the only one that cryptofeed speaks; it has no ticker of Coinbase Advanced.
EXCHANGES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "binance": (Binance, SPOT, (TICKER, TRADES)),
    "binance_future": (BinanceFutures, PERPETUAL, (TICKER, TRADES)),
    "coinbase": (Coinbase, SPOT, (TRADES,)),
    "kraken": (Kraken, SPOT, (TICKER, TRADES)),
    "kraken_future": (KrakenFutures, PERPETUAL, (TICKER, TRADES)),
    "okx": (OKX, SPOT, (TICKER, TRADES)),
    "okx_swap": (OKX, PERPETUAL, (TICKER, TRADES)),
}
Natives = Mapping[tuple[str, str], str]
OnEvent = Callable[[Any, float], Awaitable[None]]


def populate(exchange: str, natives: Natives) -> tuple[Any, dict[str, str]]:
    """cryptofeed's class of an exchange, which knows these symbols, and their native names by cryptofeed's."""
    kind, market, _ = EXCHANGES[exchange]
    # Kraken Futures: the REST API's names, which are in small letters.
    spell = str.lower if exchange == "kraken_future" else str
    pairs = {Symbol(*pair, type=market).normalized: spell(native) for pair, native in natives.items()}
    Symbols.set(kind.id, pairs, {"instrument_type": {}})
    return kind, pairs


class CryptofeedFeed:
    """Raw frames → the exchange's `message_handler` → `on_event(event, receipt_time)`.

    Parameters
    ----------
    exchange
        A key of `EXCHANGES`.
    natives
        The venue's name of each pair, by (base, quote).
    on_event
        Coroutine function, called with each Ticker and Trade, or each OrderBook.
    books
        Order books instead.
    """

    def __init__(self, exchange: str, natives: Natives, on_event: OnEvent, *, books: bool = False) -> None:
        kind, pairs = populate(exchange, natives)
        channels = (L2_BOOK,) if books else EXCHANGES[exchange][2]
        more: dict[str, Any] = {"max_depth": 1000} if books else {}
        if books and exchange == "kraken":
            more["checksum_validation"] = True
        self.loop = asyncio.new_event_loop()
        self.exchange = kind(
            symbols=list(pairs), channels=list(channels), callbacks=dict.fromkeys(channels, on_event), **more
        )
        if exchange in ("okx", "okx_swap", "kraken_future"):
            getattr(self.exchange, f"_{kind.__name__}__reset")()  # what its subscribing does

    def feed(self, frames: list[str]) -> None:
        """Hand the frames to the exchange's handler, as its connection handler does."""

        async def run() -> None:
            handle = self.exchange.message_handler
            for frame in frames:
                await handle(frame, None, time())

        self.loop.run_until_complete(run())

    def load(self, native: str, answer: bytes) -> None:
        """Take an answer of Binance's REST API as the snapshot of a symbol's book."""

        async def read(address: str) -> bytes:
            return answer

        self.exchange.http_conn.read = read
        self.loop.run_until_complete(self.exchange._snapshot(native))

    def close(self) -> None:
        """Close the loop."""
        self.loop.close()
