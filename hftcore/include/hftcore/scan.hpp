// A cursor over a frame of which the venue's usual spelling is expected, for the templates.
//
// Every reader says true and stands behind what it read, or says false: then the frame is the general path's to judge.
// A template may therefore be strict as it likes, but must never accept what the general path refuses or reads
// otherwise. Eight bytes are looked at at once; nothing outside the frame is ever touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hftcore/event_time.hpp"
#include "hftcore/number.hpp"
#include "hftcore/short_symbols.hpp"

#define HFT_INLINE inline __attribute__((always_inline))

namespace hft {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first of eight bytes must be the lowest");

namespace swar {

constexpr std::uint64_t ONES = 0x0101010101010101ull;
constexpr std::uint64_t TOPS = 0x8080808080808080ull;

HFT_INLINE std::uint64_t load8(const char* p) noexcept {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    return word;
}

// Index of the first byte whose top bit is set in `mask`, 8 if there is none.
HFT_INLINE int first_marked(std::uint64_t mask) noexcept { return mask == 0 ? 8 : __builtin_ctzll(mask) >> 3; }

// Both masks are exact up to their first mark, which is all that is asked of them: a carry only spoils what follows it.
// `values` are bytes XOR '0': a digit's is its value.
HFT_INLINE int count_digits(std::uint64_t values) noexcept {
    return first_marked(((values + ONES * 0x76) | values) & TOPS);
}

HFT_INLINE std::uint64_t zero_bytes(std::uint64_t word) noexcept { return (word - ONES) & ~word & TOPS; }

// Marks what ends a plain string: '"', and what it may not hold: '\\', control bytes, all that is not ASCII.
HFT_INLINE std::uint64_t not_plain(std::uint64_t word) noexcept {
    return zero_bytes(word ^ (ONES * '"')) | zero_bytes(word ^ (ONES * '\\')) | ((word - ONES * 0x20) & ~word & TOPS) |
           (word & TOPS);
}

// The number that the first `count` (1 to 8) of eight digit values make.
// Source: Lemire, "Quickly parsing eight digits", 2018.
HFT_INLINE std::uint64_t number_of(std::uint64_t values, int count) noexcept {
    std::uint64_t v = values << (64 - 8 * count);
    v = (v * 10 + (v >> 8)) & 0x00ff00ff00ff00ffull;
    v = (v * 100 + (v >> 16)) & 0x0000ffff0000ffffull;
    return (v * 10000 + (v >> 32)) & 0xffffffffull;
}

template <std::size_t N>
HFT_INLINE bool same(const char* p, const char* literal) noexcept {
    if constexpr (N >= 8) {
        std::uint64_t differing = load8(p + N - 8) ^ load8(literal + N - 8);
        for (std::size_t i = 0; i + 8 <= N; i += 8) differing |= load8(p + i) ^ load8(literal + i);
        return differing == 0;
    } else if constexpr (N >= 4) {
        std::uint32_t a, b, c, d;
        std::memcpy(&a, p, 4);
        std::memcpy(&b, literal, 4);
        std::memcpy(&c, p + N - 4, 4);
        std::memcpy(&d, literal + N - 4, 4);
        return ((a ^ b) | (c ^ d)) == 0;
    } else {
        for (std::size_t i = 0; i < N; ++i) {
            if (p[i] != literal[i]) return false;
        }
        return true;
    }
}

}  // namespace swar

// The minute of the last time that was read, as text and as nanoseconds: neighbours mostly share it.
// Begins with one that is true.
struct MinuteCache {
    ShortText text = ShortText::of("1970-01-01T00:00");
    std::int64_t ns = 0;
};

// hot path: begin
class Scan {
public:
    static constexpr std::size_t MIN_BYTES = 16;

    // `size` must be at least MIN_BYTES.
    Scan(const char* data, std::size_t size) noexcept : p_(data), end_(data + size) {}

    bool at_end() const noexcept { return p_ == end_; }

