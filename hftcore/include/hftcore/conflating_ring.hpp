// A bounded ring of Tickers that holds at most one unread item of each symbol: a newer one replaces the unread one where
// it stands, so that a consumer who is late reads the latest state of every symbol, in the order they first changed.
//
// Replacing an item that the consumer may be about to take needs the two to exclude each other, and a symbol's place in
// the ring must be looked up and kept: both sides take a mutex, for one copy of 64 bytes (producers) or a few (consumer).
// It is the one ring with a lock; its lock is free in all but a few nanoseconds, and the kernel knows who waits for it.
//
// `index_` maps (exchange, symbol) to the position of its unread item: open addressing, linear probing, deletion by
// moving back (Knuth 6.4 R), twice as many places as the ring has, so that it is never more than half full.
// `mark` ends an epoch: what comes after it stands behind it, and replaces nothing before it. So an event about the data
// keeps its place between what came before and what came after; a symbol may then stand on both sides of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>

#include "hftcore/ring_slot.hpp"
#include "hftcore/types.hpp"

namespace hft {

class ConflatingRing {
public:
    // `capacity` must be a power of two (checked by the binding).
    explicit ConflatingRing(std::size_t capacity)
        : capacity_(capacity),
          mask_(capacity - 1),
          places_mask_(2 * capacity - 1),
          slots_(new RingSlot[capacity]()),
          index_(new Place[2 * capacity]()) {}
    ConflatingRing(const ConflatingRing&) = delete;
    ConflatingRing& operator=(const ConflatingRing&) = delete;

    // Any thread. Where all places are taken by other symbols, the oldest item gives way and counts as dropped.
    Offer offer(const void* item) noexcept {
        const std::uint64_t key = key_of(item);
        std::lock_guard<std::mutex> lock(mutex_);
        if (refusing_.load(std::memory_order_relaxed) != 0) {
            add(dropped_);
            return OFFER_REFUSED;
        }
        add(pushed_);
        const std::size_t place = find(key);
        const std::uint64_t found = index_[place].position_plus_1;
        if (found > barrier_) {
            copy_words(slots_[(found - 1) & mask_].words, item);
            add(conflated_);
            return OFFER_TAKEN;
        }
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (tail - head == capacity_) {
            forget(head);
            head_.store(++head, std::memory_order_release);  // release: pairs with the acquire in size
            add(dropped_);
        }
        index_[find(key)] = {key, tail + 1};
        copy_words(slots_[tail & mask_].words, item);
        tail_.store(tail + 1, std::memory_order_release);  // release: pairs with the acquire in size
        if (tail + 1 - head > highWater_.load(std::memory_order_relaxed)) {
            highWater_.store(tail + 1 - head, std::memory_order_relaxed);
        }
        return OFFER_TAKEN;
    }

    Offer refuse() noexcept {
        std::lock_guard<std::mutex> lock(mutex_);
        add(dropped_);
        return OFFER_REFUSED;
    }

    // Consumer only. Copies up to `limit` items to `items` (64 bytes each), oldest first, none of them at position
    // `until` or beyond; returns how many. They lie one behind the other, from position `*first` on.
    std::size_t pop(void* items, std::size_t limit, std::uint64_t until = NO_LIMIT,
                    std::uint64_t* first = nullptr) noexcept {
        std::size_t taken = 0;
        std::uint64_t next = 0;
        while (taken < limit) {
            const std::size_t n = take(static_cast<char*>(items) + taken * 64,
                                       limit - taken < AT_ONCE ? limit - taken : AT_ONCE, until, taken != 0, &next);
            if (n == 0) break;
            if (taken == 0 && first) *first = next - n;
            taken += n;
        }
        return taken;
    }

    // Any thread; exact where neither side is at work.
    std::size_t size() const noexcept {
        // acquire, head first: pairs with the releases of head and tail, so that tail is never read older than head
        const std::uint64_t head = head_.load(std::memory_order_acquire);
        const std::uint64_t found = tail_.load(std::memory_order_acquire) - head;
        return found < capacity_ ? static_cast<std::size_t>(found) : capacity_;
    }
    bool ready() const noexcept { return size() != 0; }

