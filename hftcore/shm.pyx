"""Shared memory: one writer of tickers or trades, any number of reader processes, no lock and no copy in between.

`ShmWriter` owns the file of a segment; `ShmReader` maps it read-only. The segment is made of 128-byte slots, a symbol
table (a symbol's process-local number never leaves its process), the last value of each symbol, and events. A writer
never waits and never wakes a reader by itself: `put` publishes, `wake` ends the sleep of those that sleep.

Threads: a writer belongs to one thread at a time, and so does a reader. Lifetime: items are copies. After a fork the
objects stay the parent's; in the child they are closed, and it must make its own.

Source of the algorithm: hftcore/shm_ring.hpp; of the sleeping: hftcore/shm_park.hpp; of the file: hftcore/shm_segment.hpp.
"""

cimport cython
from cython.operator cimport dereference

from hftcore.shm_cursor cimport checked, failure, kind_number
from hftcore.shm_segment cimport (
    EVENT_TEXT_BYTES, RING_LIMIT, SYMBOL_LIMIT, Shape, Trouble, create_segment, folder_in_memory, monotonic_ns, notify,
)
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct

import os
import time
from types import GenericAlias

from hftcore.enums import Exchange
from hftcore.errors import RingClosed
from hftcore.shm_reader import ADAPTIVE_SPIN_S, ShmReader
from hftcore.symbols import CurrencyPair, pair_of_id

cdef object _open_objects
from hftcore.shm_cursor import _open_objects

MAX_CAPACITY = RING_LIMIT
"""The largest capacity: 512 MiB."""
MAX_SYMBOLS = SYMBOL_LIMIT
"""The largest symbol table: 256 MiB."""
MAX_EVENT_BYTES = EVENT_TEXT_BYTES
"""The longest event."""


def in_memory(folder):
    """Whether the files of a folder live in memory alone (tmpfs). False where that cannot be told."""
    return folder_in_memory(os.fsencode(folder))


