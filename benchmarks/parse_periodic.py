"""The kinds of frames that come by the clock, klines and funding, which parsing is measured on; see parse_kinds.py."""

import datetime
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from parse_derivatives import OkxArgument, wrapped
from parse_kinds import Kind, Row, ns_of, ns_of_ms, ns_of_text

from hftcore.enums import Exchange
from hftcore.kline import Kline

MS = 1_000_000


class BinanceCandle(msgspec.Struct, gc=False):
    t: int
    o: float
    c: float
    h: float
    l: float  # noqa: E741 (the venue's own name)
    v: float
    n: int
    x: bool
    q: float


class BinanceKline(msgspec.Struct, gc=False):
    E: int
    s: str
    k: BinanceCandle


class CombinedKline(msgspec.Struct, gc=False):
    data: BinanceKline

    def rows(self) -> list[Row]:
        d, k = self.data, self.data.k
        return [(d.s, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.x, ns_of_ms(k.t), ns_of_ms(d.E))]


class OkxCandle(msgspec.Struct, array_like=True, gc=False):
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    in_currency: float
    in_quote: float | None = None
    confirm: str = "0"


class OkxCandles(msgspec.Struct, gc=False):
    arg: OkxArgument
    data: list[OkxCandle]

    def rows(self) -> list[Row]:
        return [
            (self.arg.instId, e.open, e.high, e.low, e.close, e.volume, e.in_quote, -1, e.confirm == "1", e.ts * MS, 0)
            for e in self.data
        ]


class KrakenCandle(msgspec.Struct, gc=False):
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    interval_begin: datetime.datetime


class KrakenCandles(msgspec.Struct, gc=False):
    timestamp: datetime.datetime
    data: list[KrakenCandle]

    def rows(self) -> list[Row]:
        return [
            (e.symbol, e.open, e.high, e.low, e.close, e.volume, None, e.trades, False, ns_of(e.interval_begin),
             ns_of(self.timestamp))
            for e in self.data
        ]  # fmt: skip


class AdvancedCandle(msgspec.Struct, gc=False):
    start: int
    high: float
    low: float
    open: float
    close: float
    volume: float
    product_id: str


class AdvancedCandleEvent(msgspec.Struct, gc=False):
    candles: list[AdvancedCandle]


class AdvancedCandles(msgspec.Struct, gc=False):
    timestamp: datetime.datetime
    events: list[AdvancedCandleEvent]

    def rows(self) -> list[Row]:
        return [
            (e.product_id, e.open, e.high, e.low, e.close, e.volume, None, -1, False, e.start * 10**9,
             ns_of(self.timestamp))
            for event in self.events for e in event.candles
        ]  # fmt: skip


class MarkPrice(msgspec.Struct, gc=False):
    E: int
    s: str
    p: float
    i: float
    r: float
    T: int


class CombinedMarkPrice(msgspec.Struct, gc=False):
    data: MarkPrice

    def rows(self) -> list[Row]:
        d = self.data
        return [(d.s, d.p, d.i, d.r, ns_of_ms(d.T), 0, ns_of_ms(d.E))]


class OkxFunding(msgspec.Struct, gc=False):
    instId: str
    fundingRate: float
    fundingTime: int
    nextFundingTime: int
    ts: int


class OkxFundings(msgspec.Struct, gc=False):
    data: list[OkxFunding]

    def rows(self) -> list[Row]:
        return [
            (e.instId, None, None, e.fundingRate, e.fundingTime * MS, e.nextFundingTime * MS, e.ts * MS)
            for e in self.data
        ]


class OkxMark(msgspec.Struct, gc=False):
    instId: str
    markPx: float
    ts: int


class OkxMarks(msgspec.Struct, gc=False):
    data: list[OkxMark]

    def rows(self) -> list[Row]:
        return [(e.instId, e.markPx, None, None, 0, 0, e.ts * MS) for e in self.data]


# What the orjson side makes.
@dataclass(slots=True)
class PlainKline:
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None
    trades: int
    closed: bool
    opened: int
    time: int


@dataclass(slots=True)
class PlainFunding:
    symbol: str
    mark: float | None
    index: float | None
    rate: float | None
    due: int
    next_due: int
    time: int


def plain_binance_kline(frame: bytes) -> list[PlainKline]:
    d = orjson.loads(frame)["data"]
    k = d["k"]
    return [
        PlainKline(
            d["s"], float(k["o"]), float(k["h"]), float(k["l"]), float(k["c"]), float(k["v"]), float(k["q"]), k["n"],
            k["x"], ns_of_ms(k["t"]), ns_of_ms(d["E"]),
        )
    ]  # fmt: skip


