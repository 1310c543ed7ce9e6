"""The order books of a recording as it is played: what a venue would answer who is asked for a whole book."""

import re
from decimal import Decimal

from hftcore.book import OrderBook
from hftcore.book_feed import BookFeed
from hftcore.enums import BookState, Channel, Exchange
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair, pair_of_native
from hftpy.sim.depth import Ladder
from hftpy.sim.recording import FrameKey, SessionEntry, channel_names
from hftpy.sim.text import wire_bytes

OUTSIDE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)  # whose snapshots are answers of the REST API
KRAKEN_DEPTHS = (10, 25, 100, 500, 1000)
MAX_LEVELS = 10_000
_depth_request = re.compile(r"/depth\?(?:.*&)?symbol=([^&]+)")


class RecordedPairs:
    """Which books a recording has, on which of its connections, and how deep Kraken's are; found in a first pass."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.depth = 0
        self.by_connection: dict[str, dict[CurrencyPair, None]] = {}
        self.followed: set[tuple[str, CurrencyPair]] = set()  # of which a connection brings more than small whole books
        self._books = {name for name, channel in channel_names(exchange).items() if channel is Channel.BOOK}

    def note(self, key: FrameKey, connection: str) -> None:
        """A frame of the recording."""
        if key.channel not in self._books:
            return
        self.by_connection.setdefault(connection, {}).update(dict.fromkeys(key.pairs))
        if not key.partial:
            self.followed.update((connection, pair) for pair in key.pairs)
        if self.exchange is Exchange.KRAKEN:
            self.depth = max(self.depth, _kraken_depth(key))


def _kraken_depth(key: FrameKey) -> int:
    """The depth that a frame's subscription has: Kraken forgets what lies below, and so must its readers."""
    payload = key.payload
    if isinstance(payload, list):
        depth = str(payload[-2]).partition("-")[2]
        return int(depth) if depth.isdigit() else KRAKEN_DEPTHS[0]
    if payload.get("type") != "snapshot":
        return 0
    sides = [row.get(side) for row in payload["data"] if isinstance(row, dict) for side in ("bids", "asks")]
    longest = max((len(side) for side in sides if isinstance(side, list)), default=0)
    return next((depth for depth in KRAKEN_DEPTHS if longest <= depth), 0)


class ReplayBooks:
    """The books of a recording, by the venues' own rules; one that has a hole in the recording is not known.

    Parameters
    ----------
    recorded
        What the recording has.
    """

    def __init__(self, recorded: RecordedPairs) -> None:
        self._exchange = recorded.exchange
        self._outside = self._exchange in OUTSIDE
        self._followed = recorded.followed
        self._feeds = {
            connection: BookFeed(
                self._exchange, pairs, depth=recorded.depth, levels=1,
                snapshots="outside" if self._outside else "in_band",
            )
            for connection, pairs in recorded.by_connection.items()
        }  # fmt: skip
        self.pairs = {pair for pairs in recorded.by_connection.values() for pair in pairs}
        self._answers: dict[CurrencyPair, bytes] = {}

    def connected(self, connection: str) -> None:
        """The recording goes on with a connection that was made anew."""
        feed = self._feeds.get(connection)
        if feed is not None:
            feed.reset()

    def take(self, text: str, connection: str, key: FrameKey | None = None) -> None:
        """The next recorded frame, and what it carries."""
        if key is not None and key.partial and any((connection, pair) in self._followed for pair in key.pairs):
            return  # a small book of a symbol must not take the place of its whole one
        pairs = key.pairs if key is not None and key.channel == "depth" else ()
        feed = self._feeds.get(connection)
        if feed is not None:
            feed.feed(wire_bytes(text))
        for pair in pairs:
            self._answers.pop(pair, None)

    def snapshot_of(self, entry: SessionEntry) -> CurrencyPair | None:
        """Whose whole book a line of the recording is: an answer of the REST API, or what a recorder put there."""
        if not self._outside:
            return None
        if entry.kind == "http":
            found = _depth_request.search(entry.url)
            try:
                pair = pair_of_native(self._exchange, found[1]) if found is not None else None
            except ValueError:
                return None
            return pair if pair in self.pairs else None
        # Among the frames only the recorder of a single symbol can have put one.
        alone = len(self.pairs) == 1 and entry.data.startswith('{"lastUpdateId"')
        return next(iter(self.pairs)) if alone else None

    def take_snapshot(self, pair: CurrencyPair, text: str) -> bool:
        """A whole book of the recording. False if it is none, or of no use."""
        body = wire_bytes(text)
        taken = False
        for feed in self._feeds.values():
            if pair in feed and feed.book(pair).state is not BookState.VALID:
                try:
                    taken |= feed.snapshot(pair, body)
                except ParseError:
                    return False  # an error of the venue, which was recorded too
        if taken:
            self._answers[pair] = body
        return taken

    def answer(self, pair: CurrencyPair) -> str | None:
        """The recorded answer, while nothing has come after it."""
        body = self._answers.get(pair)
        return None if body is None else body.decode("utf-8", "replace")

    def book(self, pair: CurrencyPair) -> OrderBook | None:
        """A book that holds; None: it is not known at this place of the recording."""
        for feed in self._feeds.values():
            if pair in feed and feed.book(pair).state is BookState.VALID:
                return feed.book(pair)
        return None

    def ladder(self, pair: CurrencyPair) -> Ladder | None:
        """All levels of a book that holds."""
        book = self.book(pair)
        if book is None:
            return None
        sides = book.top_texts(MAX_LEVELS)
        bids, asks = (tuple((Decimal(price), Decimal(size)) for price, size in side) for side in sides)
        return Ladder(bids, asks)

    def knows(self, pair: CurrencyPair) -> bool:
        """Whether a request for a whole book can be answered."""
        return pair in self._answers or self.book(pair) is not None
