"""The ring as it should behave, slow and obvious: the oracle of the random tests."""

from collections.abc import Callable, Hashable
from typing import Any


class Halted(Exception):
    """The model's word for asyncio.QueueFull with halt."""


class Full(Exception):
    """The model's word for asyncio.QueueFull with block."""


class RingModel:
    """A list and a few counters. `key` tells what an item is the latest of, for conflate."""

    def __init__(self, capacity: int, overflow: str, key: Callable[[Any], Hashable] | None = None) -> None:
        self.items: list[Any] = []
        self.capacity = capacity
        self.overflow = overflow
        self.key = key
        self.halted = False
        self.closed = False
        self.pushed = 0
        self.popped = 0
        self.dropped = 0
        self.conflated = 0
        self.high_water = 0
        self.position = 0
        self.marked = 0

    def put(self, item: Any) -> bool:
        if self.closed or self.halted:
            self.dropped += 1
            if self.closed:
                return False
            raise Halted
        if self.overflow == "conflate":
            assert self.key is not None
            for place in range(max(self.marked - self.position, 0), len(self.items)):
                if self.key(self.items[place]) == self.key(item):
                    self.items[place] = item
                    self.pushed += 1
                    self.conflated += 1
                    return True
        if len(self.items) == self.capacity:
            if self.overflow == "block":
                raise Full
            self.dropped += 1
            if self.overflow == "drop_newest":
                return False
            if self.overflow == "halt":
                self.halted = True
                raise Halted
            del self.items[0]
            self.position += 1
        self.items.append(item)
        self.pushed += 1
        self.high_water = max(self.high_water, len(self.items))
        return True

    def take(self, limit: int, until: int | None = None) -> list[Any]:
        if until is not None:
            limit = max(min(limit, until - self.position), 0)
        taken, self.items = self.items[:limit], self.items[limit:]
        self.popped += len(taken)
        self.position += len(taken)
        return taken

    def mark(self) -> int:
        self.marked = self.position + len(self.items)
        return self.marked

    @property
    def stats(self) -> dict[str, int]:
        return {
            "pushed": self.pushed,
            "popped": self.popped,
            "dropped": self.dropped,
            "conflated": self.conflated,
            "high_water": self.high_water,
            "capacity": self.capacity,
        }
