"""OrderBook: an order book by price, exact to the venue's digits.

A level is identified by the exact decimal value of its price: ``1.10`` and ``1.1`` are one level, two prices of 18 digits
that round to one float are two. The texts are kept as they came, for checksums and for whoever needs them exactly;
queries compute with floats.

A book belongs to one thread: it is updated and read there. A `Snapshot` is a copy that any thread may read.
Algorithm: hftcore/include/hftcore/order_book.hpp.
"""

cimport cython
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as bool_t
from libcpp.vector cimport vector

from hftcore.snapshot cimport MAX_SNAPSHOT_LEVELS, new_snapshot

from collections import namedtuple
from decimal import Decimal

from hftcore.enums import BookState as _BookState, Exchange, Side
from hftcore.errors import BookError
from hftcore.snapshot import Snapshot
from hftcore.symbols import CurrencyPair, pair_of_id

MAX_DEPTH = MAX_BOOK_LEVELS
"""How many levels a side can have."""

cdef object VALID = _BookState.VALID
cdef object INVALID = _BookState.INVALID
cdef const char* NOT_GIVEN = "invalidated"


cdef extern from "hftcore/number.hpp" namespace "hft" nogil:
    enum class NumberStatus:
        OK
        NOT_A_NUMBER
        OUT_OF_RANGE

    NumberStatus parse_double(string_view text, double* out) noexcept


cdef extern from *:
    """
    static inline std::string_view hft_view(const char* data, std::size_t size) noexcept { return {data, size}; }
    """
    string_view hft_view(const char* data, size_t size) noexcept nogil


class BookFill(namedtuple("BookFill", ["volume", "value", "worstPrice", "levels", "complete"])):
    """What an order that takes from one side would meet.

    Attributes
    ----------
    volume
        What it gets, in the base currency.
    value
        What it pays or is paid for that, in the quote currency.
    worstPrice
        Of the last level that it takes from; 0 if it takes nothing.
    levels
        From how many levels it takes.
    complete
        Whether the side holds as much as was asked for.
    """

    __slots__ = ()

    @property
    def price(self):
        """The mean price, weighted by volume; None if nothing is taken."""
        return self.value / self.volume if self.volume else None


