// Kraken spot frames exactly as the venue writes them; any other spelling is the general path's (kraken.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::kraken {

// hot path: begin

// After {"symbol":" and up to the entry's closing brace.
HFT_INLINE bool match_ticker(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double bid, bid_volume, ask, ask_volume;
    std::int64_t ns = 0;
    if (!(scan.short_string(&symbol) && scan.literal(",\"bid\":") && scan.amount<false>(&bid, ",\"bid_qty\":") &&
          scan.amount<false>(&bid_volume, ",\"ask\":") &&
          scan.amount<false>(&ask, ",\"ask_qty\":") && scan.amount<false>(&ask_volume, ""))) {
        return false;
    }
    if (scan.literal(",\"last\":") &&
        !(scan.skip_number() && scan.literal(",\"volume\":") && scan.skip_number() && scan.literal(",\"vwap\":") &&
          scan.skip_number() && scan.literal(",\"low\":") && scan.skip_number() && scan.literal(",\"high\":") &&
          scan.skip_number() && scan.literal(",\"change\":") && scan.skip_number() &&
          scan.literal(",\"change_pct\":") && scan.skip_number())) {
        return false;
    }
    // These came later, not all at once.
    if (scan.literal(",\"trades\":") && !scan.skip_number()) return false;
    if (scan.literal(",\"volume_usd\":") && !scan.skip_number()) return false;
    if (scan.literal(",\"timestamp\":\"") && !scan.timestamp(to.minute, &ns)) return false;
    if (!scan.literal("}")) return false;
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = ns;
    return true;
}

// After {"symbol":" and up to the entry's closing brace.
HFT_INLINE bool match_trade(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double price, volume;
    std::uint64_t id;
    std::int64_t ns;
    if (!scan.short_string(&symbol)) return false;
    const bool is_buy = scan.literal(",\"side\":\"buy\"");
    if (!is_buy && !scan.literal(",\"side\":\"sell\"")) return false;
    if (!(scan.literal(",\"price\":") && scan.amount<false>(&price, ",\"qty\":") &&
          scan.amount<false>(&volume, ""))) {
        return false;
    }
    if (scan.literal(",\"ord_type\":\"") && !scan.skip_string()) return false;
    if (!(scan.literal(",\"trade_id\":") && scan.whole(&id) && scan.literal(",\"timestamp\":\"") &&
          scan.timestamp(to.minute, &ns) && scan.literal("}"))) {
        return false;
    }
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.side = is_buy ? SIDE_BUY : SIDE_SELL;
    trade.price = price;
    trade.volume = volume;
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.exchangeTimeNs = trade.tradeTimeNs = ns;
    return true;
}

// After "type":" and up to the frame's end.
template <bool TICKER>
HFT_INLINE bool match_data(Scan& scan, const Matcher& to) {
    if (scan.literal("snapshot\",\"data\":[")) {
        to.batch->flags |= FLAG_SNAPSHOT;
    } else if (!scan.literal("update\",\"data\":[")) {
        return false;
    }
    do {
        if (!scan.literal("{\"symbol\":\"")) return false;
        if (!(TICKER ? match_ticker(scan, to) : match_trade(scan, to))) return false;
    } while (scan.literal(","));
    return scan.literal("]}") && scan.at_end();
}

// After "a":[" or "b":[": price, whole lots, lots.
HFT_INLINE bool match_level_v1(Scan& scan, double* price, double* volume) {
    return scan.amount<true>(price, "\",") && scan.skip_number() && scan.literal(",\"") &&
           scan.amount<true>(volume, "\"]");
}

// The keys c v p t l h o, as Scan::one_of takes them.
constexpr std::uint32_t PAIR_KEYS =
    1u << ('c' - 'a') | 1u << ('v' - 'a') | 1u << ('p' - 'a') | 1u << ('t' - 'a') | 1u << ('l' - 'a') |
    1u << ('h' - 'a') | 1u << ('o' - 'a');

// After {"a":[" and up to the object's closing brace.
HFT_INLINE bool match_ticker_v1(Scan& scan, const Matcher& to) {
    double bid, bid_volume, ask, ask_volume;
    std::uint64_t skipped;
    ShortText symbol;
    if (!(match_level_v1(scan, &ask, &ask_volume) && scan.literal(",\"b\":[\"") &&
          match_level_v1(scan, &bid, &bid_volume))) {
        return false;
    }
    // What is left are pairs of texts (prices and volumes) and of numbers (counts of trades), in varying order.
    while (scan.literal(",\"")) {
        if (!scan.one_of(PAIR_KEYS) || !scan.literal("\":[")) return false;
        const bool matches = scan.literal("\"") ? scan.skip_string() && scan.literal(",\"") && scan.skip_string()
                                                : scan.whole(&skipped) && scan.literal(",") && scan.whole(&skipped);
        if (!matches || !scan.literal("]")) return false;
    }
    if (!(scan.literal("},\"ticker\",\"") && scan.short_string(&symbol) && scan.literal("]") && scan.at_end())) {
        return false;
    }
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    return true;
}

// After [[" and up to the frame's end. The symbol comes last.
HFT_INLINE bool match_trades_v1(Scan& scan, const Matcher& to) {
    EventBatch& batch = *to.batch;
    do {
        double price, volume;
        std::int64_t ns;
        bool is_buy, ignored;
        if (!(scan.amount<true>(&price, "\",\"") && scan.amount<true>(&volume, "\",\"") &&
              scan.seconds(&ns) && scan.literal(",\"") && scan.either('b', 's', &is_buy) && scan.literal("\",\"") &&
              scan.either('l', 'm', &ignored) && scan.literal("\",\"") && scan.skip_string() && scan.literal("]"))) {
            return false;
        }
        Trade& trade = batch.add_trade(ShortText{}, ShortSymbols::MISSING);
        trade.price = price;
        trade.volume = volume;
        trade.exchangeTimeNs = trade.tradeTimeNs = ns;
        trade.side = is_buy ? SIDE_BUY : SIDE_SELL;
    } while (scan.literal(",[\""));
    ShortText symbol;
    if (!(scan.literal("],\"trade\",\"") && scan.short_string(&symbol) && scan.literal("]") && scan.at_end())) return false;
    const std::int32_t id = to.symbols.find(symbol);
    for (std::size_t i = 0; i < batch.trades.size(); ++i) {
        batch.trades[i].symbol = id;
        batch.natives[i].inside = symbol;
    }
    return true;
}

// True if the whole frame is events of one channel. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (scan.literal("{\"channel\":\"t")) {
        if (scan.literal("icker\",\"type\":\"")) return match_data<true>(scan, to);
        return scan.literal("rade\",\"type\":\"") && match_data<false>(scan, to);
    }
    std::uint64_t channel_id;
    if (!(scan.literal("[") && scan.whole(&channel_id))) return false;
    if (scan.literal(",{\"a\":[\"")) return match_ticker_v1(scan, to);
    return scan.literal(",[[\"") && match_trades_v1(scan, to);
}

// hot path: end

}  // namespace hft::kraken
