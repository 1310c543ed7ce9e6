"""The reader of shared-memory segments, and what it shares with the writer."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from hftcore.shm_segment cimport Reader, Record, Segment, Trouble, Watcher


cdef object failure(Trouble trouble)
cdef uint32_t kind_number(object kind) except 0
cdef uint64_t checked(str name, object value, uint64_t largest) except 0


cdef class ShmReader:
    cdef Segment* _segment
    cdef Reader* _reader
    cdef Watcher* _watcher
    cdef vector[int32_t] _symbols  # of an entry of the segment: the symbol's number in this process, -1 if it is none
    cdef readonly type kind
    cdef readonly str path
    cdef readonly str wait_strategy
    cdef readonly bint closed
    cdef bint _is_ticker
    cdef bint _ended
    cdef bint _watching
    cdef int64_t _spin_ns
    cdef int64_t _opened_ns
    cdef int64_t _next_check
    cdef uint64_t _epoch
    cdef uint64_t _device
    cdef uint64_t _inode
    cdef object _wanted
    cdef object _on_notice
    cdef list _notices
    cdef list _last_values
    cdef object _pipe
    cdef object _waiter
    # over all segments that were read
    cdef uint64_t _taken_before
    cdef uint64_t _lost_before
    cdef readonly uint64_t malformed
    cdef readonly uint64_t restarts
    cdef uint64_t _lost_wanted
    cdef uint64_t _delivered
    cdef object __weakref__

    cdef int _next(self, Record* record) except -1
    cdef bint _resolve(self, Record* record) noexcept
    cdef object _item(self, Record* record)
    cdef object _take(self)
    cdef int _tell(self) except -1
    cdef int _notice(self, str name, object symbol, object value) except -1
    cdef int _learn(self, bint joining) except -1
    cdef bint _follow(self) except -1
    cdef bint _attach(self, bint first) except -1
    cdef int _event(self, Record* record) except -1
    cdef int _gap(self, uint32_t number, uint64_t lost) except -1
    cdef bint _wait_native(self, int64_t limit_ns) noexcept nogil
    cdef void _release(self)
