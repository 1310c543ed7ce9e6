"""The examples of shared memory run by themselves and end with 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shm_pubsub.py", "received 2000, lost 0, restarts 1"),
        ("shm_ring.py", "drained 5000 of btc/usd, spun 10000 of all, in order: True"),
    ],
)
def test_example(name: str, says: str, short_folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        check=False, capture_output=True, text=True, timeout=100, env=os.environ | {"TMPDIR": str(short_folder)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert says in run.stdout
