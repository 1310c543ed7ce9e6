"""T3, T4, T5: a frame to a callback: handed in natively, fed from Python, and read from a socket in a flood.

The peers do what programs of this kind do: parse with orjson or msgspec, make an object with floats, put it into an
asyncio.Queue, take it out and call back. Everybody stamps the time of receipt.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hftcore.feed import Feed
from hftcore.ring import Ring
from hftcore.types import Ticker, Trade
from hftpy.common.loops import new_event_loop

ORJSON = "orjson + dataclass + asyncio.Queue"
QUOTES = [
    b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"%d.10000000","B":"1.5%07d","a":"%d.20000000",'
    b'"A":"2.50000000"}}' % (400900217 + n, 50000 + n % 7, n, 50000 + n % 7)
    for n in range(64)
]
# 200 bytes, as the venue wrote them while they had the orders' numbers.
TRADES = [
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1675759520848,"s":"BTCUSDT","t":%d,"p":"%d.10000000",'
    b'"q":"0.0%06d","b":226530001,"a":226530002,"T":1675759520847,"m":false,"M":true}}'
    % (3000000000 + n, 23000 + n % 7, n)
    for n in range(512)
]


@dataclass(slots=True)
class Quote:
    """What the peers make of a quote."""

    symbol: str
    bid: float
    bid_volume: float
    ask: float
    ask_volume: float
    sequence: int
    local_ns: int


@dataclass(slots=True)
class Fill:
    """What the peers make of a trade."""

    symbol: str
    price: float
    volume: float
    number: int
    is_sell: bool
    venue_ms: int
    local_ns: int


def ignore(item: object) -> None:
    """The callback of all sides while they are timed."""


class Calls:
    """Makes the callback of a flood, which tells when the last frame has come, as cheap as a closure is."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        left = 0
        kept: list[Any] | None = None

        def take(item: Any) -> None:
            nonlocal left
            left -= 1
            if kept is not None:
                kept.append(item)
            if not left:
                self.reached.set()

        def expect(count: int, keep: list[Any] | None) -> None:
            nonlocal left, kept
            left, kept = count, keep
            self.reached.clear()

        self.take: Callable[[Any], None] = take
        self.expect: Callable[[int, list[Any] | None], None] = expect


def quote_of(loads: Callable[[bytes], Any], frame: bytes) -> Quote:
    data = loads(frame)["data"]
    return Quote(
        data["s"], float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"]), data["u"], time.time_ns()
    )


def fill_of(loads: Callable[[Any], Any], frame: Any) -> Fill:
    data = loads(frame)["data"]
    return Fill(
        data["s"], float(data["p"]), float(data["q"]), data["t"], data["m"], data["E"], time.time_ns()
    )  # fmt: skip


