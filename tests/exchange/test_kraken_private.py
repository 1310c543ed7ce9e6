"""Kraken's REST API, private channels and order entry against a venue of a few lines."""

import asyncio
import json
import re
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from exchange_fakes import FakeKraken, Observer

from hftpy.common import CurrencyPair, Gap, MyOrder, MyTrade, OrderStatus, Side
from hftpy.errors import ConfigError, RequestRejected, RequestUnknown, SubscribeError
from hftpy.exchange import (
    create_exchange_api,
    create_exchange_ws_api,
    get_exchange_api,
    get_exchange_stream,
    get_exchange_ws_api,
)
from hftpy.exchange.kraken_api import KrakenApi, sign

SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
KEYS = {"api_key": "key-of-the-tests", "api_secret": SECRET}
ALL = ["my_order", "my_order_batch", "my_trade"]


class FakeRest:
    """Answers each call with the next of `answers[call]`, the last one for ever."""

    def __init__(self):
        self.answers = {"GetWebSocketsToken": [{"token": "T-O-K-E-N", "expires": 900}]}
        self.calls = []
        self.headers = []
        self.tokens = 0

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/kraken/0/{kind}/{call}", self._serve)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/kraken"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def _serve(self, request):
        call = request.match_info["call"]
        form = dict(parse_qsl(await request.text()))
        self.calls.append((call, form))
        self.headers.append(dict(request.headers))
        answers = self.answers.get(call, [web.Response(text='{"error":["EGeneral:Unknown method"]}')])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = await answer()
        if isinstance(answer, str):
            return web.json_response({"error": [answer]})
        if isinstance(answer, int):
            return web.Response(status=answer, text="<html>")
        if isinstance(answer, web.Response):
            return answer
        return web.json_response({"error": [], "result": answer})


class FakePrivate(FakeKraken):
    """Answers order requests from `replies[method]`: a result, an error text, or None for silence."""

    def __init__(self):
        super().__init__()
        self.replies = {}
        self.raw = []

    async def answer(self, connection, message):
        method = message["method"]
        if method == "subscribe":
            await super().answer(connection, message)
            return
        reply = self.replies.get(method, {})
        if reply == "close":
            await connection.close()
        elif isinstance(reply, str):
            refusal = {"method": method, "req_id": message["req_id"], "success": False, "error": reply}
            await connection.send(json.dumps(refusal))
        elif reply is not None:
            accepted = {"method": method, "req_id": message["req_id"], "success": True, "result": reply}
            await connection.send(json.dumps(accepted))


@pytest.fixture
async def rest():
    async with FakeRest() as rest:
        yield rest


@pytest.fixture
async def api(rest):
    api = KrakenApi(rest_host=rest.url, timeout=2.0, **KEYS)
    yield api
    await api.close()


def executions(number, *rows, kind="update"):
    # Text, so that the digits of numbers stay as they are written.
    return (
        f'{{"channel":"executions","type":"{kind}","data":[{",".join(rows)}],"sequence":{number}}}'
    )


OPEN = (
    '{"order_id":"O1","cl_ord_id":"mine-1","symbol":"BTC/USD","order_qty":1.00000000,"cum_qty":0,"limit_price":100.10,'
    '"side":"buy","order_type":"limit","order_status":"new","exec_type":"new","post_only":true,'
    '"timestamp":"2026-11-20T10:00:00.000001Z"}'
)
FILL = (
    '{"order_id":"O1","exec_type":"trade","exec_id":"T1","trade_id":7,"last_qty":0.10000001,"last_price":100.10,'
    '"cum_qty":0.10000001,"avg_price":100.10,"order_status":"partially_filled","liquidity_ind":"m",'
    '"fees":[{"asset":"USD","qty":1E-7}],"timestamp":"2026-11-20T10:00:01.5Z"}'
)
CANCELED = '{"order_id":"O1","exec_type":"canceled","order_status":"canceled","reason":"User requested"}'


def test_sign_is_the_venues_published_example():
    postdata = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    assert sign(secret, "/0/private/AddOrder", "1616492376594", postdata) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )


