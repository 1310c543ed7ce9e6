// One side of an order book: its levels best first, in flat arrays with free room at both ends.
//
// A level's price, volume and number of its text cell stand in three parallel arrays (20 bytes a level are all that an
// insertion or a removal moves, and only those of the shorter half); the texts stand in cells that never move. Searching
// begins at the level that was touched last, or at the best one, and gallops: deltas mostly hit near the best.
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hftcore/book_digits.hpp"
#include "hftcore/book_level.hpp"

namespace hft {

template <BookSide SIDE>
class BookLadder {
public:
    BookLadder() = default;
    BookLadder(const BookLadder&) = delete;
    BookLadder& operator=(const BookLadder&) = delete;
    ~BookLadder() {
        clear();
        std::free(prices_);
        std::free(volumes_);
        std::free(slots_);
        std::free(unused_);
        std::free(cells_);
    }

    // Whether a level at price a stands before one at price b.
    static bool before(double a, double b) noexcept { return SIDE == BOOK_BID ? a > b : a < b; }

    std::size_t size() const noexcept { return size_; }
    const double* prices() const noexcept { return prices_ + head_; }    // best first
    const double* volumes() const noexcept { return volumes_ + head_; }  // parallel
    const LevelText& text(std::size_t rank) const noexcept { return cells_[slots_[head_ + rank]]; }
    LevelText& text(std::size_t rank) noexcept { return cells_[slots_[head_ + rank]]; }

    // Room for `count` levels, so that `set` needs none. False: no memory; nothing changed.
    bool reserve(std::size_t count) noexcept { return count <= room_ || grow(count); }

    void clear() noexcept {
        for (std::size_t rank = 0; rank < size_; ++rank) release(rank);
        size_ = cursor_ = 0;
        head_ = capacity_ / 2;
    }

    // hot path: begin

    // The next search begins at the best level.
    void rewind() noexcept { cursor_ = 0; }

    // The level's rank of `price`, or where it would stand; `found` tells which.
    std::size_t find(double price, std::string_view text, bool* found) const noexcept {
        std::size_t rank = locate(price);
        const double* const at = prices();
        for (; rank < size_ && at[rank] == price; ++rank) {
            const std::string_view other = this->text(rank).price();
            if (text.size() <= DOUBLE_DIGITS && other.size() <= DOUBLE_DIGITS && price > SMALLEST_FULL) {
                *found = true;
                return rank;
            }
            const int order = compare_exactly(other, text);
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
            if (gone) {
                remove(rank);
                ++counters->removed;
                return true;
            }
            LevelText& cell = text(rank);
            cell.release();
            if (__builtin_expect(!cell.set(level.priceText, level.volumeText), 0)) return false;
            volumes_[head_ + rank] = level.volume;
            ++counters->changed;
            return true;
        }
        if (gone) {
            ++counters->unknownRemoved;
            return true;
        }
        const std::uint32_t slot = unused_[unusedCount_ - 1];
        if (__builtin_expect(!cells_[slot].set(level.priceText, level.volumeText), 0)) return false;
        --unusedCount_;
        open(rank);
        prices_[head_ + rank] = level.price;
        volumes_[head_ + rank] = level.volume;
        slots_[head_ + rank] = slot;
        ++counters->inserted;
        return true;
    }

