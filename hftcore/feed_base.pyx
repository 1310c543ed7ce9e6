"""FeedBase: what `hftcore.feed.Feed` and `hftcore.book_feed.BookFeed` have in common around the way of a frame.

`feed` itself stands in each of them: the interpreter calls a method faster that is the object's own class's.

Threads: all calls come from one thread, that of the event loop.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t


cdef class FeedBase:
    """One connection's feed; its kinds say how a frame is read."""

    def __cinit__(self, *args, **kwargs):
        self._batch_callbacks = ()
        self.venue_to_socket = LatencyHistogram()
        self.socket_to_parse = LatencyHistogram()
        self.parse_to_ring = LatencyHistogram()

    cdef int feed_c(self, const char* data, size_t size, bint last) except -1:
        raise NotImplementedError

    cdef int flush_c(self) except -1:
        raise NotImplementedError

    cdef int _fall_back(self, const char* data, size_t size) except -1:
        if self.on_frame is not None:
            try:
                self.on_frame(data[:size])
            except Exception as error:
                self._failed(error)
        return 0

    cdef int _call_handled(self) except -1:
        try:
            self.on_handled()
        except Exception as error:
            self._failed(error)
        return 0

    cdef int _call_gap(self, object pair, str reason, object lost) except -1:
        self.exposed = True
        if self.on_gap is not None:
            try:
                self.on_gap(pair, reason, lost)
            except Exception as error:
                self._failed(error)
        return 0

    cdef int _end_batch(self) except -1:
        if not self._batch_callbacks:
            return 0
        self._busy = True
        try:
            for callback in self._batch_callbacks:
                try:
                    callback()
                except Exception as error:
                    self._failed(error)
        finally:
            self._busy = False
        return 0

    cdef int _failed(self, object error) except -1:
        if self.on_error is not None:
            self.on_error(error)
        return 0

    def feed_all(self, frames):
        """Take a burst of frames (bytes) in, and end it, as a listener does with what one read of its socket brought.

        Raises
        ------
        RuntimeError
            As `feed`.
        TypeError
            If one is not bytes; those before it are taken in.
        """
        try:
            for frame in frames:
                if not PyBytes_CheckExact(frame):
                    raise TypeError(f"frame must be bytes, was {type(frame).__name__}")
                self.feed_c(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), False)
        finally:
            self.flush_c()

    def replay_at(self, int64_t localTimeNs, uint16_t flags=0):
        """Take a recorded time of receipt, in ns since 1970, in place of the clock from now on, and flag bits that every
        event or Snapshot gets. Nothing is recorded as the latency of our own hops any more.
        """
        self._replays = True
        self._replayTimeNs = localTimeNs
        self._flags = flags

    def flush(self):
        """End a burst: drains run, consumers that sleep are woken. May be called at any time."""
        self.flush_c()

    def on_batch(self, callback):
        """Call `callback()` after each batch that delivered something, and after its drains.

        Raises
        ------
        TypeError
            If `callback` cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, was {callback!r}")
        self._batch_callbacks += (callback,)

    def take_counts(self):
        """Counters since the last call, by the names of a stream's `stats`."""
        counts = {
            "frames": self._frames, "events": self._events, "duplicates": self._duplicates,
            "outdated": self._outdated, "unwanted": self._unwanted,
        }
        self._frames = self._events = self._duplicates = self._outdated = self._unwanted = 0
        return counts

    def share_latency(self, dict histograms not None):
        """Record into these histograms, by hop (``venue_to_socket``, ``socket_to_parse``, ``parse_to_ring``).

        A hop that is missing is put in, so that several feeds can record into one dict's histograms.
        """
        self.venue_to_socket = histograms.setdefault("venue_to_socket", self.venue_to_socket)
        self.socket_to_parse = histograms.setdefault("socket_to_parse", self.socket_to_parse)
        self.parse_to_ring = histograms.setdefault("parse_to_ring", self.parse_to_ring)


cdef object failed_or_nobody(object failed):
    """Whom a sink's failures are told."""
    return nobody if failed is None else failed


def nobody(error):
    """Where nobody asked to be told of failures."""
