// One venue's book frames, from bytes to a BookBatch. A frame is decoded whole or not at all.
//
// As FrameDecoder: one thread at a time, what a decode left is valid until the next, an unknown spelling is answered by
// the binding (`learn`). Frames of other channels are classified as FrameDecoder does, their events counted.
#pragma once

#include <cstdint>
#include <new>
#include <string>
#include <string_view>

#include "hftcore/binance_book.hpp"
#include "hftcore/book_batch.hpp"
#include "hftcore/book_template.hpp"
#include "hftcore/coinbase_book.hpp"
#include "hftcore/coinbase_book_template.hpp"
#include "hftcore/frame_decoder.hpp"
#include "hftcore/kept_book.hpp"
#include "hftcore/kraken_book.hpp"
#include "hftcore/kraken_futures_book.hpp"
#include "hftcore/kraken_futures_book_template.hpp"
#include "hftcore/okx_book.hpp"
#include "hftcore/okx_book_template.hpp"

namespace hft {

class BookDecoder {
public:
    static bool supports(std::uint8_t exchange) noexcept { return FrameDecoder::supports(exchange); }

    void set_exchange(std::uint8_t exchange) noexcept { batch_.exchange = others_.exchange = exchange; }

    // The FrameKind; FRAME_ERROR with a `reason`. FRAME_EVENTS: books, or events of another channel (`other_events`).
    // `native`: whose a frame is that does not say so (a REST snapshot of Binance); empty: a frame of a stream.
    int decode(const char* data, std::size_t size, std::int64_t localTimeNs, std::string_view native = {}) noexcept {
        batch_.clear();
        batch_.localTimeNs = localTimeNs;
        others_.clear();
        unknown_ = 0;
        try {
            renew();
            const bool matched = useTemplates_ && native.empty() && match({data, size});
            templateHits_ += matched;
            inFrame_ = matched;
            const int kind = matched ? FRAME_EVENTS : read({data, size}, native);
            if (kind != FRAME_EVENTS) tree_.trim();
            for (std::size_t i = 0; i < batch_.updates.size(); ++i) {
                BookUpdate& update = batch_.updates[i];
                if (update.symbol == BookSymbols::MISSING) BookBatch::know(batch_.symbols.find(batch_.natives[i].view()), &update);
                unknown_ += update.symbol == BookSymbols::MISSING;
                if (update.deep) static_cast<const KeptBook*>(update.target)->book.prefetch(rows_);
            }
            return kind;
        } catch (const Malformed& malformed) {
            tree_.trim();
            return fail(malformed.reason.c_str());
        } catch (const std::bad_alloc&) {
            return fail("a frame must fit the memory");
        }
    }

    // The number of the symbol of update `index`, and of all that spell it so. Returns false if memory is short.
    bool learn(std::size_t index, std::int32_t id) noexcept {
        const std::string_view native = batch_.natives[index].view();
        try {
            batch_.symbols.insert(native, id);
        } catch (const std::bad_alloc&) {
            return false;
        }
        for (std::size_t i = index; i < batch_.updates.size(); ++i) {
            if (batch_.updates[i].symbol == BookSymbols::MISSING && batch_.natives[i].view() == native) {
                BookBatch::know(batch_.symbols.find(native), &batch_.updates[i]);
                --unknown_;
            }
        }
        return true;
    }

    // The block that keeps the book of a number, before the number is learnt, and how many levels of a side every update
    // reads there. Returns false if memory is short.
    bool attach(std::int32_t id, KeptBook* target, std::size_t rows) noexcept {
        rows_ = rows;
        batch_.symbols.set_reach((rows < OrderBook::NEAR_LEVELS ? rows : OrderBook::NEAR_LEVELS) * sizeof(BookRow));
        try {
            batch_.symbols.attach(id, target);
        } catch (const std::bad_alloc&) {
            return false;
        }
        return true;
    }

    // Forgets all spellings if the venue's instruments have changed. Throws std::bad_alloc.
    void renew() {
        // acquire: pairs with release in forget_symbols
        const std::uint64_t generation = instrument_generation[batch_.exchange].load(std::memory_order_acquire);
        if (__builtin_expect(generation != generation_ || batch_.symbols.size() > MAX_SPELLINGS, 0)) {
            batch_.symbols.forget();
            generation_ = generation;
        }
    }

    // The book of an update's symbol has more levels than stand in its own memory.
    void deepen(std::size_t index) noexcept { batch_.symbols.deepen(batch_.natives[index].view()); }

    // A spelling that no frame has brought yet; what it means was asked for after `renew`. Returns false if memory is short.
    bool expect(std::string_view native, std::int32_t id) noexcept {
        try {
            batch_.symbols.insert(native, id);
        } catch (const std::bad_alloc&) {
            return false;
        }
        return true;
    }

    // Whether the venues' usual spelling is read by the templates; what those do not know is the general path's.
    void use_templates(bool use) noexcept { useTemplates_ = use; }
    std::uint64_t template_hits() const noexcept { return templateHits_; }
    // Whether the digits of the last frame's levels are views into the frame itself, rather than into this decoder.
    bool in_frame() const noexcept { return inFrame_; }

