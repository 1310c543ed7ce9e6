"""Snapshot: a copy of the top of an order book, up to 256 levels of each side.

A Snapshot owns its memory: one level of each side in the object, more of them beside it, 16 bytes a level. Its arrays are read-only
numpy views of that memory and keep the Snapshot alive; nothing that happens to the book changes it. It may be read from
any thread. Memory of snapshots that have died is kept for the next ones, up to 64 blocks of each size.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo

import numpy as np

from hftcore.enums import Exchange, Flag
from hftcore.symbols import CurrencyPair
from hftcore import symbols as _symbols

cdef tuple EXCHANGES = tuple(
    Exchange(number) if number in Exchange._value2member_map_ else None for number in range(256)
)
cdef tuple FLAGS = tuple(Flag(bits) for bits in range(8))
cdef list PAIRS = _symbols._pairs
cdef object frombuffer = np.frombuffer
cdef object FLOAT64 = np.dtype(np.float64)

@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Snapshot:
    """The best levels of an order book, as they were after one update.

    Parameters
    ----------
    exchange
        Exchange, or its name.
    symbol
        CurrencyPair, or any spelling of one.
    asks, bids
        Pairs of price and volume, best first, at most 256 of each.
    exchangeTimeNs
        When the venue published the update, ns since 1970; 0 if it does not say.
    localTimeNs
        When it was received, ns since 1970.
    seq
        The venue's own sequence or update number, 0 if it has none.
    flags
        Flag bits.

    Raises
    ------
    ValueError
        If the exchange or the symbol is not one, or a side has more than 256 levels.
    TypeError
        If a level is no pair of numbers.

    Notes
    -----
    Lifetime: the arrays are views of the Snapshot's own copy, and keep it alive.

    Thread safety: may be read from any thread.
    """

    def __init__(
        self, *, exchange, symbol, asks=(), bids=(), int64_t exchangeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0,
        uint16_t flags=0,
    ):
        cdef list ask_list = list(asks), bid_list = list(bids)
        if self._levels != NULL:
            raise TypeError("a Snapshot is made once")
        if len(ask_list) > MAX_SNAPSHOT_LEVELS or len(bid_list) > MAX_SNAPSHOT_LEVELS:
            raise ValueError(
                f"a Snapshot must have at most {MAX_SNAPSHOT_LEVELS} levels a side, was {max(len(ask_list), len(bid_list))}"
            )
        self._exchange = Exchange.parse(exchange).value
        self._symbol = CurrencyPair(symbol).id
        self._exchange_time_ns = exchangeTimeNs
        self._local_time_ns = localTimeNs
        self._seq = seq
        self._flags = flags
        if ask_list or bid_list:
            make_room(self, len(ask_list), len(bid_list))
            # Nothing can see the levels before they are all written.
            fill(self._levels, ask_list)
            fill(self._levels + 2 * len(ask_list), bid_list)
        self._ask_count = len(ask_list)
        self._bid_count = len(bid_list)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self._levels, 16 * (self._ask_count + self._bid_count), 1, flags)

    @property
    def exchange(self):
        return EXCHANGES[self._exchange]

    @property
    def symbol(self):
        return PAIRS[self._symbol]

    @property
    def asksPrice(self):
        """The asks' prices, rising: a read-only view."""
        return view(self, self._ask_count, 0)

    @property
    def asksVolume(self):
        """The asks' volumes, best price first: a read-only view."""
        return view(self, self._ask_count, self._ask_count)

    @property
    def bidsPrice(self):
        """The bids' prices, falling: a read-only view."""
        return view(self, self._bid_count, 2 * self._ask_count)

    @property
    def bidsVolume(self):
        """The bids' volumes, best price first: a read-only view."""
        return view(self, self._bid_count, 2 * self._ask_count + self._bid_count)

    @property
    def askCount(self):
        return self._ask_count

    @property
    def bidCount(self):
        return self._bid_count

    @property
    def asks(self):
        """The asks as a list of (price, volume), best first."""
        return pairs(self._levels, self._ask_count)

    @property
    def bids(self):
        """The bids as a list of (price, volume), best first."""
        return pairs(self._levels + 2 * self._ask_count, self._bid_count)

    @property
    def askPrice(self):
        """The best ask; 0 if there is none. So are `askVolume`, `bidPrice` and `bidVolume`."""
        return self._levels[0] if self._ask_count else 0.0

    @property
    def askVolume(self):
        return self._levels[self._ask_count] if self._ask_count else 0.0

    @property
    def bidPrice(self):
        return self._levels[2 * self._ask_count] if self._bid_count else 0.0

    @property
    def bidVolume(self):
        return self._levels[2 * self._ask_count + self._bid_count] if self._bid_count else 0.0

    @property
    def exchangeTimeNs(self):
        return self._exchange_time_ns

    @property
    def localTimeNs(self):
        return self._local_time_ns

    @property
    def seq(self):
        return self._seq

    @property
    def flags(self):
        return FLAGS[self._flags] if self._flags < 8 else Flag(self._flags)

    @property
    def timestamp(self):
        """The venue's time in microseconds."""
        return self._exchange_time_ns // 1000

    @property
    def localTimestamp(self):
        """The time of receipt in microseconds."""
        return self._local_time_ns // 1000

    @property
    def asks_price(self):
        return self.asksPrice

    @property
    def asks_volume(self):
        return self.asksVolume

    @property
    def bids_price(self):
        return self.bidsPrice

    @property
    def bids_volume(self):
        return self.bidsVolume

    @property
    def ask_count(self):
        return self._ask_count

    @property
    def bid_count(self):
        return self._bid_count

    @property
    def ask_price(self):
        return self.askPrice

    @property
    def ask_volume(self):
        return self.askVolume

    @property
    def bid_price(self):
        return self.bidPrice

    @property
    def bid_volume(self):
        return self.bidVolume

    @property
    def exchange_time_ns(self):
        return self._exchange_time_ns

    @property
    def local_time_ns(self):
        return self._local_time_ns

    @property
    def local_timestamp(self):
        return self.localTimestamp

    def to_dict(self):
        """The fields by name, with `symbol` and `exchange` as text and the levels as lists of (price, volume)."""
        return {
            "exchange": str(self.exchange), "symbol": str(self.symbol), "asks": self.asks, "bids": self.bids,
            "exchangeTimeNs": self._exchange_time_ns, "localTimeNs": self._local_time_ns, "seq": self._seq,
            "flags": self._flags,
        }

    def __repr__(self):
        return (
            f"Snapshot(exchange={str(self.exchange)!r}, symbol={str(self.symbol)!r}, asks={self.asks!r}, "
            f"bids={self.bids!r}, exchangeTimeNs={self._exchange_time_ns}, localTimeNs={self._local_time_ns}, "
            f"seq={self._seq}, flags={self._flags})"
        )

    cdef tuple _key(self):
        return (
            self._exchange, self._symbol, self._exchange_time_ns, self._local_time_ns, self._seq, self._flags,
            tuple(self.asks), tuple(self.bids),
        )

    def __eq__(self, other):
        return self._key() == (<Snapshot>other)._key() if isinstance(other, Snapshot) else NotImplemented

    def __hash__(self):
        return hash(self._key())

    def __reduce__(self):
        return _snapshot_from_dict, (self.to_dict(),)


