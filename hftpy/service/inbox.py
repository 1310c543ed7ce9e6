"""Between transports and hooks: one ring per channel, with events about the data kept in their place.

A gap is delivered after everything that arrived before it and before everything that arrived after it. What a ring
loses because the hooks are too slow is reported as a gap of source ``ring``.

Hooks that are plain functions are called by the ring itself, item after item (`Ring.dispatch`); what a coroutine
function returns is awaited before the next item. The loop gets its turn after `BATCH` items or `BUDGET_NS`, whatever
comes first, so that a flood starves neither commands nor timers.
"""

import asyncio
import inspect
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from hftcore.ring import ObjectRing, Ring
from hftcore.strategy import NativeStrategy
from hftpy.common import Channel, Exchange, Gap, MyOrder, Reconnected, Stale
from hftpy.common.log import LimitedLog

Event = Gap | Stale | Reconnected
Hook = Callable[[Any], Any]
Deliver = Callable[[Any], Awaitable[None]]
Item = TypeVar("Item")

BATCH = 256
BUDGET_NS = 2_000_000
MAX_EVENTS = 4096
GIVES_WAY = ("drop_oldest", "conflate")  # the policies whose loss lies before what the ring still holds


class Method:
    """A hook that is looked up when a batch begins: subclasses override it, and an instance may replace it."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner = owner
        self.name = name

    def __call__(self, item: Any) -> Any:
        """Call it."""
        return getattr(self.owner, self.name)(item)

    def resolve(self) -> Hook | NativeStrategy:
        """The function itself."""
        hook: Hook = getattr(self.owner, self.name)
        return hook


class MarketHook(Method):
    """The hook of a market channel, or the strategy in Cython that stands in its place."""

    def resolve(self) -> Hook | NativeStrategy:
        """The strategy if there is one, else the function."""
        strategy: NativeStrategy | None = getattr(self.owner, "native_strategy", None)
        return super().resolve() if strategy is None else strategy


class Dispatcher:
    """Calls a hook with what a ring holds; a hook that raises loses nothing but its own item.

    Parameters
    ----------
    ring
        Where the items are.
    hook
        A function or a coroutine function of one item.
    failed
        Called while the exception of a hook is handled; None: the exception passes through.

    Attributes
    ----------
    on_awaited : Callable or None
        Called in the hook's task when what it returned was awaited.
    """

    def __init__(self, ring: Ring[Any] | ObjectRing[Any], hook: Hook, failed: Callable[[], None] | None = None) -> None:
        self._ring = ring
        self._hook = hook
        self._failed = failed
        self.on_awaited: Callable[[], None] | None = None

    async def some(self, limit: int, **bounds: Any) -> None:
        """Deliver until the ring stops (see `Ring.dispatch`), or one coroutine hook has ended."""
        hook = self._hook.resolve() if isinstance(self._hook, Method) else self._hook
        try:
            if isinstance(hook, NativeStrategy):
                result = hook.dispatch(self._ring, limit, budget_ns=BUDGET_NS, **bounds)  # type: ignore[arg-type]
            else:
                result = self._ring.dispatch(hook, limit, budget_ns=BUDGET_NS, **bounds)
            if inspect.isawaitable(result):
                try:
                    await result
                finally:
                    if self.on_awaited is not None:
                        self.on_awaited()
        except Exception:
            if self._failed is None:
                raise
            self._failed()
        except asyncio.CancelledError:
            # Ours to obey; or of something that the hook awaited, which must not end the delivery of all that follows.
            task = asyncio.current_task()
            if self._failed is None or task is None or task.cancelling():
                raise
            self._failed()

    async def run(self) -> None:
        """Deliver everything, until cancelled."""
        while True:
            await self._ring.wait()
            end = self._ring.position + BATCH
            ends_ns = time.monotonic_ns() + BUDGET_NS
            while not self._ring.empty() and self._ring.position < end and time.monotonic_ns() < ends_ns:
                await self.some(end - self._ring.position)
            await asyncio.sleep(0)


class Inbox(ABC):
    """A ring of one channel and the events of that channel, kept in their place.

    Parameters
    ----------
    channel
        What it carries.
    ring
        Of what the hook is called with.
    deliver
        The hook.
    deliver_event
        A coroutine function that calls the hook of an event; it does not raise.
    failed
        As of `Dispatcher`.
    on_halt
        Called once with the channel's name when a ring that halts is full.
    """

    def __init__(
        self,
        channel: Channel,
        ring: Ring[Any] | ObjectRing[Any],
        deliver: Hook,
        deliver_event: Deliver,
        failed: Callable[[], None] | None,
        on_halt: Callable[[str], None] | None,
    ) -> None:
        self.channel = channel
        self.events_dropped = 0
        self.clock_ns: Callable[[], int] = time.time_ns
        self._waiting = ring
        self.dispatcher = Dispatcher(ring, deliver, failed)
        self._deliver_event = deliver_event
        self._on_halt = on_halt
        self._events: deque[tuple[int, Event]] = deque()
        self._event_arrived = asyncio.Event()
        self._telling = asyncio.Lock()  # a hook of an event ends before the next message is delivered

    @property
    def idle(self) -> bool:
        """Whether nothing waits, neither item nor event."""
        return self._waiting.empty() and not self._events and not self._telling.locked()

    def put_event(self, event: Event) -> None:
        """Take in an event; when there are too many the oldest is dropped and counted."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.events_dropped += 1
        self._events.append((self._waiting.mark(), event))
        self._event_arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_ring(), name=f"{self.channel}s")
            group.create_task(self._run_events(), name=f"{self.channel} events")

    @abstractmethod
    async def _run_ring(self) -> None:
        """Deliver what the ring holds, until cancelled."""

    @property
    @abstractmethod
    def _delivered(self) -> int:
        """The position before which everything was delivered, or reported."""

    def _gap(self, lost: int) -> Gap:
        return Gap(
            exchange=Exchange.UNKNOWN,
            channel=self.channel,
            symbol=None,
            reason="the hooks are too slow",
            lost=lost,
            source="ring",
            timestamp=self.clock_ns() // 1000,
        )

    def _tell_halt(self) -> None:
        if self._waiting.halted and self._on_halt is not None:
            on_halt, self._on_halt = self._on_halt, None
            on_halt(str(self.channel))

    async def _run_events(self) -> None:
        while True:
            await self._event_arrived.wait()
            self._event_arrived.clear()
            await self._deliver_due()

    async def _deliver_due(self) -> None:
        async with self._telling:
            while self._events and self._events[0][0] <= self._delivered:
                await self._deliver_event(self._events.popleft()[1])


