"""One observer's queue that is full: counted, logged, and told to nobody else."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from hftcore.enums import Channel, Exchange
from hftcore.types import Ticker
from hftpy.exchange.stream import Sink, StreamBase

TICKER = Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=1.0, askPrice=2.0)


class Deaf(StreamBase):
    exchange = Exchange.KRAKEN

    def ticker_channel(self) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)


class Observer:
    def __init__(self, queue: Any) -> None:
        self.ticker_queue = queue


class DropOldest(asyncio.Queue):
    """Knows itself what to do when it is full."""

    def put_nowait(self, item: Any) -> None:
        if self.full():
            self.get_nowait()
        super().put_nowait(item)


def test_full_asyncio_queue_is_counted_exactly_and_keeps_what_it_has(caplog):
    small, large = asyncio.Queue(2), asyncio.Queue()
    stream = Deaf(subscribe_channels=["ticker"])
    for queue in (small, large):
        stream.bind_observer(Observer(queue))
    with caplog.at_level(logging.WARNING, "hftpy.exchange"):
        for number in range(100):
            stream.deliver(Channel.TICKER, number)
    assert stream.stats["ticker"]["dropped"] == [98, 0]
    assert (small.get_nowait(), small.get_nowait(), small.empty()) == (0, 1, True)
    assert [large.get_nowait() for _ in range(100)] == list(range(100))
    assert "Observer.ticker_queue is full; 1 items dropped so far" in caplog.text
    stream.deliver(Channel.TICKER, 100)
    assert small.get_nowait() == 100


def test_priority_queue_is_asked_too():
    queue = asyncio.PriorityQueue(1)
    sink = Sink("x", queue)
    for number in (5, 3):
        sink.put(number)
    assert (sink.dropped, queue.get_nowait()) == (1, 5)
    assert sink.target is sink


def test_queue_with_a_policy_of_its_own_is_not_asked():
    queue = DropOldest(2)
    sink = Sink("x", queue)
    for number in range(5):
        sink.put(number)
    assert sink.dropped == 0 and sink.target is queue
    assert [queue.get_nowait(), queue.get_nowait()] == [3, 4]


def test_queue_without_a_limit_takes_everything():
    queue = asyncio.Queue()
    sink = Sink("x", queue)
    for _ in range(1000):
        sink.put(TICKER)
    assert (queue.qsize(), sink.dropped) == (1000, 0)
