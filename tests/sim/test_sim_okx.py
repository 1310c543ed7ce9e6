"""The OKX front ends, spoken to by a plain WebSocket client."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hftcore.enums import Exchange
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.okx import OkxFrontEnd

PAIRS = ["btc/usdt", "eth/usdt"]


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(PAIRS, seed=2, rate=200), (Exchange.OKX, Exchange.OKX_SWAP)) as venue:
        yield venue


async def ask(socket: ClientConnection, message: Any, want: str = "event") -> dict[str, Any]:
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    async with asyncio.timeout(20):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if want in frame:
                return frame


def subscribe(channel: str, instrument: str, op: str = "subscribe") -> dict[str, Any]:
    return {"id": "7", "op": op, "args": [{"channel": channel, "instId": instrument}]}


@pytest.mark.parametrize(("name", "instrument"), [("okx", "BTC-USDT"), ("okx_swap", "BTC-USDT-SWAP")])
@pytest.mark.parametrize("channel", ["tickers", "bbo-tbt", "trades"])
async def test_public_channels(venue: SimVenue, name: str, instrument: str, channel: str) -> None:
    async with connect(venue.ws_url(name) + "/ws/v5/public") as socket:
        answer = await ask(socket, subscribe(channel, instrument))
        arg = {"channel": channel, "instId": instrument}
        assert (answer["id"], answer["event"], answer["arg"]) == ("7", "subscribe", arg)
        for _ in range(5):
            frame = json.loads(await socket.recv())
            assert frame["arg"] == arg
            (row,) = frame["data"]
            if channel == "bbo-tbt":
                assert float(row["bids"][0][0]) < float(row["asks"][0][0]) and isinstance(row["seqId"], int)
            else:
                assert row["instId"] == instrument and all(isinstance(v, str) for k, v in row.items() if k != "seqId")


async def test_the_book_chains_its_updates(venue: SimVenue) -> None:
    async with connect(venue.ws_url("okx") + "/ws/v5/public") as socket:
        await ask(socket, subscribe("books", "BTC-USDT"))
        frames = [json.loads(await socket.recv()) for _ in range(20)]
    assert [frame["action"] for frame in frames] == ["snapshot"] + ["update"] * 19
    rows = [frame["data"][0] for frame in frames]
    assert rows[0]["prevSeqId"] == -1 and rows[0]["checksum"] == 0
    assert all(row["prevSeqId"] == before["seqId"] < row["seqId"] for before, row in itertools.pairwise(rows))


async def test_business_channels_are_on_their_address(venue: SimVenue) -> None:
    async with connect(venue.ws_url("okx") + "/ws/v5/business") as socket:
        assert (await ask(socket, subscribe("trades-all", "BTC-USDT")))["event"] == "subscribe"
        assert (await ask(socket, subscribe("trades", "BTC-USDT")))["code"] == "60018"
    async with connect(venue.ws_url("okx") + "/ws/v5/public") as socket:
        assert "trades-all,instId:BTC-USDT" in (await ask(socket, subscribe("trades-all", "BTC-USDT")))["msg"]


async def test_unsubscribe(venue: SimVenue) -> None:
    async with connect(venue.ws_url("okx") + "/ws/v5/public") as socket:
        await ask(socket, subscribe("trades", "BTC-USDT"))
        await ask(socket, subscribe("trades", "ETH-USDT"))
        assert (await ask(socket, subscribe("trades", "BTC-USDT", "unsubscribe")))["event"] == "unsubscribe"
        for _ in range(10):
            assert json.loads(await socket.recv())["arg"]["instId"] == "ETH-USDT"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{nonsense", "60012"),
        ("[]", "60012"),
        ('{"op":"dance"}', "60012"),
        ('{"op":"subscribe","args":[]}', "60012"),
        ('{"op":"subscribe","args":["trades"]}', "60012"),
        ('{"op":"subscribe","args":[{"channel":"trades","instId":"NO-SUCH"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":"ticks","instId":"BTC-USDT"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":["trades"],"instId":"BTC-USDT"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":"\\ud800","instId":"BTC-USDT"}]}', "60012"),
    ],
)
async def test_errors(venue: SimVenue, message: str, code: str) -> None:
    async with connect(venue.ws_url("okx") + "/ws/v5/public") as socket:
        assert (await ask(socket, message))["code"] == code


async def test_keep_alive_is_text_and_silence_ends_the_connection(
    venue: SimVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OkxFrontEnd, "idle_s", 1.2)
    async with connect(venue.ws_url("okx") + "/ws/v5/public") as socket, asyncio.timeout(20):
        for _ in range(5):
            await asyncio.sleep(0.4)
            await socket.send("ping")
            assert await socket.recv() == "pong"
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_rest(venue: SimVenue) -> None:
    async with aiohttp.ClientSession(venue.rest_url("okx_swap") + "/") as session:
        async with session.get("api/v5/public/instruments", params={"instType": "SWAP"}) as reply:
            rows = (await reply.json())["data"]
            assert [row["instId"] for row in rows] == ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
        async with session.get("api/v5/public/time") as reply:
            assert (await reply.json())["data"][0]["ts"].isdigit()
