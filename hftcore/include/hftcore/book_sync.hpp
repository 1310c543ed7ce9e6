// The venues' sequencing rules of order books: what may be applied to a symbol's book, what is held back, what was lost.
//
// No I/O. A BookKeeper owns the rules of one symbol and drives its OrderBook; `outcome` tells what to do next. The model is
// tests/reference/book_sync_model.py. One thread at a time.
//
//   venue              snapshot   rule                                              lost frame shows by
//   Kraken             in band    CRC-32 over the ten best levels after each frame  the checksum, once it surfaces
//   Binance spot       REST       U == last u + 1                                   U
//   Binance futures    REST       pu == last u                                      pu
//   OKX                in band    prevSeqId == last seqId; CRC-32 where it is sent  prevSeqId
//   Kraken Futures     in band    seq == last seq + 1                               seq
//   Coinbase Advanced  in band    frames of the connection count by one (FrameSync) sequence_num
//   Coinbase Exchange  in band    none                                              nothing
//
// A number that is not above the last one is a frame that came again, unless its time is later: then the venue counts anew.
// Sources: the venues' documentation, named in the headers of their parsers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include "hftcore/book_batch.hpp"
#include "hftcore/frame_decoder.hpp"
#include "hftcore/order_book.hpp"

namespace hft {

enum BookOutcome : int {
    OUTCOME_DELIVER = 0,   // applied; the book is valid and not crossed
    OUTCOME_OUTDATED = 1,  // of before the snapshot, or came again: nothing changed
    OUTCOME_WAITING = 2,   // the book waits for a snapshot; the update is of no use
    OUTCOME_HELD = 3,      // the book waits for a snapshot; the update is kept for it
    OUTCOME_GAP = 4,       // the book has become invalid, see `why()` and `lost()`: tell it, ask for a snapshot
    OUTCOME_ASK = 5,       // the snapshot is older than the updates that are held: ask for another
};

// What a repeated or late number is told from one that begins anew by.
inline bool is_repeat(std::uint64_t seq, std::int64_t timeNs, std::uint64_t lastSeq, std::int64_t lastTimeNs) noexcept {
    return seq <= lastSeq && timeNs <= lastTimeNs;
}

// A count over all frames of a connection (Coinbase Advanced).
class FrameSync {
public:
    enum Result : int { NEXT = 0, REPEATED = 1, LOST = 2 };

    Result check(std::uint64_t seq, std::int64_t timeNs) noexcept {
        lost_ = 0;
        if (started_ && is_repeat(seq, timeNs, last_, lastTimeNs_)) return REPEATED;
        const bool next = !started_ || seq == last_ + 1;
        if (!next && seq > last_) lost_ = seq - last_ - 1;
        started_ = true;
        last_ = seq;
        // A frame that says no time, or an earlier one, does not make an old frame a later one.
        if (timeNs > lastTimeNs_) lastTimeNs_ = timeNs;
        return next ? NEXT : LOST;
    }
    void reset() noexcept {
        started_ = false;
        lastTimeNs_ = 0;
    }
    std::uint64_t lost() const noexcept { return lost_; }  // frames; 0: unknown

private:
    std::uint64_t last_ = 0;
    std::uint64_t lost_ = 0;
    std::int64_t lastTimeNs_ = 0;
    bool started_ = false;
};

// A copy of an update with the digits it came with.
class HeldUpdate {
public:
    HeldUpdate() = default;
    // Throws std::bad_alloc.
    HeldUpdate(const BookUpdate& update, const BookLevel* levels) : update_(update) {
        // Which side stands first is the frame's.
        const std::size_t begin = update.bidsBegin < update.asksBegin ? update.bidsBegin : update.asksBegin;
        const std::size_t end = update.bidsEnd > update.asksEnd ? update.bidsEnd : update.asksEnd;
        std::size_t bytes = 0;
        for (std::size_t i = begin; i < end; ++i) bytes += levels[i].priceText.size + levels[i].volumeText.size;
        texts_.resize(bytes + 1);
        levels_.assign(levels + begin, levels + end);
        char* at = texts_.data();
        for (BookLevel& level : levels_) {
            keep(&at, &level.priceText);
            keep(&at, &level.volumeText);
        }
        update_.bidsBegin -= begin;
        update_.bidsEnd -= begin;
        update_.asksBegin -= begin;
        update_.asksEnd -= begin;
    }
    // The texts move with their vector, so that the levels' views stay true; a copy would not.
    HeldUpdate(HeldUpdate&&) = default;
    HeldUpdate& operator=(HeldUpdate&&) = default;
    HeldUpdate(const HeldUpdate&) = delete;
    HeldUpdate& operator=(const HeldUpdate&) = delete;

