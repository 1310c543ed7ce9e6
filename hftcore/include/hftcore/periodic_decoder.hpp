// Klines and funding of Binance (spot and USD-M), OKX and Kraken v2, from bytes to structs.
//
// They come about once a second and symbol, so that there are no templates. A frame is decoded whole or not at all.
// Sources: Binance "Kline/Candlestick Streams", "Mark Price Stream"; OKX v5 "Candlesticks channel", "Funding rate
// channel", "Mark price channel"; Kraken v2 "Candles (OHLC)".
#pragma once

#include <cmath>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "hftcore/binance.hpp"
#include "hftcore/event_batch.hpp"
#include "hftcore/json_tree.hpp"
#include "hftcore/kline.hpp"
#include "hftcore/kraken.hpp"
#include "hftcore/okx.hpp"

namespace hft {

struct PeriodicBatch {
    std::vector<Kline> klines;
    std::vector<Funding> fundings;
    std::vector<std::string> natives;  // parallel to the one that is not empty
    std::int64_t localTimeNs = 0;
    std::uint8_t exchange = 0;

    void clear() noexcept {
        klines.clear();
        fundings.clear();
        natives.clear();
    }

    Kline& add_kline(std::string_view native) {
        natives.emplace_back(native);
        Kline& kline = klines.emplace_back();
        kline = {};
        kline.localTimeNs = localTimeNs;
        kline.exchange = exchange;
        kline.symbol = -1;
        kline.quoteVolume = std::numeric_limits<double>::quiet_NaN();
        kline.tradeCount = -1;
        return kline;
    }

    Funding& add_funding(std::string_view native) {
        constexpr double NONE = std::numeric_limits<double>::quiet_NaN();
        natives.emplace_back(native);
        fundings.push_back({0, localTimeNs, 0, 0, NONE, NONE, NONE, NONE, -1, exchange});
        return fundings.back();
    }
};

namespace periodic {

constexpr std::int64_t SECOND = 1'000'000'000;

// Seconds of "1m", "4H", "1Dutc", "1w"; 0 for months, and for what is no interval.
inline std::uint32_t interval_of(std::string_view text) noexcept {
    std::uint32_t count = 0;
    std::size_t i = 0;
    while (i < text.size() && i < 4 && is_digit(text[i])) count = count * 10 + static_cast<std::uint32_t>(text[i++] - '0');
    if (i == text.size()) return 0;
    const std::string_view rest = text.substr(i + 1);
    if (!rest.empty() && rest != "utc") return 0;
    switch (text[i]) {
        case 's': return count;
        case 'm': return count * 60;
        case 'h': case 'H': return count * 3600;
        case 'd': case 'D': return count * 86400;
        case 'w': case 'W': return count * 604800;
        default: return 0;
    }
}

// A number of either sign; NaN where the text is empty.
inline double read_signed(const JsonNode& node, std::string_view name) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (!node.is_number() && !node.is_string()) refuse(std::string(name) + " must be a number", node.text);
    if (node.is_string() && node.text.empty()) return value;
    if (parse_double(node.text, &value) != NumberStatus::OK) {
        refuse(std::string(name) + " must be a finite decimal number", node.text);
    }
    return value;
}

inline std::int64_t read_count(const JsonNode& node, std::string_view name) {
    std::uint64_t value;
    if (!node.is_number() || parse_unsigned(node.text, &value) != NumberStatus::OK || value > INT64_MAX) {
        refuse(std::string(name) + " must be a whole number of 63 bits", node.text);
    }
    return static_cast<std::int64_t>(value);
}

inline void read_binance_kline(const JsonTree& tree, const JsonNode& data, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"E", "s", "k"};
    static constexpr std::string_view INNER[] = {"t", "T", "i", "o", "c", "h", "l", "v", "n", "x", "q"};
    const Members<3> members(tree, data, "a kline event", KEYS);
    const Members<11> k(tree, members.get(2), "a kline", INNER);
    Kline& kline = batch->add_kline(read_symbol(members.get(1)));
    kline.exchangeTimeNs = binance::read_time(members.get(0), KEYS[0]);
    kline.openTimeNs = binance::read_time(k.get(0), INNER[0]);
    // The venue names the last millisecond.
    kline.closeTimeNs = binance::read_time(k.get(1), INNER[1]) + 1'000'000;
    if (!k.get(2).is_string()) refuse("i must be text", k.get(2).text);
    kline.intervalS = interval_of(k.get(2).text);
    if (kline.intervalS != 0) kline.closeTimeNs = kline.openTimeNs + kline.intervalS * SECOND;
    kline.open = read_amount(k.get(3), INNER[3]);
    kline.close = read_amount(k.get(4), INNER[4]);
    kline.high = read_amount(k.get(5), INNER[5]);
    kline.low = read_amount(k.get(6), INNER[6]);
    kline.volume = read_amount(k.get(7), INNER[7]);
    kline.tradeCount = read_count(k.get(8), INNER[8]);
    if (k.get(9).type != JsonType::TRUE && k.get(9).type != JsonType::FALSE) refuse("x must be true or false", k.get(9).text);
    if (k.get(9).type == JsonType::TRUE) kline.flags |= FLAG_CLOSED;
    kline.quoteVolume = read_amount(k.get(10), INNER[10]);
}

