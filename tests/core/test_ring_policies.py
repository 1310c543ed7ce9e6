"""hftcore.ring: conflate, block, several producers, views and draining: what the random tests cannot say."""

import asyncio
import gc
import sys
import threading
import time

import numpy as np
import pytest

from hftcore.latency import LatencyHistogram
from hftcore.ring import ObjectRing, Ring
from hftcore.types import TICKER_DTYPE, Ticker, Trade

RINGS = {
    "one": lambda **options: Ring(Ticker, **options),
    "many": lambda **options: Ring(Ticker, producers="many", **options),
    "object": lambda **options: ObjectRing(**options),
}


def ticker(seq: int, symbol: str = "btc/usdt", exchange: str = "kraken", **fields) -> Ticker:
    return Ticker(exchange=exchange, symbol=symbol, seq=seq, **fields)


def seqs(items) -> list[int]:
    return [item.seq for item in items]


@pytest.fixture(params=sorted(RINGS))
def make(request):
    return RINGS[request.param]


# conflate


def test_a_newer_ticker_replaces_the_unread_one_where_it_stands():
    ring = Ring(Ticker, 4, "conflate")
    for seq, symbol in enumerate(["a/usd", "b/usd", "a/usd", "c/usd", "a/usd", "b/usd"]):
        assert ring.put_nowait(ticker(seq, symbol)) is True
    assert ring.qsize() == 3
    assert seqs(ring.get_batch()) == [4, 5, 3]
    ring.put_nowait(ticker(9, "a/usd"))
    assert ring.get_nowait().seq == 9
    assert ring.stats == {"pushed": 7, "popped": 4, "dropped": 0, "conflated": 3, "high_water": 3, "capacity": 4}


def test_the_same_symbol_of_two_exchanges_is_two():
    ring = Ring(Ticker, 4, "conflate")
    ring.put_nowait(ticker(1))
    ring.put_nowait(ticker(2, exchange="binance"))
    assert seqs(ring.get_batch()) == [1, 2]


def test_conflate_with_more_symbols_than_places_drops_the_oldest_and_counts_it():
    ring = Ring(Ticker, 2, "conflate")
    for seq, symbol in enumerate(["a/usd", "b/usd", "c/usd", "a/usd", "c/usd"]):
        ring.put_nowait(ticker(seq, symbol))
    assert seqs(ring.get_batch()) == [4, 3]
    assert (ring.stats["dropped"], ring.stats["conflated"]) == (2, 1)


def test_conflate_at_capacity_one():
    ring = Ring(Ticker, 1, "conflate")
    for seq, symbol in enumerate(["a/usd", "a/usd", "b/usd", "b/usd", "a/usd"]):
        ring.put_nowait(ticker(seq, symbol))
    assert seqs(ring.get_batch()) == [4]
    assert (ring.stats["dropped"], ring.stats["conflated"]) == (2, 2)


def test_nothing_that_comes_after_a_mark_replaces_what_stands_before_it():
    ring = Ring(Ticker, 4, "conflate")
    ring.put_nowait(ticker(1))
    mark = ring.mark()
    ring.put_nowait(ticker(2))
    ring.put_nowait(ticker(3))
    got = []
    ring.dispatch(got.append, until=mark)
    assert seqs(got) == [1]
    assert seqs(ring.get_batch()) == [3]


def test_trades_do_not_conflate():
    with pytest.raises(ValueError, match="ring of Trades must not be 'conflate': every trade counts"):
        Ring(Trade, 8, "conflate")


def test_objects_conflate_by_a_key_and_only_with_one():
    ring = ObjectRing(4, "conflate", key=lambda pair: pair[0])
    for pair in [("a", 1), ("b", 2), ("a", 3)]:
        ring.put_nowait(pair)
    assert ring.get_batch() == [("a", 3), ("b", 2)]
    with pytest.raises(TypeError, match="key must be a function of an item with overflow 'conflate', was None"):
        ObjectRing(4, "conflate")
    with pytest.raises(TypeError, match="key must be given with overflow 'conflate' alone"):
        ObjectRing(4, "halt", key=len)
    with pytest.raises(TypeError, match="unhashable"):
        ObjectRing(4, "conflate", key=list).put_nowait([1])


def test_a_key_that_uses_its_ring_is_refused_and_leaves_it_whole():
    class Key:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            ring.get_nowait()
            return True

    ring = ObjectRing(4, "conflate", key=lambda item: Key())
    ring.put_nowait(1)
    with pytest.raises(RuntimeError, match="a key's __eq__ or __hash__"):
        ring.put_nowait(2)
    assert ring.get_batch() == [1] and ring.stats["pushed"] == 1