    const BookUpdate& update() const noexcept { return update_; }
    const BookLevel* levels() const noexcept { return levels_.data(); }
    std::size_t bytes() const noexcept { return sizeof(*this) + texts_.size() + levels_.size() * sizeof(BookLevel); }

private:
    static void keep(char** at, Lexeme* text) noexcept {
        std::memcpy(*at, text->data, text->size);
        text->data = *at;
        *at += text->size;
    }

    BookUpdate update_{};
    std::vector<BookLevel> levels_;
    std::vector<char> texts_;
};

// The updates that wait for a snapshot, the oldest first.
struct HeldUpdates {
    std::deque<HeldUpdate> updates;
    std::size_t bytes = 0;

    // Throws std::bad_alloc.
    void add(const BookUpdate& update, const BookLevel* levels) {
        updates.emplace_back(update, levels);
        bytes += updates.back().bytes();
    }
    void drop() noexcept {
        bytes -= updates.front().bytes();
        updates.pop_front();
    }
};

// The rules of one symbol, and its book's driver. Updates must stand in one piece: bids, then asks. One cache line: what
// waits for a snapshot stands elsewhere, while there is any.
class alignas(64) BookKeeper {
public:
    static constexpr std::size_t MAX_HELD = 4096;
    static constexpr std::size_t MAX_HELD_BYTES = std::size_t{4} << 20;

    // `outside`: the snapshots do not come with the updates (`take_snapshot`).
    BookKeeper(OrderBook* book, bool outside) noexcept : book_(book), outside_(outside) {}
    BookKeeper(const BookKeeper&) = delete;
    BookKeeper& operator=(const BookKeeper&) = delete;
    void set_outside(bool outside) noexcept { outside_ = outside; }

    // hot path: begin
    BookOutcome take(const BookUpdate& update, const BookLevel* levels) noexcept {
        if (__builtin_expect(update.snapshot, 0)) return take_whole(update, levels);
        if (__builtin_expect(state_ != SYNCED, 0)) return outside_ ? hold(update, levels) : OUTCOME_WAITING;
        const BookOutcome verdict = judge(update);
        if (__builtin_expect(verdict != OUTCOME_DELIVER, 0)) {
            if (verdict == OUTCOME_GAP && outside_) hold(update, levels);
            return verdict;
        }
        return apply(update, levels);
    }
    // hot path: end

    // A snapshot from outside. OUTCOME_DELIVER: it holds, and `take_held` gives what follows. OUTCOME_HELD: it is applied,
    // but the book is invalid until an update proves that it is not older than the stream. OUTCOME_ASK: it is.
    BookOutcome take_snapshot(const BookUpdate& update, const BookLevel* levels) noexcept {
        if (state_ == SYNCED) return OUTCOME_OUTDATED;
        bool covered = false;
        while (held() != 0) {
            const BookUpdate& first = held_->updates.front().update();
            covered |= first.firstSeq <= update.lastSeq + 1;
            if (!before(first, update.lastSeq)) break;
            held_->drop();
        }
        if (held() != 0 && !bridges(held_->updates.front().update(), update.lastSeq)) {
            // Nothing that would follow this one was kept.
            return OUTCOME_ASK;
        }
        if (held() == 0) held_.reset();
        const char* const why = why_;
        const BookOutcome outcome = begin(update, levels);
        if (covered || outcome != OUTCOME_DELIVER) return outcome;
        state_ = UNPROVEN;
        why_ = why;
        book_->invalidate(why);
        return OUTCOME_HELD;
    }

