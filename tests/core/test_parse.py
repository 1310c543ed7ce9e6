"""Every shape of frame, well-formed and not, against the slow reading of tests/reference."""

import random
import re
import struct

import parse_frames as frames
import parse_oracle as oracle
import pytest

from hftcore.enums import Exchange, Flag, Side
from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.symbols import CurrencyPair, register_instruments
from hftcore.types import Ticker, Trade

VENUES = tuple(frames.EVENTS)
SHAPES = [(venue, frame) for venue in VENUES for frame in frames.EVENTS[venue]]
ALL_FRAMES = [
    (venue, frame)
    for venue in VENUES
    for frame in frames.EVENTS[venue] + frames.CONTROL[venue] + frames.OTHER[venue]
]
TICKER = '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":%s,"bid_qty":1,"ask":2,"ask_qty":3}]}'
BOOK_TICKER = '{"u":%s,"s":"%s","b":"1.5","B":"2","a":"1.75","A":"4"}'


def rows_of(parser: Parser, events: list[Ticker | Trade]) -> list[dict[str, object]]:
    """The events in the form of the oracle's rows."""
    rows = []
    for event, native in zip(events, parser.nativeSymbols, strict=True):
        row = event.to_dict()
        del row["exchange"], row["symbol"], row["localTimeNs"]
        kind = "ticker" if isinstance(event, Ticker) else "trade"
        rows.append(oracle.float_bits({"type": kind, "nativeSymbol": native} | row))
    return rows


def outcome(parser: Parser, frame: bytes) -> tuple[str, list[dict[str, object]]] | None:
    """As the oracle's `read`; None for a ParseError."""
    try:
        events = parser.parse(frame)
    except ParseError:
        assert parser.kind is None and parser.nativeSymbols == []
        return None
    return parser.kind.name.lower(), rows_of(parser, events)


def expected(venue: str, frame: bytes) -> tuple[str, list[dict[str, object]]] | None:
    try:
        kind, rows = oracle.read(venue, frame)
    except ValueError:
        return None
    return kind, [oracle.float_bits(row) for row in rows]


@pytest.mark.parametrize(("venue", "frame"), ALL_FRAMES)
def test_frame_agrees_with_the_slow_reading(venue: str, frame: bytes) -> None:
    result = outcome(Parser(Exchange.parse(venue)), frame)
    assert result is not None
    assert result == expected(venue, frame)


@pytest.mark.parametrize("venue", VENUES)
def test_kinds(venue: str) -> None:
    parser = Parser(Exchange.parse(venue))
    for kind, table in ((FrameKind.CONTROL, frames.CONTROL), (FrameKind.OTHER, frames.OTHER)):
        for frame in table[venue]:
            assert parser.parse(frame) == []
            assert parser.kind is kind, frame
    for frame in frames.EVENTS[venue]:
        assert parser.parse(frame)
        assert parser.kind is FrameKind.EVENTS


def test_kraken_values() -> None:
    parser = Parser(Exchange.KRAKEN)
    (ticker,) = parser.parse(frames.EVENTS["kraken"][0], 42, 4)
    assert ticker == Ticker(
        exchange="kraken", symbol="btc/usd", bidPrice=64001.1, bidVolume=0.25, askPrice=64001.2, askVolume=1.5e-05,
        exchangeTimeNs=1772368245123456000, localTimeNs=42, flags=4,
    )  # fmt: skip
    first, second = parser.parse(frames.EVENTS["kraken"][2])
    assert (first.side, second.side) == (Side.BUY, Side.SELL)
    assert first.flags == second.flags == Flag.SNAPSHOT
    assert first.exchangeTimeNs == first.tradeTimeNs == 1772368245 * 10**9
    assert second.tradeTimeNs == (1772368245 - 3600) * 10**9 + 10**8
    assert second.symbol == "sol/usd" and second.price == 150.2 and second.tradeId == 78
    v1_first, v1_second = parser.parse(frames.EVENTS["kraken"][4])
    assert v1_first.symbol == "doge/usd" and parser.nativeSymbols == ["XDG/USD", "XDG/USD"]
    assert v1_first.tradeTimeNs == 1616333924737428000 and v1_second.side is Side.SELL
    (v1_ticker,) = parser.parse(frames.EVENTS["kraken"][3])
    assert (v1_ticker.askPrice, v1_ticker.askVolume, v1_ticker.bidPrice) == (30001.5, 12.41, 30001.4)
    assert v1_ticker.exchangeTimeNs == 0


