"""ZeroMQ sockets on unix paths: one context per process, one owner per address, frames read on the event loop.

An address is owned by an exclusive `flock` on ``{path}.lock``. ZeroMQ by itself would let a second bind take over the
path of a living publisher silently. The listening socket is made here and handed to libzmq, which then never unlinks
the path: the owner does, while it holds the lock.
"""

import asyncio
import atexit
import errno
import logging
import os
import resource
import socket as unix_socket
import stat
from asyncio.events import _get_running_loop as running_loop
from collections.abc import Callable
from pathlib import Path

import zmq

from hftpy.common.file_lock import FileLock
from hftpy.errors import AddressInUseError, RootError
from hftpy.ipc.curve_guard import Listener, stop_guard

logger = logging.getLogger(__name__)

STOP_LINGER_MS = 500
MAX_FRAME_BYTES = 16 << 20
HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS = 1000, 5000
_WANTED_DESCRIPTORS = 65_536
_DRAIN_FRAMES = 512

# As numbers: pyzmq's flags are an Enum, whose operators are slow.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)

_context: zmq.Context[zmq.Socket[bytes]] | None = None
_context_pid = 0
_owned: set["OwnedAddress"] = set()

Listen = Callable[[zmq.Socket[bytes]], Listener | None]

__all__ = [
    "MAX_FRAME_BYTES",
    "STOP_LINGER_MS",
    "FrameReader",
    "OwnedAddress",
    "connect",
    "get_context",
    "has_frames",
    "running_loop",
]


def get_context() -> zmq.Context[zmq.Socket[bytes]]:
    """The context of this process; a forked child gets its own, since libzmq's threads do not survive a fork."""
    global _context, _context_pid
    if _context is None or _context_pid != os.getpid() or _context.closed:
        _raise_descriptor_limit()
        _context = zmq.Context()
        _context.set(zmq.MAX_SOCKETS, 8192)
        _context_pid = os.getpid()
    return _context


def _raise_descriptor_limit() -> None:
    # libzmq aborts the process when it runs out of descriptors.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            logger.warning("the limit of open files stays at %d: %s", soft, error)


@atexit.register
def _flush_at_exit() -> None:
    # A program that ends without closing, by Ctrl-C for example, still gives its addresses back.
    for address in list(_owned):
        address.close(STOP_LINGER_MS)
    stop_guard()
    # What was closed with a linger is still sent; what was never closed must not hang the exit.
    if _context is not None and _context_pid == os.getpid() and not _context.closed:
        _context.destroy(linger=0)


def has_frames(socket: zmq.Socket[bytes]) -> bool:
    """Whether a receive would succeed now."""
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)


