"""The shared-memory ring: its model, its errors, its permissions, its waits."""

import asyncio
import gc
import os
import random
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from shm_model import ReaderModel, WriterModel

from hftcore.errors import RingClosed, SegmentError, SegmentInUseError
from hftcore.shm import MAX_EVENT_BYTES, ShmReader, ShmWriter, in_memory
from hftcore.symbols import CurrencyPair
from hftcore.types import TICKER_DTYPE, Ticker, Trade

SYMBOLS = ["btc/usd", "eth/usd", "ada/eur", "sol/usdt"]


def ticker(seq: int, symbol: str = "btc/usd") -> Ticker:
    return Ticker(exchange="kraken", symbol=symbol, bidPrice=float(seq), seq=seq)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shm"
    folder.mkdir(mode=0o700)
    yield folder / "kraken.ticker.shm"
    assert os.listdir(folder) == []


@pytest.fixture
def writer(path: Path) -> Iterator[ShmWriter[Ticker]]:
    made = ShmWriter(path, Ticker, exchange="kraken", capacity=64, max_symbols=64)
    yield made
    made.close()


def test_random_operations_against_the_model(path: Path) -> None:
    seed = int(os.environ.get("HFTPY_SEED", time.time_ns() % 1_000_000))
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(60):
        capacity = rng.choice([1, 2, 4, 16])
        writer = ShmWriter(path, Ticker, exchange="kraken", capacity=capacity, max_symbols=8)
        model = WriterModel(capacity)
        readers: list[tuple[ShmReader[Ticker], ReaderModel, list[Any]]] = []
        for _ in range(rng.randint(5, 120)):
            action = rng.random()
            if action < 0.6:
                for _ in range(rng.choice([1, 1, 3, capacity, 3 * capacity])):
                    name = rng.choice(SYMBOLS)
                    number = model.put(name)
                    assert writer.put(ticker(number, name)) == number
            elif action < 0.7 and len(readers) < 4:
                wanted = rng.choice([None, frozenset(rng.sample(SYMBOLS, rng.randint(1, 3)))])
                notices: list[Any] = []
                reader = ShmReader(path, Ticker, symbols=wanted, on_notice=lambda *told, to=notices: to.append(told))
                twin = ReaderModel(model, wanted, 0)
                assert [(item.symbol, item.seq) for item in reader.get_batch()] == twin.join()
                readers.append((reader, twin, notices))
            elif readers:
                reader, twin, notices = rng.choice(readers)
                limit = rng.choice([1, 2, 5, 1000])
                got: list[tuple[str, int]] = []

                def take(item: Ticker, to: list[tuple[str, int]] = got) -> None:
                    to.append((item.symbol, item.seq))

                match rng.randrange(3):
                    case 0:
                        reader.drain(take, limit)
                    case 1:
                        # A batch ends before a notice.
                        while len(got) < limit and (batch := reader.get_batch(limit - len(got))):
                            for item in batch:
                                take(item)
                    case _:
                        for _ in range(limit):
                            try:
                                take(reader.get_nowait())
                            except asyncio.QueueEmpty:
                                break
                expected, gone = twin.read(limit)
                assert got == expected
                told: dict[str, int] = {}
                for name, symbol, lost in notices:
                    assert name == "lost"
                    told[symbol] = told.get(symbol, 0) + lost
                notices.clear()
                if len(got) < limit:  # else a loss may be told with the next one
                    assert told == gone
                else:
                    for name, lost in told.items():
                        assert lost == gone[name]
                    twin_later = {name: lost for name, lost in gone.items() if name not in told}
                    assert not twin_later
                stats = reader.stats
                assert stats["positions_lost"] == twin.lost
        for reader, _, _ in readers:
            reader.close()
        writer.close()


def test_every_symbol_crosses_by_its_text(path: Path, writer: ShmWriter[Ticker]) -> None:
    script = (
        "import sys\nfrom hftcore.shm import ShmReader\nfrom hftcore.types import Ticker\n"
        "from hftcore.symbols import CurrencyPair\n"
        "[CurrencyPair(f'x{n}/usd') for n in range(100)]\n"
        "for t in ShmReader(sys.argv[1], Ticker).get_batch(): print(t.symbol, t.exchange, t.seq)\n"
    )
    for number, name in enumerate(["btc/usd", "€uro/usd", "doge/usdt:usdt"]):
        writer.put(ticker(number, name))
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines() == ["btc/usd kraken 0", "€uro/usd kraken 1", "doge/usdt:usdt kraken 2"]


