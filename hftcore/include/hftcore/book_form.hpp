// How a plain decimal text is spelled, in one byte: with the number's double it is the whole text, digit by digit.
//
// Plain is what venues write: no exponent and at most 15 digits, leading zeros counted; up to eight zeros more at the end
// where a digit behind the point is left. Then the double has the text's number m / 10^places back: m < 10^15 < 2^50, two
// roundings move double * 10^places by at most m / 2^52 from m.
//   bits 0 – 3  digits behind the point, 0 to 14; dropped zeros are not counted
//   bits 4 – 7  zeros that were dropped from the end, 0 to 8
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hftcore/words.hpp"

namespace hft {

using TextForm = std::uint8_t;
constexpr TextForm FORM_IRREGULAR = 0xff;  // anything else: the text itself must be kept
constexpr TextForm FORM_UNKNOWN = 0xfe;    // nobody has looked
constexpr std::size_t PLAIN_DIGITS = 15;
constexpr std::size_t DROPPED_ZEROS = 8;
constexpr std::size_t PLAIN_ROOM = 40;  // of what `write_plain` touches: up to 24 characters, and what is stored beside them

constexpr bool is_plain(TextForm form) noexcept { return form < 0xf0; }

// Of a number by number.hpp without '-'.
inline TextForm form_of(std::string_view text) noexcept {
    const std::size_t size = text.size();
    if (size > PLAIN_DIGITS + 1 + DROPPED_ZEROS) return FORM_IRREGULAR;
    std::size_t point = size;
    if (size >= 8) {
        // What is no digit can only be the point, or of an exponent.
        for (std::size_t i = 0; i < size; i += 8) {
            if (i > size - 8) i = size - 8;
            const std::uint64_t word = swar::load8(text.data() + i);
            if (swar::zero_bytes((word | swar::ONES * 0x20) ^ swar::ONES * 'e') != 0) return FORM_IRREGULAR;
            const std::uint64_t points = swar::zero_bytes(word ^ swar::ONES * '.');
            if (points != 0) point = i + static_cast<std::size_t>(swar::first_marked(points));
        }
    } else {
        for (std::size_t i = 0; i < size; ++i) {
            if ((text[i] | 0x20) == 'e') return FORM_IRREGULAR;
            if (text[i] == '.') point = i;
        }
    }
    std::size_t places = point == size ? 0 : size - point - 1;
    std::size_t dropped = 0;
    for (; point + places > PLAIN_DIGITS; --places, ++dropped) {
        if (places < 2 || text[point + places] != '0') return FORM_IRREGULAR;
    }
    return static_cast<TextForm>(places | dropped << 4);
}

// hot path: begin

inline std::uint64_t mantissa_of(double value, TextForm form) noexcept {
    constexpr double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value * POWERS[form & 15] + 0.5));
}

// Eight digits of a number below 10^8, one in each byte, the first in the lowest.
inline std::uint64_t eight_digits(std::uint64_t number) noexcept {
    const std::uint64_t fours = number / 10'000 | (number % 10'000) << 32;
    const std::uint64_t hundreds = ((fours * 10'486) >> 20) & 0x0000007f'0000007full;
    const std::uint64_t pairs = hundreds | (fours - 100 * hundreds) << 16;
    const std::uint64_t tens = ((pairs * 103) >> 10) & 0x000f'000f'000f'000full;
    return tens | (pairs - 10 * tens) << 8;
}

// The sixteen last digits of a mantissa, zeros in front. Returns how many of them are such zeros, 16 for 0.
inline int write_sixteen(char* out, std::uint64_t mantissa) noexcept {
    constexpr std::uint64_t ZEROS = 0x3030303030303030ull;
    const std::uint64_t words[] = {eight_digits(mantissa / 100'000'000), eight_digits(mantissa % 100'000'000)};
    for (int i = 0; i < 2; ++i) {
        const std::uint64_t text = words[i] | ZEROS;
        std::memcpy(out + 8 * i, &text, 8);
    }
    if (words[0] != 0) return __builtin_ctzll(words[0]) / 8;
    return words[1] != 0 ? 8 + __builtin_ctzll(words[1]) / 8 : 16;
}

// The text of a plain number; `out` has PLAIN_ROOM. Returns its size.
inline std::size_t write_plain(char* out, double value, TextForm form) noexcept {
    char digits[32];
    const int places = form & 15, dropped = form >> 4;
    int from = write_sixteen(digits, mantissa_of(value, form));
    if (from > 15 - places) from = 15 - places;  // one digit before the point
    const int whole = 16 - places - from;
    std::memcpy(out, digits + from, 16);
    if (places == 0) return static_cast<std::size_t>(whole);
    out[whole] = '.';
    std::memcpy(out + whole + 1, digits + 16 - places, 16);
    std::memset(out + whole + 1 + places, '0', DROPPED_ZEROS);
    return static_cast<std::size_t>(whole + 1 + places + dropped);
}

// The digits of a plain number alone, without leading zeros; `out` has PLAIN_ROOM. Returns how many.
inline std::size_t write_plain_digits(char* out, double value, TextForm form) noexcept {
    char digits[32];
    const int from = write_sixteen(digits, mantissa_of(value, form));
    if (from == 16) return 0;
    std::memcpy(out, digits + from, 16);
    std::memset(out + 16 - from, '0', DROPPED_ZEROS);
    return static_cast<std::size_t>(16 - from + (form >> 4));
}
// hot path: end

}  // namespace hft
