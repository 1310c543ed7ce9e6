"""The strategy's side of orders: handles that follow them, and the commands that place and cancel them.

Payloads (all amounts and prices are decimal text; the gateway quantises them):

=============  ==========================================================================================
command        payload
=============  ==========================================================================================
place_order    ``symbol, side, amount, price`` (null: market), ``order_type, post_only``
cancel_order   ``client_order_id``
cancel_all     ``symbol`` (null: all), ``strategy`` (null: the sender's)
=============  ==========================================================================================

The client order id is a hash of the command's id, which both sides compute.
"""

import asyncio
import contextlib
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import msgspec

from hftpy.common import Channel, CurrencyPair, Exchange, MyOrder, OrderStatus, OrderType, Side
from hftpy.errors import ConfigError
from hftpy.service.config import SubscriberSetting
from hftpy.trading.ids import client_order_id

if TYPE_CHECKING:
    from hftpy.service.base import ServiceBase

ORPHAN_AFTER_S = 10.0  # a NONE order that the gateway's batch does not list: its command never arrived
PRIVATE = (Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE)


class OrderHandle:
    """Follows one order. `order` is its latest state; `await done()` waits for its end."""

    __slots__ = ("_changed", "created_s", "order")

    def __init__(self, order: MyOrder) -> None:
        self.order = order
        self.created_s = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def command_id(self) -> str:
        return self.order.commandId

    @property
    def client_order_id(self) -> str:
        return self.order.clientOrderId

    @property
    def status(self) -> OrderStatus:
        return self.order.status

    @property
    def is_live(self) -> bool:
        """Whether the order may still be open at the venue."""
        return self.order.is_live

    async def changed(self) -> MyOrder:
        """Wait for the next change."""
        self._changed.clear()
        await self._changed.wait()
        return self.order

    async def done(self) -> MyOrder:
        """Wait until the order is no longer live."""
        while self.is_live:
            await self.changed()
        return self.order

    def _set(self, order: MyOrder) -> None:
        self.order = order
        self._changed.set()

    def __repr__(self) -> str:
        order = self.order
        return f"OrderHandle({order.side} {order.amount} {order.symbol} @ {order.price}: {order.status})"


