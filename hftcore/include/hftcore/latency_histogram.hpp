// A histogram of durations in logarithmic buckets: 32 steps per power of two, exact below 64 ns, fixed memory.
//
// A duration d with `shift` bits more than six falls into bucket shift * 32 + (d >> shift); its upper edge is at most
// one part in 32 above d. Any thread may record and any may read at the same time: every count is one relaxed
// increment, so that none is lost; a reader beside writers sees each count of some recent moment.
//
// Source of the scheme: HdrHistogram (G. Tene), with two significant digits less.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hft {

class LatencyHistogram {
public:
    static constexpr int SUB_BITS = 5;
    static constexpr std::uint64_t STEPS = std::uint64_t{1} << SUB_BITS;
    static constexpr std::size_t BUCKETS = (63 - SUB_BITS - 1) * STEPS + 2 * STEPS;  // any duration of 63 bits

    // hot path: begin
    void record(std::int64_t duration_ns) noexcept {
        if (__builtin_expect(duration_ns < 0, 0)) {
            negative_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a counter alone, it publishes nothing
            return;
        }
        const auto duration = static_cast<std::uint64_t>(duration_ns);
        counts_[bucket_of(duration)].fetch_add(1, std::memory_order_relaxed);  // relaxed: as above
        // relaxed: the maximum orders nothing; who loses the exchange looks again
        std::uint64_t most = max_.load(std::memory_order_relaxed);
        while (__builtin_expect(duration > most, 0) &&
               !max_.compare_exchange_weak(most, duration, std::memory_order_relaxed)) {
        }
    }

    static std::size_t bucket_of(std::uint64_t duration) noexcept {
        const int extra = 63 - SUB_BITS - __builtin_clzll(duration | 1);
        const int shift = extra > 0 ? extra : 0;
        return static_cast<std::size_t>(shift) * STEPS + (duration >> shift);
    }
    // hot path: end

    // The largest duration that falls into a bucket.
    static std::uint64_t upper_edge(std::size_t bucket) noexcept {
        if (bucket < 2 * STEPS) return bucket;
        const std::size_t shift = bucket / STEPS - 1;
        return ((bucket % STEPS + STEPS + 1) << shift) - 1;
    }

    void add(std::size_t bucket, std::uint64_t count) noexcept {
        counts_[bucket].fetch_add(count, std::memory_order_relaxed);
    }
    void add_negative(std::uint64_t count) noexcept { negative_.fetch_add(count, std::memory_order_relaxed); }
    void raise_max(std::uint64_t duration) noexcept {
        std::uint64_t most = max_.load(std::memory_order_relaxed);
        while (duration > most && !max_.compare_exchange_weak(most, duration, std::memory_order_relaxed)) {
        }
    }

    std::uint64_t count_of(std::size_t bucket) const noexcept { return counts_[bucket].load(std::memory_order_relaxed); }
    std::uint64_t negative() const noexcept { return negative_.load(std::memory_order_relaxed); }
    std::uint64_t max() const noexcept { return max_.load(std::memory_order_relaxed); }

    std::uint64_t total() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& count : counts_) sum += count.load(std::memory_order_relaxed);
        return sum;
    }

    // The duration that a share of all (`wanted` of `total()`, from 1) do not exceed.
    std::uint64_t reached(std::uint64_t wanted) const noexcept {
        std::uint64_t seen = 0;
        for (std::size_t bucket = 0; bucket < BUCKETS; ++bucket) {
            seen += count_of(bucket);
            if (seen >= wanted) {
                const std::uint64_t edge = upper_edge(bucket);
                return edge < max() ? edge : max();
            }
        }
        return max();
    }

private:
    std::atomic<std::uint64_t> counts_[BUCKETS] = {};
    std::atomic<std::uint64_t> negative_{0};
    std::atomic<std::uint64_t> max_{0};
};
static_assert(LatencyHistogram::BUCKETS == 1888, "the numbers of buckets travel between processes");

}  // namespace hft
