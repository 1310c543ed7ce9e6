// Sleeping until a segment's writer has published: the park word, and the watcher thread of an event loop.
//
// The word counts wake-ups above its lowest bit, which says that a reader sleeps or is about to. A reader arms it,
// looks into the ring once more, and sleeps in the kernel while the word keeps its value. The writer publishes without
// a look at the word; who calls the writer asks sleepers() when it suits it (after a batch, at the end of the loop's
// turn), and calls notify() if there are any. Both sides store one location and load the other (Dekker's pattern), each
// with a full fence between: either the reader sees the message or the writer sees the bit. A reader that dies asleep
// costs one system call more, once. Sleeps end by themselves after TICK, since a writer that dies wakes nobody.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#include <cerrno>
#include <climits>
#include <string>
#include <thread>

#include "hftcore/shm_ring.hpp"

// Between two steps of a reader: tests/native/park_check.cpp lets the writer run there. Nothing anywhere else.
#ifndef HFT_STEP_POINT
#define HFT_STEP_POINT(name) ((void)0)
#endif

namespace hft::shm {

constexpr std::int64_t TICK_NS = 20'000'000;

inline std::int64_t monotonic_ns() noexcept {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Sleeps while the word is `expected`, at most `limit_ns`.
inline void park(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t limit_ns) noexcept {
#if defined(__linux__)
    const timespec limit{limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
    // Not FUTEX_PRIVATE_FLAG: the word is shared by processes.
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, expected, &limit, nullptr, 0);
#else
    (void)word, (void)expected;
    const std::int64_t nap = limit_ns < 500'000 ? limit_ns : 500'000;
    const timespec limit{0, static_cast<long>(nap)};
    nanosleep(&limit, nullptr);
#endif
}

// Reader, before its last look into the ring; returns what park() must expect.
inline std::uint32_t arm(std::atomic<std::uint32_t>& word) noexcept {
    const std::uint32_t armed = word.fetch_or(1, std::memory_order_seq_cst) | 1;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in Writer::sleepers
    return armed;
}

// Writer: ends all sleeps.
inline void notify(ParkPage& page) noexcept {
    std::uint32_t found = page.word.load(std::memory_order_relaxed);
    // acq_rel: as part of the modification order of the word, where readers arm at the same time
    while (!page.word.compare_exchange_weak(found, (found | 1) + 1, std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {
    }
#if defined(__linux__)
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&page.word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
#endif
}

inline bool live(const View& view) noexcept {
    // acquire: pairs with the release in Segment: whatever was published before is visible
    return view.header->state.load(std::memory_order_acquire) == STATE_LIVE;
}

// Waits in this thread for a message at `position`: spins for `spin_ns`, then sleeps. Whether there is one; false
// after `limit_ns`, or as soon as the writer says that it has ended.
inline bool wait_for(const View& view, std::uint64_t position, std::int64_t spin_ns, std::int64_t limit_ns) noexcept {
    for (int i = 0; i < 64; ++i) {
        if (Reader::ready(view, position)) return true;
        relax();
    }
    const std::int64_t start = monotonic_ns();
    for (;;) {
        for (int i = 0; i < 256; ++i) {
            if (Reader::ready(view, position)) return true;
            relax();
        }
        if (!live(view)) return Reader::ready(view, position);
        const std::int64_t spent = monotonic_ns() - start;
        if (spent >= limit_ns) return false;
        if (spent < spin_ns) continue;
        HFT_STEP_POINT("arms");
        const std::uint32_t armed = arm(view.park->word);
        HFT_STEP_POINT("armed");
        if (Reader::ready(view, position)) return true;
        const std::int64_t left = limit_ns - spent;
        HFT_STEP_POINT("parks");
        park(view.park->word, armed, left < TICK_NS ? left : TICK_NS);
    }
}

// A thread that watches one segment for an event loop, and writes to a pipe or eventfd when the loop has armed it and
// there is something to see: a message, the end of the writer, or another file at the segment's path. While the loop
// is awake the thread sleeps on the park word, and nobody wakes it. Without a segment it waits for the file to appear.
class Watcher {
public:
    // `signal_fd` is the caller's, non-blocking. `view` is null if there is no living segment; the file of that device
    // and inode at the path is none that is looked for.
    Watcher(const std::string& path, int signal_fd, const View* view, std::uint64_t device, std::uint64_t inode,
            std::int64_t spin_ns)
        : path_(path),
          signalFd_(signal_fd),
          spinNs_(spin_ns),
          attached_(view != nullptr),
          device_(device),
          inode_(inode) {
        if (attached_) view_ = *view;
        // Signals are for the interpreter's threads.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            thread_ = std::thread([this] { run(); });
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    // After a fork the thread is the parent's alone.
    void abandon() noexcept { thread_.detach(); }

    ~Watcher() {
        if (!thread_.joinable()) return;
        stop_.store(true, std::memory_order_release);  // pairs with the acquire in run()
        if (attached_) {
            notify(*view_.park);
        } else {
            notify(own_);
        }
        thread_.join();
    }

    // Loop thread, before it sleeps. False if there is something to read at `position` already.
    bool arm_at(std::uint64_t position) noexcept {
        position_.store(position, std::memory_order_relaxed);  // relaxed: published by the release of armed_
        armed_.store(true, std::memory_order_release);         // pairs with the acquire in due()
        if (!attached_) return true;
        arm(view_.park->word);
        if (!Reader::ready(view_, position) && live(view_)) return true;
        // acq_rel: only one of the two takes it down
        return !armed_.exchange(false, std::memory_order_acq_rel);
    }

private:
    void run() noexcept {
        std::int64_t hot_until = 0, next_look = monotonic_ns() + TICK_NS;
        while (!stop_.load(std::memory_order_acquire)) {  // pairs with the release in the destructor
            std::atomic<std::uint32_t>& word = attached_ ? view_.park->word : own_.word;
            const std::uint32_t before = word.load(std::memory_order_acquire);
            const std::int64_t now = monotonic_ns();
            bool look = now >= next_look;
            if (look) next_look = now + TICK_NS;
            // acquire: pairs with the release in arm_at
            if (armed_.load(std::memory_order_acquire) && (due() || (look && moved()))) {
                if (armed_.exchange(false, std::memory_order_acq_rel)) signal();
                hot_until = now + spinNs_;
            }
            if (now < hot_until) {
                for (int i = 0; i < 64; ++i) relax();
            } else if (!stop_.load(std::memory_order_acquire)) {
                park(word, before, TICK_NS);
            }
        }
    }

    bool due() const noexcept {
        return attached_ && (Reader::ready(view_, position_.load(std::memory_order_relaxed)) || !live(view_));
    }

    // Whether another file stands at the path than the one that is mapped.
    bool moved() const noexcept {
        struct stat found;
        if (lstat(path_.c_str(), &found) != 0) return false;
        return found.st_dev != device_ || found.st_ino != inode_;
    }

    void signal() const noexcept {
        const std::uint64_t one = 1;
        // A full pipe says the same already.
        while (write(signalFd_, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }

    const std::string path_;
    const int signalFd_;
    const std::int64_t spinNs_;
    const bool attached_;
    const std::uint64_t device_, inode_;
    View view_;
    ParkPage own_{};  // what the thread sleeps on without a segment
    std::atomic<std::uint64_t> position_{0};
    std::atomic<bool> armed_{false};
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace hft::shm
