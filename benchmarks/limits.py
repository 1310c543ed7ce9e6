"""What the machine allows at best, printed beside the benchmarks: a small native program, compiled where it can be."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("limits.cpp")


def limits() -> dict[str, float]:
    """Nanoseconds by name; empty where there is no compiler, or the program does not run on this system.

    Source: limits.cpp, whose figures are the best of several tries.
    """
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    with tempfile.TemporaryDirectory(prefix="hftpy-limits-") as folder:
        program = Path(folder) / "limits"
        build = [*compiler, "-O2", "-std=c++17", "-pthread", str(SOURCE), "-o", str(program)]
        try:
            if subprocess.run(build, capture_output=True, check=False, timeout=120).returncode:
                return {}
            done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return {}
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {name: float(value) for name, value in lines if float(value) > 0}
