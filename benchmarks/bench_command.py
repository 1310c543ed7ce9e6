"""T18: an acknowledged command and its result, against a bare pyzmq DEALER/ROUTER JSON echo, both in asyncio.

T15, first half: the same against a grpc.aio unary call. Each pair of processes is this one and a child. Once one call
at a time, where mostly the waking of sleeping threads is measured, and once with 64 calls under way. The row "bare
XPUB/XSUB echo" is no peer but the least that these sockets take: its ratio is what libzmq and the loop take of it.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import zmq
import zmq.asyncio

from hftcore.zmq import NativeSocket
from hftpy.ipc import IPCCommandSystem

PAYLOAD = {"symbol": "btc/usdt", "side": "buy", "price": 64001.1, "amount": 0.25, "order_type": "limit"}

FRAME = b"x" * 420  # as large as a command of this payload

OURS = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem("child", sys.argv[1])
    async def echo(command):
        return command.payload
    system.register_handler("echo", echo)
    system.connect_to_process("bench")
    system.start()
    await asyncio.sleep(3600)
asyncio.run(main())
"""

ROUTER = """
import asyncio, json, sys, zmq, zmq.asyncio
async def main():
    router = zmq.asyncio.Context().socket(zmq.ROUTER)
    router.bind(f"ipc://{sys.argv[1]}/router")
    while True:
        peer, body = await router.recv_multipart()
        asked = json.loads(body)
        await router.send_multipart([peer, json.dumps({"id": asked["id"], "value": asked["payload"]}).encode()])
asyncio.run(main())
"""

# The least that commands over these sockets can take: the same frames' sizes, and nothing done with them.
BARE = """
import asyncio, sys, zmq
from hftcore.zmq import NativeSocket
async def main():
    socket = zmq.Context().socket(zmq.XSUB)
    socket.connect(f"ipc://{sys.argv[1]}/bare")
    native = NativeSocket(socket)
    native.send(b"\\x01x")
    answer = b"\\x02" + bytes(200)
    def read():
        while native.recv() is not None:
            native.send(answer)
    asyncio.get_running_loop().add_reader(socket.getsockopt(zmq.FD), read)
    read()
    await asyncio.sleep(3600)
asyncio.run(main())
"""

