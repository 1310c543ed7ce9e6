"""The kinds of frames of OKX and of Binance USD-M futures; see parse_kinds.py."""

import msgspec
import orjson
from parse_kinds import Kind, PlainTicker, PlainTrade, Row, ns_of_ms

from hftcore.enums import Exchange


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


class FutureTrade(msgspec.Struct, gc=False):
    E: int
    T: int
    s: str
    t: int
    p: float
    q: float
    m: bool

    def rows(self) -> list[Row]:
        return [(self.s, self.p, self.q, not self.m, self.t, ns_of_ms(self.T), ns_of_ms(self.E))]


class FutureAggTrade(msgspec.Struct, gc=False):
    E: int
    a: int
    s: str
    p: float
    q: float
    T: int
    m: bool

    def rows(self) -> list[Row]:
        return [(self.s, self.p, self.q, not self.m, self.a, ns_of_ms(self.T), ns_of_ms(self.E))]


class CombinedFutureBookTicker(msgspec.Struct, gc=False):
    data: FutureBookTicker

    def rows(self) -> list[Row]:
        return self.data.rows()


class CombinedFutureTrade(msgspec.Struct, gc=False):
    data: FutureTrade

    def rows(self) -> list[Row]:
        return self.data.rows()


class CombinedFutureAggTrade(msgspec.Struct, gc=False):
    data: FutureAggTrade

    def rows(self) -> list[Row]:
        return self.data.rows()


class OkxArg(msgspec.Struct, gc=False):
    channel: str
    instId: str


class OkxTickerEntry(msgspec.Struct, gc=False):
    instId: str
    askPx: float
    askSz: float
    bidPx: float
    bidSz: float
    ts: int


class OkxTickers(msgspec.Struct, gc=False):
    arg: OkxArg
    data: list[OkxTickerEntry]

    def rows(self) -> list[Row]:
        return [(e.instId, e.bidPx, e.bidSz, e.askPx, e.askSz, 0, ns_of_ms(e.ts)) for e in self.data]


class OkxBestEntry(msgspec.Struct, gc=False):
    asks: list[tuple[float, float, str, str]]
    bids: list[tuple[float, float, str, str]]
    ts: int
    seqId: int = 0


class OkxBest(msgspec.Struct, gc=False):
    arg: OkxArg
    data: list[OkxBestEntry]

    def rows(self) -> list[Row]:
        return [(self.arg.instId, *e.bids[0][:2], *e.asks[0][:2], e.seqId, ns_of_ms(e.ts)) for e in self.data]


class OkxTradeEntry(msgspec.Struct, gc=False):
    instId: str
    tradeId: int
    px: float
    sz: float
    side: str
    ts: int
    count: int = 1
    seqId: int = 0


class OkxTrades(msgspec.Struct, gc=False):
    arg: OkxArg
    data: list[OkxTradeEntry]

    def rows(self) -> list[Row]:
        return [
            (e.instId, e.px, e.sz, e.side == "buy", e.tradeId, ns_of_ms(e.ts), ns_of_ms(e.ts)) for e in self.data
        ]


def plain_future_book_ticker(frame: bytes) -> list[PlainTicker]:
    d = orjson.loads(frame)["data"]
    bid, bid_volume, ask, ask_volume = float(d["b"]), float(d["B"]), float(d["a"]), float(d["A"])
    return [PlainTicker(d["s"], bid, bid_volume, ask, ask_volume, d["u"], ns_of_ms(d["E"]))]


def plain_future_trade(frame: bytes) -> list[PlainTrade]:
    d = orjson.loads(frame)["data"]
    number = d["t"] if "t" in d else d["a"]
    return [
        PlainTrade(d["s"], float(d["p"]), float(d["q"]), not d["m"], number, ns_of_ms(d["T"]), ns_of_ms(d["E"]))
    ]  # fmt: skip


def plain_okx_ticker(frame: bytes) -> list[PlainTicker]:
    tickers = []
    for e in orjson.loads(frame)["data"]:
        bid, bid_volume, ask, ask_volume = float(e["bidPx"]), float(e["bidSz"]), float(e["askPx"]), float(e["askSz"])
        tickers.append(PlainTicker(e["instId"], bid, bid_volume, ask, ask_volume, 0, ns_of_ms(int(e["ts"]))))
    return tickers