# block


def test_put_nowait_says_full_and_counts_nothing(make):
    ring = make(capacity=2, overflow="block")
    assert ring.put_nowait(ticker(1)) and ring.put_nowait(ticker(2))
    with pytest.raises(asyncio.QueueFull, match="ring of 2 items is full"):
        ring.put_nowait(ticker(3))
    assert ring.stats["pushed"] == 2 and ring.stats["dropped"] == 0
    assert ring.get_nowait().seq == 1
    assert ring.put_nowait(ticker(3)) is True


@pytest.mark.parametrize("overflow", ["block", "halt"])
async def test_an_awaited_put_waits_for_room(make, overflow):
    ring = make(capacity=2, overflow=overflow)

    async def feed():
        for seq in range(50):
            assert await ring.put(ticker(seq)) is True

    feeding = asyncio.create_task(feed())
    got = []
    while len(got) < 50:
        got.append((await ring.get()).seq)
    await feeding
    assert got == list(range(50)) and not ring.halted
    assert ring.stats["dropped"] == 0


async def test_cancelling_a_waiting_put_puts_nothing_and_lets_the_next_in(make):
    ring = make(capacity=1, overflow="block")
    await ring.put(ticker(0))
    first, second = (asyncio.create_task(ring.put(ticker(seq))) for seq in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await ring.get()).seq == 0
    assert await second is True
    assert seqs(ring.get_batch()) == [2] and first.cancelled()


async def test_close_ends_all_waiting_puts(make):
    ring = make(capacity=1, overflow="block")
    await ring.put(ticker(0))
    waiting = [asyncio.create_task(ring.put(ticker(seq))) for seq in range(3)]
    blocked = asyncio.create_task(asyncio.to_thread(ring.put, ticker(9), 30))
    await asyncio.sleep(0.02)
    ring.close()
    assert await asyncio.gather(*waiting, blocked) == [False] * 4
    assert ring.stats["dropped"] == 4
    assert (await ring.get()).seq == 0


async def test_an_awaited_put_of_a_policy_that_loses_returns_at_once(make):
    ring = make(capacity=1, overflow="drop_newest")
    assert [await ring.put(ticker(seq)) for seq in range(2)] == [True, False]


@pytest.mark.parametrize("how", ["get_nowait", "get_batch", "drain", "get_array", "view"])
async def test_every_way_to_take_lets_a_waiting_put_in(make, how):
    ring = make(capacity=1, overflow="block")
    if not hasattr(ring, how):
        ring = Ring(Ticker, 1, "block")
    await ring.put(ticker(0))
    waiting = asyncio.create_task(ring.put(ticker(1)))
    blocked = asyncio.create_task(asyncio.to_thread(ring.put, ticker(1), 30))
    for _ in range(2):
        await asyncio.sleep(0.02)
        match how:
            case "drain":
                assert ring.drain(lambda item: None) == 1
            case "view":
                with ring.view() as array:
                    assert len(array) == 1
            case _:
                getattr(ring, how)()
    assert await waiting is True and await blocked is True


def test_a_put_with_a_timeout_gives_up_in_time(make):
    ring = make(capacity=1, overflow="block")
    ring.put_nowait(ticker(0))
    before = time.monotonic()
    with pytest.raises(asyncio.QueueFull, match=r"ring had no room within 0.05 s"):
        ring.put(ticker(1), 0.05)
    assert time.monotonic() - before >= 0.05
    assert ring.stats["dropped"] == 0
    with pytest.raises(ValueError, match="timeout must be at least 0, was -1"):
        ring.put(ticker(1), -1)


async def test_a_put_that_would_wait_for_its_own_thread_is_an_error(make):
    ring = make(capacity=1, overflow="block")
    ring.put_nowait(ticker(0))
    with pytest.raises(RuntimeError, match="cannot wait for itself: use await put"):
        ring.put(ticker(1), None)  # nobody has taken yet, but a loop runs here
    ring.get_nowait()
    ring.put(ticker(1), None)
    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        ring.put(ticker(2), 60)


