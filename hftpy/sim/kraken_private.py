"""Kraken's private WebSocket side: order entry and the `executions` channel.

`executions` updates are deltas as the venue sends them: ``new``, ``filled`` and ``canceled`` carry no symbol, side or
quantity.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Literal

from hftcore.enums import OrderStatus, Side
from hftpy.errors import HftError
from hftpy.sim.connection import ClientConnection
from hftpy.sim.desk import DeskOrder, OrderEvent, OrderRefused, OrderRequest
from hftpy.sim.text import dumps, raw, rfc3339

if TYPE_CHECKING:
    from hftpy.sim.kraken import KrakenFrontEnd

MAX_DEADLINE_S = 60
WARNINGS = [
    "cancel_reason is deprecated, use reason",
    "stop_price is deprecated, use triggers.price",
    "trigger is deprecated use triggers.reference",
    "triggered_price is deprecated use triggers.last_price",
]
STATUS_NAMES = {
    OrderStatus.NONE: "pending_new",
    OrderStatus.NEW: "new",
    OrderStatus.PARTIAL_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELED: "canceled",
}
# A UUID with or without dashes, or free text of up to 18 characters.
CLIENT_ORDER_ID = re.compile(
    r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[\x21-\x7e]{1,18}", re.ASCII
)


class RequestError(HftError):
    """Answered to the client as it is; `symbol` names which of several was refused."""

    def __init__(self, text: str, symbol: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.symbol = symbol


@dataclass(slots=True)
class _Subscriber:
    owner: str
    token: str
    sequence: int = 0


class PrivateChannel:
    """Order requests and `executions` of one Kraken front end."""

    def __init__(self, front: "KrakenFrontEnd") -> None:
        self._front = front
        self._subscribers: dict[ClientConnection, _Subscriber] = {}
        front.desk.listen(self._on_order_event)

    def forget(self, connection: ClientConnection) -> None:
        """A connection has gone."""
        self._subscribers.pop(connection, None)

    def subscription(
        self, connection: ClientConnection, method: str, params: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        """Subscribe to, or unsubscribe from, `executions`."""
        owner, session = self._owner(params), self._front.connections[connection]
        if method == "unsubscribe":
            if self._subscribers.pop(connection, None) is None:
                raise RequestError("Subscription Not Found")
            session.private.discard("executions")
            self._front.accept(connection, method, {"channel": "executions"}, echo, time_in)
            return
        snap_orders = params.get("snap_orders", params.get("snapshot", True)) is True
        snap_trades = params.get("snap_trades", False) is True
        subscriber = self._subscribers[connection] = _Subscriber(owner, str(params["token"]))
        session.private.add("executions")
        result: dict[str, Any] = {"channel": "executions", "maxratecount": 180}
        for name in ("snap_orders", "snap_trades"):
            if name in params:
                result[name] = params[name] is True
        self._front.accept(
            connection, method, {**result, "snapshot": snap_orders or snap_trades, "warnings": WARNINGS}, echo, time_in
        )
        if snap_orders or snap_trades:
            rows = []
            if snap_trades:
                rows += [self._row(event) for event in self._front.desk.recent_fills(owner)]
            if snap_orders:
                rows += [self._snapshot_row(order) for order in self._front.desk.open_orders(owner)]
            self._send(connection, subscriber, "snapshot", rows)
        self._front.subscribed()

    def request(
        self, connection: ClientConnection, method: str, params: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        """`add_order`, `cancel_order` or `cancel_all`."""
        owner = self._owner(params)
        try:
            if method == "add_order":
                self._add_order(connection, owner, params, echo, time_in)
            elif method == "cancel_order":
                self._cancel_order(connection, owner, params, echo, time_in)
            else:
                events = cancel_all(self._front, owner)
                self._front.accept(connection, method, {"count": len(events)}, echo, time_in)
                self._front.desk.deliver(events)
        except OrderRefused as error:
            raise RequestError(error.code) from None

    def _owner(self, params: dict[str, Any]) -> str:
        if "token" not in params:
            raise RequestError("Token(s) not found")
        return self._front.keys.owner(params["token"], self._in_use)

    def _in_use(self, token: str) -> bool:
        return any(subscriber.token == token for subscriber in self._subscribers.values())

    def _add_order(
        self, connection: ClientConnection, owner: str, params: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        self._check_deadline(params.get("deadline"))
        pair = self._front.pair(params.get("symbol"))
        if pair is None:
            raise RequestError(f"Currency pair not supported {params.get('symbol')}")
        order_type = params.get("order_type")
        if order_type not in ("limit", "market"):
            raise RequestError("EGeneral:Invalid arguments:order_type")
        request = OrderRequest(
            pair=pair,
            side=_side(params.get("side")),
            amount=_number(params, "order_qty"),
            price=_number(params, "limit_price") if order_type == "limit" else None,
            post_only=_flag(params, "post_only"),
            time_in_force=_time_in_force(params.get("time_in_force", "gtc")),
            client_order_id=check_client_order_id(params.get("cl_ord_id", "")),
            userref=params["order_userref"] if isinstance(params.get("order_userref"), int) else 0,
        )
        result: dict[str, Any] = {"order_id": ""}
        if request.client_order_id:
            result["cl_ord_id"] = request.client_order_id
        if "order_userref" in params:
            result["order_userref"] = request.userref
        if _flag(params, "validate"):
            self._front.desk.check(owner, request)
            self._front.accept(connection, "add_order", result, echo, time_in)
            return
        order, events = self._front.desk.place(owner, request)
        result["order_id"] = order.book.order_id
        self._front.accept(connection, "add_order", result, echo, time_in)
        self._front.desk.deliver(events)

    def _check_deadline(self, deadline: object) -> None:
        if deadline is None:
            return
        try:
            moment = datetime.fromisoformat(str(deadline))
        except ValueError:
            raise RequestError("EGeneral:Invalid arguments:deadline") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        left = moment.timestamp() - self._front.market.clock_ns() / 1e9
        if left > MAX_DEADLINE_S:
            raise RequestError("EGeneral:Invalid arguments:deadline")
        if left <= 0:
            raise RequestError("EService:Deadline elapsed")

    def _cancel_order(
        self, connection: ClientConnection, owner: str, params: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        order_ids, client_ids = _texts(params, "order_id"), _texts(params, "cl_ord_id")
        if not order_ids and not client_ids:
            raise RequestError("EGeneral:Invalid arguments:order_id")
        desk, front = self._front.desk, self._front
        wanted = [("order_id", text) for text in order_ids] + [("cl_ord_id", text) for text in client_ids]
        for name, text in wanted:
            order_id = text
            if name == "cl_ord_id":
                found = desk.find_client_order(owner, text)
                order_id = found.book.order_id if found is not None else ""
            try:
                events = desk.cancel(owner, order_id)
            except OrderRefused as error:
                front.refuse(connection, "cancel_order", error.code, echo, time_in)
                continue
            front.accept(connection, "cancel_order", {name: text}, echo, time_in)
            desk.deliver(events)

    def _on_order_event(self, event: OrderEvent) -> None:
        for connection, subscriber in tuple(self._subscribers.items()):
            if subscriber.owner == event.order.book.owner:
                self._send(connection, subscriber, "update", [self._row(event)])

    def _send(
        self, connection: ClientConnection, subscriber: _Subscriber, kind: str, rows: list[dict[str, Any]]
    ) -> None:
        subscriber.sequence += 1
        frame = {"channel": "executions", "type": kind, "data": rows, "sequence": subscriber.sequence}
        if connection.send(dumps(frame)):
            self._front.frames["executions"] += 1
            self._front.events["executions"] += len(rows)

    def _row(self, event: OrderEvent) -> dict[str, Any]:
        order, book = event.order, event.order.book
        names = _names(order)
        status = STATUS_NAMES[event.status]
        time = rfc3339(event.time_ns)
        if event.kind == "pending_new":
            return {**self._terms(order), "exec_type": "pending_new", "order_status": status, "timestamp": time}
        if event.kind == "new":
            return {"timestamp": time, "order_status": "new", "exec_type": "new", **names, "order_id": book.order_id}
        average = event.cost / event.cumulative if event.cumulative else Decimal(0)
        progress = {
            "cum_qty": raw(event.cumulative),
            "cum_cost": raw(event.cost),
            "avg_price": raw(self._rounded(order, average)),
        }
        if event.fill is not None:
            fill = event.fill
            return {
                "order_id": book.order_id,
                **names,
                "exec_id": fill.exec_id,
                "exec_type": "trade",
                "trade_id": fill.trade_id,
                "symbol": self._front.symbol(order.pair),
                "side": str(book.side),
                "last_qty": raw(fill.amount),
                "last_price": raw(fill.price),
                "liquidity_ind": "m" if fill.maker else "t",
                "cost": raw(fill.amount * fill.price),
                "order_type": str(book.order_type),
                "timestamp": time,
                "order_status": status,
                **progress,
                "fee_usd_equiv": raw(fill.fee),
                "fees": [{"asset": fill.fee_asset.upper(), "qty": raw(fill.fee)}],
            }
        row = {"timestamp": time, "order_status": status, "exec_type": event.kind, **progress}
        row |= {"fee_usd_equiv": raw(order.fee), **names}
        if event.kind == "canceled":
            row |= {"cancel_reason": book.reason, "reason": book.reason}
        return {**row, "order_id": book.order_id}

    def _terms(self, order: DeskOrder) -> dict[str, Any]:
        book = order.book
        terms: dict[str, Any] = {
            "order_id": book.order_id,
            "symbol": self._front.symbol(order.pair),
            "order_qty": raw(book.amount),
            "cum_cost": raw(Decimal("0.00000")),
            "time_in_force": book.time_in_force.upper(),
            "side": str(book.side),
            "order_type": str(book.order_type),
            **_names(order),
        }
        if book.price is not None:
            terms |= {"limit_price_type": "static", "limit_price": raw(book.price)}
        return {
            **terms,
            "stop_price": raw(Decimal("0.0")),
            "fee_usd_equiv": raw(Decimal("0.00000")),
            "fee_ccy_pref": "fciq",
        }

    def _snapshot_row(self, order: DeskOrder) -> dict[str, Any]:
        book = order.book
        return {
            **self._terms(order),
            "exec_type": "new",
            "order_status": STATUS_NAMES[book.status],
            "cum_qty": raw(book.filled),
            "cum_cost": raw(book.cost),
            "avg_price": raw(self._rounded(order, book.average_price)),
            "fee_usd_equiv": raw(order.fee),
            "timestamp": rfc3339(order.opened_ns),
        }

    def _rounded(self, order: DeskOrder, price: Decimal) -> Decimal:
        """An average price, with two digits more than the tick so that it stays useful."""
        return price.quantize(self._front.market.state(order.pair).instrument.tick / 100, ROUND_HALF_EVEN)


def cancel_all(front: "KrakenFrontEnd", owner: str) -> list[OrderEvent]:
    """Cancel all of an owner's orders; deliver the events after answering."""
    events: list[OrderEvent] = []
    for order in front.desk.open_orders(owner):
        events += front.desk.cancel(owner, order.book.order_id)
    return events


