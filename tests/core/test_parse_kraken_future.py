"""Kraken Futures: what the fields mean, what may be absent, what is refused."""


import kraken_future_frames as frames
import pytest

from hftcore.enums import Exchange, Flag, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker, Trade

TICKER, DATED, LITE, TRADE = frames.TICKER_2026, frames.TICKER_2019, frames.TICKER_LITE, frames.FUTURES_TRADE


@pytest.fixture(params=[True, False], ids=["template", "general"])
def parser(request: pytest.FixtureRequest) -> Parser:
    return Parser(Exchange.KRAKEN_FUTURE, templates=request.param)


def test_ticker(parser: Parser) -> None:
    (ticker,) = parser.parse(TICKER, 42, 4)
    assert ticker == Ticker(
        exchange="kraken_future", symbol="btc/usd:usd", bidPrice=82380.0, bidVolume=0.0003, askPrice=82381.0,
        askVolume=0.4671, exchangeTimeNs=1791518715420 * 10**6, localTimeNs=42, flags=4,
    )  # fmt: skip
    (ticker,) = parser.parse(DATED)
    assert ticker.symbol == "ltc/usd:ltc-190628" and ticker.exchangeTimeNs == 1554076800684 * 10**6


def test_ticker_lite_has_neither_sizes_nor_time(parser: Parser) -> None:
    (ticker,) = parser.parse(LITE, 42)
    assert ticker == Ticker(
        exchange="kraken_future", symbol="eth/usd:eth", bidPrice=1753.45, bidVolume=0, askPrice=1760.35, askVolume=0,
        localTimeNs=42,
    )  # fmt: skip
    (ticker,) = parser.parse(LITE.replace(b',"tag"', b',"bid_size":5,"ask_size":7.5E0,"time":3,"tag"'))
    assert (ticker.bidVolume, ticker.askVolume, ticker.exchangeTimeNs) == (5, 7.5, 3_000_000)


def test_trade(parser: Parser) -> None:
    (trade,) = parser.parse(TRADE, 42)
    assert trade == Trade(
        exchange="kraken_future", symbol="btc/usd:btc", price=34969.5, volume=15000, side="sell", tradeId=0,
        exchangeTimeNs=1612266317519 * 10**6, tradeTimeNs=1612266317519 * 10**6, localTimeNs=42, seq=653355,
    )  # fmt: skip
    (trade,) = parser.parse(frames.FUTURES_TRADE_2026)
    assert (trade.symbol, trade.side, trade.volume, trade.seq) == ("btc/usd:usd", Side.BUY, 0.0002, 842137)


def test_snapshot_keeps_the_venues_order(parser: Parser) -> None:
    older = TRADE.replace(b"653355", b"653354")
    trades = parser.parse(b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[%s,%s]}' % (TRADE, older))
    assert [trade.seq for trade in trades] == [653355, 653354]
    assert all(trade.flags == Flag.SNAPSHOT for trade in trades)
    assert parser.parse(TRADE)[0].flags == 0
    assert parser.parse(b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[]}') == []
    assert parser.kind is FrameKind.EVENTS


def test_dated_futures_are_no_perpetuals(parser: Parser) -> None:
    names = ("PF_XBTUSD", "PI_XBTUSD", "FI_XBTUSD_210625", "FF_XBTUSD_210625", "FI_XBTUSD_210924")
    symbols = [parser.parse(TRADE.replace(b"PI_XBTUSD", name.encode()))[0].symbol for name in names]
    assert [str(symbol) for symbol in symbols] == [
        "btc/usd:usd", "btc/usd:btc", "btc/usd:btc-210625", "btc/usd:usd-210625", "btc/usd:btc-210924",
    ]  # fmt: skip
    assert len({symbol.id for symbol in symbols}) == 5


@pytest.mark.parametrize("kind", ["fill", "liquidation", "assignment", "termination", "block"])
def test_types_of_trades(parser: Parser, kind: str) -> None:
    assert len(parser.parse(TRADE.replace(b'"fill"', f'"{kind}"'.encode()))) == 1


