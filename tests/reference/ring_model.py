"""The ring as it should behave, slow and obvious: the oracle of the random tests."""

from collections import deque
from typing import Any


class Halted(Exception):
    """The model's word for asyncio.QueueFull."""


class RingModel:
    """A deque and five counters."""

    def __init__(self, capacity: int, overflow: str) -> None:
        self.items: deque[Any] = deque()
        self.capacity = capacity
        self.overflow = overflow
        self.halted = False
        self.closed = False
        self.pushed = 0
        self.popped = 0
        self.dropped = 0
        self.high_water = 0

    def put(self, item: Any) -> bool:
        if self.closed:
            self.dropped += 1
            return False
        if len(self.items) == self.capacity:
            if self.overflow == "halt":
                self.halted = True
            elif self.overflow == "drop_newest":
                self.dropped += 1
                return False
            else:
                self.items.popleft()
                self.dropped += 1
        if self.halted:
            self.dropped += 1
            raise Halted
        self.items.append(item)
        self.pushed += 1
        self.high_water = max(self.high_water, len(self.items))
        return True

    def take(self, limit: int) -> list[Any]:
        taken = [self.items.popleft() for _ in range(min(limit, len(self.items)))]
        self.popped += len(taken)
        return taken

    @property
    def stats(self) -> dict[str, int]:
        return {
            "pushed": self.pushed,
            "popped": self.popped,
            "dropped": self.dropped,
            "high_water": self.high_water,
            "capacity": self.capacity,
        }
