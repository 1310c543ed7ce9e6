"""The simulated network of `command_world`, whose processes are also stopped for a while, read late and start again.

A process has two sockets and a timer, as the real one: what its receivers say and who joins lies in `above` until it
looks there, frames from its senders lie in `below`. One that was stopped finds both full and its timer due, and takes
them in any order. After each of its turns its state is compared with what it must be.
"""

import heapq
import itertools
from typing import Any

from command_world import KINDS, Life, World

from hftcore.topic import command_topic
from hftpy.ipc.command import Ack, encode_head
from hftpy.ipc.command_protocol import decode_answer
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_session import Received
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import Delivery, SentCommand

ACKS: tuple[Ack, ...] = ("done", "done", "recv", "none")


def check_sender(sender: CommandSender, sent: list[SentCommand]) -> None:
    """Counters and structures of a sender say the same; `sent` are all its commands, in the order of sending."""
    open_ones = [command for command in sent if not command.final]
    early = list(sender._early)
    queued = [delivery for peer in sender.peers.values() for delivery in (*peer.queue, *peer.urgent)]
    fresh = [delivery for delivery in queued if not delivery.final and not delivery.attempt]
    waiting = early + [delivery.command for delivery in fresh]
    assert not any(command.final for command in early)
    assert sender.waiting == len(waiting)
    assert sender._waiting_bytes == sum(len(command.head) for command in waiting)
    live = [delivery for command in sent for delivery in command.deliveries if not delivery.final]
    assert sender.outstanding == len(live)
    where = [*queued, *itertools.chain.from_iterable(
        (*peer.inflight.values(), *peer.received.values()) for peer in sender.peers.values())]  # fmt: skip
    found = sorted(id(delivery) for delivery in where if not delivery.final)
    assert found == sorted(id(delivery) for delivery in live), "a delivery is nowhere, or in two places"
    for peer in sender.peers.values():
        for delivery in (*peer.inflight.values(), *peer.received.values()):
            assert not delivery.final and delivery.member == peer.name
        assert all(delivery.final for delivery in peer.unknown.values())
    for command in sent:
        assert not command.seq or command.mono_us < command.deadline * 1e6, f"{command.id} was sent past its deadline"
        assert command.pending == sum(not delivery.final for delivery in command.deliveries)
        assert command.final == (not command.pending and bool(command.deliveries))
    assert {command.id for command in open_ones} <= sender.commands.keys()
    assert len(sender.commands) == len(open_ones) + len(sender._finished)
    assert sender._finished_bytes == sum(sender.commands[command_id].size for command_id in sender._finished)
    assert len(sender._finished) <= sender._keep
    kept = {(command.stream, command.seq) for command in open_ones if command.seq}
    assert kept == {(stream, seq) for stream, one in sender._open.items() for seq in one}
    assert sender._hellos.keys() <= {name for name, peer in sender.peers.items() if peer.joined}


def check_receiver(receiver: CommandReceiver) -> None:
    """Counters and structures of a receiver say the same."""
    sessions = list(receiver._sessions.values())
    assert receiver._held == sum(len(stream.held) for one in sessions for stream in one.streams.values())
    for remote, source in receiver._sources.items():
        own = [session for session in sessions if session.remote == remote]
        assert source.lives == len(own)
        assert source.kept_bytes == sum(entry.size for session in own for entry in session.store.values())
    for session in sessions:
        by_seq = [entry for stream in session.streams.values() for entry in stream.by_seq.values()]
        assert sorted(map(id, by_seq)) == sorted(map(id, session.store.values()))
        for stream in session.streams.values():
            assert all(seq >= stream.next for seq in (*stream.held, *stream.seen))


