// Coinbase: ticker and trades of the Advanced Trade feed and of the Exchange feed, told apart by their keys: a frame of
// the Exchange feed has a `type`, one of Advanced Trade a `channel` alone.
// Source: Coinbase Developer Documentation, Advanced Trade WebSocket channels; Exchange WebSocket channels.
#pragma once

#include "hftcore/event_batch.hpp"

namespace hft::coinbase {

// 0 if it is absent.
inline std::int64_t read_time(const JsonNode* node, std::string_view name) {
    if (node == nullptr) return 0;
    std::int64_t ns;
    if (!node->is_string() || !ns_from_rfc3339(node->text, &ns)) {
        refuse(std::string(name) + " must be a time of RFC 3339 that fits 64 bits of nanoseconds", node->text);
    }
    return ns;
}

// 0 if it is absent.
inline std::uint64_t read_number(const JsonNode* node, std::string_view name) {
    return node == nullptr ? 0 : read_sequence(*node, name);
}

// The taker's side, where the venue names the maker's.
inline Side taker_of_maker(const JsonNode& maker, std::string_view buy, std::string_view sell) {
    if (maker.is(sell)) return SIDE_BUY;
    if (!maker.is(buy)) refuse("side must be " + std::string(buy) + " or " + std::string(sell), maker.text);
    return SIDE_SELL;
}

// What the envelope says of all its events.
struct Envelope {
    std::int64_t publishedNs;
    std::uint64_t sequence;  // counts all messages of the connection
};

inline void read_advanced_ticker(const JsonTree& tree, const JsonNode& node, bool is_batch, const Envelope& envelope,
                                 EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "best_bid", "best_bid_quantity", "best_ask",
                                                "best_ask_quantity"};
    const Members<5> members(tree, node, "a ticker", KEYS);
    if (is_batch) {
        // The batched channel mostly says prices and volumes of the day alone: that is no quote.
        bool quoted = false;
        for (std::size_t i = 1; i < 5; ++i) quoted |= members.find(i) != nullptr;
        if (!quoted) return;
    }
    Ticker& ticker = batch->add_ticker(read_symbol(members.get(0)));
    ticker.bidPrice = read_amount(members.get(1), KEYS[1]);
    ticker.bidVolume = read_amount(members.get(2), KEYS[2]);
    ticker.askPrice = read_amount(members.get(3), KEYS[3]);
    ticker.askVolume = read_amount(members.get(4), KEYS[4]);
    ticker.exchangeTimeNs = envelope.publishedNs;
    ticker.seq = envelope.sequence;
}

inline void read_advanced_trade(const JsonTree& tree, const JsonNode& node, const Envelope& envelope,
                                EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"product_id", "trade_id", "price", "size", "time", "side"};
    const Members<6> members(tree, node, "a trade", KEYS);
    Trade& trade = batch->add_trade(read_symbol(members.get(0)));
    trade.tradeId = read_trade_id(members.find(1), KEYS[1]);
    trade.price = read_amount(members.get(2), KEYS[2]);
    trade.volume = read_amount(members.get(3), KEYS[3]);
    trade.tradeTimeNs = read_time(members.find(4), KEYS[4]);
    trade.exchangeTimeNs = envelope.publishedNs != 0 ? envelope.publishedNs : trade.tradeTimeNs;
    trade.side = taker_of_maker(members.get(5), "BUY", "SELL");
    trade.seq = envelope.sequence;
}

