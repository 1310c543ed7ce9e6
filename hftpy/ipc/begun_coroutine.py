"""A coroutine that ran up to where it waits, for a task to await the rest of it."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class BegunCoroutine:
    """What a coroutine's first step left to be done. To be awaited once, by the task in whose name that step ran.

    Parameters
    ----------
    coroutine
        Its first `send` has returned.
    waits_for
        What that returned: the future that it waits for; None for a turn of the loop.
    """

    __slots__ = ("_coroutine", "_error", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._error: asyncio.CancelledError | None = None

    def cancel(self, error: asyncio.CancelledError) -> None:
        """Cancel it before the task has taken it over, as the task would: what it waits for is, or else itself."""
        if not (asyncio.isfuture(self._waits_for) and self._waits_for.cancel()):
            self._error = error

    def __await__(self) -> Generator[Any, Any, Any]:
        # As `yield from` does, only that the first value is here already.
        coroutine, found, error = self._coroutine, self._waits_for, self._error
        try:
            if error is not None:
                found = coroutine.throw(error)
            while True:
                try:
                    sent = yield found
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is for the coroutine
                    found = coroutine.throw(thrown)
                else:
                    found = coroutine.send(sent)
        except StopIteration as end:
            return end.value
