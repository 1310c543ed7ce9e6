"""One life of a process that commands others until it is killed, and the process that forks the lives.

`python chaos_life.py FOLDER` is the latter: it has imported everything, so that a life begins as soon as the one before
it was killed and no time is lost on imports. It reads JSON lines from stdin, one per life, and answers with its pid.
Nothing in it has threads or sockets, so that its children are like processes that were started anew.

A life writes what it does to a file of its own, row by row: a row that was written survives the death of the process.
What it is to send is given from outside: the number of the next command stands in a file that all lives of a name map,
and falls due by the clock, whoever lives then.
"""

import asyncio
import logging
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import chaos_mutants
import msgspec

from hftpy.ipc import IPCCommandSystem
from hftpy.ipc.sent_command import SentCommand

NAMES = ("a", "b", "c")
TIMEOUTS_S = (0.25, 1.0, 2.0, 2.0)
KINDS = ("go", "go", "slow", "durable", "again", "halt")
BURST = 50  # commands per 5 ms of what fell due while the process was stopped or dead

_encode = msgspec.json.Encoder().encode


class Plan(msgspec.Struct):
    """One life, as its runner orders it."""

    name: str
    life: int
    root: str
    folder: str
    rate: float  # commands per second
    begin: float  # of the sending, CLOCK_MONOTONIC
    end: float
    doubled: float
    lost: float
    mutant: str = ""


class Progress:
    """How many commands each name has sent so far, in a file that outlives them."""

    def __init__(self, folder: str) -> None:
        with open(f"{folder}/progress", "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * len(NAMES))

    @staticmethod
    def create(folder: str) -> None:
        with open(f"{folder}/progress", "wb") as file:
            file.write(bytes(8 * len(NAMES)))

    def get(self, name: str) -> int:
        found: int = struct.unpack_from("<Q", self._map, 8 * NAMES.index(name))[0]
        return found

    def set(self, name: str, value: int) -> None:
        struct.pack_into("<Q", self._map, 8 * NAMES.index(name), value)


class Life:
    """One life of a process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.file = os.open(f"{plan.folder}/{plan.name}.{plan.life}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.chance = random.Random(f"{plan.name}{plan.life}{plan.folder}")
        self.progress = Progress(plan.folder)
        if plan.mutant:
            chaos_mutants.MUTANTS[plan.mutant]()
        self.system = system = IPCCommandSystem(plan.name, plan.root)
        publisher = system._publisher
        publisher.sender.on_end = self.ended
        send = publisher.send

        def send_and_write(command: SentCommand, *args: Any, **kwargs: Any) -> None:
            # Before it is on its way: nothing is started that nobody is known to have sent.
            self.write("sent", command.id, command.target_id, command.type, self.number, time.monotonic(),
                       command.deadline)  # fmt: skip
            send(command, *args, **kwargs)

        publisher.send = send_and_write  # type: ignore[method-assign]
        publisher.sender._transmit = self.unreliable(publisher.sender._transmit)
        system._dispatcher._answer = self.unreliable(system._dispatcher._answer)
        self.number = 0

    def unreliable(self, carry: Callable[..., None]) -> Callable[..., None]:
        """Some frames and answers are carried twice, at once or a little later, and some never."""
        loop, plan, chance = asyncio.get_running_loop(), self.plan, self.chance.random

        def carry_or_not(*args: Any) -> None:
            luck = chance()
            if luck < plan.lost:
                return
            carry(*args)
            if luck <= 1.0 - plan.doubled:
                return
            if args[0][:2] == b"*.":
                carry(*args)  # not later: whoever joins meanwhile is not among those that it was sent to
            else:
                loop.call_later(self.chance.choice([0.0, 0.05, 1.0]), carry, *args)

        return carry_or_not

    def write(self, *fields: Any) -> None:
        os.write(self.file, _encode(fields) + b"\n")

    def ended(self, delivery: Any) -> None:
        command = delivery.command
        self.write("end", command.id, delivery.member, str(delivery.state), delivery.reason, time.monotonic())

    def started(self, command: Any) -> int:
        number: int = command.payload["n"]
        self.write("start", command.command_id, command.command_type, number, time.monotonic())
        return number

    async def slow(self, command: Any) -> int:
        number = self.started(command)
        await asyncio.sleep(0.001)
        return number

    async def run(self) -> None:
        system, plan = self.system, self.plan
        system.register_handler("go", self.started)
        system.register_handler("halt", self.started)
        system.register_handler("slow", self.slow, lane="slow")
        system.register_handler("durable", self.slow, durable=True, lane="durable")
        system.register_handler("again", self.slow, idempotent=True)
        others = [name for name in NAMES if name != plan.name]
        for name in others:
            system.connect_to_process(name)
        while True:
            try:
                await system.start()
                break
            except OSError:  # the kernel has not yet released the lock of the life before
                await asyncio.sleep(0.002)
        self.write("up", time.monotonic())
        parent, turns = os.getppid(), 0
        schedstat = open_schedstat()
        while os.getppid() == parent:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            due = int((min(now, plan.end) - plan.begin) * plan.rate)
            self.number = self.progress.get(plan.name)
            for _ in range(min(due - self.number, BURST)):
                self.number += 1
                self.progress.set(plan.name, self.number)
                target = self.chance.choice([*others, *others, "*"])
                kind, timeout = self.chance.choice(KINDS), self.chance.choice(TIMEOUTS_S)
                system.send_command(target, kind, {"n": self.number}, timeout=timeout)
            turns += 1
            if turns % 4 == 0:
                waited_ns = int(os.pread(schedstat, 100, 0).split()[1]) if schedstat >= 0 else 0
                self.write("cpu", waited_ns / 1e9, now)


def open_schedstat() -> int:
    """Where the kernel tells how long this process waited for a processor; -1 if it does not."""
    try:
        return os.open("/proc/self/schedstat", os.O_RDONLY)
    except FileNotFoundError:
        return -1


def live(plan: Plan) -> None:
    """Live until killed."""

    async def main() -> None:
        await Life(plan).run()

    asyncio.run(main())


def fork_lives() -> None:
    """Fork a life for each line of stdin, after its predecessor has been killed; at the end of stdin, kill them all."""
    pids: dict[str, int] = {}
    for line in iter(sys.stdin.buffer.readline, b""):
        plan = msgspec.json.decode(line, type=Plan)
        before = pids.pop(plan.name, 0)
        if before:
            os.waitpid(before, 0)
        pid = os.fork()
        if not pid:
            try:
                live(plan)
            finally:
                os._exit(1)
        pids[plan.name] = pid
        print(pid, flush=True)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    logging.disable()  # that commands are refused is what is to be expected
    print("ready", flush=True)
    fork_lives()
