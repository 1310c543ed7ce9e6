// What one frame turned into, and how the parsers read single fields. All functions throw Malformed.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "hftcore/event_time.hpp"
#include "hftcore/json_tree.hpp"
#include "hftcore/short_symbols.hpp"
#include "hftcore/types.hpp"

namespace hft {

enum FrameKind : int { FRAME_ERROR = 0, FRAME_EVENTS = 1, FRAME_CONTROL = 2, FRAME_OTHER = 3 };

// The venue's spelling of an event's symbol: a view into the tree, or held here where there is no tree.
struct Spelling {
    std::string_view outside;
    ShortText inside{};

    std::string_view view() const noexcept { return outside.empty() ? inside.view() : outside; }
};

// A vector whose elements are not begun anew when it is filled again.
template <typename T>
class Refilled {
public:
    T& append() {
        if (__builtin_expect(size_ == room_, 0)) grow();
        return kept_[size_++];
    }
    void clear() noexcept { size_ = 0; }
    void drop_last() noexcept { --size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    T* data() noexcept { return kept_.data(); }
    const T* data() const noexcept { return kept_.data(); }
    T& operator[](std::size_t index) noexcept { return kept_[index]; }
    const T& operator[](std::size_t index) const noexcept { return kept_[index]; }

private:
    __attribute__((noinline)) void grow() {
        kept_.resize(size_ + size_ / 2 + 16);
        room_ = kept_.size();
    }

    std::vector<T> kept_;
    std::size_t size_ = 0;
    std::size_t room_ = 0;  // as many as are kept
};

// The events of one frame, all of one type, with the venue's spelling of each symbol.
struct EventBatch {
    Refilled<Ticker> tickers;
    Refilled<Trade> trades;
    Refilled<Spelling> natives;  // parallel to the one that is not empty
    std::int64_t localTimeNs = 0;
    std::uint64_t frameNumber = 0;  // where the venue counts all frames of a connection
    std::uint16_t flags = 0;
    std::uint8_t exchange = 0;
    // A trade that changed nothing but uses up its number: no event, yet none that is missing.
    Trade passedOver{};
    std::string_view passedNative;
    bool hasPassed = false;
    bool isNumbered = false;  // `frameNumber` is one

    void number(std::uint64_t sequence) noexcept {
        frameNumber = sequence;
        isNumbered = true;
    }

    void clear() noexcept {
        isNumbered = false;
        tickers.clear();
        trades.clear();
        natives.clear();
        hasPassed = false;
    }

    Ticker& add_ticker(std::string_view native) {
        natives.append() = {native, {}};
        return begin(tickers, -1);
    }

    Ticker& add_ticker(const ShortText& native, std::int32_t symbol) {
        hold(native);
        return begin(tickers, symbol);
    }

    Trade& add_trade(std::string_view native) {
        natives.append() = {native, {}};
        return begin(trades, -1);
    }

    Trade& add_trade(const ShortText& native, std::int32_t symbol) {
        hold(native);
        return begin(trades, symbol);
    }

    // Takes back the last trade that was added, and keeps its number.
    void pass_over_trade() noexcept {
        passedOver = trades[trades.size() - 1];
        passedNative = natives[natives.size() - 1].outside;
        hasPassed = true;
        trades.drop_last();
        natives.drop_last();
    }

private:
    void hold(const ShortText& native) {
        Spelling& spelling = natives.append();
        spelling.outside = {};
        spelling.inside = native;
    }

    template <typename Event>
    Event& begin(Refilled<Event>& events, std::int32_t symbol) {
        Event& event = events.append();
        event = {};
        event.localTimeNs = localTimeNs;
        event.exchange = exchange;
        event.flags = flags;
        event.symbol = symbol;
        return event;
    }
};

// Keys are one to nine bytes long and mostly differ in the first, which is cheaper to see than to call memcmp.
inline bool same_key(std::string_view key, std::string_view wanted) noexcept {
    return key.size() == wanted.size() && key[0] == wanted[0] &&
           (key.size() == 1 || std::memcmp(key.data(), wanted.data(), key.size()) == 0);
}

// The members of one object under given keys, in one pass. A key that is read and stands twice is an error:
// which of the two values the venue means cannot be known.
template <std::size_t N>
class Members {
public:
    Members(const JsonTree& tree, const JsonNode& object, const char* what, const std::string_view (&keys)[N])
        : tree_(tree), object_(object), what_(what), keys_(keys) {
        if (!object.is_object()) refuse(std::string(what) + " must be an object", object.text);
        std::size_t expected = 0;
        for (const JsonNode* child = tree.first_child(object); child != tree.after(object); child = tree.after(*child)) {
            // Members mostly come in the venue's order: try the key after the last one first.
            for (std::size_t tried = 0, i = expected; tried < N; ++tried, i = i + 1 == N ? 0 : i + 1) {
                if (!same_key(child->key, keys[i])) continue;
                if (found_[i] != nullptr) refuse(std::string(what) + " must have a key only once", child->key);
                found_[i] = child;
                expected = i + 1 == N ? 0 : i + 1;
                break;
            }
        }
    }

    // nullptr if it is absent.
    const JsonNode* find(std::size_t index) const noexcept { return found_[index]; }

    const JsonNode& get(std::size_t index) const {
        if (found_[index] == nullptr) {
            std::string names;
            for (const JsonNode* c = tree_.first_child(object_); c != tree_.after(object_); c = tree_.after(*c)) {
                if (!names.empty()) names += ' ';
                names += c->key;
            }
            refuse(std::string(what_) + " must have the key " + std::string(keys_[index]), names);
        }
        return *found_[index];
    }

    std::string_view key(std::size_t index) const noexcept { return keys_[index]; }

private:
    const JsonTree& tree_;
    const JsonNode& object_;
    const char* what_;
    const std::string_view (&keys_)[N];
    const JsonNode* found_[N] = {};
};

// A price or a volume: a number, or a string that holds one and nothing else; finite and not negative.
inline double read_amount(const JsonNode& node, std::string_view name) {
    double value = 0.0;
    if (!node.is_number() && !node.is_string()) refuse(std::string(name) + " must be a number", node.text);
    switch (parse_double(node.text, &value)) {
        case NumberStatus::NOT_A_NUMBER:
            refuse(std::string(name) + " must be a plain decimal number", node.text);
        case NumberStatus::OUT_OF_RANGE:
            refuse(std::string(name) + " must be a finite number", node.text);
        case NumberStatus::OK:
            break;
    }
    if (node.text.front() == '-') refuse(std::string(name) + " must not be negative", node.text);
    return value;
}

// The number of a trade; 0 where it is not a whole number of 63 bits.
inline std::int64_t read_trade_id(const JsonNode* node, std::string_view name) {
    if (node == nullptr || node->type == JsonType::NIL) return 0;
    if (!node->is_number() && !node->is_string()) refuse(std::string(name) + " must be a number", node->text);
    std::uint64_t id;
    if (parse_unsigned(node->text, &id) != NumberStatus::OK || id > INT64_MAX) return 0;
    return static_cast<std::int64_t>(id);
}

inline std::uint64_t read_sequence(const JsonNode& node, std::string_view name) {
    std::uint64_t value;
    if (!node.is_number() || parse_unsigned(node.text, &value) != NumberStatus::OK) {
        refuse(std::string(name) + " must be a whole number of 64 bits", node.text);
    }
    return value;
}

inline std::string_view read_symbol(const JsonNode& node) {
    if (!node.is_string() || node.text.empty()) refuse("a symbol must be text", node.text);
    return node.text;
}

}  // namespace hft
