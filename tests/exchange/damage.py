"""A recorded session of books as a venue that loses, repeats or delays any frame, and what a `BookFeed` may show of it.

No sockets and no clock: each place of a session is tried in milliseconds. The truth is `reference/session_rows.py`'s.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from session_rows import SlowBook, Update, updates_of

from hftcore.book_feed import BookFeed
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.common import Exchange
from hftpy.sim.recording import iter_session, register_session_instruments, session_exchange

LEVELS = 10
CHECKED = (Exchange.KRAKEN, Exchange.OKX, Exchange.OKX_SWAP)  # whose recorded books are proven by checksums alone
BINANCE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)
Top = tuple[list[tuple[float, float]], list[tuple[float, float]]]
_number = re.compile(r'("sequence_num":\s*)\d+')


@dataclass(frozen=True)
class Frame:
    """A frame and what it says of books."""

    text: str
    updates: tuple[Update, ...]


@dataclass
class Session:
    """The beginning of a session, as far as books are concerned."""

    exchange: Exchange
    frames: list[Frame]
    pairs: list[CurrencyPair]
    depth: int
    begins: dict[str, Update]  # Binance: the first snapshot of each pair


def read(path: Path, count: int) -> Session:
    """The first `count` frames of a session that matter to its books."""
    exchange = session_exchange(path)
    frames: list[Frame] = []
    begins: dict[str, Update] = {}
    texts = []
    for entry in iter_session(path):
        register_session_instruments(exchange, entry)
        symbol = entry.url.partition("symbol=")[2].partition("&")[0] if "/depth?" in entry.url else ""
        if entry.kind == "http" and symbol:
            for update in updates_of(exchange, entry.data, symbol):
                begins.setdefault(update.pair, update)
        elif entry.kind == "recv":
            texts.append(entry.data)
    for text in texts:
        found = updates_of(exchange, text)
        if exchange in BINANCE:
            for update in found:
                if update.whole:
                    begins.setdefault(update.pair, update)
            found = [update for update in found if not update.whole and update.pair in begins]
        if found or exchange is Exchange.COINBASE:
            frames.append(Frame(text, tuple(found)))
        if len(frames) == count:
            break
    if exchange in BINANCE:
        # Only what follows the snapshots: before them there is no truth.
        last = {pair: update.last for pair, update in begins.items()}
        frames = [frame for frame in frames if all(update.last > last[update.pair] for update in frame.updates)]
    pairs = [CurrencyPair(pair) for pair in dict.fromkeys(u.pair for frame in frames for u in frame.updates)]
    depth = max((update.depth for frame in frames for update in frame.updates), default=0)
    return Session(exchange, frames, pairs, depth, begins)


def top_of(book: SlowBook) -> Top:
    bids, asks = book.top(LEVELS)
    return [(float(p), float(v)) for p, v in bids], [(float(p), float(v)) for p, v in asks]


@dataclass
class Venue:
    """The venue's own books, moved frame by frame; the session's numbers, but for a connection's own."""

    session: Session
    books: dict[str, SlowBook] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    time: str = "2026-01-01T00:00:00Z"
    stamps: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pair, update in self.session.begins.items():
            self.books[pair] = SlowBook()
            self.books[pair].take(update)
            self.last[pair] = update.last

    def move(self, frame: Frame) -> None:
        for update in frame.updates:
            book = self.books.setdefault(update.pair, SlowBook())
            book.depth = self.session.depth
            book.take(update)
            self.last[update.pair] = update.last
        exchange = self.session.exchange
        if exchange is Exchange.COINBASE:
            self.time = json.loads(frame.text).get("timestamp", self.time)
        elif exchange not in BINANCE and frame.updates:
            self.stamps[frame.updates[0].pair] = json.loads(frame.text, parse_float=str)

    def snapshot(self, pair: CurrencyPair) -> str:
        """The whole book as the venue sends it to who subscribes now."""
        exchange, native = self.session.exchange, native_symbol(self.session.exchange, pair)
        bids, asks = self.books[str(pair)].top(1_000_000)
        number = self.last[str(pair)]
        if exchange in BINANCE:
            return json.dumps({"lastUpdateId": number, "bids": bids, "asks": asks})
        if exchange is Exchange.COINBASE:
            rows = [{"side": "bid", "price_level": p, "new_quantity": v} for p, v in bids]
            rows += [{"side": "offer", "price_level": p, "new_quantity": v} for p, v in asks]
            event = {"type": "snapshot", "product_id": native, "updates": rows}
            frame = {"channel": "l2_data", "timestamp": self.time, "sequence_num": 0, "events": [event]}
            return json.dumps(frame)
        said = self.stamps[str(pair)]
        if exchange is Exchange.KRAKEN_FUTURE:
            sides = {
                name: [{"price": float(p), "qty": float(v)} for p, v in levels]
                for name, levels in (("bids", bids), ("asks", asks))
            }
            head = {"feed": "book_snapshot", "product_id": said["product_id"], "timestamp": said["timestamp"]}
            return json.dumps(head | {"seq": number} | sides)
        if exchange is Exchange.KRAKEN:
            stamp = "9999999999.0" if number else "1.0"
            sides = {"as": [[*level, stamp] for level in asks], "bs": [[*level, stamp] for level in bids]}
            return json.dumps([said[0], sides, said[-2], said[-1]])
        row = {"asks": [[*level, "0", "1"] for level in asks], "bids": [[*level, "0", "1"] for level in bids]}
        row["ts"] = said["data"][-1]["ts"]
        return json.dumps({"arg": said["arg"], "action": "snapshot", "data": [row]})


