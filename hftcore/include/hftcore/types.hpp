// The structs that every part shares: parsers fill them, rings and shared memory hold them by value.
//
// Ticker (64 bytes)                          Trade (64 bytes)
//   offset  field           type               offset  field           type
//        0  exchangeTimeNs  i64                     0  exchangeTimeNs  i64
//        8  localTimeNs     i64                     8  localTimeNs     i64
//       16  bidPrice        f64                    16  tradeTimeNs     i64
//       24  bidVolume       f64                    24  price           f64
//       32  askPrice        f64                    32  volume          f64
//       40  askVolume       f64                    40  tradeId         i64
//       48  seq             u64                    48  seq             u64
//       56  symbol          i32                    56  symbol          i32
//       60  exchange        u8                     60  exchange        u8
//       61  reserved        u8                     61  side            u8
//       62  flags           u16                    62  flags           u16
//
// `symbol` is a process-local number (see symbol_table.hpp): it never crosses a process boundary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace hft {

enum Flag : std::uint16_t {
    FLAG_SNAPSHOT = 1,   // history that the venue sends on subscribing
    FLAG_AGGREGATE = 2,  // an aggregate of several trades
    FLAG_REPLAY = 4,     // from a recording
    FLAG_DELAYED = 8,    // not live: the venue sends it some minutes late
};

enum Side : std::uint8_t { SIDE_UNKNOWN = 0, SIDE_BUY = 1, SIDE_SELL = 2 };

struct Ticker {
    std::int64_t exchangeTimeNs;
    std::int64_t localTimeNs;
    double bidPrice;
    double bidVolume;
    double askPrice;
    double askVolume;
    std::uint64_t seq;
    std::int32_t symbol;
    std::uint8_t exchange;
    std::uint8_t reserved;
    std::uint16_t flags;
};

struct Trade {
    std::int64_t exchangeTimeNs;
    std::int64_t localTimeNs;
    std::int64_t tradeTimeNs;
    double price;
    double volume;
    std::int64_t tradeId;
    std::uint64_t seq;
    std::int32_t symbol;
    std::uint8_t exchange;
    std::uint8_t side;
    std::uint16_t flags;
};

static_assert(sizeof(Ticker) == 64 && std::is_trivially_copyable_v<Ticker>, "one cache line");
static_assert(sizeof(Trade) == 64 && std::is_trivially_copyable_v<Trade>, "one cache line");
static_assert(offsetof(Ticker, bidPrice) == 16 && offsetof(Ticker, seq) == 48 && offsetof(Ticker, symbol) == 56 &&
              offsetof(Ticker, exchange) == 60 && offsetof(Ticker, flags) == 62);
static_assert(offsetof(Trade, tradeTimeNs) == 16 && offsetof(Trade, tradeId) == 40 && offsetof(Trade, seq) == 48 &&
              offsetof(Trade, symbol) == 56 && offsetof(Trade, side) == 61 && offsetof(Trade, flags) == 62);

}  // namespace hft
