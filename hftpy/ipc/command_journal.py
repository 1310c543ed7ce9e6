"""The journal of durable commands: which were started and how they ended, across the death of their process.

Files ``{root}/commands/{process_id}.journal`` and, behind it, ``….journal.1`` and so on, that are only appended to: one
line per start and per end, each with a checksum. A line is written before the handler starts and before its sender is
told of its end. A write survives the death of the process as soon as the kernel has it; it survives that of the machine
only with `fsync`. A last line that was torn is dropped.

A file that has lines enough is followed by the next one, and removed when what it holds is no longer needed; the few
commands in it whose deadline is far are written once more before, some with each line. So no write waits for many. When
the journal is opened, what is needed of all files is written into one.
"""

import logging
import os
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from hftpy.common.log import LimitedLog
from hftpy.common.paths import make_private_folder, sync_folder
from hftpy.errors import RootError
from hftpy.ipc.command_protocol import Done

logger = logging.getLogger(__name__)

KEEP_S = 120.0  # how long after a command's deadline its lines are kept: its sender asks for a minute
NO_DEADLINE_S = 3600.0
PART_LINES, PART_S = 4096, 5.0  # a file has at least so many lines, and was written to for so long
FAR_S = 60.0  # a file is kept for deadlines up to this, beyond it they are written once more
CARRIED = 4  # with each line

_Key = tuple[str, str, str]
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class _Part:
    """What stands in one file."""

    __slots__ = ("far", "known", "path", "until")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[_Key, tuple[float, Done | None]] = {}  # until when by the wall clock, and its end
        self.far: dict[_Key, None] = {}  # those of them whose deadline is far
        self.until = 0.0  # the latest deadline of the others


