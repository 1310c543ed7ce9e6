"""Handlers that are called in the turn that read their command: whose task they are, and what they may do in it."""

import asyncio
import contextvars
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hftpy.ipc import CommandState, IPCCommand, IPCCommandSystem
from hftpy.ipc.begun_coroutine import BegunCoroutine


@pytest.fixture
async def pair(root: Path) -> AsyncIterator[tuple[IPCCommandSystem, IPCCommandSystem]]:
    a, b = IPCCommandSystem("a", root), IPCCommandSystem("b", root)
    a.start()
    b.connect_to_process("a")
    b.start()
    b.register_handler("first", lambda command: None)
    assert await a.ready("b", 20)
    assert (await a.call("b", "first")).ok  # from here on the lane has a task
    yield a, b
    await a.stop()
    await b.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=10)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_handler_is_one_task_from_its_first_step_to_its_last(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    tasks: list[Any] = []

    async def handler(command: IPCCommand) -> str:
        tasks.append(asyncio.current_task())
        if command.payload["waits"]:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            await asyncio.get_running_loop().create_task(asyncio.sleep(0.001))
        tasks.append(asyncio.current_task())
        return "ended"

    b.register_handler("go", handler)
    b.register_handler("plain", lambda command: tasks.append(asyncio.current_task()))
    for waits in (False, True, False, True):
        assert (await a.call("b", "go", {"waits": waits})).value == "ended"
    assert (await a.call("b", "plain")).ok
    assert len(tasks) == 9 and tasks[0] is not None and len(set(tasks)) == 1
    assert asyncio.current_task() not in tasks


async def test_a_handler_keeps_its_context_and_leaves_that_of_others_alone(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    variable = contextvars.ContextVar("variable", default="outside")

    async def handler(command: IPCCommand) -> list[str]:
        before = variable.get()
        variable.set(command.payload)
        await asyncio.sleep(0.001 if command.payload == "second" else 0)
        return [before, variable.get()]

    b.register_handler("go", handler)
    assert (await a.call("b", "go", "one")).value == ["outside", "one"]
    assert (await a.call("b", "go", "second")).value == ["one", "second"]  # the lane's own context
    assert variable.get() == "outside"


@pytest.mark.parametrize("delay", [-1.0, 0.0, 0.005])
async def test_a_handlers_own_timeout_cancels_it_alone(pair: tuple[IPCCommandSystem, ...], delay: float) -> None:
    a, b = pair
    cancelled: list[asyncio.Task[None]] = []

    async def handler(command: IPCCommand) -> str:
        inner = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        cancelled.append(inner)
        try:
            async with asyncio.timeout(delay):
                await inner
        except TimeoutError:
            return "timed out"
        return "never"

    b.register_handler("go", handler)
    for _ in range(3):
        assert (await a.call("b", "go")).value == "timed out"
    await asyncio.sleep(0)
    assert all(task.cancelled() for task in cancelled) and len(cancelled) == 3
    assert (await a.call("b", "first")).ok and b.stats["failed"] == 0


async def test_a_handler_that_cancels_itself_before_it_waits(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair

    async def handler(command: IPCCommand) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            if command.payload == "bare":
                await asyncio.sleep(0)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            task.uncancel()
            raise

    b.register_handler("go", handler)
    for payload in ("", "bare"):
        result = await a.call("b", "go", payload)
        assert result.state is CommandState.DONE and result.error == "CancelledError"
    assert (await a.call("b", "first")).ok


async def test_order_within_a_lane_where_some_handlers_wait(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    events: list[tuple[str, int]] = []

    async def waits(command: IPCCommand) -> None:
        events.append(("begin", command.payload))
        for _ in range(command.payload % 4):
            await asyncio.sleep(0)
        events.append(("end", command.payload))

    def ends(command: IPCCommand) -> None:
        events.extend([("begin", command.payload), ("end", command.payload)])

    b.register_handler("waits", waits)
    b.register_handler("ends", ends)
    calls = []
    for number in range(300):
        calls.append(a.send_command("b", "ends" if number % 3 else "waits", number))
        if number % 17 == 0:
            await asyncio.sleep(0.001)
    for command_id in calls:
        assert (await a.wait(command_id)).ok
    assert events == [(what, number) for number in range(300) for what in ("begin", "end")]


async def test_errors_of_the_first_step_and_of_later_ones(
    pair: tuple[IPCCommandSystem, ...], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair

    async def handler(command: IPCCommand) -> None:
        if command.payload:
            await asyncio.sleep(0)
        raise StopIteration("no end")  # becomes a RuntimeError, as in every coroutine

    b.register_handler("go", handler)
    b.register_handler("plain", lambda command: next(iter([])))
    for payload in (0, 1):
        result = await a.call("b", "go", payload)
        assert result.state is CommandState.DONE and result.error.startswith("RuntimeError")
    assert (await a.call("b", "plain")).error == "StopIteration"
    assert b.stats["failed"] == 3 and caplog.text.count("failed") == 3


async def test_a_long_handler_leaves_the_turn_to_others(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    loop = asyncio.get_running_loop()
    turns: list[int] = []
    handled: list[int] = []

    def slow(command: IPCCommand) -> None:
        end = loop.time() + 0.003  # longer than a slice
        while loop.time() < end:
            pass
        handled.append(command.payload)

    b.register_handler("slow", slow)
    ids = [a.send_command("b", "slow", number) for number in range(20)]

    async def count() -> None:
        while len(handled) < 20:
            turns.append(len(handled))
            await asyncio.sleep(0)

    await count()
    for command_id in ids:
        assert (await a.wait(command_id)).ok
    assert handled == list(range(20)) and len({seen for seen in turns if seen}) >= 15


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("again", [False, True])
async def test_a_handler_stops_its_system_in_its_first_step(
    pair: tuple[IPCCommandSystem, ...], waits: bool, again: bool
) -> None:
    a, b = pair
    ended: list[str] = []

    async def handler(command: IPCCommand) -> str:
        b.stop()
        if again:
            b.start()
        if waits:
            await asyncio.sleep(0.01)
        ended.append("ended")
        return "last word"

    b.register_handler("end", handler)
    result = await a.call("b", "end", timeout=5)
    if not again:
        assert result.value == "last word"
    while not ended:
        await asyncio.sleep(0.001)
    assert ended == ["ended"]
    if again:
        assert await a.ready("b", 20) and (await a.call("b", "first")).ok


async def test_the_system_is_stopped_between_the_first_step_and_the_task(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    seen: list[str] = []

    async def handler(command: IPCCommand) -> None:
        asyncio.get_running_loop().call_soon(b.stop)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("cleaned")
            raise

    b.register_handler("go", handler)
    result = await a.call("b", "go", timeout=5)
    assert result.state is CommandState.UNKNOWN and result.reason == "the receiver stopped during the handler"
    await b.stop()
    assert seen == ["cancelled", "cleaned"]


async def test_a_begun_coroutine_is_closed_with_what_awaits_it() -> None:
    seen: list[str] = []

    async def inner() -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(60)
        finally:
            seen.append("closed")

    coroutine = inner()

    async def outer() -> None:
        await BegunCoroutine(coroutine, coroutine.send(None))

    waiting = outer()
    waiting.send(None)
    waiting.close()
    assert seen == ["closed"]


async def test_what_waits_for_an_end_is_not_kept_when_it_gives_up(pair: tuple[IPCCommandSystem, ...]) -> None:
    a, b = pair
    gate = asyncio.Event()

    async def handler(command: IPCCommand) -> None:
        await gate.wait()

    b.register_handler("go", handler)
    command_id = a.send_command("b", "go", timeout=30)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.wait(command_id), 0.001)
    command = a._publisher.sender.commands[command_id]
    assert command.ends is not None and len(command.ends) <= 2
    both = [asyncio.ensure_future(a.wait(command_id)), asyncio.ensure_future(a.wait(command_id, "recv"))]
    await asyncio.sleep(0)
    gate.set()
    assert (await both[0]).final
    assert (await both[1]).state in (CommandState.RECEIVED, CommandState.DONE)


QUITTER = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem("b", sys.argv[1])
    async def late(command):
        await asyncio.sleep(0.01)
        sys.exit(3)
    def stops(command):
        system.stop()
        sys.exit(3)
    system.register_handler("ping", lambda command: None)
    system.register_handler("now", lambda command: sys.exit(3))
    system.register_handler("late", late)
    system.register_handler("timed", late, timeout=60.0, lane="other")
    system.register_handler("stops", stops)
    system.connect_to_process("a")
    system.start()
    await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["now", "late", "timed", "stops"])
@pytest.mark.parametrize("has_task", [False, True])
async def test_a_handler_that_ends_the_program_is_told_to_its_sender(root: Path, kind: str, has_task: bool) -> None:
    system = IPCCommandSystem("a", root)
    await system.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", QUITTER, str(root), stderr=asyncio.subprocess.PIPE
    )
    try:
        assert await system.ready("b", 60)
        if has_task:
            assert (await system.call("b", "ping", timeout=30)).ok
        result = await system.call("b", kind, timeout=30)
        assert result.state is CommandState.DONE and result.error == "SystemExit: 3"
        _, errors = await process.communicate()
        assert process.returncode == 3 and b"never retrieved" not in errors and b"Traceback" not in errors, errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await system.stop()
