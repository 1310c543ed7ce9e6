"""The reader of shared memory: see hftcore/shm.pyx, which offers it beside the writer.

Source of the algorithm: hftcore/shm_ring.hpp; of the sleeping: hftcore/shm_park.hpp; of the file: hftcore/shm_segment.hpp.
"""

cimport cython

from hftcore.delivery cimport Delivery
from hftcore.shm_segment cimport (
    CONTROL, FAILURE_IN_USE, FAILURE_MISSING, KIND_TICKER, KIND_TRADE, RING_LIMIT, STEP_BAD, STEP_EMPTY, STEP_EVENT,
    STEP_GAP, STEP_ITEM, STEP_LAPPED, STEP_UNKNOWN, TICK_NS, FileStat, Step, attach_segment, live, monotonic_ns,
    wait_for,
)
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

import asyncio
import operator
import os
import time
import weakref
from types import GenericAlias

import numpy as np

from hftcore.errors import RingClosed, SegmentError, SegmentInUseError
from hftcore.symbols import CurrencyPair, pair_of_id

cdef object TICKER_DTYPE, TRADE_DTYPE
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE

ADAPTIVE_SPIN_S = 50e-6
"""For how long an adaptive reader spins before it sleeps."""

cdef dict SPIN_NS = {"spin": 1 << 62, "adaptive": int(ADAPTIVE_SPIN_S * 1e9), "park": 0}
cdef int64_t FOREVER = 1 << 62
cdef enum:
    NOTHING = 0
    ITEM = 1
    NOTICE = 2
    FIRST_POLLS = 2000

_open_objects = weakref.WeakSet()


def _after_fork():
    for opened in list(_open_objects):
        opened._disown()


os.register_at_fork(after_in_child=_after_fork)


cdef object failure(Trouble trouble):
    text = (<bytes>trouble.text).decode(errors="replace")
    if trouble.kind == FAILURE_IN_USE:
        return SegmentInUseError(text)
    error = SegmentError(text)
    error.errno = trouble.error or None
    return error


cdef uint32_t kind_number(object kind) except 0:
    if kind is Ticker:
        return KIND_TICKER
    if kind is Trade:
        return KIND_TRADE
    raise TypeError(f"kind must be Ticker or Trade, was {kind!r}")


cdef uint64_t checked(str name, object value, uint64_t largest) except 0:
    number = operator.index(value)
    if not 1 <= number <= largest:
        raise ValueError(f"{name} must be 1 to {largest}, was {value!r}")
    return number