@pytest.mark.parametrize("text", ["9.67535E-4", "9.67535e-4", "1E3", "1e+3", "0.0", "0", "123456789012345678"])
def test_numbers_with_exponents(parser: Parser, text: str) -> None:
    assert parser.parse(TRADE.replace(b"15000.0", text.encode()))[0].volume == float(text)
    # Also where nobody asks for them.
    for skipped in (b"2.062200583889875", b"-1.58E-4", b"82380.4640336367", b"-18140", b"-0.0"):
        assert len(parser.parse(TICKER.replace(skipped, text.encode()))) == 1
    for broken in ("1.5.2", "01", "1e", "+1", ".5", "5.", "1E+", "--1", ""):
        with pytest.raises(ParseError, match="valid JSON"):
            parser.parse(TICKER.replace(b"2.062200583889875", broken.encode()))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("1791518715420", 1791518715420 * 10**6),
        ("9223372036854", 9223372036854 * 10**6),
        ("9223372036855", None),
        ("1791518715420123", None),  # never taken for microseconds
        ("1791518715420.5", None),
        ("1.79E12", None),
        ("-1", None),
        ('"1791518715420"', None),
        ("null", None),
    ],
)
def test_times(parser: Parser, text: str, ns: int | None) -> None:
    for frame, old in ((TICKER, b"1791518715420"), (DATED, b"1554076800684"), (TRADE, b"1612266317519")):
        frame = frame.replace(old, text.encode())
        if ns is not None:
            assert parser.parse(frame)[0].exchangeTimeNs == ns
        else:
            with pytest.raises(ParseError, match="time must be milliseconds that fit 64 bits of nanoseconds, was "):
                parser.parse(frame)


def test_what_may_be_absent(parser: Parser) -> None:
    (ticker,) = parser.parse(b'{"feed":"ticker","product_id":"PF_XBTUSD","bid":1,"ask":2,"bid_size":3,"ask_size":4}')
    assert (ticker.bidPrice, ticker.askVolume, ticker.exchangeTimeNs) == (1, 4, 0)
    (trade,) = parser.parse(b'{"feed":"trade","product_id":"PF_XBTUSD","side":"buy","qty":3,"price":4}')
    assert (trade.seq, trade.tradeTimeNs, trade.volume, trade.price) == (0, 0, 3, 4)


@pytest.mark.parametrize(
    ("frame", "keys"),
    [
        (TICKER, "product_id bid ask bid_size ask_size"),
        (LITE, "product_id bid ask"),
        (TRADE, "product_id side qty price"),
        (b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[%s]}' % TRADE, "trades side qty price"),
    ],
)
def test_what_must_be_there_and_only_once(parser: Parser, frame: bytes, keys: str) -> None:
    for key in keys.split():
        with pytest.raises(ParseError, match=f"must have the key {key}, was "):
            parser.parse(frame.replace(f'"{key}":'.encode(), b'"zz":', 1))
    for key in [*keys.split(), "feed", "time", "seq"]:
        name = f'"{key}":'.encode()
        if name in frame and not (key == "feed" and b"_snapshot" not in frame and frame.index(name) > 1):
            with pytest.raises(ParseError, match="only once"):
                parser.parse(frame.replace(name, name + b'"x",' + name, 1))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"sell"', b'"SELL"', "side must be buy or sell, was 'SELL'"),
        (b"34969.5", b"-34969.5", "price must not be negative, was '-34969.5'"),
        (b"34969.5", b"null", "price must be a number, was 'null'"),
        (b"15000.0", b"1e999", "qty must be a finite number, was '1e999'"),
        (b"653355", b"1.5", "seq must be a whole number of 64 bits, was '1.5'"),
        (b"PI_XBTUSD", b"OF_XBTUSD", "must read as PF_XBTUSD or FI_XBTUSD_210625, was 'OF_XBTUSD'"),
        (b'"PI_XBTUSD"', b"7", "a symbol must be text, was '7'"),
    ],
)
def test_what_is_refused_names_the_value(parser: Parser, old: bytes, new: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parser.parse(TRADE.replace(old, new, 1))
    assert parser.parse(TRADE)  # nothing else is lost


def test_structures_that_are_none(parser: Parser) -> None:
    for text, reason in (
        ('{"feed":5}', "feed must be text"),
        ('{"feed":"trade_snapshot","trades":{}}', "trades must be an array"),
        ('{"feed":"trade_snapshot","trades":[5]}', "a trade must be an object"),
        ('{"feed":"trade","feed":"ticker"}', "only once"),
        ('{"event":"info","event":"alert"}', "only once"),
    ):
        with pytest.raises(ParseError, match=reason):
            parser.parse(text.encode())
