"""Ticker and Trade: fields, aliases, equality, bytes, arrays, bad arguments."""

import copy
import math
import pickle
import re
import threading

import numpy as np
import pytest

import hftcore
from hftcore.enums import Exchange, Flag, Side
from hftcore.symbols import CurrencyPair
from hftcore.types import (
    TICKER_DTYPE,
    TRADE_DTYPE,
    Ticker,
    Trade,
    tickers_from_array,
    tickers_to_array,
    trades_from_array,
    trades_to_array,
)

TICKER = {
    "exchange": "kraken", "symbol": "btc/usdt", "bidPrice": 50000.1, "bidVolume": 0.25, "askPrice": 50000.2,
    "askVolume": 1e-8, "exchangeTimeNs": 1_700_000_000_123_456_789, "localTimeNs": 1_700_000_000_123_999_999,
    "seq": (1 << 64) - 1, "flags": 5,
}  # fmt: skip
TRADE = {
    "exchange": "binance", "symbol": "eth/usdt:usdt", "price": 0.1 + 0.2, "volume": 3.0, "side": "sell",
    "tradeId": (1 << 63) - 1, "exchangeTimeNs": 1_700_000_000_000_000_001, "tradeTimeNs": 1_699_999_999_999_999_999,
    "localTimeNs": 1_700_000_000_000_000_002, "seq": 7, "flags": 2,
}  # fmt: skip
KINDS = [(Ticker, TICKER, TICKER_DTYPE), (Trade, TRADE, TRADE_DTYPE)]
BOTH = pytest.mark.parametrize(("kind", "fields", "dtype"), KINDS, ids=["Ticker", "Trade"])


def changed(fields: dict, name: str) -> dict:
    other = {"exchange": "okx", "symbol": "eth/btc", "side": "buy"}.get(name)
    return fields | {name: other if other is not None else fields[name] + (-1 if name in ("seq", "tradeId") else 1)}


def snake(name: str) -> str:
    return re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)


def test_build_mode():
    assert hftcore.build_mode in ("release", "debug", "asan", "tsan", "coverage")


@BOTH
def test_fields_read_back(kind, fields, dtype):
    item = kind(**fields)
    assert item.to_dict() == fields
    assert item.exchange is Exchange.parse(fields["exchange"])
    assert item.symbol is CurrencyPair(fields["symbol"])
    assert item.flags == fields["flags"] and isinstance(item.flags, Flag)
    for name, value in fields.items():
        if name not in ("exchange", "symbol", "side"):
            assert getattr(item, name) == value
    if kind is Trade:
        assert item.side is Side.SELL


@BOTH
def test_snake_case_aliases(kind, fields, dtype):
    item = kind(**fields)
    names = [name for name in vars(kind) if re.search("[a-z][A-Z]", name)]
    assert {"localTimestamp", "exchangeTimeNs"} <= set(names)
    for name in names:
        assert getattr(item, snake(name)) == getattr(item, name)


@BOTH
def test_timestamps_are_microseconds(kind, fields, dtype):
    item = kind(**fields)
    assert item.timestamp == fields["exchangeTimeNs"] // 1000
    assert item.localTimestamp == fields["localTimeNs"] // 1000
    if kind is Trade:
        assert item.tradeTimestamp == fields["tradeTimeNs"] // 1000


@BOTH
def test_defaults_are_zero(kind, fields, dtype):
    item = kind(exchange=Exchange.KRAKEN, symbol=CurrencyPair.BTC_USD)
    assert all(value == 0 for name, value in item.to_dict().items() if name not in ("exchange", "symbol", "side"))
    assert item.timestamp == 0
    if kind is Trade:
        assert item.side is Side.UNKNOWN


@BOTH
def test_repr_evaluates_to_the_same(kind, fields, dtype):
    item = kind(**fields)
    text = repr(item)
    assert text.startswith(f"{kind.__name__}(exchange=") and "symbol='" in text
    read = dict(part.split("=") for part in text[len(kind.__name__) + 1 : -1].split(", "))
    assert float(read.get("bidPrice", read.get("price"))) == fields.get("bidPrice", fields.get("price"))
    assert {name: value.strip("'") for name, value in read.items()} == {n: str(v) for n, v in fields.items()}


@BOTH
def test_equality_and_hash_see_every_field(kind, fields, dtype):
    item = kind(**fields)
    assert item == kind(**fields) and hash(item) == hash(kind(**fields)) and not item != kind(**fields)  # noqa: SIM202
    for name in fields:
        assert item != kind(**changed(fields, name)), name
    assert item != fields and item != None and item != 1  # noqa: E711
    assert len({item, kind(**fields), kind(**changed(fields, "seq"))}) == 2


def test_a_ticker_is_no_trade():
    assert Ticker(exchange="kraken", symbol="btc/usd") != Trade(exchange="kraken", symbol="btc/usd")


def test_floats_compare_as_floats():
    def make(price: float) -> Ticker:
        return Ticker(exchange="kraken", symbol="btc/usd", bidPrice=price)

    assert make(-0.0) == make(0.0) and hash(make(-0.0)) == hash(make(0.0))
    assert make(math.inf) == make(math.inf) and make(math.inf) != make(-math.inf)


@BOTH
def test_pickle_and_copy(kind, fields, dtype):
    item = kind(**fields)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(item, protocol))
        assert loaded == item and type(loaded) is kind and loaded.to_bytes() == item.to_bytes()
    assert copy.copy(item) == item == copy.deepcopy(item)


