"""The ZeroMQ transport beside plain peers, without libzmq's own calls, over restarts; and what the process needs."""

import asyncio
import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipc_observer
import numpy as np
import pytest
import zmq
from ipc_observer import ticker

from hftcore import zmq as native
from hftcore.enums import Channel, Exchange
from hftcore.ring import Ring
from hftcore.types import Ticker, Trade, tickers_to_array
from hftpy.common.events import Gap
from hftpy.ipc import IPCPublisher, IPCSubscriber
from hftpy.ipc.transport import get_context
from hftpy.wire import market_pb2 as wire

KRAKEN, TICKER = Exchange.KRAKEN, Channel.TICKER


class Observer:
    def __init__(self, queue: Any = None) -> None:
        self.ticker_queue: Any = queue if queue is not None else Ring(Ticker, 1 << 15, "drop_newest")
        self.gaps: list[Gap] = []

    def on_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def take(self) -> list[Ticker]:
        found = []
        while not self.ticker_queue.empty():
            found.append(self.ticker_queue.get_nowait())
        return found


def subscribed(root: Path, publisher: IPCPublisher | None, symbols: Any = "", queue: Any = None) -> Any:
    return ipc_observer.subscribed(root, publisher, symbols, observer=Observer(queue))


@pytest.fixture
def publisher(root: Path) -> Any:
    made = IPCPublisher(root)
    yield made
    made.close()


