"""The publisher's C face: structs straight into frames, frames straight to the socket."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string

from hftcore.types cimport TickerStruct, TradeStruct
from hftcore.zmq cimport NativeSocket


cdef extern from "hftcore/publication.hpp" namespace "hft" nogil:
    cdef cppclass PublishedTopic "hft::PublishedTopic":
        uint64_t seq
        string frame
        size_t frameSize

    cdef cppclass CPublication "hft::Publication":
        CPublication(uint8_t exchange, uint64_t epoch) except +
        PublishedTopic& topic(const char* name) except +
        PublishedTopic* find(const char* name) noexcept
        cbool knows(int32_t symbol) noexcept
        void add_pair(int32_t symbol, const char* topic_name, const char* text, size_t size) except +
        PublishedTopic* encode_ticker "encode<hft::Ticker>"(const TickerStruct& item) noexcept
        PublishedTopic* encode_trade "encode<hft::Trade>"(const TradeStruct& item) noexcept
        void sent(PublishedTopic& topic) noexcept
        void sent_frame "sent"(PublishedTopic& topic, const char* frame, size_t size, cbool keep) except +
        string again(const PublishedTopic& topic) except +
        void forget(const char* name) noexcept
        string heartbeat(cbool everything) except +
        string hello(cbool with_values) except +
        uint64_t sentCount


cdef class Publication:
    cdef CPublication* _topics
    cdef NativeSocket _socket
    cdef uint8_t _exchange
    cdef bint _keep
    # who is told of the first send after each arm()
    cdef bint _armed
    cdef object _on_sent
    # who sends what the socket would have to wait for
    cdef object _on_full

    # Send a struct of this process and of this exchange; returns its seq. Raises as `send`.
    cdef int64_t send_ticker_c(self, const TickerStruct* item) except -1
    cdef int64_t send_trade_c(self, const TradeStruct* item) except -1
    cdef int64_t _send_topic(self, PublishedTopic* topic) except -1
    cdef int _full(self, bytes frame) except -1
    cdef int _add_pair(self, int32_t symbol) except -1
    cdef int _check_exchange(self, uint8_t exchange) except -1


cdef class Router:
    cdef list _tickers
    cdef list _trades
    cdef object _loop
    cdef int64_t _served_ns

    cdef bint _ready(self) except -1
    cdef int64_t _send_ticker(self, const TickerStruct* item) except -1
    cdef int64_t _send_trade(self, const TradeStruct* item) except -1
    cdef int64_t _send_item(self, object item) except -1
