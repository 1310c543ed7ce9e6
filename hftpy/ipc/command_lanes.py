"""Where handlers run: one after another in each lane, and lanes beside each other.

A handler whose lane is idle is called within the turn that read its command, in the name and in the context of the
lane's task: one that ends without waiting is answered in the same turn. Where it waits, the task takes it over.
"""

import asyncio
import contextvars
import functools
import inspect
import logging
import time
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Protocol

from hftpy.ipc.begun_coroutine import BegunCoroutine
from hftpy.ipc.command import encode_payload
from hftpy.ipc.command_handlers import Registered
from hftpy.ipc.command_protocol import MAX_RESULT_BYTES, Outcome
from hftpy.ipc.command_session import Received
from hftpy.ipc.command_text import text_of

logger = logging.getLogger(__name__)

SLICE_S = 0.002  # for so long handlers that do not wait may run before others get the event loop
RESTART_S = 0.05  # a lane whose task was cancelled goes on after this time, unless the program ends by then
MAX_ERROR_CHARS = 500


class Decisions(Protocol):
    """What lanes need of `CommandReceiver`."""

    def may_start(self, now: float, entry: Received) -> bool: ...

    def on_done(self, entry: Received, outcome: Outcome, error: str = "", value: bytes | None = None) -> None: ...

    def abandon(self, entry: Received) -> None: ...

    def drop(self, entry: Received) -> None: ...


class Worker:
    """The task of a lane, in one life of it."""

    __slots__ = ("begun", "context", "task", "waiter")

    def __init__(self) -> None:
        self.begun: tuple[Received, Awaitable[Any]] | None = None  # what the task is to take over
        self.context = contextvars.copy_context()
        self.task: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None  # it has nothing to do

    @property
    def is_idle(self) -> bool:
        return self.waiter is not None and not self.waiter.done()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Lane:
    """The commands that wait for the handlers of one lane."""

    __slots__ = ("queue", "running", "worker")

    def __init__(self) -> None:
        self.queue: deque[Received] = deque()
        self.running: Received | None = None
        self.worker: Worker | None = None


