"""What a recorded session holds, read slowly: every ticker, trade and book update of each venue, in order.

Only `json`, `Decimal` and sorted lists; nothing of the code under test but the spelling of pairs. Kinds of events are
those of the streams' channels: ``ticker``, ``trade``, ``book``.
"""

import bisect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hftcore.symbols import pair_of_native
from hftpy.common import Exchange

Row = tuple[Any, ...]
Level = tuple[str, str]
BINANCE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)
OKX = (Exchange.OKX, Exchange.OKX_SWAP)


def number(text: object) -> float:
    return float(str(text)) if text not in ("", None) else 0.0


@dataclass
class Side:
    """One side of a book: the exact prices in order, and the texts of each."""

    prices: list[Decimal] = field(default_factory=list)
    texts: dict[Decimal, Level] = field(default_factory=dict)

    def put(self, price: str, volume: str) -> None:
        exact = Decimal(price)
        if Decimal(volume) == 0:
            if exact in self.texts:
                del self.texts[exact]
                del self.prices[bisect.bisect_left(self.prices, exact)]
            return
        if exact not in self.texts:
            bisect.insort(self.prices, exact)
        self.texts[exact] = (price, volume)

    def best(self, levels: int, highest: bool) -> list[Level]:
        prices = self.prices[-levels:][::-1] if highest else self.prices[:levels]
        return [self.texts[price] for price in prices]

    def cut(self, levels: int, highest: bool) -> None:
        for price in self.prices[:-levels] if highest else self.prices[levels:]:
            del self.texts[price]
        self.prices = self.prices[-levels:] if highest else self.prices[:levels]


@dataclass
class SlowBook:
    """A book by exact price."""

    bids: Side = field(default_factory=Side)
    asks: Side = field(default_factory=Side)
    depth: int = 0

    def take(self, update: "Update") -> None:
        if update.whole:
            self.bids, self.asks = Side(), Side()
        for side, levels in ((self.bids, update.bids), (self.asks, update.asks)):
            for price, volume in levels:
                side.put(price, volume)
        if self.depth:
            self.bids.cut(self.depth, True)
            self.asks.cut(self.depth, False)

    def top(self, levels: int) -> tuple[list[Level], list[Level]]:
        return self.bids.best(levels, True), self.asks.best(levels, False)


@dataclass
class Update:
    """One book update. `first`, `last`: the venue's numbers, where it has any."""

    pair: str
    whole: bool
    bids: list[Level]
    asks: list[Level]
    first: int = 0
    last: int = 0
    depth: int = 0


def decode(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str)
    except ValueError:
        return None


def rows_of(exchange: Exchange, text: str, channel: str) -> list[Row]:
    """The tickers or trades of a frame. Ticker: (pair, bid, size, ask, size); trade: (pair, id, price, size, buys)."""
    frame = decode(text)
    if exchange in BINANCE:
        return list(_binance(exchange, frame, channel))
    if exchange in OKX:
        return list(_okx(exchange, frame, channel))
    if exchange is Exchange.COINBASE:
        return list(_coinbase(exchange, frame, channel))
    if exchange is Exchange.KRAKEN_FUTURE:
        return list(_kraken_future(exchange, frame, channel))
    return list(_kraken(exchange, frame, channel))


def _binance(exchange: Exchange, frame: Any, channel: str) -> Iterator[Row]:
    data = frame.get("data", frame) if isinstance(frame, dict) else None
    if not isinstance(data, dict) or "s" not in data:
        return
    pair = str(pair_of_native(exchange, data["s"]))
    event = data.get("e", "bookTicker" if {"u", "b", "B", "a", "A"} <= data.keys() else "")
    if channel == "ticker" and event == "bookTicker":
        yield pair, *(number(data[name]) for name in "bBaA")
    elif channel == "trade" and event in ("trade", "aggTrade") and data.get("X") != "NA":
        yield pair, data["t" if event == "trade" else "a"], number(data["p"]), number(data["q"]), not data["m"]


