"""Orders from strategy to venue and back, on real sockets: none doubled, none lost, none shown wrongly."""

import asyncio
import json
import time
from decimal import Decimal

import pytest

from hftpy.common import CurrencyPair, Exchange, OrderStatus, Side
from hftpy.errors import AddressInUseError, ConfigError
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.ipc.command import encode_frame
from hftpy.service import GatewayService, ordering
from hftpy.service import gateway as gateway_module
from hftpy.trading.ids import client_order_id

PAIR = CurrencyPair("btc/usd")
LOW = {"symbol": "btc/usd", "side": "buy", "amount": "0.001", "price": "1000"}  # rests for ever
MARKET = {"symbol": "btc/usd", "side": "buy", "amount": "0.002", "order_type": "market"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(gateway_module, "ASK_AGAIN_S", 0.05)
    monkeypatch.setattr(gateway_module, "ASK_TIMES", 3)


def id_of(order):
    return order.clientOrderId


def fill(world, handle, amount="0.001"):
    """The market meets an order that rests far away from it."""
    book = world.venue.market.state(PAIR).book
    order = book.get(handle.order.orderId)
    world.desk.take_fills(PAIR, [book._fill(order, order.price, Decimal(amount), maker=True, taker_side=Side.SELL)])


def intercept(world, monkeypatch, *, placed, times=1):
    """The venue cuts the connection on the next orders, which it takes or never sees."""
    private = world.venue.front("kraken").private
    take, left = private._add_order, [times]

    def cut(connection, *arguments):
        if left[0]:
            left[0] -= 1
            world.venue.front("kraken").abort_all()
            if not placed:
                return
        take(connection, *arguments)

    monkeypatch.setattr(private, "_add_order", cut)


async def test_place_and_cancel(world, eventually):
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**LOW)
    assert handle.status == OrderStatus.NONE
    await eventually(lambda: handle.status == OrderStatus.NEW)
    (at_venue,) = world.open_orders()
    assert at_venue.book.order_id == handle.order.orderId
    assert at_venue.book.client_order_id == handle.client_order_id
    assert (handle.order.strategy, handle.order.commandId) == ("mm1", handle.command_id)
    assert gateway.status()["orders"] == {"new": 1}
    await mm1.cancel_order(handle)
    order = await asyncio.wait_for(handle.done(), 10)
    assert order.status == OrderStatus.CANCELED
    assert not world.open_orders()
    statuses = [order.status for order in mm1.orders]
    assert statuses[0] == OrderStatus.NONE
    assert statuses[-1] == OrderStatus.CANCELED
    assert not mm1._desk.handles


async def test_fill_makes_trades_and_a_position(world, eventually):
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**MARKET)
    order = await asyncio.wait_for(handle.done(), 10)
    assert (order.status, order.filled) == (OrderStatus.FILLED, Decimal("0.002"))
    await eventually(lambda: sum(trade.amount for trade in mm1.trades) == Decimal("0.002"))
    assert {(trade.strategy, trade.commandId) for trade in mm1.trades} == {("mm1", handle.command_id)}
    position = gateway.positions.get("mm1", PAIR)
    assert position.amount == Decimal("0.002")
    assert gateway.status()["positions"][0]["amount"] in ("0.002", "0.00200000")
    json.dumps(gateway.status())


async def test_rejected_order_says_why(world):
    _, mm1 = await world.both()
    handle = await mm1.place_order(symbol="btc/usd", side="buy", amount=1000, price=50_000)
    order = await asyncio.wait_for(handle.done(), 10)
    assert order.status == OrderStatus.FAILED
    assert "Insufficient funds" in order.reason


async def test_amount_and_price_are_quantised_never_for_the_worse(world, eventually):
    gateway, mm1 = await world.both()
    instrument = gateway.instruments[PAIR]
    buy = await mm1.place_order(symbol="btc/usd", side="buy", amount="0.0010000099", price="1000.19")
    sell = await mm1.place_order(symbol="btc/usd", side="sell", amount=0.1 + 0.2, price="90000.11")
    await eventually(lambda: buy.status == sell.status == OrderStatus.NEW)
    assert buy.order.price <= Decimal("1000.19") < buy.order.price + instrument.tick_size
    assert sell.order.price >= Decimal("90000.11") > sell.order.price - instrument.tick_size
    assert (buy.order.amount, sell.order.amount) == (Decimal("0.00100000"), Decimal("0.3"))
    assert sorted(order.book.price for order in world.open_orders()) == [buy.order.price, sell.order.price]
    tiny = await mm1.place_order(symbol="btc/usd", side="buy", amount="0.000000001", price=1000)
    assert "amount must be at least" in (await asyncio.wait_for(tiny.done(), 10)).reason
    cheap = await mm1.place_order(symbol="btc/usd", side="buy", amount=1, price="0.0001")
    assert "price must be at least" in (await asyncio.wait_for(cheap.done(), 10)).reason
    unlisted = await mm1.place_order(symbol="abc/usd", side="buy", amount=1, price=1)
    assert "does not list" in (await asyncio.wait_for(unlisted.done(), 10)).reason


