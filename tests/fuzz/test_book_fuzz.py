"""Broken book frames under AddressSanitizer and UndefinedBehaviorSanitizer, through decoder, rules and book; mutants.

`HFTPY_FUZZ_INPUTS` and `HFTPY_FUZZ_SEED` as in test_fuzz.py.
"""

import os
import random
import re
from pathlib import Path

import fuzzers
import pytest
from book_sync_model import venue_of
from short_run import some

INPUTS = int(os.environ.get("HFTPY_FUZZ_INPUTS", "20000"))
SEED = int(os.environ.get("HFTPY_FUZZ_SEED", "20261121"))
KINDS = ["kraken", "binance", "binance_future", "okx", "kraken_future", "coinbase"]
pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(max(300, INPUTS // 500)),
    pytest.mark.skipif(fuzzers.COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]
KRAKEN_V1 = [
    b'[336,{"as":[["2.50","1.0","1.000001"]],"bs":[["2.40","1.0","2.000001"]]},"book-10","XBT/USD"]',
    b'[336,{"a":[["2.6","0.5","3.000001"]]},{"b":[["2.3","1.5","3.000001","r"]],"c":"1"},"book-10","XBT/USD"]',
]


def seeds_of(kind: str) -> list[bytes]:
    """A session of a venue, its snapshots by REST among it."""
    venue = venue_of(kind, random.Random(3))
    frames = []
    for _ in range(8):
        frames += [frame.data.encode() for frame in venue.frames(6)]
        if venue.outside:
            frames += [venue.snapshot(symbol).data.encode() for symbol in venue.symbols]
    return [*frames, *(KRAKEN_V1 if kind == "kraken" else ())]


@pytest.fixture(scope="session")
def book_fuzz(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book_fuzz")
    return fuzzers.build(folder, "book_fuzz", ["-O0", *fuzzers.SANITIZED], simdjson=True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_breaks_a_book(book_fuzz, kind):
    done = fuzzers.run(book_fuzz, kind, seeds_of(kind), INPUTS, SEED)
    assert done.returncode == 0, fuzzers.said(done)
    print(done.stdout)
    counts = re.search(r"(\d+) shown, (\d+) refused, (\d+) gaps", done.stdout)
    assert counts is not None and all(int(count) > 0 for count in counts.groups()), done.stdout


SYNC, BATCH = "book_sync.hpp", "book_batch.hpp"
MISTAKES = {
    "what is held is no copy": (SYNC, "        text->data = *at;\n", "", "binance"),
    "a crossed book is shown": (
        SYNC,
        'if (__builtin_expect(book_->crossed(), 0)) return gap("crossed book", 0);',
        "",
        "okx",
    ),
    "a book with a hole stays valid": (
        SYNC,
        "        held_.reset();\n        book_->invalidate(why);\n",
        "        held_.reset();\n",
        "okx",
    ),
    "negative amounts": (
        "event_batch.hpp",
        "if (node.text.front() == '-') refuse(std::string(name) + \" must not be negative\", node.text);",
        "",
        "okx",
    ),
    "a volume under its price's text": (BATCH, "&level.volumeText);", "&level.priceText);", "binance"),
    "asks among the bids": (
        "binance_book.hpp",
        "    update->bidsEnd = update->asksBegin = batch->levels.size();\n",
        "    update->asksBegin = batch->levels.size();\n",
        "binance",
    ),
}


@pytest.mark.parametrize("mistake", some(MISTAKES))
def test_a_mistake_is_found(tmp_path, mistake):
    header, right, wrong, kind = MISTAKES[mistake]
    include = fuzzers.changed(tmp_path, header, right, wrong)
    options = ["-O0", "-w", *fuzzers.SANITIZED]
    program = fuzzers.build(tmp_path, "book_fuzz", options, include, simdjson=True)
    assert fuzzers.finds(program, kind, seeds_of(kind), 20_000, SEED), "nothing found"


def test_every_mistake_can_still_be_made():
    for header, right, wrong, _ in MISTAKES.values():
        assert right in (fuzzers.INCLUDE / "hftcore" / header).read_text() and right != wrong, (header, right)
