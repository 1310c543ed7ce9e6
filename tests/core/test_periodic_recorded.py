"""Recorded klines and funding against the slow reading, bit for bit, and against what sources state.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import gzip
import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import periodic_oracle as oracle
import pytest

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser
from hftcore.symbols import pair_of_native

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
SESSIONS = {"okx_spot": "okx"}  # where the sessions are named otherwise
# Files with klines or funding, and how many of their frames lack what makes one.
PERIODIC = ("kline", "v1_ohlc", "v2_ohlc", "candle", "adv_candle", "funding", "markprice")
BROKEN = {
    "kraken/v2_ohlc.jsonl": 2, "binance_spot/kline.jsonl": 3, "binance_usdm/kline.jsonl": 2,
    "coinbase/adv_candle.jsonl": 2, "okx_spot/candle.jsonl": 2, "okx_swap/funding.jsonl": 1,
}  # fmt: skip
# What one contract is, of the base and of the quote: these sources state volumes in currencies.
CONTRACTS = {"BTC-USDT-220624": 0.01}
INVERSE_CONTRACTS = {"BTC-USD-SWAP": 100}
# How many events the files of a folder hold at least.
LEAST = {
    "kraken": 12, "binance_spot": 200, "binance_us": 5, "coinbase": 200, "kraken_futures": 15, "okx_spot": 6,
    "okx_swap": 12, "okx_other": 7, "okx_common": 0, "binance_usdm": 290, "binance_coinm": 8,
}  # fmt: skip


def lines_of(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def sessions_of(folder: str) -> list[Path]:
    return sorted((ROOT / "sessions").glob(f"{SESSIONS.get(folder, folder)}__*"))


def files_of(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).glob("*.jsonl*"))
    return [path for path in found if path.name.partition(".")[0].islower() and "rest_" not in path.name]


def bits(value: Any) -> Any:
    return struct.pack("<d", value).hex() if isinstance(value, float) else value


def row_of(event: Kline | dict[str, Any], native: str) -> dict[str, Any]:
    if isinstance(event, Kline):
        row = event.to_dict()
        for name in ("exchange", "symbol", "localTimeNs", "seq"):
            del row[name]
        row["quoteVolume"] = None if math.isnan(event.quoteVolume) else event.quoteVolume
        row["tradeCount"] = None if event.tradeCount < 0 else event.tradeCount
    else:
        row = {name: value for name, value in event.items() if name not in ("symbol", "localTimeNs")}
    return {name: bits(value) for name, value in (row | {"nativeSymbol": native}).items()}


def compare(parser: PeriodicParser, venue: str, frame: bytes) -> int | None:
    """Assert that both readings agree; the number of events, None if both refuse."""
    try:
        kind, rows = oracle.read(venue, frame)
    except ValueError:
        with pytest.raises(ParseError):
            parser.parse(frame)
        return None
    events = parser.parse(frame)
    assert ("error", "events", "control", "other")[parser.kind] == kind, frame
    actual = [row_of(event, native) for event, native in zip(events, parser.nativeSymbols, strict=True)]
    assert actual == [{name: bits(value) for name, value in row.items()} for row in rows], frame
    return len(rows)


@pytest.mark.parametrize("folder", VENUES)
def test_every_frame(folder: str) -> None:
    venue = VENUES[folder]
    parser = PeriodicParser(Exchange.parse(venue))
    events = 0
    for path in files_of(folder):
        seen = [compare(parser, venue, line) for line in lines_of(path)]
        found = sum(count or 0 for count in seen)
        events += found
        if not path.name.startswith((*PERIODIC, "ticker")):
            assert found == 0, path.name
        assert seen.count(None) == BROKEN.get(f"{folder}/{path.name}", 0), path.name
    assert events >= LEAST[folder]


@pytest.mark.parametrize("folder", VENUES)
def test_frames_cut_at_every_byte(folder: str) -> None:
    venue = VENUES[folder]
    parser = PeriodicParser(Exchange.parse(venue))
    for path in files_of(folder):
        if not path.name.startswith((*PERIODIC, "ticker.")):
            continue
        frame = min(lines_of(path), key=len)
        for size in range(len(frame)):
            with pytest.raises(ParseError):
                parser.parse(frame[:size])


@pytest.mark.parametrize("folder", [folder for folder in VENUES if sessions_of(folder)])
def test_frames_of_the_sessions_are_told_apart(folder: str) -> None:
    """Every fiftieth frame: none of them is a kline that the slow reading does not see."""
    venue = VENUES[folder]
    parser = PeriodicParser(Exchange.parse(venue))
    for path in sessions_of(folder):
        for number, line in enumerate(lines_of(path)):
            entry = json.loads(line)
            if entry["t"] == "recv" and (number % 50 == 0 or "candle" in entry["data"] or '"ticker"' in entry["data"]):
                assert compare(parser, venue, entry["data"].encode()) is not None, line


def stated_rows() -> Iterator[tuple[str, dict[str, Any], bytes]]:
    for folder in VENUES:
        path = ROOT / folder / "EXPECTED.jsonl"
        for line in lines_of(path) if path.exists() else ():
            row = json.loads(line)
            is_ticker = folder == "kraken_futures" and row["file"].startswith("ticker.")
            if row["file"].startswith(PERIODIC) or is_ticker:
                source = ROOT / folder / row["file"]
                yield folder, row, list(lines_of(source))[row["line"] - 1]


def check_stated(stated: dict[str, Any], event: dict[str, Any] | Kline, native: str, coin_margined: bool) -> None:
    """Every field that a source states of one event; a field that is not known here fails."""
    known: dict[str, Any]
    if isinstance(event, Kline):
        volume, quote = event.volume, None if math.isnan(event.quoteVolume) else event.quoteVolume
        if coin_margined:
            # What is traded in contracts counts those, and says as quote volume how much of the base they are.
            volume, quote = event.quoteVolume, event.volume * (100 if native.startswith("BTC") else 10)
        elif native in CONTRACTS:
            volume = event.volume * CONTRACTS[native]
        elif native in INVERSE_CONTRACTS:
            volume, quote = stated.get("volume", 0.0), event.volume * INVERSE_CONTRACTS[native]
        known = {
            "type": "candle", "event_type": "kline", "symbol": native, "open": event.open, "high": event.high,
            "low": event.low, "close": event.close, "volume": volume, "quote_volume": quote, "trades": event.tradeCount,
            "interval_minutes": event.intervalS // 60, "interval_begin": event.openTimeNs, "partial": not event.closed,
            "period": {60: "1m", 0: "1M"}.get(event.intervalS), "begin_time": event.openTimeNs // 10**9,
            "timestamp": event.exchangeTimeNs // 10**6, "event_time": event.exchangeTimeNs // 10**6,
            "kline_start_time": event.openTimeNs // 10**6, "kline_close_time": event.closeTimeNs // 10**6 - 1,
            "interval": {900: "15m"}.get(event.intervalS), "open_price": event.open, "close_price": event.close,
            "high_price": event.high, "low_price": event.low, "base_volume": event.volume, "quote": event.quoteVolume,
            "number_of_trades": event.tradeCount, "is_closed": event.closed,
        }  # fmt: skip
    else:
        known = {
            "type": "derivative_ticker", "event_type": "markPriceUpdate", "symbol": native,
            "mark_price": event.get("markPrice"), "index_price": event.get("indexPrice"),
            "funding_rate": event.get("rate"), "next_funding_time": event.get("fundingTimeNs", 0) // 10**6,
            "funding_time": event.get("fundingTimeNs", 0) // 10**6, "event_time": event["exchangeTimeNs"] // 10**6,
            "pair": f"{event['symbol'].base}/{event['symbol'].quote}".upper(),
            # This source states Kraken Futures' rates as money per contract.
            "fundingRate": event.get("absoluteRate"), "predictedFundingRate": event.get("absoluteNextRate"),
            "indexPrice": event.get("indexPrice"), "markPrice": event.get("markPrice"),
            "fundingTimestamp": event.get("fundingTimeNs"), "timestamp": event["exchangeTimeNs"],
            "mark": event.get("markPrice"), "index": event.get("indexPrice"),
        }  # fmt: skip
    unread = {
        "stream_type", "estimated_settle_price", "vwap", "first_trade_id", "last_trade_id", "lastPrice",
        "taker_by_base_asset_volume", "taker_by_quote_asset_volume", "openInterest",
    }  # fmt: skip
    for name, value in stated.items():
        if name in unread:
            continue
        mine = known[name]
        if isinstance(mine, float) and isinstance(value, str):
            value = float(value)
        elif isinstance(value, str) and isinstance(mine, int) and "T" in value:
            value = oracle.rfc3339(value)
        elif name == "timestamp" and isinstance(event, dict) and isinstance(value, int):
            value *= 10**6
        assert mine == value, (name, native)


def test_what_sources_state() -> None:
    checked = 0
    for folder, row, frame in stated_rows():
        exchange = Exchange.parse(VENUES[folder])
        parser = PeriodicParser(exchange)
        events = parser.parse(frame)
        natives = parser.nativeSymbols
        ((shape, stated),) = row["expect"].items()
        coin_margined = folder == "binance_coinm"
        if not events:
            # Another channel under the same name: index prices, a book, and whatever is no ticker.
            assert parser.kind == 3 or stated == {}, (folder, row)
            continue
        checked += 1
        if shape == "tardis_normalized":
            (item,) = [item for item in stated if item["type"] == "derivative_ticker"]
            check_stated(item, events[0], natives[0], coin_margined)
        elif shape == "normalized" and isinstance(stated.get("data"), list):
            for item, event, native in zip(stated["data"], events, natives, strict=True):
                check_stated(item, event, native, coin_margined)
        elif shape == "normalized":
            flat = {name: value for name, value in stated.items() if name != "kline"} | stated.get("kline", {})
            if flat.get("type") == "ticker":
                flat = {"mark": flat["mark"], "index": flat["index"]}
            check_stated(flat, events[0], natives[0], coin_margined)
        else:
            assert shape == "parsed", (folder, row)
            for key, value in stated.items():
                name, _, field = key.partition(".")
                if name in ("candlestick_msg",) or name.startswith("funding_rates["):
                    index = int(name[14:-1]) if name[-1] == "]" else 0
                    check_stated({field: value}, events[index], natives[index], coin_margined)
                elif field == "len()":
                    assert len(events) == value
                elif name == "raw_symbol":
                    assert value in (natives[0], "ALL")
                else:
                    assert name == "ts_ms"
                    time = events[0].exchangeTimeNs if isinstance(events[0], Kline) else events[0]["exchangeTimeNs"]
                    assert (time // 10**6 or None) == value
        assert all(pair_of_native(exchange, native) for native in natives)
    assert checked >= 18
