"""The matching book against a slow model of its rules, and each rule by hand."""

import random
from decimal import Decimal

import pytest

from hftcore.enums import OrderStatus, Side
from hftpy.trading.matching import BookOrder, Fill, MatchingBook

D = Decimal
Row = tuple[str, Decimal, Decimal, bool]
SlowRow = tuple[str, int, int, bool]


def order(order_id: str, side: Side, amount: int, price: int | None, owner: str = "a", **more: object) -> BookOrder:
    return BookOrder(
        order_id=order_id, owner=owner, side=side, amount=D(amount), price=None if price is None else D(price), **more
    )  # type: ignore[arg-type]


def rows(fills: list[Fill]) -> list[Row]:
    return [(fill.order.order_id, fill.price, fill.amount, fill.maker) for fill in fills]


def test_better_price_first_then_earlier() -> None:
    book = MatchingBook()
    for name, price, owner in (("late", 10, "a"), ("worse", 11, "b"), ("later", 10, "c")):
        assert book.submit(order(name, Side.SELL, 2, price, owner)) == []
    fills = book.submit(order("taker", Side.BUY, 5, 11, "d"))
    assert [row[0] for row in rows(fills)] == ["taker", "late", "taker", "later", "taker", "worse"]
    assert fills[-1].order.remaining == 1 and book.best(Side.SELL) == (D(11), D(1))


def test_stands_behind_the_outside_size_at_its_price() -> None:
    book = MatchingBook()
    book.set_market([(D(10), D(5))], [(D(12), D(5))])
    book.submit(order("mine", Side.BUY, 2, 10))
    assert book.market_trade(Side.SELL, D(10), D(4)) == ([], D(4))
    fills, left = book.market_trade(Side.SELL, D(10), D(2))
    assert rows(fills) == [("mine", D(10), D(1), True)] and left == 1
    book.set_market([(D(10), D(9))], [(D(12), D(5))])
    fills, left = book.market_trade(Side.SELL, D(10), D(3))
    assert rows(fills) == [("mine", D(10), D(1), True)] and left == 2


def test_inside_the_spread_goes_first() -> None:
    book = MatchingBook()
    book.set_market([(D(10), D(5))], [(D(14), D(5))])
    book.submit(order("mine", Side.BUY, 2, 12))
    assert book.best(Side.BUY) == (D(12), D(2))
    fills, left = book.market_trade(Side.SELL, D(10), D(3))
    assert rows(fills) == [("mine", D(12), D(2), True)] and left == 1


def test_shrinking_size_moves_the_queue() -> None:
    book = MatchingBook()
    book.set_market([(D(10), D(5))], [])
    book.submit(order("mine", Side.BUY, 2, 10))
    book.set_market([(D(10), D(1))], [])
    book.set_market([(D(10), D(8))], [])
    fills, _ = book.market_trade(Side.SELL, D(10), D(2))
    assert rows(fills) == [("mine", D(10), D(1), True)]


def test_market_that_moves_through_an_order_fills_it_at_its_price() -> None:
    book = MatchingBook()
    book.submit(order("mine", Side.BUY, 5, 10))
    fills = book.set_market([(D(7), D(1))], [(D(8), D(2)), (D(9), D(1)), (D(11), D(9))])
    assert rows(fills) == [("mine", D(10), D(2), True), ("mine", D(10), D(1), True)]
    assert book.best(Side.SELL) == (D(11), D(9)) and book.best(Side.BUY) == (D(10), D(2))


def test_market_order_walks_the_ladder_and_the_rest_is_cancelled() -> None:
    book = MatchingBook()
    book.set_market([], [(D(10), D(1)), (D(11), D(2))])
    taker = order("taker", Side.BUY, 5, None)
    assert rows(book.submit(taker)) == [("taker", D(10), D(1), False), ("taker", D(11), D(2), False)]
    assert taker.status is OrderStatus.CANCELED and taker.filled == 3 and taker.cost == 32
    assert not book.has_orders


