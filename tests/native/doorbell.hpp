// Sleeping and waking for the stress programs, in a way that orders nothing in ThreadSanitizer's eyes.
//
// A semaphore or a condition variable would hide what these programs look for: ThreadSanitizer takes each post for an
// edge from the producer to the consumer. Where the two happen to take turns (a busy processor is enough), all that the
// consumer reads is ordered by such edges, and a ring that publishes without any release passes. The sanitizer does
// not see a bare system call, and relaxed operations order nothing: the ring's own orders are all there is.
#pragma once

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <time.h>

#include <atomic>
#include <cstdint>

class Doorbell {
public:
    // Any thread.
    void ring() noexcept {
        rings_.fetch_add(1, std::memory_order_relaxed);
#if defined(__linux__)
        syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&rings_), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#endif
    }

    // One thread: sleeps until somebody has rung since the last time. False if nobody has within `limit_s`.
    bool wait(std::int64_t limit_s) noexcept {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        const std::int64_t deadline = now.tv_sec + limit_s;
        while (rings_.load(std::memory_order_relaxed) == heard_) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            if (now.tv_sec > deadline) return false;
#if defined(__linux__)
            const timespec nap{1, 0};
            syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&rings_), FUTEX_WAIT_PRIVATE, heard_, &nap, nullptr, 0);
#else
            const timespec nap{0, 50'000};
            nanosleep(&nap, nullptr);
#endif
        }
        heard_ = rings_.load(std::memory_order_relaxed);
        return true;
    }

private:
    std::atomic<std::uint32_t> rings_{0};
    std::uint32_t heard_ = 0;
};
