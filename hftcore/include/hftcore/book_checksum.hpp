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

// What one level adds to a checksum.
struct LevelSum {
    BookRow row;
    Crc32Piece piece;
};

// What the best levels of one side add, kept from one time to the next: only levels that are new or changed are read.
class SideSums {
public:
    const Crc32Piece& piece(std::size_t rank) const noexcept { return sums_[rank].piece; }
    std::size_t count() const noexcept { return count_; }
    void forget() noexcept { count_ = 0; }

    // `from`: the best rank that may have changed.
    template <typename Ladder, typename Read>
    void renew(const Ladder& ladder, std::size_t from, std::size_t limit, Read read) noexcept {
        const std::size_t count = ladder.size() < limit ? ladder.size() : limit;
        if (from > count_) from = count_;
        const std::size_t knownCount = count_ - from;
        LevelSum known[OKX_CHECKSUM_LEVELS];
        for (std::size_t i = 0; i < knownCount; ++i) known[i] = sums_[from + i];
        std::size_t next = 0;
        for (std::size_t rank = from; rank < count; ++rank) {
            const BookRow& row = ladder.rows()[rank];
            while (next < knownCount && Ladder::before(known[next].row.price, row.price)) ++next;
            if (next < knownCount && same(known[next].row, row)) {
                sums_[rank] = known[next++];
            } else {
                sums_[rank] = {row, read(row)};
            }
        }
        count_ = count;
    }

private:
    // Texts that are not plain may have changed where the row has not.
    static bool same(const BookRow& a, const BookRow& b) noexcept {
        std::uint64_t x[2], y[2];
        std::memcpy(x, &a, sizeof x);
        std::memcpy(y, &b, sizeof y);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a.texts == b.texts && a.texts.are_plain();
    }

    LevelSum sums_[OKX_CHECKSUM_LEVELS];
    std::size_t count_ = 0;
};

inline Crc32Piece piece_of(const char* text, std::size_t size) noexcept {
    return {crc32(0, text, size), static_cast<std::uint32_t>(size)};
}

// A book's checksum by one venue's rule at a time.
class BookSums {
public:
    // All levels are read anew.
    void forget() noexcept { rule_ = NONE; }

    template <typename Bids, typename Asks>
    std::uint32_t kraken(Bids& bids, Asks& asks, BookDecimals decimals) noexcept {
        const std::size_t bidsFrom = bids.take_touched(), asksFrom = asks.take_touched();
        if (begin(KRAKEN) || bidsFrom < KRAKEN_CHECKSUM_LEVELS || asksFrom < KRAKEN_CHECKSUM_LEVELS) {
            asks_.renew(asks, asksFrom, KRAKEN_CHECKSUM_LEVELS,
                        [&](const BookRow& row) noexcept { return digits_of(asks, row, decimals); });
            bids_.renew(bids, bidsFrom, KRAKEN_CHECKSUM_LEVELS,
                        [&](const BookRow& row) noexcept { return digits_of(bids, row, decimals); });
            Crc32Piece pieces[2 * KRAKEN_CHECKSUM_LEVELS];
            std::size_t count = 0;
            for (std::size_t rank = 0; rank < asks_.count(); ++rank) pieces[count++] = asks_.piece(rank);
            for (std::size_t rank = 0; rank < bids_.count(); ++rank) pieces[count++] = bids_.piece(rank);
            value_ = crc32_joined(pieces, count);
        }
        return value_;
    }

    template <typename Bids, typename Asks>
    std::int32_t okx(Bids& bids, Asks& asks) noexcept {
        const std::size_t bidsFrom = bids.take_touched(), asksFrom = asks.take_touched();
        if (begin(OKX) || bidsFrom < OKX_CHECKSUM_LEVELS || asksFrom < OKX_CHECKSUM_LEVELS) {
            asks_.renew(asks, asksFrom, OKX_CHECKSUM_LEVELS, [&](const BookRow& row) noexcept { return texts_of(asks, row); });
            bids_.renew(bids, bidsFrom, OKX_CHECKSUM_LEVELS, [&](const BookRow& row) noexcept { return texts_of(bids, row); });
            // Each piece begins with a colon. The first one's is none of the text's: a piece of that size takes it out.
            Crc32Piece pieces[2 * OKX_CHECKSUM_LEVELS];
            std::size_t count = 0, size = 0;
            for (std::size_t rank = 0; rank < OKX_CHECKSUM_LEVELS; ++rank) {
                if (rank < bids_.count()) size += (pieces[count++] = bids_.piece(rank)).size;
                if (rank < asks_.count()) size += (pieces[count++] = asks_.piece(rank)).size;
            }
            value_ = 0;
            if (count != 0) {
                const Crc32Piece colon[] = {piece_of(":", 1), {0, static_cast<std::uint32_t>(size - 1)}};
                value_ = crc32_joined(pieces, count) ^ crc32_joined(colon, 2);
            }
        }
        return static_cast<std::int32_t>(value_);
    }

private:
    enum Rule : std::uint8_t { NONE, KRAKEN, OKX };

    // True if nothing is known yet.
    bool begin(Rule rule) noexcept {
        if (__builtin_expect(rule_ == rule, 1)) return false;
        rule_ = rule;
        asks_.forget();
        bids_.forget();
        return true;
    }

    template <typename Ladder>
    static Crc32Piece digits_of(const Ladder& ladder, const BookRow& row, BookDecimals decimals) noexcept {
        if (__builtin_expect(row.texts.are_plain() && decimals.price == AS_WRITTEN && decimals.volume == AS_WRITTEN, 1)) {
            char digits[2 * PLAIN_ROOM];
            std::size_t size = write_plain_digits(digits, row.price, row.texts.price_form());
            size += write_plain_digits(digits + size, row.volume, row.texts.volume_form());
            return piece_of(digits, size);
        }
        char digits[2 * (MAX_LEXEME + MAX_ZEROS)];
        const LevelText text = ladder.text_of(row);
        std::size_t size = write_digits(digits, text.price(), decimals.price);
        size += write_digits(digits + size, text.volume(), decimals.volume);
        return piece_of(digits, size);
    }

    template <typename Ladder>
    static Crc32Piece texts_of(const Ladder& ladder, const BookRow& row) noexcept {
        const LevelText text = ladder.text_of(row);
        const std::string_view price = text.price(), volume = text.volume();
        std::uint32_t crc = crc32(crc32(0, ":", 1), price.data(), price.size());
        crc = crc32(crc32(crc, ":", 1), volume.data(), volume.size());
        return {crc, static_cast<std::uint32_t>(price.size() + volume.size() + 2)};
    }

    SideSums bids_, asks_;
    std::uint32_t value_ = 0;
    Rule rule_ = NONE;
};
// hot path: end

}  // namespace hft
