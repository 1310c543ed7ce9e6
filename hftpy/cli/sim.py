"""``hftpy sim``: a simulated venue until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from hftpy.common.lifeline import watch_lifeline
from hftpy.sim.run import DEFAULT_PAIRS, serve

__all__ = ["DEFAULT_PAIRS", "serve_until_stopped"]


async def serve_until_stopped(venues: list[str], *, announce: Callable[[dict[str, Any]], None], **options: Any) -> int:
    """Serve until SIGINT, SIGTERM, or the end of the process that started this one.

    Raises
    ------
    ValueError
        If a venue, a pair, a fault or a session cannot be used.
    """
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(serve(venues, announce=announce, **options))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    watch_lifeline(lambda: loop.call_soon_threadsafe(serving.cancel))
    try:
        await serving
    except asyncio.CancelledError:
        if not serving.cancelled():
            raise
    return 0