def test_binance_values() -> None:
    parser = Parser(Exchange.BINANCE)
    (ticker,) = parser.parse(frames.EVENTS["binance"][0], 7)
    assert ticker == Ticker(
        exchange="binance", symbol="bnb/usdt", bidPrice=250.3519, bidVolume=31.21, askPrice=250.3652, askVolume=40.66,
        seq=400900217, localTimeNs=7,
    )  # fmt: skip
    (trade,) = parser.parse(frames.EVENTS["binance"][3])
    assert trade == Trade(
        exchange="binance", symbol="eth/usdt", price=4149.74, volume=0.4387, side="buy", tradeId=70529,
        exchangeTimeNs=1639351062244000000, tradeTimeNs=1639351062243999000,
    )  # fmt: skip
    (aggregate,) = parser.parse(frames.EVENTS["binance"][4], flags=4)
    assert aggregate.flags == Flag.AGGREGATE | Flag.REPLAY and aggregate.side is Side.SELL
    assert aggregate.tradeId == 12345 and aggregate.exchangeTimeNs == 1672515782136 * 10**6


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_any_buffer(kind: type) -> None:
    assert len(Parser(Exchange.BINANCE).parse(kind(frames.EVENTS["binance"][0]))) == 1


def test_refuses_what_is_no_buffer() -> None:
    with pytest.raises(TypeError):
        Parser(Exchange.BINANCE).parse("text")  # type: ignore[arg-type]


def test_exchange_without_parser() -> None:
    with pytest.raises(ValueError, match=r"exchange must be one with a parser \(binance.*, was ib$"):
        Parser(Exchange.IB)


def test_empty_list_of_events() -> None:
    parser = Parser(Exchange.KRAKEN)
    assert parser.parse(b'{"channel":"trade","type":"update","data":[]}') == []
    assert parser.kind is FrameKind.EVENTS


@pytest.mark.parametrize(("venue", "frame"), ALL_FRAMES)
def test_cut_at_every_byte(venue: str, frame: bytes) -> None:
    parser = Parser(Exchange.parse(venue))
    if frame == b"12.5e3":
        return  # a number's beginning is a number
    for size in range(len(frame)):
        with pytest.raises(ParseError):
            parser.parse(frame[:size])
    assert parser.parse(frame + b" \r\n") == parser.parse(frame)


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_every_event_needs_its_keys(venue: str, frame: bytes) -> None:
    parser = Parser(Exchange.parse(venue))
    missed = 0
    for key in dict.fromkeys(re.findall(rb'"[A-Za-z_0-9]+"(?=\s*:)', frame)):
        renamed = re.sub(re.escape(key) + rb"(?=\s*:)", b'"zz"', frame, count=1)
        result = outcome(parser, renamed)
        assert result == expected(venue, renamed), key
        if result is None:
            with pytest.raises(ParseError, match=r"must have the key|must be"):
                parser.parse(renamed)
            missed += 1
    assert missed >= 2 or frame.startswith(b"[")


