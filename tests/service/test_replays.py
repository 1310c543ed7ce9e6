"""What `hftpy replay` makes of recordings that are not whole: rotated, cut off, damaged, with holes and reconnects."""

import gzip
import json
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from event_log_ways import CHANNELS, PAIRS, live_log, log_of_the_replay, same

from hftpy.sim.recording import iter_recording, iter_session

pytestmark = pytest.mark.slow


def rows_of(path):
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def written(folder, rows, name="changed.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def twice(sessions, folder, setting):
    """The log of a replay that was made twice, and what was said."""
    events = [folder / "one.jsonl", folder / "two.jsonl"]
    log, said = await log_of_the_replay(sessions, folder, setting, events[0])
    again, _ = await log_of_the_replay(sessions, folder, setting, events[1])
    assert log == again and events[0].read_bytes() == events[1].read_bytes()
    return log, said


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
async def test_a_rotated_recording_is_replayed_as_a_whole(compression, tmp_path, root, eventually):
    if compression == "zstd":
        pytest.importorskip("zstandard")
    live, files, setting = await live_log(
        "okx", tmp_path, CHANNELS, eventually, compression=compression, max_file_bytes=4096, count=200
    )
    assert len(files) > 2
    log, said = await twice(files, tmp_path, setting)
    same(live, log)
    assert "note" not in said
    # Without the first the books have no snapshot; without one in the middle there is a hole. Both are said.
    log, said = await twice(files[1:], tmp_path, setting)
    assert f"note: {files[1]} goes on from {files[0].name}, which was not given" in said
    assert "okx.book: no snapshot was recorded that btc/usd waits for" in said and ("book", "btc/usd") not in log
    log, said = await twice([files[0], *files[2:]], tmp_path, setting)
    assert f"{files[2]} does not go on where {files[0]} ends" in said
    assert ("gap", "not recorded", None, "recording", "") in log["gaps", "ticker"]
    log, said = await twice(files[:1], tmp_path, setting)
    assert f"note: {files[0]} is continued by {files[1]}, which was not given" in said


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
async def test_a_recorder_that_was_killed_leaves_what_it_wrote(compression, tmp_path, root, eventually):
    if compression == "zstd":
        pytest.importorskip("zstandard")
    live, (session,), setting = await live_log("kraken", tmp_path, CHANNELS, eventually, compression=compression)
    whole, size = session.read_bytes(), session.stat().st_size
    rng = random.Random(5)
    before = None
    for at in (size - 1, *sorted((rng.randrange(size // 8, size) for _ in range(5)), reverse=True)):
        session.write_bytes(whole[:at])
        try:
            log, said = await twice(session, tmp_path, setting)
        except ValueError as error:
            # What zstd has not brought to the end of a block: not even the header can be read.
            assert compression == "zstd" and "was cut off before it" in str(error)
            break
        if compression != "none" or not whole[:at].rstrip(b"\n").endswith(b"}"):
            assert f"note: {session} ends in the middle of " in said
        for key, rows in log.items():
            assert rows == live[key][: len(rows)]
        count = sum(map(len, log.values()))
        assert count <= (before if before is not None else sum(map(len, live.values())))
        before = count
    assert before is not None and before > 0


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_a_damaged_file_is_refused(compression, tmp_path, root, eventually):
    """One changed byte may change any number after it, and still be a session. Some bits only fill up a byte."""
    if compression == "zstd":
        pytest.importorskip("zstandard")
    _, (session,), setting = await live_log(
        "binance", tmp_path, ["ticker"], eventually, compression=compression
    )
    whole, log = session.read_bytes(), await log_of_the_replay(session, tmp_path, setting)
    rng = random.Random(3)
    refused = 0
    for _ in range(20):
        place = rng.randrange(40, len(whole))
        session.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        try:
            assert await log_of_the_replay(session, tmp_path, setting) == log
        except ValueError as error:
            assert re.search(r"is damaged|cannot be read", str(error))
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("exchange", ["binance", "binance_future", "okx", "coinbase", "kraken_future", "kraken"])
async def test_frames_that_are_missing_in_a_recording_are_told_alike_each_time(
    exchange, tmp_path, root, eventually
):
    live, (session,), setting = await live_log(exchange, tmp_path, CHANNELS, eventually)
    rows = rows_of(session)
    rng = random.Random(exchange)
    books = [n for n, row in enumerate(rows) if row["t"] == "recv" and row["conn"].endswith(".book.1")][20:]
    trades = [n for n, row in enumerate(rows) if row["t"] == "recv" and row["conn"].endswith(".trade.1")][20:]
    gone = {rng.choice(trades[: len(trades) // 2]), rng.choice(books[: len(books) // 2])}
    if exchange == "kraken":  # whose checksum covers the ten best levels alone
        gone.update(books[10:20])
    log, said = await twice(written(tmp_path, [r for n, r in enumerate(rows) if n not in gone]), tmp_path, setting)
    gaps = {key[1]: found for key, found in log.items() if key[0] == "gaps"}
    if exchange != "okx":  # whose trades nothing counts
        assert {gap[2] for gap in gaps["trade"]} == {1}
    assert len(gaps["book"]) >= 1 and {gap[1] for gap in gaps["book"]} <= {"sequence", "checksum"}
    # No snapshot was asked for when it was recorded, since nothing was missing then: the book is shown no more.
    assert "no snapshot was recorded that" in said
    hurt = {gap[4] for gap in gaps["book"]}
    for pair in PAIRS:
        if pair in hurt or "" in hurt:
            place = log["book", pair].index(next(row for row in log["book", pair] if row[0] == "gap"))
            assert log["book", pair][:place] == live["book", pair][:place] and len(log["book", pair]) == place + 1
        else:
            assert log["book", pair] == live["book", pair]


async def test_what_the_recorder_lost_is_a_gap_of_every_channel(tmp_path, root, eventually):
    live, (session,), setting = await live_log("kraken", tmp_path, CHANNELS, eventually)
    rows = rows_of(session)
    place = len(rows) // 2
    rows[place:place] = [{"t": "conn", "ts_ns": rows[place]["ts_ns"], "lost": 3}]
    log, said = await twice(written(tmp_path, rows), tmp_path, setting)
    for channel in CHANNELS:
        assert log["gaps", channel] == [("gap", "not recorded", 3, "recording", "")]
    gap = ("gap", "not recorded", 3, "recording")
    for channel in ("ticker", "trade"):
        for pair in PAIRS:
            assert [row for row in log[channel, pair] if row != gap] == live[channel, pair]
            assert 0 < log[channel, pair].index(gap) < len(live[channel, pair])
    # Nothing numbers Kraken's books: one of which something may be missing is not shown.
    assert all(log["book", pair][-1] == gap for pair in PAIRS) and "no snapshot was recorded" in said


async def test_a_connection_that_was_made_again_begins_anew(tmp_path, root, eventually):
    """Recorded while the venue broke the connections: Binance's snapshots were fetched anew."""
    for exchange in ("binance", "kraken"):
        live, (session,), setting = await live_log(exchange, tmp_path, CHANNELS, eventually, breaks=True)
        log, said = await twice(session, tmp_path, setting)
        for key, rows in live.items():
            assert log[key] == rows, key
        assert all(log["gaps", channel] for channel in CHANNELS) and "note" not in said


async def test_what_was_not_recorded_is_said(tmp_path, root, eventually):
    _, (session,), setting = await live_log("binance", tmp_path, ["ticker"], eventually)
    stream = setting["streams"][0]
    stream |= {"currency_pairs": ["btc/usd", "sol/usd"], "subscribe_channels": ["ticker", "book", "kline"]}
    log, said = await twice(session, tmp_path, setting)
    assert log.keys() == {("ticker", "btc/usd")}
    assert "note: binance.ticker: nothing was recorded of sol/usd" in said
    assert "note: binance.book: depth@100ms was not recorded" in said
    assert "note: binance.kline: kline_1m was not recorded" in said


async def test_books_of_another_depth_are_refused(tmp_path, root, eventually):
    _, (session,), setting = await live_log("kraken", tmp_path, ["book"], eventually)
    setting["streams"][0]["subscribe_args"] = {"book": {"depth": 10}}
    with pytest.raises(ValueError, match=r"must be the recorded one \(100\), was 10"):
        await log_of_the_replay(session, tmp_path, setting)


def test_a_recorder_brings_what_it_has_to_the_disk(tmp_path, eventually):
    """Killed a while after its last message: nothing is missing."""
    program = (
        "import time; from hftpy.common import Exchange; from hftpy.sim.recorder import SessionRecorder\n"
        "import sys; recorder = SessionRecorder(sys.argv[1], 'x', Exchange.KRAKEN, compression=sys.argv[2])\n"
        "note = recorder.connection('k'); note('conn', 'ws://x')\n"
        "[note('recv', str(n)) for n in range(1000)]\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    for compression in ("gzip", "none"):
        folder = tmp_path / compression
        process = subprocess.Popen([sys.executable, "-c", program, folder, compression], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None and process.stdout.readline()
            said: list[str] = []

            def count(folder=folder, said=said):
                paths = list(folder.glob("*"))
                try:
                    return sum(entry.kind == "recv" for path in paths for entry in iter_session(path, said.append))
                except ValueError:
                    return 0  # the header is not there yet

            deadline = time.monotonic() + 60
            while count() < 1000 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert count() == 1000
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()


def test_files_of_two_venues_are_no_recording(tmp_path):
    one = written(tmp_path, [{"t": "header", "exchange": "okx"}], "one")
    two = written(tmp_path, [{"t": "header", "exchange": "kraken"}], "two")
    with pytest.raises(ValueError, match="all files must be of okx, was kraken"):
        list(iter_recording([one, two]))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match="header"):
        list(iter_session(empty))


async def test_connections_without_names_at_two_addresses_are_two(tmp_path, root):
    """Somebody else's recording: the second connection is none that was made again."""
    arg = {"instId": "BTC-USDT"}
    trades = [
        {"arg": {"channel": "trades", **arg}, "data": [
            {**arg, "tradeId": str(number), "px": "1", "sz": "2", "side": "buy", "ts": str(1_700_000_000_000 + number)}
        ]} for number in range(3)
    ]  # fmt: skip
    candle = {"arg": {"channel": "candle1m", **arg}, "data": [["1700000000000", *"1111000", "0"]]}
    rows = [
        {"t": "header", "source": "a test"},
        {"t": "conn", "ts": 1, "url": "wss://ws.okx.com:8443/ws/v5/public"},
        *({"t": "recv", "ts": 2, "data": json.dumps(trade)} for trade in trades[:2]),
        {"t": "conn", "ts": 3, "url": "wss://ws.okx.com:8443/ws/v5/business"},
        {"t": "recv", "ts": 4, "data": json.dumps(candle)},
        {"t": "recv", "ts": 5, "data": json.dumps(trades[2])},
    ]
    path = tmp_path / "okx.jsonl"

    def write() -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    stream = {"exchange": "okx", "currency_pairs": ["btc/usdt"], "subscribe_channels": ["trade", "kline"]}
    write()
    log, _ = await log_of_the_replay(path, tmp_path, {"streams": [stream]})
    assert {key: len(found) for key, found in log.items()} == {("trade", "btc/usdt"): 3, ("kline", "btc/usdt"): 1}
    rows.insert(-1, rows[1])  # this one is
    write()
    log, _ = await log_of_the_replay(path, tmp_path, {"streams": [stream]})
    assert len(log["gaps", "trade"]) == 1 and log["gaps", "trade"][0][1] == "disconnected"
