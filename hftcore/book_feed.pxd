"""The book feed's C face: a native listener hands it frames in place."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from hftcore.book cimport OrderBook
from hftcore.book_parse cimport BookOutcome, BookParser, FrameSync, KeptBook
from hftcore.feed_base cimport FeedBase


cdef class Entry:
    # one symbol's book and what drives it
    cdef object pair
    cdef OrderBook book
    cdef KeptBook* kept  # the book's, too


cdef class Outlet:
    # one sink: whatever has put_nowait
    cdef object put
    cdef object failed


cdef class BookFeed(FeedBase):
    cdef BookParser parser
    cdef readonly size_t levels
    cdef bint _outside
    cdef list _entries
    cdef vector[uint32_t] _places  # by symbol number: place in `_entries` from 1, 0 for none
    cdef FrameSync _frame_sync
    cdef dict _natives
    cdef tuple _outlets
    # counters since the last take_counts(), beside those of every feed
    cdef uint64_t _waiting
    cdef uint64_t _held
    cdef public object on_ask

    cdef int _read(self, const char* data, size_t size, bint last) except -1
    cdef int _lost_frames(self) except -1
    cdef int _fall(self, list entries, const char* why, object lost) except -1
    cdef int _take(self, size_t index) except -1
    cdef int _follow(self, KeptBook* kept, BookOutcome outcome, bint snapshot) except -1
    cdef int _tell_gap(self, Entry entry) except -1
    cdef int _ask(self, Entry entry) except -1
    cdef int _deliver(self, KeptBook* kept, bint snapshot) except -1
    cdef int _put_failed(self, Outlet outlet) except -1
    cdef Entry _entry(self, pair)
    cdef Entry _find(self, int32_t symbol)
    cdef int _expect(self, Entry entry) except -1
