// Every frame of a venue, however broken: nothing outside it is touched, the template and the general path say the same,
// a refused one leaves a reason and no events, and the next good one is read as ever.
#include <cmath>

#include "driver.hpp"
#include "hftcore/frame_decoder.hpp"

namespace {

using fuzz::found;

constexpr std::int64_t LOCAL_TIME_NS = 1'700'000'000'123'456'789;
constexpr std::uint16_t FLAGS = hft::FLAG_REPLAY;

struct Outcome {
    int kind = 0;
    std::vector<hft::Ticker> tickers;
    std::vector<hft::Trade> trades;
    std::vector<std::string> natives;
    std::string reason;

    bool operator==(const Outcome& other) const {
        return kind == other.kind && natives == other.natives && reason == other.reason &&
               same_bytes(tickers, other.tickers) && same_bytes(trades, other.trades);
    }

private:
    // Bit for bit, so that -0.0 is not 0.0.
    template <typename Event>
    static bool same_bytes(const std::vector<Event>& a, const std::vector<Event>& b) {
        return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Event)) == 0);
    }
};

std::int32_t id_of(std::string_view native) {
    std::uint32_t h = 2166136261u;
    for (const char c : native) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
    return static_cast<std::int32_t>(h & 0x7fffffff);
}

void check_amount(double value) { FUZZ_CHECK(std::isfinite(value) && !std::signbit(value), "an amount"); }

// What a caller gets, with the symbols answered as the binding answers them.
Outcome outcome_of(hft::FrameDecoder& decoder, std::uint8_t exchange, std::string_view frame) {
    Outcome outcome;
    outcome.kind = decoder.decode(frame.data(), frame.size(), LOCAL_TIME_NS, FLAGS);
    const std::size_t count = decoder.count(), tickers = decoder.ticker_count();
    FUZZ_CHECK(outcome.kind >= hft::FRAME_ERROR && outcome.kind <= hft::FRAME_OTHER, "the kind");
    FUZZ_CHECK(tickers == 0 || tickers == count, "tickers or trades, not both");
    if (outcome.kind != hft::FRAME_EVENTS) FUZZ_CHECK(count == 0 && decoder.unknown() == 0, "only EVENTS have events");
    if (outcome.kind == hft::FRAME_ERROR) {
        outcome.reason.assign(decoder.reason_data(), decoder.reason_size());
        FUZZ_CHECK(!outcome.reason.empty() && outcome.reason.size() < 1024, "a reason");
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::string native(decoder.native_data(i), decoder.native_size(i));
        FUZZ_CHECK(!native.empty(), "a spelling");
        if (decoder.symbol(i) < 0) FUZZ_CHECK(decoder.learn(i, id_of(native)), "learnt");
        FUZZ_CHECK(decoder.symbol(i) == id_of(native), "the symbol's number");
        outcome.natives.push_back(native);
    }
    FUZZ_CHECK(decoder.unknown() == 0, "all symbols are known now");
    if (tickers != 0) outcome.tickers.assign(decoder.tickers(), decoder.tickers() + count);
    if (tickers == 0 && count != 0) outcome.trades.assign(decoder.trades(), decoder.trades() + count);
    for (const hft::Ticker& ticker : outcome.tickers) {
        check_amount(ticker.bidPrice), check_amount(ticker.bidVolume);
        check_amount(ticker.askPrice), check_amount(ticker.askVolume);
        FUZZ_CHECK(ticker.exchange == exchange && ticker.localTimeNs == LOCAL_TIME_NS, "a ticker's fields");
        FUZZ_CHECK((ticker.flags & FLAGS) == FLAGS, "a ticker's flags");
    }
    for (const hft::Trade& trade : outcome.trades) {
        check_amount(trade.price), check_amount(trade.volume);
        FUZZ_CHECK(trade.exchange == exchange && trade.localTimeNs == LOCAL_TIME_NS, "a trade's fields");
        FUZZ_CHECK((trade.flags & FLAGS) == FLAGS && trade.tradeId >= 0, "a trade's flags and number");
        FUZZ_CHECK(trade.side == hft::SIDE_BUY || trade.side == hft::SIDE_SELL, "a trade's side");
    }
    return outcome;
}