@cython.final
cdef class OrderBook:
    """The order book of one symbol.

    Parameters
    ----------
    exchange
        Exchange, or its name.
    symbol
        CurrencyPair, or any spelling of one.
    depth
        How many levels each side keeps: what stands below is dropped after each update, as Kraken's books want it.
        0: all.

    Raises
    ------
    ValueError
        If the exchange or the symbol is not one, or the depth is not from 0 to `MAX_DEPTH`.

    Notes
    -----
    Thread safety: a book belongs to one thread. What must be read elsewhere is a `Snapshot`.
    """

    def __cinit__(self, exchange, symbol, depth=0):
        cdef uint8_t number = Exchange.parse(exchange).value
        cdef int32_t pair = CurrencyPair(symbol).id
        if not 0 <= depth <= MAX_DEPTH:
            raise ValueError(f"depth must be from 0 to {MAX_DEPTH}, was {depth!r}")
        self.c = new CBook(depth)
        self.c.exchange = number
        self.c.symbol = pair

    def __dealloc__(self):
        if self._free != NULL:
            self._free(self.c)
        else:
            del self.c

    def apply_snapshot(self, bids, asks, *, int64_t exchangeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0):
        """Take the whole book anew; it is valid then.

        Parameters
        ----------
        bids, asks
            Pairs of price and volume in any order. Text (``"64001.10"``) keeps its digits; int, Decimal and float are
            taken as their shortest text. Of one price the last one counts, and the volume 0 removes it.
        exchangeTimeNs, localTimeNs, seq
            As of `Snapshot`; the book's own until the next update.

        Raises
        ------
        ValueError
            If a number is not one, is negative, or is longer than 1024 characters; or if there are more than `MAX_DEPTH`
            levels. The book is as it was before.
        TypeError
            If a level is no pair, or holds something else than numbers. The book is as it was before.
        MemoryError
            If there is no memory. The book is empty and invalid.
        """
        self._apply(bids, asks, True, exchangeTimeNs, localTimeNs, seq)

    def apply(self, bids, asks, *, int64_t exchangeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0):
        """Apply changes, in their order: each volume is the level's new one, 0 removes the level.

        Removing a level that is not there counts as `unknownRemoved`, and is no error.

        Parameters
        ----------
        bids, asks, exchangeTimeNs, localTimeNs, seq
            As of `apply_snapshot`.

        Raises
        ------
        BookError
            If the book is invalid: it needs a snapshot first.
        ValueError, TypeError, MemoryError
            As of `apply_snapshot`.
        """
        if self.c.state() == BOOK_INVALID:
            raise BookError(f"the book of {self.symbol} needs a snapshot first: {self.why}")
        self._apply(bids, asks, False, exchangeTimeNs, localTimeNs, seq)

    def _apply(self, bids, asks, bool_t snapshot, int64_t exchange_time_ns, int64_t local_time_ns, uint64_t seq):
        cdef vector[BookLevel] levels
        cdef list kept = []
        read_levels(bids, levels, kept)
        cdef size_t bid_count = levels.size()
        read_levels(asks, levels, kept)
        cdef size_t ask_count = levels.size() - bid_count
        cdef const BookLevel* first = levels.data()
        cdef BookStatus status = self.c.apply(first, bid_count, first + bid_count, ask_count, snapshot)
        if status == BOOK_TOO_DEEP:
            raise ValueError(f"a side must have at most {MAX_DEPTH} levels, would have more by {max(bid_count, ask_count)}")
        if status != BOOK_APPLIED:
            raise MemoryError(f"no memory for {bid_count + ask_count} levels")
        self.c.exchangeTimeNs = exchange_time_ns
        self.c.localTimeNs = local_time_ns
        self.c.seq = seq

    def invalidate(self, str why="invalidated"):
        """Mark the book as not being what the venue has; `apply_snapshot` makes it valid again.

        Parameters
        ----------
        why
            The reason, for people.
        """
        self._why = why.encode()
        self.c.invalidate(self._why)

    def clear(self, str why="cleared"):
        """Take all levels out; the book is invalid then.

        Parameters
        ----------
        why
            The reason, for people.
        """
        self._why = why.encode()
        self.c.clear(self._why)

    @property
    def exchange(self):
        return Exchange(self.c.exchange)

    @property
    def symbol(self):
        return pair_of_id(self.c.symbol)

    @property
    def depth(self):
        """How many levels each side keeps; 0: all."""
        return self.c.depth()

    @property
    def state(self):
        """BookState.VALID, or INVALID: not what the venue has, whatever the queries say."""
        return VALID if self.c.state() == BOOK_VALID else INVALID

    @property
    def why(self):
        """Why the book is invalid; empty if it is valid."""
        return self.c.why().decode()

    @property
    def exchangeTimeNs(self):
        """When the venue published the last update, ns since 1970; 0 if it does not say."""
        return self.c.exchangeTimeNs

    @property
    def localTimeNs(self):
        """When the last update was received, ns since 1970."""
        return self.c.localTimeNs

    @property
    def seq(self):
        """The venue's number of the last update; 0 if it has none."""
        return self.c.seq

    @property
    def counters(self):
        """What happened since the book was made: a dict.

        ``updates`` (applied, snapshots included), ``snapshots``, levels that were ``inserted``, ``changed``, ``removed``,
        ``unknownRemoved`` (removed though not there), ``truncated`` (fell out below the depth), and ``refused`` updates.
        """
        cdef BookCounters counters = self.c.counters()
        return counters

    @property
    def bidCount(self):
        return self.c.bid_count()

    @property
    def askCount(self):
        return self.c.ask_count()

    @property
    def best_bid(self):
        """(price, volume), or None if there is no bid."""
        return (self.c.best_bid(), self.c.best_bid_volume()) if self.c.bid_count() else None

    @property
    def best_ask(self):
        """(price, volume), or None if there is no ask."""
        return (self.c.best_ask(), self.c.best_ask_volume()) if self.c.ask_count() else None

    @property
    def mid(self):
        """Half way between the best bid and the best ask; None if one is missing."""
        return self.c.mid() if has_both(self.c) else None

    @property
    def spread(self):
        """The best ask less the best bid, below 0 if they are crossed; None if one is missing."""
        return self.c.spread() if has_both(self.c) else None

    @property
    def microprice(self):
        """The best bid and ask, each weighted by the other's volume; None if one is missing."""
        return self.c.microprice() if has_both(self.c) else None

    @property
    def crossed(self):
        """Whether the best bid is above the best ask."""
        return self.c.crossed()

    @property
    def locked(self):
        """Whether the best bid is equal to the best ask."""
        return self.c.locked()

    def imbalance(self, levels=1):
        """(bid volume - ask volume) / (their sum) of the best levels: -1 to 1; 0 if there is nothing.

        Parameters
        ----------
        levels
            How many of each side.

        Raises
        ------
        ValueError
            If `levels` is below 1.
        """
        return self.c.imbalance(checked_levels(levels))

    def top(self, levels=10):
        """The best levels.

        Parameters
        ----------
        levels
            How many of each side.

        Returns
        -------
        tuple
            Bids and asks: two lists of (price, volume), best first.

        Raises
        ------
        ValueError
            If `levels` is below 1.
        """
        cdef size_t wanted = checked_levels(levels), rank
        cdef size_t bids = min(wanted, self.c.bid_count()), asks = min(wanted, self.c.ask_count())
        return (
            [(self.c.bids()[rank].price, self.c.bids()[rank].volume) for rank in range(bids)],
            [(self.c.asks()[rank].price, self.c.asks()[rank].volume) for rank in range(asks)],
        )

    def top_texts(self, levels=10):
        """As `top`, with the texts as they came."""
        cdef size_t wanted = checked_levels(levels), rank
        cdef size_t bids = min(wanted, self.c.bid_count()), asks = min(wanted, self.c.ask_count())
        return (
            [texts_of(self.c.bid_text(rank)) for rank in range(bids)],
            [texts_of(self.c.ask_text(rank)) for rank in range(asks)],
        )

    def volume_at(self, side, price):
        """The volume at exactly this price; 0 if there is no such level.

        Parameters
        ----------
        side
            Side.BUY or ``buy`` for the bids, Side.SELL or ``sell`` for the asks.
        price
            As in `apply`: text, int, Decimal or float.

        Raises
        ------
        ValueError
            If the side or the price is not one.
        TypeError
            If the price is of another type.
        """
        cdef Lexeme text
        cdef double value
        cdef list kept = []
        read_number(price, "price", &text, &value, kept)
        return self.c.volume_at(book_side(side), value, hft_view(text.data, text.size))

    def volume_to(self, side, double price):
        """The volume of all levels of a side at a price or better.

        Raises
        ------
        ValueError
            If the side is not one.
        """
        return self.c.volume_to(book_side(side), price)

    def take(self, side, double volume):
        """What an order that takes a volume from a side would meet.

        Parameters
        ----------
        side
            The side that is taken from: ``sell`` (the asks) for who buys.
        volume
            In the base currency.

        Returns
        -------
        BookFill
            Its `price` is the mean price (VWAP), its `worstPrice` the limit that is needed.

        Raises
        ------
        ValueError
            If the side is not one, or the volume is negative or not a number.
        """
        if not volume >= 0:
            raise ValueError(f"volume must not be negative, was {volume!r}")
        return fill_of(self.c.take(book_side(side), volume))

    def take_value(self, side, double value):
        """As `take`, for an amount of the quote currency.

        Raises
        ------
        ValueError
            If the side is not one, or the value is negative or not a number.
        """
        if not value >= 0:
            raise ValueError(f"value must not be negative, was {value!r}")
        return fill_of(self.c.take_value(book_side(side), value))

    def set_decimals(self, price=None, volume=None):
        """How many decimals the venue writes, for `checksum_kraken` over texts that have lost zeros or have exponents.

        Parameters
        ----------
        price, volume
            The pair's number of decimals; None: as they are written.

        Raises
        ------
        ValueError
            If a number is not from 0 to 30.
        """
        cdef BookDecimals decimals
        for number in (price, volume):
            if number is not None and not 0 <= number <= 30:
                raise ValueError(f"decimals must be from 0 to 30, was {number!r}")
        decimals.price = -1 if price is None else price
        decimals.volume = -1 if volume is None else volume
        self.c.set_decimals(decimals)

    def checksum_kraken(self):
        """Kraken's checksum of the ten best levels (v1 and v2): a number of 32 bits."""
        return self.c.checksum_kraken()

    def checksum_okx(self):
        """OKX's checksum of the 25 best levels: a signed number of 32 bits."""
        return self.c.checksum_okx()

    def snapshot(self, levels=20, uint16_t flags=0):
        """A copy of the best levels.

        Parameters
        ----------
        levels
            How many of each side, at most 256.
        flags
            Flag bits.

        Returns
        -------
        Snapshot

        Raises
        ------
        ValueError
            If `levels` is not from 1 to 256.
        """
        if not 1 <= levels <= MAX_SNAPSHOT_LEVELS:
            raise ValueError(f"levels must be from 1 to {MAX_SNAPSHOT_LEVELS}, was {levels!r}")
        return snapshot_of(self.c, levels, flags)

    def __repr__(self):
        return (
            f"OrderBook(exchange={str(self.exchange)!r}, symbol={str(self.symbol)!r}, depth={self.depth}, "
            f"state={str(self.state)!r}, bids={self.bidCount}, asks={self.askCount})"
        )

    def __reduce__(self):
        raise TypeError("an OrderBook is not copied: take a snapshot()")


