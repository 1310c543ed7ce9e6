"""Recorded messages of the venues against the slow reading, and against what sources state.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import datetime
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parse_oracle as oracle
import pytest

from hftcore.enums import Exchange, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker, Trade

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif("HFTPY_FIXTURES" not in os.environ, reason="HFTPY_FIXTURES names no folder of messages"),
]
ROOT = Path(os.environ.get("HFTPY_FIXTURES", ".")) / "real"
VENUES = {
    "kraken": "kraken", "binance_spot": "binance", "binance_us": "binance", "coinbase": "coinbase",
    "kraken_futures": "kraken_future", "okx_spot": "okx", "okx_swap": "okx_swap", "okx_other": "okx_swap",
    "okx_common": "okx", "binance_usdm": "binance_future", "binance_coinm": "binance_future",
}  # fmt: skip
# The folders whose sessions are named otherwise, and those without any.
SESSIONS = {"okx_spot": "okx", "okx_swap": "", "okx_other": "", "okx_common": "", "binance_coinm": ""}
# The kinds of the frames of a file, by the beginning of its name; checked beside the slow reading.
KINDS = {
    "kraken": {
        "v1_ticker": "events", "v1_trade": "events", "v2_ticker": "events", "v2_trade": "events", "v1_book": "other",
        "v2_book": "other", "v1_control": "control", "v2_control": "control", "v1_my_": "other", "v2_my_": "other",
        "v1_ohlc": "other", "v2_ohlc": "other", "v1_spread": "other", "v2_instrument": "other", "v2_level3": "other",
        "v1_order_ack": "control", "v2_order_ack": "control", "v1_request": "control", "v2_request": "control",
    },
    "binance": {
        "aggtrade": "events", "trade": "events", "bookticker": "events", "control": "control", "request": "control",
        "wsapi_response": "control", "avgprice": "other", "depth": "other", "kline": "other", "markprice": "other",
        "miniticker": "other", "my_": "other", "ticker24h": "other", "ticker_window": "other",
    },
    "coinbase": {
        "adv_ticker": "events", "adv_trade": "events", "exch_ticker": "events", "exch_trade": "events",
        "adv_control": "control", "exch_control": "control", "request": "control", "adv_book": "other",
        "adv_candle": "other", "adv_my_": "other", "adv_status": "other", "exch_book": "other", "exch_full": "other",
        "exch_my_order_trade": "events other", "exch_status": "other",
    },
    "kraken_future": {
        "ticker": "events", "trade": "events", "control": "control", "request": "control", "book": "other",
        "my_": "other",
    },
    "binance_future": {
        "aggtrade": "events", "trade": "events", "bookticker": "events", "control": "control", "request": "control",
        "wsapi_response": "control", "contractinfo": "other", "depth": "other", "kline": "other",
        "liquidation": "other", "markprice": "other", "miniticker": "other", "my_": "other", "ticker24h": "other",
    },
    "okx": {
        "bbo_tbt": "events", "tickers": "events", "trades": "events", "control": "control", "request": "control",
        "order_ack": "control", "books": "other", "candle": "other", "funding": "other", "instruments": "other",
        "liquidation": "other", "markprice": "other", "my_": "other", "openinterest": "other", "opt_summary": "other",
        "sprd": "other",
    },
}  # fmt: skip
KINDS["okx_swap"] = KINDS["okx"]
# What stands under another name: option-trades, which is a channel of its own.
MORE_KINDS = {("okx_other", "trades.jsonl"): "events other"}
# How many of the frames with events a template must read.
SHARES = [
    ("kraken", 1.0), ("binance_spot", 0.999), ("binance_us", 1.0), ("coinbase", 0.98), ("kraken_futures", 1.0),
    ("okx_spot", 0.98), ("okx_swap", 0.98), ("okx_other", 0.92), ("binance_usdm", 0.999),
]  # fmt: skip
# Recorded frames of our channels that lack what an event needs.
BROKEN = {
    ("binance_spot", "aggtrade.jsonl"): 1, ("binance_spot", "trade.jsonl"): 1, ("kraken", "v1_ticker.jsonl"): 1,
    ("binance_usdm", "aggtrade.jsonl"): 1, ("okx_spot", "trades.jsonl"): 1,
}  # fmt: skip




def lines_of(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def sessions_of(folder: str) -> list[Path]:
    name = SESSIONS.get(folder, folder)
    return sorted((ROOT / "sessions").glob(f"{name}__*")) if name else []


def files_of(folder: str) -> list[Path]:
    skipped = ("rest_", "adv_rest_", "exch_rest_", "EXPECTED", "DERIVED", "SOURCES")
    return sorted(path for path in (ROOT / folder).glob("*") if not path.name.startswith(skipped))


def compare(parser: Parser, venue: str, frame: bytes) -> str | None:
    """Assert that both readings agree; the kind, None if both refuse."""
    try:
        kind, rows = oracle.read(venue, frame)
    except ValueError:
        with pytest.raises(ParseError):
            parser.parse(frame)
        return None
    events = parser.parse(frame)
    assert parser.kind is not None and parser.kind.name.lower() == kind, frame
    actual = []
    for event, native in zip(events, parser.nativeSymbols, strict=True):
        row = event.to_dict()
        del row["exchange"], row["symbol"], row["localTimeNs"]
        name = "ticker" if isinstance(event, Ticker) else "trade"
        actual.append(oracle.float_bits({"type": name, "nativeSymbol": native} | row))
    assert actual == [oracle.float_bits(row) for row in rows], frame
    return kind


@pytest.mark.parametrize("folder", VENUES)
def test_every_frame(folder: str) -> None:
    venue = VENUES[folder]
    parser = Parser(Exchange.parse(venue))
    paths = files_of(folder)
    assert paths, f"no recorded messages in {ROOT / folder}"
    for path in paths:
        (kinds,) = {kind for prefix, kind in KINDS[venue].items() if path.name.startswith(prefix)}
        kinds = MORE_KINDS.get((folder, path.name), kinds)
        seen = [compare(parser, venue, line) for line in lines_of(path)]
        assert set(seen) - {None} == set(kinds.split()), path.name
        assert seen.count(None) == BROKEN.get((folder, path.name), 0), path.name


@pytest.mark.parametrize("folder", [folder for folder in VENUES if SESSIONS.get(folder, folder)])
def test_every_frame_of_the_sessions(folder: str) -> None:
    venue = VENUES[folder]
    parser = Parser(Exchange.parse(venue))
    events = 0
    for path in sessions_of(folder):
        for line in lines_of(path):
            entry = json.loads(line)
            if entry["t"] == "recv":
                kind = compare(parser, venue, entry["data"].encode())
                assert kind is not None, line
                events += kind == "events"
    assert events > 0


@pytest.mark.parametrize("folder", VENUES)
def test_one_frame_of_each_shape_cut_at_every_byte(folder: str) -> None:
    venue = VENUES[folder]
    parser = Parser(Exchange.parse(venue))
    for path in files_of(folder):
        frame = min(lines_of(path), key=len)
        for size in range(len(frame)):
            with pytest.raises(ParseError):
                parser.parse(frame[:size])


def received(folder: str) -> Iterator[bytes]:
    """All frames of a venue that are stored, by channel and by session."""
    for path in files_of(folder):
        yield from lines_of(path)
    for path in sessions_of(folder):
        for line in lines_of(path):
            entry = json.loads(line)
            if entry["t"] == "recv":
                yield entry["data"].encode()


@pytest.mark.parametrize(("folder", "share"), SHARES)
def test_templates_read_the_venues_own_spelling(folder: str, share: float) -> None:
    fast = Parser(Exchange.parse(VENUES[folder]))
    slow = Parser(Exchange.parse(VENUES[folder]), templates=False)
    frames = 0
    for frame in received(folder):
        results: list[list[Ticker | Trade] | str] = []
        for parser in (fast, slow):
            try:
                results.append(parser.parse(frame, 42))
            except ParseError as error:
                results.append(str(error))
        assert fast.kind is slow.kind and fast.nativeSymbols == slow.nativeSymbols, frame
        if isinstance(results[0], str) or isinstance(results[1], str):
            assert results[0] == results[1], frame
            continue
        assert [event.to_bytes() for event in results[0]] == [event.to_bytes() for event in results[1]], frame
        frames += fast.kind is FrameKind.EVENTS
    assert slow.templateHits == 0 and frames * share <= fast.templateHits <= frames


def time_ns(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    delta = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (delta.days * 86400 + delta.seconds) * 10**9 + delta.microseconds * 1000


Check = Callable[[dict[str, Any], list[Ticker | Trade], list[str]], None]


def trade_number(text: str | int) -> int:
    """The trade's number as the struct has it: 0 for a UUID."""
    return int(text) if str(text).isdigit() else 0


