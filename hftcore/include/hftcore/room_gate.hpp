// The room gate: where producers of a full ring sleep until the consumer has taken something.
//
// A producer enters, looks once more for room, and then waits for the generation that it saw on entering to pass. The
// consumer takes, then signals. As with the armed flag (wakeup.hpp) each side stores one location and loads the other,
// so each needs a full fence: either the producer sees the room or the consumer sees the producer.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "hftcore/ring_slot.hpp"

namespace hft {

class RoomGate {
public:
    // Producer, before its last look for room. Every `enter` needs its `leave`.
    std::uint64_t enter() noexcept {
        waiting_.fetch_add(1, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in signal
        return generation_.load(std::memory_order_acquire);   // acquire: pairs with the release in signal
    }

    // Producer, after that look: sleeps until a signal came since `enter`. False if none came before the deadline.
    bool wait(std::uint64_t entered, std::chrono::steady_clock::time_point deadline) noexcept {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_until(lock, deadline, [&] {
            HFT_STEP_POINT("sleeps");
            return generation_.load(std::memory_order_relaxed) != entered;
        });
    }

    bool wait_ns(std::uint64_t entered, std::int64_t timeout_ns) noexcept {
        return wait(entered, std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns));
    }

    void leave() noexcept { waiting_.fetch_sub(1, std::memory_order_relaxed); }

    // Consumer, after taking; whoever closes, after closing.
    void signal() noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in enter
        if (waiting_.load(std::memory_order_relaxed) == 0) return;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            generation_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in enter
        }
        changed_.notify_all();
    }

private:
    std::atomic<std::uint32_t> waiting_{0};
    std::atomic<std::uint64_t> generation_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace hft
