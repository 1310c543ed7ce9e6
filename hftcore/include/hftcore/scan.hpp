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

#include "hftcore/scan_slow.hpp"
#include "hftcore/short_symbols.hpp"
#include "hftcore/words.hpp"

namespace hft {

#if defined(__SSE2__)
// Loaded from 16 - n: n bytes to keep, and as many to clear as fill sixteen.
alignas(32) constexpr unsigned char KEEP[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                255, 255, 255, 255, 255, 255, 255, 255};
#endif

// hot path: begin
class Scan {
public:
    static constexpr std::size_t MIN_BYTES = 16;

    // `size` must be at least MIN_BYTES.
    Scan(const char* data, std::size_t size) noexcept : p_(data), end_(data + size) {}

    bool at_end() const noexcept { return p_ == end_; }
    const char* at() const noexcept { return p_; }
    const char* end() const noexcept { return end_; }
    std::ptrdiff_t left() const noexcept { return end_ - p_; }
    // Goes on to `p`, which is not behind `end()`.
    HFT_INLINE void move_to(const char* p) noexcept { p_ = p; }

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
                p_ = swar::guessed(p_, count);
                return true;
            }
            if (count < 16) {
                const std::uint64_t numbers = swar::two_numbers(
                    swar::load8(p_) ^ swar::ZEROS, (swar::load8(p_ + 8) ^ swar::ZEROS) << (128 - 8 * count));
                *value = (numbers & 0xffffffff) * swar::POWERS[count - 8] + (numbers >> 32);
                p_ = swar::guessed(p_, count);
                return true;
            }
        }
#endif
        return moved_to(any_whole(p_, end_, value));
    }

    // A whole number without sign that nobody asked for, of at most 19 digits.
    HFT_INLINE bool skip_whole() noexcept {
#if defined(__SSE2__)
        if (left() >= 16) {
            const int count = swar::first_unset(swar::digits16(p_));
            if (static_cast<unsigned>(count - 1) < 15 && !((count > 1) & (*p_ == '0'))) {
                p_ += count;
                return true;
            }
        }
#endif
        std::uint64_t value;
        return moved_to(any_whole(p_, end_, &value));
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
                    p_ = swar::guessed(p_, whole);
                    return true;
                }
                const int places = swar::first_unset(digits >> (whole + 1));
                if (places == 0) return false;
                if (whole + places < 15) {
                    p_ = swar::guessed(p_, whole + 1 + places);
                    return true;
                }
            }
        }
#endif
        return moved_to(skip_any_number(p_, end_));
    }

    // The same in any of JSON's spellings: of any length, with or without an exponent.
    HFT_INLINE bool skip_real() noexcept {
#if defined(__SSE2__)
        const char* p = p_ + (p_ != end_ && *p_ == '-');
        const std::ptrdiff_t behind = end_ - p;
        if (behind == 0) return false;
        unsigned marks;
        if (behind >= 16) {
            marks = swar::digits_and_points16(p);
        } else {
            // The sixteen bytes that end with the frame, without those before the number.
            const unsigned all = swar::digits_and_points16(end_ - 16);
            const unsigned before = static_cast<unsigned>(16 - behind);
            marks = (all & 0xffff) >> before | all >> (16 + before) << 16;
        }
        const unsigned both = (marks | marks >> 16) & 0xffff;
        const int size = swar::first_unset(both);
        if (size != 0 && size < 16) {
            // One point at most, neither first nor last.
            const unsigned points = marks >> 16 & ((1u << size) - 1);
            if ((points & (points - 1)) != 0 || (points & (1u | 1u << (size - 1))) != 0) return false;
            if (*p == '0' && size > 1 && points != 2) return false;
            p = swar::guessed(p, size);
            if (p == end_ || (*p | 0x20) != 'e') {
                p_ = p;
                return true;
            }
            return moved_to(skip_exponent(p + 1, end_));
        }
        // A sign, two times the sixteen bytes that are looked at, and the point between.
        if (size == 16 && behind >= 34) {
            const int whole = swar::first_unset(marks & 0xffff);
            if (whole == 0 || (whole > 1 && *p == '0')) return false;
            if (whole < 16) {
                p = swar::guessed(p, whole) + 1;
                const int places = swar::first_unset(swar::digits16(p));
                if (places == 0) return false;
                p = swar::guessed(p, places);
                if ((*p | 0x20) == 'e') return moved_to(skip_exponent(p + 1, end_));
                // Where there are more digits, what follows is one.
                if (!is_digit(*p)) {
                    p_ = p;
                    return true;
                }
            }
        }
#endif
        return moved_to(skip_any_real(p_, end_));
    }

    // The rest of a plain string with its closing quote.
    HFT_INLINE bool skip_string() noexcept {
#if defined(__SSE2__)
        while (left() >= 16) {
            const unsigned stops = swar::not_plain16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p_)));
            if (stops != 0) {
                p_ = swar::guessed(p_, __builtin_ctz(stops) + 1);
                return p_[-1] == '"';
            }
            p_ += 16;
        }
