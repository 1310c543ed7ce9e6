// One venue's frames, from bytes to structs. A frame is decoded whole or not at all.
//
// One decoder belongs to one thread at a time. What a decode left in it (events, spellings, reason) is valid until the
// next one. The spelling of a symbol that is not in the table is answered by the binding (`learn`).
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <string>

#include "hftcore/binance.hpp"
#include "hftcore/binance_template.hpp"
#include "hftcore/binance_usdm.hpp"
#include "hftcore/binance_usdm_template.hpp"
#include "hftcore/coinbase.hpp"
#include "hftcore/coinbase_template.hpp"
#include "hftcore/event_batch.hpp"
#include "hftcore/kraken.hpp"
#include "hftcore/kraken_futures.hpp"
#include "hftcore/kraken_futures_template.hpp"
#include "hftcore/kraken_template.hpp"
#include "hftcore/matcher.hpp"
#include "hftcore/okx.hpp"
#include "hftcore/okx_template.hpp"
#include "hftcore/short_symbols.hpp"
#include "hftcore/symbol_table.hpp"

namespace hft {

constexpr std::uint8_t EXCHANGE_BINANCE = 1;
constexpr std::uint8_t EXCHANGE_COINBASE = 2;
constexpr std::uint8_t EXCHANGE_KRAKEN = 3;
constexpr std::uint8_t EXCHANGE_OKX = 5;
constexpr std::uint8_t EXCHANGE_BINANCE_FUTURE = 8;
constexpr std::uint8_t EXCHANGE_OKX_SWAP = 9;
constexpr std::uint8_t EXCHANGE_KRAKEN_FUTURE = 11;

// How often the instruments of each venue changed in this process: a decoder that saw another number forgets its table.
inline std::atomic<std::uint64_t> instrument_generation[256];

inline void forget_symbols(std::uint8_t exchange) noexcept {
    // release: pairs with acquire in FrameDecoder::decode
    instrument_generation[exchange].fetch_add(1, std::memory_order_release);
}

class FrameDecoder {
public:
    static bool supports(std::uint8_t exchange) noexcept {
        switch (exchange) {
            case EXCHANGE_BINANCE:
            case EXCHANGE_COINBASE:
            case EXCHANGE_KRAKEN:
            case EXCHANGE_OKX:
            case EXCHANGE_BINANCE_FUTURE:
            case EXCHANGE_OKX_SWAP:
            case EXCHANGE_KRAKEN_FUTURE:
                return true;
            default:
                return false;
        }
    }

    void set_exchange(std::uint8_t exchange) noexcept { batch_.exchange = exchange; }

    // The FrameKind; FRAME_ERROR with a `reason`. `unknown` tells how many events await `learn`.
    int decode(const char* data, std::size_t size, std::int64_t localTimeNs, std::uint16_t flags) noexcept {
        batch_.clear();
        batch_.localTimeNs = localTimeNs;
        batch_.flags = flags;
        unknown_ = 0;
        try {
            // acquire: pairs with release in forget_symbols
            const std::uint64_t generation = instrument_generation[batch_.exchange].load(std::memory_order_acquire);
            if (generation != generation_ || symbols_.size() > MAX_SPELLINGS) {
                symbols_ = SymbolTable();
                short_symbols_ = ShortSymbols();
                generation_ = generation;
            }
            if (match(data, size)) {
                ++template_hits_;
                for (std::size_t i = 0; i < batch_.natives.size(); ++i) unknown_ += symbol(i) == ShortSymbols::MISSING;
                return FRAME_EVENTS;
            }
            batch_.clear();
            batch_.flags = flags;
            const int kind = read(data, size);
            if (kind != FRAME_EVENTS) tree_.trim();  // no spelling is a view into it
            for (std::size_t i = 0; i < batch_.natives.size(); ++i) {
                const std::string_view native = batch_.natives[i].view();
                const std::int32_t id = symbols_.find(native.data(), native.size());
                unknown_ += id == SymbolTable::MISSING;
                set_symbol(i, id);
            }
            return kind;
        } catch (const Malformed& malformed) {
            tree_.trim();
            return fail(malformed.reason.c_str());
        } catch (const std::bad_alloc&) {
            return fail("a frame must fit the memory");
        }
    }

    // The number of the symbol of event `index`, and of all that spell it so. Returns false if memory is short.
    bool learn(std::size_t index, std::int32_t id) noexcept {
        const std::string_view native = batch_.natives[index].view();
        try {
            symbols_.insert(native, id);
            if (ShortText::fits(native)) short_symbols_.insert(ShortText::of(native), id);
        } catch (const std::bad_alloc&) {
            return false;
        }
        for (std::size_t i = index; i < batch_.natives.size(); ++i) {
            if (symbol(i) == SymbolTable::MISSING && batch_.natives[i].view() == native) {
                set_symbol(i, id);
                --unknown_;
            }
        }
        return true;
    }

