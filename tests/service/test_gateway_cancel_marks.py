"""`cancel_all` overtakes the orders that were sent before it: the gateway must not place those after it."""

import asyncio
import itertools
import random
import time
from pathlib import Path

import pytest

from hftpy.common import CurrencyPair, OrderStatus
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.ipc.command import encode_frame
from hftpy.service import cancel_marks
from hftpy.service.cancel_marks import CancelMarks

PAIR, OTHER = CurrencyPair("btc/usd"), CurrencyPair("eth/usd")
LOW = {"symbol": "btc/usd", "side": "buy", "amount": "0.001", "price": "1000"}  # rests for ever


class Orders:
    """Hands a gateway the commands of strategies in whatever order, as its socket would."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.counter = itertools.count(1)

    def make(self, kind="place_order", sender="mm1", payload=None, age_s=0.0):
        now_us = int((time.time() - age_s) * 1e6)
        number = next(self.counter)
        payload = payload or (dict(LOW) if kind == "place_order" else {"symbol": None, "strategy": None})
        return IPCCommand(f"{sender}_{now_us}_{number}", sender, "kraken_gateway", kind, payload, now_us)

    def take(self, *commands):
        for command in commands:
            self.gateway.ipc_command._dispatcher.take(encode_frame(command, "b")[1])

    def of(self, command):
        found = [order for order in self.gateway.orders if order.commandId == command.command_id]
        return found[0] if found else None


async def settled(eventually, orders, *commands):
    """Every order has been placed or refused; returns their states."""
    await eventually(lambda: all((o := orders.of(c)) is not None and o.status != OrderStatus.NONE for c in commands))
    return [orders.of(command).status for command in commands]


@pytest.mark.parametrize("kind", ["cancel_all", "halt"])
async def test_what_was_sent_before_is_refused_and_what_was_sent_after_goes(world, eventually, kind):
    gateway, mm1 = await world.both()
    orders = Orders(gateway)
    before, cancel, after = orders.make(), orders.make(kind), orders.make()
    orders.take(cancel, after, before)
    assert await settled(eventually, orders, before, after) == [OrderStatus.FAILED, OrderStatus.NEW]
    assert orders.of(before).reason == "it was sent before a cancel_all or halt that has come"
    assert gateway.counters["orders_overtaken"] == gateway.counters["orders_rejected"] == 1
    assert len(world.open_orders()) == 1
    # The strategy is told.
    await eventually(lambda: [o for o in mm1.orders if o.commandId == before.command_id])
    # A cancel_all that was sent earlier and comes later takes nothing back.
    late, early = orders.make(), orders.make()
    orders.take(orders.make(kind), cancel, late)
    assert await settled(eventually, orders, late) == [OrderStatus.FAILED]
    orders.take(early)
    assert await settled(eventually, orders, early) == [OrderStatus.FAILED]
    assert gateway.counters["orders_overtaken"] == 3


async def test_each_strategy_and_symbol_by_itself(world, eventually):
    gateway, _, _ = await world.both("mm1", "mm2")
    orders = Orders(gateway)
    mine, others = orders.make(), orders.make(sender="mm2")
    orders.take(orders.make("cancel_all", payload={"symbol": "eth/usd", "strategy": None}))
    orders.take(others, mine)
    assert await settled(eventually, orders, mine, others) == [OrderStatus.NEW] * 2
    mine = orders.make()
    orders.take(orders.make("cancel_all", payload={"symbol": "btc/usd", "strategy": None}), mine)
    assert await settled(eventually, orders, mine) == [OrderStatus.FAILED]
    others = orders.make(sender="mm2")
    orders.take(others)
    assert await settled(eventually, orders, others) == [OrderStatus.NEW]


async def test_of_an_operator_what_had_been_sent_when_it_came(world, eventually):
    gateway, _, _ = await world.both("mm1", "mm2")
    orders = Orders(gateway)
    before, others = orders.make(age_s=0.5), orders.make(sender="mm2", age_s=0.5)
    payload = {"symbol": None, "strategy": "mm1"}
    orders.take(orders.make("cancel_all", "operator", payload, age_s=1.0), before, others)
    assert await settled(eventually, orders, before, others) == [OrderStatus.FAILED, OrderStatus.NEW]
    after = orders.make()
    orders.take(after)
    assert await settled(eventually, orders, after) == [OrderStatus.NEW]


async def test_the_next_gateway_knows(world, eventually):
    gateway, _ = await world.both()
    orders = Orders(gateway)
    before, cancel = orders.make(), orders.make("cancel_all")
    orders.take(cancel)
    await world.kill(gateway)
    gateway = await world.gateway()
    await eventually(lambda: min(gateway.status()["joined"].values()) >= 1)
    orders.gateway, after = gateway, orders.make()
    orders.take(before, after)
    assert await settled(eventually, orders, before, after) == [OrderStatus.FAILED, OrderStatus.NEW]


async def test_many_orders_and_a_cancel_all_behind_them_at_once(world, eventually):
    """On real sockets: more orders than may be on their way, so that cancel_all leaves before the last of them."""
    gateway, mm1 = await world.both()
    assert await mm1.ipc_command.ready("kraken_gateway", 20)
    handles = [await mm1.place_order(**LOW) for _ in range(400)]
    await mm1.cancel_all()
    behind = await mm1.place_order(**LOW)
    async with asyncio.timeout(60):
        ends = [(await handle.done()).status for handle in handles]
    assert set(ends) <= {OrderStatus.CANCELED, OrderStatus.FAILED}
    await eventually(lambda: behind.status == OrderStatus.NEW)
    assert [order.book.client_order_id for order in world.open_orders()] == [behind.client_order_id]
    assert gateway.counters["orders_overtaken"] == ends.count(OrderStatus.FAILED) > 0
    assert gateway.counters["orders_sent"] <= 401 - gateway.counters["orders_overtaken"]


async def test_cancel_all_with_odd_fields(world, eventually):
    gateway, mm1 = await world.both()
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    orders = Orders(gateway)
    for strategy in (7, ["mm1"], "a b", "x" * 10_000, {"mm1": 1}):
        orders.take(orders.make("cancel_all", payload={"symbol": None, "strategy": strategy}))
    await eventually(lambda: gateway.ipc_command.stats["failed"] == 5)
    assert handle.is_live and len(gateway._cancel_marks) == 0
    # A timestamp in ns is wrong, and no reason not to cancel.
    cancel = orders.make("cancel_all")
    cancel.timestamp = time.time_ns()
    orders.take(cancel)
    assert (await asyncio.wait_for(handle.done(), 10)).status == OrderStatus.CANCELED


def command(sender, sent_us, counter=0, name=None):
    return IPCCommand(name or f"{sender}_{sent_us}_{counter}", sender, "kraken_gateway", "x", {}, sent_us)


def test_marks_against_a_model(tmp_path: Path) -> None:
    """Any order of arrival, any lives: an order is refused exactly when it was sent before one that has come."""
    for seed in range(20):
        print("seed", seed)
        chance = random.Random(seed)
        path = tmp_path / f"{seed}.cancels"
        marks = CancelMarks(path)
        base = time.time_ns() // 1000 - 1_000_000
        sent = []
        for strategy in ("mm1", "mm2"):
            made, counter = base, 0
            for _ in range(40):
                if chance.random() < 0.1:
                    counter, made = 0, made + 1  # a new life
                made += chance.choice([0, 0, 1, 50])
                counter += 1
                sent.append((strategy, made, counter, chance.choice([None, PAIR, OTHER]), chance.random() < 0.3))
        chance.shuffle(sent)
        came: list[tuple[str, int, int, CurrencyPair | None]] = []
        for strategy, made, counter, symbol, is_cancel in sent:
            if is_cancel:
                marks.add(command(strategy, made, counter), strategy, symbol)
                came.append((strategy, made, counter, symbol))
                continue
            pair = symbol or PAIR
            wanted = any(
                strategy == one and (made, counter) < (at, number) and of in (None, pair)
                for one, at, number, of in came
            )
            assert marks.covers(command(strategy, made, counter), pair) == wanted
            if chance.random() < 0.2:
                marks = CancelMarks(path)  # the next life


def test_marks_of_ids_without_numbers(tmp_path: Path) -> None:
    marks = CancelMarks(tmp_path / "c")
    marks.add(command("mm1", 5, name="mine"), "mm1", None)
    assert marks.covers(command("mm1", 5, name="other"), PAIR)
    assert marks.covers(command("mm1", 4, name="other"), PAIR)
    assert not marks.covers(command("mm1", 6, name="other"), PAIR)


def test_marks_are_bounded_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = CancelMarks(tmp_path / "c")
    for number in range(3 * cancel_marks.MAX_MARKS):
        marks.add(command("operator", 5, number), f"mm{number}", None)
    assert len(marks) <= cancel_marks.MAX_MARKS
    assert marks.covers(command(f"mm{number}", 5), PAIR)
    assert (tmp_path / "c").stat().st_size < 200 * cancel_marks.MAX_MARKS
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + int((cancel_marks.KEEP_S + 1) * 1e9))
    assert not marks.covers(command(f"mm{number}", 5), PAIR)
    assert not CancelMarks(tmp_path / "c").covers(command(f"mm{number}", 5), PAIR)


def test_a_damaged_file_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c").write_text('[["mm1"')
    assert not CancelMarks(tmp_path / "c").covers(command("mm1", 5), PAIR)
    assert "may still be placed" in caplog.text


def test_a_folder_that_cannot_be_written_does_not_keep_from_cancelling(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    marks = CancelMarks(tmp_path / "c" / "d")
    (tmp_path / "c").symlink_to(tmp_path / "file")
    marks.add(command("mm1", 5, 2), "mm1", None)
    assert marks.covers(command("mm1", 5, 1), PAIR) and "will not know it" in caplog.text


async def test_ids_never_go_back_where_the_clock_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = IPCCommandSystem("mm1", root)
    real = time.time_ns
    first = system.send_command("b", "go", {})
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3_600_000_000_000)
    second = system.send_command("b", "go", {})
    times = [tuple(map(int, command_id.split("_")[1:])) for command_id in (first, second)]
    assert times == sorted(times) and times[0][0] <= times[1][0]
    await system.stop()
