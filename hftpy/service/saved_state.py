"""What a service keeps beyond its own life: one file, replaced whole, whose damage is seen.

======== =====================================================================
key      what
======== =====================================================================
format   1
service  the class's name in the config
version  the service's `state_version`
saved_ns when, ns since 1970
crc32    of the bytes of ``state``
state    what `on_save` returned, as msgspec writes it; the last key
======== =====================================================================
"""

import contextlib
import logging
import os
import stat
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec

from hftpy.common.paths import get_root, make_private_folder, sync_folder
from hftpy.errors import StateError
from hftpy.service.status import remove_parts

log = logging.getLogger(__name__)

FORMAT = 1
MAX_STATE_BYTES = 256 << 20


class _Envelope(msgspec.Struct):
    format: int
    service: str
    version: int
    saved_ns: int
    crc32: int
    state: msgspec.Raw


class StateFile:
    """The file of one service.

    Parameters
    ----------
    process_id, service
        The file's name, and the name of the class that it is for.
    folder
        Where it is; None: ``{root}/state``.

    Thread safety: one thread at a time.
    """

    def __init__(self, process_id: str, service: str, folder: Path | None = None) -> None:
        self._process_id = process_id
        self._service = service
        self._folder = folder
        self._written: tuple[int, bytes] | None = None
        self._lock = threading.Lock()  # a write whose task was cancelled goes on in its thread

    @property
    def path(self) -> Path:
        """Where the file is."""
        return (self._folder or get_root() / "state") / f"{self._process_id}.json"

    def encode(self, state: Any) -> bytes:
        """A state as it will stand in the file.

        Raises
        ------
        StateError
            If it cannot be written as JSON, or is too large.
        """
        try:
            encoded = msgspec.json.encode(state)
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise StateError(f"{self._process_id}: what on_save returned cannot be saved as JSON: {error}") from error
        if len(encoded) > MAX_STATE_BYTES:
            raise StateError(
                f"{self._process_id}: what on_save returned must have at most {MAX_STATE_BYTES} bytes, "
                f"was {len(encoded)}"
            )
        return encoded

    def write(self, encoded: bytes, version: int) -> bool:
        """Replace the file, 0600, so that a crash at any moment leaves the old one or the new one. False if it holds
        this state already.

        Raises
        ------
        StateError
            If it cannot be written.
        """
        with self._lock:
            if self._written == (version, encoded):
                return False
            self._replace(encoded, version)
            self._written = (version, encoded)
            return True

    def _replace(self, encoded: bytes, version: int) -> None:
        envelope = _Envelope(FORMAT, self._service, version, time.time_ns(), zlib.crc32(encoded), msgspec.Raw(encoded))
        path = self.path
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            make_private_folder(path.parent)
            with open(temporary, "wb", opener=_open_private) as file:
                file.write(msgspec.json.encode(envelope))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StateError(f"{self._process_id}: its state cannot be saved in {path}: {error}") from error

    def read(self) -> tuple[Any, int] | None:
        """The state, as JSON types, and its version; None if there is none.

        Raises
        ------
        StateError
            If it is damaged, foreign, or somebody else's.
        """
        path = self.path
        remove_parts(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"the state {path} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022:
                raise StateError(f"the state {path} must be a file of ours that nobody else can write")
            content = file.read(MAX_STATE_BYTES + 4096)
        try:
            envelope = msgspec.json.decode(content, type=_Envelope)
            if envelope.format != FORMAT:
                raise ValueError(f"format must be {FORMAT}, was {envelope.format}")
            if zlib.crc32(bytes(envelope.state)) != envelope.crc32:
                raise ValueError("its checksum does not agree")
            state = msgspec.json.decode(envelope.state)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise StateError(
                f"the state {path} is damaged: {error}. Repair or move it, or set state.on_corrupt to 'discard'"
            ) from error
        if envelope.service != self._service:
            raise StateError(f"the state {path} is of {envelope.service!r}, not of {self._service!r}")
        self._written = (envelope.version, bytes(envelope.state))
        return state, envelope.version

    def discard(self) -> Path | None:
        """Move the file out of the way; returns where to."""
        aside = self.path.with_suffix(f".corrupt-{time.time_ns()}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"the state {self.path} cannot be moved: {error}") from error
        return aside


def _open_private(path: str, _flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
