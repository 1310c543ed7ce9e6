// One side of an order book: its levels best first, in one flat array.
//
// A row (24 bytes) is all of a level whose texts are plain (book_form.hpp); those that are not stand in cells of their own.
// A side of up to 47 levels stands in the ladder itself, from its first row on: who reads the book finds it without looking,
// and what comes or goes moves what stands below. More levels stand outside, with free room at both ends, and only the
// shorter half moves. Searching begins at the level that was touched
// last, or at the best one: deltas mostly hit near the best, and come sorted.
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "hftcore/book_digits.hpp"
#include "hftcore/book_level.hpp"
#include "hftcore/words.hpp"

namespace hft {

// Where a level's texts are.
enum TextStore : std::uint8_t {
    STORE_NONE = 0,     // both are plain: price, volume and their forms say all
    STORE_CELL = 1,     // in its cell
    STORE_OUTSIDE = 2,  // in memory that its cell points to
};

// What is known of a level's texts, in one word, so that a row is never written in pieces and read as a whole.
//   bits 0 – 7  the price's TextForm    8 – 15  the volume's    16 – 23  TextStore    32 – 63  the cell's number, else 0
class RowTexts {
public:
    RowTexts() noexcept = default;
    RowTexts(TextForm price, TextForm volume) noexcept : word_(price | std::uint64_t{volume} << 8) {}

    TextForm price_form() const noexcept { return static_cast<TextForm>(word_); }
    TextForm volume_form() const noexcept { return static_cast<TextForm>(word_ >> 8); }
    TextStore store() const noexcept { return static_cast<TextStore>(word_ >> 16 & 255); }
    std::uint32_t cell() const noexcept { return static_cast<std::uint32_t>(word_ >> 32); }
    bool are_plain() const noexcept { return is_plain(price_form()) & is_plain(volume_form()); }

    void keep(TextStore store, std::uint32_t cell) noexcept {
        word_ = (word_ & 0xffff) | std::uint64_t{store} << 16 | std::uint64_t{cell} << 32;
    }
    bool operator==(const RowTexts& other) const noexcept { return word_ == other.word_; }

private:
    std::uint64_t word_;
};

// A level of a side.
struct BookRow {
    double price;
    double volume;
    RowTexts texts;
};
static_assert(sizeof(BookRow) == 24);

// Cells for the texts that are not plain, made when the first of them comes: most books never have any.
class TextCells {
public:
    TextCells() = default;
    TextCells(const TextCells&) = delete;
    TextCells& operator=(const TextCells&) = delete;
    ~TextCells() {
        std::free(unused_);
        std::free(cells_);
    }

    StoredText& operator[](std::uint32_t number) noexcept { return cells_[number]; }
    const StoredText& operator[](std::uint32_t number) const noexcept { return cells_[number]; }

    // Whether a cell can be taken; false: no memory, nothing changed.
    bool reserve() noexcept { return unusedCount_ != 0 || grow(); }
    // The cell that the next `take` takes.
    std::uint32_t next() const noexcept { return unused_[unusedCount_ - 1]; }
    void take() noexcept { --unusedCount_; }
    void give(std::uint32_t number) noexcept { unused_[unusedCount_++] = number; }
    std::size_t taken() const noexcept { return room_ - unusedCount_; }

private:
    // Not realloc: nothing changes where there is no memory.
    bool grow() noexcept {
        const std::uint32_t room = room_ == 0 ? 64 : 2 * room_;
        auto* const unused = static_cast<std::uint32_t*>(std::malloc(room * sizeof(std::uint32_t)));
        auto* const cells = static_cast<StoredText*>(std::aligned_alloc(64, room * sizeof(StoredText)));
        if (unused == nullptr || cells == nullptr) {
            std::free(unused);
            std::free(cells);
            return false;
        }
        // Cells are only wanted where none is unused.
        if (room_ != 0) std::memcpy(static_cast<void*>(cells), static_cast<const void*>(cells_), room_ * sizeof(StoredText));
        // The lowest new cell is taken first.
        for (std::uint32_t cell = room; cell > room_; --cell) unused[unusedCount_++] = cell - 1;
        std::free(unused_);
        std::free(cells_);
        unused_ = unused;
        cells_ = cells;
        room_ = room;
        return true;
    }