cdef bint has_both(const CBook* book) noexcept:
    return book.bid_count() != 0 and book.ask_count() != 0


cdef OrderBook adopt_order_book(CBook* c, void (*free)(CBook*) noexcept):
    """The object of a book that was made elsewhere."""
    cdef OrderBook made = OrderBook.__new__(OrderBook, Exchange(c.exchange), pair_of_id(c.symbol))
    del made.c
    made.c = c
    made._free = free
    return made


cdef void copy_rows(double* place, const BookRow* rows, size_t count) noexcept:
    cdef size_t rank
    for rank in range(count):
        place[rank] = rows[rank].price
        place[count + rank] = rows[rank].volume


cdef _Snapshot snapshot_of(const CBook* book, size_t levels, uint16_t flags):
    """A copy of the best levels of a book, at most MAX_SNAPSHOT_LEVELS."""
    cdef size_t asks = min(levels, book.ask_count()), bids = min(levels, book.bid_count())
    cdef _Snapshot snapshot = new_snapshot(asks, bids)
    copy_rows(snapshot._levels, book.asks(), asks)
    copy_rows(snapshot._levels + 2 * asks, book.bids(), bids)
    snapshot._exchange_time_ns = book.exchangeTimeNs
    snapshot._local_time_ns = book.localTimeNs
    snapshot._seq = book.seq
    snapshot._symbol = book.symbol
    snapshot._exchange = book.exchange
    snapshot._flags = flags
    return snapshot


