"""One client's connection to the simulated venue: a bounded send queue with one writer."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from hftpy.sim.text import wire_bytes

QUEUE_CAPACITY = 8192


class ClientConnection:
    """Sends frames in order. A client that is too slow for its queue (`capacity` frames) is disconnected.

    Only `send_waiting`, the flat-out replay's way, waits for room instead.
    """

    def __init__(
        self, socket: ServerConnection, *, capacity: int = QUEUE_CAPACITY, on_slow: Callable[[], None] = lambda: None
    ) -> None:
        self.socket = socket
        self.path = socket.request.path if socket.request is not None else "/"
        self.last_sent = time.monotonic()
        self.closed = False
        self._queue: deque[str | bytes] = deque()
        self._capacity = capacity
        self._on_slow = on_slow
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def send(self, frame: str | bytes) -> bool:
        """Queue a frame; False if the connection is, or by this becomes, closed."""
        if self.closed:
            return False
        if len(self._queue) >= self._capacity:
            self._on_slow()
            self.abort()
            return False
        self._queue.append(frame)
        self._wake.set()
        return True

    async def send_waiting(self, frame: str | bytes) -> bool:
        """Queue a frame when there is room; False if the connection is closed."""
        while len(self._queue) >= self._capacity and not self.closed:
            self._room.clear()
            await self._room.wait()
        return self.send(frame)

    async def flushed(self) -> None:
        """Wait until the queue is empty or the connection closed."""
        while self._queue and not self.closed:
            self._room.clear()
            await self._room.wait()

    async def write(self) -> None:
        """Send what is queued until the connection closes; run as a task."""
        try:
            while not self.closed:
                if not self._queue:
                    self._room.set()
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                frame = self._queue[0]
                if isinstance(frame, str) and not frame.isascii():
                    await self.socket.send(wire_bytes(frame), text=True)  # recorded bytes may be no UTF-8
                else:
                    await self.socket.send(frame)
                # Only now: `flushed` must not return before the last frame is with the transport.
                if self._queue:
                    self._queue.popleft()
                self.last_sent = time.monotonic()
                if len(self._queue) <= self._capacity // 2:
                    self._room.set()
        except ConnectionClosed:
            pass  # the reader sees it too and cleans up
        finally:
            self.mark_closed()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        self.mark_closed()
        with contextlib.suppress(RuntimeError):
            self.socket.transport.abort()

    def mark_closed(self) -> None:
        """Refuse further frames and wake whoever waits for room."""
        self.closed = True
        self._queue.clear()
        self._wake.set()
        self._room.set()
