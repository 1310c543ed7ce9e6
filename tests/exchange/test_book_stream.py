"""Order books through the streams, on real sockets: Kraken and Binance, by both clients."""

import json
import random
from contextlib import asynccontextmanager

import pytest
from book_sync_model import venue_of
from exchange_fakes import Observer
from session_server import SessionServer, Step

from hftcore.book import Snapshot
from hftpy.common import Channel, CurrencyPair, Exchange, Gap
from hftpy.errors import ConfigError
from hftpy.exchange import book as book_module
from hftpy.exchange import get_exchange_stream

FAST = {"times": -1, "initial": 0.01, "max": 0.05}


def acknowledge_kraken(message, server):
    if message["method"] == "subscribe":
        params = message["params"]
        for symbol in params["symbol"]:
            result = {"channel": "book", "symbol": symbol, "depth": params["depth"], "snapshot": True}
            yield json.dumps({"method": "subscribe", "req_id": message["req_id"], "result": result, "success": True})


def acknowledge_binance(message, server):
    yield json.dumps({"result": None, "id": message["id"]})


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Resyncs come at once: nothing here is measured in seconds."""
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.02 if times else 0.0)


@asynccontextmanager
async def play(run_stream, exchange, steps, answers, pairs, rest=lambda symbol, server: None, **book):
    """Run a session through a stream; the observer, and what the server saw."""
    async with SessionServer(steps, answers, rest) as venue:
        observer = Observer()
        stream, _ = run_stream(
            exchange, venue, observer, subscribe_channels=["book"], currency_pairs=pairs,
            subscribe_args={"book": {"rest_host": venue.rest_url, **book} if "binance" in str(exchange) else book},
            stale_after=0,
        )  # fmt: skip
        yield stream, observer, venue


def kraken_frame(kind, symbol="BTC/USD", bids=(), asks=(), checksum=None, time="2026-03-01T12:30:45.123456Z"):
    def levels(side):
        return ",".join(f'{{"price":{price},"qty":{volume}}}' for price, volume in side)

    proof = "" if checksum is None else f',"checksum":{checksum}'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{levels(bids)}],'
        f'"asks":[{levels(asks)}]{proof},"timestamp":"{time}"}}]}}'
    )


async def test_kraken_book_from_snapshot_and_updates(run_stream):
    steps = [
        Step(kraken_frame("snapshot", bids=[("100.0", "1.50"), ("99.5", "2.00")], asks=[("100.5", "1.00")])),
        Step(kraken_frame("update", bids=[("100.0", "0.00"), ("99.9", "3.00")])),
        Step(kraken_frame("update", asks=[("100.4", "0.25")])),
    ]
    playing = play(run_stream, Exchange.KRAKEN, steps, acknowledge_kraken, ["btc/usd"], levels=2)
    async with playing as (stream, observer, venue):
        shown = await observer.count(3, Snapshot)
        assert venue.messages[0]["params"] == {"channel": "book", "symbol": ["BTC/USD"], "depth": 100, "snapshot": True}
        assert [list(item.bidsPrice) for item in shown] == [[100.0, 99.5], [99.9, 99.5], [99.9, 99.5]]
        assert [list(item.asksPrice) for item in shown] == [[100.5], [100.5], [100.4, 100.5]]
        assert list(shown[2].asksVolume) == [0.25, 1.0]
        assert [int(item.flags) for item in shown] == [1, 0, 0]
        assert shown[0].symbol == CurrencyPair.BTC_USD
        book = stream.book("btc/usd")
        assert book.state.name == "VALID"
        assert book.top_texts(1) == ([("99.9", "3.00")], [("100.4", "0.25")])
        stats = stream.stats["book"]
        assert (stats["events"], stats["gaps"], stats["resyncs"]) == (3, 0, 0)
        assert stats["connected"]
        assert not observer.of(Gap)


@pytest.mark.parametrize(("frame", "reason", "unread"), [
    (kraken_frame("update", bids=[("99.0", "1.00")], checksum=1), "checksum", 0),
    (kraken_frame("update", bids=[("99.0", "many")]), "unreadable frame", 1),
])  # fmt: skip
async def test_kraken_damage_is_told_and_that_symbol_alone_asked_for(run_stream, frame, reason, unread):
    def answers(message, server):
        yield from acknowledge_kraken(message, server)
        if len(server.messages) > 1 and message["method"] == "subscribe":
            yield kraken_frame("snapshot", bids=[("98.0", "7.00")], asks=[("98.5", "1.00")])

    steps = [
        Step(kraken_frame("snapshot", bids=[("100.0", "1.50")], asks=[("100.5", "1.00")])),
        Step(kraken_frame("snapshot", symbol="ETH/USD", bids=[("10.0", "1.50")], asks=[("10.5", "1.00")])),
        Step(frame),
        Step(kraken_frame("update", symbol="ETH/USD", bids=[("10.1", "1.00")])),
        Step(kraken_frame("update", bids=[("99.1", "1.00")])),
    ]
    pairs = ["btc/usd", "eth/usd"]
    async with play(run_stream, Exchange.KRAKEN, steps, answers, pairs) as (stream, observer, venue):
        await observer.until(lambda: any(list(item.bidsPrice) == [98.0] for item in observer.of(Snapshot)))
        await observer.until(lambda: any(list(item.bidsPrice) == [10.1, 10.0] for item in observer.of(Snapshot)))
        await venue.done.wait()
        btc = [item for item in observer.log if getattr(item, "symbol", None) == "btc/usd"]
        kinds = [type(item) for item in btc]
        assert kinds[:2] == [Snapshot, Gap]
        gap = btc[1]
        assert (gap.channel, gap.reason, gap.lost) == (Channel.BOOK, reason, None)
        assert stream.stats["book"]["parse_errors"] == unread
        assert len(observer.of(Gap)) == 1
        methods = [(message["method"], message["params"]["symbol"]) for message in venue.messages]
        assert methods[0] == ("subscribe", ["BTC/USD", "ETH/USD"])
        assert methods[1:] == [("unsubscribe", ["BTC/USD"]), ("subscribe", ["BTC/USD"])]
        assert venue.messages[1]["params"]["depth"] == venue.messages[2]["params"]["depth"] == 100
        assert stream.stats["book"]["resyncs"] == 1
        assert len([item for item in observer.of(Snapshot) if item.symbol == "eth/usd"]) == 2


@pytest.mark.parametrize(("frame", "fallen"), [
    ('{"channel":"book","type":"update","data":[{"symbol":7}]}', {"btc/usd", "eth/usd"}),
    ('{"channel":"status","type":"update","data":[{"symbol":"BTC/USD"}', set()),
])  # fmt: skip
async def test_a_kraken_frame_that_names_no_book_is_every_books_one_of_no_book_nobodys(run_stream, frame, fallen):
    steps = [
        Step(kraken_frame("snapshot", symbol=symbol, bids=[("10.0", "1.50")], asks=[("10.5", "1.00")]))
        for symbol in ("BTC/USD", "ETH/USD")
    ]
    steps += [Step(frame), Step(kraken_frame("update", symbol="BTC/USD", bids=[("10.1", "1.00")]))]
    pairs = ["btc/usd", "eth/usd"]
    async with play(run_stream, Exchange.KRAKEN, steps, acknowledge_kraken, pairs) as (stream, observer, venue):
        await venue.done.wait()
        await observer.until(lambda: stream.stats["book"]["waiting"] or len(observer.of(Snapshot)) == 3)
        assert {str(gap.symbol) for gap in observer.of(Gap)} == fallen == {
            pair for pair in pairs if stream.book(pair).state.name == "INVALID"
        }
        assert stream.stats["book"]["parse_errors"] == 1


def acknowledge(kind, message):
    """The venue's answer to a request."""
    if kind == "okx":
        for arg in message["args"]:
            yield json.dumps({"id": message["id"], "event": message["op"], "arg": arg})
    elif kind == "kraken_future" and message["event"] == "subscribe":
        yield json.dumps({"event": "subscribed", **{key: message[key] for key in message if key != "event"}})


