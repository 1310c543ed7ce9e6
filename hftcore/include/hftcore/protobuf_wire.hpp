// The protobuf wire format: varints, tags, lengths, unknown fields, UTF-8. Little-endian machines only.
//
// What is accepted and refused is what upb (protobuf's own C decoder) accepts and refuses: varints of up to 10 bytes
// whose surplus bits are dropped, tags and lengths of up to 5, unknown fields of every wire type skipped, groups
// nested at most 100 deep, field number 0 refused, strings that are no UTF-8 (RFC 3629) refused.
//
// Source: protobuf.dev/programming-guides/encoding; upb/wire/decode.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hft::wire {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed fields are copied as they stand in memory");

enum WireType : std::uint8_t { VARINT = 0, FIXED64 = 1, LENGTH = 2, START_GROUP = 3, END_GROUP = 4, FIXED32 = 5 };

enum Fault : std::uint8_t {
    FAULT_NONE = 0,
    FAULT_TRUNCATED,   // a field is longer than the message
    FAULT_VARINT,      // a varint does not end within 10 bytes
    FAULT_TAG,         // no tag: field number 0, more than 32 bits or 5 bytes
    FAULT_LENGTH,      // a length of more than 31 bits or 5 bytes
    FAULT_WIRE_TYPE,   // 6 or 7
    FAULT_GROUP,       // a group that ends without a beginning, or another's end
    FAULT_DEPTH,       // groups nested more than 100 deep
    FAULT_UTF8,        // text that is no UTF-8
};

constexpr int MAX_DEPTH = 100;

constexpr std::uint32_t tag(std::uint32_t field, WireType type) noexcept { return field << 3 | type; }

// hot path: begin
inline char* put_varint(char* at, std::uint64_t value) noexcept {
    while (value >= 0x80) {
        *at++ = static_cast<char>(value | 0x80);
        value >>= 7;
    }
    *at++ = static_cast<char>(value);
    return at;
}

// As proto3 serialises scalars: nothing for zero. Tags below 128, so that each is one byte.
inline char* put_varint_field(char* at, std::uint32_t field, std::uint64_t value) noexcept {
    if (value == 0) return at;
    *at++ = static_cast<char>(tag(field, VARINT));
    return put_varint(at, value);
}

// Integers and doubles; a double is left out only where all its bits are zero: -0.0 is sent.
template <class Number>
inline char* put_fixed64_field(char* at, std::uint32_t field, Number value) noexcept {
    static_assert(sizeof(Number) == 8);
    std::uint64_t bits;
    std::memcpy(&bits, &value, 8);
    if (bits == 0) return at;
    *at++ = static_cast<char>(tag(field, FIXED64));
    std::memcpy(at, &bits, 8);
    return at + 8;
}

inline char* put_bytes_field(char* at, std::uint32_t field, const char* text, std::size_t size) noexcept {
    if (size == 0) return at;
    *at++ = static_cast<char>(tag(field, LENGTH));
    at = put_varint(at, size);
    std::memcpy(at, text, size);
    return at + size;
}

constexpr std::size_t varint_size(std::uint64_t value) noexcept {
    std::size_t size = 1;
    for (; value >= 0x80; value >>= 7) ++size;
    return size;
}

// What is left of a message. Every read leaves `at` behind what it read, or names the fault.
struct Reader {
    const unsigned char* at;
    const unsigned char* end;

    std::size_t left() const noexcept { return static_cast<std::size_t>(end - at); }

    Fault varint(std::uint64_t& value) noexcept {
        if (at == end) return FAULT_TRUNCATED;
        if (*at < 0x80) {
            value = *at++;
            return FAULT_NONE;
        }
        return long_varint(value);
    }

    template <class Number>
    Fault fixed64(Number& value) noexcept {
        static_assert(sizeof(Number) == 8);
        if (left() < 8) return FAULT_TRUNCATED;
        std::memcpy(&value, at, 8);
        at += 8;
        return FAULT_NONE;
    }

