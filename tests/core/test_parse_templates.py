"""Templates against the general path: whatever the frame, the same events, bit by bit, or the same error."""

import random
import re
import struct

import parse_frames
import pytest

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import Parser
from hftcore.symbols import CurrencyPair

BOOK_TICKER = b'{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000","a":"250.36520000","A":"40.66000000"}'
TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000",'
    b'"T":1672515782135,"m":true,"M":true}'
)
OLD_TRADE = TRADE.replace(b',"T"', b',"b":70385936,"a":70385942,"T"').replace(b'"m":true', b'"m":false')
AGG_TRADE = (
    b'{"e":"aggTrade","E":1675759520848123,"s":"ETHUSDT","a":226532,"p":"1632.46000000","q":"0.34305000",'
    b'"f":228423,"l":228424,"T":1675759520847999,"m":false,"M":true,"st":1}'
)
QUOTE = b'{"symbol":"BTC/USD","bid":64001.1,"bid_qty":0.25000000,"ask":64001.2,"ask_qty":12.50000000'
STATISTICS = (
    b',"last":64001.1,"volume":12.50000000,"vwap":63990.1,"low":63000,"high":65000.0,"change":-12.5,"change_pct":-0.02'
)
TIMESTAMP = b',"timestamp":"2026-03-01T12:30:45.123456Z"'
TRADE_V2 = (
    b'{"symbol":"SOL/EUR","side":"buy","price":150.25,"qty":2.00000000,"ord_type":"limit","trade_id":77'
    + TIMESTAMP + b"}"
)  # fmt: skip


def envelope(channel: bytes, kind: bytes, *entries: bytes) -> bytes:
    return b'{"channel":"%s","type":"%s","data":[%s]}' % (channel, kind, b",".join(entries))


# In the venues' usual spelling, every one to be read by a template.
FRAMES: dict[str, list[bytes]] = {
    "binance": [
        BOOK_TICKER,
        b'{"stream":"bnbusdt@bookTicker","data":%s}' % BOOK_TICKER,
        TRADE,
        b'{"stream":"bnbbtc@trade","data":%s}' % OLD_TRADE,
        b'{"stream":"ethusdt@aggTrade","data":%s}' % AGG_TRADE,
        AGG_TRADE.replace(b',"st":1', b"").replace(b'"m":false', b'"m":true'),
    ],
    "kraken": [
        envelope(b"ticker", b"update", QUOTE + STATISTICS + b"}"),
        envelope(b"ticker", b"snapshot", QUOTE + STATISTICS + b',"trades":5,"volume_usd":123.4' + TIMESTAMP + b"}"),
        envelope(b"ticker", b"update", QUOTE + TIMESTAMP + b"}", QUOTE.replace(b"BTC", b"ETH") + b"}"),
        envelope(b"trade", b"update", TRADE_V2),
        envelope(
            b"trade", b"snapshot", TRADE_V2, TRADE_V2.replace(b'"buy"', b'"sell"').replace(b":45", b":46"),
            TRADE_V2.replace(b',"ord_type":"limit"', b""),
        ),
        b'[340,{"a":["30001.50000",12,"12.41000000"],"b":["30001.40000",0,"0.08000000"],'
        b'"c":["30001.50000","0.10000000"],"v":["1.00000000","2.00000000"],"p":["30000.10000","30000.20000"],'
        b'"t":[5,6],"l":["29000.00000","29000.00000"],"h":["31000.00000","31000.00000"],'
        b'"o":["30500.00000","30400.00000"]},"ticker","XBT/USD"]',
        b'[119,[["0.07000","10.50000000","1616333924.737428","b","m",""]],"trade","XDG/USD"]',
        b'[119,[["0.07000","10.50000000","1616333924.737428","b","m",""],["0.08","1","1616333925.5","s","l","x"]],'
        b'"trade","ETH/XBT"]',
    ],
}  # fmt: skip
FRAMES |= parse_frames.USUAL
SHAPES = [(venue, frame) for venue, frames in FRAMES.items() for frame in frames]
BYTES = b'"\\{}[],:.-+eE0123456789 \n\t\x00\x01\x1f\x7f\x80\xc3\xffabstuTZ/@'
Outcome = tuple[object, ...]