@pytest.mark.parametrize("kind", ["okx", "okx_swap", "kraken_future", "coinbase"])
async def test_a_missing_frame_is_told_and_its_symbol_asked_for_again(run_stream, kind):
    maker = venue_of(kind.removesuffix("_swap"), random.Random(5))
    first, second = maker.symbols
    frames = list(maker.frames(0))
    frames += [maker.update(first), maker.update(second)]
    maker.update(first)  # lost
    frames += [maker.update(first), maker.update(second)]
    pairs = ["btc/usdt", "eth/usdt"] if "okx" in kind else ["btc/usd", "eth/usd"]
    suffix = "-SWAP" if kind == "okx_swap" else ""
    steps = [Step(frame.data.replace("-USDT", "-USDT" + suffix)) for frame in frames]
    again = []

    def subscribed(message):
        products = message.get("product_ids") or [arg["instId"] for arg in message.get("args", ())]
        return message.get("op") or message.get("event") or message.get("type"), products

    def answers(message, server):
        yield from acknowledge(kind.removesuffix("_swap"), message)
        operation, products = subscribed(message)
        if kind == "coinbase" and message.get("channel") == "heartbeats":
            event = {"subscriptions": {"level2": list(maker.symbols), "heartbeats": []}}
            yield json.dumps({"channel": "subscriptions", "events": [event]})
        if server.given and products:
            again.append((operation, products))
            if operation == "subscribe":
                snapshot = maker.snapshot(products[0].removesuffix(suffix))
                yield snapshot.data.replace("-USDT", "-USDT" + suffix)

    async with play(run_stream, Exchange.parse(kind), steps, answers, pairs) as (stream, observer, venue):
        await venue.done.wait()
        fallen = 2 if kind == "coinbase" else 1
        gaps = await observer.count(fallen, Gap)
        assert [(gap.channel, str(gap.symbol), gap.reason) for gap in gaps] == [
            (Channel.BOOK, pair, "sequence") for pair in pairs[:fallen]
        ]
        await observer.until(lambda: all(stream.book(pair).state for pair in pairs))
        for native, pair in zip(maker.symbols, pairs, strict=True):
            top = maker.books[native].top(1)
            got = stream.book(pair).top(1)
            assert got == tuple([(float(price), float(volume)) for price, volume in side] for side in top)
            asked = [operation for operation, products in again if products == [native + suffix]]
            assert asked == (["unsubscribe", "subscribe"] if pair in pairs[:fallen] else [])
        stats = stream.stats["book"]
        assert (stats["gaps"], stats["resyncs"], stats["parse_errors"]) == (fallen, fallen, 0)


