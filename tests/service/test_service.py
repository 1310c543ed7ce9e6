"""ServiceBase: hooks, timers, starting and stopping at any moment, and what a process tells of itself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hftpy.common.lifeline import LIFELINE_ENV
from hftpy.errors import ConfigError, HftError
from hftpy.ipc import IPCCommandSystem
from hftpy.service import ServiceBase, SetupAborted, base
from hftpy.service import background as background_module


def status_of(root: Path, name: str) -> dict:
    path = root / "status" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def ticker_stream(world) -> dict:
    return {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"), "reconnect_times": {"times": -1, "initial": 0.02, "max": 0.1},
    }  # fmt: skip


class Sync(ServiceBase):
    def __init__(self, config):
        super().__init__(config)
        self.seen = []

    def on_ticker(self, ticker):
        self.seen.append(ticker)
        if len(self.seen) == 1:
            raise RuntimeError("the first is one too many")

    def on_gap(self, gap):
        self.seen.append(gap)

    def on_reconnected(self, reconnected):
        self.seen.append(reconnected)


class Async(Sync):
    async def on_ticker(self, ticker):
        await asyncio.sleep(0)
        super().on_ticker(ticker)


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_a_hook_may_be_a_coroutine_and_may_fail(world, eventually, kind, caplog):
    service = await world.start(kind(world.config("s", streams=[ticker_stream(world)])))
    await eventually(lambda: len(service.seen) > 3)
    assert service.counters["errors"] == 1
    assert service.counters["tickers"] >= 3
    assert "on_ticker failed" in caplog.text
    await world.stop(service)
    assert service.state == "stopped"


async def test_a_gap_stands_before_what_follows_it(world, eventually):
    service = await world.start(Sync(world.config("s", streams=[ticker_stream(world)])))
    await eventually(lambda: len(service.seen) > 2)
    world.venue.front("kraken").abort_all()
    await eventually(lambda: type(service.seen[-1]).__name__ == "Ticker" and service.counters["reconnects"])
    names = [type(item).__name__ for item in service.seen]
    gap = names.index("Gap")
    assert set(names[:gap]) == {"Ticker"}
    assert gap < names.index("Reconnected")
    before = service.seen[gap].timestamp
    assert all(item.localTimestamp > before for item in service.seen[gap:] if type(item).__name__ == "Ticker")


async def test_a_hook_that_awaits_something_cancelled_does_not_end_the_delivery(world, eventually):
    class Cancelled(Sync):
        async def on_ticker(self, ticker):
            self.seen.append(ticker)
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task

    service = await world.start(Cancelled(world.config("s", streams=[ticker_stream(world)])))
    await eventually(lambda: len(service.seen) > 2)
    assert service.counters["errors"] >= 2


async def test_set_up_may_abort_and_leaves_nothing(world, root):
    class Aborts(ServiceBase):
        async def on_setup(self):
            return False

    with pytest.raises(SetupAborted, match="on_setup returned False"):
        await world.start(Aborts(world.config("s", ipc_command_publisher="s")))
    assert status_of(root, "s")["state"] == "failed"
    other = IPCCommandSystem("s")
    await other.start()
    await other.stop()


@pytest.mark.parametrize("where", ["on_setup", "on_start"])
async def test_a_service_stops_while_a_hook_sleeps(world, eventually, root, where):
    reached, stopped = asyncio.Event(), []

    async def sleeps():
        reached.set()
        await asyncio.sleep(900)

    service = ServiceBase(world.config("s", ipc_command_publisher="s"))
    setattr(service, where, sleeps)
    service.on_stop = lambda: stopped.append(1)
    task = asyncio.create_task(service.run())
    await reached.wait()
    service.request_stop()
    await asyncio.wait_for(task, 10)
    assert status_of(root, "s")["state"] == "stopped"
    assert bool(stopped) == (where == "on_start")


async def test_on_stop_may_fail_or_hang_and_status_may_fail(world, eventually, root, monkeypatch):
    monkeypatch.setattr(base, "STOP_HOOK_S", 0.05)

    class Fails(ServiceBase):
        def on_stop(self):
            raise RuntimeError("no")

        def status(self):
            raise RuntimeError("no")

    class Hangs(ServiceBase):
        async def on_stop(self):
            await asyncio.sleep(900)

    for kind in (Fails, Hangs):
        service = await world.start(kind(world.config("s", ipc_command_publisher="s")))
        await world.stop(service)  # the name is free again for the next
        assert status_of(root, "s")["state"] == "stopped"
        assert service.counters["errors"] >= 1


async def test_a_failed_task_is_seen(world, eventually, caplog):
    service = await world.start(ServiceBase(world.config("s")))

    async def fails():
        raise KeyError("lost")

    service._spawn(fails(), "fails")
    await eventually(lambda: service.counters["errors"] == 1)
    assert "task s:fails failed" in caplog.text


async def test_a_task_that_does_not_end_is_told(world, monkeypatch, caplog):
    monkeypatch.setattr(background_module, "STUCK_S", 0.05)
    service = await world.start(ServiceBase(world.config("s")))
    over = asyncio.Event()

    async def stubborn():
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    task = service._spawn(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await world.stop(service)
    assert "s:stubborn does not end" in caplog.text
    over.set()
    await task


async def test_timers_do_not_overlap_and_count_what_they_missed(world, eventually):
    class Timed(ServiceBase):
        running = most = calls = 0

        async def task_slow(self):
            self.running += 1
            self.most, self.calls = max(self.most, self.running), self.calls + 1
            await asyncio.sleep(0.05)
            self.running -= 1

    service = await world.start(Timed(world.config("s", tasks={"slow": {"interval": 0.01}})))
    await eventually(lambda: service.calls >= 3)
    assert service.most == 1
    assert service.counters["task_overruns"] >= 2
    with pytest.raises(ConfigError, match="has no task_missing"):
        await world.start(ServiceBase(world.config("t", tasks={"missing": {"interval": 1.0}})))


async def test_run_once_from_a_thread(world, eventually):
    service = ServiceBase(world.config("s"))
    with pytest.raises(RuntimeError, match="started"):
        service.run_once(print)
    await world.start(service)
    seen = []

    async def add(number, times=1):
        await asyncio.sleep(0)
        seen.append((number * times, threading.current_thread() is threading.main_thread()))

    thread = threading.Thread(target=lambda: service.run_once(add, 2, times=3))
    thread.start()
    thread.join()
    service.run_once(seen.index, "missing")
    await eventually(lambda: seen == [(6, True)] and service.counters["errors"] == 1)


async def test_shutdown_by_broadcast(world, eventually):
    service = await world.start(
        ServiceBase(world.config("s", ipc_command_publisher="s", ipc_command_subscribers=["operator"]))
    )
    operator = IPCCommandSystem("operator")
    await operator.start()
    try:
        await eventually(lambda: operator.stats["peers"] == 1)
        operator.broadcast("shutdown", {})
        await asyncio.wait_for(world.running.pop(service), 10)
    finally:
        await operator.stop()
    assert service.state == "stopped"


async def test_an_event_of_our_own_that_finds_no_room_halts_the_service(world, eventually, caplog):
    service = ServiceBase(world.config("s", queues={"my_trade": {"capacity": 1}}))
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.state == "running")
    service.my_trade_queue.put_nowait("one")
    with pytest.raises(asyncio.QueueFull):
        service.my_trade_queue.put_nowait("two")
    with pytest.raises(HftError, match="my_trade_queue is full"):
        await asyncio.wait_for(task, 10)
    assert (service.state, service.counters["private_dropped"]) == ("failed", 1)
    assert "halted" in caplog.text


async def test_a_stream_that_gives_up_ends_the_service(world, root):
    stream = ticker_stream(world) | {"api_host": "ws://127.0.0.1:9/kraken", "reconnect_times": 0}
    with pytest.raises(HftError):
        service = await world.start(ServiceBase(world.config("s", streams=[stream])))
        await asyncio.wait_for(world.running.pop(service), 20)
    assert status_of(root, "s")["state"] == "failed"


async def test_what_the_status_tells(world, eventually, root):
    service = await world.start(
        Sync(world.config("s", streams=[ticker_stream(world)], ipc_publish={"channels": ["ticker"]}))
    )
    await eventually(lambda: status_of(root, "s").get("counters", {}).get("tickers", 0) > 2)
    status = status_of(root, "s")
    assert (status["pid"], status["state"], status["process_id"]) == (os.getpid(), "running", "s")
    assert status["streams"][0]["channels"]["ticker"]["events"] > 0
    assert status["queues"]["ticker"]["dropped"] == 0
    assert status["queues"]["my_order"] == {"waiting": 0, "dropped": 0, "capacity": base.QUEUE_CAPACITY}
    assert status["publisher"]["kraken.ticker"]["sent"] > 0
    assert set(status["latency"]) >= {"receipt_to_callback"}
    await world.stop(service)
    assert status_of(root, "s")["state"] == "stopped"
    assert not list((root / "status").glob("*.tmp"))


CODE = """
from hftpy.service import ServiceBase

