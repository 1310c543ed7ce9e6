"""Broken variants of a JSON frame: every value replaced in turn, members left out and doubled, bytes damaged.

What is not touched is written as it was, so that a template that reads the venue's usual spelling meets the damage.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

# JSON as text, each in place of each value of a frame.
VALUES = (
    "null", "true", "false", '""', '"x"', "[]", "{}", "[[]]", '[["1"]]', '{"a":1}', "0", "-0", "-1", "-0.0", "1.5", "7",
    '"-1"', '"-0"', '"7"', '" 7"', '"7 "', '"+1"', '"00.1"', '"0x10"', '"1_000"', '"1e400"', "1e400", '"-1e-400"',
    "1E5", "1e-07", '"1.e5"', '".5"', '"5."', '"1e"', '"1E+2"', "1E+2", '"NaN"', '"nan"', '"Infinity"', '"inf"',
    "123456789012345678", "0.123456789012345678", '"99999999999999.9999"', "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", '"18446744073709551616"',
    "340282366920938463463374607431768211456", '"1970-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999999Z"',
    '"\\u0031"', '"\\u0000"', '"\\ud83d\\ude00"', '"\u0661"', '"buy"', '"update"', '"' + "9" * 400 + '"', "1" * 1025,
    '"' + "x" * 5000 + '"',
)  # fmt: skip
# No JSON at all, in whatever place.
BROKEN = (
    "NaN", "Infinity", "-Infinity", "nan", "+1", "00.1", "0x10", "1_000", "1.", ".5", "-", "1e", "1e+", "'x'", '"\x00"',
    '"\n"', '"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"\\u12"', '"', "[", "]", "{", "}", ",", ":", "", "True",
    "undefined", "[1,]", '{"a":1,}', '{"a"}', "{a:1}", "//", "1 2", '"a" "b"', "[" * 100_000, '{"a":' * 100_000,
    "[" * 100_000 + "]" * 100_000,
)  # fmt: skip
TAILS = (b"x", b"\x00", b"{}", b",", b"]", b"}", b" 1", b"\xff", b"//")


class Raw(str):
    """JSON that is written as it stands."""


class Variant(NamedTuple):
    """A frame, and what was put into it in place of a value; empty if that was something else."""

    frame: bytes
    put: str = ""


def read(frame: bytes) -> Any:
    """The values of a frame, numbers as written."""
    return json.loads(frame, parse_float=Raw, parse_int=Raw)


def write(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a tree, as its holder and its key."""
    for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def replaced(frame: bytes, texts: tuple[str, ...]) -> Iterator[Variant]:
    """Each value in turn replaced by each text."""
    root = read(frame)
    assert write(root).encode() == frame, "write a frame without blanks, so that it comes out as it went in"
    for holder, key in _places(root):
        kept = holder[key]
        for text in texts:
            holder[key] = Raw(text)
            yield Variant(write(root).encode(), text)
        holder[key] = kept


def left_out(frame: bytes) -> Iterator[bytes]:
    """Each member and each element left out in turn."""
    root = read(frame)
    for holder, key in list(_places(root)):
        if isinstance(holder, dict):
            kept = dict(holder)
            del holder[key]
            yield write(root).encode()
            holder.clear()
            holder.update(kept)
        else:
            kept_item = holder.pop(key)
            yield write(root).encode()
            holder.insert(key, kept_item)


def doubled(frame: bytes) -> Iterator[tuple[bytes, str]]:
    """Each member twice, the second time with another value; and the member's name."""
    root = read(frame)
    for holder, key in list(_places(root)):
        if isinstance(holder, dict):
            kept = holder[key]
            for other in ('"other"', write(kept), "7"):
                holder[key] = Raw(f"{write(kept)},{json.dumps(key)}:{other}")
                yield write(root).encode(), key
            holder[key] = kept


def damaged(frame: bytes) -> Iterator[bytes]:
    """No JSON: cut anywhere, with more behind it, and with bytes that no text holds."""
    for size in range(len(frame)):
        yield frame[:size]
    for tail in TAILS:
        yield frame + tail
    for start in (b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b",", b"]"):
        yield start + frame
    for index in range(len(frame) + 1):
        for byte in (b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"):
            yield frame[:index] + byte + frame[index:]
