"""hftcore.ring: random operations on Ring and ObjectRing, every policy and every mode, against the slow model."""

import asyncio
import os
import random

import pytest
import ring_model

from hftcore.ring import ObjectRing, Ring
from hftcore.types import Ticker, Trade

POLICIES = ("block", "conflate", "drop_newest", "drop_oldest", "halt")
ROUNDS = int(os.environ.get("HFTPY_MODEL_ROUNDS", "20"))
SYMBOLS = ["a/usd", "b/usd", "c/usd", "d/usd", "e/usd"] + [f"s{number}/usd" for number in range(40)]


def make_ticker(number: int, rng: random.Random) -> Ticker:
    exchange = rng.choice(["kraken", "binance"])
    return Ticker(exchange=exchange, symbol=rng.choice(SYMBOLS[: rng.choice([2, 5, 45])]), bidPrice=number, seq=number)


def make_trade(number: int, rng: random.Random) -> Trade:
    return Trade(exchange="kraken", symbol=rng.choice(SYMBOLS), price=number + 0.5, seq=number)


def key_of(item: Ticker) -> tuple[object, object]:
    return item.exchange, item.symbol


def rings(kind: str, capacity: int, overflow: str):
    """The ring of a kind, and how its items are made."""
    match kind:
        case "Ticker" | "Ticker many":
            return Ring(Ticker, capacity, overflow, producers="many" if "many" in kind else "one"), make_ticker
        case "Trade" | "Trade many":
            return Ring(Trade, capacity, overflow, producers="many" if "many" in kind else "one"), make_trade
        case _:
            return ObjectRing(capacity, overflow, key=key_of if overflow == "conflate" else None), make_ticker


class Driver:
    """One ring and its model, and what can be done to both."""

    def __init__(self, kind: str, overflow: str, rng: random.Random) -> None:
        self.rng = rng
        self.capacity = 1 << rng.randrange(7)
        self.ring, self.make = rings(kind, self.capacity, overflow)
        self.model = ring_model.RingModel(self.capacity, overflow, key_of)
        self.number = 0

    def put(self) -> None:
        self.number += 1
        item = self.make(self.number, self.rng)
        with_timeout = self.rng.random() < 0.2
        if with_timeout and len(self.model.items) == self.capacity and not self.model.closed and not self.model.halted:
            with_timeout = self.model.overflow != "halt"  # a put that may wait does not halt: see below
        put = (lambda: self.ring.put(item, 0)) if with_timeout else (lambda: self.ring.put_nowait(item))
        try:
            expected = self.model.put(item)
        except (ring_model.Halted, ring_model.Full):
            with pytest.raises(asyncio.QueueFull):
                put()
        else:
            assert put() is expected

    def put_that_waits_finds_no_room(self) -> None:
        if self.model.overflow in ("halt", "block") and len(self.model.items) == self.capacity:
            if not self.model.closed and not self.model.halted:
                with pytest.raises(asyncio.QueueFull, match="no room within 0"):
                    self.ring.put(self.make(0, self.rng), 0)

    def take(self) -> None:
        limit = self.rng.randrange(1, 2 * self.capacity + 1)
        got: list[object] = []
        match self.rng.randrange(8):
            case 0:
                assert self.ring.get_batch(limit) == self.model.take(limit)
            case 1 if isinstance(self.ring, Ring):
                assert self.ring.get_array(limit).tobytes() == joined(self.model.take(limit))
            case 2 if isinstance(self.ring, Ring):
                self.view(limit)
            case 3:
                expected = self.model.take(limit)
                assert self.ring.drain(got.append, limit) == len(expected)
                assert got == expected
            case 4:
                until = self.ring.position + self.rng.randrange(-1, self.capacity + 1)
                assert self.ring.dispatch(got.append, limit, until=max(until, 0)) is None
                assert got == self.model.take(limit, max(until, 0))
            case 5:
                self.stop_early(limit)
            case _:
                expected = self.model.take(1)
                if expected:
                    assert self.ring.get_nowait() == expected[0]
                else:
                    with pytest.raises(asyncio.QueueEmpty):
                        self.ring.get_nowait()

    def view(self, limit: int) -> None:
        view = self.ring.view(limit)
        with view as array:
            here = len(view)
            if view.zero_copy:
                most = min(limit, self.capacity - self.model.position % self.capacity)
                assert here == min(most, len(self.model.items))
                assert self.ring.qsize() == len(self.model.items)
                with pytest.raises(RuntimeError, match="view of the ring is open"):
                    self.ring.get_nowait()
                if self.rng.random() < 0.5:
                    self.put()  # producers go on beside it
            else:
                assert here == min(limit, len(self.model.items))
            assert array.tobytes() == joined(self.model.items[:here])
        self.model.take(here)

    def stop_early(self, limit: int) -> None:
        """A callback that fails, or a hook that returns something: its item is taken, the rest stays."""
        wanted = self.rng.randrange(1, limit + 1)
        got: list[object] = []

        def hook(item: object) -> object:
            got.append(item)
            return "done" if len(got) == wanted else None

        def callback(item: object) -> None:
            if hook(item):
                raise LookupError(wanted)

        reached = min(limit, len(self.model.items)) >= wanted
        if self.rng.random() < 0.5:
            assert self.ring.dispatch(hook, limit) == ("done" if reached else None)
        elif reached:
            with pytest.raises(LookupError):
                self.ring.drain(callback, limit)
        else:
            self.ring.drain(callback, limit)
        assert got == self.model.take(min(limit, wanted))

    def check(self) -> None:
        ring, model = self.ring, self.model
        stats = ring.stats
        assert stats == model.stats
        assert ring.qsize() == len(model.items)
        assert ring.empty() is (not model.items)
        assert ring.full() is (len(model.items) == self.capacity)
        assert ring.halted is model.halted
        assert ring.position == model.position
        if model.overflow in ("conflate", "drop_oldest") and not model.closed:
            assert stats["pushed"] == stats["popped"] + stats["dropped"] + stats["conflated"] + ring.qsize()


def joined(items: list[Ticker] | list[Trade]) -> bytes:
    return b"".join(item.to_bytes() for item in items)


@pytest.mark.parametrize("overflow", POLICIES)
@pytest.mark.parametrize("kind", ["Ticker", "Ticker many", "Trade", "Trade many", "object"])
def test_random_operations_agree_with_the_model(kind, overflow):
    if kind.startswith("Trade") and overflow == "conflate":
        pytest.skip("trades do not conflate")
    seed = int(os.environ.get("HFTPY_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HFTPY_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        driver = Driver(kind, overflow, rng)
        bias = rng.random()
        for number in range(300):
            if rng.random() < bias:
                driver.put()
            else:
                driver.take()
            match rng.randrange(40):
                case 0:
                    driver.ring.reset()
                    driver.model.halted = False
                case 1:
                    assert driver.ring.mark() == driver.model.mark()
                case 2:
                    driver.put_that_waits_finds_no_room()
            if number == 290 and rng.random() < 0.2:
                driver.ring.close()
                driver.model.closed = True
            driver.check()
        assert driver.ring.get_batch() == driver.model.take(driver.capacity)
