"""A slow model of the venues' sequencing rules, and venues of a few lines whose books are known at every number.

The rules are those of include/hftcore/book_sync.hpp, written once more from the venues' documentation.
"""

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

Side = dict[Decimal, tuple[str, str]]  # by exact price: the texts


def apply_levels(side: Side, levels: list[tuple[str, str]]) -> None:
    """Absolute volumes; zero removes."""
    for price, volume in levels:
        if Decimal(volume) == 0:
            side.pop(Decimal(price), None)
        else:
            side[Decimal(price)] = (price, volume)


@dataclass
class Book:
    """Both sides of a book."""

    bids: Side = field(default_factory=dict)
    asks: Side = field(default_factory=dict)
    depth: int = 0

    def apply(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]], whole: bool = False) -> None:
        if whole:
            self.bids, self.asks = {}, {}
        apply_levels(self.bids, bids)
        apply_levels(self.asks, asks)
        if self.depth:
            self.bids = {price: self.bids[price] for price in sorted(self.bids, reverse=True)[: self.depth]}
            self.asks = {price: self.asks[price] for price in sorted(self.asks)[: self.depth]}

    def top(self, levels: int = 1000) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = [self.bids[price] for price in sorted(self.bids, reverse=True)[:levels]]
        return bids, [self.asks[price] for price in sorted(self.asks)[:levels]]

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) > min(self.asks)

    def checksum(self) -> int:
        bids, asks = self.top(10)
        digits = (text.replace(".", "").lstrip("0") for level in [*asks, *bids] for text in level)
        return zlib.crc32("".join(digits).encode())


@dataclass
class Frame:
    """One frame of a venue, and the venue's book after it."""

    data: str
    symbol: str
    number: int
    top: tuple[list[tuple[str, str]], list[tuple[str, str]]]


def random_levels(rng: random.Random, book: Book, symbol_at: int) -> tuple[list[Any], list[Any]]:
    """Levels that move the book but never cross it."""
    bids, asks = [], []
    for _ in range(rng.randrange(1, 5)):
        place = rng.randrange(1, 15)
        price = symbol_at - place if rng.random() < 0.5 else symbol_at + place
        volume = "0.000" if rng.random() < 0.3 else f"{rng.randrange(1, 999)}.{rng.randrange(1000):03}"
        (bids if price < symbol_at else asks).append((f"{price}.50", volume))
    return bids, asks


class Venue:
    """Makes the frames of one venue. `kind`: kraken, binance, binance_future, okx, kraken_future, coinbase."""

    NATIVE: ClassVar = {
        "kraken": "{}/USD", "binance": "{}USDT", "binance_future": "{}USDT", "okx": "{}-USDT",
        "kraken_future": "PF_{}USD", "coinbase": "{}-USD",
    }  # fmt: skip

    def __init__(self, kind: str, rng: random.Random, symbols: tuple[str, ...] = ("BTC", "ETH")) -> None:
        self.kind = kind
        self.rng = rng
        if kind == "kraken_future":
            symbols = tuple("XBT" if symbol == "BTC" else symbol for symbol in symbols)
        self.symbols = [self.NATIVE[kind].format(symbol) for symbol in symbols]
        self.books = {symbol: Book(depth=10 if kind == "kraken" else 0) for symbol in self.symbols}
        self.numbers = dict.fromkeys(self.symbols, 100)
        self.frame_number = -1
        self.time = 1_700_000_000_000
        for symbol in self.symbols:
            bids = [(f"{1000 - place}.50", "1.000") for place in range(1, 12)]
            asks = [(f"{1000 + place}.50", "1.000") for place in range(1, 12)]
            self.books[symbol].apply(bids, asks, whole=True)

    @property
    def outside(self) -> bool:
        return self.kind.startswith("binance")

    def snapshot(self, symbol: str) -> Frame:
        """The whole book as it is now."""
        return self._frame(symbol, *self.books[symbol].top(), whole=True, first=self.numbers[symbol], previous=-1)

    def update(self, symbol: str) -> Frame:
        """Move the book."""
        bids, asks = random_levels(self.rng, self.books[symbol], 1000)
        self.books[symbol].apply(bids, asks)
        previous = self.numbers[symbol]
        step = 1 if self.kind == "kraken_future" else self.rng.randrange(1, 5)
        self.numbers[symbol] += step
        return self._frame(symbol, bids, asks, whole=False, first=previous + 1, previous=previous)

    def frames(self, count: int) -> Iterator[Frame]:
        """Snapshots of all, where they come in band, then updates."""
        if not self.outside:
            for symbol in self.symbols:
                yield self.snapshot(symbol)
        for _ in range(count):
            yield self.update(self.rng.choice(self.symbols))

    def _frame(self, symbol: str, bids: Any, asks: Any, *, whole: bool, first: int, previous: int) -> Frame:
        if self.kind != "kraken_future" or not whole:
            self.time += self.rng.randrange(1, 50)
        number = self.numbers[symbol]
        book = self.books[symbol]
        match self.kind:
            case "kraken":
                data = self._kraken(symbol, bids, asks, whole, book.checksum())
            case "okx":
                body = {"asks": [[*x, "0", "1"] for x in asks], "bids": [[*x, "0", "1"] for x in bids]}
                body |= {"ts": str(self.time), "checksum": 0, "prevSeqId": previous, "seqId": number}
                data = json.dumps(
                    {"arg": {"channel": "books", "instId": symbol}, "action": "snapshot" if whole else "update",
                     "data": [body]}
                )  # fmt: skip
            case "coinbase":
                self.frame_number += 1
                updates = [{"side": "bid", "price_level": p, "new_quantity": v} for p, v in bids]
                updates += [{"side": "offer", "price_level": p, "new_quantity": v} for p, v in asks]
                event = {"type": "snapshot" if whole else "update", "product_id": symbol, "updates": updates}
                data = json.dumps(
                    {"channel": "l2_data", "timestamp": self._rfc3339(), "sequence_num": self.frame_number,
                     "events": [event]}
                )  # fmt: skip
                number = self.frame_number
            case "kraken_future":
                return self._kraken_future(symbol, bids, asks, whole)
            case _ if whole:
                data = json.dumps({"lastUpdateId": number, "bids": bids, "asks": asks})
            case _:
                body = {"e": "depthUpdate", "E": self.time, "s": symbol, "U": first, "u": number, "b": bids, "a": asks}
                if self.kind == "binance_future":
                    # Numbers of other symbols lie between: only `pu` proves that none is missing.
                    body["pu"] = previous
                data = json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": body})
        return Frame(data, symbol, number, book.top())

    def _kraken_future(self, symbol: str, bids: Any, asks: Any, whole: bool) -> Frame:
        book, number = self.books[symbol], self.numbers[symbol]
        if whole:
            sides = {
                name: [{"price": float(p), "qty": float(v)} for p, v in levels]
                for name, levels in (("bids", bids), ("asks", asks))
            }
            data = {"feed": "book_snapshot", "product_id": symbol, "timestamp": self.time, "seq": number, **sides}
            return Frame(json.dumps(data), symbol, number, book.top())
        # One level a frame: of what was drawn the last one alone has moved the book.
        side, (price, volume) = ("buy", bids[-1]) if bids else ("sell", asks[-1])
        data = {
            "feed": "book", "product_id": symbol, "side": side, "seq": number, "price": float(price),
            "qty": float(volume), "timestamp": self.time,
        }  # fmt: skip
        return Frame(json.dumps(data), symbol, number, book.top())

    def _kraken(self, symbol: str, bids: Any, asks: Any, whole: bool, checksum: int) -> str:
        def side(levels: Any) -> str:
            return ",".join(f'{{"price":{price},"qty":{volume}}}' for price, volume in levels)

        return (
            f'{{"channel":"book","type":"{"snapshot" if whole else "update"}","data":[{{"symbol":"{symbol}",'
            f'"bids":[{side(bids)}],"asks":[{side(asks)}],"checksum":{checksum},"timestamp":"{self._rfc3339()}"}}]}}'
        )

    def _rfc3339(self) -> str:
        seconds, milliseconds = divmod(self.time, 1000)
        minutes, second = divmod(seconds % 3600, 60)
        return f"2026-03-01T{12 + (seconds - 1_700_000_000) // 3600:02}:{minutes:02}:{second:02}.{milliseconds:03}000Z"


