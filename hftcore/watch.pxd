"""What is remembered of each symbol of a connection; a feed checks and notes natively."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t
from libcpp cimport bool as cbool

from hftcore.types cimport TickerStruct, TradeStruct


cdef extern from "hftcore/feed_state.hpp" namespace "hft" nogil:
    # time.monotonic() in ns
    int64_t watch_now_ns() noexcept
    # as of the kernel's last tick, at most 10 ms before
    int64_t watch_tick_ns() noexcept

    enum TickerRule "hft::TickerRule":
        TICKERS_ALL "hft::TICKERS_ALL"
        TICKERS_NEWEST "hft::TICKERS_NEWEST"
        TICKERS_NEWEST_OR_ANEW "hft::TICKERS_NEWEST_OR_ANEW"

    enum TradeRule "hft::TradeRule":
        TRADES_ALL "hft::TRADES_ALL"
        TRADES_BY_ONE "hft::TRADES_BY_ONE"
        TRADES_RISING "hft::TRADES_RISING"

    const int VERDICT_DELIVER
    const int VERDICT_UNWANTED
    const int VERDICT_OUTDATED
    const int VERDICT_DUPLICATE
    const int VERDICT_GAP
    const int VERDICT_ANEW

    struct SymbolState "hft::SymbolState":
        int64_t seenNs
        int32_t symbol
        cbool wanted
        cbool watched
        cbool stale

    cdef cppclass FrameCounter "hft::FrameCounter":
        void forget() noexcept
        int check(uint64_t number, uint64_t* lost) noexcept

    cdef cppclass FeedState "hft::FeedState":
        FrameCounter frames
        TickerRule tickers
        TradeRule trades
        cbool numbered_by_seq
        int64_t lastFrameNs
        int64_t lastEventNs
        int silence_factor
        SymbolState& state_of(int32_t symbol) except +
        size_t place_of(int32_t symbol) except +
        int check(const TickerStruct& ticker) noexcept
        int check(const TradeStruct& trade, uint64_t* lost) noexcept
        int pass_over(const TradeStruct& trade, uint64_t* lost) noexcept
        void note(SymbolState* state, uint16_t flags) noexcept
        cbool any_counted() noexcept
        cbool is_newest_first(const TradeStruct* trades, size_t count) noexcept
        void forget_updates() noexcept
        void unwatch_all() noexcept
        size_t size() noexcept
        SymbolState& at(size_t index) noexcept
        cbool oldest(int64_t* seen) noexcept


cdef class SilenceWatch:
    cdef FeedState state
