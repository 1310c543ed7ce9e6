import asyncio
import json
from collections import Counter

import pytest
from exchange_fakes import Observer
from product_fakes import FakeKrakenFuture, future_snapshot, future_ticker, future_trade
from session_replay import replay, session_frames, shown

from hftcore.parse import FrameKind, Parser
from hftpy.common import Channel, Exchange, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.errors import SubscribeError
from hftpy.exchange import client as client_module
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.kraken_future import KrakenFutureMarketProtocol

FUTURE = Exchange.KRAKEN_FUTURE


async def ready(venue, stream, channel="ticker"):
    await venue.until(lambda: len(venue.messages) >= 2)
    async with asyncio.timeout(20):
        while not stream.stats[channel]["connected"]:
            await asyncio.sleep(0.01)


async def test_ticker(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()
        pairs = ["btc/usd", "btc/usd:btc", "eth/usd:eth-210625"]
        stream, _ = run_stream(FUTURE, venue, observer, currency_pairs=pairs)
        await ready(venue, stream)
        assert venue.paths == ["/ws/v1"]
        assert venue.messages == [
            {"event": "subscribe", "feed": "ticker", "product_ids": ["PF_XBTUSD", "PI_XBTUSD", "FI_ETHUSD_210625"]},
            {"event": "subscribe", "feed": "heartbeat"},
        ]
        for bid, product in enumerate(("PF_XBTUSD", "PI_XBTUSD", "FI_ETHUSD_210625", "PF_SOLUSD"), 1):
            await venue.send(future_ticker(float(bid), product))
            await venue.send({"feed": "heartbeat", "time": 1790000000000})
        tickers = await observer.count(3, Ticker)
        assert [(ticker.symbol, ticker.bidPrice) for ticker in tickers] == list(
            zip(pairs, (1.0, 2.0, 3.0), strict=True)
        )
        assert (tickers[0].askPrice, tickers[0].bidVolume, tickers[0].askVolume) == (2.0, 1.5, 2.25)
        async with asyncio.timeout(20):
            while not stream.stats["ticker"]["unwanted"]:
                await asyncio.sleep(0.01)


async def test_ticker_lite_on_request(run_stream):
    async with FakeKrakenFuture() as venue:
        stream, _ = run_stream(FUTURE, venue, Observer(), subscribe_args={"lite": True})
        await ready(venue, stream)
        assert venue.messages[0]["feed"] == "ticker_lite"


def test_a_product_named_twice_is_an_error():
    with pytest.raises(ValueError, match="PF_XBTUSD"):
        get_exchange_stream(FUTURE, currency_pairs=["btc/usd", "btc/usd:usd"], subscribe_channels=["ticker"])


async def test_trades_come_oldest_first_and_count_by_one(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()

        async def history(connection, message):
            await connection.send(json.dumps(future_snapshot(8, 9, 10)))

        venue.on_subscribed = history
        stream, _ = run_stream(FUTURE, venue, observer, subscribe_channels=["trade"])
        await ready(venue, stream, "trade")
        for number in (11, 11, 14):
            await venue.send(future_trade(number))
        await observer.count(5, Trade)
        assert [item.lost if isinstance(item, Gap) else item.seq for item in observer.log] == [8, 9, 10, 11, 2, 14]
        assert [int(trade.flags) for trade in observer.of(Trade)] == [1, 1, 1, 0, 0]
        assert {trade.side for trade in observer.of(Trade)} == {Side.SELL}
        assert stream.stats["trade"]["duplicates"] == 1


async def test_history_fills_a_reconnect(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, subscribe_channels=["trade"])
        await ready(venue, stream, "trade")
        await venue.send(future_trade(10))
        await observer.count(1, Trade)

        async def history(connection, message):
            await connection.send(json.dumps(future_snapshot(9, 10, 11, 12)))

        venue.on_subscribed = history
        await venue.connections[0].close()
        await observer.count(3, Trade)
        await observer.count(1, Reconnected)
        assert [trade.seq for trade in observer.of(Trade)] == [10, 11, 12]
        assert [(gap.reason, gap.lost) for gap in observer.of(Gap)] == [("disconnected", None)]


REFUSALS = ["Couldn't subscribe to invalid product `PF_NOSUCHUSD`", "Invalid product id PF_NOSUCHUSD.", ""]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refused_product_is_found_and_the_others_go_on(run_stream, refusal):
    async with FakeKrakenFuture() as venue:
        venue.refused = {"PF_NOSUCHUSD": refusal}
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, currency_pairs=["btc/usd", "nosuch/usd", "eth/usd"])
        await ready(venue, stream)
        await venue.send(future_ticker(1.0))
        await venue.send(future_ticker(2.0, "PF_ETHUSD"))
        await observer.count(2, Ticker)
        assert stream.stats["ticker"]["refused"] == 1
        assert len(venue.connections) == 1


@pytest.mark.parametrize("refusal", ["Couldn't subscribe to invalid product `PF_XBTUSD`", ""])
async def test_all_products_refused_is_an_error(run_stream, refusal):
    async with FakeKrakenFuture() as venue:
        venue.refused = {"PF_XBTUSD": refusal}
        _, task = run_stream(FUTURE, venue, Observer())
        with pytest.raises(SubscribeError, match=refusal or "Invalid product id"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_missing_acknowledgement_and_silence_connect_again(run_stream, monkeypatch):
    monkeypatch.setattr(KrakenFutureMarketProtocol, "ack_timeout_s", 0.2)
    async with FakeKrakenFuture() as venue:
        venue.answering = False
        run_stream(FUTURE, venue, Observer())
        await venue.until(lambda: len(venue.connections) >= 2)
    monkeypatch.setattr(KrakenFutureMarketProtocol, "heartbeat_timeout_s", 0.3)
    async with FakeKrakenFuture() as venue:
        run_stream(FUTURE, venue, Observer())
        await venue.until(lambda: len(venue.connections) >= 2)


async def test_mute_venue_with_heartbeats_is_stale_then_connected_again(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, stale_after=0.3)
        await venue.until(lambda: len(venue.connections) == 2)
        assert [item.symbol for item in observer.of(Stale)] == ["btc/usd"]


async def test_pings_go_out_although_frames_come(run_stream, monkeypatch):
    monkeypatch.setattr(client_module, "PING_INTERVAL_S", 0.2)
    monkeypatch.setattr(client_module, "PING_TIMEOUT_S", 0.2)
    async with FakeKrakenFuture() as venue:
        observer, pings = Observer(), []
        stream, _ = run_stream(FUTURE, venue, observer)
        await ready(venue, stream)
        protocol = venue.connections[0].protocol
        receive = protocol.recv_frame

        def noted(frame):
            pings.extend([frame] if frame.opcode.name == "PING" else [])
            receive(frame)

        protocol.recv_frame = noted
        number = 0
        async with asyncio.timeout(20):
            while len(pings) < 3:
                number += 1
                await venue.send(future_ticker(float(number)))
                await asyncio.sleep(0.02)
        await observer.count(number, Ticker)
        assert len(venue.connections) == 1


ODD = [
    {"event": "error"}, {"event": "alert", "message": ["x"]}, {"event": "subscribed"}, {"event": 5}, {"feed": 5},
    {"event": "subscribed", "feed": "ticker", "product_ids": 5}, {"event": "info", "version": 2}, {"feed": "x"},
    {"event": "subscribed", "feed": "ticker", "product_ids": [5, None]}, {"event": "challenge", "message": "x"},
    {"event": "alert", "message": "Already subscribed to feed, re-requesting"}, [], 5, None, {}, {"feed": "ticker"},
]  # fmt: skip


async def test_odd_frames_kill_nothing(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer)
        await ready(venue, stream)
        for odd in ODD:
            await venue.send(json.dumps(odd))
        for garbage in ("", "{", "[1,2", b"\x00\xff"):
            await venue.send(garbage)
        await venue.send(future_ticker(5.0))
        await observer.count(1, Ticker)
        assert len(venue.connections) == 1
        assert stream.stats["ticker"]["refused"] == 0


def test_many_products_come_in_batches():
    protocol = KrakenFutureMarketProtocol(Channel.TICKER, [f"c{i}/usd" for i in range(250)], {})
    assert [len(json.loads(message).get("product_ids", [])) for message in protocol.open()] == [100, 100, 50, 0]


# Recorded

PAIRS = [f"{base}/usd:{base}{end}" for base, end in (
    ("bch", ""), ("bch", "-210625"), ("btc", "-210430"), ("xrp", "-210625"), ("eth", "-210924"), ("btc", "-210924"),
    ("eth", "-210430"), ("btc", "-210625"), ("bch", "-210430"), ("eth", "-210625"),
)]  # fmt: skip


def expected(frames, kind):
    parser, found = Parser("kraken_future"), []
    for frame in frames:
        events = parser.parse(frame.encode())
        if parser.kind is FrameKind.EVENTS and events and isinstance(events[0], kind):
            found += events[::-1] if kind is Trade else events
    return [shown(event) for event in found]


@pytest.fixture
def session(fixtures):
    return session_frames(fixtures / "sessions" / "kraken_futures__all_20210417.jsonl.gz")


def settings(kind):
    return {"currency_pairs": PAIRS, "subscribe_args": {"lite": True} if kind is Ticker else {}}


@pytest.mark.recorded
@pytest.mark.parametrize("kind", [Ticker, Trade])
async def test_the_recorded_session_arrives_whole_and_in_order(run_stream, session, kind):
    wanted = expected(session, kind)
    assert len(wanted) == (541 if kind is Ticker else 1003)
    observer, stats = await replay(run_stream, session, kind, len(wanted), FUTURE, **settings(kind))
    assert [shown(item) for item in observer.log] == wanted
    assert stats["gaps"] == stats["parse_errors"] == stats["duplicates"] == stats["outdated"] == 0


@pytest.mark.recorded
@pytest.mark.parametrize("what", ["removed", "repeated", "swapped"])
async def test_a_changed_session_is_told(run_stream, session, what):
    trades = [
        place
        for place, frame in enumerate(session)
        if '"feed":"trade","product_id"' in frame and "snapshot" not in frame
    ]
    first, second = trades[:2]
    assert json.loads(session[first])["product_id"] == json.loads(session[second])["product_id"]
    frames = list(session)
    if what == "removed":
        del frames[first]
    elif what == "repeated":
        frames.insert(first, frames[first])
    else:
        frames[first], frames[second] = frames[second], frames[first]
    observer, stats = await replay(run_stream, frames, Trade, 1, FUTURE, **settings(Trade))
    got = Counter(str(shown(item)) for item in observer.of(Trade))
    wanted = Counter(map(str, expected(session, Trade)))
    if what == "repeated":
        assert got == wanted and not observer.of(Gap) and stats["duplicates"] == 1
    else:
        # A trade that comes after a later one was told to be lost, and stays it.
        assert wanted - got == Counter(map(str, expected([session[first]], Trade)))
        assert [gap.lost for gap in observer.of(Gap)] == [1]
