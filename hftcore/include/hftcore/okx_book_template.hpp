// Order book frames exactly as OKX writes them; any other spelling is the general path's (okx_book.hpp), and so is what
// these refuse. Every function may leave the batch half filled when it says false.
#pragma once

#include "hftcore/book_template.hpp"
#include "hftcore/okx_book.hpp"
#include "hftcore/okx_template.hpp"

namespace hft::okx {

// hot path: begin

// ["8476.98","415","0","13"]: price, size, a number of the past, the count of orders.
HFT_INLINE bool scan_book_level(Scan& scan, BookLevel& level) noexcept {
    return scan.literal("[\"") && scan_digits<true>(scan, &level.price, &level.priceText, "\",\"") &&
           scan_digits<true>(scan, &level.volume, &level.volumeText, "\",\"") &&
           (scan.literal("0\",\"") || (scan.skip_string() && scan.literal(",\""))) && scan.skip_string() &&
           scan.literal("]");
}

// A whole number of 63 bits with or without '-'.
HFT_INLINE bool scan_signed(Scan& scan, std::int64_t* value) noexcept {
    const bool negative = scan.literal("-");
    std::uint64_t magnitude;
    if (!scan.whole(&magnitude) || magnitude > INT64_MAX) return false;
    *value = negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
    return true;
}

HFT_INLINE bool scan_checksum(Scan& scan, BookUpdate* update) noexcept {
    std::int64_t value;
    if (!scan_signed(scan, &value) || value < INT32_MIN || value > INT32_MAX) return false;
    update->checksum = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
    update->hasChecksum = value != 0;
    if (update->hasChecksum) update->checksumKind = CHECKSUM_OKX;
    return true;
}

HFT_INLINE bool scan_previous(Scan& scan, BookUpdate* update) noexcept {
    std::int64_t value;
    if (!scan_signed(scan, &value) || value < -1) return false;
    update->hasPrevSeq = value >= 0;
    if (update->hasPrevSeq) update->prevSeq = static_cast<std::uint64_t>(value);
    return true;
}

// One entry of `data`, from its brace to its brace.
inline bool match_book(Scan& scan, const ShortText& symbol, bool snapshot, BookBatch* batch) {
    BookUpdate& update = batch->add(symbol, -1);
    update.snapshot = snapshot;
    if (!scan.literal("{\"asks\":") || !scan_levels(scan, batch, scan_book_level)) return false;
    update.asksEnd = update.bidsBegin = batch->levels.size();
    if (!scan.literal(",\"bids\":") || !scan_levels(scan, batch, scan_book_level)) return false;
    update.bidsEnd = batch->levels.size();
    // books5 names the instrument once more.
    if (scan.literal(",\"instId\":\"") && !scan.skip_string()) return false;
    if (!(scan.literal(",\"ts\":\"") && match_time(scan, &update.exchangeTimeNs))) return false;
    // None of them was there from the beginning, and the two numbers stand in either order.
    if (scan.literal(",\"checksum\":") && !scan_checksum(scan, &update)) return false;
    const bool previous_first = scan.literal(",\"prevSeqId\":");
    if (previous_first && !scan_previous(scan, &update)) return false;
    if (scan.literal(",\"seqId\":")) {
        if (!scan.whole(&update.lastSeq)) return false;
        update.firstSeq = update.lastSeq;
        update.hasSeq = true;
        if (!previous_first && scan.literal(",\"prevSeqId\":") && !scan_previous(scan, &update)) return false;
    }
    return scan.literal("}");
}

// {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[…]}. Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, BookBatch* batch) {
    if (!scan.literal("{\"arg\":{\"channel\":\"b")) return false;
    bool whole = scan.literal("bo-tbt\"");
    if (!whole) {
        if (!scan.literal("ooks")) return false;
        whole = scan.literal("5\"");
        if (!whole && !scan.skip_string()) return false;
    }
    ShortText symbol;
    if (!(scan.literal(",\"instId\":\"") && scan.short_string(&symbol) && scan.literal("},"))) return false;
    bool snapshot = whole;
    if (!whole) {
        snapshot = !scan.literal("\"action\":\"update\",");
        if (snapshot && !scan.literal("\"action\":\"snapshot\",")) return false;
    }
    if (!scan.literal("\"data\":[")) return false;
    do {
        if (!match_book(scan, symbol, snapshot, batch)) return false;
    } while (scan.literal(","));
    return scan.literal("]}") && scan.at_end();
}

// hot path: end

}  // namespace hft::okx
