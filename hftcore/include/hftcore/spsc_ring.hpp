// A bounded ring of 64-byte items by value: one producer thread, one consumer thread, no lock.
//
// Indices are monotonic 64-bit counts (index & mask is the slot), so full and empty never look alike and nothing
// wraps in the life of a process. The producer owns the tail's line, the consumer the head's; each keeps a copy of
// the other's index and reads the real one only when the copy says full (or empty).
//
//   SpscRing (192 bytes)          offset  written by
//     capacity, …, refusing             0  constructor; refusing: by a halt, reset or close alone
//     producer: tail, cachedHead, …   64  producer
//     consumer: head, cachedTail, …  128  consumer (head: also by a producer that drops the oldest)
//
// Sources: Lamport 1977 (the queue); Aeron aeron_spsc_concurrent_array_queue.h (halves, cached head); Rigtorp
// SPSCQueue (cached remote index). The drop-oldest scheme is proven in `claim`.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "hftcore/ring_slot.hpp"

// The seeded mutants of tests/native replace these; nothing else defines them.
#ifndef HFT_RING_PUBLISH_ORDER
#define HFT_RING_PUBLISH_ORDER std::memory_order_release
#endif
#ifndef HFT_RING_RETIRE_ORDER
#define HFT_RING_RETIRE_ORDER std::memory_order_release
#endif

namespace hft {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

class SpscRing {
public:
    // `capacity` must be a power of two (checked by the binding).
    SpscRing(std::size_t capacity, Overflow overflow)
        : capacity_(capacity), mask_(capacity - 1), slots_(new RingSlot[capacity]()), overflow_(overflow) {}
    ~SpscRing() { delete[] slots_; }
    SpscRing(const SpscRing&) = delete;
    SpscRing& operator=(const SpscRing&) = delete;

    // hot path: begin
    // Producer only. False if the item was refused (never with drop-oldest), or found no room (block).
    bool push(const void* item) noexcept { return offer(item) == OFFER_TAKEN; }

    // Producer only. FULL with block alone: nothing is counted, the item is still the caller's.
    Offer offer(const void* item) noexcept {
        // relaxed: whether we still take items says nothing about any item
        if (refusing_.load(std::memory_order_relaxed) != 0) return refuse();
        const std::uint64_t tail = producer_.tail.load(std::memory_order_relaxed);  // our own
        if (tail - producer_.cachedHead >= capacity_) {
            // acquire: pairs with the release of head in take and retire; the consumer is done with the slot
            producer_.cachedHead = consumer_.head.load(std::memory_order_acquire);
            if (tail - producer_.cachedHead >= capacity_) {
                if (overflow_ != OVERFLOW_DROP_OLDEST) {
                    if (overflow_ == OVERFLOW_BLOCK) return OFFER_FULL;
                    if (overflow_ == OVERFLOW_HALT) refusing_.fetch_or(HALTED, std::memory_order_relaxed);
                    return refuse();
                }
                drop_oldest();
            }
        }
        HFT_STEP_POINT("claimed");
        write(slots_[tail & mask_], item);
        HFT_STEP_POINT("written");
        // release: pairs with the acquire of tail in take, claim and peek; publishes the item
        producer_.tail.store(tail + 1, HFT_RING_PUBLISH_ORDER);
        HFT_STEP_POINT("published");
        note_depth(tail + 1);
        return OFFER_TAKEN;
    }

    // Producer only: counts an item that the ring did not get.
    Offer refuse() noexcept {
        count(producer_.dropped);
        return OFFER_REFUSED;
    }

    // Consumer only. Copies up to `limit` items to `items` (64 bytes each), oldest first, none of them at position
    // `until` or beyond; returns how many. They lie one behind the other, from position `*first` on.
    std::size_t pop(void* items, std::size_t limit, std::uint64_t until = NO_LIMIT,
                    std::uint64_t* first = nullptr) noexcept {
        return overflow_ == OVERFLOW_DROP_OLDEST ? claim(items, limit, until, first) : take(items, limit, until, first);
    }

