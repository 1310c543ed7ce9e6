"""Events keep their place between the messages, and what a full ring drops is told."""

import asyncio
import contextlib

import pytest

from hftpy.common import Channel, CurrencyPair, Exchange, Gap, MyOrder, Ticker
from hftpy.ipc import IPCPublisher
from hftpy.service import ServiceBase
from hftpy.service.config import parse_section
from hftpy.service.inbox import EventInlet, MarketInbox, OrderInlet


def ticker(seq: int) -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usd", seq=seq)


def gap(number: int, channel: Channel = Channel.TICKER) -> Gap:
    return Gap(
        exchange=Exchange.KRAKEN, channel=channel, symbol=None, reason="test", lost=number, source="venue", timestamp=0
    )


@pytest.fixture
async def inbox():
    seen: list[object] = []

    async def deliver(item: Ticker) -> None:
        seen.append(item.seq)

    async def deliver_event(event: Gap) -> None:
        seen.append((event.source, event.lost))

    made = MarketInbox(Channel.TICKER, Ticker, 8, deliver, deliver_event)
    made.seen = seen
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_an_event_stands_between_what_came_before_and_after_it(inbox, eventually):
    inbox.ring.put_nowait(ticker(1))
    inbox.ring.put_nowait(ticker(2))
    inbox.put_event(gap(7))
    inbox.ring.put_nowait(ticker(3))
    await eventually(lambda: len(inbox.seen) == 4)
    assert inbox.seen == [1, 2, ("venue", 7), 3]


async def test_an_event_alone_is_delivered(inbox, eventually):
    inbox.put_event(gap(1))
    await eventually(lambda: inbox.seen)
    assert inbox.seen == [("venue", 1)]


async def test_an_event_after_the_last_message_is_delivered(inbox, eventually):
    inbox.ring.put_nowait(ticker(1))
    inbox.put_event(gap(1))
    await eventually(lambda: len(inbox.seen) == 2)
    assert inbox.seen == [1, ("venue", 1)]


async def test_an_event_waits_while_a_hook_is_busy_with_an_earlier_message(eventually):
    seen: list[object] = []
    go_on = asyncio.Event()

    async def deliver(item: Ticker) -> None:
        seen.append(item.seq)
        await go_on.wait()

    async def deliver_event(event: Gap) -> None:
        seen.append("gap")

    inbox = MarketInbox(Channel.TICKER, Ticker, 8, deliver, deliver_event)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(inbox.run())
        inbox.ring.put_nowait(ticker(1))
        inbox.ring.put_nowait(ticker(2))
        await eventually(lambda: seen == [1])
        inbox.put_event(gap(1))
        await asyncio.sleep(0.01)
        assert seen == [1]
        go_on.set()
        await eventually(lambda: len(seen) == 3)
        running.cancel()
    assert seen == [1, 2, "gap"]


async def test_what_a_full_ring_drops_is_told_exactly(inbox, eventually):
    for seq in range(20):
        inbox.ring.put_nowait(ticker(seq))
    await eventually(lambda: len(inbox.seen) == 9)
    assert inbox.seen == [("ring", 12), *range(12, 20)]


async def test_events_go_to_the_inbox_of_their_channel(inbox, eventually):
    others: list[Gap] = []
    inlet = EventInlet({Channel.TICKER: inbox}, others.append)
    inlet.put_nowait(gap(1))
    inlet.put_nowait(gap(2, Channel.MY_ORDER))
    await eventually(lambda: inbox.seen)
    assert [event.lost for event in others] == [2]


def test_what_a_gateway_tells_of_other_strategies_goes_no_further():
    def order(strategy):
        return MyOrder(
            exchange=Exchange.KRAKEN, symbol=CurrencyPair("btc/usd"), clientOrderId=f"of {strategy}", strategy=strategy
        )

    queue = asyncio.Queue()
    inlet = OrderInlet(queue, lambda item: item.strategy == "mm1")
    for strategy in ("mm1", "mm2", ""):
        inlet.put_nowait(order(strategy))
    inlet.put_nowait([order("mm2"), order("mm1")])
    inlet.put_nowait([])
    assert [queue.get_nowait() for _ in range(queue.qsize())] == [order("mm1"), [order("mm1")], []]


async def test_a_service_filters_what_gateways_tell_and_not_its_own_streams(root, tmp_path, eventually):
    class MM(ServiceBase):
        def on_setup(self):
            self.seen = []

        def on_my_order(self, my_order):
            self.seen.append(my_order.clientOrderId)

        def on_my_order_batch(self, my_orders):
            self.seen.append([order.clientOrderId for order in my_orders])

    def order(strategy):
        return MyOrder(
            exchange=Exchange.KRAKEN, symbol=CurrencyPair("btc/usd"), clientOrderId=f"of {strategy}", strategy=strategy
        )

    setting = {"ipc_command_publisher": "mm1", "ipc_command_subscribers": ["kraken_gateway"]}
    service = MM(parse_section("service.mm", {"class_name": "MM", "setting": setting}, tmp_path))
    task = asyncio.create_task(service.run())
    publisher = IPCPublisher()
    publisher.open(Exchange.KRAKEN, Channel.MY_ORDER)
    publisher.open(Exchange.KRAKEN, Channel.MY_ORDER_BATCH)
    await eventually(lambda: publisher.subscriber_count(Exchange.KRAKEN, Channel.MY_ORDER) == 1)
    publisher.send_my_order(order("mm2"))
    publisher.send_my_order(order("mm1"))
    await eventually(lambda: service.seen == ["of mm1"])
    publisher.send_my_order_batch(Exchange.KRAKEN, [order("mm1"), order("mm2"), order("")])
    await eventually(lambda: service.seen == ["of mm1", ["of mm1"]])
    service.my_order_queue.put_nowait(order(""))  # as a stream of its own does
    service.my_order_batch_queue.put_nowait([order(""), order("mm2")])
    await eventually(lambda: len(service.seen) == 4)
    assert "of " in service.seen and ["of ", "of mm2"] in service.seen
    service.request_stop()
    await task
    publisher.close()
