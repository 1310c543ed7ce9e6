"""The demo as a user runs it: everything balances, what goes wrong is told, and nothing is left behind."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """A temp folder of the test's own, in which the demo makes its root."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir=tempfile.gettempdir()))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()


class Demo:
    """A running demo, and the processes that it ever had."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "hftpy.cli", "demo", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.children: dict[int, psutil.Process] = {}

    def find(self, part: str) -> psutil.Process:
        """Wait for the child whose command line has `part`."""
        parent = psutil.Process(self.process.pid)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in parent.children(recursive=True):
                self.children[child.pid] = child
                if part in " ".join(child.cmdline()):
                    return child
            time.sleep(0.05)
        raise AssertionError(f"no child with {part!r}")

    def read_until(self, part: str) -> str:
        """Read lines until one has `part`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if part in line:
                return line
        raise AssertionError(f"no line with {part!r}")

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; no child may be left."""
        out, err = self.process.communicate(timeout=100)
        assert [child for child in self.children.values() if child.is_running()] == []
        return self.process.returncode, out, err


def run_json(*arguments: str) -> tuple[int, dict]:
    code, out, err = Demo("--json", *arguments).end()
    assert out, err
    return code, json.loads(out)


def test_a_run_balances(temp):
    code, summary = run_json("--duration", "3")
    assert (code, summary["ok"], summary["problems"]) == (0, True, [])
    tickers, trades = summary["flows"]
    assert tickers["sent"] == tickers["gateway"] == tickers["published"] > 0
    assert tickers["strategies"] == {"mm1": tickers["sent"], "mm2": tickers["sent"]}
    assert trades["sent"] == trades["gateway"] > 0
    assert summary["orders_sent"] > 0
    assert summary["fills"] == summary["venue_fills"] > 0
    assert all(row["count"] > 0 for row in summary["latency"])


def test_plain_lines_where_output_is_no_terminal(temp):
    code, out, _ = Demo("--duration", "2").end()
    assert code == 0
    assert "\x1b[" not in out
    assert "ok: nothing was lost without being reported" in out


@pytest.mark.parametrize("fault", ["restart@1", "disconnect@1"])
def test_a_lost_connection_is_a_reported_gap(temp, fault):
    code, summary = run_json("--duration", "5", "--fault", fault)
    assert (code, summary["problems"]) == (0, [])
    assert summary["gaps"] > 0
    assert summary["reconnects"] > 0
    assert f"fault {fault}" in summary["notes"]


@pytest.mark.parametrize("fault", ["mute@1:1", "garbage@1", "drop@1:1"])
def test_a_fault_of_the_data_leaves_nothing_unreported(temp, fault):
    code, summary = run_json("--duration", "4", "--fault", fault)
    assert (code, summary["problems"]) == (0, [])
    if not fault.startswith("garbage"):
        assert summary["gaps"] > 0
        assert summary["flows"][1]["withheld"] > 0


@pytest.mark.parametrize("victim", ["mm1", "kraken_gateway"])
def test_a_killed_process_is_told_and_nothing_is_left(temp, victim):
    demo = Demo("--duration", "5")
    demo.find("hftpy.cli sim")
    child = demo.find(f"demo.{victim}")
    demo.read_until(" s] ")
    child.send_signal(signal.SIGKILL)
    code, out, _ = demo.end()
    assert f"{victim} (process {child.pid}) killed by SIGKILL" in out
    assert code == 1


@pytest.mark.parametrize("part", ["hftpy.cli sim", "demo.kraken_gateway", None])
def test_ctrl_c_at_any_moment_leaves_nothing(temp, part):
    demo = Demo("--duration", "60")
    if part is None:
        demo.read_until(" s] ")
    else:
        demo.find(part)
    demo.process.send_signal(signal.SIGINT)
    code, _, errors = demo.end()
    assert code == 130
    assert "did not end within" not in errors


def test_a_closed_terminal_leaves_nothing(temp):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the tests, too, would ignore it
    try:
        demo = Demo("--duration", "60")
    finally:
        signal.signal(signal.SIGHUP, before)
    demo.read_until(" s] ")
    demo.process.send_signal(signal.SIGHUP)
    code, _, _ = demo.end()
    assert code == 130


def test_a_killed_demo_takes_its_processes_along(monkeypatch):
    folder = tempfile.mkdtemp(prefix="t")
    monkeypatch.setenv("TMPDIR", folder)
    demo = Demo("--duration", "60")
    for part in ("hftpy.cli sim", "demo.mm1", "demo.mm2", "demo.kraken_gateway"):
        demo.find(part)
    demo.process.kill()
    demo.process.communicate()
    _, alive = psutil.wait_procs(demo.children.values(), timeout=30)
    assert alive == []
    shutil.rmtree(folder)  # what nobody was left to remove


def session(folder: Path) -> Path:
    """A small session of our own: two symbols, a lost frame between them, trades in aggregate."""
    path = folder / "session.jsonl.gz"
    url = "wss://stream.binance.com:9443/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker/btcusdt@aggTrade"
    entries = [{"t": "header", "source": "made by hand"}, {"t": "conn", "ts": 1000.0, "url": url}]
    for number in range(300):
        symbol = "BTCUSDT" if number % 3 else "ETHUSDT"
        bid = 50_000 + number / 100 if number % 3 else 3_000 + number / 100
        data = {"u": 1000 + number, "s": symbol, "b": f"{bid:.2f}", "B": "1.5", "a": f"{bid + 0.01:.2f}", "A": "0.75"}
        entries.append(
            {"t": "recv", "ts": 1000.0 + number / 100, "stream": f"{symbol.lower()}@bookTicker", "data": data}
        )
        if number % 30 == 0:
            now = 1_000_000 + 10 * number
            trade = {
                "e": "aggTrade", "E": now, "s": "BTCUSDT", "a": 7 + number // 30, "p": "50000.00", "q": "0.1",
                "f": number, "l": number, "T": now, "m": True, "M": True,
            }  # fmt: skip
            entries.append({"t": "recv", "ts": 1000.0 + number / 100, "stream": "btcusdt@aggTrade", "data": trade})
    with gzip.open(path, "wt") as file:
        for entry in entries:
            stream = entry.pop("stream", None)
            if stream is not None:
                entry["data"] = json.dumps({"stream": stream, "data": entry["data"]}, separators=(",", ":"))
            file.write(json.dumps(entry) + "\n")
    return path


def test_a_session_reaches_both_strategies_whole_and_in_order(temp, tmp_path):
    code, summary = run_json("--session", str(session(tmp_path)))
    assert (code, summary["problems"], summary["in_order"]) == (0, [], True)
    tickers, trades = summary["flows"]
    assert (tickers["recorded"], tickers["sent"], tickers["strategies"]) == (300, 300, {"mm1": 300, "mm2": 300})
    assert (trades["recorded"], trades["strategies"]) == (10, {"mm1": 10, "mm2": 10})
    assert summary["orders_sent"] > 0


@pytest.mark.recorded
@pytest.mark.parametrize(
    "name", ["binance_spot__b38f7c_20210405", "binance_us__all_20211012", "kraken__v1_trade_20210405"]
)
def test_a_recorded_session_reaches_both_strategies_whole_and_in_order(temp, fixtures, name):
    path = fixtures / "sessions" / f"{name}.jsonl.gz"
    code, summary = run_json("--session", str(path), "--speed", "20")
    assert (code, summary["problems"]) == (0, [])
    for flow in summary["flows"]:
        assert flow["recorded"] == flow["sent"] == flow["strategies"]["mm1"] == flow["strategies"]["mm2"] > 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fault", "earthquake@5"], "'earthquake@5'"),
        (["--session", "/nowhere.jsonl"], "/nowhere.jsonl"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(temp, arguments, named):
    code, out, err = Demo(*arguments).end()
    assert code == 2
    assert named in err
    assert err.count("\n") == 1
    assert out == ""


def test_the_root_of_the_environment_is_left_alone(temp, root):
    code, _ = run_json("--duration", "1")
    assert code == 0
    assert os.listdir(root) == []
