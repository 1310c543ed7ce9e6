"""T6: a raw frame to a Python callback, against cryptofeed, nautilus_trader and ccxt.pro.

Everybody is handed the frame that their WebSocket client would hand on, and calls back. Ours takes what one read of
the socket brought, here 64 frames; the peers take one frame at a time, since they know nothing else. The rows "one by
one" show ours with a single frame in every read, whose clock readings and wake-ups nothing shares.
The peers' own handlers run, with what they do on the way: Decimals and asyncio (cryptofeed), the data engine, its
cache and the bus (nautilus_trader), the unified structures of ccxt and the future that a program awaits (ccxt.pro).
Ours is the native feed: it parses, goes through the ring, and calls back.
"""

import logging
import random
from collections.abc import Callable
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


def nautilus_side(versus: Any, frames: list[bytes], rows: list[Row], times: int) -> Callable[[], None]:
    import peer_nautilus

    ticks: list[Any] = []
    checked = peer_nautilus.BinanceFeed(list(BINANCE.values()), ticks.append)
    versus.cleanup(checked.close)
    checked.feed(frames)
    # float(Price) may be off in the last digit, its decimal is not.
    names = ("bid_price", "bid_size", "ask_price", "ask_size") if hasattr(ticks[0], "bid_price") else ("price", "size")
    found = [tuple(float(getattr(tick, name).as_decimal()) for name in names) for tick in ticks]
    assert found == rows
    feed = peer_nautilus.BinanceFeed(list(BINANCE.values()), ignore)
    versus.cleanup(feed.close)
    return lambda: feed.feed(frames * times)


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


CASES = {
    "Binance bookTicker": (Exchange.BINANCE, Ticker, QUOTE, "binance", BINANCE, "bidask:bookTicker@BNB/USDT"),
    "Binance aggTrade": (Exchange.BINANCE, Trade, AGGREGATE, "binance", BINANCE, "trade::ETH/USDT"),
    "Kraken v1 ticker": (Exchange.KRAKEN, Ticker, V1_TICKER, "kraken", KRAKEN_V1, None),
    "Kraken v1 trade": (Exchange.KRAKEN, Trade, V1_TRADE, "kraken", KRAKEN_V1, None),
    "Kraken v2 ticker": (Exchange.KRAKEN, Ticker, V2_TICKER, "kraken", KRAKEN_V2, "ticker@BTC/USD"),
    "Kraken v2 trade": (Exchange.KRAKEN, Trade, V2_TRADE, "kraken", KRAKEN_V2, "trade@SOL/EUR"),
}


@pytest.mark.parametrize("in_bursts", [True, False], ids=["bursts", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_frame_to_callback(versus, name, in_bursts):
    exchange, kind, frames, venue, natives, message_hash = CASES[name]
    pairs = [f"{base}/{quote}" for base, quote in natives]
    rows = rows_of_ours(exchange, kind, pairs, frames)
    assert len(rows) == len(frames)
    # Fewer frames a round would measure how long our code's way into the caches is, after a peer had them.
    times = versus.scale(32)
    peers: dict[str, Callable[[], None]] = {}
    if venue == "binance" or message_hash is None:
        if versus.peer("cryptofeed"):
            peers["cryptofeed"] = cryptofeed_side(versus, venue, natives, frames, rows, times)
    if venue == "binance" and versus.peer("nautilus_trader"):
        peers["nautilus_trader"] = nautilus_side(versus, frames, rows, times)
    if message_hash is not None and versus.peer("ccxt.pro"):
        peers["ccxt.pro"] = ccxt_side(versus, venue, natives, message_hash, frames, rows, times)
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
