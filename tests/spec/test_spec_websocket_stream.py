"""The programs of the streams' specification, as they stand there, against the simulated venue (`api_host` added)."""

import asyncio
import json
import re
import signal
from decimal import Decimal

import pytest
import websockets

from hftpy.common import Channel, CurrencyPair, Exchange, OrderStatus, Side, Ticker, Trade
from hftpy.errors import ConfigError, ObserverError
from hftpy.exchange import create_exchange_api, create_exchange_ws_api, get_exchange_stream, registry
from hftpy.exchange.stream import StreamBase
from hftpy.service import ServiceBase
from hftpy.service.config import parse_section
from hftpy.sim.faults import Fault

PROGRAM = """
import asyncio
from hftpy.common import Exchange, CurrencyPair, Channel
from hftpy.exchange import get_exchange_stream


class DataHandler:
    # an observer

    def __init__(self):
        self.ticker_queue = asyncio.Queue()
        self.trade_queue = asyncio.Queue()

    async def process_tickers(self):
        # takes tickers
        while True:
            ticker = await self.ticker_queue.get()
            print(f"Ticker: {ticker.symbol} {ticker.bidPrice} / {ticker.askPrice}")

    async def process_trades(self):
        # takes trades
        while True:
            trade = await self.trade_queue.get()
            print(f"Trade: {trade.symbol} {trade.price} x {trade.volume}")


async def main():
    # the stream
    stream = get_exchange_stream(
        exchange=Exchange.KRAKEN,
        currency_pairs=[CurrencyPair.BTC_USD, CurrencyPair.ETH_USD],
        subscribe_channels=[Channel.TICKER, Channel.TRADE],
        api_key="",        # not needed for public channels
        api_secret="",
        subscribe_args={},
        api_host=API_HOST
    )

    # who observes it
    handler = DataHandler()
    stream.bind_observer(handler)

    # all together
    await asyncio.gather(
        stream.start(),              # receives
        handler.process_tickers(),   # takes tickers
        handler.process_trades(),    # takes trades
    )

if __name__ == "__main__":
    asyncio.run(main())
"""

SERVICE = """
import logging
from hftpy.common import MyOrder, MyTrade
from hftpy.service import ServiceBase

logger = logging.getLogger(__name__)


class MMDemoService(ServiceBase):
    def on_my_order(self, my_order: MyOrder) -> None:
        logger.info(f"order {my_order.clientOrderId} {my_order.symbol} {my_order.status}")

    def on_my_trade(self, my_trade: MyTrade) -> None:
        logger.info(f"fill {my_trade.clientOrderId} {my_trade.symbol} {my_trade.amount}")
"""

KEYS = {"api_key": "your api key", "api_secret": "your api secret"}


class Observer:
    """As the specification describes one."""

    def __init__(self):
        self.ticker_queue = asyncio.Queue()  # Channel.TICKER
        self.trade_queue = asyncio.Queue()  # Channel.TRADE
        self.my_order_queue = asyncio.Queue()  # Channel.MY_ORDER
        self.my_order_batch_queue = asyncio.Queue()  # Channel.MY_ORDER_BATCH


@pytest.fixture(autouse=True)
def no_apis(monkeypatch):
    monkeypatch.setattr(registry, "_apis", {})
    monkeypatch.setattr(registry, "_ws_apis", {})


async def test_the_stream_program(start, tmp_path, venue):
    (tmp_path / "program.py").write_text(PROGRAM.replace("API_HOST", repr(venue.ws_url(Exchange.KRAKEN))))
    program = await start("-W", "error", "program.py")
    await program.says("Ticker: btc/usd ", "Ticker: eth/usd ", "Trade: btc/usd ", "Trade: eth/usd ", times=3)
    await program.end(signal.SIGINT)
    printed = [line for line in program.text.splitlines() if line.startswith(("Ticker", "Trade"))]
    number = r"\d+(\.\d+)?(e-\d+)?"
    for line in printed:
        assert re.fullmatch(rf"(Ticker: (btc|eth)/usd {number} /|Trade: (btc|eth)/usd {number} x) {number}", line)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"api_key": "", "api_secret": "", "api_auth_data": "", "reconnect_times": "", "subscribe_args": ""},
        {"api_auth_data": "your auth data", "reconnect_times": -1, "subscribe_args": {}} | KEYS,
        {"api_auth_data": {}, "reconnect_times": {"times": 3, "initial": 0.1, "max": 1}, "subscribe_args": None},
        {"subscribe_args": {"snapshot": True}, "reconnect_times": 5, "api_auth_data": None, "api_key": None},
    ],
    ids=["few", "empty", "keys", "policy", "arguments"],
)
@pytest.mark.parametrize("exchange", [Exchange.KRAKEN, Exchange.BINANCE])
async def test_a_stream_of_all_parameters(venue, eventually, exchange, more):
    if exchange is Exchange.BINANCE and more.get("subscribe_args"):
        more = more | {"subscribe_args": {"aggregate": True}}
    params = {
        "exchange": exchange,
        "currency_pairs": [CurrencyPair.BTC_USDT, CurrencyPair.ETH_USDT],
        "subscribe_channels": [Channel.TICKER, Channel.TRADE],
        "api_host": venue.ws_url(exchange),
    } | more
    stream = get_exchange_stream(**params)
    service = Observer()
    stream.bind_observer(service)
    task = asyncio.create_task(stream.start())
    await eventually(lambda: service.ticker_queue.qsize() > 3 and service.trade_queue.qsize() > 3)
    ticker, trade = service.ticker_queue.get_nowait(), service.trade_queue.get_nowait()
    assert type(ticker) is Ticker
    assert type(trade) is Trade
    assert ticker.symbol in params["currency_pairs"]
    assert ticker.bidPrice < ticker.askPrice
    assert ticker.exchange is exchange
    await stream.stop()
    await task


