"""Publication: the topics of one published address, and their frames from struct to socket. Router: all addresses.

A frame is a topic of 32 bytes and a protobuf message (hftcore/market_codec.hpp). Each topic counts its messages from
1, and keeps its last frame for whoever joins later. Sends never wait. Nothing here reads the socket.

Thread safety: one thread at a time, and the same for the socket.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.string cimport string

from hftcore.shm cimport ShmWriter
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct

import time
from asyncio.events import _get_running_loop

import numpy as np
import zmq

from hftcore import symbols as _symbols
from hftcore.enums import Exchange
from hftcore.symbols import pair_of_id
from hftcore.topic import pad

cdef object MARKET_TOPIC_BYTES, TICKER_DTYPE, TRADE_DTYPE
from hftcore.topic import MARKET_TOPIC_BYTES
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec* now)


CONTROL_TOPIC = b"\x00control".ljust(MARKET_TOPIC_BYTES)
"""Topic of the frames between our own publishers and subscribers."""

SERVE_NS = 1_000_000
"""Without an event loop: how old the last look for subscribers may be when something is sent."""

cdef int64_t SERVE_EVERY = SERVE_NS
cdef object running_loop = _get_running_loop
cdef list PAIRS = _symbols._pairs
cdef enum:
    TOPIC_SIZE = 32

assert TOPIC_SIZE == MARKET_TOPIC_BYTES


cdef bytes checked_topic(object topic):
    if not isinstance(topic, bytes) or len(topic) != TOPIC_SIZE:
        raise ValueError(f"a topic must be {TOPIC_SIZE} bytes, was {topic!r}")
    return topic


@cython.final
cdef class Publication:
    """The topics of one address.

    Parameters
    ----------
    socket
        NativeSocket of a bound PUB or XPUB socket.
    exchange
        The Exchange of its messages.
    epoch
        The publisher's epoch, 64 bits.
    keep
        Whether a topic's last frame is kept for whoever joins later.
    on_full
        Called with a frame that the socket would have to wait for (an XPUB socket with XPUB_NODROP does, where a peer
        is behind); it must send it without, or raise. None: `zmq.Again` is raised instead.

    Raises
    ------
    ValueError
        If the exchange is not one.
    """

    def __cinit__(self, NativeSocket socket not None, exchange, uint64_t epoch, bint keep=True, on_full=None):
        self._exchange = Exchange.parse(exchange)
        self._topics = new CPublication(self._exchange, epoch)
        self._socket = socket
        self._keep = keep
        self._on_full = on_full

    def __dealloc__(self):
        del self._topics

    cdef int64_t _send_topic(self, PublishedTopic* topic) except -1:
        """Send the frame that stands in a topic's buffer."""
        try:
            if not self._socket.send_c(topic.frame.data(), topic.frameSize):
                self._full(topic.frame.data()[:topic.frameSize])
        except BaseException:
            topic.frameSize = 0  # it was never sent, and must not be sent again
            raise
        self._topics.sent(topic[0])
        if not self._keep:
            topic.frameSize = 0
        if self._armed:
            self._armed = False
            self._on_sent()
        return topic.seq

    cdef int _full(self, bytes frame) except -1:
        if self._on_full is None:
            raise zmq.Again
        self._on_full(frame)
        return 0

    cdef int64_t send_ticker_c(self, const TickerStruct* item) except -1:
        if not self._topics.knows(item.symbol):
            self._add_pair(item.symbol)
        return self._send_topic(self._topics.encode_ticker(item[0]))

    cdef int64_t send_trade_c(self, const TradeStruct* item) except -1:
        if not self._topics.knows(item.symbol):
            self._add_pair(item.symbol)
        return self._send_topic(self._topics.encode_trade(item[0]))

    cdef int _add_pair(self, int32_t symbol) except -1:
        cdef Py_ssize_t size
        pair = pair_of_id(symbol)
        cdef bytes name = pad(pair.topic, TOPIC_SIZE)
        cdef const char* text = PyUnicode_AsUTF8AndSize(pair, &size)
        self._topics.add_pair(symbol, PyBytes_AS_STRING(name), text, size)
        return 0

    @cython.binding(False)
    def send(self, item):
        """Send a Ticker or Trade to the subscribers of its symbol.

        Returns
        -------
        int
            Its number within its topic, from 1.

        Raises
        ------
        TypeError
            If it is neither.
        ValueError
            If it is another exchange's, or its symbol is too long for a topic.
        zmq.ZMQError
            If the socket is closed, or libzmq refuses; it was not sent then.
        """
        if type(item) is Ticker:
            self._check_exchange((<Ticker>item).c.exchange)
            return self.send_ticker_c(&(<Ticker>item).c)
        if type(item) is Trade:
            self._check_exchange((<Trade>item).c.exchange)
            return self.send_trade_c(&(<Trade>item).c)
        raise TypeError(f"item must be a Ticker or a Trade, was {item!r}")

    cdef int _check_exchange(self, uint8_t exchange) except -1:
        if exchange != self._exchange:
            raise ValueError(f"exchange must be {Exchange(self._exchange)}, was {Exchange(exchange)}")
        return 0

    def next_seq(self, topic):
        """The number that the next message of a topic (32 bytes) gets. Raises ValueError if it is no topic."""
        return self._topics.topic(PyBytes_AS_STRING(checked_topic(topic))).seq + 1

    def send_message(self, topic, bytes body not None):
        """Send a message that was encoded with `next_seq` of its topic.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        ValueError
            If it is no topic.
        zmq.ZMQError
            As `send`.
        """
        cdef PublishedTopic* found = &self._topics.topic(PyBytes_AS_STRING(checked_topic(topic)))
        cdef bytes frame = <bytes>topic + body
        if not self._socket.send(frame):
            self._full(frame)
        self._topics.sent_frame(
            found[0], PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), self._keep and topic != CONTROL_TOPIC
        )
        if self._armed:
            self._armed = False
            self._on_sent()
        return found.seq

    def last_frame(self, bytes prefix not None):
        """The last frame of the topic that is subscribed by exactly this prefix, marked as resent; empty if none."""
        cdef PublishedTopic* found
        if len(prefix) != TOPIC_SIZE:
            return b""
        found = self._topics.find(PyBytes_AS_STRING(prefix))
        if found == NULL:
            return b""
        cdef string frame = self._topics.again(found[0])
        return PyBytes_FromStringAndSize(frame.data(), frame.size())

    def forget(self, topic=None):
        """Tell a joiner the last frame of a topic no more, or of all topics: it is no longer true.

        Raises
        ------
        ValueError
            If the topic has not 32 bytes.
        """
        if topic is None:
            self._topics.forget(NULL)
        else:
            self._topics.forget(PyBytes_AS_STRING(checked_topic(topic)))

    def heartbeat(self, bint everything):
        """The frame that tells the last number of each topic: of those sent lately, or of all."""
        cdef string body = self._topics.heartbeat(everything)
        return CONTROL_TOPIC + PyBytes_FromStringAndSize(body.data(), body.size())

    def hello(self, bint with_values):
        """The frame that tells a joiner the last number of each topic, and its last message where it is wanted."""
        cdef string body = self._topics.hello(with_values)
        return CONTROL_TOPIC + PyBytes_FromStringAndSize(body.data(), body.size())

    def arm(self, on_sent):
        """Call `on_sent()` after the next send, once; None: no more."""
        self._on_sent = on_sent
        self._armed = on_sent is not None

    @property
    def sent(self):
        """How many messages were sent."""
        return self._topics.sentCount


