"""What a service is told: its rings and queues, and the calls of its hooks."""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from hftcore.latency import LatencyHistogram
from hftpy.common import Channel, Gap, MyOrder, MyTrade, Reconnected, Stale, Ticker, Trade
from hftpy.common.log import LimitedLog
from hftpy.errors import HftError
from hftpy.service.config import QueueSetting
from hftpy.service.inbox import (
    Dispatcher,
    Event,
    EventInlet,
    GatewayBatch,
    MarketHook,
    MarketInbox,
    Method,
    PrivateQueue,
    report_event,
)
from hftpy.service.interrupts import Interrupts
from hftpy.service.object_inbox import OBJECT_CAPACITY, ObjectInbox

RING_CAPACITY = 65_536
QUEUE_CAPACITY = 16_384
MARKET_OVERFLOW = "drop_oldest"
OBJECTS = (Channel.BOOK, Channel.KLINE, Channel.FUNDING)  # channels whose rings hold objects
HOPS = ("receipt_to_callback", "venue_to_receipt")


class Hooks(Protocol):
    """What a service has that a delivery calls."""

    process_id: str
    counters: dict[str, int]
    latency: dict[str, LatencyHistogram]
    _desk: Any
    _limited: LimitedLog
    _interrupts: Interrupts

    def on_my_order(self, my_order: MyOrder) -> Any: ...

    def on_my_order_batch(self, my_orders: list[MyOrder]) -> Any: ...

    def on_my_trade(self, my_trade: MyTrade) -> Any: ...

    def on_gap(self, gap: Gap) -> Any: ...

    def on_stale(self, stale: Stale) -> Any: ...

    def on_reconnected(self, reconnected: Reconnected) -> Any: ...

    def record_latency(self, hop: str, duration_ns: int) -> None: ...

    def _end_by(self, error: Exception) -> None: ...

    def _hook_failed(self, name: str) -> None: ...

    async def _guard(self, name: str, hook: Callable[..., Any], *args: Any) -> None: ...


