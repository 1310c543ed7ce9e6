"""T1, T2: frame bytes to Ticker and Trade objects, against msgspec (typed Structs) and orjson (objects with floats).

Results are let go at once, as by a handler that has taken what it needs; the rows "results kept" hold all of a round,
where our parser cannot fill its objects again. The means are those of the rows without.

Order book updates, klines and funding are measured in the same way, with means of their own. The targets speak of
Ticker and Trade, so these rows have no floors: an update holds any number of levels, and ours keeps the venue's own
digits of each beside its doubles (checksums need them), where the peers make floats alone; klines and funding come once
a second and symbol. What a strategy waits for, frame to book in its callback, is T6 and T17.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from parse_books import BOOKS, book_rows
from parse_derivatives import DERIVATIVES
from parse_kinds import FRAMES, KINDS, Kind, Row, frames_of, plain_rows, rows_of, same
from parse_periodic import PERIODIC, periodic_rows

from hftcore.book_parse import BookParser
from hftcore.kline import PeriodicParser
from hftcore.parse import Parser

USUAL = KINDS + DERIVATIVES
OTHERS = BOOKS + PERIODIC
NAMES = {kind.name for kind in USUAL}


def over(frames: list[bytes], read: Callable[[bytes], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            for frame in frames:
                read(frame)

    return run


def keeping(frames: list[bytes], read: Callable[[bytes], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            kept: list[object] = []
            for frame in frames:
                kept.append(read(frame))

    return run


def reader_of(kind: Kind) -> tuple[Callable[[bytes], object], Callable[[bytes], list[Row]]]:
    """Our parser of the kind, and the same with its results as rows."""
    if kind in BOOKS:
        books = BookParser(kind.exchange)
        return books.parse, lambda frame: book_rows(books.parse(frame))
    if kind in PERIODIC:
        periodic = PeriodicParser(kind.exchange)
        return periodic.parse, lambda frame: periodic_rows(kind.exchange, periodic.parse(frame))
    parser = Parser(kind.exchange)
    return parser.parse, lambda frame: rows_of(parser.parse(frame), parser.nativeSymbols)


def sides_of(kind: Kind) -> tuple[list[bytes], Callable[[bytes], object], Callable[[bytes], object]]:
    """Frames of the kind, our reader and msgspec's, which are shown to read the same from each, as does orjson's."""
    frames = frames_of(kind)
    parse, rows = reader_of(kind)
    decoder = msgspec.json.Decoder(kind.struct, strict=False)
    for frame in frames:
        found = rows(frame)
        assert found and same(found, decoder.decode(frame).rows()), frame
        assert same(found, plain_rows(kind.plain(frame))), frame
    return frames, parse, decoder.decode


every_kind = pytest.mark.parametrize("kind", USUAL, ids=lambda kind: kind.name)
every_other = pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.name)


def against_msgspec(versus: Any, kind: Kind, **limits: Any) -> None:
    frames, parse, decode = sides_of(kind)
    times = versus.scale(30)
    versus("T1", kind.name, operations=times * FRAMES, ours=over(frames, parse, times),
           peers={"msgspec": over(frames, decode, times)}, **limits)  # fmt: skip


@every_kind
def test_against_msgspec(versus, kind):
    against_msgspec(versus, kind, floors={"msgspec": 2.7}, goals={"msgspec": 4.5})


def test_mean_against_msgspec(versus):
    versus.mean("T1", "geometric mean of all kinds", of=lambda row: row.target == "T1" and row.name in NAMES,
                floors={"msgspec": 3.3}, goals={"msgspec": 6})  # fmt: skip


@every_other
def test_others_against_msgspec(versus, kind):
    against_msgspec(versus, kind)


@pytest.mark.parametrize("kinds", [BOOKS, PERIODIC], ids=["order book updates", "klines and funding"])
def test_mean_of_others_against_msgspec(versus, kinds, request):
    names, label = {kind.name for kind in kinds}, request.node.callspec.id
    versus.mean("T1", f"geometric mean of {label}", of=lambda row: row.target == "T1" and row.name in names)


@every_kind
def test_against_msgspec_with_results_kept(versus, kind):
    frames, parse, decode = sides_of(kind)
    times = versus.scale(30)
    versus("T1", f"{kind.name}, results kept", operations=times * FRAMES, ours=keeping(frames, parse, times),
           peers={"msgspec": keeping(frames, decode, times)})  # fmt: skip


@pytest.mark.parametrize("kind", USUAL + OTHERS, ids=lambda kind: kind.name)
def test_against_orjson(versus, kind):
    frames, parse, _ = sides_of(kind)
    times = versus.scale(15)
    versus("T2", kind.name, operations=times * FRAMES, ours=over(frames, parse, times),
           peers={"orjson + objects": over(frames, kind.plain, times)})  # fmt: skip


def test_mean_against_orjson(versus):
    versus.mean("T2", "geometric mean of all kinds", of=lambda row: row.target == "T2" and row.name in NAMES,
                floors={"orjson + objects": 9}, goals={"orjson + objects": 15})  # fmt: skip
