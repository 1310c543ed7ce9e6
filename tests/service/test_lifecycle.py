"""Calls from threads, timers, and the order of starting and stopping."""

import asyncio
import concurrent.futures
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from hftpy.errors import AddressInUseError, ConfigError, TradingRefused
from hftpy.ipc import IPCCommandSystem, IPCPublisher
from hftpy.service import ServiceBase, SetupAborted, parse_section
from hftpy.service import background as background_module
from hftpy.service.tasks import Timer

LONG = 900.0


def stream(world) -> dict:
    return {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"), "reconnect_times": {"times": -1, "initial": 0.02, "max": 0.1},
    }  # fmt: skip


# run_once


async def add(number, other=0):
    await asyncio.sleep(0)
    return number + other, threading.current_thread() is threading.main_thread()


async def fail():
    raise KeyError("lost?")


async def in_thread(function, *args, **kwargs):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*args, **kwargs))


async def test_a_thread_gets_the_result_and_the_error_of_its_call(world):
    service = await world.start(ServiceBase(world.config("s")))
    assert await in_thread(lambda: service.run_once(add, 1, other=2).result(20)) == (3, True)
    assert await in_thread(lambda: service.run_once(len, "four").result(20)) == 4
    with pytest.raises(KeyError, match="lost"):
        await in_thread(lambda: service.run_once(fail).result(20))
    assert isinstance(await in_thread(lambda: service.run_once(fail).exception(20)), KeyError)
    assert service.counters["errors"] == 2  # told to the caller, and not lost if it does not ask


async def test_a_coroutine_awaits_its_call_and_cannot_block_the_loop_on_it(world):
    service = await world.start(ServiceBase(world.config("s")))
    assert await service.run_once(add, 4) == (4, True)
    call = service.run_once(add, 4)
    with pytest.raises(RuntimeError, match="await it"):
        call.result()
    assert await call == (4, True)
    assert call.result() == (4, True)
    with pytest.raises(KeyError):
        await service.run_once(fail)


async def test_a_call_that_was_cancelled_before_it_began_does_not_run(world, eventually):
    service = await world.start(ServiceBase(world.config("s")))
    ran = []
    call = service.run_once(ran.append, 1)
    assert call.cancel()
    await service.run_once(ran.append, 2)
    assert ran == [2]
    assert not service._calls._open


async def test_calls_that_the_stop_overtakes_are_told_so(world):
    service = await world.start(ServiceBase(world.config("s")))
    waiting = service.run_once(asyncio.sleep, LONG)
    gone = asyncio.create_task(asyncio.sleep(LONG))

    async def await_it():
        await gone

    cancelled = service.run_once(await_it)
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await world.stop(service)
    with pytest.raises(RuntimeError, match="s stopped before sleep had ended"):
        await waiting
    with pytest.raises(RuntimeError, match="has not stopped"):
        service.run_once(add, 1)


async def test_many_threads_at_once_while_the_service_stops_lose_no_answer(world):
    service = await world.start(ServiceBase(world.config("s")))
    outcomes: list[str] = []
    began = threading.Barrier(5)

    def caller():
        began.wait(20)
        while True:
            try:
                number, _ = service.run_once(add, 1).result(20)
                outcomes.append("result" if number == 1 else "wrong")
            except RuntimeError as error:
                outcomes.append("told" if "stopped" in str(error) else str(error))
                return
            except concurrent.futures.TimeoutError:
                outcomes.append("lost")
                return

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    await in_thread(began.wait, 20)
    await world.eventually(lambda: len(outcomes) > 100)
    await world.stop(service)
    await in_thread(lambda: [thread.join(30) for thread in threads])
    assert set(outcomes) == {"result", "told"}
    assert outcomes.count("told") == 4


# Timers