def plain_okx_candle(frame: bytes) -> list[PlainKline]:
    message = orjson.loads(frame)
    name = message["arg"]["instId"]
    return [
        PlainKline(
            name, *map(float, e[1:6]), float(e[7]) if len(e) > 7 else None, -1, len(e) > 8 and e[8] == "1",
            int(e[0]) * MS, 0,
        )
        for e in message["data"]
    ]  # fmt: skip


def plain_kraken_candle(frame: bytes) -> list[PlainKline]:
    message = orjson.loads(frame)
    ns = ns_of_text(message["timestamp"])
    return [
        PlainKline(
            e["symbol"], float(e["open"]), float(e["high"]), float(e["low"]), float(e["close"]), float(e["volume"]),
            None, e["trades"], False, ns_of_text(e["interval_begin"]), ns,
        )
        for e in message["data"]
    ]  # fmt: skip


def plain_advanced_candle(frame: bytes) -> list[PlainKline]:
    message = orjson.loads(frame)
    ns = ns_of_text(message["timestamp"])
    return [
        PlainKline(
            e["product_id"], float(e["open"]), float(e["high"]), float(e["low"]), float(e["close"]),
            float(e["volume"]), None, -1, False, int(e["start"]) * 10**9, ns,
        )
        for event in message["events"] for e in event["candles"]
    ]  # fmt: skip


def plain_mark_price(frame: bytes) -> list[PlainFunding]:
    d = orjson.loads(frame)["data"]
    numbers = float(d["p"]), float(d["i"]), float(d["r"])
    return [PlainFunding(d["s"], *numbers, ns_of_ms(d["T"]), 0, ns_of_ms(d["E"]))]


def plain_okx_funding(frame: bytes) -> list[PlainFunding]:
    return [
        PlainFunding(
            e["instId"], None, None, float(e["fundingRate"]), int(e["fundingTime"]) * MS,
            int(e["nextFundingTime"]) * MS, int(e["ts"]) * MS,
        )
        for e in orjson.loads(frame)["data"]
    ]  # fmt: skip


def plain_okx_mark(frame: bytes) -> list[PlainFunding]:
    return [
        PlainFunding(e["instId"], float(e["markPx"]), None, None, 0, 0, int(e["ts"]) * MS)
        for e in orjson.loads(frame)["data"]
    ]


SPELLINGS = {
    Exchange.BINANCE: "{}{}", Exchange.BINANCE_FUTURE: "{}{}", Exchange.OKX: "{}-{}", Exchange.OKX_SWAP: "{}-{}-SWAP",
    Exchange.KRAKEN: "{}/{}", Exchange.COINBASE: "{}-{}",
}  # fmt: skip


def periodic_rows(exchange: Exchange, events: list[Kline | dict[str, Any]]) -> list[Row]:
    """What our parser read, as the rows of the others, with the venue's names."""
    rows: list[Row] = []
    for event in events:
        pair = event.symbol if isinstance(event, Kline) else event["symbol"]
        native = SPELLINGS[exchange].format(pair.base, pair.quote).upper()
        if isinstance(event, Kline):
            prices = (event.open, event.high, event.low, event.close, event.volume)
            quote_volume = None if math.isnan(event.quoteVolume) else event.quoteVolume
            rows.append((native, *prices, quote_volume, event.tradeCount, event.closed, event.openTimeNs,
                         event.exchangeTimeNs))  # fmt: skip
        else:
            numbers = map(event.get, ("markPrice", "indexPrice", "rate"))
            times = (event.get(name, 0) for name in ("fundingTimeNs", "nextFundingTimeNs", "exchangeTimeNs"))
            rows.append((native, *numbers, *times))
    return rows


