"""What was sent, started and ended, out of the files of all lives; and whether it balances.

Each command that a life sent is there for each process that it goes to, as one of: what it ended with, or orphaned, as
its sender was killed before it ended. Of an orphan only its receivers know; it was started once or not at all.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

GRACE_S = 1.0  # after its deadline every command has ended
LATE_START_S = 0.05  # between the look at the clock and the row that says that it was started
SETTLED_S = 1.0  # after a stop, or from the start of a process until all have joined it
STARVED_S = 0.25  # a process that waited so long for a processor is excused for what it did not hear
SHORT_OF_S = 0.1  # and for what was not done
RETRIED_S = 0.9  # what is lost is sent again within this time, also if the question was lost
RESOLVED_S = 3.0  # within this time a sender has asked about what it had no answer to, and heard one
RESTARTED = "the receiver was restarted"
LANES = {"go": "main", "again": "main"}


@dataclass
class Past:
    """One life."""

    name: str
    up: float = float("inf")
    died: float = float("inf")
    rows: list[list[Any]] = field(default_factory=list)
    cpu_at: list[float] = field(default_factory=list)
    cpu_waited: list[float] = field(default_factory=list)

    def starved(self, lo: float, hi: float) -> float:
        """How long it waited for a processor in a time."""
        if not self.cpu_at:
            return 0.0
        last = len(self.cpu_at) - 1
        first = max(0, bisect_right(self.cpu_at, lo) - 1)
        return self.cpu_waited[min(last, bisect_left(self.cpu_at, hi))] - self.cpu_waited[first]


@dataclass
class Sent:
    """A command as its sender wrote it down."""

    life: Past
    target: str
    kind: str
    number: int
    at: float
    deadline: float


@dataclass
class Ledger:
    """What happened, as the files tell it."""

    offered: int = 0
    sent: int = 0
    deliveries: int = 0
    kills: int = 0
    stops: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)  # of those, which were started
    starts: int = 0
    again: int = 0  # starts by a further life, of what is idempotent
    resolved: int = 0
    excused: int = 0  # did not end well, while nothing was done to their processes but that they got no processor
    starved: int = 0  # was not done, and its processes waited for a processor meanwhile
    durable_cut: int = 0  # unknown, as the sender was killed before it could hear what became of them
    durable_unknown: dict[str, int] = field(default_factory=dict)
    durable_limit: dict[str, int] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # no final state a second after the deadline
    wrong: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """The counts."""
        return {name: len(value) if isinstance(value, list) else value for name, value in vars(self).items()}

    def check(self, *, whole: bool = False) -> None:
        """It balances; with `whole`, what a busy machine kept from being done counts as not done."""
        assert not self.twice, self.twice[:5]
        assert not self.lost, self.lost[:5]
        assert not self.late, self.late[:5]
        assert not self.wrong, self.wrong[:5]
        assert not self.unordered, self.unordered[:5]
        for name, unknown in self.durable_unknown.items():
            assert unknown <= self.durable_limit[name], (name, self.durable_unknown, self.durable_limit)
        assert sum(self.ended.values()) == self.deliveries >= self.sent > 0
        assert sum(self.started.values()) + self.again == self.starts
        assert 2 * self.ended["done"] >= self.deliveries - (0 if whole else self.starved), self.shown()


class Files:
    """The files of all lives, and what was done to them."""

    def __init__(
        self, folder: Path, kills: dict[str, list[float]], stops: dict[str, list[tuple[float, float]]]
    ) -> None:
        self.stops = stops
        self.lives: dict[str, list[Past]] = {name: [] for name in kills}
        for name, deaths in kills.items():
            for number in range(len(deaths) + 1):
                life = Past(name, died=deaths[number] if number < len(deaths) else float("inf"))
                self._read(folder / f"{name}.{number}", life)
                self.lives[name].append(life)

    @staticmethod
    def _read(path: Path, life: Past) -> None:
        if not path.exists():
            return  # killed before it had begun
        *lines, torn = path.read_bytes().split(b"\n")
        # A kill ends a write that crosses pages between two of them; what the row says had not begun by then.
        assert not torn or life.died < float("inf"), f"a row of {path} was torn, of a life that nobody killed"
        for line in lines:
            row = msgspec.json.decode(line)
            if row[0] == "up":
                life.up = row[1]
            elif row[0] == "cpu":
                life.cpu_waited.append(row[1])
                life.cpu_at.append(row[2])
            else:
                life.rows.append(row)

    def disturbed(self, name: str, lo: float, hi: float) -> bool:
        """Whether a process was dead, stopped or just beginning in a time, or shortly before."""
        if any(begin < hi and lo < end + SETTLED_S for begin, end in self.stops[name]):
            return True
        down = 0.0
        for life in self.lives[name]:
            if down < hi and lo < life.up + SETTLED_S:
                return True
            down = life.died
        return False

    def starved(self, name: str, lo: float, hi: float, limit_s: float) -> bool:
        """Whether a process wanted a processor and had none for so long."""
        return any(life.starved(lo, hi) > limit_s for life in self.lives[name] if life.up < hi and life.died > lo)

    def stopped(self, name: str, lo: float, hi: float) -> float:
        """How much of a time a process was stopped."""
        return sum(max(0.0, min(hi, end) - max(lo, begin)) for begin, end in self.stops[name])


def read_ledger(
    folder: Path, kills: dict[str, list[float]], stops: dict[str, list[tuple[float, float]]], finish: float,
    offered: int,
) -> Ledger:  # fmt: skip
    """Balance the files."""
    files = Files(folder, kills, stops)
    ledger = Ledger(offered, kills=sum(map(len, kills.values())), stops=sum(map(len, stops.values())))
    sent: dict[str, Sent] = {}
    starts: dict[str, dict[str, list[Past]]] = {}
    ends: dict[str, dict[str, list[tuple[str, str, float]]]] = {}
    for life in (life for lives in files.lives.values() for life in lives):
        for row in life.rows:
            if row[0] == "sent":
                sent[row[1]] = Sent(life, *row[2:])
            elif row[0] == "end":
                ends.setdefault(row[1], {}).setdefault(row[2], []).append(tuple(row[3:]))
    for life in (life for lives in files.lives.values() for life in lives):
        last: dict[tuple[int, str, str], int] = {}
        for row in (row for row in life.rows if row[0] == "start"):
            _, command_id, kind, number, at = row
            ledger.starts += 1
            command = sent.get(command_id)
            if command is None:
                ledger.wrong.append(f"{command_id} was started by {life.name} and never sent")
                continue
            starts.setdefault(command_id, {}).setdefault(life.name, []).append(life)
            late_s = at - command.deadline
            since = command.deadline - LATE_START_S
            if late_s > LATE_START_S + life.starved(since, at) + files.stopped(life.name, since, at):
                ledger.wrong.append(f"{command_id} {kind} was started by {life.name} {late_s:.2f} s too late")
            key = (id(command.life), command.target, LANES.get(kind, kind))
            if number < last.get(key, 0):
                ledger.unordered.append(f"{command_id} ({key[1:]}) by {life.name}: {number} after {last[key]}")
            last[key] = max(number, last.get(key, 0))
    ledger.sent = len(sent)
    ledger.durable_unknown = dict.fromkeys(kills, 0)
    ledger.durable_limit = {name: len(deaths) for name, deaths in kills.items()}  # there is one lane
    for command_id, command in sent.items():
        by_member = ends.get(command_id, {})
        began = starts.get(command_id, {})
        members = {command.target} if command.target != "*" else {*by_member, *began} or {""}
        for member in members:
            ledger.deliveries += 1
            _check_starts(ledger, command_id, command, member, began.get(member, []))
            _check_end(ledger, files, finish, command_id, command, member, by_member.get(member, []), member in began)
    return ledger


def _check_starts(ledger: Ledger, command_id: str, command: Sent, member: str, lives: list[Past]) -> None:
    if command.kind != "again":
        if len(lives) > 1:
            ledger.twice.append(f"{command_id} {command.kind} by {member}, {len({id(life) for life in lives})} lives")
    elif len({id(life) for life in lives}) < len(lives):
        ledger.twice.append(f"{command_id} again by {member} in one life")
    ledger.again += max(0, len(lives) - 1)


def _check_end(
    ledger: Ledger, files: Files, finish: float, command_id: str, command: Sent, member: str,
    ends: list[tuple[str, str, float]], started: bool,
) -> None:  # fmt: skip
    name, sender = f"{command_id} {command.kind} to {member} ({command.target})", command.life
    if not ends or ends[-1][0] != "done":
        until = min(command.deadline, sender.died)
        ledger.starved += any(files.starved(one, command.at, until, SHORT_OF_S) for one in (sender.name, member) if one)
    excuse_s = files.stopped(sender.name, command.at, min(sender.died, finish))
    excuse_s += sender.starved(command.at, min(sender.died, finish))
    if not ends:
        lived_s = min(sender.died, finish) - (command.deadline + GRACE_S)
        if lived_s > excuse_s:
            ledger.lost.append(f"{name}: its sender lived {lived_s:.2f} s beyond its deadline")
        ledger.ended["orphaned"] += 1
        ledger.started["orphaned"] += started
        return
    first, _, at = ends[0]
    final, reason, _ = ends[-1]
    ledger.ended[final] += 1
    ledger.started[final] += started
    if at > command.deadline + GRACE_S:
        excuse_s = files.stopped(sender.name, command.at, at) + sender.starved(command.at, at)
        if at > command.deadline + GRACE_S + excuse_s:
            ledger.late.append(f"{name}: {first} {at - command.deadline:.2f} s late")
    if len(ends) > 1:
        ledger.resolved += 1
        if first != "unknown" or len(ends) > 2:
            ledger.wrong.append(f"{name} ended as {ends}")
    if started and final not in ("done", "unknown"):
        ledger.wrong.append(f"{name} was started and is {final}: {reason}")
    if not started and final == "done":
        ledger.wrong.append(f"{name} is done and was not started")
    if final == "done" or not member:
        return
    if command.kind == "durable" and final == "unknown":
        # What was not heard of in time is asked about further on, by a sender that lives.
        until = at + RESOLVED_S
        if reason == RESTARTED or (until < min(sender.died, finish) and not files.disturbed(member, at, until)):
            ledger.durable_unknown[member] += 1
        else:
            ledger.durable_cut += 1
    if command.deadline - command.at < RETRIED_S:
        return
    if not files.disturbed(member, command.at, at) and not files.disturbed(sender.name, command.at, at):
        if any(files.starved(one, command.at, at, STARVED_S) for one in (member, sender.name)):
            ledger.excused += 1
        else:
            ledger.wrong.append(f"{name} is {final} ({reason}) though both its ends lived")
