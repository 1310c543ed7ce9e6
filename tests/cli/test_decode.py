"""`hftpy decode`: one JSON line per event, at least one per input line, from frames and from recorded sessions."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hftcore.enums import Exchange
from hftpy.cli.decode import decode_files, decode_lines, run

TICKER = (
    b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.1,"bid_qty":0.3,"ask":64001.2,'
    b'"ask_qty":1e-08,"timestamp":"2026-03-01T12:30:45.123456Z"}]}'
)
TRADES = (
    b'[119,[["0.07","10.5","1616333924.737428","b","m",""],["0.08","1","1616333925","s","l",""]],'
    b'"trade","XBT/USD"]'
)
BOOK_TICKER = '{"u":7,"s":"%s","b":"1.5","B":"2","a":"1.75","A":"4"}'


def decoded(exchange: Exchange, *lines: bytes) -> list[dict[str, Any]]:
    return list(decode_lines(exchange, lines))


def session(*entries: dict[str, Any]) -> list[bytes]:
    return [json.dumps(entry).encode() + b"\n" for entry in ({"t": "header", "source": "test"}, *entries)]


def output(venue: str, *files: Path) -> list[dict[str, Any]]:
    out = io.StringIO()
    assert run(venue, list(files), out) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_keys_and_values() -> None:
    ticker, buy, sell = decoded(Exchange.KRAKEN, TICKER + b"\r\n", TRADES + b"\n")
    assert ticker == {
        "type": "ticker", "line": 1, "exchange": "kraken", "symbol": "btc/usd", "nativeSymbol": "BTC/USD",
        "bidPrice": 64001.1, "bidVolume": 0.3, "askPrice": 64001.2, "askVolume": 1e-08,
        "exchangeTimeNs": 1772368245123456000, "localTimeNs": 0, "seq": 0, "flags": 0,
    }  # fmt: skip
    assert buy == {
        "type": "trade", "line": 2, "exchange": "kraken", "symbol": "btc/usd", "nativeSymbol": "XBT/USD",
        "price": 0.07, "volume": 10.5, "side": "buy", "tradeId": 0, "exchangeTimeNs": 1616333924737428000,
        "tradeTimeNs": 1616333924737428000, "localTimeNs": 0, "seq": 0, "flags": 0,
    }  # fmt: skip
    assert (sell["side"], sell["line"], sell["price"]) == ("sell", 2, 0.08)
    assert list(ticker)[:5] == ["type", "line", "exchange", "symbol", "nativeSymbol"]


def test_every_line_gives_a_line() -> None:
    rows = decoded(
        Exchange.KRAKEN,
        b'{"channel":"heartbeat"}\n',
        b"\n",
        b"CloudFlare WebSocket proxy restarting\n",
        TRADES[:-5] + b"\n",
        b'{"channel":"book","type":"update","data":[]}\n',
        b'{"channel":"trade","type":"update","data":[]}\n',
        b"\xff\xfe\x00\n",
        TICKER,
    )
    assert [row["line"] for row in rows] == list(range(1, 9))
    kinds = ["control", "error", "control", "error", "other", "other", "error", "ticker"]
    assert [row["type"] for row in rows] == kinds
    assert all(row["exchange"] == "kraken" for row in rows)
    assert all(row["reason"] for row in rows if row["type"] == "error")
    assert "blank" in rows[1]["reason"]


def test_truncated_array_never_emits_its_first_trades() -> None:
    for size in range(1, len(TRADES)):
        (row,) = decoded(Exchange.KRAKEN, TRADES[:size])
        assert row["type"] == "error"


def test_session() -> None:
    lines = session(
        {"t": "conn", "ts": 1.0, "url": "ws://x"},
        {"t": "send", "ts": 1.0, "data": TICKER.decode()},
        {"t": "http", "ts": 1.0, "data": "[]"},
        {"t": "recv", "ts": 1618677372.1768699, "data": TICKER.decode()},
        {"t": "recv", "ts_ns": 1618677372176869987, "data": TRADES.decode()},
        {"t": "recv", "ts": 1.5, "data": "CloudFlare WebSocket proxy restarting"},
        {"t": "recv", "ts": 1.5, "data": "{"},
    )
    rows = decoded(Exchange.KRAKEN, *lines)
    kinds = ["control"] * 4 + ["ticker", "trade", "trade", "control", "error"]
    assert [row["type"] for row in rows] == kinds
    assert [row["line"] for row in rows] == [1, 2, 3, 4, 5, 6, 6, 7, 8]
    assert rows[4]["localTimeNs"] == 1618677372176869900
    assert rows[5]["localTimeNs"] == rows[6]["localTimeNs"] == 1618677372176869987


@pytest.mark.parametrize(
    "entry",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"t":"other"}',
        b'{"t":["recv"],"ts":1,"data":"{}"}',
        b'{"t":"recv","ts":1}',
        b'{"t":"recv","ts":1,"data":{}}',
        b'{"t":"recv","ts":"x","data":"{}"}',
        b'{"t":"recv","ts":true,"data":"{}"}',
        b'{"t":"recv","ts":null,"data":"{}"}',
        b'{"t":"recv","ts":-1,"data":"{}"}',
        b'{"t":"recv","ts":NaN,"data":"{}"}',
        b'{"t":"recv","ts":"nan","data":"{}"}',
        b'{"t":"recv","ts":1e999999999,"data":"{}"}',
        b'{"t":"recv","ts":1e99999999999999999999999,"data":"{}"}',
        b'{"t":"recv","ts_ns":9223372036854775808,"data":"{}"}',
        b'{"t":"recv","ts":1,"data":"\\ud800"}',
        b'{"t":"recv","ts":1,"data":"{}\xff"}',
    ],
)
def test_session_entry_that_is_malformed(entry: bytes) -> None:
    rows = decoded(Exchange.KRAKEN, *session(), entry, session()[0])
    assert [row["type"] for row in rows] == ["control", "error", "control"]
    assert rows[1]["line"] == 2 and "session entry" in rows[1]["reason"]


def test_instrument_list_of_a_session_splits_its_symbols() -> None:
    info = {
        "symbols": [
            {"symbol": "AAQQX", "baseAsset": "AA", "quoteAsset": "QQX"},
            {"symbol": "BAD", "baseAsset": "a/b", "quoteAsset": "C"},
            {"symbol": 5},
            "x",
        ]
    }
    recv = {"t": "recv", "ts": 1, "data": BOOK_TICKER % "AAQQX"}
    rows = decoded(Exchange.BINANCE, *session(recv, {"t": "http", "ts": 1, "data": json.dumps(info)}, recv))
    assert [row["type"] for row in rows] == ["control", "error", "control", "ticker"]
    assert "AAQQX" in rows[1]["reason"]
    assert rows[3]["symbol"] == "aa/qqx" and rows[3]["nativeSymbol"] == "AAQQX" and rows[3]["seq"] == 7


def test_instrument_lists_of_derivatives() -> None:
    info = {
        "symbols": [
            {"symbol": "AAQQX", "baseAsset": "AA", "quoteAsset": "QQX", "marginAsset": "USDT"},
            {"symbol": "AAQQX_260925", "baseAsset": "AA", "quoteAsset": "QQX", "marginAsset": "USDT"},
            {"symbol": "AAQQX_PERP", "baseAsset": "AA", "quoteAsset": "QQX", "marginAsset": "AA"},
            {"symbol": "BADX", "baseAsset": "a/b", "quoteAsset": "C"},
        ]
    }
    names = [item["symbol"] for item in info["symbols"]]
    recvs = [{"t": "recv", "ts": 1, "data": (BOOK_TICKER % name)} for name in names]
    rows = decoded(Exchange.BINANCE_FUTURE, *session({"t": "http", "ts": 1, "data": json.dumps(info)}, *recvs))
    assert [row.get("symbol") for row in rows[2:]] == ["aa/qqx:usdt", "aa/qqx:usdt-260925", "aa/qqx:aa", None]
    assert "BADX" in rows[5]["reason"]
    listed = {"code": "0", "data": [
        {"instId": "AA-USD-SWAP", "settleCcy": "USDC"}, {"instId": "AA-USD-260925", "settleCcy": "USDC"},
        {"instId": "AA-USD", "settleCcy": ""}, {"instId": "AA", "settleCcy": ""}, {"settleCcy": 5}, 7,
    ]}  # fmt: skip
    trade = '{"arg":{"channel":"trades","instId":"x"},"data":[{"instId":"%s","tradeId":"5","px":"1","sz":"2",' \
        '"side":"sell","ts":"7"}]}'
    recvs = [{"t": "recv", "ts": 1, "data": trade % name} for name in ("AA-USD-SWAP", "AA-USD-260925", "AA-USD", "AA")]
    rows = decoded(Exchange.OKX_SWAP, *session({"t": "http", "ts": 1, "data": json.dumps(listed)}, *recvs))
    assert [row.get("symbol") for row in rows[2:]] == ["aa/usd:usdc", "aa/usd:usdc-260925", "aa/usd", None]


@pytest.mark.parametrize("body", ["x", "[1]", '{"symbols":5}', '{"symbols":[]}', "[" * 100_000, None, 5])
def test_http_body_that_is_no_instrument_list(body: object) -> None:
    rows = decoded(Exchange.BINANCE, *session({"t": "http", "ts": 1, "data": body}))
    assert [row["type"] for row in rows] == ["control", "control"]


def test_plain_and_gzip_files(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b"
    plain.write_bytes(TICKER + b"\n" + TRADES)
    packed.write_bytes(gzip.compress(TRADES + b"\n"))
    rows = output("kraken", plain)
    assert [(row["type"], row["line"]) for row in rows] == [("ticker", 1), ("trade", 2), ("trade", 2)]
    assert all("file" not in row for row in rows)
    rows = output("kraken", plain, packed)
    assert [(row["file"], row["line"]) for row in rows[-3:]] == [(str(plain), 2), (str(packed), 1), (str(packed), 1)]


def test_numbers_read_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(TICKER.replace(b"64001.1", b"0.1000000000000000055511151231257827"))
    assert output("kraken", path)[0]["bidPrice"].hex() == (0.1).hex()


def test_damaged_gzip_tells_and_keeps_what_was_read(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(TICKER.replace(b"64001.1", b"%d" % n) + b"\n" for n in range(3000)))
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[: len(whole) // 2])
    rows = output("kraken", path)
    assert len(rows) > 1 and [row["type"] for row in rows[:-1]] == ["ticker"] * (len(rows) - 1)
    assert rows[-1]["type"] == "error" and "gzip" in rows[-1]["reason"] and rows[-1]["line"] == len(rows)
    for damaged in (b"\x1f\x8bxxxxxxxxxxxx", whole[:30] + b"\xff" * 30, b"\x1f\x8b"):
        path.write_bytes(damaged)
        assert output("kraken", path)[-1]["type"] == "error"


def test_zstd_files(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "frames.zst"
    lines = b"".join(b'{"id":%d}\n' % number for number in range(50_000))
    whole = zstandard.ZstdCompressor().compress(lines)
    path.write_bytes(whole)
    assert len(output("kraken", path)) == 50_000
    path.write_bytes(whole[: len(whole) * 3 // 4])
    rows = output("kraken", path)
    assert 1 < len(rows) < 50_000 and "ends in the middle of its zstd data" in rows[-1]["reason"]


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert output("kraken", path) == []


def test_random_bytes_do_not_crash(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    noise = b"{" + os.urandom(200_000) + b"}"  # not a line end
    path.write_bytes(noise)
    rows = output("binance", path)
    assert {row["line"] for row in rows} == set(range(1, len(noise.split(b"\n")) + 1))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input(packed: bool, arguments: list[str]) -> None:
    program = (
        "import sys; from pathlib import Path; from hftpy.cli.decode import run; "
        "sys.exit(run('kraken', [Path(a) for a in sys.argv[1:]], sys.stdout))"
    )
    data = TICKER.replace(b"BTC/USD", "币/USD".encode()) + b"\n"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input=gzip.compress(data) if packed else data,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["symbol"] == "币/usd"


def test_what_cannot_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere", [], io.StringIO()) == 2
    assert "Exchange must be one of" in capsys.readouterr().err
    assert run("ib", [tmp_path], io.StringIO()) == 2
    assert run("kraken", [tmp_path / "missing"], io.StringIO()) == 2
    assert "missing" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        decode_files(Exchange.KRAKEN, [tmp_path / "missing"], io.StringIO())


def test_venues_with_several_events_per_frame(tmp_path: Path) -> None:
    coinbase = tmp_path / "coinbase.jsonl"
    trade = '{"product_id":"BTC-USD","trade_id":"8","price":"1","size":"2","time":"2026-08-09T21:06:12Z","side":"SELL"}'
    event = '{"type":"snapshot","trades":[' + trade + "," + trade.replace('"8"', '"7"') + "]}"
    coinbase.write_text(
        f'{{"channel":"market_trades","timestamp":"2026-08-09T21:06:12.2Z","sequence_num":5,"events":[{event}]}}\n'
        '{"channel":"ticker_batch","sequence_num":6,"events":[{"type":"update","tickers":[{"product_id":"X-USD"}]}]}\n'
        '{"channel":"subscriptions","events":[]}\n{"type":"l2update"}\n{"type":"match"}\n'
    )
    rows = output("coinbase", coinbase)
    assert [row["type"] for row in rows] == ["trade", "trade", "other", "control", "error", "error"]
    assert [row["line"] for row in rows] == [1, 1, 2, 3, 4, 5]
    assert [(row["tradeId"], row["side"], row["seq"], row["flags"]) for row in rows[:2]] == [
        (8, "buy", 5, 1), (7, "buy", 5, 1)
    ]  # fmt: skip
    futures = tmp_path / "futures.jsonl"
    futures.write_text(
        '{"feed":"ticker_lite","product_id":"FI_XBTUSD_210625","bid":1.5,"ask":2}\n'
        '{"event":"subscribed","feed":"ticker_lite","product_ids":["FI_XBTUSD_210625"]}\n'
        '{"feed":"book","product_id":"PI_XBTUSD"}\n'
    )
    rows = output("kraken_future", futures)
    assert [row["type"] for row in rows] == ["ticker", "control", "error"]
    assert (rows[0]["symbol"], rows[0]["nativeSymbol"]) == ("btc/usd:btc-210625", "FI_XBTUSD_210625")
    assert (rows[0]["bidPrice"], rows[0]["bidVolume"], rows[0]["exchangeTimeNs"]) == (1.5, 0.0, 0)


def test_okx(tmp_path: Path) -> None:
    path = tmp_path / "okx.jsonl"
    path.write_text(
        '{"event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"connId":"1"}\n'
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["84093.5","667.19","0","70"]],'
        '"bids":[],"ts":"1790439594900","seqId":7}]}\n'
        'pong\n'
        '{"arg":{"channel":"trades","instId":"BTC-USD-240927"},"data":[]}\n'
        '{"arg":{"channel":"trades","instId":"BTC-USD-240927"},"data":[{"instId":"BTC-USD-240927"}]}\n'
    )  # fmt: skip
    rows = output("okx_swap", path)
    assert [row["type"] for row in rows] == ["control", "ticker", "control", "other", "error"]
    assert rows[1] == {
        "type": "ticker", "line": 2, "exchange": "okx_swap", "symbol": "btc/usdt:usdt",
        "nativeSymbol": "BTC-USDT-SWAP", "bidPrice": 0.0, "bidVolume": 0.0, "askPrice": 84093.5, "askVolume": 667.19,
        "exchangeTimeNs": 1790439594900000000, "localTimeNs": 0, "seq": 7, "flags": 0,
    }  # fmt: skip
    assert "tradeId" in rows[4]["reason"]


KLINE = (
    b'{"channel":"ohlc","type":"update","timestamp":"2026-03-01T12:30:45Z","data":[{"symbol":"BTC/USD","interval":1,'
    b'"interval_begin":"2026-03-01T12:30:00Z","open":1.5,"high":2,"low":1.25,"close":1.75,"volume":1e-8,"trades":3}]}'
)
FUNDING = (
    b'{"e":"markPriceUpdate","E":1772368245000,"s":"BTCUSDT","p":"64000.5","i":"64001.5","r":"-0.0001",'
    b'"T":1772380800000}'
)


def test_klines_and_funding() -> None:
    (kline,) = decoded(Exchange.KRAKEN, KLINE)
    assert kline == {
        "type": "kline", "line": 1, "exchange": "kraken", "symbol": "btc/usd", "nativeSymbol": "BTC/USD",
        "openTimeNs": 1772368200000000000, "closeTimeNs": 1772368260000000000, "open": 1.5, "high": 2.0, "low": 1.25,
        "close": 1.75, "volume": 1e-08, "quoteVolume": None, "tradeCount": 3, "intervalS": 60,
        "exchangeTimeNs": 1772368245000000000, "localTimeNs": 0, "seq": 0, "flags": 0,
    }  # fmt: skip
    (funding,) = decoded(Exchange.BINANCE_FUTURE, FUNDING)
    assert funding == {
        "type": "funding", "line": 1, "exchange": "binance_future", "symbol": "btc/usdt:usdt",
        "nativeSymbol": "BTCUSDT", "exchangeTimeNs": 1772368245000000000, "localTimeNs": 0, "rate": -0.0001,
        "markPrice": 64000.5, "indexPrice": 64001.5, "fundingTimeNs": 1772380800000000000,
    }  # fmt: skip
    (broken,) = decoded(Exchange.KRAKEN, KLINE.replace(b'"open":1.5', b'"open":"x"'))
    assert broken["type"] == "error" and "'x'" in broken["reason"]


@pytest.mark.parametrize(
    ("venue", "frame", "type_", "class_", "name"),
    [
        ("kraken", '{"channel":"heartbeat"}', "control", "heartbeat", "heartbeat"),
        ("kraken", '{"method":"subscribe","success":true,"result":{"channel":"book"}}', "control", "acknowledgement",
         "subscribe book"),
        ("kraken", '{"method":"subscribe","success":false,"error":"no"}', "control", "refusal", "subscribe"),
        ("kraken", '{"method":"subscribe","params":{"channel":"book"}}', "control", "request", "subscribe book"),
        ("kraken", '{"channel":"executions","type":"update","data":[]}', "other", "private", "executions"),
        ("kraken", '{"channel":"level3","type":"update","data":[]}', "other", "channel not supported", "level3"),
        ("kraken", '{"channel":"trade","type":"update","data":[]}', "other", "without events", "trade"),
        ("kraken", '[1,["1","2"],"spread","XBT/USD"]', "other", "channel not supported", "spread"),
        ("kraken", '[[{"T":{}}],"ownTrades",{"sequence":1}]', "other", "private", "ownTrades"),
        ("kraken", '{"error":[],"result":{}}', "other", "rest answer", ""),
        ("kraken", '{"error":["EGeneral:x"]}', "control", "rest refusal", ""),
        ("kraken", '"text"', "other", "unknown", ""),
        ("kraken_future", '{"event":"alert","message":"x"}', "control", "notice", "alert"),
        ("kraken_future", '{"feed":"fills","fills":[]}', "other", "private", "fills"),
        ("kraken_future", '{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}', "control",
         "acknowledgement", "subscribed book"),
        ("binance", '{"result":null,"id":1}', "control", "acknowledgement", ""),
        ("binance", '{"error":{"code":2,"msg":"x"},"id":1}', "control", "refusal", ""),
        ("binance", '{"stream":"a@avgPrice","data":{"e":"avgPrice","s":"A"}}', "other", "channel not supported",
         "avgPrice"),
        ("binance", '{"subscriptionId":0,"event":{"e":"executionReport"}}', "other", "private", "executionReport"),
        ("binance", '[{"e":"24hrTicker"}]', "other", "channel not supported", "24hrTicker"),
        ("binance", '{"code":-1121,"msg":"Invalid symbol."}', "control", "rest refusal", "-1121"),
        ("binance", '{"listenKey":"x"}', "other", "rest answer", ""),
        ("binance", '{"stream":"a@new","data":[]}', "other", "channel not supported", "new"),
        ("coinbase", '{"channel":"user","events":[],"sequence_num":0}', "other", "private", "user"),
        ("coinbase", '{"type":"error","message":"x"}', "control", "refusal", "error"),
        ("coinbase", '{"type":"done","product_id":"A-B","reason":"filled"}', "other", "channel not supported", "done"),
        ("okx", "pong", "control", "heartbeat", "pong"),
        ("okx", '{"event":"error","code":"60012","msg":"x"}', "control", "refusal", "error"),
        ("okx", '{"arg":{"channel":"orders"},"data":[]}', "other", "private", "orders"),
        ("okx", '{"arg":{"channel":"trades","instId":"A-B"},"data":[]}', "other", "without events", "trades"),
        ("okx", '{"arg":{"channel":"opt-summary"},"data":[]}', "other", "channel not supported", "opt-summary"),
        ("okx", '{"code":"0","data":[],"msg":""}', "other", "rest answer", ""),
        ("ib", r'"49\u00001\u00001772368245\u0000"', "control", "heartbeat", "currentTime"),
        ("ib", r'"61\u00001\u0000"', "control", "request", "reqPositions"),
        ("ib", r'"4\u00002\u00007\u0000200\u0000No\u0000"', "control", "refusal", "error 200"),
        ("ib", r'"1\u00006\u00007\u00001\u00001.5\u00002\u00000\u0000"', "other", "part of an event", "tickPrice"),
        ("ib", '"000000cb00"', "other", "channel not supported", "orderStatus or placeOrder (protobuf)"),
        ("ib", '{"topic":"smd+265598","31":"1.5"}', "other", "channel not supported", "smd+265598"),
        ("ib", '{"accounts":[]}', "other", "rest answer", ""),
    ],
)  # fmt: skip
def test_frames_without_events_have_a_name(venue: str, frame: str, type_: str, class_: str, name: str) -> None:
    (row,) = decoded(Exchange.parse(venue), frame.encode())
    assert row == {"type": type_, "line": 1, "exchange": venue, "class": class_, "name": name}


def test_messages_of_interactive_brokers() -> None:
    rows = decoded(
        Exchange.IB,
        rb'"99\u00007\u00003\u00001772368245\u00001.5\u00001.75\u00002\u00003\u00000\u0000"',
        rb'"99\u00007\u00001\u00001772368245\u00001.5\u00002\u00000\u0000ARCA\u0000\u0000"',
        rb'"99\u00007\u00001\u00001772368245\u0000x\u00002\u00000\u0000ARCA\u0000\u0000"',
        rb'"99',
        b"[" * 100_000,
    )
    assert rows[0] == {
        "type": "ticker", "line": 1, "exchange": "ib", "symbol": None, "nativeSymbol": "", "request": 7,
        "bidPrice": 1.5, "bidVolume": 2.0, "askPrice": 1.75, "askVolume": 3.0,
        "exchangeTimeNs": 1772368245000000000, "localTimeNs": 0, "seq": 0, "flags": 0,
    }  # fmt: skip
    assert (rows[1]["type"], rows[1]["price"], rows[1]["side"]) == ("trade", 1.5, "unknown")
    assert [row["type"] for row in rows[2:]] == ["error"] * 3 and "b'x'" in rows[2]["reason"]
