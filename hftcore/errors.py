"""Errors that the compiled core raises; `hftpy.errors` shows the whole tree."""


class HftError(Exception):
    """Root of everything that hftpy raises by itself."""


class ParseError(HftError, ValueError):
    """A frame that is not what its venue's protocol says; the message names the offending value."""


class RingClosed(HftError):
    """A ring was closed and holds nothing more."""


class SegmentError(HftError, OSError):
    """A shared-memory segment that cannot be used: foreign, truncated, of another version or owner, or without room."""


class SegmentInUseError(SegmentError):
    """Another process (or object) writes the segment."""


class BookError(HftError):
    """An order book cannot go on: it is invalid, and needs a snapshot first."""
