// An order book by price (L2), exact to the venue's digits: snapshots, deltas of absolute volumes, queries, checksums.
//
// A level is identified by the exact decimal value of its price: 1.10 and 1.1 are one level, two prices of 18 digits that
// round to one double are two. A side is kept best first (book_ladder.hpp); where the book has a depth, what stands below
// it is dropped after each update, as Kraken's rule says. Nothing here knows of sequences: see book_sync.hpp.
// One thread at a time; views into the book are valid until the next update.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hftcore/block_pool.hpp"
#include "hftcore/book_checksum.hpp"
#include "hftcore/book_ladder.hpp"
#include "hftcore/book_level.hpp"

namespace hft {

//   offset  field
//        0  symbol, exchange, state, times, seq, depth, why, decimals, owner
//       64  counters
//      128  bids: their line, then the rows of a small book
//     1344  asks, alike
//     2560  sums
class alignas(64) OrderBook : public Pooled<OrderBook> {
public:
    static constexpr std::size_t BIDS_AT = 128, ASKS_AT = 1344;
    static constexpr std::size_t NEAR_LEVELS = BookLadder<BOOK_BID>::NEAR_ROOM;

    // `depth`: how many levels each side keeps; 0: all.
    explicit OrderBook(std::size_t depth = 0) noexcept : depth_(depth) {}
    OrderBook(const OrderBook&) = delete;
    OrderBook& operator=(const OrderBook&) = delete;

    std::int32_t symbol = -1;
    std::uint8_t exchange = 0;

private:
    BookState state_ = BOOK_INVALID;

public:
    // Of the update that was applied last.
    std::int64_t exchangeTimeNs = 0;
    std::int64_t localTimeNs = 0;
    std::uint64_t seq = 0;
    void* owner = nullptr;  // of whoever drives the book; nothing here reads it

    std::size_t depth() const noexcept { return depth_; }
    const BookCounters& counters() const noexcept { return counters_; }

    // A snapshot makes the book valid; deltas leave the state as it is.
    BookState state() const noexcept { return state_; }
    const char* why() const noexcept { return why_; }  // it is invalid; a text that lives for ever
    void invalidate(const char* why) noexcept {
        state_ = BOOK_INVALID;
        why_ = why;
    }
    // What it holds is what the venue has, after all.
    void validate() noexcept {
        state_ = BOOK_VALID;
        why_ = "";
    }

    // No levels, invalid.
    void clear(const char* why) noexcept {
        bids_.clear();
        asks_.clear();
        invalidate(why);
    }

    // How many decimals the venue writes, where lexemes may have lost their zeros: for checksum_kraken.
    void set_decimals(BookDecimals decimals) noexcept {
        decimals_ = decimals;
        sums_.forget();
    }

    // hot path: begin

    // The levels in their order (of one price the last one counts), then the depth. With BOOK_NO_MEMORY the book is
    // emptied and invalid; with any other refusal it is as it was before.
    BookStatus apply(const BookLevel* bids, std::size_t bidCount, const BookLevel* asks, std::size_t askCount,
                     bool snapshot) noexcept {
        const BookStatus status = check(bids, bidCount, asks, askCount, snapshot);
        if (__builtin_expect(status == BOOK_NO_MEMORY, 0)) clear("no memory");
        if (__builtin_expect(status != BOOK_APPLIED, 0)) return refuse(status);
        if (snapshot) {
            bids_.clear();
            asks_.clear();
        }
        if (__builtin_expect(!fill(bids_, bids, bidCount) || !fill(asks_, asks, askCount), 0)) {
            clear("no memory");
            return refuse(BOOK_NO_MEMORY);
        }
        if (snapshot) {
            validate();
            ++counters_.snapshots;
        }
        ++counters_.updates;
        return BOOK_APPLIED;
    }

    // A BookUpdate of book_batch.hpp: its times and its sequence become the book's.
    template <typename Update>
    BookStatus apply(const Update& update, const BookLevel* levels) noexcept {
        const BookStatus status = apply(levels + update.bidsBegin, update.bidsEnd - update.bidsBegin,
                                        levels + update.asksBegin, update.asksEnd - update.asksBegin, update.snapshot);
        if (__builtin_expect(status == BOOK_APPLIED, 1)) {
            exchangeTimeNs = update.exchangeTimeNs;
            localTimeNs = update.localTimeNs;
            seq = update.lastSeq;
        }
        return status;
    }