@pytest.mark.parametrize(
    ("venue", "frame"),
    [
        ("kraken", b'{"channel":"ticker","channel":"trade","type":"update","data":[]}'),
        ("kraken", (TICKER % '1,"bid":1').encode()),
        ("kraken", (TICKER % '1,"b\\u0069d":1').encode()),
        ("binance", b'{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"1","A":"1","A":"2"}'),
    ],
)
def test_duplicate_key_is_refused(venue: str, frame: bytes) -> None:
    with pytest.raises(ParseError, match="only once"):
        Parser(Exchange.parse(venue)).parse(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b" ", b"{", b"}", b"nul", b"truee", b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"+1", b"1e", b"0x1",
        b"[1,]", b"[,1]", b"[1 2]", b"[1]]", b"[[1]", b'{"a":1,}', b'{"a"}', b'{"a":}', b"{1:2}", b'{"a":1}}',
        b'{"a":[1}]', b'{"a":1}{"a":1}', b'{"a":NaN}', b'{"a":01}', b'{"a":1.}', b'{"a":truee}', b'{"a":"\\x"}',
        b'{"a\\q":1}', b'{"a":"\\u12"}', b'{"a":"\n"}', b'{"a":"\xff"}', b'{"a":"\xc0\x80"}', b'{"a":\x00}',
        b"\xef\xbb\xbf{}", b"'a'", b"[1e5x]", b'["a"b]', b"{}x", b"[] 1", b'"a" "b"', b"1 2", b"\xff", b"\x00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("venue", VENUES)
def test_invalid_json(venue: str, frame: bytes) -> None:
    parser = Parser(Exchange.parse(venue))
    with pytest.raises(ParseError, match=r"valid JSON|must end with"):
        parser.parse(frame)
    # Also where the parser has no interest in the value.
    with pytest.raises(ParseError):
        parser.parse(b'{"channel":"book","e":"x","skipped":' + frame + b"}")


@pytest.mark.parametrize(
    "value",
    ['""', '" "', '"0x1"', '"inf"', '"nan"', '"1_000"', '"1,5"', '" 1"', '"1 "', '"+1"', '"1e"', '"1e999"', "1e999",
     "-1", '"-1"', "null", "true", "[]", "{}", '"1.5.5"', '"１"'],
)  # fmt: skip
def test_price_that_is_none(value: str) -> None:
    with pytest.raises(ParseError, match="bid must"):
        Parser(Exchange.KRAKEN).parse((TICKER % value).encode())


def test_reason_names_the_value_and_is_short() -> None:
    with pytest.raises(ParseError, match=r"^bid must be a plain decimal number, was '0x1'$"):
        Parser(Exchange.KRAKEN).parse((TICKER % '"0x1"').encode())
    with pytest.raises(ParseError) as caught:
        Parser(Exchange.KRAKEN).parse((TICKER % f'"{"x" * 10000}"').encode())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-02-28T23:59:59.999999999Z", 1772323199999999999),
        ("2024-02-29T00:00:00.5Z", 1709164800500000000),
        ("2023-09-25T07:48:36.925533+02:00", 1695620916925533000),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2262-04-11T23:47:16.854775808Z", None),
        ("2023-02-29T00:00:00Z", None),
        ("2023-13-01T00:00:00Z", None),
        ("2023-01-01T24:00:00Z", None),
        ("2023-01-01T00:00:00", None),
        ("2023-01-01T00:00:00.Z", None),
        ("2023-01-01T00:00:00.1234567890Z", None),
        ("2023-01-01 00:00:00Z", None),
        ("9999-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_rfc3339(text: str, ns: int | None) -> None:
    parser = Parser(Exchange.KRAKEN)
    frame = (TICKER % f'1,"timestamp":"{text}"').encode()
    if ns is None:
        with pytest.raises(ParseError, match="timestamp must be"):
            parser.parse(frame)
    else:
        assert parser.parse(frame)[0].exchangeTimeNs == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1616333924.737428", 1616333924737428000),
        ("1616333924", 1616333924 * 10**9),
        ("9223372036.854775807", 2**63 - 1),
        ("9223372036.854775808", None),
        ("99999999999999999999", None),
        ("1616333924.", None),
        ("1.0000000001", None),
        ("-1", None),
        ("1e9", None),
    ],
)
def test_kraken_v1_seconds(text: str, ns: int | None) -> None:
    parser = Parser(Exchange.KRAKEN)
    frame = f'[0,[["1","2","{text}","b","l",""]],"trade","XBT/USD"]'.encode()
    if ns is None:
        with pytest.raises(ParseError, match="time must be"):
            parser.parse(frame)
    else:
        assert parser.parse(frame)[0].tradeTimeNs == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1672515782136", 1672515782136 * 10**6),
        ("1672515782136123", 1672515782136123 * 10**3),
        ("9223372036854775", 9223372036854775000),
        ("9223372036854776", None),
        ("999999999999999", None),
        ("1.5", None),
        ("-1", None),
        ('"1672515782136"', None),
        ("null", None),
    ],
)
def test_binance_times(text: str, ns: int | None) -> None:
    parser = Parser(Exchange.BINANCE)
    frame = f'{{"e":"trade","E":5,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":{text},"m":true}}'.encode()
    if ns is None:
        with pytest.raises(ParseError, match="T must be"):
            parser.parse(frame)
    else:
        assert parser.parse(frame)[0].tradeTimeNs == ns