def test_placeholders_that_are_no_settings_are_refused_by_name():
    params = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"]}
    for name, value in {
        "api_host": "your api host", "reconnect_times": "your reconnect policy", "subscribe_args": "subscribe args",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=f"{name} must .*was '{value}'"):
            get_exchange_stream(**params, **{name: value})
    with pytest.raises(ValueError, match="exchange must"):
        get_exchange_stream(**params | {"exchange": "sim"})
    with pytest.raises(TypeError, match="api_hots"):
        get_exchange_stream(**params, api_hots="")


class TickerStream(StreamBase):
    """The subclass of the specification, with a subscription that the simulated venue understands."""

    host = "wss://ws.kraken.com/v2"

    def on_ticker(self, json_msg: dict):
        ticker = json_msg  # parse
        for ob in self._observers:
            ob.ticker_queue.put_nowait(ticker)

    async def ticker_channel(self):
        async def subscribe_wrapper():
            return json.dumps({"method": "subscribe", "params": {"channel": "ticker", "symbol": ["BTC/USD"]}})

        params = {
            "host": self.host,  # of the WebSocket
            "channel": Channel.TICKER,  # whose connection it is
            "subscribe": subscribe_wrapper,  # makes the message that subscribes
            "on_packet": self.on_ticker,  # takes each message
            "on_connected": None,  # called after connecting
            "on_disconnected": None,  # called after the connection was lost
        }
        await self.run_channel(**params)


@pytest.mark.parametrize("way", ["api_host", "host"])
async def test_a_subclass_with_its_own_channel(venue, eventually, way):
    class Stream(TickerStream):
        if way == "host":
            host = venue.ws_url(Exchange.KRAKEN) + "/v2"

    stream = Stream(
        currency_pairs=[CurrencyPair.BTC_USD], subscribe_channels=[Channel.TICKER],
        api_host=venue.ws_url(Exchange.KRAKEN) if way == "api_host" else "",
    )  # fmt: skip
    first, second = Observer(), Observer()
    stream.bind_observer(first)
    stream.bind_observer(second)
    task = asyncio.create_task(stream.start())
    await eventually(lambda: first.ticker_queue.qsize() > 5)
    await stream.stop()
    await task
    assert first.ticker_queue.qsize() == second.ticker_queue.qsize()
    packets = [first.ticker_queue.get_nowait() for _ in range(first.ticker_queue.qsize())]
    assert all(type(packet) is dict for packet in packets)
    tickers = [packet for packet in packets if packet.get("channel") == "ticker"]
    assert {row["symbol"] for packet in tickers for row in packet["data"]} == {"BTC/USD"}
    assert stream.stats["ticker"]["callback_errors"] == 0


async def test_a_subclass_of_a_venue_and_a_reconnect(venue, eventually):
    class Stream(type(get_exchange_stream("kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker"]))):
        calls = ()

        async def ticker_channel(self):
            async def subscribe_wrapper():
                return {"method": "subscribe", "params": {"channel": "ticker", "symbol": ["BTC/USD"]}}

            def on_packet(json_msg):
                if json_msg.get("channel") == "ticker":
                    for ob in self._observers:
                        ob.ticker_queue.put_nowait(json_msg)

            def note(what):
                self.calls += (what,)

            await self.run_channel(
                host="wss://ws.kraken.com/v2", channel=Channel.TICKER, subscribe=subscribe_wrapper,
                on_packet=on_packet, on_connected=lambda: note("on"), on_disconnected=lambda: note("off"),
            )  # fmt: skip

    stream = Stream(
        currency_pairs=[CurrencyPair.BTC_USD], subscribe_channels=[Channel.TICKER, Channel.TRADE],
        api_host=venue.ws_url(Exchange.KRAKEN), reconnect_times={"times": -1, "initial": 0.01, "max": 0.1},
    )  # fmt: skip
    observer = Observer()
    stream.bind_observer(observer)
    task = asyncio.create_task(stream.start())
    await eventually(lambda: observer.ticker_queue.qsize() > 3 and observer.trade_queue.qsize() > 3)
    await venue.commit(Fault.now("disconnect"))
    await eventually(lambda: stream.calls == ("on", "off", "on"))
    seen = observer.ticker_queue.qsize()
    await eventually(lambda: observer.ticker_queue.qsize() > seen)
    await stream.stop()
    await task
    assert stream.calls == ("on", "off", "on", "off")
    assert type(observer.trade_queue.get_nowait()) is Trade


