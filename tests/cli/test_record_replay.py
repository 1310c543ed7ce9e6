"""`hftpy markets`, `watch`, `record` and `replay`, as processes against a simulated venue."""

import asyncio
import gzip
import json
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from hftcore.parse import Parser
from hftpy.cli.decode import decode_lines
from hftpy.common import Exchange
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.connection import ClientConnection
from hftpy.sim.faults import Fault
from hftpy.sim.recorder import SessionRecorder
from hftpy.sim.recording import iter_session, session_exchange, session_pairs
from hftpy.sim.text import wire_bytes

pytestmark = pytest.mark.slow

VENUES = (
    Exchange.KRAKEN, Exchange.BINANCE, Exchange.BINANCE_FUTURE, Exchange.OKX, Exchange.COINBASE, Exchange.KRAKEN_FUTURE,
)  # fmt: skip
PAIRS = ["btc/usd", "eth/usd"]


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(PAIRS, seed=3, rate=50), VENUES) as venue:
        yield venue


async def hftpy(*arguments: object, status: int = 0) -> str:
    """Run the command; its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.cli", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        output, errors = await process.communicate()
    assert process.returncode == status, errors.decode()
    return output.decode()


async def refused(*arguments: object) -> str:
    """Run a command that ends with status 2; what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.cli", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        _, errors = await process.communicate()
    assert process.returncode == 2
    return errors.decode()


@pytest.mark.parametrize("exchange", VENUES, ids=str)
async def test_markets(venue: SimVenue, exchange: Exchange) -> None:
    output = await hftpy("markets", exchange, "--rest-host", venue.rest_url(exchange), "--json")
    rows = [json.loads(line) for line in output.splitlines()]
    settled = {Exchange.BINANCE_FUTURE: ":usd", Exchange.KRAKEN_FUTURE: ":usd"}.get(exchange, "")
    assert [row["symbol"] for row in rows] == [pair + settled for pair in PAIRS]
    assert all(float(row["tick"]) > 0 and float(row["lot"]) > 0 and row["native"] for row in rows)
    output = await hftpy("markets", exchange, "ETH", "--rest-host", venue.rest_url(exchange))
    assert len(output.splitlines()) == 1 and output.startswith("eth/usd")


async def test_markets_that_cannot_be_had(venue: SimVenue) -> None:
    await hftpy("markets", "kraken", "--rest-host", venue.rest_url("binance"), status=2)
    await hftpy("markets", "sim", status=2)
    await hftpy("markets", "kraken", "nosuch", "--rest-host", venue.rest_url("kraken"), status=1)


async def test_watch_prints_lines_where_there_is_no_terminal(venue: SimVenue) -> None:
    output = await hftpy("watch", "coinbase", "btc/usd", "--for", 2, "--api-host", venue.ws_url("coinbase"))
    lines = output.splitlines()
    assert all(line.split()[1] == "btc/usd" for line in lines)
    assert {line.split()[2] for line in lines} >= {"ticker", "trade"}


@pytest.mark.parametrize("exchange", [Exchange.COINBASE, Exchange.KRAKEN_FUTURE], ids=str)
async def test_the_example_for_any_venue(venue: SimVenue, exchange: Exchange) -> None:
    program = Path(__file__).parents[2] / "examples" / "any_venue.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(exchange), "btc/usd", "--count", "5", stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "HFT_API_HOST": venue.ws_url(exchange)},
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert process.returncode == 0 and len(lines) == 5
    assert all(line.startswith(f"{exchange} btc/usd ") for line in lines)


SERVICE = """
import asyncio
from hftpy.service import ServiceBase

class Slow(ServiceBase):
    async def on_trade(self, trade):
        await asyncio.sleep(0)

    def on_ticker(self, ticker):
        assert int(ticker.flags) & 4
"""


def service_of(folder: Path, exchange: Exchange) -> Path:
    (folder / "slow.py").write_text(SERVICE)
    stream = {"exchange": str(exchange), "currency_pairs": PAIRS, "subscribe_channels": ["ticker", "trade"]}
    config = folder / "config.json"
    config.write_text(json.dumps({"slow": {"class_name": "Slow", "setting": {"streams": [stream]}}}))
    return config


