"""The native face of the histograms: hot paths record without the GIL."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "hftcore/clock.hpp" namespace "hft" nogil:
    # CLOCK_REALTIME, ns since 1970
    int64_t now_ns() noexcept


cdef extern from "hftcore/latency_histogram.hpp" namespace "hft" nogil:
    cdef cppclass Histogram "hft::LatencyHistogram":
        Histogram() except +
        void record(int64_t duration_ns) noexcept
        void add(size_t bucket, uint64_t count) noexcept
        void add_negative(uint64_t count) noexcept
        void raise_max(uint64_t duration) noexcept
        uint64_t count_of(size_t bucket) noexcept
        uint64_t negative() noexcept
        uint64_t max() noexcept
        uint64_t total() noexcept
        uint64_t reached(uint64_t wanted) noexcept


cdef class LatencyHistogram:
    cdef Histogram* histogram

    cdef inline void record_c(self, int64_t duration_ns) noexcept nogil:
        self.histogram.record(duration_ns)
