// Stress of the SPSC ring and of the armed flag, for ThreadSanitizer and AddressSanitizer. No Python.
//
//   ring_stress POLICY CAPACITY ITEMS [turns]     POLICY: drop_newest, drop_oldest, halt
//
// The producer numbers its items and fills each with words that follow from the number; the consumer checks every
// word and the order, and at the end the counters. Exit status 1 and a line on standard error at the first violation.
// The consumer sleeps at a doorbell under the armed flag, so that a lost wake-up shows as a time-out.
// With `turns` the producer lets the consumer fall asleep each time before it goes on: the schedule of a busy processor.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "doorbell.hpp"
#include "hftcore/spsc_ring.hpp"
#include "hftcore/wakeup.hpp"

namespace {

struct Item {
    std::uint64_t words[8];
};

std::uint64_t mixed(std::uint64_t number, std::uint64_t word) {
    std::uint64_t x = number * 0x9E3779B97F4A7C15ull + word * 0xBF58476D1CE4E5B9ull;
    return x ^ (x >> 29);
}

[[noreturn]] void fail(const char* what, std::uint64_t expected, std::uint64_t found) {
    std::fprintf(stderr, "violated: %s, expected %" PRIu64 ", was %" PRIu64 "\n", what, expected, found);
    std::exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, expected, found);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4 && argc != 5) return 2;
    const bool turns = argc == 5;
    const bool newest = std::strcmp(argv[1], "drop_newest") == 0, oldest = std::strcmp(argv[1], "drop_oldest") == 0;
    const std::size_t capacity = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t items = std::strtoull(argv[3], nullptr, 10);
    const hft::Overflow policy =
        newest ? hft::OVERFLOW_DROP_NEWEST : (oldest ? hft::OVERFLOW_DROP_OLDEST : hft::OVERFLOW_HALT);

    hft::SpscRing ring(capacity, policy);
    hft::ArmedFlag sleeping;
    Doorbell wake;
    std::atomic<bool> finished{false};
    std::uint64_t refused = 0;
    const auto wait_for_sleeper = [&] {
        while (turns && !sleeping.armed()) std::this_thread::yield();
    };

    std::thread producer([&] {
        wait_for_sleeper();
        for (std::uint64_t number = 0; number < items; ++number) {
            Item item;
            for (std::uint64_t w = 0; w < 8; ++w) item.words[w] = w == 0 ? number : mixed(number, w);
            while (!ring.push(&item)) {
                ++refused;
                if (ring.halted()) ring.reset();
                // Whoever waits for room must have said first that there is something to take.
                if (sleeping.take()) wake.ring();
                std::this_thread::yield();
            }
            if ((number & 7) == 0 && sleeping.take()) {
                wake.ring();
                wait_for_sleeper();
            }
            if (oldest && (number & 1023) == 0) std::this_thread::yield();
        }
        finished.store(true, std::memory_order_release);  // pairs with the acquire of the consumer
        if (sleeping.take()) wake.ring();
    });

    std::vector<Item> batch(capacity);
    std::uint64_t next = 0, taken = 0, turn = 0;
    for (;;) {
        const std::size_t found = ring.pop(batch.data(), 1 + turn++ % capacity);
        for (std::size_t i = 0; i < found; ++i) {
            const std::uint64_t number = batch[i].words[0];
            if (oldest ? number < next : number != next) fail("order", next, number);
            for (std::uint64_t w = 1; w < 8; ++w) expect("payload", mixed(number, w), batch[i].words[w]);
            next = number + 1;
        }
        taken += found;
        if (found) continue;
        sleeping.arm();
        if (ring.size()) {
            sleeping.disarm();
            continue;
        }
        if (finished.load(std::memory_order_acquire)) {
            if (ring.size() == 0) break;
            continue;
        }
        if (!wake.wait(20)) fail("wake-up within 20 s", 1, 0);
    }
    producer.join();

    expect("pushed", items, ring.pushed());
    expect("popped", taken, ring.popped());
    expect("dropped", oldest ? items - taken : refused, ring.dropped());
    expect("last item", items, next);
    if (ring.highWater() > capacity || (items && ring.highWater() == 0)) fail("high water", capacity, ring.highWater());
    std::printf("%s capacity %zu: %" PRIu64 " taken, %" PRIu64 " dropped, high water %" PRIu64 "\n", argv[1], capacity,
                taken, ring.dropped(), ring.highWater());
    return 0;
}