class Pair:
    """The two readings of one venue."""

    def __init__(self, venue: str) -> None:
        self.fast = Parser(Exchange.parse(venue))
        self.slow = Parser(Exchange.parse(venue), templates=False)

    def agree(self, frame: bytes) -> bool:
        """Assert that both do the same with the frame; True if it has events."""
        result = outcome(self.fast, frame)
        assert result == outcome(self.slow, frame), frame
        assert self.slow.templateHits == 0
        return len(result) > 1


def outcome(parser: Parser, frame: bytes) -> Outcome:
    try:
        events = parser.parse(frame, 42, 4)
    except ParseError as error:
        assert parser.kind is None and parser.nativeSymbols == []
        return (str(error),)
    return (
        parser.kind,
        [type(event) for event in events],
        [event.to_bytes() for event in events],
        parser.nativeSymbols,
    )


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_template_reads_what_the_general_path_reads(venue: str, frame: bytes) -> None:
    pair = Pair(venue)
    for hits in (1, 2, 3):
        assert pair.agree(frame)
        assert pair.fast.templateHits == hits


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_every_cut_and_every_tail(venue: str, frame: bytes) -> None:
    pair = Pair(venue)
    for size in range(len(frame)):
        assert not pair.agree(frame[:size])
        pair.agree(frame[size:])
    for tail in (b" ", b"\n", b"\x00", b"}", b"]", b",", b"{}", b"0", frame):
        pair.agree(frame + tail)
        pair.agree(tail + frame)
    assert pair.fast.templateHits == 1  # the whole of it


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_every_byte_replaced_left_out_and_doubled(venue: str, frame: bytes) -> None:
    pair = Pair(venue)
    read = 0
    for at in range(len(frame)):
        for byte in BYTES:
            read += pair.agree(frame[:at] + bytes([byte]) + frame[at + 1 :])
        for size in (1, 2, 5, 9):
            read += pair.agree(frame[:at] + frame[at + size :])
            read += pair.agree(frame[:at] + frame[at : at + size] + frame[at:])
        for token in (b" ", b"0", b'"', b"e1", b"-", b"null", b'"x":1,', b',"x":1', b"\\u0041"):
            read += pair.agree(frame[:at] + token + frame[at:])
    assert read > 100 and pair.fast.templateHits > 100


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_members_doubled_swapped_renamed_and_left_out(venue: str, frame: bytes) -> None:
    pair = Pair(venue)
    member = re.compile(rb'"[A-Za-z_]+":(?:"[^"]*"|-?[\d.]+|true|false|\[[^\[\]{}]*\])')
    members = [match[0] for match in member.finditer(frame)]
    for one in members:
        pair.agree(frame.replace(one, one + b"," + one, 1))
        pair.agree(frame.replace(one + b",", b"", 1))
        pair.agree(frame.replace(b"," + one, b"", 1))
        pair.agree(frame.replace(one, one.replace(b":", b" :", 1), 1))
        pair.agree(frame.replace(one, one.replace(b":", b": ", 1), 1))
        pair.agree(frame.replace(one, one.swapcase(), 1))
        for other in members:
            pair.agree(frame.replace(one, b"\x00", 1).replace(other, one, 1).replace(b"\x00", other, 1))
            pair.agree(frame.replace(one, one + b"," + other, 1))


@pytest.mark.parametrize(("venue", "frame"), SHAPES)
def test_random_damage(venue: str, frame: bytes) -> None:
    seed = 20261120
    generator = random.Random(seed)
    pair = Pair(venue)
    others = FRAMES[venue]
    for _ in range(2000):
        mutant = bytearray(frame)
        for _ in range(generator.choice((1, 2, 3))):
            at = generator.randrange(len(mutant))
            match generator.randrange(4):
                case 0:
                    mutant[at] = generator.randrange(256)
                case 1:
                    del mutant[at : at + generator.randrange(1, 20)]
                case 2:
                    other = generator.choice(others)
                    start = generator.randrange(len(other))
                    mutant[at : at + generator.randrange(12)] = other[start : start + generator.randrange(1, 20)]
                case _:
                    mutant[at:at] = mutant[at : at + generator.randrange(1, 30)]
            mutant = mutant or bytearray(b"{")
        pair.agree(bytes(mutant))


