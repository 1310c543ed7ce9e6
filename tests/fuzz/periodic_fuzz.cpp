// Every frame of klines and funding, however broken: nothing outside it is touched, what is told holds together, a refused
// one leaves a reason and no events, the next good one is read as ever, and the templates read as the general path does.
#include <cmath>

#include "driver.hpp"
#include "hftcore/periodic_decoder.hpp"

namespace {

using hft::Funding;
using hft::Kline;

constexpr std::int64_t LOCAL_TIME_NS = 1'700'000'000'123'456'789;

struct Outcome {
    int kind = 0;
    std::vector<Kline> klines;
    std::vector<Funding> fundings;
    std::vector<std::string> natives;
    std::string reason;
    bool is_numbered = false;
    std::uint64_t number = 0;

    bool operator==(const Outcome& other) const {
        if (kind != other.kind || natives != other.natives || reason != other.reason) return false;
        if (is_numbered != other.is_numbered || (is_numbered && number != other.number)) return false;
        if (klines.size() != other.klines.size() || fundings.size() != other.fundings.size()) return false;
        for (std::size_t i = 0; i < klines.size(); ++i) {
            if (std::memcmp(&klines[i], &other.klines[i], sizeof(Kline)) != 0) return false;
        }
        for (std::size_t i = 0; i < fundings.size(); ++i) {
            // Up to its last field: what is behind it is padding.
            if (std::memcmp(&fundings[i], &other.fundings[i], offsetof(Funding, exchange) + 1) != 0) return false;
        }
        return true;
    }
};

struct Target {
    std::uint8_t exchange = 0;
    hft::PeriodicDecoder decoder, calm, slow;  // the last one without templates
    fuzz::GuardedPages pages;
    std::vector<std::pair<std::string, Outcome>> good;
    std::size_t next_good = 0;
    std::uint64_t inputs = 0, klines = 0, fundings = 0, refused = 0;
};

Target& target() {
    static Target instance;
    return instance;
}

void check_amount(double value) { FUZZ_CHECK(std::isfinite(value) && !std::signbit(value), "an amount"); }
void check_told(double value) { FUZZ_CHECK(std::isnan(value) || std::isfinite(value), "a number, or none"); }

void check_kline(const Kline& kline, std::uint8_t exchange) {
    for (const double amount : {kline.open, kline.high, kline.low, kline.close, kline.volume}) check_amount(amount);
    if (!std::isnan(kline.quoteVolume)) check_amount(kline.quoteVolume);
    FUZZ_CHECK(kline.tradeCount >= -1, "a count");
    FUZZ_CHECK((kline.flags & ~(hft::FLAG_CLOSED | hft::FLAG_SNAPSHOT)) == 0, "flags");
    FUZZ_CHECK(kline.exchange == exchange && kline.localTimeNs == LOCAL_TIME_NS && kline.symbol == -1, "a kline's fields");
    FUZZ_CHECK(kline.seq == 0 && kline.reserved == 0, "what nobody tells");
    for (const std::uint32_t word : kline.padding) FUZZ_CHECK(word == 0, "padding");
    if (kline.intervalS != 0) {
        std::int64_t end;
        FUZZ_CHECK(!__builtin_add_overflow(kline.openTimeNs, kline.intervalS * std::int64_t{1'000'000'000}, &end), "an end");
        FUZZ_CHECK(kline.closeTimeNs == end, "where the next one opens");
    }
    // That history was over is concluded, not told.
    if ((kline.flags & hft::FLAG_SNAPSHOT) != 0 && kline.exchangeTimeNs != 0) {
        const bool is_over = kline.closeTimeNs <= kline.exchangeTimeNs;
        FUZZ_CHECK(((kline.flags & hft::FLAG_CLOSED) != 0) == is_over, "history that was over");
    }
}

void check_funding(const Funding& funding, std::uint8_t exchange) {
    for (const double number : {funding.rate, funding.nextRate, funding.markPrice, funding.indexPrice,
                                funding.absoluteRate, funding.absoluteNextRate}) {
        check_told(number);
    }
    FUZZ_CHECK(funding.fundingTimeNs >= 0 && funding.nextFundingTimeNs >= 0 && funding.exchangeTimeNs >= 0, "times");
    FUZZ_CHECK(funding.exchange == exchange && funding.localTimeNs == LOCAL_TIME_NS && funding.symbol == -1, "its fields");
    const bool has_absolute = !std::isnan(funding.absoluteRate) || !std::isnan(funding.absoluteNextRate);
    FUZZ_CHECK(!has_absolute || exchange == 11, "money per contract is Kraken Futures' alone");
}

Outcome outcome_of(hft::PeriodicDecoder& decoder, std::uint8_t exchange, std::string_view frame) {
    Outcome outcome;
    outcome.kind = decoder.decode(frame.data(), frame.size(), LOCAL_TIME_NS);
    FUZZ_CHECK(outcome.kind >= hft::FRAME_ERROR && outcome.kind <= hft::FRAME_OTHER, "the kind");
    const std::size_t klines = decoder.kline_count(), fundings = decoder.funding_count();
    FUZZ_CHECK(klines == 0 || fundings == 0, "klines or funding, not both");
    if (outcome.kind != hft::FRAME_EVENTS) FUZZ_CHECK(klines + fundings == 0, "only EVENTS have events");
    outcome.is_numbered = decoder.is_numbered();
    if (outcome.is_numbered) outcome.number = decoder.frame_number();
    FUZZ_CHECK(!outcome.is_numbered || exchange == 2, "who numbers its frames");
    if (outcome.kind == hft::FRAME_ERROR) {
        FUZZ_CHECK(!outcome.is_numbered, "a refused frame is one that is lost");
        outcome.reason.assign(decoder.reason_data(), decoder.reason_size());
        FUZZ_CHECK(!outcome.reason.empty() && outcome.reason.size() < 1024, "a reason");
    }
    for (std::size_t i = 0; i < klines + fundings; ++i) {
        outcome.natives.emplace_back(decoder.native_data(i), decoder.native_size(i));
        FUZZ_CHECK(!outcome.natives.back().empty(), "a spelling");
    }
    outcome.klines.assign(decoder.klines(), decoder.klines() + klines);
    outcome.fundings.assign(decoder.fundings(), decoder.fundings() + fundings);
    for (const Kline& kline : outcome.klines) check_kline(kline, exchange);
    for (const Funding& funding : outcome.fundings) check_funding(funding, exchange);
    return outcome;
}

// Strings are longer than what is quoted of them, but no reason leaves out what it refuses.
void check_reason(std::string_view reason) {
    FUZZ_CHECK(reason.find(", was '") != std::string_view::npos, "a reason names the value");
}

}  // namespace

void fuzz::begin(const char* name, const std::vector<std::string>& seeds) {
    static const std::pair<const char*, std::uint8_t> EXCHANGES[] = {
        {"binance", 1}, {"coinbase", 2},       {"kraken", 3},  {"okx", 5}, {"binance_future", 8},
        {"okx_swap", 9}, {"kraken_future", 11}};
    Target& t = target();
    for (const auto& [known, number] : EXCHANGES) {
        if (std::string_view(name) == known) t.exchange = number;
    }
    if (!hft::PeriodicDecoder::supports(t.exchange)) {
        std::fprintf(stderr, "there is no parser of klines for %s\n", name);
        std::exit(3);
    }
    t.decoder.set_exchange(t.exchange);
    t.calm.set_exchange(t.exchange);
    t.slow.set_exchange(t.exchange);
    t.slow.use_templates(false);
    // What a decoder that has seen nothing else makes of the seeds.
    for (const std::string& seed : seeds) {
        auto fresh = std::make_unique<hft::PeriodicDecoder>();
        fresh->set_exchange(t.exchange);
        current_input = seed;
        Outcome outcome = outcome_of(*fresh, t.exchange, seed);
        if (!outcome.natives.empty() && t.good.size() < 256) t.good.emplace_back(seed, std::move(outcome));
    }
    if (t.good.empty()) {
        std::fprintf(stderr, "seeds must have a frame with klines or funding for %s\n", name);
        std::exit(2);
    }
}

bool fuzz::one_input(std::string_view input) {
    Target& t = target();
    ++t.inputs;
    const ExactCopy copy(input);
    const Outcome outcome = outcome_of(t.decoder, t.exchange, copy.view());
    FUZZ_CHECK(outcome_of(t.slow, t.exchange, copy.view()) == outcome, "the same without templates");
    // The last byte before memory that may not be read.
    if (input.size() <= GuardedPages::BYTES) {
        FUZZ_CHECK(outcome_of(t.calm, t.exchange, t.pages.at_end(input)) == outcome, "the same at the end of a page");
    }
    t.klines += outcome.klines.size();
    t.fundings += outcome.fundings.size();
    if (outcome.kind == hft::FRAME_ERROR) {
        ++t.refused;
        check_reason(outcome.reason);
        const auto& [frame, expected] = t.good[t.next_good++ % t.good.size()];
        const ExactCopy whole(frame);
        FUZZ_CHECK(outcome_of(t.decoder, t.exchange, whole.view()) == expected, "a good frame after a bad one");
    }
    return !outcome.natives.empty();
}

std::string fuzz::summary() {
    const Target& t = target();
    return std::to_string(t.klines) + " klines, " + std::to_string(t.fundings) + " fundings, " + std::to_string(t.refused) +
           " refused, " + std::to_string(t.decoder.template_hits()) + " by a template";
}
