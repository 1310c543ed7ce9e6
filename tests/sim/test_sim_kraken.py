"""The Kraken front end, spoken to by a plain WebSocket client and a plain HTTP client."""

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from hftcore.enums import Exchange
from hftpy.sim import SIM_API_KEY, SIM_API_SECRET, SimVenue, SyntheticMarket
from hftpy.sim.keys import sign


class Client:
    """Speaks Kraken v2 and keeps what it receives."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def request(self, method: str, req_id: int | None = 1, **params: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"method": method, "params": params}
        if req_id is not None:
            message["req_id"] = req_id
        await self.socket.send(json.dumps(message))
        return await self.until(lambda frame: "success" in frame)

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv(), parse_float=Decimal)
                self.seen.append(frame)
                if wanted(frame):
                    return frame

    async def execution(self, exec_type: str) -> dict[str, Any]:
        frame = await self.until(
            lambda frame: (
                frame.get("channel") == "executions" and frame["data"] and frame["data"][-1]["exec_type"] == exec_type
            )
        )
        row: dict[str, Any] = frame["data"][-1]
        return row


async def post(venue: SimVenue, method: str, key: str = SIM_API_KEY, secret: str = SIM_API_SECRET, **form: str) -> Any:
    post.nonce += 1  # type: ignore[attr-defined]
    nonce = form.pop("nonce", str(post.nonce))  # type: ignore[attr-defined]
    body = urllib.parse.urlencode({"nonce": nonce, **form}).encode()
    path = f"/0/private/{method}"
    headers = {
        "API-Key": key,
        "API-Sign": sign(path, nonce, body, secret),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(venue.rest_url("kraken") + path, data=body, headers=headers) as reply,
    ):
        assert reply.status == 200
        return await reply.json()


post.nonce = 1000  # type: ignore[attr-defined]


async def token(venue: SimVenue, key: str = SIM_API_KEY) -> str:
    result: str = (await post(venue, "GetWebSocketsToken", key))["result"]["token"]
    return result


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(["btc/usd", "eth/usd"], seed=1, rate=100), (Exchange.KRAKEN,)) as venue:
        yield venue


@pytest.fixture
async def still() -> AsyncIterator[SimVenue]:
    """A venue whose market does not move."""
    market = SyntheticMarket(["btc/usd"], seed=1, autostart=False)
    async with SimVenue(market, (Exchange.KRAKEN,)) as venue:
        yield venue


async def test_greets_acknowledges_and_streams_tickers_and_trades(venue: SimVenue) -> None:
    async with connect(venue.ws_url(Exchange.KRAKEN) + "/v2") as socket:
        client = Client(socket)
        status = await client.until(lambda frame: True)
        assert status["channel"] == "status" and status["data"][0]["system"] == "online"
        ack = await client.request("subscribe", 7, channel="ticker", symbol=["BTC/USD", "ETH/USD"], event_trigger="bbo")
        assert ack["result"] == {"channel": "ticker", "event_trigger": "bbo", "snapshot": True, "symbol": "BTC/USD"}
        assert ack["req_id"] == 7 and ack["success"] is True and ack["time_in"] <= ack["time_out"]
        snapshot = await client.until(lambda frame: frame.get("channel") == "ticker")
        assert snapshot["type"] == "snapshot"
        second = await client.until(lambda frame: "success" in frame)
        assert second["result"]["symbol"] == "ETH/USD"
        update = await client.until(lambda frame: frame.get("type") == "update" and frame["channel"] == "ticker")
        row = update["data"][0]
        assert row["bid"] < row["ask"] and row["bid_qty"] > 0
        await client.request("subscribe", 8, channel="trade", symbol=["BTC/USD"], snapshot=True)
        ids: list[int] = []
        while len(ids) < 5:
            frame = await client.until(lambda frame: frame.get("channel") == "trade")
            ids += [trade["trade_id"] for trade in frame["data"]]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_serves_without_the_prefix_too(venue: SimVenue) -> None:
    async with connect(f"ws://127.0.0.1:{venue.ws_port}/v2") as socket:
        assert "status" in str(await socket.recv())


async def test_errors_are_the_venues(venue: SimVenue) -> None:
    async with connect(venue.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        error = await client.request("subscribe", 3, channel="ticker", symbol=["XBT/USD"])
        assert error["error"] == "Currency pair not supported XBT/USD" and error["symbol"] == "XBT/USD"
        assert error["req_id"] == 3 and "result" not in error
        assert (await client.request("subscribe", channel="nonsense", symbol=["BTC/USD"]))[
            "error"
        ] == "Unsupported event"
        assert (await client.request("subscribe", channel="executions"))["error"] == "Token(s) not found"
        refused = await client.request("subscribe", channel="executions", token="stale")
        assert refused["error"] == "ESession:Invalid session"
        await socket.send("{not json")
        assert (await client.until(lambda frame: "success" in frame))["error"] == "Malformed request"
        for odd in (
            '{"method":"\\ud800"}',
            "[" * 100_000,
            '{"method":3}',
        ):
            await socket.send(odd)
            assert (await client.until(lambda frame: "success" in frame))["error"] == "Malformed request"
        await socket.send(b"\xff\xfe")
        assert (await client.until(lambda frame: "success" in frame))["error"] == "Malformed request"
        assert (await client.request("dance"))["error"] == "Unsupported event"
        await socket.send('{"method":"ping","req_id":9}')
        assert (await client.until(lambda frame: frame.get("method") == "pong"))["req_id"] == 9


async def test_quiet_connection_gets_heartbeats(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        await client.request("subscribe", channel="ticker", symbol=["BTC/USD"])
        await client.until(lambda frame: frame.get("channel") == "heartbeat")


async def test_unsubscribing_ends_the_data(venue: SimVenue) -> None:
    async with connect(venue.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        await client.request("subscribe", channel="ticker", symbol=["BTC/USD"], event_trigger="bbo")
        ack = await client.request("unsubscribe", channel="ticker", symbol=["BTC/USD"], event_trigger="bbo")
        assert ack["success"] is True and ack["method"] == "unsubscribe"
        again = await client.request("unsubscribe", channel="ticker", symbol=["BTC/USD"])
        assert again["error"] == "Subscription Not Found"
        client.seen.clear()
        await socket.send('{"method":"ping"}')
        await client.until(lambda frame: frame.get("method") == "pong")
        assert not [frame for frame in client.seen if frame.get("channel") == "ticker"]


async def test_order_life_as_deltas(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        secret = await token(still)
        ack = await client.request("subscribe", channel="executions", token=secret, snap_orders=True)
        assert ack["result"]["channel"] == "executions"
        snapshot = await client.until(lambda frame: frame.get("channel") == "executions")
        assert snapshot["type"] == "snapshot" and snapshot["data"] == [] and snapshot["sequence"] == 1
        placed = await client.request(
            "add_order", 5, order_type="limit", side="buy", order_qty=0.5, symbol="BTC/USD", limit_price=59000.0,
            post_only=True, cl_ord_id="mine-1", token=secret,
        )  # fmt: skip
        assert placed["success"] is True and placed["result"]["cl_ord_id"] == "mine-1"
        order_id = placed["result"]["order_id"]
        pending = await client.execution("pending_new")
        assert pending["symbol"] == "BTC/USD" and pending["order_qty"] == Decimal("0.5") and pending["side"] == "buy"
        new = await client.execution("new")
        assert new["order_id"] == order_id and not {"symbol", "side", "order_qty"} & new.keys()
        assert (await post(still, "OpenOrders"))["result"]["open"].keys() == {order_id}
        twice = await client.request(
            "add_order", order_type="limit", side="buy", order_qty=0.5, symbol="BTC/USD", limit_price=59000.0,
            cl_ord_id="mine-1", token=secret,
        )  # fmt: skip
        assert "cl_ord_id" in twice["error"]
        gone = await client.request("cancel_order", cl_ord_id=["mine-1"], token=secret)
        assert gone["result"] == {"cl_ord_id": "mine-1"}
        canceled = await client.execution("canceled")
        assert canceled["reason"] == "User requested" and "symbol" not in canceled
        unknown = await client.request("cancel_order", order_id=[order_id], token=secret)
        assert unknown["error"] == "EOrder:Unknown order"
        sequences = [frame["sequence"] for frame in client.seen if frame.get("channel") == "executions"]
        assert sequences == list(range(1, len(sequences) + 1))


async def test_crossing_order_fills_at_the_market_and_pays_the_taker_fee(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        secret = await token(still)
        await client.request("subscribe", channel="trade", symbol=["BTC/USD"])
        await client.request("subscribe", channel="executions", token=secret)
        quote = still.market.state(still.market.pairs[0]).quote
        assert quote is not None and quote.ask is not None
        await client.request(
            "add_order", order_type="market", side="buy", order_qty=0.001, symbol="BTC/USD", token=secret
        )
        fill = await client.execution("trade")
        assert fill["last_price"] == quote.ask[0] and fill["liquidity_ind"] == "t"
        assert fill["fees"] == [{"asset": "USD", "qty": fill["cost"] * Decimal("0.0026")}]
        assert (await client.execution("filled"))["cum_qty"] == Decimal("0.001")
        trade = next(frame for frame in client.seen if frame.get("channel") == "trade")
        assert trade["data"][0]["trade_id"] == fill["trade_id"]
        balance = (await post(still, "Balance"))["result"]
        assert Decimal(balance["XXBT"]) == Decimal("1000000.001")
        assert Decimal(balance["ZUSD"]) == Decimal(1_000_000) - fill["cost"] - fill["fees"][0]["qty"]


async def test_post_only_that_would_cross_is_canceled(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        secret = await token(still)
        await client.request("subscribe", channel="executions", token=secret)
        placed = await client.request(
            "add_order", order_type="limit", side="buy", order_qty=0.5, symbol="BTC/USD", limit_price=90000.0,
            post_only=True, token=secret,
        )  # fmt: skip
        assert placed["success"] is True
        assert (await client.execution("canceled"))["reason"] == "Post only order"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"order_qty": 0.00001}, "EGeneral:Invalid arguments:volume minimum not met"),
        ({"order_qty": 0.1234567891}, "EOrder:Invalid volume"),
        ({"order_qty": 900000}, "EOrder:Insufficient funds"),
        ({"order_qty": "0.1"}, "Order_qty field must be a number_float"),
        ({"limit_price": 100.123}, "EOrder:Invalid price"),
        ({"limit_price": None}, "EGeneral:Invalid arguments:limit_price"),
        ({"side": "hold"}, "EGeneral:Invalid arguments:side"),
        ({"symbol": "XBT/USD"}, "Currency pair not supported XBT/USD"),
        ({"time_in_force": "gtd"}, "EGeneral:Invalid arguments:time_in_force"),
        ({"cl_ord_id": "far too long to be accepted"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "EService:Deadline elapsed"),
        ({"token": "stale"}, "ESession:Invalid session"),
        ({"order_qty": 1e300}, "EGeneral:Invalid arguments:volume"),
    ],
)
async def test_bad_orders_are_refused(still: SimVenue, change: dict[str, Any], error: str) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        order = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": "BTC/USD", "limit_price": 59000.0}
        order |= {"token": await token(still), **change}
        answer = await Client(socket).request("add_order", **order)
        assert answer["success"] is False and answer["error"].startswith(error)
        assert still.desk.orders_placed == 0


async def test_validate_places_nothing(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket:
        answer = await Client(socket).request(
            "add_order", order_type="limit", side="sell", order_qty=0.5, symbol="BTC/USD", limit_price=70000.0,
            validate=True, token=await token(still),
        )  # fmt: skip
        assert answer["success"] is True and answer["result"]["order_id"] == ""
        assert still.desk.orders_placed == 0


async def test_a_client_sees_only_its_own_orders(still: SimVenue) -> None:
    async with connect(still.ws_url("kraken") + "/v2") as socket, connect(still.ws_url("kraken") + "/v2") as other:
        mine, theirs = Client(socket), Client(other)
        secret, another = await token(still), await token(still, "somebody else")
        await theirs.request("subscribe", channel="executions", token=another)
        placed = await mine.request(
            "add_order",
            order_type="limit",
            side="buy",
            order_qty=0.5,
            symbol="BTC/USD",
            limit_price=59000.0,
            token=secret,
        )
        refused = await theirs.request("cancel_order", order_id=[placed["result"]["order_id"]], token=another)
        assert refused["error"] == "EOrder:Unknown order"
        assert (await theirs.request("cancel_all", token=another))["result"] == {"count": 0}
        assert (await mine.request("cancel_all", token=secret))["result"] == {"count": 1}
        assert all(not frame["data"] for frame in theirs.seen if frame.get("channel") == "executions")


async def test_market_trades_fill_resting_orders(venue: SimVenue) -> None:
    async with connect(venue.ws_url("kraken") + "/v2") as socket:
        client = Client(socket)
        secret = await token(venue)
        await client.request("subscribe", channel="executions", token=secret)
        state = venue.market.state(venue.market.pairs[0])
        prices, fill = set(), None
        # The market may rise before an order has come, and then not fall again so soon: the next one is at the new bid.
        while fill is None:
            assert state.quote is not None and state.quote.bid is not None and len(prices) < 50
            prices.add(price := float(state.quote.bid[0]))
            await client.request(
                "add_order", order_type="limit", side="buy", order_qty=0.001, symbol="BTC/USD", limit_price=price,
                post_only=True, token=secret,
            )  # fmt: skip
            with contextlib.suppress(TimeoutError):
                fill = await asyncio.wait_for(client.execution("trade"), 2)
        assert fill["liquidity_ind"] == "m" and fill["last_price"] in {Decimal(str(price)) for price in prices}


async def test_rest_signature_nonce_and_key(still: SimVenue) -> None:
    assert (await post(still, "GetWebSocketsToken"))["result"]["expires"] == 900
    wrong = await post(still, "Balance", secret="c29tZXRoaW5nIGVsc2U=")
    assert wrong == {"error": ["EAPI:Invalid signature"]}
    assert (await post(still, "Balance", nonce="1")) == {"error": ["EAPI:Invalid nonce"]}
    assert (await post(still, "Balance", key="")) == {"error": ["EAPI:Invalid key"]}
    assert (await post(still, "Fly")) == {"error": ["EGeneral:Unknown method"]}
    async with SimVenue(SyntheticMarket(["btc/usd"]), accept_any_key=False) as strict:
        assert (await post(strict, "Balance", key="unknown")) == {"error": ["EAPI:Invalid key"]}


async def test_rest_orders(still: SimVenue) -> None:
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.5", "price": "59000"}
    placed = await post(still, "AddOrder", **order, oflags="post", cl_ord_id="abc")
    assert placed["error"] == [] and placed["result"]["descr"]["order"] == "buy 0.50000000 XBTUSD @ limit 59000"
    order_id = placed["result"]["txid"][0]
    row = (await post(still, "QueryOrders", txid=order_id))["result"][order_id]
    assert row["status"] == "open" and row["vol"] == "0.50000000" and row["cl_ord_id"] == "abc"
    assert (await post(still, "CancelOrder", txid=order_id))["result"] == {"count": 1}
    assert (await post(still, "CancelOrder", txid=order_id)) == {"error": ["EOrder:Unknown order"]}
    assert (await post(still, "QueryOrders", txid=order_id))["result"][order_id]["status"] == "canceled"
    await post(still, "AddOrder", **order)
    assert (await post(still, "CancelAll"))["result"] == {"count": 1}
    assert (await post(still, "AddOrder", **order | {"pair": "NOPE"})) == {"error": ["EQuery:Unknown asset pair"]}
    assert (await post(still, "AddOrder", **order | {"volume": "x"})) == {
        "error": ["EGeneral:Invalid arguments:volume"]
    }


async def test_public_rest(still: SimVenue) -> None:
    async with aiohttp.ClientSession(still.rest_url("kraken") + "/") as session:
        async with session.get("0/public/AssetPairs") as reply:
            pairs = (await reply.json())["result"]
            assert pairs["XXBTZUSD"]["wsname"] == "XBT/USD" and pairs["XXBTZUSD"]["pair_decimals"] == 1
        async with session.get("0/public/SystemStatus") as reply:
            assert (await reply.json())["result"]["status"] == "online"
        async with session.get("0/public/Time") as reply:
            assert (await reply.json())["result"]["unixtime"] > 0
