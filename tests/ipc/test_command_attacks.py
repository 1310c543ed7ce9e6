"""What a process says that lies: each thing is refused and counted, what is remembered of it is bounded, and legitimate
commands go on.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from hftpy.errors import AddressInUseError
from hftpy.ipc import CommandState, IPCCommand, IPCCommandSystem, command_receiver
from hftpy.ipc.command import MAX_COMMAND_BYTES, decode_frame
from hftpy.ipc.command_handlers import make_registered
from hftpy.ipc.command_protocol import (
    Answer,
    Ask,
    AskItem,
    Done,
    Hello,
    encode_answer,
    encode_downstream,
    protocol_topic,
)
from hftpy.ipc.command_receiver import CommandReceiver

OPTIONS: dict[str, Any] = {"lane": None, "timeout": None, "idempotent": False, "durable": False, "senders": None}


def frame_of(number: int = 1, *, topic: str = "b.go", body: bytes | None = None, **changes: Any) -> bytes:
    """A command of `a`, as somebody else might make it."""
    fields = {
        "command_id": f"a_1_{number}", "sender_id": "a", "target_id": "b", "command_type": "go", "payload": {},
        "timestamp": 1,
    }  # fmt: skip
    return topic.encode().ljust(64) + (json.dumps(fields | changes).encode() if body is None else body)


class Scene:
    """`a` sends to `b`; `b` also listens to `liar`, who is a socket of ours and sends what it likes."""

    def __init__(self, root: Path, context: zmq.Context[Any]) -> None:
        self.root = root
        self.a = IPCCommandSystem("a", root)
        self.b = IPCCommandSystem("b", root)
        self.started: list[IPCCommand] = []
        self.b.register_handler("go", self.on_go)
        self.b.register_handler("guarded", self.on_go, senders=["a"])
        self.b.connect_to_process("a")
        self.b.connect_to_process("liar")
        self.liar = context.socket(zmq.XPUB)
        self.liar.linger = 0
        self.path = root / "zmq" / "command" / "liar.ipc"

    def on_go(self, command: IPCCommand) -> str:
        self.started.append(command)
        return "done"

    async def begin(self) -> None:
        await self.a.start()
        await self.b.start()
        self.liar.bind(f"ipc://{self.path}")
        for _ in range(3):
            await asyncio.to_thread(self.liar.recv)
        assert await self.a.ready("b", 20)

    def heard(self) -> str:
        """Whose answers `a` takes for b's."""
        peer = self.a._publisher.sender.peers.get("b")
        return peer.boot if peer is not None else ""

    async def legitimate(self) -> None:
        """What `a` sends arrives, and is run once, whatever was said meanwhile."""
        before = len(self.started)
        for kind in ("go", "guarded"):
            result = await self.a.call("b", kind, {"n": 1}, timeout=20.0)
            assert result.ok and result.value == "done", result
        assert len(self.started) == before + 2

    async def end(self) -> None:
        await self.a.stop()
        await self.b.stop()
        self.liar.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
async def scene(root: Path) -> AsyncIterator[Scene]:
    with zmq.Context() as context:
        made = Scene(root, context)
        await made.begin()
        yield made
        await made.end()


BOOT = {"boot": "f0rged", "v": 2}
WRONG_TYPES: dict[str, dict[str, Any]] = {
    "seq is a float": {"seq": 1.5}, "seq is text": {"seq": "1"}, "seq is true": {"seq": True},
    "seq is 2**70": {"seq": 1 << 70}, "seq is negative": {"seq": -1}, "seq has 5000 digits": {"seq": 10**4000},
    "low is text": {"seq": 1, "low": "0"}, "low is negative": {"seq": 1, "low": -5},
    "ttl_ms is negative": {"seq": 1, "ttl_ms": -1}, "ttl_ms is 1e308": {"seq": 1, "ttl_ms": 1e308},
    "ttl_ms has 400 digits": {"seq": 1, "ttl_ms": 10**400, "mono": 1},
    "mono has 400 digits": {"seq": 1, "ttl_ms": 1, "mono": 10**400}, "mono is text": {"seq": 1, "mono": "now"},
    "ack is unknown": {"seq": 1, "ack": "maybe"}, "ack is null": {"seq": 1, "ack": None},
    "try is negative": {"seq": 1, "try": -1}, "try is text": {"seq": 1, "try": "1"},
    "boot is a number": {"boot": 7, "seq": 1}, "boot is a list": {"boot": [], "seq": 1},
    "boot is long": {"boot": "x" * 65, "seq": 1}, "to is a number": {"seq": 1, "to": 3},
    "to is long": {"seq": 1, "to": "x" * 100_000},
    "command_id is long": {"command_id": "x" * 257}, "command_id is empty": {"command_id": ""},
    "command_id is a number": {"command_id": 5}, "timestamp is 2**64": {"timestamp": 1 << 64},
    "timestamp has 400 digits": {"timestamp": -(10**400)}, "timestamp is a float": {"timestamp": 1.5},
    "sender_id is a path": {"sender_id": "../a"}, "sender_id is empty": {"sender_id": ""},
    "target_id is a list": {"target_id": ["b"]}, "command_type is null": {"command_type": None},
}  # fmt: skip


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


