"""hftcore.ring: waiting, waking from other threads, cancelling, closing."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import pytest

from hftcore.errors import HftError, RingClosed
from hftcore.ring import Ring
from hftcore.types import Ticker, Trade


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=seq + 0.5, askPrice=seq + 1.0, seq=seq)


def trade(seq: int) -> Trade:
    return Trade(exchange="binance", symbol="eth/usdt", price=seq + 0.25, volume=1.0, side="buy", seq=seq)


def seqs(items) -> list[int]:
    return [item.seq for item in items]


async def test_get_returns_at_once_where_there_is_an_item():
    ring = Ring(Ticker)
    ring.put_nowait(ticker(1))
    coroutine = ring.get()
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value.seq == 1


async def test_get_waits_for_a_put():
    ring = Ring(Ticker)
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    assert not task.done()
    ring.put_nowait(ticker(5))
    assert (await task).seq == 5


async def test_wait_leaves_the_item():
    ring = Ring(Ticker)
    task = asyncio.create_task(ring.wait())
    await asyncio.sleep(0)
    ring.put_nowait(ticker(5))
    assert await task is None
    assert ring.qsize() == 1
    assert await ring.wait() is None


async def test_one_wake_up_per_batch_and_none_while_awake(monkeypatch):
    ring = Ring(Ticker, 64)
    loop = asyncio.get_running_loop()
    wakes = []
    scheduled = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *a, **k: (wakes.append(a), scheduled(*a, **k))[1])

    def feed(first: int) -> None:
        thread = threading.Thread(target=lambda: [ring.put_nowait(ticker(first + i)) for i in range(10)])
        thread.start()
        thread.join()

    feed(0)  # nobody waits: no wake-up
    assert wakes == []
    assert len(ring.get_batch()) == 10
    waiting = asyncio.create_task(ring.wait())
    await asyncio.sleep(0)
    feed(10)  # the loop stands still meanwhile: ten items, one wake-up
    assert len(wakes) == 1
    await waiting
    assert seqs(ring.get_batch()) == list(range(10, 20))
    feed(20)
    assert len(wakes) == 1


async def test_put_on_the_loops_own_thread_needs_no_threadsafe_call(monkeypatch):
    ring = Ring(Ticker)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    monkeypatch.setattr(loop, "call_soon_threadsafe", None)
    ring.put_nowait(ticker(1))
    assert (await task).seq == 1


@pytest.mark.parametrize("how", ["get", "wait", "for"])
@pytest.mark.parametrize("overflow", ["drop_newest", "halt"])
async def test_no_wake_up_is_lost_from_another_thread(how, overflow):
    # The consumer falls asleep over and over while the producer runs: a lost wake-up would hang here.
    count = 20_000
    ring = Ring(Ticker, 8, overflow)
    items = [ticker(seq) for seq in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def feed() -> None:
        for item in items:
            while ring.full():
                os.sched_yield()
            ring.put_nowait(item)
        ring.close()

    thread = threading.Thread(target=feed)
    thread.start()
    got = []
    try:
        async with asyncio.timeout(60):
            if how == "for":
                got = [item.seq async for item in ring]
            else:
                while len(got) < count:
                    if how == "get":
                        got.append((await ring.get()).seq)
                    else:
                        await ring.wait()
                        got += seqs(ring.get_batch(3))
    finally:
        sys.setswitchinterval(interval)
        ring.close()
        thread.join()
    assert got == list(range(count))
    assert ring.stats["pushed"] == ring.stats["popped"] == count and ring.stats["dropped"] == 0


async def test_drop_oldest_from_another_thread_loses_only_what_it_counts():
    count = 20_000
    ring = Ring(Ticker, 4, "drop_oldest")

    def feed() -> None:
        for seq in range(count):
            ring.put_nowait(ticker(seq))
        ring.close()

    thread = threading.Thread(target=feed)
    thread.start()
    got = [item.seq async for item in ring]
    thread.join()
    assert got == sorted(set(got)) and got[-1] == count - 1
    assert ring.stats["popped"] == len(got) and len(got) + ring.stats["dropped"] == count == ring.stats["pushed"]


async def test_cancelling_a_get_loses_nothing():
    ring = Ring(Ticker)
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    ring.put_nowait(ticker(1))  # woken …
    task.cancel()  # … and cancelled before it could run
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ring.qsize() == 1 and (await ring.get()).seq == 1


async def test_cancelling_by_timeout_leaves_no_trace():
    ring = Ring(Ticker)
    for _ in range(50):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ring.get(), 0.0001)
    reference = weakref.ref(ring)
    ring.put_nowait(ticker(1))
    assert (await asyncio.wait_for(ring.get(), 1)).seq == 1
    del ring
    gc.collect()
    assert reference() is None


async def test_the_next_waiter_gets_what_a_cancelled_one_left():
    ring = Ring(Ticker)
    first, second = (asyncio.create_task(ring.get()) for _ in range(2))
    await asyncio.sleep(0)
    ring.put_nowait(ticker(1))
    first.cancel()
    assert (await second).seq == 1
    assert first.cancelled()


async def test_several_tasks_share_the_items():
    ring = Ring(Ticker)
    tasks = [asyncio.create_task(ring.get()) for _ in range(5)]
    await asyncio.sleep(0)
    for seq in range(5):
        ring.put_nowait(ticker(seq))
        await asyncio.sleep(0)
    assert sorted(seqs(await asyncio.gather(*tasks))) == [0, 1, 2, 3, 4]


async def test_close_wakes_all_who_wait():
    ring = Ring(Ticker)
    tasks = [asyncio.create_task(ring.get()), asyncio.create_task(ring.wait())]
    await asyncio.sleep(0)
    ring.close()
    ring.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, RingClosed) and isinstance(result, HftError)
    assert ring.closed and repr(ring).endswith(", closed)")


async def test_close_from_another_thread_wakes():
    ring = Ring(Ticker)
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    thread = threading.Thread(target=ring.close)
    thread.start()
    with pytest.raises(RingClosed):
        await task
    thread.join()


async def test_a_closed_ring_gives_what_it_holds_and_takes_nothing():
    ring = Ring(Ticker, 4, "halt")
    ring.put_nowait(ticker(1))
    ring.put_nowait(ticker(2))
    ring.close()
    assert ring.put_nowait(ticker(3)) is False
    assert ring.stats["dropped"] == 1
    assert (await ring.get()).seq == 1
    assert [item.seq async for item in ring] == [2]
    with pytest.raises(RingClosed):
        await ring.get()
    with pytest.raises(asyncio.QueueEmpty):
        ring.get_nowait()
    assert ring.get_batch() == []


async def test_a_second_loop_may_not_wait_at_the_same_time():
    ring = Ring(Ticker)
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    errors = []

    def other() -> None:
        try:
            asyncio.run(ring.wait())
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert errors == ["a task of another event loop waits for this ring already"]
    ring.put_nowait(ticker(1))
    assert (await task).seq == 1


def test_a_ring_outlives_its_loop():
    ring = Ring(Ticker)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ring.wait(), 0.001)

    asyncio.run(give_up())
    ring.put_nowait(ticker(1))

    async def take() -> int:
        return (await ring.get()).seq

    assert asyncio.run(take()) == 1


@pytest.mark.parametrize("same_thread", [True, False])
def test_a_put_after_the_loop_died_with_its_waiter_keeps_the_item(same_thread):
    ring = Ring(Ticker)
    loop = asyncio.new_event_loop()
    task = loop.create_task(ring.get())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    errors = []

    def feed() -> None:
        try:
            ring.put_nowait(ticker(9))
        except RuntimeError as error:
            errors.append(error)

    if same_thread:
        feed()
    else:
        thread = threading.Thread(target=feed)
        thread.start()
        thread.join()
    assert errors == [] and ring.get_nowait().seq == 9
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]


def test_uvloop_is_woken_from_a_thread():
    uvloop = pytest.importorskip("uvloop")

    async def main() -> list[int]:
        ring = Ring(Trade, 8)
        thread = threading.Thread(target=lambda: (ring.put_nowait(trade(3)), ring.close()))
        waiting = asyncio.create_task(ring.get())
        await asyncio.sleep(0)
        thread.start()
        got = [(await waiting).seq]
        thread.join()
        return got

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [3]


@pytest.mark.leak  # a sanitizer keeps what was freed for a while
def test_memory_is_given_back():
    def resident_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc/self/statm")
    for _ in range(3):
        Ring(Ticker, 1 << 14)
    before = resident_pages()
    for _ in range(200):
        ring = Ring(Ticker, 1 << 14)  # 1 MiB each
        ring.put_nowait(ticker(1))
    assert (resident_pages() - before) * os.sysconf("SC_PAGESIZE") < 50 * (1 << 20)


def test_a_new_loop_may_wait_after_one_died_with_its_waiter():
    ring = Ring(Ticker)
    loop = asyncio.new_event_loop()
    task = loop.create_task(ring.get())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def take() -> int:
        asyncio.get_running_loop().call_later(0.01, ring.put_nowait, ticker(4))
        return (await ring.get()).seq

    assert asyncio.run(take()) == 4
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]


def test_annotations_may_name_the_kind():
    assert Ring[Ticker].__origin__ is Ring and Ring[Ticker].__args__ == (Ticker,)
