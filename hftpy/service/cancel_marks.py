"""What a gateway remembers of each `cancel_all`, since it overtakes the orders that were sent before it.

`cancel_all` and `halt` wait behind no other command, on the wire too. An order that was sent before one and comes
after it would be placed although its strategy has cancelled everything; the marks kept here tell which orders those
are. Of the strategy's own `cancel_all`, by what it numbered its commands with: their time and their counter, which
never go back within a life. Of somebody else's (an operator's), by the time at which it came: an order that was sent
until then and had come in time would have been cancelled.

Marks outlive the gateway in ``{root}/commands/{process_id}.cancels``, replaced whole: an order may wait for the next
life of the gateway.
"""

import contextlib
import logging
import os
import time
from pathlib import Path

import msgspec

from hftpy.common import CurrencyPair
from hftpy.common.paths import make_private_folder
from hftpy.ipc import IPCCommand

log = logging.getLogger(__name__)

KEEP_S = 60.0  # longer than any order command may be on its way; a clock that was set back spoils no more than this
MAX_MARKS = 1000


class _Mark(msgspec.Struct, array_like=True):
    strategy: str
    symbol: str  # empty: all
    sender: str
    sent_us: int
    counter: int
    came_us: int  # by our wall clock


class CancelMarks:
    """The latest `cancel_all` of each strategy, symbol and sender.

    Parameters
    ----------
    path
        Where they are kept for the next life.

    Thread safety: one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, dict[tuple[str, str], _Mark]] = {}
        self._count = 0
        self._load()

    def __len__(self) -> int:
        return self._count

    def add(self, command: IPCCommand, strategy: str, symbol: CurrencyPair | None) -> None:
        """A `cancel_all` or `halt` has come, for a strategy's orders of a symbol (None: of all)."""
        now_us = time.time_ns() // 1000
        if self._count >= MAX_MARKS:
            self._forget(now_us)
        mark = _Mark(
            strategy, "" if symbol is None else str(symbol), command.sender_id, command.timestamp,
            _counter_of(command.command_id), now_us,
        )  # fmt: skip
        self._put(mark)
        self._save(now_us)

    def covers(self, command: IPCCommand, symbol: CurrencyPair) -> bool:
        """Whether an order was sent by `command` before a `cancel_all` of its strategy that has come."""
        marks = self._marks.get(command.sender_id)
        if not marks:
            return False
        forget_us, name = time.time_ns() // 1000 - int(KEEP_S * 1e6), str(symbol)
        sent = (command.timestamp, _counter_of(command.command_id))
        for mark in marks.values():
            if mark.symbol not in ("", name) or mark.came_us < forget_us:
                continue
            if mark.sender == command.sender_id:
                if sent < (mark.sent_us, mark.counter) or sent == (mark.sent_us, 0):
                    return True
            elif command.timestamp <= mark.came_us:
                return True
        return False

    def _put(self, mark: _Mark) -> None:
        marks = self._marks.setdefault(mark.strategy, {})
        key = (mark.symbol, mark.sender)
        old = marks.get(key)
        if old is None:
            self._count += 1
        elif (old.sent_us, old.counter) > (mark.sent_us, mark.counter) and mark.sender == mark.strategy:
            if old.came_us + KEEP_S * 1e6 > mark.came_us:
                return  # sent earlier, and has come later
        marks[key] = mark

    def _forget(self, now_us: int) -> None:
        kept = sorted(self._all(now_us), key=lambda mark: mark.came_us)
        if len(kept) > MAX_MARKS // 2:
            log.error("%d cancel_all in a minute: the oldest are forgotten", len(kept))
            kept = kept[-MAX_MARKS // 2 :]
        self._marks, self._count = {}, 0
        for mark in kept:
            self._put(mark)

    def _all(self, now_us: int) -> list[_Mark]:
        forget_us = now_us - int(KEEP_S * 1e6)
        return [mark for marks in self._marks.values() for mark in marks.values() if mark.came_us >= forget_us]

    def _load(self) -> None:
        try:
            marks = msgspec.json.decode(self._path.read_bytes(), type=list[_Mark])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeError) as error:
            log.error("%s cannot be read: orders sent before a cancel_all may still be placed: %s", self._path, error)
            return
        now_us = time.time_ns() // 1000
        for mark in marks[-MAX_MARKS:]:
            mark.came_us = min(mark.came_us, now_us)  # the clock was set back meanwhile
            self._put(mark)

    def _save(self, now_us: int) -> None:
        # Not synced: what the kernel has outlives the process, and no order outlives the machine.
        temporary = self._path.with_name(f"{self._path.name}.new")
        encoded = msgspec.json.encode(self._all(now_us))
        try:
            make_private_folder(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(temporary, "wb", opener=lambda path, _: os.open(path, flags, 0o600)) as file:
                file.write(encoded)
            temporary.replace(self._path)
        except OSError as error:  # RootError too
            with contextlib.suppress(OSError):
                temporary.unlink()
            log.error("%s cannot be written: another life of this gateway will not know it: %s", self._path, error)


def _counter_of(command_id: str) -> int:
    """The last part of ``{sender}_{time}_{counter}``; 0 if it is not of that form."""
    last = command_id.rpartition("_")[2]
    return int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
