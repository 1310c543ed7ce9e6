// Stress of the rings with several producers, of conflation and of waiting for room, for ThreadSanitizer and
// AddressSanitizer. No Python.
//
//   many_stress POLICY CAPACITY ITEMS PRODUCERS [PATIENCE]
//     POLICY: drop_newest, drop_oldest, halt, block, conflate     PATIENCE: seconds that any wait may take, 20
//
// Each producer numbers its ITEMS and fills each with words that follow from the number; the consumer checks every
// word, the order of each producer's items (conflate: of each symbol's), and at the end the counters. One producer
// makes the single-producer ring. Exit status 1 and a line on standard error at the first violation.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "doorbell.hpp"
#include "hftcore/any_ring.hpp"
#include "hftcore/wakeup.hpp"

namespace {

constexpr std::uint64_t SYMBOLS = 9;  // of each producer, with conflate: three fill half the places of 32 slots

struct Item {
    std::uint64_t words[8];
};

std::uint64_t mixed(std::uint64_t number, std::uint64_t word) {
    std::uint64_t x = number * 0x9E3779B97F4A7C15ull + word * 0xBF58476D1CE4E5B9ull;
    return x ^ (x >> 29);
}

Item made(std::uint64_t number, std::uint64_t producer) {
    hft::Ticker place{};
    place.symbol = static_cast<std::int32_t>(number % SYMBOLS);
    place.exchange = static_cast<std::uint8_t>(producer);
    Item item;
    std::memcpy(&item, &place, sizeof item);
    item.words[0] = number;
    for (std::uint64_t w = 1; w < 7; ++w) item.words[w] = mixed(number + producer, w);
    return item;
}

[[noreturn]] void fail(const char* what, std::uint64_t expected, std::uint64_t found) {
    std::fprintf(stderr, "violated: %s, expected %" PRIu64 ", was %" PRIu64 "\n", what, expected, found);
    std::_Exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, expected, found);
}