class Delivery:
    """The queues that transports fill, and the calls of the hooks with what they hold.

    Parameters
    ----------
    service
        Whose hooks are called; its counters and histograms tell of it.
    queues
        The config's `queues`.
    born_ns
        When the service was made: what was received before, as a late joiner is told it, has no latency.
    """

    def __init__(self, service: Hooks, queues: dict[str, QueueSetting], born_ns: int) -> None:
        self._service = service
        self._born_ns = born_ns
        self.tickers = self._market(Channel.TICKER, Ticker, queues.get("ticker"))
        self.trades = self._market(Channel.TRADE, Trade, queues.get("trade"))
        self.books, self.klines, self.fundings = (
            self._objects(channel, queues.get(str(channel))) for channel in OBJECTS
        )
        self.my_orders: PrivateQueue[MyOrder] = self._private("my_order", queues)
        self.my_order_batches: PrivateQueue[list[MyOrder]] = self._private("my_order_batch", queues)
        self.my_trades: PrivateQueue[MyTrade] = self._private("my_trade", queues)
        self.other_events: asyncio.Queue[Event] = asyncio.Queue(QUEUE_CAPACITY)
        self._inboxes: tuple[MarketInbox | ObjectInbox, ...] = (
            self.tickers, self.trades, self.books, self.klines, self.fundings,
        )  # fmt: skip
        for inbox in self._inboxes:
            inbox.dispatcher.on_awaited = service._interrupts.end_call
        self.inlet = EventInlet({inbox.channel: inbox for inbox in self._inboxes}, self._put_other_event)

    def _market(self, channel: Channel, kind: type, setting: QueueSetting | None) -> MarketInbox:
        service = self._service
        name = f"on_{channel}"
        inbox = MarketInbox(
            channel,
            kind,
            (setting and setting.capacity) or RING_CAPACITY,
            MarketHook(service, name),
            self._guarded(self._deliver_event),
            overflow=(setting and setting.overflow) or MARKET_OVERFLOW,
            failed=lambda: service._hook_failed(name),
            on_halt=self._market_halted,
        )
        to_callback, to_receipt = (service.latency.setdefault(hop, LatencyHistogram()) for hop in HOPS)
        inbox.ring.measure(to_callback, to_receipt, self._born_ns)
        inbox.ring.count_in(service.counters, f"{channel}s")
        return inbox

    def _objects(self, channel: Channel, setting: QueueSetting | None) -> ObjectInbox:
        service = self._service
        name = f"on_{channel}"
        return ObjectInbox(
            channel,
            (setting and setting.capacity) or OBJECT_CAPACITY,
            (setting and setting.overflow) or MARKET_OVERFLOW,
            Method(service, name),
            self._guarded(self._deliver_event),
            counters=service.counters,
            failed=lambda: service._hook_failed(name),
            on_halt=self._market_halted,
        )

    def _private(self, name: str, queues: dict[str, QueueSetting]) -> PrivateQueue[Any]:
        setting = queues.get(name)
        return PrivateQueue(name, (setting and setting.capacity) or QUEUE_CAPACITY, self._halt)

    def jobs(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """What has to run, with its names."""
        return [
            *((inbox.run(), f"{inbox.channel}s") for inbox in self._inboxes),
            (self._dispatch(self.my_orders, self._deliver_my_order), "my_orders"),
            (self._dispatch(self.my_order_batches, self._deliver_my_order_batch), "my_order_batches"),
            (self._dispatch(self.my_trades, self._deliver_my_trade), "my_trades"),
            (self._consume_events(), "events"),
        ]

    def tell_time_by(self, clock_ns: Callable[[], int]) -> None:
        """Stamp gaps of source ``ring`` with another clock, ns since 1970."""
        for inbox in self._inboxes:
            inbox.clock_ns = clock_ns

    @property
    def market_idle(self) -> bool:
        """Whether no market data, and no event about it, waits for a hook."""
        return all(inbox.idle for inbox in self._inboxes)

    def hook_called_ns(self) -> int:
        """When the hook of a market channel was called that is asking; 0 outside of one."""
        return self.tickers.hook_called_ns() or self.trades.hook_called_ns()

    def status(self) -> dict[str, dict[str, int]]:
        """The counters of the queues."""
        return {
            **{
                str(inbox.channel): {
                    **inbox.ring.stats,
                    "waiting": inbox.ring.qsize(),
                    "events_dropped": inbox.events_dropped,
                }
                for inbox in self._inboxes
            },
            **{queue.name: queue.summary for queue in (self.my_orders, self.my_trades)},
        }

    def _dispatch(self, queue: PrivateQueue[Any], deliver: Callable[[Any], Any]) -> Coroutine[Any, Any, None]:
        dispatcher = Dispatcher(queue, deliver, lambda: self._service._hook_failed(f"on_{queue.name}"))
        dispatcher.on_awaited = self._service._interrupts.end_call
        return dispatcher.run()

    async def _consume_events(self) -> None:
        while True:
            await self._service._guard("", self._deliver_event, await self.other_events.get())

    def _guarded(self, deliver: Callable[[Any], Any]) -> Callable[[Any], Awaitable[None]]:
        return lambda item: self._service._guard("", deliver, item)

    def _put_other_event(self, event: Event) -> None:
        service = self._service
        try:
            self.other_events.put_nowait(event)
        except asyncio.QueueFull:
            service.counters["events_dropped"] += 1
            service._limited.log(
                logging.ERROR, "events", "%s: too many events wait, dropped %s", service.process_id, event
            )

    def _halt(self, queue: str) -> None:
        """An event of our own account found no room: who goes on would trade on a wrong picture."""
        self._service.counters["private_dropped"] += 1
        queues = (self.my_orders, self.my_order_batches, self.my_trades)
        capacity = next(private.capacity for private in queues if private.name == queue)
        self._end(queue, f"{queue}_queue is full ({capacity} wait): the hooks are too slow for our own orders")

    def _market_halted(self, queue: str) -> None:
        self._end(queue, f"{queue}_queue is full: the hooks are too slow, and its overflow is 'halt'")

    def _end(self, queue: str, message: str) -> None:
        service = self._service
        service._limited.log(logging.CRITICAL, queue, "%s: halted: %s", service.process_id, message)
        service._end_by(HftError(message))

    def _deliver_my_order(self, my_order: MyOrder) -> Any:
        service = self._service
        service.counters["my_orders"] += 1
        if my_order.localTimestamp * 1000 >= self._born_ns:
            service.record_latency("my_order", time.time_ns() - my_order.localTimestamp * 1000)
        if service._desk.is_ours(my_order):
            service._desk.on_my_order(my_order)
        return service.on_my_order(my_order)

    async def _deliver_my_order_batch(self, my_orders: list[MyOrder]) -> None:
        if isinstance(my_orders, GatewayBatch):
            for change in self._service._desk.on_my_order_batch(my_orders):
                await self.my_orders.put(change)
        result = self._service.on_my_order_batch(my_orders)
        if inspect.isawaitable(result):
            await result

    def _deliver_my_trade(self, my_trade: MyTrade) -> Any:
        self._service.counters["my_trades"] += 1
        return self._service.on_my_trade(my_trade)

    def _deliver_event(self, event: Event) -> Any:
        service = self._service
        report_event(event, service.process_id, service.counters, service._limited)
        match event:
            case Gap():
                return service.on_gap(event)
            case Stale():
                return service.on_stale(event)
            case Reconnected():
                return service.on_reconnected(event)
