// Single fields: every reader of numbers, times, strings, symbols and topics against a slow model of it.
//
// A reader of Scan may refuse what the model takes (the general path reads it then), but not the usual spellings; it
// must never take what the model refuses, nor make something else of it.
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "driver.hpp"
#include "hftcore/scan.hpp"
#include "hftcore/symbol_table.hpp"
#include "hftcore/topic.hpp"

namespace {

std::uint64_t usual = 0, taken = 0;  // usual spellings; fields that a reader of Scan took
hft::MinuteCache minute;
fuzz::GuardedPages pages;

bool digits(std::string_view text) {
    for (const char c : text) {
        if (!fuzz::is_digit(c)) return false;
    }
    return !text.empty();
}

// How many bytes from the beginning are a number by RFC 8259; 0 if none. `plain`: no exponent is read.
std::size_t number_size(std::string_view text, bool plain = false) {
    std::size_t at = 0;
    const auto run = [&text, &at] {
        const std::size_t first = at;
        while (at < text.size() && fuzz::is_digit(text[at])) ++at;
        return at - first;
    };
    if (at < text.size() && text[at] == '-') ++at;
    const std::size_t first = at;
    const std::size_t whole = run();
    if (whole == 0) return 0;
    if (text[first] == '0' && whole > 1) return 0;
    if (at < text.size() && text[at] == '.') {
        ++at;
        if (run() == 0) return 0;
    }
    if (!plain && at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        ++at;
        if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
        if (run() == 0) return 0;
    }
    return at;
}

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

hft::NumberStatus model_double(std::string_view text, double* value) {
    if (text.empty() || number_size(text) != text.size()) return hft::NumberStatus::NOT_A_NUMBER;
    *value = std::strtod(std::string(text).c_str(), nullptr);
    return std::isinf(*value) ? hft::NumberStatus::OUT_OF_RANGE : hft::NumberStatus::OK;
}

void check_numbers(std::string_view text) {
    double value = 1.0, expected = 2.0;
    const hft::NumberStatus status = model_double(text, &expected);
    FUZZ_CHECK(hft::parse_double(text, &value) == status, "parse_double");
    if (status == hft::NumberStatus::OK) FUZZ_CHECK(same_bits(value, expected), "parse_double's bits");
    std::uint64_t whole = 1;
    const bool is_whole = digits(text) && (text.size() == 1 || text[0] != '0');
    unsigned __int128 exact = 0;
    bool fits = true;
    for (const char c : is_whole ? text : std::string_view()) {
        exact = exact * 10 + static_cast<unsigned>(c - '0');
        fits = fits && exact <= std::numeric_limits<std::uint64_t>::max();
        if (!fits) exact = 0;
    }
    const hft::NumberStatus expected_status = !is_whole ? hft::NumberStatus::NOT_A_NUMBER
                                              : fits    ? hft::NumberStatus::OK
                                                        : hft::NumberStatus::OUT_OF_RANGE;
    FUZZ_CHECK(hft::parse_unsigned(text, &whole) == expected_status, "parse_unsigned");
    if (is_whole && fits) FUZZ_CHECK(whole == exact, "parse_unsigned's value");
    std::int64_t ns;
    const __int128 scaled = exact >= 1'000'000'000'000'000ull ? static_cast<__int128>(exact) * 1'000
                                                              : static_cast<__int128>(exact) * 1'000'000;
    const bool is_time = is_whole && fits && scaled <= std::numeric_limits<std::int64_t>::max();
    FUZZ_CHECK(hft::ns_from_epoch(text, &ns) == is_time, "ns_from_epoch");
    if (is_time) FUZZ_CHECK(ns == scaled, "ns_from_epoch's value");
}

bool fits64(__int128 value) {
    return value <= std::numeric_limits<std::int64_t>::max() && value >= std::numeric_limits<std::int64_t>::min();
}

// The fraction after its point, 1 to 9 digits, as nanoseconds; -1 if it is none.
std::int64_t model_fraction(std::string_view text) {
    if (!digits(text) || text.size() > 9) return -1;
    return std::atoll((std::string(text) + std::string(9 - text.size(), '0')).c_str());
}

bool model_seconds(std::string_view text, std::int64_t* ns) {
    const std::size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    if (!digits(whole) || whole.size() > 11) return false;
    std::int64_t fraction = 0;
    if (point != std::string_view::npos && (fraction = model_fraction(text.substr(point + 1))) < 0) return false;
    const __int128 value = static_cast<__int128>(std::atoll(std::string(whole).c_str())) * 1'000'000'000 + fraction;
    *ns = static_cast<std::int64_t>(value);
    return fits64(value);
}

bool model_rfc3339(std::string_view text, std::int64_t* ns) {
    if (text.size() < 20) return false;
    std::string shape(text.substr(0, 19));
    for (char& c : shape) c = fuzz::is_digit(c) ? '9' : c;
    if (shape != "9999-99-99T99:99:99") return false;
    const auto field = [&text](std::size_t at, std::size_t size) {
        return std::atoi(std::string(text.substr(at, size)).c_str());
    };
    const int year = field(0, 4), month = field(5, 2), day = field(8, 2);
    std::string_view rest = text.substr(19);
    std::int64_t fraction = 0;
    if (rest[0] == '.') {
        std::size_t size = 1;
        while (size < rest.size() && fuzz::is_digit(rest[size])) ++size;
        if ((fraction = model_fraction(rest.substr(1, size - 1))) < 0) return false;
        rest.remove_prefix(size);
    }
    int offset = 0;
    if (rest != "Z") {
        std::string zone(rest);
        for (char& c : zone) c = fuzz::is_digit(c) ? '9' : c == '-' ? '+' : c;
        if (zone != "+99:99") return false;
        const int hours = std::atoi(std::string(rest.substr(1, 2)).c_str());
        const int minutes = std::atoi(std::string(rest.substr(4, 2)).c_str());
        if (hours > 23 || minutes > 59) return false;
        offset = (rest[0] == '-' ? -60 : 60) * (hours * 60 + minutes);
    }
    static constexpr int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const auto is_leap = [](int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; };
    if (month < 1 || month > 12 || day < 1 || field(11, 2) > 23 || field(14, 2) > 59 || field(17, 2) > 59) return false;
    if (day > DAYS[month - 1] + (month == 2 && is_leap(year) ? 1 : 0)) return false;
    // Day by day, year by year.
    __int128 days = day - 1;
    for (int m = 1; m < month; ++m) days += DAYS[m - 1] + (m == 2 && is_leap(year) ? 1 : 0);
    for (int y = 1970; y < year; ++y) days += is_leap(y) ? 366 : 365;
    for (int y = year; y < 1970; ++y) days -= is_leap(y) ? 366 : 365;
    const __int128 value =
        (days * 86400 + field(11, 2) * 3600 + field(14, 2) * 60 + field(17, 2) - offset) * 1'000'000'000 + fraction;
    *ns = static_cast<std::int64_t>(value);
    return fits64(value);
}

void check_times(std::string_view text) {
    std::int64_t ns = 0, expected = 0;
    const bool seconds = model_seconds(text, &expected);
    FUZZ_CHECK(hft::ns_from_seconds(text, &ns) == seconds, "ns_from_seconds");
    if (seconds) FUZZ_CHECK(ns == expected, "ns_from_seconds's value");
    const bool rfc = model_rfc3339(text, &expected);
    FUZZ_CHECK(hft::ns_from_rfc3339(text, &ns) == rfc, "ns_from_rfc3339");
    if (rfc) FUZZ_CHECK(ns == expected, "ns_from_rfc3339's value");
}

constexpr char PREFIX[] = "xxxxxxxxxxxxxxxx";  // Scan::MIN_BYTES

// Where a reader of Scan stands behind what it took: only what follows tells.
void check_rest(hft::Scan scan, std::string_view rest) {
    for (const char c : rest) {
        bool first;
        FUZZ_CHECK(scan.either(c, c, &first), "where the reader stands");
    }
    FUZZ_CHECK(scan.at_end(), "the end");
}

std::size_t plain_size(std::string_view text) {
    std::size_t at = 0;
    // Bytes above 0x7f are negative, whatever char is here.
    while (at < text.size() && static_cast<signed char>(text[at]) >= 0x20 && text[at] != '"' && text[at] != '\\') ++at;
    return at;
}

std::size_t digit_count(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size() && fuzz::is_digit(text[at])) ++at;
    return at;
}

