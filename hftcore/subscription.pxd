"""The subscriber's C face."""

from libc.stdint cimport int32_t, uint8_t, uint64_t
from libcpp cimport bool as cbool

from hftcore.delivery cimport Delivery
from hftcore.zmq cimport NativeSocket


cdef extern from "hftcore/sequence_tracker.hpp" namespace "hft" nogil:
    struct TopicKey "hft::TopicKey":
        uint64_t[4] words

    enum Wanted "hft::TrackedTopic::Wanted":
        NOT_ASKED "hft::TrackedTopic::NOT_ASKED"
        UNWANTED "hft::TrackedTopic::UNWANTED"
        WANTED "hft::TrackedTopic::WANTED"

    cdef cppclass TrackedTopic "hft::TrackedTopic":
        TopicKey key
        uint64_t last
        cbool hasLast
        Wanted wanted
        int32_t symbol

    struct TrackedVerdict "hft::TrackedVerdict":
        cbool deliver
        cbool restarted
        uint64_t lost

    cdef cppclass TrackedTopics "hft::TopicMap<hft::TrackedTopic>":
        TrackedTopic* find(const char* topic) noexcept
        TrackedTopic& get(const char* topic) except +
        TrackedTopic& operator[](size_t index) noexcept
        size_t size() noexcept

    cdef cppclass CSequenceTracker "hft::SequenceTracker":
        const TrackedTopic* next(
            const char* topic, uint64_t epoch, uint64_t seq, const char* symbol, size_t symbol_size) noexcept
        void learn(const char* topic, const char* symbol, size_t size, int32_t number) except +
        TrackedVerdict on_message(const char* topic, uint64_t epoch, uint64_t seq, cbool resent) except +
        cbool follow(uint64_t epoch) noexcept
        void greet() noexcept
        uint64_t hello(TrackedTopic& topic, uint64_t seq) noexcept
        uint64_t heartbeat(TrackedTopic& topic, uint64_t seq) noexcept
        TrackedTopics& topics() noexcept
        uint64_t epoch() noexcept

    cdef cppclass HeartbeatReader "hft::HeartbeatReader":
        HeartbeatReader(const char* data, size_t size) noexcept
        cbool next(const char*& topic, uint64_t& seq) noexcept
        cbool good() noexcept
        uint64_t epoch


cdef class SequenceTracker:
    cdef CSequenceTracker c
    cdef object _wanted

    cdef bint _is_wanted(self, const char* topic) except -1


cdef class Subscription:
    cdef NativeSocket _socket
    cdef readonly SequenceTracker tracker
    cdef bint _is_ticker
    cdef bint _is_trade
    cdef uint8_t _exchange
    cdef bint _closed
    cdef Delivery _delivery
    # the Python side: every frame that is not simply the next one; an observer that refused
    cdef object _on_frame
    cdef object _on_refused
    # messages delivered, and frames read, since take_counts()
    cdef Py_ssize_t _received
    cdef Py_ssize_t _frames

    cdef bint _take_ticker(self, const char* data, size_t size) except -1
    cdef bint _take_trade(self, const char* data, size_t size) except -1
    cdef int _tell_refusals(self) except -1
    cdef int _learn(self, bytes frame) except -1
