"""A publisher that came and went before a subscriber could hear any of it is told of all the same."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hftpy.common import Gap, Ticker
from hftpy.ipc import IPCPublisher, IPCSubscriber
from hftpy.ipc.lives import KEPT, Life, UnheardLives, begin_life, end_life, read_lives

PROGRAM = """
import sys, time
from hftpy.ipc import IPCPublisher
publisher = IPCPublisher(sys.argv[1])
for number in range(5):
    publisher.send_ticker(exchange="kraken", symbol="btc/usd", bid_price=1, bid_volume=1, ask_price=2, ask_volume=1)
print("sent", flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
publisher.close()
"""


class Listener:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.ticker_queue = self

    def put_nowait(self, item: Any) -> None:
        self.log.append(item)

    on_gap = on_stale = on_reconnected = put_nowait

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.log if isinstance(item, kind)]


def send(publisher: IPCPublisher, symbol: str, count: int, price: float = 1.0) -> None:
    for _ in range(count):
        publisher.send_ticker(
            exchange="kraken", symbol=symbol, bid_price=price, bid_volume=1, ask_price=price + 1, ask_volume=1
        )


class Subscribed:
    """A subscriber that runs, and has tried to connect."""

    def __init__(self, root: Path, symbols: Any) -> None:
        self.listener = Listener()
        self.subscriber = IPCSubscriber([("kraken", "ticker", symbols)], root=root)
        self.subscriber.bind_observer(self.listener)

    async def __aenter__(self) -> "Subscribed":
        self.task = asyncio.create_task(self.subscriber.start())
        await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.subscriber.stop()
        await self.task

    def accounted(self, symbol: str) -> int:
        """Received and told as lost, of one symbol."""
        received = sum(item.symbol == symbol for item in self.listener.of(Ticker))
        return received + sum(gap.lost or 0 for gap in self.listener.of(Gap) if gap.symbol == symbol)


def lived(root: Path, *counts: tuple[str, int]) -> None:
    """A publisher's whole life, in one go."""
    publisher = IPCPublisher(root)
    publisher.open("kraken", "ticker")
    for symbol, count in counts:
        send(publisher, symbol, count)
    publisher.close()


@pytest.mark.parametrize("symbols", ["", ["btc/usd"]])
async def test_one_life_and_nobody_after_it(root: Path, symbols: Any, eventually: Any) -> None:
    async with Subscribed(root, symbols) as subscribed:
        lived(root, ("btc/usd", 3), ("eth/usd", 4))
        await eventually(lambda: subscribed.accounted("btc/usd") == 3)
        await eventually(lambda: subscribed.accounted("eth/usd") == (0 if symbols else 4))
        await asyncio.sleep(1.2)  # it is told once
        assert subscribed.accounted("btc/usd") == 3
        assert subscribed.subscriber.stats["lost"] + subscribed.subscriber.stats["received"] == (3 if symbols else 7)


async def test_the_next_one_is_heard_after_the_gap(root: Path, eventually: Any) -> None:
    async with Subscribed(root, ["btc/usd"]) as subscribed:
        lived(root, ("btc/usd", 3))
        lived(root, ("btc/usd", 2))
        heard_none = not subscribed.listener.log
        publisher = IPCPublisher(root)
        try:
            send(publisher, "btc/usd", 1, 7.0)
            await eventually(lambda: subscribed.listener.of(Ticker))
            if heard_none:
                *gaps, ticker = subscribed.listener.log
                assert [gap.lost for gap in gaps] == [3, 2] and ticker.bidPrice == 7.0
            await asyncio.sleep(2.2)
            assert len(subscribed.listener.of(Gap)) == 2
        finally:
            publisher.close()


@pytest.mark.parametrize("after", [False, True])
async def test_a_killed_one_in_the_stop_of_a_subscriber(root: Path, after: bool) -> None:
    program = """
import asyncio, json, sys
from hftpy.ipc import IPCSubscriber
class Observer:
    def __init__(self): self.ticker_queue = self
    def put_nowait(self, item): print(json.dumps(["ticker", item.bidPrice]), flush=True)
    def on_gap(self, gap): print(json.dumps(["gap", gap.reason, gap.lost]), flush=True)
async def main():
    subscriber = IPCSubscriber([("kraken", "ticker", "")], root=sys.argv[1])
    observer = Observer()
    subscriber.bind_observer(observer)
    asyncio.get_running_loop().call_later(0.1, print, '["began"]')
    await subscriber.start()
asyncio.run(main())
"""
    arguments = [sys.executable, "-u", "-c", program, str(root)]
    subscriber = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert subscriber.stdout is not None

    async def told() -> list[Any]:
        async with asyncio.timeout(20):
            row: list[Any] = json.loads(await subscriber.stdout.readline())
            return row

    try:
        assert await told() == ["began"]
        os.kill(subscriber.pid, signal.SIGSTOP)
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root), "wait"], stdout=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout is not None and killed.stdout.readline() == "sent\n"
            killed.kill()
        publisher = IPCPublisher(root) if after else None
        if publisher is not None:
            send(publisher, "btc/usd", 1, 9.0)
        os.kill(subscriber.pid, signal.SIGCONT)
        assert await told() == ["gap", "a publisher came and went unheard", None]
        if publisher is not None:
            assert await told() == ["ticker", 9.0]
            publisher.close()
    finally:
        subscriber.kill()
        await subscriber.wait()
        lived(root)  # takes what the killed one left


async def test_no_gap_where_nothing_was_missed(root: Path, eventually: Any) -> None:
    lived(root, ("btc/usd", 5))  # before there was a subscriber
    async with Subscribed(root, "") as subscribed:
        lived(root)  # sent nothing
        publisher = IPCPublisher(root)
        try:
            publisher.open("kraken", "ticker")
            send(publisher, "btc/usd", 1)
            await eventually(lambda: subscribed.listener.of(Ticker))
            await asyncio.sleep(2.2)
            send(publisher, "btc/usd", 1)
            await eventually(lambda: len(subscribed.listener.of(Ticker)) == 2)
        finally:
            publisher.close()
        await asyncio.sleep(2.2)
        assert not subscribed.listener.of(Gap)


def test_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lives" / "kraken.ticker.json"
    assert read_lives(path) == []
    for epoch in range(1, 20):
        begin_life(path, epoch)
        if epoch % 2:
            end_life(path, epoch, {"btcusd": epoch})
    lives = read_lives(path)
    assert [life.number for life in lives] == list(range(20 - KEPT, 20))
    assert lives[-1].sent == {"btcusd": 19} and lives[-1].ended and lives[-1].is_over
    assert lives[-2].sent is None and not lives[-2].is_over  # this process lives
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["kraken.ticker.json"]
    for damaged in (b"", b"[{", b'{"a": 1}', b"\xff"):
        path.write_bytes(damaged)
        assert read_lives(path) == [] and "cannot be read" in caplog.text
    begin_life(path, 7)
    assert [life.number for life in read_lives(path)] == [1]


def test_who_is_dead_is_told_the_second_time(tmp_path: Path) -> None:
    path, lost = tmp_path / "lives" / "kraken.ticker.json", []
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    unheard = UnheardLives(path, lost.append)
    begin_life(path, 1)
    path.write_text(json.dumps([{"number": 1, "epoch": 1, "pid": ended.pid}]))
    unheard.look(0)
    assert lost == []
    unheard.look(0)
    assert lost == [None]
    unheard.look(0)
    assert lost == [None]
    assert not Life(number=2, epoch=2, pid=os.getpid()).is_over