@cython.final
cdef class ShmReader:
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
        kind_number(kind)
        if wait not in SPIN_NS:
            raise ValueError(f"wait must be one of {', '.join(SPIN_NS)}, was {wait!r}")
        if self._reader is not NULL:
            raise RuntimeError("a ShmReader is made once")
        self.kind = kind
        self.path = os.path.abspath(os.fspath(path))
        self.wait_strategy = wait
        self._is_ticker = kind is Ticker
        self._spin_ns = SPIN_NS[wait]
        self._wanted = None if symbols is None else frozenset(CurrencyPair(symbol) for symbol in symbols)
        self._on_notice = on_notice
        self._notices = []
        self._last_values = []
        self._reader = new Reader()
        self._opened_ns = monotonic_ns()
        _open_objects.add(self)
        self._attach(True)

    def __dealloc__(self):
        del self._watcher
        del self._reader
        del self._segment

    cdef bint _attach(self, bint first) except -1:
        """Move over to the segment at the path, if there is one that lives and is not ours."""
        cdef Trouble trouble
        cdef FileStat found
        cdef bint joining
        self._next_check = monotonic_ns() + TICK_NS
        cdef Segment* segment = attach_segment(os.fsencode(self.path), kind_number(self.kind), &trouble)
        if segment is NULL:
            if trouble.kind == FAILURE_MISSING:
                return False
            if first:
                raise failure(trouble)
            return self._refuse(str(failure(trouble)))
        found = segment.file()
        if (found.st_dev == self._device and found.st_ino == self._inode) or not segment.writer_alive():
            self._device, self._inode = found.st_dev, found.st_ino
            del segment
            return False
        self._device, self._inode = found.st_dev, found.st_ino
        # The thread of an event loop's wait may still look at the old one.
        del self._watcher
        self._watcher = NULL
        self._count_up()
        del self._segment
        self._segment = segment
        self._ended = False
        joining = self._epoch == 0 and segment.view().header.createdNs < self._opened_ns
        if self._epoch != 0:
            self.restarts += 1
            self._notice("restart", None, segment.view().header.epoch)
        self._epoch = segment.view().header.epoch
        segment.join()
        self._reader.attach(segment.view(), not joining)
        self._symbols.clear()
        self._learn(joining)
        return True

    def _count_up(self):
        if self._segment is not NULL:
            self._taken_before += self._reader.taken()
            self._lost_before += self._reader.lost()

    def _refuse(self, text):
        # Once per file: whoever makes another one there is looked at again.
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        if (found.st_dev, found.st_ino) != (self._device, self._inode):
            self._device, self._inode = found.st_dev, found.st_ino
            self._notice("refused", None, text)
        return False

    cdef int _learn(self, bint joining) except -1:
        """Take in the symbols that were added; a joiner also takes their last values."""
        cdef char[64] text
        cdef Record last
        cdef int size
        cdef int32_t symbol
        cdef bint wanted
        cdef uint32_t number = self._reader.learned()
        while number < self._reader.symbol_count():
            symbol = -1
            wanted = number == CONTROL and self._on_notice is not None
            if number != CONTROL:
                size = self._reader.symbol_text(number, text)
                try:
                    pair = CurrencyPair((<bytes>text[:size if size > 0 else 0]).decode())
                except ValueError as error:
                    self.malformed += 1
                    self._notice("malformed", None, f"symbol {number} of {self.path}: {error}")
                else:
                    symbol = pair.id
                    wanted = self._wanted is None or pair in self._wanted
            self._symbols.push_back(symbol)
            if self._reader.learn(wanted, joining, &last) and number != CONTROL:
                item = self._item(&last)
                if item is not None:
                    self._last_values.append(item)
            number += 1
        if joining:
            self._last_values.reverse()  # the first is popped first
        return 0

    cdef bint _follow(self) except -1:
        """With nothing to read: whether that has changed, for the writer may have been started again."""
        self._next_check = monotonic_ns() + TICK_NS
        if self._segment is not NULL and not self._ended:
            if live(self._segment.view()) and not self._segment.moved():
                return False
            if self._reader.ready():
                return True  # what it published at the end comes first
            self._ended = True
            del self._watcher
            self._watcher = NULL
        return self._attach(False)

    cdef int _next(self, Record* record) except -1:
        """ITEM: the record is one to deliver; NOTICE: `_tell` comes first; NOTHING."""
        cdef Step step
        while True:
            if self._notices:
                return NOTICE
            if self._segment is NULL or self._ended:
                if monotonic_ns() >= self._next_check and self._attach(False):
                    continue
                return NOTHING
            step = self._reader.next(record)
            if step == STEP_ITEM:
                return ITEM
            if step == STEP_EMPTY:
                if monotonic_ns() < self._next_check or not self._follow():
                    return NOTHING
                if self._last_values:
                    return NOTHING
            elif step == STEP_GAP:
                self._gap(self._reader.gap_symbol(), self._reader.gap_lost())
            elif step == STEP_LAPPED:
                self._learn(False)
                self._reader.sweep()
            elif step == STEP_UNKNOWN:
                self._learn(False)
            elif step == STEP_EVENT:
                self._event(record)
            elif step == STEP_BAD:
                self.malformed += 1
                self._notice("malformed", None, f"record {self._reader.position() - 1} of {self.path}")
            else:
                return NOTHING  # STEP_BUSY: `arm` finds that there is more

    cdef int _gap(self, uint32_t number, uint64_t lost) except -1:
        self._lost_wanted += lost
        symbol = self._symbols[number]
        return self._notice("lost", pair_of_id(symbol) if symbol >= 0 else None, lost)

    cdef int _event(self, Record* record) except -1:
        cdef char[4096] encoded
        cdef int size = self._reader.event(record.topicSeq, encoded)
        if size < 0:
            return self._gap(CONTROL, 1)
        return self._notice("event", None, <bytes>encoded[:size])

    cdef int _notice(self, str name, object symbol, object value) except -1:
        if self._on_notice is not None:
            self._notices.append((name, symbol, value))
        return 0

    cdef int _tell(self) except -1:
        name, symbol, value = self._notices.pop(0)
        self._on_notice(name, symbol, value)
        return 0

    cdef bint _resolve(self, Record* record) noexcept:
        """The item's symbol becomes one of this process; False if it cannot be an item."""
        cdef TickerStruct* ticker = <TickerStruct*>record.item
        cdef TradeStruct* trade = <TradeStruct*>record.item
        cdef int32_t symbol = self._symbols[record.symbol]
        if symbol < 0 or ticker.exchange != self._segment.view().header.exchange:
            self.malformed += 1
            return False
        if self._is_ticker:
            ticker.symbol = symbol
        elif trade.side > 2:
            self.malformed += 1
            return False
        else:
            trade.symbol = symbol
        self._delivered += 1
        return True

    cdef object _item(self, Record* record):
        """The item of a record; None if it cannot be one."""
        if not self._resolve(record):
            return None
        return ticker_of(<TickerStruct*>record.item) if self._is_ticker else trade_of(<TradeStruct*>record.item)

    cdef object _take(self):
        """The next item, or None; notices before it are told."""
        cdef Record record
        cdef int found
        while not self.closed:
            if self._notices:
                self._tell()
                continue
            if self._last_values:
                return self._last_values.pop()
            found = self._next(&record)
            if found == ITEM:
                item = self._item(&record)
                if item is not None:
                    return item
            elif found == NOTHING and not self._last_values:
                return None
        return None

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
            if self._notices or self._last_values or self._next(&record) != ITEM:
                item = self._take()
                if item is None:
                    break
            else:
                item = self._item(&record)
                if item is None:
                    continue
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
                if self._notices or self._last_values or self._next(&record) != ITEM:
                    item = self._take()
                    if item is None:
                        break
                    delivery.give(item)
                elif not self._resolve(&record):
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
            found = self._next(&record)
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
        """
        cdef int64_t left = TICK_NS, end = FOREVER if timeout is None else monotonic_ns() + <int64_t>(timeout * 1e9)
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
        if self._waiter is not None:
            raise RuntimeError("another task waits for this reader already")
        descriptor = self.fileno()
        if not self.arm():
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(descriptor, self._wake_waiter)
        try:
            await self._waiter
        finally:
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

    @property
    def attached(self):
        """Whether there is a segment whose writer has not ended."""
        return self._segment is not NULL and not self._ended

    @property
    def epoch(self):
        """The number of the writer's life; 0 before there was one."""
        return self._epoch

    @property
    def silent_s(self):
        """For how long the writer has given no heartbeat, in seconds; None if there never was one."""
        if self._segment is NULL:
            return None
        return max(0.0, (monotonic_ns() - self._segment.view().header.heartbeat()) * 1e-9)

    @property
    def writer_alive(self):
        """Whether the writer's process lives and has not closed."""
        return self._segment is not NULL and not self._ended and self._segment.writer_alive()

    def seqs(self):
        """The number of the last message of each symbol that was taken or told as lost, in this epoch."""
        found = {}
        for number in range(1, self._reader.learned()):
            if self._symbols[number] >= 0 and self._reader.seen(number):
                found[pair_of_id(self._symbols[number])] = self._reader.seen(number)
        return found

    @property
    def stats(self):
        """Counters over all epochs.

        delivered: items given out, last values included; lost: messages of the wanted symbols that were overwritten
        before they were read, as far as told; positions_taken and positions_lost: the same of all that was published
        while this reader was attached, wanted or not, to the message; malformed; restarts.
        """
        return {
            "delivered": self._delivered, "lost": self._lost_wanted, "malformed": self.malformed,
            "restarts": self.restarts,
            "positions_taken": self._taken_before + (self._reader.taken() if self._segment is not NULL else 0),
            "positions_lost": self._lost_before + (self._reader.lost() if self._segment is not NULL else 0),
        }

    def close(self):
        """Take nothing more. May be called again; a waiting task gets RingClosed."""
        if self.closed:
            return
        self.closed = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.get_loop().remove_reader(self._pipe[0])
            waiter.set_result(None)
        self._count_up()
        self._release()
        if self._pipe is not None:
            for descriptor in set(self._pipe):
                os.close(descriptor)
            self._pipe = None

    cdef void _release(self):
        del self._watcher
        del self._segment
        self._watcher = NULL
        self._segment = NULL

    def _disown(self):
        if self._watcher is not NULL:
            self._watcher.abandon()
        if self._segment is not NULL:
            self._segment.disown()

    @classmethod
    def __class_getitem__(cls, kind):
        """`ShmReader[Ticker]` in annotations."""
        return GenericAlias(cls, kind)

    def __repr__(self):
        return f"ShmReader({self.path!r}, {self.kind.__name__}{', closed' if self.closed else ''})"