@pytest.mark.parametrize("exchange", VENUES, ids=str)
async def test_what_is_recorded_is_replayed_twice_alike(
    venue: SimVenue, exchange: Exchange, tmp_path: Path, root: Path
) -> None:
    hosts = ["--api-host", venue.ws_url(exchange), "--rest-host", venue.rest_url(exchange)]
    output = await hftpy("record", exchange, *PAIRS, "-o", tmp_path, "--for", 2.5, *hosts)
    session = Path(output.splitlines()[0])
    assert session.name == f"{exchange}.00001.jsonl.gz" and output.endswith(" 0 lost\n")
    assert session_exchange(session) is exchange
    assert {str(channel) for channel in session_pairs(session)} == {"ticker", "trade"}
    kinds = {entry.kind for entry in iter_session(session)}
    assert kinds == {"conn", "send", "recv", "http"}
    logs = []
    for number in range(2):
        log = tmp_path / f"events{number}.jsonl"
        await hftpy("replay", session, service_of(tmp_path, exchange), "--events", log)
        logs.append(log.read_text())
    assert logs[0] == logs[1]
    events = [json.loads(line) for line in logs[0].splitlines()]
    assert {event["event"] for event in events} == {"ticker", "trade"}
    assert all(event["flags"] & 4 and event["symbol"] in PAIRS for event in events)
    times = [event["localTimeNs"] for event in events]
    assert times == sorted(times)
    parser, count = Parser(exchange), 0
    for entry in iter_session(session):
        count += len(parser.parse(entry.data.encode())) if entry.kind == "recv" else 0
    assert len(events) == count > 50


@pytest.mark.parametrize("exchange", [Exchange.BINANCE, Exchange.COINBASE, Exchange.KRAKEN_FUTURE], ids=str)
async def test_books_are_recorded_with_their_snapshots(venue: SimVenue, exchange: Exchange, tmp_path: Path) -> None:
    hosts = ["--api-host", venue.ws_url(exchange), "--rest-host", venue.rest_url(exchange)]
    output = await hftpy("record", exchange, *PAIRS, "--channel", "book", "-o", tmp_path, "--for", 2.5, *hosts)
    session = Path(output.splitlines()[0])
    assert {str(channel) for channel in session_pairs(session)} == {"book"}
    snapshots = [entry for entry in iter_session(session) if entry.kind == "http" and "depth" in entry.url]
    assert len(snapshots) >= (len(PAIRS) if exchange is Exchange.BINANCE else 0)


PERIODIC_SERVICE = """
from hftpy.service import ServiceBase

class Periodic(ServiceBase):
    def on_kline(self, kline):
        assert int(kline.flags) & 4

    def on_funding(self, funding):
        assert funding.mark_price is None or funding.mark_price > 0
"""


@pytest.mark.parametrize(
    ("exchange", "channels"),
    [(Exchange.KRAKEN, ["kline", "ticker"]), (Exchange.BINANCE_FUTURE, ["kline", "funding"]),
     (Exchange.COINBASE, ["kline", "trade"]), (Exchange.KRAKEN_FUTURE, ["funding", "ticker"]),
     (Exchange.OKX_SWAP, ["kline", "funding"])],
    ids=str,
)  # fmt: skip
async def test_klines_and_funding_are_replayed_twice_alike(
    exchange: Exchange, channels: list[str], tmp_path: Path, root: Path
) -> None:
    async with SimVenue(SyntheticMarket(PAIRS, seed=4, rate=50), (exchange,)) as venue:
        hosts = ["--api-host", venue.ws_url(exchange), "--rest-host", venue.rest_url(exchange)]
        chosen = [word for channel in channels for word in ("--channel", channel)]
        output = await hftpy("record", exchange, *PAIRS, *chosen, "-o", tmp_path, "--for", 3, *hosts)
    session = Path(output.splitlines()[0])
    (tmp_path / "periodic.py").write_text(PERIODIC_SERVICE)
    stream = {"exchange": str(exchange), "currency_pairs": PAIRS, "subscribe_channels": channels}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"periodic": {"class_name": "Periodic", "setting": {"streams": [stream]}}}))
    logs = []
    for number in range(2):
        log = tmp_path / f"events{number}.jsonl"
        await hftpy("replay", session, config, "--events", log)
        logs.append(log.read_text())
    assert logs[0] == logs[1]
    events = [json.loads(line) for line in logs[0].splitlines()]
    assert {event["event"] for event in events} == set(channels)
    assert {event["symbol"] for event in events} == set(PAIRS)
    # Each frame once: those of the two channels that share a feed are on connections of their own.
    parser, tickers = Parser(exchange), 0
    for entry in iter_session(session):
        if entry.kind == "recv" and ".ticker." in entry.conn:
            tickers += len(parser.parse(entry.data.encode()))
    assert sum(event["event"] == "ticker" for event in events) == tickers


