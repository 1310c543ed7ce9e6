// A frame as a flat tree of its JSON values, in document order, so that keys may stand in any order.
//
// simdjson's on-demand reader does not look into what is skipped; here every value is visited, so that a tree exists
// only for a frame that is valid JSON from its first byte to its last. The tree is a reusable array: no allocation
// once it has grown to the frames of the feed. Views into it are valid until the next `read`.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "hftcore/number.hpp"
#include "simdjson.h"

namespace hft {

// Why a frame is none. Thrown inside the parsers and caught at their edge: a well-formed frame pays nothing for it.
struct Malformed {
    std::string reason;
};

constexpr std::size_t MAX_QUOTED = 80;

// "price must be a plain decimal number, was 'abc'", the value cut after MAX_QUOTED bytes.
[[noreturn]] inline void refuse(std::string_view what, std::string_view value) {
    std::string reason(what);
    reason += ", was '";
    reason += value.substr(0, MAX_QUOTED);
    reason += value.size() > MAX_QUOTED ? "…'" : "'";
    throw Malformed{std::move(reason)};
}

enum class JsonType : std::uint8_t { OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE, NIL };

struct JsonNode {
    std::string_view key;   // of a member of an object
    std::string_view text;  // string: without quotes and escapes; number and literal: as written; else empty
    std::uint32_t next;     // the node after this one and all that it contains
    JsonType type;

    bool is_object() const noexcept { return type == JsonType::OBJECT; }
    bool is_array() const noexcept { return type == JsonType::ARRAY; }
    bool is_string() const noexcept { return type == JsonType::STRING; }
    bool is_number() const noexcept { return type == JsonType::NUMBER; }
    bool is(std::string_view string) const noexcept { return type == JsonType::STRING && text == string; }
};

class JsonTree {
public:
    static constexpr std::size_t MAX_BYTES = std::size_t{16} << 20;
    static constexpr std::size_t MAX_NODES = std::size_t{1} << 20;
    static constexpr int MAX_DEPTH = 64;

    // Reads a whole frame. Throws Malformed.
    const JsonNode& read(const char* data, std::size_t size) {
        nodes_.clear();
        if (size > MAX_BYTES) refuse("a frame must have at most 16777216 bytes", std::to_string(size));
        if (size < KEPT_BYTES) trim();
        if (buffer_.size() < size + simdjson::SIMDJSON_PADDING) buffer_.resize(size + simdjson::SIMDJSON_PADDING + 1024);
        if (size != 0) std::memcpy(buffer_.data(), data, size);
        // What an earlier frame left there could tell which error a broken frame is reported to have.
        std::memset(buffer_.data() + size, 0, simdjson::SIMDJSON_PADDING);
        frame_ = {buffer_.data(), size};
        // simdjson skips a byte order mark; RFC 8259 forbids it.
        if (frame_.substr(0, 3) == "\xef\xbb\xbf") refuse("a frame must be valid JSON (byte order mark)", frame_);
        // On a processor that it does not support, simdjson would not notice before it reads nothing through a null pointer.
        if (size == 0) check(simdjson::EMPTY);
        simdjson::ondemand::document document;
        check(parser_.iterate(simdjson::padded_string_view(buffer_.data(), size, buffer_.size())).get(document));
        simdjson::ondemand::json_type type;
        check(document.type().get(type));
        if (type == simdjson::ondemand::json_type::object || type == simdjson::ondemand::json_type::array) {
            simdjson::ondemand::value value;
            check(document.get_value().get(value));
            add(value, {}, 0);
            if (!document.at_end()) refuse("a frame must end with its JSON value", frame_);
        } else {
            std::string_view token;
            check(document.raw_json_token().get(token));
            if (type == simdjson::ondemand::json_type::string) {
                std::string_view text;
                check(document.get_string().get(text));
                if (!document.at_end()) refuse("a frame must end with its JSON value", frame_);
                nodes_.push_back({{}, text, 1, JsonType::STRING});
            } else {
                const char* const end = frame_.data() + frame_.size();
                add_scalar({token.data(), static_cast<std::size_t>(end - token.data())}, {});
            }
        }
        return nodes_.front();
    }

