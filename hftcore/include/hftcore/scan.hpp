// A cursor over a frame of which the venue's usual spelling is expected, for the templates.
//
// Every reader says true and stands behind what it read, or says false: then the frame is the general path's to judge.
// A template may be as strict as it likes, but must never accept what the general path refuses or reads otherwise.
// Nothing outside the frame is ever touched: where fewer bytes are left than a reader looks at, a narrower one does it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hftcore/event_time.hpp"
#include "hftcore/number.hpp"
#include "hftcore/short_symbols.hpp"
#include "hftcore/words.hpp"

namespace hft {

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
        if (left() < static_cast<std::ptrdiff_t>(SIZE) || !swar::same<SIZE>(p_, text)) return false;
        p_ += SIZE;
        return true;
    }

    // One of two bytes; `is_first` tells which.
    HFT_INLINE bool either(char first, char second, bool* is_first) noexcept {
        if (p_ == end_ || (*p_ != first && *p_ != second)) return false;
        *is_first = *p_++ == first;
        return true;
    }

    // One lower-case letter of a set, bit 0 for 'a'.
    HFT_INLINE bool one_of(std::uint32_t letters) noexcept {
        if (p_ == end_) return false;
        const unsigned letter = static_cast<unsigned char>(*p_ - 'a');
        if (letter > 25 || (letters >> letter & 1) == 0) return false;
        ++p_;
        return true;
    }

    // true or false, unquoted.
    HFT_INLINE bool boolean(bool* value) noexcept {
        *value = literal("true");
        return *value || literal("false");
    }

    // A whole number without sign, of at most 19 digits.
    HFT_INLINE bool whole(std::uint64_t* value) noexcept {
#if defined(__SSE2__)
        if (left() >= 16) {
            const int count = swar::first_unset(swar::digits16(p_));
            if (count == 0 || (count > 1 && *p_ == '0')) return false;
            if (count <= 8) {
                *value = swar::number_of(swar::load8(p_) ^ swar::ZEROS, count);
                p_ += count;
                return true;
            }
            if (count < 16) {
                const std::uint64_t numbers = swar::two_numbers(
                    swar::load8(p_) ^ swar::ZEROS, (swar::load8(p_ + 8) ^ swar::ZEROS) << (128 - 8 * count));
                *value = (numbers & 0xffffffff) * swar::POWERS[count - 8] + (numbers >> 32);
                p_ += count;
                return true;
            }
        }
#endif
        return any_whole(value);
    }

    // A number that nobody asked for, with or without sign and fraction.
    HFT_INLINE bool skip_number() noexcept {
        if (p_ != end_ && *p_ == '-') ++p_;
#if defined(__SSE2__)
        if (left() >= 16) {
            const unsigned digits = swar::digits16(p_);
            const int whole = swar::first_unset(digits);
            if (whole == 0 || (whole > 1 && *p_ == '0')) return false;
            if (whole < 15) {
                if (p_[whole] != '.') {
                    p_ += whole;
                    return true;
                }
                const int places = swar::first_unset(digits >> (whole + 1));
                if (places == 0) return false;
                if (whole + places < 15) {
                    p_ += whole + 1 + places;
                    return true;
                }
            }
        }
#endif
        return skip_any_number();
    }

    // The rest of a plain string with its closing quote.
    HFT_INLINE bool skip_string() noexcept {
#if defined(__SSE2__)
        while (left() >= 16) {
            const unsigned stops = swar::not_plain16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p_)));
            if (stops != 0) {
                p_ += __builtin_ctz(stops);
                return *p_++ == '"';
            }
            p_ += 16;
        }
#endif
        return skip_any_string();
    }

    // The rest of a plain string of 1 to 16 bytes with its closing quote.
    HFT_INLINE bool short_string(ShortText* text) noexcept {
#if defined(__SSE2__)
        if (left() >= 16) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p_));
            const unsigned stops = swar::not_plain16(bytes);
            if (stops != 0) {
                const int count = __builtin_ctz(stops);
                const __m128i kept = _mm_loadu_si128(reinterpret_cast<const __m128i*>(KEEP + 16 - count));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(text), _mm_and_si128(bytes, kept));
                p_ += count;
                return *p_++ == '"' && count != 0;
            }
        }
