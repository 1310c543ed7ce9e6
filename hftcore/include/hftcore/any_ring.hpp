// One ring of structs, of whichever algorithm its policy and its producers ask for: what the binding holds.
//
//   producers one   SpscRing
//   producers many  MpscRing
//   conflate        ConflatingRing, whatever the producers
//
// With block, `offer` never waits (it says FULL); `push_within` does, and never on the consumer's own thread, which
// alone could make room: there it refuses at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

#include "hftcore/conflating_ring.hpp"
#include "hftcore/mpsc_ring.hpp"
#include "hftcore/pause.hpp"
#include "hftcore/room_gate.hpp"
#include "hftcore/spsc_ring.hpp"

namespace hft {

class AnyRing {
public:
    // `capacity` must be a power of two (checked by the binding).
    AnyRing(std::size_t capacity, Overflow overflow, bool many)
        : gated_(overflow == OVERFLOW_BLOCK || overflow == OVERFLOW_HALT) {
        if (overflow == OVERFLOW_CONFLATE) {
            conflating_ = std::make_unique<ConflatingRing>(capacity);
        } else if (many) {
            mpsc_ = std::make_unique<MpscRing>(capacity, overflow);
        } else {
            spsc_ = std::make_unique<SpscRing>(capacity, overflow);
        }
    }

    // hot path: begin
    Offer offer(const void* item) noexcept {
        if (spsc_) return spsc_->offer(item);
        return mpsc_ ? mpsc_->offer(item) : conflating_->offer(item);
    }

    std::size_t pop(void* items, std::size_t limit, std::uint64_t until = NO_LIMIT,
                    std::uint64_t* first = nullptr) noexcept {
        std::size_t n;
        if (spsc_) {
            n = spsc_->pop(items, limit, until, first);
        } else {
            n = mpsc_ ? mpsc_->pop(items, limit, until, first) : conflating_->pop(items, limit, until, first);
        }
        if (gated_) note_taken(n);
        return n;
    }

    // As `pop`, with a lock held that every producer needs too. Only with one producer and drop-oldest.
    std::size_t pop_locked(void* items, std::size_t limit, std::uint64_t until) noexcept {
        return spsc_->pop_locked(items, limit, until);
    }
    // hot path: end

    // Native producers. As `offer`, waiting for room at most `timeout_ns`; FULL if there was none, and not counted.
    Offer push_within(const void* item, std::int64_t timeout_ns) noexcept {
        Offer answer = offer(item);
        for (int turn = 0; answer == OFFER_FULL && turn < SPINS; ++turn) {
            pause();
            answer = offer(item);
        }
        if (answer != OFFER_FULL || timeout_ns <= 0) return answer;
        const auto most = std::chrono::nanoseconds(timeout_ns < LONGEST_NS ? timeout_ns : LONGEST_NS);
        const auto deadline = std::chrono::steady_clock::now() + most;
        for (;;) {
            const std::uint64_t entered = gate_.enter();
            HFT_STEP_POINT("waits for room");
            answer = offer(item);
            HFT_STEP_POINT("looked for room");
            const bool signalled = answer != OFFER_FULL || gate_.wait(entered, deadline);
            gate_.leave();
            if (answer != OFFER_FULL) return answer;
            if (!signalled) return offer(item);
        }
    }

    Offer refuse() noexcept {
        if (spsc_) return spsc_->refuse();
        return mpsc_ ? mpsc_->refuse() : conflating_->refuse();
    }

    // Only where `views`: the oldest items in place, and giving them up.
    bool views() const noexcept { return !conflating_; }
    std::size_t peek(const void** first, std::size_t limit) noexcept {
        return spsc_ ? spsc_->peek(first, limit) : mpsc_->peek(first, limit);
    }
    void retire(std::size_t n) noexcept {
        if (spsc_) {
            spsc_->retire(n);
        } else {
            mpsc_->retire(n);
        }
        if (gated_) note_taken(n);
    }

    // Block and halt, whose producers may wait: the gate, and who takes, so that nobody waits for himself.
    RoomGate* gate() noexcept { return &gate_; }
    void note_consumer() noexcept { consumer_.store(std::this_thread::get_id(), std::memory_order_relaxed); }
    bool is_consumer() const noexcept { return consumer_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
    bool has_consumer() const noexcept { return consumer_.load(std::memory_order_relaxed) != std::thread::id(); }

#define HFT_EACH(call) (spsc_ ? spsc_->call : mpsc_ ? mpsc_->call : conflating_->call)
    bool ready() const noexcept { return HFT_EACH(ready()); }
    std::size_t size() const noexcept { return HFT_EACH(size()); }
    std::size_t capacity() const noexcept { return HFT_EACH(capacity()); }
    std::uint64_t position() const noexcept { return HFT_EACH(position()); }
    std::uint64_t mark() noexcept { return HFT_EACH(mark()); }
    std::uint64_t pushed() const noexcept { return HFT_EACH(pushed()); }
    std::uint64_t popped() const noexcept { return HFT_EACH(popped()); }
    std::uint64_t dropped() const noexcept { return HFT_EACH(dropped()); }
    std::uint64_t highWater() const noexcept { return HFT_EACH(highWater()); }
    std::uint64_t conflated() const noexcept { return conflating_ ? conflating_->conflated() : 0; }
    bool halted() const noexcept { return HFT_EACH(halted()); }
    bool closed() const noexcept { return HFT_EACH(closed()); }
    void reset() noexcept { HFT_EACH(reset()); }
    void close() noexcept {
        HFT_EACH(close());
        gate_.signal();
    }
#undef HFT_EACH

private:
    static constexpr int SPINS = 200;
    static constexpr std::int64_t LONGEST_NS = std::int64_t{86400} * 365 * 1000000000;  // no clock overflows by it

    void note_taken(std::size_t n) noexcept {
        // A plain load first: the same thread takes again and again.
        if (!is_consumer()) note_consumer();
        if (n) gate_.signal();
    }

    std::unique_ptr<SpscRing> spsc_;
    std::unique_ptr<MpscRing> mpsc_;
    std::unique_ptr<ConflatingRing> conflating_;
    const bool gated_;
    std::atomic<std::thread::id> consumer_{};
    RoomGate gate_;
};

}  // namespace hft
