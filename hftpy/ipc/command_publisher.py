"""The sending half of the command system: one XPUB socket at the process's own address."""

import asyncio
import logging
import time
from pathlib import Path

import zmq

from hftcore.topic import PrefixFilter, check_process_id
from hftpy.common.log import LimitedLog
from hftpy.common.paths import socket_path
from hftpy.ipc.outbox import Held, Outbox
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, OwnedAddress, has_frames

logger = logging.getLogger(__name__)


JOIN_S = 0.5  # within this time whoever waits for an address has connected to it


class CommandPublisher:
    """Sends frames to whoever has subscribed them, and holds those whose one target has not joined yet.

    A frame for many that is sent within `JOIN_S` of opening the address waits until then, since processes that wait
    for this one are just connecting; what is sent after it stays behind it.

    Parameters
    ----------
    process_id
        Names the address.
    hold_s, capacity
        As for `Outbox`.
    send_hwm
        How many frames wait for one peer that does not read; further ones are dropped for that peer alone.
    """

    def __init__(self, process_id: str, *, hold_s: float, capacity: int, send_hwm: int) -> None:
        self._process_id = process_id
        self._send_hwm = send_hwm
        self._owned: OwnedAddress | None = None
        self._reader: FrameReader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._joined = PrefixFilter()
        self._outbox = Outbox(hold_s, capacity)
        self._join_s = min(JOIN_S, hold_s)
        self._join_end = 0.0
        self._early = False  # a frame for many waits for `_join_end`
        self._log = LimitedLog(logger)
        self.peers: set[str] = set()
        self.sent = self.no_route = 0

    @property
    def held(self) -> int:
        return len(self._outbox)

    def open(self, root: Path) -> None:
        """Bind the address. Raises as `OwnedAddress` and `socket_path`."""
        path = socket_path(root, f"command/{self._process_id}.ipc")
        self._owned = OwnedAddress(path, send_hwm=self._send_hwm)
        self._joined = PrefixFilter()
        self.peers.clear()
        self._join_end = time.monotonic() + self._join_s
        logger.info("commands of %s at %s", self._process_id, path)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the loop see peers join, and drop what waited too long."""
        self._detach()
        self._loop = loop
        if self._owned is not None:
            self._reader = FrameReader(loop, self._owned.socket, self._serve)
        self._set_timer()

    def _detach(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._cancel_timer()
        self._loop = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send(self, topic: bytes, frame: bytes, target_id: str) -> None:
        """Send a frame now, or when its target joins; one for many (a target ending in ``*``) never waits for it."""
        now = time.monotonic()
        if self._owned is not None:
            self._serve()
        self._release(now)
        for_many = target_id.endswith("*")
        if for_many and self._owned is not None and now < self._join_end and not self._early:
            self._early = True
            self._cancel_timer()
        if self._owned is not None and not self._early and self._is_ready(target_id, topic):
            self._transmit(frame)
        elif (for_many and self._owned is None) or not self._outbox.hold(now, target_id, topic, frame):
            self.no_route += 1
            reason = "the system was not started" if for_many and self._owned is None else "too many commands wait"
            self._log.warning("refused", "command %s dropped: %s", topic.decode().rstrip(), reason)
        else:
            self._set_timer()
        if self._reader is not None:
            self._reader.poke()

    def _transmit(self, frame: bytes) -> None:
        assert self._owned is not None
        self._owned.socket.send(frame, zmq.NOBLOCK)
        self.sent += 1

    def _is_ready(self, target_id: str, topic: bytes) -> bool:
        if target_id in self.peers or target_id.endswith("*"):
            return True
        # Any other subscription that is a prefix counts (a plain peer may subscribe whole topics), except that of
        # another process whose id is the beginning of this one: `mm1.` is a prefix of `mm1.x.start` too.
        return any(_process_of(prefix) is None for prefix in self._joined.matching(topic))

    def _serve(self, limit: int = 1_000_000) -> bool:
        if self._owned is None:
            return False
        socket = self._owned.socket
        for _ in range(limit):
            if not has_frames(socket):
                return False
            request = socket.recv(zmq.NOBLOCK)
            prefix = request[1:]
            peer = _process_of(prefix)
            if request[:1] == b"\x01":
                self._joined.add(prefix)
                if peer is not None and peer not in self.peers:
                    self.peers.add(peer)
                    logger.info("%s: %s joined", self._process_id, peer)
                self._send_ready()
            elif request[:1] == b"\x00" and self._joined.remove(prefix) and peer is not None:
                self.peers.discard(peer)
                logger.info("%s: %s left", self._process_id, peer)
        return True

    def _send_ready(self) -> None:
        behind_early = False

        def is_ready(target_id: str, topic: bytes) -> bool:
            nonlocal behind_early
            behind_early = behind_early or (self._early and target_id.endswith("*"))
            return not behind_early and self._is_ready(target_id, topic)

        for held in self._outbox.take(is_ready):
            self._transmit(held.frame)

    def _set_timer(self) -> None:
        deadline = self._join_end if self._early else self._outbox.next_deadline
        if self._timer is None and self._loop is not None and not self._loop.is_closed() and deadline is not None:
            delay = max(0.0, deadline - time.monotonic()) + 0.001
            self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()
        self._release(time.monotonic())
        self._set_timer()

    def _release(self, now: float) -> None:
        if self._early and now >= self._join_end:
            self._early = False
            self._send_ready()
        self._drop(self._outbox.take_expired(now), "its target has not joined in time")

    def _drop(self, dropped: list[Held], reason: str) -> None:
        for held in dropped:
            self.no_route += 1
            logger.warning("command %s dropped: %s", held.topic.decode().rstrip(), reason)

    def _wait_for_joins(self) -> None:
        # An answer sent just before the stop, to a peer that is just connecting, would be lost. Peers join through
        # libzmq's own threads, so waiting here does not hold them up.
        assert self._owned is not None
        end = time.monotonic() + STOP_LINGER_MS / 1000
        self._serve()
        while len(self._outbox) and (left := end - (now := time.monotonic())) > 0:
            if self._early:
                left = min(left, max(0.0, self._join_end - now))
            self._owned.socket.poll(max(1, int(left * 1000)))
            self._serve()
            self._release(time.monotonic())

    def close(self) -> None:
        """Give the address back; what was sent, or waits for its target, has half a second to leave."""
        self._detach()
        if self._owned is not None:
            self._wait_for_joins()
            self._owned.close(STOP_LINGER_MS)
            self._owned = None
        self._drop(self._outbox.clear(), "the sender stopped")
        self._early = False
        self.peers.clear()


def _process_of(prefix: bytes) -> str | None:
    """The process that subscribes ``{process_id}.``; None for other subscriptions."""
    if not prefix.endswith(b"."):
        return None
    try:
        return check_process_id(prefix[:-1].decode())
    except ValueError:
        return None
