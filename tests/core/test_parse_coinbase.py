"""Coinbase: what the fields mean, what may be absent, what is refused."""


import coinbase_frames as frames
import pytest

from hftcore.enums import Exchange, Flag, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker, Trade

PUBLISHED_NS = 1786309572591505938
ADVANCED_TICKER, DOCUMENTED_TICKER, ADVANCED_TRADE, EXCHANGE_TICKER, MATCH = (
    frames.ADVANCED_TICKER, frames.DOCUMENTED_TICKER, frames.ADVANCED_TRADE, frames.EXCHANGE_TICKER, frames.MATCH,
)  # fmt: skip


@pytest.fixture(params=[True, False], ids=["template", "general"])
def parser(request: pytest.FixtureRequest) -> Parser:
    return Parser(Exchange.COINBASE, templates=request.param)


def test_advanced_ticker(parser: Parser) -> None:
    (ticker,) = parser.parse(frames.advanced(b"ticker", b"update", ADVANCED_TICKER), 42)
    assert ticker == Ticker(
        exchange="coinbase", symbol="eth/usd", bidPrice=1919.24, bidVolume=1.29786526, askPrice=1919.38,
        askVolume=0.01194407, exchangeTimeNs=PUBLISHED_NS, localTimeNs=42, seq=1021,
    )  # fmt: skip
    first, second = parser.parse(frames.advanced(b"ticker", b"snapshot", DOCUMENTED_TICKER, ADVANCED_TICKER), 1, 4)
    assert (str(first.symbol), str(second.symbol)) == ("btc/usdc:usdc", "eth/usd")
    assert first.flags == second.flags == Flag.SNAPSHOT | Flag.REPLAY
    assert parser.nativeSymbols == ["BTC-PERP-INTX", "ETH-USD"]


def test_advanced_trade_has_the_takers_side(parser: Parser) -> None:
    (trade,) = parser.parse(frames.advanced(b"market_trades", b"update", ADVANCED_TRADE), 42)
    assert trade == Trade(
        exchange="coinbase", symbol="btc/usd", price=65083.67, volume=0.00038028, side="buy", tradeId=1068572137,
        exchangeTimeNs=PUBLISHED_NS, tradeTimeNs=1786309572152070000, localTimeNs=42, seq=1021,
    )  # fmt: skip
    (trade,) = parser.parse(frames.advanced(b"market_trades", b"update", ADVANCED_TRADE.replace(b"SELL", b"BUY")))
    assert trade.side is Side.SELL


def test_each_event_of_a_message_has_its_own_flags(parser: Parser) -> None:
    frame = frames.TRADES[:-2] + b',{"type":"update","trades":[%s]}]}' % ADVANCED_TRADE
    trades = parser.parse(frame, flags=4)
    assert [trade.flags for trade in trades] == [5, 5, 4]
    assert [trade.side for trade in trades] == [Side.SELL, Side.SELL, Side.BUY]
    assert {trade.seq for trade in trades} == {1021}
    assert parser.parse(frames.advanced(b"market_trades", b"update", ADVANCED_TRADE))[0].flags == 0


def test_batched_ticker_without_a_quote_is_no_event(parser: Parser) -> None:
    unquoted = frames.UNQUOTED_TICKER
    (ticker,) = parser.parse(frames.advanced(b"ticker_batch", b"update", unquoted, ADVANCED_TICKER, unquoted))
    assert ticker.symbol == "eth/usd"
    empty = b'{"type":"ticker","product_id":"","price":"","price_percent_chg_24_h":""}'
    for frame in (unquoted, empty):
        assert parser.parse(frames.advanced(b"ticker_batch", b"update", frame)) == []
        assert parser.kind is FrameKind.EVENTS
        with pytest.raises(ParseError, match=r"a ticker must have the key|a symbol must be text"):
            parser.parse(frames.advanced(b"ticker", b"update", frame))
    half = unquoted[:-1] + b',"best_bid":"1"}'
    with pytest.raises(ParseError, match="a ticker must have the key best_bid_quantity"):
        parser.parse(frames.advanced(b"ticker_batch", b"update", half))


