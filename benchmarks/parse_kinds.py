"""The kinds of frames that parsing is measured on: what they look like, and how each side reads them.

Frames are recorded ones where HFTPY_FIXTURES names a folder of them, else hand-written ones of the same shapes. All
sides read the fields of a Ticker or Trade and no others.
"""

import datetime
import gzip
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from hftcore.enums import Exchange, Side
from hftcore.types import Ticker, Trade

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
FRAMES = 1000
Row = tuple[object, ...]


def ns_of(moment: datetime.datetime | None) -> int:
    return 0 if moment is None else (moment - EPOCH) // datetime.timedelta(microseconds=1) * 1000


def ns_of_ms(number: int) -> int:
    return number * (1000 if number >= 10**15 else 10**6)


# What msgspec is told to read. gc=False is its fastest way to make an object.
class BookTicker(msgspec.Struct, gc=False):
    u: int
    s: str
    b: float
    B: float
    a: float
    A: float

    def rows(self) -> list[Row]:
        return [(self.s, self.b, self.B, self.a, self.A, self.u, 0)]


class BinanceTrade(msgspec.Struct, gc=False):
    E: int
    s: str
    t: int
    p: float
    q: float
    T: int
    m: bool

    def rows(self) -> list[Row]:
        return [(self.s, self.p, self.q, not self.m, self.t, ns_of_ms(self.T), ns_of_ms(self.E))]


class AggTrade(msgspec.Struct, gc=False):
    E: int
    s: str
    a: int
    p: float
    q: float
    T: int
    m: bool

    def rows(self) -> list[Row]:
        return [(self.s, self.p, self.q, not self.m, self.a, ns_of_ms(self.T), ns_of_ms(self.E))]


class CombinedBookTicker(msgspec.Struct, gc=False):
    data: BookTicker

    def rows(self) -> list[Row]:
        return self.data.rows()


class CombinedTrade(msgspec.Struct, gc=False):
    data: BinanceTrade

    def rows(self) -> list[Row]:
        return self.data.rows()


class CombinedAggTrade(msgspec.Struct, gc=False):
    data: AggTrade

    def rows(self) -> list[Row]:
        return self.data.rows()


class TickerEntry(msgspec.Struct, gc=False):
    symbol: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    timestamp: datetime.datetime | None = None


class KrakenTickers(msgspec.Struct, gc=False):
    channel: str
    type: str
    data: list[TickerEntry]

    def rows(self) -> list[Row]:
        return [(e.symbol, e.bid, e.bid_qty, e.ask, e.ask_qty, 0, ns_of(e.timestamp)) for e in self.data]


