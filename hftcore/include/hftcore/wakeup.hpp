// The armed flag: tells a producer whether the consumer sleeps, so that nobody pays for waking one who is awake.
//
// The consumer arms, then looks into the ring once more, then sleeps. The producer publishes, then looks at the flag.
// Both sides store one location and load the other (Dekker's pattern), so each needs a full fence between the two:
// either the consumer sees the item or the producer sees the flag. A wake-up is never lost; one per batch is sent,
// since the producer that sees the flag also takes it down.
#pragma once

#include <atomic>

namespace hft {

class alignas(64) ArmedFlag {
public:
    // Consumer, before its last look into the ring.
    void arm() noexcept {
        armed_.store(true, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in take
    }

    void disarm() noexcept { armed_.store(false, std::memory_order_relaxed); }

    // Producer, after publishing: whether it must wake the consumer. True to one caller per arming.
    bool take() noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in arm
        return armed_.load(std::memory_order_relaxed) && armed_.exchange(false, std::memory_order_acq_rel);
    }

    // As `take`, where one lock (the GIL) orders both sides anyway: no fence.
    bool take_locked() noexcept {
        if (!armed_.load(std::memory_order_relaxed)) return false;
        armed_.store(false, std::memory_order_relaxed);
        return true;
    }

    bool armed() const noexcept { return armed_.load(std::memory_order_relaxed); }

private:
    std::atomic<bool> armed_{false};
};
static_assert(sizeof(ArmedFlag) == 64, "one cache line");

}  // namespace hft
