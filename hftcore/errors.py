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


_SHOWN_CHARACTERS = 80


def shown(text: str) -> str:
    """A text as an error quotes it: cut, for what a venue sends may be as long as a frame."""
    return repr(text) if len(text) <= _SHOWN_CHARACTERS else repr(text[:_SHOWN_CHARACTERS])[:-1] + "…'"