@cython.final
cdef class ShmWriter:
    """The one writer of a segment, which is made anew; that of a writer that died is replaced.

    Parameters
    ----------
    path
        The segment's file; its folder must exist and be private. Beside it stands ``{path}.lock``.
    kind
        The class of the items: Ticker or Trade.
    exchange
        The venue of all items.
    capacity
        How many messages the ring holds, a power of two; 128 bytes each. A reader that falls further behind loses some.
    max_symbols
        How many symbols there may be; 256 bytes each.
    epoch
        The number of the writer's life; None for the time.

    Raises
    ------
    SegmentInUseError
        If another process or object owns the path.
    SegmentError
        If the file cannot be made: no room, no folder, something foreign in its place.
    TypeError, ValueError
        If an argument is not as it must be.

    Attributes
    ----------
    on_sleepers
        Called without arguments after a message that a publisher's router put, if a reader sleeps; None: nobody is.

    Notes
    -----
    Thread safety: one thread at a time.
    """

    def __init__(self, path, kind, *, exchange, capacity=65536, max_symbols=16384, epoch=None):
        cdef Trouble trouble
        cdef Shape shape
        if self._segment is not NULL:
            raise RuntimeError("a ShmWriter is made once")
        shape.kind = kind_number(kind)
        shape.capacity = checked("capacity", capacity, RING_LIMIT)
        if shape.capacity & (shape.capacity - 1):
            raise ValueError(f"capacity must be a power of two, was {capacity!r}")
        shape.maxSymbols = <uint32_t>checked("max_symbols", max_symbols, SYMBOL_LIMIT - 1) + 1  # one is the events'
        shape.exchange = Exchange.parse(exchange).value
        shape.epoch = checked("epoch", time.time_ns() if epoch is None else epoch, <uint64_t>-1)
        self.kind = kind
        self.path = os.path.abspath(os.fspath(path))
        self._is_ticker = kind is Ticker
        self._exchange = shape.exchange
        self._segment = create_segment(os.fsencode(self.path), shape, &trouble)
        if self._segment is NULL:
            raise failure(trouble)
        self._writer = new Writer(self._segment.view())
        _open_objects.add(self)

    def __dealloc__(self):
        del self._writer
        del self._segment

    # hot path: begin
    cdef uint64_t publish_ticker(self, const TickerStruct* item) noexcept nogil:
        if self._writer is NULL or <size_t>item.symbol >= self._numbers.size() or self._numbers[item.symbol] < 0:
            return 0
        return self._writer.publish(item, self._numbers[item.symbol])

    cdef uint64_t publish_trade(self, const TradeStruct* item) noexcept nogil:
        if self._writer is NULL or <size_t>item.symbol >= self._numbers.size() or self._numbers[item.symbol] < 0:
            return 0
        return self._writer.publish(item, self._numbers[item.symbol])

    cdef void wake(self) noexcept nogil:
        if self._writer is not NULL and self._writer.sleepers():
            notify(dereference(self._segment.view().park))
    # hot path: end

    cdef int64_t send_ticker_c(self, const TickerStruct* item) except -1:
        cdef uint64_t seq = self.publish_ticker(item)
        if seq and self.on_sleepers is not None and self._writer.sleepers():
            self.on_sleepers()
        return seq

    cdef int64_t send_trade_c(self, const TradeStruct* item) except -1:
        cdef uint64_t seq = self.publish_trade(item)
        if seq and self.on_sleepers is not None and self._writer.sleepers():
            self.on_sleepers()
        return seq

    cdef int32_t _number(self, int32_t symbol) except -1:
        """The entry of a symbol of this process; it is added if it is new."""
        if self._writer is NULL:
            raise RingClosed(f"segment {self.path} is closed")
        if <size_t>symbol < self._numbers.size() and self._numbers[symbol] >= 0:
            return self._numbers[symbol]
        cdef bytes text = str(pair_of_id(symbol)).encode()
        cdef int32_t number = self._writer.append_symbol(text, len(text))
        if number < 0:
            limit = self._segment.view().maxSymbols - 1
            raise ValueError(f"segment {self.path} has room for {limit} symbols, one more was {text.decode()!r}")
        if <size_t>symbol >= self._numbers.size():
            self._numbers.resize(<size_t>symbol + 1, -1)
        self._numbers[symbol] = number
        return number

    def add_symbol(self, symbol):
        """Give a symbol its place in the segment before its first message.

        Raises
        ------
        ValueError
            If it is no symbol, or there is no room for it.
        RingClosed
            If the writer is closed.
        """
        self._number(CurrencyPair(symbol).id)

    @cython.binding(False)
    def put(self, item):
        """Publish an item. No reader is woken: `wake` does that.

        Returns
        -------
        int
            Its number within its symbol, from 1.

        Raises
        ------
        TypeError
            If the item is not of the writer's kind.
        ValueError
            If it is of another exchange, or there is no room for its symbol.
        RingClosed
            If the writer is closed.
        """
        cdef uint64_t seq
        cdef TickerStruct* ticker
        cdef TradeStruct* trade
        if self._is_ticker:
            if type(item) is not Ticker:
                raise TypeError(f"item must be a Ticker, was {item!r}")
            ticker = &(<Ticker>item).c
            if ticker.exchange != self._exchange:
                raise ValueError(f"exchange must be {Exchange(self._exchange)}, was {item.exchange}")
            seq = self.publish_ticker(ticker)
            if not seq:
                seq = self._writer.publish(ticker, self._number(ticker.symbol))
            return seq
        if type(item) is not Trade:
            raise TypeError(f"item must be a Trade, was {item!r}")
        trade = &(<Trade>item).c
        if trade.exchange != self._exchange:
            raise ValueError(f"exchange must be {Exchange(self._exchange)}, was {item.exchange}")
        seq = self.publish_trade(trade)
        if not seq:
            seq = self._writer.publish(trade, self._number(trade.symbol))
        return seq

    def put_event(self, encoded):
        """Publish an event, in order with the items; readers that want notices get it.

        Returns
        -------
        int
            Its number among the events, from 1.

        Raises
        ------
        ValueError
            If it is longer than `MAX_EVENT_BYTES`.
        RingClosed
            If the writer is closed.
        """
        cdef bytes text = bytes(encoded)
        if len(text) > EVENT_TEXT_BYTES:
            raise ValueError(f"an event must have at most {MAX_EVENT_BYTES} bytes, was {len(text)}")
        if self._writer is NULL:
            raise RingClosed(f"segment {self.path} is closed")
        return self._writer.publish_event(<const char*>text, len(text))

    def has_sleepers(self):
        """Whether a reader sleeps, or is about to: then `wake` must follow what was put."""
        return self._writer is not NULL and self._writer.sleepers()

    def wake_readers(self):
        """End the sleep of the readers that sleep; a system call if there are any, else nothing."""
        self.wake()

    def heartbeat(self):
        """Tell readers that the writer lives."""
        if self._writer is not NULL:
            self._writer.heartbeat(monotonic_ns())

    def seq(self, symbol):
        """The number of the last message of a symbol; 0 if there is none."""
        cdef int32_t number = CurrencyPair(symbol).id
        if self._writer is NULL or <size_t>number >= self._numbers.size() or self._numbers[number] < 0:
            return 0
        return self._writer.symbol_seq(self._numbers[number])

    @property
    def readers(self):
        """How many readers are attached (Linux; elsewhere 0)."""
        return self._segment.readers() if self._segment is not NULL else 0

    @property
    def stats(self):
        """Counters: published (messages and events), joins (readers that ever attached), capacity."""
        if self._segment is NULL:
            return {"published": 0, "joins": 0, "capacity": 0}
        return {
            "published": self._writer.published(), "joins": self._segment.view().park.joined(),
            "capacity": self._segment.view().capacity,
        }

    @property
    def epoch(self):
        """The number of the writer's life."""
        return self._segment.view().header.epoch if self._segment is not NULL else 0

    @property
    def closed(self):
        """Whether `close` was called."""
        return self._segment is NULL

    def close(self):
        """Tell readers that this is the end, and remove the file. May be called again."""
        if self._segment is NULL:
            return
        self._segment.close()
        self._release()

    def _disown(self):
        """In a forked child: what it would put would overwrite the parent's messages."""
        if self._segment is NULL:
            return
        self._segment.disown()
        self._release()

    cdef void _release(self) noexcept:
        del self._writer
        del self._segment
        self._writer = NULL
        self._segment = NULL

    @classmethod
    def __class_getitem__(cls, kind):
        """`ShmWriter[Ticker]` in annotations."""
        return GenericAlias(cls, kind)

    def __repr__(self):
        return f"ShmWriter({self.path!r}, {self.kind.__name__}{', closed' if self.closed else ''})"
