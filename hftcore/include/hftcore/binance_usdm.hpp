// Binance USD-M futures: bookTicker, trade and aggTrade. What differs from spot; the rest is binance.hpp's.
// Source: Binance derivatives documentation, USD-M futures, WebSocket market streams.
#pragma once

#include "hftcore/binance.hpp"

namespace hft::binance {

struct UsdMargined {
    static void read_book_ticker(const JsonTree& tree, const JsonNode& node, EventBatch* batch) {
        static constexpr std::string_view KEYS[] = {"u", "s", "b", "B", "a", "A", "T", "E"};
        const Members<8> members(tree, node, "a bookTicker", KEYS);
        Ticker& ticker = batch->add_ticker(read_symbol(members.get(1)));
        ticker.seq = read_sequence(members.get(0), KEYS[0]);
        ticker.bidPrice = read_amount(members.get(2), KEYS[2]);
        ticker.bidVolume = read_amount(members.get(3), KEYS[3]);
        ticker.askPrice = read_amount(members.get(4), KEYS[4]);
        ticker.askVolume = read_amount(members.get(5), KEYS[5]);
        // T: when the book changed; E: when that was published.
        if (members.find(6) != nullptr) ticker.exchangeTimeNs = read_time(*members.find(6), KEYS[6]);
        if (members.find(7) != nullptr) ticker.exchangeTimeNs = read_time(*members.find(7), KEYS[7]);
    }

    static void read_trade(const JsonTree& tree, const JsonNode& node, bool aggregate, EventBatch* batch) {
        static constexpr std::string_view TRADE_KEYS[] = {"E", "T", "s", "t", "p", "q", "X", "m"};
        static constexpr std::string_view AGGREGATE_KEYS[] = {"E", "T", "s", "a", "p", "q", "X", "m"};
        const std::string_view(&keys)[8] = aggregate ? AGGREGATE_KEYS : TRADE_KEYS;
        const Members<8> members(tree, node, aggregate ? "an aggTrade" : "a trade", keys);
        Trade& trade = batch->add_trade(read_symbol(members.get(2)));
        if (aggregate) trade.flags |= FLAG_AGGREGATE;
        trade.tradeId = read_trade_id(&members.get(3), keys[3]);
        trade.price = read_amount(members.get(4), keys[4]);
        trade.volume = read_amount(members.get(5), keys[5]);
        trade.tradeTimeNs = read_time(members.get(1), keys[1]);
        trade.exchangeTimeNs = members.find(0) != nullptr ? read_time(*members.find(0), keys[0]) : trade.tradeTimeNs;
        trade.side = read_side(members.get(7));
        if (const JsonNode* const kind = members.find(6)) {
            if (!kind->is_string()) refuse("X must be text", kind->text);
            // What changed hands otherwise than by a trade: price and quantity are 0.
            if (kind->is("NA")) batch->pass_over_trade();
        }
    }
};

}  // namespace hft::binance
