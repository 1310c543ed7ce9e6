"""The ring against asyncio.Queue: one item in and out, batches of 64, an awaited get, and a thread feeding a loop."""

import asyncio
import threading
from collections.abc import Callable

from peers import Result, arguments, compare, report, require_release

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


def main() -> None:
    """Measure and report."""
    chosen = arguments(__doc__ or "")
    require_release()
    count = 640 if chosen.quick else 64_000
    threaded = 640 if chosen.quick else 16_384
    ring, queue = Ring(Ticker, 4096), asyncio.Queue[Ticker](4096)
    queue_name = "asyncio.Queue"
    results: list[Result] = [
        compare(
            "put_nowait + get_nowait",
            queue_name,
            one_by_one(queue),
            one_by_one(ring),
            count=count,
            rounds=chosen.rounds,
        ),
        compare("put 64, drain 64", queue_name, batches_of_queue, batches_of_ring, count=count, rounds=chosen.rounds),
        compare(
            "put 64, await get() 64",
            queue_name,
            awaited(lambda: asyncio.Queue(4096)),
            awaited(lambda: Ring(Ticker, 4096)),
            count=count,
            rounds=chosen.rounds,
        ),
        compare(
            "flood from a thread into the loop",
            "call_soon_threadsafe",
            thread_to_loop_by_call_soon,
            thread_to_loop_by_ring,
            count=threaded,
            rounds=chosen.rounds,
        ),
    ]
    report(results, chosen)


if __name__ == "__main__":
    main()
