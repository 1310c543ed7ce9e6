"""The event loop of our processes: uvloop where it is installed, asyncio's own elsewhere; and how tasks end on it."""

import asyncio
from collections.abc import Iterable
from typing import Any


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new event loop, for `asyncio.Runner(loop_factory=...)`."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until the last has ended, whatever they raise.

    Who is cancelled meanwhile hurries the tasks, and still leaves none behind.
    """
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while left:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            cancelled = error
            for task in left:
                task.cancel()
        left = {task for task in left if not task.done()}
    if cancelled is not None:
        raise cancelled
