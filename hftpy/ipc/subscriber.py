"""Receiving market data and account events from other processes over ZeroMQ."""

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import zmq
from google.protobuf.message import DecodeError

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, pad
from hftpy.common.events import Gap, Stale
from hftpy.common.log import LimitedLog, shown
from hftpy.common.paths import get_root, socket_path
from hftpy.errors import ConfigError
from hftpy.ipc import codec
from hftpy.ipc.observers import Observers
from hftpy.ipc.tracker import Missing, SequenceTracker
from hftpy.ipc.transport import FrameReader, check_transport, connect
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

DEFAULT_HWM = 100_000
SILENCE_LIMIT_S = 5.0
_BATCH_TOPIC = b" " * MARKET_TOPIC_BYTES
_MAX_NAMES = 1 << 16
_MALFORMED = (ValueError, OverflowError, DecodeError)  # OverflowError: a number that its struct cannot hold

Subscription = tuple[Exchange | str, Channel | str, str | Sequence[str]]


class _Source:
    """One address that is subscribed: its socket, its sequence numbers, what is delivered of it."""

    def __init__(self, exchange: Exchange, channel: Channel, observers: Observers) -> None:
        decoder = codec.DECODERS.get(channel)
        if decoder is None:
            raise ConfigError(f"channel {channel} cannot be subscribed over zmq yet")
        self._parse, self._decode = decoder
        self.exchange = exchange
        self.channel = channel
        self._observers = observers
        self._topic_of: dict[str, bytes] = {}  # canonical symbol -> topic; if all: as they come
        self._pair_of: dict[bytes, CurrencyPair] = {}
        self.all_symbols = False
        self.tracker = SequenceTracker(self._wanted)
        self._socket: zmq.Socket[bytes] | None = None
        self._reader: FrameReader | None = None
        self._log = LimitedLog(logger)
        self._last_frame = 0.0
        self._silent = False
        self._has_heartbeat = False
        self.received = self.lost = self.gaps = self.malformed = self.duplicates = self.filtered = self.restarts = 0

    def add_symbols(self, symbols: Iterable[str]) -> None:
        named = False
        for symbol in symbols:
            named = True
            pair = CurrencyPair(symbol)
            self._remember(pair, pad(pair.topic, MARKET_TOPIC_BYTES))
        self.all_symbols |= not named

    def _remember(self, pair: CurrencyPair, topic: bytes) -> None:
        self._topic_of[pair] = topic
        self._pair_of.setdefault(topic, pair)

    def _wanted(self, topic: bytes) -> bool:
        return self.all_symbols or topic in self._pair_of or topic in (_BATCH_TOPIC, codec.CONTROL_TOPIC)

    def open(self, root: Path, loop: asyncio.AbstractEventLoop, receive_hwm: int) -> None:
        path = socket_path(root, f"{self.exchange}.{self.channel}.ipc")
        self._socket = connect(path, zmq.SUB, receive_hwm=receive_hwm)
        for topic in self._topics():
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._reader = FrameReader(loop, self._socket, self._read)
        self._last_frame = time.monotonic()

    def _topics(self) -> list[bytes]:
        if self.all_symbols:
            return [b""]
        topics = [_BATCH_TOPIC] if self.channel is Channel.MY_ORDER_BATCH else list(self._pair_of)
        return [*topics, codec.CONTROL_TOPIC]

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _read(self, limit: int) -> bool:
        socket = self._socket
        if socket is None:
            return False
        for count in range(limit):
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if not count:
                self._last_frame = time.monotonic()
                self._silent = False
            try:
                if frame[:1] == b"\x00":
                    self._on_control(frame)
                else:
                    self._on_frame(frame)
            except _MALFORMED as error:
                self._refuse(frame, error)
            if self._socket is None:  # an observer's hook stopped us
                return False
        return True

    def _refuse(self, frame: bytes, error: Exception) -> None:
        self.malformed += 1
        self._log.warning("malformed", "%s: malformed frame: %s: %s", self, error, shown(frame))

    def _on_frame(self, frame: bytes) -> None:
        if len(frame) < MARKET_TOPIC_BYTES:
            raise ValueError(f"a frame must have at least {MARKET_TOPIC_BYTES} bytes, was {len(frame)}")
        self._on_message(frame[:MARKET_TOPIC_BYTES], frame[MARKET_TOPIC_BYTES:], resent=False)

    def _on_message(self, topic: bytes, body: bytes, *, resent: bool) -> None:
        message = self._parse(body)
        if message.exchange != self.exchange:
            raise ValueError(f"exchange must be {self.exchange}, was {message.exchange}")
        ours = self._is_ours(message, topic)
        value = self._decode(message) if ours else None
        verdict = self.tracker.on_message(topic, message.epoch, message.seq, resent or message.resent)
        if verdict.restarted:
            self._restarted()
        if verdict.lost:
            self._lost(topic, verdict.lost)
        if not verdict.deliver:
            self.duplicates += 1
        elif ours:
            self.received += 1
            if self.channel is Channel.MY_ORDER_BATCH and not self.all_symbols:
                value = [order for order in value or () if order.symbol in self._topic_of]
            self._observers.put(self.channel, value, self._queue_full)
        else:
            self.filtered += 1

    def _is_ours(self, message: Any, topic: bytes) -> bool:
        """Whether the symbol inside is subscribed: two symbols can have the same topic."""
        if self.channel is Channel.MY_ORDER_BATCH:
            return topic == _BATCH_TOPIC
        known = self._topic_of.get(message.symbol)
        if known is None:
            pair = CurrencyPair(message.symbol)
            known = self._topic_of.get(pair)
            if known is None:
                known = pad(pair.topic, MARKET_TOPIC_BYTES)
                if not self.all_symbols:
                    if known != topic:
                        raise ValueError(f"the topic of {message.symbol!r} must be {known!r}, was {topic!r}")
                    return False
                if len(self._topic_of) < _MAX_NAMES:
                    self._remember(pair, known)
        if known != topic:
            raise ValueError(f"the topic of {message.symbol!r} must be {known!r}, was {topic!r}")
        return True

    def _on_control(self, frame: bytes) -> None:
        if not frame.startswith(codec.CONTROL_TOPIC):
            return  # meant for nobody
        control = wire.Control.FromString(frame[MARKET_TOPIC_BYTES:])
        kind = control.WhichOneof("body")
        if kind == "heartbeat":
            self._has_heartbeat = True
            self._missing(self.tracker.on_heartbeat(control.epoch, self._seqs(control.heartbeat)))
        elif kind == "hello":
            self._missing(self.tracker.on_hello(control.epoch, self._seqs(control.hello)))
            for state in control.hello.topics:
                if state.value:
                    try:
                        self._on_message(state.topic, state.value, resent=True)
                    except _MALFORMED as error:
                        self._refuse(state.topic + state.value, error)
        elif kind is not None:
            event = codec.decode_event(kind, getattr(control, kind))
            verdict = self.tracker.on_message(codec.CONTROL_TOPIC, control.epoch, control.seq, False)
            if verdict.restarted:
                self._restarted()
            if verdict.lost:
                self._lost(codec.CONTROL_TOPIC, verdict.lost)
            symbol = getattr(event, "symbol", None)
            if verdict.deliver and (symbol is None or self.all_symbols or symbol in self._topic_of):
                self._observers.tell(event)

    @staticmethod
    def _seqs(states: Any) -> list[tuple[bytes, int]]:
        return [(state.topic, state.seq) for state in states.topics]

    def _missing(self, missing: Missing) -> None:
        if missing.restarted:
            self._restarted()
        for topic, lost in missing.lost:
            self._lost(topic, lost)

    def _lost(self, topic: bytes, lost: int) -> None:
        self.lost += lost
        self._log.warning("lost", "%s: %d messages of %r lost", self, lost, topic.rstrip())
        self._gap(self._symbol(topic), "messages were lost between publisher and subscriber", lost)

    def _restarted(self) -> None:
        self.restarts += 1
        logger.warning("%s: the publisher was started again", self)
        self._gap(None, "the publisher was started again", None)

    def _gap(self, symbol: CurrencyPair | None, reason: str, lost: int | None) -> None:
        self.gaps += 1
        self._observers.tell(self._make_gap(symbol, reason, lost, "ipc"))

    def _make_gap(self, symbol: CurrencyPair | None, reason: str, lost: int | None, source: str) -> Gap:
        return Gap(
            exchange=self.exchange,
            channel=self.channel,
            symbol=symbol,
            reason=reason,
            lost=lost,
            source=source,
            timestamp=time.time_ns() // 1000,
        )

    def _queue_full(self) -> Gap:
        return self._make_gap(None, f"{self.channel}_queue is full", 1, "ring")

    def _symbol(self, topic: bytes) -> CurrencyPair | None:
        known = self._pair_of.get(topic)
        if known is None and topic not in (_BATCH_TOPIC, codec.CONTROL_TOPIC):
            try:
                known = CurrencyPair(topic.decode().rstrip())
            except ValueError:
                return None
        return known

    def check_silence(self, limit_s: float) -> None:
        """Tell the observers once that the publisher, which sends heartbeats, has fallen silent."""
        silent_s = time.monotonic() - self._last_frame
        if self._has_heartbeat and not self._silent and silent_s > limit_s:
            self._silent = True
            logger.warning("%s: no publisher since %.1f s", self, silent_s)
            now = time.time_ns() // 1000
            self._observers.tell(
                Stale(exchange=self.exchange, channel=self.channel, symbol=None, silent_s=silent_s, timestamp=now)
            )

    def last_seq(self) -> dict[str, int]:
        return {
            topic.decode(errors="replace").rstrip(): seq
            for topic, seq in self.tracker.last.items()
            if topic != codec.CONTROL_TOPIC
        }

    def __str__(self) -> str:
        return f"{self.exchange}.{self.channel}"