    // Consumer only, while a lock that the producer needs too keeps it out: as `pop`, without the locked exchange that
    // drop-oldest costs otherwise.
    std::size_t pop_locked(void* items, std::size_t limit, std::uint64_t until) noexcept {
        return take(items, limit, until, nullptr);
    }

    // Consumer only, not with drop-oldest: where the oldest items lie one behind the other, at most `limit`, and how
    // many; they stay the ring's until `retire`.
    std::size_t peek(const void** first, std::size_t limit) noexcept {
        const std::uint64_t head = consumer_.head.load(std::memory_order_relaxed);  // our own
        // acquire: pairs with the release of tail in offer
        consumer_.cachedTail = producer_.tail.load(std::memory_order_acquire);
        *first = slots_[head & mask_].words;
        return contiguous(head, consumer_.cachedTail, limit, capacity_);
    }

    // Consumer only: the first `n` items that peek gave are done with.
    void retire(std::size_t n) noexcept {
        // release: pairs with the acquire of head in offer; the slots may be written again
        consumer_.head.store(consumer_.head.load(std::memory_order_relaxed) + n, HFT_RING_RETIRE_ORDER);
        count(consumer_.popped, n);
    }
    // hot path: end

    // Consumer only: whether pop would find an item.
    bool ready() const noexcept { return size() != 0; }

    // Positions count items from the ring's first one. Of the next item to take; of the next item to come.
    std::uint64_t position() const noexcept { return consumer_.head.load(std::memory_order_acquire); }
    std::uint64_t mark() noexcept { return producer_.tail.load(std::memory_order_acquire); }

    // Any thread; exact where neither side is at work.
    std::size_t size() const noexcept {
        // acquire, head first: pairs with both releases of head, so that tail is never read older than head
        const std::uint64_t head = consumer_.head.load(std::memory_order_acquire);
        const std::uint64_t tail = producer_.tail.load(std::memory_order_acquire);
        const std::uint64_t found = tail - head;
        return found < capacity_ ? static_cast<std::size_t>(found) : capacity_;
    }

    std::size_t capacity() const noexcept { return capacity_; }
    std::uint64_t pushed() const noexcept { return producer_.tail.load(std::memory_order_relaxed); }
    std::uint64_t dropped() const noexcept { return producer_.dropped.load(std::memory_order_relaxed); }
    std::uint64_t highWater() const noexcept { return producer_.highWater.load(std::memory_order_relaxed); }
    std::uint64_t popped() const noexcept { return consumer_.popped.load(std::memory_order_relaxed); }

    // Any thread. The producer halts by itself; a push that runs at the same time as close may still be taken.
    bool halted() const noexcept { return refusing_.load(std::memory_order_relaxed) & HALTED; }
    bool closed() const noexcept { return refusing_.load(std::memory_order_relaxed) & CLOSED; }
    void reset() noexcept { refusing_.fetch_and(static_cast<std::uint8_t>(~HALTED), std::memory_order_relaxed); }
    void close() noexcept { refusing_.fetch_or(CLOSED, std::memory_order_relaxed); }

private:
    using Counter = std::atomic<std::uint64_t>;

    // Counters have one writer and any readers, so a plain increment in two relaxed halves is exact.
    static void count(Counter& counter, std::uint64_t by = 1) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }

    // The deepest fill that the producer saw. The real head is read only where the copy hints at a new maximum.
    void note_depth(std::uint64_t tail) noexcept {
        const std::uint64_t most = producer_.highWater.load(std::memory_order_relaxed);
        if (tail - producer_.cachedHead <= most) return;
        producer_.cachedHead = consumer_.head.load(std::memory_order_acquire);  // pairs as in offer
        if (tail - producer_.cachedHead > most) {
            producer_.highWater.store(tail - producer_.cachedHead, std::memory_order_relaxed);
        }
    }

    // Producer only, ring full: the oldest item goes, unless the consumer has just taken it.
    void drop_oldest() noexcept {
        std::uint64_t oldest = producer_.cachedHead;
        HFT_STEP_POINT("drops");
        // acq_rel: pairs with the compare-exchange in claim; on failure the acquire sees that the consumer is done
        if (consumer_.head.compare_exchange_strong(oldest, oldest + 1, std::memory_order_acq_rel,
                                                   std::memory_order_acquire)) {
            count(producer_.dropped);
            producer_.cachedHead = oldest + 1;
        } else {
            producer_.cachedHead = oldest;
        }
    }