inline void read_binance_funding(const JsonTree& tree, const JsonNode& data, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"E", "s", "p", "i", "r", "T"};
    const Members<6> members(tree, data, "a markPriceUpdate", KEYS);
    Funding& funding = batch->add_funding(read_symbol(members.get(1)));
    funding.exchangeTimeNs = binance::read_time(members.get(0), KEYS[0]);
    funding.markPrice = read_signed(members.get(2), KEYS[2]);
    if (members.find(3) != nullptr) funding.indexPrice = read_signed(*members.find(3), KEYS[3]);
    // Dated futures have neither.
    funding.rate = read_signed(members.get(4), KEYS[4]);
    if (!members.get(5).is("0") && members.get(5).text != "0") {
        funding.fundingTimeNs = binance::read_time(members.get(5), KEYS[5]);
    }
}

inline FrameKind read_binance(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"stream", "data", "e", "result", "id", "error", "code"};
    static constexpr std::string_view EVENT[] = {"e"};
    if (root.is_array()) {
        for (const JsonNode* item = tree.first_child(root); item != tree.after(root); item = tree.after(*item)) {
            if (!item->is_object()) return FRAME_OTHER;
            const JsonNode* const name = Members<1>(tree, *item, "an event", EVENT).find(0);
            if (name == nullptr || !name->is("markPriceUpdate")) return FRAME_OTHER;
            read_binance_funding(tree, *item, batch);
        }
        return batch->fundings.empty() ? FRAME_OTHER : FRAME_EVENTS;
    }
    if (!root.is_object()) return FRAME_OTHER;
    const Members<7> members(tree, root, "a frame", KEYS);
    if (members.find(0) != nullptr) return read_binance(tree, members.get(1), batch);
    const JsonNode* const name = members.find(2);
    if (name != nullptr && name->is("kline")) {
        read_binance_kline(tree, root, batch);
        return FRAME_EVENTS;
    }
    if (name != nullptr && name->is("markPriceUpdate")) {
        read_binance_funding(tree, root, batch);
        return FRAME_EVENTS;
    }
    if (name != nullptr && name->is("serverShutdown")) return FRAME_CONTROL;
    for (std::size_t i = 3; i < 7; ++i) {
        if (members.find(i) != nullptr) return FRAME_CONTROL;
    }
    return FRAME_OTHER;
}

