"""The Binance front end, spoken to by a plain WebSocket client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from hftcore.enums import Exchange
from hftpy.sim import SimVenue, SyntheticMarket


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    venues = (Exchange.BINANCE, Exchange.KRAKEN)
    async with SimVenue(SyntheticMarket(["btc/usdt", "eth/usdt"], seed=2, rate=200), venues) as venue:
        yield venue


async def receive(socket: ClientConnection, *, answer: bool) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if ("id" in frame) is answer:
                return frame


async def ask(socket: ClientConnection, method: str, params: object = None, request_id: object = 1) -> dict[str, Any]:
    await socket.send(json.dumps({"method": method, "params": params, "id": request_id}))
    return await receive(socket, answer=True)


@pytest.mark.parametrize("prefix", ["/binance", ""])
async def test_combined_stream_by_url(venue: SimVenue, prefix: str) -> None:
    url = f"ws://127.0.0.1:{venue.ws_port}{prefix}/stream?streams=btcusdt@bookTicker/ethusdt@trade"
    async with connect(url) as socket:
        updates, streams = [], set()
        while len(updates) < 5 or len(streams) < 2:
            frame = await receive(socket, answer=False)
            streams.add(frame["stream"])
            if frame["stream"] == "btcusdt@bookTicker":
                assert frame["data"].keys() == {"u", "s", "b", "B", "a", "A"} and frame["data"]["s"] == "BTCUSDT"
                assert float(frame["data"]["b"]) < float(frame["data"]["a"])
                updates.append(frame["data"]["u"])
            else:
                assert frame["stream"] == "ethusdt@trade" and frame["data"]["e"] == "trade"
        assert updates == sorted(set(updates))


async def test_raw_stream_has_no_envelope(venue: SimVenue) -> None:
    async with connect(venue.ws_url("binance") + "/ws/btcusdt@aggTrade") as socket:
        frame = await receive(socket, answer=False)
        assert frame["e"] == "aggTrade" and frame["f"] == frame["l"] == frame["a"]


async def test_subscribe_list_unsubscribe(venue: SimVenue) -> None:
    async with connect(venue.ws_url("binance") + "/stream") as socket:
        assert await ask(socket, "SUBSCRIBE", ["btcusdt@trade", "nobody@trade"], "abc") == {"result": None, "id": "abc"}
        assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade", "nobody@trade"]
        assert (await receive(socket, answer=False))["stream"] == "btcusdt@trade"
        assert await ask(socket, "UNSUBSCRIBE", ["btcusdt@trade"], 5) == {"result": None, "id": 5}
        assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == ["nobody@trade"]


async def test_property_switches_the_envelope(venue: SimVenue) -> None:
    async with connect(venue.ws_url("binance") + "/ws") as socket:
        assert await ask(socket, "SET_PROPERTY", ["combined", True]) == {"result": None, "id": 1}
        await ask(socket, "SUBSCRIBE", ["btcusdt@bookTicker"])
        assert "stream" in await receive(socket, answer=False)
        await ask(socket, "SET_PROPERTY", ["combined", False])
        while "stream" in await receive(socket, answer=False):
            pass  # queued before


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":4}', "streams must be an array"),
        ('{"method":"SUBSCRIBE","params":["btcusdt"],"id":4}', "invalid stream"),
        ('{"method":"SUBSCRIBE","params":[],"id":1.5}', "request ID"),
        ('{"method":"DANCE","id":4}', "unknown variant"),
        ("{nonsense", "Invalid JSON"),
    ],
)
async def test_errors(venue: SimVenue, message: str, text: str) -> None:
    async with connect(venue.ws_url("binance") + "/stream") as socket:
        await socket.send(message)
        assert text in (await receive(socket, answer=True))["error"]["msg"]


async def test_both_venues_show_one_market(venue: SimVenue) -> None:
    assert venue.front("kraken").market is venue.front("binance").market
    async with connect(venue.ws_url("kraken") + "/v2") as socket:
        await socket.send('{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USDT"]}}')
        while "snapshot" not in json.loads(await socket.recv()).values():
            pass


async def test_rest(venue: SimVenue) -> None:
    async with aiohttp.ClientSession(venue.rest_url("binance") + "/") as session:
        async with session.get("api/v3/exchangeInfo") as reply:
            assert [row["symbol"] for row in (await reply.json())["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        async with session.get("api/v3/depth", params={"symbol": "NOPE"}) as reply:
            assert reply.status == 400 and (await reply.json())["code"] == -1121
        async with session.get("api/v3/depth", params={"symbol": "BTCUSDT"}) as reply:
            assert (await reply.json())["lastUpdateId"] > 0


async def test_unknown_path_is_refused(venue: SimVenue) -> None:
    with pytest.raises(Exception, match="404"):
        async with connect(f"ws://127.0.0.1:{venue.ws_port}/elsewhere"):
            pass
