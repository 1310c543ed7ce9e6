"""`hftpy send` and `hftpy tail` against processes that run, and the audit log."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hftpy.errors import RootError
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.ipc.command_audit import AuditLog


async def hftpy(root: Path, *arguments: str) -> tuple[int | None, str, str]:
    environment = {**os.environ, "HFT_ROOT": str(root)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "hftpy.cli", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    root = tmp_path_factory.mktemp("r")
    root.chmod(0o700)
    system = IPCCommandSystem("mm1", root, audit=root / "audit.jsonl")
    system.register_handler("double", lambda command: 2 * command.payload["n"])
    system.register_handler("secret", lambda command: "s3cret")
    system.register_handler("fails", lambda command: 1 // 0)

    async def sleeps(command: IPCCommand) -> None:
        (root / "sleeps").touch()
        await asyncio.sleep(600)

    system.register_handler("sleeps", sleeps)
    system.connect_to_process("operator")
    await system.start()
    yield root
    await system.stop()


async def test_send(target: Path) -> None:
    assert await hftpy(target, "send", "mm1", "double", '{"n": 21}', "--wait") == (0, "42\n", "")
    assert await hftpy(target, "send", "mm1", "secret", '{"key": "s3cret"}', "--wait") == (
        0, '"s3cret"\n', "",
    )  # fmt: skip
    status, out, _ = await hftpy(target, "send", "mm1", "double", '{"n": 1}')
    assert status == 0 and ("received" in out or "done" in out)
    status, out, _ = await hftpy(target, "send", "mm1", "fails", "--wait")
    assert status == 1 and "done ZeroDivisionError: integer division" in out
    status, out, _ = await hftpy(target, "send", "mm1", "nobody", "--wait")
    assert status == 1 and "rejected no handler" in out
    status, out, _ = await hftpy(target, "send", "*", "double", '{"n": 2}', "--wait")
    assert (status, out) == (0, '{"mm1": 4}\n')
    status, _, err = await hftpy(target, "send", "mm1", "double", "--as", "stranger", "--timeout", "0.3")
    assert status == 1 and "must run, and have stranger among its ipc_command_subscribers" in err
    for payload, says in (
        ("{", "the payload must be JSON"),
        ("[" * 100_000, "the payload must be JSON: maximum recursion depth"),
        ("NaN", "a payload must hold finite numbers: JSON has neither NaN nor infinities"),
        ('{"n": [1e999]}', "a payload must hold finite numbers"),
        ("[" * 65 + "]" * 65, "a payload must be at most 64 deep"),
    ):
        status, out, err = await hftpy(target, "send", "mm1", "double", payload)
        assert (status, out) == (2, "") and err.startswith(f"hftpy: {says}") and err.count("\n") == 1
    audit = (target / "audit.jsonl").read_text()
    records = [json.loads(line) for line in audit.splitlines()]
    assert [(record["what"], record["type"], record["outcome"]) for record in records] == [
        ("received", "double", "ok"), ("received", "secret", "ok"), ("received", "double", "ok"),
        ("received", "fails", "error"), ("received", "nobody", "rejected"), ("received", "double", "ok"),
    ]  # fmt: skip
    assert "s3cret" not in audit and (target / "audit.jsonl").stat().st_mode & 0o777 == 0o600


async def test_tail(target: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "hftpy.cli", "tail", "--root", str(target),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    seen: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        while not any("mm1 says ok" in line for line in seen) or not any("done after" in line for line in seen):
            seen.append((await process.stdout.readline()).decode())

    operator = IPCCommandSystem("operator", target)
    await operator.start()
    try:
        reading = asyncio.create_task(read())
        while not reading.done():
            assert (await operator.call("mm1", "double", {"n": 4321}, timeout=20)).value == 8642
            await asyncio.wait([reading], timeout=0.1)
        reading.result()
    finally:
        await operator.stop()
        process.terminate()
        assert await process.wait() == 0
    text = "".join(seen)
    assert "operator -> mm1 double sent" in text and "operator -> mm1 double done after" in text
    assert "4321" not in text and "8642" not in text


def test_the_audit_log_is_rotated(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "a.jsonl", max_bytes=1000, files=2)
    for number in range(100):
        log.write(b"%090d\n" % number)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert (tmp_path / "a.jsonl").read_bytes().endswith(b"%090d\n" % 99) and not log.lost
    with pytest.raises(RootError, match="cannot be opened"):
        AuditLog(tmp_path / "nowhere" / "a.jsonl")


async def test_send_to_many_where_not_all_take_it(target: Path) -> None:
    other = IPCCommandSystem("mm2", target)
    other.register_handler("mixed", lambda command: 1 // 0)
    other.connect_to_process("operator")
    await other.start()
    one = IPCCommandSystem("mm3", target)
    gate = asyncio.Event()

    async def waits(command: IPCCommand) -> None:
        await gate.wait()

    one.register_handler("waits", waits)
    other.register_handler("waits", lambda command: 1, senders=["nobody"])
    one.connect_to_process("operator")
    await one.start()
    try:
        # Who has no handler for it is not among those that it ended in.
        assert await hftpy(target, "send", "*", "double", '{"n": 2}', "--wait") == (0, '{"mm1": 4}\n', "")
        status, out, _ = await hftpy(target, "send", "*", "mixed", "--wait")
        assert status == 1 and "mm2: done ZeroDivisionError" in out and "mm1: rejected no handler" in out
        assert (await hftpy(target, "send", "*", "mixed"))[0] == 0  # it has arrived
        status, out, _ = await hftpy(target, "send", "*", "waits")
        assert status == 1 and "mm2: rejected not allowed" in out and "mm3: received" in out
        status, out, _ = await hftpy(target, "send", "*", "nothing")
        assert status == 1 and out.count("rejected no handler") == 4
    finally:
        gate.set()
        await other.stop()
        await one.stop()


async def begin_send(root: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "hftpy.cli", "send", *arguments, "--timeout", "600",
        env={**os.environ, "HFT_ROOT": str(root)}, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDING)
async def test_send_that_is_ended_says_what_became_of_the_command(target: Path, number: signal.Signals) -> None:
    process = await begin_send(target, "mm1", "sleeps", "--wait")
    while not (target / "sleeps").exists():
        await asyncio.sleep(0.01)
    process.send_signal(number)
    out, err = await process.communicate()
    assert process.returncode == 128 + number and out == b""
    told = err.decode().splitlines()
    # The handler has begun: whether the sender has heard so before the signal is open.
    assert re.fullmatch(rf"hftpy send: ended by {number.name} when the command was (received|sent):", told[0])
    assert told[1].startswith("operator_") and told[1].endswith(" mm1: unknown the sender stopped") and len(told) == 2


@pytest.mark.parametrize("number", ENDING)
async def test_send_that_is_ended_before_its_target_came(target: Path, number: signal.Signals) -> None:
    process = await begin_send(target, "mm9", "sleeps")
    while not (target / "zmq" / "command" / "operator.ipc").exists():
        await asyncio.sleep(0.01)
    process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == 128 + number
    told = err.decode().splitlines()
    assert told[0] == f"hftpy send: ended by {number.name} when the command was queued:"
    assert told[1].startswith("operator_") and told[1].endswith(" mm9: no_route the sender stopped") and len(told) == 2
    assert not (target / "zmq" / "command" / "operator.ipc").exists()


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    masks = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return bool(int(masks["SigCgt"], 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals a process handles")
async def test_one_send_waits_for_the_end_of_another(target: Path) -> None:
    first = await begin_send(target, "mm1", "sleeps", "--wait")
    while not (target / "sleeps").exists():
        await asyncio.sleep(0.01)
    # As long as its own deadline.
    status, out, err = await hftpy(target, "send", "mm1", "secret", "--timeout", "0.2")
    assert (status, out) == (2, "") and "operator.ipc is in use by another process or object, such as a" in err
    second = await begin_send(target, "mm1", "secret")
    third = await begin_send(target, "mm1", "secret")
    while not catches(third.pid, signal.SIGTERM):
        await asyncio.sleep(0.01)
    third.send_signal(signal.SIGTERM)
    _, told = await third.communicate()
    assert third.returncode == 128 + signal.SIGTERM
    assert told == b"hftpy send: ended by SIGTERM before it sent anything\n"
    first.send_signal(signal.SIGINT)
    await first.communicate()
    told, _ = await second.communicate()
    assert second.returncode == 0 and b" mm1: " in told


async def test_a_signal_that_was_ignored_before_is_ignored_still(target: Path) -> None:
    """As of what a shell runs in the background, or `nohup` starts."""
    ignore = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ignore, sys.executable, "-m", "hftpy.cli", "send", "mm1", "sleeps", "--wait",
        "--timeout", "600", env={**os.environ, "HFT_ROOT": str(target)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    while not (target / "sleeps").exists():
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.2)
    assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("into", ["pipe", "full"])
async def test_tail_ends_where_nobody_can_read_it(target: Path, into: str) -> None:
    read, write = os.pipe() if into == "pipe" else (-1, os.open("/dev/full", os.O_WRONLY))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "hftpy.cli", "tail", "--root", str(target), stdout=write,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(write)
    if into == "pipe":
        os.close(read)
    operator = IPCCommandSystem("operator", target)
    await operator.start()
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        await operator.call("mm1", "double", {"n": 1}, timeout=20)
        await asyncio.wait([ended], timeout=0.1)
    _, err = ended.result()
    await operator.stop()
    assert b"Traceback" not in err and err.count(b"\n") <= 1, err
    assert process.returncode == (0 if into == "pipe" else 2)
