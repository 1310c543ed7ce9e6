"""Broken frames and fields under AddressSanitizer and UndefinedBehaviorSanitizer, and mutants that this must find.

`HFTPY_FUZZ_INPUTS` sets how many inputs each fuzzer makes, `HFTPY_FUZZ_SEED` which ones (`make fuzz` makes a million).
"""

import os
import re
from pathlib import Path

import corpus
import fuzzers
import pytest

from hftcore.enums import Exchange
from hftcore.parse import Parser

INPUTS = int(os.environ.get("HFTPY_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("HFTPY_FUZZ_SEED", "20261121"))
FIXTURES = Path(os.environ["HFTPY_FIXTURES"]) if "HFTPY_FIXTURES" in os.environ else None
# A long run is worth the compiler's time.
OPTIMISED = "-O1" if INPUTS > 100_000 else "-O0"

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(max(300, INPUTS // 500)),
    pytest.mark.skipif(fuzzers.COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]

FIELDS = [
    b"12345.678", b"0", b"1772368245123", b"1772368245123456", b"1616333924.737428", b"BTC/USD", b"BTCUSDT", b"true",
    b"false", b"0.00000001", b"64001.20", b"99999999.99999999", b"1.5e-05", b"9007199254740993", b"-0.02", b"1e308",
    b"2026-03-01T12:30:45.123456Z", b"2026-03-01T12:30:46.000001Z", b"2024-02-29T23:59:59Z",
    b"2026-03-01T12:30:45.123+01:00", b"2262-04-11T23:47:16.854775807Z", b"1677-09-21T00:12:43.145224192Z",
    b"btcusdt                         ", b"mm_demo.start                   ", b"btc", b"BTC-USDT-SWAP", b"PF_XBTUSD",
]  # fmt: skip


def supported() -> list[str]:
    """The exchanges that have a parser."""
    found = []
    for exchange in Exchange:
        try:
            Parser(exchange)
        except ValueError:
            continue
        found.append(str(exchange))
    return found


@pytest.fixture(scope="session")
def parser_fuzz(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("parser_fuzz")
    return fuzzers.build(folder, "parser_fuzz", [OPTIMISED, *fuzzers.SANITIZED], simdjson=True)


def test_every_parser_has_seeds():
    assert set(supported()) <= set(corpus.EXCHANGES)


@pytest.mark.parametrize("exchange", supported())
def test_no_frame_breaks_a_parser(parser_fuzz, exchange):
    done = fuzzers.run(parser_fuzz, exchange, corpus.seeds_of(exchange, FIXTURES), INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)
    print(done.stdout)
    # It is worth something only if all ways are gone.
    counts = re.search(r"(\d+) with events, (\d+) refused, (\d+) read by template", done.stdout)
    assert counts is not None
    assert min(int(count) for count in counts.groups()) > INPUTS // 100, done.stdout


def test_no_field_is_read_wrongly(tmp_path):
    program = fuzzers.build(tmp_path, "field_fuzz", [OPTIMISED, *fuzzers.SANITIZED])
    done = fuzzers.run(program, "fields", FIELDS, INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)
    print(done.stdout)
    counts = re.search(r"(\d+) usual amounts, (\d+) amounts taken", done.stdout)
    assert counts is not None and min(int(count) for count in counts.groups()) > INPUTS, done.stdout


def test_the_same_seed_makes_the_same_inputs(parser_fuzz):
    seeds = corpus.seeds_of("kraken")
    first, again, other = (fuzzers.run(parser_fuzz, "kraken", seeds, 2000, seed).stdout for seed in (5, 5, 6))
    assert first == again and first.partition(":")[2] != other.partition(":")[2]


# Mistakes in single readers: (header, right, wrong).
FIELD_MISTAKES = {
    "a leading zero passes": ("scan.hpp", "if (whole > 1 && *p_ == '0') return false;", ""),
    "nine digits before the point": ("scan.hpp", "if (static_cast<unsigned>(whole - 1) < 8) {", "if (whole > 0) {"),
    "no digit behind the point": (
        "scan.hpp", "static_cast<unsigned>(places - 1) < 8 && follows", "places < 9 && follows"),
    "what follows is not looked at": ("scan.hpp", " && follows<QUOTED>(p_ + size, next)", ""),
    "wrong power of ten": ("words.hpp", "1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}", "1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e9}"),
    "a mantissa that is no exact double": ("scan_slow.hpp", "mantissa > std::uint64_t{1} << 53", "false"),
    "inexact product": ("number.hpp", "d.mantissa <= (std::uint64_t{1} << 53) && ", ""),
    "power beyond 22": ("number.hpp", "d.exponent <= 22)", "d.exponent <= 23)"),
    "eight bytes where fewer are left": (
        "words.hpp", "return left <= 0 ? 0 : load8(end - 8) >> (8 * (8 - left));", "return left <= 0 ? 0 : load8(p);"),
    "sixteen bytes where fewer are left": ("scan.hpp", "while (left() >= 16) {", "while (left() >= 8) {"),
    "a byte above 'Z' is plain": ("words.hpp", "return static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(special, plain))) ^ 0xffffu;",
        "return static_cast<unsigned>(_mm_movemask_epi8(special));"),
    "second 60": ("event_time.hpp", "second > 59", "second > 60"),
    "a minute too long": ("scan.hpp", "tens < 6 && ones < 10", "tens < 7 && ones < 10"),
    "no leap year": ("event_time.hpp", "(month == 2 && leap)", "0"),
    "20 digits": ("scan_slow.hpp", "stop - p > 19", "stop - p > 20"),
    "ten digits of fraction": ("event_time.hpp", "if (count == 9) return false;", ""),
    "seconds overflow": ("scan.hpp", "if (us > INT64_MAX / 1'000) return false;", ""),
    "a lost spelling": ("short_symbols.hpp", "if (slot.id != MISSING) place(larger, slot);", "if (slot.id > 0) place(larger, slot);"),
    "a prefix of any length": ("topic.hpp", "if (length > topic.size()) return false;\n", "if (length > topic.size()) return true;\n"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", sorted(FIELD_MISTAKES))
def test_a_mistake_in_a_reader_is_found(tmp_path, mistake):
    header, right, wrong = FIELD_MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "field_fuzz", ["-O0", "-w"], include)
    done = fuzzers.run(program, "fields", FIELDS, 200_000, SEED)
    assert done.returncode not in (0, 2), "nothing found"


# Mistakes in the venues' templates and around them: (exchange, header, right, wrong).
PARSER_MISTAKES = {
    "no closing brace": ("binance", "binance_template.hpp", 'scan.literal("}") && scan.at_end();', "scan.at_end();"),
    "the frame's end is not looked at": (
        "kraken", "kraken_template.hpp", 'return scan.literal("]}") && scan.at_end();', 'return scan.literal("]}");'),
    "bid and ask swapped": ("kraken", "kraken_template.hpp", "ticker.bidPrice = bid;", "ticker.bidPrice = ask;"),
    "events of a refused frame stay": (
        "binance", "frame_decoder.hpp", "int fail(const char* reason) noexcept {\n        batch_.clear();", "int fail(const char* reason) noexcept {"),
    "events of a template that gave up stay": (
        "kraken", "frame_decoder.hpp", "batch_.clear();\n            batch_.flags = flags;\n", "batch_.flags = flags;\n"),
    "a number that its frame spells otherwise": (
        "kraken", "number.hpp", "value = d.exponent < 0 ? value / POWERS[-d.exponent]", "value = d.exponent < 0 ? value * (1 / POWERS[-d.exponent])"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", sorted(PARSER_MISTAKES))
def test_a_mistake_in_a_parser_is_found(tmp_path, mistake):
    exchange, header, right, wrong = PARSER_MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "parser_fuzz", ["-O0", "-w"], include, simdjson=True)
    done = fuzzers.run(program, exchange, corpus.seeds_of(exchange), 200_000, SEED)
    assert done.returncode not in (0, 2, 3), "nothing found"
