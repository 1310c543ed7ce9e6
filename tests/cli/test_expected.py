"""Everything that sources state of single recorded messages: each row of every EXPECTED.jsonl, by a mapping of its own.

What is an event of ours is compared with the event; of what no stream reads, the name that `hftpy decode` gives, and
the values with the message itself. A row that no mapping takes fails, and so does a key within it.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import datetime
import functools
import gzip
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hftcore.book import OrderBook
from hftcore.book_parse import BookParser, BookUpdate
from hftcore.enums import Exchange, Flag
from hftcore.parse import Parser
from hftpy.cli.decode import decode_lines

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif("HFTPY_FIXTURES" not in os.environ, reason="HFTPY_FIXTURES names no folder of messages"),
]
ROOT = Path(os.environ.get("HFTPY_FIXTURES", ".")) / "real"
VENUES = {
    "kraken": "kraken", "kraken_futures": "kraken_future", "binance_spot": "binance",
    "binance_usdm": "binance_future", "binance_coinm": "binance_future", "coinbase": "coinbase", "okx_spot": "okx",
    "okx_swap": "okx_swap", "okx_other": "okx_swap", "okx_common": "okx", "ib": "ib",
}  # fmt: skip
# Rows that name the wrong line: where their message stands instead, None: not at all, and why that is known.
OF_ANOTHER_LINE: dict[tuple[str, str, int], tuple[str, str, int] | None] = {
    # The line is an empty snapshot of PERP/EUR; the row states one of BTC/USD.
    ("kraken", "v1_book.jsonl", 37): None,
    # The line is index-tickers; the row states a book of REN-USDT-SWAP.
    ("okx_other", "markprice.jsonl", 13): ("okx_swap", "books.jsonl", 2),
    # The line is open-interest; the row states a trade.
    ("okx_swap", "openinterest.jsonl", 3): ("okx_swap", "trades.jsonl", 2),
    # The line is that book of REN-USDT-SWAP; the row states one of ETC-USDT-SWAP, of 2020.
    ("okx_swap", "books.jsonl", 2): None,
    # The lines are tickers of one symbol; the rows state the time of a frame of ALL.
    ("binance_spot", "ticker24h.jsonl", 10): None,
    ("binance_usdm", "ticker24h.jsonl", 8): None,
    ("binance_coinm", "ticker24h.jsonl", 2): None,
    ("binance_coinm", "ticker24h.jsonl", 3): None,
}
# Single values that are stated with another meaning than ours, or wrongly.
OTHER_MEANING = {
    ("okx_spot", "candle.jsonl", "candlestick_msg.quote_volume"): "the seventh column, where frames had seven",
}
DERIVATIVES = {"kraken_futures", "binance_usdm", "binance_coinm", "okx_swap", "okx_other"}
# What one contract is worth: in the base currency, or, of an inverse one, in the quote currency.
IN_BASE = {"BTC-USDT-SWAP": 0.01}
IN_QUOTE = {"BTCUSD_210625": 100.0, "BTCUSD_PERP": 100.0}


def time_ns(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    delta = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (delta.days * 86400 + delta.seconds) * 10**9 + delta.microseconds * 1000


@functools.cache
def lines_of(folder: str, file: str) -> list[bytes]:
    path = ROOT / folder / file
    path = path if path.exists() else path.with_name(path.name + ".gz")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        return [line.rstrip(b"\r\n") for line in stream]


@functools.cache
def decoded(folder: str, file: str) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in decode_lines(Exchange.parse(VENUES[folder]), lines_of(folder, file)):
        rows.setdefault(row["line"], []).append(row)
    return rows


class Line:
    """One recorded message, with everything that is read from it."""

    def __init__(self, folder: str, file: str, number: int) -> None:
        self.folder, self.file, self.number = folder, file, number
        self.frame = lines_of(folder, file)[number - 1]
        self.rows = decoded(folder, file)[number]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["type"] == kind]

    def only(self, kind: str) -> dict[str, Any]:
        (row,) = self.of(kind)
        return row

    @property
    def root(self) -> Any:
        return json.loads(self.frame)

    @property
    def update(self) -> BookUpdate:
        (row,) = self.of("book")
        # A depth of the REST API names no symbol: the row has none either.
        native = None if row["nativeSymbol"] else "BTCUSDT"
        (update,) = BookParser(VENUES[self.folder]).parse(self.frame, symbol=native)
        return update

    @property
    def native(self) -> str:
        return str(self.rows[0]["nativeSymbol"])


def floats(levels: list[tuple[str, str]]) -> list[tuple[float, float]]:
    return [(float(price), float(volume)) for price, volume in levels]


def tardis(line: Line, stated: list[dict[str, Any]]) -> None:
    trades = [item for item in stated if item["type"] == "trade"]
    for item in stated:
        kind = item["type"]
        if kind == "trade":
            row = line.of("trade")[trades.index(item)]
            ns = row["tradeTimeNs"]
            mine = {
                "price": row["price"], "amount": row["volume"], "side": row["side"],
                "id": str(row["tradeId"]) if item["id"].isdigit() else item["id"],
            }  # fmt: skip
            assert row["tradeId"] or not item["id"].isdigit()
        elif kind == "liquidation":
            # No event of its own: a trade of that kind.
            assert {**item, "type": "trade"} in trades
            continue
        elif kind == "book_ticker":
            row, names = line.only("ticker"), ("bidPrice", "bidAmount", "askPrice", "askAmount")
            ns = row["exchangeTimeNs"]
            mine = dict(zip(names, (row[name.replace("Amount", "Volume")] for name in names), strict=True))
        elif kind == "derivative_ticker":
            row = line.only("funding")
            ns = row["exchangeTimeNs"]
            assert item["symbol"] == row["nativeSymbol"] and time_ns(item["fundingTimestamp"]) == row["fundingTimeNs"]
            mine = {
                "fundingRate": row["absoluteRate"], "predictedFundingRate": row["absoluteNextRate"],
                "indexPrice": row["indexPrice"], "markPrice": row["markPrice"],
                # No stream reads them.
                "lastPrice": line.root["last"], "openInterest": line.root["openInterest"],
                "fundingTimestamp": item["fundingTimestamp"],
            }  # fmt: skip
        else:
            assert kind == "book_change"
            update = line.update
            # A depth snapshot says no time: this source states when it was received.
            ns = update.exchangeTimeNs or time_ns(item["timestamp"])
            mine = {
                "isSnapshot": update.snapshot, "bids": floats(update.bids), "asks": floats(update.asks),
            }  # fmt: skip
            item = item | {side: [tuple(level.values()) for level in item[side]] for side in ("bids", "asks")}
        assert time_ns(item["timestamp"]) == ns // 1000 * 1000
        named = item["symbol"] == line.native or line.file.startswith("rest_depth")
        assert named and {key: item[key] for key in mine} == mine
        assert item.keys() - mine.keys() == {"type", "symbol", "timestamp"}


def quantity(line: Line, unit: str, price: float, volume: float, native: str) -> float | None:
    """A volume as this source states it, in the currency that it names."""
    inverse = native in IN_QUOTE or native.startswith(("PI_", "FI_"))
    if unit == "contract":
        return volume if line.folder in DERIVATIVES else None
    if unit == "base":
        face = IN_QUOTE.get(native, 1.0)
        return face * volume / price if inverse else volume * IN_BASE.get(native, 1.0)
    return volume * IN_QUOTE.get(native, 1.0) if inverse else volume * price


def parsed_value(line: Line, key: str) -> Any:
    """What stands under a name of the shape `parsed`; KeyError: it is not known."""
    name, _, field = key.partition(".")
    index = re.fullmatch(r"(\w+)\[(\d)\]", name)
    kinds = {"trade": "trade", "bbo_msg": "ticker", "candlestick_msg": "kline"}
    if name in kinds:
        row = line.of(kinds[name])[0]
        if field.startswith(("quantity_", "bid_quantity_", "ask_quantity_")):
            side, _, unit = field.rpartition("quantity_")
            side = side.removesuffix("_")
            price, volume = (row["price"], row["volume"]) if not side else (row[f"{side}Price"], row[f"{side}Volume"])
            return quantity(line, unit, price, volume, row["nativeSymbol"])
        return {
            "side": lambda: row["side"], "price": lambda: row["price"], "symbol": lambda: row["nativeSymbol"],
            "timestamp": lambda: row.get("tradeTimeNs", row["exchangeTimeNs"]) // 10**6 or None,
            "id": lambda: row["seq"] or None,
            "ask_price": lambda: row["askPrice"], "bid_price": lambda: row["bidPrice"],
            "period": lambda: period(line), "begin_time": lambda: row["openTimeNs"] // 10**9,
            "open": lambda: row["open"], "high": lambda: row["high"], "low": lambda: row["low"],
            "close": lambda: row["close"],
            # Of inverse contracts, this source states volumes in the base currency and turnover in contracts' worth.
            "volume": lambda: coin_volume(line, row), "quote_volume": lambda: turnover(line, row),
        }[field]()  # fmt: skip
    if name == "orderbook":
        return book_value(line, field)
    if index is not None and index[1] == "funding_rates":
        row = line.of("funding")[int(index[2])]
        pair = row["symbol"].partition(":")[0].upper()
        return {
            "pair": pair, "funding_rate": row["rate"], "funding_time": row["fundingTimeNs"] // 10**6,
            "timestamp": row["exchangeTimeNs"] // 10**6,
        }[field]  # fmt: skip
    return {
        "trades.len()": lambda: len(line.of("trade")), "arr.len()": lambda: len(line.of("kline")),
        "funding_rates.len()": lambda: len(line.of("funding")), "ts_ms": lambda: stated_time(line),
        "raw_symbol": lambda: line.native, "symbol_normalized": lambda: normalized_symbol(line),
    }[key]()  # fmt: skip


def stated_time(line: Line) -> int | None:
    return line.rows[0]["exchangeTimeNs"] // 10**6 or None


def normalized_symbol(line: Line) -> str:
    return str(line.rows[0]["symbol"] or "").partition(":")[0].upper()


def period(line: Line) -> str:
    root = line.root
    return str(root["data"]["k"]["i"] if "stream" in root else root["arg"]["channel"].removeprefix("candle"))


def coin_volume(line: Line, row: dict[str, Any]) -> float:
    if line.folder == "binance_coinm":
        return float(line.root["data"]["k"]["q"])
    if line.folder in ("okx_swap", "okx_other"):
        return float(line.root["data"][0][6])
    return float(row["volume"])


def turnover(line: Line, row: dict[str, Any]) -> float | None:
    if line.folder == "binance_coinm":
        native, contracts = row["nativeSymbol"], row["volume"]
        return float(contracts * (100.0 if native.startswith("BTC") else 10.0))
    if row["nativeSymbol"] == "BTC-USD-SWAP":
        return float(row["volume"] * 100.0)
    return None if row["quoteVolume"] is None else float(row["quoteVolume"])


def book_value(line: Line, field: str) -> Any:
    update = line.update
    level = re.fullmatch(r"(bids|asks)\[(\d)\]\.(price|quantity_(base|quote|contract))", field)
    if level is not None:
        price, volume = floats(getattr(update, level[1]))[int(level[2])]
        return price if level[3] == "price" else quantity(line, level[4], price, volume, update.native)
    return {
        "asks.len()": len(update.asks), "bids.len()": len(update.bids), "seq_id": update.lastSeq,
        "prev_seq_id": update.prevSeq, "timestamp": update.exchangeTimeNs // 10**6 or None,
    }[field]  # fmt: skip


# What this source says of messages that are of many symbols, or of none that they name.
NO_SYMBOL = ("ALL", "NONE")
# Messages that no stream reads: by the beginning of the file's name, the class that they must have.
UNREAD = {
    "rest_": "rest answer", "ticker24h": "channel not supported", "exch_full": "channel not supported",
    "miniticker": "channel not supported", "markprice": "channel not supported", "liquidation": "channel not supported",
    "my_": "private", "v2_my_": "private", "v2_instrument": "channel not supported", "v2_control": "",
    "v2_order_ack": "",
}  # fmt: skip


def is_unread(line: Line) -> bool:
    if "class" not in line.rows[0]:
        return False
    (known,) = {name for start, name in UNREAD.items() if line.file.startswith(start)}
    assert known in ("", line.rows[0]["class"]), line.rows
    return True


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def same(one: Any, other: Any) -> bool:
    """Equality of numbers whatever their spelling, and of times."""
    if one == other:
        return True
    try:
        return Decimal(str(one)) == Decimal(str(other))
    except ArithmeticError:
        pass
    try:
        return "T" in str(one) and time_ns(str(one)) == time_ns(str(other))
    except ValueError:
        return False


# What sources write in words of their own.
TRANSLATED = {
    "type", "note", "stream_type", "event_type", "n", "count", "order_type", "side", "liquidity", "base_currency",
}  # fmt: skip


def stands_in(stated: dict[str, Any], message: Any) -> None:
    """Every stated value stands somewhere in the message."""
    told = list(leaves(message))
    for key, value in stated.items():
        opened = key == "status" and value == "open"  # which the venue does not say of an order that is
        for leaf in leaves(value if not isinstance(value, dict | list) else list(value_leaves(value))):
            assert key in TRANSLATED or opened or leaf is None or any(same(leaf, mine) for mine in told), (key, leaf)


def value_leaves(value: Any) -> Iterator[Any]:
    """The values of lists and objects, without those that are written in other words."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in TRANSLATED and not (key == "status" and item == "open"):
                yield from value_leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from value_leaves(item)
    else:
        yield value


