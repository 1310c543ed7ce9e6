"""Commands that wait a short while for their target to join. No sockets here."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class Held(NamedTuple):
    """A command that waits: until when, for whom, and what is sent."""

    deadline: float
    target_id: str
    topic: bytes
    frame: bytes


class Outbox:
    """A bounded queue of held commands, oldest first.

    Parameters
    ----------
    hold_s
        How long a command waits: a late order command is worse than a lost one.
    capacity
        How many may wait; a further one is refused.
    """

    def __init__(self, hold_s: float, capacity: int) -> None:
        self._hold_s = hold_s
        self._capacity = capacity
        self._held: deque[Held] = deque()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def next_deadline(self) -> float | None:
        """When the oldest one is dropped."""
        return self._held[0].deadline if self._held else None

    def hold(self, now: float, target_id: str, topic: bytes, frame: bytes) -> bool:
        """Keep a command; returns False if there is no room."""
        if len(self._held) >= self._capacity:
            return False
        self._held.append(Held(now + self._hold_s, target_id, topic, frame))
        return True

    def take_expired(self, now: float) -> list[Held]:
        """Those whose time is over."""
        expired = []
        while self._held and self._held[0].deadline <= now:
            expired.append(self._held.popleft())
        return expired

    def take(self, has_joined: Callable[[str, bytes], bool]) -> list[Held]:
        """Those whose target has joined, in the order in which they were sent."""
        ready: list[Held] = []
        waiting: deque[Held] = deque()
        for held in self._held:
            (ready if has_joined(held.target_id, held.topic) else waiting).append(held)
        self._held = waiting
        return ready

    def clear(self) -> list[Held]:
        """All of them."""
        left = list(self._held)
        self._held.clear()
        return left