async def test_watch_says_why_nothing_comes(venue: SimVenue) -> None:
    output = await hftpy("watch", "kraken", "btc/usd", "--for", 1.5, "--api-host", "ws://127.0.0.1:1", status=1)
    assert "note   kraken.ticker: " in output and "reconnect 1 in" in output
    output = await hftpy("watch", "kraken", "sol/usd", "--api-host", venue.ws_url("kraken"), status=2)
    assert "the venue refused to subscribe sol/usd" in output


async def test_watch_takes_binances_books_from_the_host_that_is_named(venue: SimVenue) -> None:
    hosts = ["--api-host", venue.ws_url("binance"), "--rest-host", venue.rest_url("binance")]
    output = await hftpy("watch", "binance", "btc/usd", "--book", "--for", 2, *hosts)
    assert " btc/usd book " in output


async def test_arguments_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    for wrong in ("{x", "[]"):
        errors = await refused("record", "kraken", "btc/usd", "-o", tmp_path, "--args", wrong)
        assert f"args must be a JSON object, was {wrong!r}" in errors
    assert "rest_host must begin with http" in await refused("markets", "kraken", "--rest-host", "nonsense")
    errors = await refused("markets", "kraken", "--rest-host", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1/0/public/AssetPairs: " in errors and "Traceback" not in errors


async def test_a_recording_of_nothing_is_said_to_be_none(tmp_path: Path) -> None:
    nobody = ("--api-host", "ws://127.0.0.1:1", "--for", "0.5")
    output = await hftpy("record", "kraken", "btc/usd", "-o", tmp_path, *nobody, status=1)
    assert output.splitlines()[-1] == "nothing came from kraken"


@pytest.mark.parametrize("exchange", [Exchange.KRAKEN, Exchange.OKX_SWAP], ids=str)
async def test_what_is_recorded_gives_the_log_of_the_live_strategy(
    exchange: Exchange, tmp_path: Path, root: Path, eventually: Any
) -> None:
    """`hftpy record` beside a live strategy, then `hftpy replay`: both in processes of their own."""
    channels = ["ticker", "trade", "book", "kline", *(["funding"] if exchange is Exchange.OKX_SWAP else [])]
    market = SyntheticMarket(PAIRS, seed=11, rate=50, autostart=False)
    async with SimVenue(market, (exchange,)) as venue:
        stream = {"exchange": str(exchange), "currency_pairs": PAIRS, "subscribe_channels": channels}
        live = dict(stream, api_host=venue.ws_url(exchange))
        (tmp_path / "writes.py").write_text(WRITES)
        config = tmp_path / "live.json"
        config.write_text(json.dumps({"writes": {"class_name": "Writes", "setting": {"streams": [live]}}}))
        # A log of the same form as that of the replay: the hooks of a service that `hftpy run` starts.
        named = [item for channel in channels for item in ("--channel", channel)]
        commands = (
            ["run", str(config)],
            ["record", str(exchange), *PAIRS, *named, "-o", str(tmp_path), "--api-host", venue.ws_url(exchange)],
        )
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hftpy.cli", *command, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, env={**os.environ, "EVENTS": str(tmp_path / "live.jsonl")},
            )
            for command in commands
        ]  # fmt: skip
        front = venue.front(exchange)
        await eventually(lambda: front.requests >= 2 * len(channels), 60)
        await asyncio.sleep(0.5)
        market.start()
        await eventually(lambda: front.events["trade"] + front.events["trades"] > 100, 60)
        await market.stop()
        await venue.commit(Fault.now("mute", 600))
        await asyncio.sleep(1.0)
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            async with asyncio.timeout(60):
                _, errors = await process.communicate()
            assert process.returncode == 0, errors.decode()
    session = tmp_path / f"{exchange}.00001.jsonl.gz"
    replayed = tmp_path / "replayed.jsonl"
    again = tmp_path / "again.json"
    again.write_text(json.dumps({"writes": {"class_name": "Writes", "setting": {"streams": [stream]}}}))
    output_text = await hftpy("replay", session, again, "--events", replayed)
    assert "note" not in output_text
    rows = [json.loads(line) for line in (tmp_path / "live.jsonl").read_text().splitlines()]
    for channel in channels:
        mine = [without_ours(row) for row in rows if row["event"] == channel]
        told = [json.loads(line) for line in replayed.read_text().splitlines()]
        told = [without_ours(row) for row in told if row["event"] == channel]
        if channel in ("kline", "funding"):  # what a subscription is told at once is of its own moment
            both = min(len(mine), len(told)) - 2 * len(PAIRS)
            assert both > 0
            mine, told = mine[-both:], told[-both:]
        assert told == mine and mine, channel


