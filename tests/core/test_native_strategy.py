"""Strategies in Cython: the example's package, compiled outside the tree, runs against the installed core."""

import asyncio
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hftcore
from hftcore.errors import RingClosed
from hftcore.layout import LAYOUT
from hftcore.ring import Ring
from hftcore.strategy import NativeStrategy
from hftcore.types import Ticker, Trade

EXAMPLE = Path(__file__).parents[2] / "examples" / "native_strategy"

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("Cython") is None
    or importlib.util.find_spec("setuptools") is None
    or shutil.which(os.environ.get("CXX", "g++")) is None,
    reason="compiling a strategy needs Cython, setuptools and a C++ compiler",
)


def ticker(bid_volume: float, ask_volume: float = 1.0, symbol: str = "btc/usdt") -> Ticker:
    return Ticker(
        exchange="kraken", symbol=symbol, bidPrice=99, bidVolume=bid_volume, askPrice=101, askVolume=ask_volume
    )


def trade(volume: float, side: str = "buy", flags: int = 0) -> Trade:
    return Trade(exchange="kraken", symbol="btc/usdt", price=100, volume=volume, side=side, flags=flags)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's package, compiled in a folder of its own."""
    folder = tmp_path_factory.mktemp("user") / "native_strategy"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.so", "*.cpp", "build", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "warning" not in done.stderr.lower(), done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def imbalance(package: Path) -> ModuleType:
    (library,) = (package / "imbalance").glob("strategy*.so")
    spec = importlib.util.spec_from_file_location("imbalance.strategy", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_headers_are_where_the_core_says() -> None:
    folder = Path(hftcore.get_include())
    assert (folder / "hftcore" / "types.hpp").is_file() and (folder / "hftcore" / "any_ring.hpp").is_file()
    for name in ("types", "ring", "ring_base", "latency", "layout", "strategy"):
        assert (folder.parent / f"{name}.pxd").is_file()


@needs_compiler
def test_the_example_runs(package: Path) -> None:
    done = python(package, "run.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "10 tickers, 5 trades, bought 10.0, sides [1, 0, -1]\n"


@needs_compiler
def test_what_was_compiled_against_another_layout_is_refused(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    (library,) = (copy / "imbalance").glob("strategy*.so")
    other = "0" * len(LAYOUT)
    code = library.read_bytes()
    assert code.count(f"Layout_{LAYOUT}".encode()) >= 1
    library.write_bytes(code.replace(f"Layout_{LAYOUT}".encode(), f"Layout_{other}".encode()))
    done = python(copy, "-c", "import imbalance")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: an extension was compiled against layout {other} of hftcore, but {LAYOUT} is installed: "
        f"compile it again"
    )


@needs_compiler
def test_compiled_against_other_files_it_is_refused(tmp_path: Path) -> None:
    """As above, without a forged file: the .pxd files of a core whose NativeStrategy has one method more."""
    core = tmp_path / "core" / "hftcore"
    shutil.copytree(Path(hftcore.__file__).parent, core, ignore=shutil.ignore_patterns("*.so", "*.pyx", "*.cpp"))
    pxd = core / "strategy.pxd"
    pxd.write_text(
        pxd.read_text().replace(
            "    cdef void on_ticker_c", "    cdef void on_book_c(self) noexcept nogil\n    cdef void on_ticker_c", 1
        )
    )
    layout = core / "layout.pxd"
    layout.write_text(layout.read_text().replace(LAYOUT, "ffffffffffff"))
    folder = tmp_path / "user"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.so", "*.cpp", "build"))
    setup = folder / "setup.py"
    setup.write_text(setup.read_text().replace("str(Path(hftcore.__file__).parents[1])", repr(str(core.parent))))
    done = python(folder, "setup.py", "build_ext", "--inplace")
    assert done.returncode == 0, done.stderr[-4000:]
    done = python(folder, "-c", "import imbalance")
    assert done.returncode == 1
    assert "ImportError: an extension was compiled against layout ffffffffffff of hftcore" in done.stderr


def test_layout_has_no_other_names() -> None:
    import hftcore.layout

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = hftcore.layout.nothing
    with pytest.raises(ImportError, match="layout 0 of hftcore"):
        _ = hftcore.layout.Layout_0


@needs_compiler
def test_handlers_get_the_structs(imbalance: Any) -> None:
    strategy = imbalance.Imbalance("btc/usdt", 0.75)
    tickers: Ring[Ticker] = Ring(Ticker)
    for item in (ticker(1), ticker(9), ticker(9, symbol="eth/usdt"), ticker(0, 0), ticker(0.1)):
        tickers.put_nowait(item)
    assert strategy.drain(tickers) == 5
    assert (strategy.tickers, strategy.trades, strategy.changes, strategy.side) == (5, 0, 2, -1)
    assert strategy.share == 0.1 / 1.1
    assert strategy.take_signal() is True and strategy.take_signal() is False
    trades: Ring[Trade] = Ring(Trade)
    for traded in (trade(2), trade(0.5, "sell"), trade(7, flags=1)):
        trades.put_nowait(traded)
    assert strategy.drain(trades) == 3
    assert (strategy.bought, strategy.sold, strategy.trades) == (2, 0.5, 3)
    assert strategy.drain(trades) == strategy.drain(tickers) == 0


@needs_compiler
def test_arguments_are_checked(imbalance: Any) -> None:
    strategy = imbalance.Imbalance("btc/usdt")
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit must be"):
            strategy.drain(Ring(Ticker), limit)
    for ring in (None, object(), asyncio.Queue()):
        with pytest.raises(TypeError):
            strategy.drain(ring)
    with pytest.raises(ValueError, match=r"threshold must be between 0.5 and 1, was 2.0"):
        imbalance.Imbalance("btc/usdt", 2)
    ring: Ring[Ticker] = Ring(Ticker, 16, "drop_newest")  # its view shows items in their places
    ring.put_nowait(ticker(1))
    with ring.view(), pytest.raises(RuntimeError):
        strategy.drain(ring)


@needs_compiler
def test_limit_and_until_leave_the_rest(imbalance: Any) -> None:
    strategy = imbalance.Imbalance("btc/usdt")
    ring: Ring[Ticker] = Ring(Ticker)
    for volume in range(300):
        ring.put_nowait(ticker(volume))
        if volume == 199:
            mark = ring.mark()
    assert strategy.drain(ring, 70) == 70 and ring.qsize() == 230
    assert strategy.dispatch(ring, until=mark) is None and ring.qsize() == 100
    assert strategy.dispatch(ring, until=mark, since=200) is None and (ring.qsize(), strategy.tickers) == (100, 200)
    strategy.dispatch(ring, 30, since=150)  # what stood there is gone
    assert (ring.qsize(), strategy.tickers) == (100, 200)
    strategy.dispatch(ring, 30, since=200)
    assert (ring.qsize(), strategy.tickers, ring.reached) == (70, 230, 230)
    assert ring.get_nowait().bidVolume == 230
    strategy.dispatch(ring, since=230)
    assert ring.qsize() == 69
    assert strategy.drain(ring) == 69


@needs_compiler
@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "conflate"])
@pytest.mark.parametrize("producers", ["one", "many"])
def test_random_operations_against_a_slow_model(imbalance: Any, overflow: str, producers: str) -> None:
    seed = 20261121
    generator = random.Random(seed)
    ring: Ring[Ticker] = Ring(Ticker, 16, overflow, producers=producers)
    model: Ring[Ticker] = Ring(Ticker, 16, overflow, producers=producers)
    strategy = imbalance.Imbalance("btc/usdt", 0.75)
    side = changes = seen = 0
    for _ in range(3000):
        if generator.random() < 0.7:
            item = ticker(generator.choice((0.1, 1, 9)), symbol=generator.choice(("btc/usdt", "eth/usdt", "xrp/usdt")))
            for one in (ring, model):
                one.put_nowait(item)
        else:
            limit = generator.choice((1, 3, 100))
            batch = model.get_batch(limit)
            assert strategy.drain(ring, limit) == len(batch), seed
            seen += len(batch)
            for item in batch:
                if item.symbol == "btc/usdt":
                    share = item.bidVolume / (item.bidVolume + 1)
                    now = 1 if share > 0.75 else -1 if share < 0.25 else 0
                    changes += now != side
                    side = now
            assert (strategy.tickers, strategy.changes, strategy.side) == (seen, changes, side), seed
    assert ring.stats == model.stats and changes > 50


