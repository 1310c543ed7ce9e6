"""Klines, and the parser of klines and funding."""

import json
import math
import pickle

import numpy as np
import pytest

from hftcore.enums import Exchange, Flag
from hftcore.errors import ParseError
from hftcore.kline import KLINE_DTYPE, Kline, PeriodicParser, klines_from_array, klines_to_array
from hftcore.symbols import register_instruments

MINUTE_NS = 60 * 10**9
T = 1790000040000
SPOT = {
    "e": "kline", "E": T + 500, "s": "BTCUSDT",
    "k": {
        "t": T, "T": T + 59999, "s": "BTCUSDT", "i": "1m", "f": -1, "L": -1, "o": "10.5", "c": "11", "h": "12.25",
        "l": "9", "v": "3.5", "n": 7, "x": True, "q": "36.75", "V": "1", "Q": "2", "B": "0",
    },
}  # fmt: skip
MARK = {
    "e": "markPriceUpdate", "E": T, "s": "BTCUSDT", "p": "81219.2", "ap": "81219.2", "P": "81366.1", "i": "81260.37",
    "r": "-0.00008574", "T": T + 1000, "st": 1,
}  # fmt: skip
CANDLE = ["1790000040000", "10.5", "12.25", "9", "11", "3.5", "3.5", "36.75", "1"]
OHLC = {
    "symbol": "BTC/USD", "open": 10.5, "high": 12.25, "low": 9, "close": 11, "trades": 7, "volume": 3.5, "vwap": 10.5,
    "interval_begin": "2026-09-21T14:14:00.000000000Z", "interval": 1, "timestamp": "2026-09-21T14:15:00.000000Z",
}  # fmt: skip


def encode(message):
    return json.dumps(message).encode()


def okx(channel, rows, instrument="BTC-USDT-SWAP"):
    return encode({"arg": {"channel": channel, "instId": instrument}, "data": rows})


def kraken(kind="update", **changes):
    row = {**OHLC, **changes}
    return encode({"channel": "ohlc", "type": kind, "timestamp": "2026-09-21T14:14:30.5Z", "data": [row]})


