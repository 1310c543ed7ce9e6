// Every book frame of a venue, however broken, through decoder, rules and book: nothing outside it is touched or kept,
// every amount is its text's, what is shown is whole and not crossed, and what is not is invalid with a reason.
#include <array>
#include <cmath>
#include <memory>

#include "driver.hpp"
#include "hftcore/book_decoder.hpp"
#include "hftcore/book_sync.hpp"

namespace {

using fuzz::found;

constexpr std::int64_t LOCAL_TIME_NS = 1'700'000'000'123'456'789;
constexpr std::size_t BOOKS = 4;

std::int32_t id_of(std::string_view native) {
    std::uint32_t h = 2166136261u;
    for (const char c : native) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
    return static_cast<std::int32_t>(h & 0x7fffffff);
}

struct Target {
    std::uint8_t exchange = 0;
    bool outside = false;
    hft::BookDecoder decoder;
    std::array<std::unique_ptr<hft::OrderBook>, BOOKS> books;
    std::array<std::unique_ptr<hft::BookKeeper>, BOOKS> keepers;
    std::uint64_t inputs = 0, shown = 0, refused = 0, gaps = 0, held = 0;
};

Target& target() {
    static Target instance;
    return instance;
}

void check_level(const hft::BookLevel& level) {
    double price = 0.0, volume = 0.0;
    FUZZ_CHECK(hft::parse_double(level.priceText.view(), &price) == hft::NumberStatus::OK, "a price's text");
    FUZZ_CHECK(hft::parse_double(level.volumeText.view(), &volume) == hft::NumberStatus::OK, "a volume's text");
    FUZZ_CHECK(price == level.price && volume == level.volume, "an amount is its text's");
    FUZZ_CHECK(std::isfinite(price) && !std::signbit(price) && std::isfinite(volume) && !std::signbit(volume), "an amount");
}

void follow(hft::BookKeeper& keeper, hft::BookOutcome outcome) {
    Target& t = target();
    const hft::OrderBook& book = *keeper.book();
    if (outcome == hft::OUTCOME_DELIVER) {
        ++t.shown;
        FUZZ_CHECK(book.state() == hft::BOOK_VALID && !book.crossed() && keeper.synced(), "what is shown is whole");
    } else if (outcome == hft::OUTCOME_GAP) {
        ++t.gaps;
        FUZZ_CHECK(book.state() == hft::BOOK_INVALID && !keeper.synced(), "what does not hold is invalid");
        FUZZ_CHECK(std::string_view(keeper.why()).size() > 3, "a reason");
    } else if (outcome == hft::OUTCOME_HELD || outcome == hft::OUTCOME_ASK) {
        ++t.held;
        FUZZ_CHECK(t.outside && keeper.held() <= hft::BookKeeper::MAX_HELD, "only what waits is held");
        FUZZ_CHECK(book.state() == hft::BOOK_INVALID, "a book that waits is invalid");
    } else {
        FUZZ_CHECK(outcome == hft::OUTCOME_OUTDATED || outcome == hft::OUTCOME_WAITING, "an outcome");
    }
}

// False: the frame was refused.
bool take(std::string_view frame, std::string_view native) {
    Target& t = target();
    hft::BookDecoder& decoder = t.decoder;
    const int kind = decoder.decode(frame.data(), frame.size(), LOCAL_TIME_NS, native);
    FUZZ_CHECK(kind >= hft::FRAME_ERROR && kind <= hft::FRAME_OTHER, "the kind");
    if (kind != hft::FRAME_EVENTS) FUZZ_CHECK(decoder.count() == 0 && decoder.unknown() == 0, "only EVENTS have updates");
    if (kind == hft::FRAME_ERROR) {
        ++t.refused;
        FUZZ_CHECK(decoder.reason_size() > 0 && decoder.reason_size() < 1024, "a reason");
        return false;
    }
    std::size_t end = 0;
    for (std::size_t i = 0; i < decoder.count(); ++i) {
        const std::string_view spelling(decoder.native_data(i), decoder.native_size(i));
        FUZZ_CHECK(!spelling.empty(), "a spelling");
        if (decoder.update(i).symbol < 0) FUZZ_CHECK(decoder.learn(i, id_of(spelling)), "learnt");
        const hft::BookUpdate& update = decoder.update(i);
        FUZZ_CHECK(update.symbol == id_of(spelling) && update.exchange == t.exchange, "an update's fields");
        FUZZ_CHECK(update.bidsBegin == end && update.bidsEnd >= end && update.asksBegin == update.bidsEnd, "in one piece");
        FUZZ_CHECK(update.asksEnd >= update.asksBegin, "a range");
        end = update.asksEnd;
        for (std::size_t level = update.bidsBegin; level < end; ++level) check_level(decoder.levels()[level]);
        hft::BookKeeper& keeper = *t.keepers[static_cast<std::size_t>(update.symbol) % BOOKS];
        if (native.empty()) {
            follow(keeper, keeper.take(update, decoder.levels()));
            continue;
        }
        const bool waited = !keeper.synced();
        const hft::BookOutcome outcome = keeper.take_snapshot(update, decoder.levels());
        if (waited) follow(keeper, outcome);
        hft::BookOutcome next;
        while (keeper.take_held(&next)) follow(keeper, next);
    }
    FUZZ_CHECK(decoder.unknown() == 0, "all symbols are known now");
    return decoder.count() != 0;
}

}  // namespace

void fuzz::begin(const char* name, const std::vector<std::string>& seeds) {
    static const std::pair<const char*, std::uint8_t> EXCHANGES[] = {
        {"binance", 1}, {"coinbase", 2}, {"kraken", 3}, {"okx", 5}, {"binance_future", 8}, {"okx_swap", 9},
        {"kraken_future", 11}};
    Target& t = target();
    for (const auto& [known, number] : EXCHANGES) {
        if (std::string_view(name) == known) t.exchange = number;
    }
    t.outside = t.exchange == 1 || t.exchange == 8;
    t.decoder.set_exchange(t.exchange);
    for (std::size_t i = 0; i < BOOKS; ++i) {
        t.books[i] = std::make_unique<hft::OrderBook>(t.exchange == 3 ? 10 : 0);
        t.keepers[i] = std::make_unique<hft::BookKeeper>(t.books[i].get(), t.outside);
    }
    if (seeds.empty()) std::exit(2);
}

bool fuzz::one_input(std::string_view input) {
    Target& t = target();
    ++t.inputs;
    if (t.inputs % 512 == 0) {
        for (const auto& keeper : t.keepers) keeper->invalidate("a new connection");
    }
    // Freed at once: what is held for later must be a copy.
    const ExactCopy copy(input);
    const bool bare = t.outside && input.substr(0, 15) == "{\"lastUpdateId\"";
    return take(copy.view(), bare ? "BTCUSDT" : "");
}

std::string fuzz::summary() {
    const Target& t = target();
    return std::to_string(t.inputs) + " inputs, " + std::to_string(t.shown) + " shown, " + std::to_string(t.refused) +
           " refused, " + std::to_string(t.gaps) + " gaps, " + std::to_string(t.held) + " held";
}

