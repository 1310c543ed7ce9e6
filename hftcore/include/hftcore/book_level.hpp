// What every part of an order book shares: the levels as a venue writes them, states, results, counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hftcore/book_form.hpp"

namespace hft {

enum BookSide : std::uint8_t { BOOK_BID = 0, BOOK_ASK = 1 };

// The venue's own digits, unquoted: a view into the frame.
struct Lexeme {
    const char* data;
    std::uint32_t size;
    TextForm form = FORM_UNKNOWN;  // who has read the number may know it

    std::string_view view() const noexcept { return {data, size}; }
};

// One level as it came. The texts are numbers by number.hpp without '-', and the doubles are theirs.
// A volume of zero: the level is gone.
struct BookLevel {
    double price;
    double volume;
    Lexeme priceText;
    Lexeme volumeText;
};

enum BookState : std::uint8_t {
    BOOK_INVALID = 0,  // not what the venue has: before the first snapshot, or after a loss
    BOOK_VALID = 1,
};

// What became of an update. Refused: nothing of it was applied, and the book is as it was before.
enum BookStatus : std::uint8_t {
    BOOK_APPLIED = 0,
    BOOK_TEXT_TOO_LONG = 1,  // a number of more than MAX_LEXEME characters
    BOOK_TOO_DEEP = 2,       // the update could bring a side above MAX_BOOK_LEVELS
    BOOK_NO_MEMORY = 3,      // refused; the book was emptied and is invalid
};

// A number longer than this is no price and no volume; a level with numbers of more than 60 characters together costs
// an allocation.
constexpr std::uint32_t MAX_LEXEME = 1024;
constexpr std::size_t MAX_BOOK_LEVELS = std::size_t{1} << 20;

struct BookCounters {
    std::uint64_t updates;         // applied, snapshots included
    std::uint64_t snapshots;       // of them
    std::uint64_t inserted;        // levels that were not there (those of snapshots included)
    std::uint64_t changed;         // levels that were there and got a volume
    std::uint64_t removed;         // levels that were there and got the volume zero
    std::uint64_t unknownRemoved;  // levels that were not there and got the volume zero
    std::uint64_t truncated;       // levels that fell out below the depth
    std::uint64_t refused;         // updates that were not applied
};

// What an order that takes from one side would meet.
struct BookFill {
    double volume;       // of the levels taken, the last one perhaps in part
    double value;        // price times volume of them; value / volume is the mean price
    double worstPrice;   // of the last level that it takes from; 0 if none
    std::size_t levels;  // from which it takes
    bool complete;       // false: the side does not hold as much
};

}  // namespace hft
