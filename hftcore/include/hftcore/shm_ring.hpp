// The ring in shared memory: one writer that never waits, any number of readers that it does not know.
//
// Each slot is a seqlock whose sequence also names the record: a reader at position n polls the slot's own sequence
// until it says 2n+2, copies, and looks again. A larger number means that the writer has lapped it: the reader counts
// what it lost, to the message, and goes on half a ring behind the writer. Source: Boehm, "Can seqlocks get along with
// programming language memory models?", MSPC 2012; the words are relaxed atomics, the fences are his.
//
// A message is published in this order: slot, last value of its symbol, head. So whoever reads `head` finds the last
// value of every message before it, and the one that was being published when a writer was killed is in its slot
// whole, or not at all.
//
// What a reader lost is counted twice: in positions (taken + lost = position - start, always), and per symbol by the
// messages' own numbers, for what it subscribes. After a lap the symbol table tells at once how many of each symbol
// were among them; only where newer messages of a symbol are still in the ring, the next of them tells.
#pragma once

#include <cstring>
#include <vector>

#include "hftcore/shm_layout.hpp"

namespace hft::shm {

// Copies `count` words into a seqlock under the mark of record `n`. Inlined: then the words of a record, whose number is
// a constant, go from registers to their places.
[[gnu::always_inline]] inline void seqlock_write(Word& sequence, Word* to, const std::uint64_t* from, int count,
                                                 std::uint64_t n) noexcept {
    HFT_CRASH_POINT();
    // release: pairs with the acquire of the sequence in Reader::next, so that who sees the mark sees the head as well
    sequence.store(2 * n + 1, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_release);  // pairs with the acquire fence in seqlock_read: mark first
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) {
        HFT_CRASH_POINT();
        to[i].store(from[i], std::memory_order_relaxed);  // relaxed: ordered by the fence and by the release below
    }
    HFT_CRASH_POINT();
    sequence.store(2 * n + 2, std::memory_order_release);  // pairs with the acquire in seqlock_read: words first
    HFT_CRASH_POINT();
}

// What a Record is read as, word by word: read as two words at once, it would wait for the stores that made it.
using Bits [[gnu::may_alias]] = std::uint64_t;

// Copies the words of a record whose sequence was read as `seen` (by an acquire load); whether they are whole.
[[gnu::always_inline]] inline bool seqlock_copy(const Word& sequence, const Word* from, Bits* to, int count,
                                                std::uint64_t seen) noexcept {
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) to[i] = from[i].load(std::memory_order_relaxed);  // relaxed: checked below
    std::atomic_thread_fence(std::memory_order_acquire);  // pairs with the release fence in seqlock_write
    return sequence.load(std::memory_order_relaxed) == seen;
}

// Reads a seqlock that changes in place. False: nothing there, or its writer stays in the middle of it.
inline bool seqlock_read(const Word& sequence, const Word* from, Bits* to, int count) noexcept {
    for (int tries = 0; tries < 1000; ++tries) {
        const std::uint64_t seen = sequence.load(std::memory_order_acquire);  // pairs with the release in seqlock_write
        if (seen == 0) return false;
        if ((seen & 1) == 0 && seqlock_copy(sequence, from, to, count, seen)) return true;
    }
    return false;
}

constexpr std::uint64_t PREFETCH_SLOTS = 4;

// Asks for a slot's lines before they are written: a reader had them last, so that the first store would wait for them.
inline void prefetch_for_write(Slot* slot) noexcept {
#if defined(__x86_64__)
    // The compiler has no prefetch for writing without -mprfchw; processors that lack it take it for a no-op.
    asm volatile("prefetchw %0" : : "m"(*reinterpret_cast<char*>(slot)));
    asm volatile("prefetchw %0" : : "m"(*(reinterpret_cast<char*>(slot) + 64)));
#else
    __builtin_prefetch(slot, 1);
    __builtin_prefetch(reinterpret_cast<char*>(slot) + 64, 1);
#endif
}

// The one writer of a segment. One thread at a time.
class Writer {
public:
    explicit Writer(const View& view) : view_(view), mask_(view.capacity - 1), kind_(view.header->kind), seqs_(view.maxSymbols, 0) {}

