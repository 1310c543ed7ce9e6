// What one frame of klines or funding turned into, and how its fields are read. All functions throw Malformed.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "hftcore/event_batch.hpp"
#include "hftcore/json_tree.hpp"
#include "hftcore/kline.hpp"

namespace hft {

struct PeriodicBatch {
    std::vector<Kline> klines;
    std::vector<Funding> fundings;
    std::vector<std::string> natives;  // parallel to the one that is not empty
    std::int64_t localTimeNs = 0;
    std::uint64_t frameNumber = 0;  // where the venue counts all frames of a connection
    std::uint8_t exchange = 0;
    bool isNumbered = false;  // `frameNumber` is one

    void clear() noexcept {
        isNumbered = false;
        empty(&klines);
        empty(&fundings);
        empty(&natives);
    }

    Kline& add_kline(std::string_view native) {
        natives.emplace_back(native);
        Kline& kline = klines.emplace_back();
        kline = {};
        kline.localTimeNs = localTimeNs;
        kline.exchange = exchange;
        kline.symbol = -1;
        kline.quoteVolume = std::numeric_limits<double>::quiet_NaN();
        kline.tradeCount = -1;
        return kline;
    }

    Funding& add_funding(std::string_view native) {
        constexpr double NONE = std::numeric_limits<double>::quiet_NaN();
        natives.emplace_back(native);
        fundings.push_back({0, localTimeNs, 0, 0, NONE, NONE, NONE, NONE, NONE, NONE, -1, exchange});
        return fundings.back();
    }

private:
    static constexpr std::size_t KEPT = 4096;

    // What one huge frame needed is given back.
    template <typename T>
    static void empty(std::vector<T>* items) noexcept {
        if (items->capacity() > KEPT) {
            std::vector<T>().swap(*items);
        } else {
            items->clear();
        }
    }
};

namespace periodic {

constexpr std::int64_t SECOND = 1'000'000'000;

// Seconds of "1m", "4H", "1Dutc", "1w"; 0 for months and years ("3M", "1Mutc", "1Y"), whose length is not fixed.
inline std::uint32_t interval_of(std::string_view text) {
    std::uint32_t count = 0;
    std::size_t i = 0;
    // Three digits: 999 weeks still fit the result.
    while (i < text.size() && i < 3 && is_digit(text[i])) count = count * 10 + static_cast<std::uint32_t>(text[i++] - '0');
    const std::string_view rest = i < text.size() ? text.substr(i + 1) : std::string_view{};
    if (count == 0 || i == text.size() || (!rest.empty() && rest != "utc")) refuse("an interval must be one like 5m", text);
    switch (text[i]) {
        case 's': return count;
        case 'm': return count * 60;
        case 'h': case 'H': return count * 3600;
        case 'd': case 'D': return count * 86400;
        case 'w': case 'W': return count * 604800;
        case 'M': case 'Y': return 0;
        default: refuse("an interval must be one like 5m", text);
    }
}

// `ns` and so much more; `value` is what the venue wrote, to be named where that does not fit.
inline std::int64_t later(std::int64_t ns, std::int64_t more, std::string_view value) {
    std::int64_t sum;
    if (__builtin_add_overflow(ns, more, &sum)) refuse("a kline must end within 64 bits of nanoseconds", value);
    return sum;
}

// Sets when a kline begins and ends; `opens` is how the venue wrote it. An interval of 0 is a month: the end is not known.
inline void set_times(Kline* kline, std::int64_t opensNs, std::uint32_t intervalS, std::string_view opens) {
    kline->openTimeNs = opensNs;
    kline->intervalS = intervalS;
    if (intervalS != 0) kline->closeTimeNs = later(opensNs, intervalS * SECOND, opens);
}

// A kline of the history that a subscription begins with. One that was over when that was published changes no more.
inline void mark_history(Kline* kline, std::int64_t published) noexcept {
    kline->flags |= FLAG_SNAPSHOT;
    if (published != 0 && kline->closeTimeNs <= published) kline->flags |= FLAG_CLOSED;
}

inline const JsonNode* if_told(const JsonNode* node) noexcept {
    return node != nullptr && node->type == JsonType::NIL ? nullptr : node;
}

// Calls `take` with each element of an array.
template <typename Take>
inline void for_each(const JsonTree& tree, const JsonNode& list, std::string_view name, const Take& take) {
    if (!list.is_array()) refuse(std::string(name) + " must be an array", list.text);
    for (const JsonNode* item = tree.first_child(list); item != tree.after(list); item = tree.after(*item)) take(*item);
}

// A number of either sign; NaN where the text is empty.
inline double read_signed(const JsonNode& node, std::string_view name) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (!node.is_number() && !node.is_string()) refuse(std::string(name) + " must be a number", node.text);
    if (node.is_string() && node.text.empty()) return value;
    if (parse_double(node.text, &value) != NumberStatus::OK) {
        refuse(std::string(name) + " must be a finite decimal number", node.text);
    }
    return value;
}

inline std::int64_t read_count(const JsonNode& node, std::string_view name) {
    std::uint64_t value;
    if (!node.is_number() || parse_unsigned(node.text, &value) != NumberStatus::OK || value > INT64_MAX) {
        refuse(std::string(name) + " must be a whole number of 63 bits", node.text);
    }
    return static_cast<std::int64_t>(value);
}

}  // namespace periodic
}  // namespace hft