def lexemes(generator: random.Random, count: int) -> list[str]:
    """Numbers of up to 20 digits before and after the point, with leading zeros and exponents among them."""
    found = []
    for _ in range(count):
        text = "".join(generator.choices("0123456789", k=generator.randint(1, 20)))
        if generator.random() < 0.8:
            text = text.lstrip("0") or "0"
        if generator.random() < 0.8:
            text += "." + "".join(generator.choices("0123456789", k=generator.randint(1, 20)))
        if generator.random() < 0.2:
            text += generator.choice("eE") + generator.choice(("", "+", "-")) + str(generator.randint(0, 30))
        found.append(text)
    return found


# Where an amount may stand: amid the frame, and with little of the frame after it.
PLACES = [
    ("binance", BOOK_TICKER, b"250.35190000"),
    ("binance", BOOK_TICKER, b"40.66000000"),
    ("binance", TRADE, b"100.00000000"),
    ("kraken", envelope(b"ticker", b"update", QUOTE + b"}"), b"64001.1"),
    ("kraken", envelope(b"ticker", b"update", QUOTE + b"}"), b"12.50000000"),
    ("kraken", envelope(b"trade", b"update", TRADE_V2), b"2.00000000"),
    ("kraken", FRAMES["kraken"][6], b"0.07000"),
    ("coinbase", FRAMES["coinbase"][0], b"1919.24"),
    ("coinbase", FRAMES["coinbase"][0], b"0.01194407"),
    ("coinbase", FRAMES["coinbase"][3], b"0.00038028"),
    ("coinbase", FRAMES["coinbase"][6], b"81222.50"),
    ("coinbase", FRAMES["coinbase"][8], b"0.00136465"),
    ("kraken_future", FRAMES["kraken_future"][0], b"82380.0"),
    ("kraken_future", FRAMES["kraken_future"][0], b"0.4671"),
    ("kraken_future", FRAMES["kraken_future"][5], b"1760.35"),
    ("kraken_future", FRAMES["kraken_future"][7], b"34969.5"),
]


@pytest.mark.parametrize(("venue", "frame", "amount"), PLACES)
def test_amounts_are_bit_equal_to_float(venue: str, frame: bytes, amount: bytes) -> None:
    seed = 5
    parser = Parser(Exchange.parse(venue))
    (event,) = parser.parse(frame)
    at = event.to_bytes().index(struct.pack("<d", float(amount)))
    read = 0
    for text in [*lexemes(random.Random(seed), 4000), "9007199254740993", "9007199254740992", "0.0", "0", "00000000"]:
        mutant = frame.replace(amount, text.encode(), 1)
        if re.match(r"0\d", text):
            with pytest.raises(ParseError):
                parser.parse(mutant)
            continue
        (event,) = parser.parse(mutant)
        assert event.to_bytes()[at : at + 8] == struct.pack("<d", float(text)), (seed, text)
        read += 1
    assert parser.templateHits == read + 1


