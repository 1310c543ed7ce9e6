"""`hftpy decode` of every recorded file of every venue: each line is answered by events, or by its name.

An error only where a recorded line is known to be broken, and no line under a name that says nothing.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import gzip
import io
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hftcore.enums import Exchange
from hftpy.cli.decode import decode_files, decode_lines

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif("HFTPY_FIXTURES" not in os.environ, reason="HFTPY_FIXTURES names no folder of messages"),
]
ROOT = Path(os.environ.get("HFTPY_FIXTURES", ".")) / "real"
VENUES = {
    "kraken": "kraken", "kraken_futures": "kraken_future", "binance_spot": "binance", "binance_us": "binance",
    "binance_usdm": "binance_future", "binance_coinm": "binance_future", "coinbase": "coinbase", "okx_spot": "okx",
    "okx_swap": "okx_swap", "okx_other": "okx_swap", "okx_common": "okx", "ib": "ib",
}  # fmt: skip
# How many recorded frames of a file lack what an event needs.
ERRORS = {
    "binance_spot/aggtrade.jsonl": 1, "binance_spot/trade.jsonl": 1, "binance_usdm/aggtrade.jsonl": 1,
    "okx_spot/trades.jsonl": 1, "kraken/v1_ticker.jsonl": 1,
    # A level without a volume; a volume "0.-10000"; a book that does not say whether it is whole.
    "binance_usdm/depth.jsonl.gz": 1, "coinbase/exch_book.jsonl": 1, "okx_spot/books.jsonl": 1,
    # Examples cut down to a time: no prices.
    "kraken/v2_ohlc.jsonl": 2, "binance_spot/kline.jsonl": 3, "binance_usdm/kline.jsonl": 2, "okx_spot/candle.jsonl": 2,
    "coinbase/adv_candle.jsonl": 2,
    # A funding rate without the rate.
    "okx_swap/funding.jsonl": 1,
    # Texts of another library's tests, which are no messages of TWS.
    "ib/tws_control.jsonl": 4, "ib/tws_ticker.jsonl": 3, "ib/tws_tickbytick.jsonl": 1, "ib/tws_request.jsonl": 5,
}  # fmt: skip
REST = "rest answer|rest refusal"
# What the lines of a file may be, by the beginning of its name, the first that fits: types of events, classes of
# frames without, and the channels that are not supported by their names.
ALLOWED = {
    "kraken": {
        "rest_error": "rest refusal", "rest_": REST, "v1_book": "book", "v2_book": "book", "v1_ticker": "ticker",
        "v2_ticker": "ticker", "v1_trade": "trade", "v2_trade": "trade", "v2_ohlc": "kline",
        "v1_control": "heartbeat|status|acknowledgement|refusal", "v2_control_nonjson": "notice",
        "v2_control": "heartbeat|status|acknowledgement|refusal", "v1_my_": "private", "v2_my_": "private",
        "v1_ohlc": "kline", "v1_spread": "not supported: spread",
        "v1_order_ack": "acknowledgement|refusal",
        "v2_order_ack": "acknowledgement|refusal", "v1_request": "request|heartbeat", "v2_request": "request|heartbeat",
        "v2_instrument": "not supported: instrument", "v2_level3": "not supported: level3",
    },
    "kraken_futures": {
        "rest_error": "rest refusal", "rest_": REST, "book": "book", "ticker": "ticker|funding", "trade": "trade",
        "control": "notice|status|acknowledgement|refusal|heartbeat", "my_": "private", "request": "request",
    },
    "binance": {
        "rest_depth": "book", "rest_recorded": f"{REST}|book", "rest_": REST, "aggtrade": "trade",
        "trade": "trade|without events",
        "bookticker": "ticker", "depth": "book", "kline": "kline|not supported: continuous_kline",
        "markprice": "funding|not supported: (indexPriceUpdate|compositeIndex|assetIndexUpdate)",
        "miniticker": "not supported: 24hrMiniTicker", "ticker24h": "not supported: 24hrTicker",
        "ticker_window": "not supported: [0-9]+[hd]Ticker", "avgprice": "not supported: avgPrice",
        "contractinfo": "not supported: contractInfo", "liquidation": "not supported: forceOrder", "my_": "private",
        "control": "acknowledgement|refusal|notice", "request": "request", "wsapi_response": "acknowledgement|refusal",
    },
    "coinbase": {
        "adv_rest_": REST, "exch_rest_": REST, "rest_": REST, "adv_book": "book", "exch_book": "book",
        "adv_candle": "kline", "adv_control": "heartbeat|acknowledgement", "adv_my_": "private",
        "adv_status": "not supported: status", "adv_ticker": "ticker|without events: ticker_batch",
        "adv_trade": "trade",
        "exch_control": "acknowledgement|heartbeat|refusal",
        "exch_full": "not supported: (received|open|done|change|activate)",
        "exch_my_": "private|trade", "exch_status": "not supported: status", "exch_ticker": "ticker",
        "exch_trade": "trade",
        "request": "request",
    },
    "okx": {
        "rest_error": "rest refusal", "rest_": REST, "bbo_tbt": "ticker", "tickers": "ticker", "books": "book",
        "trades": "trade|not supported: option-trades", "candle": "kline|not supported: (index|mark-price)-candle.*",
        "funding": "funding",
        "markprice": "funding|not supported: (price-limit|index-tickers|estimated-price)",
        "my_other": "private|not supported: economic-calendar",
        "my_": "private", "instruments": "not supported: instruments",
        "liquidation": "not supported: liquidation-orders",
        "openinterest": "not supported: open-interest", "opt_summary": "not supported: opt-summary",
        "sprd": "not supported: sprd-.*", "control": "acknowledgement|refusal|notice|status|heartbeat",
        "order_ack": "acknowledgement|refusal", "request": "request|heartbeat",
    },
    "ib": {
        "cpapi_rest_": f"{REST}|status", "cpapi_ws": "not supported: .*|heartbeat|status|private|notice",
        "tws_bars": "answer|not supported: .*", "tws_book": "not supported: marketDepth(L2)?|answer",
        "tws_contract": "answer|request",
        "tws_control": "heartbeat|acknowledgement|request", "tws_error": "refusal|notice", "tws_my_": "private|request",
        "tws_other": "answer|not supported: .*", "tws_protobuf": "not supported: .*protobuf.*",
        "tws_request": "request|private|answer|acknowledgement|part of an event|not supported: .*",
        "tws_tickbytick": "trade|ticker|part of an event",
        "tws_ticker": "part of an event|status|request|not supported: tick.*",
    },
}  # fmt: skip
TABLES = {folder: ALLOWED.get(folder, ALLOWED[folder.partition("_")[0]]) for folder in VENUES}
# What no line may be called, in whatever file.
NAMELESS = "unknown"


def decoded(venue: str, path: Path) -> list[dict[str, object]]:
    out = io.StringIO()
    decode_files(Exchange.parse(venue), [path], out)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in out.getvalue().splitlines()]
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        lines = sum(1 for _ in file)
    numbers = [row["line"] for row in rows]
    assert sorted(set(numbers)) == list(range(1, lines + 1)) and numbers == sorted(numbers)
    return rows


def label(row: dict[str, object]) -> str:
    """What a row says its line is: ``ticker``, ``heartbeat``, ``not supported: spread``."""
    if "class" not in row:
        return str(row["type"])
    told = str(row["class"])
    if told in ("channel not supported", "without events"):
        assert row["name"], row
        return f"{told.removeprefix('channel ')}: {row['name']}"
    return told


@pytest.mark.parametrize("folder", VENUES)
def test_every_line_of_a_venue(folder: str) -> None:
    paths = [path for path in sorted((ROOT / folder).glob("*.jsonl*")) if path.name.partition(".")[0].islower()]
    assert paths
    for path in paths:
        allowed = next((what for start, what in TABLES[folder].items() if path.name.startswith(start)), None)
        assert allowed is not None, f"what are the lines of {path}?"
        rows = decoded(VENUES[folder], path)
        errors = [row for row in rows if row["type"] == "error"]
        assert len(errors) == ERRORS.get(f"{folder}/{path.name}", 0), (path, errors)
        assert all(row["reason"] for row in errors)
        for row in rows:
            if row["type"] != "error":
                told = label(row)
                fits = re.fullmatch(allowed, told) or re.fullmatch(allowed, told.partition(":")[0])
                assert fits and told != NAMELESS, (path, row)


@pytest.mark.parametrize(
    ("prefix", "venue"),
    [("binance_spot", "binance"), ("binance_us", "binance"), ("binance_usdm", "binance_future"), ("okx", "okx"),
     ("coinbase", "coinbase"), ("kraken", "kraken"), ("kraken_futures", "kraken_future")],
)  # fmt: skip
def test_every_line_of_the_sessions(prefix: str, venue: str) -> None:
    paths = sorted((ROOT / "sessions").glob(f"{prefix}__*"))
    assert paths
    events = 0
    for path in paths:
        rows = decoded(venue, path)
        assert [row for row in rows if row["type"] == "error"] == [], path
        assert NAMELESS not in {label(row) for row in rows}
        events += sum(row["type"] in ("ticker", "trade") for row in rows)
    assert events > 0


# Rows of a session before the snapshot of the REST API is recorded.
EARLY = {
    "binance_spot__hftbacktest_spot_btcusdt_20240808.jsonl.gz": 1,
    "binance_usdm__hftbacktest_usdm_btcusdt_20240808.jsonl.gz": 2,
}
# What a source rounded: its checksums are those of prices with 1 and volumes with 8 decimals.
PADDED = "v2_book_pks.jsonl"


def padded(line: bytes) -> bytes:
    def pad(match: re.Match[bytes]) -> bytes:
        digits = {b"price": ".1f", b"qty": ".8f"}[match[1]]
        return b'"%s":%s' % (match[1], format(Decimal(match[2].decode()), digits).encode())

    return re.sub(rb'"(price|qty)":\s*([0-9.eE+-]+)', pad, line)


@pytest.mark.parametrize("folder", ["kraken", "okx_spot", "okx_swap", "binance_spot", "binance_us", "binance_usdm"])
def test_best_of_every_book_that_is_proven(folder: str) -> None:
    """Every row of DERIVED_TOB, of the files of channels and of the sessions, is the best of a book that is valid."""
    derived: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(ROOT / folder / "DERIVED_TOB.jsonl.gz") as file:
        for line in file:
            row = json.loads(line)
            derived.setdefault(row["file"], []).append(row)
    assert derived
    for name, rows in derived.items():
        path = ROOT / folder / name
        path = path if path.exists() else path.with_name(path.name + ".gz")
        books = {}
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            lines = map(padded, stream) if name == PADDED else stream
            for book in decode_lines(Exchange.parse(VENUES[folder]), lines, 1):
                if book["type"] == "book":
                    books[book["line"], book["nativeSymbol"]] = book
        early = 0
        for row in rows:
            book = books[row["line"], row["symbol"]]
            if not book["valid"]:
                assert book["why"] == "no snapshot yet", (name, row, book)
                early += 1
                continue
            tops, stated = [list(book["bids"][0]), list(book["asks"][0])], [row["bid"], row["ask"]]
            if name == PADDED:
                tops, stated = ([list(map(Decimal, side)) for side in sides] for sides in (tops, stated))
            assert tops == stated, (name, row)
        assert early == EARLY.get(path.name, 0), name