class KrakenFutureVenue(Venue):
    """One level a frame."""

    def update(self, symbol: str) -> Frame:
        bids, asks = random_levels(self.rng, self.books[symbol], 1000)
        if bids:
            bids, asks = bids[-1:], []
        else:
            asks = asks[-1:]
        self.books[symbol].apply(bids, asks)
        self.numbers[symbol] += 1
        number = self.numbers[symbol]
        return self._frame(symbol, bids, asks, whole=False, first=number, previous=number - 1)


def venue_of(kind: str, rng: random.Random) -> Venue:
    """The venue's maker of frames."""
    return (KrakenFutureVenue if kind == "kraken_future" else Venue)(kind, rng)


class SyncModel:
    """What one symbol's book should do with each frame: ``deliver``, ``outdated``, ``waiting``, ``held`` or ``gap``."""

    def __init__(self, kind: str, depth: int = 0) -> None:
        self.kind = kind
        self.book = Book(depth=depth)
        self.synced = False
        self.last = 0
        self.last_time = 0
        self.fresh = False
        self.held: list[dict[str, Any]] = []

    def take(self, update: dict[str, Any]) -> str:
        """`update`: bids, asks, first, last, previous, time, checksum, whole."""
        outside = self.kind.startswith("binance")
        if update["whole"] and not outside:
            if self.synced:
                again = update["last"] <= self.last if update["last"] is not None else update["time"] < self.last_time
                if again and update["time"] <= self.last_time:
                    return "outdated"
            self.synced = True
            return self._apply(update)
        if not self.synced:
            if outside:
                self.held.append(update)
                return "held"
            return "waiting"
        if update["last"] is not None and self.kind != "coinbase":
            verdict = self._judge(update)
            if verdict != "deliver":
                if verdict == "gap":
                    self.synced = False
                    self.held = [update] if outside else []
                return verdict
        return self._apply(update)

    def _judge(self, update: dict[str, Any]) -> str:
        first, last, previous = update["first"], update["last"], update["previous"]
        if self.fresh and self.kind.startswith("binance"):
            if last < self.last or (self.kind == "binance" and last == self.last):
                return "outdated"
            follows = first <= self.last + 1 <= last if self.kind == "binance" else (
                first <= self.last <= last or previous == self.last
            )  # fmt: skip
            return "deliver" if follows else "gap"
        follows = {
            "binance": first == self.last + 1,
            "binance_future": previous == self.last,
            "okx": previous == self.last,
            "kraken_future": last == self.last + 1,
        }[self.kind]
        if follows:
            return "deliver"
        return "outdated" if last <= self.last and update["time"] <= self.last_time else "gap"

    def _apply(self, update: dict[str, Any]) -> str:
        self.book.apply(update["bids"], update["asks"], update["whole"])
        if update["last"] is not None:
            self.last = update["last"]
        self.last_time = update["time"] if update["whole"] else max(self.last_time, update["time"])
        self.fresh = update["whole"]
        wrong = update["checksum"] is not None and update["checksum"] != self.book.checksum()
        if wrong or self.book.crossed:
            self.synced = False
            self.held = []
            return "gap"
        return "deliver"
