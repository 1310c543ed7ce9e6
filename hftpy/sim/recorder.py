"""Records the connections of streams as a session (see `hftpy.sim.recording`): a bounded queue and a writer thread.

The event loop only puts a line's parts into the queue. What finds no room is counted, told in the session itself
(an entry ``conn`` with `lost`) and in the log; the stream is never slowed down.
"""

import gzip
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from hftcore.enums import Exchange
from hftpy.common.log import LimitedLog
from hftpy.exchange.hooks import Note

Compression = Literal["gzip", "zstd", "none"]
ENDINGS: dict[str, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}
QUEUE_CAPACITY = 65536
MAX_QUEUED_BYTES = 256 * 1024 * 1024
MIN_FILE_BYTES = 4096
FLUSH_S = 1.0  # what a recorder that is killed may lose

log = logging.getLogger(__name__)
Entry = tuple[str, int, str, str | bytes, int]  # kind, time, connection, message, lost before it


class SessionRecorder:
    """Writes what it hears into files ``STEM.00001.jsonl[.gz|.zst]`` of a folder.

    Each file is a session of its own: it begins with a header, which names the venue, and with the addresses of the
    connections that go on from the last one.

    Parameters
    ----------
    folder, stem
        Where, and how the files' names begin. Existing files are not overwritten: numbering goes on.
    exchange
        The venue, for the header.
    compression
        ``gzip``, ``zstd`` (needs the package zstandard) or ``none``.
    max_file_bytes
        Size on disk at which the next file is begun.
    capacity
        Messages that may wait for the writer.
    on_failure
        Called once, by the writer's thread, when a file cannot be written: nothing is recorded from then on.

    Raises
    ------
    ValueError
        If the compression is none, or zstandard is not installed, or a number is too small.
    OSError
        If the folder cannot be made.

    Notes
    -----
    Thread safety: `connection`, what it returns, and `http` belong to one thread; `close` waits for the writer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str,
        exchange: Exchange,
        *,
        compression: Compression = "gzip",
        max_file_bytes: int = 256 * 1024 * 1024,
        capacity: int = QUEUE_CAPACITY,
        clock_ns: Callable[[], int] = time.time_ns,
        on_failure: Callable[[], object] | None = None,
    ) -> None:
        if compression not in ENDINGS:
            raise ValueError(f"compression must be one of {', '.join(ENDINGS)}, was {compression!r}")
        if max_file_bytes < MIN_FILE_BYTES:
            raise ValueError(f"max_file_bytes must be at least {MIN_FILE_BYTES}, was {max_file_bytes}")
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, was {capacity}")
        if compression == "zstd":
            _zstandard()
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stem, self._exchange, self._compression = stem, exchange, compression
        self._max_file_bytes, self._clock_ns = max_file_bytes, clock_ns
        self._on_failure = on_failure
        self._queue: queue.Queue[Entry | None] = queue.Queue(capacity)
        self._queued_bytes = 0
        self._written_bytes = 0  # the writer's; read by the other side
        self._names: dict[str, int] = {}
        self._urls: dict[str, str] = {}
        self._links: dict[str, dict[str, str]] = {}  # by connection: what each file must tell anew
        self._lost_now = 0
        self._log = LimitedLog(log)
        self._file: BinaryIO | None = None
        self._raw: BinaryIO | None = None
        self.lost = 0
        self.messages = 0
        self.received = 0  # of them, what the venue sent by a connection
        self.files: list[Path] = []
        self.failure: Exception | None = None
        self._dirty = False  # lines wait for the disk, until `_flush_at` at most
        self._flush_at = 0.0
        self._thread = threading.Thread(target=self._write_all, name="hftpy recorder", daemon=True)
        self._thread.start()

    def connection(self, name: str) -> Note:
        """Hears one connection; see `hftpy.exchange.hooks.FrameTap`."""
        number = self._names[name] = self._names.get(name, 0) + 1
        label = f"{name}.{number}"

        def note(kind: str, message: str | bytes) -> None:
            self._put(kind, label, message)

        return note

    def http(self, url: str, body: str) -> None:
        """Record the answer of a REST request."""
        self._put("http", url, body)

    def close(self) -> None:
        """Write what waits, and end.

        Raises
        ------
        OSError
            If a file could not be written.
        """
        if self._thread.is_alive():
            self._queue.put(None)
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _put(self, kind: str, label: str, message: str | bytes) -> None:
        size = len(message)
        try:
            if self._queued_bytes - self._written_bytes + size > MAX_QUEUED_BYTES or self.failure is not None:
                raise queue.Full
            self._queue.put_nowait((kind, self._clock_ns(), label, message, self._lost_now))
        except queue.Full:
            self.lost += 1
            self._lost_now += 1
            why = "is too slow" if self.failure is None else f"cannot write ({self.failure})"
            self._log.warning("lost", f"the recorder {why}; {self.lost} messages are not recorded so far")
        else:
            self._queued_bytes += size
            self._lost_now = 0
            self.messages += 1
            self.received += kind == "recv"

    # The writer's thread

    def _write_all(self) -> None:
        try:
            while (entry := self._next()) is not None:
                self._write(entry)
            if self._lost_now:
                self._line({"t": "conn", "ts_ns": self._clock_ns(), "lost": self._lost_now})
        except Exception as error:  # noqa: BLE001  told by close, and by every message that is lost from now on
            self.failure = error
            log.error("the recorder cannot write: %s", error)
            if self._on_failure is not None:
                self._on_failure()
            waiting = 1  # the message at hand
            while self._queue.get() is not None:  # what waits is lost; close still has to be heard
                waiting += 1
            self.lost += waiting
            self.messages -= waiting
        finally:
            try:
                self._end_file()
            except OSError as error:
                self.failure = self.failure or error

    def _next(self) -> Entry | None:
        """The next entry; meanwhile what was written goes to the disk from time to time."""
        while True:
            left = self._flush_at - time.monotonic() if self._dirty else None
            if left is not None and left <= 0:
                self._flush()
                continue
            try:
                return self._queue.get(timeout=left)
            except queue.Empty:
                continue

    def _flush(self) -> None:
        self._dirty = False
        if self._file is not None and self._raw is not None:
            self._file.flush()
            self._raw.flush()

    def _write(self, entry: Entry) -> None:
        kind, time_ns, label, message, lost = entry
        self._written_bytes += len(message)
        text = message if isinstance(message, str) else message.decode("utf-8", "surrogateescape")
        if lost:
            self._line({"t": "conn", "ts_ns": time_ns, "lost": lost})
        if kind == "http":
            self._line({"t": "http", "ts_ns": time_ns, "url": label, "data": text})
            return
        row: dict[str, Any] = {"t": kind, "ts_ns": time_ns, "conn": label}
        if kind == "conn":
            self._urls[label] = text
            self._links.pop(label, None)
            self._line({**row, "url": text})
        elif kind == "link":
            self._line({**row, "data": text})
            self._links.setdefault(label, {})[str(json.loads(text).get("pair", ""))] = text
        else:
            self._line({**row, "data": text})

    def _line(self, row: dict[str, Any]) -> None:
        if self._raw is not None and self._raw.tell() >= self._max_file_bytes:
            self._end_file()
        file = self._file or self._begin_file()
        try:
            line = json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # bytes that are no UTF-8, which stand as lone surrogates
            line = json.dumps(row).encode()
        file.write(line + b"\n")
        if not self._dirty:
            self._dirty, self._flush_at = True, time.monotonic() + FLUSH_S

    def _begin_file(self) -> BinaryIO:
        number = len(self.files) + 1
        while True:
            path = self._folder / f"{self._stem}.{number:05}.jsonl{ENDINGS[self._compression]}"
            try:
                self._raw = raw = cast("BinaryIO", open(path, "xb"))  # noqa: SIM115  closed by _end_file
                break
            except FileExistsError:
                number += 1
        if self._compression == "gzip":
            self._file = cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6))
        elif self._compression == "zstd":
            compressor = _zstandard().ZstdCompressor(write_checksum=True)
            self._file = cast("BinaryIO", compressor.stream_writer(raw, closefd=False))
        else:
            self._file = raw
        self.files.append(path)
        header: dict[str, Any] = {"t": "header", "source": "hftpy record", "exchange": str(self._exchange)}
        if len(self.files) > 1:
            header["continues"] = self.files[-2].name
            header["connections"] = self._urls
        rows = [header]
        now_ns = self._clock_ns() if self._links else 0
        for label, links in self._links.items():
            rows += [{"t": "link", "ts_ns": now_ns, "conn": label, "data": text} for text in links.values()]
        for row in rows:
            self._file.write(json.dumps(row).encode() + b"\n")
        return self._file

    def _end_file(self) -> None:
        file, raw, self._file, self._raw = self._file, self._raw, None, None
        if file is not None:
            file.close()
        if raw is not None:
            raw.close()


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise ValueError("compression zstd needs the package zstandard, which is not installed") from None
    return zstandard
