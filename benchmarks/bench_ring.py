"""T7, T8: the ring: one item in and out, batches of 64, an awaited get, and a thread feeding a loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hftcore.ring import ObjectRing, Ring
from hftcore.types import Ticker

BATCH = 64
TICKER = Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=50000.0, askPrice=50000.1, bidVolume=1.0, askVolume=2.0)
RINGS: dict[str, Callable[[], Any]] = {
    "": lambda: Ring(Ticker, 4096),
    ", many producers": lambda: Ring(Ticker, 4096, producers="many"),
    ", conflate": lambda: Ring(Ticker, 4096, "conflate"),
    ", block": lambda: Ring(Ticker, 4096, "block"),
    ", ObjectRing": lambda: ObjectRing(4096, "drop_oldest"),
}


def ignore(item: Ticker) -> None:
    """The callback: called by both sides."""


def one_by_one(queue: Any) -> Callable[[int], None]:
    put, get = queue.put_nowait, queue.get_nowait

    def run(count: int) -> None:
        item = TICKER
        for _ in range(count):
            put(item)
            get()

    return run


def batches_of_queue(count: int, callback: Callable[[Ticker], None] | None) -> None:
    queue: asyncio.Queue[Ticker] = asyncio.Queue(4096)
    put, get, empty, item = queue.put_nowait, queue.get_nowait, queue.empty, TICKER
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            put(item)
        if callback is None:
            while not empty():
                get()
        else:
            while not empty():
                callback(get())


def batches_of_ring(count: int) -> None:
    ring = Ring(Ticker, 4096)
    put, get_batch, item = ring.put_nowait, ring.get_batch, TICKER
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            put(item)
        for _ in get_batch():
            pass


def drains_of_ring(count: int) -> None:
    ring = Ring(Ticker, 4096)
    put, drain, item, callback = ring.put_nowait, ring.drain, TICKER, ignore
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            put(item)
        drain(callback)


def awaited(make: "Callable[[], asyncio.Queue[Ticker] | Ring[Ticker]]") -> Callable[[int], None]:
    async def main(count: int) -> None:
        queue = make()
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                queue.put_nowait(TICKER)
            for _ in range(BATCH):
                await queue.get()

    return lambda count: asyncio.run(main(count))


async def thread_to_loop_by_call_soon(count: int) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def receive(item: Ticker) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    def feed() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(receive, TICKER)

    thread = threading.Thread(target=feed)
    thread.start()
    await done
    thread.join()


async def thread_to_loop_by_ring(count: int) -> None:
    # Large enough for all: the peer has no limit either, and nothing may be lost.
    ring = Ring(Ticker, 1 << max(count - 1, 1).bit_length(), "drop_newest")
    left = count

    def receive(item: Ticker) -> None:
        nonlocal left
        left -= 1

    def feed() -> None:
        for _ in range(count):
            ring.put_nowait(TICKER)

    thread = threading.Thread(target=feed)
    thread.start()
    while left:
        await ring.wait()
        ring.drain(receive)
    thread.join()


@pytest.mark.parametrize("name", RINGS)
def test_one_in_and_out(versus, name):
    n = versus.scale(64_000)
    queue, ring = asyncio.Queue[Ticker](4096), RINGS[name]()
    ring.put_nowait(TICKER)
    assert ring.get_nowait() == TICKER
    theirs, ours = one_by_one(queue), one_by_one(ring)
    judged: dict[str, Any] = {"floors": {"asyncio.Queue": 5}, "goals": {"asyncio.Queue": 7}} if not name else {}
    versus("T7", f"put_nowait + get_nowait{name}", operations=n, ours=lambda: ours(n),
           peers={"asyncio.Queue": lambda: theirs(n)}, **judged)  # fmt: skip


def test_batches_of_64(versus):
    n = versus.scale(64_000, multiple=BATCH)
    versus("T7", "put 64, drain 64", operations=n, ours=lambda: batches_of_ring(n),
           peers={"asyncio.Queue": lambda: batches_of_queue(n, None)}, floors={"asyncio.Queue": 4},
           goals={"asyncio.Queue": 6})  # fmt: skip


def test_callback_drain_of_64(versus):
    n = versus.scale(64_000, multiple=BATCH)
    versus("T7", "put 64, drain 64 into a callback", operations=n, ours=lambda: drains_of_ring(n),
           peers={"asyncio.Queue": lambda: batches_of_queue(n, ignore)}, floors={"asyncio.Queue": 4},
           goals={"asyncio.Queue": 6})  # fmt: skip


def test_awaited(versus):
    n = versus.scale(64_000, multiple=BATCH)
    theirs = awaited(lambda: asyncio.Queue(4096))
    ours = awaited(lambda: Ring(Ticker, 4096))
    versus("T7", "put 64, await get() 64", operations=n, ours=lambda: ours(n),
           peers={"asyncio.Queue": lambda: theirs(n)})  # fmt: skip


def test_flood_from_a_thread(versus):
    n = versus.scale(16_384)
    versus("T8", "flood from a thread into asyncio's loop", operations=n,
           ours=lambda: asyncio.run(thread_to_loop_by_ring(n)),
           peers={"asyncio": lambda: asyncio.run(thread_to_loop_by_call_soon(n))}, floors={"asyncio": 12},
           goals={"asyncio": 25})  # fmt: skip


def test_flood_from_a_thread_into_uvloop(versus):
    n = versus.scale(65_536)
    uvloop = versus.peer("uvloop")
    peers = {} if uvloop is None else {"uvloop": lambda: uvloop.run(thread_to_loop_by_call_soon(n))}
    versus("T8", "flood from a thread into uvloop's loop", operations=n,
           ours=lambda: uvloop.run(thread_to_loop_by_ring(n)), peers=peers, floors={"uvloop": 1.8},
           goals={"uvloop": 3})  # fmt: skip
