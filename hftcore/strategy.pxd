"""Strategies in Cython: a supported API for extensions outside this tree (docs/native_strategies.md)."""

# First of all: what was compiled against another layout is refused here.
cimport hftcore.layout

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from hftcore.ring cimport Batch, Ring
from hftcore.types cimport TickerStruct, TradeStruct


cdef extern from "hftcore/types.hpp" namespace "hft" nogil:
    const uint16_t FLAG_SNAPSHOT
    const uint16_t FLAG_AGGREGATE
    const uint16_t FLAG_REPLAY
    const uint8_t SIDE_UNKNOWN
    const uint8_t SIDE_BUY
    const uint8_t SIDE_SELL


cdef class NativeStrategy:
    cdef uint64_t _tickers
    cdef uint64_t _trades
    cdef bint _signalled

    # To be overridden. Called on the consumer's thread without the GIL, for each item in the ring's order; the struct
    # is a copy that is valid during the call. What must not happen: an exception, a lock, anything that blocks.
    cdef void on_ticker_c(self, const TickerStruct* ticker) noexcept nogil
    cdef void on_trade_c(self, const TradeStruct* trade) noexcept nogil

    # To be called by the handlers: `on_signal` is to run once, after the batch.
    cdef void signal_c(self) noexcept nogil

    # Consumer thread. Hands over what the ring holds now, at most `limit` items; returns how many. The ring must have no
    # view.
    cdef Py_ssize_t drain_c(self, Ring ring, Py_ssize_t limit) noexcept nogil

    cdef void _drain(self, Ring ring, Batch* batch) noexcept nogil
    cdef int _hand_over(self, Ring ring, Batch* batch) except -1
