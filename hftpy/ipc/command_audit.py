"""Who sent which command to whom, and what came of it: records for a file, and for whoever watches.

Payloads and results are in no record: they may hold what must not lie in a file.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hftpy.common.log import LimitedLog
from hftpy.errors import RootError
from hftpy.ipc.command_protocol import Done
from hftpy.ipc.command_session import Received
from hftpy.ipc.sent_command import Delivery, SentCommand

logger = logging.getLogger(__name__)

TAIL_TOPIC = b"\x00hft.tail/"  # what a watcher subscribes; no peer's topic begins like this
MAX_BYTES = 16 << 20
FILES = 4

_encode = msgspec.json.Encoder().encode


def audit_path(process_id: str, chosen: str | os.PathLike[str] | None) -> Path | None:
    """Where a process's commands are written down: the chosen file, or one in ``$HFT_COMMAND_AUDIT``, or nowhere."""
    if chosen is not None:
        return Path(os.path.abspath(chosen))
    folder = os.environ.get("HFT_COMMAND_AUDIT")
    return Path(folder, f"{process_id}.jsonl") if folder else None


class AuditLog:
    """A file of JSON lines; at `max_bytes` it becomes ``{path}.1``, and so on up to `files` of them.

    Raises
    ------
    RootError
        If the file cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, files: int = FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._log = LimitedLog(logger)
        self._torn = False  # the last line was written in part
        self.lost = 0
        try:
            self._open()
        except OSError as error:
            raise RootError(f"audit log {path} cannot be opened: {error.strerror}") from error

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, line: bytes) -> None:
        """Append a line; one that cannot be written is logged and counted."""
        try:
            if self._file < 0:
                self._open()  # it could not be after the last rotation
            elif self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            if self._torn:
                line = b"\n" + line  # the disk was full: this line must not continue that one
            written = os.write(self._file, line)
            self._size += written
            if written != len(line):
                self._torn |= written > 0
                raise OSError(f"{written} of {len(line)} bytes were written")
            self._torn = False
        except OSError as error:
            self.lost += 1
            self._log.warning("lost", "audit log %s: a line was lost: %s", self._path, error)

    def _rotate(self) -> None:
        try:
            for number in range(self._files - 1, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                if older.exists():
                    os.replace(older, self._path.with_name(f"{self._path.name}.{number + 1}"))
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            self._torn = False
        except OSError as error:
            self._log.warning("rotate", "audit log %s cannot be rotated: %s", self._path, error)
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class CommandObserver:
    """Makes records of what a process sends and receives, where somebody wants them.

    A record has ``t`` (microseconds since 1970), ``process``, ``what`` and the command's id, sender, target, member
    and type: ``sent`` when it is sent; ``ended`` with its state, reason, error and milliseconds on the sender's side;
    ``received`` with the outcome, reason and error on the receiver's.
    """

    def __init__(self, process_id: str) -> None:
        self._process_id = process_id
        self.audit: AuditLog | None = None
        self.tail: Callable[[bytes], None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether anybody wants records."""
        return self.audit is not None or self.tail is not None

    def on_sent(self, command: SentCommand) -> None:
        """A command was given to be sent."""
        self._record("sent", command.id, self._process_id, command.target_id, command.target_id, command.type, {})

    def on_delivery(self, delivery: Delivery) -> None:
        """A command has ended for one of those that it goes to."""
        command = delivery.command
        sent_us = int(command.id.split("_")[-2])
        self._record(
            "ended", command.id, self._process_id, command.target_id, delivery.member or command.target_id,
            command.type,
            {"state": str(delivery.state), "reason": delivery.reason, "error": delivery.error,
             "attempts": delivery.attempt, "ms": round((time.time_ns() // 1000 - sent_us) / 1000, 3)},
        )  # fmt: skip

    def on_received(self, entry: Received, done: Done) -> None:
        """A command has ended here."""
        command = entry.command
        self._record(
            "received", command.command_id, command.sender_id, command.target_id, self._process_id,
            command.command_type, {"outcome": done.outcome, "reason": done.reason, "error": done.error},
        )  # fmt: skip

    def _record(
        self, what: str, command_id: str, sender: str, target: str, member: str, kind: str, more: dict[str, Any]
    ) -> None:
        record = {
            "t": time.time_ns() // 1000, "process": self._process_id, "what": what, "id": command_id,
            "sender": sender, "target": target, "member": member, "type": kind, **more,
        }  # fmt: skip
        line = _encode(record) + b"\n"
        if self.audit is not None:
            self.audit.write(line)
        if self.tail is not None:
            self.tail(TAIL_TOPIC + line)
