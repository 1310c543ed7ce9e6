"""Who published at an address, kept in ``{root}/lives/{exchange}.{channel}.json``.

So a subscriber learns of a publisher that came and went while it was stopped, or before it was connected.

Written when a publisher begins and ends, by whoever holds the address's lock, and replaced as a whole.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from hftcore.enums import Channel, Exchange
from hftpy.common.paths import make_private_folder

logger = logging.getLogger(__name__)

KEPT = 8  # a subscriber that missed more is told of the others by the first that is kept
MAX_TOPICS = 10_000


class Life(msgspec.Struct, kw_only=True):
    """One publisher's life.

    `number` counts from 1; `sent` is the last number of each topic, once it has ended in order.
    """

    number: int
    epoch: int
    pid: int
    sent: dict[str, int] | None = None
    ended: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in order or not."""
        if self.ended:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


_read = msgspec.json.Decoder(list[Life]).decode


def lives_path(root: Path, exchange: Exchange, channel: Channel) -> Path:
    """Where the lives of the publishers of an address are kept."""
    return root / "lives" / f"{exchange}.{channel}.json"


def read_lives(path: Path) -> list[Life]:
    """The latest lives, oldest first; empty where nothing is known."""
    try:
        return _read(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        logger.warning("%s cannot be read: %s", path, error)
        return []


def begin_life(path: Path, epoch: int) -> None:
    """A publisher, which owns the address, begins."""
    lives = read_lives(path)
    number = lives[-1].number + 1 if lives else 1
    _write(path, [*lives, Life(number=number, epoch=epoch, pid=os.getpid())])


def end_life(path: Path, epoch: int, sent: Mapping[str, int]) -> None:
    """It ends, and has sent so much."""
    lives = read_lives(path)
    for life in lives:
        if life.epoch == epoch:
            life.ended = True
            life.sent = dict(sent) if len(sent) <= MAX_TOPICS else None
    _write(path, lives)


def _write(path: Path, lives: list[Life]) -> None:
    kept = lives[-KEPT:]
    draft = path.with_name(path.name + ".new")
    try:
        make_private_folder(path.parent)
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(kept))
        os.replace(draft, path)
    except OSError as error:  # a full disk keeps nobody from publishing
        logger.warning("%s cannot be written: %s", path, error)


class UnheardLives:
    """Which publishers of an address a subscriber should have heard, and has not.

    Parameters
    ----------
    path
        Of `lives_path`.
    lose
        Called with what such a publisher sent, by topic; None: that is not known.
    """

    def __init__(self, path: Path, lose: Callable[[Mapping[str, int] | None], object]) -> None:
        self._path = path
        self._lose = lose
        self._known = self._last(read_lives(path))  # what ended before is nothing that we have missed
        self._suspects: set[int] = set()
        self._stamp: tuple[int, int] | None = None
        self._quiet = True  # nobody has come since

    @staticmethod
    def _last(lives: Iterable[Life]) -> int:
        return max((life.number for life in lives), default=0)

    def heard_first(self, epoch: int) -> None:
        """The first frame is there, of this life; those before it were not heard."""
        lives = read_lives(self._path)
        number = next((life.number for life in lives if life.epoch == epoch), None)
        if number is not None:
            self._tell(life for life in lives if life.number < number)
            self._known = max(self._known, number)

    def look(self, epoch: int) -> None:
        """Called each second, with the life that is heard (0: none so far)."""
        try:
            found = self._path.stat()
        except OSError:
            return
        stamp = (found.st_ino, found.st_mtime_ns)
        if stamp == self._stamp and not self._suspects and self._quiet:
            return
        self._stamp = stamp
        lives = read_lives(self._path)
        heard = next((life.number for life in lives if life.epoch == epoch), 0)
        self._known = max(self._known, heard)
        new = [life for life in lives if life.number > self._known]
        over = {life.number for life in new if life.is_over}
        self._quiet = not new
        # What it sent may still be on its way through our own socket: it is told the next time.
        self._tell(life for life in new if life.number in over & self._suspects)
        self._suspects = over - self._suspects

    def _tell(self, lives: Iterable[Life]) -> None:
        for life in lives:
            if life.number > self._known:
                self._known = life.number
                if not life.ended or life.sent is None or any(life.sent.values()):
                    self._lose(life.sent if life.ended else None)
