"""The lines of a session's file, plain, gzip or zstd, as far as they can be read."""

import io
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 8192
MAX_LINE_BYTES = 256 << 20
CUT = ": its recorder was killed, or the copy is not whole"


def session_lines(path: str | os.PathLike[str], on_cut: Callable[[str], None]) -> Iterator[bytes]:
    """The lines of a file, with their ends.

    Parameters
    ----------
    path
        The file.
    on_cut
        Called with a sentence where compressed data end too early; everything before is given. The last line then has
        no end.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If compressed data are damaged: what stood before may be wrong too. If it is compressed with zstd and
        `zstandard` is not installed, or a line is longer than any frame.
    """
    with open(path, "rb") as file:
        rest: list[bytes] = []
        size = 0
        for chunk in _inflated(file, os.fspath(path), on_cut):
            first, *others = chunk.split(b"\n")
            size += len(first)
            rest.append(first)
            if size > MAX_LINE_BYTES:
                raise ValueError(f"a line of session {os.fspath(path)!r} is longer than {MAX_LINE_BYTES} bytes")
            if others:
                yield b"".join(rest) + b"\n"
                for line in others[:-1]:
                    yield line + b"\n"
                rest, size = [others[-1]], len(others[-1])
        if last := b"".join(rest):
            yield last


def _inflated(
    file: BinaryIO, name: str, on_cut: Callable[[str], None], magic: bytes | None = None
) -> Iterator[bytes]:
    if magic is None:
        magic = file.read(4)
        file.seek(0)
    failure: type[Exception]
    begin: Callable[[], Any]
    if magic[:2] == GZIP_MAGIC:
        kind, failure, begin = "gzip", zlib.error, _begin_gzip
    elif magic == ZSTD_MAGIC:
        kind, failure, begin = "zstd", *_zstandard(name)
    else:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
        return
    inflater = begin()
    try:
        while chunk := file.read(CHUNK_BYTES):
            while chunk:
                if inflater.eof:  # several compressed pieces, one after the other
                    inflater = begin()
                yield inflater.decompress(chunk)
                chunk = inflater.unused_data.lstrip(b"\0") if inflater.eof else b""
    except failure as error:
        raise ValueError(f"session {name!r} is damaged ({kind}: {error}): none of its lines can be trusted") from error
    if not inflater.eof:
        on_cut(f"{name} ends in the middle of its {kind} data{CUT}")


class ZstdReader(io.RawIOBase):
    """What a stream of zstd holds, for readers that want a file.

    Parameters
    ----------
    file
        Where the compressed data are; stays open.
    name
        For messages.

    Raises
    ------
    ValueError
        If `zstandard` is not installed.
    EOFError
        When it is read, if the data end too early or are damaged.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._chunks = _inflated(file, name, self._cut, ZSTD_MAGIC)
        self._rest = b""
        self._failure = ""

    def _cut(self, text: str) -> None:
        self._failure = text

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        try:
            while not self._rest and (chunk := next(self._chunks, None)) is not None:
                self._rest = chunk
        except ValueError as error:
            raise EOFError(str(error)) from error
        if not self._rest and self._failure:
            raise EOFError(self._failure)
        count = min(len(self._rest), len(buffer))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _begin_gzip() -> Any:
    return zlib.decompressobj(31)


def _zstandard(name: str) -> tuple[type[Exception], Callable[[], Any]]:
    try:
        import zstandard
    except ImportError:
        raise ValueError(f"session {name!r} is of zstd: install zstandard to read it") from None
    return zstandard.ZstdError, lambda: zstandard.ZstdDecompressor().decompressobj()