    const JsonNode* first_child(const JsonNode& node) const noexcept { return &node + 1; }
    const JsonNode* after(const JsonNode& node) const noexcept { return nodes_.data() + node.next; }

    std::size_t child_count(const JsonNode& node) const noexcept {
        std::size_t count = 0;
        for (const JsonNode* child = first_child(node); child != after(node); child = after(*child)) ++count;
        return count;
    }

    std::string_view frame() const noexcept { return frame_; }

    // Gives back what one huge frame needed. Its values are gone.
    void trim() {
        if (buffer_.size() <= KEPT_BYTES) return;
        std::vector<char>().swap(buffer_);
        std::vector<JsonNode>().swap(nodes_);
        parser_ = simdjson::ondemand::parser();
        frame_ = {};
    }

private:
    static constexpr std::size_t KEPT_BYTES = std::size_t{1} << 20;

    void check(simdjson::error_code error) const {
        if (error == simdjson::MEMALLOC) throw std::bad_alloc();
        if (error) {
            std::string what = "a frame must be valid JSON (";
            const std::string_view message = simdjson::error_message(error);
            what += message.substr(0, message.find('.'));
            what += ")";
            refuse(what, frame_);
        }
    }

    std::size_t push(std::string_view key, JsonType type) {
        if (nodes_.size() == MAX_NODES) refuse("a frame must have at most 1048576 values", frame_);
        nodes_.push_back({key, {}, static_cast<std::uint32_t>(nodes_.size() + 1), type});
        return nodes_.size() - 1;
    }

    void add_scalar(std::string_view token, std::string_view key) {
        while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' || token.back() == '\t')) {
            token.remove_suffix(1);
        }
        JsonType type = JsonType::NUMBER;
        Decimal decimal;
        if (token == "true") {
            type = JsonType::TRUE;
        } else if (token == "false") {
            type = JsonType::FALSE;
        } else if (token == "null") {
            type = JsonType::NIL;
        } else if (!scan_decimal(token, &decimal)) {
            refuse("a frame must be valid JSON (not a value)", token.empty() ? frame_ : token);
        }
        nodes_[push(key, type)].text = token;
    }

    void add(simdjson::ondemand::value value, std::string_view key, int depth) {
        if (depth == MAX_DEPTH) refuse("a frame must nest at most 64 deep", frame_);
        simdjson::ondemand::json_type type;
        check(value.type().get(type));
        switch (type) {
            case simdjson::ondemand::json_type::object: {
                simdjson::ondemand::object object;
                check(value.get_object().get(object));
                const std::size_t self = push(key, JsonType::OBJECT);
                for (auto result : object) {
                    simdjson::ondemand::field field;
                    check(std::move(result).get(field));
                    std::string_view name = field.escaped_key();
                    if (std::memchr(name.data(), '\\', name.size()) != nullptr) check(field.unescaped_key().get(name));
                    add(field.value(), name, depth + 1);
                }
                nodes_[self].next = static_cast<std::uint32_t>(nodes_.size());
                break;
            }
            case simdjson::ondemand::json_type::array: {
                simdjson::ondemand::array array;
                check(value.get_array().get(array));
                const std::size_t self = push(key, JsonType::ARRAY);
                for (auto result : array) {
                    simdjson::ondemand::value element;
                    check(std::move(result).get(element));
                    add(element, {}, depth + 1);
                }
                nodes_[self].next = static_cast<std::uint32_t>(nodes_.size());
                break;
            }
            case simdjson::ondemand::json_type::string: {
                std::string_view text;
                check(value.get_string().get(text));
                nodes_[push(key, JsonType::STRING)].text = text;
                break;
            }
            default:
                add_scalar(value.raw_json_token(), key);
        }
    }

    simdjson::ondemand::parser parser_;
    std::vector<char> buffer_;
    std::vector<JsonNode> nodes_;
    std::string_view frame_;
};

}  // namespace hft
