"""Where shared-memory segments stand.

``{root}/shm/{exchange}.{channel}.shm`` if the root is in memory (tmpfs, as ``$XDG_RUNTIME_DIR`` is). On a disk the
kernel would hold up the writer whenever it writes pages back, so such a root has its segments in
``/dev/shm/hft-{uid}-{hash of the root's path}/``, where there is a ``/dev/shm``. Either folder is 0700 and ours.
"""

import contextlib
import hashlib
import os
from pathlib import Path

from hftcore.enums import Channel, Exchange
from hftcore.shm import in_memory

_MEMORY = Path("/dev/shm")


def segment_folder(root: Path) -> Path:
    """The folder of a root's segments; it is not made."""
    standing = root
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if in_memory(standing) or not in_memory(_MEMORY):
        return root / "shm"
    digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return _MEMORY / f"hft-{os.getuid()}-{digest}"


def segment_path(root: Path, exchange: Exchange, channel: Channel) -> Path:
    """The path of a segment, whose folder is not made."""
    return segment_folder(root) / f"{exchange}.{channel}.shm"


def remove_folder(folder: Path) -> None:
    """Remove the folder if nothing is left in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