#endif
        return moved_to(skip_any_string(p_, end_));
    }

    // The same where it mostly is a UUID.
    HFT_INLINE bool skip_uuid() noexcept {
#if defined(__SSE2__)
        if (left() >= 48 && p_[36] == '"') {
            const __m128i* const at = reinterpret_cast<const __m128i*>(p_);
            const unsigned stops = swar::not_plain16(_mm_loadu_si128(at)) | swar::not_plain16(_mm_loadu_si128(at + 1)) |
                                   (swar::not_plain16(_mm_loadu_si128(at + 2)) & 0xf);
            if (stops == 0) {
                p_ += 37;
                return true;
            }
        }
#endif
        return skip_string();
    }

    // The rest of a plain string of 1 to 32 bytes with its closing quote.
    HFT_INLINE bool short_string(ShortText* text) noexcept {
#if defined(__SSE2__)
        if (left() >= 16) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p_));
            const unsigned stops = swar::not_plain16(bytes);
            if (stops != 0) {
                const int count = __builtin_ctz(stops);
                keep(bytes, count, text->words);
                text->words[2] = text->words[3] = 0;
                p_ = swar::guessed(p_, count + 1);
                return p_[-1] == '"' && count != 0;
            }
            if (left() >= 32) {
                const __m128i more = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p_ + 16));
                if (const unsigned later = swar::not_plain16(more); later != 0) {
                    const int count = __builtin_ctz(later);
                    _mm_storeu_si128(reinterpret_cast<__m128i*>(text->words), bytes);
                    keep(more, count, text->words + 2);
                    p_ += 16 + count + 1;
                    return p_[-1] == '"';
                }
            }
        }
#endif
        return moved_to(any_short_string(p_, end_, text));
    }

    // The same where it mostly has `size` bytes, which are fewer than 16 then, or 0: what follows need not wait for them.
    HFT_INLINE bool short_string_of(std::size_t size, ShortText* text) noexcept {
#if defined(__SSE2__)
        if (size != 0 && left() >= 16 && p_[size] == '"') {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p_));
            if ((swar::not_plain16(bytes) & ((1u << size) - 1)) == 0) {
                keep(bytes, static_cast<int>(size), text->words);
                text->words[2] = text->words[3] = 0;
                p_ += size + 1;
                return true;
            }
        }
