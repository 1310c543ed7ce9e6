// Stress of the order book for AddressSanitizer and UndefinedBehaviorSanitizer. No Python.
//
//   book_stress SEED UPDATES DEPTH
//
// Random updates in random spellings, judged by a model of another make: maps of whole numbers of 128 bits. Half of the
// books have prices whose doubles collide. After each update the best levels, their digits, crossed and locked, and both
// checksums (bit by bit) are compared; at the end the counters. Beside that, checksums are put together from pieces. Texts are copied into memory of exactly their size, so
// that reading beyond one shows. Exit status 1 and a line on standard error at the first violation.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "hftcore/order_book.hpp"

namespace {

using Key = unsigned __int128;  // the price times 10^24
using Texts = std::pair<std::string, std::string>;

struct Level {
    Key key;
    bool gone;
    Texts texts;
};

std::mt19937_64 rng;
std::uint64_t below(std::uint64_t limit) { return rng() % limit; }

[[noreturn]] void fail(const char* what, const std::string& expected, const std::string& found) {
    std::fprintf(stderr, "violated: %s, expected %s, was %s\n", what, expected.c_str(), found.c_str());
    std::exit(1);
}

void expect(const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected != found) fail(what, std::to_string(expected), std::to_string(found));
}

std::string digits_of(Key key) {
    std::string digits;
    for (; key != 0; key /= 10) digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(key % 10)));
    return digits;
}

// A plain number without zeros that could be left out, or one with many, or one with an exponent.
std::string spell(Key key) {
    std::string digits = digits_of(key);
    if (below(6) == 0) {
        int exponent = -24;
        for (; below(20) != 0 && digits.size() > 1 && digits.back() == '0'; ++exponent) digits.pop_back();
        return digits + (exponent < 0 ? "e-" : below(2) ? "e" : "E+0") + std::to_string(std::abs(exponent));
    }
    if (digits.size() <= 24) digits.insert(0, 25 - digits.size(), '0');
    std::string text = digits.substr(0, digits.size() - 24) + "." + digits.substr(digits.size() - 24);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    if (below(8) == 0) text += (text.find('.') == std::string::npos ? "." : "") + std::string(1 + below(50), '0');
    return text;
}

Key power(int exponent) {
    Key value = 1;
    for (int i = 0; i < exponent; ++i) value *= 10;
    return value;
}

// `moved`: how many ticks the market has gone since it began.
Level make_level(bool collide, bool bid, std::uint64_t width, std::int64_t moved) {
    const std::uint64_t step = below(width);
    // Ticks of 10^-6 of a price of 20 digits before the point: 19 digits make no difference to a double.
    const Key unit = collide ? power(18) : power(23);
    const Key start = collide ? power(13) * power(24) : 100'000 * power(24);
    const Key middle = moved < 0 ? start - static_cast<Key>(-moved) * unit : start + static_cast<Key>(moved) * unit;
    const Key key = bid ? middle + 2 * unit - step * unit : middle + step * unit;
    static const char* const NONE[] = {"0", "0.0", "0.00000000", "0.000000000000", "0e-9"};
    const bool gone = below(3) == 0;
    std::string volume = gone                ? NONE[below(5)]
                         : below(20) == 0    ? "1e-400"
                         : below(20) == 0    ? "0." + std::string(60, '7')
                         : below(10) == 0    ? std::to_string(below(1'000'000'000)) + "." + std::string(1 + below(10), '0')
                                             : std::to_string(below(100)) + "." + std::to_string(10'000'001 + below(1000));
    return {key, gone, {spell(key), volume}};
}

// The bytes of texts, each in memory of its own.
struct Memory {
    std::vector<std::unique_ptr<char[]>> blocks;

    hft::Lexeme keep(const std::string& text) {
        blocks.emplace_back(new char[text.size()]);
        std::copy(text.begin(), text.end(), blocks.back().get());
        return {blocks.back().get(), static_cast<std::uint32_t>(text.size())};
    }
};

std::vector<hft::BookLevel> to_book(const std::vector<Level>& levels, Memory* memory) {
    std::vector<hft::BookLevel> found;
    for (const Level& level : levels) {
        hft::BookLevel made{};
        hft::parse_double(level.texts.first, &made.price);
        hft::parse_double(level.texts.second, &made.volume);
        made.priceText = memory->keep(level.texts.first);
        made.volumeText = memory->keep(level.texts.second);
        found.push_back(made);
    }
    return found;
}

struct Model {
    std::map<Key, Texts> sides[2];  // asks, bids
    hft::BookCounters counters{};

    void set(int side, const std::vector<Level>& levels, std::size_t depth) {
        auto& map = sides[side];
        for (const Level& level : levels) {
            const auto place = map.find(level.key);
            if (level.gone) {
                ++(place == map.end() ? counters.unknownRemoved : counters.removed);
                if (place != map.end()) map.erase(place);
            } else {
                ++(place == map.end() ? counters.inserted : counters.changed);
                map[level.key] = level.texts;
            }
        }
        while (depth != 0 && map.size() > depth) {
            map.erase(side ? map.begin() : std::prev(map.end()));
            ++counters.truncated;
        }
    }

    std::vector<Texts> best(int side, std::size_t count) const {
        std::vector<Texts> found;
        const auto& map = sides[side];
        if (side) {
            for (auto at = map.rbegin(); at != map.rend() && found.size() < count; ++at) found.push_back(at->second);
        } else {
            for (auto at = map.begin(); at != map.end() && found.size() < count; ++at) found.push_back(at->second);
        }
        return found;
    }
};

std::uint32_t crc_of(const std::string& text) {
    std::uint32_t crc = ~0u;
    for (const char c : text) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0u);
    }
    return ~crc;
}

