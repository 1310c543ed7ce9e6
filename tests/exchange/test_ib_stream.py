"""The stream of Interactive Brokers against a small TWS on loopback."""

import asyncio
import logging
import struct

import pytest
from exchange_fakes import Observer
from tws_peer import Listed, TwsPeer, frame

from hftcore.enums import Flag
from hftpy.common import Exchange, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.errors import ConfigError, SubscribeError, VenueError
from hftpy.exchange import get_exchange_stream, ib, ib_link
from hftpy.exchange.ib_link import Details
from hftpy.exchange.ib_protocol import IBProtocol

FAST = {"times": -1, "initial": 0.01, "max": 0.05}
AAPL = Listed("AAPL", conId=265598)
MSFT = Listed("MSFT", conId=272093)
TWO = {"currency_pairs": ["aapl/usd", "msft/usd"]}
LINES = {"subscribe_args": {"feed": "market_data"}}


@pytest.fixture
async def run_ib():
    before = asyncio.all_tasks()
    started = []

    def start(peer, observer, **settings):
        settings = {
            "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"], "api_host": peer.url,
            "reconnect_times": FAST,
        } | settings  # fmt: skip
        stream = get_exchange_stream(exchange="ib", **settings)
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        started.append((stream, task))
        return stream, task

    yield start
    for stream, task in started:
        async with asyncio.timeout(10):
            await stream.stop()
            await asyncio.gather(task, return_exceptions=True)
    ours = [task.get_name() for task in asyncio.all_tasks() - before if "hftpy" in task.get_name()]
    assert not ours


@pytest.fixture
def ready(eventually):
    async def wait(stream):
        await eventually(lambda: all(stats["connected"] for stats in stream.stats.values()))

    return wait


async def test_ticker_and_trade(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, subscribe_channels=["ticker", "trade"])
        await ready(stream)
        peer.quote("AAPL", "150.50", "150.55", (100, "0.5"), second=7)
        peer.trade("AAPL", "150.75", "2.25", second=8)
        (ticker,) = await observer.count(1, Ticker)
        (trade,) = await observer.count(1, Trade)
        assert ticker.exchange is Exchange.IB and ticker.symbol == "aapl/usd"
        assert (ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume) == (150.5, 100.0, 150.55, 0.5)
        assert ticker.exchangeTimeNs == 1790000007 * 10**9 and ticker.localTimeNs and ticker.flags == 0
        assert (trade.price, trade.volume, trade.side, trade.tradeId) == (150.75, 2.25, Side.UNKNOWN, 0)
        assert trade.tradeTimeNs == trade.exchangeTimeNs == 1790000008 * 10**9
        (subscription,) = peer.live("BidAsk", "AAPL")
        assert subscription.contract[0] == "265598"
        assert len({client.client_id for client in peer.clients}) == 2
        assert not observer.of(Gap, Reconnected)
        stats = stream.stats["ticker"]
        assert stats["connected"] and stats["events"] == 1 and stats["parse_errors"] == 0
        latency = stats["latency"]
        assert latency["socket_to_parse"]["count"] == latency["parse_to_ring"]["count"] == 1
        assert latency["venue_to_socket"]["count"] == 0  # whole seconds


async def test_two_symbols_are_told_apart(run_ib, ready):
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        for number in range(20):
            peer.quote("AAPL", 100 + number, 200)
            peer.quote("MSFT", 300 + number, 400)
        await observer.count(40, Ticker)
        for symbol, first in (("aapl/usd", 100), ("msft/usd", 300)):
            bids = [ticker.bidPrice for ticker in observer.of(Ticker) if ticker.symbol == symbol]
            assert bids == [first + number for number in range(20)]


