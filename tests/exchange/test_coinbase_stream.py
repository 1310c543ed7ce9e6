import asyncio
import contextlib
import json
from collections import Counter

import pytest
from exchange_fakes import Observer
from product_fakes import FakeCoinbase, coinbase_frame, coinbase_ticker, coinbase_trades
from session_replay import replay, session_frames, shown
from websockets.exceptions import ConnectionClosed

from hftcore.parse import FrameKind, Parser
from hftpy.common import Channel, Exchange, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.errors import SubscribeError
from hftpy.exchange.coinbase import CoinbaseMarketProtocol

COINBASE = Exchange.COINBASE
PAIRS = {"currency_pairs": ["btc/usd", "eth/usd"]}


async def ready(venue, stream, channel="ticker"):
    await venue.until(lambda: len(venue.messages) >= 2)
    async with asyncio.timeout(20):
        while not stream.stats[channel]["connected"]:
            await asyncio.sleep(0.01)


async def test_ticker(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer, currency_pairs=["btc/usd", "eth/usd"])
        await ready(venue, stream)
        assert venue.messages == [
            {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channel": "ticker"},
            {"type": "subscribe", "channel": "heartbeats"},
        ]
        await venue.emit("ticker", [coinbase_ticker(100.0, kind="snapshot"), coinbase_ticker(7.0, "ETH-USD")])
        await venue.emit("heartbeats", [{"current_time": "2026-09-30 02:37:15 +0000 UTC", "heartbeat_counter": 1}])
        await venue.emit("ticker", [coinbase_ticker(101.0)])
        tickers = await observer.count(3, Ticker)
        assert [(ticker.symbol, ticker.bidPrice, int(ticker.flags)) for ticker in tickers] == [
            ("btc/usd", 100.0, 1), ("eth/usd", 7.0, 0), ("btc/usd", 101.0, 0),
        ]  # fmt: skip
        assert (tickers[0].askPrice, tickers[0].bidVolume, tickers[0].askVolume) == (101.0, 1.5, 2.25)
        assert not observer.of(Gap)
        assert stream.stats["ticker"]["parse_errors"] == 0


async def test_the_batched_ticker_on_request(run_stream):
    async with FakeCoinbase() as venue:
        stream, _ = run_stream(COINBASE, venue, Observer(), subscribe_args={"ticker": {"batch": True}, "jwt": "x"})
        await ready(venue, stream)
        assert venue.messages[0] == {
            "type": "subscribe", "product_ids": ["BTC-USD"], "channel": "ticker_batch", "jwt": "x",
        }  # fmt: skip


async def test_trades_come_oldest_first_with_the_takers_side(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()

        async def history(connection, message):
            if message["channel"] == "market_trades":
                await connection.send(venue.numbered("market_trades", [coinbase_trades(8, 9, 10, kind="snapshot")]))

        venue.on_subscribed = history
        stream, _ = run_stream(COINBASE, venue, observer, subscribe_channels=["trade"])
        await ready(venue, stream, "trade")
        await venue.emit("market_trades", [coinbase_trades(11, 12)])
        trades = await observer.count(5, Trade)
        assert [(trade.tradeId, int(trade.flags)) for trade in trades] == [(8, 1), (9, 1), (10, 1), (11, 0), (12, 0)]
        assert {trade.side for trade in trades} == {Side.SELL}
        assert not observer.of(Gap)


async def test_lost_trades_and_history_after_a_reconnect(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer, subscribe_channels=["trade"])
        await ready(venue, stream, "trade")
        await venue.emit("market_trades", [coinbase_trades(10, 11)])
        await venue.emit("market_trades", [coinbase_trades(15)])
        await observer.count(3, Trade)
        assert [item.lost if isinstance(item, Gap) else item.tradeId for item in observer.log] == [10, 11, 3, 15]

        async def history(connection, message):
            if message["channel"] == "market_trades":
                await connection.send(venue.numbered("market_trades", [coinbase_trades(14, 15, 16, kind="snapshot")]))

        venue.on_subscribed = history
        await venue.connections[0].close()
        await observer.count(4, Trade)
        await observer.count(1, Reconnected)
        assert [trade.tradeId for trade in observer.of(Trade)] == [10, 11, 15, 16]
        assert [(gap.reason, gap.lost) for gap in observer.of(Gap)] == [("trade ids", 3), ("disconnected", None)]


@pytest.mark.parametrize("heartbeat", [False, True])
async def test_a_missing_frame_is_told_before_the_next(run_stream, heartbeat):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer)
        await ready(venue, stream)
        await venue.emit("ticker", [coinbase_ticker(1.0)])
        await venue.emit("heartbeats" if heartbeat else "ticker", [] if heartbeat else [coinbase_ticker(2.0)], skip=2)
        await venue.emit("ticker", [coinbase_ticker(3.0)])
        await observer.until(lambda: observer.of(Ticker)[-1:] and observer.of(Ticker)[-1].bidPrice == 3.0)
        assert [type(item) for item in observer.log[:2]] == [Ticker, Gap]
        gap = observer.log[1]
        assert (gap.symbol, gap.reason, gap.lost, gap.source) == (None, "frame numbers", 2, "venue")
        assert len(observer.of(Gap)) == 1
        assert stream.stats["ticker"]["gaps"] == 1


async def test_a_repeated_and_a_late_frame_are_dropped(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer)
        await ready(venue, stream)
        first, second, third, fourth = (venue.numbered("ticker", [coinbase_ticker(float(n))]) for n in (1, 2, 3, 4))
        for frame in (first, first, third, second, fourth):
            await venue.send(frame)
        tickers = await observer.count(3, Ticker)
        assert [ticker.bidPrice for ticker in tickers] == [1.0, 3.0, 4.0]
        assert [gap.lost for gap in observer.of(Gap)] == [1]
        assert stream.stats["ticker"]["outdated"] == 2


async def test_numbers_that_start_anew_do_not_silence_the_stream(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer)
        await ready(venue, stream)
        for number in range(2, 9):
            await venue.send(coinbase_frame("ticker", number, [coinbase_ticker(float(number))]))
        for number in range(5):
            await venue.send(coinbase_frame("ticker", number, [coinbase_ticker(100.0 + number)]))
        await observer.until(lambda: bool(observer.of(Ticker)) and observer.of(Ticker)[-1].bidPrice == 104.0)
        assert [(gap.reason, gap.lost) for gap in observer.of(Gap)] == [("frame numbers started anew", None)]
        assert [ticker.bidPrice for ticker in observer.of(Ticker)][-3:] == [102.0, 103.0, 104.0]


async def test_a_refused_product_is_found_and_the_others_go_on(run_stream, monkeypatch):
    monkeypatch.setattr(CoinbaseMarketProtocol, "send_interval_s", 0.01)
    async with FakeCoinbase() as venue:
        venue.refused = {"NOSUCH-USD": "failure to subscribe"}
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer, currency_pairs=["btc/usd", "nosuch/usd", "eth/usd"])
        await ready(venue, stream)
        asked = [message.get("product_ids") for message in venue.messages]
        assert asked == [["BTC-USD", "NOSUCH-USD", "ETH-USD"], None, ["BTC-USD"], ["NOSUCH-USD"], ["ETH-USD"]]
        await venue.emit("ticker", [coinbase_ticker(1.0), coinbase_ticker(2.0, "ETH-USD")])
        await observer.count(2, Ticker)
        assert stream.stats["ticker"]["refused"] == 1
        assert len(venue.connections) == 1


