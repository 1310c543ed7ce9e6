"""What observers are given: values into the queue of their channel, events about the data beside it."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from hftcore.delivery import Delivery
from hftcore.enums import Channel
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.log import LimitedLog
from hftpy.errors import ObserverError

logger = logging.getLogger(__name__)

PRIVATE_CHANNELS = frozenset(
    {Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE, Channel.BALANCE, Channel.POSITION}
)
_HOOKS = {Gap: "on_gap", Stale: "on_stale", Reconnected: "on_reconnected"}


# How many refused values of market data may wait to be counted and logged, beyond the first: `stats` asks for them, and
# so does a subscriber once a second.
_TELL_EVERY = 1024
_KINDS: dict[Channel, type[Ticker] | type[Trade]] = {Channel.TICKER: Ticker, Channel.TRADE: Trade}


class Observers:
    """The observers of one subscriber. One whose queue is full, or whose hook fails, never affects another.

    Parameters
    ----------
    channels
        The channels whose queues an observer must have.
    """

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._channels = sorted(set(channels))
        self._observers: list[object] = []
        self._deliveries = {channel: self.delivery(channel) for channel in self._channels}
        self._listeners: list[Callable[[], object]] = []
        self._tasks: set[asyncio.Future[Any]] = set()
        self._log = LimitedLog(logger)
        self._queue_full: Counter[str] = Counter()
        self.failed = 0

    def bind(self, observer: object) -> None:
        """Add an observer.

        Raises
        ------
        ObserverError
            If it lacks the queue of a channel.
        """
        self._check(observer)
        if not any(bound is observer for bound in self._observers):
            self._observers.append(observer)
        self.refresh()

    def refresh(self) -> None:
        """Look the queues up again. Raises as `bind`."""
        for observer in self._observers:
            self._check(observer)
        for channel, delivery in self._deliveries.items():
            delivery.bind(self.queues(channel))
        for listener in self._listeners:
            listener()

    def on_refresh(self, listener: Callable[[], object]) -> None:
        """Call `listener` whenever the queues were looked up again, for whoever delivers to them without `put`."""
        self._listeners.append(listener)

    def queues(self, channel: Channel) -> list[tuple[object, Any]]:
        """Each observer with its queue of the channel."""
        return [(observer, getattr(observer, f"{channel}_queue")) for observer in self._observers]

    def delivery(self, channel: Channel) -> Delivery:
        """What gives values of a channel to queues; to be bound to `queues`, now and `on_refresh`."""
        return Delivery(
            _KINDS.get(channel), partial(self.put_failed, channel), 1 if channel in PRIVATE_CHANNELS else _TELL_EVERY
        )

    @property
    def queue_full(self) -> Counter[str]:
        """How many values were refused by full queues, by channel."""
        self.count_refused()
        return self._queue_full

    def count_refused(self) -> None:
        """Count and log what queues have refused and nobody was told of yet."""
        for channel, delivery in self._deliveries.items():
            for observer, count in delivery.take_refused():
                self._count_refused(channel, observer, count)

    def _check(self, observer: object) -> None:
        for channel in self._channels:
            queue = getattr(observer, f"{channel}_queue", None)
            if not callable(getattr(queue, "put_nowait", None)):
                raise ObserverError(f"{type(observer).__name__} needs a queue {channel}_queue, was {queue!r}")

    def put(self, channel: Channel, value: Any, on_full: Callable[[], Gap]) -> None:
        """Put a value into every observer's queue of the channel; `on_full` describes the loss of a private one."""
        refused = self._deliveries[channel].put(value)
        if refused is not None:
            for observer, count in refused:
                self.put_refused(channel, observer, on_full, count)

    def put_failed(self, channel: Channel, observer: object) -> None:
        """Log the exception that a queue has just raised."""
        self.failed += 1
        self._log.warning("put", "%s.%s_queue failed", type(observer).__name__, channel, exc_info=True)

    def put_refused(self, channel: Channel, observer: object, on_full: Callable[[], Gap], count: int = 1) -> None:
        """Count, and tell, that a queue was full for so many values; `on_full` as for `put`."""
        if channel in PRIVATE_CHANNELS:
            # Whoever misses one of its own orders must know: each is logged, and told as a gap.
            self._queue_full[str(channel)] += count
            name = type(observer).__name__
            logger.error("%s.%s_queue is full: an event of our own account was dropped", name, channel)
            self._tell(observer, on_full())
        else:
            self._count_refused(channel, observer, count)

    def _count_refused(self, channel: Channel, observer: object, count: int) -> None:
        label = str(channel)
        self._queue_full[label] += count
        self._log.warning(f"full {label}", "%s.%s_queue is full: dropped", type(observer).__name__, label)

    def tell(self, event: Gap | Stale | Reconnected) -> None:
        """Give an event to the `event_queue`, else to the hook, of each observer that has one."""
        for observer in self._observers:
            self._tell(observer, event)

    def _tell(self, observer: object, event: Gap | Stale | Reconnected) -> None:
        queue = getattr(observer, "event_queue", None)
        hook = queue.put_nowait if queue is not None else getattr(observer, _HOOKS[type(event)], None)
        if hook is None:
            return
        try:
            result = hook(event)
        except asyncio.QueueFull:
            self._queue_full["event"] += 1
            logger.error("%s.event_queue is full: dropped %s", type(observer).__name__, event)
        except Exception:  # noqa: BLE001 - it is logged, and must not reach the other observers
            self.failed += 1
            self._log.warning("hook", "%s failed on %s", type(observer).__name__, event, exc_info=True)
        else:
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(result)
                self._tasks.add(task)
                task.add_done_callback(self._hook_done)

    def _hook_done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            logger.error("an observer's hook failed", exc_info=error)

    def close(self) -> None:
        """Cancel hooks that still run."""
        for task in self._tasks:
            task.cancel()
