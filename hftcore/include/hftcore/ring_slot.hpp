// What all rings share: the overflow policies, the answer to a put, the 64-byte slot and how it is copied.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Between two steps of a ring: tests/native/interleave.cpp lets the other side run there. Nothing anywhere else.
#ifndef HFT_STEP_POINT
#define HFT_STEP_POINT(name) ((void)0)
#endif

namespace hft {

enum Overflow : std::uint8_t {
    OVERFLOW_DROP_NEWEST = 0,  // the new item is refused and counted
    OVERFLOW_DROP_OLDEST = 1,  // the oldest item gives way and is counted
    OVERFLOW_HALT = 2,         // the new item is refused and counted, and so is every later one until reset
    OVERFLOW_CONFLATE = 3,     // the new item replaces the unread one of its symbol (conflating_ring.hpp)
    OVERFLOW_BLOCK = 4,        // the new item finds no room, and its producer waits (room_gate.hpp)
};

enum Offer : std::uint8_t {
    OFFER_FULL = 0,     // block: no room; the item is still the producer's, nothing was counted
    OFFER_TAKEN = 1,    // the ring has it
    OFFER_REFUSED = 2,  // lost, and counted as dropped
};

// Why a ring takes nothing, as bits.
constexpr std::uint8_t HALTED = 1, CLOSED = 2;

// No position: the end of a batch that has none.
constexpr std::uint64_t NO_LIMIT = ~std::uint64_t{0};

struct alignas(64) RingSlot {
    std::uint64_t words[8];
};
static_assert(sizeof(RingSlot) == 64 && alignof(RingSlot) == 64, "one item, one cache line");

// hot path: begin
// In 8-byte words: ThreadSanitizer misses races of a bytewise copy.
inline void copy_words(void* to, const void* from) noexcept {
    for (int w = 0; w < 8; ++w) {
        std::uint64_t word;
        std::memcpy(&word, static_cast<const char*>(from) + w * 8, 8);
        std::memcpy(static_cast<char*>(to) + w * 8, &word, 8);
    }
}

// Where a producer may overwrite a slot that the consumer is copying (and then throws the copy away): relaxed words.
// Word by word from end to end: an array in between would be written in words and read in pairs of them, which no store
// buffer forwards. The compiler unrolls no loop of atomic accesses by itself.
inline void copy_in_racing(RingSlot& slot, const void* item) noexcept {
#pragma GCC unroll 8
    for (int w = 0; w < 8; ++w) {
        std::uint64_t word;
        std::memcpy(&word, static_cast<const char*>(item) + w * 8, 8);
        __atomic_store_n(&slot.words[w], word, __ATOMIC_RELAXED);
    }
}

inline void copy_out_racing(void* to, const RingSlot& slot) noexcept {
#pragma GCC unroll 8
    for (int w = 0; w < 8; ++w) {
        const std::uint64_t word = __atomic_load_n(&slot.words[w], __ATOMIC_RELAXED);
        std::memcpy(static_cast<char*>(to) + w * 8, &word, 8);
    }
}

// How many of the items [head, tail) a batch of at most `limit` takes, none at position `until` or beyond.
inline std::size_t batch_of(std::uint64_t head, std::uint64_t tail, std::size_t limit, std::uint64_t until) noexcept {
    if (until < tail) tail = until;
    if (tail <= head) return 0;
    return tail - head < limit ? static_cast<std::size_t>(tail - head) : limit;
}

// How many of the items [head, tail), at most `limit`, lie one behind the other in `capacity` slots.
inline std::size_t contiguous(std::uint64_t head, std::uint64_t tail, std::size_t limit, std::size_t capacity) noexcept {
    const std::size_t n = batch_of(head, tail, limit, NO_LIMIT), straight = capacity - (head & (capacity - 1));
    return n < straight ? n : straight;
}
// hot path: end

}  // namespace hft