    StoredText* cells_ = nullptr;
    std::uint32_t* unused_ = nullptr;  // cells without a level, the last one is taken first
    std::uint32_t unusedCount_ = 0;
    std::uint32_t room_ = 0;
};

// Its first line is all that an update touches beside the rows.
template <BookSide SIDE>
class alignas(64) BookLadder {
public:
    BookLadder() = default;
    BookLadder(const BookLadder&) = delete;
    BookLadder& operator=(const BookLadder&) = delete;
    ~BookLadder() {
        clear();
        if (rows_ != near_) std::free(rows_);
        delete cells_;
    }

    static constexpr std::size_t NEAR_ROOM = 47;  // levels in the ladder itself
    bool is_near() const noexcept { return rows_ == near_; }

    // Whether a level at price a stands before one at price b.
    static bool before(double a, double b) noexcept { return SIDE == BOOK_BID ? a > b : a < b; }

    std::size_t size() const noexcept { return size_; }
    const BookRow* rows() const noexcept { return rows_ + head_; }  // best first
    LevelText text(std::size_t rank) const noexcept { return text_of(rows()[rank]); }
    LevelText text_of(const BookRow& row) const noexcept {
        if (__builtin_expect(!row.texts.are_plain(), 0)) return LevelText(&(*cells_)[row.texts.cell()]);
        return {row.price, row.texts.price_form(), row.volume, row.texts.volume_form()};
    }

    // How many levels' texts stand in cells.
    std::size_t cell_count() const noexcept { return cells_ != nullptr ? cells_->taken() : 0; }

    // The best rank that has changed since this was asked before; the number of ranks may have changed too.
    std::size_t take_touched() noexcept {
        const std::size_t touched = touched_;
        touched_ = SIZE_MAX;
        return touched;
    }

    // Asks for the best levels' memory before it is needed; the ladder's own first line must be there.
    HFT_INLINE void prefetch(std::size_t levels) const noexcept {
        const char* const from = reinterpret_cast<const char*>(rows());
        for (std::size_t at = 0; at < levels * sizeof(BookRow); at += 64) __builtin_prefetch(from + at, 1);
    }

    // Room for `count` levels, so that `set` needs none. False: no memory; nothing changed.
    bool reserve(std::size_t count) noexcept { return count <= room_ || grow(count); }

    void clear() noexcept {
        for (std::size_t rank = 0; rank < size_; ++rank) release(rows()[rank]);
        size_ = cursor_ = touched_ = 0;
        head_ = is_near() ? 0 : capacity_ / 2;
    }

    // hot path: begin

    // The level's rank of a price, or where it would stand; `found` tells which. `form` must be known.
    std::size_t find(double price, std::string_view text, TextForm form, bool* found) const noexcept {
        return settle(locate(price), price, text, form, found);
    }

