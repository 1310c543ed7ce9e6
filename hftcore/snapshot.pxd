"""A copy of the top of an order book."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t


cdef extern from "hftcore/snapshot_block.hpp" namespace "hft" nogil:
    cdef cppclass SnapshotBlock:
        SnapshotBlock() noexcept
        double* take(size_t bytes) noexcept


cdef enum:
    MAX_SNAPSHOT_LEVELS = 256


cdef class Snapshot:
    cdef int64_t _exchange_time_ns
    cdef int64_t _local_time_ns
    cdef uint64_t _seq
    cdef int32_t _symbol
    cdef uint16_t _flags
    cdef uint16_t _ask_count
    cdef uint16_t _bid_count
    cdef uint8_t _exchange
    # Best first: the asks' prices, their volumes, the bids' prices, their volumes. NULL if there are none.
    cdef double* _levels
    # Where they are if there is at most one of each side, and where else.
    cdef double _few[4]
    cdef SnapshotBlock _block
    cdef tuple _key(self)


# A snapshot with room for so many levels, at most MAX_SNAPSHOT_LEVELS, whose places are to be written at once.
cdef Snapshot new_snapshot(size_t asks, size_t bids)
