"""When books are asked for again, and that a lost connection leaves none that looks whole."""

import asyncio
import json
from itertools import pairwise

from exchange_fakes import FakeKraken, Observer

from hftcore.book import Snapshot
from hftpy.common import CurrencyPair, Exchange, Gap
from hftpy.exchange.book import Resyncs

BTC, ETH = CurrencyPair("btc/usd"), CurrencyPair("eth/usd")


def test_at_once_then_with_growing_patience():
    resyncs = Resyncs(lambda pair: True, answer_s=10.0, initial_s=1.0, longest_s=60.0)
    resyncs.ask(BTC, 100.0)
    assert resyncs.next_deadline() == 100.0
    assert resyncs.due(100.0) == [BTC]
    assert resyncs.due(100.0) == []
    assert resyncs.next_deadline() == 110.0  # no answer by then: again
    asked = [100.0]
    for _ in range(8):
        now = resyncs.next_deadline()
        assert resyncs.due(now) == [BTC]
        asked.append(now)
    assert [b - a for a, b in pairwise(asked)] == [10, 10, 10, 10, 16, 32, 60, 60]


def test_a_book_that_fell_again_waits_and_one_that_held_does_not():
    needed = {BTC}
    resyncs = Resyncs(needed.__contains__, answer_s=10.0, initial_s=1.0, longest_s=60.0)
    resyncs.ask(BTC, 100.0)
    assert resyncs.due(100.0) == [BTC]
    resyncs.ask(BTC, 100.2)  # fell again at once
    assert resyncs.next_deadline() == 101.0
    assert resyncs.due(101.0) == [BTC]
    needed.clear()
    assert resyncs.due(120.0) == []
    assert resyncs.next_deadline() is None
    needed.add(BTC)
    resyncs.ask(BTC, 161.0)  # it held for a minute
    assert resyncs.due(161.0) == [BTC]


def test_symbols_do_not_wait_for_each_other():
    resyncs = Resyncs(lambda pair: True)
    for _ in range(5):
        resyncs.ask(BTC, resyncs.next_deadline() or 0.0)
        resyncs.due(resyncs.next_deadline())
    resyncs.ask(ETH, 50.0)
    assert ETH in resyncs.due(50.0)


def book_frame(price):
    level = {"price": price, "qty": 1.0}
    data = {"symbol": "BTC/USD", "bids": [level], "asks": [level | {"price": price + 1}]}
    return json.dumps({"channel": "book", "type": "snapshot", "data": [data]})


async def test_a_lost_connection_leaves_no_book_that_looks_whole(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(Exchange.KRAKEN, venue, observer, subscribe_channels=["book"])
        answering = asyncio.Event()
        answering.set()

        async def feed(connection, params):
            await answering.wait()
            await connection.send(book_frame(float(len(venue.connections))))

        venue.on_subscribed = feed
        await observer.count(1, Snapshot)
        assert stream.book("btc/usd").state
        answering.clear()
        await venue.connections[0].close()
        await observer.count(1, Gap)
        assert not stream.book("btc/usd").state
        assert stream.book("btc/usd").why == "disconnected"
        answering.set()
        shown = await observer.count(2, Snapshot)
        assert shown[1].bidsPrice[0] == 2.0
        assert stream.book("btc/usd").state
        assert [type(item) for item in observer.log if isinstance(item, Snapshot | Gap)] == [Snapshot, Gap, Snapshot]