async def test_cut_right_after_sending_and_the_order_is_there(world, eventually, monkeypatch):
    gateway, mm1 = await world.both()
    intercept(world, monkeypatch, placed=True)
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: OrderStatus.UNKNOWN in [order.status for order in mm1.orders])
    await eventually(lambda: handle.status == OrderStatus.NEW)
    assert handle.order.reason == ""
    assert [order.book.order_id for order in world.open_orders()] == [handle.order.orderId]
    assert gateway.counters["orders_unknown"] == 1
    assert len(gateway.orders) == 1
    await mm1.cancel_order(handle)
    assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED


async def test_cut_right_after_sending_and_the_order_is_not_there(world, monkeypatch):
    _, mm1 = await world.both()
    intercept(world, monkeypatch, placed=False)
    handle = await mm1.place_order(**LOW)
    order = await asyncio.wait_for(handle.done(), 20)
    assert order.status == OrderStatus.FAILED
    assert order.reason == "not known to the venue when asked"
    assert OrderStatus.UNKNOWN in [order.status for order in mm1.orders]
    assert not world.open_orders()


async def test_a_lost_market_order_is_found_filled_and_counted_once(world, eventually, monkeypatch):
    gateway, mm1 = await world.both()
    intercept(world, monkeypatch, placed=True)
    handle = await mm1.place_order(**MARKET)
    assert (await asyncio.wait_for(handle.done(), 20)).status == OrderStatus.FILLED
    await eventually(lambda: sum(trade.amount for trade in mm1.trades) == Decimal("0.002"))
    assert gateway.positions.get("mm1", PAIR).amount == Decimal("0.002")


async def test_orders_that_are_gone_after_a_reconnect_are_closed(world, eventually):
    gateway, mm1 = await world.both()
    handles = [await mm1.place_order(**LOW) for _ in range(2)]
    await eventually(lambda: all(handle.status == OrderStatus.NEW for handle in handles))
    await world.venue._restart(0.1)  # it forgets all orders
    for handle in handles:
        order = await asyncio.wait_for(handle.done(), 20)
        assert (order.status, order.reason) == (OrderStatus.CLOSED, "not known to the venue when asked")
    assert not gateway.orders.live()


async def test_what_happens_while_disconnected_is_told_once(world, eventually):
    gateway, mm1 = await world.both()
    kept, cancelled, filled = [await mm1.place_order(**LOW) for _ in range(3)]
    await eventually(lambda: all(h.status == OrderStatus.NEW for h in (kept, cancelled, filled)))
    (owner,) = world.desk.accounts
    # Cut, and change orders before anybody is connected again.
    world.venue.front("kraken").abort_all()
    world.desk.deliver(world.desk.cancel(owner, cancelled.order.orderId))
    fill(world, filled)
    assert (await asyncio.wait_for(cancelled.done(), 20)).status == OrderStatus.CANCELED
    assert (await asyncio.wait_for(filled.done(), 20)).status == OrderStatus.FILLED
    await eventually(lambda: mm1.trades)
    world.venue.front("kraken").abort_all()
    await eventually(lambda: gateway.counters["reconnects"] >= 2)
    probe = await mm1.place_order(**LOW)
    await eventually(lambda: probe.status == OrderStatus.NEW)
    assert kept.status == OrderStatus.NEW
    assert [trade.amount for trade in mm1.trades] == [Decimal("0.001")]
    assert gateway.positions.get("mm1", PAIR).amount == Decimal("0.001")


async def test_cancel_all_is_for_ones_own_and_one_symbol(world, eventually):
    _, mm1, mm2 = await world.both("mm1", "mm2")
    mine = [await mm1.place_order(**LOW) for _ in range(3)]
    other = await mm2.place_order(**LOW)
    await eventually(lambda: all(h.status == OrderStatus.NEW for h in (*mine, other)))
    await mm1.cancel_all("eth/usd")
    await mm1.cancel_order(mine[0])
    await asyncio.wait_for(mine[0].done(), 10)
    assert mine[1].is_live
    assert mine[2].is_live
    await mm1.cancel_all()
    for handle in mine[1:]:
        assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED
    assert other.status == OrderStatus.NEW
    assert {order.strategy for order in mm1.orders} == {"mm1"}
    assert {order.strategy for order in mm2.orders} == {"mm2"}


