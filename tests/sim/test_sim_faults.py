"""Faults of the simulated venue, each seen from a client's side."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from hftcore.enums import Exchange, Side
from hftpy.sim import Fault, SimVenue, SyntheticMarket
from hftpy.sim.desk import OrderRequest
from hftpy.sim.faults import GARBAGE, KINDS

SUBSCRIBE = '{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"],"event_trigger":"bbo"}}'


def make_venue(*faults: str, **options: Any) -> SimVenue:
    return SimVenue(SyntheticMarket(["btc/usd"], rate=200), (Exchange.KRAKEN,), faults=faults, **options)


async def subscribe(socket: ClientConnection) -> None:
    await socket.send(SUBSCRIBE)
    while "success" not in json.loads(await socket.recv()):
        pass


async def next_ticker(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame.get("channel") == "ticker":
                return frame


def test_parse() -> None:
    assert Fault.parse("restart@5") == Fault("restart", 5.0, 1.0)
    assert Fault.parse("mute@5:3") == Fault("mute", 5.0, 3.0)
    assert str(Fault.parse("mute@5:3")) == "mute@5:3" and str(Fault.parse("drop@0.5")) == "drop@0.5"


@pytest.mark.parametrize(
    "text", ["explode@5", "restart", "restart@", "restart@x", "mute@1:x", "mute@-1", "drop@nan", ""]
)
def test_parse_names_what_is_wrong_and_lists_the_kinds(text: str) -> None:
    with pytest.raises(ValueError, match="restart, disconnect, mute, garbage, drop") as caught:
        Fault.parse(text)
    assert repr(text) in str(caught.value)


async def test_restart_forgets_tokens_orders_and_subscriptions_but_not_the_port() -> None:
    async with make_venue("restart@0.3:0.2") as venue:
        ports = venue.ws_port, venue.rest_port
        token = venue.keys.issue_token("me")
        pair = venue.market.pairs[0]
        quote = venue.market.state(pair).quote
        assert quote is not None and quote.bid is not None
        request = OrderRequest(pair=pair, side=Side.BUY, amount=quote.bid[1], price=quote.bid[0] / 2)
        venue.desk.place("me", request)
        async with connect(venue.ws_url("kraken") + "/v2") as socket:
            await subscribe(socket)
            with pytest.raises(ConnectionClosedError):
                while True:
                    await next_ticker(socket)
        with pytest.raises(OSError):
            async with connect(venue.ws_url("kraken") + "/v2"):
                pass
        async with asyncio.timeout(20):
            while True:
                try:
                    async with connect(venue.ws_url("kraken") + "/v2") as socket:
                        params = {"channel": "executions", "token": token}
                        await socket.send(json.dumps({"method": "subscribe", "params": params}))
                        await socket.recv()
                        assert "ESession:Invalid session" in str(await socket.recv())
                        await subscribe(socket)
                        await next_ticker(socket)
                        break
                except OSError:
                    await asyncio.sleep(0.05)
        assert venue.restarts == 1 and (venue.ws_port, venue.rest_port) == ports
        assert venue.desk.open_orders("me") == [] and venue.desk.account("me").reserved == {}


async def test_disconnect_cuts_every_connection_once() -> None:
    async with make_venue("disconnect@0.2") as venue:
        async with connect(venue.ws_url("kraken") + "/v2") as socket, connect(venue.ws_url("kraken") + "/v2") as other:
            await subscribe(socket)
            for each in (socket, other):
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(20):
                        while True:
                            await each.recv()
        async with connect(venue.ws_url("kraken") + "/v2") as socket:
            await subscribe(socket)
            await next_ticker(socket)


async def test_mute_stops_data_while_heartbeats_go_on() -> None:
    async with make_venue("mute@0:2.5") as venue, connect(venue.ws_url("kraken") + "/v2") as socket:
        await subscribe(socket)
        async with asyncio.timeout(20):
            while json.loads(await socket.recv()).get("channel") != "heartbeat":
                pass
            assert json.loads(await socket.recv()).get("channel") == "heartbeat"
        await next_ticker(socket)
        assert venue.front("kraken").dropped["ticker"] > 0


async def test_garbage_comes_between_good_frames() -> None:
    async with make_venue("garbage@0.2") as venue, connect(venue.ws_url("kraken") + "/v2") as socket:
        await subscribe(socket)
        seen: list[str | bytes] = []
        async with asyncio.timeout(20):
            while not seen or seen[-1] != GARBAGE[-1]:
                seen.append(await socket.recv())
        assert tuple(seen[-len(GARBAGE) :]) == GARBAGE
        await next_ticker(socket)


async def test_drop_leaves_out_frames_and_counts_them() -> None:
    async with make_venue() as venue, connect(venue.ws_url("kraken") + "/v2") as socket:
        await subscribe(socket)
        await next_ticker(socket)
        async with aiohttp.ClientSession(venue.control_url + "/") as session:
            async with session.post("fault", json={"kind": "drop", "duration": 0.3}) as reply:
                assert reply.status == 200
            for _ in range(100):
                await next_ticker(socket)
            async with session.get("stats") as reply:
                stats = await reply.json()
    kraken = stats["venues"]["kraken"]
    assert kraken["dropped_by_fault"]["ticker"] > 0
    assert stats["faults"] == ["drop@0.05:0.3"]


async def test_control_refuses_unknown_faults() -> None:
    async with make_venue() as venue, aiohttp.ClientSession(venue.control_url + "/") as session:
        async with session.post("fault", json={"kind": "explode"}) as reply:
            assert reply.status == 400
            text = (await reply.json())["error"]
            assert all(kind in text for kind in KINDS)
        async with session.post("fault", data="nonsense") as reply:
            assert reply.status == 400


async def test_a_client_that_does_not_read_is_cut() -> None:
    market = SyntheticMarket(["btc/usd"], rate=20000)
    async with (
        SimVenue(market, (Exchange.KRAKEN,), queue_capacity=64) as venue,
        connect(venue.ws_url("kraken") + "/v2", max_queue=1, close_timeout=0.1) as socket,
    ):
        await socket.send(SUBSCRIBE)
        front = venue.front("kraken")
        for _ in range(1000):
            if front.slow_disconnects:
                break
            await asyncio.sleep(0.05)
        assert front.slow_disconnects == 1
