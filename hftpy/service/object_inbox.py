"""Between streams of objects (books, klines, funding) and their hooks: a ring, with events kept in their place.

As `hftpy.service.inbox.MarketInbox`, for objects: a gap is told after everything that arrived before it and before
everything that arrived after it. What the ring loses because the hook is too slow is told as a gap of source ``ring``.
With ``conflate`` a newer book replaces its symbol's older one, which is no loss, but never one from before a gap.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from hftcore.object_ring import ObjectRing
from hftpy.common import Channel, Exchange
from hftpy.service.inbox import BATCH, BUDGET_NS, Deliver, Hook, Inbox

OBJECT_CAPACITY = 16_384


def _key_of(item: Any) -> tuple[Exchange, str]:
    return item.exchange, item.symbol


class ObjectInbox(Inbox):
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
        deliver_event: Deliver,
        *,
        counters: dict[str, int],
        failed: Callable[[], None],
        on_halt: Callable[[str], None],
    ) -> None:
        key = _key_of if overflow == "conflate" else None
        self.ring: ObjectRing[Any] = ObjectRing(capacity, overflow, key=key)  # type: ignore[arg-type]
        super().__init__(channel, self.ring, deliver, deliver_event, failed, on_halt)
        self._counters = counters
        self._counter = f"{channel}s"
        self._lost = 0  # what was reported

    @property
    def _delivered(self) -> int:
        return self.ring.position

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
                await self.dispatcher.some(left, until=self._events[0][0] if self._events else None)
                self._counters[self._counter] = ring.stats["popped"]
            await asyncio.sleep(0)

    async def _report_losses(self) -> None:
        lost = self.ring.stats["dropped"]
        if lost > self._lost:
            missing, self._lost = lost - self._lost, lost
            await self._deliver_event(self._gap(missing))
            self._tell_halt()
