"""The receiving half of the command system behind the sockets: check, drop duplicates, queue, call the handler."""

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hftcore.topic import check_command_type, match, target_matches
from hftpy.common.log import LimitedLog, shown
from hftpy.ipc.command import IPCCommand, decode_frame

logger = logging.getLogger(__name__)

Handler = Callable[[IPCCommand], Awaitable[None] | None]


class CommandDispatcher:
    """Takes frames, and calls one handler after another in the order in which they came.

    Parameters
    ----------
    process_id
        Whose commands are taken.
    capacity
        How many commands may wait for their handlers; further ones are refused, counted and logged.
    window
        How many command ids are remembered to drop duplicates.
    """

    def __init__(self, process_id: str, *, capacity: int, window: int) -> None:
        self._process_id = process_id
        self._queue: asyncio.Queue[IPCCommand] = asyncio.Queue(capacity)
        self._window = window
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._handlers: dict[str, Handler] = {}
        self._log = LimitedLog(logger)
        self._runs = 0
        self.received = self.handled = self.failed = self.duplicates = 0
        self.malformed = self.refused = self.no_handler = self.queue_full = 0

    def register(self, command_type: str, handler: Handler) -> None:
        """Let `handler` take the commands of a type, instead of one registered before."""
        check_command_type(command_type)
        if not callable(handler):
            raise TypeError(f"a handler must be callable, was {handler!r}")
        self._handlers[command_type] = handler

    def take(self, frame: bytes) -> None:
        """Check a frame and queue its command."""
        self.received += 1
        try:
            topic, command, boot = decode_frame(frame)
        except ValueError as error:
            self.malformed += 1
            self._log.warning("malformed", "malformed command: %s: %s", error, shown(frame, 64))
            return
        if not match(topic, f"{command.target_id}.{command.command_type}"):
            self.refused += 1
            self._log.warning("disagree", "refused %r: its topic is %r", command, topic.rstrip())
            return
        if not target_matches(command.target_id, self._process_id):
            self.refused += 1
            self._log.warning("target", "refused %r: it is not for %s", command, self._process_id)
            return
        key = (command.sender_id, boot, command.command_id)
        if key in self._seen:
            self.duplicates += 1
            return
        try:
            self._queue.put_nowait(command)
        except asyncio.QueueFull:
            self.queue_full += 1
            self._log.warning("full", "refused %r: %d commands wait", command, self._queue.maxsize)
            return
        # Remembered only now: one that was refused may be sent again.
        self._seen[key] = None
        if len(self._seen) > self._window:
            self._seen.popitem(last=False)

    async def run(self) -> None:
        """Call handlers until cancelled or told to stop."""
        self._runs += 1
        this_run = self._runs
        # A queue belongs to one event loop, and this may be another than before.
        waiting, self._queue = self._queue, asyncio.Queue(self._queue.maxsize)
        while not waiting.empty():
            self._queue.put_nowait(waiting.get_nowait())
        while self._runs == this_run:
            command = await self._queue.get()
            handler = self._handlers.get(command.command_type)
            if handler is None:
                self.no_handler += 1
                self._log.warning(f"no handler {command.command_type}", "no handler for %r", command)
                continue
            try:
                result = handler(command)
                if inspect.isawaitable(result):
                    await result
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self.failed += 1
                logger.warning("the handler of %r was cancelled", command)
            except Exception:
                self.failed += 1
                logger.exception("the handler of %r failed", command)
            else:
                self.handled += 1

    def stop(self) -> None:
        """Let `run` end after the handler that it is in; commands that still wait are dropped."""
        self._runs += 1
        while not self._queue.empty():
            self._queue.get_nowait()
