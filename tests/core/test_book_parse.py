"""Parsers of order book frames: every venue's shapes, the digits as they came, and what is refused."""

import copy
import json
import random

import pytest

from hftcore.book_parse import BookParser, BookUpdate
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import FrameKind

KRAKEN_V2 = (
    b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":66786.50,"qty":0.00000000},'
    b'{"price":66784.5,"qty":1.470022e-2}],"asks":[{"price":66790.123456789012345,"qty":5}],"checksum":902440905,'
    b'"timestamp":"2024-05-19T16:45:24.204654Z"}]}'
)
KRAKEN_V1 = (
    b'[336,{"a":[["27140.1","0.5","1693415483.2"]]},{"b":[["27139.30000","17.39936238","1693415483.313309"],'
    b'["27138.0","0.00000000","1693415482.1","r"]],"c":"3842386424"},"book-10","XBT/USD"]'
)
BINANCE = (
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161380467,"s":"BTCUSDT","U":7,"u":9,'
    b'"b":[["61744.19000000","0.04965000"]],"a":[["61745.00","0.00000000"]]}}'
)
USDM = (
    b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1723161310663,"T":1723161310662,"s":"BTCUSDT",'
    b'"U":11,"u":15,"pu":9,"b":[["5000.00","2.321"]],"a":[]}}'
)
OKX = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],'
    b'"bids":[["8476.97","0","0","0"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123455,"seqId":123456}]}'
)
FUTURES = (
    b'{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326094134,"price":34981.0,"qty":0.0,'
    b'"timestamp":1612269953629}'
)
ADVANCED = (
    b'{"channel":"l2_data","timestamp":"2026-08-09T21:06:12.892314374Z","sequence_num":1029,"events":[{"type":"update",'
    b'"product_id":"ETH-USD","updates":[{"side":"offer","event_time":"2026-08-09T21:06:12Z","price_level":"1920.35",'
    b'"new_quantity":"6.5"},{"side":"bid","event_time":"2026-08-09T21:06:12Z","price_level":"1919","new_quantity":"0"}]}]}'
)
EXCHANGE_FEED = (
    b'{"type":"l2update","product_id":"ETH-USD","changes":[["buy","2668.65","0.28"],["sell","2670","0.00000000"]],'
    b'"time":"2026-09-30T02:03:13.168981Z"}'
)
FRAMES = [
    ("kraken", KRAKEN_V2), ("kraken", KRAKEN_V1), ("binance", BINANCE), ("binance_future", USDM), ("okx", OKX),
    ("okx_swap", OKX.replace(b"BTC-USDT", b"BTC-USDT-SWAP")), ("kraken_future", FUTURES), ("coinbase", ADVANCED),
    ("coinbase", EXCHANGE_FEED),
]  # fmt: skip


def test_kraken_v2_keeps_the_digits_of_json_numbers():
    (update,) = BookParser("kraken").parse(KRAKEN_V2, 5)
    assert update.symbol == "btc/usd"
    assert update.bids == [("66786.50", "0.00000000"), ("66784.5", "1.470022e-2")]
    assert update.asks == [("66790.123456789012345", "5")]
    assert (update.checksum, update.snapshot, update.lastSeq) == (902440905, False, None)
    assert (update.exchangeTimeNs, update.localTimeNs) == (1716137124204654000, 5)


def test_kraken_v1_of_both_sides_in_two_payloads():
    (update,) = BookParser("kraken").parse(KRAKEN_V1)
    assert update.bids == [("27139.30000", "17.39936238"), ("27138.0", "0.00000000")]
    assert update.asks == [("27140.1", "0.5")]
    assert (update.symbol, update.checksum) == ("btc/usd", 3842386424)
    assert update.exchangeTimeNs == 1693415483313309000  # the youngest level
    snapshot = b'[336,{"as":[["2","1","1.0"]],"bs":[["1","1","2.5"]]},"book-10","XBT/USD"]'
    (update,) = BookParser("kraken").parse(snapshot)
    assert (update.snapshot, update.checksum, update.exchangeTimeNs) == (True, None, 2_500_000_000)


def test_a_kraken_v1_snapshot_has_both_sides():
    (update,) = BookParser("kraken").parse(b'[336,{"as":[],"bs":[["1","1","2.5"]]},"book-10","XBT/USD"]')
    assert update.snapshot and (update.asks, len(update.bids)) == ([], 1)
    for wrong in (b'{"bs":[["1","1","2.5"]]}', b'{"as":[]}', b'{"as":[],"bs":[],"a":[]}', b'{"as":[],"a":[]}', b"{}"):
        with pytest.raises(ParseError, match="as and bs, or under a and b, was 'book-10'"):
            BookParser("kraken").parse(b'[336,%s,"book-10","XBT/USD"]' % wrong)