    Fault bytes(const char*& text, std::size_t& size) noexcept {
        const unsigned char* start = at;
        std::uint64_t length;
        const Fault fault = varint(length);
        if (fault != FAULT_NONE) return fault;
        if (at - start > 5 || length > 0x7fffffff) return FAULT_LENGTH;
        if (length > left()) return FAULT_TRUNCATED;
        text = reinterpret_cast<const char*>(at);
        size = static_cast<std::size_t>(length);
        at += size;
        return FAULT_NONE;
    }

    Fault next_tag(std::uint32_t& found) noexcept {
        const Fault fault = any_tag(found);
        return fault == FAULT_NONE && found >> 3 == 0 ? FAULT_TAG : fault;
    }

    // Within a group that is skipped, upb accepts field number 0.
    Fault any_tag(std::uint32_t& found) noexcept {
        const unsigned char* start = at;
        std::uint64_t value;
        const Fault fault = varint(value);
        if (fault != FAULT_NONE) return fault;
        if (at - start > 5 || value > 0xffffffff) return FAULT_TAG;
        found = static_cast<std::uint32_t>(value);
        return FAULT_NONE;
    }
    // hot path: end

    // Skip a field of which the tag has been read.
    Fault skip(std::uint32_t found, int depth = MAX_DEPTH) noexcept {
        std::uint64_t number;
        const char* text;
        std::size_t size;
        switch (found & 7) {
            case VARINT: return varint(number);
            case FIXED64: return fixed64(number);
            case LENGTH: return bytes(text, size);
            case START_GROUP: return skip_group(found >> 3, depth);
            case END_GROUP: return FAULT_GROUP;
            case FIXED32:
                if (left() < 4) return FAULT_TRUNCATED;
                at += 4;
                return FAULT_NONE;
            default: return FAULT_WIRE_TYPE;
        }
    }

private:
    Fault long_varint(std::uint64_t& value) noexcept {
        value = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at == end) return FAULT_TRUNCATED;
            const std::uint64_t byte = *at++;
            value |= (byte & 0x7f) << shift;
            if (byte < 0x80) return FAULT_NONE;
        }
        return FAULT_VARINT;
    }

    Fault skip_group(std::uint32_t field, int depth) noexcept {
        if (--depth < 0) return FAULT_DEPTH;
        for (;;) {
            std::uint32_t found;
            Fault fault = any_tag(found);
            if (fault != FAULT_NONE) return fault;
            if ((found & 7) == END_GROUP) return found >> 3 == field ? FAULT_NONE : FAULT_GROUP;
            fault = skip(found, depth);
            if (fault != FAULT_NONE) return fault;
        }
    }
};

// RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF.
inline bool is_utf8(const char* text, std::size_t size) noexcept {
    const auto* at = reinterpret_cast<const unsigned char*>(text);
    const unsigned char* const end = at + size;
    while (end - at >= 8) {
        std::uint64_t word;
        std::memcpy(&word, at, 8);
        if (word & 0x8080808080808080ull) break;
        at += 8;
    }
    while (at < end) {
        const unsigned char first = *at;
        if (first < 0x80) {
            ++at;
            continue;
        }
        int more;
        unsigned char low = 0x80, high = 0xbf;
        if (first >= 0xc2 && first <= 0xdf) {
            more = 1;
        } else if (first >= 0xe0 && first <= 0xef) {
            more = 2;
            if (first == 0xe0) low = 0xa0;
            if (first == 0xed) high = 0x9f;
        } else if (first >= 0xf0 && first <= 0xf4) {
            more = 3;
            if (first == 0xf0) low = 0x90;
            if (first == 0xf4) high = 0x8f;
        } else {
            return false;
        }
        if (end - at <= more || at[1] < low || at[1] > high) return false;
        for (int i = 2; i <= more; ++i) {
            if (at[i] < 0x80 || at[i] > 0xbf) return false;
        }
        at += more + 1;
    }
    return true;
}

}  // namespace hft::wire
