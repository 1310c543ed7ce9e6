"""What Ring and ObjectRing share: the sleeping consumer, the waiting producers, the calls of an observer's queue.

Everything here runs under the GIL but the sleep of a thread that waits for room. One wake-up is sent per batch, and
none to a consumer who is awake (hftcore/wakeup.hpp); a thread that waits for room sleeps at a gate
(hftcore/room_gate.hpp), a task on a future of its own loop.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport PyThread_get_thread_ident

import asyncio
import operator
import time

from hftcore.errors import RingClosed

MAX_CAPACITY = 1 << 22
"""The largest capacity: 256 MiB of structs."""

cdef dict POLICIES = {
    "block": OVERFLOW_BLOCK, "conflate": OVERFLOW_CONFLATE, "drop_newest": OVERFLOW_DROP_NEWEST,
    "drop_oldest": OVERFLOW_DROP_OLDEST, "halt": OVERFLOW_HALT,
}
cdef object QueueFull = asyncio.QueueFull
cdef object get_running_loop = asyncio.get_running_loop
cdef object AWAITED = object()
cdef double LONGEST_SLEEP_S = 0.5  # then signals are looked after

NOTHING = object()


cdef Overflow checked_overflow(object overflow) except *:
    if not isinstance(overflow, str) or overflow not in POLICIES:
        raise ValueError(f"overflow must be one of {', '.join(sorted(POLICIES))}, was {overflow!r}")
    return <Overflow><int>POLICIES[overflow]


cdef size_t checked_capacity(object capacity) except 0:
    number = operator.index(capacity)
    if number < 1 or number & (number - 1):
        raise ValueError(f"capacity must be a power of two, was {capacity!r}")
    if number > MAX_CAPACITY:
        raise ValueError(f"capacity must be at most {MAX_CAPACITY}, was {capacity!r}")
    return number


cdef size_t checked_limit(object limit) except 0:
    if limit is None:
        return MAX_CAPACITY
    number = operator.index(limit)
    if number < 1:
        raise ValueError(f"limit must be at least 1, was {limit!r}")
    return min(number, MAX_CAPACITY)


def _fulfil(future):
    if not future.done():
        future.set_result(None)


cdef class RingBase:
    """The part of a ring that waits. It is made by its subclasses alone."""

    def __cinit__(self, *args, **kwargs):
        self._sleeping = new ArmedFlag()
        self._waiters = []
        self._putters = []

    def __dealloc__(self):
        del self._sleeping

    cdef object _pop(self):
        """The oldest item, or NOTHING."""
        raise NotImplementedError

    cdef int _offer(self, object item) except -1:
        """Put an item and wake the consumer; an Offer. Never waits."""
        raise NotImplementedError

    cdef bint _is_ready(self) noexcept:
        return False

    cdef bint _has_room(self) noexcept:
        """Whether `_offer` would say something else than FULL, and not halt the ring."""
        return True

    cdef bint _is_closed(self) noexcept:
        return False

    cdef void _note_consumer(self) noexcept:
        """With block and halt: this thread is the one that takes."""

    cdef bint _would_wait_for_itself(self) noexcept:
        """Whether this thread is the one that takes, so that nobody would make room while it waits."""
        return False

    cdef bint _wake(self) except -1:
        """Let the waiting tasks look into the ring: at once on their own thread, else through their loop."""
        if self._loop is None:
            return False
        if not self._loop.is_closed():
            if PyThread_get_thread_ident() == self._loop_thread:
                self._resolve()
                return True
            try:
                self._loop.call_soon_threadsafe(self._resolve)
                return True
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
        # The loop was closed with its tasks still waiting: nobody is left to wake, and the item stays.
        self._waiters.clear()
        return False

    def _resolve(self):
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _fulfil(waiter)

    cdef bint _let_in(self) except -1:
        """There is room: let the tasks that wait for it try again, each through its own loop."""
        putters, self._putters = self._putters, []
        for loop, thread, future in putters:
            if <unsigned long>thread == PyThread_get_thread_ident():
                if not loop.is_closed():
                    _fulfil(future)
                continue
            try:
                loop.call_soon_threadsafe(_fulfil, future)
            except RuntimeError:
                if not loop.is_closed():
                    raise
        return True

    cdef object _stop_waiting(self, object waiter):
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters:
            self._sleeping.disarm()

    async def wait(self):
        """Return as soon as there is an item, at once if there is one.

        Raises
        ------
        RingClosed
            If there is none and the ring is closed, or is closed meanwhile.
        RuntimeError
            If a task of another event loop waits already.
        """
        while not self._is_ready():
            if self._is_closed():
                raise RingClosed("ring is closed and empty")
            loop = get_running_loop()
            if self._waiters and loop is not self._loop:
                if self._loop.is_closed():
                    self._waiters.clear()  # tasks that died with their loop
                else:
                    raise RuntimeError("a task of another event loop waits for this ring already")
            waiter = loop.create_future()
            self._loop = loop
            self._loop_thread = PyThread_get_thread_ident()
            self._waiters.append(waiter)
            self._note_consumer()
            self._sleeping.arm()
            try:
                # The last look: what came before the flag was up has woken nobody.
                if not self._is_ready() and not self._is_closed():
                    await waiter
            finally:
                self._stop_waiting(waiter)

    async def get(self):
        """Take the oldest item, waiting for one if there is none. Cancelling it loses no item.

        Raises
        ------
        RingClosed, RuntimeError
            As `wait`.
        """
        item = self._pop()
        while item is NOTHING:
            await self.wait()
            item = self._pop()
        return item

    def __aiter__(self):
        return self

    async def __anext__(self):
        """The next item; the loop ends when the ring is closed and empty."""
        try:
            return await self.get()
        except RingClosed:
            raise StopAsyncIteration from None

    def put(self, item, timeout=AWAITED):
        """Put an item, waiting for room with ``block`` and ``halt``.

        Without `timeout` it is a coroutine: ``await ring.put(item)``. With one it blocks the calling thread, which
        must not be the consumer's, and leaves the GIL to others meanwhile.

        Parameters
        ----------
        item
            As for `put_nowait`.
        timeout
            How many seconds to wait at most; None: as long as it takes.

        Returns
        -------
        bool
            As `put_nowait`.

        Raises
        ------
        asyncio.QueueFull
            If there was no room in time, and with ``halt`` if the ring is halted. The item was not put.
        RuntimeError
            If the thread would have to wait for itself: it is the one that takes, or, before anybody has taken, it
            runs an event loop.
        TypeError, ValueError
            If the item is not of the ring's kind; if `timeout` is no number or below 0.
        """
        if timeout is AWAITED:
            return self._put_awaited(item)
        return self._put_waiting(item, timeout)

    async def _put_awaited(self, item):
        cdef int answer = OFFER_FULL
        while answer == OFFER_FULL:
            if not self._waits or self._has_room():
                answer = self._offer(item)
            if answer == OFFER_FULL:
                # Whoever takes does so under the GIL, or takes the GIL afterwards to look here: no wake-up is lost.
                future = get_running_loop().create_future()
                entry = (get_running_loop(), PyThread_get_thread_ident(), future)
                self._putters.append(entry)
                try:
                    await future
                finally:
                    if entry in self._putters:
                        self._putters.remove(entry)
        return answer == OFFER_TAKEN or self._refused()

    cdef object _put_waiting(self, object item, object timeout):
        cdef int answer = OFFER_FULL
        cdef uint64_t entered
        cdef double left = LONGEST_SLEEP_S
        cdef int64_t sleep_ns
        if timeout is not None:
            if not timeout >= 0:
                raise ValueError(f"timeout must be at least 0, was {timeout!r}")
            deadline = time.monotonic() + timeout
        while True:
            if not self._waits:
                answer = self._offer(item)
            else:
                entered = self._gate.enter()
                try:
                    if self._has_room():
                        answer = self._offer(item)
                    if answer == OFFER_FULL:
                        if timeout is not None:
                            left = deadline - time.monotonic()
                            if left <= 0:
                                raise QueueFull(f"ring had no room within {timeout} s")
                        if self._would_wait_for_itself():
                            raise RuntimeError(
                                "this thread takes from the ring, and cannot wait for itself: use await put(item)"
                            )
                        sleep_ns = <int64_t>(min(left, LONGEST_SLEEP_S) * 1e9)
                        with nogil:
                            self._gate.wait_ns(entered, sleep_ns)
                finally:
                    self._gate.leave()
            if answer != OFFER_FULL:
                return answer == OFFER_TAKEN or self._refused()
            PyErr_CheckSignals()

    cdef object _refused(self):
        """What a put that was refused gives: False, or QueueFull."""
        if self._halts and not self._is_closed():
            raise QueueFull(f"ring of {self.capacity} items is halted: it was full; take, then reset")
        return False
