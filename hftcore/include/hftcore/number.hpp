// Decimal numbers as the venues write them: the grammar of RFC 8259 section 6, no sign but '-', no spaces.
// The double is the correctly rounded one, bit-equal to Python's float() of the same text.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <system_error>

// libc++ reads no doubles with from_chars before LLVM 20 (macOS); its strtod is as exact.
#if !defined(HFT_USE_STRTOD) && !defined(__cpp_lib_to_chars)
#define HFT_USE_STRTOD
#endif
#ifdef HFT_USE_STRTOD
#include <locale.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif
#include <cstring>
#include <memory>
#include <new>
#endif

namespace hft {

enum class NumberStatus { OK, NOT_A_NUMBER, OUT_OF_RANGE };

// The parts of a number's text: (negative ? -1 : 1) * mantissa * 10^exponent where `exact`.
struct Decimal {
    std::uint64_t mantissa = 0;
    std::int64_t exponent = 0;
    std::int64_t magnitude = 0;  // 10^(magnitude-1) <= |value| < 10^magnitude, unless it is zero
    bool negative = false;
    bool integer = true;  // written without fraction and exponent
    bool exact = true;    // the mantissa holds all digits
    bool zero = true;
};

inline bool is_digit(char c) noexcept { return static_cast<unsigned char>(c - '0') < 10; }

// False if the text is no number.
inline bool scan_decimal(std::string_view text, Decimal* out) noexcept {
    // Bounds the exponent so that sums cannot overflow; no frame is long enough to make up for it.
    constexpr std::int64_t EXPONENT_LIMIT = 1'000'000'000'000;
    Decimal d;
    const char* p = text.data();
    const char* const end = p + text.size();
    const auto add = [&d](char c) noexcept {
        std::uint64_t next;
        const std::uint64_t digit = static_cast<std::uint64_t>(c - '0');
        if (__builtin_mul_overflow(d.mantissa, std::uint64_t{10}, &next) || __builtin_add_overflow(next, digit, &next)) {
            d.exact = false;
        } else if (d.exact) {
            d.mantissa = next;
        }
    };
    if (p != end && *p == '-') {
        d.negative = true;
        ++p;
    }
    const char* const digits = p;
    for (; p != end && is_digit(*p); ++p) {
        add(*p);
        if (d.zero && *p != '0') {
            d.zero = false;
            d.magnitude = digits - p;  // completed below by the number of digits
        }
    }
    const std::int64_t count = p - digits;
    if (count == 0 || (count > 1 && *digits == '0')) return false;
    if (!d.zero) d.magnitude += count;
    if (p != end && *p == '.') {
        d.integer = false;
        const char* const fraction = ++p;
        for (; p != end && is_digit(*p); ++p) {
            add(*p);
            if (d.zero && *p != '0') {
                d.zero = false;
                d.magnitude = fraction - p;
            }
        }
        if (p == fraction) return false;
        d.exponent = fraction - p;
    }
    if (p != end && (*p == 'e' || *p == 'E')) {
        d.integer = false;
        ++p;
        const bool minus = p != end && *p == '-';
        if (p != end && (*p == '-' || *p == '+')) ++p;
        const char* const first = p;
        std::int64_t power = 0;
        for (; p != end && is_digit(*p); ++p) {
            if (power < EXPONENT_LIMIT) power = power * 10 + (*p - '0');
        }
        if (p == first) return false;
        d.exponent += minus ? -power : power;
        d.magnitude += minus ? -power : power;
    }
    if (p != end) return false;
    *out = d;
    return true;
}

// The double nearest to a number's text, which is one by `scan_decimal`. False if none is near: too large, or too small.
inline bool round_decimal(std::string_view text, double* out) noexcept {
#ifdef HFT_USE_STRTOD
    // strtod wants an end, and obeys the process's locale if it is not given another one. It is kept for ever.
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
    char inside[128];
    std::unique_ptr<char[]> outside;
    char* copy = inside;
    if (text.size() >= sizeof inside) {
        outside.reset(new (std::nothrow) char[text.size() + 1]);
        if (outside == nullptr) {
            *out = HUGE_VAL;  // no memory for so many digits: refused as what cannot be held
            return true;
        }
        copy = outside.get();
    }
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    *out = strtod_l(copy, nullptr, plain);
    return std::isfinite(*out) && *out != 0.0;
#else
    const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), *out);
    return result.ec == std::errc{};
#endif
}

inline NumberStatus parse_double(std::string_view text, double* out) noexcept {
    static constexpr double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    Decimal d;
    if (!scan_decimal(text, &d)) return NumberStatus::NOT_A_NUMBER;
    double value = 0.0;
    if (d.zero) {
        *out = d.negative ? -0.0 : 0.0;
        return NumberStatus::OK;
    }
    // Both operands are exact doubles, so one operation rounds correctly. Source: Clinger, PLDI 1990.
    if (d.exact && d.mantissa <= (std::uint64_t{1} << 53) && d.exponent >= -22 && d.exponent <= 22) {
        value = static_cast<double>(d.mantissa);
        value = d.exponent < 0 ? value / POWERS[-d.exponent] : value * POWERS[d.exponent];
        *out = d.negative ? -value : value;
        return NumberStatus::OK;
    }
    if (!round_decimal(text, &value)) {
        if (d.magnitude > 0) return NumberStatus::OUT_OF_RANGE;
        value = d.negative ? -0.0 : 0.0;  // too small: float() gives zero
    }
    if (!std::isfinite(value)) return NumberStatus::OUT_OF_RANGE;
    *out = value;
    return NumberStatus::OK;
}

// A whole number of 64 bits without sign, fraction and exponent.
inline NumberStatus parse_unsigned(std::string_view text, std::uint64_t* out) noexcept {
    Decimal d;
    if (!scan_decimal(text, &d) || !d.integer || d.negative) return NumberStatus::NOT_A_NUMBER;
    if (!d.exact) return NumberStatus::OUT_OF_RANGE;
    *out = d.mantissa;
    return NumberStatus::OK;
}

}  // namespace hft
