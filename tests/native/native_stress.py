"""Building and running the native stress programs under a sanitizer."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INCLUDE = HERE.parents[1] / "hftcore" / "include"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
ITEMS = int(os.environ.get("HFTPY_STRESS_ITEMS", "50000"))
SANITIZERS = {"thread": ["-fsanitize=thread"], "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]}
FOUND = 66  # the exit status of a sanitizer that found something
HANGS = 124

MARKS = [
    pytest.mark.native,
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)"),
]


def build(source: str, target: Path, sanitizer: str, *options: str, include: Path = INCLUDE) -> Path:
    """Compile a program of this folder, without a sanitizer if it is ""; skips where there is no such sanitizer."""
    assert COMPILER is not None
    command = [COMPILER, "-std=c++17", "-O1", "-g1", "-pthread", "-Wall", "-Wextra", *SANITIZERS.get(sanitizer, [])]
    command += [f"-I{include}", *options, str(HERE / source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and ("sanitize" in done.stderr or "tsan" in done.stderr or "asan" in done.stderr):
        pytest.skip(f"{COMPILER} has no {sanitizer} sanitizer here")
    assert done.returncode == 0, done.stderr
    return target


def run(program: Path, *arguments: object, limit_s: float = 1200) -> subprocess.CompletedProcess[str]:
    """Run it; its exit status is `FOUND` where the sanitizer found something, `HANGS` where it did not end in time."""
    command = [str(program), *map(str, arguments)]
    environment = os.environ | {
        "TSAN_OPTIONS": f"halt_on_error=1 exitcode={FOUND}",
        "ASAN_OPTIONS": f"exitcode={FOUND}",
    }
    # ThreadSanitizer of older compilers cannot map its memory where addresses are randomised widely.
    if (setarch := shutil.which("setarch")) is not None:
        command = [setarch, "-R", *command]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, HANGS, "", f"did not end within {limit_s} s")


def changed(tmp_path: Path, header: str, right: str, wrong: str) -> Path:
    """An include folder where `right` is `wrong` in one header."""
    folder = tmp_path / "include" / "hftcore"
    shutil.copytree(INCLUDE / "hftcore", folder)
    text = (folder / header).read_text()
    assert right in text, "the header has changed: adapt the mutant"
    (folder / header).write_text(text.replace(right, wrong))
    return tmp_path / "include"
