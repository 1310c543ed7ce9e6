"""OKX's frames, spot and derivatives: what each field becomes, and what is refused by name."""

from collections.abc import Callable

import okx_frames as frames
import pytest

from hftcore.enums import Exchange, Flag, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.symbols import register_instruments
from hftcore.types import Ticker, Trade

Make = Callable[..., Parser]


@pytest.fixture(params=[True, False], ids=["template", "general"])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda exchange=Exchange.OKX_SWAP: Parser(exchange, templates=request.param)


def test_tickers(make: Make) -> None:
    parser = make(Exchange.OKX)
    assert parser.parse(frames.SPOT_TICKER, 42, 4) == [
        Ticker(
            exchange="okx", symbol="btc/usdt", bidPrice=64001.2, bidVolume=0.5, askPrice=64001.3, askVolume=1.25036,
            exchangeTimeNs=1790439594900000000, localTimeNs=42, flags=4,
        )
    ]  # fmt: skip
    # Sizes of derivatives are contracts.
    (ticker,) = make().parse(frames.SWAP_TICKER)
    assert ticker.exchange is Exchange.OKX_SWAP and ticker.symbol == "1000shib/usdt:usdt" and ticker.bidVolume == 779.3


def test_best_of_book(make: Make) -> None:
    parser = make()
    assert parser.parse(frames.BBO % (b"BTC-USD-SWAP", b',"seqId":342177336945')) == [
        Ticker(
            exchange="okx_swap", symbol="btc/usd:btc", bidPrice=84093.4, bidVolume=570.27, askPrice=84093.5,
            askVolume=667.19, seq=342177336945, exchangeTimeNs=1790439594900000000,
        )
    ]  # fmt: skip
    assert parser.nativeSymbols == ["BTC-USD-SWAP"]
    (ticker,) = parser.parse(frames.BBO % (frames.OPTION, b""))
    assert (ticker.symbol, ticker.seq) == ("btc/usd:btc-220624-50000-c", 0)


def test_sides_that_nobody_stands_on(make: Make) -> None:
    parser = make()
    bbo = frames.BBO % (b"BTC-USDT-SWAP", b"")
    asks, bids = b'[["84093.5","667.19","0","70"]]', b'[["84093.4","570.27","0","83"]]'
    (ticker,) = parser.parse(bbo.replace(bids, b"[]"))
    assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume) == (0, 0, 84093.5, 667.19)
    (ticker,) = parser.parse(bbo.replace(bids, b"[]").replace(asks, b"[]"))
    assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume) == (0, 0, 0, 0)
    for price, volume in ((b'""', b'""'), (b'""', b'"0"')):
        frame = frames.SWAP_TICKER.replace(b'"bidPx":"64001.2"', b'"bidPx":' + price)
        (ticker,) = parser.parse(frame.replace(b'"bidSz":"779.3"', b'"bidSz":' + volume))
        assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice) == (0, 0, 64001.3)
    # One of the two alone would be a price of nothing, or a quantity at price 0.
    with pytest.raises(ParseError, match="bidPx must be a number where there is a size"):
        parser.parse(frames.SWAP_TICKER.replace(b'"bidPx":"64001.2"', b'"bidPx":""'))
    with pytest.raises(ParseError, match="askSz must be a number where there is a price"):
        parser.parse(frames.SWAP_TICKER.replace(b'"askSz":"1.25036"', b'"askSz":""'))


