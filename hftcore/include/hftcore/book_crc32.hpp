// CRC-32 of ISO 3309 (polynomial 0xEDB88320 reflected), as zlib's crc32(): eight bytes at a time by tables.
// Source of the method: M. Kounavis, F. Berry, "A systematic approach to building high performance CRC generators", 2005.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hft {

struct Crc32Tables {
    std::uint32_t at[8][256];

    constexpr Crc32Tables() noexcept : at{} {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint32_t value = byte;
            for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0u);
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
// hot path: end

}  // namespace hft
