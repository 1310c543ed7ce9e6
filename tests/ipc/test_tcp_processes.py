"""Real processes over tcp: killed, stopped, ended without a word, forked."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ipc_observer import Observer
from tcp_net import TcpNet

from hftpy.common.events import Gap
from hftpy.ipc import CommandState, TcpEndpoints

FAR = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem, IPCPublisher, TcpEndpoints

folder, root, at, peer, market, log = sys.argv[1:7]

async def main():
    tcp = TcpEndpoints(
        "far", folder=folder, serve={"commands": at, "kraken.ticker": market}, peers={"near": {"commands": peer}}
    )
    system = IPCCommandSystem("far", root, tcp=tcp)
    starts = open(log, "a", buffering=1)
    system.register_handler("go", lambda command: starts.write(f"{command.payload}\\n"))
    system.connect_to_process("near")
    system.start()
    publisher = IPCPublisher(root, tcp=tcp)
    number = 0
    while True:
        number += 1
        publisher.send_ticker(
            exchange="kraken", symbol="btc/usd", bid_price=number, bid_volume=1, ask_price=number, ask_volume=1
        )
        await asyncio.sleep(0.005)

asyncio.run(main())
"""


@pytest.fixture
def net(tmp_path: Path) -> TcpNet:
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "far").mkdir(mode=0o700)
    return TcpNet(tmp_path / "keys")


async def test_a_process_that_is_killed_and_stopped(
    root: Path, tmp_path: Path, net: TcpNet, until: Callable[..., Any]
) -> None:
    """No command runs twice, each has an end; market data says what was lost, and goes on."""
    net.key("far"), net.key("near")
    log = tmp_path / "starts"
    arguments = [
        sys.executable, "-W", "error", "-c", FAR, str(net.folder), str(tmp_path / "far"), net.at("far"), net.at("near"),
        net.at("market"), str(log),
    ]  # fmt: skip
    near = net.system("near", root)
    near.start()
    tcp = TcpEndpoints("near", folder=net.folder, peers={"far": {"kraken.ticker": net.at("market")}})
    subscriber = net.subscriber_of(tcp, root)
    observer = Observer()
    subscriber.bind_observer(observer)
    task = asyncio.create_task(subscriber.start())
    sent = []
    child = subprocess.Popen(arguments)
    try:
        assert await near.ready("far", 30)
        for how in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
            before = len(observer.log)
            await until(lambda before=before: len(observer.log) > before + 10)
            sent += [near.send_command("far", "go", len(sent) + n, timeout=20.0) for n in range(200)]
            await asyncio.sleep(0.01)
            child.send_signal(how)
            sent += [near.send_command("far", "go", len(sent) + n, timeout=20.0) for n in range(50)]
            if how == signal.SIGKILL:
                child.wait()
                child = subprocess.Popen(arguments)
                await until(lambda: near.stats["acknowledged"] == 0)
            else:
                await asyncio.sleep(0.5)
                child.send_signal(signal.SIGCONT)
            assert await near.ready("far", 30)
        results = [await near.wait(command_id) for command_id in sent]
        before = len(observer.log)
        await until(lambda: len(observer.log) > before + 10)
    finally:
        child.kill()
        child.wait()
        subscriber.stop()
        await task
    ends = Counter(str(result.state) for result in results)
    starts = Counter(log.read_text().split())
    assert set(ends) <= {"done", "unknown"} and ends["done"] >= len(sent) // 2, ends
    assert max(starts.values()) == 1
    done = [number for number, result in enumerate(results) if result.state is CommandState.DONE]
    assert all(starts[str(number)] == 1 for number in done)
    restarts = [item for item in observer.log if isinstance(item, Gap) and item.lost is None]
    assert len(restarts) == subscriber.stats["restarts"] == 2
    # Between the restarts nothing is out of order, and what is missing was told.
    last = 0.0
    for item in observer.log:
        if isinstance(item, Gap):
            last = 0.0 if item.lost is None else last + item.lost
        elif hasattr(item, "bidPrice"):
            assert item.bidPrice > last
            last = item.bidPrice
    await near.stop()


ENDS = """
import asyncio, os, sys, threading, time
from hftpy.ipc import IPCCommandSystem, IPCPublisher, TcpEndpoints

folder, root, at, how = sys.argv[1:5]
tcp = TcpEndpoints("far", folder=folder, serve={"commands": at, "kraken.ticker": "tcp://:0"})
system = IPCCommandSystem("far", root, tcp=tcp)
system.start()
publisher = IPCPublisher(root, tcp=tcp)
publisher.open("kraken", "ticker")
assert [thread.name for thread in threading.enumerate()].count("hft-curve") == 1
if how == "fork":
    pid = os.fork()
    if pid == 0:
        # The child owns nothing, and may have addresses of its own.
        other = IPCCommandSystem("far2", root)
        other.start()
        other.stop()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert system.tcp_endpoint == at
if how == "raise":
    raise SystemExit(3)
if how == "loop":
    async def main():
        await system.start()
        await asyncio.sleep(0.1)
    asyncio.run(main())
if how == "twice":
    for _ in range(20):
        system.stop()
        system.start()
        assert system.tcp_endpoint == at
"""


@pytest.mark.parametrize("how", ["", "fork", "raise", "loop", "twice"])
def test_a_program_that_ends_without_a_word(tmp_path: Path, net: TcpNet, how: str) -> None:
    net.key("far")
    root = tmp_path / "far"
    script = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", ENDS]
    ended = subprocess.run(
        [*script, str(net.folder), str(root), net.at("far"), how], check=False, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == (3 if how == "raise" else 0), ended.stderr
    left = [path for path in root.rglob("*") if not path.is_dir() and path.parent.name != "lives"]
    assert ended.stderr == "" and not left


async def test_threads_and_descriptors_do_not_grow(root: Path, net: TcpNet, until: Callable[..., Any]) -> None:
    a, b = net.system("a", root), net.system("b", root)
    b.register_handler("go", lambda command: command.payload)
    a.connect_to_process("b"), b.connect_to_process("a")

    async def round_trip() -> None:
        a.start(), b.start()
        assert (await a.call("b", "go", 5, timeout=20.0)).value == 5
        await a.stop(), await b.stop()

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    await round_trip()
    await until(lambda: descriptors() == descriptors())
    before, threads = descriptors(), threading.active_count()
    for _ in range(10):
        await round_trip()
    await until(lambda: descriptors() <= before, f"{descriptors()} descriptors are back to {before}")
    assert threading.active_count() == threads


async def test_over_ip_version_6(root: Path, net: TcpNet) -> None:
    a, b = net.system("a", root), net.system("b", root)
    b.register_handler("go", lambda command: command.payload)
    for system, name in ((a, "a"), (b, "b")):
        net.use(name, net.at(name).replace("127.0.0.1", "[::1]"))
        system.endpoints._serve["commands"] = net.at(name)
    try:
        a.start(), b.start()
    except OSError as error:
        pytest.skip(f"no loopback of version 6: {error}")
    a.connect_to_process("b"), b.connect_to_process("a")
    assert a.tcp_endpoint == net.at("a")
    assert (await a.call("b", "go", 5, timeout=20.0)).value == 5
    await a.stop(), await b.stop()