cdef int make_room(Snapshot snapshot, size_t asks, size_t bids) except -1:
    if asks + bids <= 2:
        snapshot._levels = snapshot._few
        return 0
    snapshot._levels = snapshot._block.take(16 * (asks + bids))
    if snapshot._levels == NULL:
        raise MemoryError(f"no memory for {asks + bids} levels")
    return 0


cdef Snapshot new_snapshot(size_t asks, size_t bids):
    cdef Snapshot snapshot = Snapshot.__new__(Snapshot)
    if asks + bids:
        make_room(snapshot, asks, bids)
    snapshot._ask_count = asks
    snapshot._bid_count = bids
    return snapshot


cdef int fill(double* place, list levels) except -1:
    cdef Py_ssize_t count = len(levels), index
    for index in range(count):
        price, volume = levels[index]
        place[index] = price
        place[count + index] = volume
    return 0


cdef object view(Snapshot snapshot, Py_ssize_t count, Py_ssize_t offset):
    # frombuffer refuses an empty buffer.
    return frombuffer(snapshot, FLOAT64, count, 8 * offset) if count else np.empty(0, FLOAT64)


cdef list pairs(const double* place, Py_ssize_t count):
    return [(place[index], place[count + index]) for index in range(count)]


def _snapshot_from_dict(fields):
    return Snapshot(**fields)
