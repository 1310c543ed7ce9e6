"""The native structs, and the extension types that hold one each."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t


cdef extern from "hftcore/types.hpp" namespace "hft" nogil:
    struct TickerStruct "hft::Ticker":
        int64_t exchangeTimeNs
        int64_t localTimeNs
        double bidPrice
        double bidVolume
        double askPrice
        double askVolume
        uint64_t seq
        int32_t symbol
        uint8_t exchange
        uint8_t reserved
        uint16_t flags

    struct TradeStruct "hft::Trade":
        int64_t exchangeTimeNs
        int64_t localTimeNs
        int64_t tradeTimeNs
        double price
        double volume
        int64_t tradeId
        uint64_t seq
        int32_t symbol
        uint8_t exchange
        uint8_t side
        uint16_t flags


cdef class Ticker:
    cdef TickerStruct c
    cdef tuple _key(self)


cdef class Trade:
    cdef TradeStruct c
    cdef tuple _key(self)


cdef Ticker ticker_of(const TickerStruct* source)
cdef Trade trade_of(const TradeStruct* source)