class MarketInbox(Inbox):
    """A ring of tickers or trades, and the events about them.

    Parameters
    ----------
    channel, kind
        The channel, and the struct's class that its ring holds.
    capacity, overflow
        Of the ring. What it loses is reported.
    deliver
        The hook of the channel.
    deliver_event
        A coroutine function that calls the hook of an event; it does not raise.
    failed
        As of `Dispatcher`.
    on_halt
        Called once with the channel's name when a ring that halts is full.
    """

    def __init__(
        self,
        channel: Channel,
        kind: type,
        capacity: int,
        deliver: Hook,
        deliver_event: Deliver,
        *,
        overflow: str = "drop_oldest",
        failed: Callable[[], None] | None = None,
        on_halt: Callable[[str], None] | None = None,
    ) -> None:
        self.ring: Ring[Any] = Ring(kind, capacity, overflow)  # type: ignore[arg-type]
        super().__init__(channel, self.ring, deliver, deliver_event, failed, on_halt)
        self._done = 0  # the position before which everything was delivered, or reported
        self._ours = 0  # how many messages we took; what somebody else took is no loss
        self._theirs = 0
        self._dropped = 0  # of what the ring refused, what was reported
        self._mark = 0  # the position of the next message to come, when we last looked
        self._task: asyncio.Task[Any] | None = None  # the one that the hooks run in

    @property
    def _delivered(self) -> int:
        return self._done

    def hook_called_ns(self) -> int:
        """When the hook was called that is asking; 0 outside of one."""
        return self.ring.calledNs if self._task is not None and asyncio.current_task() is self._task else 0

    async def _run_ring(self) -> None:
        ring = self.ring
        self._task = asyncio.current_task()
        while True:
            await ring.wait()
            await self._report_losses()
            end = self._done + BATCH
            ends_ns = time.monotonic_ns() + BUDGET_NS
            while True:
                await self._report_losses()
                if self._events or self._telling.locked():
                    await self._deliver_due()
                left = end - self._done
                if left <= 0 or ring.empty() or time.monotonic_ns() >= ends_ns:
                    break
                # Stops at the next event, and at whatever gave way meanwhile: that must be told first.
                until = self._events[0][0] if self._events else None
                await self.dispatcher.some(left, until=until, since=self._done)
                if ring.reached > self._done:
                    self._ours += ring.reached - self._done
                    self._done = ring.reached
            await asyncio.sleep(0)

    async def _report_losses(self) -> None:
        ring = self.ring
        position, stats = ring.position, ring.stats
        theirs = stats["popped"] - self._ours
        missing, self._done = position - self._done - (theirs - self._theirs), position
        self._theirs = theirs
        if ring.overflow in GIVES_WAY:
            # A position that nobody took has given way: told before what follows it.
            if missing > 0:
                await self._deliver_event(self._gap(missing))
        elif stats["dropped"] > self._dropped:
            # Refused since we last looked, when `_mark` was the next position: no message after the hole comes first.
            lost, self._dropped = stats["dropped"] - self._dropped, stats["dropped"]
            place = next((n for n, (at, _) in enumerate(self._events) if at > self._mark), len(self._events))
            self._events.insert(place, (self._mark, self._gap(lost)))
            self._tell_halt()
        if ring.overflow not in GIVES_WAY:
            self._mark = ring.mark()


