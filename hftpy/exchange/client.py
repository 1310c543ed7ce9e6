"""Two WebSocket clients behind one small interface: picows (fast, the default) and websockets.

Both hand whole messages (fragments joined) to `on_frame` as bytes on the event loop, answer pings, ping a peer that
is silent, and tell once by `on_closed` that the connection is over. One event loop per connection; not thread-safe.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import picows
import websockets
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect

from hftcore.book_feed import BookFeed
from hftcore.feed import Feed
from hftcore.picows_version import picows_complaint
from hftpy.common.loops import end_tasks
from hftpy.exchange.tls import TlsContext

ClientName = Literal["picows", "websockets"]
CLIENTS: tuple[ClientName, ...] = ("picows", "websockets")

CONNECT_TIMEOUT_S = 10.0
ADDRESS_TIMEOUT_S = 3.0  # for each of a host's addresses
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 15.0
PING_TIMEOUT_S = 10.0
LATE_S = 1.0  # a timer that is later than this tells of a loop that was blocked, not of the peer
logger = logging.getLogger("hftpy.exchange")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

OnFrame = Callable[[bytes], None]
OnClosed = Callable[[int, str], None]  # close code (1006: none was received) and reason


class ConnectError(OSError):
    """A connection could not be made; the message says why and never holds the query of the URL."""


class Connection(ABC):
    """An open WebSocket connection."""

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Send one message: text for str, binary for bytes.

        Raises
        ------
        ConnectionError
            If the connection is closed.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close, waiting for the peer's answer at most `CLOSE_TIMEOUT_S`; may be called twice."""

    def attach(self, feed: Feed | BookFeed | None) -> None:  # noqa: B027  a client that has no native way leaves it
        """Give whole data messages to a feed from now on, where the client can; None: to `on_frame` again."""


class _Pinger:
    """Pings a peer every `PING_INTERVAL_S`, whatever it sends, and ends the connection where no pong follows in time.

    Data alone is no proof: what lies between may go on sending what the venue said long ago. A peer that falls silent
    is found within the sum of both times, at whatever moment it does.
    """

    def __init__(self, transport: WSTransport, gone: Callable[[], None]) -> None:
        self._transport = transport
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._answered = True
        self._timer = self._loop.call_later(PING_INTERVAL_S, self._ping)

    def answered(self) -> None:
        """A pong has come."""
        self._answered = True

    def stop(self) -> None:
        """The connection is over."""
        self._timer.cancel()

    def _ping(self) -> None:
        if self._transport.is_disconnected or self._transport.is_close_frame_sent:
            return
        self._answered = False
        self._transport.send_ping()
        self._timer = self._loop.call_at(self._loop.time() + PING_TIMEOUT_S, self._check, PING_TIMEOUT_S)

    def _check(self, waited: float) -> None:
        if self._answered:
            self._timer = self._loop.call_later(max(PING_INTERVAL_S - waited, 0.0), self._ping)
        elif self._loop.time() - self._timer.when() > LATE_S:
            # The loop was blocked, and the pong may lie in the socket still.
            self._timer = self._loop.call_later(PING_TIMEOUT_S, self._check, waited + PING_TIMEOUT_S)
        else:
            self._gone()


