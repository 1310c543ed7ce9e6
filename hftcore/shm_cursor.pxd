"""Where a reader of shared memory stands, and what it shares with the writer."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from hftcore.shm_segment cimport STEP_ITEM, Reader, Record, Segment, Step, Trouble, Watcher
from hftcore.types cimport TickerStruct, TradeStruct


cdef object failure(Trouble trouble)
cdef uint32_t kind_number(object kind) except 0
cdef uint64_t checked(str name, object value, uint64_t largest) except 0


cdef enum:
    NOTHING = 0
    ITEM = 1
    NOTICE = 2
    AGAIN = 3


cdef class SegmentCursor:
    cdef Segment* _segment
    cdef Reader* _reader
    cdef Watcher* _watcher
    cdef vector[int32_t] _symbols  # of an entry of the segment: the symbol's number in this process, -1 if it is none
    cdef readonly type kind
    cdef readonly str path
    cdef readonly bint closed
    cdef bint _is_ticker
    cdef bint _ended
    cdef int64_t _opened_ns
    cdef int64_t _next_check
    cdef uint64_t _epoch
    cdef uint64_t _device
    cdef uint64_t _inode
    cdef object _wanted
    cdef object _on_notice
    cdef list _notices
    cdef list _last_values
    # over all segments that were read
    cdef uint64_t _taken_before
    cdef uint64_t _lost_before
    cdef readonly uint64_t malformed
    cdef readonly uint64_t restarts
    cdef uint64_t _lost_wanted
    cdef uint64_t _delivered
    cdef object __weakref__

    cdef int _next(self, Record* record) except -1
    cdef int _judge(self, Record* record, Step step) except -1
    cdef object _item(self, Record* record)
    cdef object _take(self)
    cdef int _tell(self) except -1
    cdef int _notice(self, str name, object symbol, object value) except -1
    cdef int _learn(self, bint joining) except -1
    cdef bint _follow(self) except -1
    cdef bint _attach(self, bint first) except -1
    cdef int _event(self, Record* record) except -1
    cdef int _gap(self, uint32_t number, uint64_t lost) except -1
    cdef void _release(self)


cdef inline int next_record(SegmentCursor cursor, Record* record) except -1:
    """As `_next`; what mostly comes, an item, without a call."""
    cdef Step step
    cdef int found
    if cursor._notices or cursor._segment is NULL or cursor._ended:
        return cursor._next(record)
    step = cursor._reader.next(record)
    if step == STEP_ITEM:
        return ITEM
    found = cursor._judge(record, step)
    return cursor._next(record) if found == AGAIN else found


cdef inline bint resolve(SegmentCursor cursor, Record* record) noexcept:
    """The item's symbol becomes one of this process; False if it cannot be an item."""
    cdef TickerStruct* ticker = <TickerStruct*>record.item
    cdef TradeStruct* trade = <TradeStruct*>record.item
    cdef int32_t symbol = cursor._symbols[record.symbol]
    if symbol < 0 or ticker.exchange != cursor._segment.view().header.exchange:
        cursor.malformed += 1
        return False
    if cursor._is_ticker:
        ticker.symbol = symbol
    elif trade.side > 2:
        cursor.malformed += 1
        return False
    else:
        trade.symbol = symbol
    cursor._delivered += 1
    return True