async def test_a_timer_tells_its_runs_and_what_it_missed(world, eventually):
    class Timed(ServiceBase):
        async def task_slow(self):
            await asyncio.sleep(0.05)

        def task_fails(self):
            raise RuntimeError("no")

    tasks = {"slow": {"interval": 0.01}, "fails": {"interval": LONG}}
    service = await world.start(Timed(world.config("s", tasks=tasks)))
    await eventually(lambda: service.status()["tasks"]["slow"]["runs"] >= 3)
    status = service.status()["tasks"]
    assert status["slow"]["overruns"] >= 2 * (status["slow"]["runs"] - 1)
    assert status["slow"]["last_s"] >= 0.04
    assert status["fails"]["runs"] == 1 and service.counters["errors"] == 1
    assert status["fails"]["running_s"] is None


async def test_the_schedule_of_a_timer_holds_and_missed_times_are_not_made_up(monkeypatch):
    """Against a clock of the test's own."""
    now = [100.0]
    monkeypatch.setattr("hftpy.service.tasks.time.monotonic", lambda: now[0])
    slept = []

    async def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr("hftpy.service.tasks.asyncio.sleep", sleep)
    timer = Timer("x", lambda: None, 10.0, 3.0)
    seen = []
    async for missed in timer.ticks():
        seen.append((now[0], missed))
        now[0] += [1.0, 9.5, 35.0, 0.0, 0.0][len(seen) - 1]  # how long the call takes
        if len(seen) == 5:
            break
    # What began at 123 lasts until 158: 133, 143 and 153 are missed.
    assert seen == [(103.0, 0), (113.0, 0), (123.0, 0), (163.0, 3), (173.0, 0)]
    assert timer.overruns == 3


@pytest.mark.parametrize("wrong", [(0, 0), (-1, 0), (float("inf"), 0), (float("nan"), 0), (1, -1), (1, float("inf"))])
def test_times_are_checked(wrong):
    tasks = {"x": {"interval": wrong[0], "delay": wrong[1]}}
    with pytest.raises(ConfigError, match="interval must be above 0 and delay at least 0"):
        parse_section("test.s", {"class_name": "x:Y", "setting": {"tasks": tasks}}, Path("."))


# Order


async def test_the_order_of_starting_and_stopping(world, eventually, monkeypatch):
    events = []

    def traced(owner, name, event):
        real = getattr(owner, name)

        def call(*args, **kwargs):
            events.append(event)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    class Ordered(ServiceBase):
        def on_setup(self):
            events.append("on_setup")
            for part in self.streams:
                traced(part, "start", "stream starts")
                traced(part, "stop", "stream stops")
            return True

        async def on_start(self):
            await eventually(lambda: "timer" in events)
            events.append("on_start")

        async def task_beat(self):
            events.append("timer")
            try:
                await asyncio.sleep(LONG)
            finally:
                events.append("timer ends")

        async def next(self):
            events.append("round")
            try:
                await asyncio.sleep(LONG)
            finally:
                events.append("round ends")

        async def on_stop(self):
            await asyncio.sleep(0)
            events.append("on_stop")

    traced(IPCCommandSystem, "start", "commands start")
    traced(IPCCommandSystem, "stop", "commands stop")
    traced(IPCPublisher, "open", "addresses")
    traced(IPCPublisher, "close", "publisher closes")
    setting = {
        "ipc_command_publisher": "s", "streams": [stream(world)], "ipc_publish": {"channels": ["ticker"]},
        "tasks": {"beat": {"interval": LONG}},
    }  # fmt: skip
    service = await world.start(Ordered(world.config("s", **setting)))
    await eventually(lambda: "round" in events)
    await world.stop(service)
    assert events[:7] == [
        "on_setup", "addresses", "commands start", "stream starts", "timer", "on_start", "round",
    ]  # fmt: skip
    assert set(events[7:9]) == {"timer ends", "round ends"}
    assert events[9:] == ["on_stop", "stream stops", "commands stop", "publisher closes"]


