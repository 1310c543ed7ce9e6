"""The native codec against the generated protobuf classes: the same bytes, the same values, the same refusals."""

import gc
import math
import random
import struct
import sys
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore.codec import decode_ticker, decode_trade, encode_batch, encode_ticker, encode_trade
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.wire import market_pb2 as wire

MAX64 = (1 << 64) - 1
EXCHANGES = [int(exchange) for exchange in Exchange]
SYMBOLS = ["btc/usdt", "eth/usd:usd", "1000pepe/usdt", "币安人生/usdt", "é/ü", "a" * 30 + "/" + "b" * 33]

any_i64 = st.one_of(st.sampled_from([0, 1, -1, -(1 << 63), (1 << 63) - 1]), st.integers(-(1 << 63), (1 << 63) - 1))
any_u64 = st.one_of(st.sampled_from([0, 1, 127, 128, MAX64]), st.integers(0, MAX64))
any_double = st.one_of(st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e300]), st.floats())
any_flags = st.sampled_from([0, 1, 7, 127, 128, 65535])
any_symbol = st.sampled_from(SYMBOLS)
any_exchange = st.sampled_from(EXCHANGES)

tickers = st.builds(
    Ticker, exchange=any_exchange, symbol=any_symbol, bidPrice=any_double, bidVolume=any_double, askPrice=any_double,
    askVolume=any_double, exchangeTimeNs=any_i64, localTimeNs=any_i64, seq=any_u64, flags=any_flags,
)  # fmt: skip
trades = st.builds(
    Trade, exchange=any_exchange, symbol=any_symbol, price=any_double, volume=any_double,
    side=st.sampled_from([0, 1, 2]), tradeId=any_i64, exchangeTimeNs=any_i64, tradeTimeNs=any_i64,
    localTimeNs=any_i64, seq=any_u64, flags=any_flags,
)  # fmt: skip


def ticker_message(ticker: Ticker, seq: int, epoch: int, resent: bool) -> Any:
    return wire.Ticker(
        seq=seq, epoch=epoch, resent=resent, exchange=int(ticker.exchange), symbol=ticker.symbol,  # type: ignore[arg-type]
        exchange_time_ns=ticker.exchangeTimeNs, local_time_ns=ticker.localTimeNs, bid_price=ticker.bidPrice,
        bid_volume=ticker.bidVolume, ask_price=ticker.askPrice, ask_volume=ticker.askVolume, venue_seq=ticker.seq,
        flags=int(ticker.flags),
    )  # fmt: skip


