"""Binance USD-M's frames: what each field becomes, and what is refused by name."""


import binance_usdm_frames as frames
import pytest

from hftcore.enums import Exchange, Flag, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker, Trade

BOOK_TICKER = frames.BOOK_TICKER % (b',"ps":"1000PEPEUSDT"', frames.ST)
TRADE = frames.TRADE % (b"MARKET", b"true", b"")
AGG_TRADE = frames.AGG_TRADE % (b',"nq":"0.010"', b"false", frames.ST)


@pytest.fixture(params=[True, False], ids=["template", "general"])
def parser(request: pytest.FixtureRequest) -> Parser:
    return Parser(Exchange.BINANCE_FUTURE, templates=request.param)


def test_book_ticker(parser: Parser) -> None:
    for frame in (BOOK_TICKER, frames.combined(b"!bookTicker", BOOK_TICKER), frames.BOOK_TICKER % (b"", b"")):
        # When it was published, a millisecond after the book changed.
        assert parser.parse(frame, 42, 4) == [
            Ticker(
                exchange="binance_future", symbol="1000pepe/usdt:usdt", bidPrice=84551.0, bidVolume=2.646,
                askPrice=84551.1, askVolume=5.302, seq=11671659685961, exchangeTimeNs=1790526538940000000,
                localTimeNs=42, flags=4,
            )
        ]  # fmt: skip
    assert parser.nativeSymbols == ["1000PEPEUSDT"]
    (ticker,) = parser.parse(BOOK_TICKER.replace(b',"E":1790526538940', b""))
    assert ticker.exchangeTimeNs == 1790526538939000000
    (ticker,) = parser.parse(BOOK_TICKER.replace(b',"T":1790526538939,"E":1790526538940', b""))
    assert ticker.exchangeTimeNs == 0


def test_trade(parser: Parser) -> None:
    assert parser.parse(TRADE) == [
        Trade(
            exchange="binance_future", symbol="btc/usdt:usdt-260925", price=83680.0, volume=0.001, side="sell",
            tradeId=8121136411, exchangeTimeNs=1790370834849000000, tradeTimeNs=1790370834848000000,
        )
    ]  # fmt: skip
    for kind in (b"RPI", b"INSURANCE_FUND", b"ADL", b"SOMETHING_NEW"):
        (trade,) = parser.parse(frames.TRADE % (kind, b"false", frames.ST))
        assert (trade.side, trade.flags, trade.price) == (Side.BUY, 0, 83680.0)


def test_aggregate_trade(parser: Parser) -> None:
    assert parser.parse(frames.combined(b"btcusdt@aggTrade", AGG_TRADE), flags=4) == [
        # The whole quantity, with that of retail price improvement.
        Trade(
            exchange="binance_future", symbol="btc/usdt:usdt", price=84551.1, volume=0.03, side="buy",
            tradeId=3466782974, exchangeTimeNs=1790526539033000000, tradeTimeNs=1790526538883000000,
            flags=Flag.AGGREGATE | Flag.REPLAY,
        )
    ]  # fmt: skip


def test_what_is_no_trade_gives_none(parser: Parser) -> None:
    frame = (frames.TRADE % (b"NA", b"true", frames.ST)).replace(b"83680.00", b"0").replace(b"0.001", b"0")
    for text in (frame, frames.combined(b"dogeusdt@trade", frame)):
        assert parser.parse(text) == [] and parser.nativeSymbols == []
        assert parser.kind is FrameKind.EVENTS
    # It is looked at all the same, and the next one is read.
    with pytest.raises(ParseError, match="p must be a plain decimal number"):
        parser.parse(frame.replace(b'"p":"0"', b'"p":"x"'))
    assert len(parser.parse(TRADE)) == 1


