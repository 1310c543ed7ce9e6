"""What one bad receiver does to the others: a full queue, a slow hook, a subscriber that was stopped in mid-flight.

Ratios are disturbed / undisturbed, by what one message costs the others; 1.05 must not be exceeded. Beside the time
every test counts: what the bad one did not get is counted to the last message, and memory stays flat.
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hftcore.enums import Channel, Exchange
from hftcore.ring import Ring
from hftcore.types import Ticker
from hftpy.common.events import Gap
from hftpy.exchange.stream import StreamBase
from hftpy.ipc.endpoint import TRANSPORTS
from hftpy.ipc.observers import Observers
from hftpy.ipc.publisher import IPCPublisher

TARGET = "interference"
CEILING = 1.05
TICKER = Ticker(exchange=Exchange.BINANCE, symbol="btc/usdt", bidPrice=1.5, askPrice=2.5, bidVolume=3.0, askVolume=4.0)
MEMORY_LIMIT = 16 << 20


class Deaf(StreamBase):
    """A stream without a venue: only what delivers to observers."""

    exchange = Exchange.BINANCE

    def ticker_channel(self) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)


class Observer:
    """Has one queue of tickers."""

    def __init__(self, queue: Any) -> None:
        self.ticker_queue = queue


def rss() -> int:
    """Resident memory of this process in bytes."""
    resident: int = psutil.Process().memory_info().rss
    return resident


def judged(versus: Any, name: str, n: int, case: str, base: Callable[[], object], other: Callable[[], object]) -> None:
    versus.cost(TARGET, name, operations=n, base=("undisturbed", base), others={case: other},
                ceilings={case: CEILING})  # fmt: skip


QUEUES: dict[str, Callable[[], Any]] = {
    "ring, drop_oldest": lambda: Ring(Ticker, 1024, "drop_oldest"),
    "ring, drop_newest": lambda: Ring(Ticker, 1024, "drop_newest"),
    "asyncio.Queue": lambda: asyncio.Queue(1024),
}


class ByStream:
    """Delivers as a stream does."""

    def __init__(self, good: Any, other: Any) -> None:
        self._stream = Deaf(subscribe_channels=["ticker"])
        for queue in (good, other):
            self._stream.bind_observer(Observer(queue))
        self.deliver = partial(self._stream.deliver, Channel.TICKER)

    def lost(self) -> int:
        dropped: int = self._stream.stats["ticker"]["dropped"][1]
        return dropped


class BySubscriber:
    """Delivers as a subscriber of another process's data does."""

    def __init__(self, good: Any, other: Any) -> None:
        self._observers = Observers([Channel.TICKER])
        for queue in (good, other):
            self._observers.bind(Observer(queue))
        put = self._observers.put
        self.deliver = lambda ticker: put(Channel.TICKER, ticker, no_gap)

    def lost(self) -> int:
        return self._observers.queue_full["ticker"]


def no_gap() -> Gap:
    raise AssertionError("a ticker that is lost is told by its sequence")


@pytest.mark.parametrize("source", [ByStream, BySubscriber], ids=["stream", "subscriber"])
@pytest.mark.parametrize("kind", QUEUES)
def test_full_queue_of_another_observer(versus, kind, source):
    """Two observers. The second's queue is full all the time, or has room all the time."""
    logging.getLogger("hftpy").setLevel(logging.CRITICAL)
    versus.cleanup(lambda: logging.getLogger("hftpy").setLevel(logging.NOTSET))
    batch = 64
    rounds = versus.scale(1000)
    delivered = {"good": 0, "sent": 0}

    def side(full: bool) -> tuple[Callable[[], float], Any, Any]:
        good, other = Ring(Ticker, 1024), QUEUES[kind]()
        feeder = source(good, other)
        deliver, clock = feeder.deliver, time.perf_counter_ns
        if full:
            for _ in range(1024):
                other.put_nowait(TICKER)

        def run() -> float:
            taken = 0
            for _ in range(rounds):
                started = clock()
                for _ in range(batch):
                    deliver(TICKER)
                received = len(good.get_batch())
                taken += clock() - started
                delivered["good"] += received
                delivered["sent"] += batch
                # The clock stands while the good neighbour empties its queue: only what the put costs counts.
                while not full and not other.empty():
                    other.get_nowait()
            return taken / 1e9

        return run, other, feeder

    before = rss()
    undisturbed, _, _ = side(False)
    disturbed, full, feeder = side(True)
    judged(
        versus,
        f"{source.__name__[2:].lower()} → observer beside a full {kind}",
        rounds * batch,
        "full",
        undisturbed,
        disturbed,
    )
    assert delivered["good"] == delivered["sent"] > 0
    # Half of all sends went to the full one, each of which is counted as lost: by the ring, or for the queue.
    lost = full.stats["dropped"] if isinstance(full, Ring) else feeder.lost()
    assert lost == delivered["sent"] // 2
    assert rss() - before < MEMORY_LIMIT