async def test_another_strategys_order_cannot_be_cancelled(world, eventually):
    gateway, mm1, mm2 = await world.both("mm1", "mm2")
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    await mm2.cancel_order(handle)
    await eventually(lambda: gateway.counters["cancels_failed"] == 1)
    assert handle.is_live
    assert gateway.counters["cancels_sent"] == 0


async def test_cancel_right_behind_place(world, eventually):
    _, mm1 = await world.both()
    handles = []
    for _ in range(10):
        handles.append(await mm1.place_order(**LOW))
        await mm1.cancel_order(handles[-1])
    for handle in handles:
        assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED
    assert not world.open_orders()


async def test_a_cancel_that_is_lost_is_sent_again(world, eventually, monkeypatch):
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    private = world.venue.front("kraken").private
    take, lost = private._cancel_order, []

    def lose(connection, *arguments):
        if lost:
            take(connection, *arguments)
        else:
            lost.append(1)
            connection.abort()

    monkeypatch.setattr(private, "_cancel_order", lose)
    await mm1.cancel_order(handle)
    assert (await asyncio.wait_for(handle.done(), 20)).status == OrderStatus.CANCELED
    assert gateway.counters["cancels_sent"] == 2


BAD = [
    ({}, "symbol is missing"),
    ({**LOW, "symbol": 7}, "symbol"),
    ({**LOW, "symbol": ""}, ""),
    ({**LOW, "side": "both"}, "Side must be"),
    ({**LOW, "side": None}, ""),
    ({**LOW, "side": "unknown"}, "side must be buy or sell"),
    ({**LOW, "amount": "many"}, "amount must be a number"),
    ({**LOW, "amount": -1}, "amount must be above 0"),
    ({**LOW, "amount": "1e400000"}, "amount must have at most"),
    ({**LOW, "amount": [1]}, "amount must be a number"),
    ({**LOW, "price": None}, "a limit order's price was None"),
    ({**LOW, "price": "nan"}, "price must be above 0"),
    ({**LOW, "order_type": "stop"}, "OrderType must be"),
    ({**LOW, "order_type": "market"}, "a market order's price"),
    ({**LOW, "post_only": 1}, "post_only must be true or false"),
]


async def test_bad_payloads_are_answered_and_the_gateway_lives_on(world, eventually):
    gateway, mm1 = await world.both()
    for payload, reason in BAD:
        seen = len(mm1.orders)
        command_id = mm1.ipc_command.send_command("kraken_gateway", "place_order", payload)
        await eventually(lambda seen=seen: len(mm1.orders) > seen)
        answer = mm1.orders[-1]
        assert (answer.status, answer.commandId) == (OrderStatus.FAILED, str(command_id))
        assert reason in answer.reason
    for command, payload in (
        ("cancel_order", {}),
        ("cancel_order", {"client_order_id": ["x"]}),
        ("cancel_all", {"symbol": 5}),
        ("query_order", {}),
        ("query_order", {"command_id": 5, **LOW}),
    ):
        mm1.ipc_command.send_command("kraken_gateway", command, payload)
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    assert gateway.counters["orders_rejected"] == len(BAD)
    assert gateway.counters["orders_sent"] == 1
    assert len(world.open_orders()) == 1


def frame_of(command_id, payload, sender, age_s=0.0, boot="b"):
    now_us = int((time.time() - age_s) * 1e6)
    return encode_frame(IPCCommand(command_id, sender, "kraken_gateway", "place_order", payload, now_us), boot)[1]


async def test_a_repeated_command_places_one_order(world, eventually):
    gateway, mm1 = await world.both()
    for boot in ("b1", "b1", "b2"):  # the last from a sender that says it was started anew
        gateway.ipc_command._dispatcher.take(frame_of("mm1_5_1", {**LOW, "post_only": False}, "mm1", boot=boot))
    await eventually(lambda: gateway.counters["orders_repeated"] == 1)
    await eventually(lambda: [o.status for o in mm1.orders if o.status == OrderStatus.NEW])
    (order,) = world.open_orders()
    assert order.book.client_order_id == client_order_id("mm1_5_1", Exchange.KRAKEN)


async def test_a_command_that_comes_late_is_refused(world, eventually):
    gateway, mm1 = await world.both()
    gateway.ipc_command._dispatcher.take(frame_of("mm1_5_1", LOW, "mm1", age_s=30))
    await eventually(lambda: mm1.orders)
    assert mm1.orders[0].status == OrderStatus.FAILED
    assert "old" in mm1.orders[0].reason
    assert not world.open_orders()


async def test_a_second_gateway_does_not_start(world):
    await world.gateway()
    connections = len(world.venue.front("kraken").connections)
    with pytest.raises(AddressInUseError):
        await world.start(GatewayService(world.gateway_config()))
    assert len(world.venue.front("kraken").connections) == connections


