"""Feed: a venue's frames into rings, without a Python object on the way.

A frame that carries events is parsed in place, checked (wanted symbols, updates out of order, trades lost or repeated)
and copied into each sink: into a Ring of the feed's kind as a struct, into any other queue as an object. Every other
frame (control, refusal, not readable) goes to `on_frame` as bytes.

Frames come in batches: what one read of the socket brought. Consumers are woken once per batch, at its end.

Threads: all calls come from one thread, that of the event loop; the rings' consumers may live elsewhere. The feed owns
its parser and its memory; it never keeps a frame.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t

from hftcore.feed_base cimport FeedBase, failed_or_nobody
from hftcore.latency cimport now_ns
from hftcore.parse cimport FRAME_EVENTS, Parser
from hftcore.ring cimport Ring
from hftcore.ring_base cimport OFFER_TAKEN
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of
from hftcore.watch cimport (
    TICKERS_ALL, TICKERS_NEWEST, TICKERS_NEWEST_OR_ANEW, TRADES_ALL, TRADES_BY_ONE, TRADES_RISING, VERDICT_ANEW,
    VERDICT_DELIVER, VERDICT_DUPLICATE, VERDICT_GAP, VERDICT_OUTDATED, VERDICT_UNWANTED, SilenceWatch, TickerRule,
    TradeRule, watch_tick_ns,
)

import asyncio

from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, pair_of_id

cdef dict TICKER_RULES = {
    "all": TICKERS_ALL, "newest": TICKERS_NEWEST, "newest_or_anew": TICKERS_NEWEST_OR_ANEW,
}
cdef dict TRADE_RULES = {"all": TRADES_ALL, "by_one": TRADES_BY_ONE, "rising": TRADES_RISING}
cdef dict NUMBERS = {"tradeId": False, "seq": True}
# A full ring of another policy makes its producer wait, or is a policy that put_nowait alone knows.
cdef frozenset NATIVE_POLICIES = frozenset({"drop_oldest", "drop_newest", "conflate", "halt"})
# An older event is history, not latency.
cdef int64_t MAX_VENUE_LATENCY_NS = 3600 * 1000000000
cdef enum:
    SNAPSHOT = 1
    # Events after which a batch that still goes on is drained and its consumers woken: a flood fills no ring, and the
    # first event of a long read does not wait for the last.
    PUMP_EVERY = 256

cdef object QueueFull = asyncio.QueueFull


cdef object checked(str name, object value, dict known):
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, was {value!r}")
    return known[value]


@cython.final
cdef class Outlet:
    pass


@cython.final
cdef class Drain:
    pass


@cython.final
cdef class Feed(FeedBase):
    """One connection's way from frames to sinks, and what it remembers of each symbol.

    Parameters
    ----------
    exchange
        A venue that `hftcore.parse.Parser` reads.
    kind
        Ticker or Trade: what the connection carries; events of the other kind count as unwanted.
    symbols
        The pairs to deliver; nothing else is.
    tickers
        ``all``; ``newest``: an update whose `seq` is lower than the symbol's last is dropped, and counts as outdated;
        ``newest_or_anew``: not if its time is later: the venue may begin to count anew.
    trades
        ``all``; ``by_one``: the numbers of a symbol's trades count by one, so that lost ones are told by `on_gap` and
        repeated ones are dropped; ``rising``: repeated ones are dropped, numbers may be left out.
    number
        The number of a trade: ``tradeId`` or ``seq``. Trades without one (0) are delivered as they are.
    newest_first
        A frame of several trades lists the newest first: they are delivered from its end, the oldest first.
    flags
        Flag bits that every event gets.
    watch
        What it tells of each frame and event; None: one of its own.
    natives
        The venue's spelling of each pair, as for `hftcore.parse.Parser`.

    Attributes
    ----------
    on_frame
        Called with the bytes of each frame that carries no events or cannot be read; None: nobody is told.
    on_gap
        Called with pair, reason and number of lost trades (None: unknown), before the next trade is delivered; with
        None, reason and number of lost frames, where the venue counts all frames of a connection.
    on_handled
        While set, called without arguments after each frame with events.
    on_error
        Called with each exception that a drain, a batch's callback, `on_frame` or `on_gap` raised; must not raise.
    exposed
        True from the first event on, until the owner clears it.

    Raises
    ------
    ValueError
        If there is no parser for the exchange, a symbol is no pair, or a rule is none.
    TypeError
        If `kind` is neither Ticker nor Trade.

    Notes
    -----
    Thread safety: none; see the module. A call from within a sink or callback is a RuntimeError.
    """

    def __init__(
        self, exchange, kind, symbols, *, tickers="all", trades="all", number="tradeId", newest_first=False,
        uint16_t flags=0, SilenceWatch watch=None, on_frame=None, on_gap=None, on_error=None, natives=None,
    ):
        if kind is not Ticker and kind is not Trade:
            raise TypeError(f"kind must be Ticker or Trade, was {kind!r}")
        self.parser = Parser(exchange, symbols=natives)
        self.kind = kind
        self.watch = SilenceWatch() if watch is None else watch
        self._is_ticker = kind is Ticker
        self.watch.state.tickers = <TickerRule><int>checked("tickers", tickers, TICKER_RULES)
        self.watch.state.trades = <TradeRule><int>checked("trades", trades, TRADE_RULES)
        self.watch.state.numbered_by_seq = checked("number", number, NUMBERS)
        for symbol in symbols:
            self.watch.state.state_of(CurrencyPair(symbol).id).wanted = True
        self._newest_first = newest_first
        self._flags = flags
        self._outlets = ()
        self._drains = ()
        self._pump_every = PUMP_EVERY
        self.on_frame = on_frame
        self.on_gap = on_gap
        self.on_error = on_error

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
        cdef size_t count
        cdef int kind
        if not self._in_batch:
            self._in_batch = True
            self._localTimeNs = self._replayTimeNs if self._replays else now_ns()
            self.watch.state.lastFrameNs = watch_tick_ns()
        kind = self.parser.decode_c(data, size, self._localTimeNs, self._flags)
        if kind != FRAME_EVENTS:
            if self.parser.decoder.is_numbered():
                self._follow(self.parser.decoder.frame_number())
            return self._fall_back(data, size)
        if self.parser.decoder.unknown():
            try:
                self.parser.resolve_c()
            except ParseError:
                return self._fall_back(data, size)
        # Timed at the end of a batch: its last frame has waited longest, and a burst pays for one reading of the clock.
        if last:
            parsed_ns = now_ns()
        self._frames += 1
        count = self.parser.decoder.count()
        if self.parser.decoder.is_numbered() and not self._follow(self.parser.decoder.frame_number()):
            self._outdated += count
        elif self._is_ticker == (self.parser.decoder.ticker_count() != 0):
            if self._is_ticker:
                self._tickers(count)
            else:
                self._trades(count)
            if last and self._delivered and not self._replays:
                self.socket_to_parse.record_c(parsed_ns - self._localTimeNs)
                self.parse_to_ring.record_c(now_ns() - parsed_ns)
        else:
            self._unwanted += count
        if self.on_handled is not None:
            self._call_handled()
        return 0

    cdef int _tickers(self, size_t count) except -1:
        cdef const TickerStruct* tickers = self.parser.decoder.tickers()
        cdef const TickerStruct* ticker
        cdef size_t index
        cdef int verdict
        for index in range(count):
            ticker = tickers + index
            verdict = self.watch.state.check(ticker[0])
            if verdict == VERDICT_DELIVER:
                self._put(ticker)
            elif verdict == VERDICT_OUTDATED:
                self._outdated += 1
            else:
                self._unwanted += 1
        return 0

    cdef int _trades(self, size_t count) except -1:
        cdef const TradeStruct* trades = self.parser.decoder.trades()
        cdef const TradeStruct* trade
        cdef size_t index
        cdef uint64_t lost = 0
        cdef int verdict
        cdef bint backwards = self._newest_first and self.watch.state.is_newest_first(trades, count)
        if count == 0:
            return self._pass_over()
        for index in range(count):
            trade = trades + (count - 1 - index if backwards else index)
            verdict = self.watch.state.check(trade[0], &lost)
            if verdict == VERDICT_DELIVER:
                self._put(trade)
            elif verdict == VERDICT_DUPLICATE:
                self._duplicates += 1
            elif verdict == VERDICT_UNWANTED:
                self._unwanted += 1
            else:
                self._tell_gap(trade.symbol, verdict, lost)
                self._put(trade)
        return 0

    cdef bint _follow(self, uint64_t number) except -1:
        """Tell of missing frames; False for a frame that is old."""
        cdef uint64_t lost = 0
        cdef int verdict = self.watch.state.frames.check(number, &lost)
        if verdict == VERDICT_OUTDATED:
            return False
        if verdict != VERDICT_DELIVER:
            if verdict == VERDICT_ANEW:
                self._call_gap(None, "frame numbers started anew", None)
            else:
                self._call_gap(None, "frame numbers", lost)
        return True

    cdef int _pass_over(self) except -1:
        """A frame without an event may use up a trade's number."""
        cdef TradeStruct trade
        cdef uint64_t lost = 0
        cdef int verdict
        if self.parser.decoder.passed_over() == NULL:
            return 0
        trade = self.parser.decoder.passed_over()[0]
        trade.symbol = self.parser.passed_symbol_c()
        verdict = self.watch.state.pass_over(trade, &lost)
        if verdict == VERDICT_GAP or verdict == VERDICT_ANEW:
            self._tell_gap(trade.symbol, verdict, lost)
        return 0

    cdef int _tell_gap(self, int32_t symbol, int verdict, uint64_t lost) except -1:
        if verdict == VERDICT_ANEW:
            return self._call_gap(pair_of_id(symbol), "trade ids started anew", None)
        return self._call_gap(pair_of_id(symbol), "trade ids", lost)

    cdef inline int _put(self, const void* event) except -1:
        # Ticker and Trade have the fields that are read here at the same place (hftcore/types.hpp).
        cdef const TickerStruct* fields = <const TickerStruct*>event
        cdef int64_t delay = fields.localTimeNs - fields.exchangeTimeNs
        self.exposed = self._delivered = True
        self._events += 1
        if fields.exchangeTimeNs != 0 and not fields.flags & SNAPSHOT and delay < MAX_VENUE_LATENCY_NS:
            self.venue_to_socket.record_c(delay)
        if self._sole is None:
            self._spread(event)
        # In place of push_ticker and push_trade: with a policy of NATIVE_POLICIES an offer is all that a push is.
        elif self._sole.ring._ring.offer(event) != OFFER_TAKEN and self._sole.halts:
            self._refused(self._sole)
        self._pending += 1
        if self._pending >= self._pump_every:
            self._pump()
        return 0

    cdef int _spread(self, const void* event) except -1:
        cdef Outlet outlet
        cdef object item = None
        for outlet in self._outlets:
            if outlet.ring is not None:
                if outlet.ring._ring.offer(event) != OFFER_TAKEN and outlet.halts:
                    self._refused(outlet)
                continue
            if item is None:
                item = ticker_of(<const TickerStruct*>event) if self._is_ticker else trade_of(<const TradeStruct*>event)
            try:
                outlet.put(item)
            except Exception as error:
                outlet.failed(error)
        return 0

    cdef int _refused(self, Outlet outlet) except -1:
        """As put_nowait of a halted ring: a closed one takes nothing without a word."""
        if not outlet.ring.closed:
            outlet.failed(QueueFull(f"ring of {outlet.ring.capacity} items is halted: it was full; take, then reset"))
        return 0

    # The end of a batch

    cdef int flush_c(self) except -1:
        if not self._in_batch or self._busy:
            return 0
        self._in_batch = False
        if not self._delivered:
            return 0
        self._delivered = False
        self._busy = True
        try:
            self._pump()
        finally:
            self._busy = False
        return self._end_batch()

    cdef int _pump(self) except -1:
        """Drain, and wake the consumers that sleep."""
        cdef Outlet outlet
        cdef Drain drain
        self._pending = 0
        for drain in self._drains:
            self._drain(drain.ring, drain.callback)
        for outlet in self._outlets:
            # A ring that was drained here has nothing to wake its consumer for.
            if outlet.ring is not None and not (self._drains and outlet.ring._size() == 0):
                outlet.ring.notify()
        return 0

    cdef int _drain(self, Ring ring, object callback) except -1:
        # What is there now bounds the work: a producer elsewhere must not keep the loop here.
        cdef uint64_t end = ring._position() + ring._size()
        cdef uint64_t position
        while True:
            position = ring._position()
            if position >= end:
                return 0
            try:
                ring.drain_c(callback, end - position)
                return 0
            except Exception as error:
                self._failed(error)

    # What Python calls

    @cython.binding(False)
    def feed(self, frame, bint last=True):
        """Take one frame in.

        Parameters
        ----------
        frame
            Its bytes (bytes, bytearray or a contiguous memoryview).
        last
            False inside a burst, which `flush` or a last frame ends: its events share one time of receipt, and
            consumers are woken once.

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

    def bind(self, queue, failed=None):
        """Deliver to one more sink, after the others.

        Parameters
        ----------
        queue
            A Ring of the feed's kind takes structs; anything else objects, by its `put_nowait`.
        failed
            Called with the exception of an item that the sink did not take; None: nobody is told.
        """
        cdef Outlet outlet = Outlet()
        outlet.put = queue.put_nowait
        outlet.failed = failed_or_nobody(failed)
        if type(queue) is Ring and (<Ring>queue).kind is self.kind and (<Ring>queue).overflow in NATIVE_POLICIES:
            outlet.ring = queue
            outlet.halts = (<Ring>queue).overflow == "halt"
        self._outlets += (outlet,)
        self._sole = outlet if len(self._outlets) == 1 and outlet.ring is not None else None

    def drain(self, Ring ring not None, callback):
        """Empty a ring into `callback(item)` at the end of each batch, in the socket's own call.

        Long batches are drained in between, so that a flood does not fill the ring. The ring must be bound too, and nobody else may take from it at the same time. An exception goes to `on_error`;
        the next item follows.

        Raises
        ------
        TypeError
            If `callback` cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, was {callback!r}")
        cdef Drain drain = Drain()
        drain.ring = ring
        drain.callback = callback
        self._drains += (drain,)
        self._pump_every = min(self._pump_every, max(<size_t>1, <size_t>ring.capacity // 2))

    @property
    def counting(self):
        """Whether any numbered trade was delivered."""
        return self.watch.state.any_counted()

    @property
    def templateHits(self):
        """As `hftcore.parse.Parser.templateHits`."""
        return self.parser.templateHits

    def reset(self):
        """A new connection: its first ticker of each symbol is new whatever its number. Numbers of trades go on."""
        self._in_batch = self._delivered = False
        self.watch.state.forget_updates()
        self.watch.state.frames.forget()

    def __repr__(self):
        return f"Feed({self.parser.exchange}, {self.kind.__name__}, sinks={len(self._outlets)})"
