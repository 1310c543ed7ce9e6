"""Recorded trades and tickers with one frame removed, repeated, or swapped with the next one, at any place."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from session_rows import rows_of
from sim_session import following
from test_damaged_sessions import KINDS, Damage
from test_every_session import seen

from hftpy.common import Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.sim.recording import session_exchange

pytestmark = pytest.mark.recorded
SESSIONS = (
    "binance_spot__all_20210417", "binance_usdm__all_20210417", "okx__v5_books_20220513",
    "coinbase__advanced_20260809", "kraken_futures__all_20210417", "kraken__v1_ticker_20210405",
    "kraken__v1_trade_20210405",
)  # fmt: skip
COUNTED = (Exchange.BINANCE, Exchange.BINANCE_FUTURE, Exchange.COINBASE, Exchange.KRAKEN_FUTURE)


async def follow(path: Path, channel: str, damage: Damage) -> tuple[list[Any], list[Gap], dict[str, Any]]:
    async with following(path, channel, faults=damage) as run:
        await run.play()
        assert not run.observer.of(Stale, Reconnected)
        return [seen(item) for item in run.observer.of(Ticker, Trade)], run.observer.of(Gap), run.stats


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channel", ["ticker", "trade"])
@pytest.mark.parametrize("name", SESSIONS)
async def test_one_damaged_frame_anywhere(fixtures: Path, name: str, channel: str, kind: str) -> None:
    if channel not in name and "kraken__" in name:
        pytest.skip(f"{name} has no {channel}")
    path = fixtures / "sessions" / f"{name}.jsonl.gz"
    exchange = session_exchange(path)
    right = Damage()
    items, gaps, _ = await follow(path, channel, right)
    assert not gaps
    seed = random.randrange(2**32)
    at = random.Random(seed).randrange(1, len(right.frames) - 1)
    print(f"seed {seed}: {kind} at {at} of {name}")
    got, gaps, stats = await follow(path, channel, Damage(kind, at))
    carried = rows_of(exchange, right.frames[at].text, channel)
    behind = rows_of(exchange, right.frames[at + 1].text, channel)
    pair, same = carried[0][0], carried[0][0] == behind[0][0]
    # Whatever comes, comes in its order and once, where the venue has numbers.
    trades = [gap for gap in gaps if gap.reason == "trade ids"]
    frames = [gap for gap in gaps if gap.reason == "frame numbers"]
    numbered = channel == "trade" and exchange in COUNTED
    if kind == "remove":
        assert got == [row for row in items if row not in carried] or len(got) == len(items) - len(carried)
        if numbered:
            first = not any(row[0] == pair for row in items[: items.index(carried[0])])
            last = items[-1] in carried or not any(row[0] == pair for row in items[items.index(carried[-1]) + 1 :])
            assert sum(gap.lost or 0 for gap in trades) == (0 if first or last else len(carried))
        assert sum(gap.lost or 0 for gap in frames) == (exchange is Exchange.COINBASE)
    elif kind == "repeat":
        assert not gaps
        once = numbered or exchange is Exchange.COINBASE or (channel == "trade" and exchange is Exchange.OKX)
        assert stats["duplicates"] + stats["outdated"] == (len(carried) if once else 0)
        twice = [*right.frames[: at + 1], right.frames[at], *right.frames[at + 1 :]]
        assert got == (items if once else [row for frame in twice for row in rows_of(exchange, frame.text, channel)])
    else:
        assert sum(gap.lost or 0 for gap in frames) == (exchange is Exchange.COINBASE)
        if exchange is Exchange.COINBASE:
            assert len(got) == len(items) - len(carried)
        elif numbered and same:
            assert len(got) >= len(items) - max(len(carried), len(behind))
            assert stats["duplicates"] + stats["outdated"] == len(items) - len(got)
            assert sum(gap.lost or 0 for gap in trades) in (0, stats["duplicates"])
        elif not same:
            assert sorted(got) == sorted(items) and not gaps
    if numbered:
        for name_of in {row[0] for row in got}:
            ids = [row[1] for row in got if row[0] == name_of]
            assert ids == sorted(set(ids))


def test_the_sessions_are_there(fixtures: Path) -> None:
    names = {path.name.removesuffix(".jsonl.gz") for path in (fixtures / "sessions").glob("*.gz")}
    assert names >= set(SESSIONS), os.fspath(fixtures)
