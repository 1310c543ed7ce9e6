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

// The least that a frame of the templates below takes, and what `scan_pair` may look back to.
constexpr std::ptrdiff_t MIN_BOOK_BYTES = 64;

#if defined(__SSE2__)
// Keeps the last n of eight bytes.
alignas(64) constexpr std::uint64_t LAST[] = {
    0,          ~0ull << 56, ~0ull << 48, ~0ull << 40, ~0ull << 32,
    ~0ull << 24, ~0ull << 16, ~0ull << 8,  ~0ull,
};

HFT_INLINE __m128i two_words(const void* first, const void* second) noexcept {
    return _mm_unpacklo_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(first)),
                              _mm_loadl_epi64(static_cast<const __m128i*>(second)));
}

// The digits before a point and those before the amount's end, as `four_numbers` wants them.
HFT_INLINE __m128i digits_of(const char* point, std::ptrdiff_t whole, const char* stop, std::ptrdiff_t places) noexcept {
    const __m128i text = _mm_xor_si128(two_words(point - 8, stop - 8), _mm_set1_epi8('0'));
    return _mm_and_si128(text, two_words(LAST + whole, LAST + places));
}

HFT_INLINE double value_of(std::uint64_t numbers, std::ptrdiff_t places) noexcept {
    const std::uint64_t mantissa = (numbers & 0xffffffff) * swar::POWERS[places] + (numbers >> 32);
    return static_cast<double>(static_cast<std::int64_t>(mantissa)) / swar::DOUBLE_POWERS[places];
}

HFT_INLINE std::ptrdiff_t take_lowest(std::uint64_t* bits) noexcept {
    const std::ptrdiff_t at = __builtin_ctzll(*bits);
    *bits &= *bits - 1;
    return at;
}

// Two amounts as in 61826.80","0.03312000", each with a point and 15 digits at most, from the first digit on. Their lengths
// change from level to level, so that none of them is guessed: what is no digit tells them all at once.
// Returns the place of the last quote, from `p`; 0: they look otherwise. MIN_BOOK_BYTES must stand before `end`.
HFT_INLINE std::ptrdiff_t scan_pair(const char* p, const char* end, BookLevel& level) noexcept {
    constexpr std::ptrdiff_t WINDOW = 32;
    const char* const window = end - p < WINDOW ? end - WINDOW : p;
    // Behind the window there are bits enough, so that it never ends.
    std::uint64_t rest = ~std::uint64_t{swar::digits16(window) | swar::digits16(window + 16) << 16} >> (p - window);
    const std::ptrdiff_t point1 = take_lowest(&rest), stop1 = take_lowest(&rest);
    rest &= rest - 1;
    const std::ptrdiff_t begin2 = take_lowest(&rest) + 1, point2 = take_lowest(&rest), stop2 = take_lowest(&rest);
    const std::ptrdiff_t places1 = stop1 - point1 - 1, whole2 = point2 - begin2, places2 = stop2 - point2 - 1;
    const auto counts = static_cast<std::size_t>((point1 - 1) | (places1 - 1) | (whole2 - 1) | (places2 - 1));
    // Each from 1 to 8, and 15 at most of one amount.
    if (counts > 7 || begin2 != stop1 + 3 || stop1 == 17 || stop2 - begin2 == 17 || stop2 >= end - p) return 0;
    std::uint32_t between, quotes;
    std::memcpy(&between, p + stop1, 4);
    std::memcpy(&quotes, "\",\"\0", 4);
    if ((((between ^ quotes) & 0xffffff) | (p[point1] ^ '.') | (p[point2] ^ '.') | (p[stop2] ^ '"')) != 0) return 0;
    if (((point1 > 1) & (p[0] == '0')) | ((whole2 > 1) & (p[begin2] == '0'))) return 0;
    const auto numbers = swar::four_numbers(digits_of(p + point1, point1, p + stop1, places1),
                                            digits_of(p + point2, whole2, p + stop2, places2));
    level.price = value_of(numbers.first, places1);
    level.volume = value_of(numbers.second, places2);
    level.priceText = {p, static_cast<std::uint32_t>(stop1), static_cast<TextForm>(places1)};
    level.volumeText = {p + begin2, static_cast<std::uint32_t>(stop2 - begin2), static_cast<TextForm>(places2)};
    return stop2;
}
#endif