class _Messages:
    """What both picows listeners share: everything but the fast way of a whole data message."""

    def __init__(self, on_frame: OnFrame, on_closed: OnClosed) -> None:
        self._on_frame = on_frame
        self._on_closed = on_closed
        # One buffer: a peer may send millions of parts, also empty ones.
        self._parts = bytearray()
        self._code = 1006
        self._reason = ""
        self._open = False
        self._pinger: _Pinger | None = None
        self.joining = False

    def connected(self, transport: WSTransport) -> None:
        self._open = True

        def gone() -> None:
            self._reason = f"no pong within {PING_TIMEOUT_S:g} s"
            transport.send_close(WSCloseCode.GOING_AWAY)
            transport.disconnect(False)

        self._pinger = _Pinger(transport, gone)

    def frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._code = int(code.value) if isinstance(code, WSCloseCode) else int(code)
            message = frame.get_close_message() or b""
            self._reason = bytes(message).decode("utf-8", "replace")
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind is WSMsgType.PING:
            # Not left to picows: it would hide the frame from us, and with it the end of a batch.
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG:
            if self._pinger is not None:
                self._pinger.answered()
        elif frame.fin and not self.joining:
            self._on_frame(frame.get_payload_as_bytes())
        else:
            self._join(transport, frame)

    def _join(self, transport: WSTransport, frame: WSFrame) -> None:
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > MAX_MESSAGE_BYTES:
            self._parts = bytearray()
            self._reason = f"a message must have at most {MAX_MESSAGE_BYTES} bytes"
            transport.send_close(WSCloseCode.MESSAGE_TOO_BIG)
            transport.disconnect()
            return
        self.joining = not frame.fin
        if frame.fin:
            whole, self._parts = bytes(self._parts), bytearray()
            self._on_frame(whole)

    def disconnected(self) -> None:
        if self._pinger is not None:
            self._pinger.stop()
        # A handshake that failed ends here too: only an open connection may report its end.
        if self._open:
            self._on_closed(self._code, self._reason)