async def test_no_side_is_zero_and_a_price_of_minus_one_is_a_price(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.quote("AAPL", -1, "1.5", (0, 3))
        peer.quote("AAPL", -1, "-0.5", (4, 3))
        first, second = await observer.count(2, Ticker)
        assert (first.bidPrice, first.bidVolume, first.askPrice) == (0.0, 0.0, 1.5)
        assert (second.bidPrice, second.bidVolume, second.askPrice) == (-1.0, 4.0, -0.5)


async def test_last_only(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, subscribe_channels=["trade"], subscribe_args={"last_only": True})
        await ready(stream)
        assert peer.live("Last", "AAPL") and not peer.live("AllLast", "AAPL")
        peer.trade("AAPL", 5)
        await observer.count(1, Trade)


async def test_client_ids_count_up_by_channel(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        stream, _ = run_ib(peer, Observer(), subscribe_channels=["ticker", "trade"], subscribe_args={"client_id": 40})
        await ready(stream)
        assert sorted(client.client_id for client in peer.clients) == ["40", "41"]


async def test_client_id_in_use_is_said_and_tried_again(run_ib, ready, caplog):
    async with TwsPeer([AAPL]) as peer:
        peer.in_use.add("7")
        stream, _ = run_ib(peer, Observer(), subscribe_args={"client_id": 7})
        await peer.until(lambda: len(peer.clients) >= 3)
        peer.in_use.clear()
        await ready(stream)
        assert "as client 7: 326: Unable to connect as the client id is already in use." in caplog.text


def test_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def scenario():
        async with TwsPeer([AAPL]) as peer:
            peer.on_subscribed = lambda subscription: peer.quote("AAPL", 1, 2)
            observer = Observer()
            stream = get_exchange_stream(
                exchange="ib", currency_pairs=["aapl/usd"], subscribe_channels=["ticker"], api_host=peer.url,
                reconnect_times=FAST,
            )  # fmt: skip
            stream.bind_observer(observer)
            task = asyncio.create_task(stream.start())
            await observer.count(1, Ticker)
            while not stream.stats["ticker"]["connected"]:
                await asyncio.sleep(0.01)
            peer.disconnect()
            await observer.count(2, Ticker)
            await observer.count(1, Reconnected)
            await stream.stop()
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


# Which contract


async def test_an_unknown_symbol_does_not_stop_the_others(run_ib, ready, caplog):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, currency_pairs=["aapl/usd", "nosuch/usd"])
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["refused"] == 1
        assert "nosuch/usd: 200: No security definition" in caplog.text


async def test_all_symbols_unknown_ends_the_stream(run_ib):
    async with TwsPeer() as peer:
        _, task = run_ib(peer, Observer(), currency_pairs=["nosuch/usd"])
        with pytest.raises(SubscribeError, match="nosuch/usd was refused: 200: No security definition"):
            await asyncio.wait_for(task, 20)


async def test_an_ambiguous_contract_is_refused_by_name(run_ib):
    listed = [
        Listed("ES", "FUT", "CME", conId=number, localSymbol=f"ES{month}", expiry=expiry)
        for number, month, expiry in ((11, "Z6", "20261218"), (12, "Z7", "20261231"))
    ]
    async with TwsPeer(listed) as peer:
        contracts = {"es/usd": {"secType": "FUT", "lastTradeDateOrContractMonth": "202612"}}
        _, task = run_ib(peer, Observer(), currency_pairs=["es/usd"], subscribe_args={"contracts": contracts})
        with pytest.raises(SubscribeError, match=r"2 contracts are FUT ES 202612 \(ESZ6, ESZ7, …\): name one by"):
            await asyncio.wait_for(task, 20)


async def test_future_by_its_date_and_by_its_local_symbol(run_ib, ready):
    listed = [Listed("ES", "FUT", "CME", conId=11, localSymbol="ESZ6", expiry="20261218")]
    for settings in (
        {"currency_pairs": ["es/usd:usd-261218"]},
        {
            "currency_pairs": ["es/usd"],
            "subscribe_args": {"contracts": {"es/usd": {"secType": "FUT", "exchange": "CME", "localSymbol": "ESZ6"}}},
        },
        {"currency_pairs": ["es/usd"], "subscribe_args": {"contracts": {"es/usd": {"conId": 11}}}},
    ):
        async with TwsPeer(listed) as peer:
            observer = Observer()
            stream, _ = run_ib(peer, observer, **settings)
            await ready(stream)
            (subscription,) = peer.live("BidAsk", "ES")
            assert (subscription.contract[0], subscription.contract[7]) == ("11", "CME")
            peer.quote("ES", 6000, "6000.25")
            (ticker,) = await observer.count(1, Ticker)
            assert ticker.symbol == settings["currency_pairs"][0]
            await stream.stop()


async def test_details_that_never_come_hold_nobody_up(run_ib, ready, monkeypatch):
    monkeypatch.setattr(ib_link, "DETAILS_TIMEOUT_S", 0.2)
    async with TwsPeer([AAPL]) as peer:
        peer.no_details.add("MSFT")
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "MSFT")
        assert subscription.contract[0] == "0"  # as it was given
        peer.quote("MSFT", 1, 2)
        await observer.count(1, Ticker)