def parsed(line: Line, stated: dict[str, Any]) -> None:
    for key, value in stated.items():
        if (line.folder, line.file, key) in OTHER_MEANING:
            continue
        if key == "raw_symbol" and value in NO_SYMBOL:
            continue
        if is_unread(line):
            assert key in ("ts_ms", "raw_symbol"), key
            if key == "ts_ms" and line.file.startswith("exch_"):
                assert value == time_ns(line.root["time"]) // 10**6
            else:
                assert value is None or any(same(value, mine) for mine in leaves(line.root)), (key, value)
            continue
        if key == "symbol_normalized" and not line.native:
            continue  # a depth that does not say whose it is
        mine = parsed_value(line, key)
        close = isinstance(mine, float) and isinstance(value, float) and math.isclose(mine, value, rel_tol=1e-12)
        assert mine == value or close, (key, mine, value)


def checks(line: Line, stated: dict[str, Any]) -> None:
    root = line.root
    if stated.get("channel") in ("ticker", "trade", "book") and line.rows[0]["type"] != "control":
        assert set(stated) == {"channel", "type"}
        assert {row["type"] for row in line.rows} == {stated["channel"]}
        for row in line.rows:
            snapshot = row["snapshot"] if row["type"] == "book" else bool(row["flags"] & Flag.SNAPSHOT)
            assert snapshot == (stated["type"] == "snapshot")
        return
    assert is_unread(line)
    if "success" in stated:
        assert line.rows[0]["class"] == ("acknowledgement" if stated["success"] else "refusal")
    for key, value in stated.items():
        if key in ("n", "warnings"):
            assert value == len(root["data"] if key == "n" else root["result"]["warnings"])
        else:
            stands_in({key: value} if key != "type" else {"kind": value}, root)


