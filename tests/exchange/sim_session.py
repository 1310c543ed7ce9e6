"""A recorded session, or one that a test wrote, on the simulated venue: a stream of one channel that follows it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exchange_fakes import Observer

from hftcore.enums import Channel
from hftpy.common import Exchange
from hftpy.exchange import get_exchange_stream
from hftpy.sim import ReplayMarket, SimVenue
from hftpy.sim.recording import iter_session, session_exchange, session_pairs

FAST = {"times": -1, "initial": 0.01, "max": 0.05}
HOSTS = {
    Exchange.KRAKEN: "wss://ws.kraken.com/v2",
    Exchange.BINANCE: "wss://stream.binance.com:9443/stream",
    Exchange.BINANCE_FUTURE: "wss://fstream.binance.com/stream",
    Exchange.OKX: "wss://ws.okx.com:8443/ws/v5/public",
    Exchange.COINBASE: "wss://advanced-trade-ws.coinbase.com",
    Exchange.KRAKEN_FUTURE: "wss://futures.kraken.com/ws/v1",
}


def written(path: Path, exchange: Exchange, lines: Iterable[str | dict[str, Any]]) -> Path:
    """A session of frames; a dict is a line of its own."""
    rows: list[dict[str, Any]] = [{"t": "header"}, {"t": "conn", "ts": 1, "url": HOSTS[exchange]}]
    rows += [line if isinstance(line, dict) else {"t": "recv", "ts": 1, "data": line} for line in lines]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rest(symbol: str, body: str) -> dict[str, Any]:
    """A line with a snapshot of Binance's REST API."""
    url = f"https://api.binance.com/api/v3/depth?symbol={symbol}&limit=1000"
    return {"t": "http", "ts": 1, "url": url, "data": body}


def recorded_depth(path: Path) -> int:
    """Of Kraken's books: what the session subscribed."""
    for entry in iter_session(path):
        if entry.kind == "send" and '"depth"' in entry.data:
            sent = json.loads(entry.data)
            return int(sent.get("subscription", sent.get("params", {})).get("depth", 10))
    return 1000


class Run:
    """A stream and its venue, while they run."""

    def __init__(self, path: Path, channel: str, venue: SimVenue, stream: Any, observer: Observer) -> None:
        self.path = path
        self.channel = channel
        self.venue = venue
        self.stream = stream
        self.observer = observer

    @property
    def stats(self) -> dict[str, Any]:
        return dict(self.stream.stats[self.channel])

    async def until(self, condition: Callable[[], bool], limit: float = 60.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                await asyncio.sleep(0.005)

    async def play(self) -> None:
        """The whole session, until nothing of it is on its way any more."""
        market = self.venue.market
        market.start()
        async with asyncio.timeout(120):
            await market.finished.wait()
        assert market.failure is None, market.failure
        await self.quiet()

    async def quiet(self) -> None:
        """Until what was sent has been taken in: an answer of the client's own ping is behind all of it."""
        frames, still = -1, 0
        async with asyncio.timeout(60):
            while still < 3:
                now = self.stats["frames"] + self.stats["parse_errors"]
                still = still + 1 if now == frames else 0
                frames = now
                await asyncio.sleep(0.03)


@asynccontextmanager
async def following(
    path: Path, channel: str, pairs: Iterable[str] = (), faults: Any = None, levels: int = 5, **settings: Any
) -> AsyncIterator[Run]:
    """A stream that is connected to a session which has not begun; `faults`: in place of the venue's."""
    exchange = session_exchange(path)
    found = list(pairs) or session_pairs(path)[Channel.parse(channel)]
    market = ReplayMarket(path, 0, autostart=False)
    async with SimVenue(market, (exchange,)) as venue:
        if faults is not None:
            venue.front(exchange).faults = faults
        args: dict[str, Any] = {"levels": levels} if channel == "book" else {}
        if channel == "book" and exchange in (Exchange.BINANCE, Exchange.BINANCE_FUTURE):
            args["rest_host"] = venue.rest_url(exchange)
        elif channel == "book" and exchange is Exchange.KRAKEN:
            args["depth"] = recorded_depth(path)
        observer = Observer()
        stream = get_exchange_stream(
            exchange=exchange, currency_pairs=found, subscribe_channels=[channel], api_host=venue.ws_url(exchange),
            **{"subscribe_args": {channel: args}, "stale_after": 0, "reconnect_times": FAST} | settings,
        )  # fmt: skip
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        run = Run(path, channel, venue, stream, observer)
        try:
            await run.until(lambda: run.stats["connected"] or task.done())
            assert not task.done()
            yield run
        finally:
            await stream.stop()
            await asyncio.gather(task, return_exceptions=True)
