"""How every benchmark measures: peer and ours alternate, garbage collector off, ratios per round with their spread.

An absolute time drifts with the machine; a ratio of two neighbours in one run does not. See README.md.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter_ns

from hftcore import build_mode

MIN_ROUNDS = 9


@dataclass(frozen=True)
class Result:
    """One comparison: median ns per operation of each side, and the ratios peer/ours of all rounds."""

    name: str
    peer: str
    peer_ns: float
    ours_ns: float
    ratios: list[float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    def to_dict(self) -> dict[str, object]:
        """For the JSON output."""
        return {
            "name": self.name,
            "peer": self.peer,
            "peer_ns": round(self.peer_ns, 1),
            "ours_ns": round(self.ours_ns, 1),
            "ratio": round(self.ratio, 2),
            "ratio_min": round(min(self.ratios), 2),
            "ratio_max": round(max(self.ratios), 2),
            "rounds": len(self.ratios),
        }


def compare(
    name: str, peer_name: str, peer: Callable[[int], None], ours: Callable[[int], None], *, count: int, rounds: int
) -> Result:
    """Time `peer(count)` and `ours(count)` by turns.

    Parameters
    ----------
    name, peer_name
        For the table.
    peer, ours
        Do the same work `count` times; the order of the two changes from round to round.
    count
        Operations per round and side.
    rounds
        How often; at least `MIN_ROUNDS`.

    Raises
    ------
    ValueError
        If there are too few rounds to say anything.
    """
    if rounds < MIN_ROUNDS:
        raise ValueError(f"rounds must be at least {MIN_ROUNDS}, was {rounds}")
    peer(count)
    ours(count)
    times: dict[Callable[[int], None], list[int]] = {peer: [], ours: []}
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for side in (peer, ours) if number % 2 else (ours, peer):
                started = perf_counter_ns()
                side(count)
                times[side].append(perf_counter_ns() - started)
    finally:
        if enabled:
            gc.enable()
    return Result(
        name,
        peer_name,
        statistics.median(times[peer]) / count,
        statistics.median(times[ours]) / count,
        [theirs / mine for theirs, mine in zip(times[peer], times[ours], strict=True)],
    )


def require_release() -> None:
    """Stop with status 2 unless the core was compiled for release: any other figure would mislead."""
    if build_mode != "release":
        sys.exit(f"benchmarks need HFT_BUILD=release, the core was built as {build_mode!r}")


def environment(libraries: tuple[str, ...] = ("numpy", "cython")) -> dict[str, object]:
    """The machine, and the versions of all that matters."""
    compiler = subprocess.run(
        [os.environ.get("CXX", "g++"), "--version"], capture_output=True, text=True, check=False
    ).stdout.partition("\n")[0]
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    versions = {}
    for library in libraries:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "missing"
    return {
        "machine": model or platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "compiler": compiler or "none here",
        "build_mode": build_mode,
        "libraries": versions,
    }


def arguments(description: str) -> argparse.Namespace:
    """The options that every benchmark takes: --quick, --rounds, --json."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few operations: that it runs, not how fast")
    parser.add_argument("--rounds", type=int, default=15, help=f"at least {MIN_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there ('-': standard output)")
    chosen = parser.parse_args()
    if chosen.rounds < MIN_ROUNDS:
        parser.error(f"rounds must be at least {MIN_ROUNDS}, was {chosen.rounds}")
    if chosen.quick:
        chosen.rounds = MIN_ROUNDS
    return chosen


def report(results: list[Result], chosen: argparse.Namespace) -> None:
    """Print the table, or the JSON where it goes to standard output."""
    document = {"environment": environment(), "results": [result.to_dict() for result in results]}
    if chosen.json is not None and str(chosen.json) == "-":
        print(json.dumps(document, indent=2))
        return
    for key, value in document["environment"].items():  # type: ignore[union-attr]
        print(f"{key:12} {value}")
    print(f"\n{'benchmark':44} {'peer':24} {'peer ns':>9} {'ours ns':>9} {'ratio':>7}  spread")
    for one in results:
        spread = f"{min(one.ratios):.2f} to {max(one.ratios):.2f}"
        print(f"{one.name:44} {one.peer:24} {one.peer_ns:9.1f} {one.ours_ns:9.1f} {one.ratio:7.2f}  {spread}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
