"""Frame numbers of a recorded connection, turned into those of a connection that takes only a part of its frames.

Coinbase numbers all frames of a connection. Whoever is played some channels of a recording alone must not miss the
others' numbers, and must miss those that the recording itself lost.
"""

import re
from collections.abc import Callable, Mapping

from hftcore.symbols import CurrencyPair
from hftpy.sim.recording import FrameKey

KEPT = 4096  # how far back a frame that comes late is given the number that it should have had
_number = re.compile(r'"sequence_num":\s*(\d+)')

Wanted = Callable[[str, tuple[CurrencyPair, ...]], bool]


def number_of(text: str) -> int | None:
    """The number of a frame."""
    found = _number.search(text)
    return None if found is None else int(found[1])


def numbered(text: str, number: int) -> str:
    """A frame with another number."""
    return _number.sub(f'"sequence_num":{number}', text, count=1)


class RecordedNumbers:
    """The numbers of a recording, by connection: what each frame carried. What has no number here was lost."""

    def __init__(self) -> None:
        self._frames: dict[str, dict[int, tuple[str, tuple[CurrencyPair, ...]]]] = {}

    def note(self, connection: str, text: str, key: FrameKey | None) -> None:
        """A frame of the recording; `key` None: it carries no data."""
        number = number_of(text)
        if number is not None:
            carried = (key.channel, key.pairs) if key is not None else ("", ())
            self._frames.setdefault(connection, {}).setdefault(number, carried)

    def first(self, connection: str) -> int:
        """The lowest number of a connection."""
        return min(self._frames[connection])

    def frame(self, connection: str, number: int) -> tuple[str, tuple[CurrencyPair, ...]] | None:
        """Channel and pairs of a frame; None where it was lost."""
        return self._frames[connection].get(number)


class Renumbering:
    """The numbers of one client's connection.

    Parameters
    ----------
    recorded
        What the recording has.
    played
        Up to where each of the recording's connections is played already.
    take
        Uses up the next number of the client's connection.
    wanted
        Whether the client takes the frames of a channel and pairs now.
    """

    def __init__(
        self, recorded: RecordedNumbers, played: Mapping[str, int], take: Callable[[], int], wanted: Wanted
    ) -> None:
        self._recorded = recorded
        self._next = dict(played)  # up to where the recording's numbers are dealt with
        self._take = take
        self._wanted = wanted
        self._given: dict[tuple[str, int], int] = {}

    def of(self, connection: str, number: int, *, silent: bool) -> int:
        """The number of a recorded frame that the client takes; `silent`: nothing is sent, so nothing is numbered."""
        self.advance(connection, number, silent=silent)
        if self._next[connection] == number:
            self._next[connection] = number + 1
            if not silent:
                self._give(connection, number)
        return self._given.get((connection, number), 0)

    def advance(self, connection: str, end: int, *, silent: bool) -> None:
        """Deal with the numbers before `end`: what the client takes, or the recording lost, uses up one."""
        begin = self._next.setdefault(connection, self._recorded.first(connection))
        for number in range(begin, end):
            carried = self._recorded.frame(connection, number)
            if not silent and (carried is None or self._wanted(*carried)):
                self._give(connection, number)
        self._next[connection] = max(begin, end)

    def _give(self, connection: str, number: int) -> None:
        self._given[connection, number] = self._take()
        self._given.pop((connection, number - KEPT), None)