    std::uint64_t position() const noexcept { return head_.load(std::memory_order_acquire); }
    std::uint64_t mark() noexcept {
        std::lock_guard<std::mutex> lock(mutex_);
        return barrier_ = tail_.load(std::memory_order_relaxed);
    }

    std::size_t capacity() const noexcept { return capacity_; }
    std::uint64_t pushed() const noexcept { return pushed_.load(std::memory_order_relaxed); }
    std::uint64_t popped() const noexcept { return popped_.load(std::memory_order_relaxed); }
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
    std::uint64_t conflated() const noexcept { return conflated_.load(std::memory_order_relaxed); }
    std::uint64_t highWater() const noexcept { return highWater_.load(std::memory_order_relaxed); }

    bool halted() const noexcept { return false; }
    bool closed() const noexcept { return refusing_.load(std::memory_order_relaxed) & CLOSED; }
    void reset() noexcept {}
    void close() noexcept { refusing_.fetch_or(CLOSED, std::memory_order_relaxed); }

private:
    static constexpr std::size_t AT_ONCE = 16;  // so that a producer waits for a microsecond at most
    using Counter = std::atomic<std::uint64_t>;

    struct Place {
        std::uint64_t key;
        std::uint64_t position_plus_1;  // 0: free
    };

    // Under the mutex; atomic for those who only read.
    static void add(Counter& counter, std::uint64_t by = 1) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }

    static std::uint64_t key_of(const void* item) noexcept {
        Ticker ticker;
        std::memcpy(&ticker, item, sizeof ticker);
        return static_cast<std::uint64_t>(ticker.exchange) << 32 | static_cast<std::uint32_t>(ticker.symbol);
    }

    std::size_t home(std::uint64_t key) const noexcept {
        return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ull) >> 20) & places_mask_;
    }

    // Where the key stands, or the free place where it belongs.
    std::size_t find(std::uint64_t key) const noexcept {
        std::size_t place = home(key);
        while (index_[place].position_plus_1 != 0 && index_[place].key != key) place = (place + 1) & places_mask_;
        return place;
    }

    // The item at `position` leaves the ring: so does its key, unless the key stands for a later item by now.
    void forget(std::uint64_t position) noexcept {
        std::size_t hole = find(key_of(slots_[position & mask_].words));
        if (index_[hole].position_plus_1 != position + 1) return;
        for (std::size_t next = (hole + 1) & places_mask_; index_[next].position_plus_1 != 0;
             next = (next + 1) & places_mask_) {
            // Who has come past the hole on the way from home moves back into it.
            if (((next - home(index_[next].key)) & places_mask_) >= ((next - hole) & places_mask_)) {
                index_[hole] = index_[next];
                hole = next;
            }
        }
        index_[hole].position_plus_1 = 0;
    }

    // With `goes_on`, only where nothing has given way since `*next`; `*next` becomes the position after the last.
    std::size_t take(char* items, std::size_t limit, std::uint64_t until, bool goes_on, std::uint64_t* next) noexcept {
        std::lock_guard<std::mutex> lock(mutex_);
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (goes_on && *next != head) return 0;
        const std::size_t n = batch_of(head, tail_.load(std::memory_order_relaxed), limit, until);
        for (std::size_t i = 0; i < n; ++i) {
            copy_words(items + i * 64, slots_[(head + i) & mask_].words);
            forget(head + i);
        }
        head_.store(head + n, std::memory_order_release);  // release: pairs with the acquire in size
        add(popped_, n);
        *next = head + n;
        return n;
    }

    const std::size_t capacity_;
    const std::size_t mask_;
    const std::size_t places_mask_;
    const std::unique_ptr<RingSlot[]> slots_;
    const std::unique_ptr<Place[]> index_;
    std::mutex mutex_;
    std::uint64_t barrier_ = 0;
    std::atomic<std::uint64_t> head_{0};
    std::atomic<std::uint64_t> tail_{0};
    Counter pushed_{0}, popped_{0}, dropped_{0}, conflated_{0}, highWater_{0};
    std::atomic<std::uint8_t> refusing_{0};
};

}  // namespace hft
