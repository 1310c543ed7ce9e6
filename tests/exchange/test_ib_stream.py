import asyncio

import pytest
from exchange_fakes import Observer
from tws_peer import Listed, TwsPeer

from hftpy.common import Exchange, Gap, Reconnected, Side, Ticker, Trade
from hftpy.exchange import get_exchange_stream

FAST = {"times": -1, "initial": 0.01, "max": 0.05}
AAPL = Listed("AAPL", conId=265598)
MSFT = Listed("MSFT", conId=272093)


@pytest.fixture
async def run_ib():
    before = asyncio.all_tasks()
    started = []

    def start(peer, observer, **settings):
        settings = {
            "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"], "api_host": peer.url,
            "reconnect_times": FAST,
        } | settings  # fmt: skip
        stream = get_exchange_stream(exchange="ib", **settings)
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        started.append((stream, task))
        return stream, task

    yield start
    for stream, task in started:
        async with asyncio.timeout(10):
            await stream.stop()
            await asyncio.gather(task, return_exceptions=True)
    ours = [task.get_name() for task in asyncio.all_tasks() - before if "hftpy" in task.get_name()]
    assert not ours


async def ready(stream, eventually):
    await eventually(lambda: all(stats["connected"] for stats in stream.stats.values()))


async def test_ticker_and_trade(run_ib, eventually):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, subscribe_channels=["ticker", "trade"])
        await ready(stream, eventually)
        peer.quote("AAPL", "150.50", "150.55", (100, "0.5"), second=7)
        peer.trade("AAPL", "150.75", "2.25", second=8)
        (ticker,) = await observer.count(1, Ticker)
        (trade,) = await observer.count(1, Trade)
        assert ticker.exchange is Exchange.IB and ticker.symbol == "aapl/usd"
        assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume) == (150.5, 100.0, 150.55, 0.5)
        assert ticker.exchangeTimeNs == 1790000007 * 10**9 and ticker.localTimeNs and ticker.flags == 0
        assert (trade.price, trade.volume, trade.side, trade.tradeId) == (150.75, 2.25, Side.UNKNOWN, 0)
        assert trade.tradeTimeNs == trade.exchangeTimeNs == 1790000008 * 10**9
        (subscription,) = peer.live("BidAsk", "AAPL")
        assert subscription.contract[0] == "265598"
        assert len({client.client_id for client in peer.clients}) == 2
        assert not observer.of(Gap, Reconnected)
        stats = stream.stats["ticker"]
        assert stats["connected"] and stats["events"] == 1 and stats["parse_errors"] == 0
        assert stats["latency"]["socket_to_parse"]["count"] == 1