@cython.final
cdef class Router:
    """Takes tickers and trades to what publishes their exchange, where nothing else is to be done for a send.

    Something else is to be done where the publisher is not served by the running event loop, or where there is none
    and nobody has looked for subscribers for `SERVE_NS`.
    """

    def __cinit__(self):
        self._tickers = [None] * 256
        self._trades = [None] * 256

    def add(self, kind, exchange, target):
        """Send Tickers or Trades (the class `kind`) of an exchange there: a Publication, or the ShmWriter of both.

        Raises
        ------
        TypeError
            If `kind` is neither, or nothing can be sent there.
        """
        if type(target) is not Publication and type(target) is not ShmWriter:
            raise TypeError(f"target must be a Publication or a ShmWriter, was {target!r}")
        if kind is not Ticker and kind is not Trade:
            raise TypeError(f"kind must be Ticker or Trade, was {kind!r}")
        routes = self._tickers if kind is Ticker else self._trades
        routes[Exchange.parse(exchange)] = target

    def clear(self):
        """Know nothing any more."""
        self._tickers = [None] * 256
        self._trades = [None] * 256

    def serve_on(self, loop):
        """The event loop that serves the publications; None: none."""
        self._loop = loop

    def served(self):
        """Somebody has just looked for subscribers."""
        cdef timespec now
        clock_gettime(CLOCK_MONOTONIC, &now)
        self._served_ns = now.tv_sec * 1_000_000_000 + now.tv_nsec

    cdef bint _ready(self) except -1:
        cdef timespec now
        if self._loop is not None:
            return running_loop() is self._loop
        if running_loop() is not None:
            return False
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec - self._served_ns < SERVE_EVERY

    # 0: there is no way yet, or the symbol is new to the segment.
    cdef int64_t _send_ticker(self, const TickerStruct* item) except -1:
        target = self._tickers[item.exchange]
        if type(target) is Publication:
            return (<Publication>target).send_ticker_c(item)
        return (<ShmWriter>target).send_ticker_c(item) if target is not None else 0

    cdef int64_t _send_trade(self, const TradeStruct* item) except -1:
        target = self._trades[item.exchange]
        if type(target) is Publication:
            return (<Publication>target).send_trade_c(item)
        return (<ShmWriter>target).send_trade_c(item) if target is not None else 0

    cdef int64_t _send_item(self, object item) except -1:
        if type(item) is Ticker:
            return self._send_ticker(&(<Ticker>item).c)
        if type(item) is Trade:
            return self._send_trade(&(<Trade>item).c)
        return 0

    @cython.binding(False)
    def send(self, item):
        """Send a message; returns its number, or 0 where the caller has to see to it. Raises as `Publication.send`."""
        return self._send_item(item) if self._ready() else 0

    def send_list(self, list items not None, Py_ssize_t start):
        """Send from `start` on until there is one that the caller has to see to; returns its index, or the length."""
        cdef Py_ssize_t index
        cdef Publication publication
        if not self._ready():
            return start
        for index in range(start, len(items)):
            if not self._send_item(items[index]):
                return index
        return len(items)

    def send_array(self, array, Py_ssize_t start):
        """As `send_list`, of a checked array of `TICKER_DTYPE` or `TRADE_DTYPE`."""
        cdef const unsigned char[::1] rows = array.view(np.uint8)
        cdef bint are_tickers = array.dtype == TICKER_DTYPE
        cdef Py_ssize_t index
        cdef int64_t seq
        cdef const void* row
        if not self._ready():
            return start
        for index in range(start, len(array)):
            row = &rows[index * sizeof(TickerStruct)]
            seq = self._send_ticker(<const TickerStruct*>row) if are_tickers else self._send_trade(<const TradeStruct*>row)
            if not seq:
                return index
        return len(array)


def checked_array(array):
    """A contiguous array of `TICKER_DTYPE` or `TRADE_DTYPE` whose symbols, exchanges and sides are ones of this process.

    Raises
    ------
    TypeError
        If the array is of another kind.
    ValueError
        If a row holds a number that is none.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a numpy array, was {array!r}")
    if array.dtype != TICKER_DTYPE and array.dtype != TRADE_DTYPE:
        raise TypeError(f"array must have the dtype TICKER_DTYPE or TRADE_DTYPE, was {array.dtype}")
    if array.ndim != 1:
        raise TypeError(f"array must have one dimension, was {array.ndim}")
    symbols = array["symbol"]
    wrong = (symbols < 0) | (symbols >= len(PAIRS))
    if wrong.any():
        raise ValueError(f"no currency pair has the number {symbols[wrong][0]} in this process")
    for number in np.unique(array["exchange"]):
        Exchange(int(number))
    if array.dtype == TRADE_DTYPE and (array["side"] > 2).any():
        raise ValueError(f"side must be 0, 1 or 2, was {array['side'].max()}")
    return np.ascontiguousarray(array)
