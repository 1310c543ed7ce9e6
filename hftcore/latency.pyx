"""Latency histograms: durations in logarithmic buckets, recorded natively, mergeable between processes.

A histogram owns its 15 KiB. Any thread may record and read at any time, native code without the GIL.

Source of the algorithm: see hftcore/latency_histogram.hpp.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    BUCKETS = 1888


@cython.final
cdef class LatencyHistogram:
    """Counts durations in ns, to about 3%: 32 buckets per power of two (HdrHistogram's scheme), exact below 64 ns.

    Negative durations (clocks of two machines) are counted apart and enter no percentile.
    """

    def __cinit__(self):
        self.histogram = new Histogram()

    def __dealloc__(self):
        del self.histogram

    def record(self, int64_t duration_ns):
        """Count one duration.

        Raises
        ------
        OverflowError
            If it is no number of 64 bits.
        """
        self.histogram.record(duration_ns)

    @property
    def count(self):
        """How many durations were counted, negative ones not."""
        return self.histogram.total()

    @property
    def max_ns(self):
        """The longest duration; 0 if there is none."""
        return self.histogram.max()

    @property
    def negative(self):
        """How many durations were below 0."""
        return self.histogram.negative()

    def percentile(self, double percent):
        """The duration in ns that `percent` of all do not exceed (upper edge of its bucket); 0 if there are none.

        Raises
        ------
        ValueError
            If `percent` is not from 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be from 0 to 100, was {percent!r}")
        total = self.histogram.total()
        if not total:
            return 0
        # In Python's arithmetic: the product may exceed 64 bits.
        wanted = max(1, int(-(-total * percent // 100)))
        return self.histogram.reached(min(wanted, total))

    def to_dict(self):
        """For `merge` in another process: JSON types alone."""
        cdef size_t bucket
        return {
            "counts": [
                [bucket, self.histogram.count_of(bucket)]
                for bucket in range(BUCKETS)
                if self.histogram.count_of(bucket)
            ],
            "max_ns": self.histogram.max(),
            "negative": self.histogram.negative(),
        }

    def merge(self, dict other not None):
        """Add what another histogram's `to_dict` gave.

        Raises
        ------
        KeyError, TypeError, OverflowError
            If it is nothing that `to_dict` gives.
        ValueError
            If a bucket's number is none, or a count has more than 64 bits.

        Nothing is added then.
        """
        cdef uint64_t most = other["max_ns"]
        cdef uint64_t negative = other["negative"]
        cdef list counts = [(int(bucket), int(count)) for bucket, count in other["counts"]]
        for bucket, count in counts:
            if not 0 <= bucket < BUCKETS or count < 0 or count >> 64:
                raise ValueError(
                    f"a bucket must be from 0 to {BUCKETS - 1} and its count of 64 bits and positive, was {[bucket, count]}"
                )
        for bucket, count in counts:
            self.histogram.add(bucket, count)
        self.histogram.add_negative(negative)
        self.histogram.raise_max(most)

    def __repr__(self):
        return f"LatencyHistogram(count={self.count}, p50={self.percentile(50)}, p99={self.percentile(99)}, max={self.max_ns})"