class CommandJournal:
    """The journal of one process; its owner is who owns the process's address.

    Parameters
    ----------
    root, process_id
        Name the files.
    fsync
        Whether each line is forced to the disk: slower by the time of the disk.
    part_lines
        No file is followed by another before it has so many lines.

    Raises
    ------
    RootError
        If the files cannot be opened.
    """

    def __init__(self, root: Path, process_id: str, *, fsync: bool = False, part_lines: int = PART_LINES) -> None:
        folder = root / "commands"
        make_private_folder(folder)
        self.path = folder / f"{process_id}.journal"
        self._fsync = fsync
        self._part_lines = part_lines
        self._part = _Part(self.path)  # that is written to
        self._older: deque[_Part] = deque()
        self._log = LimitedLog(logger)
        self._began = time.time()
        self._number = self._lines = 0
        self._file = -1
        self._torn = False  # the last line was written in part
        self.damaged = 0
        try:
            self._load()
        except OSError as error:
            raise RootError(f"journal {self.path} cannot be used: {error.strerror}") from error

    def find(self, sender: str, boot: str, command_id: str) -> Done | bool:
        """The end of a command; True if it was started and has none; False if it was never started."""
        found = self._find((sender, boot, command_id))
        if found is None:
            return False
        return True if found[1] is None else found[1]

    def _find(self, key: _Key) -> tuple[float, Done | None] | None:
        found = self._part.known.get(key)
        if found is None:
            parts = (part.known for part in reversed(self._older))
            found = next((known[key] for known in parts if key in known), None)
        return found

    def started(self, sender: str, boot: str, command_id: str, until: float) -> None:
        """A handler is about to start; `until` is the command's deadline (CLOCK_MONOTONIC; 0.0: none).

        Raises
        ------
        OSError
            If it cannot be written: then the handler must not start.
        """
        now = time.time()
        wall = now + (until - time.monotonic() if until > 0.0 else NO_DEADLINE_S)
        self._add(now, (sender, boot, command_id), wall, None)
        self._tidy(now)

    def done(self, sender: str, boot: str, done: Done) -> None:
        """A handler has ended.

        Raises
        ------
        OSError
            If it cannot be written: then the command will be unknown after a crash.
        """
        now = time.time()
        key = (sender, boot, done.command_id)
        until, _ = self._find(key) or (now + NO_DEADLINE_S, None)
        self._add(now, key, until, done)
        self._tidy(now)

    def close(self) -> None:
        """Close the file; it stays for the next life."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _add(self, now: float, key: _Key, until: float, done: Done | None) -> None:
        self._write(_record_of(key, until, done))
        part = self._part
        part.known[key] = (until, done)
        if until > now + FAR_S:
            part.far[key] = None
        elif until > part.until:
            part.until = until

    def _write(self, record: list[Any]) -> None:
        # The disk was full: this line must not continue that one.
        line = b"\n" + _line(record) if self._torn else _line(record)
        written = os.write(self._file, line)
        if written != len(line):
            self._torn |= written > 0
            raise OSError(f"{written} of {len(line)} bytes were written")
        self._torn = False
        if self._fsync:
            os.fdatasync(self._file)
        self._lines += 1

    # -- files --------------------------------------------------------------------------------------------------

    def _tidy(self, now: float) -> None:
        if self._lines >= self._part_lines and not 0.0 <= now - self._began < PART_S:
            self._follow(now)
        if self._older and self._older[0].until + KEEP_S < now:
            try:
                self._retire(self._older[0], now)
            except OSError as error:
                self._log.warning("retire", "journal %s: what was needed stays: %s", self._older[0].path, error)

    def _follow(self, now: float) -> None:
        """Go on in a new file; in the old one, if there can be none."""
        path = self.path.with_name(f"{self.path.name}.{self._number + 1}")
        try:
            file = os.open(path, _FLAGS | os.O_EXCL, 0o600)
            if self._fsync:
                sync_folder(path.parent)
        except OSError as error:
            self._began = now  # and then again
            self._log.warning("follow", "journal %s: no further file: %s", path, error)
            return
        self.close()
        self._file = file
        self._older.append(self._part)
        self._part = _Part(path)
        self._number += 1
        self._began, self._lines, self._torn = now, 0, False

    def _retire(self, part: _Part, now: float) -> None:
        """Remove a file, once what is still needed of it stands in the present one."""
        for _ in range(CARRIED):
            if not part.far:
                break
            key = next(iter(part.far))
            until, done = part.known[key]
            if until + KEEP_S > now and self._find(key) is part.known[key]:
                self._add(now, key, until, done)
            del part.far[key]
        if not part.far:
            self._older.popleft()
            part.path.unlink(missing_ok=True)

    def _numbered(self) -> list[tuple[int, Path]]:
        """The files behind the first one, in their order."""
        found = ((path.name.removeprefix(f"{self.path.name}."), path) for path in self.path.parent.iterdir())
        return sorted((int(end), path) for end, path in found if end.isascii() and end.isdigit())

    def _load(self) -> None:
        numbered = self._numbered()
        for path in (self.path, *(path for _, path in numbered)):
            self._read(path)
        self._number = max((number for number, _ in numbered), default=0)
        self._write_anew()
        for _, path in numbered:
            path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        known = self._part.known
        lines = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            record = _record(line)
            if record is None:
                if line and number < len(lines):
                    self.damaged += 1
                    logger.error("journal %s: line %d is damaged", path, number)
                continue
            kind, sender, boot, what, until = record
            if kind == "s":
                known.setdefault((sender, boot, what), (until, None))
            else:
                done = msgspec.convert(what, Done)
                if done.value is not None:
                    done.value = msgspec.Raw(_encode(done.value))
                known[sender, boot, done.command_id] = (until, done)

    def _write_anew(self) -> None:
        """Write what is needed into a new file, and put it in the place of the first one."""
        now, part = time.time(), self._part
        part.known = {key: found for key, found in part.known.items() if found[0] + KEEP_S > now}
        part.far = {key: None for key, (until, _) in part.known.items() if until > now + FAR_S}
        part.until = max((until for key, (until, _) in part.known.items() if key not in part.far), default=0.0)
        fresh = self.path.with_name(self.path.name + ".new")
        file = os.open(fresh, _FLAGS | os.O_TRUNC, 0o600)
        try:
            records = [_record_of(key, until, done) for key, (until, done) in part.known.items()]
            with open(file, "wb", closefd=False) as stream:
                stream.writelines(_line(record) for record in records)
            os.fsync(file)
            os.rename(fresh, self.path)
            if self._fsync:
                sync_folder(self.path.parent)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._lines = len(records)


def _record_of(key: _Key, until: float, done: Done | None) -> list[Any]:
    return ["s", *key, round(until, 3)] if done is None else ["d", *key[:2], done, round(until, 3)]


def _line(record: list[Any]) -> bytes:
    body = _encode(record)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _record(line: bytes) -> list[Any] | None:
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        record = _decode(line[9:])
    except (ValueError, msgspec.DecodeError):
        return None
    return record if len(record) == 5 else None
