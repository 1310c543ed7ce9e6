"""``hftpy send`` and ``hftpy tail``: commands by hand, and a live view of all commands under a root."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from hftpy.errors import AddressInUseError
from hftpy.ipc import CommandResult, CommandState, IPCCommandSystem, TcpEndpoints
from hftpy.ipc.command_audit import TAIL_TOPIC
from hftpy.ipc.command_state import Rejection
from hftpy.ipc.curve_link import CurveLink
from hftpy.ipc.transport import FrameReader, connect

LOOK_S = 0.5  # how often new processes are looked for
NAME_AGAIN_S = 0.05  # how often a name is asked for that another has


async def send(
    sender: str,
    target: str,
    command_type: str,
    payload: Any,
    timeout: float,
    wait: bool,
    tcp: TcpEndpoints | None = None,
) -> int:
    """Send one command; returns 0 if it arrived (with `wait`: if its handler ended without an error), else 1.

    Of one to many: if it arrived at all (ended without an error in all) but those that have no handler for it. A signal
    that ends it first is told with what is known of the command; then 128 and its number are returned.
    """
    ended_by = _first_signal()
    system = IPCCommandSystem(sender, tcp=tcp)
    await _start(system, timeout, ended_by)
    if ended_by.done():
        await system.stop()
        print(f"hftpy send: ended by {ended_by.result().name} before it sent anything", file=sys.stderr)
        return 128 + ended_by.result()
    try:
        command_id = system.send_command(target, command_type, payload, timeout=timeout)
        waiting = asyncio.ensure_future(system.wait(command_id, until="done" if wait else "recv"))
        either: set[asyncio.Future[Any]] = {waiting, ended_by}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            return await _end_by(ended_by.result(), system, command_id)
        result = waiting.result()
        stats = system.stats
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
            f"ipc_command_subscribers (or name another sender by --as){_of_tcp(stats, tcp)}",
            file=sys.stderr,
        )
    return 0 if (result.ok if wait else _has_arrived(result)) else 1


async def _start(system: IPCCommandSystem, timeout: float, ended_by: asyncio.Future[signal.Signals]) -> None:
    """Start it; if another send has its name, when that has ended, so that several follow each other."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout
    while not ended_by.done():
        try:
            await system.start()
        except AddressInUseError as error:
            if loop.time() >= ends:
                raise AddressInUseError(f"{error}, such as a `hftpy send` that waits") from None
            await asyncio.wait({ended_by}, timeout=NAME_AGAIN_S)
        else:
            return


def _first_signal() -> asyncio.Future[signal.Signals]:
    """What asks this process to end. A signal that it was started to ignore stays ignored."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[signal.Signals] = loop.create_future()

    def take(number: signal.Signals) -> None:
        if not first.done():
            first.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, take, number)
    return first


async def _end_by(number: signal.Signals, system: IPCCommandSystem, command_id: str) -> int:
    before = system.status(command_id)
    await system.stop()
    print(
        f"hftpy send: ended by {number.name} when the command was {before.state}:",
        *_lines(system.status(command_id)),
        sep="\n",
        file=sys.stderr,
    )
    return 128 + number


def _of_tcp(stats: dict[str, int], tcp: TcpEndpoints | None) -> str:
    if tcp is None:
        return ""
    name = tcp.key.name
    refused = {"with a key that may not connect": "tcp_denied", "without a key of ours": "tcp_failed"}
    counts = [f"{stats[key]} came {how}" for how, key in refused.items() if stats.get(key)]
    return f"; over tcp {name} must be among its ipc_tcp.peers{''.join(f'; {count}' for count in counts)}"


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
        Where their addresses are; None: nowhere on this host.
    names
        Whose; all if there are none.
    show
        Is given each record.
    tcp, peers
        Our tcp endpoints, and those whom we reach there instead of on this host.
    """

    def __init__(
        self,
        root: Path | None,
        names: list[str],
        show: Callable[[dict[str, Any]], None],
        *,
        tcp: TcpEndpoints | None = None,
        peers: Sequence[str] = (),
    ) -> None:
        self._folder = None if root is None else root / "zmq" / "command"
        self._names = names
        self._show = show
        self._peers = peers
        self._sockets: dict[Path, tuple[zmq.Socket[bytes], FrameReader]] = {}
        self._far: list[tuple[zmq.Socket[bytes], FrameReader, CurveLink]] = []
        for peer in peers if tcp is not None else ():
            assert tcp is not None
            remote = tcp.commands_of(peer)
            assert remote is not None
            socket = self._socket(None)
            link = CurveLink(socket, tcp, remote)
            loop = asyncio.get_running_loop()
            self._far.append((socket, FrameReader(loop, socket, self._reader_of(socket)), link))
            link.attach(loop)

    @staticmethod
    def _socket(path: Path | None) -> zmq.Socket[bytes]:
        socket = connect(path, zmq.SUB, receive_hwm=10_000)
        socket.setsockopt(zmq.SUBSCRIBE, TAIL_TOPIC)
        return socket

    def look(self) -> None:
        """Listen to those that are new."""
        loop = asyncio.get_running_loop()
        for path in sorted(self._folder.glob("*.ipc")) if self._folder is not None else ():
            wanted = path.stem not in self._peers and (not self._names or path.stem in self._names)
            if wanted and path not in self._sockets:
                socket = self._socket(path)
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
        for socket, reader, link in self._far:
            reader.close()
            link.close()
            socket.close(linger=0)
        self._far.clear()


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


async def tail(
    root: Path | None,
    names: list[str],
    duration: float | None,
    as_json: bool,
    tcp: TcpEndpoints | None = None,
    peers: Sequence[str] = (),
) -> int:
    """Print what happens to commands until Ctrl-C, until nobody reads it, or for `duration` seconds; see `Tail`."""

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
    watched = Tail(root, names, show, tcp=tcp, peers=peers)
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
