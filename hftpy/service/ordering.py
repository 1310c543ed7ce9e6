"""The strategy's side of orders: handles that follow them, and the commands that place and cancel them.

Payloads (all amounts and prices are decimal text; the gateway quantises them):

=============  ==========================================================================================
command        payload
=============  ==========================================================================================
place_order    ``symbol, side, amount, price`` (null: market), ``order_type, post_only``
cancel_order   ``client_order_id``
cancel_all     ``symbol`` (null: all), ``strategy`` (null: the sender's)
query_order    as ``place_order``, and its ``command_id``: tell the order's state again, or ask the venue
=============  ==========================================================================================

The client order id is a hash of the command's id, which both sides compute.
"""

import asyncio
import contextlib
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from hftpy.common import Channel, CurrencyPair, Exchange, MyOrder, OrderStatus, OrderType, Side
from hftpy.errors import ConfigError
from hftpy.ipc import CommandId
from hftpy.service.config import SubscriberSetting
from hftpy.service.intake import check_flag, to_decimal
from hftpy.trading.ids import client_order_id
from hftpy.trading.orders import may_follow

if TYPE_CHECKING:
    from hftpy.service.base import ServiceBase

ORPHAN_AFTER_S = 10.0  # older than any command that is on its way: the gateway's batch should list the order
PRIVATE = (Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE)


class OrderHandle:
    """Follows one order. `order` is its latest state; `await done()` waits for its end."""

    __slots__ = ("__weakref__", "_changed", "created_s", "order")

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


class OrderDesk:
    """Keeps a service's handles and talks to its gateways."""

    def __init__(self, service: "ServiceBase") -> None:
        self._service = service
        self._live: dict[str, OrderHandle] = {}
        # Ended ones too, while somebody holds them: an end that was concluded can still be corrected.
        self._handles: WeakValueDictionary[str, OrderHandle] = WeakValueDictionary()
        self.gateways: dict[Exchange, str] = {}  # that the service hears: from venue to process id
        for remote in service.config.setting.ipc_command_subscribers:
            name, suffix, rest = remote.rpartition("_gateway")
            if suffix and not rest and remote != service.process_id:
                with contextlib.suppress(ValueError):
                    self.gateways[Exchange.parse(name)] = remote

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
        return list(self._live.values())

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
        if check_flag("post_only", post_only) and kind == OrderType.MARKET:
            raise ValueError("a market order cannot be post_only")
        exact = to_decimal("amount", amount)
        limit = None if price is None else to_decimal("price", price)
        venue, gateway = self._gateway(exchange)
        order = MyOrder(
            exchange=venue, symbol=pair, clientOrderId="", side=way, orderType=kind, price=limit, amount=exact,
            postOnly=post_only, strategy=self._service.process_id, localTimestamp=time.time_ns() // 1000,
        )  # fmt: skip
        command_id = self._send(gateway, "place_order", _payload(order))
        order.commandId = str(command_id)
        order.clientOrderId = client_order_id(command_id, venue)
        handle = self._live[order.clientOrderId] = self._handles[order.clientOrderId] = OrderHandle(order)
        return handle

    def cancel(self, handle: OrderHandle) -> str:
        """Send `cancel_order`."""
        _, gateway = self._gateway(handle.order.exchange)
        payload = {"client_order_id": handle.client_order_id}
        return self._send(gateway, "cancel_order", payload)

    def cancel_all(self, symbol: str | None) -> list[str]:
        """Send `cancel_all` to every gateway."""
        payload = {"symbol": None if symbol is None else str(CurrencyPair(symbol)), "strategy": None}
        return [self._send(gateway, "cancel_all", payload) for gateway in self.gateways.values()]

    def is_ours(self, item: object) -> bool:
        """Whether an order or trade is this service's to see."""
        return self._service.all_orders or getattr(item, "strategy", "") == self._service.process_id

    def on_my_order(self, order: MyOrder) -> None:
        """Bring the order's handle up to date."""
        handle = self._handles.get(order.clientOrderId)
        if handle is None or not _is_newer(handle.order, order):
            return
        handle._set(order)
        if order.is_live:
            self._live[order.clientOrderId] = handle
        else:
            self._live.pop(order.clientOrderId, None)

    def on_my_order_batch(self, orders: list[MyOrder]) -> list[MyOrder]:
        """Compare with the gateway's full list. It is asked about each order of ours that it leaves out: whether that
        was filled, was cancelled or never arrived is not for us to guess.

        Returns
        -------
        list of MyOrder
            Orders whose latest state we missed.
        """
        listed = {order.clientOrderId: order for order in orders}
        now = time.monotonic()
        for client_id, handle in self._live.items():
            if client_id not in listed and now - handle.created_s > ORPHAN_AFTER_S:
                _, gateway = self._gateway(handle.order.exchange)
                payload = _payload(handle.order) | {"command_id": handle.command_id}
                self._service.ipc_command.send_command(gateway, "query_order", payload)
        return [
            order
            for client_id, order in listed.items()
            if client_id in self._live and _is_ahead(self._live[client_id].order, order)
        ]

    def _send(self, gateway: str, command_type: str, payload: dict[str, Any]) -> CommandId:
        called_ns = self._service.hook_called_ns()
        if called_ns:
            self._service.record_latency("callback_to_command", time.time_ns() - called_ns)
        return self._service.ipc_command.send_command(gateway, command_type, payload)

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


def _payload(order: MyOrder) -> dict[str, Any]:
    return {
        "symbol": str(order.symbol),
        "side": str(order.side),
        "amount": f"{order.amount:f}",
        "price": None if order.price is None else f"{order.price:f}",
        "order_type": str(order.orderType),
        "post_only": order.postOnly,
    }


def _is_newer(old: MyOrder, new: MyOrder) -> bool:
    """Whether `new` is no earlier state than `old`; both come by several ways, one of which may be slower."""
    if not old.is_live and new.status != old.status and old.status in (OrderStatus.FAILED, OrderStatus.CLOSED):
        return True  # the venue was heard of it after all
    return may_follow(old.status, new.status) and new.filled >= old.filled


def _is_ahead(old: MyOrder, new: MyOrder) -> bool:
    return _is_newer(old, new) and (old.status, old.filled) != (new.status, new.filled)
