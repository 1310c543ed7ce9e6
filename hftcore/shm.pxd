"""The native face of a shared-memory writer: compiled code publishes structs, and notifies once per batch."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from hftcore.shm_segment cimport Segment, Writer
from hftcore.types cimport TickerStruct, TradeStruct


cdef class ShmWriter:
    cdef Segment* _segment
    cdef Writer* _writer
    cdef vector[int32_t] _numbers  # of a symbol of this process: its entry in the segment, -1 if none
    cdef readonly type kind
    cdef readonly str path
    cdef bint _is_ticker
    cdef uint32_t _exchange
    cdef public object on_sleepers
    cdef object __weakref__

    cdef void _release(self) noexcept
    # One thread at a time, and never a wake-up. 0: the symbol is not in the segment yet (add_symbol, which needs the
    # GIL), or the writer is closed. The kind and the exchange must fit (not checked).
    cdef uint64_t publish_ticker(self, const TickerStruct* item) noexcept nogil
    cdef uint64_t publish_trade(self, const TradeStruct* item) noexcept nogil
    # Wakes the readers that sleep; after a batch. One system call if there are any.
    cdef void wake(self) noexcept nogil
    # As publish_…; then `on_sleepers` is called if a reader sleeps. With the GIL.
    cdef int64_t send_ticker_c(self, const TickerStruct* item) except -1
    cdef int64_t send_trade_c(self, const TradeStruct* item) except -1
    cdef int32_t _number(self, int32_t symbol) except -1
