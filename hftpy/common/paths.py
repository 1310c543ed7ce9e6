"""The root folder, under which every process of one installation meets: sockets, locks, status files.

`set_root()` > ``$HFT_ROOT`` > ``/hft`` if it is ours and writable > ``$XDG_RUNTIME_DIR/hft`` > ``hft-{uid}`` in the
temp folder. It is created 0700, its owner is checked, and no symlink is followed.
"""

import os
import stat
import sys
import tempfile
from pathlib import Path

from hftpy.errors import RootError

MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103  # sun_path of Linux, of the BSDs; less the final NUL

_root: Path | None = None


def set_root(path: str | os.PathLike[str] | None) -> None:
    """Choose the root for this process and the processes that it starts; None goes back to the rule above.

    Raises
    ------
    RootError
        If the folder cannot be used.
    """
    global _root
    if path is not None:
        _root = _prepare(Path(path))
        os.environ["HFT_ROOT"] = str(_root)
    elif _root is not None:
        if os.environ.get("HFT_ROOT") == str(_root):
            del os.environ["HFT_ROOT"]
        _root = None


def get_root() -> Path:
    """The root folder, created if needed.

    Raises
    ------
    RootError
        If the folder cannot be used.
    """
    return _root if _root is not None else _prepare(_rule())


def use_root(path: str | os.PathLike[str] | None) -> None:
    """As `set_root`, or for None by the rule above, for whoever only looks at what others have left there: it is not
    created.

    Raises
    ------
    RootError
        If there is no such folder, or it cannot be used.
    """
    chosen = Path(os.path.abspath(path if path is not None else _root or _rule()))
    if not chosen.exists() and not chosen.is_symlink():
        raise RootError(f"root folder {chosen} does not exist: no process has run under it")
    set_root(chosen)


def _rule() -> Path:
    chosen = os.environ.get("HFT_ROOT")
    if chosen:
        return Path(chosen)
    default = Path("/hft")
    if default.is_dir() and not default.is_symlink() and default.stat().st_uid == os.getuid():
        if os.access(default, os.W_OK | os.X_OK):
            return default
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / "hft"
    return Path(tempfile.gettempdir()) / f"hft-{os.getuid()}"


def _prepare(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    make_private_folder(path)
    return path


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, after a file of it was made or renamed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Create a folder (and those above it) 0700, or check that it is one of ours that nobody else can write.

    Raises
    ------
    RootError
        If it is a symlink, no folder, somebody else's, or writable by others.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise RootError(f"root folder {path} cannot be used: {error.strerror or error}") from error
    if stat.S_ISLNK(found.st_mode):
        raise RootError(f"root folder {path} must not be a symbolic link")
    if not stat.S_ISDIR(found.st_mode):
        raise RootError(f"root folder {path} is no folder")
    if found.st_uid != os.getuid():
        raise RootError(f"root folder {path} belongs to user {found.st_uid}, not to {os.getuid()}")
    if found.st_mode & 0o022:
        raise RootError(f"root folder {path} is writable by others (mode {found.st_mode & 0o777:03o})")
    if not os.access(path, os.W_OK | os.X_OK):
        raise RootError(f"root folder {path} is not writable")


def socket_path(root: Path, name: str) -> Path:
    """The path of a socket ``{root}/zmq/{name}``, whose folder is made.

    Raises
    ------
    RootError
        If the path is longer than a socket's may be, or the folder cannot be used.
    """
    path = root / "zmq" / name
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise RootError(f"a socket's path must have at most {MAX_SOCKET_PATH_BYTES} bytes, was {path} ({size})")
    make_private_folder(root / "zmq")
    make_private_folder(path.parent)
    return path
