// Binance spot frames exactly as the venue writes them; any other spelling is the general path's (binance.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::binance {

// hot path: begin

// After {"u":
HFT_INLINE bool match_book_ticker(Scan& scan, const Matcher& to) {
    std::uint64_t sequence;
    ShortText symbol;
    double bid, bid_volume, ask, ask_volume;
    if (!(scan.whole(&sequence) && scan.literal(",\"s\":\"") && scan.short_string(&symbol) &&
          scan.literal(",\"b\":\"") && scan.amount<true>(&bid, "\",\"B\":\"") &&
          scan.amount<true>(&bid_volume, "\",\"a\":\"") && scan.amount<true>(&ask, "\",\"A\":\"") &&
          scan.amount<true>(&ask_volume, "\"}"))) {
        return false;
    }
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.seq = sequence;
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    return true;
}

// After {"e":"trade","E": or {"e":"aggTrade","E":
template <bool AGGREGATE>
HFT_INLINE bool match_trade(Scan& scan, const Matcher& to) {
    std::uint64_t published, id, happened, skipped;
    std::int64_t published_ns, happened_ns;
    ShortText symbol;
    double price, volume;
    bool buyer_is_maker, ignored;
    if (!(scan.whole(&published) && scan.literal(",\"s\":\"") && scan.short_string(&symbol) &&
          scan.literal(AGGREGATE ? ",\"a\":" : ",\"t\":") && scan.whole(&id) && scan.literal(",\"p\":\"") &&
          scan.amount<true>(&price, "\",\"q\":\"") && scan.amount<true>(&volume, "\","))) {
        return false;
    }
    if (AGGREGATE) {
        if (!(scan.literal("\"f\":") && scan.whole(&skipped) && scan.literal(",\"l\":") && scan.whole(&skipped) &&
              scan.literal(","))) {
            return false;
        }
    } else if (scan.literal("\"b\":")) {
        // The orders' numbers, which older frames hold.
        if (!(scan.whole(&skipped) && scan.literal(",\"a\":") && scan.whole(&skipped) && scan.literal(","))) {
            return false;
        }
    }
    if (!(scan.literal("\"T\":") && scan.whole(&happened) && scan.literal(",\"m\":") && scan.boolean(&buyer_is_maker) &&
          scan.literal(",\"M\":") && scan.boolean(&ignored))) {
        return false;
    }
    if (!scan.literal("}") && !(scan.literal(",\"st\":") && scan.whole(&skipped) && scan.literal("}"))) return false;
    if (!ns_from_epoch(published, &published_ns) || !ns_from_epoch(happened, &happened_ns)) return false;
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    if (AGGREGATE) trade.flags |= FLAG_AGGREGATE;
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.price = price;
    trade.volume = volume;
    trade.tradeTimeNs = happened_ns;
    trade.exchangeTimeNs = published_ns;
    trade.side = buyer_is_maker ? SIDE_SELL : SIDE_BUY;
    return true;
}

HFT_INLINE bool match_payload(Scan& scan, const Matcher& to) {
    // No stream's name changes what these keys mean.
    if (scan.literal("{\"u\":")) return match_book_ticker(scan, to);
    if (scan.literal("{\"e\":\"trade\",\"E\":")) return match_trade<false>(scan, to);
    return scan.literal("{\"e\":\"aggTrade\",\"E\":") && match_trade<true>(scan, to);
}

// True if the whole frame is one event. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (!scan.literal("{\"stream\":\"")) return match_payload(scan, to) && scan.at_end();
    return scan.skip_string() && scan.literal(",\"data\":") && match_payload(scan, to) &&
           scan.literal("}") && scan.at_end();
}

// hot path: end

}  // namespace hft::binance
