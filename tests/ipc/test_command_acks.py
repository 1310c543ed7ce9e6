"""Acknowledged commands over real ZeroMQ: what their senders are told, and what receivers refuse."""

import asyncio
import datetime
import enum
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from hftpy.ipc import CommandResult, CommandState, IPCCommand, IPCCommandSystem, Rejection
from hftpy.ipc.command_protocol import Answer, Done, Hello, encode_answer, encode_downstream, protocol_topic


class Systems:
    """Several systems, each connected to each other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[str, IPCCommandSystem] = {}

    def add(self, *names: str, **options: Any) -> list[IPCCommandSystem]:
        for name in names:
            self.made[name] = IPCCommandSystem(name, self.root, **options)
            for other in self.made.values():
                if other.process_id != name:
                    self.made[name].connect_to_process(other.process_id)
                    other.connect_to_process(name)
            self.made[name].start()
        return [self.made[name] for name in names]


@pytest.fixture
async def systems(root: Path) -> AsyncIterator[Systems]:
    made = Systems(root)
    yield made
    for system in made.made.values():
        await system.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_call_returns_what_the_handler_returns(systems: Systems) -> None:
    a, b = systems.add("a", "b")
    b.register_handler("double", lambda command: {"twice": 2 * command.payload["n"]})

    async def later(command: IPCCommand) -> list[Any]:
        await asyncio.sleep(0.01)
        return [command.payload, None]

    b.register_handler("later", later)
    assert await a.ready("b", 20) and await a.ready("*", 0)
    result = await a.call("b", "double", {"n": 4})
    assert isinstance(result, CommandResult) and result.ok and result.final and result.value == {"twice": 8}
    assert result.state is CommandState.DONE and result.target_id == "b" and result.command_type == "double"
    assert a.status(result.command_id) == result == await a.wait(result.command_id)
    assert (await a.call("b", "later", "any JSON")).value == ["any JSON", None]
    many = [a.send_command("b", "double", {"n": n}) for n in range(1000)]
    assert [(await a.wait(command_id)).value["twice"] for command_id in many] == list(range(0, 2000, 2))
    assert a.stats["ended_done"] == 1002 and a.stats["open"] == 0 and b.stats["duplicates"] == 0


async def test_errors_and_rejections(systems: Systems) -> None:
    a, b = systems.add("a", "b")

    class Order(msgspec.Struct):
        price: float
        tags: list[str] = []

    got: list[Any] = []

    def on_order(order: Order, command: IPCCommand) -> str:
        got.append(order)
        return command.sender_id

    def alone(order: Order) -> float:
        return order.price

    b.register_handler("alone", alone)

    def fails(command: IPCCommand) -> None:
        raise KeyError("x" * 1000)

    async def slow(command: IPCCommand) -> None:
        await asyncio.sleep(60)

    b.register_handler("order", on_order)
    b.register_handler("fails", fails)
    b.register_handler("slow", slow, timeout=0.05)
    b.register_handler("odd", lambda command: {1, 2})
    b.register_handler("large", lambda command: "x" * (1 << 20))
    b.register_handler("guarded", got.append, senders=["c"])
    result = await a.call("b", "nobody", {})
    assert (result.state, result.reason) == (CommandState.REJECTED, Rejection.NO_HANDLER) and not result.ok
    result = await a.call("b", "fails", {})
    assert result.state is CommandState.DONE and result.error.startswith("KeyError: ") and len(result.error) < 600
    assert not result.ok
    result = await a.call("b", "slow", {})
    assert result.error == "TimeoutError: the handler took longer than 0.05 s"
    for kind in ("odd", "large"):
        assert "the handler ended, but its result cannot be sent" in (await a.call("b", kind, {})).error
    result = await a.call("b", "guarded", {})
    assert (result.state, result.reason) == (CommandState.REJECTED, Rejection.NOT_ALLOWED)
    result = await a.call("b", "order", {"price": "many"})
    assert (result.state, result.reason) == (CommandState.REJECTED, Rejection.BAD_PAYLOAD)
    assert "Expected `float`, got `str`" in result.error
    assert (await a.call("b", "order", {"price": 1.5, "tags": ["x"]})).value == "a" and got == [Order(1.5, ["x"])]
    assert (await a.call("b", "alone", {"price": 2.5})).value == 2.5
    stats = b.stats
    assert (stats["no_handler"], stats["not_allowed"], stats["bad_payload"]) == (1, 1, 1)


async def test_payloads(systems: Systems) -> None:
    a, b = systems.add("a", "b")
    b.register_handler("echo", lambda command: command.payload)

    class Color(enum.Enum):
        RED = "red"

    when = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    payload = {"d": Decimal("1.10"), "t": when, "day": when.date(), "c": Color.RED, "b": b"\x00\xff", "n": [None, 1.5]}
    wanted = {"d": "1.10", "t": "2024-01-02T03:04:05+00:00", "day": "2024-01-02", "c": "red", "b": "AP8=",
              "n": [None, 1.5]}  # fmt: skip
    assert (await a.call("b", "echo", payload)).value == wanted
    for value in ([1, "é"], "text", 7, 0.5, True, {}, []):
        assert (await a.call("b", "echo", value)).value == value
    deep: list[Any] = []
    for _ in range(63):
        deep = [deep]
    assert (await a.call("b", "echo", deep)).value == deep
    for wrong in ([deep], float("inf"), {"x": Decimal("NaN")}):
        with pytest.raises(ValueError):
            a.send_command("b", "echo", wrong)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        await a.call("b", "echo", {}, timeout=0)
    with pytest.raises(KeyError):
        a.status("never sent")


async def test_groups_and_all(systems: Systems, until: Callable[..., Any]) -> None:
    a, *others = systems.add("a", "api.x", "api.y", "other")
    for system in others:
        system.register_handler("who", lambda command, system=system: system.process_id)
    await until(lambda: a.stats["acknowledged"] == 3)
    result = await a.call("api.*", "who")
    assert {name: member.value for name, member in result.members.items()} == {"api.x": "api.x", "api.y": "api.y"}
    assert result.ok and result.final
    others[0].register_handler("who", lambda command: 1 // 0)
    result = await a.wait(a.broadcast("who"))
    assert result.state is CommandState.DONE and result.error == "ZeroDivisionError: integer division or modulo by zero"
    assert [result.members[name].ok for name in ("api.x", "api.y", "other")] == [False, True, True]
    del others[1]._dispatcher.handlers["who"]
    result = await a.wait(a.broadcast("who"))
    assert result.state is CommandState.DONE and result.members["api.y"].reason == Rejection.NO_HANDLER
    result = await a.call("nobody.*", "who")
    assert result.state is CommandState.NO_ROUTE and not result.members


async def test_nobody_there(systems: Systems) -> None:
    (a,) = systems.add("a")
    result = await a.call("b", "go", {}, fail_fast=True)
    assert (result.state, result.reason) == (CommandState.NO_ROUTE, "nobody has joined")
    command_id = a.send_command("b", "go", {}, timeout=0.1)
    assert a.status(command_id).state is CommandState.QUEUED and not a.status(command_id).final
    assert (await a.wait(command_id)).state is CommandState.NO_ROUTE
    assert not await a.ready("b", 0.01)
    waiting = a.send_command("b", "go", {}, timeout=20)
    (b,) = systems.add("b")
    b.register_handler("go", lambda command: "late, but in time")
    assert (await a.wait(waiting)).value == "late, but in time"
    assert (await a.wait(a.send_command("b", "go", {}, ack="recv"))).state is CommandState.RECEIVED
    assert (await a.wait(a.send_command("b", "go", {}, ack="none"))).state is CommandState.SENT


async def test_received_is_told_before_the_end_and_a_late_answer_resolves_unknown(
    systems: Systems, until: Callable[..., Any]
) -> None:
    a, b = systems.add("a", "b")
    go = asyncio.Event()

    async def slow(command: IPCCommand) -> str:
        await go.wait()
        return "at last"

    b.register_handler("slow", slow)
    await a.ready("b")
    first, second = (a.send_command("b", "slow", {}, timeout=timeout) for timeout in (1.0, 0.5))
    result = await a.wait(first, until="recv")
    assert result.state is CommandState.RECEIVED and not result.final
    assert (await a.wait(first)).state is CommandState.UNKNOWN
    assert a.status(first).final and a.stats["ended_unknown"] >= 1
    go.set()
    await until(lambda: a.status(first).value == "at last")
    assert a.status(first).state is CommandState.DONE
    # The second one waited behind it until its deadline had passed.
    await until(lambda: a.status(second).state is CommandState.REJECTED)
    assert a.status(second).reason == Rejection.EXPIRED and b.stats["handled"] == 1
    assert a.stats["resolved"] == 2 and a.stats["ended_unknown"] == 0


async def test_lanes_and_order(systems: Systems) -> None:
    a, b = systems.add("a", "b")
    order: list[Any] = []
    go = asyncio.Event()

    async def slow(command: IPCCommand) -> None:
        order.append(command.payload)
        await go.wait()

    b.register_handler("slow", slow)
    b.register_handler("fast", lambda command: order.append(command.payload))
    b.register_handler("beside", lambda command: order.append(command.payload), lane="beside")
    for kind in ("halt", "cancel_all", "shutdown"):
        b.register_handler(kind, lambda command: order.append(command.command_type))
    await a.ready("b")
    sent = [a.send_command("b", "slow", 0, timeout=60)]
    sent += [a.send_command("b", "fast", n, timeout=60) for n in range(1, 9_000)]
    for kind in ("halt", "cancel_all", "shutdown"):
        assert (await a.call("b", kind)).ok
    assert order == [0, "halt", "cancel_all", "shutdown"]
    assert (await a.call("b", "beside", "x", timeout=60)).ok
    go.set()
    for command_id in sent:
        assert (await a.wait(command_id)).ok
    assert order == [0, "halt", "cancel_all", "shutdown", "x", *range(1, 9_000)]


async def test_two_that_call_each_other(systems: Systems) -> None:
    a, b = systems.add("a", "b")

    def relay(system: IPCCommandSystem, to: str) -> Callable[[IPCCommand], Any]:
        async def on_call(command: IPCCommand) -> Any:
            depth = command.payload
            return depth if depth == 0 else (await system.call(to, f"call{depth - 1}", depth - 1)).value

        return on_call

    for depth in range(6):
        a.register_handler(f"call{depth}", relay(a, "b"), lane=f"{depth}")
        b.register_handler(f"call{depth}", relay(b, "a"), lane=f"{depth}")
    assert (await a.call("b", "call5", 5, timeout=20)).value == 0

    # Both wait for each other in the same lane; their results go past it.
    async def ask(command: IPCCommand) -> Any:
        return (await a.call("b", "answer", 1)).value

    a.register_handler("ask", ask)
    b.register_handler("answer", lambda command: 7)
    assert (await b.call("a", "ask")).value == 7


@pytest.mark.parametrize("sync", [False, True])
async def test_the_handler_that_stops_its_system_is_answered(systems: Systems, sync: bool) -> None:
    a, b = systems.add("a", "b")

    async def shutdown(command: IPCCommand) -> str:
        await b.stop()
        return "stopped"

    def shutdown_sync(command: IPCCommand) -> str:
        b.stop()
        return "stopped"

    async def hangs(command: IPCCommand) -> None:
        await asyncio.sleep(60)

    b.register_handler("hangs", hangs)
    b.register_handler("shutdown", shutdown_sync if sync else shutdown)
    await a.ready("b")
    running, waiting = (a.send_command("b", "hangs", timeout=20) for _ in range(2))
    await a.wait(waiting, "recv")
    assert (await a.call("b", "shutdown", timeout=20)).value == "stopped"
    result = await a.wait(running)
    assert (result.state, result.reason) == (CommandState.UNKNOWN, "the receiver stopped during the handler")
    result = await a.wait(waiting)
    assert (result.state, result.reason, result.error) == (CommandState.REJECTED, "busy", "the receiver stops")


async def test_a_sender_that_stops_ends_everything(systems: Systems) -> None:
    a, b = systems.add("a", "b")

    async def hangs(command: IPCCommand) -> None:
        await asyncio.sleep(60)

    b.register_handler("hangs", hangs)
    await a.ready("b")
    waits = [asyncio.create_task(a.call("b", "hangs", timeout=60)), asyncio.create_task(a.call("c", "x", timeout=60))]
    await asyncio.sleep(0.05)
    await a.stop()
    assert [(await task).state for task in waits] == [CommandState.UNKNOWN, CommandState.NO_ROUTE]


CHILD = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem('b', sys.argv[1])
    starts = []
    async def slow(command):
        print('start', command.command_id, flush=True)
        await asyncio.sleep(float(command.payload))
        return 'slow'
    system.register_handler('slow', slow)
    system.register_handler('again', slow, idempotent=True, lane='again')
    system.connect_to_process('a')
    system.start()
    await asyncio.sleep(300)
asyncio.run(main())
"""


