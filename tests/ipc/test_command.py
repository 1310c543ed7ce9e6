"""IPCCommandSystem over real ZeroMQ: between systems, processes and plain sockets."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
import zmq

from hftpy.errors import AddressInUseError, RootError
from hftpy.ipc import CommandId, IPCCommand, IPCCommandSystem
from hftpy.ipc.command import Keys, decode_frame, encode_head, encode_payload, encode_tail

FIELDS = {"command_id", "sender_id", "target_id", "command_type", "payload", "timestamp"}


class Pair:
    """A gateway that sends and a strategy that receives."""

    def __init__(self, root: Path, receiver: str = "mm1", **kwargs: Any) -> None:
        self.sender = IPCCommandSystem("gateway", root, **kwargs)
        self.receiver = IPCCommandSystem(receiver, root, **kwargs)
        self.got: list[IPCCommand] = []
        self.receiver.register_handler("go", self.got.append)
        self.receiver.connect_to_process("gateway")

    async def stop(self) -> None:
        await self.sender.stop()
        await self.receiver.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def pair(root: Path) -> Any:
    made = Pair(root)
    yield made
    await made.stop()


def frame_of(target: str, kind: str, number: int = 1, sender: str = "plain", **changes: Any) -> bytes:
    """A frame by the specification alone."""
    fields = {
        "command_id": f"{sender}_1702345678000000_{number}", "sender_id": sender, "target_id": target,
        "command_type": kind, "timestamp": 1702345678000000, "payload": {"n": number},
    }  # fmt: skip
    return f"{target}.{kind}".encode().ljust(64) + json.dumps({**fields, **changes}).encode()


def test_json_has_the_six_fields() -> None:
    command = IPCCommand("a_1_1", "a", "*", "ping", {"x": [1, "é", None]}, 5)
    assert set(json.loads(command.to_json())) == FIELDS
    assert command.to_json() is command.to_json()
    text = command.to_json()[:-1] + ',"later":[1]}'
    assert IPCCommand.from_json(text) == command == IPCCommand.from_json(text.encode())
    assert set(IPCCommand.__slots__) == FIELDS | {"_json_cache"}
    assert "x" not in repr(command).split("command_id")[0] and "payload" not in repr(command)


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": 1.5}, {"timestamp": True}, {"sender_id": 1},
        {"sender_id": "a b"}, {"target_id": ""}, {"command_type": "a.b"}, {"command_id": None},
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(changes: dict[str, Any]) -> None:
    fields = json.loads(IPCCommand("a_1_1", "a", "*", "ping", {}, 5).to_json())
    with pytest.raises(ValueError):
        IPCCommand.from_json(json.dumps({**fields, **changes}))


@pytest.mark.parametrize("text", ["", "[]", "1", "{", b"\xff", "[" * 100_000, '{"command_id":"a"}'])
def test_what_is_no_command_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        IPCCommand.from_json(text)


def test_frames() -> None:
    command = IPCCommand("a_1_1", "a", "mm1", "ping", {"x": 1}, 5)
    keys = Keys("b00t", 3, 2, 5000, 77, "done", 4, "l1fe")
    topic = b"mm1.ping".ljust(64)
    head = encode_head("a_1_1", "a", "mm1", "ping", encode_payload({"x": 1}), 5)
    frame = topic + head + encode_tail(keys)
    assert decode_frame(frame) == (topic, command, keys)
    fields = json.loads(frame[64:])
    assert {name: fields[name] for name in FIELDS} == json.loads(command.to_json())
    names = {"v": 2, "boot": "b00t", "seq": 3, "low": 2, "ttl_ms": 5000, "mono": 77, "ack": "done", "try": 4}
    assert {name: fields[name] for name in names} == names
    # Keys of the same names that mean something else are no reason to refuse the six fields.
    for wrong in ('"boot":7', '"seq":"x"', '"boot":"a","try":[]'):
        assert decode_frame(topic + head + b"," + wrong.encode() + b"}") == (topic, command, Keys())


def test_bad_arguments(root: Path) -> None:
    for name in ("", "a b", "../x", "*", "x" * 63):
        with pytest.raises(ValueError, match="process id must"):
            IPCCommandSystem(name, root)
    system = IPCCommandSystem("a", root)
    with pytest.raises(ValueError, match="process id must"):
        system.connect_to_process("b/c")
    with pytest.raises(ValueError, match="at most 64 bytes"):
        system.send_command("x" * 40, "y" * 40, {})
    with pytest.raises(ValueError, match="command type must"):
        system.send_command("b", "y.z", {})
    with pytest.raises(ValueError, match="at most 1048576 bytes"):
        system.send_command("b", "y", {"x": "y" * (1 << 20)})
    with pytest.raises(TypeError, match="JSON types, was set"):
        system.send_command("b", "y", {"x": {1}})
    with pytest.raises(ValueError):
        system.send_command("b", "y", {"x": float("nan")})
    with pytest.raises(TypeError, match="callable"):
        system.register_handler("x", 3)  # type: ignore[arg-type]
    with pytest.raises(RootError, match="at most 107"):
        IPCCommandSystem("a", root / ("x" * 100)).start()


async def test_right_after_start_without_await_or_sleep(pair: Pair, until: Callable[..., Any]) -> None:
    pair.receiver.start()
    pair.sender.start()
    command_id = pair.sender.send_command("mm1", "go", {"n": 1})
    assert isinstance(command_id, str) and isinstance(command_id, CommandId)
    await until(lambda: pair.got)
    assert pair.got[0].command_id == command_id and pair.got[0].payload == {"n": 1}
    assert command_id.startswith(f"gateway_{pair.got[0].timestamp}_")
    assert pair.sender.stats["peers"] == 1 and pair.sender.stats["held"] == 0


async def test_every_order_of_calls_with_await(root: Path, until: Callable[..., Any]) -> None:
    pair = Pair(root)
    await pair.sender.start()
    await pair.receiver.start()
    await pair.receiver.connect_to_process("gateway")
    await pair.receiver.start()
    assert type(await pair.sender.send_command("mm1", "go", {})) is str
    await until(lambda: pair.got)
    await pair.stop()
    await pair.stop()
    # And once more with the same objects.
    pair.sender.start()
    pair.receiver.start()
    pair.sender.send_command("mm1", "go", {})
    await until(lambda: len(pair.got) == 2)
    await pair.stop()


def test_uvloop_and_one_loop_after_another(root: Path, until: Callable[..., Any]) -> None:
    pair = Pair(root)

    async def once(count: int) -> None:
        pair.receiver.start()
        pair.sender.start()
        pair.sender.send_command("mm1", "go", {})
        await until(lambda: len(pair.got) == count)
        await pair.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(once(1))
    asyncio.run(once(2), debug=True)


async def test_order_targets_and_broadcasts(root: Path, until: Callable[..., Any]) -> None:
    systems = {name: IPCCommandSystem(name, root) for name in ("mm1", "mm1.x", "api.kraken", "api_x")}
    got: list[tuple[str, Any]] = []
    sender = IPCCommandSystem("gateway", root)
    sender.start()
    for name, system in systems.items():
        system.register_handler("go", lambda command, name=name: got.append((name, command.payload["n"])))
        system.connect_to_process("gateway")
        system.start()
    await until(lambda: sender.stats["peers"] == 4)
    for number in range(100):
        sender.send_command("mm1", "go", {"n": number})
    await until(lambda: len(got) == 100)
    assert got == [("mm1", number) for number in range(100)]
    got.clear()
    sender.send_command("mm1.x", "go", {"n": 1})
    sender.send_command("api.*", "go", {"n": 2})
    await until(lambda: len(got) == 2 and systems["mm1"].stats["refused"] == 1)
    sender.broadcast("go", {"n": 3})
    await until(lambda: len(got) == 6)
    assert set(got) == {("mm1.x", 1), ("api.kraken", 2), *((name, 3) for name in systems)}
    for system in [sender, *systems.values()]:
        await system.stop()


async def test_a_command_for_nobody_is_dropped_after_its_time(root: Path, until: Callable[..., Any]) -> None:
    sender = IPCCommandSystem("gateway", root, hold_s=0.2, queue_size=2)
    sender.start()
    for _ in range(3):
        sender.send_command("mm1", "go", {})
    assert sender.stats["held"] == 2 and sender.stats["no_route"] == 1
    await until(lambda: sender.stats["no_route"] == 3)
    assert sender.stats["held"] == 0 and sender.stats["sent"] == 0
    sender.broadcast("go", {})
    assert sender.stats["sent"] == 1
    await sender.stop()


async def test_held_for_the_exact_target_alone(root: Path, until: Callable[..., Any]) -> None:
    pair = Pair(root)
    pair.sender.start()
    pair.receiver.start()
    await until(lambda: pair.sender.stats["peers"] == 1)
    pair.sender.send_command("mm1.x", "go", {})  # `mm1.` is a prefix of it, and nobody else has joined
    assert pair.sender.stats["held"] == 1
    await pair.stop()
    assert pair.sender.stats["no_route"] == 1


async def test_a_process_that_starts_later_gets_it(root: Path) -> None:
    script = (
        "import asyncio, sys, time\ntime.sleep(1.5)\nfrom hftpy.ipc import IPCCommandSystem\n"
        "async def main():\n"
        "    system, done = IPCCommandSystem('mm1', sys.argv[1]), asyncio.Event()\n"
        "    async def on_go(command):\n"
        "        print(command.payload['n'], flush=True)\n"
        "        if command.payload['n'] == 2: done.set()\n"
        "    system.register_handler('go', on_go)\n"
        "    await system.connect_to_process('gateway')\n"
        "    await system.start()\n"
        "    await done.wait()\n"
        "    system.send_command('gateway', 'bye', {})\n"
        "    await system.stop()\n"
        "asyncio.run(main())\n"
    )
    sender, bye = IPCCommandSystem("gateway", root), asyncio.Event()
    sender.register_handler("bye", lambda command: bye.set())
    sender.connect_to_process("mm1")
    sender.start()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, root], stdout=subprocess.PIPE, text=True
    ) as child:
        sender.send_command("mm1", "go", {"n": 1})
        sender.send_command("mm1", "go", {"n": 2})
        await asyncio.wait_for(bye.wait(), 20)
        assert (await asyncio.to_thread(child.communicate))[0] == "1\n2\n" and child.returncode == 0
    await sender.stop()


@pytest.mark.parametrize("prefix", [b"mm1.", b"*.", b"mm1.go".ljust(64), b""])
async def test_a_plain_sub_receives(root: Path, until: Callable[..., Any], prefix: bytes) -> None:
    sender = IPCCommandSystem("gateway", root)
    sender.start()
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.SUBSCRIBE, prefix)
        socket.connect(f"ipc://{root}/zmq/command/gateway.ipc")
        await until(lambda: len(sender._publisher._joined) == 1)
        sender.send_command("mm1", "go", {"n": 1})
        sender.broadcast("stop", {})
        frame = await asyncio.to_thread(socket.recv)
    text = "*.stop" if prefix == b"*." else "mm1.go"
    assert frame[:64] == text.encode().ljust(64)
    assert set(json.loads(frame[64:])) >= FIELDS
    await sender.stop()


async def test_a_plain_pub_is_obeyed_and_its_nonsense_counted(root: Path, until: Callable[..., Any]) -> None:
    receiver = IPCCommandSystem("mm1", root)
    got: list[IPCCommand] = []
    receiver.register_handler("go", got.append)
    receiver.connect_to_process("plain")
    receiver.start()
    path = root / "zmq" / "command" / "plain.ipc"
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{path}")
        for _ in range(2):
            await until(lambda: socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)
            socket.recv()
        socket.send(frame_of("mm1", "go"))
        socket.send(frame_of("mm1", "go"))  # a duplicate
        socket.send(b"mm1.")
        socket.send(b"mm1.go".ljust(64) + b"{nonsense")
        socket.send(b"mm1.go".ljust(64) + b'"' + b"x" * (1 << 20) + b'"')
        socket.send(frame_of("mm1", "go", 2, timestamp="soon"))
        socket.send(frame_of("mm1", "go", 3, target_id="mm2"))
        socket.send(frame_of("mm1", "go", 4, command_type="stop"))
        socket.send(frame_of("mm1.x", "go", 5))
        socket.send(frame_of("mm1", "unknown", 6))
        socket.send(frame_of("*", "go", 7))
        await until(lambda: len(got) == 2)
    path.unlink(missing_ok=True)
    assert [command.payload["n"] for command in got] == [1, 7]
    stats = receiver.stats
    expected = {"received": 11, "handled": 2, "duplicates": 1, "malformed": 4, "refused": 3, "no_handler": 1}
    assert {name: stats[name] for name in expected} == expected
    await receiver.stop()


async def test_a_failing_handler_kills_nothing(
    pair: Pair, until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def later(command: IPCCommand) -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    async def cancelled(command: IPCCommand) -> None:
        raise asyncio.CancelledError

    pair.receiver.register_handler("now", lambda command: 1 // 0)
    pair.receiver.register_handler("later", later)
    pair.receiver.register_handler("cancelled", cancelled)
    pair.receiver.start()
    pair.sender.start()
    for kind in ("now", "later", "cancelled", "go"):
        pair.sender.send_command("mm1", kind, {})
    await until(lambda: pair.got)
    assert pair.receiver.stats["failed"] == 3 and pair.receiver.stats["handled"] == 1
    assert "ZeroDivisionError" in caplog.text and "KeyError: 'later'" in caplog.text


async def test_a_full_queue_refuses_and_counts(root: Path, until: Callable[..., Any]) -> None:
    pair, busy = Pair(root, queue_size=5), asyncio.Event()

    async def wait(command: IPCCommand) -> None:
        await busy.wait()

    pair.receiver.register_handler("wait", wait)
    pair.receiver.start()
    pair.sender.start()
    for _ in range(4):
        pair.sender.send_command("mm1", "wait", {})
    await until(lambda: pair.receiver.stats["received"] == 4)
    for count in range(5, 11):
        pair.sender.send_command("mm1", "go", {})
        await until(lambda count=count: pair.receiver.stats["received"] == count)
    busy.set()
    await until(lambda: pair.receiver.stats["handled"] == 6)
    assert pair.receiver.stats["queue_full"] == 4
    await pair.stop()


async def test_stop_from_a_handler(pair: Pair, until: Callable[..., Any]) -> None:
    stopped = asyncio.Event()

    async def shutdown(command: IPCCommand) -> None:
        await pair.receiver.stop()
        stopped.set()

    pair.receiver.register_handler("shutdown", shutdown)
    pair.receiver.start()
    pair.sender.start()
    pair.sender.send_command("mm1", "shutdown", {})
    await asyncio.wait_for(stopped.wait(), 20)
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("mm1")])
    assert pair.receiver.stats["handled"] == 1


async def test_restart_of_a_peer_and_owners(pair: Pair, root: Path, until: Callable[..., Any]) -> None:
    pair.receiver.start()
    pair.sender.start()
    with pytest.raises(AddressInUseError, match=r"gateway\.ipc is in use"):
        IPCCommandSystem("gateway", root).start()
    pair.sender.send_command("mm1", "go", {"n": 1})
    await until(lambda: pair.got)
    await pair.sender.stop()
    pair.sender = IPCCommandSystem("gateway", root)
    pair.sender.start()
    pair.sender.send_command("mm1", "go", {"n": 2})
    await until(lambda: len(pair.got) == 2)
    assert pair.receiver.stats["duplicates"] == 0


async def test_a_stopped_peer_delays_only_itself(root: Path, until: Callable[..., Any]) -> None:
    pair = Pair(root, queue_size=100)
    script = (
        "import asyncio, sys\nfrom hftpy.ipc import IPCCommandSystem\n"
        "async def main():\n"
        "    system = IPCCommandSystem('mm2', sys.argv[1])\n"
        "    system.connect_to_process('gateway')\n"
        "    system.start()\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    pair.sender.start()
    pair.receiver.start()
    child = subprocess.Popen([sys.executable, "-c", script, root])
    try:
        await until(lambda: pair.sender.stats["peers"] == 2)
        os.kill(child.pid, signal.SIGSTOP)
        for count in range(1, 2001):  # far beyond what the socket's buffers and the high-water mark hold
            pair.sender.broadcast("go", {"n": count, "filler": "x" * 1000})
            if count % 50 == 0:
                await until(lambda count=count: len(pair.got) == count)
        assert [command.payload["n"] for command in pair.got] == list(range(1, 2001))
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    await pair.stop()
    for left in (root / "zmq" / "command").glob("mm2.ipc*"):  # killed, so it could not clean up
        left.unlink()


async def test_an_early_broadcast_waits_for_peers_that_are_connecting_and_nothing_overtakes_it(
    root: Path, until: Callable[..., Any]
) -> None:
    pair = Pair(root)
    pair.receiver.start()
    pair.sender.start()
    for number, target in enumerate(("mm1", "*", "mm1", "*", "mm1")):
        pair.sender.send_command(target, "go", {"n": number})
    pair.sender.stop()  # sends it all
    await until(lambda: len(pair.got) == 5)
    assert [command.payload["n"] for command in pair.got] == [0, 1, 2, 3, 4]
    assert pair.sender.stats["sent"] == 5 and pair.receiver.stats["duplicates"] == 0
    await pair.stop()


def test_a_program_that_ends_without_stop_gives_its_address_back(root: Path) -> None:
    script = (
        "import os, sys\nfrom hftpy.ipc import IPCCommandSystem\n"
        "system = IPCCommandSystem('gateway', sys.argv[1])\nsystem.start()\nprint(os.listdir(sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-W", "error", "-c", script, root, root / "zmq" / "command"]
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and "gateway.ipc" in ended.stdout, ended.stderr
    assert not list((root / "zmq" / "command").iterdir())