def test_what_a_file_must_not_be(path: Path) -> None:
    writer = ShmWriter(path, Ticker, exchange="kraken", capacity=64, max_symbols=8)
    whole = path.read_bytes()
    with pytest.raises(SegmentError, match="kind must be 2, was 1"):
        ShmReader(path, Trade)
    writer.close()
    assert ShmReader(path, Ticker).attached is False

    def put(offset: int, form: str, value: int) -> bytes:
        return whole[:offset] + struct.pack(form, value) + whole[offset + struct.calcsize(form) :]

    wrong = {
        "magic number differs": put(0, "<Q", 7),
        "layout version must be 1, was 2": put(8, "<I", 2),
        "header size must be 320, was 8": put(12, "<I", 8),
        "size in the header": put(16, "<Q", 1 << 40),
        "capacity must be a power of two, was 63": put(40, "<Q", 63),
        "capacity must be a power of two, was 0": put(40, "<Q", 0),
        f"capacity must be a power of two, was {1 << 63}": put(40, "<Q", 1 << 63),
        "slot size must be 128, was 64": put(48, "<I", 64),
        "symbol limit": put(52, "<I", (1 << 32) - 1),
        "size in the header must be": put(52, "<I", 100),
        "symbol size must be 64, was 65": put(56, "<I", 65),
        "event count must be 64": put(60, "<I", 65),
        "event size must be 4096": put(64, "<I", 1),
        "size of the file must be": whole[:-4096],
        "it has no header": whole[:200],
        "truncated": b"",
        "size of the file": whole + b"\0",
    }
    for text, content in wrong.items():
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(SegmentError, match=text):
            ShmReader(path, Ticker)
    path.write_bytes(whole)
    path.chmod(0o640)
    with pytest.raises(SegmentError, match="open to other users"):
        ShmReader(path, Ticker)
    path.chmod(0o600)
    assert not ShmReader(path, Ticker).attached  # whole, but its writer is gone
    path.unlink()
    target = path.with_name("target")
    target.write_bytes(whole)
    target.chmod(0o600)
    path.symlink_to(target)
    with pytest.raises(SegmentError, match="cannot be opened"):
        ShmReader(path, Ticker)
    with pytest.raises(SegmentError, match="no file of ours"):
        ShmWriter(path, Ticker, exchange="kraken")
    assert target.read_bytes() == whole
    path.unlink()
    target.unlink()
    path.mkdir()
    with pytest.raises(SegmentError):
        ShmReader(path, Ticker)
    with pytest.raises(SegmentError, match="no file of ours"):
        ShmWriter(path, Ticker, exchange="kraken")
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(SegmentError, match="no regular file"):
        ShmReader(path, Ticker)
    path.unlink()
    path.with_name(path.name + ".lock").symlink_to(target)
    with pytest.raises(SegmentError, match="cannot be locked"):
        ShmWriter(path, Ticker, exchange="kraken")
    assert not target.exists()
    path.with_name(path.name + ".lock").unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path, writer: ShmWriter[Ticker]) -> None:
    os.chown(path, 12345, -1)
    with pytest.raises(SegmentError, match="belongs to user 12345, not to 0"):
        ShmReader(path, Ticker)
    os.chown(path, 0, -1)
    ShmReader(path, Ticker).close()


def test_modes_and_owners(path: Path, writer: ShmWriter[Ticker]) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.with_name(path.name + ".lock").stat().st_mode) == 0o600
    with pytest.raises(SegmentInUseError, match="in use by another process or object"):
        ShmWriter(path, Ticker, exchange="kraken")
    with pytest.raises(SegmentError, match="No such file or directory"):
        ShmWriter(path.parent / "none" / "x.shm", Ticker, exchange="kraken")
    assert in_memory("/proc") is False


