"""Which messages of a publisher a subscriber has missed. No sockets here.

Each topic counts from 1 within an epoch of its publisher. A joiner is sent a Hello (the last seq of each topic) and,
marked as resent, the last value of each of its topics; the two may come in either order, and messages may stand
between them. Rules:

- The first message of a topic is measured against the Hello; a resent value starts the topic instead, since whatever
  stood between the Hello and it was sent before the subscriber had joined.
- A Hello on a later connection shows what was lost while there was none, up to the value that is about to be resent.
- A heartbeat shows what is missing at the tail.
- A higher epoch, or a Hello of another one, is a new publisher: everything starts anew.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Verdict(NamedTuple):
    """What a message means: whether to deliver it, how many before it are lost, whether its publisher is new."""

    deliver: bool
    lost: int
    restarted: bool


class Missing(NamedTuple):
    """What a Hello or a heartbeat showed: whether the publisher is new, and how many of which topics are lost."""

    restarted: bool
    lost: list[tuple[bytes, int]]


_NEXT = Verdict(True, 0, False)
_OLD = Verdict(False, 0, False)


class SequenceTracker:
    """Follows the sequence numbers of one publisher.

    Parameters
    ----------
    wanted
        Says which topics are subscribed; a Hello and a heartbeat name others too.
    """

    def __init__(self, wanted: Callable[[bytes], bool]) -> None:
        self._wanted = wanted
        self._greeted = False
        self._baseline: dict[bytes, int] = {}  # from a Hello or a heartbeat; no message seen yet
        self.epoch = 0
        self.last: dict[bytes, int] = {}

    def on_message(self, topic: bytes, epoch: int, seq: int, resent: bool) -> Verdict:
        """Take a message's number; one without (0) is always delivered."""
        last = self.last.get(topic)
        if epoch == self.epoch and last is not None and seq == last + 1:
            self.last[topic] = seq
            return _NEXT
        if not seq:
            return _NEXT
        if epoch < self.epoch:
            return _OLD
        restarted = self._follow(epoch)
        last = self.last.get(topic)
        lost = 0
        if last is not None:
            if seq <= last:
                return _OLD
            lost = seq - last - 1
        elif not resent:
            baseline = self._baseline.get(topic, 0 if self._greeted else None)
            lost = 0 if baseline is None else max(0, seq - baseline - 1)
        self._baseline.pop(topic, None)
        self.last[topic] = seq
        return Verdict(True, lost, restarted)

    def on_hello(self, epoch: int, topics: Iterable[tuple[bytes, int]]) -> Missing:
        """Take the state that the publisher sends to a joiner."""
        restarted = self._follow(epoch)
        self._greeted = True
        missing = []
        for topic, seq in topics:
            if not self._wanted(topic):
                continue
            last = self.last.get(topic)
            if last is None:
                self._baseline[topic] = seq
            elif seq > last:
                # The value `seq` itself is resent, or is found missing by what follows.
                self.last[topic] = seq - 1
                if seq - last > 1:
                    missing.append((topic, seq - last - 1))
        return Missing(restarted, missing)

    def on_heartbeat(self, epoch: int, topics: Iterable[tuple[bytes, int]]) -> Missing:
        """Take the last numbers that the publisher has sent."""
        if epoch < self.epoch:
            return Missing(False, [])
        restarted = self._follow(epoch)
        missing = []
        for topic, seq in topics:
            if not self._wanted(topic):
                continue
            last = self.last.get(topic)
            if last is not None:
                if seq > last:
                    self.last[topic] = seq
                    missing.append((topic, seq - last))
                continue
            baseline = self._baseline.get(topic, 0 if self._greeted else None)
            self._baseline[topic] = seq
            if baseline is not None and seq > baseline:
                missing.append((topic, seq - baseline))
        return Missing(restarted, missing)

    def _follow(self, epoch: int) -> bool:
        if epoch == self.epoch:
            return False
        restarted = self.epoch != 0
        self.epoch = epoch
        self._greeted = False
        self._baseline.clear()
        self.last.clear()
        return restarted
