// Order book frames exactly as Kraken Futures writes them; any other spelling is the general path's
// (kraken_futures_book.hpp), and so is what these refuse. Every function may leave the batch half filled when it says false.
#pragma once

#include "hftcore/book_template.hpp"
#include "hftcore/kraken_futures_book.hpp"

namespace hft::kraken_futures {

// hot path: begin

HFT_INLINE bool scan_time(Scan& scan, std::int64_t* ns) noexcept {
    std::uint64_t ms;
    return scan.whole(&ms) && ns_from_milliseconds(ms, ns);
}

HFT_INLINE bool scan_sequence(Scan& scan, BookUpdate* update) noexcept {
    if (!scan.whole(&update->lastSeq)) return false;
    update->firstSeq = update->lastSeq;
    update->hasSeq = true;
    return true;
}

// After {"feed":"book","product_id":" and up to the frame's end: one level.
inline bool match_book_level(Scan& scan, BookBatch* batch) {
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    const bool bid = scan.literal(",\"side\":\"buy\"");
    if (!bid && !scan.literal(",\"side\":\"sell\"")) return false;
    BookLevel& level = batch->levels.append();
    if (!(scan.literal(",\"seq\":") && scan_sequence(scan, &update) && scan.literal(",\"price\":") &&
          scan_digits<false>(scan, &level.price, &level.priceText, ",\"qty\":") &&
          scan_digits<false>(scan, &level.volume, &level.volumeText, ",\"timestamp\":") &&
          scan_time(scan, &update.exchangeTimeNs))) {
        return false;
    }
    update.asksEnd = batch->levels.size();
    update.bidsEnd = update.asksBegin = bid ? update.asksEnd : update.bidsBegin;
    return scan.literal("}");
}

// After {"feed":"book_snapshot","product_id":" and up to the frame's end.
inline bool match_book_snapshot(Scan& scan, BookBatch* batch) {
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    update.snapshot = true;
    if (!(scan.literal(",\"timestamp\":") && scan_time(scan, &update.exchangeTimeNs) && scan.literal(",\"seq\":") &&
          scan_sequence(scan, &update))) {
        return false;
    }
    // Frames of 2021 have it here, the documentation at the end.
    const bool has_tick = scan.literal(",\"tickSize\":null");
    if (!scan.literal(",\"bids\":") || !scan_levels(scan, batch, kraken::scan_level_object)) return false;
    update.bidsEnd = update.asksBegin = batch->levels.size();
    if (!scan.literal(",\"asks\":") || !scan_levels(scan, batch, kraken::scan_level_object)) return false;
    update.asksEnd = batch->levels.size();
    if (!has_tick) scan.literal(",\"tickSize\":null");
    return scan.literal("}");
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, BookBatch* batch) {
    if (!scan.literal("{\"feed\":\"book")) return false;
    if (scan.literal("\",\"product_id\":\"")) return match_book_level(scan, batch) && scan.at_end();
    return scan.literal("_snapshot\",\"product_id\":\"") && match_book_snapshot(scan, batch) && scan.at_end();
}

// hot path: end

}  // namespace hft::kraken_futures
