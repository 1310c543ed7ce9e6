"""The kinds of frames of OKX, Binance USD-M, Coinbase and Kraken Futures; see parse_kinds.py."""

import datetime
from typing import Any

import msgspec
import orjson
from parse_kinds import (
    CombinedAggTrade,
    CombinedTrade,
    Kind,
    PlainTicker,
    PlainTrade,
    Row,
    ns_of,
    ns_of_ms,
    ns_of_text,
    plain_trade,
)

from hftcore.enums import Exchange


def ns_of_number(text: int) -> int:
    return text * 1_000_000


class OkxTicker(msgspec.Struct, gc=False):
    instId: str
    askPx: float
    askSz: float
    bidPx: float
    bidSz: float
    ts: int


class OkxTickers(msgspec.Struct, gc=False):
    data: list[OkxTicker]

    def rows(self) -> list[Row]:
        return [(e.instId, e.bidPx, e.bidSz, e.askPx, e.askSz, 0, ns_of_number(e.ts)) for e in self.data]


class OkxArgument(msgspec.Struct, gc=False):
    instId: str


class OkxLevel(msgspec.Struct, array_like=True, gc=False):
    price: float
    size: float


class OkxBest(msgspec.Struct, gc=False):
    asks: list[OkxLevel]
    bids: list[OkxLevel]
    ts: int
    seqId: int = 0


class OkxBests(msgspec.Struct, gc=False):
    arg: OkxArgument
    data: list[OkxBest]

    def rows(self) -> list[Row]:
        return [
            (self.arg.instId, e.bids[0].price, e.bids[0].size, e.asks[0].price, e.asks[0].size, e.seqId,
             ns_of_number(e.ts))
            for e in self.data
        ]  # fmt: skip


class OkxTrade(msgspec.Struct, gc=False):
    instId: str
    tradeId: int
    px: float
    sz: float
    side: str
    ts: int


class OkxTrades(msgspec.Struct, gc=False):
    data: list[OkxTrade]

    def rows(self) -> list[Row]:
        return [
            (e.instId, e.px, e.sz, e.side == "buy", e.tradeId, ns_of_number(e.ts), ns_of_number(e.ts))
            for e in self.data
        ]


class FutureBookTicker(msgspec.Struct, gc=False):
    u: int
    s: str
    b: float
    B: float
    a: float
    A: float
    E: int

    def rows(self) -> list[Row]:
        return [(self.s, self.b, self.B, self.a, self.A, self.u, ns_of_ms(self.E))]


class CombinedFutureBookTicker(msgspec.Struct, gc=False):
    data: FutureBookTicker

    def rows(self) -> list[Row]:
        return self.data.rows()


class AdvancedTicker(msgspec.Struct, gc=False):
    product_id: str
    best_bid: float
    best_bid_quantity: float
    best_ask: float
    best_ask_quantity: float


class AdvancedTickerEvent(msgspec.Struct, gc=False):
    tickers: list[AdvancedTicker]


class AdvancedTickers(msgspec.Struct, gc=False):
    timestamp: datetime.datetime
    sequence_num: int
    events: list[AdvancedTickerEvent]

    def rows(self) -> list[Row]:
        return [
            (e.product_id, e.best_bid, e.best_bid_quantity, e.best_ask, e.best_ask_quantity, self.sequence_num,
             ns_of(self.timestamp))
            for event in self.events for e in event.tickers
        ]  # fmt: skip


class AdvancedTrade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: int
    price: float
    size: float
    time: datetime.datetime
    side: str


class AdvancedTradeEvent(msgspec.Struct, gc=False):
    trades: list[AdvancedTrade]


class AdvancedTrades(msgspec.Struct, gc=False):
    timestamp: datetime.datetime
    events: list[AdvancedTradeEvent]

    def rows(self) -> list[Row]:
        # Coinbase tells the maker's side.
        return [
            (e.product_id, e.price, e.size, e.side == "SELL", e.trade_id, ns_of(e.time), ns_of(self.timestamp))
            for event in self.events for e in event.trades
        ]  # fmt: skip


class ExchangeTicker(msgspec.Struct, gc=False):
    sequence: int
    product_id: str
    best_bid: float
    best_bid_size: float
    best_ask: float
    best_ask_size: float
    time: datetime.datetime

    def rows(self) -> list[Row]:
        return [
            (self.product_id, self.best_bid, self.best_bid_size, self.best_ask, self.best_ask_size, self.sequence,
             ns_of(self.time))
        ]  # fmt: skip


class ExchangeMatch(msgspec.Struct, gc=False):
    trade_id: int
    side: str
    size: float
    price: float
    product_id: str
    time: datetime.datetime

    def rows(self) -> list[Row]:
        ns = ns_of(self.time)
        return [(self.product_id, self.price, self.size, self.side == "sell", self.trade_id, ns, ns)]