async def test_stopping_cancels_and_tells(world, eventually, monkeypatch):
    gateway, mm1 = await world.both()
    handles = [await mm1.place_order(**LOW) for _ in range(3)]
    await eventually(lambda: all(handle.status == OrderStatus.NEW for handle in handles))
    # The venue's private stream is later than its answers.
    desk, deliver = world.desk, world.desk.deliver
    monkeypatch.setattr(desk, "deliver", lambda events: asyncio.get_running_loop().call_later(0.3, deliver, events))
    handles.append(await mm1.place_order(**LOW))  # on its way
    await eventually(lambda: len(gateway.orders) == 4)
    await world.stop(gateway)
    assert not world.open_orders()
    for handle in handles:
        assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED


async def test_stopping_may_leave_orders(world, eventually):
    gateway = await world.gateway(params={"cancel_on_stop": False})
    mm1 = await world.strategy()
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: len(world.open_orders()) == 1)
    await world.stop(gateway)
    assert len(world.open_orders()) == 1
    assert handle.is_live


async def test_a_new_gateway_knows_whose_the_open_orders_are(world, eventually, monkeypatch):
    gateway, mm1, mm2 = await world.both("mm1", "mm2")
    handle, filled = await mm1.place_order(**LOW), await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == filled.status == OrderStatus.NEW)
    await world.kill(gateway)
    assert len(world.open_orders()) == 2
    batches = []
    send = GatewayService._send_batch
    monkeypatch.setattr(
        GatewayService, "_send_batch", lambda self: (batches.append(set(map(id_of, self.orders.live()))), send(self))
    )
    gateway = await world.gateway()
    await eventually(lambda: min(gateway.status()["joined"].values()) >= 2)
    # The first list after the start is whole: nothing that is open seems to have ended.
    assert batches[0] == {handle.client_order_id, filled.client_order_id}
    assert {order.strategy for order in gateway.orders.live()} == {"mm1"}
    assert handle.is_live
    fill(world, filled)
    await eventually(lambda: mm1.trades)
    assert (await asyncio.wait_for(filled.done(), 10)).status == OrderStatus.FILLED
    assert not mm2.orders
    await mm1.cancel_order(handle)
    assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED
    assert not world.open_orders()


async def test_a_strategy_learns_what_it_missed_while_there_was_no_gateway(world, eventually, monkeypatch):
    monkeypatch.setattr(ordering, "ORPHAN_AFTER_S", 0.0)
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    await world.kill(gateway)
    (owner,) = world.desk.accounts
    world.desk.deliver(world.desk.cancel(owner, handle.order.orderId))
    await world.gateway()
    assert (await asyncio.wait_for(handle.done(), 20)).status == OrderStatus.CANCELED


async def test_orders_wait_for_the_gateway_to_know_the_venue(world, eventually, monkeypatch):
    monkeypatch.setattr(gateway_module, "MAX_AGE_S", 1.0)
    config = world.gateway_config()
    gateway = GatewayService(config)
    known = asyncio.Event()

    async def learn() -> None:
        await known.wait()
        await GatewayService._learn_instruments(gateway)

    gateway._learn_instruments = learn
    await world.start(gateway)
    mm1 = await world.strategy()
    await eventually(lambda: min(gateway.status()["joined"].values()) >= 1)
    late, cancelled = await mm1.place_order(**LOW), await mm1.place_order(**LOW)
    await mm1.cancel_order(cancelled)
    assert (await asyncio.wait_for(cancelled.done(), 10)).reason == "cancelled before it was sent"
    order = await asyncio.wait_for(late.done(), 10)
    assert (order.status, order.reason) == (
        OrderStatus.FAILED, "the gateway is not ready: the venue's instruments are not known",
    )  # fmt: skip
    assert world.desk.orders_placed == 0
    good = await mm1.place_order(**LOW)
    await eventually(lambda: len(gateway.orders.live()) == 1)
    known.set()
    await eventually(lambda: good.status == OrderStatus.NEW)


async def test_set_up_says_what_a_gateway_lacks(world):
    for setting, text in (
        ({"ws_apis": []}, "needs ws_apis"),
        ({"apis": []}, "needs apis of kraken"),
        ({"streams": []}, "needs a stream of kraken with my_order, my_order_batch, my_trade"),
        ({"ipc_command_publisher": "other"}, "must be kraken_gateway"),
    ):
        with pytest.raises(ConfigError, match=text):
            await world.start(GatewayService(world.gateway_config(**setting)))


async def test_the_operator_cancels_for_a_strategy_that_died(world, eventually):
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    await gateway.ipc_command.connect_to_process("operator")
    operator = IPCCommandSystem("operator")
    await operator.start()
    try:
        operator.send_command("kraken_gateway", "cancel_all", {"symbol": None, "strategy": "mm1"})
        assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED
    finally:
        await operator.stop()