@pytest.mark.parametrize(
    ("text", "number"),
    [("9223372036854775807", 2**63 - 1), ("9223372036854775808", 0), ("1" * 30, 0), ('"77"', 77), ('"a-b"', 0),
     ("-1", 0), ("1.5", 0), ("null", 0)],
)  # fmt: skip
def test_trade_ids(text: str, number: int) -> None:
    frame = f'{{"e":"trade","E":5,"s":"BTCUSDT","t":{text},"p":"1","q":"1","T":5,"m":true}}'
    assert Parser(Exchange.BINANCE).parse(frame.encode())[0].tradeId == number


def test_sequence_is_64_bits() -> None:
    parser = Parser(Exchange.BINANCE)
    assert parser.parse((BOOK_TICKER % (2**64 - 1, "BTCUSDT")).encode())[0].seq == 2**64 - 1
    for text in (str(2**64), "-1", "1.0", '"1"', "null"):
        with pytest.raises(ParseError, match="u must be a whole number"):
            parser.parse((BOOK_TICKER % (text, "BTCUSDT")).encode())


def test_symbol_that_cannot_be_split_is_named_and_can_be_registered() -> None:
    parser = Parser(Exchange.BINANCE)
    frame = (BOOK_TICKER % (1, "FOOQQZ")).encode()
    with pytest.raises(ParseError, match="'FOOQQZ'"):
        parser.parse(frame)
    register_instruments(Exchange.BINANCE, {"FOOQQZ": "foo/qqz"})
    assert parser.parse(frame)[0].symbol == "foo/qqz"
    # What a parser remembers goes when the list changes.
    register_instruments(Exchange.BINANCE, {"FOOQQZ": "fooq/qz"})
    assert parser.parse(frame)[0].symbol == "fooq/qz"


def test_one_bad_symbol_costs_the_frame() -> None:
    parser = Parser(Exchange.KRAKEN)
    good = '{"symbol":"BTC/USD","bid":1,"bid_qty":1,"ask":1,"ask_qty":1}'
    frame = f'{{"channel":"ticker","type":"update","data":[{good},{good.replace("BTC/USD", "X")}]}}'
    with pytest.raises(ParseError, match="'X'"):
        parser.parse(frame.encode())
    assert parser.kind is None and parser.nativeSymbols == []


def test_unseparated_symbols_split_as_the_venue_does() -> None:
    for native, pair in (("USDTUSD", "usdt/usd"), ("BNBUSD", "bnb/usd"), ("BNBBUSD", "bnb/busd"), ("BATUSD", "bat/usd"),
                         ("BTCTUSD", "btc/tusd"), ("ADAEUR", "ada/eur"), ("BTCGYEN", "btc/gyen")):  # fmt: skip
        assert CurrencyPair(native) == pair


