"""``hftpy top`` and ``hftpy metrics``."""

import asyncio
import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from hftcore.latency import LatencyHistogram
from hftpy.cli.top import render, row_of
from hftpy.service import ServiceBase, parse_section
from hftpy.service.metrics import shown_state
from hftpy.service.status import StatusFile, read_statuses

HFTPY = [sys.executable, "-m", "hftpy.cli"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HFTPY, *arguments], capture_output=True, text=True, timeout=60, check=False)


def status_of(**more):
    now = time.time()
    return {
        "pid": 7, "started": now - 100, "written": now, "alive": True, "state": "running", "warm": True,
        "counters": {"tickers": 1000, "trades": 50, "lost": 3, "errors": 1},
        "queues": {"ticker": {"waiting": 25, "capacity": 100, "dropped": 4}, "trade": {"waiting": 0, "capacity": 10}},
        "latency": {}, "loop": {"stalled": False, "stalls": 0, "stack": []}, "params": {"spread": 0.5}, **more,
    }  # fmt: skip


def shown(rows, width=200, height=None) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(render(rows, width, height))
    console.file.close()
    return console.export_text()


def test_rates_and_percentiles_are_of_what_happened_since_the_last_reading():
    histogram = LatencyHistogram()
    for _ in range(1000):
        histogram.record(1_000_000_000)
    before = status_of(latency={"receipt_to_callback": histogram.to_dict()})
    for _ in range(10):
        histogram.record(1_000)
    now = copy.deepcopy(before)
    now["written"] += 2.0
    now["counters"]["tickers"] += 30
    now["latency"]["receipt_to_callback"] = histogram.to_dict()
    row = row_of("s", now, before)
    assert (row["tickers_per_s"], row["trades_per_s"], row["latency_count"]) == (15.0, 0.0, 10)
    assert row["p50_ns"] < 1100 and row["p99_ns"] < 1100
    assert (row["queue"], row["queue_fill"], row["queue_waiting"], row["dropped"]) == ("ticker", 0.25, 25, 4)
    # Another process of that name: since it was started.
    now["pid"] = 8
    assert row_of("s", now, before)["tickers_per_s"] == pytest.approx(1030 / 102, rel=0.01)
    # Nothing happened since: all of it.
    row = row_of("s", before, copy.deepcopy(before))
    assert (row["tickers_per_s"], row["latency_count"]) == (0.0, 1000)


def test_a_stall_is_shown_with_its_place():
    stack = ["a", '  File "mm.py", line 5, in next']
    rows = [
        row_of("mm", status_of(state="stalled", loop={"stalled": True, "stalls": 1, "stack": stack}), None),
        row_of("cold", status_of(warm=False), None),
        row_of("dead", status_of(alive=False), None),
        row_of("[red]odd", status_of(params={"text": "[bold]x"}), None),
    ]
    text = shown(rows)
    assert rows[0]["stalls"] == 2
    assert 'mm is stalled at File "mm.py", line 5, in next' in text
    for what in ("running, cold", "gone", "25% ticker", "spread=0.5", "[red]odd", "text=[bold]x"):
        assert what in text
    narrow = shown(rows, 80)
    for what in ("mm", "stalled", "running, cold", "tick/s", "p99", "stalls"):
        assert what in narrow
    assert max(map(len, narrow.splitlines())) <= 80 and "params" not in narrow


def test_who_was_refused_over_tcp_is_told():
    quiet = row_of("s", status_of(commands=None, publisher={"kraken.ticker": {"sent": 1, "joins": 1}}), None)
    assert quiet["tcp_refused"] == 0 and "tcp" not in shown([quiet])
    commands = {"tcp_denied": 1, "tcp_failed": 2, "forged": 3, "tcp_accepted": 9}
    row = row_of("s", status_of(commands=commands, publisher={"x": {"tcp_denied": 4, "tcp_failed": 0}}), None)
    assert "s has refused 10 over tcp" in shown([row])
    many = [{**row, "process": f"p{number}"} for number in range(20)]
    assert len(shown(many, height=20).rstrip().splitlines()) <= 20


@pytest.mark.parametrize("width", [30, 40, 60, 79, 119])
def test_a_narrow_terminal_shows_whole_names_and_states(width):
    rows = [row_of(name, status_of(state="paused"), None) for name in ("kraken_gw", "mm1")]
    text = shown(rows, width)
    assert max(map(len, text.splitlines())) <= width
    table = text.split("\n", 2)[2]
    assert "kraken_gw" in table and table.count("paused") == 2 and "…" not in table


@pytest.mark.parametrize("height", [5, 24, 60])
def test_processes_that_do_not_fit_are_told_and_those_in_trouble_are_shown_first(root, height):
    rows = [row_of(f"proc{n:02}", status_of(alive=n != 37), None) for n in range(50)]
    loop = {"stalled": True, "stalls": 0, "stack": ["x.py"]}
    rows[41] = row_of("proc41", status_of(state="stalled", loop=loop), None)
    lines = [line for line in shown(rows, 200, height).splitlines() if line.strip()]
    assert len(shown(rows, 200, height).splitlines()) <= max(height, 8)
    names = [line.split()[0] for line in lines if re.match(r" *proc\d\d ", line) and "stalled at" not in line]
    assert names == sorted(names) and "proc37" in names
    if height > 5:
        assert "proc41" in names and any("proc41 is stalled at x.py" in line for line in lines)
    told = [line for line in lines if line.startswith("and ")]
    assert told == ([] if height == 60 else [f"and {50 - len(names)} more: hftpy top --once shows all"])


