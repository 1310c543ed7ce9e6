// Klines and funding of Binance (spot and USD-M), OKX, Kraken (v2 and v1) and Coinbase, funding of Kraken Futures, from
// bytes to structs.
//
// A frame is decoded whole or not at all. The usual ones are read by templates (periodic_template.hpp).
// Sources: Binance "Kline/Candlestick Streams", "Mark Price Stream"; OKX v5 "Candlesticks channel", "Funding rate
// channel", "Mark price channel"; Kraken v2 "Candles (OHLC)", v1 "ohlc"; Coinbase Advanced Trade "Candles channel";
// Kraken Futures "Ticker".
#pragma once

#include <new>
#include <string>

#include "hftcore/binance.hpp"
#include "hftcore/coinbase.hpp"
#include "hftcore/kraken.hpp"
#include "hftcore/kraken_futures.hpp"
#include "hftcore/okx.hpp"
#include "hftcore/periodic_batch.hpp"
#include "hftcore/periodic_template.hpp"

namespace hft {

namespace periodic {

inline void read_binance_kline(const JsonTree& tree, const JsonNode& data, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"E", "s", "k"};
    static constexpr std::string_view INNER[] = {"t", "T", "i", "o", "c", "h", "l", "v", "n", "x", "q"};
    const Members<3> members(tree, data, "a kline event", KEYS);
    const Members<11> k(tree, members.get(2), "a kline", INNER);
    Kline& kline = batch->add_kline(read_symbol(members.get(1)));
    kline.exchangeTimeNs = binance::read_time(members.get(0), KEYS[0]);
    // The venue names the last millisecond.
    kline.closeTimeNs = later(binance::read_time(k.get(1), INNER[1]), 1'000'000, k.get(1).text);
    if (!k.get(2).is_string()) refuse("i must be text", k.get(2).text);
    set_times(&kline, binance::read_time(k.get(0), INNER[0]), interval_of(k.get(2).text), k.get(0).text);
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
        for_each(tree, root, "events", [&](const JsonNode& item) {
            if (!item.is_object()) return;
            const JsonNode* const name = Members<1>(tree, item, "an event", EVENT).find(0);
            if (name != nullptr && name->is("markPriceUpdate")) read_binance_funding(tree, item, batch);
        });
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

inline bool is_okx_spot(std::string_view native) noexcept {
    return native.find('-') != std::string_view::npos && native.find('-') == native.rfind('-');
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
    if (okx::is_absent(*cells[0])) refuse("ts must be milliseconds", "");
    Kline& kline = batch->add_kline(native);
    set_times(&kline, okx::read_time(*cells[0]), interval_of(bar), cells[0]->text);
    kline.open = read_amount(*cells[1], NAMES[1]);
    kline.high = read_amount(*cells[2], NAMES[2]);
    kline.low = read_amount(*cells[3], NAMES[3]);
    kline.close = read_amount(*cells[4], NAMES[4]);
    kline.volume = read_amount(*cells[5], NAMES[5]);
    // The currency of the seventh column is the quote of a spot pair, the base of a derivative.
    if (columns < 9 && is_okx_spot(native) && !okx::is_absent(*cells[6])) kline.quoteVolume = read_amount(*cells[6], NAMES[6]);
    if (columns >= 9) {
        if (!okx::is_absent(*cells[7])) kline.quoteVolume = read_amount(*cells[7], NAMES[7]);
        if (!cells[8]->is("0") && !cells[8]->is("1")) refuse("confirm must be 0 or 1 as text", cells[8]->text);
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
    for_each(tree, members.get(1), KEYS[1], [&](const JsonNode& row) {
        if (is_candle) {
            read_okx_candle(tree, row, read_symbol(arg.get(1)), channel.text.substr(6), batch);
        } else {
            read_okx_funding(tree, row, is_mark, batch);
        }
    });
    return FRAME_EVENTS;
}

inline std::int64_t read_seconds(const JsonNode& node, std::string_view name) {
    std::int64_t ns;
    if ((!node.is_string() && !node.is_number()) || !ns_from_seconds(node.text, &ns)) {
        refuse(std::string(name) + " must be seconds that fit 64 bits of nanoseconds", node.text);
    }
    return ns;
}

// [channel, [time, etime, open, high, low, close, vwap, volume, count], "ohlc-MINUTES", pair] of the API v1.
inline FrameKind read_kraken_array(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view NAMES[] = {"time", "etime", "open", "high", "low", "close", "vwap", "volume", "count"};
    constexpr std::string_view PREFIX = "ohlc-";
    if (tree.child_count(root) != 4) return FRAME_OTHER;
    const JsonNode& row = *tree.after(*tree.first_child(root));
    const JsonNode& channel = *tree.after(row);
    const JsonNode& native = *tree.after(channel);
    if (!channel.is_string() || channel.text.substr(0, PREFIX.size()) != PREFIX) return FRAME_OTHER;
    std::uint64_t minutes;
    if (parse_unsigned(channel.text.substr(PREFIX.size()), &minutes) != NumberStatus::OK || minutes == 0 || minutes > 525600) {
        refuse("channel must name minutes of a year at most", channel.text);
    }
    if (!row.is_array() || tree.child_count(row) != 9) refuse("a candle must be an array of 9 values", row.text);
    const JsonNode* cells[9];
    const JsonNode* cell = tree.first_child(row);
    for (std::size_t i = 0; i < 9; ++i, cell = tree.after(*cell)) cells[i] = cell;
    Kline& kline = batch->add_kline(read_symbol(native));
    kline.exchangeTimeNs = read_seconds(*cells[0], NAMES[0]);
    // Where it ends, or, in frames of 2018, a time within it.
    const std::int64_t end = read_seconds(*cells[1], NAMES[1]);
    const std::int64_t length = static_cast<std::int64_t>(minutes) * 60 * SECOND;
    const std::int64_t opens = end % length == 0 ? end - length : end - end % length;
    set_times(&kline, opens, static_cast<std::uint32_t>(minutes * 60), cells[1]->text);
    kline.open = read_amount(*cells[2], NAMES[2]);
    kline.high = read_amount(*cells[3], NAMES[3]);
    kline.low = read_amount(*cells[4], NAMES[4]);
    kline.close = read_amount(*cells[5], NAMES[5]);
    kline.volume = read_amount(*cells[7], NAMES[7]);
    kline.tradeCount = read_count(*cells[8], NAMES[8]);
    return FRAME_EVENTS;
}

inline FrameKind read_kraken(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"channel", "type", "data", "method", "timestamp", "event"};
    static constexpr std::string_view ROW[] = {"symbol", "interval_begin", "interval", "open", "high",
                                               "low", "close", "volume", "trades"};
    if (root.is_array()) return read_kraken_array(tree, root, batch);
    if (!root.is_object()) return FRAME_OTHER;
    const Members<6> members(tree, root, "a frame", KEYS);
    if (members.find(3) != nullptr || members.find(5) != nullptr) return FRAME_CONTROL;
    const JsonNode* const channel = members.find(0);
    if (channel == nullptr) return FRAME_OTHER;
    if (channel->is("heartbeat") || channel->is("status")) return FRAME_CONTROL;
    if (!channel->is("ohlc")) return FRAME_OTHER;
    const bool history = members.find(1) != nullptr && members.find(1)->is("snapshot");
    const std::int64_t published = kraken::read_timestamp(members.find(4));
    for_each(tree, members.get(2), KEYS[2], [&](const JsonNode& row) {
        const Members<9> cells(tree, row, "a candle", ROW);
        Kline& kline = batch->add_kline(read_symbol(cells.get(0)));
        kline.exchangeTimeNs = published;
        const std::int64_t minutes = read_count(cells.get(2), ROW[2]);
        if (minutes == 0 || minutes > 525600) refuse("interval must be minutes of a year at most", cells.get(2).text);
        set_times(&kline, kraken::read_timestamp(&cells.get(1)), static_cast<std::uint32_t>(minutes * 60), cells.get(1).text);
        kline.open = read_amount(cells.get(3), ROW[3]);
        kline.high = read_amount(cells.get(4), ROW[4]);
        kline.low = read_amount(cells.get(5), ROW[5]);
        kline.close = read_amount(cells.get(6), ROW[6]);
        kline.volume = read_amount(cells.get(7), ROW[7]);
        if (cells.find(8) != nullptr) kline.tradeCount = read_count(*cells.find(8), ROW[8]);
        if (history) mark_history(&kline, published);
    });
    return FRAME_EVENTS;
}

// A candle of Coinbase is of five minutes. The venue does not say that one has ended: of those that a subscription
// begins with, the ones that were over when they were published are.
inline void read_coinbase_candle(const JsonTree& tree, const JsonNode& row, bool is_snapshot, std::int64_t published,
                                 PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"start", "high", "low", "open", "close", "volume", "product_id"};
    constexpr std::uint32_t INTERVAL_S = 300;
    const Members<7> cells(tree, row, "a candle", KEYS);
    Kline& kline = batch->add_kline(read_symbol(cells.get(6)));
    kline.exchangeTimeNs = published;
    set_times(&kline, read_seconds(cells.get(0), KEYS[0]), INTERVAL_S, cells.get(0).text);
    kline.high = read_amount(cells.get(1), KEYS[1]);
    kline.low = read_amount(cells.get(2), KEYS[2]);
    kline.open = read_amount(cells.get(3), KEYS[3]);
    kline.close = read_amount(cells.get(4), KEYS[4]);
    kline.volume = read_amount(cells.get(5), KEYS[5]);
    if (is_snapshot) mark_history(&kline, published);
}

// Frames of the Exchange feed have a `type` beside their fields; it has no candles.
inline FrameKind read_coinbase(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"channel", "timestamp", "sequence_num", "events", "type"};
    static constexpr std::string_view EVENT[] = {"type", "candles"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<5> members(tree, root, "a frame", KEYS);
    if (const JsonNode* const type = members.find(4); type != nullptr) {
        for (const std::string_view name : {"subscriptions", "heartbeat", "error", "subscribe", "unsubscribe"}) {
            if (type->is(name)) return FRAME_CONTROL;
        }
        return FRAME_OTHER;
    }
    const JsonNode* const channel = members.find(0);
    if (channel == nullptr) return FRAME_OTHER;
    // Every frame counts, whatever it carries.
    if (members.find(2) != nullptr) {
        batch->frameNumber = coinbase::read_number(members.find(2), KEYS[2]);
        batch->isNumbered = true;
    }
    if (channel->is("heartbeats") || channel->is("subscriptions")) return FRAME_CONTROL;
    if (!channel->is("candles")) return FRAME_OTHER;
    const std::int64_t published = coinbase::read_time(members.find(1), KEYS[1]);
    for_each(tree, members.get(3), KEYS[3], [&](const JsonNode& event) {
        const Members<2> parts(tree, event, "an event", EVENT);
        const JsonNode& type = parts.get(0);
        const bool is_snapshot = type.is("snapshot");
        if (!is_snapshot && !type.is("update")) refuse("type must be snapshot or update", type.text);
        for_each(tree, parts.get(1), EVENT[1], [&](const JsonNode& row) {
            read_coinbase_candle(tree, row, is_snapshot, published, batch);
        });
    });
    return FRAME_EVENTS;
}

// The rate that is a fraction of the position's value is called relative; the other one is money per contract. A rate
// that is zero may be left out, of a perpetual; one whose money is told, but not itself, is not known.
inline double read_relative_rate(const JsonNode* relative, std::string_view name, double absolute, bool is_perpetual) {
    if (relative != nullptr) return read_signed(*relative, name);
    return is_perpetual && !(std::fabs(absolute) > 0.0) ? 0.0 : std::numeric_limits<double>::quiet_NaN();
}

inline FrameKind read_kraken_futures_ticker(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {
        "product_id", "time", "markPrice", "index", "funding_rate", "funding_rate_prediction", "relative_funding_rate",
        "relative_funding_rate_prediction", "next_funding_rate_time", "tag"};
    const Members<10> members(tree, root, "a ticker", KEYS);
    const auto told = [&members](std::size_t index) { return if_told(members.find(index)); };
    bool tells = false;
    for (const std::size_t index : {2, 4, 5, 6, 7}) tells |= told(index) != nullptr;
    if (!tells) return FRAME_OTHER;
    Funding& funding = batch->add_funding(read_symbol(members.get(0)));
    funding.exchangeTimeNs = kraken_futures::read_time(told(1));
    if (told(2) != nullptr) funding.markPrice = read_amount(*told(2), KEYS[2]);
    if (told(3) != nullptr) funding.indexPrice = read_signed(*told(3), KEYS[3]);
    if (told(4) != nullptr) funding.absoluteRate = read_signed(*told(4), KEYS[4]);
    if (told(5) != nullptr) funding.absoluteNextRate = read_signed(*told(5), KEYS[5]);
    const bool is_perpetual = told(9) != nullptr && told(9)->is("perpetual");
    funding.rate = read_relative_rate(told(6), KEYS[6], funding.absoluteRate, is_perpetual);
    funding.nextRate = read_relative_rate(told(7), KEYS[7], funding.absoluteNextRate, is_perpetual);
    funding.fundingTimeNs = kraken_futures::read_time(told(8));
    return FRAME_EVENTS;
}

inline FrameKind read_kraken_futures(const JsonTree& tree, const JsonNode& root, PeriodicBatch* batch) {
    static constexpr std::string_view KEYS[] = {"event", "feed"};
    if (!root.is_object()) return FRAME_OTHER;
    const Members<2> members(tree, root, "a frame", KEYS);
    // Acknowledgements name a feed too.
    if (members.find(0) != nullptr) return FRAME_CONTROL;
    const JsonNode* const feed = members.find(1);
    if (feed == nullptr) return FRAME_OTHER;
    if (feed->is("heartbeat")) return FRAME_CONTROL;
    return feed->is("ticker") ? read_kraken_futures_ticker(tree, root, batch) : FRAME_OTHER;
}

}  // namespace periodic

