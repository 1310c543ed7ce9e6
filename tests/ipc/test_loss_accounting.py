"""Received + reported lost = sent, exactly: three real processes, a flood, small high-water marks, a stalled reader."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker
from hftpy.ipc import IPCPublisher

COUNT = 200_000
SYMBOLS = ["btc/usd", "eth/usd", "币安/usd"]

SUBSCRIBER = """
import asyncio, json, sys
from hftcore.ring import Ring
from hftcore.types import Ticker
from hftpy.ipc import IPCSubscriber

root, hwm, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]

class Observer:
    def __init__(self):
        self.ticker_queue = Ring(Ticker, 1 << 18, "drop_newest") if kind == "ring" else asyncio.Queue()
        self.gaps = {}
    def on_gap(self, gap):
        self.gaps[str(gap.symbol)] = self.gaps.get(str(gap.symbol), 0) + gap.lost

async def main():
    subscriber = IPCSubscriber([("kraken", "ticker", "")], root=root, receive_hwm=hwm)
    observer = Observer()
    subscriber.bind_observer(observer)
    task = asyncio.create_task(subscriber.start())
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: sys.stdin.readline() and report())
    got = {}
    wrong = 0
    def report():
        nonlocal wrong
        queue = observer.ticker_queue
        while not queue.empty():
            ticker = queue.get_nowait()
            name = str(ticker.symbol)
            if ticker.seq <= got.get(name, (0, 0))[0] or ticker.bidPrice != ticker.seq + 0.5:
                wrong += 1
            got[name] = (ticker.seq, got.get(name, (0, 0))[1] + 1)
        stats = subscriber.stats
        print(json.dumps({
            "received": stats["received"], "lost": stats["lost"], "gaps": observer.gaps, "wrong": wrong,
            "got": {name: count for name, (_, count) in got.items()}, "queue_full": stats["queue_full"],
            "restarts": stats["restarts"], "malformed": stats["malformed"], "duplicates": stats["duplicates"],
        }), flush=True)
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


