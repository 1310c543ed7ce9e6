"""Faults that the simulated venue commits on request: KIND@SECOND, counted from the first subscription."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftpy.sim.connection import ClientConnection

KINDS = {"restart": 1.0, "disconnect": 0.0, "mute": 15.0, "garbage": 0.0, "drop": 5.0}
"""The kinds, each with how many seconds it lasts where that is not said (0: an instant)."""

DROP_EVERY = 5  # while dropping, the first of every five data frames is left out
GARBAGE: tuple[str | bytes, ...] = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1',
    "\x00\x01 not json at all",
    b"\xff\xfe\x00\x9c\x80garbage",
    "[]",
    '{"channel":"trade","type":"update","data":[{"symbol":42,"side":"buy","price":"x","qty":[]}]}',
    '{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0',
    "",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, when (seconds after the first subscription), for how many seconds."""

    kind: str
    second: float
    duration: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``KIND@SECOND`` or ``KIND@SECOND:DURATION``, such as ``restart@5`` or ``mute@5:3``.

        Raises
        ------
        ValueError
            If the kind is not known (the message lists all) or a number is none, or negative.
        """
        kind, at, when = text.partition("@")
        if kind not in KINDS:
            raise ValueError(f"fault must be one of {', '.join(KINDS)} as KIND@SECOND, was {text!r}")
        second, colon, duration = when.partition(":")
        try:
            if not at:
                raise ValueError
            fault = cls(kind, float(second), float(duration) if colon else KINDS[kind])
            if not (0 <= fault.second < float("inf") and 0 <= fault.duration < float("inf")):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"fault must read KIND@SECOND or KIND@SECOND:DURATION with KIND one of {', '.join(KINDS)}, was {text!r}"
            ) from None
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


class FaultState:
    """The faults that act on data frames right now."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self._mute_until = 0.0
        self._drop_until = 0.0
        self._seen = 0
        self._garbage_due: set[ClientConnection] = set()

    def mute(self, seconds: float) -> None:
        """Hold back all data; heartbeats go on."""
        self._mute_until = time.monotonic() + seconds

    def drop(self, seconds: float) -> None:
        """Leave out some data frames."""
        self._drop_until = time.monotonic() + seconds
        self._seen = 0

    def garble(self, connections: "set[ClientConnection]") -> None:
        """Send nonsense before the next data frame of each of these connections."""
        self._garbage_due |= connections

    def clear(self) -> None:
        """A restarted venue commits no old faults."""
        self._mute_until = self._drop_until = 0.0
        self._garbage_due.clear()

    def takes_away(self) -> bool:
        """Whether the data frame at hand is lost."""
        if not self._mute_until and not self._drop_until:
            return False
        now = time.monotonic()
        if now < self._mute_until:
            return True
        if now < self._drop_until:
            self._seen += 1
            return self._seen % DROP_EVERY == 1
        self._mute_until = self._drop_until = 0.0
        return False

    def garbage_for(self, connection: "ClientConnection") -> tuple[str | bytes, ...]:
        """What to send to this connection before its next data frame."""
        if connection in self._garbage_due:
            self._garbage_due.discard(connection)
            return GARBAGE
        return ()
