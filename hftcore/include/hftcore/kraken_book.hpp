// Kraken spot, WebSocket v2 and v1: order books. Neither counts its frames: the checksum is the only proof.
// Source: Kraken API documentation, WebSocket v2 (book) and v1 (book).
#pragma once

#include "hftcore/book_batch.hpp"
#include "hftcore/kraken.hpp"

namespace hft::kraken {

inline void read_level_objects(const JsonTree& tree, const JsonNode& node, std::string_view name, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"price", "qty"};
    if (!node.is_array()) refuse(std::string(name) + " must be an array", node.text);
    for (const JsonNode* level = tree.first_child(node); level != tree.after(node); level = tree.after(*level)) {
        const Members<2> members(tree, *level, "a level", KEYS);
        add_level(members.get(0), members.get(1), batch);
    }
}

inline void read_checksum(const JsonNode* node, BookUpdate* update) {
    if (node == nullptr || node->type == JsonType::NIL) return;
    std::uint64_t value;
    if ((!node->is_number() && !node->is_string()) || parse_unsigned(node->text, &value) != NumberStatus::OK ||
        value > UINT32_MAX) {
        refuse("checksum must be a whole number of 32 bits", node->text);
    }
    update->checksum = static_cast<std::uint32_t>(value);
    update->hasChecksum = true;
    update->checksumKind = CHECKSUM_KRAKEN;
}

inline void read_book(const JsonTree& tree, const JsonNode& node, bool snapshot, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"symbol", "bids", "asks", "checksum", "timestamp"};
    const Members<5> members(tree, node, "a book", KEYS);
    BookUpdate& update = batch->add(read_symbol(members.get(0)));
    update.snapshot = snapshot;
    read_level_objects(tree, members.get(1), KEYS[1], batch);
    update.bidsEnd = update.asksBegin = batch->levels.size();
    read_level_objects(tree, members.get(2), KEYS[2], batch);
    update.asksEnd = batch->levels.size();
    read_checksum(members.find(3), &update);
    update.exchangeTimeNs = read_timestamp(members.find(4));
}

inline FrameKind read_book_object(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"channel", "type", "data", "method", "event"};
    const Members<5> members(tree, root, "a frame", KEYS);
    const JsonNode* const channel = members.find(0);
    if (members.find(3) != nullptr || members.find(4) != nullptr || channel == nullptr || !channel->is("book")) {
        return FRAME_OTHER;
    }
    const JsonNode& type = members.get(1);
    const bool snapshot = type.is("snapshot");
    if (!snapshot && !type.is("update")) refuse("type must be snapshot or update", type.text);
    const JsonNode& data = members.get(2);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* entry = tree.first_child(data); entry != tree.after(data); entry = tree.after(*entry)) {
        read_book(tree, *entry, snapshot, batch);
    }
    return FRAME_EVENTS;
}

// ["price", "volume", "seconds"], or with an "r" for a level that was sent before. Returns the time.
inline std::int64_t read_book_level_v1(const JsonTree& tree, const JsonNode& node, BookBatch* batch) {
    read_level_array(tree, node, 3, batch);
    const JsonNode& price = *tree.first_child(node);
    const JsonNode& time = *tree.after(*tree.after(price));
    std::int64_t ns;
    if ((!time.is_string() && !time.is_number()) || !ns_from_seconds(time.text, &ns)) {
        refuse("time must be seconds that fit 64 bits of nanoseconds", time.text);
    }
    return ns;
}

// One side of all payloads. A payload has it under the key of a snapshot or that of an update.
inline void read_book_side_v1(const JsonTree& tree, const JsonNode& first, const JsonNode& end, std::size_t index,
                              BookUpdate* update, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"as", "bs", "a", "b"};
    for (const JsonNode* payload = &first; payload != &end; payload = tree.after(*payload)) {
        const Members<4> members(tree, *payload, "a book", KEYS);
        for (const std::size_t at : {index, index + 2}) {
            const JsonNode* const levels = members.find(at);
            if (levels == nullptr) continue;
            if (!levels->is_array()) refuse(std::string(KEYS[at]) + " must be an array", levels->text);
            for (const JsonNode* level = tree.first_child(*levels); level != tree.after(*levels);
                 level = tree.after(*level)) {
                const std::int64_t ns = read_book_level_v1(tree, *level, batch);
                // The youngest level tells when the update was made; a deletion may be older than what it shows again.
                if (ns > update->exchangeTimeNs) update->exchangeTimeNs = ns;
            }
        }
    }
}

// [channelID, payload, "book-1000", "XBT/USD"]; an update of both sides may come in two payloads.
inline FrameKind read_book_array(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"as", "bs", "a", "b", "c"};
    const std::size_t count = tree.child_count(root);
    if (count < 3) return FRAME_OTHER;
    const JsonNode& id = *tree.first_child(root);
    const JsonNode* channel = &id;
    for (std::size_t i = 0; i + 2 < count; ++i) channel = tree.after(*channel);
    if (!channel->is_string() || (channel->text != "book" && channel->text.substr(0, 5) != "book-")) return FRAME_OTHER;
    if (count > 5 || count < 4) refuse("a frame must have 4 or 5 elements", std::to_string(count));
    if (!id.is_number()) refuse("a channel id must be a number", id.text);
    BookUpdate& update = batch->add(read_symbol(*tree.after(*channel)));
    const JsonNode& first = *tree.after(id);
    bool asks = false, bids = false, delta = false;
    for (const JsonNode* payload = &first; payload != channel; payload = tree.after(*payload)) {
        const Members<5> members(tree, *payload, "a book", KEYS);
        asks |= members.find(0) != nullptr;
        bids |= members.find(1) != nullptr;
        delta |= members.find(2) != nullptr || members.find(3) != nullptr;
        // Where an update comes in two, the checksum stands in the last and is that of both.
        read_checksum(members.find(4), &update);
    }
    // A snapshot has both sides, be they empty: one that is absent is not known.
    if (asks != bids || asks == delta) refuse("a book must have levels under as and bs, or under a and b", channel->text);
    update.snapshot = asks;
    read_book_side_v1(tree, first, *channel, 1, &update, batch);
    update.bidsEnd = update.asksBegin = batch->levels.size();
    read_book_side_v1(tree, first, *channel, 0, &update, batch);
    update.asksEnd = batch->levels.size();
    return FRAME_EVENTS;
}

// FRAME_OTHER for all that is no book.
inline FrameKind read_book_frame(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    if (root.is_object()) return read_book_object(tree, root, batch);
    return root.is_array() ? read_book_array(tree, root, batch) : FRAME_OTHER;
}

}  // namespace hft::kraken