async def test_no_order_leaves_a_service_that_stops_but_from_on_stop(world, eventually):
    told = []

    class Trades(ServiceBase):
        async def order(self):
            try:
                await self.place_order(symbol="btc/usd", side="buy", amount=1, price=1)
            except (TradingRefused, ValueError) as error:
                told.append(str(error))

        async def on_stop(self):
            await asyncio.gather(self.order())  # a task of on_stop's own
            await self.run_once(self.order)

    service = await world.start(Trades(world.config("s", ipc_command_publisher="s")))
    await service.order()
    await world.stop(service)
    await service.order()
    no_gateway = "exchange must be given: the gateways in ipc_command_subscribers are none"
    assert told == [no_gateway] * 3 + ["s is stopped: place_order is refused"]


async def test_a_timer_in_an_uninterruptible_block_ends_it_before_on_stop(world):
    events, inside, go = [], asyncio.Event(), asyncio.Event()

    class Pair(ServiceBase):
        async def task_trade(self):
            with self.uninterruptible():
                inside.set()
                await go.wait()
                events.append("both legs")
            await asyncio.sleep(LONG)

        def on_stop(self):
            events.append("on_stop")

    service = await world.start(Pair(world.config("s", tasks={"trade": {"interval": LONG}})))
    await inside.wait()
    stopping = asyncio.create_task(world.stop(service))
    for _ in range(20):
        await asyncio.sleep(0)
    assert events == []
    go.set()
    await stopping
    assert events == ["both legs", "on_stop"]


async def test_an_uninterruptible_block_that_does_not_end_does_not_hold_up_the_stop_for_ever(
    world, monkeypatch, caplog
):
    monkeypatch.setattr("hftpy.service.control.STUCK_S", 0.05)
    monkeypatch.setattr(background_module, "STUCK_S", 1.0)
    inside = asyncio.Event()

    class Stuck(ServiceBase):
        async def next(self):
            with self.uninterruptible():
                inside.set()
                await asyncio.sleep(LONG)

    service = await world.start(Stuck(world.config("s")))
    await inside.wait()
    await world.stop(service)
    assert "uninterruptible for more than" in caplog.text
    assert service.stuck_tasks == []


# Aborting


def resources():
    gc.collect()
    return len(asyncio.all_tasks()), psutil.Process().num_fds(), threading.active_count()


@pytest.mark.parametrize("way", ["returns False", "raises", "config", "address", "cancelled"])
async def test_a_set_up_that_fails_leaves_nothing(world, root, way):
    class Aborts(ServiceBase):
        async def on_setup(self):
            self.ipc_command.register_handler("x", print)
            self.ipc_publisher.open(*next(iter(self._addresses())))
            await asyncio.sleep(0)
            if way == "raises":
                raise KeyError("no")
            if way == "cancelled":
                self.request_stop()
                await asyncio.sleep(LONG)
            return way != "returns False"

    rest_host = world.venue.rest_url("kraken")
    account = {"exchange": "kraken", "api_key": "k", "api_secret": "c2VjcmV0", "rest_host": rest_host}
    setting = {
        "ipc_command_publisher": "s", "ipc_command_subscribers": ["other", "kraken_gateway"],
        "apis": [account], "ws_apis": [{**account, "api_host": world.venue.ws_url("kraken")}],
        "streams": [stream(world)], "ipc_publish": {"channels": ["ticker"]},
        "ipc_subscribers": [{"exchange": "okx", "channel": "trade"}],
    }  # fmt: skip
    if way == "config":
        setting["tasks"] = {"missing": {"interval": 1.0}}
    other = IPCCommandSystem("s")
    if way == "address":
        await other.start()

    async def attempt():
        service = Aborts(world.config("s", **setting))
        expected = {"returns False": SetupAborted, "raises": KeyError, "config": ConfigError, "address": OSError}
        if way in expected:
            with pytest.raises(expected[way]):
                await service.run()
        else:
            await service.run()

    await attempt()  # what is made once per process
    before = resources()
    for _ in range(3):
        await attempt()
    await world.eventually(lambda: resources()[:2] == before[:2])
    assert resources()[2] <= before[2] + 1  # threads of the loop's executor are made as needed, and stay
    if way == "address":
        await other.stop()
    assert not [path for path in (root / "zmq").rglob("*") if path.is_socket()]


