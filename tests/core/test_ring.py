"""hftcore.ring: policies and errors. Against the model: test_ring_model.py; its asyncio side: test_ring_asyncio.py."""

import asyncio

import numpy as np
import pytest

from hftcore.ring import MAX_CAPACITY, Ring
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE, Ticker, Trade


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=seq + 0.5, askPrice=seq + 1.0, seq=seq)


def trade(seq: int) -> Trade:
    return Trade(exchange="binance", symbol="eth/usdt", price=seq + 0.25, volume=1.0, side="buy", seq=seq)


def seqs(items) -> list[int]:
    return [item.seq for item in items]


@pytest.mark.parametrize("capacity", [0, -1, -8, 3, 6, 1000, (1 << 70) + 1])
def test_capacity_must_be_a_power_of_two(capacity):
    with pytest.raises(ValueError, match=f"capacity must be a power of two, was {capacity}"):
        Ring(Ticker, capacity)


def test_capacity_is_bounded():
    with pytest.raises(ValueError, match=f"capacity must be at most {MAX_CAPACITY}, was {MAX_CAPACITY * 2}"):
        Ring(Ticker, MAX_CAPACITY * 2)
    with pytest.raises(ValueError, match="capacity must be at most"):
        Ring(Ticker, 1 << 70)


@pytest.mark.parametrize("capacity", [4096.0, "8", None])
def test_capacity_must_be_an_integer(capacity):
    with pytest.raises(TypeError):
        Ring(Ticker, capacity)


@pytest.mark.parametrize("overflow", ["lossless", "", "DROP_OLDEST", None, 1])
def test_unknown_policy_lists_the_supported(overflow):
    expected = f"overflow must be one of block, conflate, drop_newest, drop_oldest, halt, was {overflow!r}"
    with pytest.raises(ValueError, match=expected):
        Ring(Ticker, 8, overflow)


@pytest.mark.parametrize("kind", [int, None, "Ticker", ticker(1)])
def test_kind_must_be_ticker_or_trade(kind):
    with pytest.raises(TypeError, match="kind must be Ticker or Trade, was "):
        Ring(kind)


@pytest.mark.parametrize("item", [None, 1, {"seq": 1}])
def test_an_item_of_another_type_is_refused(item):
    for kind in (Ticker, Trade):
        ring = Ring(kind)
        with pytest.raises(TypeError, match=f"item must be a {kind.__name__}, was "):
            ring.put_nowait(item)
        assert ring.stats["pushed"] == ring.stats["dropped"] == 0
    with pytest.raises(TypeError, match="item must be a Ticker"):
        Ring(Ticker).put_nowait(trade(1))
    with pytest.raises(TypeError, match="item must be a Trade"):
        Ring(Trade).put_nowait(ticker(1))


def test_limit_must_be_positive():
    ring = Ring(Ticker)
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"limit must be at least 1, was {limit}"):
            ring.get_batch(limit)
        with pytest.raises(ValueError, match=f"limit must be at least 1, was {limit}"):
            ring.get_array(limit)


def test_items_come_out_equal_and_are_copies():
    ring = Ring(Trade, 4)
    item = trade(7)
    assert ring.put_nowait(item) is True
    got = ring.get_nowait()
    assert got == item and got is not item
    assert got.to_bytes() == item.to_bytes()


@pytest.mark.parametrize(("kind", "make", "dtype"), [(Ticker, ticker, TICKER_DTYPE), (Trade, trade, TRADE_DTYPE)])
def test_get_array_is_a_writable_copy(kind, make, dtype):
    ring = Ring(kind, 8)
    for seq in range(20):
        ring.put_nowait(make(seq))
    array = ring.get_array(3)
    assert array.dtype == dtype and array.shape == (3,) and array["seq"].tolist() == [12, 13, 14]
    array["seq"] = 99
    for seq in range(20, 28):
        ring.put_nowait(make(seq))
    assert array["seq"].tolist() == [99, 99, 99]
    assert ring.get_array().tobytes() == b"".join(make(seq).to_bytes() for seq in range(20, 28))
    assert ring.get_array().shape == (0,)
    assert np.shares_memory(array, ring.get_array()) is False


def test_drop_oldest_keeps_the_latest():
    ring = Ring(Ticker, 4, "drop_oldest")
    assert all(ring.put_nowait(ticker(seq)) for seq in range(10))
    assert ring.full() and seqs(ring.get_batch()) == [6, 7, 8, 9]
    assert ring.stats == {"pushed": 10, "popped": 4, "dropped": 6, "conflated": 0, "high_water": 4, "capacity": 4}


def test_drop_newest_keeps_the_first():
    ring = Ring(Ticker, 4, "drop_newest")
    assert [ring.put_nowait(ticker(seq)) for seq in range(6)] == [True] * 4 + [False] * 2
    assert seqs(ring.get_batch()) == [0, 1, 2, 3]
    assert ring.stats == {"pushed": 4, "popped": 4, "dropped": 2, "conflated": 0, "high_water": 4, "capacity": 4}


def test_halt_refuses_until_reset():
    ring = Ring(Trade, 2, "halt")
    ring.put_nowait(trade(0))
    ring.put_nowait(trade(1))
    with pytest.raises(asyncio.QueueFull):
        ring.put_nowait(trade(2))
    assert ring.halted
    assert ring.get_nowait().seq == 0
    with pytest.raises(asyncio.QueueFull, match="halted"):
        ring.put_nowait(trade(3))
    ring.reset()
    assert not ring.halted and ring.put_nowait(trade(4)) is True
    assert seqs(ring.get_batch()) == [1, 4]
    assert ring.stats == {"pushed": 3, "popped": 3, "dropped": 2, "conflated": 0, "high_water": 2, "capacity": 2}


def test_capacity_one():
    for overflow, kept in (("drop_newest", 1), ("drop_oldest", 2)):
        ring = Ring(Ticker, 1, overflow)
        ring.put_nowait(ticker(1))
        ring.put_nowait(ticker(2))
        assert ring.get_nowait().seq == kept


def test_default_is_what_an_observer_wants():
    ring = Ring(Ticker)
    assert (ring.kind, ring.capacity, ring.overflow) == (Ticker, 4096, "drop_oldest")
    assert repr(ring) == "Ring(Ticker, capacity=4096, overflow='drop_oldest', size=0)"


def test_it_cannot_be_pickled_or_copied():
    import copy

    with pytest.raises(TypeError):
        copy.copy(Ring(Ticker, 8))
