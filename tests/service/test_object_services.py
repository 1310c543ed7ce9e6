"""Books, klines and funding through whole services: from a stream or another process to the hook."""

import pytest

from hftcore.enums import Flag
from hftpy.common import Exchange, Funding, Kline
from hftpy.ipc import IPCPublisher
from hftpy.service import ServiceBase
from hftpy.sim import SimVenue, SyntheticMarket


class Keeps(ServiceBase):
    def on_setup(self):
        self.seen = []
        self.gaps = []
        return True

    def take(self, item):
        self.seen.append(item)

    on_book = on_kline = on_funding = take

    def on_gap(self, gap):
        self.gaps.append(gap)


@pytest.mark.parametrize("transport", ["zmq", "shm"])
async def test_books_of_the_publishing_service_are_those_of_the_strategy(world, eventually, transport):
    reading = [{"exchange": "kraken", "channel": "book", "symbols": ["btc/usd"], "transport": transport}]
    strategy = await world.start(Keeps(world.config("strategy", ipc_subscribers=reading)))
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["book"],
        "api_host": world.venue.ws_url("kraken"), "subscribe_args": {"book": {"depth": 10, "levels": 5}},
        "reconnect_times": {"times": -1, "initial": 0.02, "max": 0.1},
    }  # fmt: skip
    publish = {"channels": ["book"], "transport": transport}
    source = await world.start(Keeps(world.config("market", streams=[stream], ipc_publish=publish)))
    await eventually(lambda: len(strategy.seen) > 20)
    world.venue.front("kraken").abort_all()
    await eventually(lambda: any(gap.source == "venue" for gap in strategy.gaps))
    count = len(source.seen)
    await eventually(lambda: len(source.seen) > count + 5)
    await world.stop(source)
    await eventually(lambda: strategy.seen[-1] == source.seen[-1])
    # Those before the strategy had joined are not told to it, but for the last of them.
    assert strategy.seen == source.seen[-len(strategy.seen) :]
    assert all(book.bidPrice < book.askPrice and book.bidCount == 5 for book in strategy.seen)
    assert strategy.counters["books"] == len(strategy.seen)
    await world.stop(strategy)


async def test_klines_and_funding_reach_their_hooks_in_order(world, eventually):
    reading = [{"exchange": "kraken", "channel": channel, "symbols": []} for channel in ("kline", "funding")]
    strategy = await world.start(Keeps(world.config("strategy", ipc_subscribers=reading)))
    publisher = IPCPublisher()
    try:
        for channel in ("kline", "funding"):
            await eventually(lambda name=channel: publisher.subscriber_count("kraken", name) == 1)
        klines = [
            Kline(exchange=Exchange.KRAKEN, symbol="btc/usd", openTimeNs=60 * n, close=n, quoteVolume=1.0, intervalS=60,
                  flags=Flag.CLOSED)
            for n in range(1, 30)
        ]  # fmt: skip
        fundings = [Funding(exchange=Exchange.KRAKEN, symbol="btc/usd", rate=n * 1e-4) for n in range(1, 30)]
        for kline, funding in zip(klines, fundings, strict=True):
            publisher.send(kline)
            publisher.send(funding)
        await eventually(lambda: len(strategy.seen) == 58)
        assert [item for item in strategy.seen if isinstance(item, Kline)] == klines
        assert [item for item in strategy.seen if isinstance(item, Funding)] == fundings
        assert (strategy.counters["klines"], strategy.counters["fundings"]) == (29, 29)
        assert strategy.status()["queues"]["funding"]["popped"] == 29
    finally:
        publisher.close()
    await world.stop(strategy)


@pytest.mark.parametrize(
    ("exchange", "channels"),
    [("kraken", ["kline"]), ("coinbase", ["kline"]), ("kraken_future", ["funding"]),
     ("binance_future", ["kline", "funding"]), ("okx_swap", ["kline", "funding"])],
)  # fmt: skip
async def test_a_strategy_of_klines_and_funding_runs_on_synthetic_data(world, eventually, exchange, channels):
    """From the simulated venue through one service, by ZeroMQ, into the hooks of another."""
    reading = [{"exchange": exchange, "channel": channel, "symbols": []} for channel in channels]
    strategy = await world.start(Keeps(world.config("strategy", ipc_subscribers=reading)))
    async with SimVenue(SyntheticMarket(["btc/usdt"], rate=100), (exchange,)) as venue:
        stream = {
            "exchange": exchange, "currency_pairs": ["btc/usdt"], "subscribe_channels": channels,
            "api_host": venue.ws_url(exchange),
        }  # fmt: skip
        source = await world.start(
            Keeps(world.config("market", streams=[stream], ipc_publish={"channels": channels}))
        )
        await eventually(lambda: sum(isinstance(item, Kline) for item in strategy.seen) >= 2 * ("kline" in channels))
        if "funding" in channels:
            await eventually(lambda: any(getattr(item, "mark_price", None) for item in strategy.seen))
            rates = [item for item in strategy.seen if isinstance(item, Funding) and item.rate is not None]
            assert rates and all(item.next_funding_time > item.timestamp for item in rates)
        await world.stop(source)
        assert source.gaps == []
        for kind in (Kline, Funding):
            sent = [item for item in source.seen if isinstance(item, kind)]
            await eventually(lambda k=kind, s=sent: [i for i in strategy.seen if isinstance(i, k)][-1:] == s[-1:])
            # Those before the strategy had joined are not told to it, but for the last of them.
            seen = [item for item in strategy.seen if isinstance(item, kind)]
            assert seen == sent[len(sent) - len(seen) :]
    await world.stop(strategy)
