"""The one runner of all streams: connects, subscribes, watches, and connects again.

It knows nothing of any venue: a `Session` says what to send, takes the frames, and names its next deadline. One
coroutine serves one connection; it sleeps until the connection ends, a deadline passes, or the session asks.
"""

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from hftcore.book_feed import BookFeed
from hftcore.feed import Feed
from hftpy.errors import VenueError
from hftpy.exchange.client import ClientName, ConnectError, Connection, OnClosed, OnFrame, connect
from hftpy.exchange.hooks import FRAME_TAP, SESSION_SOURCE, Note
from hftpy.exchange.policy import ReconnectPolicy
from hftpy.exchange.tls import TlsContext

GOODBYE_S = 1.0

# Makes the connection where it is no WebSocket; raises ConnectError or VenueError.
Dial = Callable[[str, OnFrame, OnClosed], Awaitable[Connection]]

logger = logging.getLogger("hftpy.exchange")


class Session(ABC):
    """What a connection is for. All calls come from the event loop, none overlaps another."""

    send_interval_s = 0.0  # between two messages of ours, where the venue limits them
    fatal_close_codes: frozenset[int] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = False  # connected and subscribed, as far as the venue says
        self._wake: asyncio.Event | None = None
        self.fault = ""  # why this connection must be given up; the runner then connects again
        self.fatal: Exception | None = None  # ends the runner
        self.note: Note | None = None  # a recorder, of what it cannot see in the messages
        self.feed: Feed | BookFeed | None = None  # takes frames in natively, in place of `frame`
        self._to_send: deque[str | bytes] = deque()

    @abstractmethod
    async def url(self) -> str:
        """Where to connect; asked before each attempt."""

    @abstractmethod
    async def opened(self) -> Sequence[str | bytes]:
        """The connection is open: forget what belonged to the last one, return the messages to send.

        Raises
        ------
        VenueError
            If it cannot be subscribed; retried when `retryable`.
        """

    @abstractmethod
    def frame(self, data: bytes) -> None:
        """One message arrived; must not raise."""

    @property
    def delivered(self) -> bool:
        """Whether this connection has brought anything, ready or not: its loss is told then, and so is the next one."""
        return False

    def sent(self) -> None:  # noqa: B027  most sessions need not know
        """All messages of `opened` are sent."""

    @abstractmethod
    def next_deadline(self) -> float | None:
        """The `time.monotonic()` at which `check` is to be called, None for never."""

    @abstractmethod
    def check(self, now: float) -> None:
        """A deadline passed: report silence, set `fault` to connect again."""

    @abstractmethod
    async def lost(self, reason: str) -> None:
        """The connection that was open is over; called on cancellation too."""

    @abstractmethod
    def recovered(self, attempts: int, down_s: float) -> None:
        """Ready again after a lost connection."""

    def give_up(self, reason: str) -> None:
        """End this connection and make a new one."""
        self.fault = self.fault or reason
        self.wake()

    def fail(self, error: Exception) -> None:
        """End the runner with an error."""
        self.fatal = self.fatal or error
        self.wake()

    def send(self, *messages: str | bytes) -> None:
        """Send messages soon, in order, `send_interval_s` apart; a lost connection drops them."""
        self._to_send.extend(messages)
        self.wake()

    def wake(self) -> None:
        """Let the runner look at the session now."""
        if self._wake is not None:
            self._wake.set()