    // The next of the updates that were held when the snapshot came. False: there is none.
    bool take_held(BookOutcome* outcome) noexcept {
        if (held() == 0 || state_ != SYNCED) return false;
        const HeldUpdate next = std::move(held_->updates.front());
        held_->bytes -= next.bytes();
        held_->updates.pop_front();
        if (held_->updates.empty()) held_.reset();
        *outcome = take(next.update(), next.levels());
        return true;
    }

    // The book is what it should be no more, or there is a new connection; the next update waits for a snapshot.
    void invalidate(const char* why) noexcept {
        state_ = WAITING;
        why_ = why;
        held_.reset();
        book_->invalidate(why);
    }

    bool synced() const noexcept { return state_ == SYNCED; }
    bool unproven() const noexcept { return state_ == UNPROVEN; }
    const char* why() const noexcept { return why_; }
    std::uint64_t lost() const noexcept { return lost_; }  // frames, of the last gap; 0: unknown
    std::size_t held() const noexcept { return held_ != nullptr ? held_->updates.size() : 0; }
    std::uint64_t held_dropped() const noexcept { return heldDropped_; }
    OrderBook* book() const noexcept { return book_; }

private:
    enum State : std::uint8_t { WAITING, UNPROVEN, SYNCED };

    static bool is_future(const BookUpdate& update) noexcept { return update.hasPrevSeq; }

    // Whether a snapshot numbered `last` holds all of the update. Source: Binance, "How to manage a local order book
    // correctly": spot drops u <= lastUpdateId, futures u < lastUpdateId.
    static bool before(const BookUpdate& update, std::uint64_t last) noexcept {
        return is_future(update) ? update.lastSeq < last : update.lastSeq <= last;
    }

    // Whether the update is the first that goes onto such a snapshot.
    static bool bridges(const BookUpdate& update, std::uint64_t last) noexcept {
        if (is_future(update)) return (update.firstSeq <= last && last <= update.lastSeq) || update.prevSeq == last;
        return update.firstSeq <= last + 1 && last + 1 <= update.lastSeq;
    }

    // hot path: begin
    // OUTCOME_DELIVER: it goes onto the book.
    BookOutcome judge(const BookUpdate& update) noexcept {
        if (!update.hasSeq) return OUTCOME_DELIVER;
        if (outside_ && fresh_) {
            if (before(update, last_)) return OUTCOME_OUTDATED;
            return bridges(update, last_) ? OUTCOME_DELIVER : gap("sequence", 0);
        }
        switch (update.exchange) {
            case EXCHANGE_BINANCE:
            case EXCHANGE_BINANCE_FUTURE:
                if (is_future(update) ? update.prevSeq == last_ : update.firstSeq == last_ + 1) return OUTCOME_DELIVER;
                break;
            case EXCHANGE_OKX:
            case EXCHANGE_OKX_SWAP:
                if (!update.hasPrevSeq || update.prevSeq == last_) return OUTCOME_DELIVER;
                break;
            case EXCHANGE_KRAKEN_FUTURE:
                if (update.lastSeq == last_ + 1) return OUTCOME_DELIVER;
                break;
            default:
                return OUTCOME_DELIVER;  // the connection's count, which is checked elsewhere
        }
        if (is_repeat(update.lastSeq, update.exchangeTimeNs, last_, lastTimeNs_)) return OUTCOME_OUTDATED;
        if (update.lastSeq <= last_) return gap("sequence started anew", 0);
        return gap("sequence", update.exchange == EXCHANGE_KRAKEN_FUTURE ? update.lastSeq - last_ - 1 : 0);
    }

