"""The gateway of one venue: the only process that holds its keys. It publishes market data, takes order commands from
strategies, and tells them of every change of their orders.
"""

import asyncio
import logging
import time
from collections import Counter
from typing import Any

import msgspec

from hftcore.topic import check_process_id
from hftpy.common import Channel, CurrencyPair, Exchange, MyOrder, MyTrade, OrderStatus
from hftpy.common.paths import get_root
from hftpy.errors import ConfigError, RequestRejected, VenueError
from hftpy.ipc import IPCCommand
from hftpy.service.base import ServiceBase
from hftpy.service.cancel_marks import CancelMarks
from hftpy.service.config import ServiceConfig
from hftpy.service.intake import fit, read_order
from hftpy.service.ordering import PRIVATE
from hftpy.trading.ids import TAG_LENGTH, sender_tag
from hftpy.trading.orders import OrderTable
from hftpy.trading.positions import PositionBook

log = logging.getLogger(__name__)

BATCH_INTERVAL_S = 60.0
MAX_AGE_S = 5.0  # of a place_order command: a late order is worse than a lost one
DAY_NS = 86_400_000_000_000
ASK_AGAIN_S = 1.0
ASK_TIMES = 6  # longer than the venue's own deadline of an order, 5 s
ASK_TIMES_KNOWN = 2  # about an order that the venue had acknowledged
ASK_AGAIN_MAX_S = 30.0
CANCEL_TIMES = 3
CANCEL_ON_STOP_S = 6.0


