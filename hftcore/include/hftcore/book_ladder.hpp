// One side of an order book: its levels best first, in one flat array with free room at both ends.
//
// A row (24 bytes) is all of a level that searching, inserting and removing touch, and an insertion or a removal moves the
// shorter half only; the texts stand in cells of their own that never move. Searching begins at the level that was touched
// last, or at the best one: deltas mostly hit near the best, and come sorted.
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hftcore/book_digits.hpp"
#include "hftcore/book_level.hpp"

namespace hft {

// A level of a side.
struct BookRow {
    double price;
    double volume;
    std::uint32_t cell;       // of its texts
    std::uint16_t priceSize;  // of the price's text
    std::uint16_t outside;    // the cell points to memory of its own
};
static_assert(sizeof(BookRow) == 24);

template <BookSide SIDE>
class BookLadder {
public:
    BookLadder() = default;
    BookLadder(const BookLadder&) = delete;
    BookLadder& operator=(const BookLadder&) = delete;
    ~BookLadder() {
        clear();
        std::free(rows_);
        std::free(unused_);
        std::free(cells_);
    }

    // Whether a level at price a stands before one at price b.
    static bool before(double a, double b) noexcept { return SIDE == BOOK_BID ? a > b : a < b; }

    std::size_t size() const noexcept { return size_; }
    const BookRow* rows() const noexcept { return rows_ + head_; }  // best first
    const LevelText& text(std::size_t rank) const noexcept { return cells_[rows()[rank].cell]; }
    LevelText& text(std::size_t rank) noexcept { return cells_[rows()[rank].cell]; }

    // The best rank that has changed since this was asked before; the number of ranks may have changed too.
    std::size_t take_touched() noexcept {
        const std::size_t touched = touched_;
        touched_ = SIZE_MAX;
        return touched;
    }

    // Makes the checksum's digits of all levels anew.
    void forget_digits() noexcept {
        for (std::size_t rank = 0; rank < size_; ++rank) {
            if (!rows()[rank].outside) text(rank).digitsSize = 0;
        }
        touched_ = 0;
    }

    // Room for `count` levels, so that `set` needs none. False: no memory; nothing changed.
    bool reserve(std::size_t count) noexcept { return count <= room_ || grow(count); }

    void clear() noexcept {
        for (std::size_t rank = 0; rank < size_; ++rank) release(rows()[rank]);
        size_ = cursor_ = touched_ = 0;
        head_ = capacity_ / 2;
    }

    // hot path: begin

    // The next search begins at the best level.
    void rewind() noexcept { cursor_ = 0; }

    // The level's rank of `price`, or where it would stand; `found` tells which.
    std::size_t find(double price, std::string_view text, bool* found) const noexcept {
        std::size_t rank = locate(price);
        for (const BookRow* row = rows() + rank; rank < size_ && row->price == price; ++rank, ++row) {
            // Of so few digits no other number has the same double.
            if (__builtin_expect(text.size() <= DOUBLE_DIGITS && row->priceSize <= DOUBLE_DIGITS && price > SMALLEST_FULL, 1)) {
                *found = true;
                return rank;
            }
            const int order = compare_exactly(cells_[row->cell].price(), text);
            if (order == 0) {
                *found = true;
                return rank;
            }
            if (SIDE == BOOK_BID ? order < 0 : order > 0) break;
        }
        *found = false;
        return rank;
    }

    // Insert, change or remove one level; there must be room for it. False: no memory for a long text.
    bool set(const BookLevel& level, BookCounters* counters) noexcept {
        bool found;
        const std::size_t rank = find(level.price, level.priceText.view(), &found);
        cursor_ = rank;
        const bool gone = level.volume == 0.0 && is_zero_text(level.volumeText.view());
        if (found) {
            touch(rank);
            BookRow& row = rows_[head_ + rank];
            if (gone) {
                release(row);
                remove(rank);
                ++counters->removed;
                return true;
            }
            LevelText& cell = cells_[row.cell];
            if (__builtin_expect(row.outside, 0)) {
                cell.release();
                row.outside = 0;
            }
            if (__builtin_expect(!write(&row, level), 0)) return false;
            ++counters->changed;
            return true;
        }
        if (gone) {
            ++counters->unknownRemoved;
            return true;
        }
        touch(rank);
        BookRow row;
        row.cell = unused_[unusedCount_ - 1];
        row.outside = 0;
        if (__builtin_expect(!write(&row, level), 0)) return false;
        --unusedCount_;
        open(rank);
        rows_[head_ + rank] = row;
        ++counters->inserted;
        return true;
    }

    // Drops what stands below the depth; returns how many levels.
    std::size_t truncate(std::size_t depth) noexcept {
        if (size_ <= depth) return 0;
        const std::size_t dropped = size_ - depth;
        for (std::size_t rank = depth; rank < size_; ++rank) release(rows()[rank]);
        touch(depth);
        size_ = depth;
        return dropped;
    }
    // hot path: end

private:
    // hot path: begin

