"""The gateway's table of orders: always a superset of what may be open at the venue.

An order enters as NONE before the venue hears of it, and leaves the live ones by the venue's word, or when the venue
does not know it; if the venue names it all the same, it is live again. Pure state: no sockets, no clock.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from hftpy.common import MyOrder, MyTrade, OrderStatus

KEEP_DONE = 10_000

# What may follow what: a late message never takes an order back.
_RANK = {
    OrderStatus.NONE: 0,
    OrderStatus.UNKNOWN: 0,
    OrderStatus.NEW: 1,
    OrderStatus.PARTIAL_FILLED: 2,
    OrderStatus.FAILED: 3,
    OrderStatus.FILLED: 3,
    OrderStatus.CANCELED: 3,
    OrderStatus.CLOSED: 3,
    OrderStatus.EXPIRED: 3,
}


# Ends that may be our own conclusion: what the venue says of such an order counts more.
_CONCLUDED = (OrderStatus.FAILED, OrderStatus.CLOSED)


def may_follow(old: OrderStatus, new: OrderStatus) -> bool:
    """Whether an order may change so; a late message never takes it back."""
    # Among finished states only FILLED replaces another.
    if _RANK[old] == _RANK[new] == _RANK[OrderStatus.FAILED]:
        return new == OrderStatus.FILLED
    return _RANK[new] >= _RANK[old]


class OrderTable:
    """Orders by client order id and by the venue's id; the latest `KEEP_DONE` finished ones are kept.

    Parameters
    ----------
    owner_of
        Gives the strategy of a client order id that is not in the table (placed before this process started); empty
        if it is nobody's here.

    Thread safety: one thread.
    """

    def __init__(self, owner_of: Callable[[str], str] = lambda client_order_id: "") -> None:
        self._owner_of = owner_of
        self._by_client_id: OrderedDict[str, MyOrder] = OrderedDict()
        self._by_order_id: dict[str, MyOrder] = {}
        self._trades: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_client_id)

    def __iter__(self) -> Iterator[MyOrder]:
        return iter(list(self._by_client_id.values()))

    def live(self) -> list[MyOrder]:
        """Orders that are, or may be, open at the venue."""
        return [order for order in self._by_client_id.values() if order.is_live]

    def find(self, client_order_id: str = "", order_id: str = "") -> MyOrder | None:
        """The order with one of its ids."""
        return self._by_client_id.get(client_order_id) or self._by_order_id.get(order_id)

    def add(self, order: MyOrder) -> bool:
        """Add an order before it is sent; False if its client order id is known (a repeated command)."""
        if order.clientOrderId in self._by_client_id:
            return False
        self._store(order)
        return True

    def update(self, client_order_id: str = "", order_id: str = "", **changes: Any) -> MyOrder | None:
        """Change fields of a known order. A status that may not follow is left out, and its reason with it.

        Returns
        -------
        MyOrder or None
            A copy of the changed order; None if it is not known, or nothing changed.
        """
        order = self.find(client_order_id, order_id)
        if order is None:
            return None
        status = changes.get("status")
        if isinstance(status, OrderStatus) and not may_follow(order.status, status):
            changes.pop("status")
            changes.pop("reason", None)
        return self._apply(order, changes)

    def on_venue_order(self, update: MyOrder) -> MyOrder | None:
        """Take in what the venue says of an order, ours or not.

        Returns
        -------
        MyOrder or None
            The order as it stands now, with the strategy and command that placed it; None if nothing changed.
        """
        order = self.find(update.clientOrderId, update.orderId)
        if order is None:
            order = msgspec.structs.replace(update)
            order.strategy = update.strategy or self._owner_of(update.clientOrderId)
            order.clientOrderId = update.clientOrderId or update.orderId
            self._store(order)
            self._retire(order)
            return msgspec.structs.replace(order)
        changes: dict[str, Any] = {"orderId": update.orderId or order.orderId}
        if order.status in _CONCLUDED or may_follow(order.status, update.status):
            changes["status"] = update.status
            if update.reason or update.status != order.status:
                changes["reason"] = update.reason
        if update.filled >= order.filled:
            changes["filled"] = update.filled
            if update.avgPrice:
                changes["avgPrice"] = update.avgPrice
        # An order that we heard of without its terms; ours are known, and exact.
        for name in ("side", "amount", "price"):
            if getattr(update, name) and not getattr(order, name):
                changes[name] = getattr(update, name)
        if update.timestamp:
            changes["timestamp"] = update.timestamp
        changed = self._apply(order, changes)
        if changed is not None:
            changed.localTimestamp = order.localTimestamp = update.localTimestamp
        return changed

    def on_venue_trade(self, trade: MyTrade) -> MyTrade | None:
        """Take in a fill.

        Returns
        -------
        MyTrade or None
            The fill with the strategy and command of its order; None if this fill was seen before.
        """
        key = (trade.symbol, trade.tradeId)
        if key in self._trades:
            return None
        self._trades[key] = None
        while len(self._trades) > KEEP_DONE:
            self._trades.popitem(last=False)
        order = self.find(trade.clientOrderId, trade.orderId)
        if order is None:
            return msgspec.structs.replace(trade, strategy=trade.strategy or self._owner_of(trade.clientOrderId))
        return msgspec.structs.replace(
            trade, strategy=order.strategy, commandId=order.commandId, clientOrderId=order.clientOrderId
        )

    def missing_from(self, open_orders: Iterable[MyOrder]) -> list[MyOrder]:
        """Live orders of ours that the venue acknowledged and does not list as open: it must be asked about them."""
        listed = {order.orderId for order in open_orders}
        return [order for order in self.live() if order.orderId and order.orderId not in listed]

    def _apply(self, order: MyOrder, changes: dict[str, Any]) -> MyOrder | None:
        changed = False
        for name, value in changes.items():
            if getattr(order, name) != value:
                setattr(order, name, value)
                changed = True
        if order.orderId and order.orderId not in self._by_order_id:
            self._by_order_id[order.orderId] = order
        self._retire(order)
        return msgspec.structs.replace(order) if changed else None

    def _store(self, order: MyOrder) -> None:
        self._by_client_id[order.clientOrderId] = order
        if order.orderId:
            self._by_order_id[order.orderId] = order

    def _retire(self, order: MyOrder) -> None:
        if order.is_live:
            self._done.pop(order.clientOrderId, None)
            return
        if order.clientOrderId in self._done:
            return
        self._done[order.clientOrderId] = None
        while len(self._done) > KEEP_DONE:
            oldest, _ = self._done.popitem(last=False)
            dropped = self._by_client_id.pop(oldest, None)
            if dropped is not None:
                self._by_order_id.pop(dropped.orderId, None)
