"""Three processes that send each other commands and are killed, stopped, and sent duplicates; and the ledger.

Each life of a process writes what it does to a file of its own, line by line: a write that was made survives the
death of the process. The ledger is made of these files by the one process that is never killed.

`python command_chaos.py SECONDS [SEED]` runs it all; `… child ROOT NAME FOLDER LIFE RATE` is one life.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("a", "b", "c")
TIMEOUT_S = 2.0
KINDS = ("go", "go", "slow", "durable", "again", "halt")


class Child:
    """One life of a process."""

    def __init__(self, root: str, name: str, folder: str, life: str, rate: float) -> None:
        from hftpy.ipc import IPCCommandSystem

        self.name, self.life, self.rate = name, life, rate
        self.file = os.open(f"{folder}/{name}.{life}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.system = IPCCommandSystem(name, root)
        self.random = random.Random(f"{name}{life}")
        self.lines: list[str] = []
        sender = self.system._publisher.sender
        quiet, sender.on_end = sender.on_end, self.ended
        assert quiet is not None
        self.duplicate()

    def duplicate(self) -> None:
        """Send 2% of all frames twice, at once or a little later."""
        publisher = self.system._publisher
        transmit = publisher._transmit
        loop = asyncio.get_running_loop()

        def twice(frame: bytes) -> None:
            transmit(frame)
            if self.random.random() < 0.02:
                loop.call_later(self.random.choice([0.0, 0.05, 1.0]), transmit, frame)

        publisher.sender._transmit = twice

    def write(self, *fields: Any) -> None:
        os.write(self.file, (json.dumps(fields) + "\n").encode())

    def ended(self, delivery: Any) -> None:
        command = delivery.command
        self.write("end", command.id, delivery.member, str(delivery.state), delivery.reason, time.monotonic(),
                   command.deadline)  # fmt: skip

    def started(self, command: Any) -> None:
        self.write("start", command.command_id, self.name, command.command_type, self.life, time.monotonic())

    async def slow(self, command: Any) -> None:
        self.started(command)
        await asyncio.sleep(0.005)

    async def run(self) -> None:
        system = self.system
        system.register_handler("go", self.started)
        system.register_handler("halt", self.started)
        system.register_handler("slow", self.slow, lane="slow")
        system.register_handler("durable", self.started, durable=True, lane="durable")
        system.register_handler("again", self.started, idempotent=True)
        others = [name for name in NAMES if name != self.name]
        for name in others:
            system.connect_to_process(name)
        while True:
            try:
                await system.start()
                break
            except OSError:  # the kernel has not yet released the lock of the life before
                await asyncio.sleep(0.01)
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(0.005)
            due = int((time.monotonic() - began) * self.rate)
            for _ in range(min(due - sent, 50)):
                self.write("try")
                kind = self.random.choice(KINDS)
                target = self.random.choice([*others, *others, "*"]) if kind != "slow" else others[0]
                command_id = system.send_command(target, kind, {"n": sent}, timeout=TIMEOUT_S)
                self.write("sent", command_id, target, kind, time.monotonic())
            sent = due


@dataclass
class Ledger:
    """What happened, as the files tell it."""

    sent: int = 0
    kills: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    of_the_dead: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # no final state a second after the deadline
    wrong: list[str] = field(default_factory=list)
    durable_unknown: int = 0
    resolved: int = 0

    def check(self) -> None:
        assert not self.twice, self.twice[:5]
        assert not self.lost, self.lost[:5]
        assert not self.late, self.late[:5]
        assert not self.wrong, self.wrong[:5]
        assert self.durable_unknown <= self.kills  # one lane
        assert 2 * self.ended["done"] >= sum(self.ended.values()) > 0, self.ended


def read_ledger(folder: Path, kills: dict[str, list[float]], end: float, stops: list[tuple[float, float]]) -> Ledger:
    """Balance the files; what was sent after `end` less its deadline may still be open."""
    ledger = Ledger(kills=sum(map(len, kills.values())))
    starts: dict[tuple[str, str], list[str]] = {}
    sent: dict[str, tuple[str, str, float, str]] = {}
    ends: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    dead: dict[str, float] = {}
    for path in sorted(folder.iterdir()):
        last = 0.0
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            if row[0] == "sent":
                sent[row[1]] = (row[2], row[3], row[4], path.name)
            elif row[0] == "start":
                starts.setdefault((row[1], row[2]), []).append(f"{row[3]} {row[4]}")
            elif row[0] == "end":
                ends.setdefault((row[1], row[2]), []).append((row[3], row[5], row[6]))
            last = row[-1] if isinstance(row[-1], float) else last
        name, life = path.name.split(".")
        if int(life) < len(kills[name]):
            dead[path.name] = kills[name][int(life)]
    for (command_id, member), lives in starts.items():
        kind = lives[0].split()[0]
        if len(lives) > (1 if kind != "again" else len(set(lives))):
            ledger.twice.append(f"{command_id} by {member}: {lives}")
    of: dict[str, list[tuple[str, list[tuple[str, float, float]]]]] = {}
    for (command_id, member), states in ends.items():
        of.setdefault(command_id, []).append((member, states))
    for command_id, (target, kind, when, life) in sent.items():
        ledger.sent += 1
        deadline = when + TIMEOUT_S
        if dead.get(life, end) < deadline + 1.0:
            ledger.of_the_dead += 1  # its sender did not live to see its end
            continue
        if command_id not in of:
            ledger.lost.append(f"{command_id} {target} {kind}")
        for member, states in of.get(command_id, []):
            state, at, limit = states[0]
            stopped = sum(max(0.0, min(at, hi) - max(when, lo)) for lo, hi in stops)
            if at > limit + 1.0 + stopped:
                ledger.late.append(f"{command_id} {target} {kind} {state} {at - limit:.2f} s late")
            if len(states) > 1:
                ledger.resolved += 1
                if state != "unknown" or len(states) > 2:
                    ledger.wrong.append(f"{command_id} {member} ended as {states}")
            final = states[-1][0]
            ledger.ended[final] += 1
            started = (command_id, member) in starts
            if started and final not in ("done", "unknown"):
                ledger.wrong.append(f"{command_id} {member} was started and is {final}")
            if not started and final == "done":
                ledger.wrong.append(f"{command_id} {member} is done and was not started")
            if kind == "durable" and final == "unknown":
                ledger.durable_unknown += 1
    return ledger


def run(seconds: float, seed: int, rate: float = 2000.0, mean_kill_s: float = 0.4) -> Ledger:
    """Three processes for a while."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="hft") as place:
        root, folder = Path(place, "r"), Path(place, "l")
        root.mkdir(0o700)
        folder.mkdir()
        kills: dict[str, list[float]] = {name: [] for name in NAMES}
        stops: list[tuple[float, float]] = []
        children: dict[str, subprocess.Popen[bytes]] = {}

        def spawn(name: str) -> None:
            arguments = ["child", str(root), name, str(folder), str(len(kills[name])), str(rate / len(NAMES))]
            children[name] = subprocess.Popen([sys.executable, __file__, *arguments])

        try:
            for name in NAMES:
                spawn(name)
            began = time.monotonic()
            while not all((folder / f"{name}.0").exists() and (folder / f"{name}.0").stat().st_size for name in NAMES):
                assert time.monotonic() < began + 120, "the processes did not start"
                time.sleep(0.1)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(chance.expovariate(1 / mean_kill_s))
                name = chance.choice(NAMES)
                if chance.random() < 0.3:
                    lo = time.monotonic()
                    children[name].send_signal(signal.SIGSTOP)
                    time.sleep(chance.uniform(0.05, 0.5))
                    children[name].send_signal(signal.SIGCONT)
                    stops.append((lo, time.monotonic()))
                else:
                    children[name].kill()
                    kills[name].append(time.monotonic())
                    children[name].wait()
                    spawn(name)
            time.sleep(TIMEOUT_S + 1.5)
            finish = time.monotonic()
        finally:
            for child in children.values():
                child.kill()
                child.wait()
        return read_ledger(folder, kills, finish, stops)


if __name__ == "__main__":
    if sys.argv[1] == "child":
        root_, name_, folder_, life_, rate_ = sys.argv[2:]

        async def main() -> None:
            await Child(root_, name_, folder_, life_, float(rate_)).run()

        asyncio.run(main())
    else:
        found = run(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
        shown = {name: len(value) if isinstance(value, list) else value for name, value in vars(found).items()}
        print(json.dumps(shown))
        found.check()