class OwnedAddress:
    """A bound XPUB socket on a unix path that this object alone owns.

    Parameters
    ----------
    path
        The path of the socket; its folder must exist.
    send_hwm
        How many frames wait for one peer before further ones are dropped for that peer.
    manual
        Whether a subscription takes effect only when the caller accepts it, and the frame sent next goes to the
        subscriber alone.
    watched
        Whether each subscription and its end is told, of every peer, and a peer that stopped is disconnected.
    listen
        Binds the socket to its tcp endpoint too, if it has one.

    Attributes
    ----------
    listener
        The tcp endpoint, if there is one.

    Raises
    ------
    AddressInUseError
        If another process or object owns the address, or somebody listens there without a lock.
    RootError
        If the path cannot be used.
    ConfigError
        If the tcp endpoint cannot be used.
    """

    def __init__(
        self, path: Path, *, send_hwm: int, manual: bool = False, watched: bool = False, listen: Listen | None = None
    ) -> None:
        self.path = path
        self.listener: Listener | None = None
        self._pid = os.getpid()
        self._lock = FileLock(path.with_name(path.name + ".lock"), f"address {path}")
        try:
            listener = self._listen()
            self.socket: zmq.Socket[bytes] = get_context().socket(zmq.XPUB)
        except BaseException:
            self._lock.release()
            raise
        try:
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.setsockopt(zmq.SNDHWM, send_hwm)
            self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
            if manual:
                self.socket.setsockopt(zmq.XPUB_MANUAL_LAST_VALUE, 1)
            if watched:
                self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
                _watch(self.socket)
            self.socket.setsockopt(zmq.USE_FD, listener.fileno())
            self.socket.bind(f"ipc://{path}")
            listener.detach()  # libzmq closes it
            if listen is not None:
                self.listener = listen(self.socket)
            _owned.add(self)
        except BaseException:
            listener.close()
            self.close()
            raise

    def _listen(self) -> unix_socket.socket:
        self._remove_stale()
        listener = unix_socket.socket(unix_socket.AF_UNIX, unix_socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(self.path))
            os.chmod(self.path, 0o600)  # the folder is 0700, so nobody connected in between
            listener.listen(128)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise RootError(f"address {self.path} cannot be bound: {error.strerror}") from error
        self._bound = self.path.lstat()
        return listener

    def _remove_stale(self) -> None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise AddressInUseError(f"address {self.path} is taken by something that is no socket")
        with unix_socket.socket(unix_socket.AF_UNIX, unix_socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(os.fspath(self.path)) != errno.ECONNREFUSED:
                raise AddressInUseError(f"address {self.path} is in use by a process that holds no lock")
        self.path.unlink(missing_ok=True)

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket and give the address back; frames already sent may take `linger_ms` to leave."""
        if self.socket.closed or self._pid != os.getpid():
            return  # a forked child neither owns the address nor may touch the socket
        _owned.discard(self)
        if self.listener is not None:
            self.listener.close(linger_ms)
        self.socket.close(linger=linger_ms)
        try:
            # A plain ZeroMQ bind may have taken the path: what is not ours stays.
            if os.path.samestat(self.path.lstat(), self._bound):
                self.path.unlink()
        except FileNotFoundError:
            pass
        self._lock.release()


def _watch(socket: zmq.Socket[bytes]) -> None:
    # libzmq's own threads answer, so that only a process that is stopped or dead is silent.
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def connect(path: Path | None, kind: int, *, receive_hwm: int, watched: bool = False) -> zmq.Socket[bytes]:
    """A SUB or XSUB socket that connects to a unix path, now or as soon as somebody binds it; None: to none yet."""
    connected: zmq.Socket[bytes] = get_context().socket(kind)
    connected.setsockopt(zmq.LINGER, 0)
    connected.setsockopt(zmq.RCVHWM, receive_hwm)
    connected.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    if watched:
        _watch(connected)
    connected.setsockopt(zmq.RECONNECT_IVL, 50)
    connected.setsockopt(zmq.RECONNECT_IVL_MAX, 0)
    if path is not None:
        connected.connect(f"ipc://{path}")
    return connected


class FrameReader:
    """Calls `on_readable` on the event loop while a ZeroMQ socket may have frames to read.

    The descriptor of a ZeroMQ socket is edge-triggered, and a send on the same socket can consume the edge: `poke()`
    must follow each send. `on_readable` reads frames until it has read `limit` of them or there are none, and
    returns whether there may be more.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes], on_readable: Callable[[int], bool]
    ) -> None:
        self.loop = loop
        self._descriptor: int = socket.getsockopt(zmq.FD)  # type: ignore[assignment]
        self._on_readable = on_readable
        self._scheduled: asyncio.Handle | None = None
        self._closed = False
        loop.add_reader(self._descriptor, self._drain)
        self.poke()

    def poke(self) -> None:
        """Look for frames at the loop's next turn."""
        if self._scheduled is None and not self._closed and not self.loop.is_closed():
            self._scheduled = self.loop.call_soon(self._drain)

    def _drain(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._closed:
            return
        more = True
        try:
            more = self._on_readable(_DRAIN_FRAMES)
        except zmq.ZMQError:
            more = False  # the socket is gone
            raise
        finally:
            if more:
                self.poke()

    def close(self) -> None:
        """Stop reading; must come before the socket is closed."""
        self._closed = True
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if not self.loop.is_closed():
            self.loop.remove_reader(self._descriptor)
