// OKX v5, spot and derivatives alike: tickers, bbo-tbt, trades and trades-all.
//
// Every number is a text, and an empty one is a number that is absent. Sizes of derivatives are contracts.
// Source: OKX API documentation v5, WebSocket public and business channels.
#pragma once

#include "hftcore/event_batch.hpp"

namespace hft::okx {

// Keep-alive is bare text, in both directions.
inline bool is_keep_alive(std::string_view frame) noexcept {
    while (!frame.empty() && (frame.back() == '\n' || frame.back() == '\r' || frame.back() == ' ')) frame.remove_suffix(1);
    return frame == "pong" || frame == "ping";
}

inline bool is_absent(const JsonNode& node) noexcept { return node.is_string() && node.text.empty(); }

inline std::int64_t read_time(const JsonNode& node) {
    std::int64_t ns;
    if (is_absent(node)) return 0;
    if ((!node.is_string() && !node.is_number()) || !ns_from_milliseconds(node.text, &ns)) {
        refuse("ts must be milliseconds that fit 64 bits of nanoseconds", node.text);
    }
    return ns;
}

// Price and volume of one side of the book. Both are 0 where nobody stands on it: an option has mostly one side.
inline void read_side(const JsonNode& price, std::string_view price_name, const JsonNode& volume,
                      std::string_view volume_name, double* out_price, double* out_volume) {
    *out_volume = is_absent(volume) ? 0.0 : read_amount(volume, volume_name);
    *out_price = is_absent(price) ? 0.0 : read_amount(price, price_name);
    if (is_absent(price) && *out_volume != 0.0) refuse(std::string(price_name) + " must be a number where there is a size", "");
    if (is_absent(volume) && !is_absent(price)) {
        refuse(std::string(volume_name) + " must be a number where there is a price", "");
    }
}

inline void read_ticker(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"instId", "askPx", "askSz", "bidPx", "bidSz", "ts"};
    const Members<6> members(tree, node, "a ticker", KEYS);
    Ticker& ticker = batch->add_ticker(read_symbol(members.get(0)));
    read_side(members.get(1), KEYS[1], members.get(2), KEYS[2], &ticker.askPrice, &ticker.askVolume);
    read_side(members.get(3), KEYS[3], members.get(4), KEYS[4], &ticker.bidPrice, &ticker.bidVolume);
    ticker.exchangeTimeNs = read_time(members.get(5));
}

// [["price", "size", "0", "orders"]], or [] where nobody stands.
inline void read_best(const JsonTree& tree, const JsonNode& node, std::string_view name, double* price, double* volume) {
    if (!node.is_array()) refuse(std::string(name) + " must be an array", node.text);
    const std::size_t levels = tree.child_count(node);
    if (levels == 0) return;
    const JsonNode& level = *tree.first_child(node);
    if (levels > 1 || !level.is_array() || tree.child_count(level) < 2) {
        refuse(std::string(name) + " must hold at most one level of price and size", std::to_string(levels));
    }
    // Of one that lacks a value it is not to be seen which.
    const std::size_t values = tree.child_count(level);
    if (values < 4) refuse(std::string(name) + " must have price, size, 0 and orders", std::to_string(values));
    const JsonNode& first = *tree.first_child(level);
    *price = read_amount(first, name);
    *volume = read_amount(*tree.after(first), name);
}

inline void read_best_of_book(const JsonTree& tree, const JsonNode& node, std::string_view symbol, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"asks", "bids", "ts", "seqId"};
    const Members<4> members(tree, node, "a bbo-tbt", KEYS);
    Ticker& ticker = batch->add_ticker(symbol);
    read_best(tree, members.get(0), KEYS[0], &ticker.askPrice, &ticker.askVolume);
    read_best(tree, members.get(1), KEYS[1], &ticker.bidPrice, &ticker.bidVolume);
    ticker.exchangeTimeNs = read_time(members.get(2));
    if (members.find(3) != nullptr) ticker.seq = read_sequence(*members.find(3), KEYS[3]);
}

inline void read_trade(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"instId", "tradeId", "px", "sz", "side", "ts", "count", "seqId"};
    const Members<8> members(tree, node, "a trade", KEYS);
    Trade& trade = batch->add_trade(read_symbol(members.get(0)));
    trade.tradeId = read_trade_id(&members.get(1), KEYS[1]);
    trade.price = read_amount(members.get(2), KEYS[2]);
    trade.volume = read_amount(members.get(3), KEYS[3]);
    const JsonNode& side = members.get(4);
    if (side.is("buy")) {
        trade.side = SIDE_BUY;
    } else if (side.is("sell")) {
        trade.side = SIDE_SELL;
    } else {
        refuse("side must be buy or sell", side.text);
    }
    trade.exchangeTimeNs = trade.tradeTimeNs = read_time(members.get(5));
    if (const JsonNode* const count = members.find(6); count != nullptr && !is_absent(*count)) {
        std::uint64_t trades;
        if ((!count->is_string() && !count->is_number()) || parse_unsigned(count->text, &trades) != NumberStatus::OK) {
            refuse("count must be a whole number of 64 bits", count->text);
        }
        if (trades > 1) trade.flags |= FLAG_AGGREGATE;
    }
    if (members.find(7) != nullptr) trade.seq = read_sequence(*members.find(7), KEYS[7]);
}

inline FrameKind read_frame(const JsonTree& tree, const JsonNode& root, EventBatch* batch) {
    static constexpr std::string_view KEYS[] = {"arg", "data", "event", "op", "code"};
    static constexpr std::string_view ARG_KEYS[] = {"channel", "instId"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<5> members(tree, root, "a frame", KEYS);
    // Acknowledgements, refusals and notices; requests and the replies to them.
    if (members.find(2) != nullptr || members.find(3) != nullptr) return FRAME_CONTROL;
    if (members.find(0) == nullptr) {
        // REST replies say "0" where nothing went wrong.
        const JsonNode* const code = members.find(4);
        return code != nullptr && !code->is("0") ? FRAME_CONTROL : FRAME_OTHER;
    }
    const Members<2> arg(tree, *members.find(0), "arg", ARG_KEYS);
    const JsonNode& channel = arg.get(0);
    if (!channel.is_string()) refuse("channel must be text", channel.text);
    if (channel.is("status")) return FRAME_CONTROL;
    const bool is_ticker = channel.is("tickers");
    const bool is_best = channel.is("bbo-tbt");
    if (!is_ticker && !is_best && !channel.is("trades") && !channel.is("trades-all")) return FRAME_OTHER;
    const std::string_view symbol = is_best ? read_symbol(arg.get(1)) : std::string_view{};
    const JsonNode& data = members.get(1);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* entry = tree.first_child(data); entry != tree.after(data); entry = tree.after(*entry)) {
        if (is_ticker) {
            read_ticker(tree, *entry, batch);
        } else if (is_best) {
            read_best_of_book(tree, *entry, symbol, batch);
        } else {
            read_trade(tree, *entry, batch);
        }
    }
    return FRAME_EVENTS;
}

}  // namespace hft::okx