def test_immediate_or_cancel_and_post_only() -> None:
    book = MatchingBook()
    book.set_market([(D(9), D(1))], [(D(10), D(1))])
    ioc = order("ioc", Side.BUY, 3, 10, time_in_force="ioc")
    book.submit(ioc)
    assert ioc.status is OrderStatus.CANCELED and ioc.filled == 1
    book.set_market([(D(9), D(1))], [(D(10), D(1))])
    crossing, resting = order("p1", Side.BUY, 1, 10, post_only=True), order("p2", Side.BUY, 1, 9, post_only=True)
    assert book.submit(crossing) == [] and crossing.reason == "Post only order"
    assert book.submit(resting) == [] and resting.status is OrderStatus.NEW


def test_never_trades_with_itself() -> None:
    book = MatchingBook()
    book.submit(order("other", Side.SELL, 1, 10, "b"))
    book.submit(order("mine", Side.SELL, 1, 11, "a"))
    taker = order("taker", Side.BUY, 3, 12, "a")
    assert [row[0] for row in rows(book.submit(taker))] == ["taker", "other"]
    assert taker.status is OrderStatus.CANCELED and taker.reason == "Self trade prevention"
    assert [item.order_id for item in book.orders("a")] == ["mine"]


def test_cancel_and_clear() -> None:
    book = MatchingBook()
    book.submit(order("x", Side.BUY, 1, 10))
    cancelled = book.cancel("x")
    assert cancelled is not None and cancelled.status is OrderStatus.CANCELED and book.cancel("x") is None
    book.submit(order("y", Side.BUY, 1, 10))
    book.clear()
    assert not book.has_orders and book.best(Side.BUY) is None


@pytest.mark.parametrize(("amount", "price", "name"), [(0, 1, "amount"), (1, 0, "price")])
def test_refuses_nonsense(amount: int, price: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, was 0"):
        MatchingBook().submit(order("x", Side.BUY, amount, price))


def test_order_id_must_be_new() -> None:
    book = MatchingBook()
    book.submit(order("x", Side.BUY, 1, 10))
    with pytest.raises(ValueError, match="order id must be new, was 'x'"):
        book.submit(order("x", Side.BUY, 1, 10))


class SlowBook:
    """The same rules, one unit of size at a time, searching everything anew for each unit. Prices are integers."""

    def __init__(self) -> None:
        self.resting: list[dict[str, object]] = []  # in order of arrival
        self.market: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}

    def sign(self, side: Side) -> int:
        return -1 if side is Side.BUY else 1

    def outside(self, side: Side, price: int) -> int | None:
        ladder = self.market[side]
        if price in ladder:
            return ladder[price]
        worst = max(ladder, key=lambda level: self.sign(side) * level) if ladder else None
        if worst is None or self.sign(side) * price < self.sign(side) * worst:
            return 0
        return None

    def candidates(self, side: Side) -> list[dict]:  # type: ignore[type-arg]
        mine = [item for item in self.resting if item["side"] is side]
        return sorted(mine, key=lambda item: self.sign(side) * item["price"])  # stable: arrival breaks ties

    def submit(self, name: str, owner: str, side: Side, amount: int, price: int | None) -> list[SlowRow]:
        other = Side.SELL if side is Side.BUY else Side.BUY
        out: list[SlowRow] = []
        cancelled = False
        while amount:
            ladder = {level: size for level, size in self.market[other].items() if size}
            level = min(ladder, key=lambda item: self.sign(other) * item) if ladder else None
            best = self.candidates(other)
            maker = best[0] if best else None
            reach = [item for item in (level, maker["price"] if maker else None) if item is not None]
            if not reach:
                break
            touch = min(reach, key=lambda item: self.sign(other) * item)
            if price is not None and self.sign(other) * touch > self.sign(other) * price:
                break
            if maker and maker["price"] == touch and not (level == touch and maker["ahead"]):
                if maker["owner"] == owner:
                    cancelled = True
                    break
                out += [(name, touch, 1, False), (maker["name"], touch, 1, True)]
                maker["left"] -= 1
                if not maker["left"]:
                    self.resting.remove(maker)
            else:
                out.append((name, touch, 1, False))
                self.market[other][touch] -= 1
                if not self.market[other][touch]:
                    del self.market[other][touch]
                for item in best:
                    if item["price"] == touch and item["ahead"]:
                        item["ahead"] -= 1
            amount -= 1
        if amount and price is not None and not cancelled:
            item = {"name": name, "owner": owner, "side": side, "left": amount, "price": price}
            self.resting.append({**item, "ahead": self.outside(side, price)})
        return out

    def set_market(self, bids: dict[int, int], asks: dict[int, int]) -> list[SlowRow]:
        self.market = {Side.BUY: dict(bids), Side.SELL: dict(asks)}
        out: list[SlowRow] = []
        for side in (Side.BUY, Side.SELL):
            other = Side.SELL if side is Side.BUY else Side.BUY
            while self.market[other] and self.candidates(side):
                level = min(self.market[other], key=lambda item: self.sign(other) * item)
                maker = self.candidates(side)[0]
                if self.sign(side) * maker["price"] > self.sign(side) * level:
                    break
                out.append((maker["name"], maker["price"], 1, True))
                self.market[other][level] -= 1
                if not self.market[other][level]:
                    del self.market[other][level]
                maker["left"] -= 1
                if not maker["left"]:
                    self.resting.remove(maker)
        for item in self.resting:
            size = self.outside(item["side"], item["price"])
            if size is not None:
                item["ahead"] = size if item["ahead"] is None else min(item["ahead"], size)
        return out

    def market_trade(self, side: Side, price: int, size: int) -> list[SlowRow]:
        other = Side.SELL if side is Side.BUY else Side.BUY
        out: list[SlowRow] = []
        for _ in range(size):
            best = self.candidates(other)
            if not best or self.sign(other) * best[0]["price"] > self.sign(other) * price:
                break
            maker = best[0]
            if maker["price"] == price and maker["ahead"]:
                for item in best:
                    if item["price"] == price and item["ahead"]:
                        item["ahead"] -= 1
                continue
            out.append((maker["name"], maker["price"], 1, True))
            maker["left"] -= 1
            if not maker["left"]:
                self.resting.remove(maker)
        return out