async def test_a_service_runs_once_and_may_be_asked_to_stop_at_any_time(world):
    service = await world.start(ServiceBase(world.config("s")))
    with pytest.raises(RuntimeError, match="s is running: a service runs once"):
        await service.run()
    await world.stop(service)
    with pytest.raises(RuntimeError, match="s is stopped: a service runs once"):
        await service.run()
    service.request_stop()


def test_a_stop_that_is_asked_after_the_loop_is_gone_is_nothing(root):
    service = ServiceBase(parse_section("test.s", {"class_name": "x:Y"}, Path(".")))

    async def run():
        running = asyncio.create_task(service.run())
        service.request_stop()
        await running

    asyncio.run(run())
    service.request_stop()
    thread = threading.Thread(target=service.request_stop)
    thread.start()
    thread.join()
    assert service.state == "stopped"


async def test_two_processes_of_one_name_do_not_tell_of_each_other(world, root):
    """Without commands and publishers too: their status and their saved state would be one file."""
    first = await world.start(ServiceBase(world.config("s")))
    other = ServiceBase(world.config("s"))
    with pytest.raises(AddressInUseError, match=r"the name s under .* is in use by another process"):
        await other.run()
    assert first.state == "running" and other.state == "created"
    await world.stop(first)
    assert not list((root / "status").glob("*.lock"))
    await world.start(other)  # the name is free


async def test_what_on_stop_raises_keeps_nothing_from_being_released(world, root):
    class Leaves(ServiceBase):
        def on_save(self):
            return {"kept": True}

        def on_stop(self):
            raise SystemExit(5)

    service = Leaves(world.config("s", ipc_command_publisher="s"))
    running = asyncio.ensure_future(_outcome(service.run()))
    await world.eventually(lambda: service.state == "running")
    service.request_stop()
    assert await running == 5
    assert service.state == "stopped" and not [path for path in (root / "zmq").rglob("*") if path.is_socket()]
    assert json.loads((root / "status" / "s.json").read_text())["state"] == "stopped"
    assert (root / "state" / "s.json").exists()
    again = await world.start(Leaves(world.config("s", ipc_command_publisher="s")))
    again.on_stop = lambda: None


async def _outcome(running):
    try:
        await running
    except SystemExit as error:  # in a task it would end the loop
        return error.code
    return None


STUBBORN = """
import asyncio
from hftpy.service import ServiceBase

class Stubborn(ServiceBase):
    def on_setup(self):
        self.ipc_command.register_handler("hold", self.hold)

    def on_save(self):
        return 1

    async def hold(self, command):
        self.request_stop()
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue
"""