class GatewayService(ServiceBase):
    """A ready service per venue, named ``{exchange}_gateway``.

    It needs the venue's `apis` and `ws_apis`, a stream with the channels ``my_order``, ``my_order_batch`` and
    ``my_trade`` for orders, and `ipc_publish` for market data. Orders enter its table as NONE before the venue hears
    of them; an outcome that is not known is UNKNOWN until the venue has been asked. Nothing is sent before the venue's
    instruments and its list of open orders are known. An order that was sent before a ``cancel_all`` or ``halt`` that
    has come is refused: those overtake orders on their way.

    Parameters in the config's `params`: ``cancel_on_stop`` (default true) cancels the strategies' orders at the end.
    """

    all_orders = True

    def __init__(self, config: ServiceConfig) -> None:
        super().__init__(config)
        tags = [(sender_tag(name), name) for name in config.setting.ipc_command_subscribers]
        counts = Counter(tag for tag, _ in tags)
        self._strategies = {tag: name for tag, name in tags if counts[tag] == 1}
        self.orders = OrderTable(lambda client_id: self._strategies.get(client_id[:TAG_LENGTH], ""))
        self.positions = PositionBook()
        self.exchange = Exchange.UNKNOWN
        self.instruments: dict[CurrencyPair, Any] = {}
        self._open_orders_known = asyncio.Event()
        self._ready = asyncio.Event()  # instruments and open orders are known
        self._order_changed = asyncio.Event()
        self._stopping = False
        self._unsent: set[str] = set()
        self._cancelling: set[str] = set()
        self._asking: dict[str, asyncio.Task[Any]] = {}
        self.counters |= {
            "orders_sent": 0, "orders_rejected": 0, "orders_unknown": 0, "orders_repeated": 0, "orders_overtaken": 0,
            "cancels_sent": 0, "cancels_failed": 0,
        }  # fmt: skip

    async def on_setup(self) -> bool:
        """Check the accounts; register the order commands."""
        section, setting = self.config.section, self.config.setting
        names = {entry.exchange.lower() for entry in setting.ws_apis}
        if len(names) != 1:
            raise ConfigError(f"{section}: a gateway needs ws_apis of one exchange, was {sorted(names)}")
        self.exchange = Exchange.parse(names.pop())
        if f"{self.exchange}_api" not in self._apis:
            raise ConfigError(f"{section}: a gateway needs apis of {self.exchange}, to ask about orders")
        self._ws_api = self._apis[f"{self.exchange}_ws_api"]
        self._api = self._apis[f"{self.exchange}_api"]
        streamed = {
            Channel.parse(channel)
            for entry in setting.streams
            if Exchange.parse(entry.exchange) == self.exchange
            for channel in entry.subscribe_channels
        }
        missing = [str(channel) for channel in PRIVATE if channel not in streamed]
        if missing:
            raise ConfigError(f"{section}: a gateway needs a stream of {self.exchange} with {', '.join(missing)}")
        if self.process_id != f"{self.exchange}_gateway":
            wanted = f"{self.exchange}_gateway"
            raise ConfigError(f"{section}: ipc_command_publisher must be {wanted}, was {self.process_id!r}")
        self.ipc_command.register_handler("place_order", self._on_place_order)
        self.ipc_command.register_handler("cancel_order", self._on_cancel_order)
        self._cancel_marks = CancelMarks(get_root() / "commands" / f"{self.process_id}.cancels")
        for command_type in ("cancel_all", "halt"):
            self.ipc_command.register_handler(command_type, self._on_cancel_all)
        self.ipc_command.register_handler("query_order", self._on_query_order)
        return True

    async def on_start(self) -> None:
        """Learn the instruments, tell everybody the open orders, and again every minute."""
        self._spawn(self._learn_instruments(), "instruments")
        self._spawn(self._batches(), "batches")

    async def on_stop(self) -> None:
        """Take no more orders; cancel the strategies' live ones, unless `cancel_on_stop` is false."""
        self._stopping = True
        if not self.params.get("cancel_on_stop", True):
            return
        orders = [order for order in self.orders.live() if order.strategy]
        try:
            async with asyncio.timeout(CANCEL_ON_STOP_S):
                await asyncio.gather(*(self._cancel(order) for order in orders))
                while any(order.is_live for order in orders):  # the private stream tells
                    self._order_changed.clear()
                    await self._order_changed.wait()
        except TimeoutError:
            left = ", ".join(f"{order.clientOrderId} ({order.strategy})" for order in orders if order.is_live)
            log.error("%s: orders that may still be open at the venue: %s", self.process_id, left)

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
            self._ask(order.clientOrderId)
        self._open_orders_known.set()
        self._check_ready()
        self._send_batch()

    def status(self) -> dict[str, Any]:
        """As for every service, with orders and positions."""
        counts = Counter(order.status for order in self.orders)
        return super().status() | {
            "orders": {str(status): counts[status] for status in OrderStatus if counts[status]},
            "positions": [
                {
                    "strategy": position.strategy,
                    "symbol": str(position.symbol),
                    "amount": f"{position.amount:f}",
                    "avgPrice": f"{position.avgPrice:.8f}",
                    "realizedPnl": f"{position.realizedPnl:.8f}",
                }
                for position in self.positions
            ],
            "joined": {
                str(channel): self.ipc_publisher.subscriber_count(exchange, channel)
                for exchange, channel in sorted(self._addresses())
            },
        }

    # Commands

    def _on_place_order(self, command: IPCCommand) -> None:
        age_s = self._arrived(command)
        order, fault = read_order(command.payload, command.sender_id, command.command_id, self.exchange)
        if not self.orders.add(order):
            self.counters["orders_repeated"] += 1
            log.warning("%s: command %s was taken before", self.process_id, command.command_id)
            self._publish_again(order.clientOrderId)
            return
        if age_s > MAX_AGE_S:
            fault = f"the command was {age_s:.1f} s old"
        elif self._stopping:
            fault = "the gateway is stopping"
        elif self._cancel_marks.covers(command, order.symbol):
            self.counters["orders_overtaken"] += 1
            fault = "it was sent before a cancel_all or halt that has come"
        if fault:
            self._fail(order, fault)
            return
        self._unsent.add(order.clientOrderId)
        self._spawn(self._place(order, MAX_AGE_S - max(age_s, 0.0)), f"place {order.clientOrderId}")

    def _on_cancel_order(self, command: IPCCommand) -> None:
        self._arrived(command)
        client_id = str(command.payload.get("client_order_id"))
        order = self.orders.find(client_id)
        if order is None or order.strategy != command.sender_id:
            self.counters["cancels_failed"] += 1
            sender = command.sender_id
            log.warning("%s: %s cancels an order that is not its own: %r", self.process_id, sender, client_id)
        elif order.is_live:
            self._spawn(self._cancel(order), f"cancel {client_id}")
        else:
            self._publish_again(client_id)  # the strategy has missed its end

    def _on_cancel_all(self, command: IPCCommand) -> None:
        """Cancel what is live, and refuse what was sent before and has not come."""
        self._arrived(command)
        symbol, strategy = command.payload.get("symbol"), command.payload.get("strategy") or command.sender_id
        check_process_id(strategy)
        pair = None if symbol is None or command.command_type == "halt" else CurrencyPair(symbol)
        self._cancel_marks.add(command, strategy, pair)
        for order in self.orders.live():
            if order.strategy == strategy and (pair is None or order.symbol == pair):
                self._spawn(self._cancel(order), f"cancel {order.clientOrderId}")

    def _on_query_order(self, command: IPCCommand) -> None:
        """A strategy misses an order in a batch: tell it again, or ask the venue about one that is not known here."""
        self._arrived(command)
        command_id = command.payload.get("command_id")
        order, fault = read_order(command.payload, command.sender_id, str(command_id), self.exchange)
        known = self.orders.find(order.clientOrderId)
        if known is not None and known.strategy == command.sender_id:
            self._publish_again(order.clientOrderId)
        elif known is not None or fault or not isinstance(command_id, str):
            log.warning("%s: query of %s is refused: %s", self.process_id, command.sender_id, fault or "not its own")
        else:
            # Perhaps sent by a gateway before this one.
            order.status = OrderStatus.UNKNOWN
            self.orders.add(order)
            self._ask(order.clientOrderId)

    def _arrived(self, command: IPCCommand) -> float:
        # A timestamp that is none (of other units, say) is no reason not to cancel.
        age_ns = min(max(time.time_ns() - command.timestamp * 1000, -DAY_NS), DAY_NS)
        self.record_latency("command", age_ns)
        return age_ns / 1e9

    # The venue

    async def _place(self, order: MyOrder, wait_s: float) -> None:
        client_id = order.clientOrderId
        try:
            async with asyncio.timeout(wait_s):
                await self._ready.wait()
            if not order.is_live:
                return  # cancelled while it waited
            if self._stopping:
                raise ValueError("the gateway is stopping")
            if order.symbol not in self.instruments:
                raise ValueError(f"{self.exchange} does not list {order.symbol}")
            fit(order, self.instruments[order.symbol])
        except TimeoutError:
            missing = "open orders" if self.instruments else "instruments"
            self._fail(order, f"the gateway is not ready: the venue's {missing} are not known")
            return
        except ValueError as error:
            self._fail(order, str(error))
            return
        finally:
            self._unsent.discard(client_id)
        self._publish_again(client_id)
        self.counters["orders_sent"] += 1
        sent_ns = time.perf_counter_ns()
        try:
            order_id = await self._ws_api.add_order(
                symbol=order.symbol, side=order.side, amount=order.amount, price=order.price,
                order_type=order.orderType, post_only=order.postOnly, client_order_id=client_id,
            )  # fmt: skip
        except RequestRejected as error:
            self._fail(order, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, only the venue knows whether the order exists
            self.counters["orders_unknown"] += 1
            log.warning("%s: outcome of %s is not known: %r", self.process_id, client_id, error)
            self._publish(self.orders.update(client_id, status=OrderStatus.UNKNOWN, reason=str(error)))
            self._ask(client_id)
        else:
            self.record_latency("order_ack", time.perf_counter_ns() - sent_ns)
            self._publish(self.orders.update(client_id, orderId=order_id, status=OrderStatus.NEW, reason=""))

    def _fail(self, order: MyOrder, reason: str) -> None:
        if not order.is_live:
            return  # cancelled, or told of by the venue, meanwhile
        self.counters["orders_rejected"] += 1
        self._publish(self.orders.update(order.clientOrderId, status=OrderStatus.FAILED, reason=reason))

    async def _cancel(self, order: MyOrder) -> None:
        """Cancel an order; where that fails, ask the venue about it and try again while it is live."""
        client_id, fault = order.clientOrderId, ""
        if client_id in self._unsent:
            reason = "cancelled before it was sent"
            self._publish(self.orders.update(client_id, status=OrderStatus.CANCELED, reason=reason))
            return
        if client_id in self._cancelling:
            return
        self._cancelling.add(client_id)
        try:
            for _ in range(CANCEL_TIMES):
                self.counters["cancels_sent"] += 1
                try:
                    if order.orderId:
                        await self._ws_api.cancel_order(order_id=order.orderId)
                    else:
                        await self._ws_api.cancel_order(client_order_id=client_id)
                    return
                except VenueError as error:
                    # It may have been filled meanwhile; the private stream, or the venue when asked, tells.
                    fault = str(error)
                    self.counters["cancels_failed"] += 1
                    log.info("%s: cancel of %s: %s", self.process_id, client_id, error)
                if order.is_live:
                    await asyncio.wait({self._ask(client_id)})
                if not order.is_live:
                    return
        finally:
            self._cancelling.discard(client_id)
        log.error("%s: %s could not be cancelled: %s", self.process_id, client_id, fault)
        self._publish(self.orders.update(client_id, reason=f"not cancelled: {fault}"))

    def _ask(self, client_id: str) -> asyncio.Task[Any]:
        """Ask the venue about an order, in a task; there is one per order at a time."""
        task = self._asking.get(client_id)
        if task is None:
            task = self._asking[client_id] = self._spawn(self._ask_venue(client_id), f"ask {client_id}")
            task.add_done_callback(lambda _: self._asking.pop(client_id, None))
        return task

    async def _ask_venue(self, client_id: str) -> None:
        """Ask until the venue answers; an order that it does not know (any more), time after time, has ended."""
        not_found, pause_s, last = 0, ASK_AGAIN_S, None
        while not_found < (ASK_TIMES_KNOWN if last is not None and last[1] else ASK_TIMES):
            await asyncio.sleep(pause_s)
            order = self.orders.find(client_id)
            if order is None or not order.is_live:
                return
            if last != (order.status, order.orderId, order.filled):  # the venue told of it meanwhile
                not_found, last = 0, (order.status, order.orderId, order.filled)
            try:
                found = await self._query(order)
            except Exception as error:  # noqa: BLE001 - an order must not stay unknown because an answer was odd
                log.warning("%s: asking about %s: %r", self.process_id, client_id, error)
                pause_s = min(2 * pause_s, ASK_AGAIN_MAX_S)
                continue
            for update in found:
                self._publish(self.orders.on_venue_order(msgspec.structs.replace(update, clientOrderId=client_id)))
            if found:
                return
            not_found, pause_s = not_found + 1, ASK_AGAIN_S
        ended = OrderStatus.CLOSED if last is not None and last[1] else OrderStatus.FAILED
        self._publish(self.orders.update(client_id, status=ended, reason="not known to the venue when asked"))

    async def _query(self, order: MyOrder) -> list[MyOrder]:
        ids = {"order_ids": [order.orderId]} if order.orderId else {"client_order_ids": [order.clientOrderId]}
        try:
            found: list[MyOrder] = await self._api.query_orders(**ids)
        except RequestRejected as error:
            if "Unknown order" in error.code:
                return []
            raise
        return found

    async def _learn_instruments(self) -> None:
        while not self.instruments:
            try:
                self.instruments = await self._api.asset_pairs()
            except Exception as error:  # noqa: BLE001 - without them no order can be sent: try again whatever it was
                log.warning("%s: instruments: %r", self.process_id, error)
            if not self.instruments:
                await asyncio.sleep(ASK_AGAIN_S)
        self._check_ready()

    def _check_ready(self) -> None:
        if self.instruments and self._open_orders_known.is_set():
            self._ready.set()

    # Publishing

    def _publish(self, order: MyOrder | None) -> None:
        if order is not None:
            order.localTimestamp = time.time_ns() // 1000
            self._order_changed.set()
            self.ipc_publisher.send_my_order(order)

    def _publish_again(self, client_id: str) -> None:
        order = self.orders.find(client_id)
        if order is not None:
            self._publish(msgspec.structs.replace(order))

    async def _batches(self) -> None:
        # A list that lacks what is open at the venue would tell strategies that their orders have ended.
        await self._open_orders_known.wait()
        while True:
            await asyncio.sleep(BATCH_INTERVAL_S)
            self._send_batch()

    def _send_batch(self) -> None:
        self.ipc_publisher.send_my_order_batch(self.exchange, self.orders.live())

    def _addresses(self) -> set[tuple[Exchange, Channel]]:
        return super()._addresses() | {(self.exchange, channel) for channel in PRIVATE}
