"""How every benchmark measures: peers and ours alternate every round, garbage collector off, one ratio per round.

An absolute time drifts with the machine; a ratio of two neighbours in one run does not. See BENCHMARKING.md.
"""

import datetime
import gc
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter_ns

from hftcore import build_mode
from hftpy.cli.bench_rows import MIN_ROUNDS

ROUNDS = 15
# Does the agreed operations; returns None, or the seconds that it measured itself (without set-up of its own).
Side = Callable[[], float | None]
LIBRARIES = (
    "hftpy", "aiohttp", "ccxt", "cryptofeed", "cython", "grpcio", "iceoryx2", "msgspec", "nautilus_trader", "numpy",
    "orjson", "picows", "protobuf", "pyaeron", "pysimdjson", "pyzmq", "sortedcontainers", "uvloop", "vnpy",
    "websockets",
)  # fmt: skip


@dataclass
class Rounds:
    """The seconds of every side in every round; sides[0] is ours."""

    names: tuple[str, ...]
    sides: tuple[Side, ...]
    times: dict[str, list[float]] = field(default_factory=dict)

    def warm_up(self) -> None:
        """Run every side once, unmeasured."""
        self.times = {name: [] for name in self.names}
        for side in self.sides:
            side()

    def run(self, indices: Iterable[int]) -> None:
        """Run the sides of these indices and keep their times."""
        for index in indices:
            self.times[self.names[index]].append(timed(self.sides[index]))

    def indices(self, number: int) -> tuple[list[int], list[int]]:
        """The peers that run before ours in this round, and those that run after it.

        In one round all peers come first, in the next ours does and the peers follow in reverse: whatever the first
        or the last of a round gains or loses, each side has it as often as the others.
        """
        peers = list(range(1, len(self.sides)))
        return (peers, []) if number % 2 == 0 else ([], peers[::-1])

    def ratios(self, over: str, under: str) -> tuple[float, ...]:
        """One ratio per round."""
        pairs = zip(self.times[over], self.times[under], strict=True)
        return tuple(upper / lower for upper, lower in pairs)


def timed(side: Side) -> float:
    """The seconds that `side` took, by its own word or by the clock.

    Raises
    ------
    ValueError
        If it claims to have taken no time.
    """
    started = perf_counter_ns()
    own = side()
    elapsed = (perf_counter_ns() - started) / 1e9
    if own is None:
        return elapsed
    if not own > 0:
        raise ValueError(f"a side must have taken some time, was {own!r} s")
    return float(own)


class Collector:
    """Garbage collector off while measuring."""

    def __enter__(self) -> None:
        self.enabled = gc.isenabled()
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self.enabled:
            gc.enable()


def require_rounds(rounds: int) -> int:
    """`rounds` itself.

    Raises
    ------
    ValueError
        If there are too few rounds to say anything.
    """
    if rounds < MIN_ROUNDS:
        raise ValueError(f"rounds must be at least {MIN_ROUNDS}, was {rounds}")
    return rounds


def require_release(mode: str = build_mode) -> None:
    """Refuse a core that was not compiled for release: any other figure would mislead.

    Raises
    ------
    ValueError
        If the core has another build mode.
    """
    if mode != "release":
        raise ValueError(f"benchmarks need HFT_BUILD=release, the core was built as {mode!r}")


def library_version(name: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def output_of(*command: str) -> str:
    """The first line that a command prints; empty where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0] if done.returncode == 0 else ""


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment(*, rounds: int, quick: bool) -> dict[str, object]:
    """The machine, and the versions of all that matters."""
    found = {name: library_version(name) for name in LIBRARIES}
    return {
        "machine": cpu_model(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libc": " ".join(platform.libc_ver()),
        "compiler": output_of(os.environ.get("CXX", "g++"), "--version") or "none here",
        "build_mode": build_mode,
        "commit": output_of("git", "describe", "--always", "--dirty"),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
        "rounds": rounds,
        "quick": quick,
        "frames": "recorded" if os.environ.get("HFTPY_FIXTURES") else "hand-written",
        "libraries": {name: number for name, number in found.items() if number is not None},
    }
