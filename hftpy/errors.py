"""Every exception that hftpy raises by itself.

HftError
├── ParseError (ValueError)        a frame that is not what its venue's protocol says
├── RingClosed                     a ring was closed and holds nothing more
├── SegmentError (OSError)         a shared-memory segment cannot be used: foreign, truncated, no room
│   └── SegmentInUseError          another process writes the segment
├── BookError                      an order book is invalid, and needs a snapshot first
├── ConfigError (ValueError)       a config file or setting that cannot be used; names the key
├── RootError (OSError)            the root folder cannot be used
├── AddressInUseError (OSError)    another process owns the address
├── ObserverError (TypeError)      an observer lacks a queue that its subscriptions need
├── CommandsStopped (RuntimeError)  what was waited for comes no more: the command system was stopped
├── Interrupted                    a command interrupted what a service waited for
├── StateError                     a service's saved state is damaged, or cannot be saved
├── TradingRefused                 the service sends no orders now: it is paused, warming up, or stopping
└── VenueError                     the venue refused, failed or did not answer
    ├── SubscribeError             a subscription was refused
    ├── RequestRejected            the request was refused: it had no effect
    └── RequestUnknown             it is not known whether the request had an effect
"""

from typing import Any, Literal

from hftcore.errors import BookError, HftError, ParseError, RingClosed, SegmentError, SegmentInUseError

Outcome = Literal["rejected", "unknown", "confirmed"]


class ConfigError(HftError, ValueError):
    """A config file or setting that cannot be used; the message names the key."""


class RootError(HftError, OSError):
    """The root folder cannot be used: owner, mode, link, or length of a path under it."""


class AddressInUseError(HftError, OSError):
    """Another process (or object) owns the address."""


class ObserverError(HftError, TypeError):
    """An observer lacks a queue that its subscriptions need."""


class CommandsStopped(HftError, RuntimeError):
    """What was waited for comes no more: the command system was stopped."""


class Interrupted(HftError):
    """A command interrupted what a service waited for.

    Parameters
    ----------
    command : hftpy.ipc.IPCCommand
        The command. Its handler has begun already.
    """

    def __init__(self, command: Any) -> None:
        super().__init__(f"interrupted by {command.command_type} of {command.sender_id}")
        self.command = command


class StateError(HftError):
    """A service's saved state is damaged, or cannot be saved; the message names the file."""


class TradingRefused(HftError):
    """The service sends no orders now: it is paused, warming up, or stopping. Nothing was sent."""


class VenueError(HftError):
    """The venue refused, failed or did not answer.

    Parameters
    ----------
    message
        What happened, in the venue's words where there are any.
    code
        The venue's error code, such as ``EOrder:Insufficient funds``; empty if there is none.
    retryable
        Whether the same request may be sent again.
    outcome
        ``rejected``: it had no effect; ``unknown``: it may have had one; ``confirmed``: it had.
    """

    def __init__(
        self, message: str, *, code: str = "", retryable: bool = False, outcome: Outcome = "rejected"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.outcome = outcome


class SubscribeError(VenueError):
    """A subscription was refused."""


class RequestRejected(VenueError):
    """The request was refused: it had no effect."""


class RequestUnknown(VenueError):
    """It is not known whether the request had an effect: a timeout or a lost connection after it was sent."""

    def __init__(self, message: str, *, code: str = "", retryable: bool = False) -> None:
        super().__init__(message, code=code, retryable=retryable, outcome="unknown")


__all__ = [
    "AddressInUseError",
    "BookError",
    "CommandsStopped",
    "ConfigError",
    "HftError",
    "Interrupted",
    "ObserverError",
    "Outcome",
    "ParseError",
    "RequestRejected",
    "RequestUnknown",
    "RingClosed",
    "RootError",
    "SegmentError",
    "SegmentInUseError",
    "StateError",
    "SubscribeError",
    "TradingRefused",
    "VenueError",
]
