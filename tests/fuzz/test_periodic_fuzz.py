"""Broken klines and funding: under AddressSanitizer and UndefinedBehaviorSanitizer, and against the slow reading.

`HFTPY_FUZZ_INPUTS` and `HFTPY_FUZZ_SEED` as in test_fuzz.py.
"""

import json
import math
import os
import random
import re
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import corpus
import fuzzers
import periodic_oracle as oracle
import pytest
from periodic_messages import KLINES_AND_FUNDING
from short_run import some

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser
from hftcore.symbols import pair_of_native

INPUTS = int(os.environ.get("HFTPY_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("HFTPY_FUZZ_SEED", "20261121"))
FIXTURES = Path(os.environ["HFTPY_FIXTURES"]) if "HFTPY_FIXTURES" in os.environ else None
OPTIMISED = "-O1" if INPUTS > 100_000 else "-O0"
VENUES = sorted(KLINES_AND_FUNDING)
PERIODIC = ("kline", "ohlc", "candle", "funding", "markprice", "ticker.")
needs_compiler = [
    pytest.mark.native,
    pytest.mark.timeout(max(300, INPUTS // 500)),
    pytest.mark.skipif(fuzzers.COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]


def native(function: Callable[..., None]) -> Callable[..., None]:
    for mark in needs_compiler:
        function = mark(function)
    return function


def recorded(exchange: str) -> Iterator[bytes]:
    """Some of the venue's recorded klines and funding."""
    for folder in corpus.FOLDERS[exchange] if FIXTURES is not None else ():
        assert FIXTURES is not None
        for path in sorted((FIXTURES / "real" / folder).glob("*.jsonl")):
            if any(part in path.name for part in PERIODIC) and path.name[0].islower():
                lines = path.read_bytes().splitlines()
                yield from (line for line in lines[:: max(1, len(lines) // 20)] if 0 < len(line) <= 4096)


def seeds_of(exchange: str) -> list[bytes]:
    seeds = [*KLINES_AND_FUNDING[exchange], *recorded(exchange)]
    return list(dict.fromkeys(seed for seed in seeds if b"\n" not in seed))


def test_every_parser_has_seeds() -> None:
    supported = []
    for exchange in Exchange:
        try:
            supported.append(str(PeriodicParser(exchange).exchange))
        except ValueError:
            continue
    assert sorted(supported) == VENUES


@pytest.fixture(scope="session")
def periodic_fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("periodic_fuzz")
    return fuzzers.build(folder, "periodic_fuzz", [OPTIMISED, *fuzzers.SANITIZED], simdjson=True)


@native
@pytest.mark.parametrize("exchange", VENUES)
def test_no_frame_breaks_a_parser(periodic_fuzz: Path, exchange: str) -> None:
    done = fuzzers.run(periodic_fuzz, exchange, seeds_of(exchange), INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)
    print(done.stdout)
    counts = re.search(r"(\d+) klines, (\d+) fundings, (\d+) refused", done.stdout)
    assert counts is not None
    klines, fundings, refused = (int(count) for count in counts.groups())
    assert refused > INPUTS // 10 and klines + fundings > INPUTS // 20, done.stdout
    assert (klines > 0) is (exchange != "kraken_future"), done.stdout
    by_template = re.search(r"(\d+) by a template", done.stdout)
    assert by_template is not None and (int(by_template[1]) > INPUTS // 100 or exchange == "kraken_future"), done.stdout
    assert fundings > 0 or exchange not in ("binance_future", "okx_swap", "kraken_future"), done.stdout


BATCH, DECODER, TEMPLATE = "periodic_batch.hpp", "periodic_decoder.hpp", "periodic_template.hpp"
# Mistakes in the parser, each of which must be found: (exchange, header, right, wrong).
MISTAKES = {
    "a sum that overflows": (
        "binance", BATCH, "if (__builtin_add_overflow(ns, more, &sum)) refuse", "sum = ns + more; if (false) refuse",
    ),
    "events of a refused frame stay": (
        "coinbase", DECODER, "    int fail(const char* reason) noexcept {\n        batch_.clear();\n",
        "    int fail(const char* reason) noexcept {\n",
    ),
    "klines of the frame before stay": ("okx", BATCH, "        empty(&klines);\n", ""),
    "a number of the frame before stays": (
        "coinbase", BATCH, "        isNumbered = false;\n        empty", "        empty",
    ),
    "a negative volume": ("kraken", DECODER, "kline.volume = read_amount(cells.get(7), ROW[7]);",
                          "kline.volume = read_signed(cells.get(7), ROW[7]);"),
    "a candle of too few columns": ("okx", DECODER, "if (columns < 7) refuse", "if (columns < 2) refuse"),
    "whose kline it is": ("coinbase", BATCH, "        kline.exchange = exchange;\n", ""),
    "history is never over": ("kraken", BATCH, "if (published != 0 && kline->closeTimeNs <= published)", "if (false)"),
    "a template forgets the sign": ("okx_swap", TEMPLATE, "if (negative) *value = -*value;", ""),
    "a template's end of a month": ("binance", TEMPLATE, 'view("smhHdDwW")', 'view("smhHdDwWM")'),
    "a template takes any clock": ("okx", TEMPLATE, "if (closed) kline.flags |= FLAG_CLOSED;\n    } while", "} while"),
    "a template's interval of nothing": ("kraken", TEMPLATE, "minutes != 0 &&\n              ", ""),
    "a template loses the number": ("coinbase", TEMPLATE, "batch->isNumbered = true;", ""),
    "a reason without the value": ("kraken_future", "json_tree.hpp", "reason += \", was '\";", "reason += \" '\";"),
}  # fmt: skip


@native
@pytest.mark.parametrize("mistake", some(MISTAKES))
def test_a_mistake_is_found(tmp_path: Path, mistake: str) -> None:
    exchange, header, right, wrong = MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "periodic_fuzz", ["-O0", "-w", *fuzzers.SANITIZED], include, simdjson=True)
    assert fuzzers.finds(program, exchange, KLINES_AND_FUNDING[exchange], 40_000, SEED), "nothing found"


def test_every_mistake_can_still_be_made() -> None:
    for _, header, right, wrong in MISTAKES.values():
        assert right in (fuzzers.INCLUDE / "hftcore" / header).read_text() and right != wrong, (header, right)


# Numbers as a venue, or an attacker, might write them, in place of any number of a frame.
NUMBERS = [
    "123456789012345678", "0.123456789012345678", "123456789012345678.123456789012345678", "1e22", "1E22", "1e-22",
    "1E+5", "1e-5", "5E-324", "1e308", "1.7976931348623157E308", "1e309", "1e-400", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "-1", "-0", "-0.0", "0", "0.0", "00", "01",
    "+1", ".5", "1.", "NaN", "nan", "Infinity", "-Infinity", "0x10", "1_0", "", " 1", "1 ", "1772368245123456",
    "9223372036854", "9223372036855", "9223372036", "9223372037", "99999999999", "100000000000", "1" * 400,
    "0." + "3" * 400, "2.5", "9007199254740993",
]  # fmt: skip
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
WORD = re.compile(rb'"[A-Za-z_][A-Za-z0-9_/-]*"')


def broken(generator: random.Random, frame: bytes) -> bytes:
    """One or two of its numbers, words, members or brackets replaced."""
    for _ in range(generator.choice((1, 1, 2))):
        match generator.randrange(8):
            case 0 | 1 | 2 | 3:
                found = list(NUMBER.finditer(frame))
                with_ = generator.choice(NUMBERS).encode()
            case 4:
                found = list(WORD.finditer(frame))
                with_ = generator.choice([b'""', b"null", b"true", b"5", b"[]", b"{}", b'"x"', b'"BTC-USDT"', b"[[1]]"])
            case 5:  # a member left out
                found = list(re.finditer(rb'"[A-Za-z_]+":(?:"[^"]*"|[-\w.+]+),', frame))
                with_ = b""
            case 6:
                return frame[: generator.randrange(len(frame))]
            case _:
                found = list(re.finditer(rb"[\[{]", frame))
                with_ = b"[" * generator.choice((1, 2, 70, 5000))
        if found:
            at = generator.choice(found)
            frame = frame[: at.start()] + with_ + frame[at.end() :]
    return frame


def has_key_twice(frame: bytes) -> bool:
    """Such a frame is another test's: a JSON library takes the last of the two."""
    twice = []

    def members(pairs: list[tuple[str, Any]]) -> None:
        twice.append(len({name for name, _ in pairs}) < len(pairs))

    try:
        json.loads(frame, object_pairs_hook=members)
    except (ValueError, RecursionError):
        return False
    return any(twice)


def bits(value: Any) -> Any:
    return struct.pack("<d", value).hex() if isinstance(value, float) else value


def row_of(event: Kline | dict[str, Any], spelling: str) -> dict[str, Any]:
    told = event.to_dict() if isinstance(event, Kline) else dict(event)
    for name in ("exchange", "symbol", "localTimeNs", "seq"):
        told.pop(name, None)
    if isinstance(event, Kline):
        told["quoteVolume"] = None if math.isnan(event.quoteVolume) else event.quoteVolume
        told["tradeCount"] = None if event.tradeCount < 0 else event.tradeCount
    return {name: bits(value) for name, value in (told | {"nativeSymbol": spelling}).items()}


def reading(parser: PeriodicParser, frame: bytes) -> tuple[str, list[dict[str, Any]]] | None:
    try:
        events = parser.parse(frame)
    except ParseError as error:
        assert str(error) and parser.kind == 0 and parser.nativeSymbols == [], frame
        # A value that is refused is named.
        assert "was" in str(error) or "symbol" in str(error), (str(error), frame)
        return None
    rows = [row_of(event, spelling) for event, spelling in zip(events, parser.nativeSymbols, strict=True)]
    return ("", "events", "control", "other")[parser.kind], rows


@pytest.mark.parametrize("exchange", VENUES)
def test_broken_frames_read_as_the_slow_reading_reads_them(exchange: str) -> None:
    """Accepted or refused alike, with the same values bit for bit; and the next good frame is read as ever."""
    generator = random.Random(SEED)
    symbols = {"x": "btc/usdt", "BTC-USDT": "btc/usdt", "BTCUSDT": "btc/usdt"}
    parser = PeriodicParser(exchange, symbols=symbols)
    seeds = KLINES_AND_FUNDING[exchange]
    good = [(frame, reading(PeriodicParser(exchange), frame)) for frame in seeds]
    refused = read = 0
    for number in range(max(4000, INPUTS // 100)):
        frame = broken(generator, generator.choice(seeds))
        if has_key_twice(frame):
            continue
        try:
            kind, rows = oracle.read(exchange, frame)
            for row in rows:
                if row["nativeSymbol"] not in symbols:
                    pair_of_native(Exchange.parse(exchange), row["nativeSymbol"])
        except (ValueError, ArithmeticError):
            wanted = None
        else:
            wanted = kind, [{name: bits(value) for name, value in row.items()} for row in rows]
        found = reading(parser, frame)
        assert found == wanted, (SEED, number, frame)
        refused += found is None
        read += bool(found and found[1])
        if found is None:
            whole, expected = good[number % len(good)]
            assert reading(parser, whole) == expected, (SEED, number, frame)
    assert refused > 500 and read > 150, (refused, read)


@pytest.mark.parametrize("exchange", VENUES)
def test_a_key_that_stands_twice_is_refused(exchange: str) -> None:
    """Of the keys that are read: which of the two values is meant cannot be known."""
    parser = PeriodicParser(exchange)
    for frame in KLINES_AND_FUNDING[exchange]:
        if not frame.startswith(b"{") or not parser.parse(frame):
            continue
        twice = 0
        for member in re.finditer(rb'("[A-Za-z_]+"):("[^"]*"|[-\w.+]+)(?=[,}])', frame):
            try:
                parser.parse(frame[: member.start()] + member[0] + b"," + frame[member.start() :])
            except ParseError as error:
                assert "only once" in str(error) and member[1].decode().strip('"') in str(error)
                twice += 1
            assert parser.parse(frame)
        assert twice >= 2, frame


@pytest.mark.parametrize("exchange", VENUES)
def test_every_spelling_of_a_number_is_the_same_number(exchange: str) -> None:
    """18 digits and exponents of both cases, bit-equal to what a Decimal gives."""
    generator = random.Random(SEED)
    parser = PeriodicParser(exchange)
    name = {"binance": b'"o":"', "binance_future": b'"p":"', "okx": b'"1772368200000","', "okx_swap": b'"markPx":"',
            "kraken": b'"open":', "coinbase": b'"open":"', "kraken_future": b'"markPrice":'}[exchange]  # fmt: skip
    field = {"binance_future": "markPrice", "okx_swap": "markPrice", "kraken_future": "markPrice"}.get(exchange, "open")
    frame = next(frame for frame in KLINES_AND_FUNDING[exchange] if name in frame)
    start = frame.index(name) + len(name)
    end = start + len(re.match(rb"[-+.0-9eE]*", frame[start:])[0])  # type: ignore[index]
    for _ in range(3000):
        digits = str(generator.randrange(10 ** generator.randrange(1, 22)))
        fraction = "." + str(generator.randrange(10 ** generator.randrange(1, 20)))
        text = digits + (fraction if generator.random() < 0.7 else "")
        if generator.random() < 0.5:
            text += generator.choice("eE") + generator.choice(["", "+", "-"]) + str(generator.randrange(40))
        (event, *_) = parser.parse(frame[:start] + text.encode() + frame[end:])
        value = event.open if isinstance(event, Kline) else event[field]
        assert bits(value) == bits(float(Decimal(text))), text
