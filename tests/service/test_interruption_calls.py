"""Interruption over many calls: what a round, hook, timer or handler leaves untaken; blocks that follow each other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hftpy.common import Exchange, MyOrder, Snapshot, Ticker
from hftpy.errors import Interrupted
from hftpy.ipc import IPCCommand, IPCCommandSystem
from hftpy.service import ServiceBase, parse_section
from hftpy.service.interrupts import Interrupts

LONG = 900.0


def config(name="s", **setting):
    setting = {"ipc_command_publisher": name, "ipc_command_subscribers": ["operator"], **setting}
    return parse_section(f"test.{name}", {"class_name": "x:Y", "setting": setting}, Path("."))


def command(number=1) -> IPCCommand:
    return IPCCommand(f"operator_1_{number}", "operator", "s", "go", {"n": number}, 1)


async def ticks(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


class Kept(ServiceBase):
    def __init__(self, config):
        super().__init__(config)
        self.events = []
        self.handled = []
        self.go = asyncio.Event()

    def on_setup(self):
        self.register_interrupt("go", lambda command: self.handled.append(command.payload["n"]))


@pytest.fixture
async def run(root: Path, eventually) -> AsyncIterator:
    tasks = []

    async def start(service):
        tasks.append((service, asyncio.create_task(service.run())))
        await eventually(lambda: service.state in ("running", "paused"))
        return service

    yield start
    for service, task in tasks:
        service.request_stop()
        async with asyncio.timeout(20):
            await task


@pytest.fixture
async def operator(root: Path) -> AsyncIterator[IPCCommandSystem]:
    system = IPCCommandSystem("operator")
    await system.start()
    yield system
    await system.stop()


# Rounds.


class Obeys(Kept):
    async def next(self):
        left = await self.sleep(LONG)
        self.events.append(left.command.payload["n"])


async def test_each_command_reaches_the_sleep_of_a_round_also_right_after_the_last(run, operator, eventually):
    service = await run(Obeys(config()))
    await operator.ready("s", 20)
    await eventually(lambda: service._interrupts.waiting == 1)
    for number in range(300):
        operator.send_command("s", "go", {"n": number})
        async with asyncio.timeout(20):
            while not service.events or service.events[-1] != number:
                await asyncio.sleep(0)  # so that the next is sent before the round has ended
    assert service.events == service.handled == [*range(300)]


async def test_commands_that_come_at_once_are_taken_by_one_round_after_the_other(run, operator, eventually):
    service = await run(Obeys(config()))
    await operator.ready("s", 20)
    await eventually(lambda: service._interrupts.waiting == 1)
    for number in range(20):
        operator.send_command("s", "go", {"n": number})
    await eventually(lambda: len(service.events) == 20)
    assert service.events == service.handled == [*range(20)]
    interrupts = service.status()["interrupts"]
    assert (interrupts["delivered"], interrupts["dropped"]) == (20, 0)


async def test_what_came_before_a_round_without_a_point_is_not_for_a_later_one(run, eventually):
    class Sometimes(Kept):
        async def next(self):
            self.events.append("round")
            if len(self.events) == 1:
                await self.sleep(LONG)
            elif len(self.events) == 2:
                await asyncio.sleep(0)
            else:
                self.events.append(await self.sleep(LONG))

    service = await run(Sometimes(config()))
    await eventually(lambda: service._interrupts.waiting == 1)
    assert service.interrupt("go") == service.interrupt("go") == 1
    await eventually(lambda: len(service.events) == 3)
    await asyncio.sleep(0.05)
    assert service.events == ["round"] * 3
    assert service.status()["interrupts"]["delivered"] == 2


# Timers, hooks, handlers.


async def test_an_interrupt_that_a_timer_did_not_come_to_is_not_for_its_next_time(run, eventually):
    class Timed(Kept):
        async def task_work(self):
            left = await self.sleep(LONG if not self.events else 0.001)
            self.events.append(left.command and left.command.payload["n"])

    service = await run(Timed(config(tasks={"work": {"interval": 0.05}})))
    await eventually(lambda: service._interrupts.waiting == 1)
    for number in (1, 2, 3):
        service.interrupt("go", {"n": number})
    await eventually(lambda: len(service.events) >= 2)
    assert service.events[:2] == [1, None]
    assert service.status()["interrupts"]["dropped"] == 2


async def test_an_interrupt_that_a_handler_did_not_come_to_is_not_for_the_next_command(run, operator, eventually):
    class Handles(Kept):
        def on_setup(self):
            super().on_setup()
            self.ipc_command.register_handler("wait", self.on_wait)

        async def on_wait(self, command):
            left = await self.sleep(LONG if not self.events else 0.001)
            self.events.append(left.command and left.command.payload["n"])

    service = await run(Handles(config()))
    await operator.ready("s", 20)
    operator.send_command("s", "wait")
    await eventually(lambda: service._interrupts.waiting == 1)
    for number in (1, 2, 3):
        service.interrupt("go", {"n": number})
    await eventually(lambda: len(service.events) == 1)
    operator.send_command("s", "wait")
    await eventually(lambda: len(service.events) == 2)
    assert service.events == [1, None]


@pytest.mark.parametrize("queue", ["ticker", "my_order", "book"])
async def test_an_interrupt_that_a_hook_did_not_come_to_is_not_for_the_next_event(run, eventually, queue):
    class Hooked(Kept):
        async def on_ticker(self, _):
            left = await self.sleep(LONG if not self.events else 0.001)
            self.events.append(left.command and left.command.payload["n"])

        on_my_order = on_book = on_ticker

    def item():
        match queue:
            case "ticker":
                return Ticker(exchange=Exchange.KRAKEN, symbol="btc/usd", bidPrice=1.0, askPrice=2.0)
            case "book":
                return Snapshot(exchange=Exchange.KRAKEN, symbol="btc/usd")
        return MyOrder(exchange=Exchange.KRAKEN, symbol="btc/usd", clientOrderId="1")

    service = await run(Hooked(config()))
    getattr(service, f"{queue}_queue").put_nowait(item())
    await eventually(lambda: service._interrupts.waiting == 1)
    for number in (1, 2):
        service.interrupt("go", {"n": number})
    await eventually(lambda: len(service.events) == 1)
    getattr(service, f"{queue}_queue").put_nowait(item())
    await eventually(lambda: len(service.events) == 2)
    assert service.events == [1, None]


# What runs already when an interrupt is found waiting.


@pytest.fixture
def points():
    return Interrupts("s")


async def test_a_task_that_meets_a_kept_interrupt_is_cancelled_and_has_cleaned_up(points):
    seen = []

    async def other():
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def work():
        seen.append((await points.sleep(LONG)).command.payload["n"])
        running = asyncio.create_task(other())
        await_first = asyncio.create_task(asyncio.sleep(0))
        await await_first
        try:
            await points.run(running)
        except Interrupted as interrupted:
            seen.append(interrupted.command.payload["n"])
        return running

    task = asyncio.create_task(work())
    await ticks(2)
    points.interrupt(command(1))
    points.interrupt(command(2))
    running = await task
    assert seen == [1, "cleaned up", 2] and running.cancelled() and task.cancelling() == 0


async def test_what_has_come_already_is_not_lost_to_a_kept_interrupt(points):
    async def work():
        await points.sleep(LONG)
        came = asyncio.get_running_loop().create_future()
        came.set_result("came")
        return await points.run(came), (await points.sleep(LONG)).command.payload["n"]

    task = asyncio.create_task(work())
    await ticks(2)
    points.interrupt(command(1))
    points.interrupt(command(2))
    assert await task == ("came", 2)


@pytest.mark.parametrize("wrong", ["1", None, [], float("nan"), -1])
async def test_a_sleep_of_no_number_is_refused(points, wrong):
    with pytest.raises(ValueError, match="seconds must be at least 0, was"):
        await points.sleep(wrong)


# Blocks that follow each other without a wait between them.


async def test_an_interrupt_comes_between_two_uninterruptible_blocks(points):
    legs = []

    async def trade():
        for _ in range(50):
            with points.mask():
                legs.append("first")
                await asyncio.sleep(0)
                legs.append("second")

    async def work():
        with pytest.raises(Interrupted):
            await points.run(trade())
        return len(legs)

    task = asyncio.create_task(work())
    await ticks(4)
    points.interrupt(command())
    assert await task < 20
    assert legs == ["first", "second"] * (len(legs) // 2)
    assert task.cancelling() == 0 and points.waiting == 0 and not points._due


@pytest.mark.parametrize("way", ["next", "timer"])
@pytest.mark.parametrize("do", ["stop", "pause"])
async def test_a_stop_or_pause_comes_between_two_blocks_and_cuts_neither_block_nor_clean_up(
    run, root, eventually, way, do
):
    if (way, do) == ("timer", "pause"):
        pytest.skip("a pause ends no timer")

    class Pairs(Kept):
        async def trade(self):
            try:
                while True:
                    with self.uninterruptible():
                        self.events.append("first")
                        await asyncio.sleep(0.005)
                        self.events.append("second")
            finally:
                with self.uninterruptible():
                    await asyncio.sleep(0.05)
                    self.events.append("cleaned up")

        def on_stop(self):
            self.events.append("on_stop")

        def on_pause(self):
            self.events.append("on_pause")

        next = trade if way == "next" else lambda self: True
        task_work = trade

    tasks = {"tasks": {"work": {"interval": 1.0}}} if way == "timer" else {}
    service = await run(Pairs(config(**tasks)))
    await eventually(lambda: len(service.events) > 3)
    if do == "stop":
        service.request_stop()
        await eventually(lambda: service.state == "stopped")
    else:
        service.pause()
        await eventually(lambda: "on_pause" in service.events)
    told = service.events
    assert told[-2:] == ["cleaned up", f"on_{do}"]
    assert told[:-2] == ["first", "second"] * ((len(told) - 2) // 2)
    assert service.counters["errors"] == 0 and service.stuck_tasks == []


async def test_the_clean_up_after_an_uninterruptible_block_is_not_cut_by_the_stop(run, eventually):
    class Cleans(Kept):
        async def task_work(self):
            with self.uninterruptible():
                await self.go.wait()
            try:
                await asyncio.sleep(LONG)
            finally:
                await asyncio.sleep(0.05)
                self.events.append("cleaned up")

        next = task_work

        def on_stop(self):
            self.events.append("on_stop")

    service = await run(Cleans(config(tasks={"work": {"interval": 1.0}})))
    await eventually(lambda: service._interrupts.waiting == 2)
    service.request_stop()
    await ticks()
    service.go.set()
    await eventually(lambda: service.state == "stopped")
    assert service.events == ["cleaned up", "cleaned up", "on_stop"]
    assert service.counters["errors"] == 0


async def test_a_pause_while_on_start_waits_is_told_once(run, eventually):
    class Starts(Kept):
        async def on_start(self):
            await self.go.wait()

        async def next(self):
            self.events.append("round")
            await self.sleep(LONG)

        def on_pause(self):
            self.events.append("on_pause")

    service = await run(Starts(config()))
    service.pause()
    await eventually(lambda: service.events)
    service.go.set()
    await eventually(lambda: service._rounds_task is not None)
    await ticks(30)
    assert service.events == ["on_pause"]
    service.resume()
    await eventually(lambda: service.events == ["on_pause", "round"])


async def test_an_interrupt_does_not_cut_the_clean_up_of_a_pause(run, eventually):
    class Cleans(Kept):
        async def work(self):
            try:
                await asyncio.sleep(LONG)
            finally:
                for _ in range(20):
                    await asyncio.sleep(0)
                self.events.append("cleaned up")

        async def next(self):
            try:
                await self.interruptible(self.work())
            except Interrupted:
                self.events.append("interrupted")

        def on_pause(self):
            self.events.append("on_pause")

    service = await run(Cleans(config()))
    await eventually(lambda: service._interrupts.waiting == 1)
    service.pause()
    await ticks(5)
    assert service.interrupt("go") == 1
    await eventually(lambda: "on_pause" in service.events)
    assert service.events == ["cleaned up", "on_pause"]
    assert service.status()["interrupts"] == {"delivered": 1, "swallowed": 0, "dropped": 0, "waiting": 0}


async def test_a_pause_right_after_a_resume_lets_no_round_begin(run, eventually):
    service = await run(Obeys(config()))
    service.pause()
    await eventually(lambda: (service.status()["next"] or {}).get("state") == "held")
    before = service.status()["next"]  # its first round had begun before the pause, or not
    service._rounds.let_go()  # as resume does, when on_resume has ended
    service._rounds.hold(command())
    await ticks()
    assert service.status()["next"] == before
