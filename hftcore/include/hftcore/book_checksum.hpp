// The venues' checksums of an order book, over the digits as they were sent.
//
// Kraken, v1 and v2: CRC-32 of the ten best asks, then the ten best bids, best first; of each level the price, then the
// volume, without the point and without leading zeros. Source: Kraken API documentation, "Spot WebSocket book checksum".
// OKX: CRC-32 as a signed number of "bidPrice:bidVolume:askPrice:askVolume:…" of the 25 best levels; where one side has
// ended the other goes on. Source: OKX API documentation v5, "Checksum". (Since 2026 the venue sends 0 there.)
#pragma once

#include <cstdint>
#include <string_view>

#include "hftcore/book_crc32.hpp"
#include "hftcore/book_ladder.hpp"

namespace hft {

constexpr std::size_t KRAKEN_CHECKSUM_LEVELS = 10;
constexpr std::size_t OKX_CHECKSUM_LEVELS = 25;
constexpr int AS_WRITTEN = -1;

// A CRC over pieces of text, gathered so that it runs over many bytes at once.
class ChecksumText {
public:
    // Room for `size` more characters, at most MAX_LEXEME + 400 of them; to be told how many were written.
    char* begin(std::size_t size) noexcept {
        if (__builtin_expect(size_ + size > sizeof text_, 0)) flush();
        return text_ + size_;
    }
    void wrote(std::size_t size) noexcept { size_ += size; }

    void add(std::string_view piece) noexcept {
        copy_text(begin(piece.size()), piece.data(), piece.size());
        size_ += piece.size();
    }
    void add(char c) noexcept {
        *begin(1) = c;
        ++size_;
    }
    void drop_last() noexcept { --size_; }  // of what was added just now

    std::uint32_t value() noexcept {
        flush();
        return crc_;
    }

private:
    void flush() noexcept {
        crc_ = crc32(crc_, text_, size_);
        size_ = 0;
    }

    std::uint32_t crc_ = 0;
    std::size_t size_ = 0;
    char text_[2048];
};

// Most zeros that an exponent or the venue's decimals may bring: no finite double has more.
constexpr std::int64_t MAX_ZEROS = 330;

// The digits of a number without point and leading zeros, as Kraken's checksum wants them; at most text.size() + MAX_ZEROS.
// `decimals`: how many the venue writes, for lexemes that lost their zeros on the way; AS_WRITTEN: those that are there.
// An exponent is written out. Returns how many were written.
inline std::size_t write_digits(char* out, std::string_view text, int decimals) noexcept {
    char* to = out;
    std::int64_t places = 0;  // behind the point
    std::int64_t power = 0;
    bool point = false, digit = false;
    std::size_t i = 0;
    for (; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '.') {
            point = true;
            continue;
        }
        if (!is_digit(c)) break;
        places += point;
        digit |= c != '0';
        if (digit) *to++ = c;
    }
    if (to == out) return 0;
    if (__builtin_expect(i < text.size(), 0)) {
        const bool minus = text[i + 1] == '-';
        i += text[i + 1] == '-' || text[i + 1] == '+' ? 2 : 1;
        for (; i < text.size(); ++i) {
            if (power < 1'000'000) power = power * 10 + (text[i] - '0');
        }
        places -= minus ? -power : power;
    }
    std::int64_t zeros = places < 0 ? -places : 0;
    if (places < 0) places = 0;
    if (decimals > places) zeros += decimals - places;
    if (zeros > MAX_ZEROS) zeros = MAX_ZEROS;
    for (; zeros > 0; --zeros) *to++ = '0';
    // More than the venue writes: only zeros can be too many.
    for (; decimals >= 0 && places > decimals && to != out && to[-1] == '0'; --places) --to;
    return static_cast<std::size_t>(to - out);
}

// hot path: begin

struct BookDecimals {
    int price = AS_WRITTEN;
    int volume = AS_WRITTEN;
};

inline void add_digits(ChecksumText* sum, LevelText& cell, BookDecimals decimals) noexcept {
    if (__builtin_expect(cell.is_outside(), 0)) {
        sum->wrote(write_digits(sum->begin(MAX_LEXEME + MAX_ZEROS), cell.price(), decimals.price));
        sum->wrote(write_digits(sum->begin(MAX_LEXEME + MAX_ZEROS), cell.volume(), decimals.volume));
        return;
    }
    const std::size_t used = std::size_t{cell.priceSize} + cell.volumeSize;
    if (cell.digitsSize != 0) {
        sum->add({cell.inside + used, cell.digitsSize});
        return;
    }
    char* const out = sum->begin(2 * (LevelText::ROOM + MAX_ZEROS));
    std::size_t size = write_digits(out, cell.price(), decimals.price);
    size += write_digits(out + size, cell.volume(), decimals.volume);
    sum->wrote(size);
    if (used + size <= LevelText::ROOM) {
        copy_text(cell.inside + used, out, size);
        cell.digitsSize = static_cast<std::uint8_t>(size);
    }
}

template <typename Bids, typename Asks>
std::uint32_t checksum_kraken(Bids& bids, Asks& asks, BookDecimals decimals) noexcept {
    ChecksumText sum;
    const std::size_t askCount = asks.size() < KRAKEN_CHECKSUM_LEVELS ? asks.size() : KRAKEN_CHECKSUM_LEVELS;
    const std::size_t bidCount = bids.size() < KRAKEN_CHECKSUM_LEVELS ? bids.size() : KRAKEN_CHECKSUM_LEVELS;
    for (std::size_t rank = 0; rank < askCount; ++rank) add_digits(&sum, asks.text(rank), decimals);
    for (std::size_t rank = 0; rank < bidCount; ++rank) add_digits(&sum, bids.text(rank), decimals);
    return sum.value();
}

template <typename Bids, typename Asks>
std::int32_t checksum_okx(const Bids& bids, const Asks& asks) noexcept {
    ChecksumText sum;
    bool any = false;
    const auto add = [&](const LevelText& cell) noexcept {
        sum.add(cell.price());
        sum.add(':');
        sum.add(cell.volume());
        sum.add(':');
        any = true;
    };
    for (std::size_t rank = 0; rank < OKX_CHECKSUM_LEVELS; ++rank) {
        if (rank < bids.size()) add(bids.text(rank));
        if (rank < asks.size()) add(asks.text(rank));
    }
    if (any) sum.drop_last();
    return static_cast<std::int32_t>(sum.value());
}
// hot path: end

}  // namespace hft