ADVANCED = {
    "start": str(T // 1000), "high": "12.25", "low": "9", "open": "10.5", "close": "11", "volume": "3.5",
    "product_id": "BTC-USD",
}  # fmt: skip
FUTURES = {
    "time": T, "feed": "ticker", "product_id": "PF_XBTUSD", "bid": 1.0, "ask": 2.0, "bid_size": 1.0, "ask_size": 1.0,
    "index": 81260.37, "markPrice": 81219.2, "funding_rate": 2.03, "funding_rate_prediction": -1.5e-06,
    "relative_funding_rate": 2.5e-05, "relative_funding_rate_prediction": -1.25E-7, "tag": "perpetual",
    "next_funding_rate_time": T + 1000,
}  # fmt: skip


def advanced(*candles, kind="update", number=7, timestamp="2026-09-21T14:14:30.5Z"):
    events = [{"type": kind, "candles": list(candles)}]
    return encode({"channel": "candles", "timestamp": timestamp, "sequence_num": number, "events": events})


def without(message, *names):
    return encode({name: value for name, value in message.items() if name not in names})


V1 = [42, ["1790000050.5", "1790000100.0", "10.5", "12.25", "9", "11", "10.7", "3.5", 7], "ohlc-1", "XBT/USD"]
FRAMES = [
    ("binance", encode(SPOT), "btc/usdt"),
    ("binance", encode({"stream": "btcusdt@kline_1m", "data": SPOT}), "btc/usdt"),
    ("binance_future", encode(SPOT), "btc/usdt:usdt"),
    ("okx", okx("candle1m", [CANDLE], "BTC-USDT"), "btc/usdt"),
    ("okx_swap", okx("candle1m", [CANDLE]), "btc/usdt:usdt"),
    ("kraken", kraken(), "btc/usd"),
    ("kraken", encode(V1), "btc/usd"),
]


@pytest.mark.parametrize(("exchange", "frame", "symbol"), FRAMES)
def test_klines_of_every_venue(exchange, frame, symbol):
    parser = PeriodicParser(exchange)
    (kline,) = parser.parse(frame, 5)
    assert (kline.exchange, kline.symbol, kline.localTimeNs) == (Exchange.parse(exchange), symbol, 5)
    assert (kline.open, kline.high, kline.low, kline.close, kline.volume) == (10.5, 12.25, 9.0, 11.0, 3.5)
    assert (kline.openTimeNs, kline.closeTimeNs) == (T * 10**6, T * 10**6 + MINUTE_NS)
    assert (kline.intervalS, kline.openTimestamp, kline.closeTimestamp) == (60, T * 1000, T * 1000 + 60 * 10**6)
    assert math.isnan(kline.quoteVolume) if exchange == "kraken" else kline.quoteVolume == 36.75
    assert kline.tradeCount == (-1 if exchange.startswith("okx") else 7)
    assert kline.closed is (exchange != "kraken")
    assert kline.flags == (0 if exchange == "kraken" else Flag.CLOSED)


@pytest.mark.parametrize("ends", ["1790000100.0", "1790000090.25", "1790000040.000000001"])
def test_klines_of_kraken_v1_may_end_where_they_were_read(ends):
    (kline,) = PeriodicParser("kraken").parse(encode([42, [V1[1][0], ends, *V1[1][2:]], *V1[2:]]))
    assert (kline.openTimeNs, kline.closeTimeNs) == (T * 10**6, T * 10**6 + MINUTE_NS)
    assert kline.exchangeTimeNs == 1790000050500000000


def test_candles_of_coinbase():
    parser = PeriodicParser("coinbase")
    assert parser.frameNumber is None
    (kline,) = parser.parse(advanced(ADVANCED), 5)
    assert (kline.symbol, kline.open, kline.high, kline.low, kline.close, kline.volume) == (
        "btc/usd", 10.5, 12.25, 9.0, 11.0, 3.5,
    )  # fmt: skip
    assert (kline.openTimeNs, kline.closeTimeNs, kline.intervalS) == (T * 10**6, T * 10**6 + 5 * MINUTE_NS, 300)
    assert (kline.tradeCount, kline.flags, kline.localTimeNs) == (-1, 0, 5) and math.isnan(kline.quoteVolume)
    assert kline.exchangeTimeNs == 1790000070500000000
    assert (parser.frameNumber, parser.nativeSymbols) == (7, ["BTC-USD"])
    over = {**ADVANCED, "start": str(T // 1000 - 300)}
    old, current = parser.parse(advanced(over, ADVANCED, kind="snapshot", number=2**64 - 1))
    assert old.flags == Flag.SNAPSHOT | Flag.CLOSED and current.flags == Flag.SNAPSHOT
    assert parser.frameNumber == 2**64 - 1


def test_other_frames_of_coinbase():
    parser = PeriodicParser("coinbase")
    for frame, kind, number in (
        ({"channel": "heartbeats", "sequence_num": 3, "events": []}, 2, 3),
        ({"channel": "subscriptions", "sequence_num": 4, "events": []}, 2, 4),
        ({"channel": "ticker", "sequence_num": 5, "events": []}, 3, 5),
        ({"channel": "candles", "sequence_num": 6, "events": []}, 1, 6),
        ({"type": "error", "message": "x"}, 2, None),
        # The Exchange feed has no candles: whatever it sends is none.
        ({"type": "ticker", "product_id": "BTC-USD", "sequence": 1}, 3, None),
        ({"type": "candles", "candles": [ADVANCED]}, 3, None),
        ([], 3, None),
    ):
        assert parser.parse(encode(frame)) == [] and (parser.kind, parser.frameNumber) == (kind, number), frame
        assert parser.nativeSymbols == []


def test_funding_of_kraken_futures():
    parser = PeriodicParser("kraken_future")
    (found,) = parser.parse(encode(FUTURES), 9)
    assert found == {
        "symbol": "btc/usd:usd", "exchangeTimeNs": T * 10**6, "localTimeNs": 9, "markPrice": 81219.2,
        "indexPrice": 81260.37, "rate": 2.5e-05, "nextRate": -1.25e-07, "fundingTimeNs": (T + 1000) * 10**6,
        "absoluteRate": 2.03, "absoluteNextRate": -1.5e-06,
    }  # fmt: skip
    # A rate that is zero is left out; one whose money alone is told is not known.
    rates = [name for name in FUTURES if "funding_rate" in name]
    (zero,) = parser.parse(without(FUTURES, *rates))
    assert (zero["rate"], zero["nextRate"], "fundingTimeNs" in zero) == (0.0, 0.0, False)
    (unknown,) = parser.parse(without(FUTURES, *rates[2:]))
    assert "rate" not in unknown and "nextRate" not in unknown
    (dated,) = parser.parse(without({**FUTURES, "product_id": "FF_XBTUSD_270326", "tag": "quarter"}, *rates))
    assert "rate" not in dated and dated["markPrice"] == 81219.2 and dated["symbol"] == "btc/usd:usd-270326"
    (empty,) = parser.parse(encode({**FUTURES, "funding_rate": None, "next_funding_rate_time": 0}))
    assert "absoluteRate" not in empty and "fundingTimeNs" not in empty
    for frame, kind in (
        ({**FUTURES, "feed": "ticker_lite"}, 3), ({"feed": "ticker", "product_id": "PF_XBTUSD", "bid": 1.0}, 3),
        ({"feed": "heartbeat", "time": 1}, 2), ({"event": "subscribed", "feed": "ticker"}, 2), ({"feed": "trade"}, 3),
    ):  # fmt: skip
        assert parser.parse(encode(frame)) == [] and parser.kind == kind, frame


@pytest.mark.parametrize(
    ("bar", "seconds"),
    [("1s", 1), ("5m", 300), ("4H", 14400), ("1Dutc", 86400), ("1Wutc", 604800), ("1M", 0), ("3Mutc", 0), ("1Y", 0)],
)  # fmt: skip
def test_intervals(bar, seconds):
    (kline,) = PeriodicParser("okx").parse(okx(f"candle{bar}", [CANDLE], "BTC-USDT"))
    assert kline.intervalS == seconds
    assert kline.closeTimeNs == (kline.openTimeNs + seconds * 10**9 if seconds else 0)


def test_old_candles_of_okx_have_seven_columns():
    (kline,) = PeriodicParser("okx").parse(okx("candle1m", [[*CANDLE[:6], "40.5"]], "BTC-USDT"))
    assert kline.quoteVolume == 40.5 and not kline.closed
    (kline,) = PeriodicParser("okx_swap").parse(okx("candle1m", [CANDLE[:7]]))
    assert math.isnan(kline.quoteVolume)


def test_history_of_kraken_is_closed_where_it_was_over():
    parser = PeriodicParser("kraken")
    (old,) = parser.parse(kraken("snapshot", interval_begin="2026-09-21T14:12:00Z"))
    (current,) = parser.parse(kraken("snapshot"))
    assert old.flags == Flag.SNAPSHOT | Flag.CLOSED and current.flags == Flag.SNAPSHOT


def test_funding_of_binance():
    parser = PeriodicParser("binance_future")
    wanted = {
        "symbol": "btc/usdt:usdt", "exchangeTimeNs": T * 10**6, "localTimeNs": 9, "rate": -0.00008574,
        "markPrice": 81219.2, "indexPrice": 81260.37, "fundingTimeNs": (T + 1000) * 10**6,
    }  # fmt: skip
    assert parser.parse(encode(MARK), 9) == [wanted]
    assert parser.parse(encode({"stream": "!markPrice@arr@1s", "data": [MARK, MARK]}), 9) == [wanted, wanted]
    (dated,) = parser.parse(encode({**MARK, "s": "BTCUSDT_270326", "r": "", "T": 0}))
    assert dated["symbol"] == "btc/usdt:usdt-270326" and "rate" not in dated and "fundingTimeNs" not in dated


def test_funding_of_okx():
    parser = PeriodicParser("okx_swap")
    row = {
        "instId": "BTC-USDT-SWAP", "fundingRate": "-0.0001", "nextFundingRate": "", "fundingTime": str(T),
        "nextFundingTime": str(T + 5), "ts": str(T - 1),
    }  # fmt: skip
    (funding,) = parser.parse(okx("funding-rate", [row]))
    assert (funding["rate"], funding["fundingTimeNs"], funding["nextFundingTimeNs"]) == (
        -0.0001, T * 10**6, (T + 5) * 10**6,
    )  # fmt: skip
    assert "nextRate" not in funding
    (mark,) = parser.parse(okx("mark-price", [{"instId": "BTC-USDT-SWAP", "markPx": "83003.8", "ts": str(T)}]))
    assert mark == {"symbol": "btc/usdt:usdt", "exchangeTimeNs": T * 10**6, "localTimeNs": 0, "markPrice": 83003.8}


@pytest.mark.parametrize(
    ("exchange", "frame", "reason"),
    [
        ("binance", encode({**SPOT, "k": {"t": 1}}), "must have the key T"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "o": "nan"}}), "o must be a plain decimal"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "n": -1}}), "n must be a whole number"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "x": 1}}), "x must be true or false"),
        ("binance", encode(SPOT)[:-3], "JSON|json|frame"),
        ("binance", encode(SPOT).replace(b'"E"', b'"s":"X","E"', 1), "only once"),
        ("binance_future", encode({**MARK, "r": "x"}), "r must be a finite"),
        ("okx", okx("candle1m", [["1", "2"]]), "7 values"),
        ("okx", okx("candle1m", [{}]), "7 values"),
        ("okx", okx("candle1m", [CANDLE], ""), "a symbol must be text"),
        ("okx", okx("candle1m", [["x", *CANDLE[1:]]]), "ts must be milliseconds"),
        ("okx", okx("candle1m", [["", *CANDLE[1:]]], "BTC-USDT"), "ts must be milliseconds, was ''"),
        ("okx_swap", okx("mark-price", [{"instId": "BTC-USDT-SWAP", "markPx": "-1"}]), "must not be negative"),
        ("kraken", kraken(interval=-1), "interval must be"),
        ("kraken", kraken(interval_begin="x"), "RFC 3339"),
        ("kraken", kraken(symbol="??"), "symbol"),
        ("kraken", encode([*V1[:2], "ohlc-0", "XBT/USD"]), "minutes of a year at most, was 'ohlc-0'"),
        ("kraken", encode([42, V1[1][:8], *V1[2:]]), "9 values"),
        ("kraken", encode([42, ["1", "99999999999", *V1[1][2:]], *V1[2:]]), "etime must be seconds"),
        ("okx", okx("candle", [CANDLE], "BTC-USDT"), "an interval must be one like 5m, was ''"),
        ("okx", okx("candle5", [CANDLE], "BTC-USDT"), "an interval must be one like 5m, was '5'"),
        ("okx", okx("candle0m", [CANDLE], "BTC-USDT"), "an interval must be one like 5m, was '0m'"),
        ("okx", okx("candle1Dcet", [CANDLE], "BTC-USDT"), "an interval must be one like 5m, was '1Dcet'"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "i": "abc"}}), "an interval must be one like 5m, was 'abc'"),
        ("okx", okx("candle1m", [[*CANDLE[:8], "2"]], "BTC-USDT"), "confirm must be 0 or 1 as text, was '2'"),
        ("okx", okx("candle1m", [["9223372036854", *CANDLE[1:]]], "BTC-USDT"), "must end within 64 bits"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "T": 9223372036854}}), "must end within 64 bits"),
        ("binance", encode({**SPOT, "k": {**SPOT["k"], "n": 2**63}}), "n must be a whole number of 63 bits, was '92"),
        ("coinbase", advanced({**ADVANCED, "open": "NaN"}), "open must be a plain decimal number, was 'NaN'"),
        ("coinbase", advanced({**ADVANCED, "start": "x"}), "start must be seconds .*, was 'x'"),
        ("coinbase", advanced({**ADVANCED, "start": "9223372036"}), "must end within 64 bits"),
        ("coinbase", advanced({**ADVANCED, "volume": "-1"}), "volume must not be negative, was '-1'"),
        ("coinbase", advanced({}), "must have the key product_id"),
        ("coinbase", advanced(ADVANCED, kind="delta"), "type must be snapshot or update, was 'delta'"),
        ("coinbase", advanced(ADVANCED, number=2**64), "sequence_num must be a whole number of 64 bits"),
        ("coinbase", advanced(ADVANCED).replace(b'"open"', b'"open":"1","open"'), "only once, was 'open'"),
        ("coinbase", advanced(ADVANCED, timestamp="now"), "timestamp must be a time of RFC 3339"),
        ("coinbase", advanced(ADVANCED).replace(b"[{", b"[" * 70 + b"{", 1), "nest at most 64 deep|valid JSON"),
        ("kraken_future", encode({**FUTURES, "markPrice": "1e400"}), "markPrice must be a finite number, was '1e400'"),
        ("kraken_future", encode({**FUTURES, "relative_funding_rate": True}), "relative_funding_rate must be a number"),
        ("kraken_future", encode({**FUTURES, "product_id": 5}), "a symbol must be text, was '5'"),
        ("kraken_future", encode({**FUTURES, "next_funding_rate_time": -1}), "time must be milliseconds"),
    ],
)
def test_what_is_wrong_is_named(exchange, frame, reason):
    parser = PeriodicParser(exchange)
    with pytest.raises(ParseError, match=reason):
        parser.parse(frame)
    assert parser.kind == 0


