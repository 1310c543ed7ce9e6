// What Scan (scan.hpp) asks where a field is longer than usual or stands at the frame's end: eight bytes at a time, or
// single ones. Each returns where it ended, nullptr if the field is not what it must be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hftcore/event_time.hpp"
#include "hftcore/number.hpp"
#include "hftcore/short_symbols.hpp"
#include "hftcore/words.hpp"

#define HFT_COLD inline __attribute__((noinline))

namespace hft {

// The minute of the last time that was read, as text and as nanoseconds: neighbours mostly share it.
// Begins with one that is true.
struct MinuteCache {
    static constexpr std::size_t SIZE = 16;

    char text[SIZE + 1] = "1970-01-01T00:00";
    std::int64_t ns = 0;

    // At least SIZE bytes must stand at `p`.
    HFT_INLINE bool holds(const char* p) const noexcept { return swar::same<SIZE>(p, text); }
};

// hot path: begin

template <bool QUOTED>
HFT_INLINE bool ends_amount(char c) noexcept {
    return QUOTED ? c == '"' : c == ',' || c == '}';
}

inline std::string_view text_between(const char* p, const char* end) noexcept {
    return {p, static_cast<std::size_t>(end - p)};
}

// One digit or more, without leading zeros.
inline const char* skip_digits(const char* p, const char* end) noexcept {
    const char* const start = p;
    while (p != end && is_digit(*p)) ++p;
    return p != start && (*start != '0' || p - start == 1) ? p : nullptr;
}

HFT_COLD const char* any_whole(const char* p, const char* end, std::uint64_t* value) noexcept {
#if defined(__SSE2__)
    // The frame's last number: the sixteen bytes that end with the frame hold it.
    if (const std::ptrdiff_t left = end - p; left >= 8 && left < 16) {
        const int count = swar::first_unset(swar::digits16(end - 16) >> (16 - left));
        if (count == 0 || (count > 1 && *p == '0')) return nullptr;
        const std::uint64_t front = swar::load8(p) ^ swar::ZEROS;
        if (count <= 8) {
            *value = swar::number_of(front, count);
        } else {
            const std::uint64_t back = swar::load8(p + count - 8) ^ swar::ZEROS;
            *value = swar::number_of(front, count - 8) * 100'000'000 + swar::number_of(back, 8);
        }
        return p + count;
    }
#endif
    const char* const stop = skip_digits(p, end);
    if (stop == nullptr || stop - p > 19) return nullptr;
    std::uint64_t result = 0;
    for (; p != stop; ++p) result = result * 10 + static_cast<std::uint64_t>(*p - '0');
    *value = result;
    return stop;
}

// After the sign.
HFT_COLD const char* skip_any_number(const char* p, const char* end) noexcept {
    p = skip_digits(p, end);
    if (p == nullptr || p == end || *p != '.') return p;
    const char* const fraction = ++p;
    while (p != end && is_digit(*p)) ++p;
    return p == fraction ? nullptr : p;
}

// After the letter.
inline const char* skip_exponent(const char* p, const char* end) noexcept {
    if (p != end && (*p == '-' || *p == '+')) ++p;
    const char* const digits = p;
    while (p != end && is_digit(*p)) ++p;
    return p == digits ? nullptr : p;
}

// A number of any spelling, with its sign.
HFT_COLD const char* skip_any_real(const char* p, const char* end) noexcept {
    const char* stop = p;
    while (stop != end && (is_digit(*stop) || *stop == '.' || *stop == 'e' || *stop == 'E' || *stop == '-' || *stop == '+')) {
        ++stop;
    }
    Decimal decimal;
    return scan_decimal(text_between(p, stop), &decimal) ? stop : nullptr;
}

HFT_COLD const char* skip_any_string(const char* p, const char* end) noexcept {
    for (;;) {
        const int count = swar::first_marked(swar::not_plain(swar::load8_within(p, end)));
        p += count;
        if (count != 8) return p < end && *p == '"' ? p + 1 : nullptr;
    }
}

HFT_COLD const char* any_short_string(const char* p, const char* end, ShortText* text) noexcept {
    const char* const stop = skip_any_string(p, end);
    if (stop == nullptr || stop - 1 == p || stop - 1 - p > static_cast<std::ptrdiff_t>(ShortText::MAX_BYTES)) {
        return nullptr;
    }
    *text = ShortText::of(text_between(p, stop - 1));
    return stop;
}

// This and the next end before the closing quote of an amount that is QUOTED. Begins with a digit, so it is not negative.
template <bool QUOTED>
HFT_COLD const char* long_amount(const char* p, const char* end, double* out) noexcept {
    const char* stop = p;
    while (stop != end && (is_digit(*stop) || *stop == '.' || *stop == 'e' || *stop == 'E' || *stop == '-' || *stop == '+')) {
        ++stop;
    }
    if (stop == end || !ends_amount<QUOTED>(*stop)) return nullptr;
    return parse_double(text_between(p, stop), out) == NumberStatus::OK ? stop : nullptr;
}

template <bool QUOTED>
HFT_COLD const char* any_amount(const char* p, const char* end, double* out) noexcept {
    const char* const start = p;
#if defined(__SSE2__)
    // The frame's last amount: the sixteen bytes that end with the frame hold it.
    if (const std::ptrdiff_t left = end - p; left >= 8 && left <= 16) {
        const unsigned digits = swar::digits16(end - 16) >> (16 - left);
        const int whole = swar::first_unset(digits);
        const int places = swar::first_unset(digits >> (whole + 1));
        const char* const stop = p + whole + 1 + places;
        if (static_cast<unsigned>(whole - 1) < 8 && static_cast<unsigned>(places - 1) < 8 && stop < end &&
            p[whole] == '.' && ends_amount<QUOTED>(*stop) && (whole == 1 || *p != '0')) {
            *out = swar::decimal(swar::load8(p), whole, swar::load8_within(p + whole + 1, end), places);
            return stop;
        }
    }
#endif
    const std::uint64_t values = swar::load8_within(p, end) ^ swar::ZEROS;
    const int count = swar::count_digits(values);
    if (count == 0 || (count > 1 && *p == '0')) return nullptr;
    p += count;
    std::uint64_t mantissa = swar::number_of(values, count);
    int places = 0;
    if (p < end && *p == '.') {
        const std::uint64_t fraction = swar::load8_within(++p, end) ^ swar::ZEROS;
        places = swar::count_digits(fraction);
        if (places == 0) return nullptr;
        mantissa = mantissa * swar::POWERS[places] + swar::number_of(fraction, places);
        p += places;
    }
    // More digits, or an exponent, or a mantissa that is no exact double.
    if (p >= end || !ends_amount<QUOTED>(*p) || mantissa > std::uint64_t{1} << 53) {
        return long_amount<QUOTED>(start, end, out);
    }
    *out = static_cast<double>(mantissa) / swar::DOUBLE_POWERS[places];
    return p;
}

HFT_COLD const char* any_timestamp(const char* p, const char* end, MinuteCache* minute, std::int64_t* ns) noexcept {
    const char* const stop = skip_any_string(p, end);
    if (stop == nullptr) return nullptr;
    const std::string_view text = text_between(p, stop - 1);
    if (!ns_from_rfc3339(text, ns)) return nullptr;
    // A minute of the distant future is not kept: its last second could overflow.
    if (text.back() == 'Z' && *ns >= 0 && *ns < INT64_MAX - 60 * NS_PER_SECOND) {
        std::memcpy(minute->text, text.data(), MinuteCache::SIZE);
        minute->ns = *ns - *ns % (60 * NS_PER_SECOND);
    }
    return stop;
}

HFT_COLD const char* any_seconds(const char* p, const char* end, std::int64_t* ns) noexcept {
    const char* const stop = skip_any_string(p, end);
    return stop != nullptr && ns_from_seconds(text_between(p, stop - 1), ns) ? stop : nullptr;
}

// hot path: end

}  // namespace hft
