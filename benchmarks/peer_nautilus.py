"""nautilus_trader as a peer: its message bus (T16), and its Binance data client without a network (T6).

Written against nautilus_trader 1.221. Everything runs synchronously, as in its backtest: its live node puts a queue
and a task between the client and the engine, which costs it more than is counted here.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nautilus_trader.adapters.binance.config import BinanceDataClientConfig
from nautilus_trader.adapters.binance.futures.data import BinanceFuturesDataClient
from nautilus_trader.adapters.binance.futures.providers import BinanceFuturesInstrumentProvider
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.adapters.binance.spot.data import BinanceSpotDataClient
from nautilus_trader.adapters.binance.spot.providers import BinanceSpotInstrumentProvider
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.data.engine import DataEngine
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.model.objects import Price, Quantity


def message_bus() -> MessageBus:
    """A bus of its own: `subscribe(topic, handler)`, `publish(topic, message)`."""
    return MessageBus(trader_id=TraderId("BENCH-001"), clock=LiveClock())


def quote_tick() -> QuoteTick:
    """A quote as the bus carries it."""
    return QuoteTick(
        InstrumentId.from_str("BTCUSDT.BINANCE"), Price.from_str("50000.00"), Price.from_str("50000.10"),
        Quantity.from_str("1.00000"), Quantity.from_str("2.00000"), 0, 0,
    )  # fmt: skip


class BinanceFeed:
    """Raw combined-stream frames → ticks or book deltas → data engine (with its cache) → bus → `on_event`.

    Parameters
    ----------
    symbols
        Venue symbols, such as BNBUSDT, whose quotes, trades and book deltas are delivered.
    on_event
        Called with each QuoteTick, TradeTick and OrderBookDeltas. Deltas are not applied to a book.
    future
        USD-M futures, not spot.
    """

    def __init__(self, symbols: list[str], on_event: Callable[[Any], None], *, future: bool = False) -> None:
        self.loop = asyncio.new_event_loop()
        clock = LiveClock()
        cache = Cache(database=None)
        bus = MessageBus(trader_id=TraderId("BENCH-001"), clock=clock)
        self.engine = DataEngine(msgbus=bus, cache=cache, clock=clock)
        http = BinanceHttpClient(clock, "key", "secret", "http://127.0.0.1:9")
        make = BinanceFuturesDataClient if future else BinanceSpotDataClient
        provide = BinanceFuturesInstrumentProvider if future else BinanceSpotInstrumentProvider
        self.client = make(
            loop=self.loop,
            client=http,
            msgbus=bus,
            cache=cache,
            clock=clock,
            instrument_provider=provide(client=http, clock=clock),
            base_url_ws="ws://127.0.0.1:9",
            config=BinanceDataClientConfig(use_agg_trade_ticks=True),
        )
        self.engine.register_client(self.client)
        self.engine.start()
        for symbol in symbols:
            for kind in ("quotes", "trades", "book.deltas"):
                bus.subscribe(f"data.{kind}.BINANCE.{symbol}{'-PERP' if future else ''}", on_event)

    def feed(self, frames: list[bytes]) -> None:
        """Hand the frames to the client's own raw handler, which its WebSocket client calls."""
        handle = self.client._handle_ws_message
        for frame in frames:
            handle(frame)

    def close(self) -> None:
        """Stop the engine and close the loop."""
        self.engine.stop()
        self.loop.close()
