"""Replay of recorded sessions: small ones written here, and real ones where HFTPY_FIXTURES points."""

import asyncio
import gzip
import json
import os
import urllib.parse
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from hftcore.enums import Channel, Exchange, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim import ReplayMarket, SimVenue
from hftpy.sim.desk import OrderRequest
from hftpy.sim.recording import classify_frame, is_partial, iter_session, session_exchange, session_pairs
from hftpy.sim.replay_books import RecordedPairs, ReplayBooks

START = 1700000000


def write_session(path: Path, frames: list[str], url: str, *, step: float = 0.01) -> Path:
    lines = [{"t": "header", "source": "test"}, {"t": "conn", "ts": START, "url": url}]
    lines += [{"t": "recv", "ts": START + number * step, "data": frame} for number, frame in enumerate(frames)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def book_ticker(number: int, symbol: str = "LTCBTC", bid: str = "10.0", ask: str = "11.0") -> str:
    data = f'{{"u":{number}, "s":"{symbol}","b":"{bid}","B":"1.50","a":"{ask}","A":"2.0"}}'
    return f'{{"stream":"{symbol.lower()}@bookTicker","data":{data}}}'


def test_reads_a_session(tmp_path: Path) -> None:
    frames = [book_ticker(1), '{"result":null,"id":1}', book_ticker(2, "ETHBTC")]
    frames.append('{"stream":"ethbtc@depth@100ms","data":{"e":"depthUpdate","s":"ETHBTC"}}')
    path = write_session(tmp_path / "a.jsonl.gz", frames, "wss://stream.binance.us:9443/stream")
    assert session_exchange(path) is Exchange.BINANCE
    assert session_pairs(path) == {Channel.TICKER: ["ltc/btc", "eth/btc"], Channel.BOOK: ["eth/btc"]}
    entries = list(iter_session(path))
    assert [entry.data for entry in entries[1:]] == frames
    assert entries[1].time_ns == START * 10**9


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"u":1}\n')
    with pytest.raises(ValueError, match="header line"):
        list(iter_session(path))
    path.write_text('{"t":"header"}\n{"t":"recv",\n')
    with pytest.raises(ValueError, match="line 2"):
        list(iter_session(path))
    with pytest.raises(ValueError, match="speed must be"):
        ReplayMarket(path, -1)


@pytest.mark.parametrize("speed", [0, 1.0, 50.0])
async def test_plays_the_frames_exactly_to_whoever_subscribed(tmp_path: Path, speed: float) -> None:
    frames = [book_ticker(n) for n in range(60)] + [book_ticker(99, "ETHBTC")]
    path = write_session(tmp_path / "a.jsonl", frames, "wss://stream.binance.com:9443/stream", step=0.002)
    market = ReplayMarket(path, speed, autostart=False)
    async with SimVenue(market, (Exchange.BINANCE,)) as venue:
        async with (
            connect(venue.ws_url("binance") + "/stream?streams=ltcbtc@bookTicker") as combined,
            connect(venue.ws_url("binance") + "/ws/ltcbtc@bookTicker") as bare,
            aiohttp.ClientSession() as session,
        ):
            async with session.post(venue.control_url + "/start") as reply:
                assert reply.status == 200
            async with asyncio.timeout(20):
                await market.finished.wait()
                assert [await combined.recv() for _ in range(60)] == frames[:60]
                inner = [frame.partition('"data":')[2][:-1] for frame in frames[:60]]
                assert [await bare.recv() for _ in range(60)] == inner
            async with session.get(venue.control_url + "/stats") as reply:
                stats = await reply.json()
        assert stats["finished"] is True and stats["failure"] is None
        assert stats["venues"]["binance"]["sent_by_connection"] == {"1": {"bookTicker": 60}, "2": {"bookTicker": 60}}


async def test_flat_out_waits_for_a_slow_reader(tmp_path: Path) -> None:
    frames = [book_ticker(n, bid="1" + "0" * 10_000) for n in range(3000)]
    path = write_session(tmp_path / "a.jsonl", frames, "wss://stream.binance.com:9443/stream")
    market = ReplayMarket(path, 0, autostart=False)
    async with SimVenue(market, (Exchange.BINANCE,), queue_capacity=8) as venue:
        url = venue.ws_url("binance") + "/stream?streams=ltcbtc@bookTicker"
        async with connect(url, max_queue=4, close_timeout=0.1) as socket, asyncio.timeout(60):
            market.start()
            await asyncio.sleep(0.3)
            assert not market.finished.is_set()
            assert [await socket.recv() for _ in frames] == frames
        assert venue.front("binance").slow_disconnects == 0