// The same with its last quote, of any spelling. `usual`: the place of the quote, as it was the last time: what follows
// need not wait for what it is this time, as long as it is the same.
HFT_INLINE bool scan_quoted_pair(Scan& scan, BookLevel& level, std::ptrdiff_t* usual) noexcept {
#if defined(__SSE2__)
    const char* const p = scan.at();
    if (const std::ptrdiff_t stop = scan_pair(p, scan.end(), level); __builtin_expect(stop != 0, 1)) {
        if (stop != *usual) {
            *usual = stop;
            asm volatile("" : "+r"(*usual));
        }
        scan.move_to(p + *usual + 1);
        return true;
    }
#endif
    return scan_digits<true>(scan, &level.price, &level.priceText, "\",\"") &&
           scan_digits<true>(scan, &level.volume, &level.volumeText, "\"");
}

// Levels of two amounts up to and with the closing bracket.
HFT_INLINE bool scan_quoted_levels(Scan& scan, BookBatch* batch) {
    if (scan.literal("[]")) return true;
    if (!scan.literal("[[\"")) return false;
    std::ptrdiff_t usual = 0;
    do {
        if (!scan_quoted_pair(scan, batch->levels.append(), &usual)) return false;
    } while (scan.literal("],[\""));
    return scan.literal("]]");
}

// A whole number without sign, mostly of up to 15 digits, where sixteen bytes of the frame stand before it. Its length is
// not guessed: the numbers of one symbol's updates have another than those of the next one's. `count` becomes its length.
HFT_INLINE bool scan_number(Scan& scan, std::uint64_t* value, int* count) noexcept {
#if defined(__SSE2__)
    const char* const p = scan.at();
    if (scan.left() >= 16) {
        const int size = swar::first_unset(swar::digits16(p));
        if (static_cast<unsigned>(size - 1) < 15 && !((size > 1) & (*p == '0'))) {
            *value = swar::number_before(p + size, size);
            *count = size;
            scan.move_to(p + size);
            return true;
        }
    }
#endif
    *count = 0;
    return scan.whole(value);
}

// The same where it mostly is as long as one before.
HFT_INLINE bool scan_number_of(Scan& scan, int count, std::uint64_t* value) noexcept {
#if defined(__SSE2__)
    const char* const p = scan.at();
    if (count != 0 && scan.left() >= 16 && swar::first_unset(swar::digits16(p)) == count && !((count > 1) & (*p == '0'))) {
        *value = swar::number_before(p + count, count);
        scan.move_to(p + count);
        return true;
    }
#endif
    return scan.whole(value);
}

namespace binance {

// {"e":"depthUpdate",…} of the spot market, or of the futures with T and pu. `size`: how long the symbol mostly is.
inline bool match_depth_update(Scan& scan, std::size_t size, BookBatch* batch) {
    std::uint64_t published, changed, first, last, previous = 0;
    std::int64_t ns, ignored;
    ShortText symbol;
    int count;
    if (!(scan.literal("{\"e\":\"depthUpdate\",\"E\":") && scan.whole(&published))) return false;
    if (!scan.literal(",\"s\":\"")) {
        if (!(scan.literal(",\"T\":") && scan.whole(&changed) && ns_from_epoch(changed, &ignored) &&
              scan.literal(",\"s\":\""))) {
            return false;
        }
    }
    if (!(scan.short_string_of(size, &symbol) && scan.literal(",\"U\":") && scan_number(scan, &first, &count) &&
          scan.literal(",\"u\":") && scan_number_of(scan, count, &last) && first <= last &&
          ns_from_epoch(published, &ns))) {
        return false;
    }
    BookUpdate& update = batch->add(symbol, -1);
    update.exchangeTimeNs = ns;
    update.firstSeq = first;
    update.lastSeq = last;
    update.hasSeq = true;
    if (!scan.literal(",\"b\":")) {
        if (!(scan.literal(",\"pu\":") && scan.whole(&previous) && scan.literal(",\"b\":"))) return false;
        update.prevSeq = previous;
        update.hasPrevSeq = true;
    }
    if (!scan_quoted_levels(scan, batch)) return false;
    update.bidsEnd = update.asksBegin = batch->levels.size();
    if (!scan.literal(",\"a\":") || !scan_quoted_levels(scan, batch)) return false;
    update.asksEnd = batch->levels.size();
    return scan.literal("}");
}

// The rest of a stream's name that says the diffs of a symbol, with its quote: btcusdt@depth@100ms". `size`: the symbol's.
HFT_INLINE bool scan_stream(Scan& scan, std::size_t* size) noexcept {
#if defined(__SSE2__)
    constexpr std::ptrdiff_t LOOKED_AT = 16 + 13;
    if (scan.left() >= LOOKED_AT) {
        const char* const p = scan.at();
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const auto ats = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('@'))));
        const unsigned before = (ats - 1) & ~ats;  // the bytes before the first
        const std::ptrdiff_t at = __builtin_ctz(ats | 0x10000);
        if (ats != 0 && (swar::not_plain16(bytes) & before) == 0 && swar::same<6>(p + at, "@depth")) {
            *size = static_cast<std::size_t>(at);
            if (swar::same<7>(p + at + 6, "@100ms\"")) {
                scan.move_to(p + at + 13);
                return true;
            }
            if (p[at + 6] == '"') {
                scan.move_to(p + at + 7);
                return true;
            }
        }
    }
