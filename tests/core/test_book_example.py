"""The example of order books runs, and does what it says."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "order_book.py"


def test_example():
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "valid: (64001.1, 0.5) (64001.2, 0.75)" in done.stdout
    assert "buying 1.0 takes 2 levels: 64001.800 on average, 64002.0 at worst" in done.stdout
    assert ": valid\n" in done.stdout
    assert done.stderr == ""