def trade_message(trade: Trade, seq: int, epoch: int, resent: bool) -> Any:
    return wire.Trade(
        seq=seq, epoch=epoch, resent=resent, exchange=int(trade.exchange), symbol=trade.symbol,  # type: ignore[arg-type]
        exchange_time_ns=trade.exchangeTimeNs, local_time_ns=trade.localTimeNs, trade_time_ns=trade.tradeTimeNs,
        price=trade.price, volume=trade.volume, trade_id=trade.tradeId, side=int(trade.side),  # type: ignore[arg-type]
        venue_seq=trade.seq, flags=int(trade.flags),
    )  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal to the bit: NaN equals NaN, -0.0 is not 0.0."""
    return type(one) is type(other) and one.to_bytes() == other.to_bytes()


@given(tickers, any_u64, any_u64, st.booleans())
def test_ticker_bytes_are_upb_s(ticker: Ticker, seq: int, epoch: int, resent: bool) -> None:
    raw = encode_ticker(ticker, seq, epoch, resent)
    assert raw == ticker_message(ticker, seq, epoch, resent).SerializeToString()
    found, *rest = decode_ticker(raw)
    assert same(found, ticker) and rest == [seq, epoch, resent]


@given(trades, any_u64, any_u64, st.booleans())
def test_trade_bytes_are_upb_s(trade: Trade, seq: int, epoch: int, resent: bool) -> None:
    raw = encode_trade(trade, seq, epoch, resent)
    assert raw == trade_message(trade, seq, epoch, resent).SerializeToString()
    found, *rest = decode_trade(raw)
    assert same(found, trade) and rest == [seq, epoch, resent]


def test_what_upb_leaves_out_and_what_not() -> None:
    nothing = Ticker(exchange=0, symbol="btc/usd")
    assert encode_ticker(nothing, 0, 0) == b"\x2a\x07btc/usd"
    zero = encode_ticker(Ticker(exchange=0, symbol="btc/usd", bidPrice=-0.0), 0, 0)
    assert zero == b"\x2a\x07btc/usd\x41" + struct.pack("<d", -0.0)
    with pytest.raises(OverflowError):
        encode_ticker(nothing, -1, 0)
    with pytest.raises(OverflowError):
        encode_trade(Trade(exchange=0, symbol="btc/usd"), 0, 1 << 64)
    with pytest.raises(TypeError):
        encode_ticker(None, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        encode_ticker(Trade(exchange=0, symbol="btc/usd"), 0, 0)  # type: ignore[arg-type]


def test_a_batch_is_numbered_from_the_first_on() -> None:
    ticker, trade = Ticker(exchange=3, symbol="btc/usd"), Trade(exchange=3, symbol="btc/usd")
    assert encode_batch([ticker, trade], 5, 9) == [encode_ticker(ticker, 5, 9), encode_trade(trade, 6, 9)]
    assert encode_batch([], 1, 1) == []
    with pytest.raises(TypeError, match="was 7"):
        encode_batch([ticker, 7], 1, 1)  # type: ignore[list-item]


# Differential: our decoder's verdict must be upb's, but for values that a struct cannot hold.


def upb_ticker(raw: bytes) -> tuple[Ticker, int, int, bool] | None:
    try:
        m = wire.Ticker.FromString(raw)
        found = Ticker(
            exchange=m.exchange, symbol=m.symbol, exchangeTimeNs=m.exchange_time_ns, localTimeNs=m.local_time_ns,
            bidPrice=m.bid_price, bidVolume=m.bid_volume, askPrice=m.ask_price, askVolume=m.ask_volume,
            seq=m.venue_seq, flags=m.flags,
        )  # fmt: skip
    except (DecodeError, ValueError, OverflowError):
        return None
    return found, m.seq, m.epoch, m.resent


def upb_trade(raw: bytes) -> tuple[Trade, int, int, bool] | None:
    try:
        m = wire.Trade.FromString(raw)
        found = Trade(
            exchange=m.exchange, symbol=m.symbol, exchangeTimeNs=m.exchange_time_ns, localTimeNs=m.local_time_ns,
            tradeTimeNs=m.trade_time_ns, price=m.price, volume=m.volume, tradeId=m.trade_id, side=m.side,
            seq=m.venue_seq, flags=m.flags,
        )  # fmt: skip
    except (DecodeError, ValueError, OverflowError):
        return None
    return found, m.seq, m.epoch, m.resent


def check(raw: bytes) -> int:
    """Compare both kinds; returns how many were accepted."""
    accepted = 0
    for ours, theirs in ((decode_ticker, upb_ticker), (decode_trade, upb_trade)):
        expected: Any = theirs(raw)
        try:
            found: Any = ours(raw)
        except ParseError as error:
            assert expected is None, f"{raw!r}: upb accepts, we say {error}"
            assert str(error)
            continue
        assert expected is not None, f"{raw!r}: upb refuses, we read {found}"
        assert same(found[0], expected[0]) and found[1:] == expected[1:], raw
        accepted += 1
    return accepted


def varint(value: int, length: int = 0) -> bytes:
    """A varint, padded to `length` bytes where that is more than it needs."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < length:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def random_field(rng: random.Random) -> bytes:
    """A known or unknown field of any wire type, mostly well formed."""
    number = rng.choice([*range(1, 17), 100, 5000, (1 << 29) - 1])
    kind = rng.choice([0, 0, 0, 1, 1, 1, 2, 2, 3, 5])
    tag = varint(number << 3 | kind, rng.choice([0, 0, 0, 2, 5]))
    if kind == 0:
        value = rng.choice([0, 1, 2, 3, 5, 127, 128, 300, 1 << 31, 1 << 32, (1 << 32) + 3, MAX64, rng.getrandbits(64)])
        return tag + varint(value, rng.choice([0, 0, 2, 10]))
    if kind == 1:
        return tag + rng.choice([bytes(8), struct.pack("<d", rng.random()), rng.randbytes(8)])
    if kind == 2:
        text = rng.choice([b"", b"btc/usd", b"BTC-USDT", "é/usd".encode(), b"\xff", b"\xed\xa0\x80", rng.randbytes(5)])
        return tag + varint(len(text), rng.choice([0, 0, 3, 5])) + text
    if kind == 3:
        inner = b"".join(random_field(rng) for _ in range(rng.randrange(3)))
        return tag + inner + varint(number << 3 | 4)
    return tag + rng.randbytes(4)


