"""T17: frame → updated order book → best bid and ask, against cryptofeed's book path and sortedcontainers in Python.

Each side replays a whole session: the snapshots, then every update of all its symbols, with Kraken's checksum checked
for each. The snapshots are not timed: they come once, and are in the books before. What each side saw as the best bid
and ask after each update, and all levels at the end, digit by digit, are compared before anything is timed; while it is
timed each side reads the best prices after each update and keeps the last ones.

Our frames come as the listener's do, in place and in bursts, as in T3; each update's Snapshot goes to a callback in
Python by itself. A row without a floor hands in each frame by a call from Python, as in T4.

Our book holds exactly what the venue wrote: two prices of 18 digits that one float cannot tell apart are two levels.
The peer in Python that a floor stands for does so too: its levels are Decimals. One with floats, which does less, is
measured as well, without a floor.
"""

import gzip
import json
import os
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hftcore.book_feed import BookFeed
from hftcore.symbols import CurrencyPair

EXACT = "orjson + sortedcontainers of Decimals"
FLOATS = "orjson + sortedcontainers of floats (not exact)"
FLOORS = {"cryptofeed": 15.0, EXACT: 30.0}
GOALS = {"cryptofeed": 30.0, EXACT: 60.0}
SESSIONS = {
    "binance, 10 symbols": "binance_spot__b38f7c_20210405",
    "binance, one busy symbol": "binance_spot__hftbacktest_spot_btcusdt_20240808",
    "kraken, 10 symbols": "kraken__v1_book1000_20210405",
}
BURST = 64
Top = tuple[str, float, float]
# Of each symbol, all bids and all asks as (price, volume), best first.
Books = dict[str, tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]]


@dataclass
class Session:
    """What a connection brought: REST snapshots by the venue's symbol, snapshots in band, updates.

    `older` are updates that the REST snapshots hold, one of each symbol: they prove that the stream is not behind them.
    """

    exchange: str
    rest: dict[str, bytes] = field(default_factory=dict)
    older: dict[str, bytes] = field(default_factory=dict)
    first: list[bytes] = field(default_factory=list)
    updates: list[bytes] = field(default_factory=list)

    @property
    def natives(self) -> list[str]:
        """The venue's symbols."""
        return list(self.rest) or [json.loads(frame)[-1] for frame in self.first]


def pair_of(native: str) -> CurrencyPair:
    return CurrencyPair(native.lower())


def recorded(path: Path, exchange: str) -> Session:
    """A recorded session's book frames; Binance's from the first that is newer than the snapshot."""
    session = Session(exchange)
    ids: dict[str, int] = {}
    with gzip.open(path, "rt") as lines:
        entries = [json.loads(line) for line in lines]
    for entry in entries:
        if entry["t"] not in ("recv", "http"):
            continue
        frame, message = entry["data"].encode(), json.loads(entry["data"])
        if isinstance(message, list):
            (session.first if "as" in message[1] else session.updates).append(frame)
        elif "lastUpdateId" in message:
            native = entry.get("url", "symbol=BTCUSDT").partition("symbol=")[2].partition("&")[0]
            session.rest.setdefault(native, frame)
            ids.setdefault(native, message["lastUpdateId"])
    for entry in entries if session.rest else []:
        message = json.loads(entry["data"]).get("data", {}) if entry["t"] == "recv" else {}
        if message.get("e") != "depthUpdate" or message["s"] not in ids:
            continue
        if message["u"] > ids[message["s"]]:
            session.updates.append(entry["data"].encode())
        else:
            session.older[message["s"]] = entry["data"].encode()
    assert session.older.keys() == session.rest.keys()
    return session


def written_binance(rng: random.Random, symbols: int, levels: int) -> Session:
    """A session of the same shape where none is recorded: mostly near the best, a third of it removals."""
    session = Session("binance")
    natives = [f"{'ABCDEFGHIJ'[n]}BCUSDT" for n in range(symbols)]
    for native in natives:
        sides = {
            side: [[f"{64000 + sign * (n + 1) / 100:.8f}", "1.50000000"] for n in range(1000)]
            for side, sign in (("bids", -1), ("asks", 1))
        }
        session.rest[native] = json.dumps({"lastUpdateId": 100} | sides, separators=(",", ":")).encode()
        session.older[native] = depth_update(native, 100, {"b": [], "a": []})
    last = dict.fromkeys(natives, 100)
    for _ in range(1200 if levels > 10 else 4000):
        native = rng.choice(natives)
        sides = {}
        for side, sign in (("b", -1), ("a", 1)):
            ticks = sorted({2 + int(rng.expovariate(0.02)) for _ in range(rng.randint(1, levels))})
            sides[side] = [
                [f"{64000 + sign * n / 100:.8f}", "0.00000000" if rng.random() < 0.35 else f"{rng.random() * 9:.8f}"]
                for n in ticks
            ]
        last[native] += 1  # each symbol's numbers follow each other
        session.updates.append(depth_update(native, last[native], sides))
    return session


