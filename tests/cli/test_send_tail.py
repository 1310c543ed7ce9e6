"""`hftpy send` and `hftpy tail` against processes that run, and the audit log."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hftpy.errors import RootError
from hftpy.ipc import IPCCommandSystem
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
    status, _, err = await hftpy(target, "send", "mm1", "double", "{")
    assert status == 2 and "the payload must be JSON" in err
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
