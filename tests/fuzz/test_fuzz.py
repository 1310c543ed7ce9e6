"""Broken frames and fields under AddressSanitizer and UndefinedBehaviorSanitizer, and mutants that this must find.

`HFTPY_FUZZ_INPUTS` sets how many inputs each fuzzer makes, `HFTPY_FUZZ_SEED` which ones (`make fuzz` makes a million).
"""

import os
import re
from pathlib import Path

import corpus
import fuzzers
import pytest
from mistakes import CODEC_MISTAKES, FIELD_MISTAKES, PARSER_MISTAKES
from short_run import some

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


def test_no_message_breaks_the_codec(tmp_path):
    program = fuzzers.build(tmp_path, "codec_fuzz", [OPTIMISED, *fuzzers.SANITIZED])
    done = fuzzers.run(program, "codec", [], INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)
    print(done.stdout)
    counts = re.search(r"(\d+) decoded, (\d+) refused, (\d+) written", done.stdout)
    assert counts is not None and min(int(count) for count in counts.groups()) > INPUTS // 10, done.stdout


# What other machines compile: no SSE2 and a char without sign (arm64), no from_chars for doubles (libc++).
PORTABLE = {
    "arm64": ["-U__SSE2__", "-funsigned-char"],
    "macOS": ["-DHFT_USE_STRTOD"],
    "macOS on arm64": ["-U__SSE2__", "-DHFT_USE_STRTOD"],
}


@pytest.mark.parametrize("machine", sorted(PORTABLE))
def test_other_machines_read_the_same_fields(tmp_path, machine):
    program = fuzzers.build(tmp_path, "field_fuzz", ["-O0", *fuzzers.SANITIZED, *PORTABLE[machine]])
    done = fuzzers.run(program, "fields", FIELDS, INPUTS // 4, SEED)
    assert done.returncode == 0, fuzzers.said(done)


def test_a_parser_without_sse2(tmp_path):
    options = ["-O0", *PORTABLE["arm64"], *PORTABLE["macOS on arm64"]]
    program = fuzzers.build(tmp_path, "parser_fuzz", options, simdjson=True)
    done = fuzzers.run(program, "kraken", corpus.seeds_of("kraken"), INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)


def test_the_same_seed_makes_the_same_inputs(parser_fuzz):
    seeds = corpus.seeds_of("kraken")
    first, again, other = (fuzzers.run(parser_fuzz, "kraken", seeds, 2000, seed).stdout for seed in (5, 5, 6))
    assert first == again and first.partition(":")[2] != other.partition(":")[2]


@pytest.mark.parametrize("mistake", some(FIELD_MISTAKES))
def test_a_mistake_in_a_reader_is_found(tmp_path, mistake):
    header, right, wrong = FIELD_MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "field_fuzz", ["-O0", "-w"], include)
    assert fuzzers.finds(program, "fields", FIELDS, 200_000, SEED), "nothing found"


@pytest.mark.parametrize("mistake", some(PARSER_MISTAKES))
def test_a_mistake_in_a_parser_is_found(tmp_path, mistake):
    exchange, header, right, wrong = PARSER_MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "parser_fuzz", ["-O0", "-w"], include, simdjson=True)
    assert fuzzers.finds(program, exchange, corpus.seeds_of(exchange), 200_000, SEED), "nothing found"


@pytest.mark.parametrize("mistake", some(CODEC_MISTAKES))
def test_a_mistake_in_the_codec_is_found(tmp_path, mistake):
    header, right, wrong = CODEC_MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "codec_fuzz", ["-O0", "-w"], include)
    assert fuzzers.finds(program, "codec", [], 200_000, SEED), "nothing found"


def test_every_mistake_can_still_be_made():
    known = [*FIELD_MISTAKES.values(), *CODEC_MISTAKES.values(), *(mistake[1:] for mistake in PARSER_MISTAKES.values())]
    for header, right, wrong in known:
        assert right in (fuzzers.INCLUDE / "hftcore" / header).read_text() and right != wrong, (header, right)