async def test_private_calls_are_signed_and_their_nonces_rise(rest, api):
    tokens = await asyncio.gather(*(api.get_websockets_token() for _ in range(5)))
    assert tokens == ["T-O-K-E-N"] * 5
    nonces = [int(form["nonce"]) for _, form in rest.calls]
    assert nonces == sorted(set(nonces))
    first = rest.headers[0]
    assert first["API-Key"] == KEYS["api_key"]
    expected = sign(SECRET, "/0/private/GetWebSocketsToken", str(nonces[0]), f"nonce={nonces[0]}")
    assert first["API-Sign"] == expected


async def test_rest_orders(rest, api):
    rest.answers |= {
        "AddOrder": [{"descr": {"order": "x"}, "txid": ["O1"]}],
        "CancelOrder": [{"count": 1}],
        "CancelAll": [{"count": 2}],
        "OpenOrders": [{"open": {"O1": order_row("open", "0.4")}}],
        "QueryOrders": [{"O1": order_row("closed", "1.5")}],
        "ClosedOrders": [{"closed": {"O9": order_row("canceled", "0") | {"cl_ord_id": "other"}}}],
        "Balance": [{"XXBT": "1.50", "ZUSD": "20.0000", "XTZ": "3"}],
        "Time": [{"unixtime": 1790000000, "rfc1123": "x"}],
    }
    order_id = await api.add_order(
        symbol="btc/usd", side="buy", amount=Decimal("1E-7"), price=Decimal("100.10"), post_only=True,
        client_order_id="mine-1",
    )  # fmt: skip
    assert order_id == "O1"
    form = rest.calls[-1][1]
    del form["nonce"]
    assert form == {
        "pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.0000001", "price": "100.10",
        "timeinforce": "GTC", "oflags": "post", "cl_ord_id": "mine-1",
    }  # fmt: skip
    assert await api.cancel_order(client_order_id="mine-1") == 1
    assert await api.cancel_all() == 2
    (order,) = await api.open_orders()
    assert (order.symbol, order.status, order.side) == ("btc/usd", OrderStatus.PARTIAL_FILLED, Side.BUY)
    assert (order.amount, order.filled, order.price, order.postOnly) == (
        Decimal("1.5"), Decimal("0.4"), Decimal("100.10"), True,
    )  # fmt: skip
    assert order.timestamp == 1790000000123400
    (order,) = await api.query_orders(client_order_ids=["mine-1"])
    assert order.status is OrderStatus.FILLED
    assert rest.calls[-1][1]["txid"] == "O1"
    rest.answers["OpenOrders"] = [{"open": {}}]
    assert await api.query_orders(client_order_ids=["nobody's"]) == []
    assert {balance.asset: balance.total for balance in await api.balances()} == {
        "btc": Decimal("1.50"), "usd": Decimal("20"), "xtz": Decimal(3),
    }  # fmt: skip
    assert await api.server_time() == 1790000000


def order_row(status, filled):
    return {
        "status": status, "opentm": 1790000000.1234, "cl_ord_id": "mine-1", "vol": "1.50000000", "vol_exec": filled,
        "price": "100.1", "oflags": "fciq,post",
        "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "100.10"},
    }  # fmt: skip


