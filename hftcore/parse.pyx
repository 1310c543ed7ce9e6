"""Parsers: a venue's frame, from bytes straight into Ticker and Trade.

A frame is decoded whole or is a ParseError; invalid JSON anywhere in it is one. A key that the parser reads and that
stands twice in its object is an error. Each Parser owns its buffers and its table of symbols: use one per thread.

A frame that is spelled exactly as the venue usually does is read in place by a template (include/hftcore/scan.hpp).
Any other is copied into the parser's padded buffer and read by the general path, which alone says what is malformed.
The caller's bytes need no padding, and may change after `parse`.

Source: the venues' documentation, named in include/hftcore/<venue>.hpp.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint16_t

from hftcore.types cimport Ticker, Trade, TradeStruct, ticker_of, trade_of

from enum import IntEnum

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, on_instruments, pair_of_id, pair_of_native


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object instance)
    Py_ssize_t PyList_GET_SIZE(object sequence)
    PyObject* PyList_GET_ITEM(object sequence, Py_ssize_t index)


class FrameKind(IntEnum):
    """What a frame was."""

    EVENTS = 1  # tickers or trades, possibly none
    CONTROL = 2  # acknowledgements, heartbeats, status, refusals, requests
    OTHER = 3  # valid, but none of the parser's channels


cdef tuple KINDS = (None, FrameKind.EVENTS, FrameKind.CONTROL, FrameKind.OTHER)

# Longer lists are not kept to be filled again.
cdef enum:
    MAX_KEPT_EVENTS = 1024

assert (FRAME_EVENTS, FRAME_CONTROL, FRAME_OTHER) == (FrameKind.EVENTS, FrameKind.CONTROL, FrameKind.OTHER)


def _forget(exchange):
    forget_symbols(exchange)


on_instruments(_forget)


@cython.final
cdef class Parser:
    """Reads the ticker and trade frames of one venue, in all their shapes.

    Parameters
    ----------
    exchange
        Exchange.KRAKEN (WebSocket v2 and v1), Exchange.BINANCE (spot; single and combined streams; Binance.US),
        Exchange.COINBASE (Advanced Trade and Exchange), Exchange.KRAKEN_FUTURE, Exchange.OKX or Exchange.OKX_SWAP
        (v5; both read all of OKX's instruments), or Exchange.BINANCE_FUTURE (USD-M, and COIN-M, which looks the same).
    templates
        False reads every frame by the general path: slower, with the same results.
    symbols
        From the venue's spelling to the pair, for this parser alone, before the instruments that were registered.

    Raises
    ------
    ValueError
        If there is no parser for the exchange, or a pair is none.

    Notes
    -----
    Thread safety: one parser per thread.

    What a frame does not say is 0: sizes in Kraken Futures' ticker_lite and in tickers of Coinbase's Exchange feed until
    2022, times in some frames of both; price and size of a side of OKX's book on which nobody stands. An entry of
    Coinbase's ticker_batch without best bid and ask is no event, nor is a trade of Binance futures whose kind is NA.

    Volumes are in the venue's own unit: contracts for OKX's derivatives and COIN-M, else the base currency mostly.
    """

    def __init__(self, exchange, *, templates=True, symbols=None):
        self._exchange = Exchange.parse(exchange)
        if not FrameDecoder.supports(self._exchange):
            names = ", ".join(str(item) for item in Exchange if FrameDecoder.supports(item))
            raise ValueError(f"exchange must be one with a parser ({names}), was {self._exchange}")
        self.decoder.set_exchange(self._exchange)
        self.decoder.use_templates(templates)
        self._symbols = {native: CurrencyPair(pair) for native, pair in (symbols or {}).items()}

    # hot path: begin
    cdef int decode_c(self, const char* data, size_t size, int64_t localTimeNs, uint16_t flags) noexcept nogil:
        """Decode a frame; returns its kind, FRAME_ERROR where it is none."""
        self._kind = self.decoder.decode(data, size, localTimeNs, flags)
        return self._kind
    # hot path: end

    cdef int resolve_c(self) except -1:
        """Give every event its symbol's number. Raises ParseError, and drops the events, if a symbol is no pair."""
        cdef size_t index
        for index in range(self.decoder.count()):
            if self.decoder.symbol(index) >= 0:
                continue
            try:
                pair = self._pair_of(self.decoder.native_data(index)[:self.decoder.native_size(index)])
            except ValueError as error:
                self._kind = FRAME_ERROR
                self.decoder.drop_events()
                raise ParseError(f"symbol: {error}") from error
            if not self.decoder.learn(index, pair.id):
                raise MemoryError
        return 0

    cdef object _pair_of(self, bytes native):
        pair = self._symbols.get(native.decode())
        return pair_of_native(self._exchange, native.decode()) if pair is None else pair

    cdef int32_t passed_symbol_c(self) except -2:
        try:
            return self._pair_of(self.decoder.passed_native_data()[:self.decoder.passed_native_size()]).id
        except ValueError:
            return -1

    cdef list events_c(self):
        """The events of the last frame as objects.

        A list or an event that nobody but this parser holds any more is filled again, which nobody can notice: neither
        can be referred to weakly. Two lists take turns, since a caller mostly lets go of one only for the next.
        """
        cdef Py_ssize_t index
        cdef Py_ssize_t size
        cdef Py_ssize_t count = self.decoder.count()
        cdef list events
        cdef PyObject* event
        if count == 0:
            return []
        events = self._older
        self._older = self._recent
        if events is None or Py_REFCNT(events) != 1:
            events = []
        size = PyList_GET_SIZE(events)
        if size > count:
            del events[count:]
            size = count
        if self.decoder.ticker_count():
            for index in range(size):
                event = PyList_GET_ITEM(events, index)
                if Py_REFCNT(<object>event) == 1 and type(<object>event) is Ticker:
                    (<Ticker>event).c = self.decoder.tickers()[index]
                else:
                    events[index] = ticker_of(self.decoder.tickers() + index)
            for index in range(size, count):
                events.append(ticker_of(self.decoder.tickers() + index))
        else:
            for index in range(size):
                event = PyList_GET_ITEM(events, index)
                if Py_REFCNT(<object>event) == 1 and type(<object>event) is Trade:
                    (<Trade>event).c = self.decoder.trades()[index]
                else:
                    events[index] = trade_of(self.decoder.trades() + index)
            for index in range(size, count):
                events.append(trade_of(self.decoder.trades() + index))
        self._recent = events if count <= MAX_KEPT_EVENTS else None
        return events

    cdef int fail_c(self) except -1:
        """Raise the ParseError of the last frame."""
        cdef bytes reason = self.decoder.reason_data()[:self.decoder.reason_size()]
        raise ParseError(reason.decode("utf-8", "replace"))

    @cython.binding(False)
    def parse(self, frame, int64_t localTimeNs=0, uint16_t flags=0):
        """Decode one frame.

        Parameters
        ----------
        frame
            The frame's bytes (bytes, bytearray or a contiguous memoryview).
        localTimeNs
            When it was received, ns since 1970.
        flags
            Flag bits that every event gets.

        Returns
        -------
        list
            The Tickers or Trades in the frame's order; empty for CONTROL and OTHER (see `kind`).

        Raises
        ------
        ParseError
            If the frame is no valid JSON, or not what the venue's protocol says; the message names the value.
        """
        cdef Py_buffer view
        cdef int kind
        if PyBytes_CheckExact(frame):
            kind = self.decode_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), localTimeNs, flags)
        else:
            self._kind = FRAME_ERROR
            self.decoder.drop_events()
            PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
            kind = self.decode_c(<const char*>view.buf, view.len, localTimeNs, flags)
            PyBuffer_Release(&view)
        if kind == FRAME_ERROR:
            self.fail_c()
        if self.decoder.unknown():
            self.resolve_c()
        return self.events_c()

    @property
    def exchange(self):
        """The venue."""
        return self._exchange

    @property
    def kind(self):
        """The FrameKind of the last frame; None before the first one and after a ParseError."""
        return KINDS[self._kind]

    @property
    def frameNumber(self):
        """The number of the last frame, where the venue counts all frames of a connection; else None."""
        return self.decoder.frame_number() if self._kind != FRAME_ERROR and self.decoder.is_numbered() else None

    @property
    def nativeSymbols(self):
        """The venue's own spelling of each event's symbol, parallel to the events of the last frame."""
        cdef size_t index
        return [
            self.decoder.native_data(index)[:self.decoder.native_size(index)].decode()
            for index in range(self.decoder.count())
        ]

    @property
    def passedOver(self):
        """Pair, number and time in ns of a trade of the last frame that is no event but uses up its number, or None."""
        cdef const TradeStruct* trade = self.decoder.passed_over()
        cdef int32_t symbol = -1 if trade == NULL else self.passed_symbol_c()
        return None if symbol < 0 else (pair_of_id(symbol), trade.tradeId, trade.tradeTimeNs)

    @property
    def templateHits(self):
        """How many frames a template has read since the parser was made."""
        return self.decoder.template_hits()
