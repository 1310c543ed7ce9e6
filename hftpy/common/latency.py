"""Latency histograms: fixed memory, about 3% resolution, mergeable between processes."""

from collections.abc import Iterable

_SUB_BITS = 5  # 32 steps per power of two
_STEPS = 1 << _SUB_BITS


class LatencyHistogram:
    """Counts durations in logarithmic buckets (HdrHistogram's scheme: 32 steps per power of two).

    Negative durations (clocks of two machines) are counted apart and enter no percentile.
    """

    __slots__ = ("_counts", "count", "max_ns", "negative")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.max_ns = 0
        self.negative = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration in ns."""
        if duration_ns < 0:
            self.negative += 1
            return
        shift = max(duration_ns.bit_length() - _SUB_BITS - 1, 0)
        bucket = (shift << (_SUB_BITS + 1)) + (duration_ns >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.max_ns = max(self.max_ns, duration_ns)

    def percentile(self, percent: float) -> int:
        """The duration in ns that `percent` of all do not exceed (upper edge of its bucket); 0 if there are none."""
        if not self.count:
            return 0
        wanted = max(1, -(-self.count * percent // 100))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                shift = bucket >> (_SUB_BITS + 1)
                low = bucket & ((_STEPS << 1) - 1)
                return min(((low + 1) << shift) - 1, self.max_ns)
        return self.max_ns

    def to_dict(self) -> dict[str, object]:
        """For `merge` in another process: JSON types alone."""
        return {
            "counts": [[bucket, count] for bucket, count in self._counts.items()],
            "max_ns": self.max_ns,
            "negative": self.negative,
        }

    def merge(self, other: dict[str, object]) -> None:
        """Add what another histogram's `to_dict` gave."""
        counts = other["counts"]
        assert isinstance(counts, Iterable)
        for bucket, count in counts:
            self._counts[bucket] = self._counts.get(bucket, 0) + count
            self.count += count
        self.max_ns = max(self.max_ns, int(str(other["max_ns"])))
        self.negative += int(str(other["negative"]))
