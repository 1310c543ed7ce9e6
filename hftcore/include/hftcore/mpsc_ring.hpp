// A bounded ring of 64-byte items by value: any number of producer threads, one consumer thread, no lock.
//
// A producer claims a position by moving tail, writes the slot, and says so in the slot's own sequence (position + 1,
// which no other lap has, so that a capacity of 1 works too). The consumer takes what is said to be written, in order:
// a producer that sleeps between claiming and writing holds up what comes after it, and nobody else's claim.
//
//   MpscRing (256 bytes)          offset  written by
//     capacity, …                       0  constructor
//     producers: tail, cachedHead, …   64  producers
//     counters: dropped, …            128  producers, only when the ring is full or deeper than ever
//     consumer: head, popped          192  consumer (head: also by producers that drop the oldest)
//
// Sources: Vyukov 2010, bounded MPMC queue (a sequence per slot); LMAX Disruptor MultiProducerSequencer (an array of
// published sequences apart from the slots, freedom told by the consumer's index alone).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "hftcore/pause.hpp"
#include "hftcore/ring_slot.hpp"

// The seeded mutants of tests/native replace these; nothing else defines them.
#ifndef HFT_MPSC_PUBLISH_ORDER
#define HFT_MPSC_PUBLISH_ORDER std::memory_order_release
#endif
#ifndef HFT_MPSC_RETIRE_ORDER
#define HFT_MPSC_RETIRE_ORDER std::memory_order_release
#endif

namespace hft {

class MpscRing {
public:
    // `capacity` must be a power of two (checked by the binding).
    MpscRing(std::size_t capacity, Overflow overflow)
        : capacity_(capacity),
          mask_(capacity - 1),
          slots_(new RingSlot[capacity]()),
          sequences_(new std::atomic<std::uint64_t>[capacity]()),
          overflow_(overflow) {}
    MpscRing(const MpscRing&) = delete;
    MpscRing& operator=(const MpscRing&) = delete;

    // hot path: begin
    // Any thread. False if the item was refused, or found no room (block).
    bool push(const void* item) noexcept { return offer(item) == OFFER_TAKEN; }

    // Any thread. FULL with block alone: nothing is counted, the item is still the caller's.
    Offer offer(const void* item) noexcept {
        // relaxed: whether we still take items says nothing about any item
        if (refusing_.load(std::memory_order_relaxed) != 0) return refuse();
        std::uint64_t tail = producers_.tail.load(std::memory_order_relaxed);
        int patience = PATIENCE;
        for (;;) {
            // acquire: pairs with the release in fresh_head, which passes on that the consumer is done with the slot
            std::uint64_t head = producers_.cachedHead.load(std::memory_order_acquire);
            if (tail - head >= capacity_ && tail >= head) {
                head = fresh_head();
                if (tail - head >= capacity_ && tail >= head) {
                    // A tail that others have moved says nothing: only the latest one tells whether the ring is full.
                    const std::uint64_t now = producers_.tail.load(std::memory_order_relaxed);
                    if (now != tail) {
                        tail = now;
                        continue;
                    }
                    if (overflow_ != OVERFLOW_DROP_OLDEST) {
                        if (overflow_ == OVERFLOW_BLOCK) return OFFER_FULL;
                        if (overflow_ == OVERFLOW_HALT) refusing_.fetch_or(HALTED, std::memory_order_relaxed);
                        return refuse();
                    }
                    if (!drop_oldest(head) && --patience == 0) return overtaken();
                    tail = producers_.tail.load(std::memory_order_relaxed);
                    continue;
                }
            }
            HFT_STEP_POINT("claims");
            // Head only grows, so a slot that was free when we looked is free for whoever gets the position.
            // relaxed: a position alone publishes nothing
            if (producers_.tail.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) break;
        }
        HFT_STEP_POINT("claimed");
        write(slots_[tail & mask_], item);
        HFT_STEP_POINT("written");
        // release: pairs with the acquire in published; publishes the item
        sequences_[tail & mask_].store(tail + 1, HFT_MPSC_PUBLISH_ORDER);
        HFT_STEP_POINT("published");
        note_depth(tail + 1);
        return OFFER_TAKEN;
    }

    // Any thread: counts an item that the ring did not get.
    Offer refuse() noexcept {
        counters_.dropped.fetch_add(1, std::memory_order_relaxed);
        return OFFER_REFUSED;
    }

