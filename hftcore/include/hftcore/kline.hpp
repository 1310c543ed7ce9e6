// What comes by the clock rather than by the market: klines, and the funding of perpetual swaps.
//
// Kline (128 bytes, two cache lines)
//   offset  field           type               offset  field           type
//        0  exchangeTimeNs  i64                    72  quoteVolume     f64
//        8  localTimeNs     i64                    80  tradeCount      i64
//       16  openTimeNs      i64                    88  seq             u64
//       24  closeTimeNs     i64                    96  symbol          i32
//       32  open            f64                   100  exchange        u8
//       40  high            f64                   101  reserved        u8
//       48  low             f64                   102  flags           u16
//       56  close           f64                   104  intervalS       u32
//       64  volume          f64                   108  padding         u32[5]
//
// A batch of them begins at a multiple of 64 bytes where its owner allocates it so; the struct itself asks for 8.
// `symbol` is a process-local number (see symbol_table.hpp): it never crosses a process boundary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hftcore/types.hpp"

namespace hft {

struct Kline {
    std::int64_t exchangeTimeNs;
    std::int64_t localTimeNs;
    std::int64_t openTimeNs;
    std::int64_t closeTimeNs;  // where the next one opens
    double open;
    double high;
    double low;
    double close;
    double volume;
    double quoteVolume;       // NaN: not told
    std::int64_t tradeCount;  // -1: not told
    std::uint64_t seq;
    std::int32_t symbol;
    std::uint8_t exchange;
    std::uint8_t reserved;
    std::uint16_t flags;
    std::uint32_t intervalS;  // 0: a calendar month or more
    std::uint32_t padding[5];
};

static_assert(sizeof(Kline) == 128 && std::is_trivially_copyable_v<Kline>, "two cache lines");
static_assert(offsetof(Kline, open) == 32 && offsetof(Kline, volume) == 64 && offsetof(Kline, tradeCount) == 80 &&
              offsetof(Kline, symbol) == 96 && offsetof(Kline, exchange) == 100 && offsetof(Kline, flags) == 102 &&
              offsetof(Kline, intervalS) == 104 && offsetof(Kline, padding) == 108);

// As a frame tells it; NaN and 0 where it does not. The stream makes it whole from all the frames of a symbol.
struct Funding {
    std::int64_t exchangeTimeNs;
    std::int64_t localTimeNs;
    std::int64_t fundingTimeNs;      // when `rate` is settled
    std::int64_t nextFundingTimeNs;  // the settlement after that
    double rate;
    double nextRate;
    double markPrice;
    double indexPrice;
    double absoluteRate;      // what a contract pays, as money, where the venue tells it beside the fraction
    double absoluteNextRate;
    std::int32_t symbol;
    std::uint8_t exchange;
};

}  // namespace hft
