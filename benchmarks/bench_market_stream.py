"""T15, second half: market events from a publisher's process into a callback of another, against a grpc.aio stream.

Ours: each `Ticker` is sent by itself with `IPCPublisher.send`, over ZeroMQ or shared memory, numbered and checked for
loss, and comes as a `Ticker` struct by way of the observer's ring. Theirs: a server stream of the same messages of
`proto/hftpy/wire/market.proto`, made by upb one by one and read as messages. All in asyncio; every message must come.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from hftcore.enums import Channel, Exchange
from hftcore.ring import Ring
from hftcore.types import Ticker
from hftpy.ipc import IPCSubscriber

TURN = 32  # sent before the publisher's event loop has a turn, as after a read of a venue's socket

TICKER = """
from hftcore.types import Ticker
item = Ticker(
    exchange="kraken", symbol="btc/usdt", bidPrice=64001.1, bidVolume=0.25, askPrice=64001.2, askVolume=12.5,
    exchangeTimeNs=1_774_960_245_123_456_789, localTimeNs=1_774_960_245_123_456_790, seq=47_332_707,
)
"""

# Sends as many as each line of its standard input says.
OURS = f"""
import asyncio, sys
from hftpy.ipc import IPCPublisher
{TICKER}
async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    publisher = IPCPublisher(sys.argv[1], sys.argv[2])
    publisher.open("kraken", "ticker")
    while not publisher.subscriber_count("kraken", "ticker"):
        await asyncio.sleep(0.01)
    print("joined", flush=True)
    while line := await reader.readline():
        for number in range(int(line)):
            publisher.send(item)
            if number % {TURN} == {TURN - 1}:
                await asyncio.sleep(0)
asyncio.run(main())
"""

GRPC = f"""
import asyncio, sys, grpc
from hftpy.wire import market_pb2 as wire
{TICKER}
async def main():
    server = grpc.aio.server()
    async def tickers(request, context):
        for number in range(int(request)):
            yield wire.Ticker(
                seq=number + 1, epoch=1, exchange=3, symbol=item.symbol, exchange_time_ns=item.exchangeTimeNs,
                local_time_ns=item.localTimeNs, bid_price=item.bidPrice, bid_volume=item.bidVolume,
                ask_price=item.askPrice, ask_volume=item.askVolume, venue_seq=item.seq,
            )
    handler = grpc.unary_stream_rpc_method_handler(tickers, response_serializer=wire.Ticker.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bench", {{"Tickers": handler}}),))
    server.add_insecure_port(f"unix:{{sys.argv[1]}}/grpc")
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""


@pytest.fixture
def child() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    children: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", script, *arguments]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return children[-1]

    yield start
    for process in children:
        process.kill()
        process.communicate()


class Watcher:
    """An observer, and the callback that its tickers are given to."""

    def __init__(self, capacity: int) -> None:
        self.ticker_queue = Ring(Ticker, capacity)
        self.seen = 0
        self.spread = 0.0

    def on_ticker(self, ticker: Any) -> None:
        self.seen += 1
        self.spread = ticker.askPrice - ticker.bidPrice

    def on_message(self, ticker: Any) -> None:
        self.seen += 1
        self.spread = ticker.ask_price - ticker.bid_price


@pytest.mark.parametrize("transport", ["zmq", "shm"])
def test_market_events_against_a_grpc_stream(versus: Any, child: Callable[..., Any], transport: str) -> None:
    grpc = versus.peer("grpc")
    if grpc is None:
        pytest.skip("grpcio is not installed")
    from hftpy.wire import market_pb2 as wire

    count = versus.scale(20_000)
    watcher = Watcher(1 << 16)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        root = Path(folder)
        publisher = child(OURS, folder, transport)
        child(GRPC, folder)
        subscriber = IPCSubscriber([(Exchange.KRAKEN, Channel.TICKER, ["btc/usdt"])], root, transport)
        subscriber.bind_observer(watcher)

        async def begin() -> tuple[asyncio.Task[None], Any]:
            task = asyncio.get_running_loop().create_task(subscriber.start())
            assert await asyncio.to_thread(publisher.stdout.readline) == "joined\n"
            channel = grpc.aio.insecure_channel(f"unix:{root}/grpc")
            await channel.channel_ready()
            return task, channel

        task, channel = runner.run(begin())
        tickers = channel.unary_stream("/bench.Bench/Tickers", response_deserializer=wire.Ticker.FromString)

        async def ours() -> float:
            watcher.seen = 0
            queue, callback = watcher.ticker_queue, watcher.on_ticker
            started = perf_counter()
            publisher.stdin.write(f"{count}\n")
            publisher.stdin.flush()
            while watcher.seen < count:
                if not queue.drain(callback):
                    await queue.wait()
            return perf_counter() - started

        async def theirs() -> float:
            watcher.seen = 0
            callback = watcher.on_message
            started = perf_counter()
            async for message in tickers(b"%d" % count):
                callback(message)
            took = perf_counter() - started
            assert watcher.seen == count
            return took

        async def end() -> None:
            subscriber.stop()
            await task
            await channel.close()

        def side(run: Callable[[], Coroutine[Any, Any, float]]) -> Callable[[], float]:
            return lambda: runner.run(run())

        try:
            versus(
                "T15", f"market events into a callback, {transport}", operations=count, ours=side(ours),
                peers={"grpc.aio stream": side(theirs)},
                floors={"grpc.aio stream": 30}, goals={"grpc.aio stream": 60},
            )  # fmt: skip
            assert subscriber.stats["lost"] == 0
        finally:
            runner.run(end())