def merged(fills: list[SlowRow]) -> dict[tuple[str, int, bool], int]:
    total: dict[tuple[str, int, bool], int] = {}
    for name, price, amount, maker in fills:
        total[name, int(price), maker] = total.get((name, int(price), maker), 0) + int(amount)
    return total


@pytest.mark.parametrize("seed", range(40))
def test_against_the_slow_model(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    book, slow = MatchingBook(), SlowBook()
    names = 0
    for _ in range(150):
        action = rng.random()
        side = rng.choice((Side.BUY, Side.SELL))
        if action < 0.5:
            names += 1
            price = None if rng.random() < 0.15 else rng.randint(95, 105)
            amount, owner = rng.randint(1, 9), rng.choice("abc")
            got = book.submit(order(f"o{names}", side, amount, price, owner))
            expected = slow.submit(f"o{names}", owner, side, amount, price)
        elif action < 0.6 and slow.resting:
            item = rng.choice(slow.resting)
            slow.resting.remove(item)
            assert book.cancel(str(item["name"])) is not None
            continue
        elif action < 0.85:
            bid = rng.randint(96, 103)
            ask = bid + rng.randint(1, 3)
            depth = rng.randint(0, 3)
            bids = {bid - n: rng.randint(1, 9) for n in range(depth)}
            asks = {ask + n: rng.randint(1, 9) for n in range(depth)}
            levels = [[(D(price), D(size)) for price, size in side.items()] for side in (bids, asks)]
            got, expected = book.set_market(*levels), slow.set_market(bids, asks)
        else:
            price, size = rng.randint(95, 105), rng.randint(1, 12)
            got, left = book.market_trade(side, D(price), D(size))
            expected = slow.market_trade(side, price, size)
            assert left == size - sum(fill.amount for fill in got)
        assert merged(rows(got)) == merged(expected)  # type: ignore[arg-type]
        state = {item.order_id: (item.remaining, item.ahead) for item in book.orders()}
        assert state == {item["name"]: (item["left"], item["ahead"]) for item in slow.resting}
