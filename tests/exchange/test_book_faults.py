"""Order books of every venue under each fault of the simulated venue: nothing wrong is shown, and they come back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_fakes import Observer

from hftcore.book import Snapshot
from hftpy.common import CurrencyPair, Exchange, Gap, Reconnected, Side, Stale
from hftpy.exchange import book as book_module
from hftpy.exchange import client as client_module
from hftpy.exchange.coinbase import CoinbaseMarketProtocol
from hftpy.exchange.kraken_market import KrakenMarketProtocol
from hftpy.sim import Fault, SimVenue, SyntheticMarket
from hftpy.sim.faults import DataFrame, FaultState

pytestmark = pytest.mark.slow

# Two pairs each, and how the venue spells the first in its frames.
PAIRS = {
    Exchange.KRAKEN: (("btc/usd", "eth/usd"), "BTC/USD"),
    Exchange.BINANCE: (("btc/usdt", "eth/usdt"), "BTCUSDT"),
    Exchange.BINANCE_FUTURE: (("btc/usdt:usdt", "eth/usdt:usdt"), "BTCUSDT"),
    Exchange.OKX: (("btc/usdt", "eth/usdt"), "BTC-USDT"),
    Exchange.OKX_SWAP: (("btc/usdt", "eth/usdt"), "BTC-USDT-SWAP"),
    Exchange.COINBASE: (("btc/usd", "eth/usd"), "BTC-USD"),
    Exchange.KRAKEN_FUTURE: (("btc/usd", "eth/usd"), "PF_XBTUSD"),
}
BINANCE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)
PER_SYMBOL = [venue for venue in PAIRS if venue is not Exchange.COINBASE]
Start = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.02 if times else 0.0)
    monkeypatch.setattr(book_module.BookProtocol, "answer_s", 0.5)


@pytest.fixture
def client() -> str:
    """Books have one way, whatever the client."""
    return "picows"


@pytest.fixture(params=PAIRS, ids=str)
def exchange(request: pytest.FixtureRequest) -> Exchange:
    found: Exchange = request.param
    return found


@pytest.fixture
async def venue(exchange: Exchange) -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(PAIRS[exchange][0], seed=5, rate=100), (exchange,), deflate=True) as running:
        running.down_s = 0.1
        yield running


@pytest.fixture
def start(run_stream: Start, exchange: Exchange, venue: SimVenue) -> Start:
    def starting(**settings: Any) -> tuple[Any, Observer]:
        observer = Observer()
        args = {"rest_host": venue.rest_url(exchange)} if exchange in BINANCE else {}
        settings = {
            "currency_pairs": PAIRS[exchange][0], "subscribe_channels": ["book"],
            "subscribe_args": {"book": {"levels": 5, **args}},
        } | settings  # fmt: skip
        stream, _ = run_stream(exchange, SimpleNamespace(url=venue.ws_url(exchange)), observer, **settings)
        return stream, observer

    return starting


def levels_of(book: Any) -> Any:
    return [[tuple(map(float, level)) for level in side] for side in book.top_texts(1000)]


async def until_whole(venue: SimVenue, exchange: Exchange, stream: Any, depth: int | None = None) -> None:
    """The market stands still; its books, or their best levels, are those of the stream."""
    venue.fault_state.clear()
    await venue.market.stop()
    async with asyncio.timeout(30):
        for pair in map(CurrencyPair, PAIRS[exchange][0]):
            levels = venue.market.state(pair).book
            wanted = [[tuple(map(float, level)) for level in levels.levels(side)] for side in (Side.BUY, Side.SELL)]
            wanted = [side[:depth] for side in wanted]
            while not stream.book(pair).state or [side[:depth] for side in levels_of(stream.book(pair))] != wanted:
                await asyncio.sleep(0.01)


def updates_of(observer: Observer, begun: int) -> dict[str, int]:
    """Of each pair: how often it was shown since a place of the log."""
    shown = dict.fromkeys((item.symbol for item in observer.of(Snapshot)), 0)
    for item in observer.log[begun:]:
        if isinstance(item, Snapshot):
            shown[item.symbol] += 1
    return shown


async def until_shown_again(observer: Observer) -> None:
    """Every pair is shown after the last gap."""
    pairs = {item.symbol for item in observer.of(Snapshot)}

    def again() -> bool:
        last = max(place for place, item in enumerate(observer.log) if isinstance(item, Gap))
        return {item.symbol for item in observer.log[last:] if isinstance(item, Snapshot)} == pairs

    await observer.until(again, 30)


def check_shown(observer: Observer) -> None:
    """What was shown was never crossed, nor shown between its gap and its next snapshot."""
    fallen: set[str] = set()
    for item in observer.log:
        if isinstance(item, Gap):
            fallen |= {item.symbol} if item.symbol else {shown.symbol for shown in observer.of(Snapshot)}
        elif isinstance(item, Snapshot):
            assert item.bidsPrice[0] < item.asksPrice[0]
            assert item.flags & 1 or item.symbol not in fallen, "an update was shown of a book that had fallen"
            fallen.discard(item.symbol)


@pytest.mark.parametrize("kind", ["drop", "reorder", "checksum"])
async def test_what_is_damaged_is_told_and_comes_back(start, venue, exchange, kind) -> None:
    if kind == "checksum" and exchange not in (Exchange.KRAKEN, Exchange.OKX, Exchange.OKX_SWAP):
        pytest.skip(f"{exchange} sends no checksum of its books")
    stream, observer = start()
    await observer.count(50, Snapshot)
    while not observer.of(Gap):
        # Kraken's checksum finds what shows; a level that moves again at once shows nothing.
        await venue.commit(Fault.now(kind, 0.5))
        await asyncio.sleep(0.5)
    venue.fault_state.clear()
    # The last frame that was lost shows with its symbol's next one.
    begun = len(observer.log)
    await observer.until(lambda: min(updates_of(observer, begun).values()) >= 5, 30)
    reasons = {gap.reason for gap in observer.of(Gap)}
    counted = exchange is not Exchange.KRAKEN and kind != "checksum"
    assert reasons <= ({"sequence"} if counted else {"checksum"})
    await until_shown_again(observer)
    assert stream.stats["book"]["resyncs"] >= 1
    assert not observer.of(Reconnected, Stale)
    check_shown(observer)
    # Kraken's checksum proves ten levels: what was lost below them stays until it rises.
    await until_whole(venue, exchange, stream, 10 if exchange is Exchange.KRAKEN else None)


async def test_what_comes_twice_or_byte_by_byte_changes_nothing(start, venue, exchange) -> None:
    stream, observer = start()
    await observer.count(50, Snapshot)
    for kind in ("duplicate", "dribble"):
        await venue.commit(Fault.now(kind, 0.4))
        await asyncio.sleep(0.5)
    await observer.count(len(observer.of(Snapshot)) + 20, Snapshot)
    assert not observer.of(Gap)
    assert stream.stats["book"]["resyncs"] == stream.stats["book"]["parse_errors"] == 0
    check_shown(observer)
    await until_whole(venue, exchange, stream)


@pytest.mark.parametrize("kind", ["disconnect", "close", "restart", "bomb", "mute", "half_open", "no_pong"])
async def test_a_lost_connection_leaves_no_book_and_the_next_brings_them_all(
    start, venue, exchange, kind, monkeypatch
) -> None:
    settings = {}
    if kind == "mute":
        settings["stale_after"] = 0.5
    elif kind in ("half_open", "no_pong"):
        monkeypatch.setattr(client_module, "PING_INTERVAL_S", 0.5)
        monkeypatch.setattr(client_module, "PING_TIMEOUT_S", 0.5)
        monkeypatch.setattr(KrakenMarketProtocol, "heartbeat_timeout_s", 1.5)
        monkeypatch.setattr(CoinbaseMarketProtocol, "heartbeat_timeout_s", 1.5)
    stream, observer = start(**settings)
    await observer.count(50, Snapshot)
    await venue.commit(Fault.now(kind, {"restart": 0.1, "mute": 1.5}.get(kind)))
    await observer.count(1, Reconnected)
    assert "disconnected" in {gap.reason for gap in observer.of(Gap)}
    await until_shown_again(observer)
    check_shown(observer)
    await until_whole(venue, exchange, stream)


class OfOneSymbol(FaultState):
    """Loses one frame of a symbol, and remembers what was sent of each."""

    def __init__(self, native: str) -> None:
        super().__init__()
        self.native = native
        self.losing = False
        self.lost = 0
        self.sent: list[str] = []

    def pass_on(self, connection: Any, frame: DataFrame, hits: Any) -> tuple[DataFrame, ...]:
        if self.losing and f'"{self.native}"' in frame.text and '"snapshot' not in frame.text:
            self.losing = False
            self.lost += 1
            return ()
        self.sent.append(frame.text)
        return (frame,)


def is_of(native: str, text: str) -> bool:
    return f'"{native}"' in text


async def one_resync(start: Start, venue: SimVenue, exchange: Exchange, times: int = 3) -> tuple[Any, Observer, Any]:
    """A stream one of whose books fell some times, everything taken in."""
    faults = venue.front(exchange).faults = OfOneSymbol(PAIRS[exchange][1])
    stream, observer = start()
    await observer.count(40, Snapshot)
    for _ in range(times):
        told = len(observer.of(Gap))
        async with asyncio.timeout(30):
            while len(observer.of(Gap)) == told:
                faults.losing = True
                await asyncio.sleep(0.05)
        faults.losing = False
        await until_shown_again(observer)
    await venue.market.stop()
    frames = -1
    while frames != stream.stats["book"]["frames"]:
        frames = stream.stats["book"]["frames"]
        await asyncio.sleep(0.1)
    return stream, observer, faults


@pytest.mark.parametrize("exchange", PER_SYMBOL, ids=str)
async def test_a_resync_of_one_symbol_costs_the_other_no_update(start, venue, exchange) -> None:
    stream, observer, faults = await one_resync(start, venue, exchange)
    hurt, other = map(CurrencyPair, PAIRS[exchange][0])
    assert {gap.symbol for gap in observer.of(Gap)} == {hurt}
    assert stream.stats["book"]["resyncs"] >= len(observer.of(Gap)) >= 3
    shown = [item for item in observer.of(Snapshot) if item.symbol == other]
    sent = [text for text in faults.sent if not is_of(faults.native, text)]
    if exchange in BINANCE:
        # By REST came what the first updates held: from the first that is shown on, none is missing.
        numbers = [json.loads(text)["data"]["u"] for text in sent]
        got = [item.seq for item in shown]
        assert got == numbers[numbers.index(got[1]) - 1 :] or got[1:] == numbers[numbers.index(got[1]) :]
    else:
        assert len(shown) == len(sent)
    assert sum(item.flags & 1 for item in shown) == 1  # one snapshot, the first
    await until_whole(venue, exchange, stream)


@pytest.mark.parametrize("exchange", [Exchange.COINBASE], ids=str)
async def test_coinbase_cannot_tell_whose_frame_is_lost(start, venue, exchange) -> None:
    stream, observer, faults = await one_resync(start, venue, exchange)
    pairs = [CurrencyPair(pair) for pair in PAIRS[exchange][0]]
    gaps = observer.of(Gap)
    assert len(gaps) >= 6 and sorted(gap.symbol for gap in gaps) == sorted(pairs * (len(gaps) // 2))
    assert sum(gap.lost for gap in gaps) == 2 * faults.lost  # each is told of both
    assert stream.stats["book"]["resyncs"] >= len(gaps)
    check_shown(observer)
    await until_whole(venue, exchange, stream)