@pytest.mark.parametrize(
    ("venue", "frame", "number"),
    [("binance", BOOK_TICKER, b"400900217"), ("binance", TRADE, b"1672515782136"), ("binance", TRADE, b"12345"),
     ("binance", OLD_TRADE, b"70385936"), ("binance", AGG_TRADE, b"228424"), ("binance", AGG_TRADE, b"1}"),
     ("kraken", FRAMES["kraken"][3], b"77"), ("kraken", FRAMES["kraken"][6], b"119"),
     ("kraken", FRAMES["kraken"][1], b"-12.5"), ("kraken", FRAMES["kraken"][1], b"123.4"),
     ("coinbase", FRAMES["coinbase"][0], b"1021"), ("coinbase", FRAMES["coinbase"][3], b"1068572137"),
     ("coinbase", FRAMES["coinbase"][6], b"135557035414"), ("coinbase", FRAMES["coinbase"][6], b"1088490716"),
     ("coinbase", FRAMES["coinbase"][8], b"1100243480"), ("coinbase", FRAMES["coinbase"][8], b"136999327713"),
     ("kraken_future", FRAMES["kraken_future"][0], b"1791518715420"),
     ("kraken_future", FRAMES["kraken_future"][0], b"-1.58E-4"),
     ("kraken_future", FRAMES["kraken_future"][0], b"80320.0"),
     ("kraken_future", FRAMES["kraken_future"][4], b"1554076800684"),
     ("kraken_future", FRAMES["kraken_future"][5], b"0}"),
     ("kraken_future", FRAMES["kraken_future"][7], b"653355"),
     ("kraken_future", FRAMES["kraken_future"][9], b"842137")],
)  # fmt: skip
def test_whole_numbers_and_skipped_ones(venue: str, frame: bytes, number: bytes) -> None:
    generator = random.Random(6)
    pair = Pair(venue)
    tail = b"}" if number.endswith(b"}") else b""
    texts = [digit * size for digit in "01" for size in range(1, 24)]
    texts += [str(2**63 - 1), str(2**63), str(2**64 - 1), str(2**64), "-1", "-0", "-", "", "1.", ".1"]
    for text in texts + lexemes(generator, 500):
        pair.agree(frame.replace(number, text.encode() + tail, 1))
    assert pair.fast.templateHits > 10


def test_spellings_of_every_length() -> None:
    pair = Pair("kraken")
    for size in range(1, 41):
        name = "A" * size
        assert pair.agree(FRAMES["kraken"][0].replace(b"BTC/USD", f"{name}/USD".encode()))
        assert pair.agree(FRAMES["kraken"][6].replace(b"XDG/USD", f"{name}/USD".encode()))
    # Up to 32 bytes by template.
    assert pair.fast.templateHits == 2 * 28
    for name in ("", '\\"', "\\u0042TC/USD", "B\x00C/USD", "币/USD", "BTC/USD\\", "B\x7fC/USD"):
        pair.agree(FRAMES["kraken"][0].replace(b"BTC/USD", name.encode()))
    binance = Pair("binance")
    for size in range(70):
        assert binance.agree(FRAMES["binance"][1].replace(b"bnbusdt@bookTicker", b"x" * size))
        assert binance.agree(FRAMES["binance"][1].replace(b"bnbusdt@bookTicker", b"y" * size + "币".encode()))
    assert binance.fast.templateHits == 70


def test_symbols_that_share_a_beginning_or_an_end() -> None:
    parser = Parser(Exchange.KRAKEN)
    names = [f"{'Q' * (number % 9)}{number}/{quote}" for number in range(3000) for quote in ("USD", "EUR")]
    for _round in range(2):
        for name in names:
            (ticker,) = parser.parse(FRAMES["kraken"][0].replace(b"BTC/USD", name.encode()))
            assert ticker.symbol is CurrencyPair(name) and parser.nativeSymbols == [name]
    assert parser.templateHits == 2 * len(names)


def test_times_that_share_a_minute() -> None:
    pair = Pair("kraken")
    frame = FRAMES["kraken"][3]
    texts = [
        "1970-01-01T00:00:00.000001Z", "\x00" * 16 + ":45.123456Z", "2026-03-01T12:30:45.123456Z",
        "2026-03-01T12:30:59.999999Z", "2026-03-01T12:30:60.000000Z", "2026-03-01T12:30:99.000000Z",
        "2026-03-01T12:30:4:.000000Z", "2026-03-01T12:30:45.12345Z", "2026-03-01T12:30:45.1234567Z",
        "2026-03-01T12:30:45.123456+01:00", "2026-03-01T12:30:45.123456z", "2026-03-01T12:30:45,123456Z",
        "2026-03-01T12:30:45Z", "2026-03-01T12:30:45.Z", "2026-03-01T12:30-45.123456Z", "2026-02-29T12:30:45.123456Z",
        "2024-02-29T23:59:59.999999Z", "2262-04-11T23:47:16.854775Z", "2262-04-11T23:47:16.854776Z",
        "2262-04-11T23:46:59.999999Z", "2262-04-11T23:46:16.854776Z", "1969-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:58.000000Z", "1677-09-21T00:12:43.145224Z", "9999-01-01T00:00:00.000000Z", "",
    ]  # fmt: skip
    for first in texts:
        for second in texts:
            for text in (first, second, second):
                pair.agree(frame.replace(b"2026-03-01T12:30:45.123456Z", text.encode()))
    assert pair.fast.templateHits > 100


