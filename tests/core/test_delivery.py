"""Delivery: what each observer's queue gets, and what is said of a queue that does not take it."""

import asyncio
import math

import pytest

from hftcore.delivery import Delivery
from hftcore.ring import Ring
from hftcore.types import Ticker, Trade


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=seq + 0.5, seq=seq)


def trade(seq: int) -> Trade:
    return Trade(exchange="kraken", symbol="btc/usdt", price=seq + 0.5, seq=seq)


class Taking:
    """A queue that keeps what it gets, and answers as it is told."""

    def __init__(self, answer=None):
        self.items = []
        self.answer = answer

    def put_nowait(self, item):
        if isinstance(self.answer, BaseException):
            raise self.answer
        self.items.append(item)
        return self.answer

    @property
    def seqs(self):
        return [item.seq for item in self.items]


@pytest.fixture
def failed():
    """The observers whose queue failed."""
    return []


def seqs_of(ring):
    return [item.seq for item in ring.get_batch()]


@pytest.mark.parametrize(("kind", "make"), [(Ticker, ticker), (Trade, trade)])
def test_rings_and_queues_get_every_item_in_order(failed, kind, make):
    delivery = Delivery(kind, failed.append)
    ring, other, plain = Ring(kind, 8), Ring(kind, 8, "halt"), Taking()
    delivery.bind([("a", ring), ("b", plain), ("c", other)])
    items = [make(seq) for seq in range(5)]
    assert [delivery.put(item) for item in items] == [None] * 5
    assert list(ring.get_batch()) == list(other.get_batch()) == plain.items == items
    assert plain.items[0] is items[0]  # an object is handed on as it is
    assert (delivery.given, delivery.take_refused(), failed, delivery.kind) == (5, [], [], kind)


def test_without_a_kind_anything_goes_and_a_ring_is_a_queue_like_any_other(failed):
    delivery = Delivery(None, failed.append)
    ring, plain = Ring(Ticker, 4), Taking()
    delivery.bind([("a", ring), ("b", plain)])
    delivery.put(ticker(1))
    delivery.put("text")  # which a ring of tickers does not take
    assert plain.items == [ticker(1), "text"] and seqs_of(ring) == [1]
    assert failed == ["a"] and delivery.take_refused() == [] and delivery.kind is None


@pytest.mark.parametrize("kind", [int, "Ticker", Ring, 0])
def test_another_kind_is_refused(kind):
    with pytest.raises(TypeError, match=r"kind must be Ticker, Trade or None, was "):
        Delivery(kind, print)


def test_a_value_of_another_kind_is_refused_and_nobody_gets_it(failed):
    delivery = Delivery(Ticker, failed.append)
    ring, plain = Ring(Ticker, 4), Taking()
    delivery.bind([("a", ring), ("b", plain)])
    for value in (trade(1), None, 5):
        with pytest.raises(TypeError, match="value must be a Ticker, was"):
            delivery.put(value)
    assert plain.items == [] and ring.empty() and delivery.given == 0
    delivery.put(ticker(2))
    assert plain.seqs == seqs_of(ring) == [2] and delivery.given == 1


@pytest.mark.parametrize(
    ("overflow", "left", "refused"),
    [("drop_newest", [0, 1], 5), ("drop_oldest", [5, 6], 0), ("halt", [0, 1], 5), ("conflate", [6], 0)],
)
@pytest.mark.parametrize(("kind", "make"), [(Ticker, ticker), (Trade, trade)])
def test_a_full_ring_of_each_policy_costs_the_others_nothing(failed, kind, make, overflow, left, refused):
    if kind is Trade and overflow == "conflate":
        pytest.skip("trades are not conflated")
    delivery = Delivery(kind, failed.append, tell_every=1000)
    full, ring, plain = Ring(kind, 2, overflow), Ring(kind, 64), Taking()
    delivery.bind([("full", full), ("ring", ring), ("plain", plain)])
    told = [delivery.put(make(seq)) for seq in range(7)]
    assert plain.seqs == seqs_of(ring) == list(range(7))
    assert seqs_of(full) == left
    # The first is told at once, the rest when it is asked for.
    assert told == [None] * 2 + ([[("full", 1)]] + [None] * 4 if refused else [None] * 5)
    assert delivery.take_refused() == ([("full", refused - 1)] if refused else [])
    assert delivery.take_refused() == [] and failed == []
    stats = full.stats
    assert stats["dropped"] == (0 if overflow == "conflate" else 5)
    assert stats["pushed"] == (2 if refused else 7) and full.stats["conflated"] == (6 if overflow == "conflate" else 0)


