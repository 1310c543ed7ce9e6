"""The C face of the book parsers, and of the rules that say what may be applied."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool

from hftcore.book cimport BookLevel, CBook, string_view


cdef extern from "hftcore/book_batch.hpp" namespace "hft" nogil:
    struct CUpdate "hft::BookUpdate":
        int64_t exchangeTimeNs
        int64_t localTimeNs
        uint64_t firstSeq
        uint64_t lastSeq
        uint64_t prevSeq
        uint32_t checksum
        cbool hasChecksum
        cbool hasPrevSeq
        cbool hasSeq
        cbool snapshot
        uint8_t checksumKind
        uint8_t exchange
        cbool deep
        int32_t symbol
        size_t bidsBegin
        size_t bidsEnd
        size_t asksBegin
        size_t asksEnd
        void* target

    const int CHECKSUM_OKX


cdef extern from "hftcore/kept_book.hpp" namespace "hft" nogil:
    cdef cppclass KeptBook:
        KeptBook(size_t depth) except +
        BookKeeper keeper
        CBook book

        @staticmethod
        KeptBook* of(CBook* book) noexcept


cdef extern from "hftcore/book_decoder.hpp" namespace "hft" nogil:
    void forget_symbols(uint8_t exchange) noexcept

    cdef cppclass BookDecoder:
        @staticmethod
        cbool supports(uint8_t exchange) noexcept
        void set_exchange(uint8_t exchange) noexcept
        int decode(const char* data, size_t size, int64_t localTimeNs) noexcept
        int decode(const char* data, size_t size, int64_t localTimeNs, string_view native) noexcept
        cbool learn(size_t index, int32_t id) noexcept
        void renew() except +
        void deepen(size_t index) noexcept
        cbool expect(string_view native, int32_t id) noexcept
        cbool attach(int32_t id, KeptBook* target, size_t rows) noexcept
        size_t unknown() noexcept
        cbool in_frame() noexcept
        size_t count() noexcept
        const CUpdate& update(size_t index) noexcept
        const BookLevel* levels() noexcept
        const char* native_data(size_t index) noexcept
        size_t native_size(size_t index) noexcept
        size_t other_events() noexcept
        cbool has_frame_seq() noexcept
        uint64_t frame_seq() noexcept
        int64_t frame_time_ns() noexcept
        const char* reason_data() noexcept
        size_t reason_size() noexcept
        void drop_updates() noexcept


cdef extern from "hftcore/book_sync.hpp" namespace "hft" nogil:
    enum BookOutcome:
        OUTCOME_DELIVER
        OUTCOME_OUTDATED
        OUTCOME_WAITING
        OUTCOME_HELD
        OUTCOME_GAP
        OUTCOME_ASK

    cdef cppclass FrameSync:
        int check(uint64_t seq, int64_t timeNs) noexcept
        void reset() noexcept
        uint64_t lost() noexcept

    int FRAME_NEXT "hft::FrameSync::NEXT"
    int FRAME_REPEATED "hft::FrameSync::REPEATED"
    int FRAME_LOST "hft::FrameSync::LOST"

    cdef cppclass BookKeeper:
        uint32_t place
        void set_outside(cbool outside) noexcept
        BookOutcome take(const CUpdate& update, const BookLevel* levels) noexcept
        BookOutcome take_snapshot(const CUpdate& update, const BookLevel* levels) noexcept
        cbool take_held(BookOutcome* outcome) noexcept
        void invalidate(const char* why) noexcept
        cbool synced() noexcept
        cbool unproven() noexcept
        const char* why() noexcept
        uint64_t lost() noexcept
        size_t held() noexcept
        uint64_t held_dropped() noexcept


cdef class BookParser:
    cdef BookDecoder decoder
    cdef object _exchange
    cdef dict _symbols
    cdef int _kind
    # The last two lists that parse() returned, to be filled again once nobody else holds them.
    cdef list _recent
    cdef list _older

    # Both leave the updates in the decoder until the next frame. resolve_c where decoder.unknown() is not 0.
    cdef int decode_c(self, const char* data, size_t size, int64_t localTimeNs) noexcept nogil
    cdef int decode_for_c(self, const char* data, size_t size, int64_t localTimeNs, bytes native) except -1
    cdef int resolve_c(self) except -1
    cdef int fail_c(self) except -1
    cdef list _updates(self, bytes frame)
