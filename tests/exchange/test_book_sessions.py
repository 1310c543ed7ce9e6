"""Recorded sessions through the streams, end to end: every book, every proven top, and what damage does to them."""

import asyncio
import gzip
import json
import os
import random
from decimal import Decimal
from pathlib import Path

import pytest
from exchange_fakes import Observer
from session_server import SessionServer, changed, read_session

from hftcore.book import OrderBook, Snapshot
from hftcore.book_parse import BookParser
from hftcore.errors import ParseError
from hftcore.symbols import native_symbol
from hftpy.common import Exchange, Gap
from hftpy.exchange import book as book_module
from hftpy.exchange import get_exchange_stream

REAL = Path(os.environ.get("HFTPY_FIXTURES", "")) / "real"
pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif("HFTPY_FIXTURES" not in os.environ, reason="HFTPY_FIXTURES names no recorded messages"),
]
# name: venue, folder of its proofs
SESSIONS = {
    "binance_spot__all_20210417": ("binance", "binance_spot"),
    "binance_spot__all_20211012": ("binance", "binance_spot"),
    "binance_spot__b38f7c_20210405": ("binance", "binance_spot"),
    "binance_spot__ee25be_20210404": ("binance", "binance_spot"),
    "binance_spot__hftbacktest_spot_btcusdt_20240808": ("binance", "binance_spot"),
    "binance_us__all_20210417": ("binance", "binance_us"),
    "binance_us__all_20211012": ("binance", "binance_us"),
    "binance_usdm__1125a2_20210405": ("binance_future", "binance_usdm"),
    "binance_usdm__all_20210417": ("binance_future", "binance_usdm"),
    "binance_usdm__hftbacktest_usdm_btcusdt_20240808": ("binance_future", "binance_usdm"),
    "kraken__v1_book1000_20210405": ("kraken", "kraken"),
    "coinbase__advanced_20260809": ("coinbase", ""),
    "kraken_futures__all_20210417": ("kraken_future", ""),
    "okx__v5_all_20210722": ("okx", ""),
    "okx__v5_books_20220513": ("okx", ""),
}


DAMAGED = ["binance_spot__all_20210417", "binance_usdm__all_20210417", "kraken__v1_book1000_20210405"]


def session(name):
    return read_session(REAL / "sessions" / f"{name}.jsonl.gz")


def updates_of(exchange, steps):
    """Every update of the session, in order, with its step; symbols as the parser names them."""
    parser = BookParser(exchange)
    for place, step in enumerate(steps):
        if step.is_rest:
            continue
        try:
            for update in parser.parse(step.data.encode()):
                yield place, update
        except ParseError:
            continue


def answers_of(exchange):
    """The acknowledgements of a venue."""

    def answers(message, server):
        if exchange == "okx":
            for arg in message["args"]:
                yield json.dumps({"event": "subscribe", "arg": arg})
        elif exchange == "kraken_future":
            products = {name: message[name] for name in ("feed", "product_ids") if name in message}
            yield json.dumps({"event": "subscribed", **products})
        elif exchange.startswith("binance"):
            yield json.dumps({"result": None, "id": message["id"]})
        if exchange != "kraken":
            return
        if message["method"] != "subscribe":
            return
        for symbol in message["params"]["symbol"]:
            result = {"channel": "book", "symbol": symbol, "depth": message["params"]["depth"]}
            yield json.dumps({"method": "subscribe", "req_id": message["req_id"], "result": result, "success": True})
            if len(server.messages) > 1:
                yield server.truth(symbol)

    return answers


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Resyncs come at once: nothing here is measured in seconds."""
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.02 if times else 0.0)


async def replay(exchange, steps, pairs, rest=None, truth=None, healed=None):
    """The observer and the stream's counters after a session went through a stream."""
    async with SessionServer(steps, answers_of(exchange), rest or (lambda symbol, server: None)) as venue:
        venue.truth = (lambda symbol: truth(symbol, venue)) if truth else None
        observer = Observer()
        depth = {"depth": 1000} if exchange == "kraken" else {}
        if exchange.startswith("binance"):
            depth = {"rest_host": venue.rest_url}
        stream = get_exchange_stream(
            exchange=exchange, currency_pairs=pairs, subscribe_channels=["book"], api_host=venue.url,
            subscribe_args={"book": {"levels": 1, **depth}}, stale_after=0,
            reconnect_times={"times": -1, "initial": 0.01, "max": 0.05},
        )  # fmt: skip
        stream.bind_observer(observer)
        running = asyncio.create_task(stream.start())
        try:
            async with asyncio.timeout(120):
                await venue.done.wait()
                frames = 0
                while frames != stream.stats["book"]["frames"] or not (healed is None or healed(stream)):
                    frames = stream.stats["book"]["frames"]
                    await asyncio.sleep(0.1)
                books = {pair: stream.book(pair).top_texts(5) for pair in pairs}
                states = {pair: stream.book(pair).state.name for pair in pairs}
                return observer, stream.stats["book"], books, states, venue
        finally:
            await stream.stop()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("name", SESSIONS)
