// Ticker and Trade as protobuf messages (proto/hftpy/wire/market.proto), straight between the structs and the bytes.
//
//   field            Ticker  Trade   wire type       field            Ticker  Trade   wire type
//   seq                   1      1   varint          bid_price             8          fixed64
//   epoch                 2      2   fixed64         bid_volume            9          fixed64
//   resent                3      3   varint          ask_price            10          fixed64
//   exchange              4      4   varint          ask_volume           11          fixed64
//   symbol                5      5   bytes (UTF-8)   price                         9  fixed64
//   exchange_time_ns      6      6   fixed64         volume                       10  fixed64
//   local_time_ns         7      7   fixed64         trade_id                     11  varint
//   trade_time_ns                8   fixed64         side                         12  varint
//   venue_seq            12     13   varint          flags                13      14  varint
//
// Encoding is byte-identical to upb's. Decoding accepts what upb accepts (see protobuf_wire.hpp): fields in any order,
// the last of several winning, a known field of another wire type skipped as unknown. One pass reads the fields in
// their usual order without a dispatch; whatever it leaves, the general loop reads.
#pragma once

#include "hftcore/protobuf_wire.hpp"
#include "hftcore/types.hpp"

namespace hft {

constexpr std::size_t MAX_SYMBOL_TEXT = 64;
// seq 11, epoch 9, resent 2, exchange 3, symbol 2 + 64, six or seven fixed fields 63, two varints 22, side 3, flags 4.
constexpr std::size_t MAX_MARKET_MESSAGE = 192;

// What stands in a message beside the struct. `symbol` points into the message.
struct Envelope {
    std::uint64_t seq;
    std::uint64_t epoch;
    const char* symbol;
    std::size_t symbolSize;
    std::int32_t exchange;
    std::int32_t side;
    std::uint32_t flags;
    bool resent;
    wire::Fault fault;
    std::size_t faultAt;  // offset in the message
};

// hot path: begin
// Fields 2 to 5: the same in all messages of a topic. Returns the end.
inline char* put_constants(char* at, std::uint64_t epoch, bool resent, std::uint8_t exchange, const char* symbol,
                           std::size_t symbol_size) noexcept {
    at = wire::put_fixed64_field(at, 2, epoch);
    at = wire::put_varint_field(at, 3, resent ? 1 : 0);
    at = wire::put_varint_field(at, 4, exchange);
    return wire::put_bytes_field(at, 5, symbol, symbol_size);
}

// The fields after the constants. Each returns the end; MAX_MARKET_MESSAGE bytes hold the whole message.
inline char* put_struct(char* at, const Ticker& ticker) noexcept {
    at = wire::put_fixed64_field(at, 6, ticker.exchangeTimeNs);
    at = wire::put_fixed64_field(at, 7, ticker.localTimeNs);
    at = wire::put_fixed64_field(at, 8, ticker.bidPrice);
    at = wire::put_fixed64_field(at, 9, ticker.bidVolume);
    at = wire::put_fixed64_field(at, 10, ticker.askPrice);
    at = wire::put_fixed64_field(at, 11, ticker.askVolume);
    at = wire::put_varint_field(at, 12, ticker.seq);
    return wire::put_varint_field(at, 13, ticker.flags);
}

inline char* put_struct(char* at, const Trade& trade) noexcept {
    at = wire::put_fixed64_field(at, 6, trade.exchangeTimeNs);
    at = wire::put_fixed64_field(at, 7, trade.localTimeNs);
    at = wire::put_fixed64_field(at, 8, trade.tradeTimeNs);
    at = wire::put_fixed64_field(at, 9, trade.price);
    at = wire::put_fixed64_field(at, 10, trade.volume);
    at = wire::put_varint_field(at, 11, static_cast<std::uint64_t>(trade.tradeId));
    at = wire::put_varint_field(at, 12, trade.side);
    at = wire::put_varint_field(at, 13, trade.seq);
    return wire::put_varint_field(at, 14, trade.flags);
}

template <class Struct>
inline std::size_t encode_message(char* out, std::uint64_t seq, std::uint64_t epoch, bool resent, const char* symbol,
                                  std::size_t symbol_size, const Struct& item) noexcept {
    char* at = wire::put_varint_field(out, 1, seq);
    at = put_constants(at, epoch, resent, item.exchange, symbol, symbol_size);
    return static_cast<std::size_t>(put_struct(at, item) - out);
}

namespace codec_detail {

// Takes a field whose tag is the next byte, if it is.
struct InOrder {
    wire::Reader& in;

