"""Builds and runs the fuzzers of this folder."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INCLUDE = ROOT / "hftcore" / "include"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
SANITIZED = ["-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

TRIES = 12


def simdjson_include() -> str | None:
    """The folder of simdjson.h, found as setup.py finds it; None if there is none."""
    spec = importlib.util.find_spec("simdjson")
    return None if spec is None or spec.origin is None else str(Path(spec.origin).parent)


def compiled(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "sanitize" in done.stderr:
        pytest.skip(f"{COMPILER} has no AddressSanitizer here")
    assert done.returncode == 0, done.stderr[-4000:]


def build(folder: Path, name: str, options: list[str], include: Path = INCLUDE, simdjson: bool = False) -> Path:
    """The program of `name`.cpp, with simdjson where it is needed."""
    assert COMPILER is not None
    target = folder / name
    command = [COMPILER, "-std=c++17", "-Wall", "-Wextra", *options, f"-I{include}", f"-I{HERE}"]
    sources = [str(HERE / f"{name}.cpp")]
    if simdjson:
        headers = simdjson_include()
        if headers is None:
            pytest.skip("simdjson.h was not found: make setup installs pysimdjson")
        # As a system header: its warnings are not ours.
        command += ["-isystem", headers]
        sources.append(str(simdjson_object(command, options)))
    compiled([*command, *sources, "-o", str(target)])
    return target


def simdjson_object(command: list[str], options: list[str]) -> Path:
    """simdjson itself, compiled once for each compiler and its options."""
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
    headers = simdjson_include()
    assert headers is not None
    text = version + " ".join(options) + Path(headers, "simdjson.cpp").read_text(encoding="utf-8")
    target = ROOT / "build" / "fuzz" / f"simdjson-{hashlib.sha256(text.encode()).hexdigest()[:16]}.o"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        compiled([*command, "-c", str(ROOT / "hftcore" / "simdjson.cpp"), "-o", str(part)])
        part.replace(target)
    return target


def run(program: Path, name: str, seeds: list[bytes], inputs: int, seed: int) -> subprocess.CompletedProcess[str]:
    """The fuzzer's outcome; it prints the random seed and, if it found something, the input."""
    file = program.parent / f"{name}.seeds"
    file.write_bytes(b"\n".join(seeds) + b"\n")
    command = [str(program), name, str(file), str(inputs), str(seed)]
    options = {"ASAN_OPTIONS": "exitcode=66:detect_leaks=0", "UBSAN_OPTIONS": "exitcode=66:print_stacktrace=1"}
    environment = os.environ | options
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, errors="replace")


def finds(program: Path, name: str, seeds: list[bytes], inputs: int, seed: int) -> bool:
    """Whether the fuzzer finds something with this random seed or one of the next: few inputs take luck."""
    # 2 and 3: it could not be run, or refuses its own seeds.
    return any(run(program, name, seeds, inputs, seed + more).returncode not in (0, 2, 3) for more in range(TRIES))


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what the fuzzer said, for an assertion."""
    return f"exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[:4000]}\n…\n{done.stderr[-2000:]}"


def changed(folder: Path, header: str, right: str, wrong: str) -> Path:
    """The include folder with a mistake in one header."""
    include = folder / "include"
    shutil.copytree(INCLUDE, include)
    path = include / "hftcore" / header
    text = path.read_text()
    assert right in text, f"{header} has changed: adapt the mutant"
    path.write_text(text.replace(right, wrong, 1))
    return include