// One amount that ends at `size` of `text`, with `next` behind it.
template <bool QUOTED, std::size_t N>
void check_amount(hft::Scan scan, std::string_view text, const char (&next)[N]) {
    const std::string_view after(next, N - 1);
    const std::string_view number = text.substr(0, number_size(text));
    const std::string_view rest = text.substr(number.size());
    double value = -1.0, expected = 0.0;
    const bool ends = !rest.empty() && (QUOTED ? rest[0] == '"' : rest[0] == ',' || rest[0] == '}');
    const bool right = ends && rest.substr(0, after.size()) == after &&
                       model_double(number, &expected) == hft::NumberStatus::OK && number[0] != '-';
    const bool took = scan.amount<QUOTED>(&value, next);
    FUZZ_CHECK(!took || right, "Scan::amount took what it must not");
    const std::size_t whole = digit_count(number);
    if (right && whole <= 8 && (whole == number.size() || (number.size() - whole - 1 <= 8 && digits(number.substr(whole + 1))))) {
        ++usual;
        FUZZ_CHECK(took, "Scan::amount refused a usual one");
    }
    if (!took) return;
    ++taken;
    FUZZ_CHECK(same_bits(value, expected), "Scan::amount's bits");
    check_rest(scan, rest.substr(after.size()));
}