def test_no_room_is_an_error_and_leaves_nothing(path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    script = (
        "import sys; from hftcore.shm import ShmWriter; from hftcore.types import Ticker\n"
        "ShmWriter(sys.argv[1], Ticker, exchange='kraken')"
    )
    done = subprocess.run([sys.executable, "-c", script, path], stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    assert "SegmentError" in done.stderr and "finds no room" in done.stderr


def test_bad_arguments(path: Path, writer: ShmWriter[Ticker]) -> None:
    for keywords, text in (
        ({"capacity": 6}, "capacity must be a power of two, was 6"),
        ({"capacity": 0}, "capacity must be 1 to"),
        ({"max_symbols": 1 << 30}, "max_symbols must be 1 to"),
        ({"epoch": 0}, "epoch must be 1 to"),
        ({"exchange": "nowhere"}, "nowhere"),
    ):
        with pytest.raises(ValueError, match=text):
            ShmWriter(path.with_name("other"), Ticker, **{"exchange": "kraken", **keywords})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Ticker or Trade"):
        ShmWriter(path, int, exchange="kraken")  # type: ignore[type-var]
    with pytest.raises(ValueError, match="'nap'"):
        ShmReader(path, Ticker, wait="nap")
    with pytest.raises(TypeError, match="must be a Ticker"):
        writer.put(Trade(exchange="kraken", symbol="btc/usd"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exchange must be kraken, was binance"):
        writer.put(Ticker(exchange="binance", symbol="btc/usd"))
    with pytest.raises(ValueError, match=f"at most {MAX_EVENT_BYTES} bytes, was {MAX_EVENT_BYTES + 1}"):
        writer.put_event(b"x" * (MAX_EVENT_BYTES + 1))
    for number in range(64):
        writer.put(ticker(number, f"x{number}/usd"))
    with pytest.raises(ValueError, match="room for 64 symbols, one more was 'y/usd'"):
        writer.put(ticker(1, "y/usd"))
    with ShmClosing(ShmReader(path, Ticker)) as reader:
        with pytest.raises(ValueError, match="limit"):
            reader.drain(print, 0)
        with pytest.raises(ValueError, match="limit"):
            reader.get_batch(0)


class ShmClosing:
    def __init__(self, reader: ShmReader[Any]) -> None:
        self.reader = reader

    def __enter__(self) -> ShmReader[Any]:
        return self.reader

    def __exit__(self, *_: object) -> None:
        self.reader.close()


def test_after_close(path: Path) -> None:
    writer = ShmWriter(path, Ticker, exchange="kraken", capacity=4)
    reader = ShmReader(path, Ticker)
    writer.put(ticker(1))
    reader.close()
    reader.close()
    writer.close()
    writer.close()
    assert writer.closed and reader.closed and writer.readers == 0 and reader.seqs() == {}
    for call in (lambda: writer.put(ticker(1)), lambda: writer.put_event(b""), reader.fileno):
        with pytest.raises(RingClosed):
            call()
    with pytest.raises(RingClosed):
        reader.get_wait(1)
    assert reader.get_batch() == [] and reader.drain(print) == 0
    writer.wake_readers()
    writer.heartbeat()


def test_what_was_never_made_is_empty() -> None:
    reader: ShmReader[Ticker] = ShmReader.__new__(ShmReader)
    assert reader.seqs() == {} and not reader.attached and reader.stats["delivered"] == 0
    writer: ShmWriter[Ticker] = ShmWriter.__new__(ShmWriter)
    assert writer.closed and writer.readers == 0 and writer.stats["published"] == 0
    writer.close()


def test_events_and_their_loss(path: Path, writer: ShmWriter[Ticker]) -> None:
    told: list[Any] = []
    with ShmClosing(ShmReader(path, Ticker, on_notice=lambda *notice: told.append(notice))) as reader:
        texts = [b"", b"x", b"12345678", b"y" * MAX_EVENT_BYTES]
        for text in texts:
            writer.put_event(text)
        assert reader.get_batch() == [] and told == [("event", None, text) for text in texts]
        told.clear()
        for number in range(40):
            writer.put_event(b"%d" % number)
        for number in range(40):
            writer.put(ticker(number))
        assert [item.seq for item in reader.get_batch()] == list(range(8, 40))
        assert told == [("lost", None, 40), ("lost", CurrencyPair("btc/usd"), 8)]
        told.clear()
        assert reader.stats["lost"] == 48
    with ShmClosing(ShmReader(path, Ticker)) as deaf:
        writer.put_event(b"nobody listens")
        deaf.get_batch()
        writer.put(ticker(1))
        assert len(deaf.get_batch()) == 1


def test_an_array_of_a_batch(path: Path, writer: ShmWriter[Ticker]) -> None:
    with ShmClosing(ShmReader(path, Ticker)) as reader:
        for number in range(5):
            writer.put(ticker(number, SYMBOLS[number % 2]))
        array = reader.get_array(4)
        assert array.dtype == TICKER_DTYPE and array["seq"].tolist() == [0, 1, 2, 3] and array.flags.writeable
        assert array["symbol"].tolist() == [CurrencyPair(SYMBOLS[n % 2]).id for n in range(4)]
        assert len(reader.get_array()) == 1 and len(reader.get_array()) == 0
        assert np.isfinite(array["bidPrice"]).all()


def test_an_exception_of_the_callback_passes_and_loses_one(path: Path, writer: ShmWriter[Ticker]) -> None:
    with ShmClosing(ShmReader(path, Ticker)) as reader:
        for number in range(4):
            writer.put(ticker(number))
        got: list[int] = []

        def callback(item: Ticker) -> None:
            if item.seq == 1:
                raise KeyError("no")
            got.append(item.seq)

        with pytest.raises(KeyError):
            reader.drain(callback)
        assert reader.drain(callback) == 2 and got == [0, 2, 3]


@pytest.mark.parametrize("wait", ["spin", "adaptive", "park"])
def test_waiting_in_a_thread(path: Path, writer: ShmWriter[Ticker], wait: str) -> None:
    got: list[int] = []
    with ShmClosing(ShmReader(path, Ticker, wait=wait)) as reader:
        with pytest.raises(TimeoutError):
            reader.get_wait(0.05)

        def read() -> None:
            while not got or got[-1] != 49:
                got.append(reader.get_wait(60).seq)

        thread = threading.Thread(target=read)
        thread.start()
        for number in range(50):
            writer.put(ticker(number))
            if number % 10 == 0:
                time.sleep(0.002)
            writer.wake_readers()
        thread.join(60)
    assert got == list(range(50))


@pytest.mark.parametrize("wait", ["spin", "adaptive", "park"])
def test_signals_are_handled_while_a_thread_waits(path: Path, writer: ShmWriter[Ticker], wait: str) -> None:
    def fail(*_: object) -> None:
        raise LookupError("by the handler")

    before = signal.signal(signal.SIGALRM, lambda *_: writer.put(ticker(7)))
    try:
        with ShmClosing(ShmReader(path, Ticker, wait=wait)) as reader:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert reader.get_wait(5).seq == 7  # put by the handler, which must not have to wait for our end
            signal.signal(signal.SIGALRM, fail)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(LookupError):  # as Ctrl-C, though there is no timeout
                reader.get_wait()
            writer.put(ticker(8))
            assert reader.get_wait().seq == 8
    finally:
        signal.signal(signal.SIGALRM, before)


def test_timeouts_of_a_wait(path: Path, writer: ShmWriter[Ticker]) -> None:
    with ShmClosing(ShmReader(path, Ticker)) as reader:
        for number, timeout in enumerate((float("inf"), 1e10, 1 << 70, 0, -1, np.float32(1), True)):
            writer.put(ticker(number))
            assert reader.get_wait(timeout).seq == number
        for timeout in (0, -1, -float("inf"), 1e-9):
            with pytest.raises(TimeoutError):
                reader.get_wait(timeout)
        with pytest.raises(ValueError, match="timeout must be a number of seconds or None, was nan"):
            reader.get_wait(float("nan"))
        with pytest.raises(TypeError, match="timeout must be a number of seconds or None, was 'soon'"):
            reader.get_wait("soon")  # type: ignore[arg-type]


@pytest.mark.parametrize("wait", ["spin", "adaptive", "park"])
async def test_waiting_in_asyncio(path: Path, writer: ShmWriter[Ticker], wait: str) -> None:
    with ShmClosing(ShmReader(path, Ticker, wait=wait)) as reader:
        got: list[int] = []

        async def read() -> None:
            async for item in reader:
                got.append(item.seq)

        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        for number in range(100):
            writer.put(ticker(number))
            if number % 9 == 0:
                writer.wake_readers()
                await asyncio.sleep(0.003)
        writer.wake_readers()
        while len(got) < 100:
            await asyncio.sleep(0.005)
        assert got == list(range(100)) and writer.readers == 1
        with pytest.raises(RuntimeError, match="another task"):
            await reader.wait()
        reader.close()
        await asyncio.wait_for(task, 20)


async def test_a_cancelled_get_loses_nothing(path: Path, writer: ShmWriter[Ticker]) -> None:
    with ShmClosing(ShmReader(path, Ticker, wait="park")) as reader:
        for number in range(20):
            task = asyncio.create_task(reader.get())
            await asyncio.sleep(0.001 * (number % 3))
            writer.put(ticker(number))
            if number % 2:
                task.cancel()
            writer.wake_readers()
            try:
                assert (await task).seq == number
            except asyncio.CancelledError:
                assert reader.get_nowait().seq == number


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_closing_a_reader_that_was_just_woken_leaves_its_descriptor(
    path: Path, writer: ShmWriter[Ticker], run: Callable[..., Any]
) -> None:
    """The number is given out again, and the loop must hear what comes there."""

    async def close_when_woken() -> None:
        loop = asyncio.get_running_loop()
        reader: ShmReader[Ticker] = ShmReader(path, Ticker)
        task = asyncio.create_task(reader.get())
        await asyncio.sleep(0.02)
        number = reader.fileno()
        reader._wake_waiter()  # type: ignore[attr-defined]
        reader.close()  # in the same turn of the loop
        with pytest.raises(RingClosed):
            await task
        held: list[socket.socket] = []  # the system gives the lowest number that is free
        while not any(one.fileno() == number for one in held):
            held += socket.socketpair()
        at = next(index for index, one in enumerate(held) if one.fileno() == number)
        heard = loop.create_future()
        loop.add_reader(number, lambda: heard.done() or heard.set_result(None))
        held[at ^ 1].send(b"x")
        try:
            await asyncio.wait_for(heard, 5)
        finally:
            loop.remove_reader(number)
            for one in held:
                one.close()

    run(close_when_woken())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_another_loop_may_wait_after_one_died_with_its_waiter(
    path: Path, writer: ShmWriter[Ticker], run: Callable[..., Any]
) -> None:
    tasks = []

    def die(reader: ShmReader[Ticker]) -> None:
        loop = uvloop.new_event_loop() if run is uvloop.run else asyncio.new_event_loop()
        tasks.append(loop.create_task(reader.get()))
        tasks[-1]._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(0.02))
        loop.close()

    with ShmClosing(ShmReader(path, Ticker)) as reader:

        async def wait(number: int) -> int:
            asyncio.get_running_loop().call_later(0.02, lambda: (writer.put(ticker(number)), writer.wake_readers()))
            task = asyncio.create_task(reader.get())
            await asyncio.sleep(0)
            tasks.clear()  # the end of the dead one takes nothing from the living
            gc.collect()
            return (await asyncio.wait_for(task, 20)).seq

        for number in (1, 2):
            die(reader)
            assert run(wait(number)) == number
        die(reader)
    assert reader.closed
    tasks.clear()


async def test_nobody_asked_for_a_wake_up_yet_it_comes(path: Path, writer: ShmWriter[Ticker]) -> None:
    """A writer that forgets to wake, or dies before: a sleep ends by itself."""
    with ShmClosing(ShmReader(path, Ticker, wait="park")) as reader:
        task = asyncio.create_task(reader.get())
        await asyncio.sleep(0.05)
        writer.put(ticker(5))
        assert (await asyncio.wait_for(task, 20)).seq == 5


def test_sleepers_are_known_and_only_they(path: Path, writer: ShmWriter[Ticker]) -> None:
    assert not writer.has_sleepers()
    with ShmClosing(ShmReader(path, Ticker, wait="park")) as reader:
        writer.put(ticker(1))
        assert reader.arm() is False  # a last value waits
        reader.get_batch()
        assert reader.arm() is True and writer.has_sleepers()
        writer.wake_readers()
        assert not writer.has_sleepers()


@pytest.mark.parametrize("wait", ["adaptive", "park"])
def test_an_idle_reader_costs_no_cpu(path: Path, writer: ShmWriter[Ticker], wait: str) -> None:
    script = (
        "import asyncio, sys, time\nfrom hftcore.shm import ShmReader\nfrom hftcore.types import Ticker\n"
        "async def main():\n"
        "    readers = [ShmReader(sys.argv[1], Ticker, wait=sys.argv[2]) for _ in range(4)]\n"
        "    tasks = [asyncio.create_task(r.get()) for r in readers]\n"
        "    await asyncio.sleep(0.3)\n"
        "    before, start = time.process_time(), time.monotonic()\n"
        "    await asyncio.sleep(2)\n"
        "    print((time.process_time() - before) / (time.monotonic() - start))\n"
        "    [t.cancel() for t in tasks]\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path, wait], capture_output=True, text=True, check=True)
    share = float(done.stdout)
    print(f"{wait}: {share:.4f} of a CPU for four idle readers")
    assert share < 0.05


def test_a_reader_follows_its_writers(path: Path) -> None:
    told: list[Any] = []
    reader: ShmReader[Ticker] = ShmReader(path, Ticker, on_notice=lambda *notice: told.append(notice[0]))
    assert not reader.attached and reader.silent_s is None and not reader.writer_alive
    got = []
    for life in range(3):
        writer = ShmWriter(path, Ticker, exchange="kraken", capacity=8)
        for number in range(3):
            writer.put(ticker(10 * life + number))
        got += [reader.get_wait(20).seq for _ in range(2)]
        assert reader.writer_alive and reader.epoch == writer.epoch and reader.silent_s is not None
        writer.close()
        got += [reader.get_wait(20).seq]  # what it still holds is delivered
    assert got == [0, 1, 2, 10, 11, 12, 20, 21, 22] and told == ["restart", "restart"]
    assert reader.stats["restarts"] == 2 and reader.stats["positions_taken"] == 9
    path.write_bytes(b"nonsense")
    path.chmod(0o600)
    with pytest.raises(TimeoutError):
        reader.get_wait(0.2)
    assert told == ["restart", "restart", "refused"]
    writer = ShmWriter(path, Ticker, exchange="kraken", capacity=8)  # reclaims it
    writer.put(ticker(30))
    assert reader.get_wait(20).seq == 30
    writer.close()
    reader.close()


def test_a_forked_child_owns_nothing(path: Path, writer: ShmWriter[Ticker], recwarn: Any) -> None:
    reader: ShmReader[Ticker] = ShmReader(path, Ticker)
    reader.arm()
    child = os.fork()
    if child == 0:
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists() and reader.writer_alive
    writer.put(ticker(1))
    assert reader.get_wait(20).seq == 1
    reader.close()


def test_in_a_forked_child_all_is_closed(path: Path, writer: ShmWriter[Ticker], recwarn: Any) -> None:
    """What the child put would overwrite what the parent puts, and its wait would take the parent's wake-up."""
    writer.put(ticker(1))
    reader: ShmReader[Ticker] = ShmReader(path, Ticker)
    assert reader.get_nowait().seq == 1
    assert reader.arm() is True  # a thread that the child does not have
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        closed = writer.closed and reader.closed
        for action in (lambda: writer.put(ticker(9)), lambda: reader.get_wait(1), reader.fileno):
            try:
                action()
                closed = False
            except RingClosed:
                pass
        reader.close()
        writer.close()
        os._exit(0 if closed else 1)
    assert os.waitpid(child, 0)[1] == 0
    for number in (2, 3):
        writer.put(ticker(number))
    writer.wake_readers()
    assert select.select([reader.fileno()], [], [], 20)[0]
    assert [reader.get_wait(20).seq for _ in range(2)] == [2, 3] and reader.stats["positions_lost"] == 0
    reader.close()


def test_a_child_that_outlives_the_writer_does_not_keep_its_lock(path: Path) -> None:
    script = (
        "import os, sys, time\nfrom hftcore.shm import ShmWriter\nfrom hftcore.types import Ticker\n"
        "w = ShmWriter(sys.argv[1], Ticker, exchange='kraken')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(0); os.close(1); os.close(2); time.sleep(30); os._exit(0)\n"
        "print(child, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    child = int(done.stdout)
    try:
        ShmWriter(path, Ticker, exchange="kraken").close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_symbols_that_are_none_are_refused_alone(path: Path, writer: ShmWriter[Ticker]) -> None:
    """Whoever writes into the segment can do so only as us; the reader still must not fall over."""
    writer.put(ticker(1, "aaa/usd"))
    writer.put(ticker(2, "btc/usd"))
    content = path.read_bytes()
    at = content.index(b"aaa/usd")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"a\xff\x00////")
    told: list[Any] = []
    with ShmClosing(ShmReader(path, Ticker, on_notice=lambda *notice: told.append(notice))) as reader:
        assert [item.seq for item in reader.get_batch()] == [2]
        assert reader.malformed >= 1 and told[0][0] == "malformed"


def test_callbacks_may_close(path: Path, writer: ShmWriter[Ticker]) -> None:
    reader: ShmReader[Ticker] = ShmReader(path, Ticker)
    for number in range(5):
        writer.put(ticker(number))
    got: list[int] = []

    def callback(item: Ticker) -> None:
        got.append(item.seq)
        reader.close()

    assert reader.drain(callback) == 1 and got == [0]
