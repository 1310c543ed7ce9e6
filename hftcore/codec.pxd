"""The codec's C face: structs to messages and back without a Python object."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as cbool

from hftcore.types cimport TickerStruct, TradeStruct


cdef extern from "hftcore/protobuf_wire.hpp" namespace "hft::wire" nogil:
    enum Fault "hft::wire::Fault":
        FAULT_NONE "hft::wire::FAULT_NONE"
        FAULT_TRUNCATED "hft::wire::FAULT_TRUNCATED"
        FAULT_VARINT "hft::wire::FAULT_VARINT"
        FAULT_TAG "hft::wire::FAULT_TAG"
        FAULT_LENGTH "hft::wire::FAULT_LENGTH"
        FAULT_WIRE_TYPE "hft::wire::FAULT_WIRE_TYPE"
        FAULT_GROUP "hft::wire::FAULT_GROUP"
        FAULT_DEPTH "hft::wire::FAULT_DEPTH"
        FAULT_UTF8 "hft::wire::FAULT_UTF8"


cdef extern from "hftcore/market_codec.hpp" namespace "hft" nogil:
    const size_t MAX_MARKET_MESSAGE

    struct Envelope "hft::Envelope":
        uint64_t seq
        uint64_t epoch
        const char* symbol
        size_t symbolSize
        int32_t exchange
        int32_t side
        uint32_t flags
        cbool resent
        Fault fault
        size_t faultAt

    # out holds MAX_MARKET_MESSAGE bytes; returns the size
    size_t encode_ticker_message "hft::encode_message<hft::Ticker>"(
        char* out, uint64_t seq, uint64_t epoch, cbool resent, const char* symbol, size_t symbol_size,
        const TickerStruct& item) noexcept
    size_t encode_trade_message "hft::encode_message<hft::Trade>"(
        char* out, uint64_t seq, uint64_t epoch, cbool resent, const char* symbol, size_t symbol_size,
        const TradeStruct& item) noexcept
    cbool decode_ticker_message "hft::decode_message<hft::Ticker>"(
        const char* data, size_t size, TickerStruct& item, Envelope& rest) noexcept
    cbool decode_trade_message "hft::decode_message<hft::Trade>"(
        const char* data, size_t size, TradeStruct& item, Envelope& rest) noexcept


# Encode a struct of this process: its symbol must be a known number. Return the size; -1: an exception is set.
cdef Py_ssize_t encode_ticker_c(char* out, const TickerStruct* item, uint64_t seq, uint64_t epoch, bint resent) except -1
cdef Py_ssize_t encode_trade_c(char* out, const TradeStruct* item, uint64_t seq, uint64_t epoch, bint resent) except -1
# Decode a message whole, symbol, exchange, side and flags included, or raise ParseError.
cdef int decode_ticker_c(const char* data, size_t size, TickerStruct* item, Envelope* rest) except -1
cdef int decode_trade_c(const char* data, size_t size, TradeStruct* item, Envelope* rest) except -1
# Raise the ParseError of a message that could not be read.
cdef int fail_c(str name, const Envelope* rest, size_t size) except -1
# Judge what the struct cannot hold as it stands, then set symbol, exchange and flags of it. Needs the GIL.
cdef int32_t symbol_of_text(const char* text, size_t size) except -1
