"""What a process tells about itself: a JSON file ``{root}/status/{process_id}.json``, replaced whole twice a second."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from hftpy.common.paths import get_root, make_private_folder

INTERVAL_S = 0.5


class StatusFile:
    """Writes the status of this process; the last one stays, and tells how it ended.

    Parameters
    ----------
    process_id
        The file's name.

    Thread safety: `encode` on the loop, the rest on any thread.
    """

    def __init__(self, process_id: str) -> None:
        folder = get_root() / "status"
        make_private_folder(folder)
        self.path = folder / f"{process_id}.json"
        self._started = time.time()
        self._lock = threading.Lock()
        self._is_final = False

    def encode(self, status: dict[str, Any]) -> str:
        """The file's content for a status."""
        content = {"pid": os.getpid(), "started": self._started, "written": time.time(), **status}
        return json.dumps(content, default=str)

    def write(self, content: str, *, final: bool = False) -> None:
        """Replace the file; readers see the old or the new one, never a part. Nothing follows a final one."""
        with self._lock:
            if self._is_final:
                return
            self._is_final = final
            temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(content)
            temporary.replace(self.path)


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