// [ts, open, high, low, close, volume, volume in currency, volume in quote currency, confirm]; 7 columns until 2022.
inline void read_okx_candle(const JsonTree& tree, const JsonNode& row, std::string_view native, std::string_view bar,
                            PeriodicBatch* batch) {
    static constexpr std::string_view NAMES[] = {"ts", "open", "high", "low", "close", "vol", "volCcy", "volCcyQuote"};
    const std::size_t columns = row.is_array() ? tree.child_count(row) : 0;
    if (columns < 7) refuse("a candle must be an array of 7 values at least", row.text);
    const JsonNode* cells[9] = {};
    std::size_t i = 0;
    for (const JsonNode* cell = tree.first_child(row); cell != tree.after(row) && i < 9; cell = tree.after(*cell)) {
        cells[i++] = cell;
    }
    Kline& kline = batch->add_kline(native);
    kline.openTimeNs = okx::read_time(*cells[0]);
    kline.intervalS = interval_of(bar);
    if (kline.intervalS != 0) kline.closeTimeNs = kline.openTimeNs + kline.intervalS * SECOND;
    kline.open = read_amount(*cells[1], NAMES[1]);
    kline.high = read_amount(*cells[2], NAMES[2]);
    kline.low = read_amount(*cells[3], NAMES[3]);
    kline.close = read_amount(*cells[4], NAMES[4]);
    kline.volume = read_amount(*cells[5], NAMES[5]);
    if (columns >= 9) {
        if (!okx::is_absent(*cells[7])) kline.quoteVolume = read_amount(*cells[7], NAMES[7]);
        if (cells[8]->is("1")) kline.flags |= FLAG_CLOSED;
    }
}

inline void read_okx_funding(const JsonTree& tree, const JsonNode& row, bool is_mark, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"instId", "ts", "markPx", "fundingRate", "nextFundingRate", "fundingTime",
                                                "nextFundingTime"};
    const Members<7> members(tree, row, is_mark ? "a mark-price" : "a funding-rate", KEYS);
    Funding& funding = batch->add_funding(read_symbol(members.get(0)));
    if (members.find(1) != nullptr) funding.exchangeTimeNs = okx::read_time(*members.find(1));
    if (is_mark) {
        funding.markPrice = read_amount(members.get(2), KEYS[2]);
        return;
    }
    funding.rate = read_signed(members.get(3), KEYS[3]);
    if (members.find(4) != nullptr) funding.nextRate = read_signed(*members.find(4), KEYS[4]);
    if (members.find(5) != nullptr) funding.fundingTimeNs = okx::read_time(*members.find(5));
    if (members.find(6) != nullptr) funding.nextFundingTimeNs = okx::read_time(*members.find(6));
}

inline FrameKind read_okx(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"arg", "data", "event", "op"};
    static constexpr std::string_view ARG_KEYS[] = {"channel", "instId"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<4> members(tree, root, "a frame", KEYS);
    if (members.find(2) != nullptr || members.find(3) != nullptr) return FRAME_CONTROL;
    if (members.find(0) == nullptr) return FRAME_OTHER;
    const Members<2> arg(tree, *members.find(0), "arg", ARG_KEYS);
    const JsonNode& channel = arg.get(0);
    if (!channel.is_string()) refuse("channel must be text", channel.text);
    const bool is_candle = channel.text.substr(0, 6) == "candle";
    const bool is_mark = channel.is("mark-price");
    if (!is_candle && !is_mark && !channel.is("funding-rate")) return FRAME_OTHER;
    const JsonNode& data = members.get(1);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* row = tree.first_child(data); row != tree.after(data); row = tree.after(*row)) {
        if (is_candle) {
            read_okx_candle(tree, *row, read_symbol(arg.get(1)), channel.text.substr(6), batch);
        } else {
            read_okx_funding(tree, *row, is_mark, batch);
        }
    }
    return FRAME_EVENTS;
}

