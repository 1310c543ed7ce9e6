// Decimal texts of an order book: exact comparison, zero, and the store of texts that are not plain (book_form.hpp).
// Every text is a number by number.hpp (`scan_decimal`) that is not negative; nothing here checks that again.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "hftcore/book_level.hpp"
#include "hftcore/number.hpp"

namespace hft {

// Whether the number is exactly zero: a volume of 1e-400 is zero as a double, but not gone.
inline bool is_zero_text(std::string_view text) noexcept {
    if (text.size() >= 10 && text.size() <= 16) {
        std::uint64_t first, last;
        std::memcpy(&first, text.data(), 8);
        std::memcpy(&last, text.data() + text.size() - 8, 8);
        std::uint64_t zeros_first, zeros_last;
        std::memcpy(&zeros_first, "0.000000", 8);
        std::memcpy(&zeros_last, "00000000", 8);
        if (first == zeros_first && last == zeros_last) return true;
    }
    for (const char c : text) {
        if (c >= '1' && c <= '9') return false;
        if ((c | 0x20) == 'e') return true;
    }
    return true;
}

// The significant digits of a number, one after the other, and where its point stands.
class DigitStream {
public:
    explicit DigitStream(std::string_view text) noexcept : at_(text.data()), end_(text.data() + text.size()) {
        Decimal decimal;
        scan_decimal(text, &decimal);
        zero_ = decimal.zero;
        magnitude_ = decimal.magnitude;
        while (at_ != end_ && (*at_ == '0' || *at_ == '.')) ++at_;
    }

    bool zero() const noexcept { return zero_; }
    std::int64_t magnitude() const noexcept { return magnitude_; }

    // The next digit, zeros without end after the last one.
    int next() noexcept {
        if (at_ != end_ && *at_ == '.') ++at_;
        if (ended()) return 0;
        return *at_++ - '0';
    }
    bool ended() const noexcept { return at_ == end_ || !is_digit(*at_); }
    bool more() noexcept {
        if (at_ != end_ && *at_ == '.') ++at_;
        return !ended();
    }

private:
    const char* at_;
    const char* end_;
    std::int64_t magnitude_;
    bool zero_;
};

// -1, 0, 1: the exact values, whatever their spelling. Exponents count up to 10^12.
inline int compare_exactly(std::string_view left, std::string_view right) noexcept {
    if (left == right) return 0;
    DigitStream a(left), b(right);
    if (a.zero() || b.zero()) return a.zero() == b.zero() ? 0 : a.zero() ? -1 : 1;
    if (a.magnitude() != b.magnitude()) return a.magnitude() < b.magnitude() ? -1 : 1;
    while (a.more() || b.more()) {
        const int x = a.next(), y = b.next();
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

// hot path: begin

// Copies what is mostly 1 to 32 bytes without calling memcpy.
inline void copy_text(char* to, const char* from, std::size_t size) noexcept {
    if (size >= 8 && size <= 16) {
        std::uint64_t first, last;
        std::memcpy(&first, from, 8);
        std::memcpy(&last, from + size - 8, 8);
        std::memcpy(to, &first, 8);
        std::memcpy(to + size - 8, &last, 8);
    } else if (size >= 4 && size < 8) {
        std::uint32_t first, last;
        std::memcpy(&first, from, 4);
        std::memcpy(&last, from + size - 4, 4);
        std::memcpy(to, &first, 4);
        std::memcpy(to + size - 4, &last, 4);
    } else if (size > 16) {
        std::memcpy(to, from, size);
    } else {
        for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
    }
}
// hot path: end

// The texts of a level that are not plain (book_form.hpp): one cache line, which holds numbers of up to 60 characters
// together, and points to longer ones.
//   offset  field
//        0  priceSize    u8, 255: the texts are outside
//        1  volumeSize   u8
//        2  reserved     u16
//        4  inside       60 bytes: price, volume
//    or  8  outside      pointer to price and volume; sizes at 16 and 20 (u32)
struct alignas(64) StoredText {
    static constexpr std::size_t ROOM = 60;
    static constexpr std::uint8_t OUTSIDE = 255;

    struct Outside {
        std::uint32_t unused;
        char* text;
        std::uint32_t priceSize;
        std::uint32_t volumeSize;
    };

    std::uint8_t priceSize;
    std::uint8_t volumeSize;
    std::uint16_t reserved;
    char inside[ROOM];

    bool is_outside() const noexcept { return priceSize == OUTSIDE; }

    Outside outside() const noexcept {
        Outside value;
        std::memcpy(&value, this, sizeof value);
        return value;
    }

    std::string_view price() const noexcept {
        if (__builtin_expect(is_outside(), 0)) return {outside().text, outside().priceSize};
        return {inside, priceSize};
    }

    std::string_view volume() const noexcept {
        if (__builtin_expect(is_outside(), 0)) return {outside().text + outside().priceSize, outside().volumeSize};
        return {inside + priceSize, volumeSize};
    }

    // Of a cell that holds nothing outside. False: no memory, and the cell is as it was.
    bool set(const Lexeme& price, const Lexeme& volume) noexcept {
        if (__builtin_expect(price.size + volume.size > ROOM, 0)) return set_outside(price, volume);
        priceSize = static_cast<std::uint8_t>(price.size);
        volumeSize = static_cast<std::uint8_t>(volume.size);
        copy_text(inside, price.data, price.size);
        copy_text(inside + price.size, volume.data, volume.size);
        return true;
    }

    // Of a cell whose texts are outside.
    void release() noexcept { std::free(outside().text); }

private:
    bool set_outside(const Lexeme& price, const Lexeme& volume) noexcept {
        Outside value{};
        value.text = static_cast<char*>(std::malloc(price.size + volume.size));
        if (value.text == nullptr) return false;
        std::memcpy(value.text, price.data, price.size);
        std::memcpy(value.text + price.size, volume.data, volume.size);
        value.priceSize = price.size;
        value.volumeSize = volume.size;
        std::memcpy(static_cast<void*>(this), &value, sizeof value);
        priceSize = OUTSIDE;
        return true;
    }
};
static_assert(sizeof(StoredText) == 64 && offsetof(StoredText, inside) == 4);
static_assert(sizeof(StoredText::Outside) == 24 && offsetof(StoredText::Outside, text) == 8);

// The texts of one level as they came: its own copy of plain ones, else a view of the level's cell, which is valid until
// the book's next update.
class LevelText {
public:
    LevelText() noexcept = default;
    explicit LevelText(const StoredText* cell) noexcept : cell_(cell) {}
    LevelText(double price, TextForm priceForm, double volume, TextForm volumeForm) noexcept
        : priceSize_(static_cast<std::uint8_t>(write_plain(price_, price, priceForm))),
          volumeSize_(static_cast<std::uint8_t>(write_plain(volume_, volume, volumeForm))) {}

    std::string_view price() const noexcept { return cell_ != nullptr ? cell_->price() : std::string_view(price_, priceSize_); }
    std::string_view volume() const noexcept {
        return cell_ != nullptr ? cell_->volume() : std::string_view(volume_, volumeSize_);
    }

private:
    const StoredText* cell_ = nullptr;
    std::uint8_t priceSize_ = 0;
    std::uint8_t volumeSize_ = 0;
    char price_[PLAIN_ROOM];
    char volume_[PLAIN_ROOM];
};

}  // namespace hft
