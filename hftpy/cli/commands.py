"""``hftpy send`` and ``hftpy tail``: commands by hand, and a live view of all commands under a root."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from hftpy.common.paths import get_root
from hftpy.ipc import CommandResult, CommandState, IPCCommandSystem
from hftpy.ipc.command_audit import TAIL_TOPIC
from hftpy.ipc.command_state import Rejection
from hftpy.ipc.transport import FrameReader, connect

LOOK_S = 0.5  # how often new processes are looked for


async def send(sender: str, target: str, command_type: str, payload: Any, timeout: float, wait: bool) -> int:
    """Send one command; returns 0 if it arrived (with `wait`: if its handler ended without an error), else 1.

    Of one to many: if it arrived at all (ended without an error in all) but those that have no handler for it.
    """
    system = IPCCommandSystem(sender)
    await system.start()
    try:
        command_id = system.send_command(target, command_type, payload, timeout=timeout)
        try:
            result = await system.wait(command_id, until="done" if wait else "recv")
        except asyncio.CancelledError:
            system.stop()
            print("hftpy send: interrupted:", *_lines(system.status(command_id)), sep="\n", file=sys.stderr)
            raise
    finally:
        await system.stop()
    if wait and result.ok:
        ended = {name: member.value for name, member in result.members.items() if member.ok}
        print(json.dumps(ended if result.members else result.value))
    else:
        for line in _lines(result):
            print(line)
    if result.state is CommandState.NO_ROUTE:
        print(
            f"hftpy send: nobody took it in {timeout:g} s: {target} must run, and have {sender} among its "
            f"ipc_command_subscribers (or name another sender by --as)",
            file=sys.stderr,
        )
    return 0 if (result.ok if wait else _has_arrived(result)) else 1


def _has_arrived(result: CommandResult) -> bool:
    """Whether those that it is for have it, however its handlers end; what has no handler for it is not one of them."""
    arrived = (CommandState.RECEIVED, CommandState.DONE)
    if not result.members:
        return result.state in arrived
    meant = [one for one in result.members.values() if one.reason != Rejection.NO_HANDLER]
    return bool(meant) and all(one.state in arrived for one in meant)


def _lines(result: CommandResult) -> list[str]:
    shown = [f"{result.command_id} {result.target_id}: {_outcome(result.state, result.reason, result.error)}"]
    return shown + [
        f"  {name}: {_outcome(member.state, member.reason, member.error)}" for name, member in result.members.items()
    ]


def _outcome(state: str, reason: str, error: str) -> str:
    return " ".join(part for part in (str(state), reason, error) if part)


class Tail:
    """What processes say of their commands, as lines.

    Parameters
    ----------
    root
        Where their addresses are.
    names
        Whose; all if there are none.
    show
        Is given each record.
    """

    def __init__(self, root: Path, names: list[str], show: Callable[[dict[str, Any]], None]) -> None:
        self._folder = root / "zmq" / "command"
        self._names = names
        self._show = show
        self._sockets: dict[Path, tuple[zmq.Socket[bytes], FrameReader]] = {}

    def look(self) -> None:
        """Listen to those that are new."""
        loop = asyncio.get_running_loop()
        for path in sorted(self._folder.glob("*.ipc")):
            if path not in self._sockets and (not self._names or path.stem in self._names):
                socket = connect(path, zmq.SUB, receive_hwm=10_000)
                socket.setsockopt(zmq.SUBSCRIBE, TAIL_TOPIC)
                self._sockets[path] = (socket, FrameReader(loop, socket, self._reader_of(socket)))
        for path in [path for path in self._sockets if not path.exists()]:
            self._leave(path)

    def _reader_of(self, socket: zmq.Socket[bytes]) -> Callable[[int], bool]:
        def read(limit: int) -> bool:
            for _ in range(limit):
                try:
                    frame = socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    return False
                self._show(json.loads(frame[len(TAIL_TOPIC) :]))
            return True

        return read

    def _leave(self, path: Path) -> None:
        socket, reader = self._sockets.pop(path)
        reader.close()
        socket.close(linger=0)

    def close(self) -> None:
        """Listen to nobody."""
        for path in list(self._sockets):
            self._leave(path)


def line_of(record: dict[str, Any]) -> str:
    """A record as one line."""
    when = time.strftime("%H:%M:%S", time.localtime(record["t"] / 1e6)) + f".{record['t'] % 1_000_000 // 1000:03d}"
    who = f"{record['sender']} -> {record['member']}"
    if record["what"] == "sent":
        what = "sent"
    elif record["what"] == "ended":
        what = f"{_outcome(record['state'], record['reason'], record['error'])} after {record['ms']:.1f} ms"
    else:
        what = f"{record['process']} says {_outcome(record['outcome'], record['reason'], record['error'])}"
    return f"{when} {who} {record['type']} {what}"


async def tail(names: list[str], duration: float | None, as_json: bool) -> int:
    """Print what happens to commands until Ctrl-C, until nobody reads it, or for `duration` seconds."""

    failed: list[OSError] = []

    def show(record: dict[str, Any]) -> None:
        if failed:
            return
        try:
            print(json.dumps(record) if as_json else line_of(record), flush=True)
        except OSError as error:
            failed.append(error)
            stopped.set()

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if duration is not None:
        loop.call_later(duration, stopped.set)
    watched = Tail(get_root(), names, show)
    try:
        while not stopped.is_set():
            watched.look()
            try:
                await asyncio.wait_for(stopped.wait(), LOOK_S)
            except TimeoutError:
                continue
    finally:
        watched.close()
    if failed:
        # What is still to be written would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(failed[0], BrokenPipeError):
            raise failed[0]
    return 0
