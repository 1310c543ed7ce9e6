"""The sending half of the command system: one XPUB socket at the process's own address, around `CommandSender`."""

import asyncio
import logging
import time
from pathlib import Path

from hftcore.topic import PrefixFilter, check_process_id
from hftcore.zmq import NativeSocket
from hftpy.common.log import LimitedLog, shown
from hftpy.common.paths import socket_path
from hftpy.ipc.command_audit import TAIL_TOPIC, CommandObserver
from hftpy.ipc.command_keys import KeyedPeers
from hftpy.ipc.command_outbox import ASK_S
from hftpy.ipc.command_protocol import MALFORMED, UPSTREAM, decode_answer, peer_of
from hftpy.ipc.command_sender import CommandSender
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.curve_guard import KeyedReader, Listener
from hftpy.ipc.sent_command import Delivery, SentCommand
from hftpy.ipc.tcp import COMMANDS, TcpEndpoints
from hftpy.ipc.transport import STOP_LINGER_MS, FrameReader, OwnedAddress, running_loop

logger = logging.getLogger(__name__)

LATE_S = 0.05  # what an answer brings up may be done so much later, with what is due by then
JOIN_S = 0.5  # within this time whoever waits for an address has connected to it


class CommandPublisher:
    """Sends commands to whoever has subscribed them, and hears what became of them.

    A command for many that is sent within `JOIN_S` of opening the address waits until then, since processes that wait
    for this one are just connecting; what is sent after it stays behind it.

    Parameters
    ----------
    process_id, boot
        Names the address, and the life of its owner.
    join_s
        At most this instead of `JOIN_S`.
    capacity
        As for `CommandSender`.
    send_hwm
        How many frames wait for one peer that does not read; further ones are dropped for that peer alone.
    observer
        Is told what becomes of commands; watchers that subscribe here are given its records.
    tcp
        Where it is reached from other hosts; None: nowhere.
    """

    def __init__(
        self,
        process_id: str,
        boot: str,
        *,
        join_s: float,
        capacity: int,
        send_hwm: int,
        observer: CommandObserver,
        tcp: TcpEndpoints | None = None,
    ) -> None:
        self._process_id = process_id
        self._send_hwm = send_hwm
        self._join_s = min(JOIN_S, join_s)
        self._owned: OwnedAddress | None = None
        self._tcp = tcp
        self._keyed: KeyedReader | None = None
        self.listener: Listener | None = None
        self.keyed_peers = KeyedPeers()
        self._native: NativeSocket | None = None
        self._reader: FrameReader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._armed_on: asyncio.AbstractEventLoop | None = None
        self._is_sending = False
        self._served = 0  # frames read
        self._joined = PrefixFilter()
        self._log = LimitedLog(logger)
        self._observer = observer
        self.peers: set[str] = set()
        self.malformed = 0
        self.sender = CommandSender(
            process_id, boot, transmit=self._transmit, is_plain=self._is_plain, capacity=capacity
        )
        self.sender.on_end = self._on_end
        self.sender.read_joins = self._serve

    def open(self, root: Path) -> None:
        """Bind the address. Raises as `OwnedAddress`, `socket_path` and `TcpEndpoints.listen`."""
        path = socket_path(root, f"command/{self._process_id}.ipc")
        tcp = self._tcp
        listen = None if tcp is None else lambda socket: tcp.listen(COMMANDS, socket)
        self._owned = OwnedAddress(path, send_hwm=self._send_hwm, watched=True, listen=listen)
        self.listener = self._owned.listener
        self._keyed = None if self.listener is None else KeyedReader(self._owned.socket, self.listener)
        self.keyed_peers.clear()
        self._native = NativeSocket(self._owned.socket)
        self._joined = PrefixFilter()
        self.peers.clear()
        self.sender.open(time.monotonic(), self._join_s)
        logger.info("commands of %s at %s", self._process_id, path)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the loop see peers join and answer, and deadlines pass."""
        self._detach()
        self._loop = loop
        if self._owned is not None:
            self._reader = FrameReader(loop, self._owned.socket, self._read)
        self._arm_next()

    def _detach(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._disarm()
        self._loop = None

    def send(self, command: SentCommand, now: float, fail_fast: bool) -> None:
        """Send a command now, or when it can be."""
        sender = self.sender
        peer = sender.peers.get(command.target_id)
        is_heard = self._reader is not None and peer is not None and peer.boot != ""
        if self._owned is not None and not is_heard:
            self._serve(now)
        if self._observer.is_on:
            self._observer.on_sent(command)
        if self._timer is None and sender.outstanding + sender.waiting == 0:
            sender.poll(now)  # without a loop nobody else does
        if is_heard:
            self._is_sending = True
            try:
                sender.send(now, command, fail_fast=fail_fast)
            finally:
                self._is_sending = False
            # What was sent may have consumed the socket's edge: looking now saves the loop a turn.
            served = self._served
            self._serve(now)
            if served != self._served and self._reader is not None:
                self._reader.poke()  # what was read may have brought up what is to be done at its time
        else:
            sender.send(now, command, fail_fast=fail_fast)
        if not command.final:
            self._arm(min(now + ASK_S, command.deadline))

    def _transmit(self, frame: bytes) -> None:
        if self._native is not None:
            self._native.send(frame)
            if self._reader is not None and not self._is_sending:
                self._reader.poke()

    def _is_plain(self, target_id: str, topic: bytes) -> bool:
        if target_id in self.peers:
            return True
        if target_id.endswith("*"):
            return self._joined.match(topic)
        # Any other subscription that is a prefix counts (a plain peer may subscribe whole topics), except that of
        # another process whose id is the beginning of this one: `mm1.` is a prefix of `mm1.x.start` too.
        return any(_process_of(prefix) is None for prefix in self._joined.matching(topic))

    def _on_end(self, delivery: Delivery) -> None:
        if self._observer.is_on:
            self._observer.on_delivery(delivery)
        if delivery.state in (CommandState.DONE, CommandState.RECEIVED, CommandState.SENT):
            return
        command = delivery.command
        name = f"{delivery.member or command.target_id}.{command.type}"
        if delivery.state is CommandState.NO_ROUTE:
            if not command.for_many or delivery.reason != "nobody listens":
                self._log.warning(f"dropped {delivery.reason}", "command %s dropped: %s", name, delivery.reason)
        elif delivery.state is not CommandState.UNKNOWN or delivery.first_boot:
            self._log.log(
                logging.INFO if self._reader is None else logging.WARNING,  # at the stop it is no surprise
                f"{delivery.state} {delivery.reason}",
                "command %s (%s) is %s: %s %s",
                name, command.id, delivery.state, delivery.reason, delivery.error,
            )  # fmt: skip

    # -- the socket ---------------------------------------------------------------------------------------------

    def _read(self, limit: int) -> bool:
        now = time.monotonic()
        more = self._serve(now, limit)
        if self._timer is None or self._armed_at > now + LATE_S:
            self._arm_next()
        return more

    def _serve(self, now: float, limit: int = 1_000_000) -> bool:
        if self._native is None:
            return False
        plain = more = False
        keyed = self._keyed
        who: str | None = None
        for _ in range(limit):
            if keyed is None:
                request = self._native.recv()
            else:
                request = keyed.recv()
                who = keyed.who
            more = request is not None
            if request is None:
                break
            self._served += 1
            first = request[:1]
            if first == UPSTREAM:
                self._on_answer(now, request, who)
            elif first == b"\x01":
                plain |= self._on_subscribed(now, request[1:], who)
            elif first == b"\x00":
                self._on_end_of(now, request[1:], who)
        if plain:
            self.sender.on_plain(now)
        return more

    def _on_subscribed(self, now: float, prefix: bytes, who: str | None) -> bool:
        if not self.keyed_peers.joins(prefix, who):
            self._log.warning(f"foreign {who}", "%s: %s has subscribed what is not its own: %s", self, who, prefix)
            return False
        self._joined.add(prefix)
        if prefix == TAIL_TOPIC:
            self._observer.tail = self._transmit
            return False
        peer = peer_of(prefix)
        if peer is not None:
            self.sender.on_joined(now, peer)
            return False
        process = _process_of(prefix)
        if process is not None and process not in self.peers:
            self.peers.add(process)
            logger.info("%s: %s joined", self._process_id, process)
        return True

    def _on_end_of(self, now: float, prefix: bytes, who: str | None) -> None:
        if self.keyed_peers.leaves(prefix, who):
            if self._joined.remove(prefix):
                self._on_unsubscribed(prefix)
            return
        peer = peer_of(prefix)
        if who is None and peer is not None and self._joined.count(prefix):
            self.sender.on_joined(now, peer)  # it may have been this one: is it there?

    def _on_unsubscribed(self, prefix: bytes) -> None:
        if prefix == TAIL_TOPIC:
            self._observer.tail = None
            return
        peer = peer_of(prefix)
        if peer is not None:
            self.sender.on_left(peer)
        else:
            process = _process_of(prefix)
            if process is not None:
                self.peers.discard(process)
                logger.info("%s: %s left", self._process_id, process)

    def _on_answer(self, now: float, frame: bytes, who: str | None) -> None:
        try:
            answer = decode_answer(frame)
        except MALFORMED as error:
            self.malformed += 1
            self._log.warning("malformed", "malformed answer: %s: %s", error, shown(frame, 64))
            return
        if self.keyed_peers.answers(answer.id, who):
            self.sender.on_answer(now, answer, len(frame))
        else:
            self._log.warning("forged", "%s: refused an answer of %r: it is %s by its key", self, answer.id, who)

    # -- time ---------------------------------------------------------------------------------------------------

    def _arm(self, when: float) -> None:
        loop = self._loop if self._loop is not None and not self._loop.is_closed() else running_loop()
        if self._timer is not None:
            if self._armed_at <= when and self._armed_on is loop:
                return
            self._timer.cancel()
            self._timer = None
        if loop is not None:
            self._armed_at, self._armed_on = when, loop
            self._timer = loop.call_later(max(0.0, when - time.monotonic()) + 0.001, self._on_timer)

    def arm(self) -> None:
        """Let deadlines pass on the running loop, whether or not the address is open."""
        if self._timer is None or self._armed_on is not running_loop():
            self._arm_next()

    def _arm_next(self) -> None:
        when = self.sender.next_time()
        if when is not None:
            self._arm(when)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now = time.monotonic()
        try:
            self._serve(now)
            self.sender.poll(now)
        finally:
            self._arm_next()

    def __str__(self) -> str:
        return self._process_id

    # -- the end ------------------------------------------------------------------------------------------------

    def _wait_for_joins(self) -> None:
        # An answer sent just before the stop, to a peer that is just connecting, would be lost. Peers join through
        # libzmq's own threads, so waiting here does not hold them up.
        assert self._owned is not None
        now = time.monotonic()
        end = now + STOP_LINGER_MS / 1000
        self._serve(now)
        self.sender.send_unheard(now)
        while self.sender.waiting and (left := end - (now := time.monotonic())) > 0:
            due = self.sender.next_time()
            if due is not None:
                left = min(left, max(0.0, due - now))
            self._owned.socket.poll(max(1, int(left * 1000)))
            now = time.monotonic()
            self._serve(now)
            self.sender.poll(now)
            self.sender.send_unheard(now)

    def close(self) -> None:
        """Give the address back; what was sent, or waits for its target, has half a second to leave."""
        self._detach()
        if self._owned is not None:
            self._wait_for_joins()
            self._owned.close(STOP_LINGER_MS)
            self._owned = self._native = self._keyed = None
        self.sender.stop()
        self._observer.tail = None
        self.peers.clear()


def _process_of(prefix: bytes) -> str | None:
    """The process that subscribes ``{process_id}.``; None for other subscriptions."""
    if not prefix.endswith(b"."):
        return None
    try:
        return check_process_id(prefix[:-1].decode())
    except ValueError:
        return None
