"""The watch of silences: when a connection, and each symbol of it, was last heard of.

Threads: all calls come from one thread, that of the event loop. The watch owns its memory.
"""

cimport cython
from libc.stdint cimport int64_t, uint16_t

from hftcore.symbols import CurrencyPair, pair_of_id


@cython.final
cdef class SilenceWatch:
    """When one connection, and each symbol of it, was last heard of. A Feed keeps it up to date natively.

    Seconds are those of `time.monotonic`. Thread safety: as a feed.
    """

    def frame_seen(self):
        """A frame arrived that no feed saw."""
        self.state.lastFrameNs = watch_now_ns()

    def event_seen(self, symbol, uint16_t flags=0):
        """An event of a symbol was delivered past a feed, in the frame of the last `frame_seen`."""
        self.state.note(&self.state.state_of(CurrencyPair(symbol).id), flags)

    def begin(self, symbols):
        """Watch these symbols and no others, as if each had just been heard of."""
        cdef int64_t now = watch_now_ns()
        self.state.unwatch_all()
        self.state.lastEventNs = now
        for symbol in symbols:
            number = CurrencyPair(symbol).id
            self.state.state_of(number).watched = True
            self.state.state_of(number).seenNs = now

    def connected(self):
        """A new connection: its silence starts now."""
        self.state.lastFrameNs = self.state.lastEventNs = watch_now_ns()

    @property
    def last_frame_s(self):
        """When the last frame arrived."""
        return self.state.lastFrameNs / 1e9

    @property
    def last_event_s(self):
        """When the last event was delivered."""
        return self.state.lastEventNs / 1e9

    @property
    def oldest_s(self):
        """When the longest silent symbol that was not reported yet was last heard of; None where there is none."""
        cdef int64_t seen = 0
        return seen / 1e9 if self.state.oldest(&seen) else None

    @property
    def silence_factor(self):
        """How many times the usual patience the silence of all gets; 1 again with the first event that is no history."""
        return self.state.silence_factor

    @silence_factor.setter
    def silence_factor(self, int factor):
        self.state.silence_factor = factor

    def newly_stale(self, double now_s, double limit_s):
        """The watched symbols that were silent for `limit_s` and not reported yet, with their silence in seconds."""
        cdef size_t index
        cdef SymbolState* state
        cdef double silent
        found = []
        for index in range(self.state.size()):
            state = &self.state.at(index)
            silent = now_s - state.seenNs / 1e9
            if state.watched and not state.stale and silent >= limit_s:
                state.stale = True
                found.append((pair_of_id(state.symbol), silent))
        return found
