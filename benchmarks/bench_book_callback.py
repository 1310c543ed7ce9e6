"""T6 for order books: a raw update to a callback that gets the book, against cryptofeed, ccxt.pro and nautilus_trader.

Each side takes the same updates of one book of 100 levels a side, a third of which remove their level, and calls back
with what its users get: cryptofeed and ccxt.pro with their live book, nautilus_trader with the deltas alone (it applies
them where a strategy asks for a book), ours with a Snapshot of 20 levels a side, which stays as it is. Kraken's
checksums are checked by cryptofeed and ours, and not by ccxt.pro, whose default that is. The best prices that each
callback sees are compared before anything is timed.

No floors: those of T6 were found for tickers and trades, whose work is the parsing, and here the book itself is most of
it. The target for books is T17 (bench_book.py): whole recorded sessions up to the best prices, without a callback's
Snapshot.
"""

import json
import logging
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from bench_callback import ignore, ignore_async

from hftcore.book_feed import BookFeed
from hftcore.enums import Exchange

LEVELS = 100
UPDATES = 4096
MS = 1790757122992
Top = tuple[float, float]
Changes = list[tuple[str, str, str]]  # of "b" or "a", price, volume


@dataclass
class Session:
    """The frames of one book; `rest` is what Binance's REST API answers, `first` the snapshot in band elsewhere."""

    rest: bytes = b""
    first: list[bytes] = field(default_factory=list)
    updates: list[bytes] = field(default_factory=list)


class Book:
    """A book that changes by chance, and never crosses."""

    def __init__(self) -> None:
        self.chance = random.Random(6)
        self.sides: dict[str, dict[int, str]] = {
            side: {n: f"{self.chance.uniform(0.001, 9):.8f}" for n in range(LEVELS)} for side in "ba"
        }

    @staticmethod
    def price(side: str, n: int) -> str:
        tick = 600_000 + (n + 1 if side == "a" else -n)
        return f"{tick // 10}.{tick % 10}"

    def change(self, count: int) -> Changes:
        changes = []
        for side in self.chance.sample("ba", count):
            n = min(int(self.chance.expovariate(0.1)), LEVELS - 2)  # the last level always stays
            gone = n in self.sides[side] and self.chance.random() < 0.33
            volume = f"{0 if gone else self.chance.uniform(0.001, 9):.8f}"
            if gone:
                del self.sides[side][n]
            else:
                self.sides[side][n] = volume
            changes.append((side, self.price(side, n), volume))
        return changes

    def levels(self, side: str) -> list[list[str]]:
        return [[self.price(side, n), volume] for n, volume in sorted(self.sides[side].items())]

    def checksum(self) -> int:
        texts = [text for side in "ab" for level in self.levels(side)[:10] for text in level]
        return zlib.crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def of_side(changes: Changes, side: str, more: tuple[str, ...] = ()) -> list[list[str]]:
    return [[price, volume, *more] for where, price, volume in changes if where == side]


def written(make: Callable[[Book, Session, int, Changes], bytes], count: int, updates: int) -> Session:
    book, session = Book(), Session()
    make(book, session, 0, [])  # puts the snapshot
    session.updates = [make(book, session, n, book.change(count)) for n in range(1, updates + 1)]
    return session


