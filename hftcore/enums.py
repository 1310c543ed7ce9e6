"""Enumerations with the same numbers in C, protobuf and Python. In config, addresses and the CLI: lower-case names."""

from enum import IntEnum, IntFlag
from typing import Self


class NamedEnum(IntEnum):
    """An IntEnum that prints as, and reads from, its lower-case name."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, value: "str | int | Self") -> Self:
        """The member for a member, a number or a name of any case.

        Raises
        ------
        ValueError
            If there is none; the message lists the names.
        """
        if isinstance(value, str):
            member = cls.__members__.get(value.upper())
            if member is None:
                names = ", ".join(str(item) for item in cls)
                raise ValueError(f"{cls.__name__} must be one of {names}, was {value!r}")
            return member
        return cls(value)


class Exchange(NamedEnum):
    """A venue; the gaps are reserved."""

    UNKNOWN = 0
    BINANCE = 1
    COINBASE = 2
    KRAKEN = 3
    OKX = 5
    IB = 6
    BINANCE_FUTURE = 8
    OKX_SWAP = 9
    KRAKEN_FUTURE = 11
    SIM = 21


class Side(NamedEnum):
    """Of a trade: the taker's; of an order: its own."""

    UNKNOWN = 0
    BUY = 1
    SELL = 2


class OrderStatus(NamedEnum):
    """The life of an order. `NONE` is sent and not yet acknowledged; `UNKNOWN` until the venue has been asked."""

    UNKNOWN = 0
    NONE = 1
    NEW = 2
    FAILED = 3
    PARTIAL_FILLED = 4
    FILLED = 5
    CANCELED = 6
    CLOSED = 7
    EXPIRED = 8

    @property
    def is_live(self) -> bool:
        """Whether the order may still be, or become, open at the venue."""
        return self in _LIVE


_LIVE = frozenset({OrderStatus.UNKNOWN, OrderStatus.NONE, OrderStatus.NEW, OrderStatus.PARTIAL_FILLED})


class OrderType(NamedEnum):
    LIMIT = 1
    MARKET = 2


class Channel(NamedEnum):
    """What a stream, a publisher or a subscriber carries."""

    TICKER = 1
    TRADE = 2
    BOOK = 3
    KLINE = 4
    MY_ORDER = 5
    MY_ORDER_BATCH = 6
    MY_TRADE = 7
    BALANCE = 8
    POSITION = 9
    FUNDING = 10


class Flag(IntFlag):
    """Of a ticker or trade."""

    SNAPSHOT = 1  # history that the venue sends on subscribing
    AGGREGATE = 2  # an aggregate of several trades
    REPLAY = 4  # from a recording
    DELAYED = 8  # not live: the venue sends it some minutes late


class BookState(NamedEnum):
    """Of an order book."""

    INVALID = 0  # not what the venue has: before the first snapshot, or after a loss
    VALID = 1