class StoppedLife(Life):
    """One life of a process, which reads late."""

    def __init__(self, world: "StopsWorld", name: str, boot: str) -> None:
        self.above: list[Any] = []
        self.below: list[Any] = []
        self.told: dict[str, bool] = {}
        self.own: list[SentCommand] = []
        self.until = 0.0  # it is stopped until then
        self.is_reading = False
        self.is_open = True
        super().__init__(world, name, boot)
        self.stops = world
        self.sender._keep = world.keep
        self.sender._is_plain = lambda target, topic: bool(world.plain) and (  # type: ignore[method-assign]
            target in world.plain or target.endswith("*")
        )
        self.sender.read_joins = self.serve  # type: ignore[assignment]
        self.sender.open(world.now, world.early_s)

    @property
    def is_stopped(self) -> bool:
        return self.world.now < self.until

    def serve(self, now: float) -> None:
        while self.above:
            self.above.pop(0)()

    def read(self) -> None:
        self.is_reading = True  # what is to be said is said at the end of the turn
        while self.below:
            remote, frame = self.below.pop(0)
            super().take(remote, frame)
        self.is_reading = False
        self.answer()

    def answer(self) -> None:
        if not self.is_reading:
            super().answer()

    def turn(self) -> None:
        """What the event loop does when it comes to it, in any order."""
        chance = self.world.random
        acts = [lambda: self.serve(self.world.now), self.read, self.poll]
        chance.shuffle(acts)
        for act in acts[: chance.choice([1, 2, 3, 3])]:
            act()
            self.check()

    def poll(self) -> None:
        now = self.world.now
        self.serve(now)
        self.sender.poll(now)
        self.receiver.poll(now)
        self.answer()
        for command in self.sender.commands.values():
            assert command.final or command.deadline > now, f"{command.id} has not ended"

    def check(self) -> None:
        check_sender(self.sender, self.own)
        check_receiver(self.receiver)
        for command in self.own:
            if command.final:
                assert self.told[command.id], f"nobody was told of the end of {command.id}"

    def take(self, remote: str, frame: bytes) -> None:
        self.below.append((remote, frame))
        if not self.is_stopped and self.world.random.random() < 0.5:
            self.read()
            self.check()

    def work(self, lane: str) -> None:
        if self.is_stopped:
            self.world.later(self.until - self.world.now, lambda: self.work(lane))
        elif lane in self.lanes:
            super().work(lane)

    def finish(self, lane: str, entry: Received) -> None:
        if self.is_stopped:
            self.world.later(self.until - self.world.now, lambda: self.finish(lane, entry))
        else:
            super().finish(lane, entry)

    def send_any(self, target: str, kind: str, ttl: float, ack: Ack, fail_fast: bool) -> SentCommand:
        now, number = self.world.now, next(self.ids)
        command_id = f"{self.name}_{self.boot}_{number}"
        head = encode_head(command_id, self.name, target, kind, str(number), int(now * 1e6))
        command = SentCommand(command_id, target, kind, command_topic(target, kind), head, now + ttl, ack)
        self.told[command_id] = False

        def look() -> None:
            self.told[command_id] = command.final

        command.watchers = [look]
        self.world.on_sent(self, command)
        self.own.append(command)
        peer = self.sender.peers.get(target)
        if peer is None or not peer.boot:
            self.serve(now)
        self.sender.send(now, command, fail_fast=fail_fast)
        if peer is not None and peer.boot:
            self.serve(now)
        return command