    // Drops what stands below the depth; returns how many levels.
    std::size_t truncate(std::size_t depth) noexcept {
        if (size_ <= depth) return 0;
        const std::size_t dropped = size_ - depth;
        for (std::size_t rank = depth; rank < size_; ++rank) release(rank);
        size_ = depth;
        return dropped;
    }
    // hot path: end

private:
    // The first rank whose price is not before `price`.
    std::size_t locate(double price) const noexcept {
        const double* const at = prices();
        const std::size_t n = size_;
        std::size_t low = cursor_ < n ? cursor_ : n, high = low;
        // Ranks below `low` stand before the price, ranks from `high` on do not.
        if (low < n && before(at[low], price)) {
            ++low;
            high = n;
            for (std::size_t step = 1; low + step <= n; step *= 2) {
                const std::size_t probe = low + step - 1;
                if (!before(at[probe], price)) {
                    high = probe;
                    break;
                }
                low = probe + 1;
            }
        } else {
            low = 0;
            for (std::size_t step = 1; high > 0; step *= 2) {
                const std::size_t probe = high > step ? high - step : 0;
                if (before(at[probe], price)) {
                    low = probe + 1;
                    break;
                }
                high = probe;
            }
        }
        while (low < high) {
            const std::size_t middle = low + (high - low) / 2;
            if (before(at[middle], price)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    template <typename T>
    static void slide(T* from, std::ptrdiff_t by, std::size_t count) noexcept {
        std::memmove(from + by, from, count * sizeof(T));
    }

    void slide_all(std::size_t first, std::ptrdiff_t by, std::size_t count) noexcept {
        slide(prices_ + first, by, count);
        slide(volumes_ + first, by, count);
        slide(slots_ + first, by, count);
    }

    // Makes room for a new level at `rank`, by moving the shorter part.
    void open(std::size_t rank) noexcept {
        if (rank < size_ - rank) {
            if (__builtin_expect(head_ == 0, 0)) centre();
            slide_all(head_, -1, rank);
            --head_;
        } else {
            if (__builtin_expect(head_ + size_ == capacity_, 0)) centre();
            slide_all(head_ + rank, 1, size_ - rank);
        }
        ++size_;
    }

    void release(std::size_t rank) noexcept {
        const std::uint32_t slot = slots_[head_ + rank];
        cells_[slot].release();
        unused_[unusedCount_++] = slot;
    }

    void remove(std::size_t rank) noexcept {
        release(rank);
        --size_;
        if (rank < size_ - rank) {
            slide_all(head_, 1, rank);
            ++head_;
        } else {
            slide_all(head_ + rank + 1, -1, size_ - rank);
        }
    }

    // Free room at both ends again: the arrays have twice the room that levels may take.
    void centre() noexcept {
        const std::size_t head = (capacity_ - size_) / 2;
        slide_all(head_, static_cast<std::ptrdiff_t>(head) - static_cast<std::ptrdiff_t>(head_), size_);
        head_ = head;
    }

    // calloc, and not realloc: nothing changes where there is no memory.
    bool grow(std::size_t count) noexcept {
        std::size_t room = room_ == 0 ? 64 : room_;
        while (room < count) room *= 2;
        const std::size_t capacity = 2 * room;
        auto* const prices = static_cast<double*>(std::malloc(capacity * sizeof(double)));
        auto* const volumes = static_cast<double*>(std::malloc(capacity * sizeof(double)));
        auto* const slots = static_cast<std::uint32_t*>(std::malloc(capacity * sizeof(std::uint32_t)));
        auto* const unused = static_cast<std::uint32_t*>(std::malloc(room * sizeof(std::uint32_t)));
        auto* const cells = static_cast<LevelText*>(std::aligned_alloc(64, room * sizeof(LevelText)));
        if (prices == nullptr || volumes == nullptr || slots == nullptr || unused == nullptr || cells == nullptr) {
            std::free(prices);
            std::free(volumes);
            std::free(slots);
            std::free(unused);
            std::free(cells);
            return false;
        }
        const std::size_t head = (capacity - size_) / 2;
        if (room_ != 0) {
            std::memcpy(prices + head, prices_ + head_, size_ * sizeof(double));
            std::memcpy(volumes + head, volumes_ + head_, size_ * sizeof(double));
            std::memcpy(slots + head, slots_ + head_, size_ * sizeof(std::uint32_t));
            std::memcpy(unused, unused_, unusedCount_ * sizeof(std::uint32_t));
            std::memcpy(static_cast<void*>(cells), static_cast<const void*>(cells_), room_ * sizeof(LevelText));
        }
        // The lowest new slot is taken first.
        for (std::size_t slot = room; slot > room_; --slot) {
            unused[unusedCount_++] = static_cast<std::uint32_t>(slot - 1);
            cells[slot - 1].priceSize = 0;
        }
        std::free(prices_);
        std::free(volumes_);
        std::free(slots_);
        std::free(unused_);
        std::free(cells_);
        prices_ = prices;
        volumes_ = volumes;
        slots_ = slots;
        unused_ = unused;
        cells_ = cells;
        head_ = head;
        capacity_ = capacity;
        room_ = room;
        return true;
    }

    double* prices_ = nullptr;
    double* volumes_ = nullptr;
    std::uint32_t* slots_ = nullptr;
    std::size_t head_ = 0;  // of the best level
    std::size_t size_ = 0;
    std::size_t cursor_ = 0;    // rank that was touched last
    std::size_t capacity_ = 0;  // of the three arrays
    std::size_t room_ = 0;      // how many levels there may be: as many as there are cells
    LevelText* cells_ = nullptr;
    std::uint32_t* unused_ = nullptr;  // cells without a level, the last one is taken first
    std::size_t unusedCount_ = 0;
};

}  // namespace hft