async def test_kraken_v1_session_for_a_v2_subscriber(tmp_path: Path) -> None:
    frames = [
        '{"event":"heartbeat"}',
        '[340,{"a":["101.5",1,"1.0"],"b":["101.0",1,"2.0"],"c":["101.0","1"]},"ticker","XBT/USD"]',
        '[341,[["101.0","0.5","1617666423.5","b","l",""]],"trade","XBT/USD"]',
    ]
    path = write_session(tmp_path / "a.jsonl", frames, "wss://ws.kraken.com")
    assert session_pairs(path) == {Channel.TICKER: ["btc/usd"], Channel.TRADE: ["btc/usd"]}
    async with (
        SimVenue(ReplayMarket(path, 0), (Exchange.KRAKEN,)) as venue,
        asyncio.timeout(20),
        connect(venue.ws_url("kraken") + "/v2") as socket,
    ):
        await socket.send('{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"]}}')
        assert "status" in str(await socket.recv())
        assert json.loads(await socket.recv())["success"] is True
        assert await socket.recv() == frames[1]


async def test_orders_fill_on_the_recorded_top(tmp_path: Path) -> None:
    frames = [book_ticker(1, bid="10", ask="11"), book_ticker(2, bid="8", ask="9")]
    path = write_session(tmp_path / "a.jsonl", frames, "wss://stream.binance.com:9443/stream", step=0.2)
    market = ReplayMarket(path, 1.0, autostart=False)
    async with SimVenue(market, (Exchange.KRAKEN, Exchange.BINANCE)) as venue, asyncio.timeout(20):
        request = OrderRequest(pair=market.pairs[0], side=Side.BUY, amount=Decimal("1.5"), price=Decimal("9.5"))
        resting, _ = venue.desk.place("me", request)
        market.start()
        await asyncio.sleep(0.05)
        crossing = OrderRequest(pair=market.pairs[0], side=Side.BUY, amount=Decimal(1), price=None)
        taken, _ = venue.desk.place("me", crossing)
        assert taken.book.average_price == Decimal(11)
        assert resting.book.filled == 0
        await market.finished.wait()
        assert resting.book.filled == Decimal("1.5") and resting.book.average_price == Decimal("9.5")


async def test_recording_begins_with_the_first_subscription(tmp_path: Path) -> None:
    path = write_session(tmp_path / "a.jsonl", [book_ticker(1)], "wss://stream.binance.com:9443/stream")
    market = ReplayMarket(path, 0)
    async with SimVenue(market, (Exchange.BINANCE,)) as venue, asyncio.timeout(20):
        await asyncio.sleep(0.05)
        assert not market.started.is_set()
        async with connect(venue.ws_url("binance") + "/ws/ltcbtc@bookTicker") as socket:
            assert json.loads(await socket.recv())["u"] == 1


async def test_odd_recorded_frames_are_played_as_they_are(tmp_path: Path) -> None:
    frames = [
        '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1,"bid_qty":1,"ask":2,"ask_qty":1}]}',
        '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD"},{"symbol":"?"}]}',
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":"x","qty":1}]}',
        '[1,[],"trade","XBT/USD"]',
    ]
    path = write_session(tmp_path / "a.jsonl", frames, "wss://ws.kraken.com/v2")
    market = ReplayMarket(path, 0, autostart=False)
    async with SimVenue(market, (Exchange.KRAKEN,)) as venue, asyncio.timeout(20):
        async with connect(venue.ws_url("kraken") + "/v2") as socket:
            for channel in ("ticker", "trade"):
                params = {"channel": channel, "symbol": ["BTC/USD"]}
                await socket.send(json.dumps({"method": "subscribe", "params": params}))
                while "success" not in str(await socket.recv()):
                    pass
            market.start()
            assert [await socket.recv() for _ in frames] == frames
        await market.finished.wait()
        assert market.failure is None


def recorded_sessions() -> list[Path]:
    root = os.environ.get("HFTPY_FIXTURES")
    if not root:
        return []
    found = sorted((Path(root) / "real" / "sessions").glob("*.jsonl.gz"))
    return [path for path in found if path.name.startswith(("binance_spot__", "binance_us__", "kraken__"))]