async def test_contracts_are_not_asked_for_again(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.disconnect()
        await observer.count(1, Reconnected)
        assert [request[0] for client in peer.clients for request in client.requests].count("9") == 1


# Refusals


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (354, "Requested market data is not subscribed."),
        (10089, "Requested market data requires additional subscription for API"),
        (10190, "Max number of tick-by-tick requests has been reached."),
        (10189, "Failed to request tick-by-tick data:No market data permissions for ISLAND STK"),
    ],
)
async def test_a_refused_symbol_is_named_and_stops_nothing_else(run_ib, ready, caplog, eventually, code, text):
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        peer.refused["MSFT"] = (code, text)
        stream, _ = run_ib(peer, observer, stale_after=0.5, **TWO)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        await eventually(lambda: stream.stats["ticker"]["refused"] == 1)
        assert f"msft/usd: {code}: {text}" in caplog.text
        await observer.count(1, Stale)
        assert [type(item) for item in observer.log[:2]] == [Ticker, Stale]
        assert {event.symbol for event in observer.of(Stale)} == {"aapl/usd"}


async def test_a_refusal_long_after_the_receipt(run_ib, ready, eventually, caplog):
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, task = run_ib(peer, observer, **TWO)
        await ready(stream)
        peer.refuse("BidAsk", "MSFT", 354, "Requested market data is not subscribed.")
        await eventually(lambda: stream.stats["ticker"]["refused"] == 1)
        assert "msft/usd: 354" in caplog.text
        peer.refuse("BidAsk", "AAPL", 354, "Requested market data is not subscribed.")
        with pytest.raises(SubscribeError, match="was refused: 354") as raised:
            await asyncio.wait_for(task, 20)
        assert raised.value.code == "354"


async def test_data_in_spite_of_an_error_is_delivered(run_ib, ready, eventually, caplog):
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "MSFT")
        peer.send(peer.error(subscription.request, 999, "whatever"))
        await eventually(lambda: stream.stats["ticker"]["refused"] == 1)
        peer.quote("MSFT", 1, 2)
        (ticker,) = await observer.count(1, Ticker)
        assert ticker.symbol == "msft/usd"


async def test_a_remark_is_no_refusal(run_ib, ready, caplog, eventually):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "AAPL")
        peer.send(peer.error(subscription.request, 10090, "Part of requested market data is not subscribed."))
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["refused"] == 0 and "aapl/usd: 10090" in caplog.text


@pytest.mark.parametrize("code", [10197, 354])
async def test_a_symbol_that_loses_its_data_is_asked_for_again(run_ib, ready, monkeypatch, code):
    monkeypatch.setattr(ib, "RETRY_S", 0.2)
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        peer.quote("MSFT", 1, 2)
        await observer.count(1, Ticker)
        peer.refuse("BidAsk", "MSFT", code, "No market data during competing live session")
        (gap,) = await observer.count(1, Gap)
        assert (gap.symbol, gap.reason) == ("msft/usd", f"{code}: No market data during competing live session")
        await peer.until(lambda: peer.live("BidAsk", "MSFT"))
        peer.quote("MSFT", 3, 4)
        tickers = await observer.count(2, Ticker)
        assert tickers[-1].bidPrice == 3 and stream.stats["ticker"]["reconnects"] == 0
        assert len(peer.clients) == 1