def check_client_order_id(text: object) -> str:
    """A client order id, empty if there is none.

    Raises
    ------
    RequestError
        If the venue would not take it.
    """
    if text == "":
        return ""
    if not isinstance(text, str) or not CLIENT_ORDER_ID.fullmatch(text):
        raise RequestError("EGeneral:Invalid arguments:cl_ord_id")
    return text


def _names(order: DeskOrder) -> dict[str, Any]:
    """The client's own names for the order, and the post-only mark, as they stand in most rows."""
    names: dict[str, Any] = {}
    if order.book.client_order_id:
        names["cl_ord_id"] = order.book.client_order_id
    else:
        names["order_userref"] = order.userref
    if order.book.post_only:
        names["post_only"] = True
    return names


def _side(text: object) -> Side:
    if text not in ("buy", "sell"):
        raise RequestError("EGeneral:Invalid arguments:side")
    return Side.BUY if text == "buy" else Side.SELL


def _number(params: dict[str, Any], name: str) -> Decimal:
    value = params.get(name)
    if value is None:
        raise RequestError(f"EGeneral:Invalid arguments:{name}")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise RequestError(f"{name.capitalize()} field must be a number_float")
    return Decimal(value)


def _flag(params: dict[str, Any], name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"{name.capitalize()} field must be a boolean")
    return value


def _time_in_force(text: object) -> Literal["gtc", "ioc"]:
    lower = text.lower() if isinstance(text, str) else ""
    if lower == "gtc":
        return "gtc"
    if lower == "ioc":
        return "ioc"
    raise RequestError("EGeneral:Invalid arguments:time_in_force")


def _texts(params: dict[str, Any], name: str) -> Iterable[str]:
    value = params.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"{name.capitalize()} field must be an array of strings")
    return value