class Wrong(AssertionError):
    """What was shown is not what the venue had."""


class Follower:
    """A feed that follows the venue, and the check of each thing that it shows.

    Parameters
    ----------
    delay
        How many frames of the venue pass until an asked snapshot comes.
    """

    def __init__(self, session: Session, delay: int) -> None:
        self.session, self.delay = session, delay
        exchange = session.exchange
        kind = "outside" if exchange in BINANCE else "in_band"
        depth = session.depth if exchange is Exchange.KRAKEN else 0
        self.feed = BookFeed(
            exchange, session.pairs, levels=LEVELS, depth=depth, snapshots=kind,
            on_gap=self.gap, on_ask=self.ask, on_error=self.error,
        )  # fmt: skip
        self.feed.bind(self)
        self.venue = Venue(session)
        self.shown: list[Any] = []
        self.gaps: list[tuple[str, str, int | None]] = []
        self.asked: dict[CurrencyPair, int] = {}
        self.counts: dict[str, int] = {}
        self.first: dict[str, int] = {}  # the frame that each pair was first shown with
        self.made = 0
        self.truth: dict[str, dict[int, Top]] = {}
        self.number = -1  # of the connection

    def error(self, failed: BaseException) -> None:
        raise failed

    def gap(self, pair: Any, reason: str, lost: int | None) -> None:
        self.gaps.append((str(pair), reason, lost))
        self.shown.append((str(pair), reason))

    def ask(self, pair: CurrencyPair) -> None:
        self.asked.setdefault(pair, self.delay)

    def put_nowait(self, item: Any) -> None:
        self.shown.append(item)

    def sent(self, text: str) -> str:
        """A frame as it goes over this connection."""
        if self.session.exchange is Exchange.COINBASE:
            self.number += 1
            return _number.sub(rf"\g<1>{self.number}", text, count=1)
        return text

    def note(self, frame: Frame) -> dict[str, Top]:
        tops = {update.pair: top_of(self.venue.books[update.pair]) for update in frame.updates}
        for pair, top in tops.items():
            number = self.number if self.session.exchange is Exchange.COINBASE else self.venue.last[pair]
            self.truth.setdefault(pair, {})[number] = top
        return tops

    def follow(self, plan: Iterator[tuple[int, Sequence[int]]]) -> None:
        """`plan`: for each frame that the venue makes, the places of those that arrive with it."""
        session = self.session
        texts: dict[int, str] = {}
        tops: dict[int, dict[str, Top]] = {}
        if session.exchange in BINANCE:
            for pair in session.pairs:
                self.truth[str(pair)] = {self.venue.last[str(pair)]: top_of(self.venue.books[str(pair)])}
        for made, arriving in plan:
            self.made = made
            if made < len(session.frames):
                frame = session.frames[made]
                self.venue.move(frame)
                texts[made] = self.sent(frame.text)
                tops[made] = self.note(frame)
            for place in arriving:
                self.feed.feed(texts[place].encode())
                self.check(tops[place])
            self.answer()
        self.delay = 0
        while self.asked:
            self.asked = dict.fromkeys(self.asked, 0)
            self.answer()

    def answer(self) -> None:
        """The snapshots whose time has come."""
        exchange = self.session.exchange
        for pair, left in list(self.asked.items()):
            if left:
                self.asked[pair] = left - 1
                continue
            del self.asked[pair]
            if str(pair) not in self.venue.books:
                continue
            text = self.sent(self.venue.snapshot(pair))
            top = {str(pair): top_of(self.venue.books[str(pair)])}
            if exchange is Exchange.COINBASE:
                self.truth.setdefault(str(pair), {})[self.number] = top[str(pair)]
            if exchange not in BINANCE:
                self.feed.feed(text.encode())
            elif not self.feed.snapshot(pair, text.encode()):
                self.ask(pair)
            self.check(top)

    def check(self, tops: dict[str, Top]) -> None:
        """Everything that was shown by one frame. `tops`: what the venue had with that frame."""
        items, self.shown = self.shown, []
        for item in items:
            if isinstance(item, tuple):
                continue
            pair = str(item.symbol)
            self.counts[pair] = self.counts.get(pair, 0) + 1
            self.first.setdefault(pair, self.made)
            got = _shown(item)
            if self.session.exchange in CHECKED:
                if pair not in tops or got != tops[pair]:
                    raise Wrong(f"{pair}: shown {got}, was {tops.get(pair)}")
            elif got != self.truth[pair].get(item.seq):
                raise Wrong(f"{pair} at {item.seq}: shown {got}, was {self.truth[pair].get(item.seq)}")


def _shown(item: Any) -> Top:
    sides = ((item.bidsPrice, item.bidsVolume), (item.asksPrice, item.asksVolume))
    bids, asks = (list(zip(prices.tolist(), sizes.tolist(), strict=True)) for prices, sizes in sides)
    return bids, asks


def plan(count: int, kind: str, at: int, far: int = 1) -> Iterator[tuple[int, list[int]]]:
    """What arrives with each frame: the one at a place removed, come again or late by `far` frames."""
    for made in range(count):
        arriving = [made]
        if made == at:
            arriving = {"remove": [], "repeat": [made, made] if far == 0 else [made], "late": []}[kind]
        elif made == at + far:
            arriving = {"remove": [made], "repeat": [made, at], "late": [made, at]}[kind]
        yield made, arriving
    if kind == "late" and at + far >= count:
        yield count, [at]


def undisturbed(count: int) -> Iterator[tuple[int, list[int]]]:
    return ((made, [made]) for made in itertools.chain(range(count)))
