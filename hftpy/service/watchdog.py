"""A thread that sees whether the event loop still turns.

A hook, handler or round that computes without an `await` stops everything else in its process. Nothing in the process
can interrupt that, but it is seen, and said where it is.

The loop writes the time into one attribute, four times per threshold; the thread looks at it as often. What is measured
costs nothing between.

A loop that stands because the whole process does not run (SIGSTOP, a debugger, a machine that is suspended or has no
time for it) has not stalled. The thread knows by itself: where it wakes late because a call holds Python's lock, it has
asked for that lock every few milliseconds, and each time slept; where the process did not run, it has not.
"""

import asyncio
import logging
import resource
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

LOOKS = 4  # per threshold
STACK_LIMIT = 20
LEAST_ASKED = 16  # times that the lock would have been asked for: below, nothing is concluded from how often it was
ASKED_SHARE = 8  # of those at least one in so many happens, however busy the machine is


_TELLS = sys.platform == "linux"


def _times_slept() -> int:
    """How often the calling thread has gone to sleep; -1 where the system does not tell."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if sys.platform == "linux" else -1


class LoopWatchdog:
    """Watches one event loop.

    Parameters
    ----------
    name
        The process's, for log lines.
    threshold_s
        How long the loop may not turn; 0: it is not watched.
    on_stall
        Called once per stall, from the watching thread, when the loop stands.
    on_lag
        Called on the loop at each beat with how late it came, ns.

    Attributes
    ----------
    stalls : int
        How often the loop stood for longer than the threshold.
    stalled : bool
        Whether it stands now.
    longest_s : float
        The longest of them that has ended.
    suspensions : int
        How often the process itself did not run for longer than that. On Linux; elsewhere these are stalls.
    suspended_s : float
        For how long, together.
    stack : list of str
        Where the loop's thread was at the last one that was seen while it lasted.

    Thread safety: `start` and `stop` on the loop; attributes may be read from any thread.
    """

    def __init__(
        self,
        name: str,
        threshold_s: float,
        on_stall: Callable[[], None] = lambda: None,
        on_lag: Callable[[int], None] = lambda lag_ns: None,
    ) -> None:
        self._name = name
        self._threshold_s = threshold_s
        self._period_s = threshold_s / LOOKS
        self._on_stall = on_stall
        self._on_lag = on_lag
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._watched = 0  # the loop's thread
        self._due = 0.0  # when the loop's next beat was to come
        self._reported = -1.0  # the beat that was missed, of the stall that was reported last
        self._late: deque[tuple[float, float]] = deque()  # beats: due, and come; the thread says what they are
        self._suspended: deque[tuple[float, float]] = deque(maxlen=16)  # when the process did not run
        self.suspensions = 0
        self.suspended_s = 0.0
        self.stalls = 0
        self.stalled = False
        self.longest_s = 0.0
        self.stack: list[str] = []

    def start(self) -> None:
        """Begin to watch the loop that runs."""
        if not self._threshold_s or self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._over.clear()
        self._set_timer()
        self._thread = threading.Thread(target=self._watch, name=f"{self._name} watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; the thread has ended."""
        if self._thread is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        self._thread.join()
        self._thread = None
        self.stalled = False

    def _set_timer(self) -> None:
        assert self._loop is not None
        self._due = time.monotonic() + self._period_s
        self._timer = self._loop.call_later(self._period_s, self._beat)

    def _beat(self) -> None:
        now, due = time.monotonic(), self._due
        late_s = max(0.0, now - due)
        self._on_lag(int(late_s * 1e9))
        if late_s > self._threshold_s:
            self._late.append((due, now))
        self.stalled = False
        self._set_timer()

    def _watch(self) -> None:
        slept = _times_slept()
        is_over = False
        while not is_over:
            wakes = time.monotonic() + self._period_s
            is_over = self._over.wait(self._period_s)
            now = time.monotonic()
            before, slept = slept, _times_slept()
            if now > wakes:
                self._overslept(wakes, now, slept - before)
            if not is_over:
                self._look(now, now - wakes)
            self._judge()

    def _overslept(self, wakes: float, now: float, slept: int) -> None:
        """This thread woke late, and slept so often meanwhile: did the process run?"""
        asked = (now - wakes) / sys.getswitchinterval()
        if not _TELLS or asked < LEAST_ASKED or slept >= asked / ASKED_SHARE:
            return
        self._suspended.append((wakes, now))
        if now - wakes > self._threshold_s:
            self.suspensions += 1
            self.suspended_s += now - wakes
            log.warning(
                "%s: the process did not run for %.2f s: it was stopped, or the machine had no time for it",
                self._name,
                now - wakes,
            )

    def _judge(self) -> None:
        """Count what the loop was late for while the process ran."""
        while self._late:
            due, came = self._late.popleft()
            stood_s = came - due - sum(max(0.0, min(came, end) - max(due, begin)) for begin, end in self._suspended)
            if self._reported == due:
                log.warning("%s: the event loop turns again, after %.2f s", self._name, stood_s)
            elif stood_s > self._threshold_s:
                log.warning(
                    "%s: the event loop stood for %.2f s; where is not known: %sa call held Python's lock",
                    self._name,
                    stood_s,
                    "" if _TELLS else "the process was stopped, or ",
                )
            else:
                continue
            self.stalls += 1
            self.longest_s = max(self.longest_s, stood_s)

    def _look(self, now: float, overslept_s: float) -> None:
        """Report a stall, if there is a new one. While this thread did not run either, nothing is known of the loop."""
        due = self._due
        if now - due - max(0.0, overslept_s) <= self._threshold_s or due == self._reported:
            return
        frame = sys._current_frames().get(self._watched)
        stack = traceback.format_stack(frame)[-STACK_LIMIT:] if frame is not None else []
        del frame
        if self._due != due:
            return  # it went on meanwhile: the stack is of something else
        self._reported = due
        self.stack = [line.rstrip() for line in stack]
        self.stalled = True
        log.error(
            "%s: the event loop has stood for more than %.2f s: nothing else of this process runs. It is at\n%s",
            self._name,
            self._threshold_s,
            "\n".join(self.stack),
        )
        try:
            self._on_stall()
        except Exception:
            log.exception("%s: the stall could not be told", self._name)

    def status(self) -> dict[str, Any]:
        """For the status file."""
        return {
            "stalled": self.stalled,
            "stalls": self.stalls,
            "longest_s": round(self.longest_s, 3),
            "suspensions": self.suspensions,
            "suspended_s": round(self.suspended_s, 3),
            "stack": self.stack,
        }