// All readers at the place in `frame` that follows `PREFIX`, or at its beginning.
void check_scan(std::string_view frame, bool prefixed) {
    if (frame.size() < hft::Scan::MIN_BYTES) return;
    hft::Scan start(frame.data(), frame.size());
    if (prefixed) {
        FUZZ_CHECK(start.literal(PREFIX), "the prefix");
        frame.remove_prefix(sizeof PREFIX - 1);
    }
    check_amount<true>(start, frame, "\"");
    check_amount<true>(start, frame, "\",\"B\":\"");
    check_amount<false>(start, frame, "");
    check_amount<false>(start, frame, ",\"ask_qty\":");
    {
        hft::Scan scan = start;
        std::uint64_t value = 1;
        const std::size_t size = digit_count(frame);
        const bool right = size != 0 && size <= 19 && (size == 1 || frame[0] != '0');
        FUZZ_CHECK(scan.whole(&value) == right, "Scan::whole");
        if (right) {
            FUZZ_CHECK(value == std::strtoull(std::string(frame.substr(0, size)).c_str(), nullptr, 10), "Scan::whole's value");
            check_rest(scan, frame.substr(size));
        }
    }
    {
        hft::Scan scan = start;
        const std::size_t size = number_size(frame, true);
        FUZZ_CHECK(scan.skip_number() == (size != 0), "Scan::skip_number");
        if (size != 0) check_rest(scan, frame.substr(size));
    }
    {
        hft::Scan scan = start;
        hft::Decimal decimal;
        const std::string_view number = frame.substr(0, frame.find_first_not_of("0123456789.eE+-"));
        const bool right = hft::scan_decimal(number, &decimal);
        const bool took = scan.skip_real();
        FUZZ_CHECK(took || !right, "Scan::skip_real refused a number");
        if (took) {
            const std::string_view used = frame.substr(0, static_cast<std::size_t>(scan.at() - frame.data()));
            FUZZ_CHECK(hft::scan_decimal(used, &decimal), "Scan::skip_real took what is none");
            FUZZ_CHECK(!right || used.size() == number.size(), "Scan::skip_real left a part");
        }
    }
    const std::size_t plain = plain_size(frame);
    const bool closed = plain < frame.size() && frame[plain] == '"';
    const std::string_view behind = closed ? frame.substr(plain + 1) : std::string_view();
    {
        hft::Scan scan = start;
        FUZZ_CHECK(scan.skip_string() == closed, "Scan::skip_string");
        if (closed) check_rest(scan, behind);
    }
    {
        hft::Scan scan = start;
        hft::ShortText text;
        const bool right = closed && plain >= 1 && plain <= hft::ShortText::MAX_BYTES;
        const bool took = scan.short_string(&text);
        FUZZ_CHECK(!took || right, "Scan::short_string took what it must not");
        FUZZ_CHECK(took || !right || plain == hft::ShortText::MAX_BYTES, "Scan::short_string refused a usual one");
        if (took) {
            FUZZ_CHECK(text.view() == frame.substr(0, plain), "Scan::short_string's text");
            FUZZ_CHECK(text == hft::ShortText::of(text.view()), "what fills it up");
            check_rest(scan, behind);
        }
    }
    const std::string_view text = frame.substr(0, plain);
    {
        hft::Scan scan = start;
        std::int64_t ns = 0, expected = 0;
        const bool right = closed && model_rfc3339(text, &expected);
        FUZZ_CHECK(scan.timestamp(&minute, &ns) == right, "Scan::timestamp");
        if (right) {
            FUZZ_CHECK(ns == expected, "Scan::timestamp's value");
            check_rest(scan, behind);
        }
    }
    {
        hft::Scan scan = start;
        std::int64_t ns = 0, expected = 0;
        const bool right = closed && model_seconds(text, &expected);
        FUZZ_CHECK(scan.seconds(&ns) == right, "Scan::seconds");
        if (right) {
            FUZZ_CHECK(ns == expected, "Scan::seconds's value");
            check_rest(scan, behind);
        }
    }
    hft::Scan scan = start;
    bool value;
    const bool is_true = frame.substr(0, 4) == "true", is_false = frame.substr(0, 5) == "false";
    FUZZ_CHECK(scan.boolean(&value) == (is_true || is_false), "Scan::boolean");
    if (is_true || is_false) {
        FUZZ_CHECK(value == is_true, "Scan::boolean's value");
        check_rest(scan, frame.substr(is_true ? 4 : 5));
    }
    scan = start;
    const bool is_letter = !frame.empty() && (frame[0] == 'a' || frame[0] == 'z' || frame[0] == 'p');
    FUZZ_CHECK(scan.one_of(1u | 1u << 25 | 1u << ('p' - 'a')) == is_letter, "Scan::one_of");
    if (is_letter) check_rest(scan, frame.substr(1));
}

