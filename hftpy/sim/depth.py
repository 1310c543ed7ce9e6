"""What changes in a pair's whole order book, as the venues' book channels tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from zlib import crc32

from hftcore.enums import Side
from hftcore.symbols import CurrencyPair
from hftpy.trading.matching import Level, MatchingBook

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ladder:
    """All levels of a book, best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @classmethod
    def of(cls, book: MatchingBook) -> "Ladder":
        """The levels of a book right now."""
        return cls(tuple(book.levels(Side.BUY)), tuple(book.levels(Side.SELL)))


@dataclass(frozen=True, slots=True)
class DepthChange:
    """A pair's book before and after an event. Each changed level counts one from `first_id` to `last_id`."""

    pair: CurrencyPair
    before: Ladder
    after: Ladder
    first_id: int
    last_id: int
    time_ns: int


def changed_levels(before: Sequence[Level], after: Sequence[Level], depth: int | None = None) -> list[Level]:
    """The levels that make `before` become `after`; size 0: gone.

    With a `depth`, what a client needs who sees so many levels and forgets those that are pushed beyond.
    """
    if before == after:
        return []
    old, new = dict(before[:depth]), dict(after[:depth])
    still = new if depth is None else dict(after)
    gone = [(price, ZERO) for price in old if price not in still]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]


def kraken_checksum(ladder: Ladder) -> int:
    """CRC32 of the ten best asks and bids as `f"{number:f}"` writes them.

    Source: docs.kraken.com, "Book checksum (v2)".
    """
    levels = ladder.asks[:10] + ladder.bids[:10]
    text = "".join(f"{number:f}".replace(".", "").lstrip("0") for level in levels for number in level)
    return crc32(text.encode())
