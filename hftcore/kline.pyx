"""Kline: a 128-byte native struct with a Python face; and the parser of what comes by the clock, klines and funding.

A kline holds its struct by value and is immutable from Python. Times are those of `hftcore.types`: `…Ns` fields are
nanoseconds, `timestamp` and the like microseconds, 0 where the venue does not tell. Objects may be read from any
thread; a parser belongs to one.

Source: the venues' documentation, named in include/hftcore/periodic_decoder.hpp.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

import math

import numpy as np

from hftcore.enums import Exchange, Flag
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, on_instruments, pair_of_id, pair_of_native


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view(const char* data, size_t size)


cdef extern from "hftcore/symbol_table.hpp" namespace "hft" nogil:
    cdef cppclass SymbolTable:
        SymbolTable() except +
        int32_t find(const char* text, size_t size) noexcept
        void insert(string_view text, int32_t id) except +


cdef extern from "hftcore/periodic_decoder.hpp" namespace "hft" nogil:
    const int FRAME_ERROR
    const int FRAME_EVENTS

    struct KlineStruct "hft::Kline":
        int64_t exchangeTimeNs
        int64_t localTimeNs
        int64_t openTimeNs
        int64_t closeTimeNs
        double open
        double high
        double low
        double close
        double volume
        double quoteVolume
        int64_t tradeCount
        uint64_t seq
        int32_t symbol
        uint8_t exchange
        uint16_t flags
        uint32_t intervalS

    struct FundingStruct "hft::Funding":
        int64_t exchangeTimeNs
        int64_t localTimeNs
        int64_t fundingTimeNs
        int64_t nextFundingTimeNs
        double rate
        double nextRate
        double markPrice
        double indexPrice
        double absoluteRate
        double absoluteNextRate
        int32_t symbol

    cdef cppclass PeriodicDecoder:
        @staticmethod
        cbool supports(uint8_t exchange) noexcept
        void set_exchange(uint8_t exchange) noexcept
        int decode(const char* data, size_t size, int64_t localTimeNs) noexcept
        size_t kline_count() noexcept
        size_t funding_count() noexcept
        cbool is_numbered() noexcept
        uint64_t frame_number() noexcept
        KlineStruct* klines() noexcept
        FundingStruct* fundings() noexcept
        const char* native_data(size_t index) noexcept
        size_t native_size(size_t index) noexcept
        const char* reason_data() noexcept
        size_t reason_size() noexcept


# How often a venue's instruments have changed: what parsers remember of symbols is as old.
cdef unsigned long long instrument_changes = 0
# More than any venue lists: what nonsense a peer sends must not grow a parser for ever.
cdef Py_ssize_t MOST_PAIRS = 65536


def _forget(exchange):
    global instrument_changes
    instrument_changes += 1


on_instruments(_forget)


KLINE_DTYPE = np.dtype(
    [
        ("exchangeTimeNs", "<i8"), ("localTimeNs", "<i8"), ("openTimeNs", "<i8"), ("closeTimeNs", "<i8"),
        ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8"), ("volume", "<f8"),
        ("quoteVolume", "<f8"), ("tradeCount", "<i8"), ("seq", "<u8"), ("symbol", "<i4"), ("exchange", "u1"),
        ("reserved", "u1"), ("flags", "<u2"), ("intervalS", "<u4"), ("padding", "<u4", (5,)),
    ]
)


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Kline:
    """One candle of one symbol, as it stands or, with `Flag.CLOSED`, as it ended.

    Parameters
    ----------
    exchange, symbol
        As for `hftcore.types.Ticker`.
    openTimeNs, closeTimeNs
        Where it begins, and where the next one does, ns since 1970; 0 if not known.
    open, high, low, close
        Prices in the quote currency.
    volume
        In the venue's own unit: the base currency mostly, contracts for derivatives of OKX.
    quoteVolume
        In the quote currency; NaN where the venue does not tell.
    tradeCount
        -1 where the venue does not tell.
    intervalS
        Seconds from one to the next; 0: calendar months.
    exchangeTimeNs, localTimeNs, seq, flags
        As for `hftcore.types.Ticker`.

    Raises
    ------
    ValueError
        If the exchange or the symbol is not one.
    """

    cdef KlineStruct c

    def __init__(
        self, *, exchange, symbol, int64_t openTimeNs=0, int64_t closeTimeNs=0, double open=0.0, double high=0.0,
        double low=0.0, double close=0.0, double volume=0.0, double quoteVolume=math.nan, int64_t tradeCount=-1,
        uint32_t intervalS=0, int64_t exchangeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0, uint16_t flags=0,
    ):
        self.c.exchange = Exchange.parse(exchange).value
        self.c.symbol = CurrencyPair(symbol).id
        self.c.openTimeNs = openTimeNs
        self.c.closeTimeNs = closeTimeNs
        self.c.open = open
        self.c.high = high
        self.c.low = low
        self.c.close = close
        self.c.volume = volume
        self.c.quoteVolume = quoteVolume
        self.c.tradeCount = tradeCount
        self.c.intervalS = intervalS
        self.c.exchangeTimeNs = exchangeTimeNs
        self.c.localTimeNs = localTimeNs
        self.c.seq = seq
        self.c.flags = flags

    @property
    def exchange(self):
        return Exchange(self.c.exchange)

    @property
    def symbol(self):
        return pair_of_id(self.c.symbol)

    @property
    def openTimeNs(self):
        return self.c.openTimeNs

    @property
    def closeTimeNs(self):
        return self.c.closeTimeNs

    @property
    def open(self):
        return self.c.open

    @property
    def high(self):
        return self.c.high

    @property
    def low(self):
        return self.c.low

    @property
    def close(self):
        return self.c.close

    @property
    def volume(self):
        return self.c.volume

    @property
    def quoteVolume(self):
        return self.c.quoteVolume

    @property
    def tradeCount(self):
        return self.c.tradeCount

    @property
    def intervalS(self):
        return self.c.intervalS

    @property
    def exchangeTimeNs(self):
        return self.c.exchangeTimeNs

    @property
    def localTimeNs(self):
        return self.c.localTimeNs

    @property
    def seq(self):
        return self.c.seq

    @property
    def flags(self):
        return Flag(self.c.flags)

    @property
    def closed(self):
        """Whether no trade will change it any more."""
        return Flag.CLOSED in self.flags

    @property
    def timestamp(self):
        """The venue's time in microseconds."""
        return self.c.exchangeTimeNs // 1000

    @property
    def localTimestamp(self):
        """The time of receipt in microseconds."""
        return self.c.localTimeNs // 1000

    @property
    def openTimestamp(self):
        """Where it begins, in microseconds."""
        return self.c.openTimeNs // 1000

    @property
    def closeTimestamp(self):
        """Where the next one begins, in microseconds."""
        return self.c.closeTimeNs // 1000

    @property
    def open_time_ns(self):
        return self.c.openTimeNs

    @property
    def close_time_ns(self):
        return self.c.closeTimeNs

    @property
    def quote_volume(self):
        return self.c.quoteVolume

    @property
    def trade_count(self):
        return self.c.tradeCount

    @property
    def interval_s(self):
        return self.c.intervalS

    @property
    def exchange_time_ns(self):
        return self.c.exchangeTimeNs

    @property
    def local_time_ns(self):
        return self.c.localTimeNs

    @property
    def local_timestamp(self):
        return self.localTimestamp

    @property
    def open_timestamp(self):
        return self.openTimestamp

    @property
    def close_timestamp(self):
        return self.closeTimestamp

    def to_dict(self):
        """The fields by name, with `symbol` and `exchange` as text."""
        return {
            "exchange": str(self.exchange), "symbol": str(self.symbol), "openTimeNs": self.c.openTimeNs,
            "closeTimeNs": self.c.closeTimeNs, "open": self.c.open, "high": self.c.high, "low": self.c.low,
            "close": self.c.close, "volume": self.c.volume, "quoteVolume": self.c.quoteVolume,
            "tradeCount": self.c.tradeCount, "intervalS": self.c.intervalS,
            "exchangeTimeNs": self.c.exchangeTimeNs, "localTimeNs": self.c.localTimeNs, "seq": self.c.seq,
            "flags": self.c.flags,
        }

    def to_bytes(self):
        """The 128 bytes of the struct, as `KLINE_DTYPE` reads them in this process."""
        return (<char*>&self.c)[:sizeof(KlineStruct)]

    def __repr__(self):
        return "Kline(" + ", ".join([f"{name}={value!r}" for name, value in self.to_dict().items()]) + ")"

    def __eq__(self, other):
        # A quote volume that is not told equals another one that is not told.
        return self.to_bytes() == other.to_bytes() if isinstance(other, Kline) else NotImplemented

    def __hash__(self):
        return hash(self.to_bytes())

    def __reduce__(self):
        return _kline_from_dict, (self.to_dict(),)


