import asyncio
import json

import pytest
from exchange_fakes import FakeKraken, Observer, kraken_ticker, kraken_trades

from hftpy.common import Channel, CurrencyPair, Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.errors import ObserverError, SubscribeError, VenueError
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.kraken_market import KrakenMarketProtocol

KRAKEN = Exchange.KRAKEN


async def test_ticker_reaches_every_observer(run_stream, client):
    async with FakeKraken() as venue:
        first, second = Observer(), Observer()
        stream, _ = run_stream(KRAKEN, venue, first, api_host=venue.url + "/kraken")
        stream.bind_observer(second)
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == ["/kraken/v2"]
        assert venue.messages[0]["params"] == {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo"}
        await venue.send(kraken_ticker(100.0, kind="snapshot"))
        await venue.send(kraken_ticker(101.0))
        for observer in (first, second):
            tickers = await observer.count(2, Ticker)
            assert [ticker.bidPrice for ticker in tickers] == [100.0, 101.0]
            assert [int(ticker.flags) for ticker in tickers] == [1, 0]
            assert tickers[0].symbol == CurrencyPair.BTC_USD
            assert tickers[0].localTimeNs > 1_700_000_000 * 10**9
        stats = stream.stats["ticker"]
        assert stats["events"] == 2
        assert stats["connected"]
        assert stats["parse_errors"] == 0


async def test_standalone_program_with_two_channels(run_stream):
    """The standalone program of the documentation, its queues being asyncio.Queue."""

    class Handler:
        def __init__(self):
            self.ticker_queue = asyncio.Queue()
            self.trade_queue = asyncio.Queue()

    async with FakeKraken() as venue:

        async def feed(connection, params):
            if params["channel"] == "ticker":
                await connection.send(json.dumps(kraken_ticker(7.0, symbol="ETH/USD")))
            else:
                await connection.send(json.dumps(kraken_trades(5)))

        venue.on_subscribed = feed
        handler = Handler()
        run_stream(
            KRAKEN, venue, handler,
            currency_pairs=[CurrencyPair.BTC_USD, CurrencyPair.ETH_USD],
            subscribe_channels=[Channel.TICKER, Channel.TRADE], api_key="", api_secret="", subscribe_args={},
        )  # fmt: skip
        async with asyncio.timeout(20):
            ticker = await handler.ticker_queue.get()
            trade = await handler.trade_queue.get()
        assert (ticker.symbol, ticker.bidPrice, ticker.askPrice) == ("eth/usd", 7.0, 8.0)
        assert (trade.symbol, trade.price, trade.volume) == ("btc/usd", 100.5, 0.25)
        assert len(venue.connections) == 2


async def test_reconnect_tells_the_gap_before_the_next_message(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer)

        async def feed(connection, params):
            await connection.send(json.dumps(kraken_ticker(float(len(venue.connections)))))

        venue.on_subscribed = feed
        await observer.count(1, Ticker)
        await venue.connections[0].close()
        await observer.count(2, Ticker)
        await observer.count(1, Reconnected)
        kinds = [type(item) for item in observer.log]
        assert kinds.count(Gap) == 1
        assert kinds.index(Gap) == 1
        gap = observer.of(Gap)[0]
        assert (gap.source, gap.reason, gap.lost, gap.symbol, gap.channel) == (
            "venue", "disconnected", None, None, Channel.TICKER,
        )  # fmt: skip
        again = observer.of(Reconnected)[0]
        assert again.attempts >= 1
        assert again.down_s > 0
        assert stream.stats["ticker"]["reconnects"] == 1
        assert stream.stats["ticker"]["gaps"] == 1
        assert len(venue.messages) == 2


async def test_venue_that_comes_back_later(run_stream):
    async with FakeKraken() as venue:
        port = venue.port
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: bool(venue.messages))
        await asyncio.sleep(0.05)
    await observer.count(1, Gap)
    await asyncio.sleep(0.2)
    assert not stream.stats["ticker"]["connected"]
    back = FakeKraken()
    from websockets.asyncio.server import serve

    async with await serve(back._serve, "127.0.0.1", port):
        await observer.count(1, Reconnected)


async def test_lost_trades_are_counted_and_history_fills_a_reconnect(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer, subscribe_channels=["trade"])
        await venue.until(lambda: bool(venue.messages))
        assert "snapshot" not in venue.messages[0]["params"]
        await venue.send(kraken_trades(10, 11))
        await venue.send(kraken_trades(15))
        await observer.count(3, Trade)
        assert [item.lost if isinstance(item, Gap) else item.tradeId for item in observer.log] == [10, 11, 3, 15]

        async def history(connection, params):
            assert params["snapshot"] is True
            await connection.send(json.dumps(kraken_trades(11, 15, 16, 17, kind="snapshot")))
            await connection.send(json.dumps(kraken_trades(17, 18)))

        venue.on_subscribed = history
        await venue.connections[0].close()
        trades = await observer.count(6, Trade)
        assert [trade.tradeId for trade in trades] == [10, 11, 15, 16, 17, 18]
        assert [gap.lost for gap in observer.of(Gap)] == [3, None]
        assert stream.stats["trade"]["duplicates"] == 3


