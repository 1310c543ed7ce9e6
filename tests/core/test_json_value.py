"""`is_plain` against its model, and payloads encoded by the fast way and the slow one."""

import collections
import enum
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore.json_value import is_plain
from hftpy.ipc.command import _encode, encode_payload


def plain_model(value: Any, depth: int) -> bool:
    if value is None or type(value) in (bool, str):
        return True
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return -(1 << 63) <= value < 1 << 63
    if depth <= 0:
        return False
    if type(value) is dict:
        return all(type(key) is str and plain_model(item, depth - 1) for key, item in value.items())
    return type(value) in (list, tuple) and all(plain_model(item, depth - 1) for item in value)


class Text(str):
    __slots__ = ()


class Color(enum.IntEnum):
    RED = 1


ODD: list[Any] = [Text("x"), Color.RED, b"x", {1: 2}, {None: 1}, {1, 2}, 1 << 63, -(1 << 63) - 1, math.nan, -math.inf]
odd = st.sampled_from([*ODD, collections.OrderedDict(a=1), complex(1), object])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | odd
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(deadline=None)
@given(values, st.integers(0, 4))
def test_plain_values_are_known(value: Any, depth: int) -> None:
    assert is_plain(value, depth) is plain_model(value, depth)


@settings(deadline=None)
@given(values)
def test_both_ways_to_encode_say_the_same(value: Any) -> None:
    try:
        slow = _encode(value)
        slow.encode()
    except (TypeError, ValueError):
        with pytest.raises((TypeError, ValueError)):
            encode_payload(value).encode()
        return
    fast = encode_payload(value)
    assert json.loads(fast) == json.loads(slow) and msgspec.json.decode(fast) == msgspec.json.decode(slow)
    # Which number is 1 and which 1.0, -0.0 and 0.0 stays, too.
    assert repr(json.loads(fast)) == repr(json.loads(slow))


def test_depth_and_what_refers_to_itself() -> None:
    value: Any = 1
    for depth in range(1, 80):
        value = [value] if depth % 2 else {"a": value}
        assert is_plain(value, depth) and not is_plain(value, depth - 1)
    circle: list[Any] = []
    circle.append(circle)
    assert not is_plain(circle, 64)
    with pytest.raises(ValueError, match="Circular"):
        encode_payload(circle)
    with pytest.raises(ValueError, match="at most 64 deep"):
        encode_payload(value)
