"""Instructions per operation of the hot paths, counted by callgrind and compared with a committed baseline.

    python benchmarks/instructions/count.py [--update] [--limit PERCENT]

Unlike time, the counts are the same on every run: a rise is a change of the code, the compiler or the libraries. The
baseline is therefore kept for each compiler and libc. Exit 0: no path rose above the limit (or nothing could be
compared, which is said); 1: one did, or is no longer measured.

The build is setup.py's release mode; simdjson's and libc's choice among the CPU's instruction sets is forced, so that
the machine does not matter.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASELINE = HERE / "baseline.json"
LIMIT_PERCENT = 3.0
SIMDJSON = "fallback"
# The same memcpy, memcmp and memchr on every x86-64.
_FEATURES = "AVX2 AVX AVX512F AVX512VL ERMS FSRM SSSE3 SSE4_1 SSE4_2 AVX_Fast_Unaligned_Load"
PLAIN_LIBC = "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in _FEATURES.split())
Counts = dict[str, float]


class CannotCount(Exception):
    """Something is missing here that counting needs."""


def compiler() -> str:
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        raise CannotCount("no C++ compiler (g++, clang++ or $CXX)")
    return found


def key_of(command: str) -> str:
    """What a baseline holds for: "gcc 12.2.0, glibc 2.36, x86_64"."""
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    name = "clang" if "clang" in version else "gcc"
    number = re.search(r"\d+\.\d+\.\d+", version.partition("\n")[0].partition(")")[2] or version)
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (ValueError, OSError):
        libc = "musl"
    return f"{name} {number[0] if number else 'unknown'}, {libc}, {platform.machine()}"


def release_options() -> tuple[list[str], str]:
    """The compiler's options of setup.py's release mode, and the folder of simdjson.h."""
    spec = importlib.util.spec_from_file_location("hftpy_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise CannotCount(f"{error}: make setup installs it") from error
    return list(module.MODES["release"].compile), str(module.simdjson_include())


def build(command: str, folder: Path, include: Path = ROOT / "hftcore" / "include") -> Path:
    options, simdjson = release_options()
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "paths"
    sources = [str(HERE / "paths.cpp"), str(HERE / "book_paths.cpp"), str(ROOT / "hftcore" / "simdjson.cpp")]
    done = subprocess.run(
        [command, "-std=c++17", *options, f"-I{include}", "-isystem", simdjson, *sources, "-o", str(program)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{HERE / 'paths.cpp'} does not compile:\n{done.stderr[-4000:]}")
    return program


def segment() -> str:
    """A path for a segment of shared memory."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    return f"{folder}/hftpy-instructions-{os.getpid()}"


def count(program: Path) -> Counts:
    """Instructions per operation of every path, in the program's order."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCount("valgrind is not installed (Debian: apt-get install valgrind)")
    for old in program.parent.glob("callgrind.out*"):
        old.unlink()
    out = program.parent / "callgrind.out"
    done = subprocess.run(
        [valgrind, "--tool=callgrind", "--toggle-collect=hft_measured", "--dump-after=hft_measured",
         f"--callgrind-out-file={out}", str(program), str(HERE / "frames.tsv"), segment()],
        capture_output=True, text=True, check=False,
        env=os.environ | {"SIMDJSON_FORCE_IMPLEMENTATION": SIMDJSON, "GLIBC_TUNABLES": PLAIN_LIBC},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"callgrind: exit {done.returncode}\n{done.stderr[-4000:]}")
    counts: Counts = {}
    for part, line in enumerate(done.stdout.splitlines(), start=1):
        name, operations = line.split("\t")
        summary = re.search(r"^summary: (\d+)$", Path(f"{out}.{part}").read_text(), re.MULTILINE)
        if summary is None:
            sys.exit(f"callgrind has no part {part} for {name}")
        counts[name] = round(int(summary[1]) / int(operations), 2)
    return counts


@dataclass(frozen=True)
class Verdict:
    """What a comparison says: lines for the reader, and the names of the paths that fail it."""

    lines: list[str]
    failed: list[str]


def compare(counts: Counts, baseline: Counts, limit_percent: float = LIMIT_PERCENT) -> Verdict:
    lines, failed = [f"{'instructions per operation':44} {'baseline':>10} {'now':>10} {'change':>9}"], []
    for name, now in counts.items():
        if name not in baseline:
            lines.append(f"{name:44} {'-':>10} {now:10.1f}      new: --update adds it to the baseline")
            continue
        change = round((now / baseline[name] - 1) * 100, 6)
        remark = ""
        if change > limit_percent:
            remark = f"  rose above {limit_percent:g}%"
            failed.append(name)
        elif change < -limit_percent:
            remark = "  fell: --update keeps it there"
        lines.append(f"{name:44} {baseline[name]:10.1f} {now:10.1f} {change:+8.2f}%{remark}")
    for name in baseline.keys() - counts.keys():
        lines.append(f"{name:44} {baseline[name]:10.1f} {'-':>10}           no longer measured: --update takes it out")
        failed.append(name)
    return Verdict(lines, failed)


def read_baselines(path: Path) -> dict[str, Counts]:
    document: dict[str, Counts] = json.loads(path.read_text()) if path.exists() else {}
    return document


def check(key: str, counts: Counts, path: Path = BASELINE, update: bool = False, limit: float = LIMIT_PERCENT) -> int:
    """Compare with the file's baseline of `key`, or write it there; the exit code."""
    baselines = read_baselines(path)
    if update:
        baselines[key] = counts
        path.write_text(json.dumps(baselines, indent=1) + "\n")
        print(f"{path.name}: {len(counts)} paths for {key}")
        return 0
    if key not in baselines:
        print("\n".join(f"{name:44} {now:10.1f}" for name, now in counts.items()))
        print(
            f"instructions: not compared: {path.name} has no baseline for {key!r} (it has: {', '.join(baselines)}).\n"
            "To add it, check out a commit that is known to be good, run make instructions ARGS=--update there with\n"
            f"this compiler and libc, and commit {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}."
        )
        return 0
    verdict = compare(counts, baselines[key], limit)
    print(key, *verdict.lines, sep="\n")
    if verdict.failed:
        print(f"instructions: failed: {', '.join(verdict.failed)}")
    return 1 if verdict.failed else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Instructions per operation of the hot paths.")
    parser.add_argument("--update", action="store_true", help="make what is counted now the baseline")
    parser.add_argument("--limit", type=float, default=LIMIT_PERCENT, metavar="PERCENT", help="default %(default)g")
    options = parser.parse_args(arguments)
    try:
        command = compiler()
        counts = count(build(command, ROOT / "build" / "instructions"))
    except CannotCount as error:
        print(f"instructions: skipped: {error}")
        return 0
    return check(key_of(command), counts, update=options.update, limit=options.limit)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
