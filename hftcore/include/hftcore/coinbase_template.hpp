// Coinbase frames exactly as the venue writes them; any other spelling is the general path's (coinbase.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::coinbase {

// hot path: begin

// After {"type":"ticker","product_id":" and up to the entry's closing brace.
template <bool BATCH>
HFT_INLINE bool match_advanced_ticker(Scan& scan, const Matcher& to, std::int64_t published_ns, std::uint64_t sequence) {
    ShortText symbol;
    double bid, bid_volume, ask, ask_volume;
    if (!(scan.short_string(&symbol) && scan.literal(",\"price\":\"") && scan.skip_string() &&
          scan.literal(",\"volume_24_h\":\"") && scan.skip_string() && scan.literal(",\"low_24_h\":\"") &&
          scan.skip_string() && scan.literal(",\"high_24_h\":\"") && scan.skip_string() &&
          scan.literal(",\"low_52_w\":\"") && scan.skip_string() && scan.literal(",\"high_52_w\":\"") &&
          scan.skip_string() && scan.literal(",\"price_percent_chg_24_h\":\"") && scan.skip_string())) {
        return false;
    }
    if (BATCH && scan.literal("}")) return true;  // no quote
    if (!(scan.literal(",\"best_bid\":\"") && scan.amount<true>(&bid, "\",\"best_"))) return false;
    // The venue's documentation has the other order.
    if (scan.literal("ask\":\"")) {
        if (!(scan.amount<true>(&ask, "\",\"best_bid_quantity\":\"") &&
              scan.amount<true>(&bid_volume, "\",\"best_ask_quantity\":\""))) {
            return false;
        }
    } else if (!(scan.literal("bid_quantity\":\"") && scan.amount<true>(&bid_volume, "\",\"best_ask\":\"") &&
                 scan.amount<true>(&ask, "\",\"best_ask_quantity\":\""))) {
        return false;
    }
    if (!scan.amount<true>(&ask_volume, "\"}")) return false;
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = published_ns;
    ticker.seq = sequence;
    return true;
}

// "buy" or "sell" in the given letters, with both quotes: the maker's side. The taker's is the other.
template <std::size_t B, std::size_t S>
HFT_INLINE bool maker_side(Scan& scan, const char (&buy)[B], const char (&sell)[S], Side* taker) {
    const bool is_buy = scan.literal(buy);
    *taker = is_buy ? SIDE_SELL : SIDE_BUY;
    return is_buy || scan.literal(sell);
}

// From the entry's brace to its brace.
HFT_INLINE bool match_advanced_trade(Scan& scan, const Matcher& to, std::int64_t published_ns, std::uint64_t sequence) {
    ShortText symbol;
    double price, volume;
    std::uint64_t id;
    std::int64_t ns;
    Side side;
    const bool symbol_first = scan.literal("{\"product_id\":\"");
    if (symbol_first) {
        if (!(scan.short_string(&symbol) && scan.literal(",\"trade_id\":\"") && scan.whole(&id) &&
              scan.literal("\",\"price\":\""))) {
            return false;
        }
    } else if (!(scan.literal("{\"trade_id\":\"") && scan.whole(&id) && scan.literal("\",\"product_id\":\"") &&
                 scan.short_string(&symbol) && scan.literal(",\"price\":\""))) {
        return false;
    }
    if (!(scan.amount<true>(&price, "\",\"size\":\"") && scan.amount<true>(&volume, "\",\""))) return false;
    // The venue's documentation has the other order.
    if (scan.literal("time\":\"")) {
        if (!(scan.fine_timestamp(to.minute, &ns) && scan.literal(",\"side\":") &&
              maker_side(scan, "\"BUY\"", "\"SELL\"", &side) && scan.literal("}"))) {
            return false;
        }
    } else if (!(scan.literal("side\":") && maker_side(scan, "\"BUY\"", "\"SELL\"", &side) &&
                 scan.literal(",\"time\":\"") && scan.fine_timestamp(to.minute, &ns) && scan.literal("}"))) {
        return false;
    }
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.price = price;
    trade.volume = volume;
    trade.tradeTimeNs = ns;
    trade.exchangeTimeNs = published_ns != 0 ? published_ns : ns;
    trade.side = side;
    trade.seq = sequence;
    return true;
}

enum class Channel { TICKER, TICKER_BATCH, MARKET_TRADES };

