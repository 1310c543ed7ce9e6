"""The monotonic clock of another host, as far as its frames tell. No clock here: every call is given the time."""

from collections import OrderedDict

WINDOW_US = 30_000_000
_LIVES = 8


class _Offset:
    """The least difference of the last one to two windows."""

    __slots__ = ("before", "began_us", "least")

    def __init__(self, now_us: int, offset: int) -> None:
        self.began_us = now_us
        self.least = self.before = offset

    def observe(self, now_us: int, offset: int) -> None:
        age_us = now_us - self.began_us
        if age_us >= WINDOW_US:
            # What is older than the window before this one says nothing any more: clocks drift.
            self.before = self.least if age_us < 2 * WINDOW_US else offset
            self.least = offset
            self.began_us = now_us
        self.least = min(self.least, offset)

    def get(self) -> int:
        return min(self.least, self.before)


class ForeignClock:
    """Times of another host's CLOCK_MONOTONIC, moved to ours.

    A frame that says when it was sent arrives later than that, by our clock, by the difference of the clocks and its
    time on the way. The least of these of the last half to one minute is taken for the difference: it is too large by
    what the quickest of those frames took, never too small while the clocks run alike. So a deadline of the sender is
    at most so much later here, and a frame that was held up on the way is known to be late. Windows follow clocks that
    drift; each life of a sender has its own difference, since its host may have been started again.

    Thread safety: one thread at a time.
    """

    def __init__(self) -> None:
        self._lives: OrderedDict[str, _Offset] = OrderedDict()

    def observe(self, boot: str, now: float, sent_us: int) -> None:
        """A frame of this life that was sent at `sent_us` (µs of its clock) has arrived now (s of ours)."""
        now_us = int(now * 1e6)
        offset = now_us - sent_us
        known = self._lives.get(boot)
        if known is not None:
            known.observe(now_us, offset)
            return
        self._lives[boot] = _Offset(now_us, offset)
        if len(self._lives) > _LIVES:
            self._lives.popitem(last=False)

    def to_local_us(self, boot: str, foreign_us: int) -> int | None:
        """A time of this life in µs of our clock; None of a life that never said its time."""
        known = self._lives.get(boot)
        return None if known is None else foreign_us + known.get()