class Runner:
    """Keeps one session connected until it is cancelled, fails for good, or the policy is exhausted."""

    def __init__(
        self,
        session: Session,
        policy: ReconnectPolicy,
        client: ClientName,
        *,
        tls: TlsContext | None = None,
        deflate: bool = False,
        dial: Dial | None = None,
    ) -> None:
        self._session = session
        self._dial = dial or self._connect
        self._tls = tls
        self._deflate = deflate
        self._policy = policy
        self._client: ClientName = client
        tap = FRAME_TAP.get()
        self._note = session.note = tap.connection(session.name) if tap is not None else None
        self._source = SESSION_SOURCE.get()  # a recording that takes the place of every connection
        self.reconnects = 0
        self.connection: Connection | None = None
        self._attempt = 0
        self._down_since: float | None = None
        self._ready_at: float | None = None

    async def run(self) -> None:
        """Run until cancelled.

        Raises
        ------
        VenueError
            If the venue refuses for good, or the reconnect policy is exhausted.
        """
        if self._source is not None:
            await self._source.serve(self._session)
            return
        while True:
            reason = await self._connect_once()
            session = self._session
            if session.fatal is not None:
                raise session.fatal
            if self._ready_at is not None and time.monotonic() - self._ready_at >= self._policy.healthy_s:
                self._attempt = 0
            self._attempt += 1
            if not self._policy.allows(self._attempt):
                raise VenueError(f"{session.name}: gave up after {self._policy.times} reconnects: {reason}")
            delay = self._policy.delay(self._attempt)
            logger.warning("%s: %s; reconnect %d in %.2f s", session.name, reason, self._attempt, delay)
            await asyncio.sleep(delay)

    async def _connect_once(self) -> str:
        """One connection from making it to its end; the reason of the end."""
        session = self._session
        session.fault, session.fatal, session.ready = "", None, False
        session._to_send.clear()
        session._wake = wake = asyncio.Event()
        self._ready_at = None
        closed: list[tuple[int, str]] = []

        def on_closed(code: int, reason: str) -> None:
            closed.append((code, reason))
            wake.set()

        waiting: list[bytes] = []
        live = over = False

        def on_frame(data: bytes) -> None:
            if over:
                return  # nobody heard it: a recording that had it would show more than there was
            if self._note is not None:
                self._note("recv", data)
            # A venue may greet in the packet of the handshake, before opened() has reset the session.
            if live:
                session.frame(data)
            else:
                waiting.append(data)

        try:
            url = await session.url()
            if self._note is not None:
                self._note("conn", url)
            connection = await self._dial(url, on_frame, on_closed)
        except ConnectError as error:
            return str(error)
        except VenueError as error:
            return self._venue_error(error)
        self.connection = connection
        try:
            messages = await session.opened()
            live = True
            for data in waiting:
                session.frame(data)
            # A recorder hears the frames on their way through Python.
            connection.attach(session.feed if self._note is None else None)
            await self._send(connection, messages)
            session.sent()
            return await self._watch(connection, wake, closed)
        except ConnectionError as error:
            # Sending failed because the peer is gone; why it went may still be on its way.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    while not closed:
                        wake.clear()
                        await wake.wait()
            return self._closed(closed) if closed else str(error)
        except VenueError as error:
            return self._venue_error(error)
        finally:
            self.connection = None
            live, over = False, True
            connection.attach(None)
            session._wake = None
            was_ready = self._ready_at is not None or session.delivered
            session.ready = False
            if was_ready and self._down_since is None:
                self._down_since = time.monotonic()
            try:
                await session.lost(session.fault or (self._end_of(closed) if closed else "disconnected"))
            finally:
                await connection.close()

    async def _connect(self, url: str, on_frame: OnFrame, on_closed: OnClosed) -> Connection:
        return await connect(
            url,
            on_frame,
            on_closed,
            self._client,
            tls=self._tls,
            deflate=self._deflate,
        )

    async def _send(self, connection: Connection, messages: Sequence[str | bytes]) -> None:
        for number, message in enumerate(messages):
            if number and self._session.send_interval_s:
                await asyncio.sleep(self._session.send_interval_s)
            await self._say(connection, message)

    async def _say(self, connection: Connection, message: str | bytes) -> None:
        if self._note is not None:
            self._note("send", message)
        await connection.send(message)

    async def _watch(self, connection: Connection, wake: asyncio.Event, closed: list[tuple[int, str]]) -> str:
        session = self._session
        may_send_at = time.monotonic() + session.send_interval_s
        while True:
            if session.fatal is not None:
                return str(session.fatal)
            if session.ready and self._ready_at is None:
                self._became_ready()
            if closed:
                return self._closed(closed)
            if session.fault:
                return session.fault
            wake.clear()
            deadline = session.next_deadline()
            if session._to_send:
                now = time.monotonic()
                if now >= may_send_at:
                    await self._say(connection, session._to_send.popleft())
                    may_send_at = now + session.send_interval_s
                    continue
                deadline = may_send_at if deadline is None else min(deadline, may_send_at)
            try:
                async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0.0)):
                    await wake.wait()
            except TimeoutError:
                now = time.monotonic()
                due = session.next_deadline()
                if due is not None and now >= due:
                    session.check(now)

    def _became_ready(self) -> None:
        now = self._ready_at = time.monotonic()
        if self._down_since is not None:
            self.reconnects += 1
            down_s, self._down_since = now - self._down_since, None
            self._session.recovered(self._attempt, down_s)
            logger.info("%s: connected again after %.2f s", self._session.name, down_s)

    def _venue_error(self, error: VenueError) -> str:
        if not error.retryable:
            self._session.fatal = error
        return str(error)

    def _closed(self, closed: list[tuple[int, str]]) -> str:
        session, reason = self._session, self._end_of(closed)
        if closed[0][0] in session.fatal_close_codes:
            session.fatal = VenueError(f"{session.name}: {reason}", code=str(closed[0][0]))
        return reason

    def _end_of(self, closed: list[tuple[int, str]]) -> str:
        code, reason = closed[0]
        shown = f", code {code}" if code else ""  # 0: a connection that has no codes
        return f"connection closed{shown}" + (f" ({reason})" if reason else "")
