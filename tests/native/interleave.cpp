// Interleavings of the lock-free rings, one after the other, in one thread: nothing depends on luck or on the schedule.
//
//   interleave POLICY PRODUCERS ROUNDS            POLICY: drop_newest, drop_oldest, halt, block    PRODUCERS: one, many
//
// The rings call HFT_STEP_POINT between their steps. Here that runs whole operations of the other side, as another
// thread would while this one is stopped there: the consumer takes while a producer is in the middle of an offer,
// producers put while the consumer is in the middle of a pop, and with many producers other producers too. Which ones,
// numbers from a fixed seed say. Each item is made of words that follow from its number. Checked: the words, the order
// of each producer's items, that nothing is given twice, that what was taken in comes out (what was not dropped), the
// positions, and at the end all counters.
// Exit status 1 and a line on standard error at the first violation.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

void step_point(const char* name);
#define HFT_STEP_POINT(name) step_point(name)
#include "hftcore/any_ring.hpp"

namespace {

constexpr int DEEPEST = 3;  // operations within each other
constexpr std::int64_t LONG_NS = 600'000'000'000;

struct Item {
    std::uint64_t words[8];
};

std::uint64_t mixed(std::uint64_t number, std::uint64_t word) {
    std::uint64_t x = number * 0x9E3779B97F4A7C15ull + word * 0xBF58476D1CE4E5B9ull;
    return x ^ (x >> 29);
}

[[noreturn]] void fail(const char* what, std::uint64_t expected, std::uint64_t found) {
    std::fprintf(stderr, "violated: %s, expected %" PRIu64 ", was %" PRIu64 "\n", what, expected, found);
    std::_Exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, expected, found);
}

// One run of a ring, and what must have come of it.
class Run {
public:
    Run(hft::Overflow policy, bool many, std::size_t capacity, std::uint64_t seed)
        : policy_(policy), many_(many), oldest_(policy == hft::OVERFLOW_DROP_OLDEST), ring_(capacity, policy, many),
          chance_(seed) {}

    void go(int operations) {
        for (int i = 0; i < operations; ++i) {
            injections_ = 0;
            operation();
        }
        most_injections_ = 0;
        while (ring_.ready()) pop(1 + ring_.size(), false);
        expect("left", 0, ring_.size());
        ring_.close();
        Item item = next_item(0);
        expect("an offer after close", hft::OFFER_REFUSED, ring_.offer(&item));
        ++refused_;
        check_end();
    }

    // Within an operation of the ring.
    void step(const char* name) {
        if (waits_) {
            wait_step(name);
            return;
        }
        if (depth_ >= DEEPEST || injections_ >= most_injections_ || chance_() % 3 != 0) return;
        ++injections_;
        operation();
    }

private:
    // One that may run while those that are under way are stopped; perhaps none.
    void operation() {
        const bool may_offer = many_ || offers_ == 0, may_pop = !pops_;
        if (!may_offer && !may_pop) return;
        ++depth_;
        switch (may_offer && may_pop ? chance_() % 8 : may_pop ? chance_() % 3 : 3 + chance_() % 5) {
            case 0:
            case 1:
                pop(1 + chance_() % (2 * ring_.capacity()));
                break;
            case 2:
                oldest_ ? pop(1) : view(1 + chance_() % ring_.capacity());
                break;
            case 3:
                if (policy_ == hft::OVERFLOW_BLOCK && may_pop && depth_ == 1) {
                    wait_for_room();
                    break;
                }
                [[fallthrough]];
            default:
                // Often enough that laps happen within one step.
                for (std::uint64_t n = 1 + chance_() % (ring_.capacity() + 1); n != 0; --n) offer();
        }
        if (ring_.halted() && chance_() % 4 == 0) ring_.reset();
        if (ring_.size() > ring_.capacity()) fail("size", ring_.capacity(), ring_.size());
        --depth_;
    }

    Item next_item(std::size_t producer) {
        Item item;
        const std::uint64_t number = number_++;
        item.words[0] = number;
        for (std::uint64_t w = 1; w < 7; ++w) item.words[w] = mixed(number, w);
        item.words[7] = producer;
        fate_.push_back(UNDER_WAY);
        return item;
    }

    void offer() {
        // Who puts while another producer is stopped is another producer.
        const std::size_t producer = offers_++;
        const Item item = next_item(producer);
        note(item, ring_.offer(&item));
        --offers_;
    }

    void note(const Item& item, hft::Offer answer) {
        std::uint8_t& fate = fate_[item.words[0]];
        switch (answer) {
            case hft::OFFER_TAKEN:
                ++taken_in_;
                if (fate == UNDER_WAY) fate = TAKEN_IN;
                break;
            case hft::OFFER_REFUSED:
                if (policy_ == hft::OVERFLOW_DROP_OLDEST || policy_ == hft::OVERFLOW_BLOCK) fail("refused", 0, 1);
                ++refused_;
                if (policy_ == hft::OVERFLOW_HALT && !ring_.halted()) fail("halted by a refusal", 1, 0);
                if (fate != UNDER_WAY) fail("a refused item came out", 0, item.words[0]);
                fate = NOT_TAKEN;
                break;
            default:
                if (policy_ != hft::OVERFLOW_BLOCK) fail("full", 0, 1);
                if (fate != UNDER_WAY) fail("an item for which there was no room came out", 0, item.words[0]);
                fate = NOT_TAKEN;
        }
    }