    template <class Number>
    void fixed64(std::uint32_t field, Number& value) noexcept {
        if (in.left() >= 9 && *in.at == wire::tag(field, wire::FIXED64)) {
            std::memcpy(&value, in.at + 1, 8);
            in.at += 9;
        }
    }

    // False: a varint that the general loop has to judge.
    template <class Number>
    bool varint(std::uint32_t field, Number& value) noexcept {
        if (in.left() < 2 || *in.at != wire::tag(field, wire::VARINT)) return true;
        const unsigned char* start = in.at++;
        std::uint64_t number;
        if (in.varint(number) != wire::FAULT_NONE) {
            in.at = start;
            return false;
        }
        value = static_cast<Number>(number);
        return true;
    }
};

template <class Struct>
struct Fields;

template <>
struct Fields<Ticker> {
    static void in_order(InOrder& next, Ticker& item, Envelope& rest) noexcept {
        next.fixed64(6, item.exchangeTimeNs);
        next.fixed64(7, item.localTimeNs);
        next.fixed64(8, item.bidPrice);
        next.fixed64(9, item.bidVolume);
        next.fixed64(10, item.askPrice);
        next.fixed64(11, item.askVolume);
        if (next.varint(12, item.seq)) next.varint(13, rest.flags);
    }

    static bool any(wire::Reader& in, std::uint32_t tag, Ticker& item, Envelope& rest, wire::Fault& fault) noexcept {
        using namespace wire;
        std::uint64_t number;
        switch (tag) {
            case wire::tag(6, FIXED64): fault = in.fixed64(item.exchangeTimeNs); return true;
            case wire::tag(7, FIXED64): fault = in.fixed64(item.localTimeNs); return true;
            case wire::tag(8, FIXED64): fault = in.fixed64(item.bidPrice); return true;
            case wire::tag(9, FIXED64): fault = in.fixed64(item.bidVolume); return true;
            case wire::tag(10, FIXED64): fault = in.fixed64(item.askPrice); return true;
            case wire::tag(11, FIXED64): fault = in.fixed64(item.askVolume); return true;
            case wire::tag(12, VARINT): fault = in.varint(item.seq); return true;
            case wire::tag(13, VARINT):
                fault = in.varint(number);
                if (fault == FAULT_NONE) rest.flags = static_cast<std::uint32_t>(number);
                return true;
            default: return false;
        }
    }
};

template <>
struct Fields<Trade> {
    static void in_order(InOrder& next, Trade& item, Envelope& rest) noexcept {
        next.fixed64(6, item.exchangeTimeNs);
        next.fixed64(7, item.localTimeNs);
        next.fixed64(8, item.tradeTimeNs);
        next.fixed64(9, item.price);
        next.fixed64(10, item.volume);
        if (next.varint(11, item.tradeId) && next.varint(12, rest.side) && next.varint(13, item.seq)) {
            next.varint(14, rest.flags);
        }
    }