@pytest.fixture
async def service(root, eventually):
    made = ServiceBase(parse_section("x.mm", {"class_name": "x:Y", "setting": {"params": {"spread": 0.25}}}, Path()))
    task = asyncio.create_task(made.run())
    await eventually(lambda: (root / "status" / "mm.json").exists())
    yield made
    made.request_stop()
    await task


async def test_one_shot_without_a_terminal(service):
    done = await asyncio.to_thread(run, "top", "--interval", "0.6")
    assert done.returncode == 0, done.stderr
    assert "mm" in done.stdout and "running" in done.stdout
    done = await asyncio.to_thread(run, "top", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["process"], row["state"], row["params"], row["pid"]) == ("mm", "running", {"spread": 0.25}, os.getpid())


async def test_live_in_a_terminal(service, root):
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [*HFTPY, "top", "--interval", "0.1"], stdout=follower, stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"},
    )  # fmt: skip
    os.close(follower)
    seen = b""
    try:
        while seen.count(b"running") < 3:  # drawn again and again
            seen += await asyncio.to_thread(os.read, leader, 65536)
        process.send_signal(signal.SIGINT)

        def rest() -> bytes:
            found = b""
            try:
                while data := os.read(leader, 65536):
                    found += data
            except OSError:  # the other side is closed
                return found
            return found

        seen += await asyncio.to_thread(rest)
        _, err = await asyncio.to_thread(process.communicate, None, 30)
        assert (process.returncode, err) == (0, b"")
        assert b"\x1b[?1049l" in seen  # the terminal is as it was
    finally:
        os.close(leader)
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_no_process_at_all(root):
    assert json.loads(run("top", "--json").stdout) == []
    done = run("top")
    assert (done.returncode, done.stdout.split()[-1]) == (0, "none")
    assert run("metrics").stdout == ""


def test_files_that_are_no_status_hide_no_other_process(root, caplog):
    folder = root / "status"
    folder.mkdir(mode=0o700)
    good = {key: value for key, value in status_of(pid=os.getpid()).items() if key != "alive"}
    damaged = {
        "empty": "", "half": '{"pid": 1', "list": "[]", "nobody": '{"started": 1, "written": 1}', "nul": "\0",
        "text": json.dumps(good | {"pid": "1"}), "deep": "[" * 100_000,
        "counts": json.dumps(good | {"counters": [1]}),
    }  # fmt: skip
    (folder / "old.json").write_text('{"pid": 4194305}')
    for name, text in {**damaged, "good": json.dumps(good)}.items():
        (folder / f"{name}.json").write_text(text)
    for _ in range(2):
        assert list(read_statuses(root)) == ["good", "old"]
    assert len(caplog.records) == len(damaged)  # once each
    done = run("top", "--json", "--interval", "0.1")
    assert [row["process"] for row in json.loads(done.stdout)] == ["good", "old"]
    assert "half.json is no status" in done.stderr
    assert run("status").returncode == 0 and 'process="good"' in run("metrics").stdout


tells_births = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process was started")


@tells_births
def test_a_process_number_that_is_used_again_is_another_process(root):
    file = StatusFile("mm")
    file.write(file.encode(status_of(pid=os.getpid())))
    assert read_statuses(root)["mm"]["alive"]
    status = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(status | {"born": status["born"] - 1}))
    assert not read_statuses(root)["mm"]["alive"]
    file.close()


@tells_births
def test_a_zombie_and_a_process_that_is_stopped(root):
    code = (
        "import sys, time; from hftpy.service.status import StatusFile; f = StatusFile('mm');"
        f"f.write(f.encode({status_of() | {'written': 0}!r})); print('ready', flush=True); time.sleep(900)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        path = root / "status" / "mm.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": process.pid}))
        status = read_statuses(root)["mm"]
        assert (status["alive"], shown_state(status)) == (True, "silent")  # it wrote nothing since 1970
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        status = read_statuses(root)["mm"]
        assert (status["alive"], shown_state(status)) == (False, "gone")


async def test_metrics_are_printed_and_served(service):
    done = await asyncio.to_thread(run, "metrics")
    assert 'hftpy_up{process="mm"} 1' in done.stdout.splitlines()
    process = subprocess.Popen(
        [*HFTPY, "metrics", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        assert url.startswith("http://127.0.0.1:")

        def fetch() -> tuple[str, str]:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.read().decode(), answer.headers["Content-Type"]

        text, kind = await asyncio.to_thread(fetch)
        assert 'hftpy_up{process="mm"} 1' in text.splitlines()
        assert kind.startswith("text/plain; version=0.0.4")
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(process.communicate, None, 30)
        assert (process.returncode, err) == (0, "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
