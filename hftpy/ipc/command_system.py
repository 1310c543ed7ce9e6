"""Commands between processes, each known by its name."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Literal

import zmq

from hftcore.topic import check_process_id, check_target, command_topic, subscriptions_of, target_matches
from hftpy.common.log import LimitedLog, shown
from hftpy.common.paths import get_root, socket_path
from hftpy.ipc.command import MAX_COMMAND_BYTES, Ack, CommandId, encode_head, encode_payload
from hftpy.ipc.command_handlers import Handler, Registered, make_registered
from hftpy.ipc.command_lanes import CommandLanes
from hftpy.ipc.command_protocol import (
    ASK,
    COMMAND,
    HELLO,
    MALFORMED,
    PREFIX,
    decode_ask,
    decode_hello,
    encode_answer,
    protocol_topic,
)
from hftpy.ipc.command_publisher import CommandPublisher
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_state import CommandResult
from hftpy.ipc.sent_command import SentCommand
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, connect, running_loop

logger = logging.getLogger(__name__)

HOLD_S = 5.0
_TURN_FRAMES = 128  # read before others get the event loop
_KEYS_BYTES = 400  # room for the optional keys


class _Done:
    """What `start`, `stop` and `connect_to_process` return: may be awaited, and may be ignored."""

    def __init__(self, system: "IPCCommandSystem") -> None:
        self._system = system

    def __await__(self) -> Generator[Any, None, None]:
        return self._system._settle().__await__()


class _Remote:
    """A process whose commands are received: its socket, and who reads it."""

    def __init__(self, process_id: str, path: Path, subscriptions: list[bytes], receive_hwm: int) -> None:
        self.process_id = process_id
        # One socket per remote: a frame upstream on a socket with several would reach each of them.
        self.socket = connect(path, zmq.XSUB, receive_hwm=receive_hwm, watched=True)
        for prefix in subscriptions:
            self.socket.send(b"\x01" + prefix)
        self.reader: FrameReader | None = None
        self.is_heard = False  # it speaks the protocol: what we say to it may take a while to leave

    def detach(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def close(self) -> None:
        self.detach()
        self.socket.close(linger=STOP_LINGER_MS if self.is_heard else 0)


class IPCCommandSystem:
    """Sends commands to other processes, and calls handlers for the commands of those it is connected to.

    `start`, `stop` and `connect_to_process` act at once, in any order; what they return may be awaited. A command is
    sent as soon as its target has joined; the target says when it has it and what came of it, and until then it is
    sent again where it was lost, with the same id, until its deadline. A target runs it once at most. Broadcasts reach
    those that have joined. Commands of one sender to one target are handled in their order, lane by lane.

    Plain PUB and SUB peers take part as the specification describes it, without acknowledgements.

    Parameters
    ----------
    process_id
        This process's name: letters, digits, ``_`` and ``-``, with inner dots for groups.
    root
        The root folder; None for `hftpy.common.get_root()`.
    hold_s
        The deadline of commands for which none is given: how long after being sent a handler may start.
    queue_size
        How many commands may wait in one lane, for one target, and for one peer that does not read.
    dedupe_window
        How many commands of one sender are remembered until it knows their outcome; further ones are refused.

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
        dedupe_window: int = 100_000,
    ) -> None:
        self._process_id = check_process_id(process_id)
        self._subscriptions = [*subscriptions_of(process_id), protocol_topic(process_id)]
        self._protocol_topic = protocol_topic(process_id)
        self._chosen_root = None if root is None else Path(os.path.abspath(root))
        self._queue_size = queue_size
        self._hold_s = hold_s
        self._boot = secrets.token_hex(8)
        self._log = LimitedLog(logger)
        self._publisher = CommandPublisher(
            process_id, self._boot, join_s=hold_s, capacity=queue_size, send_hwm=queue_size
        )
        self._handlers: dict[str, Registered] = {}
        self._lanes = CommandLanes(process_id, queue_size)
        self._receiver = CommandReceiver(
            process_id,
            self._boot,
            start=time.monotonic(),
            handlers=self._handlers,
            run=self._lanes.put,
            capacity=dedupe_window,
            window=dedupe_window,
        )
        self._receiver.wall = lambda: time.time() - time.monotonic()
        self._receiver.log = self._log_refused
        self._lanes.decisions = self._receiver
        self._lanes.on_answer = self._answer_soon
        self._lanes.on_left = self._close_remotes
        self._counter = 0
        self._wanted: dict[str, None] = {}  # in the order of the calls
        self._remotes: dict[str, _Remote] = {}
        self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: asyncio.Handle | None = None
        self._order_timer: asyncio.TimerHandle | None = None
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
        join, this blocks until it has, half a second at most; then they are dropped, logged and counted. Commands that
        wait for their handlers are refused as busy; a handler that runs is cancelled, and its sender told that the
        outcome is unknown. The handler that calls this runs to its end, and its sender is told how.
        """
        self._running = False
        is_inside = self._lanes.is_inside
        for task in self._lanes.stop():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for remote in self._remotes.values():
            remote.detach()
        self._flush_answers()
        if not is_inside:
            self._close_remotes()
        self._publisher.close()
        if self._order_timer is not None:
            self._order_timer.cancel()
            self._order_timer = None
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

    def register_handler(
        self,
        command_type: str,
        handler: Handler,
        *,
        lane: str | None = None,
        timeout: float | None = None,
        idempotent: bool = False,
        senders: Iterable[str] | None = None,
    ) -> None:
        """Let `handler`, a function or a coroutine function, take the commands of a type, instead of one before.

        What it returns is the command's result and must be of JSON types; what it raises is its error. If its argument
        is annotated with a msgspec Struct, the payload must be one, and `command.payload` is it.

        Parameters
        ----------
        command_type, handler
            Which commands, and who takes them.
        lane
            Commands of one lane are handled one after another, lanes beside each other. None: ``halt``, ``cancel_all``
            and ``shutdown`` have a lane each, all others share one.
        timeout
            Seconds after which a coroutine is cancelled; its sender is told so as an error.
        idempotent
            It may run again where it is not known whether an earlier life of this process ran it.
        senders
            Who may send it; None: everybody this process is connected to.

        Raises
        ------
        TypeError, ValueError
            If the type, the lane, the timeout or a sender is not one, or the handler cannot be called.
        """
        self._handlers[command_type] = make_registered(
            command_type,
            handler,
            lane=lane,
            timeout=timeout,
            idempotent=idempotent,
            durable=False,
            senders=senders,
        )

    def send_command(
        self,
        target_id: str,
        command_type: str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        ack: Ack = "done",
        fail_fast: bool = False,
    ) -> CommandId:
        """Send a command to one process (or to a group, ``group.*``).

        Parameters
        ----------
        target_id, command_type
            For whom, and what.
        payload
            Its arguments, of JSON types; also Decimal, datetime, Enum, bytes and msgspec Structs. None: ``{}``.
        timeout
            Its deadline, in seconds from now; None: `hold_s`.
        ack
            What its target is asked to say: how it ended (``done``), that it has it (``recv``), nothing (``none``).
        fail_fast
            End it as NO_ROUTE at once if its target has not joined, instead of waiting for it.

        Returns
        -------
        CommandId
            The id of the command, a str, for `wait` and `status`.

        Raises
        ------
        TypeError
            If an argument has a wrong type, or the payload holds what cannot be sent.
        ValueError
            If the target or the type is not one, both together are too long for a topic, or the payload is too large,
            too deep, or holds NaN; or the timeout is not above 0.
        """
        return CommandId(self._send(target_id, command_type, payload, timeout, ack, fail_fast).id)

    def _send(
        self, target_id: str, command_type: str, payload: Any, timeout: float | None, ack: Ack, fail_fast: bool
    ) -> SentCommand:
        topic = command_topic(target_id, command_type)
        ttl = self._hold_s if timeout is None else timeout
        if not 0 < ttl < 1e7:
            raise ValueError(f"timeout must be above 0 s, was {timeout!r}")
        if ack not in ("none", "recv", "done"):
            raise ValueError(f"ack must be none, recv or done, was {ack!r}")
        text = "{}" if payload is None else encode_payload(payload)
        now_us = time.time_ns() // 1000
        command_id = f"{self._process_id}_{now_us}_{self._counter + 1}"
        head = encode_head(command_id, self._process_id, target_id, command_type, text, now_us)
        if len(topic) + len(head) + _KEYS_BYTES > MAX_COMMAND_BYTES:
            size = len(topic) + len(head) + _KEYS_BYTES
            raise ValueError(f"a command must have at most {MAX_COMMAND_BYTES} bytes, was {size}")
        self._counter += 1
        self._attach()
        now = time.monotonic()
        command = SentCommand(command_id, target_id, command_type, topic, head, now + ttl, ack)
        self._publisher.send(command, now, fail_fast=fail_fast)
        return command

    def broadcast(
        self, command_type: str, payload: Any = None, *, timeout: float | None = None, ack: Ack = "done"
    ) -> CommandId:
        """Send a command to every process that has joined; returns and raises as `send_command`."""
        return self.send_command("*", command_type, payload, timeout=timeout, ack=ack)

    async def call(
        self, target_id: str, command_type: str, payload: Any = None, timeout: float = HOLD_S, *, fail_fast: bool = False
    ) -> CommandResult:
        """Send a command and wait for its end: at the latest when `timeout` seconds have passed.

        Returns
        -------
        CommandResult
            How it ended; its `value` is what the handler returned. For a group or all, see its `members`.

        Raises
        ------
        TypeError, ValueError
            As `send_command`.
        """
        command = self._send(target_id, command_type, payload, timeout, "done", fail_fast)
        if not command.final:
            await self._watch(command, lambda: command.final)
        return command.result()

    async def wait(self, command_id: str, until: Literal["recv", "done"] = "done") -> CommandResult:
        """Wait until a command has ended, or until its target has it (or never will).

        Raises
        ------
        KeyError
            If no such command was sent, or so many after it have ended that it is forgotten.
        ValueError
            If `until` is neither.
        """
        if until not in ("recv", "done"):
            raise ValueError(f"until must be recv or done, was {until!r}")
        command = self._find(command_id)
        is_over = command.is_received if until == "recv" else lambda: command.final
        if not is_over():
            await self._watch(command, is_over)
        return command.result()

    def status(self, command_id: str) -> CommandResult:
        """What is known of a command now.

        Raises
        ------
        KeyError
            As `wait`.
        """
        return self._find(command_id).result()

    async def ready(self, target_id: str, timeout: float | None = None) -> bool:
        """Wait until commands to a process (of a group, of all: at least one) will be acknowledged.

        Returns
        -------
        bool
            False if `timeout` seconds passed before.

        Raises
        ------
        TypeError, ValueError
            If the target is not one.
        """
        check_target(target_id)
        self._attach()
        peers = self._publisher.sender.peers

        def is_ready() -> bool:
            return any(peer.boot and target_matches(target_id, name) for name, peer in peers.items())

        if is_ready():
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def look() -> None:
            if not future.done() and is_ready():
                future.set_result(None)

        self._publisher.sender.on_ready.append(look)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._publisher.sender.on_ready.remove(look)
        return True

    def _find(self, command_id: str) -> SentCommand:
        try:
            return self._publisher.sender.commands[command_id]
        except KeyError:
            raise KeyError(f"no command {command_id!r} is known") from None

    async def _watch(self, command: SentCommand, is_over: Callable[[], bool]) -> None:
        self._attach()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not future.done() and is_over():
                future.set_result(None)

        if command.watchers is None:
            command.watchers = []
        command.watchers.append(look)
        try:
            await future
        finally:
            command.watchers.remove(look)

    @property
    def stats(self) -> dict[str, int]:
        """Counters of commands sent and received, how many are held now, and how many peers have joined."""
        receiver, lanes, publisher = self._receiver, self._lanes, self._publisher
        sender = publisher.sender
        return {
            "sent": sender.sent,
            "received": receiver.received,
            "handled": lanes.handled,
            "failed": lanes.failed,
            "duplicates": receiver.duplicates,
            "malformed": receiver.malformed,
            "refused": receiver.refused,
            "no_handler": receiver.no_handler,
            "no_route": sender.dropped,
            "queue_full": lanes.queue_full,
            "held": sender.waiting,
            "peers": len(publisher.peers),
            "acknowledged": sum(1 for peer in sender.peers.values() if peer.boot),
            "open": sender.outstanding,
            "resent": sender.resent,
            "resolved": sender.resolved,
            **{f"ended_{state}": count for state, count in sender.ended.items() if state != "queued"},
            "busy": receiver.busy,
            "expired": receiver.expired,
            "not_allowed": receiver.not_allowed,
            "bad_payload": receiver.bad_payload,
            "unknown": receiver.unknown,
            "malformed_answers": publisher.malformed,
            "refused_answers": sender.refused,
            "waiting": lanes.waiting,
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
            self._answers = self._order_timer = None
            self._publisher.attach(loop)
            self._lanes.attach(loop)
            for remote in self._remotes.values():
                remote.detach()
        for remote in self._remotes.values():
            if remote.reader is None:
                remote.reader = FrameReader(loop, remote.socket, lambda limit, remote=remote: self._read(remote))

    # -- receiving ----------------------------------------------------------------------------------------------

    def _read(self, remote: _Remote) -> bool:
        socket, now = remote.socket, time.monotonic()
        for _ in range(_TURN_FRAMES):
            if remote.reader is None:
                return False  # a handler has stopped us
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if frame.startswith(PREFIX):
                self._take_protocol(now, remote, frame)
            else:
                self._receiver.on_frame(now, remote.process_id, frame)
            if self._receiver.answers:
                self._answer_soon()
        return True

    def _take_protocol(self, now: float, remote: _Remote, frame: bytes) -> None:
        begin = len(self._protocol_topic)
        if not frame.startswith(self._protocol_topic):
            self._receiver.refused += 1
            return
        kind, body = frame[begin : begin + 1], frame[begin + 1 :]
        try:
            if kind == COMMAND:
                self._receiver.on_frame(now, remote.process_id, body)
            elif kind == HELLO:
                remote.is_heard = True
                self._receiver.on_hello(now, remote.process_id, decode_hello(body))
            elif kind == ASK:
                self._receiver.on_ask(now, remote.process_id, decode_ask(body))
        except MALFORMED as error:
            self._receiver.malformed += 1
            self._log_refused("malformed", "malformed frame of the protocol: %s: %s", error, frame)
        if self._receiver.is_waiting and self._order_timer is None and self._loop is not None:
            self._order_timer = self._loop.call_later(0.05, self._on_order_timer)

    def _on_order_timer(self) -> None:
        self._order_timer = None
        self._receiver.poll(time.monotonic())
        self._answer_soon()
        if self._receiver.is_waiting and self._loop is not None:
            self._order_timer = self._loop.call_later(0.05, self._on_order_timer)

    def _log_refused(self, key: str, message: str, *args: object) -> None:
        shorter = [shown(arg, 64) if isinstance(arg, bytes) else arg for arg in args]
        self._log.warning(key, message, *shorter)

    def _answer_soon(self) -> None:
        # At the end of this turn: a handler that ends at once is answered by one frame.
        if self._answers is None and self._loop is not None and not self._loop.is_closed():
            self._answers = self._loop.call_soon(self._flush_answers)
        elif self._loop is None:
            self._flush_answers()

    def _flush_answers(self) -> None:
        if self._answers is not None:
            self._answers.cancel()
            self._answers = None
        for remote_id, answer in self._receiver.take_answers():
            remote = self._remotes.get(remote_id)
            if remote is not None and not remote.socket.closed:
                remote.socket.send(encode_answer(answer), zmq.NOBLOCK)
                if remote.reader is not None:
                    remote.reader.poke()

    def _close_remotes(self) -> None:
        self._flush_answers()
        if not self._running:
            for remote in self._remotes.values():
                remote.close()
            self._remotes.clear()

    async def _settle(self) -> None:
        self._attach()
        if self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)