    template <std::size_t N>
    HFT_INLINE bool literal(const char (&text)[N]) noexcept {
        constexpr std::size_t SIZE = N - 1;
        if (static_cast<std::size_t>(end_ - p_) < SIZE || !swar::same<SIZE>(p_, text)) return false;
        p_ += SIZE;
        return true;
    }

    // One of two bytes; `is_first` tells which.
    HFT_INLINE bool either(char first, char second, bool* is_first) noexcept {
        if (p_ == end_ || (*p_ != first && *p_ != second)) return false;
        *is_first = *p_++ == first;
        return true;
    }

    // One byte of a set.
    template <std::size_t N>
    HFT_INLINE bool one_of(const char (&set)[N]) noexcept {
        if (p_ == end_ || std::memchr(set, *p_, N - 1) == nullptr) return false;
        ++p_;
        return true;
    }

    // true or false, unquoted.
    HFT_INLINE bool boolean(bool* value) noexcept {
        if (literal("true")) {
            *value = true;
            return true;
        }
        *value = false;
        return literal("false");
    }

    // A whole number without sign, of at most 19 digits.
    HFT_INLINE bool whole(std::uint64_t* value) noexcept {
        const char* const start = p_;
        std::uint64_t values = load(p_) ^ ZEROS;
        int count = swar::count_digits(values);
        if (count == 0) return false;
        std::uint64_t result = swar::number_of(values, count);
        p_ += count;
        while (count == 8) {
            values = load(p_) ^ ZEROS;
            count = swar::count_digits(values);
            if (count == 0) break;
            if (p_ + count - start > 19) return false;
            result = result * WHOLE_POWERS[count] + swar::number_of(values, count);
            p_ += count;
        }
        if (*start == '0' && p_ - start > 1) return false;
        *value = result;
        return true;
    }

    // A number that nobody asked for, with or without sign and fraction.
    HFT_INLINE bool skip_number() noexcept {
        if (p_ != end_ && *p_ == '-') ++p_;
        const char* const start = p_;
        if (!skip_digits() || (*start == '0' && p_ - start > 1)) return false;
        if (p_ == end_ || *p_ != '.') return true;
        ++p_;
        return skip_digits();
    }

    // The rest of a plain string with its closing quote.
    HFT_INLINE bool skip_string() noexcept {
        for (;;) {
            const int count = swar::first_marked(swar::not_plain(load(p_)));
            p_ += count;
            if (count == 8) continue;
            return p_ < end_ && *p_++ == '"';
        }
    }

    // The rest of a plain string of 1 to 16 bytes with its closing quote.
    HFT_INLINE bool short_string(ShortText* text) noexcept {
        std::uint64_t word = load(p_);
        int count = swar::first_marked(swar::not_plain(word));
        text->high = 0;
        p_ += count;
        if (count < 8) {
            text->low = word & ~(~std::uint64_t{0} << (8 * count));
            return count != 0 && p_ < end_ && *p_++ == '"';
        }
        text->low = word;
        word = load(p_);
        count = swar::first_marked(swar::not_plain(word));
        text->high = count == 8 ? word : word & ~(~std::uint64_t{0} << (8 * count));
        p_ += count;
        return p_ < end_ && *p_++ == '"';
    }

    // A price or a volume, not negative: bare, or the rest of a string with its closing quote.
    template <bool QUOTED>
    HFT_INLINE bool amount(double* out) noexcept {
        static constexpr double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
        const std::uint64_t values = load(p_) ^ ZEROS;
        const int count = swar::count_digits(values);
        if (count == 0 || (count > 1 && *p_ == '0')) return false;
        const char* p = p_ + count;
        std::uint64_t mantissa = swar::number_of(values, count);
        int places = 0;
        if (p < end_ && *p == '.') {
            const std::uint64_t fraction = load(++p) ^ ZEROS;
            places = swar::count_digits(fraction);
            if (places == 0) return false;
            mantissa = mantissa * WHOLE_POWERS[places] + swar::number_of(fraction, places);
            p += places;
        }
        // More digits, or an exponent, or a mantissa that is no exact double.
        if (p >= end_ || !ends_amount<QUOTED>(*p) || mantissa > (std::uint64_t{1} << 53)) return long_amount<QUOTED>(out);
        p_ = p + QUOTED;
        // Both operands are exact, so the one operation rounds correctly. Source: Clinger, PLDI 1990.
        *out = static_cast<double>(mantissa) / POWERS[places];
        return true;
    }

