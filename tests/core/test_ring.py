"""hftcore.ring: against its model, its errors, its asyncio side, its threads."""

import asyncio
import gc
import importlib.util
import os
import random
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from hftcore.errors import HftError, RingClosed
from hftcore.ring import MAX_CAPACITY, Ring
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE, Ticker, Trade

_spec = importlib.util.spec_from_file_location("ring_model", Path(__file__).parents[1] / "reference" / "ring_model.py")
assert _spec is not None and _spec.loader is not None
ring_model = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ring_model)

POLICIES = ("drop_newest", "drop_oldest", "halt")


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=seq + 0.5, askPrice=seq + 1.0, seq=seq)


def trade(seq: int) -> Trade:
    return Trade(exchange="binance", symbol="eth/usdt", price=seq + 0.25, volume=1.0, side="buy", seq=seq)


def seqs(items) -> list[int]:
    return [item.seq for item in items]


@pytest.mark.parametrize("overflow", POLICIES)
@pytest.mark.parametrize("kind", [Ticker, Trade])
def test_random_operations_agree_with_the_model(kind, overflow):
    seed = int(os.environ.get("HFTPY_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HFTPY_SEED={seed}")
    rng = random.Random(seed)
    make = ticker if kind is Ticker else trade
    for _ in range(30):
        capacity = 1 << rng.randrange(7)
        ring, model = Ring(kind, capacity, overflow), ring_model.RingModel(capacity, overflow)
        bias = rng.random()
        for number in range(300):
            if rng.random() < bias:
                item = make(number)
                try:
                    expected = model.put(item)
                except ring_model.Halted:
                    with pytest.raises(asyncio.QueueFull):
                        ring.put_nowait(item)
                else:
                    assert ring.put_nowait(item) is expected
            else:
                limit = rng.randrange(1, 2 * capacity + 1)
                match rng.randrange(5):
                    case 0:
                        assert ring.get_batch(limit) == model.take(limit)
                    case 1:
                        assert ring.get_array(limit)["seq"].tolist() == seqs(model.take(limit))
                    case 2:
                        assert ring.get_batch() == model.take(capacity)
                    case 3 if rng.random() < 0.3:
                        ring.reset()
                        model.halted = False
                    case _:
                        expected_items = model.take(1)
                        if expected_items:
                            assert ring.get_nowait() == expected_items[0]
                        else:
                            with pytest.raises(asyncio.QueueEmpty):
                                ring.get_nowait()
            if number == 290 and rng.random() < 0.2:
                ring.close()
                model.closed = True
            assert ring.stats == model.stats
            assert ring.qsize() == len(model.items)
            assert ring.empty() is (not model.items)
            assert ring.full() is (len(model.items) == capacity)
            assert ring.halted is model.halted


@pytest.mark.parametrize("capacity", [0, -1, -8, 3, 6, 1000, (1 << 70) + 1])
def test_capacity_must_be_a_power_of_two(capacity):
    with pytest.raises(ValueError, match=f"capacity must be a power of two, was {capacity}"):
        Ring(Ticker, capacity)


def test_capacity_is_bounded():
    with pytest.raises(ValueError, match=f"capacity must be at most {MAX_CAPACITY}, was {MAX_CAPACITY * 2}"):
        Ring(Ticker, MAX_CAPACITY * 2)
    with pytest.raises(ValueError, match="capacity must be at most"):
        Ring(Ticker, 1 << 70)


@pytest.mark.parametrize("capacity", [4096.0, "8", None])
def test_capacity_must_be_an_integer(capacity):
    with pytest.raises(TypeError):
        Ring(Ticker, capacity)


@pytest.mark.parametrize("overflow", ["conflate", "block", "", "DROP_OLDEST"])
def test_unknown_policy_lists_the_supported(overflow):
    with pytest.raises(ValueError, match=f"overflow must be one of drop_newest, drop_oldest, halt, was '{overflow}'"):
        Ring(Ticker, 8, overflow)


@pytest.mark.parametrize("kind", [int, None, "Ticker", ticker(1)])
def test_kind_must_be_ticker_or_trade(kind):
    with pytest.raises(TypeError, match="kind must be Ticker or Trade, was "):
        Ring(kind)


@pytest.mark.parametrize("item", [None, 1, {"seq": 1}])
def test_an_item_of_another_type_is_refused(item):
    for kind in (Ticker, Trade):
        ring = Ring(kind)
        with pytest.raises(TypeError, match=f"item must be a {kind.__name__}, was "):
            ring.put_nowait(item)
        assert ring.stats["pushed"] == ring.stats["dropped"] == 0
    with pytest.raises(TypeError, match="item must be a Ticker"):
        Ring(Ticker).put_nowait(trade(1))
    with pytest.raises(TypeError, match="item must be a Trade"):
        Ring(Trade).put_nowait(ticker(1))


def test_limit_must_be_positive():
    ring = Ring(Ticker)
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"limit must be at least 1, was {limit}"):
            ring.get_batch(limit)
        with pytest.raises(ValueError, match=f"limit must be at least 1, was {limit}"):
            ring.get_array(limit)


