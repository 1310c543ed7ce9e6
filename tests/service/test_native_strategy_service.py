"""A service whose tickers and trades go to a native strategy, in place of its hooks."""

import asyncio
import json

from hftcore.strategy import NativeStrategy
from hftpy.common import Channel, Exchange, Gap, Ticker, Trade
from hftpy.service import ServiceBase


class Native(ServiceBase):
    def on_setup(self):
        self.native_strategy = NativeStrategy()
        self.seen = []

    def on_ticker(self, ticker):
        self.seen.append(ticker)

    def on_trade(self, trade):
        self.seen.append(trade)

    def on_gap(self, gap):
        self.seen.append((gap.lost, self.native_strategy and self.native_strategy.tickers))


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usd", seq=seq, localTimeNs=1)


async def test_market_data_goes_to_the_strategy_and_events_keep_their_place(world, eventually, root):
    service = await world.start(Native(world.config("n")))
    strategy = service.native_strategy
    for seq in range(10):
        service.ticker_queue.put_nowait(ticker(seq))
        if seq == 6:
            service.event_queue.put_nowait(
                Gap(
                    exchange=Exchange.KRAKEN, channel=Channel.TICKER, symbol=None, reason="test", lost=3,
                    source="venue", timestamp=0,
                )
            )  # fmt: skip
        service.trade_queue.put_nowait(Trade(exchange="kraken", symbol="btc/usd", price=1, volume=1))
    await eventually(lambda: (strategy.tickers, strategy.trades) == (10, 10))
    assert service.seen == [(3, 7)]
    assert (service.counters["tickers"], service.counters["trades"]) == (10, 10)
    # From here on, and back again.
    service.native_strategy = None
    service.ticker_queue.put_nowait(ticker(77))
    await eventually(lambda: len(service.seen) == 2)
    assert service.seen[1].seq == 77 and strategy.tickers == 10 and service.counters["tickers"] == 11


async def test_what_a_full_ring_drops_is_told(world, eventually):
    service = await world.start(Native(world.config("n", queues={"ticker": {"capacity": 8}})))
    for seq in range(20):
        service.ticker_queue.put_nowait(ticker(seq))
    await eventually(lambda: service.native_strategy.tickers == 8)
    assert service.seen == [(12, 0)] and service.counters["lost"] == 12


async def test_from_a_venue_with_latencies(world, eventually):
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"), "reconnect_times": {"times": -1, "initial": 0.02, "max": 0.1},
    }  # fmt: skip
    service = await world.start(Native(world.config("n", streams=[stream])))
    await eventually(lambda: service.native_strategy.tickers > 3)
    assert service.seen == []
    assert service.latency["receipt_to_callback"].count > 0
    json.dumps(service.status())


async def test_a_signal_that_fails_costs_nothing_else(world, eventually, caplog):
    class Signals(NativeStrategy):
        def __init__(self):
            self.calls = 0

        def take_signal(self):
            return True

        async def on_signal(self):
            await asyncio.sleep(0)
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("no")

    service = await world.start(Native(world.config("n")))
    service.native_strategy = strategy = Signals()
    for calls in (1, 2):
        service.ticker_queue.put_nowait(ticker(calls))
        await eventually(lambda calls=calls: strategy.calls == calls)
    assert strategy.tickers == 2 and service.counters["errors"] == 1
    assert "on_ticker failed" in caplog.text
