"""nautilus_trader as a peer: its message bus (T16), and its Binance data client without a network (T6).

Written against nautilus_trader 1.221. Everything runs synchronously, as in its backtest: its live node puts a queue
and a task between the client and the engine, which costs it more than is counted here.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from nautilus_trader.adapters.binance.config import BinanceDataClientConfig
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
    """Raw combined-stream frames → QuoteTick or TradeTick → data engine (with its cache) → bus → `on_tick`.

    Parameters
    ----------
    symbols
        Venue symbols, such as BNBUSDT, whose quotes and trades are delivered.
    on_tick
        Called with each QuoteTick and TradeTick.
    """

    def __init__(self, symbols: list[str], on_tick: Callable[[Any], None]) -> None:
        self.loop = asyncio.new_event_loop()
        clock = LiveClock()
        cache = Cache(database=None)
        bus = MessageBus(trader_id=TraderId("BENCH-001"), clock=clock)
        self.engine = DataEngine(msgbus=bus, cache=cache, clock=clock)
        http = BinanceHttpClient(clock, "key", "secret", "http://127.0.0.1:9")
        self.client = BinanceSpotDataClient(
            loop=self.loop,
            client=http,
            msgbus=bus,
            cache=cache,
            clock=clock,
            instrument_provider=BinanceSpotInstrumentProvider(client=http, clock=clock),
            base_url_ws="ws://127.0.0.1:9",
            config=BinanceDataClientConfig(use_agg_trade_ticks=True),
        )
        self.engine.register_client(self.client)
        self.engine.start()
        for symbol in symbols:
            bus.subscribe(f"data.quotes.BINANCE.{symbol}", on_tick)
            bus.subscribe(f"data.trades.BINANCE.{symbol}", on_tick)

    def feed(self, frames: list[bytes]) -> None:
        """Hand the frames to the client's own raw handler, which its WebSocket client calls."""
        handle = self.client._handle_ws_message
        for frame in frames:
            handle(frame)

    def close(self) -> None:
        """Stop the engine and close the loop."""
        self.engine.stop()
        self.loop.close()