def _tardis(row: dict[str, Any], events: list[Any], natives: list[str]) -> None:
    # What this source derives beside the event: none of our structs.
    derived = ("derivative_ticker", "liquidation")
    stated = [item for item in row["tardis_normalized"] if item["type"] not in derived]
    for item, event, native in zip(stated, events, natives, strict=True):
        # Of a trade, this source states when it happened.
        ns = event.exchangeTimeNs if item["type"] == "book_ticker" else event.tradeTimeNs
        assert item["symbol"] == native and time_ns(item["timestamp"]) == ns // 1000 * 1000
        if item["type"] == "book_ticker":
            stated = (item["bidPrice"], item["bidAmount"], item["askPrice"], item["askAmount"])
            assert stated == (event.bidPrice, event.bidVolume, event.askPrice, event.askVolume)
        else:
            assert item["type"] == "trade"
            assert (item["price"], item["amount"], item["side"]) == (event.price, event.volume, str(event.side))
            assert trade_number(item["id"]) == event.tradeId


CONTRACT_VALUES = {"BTC-USDT-SWAP": 0.01}


def _parsed(row: dict[str, Any], events: list[Any], natives: list[str]) -> None:
    (event,) = events

    def in_base(volume: float) -> float:
        # OKX's swaps count contracts; this source multiplies by what one is worth.
        return volume * CONTRACT_VALUES.get(natives[0], 1.0)

    fields: dict[str, Callable[[], Any]] = {
        "ts_ms": lambda: event.exchangeTimeNs // 10**6 or None,
        "trades.len()": lambda: len(events),
        "trade.quantity_base": lambda: in_base(event.volume),
        "trade.side": lambda: str(event.side),
        "trade.timestamp": lambda: event.tradeTimeNs // 10**6,
        "trade.price": lambda: event.price,
        "trade.quantity_contract": lambda: event.volume if event.symbol.settle else None,
        # Of an inverse contract, which is worth one unit of the quote currency.
        "trade.quantity_quote": lambda: event.volume,
        "symbol_normalized": lambda: f"{event.symbol.base}/{event.symbol.quote}".upper(),
        "raw_symbol": lambda: natives[0],
        "bbo_msg.symbol": lambda: natives[0],
        "bbo_msg.id": lambda: event.seq or None,
        "bbo_msg.timestamp": lambda: event.exchangeTimeNs // 10**6 or None,
        "bbo_msg.ask_price": lambda: event.askPrice,
        "bbo_msg.ask_quantity_base": lambda: in_base(event.askVolume),
        "bbo_msg.ask_quantity_contract": lambda: event.askVolume if event.symbol.settle else None,
        "bbo_msg.bid_price": lambda: event.bidPrice,
        "bbo_msg.bid_quantity_base": lambda: in_base(event.bidVolume),
        "bbo_msg.bid_quantity_contract": lambda: event.bidVolume if event.symbol.settle else None,
    }
    for key, value in row["parsed"].items():
        assert fields[key]() == value, key


