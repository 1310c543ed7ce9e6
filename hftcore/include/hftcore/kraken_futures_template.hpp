// Kraken Futures frames exactly as the venue writes them; any other spelling is the general path's (kraken_futures.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::kraken_futures {

// hot path: begin

// The members of a ticker that nobody asks for, where they stand: any of them may be absent, and the general path
// judges any that is not listed.

HFT_INLINE bool skip_current_funding(Scan& scan) {
    return scan.skip_real() && scan.literal(",\"funding_rate_prediction\":") && scan.skip_real();
}

HFT_INLINE bool skip_relative_funding(Scan& scan) {
    return scan.skip_real() && scan.literal(",\"relative_funding_rate_prediction\":") && scan.skip_real() &&
           scan.literal(",\"next_funding_rate_time\":") && scan.skip_real();
}

// Before the quote, in frames since 2022.
HFT_INLINE bool skip_head(Scan& scan) {
    if (scan.literal(",\"funding_rate\":") &&
        !(skip_current_funding(scan) && scan.literal(",\"relative_funding_rate\":") && skip_relative_funding(scan))) {
        return false;
    }
    if (scan.literal(",\"leverage\":\"") && !scan.skip_string()) return false;
    return !scan.literal(",\"premium\":") || scan.skip_real();
}

// After the quote and up to the frame's end. `ns` is read here if the frame did not begin with it.
HFT_INLINE bool skip_tail(Scan& scan, bool has_time, std::int64_t* ns) {
    bool ignored;
    if (!(scan.literal(",\"volume\":") && scan.skip_real() && scan.literal(",\"dtm\":") && scan.skip_real())) return false;
    if (scan.literal(",\"leverage\":\"") && !scan.skip_string()) return false;
    if (!(scan.literal(",\"index\":") && scan.skip_real())) return false;
    if (scan.literal(",\"premium\":") && !scan.skip_real()) return false;
    if (!(scan.literal(",\"last\":") && scan.skip_real())) return false;
    if (!has_time) {
        std::uint64_t ms;
        if (!(scan.literal(",\"time\":") && scan.whole(&ms) && ns_from_milliseconds(ms, ns))) return false;
    }
    if (!(scan.literal(",\"change\":") && scan.skip_real())) return false;
    if (scan.literal(",\"funding_rate\":") && !skip_current_funding(scan)) return false;
    if (!(scan.literal(",\"suspended\":") && scan.boolean(&ignored) && scan.literal(",\"tag\":\"") &&
          scan.skip_string() && scan.literal(",\"pair\":\"") && scan.skip_string() &&
          scan.literal(",\"openInterest\":") && scan.skip_real() && scan.literal(",\"markPrice\":") &&
          scan.skip_real() && scan.literal(",\"maturityTime\":") && scan.skip_real())) {
        return false;
    }
    if (scan.literal(",\"relative_funding_rate\":") && !skip_relative_funding(scan)) return false;
    if (scan.literal(",\"post_only\":") && !scan.boolean(&ignored)) return false;
    if (scan.literal(",\"volumeQuote\":") && !scan.skip_real()) return false;
    if (scan.literal(",\"open\":") && !(scan.skip_real() && scan.literal(",\"high\":") && scan.skip_real() &&
                                        scan.literal(",\"low\":") && scan.skip_real())) {
        return false;
    }
    return scan.literal("}") && scan.at_end();
}

