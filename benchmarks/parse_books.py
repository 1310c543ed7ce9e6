"""The kinds of order book updates that parsing is measured on: all sides read symbol, levels, numbers, checksum, time.

Ours keeps the venue's own digits (what checksums need), the peers make floats, which is the least work for them.
"""

import datetime
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from parse_derivatives import OkxArgument, wrapped
from parse_kinds import Kind, Row, ns_of, ns_of_ms, ns_of_text

from hftcore.book_parse import BookUpdate
from hftcore.enums import Exchange

Levels = list[tuple[float, float]]


class Level(msgspec.Struct, array_like=True, gc=False):
    price: float
    size: float


class NamedLevel(msgspec.Struct, gc=False):
    price: float
    qty: float


def pairs(levels: list[Level]) -> Levels:
    return [(level.price, level.size) for level in levels]


def named_pairs(levels: list[NamedLevel]) -> Levels:
    return [(level.price, level.qty) for level in levels]


class Depth(msgspec.Struct, gc=False):
    E: int
    s: str
    U: int
    u: int
    b: list[Level]
    a: list[Level]
    pu: int | None = None


class CombinedDepth(msgspec.Struct, gc=False):
    data: Depth

    def rows(self) -> list[Row]:
        d = self.data
        return [(d.s, pairs(d.b), pairs(d.a), (d.U, d.u, d.pu, None), ns_of_ms(d.E))]


class SideV1(msgspec.Struct, array_like=True, gc=False):
    price: float
    volume: float
    time: float


class PayloadV1(msgspec.Struct, gc=False):
    c: int | None = None
    b: list[SideV1] = []
    a: list[SideV1] = []


