// Topics: text in UTF-8, padded with spaces to a fixed size, and the subscriptions that match a prefix of them.
// One thread at a time may use a filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hft {

// Whether `topic` is exactly `text` followed by spaces.
inline bool topic_equals(const char* topic, std::size_t size, const char* text, std::size_t text_size) noexcept {
    if (text_size > size || std::memcmp(topic, text, text_size) != 0) return false;
    for (std::size_t i = text_size; i < size; ++i) {
        if (topic[i] != ' ') return false;
    }
    return true;
}

// The size of a topic's text, without the spaces that pad it.
inline std::size_t topic_text_size(const char* topic, std::size_t size) noexcept {
    while (size > 0 && topic[size - 1] == ' ') --size;
    return size;
}

// A counted set of prefixes, as a publisher keeps of its subscribers. Matching looks up one key for each distinct
// length, so it costs the same for 1 and for 10,000 subscriptions of one length.
class PrefixFilter {
public:
    // Returns whether the prefix is new.
    bool add(std::string_view prefix) {
        const auto found = counts_.find(prefix);
        if (found != counts_.end()) {
            ++found->second;
            return false;
        }
        counts_.emplace(std::string(prefix), 1);
        ++lengths_[prefix.size()];
        return true;
    }

    // Returns whether the last subscription of the prefix went.
    bool remove(std::string_view prefix) {
        const auto found = counts_.find(prefix);
        if (found == counts_.end() || --found->second > 0) return false;
        counts_.erase(found);
        const auto length = lengths_.find(prefix.size());
        if (--length->second == 0) lengths_.erase(length);
        return true;
    }

    std::uint32_t count(std::string_view prefix) const {
        const auto found = counts_.find(prefix);
        return found == counts_.end() ? 0 : found->second;
    }

    bool match(std::string_view topic) const {
        for (const auto& [length, number] : lengths_) {
            if (length > topic.size()) return false;
            if (counts_.find(topic.substr(0, length)) != counts_.end()) return true;
        }
        return false;
    }

    // The lengths of all prefixes that match, shortest first.
    std::vector<std::size_t> matching(std::string_view topic) const {
        std::vector<std::size_t> found;
        for (const auto& [length, number] : lengths_) {
            if (length > topic.size()) break;
            if (counts_.find(topic.substr(0, length)) != counts_.end()) found.push_back(length);
        }
        return found;
    }

    std::size_t size() const noexcept { return counts_.size(); }

private:
    std::map<std::string, std::uint32_t, std::less<>> counts_;
    std::map<std::size_t, std::size_t> lengths_;  // length -> how many prefixes have it
};

}  // namespace hft
