"""Urgent commands wait for nobody: a suspended handler, 10,000 commands, a subscriber that is stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hftpy.ipc import CommandState, IPCCommand, IPCCommandSystem

COUNT = 10_000
STOPPED = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem('stopped', sys.argv[1])
    for kind in ('work', 'halt', 'cancel_all', 'shutdown'):
        system.register_handler(kind, lambda command: 'at last')
    system.connect_to_process('a')
    system.start()
    await asyncio.sleep(300)
asyncio.run(main())
"""


async def test_urgent_commands_start_first(root: Path, until: Callable[..., Any]) -> None:
    a = IPCCommandSystem("a", root, queue_size=2 * COUNT)
    b = IPCCommandSystem("b", root, queue_size=2 * COUNT)
    started: list[Any] = []
    go = asyncio.Event()

    async def work(command: IPCCommand) -> None:
        started.append(command.payload)
        await go.wait()

    for kind in ("halt", "cancel_all", "shutdown"):
        b.register_handler(kind, lambda command: started.append(command.command_type))
    b.register_handler("work", work)
    b.connect_to_process("a")
    await b.start()
    await a.start()
    child = subprocess.Popen([sys.executable, "-c", STOPPED, root])
    try:
        assert await a.ready("b", 60) and await a.ready("stopped", 60)
        os.kill(child.pid, signal.SIGSTOP)
        # All at once: the urgent ones are sent last.
        sent = [a.send_command("b", "work", number, timeout=100.0) for number in range(COUNT)]
        to_stopped = [a.send_command("stopped", "work", number, timeout=100.0) for number in range(1000)]
        many = {kind: a.broadcast(kind, timeout=100.0) for kind in ("cancel_all", "halt")}
        one = a.send_command("b", "shutdown", timeout=100.0)
        assert (await a.wait(one)).ok
        await until(lambda: all(a.status(command_id).members["b"].final for command_id in many.values()))
        # Each in a lane of its own, so in any order; and the ordinary handler is where it was.
        assert started[0] == 0 and sorted(started[1:]) == ["cancel_all", "halt", "shutdown"]
        assert not a.status(sent[0]).final and a.status(sent[-1]).state in (CommandState.QUEUED, CommandState.RECEIVED)
        # Once more when all of them wait at b.
        await until(lambda: b.stats["waiting"] == COUNT - 1, limit_s=60.0)
        assert (await a.call("b", "halt")).ok
        assert started[-1] == "halt" and len(started) == 5
        # Of the stopped one nothing is known, until it goes on.
        for command_id in many.values():
            assert not a.status(command_id).members["stopped"].final
        os.kill(child.pid, signal.SIGCONT)
        for command_id in many.values():
            assert (await a.wait(command_id)).members["stopped"].value == "at last"
        assert all([(await a.wait(command_id)).ok for command_id in to_stopped])
        go.set()
        assert all([(await a.wait(command_id)).ok for command_id in sent[-5000:]])
        assert [item for item in started if isinstance(item, int)] == list(range(COUNT))
    finally:
        child.kill()
        child.wait()
        await a.stop()
        await b.stop()
        for left in (root / "zmq" / "command").glob("stopped.ipc*"):
            left.unlink()