    // Consumer of all but drop_oldest: the producer never touches head. Of drop_oldest, while the producer is kept out:
    // then head may have overtaken the copy of tail.
    std::size_t take(void* items, std::size_t limit, std::uint64_t until, std::uint64_t* first) noexcept {
        const std::uint64_t head = consumer_.head.load(std::memory_order_relaxed);  // our own
        if (first) *first = head;
        if (consumer_.cachedTail < head || consumer_.cachedTail - head < limit) {
            // acquire: pairs with the release of tail in offer
            consumer_.cachedTail = producer_.tail.load(std::memory_order_acquire);
        }
        const std::size_t n = batch_of(head, consumer_.cachedTail, limit, until);
        if (n == 0) return 0;
        for (std::size_t i = 0; i < n; ++i) {
            copy_words(static_cast<char*>(items) + i * 64, slots_[(head + i) & mask_].words);
        }
        HFT_STEP_POINT("copied");
        // release: pairs with the acquire of head in offer; the slots may be written again
        consumer_.head.store(head + n, HFT_RING_RETIRE_ORDER);
        count(consumer_.popped, n);
        return n;
    }

    // Consumer of drop_oldest: copy first, then claim what was copied by moving head. Head only grows, and of all
    // the compare-exchanges that expect `head` one succeeds. If it is ours, the producer dropped none of these items,
    // and it writes their slots again only after it has read the head that we released: the copy is whole. If it is
    // not, a copy may be torn and is thrown away. Slots are read and written as relaxed atomic words for that reason.
    std::size_t claim(void* items, std::size_t limit, std::uint64_t until, std::uint64_t* first) noexcept {
        // acquire: pairs with the release in drop_oldest, so that tail is never read older than head
        std::uint64_t head = consumer_.head.load(std::memory_order_acquire);
        for (;;) {
            if (consumer_.cachedTail < head || consumer_.cachedTail - head < limit) {
                // acquire: pairs with the release of tail in offer
                consumer_.cachedTail = producer_.tail.load(std::memory_order_acquire);
            }
            std::size_t n = batch_of(head, consumer_.cachedTail, limit, until);
            if (n > capacity_) n = capacity_;
            if (n == 0) return 0;
            for (std::size_t i = 0; i < n; ++i) {
                copy_out_racing(static_cast<char*>(items) + i * 64, slots_[(head + i) & mask_]);
            }
            HFT_STEP_POINT("copied to claim");
            // acq_rel: pairs with the compare-exchange and the acquire of head in offer
            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,
                                                       std::memory_order_acquire)) {
                if (first) *first = head;
                count(consumer_.popped, n);
                return n;
            }
            // Against a producer in full flood a large claim could fail for ever; a small one succeeds soon.
            if (limit > 1) limit /= 2;
        }
    }

    void write(RingSlot& slot, const void* item) noexcept {
        if (overflow_ == OVERFLOW_DROP_OLDEST) {
            copy_in_racing(slot, item);
        } else {
            copy_words(slot.words, item);
        }
    }

    struct alignas(64) Producer {
        std::atomic<std::uint64_t> tail{0};
        std::uint64_t cachedHead = 0;
        Counter dropped{0};
        Counter highWater{0};
    };
    struct alignas(64) Consumer {
        std::atomic<std::uint64_t> head{0};
        std::uint64_t cachedTail = 0;
        Counter popped{0};
    };
    static_assert(sizeof(Producer) == 64 && sizeof(Consumer) == 64, "one writer per cache line");

    const std::size_t capacity_;
    const std::size_t mask_;
    RingSlot* const slots_;
    const Overflow overflow_;
    std::atomic<std::uint8_t> refusing_{0};
    Producer producer_;
    Consumer consumer_;

    static void check_layout() {
        static_assert(offsetof(SpscRing, producer_) == 64 && offsetof(SpscRing, consumer_) == 128);
        static_assert(sizeof(SpscRing) == 192);
    }
};

}  // namespace hft