OPPOSITE = {"buy": "sell", "sell": "buy"}


def stated_trade(trade: dict[str, Any], row: dict[str, Any]) -> None:
    note = trade.get("note", "")
    milliseconds = row["tradeTimeNs"] // 10**6
    tests: dict[str, Callable[[Any], bool]] = {
        "symbol": lambda value: value == row["nativeSymbol"],
        "id": lambda value: str(value) == str(row["tradeId"]) or not str(value).isdigit(),
        "price": lambda value: value == row["price"],
        "size": lambda value: value == row["volume"],
        "qty": lambda value: value == row["volume"],
        "side": lambda value: value == (OPPOSITE[row["side"]] if "maker" in note else row["side"]),
        "aggressor": lambda value: value == row["side"],
        "time": lambda value: (value if isinstance(value, int) else time_ns(value) // 10**6) == milliseconds,
        "ts_ms": lambda value: value == milliseconds,
        "note": lambda value: "maker" in value,
    }
    for key, value in trade.items():
        assert tests[key](value), (key, value)


def normalized(line: Line, stated: dict[str, Any]) -> None:
    if is_unread(line):
        if "positions" in str(stated.get("type")):
            assert stated["count"] == len(line.root["positions"])
        stands_in(stated, line.root)
        return
    kind = stated.get("type", stated.get("event_type", "quote" if "quote" in stated else "trades"))
    NORMALIZED[kind](line, stated)


def trades(line: Line, stated: dict[str, Any]) -> None:
    items = stated.get("trades") or [stated["trade"]]
    for item, row in zip(items, line.of("trade"), strict=True):
        stated_trade(item, row)


def quote(line: Line, stated: dict[str, Any]) -> None:
    row, told = line.only("ticker"), stated["quote"]
    assert (told["bid"], told["ask"]) == (row["bidPrice"], row["askPrice"])
    assert (time_ns(told["time"]) if told["time"] else 0) // 10**6 == row["exchangeTimeNs"] // 10**6


def ticker(line: Line, stated: dict[str, Any]) -> None:
    row = line.only("ticker")
    mine = {
        "type": "ticker", "symbol": row["nativeSymbol"], "bid": row["bidPrice"], "ask": row["askPrice"],
        "bid_size": row["bidVolume"], "ask_size": row["askVolume"], "bid_qty": row["bidVolume"],
        "ask_qty": row["askVolume"], "ts_ms": row["exchangeTimeNs"] // 10**6,
    }  # fmt: skip
    for funding in line.of("funding"):
        mine |= {"mark": funding["markPrice"], "index": funding["indexPrice"]}
    for key, value in stated.items():
        if key == "timestamp":
            assert time_ns(value) == row["exchangeTimeNs"]
        elif key in mine:
            assert mine[key] == value, key
        elif key != "note":
            stands_in({key: value}, line.root)  # of the day's statistics, which no stream reads


def one_trade(line: Line, stated: dict[str, Any]) -> None:
    row = line.only("trade")
    number = stated.get("trade_id", stated.get("aggregate_trade_id"))
    price, volume = stated.get("price", row["price"]), stated.get("quantity", stated.get("qty"))
    assert (int(number), float(price), float(volume)) == (row["tradeId"], row["price"], row["volume"])
    assert stated["symbol"] == row["nativeSymbol"]
    if "is_market_maker" in stated:
        assert row["side"] == ("sell" if stated["is_market_maker"] else "buy")
        assert bool(row["flags"] & Flag.AGGREGATE) == (stated["event_type"] == "aggTrade")
    else:
        assert stated["side"] == row["side"]
    times = {"event_time": "exchangeTimeNs", "event_ts_ms": "exchangeTimeNs"}
    for name, ns in (times | {"trade_time": "tradeTimeNs", "trade_ts_ms": "tradeTimeNs"}).items():
        assert stated.get(name, row[ns] // 10**6) * 10**6 == row[ns]
    read = {
        "trade_id", "aggregate_trade_id", "price", "quantity", "qty", "symbol", "is_market_maker", "side", "event_time",
        "event_ts_ms", "trade_time", "trade_ts_ms", "type", "event_type", "stream_type", "ignore",
    }  # fmt: skip
    rest = {key: value for key, value in stated.items() if key not in read}
    # The orders of both sides, and the range of what an aggregate stands for, are not read.
    assert rest.keys() <= {"buyer_order_id", "seller_order_id", "first_trade_id", "last_trade_id"}


def book_ticker(line: Line, stated: dict[str, Any]) -> None:
    row = line.only("ticker")
    assert (stated["symbol"], stated["order_book_update_id"]) == (row["nativeSymbol"], row["seq"])
    for side in ("bid", "ask"):
        told = float(stated[f"best_{side}_price"]), float(stated[f"best_{side}_quantity"])
        assert told == (row[f"{side}Price"], row[f"{side}Volume"])


def depth(line: Line, stated: dict[str, Any]) -> None:
    update = line.update
    assert stated["symbol"] == update.native and update.snapshot
    ids = ("first_update_id_in_event", "final_update_id_in_event", "final_update_id_in_previous_event")
    assert [stated[name] for name in ids] == [update.firstSeq, update.lastSeq, update.prevSeq]
    assert stated["event_time"] * 10**6 == update.exchangeTimeNs
    for side in ("bids", "asks"):
        assert [tuple(level) for level in stated[side]] == getattr(update, side)


def candle(line: Line, stated: dict[str, Any]) -> None:
    row = line.only("kline")
    inner = stated.get("kline", stated)
    mine = {
        "symbol": row["nativeSymbol"], "open": row["open"], "high": row["high"], "low": row["low"],
        "close": row["close"], "volume": row["volume"], "trades": row["tradeCount"],
        "interval_minutes": row["intervalS"] // 60, "kline_start_time": row["openTimeNs"] // 10**6,
        # The venue names the last millisecond.
        "kline_close_time": row["closeTimeNs"] // 10**6 - 1, "open_price": row["open"], "close_price": row["close"],
        "high_price": row["high"], "low_price": row["low"], "base_volume": row["volume"],
        "number_of_trades": row["tradeCount"], "is_closed": bool(row["flags"] & Flag.CLOSED),
        "partial": not row["flags"] & Flag.CLOSED, "quote": row["quoteVolume"],
    }  # fmt: skip
    unread = {
        "type", "vwap", "interval", "first_trade_id", "last_trade_id", "taker_by_base_asset_volume",
        "taker_by_quote_asset_volume",
    }  # fmt: skip
    for key, value in inner.items():
        if key == "interval_begin":
            assert time_ns(value) == row["openTimeNs"]
        elif key not in unread:
            assert same(mine[key], value), key
    assert stated.get("event_time", row["exchangeTimeNs"] // 10**6) == row["exchangeTimeNs"] // 10**6


def funding(line: Line, stated: dict[str, Any]) -> None:
    for item, row in zip(stated["data"], line.of("funding"), strict=True):
        mine = {
            "symbol": row["nativeSymbol"], "event_time": row["exchangeTimeNs"] // 10**6, "mark_price": row["markPrice"],
            "funding_rate": row.get("rate"), "next_funding_time": row.get("fundingTimeNs", 0) // 10**6,
            "index_price": row.get("indexPrice"),
        }  # fmt: skip
        for key, value in item.items():
            if key not in ("stream_type", "event_type", "estimated_settle_price"):
                assert same(mine[key], value), key


def unproven(line: Line) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The book at a line by its updates alone, where a source lost the zeros that the checksum needs."""
    book, parser = OrderBook(VENUES[line.folder], line.update.symbol, 10), BookParser(VENUES[line.folder])
    for frame in lines_of(line.folder, line.file)[: line.number]:
        for update in parser.parse(frame):
            if update.symbol == book.symbol:
                (book.apply_snapshot if update.snapshot else book.apply)(update.bids, update.asks)
    return book.top_texts(10)


def book_state(line: Line, stated: dict[str, Any]) -> None:
    row = line.only("book")
    sides = (row["bids"], row["asks"]) if row["valid"] else unproven(line)
    bids, asks = ([list(level) for level in side] for side in sides)
    for name, levels in (("bids", bids), ("asks", asks)):
        for told, mine in zip(stated.get(name, levels), levels, strict=True):
            exact = all(isinstance(value, str) for value in told)
            assert (told == mine) if exact else all(same(*pair) for pair in zip(told, mine, strict=True))
    assert stated.get("best_bid", bids[0]) == bids[0] and stated.get("best_ask", asks[0]) == asks[0]
    assert stated.get("n_bids", len(bids)) == len(bids) and stated.get("n_asks", len(asks)) == len(asks)
    # Only what is proven by its digits is a proven book.
    assert row["valid"] or "checksum_verified" not in stated
    assert stated.get("seq", row["seq"]) == row["seq"]
    assert stated.get("symbol", row["nativeSymbol"]) == row["nativeSymbol"]
    assert stated.get("ts_ms", row["exchangeTimeNs"] // 10**6) == row["exchangeTimeNs"] // 10**6


def best_of_book(line: Line, stated: dict[str, Any]) -> None:
    """The best bid and ask of the other channel, of the same state of the book."""
    parser, seq = Parser(Exchange.OKX_SWAP), line.update.lastSeq
    tops = [parser.parse(frame)[0] for frame in lines_of(line.folder, "bbo_tbt.jsonl")]
    (top,) = [event for event in tops if event.seq == seq]
    assert [float(text) for text in stated["best_ask"]] == [top.askPrice, top.askVolume]
    assert [float(text) for text in stated["best_bid"]] == [top.bidPrice, top.bidVolume]


NORMALIZED: dict[str, Callable[[Line, dict[str, Any]], None]] = {
    "trades": trades, "quote": quote, "ticker": ticker, "trade": one_trade, "aggTrade": one_trade,
    "bookTicker": book_ticker, "depthUpdate": depth, "candle": candle, "kline": candle, "markPriceUpdate": funding,
    "book_state_after": book_state, "book_after_this_message(4-message DOGE sequence)": book_state,
    "book_update": best_of_book,
}  # fmt: skip

# Of each message of TWS: its name, and at which place the stated fields stand.
TWS = {
    "error": ("error 2104", {"ReqID": 1, "Code": 2}),
    "executionData": ("execDetails", {
        "OrderID": 2, "ExecID": 14, "Time": 15, "Account": 16, "Side": 18, "Shares": 19, "Price": 20,
    }),
    "completedOrder": ("completedOrder", {
        "Contract.Symbol": 2, "OrderType": 14, "Quantity": 13, "Filled": 21, "Status": None,
    }),
    "contractDataEnd": ("contractDetailsEnd", {"ReqID": 2}),
    "position": ("position", {
        "Account": 2, "Contract.ConID": 3, "Contract.Symbol": 4, "Contract.SecType": 5, "Contract.Exchange": 10,
        "Contract.Currency": 11, "Position": 14, "AvgCost": 15,
    }),
    "tickPrice": ("tickPrice", {"ReqID": 2, "TickType": 3, "Price": 4, "Size": 5, "AttrMask": 6}),
    "openOrder": ("openOrder", {
        "OrderID": 1, "Contract.ConID": 2, "Contract.Symbol": 3, "Contract.SecType": 4, "Account": 20, "Action": 13,
        "OrderType": 15, "Status": None, "Filled": None, "Remaining": None,
    }),
    "historicalSchedule": ("historicalSchedule", {"ReqID": 1, "StartDateTime": 2, "EndDateTime": 3, "TimeZone": 4}),
}  # fmt: skip


def tws(line: Line, stated: dict[str, Any]) -> None:
    name, places = TWS[stated["type"]]
    assert line.rows[0]["name"] == name
    fields = str(line.root).split("\0")
    for key, value in stated["fields"].items():
        place = places[key]
        # None: after fields of varying number.
        assert str(value) in fields if place is None else fields[place] == str(value), key


SHAPES: dict[str, Callable[[Line, Any], None]] = {
    "tardis_normalized": tardis, "parsed": parsed, "checks": checks, "normalized": normalized,
}  # fmt: skip


@pytest.mark.parametrize("folder", VENUES)
def test_every_row(folder: str) -> None:
    rows = [json.loads(line) for line in lines_of(folder, "EXPECTED.jsonl")]
    mapped = 0
    failures = []
    for row in rows:
        stated = row["expect"]
        try:
            place = OF_ANOTHER_LINE.get((folder, row["file"], row["line"]), (folder, row["file"], row["line"]))
            if place is None:
                mapped += 1
                continue
            line = Line(*place)
            if stated.keys() == {"type", "fields"}:
                tws(line, stated)
            else:
                (shape,) = stated
                SHAPES[shape](line, stated[shape])
            mapped += 1
        except (AssertionError, KeyError, ValueError, IndexError, TypeError) as error:
            failures.append(f"{row['file']}:{row['line']}: {error!r}")
    assert not failures, "\n".join(failures)
    assert mapped == len(rows) > 0
