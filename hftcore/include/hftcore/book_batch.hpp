// What one frame brought for order books: updates, their levels with the venue's own digits, and how amounts are read.
//
// Lexemes and spellings are views into the frame or the tree: valid until the next frame is read. Readers throw Malformed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hftcore/book_level.hpp"
#include "hftcore/book_symbols.hpp"
#include "hftcore/event_batch.hpp"

namespace hft {

// How a venue's CRC is to be made (book_checksum.hpp).
enum BookChecksum : std::uint8_t { CHECKSUM_NONE = 0, CHECKSUM_KRAKEN = 1, CHECKSUM_OKX = 2 };

// One symbol's levels, absolute volumes, in the venue's order. What the venue does not say is 0.
struct BookUpdate {
    std::int64_t exchangeTimeNs;  // when it was published
    std::int64_t localTimeNs;
    std::uint64_t firstSeq;  // of the changes that it holds: Binance U
    std::uint64_t lastSeq;   // Binance u and lastUpdateId, OKX seqId, Kraken Futures seq
    std::uint64_t prevSeq;   // Binance USD-M pu, OKX prevSeqId; where `hasPrevSeq`
    std::uint32_t checksum;  // where `checksumKind` is one; OKX's is the bits of a signed number
    bool hasChecksum;
    bool hasPrevSeq;
    bool hasSeq;    // `lastSeq` is one
    bool snapshot;  // the whole book, or as much of it as was asked for
    BookChecksum checksumKind;
    std::uint8_t exchange;
    bool deep;  // the levels of `target` do not stand in its own memory
    std::int32_t symbol;
    std::size_t bidsBegin, bidsEnd, asksBegin, asksEnd;  // in BookBatch::levels
    void* target;  // what `BookDecoder::attach` named; nullptr: nobody keeps a book of the symbol

    std::size_t bid_count() const noexcept { return bidsEnd - bidsBegin; }
    std::size_t ask_count() const noexcept { return asksEnd - asksBegin; }
};

struct BookBatch {
    Refilled<BookUpdate> updates;
    Refilled<BookLevel> levels;
    Refilled<BookLevel> asks;  // of templates whose frames mix the sides, until the bids are all there
    Refilled<Spelling> natives;  // parallel to `updates`
    BookSymbols symbols;
    std::int64_t localTimeNs = 0;
    std::uint8_t exchange = 0;
    // Of the frame itself, where a venue counts all frames of a connection (Coinbase Advanced): also of those that bring
    // no book.
    std::uint64_t frameSeq = 0;
    std::int64_t frameTimeNs = 0;
    bool hasFrameSeq = false;

    void clear() noexcept {
        updates.clear();
        levels.clear();
        natives.clear();
        hasFrameSeq = false;
        frameSeq = 0;
        frameTimeNs = 0;
    }

    // The reference is valid until the next `add`.
    BookUpdate& add(std::string_view native) {
        natives.append() = {native, {}};
        return begin();
    }

    // A spelling that is held here, for readers without a tree.
    BookUpdate& add(const ShortText& native, std::int32_t symbol) {
        Spelling& spelling = natives.append();
        spelling.outside = {};
        spelling.inside = native;
        BookUpdate& update = begin();
        update.symbol = symbol;
        if (native.words[0] != 0) know(symbols.find(native), &update);
        return update;
    }

    // Number and target of what an update's spelling means.
    static void know(const BookSymbols::Known& known, BookUpdate* update) noexcept {
        update->symbol = known.id;
        update->target = known.target;
        update->deep = known.deep && known.target != nullptr;
    }

private:
    BookUpdate& begin() {
        BookUpdate& update = updates.append();
        update = {};
        update.localTimeNs = localTimeNs;
        update.exchange = exchange;
        update.symbol = -1;
        update.bidsBegin = update.bidsEnd = update.asksBegin = update.asksEnd = levels.size();
        return update;
    }
};

// A price or a volume with its digits, which must be no more than a book takes.
inline double read_digits_of(const JsonNode& node, std::string_view name, Lexeme* text) {
    if (node.text.size() > MAX_LEXEME) refuse(std::string(name) + " must have at most 1024 characters", node.text);
    *text = {node.text.data(), static_cast<std::uint32_t>(node.text.size())};
    return read_amount(node, name);
}

inline void add_level(const JsonNode& price, const JsonNode& volume, BookBatch* batch) {
    BookLevel& level = batch->levels.append();
    level.price = read_digits_of(price, "price", &level.priceText);
    level.volume = read_digits_of(volume, "volume", &level.volumeText);
}

// ["price", "volume", …], with `least` elements or more.
inline void read_level_array(const JsonTree& tree, const JsonNode& node, std::size_t least, BookBatch* batch) {
    if (!node.is_array()) refuse("a level must be an array", node.text);
    const JsonNode* const price = tree.first_child(node);
    std::size_t count = 0;
    for (const JsonNode* child = price; child != tree.after(node); child = tree.after(*child)) ++count;
    if (count < least) refuse("a level must have at least " + std::to_string(least) + " elements", std::to_string(count));
    add_level(*price, *tree.after(*price), batch);
}

inline void read_level_arrays(const JsonTree& tree, const JsonNode& node, std::string_view name, std::size_t least,
                              BookBatch* batch) {
    if (!node.is_array()) refuse(std::string(name) + " must be an array", node.text);
    for (const JsonNode* level = tree.first_child(node); level != tree.after(node); level = tree.after(*level)) {
        read_level_array(tree, *level, least, batch);
    }
}

}  // namespace hft
