"""hftcore.ring from compiled code outside the tree: pushing and draining structs, threads without the GIL, blocking."""

import asyncio
import importlib.util
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from native_stress import COMPILER

import hftcore
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.common import Channel
from hftpy.service.inbox import MarketInbox

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
    pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="no Cython"),
    pytest.mark.skipif(sys.platform != "linux", reason="links as on Linux"),
]
HERE = Path(__file__).parent
SYMBOL = CurrencyPair("btc/usdt").id


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    assert COMPILER is not None
    folder = tmp_path_factory.mktemp("api")
    source, library = folder / "ring_api.cpp", folder / f"ring_api{sysconfig.get_config_var('EXT_SUFFIX')}"
    tree = Path(hftcore.__file__).parents[1]
    cython = [sys.executable, "-m", "cython", "--cplus", "-3", "-I", str(tree), "-o", str(source)]
    subprocess.run([*cython, str(HERE / "ring_api.pyx")], check=True, capture_output=True, text=True)
    include = [f"-I{tree / 'hftcore' / 'include'}", f"-I{sysconfig.get_paths()['include']}"]
    command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", *include, str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("ring_api", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("producers", ["one", "many"])
def test_structs_go_in_and_out_without_an_object(api, producers):
    ring = Ring(Ticker, 256, "drop_newest", producers=producers)
    assert api.push_tickers(ring, SYMBOL, 1, 300) == 256
    assert api.drain_tickers(ring, 100) == (100, 5050, 5050.0, True)
    assert api.drain_tickers(ring, 1000) == (156, sum(range(101, 257)), float(sum(range(101, 257))), True)
    assert api.drain_tickers(ring, 10) == (0, 0, 0.0, True)
    assert api.drain_tickers(ring, 0)[0] == 0 and api.drain_trades(ring, 10)[0] == 0
    stats = ring.stats
    assert (stats["pushed"], stats["popped"], stats["dropped"]) == (256, 256, 44)


def test_trades_and_the_python_drain(api):
    ring = Ring(Trade, 8)
    for seq in range(3):
        ring.put_nowait(Trade(exchange="kraken", symbol="btc/usdt", price=seq + 0.5, seq=seq))
    assert api.drain_tickers(ring, 10)[0] == 0
    assert api.drain_trades(ring, 2) == (2, 1, 2.0)
    got = []
    assert api.drain_into(ring, got.append, 10) == 1 and got[0].seq == 2


def test_a_view_keeps_native_takes_out(api):
    ring = Ring(Ticker, 8, "halt")
    api.push_tickers(ring, SYMBOL, 1, 2)
    with ring.view():
        assert api.drain_tickers(ring, 10)[0] == 0
    assert ring.empty()


def test_a_drain_under_the_gil_and_a_push_without_it_share_a_ring_that_drops_the_oldest(api):
    count = 300_000
    ring = Ring(Ticker, 16)
    ring.put_nowait(Ticker(exchange="kraken", symbol="btc/usdt"))
    got: list[int] = []

    def take(item):
        got.append(item.seq)
        assert item.bidPrice == item.seq  # not of two items

    assert ring.drain(take) == 1  # nobody has pushed without the GIL yet
    pushing = threading.Thread(target=api.push_tickers, args=(ring, SYMBOL, 1, count), kwargs={"burst": 64})
    pushing.start()
    while pushing.is_alive():
        ring.drain(take)
    pushing.join()
    ring.drain(take)
    assert got == sorted(set(got)) and got[-1] == count
    stats = ring.stats
    assert stats["pushed"] == count + 1 == stats["popped"] + stats["dropped"]
    assert stats["popped"] == len(got)


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest", "conflate"])
def test_threads_without_the_gil_wake_the_loop_and_the_counters_are_exact(api, overflow):
    count, threads = 20_000, 3
    ring = Ring(Ticker, 64, overflow, producers="many", block_timeout=60)
    got: dict[str, list[int]] = {}

    def feed(number):
        api.push_tickers(ring, CurrencyPair(f"api{number}/usd").id, 1, count, burst=16)

    async def main():
        feeding = [threading.Thread(target=feed, args=(number,)) for number in range(threads)]
        for thread in feeding:
            thread.start()
        closing = asyncio.create_task(asyncio.to_thread(lambda: ([thread.join() for thread in feeding], ring.close())))
        async for item in ring:
            got.setdefault(str(item.symbol), []).append(item.seq)
        await closing

    asyncio.run(asyncio.wait_for(main(), 90))
    stats = ring.stats
    assert all(seqs == sorted(set(seqs)) for seqs in got.values())
    assert stats["popped"] == sum(map(len, got.values()))
    match overflow:
        case "block":
            assert got == {f"api{number}/usd": list(range(1, count + 1)) for number in range(threads)}
        case "drop_newest":
            assert stats["popped"] + stats["dropped"] == count * threads
        case _:
            assert stats["pushed"] == count * threads
            assert stats["pushed"] == stats["popped"] + stats["dropped"] + stats["conflated"]
    if overflow == "conflate":
        assert stats["dropped"] == 0 and [seqs[-1] for seqs in got.values()] == [count] * threads