@pytest.mark.parametrize(
    ("exchange", "frame", "symbol"),
    [*FRAMES, ("coinbase", advanced(ADVANCED), ""), ("kraken_future", encode(FUTURES), ""),
     ("binance_future", encode(MARK), "")],
)  # fmt: skip
def test_truncated_anywhere(exchange, frame, symbol):
    parser = PeriodicParser(exchange)
    for end in range(len(frame)):
        with pytest.raises(ParseError):
            parser.parse(frame[:end])
    assert len(parser.parse(frame)) == 1


def test_flags_are_given_to_every_kline():
    parser = PeriodicParser("kraken")
    (kline,) = parser.parse(kraken(), 5, Flag.REPLAY)
    (old,) = parser.parse(kraken("snapshot", interval_begin="2026-09-21T14:12:00Z"), 5, Flag.REPLAY)
    assert kline.flags == Flag.REPLAY and old.flags == Flag.REPLAY | Flag.SNAPSHOT | Flag.CLOSED


def test_other_frames_are_told_apart():
    parser = PeriodicParser("okx")
    for frame, kind in ((b"pong", 2), (b'{"event":"subscribe"}', 2), (okx("trades", []), 3), (b"[]", 3)):
        assert parser.parse(frame) == [] and parser.kind == kind
    parser = PeriodicParser("binance")
    for frame, kind in ((b'{"result":null,"id":1}', 2), (b'{"e":"trade"}', 3), (b"[]", 3)):
        assert parser.parse(frame) == [] and parser.kind == kind