// One decoder belongs to one thread at a time; what a decode left in it is valid until the next one.
class PeriodicDecoder {
public:
    static bool supports(std::uint8_t exchange) noexcept {
        return (exchange >= 1 && exchange <= 3) || exchange == 5 || exchange == 8 || exchange == 9 || exchange == 11;
    }

    void set_exchange(std::uint8_t exchange) noexcept { batch_.exchange = exchange; }

    // The FrameKind; FRAME_ERROR with a `reason`. Symbols are unresolved.
    int decode(const char* data, std::size_t size, std::int64_t localTimeNs) noexcept {
        batch_.clear();
        batch_.localTimeNs = localTimeNs;
        try {
            if (match(data, size)) {
                ++templateHits_;
                return FRAME_EVENTS;
            }
            batch_.clear();
            const std::string_view frame(data, size);
            switch (batch_.exchange) {
                case 2:
                    return periodic::read_coinbase(tree_, tree_.read(data, size), &batch_);
                case 3:
                    if (kraken::is_notice(frame)) return FRAME_CONTROL;
                    return periodic::read_kraken(tree_, tree_.read(data, size), &batch_);
                case 5:
                case 9:
                    if (okx::is_keep_alive(frame)) return FRAME_CONTROL;
                    return periodic::read_okx(tree_, tree_.read(data, size), &batch_);
                case 11:
                    return periodic::read_kraken_futures(tree_, tree_.read(data, size), &batch_);
                default:
                    return periodic::read_binance(tree_, tree_.read(data, size), &batch_);
            }
        } catch (const Malformed& malformed) {
            tree_.trim();
            return fail(malformed.reason.c_str());
        } catch (const std::bad_alloc&) {
            return fail("a frame must fit the memory");
        }
    }