def binance(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    if n == 0:
        session.rest = encode({"lastUpdateId": 100, "bids": book.levels("b"), "asks": book.levels("a")})
    data = {"e": "depthUpdate", "E": MS + n, "s": "BTCUSDT", "U": 100 + n, "u": 100 + n}
    data |= {side: of_side(changes, side) for side in "ba"}
    return encode({"stream": "btcusdt@depth@100ms", "data": data})


def binance_future(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    if n == 0:
        answer = {"lastUpdateId": 100, "E": MS, "T": MS, "bids": book.levels("b"), "asks": book.levels("a")}
        session.rest = encode(answer)
    numbers = {"U": 100 + 2 * n - (n == 1) * 2, "u": 101 + 2 * n, "pu": 99 + 2 * n}
    data = {"e": "depthUpdate", "E": MS + n, "T": MS + n, "s": "BTCUSDT", **numbers}
    data |= {side: of_side(changes, side) for side in "ba"}
    return encode({"stream": "btcusdt@depth@100ms", "data": data})


def okx(native: str) -> Callable[[Book, Session, int, Changes], bytes]:
    def make(book: Book, session: Session, n: int, changes: Changes) -> bytes:
        frame = {"arg": {"channel": "books", "instId": native}, "action": "update" if n else "snapshot"}
        whole = [("a", *level) for level in book.levels("a")] + [("b", *level) for level in book.levels("b")]
        now: Any = changes if n else whole
        sides = {"asks": of_side(now, "a", ("0", "1")), "bids": of_side(now, "b", ("0", "1"))}
        numbers = {"ts": str(MS + n), "checksum": 0, "prevSeqId": 99 + n if n else -1, "seqId": 100 + n}
        made = encode(frame | {"data": [sides | numbers]})
        if n == 0:
            session.first = [made]
        return made

    return make


def coinbase(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    at = "2026-08-09T21:05:51.919751474Z"
    now: Any = changes if n else [(side, *level) for side in "ba" for level in book.levels(side)]
    updates = [
        {"side": "bid" if side == "b" else "offer", "event_time": at, "price_level": price, "new_quantity": volume}
        for side, price, volume in now
    ]
    event = {"type": "update" if n else "snapshot", "product_id": "BTC-USD", "updates": updates}
    made = encode({"channel": "l2_data", "timestamp": at, "sequence_num": n, "events": [event]})
    if n == 0:
        session.first = [made]
    return made


def kraken_v1(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    more = ("1617666423.843081",)
    if n == 0:
        whole = {f"{side}s": [[*level, *more] for level in book.levels(side)] for side in "ab"}
        session.first = [encode([340, whole, "book-1000", "XBT/USD"])]
        return b""
    sides: dict[str, Any] = {side: of_side(changes, side, more) for side in "ab" if of_side(changes, side)}
    return encode([340, {**sides, "c": str(book.checksum())}, "book-1000", "XBT/USD"])


def kraken_v2(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    sides = {
        name: ",".join(f'{{"price":{price},"qty":{volume}}}' for price, volume in levels)
        for name, levels in (
            (name, of_side(changes, name[0]) if n else book.levels(name[0])) for name in ("bids", "asks")
        )
    }
    made = (
        f'{{"channel":"book","type":"{"update" if n else "snapshot"}","data":[{{"symbol":"BTC/USD","bids":'
        f'[{sides["bids"]}],"asks":[{sides["asks"]}],"checksum":{book.checksum()},'
        '"timestamp":"2026-10-06T17:35:55.440295Z"}]}'
    ).encode()
    if n == 0:
        session.first = [made]
    return made


def kraken_future(book: Book, session: Session, n: int, changes: Changes) -> bytes:
    if n == 0:
        sides = {
            name: [{"price": float(price), "qty": float(volume)} for price, volume in book.levels(name[0])]
            for name in ("bids", "asks")
        }
        whole = {"feed": "book_snapshot", "product_id": "PF_XBTUSD", "timestamp": MS, "seq": 100, "tickSize": None}
        session.first = [encode(whole | sides)]
        return b""
    ((side, price, volume),) = changes
    frame = {"feed": "book", "product_id": "PF_XBTUSD", "side": "buy" if side == "b" else "sell", "seq": 100 + n}
    return encode(frame | {"price": float(price), "qty": float(volume), "timestamp": MS + n})


@dataclass(frozen=True)
class Case:
    """How a venue's frames are made, with so many levels in each, and what the peers call the book."""

    exchange: Exchange
    make: Callable[[Book, Session, int, Changes], bytes]
    levels: int
    pair: str
    native: str
    ccxt_hash: str | None
    cryptofeed: bool = True
    nautilus: bool = False

    @property
    def natives(self) -> dict[tuple[str, str], str]:
        base, _, quote = self.pair.partition(":")[0].upper().partition("/")
        return {(base, quote): self.native}


SWAP_HASH = "orderbook::BTC/USDT:USDT"
CASES = {
    "Binance depth": Case(Exchange.BINANCE, binance, 2, "btc/usdt", "BTCUSDT", "orderbook::BTC/USDT", nautilus=True),
    "Binance USD-M depth": Case(Exchange.BINANCE_FUTURE, binance_future, 2, "btc/usdt:usdt", "BTCUSDT", SWAP_HASH,
                                nautilus=True),
    "Kraken v1 book": Case(Exchange.KRAKEN, kraken_v1, 1, "btc/usd", "XBT/USD", None),
    "Kraken v2 book": Case(Exchange.KRAKEN, kraken_v2, 1, "btc/usd", "BTC/USD", "orderbook@BTC/USD",
                           cryptofeed=False),
    "OKX books": Case(Exchange.OKX, okx("BTC-USDT"), 2, "btc/usdt", "BTC-USDT", "books:BTC/USDT"),
    "OKX swap books": Case(Exchange.OKX_SWAP, okx("BTC-USDT-SWAP"), 2, "btc/usdt:usdt", "BTC-USDT-SWAP",
                           "books:BTC/USDT:USDT"),
    "Coinbase Advanced l2_data": Case(Exchange.COINBASE, coinbase, 2, "btc/usd", "BTC-USD", "level2::BTC/USD",
                                      cryptofeed=False),
    "Kraken Futures book": Case(Exchange.KRAKEN_FUTURE, kraken_future, 1, "btc/usd:usd", "PF_XBTUSD",
                                "orderbook:BTC/USD:USD"),
}  # fmt: skip


class Sink:
    """Where our feed puts its Snapshots: calls back at once."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.put_nowait = call


def ours(case: Case, session: Session, call: Callable[[Any], Any]) -> float:
    lost: list[object] = []
    feed = BookFeed(
        case.exchange, [case.pair], depth=1000 if case.exchange is Exchange.KRAKEN else 0,
        snapshots="outside" if session.rest else "in_band", on_gap=lambda *gap: lost.append(gap),
    )  # fmt: skip
    for frame in session.first:
        feed.feed(frame)
    if session.rest:
        assert feed.snapshot(case.pair, session.rest)
    feed.bind(Sink(call))
    take = feed.feed
    started = time.perf_counter()
    for frame in session.updates:
        take(frame)
    taken = time.perf_counter() - started
    assert not lost, lost[0]
    return taken


def cryptofeed(case: Case, session: Session, call: Any) -> float:
    import peer_cryptofeed

    logging.getLogger("feedhandler").setLevel(logging.ERROR)
    peer = peer_cryptofeed.CryptofeedFeed(case.exchange.name.lower(), case.natives, call, books=True)
    try:
        peer.feed([frame.decode() for frame in session.first])
        if session.rest:
            peer.load(case.native, session.rest)
        texts = [frame.decode() for frame in session.updates]
        started = time.perf_counter()
        peer.feed(texts)
        return time.perf_counter() - started
    finally:
        peer.close()


def ccxt(case: Case, session: Session, call: Callable[[Any], Any]) -> float:
    import peer_ccxt

    assert case.ccxt_hash is not None
    peer = peer_ccxt.CcxtFeed(case.exchange.name.lower(), case.natives, call)
    try:
        peer.feed([frame.decode() for frame in session.first], case.ccxt_hash)
        if session.rest:
            peer.load(case.ccxt_hash.partition("::")[2], session.rest)
        texts = [frame.decode() for frame in session.updates]
        started = time.perf_counter()
        peer.feed(texts, case.ccxt_hash)
        return time.perf_counter() - started
    finally:
        peer.close()


def nautilus(case: Case, session: Session, call: Callable[[Any], Any]) -> float:
    import peer_nautilus

    peer = peer_nautilus.BinanceFeed([case.native], call, future=case.exchange is Exchange.BINANCE_FUTURE)
    try:
        started = time.perf_counter()
        peer.feed(session.updates)
        return time.perf_counter() - started
    finally:
        peer.close()


def tops_of_cryptofeed(case: Case, session: Session) -> list[Top]:
    tops: list[Top] = []

    async def take(book: Any, received: float) -> None:
        tops.append((float(book.book.bids.index(0)[0]), float(book.book.asks.index(0)[0])))

    cryptofeed(case, session, take)
    return tops[1:]  # the first is that of the snapshot


def tops_of_ccxt(case: Case, session: Session) -> list[Top]:
    tops: list[Top] = []
    ccxt(case, session, lambda book: tops.append((book["bids"][0][0], book["asks"][0][0])))
    return tops[len(session.first) :]


def changes_of_nautilus(case: Case, session: Session) -> list[tuple[float, float]]:
    deltas: list[Any] = []
    nautilus(case, session, lambda update: deltas.extend(update.deltas))
    return [(float(delta.order.price.as_decimal()), float(delta.order.size.as_decimal())) for delta in deltas]


@pytest.mark.parametrize("name", CASES)
def test_update_to_callback(versus, name):
    case = CASES[name]
    session = written(case.make, case.levels, 200 if versus.quick else UPDATES)
    versus.leave_out({
        "cryptofeed, Coinbase Advanced l2_data": "its snapshots have no asks: it looks for ask, the venue writes offer",
        "cryptofeed, Kraken v2": "it speaks WebSocket v1 alone",
        "ccxt.pro, Kraken v1": "it speaks WebSocket v2 alone",
        "nautilus_trader but for Binance": "its other venues' clients parse in Rust, behind their own sockets",
    })  # fmt: skip
    tops: list[Top] = []
    ours(case, session, lambda snapshot: tops.append((snapshot.bidPrice, snapshot.askPrice)))
    assert len(tops) == len(session.updates)
    peers: dict[str, Callable[[], float]] = {}
    if case.cryptofeed and versus.peer("cryptofeed"):
        assert tops_of_cryptofeed(case, session) == tops
        peers["cryptofeed"] = lambda: cryptofeed(case, session, ignore_async)
    if case.ccxt_hash is not None and versus.peer("ccxt.pro"):
        assert tops_of_ccxt(case, session) == tops
        peers["ccxt.pro"] = lambda: ccxt(case, session, ignore)
    if case.nautilus and versus.peer("nautilus_trader"):
        wanted = [json.loads(frame)["data"] for frame in session.updates]
        levels = [(float(price), float(volume)) for data in wanted for side in "ba" for price, volume in data[side]]
        assert changes_of_nautilus(case, session) == levels
        peers["nautilus_trader"] = lambda: nautilus(case, session, ignore)
    versus("T6", f"update → callback, {name}", operations=len(session.updates),
           ours=lambda: ours(case, session, ignore), peers=peers)  # fmt: skip