async def test_a_ring_that_blocks_is_asked_and_never_waited_for(failed):
    delivery = Delivery(Ticker, failed.append)
    blocking, plain = Ring(Ticker, 2, "block", block_timeout=3600), Taking()
    delivery.bind([("blocking", blocking), ("plain", plain)])
    told = [delivery.put(ticker(seq)) for seq in range(4)]
    assert told == [None, None, [("blocking", 1)], [("blocking", 1)]]
    assert plain.seqs == [0, 1, 2, 3] and seqs_of(blocking) == [0, 1] and failed == []


async def test_a_plain_queue_that_is_full_is_counted_by_each_of_its_ways_to_say_so(failed):
    delivery = Delivery(Ticker, failed.append, tell_every=1000)

    class Own(asyncio.Queue):
        """Whose put_nowait is its own: it is not asked whether it is full."""

        def put_nowait(self, item):
            super().put_nowait(item)

        def full(self):
            raise AssertionError("asked")

        def _full(self):
            return super().qsize() >= 1

    class Raising:
        def put_nowait(self, item):
            raise asyncio.QueueFull

    plain, raising, refusing, zero = asyncio.Queue(1), Raising(), Taking(False), Taking(0)
    plenty = Taking()
    delivery.bind([("plain", plain), ("raising", raising), ("refusing", refusing), ("zero", zero), ("plenty", plenty)])
    first = delivery.put(ticker(0))
    for seq in range(1, 5):
        assert delivery.put(ticker(seq)) is None
    # 0 is not False: only a ring's own answer counts as a refusal.
    assert first == [("raising", 1), ("refusing", 1)]
    assert delivery.take_refused() == [("plain", 4), ("raising", 4), ("refusing", 4)]
    assert plenty.seqs == zero.seqs == [0, 1, 2, 3, 4] and plain.get_nowait().seq == 0 and failed == []


def test_counts_are_told_with_the_first_and_then_after_so_many(failed):
    delivery = Delivery(Ticker, failed.append, tell_every=3)
    delivery.bind([("a", Taking(False)), ("b", Taking())])
    told = [delivery.put(ticker(seq)) for seq in range(8)]
    assert told == [[("a", 1)], None, None, [("a", 3)], None, None, [("a", 3)], None]
    assert delivery.take_refused() == [("a", 1)]
    # What was asked for is not told again.
    assert [delivery.put(ticker(seq)) for seq in range(3)] == [None, None, [("a", 3)]]


@pytest.mark.parametrize("error", [ValueError("broken"), AttributeError("x"), asyncio.InvalidStateError()])
def test_a_queue_that_raises_is_told_and_costs_the_others_nothing(error):
    seen = []

    def on_failed(observer):
        import sys

        seen.append((observer, sys.exc_info()[1]))

    delivery = Delivery(Ticker, on_failed)
    ring, before, broken, after = Ring(Ticker, 8), Taking(), Taking(error), Taking()
    delivery.bind([("ring", ring), ("before", before), ("broken", broken), ("after", after)])
    assert [delivery.put(ticker(seq)) for seq in range(3)] == [None] * 3
    assert seqs_of(ring) == before.seqs == after.seqs == [0, 1, 2]
    assert seen == [("broken", error)] * 3 and delivery.take_refused() == []


def test_a_queue_that_ends_the_program_is_not_held_back(failed):
    delivery = Delivery(Ticker, failed.append)
    ring, after = Ring(Ticker, 8), Taking()
    delivery.bind([("a", Taking(KeyboardInterrupt())), ("ring", ring), ("after", after)])
    with pytest.raises(KeyboardInterrupt):
        delivery.put(ticker(1))
    assert seqs_of(ring) == [1] and after.items == [] and failed == []