async def test_trade_numbers_that_start_anew_do_not_silence_the_stream(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        run_stream(KRAKEN, venue, observer, subscribe_channels=["trade"])
        await venue.until(lambda: bool(venue.messages))
        await venue.send(kraken_trades(1000))
        await venue.send(kraken_trades(1, 2, second=5))
        await observer.count(3, Trade)
        assert [getattr(item, "tradeId", None) for item in observer.log] == [1000, None, 1, 2]
        assert observer.of(Gap)[0].lost is None


async def test_mute_venue_with_heartbeats_is_stale_then_connected_again(run_stream):
    async with FakeKraken() as venue:
        venue.heartbeat_s = 0.05
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer, stale_after=0.3)
        await venue.until(lambda: len(venue.connections) == 2)
        stale = observer.of(Stale)
        assert [item.symbol for item in stale] == ["btc/usd"]
        assert stale[0].silent_s >= 0.3
        assert len(observer.of(Gap)) == 1
        assert stream.stats["ticker"]["stale"] == 1


async def test_one_silent_symbol_is_stale_once_and_nothing_is_connected_again(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        run_stream(KRAKEN, venue, observer, currency_pairs=["btc/usd", "eth/usd"], stale_after=0.3)
        await venue.until(lambda: bool(venue.messages))
        for number in range(12):
            await venue.send(kraken_ticker(float(number)))
            await asyncio.sleep(0.1)
        assert [item.symbol for item in observer.of(Stale)] == ["eth/usd"]
        assert len(venue.connections) == 1


async def test_silence_of_all_frames_connects_again(run_stream, monkeypatch):
    monkeypatch.setattr(KrakenMarketProtocol, "heartbeat_timeout_s", 0.3)
    async with FakeKraken() as venue:
        run_stream(KRAKEN, venue, Observer())
        await venue.until(lambda: len(venue.connections) >= 2)


async def test_missing_acknowledgement_connects_again(run_stream, monkeypatch):
    monkeypatch.setattr(KrakenMarketProtocol, "ack_timeout_s", 0.2)
    async with FakeKraken() as venue:
        venue.answering = False
        observer = Observer()
        run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: len(venue.connections) >= 2)
        assert not observer.of(Reconnected)


async def test_all_symbols_refused_is_an_error(run_stream):
    async with FakeKraken() as venue:
        venue.refused = {"BTC/USD": "Currency pair not supported BTC/USD"}
        _, task = run_stream(KRAKEN, venue, Observer())
        with pytest.raises(SubscribeError, match="Currency pair not supported"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_one_refused_symbol_leaves_the_rest(run_stream):
    async with FakeKraken() as venue:
        venue.refused = {"BTC/USD": "Currency pair not supported BTC/USD"}
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer, currency_pairs=["btc/usd", "eth/usd"])
        await venue.until(lambda: bool(venue.messages))
        await venue.send(kraken_ticker(3.0, symbol="ETH/USD"))
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["refused"] == 1
        assert stream.stats["ticker"]["connected"]


async def test_garbage_frames_are_counted_and_kill_nothing(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: bool(venue.messages))
        for garbage in ("", "{", "[1,2", '{"channel":"ticker","type":"update","data":[{}]}', b"\x00\xff\xfe"):
            await venue.send(garbage)
        await venue.send("CloudFlare WebSocket proxy restarting")
        await venue.send(kraken_ticker(5.0))
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["parse_errors"] == 5
        assert len(venue.connections) == 1


ODD = [
    {"method": "subscribe", "success": False, "req_id": [1]},
    {"method": "subscribe", "result": {"symbol": 5}, "success": True},
    {"method": "subscribe", "result": [], "success": "yes", "req_id": None},
    {"method": ["subscribe"]},
    {"channel": "status", "data": 7, "type": "update"},
    {"channel": "status", "data": [7, {"system": ["x"]}], "type": "update"},
    {"channel": None},
    {},
    [],
    [[[]]],
    5,
    None,
    {"method": "error", "error": {"a": 1}},
]


async def test_odd_control_frames_kill_nothing(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: bool(venue.messages))
        for odd in ODD:
            await venue.send(json.dumps(odd))
        await venue.send(kraken_ticker(5.0))
        await observer.count(1, Ticker)
        assert len(venue.connections) == 1