BODIES: dict[str, bytes] = {
    "nothing": b" ", "a list": b"[]", "half": frame_of(**BOOT)[64:-1], "two": frame_of(**BOOT)[64:] * 2,
    "invalid UTF-8": frame_of(payload="x")[64:].replace(b'"x"', b'"\xff"'),
    "NaN": frame_of(payload="x")[64:].replace(b'"x"', b"NaN"),
    "Infinity": frame_of(payload="x")[64:].replace(b'"x"', b"-Infinity"),
    "65 deep": frame_of(payload="x")[64:].replace(b'"x"', deep(65).encode()),
    "100,000 deep": frame_of(payload="x")[64:].replace(b'"x"', deep(100_000).encode()),
    "deep in another key": frame_of(later="x")[64:].replace(b'"x"', deep(66).encode()),
}  # fmt: skip


async def test_badly_typed_commands(scene: Scene, until: Callable[..., Any]) -> None:
    frames = [frame_of(number, **(BOOT | changes)) for number, changes in enumerate(WRONG_TYPES.values())]
    frames += [frame_of(body=body) for body in BODIES.values()]
    for count, (name, frame) in enumerate(zip([*WRONG_TYPES, *BODIES], frames, strict=True), 1):
        scene.liar.send(frame)
        await until(lambda count=count: scene.b.stats["received"] == count, name)
        assert scene.b.stats["malformed"] == count, name
    assert not scene.started
    await scene.legitimate()


async def test_sizes_and_depths(scene: Scene, until: Callable[..., Any]) -> None:
    def padded(size: int) -> bytes:
        empty = frame_of(payload="", command_id=f"a_1_{size}")
        return frame_of(payload="x" * (size - len(empty)), command_id=f"a_1_{size}")

    scene.liar.send(padded(MAX_COMMAND_BYTES))
    scene.liar.send(frame_of(2, payload=json.loads(deep(64))))
    await until(lambda: len(scene.started) == 2)
    for size in (MAX_COMMAND_BYTES + 1, 2 * MAX_COMMAND_BYTES, 64, 63, 0):
        scene.liar.send(padded(size) if size > 64 else frame_of()[:size])
    await until(lambda: scene.b.stats["malformed"] == 4)  # an empty frame reaches nobody
    # Keys twice: the last counts, also of those that are checked.
    body = frame_of(3)[64:-1] + b',"target_id":"c"}'
    scene.liar.send(frame_of(body=body))
    await until(lambda: scene.b.stats["refused"] == 1)
    assert len(scene.started) == 2
    await scene.legitimate()


async def test_a_forged_sender_where_senders_are_named(scene: Scene, until: Callable[..., Any]) -> None:
    boot = scene.a._boot
    frames = [
        frame_of(1, topic="b.guarded", command_type="guarded"),
        frame_of(2, topic="b.guarded", command_type="guarded", boot=boot, seq=1),
        frame_of(3, topic="b.guarded", command_type="guarded", boot=boot, seq=2, **{"to": scene.b._boot, "try": 1}),
        frame_of(4, topic="b.guarded", command_type="guarded", sender_id="liar"),
        frame_of(5, topic="b.guarded", command_type="guarded", sender_id="b"),
        frame_of(6, topic="*.guarded", command_type="guarded", target_id="*"),
    ]
    for frame in frames:
        scene.liar.send(frame)
    await until(lambda: scene.b.stats["not_allowed"] == len(frames))
    assert not scene.started
    await scene.legitimate()


