"""Books for `hftpy decode`: each update's own book, judged as a stream would, as rows."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hftcore.book import OrderBook
from hftcore.book_feed import BookFeed
from hftcore.book_parse import BookParser, BookUpdate
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair

DEFAULT_DEPTH = 10
KRAKEN_DEPTHS = (10, 25, 100, 500, 1000)
NAMELESS = "a depth without a symbol"
OUTSIDE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)


class BookRows:
    """The books of one input.

    Parameters
    ----------
    exchange
        The venue.
    depth
        How many levels a row holds.
    """

    def __init__(self, exchange: Exchange, depth: int) -> None:
        self._exchange = exchange
        self._depth = depth
        self._parser = BookParser(exchange)
        self._feeds: dict[CurrencyPair, BookFeed] = {}
        self._natives: dict[str, CurrencyPair] = {}

    def rows(self, frame: bytes, local_ns: int) -> list[dict[str, Any]] | None:
        """One row for each update; None: the frame brings no book.

        Raises
        ------
        ParseError
            If it brings one that is malformed.
        """
        if self._exchange in OUTSIDE and frame.startswith(b'{"lastUpdateId"') and len(self._feeds) == 1:
            pair = next(iter(self._feeds))
            return self._take_snapshot(pair, frame, local_ns)
        try:
            updates = self._parser.parse(frame, local_ns)
        except ParseError as error:
            if self._exchange in OUTSIDE and NAMELESS in str(error):
                return [self._nameless(frame, local_ns)]
            raise
        if not updates:
            if self._parser.frameSeq is not None:
                for feed in self._feeds.values():
                    feed.feed(frame)  # it counts
            return [] if self._parser.kind is FrameKind.EVENTS and not self._parser.otherEvents else None
        for update in updates:
            if update.symbol not in self._feeds:
                self._feeds[update.symbol] = self._make_feed(update)
                self._natives[update.native] = update.symbol
        # A venue that counts all frames of a connection has each book see them all.
        counted = self._parser.frameSeq is not None
        for pair in self._feeds if counted else dict.fromkeys(update.symbol for update in updates):
            self._feeds[pair].feed(frame)
        return [self._row(update.symbol, update.native, update) for update in updates]

    def take_rest(self, url: str, body: str, local_ns: int) -> list[dict[str, Any]]:
        """A recorded answer of a REST API: a depth snapshot counts, everything else is nothing."""
        if self._exchange not in OUTSIDE or "/depth" not in urlsplit(url).path:
            return []
        native = parse_qs(urlsplit(url).query).get("symbol", [""])[0]
        pair = self._natives.get(native)
        try:
            return [] if pair is None else self._take_snapshot(pair, body.encode(), local_ns)
        except ParseError:
            return []

    def _take_snapshot(self, pair: CurrencyPair, body: bytes, local_ns: int) -> list[dict[str, Any]]:
        feed = self._feeds[pair]
        if feed.waits(pair):
            feed.snapshot(pair, body, local_ns)
        native = next(native for native, known in self._natives.items() if known == pair)
        (update,) = self._parser.parse(body, local_ns, symbol=native)
        return [self._row(pair, native, update)]

    def _nameless(self, frame: bytes, local_ns: int) -> dict[str, Any]:
        """A whole small book that does not say whose it is: of a connection with one stream, or of the REST API."""
        (update,) = self._parser.parse(frame, local_ns, symbol="BTCUSDT")  # any: the row names none
        book = OrderBook(self._exchange, update.symbol)
        book.apply_snapshot(update.bids, update.asks)
        bids, asks = book.top_texts(self._depth) if self._depth else ([], [])
        return {
            "symbol": None, "nativeSymbol": "", "snapshot": True, "valid": not book.crossed, "bids": bids, "asks": asks,
            "exchangeTimeNs": update.exchangeTimeNs, "localTimeNs": update.localTimeNs, "seq": update.lastSeq or 0,
        }  # fmt: skip

    def _make_feed(self, update: BookUpdate) -> BookFeed:
        depth = 0
        if self._exchange is Exchange.KRAKEN:
            # The depth that was subscribed, which only the acknowledgement says: the snapshot is as deep, mostly.
            deepest = max(len(update.bids), len(update.asks))
            depth = next((depth for depth in KRAKEN_DEPTHS if deepest <= depth), KRAKEN_DEPTHS[-1])
        snapshots: Any = "outside" if self._exchange in OUTSIDE else "in_band"
        return BookFeed(
            self._exchange, [update.symbol], depth=depth, snapshots=snapshots, natives={update.native: update.symbol}
        )

    def _row(self, pair: CurrencyPair, native: str, update: BookUpdate) -> dict[str, Any]:
        book: OrderBook = self._feeds[pair].book(pair)
        bids, asks = book.top_texts(self._depth) if self._depth else ([], [])
        row: dict[str, Any] = {
            "symbol": str(pair),
            "nativeSymbol": native,
            "snapshot": update.snapshot,
            "valid": bool(book.state) and not book.crossed,
            "bids": bids,
            "asks": asks,
            "exchangeTimeNs": update.exchangeTimeNs,
            "localTimeNs": update.localTimeNs,
            "seq": update.lastSeq or 0,
        }
        if not row["valid"]:
            row["why"] = book.why
        return row


def rest_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """URL and body of a session's entry of an HTTP answer."""
    url, body = entry.get("url"), entry.get("data")
    return (url if isinstance(url, str) else ""), (body if isinstance(body, str) else json.dumps(body))