async def test_an_observer_needs_the_queues_of_what_is_subscribed_and_no_others(venue, eventually):
    class TickersOnly:
        def __init__(self):
            self.ticker_queue = asyncio.Queue()

    stream = get_exchange_stream(
        exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker"],
        api_host=venue.ws_url(Exchange.KRAKEN),
    )  # fmt: skip
    observer = TickersOnly()
    stream.bind_observer(observer)
    task = asyncio.create_task(stream.start())
    await eventually(lambda: not observer.ticker_queue.empty())
    await stream.stop()
    await task
    both = get_exchange_stream(exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker", "trade"])
    with pytest.raises(ObserverError, match="must have a queue trade_queue"):
        both.bind_observer(TickersOnly())


def private_config(venue, **more):
    setting = {
        "apis": [{"exchange": "kraken", **KEYS, "api_host": venue.rest_url(Exchange.KRAKEN)}],
        "streams": [
            {
                "exchange": "kraken",
                "currency_pairs": ["btc/usdt", "eth/usdt"],
                "subscribe_channels": ["my_trade", "my_order"],
                "api_host": venue.ws_url(Exchange.KRAKEN),
            }
        ],
    }
    return {"class_name": "MMDemoService", "setting": setting | more}


async def place_raw(venue, request):
    """Place an order as somebody who knows the venue's documents alone does; returns the venue's order id."""
    api = create_exchange_api("kraken", **KEYS, rest_host=venue.rest_url(Exchange.KRAKEN))
    token = await api.get_websockets_token()
    await api.close()
    async with websockets.connect(venue.ws_url(Exchange.KRAKEN) + "/v2") as connection:
        params = {"order_type": "market", "side": "buy", "order_qty": 0.01, **request, "token": token}
        await connection.send(json.dumps({"method": "add_order", "params": params, "req_id": 7}))
        while (answer := json.loads(await connection.recv())).get("req_id") != 7:
            continue
    assert answer["success"], answer
    return answer["result"]["order_id"]


async def test_a_service_with_private_streams_sees_every_order_of_its_account(
    run, project, venue, status_of, eventually, left_behind
):
    config = project("mm", {"service.mm_demo": private_config(venue)}, mm_demo=SERVICE)
    service = await run(config)
    await service.says("runs (MMDemoService)")

    def connected():
        streams = status_of("mm_demo").get("streams") or [{}]
        return all(streams[0].get("channels", {}).get(name, {}).get("connected") for name in ("my_order", "my_trade"))

    def filled(client_id, pair):  # a market order may take several levels
        return sum(map(Decimal, re.findall(rf"fill {client_id} {pair} (\S+)\n", service.text)))

    await eventually(connected)
    ws_api = create_exchange_ws_api(
        "kraken", **KEYS, api_host=venue.ws_url(Exchange.KRAKEN), rest_host=venue.rest_url(Exchange.KRAKEN)
    )
    await ws_api.start()
    await ws_api.add_order(
        symbol="btc/usdt", side="buy", amount=Decimal("0.01"), price=Decimal("1.0"), client_order_id="by-ws-api"
    )
    await service.says("order by-ws-api btc/usdt new")
    await ws_api.cancel_order(client_order_id="by-ws-api")
    await service.says("order by-ws-api btc/usdt canceled")
    await ws_api.stop()
    await place_raw(venue, {"symbol": "ETH/USDT", "cl_ord_id": "by-socket"})
    await service.says("order by-socket eth/usdt filled")
    await eventually(lambda: filled("by-socket", "eth/usdt") == Decimal("0.01"))
    await place_raw(venue, {"symbol": "BTC/USD", "cl_ord_id": "other-pair"})
    await place_raw(venue, {"symbol": "BTC/USDT", "cl_ord_id": "last"})
    await service.says("order last btc/usdt filled")
    await eventually(lambda: filled("last", "btc/usdt") == Decimal("0.01"))
    assert "other-pair" not in service.text
    assert await service.end() == 0
    text = service.text
    assert KEYS["api_key"] not in text
    assert KEYS["api_secret"] not in text
    assert "Traceback" not in text
    assert service.survivors() == [] and left_behind() == []


class Recorder(ServiceBase):
    """Remembers what its hooks were given."""

    def __init__(self, config):
        super().__init__(config)
        self.seen = []

    def on_my_order(self, my_order):
        self.seen.append(my_order)

    async def on_my_order_batch(self, my_orders):
        self.seen.append(my_orders)

    async def on_my_trade(self, my_trade):
        self.seen.append(my_trade)


async def test_orders_of_the_account_before_and_after_a_reconnect(root, tmp_path, venue, eventually):
    section = private_config(venue)
    stream = section["setting"]["streams"][0]
    stream |= {"subscribe_channels": ["my_trade", "my_order", "my_order_batch"], "reconnect_times": {"initial": 0.01}}
    service = Recorder(parse_section("service.mm_demo", section, tmp_path))
    await place_raw(venue, {"symbol": "BTC/USDT", "order_type": "limit", "limit_price": 1.0, "cl_ord_id": "early"})
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.seen)
    (batch,) = service.seen
    assert [(order.clientOrderId, order.status, order.side) for order in batch] == [
        ("early", OrderStatus.NEW, Side.BUY)
    ]
    await venue.commit(Fault.now("disconnect"))
    await eventually(lambda: len(service.seen) == 2)
    assert [order.clientOrderId for order in service.seen[1]] == ["early"]
    await place_raw(venue, {"symbol": "BTC/USDT", "cl_ord_id": "late"})
    await eventually(lambda: len(service.seen) >= 4)
    assert {item.clientOrderId for item in service.seen[2:]} == {"late"}
    assert service.counters["my_orders"] + service.counters["my_trades"] == len(service.seen) - 2
    service.request_stop()
    await task


