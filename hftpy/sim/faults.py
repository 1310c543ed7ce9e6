"""Faults that the simulated venue commits on request: KIND@SECOND, counted from the first subscription.

Here are those that act on whole data frames; those that act on a connection's bytes are in `hftpy.sim.wire_faults`.
"""

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from hftpy.sim.connection import ClientConnection

KINDS: Mapping[str, float] = {
    "restart": 1.0,
    "disconnect": 0.0,
    "mute": 15.0,
    "garbage": 0.0,
    "drop": 5.0,
    "duplicate": 5.0,
    "reorder": 5.0,
    "checksum": 5.0,
    "half_open": 0.0,
    "dribble": 5.0,
    "no_pong": 60.0,
    "bomb": 0.0,
    "close": 1012.0,
}
"""The kinds, each with the number it has where none is said: how many seconds it lasts (0: an instant), or the code."""

CLOSE_CODES = range(1000, 5000)
EVERY = 5  # one of every five data frames is left out, sent twice, changed places, or gets a wrong checksum
GARBAGE: tuple[str | bytes, ...] = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1',
    "\x00\x01 not json at all",
    b"\xff\xfe\x00\x9c\x80garbage",
    "[]",
    '{"channel":"trade","type":"update","data":[{"symbol":42,"side":"buy","price":"x","qty":[]}]}',
    '{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0',
    "",
)
# Kraken v2 and OKX write a number, Kraken v1 a text.
CHECKSUM = re.compile(r'("(?:checksum|c)":"?)(-?\d+)(?=[",}])')


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, when (seconds after the first subscription), and its number: seconds, or the code of `close`."""

    kind: str
    second: float
    duration: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``KIND@SECOND`` or ``KIND@SECOND:NUMBER``, such as ``restart@5``, ``mute@5:3`` or ``close@5:1008``.

        Raises
        ------
        ValueError
            If the kind is not known (the message lists all), a number is none, or negative, or no code to close with.
        """
        kind, at, when = text.partition("@")
        if kind not in KINDS:
            raise ValueError(f"fault must be one of {', '.join(KINDS)} as KIND@SECOND, was {text!r}")
        second, colon, number = when.partition(":")
        try:
            if not at:
                raise ValueError
            fault = cls(kind, float(second), float(number) if colon else KINDS[kind])
            if not (0 <= fault.second < float("inf") and 0 <= fault.duration < float("inf")):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"fault must read KIND@SECOND or KIND@SECOND:DURATION with KIND one of {', '.join(KINDS)}, was {text!r}"
            ) from None
        if kind == "close" and fault.duration not in CLOSE_CODES:
            raise ValueError(f"fault close must have a code from 1000 to 4999, was {text!r}")
        return fault

    @classmethod
    def now(cls, kind: str, duration: float | None = None) -> "Fault":
        """A fault at once.

        Raises
        ------
        ValueError
            As `parse`.
        """
        return cls.parse(f"{kind}@0" if duration is None else f"{kind}@0:{duration}")

    def __str__(self) -> str:
        return f"{self.kind}@{self.second:g}" + (f":{self.duration:g}" if self.duration != KINDS[self.kind] else "")


Hits: TypeAlias = dict[str, Counter[str]]
"""How many data frames a fault acted on, by kind and channel."""


@dataclass(frozen=True, slots=True)
class DataFrame:
    """One frame of market data on its way to one connection: its text, its channel, and how many events it holds."""

    text: str
    channel: str
    events: int


class FaultState:
    """The faults that act on data frames right now."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self._until: dict[str, float] = {}
        self._seen: Counter[str] = Counter()
        self._held: dict[ClientConnection, DataFrame] = {}
        self._garbage_due: set[ClientConnection] = set()

    def begin(self, kind: str, seconds: float) -> None:
        """Commit one of `mute`, `drop`, `duplicate`, `reorder` and `checksum` for some seconds."""
        self._until[kind] = time.monotonic() + seconds
        self._seen[kind] = 0

    @property
    def muted(self) -> bool:
        """Whether all data is held back right now."""
        return "mute" in self._until and time.monotonic() < self._until["mute"]

    def garble(self, connections: "set[ClientConnection]") -> None:
        """Send nonsense before the next data frame of each of these connections."""
        self._garbage_due |= connections

    def clear(self) -> None:
        """A restarted venue commits no old faults."""
        self._until.clear()
        self._held.clear()
        self._garbage_due.clear()

    def forget(self, connection: "ClientConnection") -> None:
        """A connection has gone."""
        self._held.pop(connection, None)
        self._garbage_due.discard(connection)

    def garbage_for(self, connection: "ClientConnection") -> tuple[str | bytes, ...]:
        """What to send to this connection before its next data frame."""
        if connection in self._garbage_due:
            self._garbage_due.discard(connection)
            return GARBAGE
        return ()

    def pass_on(self, connection: "ClientConnection", frame: DataFrame, hits: Hits) -> tuple[DataFrame, ...]:
        """What is sent in a data frame's place, in this order; a fault that acts on it is counted in `hits`."""
        held = self._held.pop(connection, None) if self._held else None
        if not self._until:
            return (frame,) if held is None else (frame, held)
        now = time.monotonic()
        self._until = {kind: end for kind, end in self._until.items() if now < end}
        if "mute" in self._until:
            _hit(hits, "mute", frame)
            return ()
        if self._is_due("drop"):
            _hit(hits, "drop", frame)
            return () if held is None else (held,)
        if self._is_due("checksum") and (text := _wrong_checksum(frame.text)) is not None:
            _hit(hits, "checksum", frame)
            frame = DataFrame(text, frame.channel, frame.events)
        if held is not None:
            return (frame, held)
        if self._is_due("reorder"):
            _hit(hits, "reorder", frame)
            self._held[connection] = frame
            return ()
        if self._is_due("duplicate"):
            _hit(hits, "duplicate", frame)
            return (frame, frame)
        return (frame,)

    def _is_due(self, kind: str) -> bool:
        if kind not in self._until:
            return False
        self._seen[kind] += 1
        return self._seen[kind] % EVERY == 1


def _hit(hits: Hits, kind: str, frame: DataFrame) -> None:
    hits.setdefault(kind, Counter())[frame.channel] += 1


def _wrong_checksum(text: str) -> str | None:
    """The frame with another checksum; None where it has none."""
    changed, found = CHECKSUM.subn(lambda match: f"{match[1]}{int(match[2]) ^ 1}", text)
    return changed if found else None
