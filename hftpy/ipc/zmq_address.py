"""The publisher's side of the ZeroMQ transport: one bound address, its topics and its subscribers."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import zmq

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, PrefixFilter, pad
from hftcore.types import Ticker, Trade
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.common.paths import socket_path
from hftpy.ipc import codec
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, OwnedAddress, has_frames
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

_FULL_HEARTBEAT_EVERY = 10
_BATCH_TOPIC = b" " * MARKET_TOPIC_BYTES
# Only a peer that subscribed everything sees it, and ignores it.
_NOTHING = b"\x00nothing".ljust(MARKET_TOPIC_BYTES)

_ENCODERS: dict[type, Callable[[Any, int, int], bytes]] = {
    Ticker: codec.encode_ticker,
    Trade: codec.encode_trade,
    MyOrder: codec.encode_my_order,
    MyTrade: codec.encode_my_trade,
}


class _Topic:
    __slots__ = ("frame", "name", "seq")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.seq = 0
        self.frame = b""


class ZmqAddress:
    """One bound address: its topics and its subscribers.

    Subscriptions are accepted by hand (XPUB_MANUAL_LAST_VALUE): the one frame that is sent after a subscription was
    read reaches that subscriber alone. So exactly one frame must be sent after each frame that was read, or else the
    next broadcast would go to that peer only.
    """

    def __init__(self, root: Path, exchange: Exchange, channel: Channel, epoch: int, send_hwm: int) -> None:
        path = socket_path(root, f"{exchange}.{channel}.ipc")
        self.exchange = exchange
        self.channel = channel
        self._epoch = epoch
        self._owned = OwnedAddress(path, send_hwm=send_hwm, manual=True)
        self._socket = self._owned.socket
        self._topics: dict[str, _Topic] = {}
        self._by_name: dict[bytes, _Topic] = {}
        self._unreported: set[_Topic] = set()
        self._control = _Topic(codec.CONTROL_TOPIC)
        self._by_name[codec.CONTROL_TOPIC] = self._control
        self._subscriptions = PrefixFilter()
        self._prefixes: set[bytes] = set()
        self._beats = 0
        self.reader: FrameReader | None = None
        self.sent = 0
        self.joins = 0
        logger.info("publishing %s.%s at %s", exchange, channel, path)

    def topic(self, symbol: str) -> _Topic:
        found = self._topics.get(symbol)
        if found is None:
            name = pad(CurrencyPair(symbol).topic, MARKET_TOPIC_BYTES) if symbol else _BATCH_TOPIC
            # Two pairs whose letters are the same share a topic, and so its numbers.
            found = self._by_name.setdefault(name, _Topic(name))
            self._topics[symbol] = found
        return found

    def send(self, message: Ticker | Trade | MyOrder | MyTrade) -> int:
        topic = self.topic(message.symbol)
        return self._send(topic, _ENCODERS[type(message)](message, topic.seq + 1, self._epoch))

    def send_orders(self, orders: Sequence[MyOrder]) -> int:
        topic = self.topic("")
        return self._send(topic, codec.encode_batch(self.exchange, orders, topic.seq + 1, self._epoch))

    def _send(self, topic: _Topic, body: bytes) -> int:
        frame = topic.name + body
        self._socket.send(frame, zmq.NOBLOCK)
        topic.seq += 1
        # A fill is an event, not a state: told again to a joiner, it would be counted twice.
        if self.channel is not Channel.MY_TRADE:
            topic.frame = frame
        self.sent += 1
        self._unreported.add(topic)
        if self.reader is not None:
            self.reader.poke()
        return topic.seq

    def send_event(self, event: codec.Event) -> None:
        control = wire.Control(seq=self._control.seq + 1, epoch=self._epoch, **codec.event_fields(event))
        self._socket.send(codec.CONTROL_TOPIC + control.SerializeToString(), zmq.NOBLOCK)
        self._control.seq += 1
        self._unreported.add(self._control)
        if self.reader is not None:
            self.reader.poke()

    def send_heartbeat(self) -> None:
        # All topics now and then, because a heartbeat can be lost like any other frame.
        everything = self._beats % _FULL_HEARTBEAT_EVERY == 0
        self._beats += 1
        topics = self._started() if everything else self._unreported
        states = [wire.TopicState(topic=topic.name, seq=topic.seq) for topic in topics]
        control = wire.Control(epoch=self._epoch, heartbeat=wire.Heartbeat(topics=states))
        self._socket.send(codec.CONTROL_TOPIC + control.SerializeToString(), zmq.NOBLOCK)
        self._unreported.clear()
        if self.reader is not None:
            self.reader.poke()

    def _started(self) -> Iterable[_Topic]:
        return [topic for topic in self._by_name.values() if topic.seq]

    def serve(self, limit: int = 1_000_000) -> bool:
        """Accept subscriptions; returns whether there may be more."""
        for _ in range(limit):
            if not has_frames(self._socket):
                return False
            request = self._socket.recv(zmq.NOBLOCK)
            answer = _NOTHING
            try:
                if request[:1] == b"\x01":
                    answer = self._accept(request[1:])
                elif request[:1] == b"\x00":
                    self._leave(request[1:])
            finally:
                self._socket.send(answer, zmq.NOBLOCK)
        return True

    def _accept(self, prefix: bytes) -> bytes:
        self._socket.setsockopt(zmq.SUBSCRIBE, prefix)
        self._subscriptions.add(prefix)
        self._prefixes.add(prefix)
        self.joins += 1
        if prefix and codec.CONTROL_TOPIC.startswith(prefix):
            return self._hello(with_values=False)
        if not prefix:
            return self._hello(with_values=True)
        topic = self._by_name.get(prefix)
        return topic.frame + codec.RESENT if topic is not None and topic.frame else _NOTHING

    def _leave(self, prefix: bytes) -> None:
        self._socket.setsockopt(zmq.UNSUBSCRIBE, prefix)
        if self._subscriptions.remove(prefix):
            self._prefixes.discard(prefix)

    def _hello(self, *, with_values: bool) -> bytes:
        states = [
            wire.TopicState(
                topic=topic.name, seq=topic.seq, value=topic.frame[MARKET_TOPIC_BYTES:] if with_values else b""
            )
            for topic in self._started()
        ]
        control = wire.Control(epoch=self._epoch, hello=wire.Hello(topics=states))
        body: bytes = control.SerializeToString()
        return codec.CONTROL_TOPIC + body

    def subscribers(self) -> int:
        self.serve()
        everything = self._subscriptions.count(b"")
        return everything + max((self._subscriptions.count(prefix) for prefix in self._prefixes if prefix), default=0)

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self.reader is not None:
            self.reader.close()
        self.reader = None if loop is None else FrameReader(loop, self._socket, self.serve)

    def close(self) -> None:
        self.attach(None)
        self.serve()
        self.send_heartbeat()
        self._owned.close(STOP_LINGER_MS)