@needs_compiler
def test_run_with_a_producer_on_another_thread(imbalance: Any) -> None:
    ring: Ring[Trade] = Ring(Trade, 64, "block")
    strategy = imbalance.Imbalance("btc/usdt")
    count = 20_000

    def produce() -> None:
        try:
            item = trade(1)
            for _ in range(count):
                ring.put(item, 60)
        finally:
            ring.close()

    async def consume() -> None:
        thread = threading.Thread(target=produce)
        thread.start()
        try:
            await strategy.run(ring, batch=100)
        finally:
            thread.join()

    asyncio.run(consume())
    assert (strategy.trades, strategy.bought) == (count, count)
    with pytest.raises(RingClosed):
        asyncio.run(ring.get())


@needs_compiler
async def test_run_signals_once_per_batch_and_can_be_cancelled(imbalance: Any) -> None:
    ring: Ring[Ticker] = Ring(Ticker)
    strategy = imbalance.Imbalance("btc/usdt", 0.75)
    task = asyncio.create_task(strategy.run(ring))
    for volumes, sides in (((9, 0.1, 1, 9), [1]), ((9,), [1]), ((0.1, 9, 0.1), [1, -1])):
        for volume in volumes:
            ring.put_nowait(ticker(volume))
        for _ in range(5):
            await asyncio.sleep(0)
        assert strategy.seen == sides
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ring.put_nowait(ticker(1))
    assert ring.qsize() == 1


