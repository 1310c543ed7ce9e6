"""What two peers tell each other about their commands. No sockets here.

Downstream, from the sender's XPUB socket: frames whose topic is `protocol_topic` of the receiver, which no peer that
knows the specification alone subscribes. Upstream, from the receiver's XSUB socket on the same connection: one frame
per turn, which begins with the byte 2, as 0 and 1 are subscriptions. An XPUB socket cannot tell which connection such
a frame came by, so that it names its sender and that sender's life.

| after the topic | what |
|---|---|
| ``C`` | a command's whole frame, sent again |
| ``H`` | `Hello`, after a subscription of the topic was seen: the sender's life, and the next number of each target |
| ``A`` | `Ask`: what became of these commands? And what needs no answer any more |

| upstream, after the byte 2 | what |
|---|---|
| `Answer` with ``hello`` | the receiver's life; from now on its commands are acknowledged |
| `Answer` | commands received, ended, and missing |
"""

from typing import Any, Literal

import msgspec

from hftcore.topic import check_process_id
from hftpy.ipc.command import MAX_COMMAND_BYTES, WIRE_VERSION

PREFIX = b"\x00hft.command/"
UPSTREAM = b"\x02"
COMMAND, HELLO, ASK = b"C", b"H", b"A"
ANSWERS_PER_FRAME = 1000
ANSWER_BYTES = 1 << 20  # of a frame with several ends
MAX_ANSWER_BYTES = 4 << 20  # of a frame with one, whose result has 512 Ki characters
MAX_ERROR_CHARACTERS = 10_000
MAX_RESULT_BYTES = MAX_COMMAND_BYTES >> 1

Outcome = Literal["ok", "error", "rejected", "unknown"]


class AskItem(msgspec.Struct, array_like=True):
    """A command whose outcome is asked for; as the keys of `hftpy.ipc.command.Keys`."""

    command_id: str
    target_id: str
    command_type: str
    seq: int
    to: str
    deadline_us: int


class Hello(msgspec.Struct, omit_defaults=True):
    """The sender's life; for each target the number of the first command that this receiver may get; and the time (µs
    of the sender's CLOCK_MONOTONIC)."""

    id: str
    boot: str
    v: int = 0
    base: dict[str, int] = {}
    mono: int = 0


class Ask(msgspec.Struct, omit_defaults=True):
    """Questions; for each target, the lowest number that is still open, those that nobody will send any more, and
    those whose outcome has arrived."""

    boot: str
    items: list[AskItem] = []
    low: dict[str, int] = {}
    gone: dict[str, list[int]] = {}
    fin: dict[str, list[int]] = {}


class Done(msgspec.Struct, array_like=True, gc=False):  # a journal keeps many, and JSON has no cycles
    """The end of a command: of ``ok`` the value; of ``error`` and ``rejected`` what and why."""

    command_id: str
    outcome: Outcome
    reason: str = ""
    error: str = ""
    value: Any = None


class Answer(msgspec.Struct, omit_defaults=True):
    """From a receiver, in its life `boot`, to the life `to` of a sender."""

    id: str
    boot: str
    to: str
    v: int = WIRE_VERSION
    hello: bool = False
    recv: list[str] = []
    done: list[Done] = []
    missing: list[str] = []


_encode = msgspec.json.Encoder().encode
_hello = msgspec.json.Decoder(Hello)
_ask = msgspec.json.Decoder(Ask)
_answer = msgspec.json.Decoder(Answer)
MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)


def protocol_topic(process_id: str) -> bytes:
    """What a receiver subscribes to be told of the protocol."""
    return PREFIX + process_id.encode() + b"\x00"


def peer_of(topic: bytes) -> str | None:
    """The process that a subscription or a frame of the protocol is for; None if it is none."""
    if not topic.startswith(PREFIX):
        return None
    name, _, _ = topic[len(PREFIX) :].partition(b"\x00")
    try:
        return check_process_id(name.decode())
    except ValueError:
        return None


def encode_downstream(process_id: str, message: Hello | Ask) -> bytes:
    """A frame to one receiver."""
    return protocol_topic(process_id) + (HELLO if isinstance(message, Hello) else ASK) + _encode(message)


def decode_hello(body: bytes) -> Hello:
    """Raises one of `MALFORMED`."""
    return _hello.decode(body)


def decode_ask(body: bytes) -> Ask:
    """Raises one of `MALFORMED`."""
    return _ask.decode(body)


def encode_answer(answer: Answer) -> bytes:
    """A frame to the sender whose socket it is."""
    return UPSTREAM + _encode(answer)


def decode_answer(frame: bytes) -> Answer:
    """Raises one of `MALFORMED`."""
    return _answer.decode(frame[1:])
