"""A command that was sent, and each process that it goes to. No sockets here."""

import asyncio
from collections.abc import Callable
from typing import Any

from hftpy.ipc.command import Ack
from hftpy.ipc.command_handlers import URGENT_TYPES, stream_of
from hftpy.ipc.command_state import CommandResult, CommandState, Rejection


def tell(future: asyncio.Future[None]) -> None:
    """Let whoever waits go on; nobody does where the loop was closed."""
    if not future.done() and not future.get_loop().is_closed():
        future.set_result(None)


class Delivery:
    """One command on its way to one process."""

    __slots__ = (
        "attempt", "command", "error", "final", "first_boot", "interval", "member", "reason", "receiver", "retry_at",
        "state", "value",
    )  # fmt: skip

    def __init__(self, command: "SentCommand", member: str) -> None:
        self.command = command
        self.member = member
        self.state = CommandState.QUEUED
        self.final = False
        self.attempt = 0  # how often the command itself was sent
        self.first_boot = ""  # the life of the receiver that it was first sent to, if it was known
        self.receiver = ""  # the life that said that it has it
        self.retry_at = 0.0
        self.interval = 0.0
        self.reason = self.error = ""
        self.value: Any = None

    def result(self) -> CommandResult:
        command = self.command
        return CommandResult(
            command.id, self.member, command.type, self.state, self.final, self.value, self.reason, self.error
        )


class SentCommand:
    """A command: what is sent, until when, and to whom."""

    __slots__ = (
        "ack", "deadline", "deliveries", "ends", "final", "for_many", "head", "id", "mono_us", "pending", "seq", "size",
        "stream", "target_id", "topic", "ttl_ms", "type", "urgent", "watchers",
    )  # fmt: skip

    def __init__(
        self, command_id: str, target_id: str, command_type: str, topic: bytes, head: bytes, deadline: float, ack: Ack,
    ) -> None:  # fmt: skip
        self.id = command_id
        self.target_id = target_id
        self.type = command_type
        self.topic = topic
        self.head = head
        self.deadline = deadline
        self.ack: Ack = ack
        self.for_many = target_id.endswith("*")
        self.urgent = command_type in URGENT_TYPES
        self.stream = stream_of(target_id, command_type)
        self.size = 0  # of its answers
        self.seq = 0  # given when it is first sent
        self.mono_us = 0
        self.ttl_ms = 0
        self.deliveries: list[Delivery] = []
        self.pending = 0  # deliveries that have not ended
        self.final = False
        self.watchers: list[Callable[[], None]] | None = None
        self.ends: list[asyncio.Future[None]] | None = None  # those who wait for the end

    def ended(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done when this has ended, which it has not yet."""
        future = loop.create_future()
        self.ends = [future] if self.ends is None else [*(one for one in self.ends if not one.done()), future]
        return future

    def changed(self) -> None:
        if self.final and self.ends is not None:
            ends, self.ends = self.ends, None
            for future in ends:
                tell(future)
        if self.watchers is not None:
            for watcher in tuple(self.watchers):
                watcher()

    def is_received(self) -> bool:
        """Whether every process that it goes to has it, or will not get it."""
        return self.final or (
            bool(self.deliveries)
            and all(delivery.final or delivery.state is CommandState.RECEIVED for delivery in self.deliveries)
        )

    def result(self) -> CommandResult:
        if not self.deliveries and not self.final:  # it waits for processes to connect
            return CommandResult(self.id, self.target_id, self.type, CommandState.QUEUED, False)
        if not self.for_many:
            return self.deliveries[0].result()
        members = {delivery.member: delivery.result() for delivery in self.deliveries if delivery.member}
        state, reason = self._sum()
        error = "" if state is not CommandState.DONE else next((r.error for r in members.values() if r.error), "")
        return CommandResult(
            self.id, self.target_id, self.type, state, self.final, None, reason, error, members
        )  # fmt: skip

    def _sum(self) -> tuple[CommandState, str]:
        found = [delivery for delivery in self.deliveries if not delivery.final]
        for state in (CommandState.QUEUED, CommandState.SENT, CommandState.RECEIVED):
            for delivery in found:
                if delivery.state is state:
                    return state, ""
        for state in (CommandState.UNKNOWN, CommandState.EXPIRED):
            for delivery in self.deliveries:
                if delivery.state is state:
                    return state, delivery.reason
        done = any(delivery.state is CommandState.DONE for delivery in self.deliveries)
        for delivery in self.deliveries:
            if delivery.state is CommandState.REJECTED and not (done and delivery.reason == Rejection.NO_HANDLER):
                return CommandState.REJECTED, delivery.reason
        if done:
            return CommandState.DONE, ""
        last = self.deliveries[0] if self.deliveries else None
        return (CommandState.NO_ROUTE, "nobody listens") if last is None else (last.state, last.reason)
