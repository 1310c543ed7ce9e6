"""What Ring and ObjectRing share: the sleeping consumer, the waiting producers, the calls of an observer's queue."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "hftcore/wakeup.hpp" namespace "hft" nogil:
    cdef cppclass ArmedFlag "hft::ArmedFlag":
        void arm() noexcept
        void disarm() noexcept
        bint take() noexcept
        bint take_locked() noexcept


cdef extern from "hftcore/room_gate.hpp" namespace "hft" nogil:
    cdef cppclass RoomGate "hft::RoomGate":
        uint64_t enter() noexcept
        bint wait_ns(uint64_t entered, int64_t timeout_ns) noexcept
        void leave() noexcept
        void signal() noexcept


cdef extern from "hftcore/ring_slot.hpp" namespace "hft" nogil:
    enum Overflow "hft::Overflow":
        OVERFLOW_DROP_NEWEST "hft::OVERFLOW_DROP_NEWEST"
        OVERFLOW_DROP_OLDEST "hft::OVERFLOW_DROP_OLDEST"
        OVERFLOW_HALT "hft::OVERFLOW_HALT"
        OVERFLOW_CONFLATE "hft::OVERFLOW_CONFLATE"
        OVERFLOW_BLOCK "hft::OVERFLOW_BLOCK"

    enum Offer "hft::Offer":
        OFFER_FULL "hft::OFFER_FULL"
        OFFER_TAKEN "hft::OFFER_TAKEN"
        OFFER_REFUSED "hft::OFFER_REFUSED"


# What a ring takes from where there is nothing.
cdef object NOTHING

cdef Overflow checked_overflow(object overflow) except *
cdef size_t checked_capacity(object capacity) except 0
cdef size_t checked_limit(object limit) except 0


cdef class RingBase:
    # what it was made as
    cdef readonly str overflow
    cdef bint _waits  # with block and halt, producers may wait for room
    cdef bint _halts
    # the sleeping consumer: its flag, its loop, that loop's thread, and a future per waiting task
    cdef ArmedFlag* _sleeping
    cdef object _loop
    cdef unsigned long _loop_thread
    cdef list _waiters
    # producers that wait for room: threads at the gate (the subclass owns it), tasks as (loop, its thread, future)
    cdef RoomGate* _gate
    cdef list _putters
    cdef object __weakref__

    # Each ring has its own of these.
    cdef object _pop(self)
    cdef int _offer(self, object item) except -1
    cdef bint _is_ready(self) noexcept
    cdef bint _has_room(self) noexcept
    cdef bint _is_closed(self) noexcept
    cdef void _note_consumer(self) noexcept
    cdef bint _would_wait_for_itself(self) noexcept

    cdef bint _wake(self) except -1
    cdef bint _let_in(self) except -1
    cdef object _stop_waiting(self, object waiter)
    cdef object _refused(self)
    cdef object _put_waiting(self, object item, object timeout)
