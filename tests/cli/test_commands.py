"""Every command of ``hftpy`` as a process of its own."""

import gzip
import json
import os
import re
import subprocess
import sys

import pytest

from hftcore.latency import LatencyHistogram

HFTPY = [sys.executable, "-m", "hftpy.cli"]
TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":100.10,"qty":0.5,'
    '"ord_type":"market","trade_id":7,"timestamp":"2026-01-02T03:04:05.000006Z"}]}'
)


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*HFTPY, *arguments], input=stdin, capture_output=True, timeout=60, check=False)


def test_decode_reads_standard_input():
    done = run("decode", "kraken", stdin=TRADE.encode() + b"\nnonsense\n")
    trade, error = map(json.loads, done.stdout.splitlines())
    assert (trade["type"], trade["price"], trade["side"], trade["tradeId"], trade["line"]) == (
        "trade",
        100.1,
        "sell",
        7,
        1,
    )
    assert (error["type"], error["line"]) == ("error", 2)
    assert done.returncode == 0


def test_decode_reads_gzipped_files(tmp_path):
    path = tmp_path / "frames.jsonl.gz"
    path.write_bytes(gzip.compress(TRADE.encode() + b"\n"))
    done = run("decode", "kraken", str(path))
    assert json.loads(done.stdout)["symbol"] == "btc/usd"


def test_decode_ends_quietly_when_its_reader_leaves(tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_text((TRADE + "\n") * 20_000)
    with subprocess.Popen(
        [*HFTPY, "decode", "kraken", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments", [("decode", "nasdaq"), ("decode", "kraken", "/nowhere"), ("run", "/nowhere.json")]
)
def test_what_cannot_be_used_is_named_in_one_line(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[-1].encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_status_of_an_empty_root(root):
    done = run("status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {})


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("status", "--json"), ("top", "--once"), ("metrics",), ("metrics", "--port", "0"), ("tail",)],
)
@pytest.mark.parametrize("chosen", ["option", "environment"])
def test_a_root_that_is_not_there_is_told_of_and_not_created(tmp_path, monkeypatch, arguments, chosen):
    missing = tmp_path / "missing"
    monkeypatch.setenv("HFT_ROOT", str(missing if chosen == "environment" else tmp_path))
    done = run(*arguments, *(("--root", str(missing)) if chosen == "option" else ()))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"hftpy: root folder {missing} does not exist: no process has run under it\n"
    assert not missing.exists()


def test_the_version_is_an_option_and_a_command():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout == run("version").stdout
    assert re.fullmatch(rb"hftpy \S+ \(core: \w+\)\n", done.stdout)


def test_status_shows_every_hop(root):
    histogram = LatencyHistogram()
    histogram.record(1_500_000)
    status = {"pid": os.getpid(), "latency": {"socket_to_parse": histogram.to_dict()}}
    (root / "status").mkdir(mode=0o700)
    (root / "status" / "mm1.json").write_text(json.dumps(status))
    done = run("status", "--latency")
    assert done.returncode == 0
    assert all(text in done.stdout.decode() for text in ("mm1", "socket_to_parse", "1.50 ms"))


@pytest.mark.parametrize("arguments", [("status",), ("status", "--latency")])
@pytest.mark.parametrize("width", [40, 80, None])
def test_status_cuts_no_name(root, arguments, width):
    histogram = LatencyHistogram()
    histogram.record(1_500_000)
    told = {"pid": os.getpid(), "state": "running", "latency": {"receipt_to_callback": histogram.to_dict()}}
    (root / "status").mkdir(mode=0o700)
    (root / "status" / "kraken_gateway.json").write_text(json.dumps(told | {"counters": {"tickers": 123_456_789}}))
    terminal = {} if width is None else {"FORCE_COLOR": "1", "COLUMNS": str(width), "NO_COLOR": "1"}
    done = subprocess.run(
        [*HFTPY, *arguments], env=os.environ | terminal, capture_output=True, timeout=60, check=False
    )  # fmt: skip
    shown = done.stdout.decode()
    assert "kraken_gateway" in shown and "…" not in shown
    assert ("running" if len(arguments) == 1 else "receipt_to_callback") in shown
    if width is None:  # one line for a process, as grep and awk want it
        assert any("kraken_gateway" in line and " ms" in line for line in shown.splitlines())


def test_version():
    assert run("version").stdout.startswith(b"hftpy ")


@pytest.mark.parametrize("command", ["demo", "run", "sim", "decode", "status"])
def test_every_command_has_help(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_a_terminal_of_few_letters_ends_no_command():
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "COLUMNS": "30"}
    done = subprocess.run([*HFTPY, "markets", "--help"], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout  # in place of what is not to be shown


@pytest.mark.parametrize(
    "arguments", [("sim", "--port", "99999"), ("sim", "--rest-port", "-1"), ("metrics", "--port", "65536")]
)
def test_a_port_that_is_none_is_not_taken_for_another(root, arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[1].encode() in done.stderr
