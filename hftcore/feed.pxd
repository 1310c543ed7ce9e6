"""The feed's C face: a native listener hands it frames in place."""

from libc.stdint cimport int32_t, uint64_t

from hftcore.feed_base cimport FeedBase
from hftcore.parse cimport Parser
from hftcore.ring cimport Ring
from hftcore.types cimport TickerStruct, TradeStruct


cdef class Outlet:
    # one sink: a ring of the feed's kind, or whatever has put_nowait
    cdef Ring ring
    cdef bint halts
    cdef object put
    cdef object failed


cdef class Drain:
    # a ring that is emptied into a callback in the socket's own call
    cdef Ring ring
    cdef object callback


cdef class Feed(FeedBase):
    cdef Parser parser
    cdef bint _is_ticker
    cdef bint _newest_first
    # sinks, and who drains a ring in the socket's own call
    cdef tuple _outlets
    cdef Outlet _sole  # the only sink, if that is a ring: mostly there is one
    cdef tuple _drains
    # events since consumers were last served, and at how many they are served
    cdef size_t _pending
    cdef size_t _pump_every

    cdef int _read(self, const char* data, size_t size, bint last) except -1
    cdef int _tickers(self, size_t count) except -1
    cdef int _trades(self, size_t count) except -1
    cdef bint _follow(self, uint64_t number) except -1
    cdef int _pass_over(self) except -1
    cdef int _tell_gap(self, int32_t symbol, int verdict, uint64_t lost) except -1
    cdef int _put(self, const void* event) except -1
    cdef int _spread(self, const void* event) except -1
    cdef int _refused(self, Outlet outlet) except -1
    cdef int _pump(self) except -1
    cdef int _drain(self, Ring ring, object callback) except -1