    // The rest of a string with its closing quote: RFC 3339 as the venue writes it, "2026-03-01T12:30:45.123456Z".
    HFT_INLINE bool timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
        if (end_ - p_ >= 28 && ShortText{swar::load8(p_), swar::load8(p_ + 8)} == minute->text) {
            const unsigned tens = static_cast<unsigned char>(p_[17] - '0');
            const unsigned ones = static_cast<unsigned char>(p_[18] - '0');
            const std::uint64_t fraction = swar::load8(p_ + 20) ^ ZEROS;
            if (tens < 6 && ones < 10 && p_[16] == ':' && p_[19] == '.' && swar::count_digits(fraction) == 6 &&
                p_[26] == 'Z' && p_[27] == '"') {
                const std::uint64_t us = (tens * 10 + ones) * std::uint64_t{1'000'000} + swar::number_of(fraction, 6);
                *ns = minute->ns + static_cast<std::int64_t>(us * 1'000);
                p_ += 28;
                return true;
            }
        }
        return any_timestamp(minute, ns);
    }

    // The rest of a string with its closing quote: seconds and their fraction, "1616333924.737428".
    HFT_INLINE bool seconds(std::int64_t* ns) noexcept {
        const char* const start = p_;
        return skip_string() && ns_from_seconds({start, static_cast<std::size_t>(p_ - 1 - start)}, ns);
    }

private:
    static constexpr std::uint64_t ZEROS = swar::ONES * '0';
    static constexpr std::uint64_t WHOLE_POWERS[] = {1,      10,      100,       1'000,      10'000,
                                                     100'000, 1'000'000, 10'000'000, 100'000'000};

    // Eight bytes from `p`, NUL where the frame has ended.
    HFT_INLINE std::uint64_t load(const char* p) const noexcept {
        const std::ptrdiff_t left = end_ - p;
        if (__builtin_expect(left >= 8, 1)) return swar::load8(p);
        return left <= 0 ? 0 : swar::load8(end_ - 8) >> (8 * (8 - left));
    }

    HFT_INLINE bool skip_digits() noexcept {
        const char* const start = p_;
        int count;
        do {
            count = swar::count_digits(load(p_) ^ ZEROS);
            p_ += count;
        } while (count == 8);
        return p_ != start;
    }

    template <bool QUOTED>
    static bool ends_amount(char c) noexcept {
        return QUOTED ? c == '"' : c == ',' || c == '}';
    }

    template <bool QUOTED>
    __attribute__((noinline)) bool long_amount(double* out) noexcept {
        const char* p = p_;
        while (p != end_ && (is_digit(*p) || *p == '.' || *p == 'e' || *p == 'E' || *p == '-' || *p == '+')) ++p;
        if (p == end_ || !ends_amount<QUOTED>(*p)) return false;
        // It begins with a digit: it is not negative.
        if (parse_double({p_, static_cast<std::size_t>(p - p_)}, out) != NumberStatus::OK) return false;
        p_ = p + QUOTED;
        return true;
    }

    __attribute__((noinline)) bool any_timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
        const char* const start = p_;
        if (!skip_string()) return false;
        const std::string_view text(start, static_cast<std::size_t>(p_ - 1 - start));
        if (!ns_from_rfc3339(text, ns)) return false;
        // A minute of the distant future is not kept: its last second could overflow.
        if (text.size() >= 20 && text.back() == 'Z' && *ns >= 0 && *ns < INT64_MAX - 60 * NS_PER_SECOND) {
            minute->text = ShortText::of(text.substr(0, ShortText::MAX_BYTES));
            minute->ns = *ns - *ns % (60 * NS_PER_SECOND);
        }
        return true;
    }

    const char* p_;
    const char* const end_;
};
// hot path: end

}  // namespace hft
