"""Timers of a service: on the loop, on a fixed schedule, never overlapping; missed ticks are counted, not made up."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hftpy.errors import ConfigError
from hftpy.service.config import TaskSetting, suggestion

log = logging.getLogger(__name__)


class Timer:
    """A schedule and the function it calls.

    Parameters
    ----------
    name
        Without the prefix ``task_``.
    function
        What to call.
    interval_s, delay_s
        Seconds between two calls; before the first.

    Attributes
    ----------
    runs, overruns : int
        How often it was called; how many times of the schedule passed while a call lasted.
    """

    def __init__(self, name: str, function: Callable[[], Any], interval_s: float, delay_s: float) -> None:
        self.name = name
        self.function = function
        self.interval_s = interval_s
        self.delay_s = delay_s
        self.runs = self.overruns = 0
        self._began_s: float | None = None
        self._last_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a call lasts."""
        self.runs += 1
        self._began_s = time.monotonic()
        try:
            yield
        finally:
            self._last_s = time.monotonic() - self._began_s
            self._began_s = None

    def status(self) -> dict[str, Any]:
        """For the status file; `running_s` is None between two calls."""
        running_s = None if self._began_s is None else round(time.monotonic() - self._began_s, 6)
        return {
            "runs": self.runs, "overruns": self.overruns, "last_s": round(self._last_s, 6), "running_s": running_s,
        }  # fmt: skip

    async def ticks(self) -> AsyncIterator[int]:
        """Yields at each time of the schedule the number of times that were missed since the last."""
        due = time.monotonic() + self.delay_s
        missed = 0
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield missed
            late = time.monotonic() - due
            missed = max(0, int(late / self.interval_s))
            self.overruns += missed
            due += (missed + 1) * self.interval_s


def timers_of(service: object, tasks: dict[str, TaskSetting]) -> list[Timer]:
    """The timers that the config names.

    Raises
    ------
    ConfigError
        If a named timer has no method.
    """
    timers = []
    for name, task in tasks.items():
        function = getattr(service, f"task_{name.removeprefix('task_')}", None)
        if not callable(function):
            short = name.removeprefix("task_")
            methods = (found.removeprefix("task_") for found in dir(type(service)) if found.startswith("task_"))
            raise ConfigError(
                f"setting.tasks names {name!r}, but {type(service).__name__} has no task_{short}(): "
                f"{suggestion(short, methods)}"
            )
        timers.append(Timer(name.removeprefix("task_"), function, task.interval, task.delay))
    named = {timer.name for timer in timers}
    for attribute in dir(type(service)):
        if attribute.startswith("task_") and attribute.removeprefix("task_") not in named:
            log.warning("%s is not named in setting.tasks: it will not run", attribute)
    return timers