// `channel` is the frame's; `root` has no `type`.
inline FrameKind read_advanced(const JsonTree& tree, const JsonNode& root, const JsonNode& channel, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"timestamp", "sequence_num", "events"};
    static constexpr std::string_view TICKER_KEYS[] = {"type", "tickers"};
    static constexpr std::string_view TRADE_KEYS[] = {"type", "trades"};
    const Members<3> members(tree, root, "a frame", KEYS);
    // Every frame counts, whatever it carries.
    if (members.find(1) != nullptr) batch->number(read_number(members.find(1), KEYS[1]));
    if (channel.is("heartbeats") || channel.is("subscriptions")) return FRAME_CONTROL;
    const bool is_batch = channel.is("ticker_batch");
    const bool is_ticker = is_batch || channel.is("ticker");
    if (!is_ticker && !channel.is("market_trades")) return FRAME_OTHER;
    const Envelope envelope{read_time(members.find(0), KEYS[0]), batch->isNumbered ? batch->frameNumber : 0};
    const JsonNode& events = members.get(2);
    if (!events.is_array()) refuse("events must be an array", events.text);
    const std::uint16_t flags = batch->flags;
    for (const JsonNode* event = tree.first_child(events); event != tree.after(events); event = tree.after(*event)) {
        const Members<2> parts(tree, *event, "an event", is_ticker ? TICKER_KEYS : TRADE_KEYS);
        const JsonNode& type = parts.get(0);
        const bool is_snapshot = type.is("snapshot");
        if (!is_snapshot && !type.is("update")) refuse("type must be snapshot or update", type.text);
        batch->flags = static_cast<std::uint16_t>(is_snapshot ? flags | FLAG_SNAPSHOT : flags);
        const JsonNode& entries = parts.get(1);
        if (!entries.is_array()) refuse(std::string(parts.key(1)) + " must be an array", entries.text);
        for (const JsonNode* entry = tree.first_child(entries); entry != tree.after(entries);
             entry = tree.after(*entry)) {
            if (is_ticker) {
                read_advanced_ticker(tree, *entry, is_batch, envelope, batch);
            } else {
                read_advanced_trade(tree, *entry, envelope, batch);
            }
        }
    }
    return FRAME_EVENTS;
}

// Frames until 2022 say no sizes, the first after subscribing no time: 0.
inline void read_exchange_ticker(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"sequence",      "product_id", "best_bid", "best_bid_size",
                                                "best_ask",      "best_ask_size", "time"};
    const Members<7> members(tree, root, "a ticker", KEYS);
    Ticker& ticker = batch->add_ticker(read_symbol(members.get(1)));
    ticker.seq = read_number(members.find(0), KEYS[0]);
    ticker.bidPrice = read_amount(members.get(2), KEYS[2]);
    if (members.find(3) != nullptr) ticker.bidVolume = read_amount(*members.find(3), KEYS[3]);
    ticker.askPrice = read_amount(members.get(4), KEYS[4]);
    if (members.find(5) != nullptr) ticker.askVolume = read_amount(*members.find(5), KEYS[5]);
    ticker.exchangeTimeNs = read_time(members.find(6), KEYS[6]);
}

// One of our own trades, which an authenticated connection tells with further keys, is a trade of the market too.
inline void read_match(const JsonTree& tree, const JsonNode& root, bool is_last, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"trade_id", "side", "size", "price", "product_id", "sequence", "time"};
    const Members<7> members(tree, root, "a match", KEYS);
    Trade& trade = batch->add_trade(read_symbol(members.get(4)));
    if (is_last) trade.flags |= FLAG_SNAPSHOT;
    trade.tradeId = read_trade_id(members.find(0), KEYS[0]);
    trade.side = taker_of_maker(members.get(1), "buy", "sell");
    trade.volume = read_amount(members.get(2), KEYS[2]);
    trade.price = read_amount(members.get(3), KEYS[3]);
    trade.seq = read_number(members.find(5), KEYS[5]);
    trade.exchangeTimeNs = trade.tradeTimeNs = read_time(members.find(6), KEYS[6]);
}

inline FrameKind read_frame(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"type", "channel"};
    static constexpr std::string_view CONTROL[] = {"subscriptions", "heartbeat", "error", "subscribe", "unsubscribe"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<2> members(tree, root, "a frame", KEYS);
    const JsonNode* const type = members.find(0);
    const JsonNode* const channel = members.find(1);
    if (channel != nullptr && !channel->is_string()) refuse("channel must be text", channel->text);
    if (type == nullptr) return channel == nullptr ? FRAME_OTHER : read_advanced(tree, root, *channel, batch);
    if (!type->is_string()) refuse("type must be text", type->text);
    for (const std::string_view name : CONTROL) {
        if (type->is(name)) return FRAME_CONTROL;
    }
    if (type->is("ticker")) {
        read_exchange_ticker(tree, root, batch);
    } else if (type->is("match") || type->is("last_match")) {
        read_match(tree, root, type->is("last_match"), batch);
    } else {
        return FRAME_OTHER;
    }
    return FRAME_EVENTS;
}

}  // namespace hft::coinbase
