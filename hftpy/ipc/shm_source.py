"""The subscriber's side of the shared-memory transport: one path, and the segments that come to stand there."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hftcore.enums import Channel, Exchange
from hftcore.shm import ShmReader
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, pad
from hftpy.errors import RootError, SegmentError
from hftpy.ipc import codec
from hftpy.ipc.endpoint import Source
from hftpy.ipc.observers import Observers
from hftpy.ipc.shm_address import KINDS
from hftpy.ipc.shm_folder import segment_path
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

_DRAIN_ITEMS = 512


class ShmSource(Source):
    """One segment that is subscribed, and those that follow it at the same path."""

    transport = "shm"

    def __init__(self, exchange: Exchange, channel: Channel, observers: Observers, wait: str = "adaptive") -> None:
        super().__init__(exchange, channel, observers)
        self._kind = KINDS[channel]
        self._wait = wait
        self._pairs: set[CurrencyPair] = set()
        self._all_symbols = False
        self._reader: ShmReader[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled: asyncio.Handle | None = None
        self._seqs: dict[str, int] = {}
        self._delivery = observers.delivery(channel)
        observers.on_refresh(self._bind)

    def add_symbols(self, symbols: Sequence[str]) -> None:
        named = False
        for symbol in symbols:
            named = True
            pair = CurrencyPair(symbol)
            pad(pair.topic, MARKET_TOPIC_BYTES)
            self._pairs.add(pair)
        self._all_symbols |= not named

    def _bind(self) -> None:
        self._delivery.bind(self._observers.queues(self.channel))

    def open(self, root: Path, loop: asyncio.AbstractEventLoop, receive_hwm: int) -> None:
        self._last_frame = time.monotonic()
        path = segment_path(root, self.exchange, self.channel)
        symbols = None if self._all_symbols else self._pairs
        try:
            self._reader = ShmReader(path, self._kind, symbols=symbols, wait=self._wait, on_notice=self._on_notice)
        except SegmentError as error:
            raise RootError(str(error)) from error
        self._delivery.resume()
        self._loop = loop
        loop.add_reader(self._reader.fileno(), self._on_readable)
        self._scheduled = loop.call_soon(self._read)

    def close(self) -> None:
        self._delivery.stop()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._reader is not None:
            reader, self._reader = self._reader, None
            self._seqs = _by_topic(reader)
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(reader.fileno())
            reader.close()

    def _on_readable(self) -> None:
        if self._reader is not None:
            self._reader.clear()
            if self._scheduled is None:
                self._read()

    def _read(self) -> None:
        self._scheduled = None
        reader = self._reader
        if reader is None or self._loop is None:
            return
        try:
            taken = reader.deliver(self._delivery, _DRAIN_ITEMS)
        finally:
            self.sync()
        if taken:
            self._last_frame = time.monotonic()
            self._silent = False
        if reader.closed:  # an observer's hook stopped us
            return
        if taken == _DRAIN_ITEMS or not reader.arm():
            self._scheduled = self._loop.call_soon(self._read)

    def sync(self) -> None:
        self.received = self._delivery.given
        for observer, count in self._delivery.take_refused():
            self._observers.put_refused(self.channel, observer, self._queue_full, count)

    def _on_notice(self, name: str, symbol: CurrencyPair | None, value: Any) -> None:
        if name == "lost":
            self._lose(symbol.topic.encode() if symbol is not None else codec.CONTROL_TOPIC, symbol, value)
        elif name == "event":
            self._on_event(value)
        elif name == "restart":
            self._restarted()
        else:
            self.malformed += 1
            self._log.warning(name, "%s: %s", self, value)

    def _on_event(self, encoded: bytes) -> None:
        try:
            control = wire.Control.FromString(encoded)
            kind = control.WhichOneof("body")
            event = codec.decode_event(kind, getattr(control, kind))
        except (ValueError, TypeError, OverflowError, DecodeError) as error:
            self.malformed += 1
            self._log.warning("malformed", "%s: malformed event: %s", self, error)
            return
        symbol = getattr(event, "symbol", None)
        if symbol is None or self._all_symbols or symbol in self._pairs:
            self._observers.tell(event)

    def check_silence(self, limit_s: float) -> None:
        silent_s = self._reader.silent_s if self._reader is not None else None
        if silent_s is None:  # there was no publisher yet
            super().check_silence(limit_s)
            return
        self._has_heartbeat = True
        if silent_s <= limit_s:
            self._silent = False
        self._last_frame = max(self._last_frame, time.monotonic() - silent_s)
        super().check_silence(limit_s)

    def last_seq(self) -> dict[str, int]:
        return self._seqs if self._reader is None else _by_topic(self._reader)


def _by_topic(reader: ShmReader[Any]) -> dict[str, int]:
    return {pair.topic: seq for pair, seq in reader.seqs().items()}
