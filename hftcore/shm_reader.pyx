"""The reader of shared memory: see hftcore/shm.pyx, which offers it beside the writer.

Where it stands: hftcore/shm_cursor.pyx. Source of the sleeping: hftcore/shm_park.hpp.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals

from hftcore.delivery cimport Delivery
from hftcore.shm_cursor cimport ITEM, NOTHING, NOTICE, SegmentCursor, checked, next_record, resolve
from hftcore.shm_segment cimport RING_LIMIT, TICK_NS, monotonic_ns, wait_for
from hftcore.types cimport TickerStruct, TradeStruct, ticker_of, trade_of

import asyncio
import os
import time
from types import GenericAlias

import numpy as np

from hftcore.errors import RingClosed

cdef object TICKER_DTYPE, TRADE_DTYPE
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE

ADAPTIVE_SPIN_S = 50e-6
"""For how long an adaptive reader spins before it sleeps."""

cdef dict SPIN_NS = {"spin": 1 << 62, "adaptive": int(ADAPTIVE_SPIN_S * 1e9), "park": 0}
cdef int64_t FOREVER = 1 << 62
cdef enum:
    FIRST_POLLS = 2000


cdef int64_t deadline_after(object timeout) except -1:
    """When `timeout` seconds from now have passed, by the clock of `monotonic_ns`."""
    if timeout is None:
        return FOREVER
    cdef double seconds
    try:
        seconds = timeout
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, was {timeout!r}") from None
    if seconds != seconds:
        raise ValueError(f"timeout must be a number of seconds or None, was {timeout!r}")
    return FOREVER if seconds >= 1e9 else monotonic_ns() + <int64_t>(max(seconds, 0.0) * 1e9)


@cython.final
cdef class ShmReader(SegmentCursor):
    """A reader of a path: of the segment there, of the next one if its writer is started again, and so on.

    It may be made before any writer; nothing comes until there is one. A reader that joins a living segment first gets
    the last value of each of its symbols, then what is published from then on. One that was there before a segment
    gets it from the first message.

    Parameters
    ----------
    path, kind
        As the writer's.
    symbols
        What to deliver; None for all.
    wait
        How to wait. ``spin``: never sleep (a core of its own). ``adaptive``: spin for 50 µs, then sleep. ``park``: sleep.
    on_notice
        ``on_notice(name, symbol, value)``, called in order with the items: ``lost`` (value: how many messages of the
        symbol; None for events), ``event`` (value: bytes), ``restart`` (value: the new epoch), ``malformed`` and
        ``refused`` (value: text; a record, a segment that cannot be used).

    Raises
    ------
    SegmentError
        If what stands at the path is no segment of ours: foreign, truncated, another version, kind or owner.
    TypeError, ValueError
        If an argument is not as it must be.

    Notes
    -----
    Thread safety: one thread at a time; waiting in asyncio, that of the event loop.
    """

    def __init__(self, path, kind, *, symbols=None, wait="adaptive", on_notice=None):
        if wait not in SPIN_NS:
            raise ValueError(f"wait must be one of {', '.join(SPIN_NS)}, was {wait!r}")
        SegmentCursor.__init__(self, path, kind, symbols, on_notice)
        self.wait_strategy = wait
        self._spin_ns = SPIN_NS[wait]

    def get_nowait(self):
        """Take the next item.

        Raises
        ------
        asyncio.QueueEmpty
            If there is none.
        """
        item = self._take()
        if item is None:
            raise asyncio.QueueEmpty
        return item

    def drain(self, callback, limit=None):
        """Call `callback(item)` for each item that is there, at most `limit` of them; notices stand in their place.

        Returns
        -------
        int
            How many were taken. An exception of the callback passes through: its item is taken, the rest stays.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        cdef uint64_t wanted = RING_LIMIT if limit is None else checked("limit", limit, <uint64_t>-1)
        cdef uint64_t count = 0
        cdef Record record
        while count < wanted and not self.closed:
            if self._notices or self._last_values or next_record(self, &record) != ITEM:
                item = self._take()
                if item is None:
                    break
            elif not resolve(self, &record):
                continue
            elif self._is_ticker:
                item = ticker_of(<TickerStruct*>record.item)
            else:
                item = trade_of(<TradeStruct*>record.item)
            count += 1
            callback(item)
        return count

    def deliver(self, Delivery delivery not None, limit=None):
        """As `drain`, into the queues of a Delivery of this kind: its rings get structs, and no object is made for them.

        Returns
        -------
        int
            How many were taken. What queues have refused is the Delivery's to tell.

        Raises
        ------
        TypeError
            If the Delivery is of another kind.
        ValueError
            If `limit` is below 1.
        """
        cdef uint64_t wanted = RING_LIMIT if limit is None else checked("limit", limit, <uint64_t>-1)
        cdef uint64_t count = 0
        cdef Record record
        if delivery.kind is not self.kind:
            raise TypeError(f"delivery must be of {self.kind.__name__}, was of {delivery.kind!r}")
        try:
            while count < wanted and not self.closed:
                if self._notices or self._last_values or next_record(self, &record) != ITEM:
                    item = self._take()
                    if item is None:
                        break
                    delivery.give(item)
                elif not resolve(self, &record):
                    continue
                elif self._is_ticker:
                    delivery.give_ticker(<TickerStruct*>record.item)
                else:
                    delivery.give_trade(<TradeStruct*>record.item)
                count += 1
        finally:
            delivery.notify()
        return count

    def get_batch(self, limit=None):
        """The items that are there, at most `limit`; the batch ends before a notice, which is told with the next one.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        cdef uint64_t wanted = RING_LIMIT if limit is None else checked("limit", limit, <uint64_t>-1)
        cdef Record record
        cdef int found
        cdef list batch = []
        while <uint64_t>len(batch) < wanted and not self.closed:
            if not batch or self._last_values:
                item = self._take()
                if item is None:
                    break
                batch.append(item)
                continue
            found = next_record(self, &record)
            if found == NOTICE or (found == NOTHING and not self._last_values):
                break
            if found == ITEM:
                item = self._item(&record)
                if item is not None:
                    batch.append(item)
        return batch

    def get_array(self, limit=None):
        """As `get_batch`, as a numpy array of `TICKER_DTYPE` or `TRADE_DTYPE` that the caller owns.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        items = self.get_batch(limit)
        memory = bytearray(b"".join([item.to_bytes() for item in items]))
        return np.frombuffer(memory, TICKER_DTYPE if self._is_ticker else TRADE_DTYPE)

    cdef bint _wait_native(self, int64_t limit_ns) noexcept nogil:
        return wait_for(self._segment.view(), self._reader.position(), self._spin_ns, limit_ns)

    def get_wait(self, timeout=None):
        """Take the next item; wait for it in this thread, as `wait` says, with the GIL released.

        Parameters
        ----------
        timeout
            In seconds; None for ever.

        Raises
        ------
        TimeoutError
            If none came in time.
        RingClosed
            If the reader is closed.
        TypeError, ValueError
            If `timeout` is no number.

        Notes
        -----
        Signals are handled meanwhile, within 20 ms: an exception of their handlers passes through, and loses no item.
        """
        cdef int64_t left = TICK_NS, end = deadline_after(timeout)
        # What comes within the first microseconds is taken without the price of letting go of the GIL.
        if self._segment is not NULL and not self._ended and not self._notices and not self._last_values:
            self._reader.ready_within(FIRST_POLLS)
        while True:
            item = self._take()
            if item is not None:
                return item
            if self.closed:
                raise RingClosed(f"reader of {self.path} is closed")
            if timeout is not None:
                left = min(end - monotonic_ns(), TICK_NS)
                if left <= 0:
                    raise TimeoutError(f"nothing at {self.path} within {timeout} s")
            if self._segment is NULL or self._ended:
                time.sleep(left * 1e-9)
                continue
            with nogil:
                self._wait_native(left)
            PyErr_CheckSignals()

    # The face for event loops

    def fileno(self):
        """A descriptor that becomes readable once after `arm`, as soon as there is something to take.

        Raises
        ------
        RingClosed
            If the reader is closed.
        """
        if self.closed:
            raise RingClosed(f"reader of {self.path} is closed")
        if self._pipe is None:
            if hasattr(os, "eventfd"):
                descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._pipe = (descriptor, descriptor)
            else:
                self._pipe = os.pipe()
                for descriptor in self._pipe:
                    os.set_blocking(descriptor, False)
        return self._pipe[0]

    def arm(self):
        """Before the loop sleeps: False if there is something to take already, else `fileno` will tell."""
        self.fileno()
        if self._notices or self._last_values:
            return False
        if self._watcher is NULL:
            self._watcher = new Watcher(
                os.fsencode(self.path), self._pipe[1],
                &self._segment.view() if self._segment is not NULL and not self._ended else NULL,
                self._device, self._inode, min(self._spin_ns, <int64_t>1 << 40),
            )
        if self._watcher.arm_at(self._reader.position()):
            return True
        self._next_check = 0
        return False

    def clear(self):
        """After `fileno` became readable."""
        try:
            os.read(self.fileno(), 64)
        except BlockingIOError:
            return
        self._next_check = 0

    async def wait(self):
        """Return as soon as there may be something to take. Several tasks may not wait at once.

        Raises
        ------
        RingClosed
            If the reader is closed, or is closed meanwhile.
        RuntimeError
            If another task waits.
        """
        if self._waiter is not None and not self._waiter.get_loop().is_closed():  # else: of a task that died with it
            raise RuntimeError("another task waits for this reader already")
        descriptor = self.fileno()
        if not self.arm():
            return
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        loop.add_reader(descriptor, self._wake_waiter)
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None
            if not self.closed:
                loop.remove_reader(descriptor)
        if self.closed:
            raise RingClosed(f"reader of {self.path} is closed")

    def _wake_waiter(self):
        self.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self):
        """Take the next item, waiting for one if there is none. Cancelling it loses no item.

        Raises
        ------
        RingClosed, RuntimeError
            As `wait`.
        """
        item = self._take()
        while item is None:
            await self.wait()
            item = self._take()
        return item

    def __aiter__(self):
        return self

    async def __anext__(self):
        """The next item; the loop ends when the reader is closed."""
        try:
            return await self.get()
        except RingClosed:
            raise StopAsyncIteration from None

    def close(self):
        """Take nothing more. May be called again; a waiting task gets RingClosed."""
        if self.closed:
            return
        self.closed = True
        waiter = self._waiter
        if waiter is not None and not waiter.get_loop().is_closed():
            # Also where it was woken just now: the loop must not know the descriptor when its number is given out again.
            waiter.get_loop().remove_reader(self._pipe[0])
            if not waiter.done():
                waiter.set_result(None)
        self._count_up()
        self._release()
        if self._pipe is not None:
            for descriptor in set(self._pipe):
                os.close(descriptor)
            self._pipe = None

    @classmethod
    def __class_getitem__(cls, kind):
        """`ShmReader[Ticker]` in annotations."""
        return GenericAlias(cls, kind)

    def __repr__(self):
        return f"ShmReader({self.path!r}, {self.kind.__name__}{', closed' if self.closed else ''})"
