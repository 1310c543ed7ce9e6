// Kraken Futures: book_snapshot, then one frame for each level; `seq` counts by one per product.
// Source: Kraken documentation, Futures WebSocket (book).
#pragma once

#include "hftcore/book_batch.hpp"
#include "hftcore/kraken_book.hpp"
#include "hftcore/kraken_futures.hpp"

namespace hft::kraken_futures {

inline void read_book_snapshot(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "timestamp", "seq", "bids", "asks"};
    const Members<5> members(tree, root, "a book_snapshot", KEYS);
    BookUpdate& update = batch->add(read_symbol(members.get(0)));
    update.snapshot = true;
    update.exchangeTimeNs = read_time(members.find(1));
    update.firstSeq = update.lastSeq = read_sequence(members.get(2), KEYS[2]);
    update.hasSeq = true;
    kraken::read_level_objects(tree, members.get(3), KEYS[3], batch);
    update.bidsEnd = update.asksBegin = batch->levels.size();
    kraken::read_level_objects(tree, members.get(4), KEYS[4], batch);
    update.asksEnd = batch->levels.size();
}

inline void read_book_level(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "side", "seq", "price", "qty", "timestamp"};
    const Members<6> members(tree, root, "a book", KEYS);
    BookUpdate& update = batch->add(read_symbol(members.get(0)));
    const JsonNode& side = members.get(1);
    const bool bid = side.is("buy");
    if (!bid && !side.is("sell")) refuse("side must be buy or sell", side.text);
    update.firstSeq = update.lastSeq = read_sequence(members.get(2), KEYS[2]);
    update.hasSeq = true;
    add_level(members.get(3), members.get(4), batch);
    update.asksEnd = batch->levels.size();
    update.bidsEnd = update.asksBegin = bid ? update.asksEnd : update.bidsBegin;
    update.exchangeTimeNs = read_time(members.find(5));
}

// FRAME_OTHER for all that is no book.
inline FrameKind read_book_frame(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"event", "feed"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<2> members(tree, root, "a frame", KEYS);
    const JsonNode* const feed = members.find(1);
    if (members.find(0) != nullptr || feed == nullptr) return FRAME_OTHER;
    if (feed->is("book")) {
        read_book_level(tree, root, batch);
    } else if (feed->is("book_snapshot")) {
        read_book_snapshot(tree, root, batch);
    } else {
        return FRAME_OTHER;
    }
    return FRAME_EVENTS;
}

}  // namespace hft::kraken_futures