@pytest.mark.parametrize("producers", ["one", "many"])
@pytest.mark.parametrize("with_gil", [True, False])
def test_a_native_producer_waits_for_room_also_when_it_holds_the_gil(api, producers, with_gil):
    ring = Ring(Ticker, 2, "block", producers=producers, block_timeout=60)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(api.push_tickers(ring, SYMBOL, 0, 500, with_gil=with_gil)))

    async def main():
        thread.start()
        return [(await ring.get()).seq for _ in range(500)]

    assert asyncio.run(asyncio.wait_for(main(), 60)) == list(range(500))
    thread.join()
    assert taken == [500] and ring.stats["dropped"] == 0


@pytest.mark.parametrize("with_gil", [True, False])
def test_a_native_push_gives_up_in_time_and_is_counted(api, with_gil):
    ring = Ring(Ticker, 1, "block", block_timeout=0.05)
    before = time.monotonic()
    assert api.push_tickers(ring, SYMBOL, 0, 3, with_gil=with_gil) == 1
    assert time.monotonic() - before >= 0.1
    assert ring.stats["pushed"] == 1 and ring.stats["dropped"] == 2


@pytest.mark.parametrize("with_gil", [True, False])
def test_a_native_push_on_the_consumers_own_thread_gives_up_at_once(api, with_gil):
    ring = Ring(Ticker, 1, "block", block_timeout=3600)
    api.push_tickers(ring, SYMBOL, 0, 1)
    ring.get_nowait()
    assert api.push_tickers(ring, SYMBOL, 1, 4, with_gil=with_gil) == 1
    assert ring.stats["dropped"] == 3


@pytest.mark.parametrize("with_gil", [True, False])
async def test_a_native_push_in_a_loop_that_nobody_takes_from_yet_gives_up_at_once(api, with_gil):
    ring = Ring(Ticker, 1, "block", block_timeout=3600)
    assert api.push_tickers(ring, SYMBOL, 0, 4, with_gil=with_gil) == 1
    assert ring.stats["dropped"] == 3


async def test_a_native_drain_in_another_thread_lets_a_waiting_put_in(api):
    ring = Ring(Ticker, 1, "block")
    ring.put_nowait(Ticker(exchange="kraken", symbol="btc/usdt", seq=1))
    waiting = asyncio.create_task(ring.put(Ticker(exchange="kraken", symbol="btc/usdt", seq=2)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert await asyncio.to_thread(api.drain_tickers, ring, 10) == (1, 1, 0.0, True)
    assert await asyncio.wait_for(waiting, 30) is True and ring.get_nowait().seq == 2


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "conflate"])
@pytest.mark.parametrize("coroutine", [True, False])
async def test_what_a_flood_without_the_gil_loses_is_told_where_it_is_missing(api, eventually, overflow, coroutine):
    count = 200_000
    seen: list[int] = []
    lost: list[tuple[int, int]] = []  # after how many messages, how many

    def take(item):
        seen.append(item.seq)
        sum(range(20))

    async def take_later(item):
        seen.append(item.seq)
        if item.seq % 64 == 0:
            await asyncio.sleep(0)

    async def deliver_event(event):
        lost.append((len(seen), event.lost))

    inbox = MarketInbox(
        Channel.TICKER, Ticker, 256, take_later if coroutine else take, deliver_event, overflow=overflow
    )
    running = asyncio.create_task(inbox.run())

    # At about the pace of the consumer, so that the ring is overrun while it delivers.
    await asyncio.to_thread(api.push_tickers, inbox.ring, SYMBOL, 1, count, burst=8, pause=4)
    stats = inbox.ring.stats
    await eventually(lambda: inbox.ring.empty() and len(seen) + sum(n for _, n in lost) + stats["conflated"] == count)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sum(n for _, n in lost) == stats["dropped"]
    assert seen == sorted(set(seen))
    if overflow == "conflate":
        assert stats["dropped"] == 0 and seen[-1] == count
        return
    told = Counter()
    for place, number in lost:
        told[place] += number
    for place, seq in enumerate(seen):
        hole = seq - (seen[place - 1] if place else 0) - 1
        if overflow == "drop_oldest":
            assert told[place] == hole  # exactly there, exactly that many
    if overflow == "drop_newest":
        # Told at the latest before the first message after each hole, though early by up to what the ring held.
        holes = [(place, seen[place] - seen[place - 1] - 1) for place in range(1, len(seen))]
        so_far = 0
        for place, hole in holes:
            so_far += hole
            assert sum(n for at, n in lost if at <= place) >= so_far


def test_closing_lets_a_waiting_native_push_go(api):
    ring = Ring(Ticker, 1, "block", block_timeout=3600)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(api.push_tickers(ring, SYMBOL, 0, 3)))
    thread.start()
    time.sleep(0.05)
    ring.close()
    thread.join(30)
    assert taken == [1] and ring.stats["dropped"] == 2