def without_ours(row: dict[str, Any]) -> dict[str, Any]:
    """Without when it was received, and that it is a replay; a book's snapshot has the time of the subscription."""
    begins = row["event"] == "book" and row["flags"] & 1
    ours = ("localTimeNs", "local_timestamp", *(["exchangeTimeNs"] if begins else []))
    kept = {name: value for name, value in row.items() if name not in ours}
    return kept | ({"flags": row["flags"] & ~4} if "flags" in row else {})


WRITES = """
import os
from hftpy.cli.replay import EventLog
from hftpy.service import ServiceBase

class Writes(ServiceBase):
    def on_setup(self):
        if "EVENTS" in os.environ:
            self.log = EventLog(self, open(os.environ["EVENTS"], "w", buffering=1))
"""


async def test_watch_with_a_book(venue: SimVenue) -> None:
    host = venue.ws_url("kraken_future")
    output = await hftpy("watch", "kraken_future", "btc/usd", "--book", "--for", 2, "--api-host", host)
    assert {line.split()[2] for line in output.splitlines()} >= {"ticker", "trade", "book"}


async def test_replay_of_a_lost_connection_tells_the_gap(venue: SimVenue, tmp_path: Path, root: Path) -> None:
    lines = [
        {"t": "header", "exchange": "kraken"},
        {"t": "conn", "ts_ns": 1, "conn": "k", "url": "ws://x/v2"},
        *({"t": "recv", "ts_ns": number, "conn": "k", "data": ticker(number)} for number in (2, 3)),
        {"t": "conn", "ts_ns": 4, "conn": "k", "url": "ws://x/v2"},
        {"t": "recv", "ts_ns": 5, "conn": "k", "data": ticker(5)},
    ]
    session = tmp_path / "session.jsonl"
    session.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = tmp_path / "events.jsonl"
    await hftpy("replay", session, service_of(tmp_path, Exchange.KRAKEN), "--events", log)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["ticker", "ticker", "gap", "ticker"]
    assert [event["localTimeNs"] for event in events if event["event"] == "ticker"] == [2, 3, 5]


def ticker(bid: int) -> str:
    row: dict[str, Any] = {"symbol": "BTC/USD", "bid": bid, "bid_qty": 1, "ask": bid + 1, "ask_qty": 1, "last": 1}
    return json.dumps({"channel": "ticker", "type": "update", "data": [row]})


async def test_replay_refuses_what_cannot_be_replayed(tmp_path: Path, root: Path) -> None:
    session = tmp_path / "session.jsonl"
    session.write_text('{"t":"header","exchange":"okx"}\n')
    await hftpy("replay", session, service_of(tmp_path, Exchange.KRAKEN), status=2)
    session.write_text("nonsense\n")
    await hftpy("replay", session, service_of(tmp_path, Exchange.KRAKEN), status=2)
    await hftpy("replay", session, service_of(tmp_path, Exchange.KRAKEN), "--service", "nosuch", status=2)


# The recorder


def recorded(recorder: SessionRecorder) -> list[list[dict[str, Any]]]:
    files = []
    for path in recorder.files:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            files.append([json.loads(line) for line in file])
    return files


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_files_are_rotated_by_size_and_nothing_is_lost(tmp_path: Path, compression: Any) -> None:
    recorder = SessionRecorder(tmp_path, "x", Exchange.KRAKEN, compression=compression, max_file_bytes=4096)
    note = recorder.connection("kraken.ticker")
    note("conn", "wss://x")
    for number in range(20_000):
        note("recv", f"{number:08} {hash(str(number))}".encode())
    recorder.close()
    files = recorded(recorder)
    assert len(files) > 2 and recorder.lost == 0 and recorder.messages == 20_001
    assert all(rows[0]["t"] == "header" and rows[0]["exchange"] == "kraken" for rows in files)
    assert files[1][0]["continues"] == recorder.files[0].name
    assert files[1][0]["connections"] == {"kraken.ticker.1": "wss://x"}
    numbers = [int(row["data"][:8]) for rows in files for row in rows if row["t"] == "recv"]
    assert numbers == list(range(20_000))
    again = SessionRecorder(tmp_path, "x", Exchange.KRAKEN, compression=compression)
    again.connection("y")("conn", "wss://y")
    again.close()
    assert again.files[0] not in recorder.files


