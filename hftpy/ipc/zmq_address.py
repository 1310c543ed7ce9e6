"""The publisher's side of the ZeroMQ transport: one bound address, its topics and its subscribers."""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

from hftcore.enums import Channel, Exchange
from hftcore.publication import Publication
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, PrefixFilter, pad
from hftcore.zmq import NativeSocket
from hftpy.common.events import Gap
from hftpy.common.orders import MyOrder
from hftpy.common.paths import socket_path
from hftpy.ipc import codec
from hftpy.ipc.curve_guard import KeyedReader
from hftpy.ipc.endpoint import Message
from hftpy.ipc.lives import begin_life, end_life, lives_path
from hftpy.ipc.tcp import TcpEndpoints, channel_name
from hftpy.ipc.transport import MAX_FRAME_BYTES, FrameReader, OwnedAddress, has_frames
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

_FULL_HEARTBEAT_EVERY = 10
_BATCH_TOPIC = b" " * MARKET_TOPIC_BYTES
# Only a peer that subscribed everything sees it, and ignores it.
_NOTHING = b"\x00nothing".ljust(MARKET_TOPIC_BYTES)
# A send can take a joiner's request in without the event loop noticing: so long after it somebody looks.
_LOOK_AFTER_S = 0.002

# At the end, a peer that was behind within the last so many seconds is told so long what it should have received, and
# what was sent then has so long to leave.
_RECENTLY_S = 10.0
_PATIENCE_S = 0.5
_LINGER_MS = 2_000


def _seqs(heartbeat: bytes) -> dict[str, int]:
    """The last number of each topic that a heartbeat names."""
    states = wire.Control.FromString(heartbeat[MARKET_TOPIC_BYTES:]).heartbeat.topics
    return {state.topic.decode().rstrip(): state.seq for state in states if state.topic != codec.CONTROL_TOPIC}


