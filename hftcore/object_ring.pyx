"""ObjectRing: a bounded queue of Python objects with a named overflow policy, for the channels of low rate.

It answers to the same calls as Ring, where they make sense for objects. It owns a reference to each item until the item
is taken, given way or replaced, and the garbage collector sees them all.

Threads: everything runs under the GIL, so any thread may put; all that takes belongs to one consumer thread, as in
hftcore.ring. With ``conflate`` a lock of its own orders what the keys' ``__eq__`` and ``__hash__`` might interleave.
"""

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uint64_t

from hftcore.latency cimport now_ns
from hftcore.ring_base cimport (
    NOTHING, OFFER_FULL, OFFER_REFUSED, OFFER_TAKEN, OVERFLOW_BLOCK, OVERFLOW_CONFLATE, OVERFLOW_DROP_OLDEST,
    OVERFLOW_HALT, RingBase, RoomGate, checked_capacity, checked_limit, checked_overflow,
)

import asyncio
import threading
from collections import OrderedDict
from types import GenericAlias

cdef object QueueEmpty = asyncio.QueueEmpty
cdef object QueueFull = asyncio.QueueFull
cdef uint64_t NO_LIMIT = <uint64_t>-1


cdef class ObjectRing(RingBase):
    """A bounded queue of objects; it answers to what an observer's queue must answer to.

    Parameters
    ----------
    capacity
        How many items fit; a power of two.
    overflow
        As for `Ring`: ``drop_oldest``, ``drop_newest``, ``halt``, ``block``; ``conflate`` with `key`.
    key
        With ``conflate``: called with an item, gives what it is the latest of (hashable); a new item replaces the
        unread one of an equal key where it stands. Its keys' ``__eq__`` and ``__hash__`` must not use the ring.

    Raises
    ------
    TypeError
        If `capacity` is no integer, or `key` is given without ``conflate``, missing with it, or not callable.
    ValueError
        If `capacity` is no power of two or above `MAX_CAPACITY`, or `overflow` is no policy.
    RuntimeError
        If it was made already.

    Notes
    -----
    Thread safety: see the module. Lifetime: a closed ring still gives what it holds.
    """

    def __cinit__(self, *args, **kwargs):
        self._gate = new RoomGate()
        self._slots = []

    def __init__(self, capacity=4096, overflow="halt", *, key=None):
        if self._capacity:
            raise RuntimeError("an ObjectRing is made once")
        policy = checked_overflow(overflow)
        if policy == OVERFLOW_CONFLATE:
            if not callable(key):
                raise TypeError(f"key must be a function of an item with overflow 'conflate', was {key!r}")
            self._latest = OrderedDict()
            self._lock = threading.RLock()
        elif key is not None:
            raise TypeError(f"key must be given with overflow 'conflate' alone, was {key!r} with {overflow!r}")
        self._capacity = checked_capacity(capacity)
        if policy != OVERFLOW_CONFLATE:
            self._slots = [None] * self._capacity
        self._key = key
        self._policy = policy
        self.overflow = overflow
        self._halts = policy == OVERFLOW_HALT
        self._waits = self._halts or policy == OVERFLOW_BLOCK

    def __dealloc__(self):
        del self._gate

    cdef size_t _size(self) noexcept:
        return self._tail - self._head

    cdef bint _is_ready(self) noexcept:
        return self._tail != self._head

    cdef bint _has_room(self) noexcept:
        return self._size() < self._capacity or self._halted_flag or self._closed_flag

    cdef bint _is_closed(self) noexcept:
        return self._closed_flag

    cdef void _note_consumer(self) noexcept:
        self._consumer_thread = PyThread_get_thread_ident()

    cdef bint _would_wait_for_itself(self) noexcept:
        if self._consumer_thread:
            return self._consumer_thread == PyThread_get_thread_ident()
        return asyncio._get_running_loop() is not None

    cdef int _taken(self) except -1:
        """After taking: lets in who waits for room."""
        if self._waits:
            self._consumer_thread = PyThread_get_thread_ident()
            self._gate.signal()
            if self._putters:
                self._let_in()
        return 0

    cdef int _offer(self, object item) except -1:
        cdef size_t place
        cdef object given_way = None
        if self._closed_flag or self._halted_flag:
            self._dropped += 1
            return OFFER_REFUSED
        if self._policy == OVERFLOW_CONFLATE:
            if self._offer_latest(item) == OFFER_REFUSED:
                return OFFER_REFUSED
        else:
            # Counted to the end before anything is let go of, whose finalizer might look into the ring.
            if self._size() == self._capacity:
                if not self._capacity:
                    raise RuntimeError("the ring was not made: a subclass must call ObjectRing.__init__")
                if self._policy == OVERFLOW_BLOCK:
                    return OFFER_FULL
                self._dropped += 1
                if self._policy != OVERFLOW_DROP_OLDEST:
                    self._halted_flag = self._halts
                    return OFFER_REFUSED
                place = self._head & (self._capacity - 1)
                given_way = self._slots[place]
                self._head += 1
            place = self._tail & (self._capacity - 1)
            self._slots[place] = item
            self._tail += 1
            self._high_water = max(self._high_water, self._size())
        if self._sleeping.take_locked():
            self._wake()
        return OFFER_TAKEN

    cdef int _offer_latest(self, object item) except -1:
        cdef object key = self._key(item)
        cdef object replaced, given_way = None
        self._lock.acquire()
        try:
            if self._locked:
                raise RuntimeError("a key's __eq__ or __hash__, or a finalizer, used the ring that was comparing keys")
            self._locked = True
            try:
                if self._closed_flag:
                    self._dropped += 1
                    return OFFER_REFUSED
                entry = (self._epoch, key)
                replaced = self._latest.get(entry, NOTHING)
                if replaced is NOTHING and self._size() == self._capacity:
                    given_way = self._latest.popitem(last=False)
                    self._head += 1
                    self._dropped += 1
                self._latest[entry] = item
                if replaced is NOTHING:
                    self._tail += 1
                    self._high_water = max(self._high_water, self._size())
                else:
                    self._conflated += 1
                return OFFER_TAKEN
            finally:
                self._locked = False
        finally:
            self._lock.release()

    cdef object _pop(self):
        cdef size_t place
        cdef object item
        if self._tail == self._head:
            return NOTHING
        if self._policy == OVERFLOW_CONFLATE:
            return self._pop_latest()
        place = self._head & (self._capacity - 1)
        item = self._slots[place]
        self._slots[place] = None
        self._head += 1
        self._popped += 1
        self._taken()
        return item

    cdef object _pop_latest(self):
        self._lock.acquire()
        try:
            if self._locked:
                raise RuntimeError("a key's __eq__ or __hash__, or a finalizer, used the ring that was comparing keys")
            if self._tail == self._head:
                return NOTHING
            self._locked = True
            try:
                _, item = self._latest.popitem(last=False)
            finally:
                self._locked = False
            self._head += 1
            self._popped += 1
            return item
        finally:
            self._lock.release()

    def put_nowait(self, item):
        """Put an item, and wake the consumer if it sleeps.

        Returns
        -------
        bool
            Whether it was taken. False: refused by ``drop_newest``, or the ring is closed; it counts as dropped.

        Raises
        ------
        asyncio.QueueFull
            With ``halt``: the ring is full, or was and has not been reset. With ``block``: it is full; nothing is
            counted, since the item is still the caller's.
        RuntimeError
            With ``conflate``: a key's ``__eq__`` or ``__hash__`` used the ring.
        """
        cdef int answer = self._offer(item)
        if answer == OFFER_TAKEN:
            return True
        if answer == OFFER_FULL:
            raise QueueFull(f"ring of {self._capacity} items is full")
        return self._refused()

    def get_nowait(self):
        """Take the oldest item.

        Raises
        ------
        asyncio.QueueEmpty
            If there is none.
        """
        item = self._pop()
        if item is NOTHING:
            raise QueueEmpty
        return item

    def get_batch(self, limit=None):
        """Take what is there, oldest first, at most `limit` items; an empty list if there is nothing.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        cdef size_t left = min(checked_limit(limit), self._size())
        cdef list batch = []
        while left:
            item = self._pop()
            if item is NOTHING:
                break
            batch.append(item)
            left -= 1
        return batch

    def drain(self, callback, limit=None):
        """Call `callback` with each item that is there, oldest first, at most `limit`; returns how many.

        An exception of the callback is raised here: its item is taken, the rest stays.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        return self.drain_c(callback, checked_limit(limit))

    cdef Py_ssize_t drain_c(self, object callback, Py_ssize_t limit) except -1:
        cdef Py_ssize_t done = 0
        self._deliver(callback, limit, NO_LIMIT, 0, False, &done)
        return done

    def dispatch(self, hook, limit=None, *, until=None, int64_t budget_ns=0):
        """As `drain`, for a hook that may be a coroutine function; see `Ring.dispatch`.

        Raises
        ------
        ValueError
            If `limit` is below 1.
        """
        cdef Py_ssize_t done = 0
        return self._deliver(
            hook, checked_limit(limit), NO_LIMIT if until is None else <uint64_t>until, budget_ns, True, &done
        )

    cdef object _deliver(
        self, object callback, size_t limit, uint64_t until, int64_t budget_ns, bint stops, Py_ssize_t* done
    ):
        cdef size_t left = min(limit, self._size())
        cdef int64_t end = 0
        while left and self._head < until:
            item = self._pop()
            if item is NOTHING:
                break
            left -= 1
            done[0] += 1
            if budget_ns and end == 0:
                end = now_ns() + budget_ns
            result = callback(item)
            item = None
            if stops:
                if result is not None:
                    return result
                if budget_ns and now_ns() >= end:
                    break
        return None

    @property
    def position(self):
        """How many items have left the ring, taken or given way: the position of the oldest one that is there."""
        return self._head

    def mark(self):
        """The position of the next item to come. With ``conflate``, no later item replaces one before the mark."""
        self._epoch += 1
        return self._tail

    @classmethod
    def __class_getitem__(cls, kind):
        """`ObjectRing[Order]` in annotations."""
        return GenericAlias(cls, kind)

    def close(self):
        """Take nothing more: waiting tasks get RingClosed as soon as the ring is empty. May be called again."""
        self._closed_flag = True
        self._gate.signal()
        if self._sleeping.take_locked():
            self._wake()
        self._let_in()

    def reset(self):
        """Lift a halt. What the ring holds stays; what was refused is lost and counted, and must be repaired."""
        self._halted_flag = False

    @property
    def closed(self):
        """Whether `close` was called."""
        return self._closed_flag

    @property
    def halted(self):
        """Whether the ring was full under ``halt`` and has not been reset."""
        return self._halted_flag

    @property
    def capacity(self):
        """How many items fit."""
        return self._capacity

    def qsize(self):
        """How many items there are."""
        return self._size()

    def empty(self):
        """Whether there is no item."""
        return self._tail == self._head

    def full(self):
        """Whether no further item fits."""
        return self._size() == self._capacity

    @property
    def stats(self):
        """Counters: items pushed (taken in), popped, dropped, conflated, high_water, capacity; see `Ring.stats`."""
        return {
            "pushed": self._tail + self._conflated, "popped": self._popped, "dropped": self._dropped,
            "conflated": self._conflated, "high_water": self._high_water, "capacity": self._capacity,
        }

    def __repr__(self):
        return (
            f"{type(self).__name__}(capacity={self._capacity}, overflow={self.overflow!r}, "
            f"size={self._size()}{', closed' if self._closed_flag else ''})"
        )