class IPCSubscriber:
    """Receives what publishers of this host send, and puts it into the queues of its observers.

    Parameters
    ----------
    subscriptions
        Triples of exchange, channel and symbols; no symbols ("" or []) are all of them.
    root
        The root folder; None for `hftpy.common.get_root()`.
    transport
        ``zmq``.
    receive_hwm
        How many messages of one address may wait here before the publisher's side fills.
    silence_limit_s
        After how many seconds without any frame, heartbeats included, the observers are told `Stale`.

    Raises
    ------
    ConfigError
        If the transport does not exist or the channel has no wire format.
    ValueError
        If an exchange, a channel or a symbol is not one, or a symbol is too long for a topic.

    Thread safety: the event loop's thread alone.
    """

    def __init__(
        self,
        subscriptions: Iterable[Subscription],
        root: str | os.PathLike[str] | None = None,
        transport: str = "zmq",
        *,
        receive_hwm: int = DEFAULT_HWM,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        check_transport(transport)
        if receive_hwm < 1:
            raise ValueError(f"receive_hwm must be at least 1, was {receive_hwm}")
        wanted = [(Exchange.parse(ex), Channel.parse(channel), symbols) for ex, channel, symbols in subscriptions]
        if not wanted:
            raise ValueError("a subscriber needs at least one subscription")
        self._root = Path(os.path.abspath(root)) if root is not None else get_root()
        self._receive_hwm = receive_hwm
        self._silence_limit_s = silence_limit_s
        self._observers = Observers(channel for _, channel, _ in wanted)
        self._sources: dict[tuple[Exchange, Channel], _Source] = {}
        for exchange, channel, symbols in wanted:
            key = (exchange, channel)
            source = self._sources.get(key)
            if source is None:
                source = self._sources[key] = _Source(exchange, channel, self._observers)
            source.add_symbols([symbols] if isinstance(symbols, str) and symbols else symbols)
        self._stop: asyncio.Event | None = None

    def bind_observer(self, observer: object) -> None:
        """Add an observer: an object with a queue ``{channel}_queue`` for each channel that is subscribed.

        Gaps, silence and new connections go to its `event_queue`, or else to its `on_gap`, `on_stale` and
        `on_reconnected`, where it has them.

        Raises
        ------
        ObserverError
            If a queue is missing.
        """
        self._observers.bind(observer)

    async def start(self) -> None:
        """Receive until `stop()`.

        Raises
        ------
        ObserverError
            If an observer has lost a queue since it was bound.
        RootError
            If the root cannot be used.
        RuntimeError
            If it runs already.
        """
        if self._stop is not None:
            raise RuntimeError("the subscriber runs already")
        self._observers.refresh()
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            for source in self._sources.values():
                source.open(self._root, loop, self._receive_hwm)
            while not self._stop.is_set():
                try:
                    await asyncio.wait_for(self._stop.wait(), 1.0)
                except TimeoutError:
                    for source in self._sources.values():
                        source.check_silence(self._silence_limit_s)
        finally:
            for source in self._sources.values():
                source.close()
            self._observers.close()
            self._stop = None

    def stop(self) -> None:
        """End `start()`; nothing is delivered after this returns."""
        for source in self._sources.values():
            source.close()
        if self._stop is not None:
            self._stop.set()

    @property
    def stats(self) -> dict[str, Any]:
        """Counters over all addresses, and ``last_seq`` of each topic by address (``kraken.ticker``)."""
        sources = self._sources.values()
        counters = ("received", "lost", "gaps", "malformed", "duplicates", "filtered", "restarts")
        return {
            **{name: sum(getattr(source, name) for source in sources) for name in counters},
            "queue_full": self._observers.queue_full.total(),
            "queue_full_by_channel": dict(self._observers.queue_full),
            "observer_errors": self._observers.failed,
            "last_seq": {str(source): source.last_seq() for source in sources},
        }
