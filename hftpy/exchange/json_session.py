"""The session of `StreamBase.run_channel`: decoded messages to a subclass's own callbacks."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hftcore.enums import Channel
from hftpy.common.events import Reconnected
from hftpy.common.log import LimitedLog
from hftpy.common.loops import end_tasks
from hftpy.errors import VenueError
from hftpy.exchange.runner import Session, logger

if TYPE_CHECKING:
    from hftpy.exchange.stream import StreamBase

MAX_WAITING_PACKETS = 65536  # for a coroutine on_packet that is slower than the venue
SHOWN_BYTES = 200


class JsonSession(Session):
    """Decodes each message and calls `on_packet`; knows nothing of acknowledgements or sequence numbers."""

    def __init__(
        self,
        stream: "StreamBase",
        channel: Channel,
        url: str,
        subscribe: Callable[[], Awaitable[Any]] | None,
        on_packet: Callable[[dict[str, Any]], Any],
        on_connected: Callable[[], Any] | None,
        on_disconnected: Callable[[], Any] | None,
    ) -> None:
        super().__init__(f"{stream.exchange}.{channel}")
        self._stream = stream
        self._channel = channel
        self._url = url
        self._subscribe = subscribe
        self._on_packet = on_packet
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._stats = stream.channel_stats(channel)
        self._log = LimitedLog(logger)
        self._decode = msgspec.json.Decoder().decode
        self._opened = False
        self._exposed = False  # something may have been missed since the last Gap
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(MAX_WAITING_PACKETS)
        self._worker: asyncio.Task[None] | None = None

    async def url(self) -> str:
        return self._url

    async def opened(self) -> Sequence[str | bytes]:
        self._opened = True
        self._stats.connected = True
        await self._call(self._on_connected)
        try:
            message = None if self._subscribe is None else await self._subscribe()
        except Exception as error:
            self._failed(error)
            raise VenueError(f"{self.name}: subscribe raised {error!r}", retryable=True) from error
        messages = message if isinstance(message, list | tuple) else [] if message is None else [message]
        return [item if isinstance(item, str | bytes) else msgspec.json.encode(item).decode() for item in messages]

    def sent(self) -> None:
        self.ready = self._exposed = True

    def frame(self, data: bytes) -> None:
        self._stats.frames += 1
        try:
            packet = self._decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._stats.parse_errors += 1
            self._log.warning("parse", f"{self.name}: {error} in {data[:SHOWN_BYTES]!r}")
            return
        self._stats.events += 1
        if self._worker is not None:
            self._queue(packet)
            return
        try:
            result = self._on_packet(packet)
        except Exception as error:  # noqa: BLE001  a callback's error is the user's: counted, logged, kills nothing
            self._failed(error)
            return
        self._stream.end_batch()
        if inspect.iscoroutine(result):
            # From the first coroutine on, packets go through one worker, so that they stay in order.
            self._worker = asyncio.create_task(self._work(result), name=f"hftpy {self.name} on_packet")

    def _queue(self, packet: Any) -> None:
        try:
            self._waiting.put_nowait(packet)
        except asyncio.QueueFull:
            self._stream.emit(self._stream.gap(self._channel, "on_packet is too slow", lost=1))

    async def _work(self, first: Awaitable[Any]) -> None:
        result: Any = first
        while True:
            try:
                if inspect.isawaitable(result):
                    await result
            except Exception as error:  # noqa: BLE001  as in frame
                self._failed(error)
            packet = await self._waiting.get()
            result = None
            try:
                result = self._on_packet(packet)
            except Exception as error:  # noqa: BLE001  as in frame
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._stats.callback_errors += 1
        self._log.warning("callback", f"{self.name}: a callback raised {error!r}", exc_info=error)

    async def _call(self, callback: Callable[[], Any] | None) -> None:
        if callback is None:
            return
        try:
            result = callback()
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001  as in frame
            self._failed(error)

    def next_deadline(self) -> float | None:
        return None

    def check(self, now: float) -> None:
        return

    async def lost(self, reason: str) -> None:
        self._stats.connected = False
        if self._opened:
            self._opened = False
            if self._exposed and not self._stream.stopping:
                self._exposed = False
                self._stream.emit(self._stream.gap(self._channel, "disconnected"))
            await self._call(self._on_disconnected)

    def recovered(self, attempts: int, down_s: float) -> None:
        self._stream.emit(
            Reconnected(
                exchange=self._stream.exchange,
                channel=self._channel,
                attempts=attempts,
                down_s=down_s,
                timestamp=time.time_ns() // 1000,
            )
        )

    async def finish(self) -> None:
        """End the worker."""
        if self._worker is not None:
            await end_tasks((self._worker,))
