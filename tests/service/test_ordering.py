"""The strategy's side of orders: handles, and what a batch repairs."""

import asyncio
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hftpy.common import CurrencyPair, Exchange, MyOrder, OrderStatus, OrderType
from hftpy.errors import ConfigError
from hftpy.service import ServiceBase, ordering, parse_section
from hftpy.service.intake import NOISE, quantise, to_decimal
from hftpy.trading.ids import client_order_id, sender_tag

GOOD = {
    "symbol": "BTC-USD", "side": "buy", "amount": 1, "price": 100, "order_type": "limit", "post_only": False,
    "exchange": None,
}  # fmt: skip


class Commands:
    """Keeps what is sent instead of sending it."""

    def __init__(self) -> None:
        self.sent = []

    def send_command(self, target, kind, payload):
        self.sent.append((target, kind, payload))
        return f"mm1_5_{len(self.sent)}"


@pytest.fixture
def service(root):
    setting = {"ipc_command_publisher": "mm1", "ipc_command_subscribers": ["kraken_gateway", "mm2"]}
    made = ServiceBase(parse_section("test.mm1", {"class_name": "x:Y", "setting": setting}, Path(".")))
    made._ipc_command = Commands()
    return made


@pytest.fixture
def desk(service):
    return service._desk


def state(handle, status, filled="0", **changes) -> MyOrder:
    return msgspec.structs.replace(handle.order, status=status, filled=Decimal(filled), **changes)


def test_what_is_sent(desk, service):
    handle = desk.place(**GOOD | {"amount": 1e-7, "price": "1e5"})
    assert service.ipc_command.sent == [
        (
            "kraken_gateway", "place_order",
            {
                "symbol": "btc/usd", "side": "buy", "amount": "0.0000001", "price": "100000", "order_type": "limit",
                "post_only": False,
            },
        )
    ]  # fmt: skip
    assert handle.client_order_id == client_order_id("mm1_5_1", Exchange.KRAKEN)
    assert handle.order.symbol == CurrencyPair("btc/usd")
    assert handle.client_order_id.startswith(sender_tag("mm1"))
    assert desk.handles == [handle]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"amount": 0}, "amount must be above 0, was 0"),
        ({"amount": -1}, "amount must be above 0"),
        ({"amount": float("nan")}, "amount must be above 0"),
        ({"amount": "inf"}, "amount must be above 0"),
        ({"amount": True}, "amount must be a number, was True"),
        ({"amount": None}, "amount must be a number"),
        ({"amount": "1e40"}, "amount must have at most"),
        ({"price": None}, "a limit order's price must be given"),
        ({"price": 0}, "price must be above 0"),
        ({"order_type": "market"}, "a market order's price must be None"),
        ({"order_type": "market", "price": None, "post_only": True}, "cannot be post_only"),
        ({"order_type": "stop"}, "OrderType must be one of"),
        ({"side": "long"}, "Side must be one of"),
        ({"side": "unknown"}, "side must be buy or sell"),
        ({"post_only": 1}, "post_only must be true or false, was 1"),
        ({"symbol": "btc"}, "btc"),
        ({"exchange": "okx"}, "no gateway of okx"),
        ({"exchange": "nowhere"}, "Exchange must be one of"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(desk, service, change, text):
    with pytest.raises(ValueError, match=text):
        desk.place(**GOOD | change)
    assert not service.ipc_command.sent
    assert not desk.handles


def test_a_service_without_a_gateway_says_so(root):
    made = ServiceBase(parse_section("test.mm1", {"class_name": "x:Y", "setting": {}}, Path(".")))
    with pytest.raises(ConfigError, match="the gateways in ipc_command_subscribers are none"):
        made._desk.place(**GOOD)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1, "0.1"), (1e-8, "0.00000001"), (Decimal("1E+3"), "1000"), ("1E3", "1000"), (5, "5"),
        (np.float64(0.3), "0.3"), (123456789.123456789, "123456789.12345679"),
    ],
)  # fmt: skip
def test_numbers_are_exactly_what_they_show(value, shown):
    assert f"{to_decimal('amount', value):f}" == shown


def test_quantising_forgives_the_noise_of_floats_and_nothing_more():
    tick = Decimal("0.1")
    assert quantise(Decimal(str(0.1 + 0.2)), tick, "ROUND_CEILING") == Decimal("0.3")
    assert quantise(Decimal(str(0.7 + 0.1)), tick, "ROUND_FLOOR") == Decimal("0.8")
    assert quantise(Decimal("0.31"), tick, "ROUND_CEILING") == Decimal("0.4")
    assert quantise(Decimal("0.39"), tick, "ROUND_FLOOR") == Decimal("0.3")
    assert quantise(Decimal("0.3") + tick * NOISE * 2, tick, "ROUND_CEILING") == Decimal("0.4")
    assert str(quantise(Decimal("1000"), tick, "ROUND_FLOOR")) == "1000.0"
    assert quantise(Decimal("12345678901234.12345678"), Decimal("0.00000001"), "ROUND_FLOOR") == Decimal(
        "12345678901234.12345678"
    )


