"""How hooks are called: by the ring, in order, with a policy per channel, and fair to everything else on the loop."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from hftpy.common import Channel, Exchange, Gap, Ticker, Trade
from hftpy.errors import ConfigError, HftError
from hftpy.service import ServiceBase
from hftpy.service.config import parse_section
from hftpy.service.inbox import BATCH, MarketInbox


def ticker(seq: int, symbol: str = "btc/usd", **fields) -> Ticker:
    return Ticker(exchange="kraken", symbol=symbol, seq=seq, **fields)


def gap(number: int, channel: Channel = Channel.TICKER) -> Gap:
    return Gap(
        exchange=Exchange.KRAKEN, channel=channel, symbol=None, reason="test", lost=number, source="venue", timestamp=0
    )


def config(**setting):
    return parse_section("test.s", {"class_name": "x:Y", "setting": setting}, Path("."))


class Seen(ServiceBase):
    def __init__(self, made) -> None:
        super().__init__(made)
        self.seen = []

    def on_ticker(self, ticker):
        self.seen.append(ticker.seq)

    def on_trade(self, trade):
        self.seen.append(trade.seq)

    def on_gap(self, gap):
        self.seen.append((gap.source, gap.lost))


class SeenAsync(Seen):
    async def on_ticker(self, ticker):
        await asyncio.sleep(0)
        self.seen.append(ticker.seq)


class SeenMixed(Seen):
    def on_ticker(self, ticker):
        if ticker.seq % 3:
            self.seen.append(ticker.seq)
            return True  # what is no awaitable is ignored
        return self._later(ticker.seq)

    async def _later(self, seq):
        await asyncio.sleep(0)
        self.seen.append(seq)


@contextlib.asynccontextmanager
async def running(service, eventually):
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.state == "running" or task.done())
    try:
        yield task
    finally:
        service.request_stop()
        with contextlib.suppress(HftError):
            await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("kind", [Seen, SeenAsync, SeenMixed])
async def test_every_kind_of_hook_keeps_the_order_with_events(root, eventually, kind):
    service = kind(config())
    expected = []
    async with running(service, eventually):
        for seq in range(1, 1001):
            service.ticker_queue.put_nowait(ticker(seq))
            expected.append(seq)
            if seq % 100 == 7:
                service.event_queue.put_nowait(gap(seq))
                expected.append(("venue", seq))
            if seq % 150 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: len(service.seen) == len(expected))
        assert service.seen == expected
        assert service.counters["tickers"] == 1000 and service.counters["errors"] == 0


@pytest.mark.parametrize("kind", [Seen, SeenAsync])
async def test_a_hook_that_fails_loses_nothing_but_its_own_item(root, eventually, kind, caplog):
    class Fails(kind):
        def on_ticker(self, ticker):
            if ticker.seq % 10 == 0:
                raise RuntimeError(f"no {ticker.seq}")
            return super().on_ticker(ticker)

    service = Fails(config())
    async with running(service, eventually):
        for seq in range(500):
            service.ticker_queue.put_nowait(ticker(seq))
        await eventually(lambda: service.counters["tickers"] == 500 and len(service.seen) == 450)
        assert service.seen == [seq for seq in range(500) if seq % 10]
        assert service.counters["errors"] == 50
        assert "on_ticker failed" in caplog.text


async def test_the_counter_is_exact_inside_the_hook_and_latency_is_measured(root, eventually):
    class Counts(Seen):
        def on_ticker(self, ticker):
            self.seen.append(self.counters["tickers"])

    service = Counts(config())
    async with running(service, eventually):
        for seq in range(300):
            now = time.time_ns()
            service.ticker_queue.put_nowait(ticker(seq, localTimeNs=now, exchangeTimeNs=now - 10**6))
        await eventually(lambda: len(service.seen) == 300)
        assert service.seen == list(range(1, 301))
        assert service.latency["receipt_to_callback"].count == service.latency["venue_to_receipt"].count == 300
        assert set(service.status()["latency"]) == {"receipt_to_callback", "venue_to_receipt"}


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_time_from_callback_to_command_is_that_of_commands_in_the_hook(root, eventually, is_async):
    class Cancels(ServiceBase):
        def on_ticker(self, ticker):
            if is_async:
                return self._cancel()
            return self._desk.cancel_all(None) and None

        async def _cancel(self):
            await asyncio.sleep(0)
            await self.cancel_all()

    service = Cancels(config(ipc_command_publisher="mm1", ipc_command_subscribers=["kraken_gateway"]))
    async with running(service, eventually):
        await service.cancel_all()
        for seq in range(20):
            service.ticker_queue.put_nowait(ticker(seq))
        await eventually(lambda: service.counters["tickers"] == 20)
        await service.cancel_all()
        assert service.latency["callback_to_command"].count == 20
        assert 0 <= service.latency["callback_to_command"].max_ns < 60 * 10**9
        assert service.hook_called_ns() == 0


async def test_a_hook_may_be_replaced_while_the_service_runs(root, eventually):
    service = Seen(config())
    async with running(service, eventually):
        service.ticker_queue.put_nowait(ticker(1))
        await eventually(lambda: service.seen == [1])
        other = []
        service.on_ticker = other.append
        service.ticker_queue.put_nowait(ticker(2))
        await eventually(lambda: len(other) == 1)
        assert [item.seq for item in other] == [2] and service.seen == [1]


@pytest.mark.parametrize("slow_s", [0.0, 0.001])
async def test_a_flood_starves_nobody(root, eventually, slow_s):
    turns, seen_between = 0, []

    class Busy(Seen):
        def on_ticker(self, ticker):
            super().on_ticker(ticker)
            if slow_s:
                time.sleep(slow_s)

    service = Busy(config())
    async with running(service, eventually):
        count = 200 if slow_s else 20_000
        for seq in range(count):
            service.ticker_queue.put_nowait(ticker(seq))
        while len(service.seen) < count:
            before = len(service.seen)
            await asyncio.sleep(0)
            turns += 1
            seen_between.append(len(service.seen) - before)
        assert max(seen_between) <= BATCH
        # A millisecond each: the loop has its turn long before a batch is full.
        assert turns >= (count // 20 if slow_s else count // BATCH)


async def test_conflated_tickers_keep_their_place_among_events(root, eventually):
    service = Seen(config(queues={"ticker": {"overflow": "conflate", "capacity": 8}}))
    async with running(service, eventually):
        ring = service.ticker_queue
        ring.put_nowait(ticker(1, "a/usd"))
        ring.put_nowait(ticker(2, "b/usd"))
        ring.put_nowait(ticker(3, "a/usd"))
        service.event_queue.put_nowait(gap(7))
        ring.put_nowait(ticker(4, "b/usd"))
        ring.put_nowait(ticker(5, "b/usd"))
        await eventually(lambda: len(service.seen) == 4)
        assert service.seen == [3, 2, ("venue", 7), 5]
        assert service.status()["queues"]["ticker"]["conflated"] == 2
        assert service.counters["gaps"] == 1  # what was superseded is not lost


async def test_what_is_refused_is_told_before_what_follows_the_hole(root, eventually):
    service = Seen(config(queues={"trade": {"overflow": "drop_newest", "capacity": 4}}))
    async with running(service, eventually):
        queue = service.trade_queue
        for seq in range(7):
            queue.put_nowait(Trade(exchange="kraken", symbol="btc/usd", seq=seq))
        await eventually(lambda: len(service.seen) == 5)
        queue.put_nowait(Trade(exchange="kraken", symbol="btc/usd", seq=7))
        await eventually(lambda: len(service.seen) == 6)
        told = service.seen.index(("ring", 3))
        assert told < service.seen.index(7)
        assert [seen for seen in service.seen if isinstance(seen, int)] == [0, 1, 2, 3, 7]
        assert service.counters["lost"] == 3


async def test_a_market_ring_that_halts_ends_the_service_after_telling(root, eventually, caplog):
    service = Seen(config(queues={"ticker": {"overflow": "halt", "capacity": 2}}))
    async with running(service, eventually) as task:
        service.ticker_queue.put_nowait(ticker(0))
        service.ticker_queue.put_nowait(ticker(1))
        for seq in (2, 3):
            with pytest.raises(asyncio.QueueFull):
                service.ticker_queue.put_nowait(ticker(seq))
        with pytest.raises(HftError, match="ticker_queue is full: the hooks are too slow, and its overflow is 'halt'"):
            await asyncio.wait_for(asyncio.shield(task), 10)
    assert service.state == "failed" and "halted" in caplog.text
    assert service.counters["lost"] in (0, 2)


async def test_what_gives_way_while_a_coroutine_hook_waits_is_told_at_its_place(eventually):
    seen = []
    go_on = asyncio.Event()

    async def deliver(item):
        seen.append(item.seq)
        if item.seq == 0:
            await go_on.wait()

    async def deliver_event(event):
        seen.append((event.source, event.lost))

    inbox = MarketInbox(Channel.TICKER, Ticker, 4, deliver, deliver_event)
    task = asyncio.create_task(inbox.run())
    inbox.ring.put_nowait(ticker(0))
    inbox.ring.put_nowait(ticker(1))
    await eventually(lambda: seen == [0])
    for seq in range(2, 10):
        inbox.ring.put_nowait(ticker(seq))
    go_on.set()
    await eventually(lambda: len(seen) == 7)
    assert seen == [0, 1, ("ring", 4), 6, 7, 8, 9]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_a_sync_hook_itself_makes_give_way_is_told_at_its_place(eventually):
    seen = []

    def deliver(item):
        seen.append(item.seq)
        if item.seq == 0:
            for seq in range(10, 16):
                inbox.ring.put_nowait(ticker(seq))

    async def deliver_event(event):
        seen.append((event.source, event.lost))

    inbox = MarketInbox(Channel.TICKER, Ticker, 4, deliver, deliver_event)
    task = asyncio.create_task(inbox.run())
    for seq in range(4):
        inbox.ring.put_nowait(ticker(seq))
    await eventually(lambda: len(seen) == 9)
    assert seen == [0, 1, 2, 3, ("ring", 2), 12, 13, 14, 15]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_somebody_else_takes_from_the_ring_is_no_loss(root, eventually):
    service = Seen(config())
    async with running(service, eventually):
        for seq in range(5):
            service.ticker_queue.put_nowait(ticker(seq))
        assert service.ticker_queue.get_nowait().seq == 0
        await eventually(lambda: len(service.seen) == 4)
        service.ticker_queue.put_nowait(ticker(9))
        await eventually(lambda: len(service.seen) == 5)
        assert service.seen == [1, 2, 3, 4, 9] and service.counters["gaps"] == 0


async def test_a_private_queue_takes_its_capacity_from_the_config(root):
    service = Seen(config(queues={"my_order": {"capacity": 4}, "my_trade": {"overflow": "halt"}}))
    assert service.status()["queues"]["my_order"] == {"waiting": 0, "dropped": 0, "capacity": 4}
    assert service.my_trade_queue.overflow == "halt"


@pytest.mark.parametrize(
    ("queues", "said"),
    [
        ({"tickers": {}}, r"test.s.setting.queues has an unknown key 'tickers': did you mean 'ticker'\?"),
        ({"ticker": {"size": 4}}, "test.s.setting.queues.ticker has an unknown key 'size'"),
        ({"ticker": {"overflow": "block"}}, "queues.ticker.overflow must be one of drop_oldest, .* was 'block'"),
        ({"trade": {"overflow": "conflate"}}, "queues.trade.overflow must be one of .* was 'conflate'"),
        ({"my_order": {"overflow": "drop_oldest"}}, "queues.my_order.overflow must be one of halt, was 'drop_oldest'"),
        ({"ticker": {"capacity": 6}}, "queues.ticker.capacity must be a power of two up to 4194304, was 6"),
        ({"ticker": {"capacity": 0}}, "queues.ticker.capacity must be a power of two .* was 0"),
        ({"ticker": {"capacity": 1 << 23}}, "queues.ticker.capacity must be a power of two .* was 8388608"),
        ({"ticker": {"capacity": "big"}}, "queues.ticker"),
        ({"ticker": None}, "queues"),
        ([], "queues"),
    ],
)
def test_a_wrong_queue_in_the_config_is_named(queues, said):
    with pytest.raises(ConfigError, match=said):
        config(queues=queues)