cdef int read_number(object number, str name, Lexeme* text, double* value, list kept) except -1:
    """The text of a number, whose memory `kept` keeps, and its double."""
    cdef Py_ssize_t size = 0
    if isinstance(number, str):
        written = number
    elif isinstance(number, (int, Decimal)) and not isinstance(number, bool):
        written = str(number)
    elif isinstance(number, float):
        written = repr(number)
    else:
        raise TypeError(f"{name} must be text, int, Decimal or float, was {number!r}")
    kept.append(written)
    text.data = PyUnicode_AsUTF8AndSize(written, &size)
    if size > MAX_LEXEME:
        raise ValueError(f"{name} must have at most {MAX_LEXEME} characters, had {size}: {written[:40]!r}…")
    text.size = <uint32_t>size
    cdef NumberStatus status = parse_double(hft_view(text.data, text.size), value)
    if status == NumberStatus.NOT_A_NUMBER:
        raise ValueError(f"{name} must be a plain decimal number, was {number!r}")
    if status == NumberStatus.OUT_OF_RANGE:
        raise ValueError(f"{name} must be a finite number, was {number!r}")
    if text.data[0] == b"-":
        raise ValueError(f"{name} must not be negative, was {number!r}")
    return 0


cdef int read_levels(object pairs, vector[BookLevel]& levels, list kept) except -1:
    cdef BookLevel level
    for pair in pairs:
        try:
            price, volume = pair
        except (TypeError, ValueError) as error:
            raise TypeError(f"a level must be a pair of price and volume, was {pair!r}") from error
        read_number(price, "price", &level.priceText, &level.price, kept)
        read_number(volume, "volume", &level.volumeText, &level.volume, kept)
        levels.push_back(level)
    return 0


cdef tuple texts_of(LevelText text):
    return text_of(text.price()), text_of(text.volume())


cdef str text_of(string_view text):
    return text.data()[:text.size()].decode()


cdef size_t checked_levels(levels) except 0:
    if levels < 1:
        raise ValueError(f"levels must be at least 1, was {levels!r}")
    return min(levels, MAX_DEPTH)


cdef BookSide book_side(side) except *:
    cdef object parsed = Side.parse(side)
    if parsed is Side.BUY:
        return BOOK_BID
    if parsed is Side.SELL:
        return BOOK_ASK
    raise ValueError(f"side must be buy (the bids) or sell (the asks), was {side!r}")


cdef object fill_of(CFill fill):
    return BookFill(fill.volume, fill.value, fill.worstPrice, fill.levels, bool(fill.complete))
