"""Who joins while a command for many is being sent is among those that it goes to."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from hftpy.ipc import IPCCommandSystem
from hftpy.ipc.command import Ack, encode_head
from hftpy.ipc.command_protocol import Answer, Done, protocol_topic
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import SentCommand

NOW = 100.0


def sender_of(frames: list[bytes]) -> CommandSender:
    sender = CommandSender("a", "life", transmit=frames.append, is_plain=lambda target, topic: False)
    sender.open(NOW, 0.0)
    return sender


def to_all(number: int, ack: Ack = "done") -> SentCommand:
    head = encode_head(f"a_1_{number}", "a", "*", "go", "{}", 1)
    return SentCommand(f"a_1_{number}", "*", "go", b"*.go".ljust(64), head, NOW + 1.0, ack)


def to_one(number: int) -> SentCommand:
    head = encode_head(f"a_1_{number}", "a", "b", "go", "{}", 1)
    return SentCommand(f"a_1_{number}", "b", "go", b"b.go".ljust(64), head, NOW + 1.0, "done")


@pytest.mark.parametrize("others", [[], ["c"]])
def test_whom_the_transport_knew_before_we_did(others: list[str]) -> None:
    frames: list[bytes] = []
    sender = sender_of(frames)
    for name in others:
        sender.on_joined(NOW, name)
    sender.read_joins = lambda now: [sender.on_joined(now, name) for name in ("b", *others)]
    command = to_all(1)
    sender.send(NOW, command)
    assert {delivery.member for delivery in command.deliveries} == {"b", *others} and not command.final
    assert command.pending == len(command.deliveries)
    # Its hello lets it run the command: nothing before it will come.
    (hello,) = [frame for frame in frames if frame.startswith(protocol_topic("b") + b"H")]
    assert b'"*":1' in hello
    sender.read_joins = lambda now: None
    for name in ("b", *others):
        assert not command.final
        sender.on_answer(NOW, Answer(name, f"{name}1", "life", hello=True))
        sender.on_answer(NOW, Answer(name, f"{name}1", "life", done=[Done(command.id, "ok")]))
    assert command.final and command.result().ok and sender.outstanding == 0
    # Whoever joins later is not among them.
    sender.on_joined(NOW, "late")
    assert {delivery.member for delivery in command.deliveries} == {"b", *others}


@pytest.mark.parametrize("ack", ["done", "none"])
def test_whoever_waits_is_told_of_an_end_within_the_sending(ack: Ack) -> None:
    sender = sender_of([])
    sender.open(NOW, 0.5)  # it waits for processes to connect, and somebody waits for its end
    command = to_all(1, ack)
    sender.send(NOW, command)
    told: list[bool] = []
    command.watchers = [lambda: told.append(command.final)]
    sender.on_joined(NOW, "b")
    sender.on_answer(NOW, Answer("b", "b1", "life", hello=True))
    sender.read_joins = lambda now: sender.on_answer(now, Answer("b", "b1", "life", done=[Done(command.id, "ok")]))
    sender.poll(NOW + 0.6)
    assert command.final and told[-1]


def test_what_a_stopped_process_finds_past_its_deadline_is_not_sent() -> None:
    frames: list[bytes] = []
    sender = sender_of(frames)
    sender.open(NOW, 0.5)
    many, behind, queued = to_all(1), to_one(2), to_one(3)
    sender.send(NOW, many)
    sender.send(NOW, behind)
    sender.poll(NOW + 2.0)  # the process was stopped until now
    assert many.final and many.result().state is CommandState.NO_ROUTE
    assert behind.final and behind.result().state is CommandState.NO_ROUTE
    sender.send(NOW, queued)
    sender.on_joined(NOW + 2.0, "b")
    sender.on_answer(NOW + 2.0, Answer("b", "b1", "life", hello=True))
    assert queued.final and queued.result().state is CommandState.EXPIRED
    assert not [frame for frame in frames if not frame.startswith(protocol_topic("b"))]
    assert sender.waiting == sender.outstanding == 0


def test_without_an_answer_wanted_and_with_nobody() -> None:
    sender = sender_of([])
    nobody = to_all(1)
    sender.send(NOW, nobody)
    assert nobody.final and nobody.result().state is CommandState.NO_ROUTE
    sender.read_joins = lambda now: sender.on_joined(now, "b")
    command = to_all(2, "none")
    sender.send(NOW, command)
    assert command.final and [delivery.state for delivery in command.deliveries] == [CommandState.SENT]
    assert sender.outstanding == 0 and not any(sender._open.values())


async def test_a_receiver_subscribes_the_protocol_first(root: Path, until: Callable[..., Any]) -> None:
    receiver = IPCCommandSystem("b", root)
    receiver.connect_to_process("a")
    receiver.start()
    path = root / "zmq" / "command" / "a.ipc"
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        for _ in range(2):  # and when it comes back
            socket.bind(f"ipc://{path}")
            asked = [await asyncio.to_thread(socket.recv) for _ in range(3)]
            assert asked[0] == b"\x01" + protocol_topic("b") and set(asked[1:]) == {b"\x01b.", b"\x01*."}
            socket.unbind(f"ipc://{path}")
            while socket.poll(500):
                socket.recv()
    path.unlink(missing_ok=True)
    await receiver.stop()


async def test_a_command_that_ends_while_it_waits_names_its_target(root: Path) -> None:
    system = IPCCommandSystem("a", root)
    system.start()
    system.broadcast("go", timeout=5.0)  # waits for those that are just connecting, and all behind it too
    result = await system.call("b", "go", timeout=0.05)
    assert (result.state, result.target_id) == (CommandState.NO_ROUTE, "b")
    assert result.reason == "nobody has joined in time"
    await system.stop()