async def test_one_gap_per_loss_however_often_it_is_asked_for_again(run_ib, ready, monkeypatch, caplog, eventually):
    monkeypatch.setattr(ib, "RETRY_S", 0.05)
    monkeypatch.setattr(ib, "MAX_RETRY_S", 0.2)
    caplog.set_level(logging.INFO)
    reason = "No market data during competing live session"
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        for loss in (1, 2):
            peer.quote("MSFT", loss, 9)
            await observer.count(loss, Ticker)
            before = stream.stats["ticker"]["resyncs"]
            peer.refused["MSFT"] = (10197, reason)
            peer.refuse("BidAsk", "MSFT", 10197, reason)
            await observer.count(loss, Gap)
            await eventually(lambda before=before: stream.stats["ticker"]["resyncs"] >= before + 4)
            del peer.refused["MSFT"]
            await peer.until(lambda: peer.live("BidAsk", "MSFT"))
            assert [gap.symbol for gap in observer.of(Gap)] == ["msft/usd"] * loss
            for delay in ("0.1", "0.2"):
                assert f"(10197: {reason}); again in {delay} s" in caplog.text
            assert "again in 0.4 s" not in caplog.text
        peer.quote("MSFT", 3, 9)
        await observer.count(3, Ticker)
        assert caplog.text.count("msft/usd has data again, asked for") == 2
        assert not observer.of(Reconnected)


async def test_a_loss_that_outlives_a_reconnect_is_told_after_it(run_ib, ready, monkeypatch, eventually):
    monkeypatch.setattr(ib, "RETRY_S", 0.05)
    monkeypatch.setattr(ib, "MAX_RETRY_S", 0.05)
    reason = "No market data during competing live session"
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **TWO)
        await ready(stream)
        peer.quote("MSFT", 1, 9)
        await observer.count(1, Ticker)
        peer.refused["MSFT"] = (10197, reason)
        peer.refuse("BidAsk", "MSFT", 10197, reason)
        await observer.count(1, Gap)
        peer.quote("AAPL", 1, 9)
        await observer.count(2, Ticker)
        peer.disconnect()
        await observer.count(3, Gap)
        await eventually(lambda: stream.stats["ticker"]["resyncs"] >= 3)
        assert [gap.symbol for gap in observer.of(Gap)] == ["msft/usd", None, "msft/usd"]
        peer.notice(1100, "Connectivity between IB and TWS has been lost.")
        await observer.count(4, Gap)
        peer.notice(1102, "Connectivity between IB and TWS has been restored - data maintained.")
        await observer.count(2, Reconnected)
        # Whoever takes Reconnected for "all is well" hears once more of the one that is not.
        resyncs = stream.stats["ticker"]["resyncs"]
        await eventually(lambda: stream.stats["ticker"]["resyncs"] >= resyncs + 2)
        await observer.count(5, Gap)
        assert [gap.symbol for gap in observer.of(Gap)] == ["msft/usd", None, "msft/usd", None, "msft/usd"]
        assert isinstance(observer.log[-1], Gap)


# Connections


async def test_disconnect(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        peer.disconnect()
        await observer.count(1, Reconnected)
        peer.quote("AAPL", 3, 4)
        await observer.count(2, Ticker)
        kinds = [type(item) for item in observer.log]
        assert kinds == [Ticker, Gap, Reconnected, Ticker]
        assert observer.of(Gap)[0].symbol is None and stream.stats["ticker"]["reconnects"] == 1


async def test_half_open(run_ib, ready, monkeypatch):
    """The peer takes our bytes and never answers again."""
    monkeypatch.setattr(IBProtocol, "heartbeat_timeout_s", 0.5)
    monkeypatch.setattr(IBProtocol, "keep_alive_s", 0.1)
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, stale_after=0)
        await ready(stream)
        await asyncio.sleep(1.0)
        assert len(peer.clients) == 1  # its answers keep it
        peer.no_time = True
        await observer.count(1, Gap)
        peer.no_time = False
        await observer.count(1, Reconnected)
        peer.quote("AAPL", 3, 4)
        await observer.count(1, Ticker)


