"""Ring: a bounded queue of Ticker or Trade structs by value, between one producer and one consumer.

The ring owns its memory (64 bytes per item, one cache line each); items are copied in and out, so that nothing is
shared between the two sides.

Threads: `put_nowait` may be called from any thread (the GIL makes all its callers one producer); the native
`push_ticker` and `push_trade` from one thread that need not hold the GIL, and then nobody calls `put_nowait`. All
that takes (`get`, `get_nowait`, `get_batch`, `get_array`, `wait`, `async for`) belongs to one consumer thread: the
thread of the event loop, where it waits. This holds for every overflow policy. `close`, `reset`, `stats`, `qsize`,
`empty` and `full` may be called from any thread.

Source of the algorithm: see hftcore/spsc_ring.hpp; of the wake-up: hftcore/wakeup.hpp.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.pythread cimport PyThread_get_thread_ident

from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

import asyncio
import operator
from types import GenericAlias

import numpy as np

from hftcore.errors import RingClosed

cdef object TICKER_DTYPE, TRADE_DTYPE
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE

MAX_CAPACITY = 1 << 22
"""The largest capacity: 256 MiB."""

cdef dict POLICIES = {
    "drop_newest": OVERFLOW_DROP_NEWEST, "drop_oldest": OVERFLOW_DROP_OLDEST, "halt": OVERFLOW_HALT,
}
cdef enum:
    CHUNK = 64

cdef object QueueEmpty = asyncio.QueueEmpty
cdef object QueueFull = asyncio.QueueFull
cdef object get_running_loop = asyncio.get_running_loop


cdef size_t checked_capacity(object capacity) except 0:
    number = operator.index(capacity)
    if number < 1 or number & (number - 1):
        raise ValueError(f"capacity must be a power of two, was {capacity!r}")
    if number > MAX_CAPACITY:
        raise ValueError(f"capacity must be at most {MAX_CAPACITY}, was {capacity!r}")
    return number


cdef size_t checked_limit(object limit) except 0:
    if limit is None:
        return MAX_CAPACITY
    number = operator.index(limit)
    if number < 1:
        raise ValueError(f"limit must be at least 1, was {limit!r}")
    return min(number, MAX_CAPACITY)


@cython.final
cdef class Ring:
    """A bounded queue of market data by value; it answers to what an observer's queue must answer to.

    Parameters
    ----------
    kind
        The class of the items: Ticker or Trade.
    capacity
        How many items fit; a power of two.
    overflow
        What happens when it is full. ``drop_oldest``: the oldest item gives way. ``drop_newest``: the new item is
        refused. ``halt``: the new item is refused with `asyncio.QueueFull`, and so is every later one until `reset`,
        so that a hole in a sequence of private events cannot go unseen; what the ring holds can still be taken.
        All count what was lost in ``stats["dropped"]``.

    Raises
    ------
    TypeError
        If `kind` is not one of the two, or `capacity` is no integer.
    ValueError
        If `capacity` is no power of two or above `MAX_CAPACITY`, or `overflow` is no policy.
    MemoryError
        If there is no memory for it.

    Notes
    -----
    Thread safety: see the module. Lifetime: a closed ring still gives what it holds.
    """

    def __cinit__(self, kind, capacity=4096, overflow="drop_oldest"):
        if kind is not Ticker and kind is not Trade:
            raise TypeError(f"kind must be Ticker or Trade, was {kind!r}")
        if overflow not in POLICIES:
            raise ValueError(f"overflow must be one of {', '.join(sorted(POLICIES))}, was {overflow!r}")
        self._ring = new SpscRing(checked_capacity(capacity), <Overflow><int>POLICIES[overflow])
        self._sleeping = new ArmedFlag()
        self.kind = kind
        self.overflow = overflow
        self._is_ticker = kind is Ticker
        self._halts = overflow == "halt"
        self._waiters = []

    def __dealloc__(self):
        del self._ring
        del self._sleeping

    # hot path: begin
    cdef bint push_ticker(self, const TickerStruct* item) noexcept nogil:
        return self._ring.push(item)

    cdef bint push_trade(self, const TradeStruct* item) noexcept nogil:
        return self._ring.push(item)

    cdef void notify(self) noexcept nogil:
        if self._sleeping.take():
            with gil:
                self._wake()
    # hot path: end

    cdef object _pop(self):
        """The oldest item, or None."""
        cdef TickerStruct ticker
        cdef TradeStruct trade
        if self._is_ticker:
            return ticker_of(&ticker) if self._ring.pop(&ticker, 1) else None
        return trade_of(&trade) if self._ring.pop(&trade, 1) else None

    cdef bint _wake(self) except -1:
        """Let the waiting tasks look into the ring: at once on their own thread, else through their loop."""
        if self._loop is None:
            return False
        if not self._loop.is_closed():
            if PyThread_get_thread_ident() == self._loop_thread:
                self._resolve()
                return True
            try:
                self._loop.call_soon_threadsafe(self._resolve)
                return True
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
        # The loop was closed with its tasks still waiting: nobody is left to wake, and the item stays.
        self._waiters.clear()
        return False

    def _resolve(self):
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    cdef object _stop_waiting(self, object waiter):
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters:
            self._sleeping.disarm()

    def put_nowait(self, item):
        """Copy an item in, and wake the consumer if it sleeps.

        Parameters
        ----------
        item
            A Ticker or Trade, as the ring's kind is.

        Returns
        -------
        bool
            Whether it was taken. False: refused by ``drop_newest``, or the ring is closed; it counts as dropped.

        Raises
        ------
        TypeError
            If the item is not of the ring's kind.
        asyncio.QueueFull
            With ``halt``: the ring is full, or was and has not been reset.
        """
        cdef bint taken
        if self._is_ticker:
            if type(item) is not Ticker:
                raise TypeError(f"item must be a Ticker, was {item!r}")
            taken = self.push_ticker(&(<Ticker>item).c)
        else:
            if type(item) is not Trade:
                raise TypeError(f"item must be a Trade, was {item!r}")
            taken = self.push_trade(&(<Trade>item).c)
        if taken:
            # The consumer arms under the GIL, which we hold: no fence needed.
            if self._sleeping.take_locked():
                self._wake()
        elif self._halts and not self._ring.closed():
            raise QueueFull(f"ring of {self._ring.capacity()} items is halted: it was full; take, then reset")
        return taken

    def get_nowait(self):
        """Take the oldest item.

        Raises
        ------
        asyncio.QueueEmpty
            If there is none.
        """
        item = self._pop()
        if item is None:
            raise QueueEmpty
        return item

    def get_batch(self, limit=None):
        """Take what is there, oldest first, at most `limit` items; an empty list if there is nothing.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        # What is there now bounds the batch, so that a fast producer cannot keep the consumer here.
        cdef size_t wanted = min(checked_limit(limit), self._ring.size())
        cdef size_t found, index
        cdef TickerStruct[CHUNK] tickers
        cdef TradeStruct[CHUNK] trades
        cdef list batch = []
        while wanted:
            if self._is_ticker:
                found = self._ring.pop(tickers, min(wanted, <size_t>CHUNK))
                for index in range(found):
                    batch.append(ticker_of(&tickers[index]))
            else:
                found = self._ring.pop(trades, min(wanted, <size_t>CHUNK))
                for index in range(found):
                    batch.append(trade_of(&trades[index]))
            if not found:
                break
            wanted -= found
        return batch

    def get_array(self, limit=None):
        """As `get_batch`, as a numpy array of `TICKER_DTYPE` or `TRADE_DTYPE`: one copy, owned by the caller.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        cdef size_t wanted = min(checked_limit(limit), self._ring.size())
        cdef size_t taken = 0, found
        cdef object memory = PyByteArray_FromStringAndSize(NULL, wanted * sizeof(TickerStruct))
        cdef char* start = PyByteArray_AS_STRING(memory)
        with nogil:
            while taken < wanted:
                found = self._ring.pop(start + taken * sizeof(TickerStruct), wanted - taken)
                if not found:
                    break
                taken += found
        return np.frombuffer(memory, TICKER_DTYPE if self._is_ticker else TRADE_DTYPE, taken)

    async def wait(self):
        """Return as soon as there is an item, at once if there is one.

        Raises
        ------
        RingClosed
            If there is none and the ring is closed, or is closed meanwhile.
        RuntimeError
            If a task of another event loop waits already.
        """
        while not self._ring.size():
            if self._ring.closed():
                raise RingClosed("ring is closed and empty")
            loop = get_running_loop()
            if self._waiters and loop is not self._loop:
                if self._loop.is_closed():
                    self._waiters.clear()  # tasks that died with their loop
                else:
                    raise RuntimeError("a task of another event loop waits for this ring already")
            waiter = loop.create_future()
            self._loop = loop
            self._loop_thread = PyThread_get_thread_ident()
            self._waiters.append(waiter)
            self._sleeping.arm()
            try:
                # The last look: what came before the flag was up has woken nobody.
                if not self._ring.size() and not self._ring.closed():
                    await waiter
            finally:
                self._stop_waiting(waiter)

    async def get(self):
        """Take the oldest item, waiting for one if there is none. Cancelling it loses no item.

        Raises
        ------
        RingClosed, RuntimeError
            As `wait`.
        """
        item = self._pop()
        while item is None:
            await self.wait()
            item = self._pop()
        return item

    @classmethod
    def __class_getitem__(cls, kind):
        """`Ring[Ticker]` in annotations."""
        return GenericAlias(cls, kind)

    def __aiter__(self):
        return self

    async def __anext__(self):
        """The next item; the loop ends when the ring is closed and empty."""
        try:
            return await self.get()
        except RingClosed:
            raise StopAsyncIteration from None

    def close(self):
        """Take nothing more: waiting tasks get RingClosed as soon as the ring is empty. May be called again."""
        self._ring.close()
        if self._sleeping.take():
            self._wake()

    def reset(self):
        """Lift a halt. What the ring holds stays; what was refused is lost and counted, and must be repaired."""
        self._ring.reset()

    @property
    def closed(self):
        """Whether `close` was called."""
        return self._ring.closed()

    @property
    def halted(self):
        """Whether the ring was full under ``halt`` and has not been reset."""
        return self._ring.halted()

    @property
    def capacity(self):
        """How many items fit."""
        return self._ring.capacity()

    def qsize(self):
        """How many items there are."""
        return self._ring.size()

    def empty(self):
        """Whether there is no item."""
        return self._ring.size() == 0

    def full(self):
        """Whether no further item fits."""
        return self._ring.size() == self._ring.capacity()

    @property
    def stats(self):
        """Counters: items pushed (taken in), popped, dropped (refused or given way), high_water, capacity."""
        return {
            "pushed": self._ring.pushed(), "popped": self._ring.popped(), "dropped": self._ring.dropped(),
            "high_water": self._ring.highWater(), "capacity": self._ring.capacity(),
        }

    def __repr__(self):
        return (
            f"Ring({self.kind.__name__}, capacity={self._ring.capacity()}, overflow={self.overflow!r}, "
            f"size={self._ring.size()}{', closed' if self._ring.closed() else ''})"
        )