async def test_a_product_that_is_left_out_counts_as_refused(run_stream):
    async with FakeCoinbase() as venue:
        venue.left_out = {"NOSUCH-USD"}
        stream, _ = run_stream(COINBASE, venue, Observer(), currency_pairs=["btc/usd", "nosuch/usd"])
        await ready(venue, stream)
        assert stream.stats["ticker"]["refused"] == 1


async def test_all_products_refused_is_an_error(run_stream):
    async with FakeCoinbase() as venue:
        venue.refused = {"BTC-USD": "failure to subscribe"}
        _, task = run_stream(COINBASE, venue, Observer())
        with pytest.raises(SubscribeError, match=r"btc/usd was refused: failure to subscribe"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_an_authentication_failure_is_an_error_at_once(run_stream):
    async with FakeCoinbase() as venue:
        venue.refused = {"BTC-USD": "authentication failure"}
        _, task = run_stream(COINBASE, venue, Observer(), currency_pairs=["btc/usd", "eth/usd"])
        with pytest.raises(SubscribeError, match="authentication failure"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_usdc_is_answered_as_usd(run_stream):
    async with FakeCoinbase() as venue:
        venue.renamed = {"BTC-USDC": "BTC-USD"}
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer, currency_pairs=["btc/usdc"])
        await ready(venue, stream)
        await venue.emit("ticker", [coinbase_ticker(1.0, "BTC-USD")])
        assert (await observer.count(1, Ticker))[0].symbol == "btc/usdc"


async def test_missing_acknowledgement_connects_again(run_stream, monkeypatch):
    monkeypatch.setattr(CoinbaseMarketProtocol, "ack_timeout_s", 0.2)
    async with FakeCoinbase() as venue:
        venue.answering = False
        run_stream(COINBASE, venue, Observer())
        await venue.until(lambda: len(venue.connections) >= 2)


async def test_silence_of_all_frames_connects_again(run_stream, monkeypatch):
    monkeypatch.setattr(CoinbaseMarketProtocol, "heartbeat_timeout_s", 0.3)
    async with FakeCoinbase() as venue:
        run_stream(COINBASE, venue, Observer())
        await venue.until(lambda: len(venue.connections) >= 2)


async def test_mute_venue_with_heartbeats_is_stale_then_connected_again(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer, stale_after=0.5)
        await ready(venue, stream)
        with contextlib.suppress(ConnectionClosed):
            while len(venue.connections) == 1:
                await venue.emit("heartbeats", [{"heartbeat_counter": 1}], 0)
                await asyncio.sleep(0.05)
        await observer.count(1, Gap)
        assert [item.symbol for item in observer.of(Stale)] == ["btc/usd"]
        assert [gap.reason for gap in observer.of(Gap)] == ["disconnected"]


ODD = [
    {"type": "error"}, {"type": "error", "message": ["x"]}, {"channel": "subscriptions"}, {"type": []}, {"channel": 5},
    {"channel": "subscriptions", "events": 5}, {"channel": "subscriptions", "events": [5, {"subscriptions": []}]},
    {"channel": "subscriptions", "events": [{"subscriptions": {"ticker": "BTC-USD"}}]}, {"sequence_num": "x"},
    {"channel": "heartbeats", "sequence_num": -1}, {"channel": "ticker"}, [], 5, None, {},
]  # fmt: skip


async def test_odd_frames_kill_nothing(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        stream, _ = run_stream(COINBASE, venue, observer)
        await ready(venue, stream)
        for odd in ODD:
            await venue.send(json.dumps(odd))
        for garbage in ("", "{", "[1,2", b"\x00\xff", '{"channel":"ticker","events":[{}]}'):
            await venue.send(garbage)
        await venue.emit("ticker", [coinbase_ticker(5.0)])
        await observer.count(1, Ticker)
        assert len(venue.connections) == 1
        assert stream.stats["ticker"]["parse_errors"] >= 5


def test_subscriptions_come_in_batches_at_the_venues_rate():
    protocol = CoinbaseMarketProtocol(Channel.TICKER, [f"c{i}/usd" for i in range(250)], {})
    assert [len(json.loads(message).get("product_ids", [])) for message in protocol.open()] == [100, 100, 50, 0]
    assert protocol.send_interval_s >= 1 / 8


# Recorded


def expected(frames, kind):
    """What the frames carry, the oldest first within each."""
    parser, found = Parser("coinbase"), []
    for frame in frames:
        events = parser.parse(frame.encode())
        if parser.kind is FrameKind.EVENTS and events and isinstance(events[0], kind):
            found += events[::-1] if kind is Trade else events
    return [shown(event) for event in found]


@pytest.fixture
def session(fixtures):
    return session_frames(fixtures / "sessions" / "coinbase__advanced_20260809.jsonl.gz")


@pytest.mark.recorded
@pytest.mark.parametrize("kind", [Ticker, Trade])
async def test_the_recorded_session_arrives_whole_and_in_order(run_stream, session, kind):
    wanted = expected(session, kind)
    observer, stats = await replay(run_stream, session, kind, len(wanted), COINBASE, **PAIRS)
    assert [shown(item) for item in observer.log] == wanted
    assert stats["gaps"] == stats["parse_errors"] == stats["duplicates"] == stats["outdated"] == 0
    if kind is Trade:
        numbers = {}
        for trade in observer.log:
            assert numbers.get(trade.symbol, trade.tradeId - 1) == trade.tradeId - 1
            numbers[trade.symbol] = trade.tradeId


@pytest.mark.recorded
@pytest.mark.parametrize("kind", [Ticker, Trade])
@pytest.mark.parametrize("what", ["removed", "repeated", "swapped"])
async def test_a_changed_session_is_told(run_stream, session, kind, what):
    places = [n for n, frame in enumerate(session) if '"channel":"l2_data"' not in frame]
    for place in (places[0], places[len(places) // 2], places[-2]):
        frames = list(session)
        if what == "removed":
            del frames[place]
        elif what == "repeated":
            frames.insert(place, frames[place])
        else:
            frames[place], frames[place + 1] = frames[place + 1], frames[place]
        wanted, late = Counter(map(str, expected(session, kind))), frames[place : place + 2]
        observer, _ = await replay(run_stream, frames, kind, 1, COINBASE, **PAIRS)
        got = Counter(str(shown(item)) for item in observer.log if isinstance(item, kind))
        assert got <= wanted
        frame_gaps = [gap for gap in observer.of(Gap) if gap.symbol is None]
        if what == "repeated":
            assert got == wanted and not observer.of(Gap)
        else:
            assert [(gap.reason, gap.lost) for gap in frame_gaps] == [("frame numbers", 1)]
            hit = session[place : place + 1] if what == "removed" else late[1:]
            assert wanted - got == Counter(map(str, expected(hit, kind)))
            # No event of a later frame came before it was told.
            number = json.loads(session[place])["sequence_num"]
            before = observer.log[: observer.log.index(frame_gaps[0])]
            assert all(item.seq < number for item in before if isinstance(item, kind))