async def test_mute_while_heartbeats_go_on(run_ib, ready, eventually, monkeypatch):
    monkeypatch.setattr(IBProtocol, "keep_alive_s", 0.05)
    async with TwsPeer([AAPL, MSFT]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, stale_after=0.4, **TWO)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        stale = await observer.count(2, Stale)
        assert {event.symbol for event in stale} == {"aapl/usd", "msft/usd"}
        await observer.count(1, Reconnected)
        peer.quote("AAPL", 3, 4)
        await observer.count(2, Ticker)


async def test_state_on_subscribing_does_not_renew_the_patience(run_ib, ready, monkeypatch):
    """A closed market: each subscription is answered with the last quote, and nothing follows."""
    monkeypatch.setattr(IBProtocol, "keep_alive_s", 0.05)
    async with TwsPeer([AAPL]) as peer:
        peer.on_subscribed = lambda subscription: peer.quote("AAPL", 1, 2)
        observer = Observer()
        run_ib(peer, observer, stale_after=0.2)
        await asyncio.sleep(3.0)
        # 0.2, 0.4, 0.8, 1.6 s: some seconds hold at most 5 connections, not 15.
        assert 2 <= len(peer.clients) <= 6


async def test_closing_to_a_peer_that_reads_nothing_any_more():
    """What is still to be written must not hold up the end of a stream."""
    async with TwsPeer([AAPL]) as peer:
        closed = []
        link = await ib_link.open_link(
            peer.url, 5, Details({}), lambda _: None, lambda *reason: closed.append(reason), lambda _: None
        )
        peer.clients[0].writer.transport.pause_reading()
        await link.send("x" * 50_000_000)
        async with asyncio.timeout(10):
            await link.close()
        assert not closed
        with pytest.raises(ConnectionError):
            await link.send("8")


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_dribbled_bytes(run_ib, ready, size):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "AAPL")
        data = b"".join(frame(99, subscription.request, 3, 1790000000 + i, 100 + i, 200, 1, 2, 0) for i in range(5))
        for start in range(0, len(data), size):
            peer.send(data[start : start + size])
            await asyncio.sleep(0.001)
        tickers = await observer.count(5, Ticker)
        assert [ticker.bidPrice for ticker in tickers] == [100, 101, 102, 103, 104]
        assert stream.stats["ticker"]["parse_errors"] == 0


async def test_many_frames_in_one_read(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "AAPL")
        peer.send(b"".join(frame(99, subscription.request, 3, 1790000000, 1 + i, 5000, 1, 2, 0) for i in range(3000)))
        tickers = await observer.count(3000, Ticker)
        assert [ticker.bidPrice for ticker in tickers] == [1 + i for i in range(3000)]


async def test_bad_frames_are_counted_and_lose_nothing_else(run_ib, ready, caplog):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        (subscription,) = peer.live("BidAsk", "AAPL")
        bad = [
            frame(99, subscription.request, 3, 1790000000, "nan", 2, 1, 2, 0),
            frame(99, subscription.request, 3, 1790000000, 1, 2, -1, 2, 0),
            frame(99, subscription.request, 3),
            frame(999, 1),
            frame("x"),
            struct.pack(">I", 0),
            struct.pack(">I", 4) + b"99\x009",
            struct.pack(">I", 12) + struct.pack(">I", 299) + b"\x08\x01\x10\x02\x00\x00\x00\x00",
        ]
        for data in bad:
            peer.send(data)
            peer.quote("AAPL", 1, 2)
        await observer.count(len(bad), Ticker)
        assert stream.stats["ticker"]["parse_errors"] == len(bad)
        assert not observer.of(Gap) and len(peer.clients) == 1
        assert "'nan'" in caplog.text


async def test_an_impossible_length_ends_the_connection(run_ib, ready, caplog):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await observer.count(1, Reconnected)
        assert len(observer.of(Gap)) == 1
        assert "its length says 1213486160" in caplog.text


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", frame("x", "y"), frame(""), struct.pack(">I", 0), frame(1, 2, 3)]
)
async def test_a_peer_that_is_no_tws(run_ib, ready, monkeypatch, greeting):
    monkeypatch.setattr(ib_link, "HANDSHAKE_TIMEOUT_S", 0.5)
    async with TwsPeer([AAPL]) as peer:
        peer.greeting = greeting
        stream, _ = run_ib(peer, Observer())
        await peer.until(lambda: len(peer.clients) >= 3)
        peer.greeting = None
        await ready(stream)


