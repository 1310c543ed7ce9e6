// Structures of one thread, or of one at a time, against slow models that one reads at a glance. Random operations from
// fixed seeds, so that a run finds what it found before.
//
//   structure_check conflate ROUNDS     the conflating ring, against a list of what is unread
//   structure_check gate                the room gate: who is let in, and who is not
//   structure_check feed ROUNDS         what a feed remembers of its symbols, against maps
//   structure_check handover ROUNDS     two threads in strict turns that order nothing, for ThreadSanitizer: all that
//                                       orders their accesses is the ring
//
// Exit status 1 and a line on standard error at the first violation.
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

std::atomic<int> sleeping{0};  // in the room gate, each with its lock
inline void step_point(const char* name) {
    if (std::strcmp(name, "sleeps") == 0) sleeping.fetch_add(1);
}
#define HFT_STEP_POINT(name) step_point(name)
#include "hftcore/any_ring.hpp"
#include "hftcore/feed_state.hpp"

namespace {

using Random = std::mt19937_64;
using Clock = std::chrono::steady_clock;

template <typename A, typename B>
void expect(const char* what, A expected, B found) {
    const auto left = static_cast<std::int64_t>(expected), right = static_cast<std::int64_t>(found);
    if (left == right) return;
    std::fprintf(stderr, "violated: %s, expected %" PRId64 ", was %" PRId64 "\n", what, left, right);
    std::_Exit(1);
}

// ---- the conflating ring

struct Unread {
    std::uint64_t position, key, number;
};

void conflate_round(std::uint64_t seed) {
    Random chance(seed);
    // The largest first: there a mistake shows before the ring can lose its way for ever.
    const std::size_t capacity = std::size_t{32} >> seed % 6;
    // About as many symbols as places, so that keys stand in each other's way and some items must give way.
    const std::uint64_t symbols = 1 + capacity * (1 + seed % 3) / 2;
    hft::AnyRing ring(capacity, hft::OVERFLOW_CONFLATE, seed % 2);
    std::deque<Unread> unread;
    std::uint64_t tail = 0, barrier = 0, number = 0, pushed = 0, popped = 0, dropped = 0, conflated = 0, most = 0;
    std::vector<hft::Ticker> items(4 * capacity + 40);
    for (int turn = 0; turn < 2000; ++turn) {
        const std::uint64_t what = chance() % 64;
        if (what < 46) {
            hft::Ticker ticker{};
            ticker.symbol = static_cast<std::int32_t>(chance() % symbols);
            ticker.exchange = static_cast<std::uint8_t>(chance() % 2);
            ticker.seq = ++number;
            const std::uint64_t key = ticker.exchange * 1000000ull + static_cast<std::uint64_t>(ticker.symbol);
            expect("offer", hft::OFFER_TAKEN, ring.offer(&ticker));
            ++pushed;
            Unread* same = nullptr;
            for (Unread& item : unread) {
                if (item.key == key && item.position >= barrier) same = &item;
            }
            if (same) {
                same->number = number;
                ++conflated;
            } else {
                if (unread.size() == capacity) {
                    unread.pop_front();
                    ++dropped;
                }
                unread.push_back({tail++, key, number});
                if (unread.size() > most) most = unread.size();
            }
        } else if (what < 60) {
            // Mostly fewer than came, so that the ring is full; sometimes more than it takes under its lock at once.
            const std::size_t limit = 1 + chance() % (chance() % 16 ? 3 : items.size() - 1);
            const std::uint64_t until = chance() % 4 ? hft::NO_LIMIT : (chance() % 2 ? barrier : tail);
            std::size_t wanted = 0;
            while (wanted < unread.size() && wanted < limit && unread[wanted].position < until) ++wanted;
            std::uint64_t first = 0;
            expect("popped items", wanted, ring.pop(items.data(), limit, until, &first));
            if (wanted) expect("first position", unread.front().position, first);
            for (std::size_t i = 0; i < wanted; ++i, unread.pop_front()) {
                expect("number", unread.front().number, items[i].seq);
                expect("symbol", unread.front().key % 1000000, items[i].symbol);
                expect("exchange", unread.front().key / 1000000, items[i].exchange);
            }
            popped += wanted;
        } else if (what < 62) {
            if (chance() % 4) continue;  // seldom enough that most of what is unread can be replaced
            barrier = tail;
            expect("mark", tail, ring.mark());
        } else {
            expect("refuse", hft::OFFER_REFUSED, ring.refuse());
            ++dropped;
        }
        expect("size", unread.size(), ring.size());
        expect("ready", !unread.empty(), ring.ready());
        expect("position", tail - unread.size(), ring.position());
        expect("pushed", pushed, ring.pushed());
        expect("popped", popped, ring.popped());
        expect("dropped", dropped, ring.dropped());
        expect("conflated", conflated, ring.conflated());
        expect("high water", most, ring.highWater());
    }
    ring.close();
    hft::Ticker ticker{};
    expect("closed", true, ring.closed());
    expect("an offer after close", hft::OFFER_REFUSED, ring.offer(&ticker));
    expect("dropped after close", dropped + 1, ring.dropped());
    expect("pushed after close", pushed, ring.pushed());
    expect("what is left after close", unread.size(), ring.pop(items.data(), items.size()));
}

// ---- the room gate, and who signals it

// Whether who has entered would be let in by now; sleeps for nothing.
bool let_in(hft::RoomGate& gate, std::uint64_t entered) { return gate.wait(entered, Clock::now()); }

void check_gate() {
    hft::RoomGate gate;
    gate.signal();  // nobody waits
    std::uint64_t entered = gate.enter();
    expect("let in without a signal", false, let_in(gate, entered));
    expect("let in after a short wait without a signal", false, gate.wait_ns(entered, 1000));
    const std::uint64_t second = gate.enter();
    gate.signal();
    expect("let in by a signal", true, let_in(gate, entered));
    expect("the second let in by the same signal", true, let_in(gate, second));
    gate.leave();
    entered = gate.enter();  // now two are in
    gate.leave();
    expect("let in by a signal before entering", false, let_in(gate, entered));
    gate.signal();
    expect("let in by a signal though somebody left", true, let_in(gate, entered));
    gate.leave();

    // Several asleep: one signal wakes all. Each has looked with the gate's lock, which signal waits for, and sleeps by then.
    for (int turn = 0; turn < 20; ++turn) {
        std::atomic<int> inside{3};
        sleeping = 0;
        std::vector<std::thread> waiting;
        const auto start = Clock::now();
        for (int i = 0; i < 3; ++i) {
            waiting.emplace_back([&] {
                const std::uint64_t mine = gate.enter();
                if (!gate.wait(mine, start + std::chrono::seconds(60))) expect("woken", 1, 0);
                gate.leave();
                inside.fetch_sub(1);
            });
        }
        while (sleeping.load() < 3) std::this_thread::yield();
        gate.signal();
        while (inside.load() != 0) {
            std::this_thread::yield();
            if (Clock::now() - start > std::chrono::seconds(10)) expect("all woken by one signal", 0, inside.load());
        }
        for (std::thread& thread : waiting) thread.join();
    }
}

// Whatever makes room, or ends the waiting for it, lets in; what does neither does not.
void check_who_signals() {
    for (const hft::Overflow policy : {hft::OVERFLOW_BLOCK, hft::OVERFLOW_HALT}) {
        for (const bool many : {false, true}) {
            hft::AnyRing ring(2, policy, many);
            hft::Ticker ticker{}, out[2];
            expect("a consumer before the first pop", false, ring.has_consumer());
            for (int i = 0; i < 2; ++i) expect("offer", hft::OFFER_TAKEN, ring.offer(&ticker));
            hft::RoomGate& gate = *ring.gate();
            std::uint64_t entered = gate.enter();
            expect("let in by a full ring", false, let_in(gate, entered));
            expect("popped", 1, ring.pop(out, 1));
            expect("let in by a pop", true, let_in(gate, entered));
            gate.leave();
            entered = gate.enter();
            expect("popped of nothing", 0, ring.pop(out, 2, 0));
            expect("let in by a pop of nothing", false, let_in(gate, entered));
            const void* first = nullptr;
            expect("peeked", 1, ring.peek(&first, 2));
            expect("let in by a look", false, let_in(gate, entered));
            ring.retire(1);
            expect("let in by retiring", true, let_in(gate, entered));
            gate.leave();
            expect("the consumer", true, ring.has_consumer() && ring.is_consumer());
            bool other = true;
            std::thread([&] { other = ring.is_consumer(); }).join();
            expect("another thread than the consumer", false, other);
            std::thread([&] { ring.pop(out, 1); }).join();
            expect("the consumer after another thread took", false, ring.is_consumer());
            entered = gate.enter();
            ring.close();
            expect("let in by closing", true, let_in(gate, entered));
            gate.leave();
            expect("dropped", 0, ring.dropped());
            // Who waits for room of a closed ring is refused, and counted once.
            expect("an offer after close", hft::OFFER_REFUSED, ring.push_within(&ticker, 3'600'000'000'000));
            expect("dropped after close", 1, ring.dropped());
        }
    }
    // Full, and no time to wait, or too little: still the producer's, and not counted.
    hft::AnyRing ring(1, hft::OVERFLOW_BLOCK, true);
    hft::Ticker ticker{};
    expect("offer", hft::OFFER_TAKEN, ring.offer(&ticker));
    for (const std::int64_t ns : {0, -5, 1000}) expect("full", hft::OFFER_FULL, ring.push_within(&ticker, ns));
    expect("dropped", 0, ring.dropped());
    expect("pushed", 1, ring.pushed());
}

// ---- what a feed remembers

struct Remembered {
    bool wanted = false, counted = false, watched = false, stale = false;
    std::uint64_t number = 0, update = 0;
    std::int64_t time = 0, seen = 0;
};

void feed_round(std::uint64_t seed) {
    Random chance(seed);
    hft::FeedState state;
    state.tickers = static_cast<hft::TickerRule>(seed % 3);
    state.trades = static_cast<hft::TradeRule>(seed / 3 % 3);
    state.numbered_by_seq = seed / 9 % 2;
    state.silence_factor = 3;
    std::map<std::int32_t, Remembered> model;
    bool any_counted = false, snapshots_alone = true;
    for (int turn = 0; turn < 3000; ++turn) {
        state.lastFrameNs = turn + 1;
        const auto symbol = static_cast<std::int32_t>(chance() % 6 * 7);
        const std::uint64_t what = chance() % 32;
        const auto found = model.find(symbol);
        const bool wanted = found != model.end() && found->second.wanted;
        const std::uint16_t flags = chance() % 8 ? hft::FLAG_SNAPSHOT : 0;
        bool delivered = false;
        if (what < 2) {
            Remembered& mine = model[symbol];
            mine.wanted = state.state_of(symbol).wanted = chance() % 4 != 0;
            expect("symbol", symbol, state.state_of(symbol).symbol);
        } else if (what < 14) {
            hft::Ticker ticker{};
            ticker.symbol = symbol;
            ticker.flags = flags;
            ticker.seq = chance() % 12;
            ticker.exchangeTimeNs = static_cast<std::int64_t>(chance() % 5);
            int verdict = hft::VERDICT_DELIVER;
            if (!wanted) {
                verdict = hft::VERDICT_UNWANTED;
            } else if (state.tickers != hft::TICKERS_ALL) {
                Remembered& mine = found->second;
                const bool anew = state.tickers == hft::TICKERS_NEWEST_OR_ANEW && ticker.exchangeTimeNs > mine.time;
                if (ticker.seq < mine.update && !anew) {
                    verdict = hft::VERDICT_OUTDATED;
                } else {
                    mine.update = ticker.seq;
                    mine.time = ticker.exchangeTimeNs;
                }
            }
            delivered = verdict == hft::VERDICT_DELIVER;
            expect("ticker", verdict, state.check(ticker));
        } else if (what < 30) {
            hft::Trade trade{};
            trade.symbol = symbol;
            trade.flags = flags;
            const std::uint64_t last = wanted ? found->second.number : 5;
            const std::uint64_t number = chance() % 3 ? last + chance() % 3 : chance() % 12;
            (state.numbered_by_seq ? trade.seq : reinterpret_cast<std::uint64_t&>(trade.tradeId)) = number;
            trade.tradeTimeNs = static_cast<std::int64_t>(chance() % 5);
            int verdict = hft::VERDICT_DELIVER;
            std::uint64_t missing = 0, told = 0;
            if (!wanted) {
                verdict = hft::VERDICT_UNWANTED;
            } else if (state.trades != hft::TRADES_ALL && number != 0) {
                Remembered& mine = found->second;
                if (mine.counted && number <= mine.number) {
                    verdict = trade.tradeTimeNs > mine.time ? hft::VERDICT_ANEW : hft::VERDICT_DUPLICATE;
                } else if (mine.counted && number > mine.number + 1 && state.trades == hft::TRADES_BY_ONE) {
                    verdict = hft::VERDICT_GAP;
                    missing = number - mine.number - 1;
                }
                if (verdict != hft::VERDICT_DUPLICATE) {
                    mine.number = number;
                    mine.time = trade.tradeTimeNs;
                    mine.counted = any_counted = true;
                }
            }
            const bool is_event = what != 29;
            delivered = is_event && wanted && verdict != hft::VERDICT_DUPLICATE;
            expect("trade", verdict, is_event ? state.check(trade, &told) : state.pass_over(trade, &told));
            expect("lost trades", missing, told);
        } else if (what == 30) {
            state.forget_updates();
            for (auto& [_, mine] : model) mine.update = 0;
        } else {
            state.unwatch_all();
            for (auto& [_, mine] : model) mine.watched = false;
        }
        if (delivered) {
            Remembered& mine = found->second;
            mine.seen = turn + 1;
            mine.watched = true;
            mine.stale = false;
            if (!(flags & hft::FLAG_SNAPSHOT)) snapshots_alone = false;
            expect("last event", turn + 1, state.lastEventNs);
            if (chance() % 4 == 0) mine.stale = state.state_of(symbol).stale = true;
        }
        expect("symbols", model.size(), state.size());
        expect("any counted", any_counted, state.any_counted());
        expect("silence factor", snapshots_alone ? 3 : 1, state.silence_factor);
        std::int64_t wanted_oldest = 0, oldest = 0;
        for (const auto& [number, mine] : model) {
            const hft::SymbolState& now = state.state_of(number);
            expect("watched", mine.watched, now.watched);
            expect("stale", mine.stale, now.stale);
            expect("seen", mine.seen, now.seenNs);
            expect("found", mine.wanted, state.find(number) != nullptr);
            if (mine.watched && !mine.stale && (wanted_oldest == 0 || mine.seen < wanted_oldest)) wanted_oldest = mine.seen;
        }
        expect("any silent", wanted_oldest != 0, state.oldest(&oldest));
        expect("silent longest", wanted_oldest, oldest);
        expect("a symbol that is not known", true, state.find(1000) == nullptr && state.find(-1) == nullptr);
    }
}

// Frames that are numbered: 0, 1, 2, … with losses, repetitions and new beginnings.
void frames_round(std::uint64_t seed) {
    Random chance(seed);
    hft::FrameCounter frames;
    std::uint64_t next = 0;
    std::vector<std::uint64_t> old;  // the latest run of old numbers that follow each other
    std::uint64_t number = 0;
    for (int turn = 0; turn < 3000; ++turn) {
        const std::uint64_t what = chance() % 16;
        number = what < 9 ? next : what < 11 ? next + 1 + chance() % 3 : what < 14 ? number + 1 : chance() % (next + 1);
        if (what == 15 && chance() % 8 == 0) {
            frames.forget();
            next = number = 0;
            old.clear();
        }
        std::uint64_t lost = 0;
        int verdict = hft::VERDICT_DELIVER;
        std::uint64_t missing = 0;
        if (number < next) {
            if (!old.empty() && number != old.back() + 1) old.clear();
            old.push_back(number);
            verdict = old.size() < 3 ? hft::VERDICT_OUTDATED : hft::VERDICT_ANEW;
        } else if (number > next) {
            verdict = hft::VERDICT_GAP;
            missing = number - next;
        }
        expect("frame", verdict, frames.check(number, &lost));
        expect("lost frames", missing, lost);
        if (verdict != hft::VERDICT_OUTDATED) {
            next = number + 1;
            old.clear();
        }
    }
}

void newest_first() {
    hft::FeedState state;
    hft::Trade trades[3]{};
    const auto set = [&](int i, std::int32_t symbol, std::int64_t number) {
        trades[i].symbol = symbol;
        trades[i].tradeId = number;
    };
    set(0, 1, 9), set(1, 2, 1), set(2, 1, 7);
    expect("newest first", true, state.is_newest_first(trades, 3));
    expect("newest first of one", false, state.is_newest_first(trades, 1));
    expect("newest first of none", false, state.is_newest_first(trades, 0));
    expect("newest first of two symbols", false, state.is_newest_first(trades, 2));
    set(0, 1, 6);
    expect("oldest first", false, state.is_newest_first(trades, 3));
    set(0, 2, 9), set(1, 1, 8);
    expect("newest first, the second of them", true, state.is_newest_first(trades, 3));
}

// ---- two threads

void hand_over(hft::Overflow policy, bool many, std::size_t capacity) {
    hft::AnyRing ring(capacity, policy, many);
    // Relaxed: neither thread may learn by it what the other has written.
    std::atomic<std::uint64_t> turn{0};
    constexpr std::uint64_t TURNS = 40;
    std::thread producer([&] {
        for (std::uint64_t n = 0; n < TURNS; ++n) {
            while (turn.load(std::memory_order_relaxed) != 2 * n) std::this_thread::yield();
            for (std::size_t i = 0; i <= n % capacity; ++i) {
                hft::Ticker ticker{};
                ticker.symbol = static_cast<std::int32_t>(i);
                ticker.seq = n;
                expect("offer", hft::OFFER_TAKEN, ring.offer(&ticker));
            }
            turn.store(2 * n + 1, std::memory_order_relaxed);
        }
    });
    std::vector<hft::Ticker> items(capacity);
    for (std::uint64_t n = 0; n < TURNS; ++n) {
        while (turn.load(std::memory_order_relaxed) != 2 * n + 1) std::this_thread::yield();
        expect("popped items", 1 + n % capacity, ring.pop(items.data(), capacity));
        for (std::size_t i = 0; i <= n % capacity; ++i) expect("number", n, items[i].seq);
        turn.store(2 * n + 2, std::memory_order_relaxed);
    }
    producer.join();
}

void hand_over_all() {
    for (const hft::Overflow policy : {hft::OVERFLOW_DROP_NEWEST, hft::OVERFLOW_DROP_OLDEST, hft::OVERFLOW_HALT,
                                       hft::OVERFLOW_BLOCK, hft::OVERFLOW_CONFLATE}) {
        for (const std::size_t capacity : {1, 4}) hand_over(policy, false, capacity), hand_over(policy, true, capacity);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const std::uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    if (std::strcmp(argv[1], "gate") == 0) {
        check_gate();
        check_who_signals();
    }
    for (std::uint64_t round = 0; round < rounds; ++round) {
        if (std::strcmp(argv[1], "conflate") == 0) conflate_round(round);
        if (std::strcmp(argv[1], "handover") == 0) hand_over_all();
        if (std::strcmp(argv[1], "feed") == 0) feed_round(round), frames_round(round), newest_first();
    }
    std::printf("%s: %" PRIu64 " rounds\n", argv[1], rounds);
    return 0;
}