def _checks(row: dict[str, Any], events: list[Any], natives: list[str]) -> None:
    checks = row["checks"]
    assert set(checks) == {"channel", "type"} and events
    assert all(isinstance(event, Ticker if checks["channel"] == "ticker" else Trade) for event in events)
    assert all(bool(event.flags & 1) == (checks["type"] == "snapshot") for event in events)


def stated_ms(time: int | str) -> int:
    return time if isinstance(time, int) else time_ns(time) // 10**6


OPPOSITE = {"buy": "sell", "sell": "buy"}


def _stated_trade(trade: dict[str, Any], event: Any) -> None:
    """Every field that the source states of one trade."""
    checks: dict[str, Callable[[Any], bool]] = {
        "symbol": lambda value: value == str(event.symbol).upper().replace("/", "-"),
        "id": lambda value: trade_number(value) == event.tradeId,
        "price": lambda value: value == event.price,
        "size": lambda value: value == event.volume,
        "qty": lambda value: value == event.volume,
        "side": lambda value: value == (OPPOSITE[str(event.side)] if "maker" in note else str(event.side)),
        "aggressor": lambda value: value == str(event.side),
        "time": lambda value: event.tradeTimeNs // 10**6 == stated_ms(value),
        "ts_ms": lambda value: event.tradeTimeNs == value * 10**6,
        "note": lambda value: "maker" in value,
    }
    note = trade.get("note", "")
    for key, value in trade.items():
        assert checks[key](value), (key, value)