void check_symbols(std::string_view text) {
    static hft::ShortSymbols shorts;
    static hft::SymbolTable table;
    static std::map<std::string, std::int32_t, std::less<>> model;
    if (model.size() >= 5000) {
        shorts = hft::ShortSymbols();
        table = hft::SymbolTable();
        model.clear();
    }
    const auto known = model.find(text);
    const std::int32_t expected = known == model.end() ? -1 : known->second;
    FUZZ_CHECK(table.find(text.data(), text.size()) == expected, "SymbolTable::find");
    const bool fits = hft::ShortText::fits(text);
    FUZZ_CHECK(fits == (!text.empty() && text.size() <= hft::ShortText::MAX_BYTES && text.find('\0') == std::string_view::npos), "ShortText::fits");
    if (fits) {
        FUZZ_CHECK(shorts.find(hft::ShortText::of(text)) == expected, "ShortSymbols::find");
        FUZZ_CHECK(hft::ShortText::of(text).view() == text, "ShortText::view");
    }
    if (text.size() > 64) return;
    const std::int32_t id = static_cast<std::int32_t>(model.size());
    model.insert_or_assign(std::string(text), id);
    table.insert(text, id);
    if (fits) shorts.insert(hft::ShortText::of(text), id);
    FUZZ_CHECK(table.size() == model.size(), "SymbolTable::size");
}

