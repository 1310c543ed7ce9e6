"""How soon `shutdown` and `cancel_all` start at a process that is busy: no later than 50 ms after an idle run's figure.

Busy: an ordinary coroutine handler waits for two seconds, 10,000 commands queue behind it, and another subscriber is
stopped by SIGSTOP. What counts is the time from sending an urgent command to the start of its handler, the later of the
two; both processes read CLOCK_MONOTONIC.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftpy.ipc import IPCCommandSystem

TARGET = "urgent"
LIMIT_S = 0.05
URGENT = ("shutdown", "cancel_all")

CHILD = """
import asyncio, sys, time
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem(sys.argv[2], sys.argv[1], queue_size=20_000)
    async def work(command):
        await asyncio.sleep(2.0 if command.payload["n"] == 0 else 0.0)
    system.register_handler("work", work)
    for kind in ("shutdown", "cancel_all"):
        system.register_handler(kind, lambda command: time.monotonic())
    system.connect_to_process("bench")
    system.start()
    await asyncio.sleep(3600)
asyncio.run(main())
"""


class Processes:
    """A receiver, and another subscriber that can be stopped."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.system = IPCCommandSystem("bench", folder, queue_size=20_000)
        self.children = {
            name: subprocess.Popen([sys.executable, "-c", CHILD, str(folder), name]) for name in ("busy", "other")
        }
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        await self.system.start()
        for name in self.children:
            assert await self.system.ready(name, 60)
        # The first broadcast waits until all that were waiting for this address have joined; the others go at once.
        assert (await self.system.wait(self.system.broadcast(URGENT[0], timeout=30.0))).ok

    async def _delay(self) -> float:
        """The seconds until the later of the urgent handlers started; to all, as `cancel_all` would be."""
        sent = time.monotonic()
        command_ids = [self.system.broadcast(kind, timeout=30.0) for kind in URGENT]
        worst = 0.0
        for command_id in command_ids:
            while not (found := self.system.status(command_id).members["busy"]).final:
                await asyncio.sleep(0.001)
            assert found.ok, found
            worst = max(worst, found.value - sent)
        return worst

    async def _busy(self, commands: int) -> float:
        os.kill(self.children["other"].pid, signal.SIGSTOP)
        try:
            ordinary = [self.system.send_command("busy", "work", {"n": n}, timeout=60.0) for n in range(commands)]
            worst = await self._delay()
            assert not self.system.status(ordinary[0]).final
            await asyncio.sleep(0.2)  # when they have come
            worst = max(worst, await self._delay())
            assert not self.system.status(ordinary[0]).final
        finally:
            os.kill(self.children["other"].pid, signal.SIGCONT)
        for command_id in ordinary[-9_000:]:  # the last 10,000 that have ended are remembered
            assert (await self.system.wait(command_id)).ok
        assert await self.system.ready("other", 60)
        return worst

    async def _idle(self) -> float:
        return max([await self._delay() for _ in range(2)])

    def busy(self, commands: int) -> float:
        return self.runner.run(self._busy(commands))

    def idle(self) -> float:
        return self.runner.run(self._idle())

    def close(self) -> None:
        self.runner.run(self._end())
        self.runner.close()
        for child in self.children.values():
            child.kill()
            child.wait()

    async def _end(self) -> None:
        await self.system.stop()


@pytest.fixture
def processes() -> Iterator[Processes]:
    with tempfile.TemporaryDirectory(prefix="hb-") as folder:
        made = Processes(Path(folder))
        try:
            yield made
        finally:
            made.close()


def test_urgent_commands_of_a_busy_process(versus: Any, processes: Processes) -> None:
    commands = versus.scale(10_000)
    delays: dict[str, list[float]] = {"idle": [], "busy": []}

    def idle() -> float:
        delays["idle"].append(processes.idle())
        return delays["idle"][-1] + LIMIT_S

    def busy() -> float:
        delays["busy"].append(processes.busy(commands))
        return delays["busy"][-1]

    versus.cost(
        TARGET,
        f"start of shutdown and cancel_all, {commands:,} commands wait",
        operations=1,
        base=("idle + 50 ms", idle),
        others={"busy": busy},
        ceilings={"busy": 1.0},
        extra={"delays_s": delays},
    )