std::string plain(std::string text) {
    const std::size_t mark = text.find_first_of("eE");
    long places = 0;
    if (mark != std::string::npos) {
        places = -std::atol(text.c_str() + mark + 1);
        text.resize(mark);
    }
    const std::size_t point = text.find('.');
    if (point != std::string::npos) {
        places += static_cast<long>(text.size() - point - 1);
        text.erase(point, 1);
    }
    text.erase(0, std::min(text.find_first_not_of('0'), text.size()));
    if (places < 0 && !text.empty()) text.append(static_cast<std::size_t>(-places), '0');
    return text;
}

// A text's value, put together from those of random pieces.
void join_pieces() {
    std::string text;
    std::vector<hft::Crc32Piece> pieces;
    for (std::uint64_t i = below(60); i > 0; --i) {
        std::string piece;
        for (std::uint64_t n = below(below(20) == 0 ? 1500 : 40); n > 0; --n) piece += static_cast<char>(below(256));
        pieces.push_back({hft::crc32(0, piece.data(), piece.size()), static_cast<std::uint32_t>(piece.size())});
        text += piece;
    }
    expect("joined", crc_of(text), hft::crc32_joined(pieces.data(), pieces.size()));
    expect("joined by tables", crc_of(text), hft::joined_by_tables(pieces.data(), pieces.size()));
}

