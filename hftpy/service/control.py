"""What stands between a service's coroutines and those who want something of it: interruption, pausing, rounds."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, TypeVar

from hftpy.errors import ConfigError, TradingRefused
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.ipc.command_handlers import make_registered
from hftpy.service.background import STUCK_S, Background
from hftpy.service.config import ServiceConfig
from hftpy.service.hooks import ServiceHooks
from hftpy.service.interrupts import Interrupts, Left
from hftpy.service.rounds import Rounds

log = logging.getLogger(__name__)

Result = TypeVar("Result")
IN_ON_STOP: ContextVar[bool] = ContextVar("IN_ON_STOP", default=False)
UNREADY = ("created", "setting up")
ENDED = ("stopping", "stopped", "failed")


class ServiceControl(ServiceHooks):
    """The part of a service that can be interrupted, paused and told to go on.

    Parameters
    ----------
    config
        The service's section of the config.
    """

    counters: dict[str, int]
    _background: Background
    _ipc_command: IPCCommandSystem | None

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self.process_id = config.process_id
        self._lifecycle = "created"
        self.has_run = False
        self._interrupts = Interrupts(self.process_id)
        self._rounds = Rounds(
            self.process_id,
            lambda: self.next(),
            self._interrupts,
            config.setting.next_interval,
            lambda: self._hook_failed("next"),
        )
        self._rounds_task: asyncio.Task[Any] | None = None
        self._paused = False
        self._pause_told = False  # on_pause was called, or is about to be
        self._changes = 0  # how often it was paused or resumed
        self._changing = asyncio.Lock()  # on_pause and on_resume come one after the other, in the order of the calls

    @property
    def state(self) -> str:
        """Where the service stands: created, setting up, starting, running, paused, stopping, stopped or failed."""
        return self._lifecycle

    # What a subclass may call

    async def sleep(self, seconds: float) -> Left:
        """Sleep until the time is up or a command interrupts it, whichever comes first.

        Costs nothing while it lasts; `math.inf` sleeps until interrupted. Commands that are no interrupts are handled
        meanwhile. A pause and the stop of the service end it by `asyncio.CancelledError`, as they end all of a round.

        Returns
        -------
        Left
            A float: the seconds that were left; above 0 exactly if it was interrupted. Its `command` is what
            interrupted it (None: nothing).

        Raises
        ------
        ValueError
            If `seconds` is below 0, or no number.
        RuntimeError
            If it is called outside of a task.

        Thread safety: the service's loop.
        """
        return await self._interrupts.sleep(seconds)

    async def interruptible(self, awaitable: Awaitable[Result]) -> Result:
        """Await something, unless a command interrupts it.

        It runs in the calling task. An interrupt raises `asyncio.CancelledError` inside it, and when it has cleaned up
        and ended, `Interrupted` here; whoever waits in an `interruptible` within it is interrupted in its place. If
        it swallows the cancellation, `Interrupted` is raised all the same as soon as it ends; while it goes on it is
        cancelled again each second, three times, and reported with its stack. What `asyncio.shield` protects goes on
        by itself, as ever.

        Returns
        -------
        object
            What was awaited.

        Raises
        ------
        Interrupted
            With the command.
        Exception
            What it raised itself, even while it was being interrupted.

        Thread safety: the service's loop.
        """
        return await self._interrupts.run(awaitable)

    def uninterruptible(self) -> AbstractContextManager[None]:
        """A block that commands and pauses do not interrupt: ``with self.uninterruptible(): await …``.

        What comes meanwhile interrupts right after it; handlers of commands are not held back. The stop of the
        service waits for it, 5 seconds at most.
        """
        return self._interrupts.mask()

    def register_interrupt(
        self, command_type: str, handler: Callable[[IPCCommand], Any] | None = None, **options: Any
    ) -> None:
        """Let the commands of a type interrupt what waits in the service, besides being handled.

        A command's handler begins before anything that it interrupts goes on: a function has ended by then, a
        coroutine function has come to its first await.

        Parameters
        ----------
        command_type
            Such as ``rebalance``.
        handler
            As of `IPCCommandSystem.register_handler`; None: `on_interrupt`.
        **options
            As of `IPCCommandSystem.register_handler`; the default `lane` is one of its own for each such type, so that
            an interrupt does not wait behind another handler.

        Raises
        ------
        ConfigError
            If the config does not name `ipc_command_publisher`.
        TypeError, ValueError
            As `IPCCommandSystem.register_handler`.
        """
        called = handler if handler is not None else self.on_interrupt
        # How the handler is to be called: with the command, or with what its annotation says of the payload.
        registered = make_registered(
            command_type, called, lane=None, timeout=None, idempotent=False, durable=False, senders=None
        )

        def take(command: IPCCommand) -> Any:
            self._interrupts.interrupt(command)
            return registered.call(command)

        def take_both(_payload: Any, command: IPCCommand) -> Any:
            return take(command)

        take_both.__annotations__["_payload"] = registered.schema
        chosen = take if registered.schema is None else take_both
        self.ipc_command.register_handler(command_type, chosen, **{"lane": command_type, **options})

    def interrupt(self, command_type: str, payload: dict[str, Any] | None = None) -> int:
        """Interrupt from within the service, such as from a hook: everything that waits at an interruption point, but
        the caller. No handler is called.

        Returns
        -------
        int
            How many tasks were reached.

        Thread safety: the service's loop; from other threads ``run_once(self.interrupt, …)``.
        """
        return self._interrupts.interrupt(self._local_command(command_type, payload))

    @property
    def ipc_command(self) -> IPCCommandSystem:
        """The command system.

        Raises
        ------
        ConfigError
            If the config does not name `ipc_command_publisher`.
        """
        if self._ipc_command is None:
            raise ConfigError(
                f"{self.config.section}.setting.ipc_command_publisher is not set, so there are no commands"
            )
        return self._ipc_command

    @property
    def paused(self) -> bool:
        """Whether the service is paused."""
        return self._paused

    def pause(self) -> None:
        """End the round at once and begin no further one; refuse `place_order`; then call `on_pause`. Hooks, timers
        and commands go on. Again: nothing.

        Raises
        ------
        RuntimeError
            If the service is stopping, or has stopped.

        Thread safety: the service's loop, as for `resume`; from other threads ``run_once(self.pause)``.
        """
        self._check_alive("pause")
        if self._paused:
            return
        self._paused = True
        log.info("%s: paused", self.process_id)
        self._rounds.hold(self._local_command("pause"))
        self._changes += 1
        if self.has_run:
            self._lifecycle = "paused"
            self._pause_told = True
            self._spawn(self._call_on_pause(), "on_pause")

    def resume(self) -> None:
        """Call `on_resume`, then begin rounds again. Again: nothing.

        Raises
        ------
        RuntimeError
            If the service is stopping, or has stopped.
        """
        self._check_alive("resume")
        if not self._paused:
            return
        self._paused = self._pause_told = False
        log.info("%s: resumed", self.process_id)
        if self.has_run:
            self._lifecycle = "running"
            self._changes += 1
            self._spawn(self._call_on_resume(self._changes), "on_resume")
        else:
            self._rounds.let_go()

    # The framework's part

    def _check_alive(self, what: str) -> None:
        if self.state in ENDED:
            raise RuntimeError(f"{what} needs a service that is not {self.state}")

    def _check_trading(self) -> None:
        if self.state in UNREADY:
            raise TradingRefused(f"{self.process_id} does not run yet: place_order is refused")
        if self.state in ENDED and not IN_ON_STOP.get():
            raise TradingRefused(f"{self.process_id} is {self.state}: place_order is refused")
        if self._paused:
            raise TradingRefused(f"{self.process_id} is paused: place_order is refused")

    def _local_command(self, command_type: str, payload: dict[str, Any] | None = None) -> IPCCommand:
        now_us = time.time_ns() // 1000
        name = self.process_id
        return IPCCommand(f"{name}_{now_us}_0", name, name, command_type, payload or {}, now_us)

    async def _call_on_pause(self) -> None:
        async with self._changing:
            if not await self._rounds.ended_round(STUCK_S):
                log.error("%s: the round of next() does not end for the pause", self.process_id)
            await self._guard("on_pause", self.on_pause)

    async def _call_on_resume(self, change: int) -> None:
        async with self._changing:
            await self._guard("on_resume", self.on_resume)
            if change == self._changes:  # not paused since
                self._rounds.let_go()

    def _begin_rounds(self) -> None:
        if self._paused and not self._pause_told:
            self._pause_told = True
            self._spawn(self._call_on_pause(), "on_pause")
        if "next" in vars(self) or type(self).next is not ServiceHooks.next:
            self._rounds_task = self._spawn(self._rounds.run(), "next")

    async def _end_own_work(self, timers: Iterable[asyncio.Task[Any]]) -> None:
        """End the round and the timers, so that `on_stop` is the last to act; what is uninterruptible ends first, and
        is then cancelled once, so that its clean-up is not.
        """
        tasks = [*timers, *([self._rounds_task] if self._rounds_task is not None else [])]
        self._interrupts.close()
        self._rounds.end(self._local_command("stop"))
        masked = [task for task in tasks if self._interrupts.is_masked(task)]
        for task in timers:
            self._interrupts.end(task)
        if not await self._interrupts.unmasked(STUCK_S):
            log.error("%s: uninterruptible for more than %.0f s: cancelled all the same", self.process_id, STUCK_S)
            masked = []
        await self._background.cancel(tasks, asked=masked)

    def _register_control(self, commands: IPCCommandSystem) -> None:
        """The commands that every service knows; a subclass may register others in their place."""

        def pause(command: IPCCommand) -> dict[str, str]:
            self.pause()
            return {"state": self.state}

        def resume(command: IPCCommand) -> dict[str, str]:
            self.resume()
            return {"state": self.state}

        def stop(command: IPCCommand) -> None:
            log.info("%s: %s asked by %s", self.process_id, command.command_type, command.sender_id)
            self.request_stop()

        # Lanes of their own: none of them waits behind a handler of the service.
        for lane, command_type, handler in (
            ("pause", "pause", pause),
            ("pause", "resume", resume),
            ("shutdown", "stop", stop),
            ("shutdown", "shutdown", stop),
        ):
            commands.register_handler(command_type, handler, lane=lane)

    def _control_status(self) -> dict[str, Any]:
        interrupts = self._interrupts
        return {
            "interrupts": {
                "delivered": interrupts.delivered,
                "swallowed": interrupts.swallowed,
                "dropped": interrupts.dropped,
                "waiting": interrupts.waiting,
            },
            "next": self._rounds.status() if self._rounds_task is not None else None,
        }

    @property
    def stuck_tasks(self) -> list[str]:
        """The names of tasks that did not end when the service stopped, and still run."""
        return sorted(task.get_name() for task in self._background.stuck if not task.done())

    def request_stop(self) -> None:
        """Stop the service. From any thread."""
        raise NotImplementedError

    def _spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine until the service stops; if it fails, that is logged and counted."""
        return self._background.spawn(coroutine, name)

    async def _guard(self, name: str, hook: Callable[..., Any], *args: Any) -> None:
        raise NotImplementedError

    def _hook_failed(self, name: str) -> None:
        raise NotImplementedError