    // Whether all levels stand in the book itself.
    bool is_near() const noexcept { return bids_.is_near() && asks_.is_near(); }

    // Asks for the memory of the best levels before they are needed, wherever they are.
    HFT_INLINE void prefetch(std::size_t levels) const noexcept {
        bids_.prefetch(levels);
        asks_.prefetch(levels);
    }

    std::size_t bid_count() const noexcept { return bids_.size(); }
    std::size_t ask_count() const noexcept { return asks_.size(); }
    // How many levels' texts are not plain, so that they stand in cells of their own.
    std::size_t text_cells() const noexcept { return bids_.cell_count() + asks_.cell_count(); }
    // Best first; `*_count()` of them.
    const BookRow* bids() const noexcept { return bids_.rows(); }
    const BookRow* asks() const noexcept { return asks_.rows(); }
    LevelText bid_text(std::size_t rank) const noexcept { return bids_.text(rank); }
    LevelText ask_text(std::size_t rank) const noexcept { return asks_.text(rank); }

    // 0 where the side is empty.
    double best_bid() const noexcept { return bids_.size() != 0 ? bids_.rows()->price : 0.0; }
    double best_bid_volume() const noexcept { return bids_.size() != 0 ? bids_.rows()->volume : 0.0; }
    double best_ask() const noexcept { return asks_.size() != 0 ? asks_.rows()->price : 0.0; }
    double best_ask_volume() const noexcept { return asks_.size() != 0 ? asks_.rows()->volume : 0.0; }

    // The best bid above the best ask; equal to it.
    bool crossed() const noexcept { return touch() > 0; }
    bool locked() const noexcept { return touch() == 0; }

    // Both 0 unless both sides have levels.
    double mid() const noexcept { return has_both() ? 0.5 * best_bid() + 0.5 * best_ask() : 0.0; }
    double spread() const noexcept { return has_both() ? best_ask() - best_bid() : 0.0; }

    // The mid weighted by the volumes of the other side: near the bid where there is more to buy than to sell.
    double microprice() const noexcept {
        const double total = best_bid_volume() + best_ask_volume();
        if (!has_both() || !(total > 0.0)) return mid();
        return best_bid() * (best_ask_volume() / total) + best_ask() * (best_bid_volume() / total);
    }

    // (bid volume - ask volume) / (their sum) of the best `levels`; -1 to 1, 0 where there is nothing.
    double imbalance(std::size_t levels) const noexcept {
        const double bid = sum(bids_, levels), ask = sum(asks_, levels);
        return bid + ask > 0.0 ? (bid - ask) / (bid + ask) : 0.0;
    }

    // The volume of the levels at a price or better.
    double volume_to(BookSide side, double price) const noexcept {
        return side == BOOK_BID ? volume_to(bids_, price) : volume_to(asks_, price);
    }

    // The volume at exactly this price, whose double and text they are; 0 if there is none.
    double volume_at(BookSide side, double price, std::string_view text) const noexcept {
        return side == BOOK_BID ? volume_at(bids_, price, text) : volume_at(asks_, price, text);
    }

    // What an order of `volume` takes from the side; of `value`, in the quote currency.
    BookFill take(BookSide side, double volume) const noexcept {
        return side == BOOK_BID ? take<false>(bids_, volume) : take<false>(asks_, volume);
    }
    BookFill take_value(BookSide side, double value) const noexcept {
        return side == BOOK_BID ? take<true>(bids_, value) : take<true>(asks_, value);
    }

    // Both rules are one; see book_checksum.hpp.
    std::uint32_t checksum_kraken() noexcept { return sums_.kraken(bids_, asks_, decimals_); }
    std::int32_t checksum_okx() noexcept { return sums_.okx(bids_, asks_); }

private:
    static bool too_long(const BookLevel* levels, std::size_t count) noexcept {
        std::uint32_t longest = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t price = levels[i].priceText.size, volume = levels[i].volumeText.size;
            longest = longest > price ? longest : price;
            longest = longest > volume ? longest : volume;
        }
        return longest > MAX_LEXEME;
    }