async def test_a_peer_that_is_killed_and_one_that_is_stopped(root: Path, until: Callable[..., Any]) -> None:
    a = IPCCommandSystem("a", root)
    await a.start()
    children: list[subprocess.Popen[str]] = []

    def child() -> subprocess.Popen[str]:
        made = subprocess.Popen([sys.executable, "-c", CHILD, root], stdout=subprocess.PIPE, text=True)
        children.append(made)
        return made

    async def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return (await asyncio.to_thread(process.stdout.readline)).strip()

    try:
        first = child()
        assert await a.ready("b", 60)
        once = a.send_command("b", "slow", 30, timeout=60)
        again = a.send_command("b", "again", 0.5, timeout=60)
        assert {await line(first), await line(first)} == {f"start {once}", f"start {again}"}
        behind = a.send_command("b", "slow", 0, timeout=60)
        await a.wait(behind, "recv")
        first.send_signal(signal.SIGKILL)
        first.wait()
        await until(lambda: not a._publisher.peers)
        assert not a.status(once).final
        second = child()
        assert await line(second) == f"start {again}"  # may run again, and alone does
        assert (await a.wait(again)).value == "slow"
        for command_id in (once, behind):
            result = await a.wait(command_id)
            assert (result.state, result.reason) == (CommandState.UNKNOWN, "the receiver was restarted")
        # Stopped: what is sent waits, and runs once.
        os.kill(second.pid, signal.SIGSTOP)
        sent = [a.send_command("b", "slow", 0, timeout=60) for _ in range(500)]
        await asyncio.sleep(1)
        assert not any(a.status(command_id).final for command_id in sent)
        os.kill(second.pid, signal.SIGCONT)
        starts = [await line(second) for _ in sent]
        assert starts == [f"start {command_id}" for command_id in sent]
        assert all([(await a.wait(command_id)).ok for command_id in sent])
    finally:
        for process in children:
            process.kill()
            process.communicate()
        await a.stop()
        for left in (root / "zmq" / "command").glob("b.ipc*"):
            left.unlink()


