"""T7, T8: the ring: one item in and out, batches of 64, an awaited get, and a thread feeding a loop."""

import asyncio
import threading
from collections.abc import Callable

from hftcore.ring import Ring
from hftcore.types import Ticker

BATCH = 64
TICKER = Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=50000.0, askPrice=50000.1, bidVolume=1.0, askVolume=2.0)


def one_by_one(queue: "asyncio.Queue[Ticker] | Ring[Ticker]") -> Callable[[int], None]:
    put, get = queue.put_nowait, queue.get_nowait

    def run(count: int) -> None:
        item = TICKER
        for _ in range(count):
            put(item)
            get()

    return run


def batches_of_queue(count: int) -> None:
    queue: asyncio.Queue[Ticker] = asyncio.Queue(4096)
    put, get, empty, item = queue.put_nowait, queue.get_nowait, queue.empty, TICKER
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            put(item)
        while not empty():
            get()


def batches_of_ring(count: int) -> None:
    ring = Ring(Ticker, 4096)
    put, get_batch, item = ring.put_nowait, ring.get_batch, TICKER
    for _ in range(count // BATCH):
        for _ in range(BATCH):
            put(item)
        for _ in get_batch():
            pass


def awaited(make: "Callable[[], asyncio.Queue[Ticker] | Ring[Ticker]]") -> Callable[[int], None]:
    async def main(count: int) -> None:
        queue = make()
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                queue.put_nowait(TICKER)
            for _ in range(BATCH):
                await queue.get()

    return lambda count: asyncio.run(main(count))


def thread_to_loop_by_call_soon(count: int) -> None:
    async def main() -> None:
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

    asyncio.run(main())


def thread_to_loop_by_ring(count: int) -> None:
    async def main() -> None:
        # Large enough for all: the peer has no limit either, and nothing may be lost.
        ring = Ring(Ticker, 1 << max(count - 1, 1).bit_length(), "drop_newest")

        def feed() -> None:
            for _ in range(count):
                ring.put_nowait(TICKER)

        thread = threading.Thread(target=feed)
        thread.start()
        left = count
        while left:
            await ring.wait()
            left -= len(ring.get_batch())
        thread.join()

    asyncio.run(main())


def test_one_in_and_out(versus):
    n = versus.scale(64_000)
    queue, ring = asyncio.Queue[Ticker](4096), Ring(Ticker, 4096)
    theirs, ours = one_by_one(queue), one_by_one(ring)
    versus("T7", "put_nowait + get_nowait", operations=n, ours=lambda: ours(n),
           peers={"asyncio.Queue": lambda: theirs(n)}, floors={"asyncio.Queue": 5},
           goals={"asyncio.Queue": 7})  # fmt: skip


def test_batches_of_64(versus):
    n = versus.scale(64_000, multiple=BATCH)
    versus("T7", "put 64, drain 64", operations=n, ours=lambda: batches_of_ring(n),
           peers={"asyncio.Queue": lambda: batches_of_queue(n)}, floors={"asyncio.Queue": 4},
           goals={"asyncio.Queue": 6})  # fmt: skip


def test_awaited(versus):
    n = versus.scale(64_000, multiple=BATCH)
    theirs = awaited(lambda: asyncio.Queue(4096))
    ours = awaited(lambda: Ring(Ticker, 4096))
    versus("T7", "put 64, await get() 64", operations=n, ours=lambda: ours(n),
           peers={"asyncio.Queue": lambda: theirs(n)})  # fmt: skip


def test_flood_from_a_thread(versus):
    n = versus.scale(16_384)
    versus("T8", "flood from a thread into the loop", operations=n, ours=lambda: thread_to_loop_by_ring(n),
           peers={"asyncio": lambda: thread_to_loop_by_call_soon(n)}, floors={"asyncio": 12},
           goals={"asyncio": 25})  # fmt: skip