    // Consumer only. Copies up to `limit` items to `items` (64 bytes each), oldest first, none of them at position
    // `until` or beyond; returns how many. They lie one behind the other, from position `*first` on.
    std::size_t pop(void* items, std::size_t limit, std::uint64_t until = NO_LIMIT,
                    std::uint64_t* first = nullptr) noexcept {
        return overflow_ == OVERFLOW_DROP_OLDEST ? claim(items, limit, until, first) : take(items, limit, until, first);
    }

    // Consumer only, not with drop-oldest: where the oldest items lie one behind the other, at most `limit`, and how
    // many; they stay the ring's until `retire`.
    std::size_t peek(const void** first, std::size_t limit) noexcept {
        const std::uint64_t head = consumer_.head.load(std::memory_order_relaxed);  // our own
        *first = slots_[head & mask_].words;
        const std::size_t most = contiguous(head, head + capacity_, limit, capacity_);
        std::size_t n = 0;
        while (n < most && published(head + n)) ++n;
        return n;
    }

    // Consumer only: the first `n` items that peek gave are done with.
    void retire(std::size_t n) noexcept {
        // release: pairs with the acquire in fresh_head; the slots may be written again
        consumer_.head.store(consumer_.head.load(std::memory_order_relaxed) + n, HFT_MPSC_RETIRE_ORDER);
        count_popped(n);
    }

    // Consumer only: whether pop would find an item. What a producer has claimed and not yet written is none.
    bool ready() const noexcept { return published(consumer_.head.load(std::memory_order_acquire)); }
    // hot path: end

    // Any thread; exact where neither side is at work. An item that is being written counts.
    std::size_t size() const noexcept {
        // acquire, head first: pairs with the releases of head, so that tail is never read older than head
        const std::uint64_t head = consumer_.head.load(std::memory_order_acquire);
        const std::uint64_t found = producers_.tail.load(std::memory_order_acquire) - head;
        return found < capacity_ ? static_cast<std::size_t>(found) : capacity_;
    }

    std::uint64_t position() const noexcept { return consumer_.head.load(std::memory_order_acquire); }
    std::uint64_t mark() noexcept { return producers_.tail.load(std::memory_order_acquire); }

    std::size_t capacity() const noexcept { return capacity_; }
    std::uint64_t pushed() const noexcept {
        return producers_.tail.load(std::memory_order_relaxed) + counters_.overtaken.load(std::memory_order_relaxed);
    }
    std::uint64_t dropped() const noexcept { return counters_.dropped.load(std::memory_order_relaxed); }
    std::uint64_t highWater() const noexcept { return counters_.highWater.load(std::memory_order_relaxed); }
    std::uint64_t popped() const noexcept { return consumer_.popped.load(std::memory_order_relaxed); }

    // Any thread. A push that runs at the same time as a halt or close may still be taken.
    bool halted() const noexcept { return refusing_.load(std::memory_order_relaxed) & HALTED; }
    bool closed() const noexcept { return refusing_.load(std::memory_order_relaxed) & CLOSED; }
    void reset() noexcept { refusing_.fetch_and(static_cast<std::uint8_t>(~HALTED), std::memory_order_relaxed); }
    void close() noexcept { refusing_.fetch_or(CLOSED, std::memory_order_relaxed); }

private:
    static constexpr int PATIENCE = 4096;

    bool published(std::uint64_t position) const noexcept {
        // acquire: pairs with the release of the sequence in offer
        return sequences_[position & mask_].load(std::memory_order_acquire) == position + 1;
    }

    std::uint64_t fresh_head() noexcept {
        // acquire: pairs with the releases of head; whoever moved it is done with the slots before it
        const std::uint64_t head = consumer_.head.load(std::memory_order_acquire);
        HFT_STEP_POINT("head read");
        // release: pairs with the acquire of cachedHead in offer. An older head over a newer one costs a second look.
        producers_.cachedHead.store(head, std::memory_order_release);
        return head;
    }

    // Any producer, ring full: the oldest item goes, unless somebody was faster. False if it is still being written.
    bool drop_oldest(std::uint64_t head) noexcept {
        if (!published(head)) {
            pause();
            return false;
        }
        HFT_STEP_POINT("drops");
        // acq_rel: pairs with the compare-exchange in claim and the acquire in fresh_head
        if (consumer_.head.compare_exchange_strong(head, head + 1, std::memory_order_acq_rel,
                                                   std::memory_order_relaxed)) {
            counters_.dropped.fetch_add(1, std::memory_order_relaxed);
        }
        return true;
    }

