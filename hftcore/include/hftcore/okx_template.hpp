// OKX frames exactly as the venue writes them; any other spelling is the general path's (okx.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::okx {

// hot path: begin

// A text of digits with its closing quote.
HFT_INLINE bool match_time(Scan& scan, std::int64_t* ns) {
    std::uint64_t ms;
    return scan.whole(&ms) && scan.literal("\"") && ns_from_milliseconds(ms, ns);
}

// After "tickers","instId":" and up to the entry's closing brace.
HFT_INLINE bool match_ticker(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double bid, bid_volume, ask, ask_volume;
    std::int64_t ns;
    if (!(scan.literal("{\"instType\":\"") && scan.skip_string() && scan.literal(",\"instId\":\"") &&
          scan.short_string(&symbol) && scan.literal(",\"last\":\"") && scan.skip_string() &&
          scan.literal(",\"lastSz\":\"") && scan.skip_string() && scan.literal(",\"askPx\":\"") &&
          scan.amount<true>(&ask, "\",\"askSz\":\"") && scan.amount<true>(&ask_volume, "\",\"bidPx\":\"") &&
          scan.amount<true>(&bid, "\",\"bidSz\":\"") && scan.amount<true>(&bid_volume, "\",\"open24h\":\"") &&
          scan.skip_string() && scan.literal(",\"high24h\":\"") && scan.skip_string() &&
          scan.literal(",\"low24h\":\"") && scan.skip_string() && scan.literal(",\"sodUtc0\":\"") &&
          scan.skip_string() && scan.literal(",\"sodUtc8\":\"") && scan.skip_string() &&
          scan.literal(",\"volCcy24h\":\"") && scan.skip_string() && scan.literal(",\"vol24h\":\"") &&
          scan.skip_string() && scan.literal(",\"ts\":\"") && match_time(scan, &ns) && scan.literal("}"))) {
        return false;
    }
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = ns;
    return true;
}

// After [[" and up to the side's closing brackets: price, size, a number of the past, the count of orders.
HFT_INLINE bool match_best(Scan& scan, double* price, double* volume) {
    return scan.amount<true>(price, "\",\"") && scan.amount<true>(volume, "\",\"") && scan.skip_string() &&
           scan.literal(",\"") && scan.skip_string() && scan.literal("]]");
}

// After "data":[ and up to the entry's closing brace.
HFT_INLINE bool match_best_of_book(Scan& scan, const ShortText& symbol, const Matcher& to) {
    double bid, bid_volume, ask, ask_volume;
    std::int64_t ns;
    std::uint64_t sequence = 0;
    if (!(scan.literal("{\"asks\":[[\"") && match_best(scan, &ask, &ask_volume) && scan.literal(",\"bids\":[[\"") &&
          match_best(scan, &bid, &bid_volume) && scan.literal(",\"ts\":\"") && match_time(scan, &ns))) {
        return false;
    }
    if (scan.literal(",\"seqId\":") && !scan.whole(&sequence)) return false;
    if (!scan.literal("}")) return false;
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.seq = sequence;
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = ns;
    return true;
}

// After "data":[ and up to the entry's closing brace.
HFT_INLINE bool match_trade(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double price, volume;
    std::uint64_t id, count = 0, sequence = 0;
    std::int64_t ns;
    if (!(scan.literal("{\"instId\":\"") && scan.short_string(&symbol) && scan.literal(",\"tradeId\":\"") &&
          scan.whole(&id) && scan.literal("\",\"px\":\"") && scan.amount<true>(&price, "\",\"sz\":\"") &&
          scan.amount<true>(&volume, "\",\"side\":\""))) {
        return false;
    }
    const bool is_buy = scan.literal("buy\"");
    if (!is_buy && !scan.literal("sell\"")) return false;
    // trades-all names the source before the time, trades after it.
    if (scan.literal(",\"source\":\"") && !scan.skip_string()) return false;
    if (!(scan.literal(",\"ts\":\"") && match_time(scan, &ns))) return false;
    // These came later, not all at once.
    if (scan.literal(",\"count\":\"") && !(scan.whole(&count) && scan.literal("\""))) return false;
    if (scan.literal(",\"source\":\"") && !scan.skip_string()) return false;
    if (scan.literal(",\"seqId\":") && !scan.whole(&sequence)) return false;
    if (!scan.literal("}")) return false;
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    if (count > 1) trade.flags |= FLAG_AGGREGATE;
    trade.side = is_buy ? SIDE_BUY : SIDE_SELL;
    trade.price = price;
    trade.volume = volume;
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.seq = sequence;
    trade.exchangeTimeNs = trade.tradeTimeNs = ns;
    return true;
}

// True if the whole frame is events of one channel. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (!scan.literal("{\"arg\":{\"channel\":\"")) return false;
    if (scan.literal("tickers\",\"instId\":\"")) {
        if (!(scan.skip_string() && scan.literal("},\"data\":["))) return false;
        do {
            if (!match_ticker(scan, to)) return false;
        } while (scan.literal(","));
    } else if (scan.literal("bbo-tbt\",\"instId\":\"")) {
        ShortText symbol;
        if (!(scan.short_string(&symbol) && scan.literal("},\"data\":["))) return false;
        do {
            if (!match_best_of_book(scan, symbol, to)) return false;
        } while (scan.literal(","));
    } else {
        if (!scan.literal("trades\",\"instId\":\"") && !scan.literal("trades-all\",\"instId\":\"")) return false;
        if (!(scan.skip_string() && scan.literal("},\"data\":["))) return false;
        do {
            if (!match_trade(scan, to)) return false;
        } while (scan.literal(","));
    }
    return scan.literal("]}") && scan.at_end();
}

// hot path: end

}  // namespace hft::okx
