"""The order book's C++ under AddressSanitizer against a model, and seeded mutants that these runs must find.

`HFTPY_STRESS_ITEMS` sets the length (`make sanitize` runs it long).
"""

import random
from pathlib import Path

import pytest
from native_stress import ITEMS, MARKS, build, changed, run

pytestmark = MARKS
UPDATES = max(ITEMS // 50, 400)
DEPTHS = (0, 1, 10, 1000)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return build("book_stress.cpp", tmp_path_factory.mktemp("book") / "stress", "address")


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_book_is_the_models(program, depth):
    seed = random.randrange(2**32)
    print(f"seed {seed}, depth {depth}")
    done = run(program, seed, UPDATES, depth)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""


LADDER, BOOK, DIGITS, SUM = "book_ladder.hpp", "order_book.hpp", "book_digits.hpp", "book_checksum.hpp"
MISTAKES = {
    "the double is the level": (LADDER, "if (order == 0) {", "if (true) {"),
    "no order among equal doubles": (LADDER, "if (SIDE == BOOK_BID ? order < 0 : order > 0) break;", ""),
    "one row left behind": (
        LADDER,
        "slide(head_ + rank, 1, size_ - rank);",
        "slide(head_ + rank, 1, size_ - rank - 1);",
    ),
    "no room asked for": (BOOK, "askCount + (snapshot ? 0 : asks_.size())", "askCount"),
    "never centred": (LADDER, "if (__builtin_expect(head_ == 0, 0)) centre();", ""),
    "a cell is not given back": (LADDER, "unused_[unusedCount_++] = row.cell;\n", "\n"),
    "a long text is not freed": (LADDER, "                cell.release();\n", ""),
    "a short copy": (DIGITS, "std::memcpy(to + size - 8, &last, 8);", "std::memcpy(to + size - 8, &first, 8);"),
    "reads beyond the text": (DIGITS, "if (size >= 8 && size <= 16) {", "if (size >= 6 && size <= 16) {"),
    "a tiny volume is gone": (
        DIGITS,
        "if (c >= '1' && c <= '9') return false;",
        "if (c > '1' && c <= '9') return false;",
    ),
    "a change is not seen by the checksum": (
        LADDER,
        "        touch(rank);\n        BookRow row;",
        "        BookRow row;",
    ),
    "digits of the level before": (DIGITS, "        digitsSize = 0;\n        copy_text", "        copy_text"),
    "bids go on from other asks": (SUM, "same ? bidTouched : 0", "bidTouched"),
    "zeros of an exponent": (SUM, "std::int64_t zeros = places < 0 ? -places : 0;", "std::int64_t zeros = 0;"),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_is_found(tmp_path, mistake):
    header, right, wrong = MISTAKES[mistake]
    folder = changed(tmp_path, header, right, wrong)
    program = build("book_stress.cpp", tmp_path / "mutant", "address", "-O0", include=folder)
    assert any(run(program, seed, 1_000, depth).returncode for seed, depth in ((1, 10), (2, 0), (3, 1)))
