"""LatencyHistogram against exact percentiles."""

import json
import math
import os
import random
import threading

import pytest

from hftcore.latency import LatencyHistogram

PERCENTS = (0.1, 1, 25, 50, 75, 90, 99, 99.9, 100)


def exact(durations: list[int], percent: float) -> int:
    ordered = sorted(durations)
    return ordered[max(1, math.ceil(round(len(ordered) * percent / 100, 9))) - 1]


def test_empty():
    histogram = LatencyHistogram()
    assert histogram.percentile(50) == 0 and histogram.count == 0 and histogram.max_ns == 0


def test_small_values_are_exact():
    histogram = LatencyHistogram()
    durations = list(range(64)) * 3
    for duration in durations:
        histogram.record(duration)
    for percent in PERCENTS:
        assert histogram.percentile(percent) == exact(durations, percent)


@pytest.mark.parametrize("shape", ["uniform", "lognormal", "powers"])
def test_within_a_thirty_second_of_the_exact(shape):
    seed = int(os.environ.get("HFTPY_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HFTPY_SEED={seed}")
    rng = random.Random(seed)
    draw = {
        "uniform": lambda: rng.randrange(10_000_000),
        "lognormal": lambda: int(rng.lognormvariate(10, 3)),
        "powers": lambda: (1 << rng.randrange(62)) - rng.randrange(2),
    }[shape]
    for size in (1, 2, 7, 1000, 5000):
        durations = [draw() for _ in range(size)]
        histogram = LatencyHistogram()
        for duration in durations:
            histogram.record(duration)
        assert histogram.count == size and histogram.max_ns == max(durations)
        for percent in PERCENTS:
            true = exact(durations, percent)
            assert true <= histogram.percentile(percent) <= true + true // 32 + 1


def test_the_hundredth_is_the_maximum():
    histogram = LatencyHistogram()
    for duration in (5, 1_000_003, 77):
        histogram.record(duration)
    assert histogram.percentile(100) == 1_000_003


def test_negative_durations_are_counted_apart():
    histogram = LatencyHistogram()
    histogram.record(-1)
    histogram.record(10)
    assert (histogram.negative, histogram.count, histogram.percentile(50)) == (1, 1, 10)


def test_merge_through_json_equals_one_histogram():
    rng = random.Random(1)
    parts, whole = [LatencyHistogram(), LatencyHistogram()], LatencyHistogram()
    for number in range(2000):
        duration = rng.randrange(-5, 1 << rng.randrange(1, 40))
        parts[number % 2].record(duration)
        whole.record(duration)
    merged = LatencyHistogram()
    for part in parts:
        merged.merge(json.loads(json.dumps(part.to_dict())))
    assert (merged.count, merged.max_ns, merged.negative) == (whole.count, whole.max_ns, whole.negative)
    assert [merged.percentile(p) for p in PERCENTS] == [whole.percentile(p) for p in PERCENTS]


def test_no_count_is_lost_between_threads():
    histogram = LatencyHistogram()
    threads = [
        threading.Thread(target=lambda: [histogram.record(number) for number in range(-10, 5000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (histogram.count, histogram.negative, histogram.max_ns) == (4 * 5000, 4 * 10, 4999)


def test_the_longest_duration_has_a_bucket():
    histogram = LatencyHistogram()
    histogram.record((1 << 63) - 1)
    assert histogram.percentile(50) == histogram.max_ns == (1 << 63) - 1
    assert histogram.to_dict()["counts"] == [[1887, 1]]


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_a_percentile_is_from_0_to_100(percent):
    with pytest.raises(ValueError, match=r"percent must be from 0 to 100, was"):
        LatencyHistogram().percentile(percent)


@pytest.mark.parametrize("counts", [[[1888, 1]], [[0, 1], [-1, 1]], [[0, 1], [1, -1]], [[0, 1], [1, 1 << 64]]])
def test_a_wrong_bucket_is_refused_and_nothing_is_added(counts):
    histogram = LatencyHistogram()
    with pytest.raises(ValueError, match="a bucket must be from 0 to 1887"):
        histogram.merge({"counts": counts, "max_ns": 5, "negative": 1})
    assert (histogram.count, histogram.max_ns, histogram.negative) == (0, 0, 0)
