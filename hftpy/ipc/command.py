"""The command and its frame: 64-byte topic ``target.command_type`` + JSON."""

import base64
import datetime
import enum
import functools
import json
from collections.abc import Generator
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from hftcore.json_value import is_plain
from hftcore.topic import COMMAND_TOPIC_BYTES, check_command_type, check_process_id, check_target, command_topic

MAX_COMMAND_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ID_CHARS = 256  # of a command's id
MAX_BOOT_CHARS = 64
WIRE_VERSION = 2
_FIELDS = ("command_id", "sender_id", "target_id", "command_type", "payload", "timestamp")

Ack = Literal["none", "recv", "done"]


class CommandId(str):
    """The id of a command that was sent: a string, which may also be awaited (it is ready at once)."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        return str(self)
        yield  # makes this a generator, as an awaitable must return


class IPCCommand:
    """A command from one process to another, to a group, or to all.

    Parameters
    ----------
    command_id
        ``{sender_id}_{timestamp_us}_{counter}``, for tracking and for dropping duplicates.
    sender_id
        The process that sends it.
    target_id
        The process that it is for, ``*`` for all, ``group.*`` for a group.
    command_type
        Chooses the handler.
    payload
        Its arguments: a dict, or anything else that JSON can hold. Of a handler whose argument names a schema, what
        the schema made of it.
    timestamp
        When it was made, microseconds since 1970.
    """

    __slots__ = ("_json_cache", "command_id", "command_type", "payload", "sender_id", "target_id", "timestamp")

    def __init__(
        self,
        command_id: str,
        sender_id: str,
        target_id: str,
        command_type: str,
        payload: Any,
        timestamp: int,
    ) -> None:
        self.command_id = command_id
        self.sender_id = sender_id
        self.target_id = target_id
        self.command_type = command_type
        self.payload = payload
        self.timestamp = timestamp
        self._json_cache: str | None = None

    def to_json(self) -> str:
        """The six fields as JSON; made once.

        Raises
        ------
        TypeError
            If the payload holds what cannot be sent.
        ValueError
            If the payload holds NaN or an infinity, refers to itself, or is too deep.
        """
        if self._json_cache is None:
            self._json_cache = _encode({name: getattr(self, name) for name in _FIELDS})
        return self._json_cache

    @classmethod
    def from_json(cls, text: str | bytes) -> "IPCCommand":
        """A command from JSON with the six fields; other keys are ignored.

        Raises
        ------
        ValueError
            If it is no JSON object, a field is missing or has a wrong type, or an id is not one.
        """
        return _read(text.encode() if isinstance(text, str) else text)[0]

    def __repr__(self) -> str:
        # Not the payload: it may hold what must not stand in a log.
        return (
            f"IPCCommand(command_id={self.command_id!r}, sender_id={self.sender_id!r}, target_id={self.target_id!r}, "
            f"command_type={self.command_type!r}, timestamp={self.timestamp!r})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IPCCommand):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    __hash__ = None  # type: ignore[assignment]


class Keys(NamedTuple):
    """The optional keys of a command, which peers that know the six fields alone ignore.

    Attributes
    ----------
    boot
        The sender's life; empty for a plain peer.
    seq, low
        Number of the command among those of its sender and target, from 1; the lowest number whose outcome the sender
        does not know yet. 0: no acknowledgement and no order is asked for.
    ttl_ms, mono_us
        The command may start until `ttl_ms` after `mono_us` (CLOCK_MONOTONIC when it was first sent; 0: after its
        timestamp). 0 ms: whenever.
    ack
        What the sender wants to hear.
    attempt
        1 for the first time that it is sent (``try`` on the wire).
    to
        The life of the receiver that it was first sent to; empty: the sender did not know.
    """

    boot: str = ""
    seq: int = 0
    low: int = 0
    ttl_ms: int = 0
    mono_us: int = 0
    ack: str = "none"
    attempt: int = 1
    to: str = ""


PLAIN = Keys()


# What is remembered must be bounded, and computed with.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
_Boot = Annotated[str, msgspec.Meta(max_length=MAX_BOOT_CHARS)]
_Int = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Six(msgspec.Struct):
    command_id: _Id
    sender_id: str
    target_id: str
    command_type: str
    payload: Any
    timestamp: _Int
    v: Any = None


class _Full(_Six):
    boot: _Boot = ""
    seq: _Count = 0
    low: _Count = 0
    ttl_ms: _Count = 0
    mono: _Count = 0
    ack: Ack = "none"
    attempt: _Count = msgspec.field(default=1, name="try")
    to: _Boot = ""


_encode_plain = msgspec.json.Encoder().encode
_full = msgspec.json.Decoder(_Full)
_six = msgspec.json.Decoder(_Six)
_MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)


def _jsonable(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"a payload must hold finite numbers, was {value}")
        return str(value)
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    raise TypeError(f"a payload must be of JSON types, was {type(value).__name__}")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_jsonable)


def _encode(value: object) -> str:
    try:
        return _encoder.encode(value)
    except RecursionError as error:
        raise ValueError("a payload must not be that deep") from error
    except ValueError as error:
        if "Out of range float" in str(error):
            raise ValueError("a payload must hold finite numbers: JSON has neither NaN nor infinities") from error
        raise


def encode_payload(value: Any) -> str:
    """A payload or a result as JSON.

    Decimal becomes its text, datetime, date and time their ISO 8601 text, Enum its value, bytes base64, a msgspec
    Struct an object.

    Raises
    ------
    TypeError
        If it holds anything else that JSON cannot.
    ValueError
        If it holds NaN or an infinity, refers to itself, or is more than `MAX_DEPTH` deep.
    """
    if is_plain(value, MAX_DEPTH):
        try:
            return _encode_plain(value).decode()
        except UnicodeError:
            pass  # half a surrogate pair: what becomes of it is said below
    text = _encode(value)
    if is_too_deep(text, "[", "{", MAX_DEPTH):
        raise ValueError(f"a payload must be at most {MAX_DEPTH} deep")
    return text


def is_too_deep(text: Any, square: Any, curly: Any, limit: int) -> bool:
    """Whether JSON is more than `limit` deep; counts brackets first, as most have few."""
    if text.count(square) + text.count(curly) <= limit:
        return False
    try:
        level = [msgspec.json.decode(text)]
    except _MALFORMED:
        return False  # whoever reads it will say what is wrong
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def encode_head(
    command_id: str, sender_id: str, target_id: str, command_type: str, payload: str, timestamp: int
) -> bytes:
    """The six fields as JSON without the closing brace; the ids must have been checked."""
    return (
        f'{{"command_id":"{command_id}","sender_id":"{sender_id}","target_id":"{target_id}",'
        f'"command_type":"{command_type}","payload":{payload},"timestamp":{timestamp}'
    ).encode()


def encode_tail(keys: Keys) -> bytes:
    """The optional keys, behind `encode_head`."""
    boot, seq, low, ttl_ms, mono_us, ack, attempt, to = keys
    to = f',"to":"{to}"' if to else ""
    return (
        f',"v":{WIRE_VERSION},"boot":"{boot}","seq":{seq},"low":{low},"ttl_ms":{ttl_ms},'
        f'"mono":{mono_us},"ack":"{ack}","try":{attempt}{to}}}'
    ).encode()


def encode_frame(command: IPCCommand, boot: str) -> tuple[bytes, bytes]:
    """The topic of a command and its whole frame, of a sender that asks for no acknowledgement.

    Raises
    ------
    TypeError, ValueError
        As `hftcore.topic.command_topic` and `IPCCommand.to_json`; or if the frame is too large.
    """
    topic = command_topic(command.target_id, command.command_type)
    frame = topic + command.to_json()[:-1].encode() + f',"v":{WIRE_VERSION},"boot":"{boot}"}}'.encode()
    if len(frame) > MAX_COMMAND_BYTES:
        raise ValueError(f"a command must have at most {MAX_COMMAND_BYTES} bytes, was {len(frame)}")
    return topic, frame


@functools.lru_cache(4096)
def _check_names(sender_id: str, target_id: str, command_type: str) -> None:
    check_process_id(sender_id)
    check_target(target_id)
    check_command_type(command_type)


def _read(text: bytes) -> tuple[IPCCommand, Keys]:
    try:
        found: Any = _full.decode(text)
        keys = Keys(
            found.boot, found.seq, found.low, found.ttl_ms, found.mono, found.ack, found.attempt, found.to
        ) if found.boot else PLAIN  # fmt: skip
    except _MALFORMED as wrong:
        # Keys of the same names that mean something else are no reason to refuse the six fields; ours are.
        try:
            found = _six.decode(text)
        except _MALFORMED as error:
            raise ValueError(f"a command must be JSON with its six fields: {error}") from error
        if found.v == WIRE_VERSION:
            raise ValueError(f"a command's optional keys must be what they are for: {wrong}") from wrong
        keys = PLAIN
    _check_names(found.sender_id, found.target_id, found.command_type)
    return (
        IPCCommand(
            found.command_id, found.sender_id, found.target_id, found.command_type, found.payload, found.timestamp
        ),
        keys,
    )


def decode_frame(frame: bytes) -> tuple[bytes, IPCCommand, Keys]:
    """A frame's topic (padded), its command and its optional keys.

    Raises
    ------
    ValueError
        If the frame is no command.
    """
    if not COMMAND_TOPIC_BYTES < len(frame) <= MAX_COMMAND_BYTES:
        raise ValueError(
            f"a command's frame must have {COMMAND_TOPIC_BYTES + 1} to {MAX_COMMAND_BYTES} bytes, was {len(frame)}"
        )
    body = frame[COMMAND_TOPIC_BYTES:]
    if is_too_deep(body, b"[", b"{", MAX_DEPTH + 1):  # the payload is one level below
        raise ValueError(f"a command's payload must be at most {MAX_DEPTH} deep")
    command, keys = _read(body)
    return frame[:COMMAND_TOPIC_BYTES], command, keys