def queue_side(loads: Callable[[bytes], Any], burst: int, call: Callable[[Any], None]) -> Callable[[int], None]:
    queue: asyncio.Queue[Quote] = asyncio.Queue(4096)
    put, get, empty = queue.put_nowait, queue.get_nowait, queue.empty
    frames = QUOTES[:burst]

    def run(operations: int) -> None:
        for _ in range(operations // burst):
            for frame in frames:
                put(quote_of(loads, frame))
            while not empty():
                call(get())

    return run


def make_feed(kind: type[Ticker] | type[Trade], call: Callable[[Any], None]) -> Feed:
    feed = Feed("binance", kind, ["btc/usdt"])
    ring: Ring[Any] = Ring(kind, 4096)
    feed.bind(ring)
    feed.drain(ring, call)
    return feed


def native_side(burst: int, call: Callable[[Any], None]) -> Callable[[int], None]:
    feed = make_feed(Ticker, call)
    frames = QUOTES[:burst]

    def run(operations: int) -> None:
        for _ in range(operations // burst):
            feed.feed_all(frames)

    return run


def python_side(burst: int, call: Callable[[Any], None]) -> Callable[[int], None]:
    feed = make_feed(Ticker, call)
    frames, take, flush = QUOTES[:burst], feed.feed, feed.flush

    def run(operations: int) -> None:
        for _ in range(operations // burst):
            for frame in frames:
                take(frame, False)
            flush()

    return run


def row(item: Any) -> tuple[Any, ...]:
    if isinstance(item, Ticker):
        return item.bidPrice, item.bidVolume, item.askPrice, item.askVolume, item.seq
    if isinstance(item, Trade):
        return item.price, item.volume, item.tradeId
    if isinstance(item, Quote):
        return item.bid, item.bid_volume, item.ask, item.ask_volume, item.sequence
    return item.price, item.volume, item.number


def compare(versus: Any, target: str, name: str, side: Any, burst: int, floor: float, goal: float) -> None:
    """`side` makes ours: a function of the burst and the callback."""
    orjson, operations = versus.peer("orjson"), versus.scale(64_000, 64)
    peers = {}
    if orjson is not None:
        found: list[list[Any]] = [[], []]
        side(burst, found[0].append)(burst)
        queue_side(orjson.loads, burst, found[1].append)(burst)
        assert len(found[0]) == burst
        assert [row(item) for item in found[0]] == [row(item) for item in found[1]]
        peer = queue_side(orjson.loads, burst, ignore)
        peers[ORJSON] = lambda: peer(operations)
    ours = side(burst, ignore)
    versus(
        target, name, operations=operations, ours=lambda: ours(operations), peers=peers,
        floors={ORJSON: floor}, goals={ORJSON: goal},
    )  # fmt: skip


def test_native(versus: Any) -> None:
    compare(versus, "T3", "frame to callback, bursts of 64", native_side, 64, 12, 17)


@pytest.mark.parametrize(("burst", "floor", "goal"), [(8, 4, 6), (64, 7, 10)])
def test_fed_from_python(versus: Any, burst: int, floor: float, goal: float) -> None:
    compare(versus, "T4", f"fed from Python, bursts of {burst}", python_side, burst, floor, goal)


class TradeData(msgspec.Struct):
    """The typed struct of msgspec's side: it makes the floats while it decodes."""

    s: str
    p: float
    q: float
    t: int
    m: bool
    E: int


class TradeMessage(msgspec.Struct):
    """The envelope."""

    data: TradeData


Open = Callable[[str, Calls], Awaitable[tuple[Callable[[str], Awaitable[None]], Callable[[], Awaitable[None]]]]]


async def open_ours(url: str, calls: Calls) -> Any:
    from hftpy.exchange.client import connect

    connection = await connect(url, lambda frame: None, lambda code, reason: None)
    connection.attach(make_feed(Trade, calls.take))
    return connection.send, connection.close


def consume(queue: "asyncio.Queue[Fill]", calls: Calls) -> "asyncio.Task[None]":
    async def run() -> None:
        get, take = queue.get, calls.take
        while True:
            take(await get())

    return asyncio.create_task(run())


def open_websockets(loads: Callable[[Any], Any]) -> Open:
    async def opened(url: str, calls: Calls) -> Any:
        from websockets.asyncio.client import connect

        connection = await connect(url, compression=None, ping_interval=None, max_queue=1024)
        queue: asyncio.Queue[Fill] = asyncio.Queue()

        async def read() -> None:
            receive, put = connection.recv, queue.put_nowait
            while True:
                put(fill_of(loads, await receive(decode=False)))

        tasks = [consume(queue, calls), asyncio.create_task(read())]

        async def close() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.close()

        return connection.send, close

    return opened


def open_picows(make: Callable[[Any], Any]) -> Open:
    """A listener in Python: each frame becomes an object by `make(payload)`, and goes through a queue."""

    async def opened(url: str, calls: Calls) -> Any:
        from picows import WSListener, WSMsgType, ws_connect

        queue: asyncio.Queue[Any] = asyncio.Queue()

        class Listener(WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                queue.put_nowait(make(frame.get_payload_as_memoryview()))

        transport, _ = await ws_connect(Listener, url)
        task = consume(queue, calls)

        async def send(text: str) -> None:
            transport.send(WSMsgType.TEXT, text.encode())

        async def close() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            transport.disconnect()
            await transport.wait_disconnected()

        return send, close

    return opened


class Flood:
    """One side, connected to the flooding process on a loop of its own."""

    def __init__(self, versus: Any, url: str, opened: Open) -> None:
        self.runner = asyncio.Runner(loop_factory=new_event_loop)
        self.calls = Calls()
        self._send, self._close = self.runner.run(self._open(opened, url))
        versus.cleanup(self.close)

    async def _open(self, opened: Open, url: str) -> Any:
        return await opened(url, self.calls)

    def close(self) -> None:
        self.runner.run(self._ended())
        self.runner.close()

    async def _ended(self) -> None:
        await self._close()

    def run(self, operations: int, kept: list[Any] | None = None) -> float:
        return self.runner.run(self._flood(operations, kept))

    async def _flood(self, operations: int, kept: list[Any] | None) -> float:
        calls = self.calls
        calls.expect(operations, kept)
        started = time.perf_counter()
        await self._send(str(operations))
        async with asyncio.timeout(20):
            await calls.reached.wait()
        return time.perf_counter() - started


def test_flood(versus: Any) -> None:
    orjson = versus.peer("orjson")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("flood_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def stop() -> None:
        server.communicate(timeout=20)

    versus.cleanup(stop)
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(b"\n".join(TRADES) + b"\n\n")
    server.stdin.flush()
    url = f"ws://127.0.0.1:{int(server.stdout.readline())}/"
    decode = msgspec.json.Decoder(TradeMessage, strict=False).decode

    def fill_of_msgspec(payload: Any) -> Fill:
        data = decode(payload).data
        return Fill(data.s, data.p, data.q, data.t, data.m, data.E, time.time_ns())

    opens: dict[str, Open] = {"picows + msgspec + Queue": open_picows(fill_of_msgspec)}
    if orjson is not None:
        opens["websockets + orjson + Queue"] = open_websockets(orjson.loads)
        opens["picows + orjson + Queue"] = open_picows(lambda payload: fill_of(orjson.loads, payload))
    operations = versus.scale(20_480, 512)
    ours = Flood(versus, url, open_ours)
    sides = {name: Flood(versus, url, opened) for name, opened in opens.items()}
    rows = []
    for side in (ours, *sides.values()):
        kept: list[Any] = []
        side.run(1000, kept)
        rows.append([row(item) for item in kept])
    assert len(rows[0]) == 1000
    assert all(other == rows[0] for other in rows)
    versus(
        "T5", "socket to callback, flood of 200 bytes", operations=operations, ours=lambda: ours.run(operations),
        peers={name: lambda side=side: side.run(operations) for name, side in sides.items()},
        floors={name: floor for name, floor in FLOORS.items() if name in sides},
        goals={name: goal for name, goal in GOALS.items() if name in sides},
    )  # fmt: skip


FLOORS = {"websockets + orjson + Queue": 18.0, "picows + orjson + Queue": 7.0, "picows + msgspec + Queue": 5.0}
GOALS = {"websockets + orjson + Queue": 27.0, "picows + orjson + Queue": 10.0, "picows + msgspec + Queue": 7.0}