def _okx(exchange: Exchange, frame: Any, channel: str) -> Iterator[Row]:
    name = frame.get("arg", {}).get("channel") if isinstance(frame, dict) else None
    for row in frame.get("data", ()) if isinstance(frame, dict) else ():
        if channel == "ticker" and name == "tickers":
            pair = str(pair_of_native(exchange, row["instId"]))
            yield pair, *(number(row[key]) for key in ("bidPx", "bidSz", "askPx", "askSz"))
        elif channel == "ticker" and name == "bbo-tbt":
            sides = [row[side][0][:2] if row[side] else (0, 0) for side in ("bids", "asks")]
            yield str(pair_of_native(exchange, frame["arg"]["instId"])), *(number(x) for side in sides for x in side)
        elif channel == "trade" and name in ("trades", "trades-all"):
            pair = str(pair_of_native(exchange, row["instId"]))
            yield pair, int(row["tradeId"]), number(row["px"]), number(row["sz"]), row["side"] == "buy"


def _coinbase(exchange: Exchange, frame: Any, channel: str) -> Iterator[Row]:
    name = frame.get("channel") if isinstance(frame, dict) else None
    for event in frame.get("events", ()) if name in ("ticker", "ticker_batch", "market_trades") else ():
        for row in event["tickers"] if channel == "ticker" and "tickers" in event else ():
            keys = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
            yield str(pair_of_native(exchange, row["product_id"])), *(number(row[key]) for key in keys)
        # The newest first, and the maker's side.
        for row in reversed(event["trades"]) if channel == "trade" and "trades" in event else ():
            what = int(row["trade_id"]), number(row["price"]), number(row["size"]), row["side"] == "SELL"
            yield str(pair_of_native(exchange, row["product_id"])), *what


def _kraken_future(exchange: Exchange, frame: Any, channel: str) -> Iterator[Row]:
    if not isinstance(frame, dict) or "event" in frame or "product_id" not in frame:
        return
    pair, feed = str(pair_of_native(exchange, frame["product_id"])), frame["feed"]
    if channel == "ticker" and feed in ("ticker", "ticker_lite"):
        yield pair, *(number(frame.get(key, 0)) for key in ("bid", "bid_size", "ask", "ask_size"))
    elif channel == "trade" and feed in ("trade", "trade_snapshot"):
        for row in reversed(frame["trades"]) if feed == "trade_snapshot" else [frame]:
            yield pair, row["seq"], number(row["price"]), number(row["qty"]), row["side"] == "buy"


def _kraken(exchange: Exchange, frame: Any, channel: str) -> Iterator[Row]:
    if isinstance(frame, list) and len(frame) >= 4:
        pair, name = str(pair_of_native(exchange, frame[-1])), frame[-2]
        if name == channel == "ticker":
            body = frame[1]
            yield pair, *(number(body[side][place]) for side in "ba" for place in (0, 2))
        elif name == channel == "trade":
            for row in frame[1]:
                yield pair, 0, number(row[0]), number(row[1]), row[3] == "b"
    elif isinstance(frame, dict) and frame.get("channel") == channel in ("ticker", "trade") and "data" in frame:
        for row in frame["data"]:
            pair = str(pair_of_native(exchange, row["symbol"]))
            if channel == "ticker":
                yield pair, *(number(row[key]) for key in ("bid", "bid_qty", "ask", "ask_qty"))
            else:
                yield pair, row["trade_id"], number(row["price"]), number(row["qty"]), row["side"] == "buy"


def updates_of(exchange: Exchange, text: str, symbol: str = "") -> list[Update]:
    """The book updates of a frame, or of a snapshot by REST, whose `symbol` is the venue's spelling."""
    frame = decode(text)
    if isinstance(frame, dict) and "lastUpdateId" in frame and symbol:
        last = frame["lastUpdateId"]
        return [Update(_pair(exchange, symbol), True, _pairs(frame["bids"]), _pairs(frame["asks"]), last, last)]
    if exchange in BINANCE:
        return list(_binance_book(exchange, frame))
    if exchange in OKX:
        return list(_okx_book(exchange, frame))
    if exchange is Exchange.COINBASE:
        return list(_coinbase_book(exchange, frame))
    if exchange is Exchange.KRAKEN_FUTURE:
        return list(_kraken_future_book(exchange, frame))
    return list(_kraken_book(exchange, frame))


