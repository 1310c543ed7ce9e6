"""Messages that are small on the wire and huge in memory: a connection ends, memory is bounded, the stream goes on.

The stream runs in a process of its own, whose peak of memory is that of the stream alone.
"""

import asyncio
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from exchange_fakes import book_ticker
from raw_server import MORE, TEXT, RawServer, frame, text

MIB = 1 << 20
BOMB_BYTES = 64 * MIB
# A message has 16 MiB at most; what inflates or joins it holds it about twice, and an interpreter is no ruler.
BOUND_MIB = 56
LARGEST_MIB = 256
# Inflates without end when it is asked to, with the memory of one connection to the next.
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is measured by /proc")

CHILD = """
import asyncio, json, sys
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.binance_market import BinanceMarketProtocol

url, client, deflate = sys.argv[1:]
BinanceMarketProtocol.needs_deflate = deflate == "deflate"


def tell(kind, value=None):
    # Not ru_maxrss, in which a child begins with the peak of its parent.
    with open("/proc/self/status") as status:
        found = dict(line.split(":") for line in status)
    peak, now = (int(found[name].split()[0]) for name in ("VmHWM", "VmRSS"))
    print(json.dumps([kind, value, peak, now]), flush=True)


class Queue:
    def put_nowait(self, item):
        tell("ticker", item.seq)


class Observer:
    ticker_queue = Queue()

    def on_gap(self, gap):
        tell("gap", gap.reason)

    def on_reconnected(self, event):
        tell("reconnected")

    def on_stale(self, event):
        tell("stale")


async def main():
    stream = get_exchange_stream(
        exchange="binance", currency_pairs=["btc/usdt"], subscribe_channels=["ticker"], api_host=url, client=client,
        reconnect_times={"times": -1, "initial": 0.01, "max": 0.05},
    )
    stream.bind_observer(Observer())
    task = asyncio.create_task(stream.start())
    # The test ends the stream by the end of standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    tell("errors", stream.stats["ticker"]["parse_errors"])
    await stream.stop()
    await task


asyncio.run(main())
"""


