"""The templates of order book frames read as the general path does: usual frames, recorded ones, broken ones of both.

Seeded mistakes in the templates must be found. `HFTPY_FUZZ_INPUTS` and `HFTPY_FUZZ_SEED` as of test_fuzz.py.
"""

import gzip
import os
import subprocess
from pathlib import Path

import fuzzers
import pytest
from short_run import some

INPUTS = int(os.environ.get("HFTPY_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("HFTPY_FUZZ_SEED", "20261121"))
OPTIONS = ["-O1" if INPUTS > 100_000 else "-O0"]

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(max(300, INPUTS // 500)),
    pytest.mark.skipif(fuzzers.COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]

BINANCE, COINBASE, KRAKEN, OKX, FUTURE, SWAP, FUTURES = 1, 2, 3, 5, 8, 9, 11
DEPTH = (
    '{"e":"depthUpdate","E":1700000000123,"s":"BTCUSDT","U":157,"u":160,'
    '"b":[["64001.10000000","0.25000000"],["64001.00000000","0.00000000"]],"a":[["64001.2","10"]]}'
)
OKX_BOOK = (
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":'
    '[["8476.97","256.00010000","0","12"],["8475.54","0","2","0"]],"ts":"1597026383085","checksum":-855196043,'
    '"prevSeqId":123456,"seqId":123457}]}'
)
OKX_WHOLE = (
    '{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{"asks":[["111.06","55154","0","2"]],"bids":[["111.05",'
    '"57745","0","2"],["111.04","1e-7","0","2"]],"instId":"BTC-USDT","ts":"1670324386802","seqId":363996337}]}'
)
ADVANCED_HEAD = '{"channel":"l2_data","timestamp":"2026-08-09T21:05:51.919751474Z","sequence_num":155,"events":['
BID, OFFER = (
    f'{{"side":"{side}","event_time":"2026-08-09T21:05:51.855692Z","price_level":"{price}","new_quantity":"{quantity}"}}'
    for side, price, quantity in (("bid", "1679.53", "0.05972024"), ("offer", "1919.01", "0"))
)
ADVANCED = f'{ADVANCED_HEAD}{{"type":"update","product_id":"ETH-USD","updates":[{BID},{BID},{OFFER}]}}]}}'
CHANGES = (
    '{"type":"l2update","product_id":"ETH-USD","changes":[["sell","2672.00","14.00000000"],["buy","2671.76",'
    '"3.70686557"],["sell","2671.91","0"]],"time":"2026-09-30T02:03:13.041505Z"}'
)
FUTURES_LEVEL = (
    '{"feed":"book","product_id":"PI_BCHUSD","side":"buy","seq":16257861,"price":1058.8,"qty":0.0,'
    '"timestamp":1618678101684}'
)
FUTURES_WHOLE = (
    '{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":['
    '{"price":34892.5,"qty":6385.0},{"price":34892.0,"qty":10924}],"asks":[{"price":34911.5,"qty":2.0E-5}]}'
)
KRAKEN_SNAPSHOT = (
    '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":5e-05,"qty":1.00000000}],'
    '"asks":[{"price":105944.30,"qty":12},{"price":105944.40,"qty":0.1}],"checksum":4294967295}]}'
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
    (KRAKEN, KRAKEN_SNAPSHOT),
    (OKX, OKX_BOOK),
    (OKX, OKX_BOOK.replace('"action":"update"', '"action":"snapshot"').replace("123456,", "-1,")),
    (OKX, OKX_BOOK.replace('"prevSeqId":123456,"seqId":123457', '"seqId":123457,"prevSeqId":123456')),
    (OKX, OKX_BOOK.replace(',"prevSeqId":123456,"seqId":123457', "").replace("-855196043", "0")),
    (OKX, OKX_BOOK.replace("books", "books50-l2-tbt")),
    (OKX, OKX_WHOLE),
    (SWAP, OKX_BOOK.replace("BTC-USDT", "BTC-USDT-SWAP").replace("-855196043", "855196043")),
    (SWAP, OKX_WHOLE.replace("books5", "bbo-tbt").replace('"instId":"BTC-USDT","ts"', '"ts"')),
    (SWAP, OKX_BOOK.replace("8476.98", "123456789012345678.123456789").replace('"415"', '"4.15e2"')),
    (COINBASE, ADVANCED),
    (COINBASE, ADVANCED.replace('"update"', '"snapshot"').replace('"timestamp"', '"client_id":"","timestamp"')),
    (COINBASE, f'{ADVANCED_HEAD}{{"type":"update","product_id":"A-B","updates":[{OFFER},{BID},{OFFER},{BID}]}}]}}'),
    (COINBASE, f"{ADVANCED_HEAD}{','.join([ADVANCED[len(ADVANCED_HEAD) : -2]] * 2)}]}}"),
    (COINBASE, ADVANCED.replace("1679.53", "123456789012345678.123456789").replace('"0.05972024"', '"5E-8"')),
    (COINBASE, CHANGES),
    (COINBASE, CHANGES.replace("2026-09-30T02:03:13.041505Z", "0001-01-01T00:00:00.000000Z")),
    (
        COINBASE,
        '{"type":"l2update","product_id":"B-C","time":"2019-08-14T20:42:27.265Z","changes":[["buy","1.5","2"]]}',
    ),
    (
        COINBASE,
        '{"type":"snapshot","product_id":"A-B","asks":[["1.75","2.00000000"]],"bids":[["1.25","3"],["1.00","4.5"]],'
        '"time":"2026-09-30T02:03:13.1Z"}',
    ),
    (COINBASE, '{"type":"snapshot","product_id":"A-B","bids":[["1.25","3"]],"asks":[]}'),
    (FUTURES, FUTURES_LEVEL),
    (FUTURES, FUTURES_LEVEL.replace('"buy"', '"sell"').replace("1058.8", "1.0E-4").replace("0.0", "12")),
    (FUTURES, FUTURES_WHOLE),
    (FUTURES, FUTURES_WHOLE.replace('"tickSize":null,', "")[:-1] + ',"tickSize":null}'),
    (FUTURES, FUTURES_WHOLE.replace("34911.5", "123456789012345678")),
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
    (KRAKEN, KRAKEN_SNAPSHOT.replace("4294967295", "4294967296")),
    (OKX, OKX_BOOK.replace("-855196043", "-2147483649")),
    (OKX, OKX_BOOK.replace("-855196043", "4294967295")),
    (OKX, OKX_BOOK.replace("123456,", "-2,")),
    (OKX, OKX_BOOK.replace("123456,", "9223372036854775808,")),
    (OKX, OKX_BOOK.replace("123457", "18446744073709551615")),
    (OKX, OKX_BOOK.replace("update", "delta")),
    (OKX, OKX_BOOK.replace('"action":"update",', "")),
    (OKX, OKX_BOOK.replace("1597026383085", "")),
    (OKX, OKX_BOOK.replace("8476.98", "-8476.98")),
    (OKX, OKX_WHOLE.replace('"data"', '"action":"update","data"')),
    (OKX, '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[]}'),
    (COINBASE, ADVANCED.replace("offer", "ask")),
    (COINBASE, ADVANCED.replace("offer", "both")),
    (COINBASE, ADVANCED.replace("l2_data", "level2")),
    (COINBASE, ADVANCED.replace("0.05972024", "-0")),
    (COINBASE, ADVANCED.replace("1679.53", "")),
    (COINBASE, CHANGES.replace(',"time":"2026-09-30T02:03:13.041505Z"', ',"time":"2026-02-30T02:03:13.041505Z"')),
    (COINBASE, CHANGES.replace('"14.00000000"', '"14.00000000",1')),
    (FUTURES, FUTURES_LEVEL.replace("1618678101684", "9999999999999999")),
    (FUTURES, FUTURES_LEVEL.replace("16257861", "-1")),
    (FUTURES, FUTURES_LEVEL.replace("1058.8", "01058.8")),
    (FUTURES, FUTURES_LEVEL.replace('"feed":"book"', '"event":"subscribed","feed":"book"')),
    (FUTURES, FUTURES_WHOLE.replace("null", "0.5")),
]
# Each variant says the same with white space somewhere: the general path's.
SPACED = [(exchange, frame.replace(",", ", ", 1)) for exchange, frame in USUAL] + [
    (exchange, frame.replace(":", ": ", 1)) for exchange, frame in USUAL if ":" in frame
]


def check(
    program: Path, frames: list[tuple[int, str]], inputs: int, hits: int, seed: int = SEED
) -> subprocess.CompletedProcess[str]:
    text = "".join(f"{exchange}\t{frame}\n" for exchange, frame in frames)
    command = [str(program), str(seed), str(max(inputs // len(frames), 1)), str(hits)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book_templates")
    return fuzzers.build(folder, "book_template_fuzz", [*OPTIONS, *fuzzers.SANITIZED], simdjson=True)


def test_usual_and_broken_frames(program):
    done = check(program, USUAL, INPUTS, len(USUAL))
    assert done.returncode == 0, done.stderr
    for frames in (OTHERS, SPACED):
        done = check(program, frames, INPUTS // 4, 0)
        assert done.returncode == 0, done.stderr
    done = check(program, SPACED, 0, 1)
    assert "1 frames must be read by a template, were 0" in done.stderr


@pytest.mark.recorded
def test_recorded_frames(program, fixtures):
    frames = []
    for exchange, name in (
        (BINANCE, "binance_spot/depth.jsonl.gz"),
        (FUTURE, "binance_usdm/depth.jsonl.gz"),
        (KRAKEN, "kraken/v1_book.jsonl.gz"),
        (KRAKEN, "kraken/v2_book_pks.jsonl"),
        (OKX, "okx_spot/books.jsonl"),
        (OKX, "okx_other/books.jsonl"),
        (SWAP, "okx_swap/books.jsonl"),
        (COINBASE, "coinbase/adv_book.jsonl.gz"),
        (COINBASE, "coinbase/exch_book.jsonl"),
        (FUTURES, "kraken_futures/book.jsonl"),
    ):
        path = fixtures / name
        lines = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # A snapshot of Coinbase's has five million bytes.
        frames += [(exchange, line) for line in lines.decode().splitlines() if len(line) < 100_000][:3000]
    done = check(program, frames, INPUTS, len(frames) * 9 // 10)
    assert done.returncode == 0, done.stderr


# Header, right, wrong.
MISTAKES = {
    "a text too long": ("book_template.hpp", "*text = {begin, static_cast", "*text = {begin, 1 + static_cast"),
    "any length": ("book_template.hpp", "return size <= MAX_LEXEME;", "return true;"),
    "a partial depth is a diff": (
        "book_template.hpp",
        "scan.skip_string() && !names_partial_depth(",
        "scan.skip_string() || !names_partial_depth(",
    ),
    "U above u": ("book_template.hpp", "first <= last &&", ""),
    "sixteen digits of a price": ("book_template.hpp", "stop1 == 17 || ", ""),
    "sixteen digits of a volume": ("book_template.hpp", "stop2 - begin2 == 17 || ", ""),
    "a zero before a price": ("book_template.hpp", "(point1 > 1) & (p[0] == '0')", "false"),
    "anything for a point": ("book_template.hpp", " | (p[point2] ^ '.')", ""),
    "a level as long as the last one": ("book_template.hpp", "if (stop != *usual) {", "if (*usual == 0) {"),
    "a number as long as the one before": ("book_template.hpp", "== count && !((count > 1)", "!= 0 && !((count > 1)"),
    "any side": ("book_template.hpp", "if (!(bids | (side == 'a'))) return false;", ""),
    "the time of another key": (
        "book_template.hpp",
        "update.exchangeTimeNs = ns;\n    update.firstSeq",
        "update.firstSeq",
    ),
    "asks for bids": (
        "book_template.hpp",
        "bids ? update.asksEnd : update.bidsBegin",
        "bids ? update.bidsBegin : update.asksEnd",
    ),
    "a checksum of more bits": ("book_template.hpp", " || value > UINT32_MAX", ""),
    "a checksum of more bits in v1": ("book_template.hpp", " && checksum <= UINT32_MAX", ""),
    "the last level's time": ("book_template.hpp", "youngest = ns > youngest ? ns : youngest;", "youngest = ns;"),
    "a snapshot is an update": ("book_template.hpp", "update.snapshot = !is_update;", "update.snapshot = false;"),
    "what stands behind": (
        "book_template.hpp",
        "batch) && scan.at_end();\n}\n\n}  // namespace kraken",
        "batch);\n}\n\n}  // namespace kraken",
    ),
    "a checksum of 33 bits": ("okx_book_template.hpp", " || value < INT32_MIN || value > INT32_MAX", ""),
    "a checksum of zero is one": (
        "okx_book_template.hpp",
        "update->hasChecksum = value != 0;",
        "update->hasChecksum = true;",
    ),
    "a number before that is below -1": ("okx_book_template.hpp", " || value < -1", ""),
    "the sign is lost": ("okx_book_template.hpp", "*value = negative ? -static", "*value = false ? -static"),
    "a whole book is an update": ("okx_book_template.hpp", "bool snapshot = whole;", "bool snapshot = false;"),
    "no action is needed": (
        "okx_book_template.hpp",
        'if (snapshot && !scan.literal("\\"action\\":\\"snapshot\\",")) return false;',
        'if (snapshot) scan.literal("\\"action\\":\\"snapshot\\",");',
    ),
    "bids for asks": (
        "okx_book_template.hpp",
        "update.asksEnd = update.bidsBegin = batch",
        "update.bidsEnd = update.asksBegin = batch",
    ),
    "an entry's other numbers": ("okx_book_template.hpp", "update.hasSeq = true;", "update.hasSeq = previous_first;"),
    "a level of three": (
        "okx_book_template.hpp",
        'scan.skip_string() &&\n           scan.literal("]")',
        'scan.skip_string() &&\n           (scan.literal("]") || true)',
    ),
    "the sides are mixed up": (
        "coinbase_book_template.hpp",
        "is_bid ? batch->levels.append() : batch->asks.append()",
        "is_bid ? batch->asks.append() : batch->levels.append()",
    ),
    "asks of the event before": ("coinbase_book_template.hpp", "    batch->asks.clear();\n", ""),
    "no number of the frame": ("coinbase_book_template.hpp", "batch->hasFrameSeq = true;", ""),
    "each event a snapshot": ("coinbase_book_template.hpp", "update.snapshot = !is_update;", "update.snapshot = true;"),
    "the zero of the clock": (
        "coinbase_book_template.hpp",
        'if (scan.literal("0001-01-01T")) return scan.skip_string();',
        'if (scan.literal("0001-01-01T")) {\n        *ns = 1;\n        return scan.skip_string();\n    }',
    ),
    "the first side is always the asks": ("coinbase_book_template.hpp", "if (asks_first) {", "if (true) {"),
    "sell is buy": ("kraken_futures_book_template.hpp", "bid ? update.asksEnd : update.bidsBegin", "update.asksEnd"),
    "no number of the level": ("kraken_futures_book_template.hpp", "update->hasSeq = true;", ""),
    "a snapshot of one product is an update": ("kraken_futures_book_template.hpp", "update.snapshot = true;", ""),
    "what stands behind a level": (
        "kraken_futures_book_template.hpp",
        "match_book_level(scan, batch) && scan.at_end();",
        "match_book_level(scan, batch);",
    ),
    "seconds for milliseconds": (
        "kraken_futures_book_template.hpp",
        "ns_from_milliseconds(ms, ns)",
        "ns_from_epoch(ms, ns)",
    ),
}


@pytest.mark.parametrize("mistake", some(sorted(MISTAKES)))
def test_a_mistake_is_found(tmp_path, mistake):
    header, right, wrong = MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    program = fuzzers.build(tmp_path, "book_template_fuzz", ["-O0", "-w"], include, simdjson=True)
    tries = (check(program, USUAL + OTHERS, INPUTS, 0, SEED + more) for more in range(fuzzers.TRIES))
    assert any(done.returncode == 1 for done in tries), "nothing found"


def test_every_mistake_can_still_be_made():
    for header, right, wrong in MISTAKES.values():
        assert right in (fuzzers.INCLUDE / "hftcore" / header).read_text() and right != wrong, (header, right)