    // Insert, change or remove levels in their order; there must be room for them. False: no memory for a long text.
    bool set(const BookLevel* levels, std::size_t count, BookCounters* counters) noexcept {
        cursor_ = 0;
        while (count >= FEW && size_ != 0) {
            const std::size_t part = count < MANY ? count : MANY;
            if (!is_sorted(levels, part)) break;
            if (__builtin_expect(!merge(levels, part, counters), 0)) return false;
            levels += part;
            count -= part;
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (__builtin_expect(!set(levels[i], counters), 0)) return false;
        }
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
    static constexpr std::size_t FEW = 8;    // from how many levels on it pays to look for all of them first
    static constexpr std::size_t MANY = 64;  // how many are looked for at once

    // A row that comes or goes at a rank; ranks are those before any of them did.
    struct Step {
        std::size_t rank;
        std::ptrdiff_t by;  // 1: it comes, -1: it goes
        BookRow row;
    };

    // Doubles that are not negative stand in the order of their bits, which are compared sooner.
    static std::int64_t bits_of(double price) noexcept {
        std::int64_t bits;
        std::memcpy(&bits, &price, sizeof bits);
        return bits;
    }
    static bool is_before(const BookRow& row, std::int64_t bits) noexcept {
        return SIDE == BOOK_BID ? bits_of(row.price) > bits : bits_of(row.price) < bits;
    }

    // hot path: begin

    // The first rank whose price is not before `price`. Deltas mostly hit near the best and near each other: what lies
    // far from the level before is not touched, as it may not be in the cache.
    std::size_t locate(double price) const noexcept {
        const BookRow* const at = rows();
        const std::int64_t bits = bits_of(price);
        std::size_t low = cursor_ < size_ ? cursor_ : size_;
        if (__builtin_expect(low != 0 && !is_before(at[low - 1], bits), 0)) low = 0;  // the update is not sorted
        std::size_t high = size_;
        for (std::size_t step = 1; low + step <= size_; step *= 2) {
            if (!is_before(at[low + step - 1], bits)) {
                high = low + step - 1;
                break;
            }
            low += step;
        }
        // Without a branch that would be guessed wrong every other time.
        const BookRow* base = at + low;
        for (std::size_t count = high - low; count != 0;) {
            const BookRow* const middle = base + (count + 1) / 2;
            base = is_before(middle[-1], bits) ? middle : base;
            count /= 2;
        }
        return static_cast<std::size_t>(base - at);
    }

    // The same for many prices of a ladder that is not empty: four at once, as each look waits for the one before it.
    void locate_all(const BookLevel* levels, std::size_t count, std::size_t* ranks) const noexcept {
        const BookRow* const at = rows();
        const auto price = [&](std::size_t i) noexcept { return bits_of(levels[i < count ? i : count - 1].price); };
        for (std::size_t i = 0; i < count; i += 4) {
            const std::int64_t p0 = price(i), p1 = price(i + 1), p2 = price(i + 2), p3 = price(i + 3);
            const BookRow *b0 = at, *b1 = at, *b2 = at, *b3 = at;
            for (std::size_t left = size_; left > 1;) {
                const std::size_t half = left / 2;
                const BookRow* middle = b0 + half;
                b0 = is_before(middle[-1], p0) ? middle : b0;
                middle = b1 + half;
                b1 = is_before(middle[-1], p1) ? middle : b1;
                middle = b2 + half;
                b2 = is_before(middle[-1], p2) ? middle : b2;
                middle = b3 + half;
                b3 = is_before(middle[-1], p3) ? middle : b3;
                left -= half;
            }
            const auto rank = [&](const BookRow* base, std::int64_t bits) noexcept {
                return static_cast<std::size_t>(base - at) + is_before(*base, bits);
            };
            ranks[i] = rank(b0, p0);
            ranks[i + 1] = rank(b1, p1);
            ranks[i + 2] = rank(b2, p2);
            ranks[i + 3] = rank(b3, p3);
        }
    }

    // The rank of exactly this number, from the first of its double on.
    std::size_t settle(std::size_t rank, double price, std::string_view text, TextForm form, bool* found) const noexcept {
        for (const BookRow* row = rows() + rank; rank < size_ && row->price == price; ++rank, ++row) {
            // Of so few digits no other number has the same double.
            if (__builtin_expect(is_plain(form) && is_plain(row->texts.price_form()), 1)) {
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

    static bool is_gone(const BookLevel& level, const BookRow& made) noexcept {
        return level.volume == 0.0 && (is_plain(made.texts.volume_form()) || is_zero_text(level.volumeText.view()));
    }

    // False: no memory.
    bool change(std::size_t rank, BookRow made, const BookLevel& level) noexcept {
        BookRow& row = rows_[head_ + rank];
        release(row);
        row.texts = {0, 0};  // it has no cell any more
        if (__builtin_expect(!store(&made, level), 0)) return false;
        row = made;
        return true;
    }

    bool set(const BookLevel& level, BookCounters* counters) noexcept {
        BookRow made = row_of(level);
        bool found;
        const std::size_t rank = find(level.price, level.priceText.view(), made.texts.price_form(), &found);
        cursor_ = rank;
        const bool gone = is_gone(level, made);
        if (!found && gone) {
            ++counters->unknownRemoved;
            return true;
        }
        touch(rank);
        if (found && gone) {
            release(rows_[head_ + rank]);
            remove(rank);
            ++counters->removed;
            return true;
        }
        if (found) {
            ++counters->changed;
            return change(rank, made, level);
        }
        if (__builtin_expect(!store(&made, level), 0)) return false;
        open(rank);
        rows_[head_ + rank] = made;
        ++counters->inserted;
        return true;
    }

    // Best first, and no price twice.
    static bool is_sorted(const BookLevel* levels, std::size_t count) noexcept {
        std::size_t sorted = 1;
        for (std::size_t i = 1; i < count; ++i) sorted += before(levels[i - 1].price, levels[i].price);
        return sorted == count;
    }

    // Levels that are sorted: all are looked for before any row moves, so that no search waits for another, and each row
    // moves once at most.
    bool merge(const BookLevel* levels, std::size_t count, BookCounters* counters) noexcept {
        std::size_t ranks[MANY + 3];
        Step steps[MANY];
        std::size_t stepCount = 0;
        locate_all(levels, count, ranks);
        for (std::size_t i = 0; i < count; ++i) {
            const BookRow made = row_of(levels[i]);
            BookRow& row = rows_[head_ + ranks[i]];  // behind the last one there is one more, of whatever
            if (__builtin_expect(!made.texts.are_plain() || !row.texts.are_plain(), 0)) {
                if (!note_texts(ranks[i], made, levels[i], steps, &stepCount, counters)) return false;
                continue;
            }
            // Which of the four it is cannot be guessed: no branch.
            const bool there = (ranks[i] < size_) & (row.price == made.price), gone = made.volume == 0.0;
            const bool changes = there & !gone;
            counters->changed += changes;
            counters->inserted += !(there | gone);
            counters->removed += there & gone;
            counters->unknownRemoved += !there & gone;
            const std::size_t touched = ranks[i] | (0 - static_cast<std::size_t>(!there & gone));
            touched_ = touched < touched_ ? touched : touched_;
            row.volume = changes ? made.volume : row.volume;
            row.texts = changes ? made.texts : row.texts;
            steps[stepCount] = {ranks[i], gone ? -1 : 1, made};
            stepCount += there == gone;
        }
        if (stepCount != 0) take(steps, stepCount);
        return true;
    }

    // A level whose texts, or those of the row that stands there, are not plain. False: no memory.
    bool note_texts(std::size_t from, BookRow made, const BookLevel& level, Step* steps, std::size_t* stepCount,
                    BookCounters* counters) noexcept {
        bool found;
        const std::size_t rank = settle(from, level.price, level.priceText.view(), made.texts.price_form(), &found);
        const bool gone = is_gone(level, made);
        if (!found && gone) {
            ++counters->unknownRemoved;
            return true;
        }
        touch(rank);
        if (found && !gone) {
            ++counters->changed;
            return change(rank, made, level);
        }
        if (gone) {
            release(rows_[head_ + rank]);
            rows_[head_ + rank].texts = {0, 0};
            ++counters->removed;
        } else {
            if (__builtin_expect(!store(&made, level), 0)) return false;
            ++counters->inserted;
        }
        steps[(*stepCount)++] = {rank, gone ? -1 : 1, made};
        return true;
    }

    // Rows that stand together and move together.
    struct Block {
        BookRow* from;
        std::ptrdiff_t by;
        std::size_t count;

        void move() const noexcept {
            std::memmove(static_cast<void*>(from + by), static_cast<const void*>(from), count * sizeof(BookRow));
        }
    };

    // Rows between two steps move by what has come and gone before them, less what is chosen so that most rows stay.
    void take(const Step* steps, std::size_t count) noexcept {
        std::uint32_t rows[2 * MANY + 1];  // how many would move by -MANY, … MANY
        for (std::size_t i = MANY - count; i <= MANY + count; ++i) rows[i] = 0;
        std::size_t by = MANY, most = MANY, first = 0;
        for (std::size_t i = 0; i < count; ++i) {
            rows[by] += static_cast<std::uint32_t>(steps[i].rank - first);
            most = rows[by] > rows[most] ? by : most;
            first = steps[i].rank + (steps[i].by < 0);
            by += static_cast<std::size_t>(steps[i].by);
        }
        rows[by] += static_cast<std::uint32_t>(size_ - first);
        most = rows[by] > rows[most] ? by : most;
        if (is_near()) most = MANY;
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(MANY) - static_cast<std::ptrdiff_t>(most);
        const std::ptrdiff_t head = static_cast<std::ptrdiff_t>(head_) + start;
        const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_ + by) - static_cast<std::ptrdiff_t>(MANY);
        if (__builtin_expect(head < 0 || head + size > static_cast<std::ptrdiff_t>(capacity_), 0)) centre();
        move(steps, count, start);
        head_ = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(head_) + start);
        size_ = static_cast<std::size_t>(size);
    }

    // What goes towards the best is moved from there on, what goes the other way from the other end: no row is lost.
    // Which way a block goes cannot be guessed: it is listed without a branch.
    void move(const Step* steps, std::size_t count, std::ptrdiff_t by) noexcept {
        Block forward[MANY + 1], back[MANY + 1];
        struct {
            BookRow* place;
            const BookRow* row;
        } coming[MANY + 1];
        std::size_t forwardCount = 0, backCount = 0, comingCount = 0;
        BookRow* const at = rows_ + head_;
        std::size_t first = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t end = steps[i].rank;
            forward[forwardCount] = back[backCount] = {at + first, by, end - first};
            forwardCount += (by < 0) & (end != first);
            backCount += (by > 0) & (end != first);
            coming[comingCount] = {at + end + by, &steps[i].row};
            comingCount += steps[i].by > 0;
            first = end + (steps[i].by < 0);
            by += steps[i].by;
        }
        forward[forwardCount] = back[backCount] = {at + first, by, size_ - first};
        forwardCount += by < 0;
        backCount += by > 0;
        for (std::size_t i = 0; i < forwardCount; ++i) forward[i].move();
        for (std::size_t i = backCount; i-- > 0;) back[i].move();
        for (std::size_t i = 0; i < comingCount; ++i) *coming[i].place = *coming[i].row;
    }

    void touch(std::size_t rank) noexcept { touched_ = rank < touched_ ? rank : touched_; }

    static BookRow row_of(const BookLevel& level) noexcept {
        TextForm price = level.priceText.form, volume = level.volumeText.form;
        if (__builtin_expect(price == FORM_UNKNOWN, 0)) price = form_of(level.priceText.view());
        if (__builtin_expect(volume == FORM_UNKNOWN, 0)) volume = form_of(level.volumeText.view());
        return {level.price, level.volume, {price, volume}};
    }

    // Keeps the texts of a row that is made, unless they are plain.
    bool store(BookRow* row, const BookLevel& level) noexcept {
        if (__builtin_expect(row->texts.are_plain(), 1)) return true;
        if (__builtin_expect(!reserve_cell(), 0)) return false;
        StoredText& cell = (*cells_)[cells_->next()];
        if (!cell.set(level.priceText, level.volumeText)) return false;
        row->texts.keep(cell.is_outside() ? STORE_OUTSIDE : STORE_CELL, cells_->next());
        cells_->take();
        return true;
    }

    void slide(std::size_t first, std::ptrdiff_t by, std::size_t count) noexcept {
        BookRow* const from = rows_ + first;
        std::memmove(static_cast<void*>(from + by), static_cast<const void*>(from), count * sizeof(BookRow));
    }

    // Makes room for a new level at `rank`.
    void open(std::size_t rank) noexcept {
        if (rank < size_ - rank && !is_near()) {
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
        if (__builtin_expect(row.texts.store() == STORE_NONE, 1)) return;
        if (row.texts.store() == STORE_OUTSIDE) (*cells_)[row.texts.cell()].release();
        cells_->give(row.texts.cell());
    }

    void remove(std::size_t rank) noexcept {
        --size_;
        if (rank < size_ - rank && !is_near()) {
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

    // Whether there is a cell for one level more; false: no memory.
    bool reserve_cell() noexcept {
        if (cells_ == nullptr) cells_ = new (std::nothrow) TextCells;
        return cells_ != nullptr && cells_->reserve();
    }

    // Not realloc: nothing changes where there is no memory.
    bool grow(std::size_t count) noexcept {
        // Twice what is needed: the updates after a snapshot find their room.
        std::size_t room = 128;
        while (room < 2 * count) room *= 2;
        const std::size_t capacity = 2 * room;
        // Zeros, as `merge` looks at rows that were never written; and one more than can be taken.
        auto* const rows = static_cast<BookRow*>(std::calloc(capacity + 1, sizeof(BookRow)));
        if (rows == nullptr) return false;
        const std::size_t head = (capacity - size_) / 2;
        std::memcpy(static_cast<void*>(rows + head), static_cast<const void*>(rows_ + head_), size_ * sizeof(BookRow));
        if (rows_ != near_) std::free(rows_);
        rows_ = rows;
        head_ = head;
        capacity_ = capacity;
        room_ = room;
        return true;
    }

    BookRow* rows_ = near_;
    std::size_t head_ = 0;  // of the best level
    std::size_t size_ = 0;
    std::size_t cursor_ = 0;              // rank that was touched last
    std::size_t touched_ = 0;             // best rank that has changed
    std::size_t capacity_ = NEAR_ROOM;    // of the rows
    std::size_t room_ = NEAR_ROOM;        // how many levels there may be
    TextCells* cells_ = nullptr;          // of the levels whose texts are not plain
    BookRow near_[NEAR_ROOM + 1] = {};    // zeros and one more, as those of `grow`
};
static_assert(sizeof(BookLadder<BOOK_BID>) == 64 + (BookLadder<BOOK_BID>::NEAR_ROOM + 1) * sizeof(BookRow));

}  // namespace hft
