"""The ring of Python objects."""

from libc.stdint cimport int64_t, uint64_t

from hftcore.ring_base cimport Overflow, RingBase


cdef class ObjectRing(RingBase):
    # items in their places; with conflate in an OrderedDict by key instead, and the lock that its users hold
    cdef list _slots
    cdef object _latest
    cdef object _lock
    cdef bint _locked
    cdef object _key
    cdef Overflow _policy
    cdef uint64_t _epoch
    # counts since the ring was made; _tail - _head items are there
    cdef size_t _capacity
    cdef uint64_t _head
    cdef uint64_t _tail
    cdef uint64_t _popped
    cdef uint64_t _dropped
    cdef uint64_t _conflated
    cdef uint64_t _high_water
    cdef bint _closed_flag
    cdef bint _halted_flag
    cdef unsigned long _consumer_thread

    cdef size_t _size(self) noexcept
    cdef int _offer_latest(self, object item) except -1
    cdef object _pop_latest(self)
    cdef int _taken(self) except -1
    cdef object _deliver(
        self, object callback, size_t limit, uint64_t until, int64_t budget_ns, bint stops, Py_ssize_t* done
    )
    # Consumer thread: `drain` of Python, `limit` above 0.
    cdef Py_ssize_t drain_c(self, object callback, Py_ssize_t limit) except -1
