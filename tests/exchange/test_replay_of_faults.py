"""A recording of a venue that commits faults, played again: every event and every gap as it was live."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from exchange_fakes import Observer

from hftpy.common import Exchange, Gap, Reconnected, Stale
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.hooks import FRAME_TAP, SESSION_SOURCE
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.faults import Fault
from hftpy.sim.recorder import SessionRecorder
from hftpy.sim.session_source import RecordedSource

PAIRS = ["btc/usd", "eth/usd"]
CHANNELS = {
    Exchange.KRAKEN: ["ticker", "trade", "book", "kline"],
    Exchange.BINANCE: ["ticker", "trade", "book", "kline"],
    Exchange.BINANCE_FUTURE: ["ticker", "trade", "book", "funding"],
    Exchange.OKX: ["ticker", "trade", "book", "kline"],
    Exchange.OKX_SWAP: ["ticker", "trade", "book", "funding"],
    Exchange.COINBASE: ["ticker", "trade", "book", "kline"],
    Exchange.KRAKEN_FUTURE: ["ticker", "trade", "book", "funding"],
}
FAULTS = [
    Fault("drop", 0.0, 0.3), Fault("disconnect", 0.0, 0.0), Fault("reorder", 0.0, 0.3), Fault("garbage", 0.0, 0.0),
]  # fmt: skip
CLOCKED = {"localTimeNs", "flags", "local_timestamp", "timestamp"}


def stream_of(exchange: Exchange, observer: Observer, **settings: Any) -> Any:
    stream = get_exchange_stream(
        exchange, currency_pairs=PAIRS, subscribe_channels=CHANNELS[exchange],
        reconnect_times={"times": -1, "initial": 0.01, "max": 0.05}, **settings,
    )  # fmt: skip
    stream.bind_observer(observer)
    return stream


def told(observer: Observer) -> dict[tuple[str, str], list[Any]]:
    """By kind and symbol, as connections are read in turns that no two runs share; a replay knows of no Reconnected."""
    rows = defaultdict(list)
    for item in observer.log:
        if isinstance(item, Gap):
            rows[f"gap {item.channel}", str(item.symbol)].append((item.reason, item.lost))
        elif not isinstance(item, Reconnected | Stale):
            fields = item.to_dict() if hasattr(item, "to_dict") else msgspec.structs.asdict(item)
            kept = {name: value for name, value in fields.items() if name not in CLOCKED}
            rows[type(item).__name__, str(item.symbol)].append(str(kept))
    return dict(rows)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", CHANNELS, ids=str)
async def test_live_and_replayed(exchange: Exchange, tmp_path: Path) -> None:
    live, recorder = Observer(), SessionRecorder(tmp_path, str(exchange), exchange)
    async with SimVenue(SyntheticMarket(PAIRS, seed=7, rate=60), [exchange]) as venue:
        books = {"book": {"rest_host": venue.rest_url(exchange)}} if "binance" in str(exchange) else {}
        stream = stream_of(exchange, live, api_host=venue.ws_url(exchange), subscribe_args=books)
        token = FRAME_TAP.set(recorder)
        task = asyncio.create_task(stream.start())
        FRAME_TAP.reset(token)
        for fault in FAULTS:
            await asyncio.sleep(0.6)
            await venue.commit(fault)
        await asyncio.sleep(0.6)
        await stream.stop()
        await task
    recorder.close()
    played = Observer()
    stream = stream_of(exchange, played)

    async def settled() -> None:
        await asyncio.sleep(0)

    source = RecordedSource(recorder.files, settled)
    token = SESSION_SOURCE.set(source)
    task = asyncio.create_task(stream.start())
    SESSION_SOURCE.reset(token)
    while len(source.sessions) < len(CHANNELS[exchange]):
        await asyncio.sleep(0)
    await source.play()
    await stream.stop()
    await task
    expected = told(live)
    assert {kind for kind, _ in expected} >= {"Ticker", "Trade", "Snapshot", "gap ticker", "gap book"}
    assert told(played) == expected
