"""Compile our .pyx files to C++ (nothing is kept) and fail on any warning or performance hint of Cython's.

A hot function that lost its `noexcept` costs about twenty times as much per call, and only such a hint tells.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def complaint(source: Path, folder: str) -> str:
    """What Cython says about a source; empty where it has nothing to say."""
    target = f"{folder}/{source.stem}.cpp"
    command = [sys.executable, "-m", "cython", "--cplus", "-3", "-o", target, str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return said if done.returncode or "performance hint" in said or "warning" in said else ""


def complaints(sources: list[Path]) -> list[str]:
    """What Cython says about those sources of which it says anything."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        return [said for said in pool.map(lambda source: complaint(source, folder), sources) if said]


if __name__ == "__main__":
    texts = complaints(sorted((ROOT / "hftcore").glob("*.pyx")))
    sys.stderr.write("".join(texts))
    sys.exit(1 if texts else 0)