def test_symbols(parser: Parser) -> None:
    for native, pair in (
        ("BTCUSDT", "btc/usdt:usdt"), ("BTCUSDC", "btc/usdc:usdc"), ("BTCUSDT_260925", "btc/usdt:usdt-260925"),
        ("BTCUSD_PERP", "btc/usd:btc"), ("BTCUSD_260925", "btc/usd:btc-260925"), ("币安人生USDT", "币安人生/usdt:usdt"),
        ("1000000MOGUSDT", "1000000mog/usdt:usdt"), ("A" * 28 + "USDT", "a" * 28 + "/usdt:usdt"),
        ("A" * 40 + "USDT", "a" * 40 + "/usdt:usdt"),
    ):  # fmt: skip
        (ticker,) = parser.parse(BOOK_TICKER.replace(b'"s":"1000PEPEUSDT"', f'"s":"{native}"'.encode()))
        assert ticker.symbol == pair and parser.nativeSymbols == [native]
    assert parser.templateHits in (0, 7)


@pytest.mark.parametrize(
    ("frame", "right", "wrong", "reason"),
    [
        (BOOK_TICKER, b'"b":"84551.00"', b'"b":""', "b must be a plain decimal number, was ''"),
        (BOOK_TICKER, b'"b":"84551.00"', b'"b":"-1"', "b must not be negative, was '-1'"),
        (BOOK_TICKER, b'"b":"84551.00"', b'"b":null', "b must be a number, was 'null'"),
        (BOOK_TICKER, b'"b":"84551.00"', b'"b":"1","b":"1"', "a frame must have a key only once, was 'b'"),
        (BOOK_TICKER, b'"B":"2.646",', b"", "a bookTicker must have the key B"),
        (BOOK_TICKER, b'"u":11671659685961', b'"u":"7"', "u must be a whole number of 64 bits, was '7'"),
        (BOOK_TICKER, b'"u":11671659685961', b'"u":18446744073709551616', "u must be a whole number of 64 bits"),
        (BOOK_TICKER, b'"E":1790526538940', b'"E":"1790526538940"', "E must be milliseconds or microseconds"),
        (BOOK_TICKER, b'"T":1790526538939', b'"T":1.5', "T must be milliseconds or microseconds .*, was '1.5'"),
        (BOOK_TICKER, b'"E":1790526538940', b'"E":1,"E":1', "a bookTicker must have a key only once, was 'E'"),
        (BOOK_TICKER, b'"s":"1000PEPEUSDT"', b'"s":""', "a symbol must be text, was ''"),
        (BOOK_TICKER, b'"s":"1000PEPEUSDT"', b'"s":"PEPE"', "symbol: .*, was 'PEPE'"),
        (BOOK_TICKER, b'"e":"bookTicker"', b'"e":7', "e must be text, was '7'"),
        (TRADE, b'"m":true', b'"m":"true"', "m must be true or false, was 'true'"),
        (TRADE, b'"X":"MARKET"', b'"X":7', "X must be text, was '7'"),
        (TRADE, b'"X":"MARKET"', b'"X":"MARKET","X":"NA"', "a trade must have a key only once, was 'X'"),
        (TRADE, b'"T":1790370834848,', b"", "a trade must have the key T"),
        (TRADE, b'"t":8121136411,', b"", "a trade must have the key t"),
        (AGG_TRADE, b'"a":3466782974,', b"", "an aggTrade must have the key a"),
        (AGG_TRADE, b'"q":"0.030"', b'"q":"0x1"', "q must be a plain decimal number, was '0x1'"),
        (AGG_TRADE, b'"m":false', b'"m":null', "m must be true or false, was 'null'"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_value(parser: Parser, frame: bytes, right: bytes, wrong: bytes, reason: str) -> None:
    assert right in frame
    with pytest.raises(ParseError, match=reason):
        parser.parse(frame.replace(right, wrong, 1))
    assert len(parser.parse(frame)) == 1


def test_streams_that_promise_an_event(parser: Parser) -> None:
    for stream in (b"btcusdt@trade", b"btcusdt@aggTrade", b"btcusdt@bookTicker", b"!bookTicker"):
        for payload in (b"[]", b"7"):
            with pytest.raises(ParseError, match="data must be an object"):
                parser.parse(frames.combined(stream, payload))
        with pytest.raises(ParseError, match="must have the key"):
            parser.parse(frames.combined(stream, b"{}"))
