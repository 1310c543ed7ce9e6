"""Order books: what a strategy in Cython may ask of them, without the GIL and without a Python object.

Supported API for extensions outside this tree (docs/books.md): `OrderBook.c` and the methods of `CBook` that are
const. The levels that `bids()` and `asks()` point to stand best first, and are valid until the book's next update.
"""

# First of all: what was compiled against another layout is refused here.
cimport hftcore.layout

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as bool_t

from hftcore.snapshot cimport Snapshot as _Snapshot


cdef extern from "hftcore/book_level.hpp" namespace "hft" nogil:
    enum BookSide:
        BOOK_BID
        BOOK_ASK

    enum BookState:
        BOOK_INVALID
        BOOK_VALID

    enum BookStatus:
        BOOK_APPLIED
        BOOK_TEXT_TOO_LONG
        BOOK_TOO_DEEP
        BOOK_NO_MEMORY

    const uint32_t MAX_LEXEME
    const size_t MAX_BOOK_LEVELS

    struct Lexeme:
        const char* data
        uint32_t size

    struct BookLevel:
        double price
        double volume
        Lexeme priceText
        Lexeme volumeText

    struct BookCounters:
        uint64_t updates
        uint64_t snapshots
        uint64_t inserted
        uint64_t changed
        uint64_t removed
        uint64_t unknownRemoved
        uint64_t truncated
        uint64_t refused

    struct CFill "hft::BookFill":
        double volume
        double value
        double worstPrice
        size_t levels
        bool_t complete


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        const char* data() noexcept
        size_t size() noexcept


cdef extern from "hftcore/order_book.hpp" namespace "hft" nogil:
    cdef cppclass LevelText:
        string_view price() noexcept
        string_view volume() noexcept

    struct BookRow:
        double price
        double volume

    struct BookDecimals:
        int price
        int volume

    cdef cppclass CBook "hft::OrderBook":
        CBook(size_t depth) except +
        int32_t symbol
        uint8_t exchange
        int64_t exchangeTimeNs
        int64_t localTimeNs
        uint64_t seq
        void* owner

        # Asking. 0 where a side is empty, and for what needs both sides where one is.
        size_t depth() noexcept
        bool_t is_near() noexcept
        BookState state() noexcept
        const char* why() noexcept
        const BookCounters& counters() noexcept
        size_t bid_count() noexcept
        size_t ask_count() noexcept
        const BookRow* bids() noexcept
        const BookRow* asks() noexcept
        LevelText bid_text(size_t rank) noexcept
        LevelText ask_text(size_t rank) noexcept
        double best_bid() noexcept
        double best_bid_volume() noexcept
        double best_ask() noexcept
        double best_ask_volume() noexcept
        bool_t crossed() noexcept
        bool_t locked() noexcept
        double mid() noexcept
        double spread() noexcept
        double microprice() noexcept
        double imbalance(size_t levels) noexcept
        double volume_to(BookSide side, double price) noexcept
        double volume_at(BookSide side, double price, string_view text) noexcept
        CFill take(BookSide side, double volume) noexcept
        CFill take_value(BookSide side, double value) noexcept

        # For the book's owner alone.
        BookStatus apply(const BookLevel* bids, size_t bidCount, const BookLevel* asks, size_t askCount,
                         bool_t snapshot) noexcept
        void invalidate(const char* why) noexcept
        void clear(const char* why) noexcept
        void set_decimals(BookDecimals decimals) noexcept
        uint32_t checksum_kraken() noexcept
        int32_t checksum_okx() noexcept


cdef class OrderBook:
    cdef CBook* c  # never NULL
    cdef void (*_free)(CBook*) noexcept  # of who made it elsewhere; NULL: it is the object's own
    cdef bytes _why  # what `c.why()` points to, if it was given in Python


# The object takes the book, whose exchange and symbol are set, and gives it to `free` when it dies.
cdef OrderBook adopt_order_book(CBook* c, void (*free)(CBook*) noexcept)
cdef _Snapshot snapshot_of(const CBook* book, size_t levels, uint16_t flags)