void compare(hft::OrderBook& book, const Model& model) {
    const auto bids = model.best(1, 40), asks = model.best(0, 40);
    expect("bids", model.sides[1].size(), book.bid_count());
    expect("asks", model.sides[0].size(), book.ask_count());
    if (book.text_cells() > book.bid_count() + book.ask_count()) fail("cells", "one a level", std::to_string(book.text_cells()));
    if (book.is_near()) {
        const char* const at = reinterpret_cast<const char*>(&book);
        expect("a small book's first bid", hft::OrderBook::BIDS_AT + 64,
               static_cast<std::uint64_t>(reinterpret_cast<const char*>(book.bids()) - at));
        expect("a small book's first ask", hft::OrderBook::ASKS_AT + 64,
               static_cast<std::uint64_t>(reinterpret_cast<const char*>(book.asks()) - at));
    }
    std::string kraken, okx;
    for (int side = 0; side < 2; ++side) {
        const auto& texts = side ? bids : asks;
        for (std::size_t rank = 0; rank < texts.size(); ++rank) {
            const hft::LevelText& cell = side ? book.bid_text(rank) : book.ask_text(rank);
            if (cell.price() != texts[rank].first) fail("price", texts[rank].first, std::string(cell.price()));
            if (cell.volume() != texts[rank].second) fail("volume", texts[rank].second, std::string(cell.volume()));
            double price, volume;
            hft::parse_double(texts[rank].first, &price);
            hft::parse_double(texts[rank].second, &volume);
            const hft::BookRow& row = (side ? book.bids() : book.asks())[rank];
            if (row.price != price || row.volume != volume) fail("number", texts[rank].first, std::to_string(row.price));
            if (rank < 10) kraken += plain(texts[rank].first) + plain(texts[rank].second);
        }
    }
    for (std::size_t rank = 0; rank < 25; ++rank) {
        for (const auto* texts : {&bids, &asks}) {
            if (rank < texts->size()) okx += ":" + (*texts)[rank].first + ":" + (*texts)[rank].second;
        }
    }
    if (below(4) != 0) expect("Kraken's checksum", crc_of(kraken), book.checksum_kraken());
    if (below(4) == 0) {
        expect("OKX's checksum", crc_of(okx.empty() ? okx : okx.substr(1)), static_cast<std::uint32_t>(book.checksum_okx()));
    }
    const bool both = !model.sides[0].empty() && !model.sides[1].empty();
    const Key bid = both ? model.sides[1].rbegin()->first : 0, ask = both ? model.sides[0].begin()->first : 1;
    expect("crossed", bid > ask, book.crossed());
    expect("locked", bid == ask, book.locked());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const std::uint64_t seed = std::strtoull(argv[1], nullptr, 10), updates = std::strtoull(argv[2], nullptr, 10);
    const std::size_t depth = std::strtoull(argv[3], nullptr, 10);
    rng.seed(seed);
    for (std::uint64_t done = 0; done < updates;) {
        join_pieces();
        hft::OrderBook book(depth);
        Model model;
        const bool collide = below(2);
        const std::uint64_t width = 1 + below(below(3) == 0 ? 8 : below(2) ? 60 : 2000);
        // A market that goes one way takes a side's rows to the end of their room.
        const std::int64_t drift = static_cast<std::int64_t>(below(3)) - 1;
        const bool once = below(2);  // only one snapshot, a small one
        for (int number = 0; number < 200 && done < updates; ++number, ++done) {
            const bool snapshot = number == 0 || (!once && below(50) == 0);
            std::vector<Level> sides[2];
            for (int side = 0; side < 2; ++side) {
                const std::uint64_t count = below(snapshot && !once ? 500 : below(3) ? 6 : below(2) ? 40 : 200);
                for (std::uint64_t i = 0; i < count; ++i) sides[side].push_back(make_level(collide, side, width, 40 * drift * number));
                if (below(2)) {
                    std::sort(sides[side].begin(), sides[side].end(),
                              [&](const Level& a, const Level& b) { return side ? a.key > b.key : a.key < b.key; });
                    // As venues send them: each price once.
                    const auto same = [](const Level& a, const Level& b) { return a.key == b.key; };
                    if (below(4)) sides[side].erase(std::unique(sides[side].begin(), sides[side].end(), same), sides[side].end());
                }
            }
            Memory memory;
            const auto bids = to_book(sides[1], &memory), asks = to_book(sides[0], &memory);
            expect("status", hft::BOOK_APPLIED, book.apply(bids.data(), bids.size(), asks.data(), asks.size(), snapshot));
            memory.blocks.clear();
            ++model.counters.updates;
            if (snapshot) {
                ++model.counters.snapshots;
                model.sides[0].clear(), model.sides[1].clear();
            }
            for (int side = 0; side < 2; ++side) model.set(side, sides[side], depth);
            compare(book, model);
        }
        const hft::BookCounters &wanted = model.counters, &found = book.counters();
        expect("updates", wanted.updates, found.updates);
        expect("snapshots", wanted.snapshots, found.snapshots);
        expect("inserted", wanted.inserted, found.inserted);
        expect("changed", wanted.changed, found.changed);
        expect("removed", wanted.removed, found.removed);
        expect("removed though unknown", wanted.unknownRemoved, found.unknownRemoved);
        expect("truncated", wanted.truncated, found.truncated);
        expect("refused", 0, found.refused);
    }
    return 0;
}