class TradeEntry(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: float
    qty: float
    trade_id: int
    timestamp: datetime.datetime


class KrakenTrades(msgspec.Struct, gc=False):
    channel: str
    type: str
    data: list[TradeEntry]

    def rows(self) -> list[Row]:
        return [
            (e.symbol, e.price, e.qty, e.side == "buy", e.trade_id, ns_of(e.timestamp), ns_of(e.timestamp))
            for e in self.data
        ]


class Levels(msgspec.Struct, gc=False):
    a: tuple[float, float, float]
    b: tuple[float, float, float]


class KrakenTickerV1(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    payload: Levels
    channel: str
    pair: str

    def rows(self) -> list[Row]:
        a, b = self.payload.a, self.payload.b
        return [(self.pair, b[0], b[2], a[0], a[2], 0, 0)]


class TradeV1(msgspec.Struct, array_like=True, gc=False):
    price: float
    volume: float
    time: float
    side: str


class KrakenTradesV1(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    payload: list[TradeV1]
    channel: str
    pair: str

    def rows(self) -> list[Row]:
        return [
            (self.pair, e.price, e.volume, e.side == "b", 0, round(e.time * 1e6) * 1000, round(e.time * 1e6) * 1000)
            for e in self.payload
        ]


# The objects that the orjson side makes.
@dataclass(slots=True)
class PlainTicker:
    symbol: str
    bid: float
    bid_volume: float
    ask: float
    ask_volume: float
    seq: int
    time: int


@dataclass(slots=True)
class PlainTrade:
    symbol: str
    price: float
    volume: float
    is_buy: bool
    trade_id: int
    time: int
    published: int


def ns_of_text(text: str | None) -> int:
    return 0 if text is None else ns_of(datetime.datetime.fromisoformat(text))


def plain_book_ticker(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    d = message.get("data", message)
    return [PlainTicker(d["s"], float(d["b"]), float(d["B"]), float(d["a"]), float(d["A"]), d["u"], 0)]


def plain_trade(frame: bytes) -> list[PlainTrade]:
    message = orjson.loads(frame)
    d = message.get("data", message)
    number = d["t"] if d["e"] == "trade" else d["a"]
    return [
        PlainTrade(d["s"], float(d["p"]), float(d["q"]), not d["m"], number, ns_of_ms(d["T"]), ns_of_ms(d["E"]))
    ]  # fmt: skip


def plain_kraken_ticker(frame: bytes) -> list[PlainTicker]:
    return [
        PlainTicker(
            e["symbol"], float(e["bid"]), float(e["bid_qty"]), float(e["ask"]), float(e["ask_qty"]), 0,
            ns_of_text(e.get("timestamp")),
        )
        for e in orjson.loads(frame)["data"]
    ]  # fmt: skip


def plain_kraken_trade(frame: bytes) -> list[PlainTrade]:
    trades = []
    for e in orjson.loads(frame)["data"]:
        ns = ns_of_text(e["timestamp"])
        trades.append(
            PlainTrade(e["symbol"], float(e["price"]), float(e["qty"]), e["side"] == "buy", e["trade_id"], ns, ns)
        )
    return trades


def plain_kraken_ticker_v1(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    a, b = message[1]["a"], message[1]["b"]
    return [PlainTicker(message[3], float(b[0]), float(b[2]), float(a[0]), float(a[2]), 0, 0)]


def plain_kraken_trade_v1(frame: bytes) -> list[PlainTrade]:
    message = orjson.loads(frame)
    trades = []
    for price, volume, time, side, *_ in message[1]:
        ns = round(float(time) * 1e6) * 1000
        trades.append(PlainTrade(message[3], float(price), float(volume), side == "b", 0, ns, ns))
    return trades


@dataclass(frozen=True)
class Kind:
    """One shape of frame: where recorded ones lie, what they look like, and how each side reads them."""

    name: str
    exchange: Exchange
    files: tuple[str, ...]
    pattern: bytes
    written: tuple[bytes, ...]
    struct: Any
    plain: Callable[[bytes], list[Any]]


BOOK_TICKER = b'{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000","a":"250.36520000","A":"40.66000000"}'
TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000","T":1672515782135,'
    b'"m":true,"M":true}'
)
AGG_TRADE = (
    b'{"e":"aggTrade","E":1675759520848,"s":"ETHUSDT","a":226532,"p":"1632.46000000","q":"0.34305000","f":228423,'
    b'"l":228423,"T":1675759520847,"m":false,"M":true}'
)
TICKER_V2 = (
    b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.1,"bid_qty":0.25000000,"ask":64001.2,'
    b'"ask_qty":1.50000000,"last":64001.1,"volume":12.50000000,"vwap":63990.1,"low":63000.0,"high":65000.0,'
    b'"change":-12.5,"change_pct":-0.02%s}]}'
)
TRADE_V2 = (
    b'{"symbol":"SOL/EUR","side":"buy","price":150.25,"qty":2.00000000,"ord_type":"limit","trade_id":77,'
    b'"timestamp":"2026-03-01T12:30:45.123456Z"}'
)
TICKER_V1 = (
    b'[340,{"a":["30001.50000",12,"12.41000000"],"b":["30001.40000",0,"0.08000000"],"c":["30001.50000","0.10000000"],'
    b'"v":["1.00000000","2.00000000"],"p":["30000.10000","30000.20000"],"t":[5,6],"l":["29000.00000","29000.00000"],'
    b'"h":["31000.00000","31000.00000"],"o":["30500.00000","30400.00000"]},"ticker","XBT/USD"]'
)
TRADES_V1 = (
    b'[119,[["0.07000","10.50000000","1616333924.737428","b","m",""],["0.08000","1.00000000","1616333925.123456","s",'
    b'"l",""]],"trade","ETH/XBT"]'
)
BINANCE_FOLDERS = ("binance_spot", "binance_us")
KINDS = (
    Kind("Binance bookTicker, combined", Exchange.BINANCE, tuple(f"{f}/bookticker*" for f in BINANCE_FOLDERS),
         rb'\{"stream"', (b'{"stream":"bnbusdt@bookTicker","data":' + BOOK_TICKER + b"}",),
         CombinedBookTicker, plain_book_ticker),
    Kind("Binance bookTicker, single", Exchange.BINANCE, ("binance_spot/bookticker*",), rb'\{"u"', (BOOK_TICKER,),
         BookTicker, plain_book_ticker),
    Kind("Binance trade, combined", Exchange.BINANCE, ("binance_spot/trade*",), rb'\{"stream".*"p".*"m"',
         (b'{"stream":"bnbbtc@trade","data":' + TRADE + b"}",), CombinedTrade, plain_trade),
    Kind("Binance aggTrade, combined", Exchange.BINANCE, tuple(f"{f}/aggtrade*" for f in BINANCE_FOLDERS),
         rb'\{"stream".*"p".*"m"', (b'{"stream":"ethusdt@aggTrade","data":' + AGG_TRADE + b"}",),
         CombinedAggTrade, plain_trade),
    Kind("Kraken v2 ticker", Exchange.KRAKEN, ("kraken/v2_ticker*",), rb'.*"change_pct"',
         (TICKER_V2 % b"", TICKER_V2 % b',"trades":5,"timestamp":"2026-03-01T12:30:45.123456Z"'),
         KrakenTickers, plain_kraken_ticker),
    Kind("Kraken v2 trade", Exchange.KRAKEN, ("kraken/v2_trade*",), rb'.*"timestamp"',
         tuple(b'{"channel":"trade","type":"update","data":[' + b",".join([TRADE_V2] * n) + b"]}" for n in (1, 2)),
         KrakenTrades, plain_kraken_trade),
    Kind("Kraken v1 ticker", Exchange.KRAKEN, ("kraken/v1_ticker*",), rb'.*"a"', (TICKER_V1,),
         KrakenTickerV1, plain_kraken_ticker_v1),
    Kind("Kraken v1 trade", Exchange.KRAKEN, ("kraken/v1_trade*",), rb'\[\d+,\[\[', (TRADES_V1,),
         KrakenTradesV1, plain_kraken_trade_v1),
)  # fmt: skip


def lines_of(path: Path) -> Iterable[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def frames_of(kind: Kind) -> list[bytes]:
    """`FRAMES` frames of the kind: the recorded ones, over and over where there are fewer."""
    folder = os.environ.get("HFTPY_FIXTURES")
    frames: list[bytes] = []
    if folder is not None:
        paths = [path for pattern in kind.files for path in sorted((Path(folder) / "real").glob(pattern))]
        matching = (line for path in paths for line in lines_of(path) if re.match(kind.pattern, line))
        frames = list(islice(matching, FRAMES))
    frames = frames or list(kind.written)
    return (frames * (FRAMES // len(frames) + 1))[:FRAMES]


def rows_of(events: list[Ticker | Trade], natives: list[str]) -> list[Row]:
    rows: list[Row] = []
    for event, native in zip(events, natives, strict=True):
        if isinstance(event, Ticker):
            prices = (event.bidPrice, event.bidVolume, event.askPrice, event.askVolume)
            rows.append((native, *prices, event.seq, event.exchangeTimeNs))
        else:
            times = (event.tradeTimeNs, event.exchangeTimeNs)
            rows.append((native, event.price, event.volume, event.side is Side.BUY, event.tradeId, *times))
    return rows


def plain_rows(events: list[PlainTicker | PlainTrade]) -> list[Row]:
    return [tuple(getattr(event, name) for name in event.__slots__) for event in events]


def same(rows: list[Row], others: list[Row]) -> bool:
    """Whether two sides read alike: times to the microsecond, which is all a datetime holds, the rest exactly."""
    if len(rows) != len(others):
        return False
    for row, other in zip(rows, others, strict=True):
        exact = 5 if isinstance(row[3], bool) else len(row) - 1  # a trade has two times, the others one
        times = zip(row[exact:], other[exact:], strict=True)
        if row[:exact] != other[:exact] or any(abs(int(a) - int(b)) >= 1000 for a, b in times):  # type: ignore[call-overload]
            return False
    return True