    static bool any(wire::Reader& in, std::uint32_t tag, Trade& item, Envelope& rest, wire::Fault& fault) noexcept {
        using namespace wire;
        std::uint64_t number;
        switch (tag) {
            case wire::tag(6, FIXED64): fault = in.fixed64(item.exchangeTimeNs); return true;
            case wire::tag(7, FIXED64): fault = in.fixed64(item.localTimeNs); return true;
            case wire::tag(8, FIXED64): fault = in.fixed64(item.tradeTimeNs); return true;
            case wire::tag(9, FIXED64): fault = in.fixed64(item.price); return true;
            case wire::tag(10, FIXED64): fault = in.fixed64(item.volume); return true;
            case wire::tag(11, VARINT):
                fault = in.varint(number);
                if (fault == FAULT_NONE) item.tradeId = static_cast<std::int64_t>(number);
                return true;
            case wire::tag(12, VARINT):
                fault = in.varint(number);
                if (fault == FAULT_NONE) rest.side = static_cast<std::int32_t>(number);
                return true;
            case wire::tag(13, VARINT): fault = in.varint(item.seq); return true;
            case wire::tag(14, VARINT):
                fault = in.varint(number);
                if (fault == FAULT_NONE) rest.flags = static_cast<std::uint32_t>(number);
                return true;
            default: return false;
        }
    }
};

inline wire::Fault text_field(wire::Reader& in, Envelope& rest) noexcept {
    const char* text;
    std::size_t size;
    const wire::Fault fault = in.bytes(text, size);
    if (fault != wire::FAULT_NONE) return fault;
    if (!wire::is_utf8(text, size)) return wire::FAULT_UTF8;
    rest.symbol = text;
    rest.symbolSize = size;
    return wire::FAULT_NONE;
}

// The fields that both messages have; false if the tag is none of theirs.
inline bool common_field(wire::Reader& in, std::uint32_t tag, Envelope& rest, wire::Fault& fault) noexcept {
    using namespace wire;
    std::uint64_t number;
    switch (tag) {
        case wire::tag(1, VARINT): fault = in.varint(rest.seq); return true;
        case wire::tag(2, FIXED64): fault = in.fixed64(rest.epoch); return true;
        case wire::tag(3, VARINT):
            fault = in.varint(number);
            if (fault == FAULT_NONE) rest.resent = number != 0;
            return true;
        case wire::tag(4, VARINT):
            fault = in.varint(number);
            if (fault == FAULT_NONE) rest.exchange = static_cast<std::int32_t>(number);
            return true;
        case wire::tag(5, LENGTH): fault = text_field(in, rest); return true;
        default: return false;
    }
}

}  // namespace codec_detail

// Reads a whole message. False: `rest.fault` says why. The struct's symbol, exchange, side and flags are still to be
// set from `rest`, once its values have been judged.
template <class Struct>
inline bool decode_message(const char* data, std::size_t size, Struct& item, Envelope& rest) noexcept {
    using codec_detail::Fields;
    const auto* start = reinterpret_cast<const unsigned char*>(data);
    wire::Reader in{start, start + size};
    item = Struct{};
    rest = Envelope{};
    codec_detail::InOrder next{in};
    if (next.varint(1, rest.seq)) {
        next.fixed64(2, rest.epoch);
        std::uint64_t resent = 0;
        if (next.varint(3, resent) && (rest.resent = resent != 0, next.varint(4, rest.exchange))) {
            if (in.left() >= 2 && *in.at == wire::tag(5, wire::LENGTH) && in.at[1] < 0x80 &&
                in.left() - 2 >= in.at[1] && wire::is_utf8(reinterpret_cast<const char*>(in.at + 2), in.at[1])) {
                rest.symbol = reinterpret_cast<const char*>(in.at + 2);
                rest.symbolSize = in.at[1];
                in.at += 2 + rest.symbolSize;
            }
            Fields<Struct>::in_order(next, item, rest);
        }
    }
    while (in.at != in.end) {
        const unsigned char* field = in.at;
        std::uint32_t tag = 0;
        wire::Fault fault = in.next_tag(tag);
        if (fault == wire::FAULT_NONE && !codec_detail::common_field(in, tag, rest, fault) &&
            !Fields<Struct>::any(in, tag, item, rest, fault)) {
            fault = in.skip(tag);
        }
        if (fault != wire::FAULT_NONE) {
            rest.fault = fault;
            rest.faultAt = static_cast<std::size_t>(field - start);
            return false;
        }
    }
    return true;
}
// hot path: end

}  // namespace hft
