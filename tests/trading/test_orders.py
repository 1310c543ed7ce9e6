"""The order table: a superset of the venue, never taken back by late messages; positions from fills."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from hftpy.common import CurrencyPair, Exchange, MyOrder, MyTrade, OrderStatus, Side
from hftpy.trading import orders
from hftpy.trading.ids import LENGTHS, TAG_LENGTH, client_order_id, sender_tag
from hftpy.trading.orders import OrderTable
from hftpy.trading.positions import PositionBook

PAIR = CurrencyPair("btc/usd")


def order(client_id: str = "c1", **fields: object) -> MyOrder:
    return MyOrder(
        exchange=Exchange.KRAKEN, symbol=PAIR, clientOrderId=client_id, side=Side.BUY, amount=Decimal(1),
        **{"strategy": "mm1", "commandId": "mm1_1_1", **fields},
    )  # fmt: skip


def trade(trade_id: str, side: Side, price: str, amount: str, **fields: object) -> MyTrade:
    return MyTrade(
        exchange=Exchange.KRAKEN, symbol=PAIR, tradeId=trade_id, orderId="O1", side=side, price=Decimal(price),
        amount=Decimal(amount), **{"strategy": "mm1", **fields},
    )  # fmt: skip


def test_an_order_is_live_before_the_venue_answers_and_taken_once():
    table = OrderTable()
    assert table.add(order()) is True
    assert table.add(order()) is False
    assert [o.status for o in table.live()] == [OrderStatus.NONE]


def test_the_venues_word_keeps_who_placed_the_order():
    table = OrderTable()
    table.add(order())
    update = MyOrder(
        exchange=Exchange.KRAKEN, symbol=PAIR, clientOrderId="c1", orderId="O1", status=OrderStatus.PARTIAL_FILLED,
        filled=Decimal("0.4"), avgPrice=Decimal(100), timestamp=5,
    )  # fmt: skip
    changed = table.on_venue_order(update)
    assert changed is not None
    assert (changed.strategy, changed.commandId, changed.filled, changed.amount) == (
        "mm1",
        "mm1_1_1",
        Decimal("0.4"),
        1,
    )
    assert table.find(order_id="O1") is table.find(client_order_id="c1")


@pytest.mark.parametrize(
    ("before", "late", "after"),
    [
        (OrderStatus.FILLED, OrderStatus.NEW, OrderStatus.FILLED),
        (OrderStatus.CANCELED, OrderStatus.PARTIAL_FILLED, OrderStatus.CANCELED),
        (OrderStatus.PARTIAL_FILLED, OrderStatus.NEW, OrderStatus.PARTIAL_FILLED),
        (OrderStatus.NEW, OrderStatus.UNKNOWN, OrderStatus.NEW),
        (OrderStatus.UNKNOWN, OrderStatus.NEW, OrderStatus.NEW),
        (OrderStatus.CLOSED, OrderStatus.FILLED, OrderStatus.FILLED),
        (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.FILLED),
    ],
)
def test_a_late_message_never_takes_an_order_back(before, late, after):
    table = OrderTable()
    table.add(order())
    table.update("c1", status=before)
    table.update("c1", status=late)
    assert table.find("c1").status == after


def test_an_order_of_somebody_else_enters_without_a_strategy():
    table = OrderTable()
    found = table.on_venue_order(order("", orderId="O9", strategy="", commandId="", status=OrderStatus.NEW))
    assert (found.clientOrderId, found.strategy) == ("O9", "")
    assert len(table.live()) == 1


def test_only_acknowledged_orders_that_the_venue_does_not_list_are_asked_about():
    table = OrderTable()
    for name, order_id in (("a", "OA"), ("b", "OB"), ("c", "")):
        table.add(order(name))
        if order_id:
            table.update(name, orderId=order_id, status=OrderStatus.NEW)
    listed = [order("a", orderId="OA", status=OrderStatus.NEW)]
    assert [o.clientOrderId for o in table.missing_from(listed)] == ["b"]


def test_a_fill_counts_once_and_carries_its_strategy():
    table = OrderTable()
    table.add(order())
    table.update("c1", orderId="O1")
    fill = trade("T1", Side.BUY, "100", "1", strategy="")
    assert table.on_venue_trade(fill).strategy == "mm1"
    assert table.on_venue_trade(fill) is None


def test_client_order_ids_fit_the_venue_and_do_not_change():
    for exchange, length in LENGTHS.items():
        made = {client_order_id(f"mm1_{n}_1", exchange) for n in range(2000)}
        assert len(made) == 2000
        assert {len(one) for one in made} == {length}
    assert client_order_id("mm1_1_1", Exchange.KRAKEN) == client_order_id("mm1_1_1", Exchange.KRAKEN)


def test_positions_realise_profit_at_the_average_price():
    book = PositionBook()
    book.on_trade(trade("1", Side.BUY, "100", "2"))
    book.on_trade(trade("2", Side.BUY, "110", "2"))
    position = book.on_trade(trade("3", Side.SELL, "120", "1", fee=Decimal("0.5"), feeAsset="usd"))
    assert (position.amount, position.avgPrice, position.realizedPnl) == (3, 105, Decimal("14.5"))
    position = book.on_trade(trade("4", Side.SELL, "100", "5"))
    assert (position.amount, position.avgPrice, position.realizedPnl) == (-2, 100, Decimal("-0.5"))


def test_positions_balance_for_any_sequence_of_fills():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    book, cash, net = PositionBook(), Fraction(0), Fraction(0)
    for number in range(300):
        side = rng.choice((Side.BUY, Side.SELL))
        price, amount = Decimal(rng.randrange(1, 1000)), Decimal(rng.randrange(1, 50))
        position = book.on_trade(trade(str(number), side, str(price), str(amount)))
        sign = 1 if side == Side.BUY else -1
        net += sign * Fraction(amount)
        cash -= sign * Fraction(amount) * Fraction(price)
        # What was paid, against what is held at its average price and what was realised.
        value = Fraction(position.amount) * Fraction(position.avgPrice) + cash
        assert Fraction(position.amount) == net
        assert abs(value - Fraction(position.realizedPnl)) < Fraction(1, 10**15)


@pytest.mark.parametrize("ended", [OrderStatus.FAILED, OrderStatus.CLOSED])
def test_an_end_that_was_concluded_yields_to_the_venues_word(ended):
    table = OrderTable()
    table.add(order())
    table.update("c1", status=ended, reason="not known to the venue when asked")
    assert table.live() == []
    found = table.on_venue_order(order(orderId="O1", status=OrderStatus.NEW, strategy=""))
    assert (found.status, found.reason, found.strategy) == (OrderStatus.NEW, "", "mm1")
    assert len(table.live()) == 1
    assert table.on_venue_order(order(orderId="O1", status=OrderStatus.CANCELED)).status == OrderStatus.CANCELED
    assert table.on_venue_order(order(orderId="O1", status=OrderStatus.NEW)) is None


def test_a_status_that_may_not_follow_leaves_its_reason_behind():
    table = OrderTable()
    table.add(order())
    table.update("c1", status=OrderStatus.NEW)
    assert table.update("c1", status=OrderStatus.UNKNOWN, reason="no answer") is None
    assert table.find("c1").reason == ""


def test_orders_and_fills_from_before_know_their_strategy_by_the_client_order_id():
    mine, other = (client_order_id(f"{name}_5_1", Exchange.KRAKEN) for name in ("mm1", "mm_2"))
    tags = {sender_tag(name): name for name in ("mm1", "mm_2")}
    table = OrderTable(lambda client_id: tags.get(client_id[:TAG_LENGTH], ""))
    found = [table.on_venue_order(order(name, orderId=name, strategy="")) for name in (mine, other, "by-hand")]
    assert [one.strategy for one in found] == ["mm1", "mm_2", ""]
    unknown = client_order_id("mm1_5_2", Exchange.KRAKEN)
    fill = trade("T1", Side.BUY, "1", "1", clientOrderId=unknown, strategy="")
    assert table.on_venue_trade(fill).strategy == "mm1"


def test_ended_orders_are_forgotten_in_time_and_live_ones_never(monkeypatch):
    monkeypatch.setattr(orders, "KEEP_DONE", 3)
    table = OrderTable()
    table.add(order("live", orderId="OL"))
    for number in range(10):
        table.add(order(f"c{number}"))
        table.update(f"c{number}", orderId=f"O{number}", status=OrderStatus.FILLED)
        table.on_venue_trade(trade(f"T{number}", Side.BUY, "1", "1"))
    assert [one.clientOrderId for one in table] == ["live", "c7", "c8", "c9"]
    assert table.find(order_id="O0") is None
    assert (len(table._by_order_id), len(table._trades)) == (4, 3)
