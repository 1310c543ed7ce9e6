"""Between streams of objects (books, klines, funding) and their hooks: a ring, with events kept in their place.

As `hftpy.service.inbox.MarketInbox`, for objects: a gap is told after everything that arrived before it and before
everything that arrived after it. What the ring loses because the hook is too slow is told as a gap of source ``ring``.
With ``conflate`` a newer book replaces its symbol's older one, which is no loss, but never one from before a gap.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from hftcore.object_ring import ObjectRing
from hftpy.common import Channel, Exchange, Gap
from hftpy.service.inbox import BATCH, BUDGET_NS, MAX_EVENTS, Dispatcher, Event, Hook

OBJECT_CAPACITY = 16_384


def _key_of(item: Any) -> tuple[Exchange, str]:
    return item.exchange, item.symbol


class ObjectInbox:
    """A ring of one channel's objects and the events about them.

    Parameters
    ----------
    channel
        What it carries.
    capacity, overflow
        Of the ring.
    deliver
        The hook.
    deliver_event
        A coroutine function that calls the hook of an event; it does not raise.
    counters
        Where what was delivered is counted, as the channel's name in the plural.
    failed
        Called while an exception of the hook is handled.
    on_halt
        Called once with the channel's name when a ring that halts is full.
    """

    def __init__(
        self,
        channel: Channel,
        capacity: int,
        overflow: str,
        deliver: Hook,
        deliver_event: Callable[[Any], Awaitable[None]],
        *,
        counters: dict[str, int],
        failed: Callable[[], None],
        on_halt: Callable[[str], None],
    ) -> None:
        key = _key_of if overflow == "conflate" else None
        self.channel = channel
        self.ring: ObjectRing[Any] = ObjectRing(capacity, overflow, key=key)  # type: ignore[arg-type]
        self._counters = counters
        self._counter = f"{channel}s"
        self.events_dropped = 0
        self.clock_ns: Callable[[], int] = time.time_ns
        self._dispatcher = Dispatcher(self.ring, deliver, failed)
        self._deliver_event = deliver_event
        self._on_halt: Callable[[str], None] | None = on_halt
        self._events: deque[tuple[int, Event]] = deque()
        self._event_arrived = asyncio.Event()
        self._telling = asyncio.Lock()  # a hook of an event ends before the next object is delivered
        self._lost = 0  # what was reported

    @property
    def idle(self) -> bool:
        """Whether nothing waits, neither object nor event."""
        return self.ring.empty() and not self._events and not self._telling.locked()

    def put_event(self, event: Event) -> None:
        """Take in an event; when there are too many the oldest is dropped and counted."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.events_dropped += 1
        self._events.append((self.ring.mark(), event))
        self._event_arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_ring(), name=self._counter)
            group.create_task(self._run_events(), name=f"{self.channel} events")

    async def _run_ring(self) -> None:
        ring = self.ring
        while True:
            await ring.wait()
            end = ring.position + BATCH
            ends_ns = time.monotonic_ns() + BUDGET_NS
            while True:
                await self._report_losses()
                if self._events or self._telling.locked():
                    await self._deliver_due()
                left = end - ring.position
                if left <= 0 or ring.empty() or time.monotonic_ns() >= ends_ns:
                    break
                await self._dispatcher.some(left, until=self._events[0][0] if self._events else None)
                self._counters[self._counter] = ring.stats["popped"]
            await asyncio.sleep(0)

    async def _report_losses(self) -> None:
        lost = self.ring.stats["dropped"]
        if lost > self._lost:
            missing, self._lost = lost - self._lost, lost
            await self._deliver_event(
                Gap(
                    exchange=Exchange.UNKNOWN,
                    channel=self.channel,
                    symbol=None,
                    reason="the hooks are too slow",
                    lost=missing,
                    source="ring",
                    timestamp=self.clock_ns() // 1000,
                )
            )
            if self.ring.halted and self._on_halt is not None:
                on_halt, self._on_halt = self._on_halt, None
                on_halt(str(self.channel))

    async def _run_events(self) -> None:
        while True:
            await self._event_arrived.wait()
            self._event_arrived.clear()
            await self._deliver_due()

    async def _deliver_due(self) -> None:
        async with self._telling:
            while self._events and self._events[0][0] <= self.ring.position:
                await self._deliver_event(self._events.popleft()[1])
