"""What a process tells about itself: a JSON file ``{root}/status/{process_id}.json``, replaced whole twice a second."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from hftpy.common.paths import get_root, make_private_folder

INTERVAL_S = 0.5


class StatusFile:
    """Writes, and at the end removes, the status of this process.

    Parameters
    ----------
    process_id
        The file's name.
    """

    def __init__(self, process_id: str) -> None:
        folder = get_root() / "status"
        make_private_folder(folder)
        self.path = folder / f"{process_id}.json"
        self._started = time.time()

    def write(self, status: dict[str, Any]) -> None:
        """Replace the file; readers see the old or the new one, never a part."""
        content = {"pid": os.getpid(), "started": self._started, "written": time.time(), **status}
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, default=str))
        temporary.replace(self.path)

    def remove(self) -> None:
        """Remove the file, if it is still there."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def read_statuses(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """The status of every process under a root, by process id; `alive` tells whether its process still runs."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((root or get_root()).glob("status/*.json")):
        try:
            status = json.loads(path.read_text())
        except FileNotFoundError:
            continue  # it stopped while we looked
        status["alive"] = _is_alive(int(status["pid"]))
        found[path.stem] = status
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
