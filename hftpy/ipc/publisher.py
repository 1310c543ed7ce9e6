"""Publishing market data and account events to other processes."""

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hftcore.enums import Channel, Exchange, Side
from hftcore.kline import Kline
from hftcore.publication import Router, checked_array
from hftcore.snapshot import Snapshot
from hftcore.types import TICKER_DTYPE, Ticker, Trade, tickers_from_array, trades_from_array
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.funding import Funding
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.common.paths import get_root
from hftpy.ipc.endpoint import Address, Message, check_transport, checked_hwm, open_address
from hftpy.ipc.tcp import TcpEndpoints, channel_name
from hftpy.ipc.transport import running_loop

logger = logging.getLogger(__name__)

DEFAULT_HWM = 100_000
HEARTBEAT_S = 1.0

_CHANNELS: dict[type, Channel] = {
    Ticker: Channel.TICKER,
    Trade: Channel.TRADE,
    Snapshot: Channel.BOOK,
    Kline: Channel.KLINE,
    Funding: Channel.FUNDING,
    MyOrder: Channel.MY_ORDER,
    MyTrade: Channel.MY_TRADE,
}


_publishers: "weakref.WeakSet[IPCPublisher]" = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    # A program that ends without closing: its subscribers learn what they should have received all the same.
    for publisher in list(_publishers):
        publisher._close_at_exit()


def _disown_in_child() -> None:
    for publisher in list(_publishers):
        publisher._disown()