hft::Overflow policy_of(const char* name) {
    if (std::strcmp(name, "drop_newest") == 0) return hft::OVERFLOW_DROP_NEWEST;
    if (std::strcmp(name, "drop_oldest") == 0) return hft::OVERFLOW_DROP_OLDEST;
    if (std::strcmp(name, "halt") == 0) return hft::OVERFLOW_HALT;
    if (std::strcmp(name, "block") == 0) return hft::OVERFLOW_BLOCK;
    return hft::OVERFLOW_CONFLATE;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) return 2;
    const hft::Overflow policy = policy_of(argv[1]);
    const std::size_t capacity = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t items = std::strtoull(argv[3], nullptr, 10), producers = std::strtoull(argv[4], nullptr, 10);
    const std::int64_t patience = argc > 5 ? std::strtoll(argv[5], nullptr, 10) : 20;
    const bool oldest = policy == hft::OVERFLOW_DROP_OLDEST, conflates = policy == hft::OVERFLOW_CONFLATE;

    hft::AnyRing ring(capacity, policy, producers > 1);
    hft::ArmedFlag sleeping;
    Doorbell wake;
    std::atomic<std::uint64_t> working{producers}, refused{0};
    const auto announce = [&] {
        if (sleeping.take()) wake.ring();
    };

    std::vector<std::thread> threads;
    for (std::uint64_t producer = 0; producer < producers; ++producer) {
        threads.emplace_back([&, producer] {
            for (std::uint64_t number = 0; number < items; ++number) {
                const Item item = made(number, producer);
                if (policy == hft::OVERFLOW_BLOCK) {
                    const auto start = std::chrono::steady_clock::now();
                    hft::Offer answer = ring.offer(&item);
                    if (answer == hft::OFFER_FULL) {
                        announce();
                        answer = ring.push_within(&item, patience * 1000000000);
                    }
                    expect("room in time", hft::OFFER_TAKEN, answer);
                    // A wait that only its end in time has ended was woken by nobody.
                    if (std::chrono::steady_clock::now() - start >= std::chrono::seconds(patience)) fail("woken", 1, 0);
                } else {
                    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(patience);
                    while (ring.offer(&item) != hft::OFFER_TAKEN) {
                        if (std::chrono::steady_clock::now() > deadline) fail("room in time", 1, 0);
                        refused.fetch_add(1, std::memory_order_relaxed);
                        if (ring.halted()) ring.reset();
                        announce();
                        std::this_thread::yield();
                    }
                }
                if ((number & 7) == 0) announce();
                if ((oldest || conflates) && (number & 255) == producer) std::this_thread::yield();
            }
            working.fetch_sub(1, std::memory_order_release);  // pairs with the acquire of the consumer
            announce();
        });
    }

    std::vector<Item> batch(capacity);
    std::vector<std::uint64_t> next(producers * (conflates ? SYMBOLS : 1), 0);
    std::uint64_t taken = 0, turn = 0;
    const std::size_t full = conflates && capacity > producers * SYMBOLS ? producers * SYMBOLS : capacity;
    for (;;) {
        // Now and then a late consumer, so that the ring is full whatever the schedule, and whoever waits for room sleeps.
        if (turn % 32 == 0) {
            while (ring.size() < full && working.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
        const std::size_t found = ring.pop(batch.data(), 1 + turn++ % capacity);
        for (std::size_t i = 0; i < found; ++i) {
            hft::Ticker place;
            std::memcpy(&place, &batch[i], sizeof place);
            const std::uint64_t number = batch[i].words[0], producer = place.exchange;
            if (producer >= producers) fail("producer", producers, producer);
            expect("symbol", number % SYMBOLS, static_cast<std::uint64_t>(place.symbol));
            std::uint64_t& least = next[conflates ? producer * SYMBOLS + number % SYMBOLS : producer];
            if (oldest || conflates ? number < least : number != least) fail("order", least, number);
            for (std::uint64_t w = 1; w < 7; ++w) expect("payload", mixed(number + producer, w), batch[i].words[w]);
            least = number + 1;
        }
        taken += found;
        if (turn % 64 == 0) std::this_thread::yield();
        if (found) continue;
        sleeping.arm();
        if (ring.ready()) {
            sleeping.disarm();
            continue;
        }
        if (working.load(std::memory_order_acquire) == 0) {
            if (ring.size() == 0) break;
            // All is written: what nobody can take now, nobody ever will.
            if (!ring.ready()) fail("items that cannot be taken", 0, ring.size());
            continue;
        }
        if (!wake.wait(patience)) fail("wake-up in time", 1, 0);
    }
    for (std::thread& thread : threads) thread.join();

    const std::uint64_t all = items * producers;
    expect("pushed", all, ring.pushed());
    expect("popped", taken, ring.popped());
    if (oldest || conflates) {
        expect("pushed = popped + dropped + conflated", all, taken + ring.dropped() + ring.conflated());
    } else {
        expect("dropped", refused.load(), ring.dropped());
    }
    if (conflates && capacity >= producers * SYMBOLS) {
        // Room for all: nothing is lost, and the last of every symbol arrived.
        expect("dropped", 0, ring.dropped());
        for (std::uint64_t producer = 0; producer < producers; ++producer) {
            for (std::uint64_t back = 0; back < SYMBOLS && back < items; ++back) {
                const std::uint64_t last = items - 1 - back;
                expect("last of a symbol", last + 1, next[producer * SYMBOLS + last % SYMBOLS]);
            }
        }
    }
    // What gave way to make room was older: the newest of all arrives where only one writes.
    if (oldest && producers == 1) expect("last item", items, next[0]);
    if (ring.highWater() > capacity || ring.highWater() == 0) fail("high water", capacity, ring.highWater());
    std::printf("%s capacity %zu, %" PRIu64 " producers: %" PRIu64 " taken, %" PRIu64 " dropped, %" PRIu64 " conflated\n",
                argv[1], capacity, producers, taken, ring.dropped(), ring.conflated());
    return 0;
}