@BOTH
def test_immutable(kind, fields, dtype):
    item = kind(**fields)
    for name in (*fields, "anything"):
        with pytest.raises(AttributeError):
            setattr(item, name, 1)
    with pytest.raises(TypeError):
        type("Sub", (kind,), {})


@BOTH
def test_layout_is_the_dtypes(kind, fields, dtype):
    assert dtype.itemsize == 64
    ends = 0
    for name in dtype.names:  # no holes, in the order of the struct
        part, offset = dtype.fields[name][:2]
        assert offset == ends and offset % part.itemsize == 0
        ends += part.itemsize
    assert ends == 64
    raw = kind(**fields).to_bytes()
    assert len(raw) == 64
    record = np.frombuffer(raw, dtype)[0]
    assert record["symbol"] == CurrencyPair(fields["symbol"]).id
    assert record["exchange"] == Exchange.parse(fields["exchange"])
    for name in dtype.names:
        if name not in ("symbol", "exchange", "side", "reserved"):
            assert record[name] == fields[name]


@pytest.mark.parametrize(
    ("kind", "fields", "dtype", "to_array", "from_array"),
    [(*KINDS[0], tickers_to_array, tickers_from_array), (*KINDS[1], trades_to_array, trades_from_array)],
    ids=["Ticker", "Trade"],
)
class TestArrays:
    def test_round_trip(self, kind, fields, dtype, to_array, from_array):
        items = [kind(**(fields | {"seq": seq})) for seq in range(5)]
        array = to_array(items)
        assert array.dtype == dtype and array.shape == (5,) and array["seq"].tolist() == [0, 1, 2, 3, 4]
        assert from_array(array) == items
        assert from_array(array.tobytes()) == from_array(bytearray(array.tobytes())) == items
        assert from_array(memoryview(array)) == items
        assert from_array(array[1:3]) == items[1:3]

    def test_empty(self, kind, fields, dtype, to_array, from_array):
        array = to_array([])
        assert array.shape == (0,) and array.dtype == dtype
        assert from_array(array) == [] == from_array(b"")

    def test_a_generator_will_do(self, kind, fields, dtype, to_array, from_array):
        assert to_array(kind(**fields) for _ in range(3)).shape == (3,)

    def test_the_array_is_a_view_without_a_copy(self, kind, fields, dtype, to_array, from_array):
        array = to_array([kind(**fields)] * 3)
        assert array.base is not None and not array.flags.owndata
        raw = bytearray(array.tobytes())
        view = np.frombuffer(raw, dtype)
        raw[48:56] = (77).to_bytes(8, "little")
        assert view["seq"][0] == 77

    def test_other_items_are_refused(self, kind, fields, dtype, to_array, from_array):
        other = Trade(**TRADE) if kind is Ticker else Ticker(**TICKER)
        for wrong in (other, None, 1):
            with pytest.raises(TypeError):
                to_array([kind(**fields), wrong])

    def test_bad_bytes_are_refused(self, kind, fields, dtype, to_array, from_array):
        with pytest.raises(ValueError, match="a batch must be a multiple of 64 bytes, was 63"):
            from_array(bytes(63))
        for name, value in (("symbol", -1), ("symbol", 1 << 30), ("exchange", 4), ("exchange", 255), ("side", 3)):
            if name in dtype.names:
                array = to_array([kind(**fields)]).copy()
                array[name] = value
                with pytest.raises(ValueError):
                    from_array(array)


@BOTH
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("exchange", "krakn", ValueError),
        ("exchange", 4, ValueError),
        ("exchange", None, ValueError),
        ("symbol", "btc", ValueError),
        ("symbol", 1, TypeError),
        ("seq", -1, OverflowError),
        ("seq", 1 << 64, OverflowError),
        ("seq", "1", TypeError),
        ("flags", 1 << 16, OverflowError),
        ("exchangeTimeNs", 1 << 63, OverflowError),
        ("localTimeNs", "1", TypeError),
        ("nonsense", 1, TypeError),
    ],
)
def test_bad_arguments(kind, fields, dtype, name, value, error):
    with pytest.raises(error):
        kind(**(fields | {name: value}))


@BOTH
def test_numbers_must_be_numbers(kind, fields, dtype):
    price = "bidPrice" if kind is Ticker else "price"
    for wrong in ("1.0", None, []):
        with pytest.raises(TypeError):
            kind(**(fields | {price: wrong}))
    with pytest.raises(TypeError):
        kind(fields["exchange"], fields["symbol"])
    with pytest.raises(TypeError):
        kind(symbol="btc/usd")


def test_side_must_be_one():
    with pytest.raises(ValueError, match="Side must be one of unknown, buy, sell, was 'bid'"):
        Trade(**(TRADE | {"side": "bid"}))
    for spelling in ("buy", "BUY", 1, Side.BUY):
        assert Trade(**(TRADE | {"side": spelling})).side is Side.BUY


def test_unnamed_flag_bits_survive():
    assert int(Ticker(**(TICKER | {"flags": 0x8001})).flags) == 0x8001


def test_making_and_dropping_from_many_threads():
    def work() -> None:
        for seq in range(3000):
            items.append(Ticker(**(TICKER | {"seq": seq})))
            if seq % 3 == 0:
                items.pop()

    items: list[Ticker] = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(items) == 4 * 2000 and all(item.symbol == "btc/usdt" for item in items)
