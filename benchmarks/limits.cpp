// What this machine allows at best; one line "name nanoseconds" each. Printed beside the benchmarks by limits.py.
// Every figure is the best of several tries: a limit is what nothing disturbed.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace {

constexpr int TRIES = 25;

double now() {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Measure>
double best(Measure measure) {
    double smallest = measure();
    for (int i = 1; i < TRIES; ++i) smallest = std::min(smallest, measure());
    return smallest;
}

cpu_set_t allowed;  // the CPUs of the process before anything was pinned

void pin(int index) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed) && seen++ == index) CPU_SET(cpu, &one);
    }
    if (CPU_COUNT(&one) == 1) pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

double memcpy_64() {
    constexpr int SLOTS = 64, TURNS = 1 << 16;
    alignas(64) static unsigned char from[SLOTS][64], to[SLOTS][64];
    const double started = now();
    for (int i = 0; i < TURNS; ++i) {
        std::memcpy(to[i % SLOTS], from[(i + 1) % SLOTS], 64);
        asm volatile("" ::: "memory");
    }
    return (now() - started) / TURNS;
}

double system_call() {
    constexpr int TURNS = 2000;
    const double started = now();
    for (int i = 0; i < TURNS; ++i) syscall(SYS_getppid);
    return (now() - started) / TURNS;
}

alignas(64) std::atomic<uint32_t> ping{0};
alignas(64) std::atomic<uint32_t> pong{0};

// One way: half of there and back between two threads that spin on their own CPUs, in the quickest of many short
// stretches, since either may lose its CPU for a while.
double cache_line() {
    constexpr uint32_t TURNS = 4000, STRETCH = 100;
    ping.store(0);
    pong.store(0);
    std::thread other([] {
        pin(1);
        for (uint32_t i = 1; i <= TURNS; ++i) {
            while (ping.load(std::memory_order_acquire) != i) {}  // acquire: pairs with the release of the main thread
            pong.store(i, std::memory_order_release);             // release: pairs with the acquire below
        }
    });
    pin(0);
    double quickest = 1e18, started = now();
    for (uint32_t i = 1; i <= TURNS; ++i) {
        ping.store(i, std::memory_order_release);             // release: pairs with the acquire of the other thread
        while (pong.load(std::memory_order_acquire) != i) {}  // acquire: pairs with the release of the other thread
        if (i % STRETCH == 0) {
            const double ended = now();
            quickest = std::min(quickest, ended - started);
            started = ended;
        }
    }
    other.join();
    return quickest / STRETCH / 2;
}

// From the write of one thread to the return from read() of another that sleeps on another CPU.
double thread_wake(double* waker) {
    constexpr int TURNS = 400;
    const int event = eventfd(0, 0), answer = eventfd(0, 0);
    if (event < 0 || answer < 0) return -1;
    static std::atomic<double> woken{0};
    std::thread sleeper([=] {
        pin(1);
        uint64_t value;
        for (int i = 0; i < TURNS; ++i) {
            if (read(event, &value, sizeof value) != sizeof value) return;
            woken.store(now(), std::memory_order_relaxed);  // relaxed: the eventfd's write and read order it
            value = 1;
            if (write(answer, &value, sizeof value) != sizeof value) return;
        }
    });
    pin(0);
    double latencies[TURNS], costs[TURNS];
    for (int i = 0; i < TURNS; ++i) {
        usleep(200);  // long enough for the other to sleep
        uint64_t value = 1;
        const double started = now();
        if (write(event, &value, sizeof value) != sizeof value) break;
        costs[i] = now() - started;
        if (read(answer, &value, sizeof value) != sizeof value) break;
        latencies[i] = woken.load(std::memory_order_relaxed) - started;
    }
    sleeper.join();
    close(event);
    close(answer);
    std::nth_element(latencies, latencies + TURNS / 2, latencies + TURNS);
    std::nth_element(costs, costs + TURNS / 2, costs + TURNS);
    *waker = costs[TURNS / 2];
    return latencies[TURNS / 2];
}

// Half of there and back between two threads on one CPU, 64 bytes each way.
double unix_socket() {
    constexpr int TURNS = 500;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return -1;
    std::thread other([&ends] {
        pin(0);
        char bytes[64];
        for (int i = 0; i < TURNS; ++i) {
            if (read(ends[1], bytes, sizeof bytes) != sizeof bytes) return;
            if (write(ends[1], bytes, sizeof bytes) != sizeof bytes) return;
        }
    });
    pin(0);
    char bytes[64] = {};
    const double started = now();
    for (int i = 0; i < TURNS; ++i) {
        if (write(ends[0], bytes, sizeof bytes) != sizeof bytes) break;
        if (read(ends[0], bytes, sizeof bytes) != sizeof bytes) break;
    }
    const double taken = now() - started;
    other.join();
    close(ends[0]);
    close(ends[1]);
    return taken / TURNS / 2;
}

}  // namespace

int main() {
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    pin(0);
    std::printf("memcpy of 64 bytes\t%.2f\n", best(memcpy_64));
    std::printf("system call\t%.1f\n", best(system_call));
    std::printf("unix socket, half round trip on one CPU\t%.0f\n", best(unix_socket));
    // Two threads that spin need two CPUs; on one they would wait for the scheduler.
    if (CPU_COUNT(&allowed) >= 2) {
        std::printf("cache line from core to core, one way\t%.0f\n", best(cache_line));
        double waker = 0;
        const double woken = thread_wake(&waker);
        std::printf("waking a sleeping thread on another CPU\t%.0f\n", woken);
        std::printf("the same, for the one who wakes it\t%.0f\n", waker);
    }
    return 0;
}
