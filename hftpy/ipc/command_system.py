"""Commands between processes, each known by its name."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import zmq

from hftcore.topic import check_process_id, subscriptions_of
from hftpy.common.paths import get_root, socket_path
from hftpy.ipc.command import CommandId, IPCCommand, encode_frame
from hftpy.ipc.command_publisher import CommandPublisher
from hftpy.ipc.dispatcher import CommandDispatcher, Handler
from hftpy.ipc.transport import FrameReader, connect, running_loop

logger = logging.getLogger(__name__)

HOLD_S = 5.0


class _Done:
    """What `start`, `stop` and `connect_to_process` return: may be awaited, and may be ignored."""

    def __init__(self, system: "IPCCommandSystem") -> None:
        self._system = system

    def __await__(self) -> Generator[Any, None, None]:
        return self._system._settle().__await__()


class _Remote:
    """A process whose commands are received: its socket, and the worker that reads it."""

    def __init__(self, process_id: str, path: Path, subscriptions: list[bytes], receive_hwm: int) -> None:
        self.process_id = process_id
        # One socket per remote: a frame upstream on a socket with several would reach each of them.
        self.socket = connect(path, zmq.XSUB, receive_hwm=receive_hwm)
        for prefix in subscriptions:
            self.socket.send(b"\x01" + prefix)
        self.readable = asyncio.Event()
        self.reader: FrameReader | None = None
        self.task: asyncio.Task[None] | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self.detach()
        self.readable = asyncio.Event()
        self.reader = FrameReader(loop, self.socket, self._wake)

    def _wake(self, limit: int) -> bool:
        self.readable.set()
        return False

    def detach(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def close(self) -> None:
        self.detach()
        self.socket.close(linger=0)


class IPCCommandSystem:
    """Sends commands to other processes, and calls handlers for the commands of those it is connected to.

    `start`, `stop` and `connect_to_process` act at once, in any order; what they return may be awaited. A command for
    one process that has not joined yet waits `hold_s` at most; then it is dropped, logged and counted (``no_route``).
    Broadcasts reach those that have joined. Commands of one sender are handled in their order, one at a time.

    Parameters
    ----------
    process_id
        This process's name: letters, digits, ``_`` and ``-``, with inner dots for groups.
    root
        The root folder; None for `hftpy.common.get_root()`.
    hold_s
        How long a command waits for its target to join.
    queue_size
        How many commands may wait for handlers, for a target to join, and for one peer that does not read.
    dedupe_window
        How many command ids are remembered to drop duplicates.

    Raises
    ------
    TypeError, ValueError
        If the process id is not one.

    Thread safety: one thread, that of the event loop.
    """

    def __init__(
        self,
        process_id: str,
        root: str | os.PathLike[str] | None = None,
        *,
        hold_s: float = HOLD_S,
        queue_size: int = 10_000,
        dedupe_window: int = 10_000,
    ) -> None:
        self._process_id = check_process_id(process_id)
        self._subscriptions = subscriptions_of(process_id)
        self._chosen_root = None if root is None else Path(os.path.abspath(root))
        self._queue_size = queue_size
        self._publisher = CommandPublisher(process_id, hold_s=hold_s, capacity=queue_size, send_hwm=queue_size)
        self._dispatcher = CommandDispatcher(process_id, capacity=queue_size, window=dedupe_window)
        self._boot = secrets.token_hex(8)
        self._counter = 0
        self._wanted: dict[str, None] = {}  # in the order of the calls
        self._remotes: dict[str, _Remote] = {}
        self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._processor: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def process_id(self) -> str:
        """This process's name."""
        return self._process_id

    def start(self) -> _Done:
        """Bind this process's address and begin to receive. Again: nothing.

        Raises
        ------
        AddressInUseError
            If another process or object has this name.
        RootError
            If the root cannot be used.
        """
        if not self._running:
            self._publisher.open(self._root())
            self._running = True
            try:
                for process_id in self._wanted:
                    self._connect(process_id)
            except BaseException:
                self.stop()
                raise
        self._attach()
        return _Done(self)

    def stop(self) -> _Done:
        """Stop receiving and give the address back.

        Commands already sent have half a second to leave, in the background. If some still wait for their target to
        join, this blocks until it has, half a second at most; then they are dropped, logged and counted.
        """
        self._running = False
        self._dispatcher.stop()
        for remote in self._remotes.values():
            remote.close()
            self._end(remote.task)
        self._remotes.clear()
        self._publisher.close()
        # From inside a handler: the worker ends by itself after it.
        if self._processor is not None and not self._is_current(self._processor):
            self._end(self._processor)
        self._processor = None
        self._loop = None
        return _Done(self)

    def connect_to_process(self, remote_process_id: str) -> _Done:
        """Receive the commands of another process, from now on or from when it starts. Again: nothing.

        Raises
        ------
        TypeError, ValueError
            If the process id is not one.
        RootError
            If the root cannot be used.
        """
        check_process_id(remote_process_id)
        self._wanted.setdefault(remote_process_id)
        if self._running:
            self._connect(remote_process_id)
            self._attach()
        return _Done(self)

    def register_handler(self, command_type: str, handler: Handler) -> None:
        """Let `handler`, a function or a coroutine function, take the commands of a type.

        Raises
        ------
        TypeError, ValueError
            If the type is not one or the handler cannot be called.
        """
        self._dispatcher.register(command_type, handler)

    def send_command(self, target_id: str, command_type: str, payload: dict[str, Any] | None = None) -> CommandId:
        """Send a command to one process (or to a group, ``group.*``).

        Returns
        -------
        CommandId
            The id of the command, a str; it says that the command was sent, not that it arrived.

        Raises
        ------
        TypeError
            If an argument has a wrong type, or the payload holds what JSON cannot.
        ValueError
            If the target or the type is not one, both together are too long for a topic, or the payload is too large.
        """
        if payload is not None and not isinstance(payload, dict):
            raise TypeError(f"a payload must be a dict, was {type(payload).__name__}")
        now_us = time.time_ns() // 1000
        command_id = CommandId(f"{self._process_id}_{now_us}_{self._counter + 1}")
        command = IPCCommand(command_id, self._process_id, target_id, command_type, payload or {}, now_us)
        topic, frame = encode_frame(command, self._boot)
        self._counter += 1
        self._attach()
        self._publisher.send(topic, frame, target_id)
        return command_id

    def broadcast(self, command_type: str, payload: dict[str, Any] | None = None) -> CommandId:
        """Send a command to every process that has joined; returns and raises as `send_command`."""
        return self.send_command("*", command_type, payload)

    @property
    def stats(self) -> dict[str, int]:
        """Counters of commands sent and received, how many are held now, and how many peers have joined."""
        dispatcher, publisher = self._dispatcher, self._publisher
        return {
            "sent": publisher.sent,
            "received": dispatcher.received,
            "handled": dispatcher.handled,
            "failed": dispatcher.failed,
            "duplicates": dispatcher.duplicates,
            "malformed": dispatcher.malformed,
            "refused": dispatcher.refused,
            "no_handler": dispatcher.no_handler,
            "no_route": publisher.no_route,
            "queue_full": dispatcher.queue_full,
            "held": publisher.held,
            "peers": len(publisher.peers),
        }

    def _root(self) -> Path:
        return get_root() if self._chosen_root is None else self._chosen_root

    def _connect(self, process_id: str) -> None:
        if process_id in self._remotes:
            return
        path = socket_path(self._root(), f"command/{process_id}.ipc")
        self._remotes[process_id] = _Remote(process_id, path, self._subscriptions, self._queue_size)

    def _attach(self) -> None:
        """Give the sockets to the running loop, if there is one."""
        loop = running_loop()
        if loop is None or not self._running:
            return
        if loop is not self._loop:
            self._loop = loop
            self._publisher.attach(loop)
            self._processor = loop.create_task(self._process_worker(), name=f"{self._process_id} commands")
            for remote in self._remotes.values():
                remote.detach()
                remote.task = None
        for remote in self._remotes.values():
            if remote.task is None:
                remote.attach(loop)
                name = f"{self._process_id} from {remote.process_id}"
                remote.task = loop.create_task(self._receive_worker(remote), name=name)

    async def _receive_worker(self, remote: _Remote) -> None:
        socket = remote.socket
        while not socket.closed:
            await remote.readable.wait()
            remote.readable.clear()
            for _ in range(256):
                try:
                    frame = socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._dispatcher.take(frame)
            else:
                # Perhaps more: let handlers and others run first.
                remote.readable.set()
                await asyncio.sleep(0)

    async def _process_worker(self) -> None:
        await self._dispatcher.run()

    def _end(self, task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    @staticmethod
    def _is_current(task: asyncio.Task[None]) -> bool:
        return running_loop() is not None and asyncio.current_task() is task

    async def _settle(self) -> None:
        self._attach()
        if self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)
