"""What a process tells about itself: a JSON file ``{root}/status/{process_id}.json``, replaced whole twice a second.

A process owns its name by a lock beside that file, from start to end: two of one name would tell of each other, and
save each other's state.
"""

import json
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftpy.common.file_lock import FileLock
from hftpy.common.paths import get_root, make_private_folder

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
_KINDS: dict[str, type | tuple[type, ...]] = {
    "pid": int, "started": (int, float), "written": (int, float), "state": str, "counters": dict, "queues": dict,
    "latency": dict,
}  # fmt: skip
_told: set[Path] = set()  # files that are no status, and were said to be none


class StatusFile:
    """Writes the status of this process; the last one stays, and tells how it ended.

    Parameters
    ----------
    process_id
        The file's name.

    Raises
    ------
    AddressInUseError
        If a process of that name runs.
    RootError
        If the root cannot be used.

    Thread safety: `encode` on the loop, the rest on any thread.
    """

    def __init__(self, process_id: str) -> None:
        folder = get_root() / "status"
        make_private_folder(folder)
        self.path = folder / f"{process_id}.json"
        self._owned = FileLock(folder / f"{process_id}.lock", f"the name {process_id} under {folder.parent}")
        remove_parts(self.path)
        self._started = time.time()
        self._born = born(os.getpid())
        self._lock = threading.Lock()
        self._is_final = False

    def encode(self, status: dict[str, Any]) -> str:
        """The file's content for a status."""
        content = {
            "pid": os.getpid(), "born": self._born, "started": self._started, "written": time.time(), **status,
        }  # fmt: skip
        try:
            return json.dumps(content, default=str, allow_nan=False)
        except ValueError:  # what a subclass tells besides
            return json.dumps(in_json(content), default=str)

    def write(self, content: str, *, final: bool = False) -> None:
        """Replace the file; readers see the old or the new one, never a part. Nothing follows a final one."""
        with self._lock:
            if self._is_final:
                return
            self._is_final = final
            temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(content)
            temporary.replace(self.path)

    def close(self) -> None:
        """Give the name back; nothing is written any more."""
        with self._lock:
            self._is_final = True
            self._owned.release()


def in_json(value: Any) -> Any:
    """A value with NaN and infinities, for which JSON has no numbers, as text."""
    if isinstance(value, dict):
        return {name: in_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def remove_parts(path: Path) -> None:
    """Remove what processes that were killed while they replaced a file of ours have left beside it."""
    part = re.compile(rf"{re.escape(path.stem)}\.\d+\.tmp")
    for found in path.parent.glob("*.tmp"):
        if part.fullmatch(found.name):
            found.unlink(missing_ok=True)


def read_statuses(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """The status of every process under a root, by process id; `alive` tells whether its process still runs. A file
    that is no status is left out with a warning; what an older version did not tell is empty.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((root or get_root()).glob("status/*.json")):
        try:
            written = path.stat().st_mtime
            status = json.loads(path.read_text())
            if not isinstance(status, dict):
                raise TypeError("no object")
            status = {
                "started": written, "written": written, "state": "unknown", "counters": {}, "queues": {}, "latency": {},
                **status,
            }  # fmt: skip
            wrong = [key for key, kind in _KINDS.items() if not isinstance(status[key], kind)]
        except FileNotFoundError:
            continue  # it stopped while we looked
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            _tell_once(path, repr(error))
            continue
        if wrong:
            _tell_once(path, f"it has a wrong {wrong[0]}")
            continue
        status["alive"] = _is_alive(status)
        found[path.stem] = status
    return found


def _tell_once(path: Path, what: str) -> None:
    if path not in _told:
        _told.add(path)
        log.warning("%s is no status: %s", path, what)


def born(pid: int) -> int | None:
    """When a process was started, in the kernel's ticks since the host was: with its number, which is used again, its
    identity. None if there is none, or it has ended, or the system does not tell.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _is_alive(status: Mapping[str, Any]) -> bool:
    pid: int = status["pid"]
    if sys.platform == "linux" and isinstance(status.get("born"), int):
        return bool(born(pid) == status["born"])
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0
