"""Between transports and hooks: one ring per market channel, with events about the data kept in their place.

A gap is delivered after everything that arrived before it and before everything that arrived after it. What a ring
drops because the hooks are too slow is reported as a gap of source ``ring``.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hftcore.ring import Ring
from hftpy.common import Channel, Exchange, Gap, MyOrder, Reconnected, Stale
from hftpy.common.log import LimitedLog

Event = Gap | Stale | Reconnected
Deliver = Callable[[Any], Awaitable[None]]
Item = TypeVar("Item")

BATCH = 256
MAX_EVENTS = 4096


class MarketInbox:
    """A ring of one channel and the events of that channel.

    Parameters
    ----------
    channel, kind
        The channel, and the struct's class that its ring holds.
    capacity
        Of the ring; when it is full the oldest entry is dropped and reported.
    deliver, deliver_event
        Coroutine functions that call the hooks; they do not raise.
    """

    def __init__(self, channel: Channel, kind: type, capacity: int, deliver: Deliver, deliver_event: Deliver) -> None:
        self.channel = channel
        self.ring: Ring[Any] = Ring(kind, capacity, "drop_oldest")
        self.events_dropped = 0
        self._deliver = deliver
        self._deliver_event = deliver_event
        self._events: deque[tuple[int, Event]] = deque()
        self._event_arrived = asyncio.Event()
        self._telling = asyncio.Lock()  # a hook of an event ends before the next message is delivered
        self._done = 0  # messages that were delivered or dropped
        self._reported = 0

    def put_event(self, event: Event) -> None:
        """Take in an event; when there are too many the oldest is dropped and counted."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.events_dropped += 1
        self._events.append((self.ring.stats["pushed"], event))
        self._event_arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_ring(), name=f"{self.channel}s")
            group.create_task(self._run_events(), name=f"{self.channel} events")

    async def _run_ring(self) -> None:
        ring = self.ring
        while True:
            await ring.wait()
            stats = ring.stats
            if stats["dropped"] > self._reported:
                lost, self._reported = stats["dropped"] - self._reported, stats["dropped"]
                await self._deliver_event(
                    Gap(
                        exchange=Exchange.UNKNOWN,
                        channel=self.channel,
                        symbol=None,
                        reason="the hooks are too slow",
                        lost=lost,
                        source="ring",
                        timestamp=time.time_ns() // 1000,
                    )
                )
                stats = ring.stats
            self._done = stats["pushed"] - ring.qsize()
            for item in ring.get_batch(BATCH):
                if self._events or self._telling.locked():
                    await self._deliver_due()
                await self._deliver(item)
                self._done += 1
            await self._deliver_due()
            await asyncio.sleep(0)  # a flood must not starve commands and timers

    async def _run_events(self) -> None:
        while True:
            await self._event_arrived.wait()
            self._event_arrived.clear()
            await self._deliver_due()

    async def _deliver_due(self) -> None:
        async with self._telling:
            while self._events and self._events[0][0] <= self._done:
                await self._deliver_event(self._events.popleft()[1])


class EventInlet:
    """Routes events to the inbox of their channel; has what an `event_queue` must have."""

    def __init__(self, inboxes: dict[Channel, MarketInbox], other: Callable[[Event], None]) -> None:
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

    def __init__(self, queue: asyncio.Queue[Any], is_ours: Callable[[object], bool]) -> None:
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
        for name in ("ticker", "trade", "my_order", "my_order_batch", "my_trade", "event"):
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


class PrivateQueue(asyncio.Queue[Item]):
    """A queue of events of our own account. They are never dropped in silence: `on_full` is told, then the transport.

    Parameters
    ----------
    name, capacity
        The queue's name; how many events may wait.
    on_full
        Called with the name when an event finds no room.
    """

    def __init__(self, name: str, capacity: int, on_full: Callable[[str], None]) -> None:
        super().__init__(capacity)
        self.name = name
        self.dropped = 0
        self._on_full = on_full

    def put_nowait(self, item: Item) -> None:
        """Take in an event.

        Raises
        ------
        asyncio.QueueFull
            If there is no room.
        """
        if self.full():
            self.dropped += 1
            self._on_full(self.name)
        super().put_nowait(item)

    @property
    def stats(self) -> dict[str, int]:
        """How many events wait, and how many found no room."""
        return {"waiting": self.qsize(), "dropped": self.dropped, "capacity": self.maxsize}