class BookV1(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    payload: PayloadV1
    channel: str
    pair: str

    def rows(self) -> list[Row]:
        p = self.payload
        ns = max(round(level.time * 1e6) * 1000 for level in [*p.a, *p.b])
        sides = [[(level.price, level.volume) for level in side] for side in (p.b, p.a)]
        return [(self.pair, *sides, (None, None, None, p.c), ns)]


class BookV2(msgspec.Struct, gc=False):
    symbol: str
    bids: list[NamedLevel]
    asks: list[NamedLevel]
    checksum: int | None = None
    timestamp: datetime.datetime | None = None


class BooksV2(msgspec.Struct, gc=False):
    data: list[BookV2]

    def rows(self) -> list[Row]:
        return [
            (e.symbol, named_pairs(e.bids), named_pairs(e.asks), (None, None, None, e.checksum), ns_of(e.timestamp))
            for e in self.data
        ]


class OkxBook(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: int
    checksum: int = 0
    prevSeqId: int = -1
    seqId: int | None = None


def okx_numbers(last: int | None, previous: int, checksum: int) -> Row:
    return (last, last, None if previous < 0 else previous, checksum or None)


class OkxBooks(msgspec.Struct, gc=False):
    arg: OkxArgument
    data: list[OkxBook]

    def rows(self) -> list[Row]:
        return [
            (self.arg.instId, pairs(e.bids), pairs(e.asks), okx_numbers(e.seqId, e.prevSeqId, e.checksum),
             e.ts * 1_000_000)
            for e in self.data
        ]  # fmt: skip


class AdvancedLevel(msgspec.Struct, gc=False):
    side: str
    price_level: float
    new_quantity: float


class AdvancedBookEvent(msgspec.Struct, gc=False):
    product_id: str
    updates: list[AdvancedLevel]


class AdvancedBooks(msgspec.Struct, gc=False):
    timestamp: datetime.datetime
    sequence_num: int
    events: list[AdvancedBookEvent]

    def rows(self) -> list[Row]:
        return [
            (event.product_id,
             *([(e.price_level, e.new_quantity) for e in event.updates if (e.side == "bid") is bid]
               for bid in (True, False)),
             (self.sequence_num, self.sequence_num, None, None), ns_of(self.timestamp))
            for event in self.events
        ]  # fmt: skip


class ExchangeChange(msgspec.Struct, array_like=True, gc=False):
    side: str
    price: float
    size: float


class ExchangeBook(msgspec.Struct, gc=False):
    product_id: str
    changes: list[ExchangeChange]
    time: datetime.datetime

    def rows(self) -> list[Row]:
        sides = [[(c.price, c.size) for c in self.changes if c.side == side] for side in ("buy", "sell")]
        return [(self.product_id, *sides, (None, None, None, None), ns_of(self.time))]


class FuturesLevel(msgspec.Struct, gc=False):
    product_id: str
    side: str
    seq: int
    price: float
    qty: float
    timestamp: int

    def rows(self) -> list[Row]:
        level = [(self.price, self.qty)]
        sides = (level, []) if self.side == "buy" else ([], level)
        return [(self.product_id, *sides, (self.seq, self.seq, None, None), self.timestamp * 1_000_000)]


# What the orjson side makes.
@dataclass(slots=True)
class PlainBook:
    symbol: str
    bids: Levels
    asks: Levels
    numbers: Row
    time: int


def floats(levels: list[Any]) -> Levels:
    return [(float(level[0]), float(level[1])) for level in levels]


def plain_depth(frame: bytes) -> list[PlainBook]:
    d = orjson.loads(frame)["data"]
    return [PlainBook(d["s"], floats(d["b"]), floats(d["a"]), (d["U"], d["u"], d.get("pu"), None), ns_of_ms(d["E"]))]


def plain_book_v1(frame: bytes) -> list[PlainBook]:
    _, payload, _, pair = orjson.loads(frame)
    bids, asks, checksum = payload.get("b", []), payload.get("a", []), payload.get("c")
    ns = max(round(float(level[2]) * 1e6) * 1000 for level in [*asks, *bids])
    numbers = (None, None, None, None if checksum is None else int(checksum))
    return [PlainBook(pair, floats(bids), floats(asks), numbers, ns)]


def plain_book_v2(frame: bytes) -> list[PlainBook]:
    return [
        PlainBook(
            e["symbol"], *([(float(level["price"]), float(level["qty"])) for level in e[side]]
                           for side in ("bids", "asks")),
            (None, None, None, e.get("checksum")), ns_of_text(e.get("timestamp")),
        )
        for e in orjson.loads(frame)["data"]
    ]  # fmt: skip


def plain_okx_book(frame: bytes) -> list[PlainBook]:
    message = orjson.loads(frame)
    name = message["arg"]["instId"]
    return [
        PlainBook(
            name, floats(e["bids"]), floats(e["asks"]),
            okx_numbers(e.get("seqId"), e.get("prevSeqId", -1), e.get("checksum", 0)), int(e["ts"]) * 1_000_000,
        )
        for e in message["data"]
    ]  # fmt: skip


def plain_advanced_book(frame: bytes) -> list[PlainBook]:
    message = orjson.loads(frame)
    number, ns, books = message["sequence_num"], ns_of_text(message["timestamp"]), []
    for event in message["events"]:
        bids: Levels = []
        asks: Levels = []
        for e in event["updates"]:
            side = bids if e["side"] == "bid" else asks
            side.append((float(e["price_level"]), float(e["new_quantity"])))
        books.append(PlainBook(event["product_id"], bids, asks, (number, number, None, None), ns))
    return books


def plain_exchange_book(frame: bytes) -> list[PlainBook]:
    d = orjson.loads(frame)
    bids: Levels = []
    asks: Levels = []
    for side, price, size in d["changes"]:
        (bids if side == "buy" else asks).append((float(price), float(size)))
    return [PlainBook(d["product_id"], bids, asks, (None, None, None, None), ns_of_text(d["time"]))]


def plain_futures_book(frame: bytes) -> list[PlainBook]:
    d = orjson.loads(frame)
    level, seq = [(float(d["price"]), float(d["qty"]))], d["seq"]
    bids, asks = (level, []) if d["side"] == "buy" else ([], level)
    return [PlainBook(d["product_id"], bids, asks, (seq, seq, None, None), d["timestamp"] * 1_000_000)]


def book_rows(updates: list[BookUpdate]) -> list[Row]:
    """What our parser read, as the rows of the others."""
    return [
        (u.native, *([(float(price), float(size)) for price, size in side] for side in (u.bids, u.asks)),
         (u.firstSeq, u.lastSeq, u.prevSeq, u.checksum), u.exchangeTimeNs)
        for u in updates
    ]  # fmt: skip


DEPTH = (
    b'{"e":"depthUpdate","E":1617647603573,%s"s":"QTUMETH","U":242766509,"u":242766510,%s"b":[["0.00536100",'
    b'"92.33000000"],["0.00534200","0.00000000"]],"a":[["0.00536500","1.50000000"]]}'
)
BOOK_V1 = b'[3824,{"%s":[["0.003001300","0.00000000","1617666423.843081"]],"c":"4209657877"},"book-1000","FIL/XBT"]'
BOOK_V2 = (
    b'{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],'
    b'"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
)
OKX_BOOK = (
    b'{"arg":{"channel":"books","instId":"%s"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":'
    b'[["8476.97","256","0","12"],["8475.54","0","0","0"]],"ts":"1597026383085","checksum":-855196043,'
    b'"prevSeqId":123456,"seqId":123457}]}'
)
ADVANCED_BOOK = (
    b'{"channel":"l2_data","timestamp":"2026-08-09T21:05:51.919751474Z","sequence_num":155,"events":[{"type":"update",'
    b'"product_id":"ETH-USD","updates":[{"side":"bid","event_time":"2026-08-09T21:05:51.855692Z","price_level":'
    b'"1679.53","new_quantity":"0.05972024"},{"side":"offer","event_time":"2026-08-09T21:05:51.855692Z",'
    b'"price_level":"1919.01","new_quantity":"0"}]}]}'
)
EXCHANGE_BOOK = (
    b'{"type":"l2update","product_id":"ETH-USD","changes":[["sell","2672.00","14.00000000"],["buy","2671.76",'
    b'"3.70686557"]],"time":"2026-09-30T02:03:13.041505Z"}'
)
FUTURES_BOOK = (
    b'{"feed":"book","product_id":"PI_BCHUSD","side":"buy","seq":16257861,"price":1058.8,"qty":0.0,'
    b'"timestamp":1618678101684}'
)
BOOKS = (
    Kind("Binance depth", Exchange.BINANCE, ("binance_spot/depth.*",), rb'\{"stream":"[^"]*@depth(@\d+ms)?"',
         (wrapped(b"qtumeth@depth", DEPTH % (b"", b"")),), CombinedDepth, plain_depth),
    Kind("Binance USD-M depth", Exchange.BINANCE_FUTURE, ("binance_usdm/depth.*",),
         rb'\{"stream":"[^"]*@depth(@\d+ms)?"',
         (wrapped(b"qtumeth@depth", DEPTH % (b'"T":1617647603570,', b'"pu":242766500,')),), CombinedDepth, plain_depth),
    Kind("Kraken v2 book", Exchange.KRAKEN, ("kraken/v2_book.*",), rb'\{"channel":"book","type":"update".*"timestamp"',
         (BOOK_V2,), BooksV2, plain_book_v2),
    Kind("Kraken v1 book", Exchange.KRAKEN, ("kraken/v1_book.*",), rb'\[\d+,\{"[ab]":\[\[[^{]*\},"book',
         (BOOK_V1 % b"b", BOOK_V1 % b"a"), BookV1, plain_book_v1),
    Kind("OKX books", Exchange.OKX, ("okx_spot/books.*",), rb'\{"arg".*"action":"update"', (OKX_BOOK % b"BTC-USDT",),
         OkxBooks, plain_okx_book),
    Kind("OKX swap books", Exchange.OKX_SWAP, ("okx_swap/books.*",), rb'\{"arg".*"action":"update"',
         (OKX_BOOK % b"BTC-USDT-SWAP",), OkxBooks, plain_okx_book),
    Kind("Coinbase Advanced l2_data", Exchange.COINBASE, ("coinbase/adv_book.*",),
         rb'\{"channel":"l2_data".*"type":"update"', (ADVANCED_BOOK,), AdvancedBooks, plain_advanced_book),
    Kind("Coinbase Exchange l2update", Exchange.COINBASE, ("coinbase/exch_book.*",), rb'\{"type":"l2update".*"time":"2',
         (EXCHANGE_BOOK,), ExchangeBook, plain_exchange_book),
    Kind("Kraken Futures book", Exchange.KRAKEN_FUTURE, ("kraken_futures/book.*",),
         rb'\{"feed":"book","product_id".*"timestamp"', (FUTURES_BOOK,), FuturesLevel, plain_futures_book),
)  # fmt: skip
