"""The front ends of Coinbase and Kraken Futures: by a plain WebSocket client, and by the streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from hftcore.parse import Parser
from hftpy.common import CurrencyPair, Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.exchange import get_exchange_stream
from hftpy.sim import Fault, ReplayMarket, SimVenue, SyntheticMarket
from hftpy.sim.recording import session_pairs

PAIRS = ["btc/usd", "eth/usd"]
VENUES = (Exchange.COINBASE, Exchange.KRAKEN_FUTURE)


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(PAIRS, seed=2, rate=200), VENUES) as venue:
        yield venue


async def received(socket: ClientConnection, count: int, **wanted: Any) -> list[dict[str, Any]]:
    """So many frames with these values."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            frame = json.loads(await socket.recv())
            if all(frame.get(key) == value for key, value in wanted.items()):
                found.append(frame)
    return found


async def test_coinbase_numbers_every_frame(venue: SimVenue) -> None:
    async with connect(venue.ws_url("coinbase")) as socket:
        for channel in ("ticker", "market_trades", "level2", "heartbeats"):
            products = {} if channel == "heartbeats" else {"product_ids": ["BTC-USD", "ETH-USDC"]}
            await socket.send(json.dumps({"type": "subscribe", "channel": channel, **products}))
        frames = await received(socket, 200)
    assert [frame["sequence_num"] for frame in frames] == list(range(200))
    names = {frame["channel"] for frame in frames}
    assert {"ticker", "market_trades", "l2_data", "subscriptions", "heartbeats"} >= names >= {"ticker", "l2_data"}
    products = {row["product_id"] for frame in frames for event in frame["events"] for row in event.get("tickers", ())}
    assert products == {"BTC-USD", "ETH-USD"}
    (listed,) = [frame["events"][0]["subscriptions"] for frame in frames if frame["channel"] == "subscriptions"][-1:]
    assert listed["ticker"] == ["BTC-USD", "ETH-USD"] and listed["heartbeats"] == ["heartbeats"]


@pytest.mark.parametrize(
    "message",
    ["{x", "[]", '{"type":"dance"}', '{"type":"subscribe","channel":"ticker","product_ids":["NO-SUCH"]}',
     '{"type":"subscribe","channel":"ticker"}', '{"type":"subscribe","channel":["x"],"product_ids":["BTC-USD"]}',
     '{"type":"subscribe","channel":"heartbeats","product_ids":[5]}'],
)  # fmt: skip
async def test_coinbase_refuses(venue: SimVenue, message: str) -> None:
    async with connect(venue.ws_url("coinbase")) as socket:
        await socket.send(message)
        assert (await received(socket, 1, type="error"))[0]["message"].startswith("failure to")


async def test_kraken_future_feeds(venue: SimVenue) -> None:
    async with connect(venue.ws_url("kraken_future") + "/ws/v1") as socket:
        assert json.loads(await socket.recv()) == {"event": "info", "version": 1}
        for feed in ("ticker", "ticker_lite", "trade", "book"):
            await socket.send(json.dumps({"event": "subscribe", "feed": feed, "product_ids": ["pf_xbtusd"]}))
        acknowledged = await received(socket, 4, event="subscribed")
        assert {frame["product_ids"][0] for frame in acknowledged} == {"PF_XBTUSD"}
        book = await received(socket, 50, feed="book")
        assert [frame["seq"] for frame in book] == list(range(book[0]["seq"], book[0]["seq"] + 50))
        trades = await received(socket, 10, feed="trade")
        assert [frame["seq"] for frame in trades] == list(range(trades[0]["seq"], trades[0]["seq"] + 10))
        (ticker,) = await received(socket, 1, feed="ticker")
        assert ticker["markPrice"] and ticker["funding_rate"] and ticker["next_funding_rate_time"] > ticker["time"]


@pytest.mark.parametrize(
    ("message", "event", "text"),
    [
        ("{x", "error", "Json Error"), ("[]", "alert", "Bad request"),
        ('{"event":"subscribe","feed":"nosuch","product_ids":["PF_XBTUSD"]}', "error", "Invalid feed"),
        ('{"event":"subscribe","feed":"ticker","product_ids":[]}', "error", "Invalid product id"),
        ('{"event":"subscribe","feed":"ticker","product_ids":["PF_X"]}', "alert",
         "Couldn't subscribe to invalid product `PF_X`"),
    ],
)  # fmt: skip
async def test_kraken_future_refuses(venue: SimVenue, message: str, event: str, text: str) -> None:
    async with connect(venue.ws_url("kraken_future") + "/ws/v1") as socket:
        await socket.send(message)
        assert (await received(socket, 1, event=event))[0]["message"] == text


async def test_every_frame_is_read_by_a_template(venue: SimVenue) -> None:
    """The simulated venue spells its frames as the venue does: the fast way is the one that is tested."""
    requests: list[tuple[str, str, list[dict[str, Any]]]] = [
        ("coinbase", "", [{"type": "subscribe", "channel": name, "product_ids": ["BTC-USD"]}
                          for name in ("ticker", "market_trades")]),
        ("kraken_future", "/ws/v1", [{"event": "subscribe", "feed": name, "product_ids": ["PF_XBTUSD"]}
                                     for name in ("ticker", "trade")]),
    ]  # fmt: skip
    for name, path, messages in requests:
        parser, events = Parser(name), 0
        async with connect(venue.ws_url(name) + path) as socket, asyncio.timeout(20):
            for message in messages:
                await socket.send(json.dumps(message))
            while events < 100:
                before, found = parser.templateHits, parser.parse(str(await socket.recv()).encode())
                events += len(found)
                assert not found or parser.templateHits == before + 1