async def test_every_update_is_shown_and_every_proof_holds(name):
    exchange, folder = SESSIONS[name]
    steps = session(name)
    updates = [update for _, update in updates_of(exchange, steps)]
    pairs = list(dict.fromkeys(update.symbol for update in updates))
    observer, stats, _, states, _ = await replay(exchange, steps, pairs)
    assert (stats["gaps"], stats["resyncs"], stats["callback_errors"]) == (0, 0, 0)
    assert not observer.of(Gap)
    assert set(states.values()) == {"VALID"}
    shown = observer.of(Snapshot)
    tops = {}
    for pair in pairs:
        mine = [update for update in updates if update.symbol == pair]
        seen = [item for item in shown if item.symbol == pair]
        if not exchange.startswith("binance"):
            assert len(seen) == len(mine)
            assert [item.exchangeTimeNs for item in seen] == [update.exchangeTimeNs for update in mine]
            continue
        # All of the symbol's updates from the snapshot on, in their order.
        numbers = [update.lastSeq for update in mine]
        got = [item.seq for item in seen]
        assert got[1:] == numbers[len(numbers) - len(got) + 1 :]
        tops.update({(pair, item.seq): item for item in seen})
    if not exchange.startswith("binance"):
        return
    natives = {native_symbol(Exchange.parse(exchange), pair): pair for pair in pairs}
    proofs = 0
    with gzip.open(REAL / folder / "DERIVED_TOB.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if row["file"] != f"../sessions/{name}.jsonl.gz":
                continue
            item = tops[natives[row["symbol"]], row["u"]]
            top = [[item.bidsPrice[0], item.bidsVolume[0]], [item.asksPrice[0], item.asksVolume[0]]]
            assert top == [[float(text) for text in row[side]] for side in ("bid", "ask")]
            proofs += 1
    assert proofs > 0 or name == "binance_spot__ee25be_20210404"


def kraken_truth(steps, made):
    """What the venue's own book is when a symbol is asked for again, as a v1 snapshot."""
    parser = BookParser("kraken")

    def truth(symbol, venue):
        book = OrderBook("kraken", "btc/usd", 1000)
        for step in made(venue.given):
            for update in parser.parse(step.data.encode()):
                if update.symbol == parser_symbol(symbol):
                    (book.apply_snapshot if update.snapshot else book.apply)(update.bids, update.asks)
        bids, asks = book.top_texts(1000)
        levels = {"as": [[*x, "0.000001"] for x in asks], "bs": [[*x, "0.000001"] for x in bids]}
        return json.dumps([0, levels, "book-1000", symbol])

    return truth


def parser_symbol(native):
    return BookParser("kraken").parse(f'[0,{{"a":[]}},"book-10","{native}"]'.encode())[0].symbol


@pytest.mark.parametrize("damage", ["remove", "repeat", "swap"])
@pytest.mark.parametrize("name", DAMAGED)
async def test_damage_is_found_healed_and_touches_no_other_symbol(name, damage):
    exchange, _ = SESSIONS[name]
    steps = session(name)
    if exchange == "kraken":
        steps = steps[:4000]
    updates = list(updates_of(exchange, steps))
    pairs = list(dict.fromkeys(update.symbol for _, update in updates))
    undisturbed, _, last_books, _, _ = await replay(exchange, steps, pairs)
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for _ in range(3):
        seen = {}
        for place, update in updates:
            seen.setdefault(update.symbol, []).append((place, update))
        busy = [rows for rows in seen.values() if len(rows) > 40]
        rows = rng.choice(busy)
        # Neighbours in the session: a swap of two frames of one symbol.
        start = rng.randrange(10, len(rows) - 20)
        place, hurt = rows[start]
        damaged = changed(steps, damage, place)
        told = f"seed {seed}: {damage} at {place}, {hurt.symbol}"

        def made(given, place=place):
            # Sent so far: what was removed or swapped has happened at the venue all the same.
            frames = [step for step in steps if not step.is_rest]
            return frames[: min(given + 1, len(frames))]

        def rest(symbol, server, damaged=damaged, place=place):
            if symbol not in server.once:
                server.once.add(symbol)
                return None
            return binance_truth(exchange, steps, symbol, server)

        observer, stats, books, states, _ = await replay(
            exchange, damaged, pairs, rest=counted(rest), truth=kraken_truth(steps, made)
        )
        assert stats["callback_errors"] == 0, told
        others = [pair for pair in pairs if pair != hurt.symbol and pair != neighbour(updates, place)]
        for pair in others:
            assert len(of(observer, pair)) == len(of(undisturbed, pair)), told
            assert books[pair] == last_books[pair], told
        if damage == "repeat":
            assert not observer.of(Gap), told
            assert states[hurt.symbol] == "VALID", told
            assert books == last_books, told
        elif exchange != "kraken" and damage == "remove":
            assert [gap.symbol for gap in observer.of(Gap)] == [hurt.symbol], told
            assert states[hurt.symbol] == "VALID", told
            assert books == last_books, told
        for gap in observer.of(Gap):
            assert gap.reason in ("sequence", "checksum"), told
        for item in observer.of(Snapshot):
            if item.bidCount and item.askCount:
                assert item.bidsPrice[0] <= item.asksPrice[0], told


def neighbour(updates, place):
    return next((update.symbol for at, update in updates if at == place + 1), None)


def of(observer, pair):
    return [item for item in observer.of(Snapshot) if item.symbol == pair]


def counted(rest):
    def asked(symbol, server):
        if not hasattr(server, "once"):
            server.once = set()
        return rest(symbol, server)

    return asked


def binance_truth(exchange, steps, symbol, server):
    """The venue's book of a symbol as it is after all that was sent, by Decimals."""
    sides = {"bids": {}, "asks": {}}
    last = 0
    for step in [step for step in steps if step.symbol == symbol][:1]:
        body = json.loads(step.data)
        last = body["lastUpdateId"]
        for name in sides:
            sides[name] = {Decimal(price): (price, volume) for price, volume in body[name]}
    sent = 0
    for step in steps:
        if step.is_rest:
            continue
        sent += 1
        if sent > server.given + 1:
            break
        data = json.loads(step.data).get("data", {})
        if data.get("e") != "depthUpdate" or data["s"] != symbol or data["u"] <= last:
            continue
        last = data["u"]
        for name, key in (("bids", "b"), ("asks", "a")):
            for price, volume in data[key]:
                if Decimal(volume):
                    sides[name][Decimal(price)] = (price, volume)
                else:
                    sides[name].pop(Decimal(price), None)
    bids = [list(sides["bids"][price]) for price in sorted(sides["bids"], reverse=True)]
    asks = [list(sides["asks"][price]) for price in sorted(sides["asks"])]
    return json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks})
