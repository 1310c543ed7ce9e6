// From a venue's own spelling of a symbol to its process-local number. Open addressing, no deletion.
// One thread writes and reads (the one that holds the GIL); a miss is answered by the binding.
//
// The texts stand in the slots, so that a look meets one cache line: those of up to 11 bytes in slots of 16, those of
// up to 27 in slots of 32. Longer ones, which no venue has, go into a map.
//
//   slot of 16     offset  field              slot of 32     offset  field
//                       0  text, bytes 0 – 7                      0  text, bytes 0 – 23
//                       8  text, bytes 8 – 10                    24  text, bytes 24 – 26
//                      11  size; 0: free                         27  size; 0: free
//                      12  number                                28  number
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hftcore/words.hpp"

namespace hft {

namespace symbol_detail {

// `size` bytes (0 to 8), NUL behind them. Nothing behind them is read.
HFT_INLINE std::uint64_t load_short(const char* text, std::size_t size) noexcept {
    if (size >= 8) return swar::load8(text);
    if (size >= 4) {
        std::uint32_t front, back;
        std::memcpy(&front, text, 4);
        std::memcpy(&back, text + size - 4, 4);
        return front | std::uint64_t{back} << (8 * (size - 4));
    }
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < size; ++i) word |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
    return word;
}

// Texts of 1 to 8 * WORDS + 3 bytes.
template <int WORDS>
class InlineTexts {
public:
    static constexpr std::int32_t MISSING = -1;
    static constexpr std::size_t MAX_BYTES = 8 * WORDS + 3;

    // hot path: begin
    std::int32_t find(const char* text, std::size_t size) const noexcept {
        const Slot wanted = slot_of(text, size, MISSING);
        for (std::size_t i = home(wanted);; i = (i + 1) & (slots_.size() - 1)) {
            if (slots_[i].same(wanted)) return slots_[i].id;
            if (slots_[i].tail == 0) return MISSING;
        }
    }
    // hot path: end

    // True if it was not there.
    bool insert(const char* text, std::size_t size, std::int32_t id) {
        if ((count_ + 1) * 2 > slots_.size()) grow();
        const bool fresh = place(slot_of(text, size, id));
        count_ += fresh;
        return fresh;
    }

private:
    struct alignas(8 * (WORDS + 1)) Slot {
        std::uint64_t words[WORDS];
        std::uint32_t tail;  // the last three bytes and the size
        std::int32_t id;

        bool same(const Slot& other) const noexcept {
            std::uint64_t differing = tail ^ other.tail;
            for (int i = 0; i < WORDS; ++i) differing |= words[i] ^ other.words[i];
            return differing == 0;
        }
    };
    static_assert(sizeof(Slot) == 8 * (WORDS + 1) && offsetof(Slot, tail) == 8 * WORDS);

    static Slot slot_of(const char* text, std::size_t size, std::int32_t id) noexcept {
        Slot slot;
        if constexpr (WORDS == 1) {
            slot.words[0] = load_short(text, size);
            slot.tail = size > 8 ? static_cast<std::uint32_t>(swar::load8(text + size - 8) >> (8 * (16 - size))) : 0;
        } else {
            for (std::size_t i = 0; i < WORDS; ++i) {
                const std::size_t before = 8 * i;
                slot.words[i] = size > before ? load_short(text + before, size - before < 8 ? size - before : 8) : 0;
            }
            slot.tail = size > 8 * WORDS ? static_cast<std::uint32_t>(load_short(text + 8 * WORDS, size - 8 * WORDS)) : 0;
        }
        slot.tail |= static_cast<std::uint32_t>(size) << 24;
        slot.id = id;
        return slot;
    }

    // The upper bits of a product, where every bit of all words has had its say.
    std::size_t home(const Slot& slot) const noexcept {
        std::uint64_t mixed = slot.words[0] ^ (slot.tail * 0x9e3779b97f4a7c15ull);
        for (int i = 1; i < WORDS; ++i) mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ull ^ slot.words[i];
        mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ull;
        return static_cast<std::size_t>(mixed >> shift_);
    }

    bool place(const Slot& slot) noexcept {
        for (std::size_t i = home(slot);; i = (i + 1) & (slots_.size() - 1)) {
            const bool free = slots_[i].tail == 0;
            if (free || slots_[i].same(slot)) {
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
            if (slot.tail != 0) place(slot);
        }
    }

    std::vector<Slot> slots_ = std::vector<Slot>(256, Slot{});
    int shift_ = 64 - 8;
    std::size_t count_ = 0;
};

}  // namespace symbol_detail

class SymbolTable {
public:
    static constexpr std::int32_t MISSING = -1;

    std::int32_t find(const char* text, std::size_t size) const noexcept {
        if (__builtin_expect(size - 1 < Short::MAX_BYTES, 1)) return short_.find(text, size);
        if (size - 1 < Medium::MAX_BYTES) return medium_.find(text, size);
        const auto found = long_.find(std::string(text, size));
        return found == long_.end() ? MISSING : found->second;
    }

    // Adds the spelling, or gives it another number.
    void insert(std::string_view text, std::int32_t id) {
        if (text.size() - 1 < Short::MAX_BYTES) {
            count_ += short_.insert(text.data(), text.size(), id);
        } else if (text.size() - 1 < Medium::MAX_BYTES) {
            count_ += medium_.insert(text.data(), text.size(), id);
        } else {
            count_ += long_.insert_or_assign(std::string(text), id).second;
        }
    }

    std::size_t size() const noexcept { return count_; }

private:
    using Short = symbol_detail::InlineTexts<1>;
    using Medium = symbol_detail::InlineTexts<3>;

    Short short_;
    Medium medium_;
    std::unordered_map<std::string, std::int32_t> long_;  // and the empty text
    std::size_t count_ = 0;
};

}  // namespace hft
