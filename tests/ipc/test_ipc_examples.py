"""The examples run by themselves and end with 0."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ipc_pubsub.py", "received 5, lost 0"),
        ("native_frames.py", "500 frames, the last kraken btc/usd 499.5 / 500.0"),
        ("command_service.py", "strategy_02: shut down: maintenance"),
        ("acknowledged_commands.py", "canceled 3 while the other is received"),
        ("curve_tcp.py", "mm1: the order is taken\nthe stranger is refused and received nothing"),
    ],
)
def test_example(name: str, says: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert says in run.stdout and "btc/usdt:" not in run.stdout