    // The first rank whose price is not before `price`.
    std::size_t locate(double price) const noexcept {
        const BookRow* const at = rows();
        const std::size_t n = size_;
        std::size_t low = cursor_ < n ? cursor_ : n, high = low;
        // Ranks below `low` stand before the price, ranks from `high` on do not.
        if (low < n && before(at[low].price, price)) {
            ++low;
            high = n;
            for (std::size_t step = 1; low + step <= n; step *= 2) {
                const std::size_t probe = low + step - 1;
                if (!before(at[probe].price, price)) {
                    high = probe;
                    break;
                }
                low = probe + 1;
            }
        } else {
            low = 0;
            for (std::size_t step = 1; high > 0; step *= 2) {
                const std::size_t probe = high > step ? high - step : 0;
                if (before(at[probe].price, price)) {
                    low = probe + 1;
                    break;
                }
                high = probe;
            }
        }
        while (low < high) {
            const std::size_t middle = low + (high - low) / 2;
            if (before(at[middle].price, price)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    void touch(std::size_t rank) noexcept { touched_ = rank < touched_ ? rank : touched_; }

    bool write(BookRow* row, const BookLevel& level) noexcept {
        LevelText& cell = cells_[row->cell];
        if (__builtin_expect(!cell.set(level.priceText, level.volumeText), 0)) return false;
        row->price = level.price;
        row->volume = level.volume;
        row->priceSize = static_cast<std::uint16_t>(level.priceText.size);
        row->outside = cell.is_outside();
        return true;
    }

    void slide(std::size_t first, std::ptrdiff_t by, std::size_t count) noexcept {
        BookRow* const from = rows_ + first;
        std::memmove(static_cast<void*>(from + by), static_cast<const void*>(from), count * sizeof(BookRow));
    }

    // Makes room for a new level at `rank`, by moving the shorter part.
    void open(std::size_t rank) noexcept {
        if (rank < size_ - rank) {
            if (__builtin_expect(head_ == 0, 0)) centre();
            slide(head_, -1, rank);
            --head_;
        } else {
            if (__builtin_expect(head_ + size_ == capacity_, 0)) centre();
            slide(head_ + rank, 1, size_ - rank);
        }
        ++size_;
    }

    void release(const BookRow& row) noexcept {
        if (__builtin_expect(row.outside, 0)) cells_[row.cell].release();
        unused_[unusedCount_++] = row.cell;
    }

    void remove(std::size_t rank) noexcept {
        --size_;
        if (rank < size_ - rank) {
            slide(head_, 1, rank);
            ++head_;
        } else {
            slide(head_ + rank + 1, -1, size_ - rank);
        }
    }

    // Free room at both ends again: the array has twice the room that levels may take.
    void centre() noexcept {
        const std::size_t head = (capacity_ - size_) / 2;
        slide(head_, static_cast<std::ptrdiff_t>(head) - static_cast<std::ptrdiff_t>(head_), size_);
        head_ = head;
    }
    // hot path: end

    // Not realloc: nothing changes where there is no memory.
    bool grow(std::size_t count) noexcept {
        std::size_t room = room_ == 0 ? 64 : room_;
        while (room < count) room *= 2;
        const std::size_t capacity = 2 * room;
        auto* const rows = static_cast<BookRow*>(std::malloc(capacity * sizeof(BookRow)));
        auto* const unused = static_cast<std::uint32_t*>(std::malloc(room * sizeof(std::uint32_t)));
        auto* const cells = static_cast<LevelText*>(std::aligned_alloc(64, room * sizeof(LevelText)));
        if (rows == nullptr || unused == nullptr || cells == nullptr) {
            std::free(rows);
            std::free(unused);
            std::free(cells);
            return false;
        }
        const std::size_t head = (capacity - size_) / 2;
        if (room_ != 0) {
            std::memcpy(static_cast<void*>(rows + head), static_cast<const void*>(rows_ + head_), size_ * sizeof(BookRow));
            std::memcpy(unused, unused_, unusedCount_ * sizeof(std::uint32_t));
            std::memcpy(static_cast<void*>(cells), static_cast<const void*>(cells_), room_ * sizeof(LevelText));
        }
        // The lowest new cell is taken first.
        for (std::size_t cell = room; cell > room_; --cell) unused[unusedCount_++] = static_cast<std::uint32_t>(cell - 1);
        std::free(rows_);
        std::free(unused_);
        std::free(cells_);
        rows_ = rows;
        unused_ = unused;
        cells_ = cells;
        head_ = head;
        capacity_ = capacity;
        room_ = room;
        return true;
    }

    BookRow* rows_ = nullptr;
    std::size_t head_ = 0;  // of the best level
    std::size_t size_ = 0;
    std::size_t cursor_ = 0;    // rank that was touched last
    std::size_t touched_ = 0;   // best rank that has changed
    std::size_t capacity_ = 0;  // of the rows
    std::size_t room_ = 0;      // how many levels there may be: as many as there are cells
    LevelText* cells_ = nullptr;
    std::uint32_t* unused_ = nullptr;  // cells without a level, the last one is taken first
    std::size_t unusedCount_ = 0;
};

}  // namespace hft