    BookOutcome apply(const BookUpdate& update, const BookLevel* levels) noexcept {
        const BookStatus status = book_->apply(update, levels);
        if (__builtin_expect(status != BOOK_APPLIED, 0)) return gap(refusal(status), 0);
        note(update);
        fresh_ = update.snapshot;
        if (update.hasChecksum) {
            const std::uint32_t checksum = update.checksumKind == CHECKSUM_KRAKEN
                                               ? book_->checksum_kraken()
                                               : static_cast<std::uint32_t>(book_->checksum_okx());
            if (__builtin_expect(checksum != update.checksum, 0)) return gap("checksum", 0);
        }
        if (__builtin_expect(book_->crossed(), 0)) return gap("crossed book", 0);
        return OUTCOME_DELIVER;
    }
    // hot path: end

    void note(const BookUpdate& update) noexcept {
        if (update.hasSeq) last_ = update.lastSeq;
        if (update.snapshot || update.exchangeTimeNs > lastTimeNs_) lastTimeNs_ = update.exchangeTimeNs;
    }

    // A snapshot, or a whole small book, that came with the updates.
    BookOutcome take_whole(const BookUpdate& update, const BookLevel* levels) noexcept {
        if (state_ == SYNCED) {
            // One that came again: it would take the book back.
            if (update.hasSeq ? is_repeat(update.lastSeq, update.exchangeTimeNs, last_, lastTimeNs_)
                              : update.exchangeTimeNs != 0 && update.exchangeTimeNs < lastTimeNs_) {
                return OUTCOME_OUTDATED;
            }
        }
        held_.reset();
        return begin(update, levels);
    }

    BookOutcome begin(const BookUpdate& update, const BookLevel* levels) noexcept {
        state_ = SYNCED;
        why_ = "";
        return apply(update, levels);
    }

    // While there is no book: keep the update, or begin with the snapshot that it proves.
    BookOutcome hold(const BookUpdate& update, const BookLevel* levels) noexcept {
        bool ask = false;
        if (state_ == UNPROVEN) {
            // Even one that the snapshot holds already proves that the stream is not behind a gap.
            if (before(update, last_) || bridges(update, last_)) {
                state_ = SYNCED;
                why_ = "";
                book_->validate();
                return before(update, last_) ? OUTCOME_DELIVER : apply(update, levels);
            }
            state_ = WAITING;
            ask = true;
        }
        try {
            if (held_ == nullptr) held_ = std::make_unique<HeldUpdates>();
            held_->add(update, levels);
        } catch (const std::bad_alloc&) {
            held_.reset();
        }
        // The oldest go first: a snapshot that is new enough needs them least.
        while (held() > MAX_HELD || (held() != 0 && held_->bytes > MAX_HELD_BYTES)) {
            held_->drop();
            ++heldDropped_;
        }
        return ask ? OUTCOME_ASK : OUTCOME_HELD;
    }

    BookOutcome gap(const char* why, std::uint64_t lost) noexcept {
        invalidate(why);
        lost_ = lost;
        return OUTCOME_GAP;
    }

    static const char* refusal(BookStatus status) noexcept {
        switch (status) {
            case BOOK_TEXT_TOO_LONG:
                return "a number with too many digits";
            case BOOK_TOO_DEEP:
                return "more levels than a book may have";
            default:
                return "no memory";
        }
    }

    OrderBook* book_;
    std::uint64_t last_ = 0;
    std::int64_t lastTimeNs_ = 0;
    bool outside_;
    State state_ = WAITING;
    bool fresh_ = false;  // the last that was applied is a snapshot

public:
    std::uint32_t place = 0;  // of whoever has the keeper; nothing here reads it

private:
    std::uint64_t lost_ = 0;
    std::uint64_t heldDropped_ = 0;
    const char* why_ = "no snapshot yet";
    std::unique_ptr<HeldUpdates> held_;  // while there are any
};
static_assert(sizeof(BookKeeper) == 64);

}  // namespace hft
