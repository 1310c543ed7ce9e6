"""The gateway of one venue: the only process that holds its keys. It publishes market data, takes order commands from
strategies, and tells them of every change of their orders.
"""

import asyncio
import logging
import time
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from hftpy.common import Channel, CurrencyPair, Exchange, MyOrder, MyTrade, OrderStatus, OrderType, Side
from hftpy.errors import ConfigError, RequestRejected, RequestUnknown, VenueError
from hftpy.ipc import IPCCommand
from hftpy.service.base import ServiceBase
from hftpy.service.config import ServiceConfig
from hftpy.service.ordering import PRIVATE, to_decimal
from hftpy.trading.ids import client_order_id
from hftpy.trading.orders import OrderTable
from hftpy.trading.positions import PositionBook

log = logging.getLogger(__name__)

BATCH_INTERVAL_S = 60.0
ASK_AGAIN_S = 1.0
ASK_TIMES = 3


class GatewayService(ServiceBase):
    """A ready service per venue, named ``{exchange}_gateway``.

    It needs the venue's `apis` and `ws_apis`, a stream with the channels ``my_order``, ``my_order_batch`` and
    ``my_trade`` for orders, and `ipc_publish` for market data. Orders enter its table as NONE before the venue hears
    of them; an outcome that is not known is UNKNOWN until the venue has been asked.

    Parameters in the config's `params`: ``cancel_on_stop`` (default true) cancels the strategies' orders at the end.
    """

    all_orders = True

    def __init__(self, config: ServiceConfig) -> None:
        super().__init__(config)
        self.orders = OrderTable()
        self.positions = PositionBook()
        self.exchange = Exchange.UNKNOWN
        self.instruments: dict[CurrencyPair, Any] = {}
        self._asking: set[str] = set()
        self.counters |= {
            "orders_sent": 0,
            "orders_rejected": 0,
            "orders_unknown": 0,
            "cancels_sent": 0,
            "cancels_failed": 0,
        }

    async def on_setup(self) -> bool:
        """Check the accounts; register the order commands."""
        names = {entry.exchange.lower() for entry in self.config.setting.ws_apis}
        if len(names) != 1:
            raise ConfigError(f"{self.config.section}: a gateway needs ws_apis of one exchange, was {sorted(names)}")
        self.exchange = Exchange.parse(names.pop())
        self._ws_api = getattr(self, f"{self.exchange}_ws_api")
        self._api = getattr(self, f"{self.exchange}_api")
        if self.process_id != f"{self.exchange}_gateway":
            raise ConfigError(
                f"{self.config.section}: ipc_command_publisher must be {self.exchange}_gateway, was {self.process_id!r}"
            )
        self.ipc_command.register_handler("place_order", self._on_place_order)
        self.ipc_command.register_handler("cancel_order", self._on_cancel_order)
        self.ipc_command.register_handler("cancel_all", self._on_cancel_all)
        return True

    async def on_start(self) -> None:
        """Learn the instruments, tell everybody the open orders, and again every minute."""
        self._spawn(self._learn_instruments(), "instruments")
        self._spawn(self._batches(), "batches")

    async def on_stop(self) -> None:
        """Cancel the strategies' live orders, unless `cancel_on_stop` is false."""
        if not self.params.get("cancel_on_stop", True):
            return
        orders = [order for order in self.orders.live() if order.strategy]
        await asyncio.gather(*(self._cancel(order) for order in orders))

    def on_my_order(self, my_order: MyOrder) -> None:
        """The venue's word on an order."""
        self._publish(self.orders.on_venue_order(my_order))

    def on_my_trade(self, my_trade: MyTrade) -> None:
        """A fill, or a repetition of one."""
        trade = self.orders.on_venue_trade(my_trade)
        if trade is not None:
            self.positions.on_trade(trade)
            self.ipc_publisher.send_my_trade(trade)

    def on_my_order_batch(self, my_orders: list[MyOrder]) -> None:
        """The venue's list of open orders after (re)connecting: take it in, and ask about those it leaves out."""
        for order in my_orders:
            self._publish(self.orders.on_venue_order(order))
        for order in self.orders.missing_from(my_orders):
            self._spawn(self._ask(order.clientOrderId), f"ask {order.clientOrderId}")
        self._send_batch()

    def status(self) -> dict[str, Any]:
        """As for every service, with orders and positions."""
        return super().status() | {
            "orders": {str(status): self._count(status) for status in OrderStatus if self._count(status)},
            "positions": [
                {
                    "strategy": position.strategy,
                    "symbol": str(position.symbol),
                    "amount": str(position.amount),
                    "avgPrice": f"{position.avgPrice:.8f}",
                    "realizedPnl": f"{position.realizedPnl:.8f}",
                }
                for position in self.positions
            ],
            "joined": {
                str(channel): self.ipc_publisher.subscriber_count(
                    self.exchange if channel == Channel.MY_ORDER else self._market_exchange(), channel
                )
                for channel in (Channel.TICKER, Channel.TRADE, Channel.MY_ORDER)
            },
        }

    # Commands

    def _on_place_order(self, command: IPCCommand) -> None:
        self._arrived(command)
        order = self._order_of(command)
        if not self.orders.add(order):
            log.warning("%s: command %s was taken before", self.process_id, command.command_id)
            return
        try:
            self._check(order, command.payload)
        except (ValueError, KeyError, TypeError) as error:
            self.counters["orders_rejected"] += 1
            self._publish(self.orders.update(order.clientOrderId, status=OrderStatus.FAILED, reason=str(error)))
            return
        self._publish(msgspec.structs.replace(order))
        self._spawn(self._place(order), f"place {order.clientOrderId}")

    def _on_cancel_order(self, command: IPCCommand) -> None:
        self._arrived(command)
        order = self.orders.find(client_order_id=str(command.payload.get("client_order_id")))
        if order is None or order.strategy != command.sender_id:
            self.counters["cancels_failed"] += 1
            log.warning(
                "%s: %s cancels an order that is not its own: %s", self.process_id, command.sender_id, command.payload
            )
            return
        if order.is_live:
            self._spawn(self._cancel(order), f"cancel {order.clientOrderId}")

    def _on_cancel_all(self, command: IPCCommand) -> None:
        self._arrived(command)
        symbol, strategy = command.payload.get("symbol"), command.payload.get("strategy") or command.sender_id
        for order in self.orders.live():
            if order.strategy == strategy and (symbol is None or order.symbol == CurrencyPair(symbol)):
                self._spawn(self._cancel(order), f"cancel {order.clientOrderId}")

    def _arrived(self, command: IPCCommand) -> None:
        self.record_latency("command", time.time_ns() - command.timestamp * 1000)

    def _order_of(self, command: IPCCommand) -> MyOrder:
        # As much of the order as can be read, so that even a refused one is answered.
        payload = command.payload
        order = MyOrder(
            exchange=self.exchange,
            symbol=CurrencyPair("unknown/unknown"),
            clientOrderId=client_order_id(command.command_id, self.exchange),
            postOnly=payload.get("post_only") is True,
            strategy=command.sender_id,
            commandId=command.command_id,
            localTimestamp=time.time_ns() // 1000,
        )
        for name, key, read in (
            ("symbol", "symbol", CurrencyPair),
            ("side", "side", Side.parse),
            ("orderType", "order_type", OrderType.parse),
            ("amount", "amount", lambda value: to_decimal("amount", value)),
            ("price", "price", lambda value: None if value is None else to_decimal("price", value)),
        ):
            try:
                setattr(order, name, read(payload[key]))
            except (ValueError, KeyError, TypeError):
                continue  # _check says what is wrong
        return order

    def _check(self, order: MyOrder, payload: dict[str, Any]) -> None:
        pair = CurrencyPair(payload["symbol"])
        if Side.parse(payload["side"]) == Side.UNKNOWN:
            raise ValueError(f"side must be buy or sell, was {payload['side']!r}")
        kind = OrderType.parse(payload["order_type"])
        order.amount = to_decimal("amount", payload["amount"])
        if (kind == OrderType.LIMIT) != (payload["price"] is not None):
            raise ValueError(f"a {kind} order's price was {payload['price']!r}")
        instrument = self.instruments.get(pair)
        if instrument is None:
            if self.instruments:
                raise ValueError(f"{self.exchange} does not list {pair}")
            return
        order.amount = _quantise(order.amount, instrument.lot_size, ROUND_DOWN)
        if order.amount < instrument.min_amount or order.amount <= 0:
            raise ValueError(f"amount must be at least {instrument.min_amount}, was {payload['amount']}")
        if order.price is not None:
            order.price = _quantise(order.price, instrument.tick_size, ROUND_HALF_EVEN)

    # The venue

    async def _place(self, order: MyOrder) -> None:
        self.counters["orders_sent"] += 1
        sent_ns = time.perf_counter_ns()
        try:
            order_id = await self._ws_api.add_order(
                symbol=order.symbol, side=order.side, amount=order.amount, price=order.price,
                order_type=order.orderType, post_only=order.postOnly, client_order_id=order.clientOrderId,
            )  # fmt: skip
        except RequestUnknown as error:
            self.counters["orders_unknown"] += 1
            log.warning("%s: outcome of %s is not known: %s", self.process_id, order.clientOrderId, error)
            self._publish(self.orders.update(order.clientOrderId, status=OrderStatus.UNKNOWN, reason=str(error)))
            await self._ask(order.clientOrderId)
        except RequestRejected as error:
            self.counters["orders_rejected"] += 1
            self._publish(self.orders.update(order.clientOrderId, status=OrderStatus.FAILED, reason=str(error)))
        else:
            self.record_latency("order_ack", time.perf_counter_ns() - sent_ns)
            self._publish(self.orders.update(order.clientOrderId, orderId=order_id, status=OrderStatus.NEW))

    async def _cancel(self, order: MyOrder) -> None:
        self.counters["cancels_sent"] += 1
        try:
            await self._ws_api.cancel_order(client_order_id=order.clientOrderId)
        except VenueError as error:
            # It may have been filled meanwhile; the private stream, or the venue when asked, tells.
            self.counters["cancels_failed"] += 1
            log.info("%s: cancel of %s: %s", self.process_id, order.clientOrderId, error)
            if order.is_live:
                self._spawn(self._ask(order.clientOrderId), f"ask {order.clientOrderId}")

    async def _ask(self, client_id: str) -> None:
        """Ask the venue about an order until it answers; one that it does not know (any more) is closed."""
        if client_id in self._asking:
            return
        self._asking.add(client_id)
        not_found = 0
        try:
            while not_found < ASK_TIMES:
                await asyncio.sleep(ASK_AGAIN_S)
                order = self.orders.find(client_id)
                if order is None or not order.is_live:
                    return
                try:
                    ids = {"order_ids": [order.orderId]} if order.orderId else {"client_order_ids": [client_id]}
                    found = await self._api.query_orders(**ids)
                except RequestRejected as error:
                    if "Unknown order" not in error.code:
                        log.warning("%s: asking about %s: %s", self.process_id, client_id, error)
                        continue
                    found = []
                except VenueError as error:
                    log.warning("%s: asking about %s: %s", self.process_id, client_id, error)
                    continue
                if found:
                    for update in found:
                        self._publish(self.orders.on_venue_order(update))
                    return
                not_found += 1
            order = self.orders.find(client_id)
            if order is None:
                return
            ended = OrderStatus.CLOSED if order.orderId else OrderStatus.FAILED
            self._publish(self.orders.update(client_id, status=ended, reason="not known to the venue when asked"))
        finally:
            self._asking.discard(client_id)

    async def _learn_instruments(self) -> None:
        while not self.instruments:
            try:
                self.instruments = await self._api.asset_pairs()
            except VenueError as error:
                log.warning("%s: instruments: %s", self.process_id, error)
                await asyncio.sleep(5.0)

    # Publishing

    def _publish(self, order: MyOrder | None) -> None:
        if order is not None:
            order.localTimestamp = time.time_ns() // 1000
            self.ipc_publisher.send_my_order(order)

    async def _batches(self) -> None:
        while True:
            self._send_batch()
            await asyncio.sleep(BATCH_INTERVAL_S)

    def _send_batch(self) -> None:
        self.ipc_publisher.send_my_order_batch(self.exchange, self.orders.live())

    def _addresses(self) -> set[tuple[Exchange, Channel]]:
        return super()._addresses() | {(self.exchange, channel) for channel in PRIVATE}

    def _count(self, status: OrderStatus) -> int:
        return sum(1 for order in self.orders if order.status == status)

    def _market_exchange(self) -> Exchange:
        """Whose market data this gateway publishes: its streams' (usually its own venue's)."""
        for entry in self.config.setting.streams:
            if entry.currency_pairs:
                return Exchange.parse(entry.exchange)
        return self.exchange


def _quantise(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (value / step).to_integral_value(rounding) * step
