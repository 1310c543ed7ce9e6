"""The front end of Binance USD-M futures, spoken to by a plain WebSocket client."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from websockets.asyncio.client import connect

from hftcore.enums import Exchange
from hftpy.sim import SimVenue, SyntheticMarket


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    venues = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)
    async with SimVenue(SyntheticMarket(["btc/usdt:usdt", "eth/usdt"], seed=2, rate=200), venues) as venue:
        yield venue


@pytest.mark.parametrize("prefix", ["/binance_future/public", "/public", "/binance_future"])
async def test_best_bid_and_ask(venue: SimVenue, prefix: str) -> None:
    url = f"ws://127.0.0.1:{venue.ws_port}{prefix}/stream?streams=btcusdt@bookTicker/ethusdt@trade"
    async with connect(url) as socket, asyncio.timeout(20):
        names = set()
        while len(names) < 2:
            frame = json.loads(await socket.recv())
            names.add(frame["stream"])
            data = frame["data"]
            assert data["e"] == frame["stream"].partition("@")[2] and data["st"] == 1
            if data["e"] == "bookTicker":
                assert data["s"] == data["ps"] == "BTCUSDT" and data["E"] >= data["T"]
            else:
                assert data["X"] == "MARKET" and "M" not in data


async def test_a_stream_of_the_other_route_is_acknowledged_and_silent(venue: SimVenue) -> None:
    url = venue.ws_url("binance_future") + "/market/stream"
    async with connect(url) as socket, asyncio.timeout(20):
        names = ["btcusdt@bookTicker", "btcusdt@aggTrade"]
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        assert json.loads(await socket.recv()) == {"result": None, "id": 1}
        for _ in range(10):
            frame = json.loads(await socket.recv())
            assert frame["stream"] == "btcusdt@aggTrade" and frame["data"]["nq"] == frame["data"]["q"]


async def test_the_book_chains_its_updates(venue: SimVenue) -> None:
    url = venue.ws_url("binance_future") + "/public/ws/btcusdt@depth"
    async with (
        connect(url) as socket,
        aiohttp.ClientSession(venue.rest_url("binance_future") + "/") as session,
        asyncio.timeout(20),
    ):
        before = json.loads(await socket.recv())
        for _ in range(10):
            update = json.loads(await socket.recv())
            assert update["pu"] == before["u"] < update["U"] <= update["u"]
            before = update
        async with session.get("fapi/v1/depth", params={"symbol": "BTCUSDT", "limit": "1000"}) as reply:
            snapshot = await reply.json()
        while before["u"] < snapshot["lastUpdateId"]:
            before = json.loads(await socket.recv())
        assert before["U"] <= snapshot["lastUpdateId"] <= before["u"]
        async with session.get("fapi/v1/exchangeInfo") as reply:
            row = (await reply.json())["symbols"][0]
            assert (row["symbol"], row["contractType"], row["marginAsset"]) == ("BTCUSDT", "PERPETUAL", "USDT")