    std::size_t unknown() const noexcept { return unknown_; }
    std::size_t count() const noexcept { return batch_.updates.size(); }
    const BookUpdate& update(std::size_t index) const noexcept { return batch_.updates[index]; }
    const BookLevel* levels() const noexcept { return batch_.levels.data(); }
    const char* native_data(std::size_t index) const noexcept { return batch_.natives[index].view().data(); }
    std::size_t native_size(std::size_t index) const noexcept { return batch_.natives[index].view().size(); }
    std::size_t other_events() const noexcept { return others_.natives.size(); }
    bool has_frame_seq() const noexcept { return batch_.hasFrameSeq; }
    std::uint64_t frame_seq() const noexcept { return batch_.frameSeq; }
    std::int64_t frame_time_ns() const noexcept { return batch_.frameTimeNs; }
    const char* reason_data() const noexcept { return reason_.data(); }
    std::size_t reason_size() const noexcept { return reason_.size(); }
    void drop_updates() noexcept { batch_.clear(); }

private:
    // Far above any venue's list; bounds what a broken feed can make the table hold.
    static constexpr std::size_t MAX_SPELLINGS = std::size_t{1} << 17;

    // No frame of this size has more values than JsonTree::MAX_NODES: the least that a level takes is `["1","1"],`, three
    // values in ten bytes. One of level2 of Coinbase Advanced Trade takes 67 bytes for five.
    static constexpr std::size_t MAX_TEMPLATE_BYTES = std::size_t{3} << 20;
    static constexpr std::size_t MAX_ADVANCED_BYTES = std::size_t{12} << 20;

    bool match(std::string_view frame) {
        if (frame.size() < Scan::MIN_BYTES) return false;
        if (frame.size() > MAX_TEMPLATE_BYTES) {
            const bool advanced = batch_.exchange == EXCHANGE_COINBASE && frame.substr(0, 11) == "{\"channel\":";
            if (!advanced || frame.size() > MAX_ADVANCED_BYTES) return false;
        }
        const Scan scan(frame.data(), frame.size());
        bool matched = false;
        switch (batch_.exchange) {
            case EXCHANGE_BINANCE:
            case EXCHANGE_BINANCE_FUTURE:
                matched = binance::match_book_frame(scan, &batch_);
                break;
            case EXCHANGE_KRAKEN:
                matched = kraken::match_book_frame(scan, &minute_, &batch_);
                break;
            case EXCHANGE_COINBASE:
                matched = coinbase::match_book_frame(scan, &minute_, &batch_);
                break;
            case EXCHANGE_OKX:
            case EXCHANGE_OKX_SWAP:
                matched = okx::match_book_frame(scan, &batch_);
                break;
            case EXCHANGE_KRAKEN_FUTURE:
                matched = kraken_futures::match_book_frame(scan, &batch_);
                break;
            default:
                break;
        }
        if (!matched) batch_.clear();
        return matched;
    }

    int read(std::string_view frame, std::string_view native) {
        switch (batch_.exchange) {
            case EXCHANGE_BINANCE:
            case EXCHANGE_BINANCE_FUTURE: {
                if (!native.empty() && !ShortText::fits(native)) refuse("a symbol must have at most 32 bytes", native);
                const ShortText whose = native.empty() ? ShortText{} : ShortText::of(native);
                const JsonNode& root = tree_.read(frame.data(), frame.size());
                const FrameKind kind = binance::read_book_frame(tree_, root, whose, &batch_);
                if (kind != FRAME_OTHER) return kind;
                return batch_.exchange == EXCHANGE_BINANCE
                           ? binance::read_frame<binance::Spot>(tree_, root, &others_)
                           : binance::read_frame<binance::UsdMargined>(tree_, root, &others_);
            }
            case EXCHANGE_COINBASE: {
                const JsonNode& root = tree_.read(frame.data(), frame.size());
                const FrameKind kind = coinbase::read_book_frame(tree_, root, &batch_);
                return kind != FRAME_OTHER ? kind : coinbase::read_frame(tree_, root, &others_);
            }
            case EXCHANGE_KRAKEN: {
                if (kraken::is_notice(frame)) return FRAME_CONTROL;
                const JsonNode& root = tree_.read(frame.data(), frame.size());
                const FrameKind kind = kraken::read_book_frame(tree_, root, &batch_);
                return kind != FRAME_OTHER ? kind : kraken::read_frame(tree_, root, &others_);
            }
            case EXCHANGE_OKX:
            case EXCHANGE_OKX_SWAP: {
                if (okx::is_keep_alive(frame)) return FRAME_CONTROL;
                const JsonNode& root = tree_.read(frame.data(), frame.size());
                const FrameKind kind = okx::read_book_frame(tree_, root, &batch_);
                return kind != FRAME_OTHER ? kind : okx::read_frame(tree_, root, &others_);
            }
            case EXCHANGE_KRAKEN_FUTURE: {
                const JsonNode& root = tree_.read(frame.data(), frame.size());
                const FrameKind kind = kraken_futures::read_book_frame(tree_, root, &batch_);
                return kind != FRAME_OTHER ? kind : kraken_futures::read_frame(tree_, root, &others_);
            }
            default:
                refuse("exchange must be one with a parser", std::to_string(batch_.exchange));
        }
    }

    int fail(const char* reason) noexcept {
        batch_.clear();
        others_.clear();
        unknown_ = 0;
        try {
            reason_ = reason;
        } catch (const std::bad_alloc&) {
            reason_.clear();
        }
        return FRAME_ERROR;
    }

    JsonTree tree_;
    BookBatch batch_;
    EventBatch others_;
    MinuteCache minute_;
    bool useTemplates_ = true;
    bool inFrame_ = false;
    std::uint64_t templateHits_ = 0;
    std::uint64_t generation_ = 0;
    std::size_t unknown_ = 0;
    std::size_t rows_ = 0;
    std::string reason_;
};

}  // namespace hft
