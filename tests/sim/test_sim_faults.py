"""Faults of the simulated venue, each seen from a client's side."""

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from hftcore.enums import Exchange, Side
from hftpy.sim import Fault, SimVenue, SyntheticMarket
from hftpy.sim.desk import OrderRequest
from hftpy.sim.faults import EVERY, GARBAGE, KINDS, DataFrame, FaultState

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


@pytest.mark.parametrize("text", ["close@1:999", "close@1:5000", "close@1:1000.5"])
def test_close_needs_a_code(text: str) -> None:
    with pytest.raises(ValueError, match="code from 1000 to 4999"):
        Fault.parse(text)


async def collect(venue: SimVenue, kind: str, number: float, frames: int) -> list[dict[str, Any]]:
    """Ticker frames from the moment of a fault."""
    async with connect(venue.ws_url("kraken") + "/v2", ping_interval=None, max_size=1 << 30) as socket:
        await subscribe(socket)
        await next_ticker(socket)
        await venue.commit(Fault.now(kind, number))
        return [await next_ticker(socket) for _ in range(frames)]


async def test_duplicate_sends_one_of_five_frames_twice() -> None:
    async with make_venue() as venue:
        frames = await collect(venue, "duplicate", 60, 60)
        repeated = sum(one == two for one, two in itertools.pairwise(frames))
        assert 8 <= repeated <= 12
        assert venue.front("kraken").faulted["duplicate"]["ticker"] >= repeated


async def test_reorder_swaps_one_of_five_frames_with_the_next() -> None:
    async with make_venue() as venue:
        frames = await collect(venue, "reorder", 60, 60)
        times = [frame["data"][0]["timestamp"] for frame in frames]
        swapped = sum(one > two for one, two in itertools.pairwise(times))
        assert 6 <= swapped <= 13 and len(set(times)) >= 55


async def test_close_sends_the_code() -> None:
    async with make_venue() as venue, connect(venue.ws_url("kraken") + "/v2") as socket:
        await subscribe(socket)
        await venue.commit(Fault.now("close", 1008))
        with pytest.raises(ConnectionClosed) as caught:
            async with asyncio.timeout(20):
                while True:
                    await socket.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008


async def test_half_open_answers_nothing_and_takes_nothing() -> None:
    async with make_venue() as venue, connect(venue.ws_url("kraken") + "/v2", ping_interval=None) as socket:
        await subscribe(socket)
        await venue.commit(Fault.now("half_open"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                while True:
                    await socket.recv()
        pong = await socket.ping()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pong), 0.5)
        socket.transport.abort()


async def test_no_pong_withholds_pongs_alone() -> None:
    async with make_venue() as venue, connect(venue.ws_url("kraken") + "/v2", ping_interval=None) as socket:
        await subscribe(socket)
        await (await socket.ping())
        await venue.commit(Fault.now("no_pong", 60))
        pong = await socket.ping()
        await socket.send('{"method":"ping","req_id":7}')
        for _ in range(50):
            assert (await next_ticker(socket))["channel"] == "ticker"
        assert not pong.done()


async def test_dribble_keeps_every_byte() -> None:
    async with make_venue() as venue:
        frames = await collect(venue, "dribble", 1.0, 120)
        times = [frame["data"][0]["timestamp"] for frame in frames]
        assert times == sorted(times)


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_bomb_is_a_large_message(compression: str | None) -> None:
    async with (
        make_venue(deflate=True) as venue,
        connect(venue.ws_url("kraken") + "/v2", compression=compression, max_size=1 << 20) as socket,
    ):
        await subscribe(socket)
        await venue.commit(Fault.now("bomb"))
        with pytest.raises(ConnectionClosedError) as caught:
            async with asyncio.timeout(60):
                while True:
                    await socket.recv()
        assert caught.value.sent is not None and caught.value.sent.code == 1009


def test_a_wrong_checksum_is_wrong_and_of_the_same_kind() -> None:
    state, hits = FaultState(), {}
    state.begin("checksum", 60)
    socket: Any = object()
    for text in ('{"checksum":974942666,"x":1}', '{"checksum":-855196043}', '[0,{"a":[],"c":"974942666"},"book-10"]'):
        (frame,) = state.pass_on(socket, DataFrame(text, "book", 1), hits)
        assert frame.text != text and len(json.loads(frame.text)) == len(json.loads(text))
        for _ in range(EVERY - 1):
            assert state.pass_on(socket, DataFrame(text, "book", 1), hits)[0].text == text
    plain = DataFrame('{"c":[1],"checksum":null}', "book", 1)
    assert state.pass_on(socket, plain, hits) == (plain,)
    assert hits["checksum"]["book"] == 3


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