class Reader:
    """A subscriber in a process of its own; `ask` tells what it has counted so far."""

    def __init__(self, root: Path, hwm: int, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUBSCRIBER, str(root), str(hwm), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def ask(self) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def readers(root: Path, publisher: IPCPublisher, *kinds: tuple[int, str]) -> Iterator[list[Reader]]:
    started: list[Reader] = []
    try:
        for hwm, kind in kinds:
            started.append(Reader(root, hwm, kind))
        wait(lambda: publisher.subscriber_count("kraken", "ticker") == len(kinds), publisher)
        yield started
    finally:
        for one in started:
            one.close()


def wait(condition: Any, publisher: IPCPublisher, limit_s: float = 60.0) -> None:
    """Keep the publisher's heartbeats going, as a program without an event loop does by its sends."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        publisher.subscriber_count("kraken", "ticker")
        time.sleep(0.02)


def flood(publisher: IPCPublisher, count: int) -> dict[str, int]:
    """Send as fast as it goes; returns how many of each symbol."""
    sent = dict.fromkeys(SYMBOLS, 0)
    pairs = [CurrencyPair(symbol) for symbol in SYMBOLS]
    for number in range(count):
        pair = pairs[number % 7 % 3]
        sent[pair] += 1
        publisher.send(Ticker(exchange="kraken", symbol=pair, seq=sent[pair], bidPrice=sent[pair] + 0.5))
    return sent


def check(found: Any, sent: dict[str, int]) -> None:
    total = sum(sent.values())
    assert found["received"] + found["lost"] == total
    assert found["wrong"] == found["restarts"] == found["malformed"] == found["duplicates"] == found["queue_full"] == 0
    # Symbol by symbol, and what came is what was counted as received.
    for symbol, count in sent.items():
        assert found["got"].get(symbol, 0) + found["gaps"].get(symbol, 0) == count, symbol
    assert sum(found["got"].values()) == found["received"]


@pytest.mark.slow
@pytest.mark.parametrize(("send_hwm", "receive_hwm"), [(100_000, 100_000), (1_000, 1_000), (1, 10)])
def test_a_flood_to_two_processes_is_accounted_for(root: Path, send_hwm: int, receive_hwm: int) -> None:
    publisher = IPCPublisher(root, send_hwm=send_hwm)
    with readers(root, publisher, (receive_hwm, "ring"), (receive_hwm, "queue")) as both:
        sent = flood(publisher, COUNT)
        assert sum(sent.values()) == COUNT
        for one in both:
            wait(lambda one=one: (found := one.ask())["received"] + found["lost"] >= COUNT, publisher)  # type: ignore[misc]
            check(one.ask(), sent)
    publisher.close()


@pytest.mark.slow
def test_the_tail_is_accounted_for_when_the_publisher_leaves(root: Path) -> None:
    publisher = IPCPublisher(root, send_hwm=1_000)
    with readers(root, publisher, (1_000, "ring"), (1_000, "queue")) as both:
        sent = flood(publisher, 50_000)
        publisher.close()  # at once: its last heartbeat must find its way behind what waits
        for one in both:
            end = time.monotonic() + 30
            while (found := one.ask())["received"] + found["lost"] < 50_000:
                assert time.monotonic() < end, found
                time.sleep(0.02)
            check(one.ask(), sent)


LEAVER = """
import sys
from hftcore.types import Ticker
from hftpy.ipc import IPCPublisher

publisher = IPCPublisher(sys.argv[1], send_hwm=1_000)
while publisher.subscriber_count("kraken", "ticker") < 2:
    pass
for seq in range(1, 50_001):
    publisher.send(Ticker(exchange="kraken", symbol="btc/usd", seq=seq, bidPrice=seq + 0.5))
"""


@pytest.mark.slow
def test_the_tail_is_accounted_for_when_the_program_just_ends(root: Path) -> None:
    both = [Reader(root, 1_000, "ring"), Reader(root, 1_000, "queue")]
    try:
        done = subprocess.run([sys.executable, "-c", LEAVER, str(root)], check=False, capture_output=True, timeout=100)
        assert done.returncode == 0, done.stderr
        for one in both:
            end = time.monotonic() + 30
            while (found := one.ask())["received"] + found["lost"] < 50_000:
                assert time.monotonic() < end, found
                time.sleep(0.02)
            check(one.ask(), {"btc/usd": 50_000})
    finally:
        for one in both:
            one.close()


@pytest.mark.slow
def test_a_stalled_subscriber_slows_nobody_and_reports_exactly_afterwards(root: Path) -> None:
    publisher = IPCPublisher(root, send_hwm=500)
    with readers(root, publisher, (500, "ring"), (500, "ring")) as (stalled, other):
        publisher.send_ticker(
            exchange="kraken", symbol=SYMBOLS[0], bid_price=0.5, bid_volume=0, ask_price=0, ask_volume=0
        )
        wait(lambda: all(one.ask()["received"] == 1 for one in (stalled, other)), publisher)
        os.kill(stalled.process.pid, signal.SIGSTOP)
        try:
            sent = 0
            for _ in range(200):
                for _ in range(200):
                    sent += 1
                    publisher.send(Ticker(exchange="kraken", symbol=SYMBOLS[1], seq=sent, bidPrice=sent + 0.5))
                # The other one is served while the first one's pipe is full.
                wait(lambda sent=sent: (found := other.ask())["received"] + found["lost"] == sent + 1, publisher)  # type: ignore[misc]
        finally:
            os.kill(stalled.process.pid, signal.SIGCONT)
        wait(lambda: (found := stalled.ask())["received"] + found["lost"] == sent + 1, publisher)
        found = stalled.ask()
        assert found["lost"] > 0 and found["gaps"] == {SYMBOLS[1]: found["lost"]}
        assert found["got"][SYMBOLS[1]] + found["lost"] == sent
    publisher.close()