def depth_update(native: str, number: int, sides: dict[str, list[list[str]]]) -> bytes:
    """A frame as Binance writes it."""
    message = {"e": "depthUpdate", "E": 1617647603472, "s": native, "U": number, "u": number} | sides
    frame = {"stream": f"{native.lower()}@depth@100ms", "data": message}
    return json.dumps(frame, separators=(",", ":")).encode()


def written_kraken(rng: random.Random) -> Session:
    """A session of Kraken's v1 books of 1000 levels, with right checksums."""
    session = Session("kraken")
    natives = [f"{'ABCDEFGHIJ'[n]}BC/USD" for n in range(10)]
    peer = SortedBooks("kraken", Decimal)
    for native in natives:
        sides = {
            side: [[f"{6400 + sign * (n + 1) / 10:.5f}", "1.50000000", "1617666422.1"] for n in range(1000)]
            for side, sign in (("as", 1), ("bs", -1))
        }
        session.first.append(json.dumps([1, sides, "book-1000", native], separators=(",", ":")).encode())
        peer.handle(json.loads(session.first[-1]))
    for _ in range(4000):
        native = rng.choice(natives)
        side, sign = rng.choice((("a", 1), ("b", -1)))
        tick = 2 + int(rng.expovariate(0.03))
        volume = "0.00000000" if rng.random() < 0.35 else f"{rng.random() * 9:.8f}"
        message = [1, {side: [[f"{6400 + sign * tick / 10:.5f}", volume, "1617666423.2"]]}, "book-1000", native]
        peer.handle(message)
        message[1]["c"] = str(peer.checksum(native))
        session.updates.append(json.dumps(message, separators=(",", ":")).encode())
    return session


class SortedBooks:
    """What one would write in Python: a SortedDict for each side, with texts for Kraken's checksum.

    Parameters
    ----------
    exchange
        "binance" or "kraken" (v1).
    number
        Of which type prices and volumes are: Decimal, or float.
    """

    def __init__(self, exchange: str, number: type[Decimal] | type[float]) -> None:
        from sortedcontainers import SortedDict

        self._make = SortedDict
        self._number: Any = number
        self.books: dict[str, tuple[Any, Any]] = {}
        self.ids: dict[str, int] = {}
        self.handle: Callable[[Any], tuple[str, Any, Any] | None] = (
            self._binance if exchange == "binance" else self._kraken
        )

    def snapshot(self, native: str, message: dict[str, Any]) -> None:
        """Take the answer of Binance's REST."""
        number = self._number
        self.books[native] = (
            self._make((number(price), number(volume)) for price, volume in message["bids"]),
            self._make((number(price), number(volume)) for price, volume in message["asks"]),
        )
        self.ids[native] = message["lastUpdateId"]

    def checksum(self, native: str) -> int:
        """Kraken's, over the texts."""
        bids, asks = self.books[native]
        parts = []
        for best in (asks.values()[:10], bids.values()[:-11:-1]):
            for price, volume in best:
                parts.append(price.replace(".", "").lstrip("0"))
                parts.append(volume.replace(".", "").lstrip("0"))
        return zlib.crc32("".join(parts).encode())

    def _binance(self, message: Any) -> tuple[str, Any, Any] | None:
        """Apply one frame that was read. Returns the symbol and its best prices."""
        data = message["data"]
        native = data["s"]
        last = self.ids[native]
        if data["u"] <= last:
            return None
        if data["U"] > last + 1:
            raise ValueError(f"{native}: {data['U']} after {last}")
        self.ids[native] = data["u"]
        number = self._number
        bids, asks = self.books[native]
        for side, levels in ((bids, data["b"]), (asks, data["a"])):
            for price, volume in levels:
                size = number(volume)
                if size:
                    side[number(price)] = size
                else:
                    side.pop(number(price), None)
        return native, bids.peekitem(-1)[0], asks.peekitem(0)[0]

    def _kraken(self, message: list[Any]) -> tuple[str, Any, Any] | None:
        native = message[-1]
        if "as" in message[1]:
            self.books[native] = (self._make(), self._make())
        number = self._number
        bids, asks = self.books[native]
        checksum = None
        for part in message[1:-2]:
            for key, levels in part.items():
                if key == "c":
                    checksum = int(levels)
                    continue
                side = bids if key[0] == "b" else asks
                for level in levels:
                    price, volume = level[0], level[1]
                    if number(volume):
                        side[number(price)] = (price, volume)
                    else:
                        side.pop(number(price), None)
        while len(bids) > 1000:
            bids.popitem(0)
        while len(asks) > 1000:
            asks.popitem()
        if checksum is not None and checksum != self.checksum(native):
            raise ValueError(f"{native}: checksum {checksum}, was {self.checksum(native)}")
        return (native, bids.peekitem(-1)[0], asks.peekitem(0)[0]) if bids and asks else None

    def all(self) -> Books:
        """Every level of every book."""

        def side_of(items: Any) -> list[tuple[Decimal, Decimal]]:
            return [
                (Decimal(price), Decimal(volume[1] if isinstance(volume, tuple) else volume)) for price, volume in items
            ]

        return {
            native: (side_of(reversed(bids.items())), side_of(asks.items()))
            for native, (bids, asks) in self.books.items()
        }


