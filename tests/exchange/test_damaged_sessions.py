"""Recorded sessions with one frame removed, repeated, or swapped with the next one, at any place: each venue's books.

What must follow is the table "What is detected" of docs/books.md.
"""

import gzip
import os
import random
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sim_session import following

from hftcore.book import Snapshot
from hftpy.common import Exchange, Gap, Reconnected
from hftpy.exchange import book as book_module
from hftpy.sim import replay as replay_module
from hftpy.sim.faults import DataFrame, FaultState
from hftpy.sim.recording import classify_frame, session_exchange

pytestmark = pytest.mark.recorded
LEVELS = 5
KINDS = ("remove", "repeat", "swap")
# name: lines of the session that are taken
SESSIONS = {
    "binance_spot__all_20210417": 700, "binance_us__all_20211012": 480, "binance_usdm__all_20210417": 700,
    "okx__v5_all_20210722": 500, "okx__v5_books_20220513": 440, "coinbase__advanced_20260809": 250,
    "kraken__v1_book1000_20210405": 1200, "kraken_futures__all_20210417": 900,
}  # fmt: skip
CHECKED = (Exchange.KRAKEN, Exchange.OKX)  # whose recorded books are proven by checksums alone
Top = tuple[list[tuple[float, float]], list[tuple[float, float]]]