    // Drop-oldest, and the oldest item's own producer has slept since before the ring was full: nothing can give way.
    // The new item is counted as taken in and dropped, so that the counters still add up.
    Offer overtaken() noexcept {
        counters_.overtaken.fetch_add(1, std::memory_order_relaxed);
        counters_.dropped.fetch_add(1, std::memory_order_relaxed);
        return OFFER_TAKEN;
    }

    // The deepest fill that a producer saw. The real head is read only where the copy hints at a new maximum.
    void note_depth(std::uint64_t tail) noexcept {
        std::uint64_t most = counters_.highWater.load(std::memory_order_relaxed);
        if (static_cast<std::int64_t>(tail - producers_.cachedHead.load(std::memory_order_relaxed)) <=
            static_cast<std::int64_t>(most)) {
            return;
        }
        const std::uint64_t head = fresh_head();
        while (tail > head && tail - head > most &&
               !counters_.highWater.compare_exchange_weak(most, tail - head, std::memory_order_relaxed)) {
        }
    }

    void count_popped(std::size_t n) noexcept {
        consumer_.popped.store(consumer_.popped.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    // Consumer of all but drop_oldest: no producer touches head.
    std::size_t take(void* items, std::size_t limit, std::uint64_t until, std::uint64_t* first) noexcept {
        const std::uint64_t head = consumer_.head.load(std::memory_order_relaxed);  // our own
        if (first) *first = head;
        const std::size_t most = batch_of(head, head + capacity_, limit, until);
        std::size_t n = 0;
        for (; n < most && published(head + n); ++n) {
            copy_words(static_cast<char*>(items) + n * 64, slots_[(head + n) & mask_].words);
        }
        HFT_STEP_POINT("copied");
        if (n) retire(n);
        return n;
    }

    // Consumer of drop_oldest: copy first, then claim what was copied by moving head, as in SpscRing::claim. A slot is
    // written again only after head has passed it, so a claim that succeeds has copied whole items.
    std::size_t claim(void* items, std::size_t limit, std::uint64_t until, std::uint64_t* first) noexcept {
        std::uint64_t head = consumer_.head.load(std::memory_order_acquire);
        for (;;) {
            const std::size_t most = batch_of(head, head + capacity_, limit, until);
            std::size_t n = 0;
            for (; n < most && published(head + n); ++n) {
                copy_out_racing(static_cast<char*>(items) + n * 64, slots_[(head + n) & mask_]);
            }
            HFT_STEP_POINT("copied to claim");
            if (n == 0) {
                // Nothing written at `head`: unless it was dropped meanwhile, and written for the next lap.
                const std::uint64_t now = consumer_.head.load(std::memory_order_acquire);
                if (now == head || most == 0) return 0;
                head = now;
                continue;
            }
            // acq_rel: pairs with the compare-exchange in drop_oldest and the acquire in fresh_head
            if (consumer_.head.compare_exchange_strong(head, head + n, std::memory_order_acq_rel,
                                                       std::memory_order_acquire)) {
                if (first) *first = head;
                count_popped(n);
                return n;
            }
            // Against producers in full flood a large claim could fail for ever; a small one succeeds soon.
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

    struct alignas(64) Producers {
        std::atomic<std::uint64_t> tail{0};
        std::atomic<std::uint64_t> cachedHead{0};
    };
    struct alignas(64) Counters {
        std::atomic<std::uint64_t> dropped{0};
        std::atomic<std::uint64_t> overtaken{0};
        std::atomic<std::uint64_t> highWater{0};
    };
    struct alignas(64) Consumer {
        std::atomic<std::uint64_t> head{0};
        std::atomic<std::uint64_t> popped{0};
    };
    static_assert(sizeof(Producers) == 64 && sizeof(Counters) == 64 && sizeof(Consumer) == 64);

    const std::size_t capacity_;
    const std::size_t mask_;
    const std::unique_ptr<RingSlot[]> slots_;
    const std::unique_ptr<std::atomic<std::uint64_t>[]> sequences_;
    const Overflow overflow_;
    std::atomic<std::uint8_t> refusing_{0};
    Producers producers_;
    Counters counters_;
    Consumer consumer_;

    static void check_layout() {
        static_assert(offsetof(MpscRing, producers_) == 64 && offsetof(MpscRing, counters_) == 128);
        static_assert(offsetof(MpscRing, consumer_) == 192 && sizeof(MpscRing) == 256);
    }
};

}  // namespace hft