def test_trades(make: Make) -> None:
    parser = make(Exchange.OKX)
    first, second = parser.parse(
        frames.trades(
            b"trades", frames.TRADE % (b"BTC-USDT", b"sell", frames.NEW % 1),
            frames.TRADE % (b"ETH-USDT", b"buy", frames.NEW % 26),
        )
    )  # fmt: skip
    assert first == Trade(
        exchange="okx", symbol="btc/usdt", price=84093.5, volume=2.42, side="sell", tradeId=2953620212,
        seq=342177337897, exchangeTimeNs=1790439595946000000, tradeTimeNs=1790439595946000000,
    )  # fmt: skip
    # Several trades of one order at one price, reported as one.
    assert (second.symbol, second.side, second.flags) == ("eth/usdt", Side.BUY, Flag.AGGREGATE)
    (single,) = parser.parse(frames.SPOT_USUAL[5])
    assert (single.flags, single.seq, single.side) == (0, 0, Side.BUY)
    for count, flags in ((b'"2"', 2), (b'"1"', 0), (b'"0"', 0), (b'""', 0), (b"2", 2), (b"1", 0)):
        (trade,) = parser.parse(
            frames.trades(b"trades", frames.TRADE % (b"BTC-USDT", b"buy", b',"count":' + count)), flags=4
        )
        assert trade.flags == flags | 4, count


def test_empty_list_of_events(make: Make) -> None:
    for channel in (b"trades", b"trades-all", b"tickers", b"bbo-tbt"):
        parser = make()
        assert parser.parse(frames.trades(channel)) == [] and parser.kind is FrameKind.EVENTS