def test_threads_that_block_lose_nothing_and_keep_their_order(make):
    count, threads = 3000, 3
    ring = make(capacity=4, overflow="block")

    def feed(number):
        for seq in range(count):
            assert ring.put(ticker(seq, f"t{number}/usd"), 60) is True

    feeding = [threading.Thread(target=feed, args=(number,)) for number in range(threads)]
    got: dict[str, list[int]] = {}

    async def take():
        for thread in feeding:
            thread.start()
        for _ in range(count * threads):
            item = await ring.get()
            got.setdefault(str(item.symbol), []).append(item.seq)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        asyncio.run(asyncio.wait_for(take(), 100))
    finally:
        sys.setswitchinterval(interval)
        ring.close()
        for thread in feeding:
            thread.join()
    assert got == {f"t{number}/usd": list(range(count)) for number in range(threads)}
    assert ring.stats["pushed"] == ring.stats["popped"] == count * threads and ring.stats["dropped"] == 0


def test_a_put_awaited_on_another_loop_is_let_in(make):
    ring = make(capacity=1, overflow="block")

    def feed():
        async def main():
            for seq in range(200):
                await ring.put(ticker(seq))

        asyncio.run(main())

    async def take():
        thread = threading.Thread(target=feed)
        thread.start()
        got = [(await ring.get()).seq for _ in range(200)]
        thread.join()
        return got

    assert asyncio.run(asyncio.wait_for(take(), 60)) == list(range(200))


def test_a_loop_that_died_with_a_waiting_put_disturbs_nobody(make):
    ring = make(capacity=1, overflow="block")
    ring.put_nowait(ticker(0))
    loop = asyncio.new_event_loop()
    task = loop.create_task(ring.put(ticker(1)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert ring.get_nowait().seq == 0
    assert ring.put_nowait(ticker(2)) is True
    task._log_destroy_pending = False
    task.get_coro().close()


# several producers, from Python


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "conflate"])
def test_counters_are_exact_with_threads(overflow):
    count, threads = 5000, 3
    for ring in (
        Ring(Ticker, 64, overflow, producers="many"),
        ObjectRing(64, overflow, key=(lambda item: item.symbol) if overflow == "conflate" else None),
    ):
        taken = threading.Event()

        def feed(number, ring=ring):
            for seq in range(count):
                ring.put_nowait(ticker(seq, f"t{number * 7 + seq % 7}/usd"))

        feeding = [threading.Thread(target=feed, args=(number,)) for number in range(threads)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        for thread in feeding:
            thread.start()
        got = 0
        while any(thread.is_alive() for thread in feeding):
            got += ring.drain(lambda item: None)
            taken.wait(0.0001)
        sys.setswitchinterval(interval)
        got += ring.drain(lambda item: None)
        stats = ring.stats
        assert stats["popped"] == got
        if overflow == "drop_newest":
            assert stats["pushed"] == got and stats["pushed"] + stats["dropped"] == count * threads
        else:
            assert stats["pushed"] == count * threads == got + stats["dropped"] + stats["conflated"]


def test_producers_must_be_one_or_many():
    with pytest.raises(ValueError, match="producers must be one or many, was 'two'"):
        Ring(Ticker, 8, producers="two")
    assert repr(Ring(Ticker, 8, producers="many")).startswith("Ring(Ticker, capacity=8, overflow='drop_oldest', prod")
    with pytest.raises(ValueError, match=r"block_timeout must be from 0 to 1e9 seconds, was -1.0"):
        Ring(Ticker, 8, "block", block_timeout=-1)


# views


@pytest.mark.parametrize("producers", ["one", "many"])
def test_a_view_shows_the_items_in_their_places_until_it_is_released(producers):
    ring = Ring(Ticker, 4, "drop_newest", producers=producers)
    for seq in range(3):
        ring.put_nowait(ticker(seq))
    view = ring.view(2)
    assert view.zero_copy and len(view) == 2 and not view.released
    array = view.array
    assert array.dtype == TICKER_DTYPE and array["seq"].tolist() == [0, 1]
    assert not array.flags.writeable and np.shares_memory(array, view.array)
    assert ring.put_nowait(ticker(3)) is True
    assert ring.put_nowait(ticker(4)) is False  # the places of 0 and 1 are taken as long as the view is open
    for take in (ring.get_nowait, ring.get_batch, ring.get_array, ring.view, lambda: ring.drain(print)):
        with pytest.raises(RuntimeError, match="a view of the ring is open: release it"):
            take()
    view.release()
    view.release()
    assert view.released and ring.qsize() == 2 and ring.stats["popped"] == 2
    with pytest.raises(ValueError, match="the view was released"):
        _ = view.array
    assert seqs(ring.get_batch()) == [2, 3]


def test_a_view_ends_where_the_memory_does():
    ring = Ring(Ticker, 4, "block")
    for seq in range(4):
        ring.put_nowait(ticker(seq))
    assert seqs(ring.get_batch(3)) == [0, 1, 2]
    for seq in range(4, 7):
        ring.put_nowait(ticker(seq))
    with ring.view() as array:
        assert array["seq"].tolist() == [3]
    with ring.view() as array:
        assert array["seq"].tolist() == [4, 5, 6]
    with ring.view() as array:
        assert array.shape == (0,) and array.dtype == TICKER_DTYPE
    assert ring.empty()


@pytest.mark.parametrize("overflow", ["drop_oldest", "conflate"])
def test_a_view_of_a_ring_that_replaces_unread_items_is_a_copy(overflow):
    ring = Ring(Ticker, 4, overflow)
    for seq in range(3):
        ring.put_nowait(ticker(seq, f"v{seq}/usd"))
    view = ring.view()
    with view as array:
        assert not view.zero_copy and view.released and ring.empty()
        for seq in range(10, 20):
            ring.put_nowait(ticker(seq))
        assert array["seq"].tolist() == [0, 1, 2]


def test_an_exception_in_the_block_takes_the_items_and_a_view_that_is_dropped_does_not():
    ring = Ring(Ticker, 4, "halt")
    ring.put_nowait(ticker(0))
    ring.put_nowait(ticker(1))
    with pytest.raises(LookupError), ring.view(1):
        raise LookupError
    view = ring.view()
    del view
    gc.collect()
    assert seqs(ring.get_batch()) == [1]


def test_an_array_that_outlives_ring_and_view_reads_living_memory():
    ring = Ring(Ticker, 1 << 14, "drop_newest")
    for seq in range(1 << 14):
        ring.put_nowait(ticker(seq))
    with ring.view() as array:
        pass
    assert array["seq"][5] == 5  # not overwritten yet, though nothing promises it
    ring.put_nowait(ticker(77))
    assert array["seq"][0] == 77
    del ring
    gc.collect()
    assert array["seq"].sum() == sum(range(1 << 14)) + 77


# draining


def test_drain_hands_the_callbacks_exception_on_with_its_item_taken(make):
    ring = make(capacity=8, overflow="drop_newest")
    for seq in range(5):
        ring.put_nowait(ticker(seq))
    got = []

    def callback(item):
        got.append(item.seq)
        if item.seq == 2:
            raise KeyError("two")

    with pytest.raises(KeyError, match="two"):
        ring.drain(callback)
    assert got == [0, 1, 2] and ring.qsize() == 2
    assert ring.drain(callback, 1) == 1 and ring.drain(callback) == 1 and ring.drain(callback) == 0
    assert got == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="limit must be at least 1, was 0"):
        ring.drain(callback, 0)


