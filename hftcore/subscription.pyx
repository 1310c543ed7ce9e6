"""Subscription: from a socket to the observers' rings without a Python object. SequenceTracker: what was missed.

A frame that is the next message of its topic, of the symbol that stood in the topic's last message, is read, checked
and pushed into the observers' rings at once. Everything else (the first of a topic, a gap, a resent value, a control
frame, whatever is malformed) goes to the Python side as a frame; both use one SequenceTracker, so that the order of
frames and the numbers hold across the two.

Thread safety: one thread, the one that reads the socket; the rings of observers as hftcore.ring says.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from hftcore.codec cimport Envelope, decode_ticker_message, decode_trade_message, symbol_of_text
from hftcore.delivery cimport Delivery
from hftcore.types cimport Ticker, TickerStruct, Trade, TradeStruct
from hftcore.zmq cimport NativeSocket

from typing import NamedTuple

from hftcore.enums import Exchange


cdef enum:
    TOPIC_SIZE = 32
    MAX_UNWANTED = 65536


class Verdict(NamedTuple):
    """What a message means: whether to deliver it, how many before it are lost, whether its publisher is new."""

    deliver: bool
    lost: int
    restarted: bool


class Missing(NamedTuple):
    """What a Hello or a heartbeat showed: whether the publisher is new, and how many of which topics are lost."""

    restarted: bool
    lost: list


cdef bytes checked_topic(object topic):
    if not isinstance(topic, bytes) or len(topic) != TOPIC_SIZE:
        raise ValueError(f"a topic must be {TOPIC_SIZE} bytes, was {topic!r}")
    return topic


@cython.final
cdef class SequenceTracker:
    """Follows the sequence numbers of one publisher; the rules stand in hftcore/sequence_tracker.hpp.

    Parameters
    ----------
    wanted
        Says which topics (32 bytes) are subscribed; a Hello and a heartbeat name others too. Asked once per topic.
    """

    def __cinit__(self, wanted):
        self._wanted = wanted

    def on_message(self, topic, uint64_t epoch, uint64_t seq, bint resent):
        """Take a message's number; one without (0) is always delivered. Raises ValueError if it is no topic."""
        verdict = self.c.on_message(PyBytes_AS_STRING(checked_topic(topic)), epoch, seq, resent)
        return Verdict(verdict.deliver, verdict.lost, verdict.restarted)

    def on_hello(self, uint64_t epoch, topics):
        """Take the state that the publisher sends to a joiner: pairs of topic and last number.

        What is no topic of 32 bytes is nobody's.
        """
        cdef bytes name
        cdef uint64_t number
        cdef uint64_t lost
        restarted = self.c.follow(epoch)
        self.c.greet()
        missing = []
        for topic, number in topics:
            if len(topic) != TOPIC_SIZE or not self._is_wanted(PyBytes_AS_STRING(topic)):
                continue
            name = topic
            lost = self.c.hello(self.c.topics().get(PyBytes_AS_STRING(name)), number)
            if lost:
                missing.append((name, lost))
        return Missing(restarted, missing)

    def on_heartbeat(self, uint64_t epoch, topics):
        """Take the last numbers that the publisher has sent; as `on_hello`."""
        cdef bytes name
        cdef uint64_t number
        cdef uint64_t lost
        missing = []
        if epoch < self.c.epoch():
            return Missing(False, missing)
        restarted = self.c.follow(epoch)
        for topic, number in topics:
            if len(topic) != TOPIC_SIZE or not self._is_wanted(PyBytes_AS_STRING(topic)):
                continue
            name = topic
            lost = self.c.heartbeat(self.c.topics().get(PyBytes_AS_STRING(name)), number)
            if lost:
                missing.append((name, lost))
        return Missing(restarted, missing)

    def read_heartbeat(self, bytes body not None):
        """As `on_heartbeat`, from the body of a Control frame; None where it is not one of our publishers' heartbeats."""
        cdef const char* topic = NULL
        cdef uint64_t number = 0
        cdef uint64_t lost
        cdef HeartbeatReader* reader = new HeartbeatReader(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        try:
            # First as a whole: nothing may be taken of one that the general decoder then takes again.
            while reader.next(topic, number):
                pass
            if not reader.good():
                return None
            if reader.epoch < self.c.epoch():
                return Missing(False, [])
            restarted = self.c.follow(reader.epoch)
        finally:
            del reader
        missing = []
        reader = new HeartbeatReader(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        try:
            while reader.next(topic, number):
                if not self._is_wanted(topic):
                    continue
                lost = self.c.heartbeat(self.c.topics().get(topic), number)
                if lost:
                    missing.append((topic[:TOPIC_SIZE], lost))
        finally:
            del reader
        return Missing(restarted, missing)

    cdef bint _is_wanted(self, const char* topic) except -1:
        cdef TrackedTopic* found = self.c.topics().find(topic)
        cdef bint wanted
        if found != NULL and found.wanted != NOT_ASKED:
            return found.wanted == WANTED
        wanted = self._wanted(topic[:TOPIC_SIZE])
        if wanted or self.c.topics().size() < MAX_UNWANTED:
            self.c.topics().get(topic).wanted = WANTED if wanted else UNWANTED
        return wanted

    @property
    def epoch(self):
        """The publisher's epoch; 0 before the first message."""
        return self.c.epoch()

    @property
    def last(self):
        """The last number of each topic that has one."""
        cdef TrackedTopic* topic
        cdef size_t index
        found = {}
        for index in range(self.c.topics().size()):
            topic = &self.c.topics()[index]
            if topic.hasLast:
                found[(<const char*>topic.key.words)[:TOPIC_SIZE]] = topic.last
        return found


@cython.final
cdef class Subscription:
    """Reads a socket, and delivers what is simply the next message; the rest goes to the Python side.

    Parameters
    ----------
    socket
        NativeSocket of a SUB socket.
    kind
        Ticker, Trade, or None: then every frame goes to the Python side.
    exchange
        The Exchange of the messages.
    wanted
        As for `SequenceTracker`.
    on_frame
        Called with each frame that is not delivered here; returns whether its message was delivered, so that those
        that follow in its topic may be delivered here.
    on_refused
        Called after each batch with an observer whose queue was full, and for how many messages: a full queue must
        not slow down the others.
    on_failed
        Called with the observer whose queue failed, within the `except` of its exception.

    Raises
    ------
    TypeError
        If `kind` is none of these.
    """

    def __cinit__(self, NativeSocket socket not None, kind, exchange, wanted, on_frame, on_refused, on_failed):
        self._delivery = Delivery(kind, on_failed)
        self._socket = socket
        self.tracker = SequenceTracker(wanted)
        self._is_ticker = kind is Ticker
        self._is_trade = kind is Trade
        self._exchange = Exchange.parse(exchange)
        self._on_frame = on_frame
        self._on_refused = on_refused

    def bind(self, queues):
        """Deliver to these queues from now on: pairs of observer and queue, as `Delivery.bind`."""
        self._delivery.bind(queues)
        self._tell_refusals()

    def resume(self, NativeSocket socket not None):
        """Read this socket from now on: a new connection of the same subscriber."""
        self._socket = socket
        self._closed = False
        self._delivery.resume()

    def close(self):
        """Read nothing more, not even the rest of a batch that is being read."""
        self._closed = True
        self._delivery.stop()

    @cython.binding(False)
    def drain(self, Py_ssize_t limit):
        """Read frames until there is none, or `limit` of them; returns whether there may be more.

        Raises
        ------
        zmq.ContextTerminated, zmq.ZMQError
            If the context was terminated, or the socket closed.
        """
        cdef const char* data
        cdef size_t size
        cdef bint taken
        cdef bytes frame
        cdef Py_ssize_t count = 0
        try:
            while count < limit and not self._closed:
                if not self._socket.receive_c(&data, &size):
                    return False
                count += 1
                self._frames += 1
                if self._is_ticker:
                    taken = self._take_ticker(data, size)
                elif self._is_trade:
                    taken = self._take_trade(data, size)
                else:
                    taken = False
                if not taken:
                    frame = PyBytes_FromStringAndSize(data, size)
                    if self._on_frame(frame):
                        self._learn(frame)
            return not self._closed
        finally:
            self._delivery.notify()
            self._tell_refusals()

    cdef bint _take_ticker(self, const char* data, size_t size) except -1:
        cdef TickerStruct item
        cdef Envelope rest
        cdef const TrackedTopic* topic
        if size < TOPIC_SIZE or data[0] == 0:
            return False
        if not decode_ticker_message(data + TOPIC_SIZE, size - TOPIC_SIZE, item, rest):
            return False
        if rest.exchange != self._exchange or rest.flags > 65535:
            return False
        topic = self.tracker.c.next(data, rest.epoch, rest.seq, rest.symbol, rest.symbolSize)
        if topic == NULL:
            return False
        item.symbol = topic.symbol
        item.exchange = self._exchange
        item.flags = rest.flags
        self._received += 1
        self._delivery.give_ticker(&item)
        return True

    cdef bint _take_trade(self, const char* data, size_t size) except -1:
        cdef TradeStruct item
        cdef Envelope rest
        cdef const TrackedTopic* topic
        if size < TOPIC_SIZE or data[0] == 0:
            return False
        if not decode_trade_message(data + TOPIC_SIZE, size - TOPIC_SIZE, item, rest):
            return False
        if rest.exchange != self._exchange or rest.flags > 65535 or rest.side < 0 or rest.side > 2:
            return False
        topic = self.tracker.c.next(data, rest.epoch, rest.seq, rest.symbol, rest.symbolSize)
        if topic == NULL:
            return False
        item.symbol = topic.symbol
        item.exchange = self._exchange
        item.side = rest.side
        item.flags = rest.flags
        self._received += 1
        self._delivery.give_trade(&item)
        return True

    cdef int _tell_refusals(self) except -1:
        if self._delivery.has_refused():
            for observer, count in self._delivery.take_refused():
                self._on_refused(observer, count)
        return 0

    cdef int _learn(self, bytes frame) except -1:
        """Know the symbol of a message that was delivered, as it is spelled there."""
        cdef TickerStruct ticker
        cdef TradeStruct trade
        cdef Envelope rest
        cdef const char* data = PyBytes_AS_STRING(frame)
        cdef size_t size = PyBytes_GET_SIZE(frame)
        cdef bint known
        if not self._is_ticker and not self._is_trade or size < TOPIC_SIZE:
            return 0
        if self._is_ticker:
            known = decode_ticker_message(data + TOPIC_SIZE, size - TOPIC_SIZE, ticker, rest)
        else:
            known = decode_trade_message(data + TOPIC_SIZE, size - TOPIC_SIZE, trade, rest)
        if known:
            self.tracker.c.learn(data, rest.symbol, rest.symbolSize, symbol_of_text(rest.symbol, rest.symbolSize))
        return 0

    def take_counts(self):
        """How many messages were delivered here, and how many frames were read, since the last call."""
        received, frames = self._received, self._frames
        self._received = self._frames = 0
        return received, frames