os.register_at_fork(after_in_child=_disown_in_child)


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
        ``zmq``, or ``shm``: tickers and trades through shared memory (docs/shm.md), all else as ``zmq``.
    send_hwm
        How many messages may wait for one subscriber of one address; with ``shm`` the largest power of two that is
        not above it.
    tcp
        Which addresses are served over tcp too (docs/tcp.md); None: none.

    Raises
    ------
    ConfigError
        If the transport does not exist.
    RootError
        If the root cannot be used.
    TypeError, ValueError
        If `send_hwm` is no int from 1 to 2147483647.

    Thread safety: one thread at a time. A forked child must make its own: there it is closed.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transport: str = "zmq",
        *,
        send_hwm: int = DEFAULT_HWM,
        tcp: TcpEndpoints | None = None,
    ) -> None:
        check_transport(transport)
        self._send_hwm = checked_hwm("send_hwm", send_hwm)
        self._root = Path(os.path.abspath(root)) if root is not None else get_root()
        self._transport = transport
        self._tcp = tcp
        self._epoch = time.time_ns()
        self._addresses: dict[tuple[Exchange, Channel], Address] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_heartbeat = 0.0
        self._closed = False
        self._pid = os.getpid()
        self._router = Router()
        _publishers.add(self)

    @property
    def epoch(self) -> int:
        """The number of this publisher's life, new at each start."""
        return self._epoch

    def open(self, exchange: Exchange | str, channel: Channel | str) -> None:
        """Bind an address now, so that subscribers can join before the first message.

        Raises
        ------
        AddressInUseError
            If another publisher owns the address, or its tcp port is taken.
        RootError
            If the path cannot be used.
        ConfigError
            If its tcp endpoint cannot be used.
        """
        self._address(Exchange.parse(exchange), Channel.parse(channel))

    def send(self, message: Message) -> int:
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
            If its symbol is too long for a topic, or the message longer than 16 MiB.
        AddressInUseError, RootError
            As `open`.
        """
        # The router's way where nothing else is to be done; it returns 0 where something is.
        return self._router.send(message) or self._send(message)

    def _send(self, message: Message) -> int:
        channel = _CHANNELS.get(type(message))
        if channel is None:
            kinds = ", ".join(kind.__name__ for kind in _CHANNELS)
            raise TypeError(f"a message must be one of {kinds}, was {type(message).__name__}")
        return self._address(message.exchange, channel).send(message)

    def send_batch(self, messages: Iterable[Ticker | Trade] | NDArray[np.void]) -> int:
        """Send tickers and trades, in their order; each is a message of its own, as with `send`.

        Parameters
        ----------
        messages
            Tickers and trades, or an array of `TICKER_DTYPE` or `TRADE_DTYPE` of this process.

        Returns
        -------
        int
            How many were sent: all.

        Raises
        ------
        TypeError
            If something else is among them, or the array is of another kind; nothing was sent then.
        ValueError
            If a row of an array holds a number that is none (nothing was sent then), or a symbol is too long for a
            topic (those before it were sent).
        AddressInUseError, RootError
            As `open`.
        """
        if isinstance(messages, np.ndarray):
            return self._send_array(checked_array(messages))
        items = list(messages)
        for item in items:
            if type(item) not in (Ticker, Trade):
                raise TypeError(f"a batch must hold Ticker and Trade, was {item!r}")
        at = 0
        while at < len(items):
            at = self._router.send_list(items, at)
            if at < len(items):
                self._send(items[at])
                at += 1
        return len(items)

    def _send_array(self, rows: NDArray[np.void]) -> int:
        structs = tickers_from_array if rows.dtype == TICKER_DTYPE else trades_from_array
        at = 0
        while at < len(rows):
            at = self._router.send_array(rows, at)
            if at < len(rows):
                self._send(structs(rows[at : at + 1])[0])
                at += 1
        return len(rows)

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
        return self._address(Exchange.parse(exchange), Channel.MY_ORDER_BATCH).send_orders(orders)

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
        """Of each address (``kraken.ticker``): messages sent, subscriptions accepted (joins).

        Where it is served over tcp also the connections with a known key (``tcp_accepted``), with an unknown one
        (``tcp_denied``), and without any (``tcp_failed``).
        """
        return {
            channel_name(*key): {
                "sent": address.sent,
                "joins": address.joins,
                **(address.listener.stats() if address.listener is not None else {}),
            }
            for key, address in self._addresses.items()
        }

    def tcp_endpoint(self, exchange: Exchange | str, channel: Channel | str) -> str | None:
        """Where an address that is open is served over tcp, with the port that the system chose; None: nowhere."""
        address = self._addresses.get((Exchange.parse(exchange), Channel.parse(channel)))
        return None if address is None or address.listener is None else address.listener.endpoint

    def close(self) -> None:
        """Give the addresses back; a last heartbeat tells subscribers what they should have received."""
        self._closed = True
        _publishers.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for address in self._addresses.values():
            address.close()
        self._addresses.clear()
        self._router.clear()

    def _disown(self) -> None:
        """In a forked child: the sockets and segments are the parent's, whose messages these would mix with."""
        self._closed = True
        self._timer = None
        self._parents = self._addresses  # kept, so that nothing of theirs is given back here
        self._addresses = {}
        self._loop = None
        self._router.clear()

    def _close_at_exit(self) -> None:
        if self._pid != os.getpid():
            return  # a forked child owns no address
        try:
            self.close()
        except Exception:
            logger.exception("a publisher could not be closed at the end of the program")

    def _address(self, exchange: Exchange, channel: Channel) -> Address:
        address = self._addresses.get((exchange, channel))
        if address is None:
            address = self._open(exchange, channel)
        loop = running_loop()
        if loop is None:
            self._serve_without_loop()
        elif loop is not self._loop:
            self._attach(loop)
        return address

    def _open(self, exchange: Exchange, channel: Channel) -> Address:
        if self._pid != os.getpid():
            raise ValueError(f"the publisher belongs to process {self._pid}, which made it, not to its forked child")
        if self._closed:
            raise ValueError("the publisher is closed")
        address = open_address(
            self._transport, self._root, exchange, channel, epoch=self._epoch, send_hwm=self._send_hwm, tcp=self._tcp
        )
        self._addresses[exchange, channel] = address
        if channel in (Channel.TICKER, Channel.TRADE):
            self._router.add(Ticker if channel is Channel.TICKER else Trade, exchange, address.target)
        if self._loop is not None and not self._loop.is_closed():
            address.attach(self._loop)
        return address

    def _serve_without_loop(self) -> None:
        if self._loop is not None:
            self._detach()
        for address in self._addresses.values():
            address.serve()
        self._router.served()
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_S
            for address in self._addresses.values():
                address.send_heartbeat()

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detach()
        self._loop = loop
        self._router.serve_on(loop)
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
        self._router.serve_on(None)

    def _beat(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(HEARTBEAT_S, self._beat)
        for address in self._addresses.values():
            address.send_heartbeat()