#endif
        return short_string(text);
    }

    // The same where it mostly is all but the frame's last `behind` bytes, the closing quote among them. Sixteen bytes of
    // the frame must stand before that quote.
    HFT_INLINE bool last_string(std::ptrdiff_t behind, ShortText* text) noexcept {
#if defined(__SSE2__)
        const std::ptrdiff_t size = left() - behind;
        if (static_cast<std::size_t>(size - 1) < 15 && p_[size] == '"') {
            const char* const from = p_ + size - 16;
            const unsigned stops = swar::not_plain16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
            if (stops >> (16 - size) == 0) {
                unsigned __int128 bytes;
                std::memcpy(&bytes, from, 16);
                bytes >>= 8 * (16 - size);
                text->words[0] = static_cast<std::uint64_t>(bytes);
                text->words[1] = static_cast<std::uint64_t>(bytes >> 64);
                text->words[2] = text->words[3] = 0;
                p_ += size + 1;
                return true;
            }
        }
#endif
        return short_string(text);
    }

    // A price or a volume, not negative, and what must follow it: `next` begins with the closing quote of one that is
    // QUOTED, and may be empty where the amount is bare. `told`, where it is given, is left as it is or becomes the number
    // of digits behind the point of an amount that has at most 15 in all.
    template <bool QUOTED, std::size_t N>
    HFT_INLINE bool amount(double* out, const char (&next)[N], int* told = nullptr) noexcept {
        static_assert(N > 1 || !QUOTED, "a closing quote must follow");
#if defined(__SSE2__)
        // The longest that is read here, what follows it, and the eight bytes that may be loaded from its last one.
        if (left() >= static_cast<std::ptrdiff_t>(17 + N + 8)) {
            const unsigned digits = swar::digits16(p_);
            const int whole = swar::first_unset(digits);
            if (whole > 1 && *p_ == '0') return false;
            if (static_cast<unsigned>(whole - 1) < 8) {
                if (p_[whole] == '.') {
                    const int places = swar::first_unset(digits >> (whole + 1));
                    const int size = whole + 1 + places;
                    // Sixteen bytes were looked at, so that there are 15 digits at most.
                    if (static_cast<unsigned>(places - 1) < 8 && follows<QUOTED>(p_ + size, next)) {
                        *out = swar::decimal(swar::load8(p_), whole, swar::load8(p_ + whole + 1), places);
                        if (told != nullptr) *told = places;
                        p_ = swar::guessed(p_, size) + (N - 1);
                        return true;
                    }
                } else if (follows<QUOTED>(p_ + whole, next)) {
                    *out = static_cast<double>(static_cast<std::int64_t>(
                        swar::number_of(swar::load8(p_) ^ swar::ZEROS, whole)));
                    if (told != nullptr) *told = 0;
                    p_ = swar::guessed(p_, whole) + (N - 1);
                    return true;
                }
            }
        }
#endif
        return moved_to(any_amount<QUOTED>(p_, end_, out)) && literal(next);
    }

    // The rest of a string with its closing quote: RFC 3339 as the venue writes it, "2026-03-01T12:30:45.123456Z".
    HFT_INLINE bool timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
        if (left() >= 28 && minute->holds(p_)) {
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
        return moved_to(any_timestamp(p_, end_, minute, ns));
    }

    // The same with one to nine digits of fraction: "2026-08-09T21:06:12.591505938Z".
    HFT_INLINE bool fine_timestamp(MinuteCache* minute, std::int64_t* ns) noexcept {
#if defined(__SSE2__)
        if (left() >= 36 && minute->holds(p_)) {
            const unsigned tens = static_cast<unsigned char>(p_[17] - '0');
            const unsigned ones = static_cast<unsigned char>(p_[18] - '0');
            const int places = swar::first_unset(swar::digits16(p_ + 20));
            if (tens < 6 && ones < 10 && p_[16] == ':' && p_[19] == '.' && static_cast<unsigned>(places - 1) < 9 &&
                p_[20 + places] == 'Z' && p_[21 + places] == '"') {
                const std::uint64_t digits = swar::load8(p_ + 20) ^ swar::ZEROS;
                const std::uint64_t fraction =
                    places == 9 ? swar::number_of(digits, 8) * 10 + static_cast<std::uint64_t>(p_[28] - '0')
                                : swar::number_of(digits, places) * swar::POWERS[9 - places];
                *ns = minute->ns + static_cast<std::int64_t>((tens * 10 + ones) * std::uint64_t{NS_PER_SECOND} + fraction);
                p_ = swar::guessed(p_ + 20, places) + 2;
                return true;
            }
        }
#endif
        return moved_to(any_timestamp(p_, end_, minute, ns));
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
        return moved_to(any_seconds(p_, end_, ns));
    }

private:
#if defined(__SSE2__)
    // The first `count` of sixteen bytes, and NUL.
    static HFT_INLINE void keep(__m128i bytes, int count, std::uint64_t* words) noexcept {
        const __m128i kept = _mm_loadu_si128(reinterpret_cast<const __m128i*>(KEEP + 16 - count));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(words), _mm_and_si128(bytes, kept));
    }
#endif

    template <bool QUOTED, std::size_t N>
    static HFT_INLINE bool follows(const char* p, const char (&next)[N]) noexcept {
        if constexpr (N == 1) return ends_amount<QUOTED>(*p);
        return swar::same<N - 1>(p, next);
    }

    // Keeps the cursor in a register: the readers below are not told where it is kept.
    HFT_INLINE bool moved_to(const char* p) noexcept {
        p_ = p;
        return p != nullptr;
    }

    const char* p_;
    const char* end_;
};
// hot path: end

}  // namespace hft
