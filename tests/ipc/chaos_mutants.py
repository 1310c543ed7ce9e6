"""Faults of the command system, each of which the ledger must find. Each changes the process that it is called in."""

import random
from collections.abc import Callable
from typing import Any

from hftpy.ipc.command_journal import CommandJournal
from hftpy.ipc.command_protocol import Done
from hftpy.ipc.command_receiver import CommandReceiver
from hftpy.ipc.command_sender import CommandSender

MUTANTS: dict[str, Callable[[], None]] = {}


def _mutant(make: Callable[[], None]) -> Callable[[], None]:
    MUTANTS[make.__name__] = make
    return make


def _now_and_then() -> bool:
    return random.random() < 0.01


def _nothing(*args: Any) -> None:
    pass


def _replace(owner: Any, name: str, new: Any) -> None:
    assert hasattr(owner, name), f"there is no {name} to be replaced in {owner}"
    setattr(owner, name, new)


def _after(owner: Any, name: str, act: Callable[..., None]) -> None:
    method = getattr(owner, name)

    def both(*args: Any, **kwargs: Any) -> Any:
        found = method(*args, **kwargs)
        act(*args)
        return found

    _replace(owner, name, both)


@_mutant
def the_window_forgets() -> None:
    """Now and then the receiver forgets all that it has done."""

    def forget(receiver: CommandReceiver, *args: Any) -> None:
        if _now_and_then():
            receiver._sessions.clear()

    _after(CommandReceiver, "on_frame", forget)


@_mutant
def an_answer_is_forgotten() -> None:
    """Now and then the answer to one command is not kept."""

    def forget(receiver: CommandReceiver, entry: Any, *args: Any) -> None:
        if entry.session is not None and _now_and_then():
            receiver._drop(entry.session, entry)
            receiver.answers.clear()

    _after(CommandReceiver, "_say", forget)


@_mutant
def a_restart_is_not_seen() -> None:
    """What may have reached an earlier life is run as if it were new."""
    _replace(CommandReceiver, "_may_have_run", lambda receiver, entry: False)


@_mutant
def the_journal_is_skipped() -> None:
    """Starts are not written down."""
    _replace(CommandJournal, "started", _nothing)


@_mutant
def nothing_is_sent_again() -> None:
    """What the target misses stays missing."""
    _replace(CommandSender, "_on_missing", _nothing)


@_mutant
def deadlines_pass() -> None:
    """The sender waits for ever."""
    _replace(CommandSender, "_expire", _nothing)


@_mutant
def late_commands_start() -> None:
    """The receiver starts what is older than its deadline."""
    _replace(CommandReceiver, "_deadline", lambda receiver, now, remote, command, keys: 0.0)


@_mutant
def gaps_are_not_waited_for() -> None:
    """What is behind a lost command starts before it."""

    def begin(receiver: CommandReceiver, now: float, *args: Any) -> None:
        for session in list(receiver._sessions.values()):
            for stream in session.streams.values():
                if stream.held:
                    receiver._advance_to(now, stream, max(stream.held) + 1)

    _after(CommandReceiver, "on_frame", begin)


@_mutant
def done_is_said_too_soon() -> None:
    """The receiver says that a command is done when it has come."""

    def say(receiver: CommandReceiver, entry: Any) -> None:
        if entry.session is not None:
            answer = receiver._answer(entry.remote, entry.session.boot)
            answer.done.append(Done(entry.command.command_id, "ok"))

    _after(CommandReceiver, "_hear", say)
