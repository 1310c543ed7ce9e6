"""Numbers read from frames are bit-equal to Python's float() of the same text."""

import struct

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