def _pair(exchange: Exchange, native: str) -> str:
    return str(pair_of_native(exchange, native))


def _pairs(levels: Iterable[Any]) -> list[Level]:
    return [(str(level[0]), str(level[1])) for level in levels]


def _objects(levels: Iterable[Any]) -> list[Level]:
    return [(str(level["price"]), str(level["qty"])) for level in levels]


def _binance_book(exchange: Exchange, frame: Any) -> Iterator[Update]:
    data = frame.get("data", frame) if isinstance(frame, dict) else {}
    if isinstance(data, dict) and data.get("e") == "depthUpdate":
        whole = bool(re.search(r"@depth(5|10|20)(@|$)", frame.get("stream", "")))
        sides = _pairs(data["b"]), _pairs(data["a"])
        yield Update(_pair(exchange, data["s"]), whole, *sides, data["U"], data["u"])
    elif isinstance(data, dict) and "lastUpdateId" in data and "stream" in frame:
        native, last = frame["stream"].partition("@")[0].upper(), data["lastUpdateId"]
        yield Update(_pair(exchange, native), True, _pairs(data["bids"]), _pairs(data["asks"]), last, last)


def _okx_book(exchange: Exchange, frame: Any) -> Iterator[Update]:
    arg = frame.get("arg", {}) if isinstance(frame, dict) else {}
    if "data" not in frame or not str(arg.get("channel")).startswith("books"):
        return
    for row in frame["data"]:
        whole = frame.get("action", "snapshot") == "snapshot"
        last = row.get("seqId", 0)
        yield Update(_pair(exchange, arg["instId"]), whole, _pairs(row["bids"]), _pairs(row["asks"]), last, last)


def _coinbase_book(exchange: Exchange, frame: Any) -> Iterator[Update]:
    if not isinstance(frame, dict) or frame.get("channel") != "l2_data":
        return
    for event in frame["events"]:
        sides: dict[bool, list[Level]] = {True: [], False: []}
        for row in event["updates"]:
            sides[row["side"] == "bid"].append((row["price_level"], row["new_quantity"]))
        pair, last = _pair(exchange, event["product_id"]), frame["sequence_num"]
        yield Update(pair, event["type"] == "snapshot", sides[True], sides[False], last, last)


def _kraken_future_book(exchange: Exchange, frame: Any) -> Iterator[Update]:
    if not isinstance(frame, dict) or "event" in frame or frame.get("feed") not in ("book", "book_snapshot"):
        return
    pair, last = _pair(exchange, frame["product_id"]), frame["seq"]
    if frame["feed"] == "book_snapshot":
        yield Update(pair, True, _objects(frame["bids"]), _objects(frame["asks"]), last, last)
    else:
        level = _objects([frame])
        buys = frame["side"] == "buy"
        yield Update(pair, False, level if buys else [], [] if buys else level, last, last)


def _kraken_book(exchange: Exchange, frame: Any) -> Iterator[Update]:
    if isinstance(frame, dict) and frame.get("channel") == "book" and "data" in frame:
        for row in frame["data"]:
            whole = frame["type"] == "snapshot"
            yield Update(_pair(exchange, row["symbol"]), whole, _objects(row["bids"]), _objects(row["asks"]))
    elif isinstance(frame, list) and len(frame) >= 4 and str(frame[-2]).startswith("book"):
        merged: dict[str, list[Any]] = {}
        for payload in frame[1:-2]:
            for key, levels in payload.items():
                if key != "c":
                    merged.setdefault(key, []).extend(levels)
        whole = "as" in merged or "bs" in merged
        bids, asks = (merged.get(key, []) for key in (("bs", "as") if whole else ("b", "a")))
        depth = int(str(frame[-2]).partition("-")[2] or 10)
        yield Update(_pair(exchange, frame[-1]), whole, _pairs(bids), _pairs(asks), depth=depth)