class StopsWorld(World):
    """A world whose processes are stopped, and close and open their address again."""

    def __init__(self, seed: int, names: list[str], *, early_s: float = 0.0, keep: int = 10_000, **rest: Any) -> None:
        self.early_s, self.keep = early_s, keep
        self.plain: set[str] = set()
        super().__init__(seed, names, **rest)

    def boot(self, name: str) -> None:
        life = self.lives[name] = StoppedLife(self, name, f"{name}#{next(self.boots)}")
        for other in self.lives.values():
            if other is not life:
                self.connect(other.name, name)
                self.connect(name, other.name)

    def _above(self, sender: str, act: Any) -> None:
        life = self.lives.get(sender)
        if isinstance(life, StoppedLife) and life.is_open:
            life.above.append(act)
            if not life.is_stopped and self.random.random() < 0.5:
                life.serve(self.now)
                life.check()

    def join(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.connected and sender in self.lives:
            one = self.lives[sender].sender
            self._above(sender, lambda: one.on_joined(self.now, receiver))

    def disconnect(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.connected:
            self.connected.discard((sender, receiver))
            if sender in self.lives:
                one = self.lives[sender].sender
                self._above(sender, lambda: one.on_left(receiver))

    def deliver_up(self, sender: str, frame: bytes) -> None:
        if sender in self.lives:
            one = self.lives[sender].sender
            self._above(sender, lambda: one.on_answer(self.now, decode_answer(frame), len(frame)))

    def add_plain(self, name: str) -> None:
        self.plain.add(name)
        for life in self.lives.values():
            one = life.sender
            self._above(life.name, lambda one=one: one.on_plain(self.now))

    def close(self, name: str) -> None:
        """Stop the sending half as `CommandPublisher.close` does."""
        life = self.lives[name]
        assert isinstance(life, StoppedLife)
        life.serve(self.now)
        life.sender.send_unheard(self.now)
        life.check()
        life.is_open = False
        life.above.clear()
        life.sender.stop()
        life.check()
        assert all(command.final for command in life.own)
        for pair in sorted(pair for pair in self.connected if pair[0] == name):
            self.connected.discard(pair)

    def open(self, name: str) -> None:
        life = self.lives.get(name)
        if isinstance(life, StoppedLife) and not life.is_open:
            life.is_open = True
            life.sender.open(self.now, self.early_s)
            for other in self.lives:
                if other != name:
                    self.connect(name, other)

    def advance(self, seconds: float, step: float = 0.01) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            target = self.now + self.random.choice([step / 3, step, step, step * 4])
            while self.events and self.events[0][0] <= target:
                when, _, act = heapq.heappop(self.events)
                self.now = max(self.now, when)
                act()
            self.now = target
            lives = [life for life in self.lives.values() if isinstance(life, StoppedLife) and not life.is_stopped]
            self.random.shuffle(lives)
            for life in lives:
                life.turn()

    def on_end(self, life: Life, delivery: Delivery) -> None:
        self.ends.setdefault((delivery.command.id, delivery.member), []).append(delivery.state)

    def on_start(self, life: Life, entry: Received) -> None:
        super().on_start(life, entry)
        deadline = self.sent[entry.command.command_id][1].deadline
        assert self.now <= deadline + 0.001, f"{entry.command.command_id} was started late"

    def balance(self) -> dict[CommandState, int]:
        """As `check`, for every way of acknowledgement; and numbers were given in the order of sending."""
        counts = dict.fromkeys(CommandState, 0)
        may_have_run = (CommandState.UNKNOWN, CommandState.SENT, CommandState.RECEIVED, CommandState.DONE)
        streams: dict[tuple[str, str], list[SentCommand]] = {}
        for command_id, (life, command) in self.sent.items():
            if command.seq:
                streams.setdefault((life.boot, command.stream), []).append(command)
            if not life.alive:
                continue
            assert command.final, command_id
            for delivery in command.deliveries:
                ends = self.ends[command_id, delivery.member]
                assert ends[-1] is delivery.state
                assert len(ends) == 1 or (len(ends) == 2 and ends[0] is CommandState.UNKNOWN), ends
                counts[delivery.state] += 1
                starts = self.starts.get((command_id, delivery.member), [])
                if delivery.state is CommandState.DONE:
                    assert starts, f"{command_id} is done and was never started"
                elif delivery.state not in may_have_run:
                    assert not starts, f"{command_id} was started and is {delivery.state} ({delivery.reason})"
        for (command_id, member), lives in self.starts.items():
            limit = len(set(lives)) if self.sent[command_id][1].type == "again" else 1
            assert len(lives) == limit, f"{command_id} was started {len(lives)} times by {member}"
        for key, seqs in self.order.items():
            assert seqs == sorted(seqs), f"out of order: {key}"
        for (_, stream), commands in streams.items():
            seqs = [command.seq for command in commands]
            assert seqs == sorted(seqs), f"numbered out of order: {stream}"
        for life in self.lives.values():
            assert life.sender.outstanding == 0 and life.sender.waiting == 0
            assert not any(life.sender._open.values()) and not life.sender._hellos and not life.sender._telling
            assert not life.receiver._held and not life.receiver.answers
            for entry in (entry for one in life.receiver._sessions.values() for entry in one.store.values()):
                assert entry.done is not None, f"{entry.command!r} was neither run nor refused"
        return counts


def drive(world: StopsWorld, names: list[str], steps: int, rate: float, *, stops: float, kills: float, cuts: float,
          closes: float, replays: float) -> dict[CommandState, int]:  # fmt: skip
    """Let processes send, and be stopped, killed, cut off, closed and opened; returns the balance."""
    chance, down = world.random, dict[str, float]()
    closed: dict[str, float] = {}
    for _ in range(steps):
        awake = [life for life in world.lives.values() if isinstance(life, StoppedLife) and not life.is_stopped]
        recent = [life for life in awake if life.sender._early]
        for _ in range(max(0, int(chance.gauss(rate, rate)))):
            if awake:
                life = chance.choice(awake)
                target = chance.choice([*(name for name in names if name != life.name), "*", "api.*", "nobody"])
                life.send_any(target, chance.choice(KINDS), chance.choice([0.003, 0.05, 0.3, 1.0, 3.0]),
                              chance.choice(ACKS), chance.random() < 0.1)  # fmt: skip
                life.check()
        if chance.random() < replays:
            world.replay()
        if awake and chance.random() < stops:
            chance.choice(awake).until = world.now + chance.choice([0.05, 0.4, 1.5, 4.0])
        if awake and chance.random() < kills:
            name = chance.choice(awake).name
            world.crash(name)
            closed.pop(name, None)
            down[name] = world.now + chance.uniform(0.01, 0.5)
        if chance.random() < cuts and world.connected:
            pair = chance.choice(sorted(world.connected))
            world.disconnect(*pair)
            back = chance.uniform(0.01, 0.3)
            world.later(back, lambda pair=pair: world.lives.keys() >= set(pair) and world.connect(*pair))
            if chance.random() < 0.5:  # and is gone again, it may be before it was greeted
                gone = back + chance.uniform(0.0, 0.1)
                world.later(gone, lambda pair=pair: world.disconnect(*pair))
                world.later(gone + 0.1, lambda pair=pair: world.lives.keys() >= set(pair) and world.connect(*pair))
        if awake and chance.random() < (closes if chance.random() < 0.5 else closes * 10 * bool(recent)):
            name = chance.choice(recent or awake).name
            if name in world.lives and name not in closed:
                world.close(name)
                closed[name] = world.now + chance.uniform(0.0, 0.5)
        if chance.random() < 0.005:
            world.add_plain(chance.choice(["nobody", "somebody"]))
        for name, until in list(down.items()):
            if until <= world.now:
                del down[name]
                world.boot(name)
        for name, until in list(closed.items()):
            if until <= world.now:
                del closed[name]
                world.open(name)
        world.advance(0.01)
    for name in down:
        world.boot(name)
    for name in closed:
        world.open(name)
    world.advance(10.0, 0.05)
    return world.balance()