async def test_a_handle_waits_for_a_change_and_for_the_end(desk):
    handle = desk.place(**GOOD)
    changed = [asyncio.create_task(handle.changed()) for _ in range(2)]
    done = asyncio.create_task(handle.done())
    await asyncio.sleep(0)
    desk.on_my_order(state(handle, OrderStatus.NEW))
    assert [order.status for order in await asyncio.gather(*changed)] == [OrderStatus.NEW] * 2
    assert not done.done()
    desk.on_my_order(state(handle, OrderStatus.FILLED, "1"))
    assert (await done).status == OrderStatus.FILLED
    assert not handle.is_live
    assert (await handle.done()).status == OrderStatus.FILLED
    assert not desk.handles


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ((OrderStatus.PARTIAL_FILLED, "0.5"), (OrderStatus.NEW, "0")),
        ((OrderStatus.PARTIAL_FILLED, "0.5"), (OrderStatus.PARTIAL_FILLED, "0.3")),
        ((OrderStatus.FILLED, "1"), (OrderStatus.NEW, "0")),
        ((OrderStatus.CANCELED, "0"), (OrderStatus.NEW, "0")),
    ],
)
def test_an_earlier_state_that_comes_late_changes_nothing(desk, now, late):
    handle = desk.place(**GOOD)
    desk.on_my_order(state(handle, *now))
    desk.on_my_order(state(handle, *late))
    assert (handle.status, str(handle.order.filled)) == now
    assert desk.on_my_order_batch([state(handle, *late)]) == []


def test_a_concluded_end_is_corrected_by_the_venues_word(desk):
    handle = desk.place(**GOOD)
    desk.on_my_order(state(handle, OrderStatus.FAILED))
    assert not desk.handles
    desk.on_my_order(state(handle, OrderStatus.NEW))
    assert desk.handles == [handle]
    desk.on_my_order(state(handle, OrderStatus.FILLED, "1"))
    assert handle.status == OrderStatus.FILLED


def test_ended_handles_are_not_kept(desk):
    for _ in range(100):
        handle = desk.place(**GOOD)
        desk.on_my_order(state(handle, OrderStatus.CANCELED))
    del handle
    assert len(desk._handles) == 0
    assert len(desk._live) == 0


def test_a_batch_repairs_what_was_missed(desk, service):
    acknowledged, part, same = (desk.place(**GOOD) for _ in range(3))
    desk.on_my_order(state(part, OrderStatus.PARTIAL_FILLED, "0.2"))
    desk.on_my_order(state(same, OrderStatus.NEW))
    somebody = MyOrder(exchange=Exchange.KRAKEN, symbol=CurrencyPair("btc/usd"), clientOrderId="x")
    sent = len(service.ipc_command.sent)
    changes = desk.on_my_order_batch(
        [
            state(acknowledged, OrderStatus.NEW),
            state(part, OrderStatus.PARTIAL_FILLED, "0.5"),
            state(same, OrderStatus.NEW),
            somebody,
        ]
    )
    assert [(order.clientOrderId, str(order.filled)) for order in changes] == [
        (acknowledged.client_order_id, "0"),
        (part.client_order_id, "0.5"),
    ]
    assert len(service.ipc_command.sent) == sent


def test_the_gateway_is_asked_about_orders_that_its_batch_leaves_out(desk, service, monkeypatch):
    handle = desk.place(**GOOD)
    assert desk.on_my_order_batch([]) == []
    assert len(service.ipc_command.sent) == 1  # too young: it may be on its way
    monkeypatch.setattr(ordering, "ORPHAN_AFTER_S", -1.0)
    assert desk.on_my_order_batch([]) == []
    target, kind, payload = service.ipc_command.sent[-1]
    assert (target, kind, payload["command_id"]) == ("kraken_gateway", "query_order", handle.command_id)
    assert payload["symbol"] == "btc/usd"
    assert handle.status == OrderStatus.NONE  # nothing is guessed
    assert handle.order.orderType == OrderType.LIMIT


async def test_an_order_that_never_arrived_ends_by_asking(world, eventually, monkeypatch):
    from hftpy.service import gateway as gateway_module

    monkeypatch.setattr(gateway_module, "ASK_AGAIN_S", 0.02)
    monkeypatch.setattr(gateway_module, "ASK_TIMES", 2)
    monkeypatch.setattr(ordering, "ORPHAN_AFTER_S", 0.0)
    gateway, mm1 = await world.both()
    send, mm1.ipc_command._publisher.send = mm1.ipc_command._publisher.send, lambda *arguments: None
    handle = await mm1.place_order(symbol="btc/usd", side="buy", amount=1, price=1000)
    mm1.ipc_command._publisher.send = send
    gateway._send_batch()
    order = await asyncio.wait_for(handle.done(), 10)
    assert (order.status, order.reason) == (OrderStatus.FAILED, "not known to the venue when asked")
    assert world.desk.orders_placed == 0


async def test_changes_that_were_lost_come_with_the_batch(world, eventually):
    gateway, mm1 = await world.both()
    publish, gateway.ipc_publisher.send_my_order = gateway.ipc_publisher.send_my_order, lambda order: None
    handle = await mm1.place_order(symbol="btc/usd", side="buy", amount=1, price=1000)
    await eventually(lambda: gateway.status()["orders"] == {"new": 1})
    gateway.ipc_publisher.send_my_order = publish
    assert handle.status == OrderStatus.NONE
    gateway._send_batch()
    await eventually(lambda: handle.status == OrderStatus.NEW)
    assert [order.status for order in mm1.orders] == [OrderStatus.NEW]