GRPC = """
import asyncio, json, sys, grpc
async def main():
    server = grpc.aio.server()
    async def echo(request, context):
        return json.dumps(json.loads(request)).encode()
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bench", handlers),))
    server.add_insecure_port(f"unix:{sys.argv[1]}/grpc")
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def child(folder: Path) -> Iterator[Callable[[str], None]]:
    children: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> None:
        children.append(subprocess.Popen([sys.executable, "-c", script, str(folder)]))

    yield start
    for process in children:
        process.kill()
        process.wait()


def timed(
    runner: asyncio.Runner, one: Callable[[int], Coroutine[Any, Any, Any]], count: int, at_once: int
) -> Callable[[], float]:
    async def some(first: int) -> None:
        for number in range(first, count, at_once):
            await one(number)

    async def run() -> float:
        started = perf_counter()
        if at_once == 1:
            await some(0)
        else:
            await asyncio.gather(*(some(first) for first in range(at_once)))
        return perf_counter() - started

    return lambda: runner.run(run())


class Bare:
    """This end of the bare echo."""

    def __init__(self, context: Any, folder: Path) -> None:
        self._socket = zmq.Socket(zmq.Context(context), zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind(f"ipc://{folder}/bare")
        self._native = NativeSocket(self._socket)
        self._waiting: deque[asyncio.Future[None]] = deque()

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.joined: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket.getsockopt(zmq.FD), self._read)  # type: ignore[arg-type]
        self._read()

    def _read(self) -> None:
        while (frame := self._native.recv()) is not None:
            (self._waiting.popleft() if frame[0] == 2 else self.joined).set_result(None)

    async def echo(self, number: int) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        self._native.send(FRAME)
        self._read()
        await future

    def end(self) -> None:
        self._loop.remove_reader(self._socket.getsockopt(zmq.FD))  # type: ignore[arg-type]
        self._socket.close()


AT_ONCE = pytest.mark.parametrize(
    ("at_once", "calls", "name"),
    [(1, 500, "a command and its result"), (64, 3200, "commands and their results, 64 under way")],
    ids=["one", "many"],
)


@AT_ONCE
def test_call_against_dealer_and_router(
    versus: Any, folder: Path, child: Callable[[str], None], at_once: int, calls: int, name: str
) -> None:
    count = versus.scale(calls)
    with asyncio.Runner() as runner, zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as dealer:
        system = IPCCommandSystem("bench", folder)
        child(OURS)
        child(ROUTER)
        dealer.linger = 0
        dealer.connect(f"ipc://{folder}/router")
        bare = Bare(context, folder)
        child(BARE)

        async def ours(number: int) -> None:
            result = await system.call("child", "echo", PAYLOAD)
            assert result.value == PAYLOAD

        waiting: dict[int, asyncio.Future[Any]] = {}

        async def theirs(number: int) -> None:
            asked = {"id": number, "type": "echo", "payload": PAYLOAD}
            if at_once == 1:
                await dealer.send(json.dumps(asked).encode())
                answer = json.loads(await dealer.recv())
                assert answer["id"] == number and answer["value"] == PAYLOAD
                return
            future = waiting[number] = asyncio.get_running_loop().create_future()
            await dealer.send(json.dumps(asked).encode())
            assert await future == PAYLOAD

        async def read() -> None:
            while True:
                answer = json.loads(await dealer.recv())
                waiting.pop(answer["id"]).set_result(answer["value"])

        async def begin() -> None:
            await system.start()
            assert await system.ready("child", 60)
            bare.begin()
            await bare.joined
            if at_once > 1:
                reading.append(asyncio.get_running_loop().create_task(read()))

        async def end() -> None:
            for task in reading:
                task.cancel()
            bare.end()
            await system.stop()

        reading: list[asyncio.Task[None]] = []
        runner.run(begin())
        try:
            versus(
                "T18", name, operations=count, ours=timed(runner, ours, count, at_once),
                peers={
                    "DEALER/ROUTER echo": timed(runner, theirs, count, at_once),
                    "bare XPUB/XSUB echo": timed(runner, bare.echo, count, at_once),
                },
                floors={"DEALER/ROUTER echo": 0.8}, goals={"DEALER/ROUTER echo": 1},
            )  # fmt: skip
        finally:
            runner.run(end())


@AT_ONCE
def test_call_against_grpc(
    versus: Any, folder: Path, child: Callable[[str], None], at_once: int, calls: int, name: str
) -> None:
    grpc = versus.peer("grpc")
    if grpc is None:
        pytest.skip("grpcio is not installed")
    count = versus.scale(calls)
    with asyncio.Runner() as runner:
        system = IPCCommandSystem("bench", folder)
        child(OURS)
        child(GRPC)

        async def begin() -> Any:
            await system.start()
            assert await system.ready("child", 60)
            channel = grpc.aio.insecure_channel(f"unix:{folder}/grpc")
            await channel.channel_ready()
            return channel

        channel = runner.run(begin())
        echo = channel.unary_unary("/bench.Bench/Echo")

        async def ours(number: int) -> None:
            result = await system.call("child", "echo", PAYLOAD)
            assert result.value == PAYLOAD

        async def theirs(number: int) -> None:
            assert json.loads(await echo(json.dumps(PAYLOAD).encode())) == PAYLOAD

        async def end() -> None:
            await channel.close()
            await system.stop()

        try:
            versus(
                "T15", name, operations=count, ours=timed(runner, ours, count, at_once),
                peers={"grpc.aio unary": timed(runner, theirs, count, at_once)},
                # Spread over two CPUs, the bare echo of these sockets alone takes more than a quarter of grpc's time:
                # the floor is that of calls under way.
                floors={"grpc.aio unary": 4} if at_once > 1 else None,
                goals={"grpc.aio unary": 8} if at_once > 1 else None,
            )  # fmt: skip
        finally:
            runner.run(end())
