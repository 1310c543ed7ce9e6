"""The C++ of shared-memory segments, as Cython sees it. No object of its own."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string


cdef extern from "hftcore/shm_segment.hpp" namespace "hft::shm" nogil:
    const int64_t TICK_NS
    const uint64_t RING_LIMIT "hft::shm::MAX_CAPACITY"
    const uint32_t SYMBOL_LIMIT "hft::shm::MAX_SYMBOLS"
    const size_t EVENT_TEXT_BYTES
    const uint32_t CONTROL

    enum Kind "hft::shm::Kind":
        KIND_TICKER
        KIND_TRADE

    enum Failure "hft::shm::Failure":
        FAILURE_NONE
        FAILURE_IN_USE
        FAILURE_UNUSABLE
        FAILURE_MISSING
        FAILURE_NO_MEMORY

    enum Step "hft::shm::Step":
        STEP_EMPTY
        STEP_ITEM
        STEP_EVENT
        STEP_GAP
        STEP_LAPPED
        STEP_UNKNOWN
        STEP_BAD
        STEP_BUSY

    struct Record "hft::shm::Record":
        uint64_t topicSeq
        uint32_t symbol
        uint64_t[8] item

    struct Trouble "hft::shm::Trouble":
        Failure kind
        int error
        string text

    struct Shape "hft::shm::Shape":
        uint64_t capacity
        uint32_t maxSymbols
        uint32_t kind
        uint32_t exchange
        uint64_t epoch

    cdef cppclass Header "hft::shm::Header":
        uint64_t epoch
        int64_t createdNs
        uint32_t kind
        uint32_t exchange
        uint32_t writerPid
        int64_t heartbeat "heartbeatNs.load" () noexcept

    cdef cppclass ParkPage "hft::shm::ParkPage":
        uint64_t joined "joins.load" () noexcept

    cdef cppclass View "hft::shm::View":
        Header* header
        ParkPage* park
        uint64_t capacity
        uint32_t maxSymbols

    cdef cppclass FileStat "struct stat":
        uint64_t st_dev
        uint64_t st_ino

    cdef cppclass Segment "hft::shm::Segment":
        void close() noexcept
        void disown() noexcept
        cbool writer_alive() noexcept
        cbool moved() noexcept
        int readers() noexcept
        void join() noexcept
        FileStat file() noexcept
        const View& view() noexcept

    cdef cppclass Writer "hft::shm::Writer":
        Writer(const View& view) except +
        uint64_t publish(const void* item, uint32_t symbol) noexcept
        int32_t append_symbol(const char* text, size_t bytes) noexcept
        uint64_t publish_event(const void* encoded, size_t bytes) noexcept
        void heartbeat(int64_t now_ns) noexcept
        cbool sleepers() noexcept
        uint64_t published() noexcept
        uint64_t symbol_seq(uint32_t symbol) noexcept

    cdef cppclass Reader "hft::shm::Reader":
        void attach(const View& view, cbool from_start) except +
        Step next(Record* out) noexcept
        cbool ready() noexcept
        cbool ready_within(int polls) noexcept
        uint32_t symbol_count() noexcept
        uint32_t learned() noexcept
        int symbol_text(uint32_t symbol, char* text) noexcept
        cbool learn(cbool wanted, cbool joining, Record* last) except +
        void sweep() except +
        int event(uint64_t number, char* encoded) noexcept
        uint32_t gap_symbol() noexcept
        uint64_t gap_lost() noexcept
        uint64_t position() noexcept
        uint64_t start() noexcept
        uint64_t taken() noexcept
        uint64_t lost() noexcept
        uint64_t seen(uint32_t symbol) noexcept
        uint64_t head() noexcept

    cdef cppclass Watcher "hft::shm::Watcher":
        Watcher(
            const string& path, int signal_fd, const View* view, uint64_t device, uint64_t inode, int64_t spin_ns
        ) except +
        cbool arm_at(uint64_t position) noexcept
        void abandon() noexcept

    Segment* create_segment(const string& path, const Shape& shape, Trouble* trouble) except +
    Segment* attach_segment(const string& path, uint32_t kind, Trouble* trouble) except +
    cbool folder_in_memory "hft::shm::in_memory" (const string& folder) except +
    int64_t monotonic_ns() noexcept
    void notify(ParkPage& page) noexcept
    cbool live(const View& view) noexcept
    cbool wait_for(const View& view, uint64_t position, int64_t spin_ns, int64_t limit_ns) noexcept
