"""A connection over tcp, seen from the side that connects."""

import asyncio
import errno
import logging
import struct

import zmq

from hftpy.common.log import LimitedLog
from hftpy.ipc.curve_guard import HANDSHAKE_MS, LOOK_S, keep_alive
from hftpy.ipc.tcp import RemoteEndpoint, TcpEndpoints
from hftpy.ipc.transport import FrameReader

logger = logging.getLogger(__name__)

RECONNECT_MS = 200
RECONNECT_S = 2.0  # to whoever does not speak CURVE
_MAX_EVENTS = 100_000
_NO_DETAIL, _PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL), int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_AUTH, _SUCCEEDED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH), int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_WATCHED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
)  # fmt: skip
_EVENT = struct.Struct("=HI")


class CurveLink:
    """Connects a socket to a peer's endpoint once a loop runs, and says so where the peer does not take us, or is not
    who it should be.

    libzmq tries again by itself, but for a server that speaks no CURVE or refuses for good: then this does. A peer
    whose key is taken away is left, and one that has another key is connected to by that.

    Thread safety: the thread of the socket.
    """

    def __init__(self, socket: zmq.Socket[bytes], tcp: TcpEndpoints, remote: RemoteEndpoint) -> None:
        self._socket = socket
        self._remote = remote
        self._log = LimitedLog(logger)
        self._reader: FrameReader | None = None
        self._again: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._tcp = tcp
        self._server_key: bytes | None = remote.server_key
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed = 0
        self._is_dead = False  # libzmq has given it up
        tcp.show_key(socket, remote)
        keep_alive(socket)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._monitor: zmq.Socket[bytes] | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect, if it is not yet, and watch the connection on this loop."""
        self.detach()
        self._loop = loop
        if self._monitor is None:
            # From here on somebody reads it: libzmq's threads would wait for that.
            address = f"inproc://hft.link.{id(self)}"
            self._socket.monitor(address, _WATCHED)
            self._monitor = self._socket.context.socket(zmq.PAIR)
            self._monitor.setsockopt(zmq.LINGER, 0)
            self._monitor.setsockopt(zmq.RCVHWM, _MAX_EVENTS)
            self._monitor.connect(address)
            self._socket.connect(self._remote.endpoint)
        self._reader = FrameReader(loop, self._monitor, self._read)
        self._look = loop.call_later(LOOK_S, self._look_at_key)
        if self._is_dead:
            self._again = loop.call_later(RECONNECT_S, self._connect_again)

    def detach(self) -> None:
        """Watch it no more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._loop = None

    def take_failed(self) -> int:
        """How often, since this was asked last, the peer refused our key or did not prove to be the peer."""
        failed, self._failed = self._failed, 0
        return failed

    def close(self) -> None:
        """Must come before the socket is closed."""
        self.detach()
        if self._monitor is not None:
            if not self._socket.closed:
                self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None

    def _read(self, limit: int) -> bool:
        assert self._monitor is not None
        for _ in range(limit):
            try:
                event, value = _EVENT.unpack(self._monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return False
            self._on_event(event, value)
        return True

    def _on_event(self, event: int, value: int) -> None:
        peer, endpoint = self._remote.peer, self._remote.endpoint
        if event == _SUCCEEDED:
            logger.info("connected to %s at %s", peer, endpoint)
            return
        self._failed += 1
        if event == _NO_DETAIL:
            why = "our key is not allowed there, or its key is another one than we know"
        else:
            why = "it speaks no CURVE, or refuses our key for good"
            self._is_dead = True
            if self._loop is not None and self._again is None:
                self._again = self._loop.call_later(RECONNECT_S, self._connect_again)
        self._log.warning("failed", "no connection to %s at %s: %s", peer, endpoint, why)

    def _look_at_key(self) -> None:
        assert self._loop is not None
        self._look = self._loop.call_later(LOOK_S, self._look_at_key)
        key = self._tcp.key_of(self._remote.peer)
        if key == self._server_key or self._socket.closed:
            return
        if self._server_key is not None:
            now = "not known any more" if key is None else "another one now"
            self._log.warning("key", "left %s at %s: its key is %s", self._remote.peer, self._remote.endpoint, now)
        self._server_key = key
        if self._again is not None:
            self._again.cancel()
        if key is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, key)
        self._connect_again()

    def _connect_again(self) -> None:
        self._again = None
        self._is_dead = False
        if not self._socket.closed:
            try:
                self._socket.disconnect(self._remote.endpoint)
            except zmq.ZMQError as error:
                if error.errno != errno.ENOENT:
                    raise
            if self._server_key is not None:
                self._socket.connect(self._remote.endpoint)
