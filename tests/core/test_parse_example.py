"""The example of docs/parsers.md runs and says what it should."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "parse_frames.py"


def test_example() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines[0] == "okx_swap: control" and lines[1] == "okx_swap: btc/usdt:usdt 84093.4 x 84093.5"
    assert lines[2].startswith("okx_swap: refused: a frame must be valid JSON")
    assert lines[3:] == ["okx_swap: control", "binance_future: btc/usdt:usdt sell 0.001 at 83680.0"]


def test_example_of_klines() -> None:
    program = EXAMPLE.with_name("parse_klines.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == [
        "coinbase: btc/usd 84093.1 84100.5 84090.0 84099.99 x 1.25",
        "coinbase: nothing of ours, frame 4",
        "kraken_future: btc/usd:usd rate 2.5e-05 mark 84093.46",
        "kraken_future: refused: markPrice must be a finite number, was '1e999'",
    ]
