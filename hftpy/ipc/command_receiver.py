"""The receiving half of acknowledged commands: what is run, what is refused, and what its sender is told.

No sockets and no clock here: every call is given the time (seconds of CLOCK_MONOTONIC). What may run goes to a
callable, in its order; what is to be said waits in `answers` until whoever owns the sockets takes it. What a command
was answered is kept until its sender says that it has heard it, so that a duplicate is answered by that and never run
a second time; what is full refuses and never forgets.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from hftcore.topic import match, target_matches
from hftpy.ipc.command import MAX_ID_CHARS, IPCCommand, Keys, decode_frame
from hftpy.ipc.command_clock import ForeignClock
from hftpy.ipc.command_handlers import Registered, stream_of, target_of
from hftpy.ipc.command_protocol import MAX_ERROR_CHARACTERS, Answer, Ask, AskItem, Done, Hello, Outcome
from hftpy.ipc.command_session import (
    Journal,
    Received,
    Session,
    Source,
    Stream,
    is_stream,
    parts_of,
    repeat,
    stream_name,
    unknown_end,
)
from hftpy.ipc.command_state import Rejection
from hftpy.ipc.command_text import sendable, text_of

KEEP_S = 10.0  # how long after its deadline the answer to a command is kept
QUIET_S = 60.0  # the answers to commands without a deadline are kept as long after the last word of their sender
MAX_LIVES = 128  # of senders that are remembered by the process that they come through
MAX_KEPT_BYTES = 256 << 20  # of commands and answers, by the same
SWEEP_S = 1.0  # how often lives are looked at whether they may be forgotten
MAX_SKIPPED = 10_000
MAX_MISSED = 2_000  # commands of one life of a sender that were said to be missing, and have not come yet
HELLO_S = 0.2  # how long what came before its sender's hello waits for it


class CommandReceiver:
    """Every command that one process is sent.

    Parameters
    ----------
    process_id, boot
        The receiver and its life.
    start
        When this life began; what was sent before may have been run by an earlier one.
    handlers
        By command type.
    run
        Takes what may run now; returns False if there is no room.
    capacity
        How many commands of one sender's life are remembered; further ones are refused as busy.
    window
        How many ids of senders that do not number their commands are remembered to drop duplicates.
    journal
        Opens the journal when it is first needed.

    Attributes
    ----------
    log
        Called with a key, a format and its arguments for what is worth a line.
    on_end
        Called with each command that ended here, and how.
    foreign
        The clocks of the senders that are reached over tcp, which are what their keys say and nobody else.
    """

    def __init__(
        self,
        process_id: str,
        boot: str,
        *,
        start: float,
        handlers: Mapping[str, Registered],
        run: Callable[[Received], bool],
        capacity: int = 10_000,
        window: int = 10_000,
        journal: Callable[[], Journal] | None = None,
    ) -> None:
        self._process_id = process_id
        self._boot = boot
        self._start_us = int(start * 1e6)
        self._handlers = handlers
        self._run = run
        self._capacity = capacity
        self._window = window
        self._journal = journal
        self._sources: dict[str, Source] = {}  # by the process whose socket they come by
        self._sessions: OrderedDict[tuple[str, str, str], Session] = OrderedDict()
        self._sweep_at = 0.0
        self._held = 0
        self.answers: dict[tuple[str, str], Answer] = {}  # by remote and the life that is answered
        self.wall: Callable[[], float] | None = None
        self.log: Callable[..., None] = lambda *args: None
        self.on_end: Callable[[Received, Done], None] | None = None
        self.foreign: dict[str, ForeignClock] = {}
        self.forged = 0
        self.received = self.duplicates = self.malformed = self.refused = self.no_handler = 0
        self.busy = self.expired = self.not_allowed = self.bad_payload = self.unknown = 0

    # -- from the sender ----------------------------------------------------------------------------------------

    def on_hello(self, now: float, remote: str, hello: Hello) -> None:
        """A sender says who it is: from here on its commands have an order."""
        session = self._session(now, remote, remote, hello.boot) if hello.id == remote else None
        if session is None:
            self.refused += 1
            return
        session.greeted = True
        clock = self.foreign.get(remote)
        if clock is not None and hello.mono > 0:
            clock.observe(hello.boot, now, hello.mono)
        for name, base in hello.base.items():
            if is_stream(name) and target_matches(target_of(name), self._process_id):
                stream = session.stream(name)
                if base > stream.next:
                    self._advance_to(now, stream, base)
        for stream in session.streams.values():
            if not stream.next:
                self._advance_to(now, stream, 1)
        self._answer(remote, hello.boot).hello = True

    def on_ask(self, now: float, remote: str, ask: Ask) -> None:
        """A sender asks what became of its commands, and says what it knows."""
        session = self._sessions.get((remote, remote, ask.boot))
        if session is None:
            # Its hello was lost; without it nothing is known of its order.
            answer = self._answer(remote, ask.boot)
            answer.hello = True
            session = self._session(now, remote, remote, ask.boot)
            if session is None:
                return
        session.used = now
        for item in ask.items:
            self._on_item(now, session, item)
        for name, seqs in ask.gone.items():
            stream = session.streams.get(name)
            if stream is not None:
                self._skip(now, stream, seqs)
        for name, seqs in ask.fin.items():
            stream = session.streams.get(name)
            if stream is not None:
                for seq in seqs:
                    self._forget(session, stream, seq)
        for name, low in ask.low.items():
            stream = session.streams.get(name)
            if stream is not None:
                self._on_low(now, session, stream, low)

    def _on_item(self, now: float, session: Session, item: AskItem) -> None:
        if len(item.command_id) > MAX_ID_CHARS:
            self.refused += 1
            return
        entry = session.store.get(item.command_id)
        answer = self._answer(session.remote, session.boot)
        if entry is not None:
            repeat(answer, entry)
            return
        stream = session.streams.get(stream_of(item.target_id, item.command_type))
        if stream is not None and 0 < item.seq < stream.low:
            return  # the sender knows
        if stream is not None and 0 < item.seq < stream.next and item.to == self._boot:
            # Decided, and not kept: that is what becomes of what was refused.
            answer.done.append(Done(item.command_id, "rejected", Rejection.BUSY))
        elif not item.deadline_us or now * 1e6 <= self._local_us(now, session.remote, session.boot, item.deadline_us):
            self._miss(session, item.command_id)
        elif item.to == self._boot:
            # It never came, and would be refused if it came now.
            answer.done.append(Done(item.command_id, "rejected", Rejection.EXPIRED))
        else:
            registered = self._handlers.get(item.command_type)
            found = self._find(session, item.command_id, registered)
            if isinstance(found, Done):
                answer.done.append(found)
            elif not found:
                answer.done.append(Done(item.command_id, "rejected", Rejection.EXPIRED))

    def _miss(self, session: Session, command_id: str, attempt: int = 1) -> None:
        """Let a command be sent again, after so many times, if its sender still waits for its end."""
        session.missed[command_id] = max(attempt, session.missed.get(command_id, 0))
        if len(session.missed) > MAX_MISSED:
            del session.missed[next(iter(session.missed))]  # it will be asked about again
        self._answer(session.remote, session.boot).missing.append(command_id)

    def on_frame(self, now: float, remote: str, frame: bytes) -> None:
        """A command, sent for the first time or again."""
        self.received += 1
        try:
            topic, command, keys = decode_frame(frame)
        except ValueError as error:
            self.malformed += 1
            self.log("malformed", "malformed command: %s: %s", error, frame)
            return
        if not match(topic, f"{command.target_id}.{command.command_type}"):
            self.refused += 1
            self.log("disagree", "refused %r: its topic is %r", command, topic.rstrip())
            return
        if not target_matches(command.target_id, self._process_id):
            self.refused += 1
            self.log("target", "refused %r: it is not for %s", command, self._process_id)
            return
        clock = self.foreign.get(remote)
        if clock is not None:
            if command.sender_id != remote:
                self.forged += 1
                self.not_allowed += 1
                self.log("forged", "refused %r: its sender is %s by its key", command, remote)
                return
            if keys.mono_us > 0 and keys.attempt == 1:
                clock.observe(keys.boot, now, keys.mono_us)
        if keys.seq > 0:
            self._on_numbered(now, remote, command, keys, len(frame))
        else:
            self._on_plain(now, remote, command, keys)

    def _on_plain(self, now: float, remote: str, command: IPCCommand, keys: Keys) -> None:
        plain = self._source(remote).plain
        key = (command.sender_id, keys.boot, command.command_id)
        if key in plain:
            self.duplicates += 1
            return
        entry = Received(command, keys, remote, None, self._deadline(now, remote, command, keys))
        if not self._begin(now, entry):
            return  # not remembered: one that was refused for want of room may be sent again
        plain[key] = None
        if len(plain) > self._window:
            plain.popitem(last=False)

    def _on_numbered(self, now: float, remote: str, command: IPCCommand, keys: Keys, size: int) -> None:
        session = self._session(now, remote, command.sender_id, keys.boot)
        if session is None:
            self.busy += 1
            return  # it stays missing, and will be sent again
        stream = session.stream(stream_of(command.target_id, command.command_type))
        self._on_low(now, session, stream, keys.low)
        if not stream.next and keys.low == keys.seq:
            self._advance_to(now, stream, keys.seq)  # nothing before it is open: there is no order to wait for
        entry = session.store.get(command.command_id)
        if entry is not None:
            self.duplicates += 1
            if entry.keys.ack != "none":
                repeat(self._answer(remote, keys.boot), entry)
            return
        seq = keys.seq
        if seq < stream.low:
            self.duplicates += 1  # its sender knows its outcome
            return
        entry = Received(command, keys, remote, session, self._deadline(now, remote, command, keys))
        entry.size = size
        if seq < stream.next or seq in stream.seen or seq in stream.by_seq:
            self.duplicates += 1
            if not entry.deadline or now < entry.deadline + KEEP_S:
                # Decided, and not kept: that is what becomes of what was refused.
                maybe = self._may_have_run(entry)
                command_id = command.command_id
                self._say(entry, unknown_end(command_id) if maybe else Done(command_id, "rejected", Rejection.BUSY))
            return
        missed = session.missed.get(command.command_id, keys.attempt) if session.missed else keys.attempt
        if keys.to != self._boot and keys.attempt <= missed and self._may_have_run(entry):
            # What was for an earlier life is sent again when this one misses it: else somebody repeats what was sent.
            self.duplicates += 1
            self._miss(session, command.command_id, keys.attempt)
            return
        if session.missed:
            session.missed.pop(command.command_id, None)
        if seq != stream.next and len(stream.seen) >= MAX_SKIPPED:
            self.busy += 1
            return  # that it was refused could not be remembered: it stays missing, and will be sent again
        if not self._keep(now, session, stream, entry):
            if seq == stream.next:
                stream.next += 1
            else:
                stream.seen.add(seq)
            self._reject(entry, Rejection.BUSY, "too many commands are remembered")
        elif seq == stream.next:
            stream.next += 1
            self._begin(now, entry)
        else:
            if not stream.next and not stream.held:
                stream.order_by = now + HELLO_S
            stream.held[seq] = entry
            self._held += 1
            self._hear(entry)
            return
        self._catch_up(now, stream)

    # -- order --------------------------------------------------------------------------------------------------

    def _catch_up(self, now: float, stream: Stream) -> None:
        while stream.next:
            if stream.next in stream.seen:
                stream.seen.discard(stream.next)
                stream.next += 1
            elif stream.next in stream.held:
                entry = stream.held.pop(stream.next)
                self._held -= 1
                stream.next += 1
                self._begin(now, entry)
            else:
                return

    def _advance_to(self, now: float, stream: Stream, base: int) -> None:
        """Nothing before `base` will come any more."""
        for seq in sorted(seq for seq in stream.held if seq < base):
            self._held -= 1
            self._begin(now, stream.held.pop(seq))
        stream.seen = {seq for seq in stream.seen if seq >= base}
        stream.next = max(stream.next, base)
        self._catch_up(now, stream)

    def _skip(self, now: float, stream: Stream, seqs: list[int]) -> None:
        for seq in seqs:
            if seq >= stream.next and seq not in stream.held and len(stream.seen) < MAX_SKIPPED:
                stream.seen.add(seq)
        self._catch_up(now, stream)

    def _on_low(self, now: float, session: Session, stream: Stream, low: int) -> None:
        if low <= stream.low:
            return
        before, stream.low = stream.low, low
        if low - before <= len(stream.by_seq):
            known = [seq for seq in range(before, low) if seq in stream.by_seq]
        else:
            known = [seq for seq in stream.by_seq if seq < low]
        for seq in known:
            self._forget(session, stream, seq)
        if stream.next and low > stream.next:
            self._advance_to(now, stream, low)

    # -- memory -------------------------------------------------------------------------------------------------

    def _session(self, now: float, remote: str, sender: str, boot: str) -> Session | None:
        key = (remote, sender, boot)
        session = self._sessions.get(key)
        if session is None:
            if now >= self._sweep_at:
                self._sweep_at = now + SWEEP_S
                self._forget_sessions(now)
            source = self._source(remote)
            if source.lives >= MAX_LIVES:
                self.log(f"lives {remote}", "refused %s from %s: too many lives are remembered", sender, remote)
                return None
            source.lives += 1
            session = self._sessions[key] = Session(source, remote, sender, boot)
        session.used = now
        return session

    def _source(self, remote: str) -> Source:
        source = self._sources.get(remote)
        if source is None:
            source = self._sources[remote] = Source()
        return source

    def _forget_sessions(self, now: float) -> None:
        for key, session in list(self._sessions.items()):
            quiet_s = now - session.used
            if quiet_s > QUIET_S:
                self._expire_held(session)  # what they wait for comes no more
            if quiet_s > KEEP_S and all(
                self._is_old(now, entry) or (entry.done is not None and quiet_s > QUIET_S)
                for entry in session.store.values()
            ):
                del self._sessions[key]
                session.source.lives -= 1
                session.source.kept_bytes -= sum(entry.size for entry in session.store.values())

    def _expire_held(self, session: Session) -> None:
        for stream in session.streams.values():
            held, stream.held = stream.held, {}
            self._held -= len(held)
            for entry in held.values():
                entry.registered = self._handlers.get(entry.command.command_type)
                self.expire(entry)

    @staticmethod
    def _is_old(now: float, entry: Received) -> bool:
        return entry.done is not None and entry.deadline > 0.0 and entry.deadline + KEEP_S < now

    def _keep(self, now: float, session: Session, stream: Stream, entry: Received) -> bool:
        source = session.source
        if len(session.store) >= self._capacity or source.kept_bytes + entry.size > MAX_KEPT_BYTES:
            for old in [old for old in session.store.values() if self._is_old(now, old)]:
                self._drop(session, old)
            if len(session.store) >= self._capacity or source.kept_bytes + entry.size > MAX_KEPT_BYTES:
                return False
        source.kept_bytes += entry.size
        session.store[entry.command.command_id] = entry
        stream.by_seq[entry.keys.seq] = entry
        return True

    def _forget(self, session: Session, stream: Stream, seq: int) -> None:
        entry = stream.by_seq.get(seq)
        if entry is not None and entry.done is not None:
            self._drop(session, entry)

    @staticmethod
    def _drop(session: Session, entry: Received) -> None:
        if session.store.pop(entry.command.command_id, None) is not None:
            session.source.kept_bytes -= entry.size
        session.stream(stream_name(entry)).by_seq.pop(entry.keys.seq, None)

    # -- decisions ----------------------------------------------------------------------------------------------

    def _local_us(self, now: float, remote: str, boot: str, sender_us: int) -> int:
        """A time of a sender's clock, which is ours where it is on this host."""
        clock = self.foreign.get(remote)
        if clock is None:
            return sender_us
        found = clock.to_local_us(boot, sender_us)
        return int(now * 1e6) if found is None else found

    def _deadline(self, now: float, remote: str, command: IPCCommand, keys: Keys) -> float:
        if keys.ttl_ms <= 0:
            return 0.0
        if keys.mono_us > 0:
            return self._local_us(now, remote, keys.boot, keys.mono_us) / 1e6 + keys.ttl_ms / 1000
        if remote in self.foreign:
            return now + keys.ttl_ms / 1000  # no clock of two hosts is known to agree
        # No monotonic clock of this host: by the wall clock, moved to ours.
        return command.timestamp / 1e6 + keys.ttl_ms / 1000 - (self.wall() if self.wall is not None else 0.0)

    def _begin(self, now: float, entry: Received) -> bool:
        """Let it run, or refuse it; returns False if there is no room."""
        command = entry.command
        registered = entry.registered = self._handlers.get(command.command_type)
        earlier = self._earlier(entry)
        if isinstance(earlier, Done):
            self._end(entry, earlier)
            return True
        if earlier and not (registered is not None and registered.idempotent):
            self._end(entry, unknown_end(command.command_id))
            return True
        if registered is None:
            self.no_handler += 1
            self.log(f"no handler {command.command_type}", "no handler for %r", command)
            return self._reject(entry, Rejection.NO_HANDLER)
        if registered.senders is not None and not {command.sender_id, entry.remote} <= registered.senders:
            self.not_allowed += 1
            self.log("not allowed", "refused %r from %s: only %s may", command, entry.remote, registered.senders)
            return self._reject(entry, Rejection.NOT_ALLOWED)
        if entry.deadline and now > entry.deadline:
            return self.expire(entry)
        if registered.schema is not None:
            try:
                command.payload = msgspec.convert(command.payload, registered.schema)
            except Exception as error:  # noqa: BLE001 - a schema's own checks may raise anything
                self.bad_payload += 1
                why = str(error) if isinstance(error, msgspec.ValidationError) else text_of(error)
                self.log("payload", "refused %r: %s", command, why)
                return self._reject(entry, Rejection.BAD_PAYLOAD, why)
        if not self._run(entry):
            self.log("full", "refused %r: too many commands wait", command)
            self._reject(entry, Rejection.BUSY, "too many commands wait")
            return False
        if entry.done is None or (entry.started and entry.keys.ack == "recv"):
            self._hear(entry)
        return True

    def _may_have_run(self, entry: Received) -> bool:
        """Whether it may have reached an earlier life of this process."""
        keys = entry.keys
        if entry.session is None or keys.to == self._boot:
            return False
        if keys.to or keys.attempt > 1:
            return True
        return keys.mono_us > 0 and self._local_us(0.0, entry.remote, keys.boot, keys.mono_us) < self._start_us

    def _earlier(self, entry: Received) -> Done | bool:
        """What an earlier life did with it."""
        if not self._may_have_run(entry):
            return False
        return self._find(entry.session, entry.command.command_id, entry.registered)

    def _find(self, session: Session | None, command_id: str, registered: Registered | None) -> Done | bool:
        """What an earlier life did: its answer, True if that is not known, False if it did nothing."""
        if session is None or registered is None or not registered.durable or self._journal is None:
            return True
        return self._journal().find(session.sender, session.boot, command_id)

    def may_start(self, now: float, entry: Received) -> bool:
        """Whether a command that waited may still start; if so, it has started."""
        if entry.done is not None or entry.started:
            return False
        if entry.deadline and now > entry.deadline:
            self.expire(entry)
            return False
        registered, session = entry.registered, entry.session
        if registered is not None and registered.durable and session is not None and self._journal is not None:
            try:
                self._journal().started(session.sender, session.boot, entry.command.command_id, entry.deadline)
            except OSError as error:
                self.log("journal", "refused %r: it cannot be journalled: %s", entry.command, error)
                self._reject(entry, Rejection.BUSY, f"it cannot be journalled: {error}")
                return False
        entry.started = True
        return True

    def on_done(self, entry: Received, outcome: Outcome, error: str = "", value: bytes | None = None) -> None:
        """The handler ended; `value` is what it returned, as JSON."""
        if entry.done is not None:
            return  # given up before
        found = None if value is None else msgspec.Raw(value)
        error = sendable(error)
        if len(error) > MAX_ERROR_CHARACTERS:
            error = f"{error[:MAX_ERROR_CHARACTERS]}…"
        done = Done(entry.command.command_id, outcome, "", error, found)
        registered, session = entry.registered, entry.session
        if value is not None and session is not None:
            entry.size += len(value)
            session.source.kept_bytes += len(value)
        if registered is not None and registered.durable and session is not None and self._journal is not None:
            try:
                self._journal().done(session.sender, session.boot, done)
            except OSError as error:
                self.log("journal", "the end of %r cannot be journalled: %s", entry.command, error)
        self._end(entry, done)

    def abandon(self, entry: Received) -> None:
        """This process stops while the handler runs: nobody will know how it ended."""
        if entry.done is None:
            self._end(entry, Done(entry.command.command_id, "unknown", "the receiver stopped during the handler"))

    def expire(self, entry: Received) -> bool:
        """Refuse a command whose deadline has passed."""
        self.expired += 1
        self.log("expired", "refused %r: its deadline has passed", entry.command)
        return self._reject(entry, Rejection.EXPIRED)

    def drop(self, entry: Received) -> None:
        """Refuse a command that waited for its handler: this process stops."""
        self._reject(entry, Rejection.BUSY, "the receiver stops")

    def _reject(self, entry: Received, reason: Rejection, error: str = "") -> bool:
        if reason is Rejection.BUSY:
            self.busy += 1
        # That this life does not run it does not say that no life did.
        maybe = self._earlier(entry) is not False
        command_id = entry.command.command_id
        refused = Done(command_id, "rejected", reason, sendable(error)[:MAX_ERROR_CHARACTERS])
        self._end(entry, unknown_end(command_id) if maybe else refused)
        return True

    def _end(self, entry: Received, done: Done) -> None:
        if done.outcome == "unknown":
            self.unknown += 1
        entry.done = done
        session = entry.session
        if session is not None and entry.keys.seq < session.stream(stream_name(entry)).low:
            self._drop(session, entry)  # its sender asks no more
        self._say(entry, done)
        if self.on_end is not None:
            self.on_end(entry, done)

    # -- answers ------------------------------------------------------------------------------------------------

    def _hear(self, entry: Received) -> None:
        if entry.session is not None and entry.keys.ack != "none":
            self._answer(entry.remote, entry.session.boot).recv.append(entry.command.command_id)

    def _say(self, entry: Received, done: Done) -> None:
        if entry.session is None or entry.keys.ack == "none":
            return
        if entry.keys.ack == "recv" and entry.started:
            return
        self._answer(entry.remote, entry.session.boot).done.append(done)

    def _answer(self, remote: str, boot: str) -> Answer:
        answer = self.answers.get((remote, boot))
        if answer is None:
            answer = self.answers[remote, boot] = Answer(self._process_id, self._boot, boot)
        return answer

    def take_answers(self) -> list[tuple[str, Answer]]:
        """What is to be said, and through which process's socket."""
        answers, self.answers = self.answers, {}
        found: list[tuple[str, Answer]] = []
        for (remote, _), answer in answers.items():
            ended = {done.command_id for done in answer.done}
            if answer.recv and ended:
                answer.recv = [command_id for command_id in answer.recv if command_id not in ended]
            found += [(remote, part) for part in parts_of(answer)]
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether commands are held for their order: then `poll` must be called now and then."""
        return self._held > 0

    def poll(self, now: float) -> None:
        """Refuse what was held too long, and begin with what came before a hello that does not come."""
        for session in list(self._sessions.values()):
            for stream in session.streams.values():
                if not stream.held:
                    continue
                if not stream.next and now >= stream.order_by:
                    self._advance_to(now, stream, max(stream.low, min(stream.held)))
                for seq in [seq for seq, entry in stream.held.items() if 0.0 < entry.deadline < now]:
                    entry = stream.held.pop(seq)
                    self._held -= 1
                    stream.seen.add(seq)
                    entry.registered = self._handlers.get(entry.command.command_type)
                    self.expire(entry)