async def test_what_was_captured_is_replayed(scene: Scene, until: Callable[..., Any]) -> None:
    captured: list[bytes] = []
    transmit = scene.a._publisher.sender._transmit

    def capture(frame: bytes) -> None:
        captured.append(frame)
        transmit(frame)

    scene.a._publisher.sender._transmit = capture
    assert (await scene.a.call("b", "guarded", {"n": 1})).ok and (await scene.a.call("b", "guarded", {"n": 2})).ok
    commands = [frame for frame in captured if frame.startswith(b"b.guarded")]
    assert len(scene.started) == len(commands) == 2
    # By somebody else: not allowed, whatever it claims. By the same one, as it was: run once.
    before = scene.b.stats
    for frame in commands * 3:
        scene.liar.send(frame)
        transmit(frame)
    # With another topic, or for another target: the frame disagrees with itself, or is for somebody else.
    first = commands[0]
    transmit(b"b.go".ljust(64) + first[64:])
    transmit(first.replace(b'"target_id":"b"', b'"target_id":"c"'))
    transmit(b"b.guarded".ljust(64) + first[64:].replace(b'"command_type":"guarded"', b'"command_type":"go"'))
    await until(lambda: scene.b.stats["received"] == before["received"] + 15)
    stats = scene.b.stats
    assert stats["duplicates"] - before["duplicates"] >= 6 and stats["refused"] - before["refused"] == 3
    await until(lambda: scene.b.stats["not_allowed"] == 2)  # held until it is clear that no hello comes
    assert len(scene.started) == 2
    # After the sender's restart: of another life, whose deadline is over or which was run.
    await scene.a.stop()
    scene.a = IPCCommandSystem("a", scene.root)
    await scene.a.start()
    assert await scene.a.ready("b", 20)
    for frame in commands:
        scene.a._publisher._transmit(frame)
    await until(lambda: scene.b.stats["received"] == stats["received"] + 2)
    assert len(scene.started) == 2
    await scene.legitimate()


async def test_replay_after_the_receivers_restart(scene: Scene, until: Callable[..., Any]) -> None:
    captured: list[bytes] = []
    transmit = scene.a._publisher.sender._transmit
    scene.a._publisher.sender._transmit = lambda frame: (captured.append(frame), transmit(frame))  # type: ignore[func-returns-value]
    assert (await scene.a.call("b", "go", {"n": 1}, timeout=60.0)).ok
    (command,) = [frame for frame in captured if frame.startswith(b"b.go")]
    await scene.b.stop()
    scene.b = IPCCommandSystem("b", scene.root)
    scene.b.register_handler("go", scene.on_go)
    scene.b.register_handler("guarded", scene.on_go)
    scene.b.connect_to_process("a")
    await scene.b.start()
    await until(lambda: scene.heard() == scene.b._boot)
    forged = command.replace(f'"to":"{json.loads(command[64:])["to"]}"'.encode(), b'"to":"another"')
    assert forged != command
    for frame in (command, forged):
        scene.a._publisher._transmit(frame)
    # It cannot know what its earlier life did: it is not run.
    await until(lambda: scene.b.stats["unknown"] + scene.b.stats["duplicates"] >= 2)
    assert len(scene.started) == 1
    await scene.legitimate()


async def test_forged_answers_and_hellos(scene: Scene, until: Callable[..., Any]) -> None:
    go = asyncio.Event()

    async def slow(command: IPCCommand) -> str:
        await go.wait()
        return "done"

    scene.b.register_handler("slow", slow)
    boot = scene.a._boot
    lives: list[str] = []
    scene.a._publisher.sender.on_ready.append(lambda: lives.append(scene.heard()))
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{scene.root}/zmq/command/a.ipc")
        running = str(scene.a.send_command("b", "slow", {}, timeout=60.0))
        assert (await scene.a.wait(running, until="recv")).state is CommandState.RECEIVED
        # Of no life that it was sent to.
        socket.send(encode_answer(Answer("b", "forged", boot, done=[Done(running, "ok", value="forged")])))
        socket.send(encode_answer(Answer("b", "forged", boot, recv=[running], missing=[running])))
        socket.send(encode_answer(Answer("c", "forged", boot, done=[Done(running, "ok", value="forged")])))
        await until(lambda: scene.a.stats["refused_answers"] >= 3)
        assert not scene.a.status(running).final
        # It claims to be b's next life. What was sent is not lost, and b is heard again.
        socket.send(encode_answer(Answer("b", "forged", boot, hello=True)))
        await until(lambda: scene.heard() == "forged")
        between = scene.a.send_command("b", "go", {}, timeout=20.0)
        await until(lambda: scene.heard() == scene.b._boot)
        go.set()
        assert (await scene.a.wait(running)).value == "done"
        # What was sent to the life that never was is unknown, or done; and never run twice.
        result = await scene.a.wait(between)
        assert result.state in (CommandState.UNKNOWN, CommandState.DONE), result
        assert [command.command_id for command in scene.started].count(between) == int(result.ok)
    assert scene.b.stats["duplicates"] <= 2
    await scene.legitimate()


