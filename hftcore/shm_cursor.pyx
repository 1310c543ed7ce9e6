"""Where a reader stands in the segments of a path: what comes next there, and what is told beside it.

Source of the algorithm: hftcore/shm_ring.hpp; of the file: hftcore/shm_segment.hpp.
"""

from hftcore.shm_segment cimport (
    CONTROL, FAILURE_IN_USE, FAILURE_MISSING, KIND_TICKER, KIND_TRADE, STEP_BAD, STEP_EMPTY, STEP_EVENT, STEP_GAP,
    STEP_ITEM, STEP_LAPPED, STEP_UNKNOWN, TICK_NS, FileStat, Step, attach_segment, live, monotonic_ns,
)
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct, ticker_of, trade_of

import operator
import os
import weakref

from hftcore.errors import SegmentError, SegmentInUseError
from hftcore.symbols import CurrencyPair, pair_of_id

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


cdef class SegmentCursor:
    """What `ShmReader` is beside its waiting: the segment at a path, the next one, and the position in it.

    Raises
    ------
    SegmentError, TypeError, ValueError
        As `ShmReader`.
    """

    def __init__(self, path, kind, symbols, on_notice):
        kind_number(kind)
        if self._reader is not NULL:
            raise RuntimeError("a ShmReader is made once")
        self.kind = kind
        self.path = os.path.abspath(os.fspath(path))
        self._is_ticker = kind is Ticker
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
        cdef int found
        while True:
            if self._notices:
                return NOTICE
            if self._segment is NULL or self._ended:
                if monotonic_ns() >= self._next_check and self._attach(False):
                    continue
                return NOTHING
            found = self._judge(record, self._reader.next(record))
            if found != AGAIN:
                return found

    cdef int _judge(self, Record* record, Step step) except -1:
        """What a step of the ring's reader means: as `_next`, or AGAIN."""
        if step == STEP_ITEM:
            return ITEM
        if step == STEP_EMPTY:
            return NOTHING if monotonic_ns() < self._next_check or not self._follow() or self._last_values else AGAIN
        if step == STEP_GAP:
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
        return AGAIN

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

    cdef object _item(self, Record* record):
        """The item of a record; None if it cannot be one."""
        if not resolve(self, record):
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
        if self._reader is NULL:  # never made
            return found
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

    cdef void _release(self):
        del self._watcher
        del self._segment
        self._watcher = NULL
        self._segment = NULL

    def _disown(self):
        """In a forked child: the descriptor that wakes an event loop is the parent's as well, and so are the locks."""
        if self.closed:
            return
        self.closed = True
        self._count_up()
        if self._watcher is not NULL:
            self._watcher.abandon()
        if self._segment is not NULL:
            self._segment.disown()
        self._release()