def test_bytes_that_are_no_text_are_recorded_as_they_are(tmp_path: Path) -> None:
    frames = [b'{"a":"\xff\xfe"}', b"\x80", b"\xed\xa0\x80", bytes(range(256)), "\u20ac \U0001f600".encode()]
    frames.append(b"\xe2\x82")
    recorder = SessionRecorder(tmp_path, "x", Exchange.KRAKEN, compression="none")
    note = recorder.connection("kraken.ticker")
    for frame in frames:
        note("recv", frame)
    recorder.close()
    assert [wire_bytes(entry.data) for entry in iter_session(recorder.files[0])] == frames
    rows = list(decode_lines(Exchange.KRAKEN, recorder.files[0].read_bytes().splitlines()))
    # Judged as the bytes that they are, not as what the file is made of.
    assert [row["line"] for row in rows] == list(range(1, len(frames) + 2))
    assert not [row for row in rows if "session entry" in row.get("reason", "")]


async def test_bytes_that_are_no_text_are_played_as_they_are() -> None:
    heard: list[bytes | str] = []

    async def serve_one(socket: Any) -> None:
        connection = ClientConnection(socket)
        writer = asyncio.create_task(connection.write())
        connection.send('{"a":"\udcff"}')
        connection.send("plain")
        await connection.flushed()
        writer.cancel()

    async with serve(serve_one, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            heard += [await client.recv(decode=False), await client.recv(decode=False)]
    assert heard == [b'{"a":"\xff"}', b"plain"]


def test_zstd(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    recorder = SessionRecorder(tmp_path, "x", Exchange.KRAKEN, compression="zstd")
    note = recorder.connection("kraken.ticker")
    note("conn", "wss://x")
    for number in range(100):
        note("recv", str(number))
    recorder.close()
    entries = list(iter_session(recorder.files[0]))
    assert [entry.data for entry in entries if entry.kind == "recv"] == [str(number) for number in range(100)]
    assert entries[1].conn == "kraken.ticker.1" and session_exchange(recorder.files[0]) is Exchange.KRAKEN


def test_a_writer_that_is_too_slow_loses_with_a_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = SessionRecorder._write

    def slowly(self: SessionRecorder, entry: Any) -> None:
        gate.wait(20)
        write(self, entry)

    monkeypatch.setattr(SessionRecorder, "_write", slowly)
    recorder = SessionRecorder(tmp_path, "x", Exchange.KRAKEN, compression="none", capacity=8)
    note = recorder.connection("k")
    for number in range(100):
        note("recv", str(number))
    assert 88 <= recorder.lost <= 92
    gate.set()
    while not recorder._queue.empty():
        time.sleep(0.01)
    note("recv", "last")
    recorder.close()
    (rows,) = recorded(recorder)
    assert rows[-1]["data"] == "last" and rows[-2]["t"] == "conn"
    assert sum(row.get("lost", 0) for row in rows) == recorder.lost
    assert recorder.lost + len([row for row in rows if row["t"] == "recv"]) == 101


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: SessionRecorder) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(SessionRecorder, "_begin_file", full)
    recorder = SessionRecorder(tmp_path, "x", Exchange.KRAKEN)
    note = recorder.connection("k")
    for number in range(10):
        note("recv", str(number))
    with pytest.raises(OSError, match="no space"):
        recorder.close()
    assert (recorder.messages, recorder.lost) == (0, 10)


async def test_recording_ends_when_the_disk_is_full(venue: SimVenue, tmp_path: Path) -> None:
    limit = 64 * 1024  # of a file: the kernel refuses what is more, as a full disk would

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.cli", "record", "kraken", *PAIRS, "--channel", "ticker", "--channel", "book",
        "--compression", "none", "-o", str(tmp_path), "--api-host", venue.ws_url("kraken"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, errors = await process.communicate()  # it ends by itself: nobody gave it a time
    assert process.returncode == 2 and b"File too large" in errors and b"cannot write" in errors
    path = tmp_path / "kraken.00001.jsonl"
    assert str(path) in output.decode()
    told = re.search(r"(\d+) messages recorded, (\d+) lost", output.decode())
    cuts: list[str] = []
    read = [entry for entry in iter_session(path, cuts.append) if entry.kind != "header"]
    assert told is not None and int(told[2]) > 0 and cuts
    assert len(read) <= int(told[1]) < len(read) + 100  # but for what waited to be flushed


@pytest.mark.parametrize("wrong", [{"compression": "zip"}, {"max_file_bytes": 1}, {"capacity": 0}])
def test_bad_settings(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SessionRecorder(tmp_path, "x", Exchange.KRAKEN, **wrong)