async def test_a_second_owner(scene: Scene) -> None:
    for name in ("a", "b"):
        with pytest.raises(AddressInUseError):
            IPCCommandSystem(name, scene.root).start()
    await scene.legitimate()


async def test_two_receivers_of_one_name(scene: Scene, until: Callable[..., Any]) -> None:
    """Somebody subscribes what b subscribes, and answers as b would: nothing is run twice by b, and b goes on."""
    boot = scene.a._boot
    lives: list[str] = []
    scene.a._publisher.sender.on_ready.append(lambda: lives.append(scene.heard()))
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{scene.root}/zmq/command/a.ipc")
        for prefix in (protocol_topic("b"), b"b."):
            socket.send(b"\x01" + prefix)
        for _ in range(3):
            frame = await asyncio.to_thread(socket.recv)
            if frame.startswith(protocol_topic("b") + b"H"):
                socket.send(encode_answer(Answer("b", "second", boot, hello=True)))
                break
        await until(lambda: "second" in lives)
        sent = [scene.a.send_command("b", "go", {"n": n}, timeout=2.0) for n in range(50)]
        results = [await scene.a.wait(command_id) for command_id in sent]
        assert {result.state for result in results} <= {CommandState.DONE, CommandState.UNKNOWN}
        run = [command.command_id for command in scene.started]
        assert len(set(run)) == len(run)
        assert {result.command_id for result in results if result.ok} <= set(run)
    await until(lambda: scene.heard() == scene.b._boot)
    await scene.legitimate()


async def test_nonsense_in_the_protocol(scene: Scene, until: Callable[..., Any]) -> None:
    topic = protocol_topic("b")
    malformed = [topic + kind + body for kind in (b"H", b"A") for body in (
        b"", b"{", b"[]", b"null", b"\xff", b'{"boot":1}', b'{"id":[]}', b"[" * 100_000, b'{"boot":"x","items":[[1]]}',
        b'{"id":"liar","boot":"x","base":{"b":"1"}}',
    ) if not (kind == b"H" and b"items" in body) and not (kind == b"A" and b"base" in body)]  # fmt: skip
    malformed += [topic + b"C", topic + b"C" + frame_of()[:-1]]
    for frame in malformed:
        scene.liar.send(frame)
    await until(lambda: scene.b.stats["malformed"] == len(malformed))
    refused = scene.b.stats["refused"]
    for frame in (topic, topic + b"X", topic + b"\x00", topic + b"H" + b'{"id":"a","boot":"x"}'):
        scene.liar.send(frame)
    await until(lambda: scene.b.stats["refused"] == refused + 4)
    for number in range(1000):
        huge = {"b": 1 << 62, "*": -1, f"b!{number}": 7, "b!halt": 10**400, "": 1, "c": 3, "!": 1}
        scene.liar.send(encode_downstream("b", Hello("liar", "x", 2, huge)))
        seqs = {"b": [-1, 0, 1 << 62, *range(100)], f"b!{number}": [1]}
        items = [AskItem(f"x{number}", "b", "go", seq, "x", 1 << 70) for seq in (-1, 0, 1, 10**400)]
        scene.liar.send(encode_downstream("b", Ask("x", items, {"b": 1 << 62, "*": -7}, seqs, seqs)))
    await scene.legitimate()
    sessions = scene.b._dispatcher.receiver._sessions
    await until(lambda: ("liar", "liar", "x") in sessions)
    assert set(sessions["liar", "liar", "x"].streams) <= {"b", "*", "b!halt"}
    await scene.legitimate()


