"""Compile our .pyx files to C++ (nothing is kept) and fail on any warning or performance hint of Cython's.

A hot function that lost its `noexcept` costs about twenty times as much per call, and only such a hint tells.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def complaints(sources: list[Path]) -> list[str]:
    """What Cython says about each source; empty where it has nothing to say."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            target = f"{folder}/{source.stem}.cpp"
            command = [sys.executable, "-m", "cython", "--cplus", "-3", "-o", target, str(source)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            said = done.stdout + done.stderr
            if done.returncode or "performance hint" in said or "warning" in said:
                found.append(said)
    return found


if __name__ == "__main__":
    texts = complaints(sorted((ROOT / "hftcore").glob("*.pyx")))
    sys.stderr.write("".join(texts))
    sys.exit(1 if texts else 0)