class Child(ServiceBase):
    def on_setup(self):
        return self.params.get("go", True)

    async def on_stop(self):
        print("on_stop", flush=True)
"""


class Child:
    """A service in a process of its own."""

    def __init__(self, folder: Path, root: Path, environment: dict[str, str] | None = None, **arguments) -> None:
        (folder / "service").mkdir(exist_ok=True)
        (folder / "service" / "child.py").write_text(CODE)
        setting = {"ipc_command_publisher": "child", "params": arguments.pop("params", {})}
        config = folder / "config.json"
        config.write_text(json.dumps({"service.child": {"class_name": "Child", "setting": setting}}))
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hftpy.worker", str(config), arguments.pop("section", "service.child")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "HFT_ROOT": str(root), **(environment or {})}, **arguments,
        )  # fmt: skip

    def until_running(self) -> None:
        deadline = time.monotonic() + 30
        while status_of(self.root, "child").get("state") != "running":
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self) -> tuple[str, str]:
        try:
            return self.process.communicate(timeout=30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_service_cleanly(root, tmp_path, number):
    child = Child(tmp_path, root)
    child.until_running()
    child.process.send_signal(number)
    out, err = child.end()
    assert (child.process.returncode, out) == (0, "on_stop\n"), err
    assert "Traceback" not in err
    assert status_of(root, "child")["state"] == "stopped"
    assert not [path for path in (root / "zmq").rglob("*") if path.is_socket()]


def test_a_service_ends_with_the_process_that_started_it(root, tmp_path):
    reading, writing = os.pipe()
    try:
        child = Child(tmp_path, root, {LIFELINE_ENV: str(reading)}, pass_fds=(reading,))
    finally:
        os.close(reading)
    child.until_running()
    os.close(writing)
    out, err = child.end()
    assert (child.process.returncode, out) == (0, "on_stop\n"), err


def test_exit_status_of_a_set_up_that_aborts_and_of_a_section_that_is_not_there(root, tmp_path):
    child = Child(tmp_path, root, params={"go": False})
    _, err = child.end()
    assert (child.process.returncode, "Traceback" in err) == (2, False), err
    child = Child(tmp_path, root, section="service.other")
    _, err = child.end()
    assert child.process.returncode == 2
    assert "has no section 'service.other'" in err
    assert "Traceback" not in err
