"""T12: sends of 184 bytes, against pyzmq's. T13: messages received in asyncio, against zmq.asyncio."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import zmq
import zmq.asyncio

from hftcore.codec import encode_ticker
from hftcore.enums import Channel, Exchange
from hftcore.ring import Ring
from hftcore.types import Ticker
from hftcore.zmq import NativeSocket
from hftpy.ipc import IPCPublisher, IPCSubscriber

FRAME = bytes(184)
TOPIC = b"btcusdt".ljust(32)
TICKER = Ticker(
    exchange="kraken", symbol="btc/usdt", bidPrice=64001.1, bidVolume=0.25, askPrice=64001.2, askVolume=12.5,
    exchangeTimeNs=1_774_960_245_123_456_789, localTimeNs=1_774_960_245_123_456_790, seq=47_332_707,
)  # fmt: skip

# Reads all, and answers each message "end" with how many came before it.
READER = """
import sys, zmq
context = zmq.Context()
frames, answers = context.socket(zmq.SUB), context.socket(zmq.PUSH)
frames.rcvhwm = 0
frames.connect(sys.argv[1]); answers.connect(sys.argv[2])
frames.subscribe(b"")
count = 0
while True:
    frame = frames.recv()
    if frame == b"end":
        answers.send(b"%d" % count)
        count = 0
    elif frame != b"hello":
        count += 1
    else:
        answers.send(b"hello")
"""


@pytest.fixture
def publisher() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.linger = 0
        socket.bind_to_random_port("tcp://127.0.0.1")
        yield socket


@pytest.fixture
def live() -> Iterator[tuple[zmq.Socket[bytes], Callable[[], int]]]:
    """A PUB socket with one subscriber in another process, and a function that waits until it has read all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zmq.Context() as context,
        context.socket(zmq.PUB) as socket,
        context.socket(zmq.PULL) as answers,
    ):
        socket.linger = answers.linger = socket.sndhwm = 0
        socket.bind(f"ipc://{folder}/frames")
        answers.bind(f"ipc://{folder}/answers")
        reader = subprocess.Popen([sys.executable, "-c", READER, f"ipc://{folder}/frames", f"ipc://{folder}/answers"])
        try:
            while not answers.poll(20):
                socket.send(b"hello")

            def finished() -> int:
                socket.send(b"end")
                while (answer := answers.recv()) == b"hello":
                    pass
                return int(answer)

            finished()
            yield socket, finished
        finally:
            reader.kill()
            reader.wait()


def sends(send: Callable[..., object], count: int, *arguments: Any) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            send(*arguments)

    return run


def test_send_without_a_subscriber(versus: Any, publisher: zmq.Socket[bytes]) -> None:
    ours = NativeSocket(publisher)
    assert ours.native
    count = versus.scale(50_000)
    versus(
        "T12", "send 184 bytes, no subscriber", operations=count, ours=sends(ours.send, count, FRAME),
        peers={
            "pyzmq send": sends(publisher.send, count, FRAME, zmq.NOBLOCK),
            "pyzmq send_multipart": sends(publisher.send_multipart, count, [TOPIC, FRAME[32:]], zmq.NOBLOCK),
        },
        floors={"pyzmq send": 3, "pyzmq send_multipart": 15}, goals={"pyzmq send": 3.7, "pyzmq send_multipart": 20},
    )  # fmt: skip


