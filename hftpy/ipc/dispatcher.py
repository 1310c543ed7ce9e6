"""The receiving half of the command system behind the sockets: frames in, handlers called, answers out."""

import asyncio
import logging
import time
from collections.abc import Callable

from hftpy.common.log import LimitedLog, shown
from hftpy.ipc.command_handlers import Registered
from hftpy.ipc.command_journal import CommandJournal
from hftpy.ipc.command_lanes import CommandLanes
from hftpy.ipc.command_protocol import (
    ASK,
    COMMAND,
    HELLO,
    MALFORMED,
    Answer,
    decode_ask,
    decode_hello,
    protocol_topic,
)
from hftpy.ipc.command_receiver import CommandReceiver

logger = logging.getLogger(__name__)

ORDER_S = 0.05  # how often commands that are held for their order are looked at


class CommandDispatcher:
    """Takes frames, lets `CommandReceiver` decide and `CommandLanes` run, and says what came of it.

    Parameters
    ----------
    process_id, boot
        Whose commands are taken, and in which life.
    capacity
        How many commands may wait in one lane; further ones are refused, counted and logged.
    window
        How many commands of one sender are remembered.
    answer
        Sends an answer through the socket of a process.
    journal
        Opens the journal of durable commands.
    """

    def __init__(
        self,
        process_id: str,
        boot: str,
        *,
        capacity: int,
        window: int,
        answer: Callable[[str, Answer], None],
        journal: Callable[[], CommandJournal],
    ) -> None:
        self._protocol_topic = protocol_topic(process_id)
        self._answer = answer
        self._log = LimitedLog(logger)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flush: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_turn = False
        self.handlers: dict[str, Registered] = {}
        self.lanes = CommandLanes(process_id, capacity)
        self.receiver = CommandReceiver(
            process_id,
            boot,
            start=time.monotonic(),
            handlers=self.handlers,
            run=self.lanes.put,
            capacity=window,
            window=window,
            journal=self._open_journal,
        )
        self._make_journal = journal
        self._journal: CommandJournal | None = None
        self.receiver.wall = lambda: time.time() - time.monotonic()
        self.receiver.log = self._log_refused
        self.lanes.decisions = self.receiver
        self.lanes.on_answer = self._answer_soon
        self.lanes.on_idle = self.flush

    def _open_journal(self) -> CommandJournal:
        if self._journal is None:
            self._journal = self._make_journal()
        return self._journal

    def close(self) -> None:
        """No handler will end any more: close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run handlers on this loop."""
        self._loop = loop
        self._flush = self._timer = None
        self.lanes.attach(loop)
        if self.receiver.is_waiting:
            self._look_later()

    def begin_turn(self) -> None:
        """Frames are about to be taken: what is to be said of them is said by `end_turn`."""
        self._in_turn = True
        self.lanes.begin_turn(time.monotonic())

    def end_turn(self) -> None:
        """No more frames for now: say what came of those that were taken."""
        self._in_turn = False
        self.lanes.end_turn()
        if self.receiver.answers:
            self.flush()

    def take(self, frame: bytes, remote: str = "") -> None:
        """Take a command's frame from the socket of a process."""
        self.receiver.on_frame(time.monotonic(), remote, frame)
        if self.receiver.answers:
            self._answer_soon()
        if self.receiver.is_waiting:
            self._look_later()

    def take_protocol(self, frame: bytes, remote: str) -> None:
        """Take a frame of the protocol."""
        begin = len(self._protocol_topic)
        if not frame.startswith(self._protocol_topic):
            self.receiver.refused += 1
            return
        kind, body = frame[begin : begin + 1], frame[begin + 1 :]
        try:
            if kind == COMMAND:
                self.take(body, remote)
            elif kind == HELLO:
                self.receiver.on_hello(time.monotonic(), remote, decode_hello(body))
            elif kind == ASK:
                self.receiver.on_ask(time.monotonic(), remote, decode_ask(body))
            else:
                self.receiver.refused += 1
        except MALFORMED as error:
            self.receiver.malformed += 1
            self._log_refused("malformed", "malformed frame of the protocol: %s: %s", error, frame)
        if self.receiver.answers:
            self._answer_soon()

    def _look_later(self) -> None:
        if self._timer is None and self._loop is not None and not self._loop.is_closed():
            self._timer = self._loop.call_later(ORDER_S, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            self.receiver.poll(time.monotonic())
        finally:
            self._answer_soon()
            if self.receiver.is_waiting:
                self._look_later()

    def _log_refused(self, key: str, message: str, *args: object) -> None:
        shorter = [shown(arg, 64) if isinstance(arg, bytes) else arg for arg in args]
        self._log.warning(key, message, *shorter)

    def _answer_soon(self) -> None:
        # At the end of this turn: a handler that ends at once is answered by one frame.
        if self._in_turn and self._loop is not None:
            return
        if self._loop is None or self._loop.is_closed():
            self.flush()
        elif self._flush is None:
            self._flush = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Say what is to be said."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        for remote, answer in self.receiver.take_answers():
            self._answer(remote, answer)

    def stop(self) -> list[asyncio.Task[None]]:
        """Refuse what waits, give up what runs (but for the handler that called this); returns what is ending."""
        ending = self.lanes.stop()
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        return ending