class Bench:
    """A receiver without sockets, and a clock of its own."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.started: list[str] = []
        registered = make_registered("go", print, **OPTIONS)
        self.receiver = CommandReceiver(
            "b", "b00t", start=self.now, handlers={"go": registered}, run=self.run, **options
        )  # fmt: skip

    def run(self, entry: Any) -> bool:
        if self.receiver.may_start(self.now, entry):
            self.started.append(entry.command.command_id)
            self.receiver.on_done(entry, "ok", "", b'"x"')
        return True

    def take(self, remote: str, frame: bytes) -> list[Answer]:
        self.receiver.on_frame(self.now, remote, frame)
        return [answer for _, answer in self.receiver.take_answers()]

    def legitimate(self, number: int) -> None:
        frame = frame_of(number, boot="life", seq=number, low=number, ttl_ms=5000, mono=int(self.now * 1e6), ack="done")
        self.receiver.on_hello(self.now, "a", Hello("a", "life", 2, {"b": number}))
        self.receiver.take_answers()
        before = len(self.started)
        (answer,) = self.take("a", frame)
        assert [done.outcome for done in answer.done] == ["ok"], answer
        assert self.take("a", frame)[0].done == answer.done
        assert len(self.started) == before + 1


@pytest.mark.parametrize("seed", range(2))
def test_memory_of_a_hundred_thousand_forged_lives(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    bench = Bench(capacity=1000, window=500)
    receiver, number = bench.receiver, 0
    for forged in range(100_000 if seed == 0 else 20_000):
        keys: dict[str, Any] = {"boot": f"f{forged}", "seq": chance.choice([1, 2, 1 << 62])}
        keys["sender_id"] = f"s{forged}"
        bench.receiver.on_frame(bench.now, "liar", frame_of(forged, ack=chance.choice(["none", "done"]), **keys))
        if forged % 1000 == 0:
            number += 1
            bench.legitimate(number)
            receiver.on_frame(bench.now, "plain", frame_of(forged, sender_id="plain"))  # and no number of its own
        if forged % 64 == 0:
            receiver.take_answers()
            bench.now += 0.01 if seed == 0 else 1.0
            receiver.poll(bench.now)
    assert len(receiver._sessions) <= command_receiver.MAX_LIVES + 1
    assert sum(len(session.streams) for session in receiver._sessions.values()) <= command_receiver.MAX_LIVES + 8
    assert receiver.busy > (10_000 if seed == 0 else 1000)
    # An hour later nothing of it is left.
    bench.now += 3600.0
    bench.receiver.on_frame(bench.now, "liar", frame_of(1, boot="last", seq=1))
    receiver.poll(bench.now + 1.0)
    assert len(receiver._sessions) == 1 and not receiver.is_waiting
    assert [source.kept_bytes for name, source in receiver._sources.items() if name != "liar"] == [0, 0]


def test_ids_without_numbers_are_remembered_by_who_brings_them() -> None:
    bench = Bench(capacity=1000, window=100)
    # Another one says a's next ids first, and many others.
    for number in range(1000):
        bench.take("liar", frame_of(number))
    forged = len(bench.started)
    for number in range(90):
        bench.take("a", frame_of(number))
    assert len(bench.started) == forged + 90
    for number in range(1000, 2000):
        bench.take("liar", frame_of(number))
    forged = len(bench.started)
    for number in range(90):
        bench.take("a", frame_of(number))
    assert len(bench.started) == forged and bench.receiver.duplicates == 90
    assert sum(len(source.plain) for source in bench.receiver._sources.values()) <= 200


def test_bytes_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_receiver, "MAX_KEPT_BYTES", 1 << 20)
    bench = Bench(capacity=10_000)
    payload = "x" * 100_000
    for number in range(1, 101):
        boot = f"f{number % 3}"
        bench.take("liar", frame_of(number, boot=boot, seq=number + 5, payload=payload, ack="done"))
    receiver = bench.receiver
    kept = sum(len(session.store) for session in receiver._sessions.values())
    assert kept <= 10 and receiver.busy == 100 - kept
    assert receiver._sources["liar"].kept_bytes <= 1 << 20
    for number in range(1, 51):
        bench.legitimate(number)
    assert 0 < receiver._sources["a"].kept_bytes < 1000


def test_random_frames_never_raise_anything_else() -> None:
    """Whatever stands in the keys, a frame is taken or refused as malformed."""
    chance = random.Random(7)
    print("seed", 7)
    values: list[Any] = [
        None, True, False, 0, -1, 1, 1.5, 1e308, 1 << 62, 1 << 63, 1 << 64, -(1 << 63), 10**400, "", "x", "a", "b", "*",
        "x" * 300, [], {}, [1], {"a": 1}, "done", "recv", "none", "\ud800", "\x00",
    ]  # fmt: skip
    names = ["command_id", "sender_id", "target_id", "command_type", "payload", "timestamp", "v", "boot", "seq", "low",
             "ttl_ms", "mono", "ack", "try", "to"]  # fmt: skip
    bench = Bench(capacity=100, window=100)
    taken = 0
    for number in range(20_000):
        changes = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(1, 6))}
        frame = frame_of(number, **({"boot": "x", "seq": number} | changes))
        try:
            decode_frame(frame)
            taken += 1
        except ValueError:
            pass
        bench.take("liar", frame)
        bench.now += 0.001
        bench.receiver.poll(bench.now)
    assert taken > 1000 and bench.receiver.malformed == 20_000 - taken
