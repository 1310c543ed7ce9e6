"""The state machines of acknowledged commands against a network that loses, doubles, delays, replays and kills."""

import random
from typing import Any

import pytest
from command_world import KINDS, MemoryJournal, World

from hftcore.topic import command_topic
from hftpy.ipc.command import Keys, decode_frame, encode_head, encode_tail
from hftpy.ipc.command_handlers import make_registered
from hftpy.ipc.command_protocol import Answer, Ask, AskItem, Done, Hello
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import SentCommand

NAMES = ["a", "b", "api.c"]


def drive(world: World, seconds: float, rate: int, *, kills: float = 0.0, cuts: float = 0.0, replays: int = 0,
          kinds: tuple[str, ...] = KINDS, forgets: float = 0.0) -> None:  # fmt: skip
    chance, down = world.random, {}
    steps = int(seconds / 0.01)
    for _ in range(steps):
        for _ in range(max(0, int(chance.gauss(rate / 100, rate / 300)))):
            if world.lives:
                life = chance.choice(list(world.lives.values()))
                target = chance.choice([*(name for name in NAMES if name != life.name), "*", "api.*"])
                life.send(target, chance.choice(kinds), chance.choice([0.3, 1.0, 3.0]))
        for _ in range(replays):
            world.replay()
        for life in world.lives.values() if forgets else ():
            if chance.random() < forgets:
                life.sender._forget_streams()
        if kills and chance.random() < kills * 0.01 and world.lives:
            name = chance.choice(list(world.lives))
            world.crash(name)
            down[name] = world.now + chance.uniform(0.01, 0.5)
        for name, until in list(down.items()):
            if until <= world.now:
                del down[name]
                world.boot(name)
        if cuts and chance.random() < cuts * 0.01 and world.connected:
            pair = chance.choice(sorted(world.connected))
            world.disconnect(*pair)
            world.later(chance.uniform(0.01, 0.3), lambda pair=pair: world.lives.keys() >= set(pair)
                        and world.connect(*pair))  # fmt: skip
        world.advance(0.01)
    for name in down:
        world.boot(name)
    world.advance(4.0)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_goes_wrong_where_nothing_is_lost(seed: int) -> None:
    world = World(seed, NAMES, fifo=True)
    world.advance(0.2)
    drive(world, 2.0, 400, kinds=("go", "durable", "halt"))
    counts = world.check()
    assert {state for state, count in counts.items() if count} <= {CommandState.DONE, CommandState.NO_ROUTE}
    for life in world.lives.values():
        assert life.sender.resent == 0 and life.receiver.duplicates == 0
        assert sum(len(session.store) for session in life.receiver._sessions.values()) <= 5


@pytest.mark.parametrize("seed", range(8))
def test_loss_doubles_and_delay(seed: int) -> None:
    print("seed", seed)
    world = World(seed, NAMES, loss=0.1, doubled=0.1, delay=0.02)
    drive(world, 2.0, 300, cuts=1.0, replays=2)
    counts = world.check()
    assert counts[CommandState.DONE] > sum(counts.values()) / 4


