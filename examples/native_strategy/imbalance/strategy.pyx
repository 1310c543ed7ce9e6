"""Follows the bid's share of the quoted volume of one pair, and signals when it leaves its band."""

from libc.stdint cimport int32_t, int64_t

from hftcore.strategy cimport FLAG_SNAPSHOT, SIDE_BUY, NativeStrategy
from hftcore.types cimport TickerStruct, TradeStruct

from hftcore.symbols import CurrencyPair


cdef class Imbalance(NativeStrategy):
    """Signals a side when the bid's share of the quoted volume leaves (1 - threshold, threshold).

    Parameters
    ----------
    pair
        Whose tickers count; all others are ignored.
    threshold
        Above it the side is 1 (buyers), below 1 - threshold it is -1.
    """

    cdef int32_t _symbol
    cdef double _threshold
    cdef readonly double share
    cdef readonly double bought, sold
    cdef readonly int side
    cdef readonly int64_t changes
    cdef readonly list seen

    def __init__(self, pair, double threshold=0.8):
        if not 0.5 < threshold < 1:
            raise ValueError(f"threshold must be between 0.5 and 1, was {threshold!r}")
        # Structs name a pair by its number in this process.
        self._symbol = CurrencyPair(pair).id
        self._threshold = threshold
        self.share = 0.5
        self.seen = []

    cdef void on_ticker_c(self, const TickerStruct* ticker) noexcept nogil:
        cdef double volume = ticker.bidVolume + ticker.askVolume
        cdef int side = 0
        if ticker.symbol != self._symbol or volume == 0:
            return
        self.share = ticker.bidVolume / volume
        if self.share > self._threshold:
            side = 1
        elif self.share < 1 - self._threshold:
            side = -1
        if side != self.side:
            self.side = side
            self.changes += 1
            self.signal_c()

    cdef void on_trade_c(self, const TradeStruct* trade) noexcept nogil:
        if trade.symbol != self._symbol or trade.flags & FLAG_SNAPSHOT:
            return
        if trade.side == SIDE_BUY:
            self.bought += trade.volume
        else:
            self.sold += trade.volume

    def on_signal(self):
        """Python again: here an order would be placed."""
        self.seen.append(self.side)
