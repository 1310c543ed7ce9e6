"""The examples of services run by themselves and end with 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "interruptible_service.py",
            """\
trade to weight 0.5
report: weight 0.5
woken by rebalance, True
fetching was interrupted by rebalance
trade to weight 0.2
paused
report: weight 0.2, paused
resumed
trade to weight 0.2
stopped
""",
        ),
    ],
)
def test_example(name: str, says: str, short_folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        check=False, capture_output=True, text=True, timeout=100, env={**os.environ, "TMPDIR": str(short_folder)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout == says, run.stderr
