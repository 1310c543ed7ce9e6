"""Handlers of commands and what is known of them: lane, limits, who may send, what the payload must be."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from hftcore.topic import check_command_type, check_process_id
from hftpy.ipc.command import IPCCommand

# Of an IPCCommand; or of the msgspec Struct that its payload must be, alone or with the IPCCommand behind it.
Handler = Callable[..., Awaitable[Any] | Any]

DEFAULT_LANE = "main"
# These never wait behind a slow handler: each has a lane of its own, unless it is registered with another.
URGENT_TYPES = frozenset({"halt", "cancel_all", "shutdown"})


def stream_of(target_id: str, command_type: str) -> str:
    """What is numbered and kept in order by itself: the commands to a target, and those of each urgent type."""
    return f"{target_id}!{command_type}" if command_type in URGENT_TYPES else target_id


def target_of(stream: str) -> str:
    """The target of a stream."""
    return stream.partition("!")[0]


@dataclass(frozen=True, slots=True)
class Registered:
    """A handler as `IPCCommandSystem.register_handler` takes it."""

    handler: Handler
    lane: str
    timeout: float | None
    idempotent: bool
    durable: bool
    senders: frozenset[str] | None
    schema: type | None
    takes_both: bool  # the schema's object and the command

    def call(self, command: IPCCommand) -> Any:
        """Call the handler; the payload must be what its schema made of it."""
        if self.schema is None:
            return self.handler(command)
        if self.takes_both:
            return self.handler(command.payload, command)
        return self.handler(command.payload)


def make_registered(
    command_type: str,
    handler: Handler,
    *,
    lane: str | None,
    timeout: float | None,
    idempotent: bool,
    durable: bool,
    senders: Iterable[str] | None,
) -> Registered:
    """Check what a handler is registered with.

    Raises
    ------
    TypeError, ValueError
        If the type, the lane, the timeout or a sender is not one, or the handler cannot be called.
    """
    check_command_type(command_type)
    if not callable(handler):
        raise TypeError(f"a handler must be callable, was {handler!r}")
    if lane is None:
        lane = command_type if command_type in URGENT_TYPES else DEFAULT_LANE
    elif not isinstance(lane, str) or not lane:
        raise ValueError(f"lane must be a name, was {lane!r}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be above 0, was {timeout!r}")
    if isinstance(senders, str):
        raise TypeError(f"senders must be several names, was the str {senders!r}")
    allowed = None if senders is None else frozenset(check_process_id(sender) for sender in senders)
    schema, takes_both = _schema_of(handler)
    return Registered(handler, lane, timeout, idempotent, durable, allowed, schema, takes_both)


def _schema_of(handler: Handler) -> tuple[type | None, bool]:
    """The msgspec Struct that a handler's first argument is annotated with, and whether it takes another argument."""
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        return None, False  # a builtin that does not say
    if not parameters:
        return None, False
    annotation = parameters[0].annotation
    if isinstance(annotation, str):
        function = inspect.unwrap(getattr(handler, "__func__", handler))
        try:
            annotation = typing.get_type_hints(function).get(parameters[0].name)
        except (NameError, TypeError, AttributeError, SyntaxError):
            return None, False  # it names what is known to type checkers alone: then there is no schema
    if not (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)):
        return None, False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one for one in parameters if one.kind in positional and one.default is inspect.Parameter.empty]
    return annotation, len(needed) > 1
