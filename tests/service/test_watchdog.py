"""The watchdog of the event loop: a stall is told once, with the place, and while it lasts."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from hftpy.errors import ConfigError
from hftpy.service import ServiceBase, parse_section
from hftpy.service.watchdog import LoopWatchdog
from hftpy.worker import Launcher


def until(condition, timeout_s=30.0):
    """Wait as a computation does: without letting the loop turn."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        sum(range(1000))


async def test_a_hook_that_computes_is_told_with_its_place_while_it_lasts(world, eventually, root, caplog):
    told = []

    class Computes(ServiceBase):
        def compute_for_ever(self, watchdog):
            until(lambda: watchdog.stalled)
            path = root / "status" / "s.json"
            until(lambda: json.loads(path.read_text())["state"] == "stalled")
            told.append(json.loads(path.read_text())["loop"])
            before = len(caplog.records)
            ends = time.monotonic() + 0.3  # much longer than the threshold: it is told once
            until(lambda: time.monotonic() > ends)
            told.append(len(caplog.records) - before)

        async def task_compute(self):
            self.compute_for_ever(self._watchdog)

    setting = {"tasks": {"compute": {"interval": 900, "delay": 0.6}}, "watchdog": {"threshold": 0.05}}
    service = await world.start(Computes(world.config("s", **setting)))
    await eventually(lambda: service._watchdog.stalls >= 1 and len(told) == 2)
    assert told[0]["stalled"] and any("compute_for_ever" in line for line in told[0]["stack"])
    assert told[1] == 0
    assert "compute_for_ever" in caplog.text and "turns again" in caplog.text
    await eventually(lambda: json.loads((root / "status" / "s.json").read_text())["state"] == "running")
    status = service.status()["loop"]
    assert not status["stalled"] and status["longest_s"] >= 0.3
    assert service.latency["loop_lag"].count
    threads = [thread.name for thread in threading.enumerate()]
    assert "s watchdog" in threads
    await world.stop(service)
    assert "s watchdog" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
async def watchdog():
    """One that looks only when it is told to."""
    made = LoopWatchdog("s", 3600.0)
    made.told = []
    made._on_stall = lambda: made.told.append(made.stack)
    made.start()
    yield made
    made.stop()


async def test_each_stall_is_told_once(watchdog):
    due = watchdog._due
    watchdog._look(due + 3599, 0.0)
    assert not watchdog.stalled
    watchdog._look(due + 3601, 0.0)
    watchdog._look(due + 9999, 0.0)
    assert (len(watchdog.told), watchdog.stalled) == (1, True)
    assert any("test_each_stall_is_told_once" in line for line in watchdog.stack)
    watchdog._timer.cancel()
    watchdog._beat()
    assert not watchdog.stalled
    watchdog._look(watchdog._due + 3601, 0.0)
    assert len(watchdog.told) == 2


async def test_a_stall_that_the_thread_could_not_look_into_has_no_stack_but_is_counted(watchdog, caplog):
    watchdog._look(watchdog._due + 10_000, 9_000.0)  # the thread overslept as well
    assert watchdog.told == []
    watchdog._timer.cancel()
    watchdog._due -= 10_000
    due = watchdog._due
    watchdog._overslept(due, due + 10_000, 1_000_000)  # and asked for Python's lock all the time
    watchdog._beat()
    watchdog._judge()
    assert (watchdog.stalls, watchdog.stalled, watchdog.suspensions) == (1, False, 0)
    assert watchdog.longest_s >= 6000
    assert "where is not known" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often a thread has slept")
async def test_the_time_for_which_the_process_was_stopped_is_no_stall(watchdog, caplog):
    watchdog._timer.cancel()
    watchdog._due -= 10_000
    due = watchdog._due
    watchdog._overslept(due + 100, due + 9_000, 2)
    watchdog._beat()
    watchdog._judge()
    assert (watchdog.stalls, watchdog.suspensions, watchdog.suspended_s) == (0, 1, 8_900)
    assert "the process did not run for 8900.00 s" in caplog.text
    # One that stood before it was stopped has stalled, for that time.
    watchdog._timer.cancel()
    watchdog._suspended.clear()
    watchdog._due -= 100_000
    due = watchdog._due
    watchdog._look(due + 3601, 0.0)
    watchdog._overslept(due + 5_000, due + 100_000, 2)
    watchdog._beat()
    watchdog._judge()
    assert (watchdog.stalls, watchdog.suspensions) == (1, 2) and 4999 < watchdog.longest_s < 6000


STOPPED = """
import asyncio, ctypes, json, sys
from hftpy.service.watchdog import LoopWatchdog

async def main():
    watchdog = LoopWatchdog("s", 1.0)
    watchdog.start()
    loop = asyncio.get_running_loop()
    for line in ("stop", "hold"):
        await asyncio.sleep(0.6)
        print(line, flush=True)
        if line == "hold":
            ctypes.PyDLL(None).usleep(2_500_000)  # keeps Python's lock, and computes nothing
        await loop.run_in_executor(None, sys.stdin.readline)
        await asyncio.sleep(0.6)
        print(json.dumps(watchdog.status()), flush=True)
    watchdog.stop()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often a thread has slept")
def test_a_process_that_is_stopped_has_not_stalled_but_one_that_holds_the_lock_has():
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def status():
            print(file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        assert process.stdout.readline() == "stop\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        told = status()
        assert told["stalls"] == 0 and told["suspensions"] >= 1 and told["suspended_s"] > 1.5
        assert process.stdout.readline() == "hold\n"
        assert status()["stalls"] == 1
    assert process.returncode == 0


async def test_a_report_that_fails_does_not_end_the_watch(watchdog, caplog):
    def fails():
        raise OSError("disk full")

    watchdog._on_stall = fails
    watchdog._look(watchdog._due + 3601, 0.0)
    assert "could not be told" in caplog.text


async def test_zero_does_not_watch():
    watchdog = LoopWatchdog("s", 0.0)
    watchdog.start()
    watchdog.stop()
    assert watchdog._thread is None
    with pytest.raises(ConfigError, match=r"watchdog.threshold must be 0 or at least 0.01 s, was -1"):
        parse_section("x.y", {"class_name": "A", "setting": {"watchdog": {"threshold": -1}}}, None)
    with pytest.raises(ConfigError, match=r"x.y.setting.watchdog has an unknown key 'treshold': did you mean"):
        parse_section("x.y", {"class_name": "A", "setting": {"watchdog": {"treshold": 1}}}, None)


CODE = """
from hftpy.service import ServiceBase

class Computes(ServiceBase):
    async def next(self):
        while True:
            sum(range(1000))
"""


async def test_a_process_that_computes_for_ever_is_told_and_can_be_killed(root, tmp_path, eventually):
    (tmp_path / "computes.py").write_text(CODE)
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps({"computes": {"class_name": "Computes", "setting": {"watchdog": {"threshold": 0.2}}}})
    )
    launcher = Launcher()
    output = tmp_path / "output"
    with output.open("wb") as file:
        child = await launcher.start_service(config, "computes", "computes", output=file)
        path = root / "status" / "computes.json"
        await eventually(lambda: "computes.py" in output.read_text())
        await eventually(lambda: path.exists() and json.loads(path.read_text())["state"] == "stalled")
        await launcher.stop("computes", 0.5)
    assert child.returncode == -signal.SIGKILL
    assert "in next" in output.read_text()
