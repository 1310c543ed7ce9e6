"""Each fault of the simulated venue, found by a stream of each venue; the deadlines that docs/streams.md states are
shortened here, so that a test need not wait for them (that they are as stated: test_stated_deadlines.py).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_fakes import Observer

from hftpy.common import Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.exchange import client as client_module
from hftpy.exchange.coinbase import CoinbaseMarketProtocol
from hftpy.exchange.kraken_market import KrakenMarketProtocol
from hftpy.sim import Fault, SimVenue, SyntheticMarket

pytestmark = pytest.mark.slow

PAIRS = {
    Exchange.KRAKEN: "btc/usd", Exchange.BINANCE: "btc/usdt", Exchange.BINANCE_FUTURE: "btc/usdt:usdt",
    Exchange.OKX: "btc/usdt", Exchange.OKX_SWAP: "btc/usdt", Exchange.COINBASE: "btc/usd",
    Exchange.KRAKEN_FUTURE: "btc/usd",
}  # fmt: skip
UNCOUNTED = (Exchange.OKX, Exchange.OKX_SWAP)  # venues whose trade numbers may leave some out
NUMBERED = (Exchange.BINANCE, Exchange.BINANCE_FUTURE, *UNCOUNTED)  # venues that number their tickers

Start = Callable[..., Any]


# Every venue with each client; what differs by the listener in Python alone is seen at one venue.
CASES = [(venue, client) for venue in PAIRS for client in ("picows", "websockets")]
CASES += [(Exchange.BINANCE, "picows_in_python")]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request) -> tuple[Exchange, str]:
    return request.param


@pytest.fixture
def exchange(case: tuple[Exchange, str]) -> Exchange:
    return case[0]


@pytest.fixture
def client(case: tuple[Exchange, str], monkeypatch) -> str:
    if case[1] == "picows_in_python":
        monkeypatch.setattr(client_module, "_NATIVE_LISTENER", None)
        return "picows"
    return case[1]


@pytest.fixture
async def venue(exchange: Exchange) -> AsyncIterator[SimVenue]:
    market = SyntheticMarket([PAIRS[exchange]], rate=400)
    async with SimVenue(market, (exchange,), deflate=True) as running:
        yield running


@pytest.fixture
def start(run_stream, exchange: Exchange, venue: SimVenue) -> Start:
    def starting(channel: str = "trade", **settings: Any) -> tuple[Any, Observer]:
        observer = Observer()
        settings |= {"currency_pairs": [PAIRS[exchange]], "subscribe_channels": [channel]}
        stream, _ = run_stream(exchange, SimpleNamespace(url=venue.ws_url(exchange)), observer, **settings)
        return stream, observer

    return starting


@pytest.fixture
def short_deadlines(monkeypatch) -> None:
    monkeypatch.setattr(client_module, "PING_INTERVAL_S", 0.5)
    monkeypatch.setattr(client_module, "PING_TIMEOUT_S", 0.5)
    monkeypatch.setattr(KrakenMarketProtocol, "heartbeat_timeout_s", 1.5)
    monkeypatch.setattr(CoinbaseMarketProtocol, "heartbeat_timeout_s", 1.5)


def numbers(observer: Observer) -> list[int]:
    """Of the trades: Kraken Futures counts them by `seq`, its ids are no numbers."""
    return [trade.tradeId or trade.seq for trade in observer.of(Trade)]


def gaps_of_trades(observer: Observer) -> list[Gap]:
    """Without those of lost frames, which Coinbase numbers too."""
    return [gap for gap in observer.of(Gap) if gap.reason == "trade ids"]


def not_news(stats: dict[str, Any]) -> int:
    """How many trades were known already: by their own number, or that of their frame."""
    return int(stats["duplicates"] + stats["outdated"])


async def recovered(observer: Observer) -> None:
    """A gap, then the next connection with new events."""
    await observer.count(1, Reconnected)
    kinds = [type(item) for item in observer.log]
    assert observer.of(Gap)[0].reason == "disconnected" and kinds.index(Gap) < kinds.index(Reconnected)
    await observer.count(len(observer.of(Trade)) + 5, Trade)


async def test_dropped_trades_are_counted_exactly(start, venue, exchange):
    if exchange in UNCOUNTED:
        pytest.skip(f"nothing in a trade of {exchange} tells that others are missing")
    stream, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("drop", 0.5))
    await observer.until(lambda: len(gaps_of_trades(observer)) >= 2)
    await observer.count(len(observer.of(Trade)) + 20, Trade)
    got = numbers(observer)
    assert got == sorted(set(got))
    assert sum(gap.lost for gap in gaps_of_trades(observer)) == got[-1] - got[0] + 1 - len(got) > 0
    assert stream.stats["trade"]["parse_errors"] == 0


async def test_repeated_trades_are_delivered_once(start, venue):
    stream, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("duplicate", 0.5))
    await observer.until(lambda: not_news(stream.stats["trade"]) >= 3)
    got = numbers(observer)
    assert got == list(range(got[0], got[0] + len(got))) and not observer.of(Gap)


async def test_trades_that_changed_places_are_told(start, venue, exchange):
    stream, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("reorder", 0.5))
    await observer.until(lambda: not_news(stream.stats["trade"]) >= 3)
    got, gaps = numbers(observer), gaps_of_trades(observer)
    # The one that came too late is told as lost before its follower, and is not delivered out of order.
    assert got == sorted(set(got)) and all(gap.lost == 1 for gap in gaps)
    assert len(gaps) >= 3 or exchange in UNCOUNTED


@pytest.mark.parametrize("kind", ["duplicate", "reorder"])
async def test_no_older_ticker_follows_a_newer_one(start, venue, exchange, kind):
    _, observer = start("ticker")
    await observer.count(5, Ticker)
    await venue.commit(Fault.now(kind, 0.5))
    front = venue.front(exchange)
    await observer.until(lambda: sum(front.faulted.get(kind, {"": 0}).values()) >= 3)
    await observer.count(len(observer.of(Ticker)) + 20, Ticker)
    if exchange in NUMBERED:
        seqs = [ticker.seq for ticker in observer.of(Ticker)]
        assert seqs == sorted(seqs)
    # Coinbase numbers its frames: one that comes too late was told as lost.
    assert not observer.of(Gap) or (kind, exchange) == ("reorder", Exchange.COINBASE)


@pytest.mark.parametrize("kind", ["disconnect", "close", "restart", "bomb"])
async def test_a_connection_that_ends_is_told_and_made_again(start, venue, kind):
    venue.down_s = 0.1
    _, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now(kind, 0.1 if kind == "restart" else None))
    await recovered(observer)


async def test_mute_with_heartbeats_is_stale_then_connected_again(start, venue):
    _, observer = start(stale_after=0.5)
    await observer.count(5, Trade)
    await venue.commit(Fault.now("mute", 1.5))
    await observer.count(1, Stale)
    await observer.count(1, Gap)
    await observer.count(len(observer.of(Trade)) + 5, Trade)


async def test_a_peer_that_is_gone_without_a_word_is_found(start, venue, short_deadlines):
    _, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("half_open"))
    await recovered(observer)


async def test_withheld_pongs_are_found_while_data_goes_on(start, venue, short_deadlines):
    _, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("no_pong"))
    await recovered(observer)


async def test_withheld_pongs_of_a_silent_venue_are_found(run_stream, exchange, short_deadlines):
    quiet = SyntheticMarket([PAIRS[exchange]], autostart=False)
    async with SimVenue(quiet, (exchange,)) as venue:
        observer = Observer()
        place = SimpleNamespace(url=venue.ws_url(exchange))
        stream, _ = run_stream(exchange, place, observer, currency_pairs=[PAIRS[exchange]])
        async with asyncio.timeout(20):
            while not stream.stats["ticker"]["connected"]:
                await asyncio.sleep(0.01)
        await venue.commit(Fault.now("no_pong"))
        await observer.count(1, Reconnected)
        assert [gap.reason for gap in observer.of(Gap)] == ["disconnected"]


async def test_bytes_one_by_one_lose_nothing(start, venue):
    stream, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("dribble", 1.0))
    await observer.count(len(observer.of(Trade)) + 40, Trade)
    got = numbers(observer)
    assert got == list(range(got[0], got[0] + len(got))) and not observer.of(Gap)
    assert stream.stats["trade"]["parse_errors"] == 0


async def test_garbage_costs_nothing_but_itself(start, venue):
    stream, observer = start()
    await observer.count(5, Trade)
    await venue.commit(Fault.now("garbage"))
    await observer.until(lambda: stream.stats["trade"]["parse_errors"] > 0)
    await observer.count(len(observer.of(Trade)) + 20, Trade)
    got = numbers(observer)
    assert got == list(range(got[0], got[0] + len(got))) and not observer.of(Gap)
