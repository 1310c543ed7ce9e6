"""The subscriber's side of the ZeroMQ transport: one address, its socket and its sequence numbers."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq
from google.protobuf.message import DecodeError

from hftcore.enums import Channel, Exchange
from hftcore.subscription import Missing, SequenceTracker, Subscription
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, pad
from hftcore.types import Ticker, Trade
from hftcore.zmq import NativeSocket
from hftpy.common.log import shown
from hftpy.common.paths import socket_path
from hftpy.errors import ConfigError
from hftpy.ipc import codec
from hftpy.ipc.curve_link import CurveLink
from hftpy.ipc.endpoint import Source
from hftpy.ipc.lives import UnheardLives, lives_path
from hftpy.ipc.observers import Observers
from hftpy.ipc.tcp import TcpEndpoints, channel_name
from hftpy.ipc.transport import FrameReader, connect
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

_BATCH_TOPIC = b" " * MARKET_TOPIC_BYTES
_MAX_NAMES = 1 << 16
_MALFORMED = (ValueError, OverflowError, DecodeError)  # OverflowError: a number that its struct cannot hold


def _may_be_a_perpetual(pair: CurrencyPair) -> bool:
    """Whether the letters of a topic, read as this pair, are also those of a perpetual: btcusdtusdt, btcusdbtc."""
    try:
        inner = CurrencyPair(pair.base)
    except ValueError:
        return False
    return pair.quote in (inner.base, inner.quote)


class ZmqSource(Source):
    """One address that is subscribed: its socket, its sequence numbers, what is delivered of it."""

    transport = "zmq"

    def __init__(
        self, exchange: Exchange, channel: Channel, observers: Observers, tcp: TcpEndpoints | None = None
    ) -> None:
        super().__init__(exchange, channel, observers)
        decoder = codec.DECODERS.get(channel)
        if decoder is None:
            raise ConfigError(f"channel {channel} cannot be subscribed over zmq yet")
        self._decode = decoder
        self._topic_of: dict[str, bytes] = {}  # canonical symbol -> topic; if all: as they come
        self._pair_of: dict[bytes, CurrencyPair] = {}
        self.all_symbols = False
        self._socket: zmq.Socket[bytes] | None = None
        self._subscription: Subscription | None = None
        self._reader: FrameReader | None = None
        self._tcp = tcp
        self._link: CurveLink | None = None
        self._lives: UnheardLives | None = None
        self._heard = False  # anything at all
        observers.on_refresh(self._bind)

    def add_symbols(self, symbols: Sequence[str]) -> None:
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
        tcp = self._tcp
        remote = None if tcp is None else tcp.channel(channel_name(self.exchange, self.channel))
        if tcp is None or remote is None:
            path = socket_path(root, f"{self.exchange}.{self.channel}.ipc")
            # First, so that none falls in between.
            self._lives = UnheardLives(lives_path(root, self.exchange, self.channel), self._unheard)
            self._socket = connect(path, zmq.SUB, receive_hwm=receive_hwm)
        else:
            self._socket = connect(None, zmq.SUB, receive_hwm=receive_hwm)
            self._link = CurveLink(self._socket, tcp, remote)
        for topic in self._topics():
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        native = NativeSocket(self._socket)
        if self._subscription is None:
            kind = {Channel.TICKER: Ticker, Channel.TRADE: Trade}.get(self.channel)
            self._subscription = Subscription(
                native, kind, self.exchange, self._wanted, self._on_frame, self._refused, self._failed
            )
            self._bind()
        else:
            self._subscription.resume(native)
        self._heard = self._lives is None or bool(self._tracker.epoch)
        self._reader = FrameReader(loop, self._socket, self._read)
        if self._link is not None:
            self._link.attach(loop)
        self._last_frame = time.monotonic()

    def _bind(self) -> None:
        if self._subscription is not None:
            self._subscription.bind(self._observers.queues(self.channel))

    def _refused(self, observer: object, count: int) -> None:
        self._observers.put_refused(self.channel, observer, self._queue_full, count)

    def _failed(self, observer: object) -> None:
        self._observers.put_failed(self.channel, observer)

    def _topics(self) -> list[bytes]:
        if self.all_symbols:
            return [b""]
        topics = [_BATCH_TOPIC] if self.channel is Channel.MY_ORDER_BATCH else list(self._pair_of)
        return [*topics, codec.CONTROL_TOPIC]

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._subscription is not None:
            self._subscription.close()
        if self._link is not None:
            self.tcp_refused += self._link.take_failed()
            self._link.close()
            self._link = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _read(self, limit: int) -> bool:
        assert self._subscription is not None
        if not self._heard:
            self._read_first()
        try:
            return self._subscription.drain(limit)
        finally:
            self.sync()

    def _read_first(self) -> None:
        """The first frame of all: what was sent before it by others is told before it."""
        assert self._socket is not None and self._lives is not None
        try:
            frame = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
        try:
            if (epoch := self._epoch_of(frame)) is not None:
                self._heard = True
                self._lives.heard_first(epoch)
        except _MALFORMED:
            pass  # which is counted below
        self._on_frame(frame)
        self._last_frame = time.monotonic()

    def _epoch_of(self, frame: bytes) -> int | None:
        """Whose life a frame is of; None: it does not say."""
        if frame[:1] != b"\x00":
            return int(self._decode(frame[MARKET_TOPIC_BYTES:]).epoch)
        if not frame.startswith(codec.CONTROL_TOPIC):
            return None
        return int(wire.Control.FromString(frame[MARKET_TOPIC_BYTES:]).epoch)

    def check_silence(self, limit_s: float) -> None:
        super().check_silence(limit_s)
        if self._lives is not None and self._subscription is not None:
            self._lives.look(self._tracker.epoch)

    def _unheard(self, sent: Mapping[str, int] | None) -> None:
        """A publisher has come and gone, and nothing of it has arrived."""
        if sent is None:
            logger.warning("%s: a publisher has come and gone unheard", self)
            self._gap(None, "a publisher came and went unheard", None)
            return
        for name, seq in sent.items():
            topic = pad(name, MARKET_TOPIC_BYTES)
            if seq and self._wanted(topic):
                self._lose(topic, self._symbol(topic), seq)

    def sync(self) -> None:
        if self._link is not None:
            self.tcp_refused += self._link.take_failed()
        if self._subscription is None:
            return
        received, frames = self._subscription.take_counts()
        self.received += received
        if frames:
            self._last_frame = time.monotonic()
            self._silent = False

    def _on_frame(self, frame: bytes) -> bool:
        """Take a frame that the subscription does not deliver by itself; returns whether its message was delivered."""
        try:
            if frame[:1] == b"\x00":
                self._on_control(frame)
                return False
            if len(frame) < MARKET_TOPIC_BYTES:
                raise ValueError(f"a frame must have at least {MARKET_TOPIC_BYTES} bytes, was {len(frame)}")
            return self._on_message(frame[:MARKET_TOPIC_BYTES], frame[MARKET_TOPIC_BYTES:], resent=False)
        except _MALFORMED as error:
            self._refuse(frame, error)
            return False

    def _refuse(self, frame: bytes, error: Exception) -> None:
        self.malformed += 1
        self._log.warning("malformed", "%s: malformed frame: %s: %s", self, error, shown(frame))

    def _on_message(self, topic: bytes, body: bytes, *, resent: bool) -> bool:
        message = self._decode(body)
        if message.exchange != self.exchange:
            raise ValueError(f"exchange must be {self.exchange}, was {message.exchange}")
        ours = self._is_ours(message.symbol, topic)
        verdict = self._tracker.on_message(topic, message.epoch, message.seq, resent or message.resent)
        if verdict.restarted:
            self._restarted()
        if verdict.lost:
            self._lose(topic, self._symbol(topic), verdict.lost)
        if not verdict.deliver:
            self.duplicates += 1
        elif ours:
            self.received += 1
            value = message.value
            if self.channel is Channel.MY_ORDER_BATCH and not self.all_symbols:
                value = [order for order in value if order.symbol in self._topic_of]
            self._observers.put(self.channel, value, self._queue_full)
            return True
        else:
            self.filtered += 1
        return False

    def _is_ours(self, pair: CurrencyPair | None, topic: bytes) -> bool:
        """Whether the symbol inside is subscribed: two symbols can have the same topic."""
        if pair is None:
            return topic == _BATCH_TOPIC
        known = self._topic_of.get(pair)
        if known is None:
            known = pad(pair.topic, MARKET_TOPIC_BYTES)
            if known == topic and self.all_symbols and len(self._topic_of) < _MAX_NAMES:
                self._remember(pair, known)
        if known != topic:
            raise ValueError(f"the topic of {str(pair)!r} must be {known!r}, was {topic!r}")
        return self.all_symbols or pair in self._topic_of

    def _on_control(self, frame: bytes) -> None:
        if not frame.startswith(codec.CONTROL_TOPIC):
            return  # meant for nobody
        missing = self._tracker.read_heartbeat(frame[MARKET_TOPIC_BYTES:])
        if missing is not None:
            self._has_heartbeat = True
            self._missing(missing)
            return
        control = wire.Control.FromString(frame[MARKET_TOPIC_BYTES:])
        kind = control.WhichOneof("body")
        if kind == "heartbeat":
            self._has_heartbeat = True
            self._missing(self._tracker.on_heartbeat(control.epoch, self._seqs(control.heartbeat)))
        elif kind == "hello":
            self._missing(self._tracker.on_hello(control.epoch, self._seqs(control.hello)))
            for state in control.hello.topics:
                if state.value:
                    try:
                        self._on_message(state.topic, state.value, resent=True)
                    except _MALFORMED as error:
                        self._refuse(state.topic + state.value, error)
        elif kind is not None:
            event = codec.decode_event(kind, getattr(control, kind))
            verdict = self._tracker.on_message(codec.CONTROL_TOPIC, control.epoch, control.seq, False)
            if verdict.restarted:
                self._restarted()
            if verdict.lost:
                self._lose(codec.CONTROL_TOPIC, None, verdict.lost)
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
            self._lose(topic, self._symbol(topic), lost)

    def _symbol(self, topic: bytes) -> CurrencyPair | None:
        known = self._pair_of.get(topic)
        if known is None and topic not in (_BATCH_TOPIC, codec.CONTROL_TOPIC):
            try:
                known = CurrencyPair(topic.decode().rstrip())
            except ValueError:
                return None
            if _may_be_a_perpetual(known):
                return None
        return known

    @property
    def _tracker(self) -> SequenceTracker:
        assert self._subscription is not None
        return self._subscription.tracker

    def last_seq(self) -> dict[str, int]:
        if self._subscription is None:
            return {}
        return {
            topic.decode(errors="replace").rstrip(): seq
            for topic, seq in self._tracker.last.items()
            if topic != codec.CONTROL_TOPIC
        }