inline FrameKind read_kraken(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"channel", "type", "data", "method", "timestamp"};
    static constexpr std::string_view ROW[] = {"symbol", "interval_begin", "interval", "open", "high",
                                               "low", "close", "volume", "trades"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<5> members(tree, root, "a frame", KEYS);
    if (members.find(3) != nullptr) return FRAME_CONTROL;
    const JsonNode* const channel = members.find(0);
    if (channel == nullptr) return FRAME_OTHER;
    if (channel->is("heartbeat") || channel->is("status")) return FRAME_CONTROL;
    if (!channel->is("ohlc")) return FRAME_OTHER;
    const bool history = members.find(1) != nullptr && members.find(1)->is("snapshot");
    const std::int64_t published = kraken::read_timestamp(members.find(4));
    const JsonNode& data = members.get(2);
    if (!data.is_array()) refuse("data must be an array", data.text);
    for (const JsonNode* row = tree.first_child(data); row != tree.after(data); row = tree.after(*row)) {
        const Members<9> cells(tree, *row, "a candle", ROW);
        Kline& kline = batch->add_kline(read_symbol(cells.get(0)));
        kline.exchangeTimeNs = published;
        kline.openTimeNs = kraken::read_timestamp(&cells.get(1));
        const std::int64_t minutes = read_count(cells.get(2), ROW[2]);
        if (minutes > 525600) refuse("interval must be minutes of a year at most", cells.get(2).text);
        kline.intervalS = static_cast<std::uint32_t>(minutes * 60);
        kline.closeTimeNs = kline.openTimeNs + kline.intervalS * SECOND;
        kline.open = read_amount(cells.get(3), ROW[3]);
        kline.high = read_amount(cells.get(4), ROW[4]);
        kline.low = read_amount(cells.get(5), ROW[5]);
        kline.close = read_amount(cells.get(6), ROW[6]);
        kline.volume = read_amount(cells.get(7), ROW[7]);
        if (cells.find(8) != nullptr) kline.tradeCount = read_count(*cells.find(8), ROW[8]);
        if (history) {
            kline.flags |= FLAG_SNAPSHOT;
            // A candle of history that was over when the frame was published changes no more.
            if (published != 0 && kline.closeTimeNs <= published) kline.flags |= FLAG_CLOSED;
        }
    }
    return FRAME_EVENTS;
}

}  // namespace periodic

// One decoder belongs to one thread at a time; what a decode left in it is valid until the next one.
class PeriodicDecoder {
public:
    static bool supports(std::uint8_t exchange) noexcept {
        return exchange == 1 || exchange == 3 || exchange == 5 || exchange == 8 || exchange == 9;
    }

    void set_exchange(std::uint8_t exchange) noexcept { batch_.exchange = exchange; }

    // The FrameKind; FRAME_ERROR with a `reason`. Symbols are unresolved.
    int decode(const char* data, std::size_t size, std::int64_t localTimeNs) noexcept {
        batch_.clear();
        batch_.localTimeNs = localTimeNs;
        try {
            const std::string_view frame(data, size);
            switch (batch_.exchange) {
                case 3:
                    if (kraken::is_notice(frame)) return FRAME_CONTROL;
                    return periodic::read_kraken(tree_, tree_.read(data, size), &batch_);
                case 5:
                case 9:
                    if (okx::is_keep_alive(frame)) return FRAME_CONTROL;
                    return periodic::read_okx(tree_, tree_.read(data, size), &batch_);
                default:
                    return periodic::read_binance(tree_, tree_.read(data, size), &batch_);
            }
        } catch (const Malformed& malformed) {
            return fail(malformed.reason.c_str());
        } catch (const std::bad_alloc&) {
            return fail("a frame must fit the memory");
        }
    }

    std::size_t kline_count() const noexcept { return batch_.klines.size(); }
    std::size_t funding_count() const noexcept { return batch_.fundings.size(); }
    Kline* klines() noexcept { return batch_.klines.data(); }
    Funding* fundings() noexcept { return batch_.fundings.data(); }
    const char* native_data(std::size_t index) const noexcept { return batch_.natives[index].data(); }
    std::size_t native_size(std::size_t index) const noexcept { return batch_.natives[index].size(); }
    const char* reason_data() const noexcept { return reason_.data(); }
    std::size_t reason_size() const noexcept { return reason_.size(); }

private:
    int fail(const char* reason) noexcept {
        batch_.clear();
        try {
            reason_ = reason;
        } catch (const std::bad_alloc&) {
            reason_.clear();
        }
        return FRAME_ERROR;
    }

    JsonTree tree_;
    PeriodicBatch batch_;
    std::string reason_;
};

}  // namespace hft