async def test_instruments(rest, api):
    rest.answers["AssetPairs"] = [
        {
            "XXBTZUSD": {
                "altname": "XBTUSD", "wsname": "XBT/USD", "lot_decimals": 8, "pair_decimals": 1, "tick_size": "0.1",
                "ordermin": "0.00005", "status": "online",
            }
        }
    ]  # fmt: skip
    found = await api.asset_pairs()
    instrument = found[CurrencyPair.BTC_USD]
    assert (instrument.native, instrument.tick_size, instrument.lot_size, instrument.min_amount) == (
        "BTC/USD", Decimal("0.1"), Decimal("1E-8"), Decimal("0.00005"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "error", "code", "retryable"),
    [
        ("EOrder:Insufficient funds", RequestRejected, "EOrder:Insufficient funds", False),
        ("EAPI:Rate limit exceeded", RequestRejected, "EAPI:Rate limit exceeded", True),
        ("EGeneral:Temporary lockout", RequestRejected, "EGeneral:Temporary lockout", False),
        ("EService:Unavailable", RequestUnknown, "EService:Unavailable", True),
        (502, RequestUnknown, "", False),
        (429, RequestRejected, "429", True),
    ],
)
async def test_errors_of_an_order(rest, api, answer, error, code, retryable):
    rest.answers["AddOrder"] = [answer]
    with pytest.raises(error) as raised:
        await api.add_order(symbol="btc/usd", side="buy", amount=Decimal(1), price=Decimal(1))
    assert (raised.value.code, raised.value.retryable) == (code, retryable)
    assert raised.value.outcome == ("unknown" if error is RequestUnknown else "rejected")


async def test_order_without_an_answer_is_unknown_and_without_a_venue_rejected(rest):
    async def never():
        await asyncio.sleep(5)

    rest.answers["AddOrder"] = [never]
    order = {"symbol": "btc/usd", "side": "buy", "amount": Decimal(1), "price": Decimal(1)}
    slow = KrakenApi(rest_host=rest.url, timeout=0.2, **KEYS)
    with pytest.raises(RequestUnknown):
        await slow.add_order(**order)
    await slow.close()
    nobody = KrakenApi(rest_host="http://127.0.0.1:9", **KEYS)
    with pytest.raises(RequestRejected) as raised:
        await nobody.add_order(**order)
    assert raised.value.retryable
    await nobody.close()


async def test_executions_make_orders_and_trades(run_stream, rest):
    async with FakePrivate() as venue:

        async def snapshot(connection, params):
            await connection.send(executions(1, OPEN, kind="snapshot"))
            await connection.send(executions(2, FILL))
            await connection.send(executions(3, CANCELED))

        venue.on_subscribed = snapshot
        observer = Observer()
        run_stream(
            "kraken", venue, observer, currency_pairs=[], subscribe_channels=ALL,
            api_auth_data={"rest_host": rest.url}, **KEYS,
        )  # fmt: skip
        await observer.count(2, MyOrder)
        assert len(venue.connections) == 1
        params = venue.messages[0]["params"]
        assert params == {"channel": "executions", "snap_orders": True, "snap_trades": True, "token": "T-O-K-E-N"}
        batch, trade, filled, canceled = observer.log
        assert [order.clientOrderId for order in batch] == ["mine-1"]
        assert batch[0].status is OrderStatus.NEW
        assert (batch[0].price, batch[0].postOnly, batch[0].timestamp % 1_000_000) == (Decimal("100.10"), True, 1)
        assert isinstance(trade, MyTrade)
        assert (trade.tradeId, trade.amount, trade.fee, trade.feeAsset, trade.maker, trade.side) == (
            "T1", Decimal("0.10000001"), Decimal("1E-7"), "usd", True, Side.BUY,
        )  # fmt: skip
        assert (filled.status, filled.filled) == (OrderStatus.PARTIAL_FILLED, Decimal("0.10000001"))
        assert (canceled.status, canceled.symbol, canceled.clientOrderId) == (
            OrderStatus.CANCELED, "btc/usd", "mine-1",
        )  # fmt: skip
        assert canceled.reason == "User requested"


async def test_sequence_gap_of_executions_connects_again_with_a_new_token(run_stream, rest):
    async with FakePrivate() as venue:
        rest.answers["GetWebSocketsToken"] = [{"token": "first"}, {"token": "second"}]
        observer = Observer()
        settings = {"api_auth_data": {"rest_host": rest.url}, **KEYS}
        run_stream("kraken", venue, observer, subscribe_channels=["my_order"], **settings)
        await venue.until(lambda: len(venue.messages) == 1)
        await venue.send(executions(1, OPEN, kind="snapshot"))
        await observer.count(1, MyOrder)
        await venue.send(executions(3, CANCELED))
        await venue.until(lambda: len(venue.messages) == 2)
        assert [message["params"]["token"] for message in venue.messages] == ["first", "second"]
        assert len(observer.of(Gap)) == 1
        assert len(observer.of(MyOrder)) == 1