def test_a_level_of_okx_has_four_values():
    # Without its size its third value, which is always 0, would be taken for one.
    for wrong in (b'["1.5","0","7"]', b'["1.5"]', b"[]"):
        for side in (b"asks", b"bids"):
            data = b'{"asks":[],"bids":[],"ts":"1","seqId":2,"prevSeqId":1}'
            data = data.replace(b'"%s":[]' % side, b'"%s":[%s]' % (side, wrong))
            frame = b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[%s]}' % data
            with pytest.raises(ParseError, match="a level must have at least 4 elements"):
                BookParser("okx").parse(frame)


def test_binance_spot_and_futures():
    (update,) = BookParser("binance").parse(BINANCE)
    assert (update.firstSeq, update.lastSeq, update.prevSeq) == (7, 9, None)
    assert update.bids == [("61744.19000000", "0.04965000")]
    assert update.asks == [("61745.00", "0.00000000")]
    (update,) = BookParser("binance_future").parse(USDM)
    assert (update.firstSeq, update.lastSeq, update.prevSeq) == (11, 15, 9)
    assert update.exchangeTimeNs == 1723161310663000000


def test_binance_partial_depth_is_a_whole_book_whose_stream_names_its_symbol():
    body = b'{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'
    (update,) = BookParser("binance").parse(b'{"stream":"btcusdt@depth5@100ms","data":' + body + b"}")
    assert (update.symbol, update.snapshot, update.lastSeq) == ("btc/usdt", True, 160)
    with pytest.raises(ParseError, match="stream"):
        BookParser("binance").parse(body)
    (update,) = BookParser("binance").parse(body, symbol="ETHUSDT")  # an answer of the REST API
    assert (update.symbol, update.snapshot) == ("eth/usdt", True)
    (update,) = BookParser("binance_future").parse(USDM.replace(b"@depth", b"@depth20@500ms"))
    assert update.snapshot


def test_okx_checksum_of_zero_is_none():
    (update,) = BookParser("okx").parse(OKX)
    assert (update.lastSeq, update.prevSeq, update.checksum) == (123456, 123455, -855196043)
    (update,) = BookParser("okx").parse(OKX.replace(b"-855196043", b"0"))
    assert update.checksum is None
    (update,) = BookParser("okx").parse(OKX.replace(b'"update"', b'"snapshot"').replace(b"123455", b"-1"))
    assert (update.snapshot, update.prevSeq) == (True, None)
    whole = OKX.replace(b'"action":"update",', b"").replace(b'"books"', b'"books5"')
    assert BookParser("okx").parse(whole)[0].snapshot


def test_coinbase_of_both_feeds():
    parser = BookParser("coinbase")
    (update,) = parser.parse(ADVANCED)
    assert (update.bids, update.asks) == ([("1919", "0")], [("1920.35", "6.5")])
    assert parser.frameSeq == 1029
    heartbeat = b'{"channel":"heartbeats","timestamp":"2026-08-09T21:06:12Z","sequence_num":3,"events":[]}'
    assert parser.parse(heartbeat) == []
    assert (parser.frameSeq, parser.kind) == (3, FrameKind.CONTROL)
    (update,) = parser.parse(EXCHANGE_FEED)
    assert (update.bids, update.asks, update.lastSeq) == ([("2668.65", "0.28")], [("2670", "0.00000000")], None)


def test_kraken_future_sends_one_level_a_frame():
    (update,) = BookParser("kraken_future").parse(FUTURES)
    assert (update.bids, update.asks, update.lastSeq) == ([], [("34981.0", "0.0")], 326094134)
    assert update.exchangeTimeNs == 1612269953629000000


@pytest.mark.parametrize(("exchange", "frame"), FRAMES)
def test_truncated_at_every_byte(exchange, frame):
    parser = BookParser(exchange)
    for end in range(len(frame)):
        with pytest.raises(ParseError):
            parser.parse(frame[:end])
    assert len(parser.parse(frame)) == 1  # nothing of what was broken is left