class ZmqAddress:
    """One bound address: its topics and its subscribers.

    Subscriptions are accepted by hand (XPUB_MANUAL_LAST_VALUE): the one frame that is sent after a subscription was
    read reaches that subscriber alone. So exactly one frame must be sent after each frame that was read, or else the
    next broadcast would go to that peer only.
    """

    def __init__(
        self, root: Path, exchange: Exchange, channel: Channel, epoch: int, send_hwm: int, tcp: TcpEndpoints | None
    ) -> None:
        path = socket_path(root, f"{exchange}.{channel}.ipc")
        self.exchange = exchange
        self.channel = channel
        self._epoch = epoch
        listen = None if tcp is None else lambda socket: tcp.listen(channel_name(exchange, channel), socket)
        self._owned = OwnedAddress(path, send_hwm=send_hwm, manual=True, listen=listen)
        self.listener = self._owned.listener
        self._socket = self._owned.socket
        self._keyed = None if self.listener is None else KeyedReader(self._socket, self.listener)
        self._native = NativeSocket(self._socket)
        # A fill is an event, not a state: told again to a joiner, it would be counted twice.
        self.target = Publication(
            self._native, exchange, epoch, keep=channel is not Channel.MY_TRADE, on_full=self._send_to_others
        )
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._lives = lives_path(root, exchange, channel)
        begin_life(self._lives, epoch)
        self._dropped_at = -math.inf
        self._topics: dict[str, bytes] = {}
        self._subscriptions = PrefixFilter()
        self._prefixes: set[bytes] = set()
        self._beats = 0
        self._events = 0
        self._look: asyncio.TimerHandle | None = None
        self.reader: FrameReader | None = None
        self.joins = 0
        logger.info("publishing %s.%s at %s", exchange, channel, path)

    @property
    def sent(self) -> int:
        return self.target.sent - self._events

    def send(self, message: Message) -> int:
        encode = codec.ENCODERS.get(type(message))
        if encode is None:
            return self.target.send(message)  # type: ignore[arg-type]
        topic = self._topic(message.symbol)
        return self._send_body(topic, encode(message, self.target.next_seq(topic), self._epoch))

    def send_orders(self, orders: Sequence[MyOrder]) -> int:
        seq = self.target.next_seq(_BATCH_TOPIC)
        return self._send_body(_BATCH_TOPIC, codec.encode_batch(self.exchange, orders, seq, self._epoch))

    def _send_body(self, topic: bytes, body: bytes) -> int:
        if len(topic) + len(body) > MAX_FRAME_BYTES:  # a peer would close its connection, and lose others with it
            size = len(topic) + len(body)
            raise ValueError(f"a message must have at most {MAX_FRAME_BYTES} bytes with its topic, was {size}")
        return self.target.send_message(topic, body)

    def _topic(self, symbol: str) -> bytes:
        found = self._topics.get(symbol)
        if found is None:
            found = self._topics[symbol] = pad(CurrencyPair(symbol).topic, MARKET_TOPIC_BYTES)
        return found

    def send_event(self, event: codec.Event) -> None:
        if isinstance(event, Gap) and self.channel is Channel.BOOK:
            # A book is not known until its next snapshot: nobody may begin with the last one.
            self.target.forget(None if event.symbol is None else self._topic(event.symbol))
        seq = self.target.next_seq(codec.CONTROL_TOPIC)
        control = wire.Control(seq=seq, epoch=self._epoch, **codec.event_fields(event))
        self._send_body(codec.CONTROL_TOPIC, control.SerializeToString())
        self._events += 1

    def send_heartbeat(self) -> None:
        self._broadcast(self._heartbeat())
        if self.reader is not None:
            self.reader.poke()

    def _heartbeat(self) -> bytes:
        # All topics now and then: what fell silent long ago may have been lost with all the heartbeats that named it.
        everything = self._beats % _FULL_HEARTBEAT_EVERY == 0
        self._beats += 1
        return self.target.heartbeat(everything)

    def serve(self, limit: int = 1_000_000) -> bool:
        """Accept subscriptions; returns whether there may be more."""
        for _ in range(limit):
            if not has_frames(self._socket):
                return False
            request = self._socket.recv(zmq.NOBLOCK) if self._keyed is None else self._keyed.recv() or b""
            answer = _NOTHING
            try:
                if request[:1] == b"\x01":
                    answer = self._accept(request[1:])
                elif request[:1] == b"\x00":
                    self._leave(request[1:])
            finally:
                self._send_lossy(answer)  # one try, whatever comes of it: the next send goes to all
        return True

    def _accept(self, prefix: bytes) -> bytes:
        self._socket.setsockopt(zmq.SUBSCRIBE, prefix)
        self._subscriptions.add(prefix)
        self._prefixes.add(prefix)
        self.joins += 1
        if prefix and codec.CONTROL_TOPIC.startswith(prefix):
            return self.target.hello(with_values=False)
        if not prefix:
            return self.target.hello(with_values=True)
        return self.target.last_frame(prefix) or _NOTHING

    def _leave(self, prefix: bytes) -> None:
        self._socket.setsockopt(zmq.UNSUBSCRIBE, prefix)
        if self._subscriptions.remove(prefix):
            self._prefixes.discard(prefix)

    def subscribers(self) -> int:
        self.serve()
        everything = self._subscriptions.count(b"")
        return everything + max((self._subscriptions.count(prefix) for prefix in self._prefixes if prefix), default=0)

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.target.arm(None)
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self.reader is not None:
            self.reader.close()
        self.reader = None if loop is None else FrameReader(loop, self._socket, self.serve)
        if loop is not None:
            self.target.arm(self._on_sent)

    def _on_sent(self) -> None:
        """The first send since the last look: looking once, soon, is enough for all that follow until then."""
        assert self.reader is not None
        self._look = self.reader.loop.call_later(_LOOK_AFTER_S, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if self.reader is not None:
            self.target.arm(self._on_sent)
            self.reader.poke()

    def close(self) -> None:
        self.attach(None)
        self.serve()
        heartbeat = self.target.heartbeat(everything=True)
        self._broadcast(heartbeat)
        now = time.monotonic()
        deadline = now + _PATIENCE_S if now - self._dropped_at < _RECENTLY_S else now
        # A peer that was behind is sent nothing until it has read half of what waits, and nobody tells when.
        while time.monotonic() < deadline:
            time.sleep(0.01)
            self._broadcast(heartbeat)
        end_life(self._lives, self._epoch, _seqs(heartbeat))  # while the address is ours
        self._owned.close(_LINGER_MS)

    def _broadcast(self, frame: bytes) -> None:
        if not self._native.send(frame):
            self._send_to_others(frame)

    def _send_to_others(self, frame: bytes) -> None:
        """Send what a peer has no room for: all the others get it.

        With XPUB_NODROP a send says that there is such a peer; without, it drops the frame for that peer alone, which
        then does not count as one until it has caught up.
        """
        self._dropped_at = time.monotonic()
        self._send_lossy(frame)

    def _send_lossy(self, frame: bytes) -> None:
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        finally:
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