def test_keep_alive(make: Make) -> None:
    parser = make()
    for frame in (b"pong", b"ping", b"pong\n", b"pong \r\n"):
        assert parser.parse(frame) == [] and parser.kind is FrameKind.CONTROL
    for frame in (b"Pong", b" pong", b"pongpong", b"pon", b"p", b"\n"):
        with pytest.raises(ParseError):
            parser.parse(frame)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        (b'"px":"84093.5"', b'"px":""', "px must be a plain decimal number, was ''"),
        (b'"px":"84093.5"', b'"px":"-1"', "px must not be negative, was '-1'"),
        (b'"px":"84093.5"', b'"px":null', "px must be a number, was 'null'"),
        (b'"px":"84093.5"', b'"px":"1e999"', "px must be a finite number, was '1e999'"),
        (b'"px":"84093.5"', b'"px":"1","px":"1"', "a trade must have a key only once, was 'px'"),
        (b'"sz":"2.42"', b'"sz":"2,42"', "sz must be a plain decimal number, was '2,42'"),
        (b'"sz":"2.42",', b"", "a trade must have the key sz"),
        (b'"buy"', b'"BUY"', "side must be buy or sell, was 'BUY'"),
        (b'"buy"', b"1", "side must be buy or sell, was '1'"),
        (b'"1790439595946"', b'"1790439595946.5"', "ts must be milliseconds .*, was '1790439595946.5'"),
        (b'"1790439595946"', b'"1790439595946000"', "ts must be milliseconds .*, was '1790439595946000'"),
        (b'"1790439595946"', b'"-1"', "ts must be milliseconds .*, was '-1'"),
        (b'"1790439595946"', b"null", "ts must be milliseconds .*, was 'null'"),
        (b'"source":"0"', b'"count":"2"', "a trade must have a key only once, was 'count'"),
        (b'"count":"1"', b'"count":"x"', "count must be a whole number of 64 bits, was 'x'"),
        (b'"count":"1"', b'"count":"1.0"', "count must be a whole number of 64 bits, was '1.0'"),
        (b'"count":"1"', b'"count":true', "count must be a whole number of 64 bits, was 'true'"),
        (b'"seqId":342177337897', b'"seqId":"7"', "seqId must be a whole number of 64 bits, was '7'"),
        (b'"seqId":342177337897', b'"seqId":-1', "seqId must be a whole number of 64 bits, was '-1'"),
        (b'{"instId":"BTC-USDT",', b'{"instId":"",', "a symbol must be text, was ''"),
        (b'{"instId":"BTC-USDT",', b'{"instId":"BTCUSDT",', "symbol: an instrument of OKX must read .*'BTCUSDT'"),
        (b'{"instId":"BTC-USDT",', b'{"instId":7,', "a symbol must be text, was '7'"),
        (b'"data":[', b'"data":{},"d":[', "data must be an array"),
        (b'"data":[', b'"data":null,"d":[', "data must be an array, was 'null'"),
        (b'"data":[', b'"Data":[', "a frame must have the key data"),
        (b'"data":[', b'"data":[7,', "a trade must be an object, was '7'"),
        (b'"channel":"trades"', b'"channel":7', "channel must be text, was '7'"),
        (b'"channel":"trades",', b"", "arg must have the key channel"),
        (b'"arg":{', b'"arg":7,"x":{', "arg must be an object, was '7'"),
        (b'"arg":{', b'"arg":{},"arg":{', "a frame must have a key only once, was 'arg'"),
        (b'"channel":"trades"', b'"channel":"trades","channel":"tickers"', "arg must have a key only once"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_value(make: Make, right: bytes, wrong: bytes, reason: str) -> None:
    parser = make(Exchange.OKX)
    frame = frames.trades(b"trades", frames.TRADE % (b"BTC-USDT", b"buy", frames.NEW % 1))
    assert right in frame
    with pytest.raises(ParseError, match=reason):
        parser.parse(frame.replace(right, wrong, 1))
    # Nothing else is lost.
    assert parser.parse(frame)[0].price == 84093.5


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        (b'"asks":[["84093.5"', b'"asks":[["x"', "asks must be a plain decimal number, was 'x'"),
        (b'"asks":[["84093.5"', b'"asks":[[""', "asks must be a plain decimal number, was ''"),
        (b'"asks":[[', b'"asks":[["1","2"],[', "asks must hold at most one level of price and size, was '2'"),
        (b'"asks":[["84093.5","667.19","0","70"]]', b'"asks":[["1"]]', "asks must hold at most one level"),
        (b'"asks":[["84093.5","667.19","0","70"]]', b'"asks":["1","2"]', "asks must hold at most one level"),
        (b'"asks":[["84093.5","667.19","0","70"]]', b'"asks":[["84093.5","0","70"]]', "asks must have price, size"),
        (b'"asks":[["84093.5","667.19","0","70"]]', b'"asks":null', "asks must be an array, was 'null'"),
        (b'"bids":', b'"bid":', "a bbo-tbt must have the key bids"),
        (b'"bids":', b'"asks":', "a bbo-tbt must have a key only once, was 'asks'"),
        (b'"instId":"BTC-USDT-SWAP"', b'"instId":""', "a symbol must be text, was ''"),
        (b',"instId":"BTC-USDT-SWAP"', b"", "arg must have the key instId"),
        (b'"BTC-USDT-SWAP"', b'"BTC-USDT-NEXT"', "symbol: an instrument of OKX must read .*, was 'BTC-USDT-NEXT'"),
    ],
)  # fmt: skip
def test_best_of_book_that_is_none(make: Make, right: bytes, wrong: bytes, reason: str) -> None:
    parser = make()
    frame = frames.BBO % (b"BTC-USDT-SWAP", b',"seqId":342177336945')
    assert right in frame
    with pytest.raises(ParseError, match=reason):
        parser.parse(frame.replace(right, wrong, 1))
    assert parser.parse(frame)[0].seq == 342177336945


def test_symbols_of_every_length(make: Make) -> None:
    parser = make()
    for size in range(1, 40):
        base = b"A" * size
        (ticker,) = parser.parse(frames.BBO % (base + b"-USDT-SWAP", b""))
        assert ticker.symbol == f"{base.decode().lower()}/usdt:usdt"
        assert parser.nativeSymbols == [base.decode() + "-USDT-SWAP"]
    (ticker,) = parser.parse(frames.BBO % ("币安人生-USDT-SWAP".encode(), b""))
    assert ticker.symbol == "币安人生/usdt:usdt"
    assert parser.templateHits in (0, 22)


def test_registered_instruments_decide(make: Make) -> None:
    parser = make()
    frame = frames.BBO % (b"ODD-PERP", b"")
    assert parser.parse(frame)[0].symbol == "odd/perp"
    register_instruments(Exchange.OKX_SWAP, {"ODD-PERP": "odd/usd:usdc"})
    assert parser.parse(frame)[0].symbol == "odd/usd:usdc"
    assert make(Exchange.OKX).parse(frame)[0].symbol == "odd/perp"
    register_instruments(Exchange.OKX_SWAP, {"ODD-PERP": "odd/perp"})
