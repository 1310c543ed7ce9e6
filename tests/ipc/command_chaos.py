"""Three processes that send each other commands and are killed, stopped, and sent duplicates; and the ledger.

The ledger (`chaos_ledger`) is made of what the lives of the processes wrote (`chaos_life`) by the one process that is
never killed.

`python command_chaos.py SECONDS [SEED]` runs it, in rounds of a minute; ``HFT_CHAOS_MUTANT`` names a fault to be found.
"""

import heapq
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from chaos_ledger import Ledger, read_ledger
from chaos_life import NAMES, TIMEOUTS_S, Plan, Progress

ROUND_S = 60.0


@dataclass
class Faults:
    """What was done to each process, and when."""

    kills: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    stops: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in NAMES})


class Runner:
    """Starts lives and ends them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.faults = Faults()
        self.pids: dict[str, int] = {}
        self.stopped: dict[str, float] = {}
        Path(plan.folder).mkdir()
        Progress.create(plan.folder)
        self.mother = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("chaos_life.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self.mother.stdout is not None
        return self.mother.stdout.readline().decode().strip()

    def spawn(self, name: str) -> None:
        assert self.mother.stdin is not None
        plan = msgspec.structs.replace(self.plan, name=name, life=len(self.faults.kills[name]))
        self.mother.stdin.write(msgspec.json.encode(plan) + b"\n")
        self.mother.stdin.flush()
        self.pids[name] = int(self._read())

    def kill(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGKILL)
        now = time.monotonic()
        self.faults.kills[name].append(now)
        if name in self.stopped:
            self.faults.stops[name].append((self.stopped.pop(name), now))
        self.spawn(name)

    def stop(self, name: str) -> None:
        if name not in self.stopped:
            self.stopped[name] = time.monotonic()
            os.kill(self.pids[name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        began = self.stopped.pop(name, None)
        if began is not None:
            os.kill(self.pids[name], signal.SIGCONT)
            self.faults.stops[name].append((began, time.monotonic()))

    def close(self) -> None:
        for name in list(self.stopped):
            self.go_on(name)
        self.mother.communicate()  # at the end of its stdin it kills all lives


def run(
    seconds: float, seed: int, *, rate: float = 2000.0, mean_kill_s: float = 0.4, mean_stop_s: float = 1.0,
    doubled: float = 0.02, lost: float = 0.002, mutant: str = "",
) -> Ledger:  # fmt: skip
    """Three processes for a while; the rate is that of all of them."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="hft") as place:
        root, folder = Path(place, "r"), Path(place, "ledger")
        root.mkdir(0o700)
        begin = time.monotonic() + 1.5
        plan = Plan("", 0, str(root), str(folder), rate / len(NAMES), begin, begin + seconds, doubled, lost, mutant)
        runner = Runner(plan)
        try:
            for name in NAMES:
                runner.spawn(name)
            events = [(begin + chance.expovariate(1 / mean), what, "") for mean, what in
                      ((mean_kill_s, "kill"), (mean_stop_s, "stop"))]  # fmt: skip
            heapq.heapify(events)
            while events[0][0] < plan.end:
                when, what, name = heapq.heappop(events)
                time.sleep(max(0.0, when - time.monotonic()))
                if what == "kill":
                    runner.kill(chance.choice(NAMES))
                    heapq.heappush(events, (when + chance.expovariate(1 / mean_kill_s), "kill", ""))
                elif what == "stop":
                    name = chance.choice(NAMES)
                    runner.stop(name)
                    heapq.heappush(events, (when + chance.uniform(0.05, 0.5), "go on", name))
                    heapq.heappush(events, (when + chance.expovariate(1 / mean_stop_s), "stop", ""))
                else:
                    runner.go_on(name)
            for name in list(runner.stopped):
                runner.go_on(name)
            time.sleep(max(0.0, plan.end - time.monotonic()) + max(TIMEOUTS_S) + 1.5)
            finish = time.monotonic()
        finally:
            runner.close()
        return read_ledger(folder, runner.faults.kills, runner.faults.stops, finish, offered=int(rate * seconds))


def main() -> None:
    """Rounds of a minute, each with its own seed, and what came of each."""
    left, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    while left > 0.0:
        seconds = min(left, ROUND_S)
        ledger = run(seconds, seed, mutant=os.environ.get("HFT_CHAOS_MUTANT", ""))
        load = {"seed": seed, "seconds": seconds, "sent_per_s": round(ledger.sent / seconds)}
        print(json.dumps(load | ledger.shown()), flush=True)
        ledger.check(whole=True)
        if ledger.sent < 0.99 * ledger.offered:
            raise SystemExit(f"this machine is too slow: {ledger.sent} of {ledger.offered} commands were sent")
        left, seed = left - seconds, seed + 1


if __name__ == "__main__":
    main()
