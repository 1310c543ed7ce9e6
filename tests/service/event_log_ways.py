"""The ways from a market to a strategy, for tests that compare what it is told on each."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from event_log_strategy import EventLogStrategy

from hftpy.cli.replay import replay
from hftpy.common import Exchange
from hftpy.exchange.hooks import FRAME_TAP, SESSION_SOURCE
from hftpy.service import ServiceBase, parse_section
from hftpy.sim import ReplayMarket, SimVenue, SyntheticMarket
from hftpy.sim.faults import Fault
from hftpy.sim.recorder import SessionRecorder

PAIRS = ["btc/usd", "eth/usd"]
CHANNELS = ["ticker", "trade", "book"]
MARKETS = {
    "kraken": [*CHANNELS, "kline"],
    "binance": [*CHANNELS, "kline"],
    "binance_future": [*CHANNELS, "kline", "funding"],
    "okx": [*CHANNELS, "kline"],
    "okx_swap": [*CHANNELS, "kline", "funding"],
    "coinbase": [*CHANNELS, "kline"],
    "kraken_future": CHANNELS,
}
FAST = {"times": -1, "initial": 0.02, "max": 0.1}
Logs = dict[tuple[str, str], list[Any]]


class Gateway(ServiceBase):
    """Publishes what its streams deliver."""


def stream_of(venue: SimVenue, exchange: str, pairs: Iterable[str], channels: list[str], **args: Any) -> dict[str, Any]:
    """The same of all venues but for `exchange`."""
    api_host = venue.ws_url(exchange).removesuffix(f"/{exchange}")
    rest_host = venue.rest_url(exchange).removesuffix(f"/{exchange}")
    return {
        "exchange": exchange, "currency_pairs": [str(pair) for pair in pairs], "subscribe_channels": channels,
        "api_host": api_host, "api_auth_data": {"rest_host": rest_host},
        "subscribe_args": {"book": {"levels": 10}, **args},
    }  # fmt: skip


def section(name: str, folder: Path, **setting: Any) -> Any:
    content = {"class_name": "event_log_strategy:EventLogStrategy", "setting": setting}
    return parse_section(f"test.{name}", content, folder)


@asynccontextmanager
async def running(*services: ServiceBase) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        yield
    finally:
        for service in services:
            service.request_stop()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [end for end in ends if end is not None]


def connected(service: ServiceBase) -> bool:
    stats = [channel for stream in service.streams for channel in stream.stats.values()]
    return service.state == "running" and all(channel["connected"] for channel in stats)


async def quiet(*strategies: EventLogStrategy) -> None:
    """Wait until nothing has come for a while: whatever is still missing then is not on its way."""
    counts: list[int] = []
    async with asyncio.timeout(60):
        while counts != (counts := [strategy.count for strategy in strategies]) or not all(
            strategy.market_idle for strategy in strategies
        ):
            await asyncio.sleep(0.25)


async def logs_of_the_venue(
    session: Path, folder: Path, pairs: list[str], channels: list[str], eventually: Callable[..., Any], transport: str,
    **args: Any,
) -> list[Logs]:
    """The session played by the simulated venue: to a strategy's own stream, and through a gateway."""
    market = ReplayMarket(session, 0, autostart=False)
    exchange = str(market.exchange)
    async with SimVenue(market, (exchange,)) as venue:
        stream = stream_of(venue, exchange, pairs, channels, **args)
        reading = [
            {"exchange": exchange, "channel": channel, "symbols": pairs, "transport": transport}
            for channel in channels
        ]
        publish = {"channels": channels, "transport": transport}
        direct = EventLogStrategy(section("direct", folder, streams=[stream]))
        reader = EventLogStrategy(section("reader", folder, ipc_subscribers=reading))
        gateway = Gateway(section("gateway", folder, streams=[stream], ipc_publish=publish))
        async with running(direct, reader, gateway):
            await eventually(lambda: connected(direct) and connected(reader) and connected(gateway))
            for channel in channels:
                await eventually(lambda name=channel: gateway.ipc_publisher.subscriber_count(exchange, name) == 1)
            market.start()
            async with asyncio.timeout(100):
                await market.finished.wait()
            assert market.failure is None
            await quiet(direct, reader)
            return [{key: list(rows) for key, rows in strategy.rows.items()} for strategy in (direct, reader)]


async def log_of_the_replay(
    sessions: Path | list[Path], folder: Path, setting: dict[str, Any], events: Path | None = None
) -> tuple[Logs, str]:
    """`hftpy replay`, in this process."""
    config = folder / "config.json"
    config.write_text(
        json.dumps({"replayed": {"class_name": "event_log_strategy:EventLogStrategy", "setting": setting}})
    )
    said, made = io.StringIO(), []
    setup = EventLogStrategy.on_setup

    def on_setup(self: EventLogStrategy) -> bool:
        made.append(self)
        return setup(self)

    EventLogStrategy.on_setup = on_setup  # type: ignore[method-assign]
    try:
        given = sessions if isinstance(sessions, list) else [sessions]
        context = asyncio.create_task(replay(given, config, None, 0.0, events, said))
        assert await context == 0
    finally:
        EventLogStrategy.on_setup = setup  # type: ignore[method-assign]
        SESSION_SOURCE.set(None)
    (strategy,) = made
    return strategy.rows, said.getvalue()


async def live_log(
    exchange: str, folder: Path, channels: list[str], eventually: Callable[..., Any], *, count: int = 40,
    breaks: bool = False, **options: Any,
) -> tuple[Logs, list[Path], dict[str, Any]]:
    """A strategy on a synthetic market, whose own connections are recorded."""
    market = SyntheticMarket(PAIRS, seed=7, rate=100, autostart=False)
    async with SimVenue(market, (exchange,)) as venue:
        recorder = SessionRecorder(folder, exchange, Exchange.parse(exchange), **options)
        stream = stream_of(venue, exchange, PAIRS, channels) | {"reconnect_times": FAST}
        strategy = EventLogStrategy(section("live", folder, streams=[stream]))
        token = FRAME_TAP.set(recorder)
        async with running(strategy):
            await eventually(lambda: connected(strategy))
            FRAME_TAP.reset(token)
            market.start()

            async def more(count: int) -> None:
                rows = strategy.rows
                keys = [(channel, pair) for channel in channels for pair in PAIRS]
                due = {key: len(rows.get(key, ())) + (count if key[0] in CHANNELS else 1) for key in keys}
                await eventually(lambda: all(len(rows.get(key, ())) >= due[key] for key in keys))

            await more(count)
            if breaks:
                venue.front(exchange).abort_all()
                await eventually(lambda: all(("gaps", channel) in strategy.rows for channel in channels))
                await more(count)
            await market.stop()
            await venue.commit(Fault.now("mute", 600))  # what comes by the clock goes on without the market
            await quiet(strategy)
            live = {key: list(rows) for key, rows in strategy.rows.items()}
        recorder.close()
        assert recorder.lost == 0
    return live, recorder.files, {"streams": [stream | {"api_host": None, "api_auth_data": None}]}


def same(one: Logs, other: Logs) -> None:
    """Whether two logs are alike; the first difference is shown, not all of both."""
    for key in sorted(one.keys() | other.keys()):
        mine, theirs = one.get(key, []), other.get(key, [])
        for place, (left, right) in enumerate(zip(mine, theirs, strict=False)):
            assert left == right, f"{key} at {place}: {left} != {right}"
        assert len(mine) == len(theirs), key
