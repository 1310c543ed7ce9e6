"""What was recorded of Interactive Brokers, played again through the code that read it live."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from exchange_fakes import Observer
from tws_peer import Listed, TwsPeer, frame

from hftcore.enums import Exchange, Flag
from hftpy.common import Gap, Reconnected, Ticker, Trade
from hftpy.exchange import get_exchange_stream, ib
from hftpy.exchange.hooks import FRAME_TAP, SESSION_SOURCE
from hftpy.sim.recorder import SessionRecorder
from hftpy.sim.recording import iter_session
from hftpy.sim.session_source import RecordedSource

AAPL = Listed("AAPL", conId=265598)
MSFT = Listed("MSFT", conId=272093)
PAIRS = ["aapl/usd", "msft/usd"]
REASON = "No market data during competing live session"


def stream_of(url: str | None = None, **settings: Any) -> Any:
    settings = {
        "currency_pairs": PAIRS, "subscribe_channels": ["ticker", "trade"], "api_host": url,
        "reconnect_times": {"times": -1, "initial": 0.01, "max": 0.05},
    } | settings  # fmt: skip
    return get_exchange_stream(exchange="ib", **settings)


async def record(peer: TwsPeer, recorder: SessionRecorder, scenario: Any, **settings: Any) -> Observer:
    """What an observer gets while a scenario is recorded."""
    observer, stream = Observer(), stream_of(peer.url, **settings)
    stream.bind_observer(observer)
    token = FRAME_TAP.set(recorder)
    task = asyncio.create_task(stream.start())
    FRAME_TAP.reset(token)
    try:
        async with asyncio.timeout(30):
            while not all(stats["connected"] for stats in stream.stats.values()):
                await asyncio.sleep(0.01)
            await scenario(observer)
    finally:
        await stream.stop()
        await asyncio.gather(task, return_exceptions=True)
        recorder.close()
    return observer


async def play(paths: list[Path], **settings: Any) -> tuple[Observer, RecordedSource]:
    observer, stream = Observer(), stream_of(**settings)
    stream.bind_observer(observer)

    async def settled() -> None:
        await asyncio.sleep(0)

    source = RecordedSource(paths, settled)
    token = SESSION_SOURCE.set(source)
    task = asyncio.create_task(stream.start())
    SESSION_SOURCE.reset(token)
    try:
        while len(source.sessions) < len(stream.subscribe_channels):
            await asyncio.sleep(0)
        await source.play()
    finally:
        await stream.stop()
        await task
    return observer, source


def told(observer: Observer) -> dict[str, list[Any]]:
    """By channel, as two connections are read in turns that no two runs share; without what depends on the clock.

    A replay does not tell when a connection was made again.
    """
    rows: dict[str, list[Any]] = {"ticker": [], "trade": []}
    for item in observer.log:
        if isinstance(item, Ticker | Trade):
            fields = {name: value for name, value in item.to_dict().items() if name not in ("localTimeNs", "flags")}
            rows["ticker" if isinstance(item, Ticker) else "trade"].append((fields, item.flags & ~Flag.REPLAY))
        elif isinstance(item, Gap):
            rows[str(item.channel)].append((item.symbol, item.reason))
        elif isinstance(item, Reconnected) and item.attempts == 0:
            rows[str(item.channel)].append(("restored",))
    return rows


async def test_ticks_losses_and_reconnects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ib, "RETRY_S", 0.05)
    monkeypatch.setattr(ib, "MAX_RETRY_S", 0.05)
    async with TwsPeer([AAPL, MSFT]) as peer:

        async def scenario(observer: Observer) -> None:
            for second in range(5):
                for symbol, price in (("AAPL", 150 + second), ("MSFT", 300 + second)):
                    peer.quote(symbol, price, price + 0.25, (1 + second, "0.5"), second=second)
                    peer.trade(symbol, price, second + 1, second=second)
            await observer.count(10, Ticker)
            await observer.count(10, Trade)
            for loss in (1, 2):
                peer.refused["MSFT"] = (10197, REASON)
                peer.refuse("BidAsk", "MSFT", 10197, REASON)
                await observer.count(loss, Gap)
                await asyncio.sleep(0.3)
                del peer.refused["MSFT"]
                await peer.until(lambda: peer.live("BidAsk", "MSFT"))
                peer.quote("MSFT", 400, 401)
                await observer.count(10 + loss, Ticker)
            peer.notice(1100, "Connectivity between IB and TWS has been lost.")
            await observer.count(4, Gap)
            peer.notice(1102, "Connectivity between IB and TWS has been restored - data maintained.")
            await observer.count(2, Reconnected)
            peer.send(frame(99, "no number"))
            peer.disconnect()
            await observer.count(6, Gap)
            await observer.count(4, Reconnected)
            peer.quote("AAPL", 1, 2)
            peer.trade("MSFT", 3)
            await observer.count(13, Ticker)
            await observer.count(11, Trade)

        live = await record(peer, SessionRecorder(tmp_path, "ib", Exchange.IB), scenario)
    path = tmp_path / "ib.00001.jsonl.gz"
    first, source = await play([path])
    assert told(first) == told(live)
    assert source.notes == []
    assert all(item.flags & Flag.REPLAY for item in first.of(Ticker, Trade))
    times = [entry.time_ns for entry in iter_session(path) if entry.kind == "recv"]
    assert {item.localTimeNs for item in first.of(Ticker, Trade)} <= set(times)
    second, _ = await play([path])
    assert second.log == first.log
    # Fewer pairs, in another order, of which one was not recorded.
    third, source = await play([path], currency_pairs=["nosuch/usd", "msft/usd"], subscribe_channels=["ticker"])
    assert told(third)["ticker"] == [row for row in told(first)["ticker"] if "aapl/usd" not in str(row)]
    assert source.notes == ["ib.ticker: nothing was recorded of nosuch/usd"]


async def test_market_data_lines_in_rotated_files(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path, "ib", Exchange.IB, compression="none", max_file_bytes=4096)
    async with TwsPeer([AAPL, MSFT]) as peer:

        async def scenario(observer: Observer) -> None:
            for number in range(60):
                for symbol in ("AAPL", "MSFT"):
                    for item in peer.live("MktData", symbol):
                        request = item.request
                        peer.send(frame(1, 6, request, 1, 100 + number, 5, 0) + frame(1, 6, request, 2, 200, 7, 0))
                        text = f"{100 + number};1;{1790000000000 + number};5;1;true"
                        peer.send(frame(46, 6, request, 48, text))
            await observer.count(120, Ticker)
            await observer.count(120, Trade)

        live = await record(peer, recorder, scenario, subscribe_args={"feed": "market_data"})
    paths = recorder.files
    assert len(paths) > 3
    played, source = await play(paths)  # the feed is the recording's
    assert told(played) == told(live) and source.notes == []
    # A part says by itself what it is of.
    part, _ = await play(paths[2:3])
    assert {item.symbol for item in part.of(Ticker)} == set(PAIRS)
    rows = told(live)
    assert all(row in rows[channel] for channel, some in told(part).items() for row in some)


async def test_a_pair_that_means_another_contract(tmp_path: Path) -> None:
    async with TwsPeer([AAPL, MSFT]) as peer:

        async def scenario(observer: Observer) -> None:
            peer.quote("AAPL", 1, 2)
            await observer.count(1, Ticker)

        await record(peer, SessionRecorder(tmp_path, "ib", Exchange.IB), scenario)
    contracts = {"aapl/usd": {"secType": "STK", "symbol": "AAPL", "currency": "EUR", "exchange": "SMART"}}
    with pytest.raises(ValueError, match=r"contract of aapl/usd must be the recorded one \(STK AAPL"):
        await play([tmp_path / "ib.00001.jsonl.gz"], subscribe_args={"contracts": contracts})
    same = {"aapl/usd": {"conId": 265598}}
    played, _ = await play([tmp_path / "ib.00001.jsonl.gz"], subscribe_args={"contracts": same})
    assert len(played.of(Ticker)) == 1


SERVICE = """
from hftpy.service import ServiceBase

