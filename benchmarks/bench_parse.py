"""T1, T2: frame bytes to Ticker and Trade objects, against msgspec (typed Structs) and orjson (objects with floats).

Results are let go at once, as by a handler that has taken what it needs; the rows "results kept" hold all of a round,
where our parser cannot fill its objects again. The means are those of the rows without.
"""

from collections.abc import Callable

import msgspec
import pytest
from parse_derivatives import DERIVATIVES
from parse_kinds import FRAMES, KINDS, Kind, frames_of, plain_rows, rows_of, same

from hftcore.parse import Parser


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


def sides_of(kind: Kind) -> tuple[list[bytes], Parser, "msgspec.json.Decoder[object]"]:
    """Frames of the kind, our parser and the peer's, which are shown to read the same from each."""
    frames = frames_of(kind)
    parser = Parser(kind.exchange)
    decoder = msgspec.json.Decoder(kind.struct, strict=False)
    for frame in frames:
        events = rows_of(parser.parse(frame), parser.nativeSymbols)
        assert same(events, decoder.decode(frame).rows()), frame
        assert same(events, plain_rows(kind.plain(frame))), frame
    return frames, parser, decoder


every_kind = pytest.mark.parametrize("kind", KINDS + DERIVATIVES, ids=lambda kind: kind.name)


@every_kind
def test_against_msgspec(versus, kind):
    frames, parser, decoder = sides_of(kind)
    times = versus.scale(30)
    versus("T1", kind.name, operations=times * FRAMES, ours=over(frames, parser.parse, times),
           peers={"msgspec": over(frames, decoder.decode, times)}, floors={"msgspec": 2.7},
           goals={"msgspec": 4.5})  # fmt: skip


def test_mean_against_msgspec(versus):
    versus.mean("T1", "geometric mean of all kinds", of=lambda row: row.target == "T1",
                floors={"msgspec": 3.3}, goals={"msgspec": 6})  # fmt: skip


@every_kind
def test_against_msgspec_with_results_kept(versus, kind):
    frames, parser, decoder = sides_of(kind)
    times = versus.scale(30)
    versus("T1", f"{kind.name}, results kept", operations=times * FRAMES, ours=keeping(frames, parser.parse, times),
           peers={"msgspec": keeping(frames, decoder.decode, times)})  # fmt: skip


@every_kind
def test_against_orjson(versus, kind):
    frames, parser, _ = sides_of(kind)
    times = versus.scale(15)
    versus("T2", kind.name, operations=times * FRAMES, ours=over(frames, parser.parse, times),
           peers={"orjson + objects": over(frames, kind.plain, times)})  # fmt: skip


def test_mean_against_orjson(versus):
    versus.mean("T2", "geometric mean of all kinds", of=lambda row: row.target == "T2",
                floors={"orjson + objects": 9}, goals={"orjson + objects": 15})  # fmt: skip
