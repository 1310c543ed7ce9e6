"""Ring: a bounded queue of Ticker or Trade structs by value, from one or many producers to one consumer.

The ring owns its memory (64 bytes per item, one cache line each); items are copied in and out, so that nothing is
shared between the two sides but what a `view` shows.

Threads, ``producers="one"``: `put_nowait` and `put` may be called from any thread (the GIL makes all their callers one
producer); the native `push_ticker` and `push_trade` from one thread that need not hold the GIL, and then nobody calls
`put_nowait`. ``producers="many"`` and ``overflow="conflate"``: native and Python producers, any number, at any time. All
that takes (`get`, `get_nowait`, `get_batch`, `get_array`, `view`, `drain`, `dispatch`, `wait`, `async for`) belongs to one
consumer thread: the thread of the event loop, where it waits. This holds for every overflow policy. `close`, `reset`,
`stats`, `qsize`, `empty` and `full` may be called from any thread.

Source of the algorithms: see hftcore/spsc_ring.hpp, mpsc_ring.hpp, conflating_ring.hpp; of the wake-up: wakeup.hpp.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from hftcore.latency cimport LatencyHistogram, now_ns
from hftcore.ring_base cimport (
    NOTHING, OFFER_FULL, OFFER_TAKEN, OVERFLOW_CONFLATE, OVERFLOW_DROP_OLDEST, Offer, RingBase, checked_capacity,
    checked_limit, checked_overflow,
)
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

import asyncio
import time
from types import GenericAlias

import numpy as np

from hftcore.object_ring import ObjectRing
from hftcore.ring_base import MAX_CAPACITY

cdef object TICKER_DTYPE, TRADE_DTYPE
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE

cdef extern from "Python.h":
    const size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    object PyObject_Vectorcall(object function, PyObject** arguments, size_t count, PyObject* names)
    Py_ssize_t Py_REFCNT(object instance)
    int PyGILState_Check() noexcept nogil

cdef extern from *:
    """
    static inline hft::RingSlot* new_slots(size_t count) { return new hft::RingSlot[count]; }
    static inline void del_slots(hft::RingSlot* slots) { delete[] slots; }
    """
    RingSlot* new_slots(size_t count) except +
    void del_slots(RingSlot* slots) noexcept

cdef enum:
    CHUNK = 64
    SNAPSHOT = 1

cdef int64_t MAX_VENUE_LATENCY_NS = 3600 * 1000000000  # an older event is history, not latency
cdef object QueueEmpty = asyncio.QueueEmpty
cdef object QueueFull = asyncio.QueueFull

assert sizeof(TickerStruct) == sizeof(TradeStruct) == 64


@cython.final
cdef class Ring(RingBase):
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
        so that a hole in a sequence cannot go unseen; what the ring holds can still be taken. ``block``: the producer
        waits (``put``, and native pushes), or is told by `asyncio.QueueFull` (`put_nowait`).
        ``conflate`` (Tickers alone): at most one unread item of each exchange and symbol, at any time: a new one
        replaces the unread one where it stands, and counts it in ``stats["conflated"]``; where `capacity` other
        symbols are unread, the oldest item gives way. All count what was lost in ``stats["dropped"]``.
    producers
        ``one`` or ``many`` native producer threads at a time.
    block_timeout
        With ``block``: how many seconds a native push waits at most before it gives up and counts as dropped. On the
        consumer's own thread, which alone could make room, it gives up at once; so it does in an event loop's thread
        as long as nobody has taken anything.

    Raises
    ------
    TypeError
        If `kind` is not one of the two, or `capacity` is no integer.
    ValueError
        If `capacity` is no power of two or above `MAX_CAPACITY`, `overflow` or `producers` is none, a ring of Trades is
        to conflate, or `block_timeout` is below 0.
    MemoryError
        If there is no memory for it.

    Notes
    -----
    Thread safety: see the module. Lifetime: a closed ring still gives what it holds.
    """

    def __cinit__(self, kind, capacity=4096, overflow="drop_oldest", *, producers="one", double block_timeout=1.0):
        if kind is not Ticker and kind is not Trade:
            raise TypeError(f"kind must be Ticker or Trade, was {kind!r}")
        policy = checked_overflow(overflow)
        if producers != "one" and producers != "many":
            raise ValueError(f"producers must be one or many, was {producers!r}")
        if policy == OVERFLOW_CONFLATE and kind is Trade:
            raise ValueError("overflow of a ring of Trades must not be 'conflate': every trade counts")
        if not 0 <= block_timeout <= 1e9:
            raise ValueError(f"block_timeout must be from 0 to 1e9 seconds, was {block_timeout!r}")
        self._ring = new AnyRing(checked_capacity(capacity), policy, producers == "many")
        self._gate = self._ring.gate()
        self._claim = new_slots(CHUNK)
        self.kind = kind
        self.overflow = overflow
        self.producers = producers
        self._is_ticker = kind is Ticker
        self._halts = overflow == "halt"
        self._gil_is_lock = policy == OVERFLOW_DROP_OLDEST and producers == "one"
        self._waits = self._halts or overflow == "block"
        self._block_ns = <int64_t>(block_timeout * 1e9)

    def __dealloc__(self):
        del self._ring
        del_slots(self._claim)

    # hot path: begin
    cdef bint push_ticker(self, const TickerStruct* item) noexcept nogil:
        cdef Offer answer
        if self._gil_is_lock:
            self._push_without_gil()
        answer = self._ring.offer(item)
        return answer == OFFER_TAKEN or (answer == OFFER_FULL and self._push_waiting(item))

    cdef bint push_trade(self, const TradeStruct* item) noexcept nogil:
        cdef Offer answer
        if self._gil_is_lock:
            self._push_without_gil()
        answer = self._ring.offer(item)
        return answer == OFFER_TAKEN or (answer == OFFER_FULL and self._push_waiting(item))

    cdef void notify(self) noexcept nogil:
        if self._sleeping.take():
            with gil:
                self._wake()

    cdef Py_ssize_t drain_tickers_c(self, ticker_handler handler, void* context, Py_ssize_t limit) noexcept nogil:
        cdef TickerStruct[CHUNK] items
        cdef size_t left, found, index
        cdef Py_ssize_t done = 0
        if not self._is_ticker or self._viewed or limit <= 0:
            return 0
        # What is there now bounds the batch, so that a fast producer cannot keep the consumer here.
        left = min(<size_t>limit, self._size())
        while left:
            found = self._take(items, min(left, <size_t>CHUNK), NO_LIMIT)
            if not found:
                break
            for index in range(found):
                handler(context, &items[index])
            left -= found
            done += found
        if self._waits and done:
            self._let_in_from_outside()
        return done

    cdef Py_ssize_t drain_trades_c(self, trade_handler handler, void* context, Py_ssize_t limit) noexcept nogil:
        cdef TradeStruct[CHUNK] items
        cdef size_t left, found, index
        cdef Py_ssize_t done = 0
        if self._is_ticker or self._viewed or limit <= 0:
            return 0
        left = min(<size_t>limit, self._size())
        while left:
            found = self._take(items, min(left, <size_t>CHUNK), NO_LIMIT)
            if not found:
                break
            for index in range(found):
                handler(context, &items[index])
            left -= found
            done += found
        if self._waits and done:
            self._let_in_from_outside()
        return done

    cdef size_t _take(self, void* items, size_t limit, uint64_t until) noexcept nogil:
        """As AnyRing.pop; first what dispatch has claimed and not delivered."""
        cdef size_t found
        if self._claim_begin == self._claim_end:
            return self._ring.pop(items, limit, until)
        found = min(limit, self._claim_end - self._claim_begin)
        if until <= self._claimed:
            return 0
        found = min(found, until - self._claimed)
        memcpy(items, &self._claim[self._claim_begin], found * sizeof(TickerStruct))
        self._claim_begin += found
        self._claimed += found
        return found

    cdef size_t _take_next(self, void* items, size_t limit, Batch* batch) noexcept nogil:
        """As `_take`, for a batch that may have to be consecutive; counts in it what was taken."""
        cdef size_t found
        if batch.consecutive:
            # What is claimed gives way no more, so that a flood cannot make every look come too late.
            if self._claim_begin == self._claim_end:
                self._claim_begin = 0
                self._claim_end = self._ring.pop(self._claim, CHUNK, batch.until, &self._claimed)
            if self._claim_begin == self._claim_end or self._claimed != batch.since:
                return 0
        found = self._take(items, limit, batch.until)
        batch.done += found
        if batch.consecutive and found:
            batch.since += found
            self._reached = batch.since
        return found

    cdef inline bint _take_one(self, void* item, Batch* batch) noexcept nogil:
        """As `_take_next` of one item, with the GIL held."""
        if self._gil_is_lock and not batch.consecutive and self._claim_begin == self._claim_end:
            if not self._ring.pop_locked(item, 1, batch.until):
                return False
            batch.done += 1
            return True
        return self._take_next(item, 1, batch) != 0

    cdef size_t _size(self) noexcept nogil:
        return self._ring.size() + (self._claim_end - self._claim_begin)

    cdef uint64_t _position(self) noexcept nogil:
        return self._ring.position() if self._claim_begin == self._claim_end else self._claimed

    cdef void _measure(self, const void* item, int64_t now) noexcept nogil:
        # Ticker and Trade have these fields at the same place (hftcore/types.hpp).
        cdef const TickerStruct* fields = <const TickerStruct*>item
        cdef int64_t under_way = fields.localTimeNs - fields.exchangeTimeNs
        if fields.localTimeNs >= self._measured_since_ns:
            self._to_callback.record_c(now - fields.localTimeNs)
        if fields.exchangeTimeNs and not fields.flags & SNAPSHOT and under_way < MAX_VENUE_LATENCY_NS:
            self._to_receipt.record_c(under_way)
    # hot path: end

    cdef void _push_without_gil(self) noexcept nogil:
        """Before the first push that need not hold the GIL: whoever takes under it is done, and will not rely on it."""
        with gil:
            self._gil_is_lock = False

    cdef bint _push_waiting(self, const void* item) noexcept nogil:
        """With block, after an offer that found no room: waits."""
        cdef Offer answer
        cdef bint hopeless = self._block_ns == 0 or self._ring.is_consumer()
        self.notify()  # what was pushed before has not been announced yet, and only its taking makes room
        if not hopeless and not self._ring.has_consumer():
            with gil:
                hopeless = self._would_wait_for_itself()
        if hopeless:
            self._ring.refuse()
            return False
        if PyGILState_Check():
            with gil:
                return self._push_waiting_with_gil(item)
        answer = self._ring.push_within(item, self._block_ns)
        if answer == OFFER_FULL:
            self._ring.refuse()
        return answer == OFFER_TAKEN

    cdef bint _push_waiting_with_gil(self, const void* item) except -1:
        """As `_push_waiting` on a thread that holds the GIL, which the consumer may need: given up while it sleeps."""
        cdef uint64_t entered
        cdef int answer
        cdef int64_t deadline = time.monotonic_ns() + self._block_ns
        cdef int64_t left = self._block_ns
        while True:
            entered = self._gate.enter()
            answer = self._ring.offer(item)
            if answer == OFFER_FULL and left > 0:
                with nogil:
                    self._gate.wait_ns(entered, left)
            self._gate.leave()
            if answer != OFFER_FULL:
                return answer == OFFER_TAKEN
            if left <= 0:
                self._ring.refuse()
                return False
            left = deadline - <int64_t>time.monotonic_ns()

    cdef void _let_in_from_outside(self) noexcept nogil:
        with gil:
            if self._putters:
                self._let_in()

    cdef int _check_free(self) except -1:
        if self._viewed:
            raise RuntimeError("a view of the ring is open: release it before taking anything else")
        return 0

    cdef object _pop(self):
        """The oldest item, or NOTHING."""
        cdef TickerStruct ticker
        cdef TradeStruct trade
        if self._viewed:
            self._check_free()
        if self._is_ticker:
            if not self._take(&ticker, 1, NO_LIMIT):
                return NOTHING
            item = ticker_of(&ticker)
        else:
            if not self._take(&trade, 1, NO_LIMIT):
                return NOTHING
            item = trade_of(&trade)
        if self._putters:
            self._let_in()
        return item

    cdef const void* _struct_of(self, object item) except NULL:
        if self._is_ticker:
            if type(item) is not Ticker:
                raise TypeError(f"item must be a Ticker, was {item!r}")
            return &(<Ticker>item).c
        if type(item) is not Trade:
            raise TypeError(f"item must be a Trade, was {item!r}")
        return &(<Trade>item).c

    cdef int _offer(self, object item) except -1:
        cdef int answer = self._ring.offer(self._struct_of(item))
        # The consumer arms under the GIL, which we hold: no fence needed.
        if self._sleeping.take_locked():
            self._wake()
        return answer

    cdef bint _is_ready(self) noexcept:
        return self._claim_begin != self._claim_end or self._ring.ready()

    cdef bint _has_room(self) noexcept:
        return self._ring.size() < self._ring.capacity() or self._ring.halted() or self._ring.closed()

    cdef bint _is_closed(self) noexcept:
        return self._ring.closed()

    cdef void _note_consumer(self) noexcept:
        if self._waits:
            self._ring.note_consumer()

    cdef bint _would_wait_for_itself(self) noexcept:
        if self._ring.has_consumer():
            return self._ring.is_consumer()
        return asyncio._get_running_loop() is not None

    @cython.binding(False)
    @cython.always_allow_keywords(False)
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
            With ``halt``: the ring is full, or was and has not been reset. With ``block``: it is full; nothing is
            counted, since the item is still the caller's.
        """
        cdef int answer = self._ring.offer(self._struct_of(item))
        if self._sleeping.take_locked():
            self._wake()
        if answer == OFFER_TAKEN:
            return True
        if answer == OFFER_FULL:
            raise QueueFull(f"ring of {self._ring.capacity()} items is full")
        return self._refused()

    @cython.binding(False)
    def get_nowait(self):
        """Take the oldest item.

        Raises
        ------
        asyncio.QueueEmpty
            If there is none.
        RuntimeError
            If a `view` is open.
        """
        item = self._pop()
        if item is NOTHING:
            raise QueueEmpty
        return item

    def get_batch(self, limit=None):
        """Take what is there, oldest first, at most `limit` items; an empty list if there is nothing.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        RuntimeError
            If a `view` is open.
        """
        # What is there now bounds the batch, so that a fast producer cannot keep the consumer here.
        cdef size_t wanted = min(checked_limit(limit), self._size())
        cdef size_t found, index
        cdef TickerStruct[CHUNK] tickers
        cdef TradeStruct[CHUNK] trades
        cdef list batch = []
        self._check_free()
        while wanted:
            if self._is_ticker:
                found = self._take(tickers, min(wanted, <size_t>CHUNK), NO_LIMIT)
                for index in range(found):
                    batch.append(ticker_of(&tickers[index]))
            else:
                found = self._take(trades, min(wanted, <size_t>CHUNK), NO_LIMIT)
                for index in range(found):
                    batch.append(trade_of(&trades[index]))
            if not found:
                break
            wanted -= found
        if self._putters:
            self._let_in()
        return batch

    def get_array(self, limit=None):
        """As `get_batch`, as a numpy array of `TICKER_DTYPE` or `TRADE_DTYPE`: one copy, owned by the caller."""
        cdef size_t wanted = min(checked_limit(limit), self._size())
        cdef size_t taken = 0, found
        cdef object memory = PyByteArray_FromStringAndSize(NULL, wanted * sizeof(TickerStruct))
        cdef char* start = PyByteArray_AS_STRING(memory)
        self._check_free()
        with nogil:
            while taken < wanted:
                found = self._take(start + taken * sizeof(TickerStruct), wanted - taken, NO_LIMIT)
                if not found:
                    break
                taken += found
        if self._putters:
            self._let_in()
        return np.frombuffer(memory, TICKER_DTYPE if self._is_ticker else TRADE_DTYPE, taken)

    def view(self, limit=None):
        """The oldest items in their places, as a read-only numpy array that is not copied: a `RingView`.

        ``with ring.view() as array:`` takes them when the block ends, also by an exception. Until then they stay in the
        ring, producers find their places taken, and nothing else can be taken. The array covers the items that lie one
        behind the other in memory: at the ring's end, view again for the rest. Where a producer may replace an item
        that nobody has taken (``drop_oldest``, ``conflate``), or where `dispatch` with `since` has claimed some, the
        items are taken at once, by one copy, as `get_array` does (``zero_copy`` is False).

        Raises
        ------
        ValueError
            If `limit` is below 1.
        RuntimeError
            If a view is open already.
        """
        return RingView(self, limit)

    def drain(self, callback, limit=None):
        """Call `callback` with each item that is there, oldest first, at most `limit`; returns how many.

        An exception of the callback is raised here: its item is taken, the rest stays. The object that the callback
        gets is filled again for the next item if the callback has not kept it, which nobody can notice.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        RuntimeError
            If a `view` is open.
        """
        return self.drain_c(callback, checked_limit(limit))

    cdef Py_ssize_t drain_c(self, object callback, Py_ssize_t limit) except -1:
        cdef Batch batch = Batch(limit, NO_LIMIT, False, 0, 0, False, 0)
        self._deliver(callback, &batch)
        return batch.done

    def dispatch(self, hook, limit=None, *, until=None, since=None, int64_t budget_ns=0):
        """As `drain`, for a hook that may be a coroutine function: stops at a result that is not None, and returns it.

        Parameters
        ----------
        hook, limit
            As the callback of `drain`.
        until
            A position (see `mark`) that no delivered item shall reach; None: any.
        since
            The position that the first delivered item must have, each later one the next: it stops before an item
            whose predecessor gave way. `reached` tells how far it came, `position` where to go on. It claims up to 64
            items at once, which from then on give way no more; they stay the ring's until they are delivered or
            taken otherwise. None: whatever is there.
        budget_ns
            Stop after this many ns, as soon as an item is done; 0: do not look.

        Returns
        -------
        object
            What the hook returned for the item that was taken last, if it was not None: to be awaited, then go on.

        Raises
        ------
        ValueError, RuntimeError
            As `drain`, and whatever the hook raises.
        """
        cdef Batch batch = Batch(
            checked_limit(limit), NO_LIMIT if until is None else <uint64_t>until,
            since is not None, 0 if since is None else <uint64_t>since, budget_ns, True, 0,
        )
        return self._deliver(hook, &batch)

    cdef object _deliver(self, object callback, Batch* batch):
        # What is there now bounds the batch, so that a fast producer cannot keep the consumer here.
        cdef size_t left = min(batch.limit, self._size())
        cdef object item = None
        cdef PyObject* argument[2]  # the first place is the callee's: a bound method puts its object there
        cdef void* target = NULL
        cdef int64_t now = 0, end = 0
        while left:
            if self._viewed:
                self._check_free()
            # An object that nobody but this function holds is filled again.
            if item is None or Py_REFCNT(item) != 1:
                if self._is_ticker:
                    item = Ticker.__new__(Ticker)
                    target = &(<Ticker>item).c
                else:
                    item = Trade.__new__(Trade)
                    target = &(<Trade>item).c
                argument[1] = <PyObject*>item
            if not self._take_one(target, batch):
                break
            left -= 1
            if self._waits and self._putters:
                self._let_in()
            if self._counters is not None:
                self._counted += 1
                self._counters[self._counter] = self._counted
            if self._to_callback is not None or batch.budget_ns:
                now = now_ns()
                if self._to_callback is not None:
                    self._measure(target, now)
                    self._called_ns = now
                if end == 0:
                    end = now + batch.budget_ns
                elif batch.budget_ns and now >= end:
                    left = 0  # this one still
            result = PyObject_Vectorcall(callback, &argument[1], 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
            if batch.stops and result is not None:
                return result
        return None

    @property
    def reached(self):
        """The position after the last item that `dispatch` with `since` took; 0 before the first."""
        return self._reached

    def count_in(self, counters, name):
        """Keep ``counters[name]`` at the number of items that `drain` and `dispatch` have delivered, natively.

        Raises
        ------
        TypeError
            If `counters` is no dict, or `name` no text.
        """
        if counters is None or name is None:
            raise TypeError(f"counters must be a dict and name a text, were {counters!r} and {name!r}")
        self._counter = name
        self._counters = counters
        counters[name] = self._counted

    def measure(self, to_callback, to_receipt, since_ns=0):
        """Record durations of every item that `drain` and `dispatch` deliver, natively.

        Parameters
        ----------
        to_callback
            A LatencyHistogram for the time from receipt to the call, of items received at `since_ns` or later.
        to_receipt
            A LatencyHistogram for the time from the venue to receipt, where the venue tells its time, the item is no
            snapshot, and it was less than an hour.
        since_ns
            ns since 1970.
        """
        if to_receipt is None:
            raise TypeError("to_receipt must be a LatencyHistogram, was None")
        self._to_receipt = to_receipt
        self._measured_since_ns = since_ns
        self._to_callback = to_callback

    @property
    def calledNs(self):
        """When `drain` or `dispatch` made its last call, ns since 1970; 0 before the first, and without `measure`."""
        return self._called_ns

    @property
    def position(self):
        """How many items have left the ring, taken or given way: the position of the oldest one that is there."""
        return self._position()

    def mark(self):
        """The position of the next item to come. With ``conflate``, no later item replaces one before the mark."""
        return self._ring.mark()

    @classmethod
    def __class_getitem__(cls, kind):
        """`Ring[Ticker]` in annotations."""
        return GenericAlias(cls, kind)

    def close(self):
        """Take nothing more: waiting tasks get RingClosed as soon as the ring is empty. May be called again."""
        self._ring.close()
        if self._sleeping.take():
            self._wake()
        self._let_in()

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

    @cython.binding(False)
    def qsize(self):
        """How many items there are."""
        return self._size()

    @cython.binding(False)
    def empty(self):
        """Whether there is no item."""
        return self._size() == 0

    @cython.binding(False)
    def full(self):
        """Whether no further item fits."""
        return self._ring.size() == self._ring.capacity()

    @property
    def stats(self):
        """Counters: items pushed (taken in), popped, dropped (refused or given way), conflated, high_water, capacity.

        Of what was taken in, ``pushed == popped + conflated + gave way + qsize()``; what ``drop_newest``, ``halt``, a
        native ``block`` or a closed ring refused was never pushed, and is dropped.
        """
        return {
            "pushed": self._ring.pushed(), "popped": self._ring.popped() - (self._claim_end - self._claim_begin),
            "dropped": self._ring.dropped(), "conflated": self._ring.conflated(),
            "high_water": self._ring.highWater(), "capacity": self._ring.capacity(),
        }

    def __repr__(self):
        many = ", producers='many'" if self.producers == "many" else ""
        return (
            f"Ring({self.kind.__name__}, capacity={self._ring.capacity()}, overflow={self.overflow!r}{many}, "
            f"size={self._size()}{', closed' if self._ring.closed() else ''})"
        )


@cython.final
@cython.no_gc_clear
cdef class RingView:
    """The oldest items of a ring in their places; see `Ring.view`.

    Attributes
    ----------
    zero_copy : bool
        False: the items were taken by a copy, and the array is its own.

    Notes
    -----
    Lifetime: the items are the ring's until `release` (or the end of the ``with`` block); the memory lives as long as
    any array over it. An array that is kept beyond that reads whatever the ring holds there by then, possibly a mixture
    of two items: copy what shall last. Thread safety: the consumer's thread alone.
    """

    def __cinit__(self, Ring ring not None, limit):
        cdef size_t wanted = checked_limit(limit)
        ring._check_free()
        self._ring = ring
        # What dispatch has claimed and not delivered comes first, and stands in the ring no more.
        self.zero_copy = (
            ring._ring.views() and ring.overflow != "drop_oldest" and ring._claim_begin == ring._claim_end
        )
        if self.zero_copy:
            self._bytes = ring._ring.peek(&self._first, wanted) * sizeof(TickerStruct)
            self._held = ring._viewed = True
            ring._note_consumer()
        else:
            self._copy = ring.get_array(limit)
            self._bytes = self._copy.nbytes

    def __dealloc__(self):
        if self._held:
            self._ring._viewed = False  # dropped unread: the items stay

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self._copy is not None or not self._held:
            raise BufferError("the view has no places in the ring")
        PyBuffer_FillInfo(buffer, self, <void*>self._first, self._bytes, 1, flags)

    @property
    def array(self):
        """The items, of `TICKER_DTYPE` or `TRADE_DTYPE`, read-only.

        Raises
        ------
        ValueError
            If the view was released.
        """
        if self._copy is not None:
            return self._copy
        if not self._held:
            raise ValueError("the view was released")
        dtype = TICKER_DTYPE if self._ring._is_ticker else TRADE_DTYPE
        return np.frombuffer(self, dtype) if self._bytes else np.empty(0, dtype)

    def __len__(self):
        return self._bytes // <Py_ssize_t>sizeof(TickerStruct)

    @property
    def released(self):
        """Whether the items have left the ring."""
        return not self._held

    def release(self):
        """Take the items: their places are free again. May be called again."""
        if self._held:
            self._held = False
            self._ring._viewed = False
            self._ring._ring.retire(self._bytes // sizeof(TickerStruct))
            if self._ring._putters:
                self._ring._let_in()

    def __enter__(self):
        return self.array

    def __exit__(self, kind, error, traceback):
        self.release()