async def test_a_service_as_the_observer_of_a_stream_that_it_starts_itself(root, tmp_path, venue, eventually):
    class MMDemoService(ServiceBase):
        def on_setup(self):
            self.tickers, self.trades, self.lost = [], [], []
            return True

        async def on_start(self):
            params = {
                "exchange": Exchange.KRAKEN,
                "currency_pairs": [CurrencyPair.BTC_USD, CurrencyPair.ETH_USD],
                "subscribe_channels": [Channel.TICKER, Channel.TRADE],
                "api_host": venue.ws_url(Exchange.KRAKEN),
                "reconnect_times": {"initial": 0.01},
            }
            self.stream = get_exchange_stream(**params)
            self.stream.bind_observer(self)
            self.running = asyncio.create_task(self.stream.start())

        async def on_stop(self):
            await self.stream.stop()
            await self.running

        def on_ticker(self, ticker):
            self.tickers.append(ticker)

        def on_trade(self, trade):
            self.trades.append(trade)

        def on_gap(self, gap):
            self.lost.append(gap)

    service = MMDemoService(parse_section("service.mm_demo", {"class_name": "MMDemoService"}, tmp_path))
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.counters["tickers"] > 3 and service.trades)
    assert {ticker.symbol for ticker in service.tickers} <= {CurrencyPair.BTC_USD, CurrencyPair.ETH_USD}
    await venue.commit(Fault.now("disconnect"))
    await eventually(lambda: {gap.channel for gap in service.lost} == {Channel.TICKER, Channel.TRADE})
    service.request_stop()
    await task
    assert service.counters["errors"] == 0


@pytest.mark.parametrize("suffix", ["/kraken", "/kraken/", "/kraken/v2", "", "/", "/v2"])
async def test_an_api_host_may_end_in_the_path_or_not(venue, eventually, suffix):
    base = venue.ws_url(Exchange.KRAKEN).removesuffix("/kraken")
    stream = get_exchange_stream(
        "kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker"], api_host=base + suffix
    )
    observer = Observer()
    stream.bind_observer(observer)
    task = asyncio.create_task(stream.start())
    await eventually(lambda: not observer.ticker_queue.empty())
    await stream.stop()
    await task


async def test_orders_of_the_account_after_the_venue_was_gone(root, tmp_path, venue, eventually):
    section = private_config(venue)
    section["setting"]["streams"][0]["reconnect_times"] = {"initial": 0.05, "max": 0.2}
    service = Recorder(parse_section("service.mm_demo", section, tmp_path))
    task = asyncio.create_task(service.run())
    await eventually(lambda: service.streams and service.streams[0].stats["my_order"]["connected"])
    await venue.commit(Fault.now("restart", 0.5))
    await eventually(lambda: service.counters["reconnects"] == 2)
    await place_raw(venue, {"symbol": "ETH/USDT", "cl_ord_id": "late"})
    await eventually(lambda: len(service.seen) >= 2)
    assert {item.clientOrderId for item in service.seen} == {"late"}
    service.request_stop()
    await task