async def test_a_handler_that_swallows_its_cancellation_does_not_keep_the_service(root, tmp_path):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    setting = {"ipc_command_publisher": "stubborn", "ipc_command_subscribers": ["operator"]}
    (tmp_path / "c.json").write_text(json.dumps({"stubborn": {"class_name": "Stubborn", "setting": setting}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.worker", str(tmp_path / "c.json"), "stubborn", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HFT_ROOT": str(root)},
    )  # fmt: skip
    operator = IPCCommandSystem("operator")
    await operator.start()
    held = await operator.call("stubborn", "hold", timeout=60)
    assert (held.state, held.reason) == ("unknown", "the receiver stopped during the handler")
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1, said.decode()
    assert "task stubborn commands does not end when it is cancelled" in said.decode()
    assert " in hold" in said.decode()
    assert json.loads((root / "status" / "stubborn.json").read_text())["state"] == "stopped"
    assert json.loads((root / "state" / "stubborn.json").read_text())["state"] == 1
    await operator.stop()


async def test_a_call_that_comes_while_everything_is_released_is_told_so_and_leaves_no_task(world):
    refused = []

    class Late(ServiceBase):
        async def on_start(self):
            self._spawn(self.linger(), "linger")

        async def linger(self):
            try:
                await asyncio.sleep(LONG)
            finally:
                try:
                    self.run_once(asyncio.sleep, LONG)
                except RuntimeError as error:
                    refused.append(str(error))

    service = await world.start(Late(world.config("s")))
    before = len(asyncio.all_tasks())
    await world.stop(service)
    assert refused == ["run_once needs a service that is started, and has not stopped"]
    assert len(asyncio.all_tasks()) < before
    assert not [task for task in asyncio.all_tasks() if "run_once" in task.get_name()]


EXITS = """
import asyncio, sys
from hftpy.service import ServiceBase

class Exits(ServiceBase):
    async def on_stop(self):
        await asyncio.sleep(0.01)
        print("on_stop", await self.run_once(lambda: self.ipc_command.broadcast("bye", {})) is not None, flush=True)

    def on_save(self):
        return 1

    %s
"""


@pytest.mark.parametrize(
    ("code", "said", "state"),
    [
        ("def on_setup(self): sys.exit(3)", "", "failed"),
        ("def on_start(self): sys.exit(3)", "on_stop True\n", "stopped"),
        ("def next(self): sys.exit(3)", "on_stop True\n", "stopped"),
        ("async def next(self):\n        await asyncio.sleep(0.05)\n        sys.exit(3)", "on_stop True\n", "stopped"),
        ("def task_x(self): sys.exit(3)", "on_stop True\n", "stopped"),
        ("def on_start(self): self.run_once(sys.exit, 3)", "on_stop True\n", "stopped"),
        ("def on_start(self): self._spawn(self.leave(), 'x')\n    async def leave(self): sys.exit(3)",
         "on_stop True\n", "stopped"),
        ("def on_start(self): self.request_stop()\n    async def on_stop(self): sys.exit(3)", "", "stopped"),
        ("def on_start(self): self.request_stop()\n    def on_save(self): sys.exit(3)", "on_stop True\n", "stopped"),
    ],
)  # fmt: skip
def test_sys_exit_anywhere_stops_the_service_in_order(root, tmp_path, code, said, state):
    (tmp_path / "exits.py").write_text(EXITS % code)
    setting = {"ipc_command_publisher": "exits"}
    if "task_x" in code:
        setting["tasks"] = {"x": {"interval": 0.05}}
    (tmp_path / "c.json").write_text(json.dumps({"exits": {"class_name": "Exits", "setting": setting}}))
    done = subprocess.run(
        [sys.executable, "-m", "hftpy.worker", str(tmp_path / "c.json"), "exits"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "HFT_ROOT": str(root)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (3, said, False), done.stderr
    assert json.loads((root / "status" / "exits.json").read_text())["state"] == state
    assert (root / "state" / "exits.json").exists() == (state == "stopped" and "on_save" not in code)
    assert not [path for path in root.rglob("*") if path.is_socket() or path.suffix in (".lock", ".tmp")]


async def test_calls_that_never_end_are_bounded(world, monkeypatch):
    monkeypatch.setattr("hftpy.service.calls.MAX_OPEN", 3)
    service = await world.start(ServiceBase(world.config("s")))
    calls = [service.run_once(asyncio.sleep, LONG) for _ in range(3)]
    with pytest.raises(RuntimeError, match="run_once has 3 calls that have not ended"):
        await in_thread(service.run_once, add, 1)
    await world.stop(service)
    for call in calls:
        with pytest.raises(RuntimeError, match="stopped before"):
            await call