class _PicowsListener(WSListener):
    """For a picows that the native listener was not built for."""

    def __init__(self, messages: _Messages) -> None:
        super().__init__()
        self._messages = messages

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._messages.connected(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._messages.frame(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._messages.disconnected()


def _load_native_listener() -> Any:
    """The compiled listener; None, after a warning, where it does not fit the picows that is installed."""
    complaint = picows_complaint()
    if not complaint:
        try:
            from hftcore.ws_listener import FeedListener

            return FeedListener
        except ImportError as error:
            complaint = f"hftcore.ws_listener cannot be imported: {error}"
    logger.warning("market data takes the slower way through Python: %s", complaint)
    return None


_NATIVE_LISTENER = _load_native_listener()


class _PicowsConnection(Connection):
    def __init__(self, transport: WSTransport, listener: WSListener) -> None:
        self._transport = transport
        self._listener: Any = listener

    def attach(self, feed: Feed | BookFeed | None) -> None:
        if not isinstance(self._listener, _PicowsListener):
            self._listener.feed = feed if isinstance(feed, Feed) else None
            self._listener.book_feed = feed if isinstance(feed, BookFeed) else None

    async def send(self, message: str | bytes) -> None:
        if self._transport.is_disconnected or self._transport.is_close_frame_sent:
            raise ConnectionResetError("the connection is closed")
        if isinstance(message, str):
            self._transport.send(WSMsgType.TEXT, message.encode())
        else:
            self._transport.send(WSMsgType.BINARY, message)

    async def close(self) -> None:
        transport = self._transport
        if transport.is_disconnected:
            return
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        try:
            await asyncio.wait_for(asyncio.shield(transport.wait_disconnected()), CLOSE_TIMEOUT_S)
        except TimeoutError:
            transport.disconnect(False)
        except asyncio.CancelledError:
            transport.disconnect(False)
            raise


class _WebsocketsConnection(Connection):
    def __init__(self, opened: ClientConnection, on_frame: OnFrame, on_closed: OnClosed) -> None:
        self._socket = opened
        self._reader = asyncio.create_task(self._read(on_frame, on_closed), name="hftpy websockets reader")

    async def _read(self, on_frame: OnFrame, on_closed: OnClosed) -> None:
        try:
            while True:
                on_frame(await self._socket.recv(decode=False))
        except websockets.ConnectionClosed as closed:
            received = closed.rcvd
            on_closed(received.code if received else 1006, received.reason if received else "")

    async def send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except websockets.ConnectionClosed as closed:
            raise ConnectionResetError("the connection is closed") from closed

    async def close(self) -> None:
        try:
            await self._socket.close()
        finally:
            await end_tasks((self._reader,))


async def connect(
    url: str,
    on_frame: OnFrame,
    on_closed: OnClosed,
    client: ClientName = "picows",
    *,
    tls: TlsContext | None = None,
    deflate: bool = False,
) -> Connection:
    """Open a connection.

    Parameters
    ----------
    url
        ``ws://`` or ``wss://``.
    on_frame
        Called with each whole message; must not raise.
    on_closed
        Called once with close code and reason when the connection is over, whoever ended it.
    client
        Which library to use.
    tls
        How ``wss://`` is checked; None: by the system's authorities.
    deflate
        Offer permessage-deflate (the client websockets alone can). A message inflates to `MAX_MESSAGE_BYTES` at most.

    Raises
    ------
    ConnectError
        If there is no connection within `CONNECT_TIMEOUT_S`.
    ValueError
        If there is no such client, or it cannot deflate.
    """
    if deflate and client != "websockets":
        raise ValueError(f"client must be websockets for permessage-deflate, was {client!r}")
    if client not in CLIENTS:
        raise ValueError(f"client must be one of {', '.join(CLIENTS)}, was {client!r}")
    shown = url.partition("?")[0]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if client == "picows":
                return await _connect_picows(url, on_frame, on_closed, tls)
            return await _connect_websockets(url, on_frame, on_closed, tls, deflate)
    except TimeoutError as error:
        raise ConnectError(f"no connection to {shown} within {CONNECT_TIMEOUT_S:g} s") from error
    except (OSError, ssl.SSLError, picows.WSError, websockets.WebSocketException, EOFError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise ConnectError(f"no connection to {shown}: {type(error).__name__} {first_line}"[:300]) from error


async def _connect_picows(url: str, on_frame: OnFrame, on_closed: OnClosed, tls: TlsContext | None) -> Connection:
    sockets: list[socket.socket] = []

    async def connected_socket(parsed: Any) -> socket.socket:
        sockets.append(await _open_socket(parsed.host, parsed.port))
        return sockets[-1]

    try:
        return await _handshake(url, _Messages(on_frame, on_closed), connected_socket, tls)
    except asyncio.CancelledError:
        # picows keeps the transport of a handshake that was cancelled: end it through its socket.
        for item in sockets:
            if item.fileno() >= 0:
                with contextlib.suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)
        for _ in range(3):
            await asyncio.sleep(0)
        raise


async def _open_socket(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    error: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setblocking(False)
            async with asyncio.timeout(ADDRESS_TIMEOUT_S):
                await loop.sock_connect(opened, address)
            return opened
        except OSError as failed:  # TimeoutError too: the next address may answer
            opened.close()
            error = failed
        except BaseException:
            opened.close()
            raise
    raise error


async def _handshake(url: str, messages: _Messages, connected_socket: Any, tls: TlsContext | None) -> Connection:
    options: dict[str, Any] = {}
    if tls is not None:
        options["ssl_context"] = tls.context
        if tls.server_name and url.startswith("wss:"):
            options["server_hostname"] = tls.server_name
    transport, listener = await picows.ws_connect(
        lambda: (_NATIVE_LISTENER or _PicowsListener)(messages),
        url,
        socket_factory=connected_socket,
        enable_auto_ping=False,
        enable_auto_pong=False,
        max_frame_size=MAX_MESSAGE_BYTES,
        websocket_handshake_timeout=CONNECT_TIMEOUT_S,
        **options,
    )
    if listener is None:
        # picows calls it a success when the peer goes away before it has answered.
        raise ConnectionResetError("closed before the handshake was answered")
    return _PicowsConnection(transport, listener)


async def _connect_websockets(
    url: str, on_frame: OnFrame, on_closed: OnClosed, tls: TlsContext | None, deflate: bool
) -> Connection:
    options: dict[str, Any] = {
        "compression": "deflate" if deflate else None,
        "max_queue": 1024,
        "close_timeout": CLOSE_TIMEOUT_S,
    }
    if tls is not None and url.startswith("wss:"):
        options["ssl"] = tls.context
        if tls.server_name:
            options["server_hostname"] = tls.server_name
    opened = await websockets_connect(
        url,
        max_size=MAX_MESSAGE_BYTES,
        open_timeout=CONNECT_TIMEOUT_S,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
        **options,
    )
    return _WebsocketsConnection(opened, on_frame, on_closed)


__all__ = ["CLIENTS", "ClientName", "ConnectError", "Connection", "connect"]
