// Binance, spot, USD-M and COIN-M: diff depth, partial depth, and the depth snapshot of the REST API.
//
// A diff of the futures also says `pu`, the `u` of the one before. A partial depth is a whole (small) book: at the futures
// it looks like a diff, so that only the name of its stream tells; at the spot market only that name tells its symbol.
// Source: binance-spot-api-docs, web-socket-streams.md, rest-api.md; Binance derivatives documentation.
#pragma once

#include <cstdlib>
#include <initializer_list>

#include "hftcore/binance.hpp"
#include "hftcore/book_batch.hpp"

namespace hft::binance {

// "btcusdt@depth5", "btcusdt@depth20@100ms", and what recorders call a REST snapshot that they add: "btcusdt@depthSnapshot".
inline bool names_partial_depth(std::string_view stream) noexcept {
    const std::size_t at = stream.find("@depth");
    if (at == std::string_view::npos) return false;
    const std::string_view rest = stream.substr(at + 6);
    for (const std::string_view level : {"5", "10", "20", "Snapshot"}) {
        if (rest.substr(0, level.size()) == level && (rest.size() == level.size() || rest[level.size()] == '@')) return true;
    }
    return false;
}

// The symbol in a stream's name, in the upper case of the payloads. Empty if it does not fit.
inline ShortText symbol_of_stream(std::string_view stream) noexcept {
    ShortText text{};
    const std::string_view name = stream.substr(0, stream.find('@'));
    if (!ShortText::fits(name)) return text;
    text = ShortText::of(name);
    char* const bytes = reinterpret_cast<char*>(text.words);
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (bytes[i] >= 'a' && bytes[i] <= 'z') bytes[i] = static_cast<char>(bytes[i] - 'a' + 'A');
    }
    return text;
}

inline void read_sides(const JsonTree& tree, const JsonNode& bids, std::string_view bids_name, const JsonNode& asks,
                       std::string_view asks_name, BookUpdate* update, BookBatch* batch) {
    read_level_arrays(tree, bids, bids_name, 2, batch);
    update->bidsEnd = update->asksBegin = batch->levels.size();
    read_level_arrays(tree, asks, asks_name, 2, batch);
    update->asksEnd = batch->levels.size();
}

inline void read_depth_update(const JsonTree& tree, const JsonNode& node, bool partial, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"E", "T", "s", "U", "u", "pu", "b", "a"};
    const Members<8> members(tree, node, "a depthUpdate", KEYS);
    BookUpdate& update = batch->add(read_symbol(members.get(2)));
    update.snapshot = partial;
    if (members.find(1) != nullptr) update.exchangeTimeNs = read_time(*members.find(1), KEYS[1]);
    if (members.find(0) != nullptr) update.exchangeTimeNs = read_time(*members.find(0), KEYS[0]);
    update.firstSeq = read_sequence(members.get(3), KEYS[3]);
    update.lastSeq = read_sequence(members.get(4), KEYS[4]);
    update.hasSeq = true;
    if (update.firstSeq > update.lastSeq) refuse("U must not be above u", members.get(3).text);
    // A partial depth may say -1: there is none before.
    const JsonNode* const previous = members.find(5);
    if (previous != nullptr && !(previous->is_number() && previous->text == "-1")) {
        update.prevSeq = read_sequence(*previous, KEYS[5]);
        update.hasPrevSeq = true;
    }
    read_sides(tree, members.get(6), KEYS[6], members.get(7), KEYS[7], &update, batch);
}

// {"lastUpdateId", "bids", "asks"}, at the futures with E and T. `native`: whose it is, which only COIN-M says itself.
inline void read_depth(const JsonTree& tree, const JsonNode& node, const ShortText& native, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"lastUpdateId", "bids", "asks", "T", "E", "symbol"};
    const Members<6> members(tree, node, "a depth", KEYS);
    const JsonNode* const symbol = members.find(5);
    if (native.size() == 0 && symbol == nullptr) {
        refuse("a depth without a symbol must come with the name of its stream", members.get(0).text);
    }
    BookUpdate& update = native.size() != 0 ? batch->add(native, -1) : batch->add(read_symbol(*symbol));
    update.snapshot = true;
    update.firstSeq = update.lastSeq = read_sequence(members.get(0), KEYS[0]);
    update.hasSeq = true;
    if (members.find(3) != nullptr) update.exchangeTimeNs = read_time(*members.find(3), KEYS[3]);
    if (members.find(4) != nullptr) update.exchangeTimeNs = read_time(*members.find(4), KEYS[4]);
    read_sides(tree, members.get(1), KEYS[1], members.get(2), KEYS[2], &update, batch);
}

inline FrameKind read_book_payload(const JsonTree& tree, const JsonNode& node, std::string_view stream,
                                   const ShortText& native, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"e", "lastUpdateId", "bidPrice"};
    const bool names_depth = stream.find("@depth") != std::string_view::npos;
    if (!node.is_object()) {
        if (names_depth) refuse("data must be an object", node.text);
        return FRAME_OTHER;
    }
    const Members<3> members(tree, node, "a frame", KEYS);
    const JsonNode* const event = members.find(0);
    if (event != nullptr && event->is("depthUpdate")) {
        read_depth_update(tree, node, names_partial_depth(stream), batch);
        return FRAME_EVENTS;
    }
    if (event != nullptr && !names_depth) return FRAME_OTHER;
    // What has a bidPrice is the best bid and ask of the REST API.
    if (members.find(1) != nullptr && members.find(2) == nullptr) {
        read_depth(tree, node, stream.empty() ? native : symbol_of_stream(stream), batch);
        return FRAME_EVENTS;
    }
    if (names_depth) refuse("a depth must be a depthUpdate or have a lastUpdateId", stream);
    return FRAME_OTHER;
}

// `native`: of a frame that is a depth without a symbol (a REST snapshot). FRAME_OTHER for all that is no book.
inline FrameKind read_book_frame(const JsonTree& tree, const JsonNode& root, const ShortText& native, BookBatch* batch) {
    static constexpr std::string_view KEYS[] = {"stream", "data"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<2> members(tree, root, "a frame", KEYS);
    const JsonNode* const stream = members.find(0);
    if (stream == nullptr) return read_book_payload(tree, root, {}, native, batch);
    if (!stream->is_string()) refuse("stream must be text", stream->text);
    return read_book_payload(tree, members.get(1), stream->text, native, batch);
}

}  // namespace hft::binance
