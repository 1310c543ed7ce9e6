// One side of an order book: its levels best first, in one flat array with free room at both ends.
//
// A row (24 bytes) is all of a level whose texts are plain (book_form.hpp); those that are not stand in cells of their own,
// which never move. An insertion or a removal moves the shorter half only. Searching begins at the level that was touched
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

// Where a level's texts are.
enum TextStore : std::uint8_t {
    STORE_NONE = 0,     // both are plain: price, volume and their forms say all
    STORE_CELL = 1,     // in its cell
    STORE_OUTSIDE = 2,  // in memory that its cell points to
};

// A level of a side.
struct BookRow {
    double price;
    double volume;
    std::uint32_t cell;  // of its texts, where `store` says so; else 0
    TextForm priceForm;  // FORM_IRREGULAR: not plain
    TextForm volumeForm;
    TextStore store;
    std::uint8_t reserved;  // 0: two rows that have no cell are the same if their bytes are
};
static_assert(sizeof(BookRow) == 24 && offsetof(BookRow, priceForm) == 20);

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
    LevelText text(std::size_t rank) const noexcept { return text_of(rows()[rank]); }
    LevelText text_of(const BookRow& row) const noexcept {
        if (__builtin_expect(row.store != STORE_NONE, 0)) return LevelText(&cells_[row.cell]);
        return {row.price, row.priceForm, row.volume, row.volumeForm};
    }

    // The best rank that has changed since this was asked before; the number of ranks may have changed too.
    std::size_t take_touched() noexcept {
        const std::size_t touched = touched_;
        touched_ = SIZE_MAX;
        return touched;
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

    // The level's rank of a price, or where it would stand; `found` tells which. `form` must be known.
    std::size_t find(double price, std::string_view text, TextForm form, bool* found) const noexcept {
        std::size_t rank = locate(price);
        for (const BookRow* row = rows() + rank; rank < size_ && row->price == price; ++rank, ++row) {
            // Of so few digits no other number has the same double.
            if (__builtin_expect(is_plain(form) && is_plain(row->priceForm), 1)) {
                *found = true;
                return rank;
            }
            const int order = compare_exactly(text_of(*row).price(), text);
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
        BookRow made = row_of(level);
        bool found;
        const std::size_t rank = find(level.price, level.priceText.view(), made.priceForm, &found);
        cursor_ = rank;
        const bool gone = level.volume == 0.0 && (is_plain(made.volumeForm) || is_zero_text(level.volumeText.view()));
        if (!found && gone) {
            ++counters->unknownRemoved;
            return true;
        }
        touch(rank);
        if (found) {
            BookRow& row = rows_[head_ + rank];
            release(row);
            if (gone) {
                remove(rank);
                ++counters->removed;
                return true;
            }
            row.store = STORE_NONE;
            if (__builtin_expect(!store(&made, level), 0)) return false;
            row = made;
            ++counters->changed;
            return true;
        }
        if (__builtin_expect(!store(&made, level), 0)) return false;
        open(rank);
        rows_[head_ + rank] = made;
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
    static constexpr std::size_t NEAR = 8;

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
            std::size_t step = 1;
            if (low + NEAR <= n) {
                // Mostly it is one of these; where among them would only be guessed.
                std::size_t count = 0;
                for (std::size_t i = 0; i < NEAR; ++i) count += before(at[low + i].price, price);
                low += count;
                if (count != NEAR) return low;
                step = NEAR;
            }
            for (; low + step <= n; step *= 2) {
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
        // Without a branch that would be guessed wrong every other time.
        const BookRow* base = at + low;
        for (std::size_t count = high - low; count != 0;) {
            const std::size_t half = (count + 1) / 2;
            base += half & (0 - static_cast<std::size_t>(before(base[half - 1].price, price)));
            count -= half;
        }
        return static_cast<std::size_t>(base - at);
    }

    void touch(std::size_t rank) noexcept { touched_ = rank < touched_ ? rank : touched_; }

    static BookRow row_of(const BookLevel& level) noexcept {
        TextForm price = level.priceText.form, volume = level.volumeText.form;
        if (__builtin_expect(price == FORM_UNKNOWN, 0)) price = form_of(level.priceText.view());
        if (__builtin_expect(volume == FORM_UNKNOWN, 0)) volume = form_of(level.volumeText.view());
        return {level.price, level.volume, 0, price, volume, STORE_NONE, 0};
    }

    // Keeps the texts of a row that is made, unless they are plain.
    bool store(BookRow* row, const BookLevel& level) noexcept {
        if (__builtin_expect(is_plain(row->priceForm) && is_plain(row->volumeForm), 1)) return true;
        const std::uint32_t number = unused_[unusedCount_ - 1];
        StoredText& cell = cells_[number];
        if (!cell.set(level.priceText, level.volumeText)) return false;
        --unusedCount_;
        row->cell = number;
        row->store = cell.is_outside() ? STORE_OUTSIDE : STORE_CELL;
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
        if (__builtin_expect(row.store == STORE_NONE, 1)) return;
        if (row.store == STORE_OUTSIDE) cells_[row.cell].release();
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
        auto* const cells = static_cast<StoredText*>(std::aligned_alloc(64, room * sizeof(StoredText)));
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
            // Only those that are taken: memory that was never touched costs nothing.
            for (const BookRow* row = rows + head; row != rows + head + size_; ++row) {
                if (row->store != STORE_NONE) cells[row->cell] = cells_[row->cell];
            }
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
    StoredText* cells_ = nullptr;
    std::uint32_t* unused_ = nullptr;  // cells without a level, the last one is taken first
    std::size_t unusedCount_ = 0;
};

}  // namespace hft
