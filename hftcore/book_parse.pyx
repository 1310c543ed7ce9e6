"""Parsers of order books: a venue's frame, from bytes into updates with the venue's own digits.

A frame is decoded whole or is a ParseError that names the offending value. Nothing is judged here but the frame itself:
whether an update may be applied is for `hftcore.book_feed.BookFeed`. Each parser owns its buffers: use one per thread.

Source: the venues' documentation, named in include/hftcore/<venue>_book.hpp.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from hftcore.book cimport BookLevel, Lexeme, string_view
from hftcore.parse cimport FRAME_ERROR, FRAME_EVENTS

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair, on_instruments, pair_of_id, pair_of_native


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object instance)
    Py_ssize_t PyList_GET_SIZE(object sequence)
    PyObject* PyList_GET_ITEM(object sequence, Py_ssize_t index)


cdef extern from "<string_view>" namespace "std" nogil:
    cdef string_view make_view "std::string_view"(const char* data, size_t size)


cdef tuple KINDS = (None, FrameKind.EVENTS, FrameKind.CONTROL, FrameKind.OTHER)

# Longer lists and larger updates are not kept to be filled again.
cdef enum:
    MAX_KEPT_UPDATES = 64
    MAX_KEPT_BYTES = 65536


def _forget(exchange):
    forget_symbols(exchange)


on_instruments(_forget)


cdef object text_of(const Lexeme& lexeme):
    return PyUnicode_DecodeASCII(lexeme.data, lexeme.size, NULL)


cdef inline char* keep_text(Lexeme* lexeme, char* place) noexcept nogil:
    """Copy the digits to `place` and let the lexeme show them there; gives the place behind them."""
    memcpy(place, lexeme.data, lexeme.size)
    lexeme.data = place
    return place + lexeme.size


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class BookUpdate:
    """One symbol's levels out of one frame, as the venue wrote them. Made by `BookParser.parse` alone.

    Immutable, and whole without its parser and its frame. The lists of levels are made anew each time they are read.
    Times in ns since 1970; 0: the venue says none.

    Notes
    -----
    Thread safety: any thread.
    """

    cdef CUpdate c  # begins and ends are in `levels`
    cdef BookLevel* levels  # one block: the levels, the native symbol, then their digits, where the frame is not kept
    cdef size_t _room  # of the block, in bytes
    cdef bytes _frame  # that holds the digits; None: the block does
    cdef size_t _native_begin  # in the block
    cdef size_t _native_size

    def __init__(self):
        raise TypeError("a BookUpdate is made by BookParser.parse alone")

    def __dealloc__(self):
        PyMem_Free(self.levels)

    cdef int take(
        self, const CUpdate* update, const BookLevel* levels, const char* native, size_t size, bytes frame,
    ) except -1:
        """Fill it, also once more. `frame`: whose bytes the digits are; None: they must be copied."""
        # Which side stands first is the frame's.
        cdef size_t first = min(update.bidsBegin, update.asksBegin)
        cdef size_t index, count = max(update.bidsEnd, update.asksEnd) - first, room = count * sizeof(BookLevel) + size + 1
        cdef char* place
        levels += first
        if frame is None:
            for index in range(count):
                room += levels[index].priceText.size + levels[index].volumeText.size
        if room > self._room or self._room > MAX_KEPT_BYTES:
            PyMem_Free(self.levels)
            self._room = 0
            self.levels = <BookLevel*>PyMem_Malloc(room)
            if self.levels == NULL:
                raise MemoryError
            self._room = room
        self._frame = frame
        memcpy(self.levels, levels, count * sizeof(BookLevel))
        self._native_begin = count * sizeof(BookLevel)
        self._native_size = size
        place = <char*>self.levels + self._native_begin
        memcpy(place, native, size)
        if frame is None:
            place += size
            for index in range(count):
                place = keep_text(&self.levels[index].priceText, place)
                place = keep_text(&self.levels[index].volumeText, place)
        self.c = update[0]
        self.c.bidsBegin -= first
        self.c.bidsEnd -= first
        self.c.asksBegin -= first
        self.c.asksEnd -= first
        return 0

    cdef list _levels(self, size_t begin, size_t end):
        cdef size_t index
        return [
            (text_of(self.levels[index].priceText), text_of(self.levels[index].volumeText))
            for index in range(begin, end)
        ]

    @property
    def symbol(self):
        """The pair."""
        return pair_of_id(self.c.symbol)

    @property
    def exchange(self):
        """The venue."""
        return Exchange(self.c.exchange)

    @property
    def native(self):
        """The symbol in the venue's own spelling."""
        return (<char*>self.levels + self._native_begin)[:self._native_size].decode()

    @property
    def snapshot(self):
        """Whether it is the whole book, or as much of it as was asked for."""
        return self.c.snapshot

    @property
    def bids(self):
        """Pairs of price and volume as texts, in the venue's order; volume zero: the level is gone."""
        return self._levels(self.c.bidsBegin, self.c.bidsEnd)

    @property
    def asks(self):
        """As `bids`."""
        return self._levels(self.c.asksBegin, self.c.asksEnd)

    @property
    def exchangeTimeNs(self):
        """When the venue published it."""
        return self.c.exchangeTimeNs

    @property
    def localTimeNs(self):
        """When it was received."""
        return self.c.localTimeNs

    @property
    def firstSeq(self):
        """The first of the venue's numbers that it holds; None where it has none."""
        return self.c.firstSeq if self.c.hasSeq else None

    @property
    def lastSeq(self):
        """The last of the venue's numbers that it holds; None where it has none."""
        return self.c.lastSeq if self.c.hasSeq else None

    @property
    def prevSeq(self):
        """The number of the update before, where the venue says it."""
        return self.c.prevSeq if self.c.hasPrevSeq else None

    @property
    def checksum(self):
        """The venue's, where it sends one (OKX: signed)."""
        if not self.c.hasChecksum:
            return None
        return <int><unsigned int>self.c.checksum if self.c.checksumKind == CHECKSUM_OKX else self.c.checksum

    def __repr__(self):
        names = (
            "symbol", "exchange", "native", "snapshot", "bids", "asks", "exchangeTimeNs", "localTimeNs", "firstSeq",
            "lastSeq", "prevSeq", "checksum",
        )
        return "BookUpdate(" + ", ".join([f"{name}={getattr(self, name)!r}" for name in names]) + ")"

    def __reduce__(self):
        raise TypeError("a BookUpdate cannot be pickled")


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
        cdef bytes whole = None
        if symbol is None and PyBytes_CheckExact(frame):
            whole = <bytes>frame
            kind = self.decode_c(PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole), localTimeNs)
        else:
            native = b"" if symbol is None else symbol.encode()
            self._kind = FRAME_ERROR
            self.decoder.drop_updates()
            PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
            try:
                kind = self.decode_for_c(<const char*>view.buf, view.len, localTimeNs, native)
                if kind == FRAME_EVENTS and self.decoder.unknown():
                    self.resolve_c()
                if kind == FRAME_EVENTS:
                    # The digits may be views into the buffer.
                    return self._updates(None)
            finally:
                PyBuffer_Release(&view)
        if kind == FRAME_ERROR:
            self.fail_c()
        if self.decoder.unknown():
            self.resolve_c()
        return self._updates(whole if self.decoder.in_frame() else None)

    cdef list _updates(self, bytes frame):
        """The updates of the last frame as objects. `frame`: whose bytes their digits are; None: they must be copied.

        A list or an update that nobody but this parser holds any more is filled again, which nobody can notice: neither
        can be referred to weakly. Two lists take turns, since a caller mostly lets go of one only for the next.
        """
        cdef Py_ssize_t index
        cdef Py_ssize_t size
        cdef Py_ssize_t count = self.decoder.count()
        cdef list found
        cdef PyObject* kept
        cdef BookUpdate made
        if count == 0:
            return []
        found = self._older
        self._older = self._recent
        # Until all of them are filled, it is nobody's.
        self._recent = None
        if found is None or Py_REFCNT(found) != 1:
            found = []
        size = PyList_GET_SIZE(found)
        if size > count:
            del found[count:]
            size = count
        for index in range(count):
            kept = PyList_GET_ITEM(found, index) if index < size else NULL
            if kept != NULL and Py_REFCNT(<object>kept) == 1 and type(<object>kept) is BookUpdate:
                made = <BookUpdate>kept
            else:
                made = BookUpdate.__new__(BookUpdate)
                if kept != NULL:
                    found[index] = made
                else:
                    found.append(made)
            made.take(
                &self.decoder.update(index), self.decoder.levels(),
                self.decoder.native_data(index), self.decoder.native_size(index), frame,
            )
        if count <= MAX_KEPT_UPDATES:
            self._recent = found
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
