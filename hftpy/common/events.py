"""Events about the data itself: a gap, silence, a new connection. They go to `event_queue` or to
`on_gap`, `on_stale`, `on_reconnected` of an observer that has one.
"""

import msgspec

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something was, or may have been, lost; delivered before the next message of that channel and symbol.

    `symbol` None: all symbols of the channel. `lost` is the number of messages, None where it is not known
    (a lost connection). `source` is where: ``venue`` (the stream), ``ipc`` (between processes), ``ring``, or
    ``recording`` (what a recorder missed, told in the replay).
    """

    exchange: Exchange
    channel: Channel
    symbol: CurrencyPair | None
    reason: str
    lost: int | None
    source: str
    timestamp: int  # microseconds


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """A channel (or one symbol of it) has been silent longer than its limit, while heartbeats may go on."""

    exchange: Exchange
    channel: Channel
    symbol: CurrencyPair | None
    silent_s: float
    timestamp: int  # microseconds


class Reconnected(msgspec.Struct, frozen=True, kw_only=True):
    """A stream is connected and subscribed again."""

    exchange: Exchange
    channel: Channel
    attempts: int
    down_s: float
    timestamp: int  # microseconds
