"""Recorded messages of the venues against the slow reading.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import parse_oracle as oracle
import pytest

from hftcore.enums import Exchange
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
