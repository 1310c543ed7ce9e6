"""What becomes of a command, as its sender sees it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec


class CommandState(StrEnum):
    """Where a command is; a command ends in exactly one of the last five, and only UNKNOWN may still be resolved.

    A command that asks for no acknowledgement (``ack="none"``) ends as SENT, with ``ack="recv"`` as RECEIVED.
    """

    QUEUED = "queued"  # waits for its target to join, or for room on the way to it
    SENT = "sent"  # given to the transport
    RECEIVED = "received"  # the target has it, and its handler has not ended
    DONE = "done"  # the handler ended: with a result, or with an error
    REJECTED = "rejected"  # the target refused it: no handler was started for it
    EXPIRED = "expired"  # its deadline passed before it was sent: no handler was started for it
    NO_ROUTE = "no_route"  # nobody was there to send it to: no handler was started for it
    UNKNOWN = "unknown"  # it was sent, and nobody told by the deadline what became of it


class Rejection(StrEnum):
    """Why a target refused a command."""

    NO_HANDLER = "no handler"
    NOT_ALLOWED = "not allowed"
    BAD_PAYLOAD = "bad payload"
    BUSY = "busy"
    EXPIRED = "expired"


class CommandResult(msgspec.Struct, frozen=True):
    """What is known of a command.

    Parameters
    ----------
    command_id, target_id, command_type
        Which command.
    state
        Where it is. For one to many: UNKNOWN if that is what one of its members ended with, else EXPIRED, else
        REJECTED, else DONE; a member that has no handler for it does not count if another has.
    final
        Whether this is its end; a final UNKNOWN may still be resolved by a late answer.
    value
        What the handler returned, as JSON brings it; None for one to many (see `members`).
    reason
        Of REJECTED: why, one of `Rejection`. Of others that are not DONE: in words.
    error
        What the handler raised: the exception's name and its message; or what more there is to say of a rejection.
    members
        For one to many (``*``, ``group.*``): the result of each process.
    """

    command_id: str
    target_id: str
    command_type: str
    state: CommandState
    final: bool
    value: Any = None
    reason: str = ""
    error: str = ""
    members: Mapping[str, "CommandResult"] = {}

    @property
    def ok(self) -> bool:
        """Whether the handler ended without an error."""
        return self.state is CommandState.DONE and not self.error
