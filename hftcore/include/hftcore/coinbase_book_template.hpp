// Order book frames exactly as Coinbase writes them, Advanced Trade and Exchange; any other spelling is the general path's
// (coinbase_book.hpp), and so is what these refuse. Every function may leave the batch half filled when it says false.
#pragma once

#include "hftcore/book_template.hpp"
#include "hftcore/coinbase_book.hpp"

namespace hft::coinbase {

// hot path: begin

// Entries up to and with the closing bracket, of both sides as the venue mixes them. `read_side` reads what an entry begins
// with and tells whether it is a bid's; `read` reads the rest. The bids go into `levels` at once, the asks behind them.
template <typename ReadSide, typename Read>
HFT_INLINE bool scan_mixed_levels(Scan& scan, BookUpdate* update, BookBatch* batch, ReadSide read_side, Read read) {
    batch->asks.clear();
    if (!scan.literal("[")) return false;
    if (!scan.literal("]")) {
        bool is_bid, more;
        do {
            if (!read_side(scan, &is_bid)) return false;
            BookLevel& level = is_bid ? batch->levels.append() : batch->asks.append();
            if (!read(scan, level) || !scan.either(',', ']', &more)) return false;
        } while (more);
    }
    update->bidsEnd = update->asksBegin = batch->levels.size();
    for (std::size_t i = 0; i < batch->asks.size(); ++i) batch->levels.append() = batch->asks[i];
    update->asksEnd = batch->levels.size();
    return true;
}

HFT_INLINE bool scan_advanced_side(Scan& scan, bool* is_bid) noexcept {
    *is_bid = scan.literal("{\"side\":\"bid\",\"event_time\":\"");
    return *is_bid || scan.literal("{\"side\":\"offer\",\"event_time\":\"");
}

HFT_INLINE bool scan_advanced_level(Scan& scan, BookLevel& level) noexcept {
    return scan.skip_string() && scan.literal(",\"price_level\":\"") &&
           scan_digits<true>(scan, &level.price, &level.priceText, "\",\"new_quantity\":\"") &&
           scan_digits<true>(scan, &level.volume, &level.volumeText, "\"}");
}

// One event, from its brace to its brace.
inline bool match_advanced_event(Scan& scan, BookBatch* batch) {
    const bool is_update = scan.literal("{\"type\":\"update\",\"product_id\":\"");
    if (!is_update && !scan.literal("{\"type\":\"snapshot\",\"product_id\":\"")) return false;
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    update.snapshot = !is_update;
    update.exchangeTimeNs = batch->frameTimeNs;
    update.firstSeq = update.lastSeq = batch->frameSeq;
    update.hasSeq = true;
    return scan.literal(",\"updates\":") &&
           scan_mixed_levels(scan, &update, batch, scan_advanced_side, scan_advanced_level) && scan.literal("}");
}

// After {"channel":"l2_data", and up to the frame's end.
inline bool match_advanced_book(Scan& scan, MinuteCache* minute, BookBatch* batch) {
    if (scan.literal("\"client_id\":\"") && !(scan.skip_string() && scan.literal(","))) return false;
    if (!(scan.literal("\"timestamp\":\"") && scan.fine_timestamp(minute, &batch->frameTimeNs) &&
          scan.literal(",\"sequence_num\":") && scan.whole(&batch->frameSeq) && scan.literal(",\"events\":["))) {
        return false;
    }
    batch->hasFrameSeq = true;
    do {
        if (!match_advanced_event(scan, batch)) return false;
    } while (scan.literal(","));
    return scan.literal("]}");
}

// After ,"time":" and with its closing quote. The zero of the venue's clock is none.
HFT_INLINE bool scan_book_time(Scan& scan, MinuteCache* minute, std::int64_t* ns) noexcept {
    if (scan.literal("0001-01-01T")) return scan.skip_string();
    return scan.fine_timestamp(minute, ns);
}

HFT_INLINE bool scan_change_side(Scan& scan, bool* is_bid) noexcept {
    *is_bid = scan.literal("[\"buy\",\"");
    return *is_bid || scan.literal("[\"sell\",\"");
}

HFT_INLINE bool scan_change(Scan& scan, BookLevel& level) noexcept {
    return scan_digits<true>(scan, &level.price, &level.priceText, "\",\"") &&
           scan_digits<true>(scan, &level.volume, &level.volumeText, "\"]");
}

// After {"type":"l2update","product_id":" and up to the frame's end. The time stands before the changes or behind them.
inline bool match_changes(Scan& scan, MinuteCache* minute, BookBatch* batch) {
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    const bool time_first = scan.literal(",\"time\":\"");
    if (time_first && !scan_book_time(scan, minute, &update.exchangeTimeNs)) return false;
    if (!(scan.literal(",\"changes\":") && scan_mixed_levels(scan, &update, batch, scan_change_side, scan_change))) {
        return false;
    }
    if (!time_first && scan.literal(",\"time\":\"") && !scan_book_time(scan, minute, &update.exchangeTimeNs)) return false;
    return scan.literal("}");
}

// After {"type":"snapshot","product_id":" and up to the frame's end. Either side may stand first.
inline bool match_snapshot(Scan& scan, MinuteCache* minute, BookBatch* batch) {
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    update.snapshot = true;
    const bool asks_first = scan.literal(",\"asks\":");
    if (!(asks_first || scan.literal(",\"bids\":")) || !scan_levels(scan, batch, scan_quoted_level)) return false;
    const std::size_t between = batch->levels.size();
    if (!(asks_first ? scan.literal(",\"bids\":") : scan.literal(",\"asks\":")) ||
        !scan_levels(scan, batch, scan_quoted_level)) {
        return false;
    }
    if (asks_first) {
        update.asksEnd = update.bidsBegin = between;
        update.bidsEnd = batch->levels.size();
    } else {
        update.bidsEnd = update.asksBegin = between;
        update.asksEnd = batch->levels.size();
    }
    if (scan.literal(",\"time\":\"") && !scan_book_time(scan, minute, &update.exchangeTimeNs)) return false;
    return scan.literal("}");
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, MinuteCache* minute, BookBatch* batch) {
    if (scan.literal("{\"channel\":\"l2_data\",")) return match_advanced_book(scan, minute, batch) && scan.at_end();
    if (!scan.literal("{\"type\":\"")) return false;
    if (scan.literal("l2update\",\"product_id\":\"")) return match_changes(scan, minute, batch) && scan.at_end();
    return scan.literal("snapshot\",\"product_id\":\"") && match_snapshot(scan, minute, batch) && scan.at_end();
}

// hot path: end

}  // namespace hft::coinbase