KLINE = (
    b'{"e":"kline","E":1633998523963,"s":"NKNUSDT","k":{"t":1633998480000,"T":1633998539999,"s":"NKNUSDT","i":"1m",'
    b'"f":19862761,"L":19862790,"o":"0.35270000","c":"0.35280000","h":"0.35280000","l":"0.35220000",'
    b'"v":"25877.00000000","n":30,"x":false,"q":"9116.04600000","V":"58.00000000","Q":"20.46240000","B":"0"}}'
)
OKX_CANDLE = (
    b'{"arg":{"channel":"candle1m","instId":"%s"},"data":[["1654154580000","29930.7","29936.3","29930.7","29936.3",'
    b'"0.0111536","333.86246417","333.86246417","0"]]}'
)
OHLC = (
    b'{"channel":"ohlc","type":"update","timestamp":"2026-08-12T19:28:44.084233010Z","data":[{"symbol":"BTC/USD",'
    b'"open":63301.6,"high":63301.6,"low":63297.7,"close":63297.7,"trades":27,"volume":0.04121249,"vwap":63298.2,'
    b'"interval_begin":"2026-08-12T19:28:00.000000000Z","interval":1,"timestamp":"2026-08-12T19:29:00.000000Z"}]}'
)
ADVANCED_CANDLE = (
    b'{"channel":"candles","timestamp":"2026-08-09T21:05:51.491081826Z","sequence_num":138,"events":[{"type":"update",'
    b'"candles":[{"start":"1786309500","high":"1919.6","low":"1919.27","open":"1919.58","close":"1919.41",'
    b'"volume":"36.36630914","product_id":"ETH-USD"}]}]}'
)
MARK_PRICE = (
    b'{"e":"markPriceUpdate","E":1789964484000,"s":"BTCUSDT","p":"81219.20000000","ap":"81219.20000000",'
    b'"P":"81366.10141969","i":"81260.37847826","r":"0.00008574","T":1789977600000,"st":1}'
)
FUNDING = (
    b'{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"formulaType":"withRate","fundingRate":'
    b'"0.0000252378080097","fundingTime":"1790784000000","instId":"BTC-USDT-SWAP","instType":"SWAP","maxFundingRate":'
    b'"0.00375","method":"current_period","minFundingRate":"-0.00375","nextFundingRate":"","nextFundingTime":'
    b'"1790812800000","premium":"-0.0005333853474351","settFundingRate":"0.0000337200721784","settState":"settled",'
    b'"ts":"1790757122992"}]}'
)
MARK = (
    b'{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP",'
    b'"markPx":"83003.8","ts":"1790757203016"}]}'
)
COMBINED_KLINE = rb'\{"stream":"[a-z0-9]*@kline_\d+[a-z]"'
# As the venue writes them since 2022.
NINE_COLUMNS = rb'\{"arg":\{"channel":"candle[^\[]*\[\[("[^"]*",){8}"[01]"\]'
PERIODIC = (
    Kind("Binance kline", Exchange.BINANCE, ("binance_spot/kline.*",), COMBINED_KLINE,
         (wrapped(b"nknusdt@kline_1m", KLINE),), CombinedKline, plain_binance_kline),
    Kind("Binance USD-M kline", Exchange.BINANCE_FUTURE, ("binance_usdm/kline.*",), COMBINED_KLINE,
         (wrapped(b"nknusdt@kline_1m", KLINE),), CombinedKline, plain_binance_kline),
    Kind("OKX candle", Exchange.OKX, ("okx_spot/candle.*",), NINE_COLUMNS,
         (OKX_CANDLE % b"BTC-USDT",), OkxCandles, plain_okx_candle),
    Kind("OKX swap candle", Exchange.OKX_SWAP, ("okx_swap/candle.*",), NINE_COLUMNS,
         (OKX_CANDLE % b"BTC-USDT-SWAP",), OkxCandles, plain_okx_candle),
    Kind("Kraken v2 ohlc", Exchange.KRAKEN, ("kraken/v2_ohlc.*",),
         rb'\{"channel":"ohlc","type":"update".*"open".*"interval_begin"', (OHLC,), KrakenCandles, plain_kraken_candle),
    Kind("Coinbase Advanced candles", Exchange.COINBASE, ("coinbase/adv_candle.*",),
         rb'\{"channel":"candles".*"type":"update"', (ADVANCED_CANDLE,), AdvancedCandles, plain_advanced_candle),
    Kind("Binance USD-M markPrice", Exchange.BINANCE_FUTURE, ("binance_usdm/markprice.*",),
         rb'\{"stream":"[^"]*@markPrice.*"i":"', (wrapped(b"btcusdt@markPrice@1s", MARK_PRICE),), CombinedMarkPrice,
         plain_mark_price),
    Kind("OKX swap funding-rate", Exchange.OKX_SWAP, ("okx_swap/funding.*",), rb'.*"nextFundingRate":"",.*"ts"',
         (FUNDING,), OkxFundings, plain_okx_funding),
    Kind("OKX swap mark-price", Exchange.OKX_SWAP, ("okx_swap/markprice.*",), rb'\{"arg":\{"channel":"mark-price"',
         (MARK,), OkxMarks, plain_okx_mark),
)  # fmt: skip