@pytest.mark.parametrize("seed", range(12))
def test_kills(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    world = World(seed, NAMES, loss=chance.choice([0.0, 0.05]), doubled=0.05, delay=chance.choice([0.001, 0.02]),
                  fifo=chance.random() < 0.5)  # fmt: skip
    drive(world, 3.0, 300, kills=2.0, cuts=1.0, replays=2)
    counts = world.check()
    assert counts and world.starts


@pytest.mark.parametrize("seed", range(12))
def test_numbers_that_are_forgotten_cost_nothing(seed: int) -> None:
    """What is done when there are too many streams, at any moment."""
    print("seed", seed)
    chance = random.Random(seed)
    world = World(seed, NAMES, loss=chance.choice([0.0, 0.1]), doubled=0.1, delay=chance.choice([0.001, 0.02]),
                  fifo=chance.random() < 0.5)  # fmt: skip
    kills = chance.choice([0.0, 1.0])
    drive(world, 3.0, chance.choice([150, 300]), kills=kills, cuts=1.0, replays=2, forgets=0.3)
    counts = world.check()
    assert counts[CommandState.DONE] > sum(counts.values()) / 8
    assert any(life.sender._floor > 0 for life in world.lives.values())


# In some of them the next life of a receiver once ran what an earlier one had refused, when it was repeated.
@pytest.mark.parametrize("seed", [7019, 7101, 7110, 7153, 7161, 7212, 7228, 7347, 7356, *range(8)])
@pytest.mark.parametrize("forgets", [0.0, 0.3])
def test_everything_at_once(seed: int, forgets: float) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    world = World(
        seed, NAMES, loss=chance.choice([0.0, 0.05, 0.2]), doubled=chance.choice([0, 0.1]),
        delay=chance.choice([0.001, 0.02, 0.1]), fifo=chance.random() < 0.5, window=chance.choice([2, 16]),
        capacity=chance.choice([20, 1000]), store=chance.choice([10, 1000]), queue=chance.choice([3, 1000]),
    )  # fmt: skip
    rate, kills, cuts = chance.choice([150, 300]), chance.choice([0.0, 1.0, 3.0]), chance.choice([0, 1.0, 5.0])
    drive(world, 2.0, rate, kills=kills, cuts=cuts, replays=chance.choice([0, 2]), forgets=forgets)
    world.check()


def test_what_is_repeated_to_the_next_life_is_not_run_but_what_that_life_misses_is() -> None:
    journal, ran = MemoryJournal(), []

    def make(boot: str, start: float) -> CommandReceiver:
        options: dict[str, Any] = {"lane": None, "timeout": None, "senders": None}
        handlers = {
            kind: make_registered(kind, print, durable=kind == "durable", idempotent=kind == "again", **options)
            for kind in ("durable", "again")
        }
        return CommandReceiver(
            "b", boot, start=start, handlers=handlers, run=lambda entry: ran.append(entry) is None,
            journal=lambda: journal,
        )  # fmt: skip

    def frame(kind: str, seq: int, attempt: int, to: str) -> bytes:
        keys = Keys("life", seq, 1, 60_000, 100_000_000, "done", attempt, to)
        return command_topic("b", kind) + encode_head(f"a_{seq}", "a", "b", kind, "{}", 0) + encode_tail(keys)

    def said(receiver: CommandReceiver) -> list[str]:
        return [command_id for _, answer in receiver.take_answers() for command_id in answer.missing]

    first = make("one", 90.0)
    first._run = lambda entry: False  # its lane is full
    for seq, kind, to in ((1, "durable", "one"), (2, "again", "one"), (3, "again", "")):
        first.on_frame(100.0, "a", frame(kind, seq, 1, to))
    (_, answer), = first.take_answers()
    assert [done.reason for done in answer.done] == ["busy"] * 3
    second = make("two", 101.0)
    second.on_hello(102.0, "a", Hello("a", "life", 2, {"b": 1}))
    for _ in range(3):
        for seq, kind, to in ((1, "durable", "one"), (2, "again", "one"), (3, "again", "")):
            second.on_frame(103.0, "a", frame(kind, seq, 1, to))
    assert not ran and set(said(second)) == {"a_1", "a_2", "a_3"} and second.duplicates == 9
    # Had its sender not been told of the refusal, it would send them again.
    for seq, kind, to in ((1, "durable", "one"), (2, "again", "one"), (3, "again", "one")):
        second.on_frame(104.0, "a", frame(kind, seq, 2, to))
    assert [entry.command.command_id for entry in ran] == ["a_1", "a_2", "a_3"] and not said(second)
    for number in range(20_000):
        second.on_ask(105.0, "a", Ask("life", [AskItem(f"x{number}", "b", "again", 10 + number, "", 0)]))
    session = second._sessions["a", "a", "life"]
    assert len(session.missed) == 2_000
    said(second)
    second.on_ask(105.0, "a", Ask("life", [AskItem("x" * 257, "b", "again", 9, "", 0)]))
    assert not said(second) and second.refused == 1


@pytest.mark.parametrize("seed", range(4))
def test_without_loss_forgotten_numbers_are_not_noticed(seed: int) -> None:
    world = World(seed, NAMES, fifo=True)
    world.advance(0.2)
    drive(world, 2.0, 400, kinds=("go", "durable", "halt"), forgets=0.5)
    counts = world.check()
    assert {state for state, count in counts.items() if count} <= {CommandState.DONE, CommandState.NO_ROUTE}
    for life in world.lives.values():
        assert life.sender.resent == 0 and life.receiver.duplicates == 0


def test_a_million_targets_that_come_and_go_take_no_room() -> None:
    sent: list[bytes] = []
    sender = CommandSender("a", "life", transmit=sent.append, is_plain=lambda target, topic: False, streams=64)
    sender.open(0.0, 0.0)
    for number in range(2000):
        now, name = number / 100, f"t{number}"
        sender.on_joined(now, name)
        assert sender.on_answer(now, Answer(name, f"boot{number}", "life", hello=True))
        for kind in ("go", "halt"):
            head = encode_head(f"a_{number}_{kind}", "a", name, kind, "{}", 0)
            topic = command_topic(name, kind)
            command = SentCommand(f"a_{number}_{kind}", name, kind, topic, head, now + 1.0, "done")
            sender.send(now, command)
            assert sender.on_answer(now, Answer(name, f"boot{number}", "life", done=[Done(command.id, "ok")]))
            assert command.final and command.deliveries[0].state is CommandState.DONE
        sender.on_left(name)
        sender.poll(now)
        sent.clear()
    assert len(sender._last_seq) <= 64 and len(sender._open) <= 64
    sender.poll(50.0)
    held = (sender.peers, sender._hellos, sender._telling, sender._early, sender._retries, sender._deadlines)
    assert [len(table) for table in held[:4]] == [0, 0, 0, 0] and max(map(len, held[4:])) <= 4097
    # One that comes back is told that nothing before its next command is missing.
    sender.on_joined(100.0, "t0")
    sender.on_answer(100.0, Answer("t0", "boot0", "life", hello=True))
    sent.clear()
    head = encode_head("again", "a", "t0", "go", "{}", 0)
    sender.send(100.0, SentCommand("again", "t0", "go", command_topic("t0", "go"), head, 101.0, "done"))
    _, _, keys = decode_frame(sent[0])
    assert keys.low == keys.seq > 1


@pytest.mark.parametrize("seed", range(4))
def test_what_is_full_refuses_and_never_forgets(seed: int) -> None:
    world = World(seed, NAMES, doubled=0.1, window=4, capacity=20, store=10, queue=3)
    drive(world, 2.0, 600, replays=3)
    counts = world.check()
    assert counts[CommandState.REJECTED] and counts[CommandState.DONE] and counts[CommandState.NO_ROUTE]


@pytest.mark.parametrize("seed", range(4))
def test_durable_commands_leave_one_unknown_per_kill_at_most(seed: int) -> None:
    world = World(seed, ["a", "b"], delay=0.002, fifo=True)
    world.advance(0.2)
    kills = 0
    for turn in range(300):
        world.lives["a"].send("b", "durable", 2.0)
        if turn % 20 == 10:
            world.crash("b")
            kills += 1
            world.later(0.05, lambda: world.boot("b"))
        world.advance(0.01)
    world.advance(4.0)
    counts = world.check()
    assert 0 < counts[CommandState.UNKNOWN] <= kills
    assert counts[CommandState.DONE] + counts[CommandState.UNKNOWN] == 300


def test_a_peer_that_never_answers_costs_a_bounded_memory_and_nobody_else() -> None:
    world = World(1, NAMES, fifo=True, window=4, capacity=50)
    world.advance(0.2)
    sender = world.lives["a"].sender
    world.lives["b"].take = lambda remote, frame: None  # type: ignore[method-assign]
    for _ in range(500):
        world.lives["a"].send("*", "go", 3.0)
        world.lives["a"].send("b", "go", 3.0)
        world.advance(0.001, 0.001)
        assert len(sender.peers["b"].inflight) <= 54 and sender.waiting <= 50
    assert len(sender.peers["api.c"].inflight) <= 20  # what is just being answered
    world.advance(4.0)
    counts = world.check()
    assert counts[CommandState.DONE] == 500 and counts[CommandState.NO_ROUTE] > 400
    assert counts[CommandState.UNKNOWN] >= 500


def test_a_new_life_is_believed_though_the_old_one_was_not_seen_to_leave() -> None:
    world = World(1, ["a", "b"], fifo=True)
    world.advance(0.2)
    a, old = world.lives["a"], world.lives["b"]
    old.alive = False
    old.take = lambda remote, frame: None  # type: ignore[method-assign]
    first = a.send("b", "go", 2.0)  # into the void
    world.boot("b")
    world.advance(0.5)
    assert a.sender.peers["b"].boot == world.lives["b"].boot != old.boot
    second = a.send("b", "go", 2.0)
    world.advance(2.5)
    assert first.result().state is CommandState.UNKNOWN and second.result().state is CommandState.DONE
    world.check()


def test_what_may_run_again_and_then_does_not_is_not_called_refused() -> None:
    """It ran in the first life, was lost with it, and is stale when the second life could start it."""
    world = World(1, ["a", "b"], fifo=True)
    world.advance(0.2)
    a, b = world.lives["a"], world.lives["b"]
    command = a.send("b", "again", 1.0)
    while not world.starts:
        world.advance(0.0001, 0.0001)
    b.alive = False  # its answer is never sent
    world.crash("b")
    assert world.starts == {(command.id, "b"): [b.boot]}
    world.boot("b")
    busy = world.lives["b"]
    busy.work = lambda lane: None  # type: ignore[method-assign]  # it has no time for its handlers
    world.advance(0.9)
    assert [entry.command.command_id for entry in busy.lanes["main"]] == [command.id]
    del busy.work  # type: ignore[method-assign]
    world.advance(0.3)
    busy.work("main")
    world.advance(1.0)
    assert command.result().state is CommandState.UNKNOWN
    assert busy.receiver.expired == 1
    world.check()