def depth(first, last, symbol="BTCUSDT", bids=(), asks=(), previous=None, time=None):
    data = {"e": "depthUpdate", "E": time or 1_700_000_000_000 + last, "s": symbol, "U": first, "u": last}
    if previous is not None:
        data["pu"] = previous
    data |= {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data})


def rest_depth(last, bids, asks):
    return json.dumps({"lastUpdateId": last, "bids": [list(x) for x in bids], "asks": [list(x) for x in asks]})


async def test_binance_book_waits_for_its_snapshot_and_heals_by_another(run_stream):
    bids, asks = [("100.00", "1.0")], [("101.00", "1.0")]
    steps = [
        Step(depth(1, 5, bids=[("99.00", "9.0")])),  # held; in the snapshot already
        Step(depth(6, 9, bids=[("99.50", "2.0")])),  # held
        Step(rest_depth(5, bids, asks), "BTCUSDT"),
        Step(depth(10, 12, asks=[("100.50", "3.0")])),
        Step(depth(10, 12, asks=[("100.50", "3.0")])),  # came again
        Step(depth(20, 22, bids=[("99.75", "1.0")])),  # 13 to 19 are lost
        Step(rest_depth(22, [("99.90", "4.0")], asks), "BTCUSDT"),
        Step(depth(23, 23, bids=[("99.95", "5.0")])),
    ]
    playing = play(run_stream, Exchange.BINANCE, steps, acknowledge_binance, ["btc/usdt"])
    async with playing as (stream, observer, venue):
        await observer.until(lambda: any(item.seq == 23 for item in observer.of(Snapshot)))
        assert venue.messages[0]["params"] == ["btcusdt@depth@100ms"]
        assert [item.seq for item in observer.of(Snapshot)] == [5, 9, 12, 22, 23]
        assert [type(item) for item in observer.log if isinstance(item, Snapshot | Gap)].index(Gap) == 3
        assert observer.of(Gap)[0].reason == "sequence"
        last = observer.of(Snapshot)[-1]
        assert list(last.bidsPrice) == [99.95, 99.9]
        stats = stream.stats["book"]
        assert (stats["outdated"], stats["resyncs"], stats["gaps"]) == (1, 1, 1)
        assert venue.fetched == ["BTCUSDT", "BTCUSDT"]


async def test_binance_needs_a_rest_host_beside_an_api_host():
    stream = get_exchange_stream(
        exchange="binance", currency_pairs=["btc/usdt"], subscribe_channels=["book"], api_host="ws://127.0.0.1:9"
    )
    with pytest.raises(ConfigError, match="rest_host"):
        await stream.start()


@pytest.mark.parametrize("args", [{"depth": 7}, {"levels": 0}, {"levels": 257}, {"depth": "many"}])
async def test_arguments_that_the_venue_does_not_have(args):
    stream = get_exchange_stream(
        exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["book"], subscribe_args={"book": args}
    )
    with pytest.raises(ConfigError, match=next(iter(args))):
        await stream.start()


async def test_book_of_a_pair_that_is_not_subscribed(run_stream):
    stream = get_exchange_stream(exchange="kraken", currency_pairs=["btc/usd"], subscribe_channels=["book"])
    with pytest.raises(ValueError, match="eth/usd"):
        stream.book("eth/usd")
    with pytest.raises(RuntimeError, match="not running"):
        stream.book("btc/usd")