def test_seconds() -> None:
    pair = Pair("kraken")
    for text in (
        "1616333924.737428", "0000000000.000000", "9223372036.854775", "9223372036.854776", "9999999999.999999",
        "1616333924.73742", "1616333924.7374281", "161633392.4737428", "16163339247.37428", "1616333924", "1616333924.",
        "-616333924.737428", "1616333924:737428", "161633392x.737428", "1616333924.73742x", "",
    ):  # fmt: skip
        pair.agree(FRAMES["kraken"][6].replace(b"1616333924.737428", text.encode()))
    assert pair.fast.templateHits >= 5


def test_failed_template_leaves_nothing_behind() -> None:
    pair = Pair("kraken")
    # A snapshot whose second entry only the general path can read, or nobody; then an update.
    good, other = QUOTE + b"}", b'{"ask":2,"ask_qty":3,"symbol":"ETH/USD","bid":1,"bid_qty":1}'
    assert pair.agree(envelope(b"ticker", b"snapshot", good, other))
    assert not pair.agree(envelope(b"ticker", b"snapshot", good, b"{}"))
    assert pair.agree(envelope(b"ticker", b"update", good))
    assert pair.fast.parse(envelope(b"ticker", b"update", good))[0].flags == 0
    assert pair.fast.templateHits == 2


def test_spellings_outlive_the_frame() -> None:
    parser = Parser(Exchange.BINANCE)
    for _round in range(2):
        frame = bytearray(BOOK_TICKER)
        parser.parse(frame)
        frame[:] = bytes(len(frame))
        assert parser.nativeSymbols == ["BNBUSDT"]


def test_long_arrays_and_large_frames() -> None:
    pair = Pair("kraken")
    for count in (50, 5000, 10_000):
        assert pair.agree(envelope(b"trade", b"snapshot", *[TRADE_V2] * count))
    # The largest are left to the general path, whose limits hold.
    assert pair.fast.templateHits == 2


def test_every_kind_of_buffer_and_alignment() -> None:
    for venue, frame in SHAPES:
        pair = Pair(venue)
        expected = outcome(pair.slow, frame)
        for shift in range(17):
            padded = bytearray(b"x" * shift + frame + b"0" * 40)
            view = memoryview(padded)[shift : shift + len(frame)]
            assert outcome(pair.fast, view) == expected  # type: ignore[arg-type]
        assert pair.fast.templateHits == 17


def test_held_events_and_lists_never_change() -> None:
    generator = random.Random(7)
    for venue, frames in FRAMES.items():
        parser = Parser(Exchange.parse(venue))
        held: list[tuple[object, object]] = []
        last: object = None
        for number in range(3000):
            frame = generator.choice(frames)
            events = parser.parse(frame, number)
            expected = [
                event.to_bytes() for event in Parser(Exchange.parse(venue), templates=False).parse(frame, number)
            ]
            assert [event.to_bytes() for event in events] == expected
            match generator.randrange(6):
                case 0:
                    held.append((events, [event.to_bytes() for event in events]))
                case 1:
                    held += [(event, event.to_bytes()) for event in events]
                case 2:
                    events.reverse()
                case 3:
                    events.clear()
                case 4:
                    events[0] = None  # type: ignore[call-overload]
                case _:
                    last = events  # noqa: F841 - held until the next one is
            for kept, as_it_was in held[-20:] if number < 2999 else held:
                now = [event.to_bytes() for event in kept] if isinstance(kept, list) else kept.to_bytes()  # type: ignore[attr-defined]
                assert now == as_it_was


def test_events_of_a_kept_list_are_distinct() -> None:
    parser = Parser(Exchange.KRAKEN)
    frame = FRAMES["kraken"][4]
    lists = [parser.parse(frame, number) for number in range(10)]
    assert len({id(event) for events in lists for event in events}) == 30
    assert [events[0].localTimeNs for events in lists] == list(range(10))
