"""hftcore.object_ring: references, garbage collection, waiting. Policies: test_ring_policies.py, test_ring_model.py."""

import asyncio
import gc
import sys
import threading
import weakref

import pytest

from hftcore.errors import RingClosed
from hftcore.object_ring import ObjectRing


class Thing:
    pass


def rings():
    return [
        ObjectRing(2, "drop_oldest"),
        ObjectRing(2, "drop_newest"),
        ObjectRing(2, "block"),
        ObjectRing(2, "halt"),
        ObjectRing(2, "conflate", key=id),
        ObjectRing(2, "conflate", key=lambda item: 1),
    ]


def test_any_object_goes_through_as_itself():
    ring = ObjectRing(8)
    things = [None, 0, Thing(), [], "text", ring]
    for thing in things:
        assert ring.put_nowait(thing) is True
    assert [ring.get_nowait() is thing for thing in things] == [True] * 6
    with pytest.raises(asyncio.QueueEmpty):
        ring.get_nowait()


@pytest.mark.parametrize("ring", rings(), ids=lambda ring: ring.overflow)
def test_references_are_exact(ring):
    things = [Thing() for _ in range(6)]
    counts = [sys.getrefcount(thing) for thing in things]
    for thing in things:
        try:
            ring.put_nowait(thing)
        except asyncio.QueueFull:
            pass
    assert sum(sys.getrefcount(thing) for thing in things) >= sum(counts) + ring.qsize()
    ring.drain(lambda item: None, 1)
    for _ in range(ring.qsize()):
        ring.get_nowait()
    del thing
    assert [sys.getrefcount(thing) for thing in things] == counts


@pytest.mark.parametrize("ring", rings(), ids=lambda ring: ring.overflow)
def test_a_ring_lets_go_of_what_it_holds_when_it_ends(ring):
    ring = type(ring)(4, ring.overflow, key=id if ring.overflow == "conflate" else None)
    thing = Thing()
    reference = weakref.ref(thing)
    ring.put_nowait(thing)
    del thing
    assert reference() is not None
    del ring
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("overflow", ["halt", "conflate"])
def test_a_circle_through_the_ring_is_collected(overflow):
    ring = ObjectRing(4, overflow, key=id if overflow == "conflate" else None)
    thing = Thing()
    thing.ring = ring
    ring.put_nowait(thing)
    reference = weakref.ref(thing)
    ring_reference = weakref.ref(ring)
    del ring, thing
    gc.collect()
    assert reference() is None and ring_reference() is None


def test_a_finalizer_that_puts_into_the_ring_finds_it_whole():
    class Stubborn:
        def __del__(self):
            if ring.stats["pushed"] < 20:
                ring.put_nowait("again")

    ring = ObjectRing(2, "drop_oldest")
    for _ in range(5):
        ring.put_nowait(Stubborn())
    stats = ring.stats
    assert stats["pushed"] == stats["dropped"] + ring.qsize()
    ring.get_batch()
    gc.collect()
    stats = ring.stats
    assert stats["pushed"] == stats["popped"] + stats["dropped"] + ring.qsize()


@pytest.mark.leak
def test_memory_stays_flat():
    def blocks(rounds: int) -> int:
        for _ in range(rounds):
            for ring in rings():
                for number in range(50):
                    try:
                        ring.put_nowait((number,))
                    except asyncio.QueueFull:
                        ring.get_nowait() if not ring.halted else ring.reset()
                ring.drain(lambda item: None)
        gc.collect()
        return sys.getallocatedblocks()

    blocks(20)
    before = blocks(20)
    assert blocks(200) - before < 100


async def test_get_waits_and_closing_ends_it():
    ring = ObjectRing(4, "drop_oldest")
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    ring.put_nowait("one")
    assert await task == "one"
    waiting = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    ring.close()
    with pytest.raises(RingClosed):
        await waiting
    assert ring.put_nowait("two") is False and ring.stats["dropped"] == 1
    assert [item async for item in ring] == []
    assert repr(ring) == "ObjectRing(capacity=4, overflow='drop_oldest', size=0, closed)"


async def test_a_thread_wakes_the_loop_and_a_cancelled_get_loses_nothing():
    ring = ObjectRing(1 << 15)
    cancelled = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    ring.put_nowait("first")
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await ring.get() == "first"
    thread = threading.Thread(target=lambda: [ring.put_nowait(number) for number in range(20_000)] and ring.close())
    thread.start()
    assert [item async for item in ring] == list(range(20_000))
    thread.join()


def test_halt_refuses_until_reset():
    ring = ObjectRing(1, "halt")
    ring.put_nowait(1)
    for _ in range(2):
        with pytest.raises(asyncio.QueueFull, match="ring of 1 items is halted: it was full; take, then reset"):
            ring.put_nowait(2)
    assert ring.halted and ring.get_nowait() == 1
    with pytest.raises(asyncio.QueueFull):
        ring.put_nowait(3)
    ring.reset()
    assert ring.put_nowait(4) is True
    assert ring.stats == {"pushed": 2, "popped": 1, "dropped": 3, "conflated": 0, "high_water": 1, "capacity": 1}


def test_it_may_be_subclassed_and_is_made_once():
    class Named(ObjectRing):
        def __init__(self, name: str, capacity: int) -> None:
            super().__init__(capacity, "drop_newest")
            self.name = name

    ring = Named("orders", 2)
    assert (ring.name, ring.capacity, repr(ring)) == ("orders", 2, "Named(capacity=2, overflow='drop_newest', size=0)")
    with pytest.raises(RuntimeError, match="an ObjectRing is made once"):
        ObjectRing.__init__(ring, 4)


@pytest.mark.parametrize("capacity", [0, 3, -1])
def test_capacity_must_be_a_power_of_two(capacity):
    with pytest.raises(ValueError, match=f"capacity must be a power of two, was {capacity}"):
        ObjectRing(capacity)


def test_one_that_was_never_made_takes_nothing():
    ring = ObjectRing.__new__(ObjectRing)
    assert ring.qsize() == 0
    with pytest.raises(asyncio.QueueEmpty):
        ring.get_nowait()
    with pytest.raises(RuntimeError, match="was not made"):
        ring.put_nowait(1)