#endif
    const char* const begin = scan.at();
    *size = 0;
    return scan.skip_string() && !names_partial_depth({begin, static_cast<std::size_t>(scan.at() - begin) - 1});
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, BookBatch* batch) {
    std::size_t size = 0;
    if (scan.left() < MIN_BOOK_BYTES) return false;
    if (!scan.literal("{\"stream\":\"")) return match_depth_update(scan, size, batch) && scan.at_end();
    return scan_stream(scan, &size) && scan.literal(",\"data\":") && match_depth_update(scan, size, batch) &&
           scan.literal("}") && scan.at_end();
}

}  // namespace binance

namespace kraken {

HFT_INLINE bool scan_level_object(Scan& scan, BookLevel& level) noexcept {
    return scan.literal("{\"price\":") && scan_digits<false>(scan, &level.price, &level.priceText, ",\"qty\":") &&
           scan_digits<false>(scan, &level.volume, &level.volumeText, "}");
}

HFT_INLINE void set_checksum(std::uint32_t value, BookUpdate* update) noexcept {
    update->checksum = value;
    update->hasChecksum = true;
    update->checksumKind = CHECKSUM_KRAKEN;
}

HFT_INLINE bool scan_checksum(Scan& scan, BookUpdate* update) noexcept {
    std::uint64_t value;
    if (!scan.whole(&value) || value > UINT32_MAX) return false;
    set_checksum(static_cast<std::uint32_t>(value), update);
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
    std::uint64_t checksum;
    int count;
    if (!(scan.literal("[") && scan.skip_whole() && scan.literal(",{\"") && scan.left() > 0)) return false;
    // Which side it is cannot be guessed: no branch.
    const char side = *scan.at();
    const bool bids = side == 'b';
    if (!(bids | (side == 'a'))) return false;
    scan.move_to(scan.at() + 1);
    if (!scan.literal("\":")) return false;
    // The symbol stands at the end.
    BookUpdate& update = batch->add(ShortText{}, -1);
    std::int64_t youngest = 0;
    std::ptrdiff_t usual = 0;
    const auto read = [&youngest, &usual](Scan& at, BookLevel& level) noexcept {
        std::int64_t ns;
        if (!(at.literal("[\"") && scan_quoted_pair(at, level, &usual) && at.literal(",\"") && at.seconds(&ns))) {
            return false;
        }
        youngest = ns > youngest ? ns : youngest;
        return at.literal("]") || at.literal(",\"r\"]");
    };
    if (!scan_levels(scan, batch, read)) return false;
    update.exchangeTimeNs = youngest;
    update.asksEnd = batch->levels.size();
    update.bidsEnd = update.asksBegin = bids ? update.asksEnd : update.bidsBegin;
    if (!(scan.literal(",\"c\":\"") && scan_number(scan, &checksum, &count) && checksum <= UINT32_MAX)) return false;
    set_checksum(static_cast<std::uint32_t>(checksum), &update);
    if (!(scan.literal("\"},\"book-") && scan.skip_whole() && scan.literal("\",\""))) return false;
    // The quote and the bracket end the frame.
    return scan.last_string(2, &batch->natives[0].inside) && scan.literal("]");
}

// Throws std::bad_alloc alone.
inline bool match_book_frame(Scan scan, MinuteCache* minute, BookBatch* batch) {
    if (scan.left() < MIN_BOOK_BYTES) return false;
    if (*scan.at() == '[') return match_book_array(scan, batch) && scan.at_end();
    return match_book_object(scan, minute, batch) && scan.at_end();
}

}  // namespace kraken

// hot path: end

}  // namespace hft
