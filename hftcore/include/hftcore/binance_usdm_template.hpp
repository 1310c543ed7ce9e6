// Binance USD-M frames exactly as the venue writes them; any other spelling is the general path's (binance_usdm.hpp).
#pragma once

#include "hftcore/matcher.hpp"

namespace hft::binance_usdm {

// hot path: begin

// What may end an event since 2026: the market. Then its closing brace.
HFT_INLINE bool match_end(Scan& scan) {
    std::uint64_t skipped;
    return scan.literal("}") || (scan.literal(",\"st\":") && scan.whole(&skipped) && scan.literal("}"));
}

// After {"e":"bookTicker","u":
HFT_INLINE bool match_book_ticker(Scan& scan, const Matcher& to) {
    std::uint64_t sequence, changed, published;
    ShortText symbol;
    double bid, bid_volume, ask, ask_volume;
    std::int64_t changed_ns, published_ns;
    if (!(scan.whole(&sequence) && scan.literal(",\"s\":\"") && scan.short_string(&symbol))) return false;
    // Since 2026.
    if (scan.literal(",\"ps\":\"") && !scan.skip_string()) return false;
    if (!(scan.literal(",\"b\":\"") && scan.amount<true>(&bid, "\",\"B\":\"") &&
          scan.amount<true>(&bid_volume, "\",\"a\":\"") && scan.amount<true>(&ask, "\",\"A\":\"") &&
          scan.amount<true>(&ask_volume, "\",\"T\":") && scan.whole(&changed) && scan.literal(",\"E\":") &&
          scan.whole(&published) && match_end(scan))) {
        return false;
    }
    if (!ns_from_epoch(changed, &changed_ns) || !ns_from_epoch(published, &published_ns)) return false;
    Ticker& ticker = to.batch->add_ticker(symbol, to.symbols.find(symbol));
    ticker.seq = sequence;
    ticker.bidPrice = bid;
    ticker.bidVolume = bid_volume;
    ticker.askPrice = ask;
    ticker.askVolume = ask_volume;
    ticker.exchangeTimeNs = published_ns;
    return true;
}

// After {"e":"trade","E":
HFT_INLINE bool match_trade(Scan& scan, const Matcher& to) {
    std::uint64_t published, happened, id;
    std::int64_t published_ns, happened_ns;
    ShortText symbol;
    double price, volume;
    bool buyer_is_maker;
    if (!(scan.whole(&published) && scan.literal(",\"T\":") && scan.whole(&happened) && scan.literal(",\"s\":\"") &&
          scan.short_string(&symbol) && scan.literal(",\"t\":") && scan.whole(&id) && scan.literal(",\"p\":\"") &&
          scan.amount<true>(&price, "\",\"q\":\"") && scan.amount<true>(&volume, "\",\"X\":\""))) {
        return false;
    }
    if (!scan.literal("MARKET\",\"m\":") && !scan.literal("RPI\",\"m\":")) return false;
    if (!(scan.boolean(&buyer_is_maker) && match_end(scan))) return false;
    if (!ns_from_epoch(published, &published_ns) || !ns_from_epoch(happened, &happened_ns)) return false;
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.price = price;
    trade.volume = volume;
    trade.tradeTimeNs = happened_ns;
    trade.exchangeTimeNs = published_ns;
    trade.side = buyer_is_maker ? SIDE_SELL : SIDE_BUY;
    return true;
}

// After {"e":"aggTrade","E":
HFT_INLINE bool match_aggregate(Scan& scan, const Matcher& to) {
    std::uint64_t published, happened, id, skipped;
    std::int64_t published_ns, happened_ns;
    ShortText symbol;
    double price, volume;
    bool buyer_is_maker;
    if (!(scan.whole(&published) && scan.literal(",\"a\":") && scan.whole(&id) && scan.literal(",\"s\":\"") &&
          scan.short_string(&symbol) && scan.literal(",\"p\":\"") && scan.amount<true>(&price, "\",\"q\":\"") &&
          scan.amount<true>(&volume, "\","))) {
        return false;
    }
    // Since 2026: the quantity without that of retail price improvement.
    if (scan.literal("\"nq\":\"") && !(scan.skip_string() && scan.literal(","))) return false;
    if (!(scan.literal("\"f\":") && scan.whole(&skipped) && scan.literal(",\"l\":") && scan.whole(&skipped) &&
          scan.literal(",\"T\":") && scan.whole(&happened) && scan.literal(",\"m\":") &&
          scan.boolean(&buyer_is_maker) && match_end(scan))) {
        return false;
    }
    if (!ns_from_epoch(published, &published_ns) || !ns_from_epoch(happened, &happened_ns)) return false;
    Trade& trade = to.batch->add_trade(symbol, to.symbols.find(symbol));
    trade.flags |= FLAG_AGGREGATE;
    trade.tradeId = id <= INT64_MAX ? static_cast<std::int64_t>(id) : 0;
    trade.price = price;
    trade.volume = volume;
    trade.tradeTimeNs = happened_ns;
    trade.exchangeTimeNs = published_ns;
    trade.side = buyer_is_maker ? SIDE_SELL : SIDE_BUY;
    return true;
}

HFT_INLINE bool match_payload(Scan& scan, const Matcher& to) {
    // No stream's name changes what these events mean.
    if (!scan.literal("{\"e\":\"")) return false;
    if (scan.literal("bookTicker\",\"u\":")) return match_book_ticker(scan, to);
    if (scan.literal("trade\",\"E\":")) return match_trade(scan, to);
    return scan.literal("aggTrade\",\"E\":") && match_aggregate(scan, to);
}

// True if the whole frame is one event. Throws std::bad_alloc alone.
inline bool match_frame(Scan scan, const Matcher& to) {
    if (!scan.literal("{\"stream\":\"")) return match_payload(scan, to) && scan.at_end();
    return scan.skip_string() && scan.literal(",\"data\":") && match_payload(scan, to) && scan.literal("}") &&
           scan.at_end();
}

// hot path: end

}  // namespace hft::binance_usdm
