"""The templates of order book frames read as the general path does: usual frames, recorded ones, broken ones of both.

Seeded mistakes in the templates must be found. `HFTPY_FUZZ_INPUTS` and `HFTPY_FUZZ_SEED` as of test_fuzz.py.
"""

import gzip
import os
import subprocess
from pathlib import Path

import fuzzers
import pytest

INPUTS = int(os.environ.get("HFTPY_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("HFTPY_FUZZ_SEED", "20261121"))
OPTIONS = ["-O1" if INPUTS > 100_000 else "-O0"]

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(max(300, INPUTS // 500)),
    pytest.mark.skipif(fuzzers.COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]

BINANCE, KRAKEN, FUTURE = 1, 3, 8
DEPTH = (
    '{"e":"depthUpdate","E":1700000000123,"s":"BTCUSDT","U":157,"u":160,'
    '"b":[["64001.10000000","0.25000000"],["64001.00000000","0.00000000"]],"a":[["64001.2","10"]]}'
)
USUAL = [
    (BINANCE, DEPTH),
    (BINANCE, f'{{"stream":"btcusdt@depth@100ms","data":{DEPTH}}}'),
    (BINANCE, f'{{"stream":"btcusdt@depth","data":{DEPTH}}}'),
    (BINANCE, DEPTH.replace('[["64001.2","10"]]', "[]")),
    (BINANCE, DEPTH.replace("64001.2", "123456789012345678.123456789").replace('"10"', '"1e-7"')),
    # Lengths that change from level to level, and the longest that are read at once.
    (
        BINANCE,
        DEPTH.replace('"a":[', '"a":[["1234567.89012345","12345678.1234567"],["2.5","1.25"],["0.1","0.00000001"],'),
    ),
    (BINANCE, DEPTH.replace('"64001.2","10"', '"64001.2","1.5"').replace('"U":157,"u":160', '"U":999,"u":50093273190')),
    (BINANCE, DEPTH.replace('"U":157,"u":160', '"U":1234567890123456,"u":1234567890123457')),
    (
        BINANCE,
        f'{{"stream":"abcdefghijklmnopqrst@depth@100ms","data":{DEPTH.replace("BTCUSDT", "ABCDEFGHIJKLMNOPQRST")}}}',
    ),
    (FUTURE, DEPTH.replace('"s"', '"T":1700000000120,"s"').replace('"b"', '"pu":149,"b"')),
    (KRAKEN, '[336,{"b":[["27119.90000","13.54109952","1693415327.935623"]],"c":"974942666"},"book-1000","XBT/USD"]'),
    (
        KRAKEN,
        '[1,{"a":[["27120.0","0.00000000","1693415329.9"],["27121.0","5","1693415328.1","r"]],"c":"9"},"book-10","A/B"]',
    ),
    (
        KRAKEN,
        '[22,{"b":[["0.000024580","1.5","1693415329.935623"],["1.5","0.00000000","1693415329.935623"]],"c":"974942666"},'
        '"book-1000","ABCDEFGHIJ/KLMNOP"]',
    ),
    (
        KRAKEN,
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":105944.20,"qty":0.250}],"asks":[],'
        '"checksum":2114181697,"timestamp":"2026-03-01T12:30:45.123456Z"}]}',
    ),
    (
        KRAKEN,
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":5e-05,"qty":1.00000000}],'
        '"asks":[{"price":105944.30,"qty":12},{"price":105944.40,"qty":0.1}],"checksum":4294967295}]}',
    ),
]
# Near a template, and not its to read, or refused by both.
OTHERS = [
    (BINANCE, f'{{"stream":"btcusdt@depth5@100ms","data":{DEPTH}}}'),
    (BINANCE, DEPTH.replace('"U":157', '"U":161')),
    (BINANCE, DEPTH.replace("1700000000123", "9999999999999999")),
    (BINANCE, DEPTH.replace("64001.2", "1" * 1025)),
    (BINANCE, DEPTH.replace("64001.10000000", "064001.1")),
    (BINANCE, DEPTH.replace("0.25000000", "00.25")),
    (BINANCE, DEPTH.replace("64001.10000000", "98765432.98765433")),
    (BINANCE, DEPTH.replace("0.25000000", "98765432.98765433")),
    (BINANCE, DEPTH.replace("64001.10000000", "64001.123456789")),
    (BINANCE, DEPTH.replace("0.25000000", "0.123456789")),
    (BINANCE, DEPTH.replace('"64001.10000000","', '"64001.10000000", ')),
    (BINANCE, DEPTH.replace("0.25000000", "0,25000000")),
    (BINANCE, DEPTH.replace('"U":157', '"U":0157')),
    (BINANCE, DEPTH.replace('"U":157,"u":160', '"U":157,"u":016')),
    (BINANCE, DEPTH.replace('"U":157,"u":160', '"U":001,"u":016')),
    (BINANCE, f'{{"stream":"a\\usdt@depth@100ms","data":{DEPTH}}}'),
    (KRAKEN, '[1,{"a":[["1","2","3.5"]]},{"b":[["0.5","2","3.6"]],"c":"7"},"book-10","A/B"]'),
    (KRAKEN, '[1,{"a":[["1","2","1693415329.935623"]],"c":"4294967296"},"book-10","ABC/DEF"]'),
    (KRAKEN, '[1,{"x":[["1","2","1693415329.935623"]],"c":"429496729"},"book-10","ABC/DEF"]'),
    (KRAKEN, '[01,{"a":[["1","2","1693415329.935623"]],"c":"429496729"},"book-10","ABC/DEF"]'),
    (KRAKEN, USUAL[-1][1].replace("4294967295", "4294967296")),
]


def check(program: Path, frames: list[tuple[int, str]], inputs: int, hits: int) -> subprocess.CompletedProcess[str]:
    text = "".join(f"{exchange}\t{frame}\n" for exchange, frame in frames)
    command = [str(program), str(SEED), str(max(inputs // len(frames), 1)), str(hits)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book_templates")
    return fuzzers.build(folder, "book_template_fuzz", [*OPTIONS, *fuzzers.SANITIZED], simdjson=True)


def test_usual_and_broken_frames(program):
    done = check(program, USUAL, INPUTS, len(USUAL))
    assert done.returncode == 0, done.stderr
    done = check(program, OTHERS, INPUTS // 4, 0)
    assert done.returncode == 0, done.stderr


@pytest.mark.recorded
def test_recorded_frames(program, fixtures):
    frames = []
    for exchange, name in (
        (BINANCE, "binance_spot/depth.jsonl.gz"),
        (FUTURE, "binance_usdm/depth.jsonl.gz"),
        (KRAKEN, "kraken/v1_book.jsonl.gz"),
        (KRAKEN, "kraken/v2_book_pks.jsonl"),
    ):
        path = fixtures / name
        lines = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        frames += [(exchange, line) for line in lines.decode().splitlines()][:3000]
    done = check(program, frames, INPUTS, len(frames) * 9 // 10)
    assert done.returncode == 0, done.stderr


MISTAKES = {
    "a text too long": ("*text = {begin, static_cast", "*text = {begin, 1 + static_cast"),
    "any length": ("return size <= MAX_LEXEME;", "return true;"),
    "a partial depth is a diff": (
        "scan.skip_string() && !names_partial_depth(",
        "scan.skip_string() || !names_partial_depth(",
    ),
    "U above u": ("first <= last &&", ""),
    "sixteen digits of a price": ("stop1 == 17 || ", ""),
    "sixteen digits of a volume": ("stop2 - begin2 == 17 || ", ""),
    "a zero before a price": ("(point1 > 1) & (p[0] == '0')", "false"),
    "anything for a point": (" | (p[point2] ^ '.')", ""),
    "a level as long as the last one": ("if (stop != *usual) {", "if (*usual == 0) {"),
    "a number as long as the one before": ("== count && !((count > 1)", "!= 0 && !((count > 1)"),
    "any side": ("if (!(bids | (side == 'a'))) return false;", ""),
    "the time of another key": ("update.exchangeTimeNs = ns;\n    update.firstSeq", "update.firstSeq"),
    "asks for bids": ("bids ? update.asksEnd : update.bidsBegin", "bids ? update.bidsBegin : update.asksEnd"),
    "a checksum of more bits": (" || value > UINT32_MAX", ""),
    "a checksum of more bits in v1": (" && checksum <= UINT32_MAX", ""),
    "the last level's time": ("youngest = ns > youngest ? ns : youngest;", "youngest = ns;"),
    "a snapshot is an update": ("update.snapshot = !is_update;", "update.snapshot = false;"),
    "what stands behind": (
        "batch) && scan.at_end();\n}\n\n}  // namespace kraken",
        "batch);\n}\n\n}  // namespace kraken",
    ),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_is_found(tmp_path, mistake):
    right, wrong = MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, "book_template.hpp", right, wrong)
    program = fuzzers.build(tmp_path, "book_template_fuzz", ["-O0", "-w"], include, simdjson=True)
    done = check(program, USUAL + OTHERS, INPUTS, 0)
    assert done.returncode == 1, "nothing found"
