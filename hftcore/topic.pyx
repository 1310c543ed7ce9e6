"""Topics of the wire: text in UTF-8, padded with spaces to 32 bytes (market data) or 64 bytes (commands).

A command's topic is ``target.command_type``. A target is a process id, ``*`` (everybody) or ``group.*``. Topics are
never truncated. Functions may be called from any thread; a `PrefixFilter` from one at a time.
"""

import re

cimport cython

MARKET_TOPIC_BYTES = 32
COMMAND_TOPIC_BYTES = 64

_PROCESS_ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_COMMAND_TYPE = re.compile(r"[A-Za-z0-9_-]+")


def pad(str text not None, Py_ssize_t size=32):
    """The topic of a text: its UTF-8 bytes, padded with spaces.

    Parameters
    ----------
    text
        The text; it must hold no space, since spaces pad. Empty gives a topic of spaces alone.
    size
        The topic's size in bytes.

    Raises
    ------
    ValueError
        If the text is longer than `size` bytes, holds a space, or is not valid Unicode.
    """
    cdef bytes raw = text.encode()
    if len(raw) > size:
        raise ValueError(f"a topic must have at most {size} bytes, was {text!r} ({len(raw)})")
    if b" " in raw:
        raise ValueError(f"a topic must hold no space, was {text!r}")
    return raw.ljust(size)


def split(bytes frame not None, Py_ssize_t size=32):
    """A frame's topic, without the spaces that pad it, and its body.

    Raises
    ------
    ValueError
        If the frame is shorter than `size` bytes, or the topic is not UTF-8.
    """
    if len(frame) < size:
        raise ValueError(f"a frame must have at least {size} bytes, was {len(frame)}")
    cdef size_t text_size = topic_text_size(<const char*>frame, size)
    return frame[:text_size].decode(), frame[size:]


def match(bytes topic not None, str text not None):
    """Whether a padded topic is exactly this text (``btcusd`` is not ``btcusdt``)."""
    cdef bytes raw = text.encode("utf-8", "surrogatepass")
    return topic_equals(<const char*>topic, len(topic), <const char*>raw, len(raw))


def check_process_id(process_id):
    """The process id, if it is one: ``[A-Za-z0-9_-]+``, with inner dots for groups (``api.kraken``).

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is no process id, or leaves no room for a command type in a topic.
    """
    if not isinstance(process_id, str):
        raise TypeError(f"a process id must be a str, was {process_id!r}")
    if not _PROCESS_ID.fullmatch(process_id):
        raise ValueError(f"a process id must be of A-Z a-z 0-9 _ - with inner dots for groups, was {process_id!r}")
    if len(process_id) > COMMAND_TOPIC_BYTES - 2:
        raise ValueError(
            f"a process id must have at most {COMMAND_TOPIC_BYTES - 2} bytes, was {process_id!r} ({len(process_id)})"
        )
    return process_id


def check_command_type(command_type):
    """The command type, if it is one: ``[A-Za-z0-9_-]+``.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is no command type.
    """
    if not isinstance(command_type, str):
        raise TypeError(f"a command type must be a str, was {command_type!r}")
    if not _COMMAND_TYPE.fullmatch(command_type):
        raise ValueError(f"a command type must be of A-Z a-z 0-9 _ -, was {command_type!r}")
    return command_type


def check_target(target_id):
    """The target of a command, if it is one: a process id, ``*`` or ``group.*``.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is none of these.
    """
    if isinstance(target_id, str) and target_id.endswith(".*"):
        check_process_id(target_id[: len(target_id) - 2])
    elif target_id != "*":
        check_process_id(target_id)
    return target_id


def command_topic(target_id, command_type):
    """The 64-byte topic ``target_id.command_type``.

    Raises
    ------
    TypeError
        If one of them is not a string.
    ValueError
        If one of them is not what it should be, or both together are too long.
    """
    return pad(f"{check_target(target_id)}.{check_command_type(command_type)}", COMMAND_TOPIC_BYTES)


def target_matches(str target_id not None, str process_id not None):
    """Whether a command for `target_id` is one for this process: exactly it, everybody, or a group that it is in."""
    if target_id == process_id or target_id == "*":
        return True
    return len(target_id) > 2 and target_id.endswith(".*") and process_id.startswith(target_id[: len(target_id) - 1])


def subscriptions_of(process_id):
    """The prefixes that a process subscribes: its own, everybody's, and one for each group that it is in.

    Raises
    ------
    TypeError, ValueError
        As `check_process_id`.
    """
    parts = check_process_id(process_id).split(".")
    groups = [".".join(parts[:count]) for count in range(1, len(parts))]
    return [f"{process_id}.".encode(), b"*.", *(f"{group}.*.".encode() for group in groups)]


@cython.final
cdef class PrefixFilter:
    """A counted set of subscriptions, each of which matches the topics that begin with it."""

    def add(self, bytes prefix not None):
        """Add a subscription; returns whether the prefix is new."""
        return self.c.add(string_view(<const char*>prefix, len(prefix)))

    def remove(self, bytes prefix not None):
        """Remove a subscription; returns whether it was the last one of that prefix."""
        return self.c.remove(string_view(<const char*>prefix, len(prefix)))

    def count(self, bytes prefix not None):
        """How many subscriptions of exactly this prefix there are."""
        return self.c.count(string_view(<const char*>prefix, len(prefix)))

    def match(self, bytes topic not None):
        """Whether any subscription is a prefix of the topic."""
        return self.c.match(string_view(<const char*>topic, len(topic)))

    def matching(self, bytes topic not None):
        """The subscribed prefixes of the topic, shortest first."""
        return [topic[:length] for length in self.c.matching(string_view(<const char*>topic, len(topic)))]

    def __len__(self):
        return self.c.size()
