"""The configured examples, run as their documentation says, against the simulated venue."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.slow


class Run:
    """``hftpy …`` with its output read line by line."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "hftpy.cli", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.seen: list[str] = []

    def read_until(self, pattern: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line with {pattern!r} in:\n{''.join(self.seen)}")

    def stop(self) -> int:
        """Ctrl-C; returns the exit status, and nothing is left."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=60)
        self.seen.append(rest)
        assert [child for child in children if child.is_running()] == []
        return self.process.returncode


@pytest.fixture
def venue():
    """The addresses of a simulated Kraken."""
    run = Run("sim", "--venue", "kraken", "--json")
    yield json.loads(run.read_until("venues"))["venues"]["kraken"]
    assert run.stop() == 0


@pytest.fixture
def example(tmp_path, venue):
    """Copies an example and points its config to the simulated venue."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        for source in (EXAMPLES / name).rglob("*"):
            if source.suffix in (".py", ".json"):
                target = folder / source.relative_to(EXAMPLES / name)
                target.parent.mkdir(parents=True, exist_ok=True)
                text = source.read_text()
                text = text.replace("ws://127.0.0.1:9001/kraken", venue["ws"])
                target.write_text(text.replace("http://127.0.0.1:9002/kraken", venue["rest"]))
        return folder / f"{name}.json"

    return copy


@pytest.fixture(autouse=True)
def keys(monkeypatch, root):
    monkeypatch.setenv("KRAKEN_KEY", "sim-key-of-the-examples")
    monkeypatch.setenv("KRAKEN_SECRET", "c2VjcmV0")


def test_ping_pong(root):
    run = Run("run", str(EXAMPLES / "ping_pong" / "ping_pong.json"))
    for _ in range(2):
        assert "pong from process_b after" in run.read_until("pong from|Traceback")
    assert run.stop() == 0
    assert [path for path in root.rglob("*") if path.is_socket()] == []


def test_quoter_buys_and_private_stream_sees_it(example):
    watcher = Run("run", str(example("private_stream")))
    watcher.read_until("connection established|is back|fills runs")
    quoter = Run("run", str(example("quoter")))
    assert "btc/usd @" in quoter.read_until("bought|Traceback")
    assert "fill buy" in watcher.read_until("fill |Traceback")
    assert any("order " in line and ": new" in line for line in watcher.seen)
    assert quoter.stop() == 0
    assert watcher.stop() == 0
