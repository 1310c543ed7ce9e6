// Eight or sixteen bytes of text at a time: digits, plain strings, literals. For scan.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

// Eight bytes from `p`, NUL from `end` on. At least eight must stand before `end`.
HFT_INLINE std::uint64_t load8_within(const char* p, const char* end) noexcept {
    const std::ptrdiff_t left = end - p;
    if (__builtin_expect(left >= 8, 1)) return load8(p);
    return left <= 0 ? 0 : load8(end - 8) >> (8 * (8 - left));
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

// 10^k, in the numbers' own types.
constexpr std::uint64_t POWERS[] = {1,       10,        100,        1'000,       10'000,
                                    100'000, 1'000'000, 10'000'000, 100'000'000};
constexpr double DOUBLE_POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
constexpr std::uint64_t ZEROS = ONES * '0';

template <std::size_t N>
HFT_INLINE bool same(const char* p, const char* literal) noexcept {
    if constexpr (N == 0) {
        return true;
    } else if constexpr (N >= 8) {
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

#if defined(__SSE2__)

// Bit i is set where byte i is a digit.
HFT_INLINE unsigned digits16(const char* p) noexcept {
    const __m128i values = _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8('0'));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values)));
}

// The same, and in the upper half of the result where a byte is a point.
HFT_INLINE unsigned digits_and_points16(const char* p) noexcept {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i values = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    const unsigned digits =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values)));
    return digits | static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')))) << 16;
}

// p + count, for 1 <= count <= 16. What follows need not wait for `count`, which takes some twenty cycles to know: it is
// guessed as every branch is, and fields of one feed mostly have the length that they had before.
HFT_INLINE const char* guessed(const char* p, int count) noexcept {
#define HFT_GUESS(n)                \
    case n:                         \
        p += n;                     \
        asm volatile("" : "+r"(p)); \
        break;
    switch (count) {
        HFT_GUESS(1)
        HFT_GUESS(2)
        HFT_GUESS(3)
        HFT_GUESS(4)
        HFT_GUESS(5)
        HFT_GUESS(6)
        HFT_GUESS(7)
        HFT_GUESS(8)
        HFT_GUESS(9)
        HFT_GUESS(10)
        HFT_GUESS(11)
        HFT_GUESS(12)
        HFT_GUESS(13)
        HFT_GUESS(14)
        HFT_GUESS(15)
        HFT_GUESS(16)
        default:
            __builtin_unreachable();
    }
#undef HFT_GUESS
    return p;
}

// Index of the first byte that is none, 16 if all are digits.
HFT_INLINE int first_unset(unsigned mask) noexcept { return __builtin_ctz(~mask); }

// Bit i is set where byte i ends a plain string, or may not stand in one. Bytes above 0x7f are negative, thus too small.
HFT_INLINE unsigned not_plain16(__m128i bytes) noexcept {
    const __m128i plain = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x1f));
    const __m128i special =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(special, plain))) ^ 0xffffu;
}

// Two numbers at once, each of 1 to 8 digits that end their word: the first in the lower half of the result.
HFT_INLINE std::uint64_t two_numbers(std::uint64_t first, std::uint64_t second) noexcept {
    const __m128i digits = _mm_set_epi64x(static_cast<long long>(second), static_cast<long long>(first));
    const __m128i tens = _mm_and_si128(digits, _mm_set1_epi16(0xff));
    const __m128i pairs = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)), _mm_srli_epi16(digits, 8));
    const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
    const __m128i packed = _mm_packs_epi32(fours, fours);
    const __m128i eights = _mm_madd_epi16(packed, _mm_set1_epi32(1 << 16 | 10'000));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
}

// Four numbers at once, of which each two are as in `two_numbers`: the first of a pair in the lower half of its result.
struct FourNumbers {
    std::uint64_t first, second;
};

HFT_INLINE __m128i fours_of(__m128i digits) noexcept {
    const __m128i tens = _mm_and_si128(digits, _mm_set1_epi16(0xff));
    const __m128i pairs = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)), _mm_srli_epi16(digits, 8));
    return _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
}

HFT_INLINE FourNumbers four_numbers(__m128i first, __m128i second) noexcept {
    const __m128i packed = _mm_packs_epi32(fours_of(first), fours_of(second));
    const __m128i eights = _mm_madd_epi16(packed, _mm_set1_epi32(1 << 16 | 10'000));
    return {static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights)),
            static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(eights, eights)))};
}

// Loaded from `count`: keeps the last `count` of sixteen bytes.
alignas(32) constexpr unsigned char KEEP_LAST[32] = {0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
                                                     0,   0,   0,   0,   0,   255, 255, 255, 255, 255, 255,
                                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

// The number of the `count` (1 to 15) digits that end before `p`. Sixteen bytes before `p` are read.
HFT_INLINE std::uint64_t number_before(const char* p, int count) noexcept {
    const __m128i text = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p - 16)), _mm_set1_epi8('0'));
    const __m128i kept = _mm_loadu_si128(reinterpret_cast<const __m128i*>(KEEP_LAST + count));
    const __m128i fours = fours_of(_mm_and_si128(text, kept));
    const __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10'000));
    const auto halves = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
    return (halves & 0xffffffff) * 100'000'000 + (halves >> 32);
}

// The number of `whole` digits before a point and `places` behind it, 1 to 8 each and 15 at most in all: an exact double,
// as 10^places is one, so the one operation rounds correctly. Source: Clinger, PLDI 1990.
HFT_INLINE double decimal(std::uint64_t before, int whole, std::uint64_t behind, int places) noexcept {
    const std::uint64_t numbers =
        two_numbers((before ^ ZEROS) << (64 - 8 * whole), (behind ^ ZEROS) << (64 - 8 * places));
    const std::uint64_t mantissa = (numbers & 0xffffffff) * POWERS[places] + (numbers >> 32);
    return static_cast<double>(static_cast<std::int64_t>(mantissa)) / DOUBLE_POWERS[places];
}

#endif

}  // namespace swar

}  // namespace hft