def to_decimal(name: str, value: Decimal | float | int | str) -> Decimal:
    """The exact decimal that a number shows (0.1 is 0.1).

    Raises
    ------
    ValueError
        If it is no positive finite number.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} must be a number, was {value!r}") from None
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be above 0, was {value!r}")
    return number


class OrderDesk:
    """Keeps a service's handles and talks to its gateways."""

    def __init__(self, service: "ServiceBase") -> None:
        self._service = service
        self._handles: dict[str, OrderHandle] = {}

    @property
    def gateways(self) -> dict[Exchange, str]:
        """The gateways that the service hears: from venue to process id."""
        found: dict[Exchange, str] = {}
        for remote in self._service.config.setting.ipc_command_subscribers:
            name, suffix, rest = remote.rpartition("_gateway")
            if suffix and not rest and remote != self._service.process_id:
                with contextlib.suppress(ValueError):
                    found[Exchange.parse(name)] = remote
        return found

    def subscriptions(self) -> list[SubscriberSetting]:
        """The gateways' private channels, less those that the config subscribes to itself."""
        setting = self._service.config.setting
        named = {(entry.exchange.lower(), entry.channel.lower()) for entry in setting.ipc_subscribers}
        return [
            SubscriberSetting(exchange=str(exchange), channel=str(channel))
            for exchange in self.gateways
            for channel in PRIVATE
            if (str(exchange), str(channel)) not in named
        ]

    @property
    def handles(self) -> list[OrderHandle]:
        """The handles of live orders."""
        return [handle for handle in self._handles.values() if handle.is_live]

    def place(
        self,
        *,
        symbol: str,
        side: Side | str,
        amount: Decimal | float | int | str,
        price: Decimal | float | int | str | None,
        order_type: str,
        post_only: bool,
        exchange: Exchange | str | None,
    ) -> OrderHandle:
        """Send `place_order`; see `ServiceBase.place_order`."""
        pair, kind, way = CurrencyPair(symbol), OrderType.parse(order_type), Side.parse(side)
        if way == Side.UNKNOWN:
            raise ValueError(f"side must be buy or sell, was {side!r}")
        if (price is None) != (kind == OrderType.MARKET):
            raise ValueError(
                f"a {kind} order's price must be {'None' if price is not None else 'given'}, was {price!r}"
            )
        exact = to_decimal("amount", amount)
        limit = None if price is None else to_decimal("price", price)
        venue, gateway = self._gateway(exchange)
        command_id = self._service.ipc_command.send_command(
            gateway,
            "place_order",
            {
                "symbol": str(pair),
                "side": str(way),
                "amount": f"{exact:f}",
                "price": None if limit is None else f"{limit:f}",
                "order_type": str(kind),
                "post_only": post_only,
            },
        )
        order = MyOrder(
            exchange=venue, symbol=pair, clientOrderId=client_order_id(command_id, venue), side=way, orderType=kind,
            price=limit, amount=exact, postOnly=post_only, strategy=self._service.process_id,
            commandId=str(command_id), localTimestamp=time.time_ns() // 1000,
        )  # fmt: skip
        handle = self._handles[order.clientOrderId] = OrderHandle(order)
        return handle

    def cancel(self, handle: OrderHandle) -> str:
        """Send `cancel_order`."""
        _, gateway = self._gateway(handle.order.exchange)
        payload = {"client_order_id": handle.client_order_id}
        return self._service.ipc_command.send_command(gateway, "cancel_order", payload)

    def cancel_all(self, symbol: str | None) -> list[str]:
        """Send `cancel_all` to every gateway."""
        payload = {"symbol": None if symbol is None else str(CurrencyPair(symbol)), "strategy": None}
        return [
            self._service.ipc_command.send_command(gateway, "cancel_all", payload) for gateway in self.gateways.values()
        ]

    def is_ours(self, item: object) -> bool:
        """Whether an order or trade is this service's to see."""
        return self._service.all_orders or getattr(item, "strategy", "") == self._service.process_id

    def on_my_order(self, order: MyOrder) -> None:
        """Bring the order's handle up to date."""
        handle = self._handles.get(order.clientOrderId)
        if handle is not None:
            handle._set(order)
            if not order.is_live:
                del self._handles[order.clientOrderId]

    def on_my_order_batch(self, orders: list[MyOrder]) -> list[MyOrder]:
        """Compare with the gateway's full list.

        Returns
        -------
        list of MyOrder
            What changed: orders whose latest state we missed, and orders of ours that never reached the gateway.
        """
        listed = {order.clientOrderId: order for order in orders}
        changes = [
            order
            for client_id, order in listed.items()
            if client_id in self._handles and self._handles[client_id].order.status != order.status
        ]
        now = time.monotonic()
        for client_id, handle in self._handles.items():
            if client_id not in listed and handle.is_live and now - handle.created_s > ORPHAN_AFTER_S:
                reached = handle.status != OrderStatus.NONE
                changes.append(
                    msgspec.structs.replace(
                        handle.order,
                        status=OrderStatus.CLOSED if reached else OrderStatus.FAILED,
                        reason="no longer open at the venue" if reached else "the command did not reach the gateway",
                    )
                )
        return changes

    def _gateway(self, exchange: Exchange | str | None) -> tuple[Exchange, str]:
        gateways = self.gateways
        if exchange is not None:
            venue = Exchange.parse(exchange)
            if venue not in gateways:
                raise ValueError(f"no gateway of {venue} stands in ipc_command_subscribers")
            return venue, gateways[venue]
        if len(gateways) != 1:
            names = ", ".join(gateways.values()) or "none"
            raise ConfigError(f"exchange must be given: the gateways in ipc_command_subscribers are {names}")
        return next(iter(gateways.items()))