async def test_a_dead_peer_and_no_peer(run_ib, monkeypatch):
    monkeypatch.setattr(ib_link, "HANDSHAKE_TIMEOUT_S", 0.2)
    async with TwsPeer([AAPL]) as peer:
        peer.dead = True
        _, task = run_ib(peer, Observer(), reconnect_times={"times": 2, "initial": 0.01})
        with pytest.raises(VenueError, match=r"gave up after 2 reconnects: no connection to 127\.0\.0\.1"):
            await asyncio.wait_for(task, 20)
        assert len(peer.clients) == 3
    _, task = run_ib(peer_url(peer), Observer(), reconnect_times={"times": 0})
    with pytest.raises(VenueError, match="gave up after 0 reconnects"):
        await asyncio.wait_for(task, 20)


def peer_url(peer):
    class Gone:
        url = f"tcp://127.0.0.1:{peer.closed_port}"

    return Gone


async def test_an_old_server(run_ib, caplog):
    async with TwsPeer([AAPL], server_version=178) as peer:
        peer.greeting = frame(100, "20200101 10:00:00 EST")
        _, task = run_ib(peer, Observer(), reconnect_times={"times": 0})
        with pytest.raises(VenueError, match="version must be >= 972"):
            await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("version", [164, 170, 176, 178])
async def test_server_versions(run_ib, ready, version):
    async with TwsPeer([AAPL], server_version=version) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.notice(2104, "Market data farm connection is OK:usfarm")
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["parse_errors"] == 0


# What TWS says about itself


async def test_farm_broken_and_back(run_ib, ready, eventually):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.notice(2103, "Market data farm connection is broken:usfarm")
        peer.notice(2103, "Market data farm connection is broken:usfarm")
        peer.notice(2103, "Market data farm connection is broken:cashfarm")
        first, second = await observer.count(2, Gap)
        assert first.symbol is None and first.reason == "2103: Market data farm connection is broken:usfarm"
        assert second.reason.endswith("cashfarm")
        assert not stream.stats["ticker"]["connected"]
        peer.notice(2104, "Market data farm connection is OK:cashfarm")
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        assert not observer.of(Reconnected)
        peer.notice(2104, "Market data farm connection is OK:usfarm")
        await observer.count(1, Reconnected)
        assert stream.stats["ticker"]["connected"]
        assert len(observer.of(Gap)) == 2 and len(peer.clients) == 1