class CommandLanes:
    """Calls handlers, each lane's in the order in which their commands came.

    Each lane has a worker, which calls a handler and, if it returns what can be awaited, awaits it at once. While the
    worker has nothing to do, handlers are called from `put`, for `SLICE_S` after `begin_turn`.

    Parameters
    ----------
    process_id
        Names the tasks.
    capacity
        How many commands may wait in one lane.
    """

    def __init__(self, process_id: str, capacity: int) -> None:
        self._process_id = process_id
        self._capacity = capacity
        self._lanes: dict[str, Lane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopper: tuple[asyncio.Task[Any] | None, Received | None] | None = None  # who stopped us from inside
        self._slice_until = 0.0
        self.decisions: Decisions
        self.on_answer: Callable[[], None] = lambda: None  # a handler ended
        self.on_idle: Callable[[], None] = lambda: None  # and no other waits behind it
        self.on_awaited: Callable[[], None] = lambda: None  # what a handler returned was awaited; in its task
        self.on_left: Callable[[], None] = lambda: None  # the handler that stopped the system has ended
        self.handled = self.failed = self.queue_full = 0

    @property
    def waiting(self) -> int:
        """How many commands wait in all lanes."""
        return sum(len(lane.queue) for lane in self._lanes.values())

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run on this loop; what waits from an earlier one stays."""
        self._loop = loop
        for lane in self._lanes.values():
            self._abandon(lane)
            lane.worker = None
            if lane.queue:
                self._wake(loop, lane)

    def put(self, entry: Received) -> bool:
        """Let a command's handler run in its turn; returns False if there is no room."""
        registered = entry.registered
        assert registered is not None
        lane = self._lanes.get(registered.lane)
        if lane is None:
            lane = self._lanes[registered.lane] = Lane()
        if len(lane.queue) >= self._capacity or (self._loop is None and self._stopper is not None):
            self.queue_full += 1
            return False
        loop, worker = self._loop, lane.worker
        if loop is None:
            lane.queue.append(entry)
            return True
        if (
            worker is not None
            and worker.is_idle
            and not lane.queue
            and lane.running is None
            and registered.timeout is None
            and (now := time.monotonic()) < self._slice_until
        ):
            if self.decisions.may_start(now, entry):
                self._run_now(loop, lane, worker, entry, registered)
            return True
        lane.queue.append(entry)
        self._wake(loop, lane)
        return True

    def begin_turn(self, now: float) -> None:
        """The loop's turn begins in which commands are read: their handlers may run in it."""
        self._slice_until = now + SLICE_S

    def end_turn(self) -> None:
        """Handlers run in their lane's task again."""
        self._slice_until = 0.0

    def _wake(self, loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
        worker = lane.worker
        if worker is None or worker.task is None or worker.task.done():
            worker = lane.worker = Worker()
            worker.task = loop.create_task(
                self._process_worker(loop, lane, worker), name=f"{self._process_id} commands", context=worker.context
            )
            worker.task.add_done_callback(functools.partial(self._on_task_end, loop, lane, worker))
        else:
            worker.wake()

    def _on_task_end(
        self, loop: asyncio.AbstractEventLoop, lane: Lane, worker: Worker, task: asyncio.Task[None]
    ) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):
            logger.error("%s failed", task.get_name(), exc_info=error)
        if lane.worker is not worker:
            if self._stopper is not None and self._stopper[0] is task and self._stopper[1] is not None:
                self._end_program(lane, self._stopper[1], error or asyncio.CancelledError())
            return
        # Not by `stop`: a handler has cancelled its task, or somebody all tasks.
        lane.worker = None
        if lane.running is not None:
            self._end_program(lane, lane.running, error or asyncio.CancelledError())
        if lane.queue and not loop.is_closed():
            loop.call_later(RESTART_S, self._restart, loop, lane)

    def _restart(self, loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
        if self._loop is loop and lane.queue:
            self._wake(loop, lane)

    def _run_now(
        self, loop: asyncio.AbstractEventLoop, lane: Lane, worker: Worker, entry: Received, registered: Registered
    ) -> None:
        """Call a handler as the lane's task, which is idle, and let it run until it waits."""
        task = worker.task
        assert task is not None
        lane.running = entry
        _enter_task(loop, task)
        try:
            begun = worker.context.run(self._begin, entry, registered)
        except (SystemExit, KeyboardInterrupt) as error:
            self._end_program(lane, entry, error)
            raise
        except BaseException as error:
            # It must not keep those from being read that wait behind it.
            logger.exception("the handler of %r failed", entry.command)
            self._end_program(lane, entry, error)
            begun = None
        finally:
            _leave_task(loop, task)
        if begun is not None:
            worker.begun = (entry, begun)
            worker.wake()
            return
        self._left(lane, entry)
        if lane.worker is not worker:
            worker.wake()  # the handler has stopped us: its task has nothing to wait for

    def _begin(self, entry: Received, registered: Registered) -> Awaitable[Any] | None:
        """What is still to be awaited of a handler."""
        try:
            result = registered.call(entry.command)
            if type(result) is CoroutineType:
                try:
                    return BegunCoroutine(result, result.send(None))
                except StopIteration as end:
                    result = end.value
            elif inspect.isawaitable(result):
                return result
        except asyncio.CancelledError as error:
            logger.warning("the handler of %r was cancelled", entry.command)
            self._fail(entry, error)
        except Exception as error:
            logger.exception("the handler of %r failed", entry.command)
            self._fail(entry, error)
        else:
            self._succeed(entry, result)
        return None

    def _end_program(self, lane: Lane, entry: Received, error: BaseException) -> None:
        """A handler ends the program (`sys.exit`, Ctrl-C), or its task: its sender is told so before."""
        self._fail(entry, error)
        self._left(lane, entry)

    def _left(self, lane: Lane, entry: Received) -> None:
        """A handler has ended."""
        if lane.running is entry:
            lane.running = None
        if self._stopper is not None and self._stopper[1] is entry:
            self._stopper = None
            self.on_left()

    async def _process_worker(self, loop: asyncio.AbstractEventLoop, lane: Lane, worker: Worker) -> None:
        began = loop.time()
        while lane.worker is worker:
            if not lane.queue:
                self.on_idle()
                await self._wait(loop, worker)
                began = loop.time()
                if worker.begun is not None:
                    (entry, begun), worker.begun = worker.begun, None
                    await self._run(lane, entry, begun)
                continue
            entry = lane.queue.popleft()
            if self.decisions.may_start(time.monotonic(), entry):
                lane.running = entry
                await self._run(lane, entry, None)
            if loop.time() - began > SLICE_S:
                await asyncio.sleep(0)
                began = loop.time()

    @staticmethod
    async def _wait(loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
        worker.waiter = loop.create_future()
        try:
            await worker.waiter
        except asyncio.CancelledError as error:
            if worker.begun is None or not isinstance(worker.begun[1], BegunCoroutine):
                raise
            worker.begun[1].cancel(error)  # it was meant for what this task is about to take over
        finally:
            worker.waiter = None

    async def _run(self, lane: Lane, entry: Received, begun: Awaitable[Any] | None) -> None:
        try:
            await self._handle(entry, begun)
        except BaseException as error:
            if entry.done is None:  # else `stop` has answered
                self._end_program(lane, entry, error)
            raise
        self.on_awaited()
        self._left(lane, entry)

    async def _handle(self, entry: Received, begun: Awaitable[Any] | None) -> None:
        registered = entry.registered
        assert registered is not None
        limit, scope = registered.timeout, None
        try:
            result = registered.call(entry.command) if begun is None else begun
            if begun is not None or inspect.isawaitable(result):
                if limit is None:
                    result = await result
                else:
                    async with asyncio.timeout(limit) as scope:
                        result = await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            logger.warning("the handler of %r was cancelled", entry.command)
            self._fail(entry, error)
        except Exception as error:
            logger.exception("the handler of %r failed", entry.command)
            is_late = isinstance(error, TimeoutError) and scope is not None and scope.expired()
            self._fail(entry, TimeoutError(f"the handler took longer than {limit:g} s") if is_late else error)
        else:
            self._succeed(entry, result)

    def _succeed(self, entry: Received, result: Any) -> None:
        self.handled += 1
        value = None
        if result is not None and entry.keys.ack == "done":
            try:
                text = encode_payload(result)
                if len(text) > MAX_RESULT_BYTES:
                    raise ValueError(f"a result must have at most {MAX_RESULT_BYTES} bytes, was {len(text)}")
                value = text.encode()
            except Exception as error:  # noqa: BLE001 - a result's own methods may do anything
                why = str(error) if isinstance(error, TypeError | ValueError) else text_of(error)
                logger.warning("the result of %r cannot be sent: %s", entry.command, why)
                self._end(entry, "error", f"the handler ended, but its result cannot be sent: {why}")
                return
        self._end(entry, "ok", "", value)

    def _fail(self, entry: Received, error: BaseException) -> None:
        self.failed += 1
        text = text_of(error)
        self._end(entry, "error", text if len(text) <= MAX_ERROR_CHARS else text[:MAX_ERROR_CHARS] + "…")

    def _end(self, entry: Received, outcome: Outcome, error: str, value: bytes | None = None) -> None:
        self.decisions.on_done(entry, outcome, error, value)
        self.on_answer()

    # -- the end ------------------------------------------------------------------------------------------------

    @property
    def is_inside(self) -> bool:
        """Whether a handler is what is running now."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return False
        return task is not None and (
            (self._stopper is not None and self._stopper[0] is task)
            or any(lane.worker is not None and lane.worker.task is task for lane in self._lanes.values())
        )

    def stop(self) -> list[asyncio.Task[None]]:
        """Refuse what waits and cancel what runs, but for the handler that called this; returns what is ending."""
        inside = self.is_inside
        current = asyncio.current_task() if inside else None
        if not inside:
            self._stopper = None
        elif self._stopper is None or self._stopper[0] is not current:
            own = next(lane for lane in self._lanes.values() if lane.worker is not None and lane.worker.task is current)
            self._stopper = (current, own.running)
        last = None if self._stopper is None else self._stopper[1]
        self._loop = None
        ending = []
        for lane in self._lanes.values():
            waiting, lane.queue = lane.queue, deque()
            for entry in waiting:
                self.decisions.drop(entry)
            task = None if lane.worker is None else lane.worker.task
            lane.worker = None
            if lane.running is not last:
                self._abandon(lane)
            if task is not None and task is not current and not task.done() and not task.get_loop().is_closed():
                task.cancel()
                ending.append(task)
        return ending

    def _abandon(self, lane: Lane) -> None:
        """Give up what runs: nobody will know how it ended."""
        if lane.running is not None:
            self.decisions.abandon(lane.running)
            lane.running = None
