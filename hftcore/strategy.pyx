"""Strategies in Cython: handlers that get pointers to structs, straight from a ring, without a Python object per event.

A subclass in Cython overrides `on_ticker_c` and `on_trade_c`. It owns its own state; a strategy belongs to one thread,
the consumer of its rings. Handlers run without the GIL. What must be done in Python (an order, a log line) is asked for
by `signal_c`, and done by `on_signal` once the batch is through.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from hftcore.latency cimport now_ns
from hftcore.ring cimport NO_LIMIT, Batch, Ring
from hftcore.ring_base cimport checked_limit
from hftcore.types cimport TickerStruct, TradeStruct

import asyncio

from hftcore.errors import RingClosed

cdef enum:
    CHUNK = 64  # items copied at a time: 4 KiB


cdef class NativeStrategy:
    """What a strategy in Cython subclasses.

    In Cython: override ``cdef void on_ticker_c(self, const TickerStruct* ticker) noexcept nogil`` and
    ``cdef void on_trade_c(self, const TradeStruct* trade) noexcept nogil``; call ``self.signal_c()`` there to have
    `on_signal` called after the batch. In Python: `run` a strategy on a ring of one's own, or give it to a service
    (``ServiceBase.native_strategy``).

    Notes
    -----
    Thread safety: one strategy belongs to the thread that consumes its rings. The handlers run there, without the GIL.

    Lifetime: the struct that a handler gets is a copy, valid during the call.
    """

    # hot path: begin
    cdef void on_ticker_c(self, const TickerStruct* ticker) noexcept nogil:
        pass

    cdef void on_trade_c(self, const TradeStruct* trade) noexcept nogil:
        pass

    cdef void signal_c(self) noexcept nogil:
        self._signalled = True

    cdef Py_ssize_t drain_c(self, Ring ring, Py_ssize_t limit) noexcept nogil:
        cdef Batch batch = Batch(max(limit, 0), NO_LIMIT, False, 0, 0, False, 0)
        self._drain(ring, &batch)
        return batch.done

    cdef void _drain(self, Ring ring, Batch* batch) noexcept nogil:
        cdef TickerStruct[CHUNK] tickers
        cdef TradeStruct[CHUNK] trades
        cdef size_t found, index
        cdef bint measured = ring._to_callback is not None
        cdef int64_t end = now_ns() + batch.budget_ns if batch.budget_ns else INT64_MAX
        # What is there now bounds the batch, so that a fast producer cannot keep the consumer here.
        cdef size_t left = min(batch.limit, ring._size())
        while left:
            found = min(left, <size_t>CHUNK)
            if ring._is_ticker:
                found = ring._take_next(tickers, found, batch)
                for index in range(found):
                    if measured:
                        ring._measure(&tickers[index], now_ns())
                    self.on_ticker_c(&tickers[index])
                self._tickers += found
            else:
                found = ring._take_next(trades, found, batch)
                for index in range(found):
                    if measured:
                        ring._measure(&trades[index], now_ns())
                    self.on_trade_c(&trades[index])
                self._trades += found
            left -= found
            if not found or (end != INT64_MAX and now_ns() >= end):
                break
        if batch.done and ring._waits:
            ring._let_in_from_outside()
    # hot path: end

    def drain(self, Ring ring not None, limit=None):
        """Hand what the ring holds now to the handlers. Returns at once.

        Parameters
        ----------
        ring
            A ring of Tickers or of Trades.
        limit
            At most so many items; None: all that are there.

        Returns
        -------
        int
            How many items were handed over. `on_signal` was not called: see `take_signal`.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        RuntimeError
            If the ring has a view that was not released.
        """
        cdef Batch batch = Batch(checked_limit(limit), NO_LIMIT, False, 0, 0, False, 0)
        self._hand_over(ring, &batch)
        return batch.done

    def dispatch(self, Ring ring not None, limit=None, *, until=None, since=None, int64_t budget_ns=0):
        """As `Ring.dispatch` with the handlers as its hook, but for what it returns: what a service calls.

        Parameters
        ----------
        ring
            A ring of Tickers or of Trades.
        limit, until, since
            As of `Ring.dispatch`.
        budget_ns
            Stop after this many ns, as soon as 64 items are done; 0: do not look.

        Returns
        -------
        object
            What `on_signal` returned, None if no handler asked for it.

        Raises
        ------
        ValueError, RuntimeError
            As `drain`, and whatever `on_signal` raises.
        """
        cdef Batch batch = Batch(
            checked_limit(limit), NO_LIMIT if until is None else <uint64_t>until,
            since is not None, 0 if since is None else <uint64_t>since, budget_ns, False, 0,
        )
        self._hand_over(ring, &batch)
        return self.on_signal() if self.take_signal() else None

    cdef int _hand_over(self, Ring ring, Batch* batch) except -1:
        ring._check_free()
        with nogil:
            self._drain(ring, batch)
        if ring._counters is not None:
            ring._counted += batch.done
            ring._counters[ring._counter] = ring._counted
        return 0

    async def run(self, Ring ring not None, *, batch=1024):
        """Hand over all that arrives until the ring is closed and empty, or the task is cancelled.

        Parameters
        ----------
        ring
            A ring of Tickers or of Trades, whose only consumer this is. One task per ring may run on the same loop.
        batch
            After so many items other tasks of the loop get their turn.

        Raises
        ------
        ValueError
            If `batch` is below 1.
        Exception
            Whatever `on_signal` raises; nothing of the ring is lost by it.
        """
        checked_limit(batch)
        while True:
            try:
                await ring.wait()
            except RingClosed:
                return
            # Out of the try: a RingClosed of on_signal is that of another ring.
            result = self.dispatch(ring, batch)
            if result is not None:
                await result
            await asyncio.sleep(0)

    def on_signal(self):
        """To be overridden: what is to be done in Python, once after a batch in which a handler asked for it.

        Returns
        -------
        None or an awaitable
            What is to be awaited before the next batch.
        """

    def take_signal(self):
        """Whether a handler has asked for `on_signal` since this was called before."""
        cdef bint signalled = self._signalled
        self._signalled = False
        return signalled

    @property
    def tickers(self):
        """How many tickers the handlers got."""
        return self._tickers

    @property
    def trades(self):
        """How many trades the handlers got."""
        return self._trades
