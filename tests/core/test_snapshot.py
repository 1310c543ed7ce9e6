"""Snapshots: values, views and their lifetime, equality, pickling, limits."""

import gc
import pickle
import random
import weakref

import numpy as np
import pytest

from hftcore.book import Snapshot
from hftcore.enums import Exchange, Flag
from hftcore.symbols import CurrencyPair


def make(ask_count: int = 3, bid_count: int = 2, **more: object) -> Snapshot:
    fields: dict[str, object] = {
        "exchange": "kraken",
        "symbol": "btc/usd",
        "asks": [(101.0 + i, 1.5 + i) for i in range(ask_count)],
        "bids": [(100.0 - i, 2.5 + i) for i in range(bid_count)],
        "exchangeTimeNs": 5_999,
        "localTimeNs": 7_001,
        "seq": 2**64 - 1,
        "flags": 1,
    }
    return Snapshot(**(fields | more))  # type: ignore[arg-type]


def test_fields_and_aliases():
    snapshot = make()
    assert (snapshot.exchange, snapshot.symbol) == (Exchange.KRAKEN, CurrencyPair("btc/usd"))
    assert snapshot.flags is Flag.SNAPSHOT
    assert (snapshot.exchangeTimeNs, snapshot.localTimeNs, snapshot.seq) == (5_999, 7_001, 2**64 - 1)
    assert (snapshot.timestamp, snapshot.localTimestamp) == (5, 7)
    assert snapshot.asksPrice.tolist() == snapshot.asks_price.tolist() == [101.0, 102.0, 103.0]
    assert snapshot.asksVolume.tolist() == snapshot.asks_volume.tolist() == [1.5, 2.5, 3.5]
    assert snapshot.bidsPrice.tolist() == snapshot.bids_price.tolist() == [100.0, 99.0]
    assert snapshot.bidsVolume.tolist() == snapshot.bids_volume.tolist() == [2.5, 3.5]
    assert (snapshot.askCount, snapshot.bidCount) == (snapshot.ask_count, snapshot.bid_count) == (3, 2)
    assert (snapshot.askPrice, snapshot.askVolume) == (snapshot.ask_price, snapshot.ask_volume) == (101.0, 1.5)
    assert (snapshot.bidPrice, snapshot.bidVolume) == (snapshot.bid_price, snapshot.bid_volume) == (100.0, 2.5)
    assert (snapshot.exchange_time_ns, snapshot.local_time_ns, snapshot.local_timestamp) == (5_999, 7_001, 7)
    assert (snapshot.asks[2], snapshot.bids[1]) == ((103.0, 3.5), (99.0, 3.5))


@pytest.mark.parametrize(("asks", "bids"), [(0, 0), (1, 0), (0, 1), (256, 256), (8, 8), (9, 8)])
def test_any_number_of_levels(asks, bids):
    snapshot = make(asks, bids)
    assert (len(snapshot.asksPrice), len(snapshot.asksVolume)) == (asks, asks)
    assert (len(snapshot.bidsPrice), len(snapshot.bidsVolume)) == (bids, bids)
    assert snapshot.asks == [(101.0 + i, 1.5 + i) for i in range(asks)]
    assert snapshot.bids == [(100.0 - i, 2.5 + i) for i in range(bids)]
    if not asks:
        assert (snapshot.askPrice, snapshot.askVolume) == (0.0, 0.0)
    if not bids:
        assert (snapshot.bidPrice, snapshot.bidVolume) == (0.0, 0.0)


def test_views_are_read_only_copy_nothing_and_outlive_the_snapshot():
    snapshot = make(20, 20)
    view = snapshot.bidsPrice
    assert view.dtype == np.float64
    assert np.shares_memory(view, snapshot.bidsPrice)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    expected = view.tolist()
    del snapshot
    gc.collect()
    others = [make(20, 20, asks=[(0.0, 0.0)] * 20, bids=[(0.0, 0.0)] * 20) for _ in range(200)]
    assert view.tolist() == expected
    assert len(others) == 200


def test_memory_is_used_again_and_never_shared():
    rng = random.Random(7)
    alive: list[tuple[Snapshot, list[tuple[float, float]]]] = []
    for _ in range(5_000):
        asks = [(rng.random(), rng.random()) for _ in range(rng.choice([0, 1, 20, 256]))]
        alive.append((make(0, 3, asks=asks), asks))
        if len(alive) > 100:
            snapshot, wanted = alive.pop(rng.randrange(len(alive)))
            assert snapshot.asks == wanted


def test_equality_hash_and_pickle():
    snapshot = make()
    again = pickle.loads(pickle.dumps(snapshot))
    assert (again == snapshot, hash(again) == hash(snapshot), again is snapshot) == (True, True, False)
    others = [make(2), make(3, 1), make(seq=1), make(flags=0), make(exchange="okx"), make(symbol="eth/usd"),
              make(localTimeNs=1), make(exchangeTimeNs=1), make(5, 0)]  # fmt: skip
    assert all(other != snapshot for other in others)
    assert snapshot != "snapshot"
    # The same ten numbers, divided otherwise, are another book.
    assert make(asks=[(1.0, 1.0), (1.0, 1.0)], bids=[]) != make(asks=[(1.0, 1.0)], bids=[(1.0, 1.0)])


def test_dict_and_repr():
    snapshot = make()
    assert Snapshot(**snapshot.to_dict()) == snapshot
    assert repr(snapshot).startswith("Snapshot(exchange='kraken', symbol='btc/usd', asks=[(101.0, 1.5), ")
    assert snapshot.to_dict()["symbol"] == "btc/usd"


def test_limits_and_bad_levels():
    for side in ("asks", "bids"):
        with pytest.raises(ValueError, match="a Snapshot must have at most 256 levels a side, was 257"):
            make(**{side: [(1.0, 1.0)] * 257})
        with pytest.raises(TypeError):
            make(**{side: [(1.0, None)]})
        with pytest.raises((TypeError, ValueError)):
            make(**{side: [(1.0,)]})
    with pytest.raises(ValueError, match="krakn"):
        make(exchange="krakn")


def test_it_is_immutable_and_made_once():
    snapshot = make()
    for name in ("seq", "asks", "asksPrice", "bidCount"):
        with pytest.raises(AttributeError):
            setattr(snapshot, name, 1)
    with pytest.raises(TypeError, match="made once"):
        snapshot.__init__(exchange="kraken", symbol="btc/usd")
    with pytest.raises(TypeError):
        weakref.ref(snapshot)
