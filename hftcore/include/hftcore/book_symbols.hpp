// From a venue's spelling of a symbol to its number and to the book that is kept for it. Open addressing, no deletion.
// One thread writes and reads.
//
// With many symbols nothing of one of them is in the cache when its frame comes, and every look waits for the one before
// it. So the first look, as soon as the symbol is read, gives the book's address, and asks for its memory while the rest
// of the frame is read.
//
//   slot of 32     offset  field
//                       0  spelling, up to 16 bytes, filled up with NUL; all NUL: free
//                      16  target
//                      24  number
//                      28  whether the book is deep
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "hftcore/short_symbols.hpp"
#include "hftcore/symbol_table.hpp"

namespace hft {

// Where each side begins in what a symbol's book is kept in: a line of its own, then the levels of a small book. Before
// them stands what else every update touches. kept_book.hpp asserts it.
constexpr std::size_t TARGET_BIDS = 192, TARGET_ASKS = 1408;

class BookSymbols {
public:
    static constexpr std::int32_t MISSING = -1;

    struct Known {
        std::int32_t id;
        void* target;  // nullptr: nobody keeps a book of the symbol
        bool deep;     // `deepen` has said so
    };

    // hot path: begin

    // As soon as the spelling is known: the memory of its target is asked for.
    HFT_INLINE Known find(const ShortText& text) const noexcept {
        if (__builtin_expect((text.words[2] | text.words[3]) != 0, 0)) return find(text.view());
        for (std::size_t i = home(text.words[0], text.words[1]);; i = (i + 1) & (slots_.size() - 1)) {
            const Slot& slot = slots_[i];
            if (slot.words[0] == text.words[0] && slot.words[1] == text.words[1]) return warm({slot.id, slot.target, slot.deep != 0});
            if (slot.words[0] == 0) return {MISSING, nullptr, false};
        }
    }
    // hot path: end

    Known find(std::string_view text) const noexcept {
        if (is_short(text)) return find(ShortText::of(text));
        const std::int32_t id = long_.find(text.data(), text.size());
        return id == MISSING ? Known{MISSING, nullptr, false} : warm({id, target_of(id), true});
    }

    // The levels of its book stand elsewhere now.
    void deepen(std::string_view text) noexcept {
        if (!is_short(text)) return;
        const ShortText whole = ShortText::of(text);
        std::size_t i = home(whole.words[0], whole.words[1]);
        for (; slots_[i].words[0] != 0; i = (i + 1) & (slots_.size() - 1)) {
            if (slots_[i].words[0] == whole.words[0] && slots_[i].words[1] == whole.words[1]) slots_[i].deep = 1;
        }
    }

    // How many bytes of levels every update reads of each side.
    void set_reach(std::size_t bytes) noexcept { reach_ = bytes; }

    // Adds the spelling, or gives it another number. Throws std::bad_alloc.
    void insert(std::string_view text, std::int32_t id) {
        if (!is_short(text)) return long_.insert(text, id);
        if ((count_ + 1) * 2 > slots_.size()) grow();
        const ShortText whole = ShortText::of(text);
        count_ += place({{whole.words[0], whole.words[1]}, target_of(id), id, 0});
    }

    // The target of spellings that are inserted from now on with this number. Throws std::bad_alloc.
    void attach(std::int32_t id, void* target) {
        const auto place = static_cast<std::size_t>(id);
        if (place >= targets_.size()) targets_.resize(place + 1, nullptr);
        targets_[place] = target;
    }

    // All spellings, but no target.
    void forget() {
        slots_.assign(256, Slot{});
        shift_ = 64 - 8;
        count_ = 0;
        long_ = SymbolTable();
    }

    std::size_t size() const noexcept { return count_ + long_.size(); }

private:
    struct alignas(32) Slot {
        std::uint64_t words[2];
        void* target;
        std::int32_t id;
        std::uint32_t deep;  // 1: the levels do not stand in the target
    };
    static_assert(sizeof(Slot) == 32 && offsetof(Slot, target) == 16 && offsetof(Slot, id) == 24);

    HFT_INLINE Known warm(Known known) const noexcept {
        if (known.target != nullptr) {
            const std::size_t reach = known.deep ? 0 : reach_;
            const char* const at = static_cast<const char*>(known.target);
            for (std::size_t i = 0; i <= TARGET_BIDS + reach; i += 64) __builtin_prefetch(at + i, 1);
            for (std::size_t i = 0; i <= reach; i += 64) __builtin_prefetch(at + TARGET_ASKS + i, 1);
        }
        return known;
    }

    static bool is_short(std::string_view text) noexcept { return text.size() <= 16 && ShortText::fits(text); }

    void* target_of(std::int32_t id) const noexcept {
        const auto place = static_cast<std::size_t>(id);
        return place < targets_.size() ? targets_[place] : nullptr;
    }

    // The upper bits of a product, where every bit of both words has had its say.
    HFT_INLINE std::size_t home(std::uint64_t first, std::uint64_t second) const noexcept {
        const std::uint64_t mixed = ((first ^ first >> 29) * 0xbf58476d1ce4e5b9ull ^ second) * 0x9e3779b97f4a7c15ull;
        return static_cast<std::size_t>(((mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ull) >> shift_);
    }

    // True if it took a free slot.
    bool place(const Slot& slot) noexcept {
        for (std::size_t i = home(slot.words[0], slot.words[1]);; i = (i + 1) & (slots_.size() - 1)) {
            const bool free = slots_[i].words[0] == 0;
            if (free || (slots_[i].words[0] == slot.words[0] && slots_[i].words[1] == slot.words[1])) {
                slots_[i] = slot;
                return free;
            }
        }
    }

    void grow() {
        std::vector<Slot> before(slots_.size() * 2, Slot{});
        slots_.swap(before);
        --shift_;
        for (const Slot& slot : before) {
            if (slot.words[0] != 0) place(slot);
        }
    }

    std::vector<Slot> slots_ = std::vector<Slot>(256, Slot{});
    int shift_ = 64 - 8;
    std::size_t count_ = 0;
    std::size_t reach_ = 0;
    std::vector<void*> targets_;  // by number
    SymbolTable long_;
};

}  // namespace hft
