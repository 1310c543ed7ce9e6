"""Broken frames through Parser.parse: only ParseError comes out, whatever holds the bytes; junk is a TypeError."""

import random
from collections.abc import Callable
from typing import Any

import corpus
import pytest

from hftcore.errors import ParseError
from hftcore.parse import Parser
from hftcore.types import Ticker, Trade

ROUNDS = 6000
HOLDERS: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview, lambda frame: memoryview(b"x" + frame)[1:]]
PIECES = [b'"', b"\\", b"{", b"}", b",", b":", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\0", b"1e400", b"-1", b"null",
          b'""', "币".encode(), b"/", b"-", b"0" * 40, b'"x/y"']  # fmt: skip


def broken(generator: random.Random, seeds: list[bytes]) -> bytes:
    frame = bytearray(generator.choice(seeds))
    for _ in range(generator.choice((0, 1, 1, 2, 4))):
        at = generator.randrange(len(frame) + 1)
        match generator.randrange(4):
            case 0:
                frame[at : at + 1] = generator.randbytes(1)
            case 1:
                del frame[at : at + generator.randrange(1, 16)]
            case 2:
                frame[at:at] = generator.choice(PIECES)
            case _:
                other = generator.choice(seeds)
                start = generator.randrange(len(other))
                frame[at:] = other[start:]
    return bytes(frame)


def events_of(parser: Parser, frame: Any) -> tuple[list[Ticker | Trade], list[str]]:
    return list(parser.parse(frame, 7)), parser.nativeSymbols


@pytest.mark.parametrize("exchange", corpus.EXCHANGES)
def test_only_parse_errors(exchange):
    try:
        parser = Parser(exchange)
    except ValueError:
        pytest.skip(f"{exchange} has no parser yet")
    seed = 20261121
    generator = random.Random(seed)
    seeds = corpus.seeds_of(exchange)
    good = [(frame, events_of(Parser(exchange), frame)) for frame in corpus.USUAL[exchange][:1]]
    refused = read = 0
    for number in range(ROUNDS):
        frame = broken(generator, seeds)
        try:
            events, natives = events_of(parser, HOLDERS[number % len(HOLDERS)](frame))
        except ParseError as error:
            refused += 1
            assert str(error) and parser.kind is None and parser.nativeSymbols == [], (seed, frame)
            for well_formed, expected in good:
                assert events_of(parser, well_formed) == expected, (seed, frame)
        else:
            read += bool(events)
            assert parser.kind is not None and len(natives) == len(events), (seed, frame)
            assert all(repr(event) and event.localTimeNs == 7 for event in events), (seed, frame)
    assert refused > ROUNDS // 20 and read > ROUNDS // 20


JUNK = [None, 1, 1.5, "text", [b"{}"], object(), {}, Parser]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_junk_is_a_type_error(junk):
    parser = Parser("kraken")
    with pytest.raises(TypeError):
        parser.parse(junk)
    assert parser.kind is None and parser.nativeSymbols == []
    (event,) = parser.parse(corpus.USUAL["kraken"][0])
    assert isinstance(event, Ticker)
