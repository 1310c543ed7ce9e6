"""Interruption: what waits in a service is reached by a command at once, by structured cancellation and no polling.

An interruption point is a `sleep`, or a scope around an awaitable. Each task has a stack of the points that it is in;
an interrupt goes to the innermost one of every task: a sleep returns what was left, a scope is cancelled in place and
raises `Interrupted`. No task is made for it. A mask holds interrupts back until it is left.

A scope takes back its own requests to cancel alone, so that a cancel by somebody else, a TaskGroup or a timeout inside
or outside keep their meaning. What `Task.cancelling` counted before the interrupt is taken for spent: TaskGroup leaves
such counts behind (before Python 3.13, where a child fails while the group is being left). A cancel that has not
arrived yet is let through first.
"""

import asyncio
import inspect
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from hftpy.errors import Interrupted
from hftpy.ipc import IPCCommand
from hftpy.service.background import whereabouts

log = logging.getLogger(__name__)

GRACE_S = 1.0  # for the clean-up of what was interrupted, before it is cancelled again
CANCELS = 4  # how often in all
MAX_PENDING = 1024  # interrupts of one task that came before it went on
LEAST_LEFT_S = 1e-9

Task = asyncio.Task[Any]
Result = TypeVar("Result")


class Left(float):
    """The seconds of a sleep that were left: 0.0 if it slept its time, above 0 exactly if it was interrupted.

    Attributes
    ----------
    command : IPCCommand or None
        What interrupted it.
    """

    __slots__ = ("command",)
    command: IPCCommand | None

    def __new__(cls, seconds: float, command: IPCCommand | None = None) -> "Left":
        """A number with the command."""
        self = super().__new__(cls, seconds)
        self.command = command
        return self


class _Sleep:
    __slots__ = ("command", "hands_on", "waiter")

    def __init__(self, waiter: asyncio.Future[None], hands_on: bool = False) -> None:
        self.waiter = waiter
        self.hands_on = hands_on
        self.command: IPCCommand | None = None

    def take(self, command: IPCCommand) -> bool:
        # Even if its time is just up: until the coroutine goes on, the interrupt is its own.
        if self.command is not None:
            return False
        if not self.waiter.done():
            self.waiter.set_result(None)
        if self.hands_on:
            return False
        self.command = command
        return True


class _Held:
    """What waits until a mask is left: to interrupt (`scope` None: the innermost point), or just to act."""

    __slots__ = ("act", "command", "scope")

    def __init__(
        self, act: Callable[[], object], command: IPCCommand | None = None, scope: "_Scope | None" = None
    ) -> None:
        self.act = act
        self.command = command
        self.scope = scope


class _Mask:
    __slots__ = ("held", "left")

    def __init__(self) -> None:
        self.held: list[_Held] = []
        self.left = asyncio.Event()


class _Scope:
    __slots__ = ("base", "cancels", "command", "entry", "is_round", "task", "timer")

    def __init__(self, task: Task, is_round: bool) -> None:
        self.task = task
        self.is_round = is_round
        self.entry = self.base = task.cancelling()
        self.cancels = 0
        self.command: IPCCommand | None = None
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if not self.cancels:
            self.base = self.task.cancelling()
        self.cancels += 1
        self.task.cancel()

    def settle(self) -> bool:
        """Take back our requests to cancel; whether nobody else has made one since.

        Those that stood at our first one may be gone by now: a TaskGroup inside of the scope takes its own back.
        """
        for _ in range(self.cancels):
            if self.task.cancelling() > self.entry:
                self.task.uncancel()
        return self.task.cancelling() <= self.base


_Point = _Sleep | _Scope | _Mask


