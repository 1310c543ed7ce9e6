"""Hostile frames of every venue and channel: what the slow reading takes gives the same, all else is a ParseError.

Nothing else is lost: after each of them the parser reads the next good frame as if nothing had been.
"""

import itertools
from collections.abc import Callable
from typing import Any

import book_reading
import hostile
import parse_frames as frames
import parse_oracle as oracle
import periodic_messages
import periodic_oracle
import pytest

from hftcore.book_parse import BookParser
from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser
from hftcore.parse import Parser
from hftcore.types import Ticker

BOOKS = [
    ("kraken", b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":66786.50,'
     b'"qty":0.00000000}],'
     b'"asks":[{"price":66790.123456789012345,"qty":5},{"price":66791,"qty":1.5e-05}],"checksum":902440905,'
     b'"timestamp":"2024-05-19T16:45:24.204654Z"}]}'),
    ("kraken", b'[336,{"as":[["27140.10000","0.50000000","1693415483.215000"]],"bs":[["27139.3","17.4",'
     b'"1693415483.2"]]},'
     b'"book-10","XBT/USD"]'),
    ("kraken", b'[336,{"a":[["27140.10000","0.50000000","1693415483.215000"]]},{"b":[["27139.30000","17.39936238",'
     b'"1693415483.313309","r"]],"c":"3842386424"},"book-10","XBT/USD"]'),
    ("binance", b'{"e":"depthUpdate","E":1723161380467,"s":"BTCUSDT","U":7,"u":9,"b":[["61744.19000000","0.04965000"]],'
     b'"a":[["61745.00000000","0.00000000"]]}'),
    ("binance", b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161380467,"s":"BTCUSDT","U":7,'
     b'"u":9,'
     b'"b":[["61744.19000000","0.04965000"]],"a":[]}}'),
    ("binance", b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026",'
     b'"1"]]}}'),
    ("binance_future", b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1723161310663,"T":1723161310662,'
     b'"s":"BTCUSDT","U":11,"u":15,"pu":9,"b":[["5000.00","2.321"]],"a":[["5000.10","0.000"]]}}'),
    ("binance_future", b'{"lastUpdateId":7,"E":1589436922972,"T":1589436922959,"symbol":"BTCUSD_PERP","pair":"BTCUSD",'
     b'"bids":[["9517.6","10"]],"asks":[["9518.5","45"]]}'),
    ("okx", b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415",'
     b'"0","13"]],'
     b'"bids":[["8476.97","0","0","0"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123455,'
     b'"seqId":123456}]}'),
    ("okx_swap", b'{"arg":{"channel":"books5","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["8476.98","415","0","13"]],'
     b'"bids":[],"ts":"1597026383085","instId":"BTC-USDT-SWAP"}]}'),
    ("kraken_future", b'{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326094134,"price":34981.0,'
     b'"qty":0.0,'
     b'"timestamp":1612269953629}'),
    ("kraken_future", b'{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":7,'
     b'"tickSize":null,'
     b'"bids":[{"price":34892.5,"qty":6385.0}],"asks":[{"price":34911.5,"qty":20598.0}]}'),
    ("coinbase", b'{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T21:06:12.892314374Z",'
     b'"sequence_num":1029,'
     b'"events":[{"type":"update","product_id":"ETH-USD","updates":[{"side":"offer",'
     b'"event_time":"2026-08-09T21:06:12Z",'
     b'"price_level":"1920.35","new_quantity":"6.5"},{"side":"bid","event_time":"1970-01-01T00:00:00Z",'
     b'"price_level":"1919","new_quantity":"0"}]}]}'),
    ("coinbase", b'{"type":"l2update","product_id":"ETH-USD","changes":[["buy","2668.65","0.28"],["sell","2670",'
     b'"0.00"]],'
     b'"time":"2026-09-30T02:03:13.168981Z"}'),
    ("coinbase", b'{"type":"snapshot","product_id":"ETH-USD","bids":[["2668.65","0.28"]],"asks":[["2670","1"]]}'),
]  # fmt: skip
TOLD = ("native", "snapshot", "bids", "asks", "exchangeTimeNs", "firstSeq", "lastSeq", "prevSeq", "checksum")
REFUSED = "refused"
# What is said of two values together names the other one.
OF_TWO = ("U must not be above u", "a depth must be a depthUpdate", "at most one level", "where there is a",
          "a depth without a symbol")


def compact(frame: bytes) -> bool:
    try:
        return hostile.write(hostile.read(frame)).encode() == frame
    except ValueError:
        return False


EVENTS = [(venue, frame) for venue, all_frames in frames.EVENTS.items() for frame in all_frames if compact(frame)]


class Books:
    """The book parser of a venue, and the slow reading."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._parser = BookParser(venue)

    def outcome(self, frame: bytes) -> Any:
        return [{name: getattr(update, name) for name in TOLD} for update in self._parser.parse(frame)]

    def slow(self, frame: bytes) -> Any:
        return book_reading.read(self.venue, frame) or []


class Events:
    """The parser of tickers and trades of a venue, and the slow reading."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._parser = Parser(Exchange.parse(venue))

    def outcome(self, frame: bytes) -> Any:
        rows = []
        for event, native in zip(self._parser.parse(frame), self._parser.nativeSymbols, strict=True):
            row = event.to_dict()
            del row["exchange"], row["symbol"], row["localTimeNs"]
            kind = "ticker" if isinstance(event, Ticker) else "trade"
            rows.append(oracle.float_bits({"type": kind, "nativeSymbol": native} | row))
        return rows

    def slow(self, frame: bytes) -> Any:
        book_reading.load(frame)  # which also refuses half a surrogate pair
        return [oracle.float_bits(row) for row in oracle.read(self.venue, frame)[1]]