def test_queues_that_are_bound_in_the_middle_of_an_item_get_what_follows(failed):
    delivery = Delivery(Ticker, failed.append, tell_every=1000)
    new_ring, new, full = Ring(Ticker, 8), Taking(), Taking(False)

    class Binding(Taking):
        def put_nowait(self, item):
            super().put_nowait(item)
            if item.seq == 1:
                delivery.bind([("new ring", new_ring), ("new", new), ("full", full)])

    binding, after, refusing, old_ring = Binding(), Taking(), Taking(False), Ring(Ticker, 1, "drop_newest")
    delivery.bind([("ring", old_ring), ("early", Taking(False)), ("binding", binding), ("after", after),
                   ("refusing", refusing)])  # fmt: skip
    delivery.take_refused()
    for seq in range(4):
        delivery.put(ticker(seq))
    assert binding.seqs == after.seqs == [0, 1]  # the item that was under way goes to those it was meant for
    assert refusing.seqs == [0, 1] and seqs_of(old_ring) == [0]
    assert new.seqs == seqs_of(new_ring) == full.seqs == [2, 3]
    told = dict.fromkeys(("ring", "early", "refusing", "full"), 0)
    for observer, count in delivery.take_refused():
        told[observer] += count
    # `early` and `refusing` refused 0 (which was told at once) and 1, the ring 1, the new one 2 and 3.
    assert told == {"ring": 1, "early": 1, "refusing": 1, "full": 2}


def test_what_the_queues_before_have_refused_is_still_told(failed):
    delivery = Delivery(Ticker, failed.append, tell_every=1000)
    first = Ring(Ticker, 1, "drop_newest")
    delivery.bind([("a", first), ("b", Taking(False))])
    assert delivery.put(ticker(0)) == [("b", 1)]
    for seq in range(1, 4):
        delivery.put(ticker(seq))
    delivery.bind([("b", Taking(False))])
    delivery.put(ticker(4))
    delivery.bind([])
    delivery.put(ticker(5))
    told = {"a": 0, "b": 0}
    for observer, count in delivery.take_refused():
        told[observer] += count
    assert told == {"a": 3, "b": 4} and delivery.take_refused() == [] and delivery.given == 6


def test_an_observer_that_stops_it_all_is_the_last_to_get_the_item(failed):
    delivery = Delivery(Ticker, failed.append)

    class Stopping(Taking):
        def put_nowait(self, item):
            super().put_nowait(item)
            delivery.stop()

    before, stopping, after = Taking(), Stopping(), Taking()
    delivery.bind([("before", before), ("stopping", stopping), ("after", after)])
    delivery.put(ticker(0))
    assert (before.seqs, stopping.seqs, after.seqs) == ([0], [0], [])
    delivery.resume()
    delivery.put(ticker(1))
    assert (before.seqs, stopping.seqs, after.seqs) == ([0, 1], [0, 1], [])


def test_a_refusal_of_the_observer_that_stops_it_all_is_counted(failed):
    delivery = Delivery(Ticker, failed.append)

    class Stopping:
        def put_nowait(self, item):
            delivery.stop()
            return False

    delivery.bind([("stopping", Stopping()), ("after", Taking())])
    assert delivery.put(ticker(0)) == [("stopping", 1)]


async def test_a_consumer_that_sleeps_is_woken_once_the_item_is_in(failed):
    delivery = Delivery(Ticker, failed.append)
    ring = Ring(Ticker, 8)
    delivery.bind([("a", ring)])
    waiting = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    delivery.put(ticker(7))
    assert (await asyncio.wait_for(waiting, 30)).seq == 7


async def test_a_consumer_is_woken_though_a_later_queue_ends_the_delivery(failed):
    delivery = Delivery(Ticker, failed.append)
    ring = Ring(Ticker, 8)
    delivery.bind([("a", ring), ("b", Taking(KeyboardInterrupt()))])
    waiting = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    with pytest.raises(KeyboardInterrupt):
        delivery.put(ticker(7))
    assert (await asyncio.wait_for(waiting, 30)).seq == 7


async def test_a_consumer_of_a_ring_that_is_left_behind_is_woken(failed):
    delivery = Delivery(Ticker, failed.append)
    ring = Ring(Ticker, 8)

    class Binding:
        def put_nowait(self, item):
            delivery.bind([])

    delivery.bind([("a", ring), ("b", Binding())])
    waiting = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    delivery.put(ticker(7))
    assert (await asyncio.wait_for(waiting, 30)).seq == 7


def test_what_cannot_be_bound_leaves_what_was_bound(failed):
    delivery = Delivery(Ticker, failed.append)
    plain = Taking()
    delivery.bind([("a", plain)])
    with pytest.raises(AttributeError):
        delivery.bind([("b", Taking()), ("c", object())])
    delivery.put(ticker(1))
    assert plain.seqs == [1] and not math.isnan(plain.items[0].bidPrice)


def test_nobody_bound_is_no_loss(failed):
    delivery = Delivery(Trade, failed.append)
    assert delivery.put(trade(1)) is None
    assert (delivery.given, delivery.take_refused()) == (1, [])
