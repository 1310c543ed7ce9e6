// A deterministic source of broken inputs, and places in memory where touching one byte too many is seen.
//
// The same seed gives the same inputs on every machine. One thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

// SplitMix64. Source: Steele, Lea, Flood, OOPSLA 2014.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }

    // 0 <= result < limit; 0 for a limit of 0.
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : next() % limit; }
    bool once_in(std::size_t count) { return below(count) == 0; }

private:
    std::uint64_t state_;
};

// Where the input under test lies: changed by the driver, shown when something is found.
inline std::string current_input;
inline std::string current_source;

inline void show(const char* what) {
    std::fprintf(stderr, "%s\n%s\ninput of %zu bytes: \"", what, current_source.c_str(), current_input.size());
    for (const char c : current_input) {
        const unsigned char byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte > 0x7e || c == '"' || c == '\\') {
            std::fprintf(stderr, "\\x%02x", byte);
        } else {
            std::fputc(c, stderr);
        }
    }
    std::fprintf(stderr, "\"\n");
}

[[noreturn]] inline void found(const std::string& what) {
    show(("found: " + what).c_str());
    std::exit(65);
}

#define FUZZ_CHECK(condition, what)                                   \
    do {                                                              \
        if (!(condition)) fuzz::found(std::string(what) + ": " #condition); \
    } while (false)

// Memory whose end touches a page that nobody may read, and whose beginning follows one.
class GuardedPages {
public:
    static constexpr std::size_t BYTES = std::size_t{1} << 16;

    GuardedPages() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
        void* const memory = mmap(nullptr, BYTES + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        first_ = static_cast<char*>(memory) + page_;
        if (mprotect(first_, BYTES, PROT_READ | PROT_WRITE) != 0) std::abort();
    }
    GuardedPages(const GuardedPages&) = delete;
    GuardedPages& operator=(const GuardedPages&) = delete;
    ~GuardedPages() { munmap(first_ - page_, BYTES + 2 * page_); }

    // A copy that ends where the pages end. `text` must fit.
    std::string_view at_end(std::string_view text) { return copied(first_ + BYTES - text.size(), text); }
    std::string_view at_begin(std::string_view text) { return copied(first_, text); }

private:
    static std::string_view copied(char* to, std::string_view text) {
        if (!text.empty()) std::memcpy(to, text.data(), text.size());
        return {to, text.size()};
    }

    std::size_t page_;
    char* first_;
};

// A copy in the heap of exactly its size: AddressSanitizer sees every byte touched outside of it.
class ExactCopy {
public:
    explicit ExactCopy(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
        if (size_ != 0) std::memcpy(bytes_.get(), text.data(), size_);
    }
    std::string_view view() const { return {bytes_.get(), size_}; }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t size_;
};

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A number as a venue, or an attacker, might write it.
inline std::string random_number(Random& random) {
    static const char* const EDGES[] = {
        "0", "-0", "0.0", "00", "01", "-1", "1.", ".5", "1e", "1e+", "+1", "1E5", "1e400", "1e-400", "-1e400",
        "9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808",
        "18446744073709551615", "18446744073709551616", "1e22", "1e23", "1.7976931348623157e308",
        "1.7976931348623159e308", "4.9e-324", "2.4703282292062327e-324", "2.2250738585072011e-308", "NaN", "Infinity",
        "0x10", "1_000", "1e999999999999999999999", "0.00000000", "0.1", "123456789012345678901234567890",
        "99999999.99999999", "12345678.1234567", "123456789.12345678", "1672515782136", "1672515782136000",
        "999999999999999", "1000000000000000", "9223372036854", "9223372036855", "9223372036854775",
        "9223372036854776", "9999999999.999999", "9223372036.854775", "9223372036.854776"};
    if (random.once_in(4)) return EDGES[random.below(sizeof EDGES / sizeof *EDGES)];
    std::string text;
    if (random.once_in(16)) text += '-';
    for (std::size_t i = 0, n = 1 + random.below(random.once_in(4) ? 20 : 9); i < n; ++i) {
        text += static_cast<char>('0' + random.below(10));
    }
    if (!random.once_in(3)) {
        text += '.';
        for (std::size_t i = 0, n = random.below(random.once_in(4) ? 22 : 10); i < n; ++i) {
            text += static_cast<char>('0' + random.below(10));
        }
    }
    if (random.once_in(8)) {
        static const char* const SIGNS[] = {"e", "E", "e-", "E+"};
        text += SIGNS[random.below(4)];
        text += std::to_string(random.below(random.once_in(3) ? 400 : 24));
    }
    return text;
}

// A time as text, mostly a right one.
inline std::string random_time(Random& random) {
    char text[64];
    const std::size_t year = random.once_in(4) ? random.below(10000) : 2020 + random.below(10);
    std::snprintf(text, sizeof text, "%04zu-%02zu-%02zuT%02zu:%02zu:%02zu", year, random.below(14), random.below(33),
                  random.below(26), random.below(62), random.below(62));
    std::string result = text;
    if (!random.once_in(4)) {
        result += '.';
        for (std::size_t i = 0, n = random.once_in(3) ? random.below(12) : 6; i < n; ++i) {
            result += static_cast<char>('0' + random.below(10));
        }
    }
    static const char* const ZONES[] = {"Z", "Z", "Z", "Z", "+01:00", "-23:59", "+24:00", "z", "", "+0100", " Z"};
    return result + ZONES[random.below(sizeof ZONES / sizeof *ZONES)];
}

class Mutator {
public:
    static constexpr std::size_t MAX_BYTES = 1 << 14;

    Mutator(Random& random, std::vector<std::string> seeds) : random_(random), seeds_(std::move(seeds)) {}

    // A broken copy of a seed, or of something kept; some are left whole.
    std::string next() {
        std::string text = pick();
        if (random_.once_in(32)) return text;
        for (std::size_t left = 1 + random_.below(random_.once_in(3) ? 8 : 2); left != 0; --left) mutate(&text);
        if (text.size() > MAX_BYTES) text.resize(MAX_BYTES);
        return text;
    }

    // An input that went deep: mutated again later.
    void keep(const std::string& text) {
        if (text.size() > 2048) return;
        if (kept_.size() < 512) {
            kept_.push_back(text);
        } else {
            kept_[random_.below(kept_.size())] = text;
        }
    }

    const std::vector<std::string>& seeds() const { return seeds_; }

private:
    const std::string& pick() {
        if (!kept_.empty() && random_.once_in(3)) return kept_[random_.below(kept_.size())];
        return seeds_[random_.below(seeds_.size())];
    }

    // Replaces a run of one or more bytes for which `in` holds, near a random place. False if there is none.
    template <typename In>
    bool replace_run(std::string* text, const In& in, const std::string& with) {
        const std::size_t start = random_.below(text->size());
        for (std::size_t i = 0; i < text->size(); ++i) {
            std::size_t at = (start + i) % text->size();
            if (!in((*text)[at])) continue;
            std::size_t first = at;
            while (first > 0 && in((*text)[first - 1])) --first;
            while (at < text->size() && in((*text)[at])) ++at;
            text->replace(first, at - first, with);
            return true;
        }
        return false;
    }

    // A member "key":value or an element, roughly: from one comma or bracket to the next.
    std::string piece(const std::string& text, std::size_t* at, std::size_t* size) {
        std::size_t first = random_.below(text.size());
        while (first > 0 && text[first - 1] != ',' && text[first - 1] != '{' && text[first - 1] != '[') --first;
        std::size_t last = first;
        while (last < text.size() && text[last] != ',' && text[last] != '}' && text[last] != ']') ++last;
        *at = first;
        *size = last - first;
        return text.substr(first, last - first);
    }

    void mutate(std::string* text) {
        static const char* const TOKENS[] = {
            "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "\t", "\r", "null", "true", "false", "\\u0041",
            "\\u0000", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\\n", "\\\"", "\\\\", "\\/", "\\x", "\xc3\xa9", "\xff",
            "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\xc0\x80", "\xef\xbb\xbf", "-", "+", ".", "e", "E", "0", "{}", "[]",
            "\"\"", "\"e\":", "\"data\":", "\"symbol\":", "\"s\":", "\"type\":", "\"channel\":", "\"p\":", "\"b\":",
            "\"side\":", "\"arg\":", "\"product_id\":", "\"feed\":", "\"time\":", "//", "/**/", "'", "\x7f", "\x01",
            "snapshot", "update", "ticker", "trade", "buy", "sell", "error", "event", "NaN", "\xe2\x80\xa8"};
        if (text->empty()) {
            *text = pick();
            return;
        }
        const std::size_t at = random_.below(text->size());
        switch (random_.below(18)) {
            case 0:
                (*text)[at] = static_cast<char>((*text)[at] ^ (1 << random_.below(8)));
                break;
            case 1:
                (*text)[at] = static_cast<char>(random_.below(256));
                break;
            case 2: {
                static const char BYTES[] = "\"\\{}[],:.-+eE0123456789 \n\t\x01\x1f\x7f\x80\xc3\xff/@absu";
                (*text)[at] = random_.once_in(24) ? '\0' : BYTES[random_.below(sizeof BYTES - 1)];
                break;
            }
            case 3:
                text->erase(at, 1 + random_.below(random_.once_in(4) ? 64 : 4));
                break;
            case 4:
                text->insert(at, text->substr(at, 1 + random_.below(random_.once_in(4) ? 64 : 8)));
                break;
            case 5:
                text->insert(at, TOKENS[random_.below(sizeof TOKENS / sizeof *TOKENS)]);
                break;
            case 6: {  // the beginning of this one, the end of another
                const std::string& other = pick();
                if (!other.empty()) *text = text->substr(0, at) + other.substr(random_.below(other.size()));
                break;
            }
            case 7: {  // a piece of another over a piece of this
                const std::string& other = pick();
                if (other.empty()) break;
                const std::string part = other.substr(random_.below(other.size()), 1 + random_.below(24));
                text->replace(at, random_.once_in(2) ? part.size() : random_.below(12), part);
                break;
            }
            case 8:
            case 9:
            case 10:
                replace_run(text, [](char c) { return is_digit(c) || c == '.'; }, random_number(random_));
                break;
            case 11:
                text->resize(at);
                break;
            case 12: {  // a member twice
                std::size_t first, size;
                const std::string part = piece(*text, &first, &size);
                text->insert(first, part + ",");
                break;
            }
            case 13: {  // a member left out, with its comma or without
                std::size_t first, size;
                piece(*text, &first, &size);
                text->erase(first, size + random_.below(2));
                break;
            }
            case 14: {  // a member elsewhere
                std::size_t first, size, other_first, other_size;
                const std::string part = piece(*text, &first, &size);
                text->erase(first, size + 1);
                if (text->empty()) break;
                piece(*text, &other_first, &other_size);
                text->insert(other_first, part + ",");
                break;
            }
            case 15: {  // deep, or many
                static const char* const OPENING[] = {"[", "{\"a\":", "[[", "{\"data\":["};
                const std::string part = random_.once_in(2) ? OPENING[random_.below(4)] : text->substr(at, 24);
                std::string many;
                for (std::size_t i = 0, n = 1 + random_.below(random_.once_in(8) ? 80 : 6); i < n; ++i) many += part;
                text->insert(at, many);
                break;
            }
            case 16:  // the text of a string
                replace_run(
                    text, [](char c) { return c != '"' && c != ',' && c != ':' && c != '{' && c != '[' && c != '}' && c != ']'; },
                    random_.once_in(3) ? random_time(random_) : TOKENS[random_.below(sizeof TOKENS / sizeof *TOKENS)]);
                break;
            default:  // letters of a symbol or key, longer or shorter
                replace_run(
                    text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); },
                    std::string(random_.below(20), static_cast<char>('A' + random_.below(26))));
        }
    }

    Random& random_;
    std::vector<std::string> seeds_;
    std::vector<std::string> kept_;
};

}  // namespace fuzz
