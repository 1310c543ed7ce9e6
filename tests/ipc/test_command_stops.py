"""Commands of processes that are stopped for a while, read late, close and open their address; and what is counted."""

import random
from typing import Any

import pytest
from command_stops import StopsWorld, check_sender, drive
from command_world import World

from hftpy.ipc.command import encode_head
from hftpy.ipc.command_protocol import Answer, Done
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import SentCommand

NAMES = ["a", "b", "api.c"]
NOW = 100.0


def world_of(seed: int) -> tuple[StopsWorld, dict[str, Any]]:
    chance = random.Random(seed * 7919 + 1)
    limits: dict[str, Any] = {}
    if chance.random() < 0.5:
        limits = {"window": 4, "capacity": chance.choice([5, 20]), "store": chance.choice([5, 50]),
                  "queue": chance.choice([2, 10])}  # fmt: skip
    world = StopsWorld(
        seed, NAMES, early_s=chance.choice([0.0, 0.1, 0.5]), keep=chance.choice([3, 50, 10_000]),
        loss=chance.choice([0.0, 0.0, 0.1]), doubled=chance.choice([0.0, 0.1]), delay=chance.choice([0.001, 0.02]),
        fifo=chance.random() < 0.7, **limits,
    )  # fmt: skip
    what = {"rate": chance.choice([0.5, 2, 5]), "stops": chance.choice([0, 0.01, 0.05]),
            "kills": chance.choice([0, 0, 0.01]), "cuts": chance.choice([0, 0.02]),
            "closes": chance.choice([0, 0, 0.02]), "replays": chance.choice([0, 0.2])}  # fmt: skip
    return world, what


@pytest.mark.parametrize("seed", range(12))
def test_every_turn_leaves_a_state_that_is_whole(seed: int) -> None:
    print("seed", seed)
    world, what = world_of(seed)
    counts = drive(world, NAMES, 100, **what)
    assert world.sent and set(counts) == set(CommandState)


def command_to(target: str, number: int, ttl: float = 1.0) -> SentCommand:
    head = encode_head(f"a_1_{number}", "a", target, "go", "{}", 1)
    return SentCommand(
        f"a_1_{number}", target, "go", f"{target}.go".encode().ljust(64), head, NOW + ttl, "done"
    )  # fmt: skip


def sender_of(**options: Any) -> CommandSender:
    sender = CommandSender("a", "life", transmit=lambda frame: None, is_plain=lambda target, topic: False, **options)
    sender.open(NOW, 0.0)
    return sender


def join(sender: CommandSender, name: str) -> None:
    sender.on_joined(NOW, name)
    sender.on_answer(NOW, Answer(name, f"{name}1", "life", hello=True))


def test_a_late_answer_to_a_command_that_is_forgotten_is_not_counted_as_kept() -> None:
    sender = sender_of(finished=2)
    join(sender, "b")
    commands = [command_to("b", number) for number in range(1, 6)]
    for command in commands:
        sender.send(NOW, command)
    sender.poll(NOW + 1.5)
    assert all(command.result().state is CommandState.UNKNOWN for command in commands)
    assert list(sender.commands) == ["a_1_4", "a_1_5"]
    done = [Done(command.id, "ok", value="x" * 1000) for command in commands]
    sender.on_answer(NOW + 1.5, Answer("b", "b1", "life", done=done), 5000)
    assert all(command.result().ok for command in commands)
    assert sender._finished_bytes == 2000
    check_sender(sender, commands)


def test_what_ended_behind_a_longer_deadline_takes_no_room() -> None:
    sender = sender_of(capacity=10)
    long = command_to("b", 1, 1000.0)
    sender.send(NOW, long)
    commands = [long]
    for number in range(2, 100):
        commands.append(command_to("b", number, number + 1.0))
        sender.send(NOW + number, commands[-1])
        sender.poll(NOW + number + 1.0)
        assert commands[-1].result().reason == "its target has not joined in time"
    many = [command_to("b", number, 1000.0) for number in range(100, 110)]
    for command in many:
        sender.send(NOW + 100, command)
    assert [command.final for command in many] == [False] * 9 + [True] and sender.waiting == 10
    assert len(sender.peers["b"].queue) == 10
    check_sender(sender, [*commands, *many])


def test_fail_fast_does_not_wait_behind_a_broadcast() -> None:
    sender = sender_of()
    sender.open(NOW, 0.5)
    join(sender, "b")
    sender.send(NOW, command_to("*", 1))
    absent, present = command_to("c", 2), command_to("b", 3)
    sender.send(NOW, absent, fail_fast=True)
    sender.send(NOW, present, fail_fast=True)
    assert absent.result().state is CommandState.NO_ROUTE and absent.result().reason == "nobody has joined"
    assert present.result().state is CommandState.QUEUED and not present.final
    sender.poll(NOW + 0.5)
    assert present.result().state is CommandState.SENT


def test_what_is_missed_twice_is_sent_again_once() -> None:
    sender = sender_of()
    join(sender, "b")
    command = command_to("b", 1)
    sender.send(NOW, command)
    sender.on_answer(NOW, Answer("b", "b1", "life", missing=[command.id, command.id]))
    assert sender.resent == 1


def test_whoever_was_silent_is_not_kept_waiting_when_another_joins() -> None:
    world = World(1, ["a", "b"], fifo=True)
    world.advance(0.2)
    first = world.lives["a"].send("b", "go", 1.0)
    world.advance(15.0)
    world.journals["c"] = world.journals["a"]
    world.boot("c")  # what is to be remembered of lives is looked at when there is a new one
    world.advance(0.2)
    command = world.lives["a"].send("b", "go", 1.0)
    world.advance(0.1)
    assert first.result().ok and command.result().state is CommandState.DONE
    assert world.lives["a"].sender.resent == 0