def test_items_come_out_equal_and_are_copies():
    ring = Ring(Trade, 4)
    item = trade(7)
    assert ring.put_nowait(item) is True
    got = ring.get_nowait()
    assert got == item and got is not item
    assert got.to_bytes() == item.to_bytes()


@pytest.mark.parametrize(("kind", "make", "dtype"), [(Ticker, ticker, TICKER_DTYPE), (Trade, trade, TRADE_DTYPE)])
def test_get_array_is_a_writable_copy(kind, make, dtype):
    ring = Ring(kind, 8)
    for seq in range(20):
        ring.put_nowait(make(seq))
    array = ring.get_array(3)
    assert array.dtype == dtype and array.shape == (3,) and array["seq"].tolist() == [12, 13, 14]
    array["seq"] = 99
    for seq in range(20, 28):
        ring.put_nowait(make(seq))
    assert array["seq"].tolist() == [99, 99, 99]
    assert ring.get_array().tobytes() == b"".join(make(seq).to_bytes() for seq in range(20, 28))
    assert ring.get_array().shape == (0,)
    assert np.shares_memory(array, ring.get_array()) is False


def test_drop_oldest_keeps_the_latest():
    ring = Ring(Ticker, 4, "drop_oldest")
    assert all(ring.put_nowait(ticker(seq)) for seq in range(10))
    assert ring.full() and seqs(ring.get_batch()) == [6, 7, 8, 9]
    assert ring.stats == {"pushed": 10, "popped": 4, "dropped": 6, "high_water": 4, "capacity": 4}


def test_drop_newest_keeps_the_first():
    ring = Ring(Ticker, 4, "drop_newest")
    assert [ring.put_nowait(ticker(seq)) for seq in range(6)] == [True] * 4 + [False] * 2
    assert seqs(ring.get_batch()) == [0, 1, 2, 3]
    assert ring.stats == {"pushed": 4, "popped": 4, "dropped": 2, "high_water": 4, "capacity": 4}


def test_halt_refuses_until_reset():
    ring = Ring(Trade, 2, "halt")
    ring.put_nowait(trade(0))
    ring.put_nowait(trade(1))
    with pytest.raises(asyncio.QueueFull):
        ring.put_nowait(trade(2))
    assert ring.halted
    assert ring.get_nowait().seq == 0
    with pytest.raises(asyncio.QueueFull, match="halted"):
        ring.put_nowait(trade(3))
    ring.reset()
    assert not ring.halted and ring.put_nowait(trade(4)) is True
    assert seqs(ring.get_batch()) == [1, 4]
    assert ring.stats == {"pushed": 3, "popped": 3, "dropped": 2, "high_water": 2, "capacity": 2}


def test_capacity_one():
    for overflow, kept in (("drop_newest", 1), ("drop_oldest", 2)):
        ring = Ring(Ticker, 1, overflow)
        ring.put_nowait(ticker(1))
        ring.put_nowait(ticker(2))
        assert ring.get_nowait().seq == kept


def test_default_is_what_an_observer_wants():
    ring = Ring(Ticker)
    assert (ring.kind, ring.capacity, ring.overflow) == (Ticker, 4096, "drop_oldest")
    assert repr(ring) == "Ring(Ticker, capacity=4096, overflow='drop_oldest', size=0)"


def test_it_cannot_be_pickled_or_copied():
    import copy

    with pytest.raises(TypeError):
        copy.copy(Ring(Ticker, 8))


# asyncio side


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