class Tops:
    """The sink of our feed: keeps the best prices of each book that it is given."""

    def __init__(self) -> None:
        self.tops: list[tuple[CurrencyPair, float, float]] = []

    def put_nowait(self, snapshot: Any) -> None:
        self.tops.append((snapshot.symbol, snapshot.bidPrice, snapshot.askPrice))


class LastTop:
    """As Tops, and keeps the last ones."""

    def put_nowait(self, snapshot: Any) -> None:
        self.bid = snapshot.bidPrice
        self.ask = snapshot.askPrice


def feed_of(session: Session) -> BookFeed:
    """Our feed of a session, with its snapshots taken."""
    gaps: list[object] = []
    pairs = [pair_of(native) for native in session.natives]
    feed = BookFeed(
        session.exchange,
        pairs,
        depth=1000 if session.exchange == "kraken" else 0,
        levels=1,
        snapshots="outside" if session.rest else "in_band",
        on_gap=lambda *gap: gaps.append(gap),
    )
    for frame in session.first:
        feed.feed(frame)
    for native, answer in session.rest.items():
        assert feed.snapshot(pair_of(native), answer)
        feed.feed(session.older[native])
        assert str(feed.book(pair_of(native)).state) == "valid"
    assert not gaps, gaps[0]
    return feed


def check_ours(session: Session) -> tuple[list[Top], Books]:
    """What our books show after each update, and what they hold in the end."""
    feed, sink = feed_of(session), Tops()
    feed.bind(sink)
    for burst in bursts_of(session):
        feed.feed_all(burst)
    natives = {pair_of(native): native for native in session.natives}
    books: Books = {}
    for pair, native in natives.items():
        book = feed.book(pair)
        assert str(book.state) == "valid", (native, book.why)
        bids, asks = book.top_texts(max(book.bidCount, book.askCount))
        books[native] = (
            [(Decimal(price), Decimal(volume)) for price, volume in bids],
            [(Decimal(price), Decimal(volume)) for price, volume in asks],
        )
    return [(natives[pair], bid, ask) for pair, bid, ask in sink.tops], books


def bursts_of(session: Session) -> list[list[bytes]]:
    return [session.updates[n : n + BURST] for n in range(0, len(session.updates), BURST)]


def time_ours(session: Session) -> float:
    feed = feed_of(session)
    feed.bind(LastTop())
    take, bursts = feed.feed_all, bursts_of(session)
    started = time.perf_counter()
    for burst in bursts:
        take(burst)
    return time.perf_counter() - started


def time_ours_one_by_one(session: Session) -> float:
    feed = feed_of(session)
    feed.bind(LastTop())
    take = feed.feed
    started = time.perf_counter()
    for frame in session.updates:
        take(frame)
    return time.perf_counter() - started


def books_in_python(session: Session, loads: Any, number: type[Decimal] | type[float]) -> SortedBooks:
    """The peer's books of a session, with its snapshots taken."""
    books = SortedBooks(session.exchange, number)
    for native, answer in session.rest.items():
        books.snapshot(native, loads(answer))
    for frame in session.first:
        books.handle(loads(frame))
    return books