    // Whether the usual frames are read by the templates; the general path reads them alike.
    void use_templates(bool use) noexcept { useTemplates_ = use; }
    std::uint64_t template_hits() const noexcept { return templateHits_; }
    std::size_t kline_count() const noexcept { return batch_.klines.size(); }
    std::size_t funding_count() const noexcept { return batch_.fundings.size(); }
    bool is_numbered() const noexcept { return batch_.isNumbered; }
    std::uint64_t frame_number() const noexcept { return batch_.frameNumber; }
    Kline* klines() noexcept { return batch_.klines.data(); }
    Funding* fundings() noexcept { return batch_.fundings.data(); }
    const char* native_data(std::size_t index) const noexcept { return batch_.natives[index].data(); }
    std::size_t native_size(std::size_t index) const noexcept { return batch_.natives[index].size(); }
    const char* reason_data() const noexcept { return reason_.data(); }
    std::size_t reason_size() const noexcept { return reason_.size(); }

private:
    // No frame of this size has more values than JsonTree::MAX_NODES.
    static constexpr std::size_t MAX_TEMPLATE_BYTES = std::size_t{1} << 20;

    bool match(const char* data, std::size_t size) {
        if (!useTemplates_ || size < Scan::MIN_BYTES || size > MAX_TEMPLATE_BYTES) return false;
        const Scan scan(data, size);
        switch (batch_.exchange) {
            case 1:
            case 8:
                return periodic::match_binance(scan, &batch_);
            case 2:
                return periodic::match_coinbase(scan, &minute_, &batch_);
            case 3:
                return periodic::match_kraken(scan, &minute_, &batch_);
            case 5:
            case 9:
                return periodic::match_okx(scan, &batch_);
            default:
                return false;
        }
    }

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
    MinuteCache minute_;
    bool useTemplates_ = true;
    std::uint64_t templateHits_ = 0;
    std::string reason_;
};

}  // namespace hft
