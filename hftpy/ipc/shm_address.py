"""The publisher's side of the shared-memory transport: one segment of tickers or trades."""

import asyncio
import atexit
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.shm import MAX_CAPACITY, MAX_EVENT_BYTES, ShmWriter
from hftcore.topic import MARKET_TOPIC_BYTES, pad
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import MyOrder
from hftpy.common.paths import make_private_folder
from hftpy.errors import AddressInUseError, RootError, SegmentError, SegmentInUseError
from hftpy.ipc import codec
from hftpy.ipc.endpoint import Message
from hftpy.ipc.shm_folder import remove_folder, segment_path
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

KINDS: dict[Channel, type[Ticker] | type[Trade]] = {Channel.TICKER: Ticker, Channel.TRADE: Trade}
"""The channels that shared memory carries, and what their segments hold."""

_REASON_CHARACTERS = 500
_open: "set[ShmAddress]" = set()


@atexit.register
def _close_at_exit() -> None:
    # A program that ends without closing, by Ctrl-C for example, leaves no segment behind.
    for address in list(_open):
        address.close()


class ShmAddress:
    """One segment that this object alone writes.

    A send publishes and returns: it never wakes a reader. Where an event loop runs, the readers that sleep are woken
    once at the end of the loop's turn; without a loop after the message, by a system call, if any sleeps.
    """

    listener: None = None  # shared memory has no tcp endpoint

    def __init__(self, root: Path, exchange: Exchange, channel: Channel, epoch: int, send_hwm: int) -> None:
        self.path = segment_path(root, exchange, channel)
        self._epoch = epoch
        self._events = 0
        self._known: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled: asyncio.Handle | None = None
        capacity = 1 << (min(send_hwm, MAX_CAPACITY).bit_length() - 1)
        self._writer = self._make(KINDS[channel], exchange, capacity)
        self._writer.on_sleepers = self._wake
        self._put = self._writer.put
        self._has_sleepers = self._writer.has_sleepers
        _open.add(self)
        logger.info("publishing %s.%s at %s", exchange, channel, self.path)

    def _make(self, kind: type[Ticker] | type[Trade], exchange: Exchange, capacity: int) -> ShmWriter[Any]:
        for last in (False, False, True):
            make_private_folder(self.path.parent)
            try:
                return ShmWriter(self.path, kind, exchange=exchange, capacity=capacity, epoch=self._epoch)
            except SegmentInUseError as error:
                raise AddressInUseError(f"address {self.path} is in use by another process or object") from error
            except SegmentError as error:
                # Somebody who closed may have removed the folder just now.
                if last or self.path.parent.exists():
                    raise RootError(str(error)) from error
        raise AssertionError

    def send(self, message: Message) -> int:
        symbol = message.symbol
        if symbol not in self._known:
            pad(symbol.topic, MARKET_TOPIC_BYTES)  # what cannot be sent over ZeroMQ cannot be sent here
            self._known.add(symbol)
        seq = self._put(message)
        if self._has_sleepers():
            self._wake()
        return seq

    def send_orders(self, orders: Sequence[MyOrder]) -> int:
        raise TypeError("a shared-memory segment carries tickers or trades")

    def send_event(self, event: Gap | Stale | Reconnected) -> None:
        encoded = self._encode(event)
        if len(encoded) > MAX_EVENT_BYTES and isinstance(event, Gap):
            encoded = self._encode(msgspec.structs.replace(event, reason=event.reason[:_REASON_CHARACTERS] + "…"))
        self._events = self._writer.put_event(encoded)
        if self._has_sleepers():
            self._wake()

    def _encode(self, event: Gap | Stale | Reconnected) -> bytes:
        control = wire.Control(seq=self._events + 1, epoch=self._epoch, **codec.event_fields(event))
        encoded: bytes = control.SerializeToString()
        return encoded

    def _wake(self) -> None:
        if self._loop is None or self._loop.is_closed():
            self._writer.wake_readers()
        elif self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._wake_now)

    def _wake_now(self) -> None:
        self._scheduled = None
        self._writer.wake_readers()

    def send_heartbeat(self) -> None:
        self._writer.heartbeat()

    def serve(self) -> bool:
        return False

    def subscribers(self) -> int:
        return self._writer.readers

    @property
    def target(self) -> ShmWriter[Any]:
        return self._writer

    @property
    def sent(self) -> int:
        return self._writer.stats["published"] - self._events

    @property
    def joins(self) -> int:
        return self._writer.stats["joins"]

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._wake_now()
        self._loop = loop

    def close(self) -> None:
        _open.discard(self)
        self.attach(None)
        self._writer.on_sleepers = None  # a cycle
        self._writer.close()
        remove_folder(self.path.parent)