def check_sorted(session: Session, loads: Any, number: type[Decimal] | type[float]) -> tuple[list[Top], Books]:
    books = books_in_python(session, loads, number)
    shown = [books.handle(loads(frame)) for frame in session.updates]
    return [(top[0], float(top[1]), float(top[2])) for top in shown if top is not None], books.all()


def time_sorted(session: Session, loads: Any, number: type[Decimal] | type[float]) -> float:
    books = books_in_python(session, loads, number)
    handle = books.handle
    started = time.perf_counter()
    for frame in session.updates:
        last = handle(loads(frame))
    elapsed = time.perf_counter() - started
    assert last is not None
    return elapsed


def replay_cryptofeed(session: Session, module: Any) -> tuple[float, list[Top]]:
    pairs = {native: pair_of(native) for native in session.natives}
    natives = {(str(pair.base).upper(), str(pair.quote).upper()): native for native, pair in pairs.items()}
    peer = module.CryptofeedBooks(session.exchange, natives, session.rest)
    try:
        peer.feed([frame.decode() for frame in session.first])
        if session.rest:
            # cryptofeed asks for a snapshot with the symbol's first update.
            for native in session.rest:
                peer.loop.run_until_complete(peer.exchange._snapshot(native))
        peer.tops.clear()
        frames = [frame.decode() for frame in session.updates]
        started = time.perf_counter()
        peer.feed(frames)
        return time.perf_counter() - started, peer.tops
    finally:
        peer.close()


def session_of(name: str, quick: bool) -> Session:
    folder = os.environ.get("HFTPY_FIXTURES")
    exchange = name.partition(",")[0]
    if folder:
        session = recorded(Path(folder) / "real" / "sessions" / f"{SESSIONS[name]}.jsonl.gz", exchange)
    else:
        rng = random.Random(name)
        one = "one" in name
        shape = (1, 20) if one else (10, 2)
        session = written_kraken(rng) if exchange == "kraken" else written_binance(rng, *shape)
    if quick:
        del session.updates[200:]
    return session


@pytest.mark.parametrize("name", SESSIONS)
def test_book(versus: Any, name: str) -> None:
    orjson, containers, cryptofeed = (versus.peer(peer) for peer in ("orjson", "sortedcontainers", "cryptofeed"))
    if containers is None:
        pytest.skip("sortedcontainers is not installed: the extra bench has it")
    session = session_of(name, versus.quick)
    wanted, books = check_ours(session)
    assert len(wanted) > len(session.updates) * 0.9
    peers: dict[str, Any] = {}
    found: dict[str, list[Top]] = {}
    if orjson is not None:
        loads = orjson.loads
        peers[EXACT] = lambda: time_sorted(session, loads, Decimal)
        peers[FLOATS] = lambda: time_sorted(session, loads, float)
        found[EXACT], exact = check_sorted(session, loads, Decimal)
        assert exact == books
        found[FLOATS], _ = check_sorted(session, loads, float)
    if cryptofeed is not None:
        module = versus.peer("peer_cryptofeed_book")
        peers["cryptofeed"] = lambda: replay_cryptofeed(session, module)[0]
        _, found["cryptofeed"] = replay_cryptofeed(session, module)
    for peer, tops in found.items():
        assert tops == wanted, (peer, next(pair for pair in zip(tops, wanted, strict=False) if pair[0] != pair[1]))
    versus(
        "T17", f"order book: {name}", operations=len(session.updates), ours=lambda: time_ours(session), peers=peers,
        floors={peer: floor for peer, floor in FLOORS.items() if peer in peers},
        goals={peer: goal for peer, goal in GOALS.items() if peer in peers},
    )  # fmt: skip


@pytest.mark.parametrize("name", SESSIONS)
def test_book_frame_by_frame(versus: Any, name: str) -> None:
    orjson, containers = (versus.peer(peer) for peer in ("orjson", "sortedcontainers"))
    if containers is None or orjson is None:
        pytest.skip("orjson or sortedcontainers is not installed: the extra bench has them")
    session = session_of(name, versus.quick)
    found, exact = check_sorted(session, orjson.loads, Decimal)
    assert (found, exact) == check_ours(session)
    versus(
        "T17", f"order book: {name}, each frame by a call", operations=len(session.updates),
        ours=lambda: time_ours_one_by_one(session),
        peers={EXACT: lambda: time_sorted(session, orjson.loads, Decimal)},
    )  # fmt: skip