def test_exchange_ticker(parser: Parser) -> None:
    (ticker,) = parser.parse(EXCHANGE_TICKER, 42)
    assert ticker == Ticker(
        exchange="coinbase", symbol="btc/usd", bidPrice=81222.5, bidVolume=9.1e-07, askPrice=81228.97,
        askVolume=0.16229192, exchangeTimeNs=1788481262905270000, localTimeNs=42, seq=135557035414,
    )  # fmt: skip
    old = EXCHANGE_TICKER.replace(b'"best_bid_size":"0.00000091",', b"").replace(b',"best_ask_size":"0.16229192"', b"")
    (ticker,) = parser.parse(old)
    assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume) == (81222.5, 0, 81228.97, 0)
    first = b'{"type":"ticker","sequence":5,"product_id":"BTC-USD","price":"3","best_bid":"1","best_ask":"2"}'
    (ticker,) = parser.parse(first)
    assert (ticker.exchangeTimeNs, ticker.seq) == (0, 5)


def test_match_has_the_takers_side(parser: Parser) -> None:
    (trade,) = parser.parse(MATCH, 42)
    assert trade == Trade(
        exchange="coinbase", symbol="btc/usd", price=83420.21, volume=0.00136465, side="buy", tradeId=1100243480,
        exchangeTimeNs=1790733792795074000, tradeTimeNs=1790733792795074000, localTimeNs=42, seq=136999327713,
    )  # fmt: skip
    (trade,) = parser.parse(MATCH.replace(b'"match"', b'"last_match"').replace(b'"sell"', b'"buy"'))
    assert (trade.side, trade.flags) == (Side.SELL, Flag.SNAPSHOT)


def test_own_match_is_a_trade_of_the_market(parser: Parser) -> None:
    (trade,) = parser.parse(MATCH[:-1] + b',"user_id":"5844","profile_id":"765d","taker_fee_rate":"0.005"}')
    assert trade.tradeId == 1100243480


@pytest.mark.parametrize(
    ("digits", "ns"),
    [("", 0), (".5", 500_000_000), (".05", 50_000_000), (".089", 89_000_000), (".0001", 100_000),
     (".14089", 140_890_000), (".123456", 123_456_000), (".1408979", 140_897_900), (".14081798", 140_817_980),
     (".591505938", 591_505_938), (".000000001", 1), (".999999999", 999_999_999)],
)  # fmt: skip
def test_times_of_any_precision(parser: Parser, digits: str, ns: int) -> None:
    second = 1786309572 * 10**9
    frame = frames.advanced(b"market_trades", b"update", ADVANCED_TRADE)
    frame = frame.replace(b".591505938Z", f"{digits}Z".encode()).replace(b".15207Z", f"{digits}Z".encode())
    for _ in range(2):  # the second time with the minute known
        (trade,) = parser.parse(frame)
        assert (trade.exchangeTimeNs, trade.tradeTimeNs) == (second + ns, second + ns)
    (trade,) = parser.parse(frame.replace(b'Z","side"', b'-01:30","side"'))
    assert trade.tradeTimeNs == second + ns + 5400 * 10**9


@pytest.mark.parametrize(
    "text", ["2026-08-09T21:06:12.1234567890Z", "2026-08-09 21:06:12Z", "2026-08-09T21:06:12", "1"]
)
def test_times_that_are_none(parser: Parser, text: str) -> None:
    frame = frames.advanced(b"market_trades", b"update", ADVANCED_TRADE)
    with pytest.raises(ParseError, match="timestamp must be a time of RFC 3339 that fits 64 bits of nanoseconds, was"):
        parser.parse(frame.replace(b"2026-08-09T21:06:12.591505938Z", text.encode()))
    with pytest.raises(ParseError, match="time must be a time of RFC 3339"):
        parser.parse(frame.replace(b"2026-08-09T21:06:12.15207Z", text.encode()))
    with pytest.raises(ParseError, match="time must be a time of RFC 3339"):
        parser.parse(MATCH.replace(b"2026-09-30T02:03:12.795074Z", text.encode()))