@pytest.mark.recorded
@pytest.mark.skipif(not recorded_sessions(), reason="HFTPY_FIXTURES does not name a folder with recorded sessions")
@pytest.mark.parametrize("path", recorded_sessions(), ids=lambda path: path.name)
async def test_every_recorded_ticker_and_trade_arrives_exactly(path: Path) -> None:
    exchange = session_exchange(path)
    binance = exchange is Exchange.BINANCE
    wanted = ("@bookTicker", "@trade", "@aggTrade")
    expected, streams = [], {}
    for entry in iter_session(path):
        frame = json.loads(entry.data) if entry.kind == "recv" else None
        if binance and isinstance(frame, dict) and frame.get("stream", "").endswith(wanted):
            expected.append(entry.data)
            streams[frame["stream"]] = None
        elif isinstance(frame, list) and frame[-2] in ("ticker", "trade"):
            expected.append(entry.data)
            streams[frame[-1].replace("XBT", "BTC").replace("XDG", "DOGE")] = None
    market = ReplayMarket(path, 0, autostart=False)
    received: list[str] = []
    async with SimVenue(market, (exchange,)) as venue, asyncio.timeout(60):
        if binance:
            names = urllib.parse.quote("/".join(streams), safe="/@!")
            url = f"{venue.ws_url(exchange)}/stream?streams={names}"
        else:
            url = venue.ws_url(exchange) + "/v2"
        async with connect(url, max_queue=None) as socket:
            if not binance and streams:
                for channel in ("ticker", "trade"):
                    request = {"method": "subscribe", "params": {"channel": channel, "symbol": list(streams)}}
                    await socket.send(json.dumps(request))
                acknowledged = 0
                while acknowledged < 2 * len(streams):
                    acknowledged += "success" in json.loads(await socket.recv())
            market.start()
            while len(received) < len(expected):
                message = await socket.recv()
                if "heartbeat" not in message:
                    received.append(str(message))
            await market.finished.wait()
        assert market.failure is None
    assert received == expected


@pytest.mark.parametrize("small_first", [False, True])
def test_small_books_of_another_stream_do_not_take_the_place_of_the_whole_one(small_first: bool) -> None:
    def okx(channel: str, action: str, seq: int, prev: int, bids: list[list[str]]) -> str:
        row = {"asks": [], "bids": [[*bid, "0", "1"] for bid in bids], "ts": str(seq), "seqId": seq, "prevSeqId": prev}
        head = {"arg": {"channel": channel, "instId": "BTC-USDT"}}
        return json.dumps(head | ({"action": action} if action else {}) | {"data": [row]})

    small = okx("books5", "", 8, -1, [["1.3", "1"]])
    frames = [
        okx("books", "snapshot", 7, -1, [["1.2", "1"], ["1.1", "5"]]),
        okx("books", "update", 9, 7, [["1.25", "1"]]),
    ]
    frames.insert(0 if small_first else 1, small)
    keys = [classify_frame(Exchange.OKX, frame) for frame in frames]
    recorded = RecordedPairs(Exchange.OKX)
    for key in keys:
        assert key is not None
        recorded.note(key, "")
    books = ReplayBooks(recorded)
    for frame, key in zip(frames, keys, strict=True):
        books.take(frame, "", key)
    book = books.book(CurrencyPair("btc/usdt"))
    assert book is not None
    assert book.top_texts(5)[0] == [("1.25", "1"), ("1.2", "1"), ("1.1", "5")]


def test_small_books_stand_in_for_others_only_where_there_is_nothing_else() -> None:
    names = ["depth5@100ms", "depth@0ms", "books5", "books", "depth20", "depth"]
    assert [is_partial(name) for name in names] == [True, False, True, False, True, False]
    assert sorted(names, key=is_partial)[0] == "depth@0ms"


@pytest.mark.parametrize(
    "damaged",
    [
        {"ts_ns": 10**30}, {"ts_ns": -1}, {"ts_ns": 1 << 63}, {"ts": 1e300}, {"ts": -5}, {"ts": "x"}, {"ts": None},
        {"ts": float("inf")}, {"ts": float("nan")}, {"url": 5}, {"url": {}, "ts": 1, "t": ["recv"]}, {"t": None},
        {"lost": -1}, {"lost": 10**30}, {"lost": "many"},
    ],
    ids=repr,
)  # fmt: skip
def test_an_entry_that_is_damaged_is_named_by_its_line(tmp_path, damaged):
    path = tmp_path / "s.jsonl"
    rows = [{"t": "header", "exchange": "kraken"}, {"t": "recv", "ts": 1, "data": "{}"},
            {"t": "recv", "data": "{}"} | damaged, {"t": "recv", "ts": 2, "data": "{}"}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="session line 3 cannot be read"):
        list(iter_session(path))


def test_times_keep_their_digits(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text('{"t":"header"}\n{"t":"recv","ts":1618678101.8693051,"data":"{}"}\n{"t":"recv","data":"{}"}\n')
    assert [entry.time_ns for entry in iter_session(path)] == [1618678101869305100, 0]


@pytest.mark.parametrize("name", [0, 1, True, None, "unknown", "", [], "nowhere"])
def test_a_header_that_names_no_venue_is_none(tmp_path, name):
    path = tmp_path / "s.jsonl"
    frame = {"channel": "ticker", "type": "update", "data": []}
    rows = [{"t": "header", "exchange": name}, {"t": "recv", "ts": 1, "data": json.dumps(frame)}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert session_exchange(path) is Exchange.KRAKEN
