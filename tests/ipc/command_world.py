"""A simulated network of command systems: it loses, doubles, delays and replays frames, and processes crash."""

import heapq
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from hftcore.topic import command_topic, subscriptions_of
from hftpy.ipc.command import encode_head
from hftpy.ipc.command_handlers import make_registered, stream_of
from hftpy.ipc.command_protocol import (
    ASK,
    COMMAND,
    HELLO,
    PREFIX,
    Done,
    decode_answer,
    decode_ask,
    decode_hello,
    encode_answer,
    protocol_topic,
)
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_session import Received
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import Delivery, SentCommand

KINDS = ("go", "slow", "durable", "again", "halt", "unhandled")


class MemoryJournal:
    """What a file would keep across a crash."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Done | bool] = {}

    def find(self, sender: str, boot: str, command_id: str) -> Done | bool:
        return self.rows.get((sender, boot, command_id), False)

    def started(self, sender: str, boot: str, command_id: str, until: float) -> None:
        self.rows[sender, boot, command_id] = True

    def done(self, sender: str, boot: str, done: Done) -> None:
        self.rows[sender, boot, done.command_id] = done


class Life:
    """One life of a process."""

    def __init__(self, world: "World", name: str, boot: str) -> None:
        self.world = world
        self.name = name
        self.boot = boot
        self.alive = True
        options: dict[str, Any] = {"lane": None, "timeout": None, "senders": None}
        handlers = {
            kind: make_registered(kind, print, idempotent=kind == "again", durable=kind == "durable", **options)
            for kind in KINDS
            if kind != "unhandled"
        }
        self.sender = CommandSender(
            name, boot, transmit=self.transmit, is_plain=lambda target, topic: False,
            capacity=world.capacity, window=world.window,
        )  # fmt: skip
        self.sender.on_end = self.ended
        self.sender.open(world.now, 0.0)
        self.receiver = CommandReceiver(
            name, boot, start=world.now, handlers=handlers, run=self.run, capacity=world.store,
            journal=lambda: world.journals[name],
        )  # fmt: skip
        self.lanes: dict[str, list[Received]] = {}
        self.running: dict[str, Received] = {}
        self.ids = itertools.count(1)

    def transmit(self, frame: bytes) -> None:
        for other in self.world.lives.values():
            if other is not self and (self.name, other.name) in self.world.connected:
                wanted = [*subscriptions_of(other.name), protocol_topic(other.name)]
                if any(frame.startswith(prefix) for prefix in wanted):
                    self.world.carry(self, other.name, frame)

    def ended(self, delivery: Delivery) -> None:
        self.world.on_end(self, delivery)

    def run(self, entry: Received) -> bool:
        assert entry.registered is not None
        lane = self.lanes.setdefault(entry.registered.lane, [])
        if len(lane) >= self.world.queue:
            return False
        lane.append(entry)
        self.world.later(0.0, lambda: self.work(entry.registered.lane))  # type: ignore[union-attr]
        return True

    def work(self, lane: str) -> None:
        if not self.alive or lane in self.running:
            return
        while self.lanes[lane]:
            entry = self.lanes[lane].pop(0)
            if not self.receiver.may_start(self.world.now, entry):
                continue
            self.world.on_start(self, entry)
            self.running[lane] = entry
            slow = entry.command.command_type == "slow"
            self.world.later(self.world.random.expovariate(2 if slow else 200), partial(self.finish, lane, entry))
            break
        self.answer()

    def finish(self, lane: str, entry: Received) -> None:
        if not self.alive:
            return
        del self.running[lane]
        fails = entry.command.payload % 7 == 0
        value = str(entry.command.payload).encode()
        self.receiver.on_done(entry, "error" if fails else "ok", "Oops" if fails else "", value)
        self.answer()
        self.work(lane)

    def answer(self) -> None:
        for remote, answer in self.receiver.take_answers():
            if (remote, self.name) in self.world.connected:
                self.world.carry_up(self, remote, encode_answer(answer))

    def take(self, remote: str, frame: bytes) -> None:
        now = self.world.now
        if frame.startswith(PREFIX):
            kind, body = frame[len(protocol_topic(self.name)) :][:1], frame[len(protocol_topic(self.name)) + 1 :]
            if kind == HELLO:
                self.receiver.on_hello(now, remote, decode_hello(body))
            elif kind == ASK:
                self.receiver.on_ask(now, remote, decode_ask(body))
            else:
                assert kind == COMMAND
                self.receiver.on_frame(now, remote, body)
        else:
            self.receiver.on_frame(now, remote, frame)
        self.answer()

    def poll(self) -> None:
        self.sender.poll(self.world.now)
        self.receiver.poll(self.world.now)
        self.answer()

    def send(self, target: str, kind: str, ttl: float) -> SentCommand:
        number = next(self.ids)
        command_id = f"{self.name}_{self.boot}_{number}"
        head = encode_head(command_id, self.name, target, kind, str(number), int(self.world.now * 1e6))
        command = SentCommand(command_id, target, kind, command_topic(target, kind), head, self.world.now + ttl, "done")
        self.world.on_sent(self, command)
        self.sender.send(self.world.now, command)
        return command


class World:
    """Time, the network, and the ledger of what really happened."""

    def __init__(
        self, seed: int, names: list[str], *, loss: float = 0.0, doubled: float = 0.0, delay: float = 0.001,
        fifo: bool = False, window: int = 16, capacity: int = 1000, store: int = 1000, queue: int = 1000,
    ) -> None:  # fmt: skip
        self.random = random.Random(seed)
        self.now = 1000.0
        self.loss, self.doubled, self.delay, self.fifo = loss, doubled, delay, fifo
        self.window, self.capacity, self.store, self.queue = window, capacity, store, queue
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.boots = itertools.count(1)
        self.journals = {name: MemoryJournal() for name in names}
        self.connected: set[tuple[str, str]] = set()  # (sender, receiver)
        self.lives: dict[str, Life] = {}
        self.history: list[tuple[str, str, bytes]] = []
        self.sent: dict[str, tuple[Life, SentCommand]] = {}
        self.starts: dict[tuple[str, str], list[str]] = {}  # (command, member): lives that started it
        self.order: dict[tuple[str, str, str, str], list[int]] = {}
        self.ends: dict[tuple[str, str], list[CommandState]] = {}
        self.late: list[str] = []
        self.last_arrival: dict[tuple[str, str, bool], float] = {}
        for name in names:
            self.boot(name)

    def later(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + delay, next(self.ties), act))

    def advance(self, seconds: float, step: float = 0.01) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            target = self.now
            while self.events and self.events[0][0] <= target:
                when, _, act = heapq.heappop(self.events)
                self.now = max(self.now - step, when)
                act()
            self.now = target
            for life in list(self.lives.values()):
                life.poll()

    def boot(self, name: str) -> None:
        life = self.lives[name] = Life(self, name, f"{name}#{next(self.boots)}")
        for other in self.lives.values():
            if other is not life:
                self.connect(other.name, name)
                self.connect(name, other.name)
        assert life.alive

    def connect(self, sender: str, receiver: str) -> None:
        self.connected.add((sender, receiver))
        self.later(self.random.uniform(0, 0.05), lambda: self.join(sender, receiver))

    def join(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.connected:
            self.lives[sender].sender.on_joined(self.now, receiver)

    def disconnect(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.connected:
            self.connected.discard((sender, receiver))
            if sender in self.lives:
                self.lives[sender].sender.on_left(receiver)

    def crash(self, name: str) -> None:
        life = self.lives.pop(name)
        life.alive = False
        for pair in sorted(self.connected):
            if name in pair:
                self.disconnect(*pair)

    def _arrival(self, key: tuple[str, str, bool]) -> float:
        when = self.now + self.random.expovariate(1 / self.delay)
        if self.fifo:
            when = max(when, self.last_arrival.get(key, 0.0))
        self.last_arrival[key] = when
        return when - self.now

    def _copies(self) -> int:
        if self.random.random() < self.loss:
            return 0
        return 2 if self.random.random() < self.doubled else 1

    def carry(self, sender: Life, receiver: str, frame: bytes) -> None:
        self.history.append((sender.name, receiver, frame))
        for _ in range(self._copies()):
            self.later(
                self._arrival((sender.name, receiver, False)), lambda: self.deliver(sender.name, receiver, frame)
            )

    def deliver(self, sender: str, receiver: str, frame: bytes) -> None:
        if receiver in self.lives:
            self.lives[receiver].take(sender, frame)

    def carry_up(self, receiver: Life, sender: str, frame: bytes) -> None:
        for _ in range(self._copies()):
            self.later(self._arrival((sender, receiver.name, True)), lambda: self.deliver_up(sender, frame))

    def deliver_up(self, sender: str, frame: bytes) -> None:
        if sender in self.lives:
            self.lives[sender].sender.on_answer(self.now, decode_answer(frame))

    def replay(self) -> None:
        """An old frame comes once more, whoever lives now."""
        if self.history:
            self.deliver(*self.random.choice(self.history))

    # -- the ledger ---------------------------------------------------------------------------------------------

    def on_sent(self, life: Life, command: SentCommand) -> None:
        self.sent[command.id] = (life, command)

    def on_start(self, life: Life, entry: Received) -> None:
        command = entry.command
        self.starts.setdefault((command.command_id, life.name), []).append(life.boot)
        assert entry.deadline >= self.now
        assert entry.registered is not None
        sender_boot = command.command_id.split("_")[1]
        key = (sender_boot, life.boot, stream_of(command.target_id, command.command_type), entry.registered.lane)
        self.order.setdefault(key, []).append(entry.keys.seq)

    def on_end(self, life: Life, delivery: Delivery) -> None:
        key = (delivery.command.id, delivery.member)
        self.ends.setdefault(key, []).append(delivery.state)
        if delivery.state is not CommandState.UNKNOWN and len(self.ends[key]) == 1:
            assert self.now <= delivery.command.deadline + 0.02

    def check(self) -> dict[CommandState, int]:
        """The ledger balances; returns how the deliveries of senders that live ended."""
        counts = dict.fromkeys(CommandState, 0)
        for command_id, (life, command) in self.sent.items():
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
                elif delivery.state is not CommandState.UNKNOWN:
                    assert not starts, f"{command_id} was started and is {delivery.state} ({delivery.reason})"
        for (command_id, member), lives in self.starts.items():
            if self.sent[command_id][1].type != "again":
                assert len(lives) == 1, f"{command_id} was started {len(lives)} times by {member}"
            else:
                assert len(set(lives)) == len(lives), f"{command_id} was started twice in one life of {member}"
        for key, seqs in self.order.items():
            assert seqs == sorted(seqs), f"out of order: {key}"
        for life in self.lives.values():
            assert life.sender.outstanding == 0 and life.sender.waiting == 0 and life.sender._waiting_bytes == 0
            assert not any(life.sender._open.values())
        return counts
