// Order book frames exactly as Binance and Kraken write them; any other spelling is the general path's (binance_book.hpp,
// kraken_book.hpp), and so is what these refuse. Every function may leave the batch half filled when it says false.
#pragma once

#include "hftcore/binance_book.hpp"
#include "hftcore/book_batch.hpp"
#include "hftcore/scan.hpp"

namespace hft {

// hot path: begin

// A price or a volume with its digits, and what must follow it.
template <bool QUOTED, std::size_t N>
HFT_INLINE bool scan_digits(Scan& scan, double* value, Lexeme* text, const char (&next)[N]) noexcept {
    const char* const begin = scan.at();
    int places = -1;
    if (!scan.amount<QUOTED>(value, next, &places)) return false;
    const std::size_t size = static_cast<std::size_t>(scan.at() - begin) - (N - 1);
    // Where the places are told there are 15 digits at most.
    *text = {begin, static_cast<std::uint32_t>(size), places < 0 ? FORM_UNKNOWN : static_cast<TextForm>(places)};
    return size <= MAX_LEXEME;
}

// Levels up to and with the closing bracket; `read` reads one.
template <typename Read>
HFT_INLINE bool scan_levels(Scan& scan, BookBatch* batch, Read read) {
    if (!scan.literal("[")) return false;
    if (scan.literal("]")) return true;
    bool more;
    do {
        if (!read(scan, batch->levels.append()) || !scan.either(',', ']', &more)) return false;
    } while (more);
    return true;
}

HFT_INLINE bool scan_quoted_level(Scan& scan, BookLevel& level) noexcept {
    return scan.literal("[\"") && scan_digits<true>(scan, &level.price, &level.priceText, "\",\"") &&
           scan_digits<true>(scan, &level.volume, &level.volumeText, "\"]");
}

namespace binance {

// {"e":"depthUpdate",…} of the spot market, or of the futures with T and pu.
inline bool match_depth_update(Scan& scan, BookBatch* batch) {
    std::uint64_t published, changed, first, last, previous = 0;
    std::int64_t ns, ignored;
    ShortText symbol;
    if (!(scan.literal("{\"e\":\"depthUpdate\",\"E\":") && scan.whole(&published))) return false;
    if (scan.literal(",\"T\":") && !(scan.whole(&changed) && ns_from_epoch(changed, &ignored))) return false;
    if (!(scan.literal(",\"s\":\"") && scan.short_string(&symbol) && scan.literal(",\"U\":") && scan.whole(&first) &&
          scan.literal(",\"u\":") && scan.whole(&last) && first <= last && ns_from_epoch(published, &ns))) {
        return false;
    }
    const bool has_previous = scan.literal(",\"pu\":");
    if (has_previous && !scan.whole(&previous)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    update.exchangeTimeNs = ns;
    update.firstSeq = first;
    update.lastSeq = last;
    update.hasSeq = true;
    update.prevSeq = previous;
    update.hasPrevSeq = has_previous;
    if (!scan.literal(",\"b\":") || !scan_levels(scan, batch, scan_quoted_level)) return false;
    update.bidsEnd = update.asksBegin = batch->levels.size();
    if (!scan.literal(",\"a\":") || !scan_levels(scan, batch, scan_quoted_level)) return false;
    update.asksEnd = batch->levels.size();
    return scan.literal("}");
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, BookBatch* batch) {
    if (!scan.literal("{\"stream\":\"")) return match_depth_update(scan, batch) && scan.at_end();
    const char* const begin = scan.at();
    if (!scan.skip_string()) return false;
    const std::string_view stream(begin, static_cast<std::size_t>(scan.at() - begin) - 1);
    return !names_partial_depth(stream) && scan.literal(",\"data\":") && match_depth_update(scan, batch) &&
           scan.literal("}") && scan.at_end();
}

}  // namespace binance

namespace kraken {

HFT_INLINE bool scan_level_object(Scan& scan, BookLevel& level) noexcept {
    return scan.literal("{\"price\":") && scan_digits<false>(scan, &level.price, &level.priceText, ",\"qty\":") &&
           scan_digits<false>(scan, &level.volume, &level.volumeText, "}");
}

HFT_INLINE bool scan_checksum(Scan& scan, BookUpdate* update) noexcept {
    std::uint64_t value;
    if (!scan.whole(&value) || value > UINT32_MAX) return false;
    update->checksum = static_cast<std::uint32_t>(value);
    update->hasChecksum = true;
    update->checksumKind = CHECKSUM_KRAKEN;
    return true;
}

// {"channel":"book","type":"update","data":[{…}]} of WebSocket v2, with one symbol.
inline bool match_book_object(Scan& scan, MinuteCache* minute, BookBatch* batch) {
    const bool is_update = scan.literal("{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"");
    if (!is_update && !scan.literal("{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{\"symbol\":\"")) return false;
    ShortText symbol;
    if (!scan.short_string(&symbol)) return false;
    BookUpdate& update = batch->add(symbol, -1);
    update.snapshot = !is_update;
    if (!scan.literal(",\"bids\":") || !scan_levels(scan, batch, scan_level_object)) return false;
    update.bidsEnd = update.asksBegin = batch->levels.size();
    if (!scan.literal(",\"asks\":") || !scan_levels(scan, batch, scan_level_object)) return false;
    update.asksEnd = batch->levels.size();
    if (!scan.literal(",\"checksum\":") || !scan_checksum(scan, &update)) return false;
    if (scan.literal(",\"timestamp\":\"") && !scan.timestamp(minute, &update.exchangeTimeNs)) return false;
    return scan.literal("}]}");
}

// [336,{"b":[["27119.90000","13.54109952","1693415327.935623"]],"c":"974942666"},"book-1000","XBT/USD"] of v1.
inline bool match_book_array(Scan& scan, BookBatch* batch) {
    std::uint64_t id, depth;
    bool bids;
    if (!(scan.literal("[") && scan.whole(&id) && scan.literal(",{\"") && scan.either('b', 'a', &bids) &&
          scan.literal("\":"))) {
        return false;
    }
    // The symbol stands at the end.
    BookUpdate& update = batch->add(ShortText{}, -1);
    std::int64_t youngest = 0;
    const auto read = [&youngest](Scan& at, BookLevel& level) noexcept {
        std::int64_t ns;
        if (!(at.literal("[\"") && scan_digits<true>(at, &level.price, &level.priceText, "\",\"") &&
              scan_digits<true>(at, &level.volume, &level.volumeText, "\",\"") && at.seconds(&ns))) {
            return false;
        }
        youngest = ns > youngest ? ns : youngest;
        return at.literal("]") || at.literal(",\"r\"]");
    };
    if (!scan_levels(scan, batch, read)) return false;
    update.exchangeTimeNs = youngest;
    update.asksEnd = batch->levels.size();
    update.bidsEnd = update.asksBegin = bids ? update.asksEnd : update.bidsBegin;
    return scan.literal(",\"c\":\"") && scan_checksum(scan, &update) && scan.literal("\"},\"book-") && scan.whole(&depth) &&
           scan.literal("\",\"") && scan.short_string(&batch->natives[0].inside) && scan.literal("]");
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, MinuteCache* minute, BookBatch* batch) {
    if (*scan.at() == '[') return match_book_array(scan, batch) && scan.at_end();
    return match_book_object(scan, minute, batch) && scan.at_end();
}

}  // namespace kraken

// hot path: end

}  // namespace hft
