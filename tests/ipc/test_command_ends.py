"""Whatever is awaited ends: before the start and after the stop, on another loop, and whatever handlers do."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hftpy.errors import CommandsStopped
from hftpy.ipc import CommandState, IPCCommand, IPCCommandSystem
from hftpy.ipc.command_audit import AuditLog
from hftpy.ipc.command_journal import CommandJournal


@pytest.fixture
async def pair(root: Path) -> AsyncIterator[tuple[IPCCommandSystem, IPCCommandSystem]]:
    a, b = IPCCommandSystem("a", root), IPCCommandSystem("b", root)
    a.start()
    b.connect_to_process("a")
    b.start()
    assert await a.ready("b", 20)
    yield a, b
    await a.stop()
    await b.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=10)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("stopped", [False, True])
async def test_what_waits_for_a_start_ends_by_its_deadline(root: Path, stopped: bool) -> None:
    system = IPCCommandSystem("a", root)
    if stopped:
        await system.start()
        await system.stop()
    result = await asyncio.wait_for(system.call("b", "go", timeout=0.05), 20)
    assert result.state is CommandState.NO_ROUTE and result.reason == "its target has not joined in time"
    command_id = system.send_command("b", "go", timeout=0.05)
    assert system.status(command_id).state is CommandState.QUEUED
    for until in ("recv", "done"):
        assert (await asyncio.wait_for(system.wait(command_id, until), 20)).final  # type: ignore[arg-type]
    assert system.stats["held"] == system.stats["open"] == 0


def test_what_was_sent_without_a_loop_ends_on_one_and_what_waits_on_a_closed_loop_harms_nobody(root: Path) -> None:
    system = IPCCommandSystem("a", root)
    first = system.send_command("b", "go", timeout=0.3)
    gone = asyncio.new_event_loop()
    waiting = gone.create_task(system.wait(first))
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()

    async def main() -> None:
        assert (await asyncio.wait_for(system.wait(first), 20)).final
        assert (await asyncio.wait_for(system.call("b", "go", timeout=0.05), 20)).final

    asyncio.run(main())
    with contextlib.suppress(RuntimeError):
        waiting.get_coro().close()  # type: ignore[union-attr]
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_the_status_of_what_waits_for_processes_to_connect(root: Path) -> None:
    system = IPCCommandSystem("a", root)
    await system.start()
    many, behind = system.broadcast("go"), system.send_command("b", "go")
    for command_id in (many, behind):
        status = system.status(command_id)
        assert (status.state, status.final, status.reason) == (CommandState.QUEUED, False, "")
    result = await system.call("b", "go", timeout=30, fail_fast=True)
    assert result.state is CommandState.NO_ROUTE and result.reason == "nobody has joined"
    await system.stop()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Ends(BaseException):
    pass


class Checked(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        {}[self.n]


def on_checked(checked: Checked) -> int:
    return checked.n


ENDS: dict[str, tuple[Any, str]] = {
    "half_a_pair": (ValueError("bad \udcff"), "ValueError: bad \\udcff"),
    "mute": (Mute(), "Mute: its text cannot be had: RuntimeError"),
    "ends": (Ends("now"), "Ends: now"),
    "result": ("bad \udcff", "the handler ended, but its result cannot be sent: 'utf-8' codec"),
    "object": (object(), "the handler ended, but its result cannot be sent: a payload must be of JSON types"),
    "cancels": (None, "CancelledError"),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("waits", [False, True])
async def test_a_handler_that_ends_oddly_is_told_and_the_next_is_run(
    pair: tuple[IPCCommandSystem, ...], kind: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    # What it would log of half a pair, no report of a test run in several processes can hold.
    monkeypatch.setattr(logging.getLogger("hftpy.ipc.command_lanes"), "disabled", True)
    what, error = ENDS[kind]
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    async def handler(command: IPCCommand) -> Any:
        if waits:
            await asyncio.sleep(0)
        if kind == "cancels":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(60)
        if isinstance(what, BaseException):
            raise what
        return what

    b.register_handler("odd", handler)
    b.register_handler("next", lambda command: "here")
    for _ in range(2):
        odd, after = a.send_command("b", "odd", timeout=30), a.send_command("b", "next", timeout=30)
        result = await asyncio.wait_for(a.wait(odd), 20)
        assert result.state is CommandState.DONE and result.error.startswith(error), result
        assert (await asyncio.wait_for(a.wait(after), 20)).value == "here"
    assert b.stats["waiting"] == 0 and not told


async def test_a_schema_that_fails_by_itself_refuses(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    b.register_handler("go", on_checked)
    result = await asyncio.wait_for(a.call("b", "go", {"n": 3}, timeout=30), 20)
    assert (result.state, result.reason) == (CommandState.REJECTED, "bad payload") and result.error == "KeyError: 3"


async def test_whoever_stops_the_system_from_inside_has_the_last_word(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    gate = asyncio.Event()

    async def stubborn(command: IPCCommand) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            gate.set()
        return "ended all the same"

    async def stops(command: IPCCommand) -> str:
        b.stop()
        await gate.wait()
        await asyncio.sleep(0.02)
        await b.stop()  # again, as whoever cleans up does
        return "last word"

    b.register_handler("stubborn", stubborn, lane="other")
    b.register_handler("stops", stops)
    held = a.send_command("b", "stubborn", timeout=30)
    await a.wait(held, "recv")
    result = await asyncio.wait_for(a.call("b", "stops", timeout=30), 20)
    assert result.value == "last word"
    assert (await a.wait(held)).state is CommandState.UNKNOWN


async def test_handlers_that_wait_for_the_stop_do_not_wait_for_each_other(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair

    async def cleans_up(command: IPCCommand) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await b.stop()

    for number in range(2):
        b.register_handler(f"go{number}", cleans_up, lane=str(number))
        await a.wait(a.send_command("b", f"go{number}", timeout=30), "recv")
    await asyncio.wait_for(b.stop(), 20)


async def test_giving_up_a_stop_does_not_cancel_a_handler_twice(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    seen: list[str] = []

    async def handler(command: IPCCommand) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            seen.append("cleaned up")

    b.register_handler("go", handler)
    await a.wait(a.send_command("b", "go", timeout=30), "recv")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(b.stop(), 0.01)
    await b.stop()
    assert seen == ["cleaned up"]


async def test_whoever_waits_for_a_target_is_told_of_the_stop(root: Path) -> None:
    system = IPCCommandSystem("a", root)
    early = asyncio.create_task(system.ready("b"))  # before the start, which may still come
    await asyncio.sleep(0)
    await system.start()
    waiting = [asyncio.create_task(system.ready(target, timeout)) for target in ("b", "*") for timeout in (None, 600)]
    await asyncio.sleep(0)
    system.stop()
    await system.start()  # at once: those waited for a target of the life before
    for task in (early, *waiting):
        with pytest.raises(CommandsStopped, match=r"a was stopped: [b*] will not be ready for its commands"):
            await asyncio.wait_for(task, 20)
    assert not await system.ready("b", 0.01)
    await system.stop()
    with pytest.raises(CommandsStopped):
        await asyncio.wait_for(system.ready("b"), 20)
    again = IPCCommandSystem("b", root)
    again.connect_to_process("a")
    await again.start()
    await system.start()
    assert await asyncio.wait_for(system.ready("b"), 20)
    assert not system._publisher.sender.on_ready and not system._waiters
    await again.stop()
    await system.stop()


IN_CHILD = "belongs to the process that made it, not to its forked child"


async def test_a_forked_child_cannot_send_and_harms_nobody(
    pair: tuple[IPCCommandSystem, ...], root: Path
) -> None:
    a, b = pair
    b.register_handler("go", lambda command: "here")
    assert (await a.call("b", "go")).ok
    read, write = os.pipe()
    child = os.fork()
    if not child:
        said: list[str] = []
        try:
            for call in (
                lambda: a.send_command("b", "go"),
                lambda: a.broadcast("go"),
                lambda: a.start(),
                lambda: a.connect_to_process("b"),
                lambda: a.ready("b").send(None),
                lambda: a.call("b", "go").send(None),
            ):
                try:
                    call()
                except RuntimeError as error:
                    said.append(str(error))
            a.stop()
            b.stop()
            os.write(write, "\n".join(said).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        said = (await asyncio.to_thread(file.read)).splitlines()
    assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
    assert said == [f"the command system of a {IN_CHILD}"] * 6
    assert (await asyncio.wait_for(a.call("b", "go"), 20)).ok and (root / "zmq" / "command" / "a.ipc").exists()


def full_after(monkeypatch: pytest.MonkeyPatch, module: Any, room: list[int]) -> None:
    """Let a file take `room[0]` bytes more; then the disk is full."""
    write = os.write

    def limited(file: int, line: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(file, line[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(module, "write", limited)


def test_a_journal_whose_disk_was_full_loses_no_later_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, room = CommandJournal(root, "a"), [1 << 20]
    full_after(monkeypatch, os, room)
    journal.started("b", "life", "one", 0.0)
    room[0] = 10
    for _ in range(2):
        with pytest.raises(OSError, match=r"bytes were written|No space"):
            journal.started("b", "life", "two", 0.0)
    room[0] = 1 << 20
    journal.started("b", "life", "three", 0.0)
    journal.close()
    after = CommandJournal(root, "a")
    assert [after.find("b", "life", name) for name in ("one", "two", "three")] == [True, False, True]
    after.close()
    after.path.unlink()


def test_an_audit_log_whose_disk_was_full_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, room = AuditLog(tmp_path / "a.jsonl"), [1 << 20]
    full_after(monkeypatch, os, room)
    log.write(b'{"n":1}\n')
    room[0] = 3
    log.write(b'{"n":2}\n')
    log.write(b'{"n":3}\n')
    assert log.lost == 2
    room[0] = 1 << 20
    log.write(b'{"n":4}\n')
    log.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"n":1}\n{"n\n{"n":4}\n'


def test_an_audit_log_that_cannot_be_rotated_goes_on(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "a.jsonl", max_bytes=20, files=1)
    (tmp_path / "a.jsonl.1").mkdir()
    for number in range(5):
        log.write(b'{"n":%d}\n' % number)
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 5
    (tmp_path / "a.jsonl").unlink()  # somebody has moved it away
    (tmp_path / "a.jsonl.1").rmdir()
    log.write(b'{"n":5}\n')
    log.write(b'{"n":6}\n')
    assert log.lost == 0 and (tmp_path / "a.jsonl").read_bytes() == b'{"n":5}\n{"n":6}\n'
    log.close()


async def test_what_is_held_behind_a_handler_that_fails_is_run(pair: tuple[IPCCommandSystem, ...]) -> None:
    """The first is lost and sent again; those after it wait for it, and are begun in its turn."""
    a, b = pair
    b.register_handler("first", lambda command: None)
    assert (await a.call("b", "first")).ok  # from here on the lane has a task

    def ends(command: IPCCommand) -> None:
        raise Ends("now")

    b.register_handler("ends", ends)
    sender: Any = a._publisher.sender
    transmit, sender._transmit = sender._transmit, lambda frame: None
    lost = a.send_command("b", "ends", timeout=30)
    sender._transmit = transmit
    held = [a.send_command("b", "first", timeout=30) for _ in range(3)]
    assert (await asyncio.wait_for(a.wait(lost), 20)).error == "Ends: now"
    for command_id in held:
        assert (await asyncio.wait_for(a.wait(command_id), 20)).ok
