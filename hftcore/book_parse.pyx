"""Parsers of order books: a venue's frame, from bytes into updates with the venue's own digits.

A frame is decoded whole or is a ParseError that names the offending value. Nothing is judged here but the frame itself:
whether an update may be applied is for `hftcore.book_feed.BookFeed`. Each parser owns its buffers: use one per thread.

Source: the venues' documentation, named in include/hftcore/<venue>_book.hpp.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from hftcore.book cimport BookLevel, Lexeme, string_view
from hftcore.parse cimport FRAME_ERROR

from typing import NamedTuple

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair, on_instruments, pair_of_id, pair_of_native


cdef extern from "<string_view>" namespace "std" nogil:
    cdef string_view make_view "std::string_view"(const char* data, size_t size)


cdef tuple KINDS = (None, FrameKind.EVENTS, FrameKind.CONTROL, FrameKind.OTHER)


def _forget(exchange):
    forget_symbols(exchange)


on_instruments(_forget)


class BookUpdate(NamedTuple):
    """One symbol's levels out of one frame, as the venue wrote them.

    `bids` and `asks` are (price, volume) texts in the venue's order; volume zero: the level is gone. `firstSeq`, `lastSeq`:
    the venue's numbers, None where it has none; `prevSeq`: the number of the update before, where the venue says it.
    Times in ns since 1970; 0: the venue says none.
    """

    symbol: CurrencyPair
    exchange: Exchange
    snapshot: bool
    bids: list
    asks: list
    exchangeTimeNs: int
    localTimeNs: int
    firstSeq: object
    lastSeq: object
    prevSeq: object
    checksum: object
    native: str


cdef object text_of(const Lexeme& lexeme):
    return lexeme.data[:lexeme.size].decode()


cdef list levels_of(const BookLevel* levels, size_t begin, size_t end):
    cdef size_t index
    return [(text_of(levels[index].priceText), text_of(levels[index].volumeText)) for index in range(begin, end)]


@cython.final
cdef class BookParser:
    """Reads the order book frames of one venue, in all their shapes.

    Parameters
    ----------
    exchange
        A venue of `hftcore.parse.Parser`. Kraken: v2 and v1; Coinbase: Advanced Trade and Exchange.
    symbols
        Pairs by the venue's own spelling, where that is not enough to tell them.

    Raises
    ------
    ValueError
        If there is no parser for the exchange.

    Notes
    -----
    Thread safety: one parser per thread.
    """

    def __init__(self, exchange, *, symbols=None):
        self._exchange = Exchange.parse(exchange)
        if not BookDecoder.supports(self._exchange):
            names = ", ".join(str(item) for item in Exchange if BookDecoder.supports(item))
            raise ValueError(f"exchange must be one with a parser ({names}), was {self._exchange}")
        self.decoder.set_exchange(self._exchange)
        self._symbols = {native: CurrencyPair(pair) for native, pair in (symbols or {}).items()}

    cdef int decode_c(self, const char* data, size_t size, int64_t localTimeNs) noexcept nogil:
        self._kind = self.decoder.decode(data, size, localTimeNs)
        return self._kind

    cdef int decode_for_c(self, const char* data, size_t size, int64_t localTimeNs, bytes native) except -1:
        self._kind = self.decoder.decode(
            data, size, localTimeNs, make_view(PyBytes_AS_STRING(native), PyBytes_GET_SIZE(native))
        )
        return self._kind

    cdef int resolve_c(self) except -1:
        """Give every update its symbol's number. Raises ParseError, and drops the updates, if a symbol is no pair."""
        cdef size_t index
        for index in range(self.decoder.count()):
            if self.decoder.update(index).symbol >= 0:
                continue
            native = self.decoder.native_data(index)[:self.decoder.native_size(index)].decode()
            try:
                pair = self._symbols.get(native)
                if pair is None:
                    pair = pair_of_native(self._exchange, native)
            except ValueError as error:
                self._kind = FRAME_ERROR
                self.decoder.drop_updates()
                raise ParseError(f"symbol: {error}") from error
            if not self.decoder.learn(index, pair.id):
                raise MemoryError
        return 0

    cdef int fail_c(self) except -1:
        """Raise the ParseError of the last frame."""
        cdef bytes reason = self.decoder.reason_data()[:self.decoder.reason_size()]
        raise ParseError(reason.decode("utf-8", "replace"))

    def parse(self, frame, int64_t localTimeNs=0, symbol=None):
        """Decode one frame.

        Parameters
        ----------
        frame
            Its bytes (bytes, bytearray or a contiguous memoryview).
        localTimeNs
            When it was received, ns since 1970.
        symbol
            The venue's own spelling of the symbol of a frame that does not say it: a depth snapshot of Binance's REST API.

        Returns
        -------
        list
            The BookUpdates; empty for frames of other channels (see `kind`).

        Raises
        ------
        ParseError
            If the frame is no valid JSON, or not what the venue's protocol says; the message names the value.
        """
        cdef Py_buffer view
        cdef int kind
        cdef bytes native = b"" if symbol is None else symbol.encode()
        self._kind = FRAME_ERROR
        self.decoder.drop_updates()
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            kind = self.decode_for_c(<const char*>view.buf, view.len, localTimeNs, native)
        finally:
            PyBuffer_Release(&view)
        if kind == FRAME_ERROR:
            self.fail_c()
        if self.decoder.unknown():
            self.resolve_c()
        return self._updates()

    cdef list _updates(self):
        cdef size_t index
        cdef const CUpdate* update
        cdef const BookLevel* levels = self.decoder.levels()
        cdef list found = []
        for index in range(self.decoder.count()):
            update = &self.decoder.update(index)
            checksum = None
            if update.hasChecksum:
                checksum = <int><unsigned int>update.checksum if update.checksumKind == CHECKSUM_OKX else update.checksum
            found.append(BookUpdate(
                pair_of_id(update.symbol), self._exchange, update.snapshot,
                levels_of(levels, update.bidsBegin, update.bidsEnd), levels_of(levels, update.asksBegin, update.asksEnd),
                update.exchangeTimeNs, update.localTimeNs,
                update.firstSeq if update.hasSeq else None, update.lastSeq if update.hasSeq else None,
                update.prevSeq if update.hasPrevSeq else None, checksum,
                self.decoder.native_data(index)[:self.decoder.native_size(index)].decode(),
            ))
        return found

    @property
    def exchange(self):
        """The venue."""
        return self._exchange

    @property
    def kind(self):
        """The FrameKind of the last frame (EVENTS: of whatever channel); None before the first one and after an error."""
        return KINDS[self._kind]

    @property
    def otherEvents(self):
        """How many events of other channels the last frame carried."""
        return self.decoder.other_events()

    @property
    def frameSeq(self):
        """The number of the last frame among all of its connection (Coinbase Advanced); None where there is none."""
        return self.decoder.frame_seq() if self.decoder.has_frame_seq() else None
