"""Ownership of a name among the processes of one host: an exclusive `flock` on a file of its own."""

import errno
import fcntl
import os
from pathlib import Path

from hftpy.errors import AddressInUseError, RootError


class FileLock:
    """Held from when it is made until `release`, or the end of the process; the file is gone then, or is reused.

    Parameters
    ----------
    path
        The file, which is made.
    what
        What it is the lock of, for messages: ``address /hft/zmq/a.ipc``.

    Raises
    ------
    AddressInUseError
        If another process or object holds it.
    RootError
        If the file cannot be used.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._descriptor = self._acquire(what)

    def _acquire(self, what: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            try:
                descriptor = os.open(self._path, flags, 0o600)
            except OSError as error:
                raise RootError(f"{what} cannot be used: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The last owner unlinks the file while it holds the lock: a lock on an unlinked file is worth nothing.
                if os.path.samestat(os.fstat(descriptor), os.stat(self._path, follow_symlinks=False)):
                    return descriptor
            except FileNotFoundError:
                pass
            except OSError as error:
                os.close(descriptor)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise AddressInUseError(f"{what} is in use by another process or object") from error
                raise RootError(f"{what} cannot be locked: {error.strerror}") from error
            os.close(descriptor)

    def release(self) -> None:
        """Give it back. May be called again."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
