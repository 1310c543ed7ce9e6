"""Where a stream's items go: the observers' queues, and the counters of each channel."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hftcore.enums import Channel
from hftpy.common.log import LimitedLog

logger = logging.getLogger("hftpy.exchange")


@dataclass(slots=True)
class ChannelStats:
    """Counters of one channel."""

    frames: int = 0
    events: int = 0
    parse_errors: int = 0
    callback_errors: int = 0
    reconnects: int = 0
    gaps: int = 0
    stale: int = 0
    refused: int = 0
    duplicates: int = 0
    outdated: int = 0
    unwanted: int = 0
    waiting: int = 0  # updates of no use, since their book waited for a snapshot
    held: int = 0  # updates that were kept for a snapshot
    resyncs: int = 0  # snapshots that were asked for again
    connected: bool = False
    dropped: list[int] = field(default_factory=list)
    latency: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, counts: Mapping[str, int]) -> None:
        """Add counters of the same names."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Deliverer:
    """Looks like a queue; hands each item to a stream's own `deliver`."""

    def __init__(self, channel: Channel, deliver: Callable[[Channel, Any], Any]) -> None:
        self._channel = channel
        self._deliver = deliver

    def put_nowait(self, item: Any) -> None:
        """Deliver it."""
        self._deliver(self._channel, item)


class Sink:
    """One observer's queue of one channel; what it cannot take is counted here and touches nobody else."""

    __slots__ = ("_asked", "_log", "dropped", "name", "put", "queue")

    def __init__(self, name: str, queue: Any) -> None:
        self.name = name
        self.queue = queue
        # One that says itself what it does when it is full is not asked.
        self._asked = getattr(type(queue), "put_nowait", None) is asyncio.Queue.put_nowait
        self.put: Callable[[Any], Any] = self.put_nowait if self._asked else queue.put_nowait
        self.dropped = 0
        self._log = LimitedLog(logger)

    @property
    def target(self) -> Any:
        """What a native feed puts into: the queue itself, or this sink where it asks the queue first."""
        return self if self._asked else self.queue

    def put_nowait(self, item: Any) -> None:
        """Put into an asyncio.Queue that has room, else count.

        Asked first, since raising and catching QueueFull takes longer than a put that succeeds: a full queue would
        slow down all the others.
        """
        if not self.queue.full():
            self.queue.put_nowait(item)
            return
        self.dropped += 1
        # Looking at the clock for the log would again take longer than a put.
        if self.dropped % 16 == 1:
            self._log.warning("dropped", "%s is full; %d items dropped so far", self.name, self.dropped)

    def failed(self, error: Exception) -> None:
        """Count an item that the queue did not take."""
        self.dropped += 1
        reason = "is full" if isinstance(error, asyncio.QueueFull) else f"failed: {type(error).__name__}: {error}"
        self._log.warning("dropped", f"{self.name} {reason}; {self.dropped} items dropped so far")
