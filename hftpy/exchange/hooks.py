"""Where a recorder listens in on every connection of a task's streams, and where a recording takes their place.

Both are set for a task and all that it starts (`contextvars`), before its streams start.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeAlias

from hftpy.errors import RequestRejected

if TYPE_CHECKING:
    from hftpy.exchange.runner import Session

Note: TypeAlias = Callable[[str, str | bytes], None]
"""Called with ``conn`` (a new connection; the text is its address), ``send`` or ``recv``, and the message; or with
``link`` and a JSON object: what stands in no message and is needed to read them, such as what a handshake agreed on.
One with the key ``pair`` replaces the one before of that pair."""


class FrameTap(Protocol):
    """Hears every message of every connection, in its order; called on the event loop, must neither wait nor raise."""

    def connection(self, name: str) -> Note:
        """Who hears the messages of one connection and of those that replace it."""
        ...

    def http(self, url: str, body: str) -> None:
        """The answer of a REST request that a stream needs, such as a book's snapshot."""
        ...


class SessionSource(Protocol):
    """Brings the frames of a session in place of a connection; `hftpy.exchange.runner.Runner` asks it to."""

    async def serve(self, session: "Session") -> None:
        """Serve a session until cancelled; nothing is connected meanwhile."""
        ...

    def answer(self, url: str) -> str | None:
        """What the venue answered to a public request when the session was recorded, whatever the host was."""
        ...


FRAME_TAP: ContextVar[FrameTap | None] = ContextVar("FRAME_TAP", default=None)
SESSION_SOURCE: ContextVar[SessionSource | None] = ContextVar("SESSION_SOURCE", default=None)


def recorded_answer(method: str, url: str, source: SessionSource | None = None) -> str | None:
    """The recording's answer to a request that must not go out while it is replayed; None: nothing is replayed.

    Parameters
    ----------
    method, url
        The request. Only what is read without an account (``GET``) has an answer.
    source
        What is replayed, for callers that may be called from another thread's context; None: the context's.

    Raises
    ------
    RequestRejected
        If a recording is replayed and has no answer.
    """
    source = source or SESSION_SOURCE.get()
    if source is None:
        return None
    answer = source.answer(url) if method == "GET" else None
    if answer is None:
        raise RequestRejected(f"{method} {url} was not sent: a recording is replayed, which has no answer to it")
    return answer