    std::size_t unknown() const noexcept { return unknown_; }
    std::uint64_t template_hits() const noexcept { return template_hits_; }
    void use_templates(bool use) noexcept { use_templates_ = use; }
    std::size_t count() const noexcept { return batch_.natives.size(); }
    // Of the last frame, whatever its kind, where the venue counts all frames of a connection.
    bool is_numbered() const noexcept { return batch_.isNumbered; }
    std::uint64_t frame_number() const noexcept { return batch_.frameNumber; }
    std::size_t ticker_count() const noexcept { return batch_.tickers.size(); }
    const Ticker* tickers() const noexcept { return batch_.tickers.data(); }
    const Trade* trades() const noexcept { return batch_.trades.data(); }
    const char* native_data(std::size_t index) const noexcept { return batch_.natives[index].view().data(); }
    std::size_t native_size(std::size_t index) const noexcept { return batch_.natives[index].view().size(); }
    const char* reason_data() const noexcept { return reason_.data(); }
    std::size_t reason_size() const noexcept { return reason_.size(); }
    void drop_events() noexcept { batch_.clear(); }

    // The trade of the last frame that is no event but uses up its number, its symbol unresolved; nullptr: there is none.
    const Trade* passed_over() const noexcept { return batch_.hasPassed ? &batch_.passedOver : nullptr; }
    const char* passed_native_data() const noexcept { return batch_.passedNative.data(); }
    std::size_t passed_native_size() const noexcept { return batch_.passedNative.size(); }

    std::int32_t symbol(std::size_t index) const noexcept {
        return batch_.tickers.empty() ? batch_.trades[index].symbol : batch_.tickers[index].symbol;
    }

private:
    // Far above any venue's list; bounds what a broken feed can make the table hold.
    static constexpr std::size_t MAX_SPELLINGS = std::size_t{1} << 17;
    // No frame of this size has more values than JsonTree::MAX_NODES.
    static constexpr std::size_t MAX_TEMPLATE_BYTES = std::size_t{1} << 20;

    // The templates: true only for a frame that `read` would decode to the same events.
    bool match(const char* data, std::size_t size) {
        if (!use_templates_ || size < Scan::MIN_BYTES || size > MAX_TEMPLATE_BYTES) return false;
        const Scan scan(data, size);
        const Matcher to{short_symbols_, &minute_, &batch_};
        switch (batch_.exchange) {
            case EXCHANGE_BINANCE:
                return binance::match_frame(scan, to);
            case EXCHANGE_COINBASE:
                return coinbase::match_frame(scan, to);
            case EXCHANGE_KRAKEN:
                return kraken::match_frame(scan, to);
            case EXCHANGE_OKX:
            case EXCHANGE_OKX_SWAP:
                return okx::match_frame(scan, to);
            case EXCHANGE_BINANCE_FUTURE:
                return binance_usdm::match_frame(scan, to);
            case EXCHANGE_KRAKEN_FUTURE:
                return kraken_futures::match_frame(scan, to);
            default:
                return false;
        }
    }

    // The general path. Frames that are bare text, which some venues send, are judged before JSON is asked for.
    int read(const char* data, std::size_t size) {
        const std::string_view frame(data, size);
        switch (batch_.exchange) {
            case EXCHANGE_BINANCE:
                return binance::read_frame<binance::Spot>(tree_, tree_.read(data, size), &batch_);
            case EXCHANGE_COINBASE:
                return coinbase::read_frame(tree_, tree_.read(data, size), &batch_);
            case EXCHANGE_KRAKEN:
                if (kraken::is_notice(frame)) return FRAME_CONTROL;
                return kraken::read_frame(tree_, tree_.read(data, size), &batch_);
            case EXCHANGE_OKX:
            case EXCHANGE_OKX_SWAP:
                if (okx::is_keep_alive(frame)) return FRAME_CONTROL;
                return okx::read_frame(tree_, tree_.read(data, size), &batch_);
            case EXCHANGE_BINANCE_FUTURE:
                return binance::read_frame<binance::UsdMargined>(tree_, tree_.read(data, size), &batch_);
            case EXCHANGE_KRAKEN_FUTURE:
                return kraken_futures::read_frame(tree_, tree_.read(data, size), &batch_);
            default:
                refuse("exchange must be one with a parser", std::to_string(batch_.exchange));
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

    void set_symbol(std::size_t index, std::int32_t id) noexcept {
        (batch_.tickers.empty() ? batch_.trades[index].symbol : batch_.tickers[index].symbol) = id;
    }

    JsonTree tree_;
    EventBatch batch_;
    SymbolTable symbols_;
    ShortSymbols short_symbols_;  // what `symbols_` holds, as far as it fits
    MinuteCache minute_;
    bool use_templates_ = true;
    std::uint64_t template_hits_ = 0;
    std::uint64_t generation_ = 0;
    std::size_t unknown_ = 0;
    std::string reason_;
};

}  // namespace hft