def test_items_that_a_callback_keeps_stay_what_they_were(make):
    ring = make(capacity=8, overflow="drop_newest")
    for seq in range(6):
        ring.put_nowait(ticker(seq))
    kept = []
    ring.drain(lambda item: kept.append(item) if item.seq % 2 else None)
    assert seqs(kept) == [1, 3, 5]


def test_a_callback_may_use_the_ring_and_does_not_loop_for_ever(make):
    ring = make(capacity=8, overflow="drop_newest")
    ring.put_nowait(ticker(0))
    ring.put_nowait(ticker(1))
    got = []

    def callback(item):
        got.append(item.seq)
        ring.put_nowait(ticker(item.seq + 10))
        if item.seq == 0:
            assert ring.get_nowait().seq == 1

    assert ring.drain(callback) == 2  # what was there at the start bounds it
    assert got == [0, 10] and seqs(ring.get_batch()) == [20]


async def test_dispatch_returns_what_a_coroutine_hook_must_await(make):
    ring = make(capacity=8, overflow="drop_newest")
    for seq in range(3):
        ring.put_nowait(ticker(seq))
    got = []

    async def hook(item):
        await asyncio.sleep(0)
        got.append(item.seq)

    while (awaitable := ring.dispatch(hook)) is not None:
        await awaitable
    assert got == [0, 1, 2]


