"""The listener that hands picows' frames to a Feed in place: no Python object for a frame with market data.

Built against one exact version of picows, whose method table is not checked at import: see hftcore/picows_version.py,
which must be asked first. Everything but whole data messages goes to a `messages` object in Python. All calls come on
the event loop.

Source: picows' picows.pxd (its public C face); RFC 6455.
"""

cimport cython
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from hftcore.book_feed cimport BookFeed
from hftcore.feed cimport Feed


@cython.final
cdef class FeedListener(WSListener):
    """A picows listener for one connection.

    Parameters
    ----------
    messages
        Takes all that is no whole data message, and every frame while there is no `feed`: has `connected(transport)`,
        `frame(transport, frame)`, `disconnected()`, and `joining`, which is true while the parts of a message are
        being gathered. picows must be told not to answer pings itself: `messages` does.

    Attributes
    ----------
    feed
        Who gets whole data messages; None: `book_feed`.
    book_feed
        Who gets them where there is no `feed`; None: `messages`.
    """

    cdef object messages
    cdef public Feed feed
    cdef public BookFeed book_feed
    cdef bint _joining

    def __init__(self, messages):
        self.messages = messages

    cpdef on_ws_connected(self, WSTransport transport):
        self.messages.connected(transport)

    cdef int _flush(self) except -1:
        if self.feed is not None:
            self.feed.flush_c()
        elif self.book_feed is not None:
            self.book_feed.flush_c()
        return 0

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef Feed feed = self.feed
        if (
            feed is not None
            and frame.fin
            and (frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY)
            and not self._joining
        ):
            feed.feed_c(frame.payload_ptr, frame.payload_size, frame.last_in_buffer)
            return
        if (
            feed is None
            and self.book_feed is not None
            and frame.fin
            and (frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY)
            and not self._joining
        ):
            self.book_feed.feed_c(frame.payload_ptr, frame.payload_size, frame.last_in_buffer)
            return
        self.messages.frame(transport, frame)
        self._joining = self.messages.joining
        if frame.last_in_buffer:
            self._flush()

    cpdef is_user_specific_pong(self, WSFrame frame):
        # Asked of every frame while a pong is awaited; only a pong ends here, and it may be the last of a batch.
        if frame.msg_type != WSMsgType.PONG:
            return False
        if frame.last_in_buffer:
            self._flush()
        return True

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._flush()
        self.messages.disconnected()