class Periodic:
    """The parser of klines and funding of a venue, and the slow reading."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._parser = PeriodicParser(venue)

    def outcome(self, frame: bytes) -> Any:
        rows = []
        for event, native in zip(self._parser.parse(frame), self._parser.nativeSymbols, strict=True):
            row = event.to_dict() if isinstance(event, Kline) else dict(event)
            for name in ("exchange", "symbol", "localTimeNs", "seq"):
                row.pop(name, None)
            if isinstance(event, Kline):
                row["quoteVolume"] = None if event.quoteVolume != event.quoteVolume else event.quoteVolume
                row["tradeCount"] = None if event.tradeCount < 0 else event.tradeCount
            rows.append(oracle.float_bits(row | {"nativeSymbol": native}))
        return rows

    def slow(self, frame: bytes) -> Any:
        book_reading.load(frame)
        return [oracle.float_bits(row) for row in periodic_oracle.read(self.venue, frame)[1]]


def told(read: Callable[[bytes], Any], frame: bytes) -> tuple[Any, str]:
    """What a reading gives, or REFUSED and its words."""
    try:
        return read(frame), ""
    except ParseError as error:
        return REFUSED, str(error)
    except ValueError as error:
        return REFUSED, str(error)


def judge(reading: Books | Events | Periodic, variant: bytes) -> tuple[Any, str]:
    """What the parser makes of a variant, which is what the slow reading makes of it."""
    got, reason = told(reading.outcome, variant)
    if got == REFUSED:
        assert reason and len(reason) < 400, reason[:1000]
        if "symbol: " in reason:
            return got, reason  # a spelling that is no pair: the slow reading knows none
    slow, _ = told(reading.slow, variant)
    assert got == slow, variant[:500]
    return got, reason


Reader = type[Books] | type[Events] | type[Periodic]
PERIODIC = [
    (venue, frame)
    for venue, all_frames in periodic_messages.KLINES_AND_FUNDING.items()
    for frame in all_frames
    if compact(frame) and periodic_oracle.read(venue, frame)[1]
]
SUBJECTS: list[tuple[Reader, str, bytes]] = [
    *((Books, *case) for case in BOOKS),
    *((Events, *case) for case in EVENTS),
    *((Periodic, *case) for case in PERIODIC),
]  # fmt: skip
NAMES = [f"{kind.__name__}-{venue}-{index}" for index, (kind, venue, _) in enumerate(SUBJECTS)]
every_shape = pytest.mark.parametrize(("kind", "venue", "frame"), SUBJECTS, ids=NAMES)


@every_shape
def test_every_value_replaced_by_every_other(kind: Reader, venue: str, frame: bytes) -> None:
    reading = kind(venue)
    good = reading.outcome(frame)
    assert good and good == reading.slow(frame)
    refused = 0
    for count, variant in enumerate(hostile.replaced(frame, hostile.VALUES)):
        got, reason = judge(reading, variant.frame)
        if got == REFUSED:
            refused += 1
            named = variant.put.strip('"')[:20]
            # Of a list or an object there is no text to name; escapes are shown as what they stand for.
            plain = named and named[0] not in "[{" and "\\" not in named
            if plain and not any(text in reason for text in OF_TWO):
                assert named.lower() in reason.lower(), (variant.frame[:500], reason)
        if count % 7 == 0:
            assert reading.outcome(frame) == good
    assert refused > 50


@every_shape
def test_what_is_no_json_in_every_place(kind: Reader, venue: str, frame: bytes) -> None:
    reading = kind(venue)
    good = reading.outcome(frame)
    broken = (variant.frame for variant in hostile.replaced(frame, hostile.BROKEN))
    for count, variant in enumerate(itertools.chain(broken, hostile.damaged(frame))):
        got, _ = told(reading.outcome, variant)
        if got != REFUSED:
            assert told(reading.slow, variant)[0] == got, variant[:300]
        if count % 7 == 0:
            assert reading.outcome(frame) == good


@every_shape
def test_what_is_missing(kind: Reader, venue: str, frame: bytes) -> None:
    reading = kind(venue)
    good = reading.outcome(frame)
    for variant in hostile.left_out(frame):
        judge(reading, variant)
        assert reading.outcome(frame) == good


@every_shape
def test_a_member_that_stands_twice(kind: Reader, venue: str, frame: bytes) -> None:
    """Which of two values is meant cannot be known: a member that is read and stands twice is refused and named."""
    reading = kind(venue)
    good = reading.outcome(frame)
    refused = 0
    for variant, key in hostile.doubled(frame):
        got, reason = told(reading.outcome, variant)
        if got == REFUSED:
            refused += 1
            assert "only once" in reason and key in reason
        else:
            assert got == good
        assert reading.outcome(frame) == good
    assert refused or kind is not Books


def test_deep_nesting_up_to_the_limit() -> None:
    """64 deep is read, and what is deeper is refused before any memory is taken for it."""
    parser = Parser(Exchange.KRAKEN)
    for depth in (1, 63):
        assert parser.parse(b'{"channel":"x","data":' + b"[" * depth + b"]" * depth + b"}") == []
    for depth in (64, 100, 1000, 100_000, 5_000_000):
        for start in (b"[", b'{"a":'):
            frame = b'{"channel":"trade",'
            b'"data":' + start * depth + (b"]" * depth if start == b"[" else b"1" + b"}" * depth)
            with pytest.raises(ParseError):
                parser.parse(frame + b"}")
