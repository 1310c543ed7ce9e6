"""cryptofeed as a peer (T6): its exchanges' own message handlers, fed without a network.

Written against cryptofeed 2.4. A callback must be a coroutine function; cryptofeed runs others in a thread pool, which
costs more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import time
from typing import Any

from cryptofeed.defines import BINANCE, KRAKEN, TICKER, TRADES
from cryptofeed.exchanges.binance import Binance
from cryptofeed.exchanges.kraken import Kraken
from cryptofeed.symbols import Symbol, Symbols

EXCHANGES = {"binance": (BINANCE, Binance), "kraken": (KRAKEN, Kraken)}


class CryptofeedFeed:
    """Raw frames → the exchange's `message_handler` → `on_event(event, receipt_time)`.

    Parameters
    ----------
    exchange
        "binance" (combined streams) or "kraken" (WebSocket v1, the only one that cryptofeed speaks).
    natives
        The venue's name of each pair, by (base, quote).
    on_event
        Coroutine function, called with each Ticker and Trade.
    """

    def __init__(
        self,
        exchange: str,
        natives: dict[tuple[str, str], str],
        on_event: Callable[[Any, float], Awaitable[None]],
    ) -> None:
        name, kind = EXCHANGES[exchange]
        pairs = {Symbol(*pair).normalized: native for pair, native in natives.items()}
        Symbols.set(name, pairs, {"instrument_type": {}})
        self.loop = asyncio.new_event_loop()
        self.exchange = kind(
            symbols=list(pairs), channels=[TICKER, TRADES], callbacks={TICKER: on_event, TRADES: on_event}
        )

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
