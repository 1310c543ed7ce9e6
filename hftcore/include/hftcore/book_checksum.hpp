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
    void add(std::string_view piece) noexcept {
        if (__builtin_expect(size_ + piece.size() > sizeof text_, 0)) flush();
        copy_text(text_ + size_, piece.data(), piece.size());
        size_ += piece.size();
    }

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

// Goes on from `crc` with the digits of one level, which its cell keeps where they have room.
inline std::uint32_t add_digits(std::uint32_t crc, LevelText& cell, BookDecimals decimals) noexcept {
    if (__builtin_expect(cell.digitsSize != 0, 1)) {
        return crc32(crc, cell.inside + cell.priceSize + cell.volumeSize, cell.digitsSize);
    }
    char digits[2 * (MAX_LEXEME + MAX_ZEROS)];
    std::size_t size = write_digits(digits, cell.price(), decimals.price);
    size += write_digits(digits + size, cell.volume(), decimals.volume);
    if (!cell.is_outside()) {
        const std::size_t used = std::size_t{cell.priceSize} + cell.volumeSize;
        if (used + size <= LevelText::ROOM) {
            copy_text(cell.inside + used, digits, size);
            cell.digitsSize = static_cast<std::uint8_t>(size);
        }
    }
    return crc32(crc, digits, size);
}

// Kraken's checksum, which begins where the book has changed since it was made before: each step's value is kept.
class KrakenChecksum {
public:
    template <typename Bids, typename Asks>
    std::uint32_t value(Bids& bids, Asks& asks, BookDecimals decimals) noexcept {
        const std::size_t askTouched = asks.take_touched(), bidTouched = bids.take_touched();
        const std::uint32_t before = go_on(asks, askTouched, afterAsk_, decimals);
        const bool same = before == afterBid_[0];
        afterBid_[0] = before;
        return go_on(bids, same ? bidTouched : 0, afterBid_, decimals);
    }

private:
    template <typename Ladder>
    static std::uint32_t go_on(Ladder& ladder, std::size_t touched, std::uint32_t* after, BookDecimals decimals) noexcept {
        const std::size_t count = ladder.size() < KRAKEN_CHECKSUM_LEVELS ? ladder.size() : KRAKEN_CHECKSUM_LEVELS;
        for (std::size_t rank = touched; rank < count; ++rank) {
            after[rank + 1] = add_digits(after[rank], ladder.text(rank), decimals);
        }
        return after[count];
    }

    std::uint32_t afterAsk_[KRAKEN_CHECKSUM_LEVELS + 1] = {};  // after so many levels
    std::uint32_t afterBid_[KRAKEN_CHECKSUM_LEVELS + 1] = {};
};

template <typename Bids, typename Asks>
std::int32_t checksum_okx(const Bids& bids, const Asks& asks) noexcept {
    ChecksumText sum;
    std::string_view colon{};  // none before the first
    const auto add = [&](const LevelText& cell) noexcept {
        sum.add(colon);
        colon = ":";
        sum.add(cell.price());
        sum.add(colon);
        sum.add(cell.volume());
    };
    for (std::size_t rank = 0; rank < OKX_CHECKSUM_LEVELS; ++rank) {
        if (rank < bids.size()) add(bids.text(rank));
        if (rank < asks.size()) add(asks.text(rank));
    }
    return static_cast<std::int32_t>(sum.value());
}
// hot path: end

}  // namespace hft
