"""The loop that calls a service's `next`: one round after another, each of them interruptible as a whole."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from hftpy.errors import Interrupted
from hftpy.ipc import IPCCommand
from hftpy.service.interrupts import Interrupts

log = logging.getLogger(__name__)

LEAST_ROUND_S = 0.001  # from the beginning of a round to that of the next, so that an empty one does not spin
RETRY_S = 1.0  # after a round that failed; doubles up to the next
RETRY_MAX_S = 30.0


class Rounds:
    """Calls `next` again and again.

    Parameters
    ----------
    name
        The service's, for log lines.
    function
        `next`: a function or a coroutine function.
    interrupts
        The service's interruption points; a round is one of them.
    interval_s
        Seconds from the end of a round to the next, where `next` does not say.
    failed
        Called while the exception of a round is handled.

    Attributes
    ----------
    begun, interrupted : int
        How many rounds were begun; ended by an interrupt, a pause, or the stop.
    state : str
        ``waiting``, ``in a round``, ``held`` or ``ended``.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[], Any],
        interrupts: Interrupts,
        interval_s: float,
        failed: Callable[[], None],
    ) -> None:
        self._name = name
        self._function = function
        self._interrupts = interrupts
        self._interval_s = interval_s
        self._failed = failed
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._between = asyncio.Event()  # no round is being run
        self._between.set()
        self._task: asyncio.Task[Any] | None = None
        self._ending = False
        self.begun = self.interrupted = 0
        self.state = "waiting"

    async def run(self) -> None:
        """Run rounds until cancelled, or until `next` returned True."""
        self._task = task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        failures = 0
        while True:
            while not self._may_run.is_set():  # again: it may be held once more before we are told
                self.state = "held"
                await self._may_run.wait()
            began_s, interrupted, kept = loop.time(), self.interrupted, self._interrupts.first_pending()
            try:
                wait_s = await self._round()
                if wait_s is None:
                    self.state = "ended"
                    log.info("%s: next() returned True: there are no further rounds", self._name)
                    return
                failures = 0
            except Exception:  # noqa: BLE001 - a round that raises is reported and counted, the service goes on
                self._failed()
                wait_s = min(RETRY_S * 2**failures, RETRY_MAX_S)
                failures = min(failures + 1, 10)
            self.state = "waiting"
            if self._ending:  # and next() swallowed that
                return
            was_interrupted = self.interrupted > interrupted
            if was_interrupted or (kept is not None and self._interrupts.first_pending() is kept):
                # What came before a round was ended is one with that; so is what came before a round without a point.
                self._interrupts.merge()
            if wait_s < LEAST_ROUND_S and not was_interrupted:
                # Nobody asked for this wait: what comes in it is for the first point of the next round.
                await self._interrupts.rest(max(wait_s, began_s + LEAST_ROUND_S - loop.time()))
            else:
                await self._interrupts.sleep(wait_s)

    async def _round(self) -> float | None:
        """One call; the seconds until the next, None: no further one."""
        self.state = "in a round"
        self.begun += 1
        self._between.clear()
        try:
            result = self._function()
            if inspect.isawaitable(result):
                result = await self._interrupts.run(result, is_round=True)
        except Interrupted as interrupted:
            self.interrupted += 1
            log.debug("%s: next() was interrupted by %s", self._name, interrupted.command.command_type)
            return 0.0
        except asyncio.CancelledError:
            if self._ending:
                self.interrupted += 1
                raise
            raise RuntimeError("next() awaited something that was cancelled") from None
        finally:
            self._between.set()
        if result is True:
            return None
        if result is None or result is False:
            return self._interval_s
        if not isinstance(result, int | float) or not result >= 0:
            raise TypeError(f"next() must return None, True, or seconds of at least 0, was {result!r}")
        return result

    def hold(self, command: IPCCommand) -> None:
        """End the round, and begin no further one until `let_go`."""
        self._may_run.clear()
        if self._task is not None and not self._between.is_set():
            self._interrupts.end_round(self._task, command)

    def let_go(self) -> None:
        """Begin rounds again."""
        self._may_run.set()

    def end(self, command: IPCCommand) -> None:
        """As `hold`, for good: the task that is in `run` is about to be cancelled."""
        self._ending = True
        self.hold(command)

    async def ended_round(self, timeout_s: float) -> bool:
        """Wait until no round is being run; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._between.wait()
        except TimeoutError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """For the status file."""
        return {"state": self.state, "rounds": self.begun, "interrupted": self.interrupted}
