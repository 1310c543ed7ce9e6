"""The examples of rings run, and do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ring_callback.py", "last bids: {'btc/usdt': 2000.0, 'eth/usdt': 2000.0, 'sol/usdt': 2000.0}"),
        ("ring_view.py", "500 trades, VWAP 102.0000"),
    ],
)
def test_example(name, said):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout and done.stderr == ""
