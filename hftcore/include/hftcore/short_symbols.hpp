// From a spelling of 1 to 32 bytes, held in four words, to a symbol's number: what the templates ask instead of
// SymbolTable, since they have them in words anyway. Open addressing, no deletion. One thread writes and reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "hftcore/words.hpp"

namespace hft {

// The bytes of a spelling in memory order, filled up with NUL. No spelling holds a NUL, so the size is implied.
struct ShortText {
    static constexpr std::size_t MAX_BYTES = 32;

    std::uint64_t words[MAX_BYTES / 8];

    bool operator==(const ShortText& other) const noexcept {
#if defined(__SSE2__)
        const __m128i front = _mm_cmpeq_epi8(load(words), load(other.words));
        const __m128i back = _mm_cmpeq_epi8(load(words + 2), load(other.words + 2));
        return _mm_movemask_epi8(_mm_and_si128(front, back)) == 0xffff;
#else
        return std::memcmp(words, other.words, MAX_BYTES) == 0;
#endif
    }

    std::size_t size() const noexcept {
        for (std::size_t i = MAX_BYTES / 8; i-- > 0;) {
            if (words[i] != 0) return 8 * i + 8 - static_cast<std::size_t>(__builtin_clzll(words[i])) / 8;
        }
        return 0;
    }

    std::string_view view() const noexcept { return {reinterpret_cast<const char*>(this), size()}; }

    static bool fits(std::string_view text) noexcept {
        return !text.empty() && text.size() <= MAX_BYTES && std::memchr(text.data(), 0, text.size()) == nullptr;
    }

    static ShortText of(std::string_view text) noexcept {
        ShortText result{};
        std::memcpy(result.words, text.data(), text.size());
        return result;
    }

private:
#if defined(__SSE2__)
    static HFT_INLINE __m128i load(const std::uint64_t* words) noexcept {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(words));
    }
#endif
};
static_assert(sizeof(ShortText) == ShortText::MAX_BYTES);

class ShortSymbols {
public:
    static constexpr std::int32_t MISSING = -1;

    ShortSymbols() : slots_(256) {}

    // hot path: begin
    std::int32_t find(const ShortText& text) const noexcept {
        for (std::size_t i = hash(text) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
            const Slot& slot = slots_[i];
            if (slot.text == text) return slot.id;
            if (slot.id == MISSING) return MISSING;
        }
    }
    // hot path: end

    // Adds the spelling, or gives it another number.
    void insert(const ShortText& text, std::int32_t id) {
        if ((count_ + 1) * 2 > slots_.size()) {
            std::vector<Slot> larger(slots_.size() * 2);
            for (const Slot& slot : slots_) {
                if (slot.id != MISSING) place(larger, slot);
            }
            slots_.swap(larger);
        }
        count_ += place(slots_, Slot{text, id});
    }

private:
    struct Slot {
        ShortText text{};  // all NUL, which no spelling is, while `id` is MISSING
        std::int32_t id = MISSING;
    };

    // Multiply and keep the upper half, where every bit of all words has had its say.
    static std::size_t hash(const ShortText& text) noexcept {
        const std::uint64_t front = text.words[0] ^ (text.words[2] << 29 | text.words[2] >> 35) ^ text.words[3];
        return static_cast<std::size_t>(((front ^ (text.words[1] * 0x9e3779b97f4a7c15ull)) * 0xd6e8feb86659fd93ull) >> 32);
    }

    // True if it took a free slot.
    static bool place(std::vector<Slot>& slots, const Slot& slot) noexcept {
        for (std::size_t i = hash(slot.text) & (slots.size() - 1);; i = (i + 1) & (slots.size() - 1)) {
            const bool free = slots[i].id == MISSING;
            if (free || slots[i].text == slot.text) {
                slots[i] = slot;
                return free;
            }
        }
    }

    std::vector<Slot> slots_;
    std::size_t count_ = 0;
};

}  // namespace hft
