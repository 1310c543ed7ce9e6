"""What every feed has: hooks, counters, latencies, and who is called at the end of a batch."""

from libc.stdint cimport int64_t, uint16_t, uint64_t

from hftcore.latency cimport LatencyHistogram
from hftcore.watch cimport SilenceWatch


cdef class FeedBase:
    cdef readonly SilenceWatch watch
    cdef readonly type kind
    cdef tuple _batch_callbacks
    # of the batch that is being read: whether there is one, and when it was received
    cdef bint _in_batch
    cdef bint _busy
    cdef bint _delivered
    cdef int64_t _localTimeNs
    cdef bint _replays  # the time of receipt is a recorded one
    cdef int64_t _replayTimeNs
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
    # The end of a batch. Cheap where there is no batch.
    cdef int flush_c(self) except -1
    cdef int _fall_back(self, const char* data, size_t size) except -1
    cdef int _call_handled(self) except -1
    cdef int _call_gap(self, object pair, str reason, object lost) except -1
    cdef int _end_batch(self) except -1
    cdef int _failed(self, object error) except -1


cdef object failed_or_nobody(object failed)
