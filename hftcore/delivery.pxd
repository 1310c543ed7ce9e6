"""What compiled readers give their items to."""

from libcpp.vector cimport vector

from hftcore.types cimport TickerStruct, TradeStruct


cdef class Delivery:
    cdef readonly object kind
    cdef bint _is_ticker
    cdef bint stopped
    # observers: Rings of the kind, whatever else, and who they belong to
    cdef list _rings
    cdef list _ring_owners
    cdef list _puts
    # how many items each of these has refused since that was last told; those of queues that are bound no more
    cdef vector[Py_ssize_t] _ring_refusals
    cdef vector[Py_ssize_t] _put_refusals
    cdef list _left
    cdef Py_ssize_t _pending
    cdef Py_ssize_t _tell_at
    cdef Py_ssize_t _tell_every
    cdef object _on_failed
    cdef readonly Py_ssize_t given

    # Items of the kind, one thread; `notify` after the last of a batch.
    cdef int give_ticker(self, const TickerStruct* item) except -1
    cdef int give_trade(self, const TradeStruct* item) except -1
    cdef int give(self, object value) except -1
    cdef int notify(self) except -1
    cdef int _put(self, object value) except -1
    cdef list _take(self)
    cdef bint has_refused(self) noexcept
