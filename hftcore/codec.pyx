"""Ticker and Trade to protobuf messages and back: byte-identical to the generated classes, and some 20 times as fast.

A message is the body of a frame (proto/hftpy/wire/market.proto). Encoding gives the very bytes that upb, protobuf's
own C implementation, gives. Decoding accepts what upb accepts; what a struct cannot hold (an unknown exchange or side,
flags beyond 16 bits, a symbol that is no pair) is a ParseError too. The caller's bytes may change afterwards.

Thread safety: any thread (the GIL guards the table of symbols).

Source: hftcore/include/hftcore/market_codec.hpp.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcmp, memcpy
from libcpp cimport bool as cbool

from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

from hftcore import symbols as _symbols
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view(const char* text, size_t size)


cdef extern from "hftcore/symbol_table.hpp" namespace "hft" nogil:
    cdef cppclass SymbolTable:
        int32_t find(const char* text, size_t size) noexcept
        void insert(string_view text, int32_t id) except +
        size_t size() noexcept


cdef enum:
    MAX_SPELLINGS = 65536
    MAX_BUFFER = 192

assert MAX_BUFFER == MAX_MARKET_MESSAGE

cdef list PAIRS = _symbols._pairs
# From the text of messages to numbers: canonical spellings mostly, and whatever others a peer uses.
cdef SymbolTable SPELLINGS
# The text that was read last, and its number: messages of one symbol often follow one another.
cdef char[64] LAST_TEXT
cdef size_t LAST_SIZE = 0
cdef int32_t LAST_NUMBER = -1
# The epoch that was read last, as an object: it is the same in all messages of a publisher.
cdef uint64_t LAST_EPOCH = 0
cdef object LAST_EPOCH_OBJECT = 0
cdef cbool[256] KNOWN_EXCHANGE
cdef Py_ssize_t _number
for _number in range(256):
    KNOWN_EXCHANGE[_number] = _number in Exchange._value2member_map_

cdef dict FAULTS = {
    FAULT_TRUNCATED: "is longer than the message",
    FAULT_VARINT: "has a varint of more than 10 bytes",
    FAULT_TAG: "has no valid tag",
    FAULT_LENGTH: "has a length beyond 2147483647",
    FAULT_WIRE_TYPE: "has wire type 6 or 7",
    FAULT_GROUP: "ends a group that did not begin",
    FAULT_DEPTH: "nests groups more than 100 deep",
    FAULT_UTF8: "(symbol) is not UTF-8",
}


cdef int fail_c(str name, const Envelope* rest, size_t size) except -1:
    raise ParseError(
        f"{name} message of {size} bytes: the field at byte {rest.faultAt} {FAULTS[<int>rest.fault]}"
    )


cdef int32_t symbol_of_text(const char* text, size_t size) except -1:
    """The number of a pair by its text in any spelling. Raises ParseError."""
    global LAST_SIZE, LAST_NUMBER
    cdef int32_t number
    if size == LAST_SIZE and size and memcmp(text, LAST_TEXT, size) == 0:
        return LAST_NUMBER
    number = SPELLINGS.find(text, size)
    if number >= 0:
        if size <= sizeof(LAST_TEXT):
            memcpy(LAST_TEXT, text, size)
            LAST_SIZE, LAST_NUMBER = size, number
        return number
    try:
        number = CurrencyPair(text[:size].decode()).id
    except ValueError as error:
        raise ParseError(f"symbol: {error}") from error
    if SPELLINGS.size() < MAX_SPELLINGS:
        SPELLINGS.insert(string_view(text, size), number)
    return number


cdef inline object epoch_object(uint64_t epoch):
    global LAST_EPOCH, LAST_EPOCH_OBJECT
    if epoch != LAST_EPOCH:
        LAST_EPOCH_OBJECT = epoch
        LAST_EPOCH = epoch
    return LAST_EPOCH_OBJECT


cdef int check_envelope(const Envelope* rest) except -1:
    if rest.exchange < 0 or rest.exchange > 255 or not KNOWN_EXCHANGE[rest.exchange]:
        raise ParseError(f"exchange must be a number of Exchange, was {rest.exchange}")
    if rest.side < 0 or rest.side > 2:
        raise ParseError(f"side must be 0, 1 or 2, was {rest.side}")
    if rest.flags > 65535:
        raise ParseError(f"flags must be at most 65535, was {rest.flags}")
    return 0


cdef Py_ssize_t encode_ticker_c(
    char* out, const TickerStruct* item, uint64_t seq, uint64_t epoch, bint resent
) except -1:
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(PAIRS[item.symbol], &size)
    return encode_ticker_message(out, seq, epoch, resent, text, size, item[0])


cdef Py_ssize_t encode_trade_c(
    char* out, const TradeStruct* item, uint64_t seq, uint64_t epoch, bint resent
) except -1:
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(PAIRS[item.symbol], &size)
    return encode_trade_message(out, seq, epoch, resent, text, size, item[0])


cdef int decode_ticker_c(const char* data, size_t size, TickerStruct* item, Envelope* rest) except -1:
    if not decode_ticker_message(data, size, item[0], rest[0]):
        fail_c("Ticker", rest, size)
    check_envelope(rest)
    item.symbol = symbol_of_text(rest.symbol, rest.symbolSize)
    item.exchange = rest.exchange
    item.flags = rest.flags
    return 0


cdef int decode_trade_c(const char* data, size_t size, TradeStruct* item, Envelope* rest) except -1:
    if not decode_trade_message(data, size, item[0], rest[0]):
        fail_c("Trade", rest, size)
    check_envelope(rest)
    item.symbol = symbol_of_text(rest.symbol, rest.symbolSize)
    item.exchange = rest.exchange
    item.side = rest.side
    item.flags = rest.flags
    return 0


@cython.binding(False)
def encode_ticker(Ticker ticker not None, uint64_t seq, uint64_t epoch, bint resent=False):
    """The Ticker message of a ticker.

    Parameters
    ----------
    ticker
        The ticker.
    seq, epoch
        Its number within its topic, and its publisher's epoch: 64 bits each.
    resent
        Whether it is the last value that a joiner is sent.

    Raises
    ------
    OverflowError
        If a number is negative or has more than 64 bits.
    """
    cdef char[MAX_BUFFER] out
    return PyBytes_FromStringAndSize(out, encode_ticker_c(out, &ticker.c, seq, epoch, resent))


@cython.binding(False)
def encode_trade(Trade trade not None, uint64_t seq, uint64_t epoch, bint resent=False):
    """The Trade message of a trade; parameters and errors as `encode_ticker`."""
    cdef char[MAX_BUFFER] out
    return PyBytes_FromStringAndSize(out, encode_trade_c(out, &trade.c, seq, epoch, resent))


def encode_batch(items, uint64_t seq, uint64_t epoch):
    """The messages of several tickers or trades, numbered from `seq` on.

    Parameters
    ----------
    items
        A sequence of Ticker and Trade.
    seq, epoch
        As `encode_ticker`; `seq` is the first one's.

    Returns
    -------
    list of bytes

    Raises
    ------
    TypeError
        If an item is neither.
    OverflowError
        As `encode_ticker`.
    """
    cdef char[MAX_BUFFER] out
    cdef list messages = []
    cdef Py_ssize_t size
    for item in items:
        if type(item) is Ticker:
            size = encode_ticker_c(out, &(<Ticker>item).c, seq, epoch, False)
        elif type(item) is Trade:
            size = encode_trade_c(out, &(<Trade>item).c, seq, epoch, False)
        else:
            raise TypeError(f"item must be a Ticker or a Trade, was {item!r}")
        messages.append(PyBytes_FromStringAndSize(out, size))
        seq += 1
    return messages


@cython.binding(False)
def decode_ticker(message):
    """Read a Ticker message.

    Parameters
    ----------
    message
        Its bytes (bytes, bytearray or a contiguous memoryview).

    Returns
    -------
    tuple
        The Ticker, its number `seq`, the publisher's `epoch`, whether it was `resent`.

    Raises
    ------
    ParseError
        If it is malformed, or a value is one that a Ticker cannot hold; the message names it.
    """
    cdef TickerStruct item
    cdef Envelope rest
    cdef Py_buffer view
    if PyBytes_CheckExact(message):
        decode_ticker_c(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), &item, &rest)
    else:
        PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
        try:
            decode_ticker_c(<const char*>view.buf, view.len, &item, &rest)
        finally:
            PyBuffer_Release(&view)
    return ticker_of(&item), rest.seq, epoch_object(rest.epoch), rest.resent


@cython.binding(False)
def decode_trade(message):
    """Read a Trade message; parameters, result and errors as `decode_ticker`."""
    cdef TradeStruct item
    cdef Envelope rest
    cdef Py_buffer view
    if PyBytes_CheckExact(message):
        decode_trade_c(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), &item, &rest)
    else:
        PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
        try:
            decode_trade_c(<const char*>view.buf, view.len, &item, &rest)
        finally:
            PyBuffer_Release(&view)
    return trade_of(&item), rest.seq, epoch_object(rest.epoch), rest.resent
