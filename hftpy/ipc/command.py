"""The command and its frame: 64-byte topic ``target.command_type`` + JSON."""

import json
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import msgspec

from hftcore.topic import COMMAND_TOPIC_BYTES, check_command_type, check_process_id, check_target, command_topic

MAX_COMMAND_BYTES = 1 << 20
WIRE_VERSION = 1
_FIELDS = ("command_id", "sender_id", "target_id", "command_type", "payload", "timestamp")


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
        Its arguments: a dict of what JSON can hold.
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
        payload: dict[str, Any],
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
            If the payload holds what JSON cannot.
        ValueError
            If the payload holds NaN or an infinity, or refers to itself.
        """
        if self._json_cache is None:
            fields = {name: getattr(self, name) for name in _FIELDS}
            self._json_cache = json.dumps(
                fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_jsonable
            )
        return self._json_cache

    @classmethod
    def from_json(cls, text: str | bytes) -> "IPCCommand":
        """A command from JSON with the six fields; other keys are ignored.

        Raises
        ------
        ValueError
            If it is no JSON object, a field is missing or has a wrong type, or an id is not one.
        """
        return _read(text)[0]

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


def _jsonable(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a payload must be of JSON types, was {type(value).__name__}")


def _read(text: str | bytes) -> tuple[IPCCommand, str]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"a command must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"a command must be a JSON object, was {type(found).__name__}")
    for name in _FIELDS:
        if name not in found:
            raise ValueError(f"a command needs the field {name!r}")
        wanted = {"payload": dict, "timestamp": int}.get(name, str)
        if type(found[name]) is not wanted:
            raise ValueError(f"{name} must be {wanted.__name__}, was {type(found[name]).__name__}")
    check_process_id(found["sender_id"])
    check_target(found["target_id"])
    check_command_type(found["command_type"])
    boot = found.get("boot", "")
    return IPCCommand(**{name: found[name] for name in _FIELDS}), boot if isinstance(boot, str) else ""


def encode_frame(command: IPCCommand, boot: str) -> tuple[bytes, bytes]:
    """The topic of a command and its whole frame; `boot` names the sender's life.

    Raises
    ------
    TypeError, ValueError
        As `hftcore.topic.command_topic` and `IPCCommand.to_json`; or if the frame is too large.
    """
    topic = command_topic(command.target_id, command.command_type)
    # Optional keys, which peers that know the six fields alone ignore.
    optional = f',"v":{WIRE_VERSION},"boot":"{boot}"}}'
    frame = topic + command.to_json()[:-1].encode() + optional.encode()
    if len(frame) > MAX_COMMAND_BYTES:
        raise ValueError(f"a command must have at most {MAX_COMMAND_BYTES} bytes, was {len(frame)}")
    return topic, frame


def decode_frame(frame: bytes) -> tuple[bytes, IPCCommand, str]:
    """A frame's topic (padded), its command and its sender's boot (empty if it has none).

    Raises
    ------
    ValueError
        If the frame is no command.
    """
    if not COMMAND_TOPIC_BYTES < len(frame) <= MAX_COMMAND_BYTES:
        raise ValueError(
            f"a command's frame must have {COMMAND_TOPIC_BYTES + 1} to {MAX_COMMAND_BYTES} bytes, was {len(frame)}"
        )
    command, boot = _read(frame[COMMAND_TOPIC_BYTES:])
    return frame[:COMMAND_TOPIC_BYTES], command, boot