class KrakenFuturesTicker(msgspec.Struct, gc=False):
    time: int
    product_id: str
    bid: float
    ask: float
    bid_size: float
    ask_size: float

    def rows(self) -> list[Row]:
        return [(self.product_id, self.bid, self.bid_size, self.ask, self.ask_size, 0, ns_of_number(self.time))]


class KrakenFuturesTrade(msgspec.Struct, gc=False):
    product_id: str
    side: str
    time: int
    qty: float
    price: float

    def rows(self) -> list[Row]:
        ns = ns_of_number(self.time)
        return [(self.product_id, self.price, self.qty, self.side == "buy", 0, ns, ns)]


def plain_okx_ticker(frame: bytes) -> list[PlainTicker]:
    return [
        PlainTicker(
            e["instId"], float(e["bidPx"]), float(e["bidSz"]), float(e["askPx"]), float(e["askSz"]), 0,
            ns_of_number(int(e["ts"])),
        )
        for e in orjson.loads(frame)["data"]
    ]  # fmt: skip


def plain_okx_best(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    name = message["arg"]["instId"]
    tickers = []
    for e in message["data"]:
        bid, ask = e["bids"][0], e["asks"][0]
        tickers.append(
            PlainTicker(
                name, float(bid[0]), float(bid[1]), float(ask[0]), float(ask[1]), e.get("seqId", 0),
                ns_of_number(int(e["ts"])),
            )
        )  # fmt: skip
    return tickers


def plain_okx_trade(frame: bytes) -> list[PlainTrade]:
    trades = []
    for e in orjson.loads(frame)["data"]:
        ns = ns_of_number(int(e["ts"]))
        trades.append(
            PlainTrade(e["instId"], float(e["px"]), float(e["sz"]), e["side"] == "buy", int(e["tradeId"]), ns, ns)
        )
    return trades


def plain_future_book_ticker(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    d = message.get("data", message)
    return [
        PlainTicker(d["s"], float(d["b"]), float(d["B"]), float(d["a"]), float(d["A"]), d["u"], ns_of_ms(d["E"]))
    ]  # fmt: skip


def plain_advanced_ticker(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    ns = ns_of_text(message["timestamp"])
    return [
        PlainTicker(
            e["product_id"], float(e["best_bid"]), float(e["best_bid_quantity"]), float(e["best_ask"]),
            float(e["best_ask_quantity"]), message["sequence_num"], ns,
        )
        for event in message["events"] for e in event["tickers"]
    ]  # fmt: skip


def plain_advanced_trade(frame: bytes) -> list[PlainTrade]:
    message = orjson.loads(frame)
    ns = ns_of_text(message["timestamp"])
    return [
        PlainTrade(
            e["product_id"], float(e["price"]), float(e["size"]), e["side"] == "SELL", int(e["trade_id"]),
            ns_of_text(e["time"]), ns,
        )
        for event in message["events"] for e in event["trades"]
    ]  # fmt: skip


def plain_exchange_ticker(frame: bytes) -> list[PlainTicker]:
    d = orjson.loads(frame)
    return [
        PlainTicker(
            d["product_id"], float(d["best_bid"]), float(d["best_bid_size"]), float(d["best_ask"]),
            float(d["best_ask_size"]), d["sequence"], ns_of_text(d["time"]),
        )
    ]  # fmt: skip


def plain_exchange_match(frame: bytes) -> list[PlainTrade]:
    d = orjson.loads(frame)
    ns = ns_of_text(d["time"])
    return [
        PlainTrade(d["product_id"], float(d["price"]), float(d["size"]), d["side"] == "sell", d["trade_id"], ns, ns)
    ]  # fmt: skip


def plain_kraken_futures_ticker(frame: bytes) -> list[PlainTicker]:
    d = orjson.loads(frame)
    return [
        PlainTicker(
            d["product_id"], float(d["bid"]), float(d["bid_size"]), float(d["ask"]), float(d["ask_size"]), 0,
            ns_of_number(d["time"]),
        )
    ]  # fmt: skip


def plain_kraken_futures_trade(frame: bytes) -> list[PlainTrade]:
    d = orjson.loads(frame)
    ns = ns_of_number(d["time"])
    return [PlainTrade(d["product_id"], float(d["price"]), float(d["qty"]), d["side"] == "buy", 0, ns, ns)]


OKX_TICKER = (
    b'{"arg":{"channel":"tickers","instId":"%s"},"data":[{"instType":"%s","instId":"%s","last":"64001.2","lastSz":'
    b'"0.015","askPx":"64001.3","askSz":"1.25036","bidPx":"64001.2","bidSz":"0.5","open24h":"63000","high24h":'
    b'"65000.5","low24h":"62000.1","sodUtc0":"63500","sodUtc8":"63600.7","volCcy24h":"229576048.730317321",'
    b'"vol24h":"3601.1585121","ts":"1790439594900"}]}'
)
OKX_BEST = (
    b'{"arg":{"channel":"bbo-tbt","instId":"%s"},"data":[{"asks":[["84093.5","667.19","0","70"]],'
    b'"bids":[["84093.4","570.27","0","83"]],"ts":"1790439594900","seqId":342177336945}]}'
)
OKX_TRADE = (
    b'{"arg":{"channel":"trades","instId":"%s"},"data":[{"instId":"%s","tradeId":"2953620212","px":"84093.5","sz":'
    b'"2.42","side":"sell","ts":"1790439595946","count":"3","source":"0","seqId":342177337897}]}'
)
FUTURE_BOOK_TICKER = (
    b'{"e":"bookTicker","u":11671659685961,"s":"BTCUSDT","ps":"BTCUSDT","b":"84551.00","B":"2.646","a":"84551.10",'
    b'"A":"5.302","T":1790526538939,"E":1790526538940,"st":1}'
)
FUTURE_TRADE = (
    b'{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","t":8121136411,"p":"83680.00","q":"0.001",'
    b'"X":"MARKET","m":true}'
)
FUTURE_AGG_TRADE = (
    b'{"e":"aggTrade","E":1790526539033,"a":3466782974,"s":"BTCUSDT","p":"84551.10","q":"0.030","f":8123344783,'
    b'"l":8123344784,"T":1790526538883,"m":false}'
)
ADVANCED_TICKER = (
    b'{"channel":"ticker","timestamp":"2026-08-09T21:06:12.591505Z","sequence_num":1021,"events":[{"type":"update",'
    b'"tickers":[{"type":"ticker","product_id":"ETH-USD","price":"1919.38","volume_24_h":"19989.3959153",'
    b'"low_24_h":"1911.04","high_24_h":"1925","low_52_w":"1505","high_52_w":"4955.9",'
    b'"price_percent_chg_24_h":"-0.01667483038571","best_bid":"1919.24","best_ask":"1919.38",'
    b'"best_bid_quantity":"1.29786526","best_ask_quantity":"0.01194407"}]}]}'
)
ADVANCED_TRADE = (
    b'{"channel":"market_trades","timestamp":"2026-08-09T21:06:12.255598Z","sequence_num":1006,"events":['
    b'{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1068572137","price":"65083.67",'
    b'"size":"0.00038028","time":"2026-08-09T21:06:12.15207Z","side":"SELL"}]}]}'
)
EXCHANGE_TICKER = (
    b'{"type":"ticker","sequence":135557035414,"product_id":"BTC-USD","price":"81228.94","open_24h":"77026.99",'
    b'"volume_24h":"10973.39542777","low_24h":"76929.29","high_24h":"82283","volume_30d":"210811.57557364",'
    b'"best_bid":"81222.50","best_bid_size":"0.00000091","best_ask":"81228.97","best_ask_size":"0.16229192",'
    b'"side":"sell","time":"2026-09-04T00:21:02.905270Z","trade_id":1088490716,"last_size":"0.013388"}'
)
EXCHANGE_MATCH = (
    b'{"type":"match","trade_id":1100243480,"maker_order_id":"ab230cab-6743-4d7b-8eac-d38ed14e1955",'
    b'"taker_order_id":"84a54910-259e-4b26-98a5-90c7584d478e","side":"sell","size":"0.00136465",'
    b'"price":"83420.2","product_id":"BTC-USD","sequence":136999327713,"time":"2026-09-30T02:03:12.795074Z"}'
)
FUTURES_TICKER = (
    b'{"time":1791518715420,"product_id":"PF_XBTUSD","funding_rate":2.062200583889875,"funding_rate_prediction":'
    b'-1.58E-4,"relative_funding_rate":0.0000250402625,"relative_funding_rate_prediction":1.045432180096817E-5,'
    b'"next_funding_rate_time":1791522000000,"leverage":"100x","premium":-0.0,"feed":"ticker","bid":82380.0,'
    b'"ask":82381.0,"bid_size":0.0003,"ask_size":0.4671,"volume":7779.8361,"dtm":0,"index":82367.95,'
    b'"last":82382.0,"change":-0.3,"suspended":false,"tag":"perpetual","pair":"XBT:USD","openInterest":2370.562,'
    b'"markPrice":82380.4640336367,"maturityTime":0,"post_only":false,"volumeQuote":636625710.8256,'
    b'"open":82634.0,"high":83262.0,"low":80320.0}'
)
FUTURES_TRADE = (
    b'{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
    b'"type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}'
)


def wrapped(stream: bytes, payload: bytes) -> bytes:
    return b'{"stream":"%s","data":%s}' % (stream, payload)


def okx(exchange: Exchange, folder: str, label: str, name: bytes, kind: bytes) -> tuple[Kind, ...]:
    tables: tuple[tuple[str, str, bytes, bytes, Any, Any], ...] = (
        ("tickers", "tickers*", rb'.*"askPx":"[^"].*"sodUtc8"', OKX_TICKER % (name, kind, name), OkxTickers,
         plain_okx_ticker),
        ("bbo-tbt", "bbo_tbt*", rb'.*"asks":\[\[.*"bids":\[\[', OKX_BEST % name, OkxBests, plain_okx_best),
        ("trades", "trades*", rb'.*"tradeId":"\d+"', OKX_TRADE % (name, name), OkxTrades, plain_okx_trade),
    )  # fmt: skip
    return tuple(
        Kind(f"{label} {channel}", exchange, (f"{folder}/{files}",), pattern, (written,), struct, plain)
        for channel, files, pattern, written, struct, plain in tables
    )


def binance_future() -> tuple[Kind, ...]:
    exchange, folder = Exchange.BINANCE_FUTURE, "binance_usdm"
    return (
        Kind("Binance USD-M bookTicker, combined", exchange, (f"{folder}/bookticker*",), rb'\{"stream".*"E"',
             (wrapped(b"btcusdt@bookTicker", FUTURE_BOOK_TICKER),), CombinedFutureBookTicker,
             plain_future_book_ticker),
        Kind("Binance USD-M bookTicker, single", exchange, (f"{folder}/bookticker*",),
             # In the order of the wire; the documentation's, which nobody sends, is the general path's.
             rb'\{"e":"bookTicker","u":\d+,"s":"[^"]*",.*"E"',
             (FUTURE_BOOK_TICKER,), FutureBookTicker, plain_future_book_ticker),
        Kind("Binance USD-M trade, combined", exchange, (f"{folder}/trade*",), rb'\{"stream".*"X":"MARKET"',
             (wrapped(b"btcusdt@trade", FUTURE_TRADE),), CombinedTrade, plain_trade),
        Kind("Binance USD-M aggTrade, combined", exchange, (f"{folder}/aggtrade*",), rb'\{"stream".*"a":',
             (wrapped(b"btcusdt@aggTrade", FUTURE_AGG_TRADE),), CombinedAggTrade, plain_trade),
    )  # fmt: skip


DERIVATIVES = (
    *okx(Exchange.OKX, "okx_spot", "OKX", b"BTC-USDT", b"SPOT"),
    *okx(Exchange.OKX_SWAP, "okx_swap", "OKX swap", b"BTC-USDT-SWAP", b"SWAP"),
    *binance_future(),
    Kind("Coinbase Advanced ticker", Exchange.COINBASE, ("coinbase/adv_ticker*",),
         rb'.*"channel":"ticker".*"best_bid_quantity"', (ADVANCED_TICKER,), AdvancedTickers, plain_advanced_ticker),
    Kind("Coinbase Advanced market_trades", Exchange.COINBASE, ("coinbase/adv_trade*",),
         # Ids are numbers; some examples show others.
         rb'(?!.*"trade_id":"(0|[^"]*[^"0-9])).*"market_trades"', (ADVANCED_TRADE,), AdvancedTrades,
         plain_advanced_trade),
    Kind("Coinbase Exchange ticker", Exchange.COINBASE, ("coinbase/exch_ticker*",), rb'.*"best_bid_size".*"time"',
         (EXCHANGE_TICKER,), ExchangeTicker, plain_exchange_ticker),
    Kind("Coinbase Exchange match", Exchange.COINBASE, ("coinbase/exch_trade*",), rb'\{"type":"match"',
         (EXCHANGE_MATCH,), ExchangeMatch, plain_exchange_match),
    Kind("Kraken Futures ticker", Exchange.KRAKEN_FUTURE, ("kraken_futures/ticker.*",),
         rb'.*"feed":"ticker".*"bid_size"', (FUTURES_TICKER,), KrakenFuturesTicker, plain_kraken_futures_ticker),
    Kind("Kraken Futures trade", Exchange.KRAKEN_FUTURE, ("kraken_futures/trade.*",),
         rb'\{("product_id":"[^"]*",)?"feed":"trade",', (FUTURES_TRADE,), KrakenFuturesTrade,
         plain_kraken_futures_trade),
)  # fmt: skip