    // hot path: begin
    // Publishes an item of a symbol of this segment; returns its number within the symbol, from 1.
    std::uint64_t publish(const void* item, std::uint32_t symbol) noexcept {
        std::uint64_t words[RECORD_WORDS];
        std::memcpy(words + 2, item, sizeof Record::item);
        // The item's own symbol (the lower half of its last word) is a number of the writer's process: it must not get
        // out. As a word, since what is stored in parts is slow to load as a whole.
        words[9] = (words[9] & ~0xffffffffull) | symbol;
        return put(words, symbol, kind_);
    }
    // hot path: end

    // Adds a symbol; -1 if there is no room for it. It is visible before any message that names it.
    std::int32_t append_symbol(const char* text, std::size_t bytes) noexcept {
        // relaxed: our own
        const std::uint32_t count = view_.header->symbolCount.load(std::memory_order_relaxed);
        if (count >= view_.maxSymbols || bytes > SYMBOL_BYTES) return -1;
        SymbolEntry& entry = view_.symbols[count];
        std::uint64_t words[SYMBOL_BYTES / 8] = {};
        if (bytes != 0) std::memcpy(words, text, bytes);
        for (std::size_t i = 0; i < SYMBOL_BYTES / 8; ++i) {
            HFT_CRASH_POINT();
            entry.text[i].store(words[i], std::memory_order_relaxed);
        }
        HFT_CRASH_POINT();
        entry.bytes.store(bytes, std::memory_order_relaxed);
        HFT_CRASH_POINT();
        view_.header->symbolCount.store(count + 1, std::memory_order_release);  // pairs with acquire in symbol_count()
        HFT_CRASH_POINT();
        return static_cast<std::int32_t>(count);
    }

    // Publishes an encoded event of at most EVENT_TEXT_BYTES; returns its number, from 1.
    std::uint64_t publish_event(const void* encoded, std::size_t bytes) noexcept {
        const std::uint64_t number = seqs_[CONTROL] + 1;
        EventBlock& block = view_.events[number % EVENT_COUNT];
        std::uint64_t words[511] = {};
        words[0] = bytes;
        std::memcpy(words + 1, encoded, bytes);
        seqlock_write(block.sequence, &block.bytes, words, static_cast<int>(1 + (bytes + 7) / 8), number);
        std::uint64_t none[RECORD_WORDS] = {};
        return put(none, CONTROL, KIND_EVENT);
    }

    // relaxed: a reader that sees it late believes us silent for a little longer
    void heartbeat(std::int64_t now_ns) noexcept {
        view_.header->heartbeatNs.store(now_ns, std::memory_order_relaxed);
    }

    // Whether a reader sleeps, or is about to: then notify() must follow. After publishing.
    bool sleepers() const noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in arm(), shm_park.hpp
        return view_.park->word.load(std::memory_order_relaxed) & 1;
    }

    std::uint64_t published() const noexcept { return view_.header->head.load(std::memory_order_relaxed); }
    std::uint64_t symbol_seq(std::uint32_t symbol) const noexcept { return seqs_[symbol]; }

private:
    // The words are a Record's, whose item is filled in.
    [[gnu::always_inline]] std::uint64_t put(std::uint64_t* words, std::uint32_t symbol, std::uint32_t kind) noexcept {
        const std::uint64_t position = view_.header->head.load(std::memory_order_relaxed);  // our own
        const std::uint64_t number = ++seqs_[symbol];
        words[0] = number;
        words[1] = symbol | std::uint64_t{kind} << 32;
        words[10] = position;
        prefetch_for_write(&view_.ring[(position + PREFETCH_SLOTS) & mask_]);
        Slot& slot = view_.ring[position & mask_];
        seqlock_write(slot.sequence, slot.words, words, RECORD_WORDS, position);
        Slot& last = view_.symbols[symbol].last;
        seqlock_write(last.sequence, last.words, words, RECORD_WORDS, number - 1);
        HFT_CRASH_POINT();
        // release: pairs with the acquires of head in Reader: the slot and the last value stand
        view_.header->head.store(position + 1, std::memory_order_release);
        HFT_CRASH_POINT();
        return number;
    }

    View view_;
    std::uint64_t mask_;
    std::uint32_t kind_;
    std::vector<std::uint64_t> seqs_;  // per symbol
};