class Reader:
    """A subscriber in a process of its own."""

    def __init__(self, root: str, transport: str) -> None:
        script = Path(__file__).with_name("interference_reader.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), root, transport], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.base = 0

    def ask(self, question: str) -> dict[str, int]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{question}\n".encode())
        self.process.stdin.flush()
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.resume()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Pair:
    """A publisher here, and two subscribers in processes of their own."""

    def __init__(self, versus: Any, transport: str, n: int) -> None:
        folder = tempfile.TemporaryDirectory(prefix="hb-")
        versus.cleanup(folder.cleanup)
        # Never full for who keeps up; for who does not, after three rounds.
        self.publisher = IPCPublisher(folder.name, transport, send_hwm=3 * n)
        versus.cleanup(self.publisher.close)
        self.publisher.open(Exchange.BINANCE, Channel.TICKER)
        self.readers = [Reader(folder.name, transport) for _ in range(2)]
        for reader in self.readers:
            versus.cleanup(reader.close)
        self.sent = 0
        deadline = time.monotonic() + 30
        while not all(reader.ask("stats")["received"] for reader in self.readers):
            assert time.monotonic() < deadline, "a subscriber did not connect"
            self.publisher.send(TICKER)
            time.sleep(0.02)
        # What each missed while it was not connected yet is none of a round's business.
        time.sleep(0.2)
        for reader in self.readers:
            reader.base = reader.ask("stats")["received"]

    def flood(self, n: int) -> float:
        """Seconds until the first reader has received n more messages."""
        send, good = self.publisher.send, self.readers[0]
        self.sent += n
        # libzmq looks only every millisecond or so at what a peer has taken: without a pause three small bursts could
        # reach the high-water mark of who keeps up.
        time.sleep(0.01)
        started = time.perf_counter()
        for number in range(n):
            send(TICKER)
            # In bursts with room to breathe: both cases run on as many CPUs as there are.
            if number % 500 == 499:
                time.sleep(0)
        answer = good.ask(f"wait {good.base + self.sent}")
        taken = time.perf_counter() - started
        assert answer == {"received": good.base + self.sent, "lost": 0}
        return taken

    def settle(self) -> None:
        """Let the second reader finish what it can, so that rounds do not overlap."""
        other = self.readers[1]
        other.ask(f"wait {other.base + self.sent}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_stopped_subscriber(versus, transport):
    """Two subscriber processes; the second is stopped (SIGSTOP) with its buffers full, or receives like the first."""
    n = versus.scale(10_000, multiple=500)
    healthy, stalled = Pair(versus, transport, n), Pair(versus, transport, n)
    stalled.readers[1].stop()

    def undisturbed() -> float:
        taken = healthy.flood(n)
        healthy.settle()
        return taken

    # Its buffers fill before anything is measured; what lies beyond them is dropped from then on.
    for _ in range(6):
        stalled.flood(n)
    before = rss()
    judged(versus, f"{transport} publisher → subscriber beside a stopped one", n, "stopped", undisturbed,
           lambda: stalled.flood(n))  # fmt: skip
    growth = rss() - before
    bad = stalled.readers[1]
    bad.resume()
    # Woken up, it learns of every message that it did not get: those at the end by the next heartbeats.
    deadline = time.monotonic() + 30
    while True:
        stalled.publisher.send(TICKER)
        stalled.sent += 1
        found = bad.ask("stats")
        if found["received"] - bad.base + found["lost"] >= stalled.sent - 1 or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    final = bad.ask(f"wait {bad.base + stalled.sent}")
    assert final["received"] - bad.base + final["lost"] == stalled.sent
    assert final["lost"] > 0 or versus.quick
    assert growth < MEMORY_LIMIT