@pytest.mark.parametrize("producers", ["one", "many"])
@pytest.mark.parametrize("how", ["get_nowait", "get_batch", "get_array", "drain", "view", "dispatch"])
def test_what_dispatch_has_claimed_is_still_the_rings(producers, how):
    ring = Ring(Ticker, 4, "drop_oldest", producers=producers)
    for seq in range(4):
        ring.put_nowait(ticker(seq))
    assert ring.dispatch(lambda item: "stop", since=0) == "stop"
    assert (ring.reached, ring.position, ring.qsize(), ring.stats["popped"]) == (1, 1, 3, 1)
    for seq in range(4, 9):
        ring.put_nowait(ticker(seq))  # 4 gives way: 1 to 3 do so no more
    assert ring.qsize() == 7 and ring.stats["dropped"] == 1
    assert ring.dispatch(lambda item: "never", since=0) is None  # nothing stands there any more
    match how:
        case "get_nowait":
            got = [ring.get_nowait().seq for _ in range(7)]
        case "get_batch":
            got = seqs(ring.get_batch())
        case "get_array":
            got = ring.get_array()["seq"].tolist()
        case "view":
            with ring.view() as array:
                got = array["seq"].tolist()
        case "drain":
            got = []
            ring.drain(lambda item: got.append(item.seq))
        case "dispatch":
            got = []
            ring.dispatch(lambda item: got.append(item.seq), since=1)
            assert got == [1, 2, 3] and ring.reached == 4 and ring.position == 5
            ring.dispatch(lambda item: got.append(item.seq), since=5)
    assert got == [1, 2, 3, 5, 6, 7, 8]
    stats = ring.stats
    assert stats["pushed"] == stats["popped"] + stats["dropped"] == 9 and ring.empty()


def test_a_dispatch_that_took_nothing_has_reached_nothing():
    ring = Ring(Ticker, 4, "drop_oldest")
    for seq in range(4):
        ring.put_nowait(ticker(seq))
    ring.dispatch(lambda item: None, 1, since=0)
    assert ring.reached == 1 and ring.get_nowait().seq == 1
    ring.dispatch(lambda item: None, since=2, until=2)
    assert (ring.reached, ring.position) == (1, 2)


@pytest.mark.parametrize("overflow", ["block", "drop_newest", "halt"])
@pytest.mark.parametrize("producers", ["one", "many"])
def test_a_view_shows_first_what_dispatch_has_claimed(producers, overflow):
    ring = Ring(Ticker, 8, overflow, producers=producers)
    for seq in range(5):
        ring.put_nowait(ticker(seq))
    assert ring.dispatch(lambda item: "stop", since=0) == "stop"
    for seq in range(5, 8):
        ring.put_nowait(ticker(seq))
    with ring.view(2) as array:
        assert array["seq"].tolist() == [1, 2]
    got: list[int] = []
    while not ring.empty():
        with ring.view() as array:
            got += array["seq"].tolist()
    assert got == [3, 4, 5, 6, 7]
    assert (ring.stats["pushed"], ring.stats["popped"], ring.position) == (8, 8, 8)
    ring.put_nowait(ticker(8))
    assert ring.view().zero_copy  # in their places again


def test_dispatch_stops_after_its_budget(make):
    ring = make(capacity=64, overflow="drop_newest")
    for seq in range(64):
        ring.put_nowait(ticker(seq))
    assert ring.dispatch(lambda item: time.sleep(0.002), budget_ns=5_000_000) is None
    assert 0 < ring.qsize() < 64
    with pytest.raises(OverflowError):
        ring.dispatch(print, until=-1)


def test_durations_are_recorded_per_item():
    now = time.time_ns()
    ring, to_callback, to_receipt = Ring(Ticker, 8), LatencyHistogram(), LatencyHistogram()
    ring.measure(to_callback, to_receipt, now - 10**9)
    ring.put_nowait(ticker(1, localTimeNs=now, exchangeTimeNs=now - 5_000_000))
    ring.put_nowait(ticker(2, localTimeNs=now, exchangeTimeNs=now - 4000 * 10**9))  # history
    ring.put_nowait(ticker(3, localTimeNs=now, exchangeTimeNs=now - 5, flags=1))  # a snapshot
    ring.put_nowait(ticker(4, localTimeNs=now - 2 * 10**9))  # from before
    assert ring.drain(lambda item: None) == 4
    assert to_callback.count == 3 and 0 < to_callback.max_ns < 60 * 10**9
    assert to_receipt.count == 1 and 4_800_000 < to_receipt.max_ns < 5_200_000
    ring.measure(None, to_receipt)
    ring.put_nowait(ticker(5, localTimeNs=now))
    ring.drain(lambda item: None)
    assert to_callback.count == 3
    with pytest.raises(TypeError, match="to_receipt must be a LatencyHistogram"):
        ring.measure(to_callback, None)
