// From a venue's own spelling of a symbol to its process-local number. Open addressing, no deletion.
// One thread writes and reads (the one that holds the GIL); a miss is answered by the binding.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace hft {

class SymbolTable {
public:
    static constexpr std::int32_t MISSING = -1;

    SymbolTable() : slots_(256) {}

    std::int32_t find(const char* text, std::size_t size) const noexcept {
        const std::uint64_t h = hash(text, size);
        for (std::size_t i = h & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
            const Slot& slot = slots_[i];
            if (slot.id == MISSING) return MISSING;
            if (slot.hash == h && slot.text.size() == size && std::memcmp(slot.text.data(), text, size) == 0) {
                return slot.id;
            }
        }
    }

    // Adds the spelling, or gives it another number.
    void insert(std::string_view text, std::int32_t id) {
        if ((count_ + 1) * 2 > slots_.size()) grow();
        place(slots_, Slot{hash(text.data(), text.size()), std::string(text), id}, &count_);
    }

    std::size_t size() const noexcept { return count_; }

private:
    struct Slot {
        std::uint64_t hash = 0;
        std::string text;
        std::int32_t id = MISSING;
    };

    // FNV-1a, 64 bits. Source: Fowler, Noll, Vo; draft-eastlake-fnv.
    static std::uint64_t hash(const char* text, std::size_t size) noexcept {
        std::uint64_t h = 14695981039346656037ull;
        for (std::size_t i = 0; i < size; ++i) h = (h ^ static_cast<unsigned char>(text[i])) * 1099511628211ull;
        return h;
    }

    static void place(std::vector<Slot>& slots, Slot&& slot, std::size_t* count) {
        for (std::size_t i = slot.hash & (slots.size() - 1);; i = (i + 1) & (slots.size() - 1)) {
            if (slots[i].id == MISSING) {
                slots[i] = std::move(slot);
                ++*count;
                return;
            }
            if (slots[i].hash == slot.hash && slots[i].text == slot.text) {
                slots[i].id = slot.id;
                return;
            }
        }
    }

    void grow() {
        std::vector<Slot> larger(slots_.size() * 2);
        std::size_t count = 0;
        for (Slot& slot : slots_) {
            if (slot.id != MISSING) place(larger, std::move(slot), &count);
        }
        slots_.swap(larger);
    }

    std::vector<Slot> slots_;
    std::size_t count_ = 0;
};

}  // namespace hft