def test_random_fields_in_any_order() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    accepted = 0
    for _ in range(20_000):
        fields = [random_field(rng) for _ in range(rng.randrange(8))] + [b"\x2a\x07btc/usd"]
        rng.shuffle(fields)
        accepted += check(b"".join(fields))
    assert accepted > 2_000  # else it compares refusals alone


def test_mutated_messages() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ticker = Ticker(
        exchange=3, symbol="é/usd", bidPrice=1.5, bidVolume=2.5, askPrice=-0.0, askVolume=3.0, exchangeTimeNs=-1,
        localTimeNs=1 << 60, seq=MAX64, flags=5,
    )  # fmt: skip
    trade = Trade(
        exchange=3, symbol="btc/usd", price=1.5, volume=2.5, side="sell", tradeId=-1, exchangeTimeNs=1, tradeTimeNs=2,
        localTimeNs=3, seq=300, flags=7,
    )  # fmt: skip
    whole = [encode_ticker(ticker, 300, 1 << 62, True), encode_trade(trade, MAX64, 7)]
    accepted = 0
    for _ in range(20_000):
        raw = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw) + 1)
            match rng.randrange(4):
                case 0 if at < len(raw):
                    raw[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
                case 1:
                    del raw[at : at + rng.randrange(1, 4)]
                case 2:
                    raw[at:at] = rng.randbytes(rng.randrange(1, 4))
                case _:
                    raw[at:at] = random_field(rng)
            raw = raw or bytearray(1)
        accepted += check(bytes(raw))
    assert accepted > 2_000


@settings(max_examples=500)
@given(st.binary(max_size=64))
def test_random_bytes(raw: bytes) -> None:
    check(raw)


def test_every_truncation() -> None:
    ticker = Ticker(exchange=3, symbol="é/usd", bidPrice=1.5, askVolume=3.0, localTimeNs=1 << 60, seq=MAX64, flags=300)
    raw = encode_ticker(ticker, 300, 1 << 62, True)
    for size in range(len(raw)):
        check(raw[:size])


# An unknown group that holds a field number 0: no tag elsewhere.
ODD_GROUP = b"\xa3\x06" b"\x02\x03abc" b"\x00\x05" b"\xa4\x06"


def test_a_field_number_of_zero_passes_in_an_unknown_group_alone() -> None:
    whole = encode_ticker(Ticker(exchange=3, symbol="btc/usd", bidPrice=1.5), 1, 2)
    assert check(whole + ODD_GROUP) >= 1 and check(ODD_GROUP + whole) >= 1
    for raw in (whole + b"\x02\x03abc", whole + b"\xa3\x06\x04\xa4\x06"):
        assert check(raw) == 0


NAMED = [
    (b"\x08", "at byte 0 is longer than the message"),
    (b"\x2a\x07btc/usd\x41\x00", "at byte 9 is longer than the message"),
    (b"\x2a\x08btc/usd", "at byte 0 is longer than the message"),
    (b"\x08" + b"\x80" * 10 + b"\x00", "varint of more than 10 bytes"),
    (b"\x00\x01", "no valid tag"),
    (b"\x88\x80\x80\x80\x80\x00\x01", "no valid tag"),
    (b"\xfa\xff\xff\xff\xff\x7f\x00", "no valid tag"),
    (b"\x2a\xff\xff\xff\xff\x0f", "length beyond"),
    (b"\x0e\x00", "wire type 6 or 7"),
    (b"\x0f\x00", "wire type 6 or 7"),
    (b"\x0c", "group that did not begin"),
    (b"\x0b\x14", "group that did not begin"),
    (b"\x0b", "longer than the message"),
    (b"\xa3\x06" * 101 + b"\xa4\x06" * 101, "more than 100 deep"),
    (b"\x2a\x01\xff", "not UTF-8"),
    (b"\x2a\x03\xed\xa0\x80", "not UTF-8"),
    (b"\x2a\x02\xc1\x81", "not UTF-8"),
    (b"\x2a\x04\xf4\x90\x80\x80", "not UTF-8"),
    (b"\x2a\x07btc/usd\x20\x04", "exchange must be a number of Exchange, was 4"),
    (b"\x2a\x07btc/usd\x20" + varint(MAX64), "exchange must be a number of Exchange, was -1"),
    (b"\x2a\x07btc/usd\x20\x80\x02", "exchange must be a number of Exchange, was 256"),
    (b"", "symbol: a currency pair must read base/quote"),
    (b"\x2a\x03zzz", "was 'zzz'"),
]


@pytest.mark.parametrize(("raw", "says"), NAMED)
def test_refusals_name_what_is_wrong(raw: bytes, says: str) -> None:
    assert upb_ticker(raw) is None
    for decode in (decode_ticker, decode_trade):
        with pytest.raises(ParseError) as caught:
            decode(raw)
        assert says in str(caught.value)


def test_values_that_a_struct_cannot_hold() -> None:
    with pytest.raises(ParseError, match="flags must be at most 65535, was 65536"):
        decode_ticker(b"\x2a\x07btc/usd\x68" + varint(65536))
    with pytest.raises(ParseError, match="flags must be at most 65535, was 65536"):
        decode_trade(b"\x2a\x07btc/usd\x70" + varint(65536))
    with pytest.raises(ParseError, match="side must be 0, 1 or 2, was 3"):
        decode_trade(b"\x2a\x07btc/usd\x60\x03")
    with pytest.raises(ParseError, match="side must be 0, 1 or 2, was -1"):
        decode_trade(b"\x2a\x07btc/usd\x60" + varint(MAX64))


def test_accepted_all_the_same() -> None:
    symbol = b"\x2a\x07btc/usd"
    for raw in (
        symbol + b"\xa3\x06" * 100 + b"\xa4\x06" * 100,
        symbol + b"\x08\x01\x08\x02",  # the last wins
        b"\x2a\x07eth/usd" + symbol,
        b"\x2a\x87\x00btc/usd",  # a length with a surplus byte
        symbol + b"\x18\x80\x80\x80\x80\x10",  # resent: 1 << 32 is true
        symbol + b"\x20\x83\x80\x80\x80\x10",  # exchange: 3 once it has 32 bits
        symbol + b"\x0d\x00\x00\x00\x00",  # seq as a fixed32: an unknown field
        symbol + b"\x08" + b"\xff" * 9 + b"\x7f",  # ten bytes, surplus bits dropped
        symbol + b"\x28\x05",  # symbol as a varint: an unknown field
    ):
        assert check(raw) == 2, raw


def test_other_spellings_and_buffers() -> None:
    raw = b"\x2a\x08BTC-USDT\x20\x03"
    for message in (raw, bytearray(raw), memoryview(raw)):
        ticker, *_ = decode_ticker(message)
        assert ticker.symbol is CurrencyPair("btc/usdt")
        trade, *_ = decode_trade(message)
        assert trade.symbol is CurrencyPair("btc/usdt")
    for bad in ("text", None, 5):
        with pytest.raises(TypeError):
            decode_ticker(bad)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        decode_ticker(memoryview(raw)[::2])


@pytest.mark.leak
def test_nothing_leaks() -> None:
    ticker = Ticker(exchange=3, symbol="btc/usd", bidPrice=1.5)
    trade = Trade(exchange=3, symbol="btc/usd", price=1.5)
    raw, raw_trade = bytearray(encode_ticker(ticker, 1, 2)), bytearray(encode_trade(trade, 1, 2))

    def rounds(count: int) -> None:
        for _ in range(count):
            decode_ticker(encode_ticker(ticker, 1, 2))
            decode_trade(encode_trade(trade, 1, 2))
            decode_ticker(raw)
            decode_trade(raw_trade)
            try:
                decode_ticker(b"\x08")
            except ParseError:
                pass

    rounds(2_000)
    gc.collect()
    before, refs = sys.getallocatedblocks(), sys.getrefcount(ticker)
    rounds(50_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200
    assert sys.getrefcount(ticker) == refs
    raw.append(0)  # no export is left
