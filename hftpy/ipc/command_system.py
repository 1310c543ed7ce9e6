"""Commands between processes, each known by its name."""

import asyncio
import functools
import os
import secrets
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Literal

from hftcore.topic import check_process_id, check_target, command_topic, subscriptions_of, target_matches
from hftpy.common.paths import get_root, socket_path
from hftpy.errors import CommandsStopped, ConfigError
from hftpy.ipc.command import MAX_COMMAND_BYTES, Ack, CommandId, encode_head, encode_payload
from hftpy.ipc.command_audit import AuditLog, CommandObserver, audit_path
from hftpy.ipc.command_clock import ForeignClock
from hftpy.ipc.command_handlers import Handler, make_registered
from hftpy.ipc.command_journal import CommandJournal
from hftpy.ipc.command_protocol import (
    PREFIX,
    Answer,
    Done,
    protocol_topic,
)
from hftpy.ipc.command_publisher import CommandPublisher
from hftpy.ipc.command_remote import Remote
from hftpy.ipc.command_session import Received
from hftpy.ipc.command_state import CommandResult
from hftpy.ipc.command_stats import counters
from hftpy.ipc.dispatcher import CommandDispatcher
from hftpy.ipc.sent_command import SentCommand, tell
from hftpy.ipc.tcp import TcpEndpoints
from hftpy.ipc.transport import running_loop

HOLD_S = 5.0
_KEYS_BYTES = 400  # room for the optional keys

_topic = functools.lru_cache(4096)(command_topic)
_systems: "weakref.WeakSet[IPCCommandSystem]" = weakref.WeakSet()


def _disown_in_child() -> None:
    for system in list(_systems):
        system._disown()


os.register_at_fork(after_in_child=_disown_in_child)