class Child:
    """A stream in another process, and what it tells."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[tuple[str, Any]] = []
        self.peak_kib = self.now_kib = 0

    async def until(self, kind: str) -> Any:
        """Read what is told until that comes; its value."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while True:
                line = await self._process.stdout.readline()
                assert line, f"the stream's process ended: {self.told}"
                told, value, self.peak_kib, self.now_kib = json.loads(line)
                self.told.append((told, value))
                if told == kind:
                    return value

    async def end(self) -> int:
        """End the stream; its parse errors."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        errors = int(await self.until("errors"))
        assert await self._process.wait() == 0
        return errors


@asynccontextmanager
async def running(venue: RawServer, client: str, deflate: bool) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, venue.url, client, "deflate" if deflate else "plain",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def acknowledged(venue: RawServer) -> bytes:
    """The answer to what was asked last."""
    asked = venue.of(TEXT)[-1]
    if venue.headers:
        asked = zlib.decompressobj(wbits=-15).decompress(asked + b"\x00\x00\xff\xff")
    number = json.loads(asked)["id"]
    return text(json.dumps({"result": None, "id": number}).encode())


def quote(update: int) -> bytes:
    return json.dumps(book_ticker(update), separators=(",", ":")).encode()


def deflated(payload: bytes, pieces: int = 1) -> bytes:
    """A compressed message, without the tail that the protocol leaves out."""
    packer = zlib.compressobj(9, wbits=-15)
    packed = b"".join(packer.compress(payload) for _ in range(pieces)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(b"\x00\x00\xff\xff")


def compressed_bomb() -> bytes:
    """64 MiB of one JSON string, in about 64 KiB."""
    packed = deflated(b'{"e":"' + b"x" * (MIB - 6), BOMB_BYTES // MIB)
    assert len(packed) < MIB // 4
    return frame(TEXT, packed, reserved=4)


def compressed_bomb_in_parts() -> bytes:
    packed = deflated(b"[" * MIB, BOMB_BYTES // MIB)
    parts = [packed[start : start + 100] for start in range(0, len(packed), 100)]
    first = frame(TEXT, parts[0], fin=False, reserved=4)
    return first + b"".join(frame(MORE, part, fin=False) for part in parts[1:]) + frame(MORE, b"")


def plain_bomb() -> bytes:
    return frame(TEXT, b"x" * BOMB_BYTES)


def plain_bomb_in_parts() -> bytes:
    part = frame(MORE, b"x" * MIB, fin=False)
    return frame(TEXT, b"", fin=False) + part * (BOMB_BYTES // MIB)


BOMBS: list[tuple[str, bool, Callable[[], bytes]]] = [
    ("websockets", True, compressed_bomb), ("websockets", True, compressed_bomb_in_parts),
    ("websockets", False, compressed_bomb), ("websockets", False, plain_bomb),
    ("websockets", False, plain_bomb_in_parts), ("picows", False, plain_bomb), ("picows", False, plain_bomb_in_parts),
]  # fmt: skip


@pytest.mark.parametrize(("client", "deflate", "bomb"), BOMBS)
async def test_a_bomb_ends_the_connection_and_nothing_else(
    client: str, deflate: bool, bomb: Callable[[], bytes]
) -> None:
    data = bomb()
    async with RawServer(headers=DEFLATE if deflate else b"") as venue, running(venue, client, deflate) as child:
        await venue.until(lambda: bool(venue.of(TEXT)), 60)
        venue.send(acknowledged(venue) + text(quote(1)))
        assert await child.until("ticker") == 1
        before = child.peak_kib
        venue.send(data)
        assert await child.until("gap") == "disconnected"
        await venue.until(lambda: len(venue.connections) == 2 and len(venue.of(TEXT)) == 2, 60)
        venue.send(acknowledged(venue) + text(quote(2)))
        assert await child.until("ticker") == 2
        if ("reconnected", None) not in child.told:
            await child.until("reconnected")
        grown = (child.peak_kib - before) / 1024
        assert grown < BOUND_MIB, f"{grown:.0f} MiB for a bomb of {BOMB_BYTES // MIB} MiB"
        await child.end()


@pytest.mark.parametrize("data", [compressed_bomb(), text(b"[" * 15 * MIB), text(b'{"e":"' + b"x" * 15 * MIB + b'"}')])
async def test_what_is_no_message_of_the_venue_costs_one_error(data: bytes) -> None:
    """Compressed though nobody asked for it, nested 15 million deep, or one value of 15 MiB."""
    async with RawServer() as venue, running(venue, "picows", deflate=False) as child:
        await venue.until(lambda: bool(venue.of(TEXT)), 60)
        venue.send(acknowledged(venue) + text(quote(1)))
        assert await child.until("ticker") == 1
        before = child.peak_kib
        venue.send(data + text(quote(2)))
        assert await child.until("ticker") == 2
        # A message that is not too large is read whole: its values are found before they are looked at.
        assert (child.peak_kib - before) / 1024 < LARGEST_MIB
        venue.send(text(quote(3)))
        assert await child.until("ticker") == 3
        assert (child.now_kib - before) / 1024 < BOUND_MIB
        assert len(venue.connections) == 1
        assert await child.end() <= 1


async def test_parts_without_end_take_no_memory() -> None:
    """Millions of empty parts: each costs two bytes on the wire, and none in memory."""
    async with RawServer() as venue, running(venue, "picows", deflate=False) as child:
        await venue.until(lambda: bool(venue.of(TEXT)), 60)
        venue.send(acknowledged(venue) + text(quote(1)))
        await child.until("ticker")
        before = child.peak_kib
        venue.send(frame(TEXT, quote(2), fin=False) + frame(MORE, b"", fin=False) * 1_000_000 + frame(MORE, b""))
        assert await child.until("ticker") == 2
        assert (child.peak_kib - before) / 1024 < 8
        await child.end()