struct Target {
    std::uint8_t exchange = 0;
    hft::FrameDecoder fast, slow;
    fuzz::GuardedPages pages;
    std::vector<std::pair<std::string, Outcome>> good;
    std::size_t next_good = 0;
    std::uint64_t inputs = 0, events = 0, refused = 0;
};

Target& target() {
    static Target instance;
    return instance;
}

const std::pair<const char*, std::uint8_t> EXCHANGES[] = {{"binance", 1},        {"coinbase", 2}, {"kraken", 3},
                                                          {"okx", 5},            {"binance_future", 8}, {"okx_swap", 9},
                                                          {"kraken_future", 11}};

void check_next_good() {
    Target& t = target();
    const auto& [frame, expected] = t.good[t.next_good++ % t.good.size()];
    const fuzz::ExactCopy copy(frame);
    FUZZ_CHECK(outcome_of(t.fast, t.exchange, copy.view()) == expected, "a good frame after a bad one, by template");
    FUZZ_CHECK(outcome_of(t.slow, t.exchange, copy.view()) == expected, "a good frame after a bad one, in general");
}

}  // namespace

void fuzz::begin(const char* name, const std::vector<std::string>& seeds) {
    Target& t = target();
    for (const auto& [known, number] : EXCHANGES) {
        if (std::string_view(name) == known) t.exchange = number;
    }
    if (!hft::FrameDecoder::supports(t.exchange)) {
        std::fprintf(stderr, "there is no parser for %s\n", name);
        std::exit(3);
    }
    t.fast.set_exchange(t.exchange);
    t.slow.set_exchange(t.exchange);
    t.slow.use_templates(false);
    // What a decoder that has seen nothing else makes of the seeds.
    for (const std::string& seed : seeds) {
        auto fresh = std::make_unique<hft::FrameDecoder>();
        fresh->set_exchange(t.exchange);
        fresh->use_templates(false);
        current_input = seed;
        Outcome outcome = outcome_of(*fresh, t.exchange, seed);
        if (outcome.kind == hft::FRAME_EVENTS && !outcome.natives.empty() && t.good.size() < 256) {
            t.good.emplace_back(seed, std::move(outcome));
        }
    }
    if (t.good.empty()) {
        std::fprintf(stderr, "seeds must have a frame with events for %s\n", name);
        std::exit(2);
    }
}

bool fuzz::one_input(std::string_view input) {
    Target& t = target();
    ++t.inputs;
    const ExactCopy copy(input);
    const Outcome fast = outcome_of(t.fast, t.exchange, copy.view());
    const Outcome slow = outcome_of(t.slow, t.exchange, copy.view());
    if (!(fast == slow)) {
        found("template: kind " + std::to_string(fast.kind) + " events " + std::to_string(fast.natives.size()) + " " + fast.reason +
              "; general path: kind " + std::to_string(slow.kind) + " events " + std::to_string(slow.natives.size()) + " " + slow.reason);
    }
    // The last byte before memory that may not be read.
    if (input.size() <= GuardedPages::BYTES) {
        FUZZ_CHECK(outcome_of(t.fast, t.exchange, t.pages.at_end(input)) == slow, "the same at the end of a page");
        if (t.inputs % 8 == 0) {
            FUZZ_CHECK(outcome_of(t.fast, t.exchange, t.pages.at_begin(input)) == slow, "the same at a page's begin");
        }
    }
    t.events += slow.kind == hft::FRAME_EVENTS;
    if (slow.kind == hft::FRAME_ERROR) {
        ++t.refused;
        check_next_good();
    }
    return slow.kind == hft::FRAME_EVENTS && !slow.natives.empty();
}

std::string fuzz::summary() {
    const Target& t = target();
    return std::to_string(t.events) + " with events, " + std::to_string(t.refused) + " refused, " +
           std::to_string(t.fast.template_hits()) + " read by template";
}