class _Done:
    """What `start`, `stop` and `connect_to_process` return: may be awaited, and may be ignored."""

    def __init__(self, system: "IPCCommandSystem") -> None:
        self._system = system

    def __await__(self) -> Generator[Any, None, None]:
        return self._system._settle().__await__()


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
    journal_fsync
        Whether each line about a durable command is forced to the disk, to survive the death of the machine too.
    audit
        A file of JSON lines that says of every command who sent it to whom and what came of it, without payloads. None:
        ``{process_id}.jsonl`` in the folder ``$HFT_COMMAND_AUDIT``, if that is set.
    tcp
        Where this process and its peers are reached beyond this host (docs/tcp.md); None: nowhere. Its key must be that
        of `process_id`.

    Raises
    ------
    ConfigError
        If `tcp` has the key of another process.
    TypeError, ValueError
        If the process id is not one.

    Thread safety: one thread, that of the event loop. A forked child must make its own: there, what would send, start
    or wait raises RuntimeError, and `stop` does nothing.
    """

    def __init__(
        self,
        process_id: str,
        root: str | os.PathLike[str] | None = None,
        *,
        hold_s: float = HOLD_S,
        queue_size: int = 10_000,
        dedupe_window: int = 100_000,
        journal_fsync: bool = False,
        audit: str | os.PathLike[str] | None = None,
        tcp: TcpEndpoints | None = None,
    ) -> None:
        self._process_id = check_process_id(process_id)
        if tcp is not None and tcp.key.name != process_id:
            raise ConfigError(f"commands of {process_id} need its own key over tcp, was that of {tcp.key.name}")
        self._tcp = tcp
        self._tcp_refused = 0
        # The protocol's first: whoever gets anything has joined.
        self._subscriptions = [protocol_topic(process_id), *subscriptions_of(process_id)]
        self._chosen_root = None if root is None else Path(os.path.abspath(root))
        self._queue_size = queue_size
        self._hold_s = hold_s
        self._boot = secrets.token_hex(8)
        self._observer = CommandObserver(process_id)
        self._audit_path = audit_path(process_id, audit)
        self._publisher = CommandPublisher(
            process_id,
            self._boot,
            join_s=hold_s,
            capacity=queue_size,
            send_hwm=queue_size,
            observer=self._observer,
            tcp=tcp,
        )
        self._dispatcher = CommandDispatcher(
            process_id,
            self._boot,
            capacity=queue_size,
            window=dedupe_window,
            answer=self._answer,
            journal=lambda: CommandJournal(self._root(), process_id, fsync=journal_fsync),
        )
        self._dispatcher.lanes.on_left = self._close_remotes
        self._dispatcher.receiver.on_end = self._on_received
        self._counter = self._made_us = 0
        self._wanted: dict[str, None] = {}  # in the order of the calls
        self._remotes: dict[str, Remote] = {}
        self._running = self._stopped = False
        self._disowned = False
        _systems.add(self)
        self._stops = 0
        self._waiters: set[asyncio.Future[None]] = set()  # of those who wait for a target
        self._loop: asyncio.AbstractEventLoop | None = None
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
            If another process or object has this name, or the tcp port.
        ConfigError
            If the tcp endpoint cannot be used.
        RootError
            If the root or the audit log cannot be used.
        """
        self._check_own()
        if not self._running:
            if self._audit_path is not None and self._observer.audit is None:
                self._observer.audit = AuditLog(self._audit_path)
            try:
                self._publisher.open(self._root())
            except BaseException:
                if not self._remotes:  # else a handler that has stopped us is still to be answered
                    self._close_remotes()
                raise
            self._running = True
            self._stopped = False
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
        if self._disowned:
            return _Done(self)
        self._running = False
        self._stopped = True
        self._stops += 1
        for waiter in self._waiters:
            tell(waiter)
        is_inside = self._dispatcher.lanes.is_inside
        for task in self._dispatcher.stop():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for remote in self._remotes.values():
            remote.detach()
        if not is_inside:
            self._close_remotes()
        self._publisher.close()
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
        self._check_own()
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
        durable: bool = False,
        senders: Iterable[str] | None = None,
    ) -> None:
        """Let `handler`, a function or a coroutine function, take the commands of a type, instead of one before.

        It is given the `IPCCommand`. If its first argument is annotated with a msgspec Struct, the payload must be one,
        and it is given that instead, and the command as a second argument if it needs one. What it returns is the
        command's result and must be of JSON types; what it raises is its error.

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
        durable
            Its starts and ends are journalled under the root: what an earlier life of this process did not start is
            run by this one, what it ended is answered from the journal, and what it started and did not end is
            UNKNOWN and not run again, unless it is idempotent.
        senders
            Who may send it; None: everybody this process is connected to.

        Raises
        ------
        TypeError, ValueError
            If the type, the lane, the timeout or a sender is not one, or the handler cannot be called.
        """
        self._dispatcher.handlers[command_type] = make_registered(
            command_type,
            handler,
            lane=lane,
            timeout=timeout,
            idempotent=idempotent,
            durable=durable,
            senders=senders,
        )

    @property
    def ending(self) -> list[asyncio.Task[None]]:
        """Tasks of handlers that `stop` has cancelled and that have not ended; whoever awaits `stop` waits for them."""
        return list(self._ending)

    def after_handlers(self, call: Callable[[], None]) -> None:
        """Call something in the task of each handler that was awaited, when that has ended."""
        self._dispatcher.lanes.on_awaited = call

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
            too deep, or holds NaN; or the timeout is not above 0 s and
            below 1e7 s.
        """
        return CommandId(self._send(target_id, command_type, payload, timeout, ack, fail_fast).id)

    def _send(
        self, target_id: str, command_type: str, payload: Any, timeout: float | None, ack: Ack, fail_fast: bool
    ) -> SentCommand:
        if self._disowned:
            self._check_own()
        topic = _topic(target_id, command_type)
        ttl = self._hold_s if timeout is None else timeout
        if not 0 < ttl < 1e7:
            raise ValueError(f"timeout must be above 0 s and below 1e7 s, was {ttl!r}")
        if ack not in ("none", "recv", "done"):
            raise ValueError(f"ack must be none, recv or done, was {ack!r}")
        text = "{}" if payload is None else encode_payload(payload)
        # What was sent later never seems to be older, also where the clock is set back: gateways compare.
        now_us = self._made_us = max(time.time_ns() // 1000, self._made_us)
        command_id = f"{self._process_id}_{now_us}_{self._counter + 1}"
        head = encode_head(command_id, self._process_id, target_id, command_type, text, now_us)
        if len(topic) + len(head) + _KEYS_BYTES > MAX_COMMAND_BYTES:
            size = len(topic) + len(head) + _KEYS_BYTES
            raise ValueError(f"a command must have at most {MAX_COMMAND_BYTES} bytes, was {size}")
        self._counter += 1
        self._attach()
        now = time.monotonic()
        command = SentCommand(command_id, target_id, command_type, topic, head, now + ttl, ack)
        self._publisher.send(command, now, fail_fast)
        return command

    def broadcast(
        self, command_type: str, payload: Any = None, *, timeout: float | None = None, ack: Ack = "done"
    ) -> CommandId:
        """Send a command to every process that has joined; returns and raises as `send_command`."""
        return self.send_command("*", command_type, payload, timeout=timeout, ack=ack)

    async def call(
        self,
        target_id: str,
        command_type: str,
        payload: Any = None,
        timeout: float = HOLD_S,
        *,
        fail_fast: bool = False,
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
            await command.ended(asyncio.get_running_loop())
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
        self._check_own()
        command = self._find(command_id)
        if until == "done":
            self._attach()
            if not command.final:
                await command.ended(asyncio.get_running_loop())
        while until == "recv" and not command.is_received():
            await self._watch(command, command.is_received)
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
        CommandsStopped
            If the system is stopped meanwhile, or was stopped and has not been started again.
        TypeError, ValueError
            If the target is not one.
        """
        check_target(target_id)
        self._check_own()
        self._attach()
        if self._stopped:
            raise self._never_ready(target_id)
        stops = self._stops
        peers = self._publisher.sender.peers

        def is_ready() -> bool:
            return any(peer.boot and target_matches(target_id, name) for name, peer in peers.items())

        if is_ready():
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def look() -> None:
            if is_ready():
                tell(future)

        self._publisher.sender.on_ready.append(look)
        self._waiters.add(future)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(future)
            self._publisher.sender.on_ready.remove(look)
        if self._stops != stops:
            raise self._never_ready(target_id)
        return True

    def _check_own(self) -> None:
        if self._disowned:
            raise RuntimeError(
                f"the command system of {self._process_id} belongs to the process that made it, not to its forked child"
            )

    def _disown(self) -> None:
        """In a forked child: the sockets are the parent's; kept, so that nothing of theirs is given back here."""
        self._disowned = True
        self._running = False

    def _never_ready(self, target_id: str) -> CommandsStopped:
        return CommandsStopped(f"{self._process_id} was stopped: {target_id} will not be ready for its commands")

    def _find(self, command_id: str) -> SentCommand:
        try:
            return self._publisher.sender.commands[command_id]
        except KeyError:
            raise KeyError(f"no command {command_id!r} is known") from None

    async def _watch(self, command: SentCommand, is_over: Callable[[], bool]) -> None:
        self._attach()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if is_over():
                tell(future)

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
        return {**counters(self._dispatcher, self._publisher), **self._tcp_stats()}

    def _tcp_stats(self) -> dict[str, int]:
        if self._tcp is None:
            return {}
        links = [remote.link for remote in self._remotes.values() if remote.link is not None]
        self._tcp_refused += sum(link.take_failed() for link in links)
        listener = self._publisher.listener
        return {
            "forged": self._dispatcher.receiver.forged + self._publisher.keyed_peers.forged,
            "tcp_refused": self._tcp_refused,
            **(listener.stats() if listener is not None else {}),
        }

    @property
    def tcp_endpoint(self) -> str | None:
        """Where it is reached over tcp since `start`, with the port that the system chose; None: nowhere."""
        listener = self._publisher.listener
        return None if listener is None or not self._running else listener.endpoint

    def _root(self) -> Path:
        return get_root() if self._chosen_root is None else self._chosen_root

    def _connect(self, process_id: str) -> None:
        if process_id in self._remotes:
            return
        remote = None if self._tcp is None else self._tcp.commands_of(process_id)
        if self._tcp is not None and remote is not None:
            self._remotes[process_id] = Remote(
                process_id, None, self._subscriptions, self._queue_size, (self._tcp, remote)
            )
            self._dispatcher.receiver.foreign.setdefault(process_id, ForeignClock())
            return
        path = socket_path(self._root(), f"command/{process_id}.ipc")
        self._remotes[process_id] = Remote(process_id, path, self._subscriptions, self._queue_size)

    def _attach(self) -> None:
        """Give the sockets to the running loop, if there is one."""
        loop = running_loop()
        if loop is None:
            return
        if not self._running:
            self._publisher.arm()  # what waits for the start ends by its deadline all the same
            return
        if loop is not self._loop:
            self._loop = loop
            self._publisher.attach(loop)
            self._dispatcher.attach(loop)
            for remote in self._remotes.values():
                remote.detach()
        for remote in self._remotes.values():
            remote.attach(loop, self._take, self._dispatcher.begin_turn, self._dispatcher.end_turn)

    def _take(self, remote: Remote, frame: bytes) -> None:
        if frame.startswith(PREFIX):
            remote.is_heard = True
            self._dispatcher.take_protocol(frame, remote.process_id)
        else:
            self._dispatcher.take(frame, remote.process_id)

    def _on_received(self, entry: Received, done: Done) -> None:
        if self._observer.is_on:
            self._observer.on_received(entry, done)

    def _answer(self, remote_id: str, answer: Answer) -> None:
        remote = self._remotes.get(remote_id)
        if remote is not None:
            remote.answer(answer)

    def _close_remotes(self) -> None:
        if not self._running:
            for remote in self._remotes.values():
                remote.close()
            self._remotes.clear()
            self._dispatcher.close()
            if self._observer.audit is not None:
                self._observer.audit.close()
                self._observer.audit = None

    async def _settle(self) -> None:
        if self._disowned:
            return
        self._attach()
        if asyncio.current_task() in self._ending:
            return  # others may wait for this one
        loop = asyncio.get_running_loop()
        ending = [task for task in self._ending if task.get_loop() is loop]
        if ending:
            await asyncio.wait(ending)