async def test_what_a_hostile_peer_says_is_refused_and_counted(systems: Systems, until: Callable[..., Any]) -> None:
    a, b = systems.add("a", "b")
    b.register_handler("go", lambda command: 1, senders=["a"])
    await a.ready("b")
    folder = systems.root / "zmq" / "command"
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{folder}/a.ipc")
        socket.send(b"\x01" + protocol_topic("evil"))
        frame = await asyncio.to_thread(socket.recv)
        assert frame.startswith(protocol_topic("evil") + b"H")
        boot = json.loads(frame[len(protocol_topic("evil")) + 1 :])["boot"]
        for wrong in (b"\x02", b"\x02{", b"\x02[]", b"\x02" + b"[" * 10_000, b"\x02" + json.dumps({"id": 1}).encode()):
            socket.send(wrong)
        socket.send(encode_answer(Answer("nobody", "x", boot, recv=["x"])))
        socket.send(encode_answer(Answer("evil", "x", "other", hello=True)))
        socket.send(encode_answer(Answer("b", "forged", boot, done=[Done("a_1_1", "ok")], missing=["a_1_1"])))
        await until(lambda: a.stats["malformed_answers"] == 5 and a.stats["refused_answers"] == 3)
    assert (await a.call("b", "go")).value == 1
    # A publisher that claims to be somebody else, and nonsense in the protocol's own frames.
    b.connect_to_process("liar")
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{folder}/liar.ipc")
        for _ in range(3):
            await asyncio.to_thread(socket.recv)
        fields = {"command_id": "a_1_1", "sender_id": "a", "target_id": "b", "command_type": "go", "timestamp": 1}
        deep = b"[" * 100 + b"]" * 100
        for number, more in enumerate(({}, {"boot": boot, "seq": 1}, {"boot": boot, "seq": 1 << 62, "low": 1 << 62})):
            body = json.dumps({**fields, "command_id": f"a_1_{number}", "payload": {}, **more}).encode()
            socket.send(b"b.go".ljust(64) + body)
        socket.send(b"b.go".ljust(64) + json.dumps({**fields, "payload": 0}).encode()[:-2] + deep + b"}")
        socket.send(protocol_topic("b") + b"H{")
        socket.send(protocol_topic("b") + b"A[]")
        socket.send(protocol_topic("b") + b"Cx")
        socket.send(protocol_topic("b") + b"?")
        socket.send(encode_downstream("b", Hello("a", boot, 2, {"b": 1 << 62})))
        await until(lambda: b.stats["malformed"] == 4 and b.stats["not_allowed"] >= 2)
    (folder / "liar.ipc").unlink(missing_ok=True)
    assert (await a.call("b", "go")).value == 1
    assert b.stats["handled"] == 2


