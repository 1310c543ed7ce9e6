"""The parser's C face, for a native listener that has the frame's bytes."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libcpp cimport bool as cbool

from hftcore.types cimport TickerStruct, TradeStruct


cdef extern from "hftcore/frame_decoder.hpp" namespace "hft" nogil:
    const int FRAME_ERROR
    const int FRAME_EVENTS
    const int FRAME_CONTROL
    const int FRAME_OTHER

    void forget_symbols(uint8_t exchange) noexcept

    cdef cppclass FrameDecoder:
        @staticmethod
        cbool supports(uint8_t exchange) noexcept
        void set_exchange(uint8_t exchange) noexcept
        int decode(const char* data, size_t size, int64_t localTimeNs, uint16_t flags) noexcept
        cbool learn(size_t index, int32_t id) noexcept
        size_t unknown() noexcept
        uint64_t template_hits() noexcept
        void use_templates(cbool use) noexcept
        size_t count() noexcept
        cbool is_numbered() noexcept
        uint64_t frame_number() noexcept
        size_t ticker_count() noexcept
        const TickerStruct* tickers() noexcept
        const TradeStruct* trades() noexcept
        const char* native_data(size_t index) noexcept
        size_t native_size(size_t index) noexcept
        const char* reason_data() noexcept
        size_t reason_size() noexcept
        void drop_events() noexcept
        const TradeStruct* passed_over() noexcept
        const char* passed_native_data() noexcept
        size_t passed_native_size() noexcept
        int32_t symbol(size_t index) noexcept


cdef class Parser:
    cdef FrameDecoder decoder
    cdef object _exchange
    cdef dict _symbols
    cdef int _kind
    # The last two lists that parse() returned, to be filled again once nobody else holds them.
    cdef list _recent
    cdef list _older

    # decode_c, then resolve_c where decoder.unknown() is not 0; the structs stay in the decoder until the next frame.
    cdef int decode_c(self, const char* data, size_t size, int64_t localTimeNs, uint16_t flags) noexcept nogil
    cdef int resolve_c(self) except -1
    cdef object _pair_of(self, bytes native)
    cdef list events_c(self)
    # The number of the symbol of decoder.passed_over(); -1 where it is no pair.
    cdef int32_t passed_symbol_c(self) except -2
    cdef int fail_c(self) except -1