// After "channel":"…", and up to the frame's end.
template <Channel CHANNEL>
HFT_INLINE bool match_advanced(Scan& scan, const Matcher& to) {
    std::int64_t ns;
    std::uint64_t sequence;
    if (scan.literal("\"client_id\":\"") && !(scan.skip_string() && scan.literal(","))) return false;
    if (!(scan.literal("\"timestamp\":\"") && scan.fine_timestamp(to.minute, &ns) &&
          scan.literal(",\"sequence_num\":") && scan.whole(&sequence) && scan.literal(",\"events\":["))) {
        return false;
    }
    to.batch->number(sequence);
    const std::uint16_t flags = to.batch->flags;
    do {
        if (scan.literal("{\"type\":\"update\",\"t")) {
            to.batch->flags = flags;
        } else if (scan.literal("{\"type\":\"snapshot\",\"t")) {
            to.batch->flags = static_cast<std::uint16_t>(flags | FLAG_SNAPSHOT);
        } else {
            return false;
        }
        if (!(CHANNEL == Channel::MARKET_TRADES ? scan.literal("rades\":[") : scan.literal("ickers\":["))) return false;
        do {
            if constexpr (CHANNEL == Channel::MARKET_TRADES) {
                if (!match_advanced_trade(scan, to, ns, sequence)) return false;
            } else if (!scan.literal("{\"type\":\"ticker\",\"product_id\":\"") ||
                       !match_advanced_ticker<CHANNEL == Channel::TICKER_BATCH>(scan, to, ns, sequence)) {
                return false;
            }
        } while (scan.literal(","));
        if (!scan.literal("]}")) return false;
    } while (scan.literal(","));
    return scan.literal("]}") && scan.at_end();
}

// After {"type":"ticker","sequence": and up to the frame's end.
HFT_INLINE bool match_exchange_ticker(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double bid, bid_volume = 0.0, ask, ask_volume = 0.0;
    std::uint64_t sequence;
    std::int64_t ns;
    if (!(scan.whole(&sequence) && scan.literal(",\"product_id\":\"") && scan.short_string(&symbol) &&
          scan.literal(",\"price\":\"") && scan.skip_string() && scan.literal(",\"open_24h\":\"") &&
          scan.skip_string() && scan.literal(",\"volume_24h\":\"") && scan.skip_string() &&
          scan.literal(",\"low_24h\":\"") && scan.skip_string() && scan.literal(",\"high_24h\":\"") &&
          scan.skip_string() && scan.literal(",\"volume_30d\":\"") && scan.skip_string() &&
          scan.literal(",\"best_bid\":\"") && scan.amount<true>(&bid, "\",\"best_"))) {
        return false;
    }
    if (scan.literal("bid_size\":\"") && !scan.amount<true>(&bid_volume, "\",\"best_")) return false;
    if (!(scan.literal("ask\":\"") && scan.amount<true>(&ask, "\",\""))) return false;
    if (scan.literal("best_ask_size\":\"") && !scan.amount<true>(&ask_volume, "\",\"")) return false;
    if (!(scan.literal("side\":\"") && scan.skip_string() && scan.literal(",\"time\":\"") &&
          scan.fine_timestamp(to.minute, &ns) && scan.literal(",\"trade_id\":") && scan.skip_number() &&
          scan.literal(",\"last_size\":\"") && scan.skip_string() && scan.literal("}") && scan.at_end())) {
        return false;
    }
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.seq = sequence;
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = ns;
    return true;
}

// After {"type":"match","trade_id": or {"type":"last_match","trade_id": and up to the frame's end.
HFT_INLINE bool match_match(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double price, volume;
    std::uint64_t id, sequence;
    std::int64_t ns;
    Side side;
    if (!(scan.whole(&id) && scan.literal(",\"maker_order_id\":\"") && scan.skip_uuid() &&
          scan.literal(",\"taker_order_id\":\"") && scan.skip_uuid() && scan.literal(",\"side\":") &&
          maker_side(scan, "\"buy\"", "\"sell\"", &side) && scan.literal(",\"size\":\"") &&
          scan.amount<true>(&volume, "\",\"price\":\"") && scan.amount<true>(&price, "\",\"product_id\":\"") &&
          scan.short_string(&symbol) && scan.literal(",\"sequence\":") && scan.whole(&sequence) &&
          scan.literal(",\"time\":\"") && scan.fine_timestamp(to.minute, &ns) && scan.literal("}") && scan.at_end())) {
        return false;
    }
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.price = price;
    trade.volume = volume;
    trade.seq = sequence;
    trade.exchangeTimeNs = trade.tradeTimeNs = ns;
    trade.side = side;
    return true;
}

// True if the whole frame is events of one channel. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (scan.literal("{\"channel\":\"")) {
        if (scan.literal("ticker\",")) return match_advanced<Channel::TICKER>(scan, to);
        if (scan.literal("market_trades\",")) return match_advanced<Channel::MARKET_TRADES>(scan, to);
        return scan.literal("ticker_batch\",") && match_advanced<Channel::TICKER_BATCH>(scan, to);
    }
    if (!scan.literal("{\"type\":\"")) return false;
    if (scan.literal("match\",\"trade_id\":")) return match_match(scan, to);
    if (scan.literal("ticker\",\"sequence\":")) return match_exchange_ticker(scan, to);
    if (!scan.literal("last_match\",\"trade_id\":")) return false;
    to.batch->flags |= FLAG_SNAPSHOT;
    return match_match(scan, to);
}

// hot path: end

}  // namespace hft::coinbase
