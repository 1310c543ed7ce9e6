"""Books for `hftpy decode`: each update's own book, judged as a stream would, as rows."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
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
V1_CHANNEL = re.compile(rb'"book-(10|25|100|500|1000)"')
OKX_CHANNEL = re.compile(rb'"channel"\s*:\s*"([^"]*)"')
PARTIAL = "partial"
NAMELESS = "a depth without a symbol"
Key = tuple[CurrencyPair, str]
OUTSIDE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)


class BookRows:
    """The books of one input.

    Parameters
    ----------
    exchange
        The venue.
    depth
        How many levels a row holds.
    early
        Bodies of REST snapshots by the venue's spelling, which came before any update of their symbol.
    """

    def __init__(self, exchange: Exchange, depth: int, early: Mapping[str, str] = MappingProxyType({})) -> None:
        self._exchange = exchange
        self._depth = depth
        self._early = early
        self._parser = BookParser(exchange)
        self._feeds: dict[Key, BookFeed] = {}
        self._natives: dict[str, CurrencyPair] = {}
        self._depths: dict[Key, int] = {}  # Kraken: what each feed was made for
        self._told_depths: dict[str, int] = {}  # by the venue's spelling: what an acknowledgement says

    def rows(self, frame: bytes, local_ns: int) -> list[dict[str, Any]] | None:
        """One row for each update; None: the frame brings no book.

        Raises
        ------
        ParseError
            If it brings one that is malformed.
        """
        if self._exchange in OUTSIDE and frame.startswith(b'{"lastUpdateId"') and len(self._natives) == 1:
            return self._take_snapshot(next(iter(self._natives.values())), frame, local_ns)
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
        keys = [(update.symbol, self._book_name(update, frame)) for update in updates]
        for key, update in zip(keys, updates, strict=True):
            depth = self._depth_of(key, update)
            if key not in self._feeds or depth != self._depths[key]:
                self._feeds[key] = self._make_feed(key, update, depth)
                self._depths[key] = depth
                if self._exchange in OUTSIDE and key[1] != PARTIAL:
                    self._natives[update.native] = update.symbol
                    if update.native in self._early:
                        # Whether it is too old, this update tells.
                        self._feeds[key].snapshot(update.symbol, self._early[update.native].encode(), local_ns)
        # A venue that counts all frames of a connection has each book see them all.
        counted = self._parser.frameSeq is not None
        for key in self._feeds if counted else dict.fromkeys(keys):
            self._feeds[key].feed(frame)
        return [self._row(key, update.native, update) for key, update in zip(keys, updates, strict=True)]

    def take_rest(self, url: str, body: str, local_ns: int) -> list[dict[str, Any]]:
        """A recorded answer of a REST API: a depth snapshot counts, everything else is nothing."""
        pair = self._natives.get(depth_of_rest(self._exchange, url))
        try:
            return [] if pair is None else self._take_snapshot(pair, body.encode(), local_ns)
        except ParseError:
            return []

    def reset(self) -> None:
        """A new connection, or messages are missing: every book waits for a snapshot."""
        for feed in self._feeds.values():
            feed.reset()

    def _take_snapshot(self, pair: CurrencyPair, body: bytes, local_ns: int) -> list[dict[str, Any]]:
        feed = self._feeds[pair, ""]
        if feed.waits(pair):
            feed.snapshot(pair, body, local_ns)
        native = next(native for native, known in self._natives.items() if known == pair)
        updates = self._parser.parse(body, local_ns, symbol=native)
        return [self._row((pair, ""), native, update) for update in updates]  # none: a refusal, or no book at all

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

    def take_acknowledgement(self, frame: bytes) -> None:
        """Learn how deep the books are that Kraken was asked for; any other frame tells nothing."""
        if self._exchange is not Exchange.KRAKEN or b'"book' not in frame:
            return
        root = json.loads(frame)  # which the parser has taken
        told = root.get("result", root.get("subscription")) if isinstance(root, dict) else None
        native = root.get("pair", told.get("symbol")) if isinstance(told, dict) else None
        depth = told.get("depth") if isinstance(told, dict) else None
        if isinstance(native, str) and depth in KRAKEN_DEPTHS:
            self._told_depths[native] = depth

    def _book_name(self, update: BookUpdate, frame: bytes) -> str:
        """Which of a symbol's books an update belongs to, where a connection may carry several of them."""
        if self._exchange in OUTSIDE:
            return PARTIAL if update.snapshot else ""
        if self._exchange is Exchange.KRAKEN:
            named = V1_CHANNEL.search(frame)
        elif self._exchange in (Exchange.OKX, Exchange.OKX_SWAP):
            named = OKX_CHANNEL.search(frame)
        else:
            return ""
        return "" if named is None else named[1].decode()

    def _depth_of(self, key: Key, update: BookUpdate) -> int:
        """How deep the book is that an update belongs to; 0: as deep as the venue's."""
        if self._exchange is not Exchange.KRAKEN:
            return 0
        if key[1]:
            return int(key[1])
        if update.native in self._told_depths:
            return self._told_depths[update.native]
        known = self._depths.get(key, 0)
        if known and not update.snapshot:
            return known
        # What was subscribed, if no acknowledgement says it: a snapshot is as deep, mostly.
        deepest = max(len(update.bids), len(update.asks))
        return next((depth for depth in KRAKEN_DEPTHS if deepest <= depth), KRAKEN_DEPTHS[-1])

    def _make_feed(self, key: Key, update: BookUpdate, depth: int) -> BookFeed:
        snapshots: Any = "outside" if self._exchange in OUTSIDE and key[1] != PARTIAL else "in_band"
        return BookFeed(
            self._exchange, [update.symbol], depth=depth, snapshots=snapshots, natives={update.native: update.symbol}
        )

    def _row(self, key: Key, native: str, update: BookUpdate) -> dict[str, Any]:
        pair = key[0]
        book: OrderBook = self._feeds[key].book(pair)
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


def depth_of_rest(exchange: Exchange, url: str) -> str:
    """The venue's spelling of the symbol whose depth a REST request asked for; empty: it asked for none."""
    parts = urlsplit(url)
    if exchange not in OUTSIDE or "/depth" not in parts.path:
        return ""
    return parse_qs(parts.query).get("symbol", [""])[0]


def rest_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """URL and body of a session's entry of an HTTP answer."""
    url, body = entry.get("url"), entry.get("data")
    return (url if isinstance(url, str) else ""), (body if isinstance(body, str) else json.dumps(body, default=str))
