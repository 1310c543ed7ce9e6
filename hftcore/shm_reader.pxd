"""The reader of shared-memory segments."""

from libc.stdint cimport int64_t, uint64_t

from hftcore.shm_cursor cimport SegmentCursor
from hftcore.shm_segment cimport Record, Watcher


cdef class ShmReader(SegmentCursor):
    cdef readonly str wait_strategy
    cdef int64_t _spin_ns
    cdef object _pipe
    cdef object _waiter

    cdef bint _wait_native(self, int64_t limit_ns) noexcept nogil
