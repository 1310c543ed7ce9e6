"""The order book against a slow model: random updates in every spelling, prices that collide as floats, checksums."""

import os
import random
from fractions import Fraction

import pytest
from book_model import BookModel, Texts, kraken_checksum, okx_checksum

from hftcore.book import OrderBook

ROUNDS = int(os.environ.get("HFTPY_BOOK_ROUNDS", "60"))


class Prices:
    """Prices of one market, and other spellings of them."""

    def __init__(self, rng: random.Random, kind: str) -> None:
        self.rng = rng
        self.kind = kind
        self.width = rng.choice([5, 30, 400, 3000])

    def __call__(self, side: int) -> str:
        """Bids mostly lie below asks; they overlap a little, so that books cross and lock."""
        tick = self.rng.randrange(self.width) * (1 if side else -1) + (self.rng.randrange(3) if side else 1)
        if self.kind == "long":  # neighbours of 19 to 24 digits round to the same double
            return f"{90071992547409930000 + tick // 3}.{1000 + tick % 3}"
        if self.kind == "small":  # doubles that are subnormal or zero
            return f"{5000 + tick}e-32{self.rng.randrange(4, 9)}"
        if self.kind == "wide":
            return f"{abs(tick) + 1}{'0' * self.rng.randrange(40)}"
        return self.respelled(f"{10_000 + tick / 10:.1f}")

    def respelled(self, text: str) -> str:
        whole, _, fraction = text.partition(".")
        match self.rng.randrange(12):
            case 0:
                return f"{text}{'0' * self.rng.randrange(1, 20)}"
            case 1:
                return f"{int(whole + fraction)}e-1"
            case 2:
                return f"{int(whole + fraction)}00.00E-3"
            case 3:
                return f"0.{whole}{fraction}e+{len(whole)}"
            case 4 if fraction == "0":
                return whole
        return text


def volume(rng: random.Random) -> str:
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            return rng.choice(["0", "0.0", "0.00000000", "0e5", "0E-12", "0.000e+1"])
        case 4:
            return rng.choice(["1e-400", "0." + "0" * 350 + "1"])  # zero as a double, but not gone
        case 5:
            return f"{rng.random():.{rng.randrange(30, 70)}f}"
        case 6:
            return f"{rng.randrange(1, 9)}E-{rng.randrange(1, 9)}"
    return f"{rng.random() * 10:.8f}"


def levels(rng: random.Random, prices: Prices, side: int, count: int) -> Texts:
    found = [(prices(side), volume(rng)) for _ in range(count)]
    if rng.random() < 0.5:
        found.sort(key=lambda level: Fraction(level[0]) if "e-32" not in level[0] else 0, reverse=rng.random() < 0.5)
    return found


def check(book: OrderBook, model: BookModel, rng: random.Random) -> None:
    count = rng.choice([1, 5, 25, 10_000])
    bids, asks = model.top_texts(count)
    assert book.top_texts(count) == (bids, asks)
    assert book.top(count) == tuple([(float(price), float(size)) for price, size in side] for side in (bids, asks))
    touch = model.touch()
    assert book.crossed == (touch is not None and touch > 0)
    assert book.locked == (touch == 0)
    assert (book.bidCount, book.askCount) == (len(model.bids.levels), len(model.asks.levels))
    bids, asks = model.top_texts(25)
    assert book.checksum_kraken() == kraken_checksum(bids, asks)
    assert book.checksum_okx() == okx_checksum(bids, asks)
    for side, texts in (("buy", bids), ("sell", asks)):
        for price, size in texts[:3]:
            assert book.volume_at(side, price) == float(size)


@pytest.mark.parametrize("kind", ["usual", "long", "small", "wide"])
@pytest.mark.parametrize("depth", [0, 1, 10, 100])
def test_random_updates(kind, depth):
    seed = random.randrange(2**32)
    print(f"seed {seed}, kind {kind}, depth {depth}")
    rng = random.Random(seed)
    for _ in range(max(ROUNDS // 20, 1)):
        book, model, prices = OrderBook("kraken", "btc/usd", depth), BookModel(depth), Prices(rng, kind)
        for number in range(20):
            snapshot = number == 0 or rng.random() < 0.05
            most = rng.choice([0, 1, 3, 30, 300])
            bids, asks = (levels(rng, prices, side, rng.randint(0, most)) for side in (0, 1))
            (book.apply_snapshot if snapshot else book.apply)(bids, asks)
            model.apply(bids, asks, snapshot=snapshot)
            check(book, model, rng)
        assert book.counters == model.counters


@pytest.mark.parametrize("shape", ["best", "worst", "anywhere"])
def test_a_deep_book_stays_sorted(shape):
    seed = random.randrange(2**32)
    print(f"seed {seed}, shape {shape}")
    rng = random.Random(seed)
    book, model = OrderBook("binance", "btc/usdt"), BookModel()
    start = [(f"{price}.00", "1") for price in range(20_000, 15_000, -1)]
    book.apply_snapshot(start, [])
    model.apply(start, [], snapshot=True)
    for _ in range(100):
        centre = {"best": 20_000, "worst": 15_000, "anywhere": rng.randrange(15_000, 20_000)}[shape]
        bids = [(f"{centre + rng.gauss(0, 20):.2f}", rng.choice(["0", "2"])) for _ in range(rng.randrange(40))]
        bids += [(f"{price}.0", "0.0") for price in rng.sample(range(15_000, 20_000), 5)]
        book.apply(bids, [])
        model.apply(bids, [], snapshot=False)
        assert book.top_texts(10_000) == model.top_texts(10_000)
    assert book.counters == model.counters