async def test_refused_executions_are_an_error(run_stream, rest):
    async with FakePrivate() as venue:
        venue.refused = {"None": "EGeneral:Permission denied"}
        _, task = run_stream(
            "kraken", venue, Observer(), subscribe_channels=["my_order"], api_auth_data={"rest_host": rest.url}, **KEYS
        )
        with pytest.raises(SubscribeError, match="Permission denied"):
            await asyncio.wait_for(asyncio.shield(task), 10)


def test_keys_never_go_to_a_host_that_was_not_named():
    settings = {"exchange": "kraken", "subscribe_channels": ["my_order"], "api_host": "ws://127.0.0.1:9"}
    with pytest.raises(ConfigError, match="must name the rest_host"):
        get_exchange_stream(**settings, **KEYS)
    with pytest.raises(ConfigError, match="rest_host must be given"):
        create_exchange_ws_api("kraken", api_host="ws://127.0.0.1:9", **KEYS)
    with pytest.raises(ConfigError, match="api_key and api_secret"):
        get_exchange_stream(exchange="kraken", subscribe_channels=["my_order"])


def test_secrets_are_shown_nowhere():
    api = create_exchange_api("kraken", rest_host="http://127.0.0.1:9", **KEYS)
    ws_api = create_exchange_ws_api("kraken", api_host="ws://127.0.0.1:9", rest_host="http://127.0.0.1:9", **KEYS)
    stream = get_exchange_stream(
        exchange="kraken", subscribe_channels=["my_order"], api_host="ws://127.0.0.1:9", **KEYS
    )
    assert get_exchange_api("kraken") is api
    assert get_exchange_ws_api("kraken") is ws_api
    for shown in (repr(api), repr(ws_api), repr(stream)):
        assert SECRET not in shown
        assert KEYS["api_key"] not in shown


def test_a_secret_that_is_no_base64_is_told_and_not_shown(caplog):
    KrakenApi("key", "your api secret", rest_host="http://127.0.0.1:9")
    assert "api_secret of kraken is no base64" in caplog.text
    assert "your api secret" not in caplog.text
    assert sign("your api secret", "/", "1", "") != sign("your api secrets", "/", "1", "")


async def test_fills_made_while_disconnected_arrive_once_and_older_ones_never(run_stream, rest):
    def fill(trade_id):
        return (
            f'{{"order_id":"O1","symbol":"BTC/USD","side":"buy","exec_type":"trade","exec_id":"{trade_id}","last_qty":0.5,'
            '"last_price":100.10,"timestamp":"2026-11-20T10:00:01.5Z"}'
        )

    async with FakePrivate() as venue:
        snapshots = [[fill("old"), OPEN], [fill("old"), fill("live"), fill("missed"), OPEN]]

        async def snapshot(connection, params):
            await connection.send(executions(1, *snapshots.pop(0), kind="snapshot"))
            if snapshots:
                await connection.send(executions(2, fill("live")))

        venue.on_subscribed = snapshot
        observer = Observer()
        settings = {"api_auth_data": {"rest_host": rest.url}, **KEYS}
        run_stream("kraken", venue, observer, subscribe_channels=ALL, **settings)
        await observer.count(1, MyTrade)
        await venue.connections[-1].close()
        await observer.count(2, MyTrade)
        assert [trade.tradeId for trade in observer.of(MyTrade)] == ["live", "missed"]


@pytest.fixture
async def entry(rest, client):
    async with FakePrivate() as venue:
        ws_api = create_exchange_ws_api(
            "kraken", api_host=venue.url, rest_host=rest.url, client=client,
            reconnect_times={"initial": 0.01, "max": 0.05}, **KEYS,
        )  # fmt: skip
        await ws_api.start()
        yield venue, ws_api
        await ws_api.stop()


ORDER = {"symbol": "btc/usd", "side": "buy", "amount": Decimal("1E-7"), "price": Decimal("100.10")}


