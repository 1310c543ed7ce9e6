"""Numbers read from frames are bit-equal to Python's float() of the same text."""

import decimal
import math
import random
import struct
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcore.enums import Exchange
from hftcore.errors import ParseError
from hftcore.parse import Parser

parser = Parser(Exchange.BINANCE)
digits = st.text("0123456789", min_size=1, max_size=20)
# Texts of JSON numbers: up to 20 + 25 digits, an exponent or none.
lexemes = st.builds(
    lambda whole, fraction, exponent: (whole.lstrip("0") or "0") + fraction + exponent,
    digits,
    st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=25).map(lambda text: "." + text)),
    st.one_of(
        st.just(""),
        st.builds(
            lambda letter, sign, power: f"{letter}{sign}{power}",
            st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 340),
        ),
    ),
)  # fmt: skip


def read(lexeme: str, quoted: bool) -> float:
    value = f'"{lexeme}"' if quoted else lexeme
    frame = f'{{"u":1,"s":"BTCUSDT","b":{value},"B":1,"a":1,"A":1}}'
    return parser.parse(frame.encode())[0].bidPrice


def assert_reads_like_float(lexeme: str) -> None:
    for quoted in (False, True):
        if float(lexeme) == float("inf"):
            with pytest.raises(ParseError, match="b must be a finite number"):
                read(lexeme, quoted)
        else:
            assert struct.pack("<d", read(lexeme, quoted)) == struct.pack("<d", float(lexeme)), lexeme


@settings(max_examples=1500, deadline=None)
@given(lexemes)
@example("9007199254740993")
@example("9007199254740992e22")
@example("18446744073709551615")
@example("18446744073709551616")
@example("2.2250738585072011e-308")
@example("2.4703282292062327e-324")
@example("2.4703282292062328e-324")
@example("5e-324")
@example("1e-400")
@example("0e999999999999999999999")
@example("1e-99999999999999999999")
@example("1e99999999999999999999")
@example("1.7976931348623157e308")
@example("1.7976931348623159e308")
@example("0.000000000000000000000000000000000000000000001e45")
def test_reads_like_float(lexeme: str) -> None:
    assert_reads_like_float(lexeme)


@settings(max_examples=1000, deadline=None)
@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_reads_back_every_double(value: float) -> None:
    assert_reads_like_float(repr(value))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**53), st.integers(0, 25))
def test_prices_with_decimals(mantissa: int, places: int) -> None:
    text = str(mantissa).rjust(places + 1, "0")
    assert_reads_like_float(f"{text[:-places]}.{text[-places:]}" if places else text)


def test_very_long_texts() -> None:
    for lexeme in ("0." + "0" * 5000 + "1e5001", "1" * 300 + "." + "7" * 5000, "1" + "0" * 5000 + "e-5000"):
        assert_reads_like_float(lexeme)
    assert_reads_like_float("1" + "0" * 400)


@settings(max_examples=1000, deadline=None)
@given(st.text("0123456789.eE+-xXinfaNn_ ", max_size=12))
def test_text_that_is_no_number(text: str) -> None:
    try:
        value = read(text, quoted=True)
    except ParseError:
        return
    assert value == float(text) and text[0].isdigit() and text[-1].isdigit() and "_" not in text


TICKER = (
    '{{"symbol":"BTC/USD","bid":{},"bid_qty":{},"ask":{},"ask_qty":{},"last":1,"volume":1,"vwap":1,"low":1,"high":1,'
    '"change":1,"change_pct":1}}'
)
BEST = '{{"asks":[["{2}","{3}","0","1"]],"bids":[["{0}","{1}","0","1"]],"ts":"1790439594900","seqId":1}}'
KRAKEN = b'{"channel":"ticker","type":"update","data":[%s]}'
OKX = b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[%s]}'


def random_numbers(generator: random.Random) -> Iterator[str]:
    """Up to 20 digits, the point anywhere among them, exponents of both cases and signs, all of them finite."""
    while True:
        size = generator.randint(1, 20)
        whole = generator.randint(0, size)
        text = f"{generator.randrange(10**size):0{size}d}"
        text = (text[:whole].lstrip("0") or "0") + ("." + text[whole:] if whole < size else "")
        if generator.random() < 0.3:
            # Mostly small ones; some down to the subnormal numbers and below, and up to the largest.
            power = generator.randint(-20, 20) if generator.random() < 0.7 else generator.randint(-345, 288)
            sign = "-" if power < 0 else generator.choice(("", "+"))
            text += f"{generator.choice('eE')}{sign}{abs(power)}"
        yield text


def halfway_numbers(generator: random.Random) -> Iterator[str]:
    """Between two neighbouring doubles, or a little beside: where rounding decides."""
    context = decimal.Context(prec=800)
    while True:
        value = struct.unpack("<d", struct.pack("<Q", generator.randrange(1, 0x7FE0 << 48)))[0]
        half = context.divide(context.add(decimal.Decimal(value), decimal.Decimal(math.nextafter(value, math.inf))), 2)
        for precision in (17, 18, 19, 20, 21, 40, 800):
            yield str(decimal.Context(prec=precision).plus(half)).lstrip("+")


@pytest.mark.parametrize(
    ("numbers", "count"), [(random_numbers, 1_000_000), (halfway_numbers, 40_000)], ids=["random", "halfway"]
)
def test_a_million_numbers(numbers: Callable[[random.Random], Iterator[str]], count: int) -> None:
    seed = 20261121
    texts = numbers(random.Random(seed))
    # Bare and quoted; by template and by the general path.
    shapes = [("kraken", TICKER, KRAKEN), ("okx", BEST, OKX)]
    readers = [
        (Parser(venue, templates=templates), entry, envelope)
        for venue, entry, envelope in shapes
        for templates in (True, False)
    ]
    for _ in range(count // 400):
        batch = list(islice(texts, 400))
        expected = [struct.pack("<4d", *map(float, batch[at : at + 4])) for at in range(0, 400, 4)]
        for reader, entry, envelope in readers:
            entries = ",".join([entry.format(*batch[at : at + 4]) for at in range(0, 400, 4)])
            events = reader.parse(envelope % entries.encode())
            read_back = [event.to_bytes()[16:48] for event in events]
            if read_back != expected:
                wrong = next(at for at in range(100) if read_back[at] != expected[at])
                raise AssertionError((seed, reader.exchange, reader.templateHits, batch[4 * wrong : 4 * wrong + 4]))
    for reader, _, _ in readers[::2]:
        assert reader.templateHits == count // 400
    for reader, _, _ in readers[1::2]:
        assert reader.templateHits == 0


def test_signed_numbers_are_refused_as_prices() -> None:
    generator = random.Random(7)
    for text in islice(random_numbers(generator), 2000):
        for quoted in (False, True):
            with pytest.raises(ParseError, match=r"b must not be negative, was '-"):
                read("-" + text, quoted)
        with pytest.raises(ParseError, match=r"valid JSON|plain decimal"):
            read("+" + text, quoted=text[-1] in "02468")
