"""The sending half of acknowledged commands: who has what, what is sent again, what each command ends with.

No sockets and no clock here: every call is given the time (seconds of CLOCK_MONOTONIC), and frames leave by a
callable. `CommandPublisher` is the socket around it, `hftpy.ipc.command_receiver` the other half.

A command that is sent counts as on its way until its target says that it has it; only `window` of one target are on
their way at once, the others wait here, so that an urgent one never stands behind many in a socket. What is on its
way or has been received is asked about at growing intervals, and when its target (re)joins; what the target says it
misses is sent again, with the same id, until the deadline.
"""

import heapq
import itertools
from collections import deque
from typing import Any

from hftcore.topic import target_matches
from hftpy.ipc.command_handlers import stream_of, target_of
from hftpy.ipc.command_outbox import ASK_MAX_S, ASK_S, CommandOutbox
from hftpy.ipc.command_peer import Peer
from hftpy.ipc.command_protocol import (
    ANSWERS_PER_FRAME,
    Answer,
    Ask,
    AskItem,
    Done,
    Hello,
    encode_downstream,
)
from hftpy.ipc.command_state import CommandState, Rejection
from hftpy.ipc.sent_command import Delivery, SentCommand

MAX_WAITING_BYTES = 64 << 20
HELLO_S, HELLO_MAX_S = 0.1, 2.0
MAX_TEXT_CHARS = 2000  # of what a peer says of a command
RESOLVE_S = 60.0  # how long after its end an UNKNOWN is still asked about
_REJECTIONS = frozenset(str(reason) for reason in Rejection)
_NO_ANSWER = "no answer by the deadline"