class Interrupts:
    """The interruption points of one service.

    Parameters
    ----------
    name
        The service's, for log lines.

    Attributes
    ----------
    delivered : int
        How many interrupts reached a point.
    swallowed : int
        How often a coroutine went on although it was interrupted.
    dropped : int
        How many interrupted nothing: they found no room, because a task had `MAX_PENDING` to come to already, or the
        call that they were kept for ended before its next point.

    Thread safety: one thread, that of the event loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._points: dict[Task, list[_Point]] = {}
        self._pending: WeakKeyDictionary[Task, deque[IPCCommand]] = WeakKeyDictionary()
        self._due: dict[Task, deque[_Held]] = {}  # on its way, in order: from masks that were left, or after a result
        self._ended: WeakSet[Task] = WeakSet()  # told to end where they would have entered a mask
        self._closed = False
        self.delivered = 0
        self.swallowed = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many tasks are at an interruption point."""
        return len(self._points)

    # Points

    async def sleep(self, seconds: float) -> Left:
        """Sleep; see `ServiceBase.sleep`."""
        if not isinstance(seconds, int | float) or not seconds >= 0:
            raise ValueError(f"seconds must be at least 0, was {seconds!r}")
        task = _current_task()
        pending = self._take_pending(task)
        if pending is not None:
            # A loop of sleeps that are all interrupted lets others have their turn; what they send comes after this.
            await self._sleep(task, 0, hands_on=True)
            return Left(max(seconds, LEAST_LEFT_S), pending)
        return await self._sleep(task, seconds, hands_on=False)

    async def rest(self, seconds: float) -> None:
        """Sleep, unless there is an interrupt: that ends it, and is kept for the task's next point."""
        task = _current_task()
        await self._sleep(task, 0 if self._pending.get(task) else seconds, hands_on=True)

    async def _sleep(self, task: Task, seconds: float, *, hands_on: bool) -> Left:
        loop = task.get_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        point = _Sleep(waiter, hands_on)
        ends = loop.time() + seconds
        timer = loop.call_at(ends, _wake, waiter) if seconds != math.inf else None
        self._push(task, point)
        try:
            await waiter
        finally:
            self._pop(task, point)
            if timer is not None:
                timer.cancel()
        if point.command is None:
            return Left(0.0)
        return Left(max(ends - loop.time(), LEAST_LEFT_S), point.command)

    async def run(self, awaitable: Awaitable[Result], *, is_round: bool = False) -> Result:
        """Await something inside a scope; see `ServiceBase.interruptible`. A round takes no earlier interrupts: they
        are for the points in it.
        """
        task = _current_task()
        scope = _Scope(task, is_round)
        pending = self._take_pending_before(task, awaitable) if not is_round else None
        if pending is not None:
            if not isinstance(awaitable, asyncio.Future):
                if inspect.iscoroutine(awaitable):
                    awaitable.close()
                raise Interrupted(pending)
            # It runs already: it is cancelled in place, and cleans up before we go on.
            scope.command = pending
            awaitable.cancel()
        self._push(task, scope)
        try:
            result = await awaitable
        except asyncio.CancelledError:
            if scope.command is not None and scope.settle():
                raise Interrupted(scope.command) from None
            raise
        except BaseException:
            scope.settle()
            raise
        else:
            if scope.command is not None and scope.settle():
                # It ended as if it had not been cancelled: it, or what it awaited, swallowed that.
                self._report_swallowed(scope, "ended")
                raise Interrupted(scope.command)
            return result
        finally:
            if scope.timer is not None:
                scope.timer.cancel()
            self._pop(task, scope)

    def first_pending(self) -> IPCCommand | None:
        """The interrupt that is kept for the next point of the task that calls."""
        if not self._pending:
            return None
        pending = self._pending.get(_current_task())
        return pending[0] if pending else None

    def merge(self) -> None:
        """The interrupts that are kept for the task that calls are one with what has ended its round."""
        self.delivered += len(self._pending.pop(_current_task(), ()))

    def end_call(self) -> None:
        """A hook, timer or handler has ended: what was kept for the next point in it is not for the next call."""
        if self._pending:
            self.dropped += len(self._pending.pop(_current_task(), ()))

    @contextmanager
    def mask(self) -> Iterator[None]:
        """Hold interrupts back; see `ServiceBase.uninterruptible`."""
        task = _current_task()
        if task in self._due:
            self._act_before_mask(task)
        mask = _Mask()
        self._push(task, mask)
        try:
            yield
        finally:
            self._pop(task, mask)
            mask.left.set()
            if mask.held:
                # Not now: this very task is running, and can be cancelled only where it waits.
                if task not in self._due:
                    self._due[task] = deque()
                    task.get_loop().call_soon(self._act, task)
                self._due[task].extend(mask.held)

    def _act(self, task: Task, left: _Scope | None = None) -> None:
        """Do what is due of a task; `left` is a scope that it may have left with a result."""
        for held in self._due.pop(task, ()):
            if held.command is None or held.scope is not None:
                held.act()
            elif left is None or left.is_round or task.done() or task in self._points:
                self._deliver(task, held.command)
            else:
                self._keep(task, held.command)

    def _act_before_mask(self, task: Task) -> None:
        """What an earlier mask has held is due, and comes before the next one."""
        points, due = self._points.get(task, []), self._due[task]
        if _mask_of(points) is not None:
            return
        for held in due:
            scope = held.scope or (points[-1] if points else None)
            if held.command is not None:
                if not isinstance(scope, _Scope) or scope not in points or scope.command is not None:
                    continue
                scope.command = held.command
                scope.timer = task.get_loop().call_later(GRACE_S, self._check, scope)
                self.delivered += held.scope is None
            elif held.scope is None:
                self._ended.add(task)
            else:
                continue
            due.remove(held)
            for later in list(due):
                if later.command is not None and later.scope is None:
                    due.remove(later)
                    self._keep(task, later.command)
            raise asyncio.CancelledError

    # Interrupts

    def interrupt(self, command: IPCCommand) -> int:
        """Interrupt every task that is at a point, except the one that calls.

        Returns
        -------
        int
            How many were reached; those that are masked are reached later.
        """
        if self._closed:
            return 0
        current = _running_task()
        tasks = [task for task in self._points if task is not current]
        for task in tasks:
            self._deliver(task, command)
        return len(tasks)

    def end_round(self, task: Task, command: IPCCommand) -> None:
        """Cancel the outermost scope of a task, whatever points it is in, as soon as no mask forbids it."""
        points = self._points.get(task, ())
        scope = next((point for point in points if isinstance(point, _Scope)), None)
        if scope is not None:
            self._when_unmasked(task, _Held(lambda: self._end_scope(scope, command), command, scope))

    def _end_scope(self, scope: _Scope, command: IPCCommand) -> None:
        if scope in self._points.get(scope.task, ()):
            self._cancel(scope, command, lambda: self.end_round(scope.task, command))

    def end(self, task: Task) -> None:
        """Cancel a task, as soon as no mask forbids it: at the end of that, or where it would enter another one."""
        self._when_unmasked(task, _Held(task.cancel))

    def was_ended(self, task: Task) -> bool:
        """Whether `end` has ended a task where it would have entered a mask."""
        return task in self._ended

    def is_masked(self, task: Task) -> bool:
        """Whether a mask forbids to interrupt a task."""
        return _mask_of(self._points.get(task, ())) is not None

    def _when_unmasked(self, task: Task, held: _Held) -> None:
        mask = _mask_of(self._points.get(task, ()))
        if mask is None:
            held.act()
        else:
            mask.held.append(held)

    async def unmasked(self, timeout_s: float) -> bool:
        """Wait until the masks of now are left; False if it took too long."""
        current = asyncio.current_task()
        masks = [_mask_of(points) for task, points in self._points.items() if task is not current]
        try:
            async with asyncio.timeout(timeout_s):
                for mask in masks:
                    if mask is not None:
                        await mask.left.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Deliver no more interrupts: the service stops."""
        self._closed = True

    def _deliver(self, task: Task, command: IPCCommand) -> None:
        due = self._due.get(task)
        if due is not None:  # behind what is on its way
            if len(due) < MAX_PENDING:
                due.append(_Held(lambda: self._deliver(task, command), command))
            else:
                self.dropped += 1
            return
        points = self._points.get(task)
        if not points:
            self.dropped += 1  # it went on meanwhile, and is not waiting
            return
        mask = _mask_of(points)
        if mask is not None:
            if len(mask.held) < MAX_PENDING:
                mask.held.append(_Held(lambda: self._deliver(task, command), command))
            else:
                self.dropped += 1
            return
        point = points[-1]
        if isinstance(point, _Sleep):
            taken: bool | None = point.take(command)
        elif any(isinstance(outer, _Scope) and outer.command is not None for outer in points):
            taken = False  # its clean-up, by whichever scope it was cancelled, is not to be cut
        else:
            assert isinstance(point, _Scope)
            taken = self._cancel(point, command, lambda: self._act(task, point))
        if taken is None:
            self._due[task] = deque([_Held(lambda: self._deliver(task, command), command)])
            return
        if taken:
            self.delivered += 1
            return
        # Interrupted already, and it has not gone on since: for the next point.
        self._keep(task, command)

    def _keep(self, task: Task, command: IPCCommand) -> None:
        pending = self._pending.setdefault(task, deque())
        if len(pending) < MAX_PENDING:
            pending.append(command)
        else:
            self.dropped += 1

    def _cancel(self, scope: _Scope, command: IPCCommand, again: Callable[[], object]) -> bool | None:
        """False if it was interrupted already; None if that must wait for its turn, upon which `again` is called."""
        if scope.command is not None:
            return False
        task = scope.task
        loop = task.get_loop()
        if task._must_cancel:  # type: ignore[attr-defined]
            loop.call_soon(again)
            return None
        waiter = task._fut_waiter  # type: ignore[attr-defined]
        if waiter is not None and _is_being_cancelled(waiter):
            # By somebody else. If the task goes on after it, then is our time.
            waiter.add_done_callback(lambda _: loop.call_soon(again))
            return None
        if waiter is not None and waiter.done():
            # What it waited for has come, and must not be lost: the task goes on before our turn, which is next.
            loop.call_soon(again)
            return None
        scope.command = command
        scope.cancel()
        scope.timer = scope.task.get_loop().call_later(GRACE_S, self._check, scope)
        return True

    def _check(self, scope: _Scope) -> None:
        # Still there: a long clean-up, or somebody's `except CancelledError` that goes on.
        points = self._points.get(scope.task, ())
        if scope not in points:
            return
        mask = _mask_of(points)
        if mask is not None:
            mask.held.append(_Held(lambda: self._check(scope), scope=scope))
            return
        self._report_swallowed(scope, "goes on")
        if scope.cancels >= CANCELS:
            return
        scope.cancel()
        scope.timer = scope.task.get_loop().call_later(GRACE_S, self._check, scope)

    def _report_swallowed(self, scope: _Scope, what: str) -> None:
        self.swallowed += 1
        command = scope.command.command_type if scope.command is not None else "?"
        log.warning(
            "%s: %s %s although %r cancelled it (an except CancelledError that does not raise?): %s",
            self._name, scope.task.get_name(), what, command, whereabouts(scope.task),
        )  # fmt: skip

    def _take_pending_before(self, task: Task, awaitable: Awaitable[Any]) -> IPCCommand | None:
        # What is there already is not lost, and the interrupt is for the next point.
        is_there = isinstance(awaitable, asyncio.Future) and awaitable.done()
        return None if is_there else self._take_pending(task)

    def _take_pending(self, task: Task) -> IPCCommand | None:
        if _mask_of(self._points.get(task, ())) is not None:
            return None
        pending = self._pending.get(task)
        if not pending:
            return None
        self.delivered += 1
        command = pending.popleft()
        if not pending:
            del self._pending[task]
        return command

    def _push(self, task: Task, point: _Point) -> None:
        self._points.setdefault(task, []).append(point)

    def _pop(self, task: Task, point: _Point) -> None:
        points = self._points[task]
        points.remove(point)
        if not points:
            del self._points[task]


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _is_being_cancelled(waiter: Any) -> bool:
    # A future; a task that is unwinding; what gather() returns.
    if waiter.cancelled() or getattr(waiter, "_cancel_requested", False):
        return True
    return isinstance(waiter, asyncio.Task) and waiter.cancelling() > 0


def _mask_of(points: list[_Point] | tuple[()]) -> _Mask | None:
    return next((point for point in points if isinstance(point, _Mask)), None)


def _current_task() -> Task:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("an interruption point must be in a task")
    return task


def _running_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