def test_escaped_and_non_ascii_symbols() -> None:
    parser = Parser(Exchange.BINANCE)
    (ticker,) = parser.parse((BOOK_TICKER % (1, "\\u0042TCUSDT")).encode())
    assert ticker.symbol == "btc/usdt" and parser.nativeSymbols == ["BTCUSDT"]
    (ticker,) = parser.parse((BOOK_TICKER % (1, "币安人生USDT")).encode())
    assert ticker.symbol == "币安人生/usdt" and parser.nativeSymbols == ["币安人生USDT"]


def test_many_symbols() -> None:
    parser = Parser(Exchange.KRAKEN)
    for _round in range(2):
        for number in range(3000):
            (ticker,) = parser.parse((TICKER % number).replace("BTC", f"C{number}").encode())
            assert ticker.symbol == f"c{number}/usd" and ticker.bidPrice == number


def test_huge_and_deep_frames() -> None:
    parser = Parser(Exchange.KRAKEN)
    for frame in (b"[" * 2**20, b'{"a":' * 100_000, b"[" * 65 + b"]" * 65):
        with pytest.raises(ParseError):
            parser.parse(frame)
    assert parser.parse(b"[" * 64 + b"]" * 64) == [] and parser.kind is FrameKind.OTHER
    with pytest.raises(ParseError, match="at most 16777216 bytes, was '67108864'"):
        parser.parse(b" " * (64 << 20))
    with pytest.raises(ParseError, match="at most 1048576 values"):
        parser.parse(b"[" + b"0," * (3 << 20) + b"0]")
    big = b'{"channel":"book","pad":"' + b"x" * (16 << 20 >> 1) + b'"}'
    assert parser.parse(big) == [] and parser.kind is FrameKind.OTHER
    assert len(parser.parse(frames.EVENTS["kraken"][0])) == 1


def test_long_batch_stays_in_order() -> None:
    entries = ",".join(
        f'{{"symbol":"BTC/USD","side":"buy","price":{n}.5,"qty":1,"trade_id":{n}}}' for n in range(5000)
    )
    events = Parser(Exchange.KRAKEN).parse(f'{{"channel":"trade","type":"update","data":[{entries}]}}'.encode())
    assert [(event.price, event.tradeId) for event in events] == [(n + 0.5, n) for n in range(5000)]


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_mutated_frames_never_yield_a_wrong_value(venue: str, frame: bytes) -> None:
    seed = 20260301
    generator = random.Random(seed)
    parser = Parser(Exchange.parse(venue))
    tokens = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"e9", b".", b"null", b"0", b" ", b"\xe5", b"\x00"]
    decoded = 0
    for _ in range(1500):
        mutant = bytearray(frame)
        for _ in range(generator.choice((1, 1, 2))):
            at = generator.randrange(len(mutant))
            match generator.randrange(4):
                case 0:
                    mutant[at] = generator.randrange(256)
                case 1:
                    del mutant[at : at + generator.choice((1, 1, 5))]
                case 2:
                    mutant[at:at] = generator.choice(tokens)
                case _:
                    start = generator.randrange(len(mutant))
                    mutant[at:at] = mutant[start : start + generator.randrange(1, 12)]
        result = outcome(parser, bytes(mutant))
        if result is not None:
            decoded += 1
            assert result == expected(venue, bytes(mutant)), (seed, bytes(mutant))
    assert decoded > 20


def test_struct_bytes_hold_the_doubles() -> None:
    (ticker,) = Parser(Exchange.KRAKEN).parse(frames.EVENTS["kraken"][0])
    assert struct.unpack_from("<4d", ticker.to_bytes(), 16) == (64001.1, 0.25, 64001.2, 1.5e-05)
