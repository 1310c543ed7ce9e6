"""Who may connect over tcp: the answers to libzmq's questions about keys (ZAP), and a count of all who were refused.

One thread per process, which sleeps until somebody connects (and looks once a second whether a key was taken away): it
must answer where no event loop runs, and while one stands. What it refuses never reaches the socket. A listener that
nobody answers for lets nobody in.

A peer that is refused is disconnected and told nothing (ZAP status 300), so that it tries again: a key that is added
counts from its next try. The connections of a key that is taken away are cut.

Source: https://rfc.zeromq.org/spec/27/ (ZAP), the manual page zmq_socket_monitor of libzmq 4.3.
"""

import itertools
import logging
import os
import queue
import socket as plain_socket
import struct
import threading
import time
from collections.abc import Callable

import zmq
from zmq.utils import z85

from hftpy.common.log import LimitedLog
from hftpy.common.secrets import Secret
from hftpy.ipc.curve_keys import KnownKeys

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # how often the keys are looked at while nobody connects
HANDSHAKE_MS = 3_000  # a connection that has not shown its key by then is closed
MAX_HALF_OPEN = 64  # connections that have not shown their key yet; of more the oldest are cut
_MAX_EVENTS = 100_000
_CLOSE_S = 2.0

_ZAP_ADDRESS = "inproc://zeromq.zap.01"
_WATCHED = (
    zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip
_ACCEPTED, _DISCONNECTED = int(zmq.EVENT_ACCEPTED), int(zmq.EVENT_DISCONNECTED)
_CLOSED = int(zmq.EVENT_CLOSED)
_SUCCEEDED, _REFUSED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED), int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_FAILED = frozenset({int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL), int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)})
_EVENT = struct.Struct("=HI")
# struct tcp_info of Linux: tcpi_bytes_acked. A server that has answered more than its greeting and its WELCOME has
# answered a key that it knows.
_BYTES_ACKED_AT = 120
_GREETING_AND_WELCOME = 64 + 2 + 168

_numbers = itertools.count(1)
_guard: "Guard | None" = None
_guard_lock = threading.Lock()


def get_guard(context: zmq.Context[zmq.Socket[bytes]]) -> "Guard":
    """The guard of this process and context, started at the first call."""
    global _guard
    with _guard_lock:
        if _guard is None or _guard.pid != os.getpid() or _guard.context is not context or not _guard.is_alive():
            _guard = Guard(context)
            _guard.start()
        return _guard


def stop_guard() -> None:
    """End the guard's thread, before its context is closed."""
    with _guard_lock:
        if _guard is not None and _guard.pid == os.getpid() and _guard.is_alive():
            _guard.stop()