enum Step {
    STEP_EMPTY,    // nothing there
    STEP_ITEM,     // an item that is wanted
    STEP_EVENT,    // an event (wanted by who wants anything)
    STEP_GAP,      // `lost` messages of a wanted symbol are lost; the next step goes on
    STEP_LAPPED,   // learn new symbols, call sweep(), go on
    STEP_UNKNOWN,  // a symbol that is not learned yet: learn, go on
    STEP_BAD,      // a record that no writer of ours writes; it was skipped
    STEP_BUSY,     // many messages that are not wanted were passed over
};

// One reader. One thread at a time. It learns symbols in the order of the table: learn() for each of them.
class Reader {
public:
    Reader() = default;

    void attach(const View& view, bool from_start) {
        view_ = view;
        mask_ = view.capacity - 1;
        // acquire: pairs with the release in Writer::put; last values of all before it stand
        start_ = position_ = from_start ? 0 : view.header->head.load(std::memory_order_acquire);
        taken_ = lost_ = 0;
        symbols_.clear();
        gaps_.clear();
    }

    // hot path: begin
    Step next(Record* out) noexcept {
        if (!gaps_.empty()) return take_gap();
        for (int passed = 0; passed < 4096; ++passed) {
            const Slot& slot = view_.ring[position_ & mask_];
            const std::uint64_t expected = 2 * position_ + 2;
            const std::uint64_t seen = slot.sequence.load(std::memory_order_acquire);  // pairs with seqlock_write
            if (seen < expected) return STEP_EMPTY;
            if (seen != expected) return lapped();
            Bits* const words = reinterpret_cast<Bits*>(out);
            if (!seqlock_copy(slot.sequence, slot.words, words, RECORD_WORDS, expected)) continue;  // overwritten
            if (out->symbol >= symbols_.size()) {
                if (out->symbol >= symbol_count()) return skip_bad();
                return STEP_UNKNOWN;
            }
            Symbol& symbol = symbols_[out->symbol];
            if (!symbol.wanted || out->topicSeq <= symbol.seen) {
                pass();
                continue;
            }
            if (out->topicSeq != symbol.seen + 1) {
                gapSymbol_ = out->symbol;
                gapLost_ = out->topicSeq - symbol.seen - 1;
                symbol.seen = out->topicSeq - 1;
                return STEP_GAP;
            }
            if (out->kind != (out->symbol == CONTROL ? KIND_EVENT : view_.header->kind)) return skip_bad();
            symbol.seen = out->topicSeq;
            pass();
            return out->kind == KIND_EVENT ? STEP_EVENT : STEP_ITEM;
        }
        return STEP_BUSY;
    }

    // Whether next() would find something. Any thread may ask about a position.
    static bool ready(const View& view, std::uint64_t position) noexcept {
        const Slot& slot = view.ring[position & (view.capacity - 1)];
        return slot.sequence.load(std::memory_order_acquire) >= 2 * position + 2;  // pairs with seqlock_write
    }
    bool ready() const noexcept { return !gaps_.empty() || ready(view_, position_); }
    // Polls so many times, without a pause.
    bool ready_within(int polls) const noexcept {
        for (int i = 0; i < polls; ++i) {
            if (ready()) return true;
        }
        return false;
    }
    // hot path: end

    std::uint32_t symbol_count() const noexcept {
        // acquire: pairs with the release in append_symbol
        const std::uint32_t count = view_.header->symbolCount.load(std::memory_order_acquire);
        return count < view_.maxSymbols ? count : view_.maxSymbols;
    }

    std::uint32_t learned() const noexcept { return static_cast<std::uint32_t>(symbols_.size()); }

    // The text of a symbol of the table, 64 bytes of room; returns its length, or -1 if it is none.
    int symbol_text(std::uint32_t symbol, char* text) const noexcept {
        const SymbolEntry& entry = view_.symbols[symbol];
        const std::uint64_t bytes = entry.bytes.load(std::memory_order_relaxed);  // relaxed: ordered by symbol_count()
        std::uint64_t words[SYMBOL_BYTES / 8];
        for (std::size_t i = 0; i < SYMBOL_BYTES / 8; ++i) words[i] = entry.text[i].load(std::memory_order_relaxed);
        std::memcpy(text, words, sizeof words);
        return bytes <= SYMBOL_BYTES ? static_cast<int>(bytes) : -1;
    }