def test_the_struct():
    kline = Kline(exchange="okx", symbol="btc/usdt", open=1.0, high=2.0, low=0.5, close=1.5, openTimeNs=7, flags=8)
    assert KLINE_DTYPE.itemsize == 128
    array = klines_to_array([kline, kline])
    assert array["close"].tolist() == [1.5, 1.5] and array["flags"][0] == 8
    assert klines_from_array(array) == [kline, kline]
    assert pickle.loads(pickle.dumps(kline)) == kline and hash(kline) == hash(Kline(**kline.to_dict()))
    assert kline != Kline(**{**kline.to_dict(), "close": 1.6}) and kline != 5
    assert math.isnan(kline.quote_volume) and kline.trade_count == -1 and kline.closed
    assert repr(kline).startswith("Kline(exchange='okx', symbol='btc/usdt', openTimeNs=7")
    with pytest.raises(ValueError, match="multiple of 128 bytes, was 5"):
        klines_from_array(b"12345")
    with pytest.raises(ValueError, match="exchange must be one with klines or funding"):
        PeriodicParser("ib")
    assert isinstance(array, np.ndarray)


def test_a_pair_that_was_looked_up_is_looked_up_again_when_the_instruments_change():
    parser = PeriodicParser(Exchange.BINANCE)
    frame = encode({**SPOT, "s": "FOOQQZK"})
    with pytest.raises(ParseError, match="FOOQQZK"):
        parser.parse(frame)
    for pair in ("foo/qqzk", "fooq/qzk"):
        register_instruments(Exchange.BINANCE, {"FOOQQZK": pair})
        assert [str(kline.symbol) for _ in range(2) for kline in parser.parse(frame)] == [pair, pair]