    // Block: a producer waits, and the consumer makes room between two of its steps.
    void wait_for_room() {
        const std::size_t producer = offers_++;
        const Item item = next_item(producer);
        waits_ = true;
        room_made_ = false;
        room_before_look_ = chance_() % 2;
        const hft::Offer answer = ring_.push_within(&item, LONG_NS);
        waits_ = false;
        --offers_;
        expect("room for who waits", hft::OFFER_TAKEN, answer);
        note(item, answer);
    }

    // The consumer makes room before the waiting producer's last look, or after it.
    void wait_step(const char* name) {
        const bool looked = std::strcmp(name, "looked for room") == 0;
        if (looked) expect("size after a look for room", ring_.capacity(), ring_.size());
        if (room_made_ || !(looked ? !room_before_look_ : std::strcmp(name, "waits for room") == 0 && room_before_look_)) {
            return;
        }
        room_made_ = true;
        waits_ = false;
        pop(1, false);
        waits_ = true;
        expect("size after room was made", ring_.capacity() - 1, ring_.size());
    }

    void pop(std::size_t limit, bool may_end_early = true) {
        pops_ = true;
        std::vector<Item> items(limit);
        const std::uint64_t until = !may_end_early || chance_() % 4 ? hft::NO_LIMIT : ring_.position() + chance_() % 3;
        std::uint64_t first = 0;
        const std::size_t n = ring_.pop(items.data(), limit, until, &first);
        if (n > limit) fail("limit", limit, n);
        if (n != 0) {
            if (first + n > until) fail("beyond the mark", until, first + n);
            if (oldest_ ? first < end_ : first != end_) fail("position", end_, first);
            end_ = first + n;
        }
        for (std::size_t i = 0; i < n; ++i) take(items[i]);
        expect("position after a pop", end_ > ring_.position() ? end_ : ring_.position(), ring_.position());
        pops_ = false;
    }

    void view(std::size_t limit) {
        pops_ = true;
        const void* items = nullptr;
        const std::size_t n = ring_.peek(&items, limit);
        if (n > limit) fail("limit", limit, n);
        for (std::size_t i = 0; i < n; ++i) {
            Item item;
            std::memcpy(&item, static_cast<const char*>(items) + i * 64, sizeof item);
            take(item);
        }
        if (n != 0) ring_.retire(n);
        end_ += n;
        pops_ = false;
    }

    void take(const Item& item) {
        const std::uint64_t number = item.words[0], producer = item.words[7];
        if (number >= number_) fail("number", number_, number);
        for (std::uint64_t w = 1; w < 7; ++w) expect("payload", mixed(number, w), item.words[w]);
        if (producer >= next_.size()) next_.resize(producer + 1, 0);
        if (number < next_[producer]) fail("order", next_[producer], number);
        next_[producer] = number + 1;
        if (fate_[number] != UNDER_WAY && fate_[number] != TAKEN_IN) fail("given twice, or never taken in", 0, number);
        fate_[number] = GIVEN;
        ++given_;
    }

    void check_end() {
        std::uint64_t never = 0;
        for (const std::uint8_t fate : fate_) never += fate == TAKEN_IN;
        expect("pushed", taken_in_, ring_.pushed());
        expect("popped", given_, ring_.popped());
        expect("dropped", refused_ + (oldest_ ? never : 0), ring_.dropped());
        if (!oldest_) expect("taken in and not given", 0, never);
        if (ring_.highWater() > ring_.capacity()) fail("high water", ring_.capacity(), ring_.highWater());
        if (taken_in_ && ring_.highWater() == 0) fail("high water", 1, 0);
    }

    enum Fate : std::uint8_t { UNDER_WAY, TAKEN_IN, NOT_TAKEN, GIVEN };

    const hft::Overflow policy_;
    const bool many_, oldest_;
    hft::AnyRing ring_;
    std::mt19937_64 chance_;
    int depth_ = 0, injections_ = 0, most_injections_ = 6;
    std::size_t offers_ = 0;  // under way, one within the other
    bool pops_ = false, waits_ = false, room_before_look_ = false, room_made_ = false;
    std::uint64_t number_ = 0, end_ = 0, taken_in_ = 0, refused_ = 0, given_ = 0;
    std::vector<std::uint8_t> fate_;
    std::vector<std::uint64_t> next_;  // by producer
};

Run* running = nullptr;

}  // namespace

void step_point(const char* name) {
    if (running) running->step(name);
}

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const char* const names[] = {"drop_newest", "drop_oldest", "halt", "block"};
    const hft::Overflow policies[] = {hft::OVERFLOW_DROP_NEWEST, hft::OVERFLOW_DROP_OLDEST, hft::OVERFLOW_HALT,
                                      hft::OVERFLOW_BLOCK};
    for (int i = 0; i < 4; ++i) {
        if (std::strcmp(argv[1], names[i]) != 0) continue;
        const std::uint64_t rounds = std::strtoull(argv[3], nullptr, 10);
        for (std::uint64_t round = 0; round < rounds; ++round) {
            Run run(policies[i], std::strcmp(argv[2], "many") == 0, std::size_t{1} << round % 4, round);
            running = &run;
            run.go(200);
            running = nullptr;
        }
        std::printf("%s, %s: %" PRIu64 " rounds\n", argv[1], argv[2], rounds);
        return 0;
    }
    return 2;
}
