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


def test_it_does_not_grow_for_ever_and_forgets_nothing_too_early(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_journal, "KEEP_S", 0.0)
    journal = CommandJournal(folder, "b", compact_lines=1000)
    journal.started("a", "x", "kept", time.monotonic() + 60)
    for number in range(20_000):
        journal.started("a", "x", str(number), time.monotonic())
        journal.done("a", "x", Done(str(number), "ok"))
    assert journal.path.stat().st_size < 1_000_000
    assert journal.find("a", "x", "kept") is True
    journal.close()
    assert CommandJournal(folder, "b").find("a", "x", "kept") is True


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
