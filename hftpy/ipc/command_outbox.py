"""What a process has sent and what waits to be sent, until it ends; see `hftpy.ipc.command_sender`. No sockets here."""

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from hftpy.ipc.command import Keys, encode_tail
from hftpy.ipc.command_peer import Peer
from hftpy.ipc.command_protocol import (
    ANSWERS_PER_FRAME,
    COMMAND,
    protocol_topic,
)
from hftpy.ipc.command_state import CommandState
from hftpy.ipc.sent_command import Delivery, SentCommand

WINDOW = 256  # commands on their way to one peer
FINISHED = 10_000  # ended commands that are remembered
FINISHED_BYTES = 64 << 20  # and what they returned
ASK_S, ASK_MAX_S = 0.25, 2.0
MAX_PEERS = 4096
MAX_STREAMS = 8192  # targets, and urgent types of them, whose last number is remembered


class CommandOutbox:
    """The commands of one sender, their deliveries and those that they go to; `CommandSender` decides about them."""

    def __init__(
        self,
        process_id: str,
        boot: str,
        *,
        transmit: Callable[[bytes], None],
        is_plain: Callable[[str, bytes], bool],
        capacity: int = 10_000,
        window: int = WINDOW,
        finished: int = FINISHED,
        streams: int = MAX_STREAMS,
    ) -> None:
        self._process_id = process_id
        self._boot = boot
        self._transmit = transmit
        self._is_plain = is_plain
        self._capacity = capacity
        self._window = window
        self._plain_window = max(window, 1024)
        self._keep = finished
        self.commands: OrderedDict[str, SentCommand] = OrderedDict()
        self._finished: deque[str] = deque()
        self._finished_bytes = 0
        self.peers: dict[str, Peer] = {}
        self._last_seq: dict[str, int] = {}
        self._streams = self._forget_at = streams
        self._floor = 0  # no stream that is not in `_last_seq` has had a higher number
        self._open: dict[str, OrderedDict[int, SentCommand]] = {}  # by stream: what was sent and has not ended
        self._early: deque[SentCommand] = deque()
        self._early_until = 0.0
        self._is_open = self._hasty = False
        self._deadlines: list[tuple[float, int, SentCommand]] = []
        self._retries: list[tuple[float, int, Delivery]] = []
        self._hellos: dict[str, None] = {}
        self._telling: dict[str, None] = {}  # peers with something to be told soon
        self._tell_at = 0.0
        self._ties = itertools.count()
        self._waiting_bytes = 0
        self.waiting = 0
        self.outstanding = 0
        self.sent = self.resent = self.resolved = self.refused = self.dropped = 0
        self.ended: dict[CommandState, int] = dict.fromkeys(CommandState, 0)
        self.on_end: Callable[[Delivery], None] | None = None
        self.on_ready: list[Callable[[], None]] = []
        self.read_joins: Callable[[float], object] = lambda now: None
        self._latest: SentCommand | None = None  # given to the transport, and who joined until then is not known

    def _drop(self, delivery: Delivery, reason: str) -> None:
        self.dropped += 1
        self._end(delivery, CommandState.NO_ROUTE, reason)

    def _wait(self, command: SentCommand) -> None:
        self.waiting += 1
        self._waiting_bytes += len(command.head)

    def _stop_waiting(self, command: SentCommand) -> None:
        self.waiting -= 1
        self._waiting_bytes -= len(command.head)

    def _push(self, heap: list[Any], when: float, item: SentCommand | Delivery) -> None:
        # What has ended stays in its heap until its time; not so many that they outnumber the others.
        if len(heap) > 4096 and len(heap) > 8 * (self.outstanding + 1):
            heap[:] = [entry for entry in heap if not entry[2].final]
            heapq.heapify(heap)
        heapq.heappush(heap, (when, next(self._ties), item))

    def _add(self, command: SentCommand, member: str) -> Delivery:
        delivery = Delivery(command, member)
        command.deliveries.append(delivery)
        command.pending += 1
        self.outstanding += 1
        return delivery

    # -- giving to the transport --------------------------------------------------------------------------------

    def _number(self, now: float, command: SentCommand) -> None:
        stream = command.stream
        last = self._last_seq.get(stream)
        if last is None:
            last = self._floor
            if len(self._last_seq) >= self._forget_at:
                self._forget_streams()
                last = self._floor
        command.seq = self._last_seq[stream] = last + 1
        command.mono_us = int(now * 1e6)
        command.ttl_ms = max(1, int((command.deadline - now) * 1000)) if command.deadline > 0.0 else 0
        self._open.setdefault(stream, OrderedDict())[command.seq] = command

    def _forget_streams(self) -> None:
        """Forget the last numbers of all streams of which nothing is open. They, and new ones, go on above the highest
        that was forgotten: no number is given twice, and the lowest open one tells a receiver that none is missing."""
        idle = [stream for stream in self._last_seq if not self._open.get(stream)]
        for stream in idle:
            self._floor = max(self._floor, self._last_seq.pop(stream))
            self._open.pop(stream, None)
        # Where most are in use, not every new one looks at all of them.
        self._forget_at = max(self._streams, 2 * len(self._last_seq))

    def _transmit_first(self, command: SentCommand, to: str) -> None:
        self.sent += 1
        self._transmit(command.topic + command.head + self._tail(command, 1, to))

    def _tail(self, command: SentCommand, attempt: int, to: str) -> bytes:
        low = self._low(command.stream)
        return encode_tail(
            Keys(self._boot, command.seq, low, command.ttl_ms, command.mono_us, command.ack, attempt, to)
        )  # fmt: skip

    def _low(self, stream: str) -> int:
        still_open = self._open.get(stream)
        return next(iter(still_open)) if still_open else self._last_seq.get(stream, self._floor) + 1

    def _send_first(self, now: float, delivery: Delivery, peer: Peer) -> None:
        command = delivery.command
        self._number(now, command)
        delivery.first_boot = peer.boot
        self._transmit_first(command, peer.boot)
        self._is_sent(now, delivery, peer)

    def _is_sent(self, now: float, delivery: Delivery, peer: Peer) -> None:
        delivery.attempt = 1
        delivery.state = CommandState.SENT
        if not delivery.first_boot:
            delivery.first_boot = peer.boot
        if delivery.command.ack == "none":
            self._end(delivery, CommandState.SENT)
            return
        peer.inflight[delivery.command.id] = delivery
        self._ask_later(now, delivery, ASK_S)
        # Only what is sent to many can get beyond the window of a peer that has joined.
        if len(peer.inflight) > (self._capacity + self._window if peer.joined else self._plain_window):
            self._end(next(iter(peer.inflight.values())), CommandState.UNKNOWN, "too many are on their way")

    def _end_unacknowledged(self, delivery: Delivery) -> None:
        if delivery.command.ack == "none":
            self._end(delivery, CommandState.SENT)
        else:
            self._end(delivery, CommandState.UNKNOWN, "who listens does not acknowledge")

    def _ask_later(self, now: float, delivery: Delivery, interval: float) -> None:
        delivery.interval = interval
        delivery.retry_at = now + interval
        self._push(self._retries, delivery.retry_at, delivery)

    def _send_again(self, now: float, delivery: Delivery, peer: Peer) -> None:
        command = delivery.command
        delivery.attempt += 1
        delivery.state = CommandState.SENT
        peer.inflight[command.id] = delivery
        self.resent += 1
        frame = command.topic + command.head + self._tail(command, delivery.attempt, delivery.first_boot)
        self._transmit(protocol_topic(peer.name) + COMMAND + frame)
        self._ask_later(now, delivery, min(max(delivery.interval, ASK_S) * 2, ASK_MAX_S))

    # -- peers --------------------------------------------------------------------------------------------------

    def _peer(self, name: str) -> Peer | None:
        peer = self.peers.get(name)
        if peer is None:
            if len(self.peers) >= MAX_PEERS:
                for other in [other for other in self.peers.values() if other.idle]:
                    del self.peers[other.name]
            if len(self.peers) >= MAX_PEERS:
                return None
            peer = self.peers[name] = Peer(name)
        return peer

    def _forget_idle(self, peer: Peer) -> None:
        if peer.idle and not peer.unknown:
            self.peers.pop(peer.name, None)

    # -- ends ---------------------------------------------------------------------------------------------------

    def _end(
        self, delivery: Delivery, state: CommandState, reason: str = "", error: str = "", value: Any = None
    ) -> None:
        command = delivery.command
        peer = self.peers.get(delivery.member)
        if delivery.final:
            if delivery.state is not CommandState.UNKNOWN or state is CommandState.UNKNOWN:
                return
            self.resolved += 1
            self.ended[CommandState.UNKNOWN] -= 1
            if peer is not None:
                peer.unknown.pop(command.id, None)
        else:
            self.outstanding -= 1
            command.pending -= 1
        had_it = delivery.state is CommandState.RECEIVED
        delivery.final = True
        delivery.state = state
        delivery.reason, delivery.error, delivery.value = reason, error, value
        self.ended[state] += 1
        if peer is not None:
            peer.inflight.pop(command.id, None)
            peer.received.pop(command.id, None)
            if peer.boot and command.seq and command.ack != "none":
                self._tell(peer, command, state, had_it)
            if state is CommandState.UNKNOWN:
                peer.unknown[command.id] = delivery
                while len(peer.unknown) > ANSWERS_PER_FRAME:
                    peer.unknown.popitem(last=False)
        if not command.pending and not command.final:
            self._finish(command)
        if self.on_end is not None:
            self.on_end(delivery)
        command.changed()

    def _tell(self, peer: Peer, command: SentCommand, state: CommandState, had_it: bool) -> None:
        if state in (CommandState.DONE, CommandState.REJECTED, CommandState.RECEIVED):
            peer.fin.setdefault(command.stream, []).append(command.seq)
        elif not had_it:
            peer.gone.setdefault(command.stream, []).append(command.seq)
        else:
            return
        self._telling[peer.name] = None

    def _finish(self, command: SentCommand) -> None:
        command.final = True
        command.head = b""
        if command.seq:
            still_open = self._open.get(command.stream)
            if still_open is not None:
                still_open.pop(command.seq, None)
        self._finished.append(command.id)
        self._finished_bytes += command.size
        while len(self._finished) > self._keep or (self._finished_bytes > FINISHED_BYTES and len(self._finished) > 1):
            self._finished_bytes -= self.commands.pop(self._finished.popleft()).size

    def _drop_ended(self, command: SentCommand) -> None:
        peer = self.peers.get(command.target_id)
        if peer is not None:
            for queue in (peer.urgent, peer.queue):
                while queue and queue[0].final:
                    queue.popleft()
            peer.ended = bool(peer.queue or peer.urgent)
            self._forget_idle(peer)
