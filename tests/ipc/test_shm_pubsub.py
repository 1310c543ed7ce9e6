"""IPCPublisher to IPCSubscriber through shared memory: the same words, the same values, exact loss."""

import asyncio
import contextlib
import functools
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipc_observer
import pytest
from ipc_observer import Observer, ticker

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import MyOrder
from hftpy.errors import AddressInUseError, RootError
from hftpy.ipc import IPCPublisher, IPCSubscriber
from hftpy.ipc.shm_folder import segment_folder, segment_path

KRAKEN, TICKER = Exchange.KRAKEN, Channel.TICKER
BTC, ETH = CurrencyPair("btc/usd"), CurrencyPair("eth/usd")


subscribed = functools.partial(ipc_observer.subscribed, transport="shm")


@contextlib.contextmanager
def started(script: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", script, root], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


@pytest.fixture(autouse=True)
def nothing_left(root: Path) -> Iterator[None]:
    yield
    folder = segment_folder(root)
    left = os.listdir(folder) if folder.exists() else []
    assert not left, f"left behind: {left}"


@pytest.fixture
def publisher(root: Path) -> Any:
    made = IPCPublisher(root, "shm")
    yield made
    made.close()


async def test_a_late_joiner_alone_gets_the_last_values(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (_, early):
        publisher.send(ticker(1))
        publisher.send(ticker(2))
        publisher.send(ticker(3, "eth/usd"))
        async with subscribed(root, publisher) as (_, late), subscribed(root, publisher, "") as (_, late_all):
            await until(lambda: late.log and len(late_all.log) == 2)
            publisher.send(ticker(4))
            await until(lambda: len(late.log) == 2 and len(late_all.log) == 3 and len(early.log) == 3)
        assert early.seqs == [1, 2, 4]
        assert late.seqs == [2, 4]
        assert late_all.seqs == [2, 3, 4]


async def test_loss_is_exact_and_told_before_the_next_message(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root, "shm", send_hwm=100)  # 64 messages
    async with subscribed(root, publisher) as (subscriber, observer):
        publisher.send(ticker(1))
        await until(lambda: observer.log)
        for seq in range(2, 1002):  # the loop stands still meanwhile
            publisher.send(ticker(seq, "btc/usd" if seq % 2 else "eth/usd"))
        publisher.send(ticker(1003))
        await until(lambda: observer.seqs[-1] == 1003)
        got = [seq for seq in observer.seqs if seq != "gap"]
        assert observer.seqs[:2] == [1, "gap"] and observer.gaps[0].source == "ipc" and observer.gaps[0].symbol == BTC
        assert sum(gap.lost or 0 for gap in observer.gaps) + len(got) == 1 + 500 + 1
        assert subscriber.stats["lost"] + subscriber.stats["received"] == 502
        assert subscriber.stats["last_seq"] == {"kraken.ticker": {"btcusd": 502}}
        assert got[1:] == [*range(got[1], 1002, 2), 1003]
    publisher.close()


async def test_loss_at_the_tail_needs_no_later_message(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root, "shm", send_hwm=64)
    async with subscribed(root, publisher) as (subscriber, observer):
        publisher.send(ticker(1))
        await until(lambda: observer.log)
        for seq in range(10):
            publisher.send(ticker(seq))
        for seq in range(200):
            publisher.send(ticker(seq, "eth/usd"))
        await until(lambda: observer.gaps)
        assert observer.gaps[0].lost == 10 and subscriber.stats["lost"] == 10
    publisher.close()


async def test_events_come_in_their_place(root: Path, publisher: IPCPublisher, until: Callable[..., Any]) -> None:
    gap = Gap(
        exchange=KRAKEN, channel=TICKER, symbol=BTC, reason="ü" * 40, lost=None, source="venue", timestamp=1
    )  # fmt: skip
    other = Gap(exchange=KRAKEN, channel=TICKER, symbol=ETH, reason="", lost=7, source="venue", timestamp=1)
    stale = Stale(exchange=KRAKEN, channel=TICKER, symbol=None, silent_s=5.5, timestamp=2)
    back = Reconnected(exchange=KRAKEN, channel=TICKER, attempts=3, down_s=0.25, timestamp=3)
    async with subscribed(root, publisher) as (_, some), subscribed(root, publisher, "") as (_, everything):
        publisher.send(ticker(1))
        publisher.send_gap(gap)
        publisher.send(ticker(2))
        publisher.send_gap(other)
        publisher.send_stale(stale)
        publisher.send(ticker(3))
        publisher.send_reconnected(back)
        await until(lambda: len(some.log) == 6 and len(everything.log) == 7)
    assert some.log == [ticker(1), gap, ticker(2), stale, ticker(3), back]
    assert everything.log == [ticker(1), gap, ticker(2), other, stale, ticker(3), back]


async def test_an_endless_reason_is_cut(root: Path, publisher: IPCPublisher, until: Callable[..., Any]) -> None:
    async with subscribed(root, publisher) as (_, observer):
        publisher.send_gap(
            Gap(exchange=KRAKEN, channel=TICKER, symbol=None, reason="€" * 9000, lost=3, source="venue", timestamp=1)
        )
        await until(lambda: observer.log)
    assert observer.log[0].lost == 3 and observer.log[0].reason.startswith("€€€")


async def test_a_subscriber_waits_for_its_publisher_and_follows_its_restart(
    root: Path, until: Callable[..., Any]
) -> None:
    async with subscribed(root, None) as (subscriber, observer):
        for life in range(3):
            publisher = IPCPublisher(root, "shm")
            for seq in range(3):
                publisher.send(ticker(10 * life + seq))  # nothing of it may be missing: we were there first
            await until(lambda: len(observer.log) == 4 * life + 3, "the messages of a life")  # noqa: B023
            publisher.close()
        assert observer.seqs == [0, 1, 2, "gap", 10, 11, 12, "gap", 20, 21, 22]
        assert observer.gaps[0].lost is None and "started again" in observer.gaps[0].reason
        assert subscriber.stats["restarts"] == 2 and subscriber.stats["lost"] == 0
        subscriber.stop()
        assert subscriber.stats["last_seq"] == {"kraken.ticker": {"btcusd": 3}}


async def test_what_a_publisher_sent_at_the_end_is_delivered(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root, "shm")
    async with subscribed(root, publisher) as (_, observer):
        for seq in range(5000):
            publisher.send(ticker(seq))
        publisher.close()
        await until(lambda: len(observer.log) == 5000)
        assert observer.seqs == list(range(5000))


async def test_one_publisher_per_segment(root: Path, publisher: IPCPublisher) -> None:
    publisher.open(KRAKEN, TICKER)
    with pytest.raises(AddressInUseError, match=r"kraken\.ticker\.shm is in use"):
        IPCPublisher(root, "shm").send(ticker(1))
    script = "import sys; from hftpy.ipc import IPCPublisher; IPCPublisher(sys.argv[1], 'shm').open('kraken', 'ticker')"
    other = subprocess.run([sys.executable, "-c", script, root], check=False, capture_output=True, text=True)
    assert "AddressInUseError" in other.stderr
    path = segment_path(root, KRAKEN, TICKER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    publisher.close()
    publisher = IPCPublisher(root, "shm")
    publisher.open(KRAKEN, TICKER)
    publisher.close()


async def test_private_channels_travel_over_zeromq(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    order = MyOrder(exchange=KRAKEN, symbol=BTC, clientOrderId="c")
    async with subscribed(root, publisher, "", Channel.MY_ORDER) as (_, observer):
        publisher.send_my_order(order)
        await until(lambda: observer.log)
        assert observer.log == [order] and (root / "zmq" / "kraken.my_order.ipc").exists()


async def test_a_publisher_that_falls_silent_is_stale(root: Path, until: Callable[..., Any]) -> None:
    script = (
        "import sys, time; from hftpy.ipc import IPCPublisher\n"
        "IPCPublisher(sys.argv[1], 'shm').send_ticker(exchange='kraken', symbol='btc/usd', ask_price=1, ask_volume=1,"
        " bid_price=1, bid_volume=1); print(flush=True); time.sleep(600)"
    )
    with started(script, root) as child:
        assert child.stdout is not None
        child.stdout.readline()
        async with subscribed(root, None, silence_limit_s=0.5) as (_, observer):
            await until(lambda: observer.log)
            child.send_signal(signal.SIGKILL)
            await until(lambda: len(observer.log) == 2)
            assert isinstance(observer.log[1], Stale) and observer.log[1].silent_s > 0.5
            again = IPCPublisher(root, "shm")  # reclaims what the dead one left
            again.send(ticker(7))
            await until(lambda: len(observer.log) == 4)
            assert isinstance(observer.log[2], Gap) and observer.log[3] == ticker(7)
            again.close()


def test_two_processes_without_an_event_loop_in_the_publisher(root: Path) -> None:
    """As fast as it goes, into two processes: received and reported lost are all that was sent."""
    script = (
        "import asyncio, sys\nfrom hftpy.ipc import IPCSubscriber\n"
        "class Observer:\n"
        "    def __init__(self): self.ticker_queue = self; self.last = None; self.gaps = 0\n"
        "    def put_nowait(self, t): self.last = t\n"
        "    def on_gap(self, gap): self.gaps += gap.lost\n"
        "async def main():\n"
        "    sub = IPCSubscriber([('kraken', 'ticker', ['btc/usd', 'eth/usd'])], root=sys.argv[1], transport='shm')\n"
        "    ob = Observer(); sub.bind_observer(ob)\n"
        "    task = asyncio.create_task(sub.start())\n"
        "    while ob.last is None or ob.last.seq != 999_999_999: await asyncio.sleep(0.01)\n"
        "    sub.stop(); await task\n"
        "    print(sub.stats['received'] + sub.stats['lost'], ob.gaps == sub.stats['lost'])\n"
        "asyncio.run(main())\n"
    )
    publisher = IPCPublisher(root, "shm", send_hwm=4096)
    publisher.open(KRAKEN, TICKER)
    with started(script, root) as first, started(script, root) as second:
        while publisher.subscriber_count(KRAKEN, TICKER) < 2:
            assert first.poll() is None and second.poll() is None
            time.sleep(0.01)
        tickers = [ticker(1), ticker(2, "eth/usd")]
        for n in range(200_000):
            publisher.send(tickers[n & 1])
        publisher.send(ticker(999_999_999))
        assert [child.communicate(timeout=60)[0] for child in (first, second)] == ["200001 True\n"] * 2
    publisher.close()


async def test_bad_arguments_and_segments(root: Path, publisher: IPCPublisher) -> None:
    with pytest.raises(ValueError, match=r"at most 32 bytes, was 'x+usd' \(33\)"):
        IPCSubscriber([(KRAKEN, TICKER, ["x" * 30 + "/usd"])], root=root, transport="shm")
    with pytest.raises(ValueError, match=r"at most 32 bytes, was 'x+usd' \(33\)"):
        publisher.send(ticker(1, "x" * 30 + "/usd"))
    with pytest.raises(ValueError, match="'drowse'"):
        IPCSubscriber([(KRAKEN, TICKER, "")], root=root, transport="shm", wait="drowse")
    publisher.close()
    path = segment_path(root, KRAKEN, TICKER)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(b"nonsense" * 100)
    path.chmod(0o600)
    subscriber = IPCSubscriber([(KRAKEN, TICKER, "")], root=root, transport="shm")
    subscriber.bind_observer(Observer())
    with pytest.raises(RootError, match="no segment of hftpy"):
        await subscriber.start()
    path.unlink()
    path.parent.rmdir()


def test_a_script_that_ends_without_closing_leaves_nothing(root: Path) -> None:
    script = (
        "import sys; from hftpy.ipc import IPCPublisher\n"
        "p = IPCPublisher(sys.argv[1], 'shm'); p.open('kraken', 'ticker'); p.open('kraken', 'trade')\n"
        "raise KeyboardInterrupt"
    )
    subprocess.run([sys.executable, "-c", script, root], check=False, capture_output=True)
    assert not segment_folder(root).exists()


async def test_stop_in_a_hook_ends_delivery_at_once(root: Path, publisher: IPCPublisher) -> None:
    subscriber = IPCSubscriber([(KRAKEN, TICKER, "")], root=root, transport="shm")

    class Stops(Observer):
        def put_nowait(self, value: Any) -> None:
            self.log.append(value)
            if len(self.log) == 2:
                subscriber.stop()

    observer = Stops()
    subscriber.bind_observer(observer)
    task = asyncio.create_task(subscriber.start())
    while not publisher.subscriber_count(KRAKEN, TICKER):
        await asyncio.sleep(0.01)
    for seq in range(10):
        publisher.send(ticker(seq))
    await asyncio.wait_for(task, 20)
    assert observer.seqs == [0, 1] and subscriber.stats["received"] == 2