def test_what_may_be_absent(parser: Parser) -> None:
    trade = parser.parse(b'{"channel":"market_trades","events":[{"type":"update","trades":[%s]}]}' % ADVANCED_TRADE)[0]
    # Where the venue does not say when it published, the trade's own time stands for it.
    assert trade.exchangeTimeNs == trade.tradeTimeNs == 1786309572152070000 and trade.seq == 0
    bare = b'{"product_id":"BTC-USD","price":"1","size":"2","side":"BUY"}'
    (trade,) = parser.parse(frames.advanced(b"market_trades", b"update", bare))
    assert (trade.tradeId, trade.tradeTimeNs, trade.exchangeTimeNs) == (0, 0, PUBLISHED_NS)


@pytest.mark.parametrize(
    ("frame", "keys"),
    [
        (frames.advanced(b"ticker", b"update", ADVANCED_TICKER),
         "events type tickers product_id best_bid best_bid_quantity best_ask best_ask_quantity"),
        (frames.advanced(b"market_trades", b"update", ADVANCED_TRADE), "events type trades product_id price size side"),
        (EXCHANGE_TICKER, "product_id best_bid best_ask"),
        (MATCH, "product_id price size side"),
    ],
)  # fmt: skip
def test_what_must_be_there_and_only_once(parser: Parser, frame: bytes, keys: str) -> None:
    for key in keys.split():
        with pytest.raises(ParseError, match=f"must have the key {key}, was "):
            parser.parse(frame.replace(f'"{key}":'.encode(), b'"zz":', 1))
    for key in [*keys.split(), "sequence_num", "timestamp", "channel", "sequence", "time"]:
        name = f'"{key}":'.encode()
        if name in frame:
            with pytest.raises(ParseError, match="only once"):
                parser.parse(frame.replace(name, name + b"1," + name, 1))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"SELL"', b'"sell"', "side must be BUY or SELL, was 'sell'"),
        (b'"SELL"', b"null", "side must be BUY or SELL, was 'null'"),
        (b'"65083.67"', b'"-65083.67"', "price must not be negative, was '-65083.67'"),
        (b'"65083.67"', b'""', "price must be a plain decimal number, was ''"),
        (b'"0.00038028"', b'"NaN"', "size must be a plain decimal number, was 'NaN'"),
        (b'"update"', b'"delta"', "type must be snapshot or update, was 'delta'"),
        (b":1021", b':"1021"', "sequence_num must be a whole number of 64 bits, was '1021'"),
        (b":1021", b":-1", "sequence_num must be a whole number of 64 bits, was '-1'"),
        (b'"BTC-USD"', b'""', "a symbol must be text, was ''"),
        (b'"BTC-USD"', b'"BTCUSD"', "BASE-QUOTE, -PERP-INTX or -DDMMMYY-CDE, was 'BTCUSD'"),
    ],
)
def test_what_is_refused_names_the_value(parser: Parser, old: bytes, new: bytes, reason: str) -> None:
    frame = frames.advanced(b"market_trades", b"update", ADVANCED_TRADE)
    with pytest.raises(ParseError, match=reason):
        parser.parse(frame.replace(old, new, 1))
    assert parser.parse(frame)  # nothing else is lost


def test_structures_that_are_none(parser: Parser) -> None:
    for text, reason in (
        ('{"channel":5}', "channel must be text"),
        ('{"type":5}', "type must be text"),
        ('{"type":"match","channel":null}', "channel must be text"),
        ('{"channel":"ticker","events":{}}', "events must be an array"),
        ('{"channel":"ticker","events":[1]}', "an event must be an object"),
        ('{"channel":"ticker","events":[{"type":"update","tickers":{}}]}', "tickers must be an array"),
        ('{"channel":"ticker","events":[{"type":"update","tickers":[[]]}]}', "a ticker must be an object"),
        ('{"channel":"market_trades","events":[{"type":"update","trades":null}]}', "trades must be an array"),
        ('{"type":"match","type":"ticker"}', "only once"),
    ):
        with pytest.raises(ParseError, match=reason):
            parser.parse(text.encode())


def test_ids_that_are_no_number(parser: Parser) -> None:
    for text, number in (
        (b"000000000", 0), (b"a-b", 0), (b"9223372036854775807", 2**63 - 1), (b"9223372036854775808", 0), (b"", 0)
    ):  # fmt: skip
        trade = ADVANCED_TRADE.replace(b"1068572137", text)
        assert parser.parse(frames.advanced(b"market_trades", b"update", trade))[0].tradeId == number
