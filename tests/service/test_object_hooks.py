"""`on_book`: books and gaps in their order, losses told, and a config that subscribes the channel."""

import asyncio
import json

import pytest

from hftcore.book import OrderBook
from hftpy.common import Channel, Exchange, Gap, Snapshot
from hftpy.service.object_inbox import ObjectInbox


def book_at(price, symbol="btc/usd"):
    book = OrderBook("kraken", symbol)
    book.apply_snapshot([(str(price), "1")], [(str(price + 1), "1")], seq=price)
    return book.snapshot(1)


def gap():
    return Gap(
        exchange=Exchange.KRAKEN, channel=Channel.BOOK, symbol=None, reason="test", lost=None, source="venue",
        timestamp=1,
    )  # fmt: skip


class Told:
    def __init__(self):
        self.log = []
        self.counters = {}
        self.failures = 0
        self.halted = []

    def take(self, item):
        self.log.append(item)

    async def event(self, event):
        self.log.append(event)

    def failed(self):
        self.failures += 1

    def inbox(self, capacity=16, overflow="drop_oldest", hook=None):
        return ObjectInbox(
            Channel.BOOK, capacity, overflow, hook or self.take, self.event, counters=self.counters, failed=self.failed,
            on_halt=self.halted.append,
        )  # fmt: skip

    async def run(self, inbox, until):
        task = asyncio.create_task(inbox.run())
        try:
            async with asyncio.timeout(10):
                while not until():
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def shown(self):
        return [item.seq if isinstance(item, Snapshot) else item.source for item in self.log]


async def test_a_gap_stands_between_what_came_before_and_after():
    told = Told()
    inbox = told.inbox()
    inbox.ring.put_nowait(book_at(1))
    inbox.put_event(gap())
    inbox.ring.put_nowait(book_at(2))
    inbox.put_event(gap())
    await told.run(inbox, lambda: len(told.log) == 4)
    assert told.shown() == [1, "venue", 2, "venue"]
    assert told.counters == {"books": 2}


async def test_what_the_hook_is_too_slow_for_is_told_first():
    told = Told()
    inbox = told.inbox(capacity=4)
    for number in range(1, 8):
        inbox.ring.put_nowait(book_at(number))
    await told.run(inbox, lambda: len(told.log) == 5)
    assert told.shown() == ["ring", 4, 5, 6, 7]
    assert told.log[0].lost == 3


async def test_conflation_keeps_the_newest_of_each_symbol():
    told = Told()
    inbox = told.inbox(overflow="conflate")
    for number in range(1, 6):
        inbox.ring.put_nowait(book_at(number))
        inbox.ring.put_nowait(book_at(number + 10, "eth/usd"))
    await told.run(inbox, lambda: len(told.log) == 2)
    assert sorted(told.shown()) == [5, 15]


async def test_a_hook_that_raises_loses_its_own_book_alone():
    told = Told()

    def hook(item):
        if item.seq == 1:
            raise ValueError("one")
        told.take(item)

    inbox = told.inbox(hook=hook)
    for number in (1, 2, 3):
        inbox.ring.put_nowait(book_at(number))
    await told.run(inbox, lambda: len(told.log) == 2)
    assert (told.shown(), told.failures) == ([2, 3], 1)


@pytest.mark.parametrize("overflow", ["drop_oldest", "conflate", "drop_newest", "halt"])
def test_every_policy_of_the_config_is_one(overflow):
    assert json.dumps(Told().inbox(overflow=overflow).ring.stats)
