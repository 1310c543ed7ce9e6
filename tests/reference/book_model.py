"""A slow order book to judge the core's by: a dict of Decimals for each side, sorted when it is asked."""

import zlib
from dataclasses import dataclass, field
from decimal import Context, Decimal

EXACT = Context(prec=4000, Emax=10**6, Emin=-(10**6))
Texts = list[tuple[str, str]]


@dataclass
class SideModel:
    """One side: the exact price to the texts that came last."""

    best_is_highest: bool
    levels: dict[Decimal, tuple[str, str]] = field(default_factory=dict)

    def sorted(self) -> Texts:
        return [self.levels[price] for price in sorted(self.levels, reverse=self.best_is_highest)]

    def truncate(self, depth: int) -> int:
        dropped = sorted(self.levels, reverse=self.best_is_highest)[depth:]
        for price in dropped:
            del self.levels[price]
        return len(dropped)


class BookModel:
    """What `hftcore.book.OrderBook` must answer."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.bids = SideModel(best_is_highest=True)
        self.asks = SideModel(best_is_highest=False)
        names = ("updates", "snapshots", "inserted", "changed", "removed", "unknownRemoved", "truncated", "refused")
        self.counters = dict.fromkeys(names, 0)

    def apply(self, bids: Texts, asks: Texts, *, snapshot: bool) -> None:
        self.counters["updates"] += 1
        self.counters["snapshots"] += snapshot
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            if snapshot:
                side.levels.clear()
            for price, volume in levels:
                self._set(side, price, volume)
            if self.depth:
                self.counters["truncated"] += side.truncate(self.depth)

    def _set(self, side: SideModel, price: str, volume: str) -> None:
        key = EXACT.create_decimal(price)
        known = key in side.levels
        if EXACT.create_decimal(volume) != 0:
            # Equal Decimals of other texts keep the dict's old key, which compares the same.
            side.levels[key] = (price, volume)
            self.counters["changed" if known else "inserted"] += 1
        elif known:
            del side.levels[key]
            self.counters["removed"] += 1
        else:
            self.counters["unknownRemoved"] += 1

    def top_texts(self, levels: int) -> tuple[Texts, Texts]:
        return self.bids.sorted()[:levels], self.asks.sorted()[:levels]

    def touch(self) -> int | None:
        """Above 0: crossed; 0: locked; None: a side is empty."""
        if not self.bids.levels or not self.asks.levels:
            return None
        bid, ask = max(self.bids.levels), min(self.asks.levels)
        return (bid > ask) - (bid < ask)


def kraken_digits(text: str) -> str:
    """A number without its point and leading zeros; an exponent is written out."""
    plain = format(EXACT.create_decimal(text), "f") if "e" in text.lower() else text
    return plain.replace(".", "").lstrip("0")


def kraken_checksum(bids: Texts, asks: Texts) -> int:
    """CRC-32 of the ten best asks, then the ten best bids."""
    levels = asks[:10] + bids[:10]
    return zlib.crc32("".join(kraken_digits(price) + kraken_digits(volume) for price, volume in levels).encode())


def okx_checksum(bids: Texts, asks: Texts) -> int:
    """Signed CRC-32 of the 25 best levels, bids and asks in turn."""
    parts: list[str] = []
    for rank in range(25):
        for side in (bids, asks):
            if rank < len(side):
                parts.extend(side[rank])
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value
