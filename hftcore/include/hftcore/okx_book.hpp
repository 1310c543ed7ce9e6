// OKX v5: the channels books, books-l2-tbt, books50-l2-tbt (snapshot, then updates that name the one before), books5 and
// bbo-tbt (each frame is a whole small book). A level is price, size, "0" and the number of orders: one with less than four
// lacks one of them, and which is not to be seen. A checksum of 0 is none: the venue retired it in June 2026.
// Source: OKX API documentation v5, order book channel.
#pragma once

#include "hftcore/book_batch.hpp"
#include "hftcore/okx.hpp"

namespace hft::okx {

// A whole number that may be negative.
inline std::int64_t read_signed(const JsonNode& node, std::string_view name) {
    std::string_view text = node.text;
    const bool negative = !text.empty() && text.front() == '-';
    if (negative) text.remove_prefix(1);
    std::uint64_t value;
    if ((!node.is_number() && !node.is_string()) || parse_unsigned(text, &value) != NumberStatus::OK || value > INT64_MAX) {
        refuse(std::string(name) + " must be a whole number of 63 bits", node.text);
    }
    return negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

inline void read_book(const JsonTree& tree, const JsonNode& node, std::string_view symbol, bool snapshot,
                      BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"asks", "bids", "ts", "checksum", "prevSeqId", "seqId"};
    const Members<6> members(tree, node, "a book", KEYS);
    BookUpdate& update = batch->add(symbol);
    update.snapshot = snapshot;
    read_level_arrays(tree, members.get(1), KEYS[1], 4, batch);
    update.bidsEnd = update.asksBegin = batch->levels.size();
    read_level_arrays(tree, members.get(0), KEYS[0], 4, batch);
    update.asksEnd = batch->levels.size();
    update.exchangeTimeNs = read_time(members.get(2));
    if (const JsonNode* const checksum = members.find(3)) {
        const std::int64_t value = read_signed(*checksum, KEYS[3]);
        if (value < INT32_MIN || value > INT32_MAX) refuse("checksum must be a signed number of 32 bits", checksum->text);
        update.checksum = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
        update.hasChecksum = value != 0;
        if (update.hasChecksum) update.checksumKind = CHECKSUM_OKX;
    }
    if (const JsonNode* const previous = members.find(4)) {
        // -1: there is none before a snapshot.
        const std::int64_t value = read_signed(*previous, KEYS[4]);
        if (value < -1) refuse("prevSeqId must not be below -1", previous->text);
        update.hasPrevSeq = value >= 0;
        if (update.hasPrevSeq) update.prevSeq = static_cast<std::uint64_t>(value);
    }
    if (members.find(5) != nullptr) {
        update.firstSeq = update.lastSeq = read_sequence(*members.find(5), KEYS[5]);
        update.hasSeq = true;
    }
}

// FRAME_OTHER for all that is no book.
inline FrameKind read_book_frame(const JsonTree& tree, const JsonNode& root, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"arg", "action", "data", "event", "op"};
    static constexpr std::string_view ARG_KEYS[] = {"channel", "instId"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<5> members(tree, root, "a frame", KEYS);
    if (members.find(3) != nullptr || members.find(4) != nullptr || members.find(0) == nullptr) return FRAME_OTHER;
    const Members<2> arg(tree, *members.find(0), "arg", ARG_KEYS);
    const JsonNode& channel = arg.get(0);
    const bool whole = channel.is("books5") || channel.is("bbo-tbt");
    if (!whole && !(channel.is_string() && channel.text.substr(0, 5) == "books")) return FRAME_OTHER;
    const std::string_view symbol = read_symbol(arg.get(1));
    bool snapshot = true;
    if (const JsonNode* const action = members.find(1); action != nullptr && !whole) {
        snapshot = action->is("snapshot");
        if (!snapshot && !action->is("update")) refuse("action must be snapshot or update", action->text);
    } else if (!whole) {
        members.get(1);
    }
    const JsonNode& data = members.get(2);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* entry = tree.first_child(data); entry != tree.after(data); entry = tree.after(*entry)) {
        read_book(tree, *entry, symbol, snapshot, batch);
    }
    return FRAME_EVENTS;
}

}  // namespace hft::okx
