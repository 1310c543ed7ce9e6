"""Publishing market data and account events to other processes."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hftcore.enums import Channel, Exchange, Side
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.common.paths import get_root
from hftpy.ipc.endpoint import Address, check_transport, open_address
from hftpy.ipc.transport import running_loop

DEFAULT_HWM = 100_000
HEARTBEAT_S = 1.0

_CHANNELS: dict[type, Channel] = {
    Ticker: Channel.TICKER,
    Trade: Channel.TRADE,
    MyOrder: Channel.MY_ORDER,
    MyTrade: Channel.MY_TRADE,
}


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
        self._transport = transport
        self._send_hwm = send_hwm
        self._epoch = time.time_ns()
        self._addresses: dict[tuple[Exchange, Channel], Address] = {}
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
        channel = _CHANNELS.get(type(message))
        if channel is None:
            raise TypeError(f"a Ticker, Trade, MyOrder or MyTrade can be sent, was {type(message).__name__}")
        return self._address(message.exchange, channel).send(message)

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
        if self._closed:
            raise ValueError("the publisher is closed")
        address = open_address(
            self._transport, self._root, exchange, channel, epoch=self._epoch, send_hwm=self._send_hwm
        )
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