// After the members before it: ,"bid": and so on, up to the frame's end.
HFT_INLINE bool match_ticker(Scan& scan, const Matcher& to, const ShortText& symbol, bool has_time, std::int64_t ns) {
    double bid, bid_volume, ask, ask_volume;
    if (!(scan.literal(",\"bid\":") && scan.amount<false>(&bid, ",\"ask\":") &&
          scan.amount<false>(&ask, ",\"bid_size\":") && scan.amount<false>(&bid_volume, ",\"ask_size\":") &&
          scan.amount<false>(&ask_volume, "") && skip_tail(scan, has_time, &ns))) {
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

// After {"feed":"ticker_lite","product_id":" and up to the frame's end.
HFT_INLINE bool match_ticker_lite(Scan& scan, const Matcher& to) {
    ShortText symbol;
    double bid, ask;
    if (!(scan.short_string(&symbol) && scan.literal(",\"bid\":") && scan.amount<false>(&bid, ",\"ask\":") &&
          scan.amount<false>(&ask, ",\"change\":") && scan.skip_real() && scan.literal(",\"premium\":") &&
          scan.skip_real() && scan.literal(",\"volume\":") && scan.skip_real() && scan.literal(",\"tag\":\"") &&
          scan.skip_string() && scan.literal(",\"pair\":\"") && scan.skip_string() && scan.literal(",\"dtm\":") &&
          scan.skip_real() && scan.literal(",\"maturityTime\":") && scan.skip_real())) {
        return false;
    }
    if (scan.literal(",\"volumeQuote\":") && !scan.skip_real()) return false;
    if (!scan.literal("}") || !scan.at_end()) return false;
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.bidPrice = bid;
    ticker.askPrice = ask;
    return true;
}

// After the product's opening quote and up to the closing brace. `feed_first`: the feed's name stood before it.
HFT_INLINE bool match_trade(Scan& scan, const Matcher& to, bool feed_first) {
    ShortText symbol;
    double price, volume;
    std::uint64_t ms, sequence;
    std::int64_t ns;
    if (!scan.short_string(&symbol) || (!feed_first && !scan.literal(",\"feed\":\"trade\""))) return false;
    if (scan.literal(",\"uid\":\"") && !scan.skip_uuid()) return false;
    const bool is_buy = scan.literal(",\"side\":\"buy\"");
    if (!is_buy && !scan.literal(",\"side\":\"sell\"")) return false;
    if (!(scan.literal(",\"type\":\"") && scan.skip_string())) return false;
    const bool has_sequence = scan.literal(",\"seq\":");
    if (has_sequence && !scan.whole(&sequence)) return false;
    if (!(scan.literal(",\"time\":") && scan.whole(&ms) && ns_from_milliseconds(ms, &ns) &&
          scan.literal(",\"qty\":") && scan.amount<false>(&volume, ",\"price\":") && scan.amount<false>(&price, ""))) {
        return false;
    }
    if (!has_sequence && !(scan.literal(",\"seq\":") && scan.whole(&sequence))) return false;
    if (!scan.literal("}")) return false;
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.side = is_buy ? SIDE_BUY : SIDE_SELL;
    trade.seq = sequence;
    trade.exchangeTimeNs = trade.tradeTimeNs = ns;
    trade.volume = volume;
    trade.price = price;
    return true;
}

// After {"feed":"trade_snapshot","product_id":" and up to the frame's end.
HFT_INLINE bool match_snapshot(Scan& scan, const Matcher& to) {
    if (!(scan.skip_string() && scan.literal(",\"trades\":["))) return false;
    to.batch->flags |= FLAG_SNAPSHOT;
    do {
        const bool feed_first = scan.literal("{\"feed\":\"trade\",\"product_id\":\"");
        if (!feed_first && !scan.literal("{\"product_id\":\"")) return false;
        if (!match_trade(scan, to, feed_first)) return false;
    } while (scan.literal(","));
    return scan.literal("]}") && scan.at_end();
}

// After {"time": and up to the frame's end.
HFT_INLINE bool match_timed_ticker(Scan& scan, const Matcher& to) {
    ShortText symbol;
    std::uint64_t ms;
    std::int64_t ns;
    if (!scan.whole(&ms) || !ns_from_milliseconds(ms, &ns)) return false;
    if (scan.literal(",\"product_id\":\"")) {
        if (!(scan.short_string(&symbol) && skip_head(scan) && scan.literal(",\"feed\":\"ticker\""))) return false;
    } else if (!(scan.literal(",\"feed\":\"ticker\",\"product_id\":\"") && scan.short_string(&symbol))) {
        return false;
    }
    return match_ticker(scan, to, symbol, true, ns);
}

// True if the whole frame is events of one feed. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (scan.literal("{\"time\":")) return match_timed_ticker(scan, to);
    if (scan.literal("{\"product_id\":\"")) return match_trade(scan, to, false) && scan.at_end();
    if (!scan.literal("{\"feed\":\"t")) return false;
    if (scan.literal("rade\",\"product_id\":\"")) return match_trade(scan, to, true) && scan.at_end();
    if (scan.literal("icker_lite\",\"product_id\":\"")) return match_ticker_lite(scan, to);
    if (scan.literal("rade_snapshot\",\"product_id\":\"")) return match_snapshot(scan, to);
    ShortText symbol;
    return scan.literal("icker\",\"product_id\":\"") && scan.short_string(&symbol) &&
           match_ticker(scan, to, symbol, false, 0);
}

// hot path: end

}  // namespace hft::kraken_futures