@needs_compiler
async def test_python_subclass_may_act_on_signals(imbalance: Any) -> None:
    class Quoter(imbalance.Imbalance):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__("btc/usdt", 0.75)
            self.awaited: list[int] = []

        async def on_signal(self) -> None:
            await asyncio.sleep(0)
            if self.side < 0:
                raise RuntimeError("no")
            self.awaited.append(self.side)

    ring: Ring[Ticker] = Ring(Ticker)
    strategy = Quoter()
    task = asyncio.create_task(strategy.run(ring))
    ring.put_nowait(ticker(9))
    while not strategy.awaited:
        await asyncio.sleep(0.001)
    ring.put_nowait(ticker(0.1))
    with pytest.raises(RuntimeError, match="no"):
        await task
    ring.put_nowait(ticker(9))
    assert strategy.drain(ring) == 1  # goes on, on request


async def test_the_end_of_another_ring_does_not_end_a_run_in_silence() -> None:
    other: Ring[Ticker] = Ring(Ticker)
    other.close()

    class Follower(NativeStrategy):
        def take_signal(self) -> bool:
            return True

        async def on_signal(self) -> None:
            await other.get()

    ring: Ring[Ticker] = Ring(Ticker)
    ring.put_nowait(ticker(1))
    with pytest.raises(RingClosed):
        await asyncio.wait_for(Follower().run(ring), 20)


def test_base_class_counts() -> None:
    strategy = NativeStrategy()
    ring: Ring[Ticker] = Ring(Ticker)
    for _ in range(200):
        ring.put_nowait(ticker(1))
    assert strategy.drain(ring) == strategy.tickers == 200
    assert strategy.take_signal() is False and strategy.on_signal() is None
