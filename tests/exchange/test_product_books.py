"""Order books of Coinbase and Kraken Futures: on the simulated venue, and from the recorded sessions."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from exchange_fakes import Observer
from session_replay import Player, session_frames
from websockets.asyncio.server import serve

from hftcore.book import Snapshot
from hftcore.symbols import pair_of_native
from hftpy.common import CurrencyPair, Exchange, Gap, Side
from hftpy.exchange import book as book_module
from hftpy.sim import Fault, SimVenue, SyntheticMarket

VENUES = (Exchange.COINBASE, Exchange.KRAKEN_FUTURE)
PAIRS = ["btc/usd", "eth/usd"]


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.02 if times else 0.0)


@pytest.fixture
async def venue():
    async with SimVenue(SyntheticMarket(PAIRS, seed=5, rate=50), VENUES) as venue:
        yield venue


def start(run_stream, exchange, venue, observer, **settings):
    address = SimpleNamespace(url=venue.ws_url(exchange))
    settings = {"currency_pairs": PAIRS, "subscribe_channels": ["book"]} | settings
    return run_stream(exchange, address, observer, **settings)[0]


async def until_equal(venue, stream):
    """The market stands still; its books are those of the stream."""
    await venue.market.stop()
    async with asyncio.timeout(20):
        for pair in map(CurrencyPair, PAIRS):
            levels = venue.market.state(pair).book
            wanted = [[tuple(map(float, level)) for level in levels.levels(side)] for side in (Side.BUY, Side.SELL)]
            while shown(stream.book(pair)) != wanted:
                await asyncio.sleep(0.01)


def shown(book):
    return [[tuple(map(float, level)) for level in side] for side in book.top_texts(1000)]


@pytest.mark.parametrize("exchange", VENUES)
async def test_books_are_those_of_the_venue(run_stream, venue, exchange):
    observer = Observer()
    stream = start(run_stream, exchange, venue, observer)
    await observer.count(200, Snapshot)
    assert {item.symbol for item in observer.of(Snapshot)} == set(PAIRS)
    assert not observer.of(Gap)
    assert all(item.bidsPrice[0] < item.asksPrice[0] for item in observer.of(Snapshot))
    await until_equal(venue, stream)


@pytest.mark.parametrize("kind", ["drop", "reorder"])
@pytest.mark.parametrize("exchange", VENUES)
async def test_a_missing_frame_is_told_and_the_book_comes_back(run_stream, venue, exchange, kind):
    observer = Observer()
    stream = start(run_stream, exchange, venue, observer)
    await observer.count(50, Snapshot)
    await venue.commit(Fault.now(kind, 0.3))
    await observer.count(1, Gap)
    assert stream.stats["book"]["gaps"] >= 1
    await asyncio.sleep(0.5)
    count = len(observer.of(Snapshot))
    await observer.count(count + 50, Snapshot)
    async with asyncio.timeout(20):
        while any(stream.book(pair).state.name != "VALID" for pair in PAIRS):
            await asyncio.sleep(0.01)
    assert stream.stats["book"]["resyncs"] >= 1
    await until_equal(venue, stream)


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_depth_drops_no_level_that_the_venue_would_not_tell_again(run_stream, venue, exchange):
    observer = Observer()
    stream = start(run_stream, exchange, venue, observer, subscribe_args={"book": {"depth": 2}})
    await observer.count(100, Snapshot)
    await until_equal(venue, stream)


# Recorded

SESSIONS = {Exchange.COINBASE: "coinbase__advanced_20260809", Exchange.KRAKEN_FUTURE: "kraken_futures__all_20210417"}


def tops(exchange, frames):
    """Best bid and ask after each book update, read slowly: (symbol, bid, ask)."""
    books, found = {}, []
    for text in frames:
        frame = json.loads(text)
        updates = []
        if frame.get("channel") == "l2_data":
            for event in frame["events"]:
                rows = [(row["side"] == "bid", row["price_level"], row["new_quantity"]) for row in event["updates"]]
                updates.append((event["product_id"], event["type"] == "snapshot", rows))
        elif frame.get("feed") == "book_snapshot":
            rows = [(side == "bids", row["price"], row["qty"]) for side in ("bids", "asks") for row in frame[side]]
            updates.append((frame["product_id"], True, rows))
        elif frame.get("feed") == "book" and "event" not in frame:
            updates.append((frame["product_id"], False, [(frame["side"] == "buy", frame["price"], frame["qty"])]))
        for product, is_snapshot, rows in updates:
            if is_snapshot:
                books[product] = {}, {}
            bids, asks = books[product]
            for is_bid, price, size in rows:
                side = bids if is_bid else asks
                side[float(price)] = float(size)
                if float(size) == 0:
                    del side[float(price)]
            best = max(bids, default=None), min(asks, default=None)
            found.append((str(pair_of_native(exchange, product)), *best))
    return found


@pytest.mark.recorded
@pytest.mark.parametrize("exchange", VENUES)
async def test_the_recorded_session_is_followed_to_the_end(run_stream, fixtures, exchange):
    frames = session_frames(fixtures / "sessions" / f"{SESSIONS[exchange]}.jsonl.gz")
    wanted = tops(exchange, frames)
    pairs = list(dict.fromkeys(symbol for symbol, _, _ in wanted))
    observer = Observer()
    async with await serve(Player(frames), "127.0.0.1", 0, max_size=None) as server:
        address = SimpleNamespace(url=f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        stream, _ = run_stream(
            exchange, address, observer, currency_pairs=pairs, subscribe_channels=["book"], stale_after=0
        )
        async with asyncio.timeout(60):
            while stream.stats["book"]["frames"] < len(frames):
                await asyncio.sleep(0.01)
        got = [
            (str(item.symbol), *(side[0] if len(side) else None for side in (item.bidsPrice, item.asksPrice)))
            for item in observer.of(Snapshot)
        ]
        assert not observer.of(Gap)
        assert got == [top for top in wanted if None in top or top[1] < top[2]]
        await stream.stop()
