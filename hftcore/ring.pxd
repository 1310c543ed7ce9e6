"""The ring's native face: a listener in compiled code pushes structs, and notifies once per batch."""

from hftcore.types cimport TickerStruct, TradeStruct


cdef extern from "hftcore/spsc_ring.hpp" namespace "hft" nogil:
    enum Overflow "hft::Overflow":
        OVERFLOW_DROP_NEWEST "hft::OVERFLOW_DROP_NEWEST"
        OVERFLOW_DROP_OLDEST "hft::OVERFLOW_DROP_OLDEST"
        OVERFLOW_HALT "hft::OVERFLOW_HALT"

    cdef cppclass SpscRing "hft::SpscRing":
        SpscRing(size_t capacity, Overflow overflow) except +
        bint push(const void* item) noexcept
        size_t pop(void* items, size_t limit) noexcept
        size_t size() noexcept
        size_t capacity() noexcept
        size_t pushed() noexcept
        size_t popped() noexcept
        size_t dropped() noexcept
        size_t highWater() noexcept
        bint halted() noexcept
        void reset() noexcept
        bint closed() noexcept
        void close() noexcept


cdef extern from "hftcore/wakeup.hpp" namespace "hft" nogil:
    cdef cppclass ArmedFlag "hft::ArmedFlag":
        void arm() noexcept
        void disarm() noexcept
        bint take() noexcept
        bint take_locked() noexcept


cdef class Ring:
    # the ring, and whether its consumer sleeps
    cdef SpscRing* _ring
    cdef ArmedFlag* _sleeping
    # what it was made as
    cdef readonly type kind
    cdef readonly str overflow
    cdef bint _is_ticker
    cdef bint _halts
    # the sleeping consumer: its loop, that loop's thread, and a future per waiting task
    cdef object _loop
    cdef unsigned long _loop_thread
    cdef list _waiters
    cdef object __weakref__

    # Producer thread. Copies the struct; False if it was refused. The ring's kind must fit (debug builds do not check).
    cdef bint push_ticker(self, const TickerStruct* item) noexcept nogil
    cdef bint push_trade(self, const TradeStruct* item) noexcept nogil
    # Producer thread, once after a batch of pushes: wakes the consumer if it sleeps (takes the GIL only then).
    cdef void notify(self) noexcept nogil

    cdef bint _wake(self) except -1
    cdef object _pop(self)
    cdef object _stop_waiting(self, object waiter)