@pytest.fixture(params=["native", "pyzmq"])
def calls(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to libzmq."""
    if request.param == "pyzmq":
        assert not native.load("/nonexistent.so")
    yield request.param
    assert native.load()


@pytest.mark.parametrize("queue", ["ring", "asyncio"])
async def test_both_ways_to_libzmq_do_the_same(root: Path, calls: str, queue: str, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root)
    publisher.open(KRAKEN, TICKER)
    address: Any = publisher._addresses[KRAKEN, TICKER]
    assert address._native.native is (calls == "native")
    async with subscribed(root, publisher, queue=asyncio.Queue() if queue == "asyncio" else None) as (subscriber, one):
        sent = [ticker(number, symbol) for number in range(1_000) for symbol in ("btc/usd", "币安/usd")]
        for item in sent[:1_000]:
            publisher.send(item)
        assert publisher.send_batch(sent[1_000:1_500]) == 500
        assert publisher.send_batch(tickers_to_array(sent[1_500:])) == 500
        await until(lambda: subscriber.stats["received"] == 2_000)
        assert one.take() == sent and not one.gaps
        async with subscribed(root, publisher, ["btc/usd"]) as (_, late):
            await until(lambda: late.ticker_queue.qsize() == 1)
            assert late.take() == [sent[-2]]
    publisher.close()


async def test_a_batch_is_sent_whole_or_refused_before(root: Path, publisher: IPCPublisher) -> None:
    with pytest.raises(TypeError, match="was 'x'"):
        publisher.send_batch([ticker(1), "x"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="dtype"):
        publisher.send_batch(np.zeros(3))  # type: ignore[arg-type]
    bad = tickers_to_array([ticker(1), ticker(2)]).copy()
    bad["symbol"][1] = 1 << 30
    with pytest.raises(ValueError, match="no currency pair"):
        publisher.send_batch(bad)
    assert publisher.stats == {}
    assert publisher.send_batch([]) == 0
    # Several exchanges and channels, the addresses opened on the way.
    trade = Trade(exchange="okx", symbol="btc/usd")
    assert publisher.send_batch(iter([ticker(1), trade, ticker(2, exchange=Exchange.OKX), ticker(3)])) == 4
    assert {name: entry["sent"] for name, entry in publisher.stats.items()} == {
        "kraken.ticker": 2, "okx.trade": 1, "okx.ticker": 1,
    }  # fmt: skip


async def test_a_plain_subscriber_reads_our_frames_with_the_generated_classes(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    publisher.open(KRAKEN, TICKER)
    long = "x" * 28 + "/usdt"  # a topic of exactly 32 bytes
    with zmq.Context() as context, context.socket(zmq.SUB) as plain:
        plain.linger = 0
        plain.connect(f"ipc://{root}/zmq/kraken.ticker.ipc")
        plain.subscribe(b"btcusd".ljust(32))
        plain.subscribe(long.replace("/", "").encode())
        await until(lambda: publisher.subscriber_count(KRAKEN, TICKER) == 1)
        await asyncio.sleep(0.05)
        publisher.send(ticker(1))
        publisher.send(ticker(2, "btc/usdt"))
        publisher.send(ticker(3, long))
        publisher.send(ticker(4))
        frames = []
        while len(frames) < 3:
            await until(lambda: plain.getsockopt(zmq.EVENTS) & zmq.POLLIN)
            frames.append(plain.recv())
        messages = [wire.Ticker.FromString(frame[32:]) for frame in frames]
        assert [(m.symbol, m.venue_seq, m.seq) for m in messages] == [
            ("btc/usd", 1, 1),
            (long, 3, 1),
            ("btc/usd", 4, 2),
        ]
        assert all(message.bid_price == 1.5 and message.exchange == 3 for message in messages)


async def test_plain_publishers_and_garbage(root: Path, until: Callable[..., Any]) -> None:
    """Peers that count nothing (seq 0) are delivered in full, garbage between their messages is counted."""
    (root / "zmq").mkdir(mode=0o700)
    path = root / "zmq" / "kraken.ticker.ipc"
    topic = b"btcusd".ljust(32)
    garbage = [b"", b"x", topic[:31], topic, topic + b"\xff", b" " * 64, b"\x00nothing".ljust(32), b"\xff" * 100]
    with zmq.Context() as context, context.socket(zmq.PUB) as plain:
        plain.linger = plain.sndhwm = 0
        plain.bind(f"ipc://{path}")
        async with subscribed(root, None) as (subscriber, observer):
            first = topic + wire.Ticker(exchange=3, symbol="BTC-USD", venue_seq=0).SerializeToString()
            while not observer.ticker_queue.qsize():
                plain.send(first)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            observer.take()
            for seq in range(1, 501):
                plain.send(topic + wire.Ticker(exchange=3, symbol="BTC-USD", venue_seq=seq).SerializeToString())
                plain.send(garbage[seq % len(garbage)])
                # The same letters, another pair: delivered too, since all are subscribed.
                plain.send(topic + wire.Ticker(exchange=3, symbol="btcu/sd", venue_seq=seq).SerializeToString())
            await until(lambda: observer.ticker_queue.qsize() == 1_000)
            taken = observer.take()
            assert [item.seq for item in taken if item.symbol == "btc/usd"] == list(range(1, 501))
            assert [item.seq for item in taken if item.symbol == "btcu/sd"] == list(range(1, 501))
            ignored = 500 // len(garbage)  # the one meant for nobody
            assert abs(subscriber.stats["malformed"] - (500 - ignored)) <= 1
            assert subscriber.stats["lost"] == 0 and not observer.gaps
    path.unlink(missing_ok=True)


async def test_two_pairs_with_the_same_letters_by_turns(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with (
        subscribed(root, publisher) as (every, all_of_them),
        subscribed(root, publisher, ["btc/usd"]) as (some, one),
        subscribed(root, publisher, ["btc/usd", "btcu/sd"]) as (_, both),
    ):
        sent = [ticker(number, "btcu/sd" if number % 3 == 0 else "btc/usd") for number in range(300)]
        for item in sent:
            publisher.send(item)
        await until(lambda: every.stats["received"] == 300 and some.stats["filtered"] == 100)
        await until(lambda: both.ticker_queue.qsize() == 300)
        assert all_of_them.take() == both.take() == sent
        assert one.take() == [item for item in sent if item.symbol == "btc/usd"]
        assert every.stats["lost"] == some.stats["lost"] == 0


async def test_publishers_that_follow_one_another_in_a_flood(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root)
    async with subscribed(root, publisher, ["btc/usd", "eth/usd"]) as (subscriber, observer):
        for life in range(4):
            if life:
                publisher = IPCPublisher(root)
                publisher.open(KRAKEN, TICKER)
                await until(lambda publisher=publisher: publisher.subscriber_count(KRAKEN, TICKER) == 1)
                await asyncio.sleep(0.05)
            publisher.send_batch(
                [ticker(life * 10_000 + number, "btc/usd" if number % 2 else "eth/usd") for number in range(4_000)]
            )
            await until(lambda life=life: subscriber.stats["received"] + subscriber.stats["lost"] == (life + 1) * 4_000)
            publisher.close()
        assert subscriber.stats["restarts"] == 3 and subscriber.stats["lost"] == 0
        assert [gap.lost for gap in observer.gaps] == [None] * 3
        taken = [item.seq for item in observer.take()]
        assert taken == sorted(taken) and len(taken) == 16_000


async def test_several_publishers_and_one_subscriber(root: Path, until: Callable[..., Any]) -> None:
    exchanges = [Exchange.KRAKEN, Exchange.BINANCE, Exchange.OKX]
    publishers = [IPCPublisher(root) for _ in exchanges]
    subscriber = IPCSubscriber([(exchange, TICKER, "") for exchange in exchanges], root=root)
    observer = Observer()
    subscriber.bind_observer(observer)
    for one, exchange in zip(publishers, exchanges, strict=True):
        one.open(exchange, TICKER)
    task = asyncio.create_task(subscriber.start())
    await until(
        lambda: all(one.subscriber_count(exchange, TICKER) for one, exchange in zip(publishers, exchanges, strict=True))
    )
    await asyncio.sleep(0.05)
    for number in range(500):
        for one, exchange in zip(publishers, exchanges, strict=True):
            one.send(ticker(number, exchange=exchange))
    await until(lambda: subscriber.stats["received"] == 1_500)
    taken = observer.take()
    for exchange in exchanges:
        assert [item.seq for item in taken if item.exchange == exchange] == list(range(500))
    subscriber.stop()
    await task
    for one in publishers:
        one.close()


async def test_an_observer_may_be_bound_while_it_runs(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (subscriber, first):
        publisher.send(ticker(1))
        publisher.send(ticker(2))
        await until(lambda: first.ticker_queue.qsize() == 2)
        late = Observer()
        subscriber.bind_observer(late)
        publisher.send(ticker(3))
        await until(lambda: late.ticker_queue.qsize() == 1)
        assert late.take()[0].seq == 3 and first.ticker_queue.qsize() == 3


async def test_a_subscriber_can_be_started_again(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    subscriber = IPCSubscriber([(KRAKEN, TICKER, ["btc/usd"])], root=root)
    observer = Observer()
    subscriber.bind_observer(observer)
    for turn in range(3):
        task = asyncio.create_task(subscriber.start())
        await until(lambda: publisher.subscriber_count(KRAKEN, TICKER) == 1)
        await asyncio.sleep(0.05)
        for number in range(10):
            publisher.send(ticker(turn * 10 + number))
        await until(lambda turn=turn: subscriber.stats["received"] == turn * 10 + 10)
        subscriber.stop()
        await task
        await until(lambda: publisher.subscriber_count(KRAKEN, TICKER) == 0)
    assert [item.seq for item in observer.take()] == list(range(30))


def test_the_limit_of_open_files_is_raised() -> None:
    script = (
        "import resource, sys\n"
        "hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], int(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "from hftpy.ipc.transport import get_context\n"
        "context = get_context()\n"
        "sockets = [context.socket(1) for _ in range(100)]\n"  # libzmq would abort at the old limit
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE), hard)\n"
        "context.destroy(linger=0)\n"
    )
    for most in (512, 200_000):
        run = subprocess.run(
            [sys.executable, "-c", script, str(most)], check=False, capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        soft, hard, wanted = (int(word) for word in run.stdout.split())
        assert soft == min(wanted, 65_536) and hard == wanted


async def test_this_process_has_room_for_many_sockets() -> None:
    get_context()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == resource.RLIM_INFINITY or soft >= min(hard, 65_536)


@pytest.mark.leak
@pytest.mark.slow
async def test_memory_is_flat_over_a_million_messages(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (subscriber, observer):
        items = [ticker(number, symbol) for number in range(500) for symbol in ("btc/usd", "eth/usd")]
        sent = 0

        async def rounds(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                for _ in range(10):
                    publisher.send_batch(items)
                sent += 10_000
                await until(lambda sent=sent: subscriber.stats["received"] == sent)
                observer.ticker_queue.get_array()

        await rounds(3)
        gc.collect()
        before, resident = sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await rounds(100)
        gc.collect()
        assert sys.getallocatedblocks() - before < 1_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 16_000  # KiB
        assert subscriber.stats["lost"] == 0
