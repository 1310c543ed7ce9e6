"""Doubles are rounded after every operation, also on processors that multiply and add in one step."""

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from native_stress import COMPILER, INCLUDE, MARKS

ROOT = INCLUDE.parents[1]
FUSES = {"x86_64": ["-mfma"], "aarch64": [], "arm64": []}
PROGRAM = """
#include <cstdio>

#include "hftcore/order_book.hpp"

int main() {
    hft::OrderBook book;
    const hft::BookLevel asks[] = {{100.20, 0.5, {"100.20", 6}, {"0.5", 3}}, {100.30, 2.0, {"100.30", 6}, {"2.0", 3}}};
    book.apply(nullptr, 0, asks, 2, true);
    std::printf("%.17g\\n", book.take(hft::BOOK_ASK, 2.0).value);
}
"""


def compile_options() -> list[str]:
    """Those of setup.py."""
    spec = importlib.util.spec_from_file_location("hftpy_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return list(module.compile_options(False))


def can_fuse() -> bool:
    cpu = Path("/proc/cpuinfo")
    return platform.machine() != "x86_64" or (cpu.exists() and " fma " in cpu.read_text())


@pytest.mark.skipif(not can_fuse(), reason="this processor has no multiplication and addition in one step")
def test_a_sum_of_products_is_that_of_python(tmp_path: Path) -> None:
    source = tmp_path / "rounding.cpp"
    source.write_text(PROGRAM)

    def value(*options: str) -> float:
        program = tmp_path / "rounding"
        command = [str(COMPILER), *compile_options(), "-O3", *FUSES.get(platform.machine(), []), *options]
        subprocess.run([*command, f"-I{INCLUDE}", str(source), "-o", str(program)], check=True)
        return float(subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout)

    python = 0.5 * 100.20 + 1.5 * 100.30
    assert value() == python
    assert value("-ffp-contract=fast") != python  # else nothing was tested


pytestmark = MARKS