def _normalized(row: dict[str, Any], events: list[Any], natives: list[str]) -> None:
    item = row["normalized"]
    stated = item.get("trades", [item["trade"]] if "trade" in item else None)
    if isinstance(stated, list):
        for trade, event in zip(stated, events, strict=True):
            _stated_trade(trade, event)
        return
    (event,) = events
    if "quote" in item:
        quote = item["quote"]
        assert (quote["bid"], quote["ask"]) == (event.bidPrice, event.askPrice)
        assert (time_ns(quote["time"]) if quote["time"] else 0) // 10**6 == event.exchangeTimeNs // 10**6
    elif item.get("type") == "ticker":
        assert (item["symbol"], item["bid"], item["ask"]) == (natives[0], event.bidPrice, event.askPrice)
        sizes = ("bid_size", "ask_size") if "bid_size" in item else ("bid_qty", "ask_qty")
        assert (item[sizes[0]], item[sizes[1]]) == (event.bidVolume, event.askVolume)
        if "timestamp" in item:
            assert time_ns(item["timestamp"]) == event.exchangeTimeNs
        if "ts_ms" in item:
            assert item["ts_ms"] * 10**6 == event.exchangeTimeNs
    elif item.get("type") == "trade":
        assert (item["symbol"], item["side"]) == (natives[0], str(event.side))
        assert (int(item["trade_id"]), item["qty"]) == (event.tradeId, event.volume)
        assert item.get("price", event.price) == event.price
        assert item.get("event_ts_ms", event.exchangeTimeNs // 10**6) * 10**6 == event.exchangeTimeNs
        assert item.get("trade_ts_ms", event.tradeTimeNs // 10**6) * 10**6 == event.tradeTimeNs
    elif item["event_type"] == "bookTicker":
        assert (item["symbol"], item["order_book_update_id"]) == (natives[0], event.seq)
        for side, price, volume in (("bid", event.bidPrice, event.bidVolume), ("ask", event.askPrice, event.askVolume)):
            assert (float(item[f"best_{side}_price"]), float(item[f"best_{side}_quantity"])) == (price, volume)
    else:
        assert item["event_type"] in ("trade", "aggTrade")
        number = item["trade_id" if item["event_type"] == "trade" else "aggregate_trade_id"]
        assert (item["symbol"], number) == (natives[0], event.tradeId)
        assert (float(item["price"]), float(item["quantity"])) == (event.price, event.volume)
        assert (item["event_time"] * 10**6, item["trade_time"] * 10**6) == (event.exchangeTimeNs, event.tradeTimeNs)
        assert event.side is (Side.SELL if item["is_market_maker"] else Side.BUY)


MAPPINGS: dict[str, Check] = {
    "tardis_normalized": _tardis, "parsed": _parsed, "checks": _checks, "normalized": _normalized,
}  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "least"),
    [
        ("kraken", 5), ("binance_spot", 5), ("coinbase", 3), ("kraken_futures", 7), ("okx_spot", 6), ("okx_swap", 5),
        ("okx_other", 3), ("binance_usdm", 8), ("binance_coinm", 2),
    ],
)  # fmt: skip
def test_what_sources_state(folder: str, least: int) -> None:
    parser = Parser(Exchange.parse(VENUES[folder]))
    checked = 0
    for line in lines_of(ROOT / folder / "EXPECTED.jsonl"):
        row = json.loads(line)
        if KINDS[VENUES[folder]].get(row["file"].split(".")[0]) != "events":
            continue
        path = ROOT / folder / row["file"]
        path = path if path.exists() else path.with_name(path.name + ".gz")
        frame = list(lines_of(path))[row["line"] - 1]
        (shape,) = row["expect"]
        events = parser.parse(frame)
        MAPPINGS[shape](row["expect"], events, parser.nativeSymbols)
        checked += 1
    assert checked >= least


@pytest.mark.parametrize("folder", ["binance_spot", "binance_us", "binance_usdm"])
def test_book_tickers_equal_the_derived_top_of_book(folder: str) -> None:
    parser = Parser(Exchange.parse(VENUES[folder]))
    derived: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
    for line in lines_of(ROOT / folder / "DERIVED_TOB.jsonl.gz"):
        row = json.loads(line)
        if "u" in row:
            derived[row["symbol"], row["u"]] = (row["bid"], row["ask"])
    compared = 0
    for path in sessions_of(folder):
        for line in lines_of(path):
            entry = json.loads(line)
            if entry["t"] != "recv" or "bookTicker" not in entry["data"]:
                continue
            (event,) = parser.parse(entry["data"].encode())
            top = derived.get((parser.nativeSymbols[0], event.seq))
            if top is not None:
                compared += 1
                bid, ask = top
                assert (float(bid[0]), float(bid[1])) == (event.bidPrice, event.bidVolume)
                assert (float(ask[0]), float(ask[1])) == (event.askPrice, event.askVolume)
    assert compared > 0


def test_best_of_book_equals_the_book_of_the_same_number() -> None:
    parser = Parser(Exchange.OKX_SWAP)
    best = {}
    for line in lines_of(ROOT / "okx_swap" / "bbo_tbt.jsonl"):
        (event,) = parser.parse(line)
        best[event.seq] = (event.askPrice, event.askVolume, event.bidPrice, event.bidVolume)
    books = list(lines_of(ROOT / "okx_swap" / "books.jsonl"))
    compared = 0
    for line in lines_of(ROOT / "okx_swap" / "EXPECTED.jsonl"):
        row = json.loads(line)
        stated = row["expect"].get("normalized", {})
        if "bbo-tbt" in stated.get("note", ""):
            seq = json.loads(books[row["line"] - 1])["data"][0]["seqId"]
            assert best[seq] == tuple(float(text) for text in stated["best_ask"] + stated["best_bid"])
            compared += 1
    assert compared > 0