#endif
        return any_short_string(text);
    }

    // A price or a volume, not negative: bare, or the rest of a string with its closing quote.
    template <bool QUOTED>
    HFT_INLINE bool amount(double* out) noexcept {
#if defined(__SSE2__)
        if (left() >= 16) {
            const unsigned digits = swar::digits16(p_);
            const int whole = swar::first_unset(digits);
            if (whole == 0 || (whole > 1 && *p_ == '0')) return false;
            if (whole <= 8) {
                const std::uint64_t first = (swar::load8(p_) ^ swar::ZEROS) << (64 - 8 * whole);
                if (p_[whole] == '.') {
                    const int places = swar::first_unset(digits >> (whole + 1));
                    const int size = whole + 1 + places;
                    // 14 digits at most are an exact double, and so is 10^places: the one operation rounds correctly.
                    // Source: Clinger, PLDI 1990.
                    if (places != 0 && places <= 8 && size < 16 && ends_amount<QUOTED>(p_[size])) {
                        const std::uint64_t second = (swar::load8_within(p_ + whole + 1, end_) ^ swar::ZEROS)
                                                     << (64 - 8 * places);
                        const std::uint64_t numbers = swar::two_numbers(first, second);
                        const std::uint64_t mantissa = (numbers & 0xffffffff) * swar::POWERS[places] + (numbers >> 32);
                        *out = static_cast<double>(static_cast<std::int64_t>(mantissa)) / swar::DOUBLE_POWERS[places];
                        p_ += size + QUOTED;
                        return true;
                    }
                } else if (ends_amount<QUOTED>(p_[whole])) {
                    *out = static_cast<double>(swar::number_of(swar::load8(p_) ^ swar::ZEROS, whole));
                    p_ += whole + QUOTED;
                    return true;
                }
            }
        }
#endif
        return any_amount<QUOTED>(out);
    }

    // The rest of a string with its closing quote: RFC 3339 as the venue writes it, "2026-03-01T12:30:45.123456Z".
    HFT_INLINE bool timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
        if (left() >= 28 && ShortText{swar::load8(p_), swar::load8(p_ + 8)} == minute->text) {
            const unsigned tens = static_cast<unsigned char>(p_[17] - '0');
            const unsigned ones = static_cast<unsigned char>(p_[18] - '0');
            const std::uint64_t fraction = swar::load8(p_ + 20) ^ swar::ZEROS;
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

    // The rest of a string with its closing quote: seconds and their fraction, mostly as in "1616333924.737428".
    HFT_INLINE bool seconds(std::int64_t* ns) noexcept {
        if (left() >= 19) {
            const std::uint64_t high = swar::load8(p_) ^ swar::ZEROS;
            const std::uint64_t low = swar::load8(p_ + 8) ^ swar::ZEROS;
            const std::uint64_t fraction = swar::load8(p_ + 11) ^ swar::ZEROS;
            if (swar::count_digits(high) == 8 && swar::count_digits(low) == 2 && p_[10] == '.' &&
                swar::count_digits(fraction) == 6 && p_[17] == '"') {
                const std::uint64_t whole = swar::number_of(high, 8) * 100 + swar::number_of(low, 2);
                const std::uint64_t us = whole * 1'000'000 + swar::number_of(fraction, 6);
                // Ten digits of seconds can exceed 64 bits of nanoseconds.
                if (us > INT64_MAX / 1'000) return false;
                *ns = static_cast<std::int64_t>(us * 1'000);
                p_ += 18;
                return true;
            }
        }
        return any_seconds(ns);
    }

private:
    // Loaded from 16 - n: n bytes to keep, and as many to clear as fill sixteen.
    alignas(32) static constexpr unsigned char KEEP[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                           255, 255, 255, 255, 255, 255, 255, 255};

    std::ptrdiff_t left() const noexcept { return end_ - p_; }

    template <bool QUOTED>
    static HFT_INLINE bool ends_amount(char c) noexcept {
        return QUOTED ? c == '"' : c == ',' || c == '}';
    }

    // The readers below take what is long or stands at the frame's end; all look at eight bytes or at single ones.

    std::uint64_t load(const char* p) const noexcept { return swar::load8_within(p, end_); }

    bool skip_digits() noexcept {
        const char* const start = p_;
        int count;
        do {
            count = swar::count_digits(load(p_) ^ swar::ZEROS);
            p_ += count;
        } while (count == 8);
        return p_ != start && (*start != '0' || p_ - start == 1);
    }

    __attribute__((noinline)) bool any_whole(std::uint64_t* value) noexcept {
        const char* const start = p_;
        if (!skip_digits() || p_ - start > 19) return false;
        std::uint64_t result = 0;
        for (const char* p = start; p != p_; ++p) result = result * 10 + static_cast<std::uint64_t>(*p - '0');
        *value = result;
        return true;
    }

    __attribute__((noinline)) bool skip_any_number() noexcept {
        if (!skip_digits()) return false;
        if (p_ == end_ || *p_ != '.') return true;
        const char* const fraction = ++p_;
        while (p_ != end_ && is_digit(*p_)) ++p_;
        return p_ != fraction;
    }

    __attribute__((noinline)) bool skip_any_string() noexcept {
        for (;;) {
            const int count = swar::first_marked(swar::not_plain(load(p_)));
            p_ += count;
            if (count != 8) return p_ < end_ && *p_++ == '"';
        }
    }

    __attribute__((noinline)) bool any_short_string(ShortText* text) noexcept {
        const char* const start = p_;
        if (!skip_any_string()) return false;
        const std::string_view view(start, static_cast<std::size_t>(p_ - 1 - start));
        if (view.empty() || view.size() > ShortText::MAX_BYTES) return false;
        *text = ShortText::of(view);
        return true;
    }

    template <bool QUOTED>
    __attribute__((noinline)) bool any_amount(double* out) noexcept {
        const std::uint64_t values = load(p_) ^ swar::ZEROS;
        const int count = swar::count_digits(values);
        if (count == 0 || (count > 1 && *p_ == '0')) return false;
        const char* p = p_ + count;
        std::uint64_t mantissa = swar::number_of(values, count);
        int places = 0;
        if (p < end_ && *p == '.') {
            const std::uint64_t fraction = load(++p) ^ swar::ZEROS;
            places = swar::count_digits(fraction);
            if (places == 0) return false;
            mantissa = mantissa * swar::POWERS[places] + swar::number_of(fraction, places);
            p += places;
        }
        // More digits, or an exponent, or a mantissa that is no exact double.
        if (p >= end_ || !ends_amount<QUOTED>(*p) || mantissa > std::uint64_t{1} << 53) return long_amount<QUOTED>(out);
        p_ = p + QUOTED;
        *out = static_cast<double>(mantissa) / swar::DOUBLE_POWERS[places];
        return true;
    }

    // Begins with a digit, so it is not negative.
    template <bool QUOTED>
    __attribute__((noinline)) bool long_amount(double* out) noexcept {
        const char* p = p_;
        while (p != end_ && (is_digit(*p) || *p == '.' || *p == 'e' || *p == 'E' || *p == '-' || *p == '+')) ++p;
        if (p == end_ || !ends_amount<QUOTED>(*p)) return false;
        if (parse_double({p_, static_cast<std::size_t>(p - p_)}, out) != NumberStatus::OK) return false;
        p_ = p + QUOTED;
        return true;
    }

    __attribute__((noinline)) bool any_timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
        const char* const start = p_;
        if (!skip_any_string()) return false;
        const std::string_view text(start, static_cast<std::size_t>(p_ - 1 - start));
        if (!ns_from_rfc3339(text, ns)) return false;
        // A minute of the distant future is not kept: its last second could overflow.
        if (text.back() == 'Z' && *ns >= 0 && *ns < INT64_MAX - 60 * NS_PER_SECOND) {
            minute->text = ShortText::of(text.substr(0, ShortText::MAX_BYTES));
            minute->ns = *ns - *ns % (60 * NS_PER_SECOND);
        }
        return true;
    }

    __attribute__((noinline)) bool any_seconds(std::int64_t* ns) noexcept {
        const char* const start = p_;
        return skip_any_string() && ns_from_seconds({start, static_cast<std::size_t>(p_ - 1 - start)}, ns);
    }

    const char* p_;
    const char* const end_;
};
// hot path: end

}  // namespace hft
