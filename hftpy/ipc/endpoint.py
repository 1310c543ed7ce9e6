"""What a transport has to offer: an `Address` for the publisher, a `Source` for the subscriber.

A transport is one module with both. `open_address` and `make_source` choose it by name, and import it only then.
"""

import asyncio
import logging
import operator
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

from hftcore.enums import Channel, Exchange
from hftcore.kline import Kline
from hftcore.publication import Publication
from hftcore.shm import ShmWriter
from hftcore.snapshot import Snapshot
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.funding import Funding
from hftpy.common.log import LimitedLog
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.errors import ConfigError
from hftpy.ipc.curve_guard import Listener
from hftpy.ipc.observers import Observers
from hftpy.ipc.tcp import TcpEndpoints, channel_name

logger = logging.getLogger(__name__)

Message: TypeAlias = Ticker | Trade | Snapshot | Kline | Funding | MyOrder | MyTrade
"""What a publisher sends one by one."""

TRANSPORTS = ("zmq", "shm")
SHM_CHANNELS = frozenset({Channel.TICKER, Channel.TRADE})
"""What transport shm carries; the other channels of its publishers and subscribers travel over ZeroMQ."""

MAX_HWM = (1 << 31) - 1

WAITS = ("adaptive", "park", "spin")


def check_transport(transport: str) -> None:
    """Refuse a transport that does not exist.

    Raises
    ------
    ConfigError
        If it is none of `TRANSPORTS`.
    """
    if transport not in TRANSPORTS:
        raise ConfigError(f"transport must be {' or '.join(map(repr, TRANSPORTS))}, was {transport!r}")


def checked_hwm(name: str, value: int) -> int:
    """A high-water mark as ZeroMQ takes it.

    Raises
    ------
    TypeError
        If it is no int.
    ValueError
        If it is below 1, which would be none at all, or above `MAX_HWM`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, was {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, was {number}")
    if number > MAX_HWM:
        raise ValueError(f"{name} must be at most {MAX_HWM}, was {number}")
    return number


class Address(Protocol):
    """One address of a publisher: an exchange and a channel. One thread at a time."""

    @property
    def sent(self) -> int:
        """How many messages were sent."""

    @property
    def target(self) -> Publication | ShmWriter[Any]:
        """What a publisher's router sends tickers or trades to, where nothing else is to be done."""

    @property
    def joins(self) -> int:
        """How many subscriptions were accepted."""

    @property
    def listener(self) -> Listener | None:
        """Its tcp endpoint, if it has one."""

    def send(self, message: Message) -> int:
        """Send a message of this exchange and channel; returns its number within its topic, from 1."""

    def send_orders(self, orders: Sequence[MyOrder]) -> int:
        """Send all our live orders (the channel is MY_ORDER_BATCH); returns as `send`."""

    def send_event(self, event: Gap | Stale | Reconnected) -> None:
        """Tell every subscriber of the address."""

    def send_heartbeat(self) -> None:
        """Called each second: tell subscribers what they should have received."""

    def serve(self) -> bool:
        """Attend to subscribers that come and go; called before each send where no event loop runs."""

    def subscribers(self) -> int:
        """How many there are."""

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Serve on this event loop from now on, or on none."""

    def close(self) -> None:
        """Tell subscribers what they should have received, and give the address back."""


class Source(ABC):
    """One address that a subscriber reads: what was received of it, what was lost, what is told about it.

    Thread safety: the event loop's thread alone.
    """

    transport: ClassVar[str]

    def __init__(self, exchange: Exchange, channel: Channel, observers: Observers) -> None:
        self.exchange = exchange
        self.channel = channel
        self._observers = observers
        self._log = LimitedLog(logger)
        self._last_frame = 0.0
        self._silent = False
        self._has_heartbeat = False
        self._absence_told = False
        self.received = self.lost = self.gaps = self.malformed = self.duplicates = self.filtered = self.restarts = 0
        self.tcp_refused = 0

    @abstractmethod
    def add_symbols(self, symbols: Sequence[str]) -> None:
        """Subscribe these as well; none means all. Called before `open`."""

    @abstractmethod
    def open(self, root: Path, loop: asyncio.AbstractEventLoop, receive_hwm: int) -> None:
        """Start to receive, on this loop."""

    @abstractmethod
    def close(self) -> None:
        """Receive nothing more; may be called again, and before `open`."""

    def sync(self) -> None:  # noqa: B027 - not every transport counts elsewhere
        """Bring the counters up to date; called before they are read."""

    @abstractmethod
    def last_seq(self) -> dict[str, int]:
        """The last number of each topic."""

    def check_silence(self, limit_s: float) -> None:
        """Tell the observers once that the publisher, which sends heartbeats, has fallen silent."""
        silent_s = time.monotonic() - self._last_frame
        if not (self._has_heartbeat or self.received or self._absence_told) and silent_s > limit_s:
            self._absence_told = True  # a publisher may come later: no event; or by another transport: never
            logger.warning("%s: no publisher has been heard by %s for %.1f s", self, self.transport, silent_s)
        if self._has_heartbeat and not self._silent and silent_s > limit_s:
            self._silent = True
            logger.warning("%s: no publisher since %.1f s", self, silent_s)
            now = time.time_ns() // 1000
            self._observers.tell(
                Stale(exchange=self.exchange, channel=self.channel, symbol=None, silent_s=silent_s, timestamp=now)
            )

    def _lose(self, topic: bytes, symbol: CurrencyPair | None, lost: int) -> None:
        self.lost += lost
        self._log.warning("lost", "%s: %d messages of %r lost", self, lost, topic.rstrip())
        self._gap(symbol, "messages were lost between publisher and subscriber", lost)

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

    def __str__(self) -> str:
        return f"{self.exchange}.{self.channel}"


def open_address(
    transport: str,
    root: Path,
    exchange: Exchange,
    channel: Channel,
    *,
    epoch: int,
    send_hwm: int,
    tcp: TcpEndpoints | None = None,
) -> Address:
    """Bind an address of a publisher.

    Raises
    ------
    AddressInUseError
        If another publisher owns it.
    RootError
        If the path cannot be used.
    ConfigError
        If its tcp endpoint cannot be used, or it shall have one and goes through shared memory.
    """
    check_transport(transport)
    if transport == "shm" and channel in SHM_CHANNELS:
        if tcp is not None and tcp.serves(name := channel_name(exchange, channel)):
            raise ConfigError(
                f"{name} goes through shared memory, and cannot be served over tcp: transport must be zmq"
            )
        from hftpy.ipc.shm_address import ShmAddress

        return ShmAddress(root, exchange, channel, epoch, send_hwm)
    from hftpy.ipc.zmq_address import ZmqAddress

    return ZmqAddress(root, exchange, channel, epoch, send_hwm, tcp)


def make_source(
    transport: str,
    exchange: Exchange,
    channel: Channel,
    observers: Observers,
    wait: str = "adaptive",
    tcp: TcpEndpoints | None = None,
) -> Source:
    """A source, not open yet; `wait` is how one of shared memory waits (see `hftcore.shm.ShmReader`).

    What a peer serves over tcp comes from there, whatever the transport.

    Raises
    ------
    ConfigError
        If the transport does not carry the channel.
    """
    check_transport(transport)
    is_remote = tcp is not None and tcp.channel(channel_name(exchange, channel)) is not None
    if transport == "shm" and channel in SHM_CHANNELS and not is_remote:
        from hftpy.ipc.shm_source import ShmSource

        return ShmSource(exchange, channel, observers, wait)
    from hftpy.ipc.zmq_source import ZmqSource

    return ZmqSource(exchange, channel, observers, tcp)