def _kline_from_dict(fields):
    return Kline(**fields)


def klines_to_array(klines):
    """A numpy array of `KLINE_DTYPE` from klines, shape (n,)."""
    return np.frombuffer(b"".join([(<Kline?>kline).to_bytes() for kline in klines]), KLINE_DTYPE)


def klines_from_array(array):
    """Klines from an array of `KLINE_DTYPE`, or its bytes, of this process.

    Raises
    ------
    ValueError
        If the size is no multiple of 128 bytes, or a symbol or an exchange is not one of this process.
    """
    cdef const unsigned char[::1] view = memoryview(array).cast("B")
    cdef Kline kline
    cdef Py_ssize_t index
    if view.shape[0] % sizeof(KlineStruct):
        raise ValueError(f"a batch must be a multiple of {sizeof(KlineStruct)} bytes, was {view.shape[0]}")
    klines = []
    for index in range(0, view.shape[0], sizeof(KlineStruct)):
        kline = Kline.__new__(Kline)
        kline.c = (<const KlineStruct*>&view[index])[0]
        pair_of_id(kline.c.symbol)
        Exchange(kline.c.exchange)
        klines.append(kline)
    return klines


@cython.final
cdef class PeriodicParser:
    """Reads the klines and the funding of one venue.

    Parameters
    ----------
    exchange
        Exchange.BINANCE, BINANCE_FUTURE, COINBASE (Advanced Trade; the Exchange feed has neither), KRAKEN (v2 and
        v1), KRAKEN_FUTURE (funding alone: it has no klines), OKX or OKX_SWAP.
    symbols
        From the venue's spelling to the pair, for this parser alone, before the instruments that were registered.

    Raises
    ------
    ValueError
        If there is no such parser for the exchange, or a pair is none.

    Notes
    -----
    Thread safety: one parser per thread.
    """

    cdef PeriodicDecoder decoder
    cdef object _exchange
    cdef dict _symbols
    cdef SymbolTable _places  # in the two below, by the venue's spelling, as far as they were looked up
    cdef list _pairs
    cdef vector[int32_t] _ids
    cdef unsigned long long _pairs_as_of
    cdef int _kind

    def __cinit__(self):
        self._pairs = []

    def __init__(self, exchange, *, symbols=None):
        self._exchange = Exchange.parse(exchange)
        if not PeriodicDecoder.supports(self._exchange):
            names = ", ".join(str(item) for item in Exchange if PeriodicDecoder.supports(item))
            raise ValueError(f"exchange must be one with klines or funding ({names}), was {self._exchange}")
        self.decoder.set_exchange(self._exchange)
        self._symbols = {native: CurrencyPair(pair) for native, pair in (symbols or {}).items()}

    def parse(self, bytes frame not None, int64_t localTimeNs=0, uint16_t flags=0):
        """Decode one frame.

        Parameters
        ----------
        frame
            The frame's bytes.
        localTimeNs
            When it was received, ns since 1970.
        flags
            Bits that every kline gets, such as `Flag.REPLAY`.

        Returns
        -------
        list
            Klines, or what funding frames tell as dicts: `symbol`, `exchangeTimeNs`, `localTimeNs`, and those of
            `rate`, `nextRate`, `markPrice`, `indexPrice`, `fundingTimeNs`, `nextFundingTimeNs` that are told. Rates
            are fractions of the position's value; `absoluteRate` and `absoluteNextRate` are money per contract, which
            Kraken Futures tells beside them.

        Raises
        ------
        ParseError
            If the frame is no valid JSON, or not what the venue's protocol says; the message names the value.
        """
        cdef size_t index
        cdef Kline kline
        self._kind = self.decoder.decode(frame, len(frame), localTimeNs)
        if self._kind == FRAME_ERROR:
            raise ParseError((<bytes>self.decoder.reason_data()[:self.decoder.reason_size()]).decode("utf-8", "replace"))
        if self._kind != FRAME_EVENTS:
            return []
        events = []
        for index in range(self.decoder.kline_count()):
            kline = Kline.__new__(Kline)
            kline.c = self.decoder.klines()[index]
            kline.c.symbol = self._ids[self._place(index)]
            kline.c.flags |= flags
            events.append(kline)
        for index in range(self.decoder.funding_count()):
            events.append(self._funding(index))
        return events

    cdef int32_t _place(self, size_t index) except -1:
        """Where the symbol of an event stands in `_pairs` and `_ids`."""
        cdef int32_t place
        if self._pairs_as_of != instrument_changes or len(self._pairs) >= MOST_PAIRS:
            self._forget_places()
        place = self._places.find(self.decoder.native_data(index), self.decoder.native_size(index))
        return place if place >= 0 else self._new_place(index)

    cdef int _forget_places(self) except -1:
        # By itself: where a table is assigned, a temporary one is made at each call of the function.
        self._places = SymbolTable()
        self._pairs = []
        self._ids.clear()
        self._pairs_as_of = instrument_changes
        return 0

    cdef int32_t _new_place(self, size_t index) except -1:
        cdef int32_t place
        cdef bytes native = self.decoder.native_data(index)[:self.decoder.native_size(index)]
        try:
            pair = self._symbols.get(native.decode())
            if pair is None:
                pair = pair_of_native(self._exchange, native.decode())
        except ValueError as error:
            self._kind = FRAME_ERROR
            raise ParseError(f"symbol: {error}") from error
        place = <int32_t>len(self._pairs)
        self._ids.push_back(<int32_t>pair.id)
        self._pairs.append(pair)
        self._places.insert(string_view(self.decoder.native_data(index), self.decoder.native_size(index)), place)
        return place

    cdef dict _funding(self, size_t index):
        cdef FundingStruct* told = self.decoder.fundings() + index
        pair = self._pairs[self._place(index)]
        found = {"symbol": pair, "exchangeTimeNs": told.exchangeTimeNs, "localTimeNs": told.localTimeNs}
        # A number that is not told is NaN, which alone is not itself.
        if told.rate == told.rate:
            found["rate"] = told.rate
        if told.nextRate == told.nextRate:
            found["nextRate"] = told.nextRate
        if told.markPrice == told.markPrice:
            found["markPrice"] = told.markPrice
        if told.indexPrice == told.indexPrice:
            found["indexPrice"] = told.indexPrice
        if told.absoluteRate == told.absoluteRate:
            found["absoluteRate"] = told.absoluteRate
        if told.absoluteNextRate == told.absoluteNextRate:
            found["absoluteNextRate"] = told.absoluteNextRate
        if told.fundingTimeNs:
            found["fundingTimeNs"] = told.fundingTimeNs
        if told.nextFundingTimeNs:
            found["nextFundingTimeNs"] = told.nextFundingTimeNs
        return found

    @property
    def exchange(self):
        """The venue."""
        return self._exchange

    @property
    def nativeSymbols(self):
        """How the venue spells the symbols of the last frame's events, in their order."""
        cdef size_t index
        if self._kind != FRAME_EVENTS:
            return []
        return [
            self.decoder.native_data(index)[:self.decoder.native_size(index)].decode()
            for index in range(self.decoder.kline_count() + self.decoder.funding_count())
        ]

    @property
    def frameNumber(self):
        """The last frame's number where the venue counts all frames of a connection (Coinbase), else None."""
        return self.decoder.frame_number() if self.decoder.is_numbered() else None

    @property
    def kind(self):
        """The number of the `hftcore.parse.FrameKind` of the last frame; 0 before the first and after a ParseError."""
        return self._kind


assert KLINE_DTYPE.itemsize == sizeof(KlineStruct)