class TakesEvents(Protocol):
    """What has a place for events about its data."""

    def put_event(self, event: Event) -> None:
        """Take in an event."""


class EventInlet:
    """Routes events to the inbox of their channel; has what an `event_queue` must have."""

    def __init__(self, inboxes: Mapping[Channel, TakesEvents], other: Callable[[Event], None]) -> None:
        self._inboxes = inboxes
        self._other = other

    def put_nowait(self, event: Event) -> None:
        """Take in an event."""
        inbox = self._inboxes.get(event.channel)
        if inbox is None:
            self._other(event)
        else:
            inbox.put_event(event)


class GatewayBatch(list[MyOrder]):
    """A gateway's full list of live orders; a plain list is an account's, from a stream of the service's own."""


class OrderInlet:
    """Stands before a private queue for what comes from gateways: lets through what the service is to see.

    Parameters
    ----------
    queue
        Where to.
    is_ours
        Whether an order or a fill is the service's to see.
    """

    def __init__(self, queue: Any, is_ours: Callable[[object], bool]) -> None:
        self._queue = queue
        self._is_ours = is_ours

    def put_nowait(self, item: Any) -> None:
        """Take in an order, a fill, or a list of orders."""
        if isinstance(item, list):
            self._queue.put_nowait(GatewayBatch(filter(self._is_ours, item)))
        elif self._is_ours(item):
            self._queue.put_nowait(item)


class QueueInlet:
    """A service's queues without its hooks: transports put events into `event_queue`, which keeps their place.

    A stream of the service's own tells of its whole account; a gateway (`is_ours` given) of the orders of many.
    """

    def __init__(self, service: object, is_ours: Callable[[object], bool] | None = None) -> None:
        for name in ("ticker", "trade", "book", "kline", "funding", "my_order", "my_order_batch", "my_trade", "event"):
            queue = getattr(service, f"{name}_queue")
            if is_ours is not None and name.startswith("my_"):
                queue = OrderInlet(queue, is_ours)
            setattr(self, f"{name}_queue", queue)


def report_event(event: Event, process_id: str, counters: dict[str, int], limited: LimitedLog) -> None:
    """Count and log an event about the data."""
    match event:
        case Gap():
            counters["gaps"] += 1
            counters["lost"] += event.lost or 0
            limited.log(
                logging.WARNING, f"gap {event.channel}", "%s: gap on %s %s %s: %s, lost %s (%s)", process_id,
                event.exchange, event.channel, event.symbol or "all", event.reason,
                "unknown" if event.lost is None else event.lost, event.source,
            )  # fmt: skip
        case Stale():
            counters["stale"] += 1
            limited.log(
                logging.WARNING, f"stale {event.channel}", "%s: %s %s %s silent for %.1f s", process_id,
                event.exchange, event.channel, event.symbol or "all", event.silent_s,
            )  # fmt: skip
        case Reconnected():
            counters["reconnects"] += 1
            limited.log(
                logging.INFO, f"back {event.channel}", "%s: %s %s is back after %.1f s", process_id, event.exchange,
                event.channel, event.down_s,
            )  # fmt: skip


class PrivateQueue(ObjectRing[Item]):
    """A ring of events of our own account. They are never dropped in silence: `on_full` is told, then the transport.

    Parameters
    ----------
    name, capacity
        The queue's name; how many events may wait.
    on_full
        Called with the name when an event finds no room. The ring takes no other one after it until `reset`.
    """

    def __init__(self, name: str, capacity: int, on_full: Callable[[str], None]) -> None:
        super().__init__(capacity, "halt")
        self.name = name
        self._on_full = on_full

    def put_nowait(self, item: Item) -> bool:
        """Take in an event.

        Raises
        ------
        asyncio.QueueFull
            If there is no room, or was none for an earlier one.
        """
        try:
            return super().put_nowait(item)
        except asyncio.QueueFull:
            self._on_full(self.name)
            raise

    @property
    def summary(self) -> dict[str, int]:
        """How many events wait, and how many found no room."""
        return {"waiting": self.qsize(), "dropped": self.stats["dropped"], "capacity": self.capacity}
