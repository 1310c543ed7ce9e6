"""The ring's native face: compiled code pushes structs and notifies once per batch, or drains structs by a C function.

A supported API for extensions outside this tree; the thread rules are those of hftcore.ring.
"""

from libc.stdint cimport int64_t, uint64_t

from hftcore.latency cimport LatencyHistogram
from hftcore.ring_base cimport Offer, Overflow, RingBase, RoomGate
from hftcore.types cimport TickerStruct, TradeStruct

# What drain_tickers_c and drain_trades_c call for each item, oldest first, without the GIL. The struct is a copy that
# is valid during the call; `context` is the caller's own.
ctypedef void (*ticker_handler)(void* context, const TickerStruct* item) noexcept nogil
ctypedef void (*trade_handler)(void* context, const TradeStruct* item) noexcept nogil


cdef extern from "hftcore/any_ring.hpp" namespace "hft" nogil:
    cdef cppclass RingSlot "hft::RingSlot":
        pass

    const uint64_t NO_LIMIT

    cdef cppclass AnyRing "hft::AnyRing":
        AnyRing(size_t capacity, Overflow overflow, bint many) except +
        Offer offer(const void* item) noexcept
        Offer push_within(const void* item, int64_t timeout_ns) noexcept
        Offer refuse() noexcept
        size_t pop(void* items, size_t limit, uint64_t until) noexcept
        size_t pop(void* items, size_t limit, uint64_t until, uint64_t* first) noexcept
        size_t pop_locked(void* items, size_t limit, uint64_t until) noexcept
        bint views() noexcept
        size_t peek(const void** first, size_t limit) noexcept
        void retire(size_t n) noexcept
        RoomGate* gate() noexcept
        void note_consumer() noexcept
        bint is_consumer() noexcept
        bint has_consumer() noexcept
        bint ready() noexcept
        size_t size() noexcept
        size_t capacity() noexcept
        uint64_t position() noexcept
        uint64_t mark() noexcept
        uint64_t pushed() noexcept
        uint64_t popped() noexcept
        uint64_t dropped() noexcept
        uint64_t conflated() noexcept
        uint64_t highWater() noexcept
        bint halted() noexcept
        void reset() noexcept
        bint closed() noexcept
        void close() noexcept


# One call of drain or dispatch: which items, when to stop, and how many it took.
cdef struct Batch:
    size_t limit
    uint64_t until
    bint consecutive
    uint64_t since
    int64_t budget_ns
    bint stops
    Py_ssize_t done


cdef class Ring(RingBase):
    cdef AnyRing* _ring
    # what it was made as
    cdef readonly type kind
    cdef readonly str producers
    cdef bint _is_ticker
    cdef int64_t _block_ns
    # a view holds items in their places
    cdef bint _viewed
    # where drain and dispatch record durations; None: nowhere
    cdef LatencyHistogram _to_callback
    cdef LatencyHistogram _to_receipt
    cdef int64_t _measured_since_ns
    cdef int64_t _called_ns
    # where they count, under which name, and how many
    cdef dict _counters
    cdef str _counter
    cdef uint64_t _counted
    cdef uint64_t _reached
    # drop_oldest of one producer that has held the GIL at every push: who takes under the GIL has no rival
    cdef bint _gil_is_lock
    # what dispatch has claimed and not yet delivered: [begin, end) of it, the oldest at position _claimed
    cdef RingSlot* _claim
    cdef size_t _claim_begin
    cdef size_t _claim_end
    cdef uint64_t _claimed

    # Producer threads; the first push may take the GIL for a moment. Copies the struct; False if it was refused (or,
    # with block, found no room for as long as `block_timeout`), which is counted as dropped. The ring's kind must fit
    # (debug builds do not check).
    cdef bint push_ticker(self, const TickerStruct* item) noexcept nogil
    cdef bint push_trade(self, const TradeStruct* item) noexcept nogil
    # Producer threads, once after a batch of pushes: wakes the consumer if it sleeps (takes the GIL only then).
    cdef void notify(self) noexcept nogil

    # Consumer thread. Calls `handler` for what is there now, at most `limit` items; returns how many. The ring's kind
    # must fit: 0 if it does not. Wake-ups for the consumer are those of Python: `await wait()`, then drain.
    cdef Py_ssize_t drain_tickers_c(self, ticker_handler handler, void* context, Py_ssize_t limit) noexcept nogil
    cdef Py_ssize_t drain_trades_c(self, trade_handler handler, void* context, Py_ssize_t limit) noexcept nogil
    # Consumer thread: `drain` of Python, `limit` above 0.
    cdef Py_ssize_t drain_c(self, object callback, Py_ssize_t limit) except -1

    cdef size_t _take(self, void* items, size_t limit, uint64_t until) noexcept nogil
    cdef size_t _size(self) noexcept nogil
    cdef uint64_t _position(self) noexcept nogil
    cdef size_t _take_next(self, void* items, size_t limit, Batch* batch) noexcept nogil
    cdef bint _take_one(self, void* item, Batch* batch) noexcept nogil
    cdef void _push_without_gil(self) noexcept nogil
    cdef bint _push_waiting(self, const void* item) noexcept nogil
    cdef bint _push_waiting_with_gil(self, const void* item) except -1
    cdef void _let_in_from_outside(self) noexcept nogil
    cdef object _deliver(self, object callback, Batch* batch)
    cdef void _measure(self, const void* item, int64_t now) noexcept nogil
    cdef const void* _struct_of(self, object item) except NULL
    cdef int _check_free(self) except -1


cdef class RingView:
    cdef Ring _ring
    cdef object _copy
    cdef const void* _first
    cdef Py_ssize_t _bytes
    cdef bint _held
    cdef readonly bint zero_copy
