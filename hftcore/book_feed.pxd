"""The book feed's C face: a native listener hands it frames in place."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from hftcore.book cimport OrderBook
from hftcore.book_parse cimport BookKeeper, BookOutcome, BookParser, FrameSync
from hftcore.latency cimport LatencyHistogram
from hftcore.watch cimport SilenceWatch


cdef class Entry:
    # one symbol's book and what drives it
    cdef object pair
    cdef OrderBook book
    cdef BookKeeper* keeper


cdef class Outlet:
    # one sink: whatever has put_nowait
    cdef object put
    cdef object failed


cdef class BookFeed:
    cdef BookParser parser
    cdef readonly SilenceWatch watch
    cdef readonly object kind
    cdef readonly size_t levels
    cdef bint _outside
    cdef list _entries
    cdef vector[uint32_t] _places  # by symbol number: place in `_entries` from 1, 0 for none
    cdef FrameSync _frame_sync
    cdef dict _natives
    cdef tuple _outlets
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
    cdef uint64_t _waiting
    cdef uint64_t _held
    # hooks
    cdef public object on_frame
    cdef public object on_gap
    cdef public object on_ask
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
    cdef int _read(self, const char* data, size_t size, bint last) except -1
    cdef int _fall_back(self, const char* data, size_t size) except -1
    cdef int _lost_frames(self) except -1
    cdef int _take(self, size_t index) except -1
    cdef int _follow(self, Entry entry, BookOutcome outcome, bint snapshot) except -1
    cdef int _tell_gap(self, Entry entry) except -1
    cdef int _ask(self, Entry entry) except -1
    cdef int _deliver(self, Entry entry, bint snapshot) except -1
    cdef Entry _entry(self, pair)
    cdef Entry _find(self, int32_t symbol)
    cdef int _failed(self, object error) except -1