class Listener:
    """A tcp endpoint of a socket: who came, and who was refused.

    Attributes
    ----------
    endpoint
        Where it is bound, such as ``tcp://127.0.0.1:7001``.
    accepted
        Connections that showed a key that is known.
    denied
        Connections that showed one that is not (or not any more).
    failed
        Connections that showed none: plain peers, peers that know another key of this server, noise, silence.

    Thread safety: the counters may be read by any thread; `note` and `close` belong to the socket's.
    """

    def __init__(self, name: str, socket: zmq.Socket[bytes], secret_key: Secret, known: KnownKeys) -> None:
        self.name = name
        self.endpoint = ""
        self.known = known
        self.domain = f"hft/{next(_numbers)}/{name}".encode()
        self.accepted = self.denied = self.failed = 0
        self.monitor: zmq.Socket[bytes] | None = None
        self._socket = socket
        self._secret_key = secret_key
        self._guard = get_guard(socket.context)
        self._log = LimitedLog(logger)
        self._open: dict[int, tuple[str, object]] = {}  # by descriptor, oldest first: who it seems to be, its address
        self._noted: dict[int, tuple[str, bytes]] = {}  # by descriptor: whose frames were read, and the key
        # Connections with a known key: how many there were, had been read from (counted by the socket's thread), and
        # were closed before that.
        self._succeeded = self._matched = self._closed_unread = 0
        self._denied_open = 0  # connections that were denied and are still to be closed
        self._has_failed = False
        self._port = 0
        self._is_closed = threading.Event()

    def bind(self, endpoint: str, max_frame_bytes: int) -> None:
        """Bind the socket to the endpoint, for those whose key is known; raises ZMQError.

        `max_frame_bytes` bounds what a peer may send at once, and what is kept of one that has shown no key yet.
        """
        socket = self._socket
        socket.setsockopt(zmq.MAXMSGSIZE, max_frame_bytes)
        socket.setsockopt(zmq.USE_FD, -1)
        socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        socket.setsockopt(zmq.ZAP_DOMAIN, self.domain)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a guard that answers nobody gets in
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret_key.reveal().encode())
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        keep_alive(socket)
        address = f"inproc://hft.curve.{next(_numbers)}"
        # Where nobody reads a monitor, it stops libzmq's threads: it is connected before anything is told.
        socket.monitor(address, _WATCHED)
        self.monitor = socket.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.RCVHWM, _MAX_EVENTS)
        self.monitor.connect(address)
        self._guard.add(self)
        try:
            socket.bind(endpoint)
        except BaseException:
            self.close()
            raise
        self.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._port = int(self.endpoint.rpartition(":")[2])
        logger.info("%s is served at %s too, to those whose key is in %s", self.name, self.endpoint, self.known.folder)

    def note(self, descriptor: int, peer: str, public_key: bytes) -> None:
        """A frame of a peer came by this connection."""
        if descriptor not in self._noted:
            self._matched += 1
        self._noted[descriptor] = (peer, public_key)

    def close(self, linger_ms: int = 0) -> None:
        """Give the port back; must come before the socket is closed. What was sent may take `linger_ms` to leave."""
        if self.endpoint and not self._socket.closed:
            self._socket.setsockopt(zmq.LINGER, linger_ms)
            self._socket.unbind(self.endpoint)
            # libzmq's thread closes it: whoever is the next owner may come at once.
            if self._guard.is_alive() and not self._is_closed.wait(_CLOSE_S):
                logger.warning("%s: %s was not closed within %g s", self.name, self.endpoint, _CLOSE_S)
        if self.monitor is not None and not self._socket.closed:
            self._socket.disable_monitor()
        self._guard.remove(self)

    @property
    def half_open(self) -> int:
        """How many connections have not shown their key yet."""
        return max(0, len(self._open) - len(self._noted) - self._unread)

    @property
    def _unread(self) -> int:
        return max(0, self._succeeded - self._matched - self._closed_unread)

    def stats(self) -> dict[str, int]:
        return {"tcp_accepted": self.accepted, "tcp_denied": self.denied, "tcp_failed": self.failed}

    # -- the guard's thread -------------------------------------------------------------------------------------

    def answer(self, address: str, mechanism: bytes, public_key: bytes) -> str | None:
        """Who asks to be let in; None: nobody who may."""
        name = self.known.name_of(public_key) if mechanism == b"CURVE" else None
        if name is None:
            self.denied += 1
            key = self.known.describe(public_key) if public_key else "no key"
            self._log.warning("denied", "%s: refused %s with %s", self.name, address, key)
        return name

    def on_event(self, event: int, value: int, endpoint: str) -> None:
        """What libzmq tells of a connection, in its order."""
        if not endpoint.startswith("tcp://"):
            return  # the unix path of the same socket
        if event == _ACCEPTED:
            self._open[value] = _peer_of(value)
            if self.half_open > MAX_HALF_OPEN:
                self._cut_oldest()
        elif event == _SUCCEEDED:
            self.accepted += 1
            self._succeeded += 1
        elif event == _REFUSED:
            self._denied_open += 1  # `answer` has counted it
        elif event in _FAILED:
            self._has_failed = True  # of the connection that is told to be closed next
        elif event == _DISCONNECTED:
            self._on_closed(value)
        elif event == _CLOSED:
            self._is_closed.set()

    def _on_closed(self, descriptor: int) -> None:
        who, _ = self._open.pop(descriptor, ("somebody", None))
        has_failed, self._has_failed = self._has_failed, False
        if self._noted.pop(descriptor, None) is not None:
            return
        if not has_failed:
            # Which of these it was is not told; noise that libzmq takes for its oldest version is told as none of them.
            if self._denied_open > 0:
                self._denied_open -= 1
                return
            if self._unread > 0:
                self._closed_unread += 1
                return
        self.failed += 1
        self._log.warning(
            "failed", "%s: refused %s: it showed no key to us (no CURVE, or for another server's key)", self.name, who
        )

    def _cut_oldest(self) -> None:
        for descriptor in list(self._open):
            if descriptor not in self._noted and self._cut(descriptor, lambda made: not _is_answered(made)):
                self._log.warning("half open", "%s: more than %d connections show no key", self.name, MAX_HALF_OPEN)
                return

    def cut_unknown(self) -> None:
        """End the connections of peers whose key may not connect any more."""
        for descriptor, (name, public_key) in list(self._noted.items()):
            if self.known.name_of(public_key) != name and self._cut(descriptor):
                logger.warning("%s: disconnected %s, whose key may not connect any more", self.name, name)

    def _cut(self, descriptor: int, wanted: Callable[[plain_socket.socket], bool] = lambda made: True) -> bool:
        # The number may be another file's by now: it is duplicated, then looked at, then shut down.
        who, address = self._open.get(descriptor, ("", None))
        if address is None:
            return False
        try:
            with plain_socket.socket(fileno=os.dup(descriptor)) as made:
                is_ours = made.getsockname()[1] == self._port and made.getpeername() == address
                if not is_ours or not wanted(made):
                    return False
                made.shutdown(plain_socket.SHUT_RDWR)
                self._open[descriptor] = (who, None)  # once: libzmq may take a while to see it
                return True
        except (OSError, IndexError):
            return False  # it is gone, or no connection


