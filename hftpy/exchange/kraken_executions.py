"""Kraken's private channel ``executions`` (WebSocket API v2): our orders and their fills.

Updates are deltas (``canceled`` names neither symbol nor side), so a table by order id completes them.
Source: https://docs.kraken.com/api/docs/websocket-v2/executions
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from hftcore.enums import Channel, OrderStatus, Side
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, pair_of_native
from hftpy.common.log import LimitedLog
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.exchange.kraken_api import KrakenApi
from hftpy.exchange.kraken_text import STATUSES, decimal, microseconds, order_type
from hftpy.exchange.kraken_v2 import PROXY_RESTART, KrakenV2Protocol
from hftpy.exchange.runner import logger
from hftpy.exchange.venue import Item

URL = "wss://ws-auth.kraken.com/v2"
SUBSCRIPTION = "executions"
REMEMBERED_ENDED = 1000  # orders that have ended, whose late deltas must still find their symbol
REMEMBERED_TRADES = 10_000  # fills, so that the snapshot of a new connection repeats none


class ExecutionsProtocol(KrakenV2Protocol):
    """One connection that feeds MY_ORDER, MY_ORDER_BATCH and MY_TRADE.

    Parameters
    ----------
    channel
        The channel whose counters it uses.
    pairs
        The pairs to deliver; empty: all.
    args
        Subscribe arguments.
    api
        Where the token comes from, anew for each connection.
    batch
        Whether the snapshot goes out as one list; else order by order.
    """

    url = URL

    def __init__(
        self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any], api: KrakenApi, batch: bool
    ) -> None:
        super().__init__(channel, (), args)
        self.wanted = frozenset(pairs)
        self._api = api
        self._batch = batch
        self._token = ""
        self._sequence: int | None = None
        self._orders: dict[str, MyOrder] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._known_trades: OrderedDict[str, None] | None = None  # None: before the first snapshot
        # Decimals from the digits that the venue wrote.
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode
        self._log = LimitedLog(logger)

    async def prepare(self) -> None:
        self._token = await self._api.get_websockets_token()

    def open(self) -> list[str]:
        self.fault, self.refused, self.pending = "", {}, {SUBSCRIPTION}
        self._asked.clear()
        self._sequence = None
        params = {"snap_orders": True, "snap_trades": True, **self.args}
        params |= {"channel": SUBSCRIPTION, "token": self._token}
        return [self.request(params, [SUBSCRIPTION])]

    def receive(self, frame: bytes, local_ns: int) -> Sequence[Item]:
        if frame.startswith((b'{"channel":"heartbeat"', PROXY_RESTART)):
            return ()
        try:
            message = self._decode(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ParseError(f"a frame must be JSON: {error}") from error
        if not isinstance(message, dict):
            raise ParseError(f"a frame must be an object, was {type(message).__name__}")
        if message.get("channel") != SUBSCRIPTION:
            self.control(message)
            return ()
        if not self._in_sequence(message.get("sequence")):
            return ()
        rows = message.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ParseError("data of executions must be an array of objects")
        if message.get("type") == "snapshot":
            return self._snapshot(rows, local_ns // 1000)
        items: list[Item] = []
        for row in rows:
            items += self._update(row, local_ns // 1000)
        return items

    def _in_sequence(self, number: Any) -> bool:
        if not isinstance(number, int):
            return True
        last, self._sequence = self._sequence, number
        if last is not None and number != last + 1:
            self.fault = f"executions sequence went from {last} to {number}"
            return False
        return True

    def _snapshot(self, rows: list[dict[str, Any]], now: int) -> Sequence[Item]:
        self._orders.clear()
        self._ended.clear()
        fills = [row for row in rows if row.get("exec_type") == "trade"]
        for row in rows:
            if row.get("exec_type") != "trade":
                self._change(row, now)
        orders = [self._copy(order) for order in self._orders.values() if self._is_wanted(order)]
        return [*self._missed_trades(fills, now), *([orders] if self._batch else orders)]

    def _missed_trades(self, rows: list[dict[str, Any]], now: int) -> list[MyTrade]:
        """The fills of a snapshot that were made while there was no connection; those before the first are history."""
        trades = []
        for row in rows:
            order = self._orders.get(str(row.get("order_id")))
            if order is None:
                order = MyOrder(
                    exchange=self.exchange,
                    symbol=_pair(str(row.get("symbol"))),
                    clientOrderId="",
                    orderId=str(row.get("order_id")),
                )
                _merge(order, row)
            trades.append(self._trade(row, order, now))
        if self._known_trades is None:
            self._known_trades = OrderedDict()
            for trade in trades:
                self._is_new(trade)
            return []
        return [trade for trade in trades if self._is_new(trade) and self._is_wanted_pair(trade.symbol)]

    def _is_new(self, trade: MyTrade) -> bool:
        if self._known_trades is None:
            self._known_trades = OrderedDict()
        if trade.tradeId in self._known_trades:
            return False
        self._known_trades[trade.tradeId] = None
        while len(self._known_trades) > REMEMBERED_TRADES:
            self._known_trades.popitem(last=False)
        return True

    def _update(self, row: dict[str, Any], now: int) -> list[Item]:
        before = self._orders.get(str(row.get("order_id")))
        known = None if before is None else self._copy(before)
        order = self._change(row, now)
        if order is None or not self._is_wanted(order):
            return []
        items: list[Item] = []
        if row.get("exec_type") == "trade":
            trade = self._trade(row, order, now)
            if self._is_new(trade):
                items.append(trade)
        if known is None or _state(known) != _state(order):
            items.append(self._copy(order))
        return items

    def _is_wanted(self, order: MyOrder) -> bool:
        return self._is_wanted_pair(order.symbol)

    def _is_wanted_pair(self, pair: CurrencyPair) -> bool:
        return not self.wanted or pair in self.wanted

    def _copy(self, order: MyOrder) -> MyOrder:
        return msgspec.structs.replace(order)

    def _change(self, row: dict[str, Any], now: int) -> MyOrder | None:
        """Apply a row to the table."""
        order_id = row.get("order_id")
        if not isinstance(order_id, str) or not order_id:
            raise ParseError(f"order_id of executions must be text, was {order_id!r}")
        order = self._orders.get(order_id)
        if order is None:
            if not isinstance(row.get("symbol"), str):
                kind = row.get("exec_type")
                self._log.warning(
                    "unknown order", f"kraken.executions: an update of an unknown order {order_id}: {kind}"
                )
                return None
            order = MyOrder(exchange=self.exchange, symbol=_pair(row["symbol"]), clientOrderId="", orderId=order_id)
        # Built apart first: a row that is wrong in one field changes nothing.
        changed = self._copy(order)
        _merge(changed, row)
        changed.localTimestamp = now
        self._orders[order_id] = changed
        self._api.remember(changed.clientOrderId, order_id)
        if not changed.is_live:
            self._ended[order_id] = None
            while len(self._ended) > REMEMBERED_ENDED:
                self._orders.pop(self._ended.popitem(last=False)[0], None)
        return changed

    def _trade(self, row: dict[str, Any], order: MyOrder, now: int) -> MyTrade:
        fees = [fee for fee in row.get("fees") or () if isinstance(fee, dict)]
        return MyTrade(
            exchange=self.exchange,
            symbol=order.symbol,
            tradeId=str(row.get("exec_id") or row.get("trade_id") or ""),
            orderId=order.orderId,
            clientOrderId=order.clientOrderId,
            side=order.side,
            price=decimal(row.get("last_price"), "last_price"),
            amount=decimal(row.get("last_qty"), "last_qty"),
            fee=sum((decimal(fee.get("qty"), "fee") for fee in fees), Decimal(0)),
            feeAsset=str(fees[0].get("asset", "")).lower() if fees else "",
            maker=row.get("liquidity_ind") == "m",
            timestamp=microseconds(row.get("timestamp")),
            localTimestamp=now,
        )


def _pair(symbol: str) -> CurrencyPair:
    try:
        return pair_of_native(ExecutionsProtocol.exchange, symbol)
    except ValueError as error:
        raise ParseError(f"symbol of executions must be a pair, was {symbol!r}") from error


def _merge(order: MyOrder, row: Mapping[str, Any]) -> None:
    if row.get("cl_ord_id"):
        order.clientOrderId = str(row["cl_ord_id"])
    side = row.get("side")
    if side in ("buy", "sell"):
        order.side = Side.parse(side)
    if isinstance(row.get("order_type"), str):
        order.orderType = order_type(row["order_type"])
    if "order_qty" in row:
        order.amount = decimal(row["order_qty"], "order_qty")
    if row.get("limit_price"):
        order.price = decimal(row["limit_price"], "limit_price")
    if "cum_qty" in row:
        order.filled = decimal(row["cum_qty"], "cum_qty")
    if "avg_price" in row:
        order.avgPrice = decimal(row["avg_price"], "avg_price")
    if "post_only" in row:
        order.postOnly = row["post_only"] is True
    if row.get("reason"):
        order.reason = str(row["reason"])
    status = STATUSES.get(str(row.get("order_status") or row.get("exec_type")))
    if status is not None:
        # An order that is open at the venue and partly filled is told as new where only its terms were changed.
        is_part = status is OrderStatus.NEW and 0 < order.filled < order.amount
        order.status = OrderStatus.PARTIAL_FILLED if is_part else status
    if row.get("timestamp"):
        order.timestamp = microseconds(row["timestamp"])


def _state(order: MyOrder) -> tuple[Any, ...]:
    return (
        order.status, order.filled, order.amount, order.price, order.avgPrice, order.clientOrderId, order.reason,
    )  # fmt: skip
