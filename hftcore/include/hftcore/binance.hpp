// Binance spot: bookTicker, trade and aggTrade, from single and combined streams; and what all markets of Binance share.
// Source: binance-spot-api-docs, web-socket-streams.md.
#pragma once

#include "hftcore/event_batch.hpp"

namespace hft::binance {

inline std::int64_t read_time(const JsonNode& node, std::string_view name) {
    std::int64_t ns;
    if (!node.is_number() || !ns_from_epoch(node.text, &ns)) {
        refuse(std::string(name) + " must be milliseconds or microseconds that fit 64 bits of nanoseconds", node.text);
    }
    return ns;
}

// m: the buyer was the maker, so the taker sold.
inline Side read_side(const JsonNode& node) {
    if (node.type != JsonType::TRUE && node.type != JsonType::FALSE) refuse("m must be true or false", node.text);
    return node.type == JsonType::TRUE ? SIDE_SELL : SIDE_BUY;
}

// How the events of one market read.
struct Spot {
    static void read_book_ticker(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
        static constexpr std::string_view KEYS[] = {"u", "s", "b", "B", "a", "A", "E"};
        const Members<7> members(tree, node, "a bookTicker", KEYS);
        Ticker& ticker = batch->add_ticker(read_symbol(members.get(1)));
        ticker.seq = read_sequence(members.get(0), KEYS[0]);
        ticker.bidPrice = read_amount(members.get(2), KEYS[2]);
        ticker.bidVolume = read_amount(members.get(3), KEYS[3]);
        ticker.askPrice = read_amount(members.get(4), KEYS[4]);
        ticker.askVolume = read_amount(members.get(5), KEYS[5]);
        // The spot stream says no time; where one is given, it is the time of publication.
        if (members.find(6) != nullptr) ticker.exchangeTimeNs = read_time(*members.find(6), KEYS[6]);
    }

    static void read_trade(const JsonTree& tree, const JsonNode& node, bool aggregate, EventBatch* batch) {
        static constexpr std::string_view TRADE_KEYS[] = {"E", "s", "t", "p", "q", "T", "m"};
        static constexpr std::string_view AGGREGATE_KEYS[] = {"E", "s", "a", "p", "q", "T", "m"};
        const std::string_view(&keys)[7] = aggregate ? AGGREGATE_KEYS : TRADE_KEYS;
        const Members<7> members(tree, node, aggregate ? "an aggTrade" : "a trade", keys);
        Trade& trade = batch->add_trade(read_symbol(members.get(1)));
        if (aggregate) trade.flags |= FLAG_AGGREGATE;
        trade.tradeId = read_trade_id(&members.get(2), keys[2]);
        trade.price = read_amount(members.get(3), keys[3]);
        trade.volume = read_amount(members.get(4), keys[4]);
        trade.tradeTimeNs = read_time(members.get(5), keys[5]);
        trade.exchangeTimeNs = members.find(0) != nullptr ? read_time(*members.find(0), keys[0]) : trade.tradeTimeNs;
        trade.side = read_side(members.get(6));
    }
};

inline bool ends_with(std::string_view text, std::string_view end) noexcept {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// `stream`: the name of the combined stream, empty for a single one.
template <typename Market>
FrameKind read_payload(const JsonTree& tree, const JsonNode& node, std::string_view stream, EventBatch* batch) {
    static constexpr std::string_view EVENT_KEY[] = {"e"};
    static constexpr std::string_view KEYS[] = {"u", "s", "b", "B", "a", "A", "result", "id", "method", "code", "error"};
    if (!node.is_object()) {
        if (ends_with(stream, "@trade") || ends_with(stream, "@aggTrade") || ends_with(stream, "bookTicker")) {
            refuse("data must be an object", node.text);
        }
        return FRAME_OTHER;
    }
    const JsonNode* const event = Members<1>(tree, node, "a frame", EVENT_KEY).find(0);
    const bool names_ticker = ends_with(stream, "@bookTicker") || stream == "!bookTicker";
    if (event != nullptr) {
        if (!event->is_string()) refuse("e must be text", event->text);
        if (event->is("trade") || event->is("aggTrade")) {
            Market::read_trade(tree, node, event->is("aggTrade"), batch);
            return FRAME_EVENTS;
        }
        if (event->is("serverShutdown")) return FRAME_CONTROL;
        if (!names_ticker && !event->is("bookTicker")) return FRAME_OTHER;
    }
    // A bookTicker says nowhere that it is one: its keys tell, or the name of its stream.
    const Members<11> members(tree, node, "a frame", KEYS);
    int levels = 0;
    for (std::size_t i = 2; i < 6; ++i) levels += members.find(i) != nullptr;
    const bool looks_like_ticker = levels > 0 && levels + (members.find(0) != nullptr) + (members.find(1) != nullptr) >= 4;
    if (names_ticker || event != nullptr || looks_like_ticker) {
        Market::read_book_ticker(tree, node, batch);
        return FRAME_EVENTS;
    }
    if (ends_with(stream, "@trade") || ends_with(stream, "@aggTrade")) refuse("a trade must have the key e", stream);
    // Replies, refusals and requests.
    for (std::size_t i = 6; i < 11; ++i) {
        if (members.find(i) != nullptr) return FRAME_CONTROL;
    }
    return FRAME_OTHER;
}

template <typename Market>
FrameKind read_frame(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"stream", "data", "event"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<3> members(tree, root, "a frame", KEYS);
    if (const JsonNode* const stream = members.find(0)) {
        if (!stream->is_string()) refuse("stream must be text", stream->text);
        return read_payload<Market>(tree, members.get(1), stream->text, batch);
    }
    if (const JsonNode* const event = members.find(2); event != nullptr && event->is_object()) {
        // User data, but for the notice that the server goes down.
        static constexpr std::string_view EVENT_KEYS[] = {"e"};
        const JsonNode* const name = Members<1>(tree, *event, "an event", EVENT_KEYS).find(0);
        return name != nullptr && name->is("serverShutdown") ? FRAME_CONTROL : FRAME_OTHER;
    }
    return read_payload<Market>(tree, root, {}, batch);
}

}  // namespace hft::binance