class Damage(FaultState):
    """Loses, repeats or delays the frame at a place among the data frames that a recording plays."""

    def __init__(self, kind: str = "", at: int = -1) -> None:
        super().__init__()
        self.kind = kind
        self.at = at
        self.frames: list[DataFrame] = []  # as the venue made them
        self.kept: DataFrame | None = None

    def pass_on(self, connection: Any, frame: DataFrame, hits: Any) -> tuple[DataFrame, ...]:
        place = len(self.frames)
        self.frames.append(frame)
        if place == self.at:
            if self.kind == "swap":
                self.kept = frame
                return ()
            return () if self.kind == "remove" else (frame, frame)
        if self.kept is not None:
            kept, self.kept = self.kept, None
            return frame, kept
        return (frame,)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Books are asked for at once: nothing here is measured in seconds."""
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.02 if times else 0.0)
    monkeypatch.setattr(book_module.BookProtocol, "answer_s", 3.0)
    monkeypatch.setattr(replay_module, "FETCH_S", 2.0)


@cache
def cut(name: str, folder: Path) -> Path:
    """The beginning of a session."""
    source = Path(os.environ["HFTPY_FIXTURES"]) / "real" / "sessions" / f"{name}.jsonl.gz"
    path = folder / f"{name}.jsonl"
    with gzip.open(source, "rt") as lines:
        path.write_text("".join(line for _, line in zip(range(SESSIONS[name]), lines, strict=False)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions")


@dataclass
class Result:
    """What a stream showed of a session."""

    frames: list[DataFrame] = field(default_factory=list)
    tops: dict[str, list[tuple[int, Top]]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    healed: dict[str, list[Top]] = field(default_factory=dict)  # what was shown after the first gap
    books: dict[str, Any] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)


def top_of(item: Snapshot) -> Top:
    sides = ((item.bidsPrice, item.bidsVolume), (item.asksPrice, item.asksVolume))
    bids, asks = (list(zip(prices.tolist(), sizes.tolist(), strict=True)) for prices, sizes in sides)
    return bids, asks


def values(book: Any, levels: int) -> Any:
    return [[(Decimal(price), Decimal(size)) for price, size in side] for side in book.top_texts(levels)]


async def follow(path: Path, damage: Damage) -> Result:
    exchange = session_exchange(path)
    result = Result()
    async with following(path, "book", levels=LEVELS, faults=damage) as run:
        await run.play()
        pairs = run.stream.currency_pairs
        known = {pair: run.venue.market._books.book(pair) for pair in pairs}
        await run.until(lambda: all(run.stream.book(pair).state for pair in pairs if known[pair] is not None))
        await run.quiet()
        depth = 10 if exchange is Exchange.KRAKEN else 25 if exchange is Exchange.OKX else 500
        for pair, book in known.items():
            if book is not None:
                result.books[pair] = values(run.stream.book(pair), depth)
                result.truth[pair] = values(book, depth)
        result.stats = run.stats
        assert not run.observer.of(Reconnected)
        result.gaps = run.observer.of(Gap)
        for item in run.observer.of(Snapshot, Gap):
            if isinstance(item, Gap):
                result.healed.setdefault(str(item.symbol), [])
                continue
            result.tops.setdefault(item.symbol, []).append((item.seq, top_of(item)))
            if item.symbol in result.healed:
                result.healed[item.symbol].append(top_of(item))
    result.frames = damage.frames
    return result


_undisturbed: dict[Path, Result] = {}


async def undisturbed(path: Path) -> Result:
    if path not in _undisturbed:
        _undisturbed[path] = await follow(path, Damage())
        assert not _undisturbed[path].gaps and _undisturbed[path].books == _undisturbed[path].truth
    return _undisturbed[path]


def pairs_of(exchange: Exchange, frame: DataFrame) -> set[str]:
    key = classify_frame(exchange, frame.text)
    return set(key.pairs) if key is not None else set()


def is_part_of(shown: list[Top], wanted: list[Top]) -> bool:
    """Whether all that was shown was true, in its order."""
    rest = iter(wanted)
    return all(any(top == other for other in rest) for top in drop_repeats(shown))


def drop_repeats(tops: list[Top]) -> list[Top]:
    return [top for place, top in enumerate(tops) if place == 0 or tops[place - 1] != top]


def check(exchange: Exchange, right: Result, result: Result, kind: str, at: int) -> None:
    """A damaged run beside the undisturbed one."""
    hurt = pairs_of(exchange, right.frames[at])
    if kind == "swap" and at + 1 < len(right.frames):
        hurt |= pairs_of(exchange, right.frames[at + 1])
    # In the end all is as it should be, but for a last frame, which nothing follows that would tell.
    told = {pair for frame in right.frames[at + 1 :] for pair in pairs_of(exchange, frame)}
    for pair in result.truth.keys() & (told | (right.truth.keys() - hurt)):
        assert result.books[pair] == result.truth[pair], pair
    for pair, tops in right.tops.items():
        got = result.tops.get(pair, [])
        wanted = [top for _, top in tops]
        if exchange is Exchange.COINBASE:
            assert {gap.symbol for gap in result.gaps} <= set(right.tops)
        elif pair not in hurt:
            assert got == tops, pair  # no update more or less
            assert pair not in {gap.symbol for gap in result.gaps}
        # Nothing wrong was ever shown.
        if exchange in (*CHECKED, Exchange.COINBASE):  # a new subscription has numbers of its own
            # Two frames of one level in the wrong order have the right checksums: the next one's tells.
            assert all(top in wanted for _, top in got), pair
            if kind != "swap" or exchange is Exchange.COINBASE:
                assert is_part_of([top for _, top in got], wanted), pair
            assert is_part_of(result.healed.get(pair, []), wanted), pair
        else:
            known: dict[int, list[Top]] = {}
            for seq, top in tops:
                known.setdefault(seq, []).append(top)
            for seq, top in got:
                assert seq not in known or top in known[seq], (pair, seq)
    check_gaps(exchange, right, result, kind, at, hurt)


def check_gaps(exchange: Exchange, right: Result, result: Result, kind: str, at: int, hurt: set[str]) -> None:
    reasons = {gap.reason for gap in result.gaps}
    if kind == "repeat" and exchange not in CHECKED:
        assert not result.gaps and result.stats["resyncs"] == 0
        assert result.tops == right.tops
        return
    if exchange in CHECKED:
        assert reasons <= {"checksum", "crossed book"}
        return
    assert reasons <= {"sequence"}
    own = [place for place, frame in enumerate(right.frames) if pairs_of(exchange, frame) & hurt]
    begun = any(place < at for place in own) and shown_before(exchange, right, at)
    later = [place for place in own if place > at]
    if exchange is Exchange.COINBASE:
        if begun and at + 1 < len(right.frames):
            assert {gap.symbol for gap in result.gaps} == shown_at(exchange, right, at)
            assert {gap.lost for gap in result.gaps} == {1}
    elif begun and later and kind == "remove":
        assert [gap.symbol for gap in result.gaps] == list(hurt)
        if exchange is Exchange.KRAKEN_FUTURE:
            assert [gap.lost for gap in result.gaps] == [1]


def shown_at(exchange: Exchange, right: Result, at: int) -> set[str]:
    """The pairs whose books had begun before a frame."""
    return {pair for frame in right.frames[:at] for pair in pairs_of(exchange, frame)}


def shown_before(exchange: Exchange, right: Result, at: int) -> bool:
    """Whether the book that a frame moves was shown before."""
    if exchange not in (Exchange.BINANCE, Exchange.BINANCE_FUTURE):
        return True
    key = classify_frame(exchange, right.frames[at].text)
    assert key is not None
    first = right.tops.get(key.pairs[0], [(0, None)])[0][0]
    return bool(first) and key.payload["U"] > first + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SESSIONS)
async def test_one_damaged_frame_anywhere(fixtures: Path, folder: Path, name: str, kind: str) -> None:
    path = cut(name, folder)
    exchange = session_exchange(path)
    right = await undisturbed(path)
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for _ in range(int(os.environ.get("HFTPY_DAMAGES", "1"))):
        at = rng.randrange(len(right.frames) - 1)
        print(f"seed {seed}: {kind} at {at} of {name}")
        result = await follow(path, Damage(kind, at))
        check(exchange, right, result, kind, at)