def plain_okx_best(frame: bytes) -> list[PlainTicker]:
    message = orjson.loads(frame)
    tickers = []
    for e in message["data"]:
        (bid, bid_volume, *_), (ask, ask_volume, *_) = e["bids"][0], e["asks"][0]
        prices = float(bid), float(bid_volume), float(ask), float(ask_volume)
        tickers.append(PlainTicker(message["arg"]["instId"], *prices, e.get("seqId", 0), ns_of_ms(int(e["ts"]))))
    return tickers


def plain_okx_trade(frame: bytes) -> list[PlainTrade]:
    trades = []
    for e in orjson.loads(frame)["data"]:
        ns = ns_of_ms(int(e["ts"]))
        trades.append(
            PlainTrade(e["instId"], float(e["px"]), float(e["sz"]), e["side"] == "buy", int(e["tradeId"]), ns, ns)
        )
    return trades


FUTURE_BOOK_TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11671659685961,"s":"BTCUSDT","ps":"BTCUSDT",'
    b'"b":"84551.00","B":"2.646","a":"84551.10","A":"5.302","T":1790526538939,"E":1790526538940,"st":1}}'
)
FUTURE_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","t":8121136411,'
    b'"p":"83680.00","q":"0.001","X":"MARKET","m":true,"st":1}}'
)
FUTURE_AGG_TRADE = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1790526539033,"a":3466782974,"s":"BTCUSDT",'
    b'"p":"84551.10","q":"0.030","nq":"0.030","f":8123344783,"l":8123344783,"T":1790526538883,"m":false,"st":1}}'
)
OKX_TICKER = (
    b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"64001.2",'
    b'"lastSz":"0.015","askPx":"64001.3","askSz":"1.25036","bidPx":"64001.2","bidSz":"0.5","open24h":"63000",'
    b'"high24h":"65000.5","low24h":"62000.1","sodUtc0":"63500","sodUtc8":"63600.7",'
    b'"volCcy24h":"229576048.730317321","vol24h":"3601.1585121","ts":"1790439594900"}]}'
)
OKX_BEST = (
    b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["84093.5","667.19","0","70"]],'
    b'"bids":[["84093.4","570.27","0","83"]],"ts":"1790439594900","seqId":342177336945}]}'
)
OKX_TRADE = (
    b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"2953620212",'
    b'"px":"84093.5","sz":"2.42","side":"buy","ts":"1790439595946","count":"1","source":"0","seqId":342177337897}]}'
)
KINDS = (
    Kind("Binance futures bookTicker", Exchange.BINANCE_FUTURE, ("binance_usdm/bookticker*",),
         rb'\{"stream".*"e":"bookTicker"', (FUTURE_BOOK_TICKER,), CombinedFutureBookTicker, plain_future_book_ticker),
    Kind("Binance futures trade", Exchange.BINANCE_FUTURE, ("binance_usdm/trade*",), rb'\{"stream".*"X":"MARKET"',
         (FUTURE_TRADE,), CombinedFutureTrade, plain_future_trade),
    Kind("Binance futures aggTrade", Exchange.BINANCE_FUTURE, ("binance_usdm/aggtrade*",), rb'\{"stream".*"a":',
         (FUTURE_AGG_TRADE,), CombinedFutureAggTrade, plain_future_trade),
    Kind("OKX tickers", Exchange.OKX, ("okx_spot/tickers*",), rb'\{"arg":\{"channel":"tickers"', (OKX_TICKER,),
         OkxTickers, plain_okx_ticker),
    Kind("OKX bbo-tbt", Exchange.OKX_SWAP, ("okx_swap/bbo_tbt*",), rb'\{"arg":\{"channel":"bbo-tbt"', (OKX_BEST,),
         OkxBest, plain_okx_best),
    Kind("OKX trades", Exchange.OKX_SWAP, ("okx_swap/trades*",), rb'\{"arg":\{"channel":"trades"', (OKX_TRADE,),
         OkxTrades, plain_okx_trade),
)  # fmt: skip
