"""BookFeed: a venue's frames into order books, and what they show into sinks.

A frame of books is decoded in place; each update is judged by its venue's sequencing rule (include/hftcore/book_sync.hpp),
applied to its symbol's book, checked (checksum, crossed), and only then shown: as a Snapshot to each sink. A book that
does not hold is told by `on_gap` at once, then a snapshot is asked for by `on_ask`; it shows nothing until it is whole
again, and no other symbol's book is touched.

Threads: all calls come from one thread, that of the event loop. The feed owns its parser and its books; it never keeps a
frame, but copies what must wait for a snapshot (bounded per symbol, the oldest go first).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from hftcore.book cimport CBook, adopt_order_book, snapshot_of, string_view
from hftcore.book_parse cimport (
    FRAME_LOST, FRAME_REPEATED, OUTCOME_ASK, OUTCOME_DELIVER, OUTCOME_GAP, OUTCOME_HELD, OUTCOME_OUTDATED, OUTCOME_WAITING,
    CUpdate, KeptBook,
)
from hftcore.feed_base cimport FeedBase, failed_or_nobody
from hftcore.latency cimport now_ns
from hftcore.parse cimport FRAME_ERROR, FRAME_EVENTS
from hftcore.watch cimport SilenceWatch, watch_tick_ns

from hftcore.book import Snapshot
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, native_symbol, pair_of_native


cdef extern from *:
    """
    static inline int hft_put(PyObject* put, PyObject* item) {
        PyObject* const result = PyObject_CallOneArg(put, item);
        Py_XDECREF(result);
        return result != NULL ? 0 : -1;
    }
    """
    # Calls a sink. -1: it raised, and the exception is set: nothing is put aside for one before, as `try` does.
    int hft_put(object put, object item) noexcept


cdef int raise_what_is_set() except -1:
    return -1


# An older event is history, not latency.
cdef int64_t MAX_VENUE_LATENCY_NS = 3600 * 1000000000
cdef enum:
    SNAPSHOT = 1
    MAX_LEVELS = 256

# Where the venue's snapshots come from.
cdef dict SNAPSHOTS = {"in_band": False, "outside": True}


cdef extern from "<string_view>" namespace "std" nogil:
    cdef string_view make_view "std::string_view"(const char* data, size_t size)


cdef void free_kept(CBook* book) noexcept:
    del_kept(KeptBook.of(book))


cdef inline void del_kept(KeptBook* kept) noexcept:
    del kept


@cython.final
cdef class Entry:
    pass


@cython.final
cdef class Outlet:
    pass


@cython.final
cdef class BookFeed(FeedBase):
    """One connection's way from frames to order books and sinks.

    Parameters
    ----------
    exchange
        A venue that `hftcore.book_parse.BookParser` reads.
    symbols
        The pairs whose books are kept; updates of others count as unwanted.
    depth
        How many levels each side of a book keeps; 0: all. Kraken's checksum wants the depth that was subscribed.
    levels
        How many levels each delivered Snapshot holds, 1 to 256.
    snapshots
        ``in_band``: the venue sends them before the updates; ``outside``: they are fetched and given to `snapshot`.
    natives
        Pairs by the venue's own spelling, where that is not enough to tell them.
    flags
        Flag bits that every Snapshot gets.
    watch
        What it tells of each frame and update; None: one of its own.

    Attributes
    ----------
    on_frame
        Called with the bytes of each frame that carries no book or cannot be read; None: nobody is told.
    on_gap
        Called with pair, reason and number of lost frames (None: unknown) when a book has become invalid.
    on_ask
        Called with the pair whose book needs a snapshot: after `on_gap`, with the first update that is held for one, and
        where one was too old. May name a pair again that it named before.
    on_handled
        While set, called without arguments after each frame of the feed's own.
    on_error
        Called with each exception that a callback raised; must not raise.
    exposed
        True from the first update on, until the owner clears it.

    Raises
    ------
    ValueError
        If there is no parser for the exchange, a symbol is no pair, or a number is out of range.

    Notes
    -----
    Thread safety: none; see the module. A call from within a sink or callback is a RuntimeError.
    """

    def __init__(
        self, exchange, symbols, *, depth=0, levels=20, snapshots="in_band", natives=None, uint16_t flags=0,
        SilenceWatch watch=None, on_frame=None, on_gap=None, on_ask=None, on_error=None,
    ):
        cdef Entry entry
        if not 1 <= levels <= MAX_LEVELS:
            raise ValueError(f"levels must be 1 to {MAX_LEVELS}, was {levels!r}")
        if snapshots not in SNAPSHOTS:
            raise ValueError(f"snapshots must be one of {', '.join(SNAPSHOTS)}, was {snapshots!r}")
        self.parser = BookParser(exchange, symbols=natives)
        self.kind = Snapshot
        self.watch = SilenceWatch() if watch is None else watch
        self.levels = levels
        self._outside = SNAPSHOTS[snapshots]
        self._flags = flags
        self._entries = []
        self._natives = {} if natives is None else {CurrencyPair(pair): native for native, pair in natives.items()}
        self._outlets = ()
        for symbol in symbols:
            pair = CurrencyPair(symbol)
            if <size_t><int32_t>pair.id < self._places.size() and self._places[<int32_t>pair.id] != 0:
                continue
            entry = Entry()
            entry.pair = pair
            entry.kept = new KeptBook(depth)
            entry.kept.keeper.set_outside(self._outside)
            entry.kept.book.exchange = self.parser.exchange
            entry.kept.book.symbol = pair.id
            entry.kept.book.owner = <void*>entry
            entry.book = adopt_order_book(&entry.kept.book, free_kept)
            self._entries.append(entry)
            if <size_t><int32_t>pair.id >= self._places.size():
                self._places.resize(<int32_t>pair.id + 1, 0)
            self._places[<int32_t>pair.id] = <uint32_t>len(self._entries)
            entry.kept.keeper.place = <uint32_t>self.watch.state.place_of(pair.id)
            self.watch.state.at(entry.kept.keeper.place).wanted = True
            self._expect(entry)
        self.on_frame = on_frame
        self.on_gap = on_gap
        self.on_ask = on_ask
        self.on_error = on_error

    cdef int _expect(self, Entry entry) except -1:
        """Have the parser know the pair's spelling and book before its first frame comes."""
        cdef bytes spelling
        if not self.parser.decoder.attach(entry.kept.book.symbol, entry.kept, self.levels):
            raise MemoryError
        self.parser.decoder.renew()
        native = self._natives.get(entry.pair)
        try:
            if native is None:
                native = native_symbol(self.parser.exchange, entry.pair)
                if pair_of_native(self.parser.exchange, native) is not entry.pair:
                    return 0
        except ValueError:
            return 0  # the first frame of each symbol tells whose it is
        spelling = native.encode()
        if not self.parser.decoder.expect(make_view(PyBytes_AS_STRING(spelling), PyBytes_GET_SIZE(spelling)), entry.kept.book.symbol):
            raise MemoryError
        return 0

    # The way of a frame

    cdef int feed_c(self, const char* data, size_t size, bint last) except -1:
        if self._busy:
            raise RuntimeError("a feed must not be called from within its own sinks and callbacks")
        self._busy = True
        try:
            self._read(data, size, last)
        finally:
            self._busy = False
        if last:
            self.flush_c()
        return 0

    cdef int _read(self, const char* data, size_t size, bint last) except -1:
        cdef int64_t parsed_ns = 0
        cdef size_t index
        cdef size_t count
        cdef int place
        if not self._in_batch:
            self._in_batch = True
            self._localTimeNs = self._replayTimeNs if self._replays else now_ns()
            self.watch.state.lastFrameNs = watch_tick_ns()
        kind = self.parser.decode_c(data, size, self._localTimeNs)
        if kind != FRAME_ERROR and self.parser.decoder.has_frame_seq():
            place = self._frame_sync.check(self.parser.decoder.frame_seq(), self.parser.decoder.frame_time_ns())
            if place == FRAME_REPEATED:
                self._frames += 1
                self._duplicates += 1
                return 0
            if place == FRAME_LOST:
                self._lost_frames()
        if kind != FRAME_EVENTS:
            return self._fall_back(data, size)
        if self.parser.decoder.unknown():
            try:
                self.parser.resolve_c()
            except ParseError:
                return self._fall_back(data, size)
        if last:
            parsed_ns = now_ns()
        self._frames += 1
        self._unwanted += self.parser.decoder.other_events()
        count = self.parser.decoder.count()
        for index in range(count):
            self._take(index)
        if last and self._delivered and not self._replays:
            self.socket_to_parse.record_c(parsed_ns - self._localTimeNs)
            self.parse_to_ring.record_c(now_ns() - parsed_ns)
        if self.on_handled is not None:
            self._call_handled()
        return 0

    cdef int _lost_frames(self) except -1:
        """Frames of the connection are missing: nobody knows whose, so no book holds."""
        return self._fall(self._entries, "sequence", self._frame_sync.lost() or None)

    cdef int _fall(self, list entries, const char* why, object lost) except -1:
        """Those of the books that are whole are so no longer, and are asked for."""
        cdef Entry entry
        fallen = [entry for entry in entries if entry.kept.keeper.synced()]
        for entry in fallen:
            entry.kept.keeper.invalidate(why)
        for entry in fallen:
            self._call_gap(entry.pair, (<bytes>why).decode(), lost)
        for entry in fallen:
            self._ask(entry)
        return 0

    cdef Entry _find(self, int32_t symbol):
        cdef size_t place = <size_t><uint32_t>symbol
        if place >= self._places.size() or self._places[place] == 0:
            return None
        return <Entry>self._entries[self._places[place] - 1]

    cdef int _take(self, size_t index) except -1:
        cdef const CUpdate* update = &self.parser.decoder.update(index)
        cdef KeptBook* kept = <KeptBook*>update.target
        cdef BookOutcome outcome
        if kept == NULL:
            self._unwanted += 1
            return 0
        outcome = kept.keeper.take(update[0], self.parser.decoder.levels())
        if not update.deep and not kept.book.is_near():
            self.parser.decoder.deepen(index)
        return self._follow(kept, outcome, update.snapshot)

    cdef int _follow(self, KeptBook* kept, BookOutcome outcome, bint snapshot) except -1:
        """Do what an update's outcome asks for."""
        if outcome == OUTCOME_DELIVER:
            self._deliver(kept, snapshot)
        elif outcome == OUTCOME_OUTDATED:
            self._outdated += 1
        elif outcome == OUTCOME_WAITING:
            self._waiting += 1
        elif outcome == OUTCOME_HELD:
            self._held += 1
            if kept.keeper.held() == 1:
                self._ask(<Entry>kept.book.owner)
        elif outcome == OUTCOME_GAP:
            self._tell_gap(<Entry>kept.book.owner)
        elif outcome == OUTCOME_ASK:
            self._held += 1
            self._ask(<Entry>kept.book.owner)
        return 0

    cdef int _tell_gap(self, Entry entry) except -1:
        cdef uint64_t lost = entry.kept.keeper.lost()
        self._call_gap(entry.pair, (<bytes>entry.kept.keeper.why()).decode(), lost or None)
        return self._ask(entry)

    cdef int _ask(self, Entry entry) except -1:
        if self.on_ask is not None:
            try:
                self.on_ask(entry.pair)
            except Exception as error:
                self._failed(error)
        return 0

    cdef int _deliver(self, KeptBook* kept, bint snapshot) except -1:
        cdef Outlet outlet
        cdef int64_t delay = kept.book.localTimeNs - kept.book.exchangeTimeNs
        cdef uint16_t flags = self._flags | (SNAPSHOT if snapshot else 0)
        self.exposed = self._delivered = True
        self._events += 1
        self.watch.state.note(&self.watch.state.at(kept.keeper.place), flags)
        if kept.book.exchangeTimeNs != 0 and not snapshot and delay < MAX_VENUE_LATENCY_NS:
            self.venue_to_socket.record_c(delay)
        if not self._outlets:
            return 0
        item = snapshot_of(&kept.book, self.levels, flags)
        for outlet in self._outlets:
            if hft_put(outlet.put, item) < 0:
                self._put_failed(outlet)
        return 0

    cdef int _put_failed(self, Outlet outlet) except -1:
        try:
            raise_what_is_set()
        except Exception as error:
            outlet.failed(error)
        return 0

    # The end of a batch

    cdef int flush_c(self) except -1:
        if not self._in_batch or self._busy:
            return 0
        self._in_batch = False
        if not self._delivered:
            return 0
        self._delivered = False
        return self._end_batch()

    # What Python calls

    @cython.binding(False)
    def feed(self, frame, bint last=True):
        """Take one frame in.

        Parameters
        ----------
        frame
            Its bytes (bytes, bytearray or a contiguous memoryview).
        last
            False inside a burst, which `flush` or a last frame ends: its updates share one time of receipt.

        Raises
        ------
        RuntimeError
            If it is called from within a sink or callback of this feed.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(frame):
            self.feed_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), last)
            return
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            self.feed_c(<const char*>view.buf, view.len, last)
        finally:
            PyBuffer_Release(&view)

    def snapshot(self, symbol, frame, int64_t localTimeNs=0):
        """Take the snapshot of one book that was fetched, and the updates that were held for it.

        Parameters
        ----------
        symbol
            One of the feed's pairs.
        frame
            The answer's bytes.
        localTimeNs
            When it was received, ns since 1970; 0: now, or the time of `replay_at`.

        Returns
        -------
        bool
            True if the book holds, or will with the next update; False if the snapshot is older than the stream, so that
            another must be fetched.

        Raises
        ------
        ParseError
            If it is no snapshot; the book is as it was.
        ValueError
            If the pair is none of the feed's.
        RuntimeError
            If it is called from within a sink or callback of this feed.
        """
        cdef Entry entry = self._entry(symbol)
        cdef bytes data = bytes(frame)
        cdef BookOutcome outcome = OUTCOME_OUTDATED
        cdef int kind
        cdef int64_t now = localTimeNs or (self._replayTimeNs if self._replays else now_ns())
        if self._busy:
            raise RuntimeError("a feed must not be called from within its own sinks and callbacks")
        native = self._natives.get(entry.pair) or native_symbol(self.parser.exchange, entry.pair)
        kind = self.parser.decode_for_c(
            PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now, native.encode()
        )
        if kind == FRAME_ERROR:
            self.parser.fail_c()
        if self.parser.decoder.count() != 1 or not self.parser.decoder.update(0).snapshot:
            raise ParseError(f"a snapshot must be one whole book, was {data[:80]!r}")
        self._busy = True
        try:
            outcome = entry.kept.keeper.take_snapshot(self.parser.decoder.update(0), self.parser.decoder.levels())
            if outcome == OUTCOME_ASK:
                return False
            if outcome != OUTCOME_HELD:
                self._follow(entry.kept, outcome, True)
            while entry.kept.keeper.take_held(&outcome):
                self._follow(entry.kept, outcome, False)
        finally:
            self._busy = False
            self._in_batch = self._in_batch or self._delivered
        self.flush_c()
        return True

    cdef Entry _entry(self, pair):
        cdef Entry entry = self._find(CurrencyPair(pair).id)
        if entry is None:
            raise ValueError(f"symbol must be one of the feed's pairs, was {pair!r}")
        return entry

    def book(self, symbol):
        """The live book of a pair. It changes with each frame: read it on the feed's thread.

        Raises
        ------
        ValueError
            If the pair is none of the feed's.
        """
        return self._entry(symbol).book

    def __contains__(self, symbol):
        return self._find(CurrencyPair(symbol).id) is not None

    def waits(self, symbol):
        """Whether a pair's book needs a snapshot and has none yet.

        Raises
        ------
        ValueError
            If the pair is none of the feed's.
        """
        cdef Entry entry = self._entry(symbol)
        return not entry.kept.keeper.synced() and not entry.kept.keeper.unproven()

    def held(self, symbol):
        """How many updates of a pair wait for a snapshot.

        Raises
        ------
        ValueError
            If the pair is none of the feed's.
        """
        return self._entry(symbol).kept.keeper.held()

    def unreadable(self, symbols):
        """Frames that may have changed these pairs' books could not be read: those that are whole fall, with a gap.

        For venues whose frames are not counted; where they are, the next one shows what is missing. May be called from
        within `on_frame`.

        Raises
        ------
        ValueError
            If a pair is none of the feed's; nothing has changed.
        """
        self._fall(list(dict.fromkeys([self._entry(symbol) for symbol in symbols])), "unreadable frame", None)

    def bind(self, queue, failed=None):
        """Deliver to one more sink, after the others.

        Parameters
        ----------
        queue
            Takes each Snapshot by its `put_nowait`.
        failed
            Called with the exception of an item that the sink did not take; None: nobody is told.
        """
        cdef Outlet outlet = Outlet()
        outlet.put = queue.put_nowait
        outlet.failed = failed_or_nobody(failed)
        self._outlets += (outlet,)

    def take_counts(self):
        """Counters since the last call, by the names of a stream's `stats`."""
        counts = FeedBase.take_counts(self) | {"waiting": self._waiting, "held": self._held}
        self._waiting = self._held = 0
        return counts

    def reset(self):
        """A new connection, or none: every book waits for a snapshot."""
        cdef Entry entry
        self._in_batch = self._delivered = False
        self._frame_sync.reset()
        for entry in self._entries:
            entry.kept.keeper.invalidate("disconnected")

    def __repr__(self):
        return f"BookFeed({self.parser.exchange}, books={len(self._entries)}, sinks={len(self._outlets)})"