    BookStatus check(const BookLevel* bids, std::size_t bidCount, const BookLevel* asks, std::size_t askCount,
                     bool snapshot) noexcept {
        if (__builtin_expect(too_long(bids, bidCount) || too_long(asks, askCount), 0)) return BOOK_TEXT_TOO_LONG;
        const std::size_t bidRoom = bidCount + (snapshot ? 0 : bids_.size());
        const std::size_t askRoom = askCount + (snapshot ? 0 : asks_.size());
        if (__builtin_expect(bidRoom > MAX_BOOK_LEVELS || askRoom > MAX_BOOK_LEVELS, 0)) return BOOK_TOO_DEEP;
        if (__builtin_expect(!bids_.reserve(bidRoom) || !asks_.reserve(askRoom), 0)) return BOOK_NO_MEMORY;
        return BOOK_APPLIED;
    }

    BookStatus refuse(BookStatus status) noexcept {
        ++counters_.refused;
        return status;
    }

    template <typename Ladder>
    bool fill(Ladder& ladder, const BookLevel* levels, std::size_t count) noexcept {
        if (__builtin_expect(!ladder.set(levels, count, &counters_), 0)) return false;
        if (depth_ != 0) counters_.truncated += ladder.truncate(depth_);
        return true;
    }

    bool has_both() const noexcept { return bids_.size() != 0 && asks_.size() != 0; }

    // Above 0: the best bid is above the best ask; 0: they are equal.
    int touch() const noexcept {
        if (!has_both()) return -1;
        const double bid = bids_.rows()->price, ask = asks_.rows()->price;
        if (__builtin_expect(bid != ask, 1)) return bid < ask ? -1 : 1;
        return compare_exactly(bids_.text(0).price(), asks_.text(0).price());
    }

    template <typename Ladder>
    static double sum(const Ladder& ladder, std::size_t levels) noexcept {
        const std::size_t count = levels < ladder.size() ? levels : ladder.size();
        double total = 0.0;
        for (std::size_t rank = 0; rank < count; ++rank) total += ladder.rows()[rank].volume;
        return total;
    }

    template <typename Ladder>
    static double volume_to(const Ladder& ladder, double price) noexcept {
        double total = 0.0;
        for (std::size_t rank = 0; rank < ladder.size() && !Ladder::before(price, ladder.rows()[rank].price); ++rank) {
            total += ladder.rows()[rank].volume;
        }
        return total;
    }

    template <typename Ladder>
    static double volume_at(const Ladder& ladder, double price, std::string_view text) noexcept {
        bool found;
        const std::size_t rank = ladder.find(price, text, form_of(text), &found);
        return found ? ladder.rows()[rank].volume : 0.0;
    }

    template <bool BY_VALUE, typename Ladder>
    static BookFill take(const Ladder& ladder, double wanted) noexcept {
        BookFill fill{0.0, 0.0, 0.0, 0, !(wanted > 0.0)};
        double left = wanted;
        for (std::size_t rank = 0; rank < ladder.size() && left > 0.0; ++rank) {
            const double price = ladder.rows()[rank].price, volume = ladder.rows()[rank].volume;
            const double whole = BY_VALUE ? price * volume : volume;
            fill.worstPrice = price;
            ++fill.levels;
            if (whole >= left) {
                const double part = BY_VALUE ? left / price : left;
                fill.volume += part;
                fill.value += BY_VALUE ? left : left * price;
                fill.complete = true;
                return fill;
            }
            fill.volume += volume;
            fill.value += price * volume;
            left -= whole;
        }
        return fill;
    }
    // hot path: end

    std::size_t depth_;
    const char* why_ = "no snapshot yet";
    BookDecimals decimals_;
    BookCounters counters_{};
    BookLadder<BOOK_BID> bids_;
    BookLadder<BOOK_ASK> asks_;
    BookSums sums_;

    friend struct OrderBookLayout;
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
struct OrderBookLayout {
    static_assert(offsetof(OrderBook, counters_) == 64 && offsetof(OrderBook, bids_) == OrderBook::BIDS_AT);
    static_assert(offsetof(OrderBook, asks_) == OrderBook::ASKS_AT && offsetof(OrderBook, sums_) == 2560);
};
#pragma GCC diagnostic pop

}  // namespace hft