def test_send_to_a_live_subscriber(versus: Any, live: tuple[zmq.Socket[bytes], Callable[[], int]]) -> None:
    socket, finished = live
    ours = NativeSocket(socket)
    count = versus.scale(10_000)

    def timed(run: Callable[[], None]) -> Callable[[], float]:
        def measured() -> float:
            started = perf_counter()
            run()
            took = perf_counter() - started
            assert finished() == count
            return took

        return measured

    versus(
        "T12", "send 184 bytes, one subscriber", operations=count, ours=timed(sends(ours.send, count, FRAME)),
        peers={"pyzmq send": timed(sends(socket.send, count, FRAME, zmq.NOBLOCK))},
        floors={"pyzmq send": 1.6}, goals={"pyzmq send": 2},
    )  # fmt: skip


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_send_a_ticker(versus: Any, publisher: zmq.Socket[bytes], call: str) -> None:
    """From the struct to the socket, numbered, kept for joiners: against upb and pyzmq, who do neither."""
    from hftpy.wire import market_pb2 as wire

    count = versus.scale(20_000)
    item = TICKER

    def peer() -> None:
        for number in range(count):
            message = wire.Ticker(
                seq=number, epoch=1, exchange=3, symbol=item.symbol, exchange_time_ns=item.exchangeTimeNs,  # type: ignore[arg-type]
                local_time_ns=item.localTimeNs, bid_price=item.bidPrice, bid_volume=item.bidVolume,
                ask_price=item.askPrice, ask_volume=item.askVolume, venue_seq=item.seq,
            )  # fmt: skip
            publisher.send(TOPIC + message.SerializeToString(), zmq.NOBLOCK)

    with tempfile.TemporaryDirectory() as root:
        ours = IPCPublisher(root)
        assert ours.send(item) == 1
        batch = [item] * count
        side = sends(ours.send, count, item) if call == "send" else lambda: drop(ours.send_batch(batch))
        versus(
            "T12", f"IPCPublisher.{call} of a Ticker", operations=count, ours=side, peers={"upb + pyzmq send": peer}
        )  # fmt: skip
        ours.close()


def drop(result: object) -> None:
    """What a side returns would be taken for seconds."""


class Watcher:
    """An observer."""

    def __init__(self, queue: Any) -> None:
        self.ticker_queue = queue


@pytest.mark.parametrize("kind", ["Ring", "asyncio.Queue"])
def test_receive_in_asyncio(versus: Any, kind: str) -> None:
    """What waits in the socket is read: ours decoded and into the observer's queue, theirs as the bytes that came."""
    count = versus.scale(20_000)
    frame = TOPIC + encode_ticker(TICKER, 1, 1)
    loop = asyncio.new_event_loop()
    versus.cleanup(loop.close)
    folder = tempfile.TemporaryDirectory()
    versus.cleanup(folder.cleanup)
    root = Path(folder.name)
    queue: Any = Ring(Ticker, 1 << 16) if kind == "Ring" else asyncio.Queue()
    publisher = IPCPublisher(root)
    subscriber = IPCSubscriber([(Exchange.KRAKEN, Channel.TICKER, ["btc/usdt"])], root=root)
    subscriber.bind_observer(Watcher(queue))

    async def start() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(subscriber.start())
        while not publisher.subscriber_count("kraken", "ticker"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return task

    task = loop.run_until_complete(start())

    async def ours() -> float:
        publisher.send_batch([TICKER] * count)
        time.sleep(0.05 + count * 5e-6)  # noqa: ASYNC251 - libzmq's threads bring all over; the loop must not read yet
        started = perf_counter()
        while queue.qsize() < count:
            await asyncio.sleep(0)
        took = perf_counter() - started
        while not queue.empty():
            queue.get_nowait()
        return took

    context = zmq.asyncio.Context()
    reader, writer = context.socket(zmq.SUB), zmq.Socket(zmq.Context(context), zmq.PUB)
    reader.rcvhwm = writer.sndhwm = 0
    writer.bind(f"ipc://{root}/peer")
    reader.connect(f"ipc://{root}/peer")
    reader.subscribe(TOPIC)

    async def theirs() -> float:
        while not await reader.poll(10):
            writer.send(frame)
        while await reader.poll(50):
            await reader.recv()
        for _ in range(count):
            writer.send(frame)
        time.sleep(0.05 + count * 5e-6)  # noqa: ASYNC251 - as above
        started = perf_counter()
        for _ in range(count):
            await reader.recv()
        return perf_counter() - started

    versus(
        "T13", f"receive in asyncio, into {kind}", operations=count, ours=lambda: loop.run_until_complete(ours()),
        peers={"zmq.asyncio recv": lambda: loop.run_until_complete(theirs())},
        floors={"zmq.asyncio recv": 10} if kind == "Ring" else None,
        goals={"zmq.asyncio recv": 20} if kind == "Ring" else None,
    )  # fmt: skip
    assert subscriber.stats["lost"] == 0
    subscriber.stop()
    loop.run_until_complete(task)
    publisher.close()
    reader.close(linger=0)
    writer.close(linger=0)
    context.destroy(linger=0)
