"""The order book's C++ under AddressSanitizer against a model, and seeded mutants that these runs must find.

`HFTPY_STRESS_ITEMS` sets the length (`make sanitize` runs it long).
"""

import random
from pathlib import Path

import pytest
from native_stress import ITEMS, MARKS, build, changed, run
from short_run import some

pytestmark = MARKS
UPDATES = max(ITEMS // 200, 1000)  # the model is slow
DEPTHS = (0, 1, 10, 1000)
SEEDS = ((1, 10), (2, 0), (3, 1), (4, 0), (5, 1000))


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
FORM, CRC = "book_form.hpp", "book_crc32.hpp"
MISTAKES = {
    "the double is the level": (LADDER, "if (order == 0) {", "if (true) {"),
    "no order among equal doubles": (LADDER, "if (SIDE == BOOK_BID ? order < 0 : order > 0) break;", ""),
    "one row left behind": (
        LADDER,
        "slide(head_ + rank, 1, size_ - rank);",
        "slide(head_ + rank, 1, size_ - rank - 1);",
    ),
    "no room asked for": (BOOK, "askCount + (snapshot ? 0 : asks_.size())", "askCount"),
    "cells are taken twice where they grow": (
        LADDER,
        "for (std::uint32_t cell = room; cell > room_; --cell)",
        "for (std::uint32_t cell = room; cell > room_ / 2; --cell)",
    ),
    "a small book's rows run over its end": (LADDER, "room_ = NEAR_ROOM; ", "room_ = NEAR_ROOM + 100; "),
    "a small book begins elsewhere": (LADDER, "        if (is_near()) most = MANY;\n", ""),
    "never centred": (LADDER, "if (__builtin_expect(head_ == 0, 0)) centre();", ""),
    "a cell is not given back": (LADDER, "cells_->give(row.texts.cell());\n", "\n"),
    "a long text is not freed": (
        LADDER,
        "if (row.texts.store() == STORE_OUTSIDE) (*cells_)[row.texts.cell()].release();",
        "",
    ),
    "a short copy": (DIGITS, "std::memcpy(to + size - 8, &last, 8);", "std::memcpy(to + size - 8, &first, 8);"),
    "reads beyond the text": (DIGITS, "if (size >= 8 && size <= 16) {", "if (size >= 6 && size <= 16) {"),
    "a tiny volume is gone": (
        DIGITS,
        "if (c >= '1' && c <= '9') return false;",
        "if (c > '1' && c <= '9') return false;",
    ),
    "a change is not seen by the checksum": (
        LADDER,
        "        touch(rank);\n        if (found && gone) {",
        "        if (found && gone) {",
    ),
    "a change among many is not seen by the checksum": (
        LADDER,
        "touched_ = touched < touched_ ? touched : touched_;",
        "",
    ),
    "texts that changed beside the same number": (SUM, " && a.texts == b.texts && a.texts.are_plain();", ";"),
    "levels that are gone are added": (
        SUM,
        "        count_ = count;\n",
        "        count_ = count_ < count ? count : count_;\n",
    ),
    "the other venue's sums": (SUM, "        asks_.forget();\n", ""),
    "a piece too near": (
        CRC,
        "        sum ^= product_of(crc, CRC32_SHIFTS.at[after]);",
        "        sum ^= product_of(crc, CRC32_SHIFTS.at[after / 2]);",
    ),
    "far pieces are brought too near": (CRC, "*after -= Crc32Shifts::COUNT - 1", "*after -= Crc32Shifts::COUNT"),
    "dropped zeros are forgotten": (FORM, "places | dropped << 4", "places"),
    "a digit is dropped as if it were zero": (FORM, " || text[point + places] != '0'", ""),
    "no rounding": (FORM, "value * POWERS[form & 15] + 0.5", "value * POWERS[form & 15]"),
    "blocks run over each other": (
        LADDER,
        "for (std::size_t i = backCount; i-- > 0;) back",
        "for (std::size_t i = 0; i < backCount; ++i) back",
    ),
    "the last rows do not move": (LADDER, "        backCount += by > 0;\n", ""),
    "no room at the ends": (
        LADDER,
        "if (__builtin_expect(head < 0 || head + size > static_cast<std::ptrdiff_t>(capacity_), 0)) centre();",
        "",
    ),
    "what comes stands in the wrong place": (
        LADDER,
        "{at + end + by, &steps[i].row}",
        "{at + end + by + (by == -1), &steps[i].row}",
    ),
    "the rank of four is another's": (LADDER, "ranks[i + 2] = rank(b2, p2);", "ranks[i + 2] = rank(b2, p1);"),
    "many that are not sorted": (LADDER, "if (!is_sorted(levels, part)) break;", ""),
    "zeros of an exponent": (SUM, "std::int64_t zeros = places < 0 ? -places : 0;", "std::int64_t zeros = 0;"),
}


@pytest.mark.parametrize("mistake", some(sorted(MISTAKES)))
def test_a_mistake_is_found(tmp_path, mistake):
    header, right, wrong = MISTAKES[mistake]
    folder = changed(tmp_path, header, right, wrong)
    program = build("book_stress.cpp", tmp_path / "mutant", "address", "-O0", include=folder)
    assert any(run(program, seed, 1_000, depth).returncode for seed, depth in SEEDS)