async def test_rest(venue: SimVenue) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(venue.rest_url("coinbase") + "/api/v3/brokerage/market/products") as reply:
            assert [row["product_id"] for row in (await reply.json())["products"]] == ["BTC-USD", "ETH-USD"]
        async with session.get(venue.rest_url("kraken_future") + "/derivatives/api/v3/instruments") as reply:
            assert [row["symbol"] for row in (await reply.json())["instruments"]] == ["PF_XBTUSD", "PF_ETHUSD"]


class Observer:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.ticker_queue = self.trade_queue = self

    def put_nowait(self, item: Any) -> None:
        self.log.append(item)

    on_gap = on_stale = on_reconnected = put_nowait

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.log if isinstance(item, kind)]


class Running:
    """A stream on a venue, for the time of a block."""

    def __init__(self, exchange: Exchange, url: str, **settings: Any) -> None:
        self.observer = Observer()
        settings = {"currency_pairs": PAIRS, "reconnect_times": {"initial": 0.05, "max": 0.1}} | settings
        self.stream = get_exchange_stream(exchange, api_host=url, **settings)
        self.stream.bind_observer(self.observer)

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.stream.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stream.stop()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(40):
            while not condition():
                assert not self._task.done(), self._task
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("client", ["picows", "websockets"])
@pytest.mark.parametrize("exchange", VENUES)
async def test_the_streams_lose_nothing(venue: SimVenue, exchange: Exchange, client: str) -> None:
    settings = {"subscribe_channels": ["ticker", "trade"], "client": client}
    async with Running(exchange, venue.ws_url(exchange), **settings) as run:
        await run.until(lambda: len(run.observer.of(Ticker)) > 100 and len(run.observer.of(Trade)) > 100)
    log = run.observer
    assert not log.of(Gap) and {item.symbol for item in log.of(Ticker)} == set(PAIRS)
    number = "seq" if exchange is Exchange.KRAKEN_FUTURE else "tradeId"
    for pair in PAIRS:
        numbers = [getattr(trade, number) for trade in log.of(Trade) if trade.symbol == pair]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("exchange", VENUES)
async def test_faults_are_found(venue: SimVenue, exchange: Exchange) -> None:
    front = venue.front(exchange)
    settings = {"subscribe_channels": ["trade"], "stale_after": 1.0}
    async with Running(exchange, venue.ws_url(exchange), **settings) as run:
        log = run.observer
        await run.until(lambda: len(log.of(Trade)) > 20)
        await venue.commit(Fault.now("drop", 0.5))
        await run.until(lambda: front.dropped["trade" if exchange is Exchange.KRAKEN_FUTURE else "market_trades"] >= 2)
        await run.until(lambda: [gap for gap in log.of(Gap) if gap.symbol is not None])
        if exchange is Exchange.COINBASE:
            assert [gap for gap in log.of(Gap) if gap.reason == "frame numbers"]
        await venue.commit(Fault.now("disconnect"))
        await run.until(lambda: len(log.of(Reconnected)) == 1)
        await venue.commit(Fault.now("garbage"))
        await run.until(lambda: run.stream.stats["trade"]["parse_errors"] >= 3)
        gaps = len([gap for gap in log.of(Gap) if gap.reason != "disconnected"])
        await venue.commit(Fault.now("mute", 2.0))
        await run.until(lambda: {item.symbol for item in log.of(Stale)} == set(PAIRS))
        # What a mute venue does not send is not missing from its numbers.
        assert len([gap for gap in log.of(Gap) if gap.reason == "frame numbers"]) <= gaps
        count = len(log.of(Trade))
        await run.until(lambda: len(log.of(Trade)) > count)


NAMES = {"coinbase__advanced_20260809": (160, 279), "kraken_futures__all_20210417": (541, 1003)}


@pytest.mark.recorded
@pytest.mark.parametrize("name", NAMES)
async def test_recorded_sessions_are_replayed(fixtures: Path, name: str) -> None:
    path = fixtures / "sessions" / f"{name}.jsonl.gz"
    market = ReplayMarket(path, 0, autostart=False)
    pairs = {str(channel): found for channel, found in session_pairs(path).items()}
    assert set(pairs) >= {"ticker", "trade", "book"} and set(pairs["ticker"]) == set(market.pairs)
    async with SimVenue(market, (market.exchange,)) as venue:
        settings: dict[str, Any] = {"currency_pairs": market.pairs, "subscribe_channels": ["ticker", "trade"]}
        async with Running(market.exchange, venue.ws_url(market.exchange), **settings) as run:
            stats = run.stream.stats
            await run.until(lambda: all(run.stream.stats[channel]["connected"] for channel in stats))
            market.start()
            await market.finished.wait()
            wanted = NAMES[name]
            log = run.observer
            await run.until(lambda: (len(log.of(Ticker)), len(log.of(Trade))) == wanted)
            assert market.failure is None and not log.of(Gap)
            assert {CurrencyPair(item.symbol) for item in log.of(Ticker)} == set(market.pairs)
