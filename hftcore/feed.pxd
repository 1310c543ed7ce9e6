"""The feed's C face: a native listener hands it frames in place."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t

from hftcore.latency cimport LatencyHistogram
from hftcore.parse cimport Parser
from hftcore.ring cimport Ring
from hftcore.types cimport TickerStruct, TradeStruct
from hftcore.watch cimport SilenceWatch


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


cdef class Feed:
    cdef Parser parser
    cdef readonly SilenceWatch watch
    cdef readonly type kind
    cdef bint _is_ticker
    cdef bint _newest_first
    # sinks, and who drains a ring in the socket's own call
    cdef tuple _outlets
    cdef Outlet _sole  # the only sink, if that is a ring: mostly there is one
    cdef tuple _drains
    cdef tuple _batch_callbacks
    # of the batch that is being read: whether there is one, and when it was received
    cdef bint _in_batch
    cdef bint _busy
    cdef bint _delivered
    cdef int64_t _localTimeNs
    cdef bint _replays  # the time of receipt is a recorded one
    cdef int64_t _replayTimeNs
    # events since consumers were last served, and at how many they are served
    cdef size_t _pending
    cdef size_t _pump_every
    cdef uint16_t _flags
    # counters since the last take_counts()
    cdef uint64_t _frames
    cdef uint64_t _events
    cdef uint64_t _duplicates
    cdef uint64_t _outdated
    cdef uint64_t _unwanted
    # hooks
    cdef public object on_frame
    cdef public object on_gap
    cdef public object on_handled
    cdef public object on_error
    # something may have been missed since the last gap
    cdef public bint exposed
    cdef readonly LatencyHistogram venue_to_socket
    cdef readonly LatencyHistogram socket_to_parse
    cdef readonly LatencyHistogram parse_to_ring

    # Event loop's thread, with the GIL. The bytes need no padding and are the caller's again afterwards.
    cdef int feed_c(self, const char* data, size_t size, bint last) except -1
    # The end of a batch: drains, then wakes the consumers that sleep. Cheap where there is no batch.
    cdef int flush_c(self) except -1
    cdef int _read(self, const char* data, size_t size, bint last) except -1
    cdef int _fall_back(self, const char* data, size_t size) except -1
    cdef int _tickers(self, size_t count) except -1
    cdef int _trades(self, size_t count) except -1
    cdef bint _follow(self, uint64_t number) except -1
    cdef int _pass_over(self) except -1
    cdef int _tell_gap(self, int32_t symbol, int verdict, uint64_t lost) except -1
    cdef int _put(self, const void* event) except -1
    cdef int _spread(self, const void* event) except -1
    cdef int _refused(self, Outlet outlet) except -1
    cdef int _pump(self) except -1
    cdef int _failed(self, object error) except -1
    cdef int _drain(self, Ring ring, object callback) except -1
