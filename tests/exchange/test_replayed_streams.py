"""Recorded sessions of futures venues, replayed by the simulated venue into streams; and small ones written here."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_fakes import Observer

from hftcore.symbols import pair_of_native
from hftpy.common import Exchange, Gap, Stale, Ticker, Trade
from hftpy.sim import ReplayMarket, SimVenue
from hftpy.sim.recording import iter_session, register_session_instruments, session_exchange

NAMES = {
    "okx__v5_all_20210722": "okx", "okx__v5_books_20220513": "okx",
    "binance_usdm__1125a2_20210405": "binance_future", "binance_usdm__all_20210417": "binance_future",
    "binance_usdm__hftbacktest_usdm_btcusdt_20240808": "binance_future",
}  # fmt: skip
Row = tuple[Any, ...]


def rows_of(exchange: Exchange, text: str, channel: str) -> list[Row]:
    """What a frame holds, read slowly: symbol, time of the event in ms, number, two prices or price and size."""
    try:
        frame = json.loads(text)
    except ValueError:
        return []
    if exchange is Exchange.BINANCE_FUTURE:
        data = frame.get("data", frame)
        symbol = str(pair_of_native(exchange, data["s"])) if "s" in data else ""
        if channel == "ticker" and data.get("e") == "bookTicker":
            return [(symbol, data["E"], data["u"], float(data["b"]), float(data["a"]))]
        if channel == "trade" and data.get("e") in ("trade", "aggTrade"):
            number = data["t"] if data["e"] == "trade" else data["a"]
            return [(symbol, data["T"], number, float(data["p"]), float(data["q"]))]
        return []
    name = frame.get("arg", {}).get("channel")
    rows = []
    for row in frame.get("data", ()):
        if channel == "ticker" and name == "tickers":
            prices = [float(row[side] or 0) for side in ("bidPx", "askPx")]
            rows.append((str(pair_of_native(exchange, row["instId"])), int(row["ts"]), 0, *prices))
        elif channel == "trade" and name == "trades":
            what = float(row["px"]), float(row["sz"])
            rows.append((str(pair_of_native(exchange, row["instId"])), int(row["ts"]), int(row["tradeId"]), *what))
    return rows


def seen(item: Ticker | Trade) -> Row:
    if isinstance(item, Trade):
        return str(item.symbol), item.tradeTimeNs // 10**6, item.tradeId, item.price, item.volume
    return str(item.symbol), item.exchangeTimeNs // 10**6, item.seq, item.bidPrice, item.askPrice


async def replay(path: Path, channel: str, run_stream: Callable[..., Any], **args: Any) -> tuple[Observer, Any]:
    """Everything that a stream of all the session's pairs delivers, in order."""
    market = ReplayMarket(path, 0, autostart=False)
    exchange = market.exchange
    async with SimVenue(market, (exchange,)) as venue:
        observer = Observer()
        settings = {"currency_pairs": market.pairs, "subscribe_channels": [channel], "subscribe_args": args}
        stream, task = run_stream(exchange, SimpleNamespace(url=venue.ws_url(exchange)), observer, **settings)
        async with asyncio.timeout(120):
            while not stream.stats[channel]["connected"]:
                assert not task.done()
                await asyncio.sleep(0.01)
            market.start()
            await market.finished.wait()
            assert market.failure is None
            sent = sum(venue.front(exchange).events.values())
            counted = ("events", "duplicates", "outdated", "unwanted")
            while sum(stream.stats[channel][name] for name in counted) < sent:
                await asyncio.sleep(0.01)
        stats = stream.stats[channel]
        await stream.stop()
    assert not observer.of(Stale) and not stats["parse_errors"] and not stats["unwanted"]
    return observer, stats


def has_aggregates(path: Path) -> bool:
    return any("@aggTrade" in entry.data[:60] for entry in iter_session(path))


def written(folder: Path, frames: Iterable[str], url: str) -> Path:
    path = folder / "session.jsonl"
    lines: list[dict[str, Any]] = [{"t": "header"}, {"t": "conn", "ts": 1, "url": url}]
    lines += [{"t": "recv", "ts": 1, "data": frame} for frame in frames]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.recorded
