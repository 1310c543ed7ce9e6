// From a padded 32-byte topic to what is known of it. Open addressing; entries stay where they are until clear().
// One thread at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

namespace hft {

struct TopicKey {
    std::uint64_t words[4];

    static TopicKey of(const char* topic) noexcept {
        TopicKey key;
        std::memcpy(key.words, topic, 32);
        return key;
    }
    bool operator==(const TopicKey& other) const noexcept {
        return ((words[0] ^ other.words[0]) | (words[1] ^ other.words[1]) | (words[2] ^ other.words[2]) |
                (words[3] ^ other.words[3])) == 0;
    }
    // Multiply and fold the halves, as in wyhash: every byte of the key moves the high bits that are used.
    std::uint64_t hash() const noexcept {
        const auto low = static_cast<unsigned __int128>(words[0] ^ 0x9e3779b97f4a7c15ull) * (words[1] ^ 0xe7037ed1a0b428dbull);
        const auto high = static_cast<unsigned __int128>(words[2] ^ 0x8ebc6af09c88c6e3ull) * (words[3] ^ 0x589965cc75374cc3ull);
        const std::uint64_t mixed = static_cast<std::uint64_t>(low) ^ static_cast<std::uint64_t>(low >> 64) ^
                                    (static_cast<std::uint64_t>(high) + static_cast<std::uint64_t>(high >> 64));
        return mixed * 0x9e3779b97f4a7c15ull;
    }
};
static_assert(sizeof(TopicKey) == 32);

// `Entry` has a member `TopicKey key`.
template <class Entry>
class TopicMap {
public:
    TopicMap() : slots_(64, nullptr), shift_(58) {}

    Entry* find(const char* topic) const noexcept {
        const TopicKey key = TopicKey::of(topic);
        for (std::size_t i = key.hash() >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
            Entry* found = slots_[i];
            if (found == nullptr || found->key == key) return found;
        }
    }

    Entry& get(const char* topic) {
        if (Entry* found = find(topic)) return *found;
        if ((entries_.size() + 1) * 2 > slots_.size()) grow();
        Entry& made = entries_.emplace_back();
        made.key = TopicKey::of(topic);
        place(&made);
        return made;
    }

    std::size_t size() const noexcept { return entries_.size(); }
    Entry& operator[](std::size_t index) noexcept { return entries_[index]; }
    typename std::deque<Entry>::iterator begin() noexcept { return entries_.begin(); }
    typename std::deque<Entry>::iterator end() noexcept { return entries_.end(); }

private:
    void place(Entry* entry) noexcept {
        std::size_t i = entry->key.hash() >> shift_;
        while (slots_[i] != nullptr) i = (i + 1) & (slots_.size() - 1);
        slots_[i] = entry;
    }

    void grow() {
        slots_.assign(slots_.size() * 2, nullptr);
        --shift_;
        for (Entry& entry : entries_) place(&entry);
    }

    std::deque<Entry> entries_;
    std::vector<Entry*> slots_;
    int shift_;  // slots_.size() is 2^(64 - shift_)
};

}  // namespace hft
