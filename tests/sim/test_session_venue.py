"""Which venue a recorded session is taken for."""

import json
from pathlib import Path
from typing import Any

import pytest

from hftcore.symbols import CurrencyPair
from hftpy.cli.decode import decode_lines
from hftpy.common import Channel, Exchange
from hftpy.sim.recording import session_exchange, session_pairs

PERPETUAL = {"s": "BTCUSD_PERP", "ps": "BTCUSD"}
BOOK_TICKER = {"u": 100, "b": "60000.1", "B": "12", "a": "60000.2", "A": "3", "T": 1700000000000, "E": 1700000000001}
DEPTH = {"e": "depthUpdate", "E": 1700000000101, "T": 1700000000100, "U": 95, "u": 105, "b": [], "a": []}
TRADE = {"e": "aggTrade", "E": 1700000000301, "a": 5, "p": "6.2", "q": "2", "T": 1700000000300, "m": False}


def session(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "session.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ({"t": "header", "source": "a test"}, *rows)))
    return path


def made(url: str) -> dict[str, Any]:
    return {"t": "conn", "ts": 1.0, "url": url}


def received(data: dict[str, Any], stream: str = "") -> dict[str, Any]:
    return {"t": "recv", "ts": 1.0, "data": json.dumps({"stream": stream, "data": data} if stream else data)}


@pytest.mark.parametrize(
    ("url", "exchange"),
    [
        ("wss://dstream.binance.com/stream?streams=btcusd_perp@depth", Exchange.BINANCE_FUTURE),
        ("https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP", Exchange.BINANCE_FUTURE),
        ("wss://fstream-auth.binance.com/ws", Exchange.BINANCE_FUTURE),
        ("wss://demo-fstream.binance.com/public/stream", Exchange.BINANCE_FUTURE),
        ("wss://stream.binancefuture.com/ws", Exchange.BINANCE_FUTURE),
        ("wss://stream.binance.us:9443/stream?streams=fstreambtc@depth", Exchange.BINANCE),
        ("wss://data-stream.binance.vision/ws", Exchange.BINANCE),
        ("wss://demo-futures.kraken.com/ws/v1", Exchange.KRAKEN_FUTURE),
        ("wss://ws-auth.kraken.com/v2", Exchange.KRAKEN),
        ("wss://wseea.okx.com:8443/ws/v5/public", Exchange.OKX),
        ("wss://ws-feed.exchange.coinbase.com", Exchange.COINBASE),
        ("wss://[nonsense", Exchange.KRAKEN),
    ],
)
def test_by_the_address(tmp_path: Path, url: str, exchange: Exchange) -> None:
    status = received({"channel": "status", "type": "update", "data": []})
    assert session_exchange(session(tmp_path, made(url), status)) is exchange


@pytest.mark.parametrize("host", ["nbstream.binance.com", "vstream.binance.com", "eapi.binance.com"])
def test_a_market_without_a_stream_is_named(tmp_path: Path, host: str) -> None:
    path = session(tmp_path, made(f"wss://{host}/eoptions"), received({**PERPETUAL, **DEPTH, "pu": 90}))
    with pytest.raises(ValueError, match=host):
        session_exchange(path)


@pytest.mark.parametrize(
    "frame",
    [
        {**BOOK_TICKER, **PERPETUAL, "e": "bookTicker"}, {**DEPTH, **PERPETUAL, "pu": 90},
        {**DEPTH, "s": "BTCUSD_210924"}, {**TRADE, "s": "BTCUSDT"}, {**TRADE, "s": "BTCUSD_PERP"},
        {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "1", "r": "0", "T": 1},
    ],
)  # fmt: skip
def test_a_future_by_its_frames(tmp_path: Path, frame: dict[str, Any]) -> None:
    assert session_exchange(session(tmp_path, received(frame))) is Exchange.BINANCE_FUTURE
    assert session_exchange(session(tmp_path, received(frame, "x@y"))) is Exchange.BINANCE_FUTURE


@pytest.mark.parametrize(
    "frame", [{**BOOK_TICKER, "s": "BTCUSDT"}, {**TRADE, "s": "BTCUSDT", "M": True}, {**DEPTH, "s": "XY"}]
)
def test_spot_by_its_frames(tmp_path: Path, frame: dict[str, Any]) -> None:
    kline = received({"e": "kline", "E": 1, "s": "BTCUSDT", "k": {}})  # tells nothing: of either market
    assert session_exchange(session(tmp_path, kline, received(frame))) is Exchange.BINANCE


def test_coin_margined_pairs_are_perpetuals(tmp_path: Path) -> None:
    frames = [received({**BOOK_TICKER, **PERPETUAL, "e": "bookTicker"}, "btcusd_perp@bookTicker")]
    path = session(tmp_path, made("wss://dstream.binance.com/stream"), *frames)
    assert session_pairs(path) == {Channel.TICKER: [CurrencyPair("btc/usd:btc")]}


def test_decode_says_that_a_session_is_of_another_venue(tmp_path: Path) -> None:
    path = session(tmp_path, made("wss://dstream.binance.com/stream"), received({**BOOK_TICKER, **PERPETUAL}))
    _, row, _ = decode_lines(Exchange.BINANCE, path.read_bytes().splitlines())
    assert row["type"] == "error" and "binance_future" in row["reason"] and row["line"] == 2
    rows = list(decode_lines(Exchange.BINANCE_FUTURE, path.read_bytes().splitlines()))
    assert [row["type"] for row in rows] == ["control", "control", "ticker"]
    okx = session(tmp_path, made("wss://ws.okx.com:8443/ws/v5/public"))
    rows = list(decode_lines(Exchange.OKX_SWAP, okx.read_bytes().splitlines()))
    assert [row["type"] for row in rows] == ["control", "control"]