void check_topics(std::string_view text) {
    static hft::PrefixFilter filter;
    static std::multiset<std::string> model;
    const std::size_t end = text.find_last_not_of(' ');
    const std::size_t size = end == std::string_view::npos ? 0 : end + 1;
    FUZZ_CHECK(hft::topic_text_size(text.data(), text.size()) == size, "topic_text_size");
    for (std::size_t cut : {std::size_t{0}, size / 2, size, text.size()}) {
        FUZZ_CHECK(hft::topic_equals(text.data(), text.size(), text.data(), cut) == (cut >= size), "topic_equals");
    }
    FUZZ_CHECK(!hft::topic_equals(text.data(), text.size(), (std::string(text) + "x").data(), text.size() + 1), "topic_equals");
    std::vector<std::size_t> lengths;
    std::set<std::size_t> expected;
    for (const std::string& prefix : model) {
        if (text.substr(0, prefix.size()) == prefix) expected.insert(prefix.size());
    }
    FUZZ_CHECK(filter.match(text) == !expected.empty(), "PrefixFilter::match");
    FUZZ_CHECK(filter.matching(text) == std::vector<std::size_t>(expected.begin(), expected.end()), "PrefixFilter::matching");
    const std::string prefix(text.substr(0, text.empty() ? 0 : static_cast<unsigned char>(text[0]) % 12));
    if (model.size() > 24 || (text.size() % 3 == 0 && model.count(prefix) != 0)) {
        const std::string gone = model.count(prefix) != 0 ? prefix : *model.begin();
        model.erase(model.find(gone));
        FUZZ_CHECK(filter.remove(gone) == (model.count(gone) == 0), "PrefixFilter::remove");
        FUZZ_CHECK(!filter.remove(gone + "\x01never"), "PrefixFilter::remove of none");
    } else {
        FUZZ_CHECK(filter.add(prefix) == (model.count(prefix) == 0), "PrefixFilter::add");
        model.insert(prefix);
    }
    FUZZ_CHECK(filter.count(prefix) == model.count(prefix), "PrefixFilter::count");
    FUZZ_CHECK(filter.size() == std::set<std::string>(model.begin(), model.end()).size(), "PrefixFilter::size");
}

}  // namespace

void fuzz::begin(const char*, const std::vector<std::string>&) {}

bool fuzz::one_input(std::string_view input) {
    if (input.size() > 4096) input = input.substr(0, 4096);
    const ExactCopy copy(input);
    check_numbers(copy.view());
    check_times(copy.view());
    check_symbols(copy.view());
    check_topics(copy.view());
    // With nothing behind it, with little, and with so much that sixteen bytes can be looked at.
    static const char* const TAILS[] = {"", "\"", "\",\"B\":\"1\"}", ",\"ask_qty\":1}", "}", ",", "\",\"B\":\"250.35190000\",\"a\":\"1.5\"}}}}}}}}",
                                        ",\"ask_qty\":12.5,\"timestamp\":\"2026-03-01T12:30:45.1Z\"}]}", "}]}                                   "};
    for (const char* tail : TAILS) {
        const std::string text = std::string(input) + tail;
        const ExactCopy whole(text);
        check_scan(whole.view(), false);
        const std::string prefixed = PREFIX + text;
        check_scan(pages.at_end(prefixed), true);
        check_scan(ExactCopy(prefixed).view(), true);
    }
    return false;
}

std::string fuzz::summary() {
    return std::to_string(usual) + " usual amounts, " + std::to_string(taken) + " amounts taken by Scan";
}