async def test_other_farms_say_nothing_about_this_data(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        for code in (2105, 2106, 2107, 2108, 2119, 2157, 2158):
            peer.notice(code, "HMDS data farm connection: ushmds")
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        assert observer.log == observer.of(Ticker)


async def test_connection_of_tws_to_ib_lost_and_kept(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, stale_after=0.3)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        peer.notice(1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        (gap,) = await observer.count(1, Gap)
        assert gap.reason.startswith("1100: Connectivity")
        await observer.count(1, Stale)
        await asyncio.sleep(1.0)
        assert len(peer.clients) == 1  # TWS said why there is no data: connecting again would not help
        peer.notice(1102, "Connectivity between IBKR and Trader Workstation has been restored - data maintained.")
        (back,) = await observer.count(1, Reconnected)
        assert back.down_s > 0.9
        peer.quote("AAPL", 3, 4)
        await observer.count(2, Ticker)
        peer.disconnect()
        await observer.count(2, Gap)


async def test_connection_of_tws_to_ib_lost_with_the_data(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.notice(1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        peer.notice(1101, "Connectivity between IBKR and Trader Workstation has been restored - data lost.")
        await observer.count(1, Reconnected)
        assert len(peer.clients) == 2 and len(observer.of(Gap)) == 1
        peer.quote("AAPL", 3, 4)
        await observer.count(1, Ticker)


async def test_too_many_messages_connects_again(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer)
        await ready(stream)
        peer.notice(100, "Max rate of messages per second has been exceeded")
        await observer.count(1, Reconnected)
        assert len(peer.clients) == 2 and len(observer.of(Gap)) == 1


# Market data lines


def line_frames(request, bid, ask, delayed=False):
    shift = 65 if delayed else 0
    sizes = (69, 70) if delayed else (0, 3)
    return b"".join(
        [
            frame(1, 6, request, 1 + shift, bid, 10, 1),
            frame(2, 6, request, sizes[0], 10),
            frame(1, 6, request, 2 + shift, ask, 20, 1),
            frame(2, 6, request, sizes[1], 20),
        ]
    )


async def test_market_data_ticker(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, **LINES)
        await ready(stream)
        (subscription,) = peer.live("MktData", "AAPL")
        assert ["59", "1", "1"] in peer.clients[0].requests
        peer.send(line_frames(subscription.request, "1.5", "2.5"))
        peer.send(frame(2, 6, subscription.request, 3, 25))
        peer.send(frame(2, 6, subscription.request, 8, 1000))  # volume
        peer.send(frame(1, 6, subscription.request, 4, 2, 1, 0))  # last
        peer.send(frame(1, 6, subscription.request, 1, -1, 0, 0))
        tickers = await observer.count(3, Ticker)
        assert [(t.bidPrice, t.bidVolume, t.askPrice, t.askVolume) for t in tickers] == [
            (1.5, 10, 2.5, 20), (1.5, 10, 2.5, 25), (0, 0, 2.5, 25),
        ]  # fmt: skip
        assert {t.exchangeTimeNs for t in tickers} == {0} and {int(t.flags) for t in tickers} == {0}


async def test_delayed_data_is_flagged(run_ib, ready, caplog):
    async with TwsPeer([AAPL]) as peer:
        peer.data_type = 3
        observer = Observer()
        stream, _ = run_ib(peer, observer, subscribe_args={"feed": "market_data", "delayed": True})
        await ready(stream)
        assert ["59", "1", "3"] in peer.clients[0].requests
        (subscription,) = peer.live("MktData", "AAPL")
        peer.send(peer.error(subscription.request, 10167, "Displaying delayed market data."))
        peer.send(line_frames(subscription.request, "1.5", "2.5", delayed=True))
        (ticker,) = await observer.count(1, Ticker)
        assert ticker.flags == Flag.DELAYED and (ticker.bidPrice, ticker.askVolume) == (1.5, 20)
        assert "aapl/usd: 10167" in caplog.text and stream.stats["ticker"]["refused"] == 0


@pytest.mark.parametrize("by_type", [True, False])
async def test_delayed_data_that_nobody_asked_for_is_flagged_and_logged(run_ib, ready, caplog, by_type):
    async with TwsPeer([AAPL]) as peer:
        peer.data_type = 3 if by_type else 1
        observer = Observer()
        stream, _ = run_ib(peer, observer, **LINES)
        await ready(stream)
        (subscription,) = peer.live("MktData", "AAPL")
        peer.send(line_frames(subscription.request, "1.5", "2.5", delayed=not by_type))
        (ticker,) = await observer.count(1, Ticker)
        assert ticker.flags == Flag.DELAYED and "aapl/usd is delayed, unasked" in caplog.text


async def test_frozen_data_is_history(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        peer.data_type = 2
        observer = Observer()
        stream, _ = run_ib(peer, observer, **LINES)
        await ready(stream)
        (subscription,) = peer.live("MktData", "AAPL")
        peer.send(line_frames(subscription.request, "1.5", "2.5"))
        (ticker,) = await observer.count(1, Ticker)
        assert ticker.flags == Flag.SNAPSHOT


async def test_market_data_trades(run_ib, ready):
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, _ = run_ib(peer, observer, subscribe_channels=["trade"], **LINES)
        await ready(stream)
        (subscription,) = peer.live("MktData", "AAPL")
        assert subscription.ticks == "233"
        texts = [
            "701.28;1;1790000000123;67854;701.46918464;true",
            "701.28;1;1790000000123;67854;701.46918464;true",
            "701.5;3;1790000000223;67857;701.46918464;false",
            ";;1790000000223;67857;701.46918464;false",
        ]
        for text in texts:
            peer.send(frame(46, 6, subscription.request, 48, text))
        first, second = await observer.count(2, Trade)
        assert (first.price, first.volume, first.tradeTimeNs) == (701.28, 1.0, 1790000000123 * 10**6)
        assert first.flags == 0 and second.flags == Flag.AGGREGATE
        assert stream.stats["trade"]["duplicates"] == 1
        peer.disconnect()
        await observer.count(1, Reconnected)
        (subscription,) = peer.live("MktData", "AAPL")
        peer.send(frame(46, 6, subscription.request, 48, texts[2]))
        peer.send(frame(46, 6, subscription.request, 48, texts[0].replace("701.28", "702")))
        assert [trade.price for trade in await observer.count(3, Trade)] == [701.28, 701.5, 702.0]
        assert stream.stats["trade"]["latency"]["venue_to_socket"]["count"] >= 0


# Settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"api_host": "ws://127.0.0.1:1"}, "api_host must begin with tcp://"),
        ({"api_host": "tcp://127.0.0.1"}, "api_host must be tcp://HOST:PORT"),
        ({"api_host": "tcp://127.0.0.1:99999"}, "api_host must be tcp://HOST:PORT"),
        ({"api_host": "tcp://127.0.0.1:7497/x"}, "api_host must be tcp://HOST:PORT"),
        ({"subscribe_args": {"depth": 5}}, "had 'depth'"),
        ({"subscribe_args": {"client_id": -1}}, "client_id must be 0 to"),
        ({"subscribe_args": {"client_id": True}}, "client_id must be 0 to"),
        ({"subscribe_args": {"feed": "fast"}}, "feed must be tick_by_tick or market_data, was 'fast'"),
        ({"subscribe_args": {"delayed": 1, "feed": "market_data"}}, "delayed must be true or false, was 1"),
        ({"subscribe_args": {"delayed": True}}, "delayed needs feed market_data"),
        (
            {"subscribe_args": {"delayed": True, "feed": "market_data"}, "subscribe_channels": ["trade"]},
            "IB has no delayed trades",
        ),
        ({"subscribe_args": {"contracts": []}}, "contracts must be a mapping"),
        ({"subscribe_args": {"contracts": {"ibm/usd": {}}}}, "ibm/usd, which is none of currency_pairs"),
        ({"subscribe_args": {"contracts": {"/": {}}}}, "must read base/quote"),
        ({"subscribe_args": {"contracts": {"aapl/usd": 5}}}, "must be a mapping, was 5"),
        ({"subscribe_args": {"contracts": {"aapl/usd": {"sec_type": "STK"}}}}, "a contract has conId, symbol"),
        ({"subscribe_args": {"contracts": {"aapl/usd": {"conId": "5"}}}}, "conId must be of the type int, was '5'"),
        ({"subscribe_args": {"contracts": {"aapl/usd": {"symbol": "A\0B"}}}}, "symbol must be printable"),
        ({"currency_pairs": ["btc/usdt:usdt"]}, "must say which contract btc/usdt:usdt is"),
    ],
)
def test_bad_settings(settings, complaint):
    base = {"currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"]}
    with pytest.raises(ConfigError, match=complaint):
        get_exchange_stream(exchange="ib", **(base | settings))


def test_without_ib_async(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ib_async", None)
    with pytest.raises(ConfigError, match=r"needs the package ib_async .*: pip install 'hftpy\[ib\]'"):
        get_exchange_stream(exchange="ib", currency_pairs=["aapl/usd"], subscribe_channels=["ticker"])


async def test_logs_name_no_other_level(run_ib, ready, caplog):
    """An undisturbed run says nothing above INFO."""
    caplog.set_level(logging.INFO)
    async with TwsPeer([AAPL]) as peer:
        observer = Observer()
        stream, task = run_ib(peer, observer)
        await ready(stream)
        peer.quote("AAPL", 1, 2)
        await observer.count(1, Ticker)
        await stream.stop()
        await task
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
