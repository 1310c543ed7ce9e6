"""The journal of durable commands: which were started and how they ended, across the death of their process.

A file ``{root}/commands/{process_id}.journal`` that is only appended to: one line per start and per end, each with a
checksum. A line is written before the handler starts and before its sender is told of its end. A write survives the
death of the process as soon as the kernel has it; it survives that of the machine only with `fsync`. A last line that
was torn is dropped. When most lines are no longer needed, the file is written anew and renamed into place.
"""

import logging
import os
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec

from hftpy.common.paths import make_private_folder
from hftpy.errors import RootError
from hftpy.ipc.command_protocol import Done

logger = logging.getLogger(__name__)

KEEP_S = 120.0  # how long after a command's deadline its lines are kept: its sender asks for a minute
NO_DEADLINE_S = 3600.0
COMPACT_LINES = 4096

_Key = tuple[str, str, str]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class CommandJournal:
    """The journal of one process; its owner is who owns the process's address.

    Parameters
    ----------
    root, process_id
        Name the file.
    fsync
        Whether each line is forced to the disk: slower by the time of the disk.
    compact_lines
        The file is not written anew before it has so many lines.

    Raises
    ------
    RootError
        If the file cannot be opened.
    """

    def __init__(self, root: Path, process_id: str, *, fsync: bool = False, compact_lines: int = COMPACT_LINES) -> None:
        folder = root / "commands"
        make_private_folder(folder)
        self.path = folder / f"{process_id}.journal"
        self._fsync = fsync
        self._compact_lines = compact_lines
        self._known: dict[_Key, tuple[float, Done | None]] = {}  # until when by the wall clock, and its end
        self._lines = 0
        self._file = -1
        self._torn = False  # the last line was written in part
        self.damaged = 0
        try:
            self._load()
            self._compact()
        except OSError as error:
            raise RootError(f"journal {self.path} cannot be used: {error.strerror}") from error

    def find(self, sender: str, boot: str, command_id: str) -> Done | bool:
        """The end of a command; True if it was started and has none; False if it was never started."""
        found = self._known.get((sender, boot, command_id))
        if found is None:
            return False
        return True if found[1] is None else found[1]

    def started(self, sender: str, boot: str, command_id: str, until: float) -> None:
        """A handler is about to start; `until` is the command's deadline (CLOCK_MONOTONIC; 0.0: none).

        Raises
        ------
        OSError
            If it cannot be written: then the handler must not start.
        """
        wall = time.time() + (until - time.monotonic() if until > 0.0 else NO_DEADLINE_S)
        self._write(["s", sender, boot, command_id, round(wall, 3)])
        self._known[sender, boot, command_id] = (wall, None)

    def done(self, sender: str, boot: str, done: Done) -> None:
        """A handler has ended.

        Raises
        ------
        OSError
            If it cannot be written: then the command will be unknown after a crash.
        """
        key = (sender, boot, done.command_id)
        until, _ = self._known.get(key, (time.time() + NO_DEADLINE_S, None))
        self._write(["d", sender, boot, done, round(until, 3)])
        self._known[key] = (until, done)
        if self._lines > self._compact_lines and self._lines > 4 * len(self._known):
            self._compact()

    def close(self) -> None:
        """Close the file; it stays for the next life."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

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
        if self._lines > self._compact_lines and self._lines % 1024 == 0:
            self._forget()

    def _load(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        lines = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            record = _record(line)
            if record is None:
                if line and number < len(lines):
                    self.damaged += 1
                    logger.error("journal %s: line %d is damaged", self.path, number)
                continue
            kind, sender, boot, what, until = record
            if kind == "s":
                self._known.setdefault((sender, boot, what), (until, None))
            else:
                done = msgspec.convert(what, Done)
                if done.value is not None:
                    done.value = msgspec.Raw(_encode(done.value))
                self._known[sender, boot, done.command_id] = (until, done)

    def _forget(self) -> None:
        now = time.time()
        self._known = {key: found for key, found in self._known.items() if found[0] + KEEP_S > now}

    def _compact(self) -> None:
        """Write what is needed into a new file, and put it in the place of the old one."""
        self._forget()
        fresh = self.path.with_name(self.path.name + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(fresh, flags, 0o600)
        try:
            records = [
                ["s", *key, round(until, 3)] if done is None else ["d", *key[:2], done, round(until, 3)]
                for key, (until, done) in self._known.items()
            ]
            with open(file, "wb", closefd=False) as stream:
                stream.writelines(_line(record) for record in records)
            os.fsync(file)
            os.rename(fresh, self.path)
        except BaseException:
            os.close(file)
            raise
        self.close()
        self._file = file
        self._torn = False
        self._lines = len(records)


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