async def test_fragmented_messages_and_other_symbols(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: bool(venue.messages))
        text = json.dumps(kraken_ticker(6.0))
        await venue.connections[0].send(iter([text[:1], text[1:40], "", text[40:]]))
        await venue.send(kraken_ticker(9.0, symbol="DOGE/USD"))
        await venue.send(kraken_ticker(7.0))
        tickers = await observer.count(2, Ticker)
        assert [ticker.bidPrice for ticker in tickers] == [6.0, 7.0]
        assert stream.stats["ticker"]["unwanted"] == 1


async def test_close_code_1008_ends_the_stream(run_stream):
    async with FakeKraken() as venue:
        venue.close_at_once = 1008
        _, task = run_stream(KRAKEN, venue, Observer())
        with pytest.raises(VenueError, match="1008"):
            await asyncio.wait_for(asyncio.shield(task), 10)
        assert len(venue.connections) == 1


async def test_reconnect_policy_is_exhausted(run_stream):
    async with FakeKraken() as venue:
        venue.close_at_once = 1011
        _, task = run_stream(KRAKEN, venue, Observer(), reconnect_times={"times": 2, "initial": 0.0})
        with pytest.raises(VenueError, match="gave up after 2 reconnects"):
            await asyncio.wait_for(asyncio.shield(task), 10)
        assert len(venue.connections) == 3


async def test_full_queue_of_one_observer_is_counted_and_harms_no_other(run_stream):
    class Small:
        ticker_queue = asyncio.Queue(maxsize=1)

    async with FakeKraken() as venue:
        observer = Observer()
        stream, _ = run_stream(KRAKEN, venue, Small())
        stream.bind_observer(observer)
        await venue.until(lambda: bool(venue.messages))
        for number in range(4):
            await venue.send(kraken_ticker(float(number)))
        await observer.count(4, Ticker)
        assert stream.stats["ticker"]["dropped"] == [3, 0]
        assert Small.ticker_queue.get_nowait().bidPrice == 0.0


async def test_stop_while_connecting_is_prompt(client):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = get_exchange_stream(
            exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["ticker"],
            api_host=f"ws://127.0.0.1:{port}", client=client,
        )  # fmt: skip
        task = asyncio.create_task(stream.start())
        await asyncio.sleep(0.1)
        async with asyncio.timeout(3):
            await stream.stop()
            await task


async def test_stop_emits_no_gap_and_start_again_works(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        stream, task = run_stream(KRAKEN, venue, observer)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(kraken_ticker(1.0))
        await observer.count(1, Ticker)
        with pytest.raises(RuntimeError, match="already running"):
            await stream.start()
        await stream.stop()
        assert task.done()
        assert not observer.of(Gap)
        again = asyncio.create_task(stream.start())
        await venue.until(lambda: len(venue.messages) == 2)
        await stream.stop()
        await again


def test_missing_queue_is_an_error_at_bind():
    class NoTrades:
        ticker_queue = asyncio.Queue()

    stream = get_exchange_stream(
        exchange=KRAKEN, currency_pairs=["btc/usd"], subscribe_channels=[Channel.TICKER, Channel.TRADE]
    )
    with pytest.raises(ObserverError, match="NoTrades must have a queue trade_queue"):
        stream.bind_observer(NoTrades())
    assert stream._observers == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"currency_pairs": []}, "currency_pairs must name at least one pair"),
        ({"subscribe_channels": []}, "subscribe_channels must name at least one channel"),
        ({"subscribe_channels": ["funding"]}, "has no channel 'funding'"),
        ({"subscribe_channels": ["tick"]}, "Channel must be one of"),
        ({"api_host": "127.0.0.1:80"}, "api_host must begin with ws://"),
        ({"client": "curl"}, "client must be one of"),
        ({"reconnect_times": -2}, "reconnect_times must be -1"),
        ({"reconnect_times": {"time": 1}}, "had 'time'"),
        ({"stale_after": -1}, "stale_after must be a number of seconds"),
        ({"subscribe_args": "x"}, "subscribe_args must be a mapping"),
        ({"exchange": "sim"}, "exchange must be one of"),
    ],
)
def test_bad_settings_name_the_value(settings, message):
    with pytest.raises(ValueError, match=message):
        get_exchange_stream(
            **({"exchange": "kraken", "currency_pairs": "btc/usd", "subscribe_channels": "ticker"} | settings)
        )


async def test_quiet_market_is_connected_again_ever_more_rarely(run_stream):
    async with FakeKraken() as venue:
        opened = []

        async def note(connection, params):
            opened.append(asyncio.get_running_loop().time())

        venue.on_subscribed = note
        run_stream(KRAKEN, venue, Observer(), stale_after=0.1, reconnect_times={"initial": 0.0})
        await venue.until(lambda: len(venue.messages) >= 4)
        # 0.1 s, then at least 0.2 s, then at least 0.4 s: patience is a lower bound, so no upper one is asserted.
        assert opened[2] - opened[1] >= 0.2
        assert opened[3] - opened[2] >= 0.4
