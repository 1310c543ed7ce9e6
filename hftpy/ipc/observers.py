"""What observers are given: values into the queue of their channel, events about the data beside it."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hftcore.enums import Channel
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.log import LimitedLog
from hftpy.errors import ObserverError

logger = logging.getLogger(__name__)

PRIVATE_CHANNELS = frozenset(
    {Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE, Channel.BALANCE, Channel.POSITION}
)
# By the channel's number, and by name: an enum's text and hash are Python calls.
_LABELS = [str(Channel(number)) if number in set(Channel) else "" for number in range(max(Channel) + 1)]
_PRIVATE_LABELS = frozenset(str(channel) for channel in PRIVATE_CHANNELS)
_HOOKS = {Gap: "on_gap", Stale: "on_stale", Reconnected: "on_reconnected"}


class _Asked:
    """An asyncio.Queue that answers False where it is full.

    Raising and catching QueueFull takes longer than a put that succeeds: a full queue would slow down all the others.
    """

    __slots__ = ("_full", "_put")

    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._full = queue.full
        self._put = queue.put_nowait

    def put_nowait(self, value: Any) -> bool:
        if self._full():
            return False
        self._put(value)
        return True


def _target(queue: Any) -> Any:
    """What to put into: the queue, unless it is an asyncio.Queue without a policy of its own."""
    return _Asked(queue) if getattr(type(queue), "put_nowait", None) is asyncio.Queue.put_nowait else queue


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
        self._puts: dict[Channel, list[tuple[object, Callable[[Any], object]]]] = {}
        self._listeners: list[Callable[[], object]] = []
        self._tasks: set[asyncio.Future[Any]] = set()
        self._log = LimitedLog(logger)
        self.queue_full: Counter[str] = Counter()
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
        self._puts = {
            channel: [(observer, queue.put_nowait) for observer, queue in self.queues(channel)]
            for channel in self._channels
        }
        for listener in self._listeners:
            listener()

    def on_refresh(self, listener: Callable[[], object]) -> None:
        """Call `listener` whenever the queues were looked up again, for whoever delivers to them without `put`."""
        self._listeners.append(listener)

    def queues(self, channel: Channel) -> list[tuple[object, Any]]:
        """Each observer with its queue of the channel, or what stands before that queue."""
        return [(observer, _target(getattr(observer, f"{channel}_queue"))) for observer in self._observers]

    def _check(self, observer: object) -> None:
        for channel in self._channels:
            queue = getattr(observer, f"{channel}_queue", None)
            if not callable(getattr(queue, "put_nowait", None)):
                raise ObserverError(f"{type(observer).__name__} needs a queue {channel}_queue, was {queue!r}")

    def put(self, channel: Channel, value: Any, on_full: Callable[[], Gap]) -> None:
        """Put a value into every observer's queue of the channel; `on_full` describes the loss of a private one."""
        for observer, put_nowait in self._puts[channel]:
            try:
                accepted = put_nowait(value) is not False
            except asyncio.QueueFull:
                accepted = False
            except Exception:  # noqa: BLE001 - it is logged, and must not reach the other observers
                self.put_failed(channel, observer)
                continue
            if not accepted:
                self.put_refused(channel, observer, on_full)

    def put_failed(self, channel: Channel, observer: object) -> None:
        """Log the exception that a queue has just raised."""
        self.failed += 1
        self._log.warning("put", "%s.%s_queue failed", type(observer).__name__, channel, exc_info=True)

    def put_refused(self, channel: Channel, observer: object, on_full: Callable[[], Gap], count: int = 1) -> None:
        """Count, and tell, that a queue was full for so many values; `on_full` as for `put`."""
        # The short way for market data: it is taken for every message while an observer does not keep up.
        label = _LABELS[channel]
        before = self.queue_full[label]
        self.queue_full[label] = before + count
        if label in _PRIVATE_LABELS:
            # Whoever misses one of its own orders must know: each is logged, and told as a gap.
            name = type(observer).__name__
            logger.error("%s.%s_queue is full: an event of our own account was dropped", name, channel)
            self._tell(observer, on_full())
        elif before == 0 or (before + count) // 16 != before // 16:
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
            self.queue_full["event"] += 1
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
