"""Faults on a connection's bytes: a peer that is gone without a word, bytes one by one, withheld pongs, bombs.

`FaultyTransport` stands before the transport of one WebSocket connection; while no fault acts it changes nothing.
"""

import asyncio
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from websockets.asyncio.server import ServerConnection

BOMB_BYTES = 64 << 20
DRIBBLED_BYTES = 7  # at most, at once
MAX_DRIBBLE_BYTES = 1 << 20  # that wait; what comes beyond is sent in one piece
OPCODE = 0x0F
PONG = 0x0A
# Pongs that venues send as messages: OKX's text, Kraken's answer.
TEXT_PONG = b"\x81\x04pong"
METHOD_PONG = b'"method":"pong"'


class FaultyTransport:
    """A transport that can lose, delay and split what is written, and stop reading.

    Every `write` of the WebSocket server is one whole frame.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._dead = False
        self._no_pong_until = 0.0
        self._dribble_until = 0.0
        self._waiting = bytearray()
        self._dribbler: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, socket: ServerConnection) -> "FaultyTransport":
        """The one that stands before a connection's transport, put there by the first call."""
        if not isinstance(socket.transport, cls):
            socket.transport = cls(socket.transport)  # type: ignore[assignment]
        return socket.transport  # type: ignore[return-value]

    def go_silent(self) -> None:
        """From now on nothing is sent and nothing is read: what a client sees of a peer that lost its power."""
        self._dead = True
        self._transport.pause_reading()

    def withhold_pongs(self, seconds: float) -> None:
        """Answer no ping, of the protocol or of the venue's own."""
        self._no_pong_until = time.monotonic() + seconds

    def dribble(self, seconds: float) -> None:
        """Send a few bytes at a time."""
        self._dribble_until = time.monotonic() + seconds

    def bomb(self, deflates: bool) -> None:
        """Send a message of 64 MiB: compressed to a thousandth where the client took the extension, else announced."""
        self.write(compressed_bomb() if deflates else b"\x81\x7f" + struct.pack("!Q", BOMB_BYTES) + b" " * 65536)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._dead or (time.monotonic() < self._no_pong_until and _is_pong(bytes(data))):
            return
        if time.monotonic() >= self._dribble_until and not self._waiting:
            self._transport.write(data)
            return
        self._waiting += data
        if len(self._waiting) > MAX_DRIBBLE_BYTES:
            self._flush()
        elif self._dribbler is None or self._dribbler.done():
            self._dribbler = asyncio.create_task(self._trickle(), name="sim-dribble")

    def writelines(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def pause_reading(self) -> None:
        if not self._dead:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._dead:
            self._transport.resume_reading()

    def write_eof(self) -> None:
        if not self._dead:
            self._flush()
            self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._waiting.clear()
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _trickle(self) -> None:
        sizes = _sizes()
        while self._waiting and not self._transport.is_closing():
            if time.monotonic() >= self._dribble_until:
                self._flush()
                return
            size = next(sizes)
            self._transport.write(bytes(self._waiting[:size]))
            del self._waiting[:size]
            await asyncio.sleep(0)

    def _flush(self) -> None:
        if self._waiting and not self._dead:
            self._transport.write(bytes(self._waiting))
        self._waiting.clear()


def _sizes() -> Iterator[int]:
    while True:
        yield from range(1, DRIBBLED_BYTES + 1)


def _is_pong(frame: bytes) -> bool:
    return frame[:1] != b"" and (frame[0] & OPCODE == PONG or frame == TEXT_PONG or METHOD_PONG in frame)


@cache
def compressed_bomb() -> bytes:
    """A WebSocket message of some 64 kB that inflates to 64 MiB."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = b" " * (1 << 20)
    payload = b"".join(deflater.compress(piece) for _ in range(BOMB_BYTES >> 20))
    payload += deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    return b"\xc1\x7f" + struct.pack("!Q", len(payload)) + payload