DURABLE_CHILD = """
import asyncio, sys
from hftpy.ipc import IPCCommandSystem
async def main():
    system = IPCCommandSystem('b', sys.argv[1])
    async def pay(command):
        print('start', command.command_id, flush=True)
        await asyncio.sleep(float(command.payload))
        return 'paid'
    system.register_handler('pay', pay, durable=True)
    system.register_handler('again', pay, durable=True, idempotent=True)
    system.connect_to_process('a')
    system.start()
    await asyncio.sleep(300)
asyncio.run(main())
"""


async def test_durable_commands_across_a_crash(root: Path, until: Callable[..., Any]) -> None:
    a = IPCCommandSystem("a", root)
    await a.start()
    children: list[subprocess.Popen[str]] = []

    def child() -> subprocess.Popen[str]:
        made = subprocess.Popen([sys.executable, "-c", DURABLE_CHILD, root], stdout=subprocess.PIPE, text=True)
        children.append(made)
        return made

    async def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return (await asyncio.to_thread(process.stdout.readline)).strip()

    try:
        first = child()
        assert await a.ready("b", 60)
        ended = await a.call("b", "pay", 0, timeout=60)
        assert ended.value == "paid" and await line(first) == f"start {ended.command_id}"
        running, *behind = (a.send_command("b", "pay", n, timeout=60) for n in (30, 0, 0))
        assert await line(first) == f"start {running}"
        await a.wait(behind[-1], "recv")
        first.kill()
        first.wait()
        second = child()
        # What was started is not started again; what was not is run now, in its order.
        for command_id in behind:
            assert (await a.wait(command_id)).value == "paid"
            assert await line(second) == f"start {command_id}"
        result = await a.wait(running)
        assert (result.state, result.reason) == (CommandState.UNKNOWN, "the receiver was restarted")
        again = a.send_command("b", "again", 0.3, timeout=60)
        assert await line(second) == f"start {again}"
        second.kill()
        second.wait()
        third = child()
        assert await line(third) == f"start {again}"
        assert (await a.wait(again)).value == "paid"
    finally:
        for process in children:
            process.kill()
            process.communicate()
        await a.stop()
        for left in [*(root / "zmq" / "command").glob("b.ipc*"), *(root / "commands").iterdir()]:
            left.unlink()
