"""Publishing market data and account events to other processes over ZeroMQ."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import zmq

from hftcore.enums import Channel, Exchange, Side
from hftcore.symbols import CurrencyPair
from hftcore.topic import MARKET_TOPIC_BYTES, PrefixFilter, pad
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.common.paths import get_root, socket_path
from hftpy.ipc import codec
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, OwnedAddress, check_transport, has_frames, running_loop
from hftpy.wire import market_pb2 as wire

logger = logging.getLogger(__name__)

DEFAULT_HWM = 100_000
HEARTBEAT_S = 1.0
_FULL_HEARTBEAT_EVERY = 10
_BATCH_TOPIC = b" " * MARKET_TOPIC_BYTES
# Only a peer that subscribed everything sees it, and ignores it.
_NOTHING = b"\x00nothing".ljust(MARKET_TOPIC_BYTES)

_ENCODERS: dict[type, tuple[Channel, Callable[[Any, int, int], bytes]]] = {
    Ticker: (Channel.TICKER, codec.encode_ticker),
    Trade: (Channel.TRADE, codec.encode_trade),
    MyOrder: (Channel.MY_ORDER, codec.encode_my_order),
    MyTrade: (Channel.MY_TRADE, codec.encode_my_trade),
}


class _Topic:
    __slots__ = ("frame", "name", "seq")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.seq = 0
        self.frame = b""


class _Address:
    """One bound address: its topics and its subscribers.

    Subscriptions are accepted by hand (XPUB_MANUAL_LAST_VALUE): the one frame that is sent after a subscription was
    read reaches that subscriber alone. So exactly one frame must be sent after each frame that was read, or else the
    next broadcast would go to that peer only.
    """

    def __init__(self, path: Path, channel: Channel, epoch: int, send_hwm: int) -> None:
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

    def topic(self, symbol: str) -> _Topic:
        found = self._topics.get(symbol)
        if found is None:
            name = pad(CurrencyPair(symbol).topic, MARKET_TOPIC_BYTES) if symbol else _BATCH_TOPIC
            # Two pairs whose letters are the same share a topic, and so its numbers.
            found = self._by_name.setdefault(name, _Topic(name))
            self._topics[symbol] = found
        return found

    def send(self, topic: _Topic, body: bytes) -> None:
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


class IPCPublisher:
    """Sends market data and account events to every process that subscribes.

    One address per exchange and channel, ``{root}/zmq/{exchange}.{channel}.ipc``, opened at first use and owned by
    one publisher. Sends return at once and never wait for a subscriber: one that does not keep up loses messages
    beyond `send_hwm`, and knows how many. It works without an event loop too; then subscribers are accepted, and
    heartbeats sent, by the sends.

    Parameters
    ----------
    root
        The root folder; None for `hftpy.common.get_root()`.
    transport
        ``zmq``.
    send_hwm
        How many messages may wait for one subscriber of one address.

    Raises
    ------
    ConfigError
        If the transport does not exist.
    RootError
        If the root cannot be used.

    Thread safety: one thread at a time.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, transport: str = "zmq", *, send_hwm: int = DEFAULT_HWM
    ) -> None:
        check_transport(transport)
        if send_hwm < 1:
            raise ValueError(f"send_hwm must be at least 1, was {send_hwm}")
        self._root = Path(os.path.abspath(root)) if root is not None else get_root()
        self._send_hwm = send_hwm
        self._epoch = time.time_ns()
        self._addresses: dict[tuple[Exchange, Channel], _Address] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_heartbeat = 0.0
        self._closed = False

    @property
    def epoch(self) -> int:
        """The number of this publisher's life, new at each start."""
        return self._epoch

    def open(self, exchange: Exchange | str, channel: Channel | str) -> None:
        """Bind an address now, so that subscribers can join before the first message.

        Raises
        ------
        AddressInUseError
            If another publisher owns the address.
        RootError
            If the path cannot be used.
        """
        self._address(Exchange.parse(exchange), Channel.parse(channel))

    def send(self, message: Ticker | Trade | MyOrder | MyTrade) -> int:
        """Send a struct to the subscribers of its exchange, channel and symbol.

        Returns
        -------
        int
            The message's number within its topic, from 1.

        Raises
        ------
        TypeError
            If it is none of these types.
        ValueError
            If its symbol is too long for a topic.
        AddressInUseError, RootError
            As `open`.
        """
        entry = _ENCODERS.get(type(message))
        if entry is None:
            raise TypeError(f"a Ticker, Trade, MyOrder or MyTrade can be sent, was {type(message).__name__}")
        channel, encode = entry
        address = self._address(message.exchange, channel)
        topic = address.topic(message.symbol)
        address.send(topic, encode(message, topic.seq + 1, self._epoch))
        return topic.seq

    def send_ticker(
        self,
        *,
        exchange: Exchange | str,
        symbol: str,
        ask_price: float,
        ask_volume: float,
        bid_price: float,
        bid_volume: float,
    ) -> int:
        """Send a ticker that is received now; returns and raises as `send`."""
        ticker = Ticker(
            exchange=exchange,
            symbol=symbol,
            askPrice=ask_price,
            askVolume=ask_volume,
            bidPrice=bid_price,
            bidVolume=bid_volume,
            localTimeNs=time.time_ns(),
        )
        return self.send(ticker)

    def send_trade(
        self, *, exchange: Exchange | str, symbol: str, price: float, volume: float, side: Side | str
    ) -> int:
        """Send a trade that is received now; returns and raises as `send`."""
        now = time.time_ns()
        return self.send(
            Trade(exchange=exchange, symbol=symbol, price=price, volume=volume, side=side, localTimeNs=now)
        )

    def send_my_order(self, order: MyOrder) -> int:
        """Send the state of one of our orders; returns and raises as `send`."""
        return self.send(order)

    def send_my_trade(self, trade: MyTrade) -> int:
        """Send one of our fills; returns and raises as `send`."""
        return self.send(trade)

    def send_my_order_batch(self, exchange: Exchange | str, orders: Sequence[MyOrder]) -> int:
        """Send the state of all our live orders at a venue; returns and raises as `send`."""
        exchange = Exchange.parse(exchange)
        address = self._address(exchange, Channel.MY_ORDER_BATCH)
        topic = address.topic("")
        address.send(topic, codec.encode_batch(exchange, orders, topic.seq + 1, self._epoch))
        return topic.seq

    def send_gap(self, gap: Gap) -> None:
        """Tell every subscriber of the gap's exchange and channel that data is missing."""
        self._address(gap.exchange, gap.channel).send_event(gap)

    def send_stale(self, stale: Stale) -> None:
        """Tell every subscriber of the exchange and channel that the venue is silent."""
        self._address(stale.exchange, stale.channel).send_event(stale)

    def send_reconnected(self, reconnected: Reconnected) -> None:
        """Tell every subscriber of the exchange and channel that the venue is connected again."""
        self._address(reconnected.exchange, reconnected.channel).send_event(reconnected)

    def subscriber_count(self, exchange: Exchange | str, channel: Channel | str) -> int:
        """How many subscribers an address has; it is opened if it was not.

        Exact for subscribers of this library; plain sockets that subscribe single topics may be counted low.
        """
        return self._address(Exchange.parse(exchange), Channel.parse(channel)).subscribers()

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """Of each address (``kraken.ticker``): messages sent, subscriptions accepted (joins)."""
        return {
            f"{exchange}.{channel}": {"sent": address.sent, "joins": address.joins}
            for (exchange, channel), address in self._addresses.items()
        }

    def close(self) -> None:
        """Give the addresses back; a last heartbeat tells subscribers what they should have received."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for address in self._addresses.values():
            address.close()
        self._addresses.clear()

    def _address(self, exchange: Exchange, channel: Channel) -> _Address:
        address = self._addresses.get((exchange, channel))
        if address is None:
            address = self._open(exchange, channel)
        loop = running_loop()
        if loop is None:
            self._serve_without_loop()
        elif loop is not self._loop:
            self._attach(loop)
        return address

    def _open(self, exchange: Exchange, channel: Channel) -> _Address:
        if self._closed:
            raise ValueError("the publisher is closed")
        path = socket_path(self._root, f"{exchange}.{channel}.ipc")
        address = _Address(path, channel, self._epoch, self._send_hwm)
        logger.info("publishing %s.%s at %s", exchange, channel, path)
        self._addresses[exchange, channel] = address
        if self._loop is not None and not self._loop.is_closed():
            address.attach(self._loop)
        return address

    def _serve_without_loop(self) -> None:
        if self._loop is not None:
            self._detach()
        for address in self._addresses.values():
            address.serve()
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_S
            for address in self._addresses.values():
                address.send_heartbeat()

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detach()
        self._loop = loop
        for address in self._addresses.values():
            address.attach(loop)
        self._timer = loop.call_later(HEARTBEAT_S, self._beat)

    def _detach(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for address in self._addresses.values():
            address.attach(None)
        self._loop = None

    def _beat(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(HEARTBEAT_S, self._beat)
        for address in self._addresses.values():
            address.send_heartbeat()
