// CRC-32 of ISO 3309 (polynomial 0xEDB88320 reflected), as zlib's crc32(): eight bytes at a time by tables, and put
// together from the values of pieces.
// Source of the tables: M. Kounavis, F. Berry, "A systematic approach to building high performance CRC generators", 2005.
//
// A piece that is followed by n bytes counts as its value times x^(8n), modulo the polynomial; the sum of all pieces is
// that of the whole (zlib's crc32_combine says the same). The products are added up before they are reduced: one
// multiplication without carries for each piece, one reduction for all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <wmmintrin.h>
#endif

namespace hft {

constexpr std::uint32_t CRC32_POLYNOMIAL = 0xEDB88320u;

struct Crc32Tables {
    std::uint32_t at[8][256];

    constexpr Crc32Tables() noexcept : at{} {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint32_t value = byte;
            for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? CRC32_POLYNOMIAL : 0u);
            at[0][byte] = value;
        }
        for (int table = 1; table < 8; ++table) {
            for (std::uint32_t byte = 0; byte < 256; ++byte) {
                at[table][byte] = (at[table - 1][byte] >> 8) ^ at[0][at[table - 1][byte] & 255];
            }
        }
    }
};

inline constexpr Crc32Tables CRC32_TABLES{};

// x^(8n - 33) modulo the polynomial, for n bytes that follow: 32 less for what `crc32_reduced` adds, and one for a
// product of two reflected numbers, which is one bit too far up.
struct Crc32Shifts {
    static constexpr std::size_t COUNT = 1024;
    std::uint32_t at[COUNT];

    constexpr Crc32Shifts() noexcept : at{} {
        std::uint32_t value = 0x80000000u;
        for (int bit = 0; bit < 33; ++bit) {
            value = value & 0x80000000u ? (value ^ CRC32_POLYNOMIAL) << 1 | 1u : value << 1;
        }
        for (std::size_t n = 0; n < COUNT; ++n) {
            at[n] = value;
            for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? CRC32_POLYNOMIAL : 0u);
        }
    }
};

inline constexpr Crc32Shifts CRC32_SHIFTS{};

// hot path: begin

// Goes on from `crc`, the value of what stands before; 0 at the beginning.
inline std::uint32_t crc32(std::uint32_t crc, const char* text, std::size_t size) noexcept {
    const auto& at = CRC32_TABLES.at;
    const auto* p = reinterpret_cast<const unsigned char*>(text);
    crc = ~crc;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; size >= 8; size -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        word ^= crc;
        crc = at[7][word & 255] ^ at[6][(word >> 8) & 255] ^ at[5][(word >> 16) & 255] ^ at[4][(word >> 24) & 255] ^
              at[3][(word >> 32) & 255] ^ at[2][(word >> 40) & 255] ^ at[1][(word >> 48) & 255] ^ at[0][word >> 56];
    }
    if (size >= 4) {
        std::uint32_t word;
        std::memcpy(&word, p, 4);
        word ^= crc;
        crc = at[3][word & 255] ^ at[2][(word >> 8) & 255] ^ at[1][(word >> 16) & 255] ^ at[0][word >> 24];
        size -= 4;
        p += 4;
    }
#endif
    for (; size != 0; --size, ++p) crc = (crc >> 8) ^ at[0][(crc ^ *p) & 255];
    return ~crc;
}

// A polynomial of 64 bits times x^32, modulo the polynomial.
inline std::uint32_t crc32_reduced(std::uint64_t word) noexcept {
    const auto& at = CRC32_TABLES.at;
    return at[7][word & 255] ^ at[6][(word >> 8) & 255] ^ at[5][(word >> 16) & 255] ^ at[4][(word >> 24) & 255] ^
           at[3][(word >> 32) & 255] ^ at[2][(word >> 40) & 255] ^ at[1][(word >> 48) & 255] ^ at[0][word >> 56];
}

// The product without carries, by numbers whose bits stand far enough apart that the carries cannot meet them.
// Source of the method: T. Pornin, BearSSL, "ghash_ctmul".
inline std::uint64_t product_of(std::uint32_t a, std::uint32_t b) noexcept {
    constexpr std::uint64_t EVERY_FOURTH = 0x1111111111111111ull;
    std::uint64_t x[4], y[4], product = 0;
    for (int i = 0; i < 4; ++i) {
        x[i] = a & EVERY_FOURTH << i;
        y[i] = b & EVERY_FOURTH << i;
    }
    for (int i = 0; i < 4; ++i) {
        std::uint64_t sum = 0;
        for (int j = 0; j < 4; ++j) sum ^= x[j] * y[(i - j) & 3];
        product |= sum & EVERY_FOURTH << i;
    }
    return product;
}

// A piece of a text.
struct Crc32Piece {
    std::uint32_t crc;
    std::uint32_t size;
};

// A piece that more bytes follow than there are shifts for.
inline std::uint32_t brought_near(std::uint32_t crc, std::size_t* after) noexcept {
    for (; *after >= Crc32Shifts::COUNT; *after -= Crc32Shifts::COUNT - 1) {
        crc = crc32_reduced(product_of(crc, CRC32_SHIFTS.at[Crc32Shifts::COUNT - 1]));
    }
    return crc;
}

inline std::uint32_t joined_by_tables(const Crc32Piece* pieces, std::size_t count) noexcept {
    std::uint64_t sum = 0;
    std::size_t behind = 0;
    for (std::size_t i = count; i-- > 0; behind += pieces[i].size) {
        std::size_t after = behind;
        const std::uint32_t crc = brought_near(pieces[i].crc, &after);
        sum ^= product_of(crc, CRC32_SHIFTS.at[after]);
    }
    return crc32_reduced(sum);
}

#if defined(__x86_64__)
__attribute__((target("pclmul"))) inline std::uint32_t joined_by_clmul(const Crc32Piece* pieces, std::size_t count) noexcept {
    __m128i sum = _mm_setzero_si128();
    std::size_t behind = 0;
    for (std::size_t i = count; i-- > 0; behind += pieces[i].size) {
        std::size_t after = behind;
        const std::uint32_t crc = brought_near(pieces[i].crc, &after);
        sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(_mm_cvtsi64_si128(crc), _mm_cvtsi64_si128(CRC32_SHIFTS.at[after]), 0));
    }
    return crc32_reduced(static_cast<std::uint64_t>(_mm_cvtsi128_si64(sum)));
}

inline const bool HAS_CLMUL = __builtin_cpu_supports("pclmul");
#endif

// The value of the text that the pieces are, one after the other.
inline std::uint32_t crc32_joined(const Crc32Piece* pieces, std::size_t count) noexcept {
#if defined(__x86_64__)
    if (__builtin_expect(HAS_CLMUL, 1)) return joined_by_clmul(pieces, count);
#endif
    return joined_by_tables(pieces, count);
}
// hot path: end

}  // namespace hft
