// Coinbase: level2 of the Advanced Trade feed (whose frames say l2_data), and snapshot and l2update of the Exchange feed.
//
// Advanced Trade counts all frames of a connection, whatever their channel (BookBatch::frameSeq). The Exchange feed counts
// nothing here: a lost l2update leaves no trace.
// Source: Coinbase Developer Documentation, Advanced Trade WebSocket channels; Exchange WebSocket channels.
#pragma once

#include "hftcore/book_batch.hpp"
#include "hftcore/coinbase.hpp"

namespace hft::coinbase {

// 0 where the venue wrote the zero of its clock, as it does in snapshots.
inline std::int64_t read_book_time(const JsonNode* node, std::string_view name) {
    if (node != nullptr && node->is_string() && node->text.substr(0, 11) == "0001-01-01T") return 0;
    return read_time(node, name);
}

// The levels of one side, which the venue mixes with the other's.
inline void read_advanced_side(const JsonTree& tree, const JsonNode& entries, bool bids, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"side", "price_level", "new_quantity"};
    for (const JsonNode* entry = tree.first_child(entries); entry != tree.after(entries); entry = tree.after(*entry)) {
        const Members<3> members(tree, *entry, "an update", KEYS);
        const JsonNode& side = members.get(0);
        const bool is_bid = side.is("bid");
        if (!is_bid && !side.is("offer") && !side.is("ask")) refuse("side must be bid or offer", side.text);
        if (is_bid == bids) add_level(members.get(1), members.get(2), batch);
    }
}

inline void read_advanced_book(const JsonTree& tree, const JsonNode& event, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"type", "product_id", "updates"};
    const Members<3> members(tree, event, "an event", KEYS);
    const JsonNode& type = members.get(0);
    BookUpdate& update = batch->add(read_symbol(members.get(1)));
    update.snapshot = type.is("snapshot");
    if (!update.snapshot && !type.is("update")) refuse("type must be snapshot or update", type.text);
    const JsonNode& entries = members.get(2);
    if (!entries.is_array()) refuse("updates must be an array", entries.text);
    read_advanced_side(tree, entries, true, batch);
    update.bidsEnd = update.asksBegin = batch->levels.size();
    read_advanced_side(tree, entries, false, batch);
    update.asksEnd = batch->levels.size();
    update.exchangeTimeNs = batch->frameTimeNs;
    update.firstSeq = update.lastSeq = batch->frameSeq;
    update.hasSeq = batch->hasFrameSeq;
}

inline FrameKind read_advanced_book_frame(const JsonTree& tree, const JsonNode& root, const JsonNode& channel,
                                          BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"timestamp", "sequence_num", "events"};
    const Members<3> members(tree, root, "a frame", KEYS);
    if (members.find(1) != nullptr) {
        batch->frameTimeNs = read_book_time(members.find(0), KEYS[0]);
        batch->frameSeq = read_number(members.find(1), KEYS[1]);
        batch->hasFrameSeq = true;
    }
    if (!channel.is("l2_data")) return FRAME_OTHER;
    const JsonNode& events = members.get(2);
    if (!events.is_array()) refuse("events must be an array", events.text);
    for (const JsonNode* event = tree.first_child(events); event != tree.after(events); event = tree.after(*event)) {
        read_advanced_book(tree, *event, batch);
    }
    return FRAME_EVENTS;
}

// [["buy", "price", "size"], …]
inline void read_changes(const JsonTree& tree, const JsonNode& changes, bool bids, BookBatch* batch) {
    for (const JsonNode* change = tree.first_child(changes); change != tree.after(changes); change = tree.after(*change)) {
        if (!change->is_array() || tree.child_count(*change) < 3) refuse("a change must be an array of 3", change->text);
        const JsonNode& side = *tree.first_child(*change);
        if (!side.is("buy") && !side.is("sell")) refuse("side must be buy or sell", side.text);
        const JsonNode& price = *tree.after(side);
        if (side.is("buy") == bids) add_level(price, *tree.after(price), batch);
    }
}

inline FrameKind read_exchange_book(const JsonTree& tree, const JsonNode& root, bool snapshot, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "bids", "asks", "changes", "time"};
    const Members<5> members(tree, root, snapshot ? "a snapshot" : "an l2update", KEYS);
    BookUpdate& update = batch->add(read_symbol(members.get(0)));
    update.snapshot = snapshot;
    if (snapshot) {
        read_level_arrays(tree, members.get(1), KEYS[1], 2, batch);
    } else {
        const JsonNode& changes = members.get(3);
        if (!changes.is_array()) refuse("changes must be an array", changes.text);
        read_changes(tree, changes, true, batch);
    }
    update.bidsEnd = update.asksBegin = batch->levels.size();
    if (snapshot) {
        read_level_arrays(tree, members.get(2), KEYS[2], 2, batch);
    } else {
        read_changes(tree, members.get(3), false, batch);
    }
    update.asksEnd = batch->levels.size();
    update.exchangeTimeNs = read_book_time(members.find(4), KEYS[4]);
    return FRAME_EVENTS;
}

// FRAME_OTHER for all that is no book; its `frameSeq` counts all the same.
inline FrameKind read_book_frame(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"type", "channel"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<2> members(tree, root, "a frame", KEYS);
    const JsonNode* const type = members.find(0);
    const JsonNode* const channel = members.find(1);
    if (type == nullptr) {
        if (channel == nullptr || !channel->is_string()) return FRAME_OTHER;
        return read_advanced_book_frame(tree, root, *channel, batch);
    }
    // A recorded or replayed REST book has no `type`; level3 snapshots of full have none of these keys.
    if (type->is("snapshot")) return read_exchange_book(tree, root, true, batch);
    if (type->is("l2update")) return read_exchange_book(tree, root, false, batch);
    return FRAME_OTHER;
}

}  // namespace hft::coinbase