class Guard(threading.Thread):
    """The thread that answers for all listeners of a context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        super().__init__(name="hft-curve", daemon=True)
        self.context = context
        self.pid = os.getpid()
        self._zap: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(_ZAP_ADDRESS)
        self._waker, self._woken = plain_socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._changes: queue.SimpleQueue[tuple[str, Listener | None]] = queue.SimpleQueue()
        self._by_domain: dict[bytes, Listener] = {}
        self._by_monitor: dict[zmq.Socket[bytes], Listener] = {}
        self._poller = zmq.Poller()
        self._log = LimitedLog(logger)

    def add(self, listener: Listener) -> None:
        """Answer for a listener from now on."""
        self._by_domain[listener.domain] = listener  # at once: a peer may come before the thread turns to it
        self._tell("add", listener)

    def remove(self, listener: Listener) -> None:
        """Answer for it no more."""
        self._by_domain.pop(listener.domain, None)
        self._tell("remove", listener)

    def stop(self) -> None:
        """End, and wait for it."""
        self._tell("stop", None)
        self.join()

    def _tell(self, what: str, listener: Listener | None) -> None:
        self._changes.put((what, listener))
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            pass  # it is awake
        except OSError:
            if listener is not None and listener.monitor is not None and what == "remove":
                listener.monitor.close(linger=0)  # its thread has ended

    def run(self) -> None:
        """Answer until told to end."""
        self._poller.register(self._zap, zmq.POLLIN)
        self._poller.register(self._woken, zmq.POLLIN)
        next_look = 0.0
        try:
            while True:
                timeout = int(LOOK_S * 1000) if self._by_domain else None
                for found, _ in self._poller.poll(timeout):
                    if found is self._zap:
                        self._answer()
                    elif found == self._woken.fileno():
                        if not self._take_changes():
                            return
                    elif found in self._by_monitor:
                        self._guarded(self._read_events, found)
                if self._by_domain and time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_S
                    self._guarded(self._look)
        except zmq.ContextTerminated:
            pass  # the end of the program
        finally:
            for socket in (self._zap, *self._by_monitor):
                socket.close(linger=0)
            self._waker.close()
            self._woken.close()

    @staticmethod
    def _guarded(part: Callable[..., None], *arguments: object) -> None:
        # Without this thread libzmq's would stand before long: nobody would read the monitors.
        try:
            part(*arguments)
        except zmq.ContextTerminated:
            raise
        except Exception:
            logger.exception("the guard of tcp connections goes on")

    def _take_changes(self) -> bool:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass
        while True:
            try:
                what, listener = self._changes.get_nowait()
            except queue.Empty:
                return True
            if what == "stop":
                return False
            if listener is None or listener.monitor is None:
                continue
            if what == "add":
                self._by_monitor[listener.monitor] = listener
                self._poller.register(listener.monitor, zmq.POLLIN)
            elif self._by_monitor.pop(listener.monitor, None) is not None:
                self._poller.unregister(listener.monitor)
                listener.monitor.close(linger=0)

    def _answer(self) -> None:
        request = self._zap.recv_multipart()
        if len(request) < 6:
            self._log.warning("zap", "a question of %d parts is none of ZAP", len(request))
            self._zap.send_multipart([b"1.0", request[1] if len(request) > 1 else b"", b"500", b"", b"", b""])
            return
        _, number, domain, address, _, mechanism, *credentials = request
        listener = self._by_domain.get(domain)
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and len(credentials[0]) == 32 else b""
        name = None
        if listener is not None:
            try:
                if listener.known.refresh():
                    self._cut_unknown()
                name = listener.answer(address.decode(errors="replace"), mechanism, key)
            except Exception:
                logger.exception("nobody was let in")  # and the thread lives on
        if name is None:
            self._zap.send_multipart([b"1.0", number, b"300", b"not allowed", b"", b""])
        else:
            self._zap.send_multipart([b"1.0", number, b"200", b"OK", user_id(name, key), b""])

    def _read_events(self, monitor: zmq.Socket[bytes]) -> None:
        listener = self._by_monitor[monitor]
        for _ in range(1000):
            try:
                parts = monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event, value = _EVENT.unpack(parts[0])
            listener.on_event(event, value, parts[1].decode(errors="replace"))

    def _look(self) -> None:
        for known in {id(listener.known): listener.known for listener in list(self._by_domain.values())}.values():
            known.refresh()
        self._cut_unknown()

    def _cut_unknown(self) -> None:
        for listener in list(self._by_domain.values()):
            listener.cut_unknown()


def user_id(name: str, public_key: bytes) -> bytes:
    """What libzmq says of each frame of a peer that was let in."""
    return f"{name} ".encode() + public_key


class KeyedReader:
    """Reads what peers send to a socket that is served over tcp too, and by whose key it came.

    Attributes
    ----------
    who
        Whose key the frame that was read last came by; None for the unix path, and for a subscription that ended
        because its connection did.
    """

    def __init__(self, socket: zmq.Socket[bytes], listener: Listener) -> None:
        self._socket = socket
        self._listener = listener
        self.who: str | None = None

    def recv(self) -> bytes | None:
        """The next frame, or None where there is none; raises ZMQError."""
        try:
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self.who = None
        try:
            found = str(frame.get("User-Id"))
        except zmq.ZMQError:
            return frame.bytes
        self.who, _, key = found.partition(" ")
        self._listener.note(int(frame.get(zmq.SRCFD)), self.who, key.encode())
        return frame.bytes


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Let the kernel find out within half a minute that the other host is gone, whoever is slow."""
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    socket.setsockopt(zmq.TCP_MAXRT, 25_000)


def _peer_of(descriptor: int) -> tuple[str, object]:
    """The other end of a connection, in words and as the kernel says it."""
    try:
        with plain_socket.socket(fileno=os.dup(descriptor)) as made:
            address = made.getpeername()
    except OSError:
        return "somebody who has gone", None
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address), address


def _is_answered(made: plain_socket.socket) -> bool:
    """Whether a connection has got beyond its handshake."""
    found = made.getsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_INFO, 256)
    if len(found) < _BYTES_ACKED_AT + 8:
        return False
    acked: int = struct.unpack_from("=Q", found, _BYTES_ACKED_AT)[0]
    return acked > _GREETING_AND_WELCOME + 1  # the kernel counts the SYN
