"""The journal of durable commands: what survives, what is torn, what is forgotten."""

import os
import random
import time
from pathlib import Path

import pytest

from hftpy.errors import RootError
from hftpy.ipc import command_journal
from hftpy.ipc.command_journal import CommandJournal
from hftpy.ipc.command_protocol import Done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def plain(found: Done | bool) -> object:
    if isinstance(found, bool):
        return found
    return found.outcome, found.error, None if found.value is None else bytes(found.value)


def test_what_was_started_and_ended_survives(folder: Path) -> None:
    first = CommandJournal(folder, "b", fsync=True)
    assert first.find("a", "x", "1") is False
    later = time.monotonic() + 60
    first.started("a", "x", "1", later)
    first.started("a", "x", "2", later)
    first.done("a", "x", Done("2", "error", "", "Oops: é"))
    first.started("a", "x", "3", 0.0)
    first.done("a", "x", Done("3", "ok", "", "", [1, {"b": None}]))
    for _ in range(2):  # as it was written, and as it was written anew
        again = CommandJournal(folder, "b")
        assert again.find("a", "x", "1") is True and again.find("a", "y", "1") is False
        assert plain(again.find("a", "x", "2")) == ("error", "Oops: é", None)
        assert plain(again.find("a", "x", "3")) == ("ok", "", b'[1,{"b":null}]')
        again.close()
    assert again.path.stat().st_mode & 0o777 == 0o600
    first.close()


def test_a_file_cut_or_damaged_anywhere_loses_its_last_line_at_most(folder: Path) -> None:
    journal = CommandJournal(folder, "b")
    for number in range(20):
        journal.started("a", "x", str(number), time.monotonic() + 60)
    journal.close()
    whole = journal.path.read_bytes()
    for cut in [*range(0, len(whole), 97), *range(len(whole) - 130, len(whole))]:
        journal.path.write_bytes(whole[:cut])
        again = CommandJournal(folder, "b")
        complete = whole[: cut + 1].count(b"\n")  # the newline itself says nothing
        known = sum(again.find("a", "x", str(number)) is True for number in range(20))
        assert known == complete and again.damaged == 0
        again.started("a", "x", "new", time.monotonic() + 60)
        again.close()
        assert CommandJournal(folder, "b").find("a", "x", "new") is True
    chance = random.Random(7)
    for _ in range(50):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole) - 100)] ^= 1 << chance.randrange(8)
        journal.path.write_bytes(damaged)
        again = CommandJournal(folder, "b")
        known = sum(again.find("a", "x", str(number)) is True for number in range(20))
        assert known >= 18 and (again.damaged or known == 20)  # case and the blank carry nothing
        again.close()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 900_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(command_journal, "time", found)
    return found


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "commands").iterdir())


def test_it_does_not_grow_for_ever_and_forgets_nothing_too_early(folder: Path, clock: Clock) -> None:
    """Commands of all deadlines for an hour: each is known until its deadline and two minutes, and no call is long."""
    journal, chance = CommandJournal(folder, "b", part_lines=100), random.Random(3)
    ends: dict[str, tuple[float, bool]] = {}
    most = 0
    for number in range(36_000):
        clock.now += 0.1
        ttl = chance.choice([1.0, 5.0, 50.0, 200.0, 2000.0]) if number % 100 == 0 else chance.uniform(1.0, 10.0)
        journal.started("a", "x", str(number), clock.monotonic() + ttl)
        is_done = number % 7 != 0
        if is_done:
            journal.done("a", "x", Done(str(number), "ok"))
        ends[str(number)] = (clock.now + ttl, is_done)
        if number % 500 == 0:
            for name, (end, was_done) in list(ends.items()):
                if end + command_journal.KEEP_S <= clock.now:
                    del ends[name]
                else:
                    found = journal.find("a", "x", name)
                    assert plain(found) == ("ok", "", None) if was_done else found is True
            most = max(most, size_of(folder))
    assert most < 1_000_000 and len(journal._older) < 60
    assert sum(len(part.known) for part in (*journal._older, journal._part)) < 3 * len(ends)
    # As many files as it was killed with become one, and nothing is missing.
    journal.close()
    ends = {name: end for name, end in ends.items() if end[0] + command_journal.KEEP_S > clock.now}
    for _ in range(2):
        journal = CommandJournal(folder, "b")
        assert [path.name for path in (folder / "commands").iterdir()] == ["b.journal"]
        for name, (_, was_done) in ends.items():
            found = journal.find("a", "x", name)
            assert plain(found) == ("ok", "", None) if was_done else found is True
        journal.close()


def test_a_file_that_cannot_be_followed_is_gone_on_with(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = CommandJournal(folder, "b", part_lines=1, fsync=True)
    (folder / "commands" / "b.journal.1").mkdir()  # somebody's
    for number in range(3):
        clock.now += 10
        journal.started("a", "x", str(number), clock.monotonic() + 5)
    assert not journal._older
    (folder / "commands" / "b.journal.1").rmdir()
    clock.now += 10
    journal.started("a", "x", "3", clock.monotonic() + 5000)
    assert len(journal._older) == 1
    # What is needed of an old file is written once more; where there is no room for it, the old one stays.
    write, full = os.write, True

    def limited(file: int, line: bytes) -> int:
        if full and b'"3"' in line:
            raise OSError(28, "No space left on device")
        return write(file, line)

    monkeypatch.setattr(command_journal.os, "write", limited)
    clock.now += 200
    journal.started("a", "x", "4", clock.monotonic() + 5)
    assert journal.path.exists() and journal.find("a", "x", "3") is True
    full = False
    clock.now += 200
    journal.started("a", "x", "5", clock.monotonic() + 5)
    assert not journal.path.exists() and journal.find("a", "x", "3") is True
    journal.close()
    assert CommandJournal(folder, "b").find("a", "x", "3") is True


def test_a_crash_between_any_two_steps_of_opening_loses_nothing(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        pass

    def fill() -> None:
        journal = CommandJournal(folder, "b", part_lines=1)
        for number in range(4):
            clock.now += 6
            journal.started("a", "x", str(number), clock.monotonic() + 500)
            journal.done("a", "x", Done(str(number), "ok"))
        journal.close()

    def crash(*arguments: object, **options: object) -> None:
        raise Crash

    for module, name in ((os, "fsync"), (os, "rename"), (Path, "unlink")):
        fill()
        with monkeypatch.context() as patched:
            patched.setattr(module, name, crash)
            with pytest.raises(Crash):
                CommandJournal(folder, "b")
        journal = CommandJournal(folder, "b")
        assert [plain(journal.find("a", "x", str(number))) for number in range(4)] == [("ok", "", None)] * 4
        journal.close()


def test_what_cannot_be_opened_or_written(folder: Path) -> None:
    (folder / "commands").mkdir(0o700)
    (folder / "commands" / "b.journal").mkdir()
    with pytest.raises(RootError, match="cannot be used"):
        CommandJournal(folder, "b")
    journal = CommandJournal(folder, "c")
    os.close(journal._file)
    journal._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError):
        journal.started("a", "x", "1", 0.0)
    assert journal.find("a", "x", "1") is False
    journal.close()
