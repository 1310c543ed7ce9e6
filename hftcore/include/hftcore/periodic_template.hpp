// Klines and funding exactly as the venues write them; any other spelling is the general path's (periodic_decoder.hpp),
// and so is what these refuse. Every function may leave the batch half filled when it says false.
#pragma once

#include "hftcore/periodic_batch.hpp"
#include "hftcore/scan.hpp"

namespace hft::periodic {

// hot path: begin

// A time beyond this, some 146 years after 1970, is the general path's: the end of a kline fits behind it.
constexpr std::int64_t LATEST = INT64_MAX / 2;

HFT_INLINE bool scan_epoch(Scan& scan, std::int64_t* ns) noexcept {
    std::uint64_t value;
    return scan.whole(&value) && ns_from_epoch(value, ns) && *ns <= LATEST;
}

// A text of digits with its closing quote.
HFT_INLINE bool scan_milliseconds(Scan& scan, std::int64_t* ns) noexcept {
    std::uint64_t value;
    return scan.whole(&value) && scan.literal("\"") && ns_from_milliseconds(value, ns) && *ns <= LATEST;
}

// A number of either sign.
template <bool QUOTED, std::size_t N>
HFT_INLINE bool scan_signed(Scan& scan, double* value, const char (&next)[N]) noexcept {
    const bool negative = scan.literal("-");
    if (!scan.amount<QUOTED>(value, next)) return false;
    if (negative) *value = -*value;
    return true;
}

HFT_INLINE bool scan_count(Scan& scan, std::int64_t* value) noexcept {
    std::uint64_t number;
    if (!scan.whole(&number) || number > INT64_MAX) return false;
    *value = static_cast<std::int64_t>(number);
    return true;
}

// An interval of a fixed length with its closing quote: "1m", "4H", "1Dutc". The general path judges any other.
HFT_INLINE bool scan_interval(Scan& scan, std::uint32_t* seconds) {
    const char* const begin = scan.at();
    if (!scan.skip_string()) return false;
    const std::string_view text(begin, static_cast<std::size_t>(scan.at() - begin) - 1);
    std::size_t digits = 0;
    while (digits < text.size() && digits < 3 && is_digit(text[digits])) ++digits;
    if (digits == 0 || digits == text.size() || text[0] == '0') return false;
    const std::string_view rest = text.substr(digits + 1);
    if ((!rest.empty() && rest != "utc") || std::string_view("smhHdDwW").find(text[digits]) == std::string_view::npos) {
        return false;
    }
    *seconds = interval_of(text);
    return true;
}

HFT_INLINE void set_known_times(Kline* kline, std::int64_t opens, std::uint32_t seconds) noexcept {
    kline->openTimeNs = opens;
    kline->intervalS = seconds;
    kline->closeTimeNs = opens + seconds * SECOND;
}

// After {"e":"kline","E": and up to the event's closing brace.
inline bool match_binance_kline(Scan& scan, PeriodicBatch* batch) {
    std::int64_t published, opens, ends;
    std::uint32_t seconds;
    ShortText symbol;
    if (!(scan_epoch(scan, &published) && scan.literal(",\"s\":\"") && scan.short_string(&symbol) &&
          scan.literal(",\"k\":{\"t\":") && scan_epoch(scan, &opens) && scan.literal(",\"T\":") && scan_epoch(scan, &ends) &&
          scan.literal(",\"s\":\"") && scan.skip_string() && scan.literal(",\"i\":\"") && scan_interval(scan, &seconds) &&
          scan.literal(",\"f\":") && scan.skip_number() && scan.literal(",\"L\":") && scan.skip_number())) {
        return false;
    }
    Kline& kline = batch->add_kline(symbol.view());
    kline.exchangeTimeNs = published;
    kline.closeTimeNs = ends + 1'000'000;
    set_known_times(&kline, opens, seconds);
    bool closed;
    if (!(scan.literal(",\"o\":\"") && scan.amount<true>(&kline.open, "\",\"c\":\"") &&
          scan.amount<true>(&kline.close, "\",\"h\":\"") && scan.amount<true>(&kline.high, "\",\"l\":\"") &&
          scan.amount<true>(&kline.low, "\",\"v\":\"") && scan.amount<true>(&kline.volume, "\",\"n\":") &&
          scan_count(scan, &kline.tradeCount) && scan.literal(",\"x\":") && scan.boolean(&closed) &&
          scan.literal(",\"q\":\"") && scan.amount<true>(&kline.quoteVolume, "\",\"V\":\"") && scan.skip_string() &&
          scan.literal(",\"Q\":\"") && scan.skip_string() && scan.literal(",\"B\":\"") && scan.skip_string())) {
        return false;
    }
    if (closed) kline.flags |= FLAG_CLOSED;
    return scan.literal("}}");
}

// After {"e":"markPriceUpdate","E": and up to the event's closing brace.
inline bool match_binance_mark(Scan& scan, PeriodicBatch* batch) {
    std::int64_t published, due;
    std::uint64_t ignored;
    ShortText symbol;
    if (!(scan_epoch(scan, &published) && scan.literal(",\"s\":\"") && scan.short_string(&symbol) &&
          scan.literal(",\"p\":\""))) {
        return false;
    }
    Funding& funding = batch->add_funding(symbol.view());
    funding.exchangeTimeNs = published;
    if (!scan_signed<true>(scan, &funding.markPrice, "\",\"")) return false;
    if (scan.literal("ap\":\"") && !(scan.skip_string() && scan.literal(",\""))) return false;
    // P and i came in either order.
    if (scan.literal("P\":\"") && !(scan.skip_string() && scan.literal(",\""))) return false;
    if (!(scan.literal("i\":\"") && scan_signed<true>(scan, &funding.indexPrice, "\",\""))) return false;
    if (scan.literal("P\":\"") && !(scan.skip_string() && scan.literal(",\""))) return false;
    if (!(scan.literal("r\":\"") && scan_signed<true>(scan, &funding.rate, "\",\"T\":") && scan_epoch(scan, &due))) {
        return false;
    }
    funding.fundingTimeNs = due;
    if (scan.literal(",\"st\":") && !scan.whole(&ignored)) return false;
    return scan.literal("}");
}

inline bool match_binance(Scan scan, PeriodicBatch* batch) {
    const bool wrapped = scan.literal("{\"stream\":\"");
    if (wrapped && !(scan.skip_string() && scan.literal(",\"data\":"))) return false;
    if (scan.literal("{\"e\":\"kline\",\"E\":")) {
        if (!match_binance_kline(scan, batch)) return false;
    } else if (!scan.literal("{\"e\":\"markPriceUpdate\",\"E\":") || !match_binance_mark(scan, batch)) {
        return false;
    }
    return (!wrapped || scan.literal("}")) && scan.at_end();
}

// After {"arg":{"channel":"candle and up to the frame's end. Nine columns, as since 2022.
inline bool match_okx_candles(Scan& scan, PeriodicBatch* batch) {
    std::uint32_t seconds;
    ShortText symbol;
    if (!(scan_interval(scan, &seconds) && scan.literal(",\"instId\":\"") && scan.short_string(&symbol) &&
          scan.literal("},\"data\":["))) {
        return false;
    }
    bool more, closed;
    do {
        std::int64_t opens;
        if (!(scan.literal("[\"") && scan_milliseconds(scan, &opens))) return false;
        Kline& kline = batch->add_kline(symbol.view());
        set_known_times(&kline, opens, seconds);
        if (!(scan.literal(",\"") && scan.amount<true>(&kline.open, "\",\"") && scan.amount<true>(&kline.high, "\",\"") &&
              scan.amount<true>(&kline.low, "\",\"") && scan.amount<true>(&kline.close, "\",\"") &&
              scan.amount<true>(&kline.volume, "\",\"") && scan.skip_string() && scan.literal(",\"") &&
              scan.amount<true>(&kline.quoteVolume, "\",\"") && scan.either('1', '0', &closed) && scan.literal("\"]") &&
              scan.either(',', ']', &more))) {
            return false;
        }
        if (closed) kline.flags |= FLAG_CLOSED;
    } while (more);
    return scan.literal("}") && scan.at_end();
}

// After {"arg":{"channel":"mark-price","instId":" and up to the frame's end.
inline bool match_okx_marks(Scan& scan, PeriodicBatch* batch) {
    if (!(scan.skip_string() && scan.literal("},\"data\":["))) return false;
    bool more;
    do {
        ShortText symbol;
        if (!(scan.literal("{\"instId\":\"") && scan.short_string(&symbol) && scan.literal(",\"instType\":\"") &&
              scan.skip_string() && scan.literal(",\"markPx\":\""))) {
            return false;
        }
        Funding& funding = batch->add_funding(symbol.view());
        if (!(scan.amount<true>(&funding.markPrice, "\",\"ts\":\"") && scan_milliseconds(scan, &funding.exchangeTimeNs) &&
              scan.literal("}") && scan.either(',', ']', &more))) {
            return false;
        }
    } while (more);
    return scan.literal("}") && scan.at_end();
}

// After {"arg":{"channel":"funding-rate","instId":" and up to the frame's end.
inline bool match_okx_rates(Scan& scan, PeriodicBatch* batch) {
    if (!(scan.skip_string() && scan.literal("},\"data\":["))) return false;
    bool more;
    do {
        if (!(scan.literal("{\"formulaType\":\"") && scan.skip_string() && scan.literal(",\"fundingRate\":\""))) return false;
        // The symbol stands further behind.
        Funding& funding = batch->add_funding({});
        ShortText symbol;
        if (!(scan_signed<true>(scan, &funding.rate, "\",\"fundingTime\":\"") &&
              scan_milliseconds(scan, &funding.fundingTimeNs))) {
            return false;
        }
        // These came later.
        if (scan.literal(",\"impactValue\":\"") && !scan.skip_string()) return false;
        if (!(scan.literal(",\"instId\":\"") && scan.short_string(&symbol) && scan.literal(",\"instType\":\"") &&
              scan.skip_string())) {
            return false;
        }
        if (scan.literal(",\"interestRate\":\"") && !scan.skip_string()) return false;
        if (!(scan.literal(",\"maxFundingRate\":\"") && scan.skip_string() && scan.literal(",\"method\":\"") &&
              scan.skip_string() && scan.literal(",\"minFundingRate\":\"") && scan.skip_string() &&
              scan.literal(",\"nextFundingRate\":\""))) {
            return false;
        }
        if (!scan.literal("\"") && !scan_signed<true>(scan, &funding.nextRate, "\"")) return false;
        if (!(scan.literal(",\"nextFundingTime\":\"") && scan_milliseconds(scan, &funding.nextFundingTimeNs) &&
              scan.literal(",\"premium\":\"") && scan.skip_string() && scan.literal(",\"settFundingRate\":\"") &&
              scan.skip_string() && scan.literal(",\"settState\":\"") && scan.skip_string() &&
              scan.literal(",\"ts\":\"") && scan_milliseconds(scan, &funding.exchangeTimeNs) && scan.literal("}") &&
              scan.either(',', ']', &more))) {
            return false;
        }
        batch->natives.back() = symbol.view();
    } while (more);
    return scan.literal("}") && scan.at_end();
}

inline bool match_okx(Scan scan, PeriodicBatch* batch) {
    if (!scan.literal("{\"arg\":{\"channel\":\"")) return false;
    if (scan.literal("candle")) return match_okx_candles(scan, batch);
    if (scan.literal("mark-price\",\"instId\":\"")) return match_okx_marks(scan, batch);
    return scan.literal("funding-rate\",\"instId\":\"") && match_okx_rates(scan, batch);
}

// {"channel":"ohlc","type":"update",…} of WebSocket v2.
inline bool match_kraken(Scan scan, MinuteCache* minute, PeriodicBatch* batch) {
    std::int64_t published;
    if (!(scan.literal("{\"channel\":\"ohlc\",\"type\":\"update\",\"timestamp\":\"") &&
          scan.fine_timestamp(minute, &published) && scan.literal(",\"data\":["))) {
        return false;
    }
    bool more;
    do {
        ShortText symbol;
        std::int64_t opens;
        std::uint64_t minutes;
        if (!(scan.literal("{\"symbol\":\"") && scan.short_string(&symbol) && scan.literal(",\"open\":"))) return false;
        Kline& kline = batch->add_kline(symbol.view());
        kline.exchangeTimeNs = published;
        if (!(scan.amount<false>(&kline.open, ",\"high\":") && scan.amount<false>(&kline.high, ",\"low\":") &&
              scan.amount<false>(&kline.low, ",\"close\":") && scan.amount<false>(&kline.close, ",\"trades\":") &&
              scan_count(scan, &kline.tradeCount) && scan.literal(",\"volume\":") &&
              scan.amount<false>(&kline.volume, ",\"vwap\":") && scan.skip_real() &&
              scan.literal(",\"interval_begin\":\"") && scan.fine_timestamp(minute, &opens) && opens >= 0 &&
              opens <= LATEST && scan.literal(",\"interval\":") && scan.whole(&minutes) && minutes != 0 &&
              minutes <= 525600)) {
            return false;
        }
        set_known_times(&kline, opens, static_cast<std::uint32_t>(minutes * 60));
        if (scan.literal(",\"timestamp\":\"") && !scan.skip_string()) return false;
        if (!(scan.literal("}") && scan.either(',', ']', &more))) return false;
    } while (more);
    return scan.literal("}") && scan.at_end();
}

// {"channel":"candles",…} of Advanced Trade with candles that change.
inline bool match_coinbase(Scan scan, MinuteCache* minute, PeriodicBatch* batch) {
    constexpr std::uint32_t INTERVAL_S = 300;
    std::int64_t published;
    if (!scan.literal("{\"channel\":\"candles\",")) return false;
    if (scan.literal("\"client_id\":\"") && !(scan.skip_string() && scan.literal(","))) return false;
    if (!(scan.literal("\"timestamp\":\"") && scan.fine_timestamp(minute, &published) &&
          scan.literal(",\"sequence_num\":") && scan.whole(&batch->frameNumber) &&
          scan.literal(",\"events\":[{\"type\":\"update\",\"candles\":["))) {
        return false;
    }
    batch->isNumbered = true;
    bool more;
    do {
        std::uint64_t start;
        ShortText symbol;
        if (!(scan.literal("{\"start\":\"") && scan.whole(&start) && start <= LATEST / SECOND &&
              scan.literal("\",\"high\":\""))) {
            return false;
        }
        Kline& kline = batch->add_kline({});
        kline.exchangeTimeNs = published;
        set_known_times(&kline, static_cast<std::int64_t>(start) * SECOND, INTERVAL_S);
        if (!(scan.amount<true>(&kline.high, "\",\"low\":\"") && scan.amount<true>(&kline.low, "\",\"open\":\"") &&
              scan.amount<true>(&kline.open, "\",\"close\":\"") && scan.amount<true>(&kline.close, "\",\"volume\":\"") &&
              scan.amount<true>(&kline.volume, "\",\"product_id\":\"") && scan.short_string(&symbol) &&
              scan.literal("}") && scan.either(',', ']', &more))) {
            return false;
        }
        batch->natives.back() = symbol.view();
    } while (more);
    return scan.literal("}]}") && scan.at_end();
}

// hot path: end

}  // namespace hft::periodic
