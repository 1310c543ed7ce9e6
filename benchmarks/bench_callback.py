"""T6: a raw frame to a Python callback, against cryptofeed, nautilus_trader and ccxt.pro.

Everybody is handed the frame that their WebSocket client would hand on, and calls back. Ours takes what one read of
the socket brought, here 64 frames; the peers take one frame at a time, since they know nothing else. The rows "one by
one" show ours with a single frame in every read, whose clock readings and wake-ups nothing shares.
Of a peer that cannot read the frames that a venue sends today, or hands on less than a Ticker holds, there is no row,
and the table says why. Order books are in bench_book_callback.py.
The peers' own handlers run, with what they do on the way: Decimals and asyncio (cryptofeed), the data engine, its
cache and the bus (nautilus_trader), the unified structures of ccxt and the future that a program awaits (ccxt.pro).
Ours is the native feed: it parses, goes through the ring, and calls back.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hftcore.enums import Exchange
from hftcore.feed import Feed
from hftcore.ring import Ring
from hftcore.types import Ticker, Trade

FRAMES = 256
BURST = 64
FLOORS = {"cryptofeed": 18.0, "nautilus_trader": 55.0, "ccxt.pro": 180.0}
GOALS = {"cryptofeed": 24.0, "nautilus_trader": 75.0, "ccxt.pro": 230.0}
BINANCE = {("BNB", "USDT"): "BNBUSDT", ("ETH", "USDT"): "ETHUSDT"}
KRAKEN_V1 = {("BTC", "USD"): "XBT/USD", ("ETH", "BTC"): "ETH/XBT"}
KRAKEN_V2 = {("BTC", "USD"): "XXBTZUSD", ("SOL", "EUR"): "SOLEUR"}
BINANCE_FUTURE = {("BTC", "USDT"): "BTCUSDT"}
OKX = {("BTC", "USDT"): "BTC-USDT"}
OKX_SWAP = {("BTC", "USDT"): "BTC-USDT-SWAP"}
COINBASE = {("BTC", "USD"): "BTC-USD"}
KRAKEN_FUTURE = {("BTC", "USD"): "PF_XBTUSD"}
Row = tuple[float, ...]


def frames_of(template: str) -> list[bytes]:
    """Frames of one symbol whose numbers differ: % fills n (counter), bid, ask and size."""
    chance = random.Random(6)
    frames = []
    for n in range(FRAMES):
        bid = round(chance.uniform(100, 60000), 2)
        fields = {"n": n, "bid": f"{bid:.2f}", "ask": f"{bid + 0.5:.2f}", "size": f"{chance.uniform(0.001, 90):.8f}"}
        frames.append((template % fields).encode())
    return frames


QUOTE = frames_of(
    '{"stream":"bnbusdt@bookTicker","data":{"u":40090021%(n)d,"s":"BNBUSDT","b":"%(bid)s000000","B":"%(size)s",'
    '"a":"%(ask)s000000","A":"40.66000000"}}'
)
AGGREGATE = frames_of(
    '{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1675759520848,"s":"ETHUSDT","a":22653%(n)d,'
    '"p":"%(bid)s000000","q":"%(size)s","f":228423,"l":228423,"T":1675759520847,"m":false,"M":true}}'
)
V1_TICKER = frames_of(
    '[340,{"a":["%(ask)s000",12,"12.41000000"],"b":["%(bid)s000",0,"%(size)s"],"c":["30001.50000","0.10000000"],'
    '"v":["1.00000000","2.00000000"],"p":["30000.10000","30000.20000"],"t":[5,6],"l":["29000.00000","29000.00000"],'
    '"h":["31000.00000","31000.00000"],"o":["30500.00000","30400.00000"]},"ticker","XBT/USD"]'
)
V1_TRADE = frames_of('[119,[["%(bid)s000","%(size)s","1616333924.737428","b","m",""]],"trade","ETH/XBT"]')
V2_TICKER = frames_of(
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":%(bid)s,"bid_qty":%(size)s,"ask":%(ask)s,'
    '"ask_qty":1.50000000,"last":64001.1,"volume":12.50000000,"vwap":63990.1,"low":63000.0,"high":65000.0,'
    '"change":-12.5,"change_pct":-0.02}]}'
)
V2_TRADE = frames_of(
    '{"channel":"trade","type":"update","data":[{"symbol":"SOL/EUR","side":"buy","price":%(bid)s,"qty":%(size)s,'
    '"ord_type":"limit","trade_id":77%(n)d,"timestamp":"2026-03-01T12:30:45.123456Z"}]}'
)
FUTURE_QUOTE = frames_of(
    '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1167165%(n)d,"s":"BTCUSDT","ps":"BTCUSDT",'
    '"b":"%(bid)s","B":"%(size)s","a":"%(ask)s","A":"5.30200000","T":1790526538939,"E":1790526538940,"st":1}}'
)
FUTURE_AGGREGATE = frames_of(
    '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1790526539033,"a":34667%(n)d,"s":"BTCUSDT",'
    '"p":"%(bid)s","q":"%(size)s","f":8123344783,"l":8123344784,"T":1790526538883,"m":false}}'
)


def okx_frames(native: str, kind: str) -> tuple[list[bytes], list[bytes]]:
    tickers = (
        f'{{"arg":{{"channel":"tickers","instId":"{native}"}},"data":[{{"instType":"{kind}","instId":"{native}",'
        '"last":"64001.2","lastSz":"0.015","askPx":"%(ask)s","askSz":"1.25036","bidPx":"%(bid)s","bidSz":"%(size)s",'
        '"open24h":"63000","high24h":"65000.5","low24h":"62000.1","sodUtc0":"63500","sodUtc8":"63600.7",'
        '"volCcy24h":"229576048.730317321","vol24h":"3601.1585121","ts":"1790439594900"}]}'
    )
    trades = (
        f'{{"arg":{{"channel":"trades","instId":"{native}"}},"data":[{{"instId":"{native}","tradeId":"29536%(n)d",'
        '"px":"%(bid)s","sz":"%(size)s","side":"sell","ts":"1790439595946","count":"3","source":"0",'
        '"seqId":342177337897}]}'
    )
    return frames_of(tickers), frames_of(trades)


OKX_TICKER, OKX_TRADE = okx_frames("BTC-USDT", "SPOT")
SWAP_TICKER, SWAP_TRADE = okx_frames("BTC-USDT-SWAP", "SWAP")
ADVANCED_TICKER = frames_of(
    '{"channel":"ticker","timestamp":"2026-08-09T21:06:12.591505Z","sequence_num":%(n)d,"events":[{"type":"update",'
    '"tickers":[{"type":"ticker","product_id":"BTC-USD","price":"65083.67","volume_24_h":"19989.3959153",'
    '"low_24_h":"1911.04","high_24_h":"1925","low_52_w":"1505","high_52_w":"4955.9",'
    '"price_percent_chg_24_h":"-0.01667483038571","best_bid":"%(bid)s","best_ask":"%(ask)s",'
    '"best_bid_quantity":"%(size)s","best_ask_quantity":"0.01194407"}]}]}'
)
ADVANCED_TRADE = frames_of(
    '{"channel":"market_trades","timestamp":"2026-08-09T21:06:12.255598Z","sequence_num":%(n)d,"events":['
    '{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"10685%(n)d","price":"%(bid)s",'
    '"size":"%(size)s","time":"2026-08-09T21:06:12.15207Z","side":"SELL"}]}]}'
)
FUTURES_TICKER = frames_of(
    '{"time":1791518715420,"product_id":"PF_XBTUSD","funding_rate":2.062200583889875,"funding_rate_prediction":'
    '-1.58E-4,"relative_funding_rate":0.0000250402625,"relative_funding_rate_prediction":1.045432180096817E-5,'
    '"next_funding_rate_time":1791522000000,"leverage":"100x","premium":-0.0,"feed":"ticker","bid":%(bid)s,'
    '"ask":%(ask)s,"bid_size":%(size)s,"ask_size":0.4671,"volume":7779.8361,"dtm":0,"index":82367.95,'
    '"last":82382.0,"change":-0.3,"suspended":false,"tag":"perpetual","pair":"XBT:USD","openInterest":2370.562,'
    '"markPrice":82380.4640336367,"maturityTime":0,"post_only":false,"volumeQuote":636625710.8256,'
    '"open":82634.0,"high":83262.0,"low":80320.0}'
)
FUTURES_TRADE = frames_of(
    '{"feed":"trade","product_id":"PF_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
    '"type":"fill","seq":653%(n)d,"time":1612266317519,"qty":%(size)s,"price":%(bid)s}'
)


class Ours:
    """The native feed: frame → struct → ring → callback, one frame after the other."""

    def __init__(self, exchange: Exchange, kind: type[Any], pairs: list[str], on_event: Callable[[Any], None]) -> None:
        self.feed_one = Feed(exchange, kind, pairs)
        ring: Any = Ring(kind, 4096)
        self.feed_one.bind(ring)
        self.feed_one.drain(ring, on_event)

    def feed(self, frames: list[bytes]) -> None:
        feed = self.feed_one.feed
        for frame in frames:
            feed(frame)

    def feed_bursts(self, bursts: list[list[bytes]]) -> None:
        feed = self.feed_one.feed_all
        for burst in bursts:
            feed(burst)


def rows_of_ours(exchange: Exchange, kind: type[Any], pairs: list[str], frames: list[bytes]) -> list[Row]:
    events: list[Any] = []
    Ours(exchange, kind, pairs, events.append).feed(frames)
    if kind is Ticker:
        return [(e.bidPrice, e.bidVolume, e.askPrice, e.askVolume) for e in events]
    return [(e.price, e.volume) for e in events]


def ignore(event: object) -> None:
    """The handler of whoever takes a plain function."""


async def ignore_async(event: object, received: float) -> None:
    """The handler of cryptofeed."""


def cryptofeed_side(
    versus: Any, venue: str, natives: Any, frames: list[bytes], rows: list[Row], times: int
) -> Callable[[], None]:
    import peer_cryptofeed

    logging.getLogger("feedhandler").setLevel(logging.ERROR)
    events: list[Any] = []

    async def take(event: Any, received: float) -> None:
        events.append(event)

    texts = [frame.decode() for frame in frames]
    checked = peer_cryptofeed.CryptofeedFeed(venue, natives, take)
    versus.cleanup(checked.close)
    checked.feed(texts)
    if hasattr(events[0], "bid"):
        assert [(float(e.bid), float(e.ask)) for e in events] == [(row[0], row[2]) for row in rows]
    else:
        assert [(float(e.price), float(e.amount)) for e in events] == rows
    feed = peer_cryptofeed.CryptofeedFeed(venue, natives, ignore_async)
    versus.cleanup(feed.close)
    return lambda: feed.feed(texts * times)


def nautilus_side(versus: Any, case: "Case", rows: list[Row], times: int) -> Callable[[], None]:
    import peer_nautilus

    future = case.exchange is Exchange.BINANCE_FUTURE
    ticks: list[Any] = []
    checked = peer_nautilus.BinanceFeed(list(case.natives.values()), ticks.append, future=future)
    versus.cleanup(checked.close)
    checked.feed(case.frames)
    # float(Price) may be off in the last digit, its decimal is not.
    names = ("bid_price", "bid_size", "ask_price", "ask_size") if hasattr(ticks[0], "bid_price") else ("price", "size")
    found = [tuple(float(getattr(tick, name).as_decimal()) for name in names) for tick in ticks]
    assert found == rows
    feed = peer_nautilus.BinanceFeed(list(case.natives.values()), ignore, future=future)
    versus.cleanup(feed.close)
    return lambda: feed.feed(case.frames * times)


def ccxt_side(
    versus: Any, venue: str, natives: Any, message_hash: str, frames: list[bytes], rows: list[Row], times: int
) -> Callable[[], None]:
    import peer_ccxt

    texts = [frame.decode() for frame in frames]
    events: list[Any] = []
    # A list of trades is the exchange's cache of them and grows: copy its last one.
    checked = peer_ccxt.CcxtFeed(venue, natives, lambda event: events.append(event if "bid" in event else event[-1]))
    versus.cleanup(checked.close)
    checked.feed(texts, message_hash)
    if "bid" in events[0]:
        assert [(e["bid"], e["bidVolume"], e["ask"], e["askVolume"]) for e in events] == rows
    else:
        assert [(e["price"], e["amount"]) for e in events] == rows
    feed = peer_ccxt.CcxtFeed(venue, natives, ignore)
    versus.cleanup(feed.close)
    return lambda: feed.feed(texts * times, message_hash)


@dataclass(frozen=True)
class Case:
    """Frames of one channel; what ccxt.pro waits for with them; which other peers read them."""

    exchange: Exchange
    kind: type[Any]
    frames: list[bytes]
    natives: dict[tuple[str, str], str]
    message_hash: str | None
    cryptofeed: bool = True
    nautilus: bool = False

    @property
    def pairs(self) -> list[str]:
        settled = self.exchange.name in ("BINANCE_FUTURE", "OKX_SWAP", "KRAKEN_FUTURE")
        return [f"{base}/{quote}" + (f":{quote}" if settled else "") for base, quote in self.natives]


V1, V2, FUTURE, SWAP = Exchange.KRAKEN, Exchange.KRAKEN, Exchange.BINANCE_FUTURE, Exchange.OKX_SWAP
ADVANCED, FUTURES = Exchange.COINBASE, Exchange.KRAKEN_FUTURE
CASES = {
    "Binance bookTicker": Case(Exchange.BINANCE, Ticker, QUOTE, BINANCE, "bidask:bookTicker@BNB/USDT", nautilus=True),
    "Binance aggTrade": Case(Exchange.BINANCE, Trade, AGGREGATE, BINANCE, "trade::ETH/USDT", nautilus=True),
    "Binance USD-M bookTicker": Case(FUTURE, Ticker, FUTURE_QUOTE, BINANCE_FUTURE,
                                     "bidask:bookTicker@BTC/USDT:USDT", nautilus=True),
    "Binance USD-M aggTrade": Case(FUTURE, Trade, FUTURE_AGGREGATE, BINANCE_FUTURE, "trade::BTC/USDT:USDT",
                                   nautilus=True),
    "Kraken v1 ticker": Case(V1, Ticker, V1_TICKER, KRAKEN_V1, None),
    "Kraken v1 trade": Case(V1, Trade, V1_TRADE, KRAKEN_V1, None),
    "Kraken v2 ticker": Case(V2, Ticker, V2_TICKER, KRAKEN_V2, "ticker@BTC/USD", cryptofeed=False),
    "Kraken v2 trade": Case(V2, Trade, V2_TRADE, KRAKEN_V2, "trade@SOL/EUR", cryptofeed=False),
    "OKX tickers": Case(Exchange.OKX, Ticker, OKX_TICKER, OKX, "bidask::BTC/USDT"),
    "OKX trades": Case(Exchange.OKX, Trade, OKX_TRADE, OKX, "trades:BTC/USDT"),
    "OKX swap tickers": Case(SWAP, Ticker, SWAP_TICKER, OKX_SWAP, "bidask::BTC/USDT:USDT"),
    "OKX swap trades": Case(SWAP, Trade, SWAP_TRADE, OKX_SWAP, "trades:BTC/USDT:USDT"),
    "Coinbase Advanced ticker": Case(ADVANCED, Ticker, ADVANCED_TICKER, COINBASE, "ticker::BTC/USD",
                                     cryptofeed=False),
    "Coinbase Advanced market_trades": Case(ADVANCED, Trade, ADVANCED_TRADE, COINBASE, "market_trades::BTC/USD"),
    "Kraken Futures ticker": Case(FUTURES, Ticker, FUTURES_TICKER, KRAKEN_FUTURE, "ticker:BTC/USD:USD",
                                  cryptofeed=False),
    "Kraken Futures trade": Case(FUTURES, Trade, FUTURES_TRADE, KRAKEN_FUTURE, "trade:BTC/USD:USD"),
}  # fmt: skip
LEFT_OUT = {
    "cryptofeed, Kraken v2": "it speaks WebSocket v1 alone",
    "cryptofeed, Coinbase Advanced ticker": "it has no such channel",
    "cryptofeed, Kraken Futures ticker": "it reads best prices from ticker_lite alone, which has no sizes",
    "ccxt.pro, Kraken v1": "it speaks WebSocket v2 alone",
    "nautilus_trader but for Binance": "its other venues' clients parse in Rust, behind their own sockets",
}


@pytest.mark.parametrize("in_bursts", [True, False], ids=["bursts", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_frame_to_callback(versus, name, in_bursts):
    case = CASES[name]
    exchange, kind, frames, pairs, venue = case.exchange, case.kind, case.frames, case.pairs, case.exchange.name.lower()
    versus.leave_out(LEFT_OUT)
    rows = rows_of_ours(exchange, kind, pairs, frames)
    assert len(rows) == len(frames)
    # Fewer frames a round would measure how long our code's way into the caches is, after a peer had them.
    times = versus.scale(32)
    peers: dict[str, Callable[[], None]] = {}
    if case.cryptofeed and versus.peer("cryptofeed"):
        peers["cryptofeed"] = cryptofeed_side(versus, venue, case.natives, frames, rows, times)
    if case.nautilus and versus.peer("nautilus_trader"):
        peers["nautilus_trader"] = nautilus_side(versus, case, rows, times)
    if case.message_hash is not None and versus.peer("ccxt.pro"):
        peers["ccxt.pro"] = ccxt_side(versus, venue, case.natives, case.message_hash, frames, rows, times)
    ours = Ours(exchange, kind, pairs, ignore)
    many = frames * times
    bursts = [many[at : at + BURST] for at in range(0, len(many), BURST)]
    if in_bursts:
        versus("T6", f"frame → callback, {name}, bursts of {BURST}", operations=len(many),
               ours=lambda: ours.feed_bursts(bursts), peers=peers, floors={peer: FLOORS[peer] for peer in peers},
               goals={peer: GOALS[peer] for peer in peers})  # fmt: skip
    else:
        versus("T6", f"frame → callback, {name}, one by one", operations=len(many), ours=lambda: ours.feed(many),
               peers=peers)  # fmt: skip
