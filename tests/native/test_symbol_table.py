"""The table of spellings in C++ beside a map, under AddressSanitizer; mistakes in it must be found."""

import random
import shutil
from pathlib import Path

import pytest
from short_run import some
from test_shm_stress import COMPILER, INCLUDE, build, run

pytestmark = [pytest.mark.native, pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)")]

MISTAKES = {
    "the size is no part of the key": ("static_cast<std::uint32_t>(size) << 24;", "1u << 24;"),
    "the last bytes are left out": ("std::uint64_t differing = tail ^ other.tail;", "std::uint64_t differing = 0;"),
    "eight bytes are read of fewer": ("if (size >= 8) return", "if (size >= 1) return"),
    "growing loses a slot": ("if (slot.tail != 0) place", "if (&slot != &before[7] && slot.tail != 0) place"),
    "a number stays as it was": ("                slots_[i] = slot;", "                if (free) slots_[i] = slot;"),
}  # fmt: skip


def test_the_same_answers_as_a_map(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    done = run(build(tmp_path / "check", "address", "symbol_table_check.cpp"), seed)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-4000:]
    assert int(done.stdout.split()[0]) > 10_000


@pytest.mark.parametrize("mistake", some(MISTAKES))
def test_a_mistake_is_found(tmp_path: Path, mistake: str) -> None:
    shutil.copytree(INCLUDE / "hftcore", tmp_path / "include" / "hftcore")
    header = tmp_path / "include" / "hftcore" / "symbol_table.hpp"
    text = header.read_text()
    right, wrong = MISTAKES[mistake]
    assert right in text, f"the header has changed: adapt {right!r}"
    header.write_text(text.replace(right, wrong))
    program = build(tmp_path / "mutant", "address", "symbol_table_check.cpp", include=tmp_path / "include")
    assert run(program, 7).returncode != 0
