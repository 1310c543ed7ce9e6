"""A thread that sees whether the event loop still turns.

A hook, handler or round that computes without an `await` stops everything else in its process. Nothing in the process
can interrupt that, but it is seen, and said where it is.

The loop writes the time into one attribute, four times per threshold; the thread looks at it as often. What is measured
costs nothing between.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

LOOKS = 4  # per threshold
STACK_LIMIT = 20


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
            self.stalls += 1
            self.longest_s = max(self.longest_s, late_s)
            if self._reported == due:
                log.warning("%s: the event loop turns again, after %.2f s", self._name, late_s)
            else:
                log.warning(
                    "%s: the event loop stood for %.2f s; where is not known: the process was stopped, or a call held "
                    "Python's lock",
                    self._name,
                    late_s,
                )
        self.stalled = False
        self._set_timer()

    def _watch(self) -> None:
        while True:
            wakes = time.monotonic() + self._period_s
            if self._over.wait(self._period_s):
                return
            now = time.monotonic()
            self._look(now, now - wakes)

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
            "stack": self.stack,
        }
