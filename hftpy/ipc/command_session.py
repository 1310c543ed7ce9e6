"""What a receiver remembers of its senders: lives, streams in order, commands and their answers. No sockets here."""

from collections import OrderedDict
from typing import Protocol

import msgspec

from hftpy.ipc.command import IPCCommand, Keys
from hftpy.ipc.command_handlers import URGENT_TYPES, Registered, stream_of
from hftpy.ipc.command_protocol import ANSWER_BYTES, ANSWERS_PER_FRAME, Answer, Done

_BYTES_PER_END = 100


class Journal(Protocol):
    """What survives the death of this process; see `hftpy.ipc.command_journal`."""

    def find(self, sender: str, boot: str, command_id: str) -> "Done | bool":
        """Its answer; True if it was started and has none; False if it was never started."""

    def started(self, sender: str, boot: str, command_id: str, until: float) -> None: ...

    def done(self, sender: str, boot: str, done: Done) -> None: ...


class Received:
    """A command that is held, waits, runs or has ended."""

    __slots__ = ("command", "deadline", "done", "keys", "registered", "remote", "session", "size", "started")

    def __init__(
        self, command: IPCCommand, keys: Keys, remote: str, session: "Session | None", deadline: float
    ) -> None:
        self.command = command
        self.keys = keys
        self.remote = remote
        self.session = session
        self.deadline = deadline  # 0.0: none
        self.size = 0  # bytes that are kept of it
        self.registered: Registered | None = None
        self.started = False
        self.done: Done | None = None


class Stream:
    """What one life of a sender sent to one target, in its order."""

    __slots__ = ("by_seq", "held", "low", "next", "order_by", "seen")

    def __init__(self) -> None:
        self.next = 0  # all before it were decided; 0: it is not known where the order begins
        self.low = 0  # the sender knows the outcome of all before it
        self.seen: set[int] = set()  # decided, beyond `next`
        self.held: dict[int, Received] = {}  # wait for those before them
        self.by_seq: dict[int, Received] = {}
        self.order_by = 0.0  # when to begin without knowing where


class Source:
    """What is remembered of all that comes through one process: however much that sends, others have their own room."""

    __slots__ = ("kept_bytes", "lives", "plain")

    def __init__(self) -> None:
        self.lives = 0
        self.kept_bytes = 0
        self.plain: OrderedDict[tuple[str, str, str], None] = OrderedDict()  # ids that were not numbered


class Session:
    """One life of a sender, as it reaches us through one process."""

    __slots__ = ("boot", "greeted", "missed", "remote", "sender", "source", "store", "streams", "used")

    def __init__(self, source: Source, remote: str, sender: str, boot: str) -> None:
        self.source = source
        self.remote = remote
        self.sender = sender
        self.boot = boot
        self.store: OrderedDict[str, Received] = OrderedDict()
        self.streams: dict[str, Stream] = {}
        self.used = 0.0
        self.greeted = False  # its hello has come
        # Commands that are to be sent again, oldest first: the last time of sending that does not count.
        self.missed: dict[str, int] = {}

    def stream(self, name: str) -> Stream:
        found = self.streams.get(name)
        if found is None:
            found = self.streams[name] = Stream()
            if self.greeted:
                found.next = 1  # had it sent anything before, its hello would have said so
        return found


def is_stream(name: str) -> bool:
    """Whether a name is one that `stream_of` makes of a target."""
    _, mark, command_type = name.partition("!")
    return not mark or command_type in URGENT_TYPES


def repeat(answer: Answer, entry: Received) -> None:
    """Say again what was said of a command."""
    if entry.done is None or (entry.started and entry.keys.ack == "recv"):
        answer.recv.append(entry.command.command_id)
    else:
        answer.done.append(entry.done)


def stream_name(entry: Received) -> str:
    return stream_of(entry.command.target_id, entry.command.command_type)


def unknown_end(command_id: str) -> Done:
    return Done(command_id, "unknown", "the receiver was restarted")


def parts_of(answer: Answer) -> list[Answer]:
    """An answer of a bounded size, or several."""
    count = max(len(answer.recv), len(answer.missing))
    if count <= ANSWERS_PER_FRAME and len(answer.done) <= 1:
        return [answer]
    done = _ends_by_frame(answer.done)
    frames = max(len(done), -(-count // ANSWERS_PER_FRAME))
    if frames <= 1:
        return [answer]
    return [
        Answer(
            answer.id,
            answer.boot,
            answer.to,
            hello=answer.hello,
            recv=answer.recv[start : start + ANSWERS_PER_FRAME],
            done=done[number] if number < len(done) else [],
            missing=answer.missing[start : start + ANSWERS_PER_FRAME],
        )
        for number, start in enumerate(range(0, frames * ANSWERS_PER_FRAME, ANSWERS_PER_FRAME))
    ]


def _ends_by_frame(done: list[Done]) -> list[list[Done]]:
    """As many as go into a frame; what is larger than a frame should be goes alone."""
    frames: list[list[Done]] = []
    size = ANSWER_BYTES
    for end in done:
        own = _BYTES_PER_END + len(end.error)
        if end.value is not None:
            own += len(end.value if isinstance(end.value, msgspec.Raw) else msgspec.json.encode(end.value))
        size += own
        if size > ANSWER_BYTES or len(frames[-1]) == ANSWERS_PER_FRAME:
            frames.append([])
            size = own
        frames[-1].append(end)
    return frames
