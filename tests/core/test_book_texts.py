"""What a book gives back are the texts that it was given, whatever their shape."""

import random
from decimal import Decimal

import pytest

from hftcore.book import OrderBook


def text_of(rng: random.Random) -> str:
    """A number as a venue could write it: of any length, mostly plain, with zeros at its end, or with an exponent."""
    whole = str(rng.randrange(10 ** rng.randint(1, 17))) if rng.random() < 0.7 else "0"
    places = "".join(rng.choice("0123456789") for _ in range(rng.randint(0, 17)))
    zeros = "0" * rng.choice((0, 0, 1, 2, 5, 8, 9))
    text = whole + (f".{places}{zeros}" if places + zeros else "")
    return text + rng.choice(("e-3", "E5", "e0")) if rng.random() < 0.1 else text


def test_texts_come_back_whatever_their_shape() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(60):
        book = OrderBook("binance", "btc/usdt")
        model: dict[Decimal, tuple[str, str]] = {}
        book.apply_snapshot(bids=[], asks=[])
        for _ in range(8):
            update = [(text_of(rng), text_of(rng)) for _ in range(rng.randint(1, 40))]
            update += [(price, "0.00") for price, _ in rng.sample(list(model.values()), len(model) // 8)]
            if rng.random() < 0.7:
                update.sort(key=lambda level: float(level[0]))
            book.apply(bids=[], asks=update)
            for price, volume in update:
                if Decimal(volume):
                    model[Decimal(price)] = price, volume
                else:
                    model.pop(Decimal(price), None)
            assert book.top_texts(len(model) + 1)[1] == [model[price] for price in sorted(model)]


@pytest.mark.parametrize(
    "text",
    [
        "0.00000000000001", "999999999999999", "0.99999999999999", "123456789012345", "1234567.12345678",
        "12345678.00000000", "99999999999999.0", "99999999999999.00000000", "9999999999999.900000000",
        "100000000000000.00", "1000000000000000.0", "0.000000000000001", "0.1000000000000000000000",
        "9007199254740993", "4503599627370497.5", "1.0", "1", "10", "100.10",
    ],
)  # fmt: skip
def test_a_text_at_the_edge_of_what_is_plain(text: str) -> None:
    book = OrderBook("kraken", "btc/usd")
    book.apply_snapshot(bids=[(text, text)], asks=[])
    assert book.top_texts() == ([(text, text)], [])
    # The same number in other digits is the same level.
    book.apply(bids=[(text + ("0" if "." in text else ".0"), "0")], asks=[])
    assert book.bidCount == 0
