// Kraken spot, WebSocket v2 and v1: ticker and trade.
// Source: Kraken API documentation, WebSocket v2 (ticker, trade) and v1 (ticker, trade).
#pragma once

#include "hftcore/event_batch.hpp"

namespace hft::kraken {

// Sent as bare text by the proxy in front of the venue.
constexpr std::string_view RESTART_NOTICE = "CloudFlare WebSocket proxy restarting";

inline bool is_notice(std::string_view frame) noexcept {
    while (!frame.empty() && (frame.back() == '\n' || frame.back() == '\r' || frame.back() == ' ')) frame.remove_suffix(1);
    return frame == RESTART_NOTICE;
}

inline std::int64_t read_timestamp(const JsonNode* node) {
    if (node == nullptr) return 0;
    std::int64_t ns;
    if (!node->is_string() || !ns_from_rfc3339(node->text, &ns)) {
        refuse("timestamp must be a time of RFC 3339 that fits 64 bits of nanoseconds", node->text);
    }
    return ns;
}

inline void read_ticker(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"symbol", "bid", "bid_qty", "ask", "ask_qty", "timestamp"};
    const Members<6> members(tree, node, "a ticker", KEYS);
    Ticker& ticker = batch->add_ticker(read_symbol(members.get(0)));
    ticker.bidPrice = read_amount(members.get(1), KEYS[1]);
    ticker.bidVolume = read_amount(members.get(2), KEYS[2]);
    ticker.askPrice = read_amount(members.get(3), KEYS[3]);
    ticker.askVolume = read_amount(members.get(4), KEYS[4]);
    ticker.exchangeTimeNs = read_timestamp(members.find(5));
}

inline void read_trade(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"symbol", "side", "price", "qty", "trade_id", "timestamp"};
    const Members<6> members(tree, node, "a trade", KEYS);
    Trade& trade = batch->add_trade(read_symbol(members.get(0)));
    const JsonNode& side = members.get(1);
    if (side.is("buy")) {
        trade.side = SIDE_BUY;
    } else if (side.is("sell")) {
        trade.side = SIDE_SELL;
    } else {
        refuse("side must be buy or sell", side.text);
    }
    trade.price = read_amount(members.get(2), KEYS[2]);
    trade.volume = read_amount(members.get(3), KEYS[3]);
    trade.tradeId = read_trade_id(members.find(4), KEYS[4]);
    trade.exchangeTimeNs = trade.tradeTimeNs = read_timestamp(members.find(5));
}

inline FrameKind read_object(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"channel", "type", "data", "method", "event", "error"};
    const Members<6> members(tree, root, "a frame", KEYS);
    const JsonNode* const channel = members.find(0);
    if (members.find(3) != nullptr || members.find(4) != nullptr) return FRAME_CONTROL;
    if (channel == nullptr) {
        // A refusal; REST replies carry an empty list of errors beside their result.
        const JsonNode* const error = members.find(5);
        const bool refusal = error != nullptr && (error->is_string() || (error->is_array() && tree.child_count(*error) != 0));
        return refusal ? FRAME_CONTROL : FRAME_OTHER;
    }
    if (!channel->is_string()) refuse("channel must be text", channel->text);
    if (channel->is("heartbeat") || channel->is("status")) return FRAME_CONTROL;
    const bool is_ticker = channel->is("ticker");
    if (!is_ticker && !channel->is("trade")) return FRAME_OTHER;
    const JsonNode& type = members.get(1);
    if (type.is("snapshot")) {
        batch->flags |= FLAG_SNAPSHOT;
    } else if (!type.is("update")) {
        refuse("type must be snapshot or update", type.text);
    }
    const JsonNode& data = members.get(2);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* entry = tree.first_child(data); entry != tree.after(data); entry = tree.after(*entry)) {
        is_ticker ? read_ticker(tree, *entry, batch) : read_trade(tree, *entry, batch);
    }
    return FRAME_EVENTS;
}

// ["price", wholeLotVolume, "lotVolume"]
inline void read_level_v1(const JsonTree& tree, const JsonNode& node, double* price, double* volume) {
    if (!node.is_array() || tree.child_count(node) < 3) refuse("a level of a ticker must be an array of 3", node.text);
    const JsonNode& first = *tree.first_child(node);
    const JsonNode& second = *tree.after(first);
    *price = read_amount(first, "price");
    *volume = read_amount(*tree.after(second), "volume");
}

inline void read_ticker_v1(const JsonTree& tree, const JsonNode& node, std::string_view symbol, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"a", "b"};
    const Members<2> members(tree, node, "a ticker", KEYS);
    Ticker& ticker = batch->add_ticker(symbol);
    read_level_v1(tree, members.get(0), &ticker.askPrice, &ticker.askVolume);
    read_level_v1(tree, members.get(1), &ticker.bidPrice, &ticker.bidVolume);
}

// ["price", "volume", "seconds", "b" or "s", "m" or "l", ""]
inline void read_trade_v1(const JsonTree& tree, const JsonNode& node, std::string_view symbol, EventBatch* batch) {
    if (!node.is_array() || tree.child_count(node) < 4) refuse("a trade must be an array of at least 4", node.text);
    const JsonNode& price = *tree.first_child(node);
    const JsonNode& volume = *tree.after(price);
    const JsonNode& time = *tree.after(volume);
    const JsonNode& side = *tree.after(time);
    Trade& trade = batch->add_trade(symbol);
    trade.price = read_amount(price, "price");
    trade.volume = read_amount(volume, "volume");
    if ((!time.is_string() && !time.is_number()) || !ns_from_seconds(time.text, &trade.tradeTimeNs)) {
        refuse("time must be seconds that fit 64 bits of nanoseconds", time.text);
    }
    trade.exchangeTimeNs = trade.tradeTimeNs;
    if (side.is("b")) {
        trade.side = SIDE_BUY;
    } else if (side.is("s")) {
        trade.side = SIDE_SELL;
    } else {
        refuse("side must be b or s", side.text);
    }
}

// [channelID, payload, "trade", "XBT/USD"], with one or two payloads.
inline FrameKind read_array(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    const std::size_t count = tree.child_count(root);
    if (count < 3) return FRAME_OTHER;
    const JsonNode* child = tree.first_child(root);
    const JsonNode* const id = child;
    for (std::size_t i = 0; i + 2 < count; ++i) child = tree.after(*child);
    const JsonNode& channel = *child;
    const bool is_ticker = channel.is("ticker");
    if (!is_ticker && !channel.is("trade")) return FRAME_OTHER;
    if (count > 5 || count < 4) refuse("a frame must have 4 or 5 elements", std::to_string(count));
    if (!id->is_number()) refuse("a channel id must be a number", id->text);
    const std::string_view symbol = read_symbol(*tree.after(channel));
    for (const JsonNode* payload = tree.after(*id); payload != &channel; payload = tree.after(*payload)) {
        if (is_ticker) {
            read_ticker_v1(tree, *payload, symbol, batch);
            continue;
        }
        if (!payload->is_array()) refuse("trades must be an array", payload->text);
        for (const JsonNode* trade = tree.first_child(*payload); trade != tree.after(*payload); trade = tree.after(*trade)) {
            read_trade_v1(tree, *trade, symbol, batch);
        }
    }
    return FRAME_EVENTS;
}

inline FrameKind read_frame(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    if (root.is_object()) return read_object(tree, root, batch);
    return root.is_array() ? read_array(tree, root, batch) : FRAME_OTHER;
}

}  // namespace hft::kraken
