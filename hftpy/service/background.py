"""The background tasks of a service: a failure is never lost, and none outlives the service unnoticed."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)

STUCK_S = 5.0  # how long cancelled tasks may take to end

Task = asyncio.Task[Any]


def whereabouts(task: Task) -> str:
    """Where a task that waits is, from its outermost coroutine to the innermost: ``FILE:LINE in FUNCTION, …``."""
    places = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        # Coroutines, generators and asynchronous generators spell it differently.
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(waiting, f"{kind}_frame")), None)
        if kind is None:
            break
        frame = getattr(waiting, f"{kind}_frame")
        if frame is not None:
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
    return ", ".join(places)


class Background:
    """Tasks of one owner.

    Parameters
    ----------
    name
        The owner's, before the names of its tasks.
    count_error
        Called for each task that failed, or does not end.

    Attributes
    ----------
    stuck : set of Task
        Those that did not end when they were cancelled.
    """

    def __init__(self, name: str, count_error: Callable[[], None]) -> None:
        self._name = name
        self._count_error = count_error
        self._tasks: set[Task] = set()
        self.stuck: set[Task] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> Task:
        """Run a coroutine; if it fails, that is logged and counted."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel_all(self) -> None:
        """End all tasks but the one that calls."""
        current = asyncio.current_task()
        await self.cancel(task for task in self._tasks if task is not current)

    async def cancel(self, tasks: Iterable[Task], *, asked: Collection[Task] = ()) -> None:
        """Cancel tasks and wait until they have ended, though not for ever for one that does not want to: one that
        still runs after half the time is cancelled once more. Those `asked` to end already are so after that time.
        """
        left = {task for task in tasks if not task.done()}
        for spared in (asked, ()):
            for task in left.difference(spared):
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=STUCK_S / 2)
        for task in left:
            self.stuck.add(task)
            self._count_error()
            log.error("task %s does not end when it is cancelled: it is at %s", task.get_name(), whereabouts(task))

    async def run_until(self, stop: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
        """Do some work; False if `stop` was set before it was done. What it raises is raised here."""
        loop = asyncio.get_running_loop()
        working, stopping = loop.create_task(work, name=f"{self._name}:work"), loop.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            return False
        finally:
            await self.cancel((working, stopping))

    def _ended(self, task: Task) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            log.info("task %s ends the process: %r", task.get_name(), error)
        elif error is not None:
            self._count_error()
            log.error("task %s failed", task.get_name(), exc_info=error)