async def test_order_entry(entry):
    venue, ws_api = entry
    venue.replies = {"add_order": {"order_id": "O1"}, "cancel_order": {"order_id": "O1"}, "cancel_all": {"count": 3}}
    assert await ws_api.add_order(**ORDER, post_only=True, client_order_id="mine-1") == "O1"
    params = venue.messages[-1]["params"]
    assert params == {
        "order_type": "limit", "side": "buy", "symbol": "BTC/USD", "order_qty": 1e-7, "limit_price": 100.1,
        "time_in_force": "gtc", "post_only": True, "cl_ord_id": "mine-1", "token": "T-O-K-E-N",
    }  # fmt: skip
    await ws_api.cancel_order(client_order_id="mine-1")
    assert venue.messages[-1]["params"]["cl_ord_id"] == ["mine-1"]
    assert await ws_api.cancel_all() == 3
    with pytest.raises(ValueError, match="at most 18 ASCII characters"):
        await ws_api.add_order(**ORDER, client_order_id="x" * 19)


async def test_numbers_of_orders_have_no_exponent(entry, monkeypatch):
    _, ws_api = entry
    sent = []
    connection = ws_api._runner.connection
    send = connection.send

    async def recording(message):
        sent.append(message)
        await send(message)

    monkeypatch.setattr(connection, "send", recording)
    await ws_api.add_order(**ORDER)
    assert re.search(r'"order_qty":0\.0000001[,}]', sent[0])
    assert re.search(r'"limit_price":100\.10[,}]', sent[0])


async def test_refused_unanswered_and_cut_off_orders(entry):
    venue, ws_api = entry
    venue.replies = {"add_order": "EOrder:Insufficient funds"}
    with pytest.raises(RequestRejected) as rejected:
        await ws_api.add_order(**ORDER)
    assert (rejected.value.code, rejected.value.retryable) == ("EOrder:Insufficient funds", False)
    venue.replies = {"add_order": None}
    with pytest.raises(RequestUnknown, match="no answer"):
        await ws_api.add_order(**ORDER, timeout=0.2)
    venue.replies = {"add_order": "close"}
    with pytest.raises(RequestUnknown, match="connection was lost"):
        await ws_api.add_order(**ORDER)
    venue.replies = {"add_order": {"order_id": "O2"}}
    assert await ws_api.add_order(**ORDER) == "O2"
    assert ws_api.stats["reconnects"] == 1
    assert ws_api.stats["waiting"] == 0


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr("hftpy.exchange.kraken_ws_api.HEARTBEAT_TIMEOUT_S", 0.5)


async def test_order_entry_stays_connected_while_the_venue_sends_and_leaves_a_silent_one(short_patience, entry):
    venue, ws_api = entry
    venue.replies = {"add_order": {"order_id": "O1"}}
    await ws_api.add_order(**ORDER)
    for _ in range(20):
        await venue.connections[-1].send('{"channel":"heartbeat"}')
        await asyncio.sleep(0.05)
    assert len(venue.connections) == 1
    await venue.until(lambda: len(venue.connections) == 2)


async def test_invalid_token_is_replaced(entry, rest):
    venue, ws_api = entry
    rest.answers["GetWebSocketsToken"] = [{"token": "fresh"}]
    venue.replies = {"add_order": "EAPI:Invalid token"}
    with pytest.raises(RequestRejected) as rejected:
        await ws_api.add_order(**ORDER)
    assert rejected.value.retryable
    venue.replies = {"add_order": {"order_id": "O3"}}
    await venue.until(lambda: len(venue.connections) == 2)
    assert await ws_api.add_order(**ORDER) == "O3"
    assert venue.messages[-1]["params"]["token"] == "fresh"


async def test_order_before_start_is_rejected(rest):
    ws_api = create_exchange_ws_api("kraken", api_host="ws://127.0.0.1:9", rest_host=rest.url, **KEYS)
    with pytest.raises(RequestRejected, match="not started"):
        await ws_api.add_order(**ORDER)
