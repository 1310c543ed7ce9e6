// The venues' times, as nanoseconds since 1970 in a signed 64-bit number. All conversions are exact or fail.
#pragma once

#include <cstdint>
#include <string_view>

#include "hftcore/number.hpp"

namespace hft {

constexpr std::int64_t NS_PER_SECOND = 1'000'000'000;

// Reads exactly `count` digits.
inline bool read_digits(const char*& p, const char* end, int count, std::int64_t* out) noexcept {
    if (end - p < count) return false;
    std::int64_t value = 0;
    for (int i = 0; i < count; ++i, ++p) {
        if (!is_digit(*p)) return false;
        value = value * 10 + (*p - '0');
    }
    *out = value;
    return true;
}

// A fraction of a second, 1 to 9 digits, as nanoseconds.
inline bool read_fraction(const char*& p, const char* end, std::int64_t* out) noexcept {
    std::int64_t value = 0;
    int count = 0;
    for (; p != end && is_digit(*p); ++p, ++count) {
        if (count == 9) return false;
        value = value * 10 + (*p - '0');
    }
    if (count == 0) return false;
    for (; count < 9; ++count) value *= 10;
    *out = value;
    return true;
}

// Days from 1970-01-01 in the proleptic Gregorian calendar. Source: Hinnant, chrono-compatible date algorithms.
inline std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) noexcept {
    year -= month <= 2;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const std::int64_t year_of_era = year - era * 400;
    const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

// "2023-09-25T07:48:36.925533Z": RFC 3339 with 0 to 9 digits of fraction, Z or an offset. No leap second.
inline bool ns_from_rfc3339(std::string_view text, std::int64_t* out) noexcept {
    static constexpr std::int64_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char* p = text.data();
    const char* const end = p + text.size();
    const auto skip = [&p, end](char c) noexcept { return p != end && *p++ == c; };
    std::int64_t year, month, day, hour, minute, second, fraction = 0, offset = 0;
    if (!(read_digits(p, end, 4, &year) && skip('-') && read_digits(p, end, 2, &month) && skip('-') &&
          read_digits(p, end, 2, &day) && skip('T') && read_digits(p, end, 2, &hour) && skip(':') &&
          read_digits(p, end, 2, &minute) && skip(':') && read_digits(p, end, 2, &second))) {
        return false;
    }
    if (p != end && *p == '.' && !read_fraction(++p, end, &fraction)) return false;
    if (p == end) return false;
    const char zone = *p++;
    if (zone == '+' || zone == '-') {
        std::int64_t hours, minutes;
        if (!(read_digits(p, end, 2, &hours) && skip(':') && read_digits(p, end, 2, &minutes))) return false;
        if (hours > 23 || minutes > 59) return false;
        offset = (hours * 60 + minutes) * (zone == '+' ? 60 : -60);
    } else if (zone != 'Z') {
        return false;
    }
    if (p != end || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return false;
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > DAYS[month - 1] + (month == 2 && leap)) return false;
    std::int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    // Rounded towards zero: the earliest second fits only together with its fraction.
    if (seconds < 0 && fraction > 0) {
        ++seconds;
        fraction -= NS_PER_SECOND;
    }
    std::int64_t ns;
    if (__builtin_mul_overflow(seconds, NS_PER_SECOND, &ns) || __builtin_add_overflow(ns, fraction, &ns)) return false;
    *out = ns;
    return true;
}

// "1616333924.737428": seconds with 0 to 9 digits of fraction.
inline bool ns_from_seconds(std::string_view text, std::int64_t* out) noexcept {
    const char* p = text.data();
    const char* const end = p + text.size();
    std::int64_t seconds = 0, fraction = 0, ns;
    const char* const first = p;
    for (; p != end && is_digit(*p); ++p) {
        if (p - first == 11) return false;
        seconds = seconds * 10 + (*p - '0');
    }
    if (p == first) return false;
    if (p != end && *p == '.' && !read_fraction(++p, end, &fraction)) return false;
    if (p != end) return false;
    if (__builtin_mul_overflow(seconds, NS_PER_SECOND, &ns) || __builtin_add_overflow(ns, fraction, &ns)) return false;
    *out = ns;
    return true;
}

// Milliseconds, or microseconds where there are 16 digits or more (Binance, timeUnit=MICROSECOND).
inline bool ns_from_epoch(std::uint64_t value, std::int64_t* out) noexcept {
    constexpr std::uint64_t FIRST_OF_16_DIGITS = 1'000'000'000'000'000;
    return !__builtin_mul_overflow(value, value >= FIRST_OF_16_DIGITS ? 1'000 : 1'000'000, out);
}

inline bool ns_from_epoch(std::string_view text, std::int64_t* out) noexcept {
    std::uint64_t value;
    return parse_unsigned(text, &value) == NumberStatus::OK && ns_from_epoch(value, out);
}

inline bool ns_from_milliseconds(std::uint64_t value, std::int64_t* out) noexcept {
    return !__builtin_mul_overflow(value, 1'000'000, out);
}

inline bool ns_from_milliseconds(std::string_view text, std::int64_t* out) noexcept {
    std::uint64_t value;
    return parse_unsigned(text, &value) == NumberStatus::OK && ns_from_milliseconds(value, out);
}

}  // namespace hft