class Listener(ServiceBase):
    def on_ticker(self, ticker):
        pass
"""


async def hftpy(*arguments: object) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.cli", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_commands(tmp_path: Path, root: Path) -> None:
    async with TwsPeer([AAPL]) as peer:
        peer.on_subscribed = lambda subscription: peer.quote("AAPL", "1.5", "1.75", second=3)
        status, output, errors = await hftpy(
            "record", "ib", "aapl/usd", "--channel", "ticker", "-o", tmp_path, "--for", 2, "--api-host", peer.url
        )
    assert status == 0, errors
    (tmp_path / "listener.py").write_text(SERVICE)
    config, events = tmp_path / "config.json", [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    stream = {"exchange": "ib", "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"]}
    config.write_text(json.dumps({"listener": {"class_name": "Listener", "setting": {"streams": [stream]}}}))
    for path in events:
        status, replayed, errors = await hftpy("replay", output.splitlines()[0], config, "--events", path)
        assert status == 0 and "note" not in replayed, errors
    assert events[0].read_bytes() == events[1].read_bytes()
    (row,) = [json.loads(line) for line in events[0].read_text().splitlines()]
    assert (row["event"], row["symbol"], row["bidPrice"], row["flags"]) == ("ticker", "aapl/usd", 1.5, 4)
    status, decoded, _ = await hftpy("decode", "ib", output.splitlines()[0])
    kinds = [json.loads(line)["type"] for line in decoded.splitlines()]
    assert status == 0 and "ticker" in kinds and "error" not in kinds