    // Learns the next symbol: whether it is wanted. With `joining`, whether it has a last value, which is then the
    // first message of the symbol that this reader takes; later ones follow it in the ring.
    bool learn(bool wanted, bool joining, Record* last) {
        const auto number = static_cast<std::uint32_t>(symbols_.size());
        symbols_.push_back(Symbol{0, wanted});
        Symbol& symbol = symbols_.back();
        if (!joining || !wanted) return false;
        while (!read_last(number, last)) {
            const std::uint64_t mark = view_.symbols[number].last.sequence.load(std::memory_order_acquire);  // as above
            if (mark != 0 && (mark & 1) == 0) continue;
            // Nothing yet, or the writer stands in the middle of the next one, whose slot is published already: our
            // start lies before that slot, since `head` moves on only after the last value.
            symbol.seen = mark / 2;
            return false;
        }
        symbol.seen = last->topicSeq;
        return true;
    }

    // After a lap, with all symbols learned: finds which wanted messages are gone; next() then tells of them.
    void sweep() {
        for (std::uint32_t number = 0; number < symbols_.size(); ++number) {
            Symbol& symbol = symbols_[number];
            Record last;
            // One that cannot be read is being written: its message is still to come, and shows what is missing.
            if (!symbol.wanted || !read_last(number, &last)) continue;
            if (last.position < position_ && last.topicSeq > symbol.seen) {
                gaps_.push_back({number, last.topicSeq - symbol.seen});
                symbol.seen = last.topicSeq;
            }
        }
    }

    // The event number `number`; its length, or -1 if newer ones have taken its place.
    int event(std::uint64_t number, char* encoded) const noexcept {
        const EventBlock& block = view_.events[number % EVENT_COUNT];
        const std::uint64_t seen = block.sequence.load(std::memory_order_acquire);  // pairs with seqlock_write
        std::uint64_t words[511];
        if (seen != 2 * number + 2 || !seqlock_copy(block.sequence, &block.bytes, words, 511, seen)) return -1;
        if (words[0] > EVENT_TEXT_BYTES) return -1;
        std::memcpy(encoded, words + 1, words[0]);
        return static_cast<int>(words[0]);
    }

    bool read_last(std::uint32_t symbol, Record* out) const noexcept {
        const Slot& last = view_.symbols[symbol].last;
        return seqlock_read(last.sequence, last.words, reinterpret_cast<Bits*>(out), RECORD_WORDS);
    }

    void want(std::uint32_t symbol, bool wanted) noexcept { symbols_[symbol].wanted = wanted; }
    std::uint32_t gap_symbol() const noexcept { return gapSymbol_; }
    std::uint64_t gap_lost() const noexcept { return gapLost_; }
    std::uint64_t position() const noexcept { return position_; }
    std::uint64_t start() const noexcept { return start_; }
    std::uint64_t taken() const noexcept { return taken_; }
    std::uint64_t lost() const noexcept { return lost_; }
    std::uint64_t seen(std::uint32_t symbol) const noexcept { return symbols_[symbol].seen; }
    // acquire: pairs with the release in Writer::put
    std::uint64_t head() const noexcept { return view_.header->head.load(std::memory_order_acquire); }
    const View& view() const noexcept { return view_; }

private:
    struct Symbol {
        std::uint64_t seen;  // the last number that was taken or told as lost
        bool wanted;
    };
    struct Gap {
        std::uint32_t symbol;
        std::uint64_t lost;
    };

    void pass() noexcept {
        ++position_;
        ++taken_;
    }

    Step skip_bad() noexcept {
        pass();
        return STEP_BAD;
    }

    // The writer has overwritten our slot, or is about to: the mark that we saw makes its head visible.
    Step lapped() noexcept {
        std::uint64_t to = head() - view_.capacity / 2;
        if (to <= position_) to = position_ + 1;  // only where somebody else has written into the segment
        lost_ += to - position_;
        position_ = to;
        return STEP_LAPPED;
    }

    Step take_gap() noexcept {
        gapSymbol_ = gaps_.back().symbol;
        gapLost_ = gaps_.back().lost;
        gaps_.pop_back();
        return STEP_GAP;
    }

    View view_;
    std::uint64_t mask_ = 0;
    std::uint64_t position_ = 0, start_ = 0;
    std::uint64_t taken_ = 0, lost_ = 0;
    std::uint32_t gapSymbol_ = 0;
    std::uint64_t gapLost_ = 0;
    std::vector<Symbol> symbols_;
    std::vector<Gap> gaps_;
};

}  // namespace hft::shm