class CommandSender(CommandOutbox):
    """Every command that one process sends, until it ends.

    Parameters
    ----------
    process_id, boot
        The sender and its life.
    transmit
        Sends a frame to whoever has subscribed its topic; must not raise.
    is_plain
        Whether a peer without acknowledgements has subscribed a target's topic.
    capacity
        How many commands wait here for one target; further ones end as NO_ROUTE.
    window
        How many may be on their way to one target.
    finished
        How many ended commands are remembered.
    streams
        How many targets' last numbers are remembered, besides those of which something is open.

    Attributes
    ----------
    ended
        How many deliveries ended with each state; an UNKNOWN that was resolved counts as what it became.
    on_end
        Called with each delivery that ends, or whose UNKNOWN is resolved.
    on_ready
        Called when a peer has said who it is.
    read_joins
        Called when a command for many was given to the transport: tells `on_joined` of those that the transport knew
        by then, which have got it too.
    """

    # -- sending ------------------------------------------------------------------------------------------------

    def open(self, now: float, early_s: float) -> None:
        """What is sent to many within `early_s`, and everything behind it, waits until then."""
        self._early_until = now + early_s
        self._is_open = True
        self._hasty = False

    def send(self, now: float, command: SentCommand, *, fail_fast: bool = False) -> None:
        """Send a command, or keep it until it can be sent, or end it."""
        self.commands[command.id] = command
        if command.deadline > 0.0:
            self._push(self._deadlines, command.deadline, command)
        if command.for_many and not self._is_open:
            self._drop_unrouted(command, "the system was not started")
            return
        if self._early or (command.for_many and now < self._early_until):
            if fail_fast and not command.for_many and self._is_absent(command):
                self._end(self._add(command, command.target_id), CommandState.NO_ROUTE, "nobody has joined")
                return
            if len(self._early) >= self._capacity or self._waiting_bytes > MAX_WAITING_BYTES:
                self._drop_unrouted(command, "too many commands wait")
                return
            self._wait(command)
            self._early.append(command)
            return
        self._route(now, command, fail_fast)

    def _is_absent(self, command: SentCommand) -> bool:
        peer = self.peers.get(command.target_id)
        return (peer is None or not peer.joined) and not self._is_plain(command.target_id, command.topic)

    def _drop_unrouted(self, command: SentCommand, reason: str) -> None:
        self._drop(self._add(command, "" if command.for_many else command.target_id), reason)

    def _route(self, now: float, command: SentCommand, fail_fast: bool) -> None:
        if command.for_many:
            self._send_to_many(now, command)
            return
        peer = self._peer(command.target_id)
        delivery = self._add(command, command.target_id)
        if peer is None:
            self._drop(delivery, "too many targets")
            return
        unheard = not peer.boot if self._hasty else not peer.joined
        if unheard and not peer.queue and (peer.joined or self._is_plain(command.target_id, command.topic)):
            self._send_first(now, delivery, peer)
            return
        if fail_fast and not peer.joined:
            self._end(delivery, CommandState.NO_ROUTE, "nobody has joined")
            self._forget_idle(peer)
        elif (peer.boot and command.urgent) or (peer.boot and len(peer.inflight) < self._window and not peer.queue):
            self._send_first(now, delivery, peer)
        elif self._is_full(peer) or self._waiting_bytes > MAX_WAITING_BYTES:
            self._drop(delivery, "too many commands wait")
        else:
            self._wait(command)
            (peer.urgent if command.urgent else peer.queue).append(delivery)

    def _is_full(self, peer: Peer) -> bool:
        if len(peer.queue) + len(peer.urgent) < self._capacity:
            return False
        # What ended behind one with a longer deadline takes no room.
        for queue in (peer.queue, peer.urgent) if peer.ended else ():
            still = [delivery for delivery in queue if not delivery.final]
            queue.clear()
            queue.extend(still)
        peer.ended = False
        return len(peer.queue) + len(peer.urgent) >= self._capacity

    def _send_to_many(self, now: float, command: SentCommand) -> None:
        members = [
            self._add(command, name)
            for name, peer in self.peers.items()
            if peer.joined and target_matches(command.target_id, name)
        ]
        self._number(now, command)
        self._transmit_first(command, "")
        command.pending += 1  # it does not end before all members are known
        for delivery in members:
            self._is_sent(now, delivery, self.peers[delivery.member])
        before, self._latest = self._latest, command
        self.read_joins(now)
        self._latest = before
        command.pending -= 1
        if command.deliveries:
            if not command.pending and not command.final:
                self._finish(command)
                command.changed()  # those that wait were told of the members' ends, not of this one
        elif self._is_plain(command.target_id, command.topic):
            # A plain peer may take it, and nobody will say so.
            delivery = self._add(command, "")
            delivery.state = CommandState.SENT
            self._end_unacknowledged(delivery)
        else:
            self._end(self._add(command, ""), CommandState.NO_ROUTE, "nobody listens")

    # -- peers --------------------------------------------------------------------------------------------------

    def on_joined(self, now: float, name: str) -> None:
        """A process has subscribed the protocol; it is told who we are."""
        peer = self._peer(name)
        if peer is None:
            self.refused += 1
            return
        peer.joined = True
        latest = self._latest
        if latest is not None and target_matches(latest.target_id, name):
            if all(delivery.member != name for delivery in latest.deliveries):
                self._is_sent(now, self._add(latest, name), peer)
        peer.hello_interval = HELLO_S
        self._say_hello(now, peer)

    def _say_hello(self, now: float, peer: Peer) -> None:
        base = {
            stream: seq + 1
            for stream, seq in self._last_seq.items()
            if target_matches(target_of(stream), peer.name)
        }  # fmt: skip
        for delivery in itertools.chain(peer.inflight.values(), peer.received.values(), peer.queue, peer.urgent):
            command = delivery.command
            if command.seq and not delivery.final:
                base[command.stream] = min(base[command.stream], command.seq)
        self._transmit(encode_downstream(peer.name, Hello(self._process_id, self._boot, 2, base, int(now * 1e6))))
        peer.hello_at = now + peer.hello_interval
        peer.hello_interval = min(peer.hello_interval * 2, HELLO_MAX_S)
        self._hellos[peer.name] = None

    def on_left(self, name: str) -> None:
        """A process has gone; what is on its way waits for its return."""
        peer = self.peers.get(name)
        if peer is not None:
            peer.joined = False
            peer.boot = ""
            peer.asks.clear()
            self._hellos.pop(name, None)
            self._forget_idle(peer)

    def on_plain(self, now: float) -> None:
        """A peer without acknowledgements has subscribed something."""
        for peer in list(self.peers.values()):
            if not peer.joined:
                for queue in (peer.urgent, peer.queue):
                    while queue and self._is_plain(peer.name, queue[0].command.topic):
                        self._send_queued(now, peer, queue)

    def send_unheard(self, now: float) -> None:
        """Send to peers that have joined and not yet said who they are: from now on there is no time for that."""
        self._hasty = True
        for peer in list(self.peers.values()):
            if peer.joined and not peer.boot:
                for queue in (peer.urgent, peer.queue):
                    while queue:
                        self._send_queued(now, peer, queue)

    def _send_queued(self, now: float, peer: Peer, queue: deque[Delivery]) -> None:
        delivery = queue.popleft()
        if delivery.final:
            return
        if 0.0 < delivery.command.deadline <= now:
            self._expire(delivery.command)  # `poll` is late
            return
        if delivery.attempt:
            self._send_again(now, delivery, peer)
            return
        self._stop_waiting(delivery.command)
        self._send_first(now, delivery, peer)

    def _drain(self, now: float, peer: Peer) -> None:
        while peer.urgent and peer.boot:
            self._send_queued(now, peer, peer.urgent)
        while peer.queue and peer.boot and len(peer.inflight) < self._window:
            self._send_queued(now, peer, peer.queue)

    def on_answer(self, now: float, answer: Answer, size: int = 0) -> bool:
        """What a receiver says, in `size` bytes; returns False if it is not for this life, or from nobody we know."""
        peer = self.peers.get(answer.id)
        if answer.to != self._boot or peer is None or not answer.boot:
            self.refused += 1
            return False
        if answer.hello and peer.joined:
            self._on_hello(now, peer, answer.boot)
        elif peer.joined and peer.boot and answer.boot != peer.boot:
            self._doubt(now, peer)
        for done in answer.done:
            self._on_done(peer, answer.boot, done, size // len(answer.done))
        # What another life of it has received is no longer there.
        if answer.boot == (peer.boot or answer.boot):
            for command_id in answer.recv:
                self._on_received(now, peer, answer.boot, command_id)
            if answer.missing:
                self._on_missing(now, peer, answer.boot, answer.missing)
        self._drain(now, peer)
        return True

    def _on_hello(self, now: float, peer: Peer, boot: str) -> None:
        self._hellos.pop(peer.name, None)
        if peer.boot == boot:
            return
        peer.boot = boot
        for look in tuple(self.on_ready):
            look()
        peer.gone.clear()
        peer.fin.clear()
        # Whatever it has, it says so; whatever it misses is sent again, before what is not sent yet.
        peer.asks[:] = [*peer.inflight.values(), *peer.received.values(), *self._resolvable(now, peer)]
        self._flush_asks(peer)

    def _doubt(self, now: float, peer: Peer) -> None:
        """Two lives speak for one peer: whoever lied, or is late, the peer itself says which it is when it is asked."""
        self.refused += 1
        if peer.name not in self._hellos:
            peer.hello_interval = HELLO_S
            peer.hello_at = now + HELLO_S
            self._hellos[peer.name] = None

    def _resolvable(self, now: float, peer: Peer) -> list[Delivery]:
        while peer.unknown:
            first = next(iter(peer.unknown.values()))
            if first.command.deadline + RESOLVE_S > now:
                break
            peer.unknown.popitem(last=False)
        return list(peer.unknown.values())

    def _on_received(self, now: float, peer: Peer, boot: str, command_id: str) -> None:
        delivery = peer.inflight.pop(command_id, None)
        if delivery is None:
            known = peer.received.get(command_id)
            if known is not None:
                known.receiver = boot
            return
        delivery.receiver = boot
        delivery.state = CommandState.RECEIVED
        if delivery.command.ack == "recv":
            self._end(delivery, CommandState.RECEIVED)
            return
        peer.received[command_id] = delivery
        self._ask_later(now, delivery, ASK_S)
        delivery.command.changed()

    def _on_missing(self, now: float, peer: Peer, boot: str, command_ids: list[str]) -> None:
        again: list[Delivery] = []
        for command_id in dict.fromkeys(command_ids):  # two questions may have been answered at once
            delivery = peer.inflight.get(command_id)
            if delivery is None:
                delivery = peer.received.get(command_id)
                if delivery is None or delivery.receiver == boot:
                    continue
            again.append(delivery)
        for delivery in again:
            peer.inflight.pop(delivery.command.id, None)
            peer.received.pop(delivery.command.id, None)
        for delivery in reversed(again):
            delivery.retry_at = 0.0
            (peer.urgent if delivery.command.urgent else peer.queue).appendleft(delivery)

    # -- ends ---------------------------------------------------------------------------------------------------

    def _on_done(self, peer: Peer, boot: str, done: Done, size: int) -> None:
        delivery = peer.inflight.get(done.command_id) or peer.received.get(done.command_id)
        if delivery is None:
            delivery = peer.unknown.get(done.command_id) or self._waiting_again(peer, done.command_id)
        if delivery is None:
            return  # a second answer
        if delivery.first_boot and boot not in (peer.boot, delivery.first_boot, delivery.receiver):
            self.refused += 1
            return  # no life that it was sent to
        reason, error = done.reason[:MAX_TEXT_CHARS], done.error[:MAX_TEXT_CHARS]
        if done.outcome == "unknown":
            # Another life than the one that it was sent to knows nothing of it.
            if not delivery.final:
                self._end(delivery, CommandState.UNKNOWN, reason or "the receiver was restarted")
            return
        if done.outcome == "rejected":
            if done.reason in _REJECTIONS:
                self._end(delivery, CommandState.REJECTED, str(Rejection(reason)), error)
            else:
                self.refused += 1
            return
        delivery.command.size += size
        if delivery.command.id in self.commands and delivery.command.final:
            self._finished_bytes += size
        error = "" if done.outcome == "ok" else error or "error"
        self._end(delivery, CommandState.DONE, "", error, done.value)

    def _waiting_again(self, peer: Peer, command_id: str) -> Delivery | None:
        command = self.commands.get(command_id)
        if command is None or command.final:
            return None
        for delivery in command.deliveries:
            if delivery.member == peer.name and delivery.attempt and not delivery.final:
                return delivery
        return None

    # -- time ---------------------------------------------------------------------------------------------------

    def next_time(self) -> float | None:
        """When `poll` has something to do."""
        times = [self._early_until] if self._early else []
        heaps: tuple[list[Any], list[Any]] = (self._deadlines, self._retries)
        for heap in heaps:
            while heap and heap[0][2].final:
                heapq.heappop(heap)
            if heap:
                times.append(heap[0][0])
        times += [self.peers[name].hello_at for name in self._hellos]
        if self._telling:
            times.append(self._tell_at)
        return min(times, default=None)

    def poll(self, now: float) -> None:
        """Do whatever is due."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, command = heapq.heappop(self._deadlines)
            self._expire(command)
        if self._early and now >= self._early_until:
            self.release_early(now)
        while self._retries and self._retries[0][0] <= now:
            when, _, delivery = heapq.heappop(self._retries)
            if not delivery.final and delivery.retry_at == when:
                self._ask_about(now, delivery)
        for name in list(self._hellos):
            peer = self.peers[name]
            if peer.hello_at <= now:
                self._say_hello(now, peer)
        for peer in [peer for peer in self.peers.values() if peer.asks]:
            self._flush_asks(peer)
        if self._telling and self._tell_at <= now:
            self._flush_tellings()
            self._tell_at = now + 0.05

    def release_early(self, now: float) -> None:
        """Send what waited for processes to connect."""
        self._early_until = now
        waiting, self._early = self._early, deque()
        for command in waiting:
            self._stop_waiting(command)
            if not command.final:
                self._route(now, command, fail_fast=False)

    def _expire(self, command: SentCommand) -> None:
        if command.final:
            return
        if not command.deliveries:  # it waited for processes to connect
            self._stop_waiting(command)
            self._early.remove(command)
            self._drop_unrouted(command, "nobody has joined in time")
            return
        for delivery in list(command.deliveries):
            if not delivery.final:
                self._give_up(delivery, "in time")
        self._drop_ended(command)

    def _give_up(self, delivery: Delivery, when: str) -> None:
        if delivery.attempt:
            self._end(delivery, CommandState.UNKNOWN, _NO_ANSWER)
            return
        self._stop_waiting(delivery.command)
        peer = self.peers.get(delivery.member)
        if peer is not None and peer.joined:
            self._end(delivery, CommandState.EXPIRED, f"no room on the way to it {when}")
        else:
            self._drop(delivery, f"its target has not joined {when}")

    def _ask_about(self, now: float, delivery: Delivery) -> None:
        peer = self.peers.get(delivery.member)
        if peer is not None and peer.boot:
            peer.asks.append(delivery)
        self._ask_later(now, delivery, min(delivery.interval * 2, ASK_MAX_S))

    def _flush_asks(self, peer: Peer) -> None:
        asks, peer.asks = peer.asks, []
        for start in range(0, len(asks), ANSWERS_PER_FRAME):
            part = asks[start : start + ANSWERS_PER_FRAME]
            self._tell_peer(peer, [self._item(delivery) for delivery in part])

    @staticmethod
    def _item(delivery: Delivery) -> AskItem:
        command = delivery.command
        deadline_us = command.mono_us + command.ttl_ms * 1000 if command.ttl_ms else 0
        return AskItem(command.id, command.target_id, command.type, command.seq, delivery.first_boot, deadline_us)

    def _flush_tellings(self) -> None:
        names, self._telling = self._telling, {}
        for name in names:
            peer = self.peers.get(name)
            if peer is not None and peer.boot:
                self._tell_peer(peer, [])
                self._forget_idle(peer)

    def _tell_peer(self, peer: Peer, items: list[AskItem]) -> None:
        streams = {stream_of(item.target_id, item.command_type) for item in items} | set(peer.gone) | set(peer.fin)
        ask = Ask(self._boot, items, {stream: self._low(stream) for stream in streams}, peer.gone, peer.fin)
        peer.gone, peer.fin = {}, {}
        self._telling.pop(peer.name, None)
        self._transmit(encode_downstream(peer.name, ask))

    def stop(self) -> None:
        """End everything: what was sent is UNKNOWN, what was not is NO_ROUTE."""
        self._is_open = False
        for command in list(self.commands.values()):
            if not command.final:
                if not command.deliveries:
                    self._stop_waiting(command)
                    self._drop_unrouted(command, "the sender stopped")
                for delivery in command.deliveries:
                    if not delivery.final:
                        if delivery.attempt:
                            self._end(delivery, CommandState.UNKNOWN, "the sender stopped")
                        else:
                            self._stop_waiting(command)
                            self._drop(delivery, "the sender stopped")
        self._early.clear()
        self.peers.clear()
        self._hellos.clear()
        self._telling.clear()