@pytest.mark.parametrize(("exchange", "frame"), FRAMES)
def test_any_changed_byte_is_an_error_or_an_update(exchange, frame):
    """No crash, and no half of a frame: either all of it or a ParseError."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    parser = BookParser(exchange)
    for _ in range(3000):
        broken = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            updates = parser.parse(bytes(broken))
        except ParseError:
            continue
        assert len(updates) <= 1, f"seed {seed}"
    assert len(parser.parse(frame)) == 1


BAD_NUMBERS = [
    "NaN", '"NaN"', '"Infinity"', '"-1"', "-1.0", '"1,5"', '"0x10"', '""', "null", "true", '" 1"', '"1e999"', "[]",
    "{}",
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize(
    ("exchange", "frame", "price", "volume"),
    [
        ("kraken", KRAKEN_V2, b"66786.50", b"0.00000000"),
        ("binance", BINANCE, b'"61744.19000000"', b'"0.04965000"'),
        ("okx", OKX, b'"8476.98"', b'"415"'),
        ("kraken_future", FUTURES, b"34981.0", b"0.0"),
        ("coinbase", ADVANCED, b'"1920.35"', b'"6.5"'),
    ],
)
def test_amounts_that_are_none(exchange, frame, price, volume, bad):
    parser = BookParser(exchange)
    for good in (price, volume):
        assert good in frame
        with pytest.raises(ParseError):
            parser.parse(frame.replace(good, bad.encode(), 1))


def test_error_names_the_value():
    with pytest.raises(ParseError, match="price must not be negative, was '-5'"):
        BookParser("binance").parse(BINANCE.replace(b"61744.19000000", b"-5"))
    with pytest.raises(ParseError, match="1024"):
        BookParser("binance").parse(BINANCE.replace(b"61744.19000000", b"1" * 1025))
    with pytest.raises(ParseError, match="only once"):
        BookParser("binance").parse(BINANCE.replace(b'"U":7,', b'"U":7,"U":7,'))
    with pytest.raises(ParseError, match="U must not be above u"):
        BookParser("binance").parse(BINANCE.replace(b'"U":7,', b'"U":10,'))
    with pytest.raises(ParseError, match="checksum"):
        BookParser("kraken").parse(KRAKEN_V2.replace(b"902440905", b"4294967296"))
    with pytest.raises(ParseError, match="64"):
        BookParser("binance").parse(BINANCE.replace(b'"u":9', b'"u":18446744073709551616'))
    with pytest.raises(ParseError, match="deep"):
        BookParser("okx").parse(b"[" * 70 + b"]" * 70)


@pytest.mark.parametrize("digits", ["123456789012345678", "0.123456789012345678", "1E-10", "1e5", "5e-05", "0E0", "0"])
def test_digits_come_back_as_they_were(digits):
    for exchange, frame, old in (("kraken", KRAKEN_V2, b"66784.5"), ("binance", BINANCE, b"61744.19000000")):
        (update,) = BookParser(exchange).parse(frame.replace(old, digits.encode()))
        assert digits in [price for price, _ in update.bids]


def test_frames_of_other_channels_are_classified():
    parser = BookParser("binance")
    ticker = {"u": 400900217, "s": "BNBUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"}
    assert parser.parse(json.dumps(ticker).encode()) == []
    assert (parser.kind, parser.otherEvents) == (FrameKind.EVENTS, 1)
    assert parser.parse(b'{"result":null,"id":1}') == []
    assert (parser.kind, parser.otherEvents) == (FrameKind.CONTROL, 0)
    assert BookParser("kraken").parse(b"CloudFlare WebSocket proxy restarting") == []


def test_an_exchange_without_a_parser():
    with pytest.raises(ValueError, match="sim"):
        BookParser(Exchange.SIM)


def test_what_venues_write_where_there_is_nothing():
    """COIN-M: `pu` -1 in a partial depth, and a REST snapshot with its symbol; Coinbase: the zero of its clock."""
    partial = USDM.replace(b"@depth", b"@depth5").replace(b'"pu":9', b'"pu":-1')
    (update,) = BookParser("binance_future").parse(partial)
    assert (update.snapshot, update.prevSeq) == (True, None)
    rest = b'{"lastUpdateId":5,"E":1,"T":1,"symbol":"BTCUSD_PERP","pair":"BTCUSD","bids":[],"asks":[["1","2"]]}'
    (update,) = BookParser("binance_future").parse(rest)
    assert (update.native, update.asks) == ("BTCUSD_PERP", [("1", "2")])
    zero = b'{"type":"snapshot","product_id":"BTC-USD","bids":[],"asks":[],"time":"0001-01-01T00:00:00.000000Z"}'
    assert BookParser("coinbase").parse(zero)[0].exchangeTimeNs == 0


def test_an_update_is_whole_without_its_parser_and_its_frame():
    """And whichever side a frame tells first: OKX tells the asks."""
    rng = random.Random(3)
    kept = []
    parser = BookParser("okx")
    for count in (0, 1, 3, 400):
        asks, bids = (
            [[str(rng.randrange(1, 10**9)), str(rng.random()), "0", "1"] for _ in range(n)] for n in (count, 2)
        )
        frame = json.loads(OKX)
        frame["data"][0] |= {"asks": asks, "bids": bids}
        (update,) = parser.parse(bytearray(json.dumps(frame).encode()))
        kept.append((update, [(p, v) for p, v, *_ in bids], [(p, v) for p, v, *_ in asks]))
    parser.parse(OKX)
    del parser
    for update, bids, asks in kept:
        assert (update.bids, update.asks, update.native, str(update.symbol)) == (bids, asks, "BTC-USDT", "btc/usdt")
        assert (update.lastSeq, update.prevSeq, update.checksum) == (kept[0][0].lastSeq, 123455, -855196043)
    assert repr(kept[1][0]).startswith("BookUpdate(symbol=CurrencyPair('btc/usdt'), exchange=<Exchange.OKX")


def test_an_update_is_made_by_its_parser_alone():
    with pytest.raises(TypeError, match=r"made by BookParser\.parse alone"):
        BookUpdate()
    (update,) = BookParser("okx").parse(OKX)
    with pytest.raises(AttributeError):
        update.lastSeq = 5
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(update)
