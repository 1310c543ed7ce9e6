"""Delivery: what arrives on a channel, into the queues of its observers.

Rings get structs, whatever else gets objects. A queue that is full, or fails, costs the others nothing: no exception
where it can be avoided, no call of Python code, a count alone. Both transports deliver through this.

Thread safety: one thread, the one that reads; the rings of observers as hftcore.ring says.
"""

cimport cython

from hftcore.ring cimport Ring
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

from asyncio import Queue, QueueFull


@cython.final
cdef class Delivery:
    """The queues of one channel's observers.

    Parameters
    ----------
    kind
        Ticker, Trade, or None: then no queue gets structs.
    on_failed
        Called with the observer whose queue failed, within the `except` of its exception.
    tell_every
        After how many refused items `put` gives the counts back; the first is always told. Others ask
        `take_refused`.

    Raises
    ------
    TypeError
        If `kind` is none of these.
    """

    def __cinit__(self, kind, on_failed, Py_ssize_t tell_every=1):
        if kind is not Ticker and kind is not Trade and kind is not None:
            raise TypeError(f"kind must be Ticker, Trade or None, was {kind!r}")
        self.kind = kind
        self._is_ticker = kind is Ticker
        self._on_failed = on_failed
        self._tell_at = 1
        self._tell_every = tell_every
        self._rings, self._ring_owners, self._puts, self._left = [], [], [], []

    cdef int give_ticker(self, const TickerStruct* item) except -1:
        cdef Py_ssize_t index
        cdef list rings = self._rings
        self.given += 1
        for index in range(len(rings)):
            if not (<Ring>rings[index]).push_ticker(item):
                self._ring_refusals[index] += 1
                self._pending += 1
        if self._puts:
            self._put(ticker_of(item))
        return 0

    cdef int give_trade(self, const TradeStruct* item) except -1:
        cdef Py_ssize_t index
        cdef list rings = self._rings
        self.given += 1
        for index in range(len(rings)):
            if not (<Ring>rings[index]).push_trade(item):
                self._ring_refusals[index] += 1
                self._pending += 1
        if self._puts:
            self._put(trade_of(item))
        return 0

    cdef int give(self, object value) except -1:
        cdef Py_ssize_t index
        cdef bint taken
        cdef list rings = self._rings
        if self.kind is not None and type(value) is not self.kind:
            raise TypeError(f"value must be a {self.kind.__name__}, was {value!r}")
        self.given += 1
        for index in range(len(rings)):
            if self._is_ticker:
                taken = (<Ring>rings[index]).push_ticker(&(<Ticker>value).c)
            else:
                taken = (<Ring>rings[index]).push_trade(&(<Trade>value).c)
            if not taken:
                self._ring_refusals[index] += 1
                self._pending += 1
        if self._puts:
            self._put(value)
        return 0

    cdef int _put(self, object value) except -1:
        cdef size_t index = 0
        cdef bint accepted
        cdef list puts = self._puts
        for observer, put_nowait, full in puts:
            try:
                accepted = (full is None or not full()) and put_nowait(value) is not False
            except QueueFull:
                accepted = False
            except Exception:
                self._on_failed(observer)
                accepted = True  # as far as there is nothing more to count
            if not accepted:
                self._pending += 1
                if self._puts is puts:
                    self._put_refusals[index] += 1
                else:  # the observer has bound another one, which gets what follows
                    self._left.append((observer, 1))
            index += 1
            if self.stopped:  # the observer has stopped the subscriber
                break
        return 0

    cdef int notify(self) except -1:
        for ring in self._rings:
            (<Ring>ring).notify()
        return 0

    cdef bint has_refused(self) noexcept:
        return self._pending != 0

    def bind(self, queues):
        """Deliver to these queues from now on. What those before have refused is still told.

        Parameters
        ----------
        queues
            Pairs of observer and queue. A Ring of the kind gets structs, unless it would have its producer wait, which
            the other observers would feel; of any other queue `put_nowait` is called.
        """
        rings, owners, puts = [], [], []
        for observer, queue in queues:
            if (
                self.kind is not None and type(queue) is Ring and (<Ring>queue).kind is self.kind
                and (<Ring>queue).overflow != "block"
            ):
                rings.append(queue)
                owners.append(observer)
            else:
                # Raising and catching QueueFull takes longer than a put that succeeds: a plain queue is asked first.
                plain = getattr(type(queue), "put_nowait", None) is Queue.put_nowait
                puts.append((observer, queue.put_nowait, queue.full if plain else None))
        self.notify()  # within a batch: those that are left behind have got something too
        self._left = self._take()
        self._rings, self._ring_owners, self._puts = rings, owners, puts
        self._ring_refusals.assign(len(rings), 0)
        self._put_refusals.assign(len(puts), 0)

    @cython.binding(False)
    def put(self, value):
        """Give one value to all queues.

        Returns
        -------
        list or None
            Pairs of observer and count as of `take_refused`, where enough was refused to be told; mostly None.

        Raises
        ------
        TypeError
            If it is not of the kind.
        """
        try:
            self.give(value)
        finally:
            self.notify()
        if self._pending < self._tell_at:
            return None
        self._tell_at = self._tell_every
        return self.take_refused()

    def take_refused(self):
        """Which observers' queues were full, and for how many items, since the last call: pairs."""
        if not self._pending:
            return []
        found = self._take()
        self._left = []
        self._pending = 0
        return found

    cdef list _take(self):
        cdef Py_ssize_t index
        cdef list found = list(self._left)
        for index in range(<Py_ssize_t>self._ring_refusals.size()):
            if self._ring_refusals[index]:
                found.append((self._ring_owners[index], self._ring_refusals[index]))
                self._ring_refusals[index] = 0
        for index in range(<Py_ssize_t>self._put_refusals.size()):
            if self._put_refusals[index]:
                found.append((self._puts[index][0], self._put_refusals[index]))
                self._put_refusals[index] = 0
        return found

    def stop(self):
        """Give nothing more of an item that is being given: an observer has ended it all."""
        self.stopped = True

    def resume(self):
        """Give again."""
        self.stopped = False