@pytest.mark.parametrize("channel", ["ticker", "trade"])
@pytest.mark.parametrize("name", NAMES)
async def test_recorded_sessions_arrive_whole_and_in_order(fixtures, run_stream, name, channel):
    path = fixtures / "sessions" / f"{name}.jsonl.gz"
    exchange = session_exchange(path)
    assert str(exchange) == NAMES[name]
    expected: list[Row] = []
    for entry in iter_session(path):
        register_session_instruments(exchange, entry)
        if entry.kind == "recv":
            expected += rows_of(exchange, entry.data, channel)
    aggregate = {"aggregate": True} if channel == "trade" and has_aggregates(path) else {}
    observer, stats = await replay(path, channel, run_stream, **aggregate)
    assert [seen(item) for item in observer.of(Ticker, Trade)] == expected and len(expected) > 20
    assert not observer.of(Gap) and not stats["duplicates"] and not stats["outdated"]


@pytest.mark.recorded
@pytest.mark.parametrize("client", ["picows"], indirect=True)
@pytest.mark.parametrize("change", ["removed", "repeated", "swapped"])
@pytest.mark.parametrize("channel", ["ticker", "trade"])
@pytest.mark.parametrize("name", ["okx__v5_books_20220513", "binance_usdm__all_20210417"])
async def test_changed_recordings(fixtures, run_stream, tmp_path, name, channel, change):
    """Every tenth frame of the channel is taken away, sent again, or changes places with the next of its symbol."""
    path = fixtures / "sessions" / f"{name}.jsonl.gz"
    exchange = session_exchange(path)
    frames: list[tuple[str, list[Row]]] = []
    for entry in iter_session(path):
        register_session_instruments(exchange, entry)
        if entry.kind == "recv" and (rows := rows_of(exchange, entry.data, channel)):
            frames.append((entry.data, rows))
    order = list(range(len(frames)))
    changed = 0
    following = {}
    for place in reversed(order):
        symbol = frames[place][1][0][0]
        frames[place][1].append(following.get(symbol))  # where the symbol's next frame is
        following[symbol] = place
    before = Counter()
    for place in range(0, len(frames), 10):
        symbol, after = frames[place][1][0][0], frames[place][1][-1]
        if after is None or after % 10 == 0 or not any(frames[p][1][0][0] == symbol for p in range(place)):
            continue
        changed += 1
        before[symbol] += 1
        if change == "removed":
            order.remove(place)
        elif change == "repeated":
            order.insert(order.index(place) + 1, place)
        else:
            one, two = order.index(place), order.index(after)
            order[one], order[two] = order[two], order[one]
    assert changed
    url = "wss://ws.okx.com" if exchange is Exchange.OKX else "wss://fstream.binance.com"
    session = written(tmp_path, [frames[place][0] for place in order], url)
    aggregate = {"aggregate": True} if channel == "trade" and has_aggregates(path) else {}
    observer, stats = await replay(session, channel, run_stream, **aggregate)
    items, gaps = observer.of(Ticker, Trade), observer.of(Gap)
    original = [rows[0] for _, rows in frames]
    counted = exchange is Exchange.BINANCE_FUTURE and channel == "trade"
    numbered = exchange is Exchange.BINANCE_FUTURE or channel == "trade"
    if change == "removed":
        assert [seen(item) for item in items] == [original[place] for place in order]
        assert sum(gap.lost for gap in gaps) == (changed if counted else 0)
    elif change == "repeated":
        # The same ticker twice changes nothing; the same trade twice would be a trade too many.
        assert len(items) == len(original) + (0 if channel == "trade" else changed) and not gaps
        assert stats["duplicates"] == (changed if channel == "trade" else 0)
    elif numbered:
        assert len(items) == len(original) - changed
        assert stats["duplicates"] + stats["outdated"] == changed
        assert sum(gap.lost for gap in gaps) == (changed if counted else 0)
    for symbol in {seen(item)[0] for item in items} if numbered else ():
        numbers = [row[2] for row in map(seen, items) if row[0] == symbol]
        assert numbers == sorted(numbers)


async def test_a_stand_in_channel_is_played_where_the_recording_has_no_other(run_stream, tmp_path):
    row = {"instId": "BTC-USDT", "bidPx": "1", "bidSz": "2", "askPx": "3", "askSz": "4", "ts": "1790000000000"}
    frame = json.dumps({"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": [row]})
    observer, _ = await replay(written(tmp_path, [frame], "wss://ws.okx.com:8443/ws/v5/public"), "ticker", run_stream)
    assert [seen(item) for item in observer.of(Ticker)] == [("btc/usdt", 1790000000000, 0, 1.0, 3.0)]
