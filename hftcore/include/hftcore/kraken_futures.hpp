// Kraken Futures: the feeds ticker, ticker_lite, trade and trade_snapshot.
// Source: Kraken documentation, Futures WebSocket (ticker, ticker lite, trade).
#pragma once

#include "hftcore/event_batch.hpp"

namespace hft::kraken_futures {

// Milliseconds, 0 if they are absent.
inline std::int64_t read_time(const JsonNode* node) {
    if (node == nullptr) return 0;
    std::int64_t ns;
    if (!node->is_number() || !ns_from_milliseconds(node->text, &ns)) {
        refuse("time must be milliseconds that fit 64 bits of nanoseconds", node->text);
    }
    return ns;
}

// ticker_lite says neither sizes nor a time: 0.
inline void read_ticker(const JsonTree& tree, const JsonNode& root, bool is_lite, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "bid", "ask", "bid_size", "ask_size", "time"};
    const Members<6> members(tree, root, "a ticker", KEYS);
    Ticker& ticker = batch->add_ticker(read_symbol(members.get(0)));
    ticker.bidPrice = read_amount(members.get(1), KEYS[1]);
    ticker.askPrice = read_amount(members.get(2), KEYS[2]);
    if (!is_lite || members.find(3) != nullptr) ticker.bidVolume = read_amount(members.get(3), KEYS[3]);
    if (!is_lite || members.find(4) != nullptr) ticker.askVolume = read_amount(members.get(4), KEYS[4]);
    ticker.exchangeTimeNs = read_time(members.find(5));
}

// The trade's own id is a UUID, so that the struct's is 0; `seq` counts the trades of the product.
inline void read_trade(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "side", "seq", "time", "qty", "price"};
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
    if (members.find(2) != nullptr) trade.seq = read_sequence(*members.find(2), KEYS[2]);
    trade.exchangeTimeNs = trade.tradeTimeNs = read_time(members.find(3));
    trade.volume = read_amount(members.get(4), KEYS[4]);
    trade.price = read_amount(members.get(5), KEYS[5]);
}

inline FrameKind read_frame(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"event", "feed", "trades"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<3> members(tree, root, "a frame", KEYS);
    // Acknowledgements name a feed too.
    if (members.find(0) != nullptr) return FRAME_CONTROL;
    const JsonNode* const feed = members.find(1);
    if (feed == nullptr) return FRAME_OTHER;
    if (!feed->is_string()) refuse("feed must be text", feed->text);
    if (feed->is("heartbeat")) return FRAME_CONTROL;
    if (feed->is("ticker") || feed->is("ticker_lite")) {
        read_ticker(tree, root, feed->is("ticker_lite"), batch);
    } else if (feed->is("trade")) {
        read_trade(tree, root, batch);
    } else if (feed->is("trade_snapshot")) {
        batch->flags |= FLAG_SNAPSHOT;
        const JsonNode& trades = members.get(2);
        if (!trades.is_array()) refuse("trades must be an array", trades.text);
        for (const JsonNode* trade = tree.first_child(trades); trade != tree.after(trades);
             trade = tree.after(*trade)) {
            read_trade(tree, *trade, batch);
        }
    } else {
        return FRAME_OTHER;
    }
    return FRAME_EVENTS;
}

}  // namespace hft::kraken_futures
