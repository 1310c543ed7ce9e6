"""What the clients make of frames: whole ones, parts, pings between them, refusals. All clients, one behaviour."""

import asyncio
import json
import logging

import pytest
from exchange_fakes import Observer, binance_trade, book_ticker
from raw_server import BINARY, CLOSE, MORE, PING, PONG, TEXT, RawServer, frame, text

import hftcore.picows_version
from hftcore.ring import Ring
from hftpy.common import Gap, Ticker, Trade
from hftpy.exchange import client as client_module
from hftpy.exchange.client import MAX_MESSAGE_BYTES, ConnectError, connect

ACK = text(b'{"result":null,"id":1}')
PAIRS = {"currency_pairs": ["btc/usdt"]}


def quote(update):
    return json.dumps(book_ticker(update), separators=(",", ":")).encode()


class Rings:
    """An observer with rings, and nothing that wakes but what the rings do."""

    def __init__(self, kind=Ticker, capacity=1024, overflow="drop_newest"):
        self.ticker_queue = self.trade_queue = Ring(kind, capacity, overflow)
        self.events = []
        self.on_gap = self.on_stale = self.on_reconnected = self.events.append

    async def take(self, number):
        found = []
        async with asyncio.timeout(20):
            while len(found) < number:
                await self.ticker_queue.wait()
                found += self.ticker_queue.get_batch()
        return found


async def started(run_stream, venue, observer, **settings):
    stream, task = run_stream("binance", venue, observer, **(PAIRS | settings))
    await venue.until(lambda: bool(venue.of(TEXT)))
    venue.send(ACK)
    return stream, task


async def test_burst_in_one_read(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        stream, _ = await started(run_stream, venue, observer)
        venue.send(b"".join(text(quote(number)) for number in range(300)))
        assert [ticker.seq for ticker in await observer.take(300)] == list(range(300))
        assert stream.stats["ticker"]["frames"] == 301


@pytest.mark.parametrize("last", [frame(PING, b"are you there"), frame(PONG, b"unasked"), ACK, text(b"no json")])
async def test_whatever_ends_a_batch_the_consumer_wakes(run_stream, last):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(text(quote(1)) + text(quote(2)) + last)
        assert [ticker.seq for ticker in await observer.take(2)] == [1, 2]


async def test_frames_that_come_in_pieces(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        data = b"".join(text(quote(number)) for number in range(5))
        for start in range(0, len(data), 7):
            venue.send(data[start : start + 7])
            await asyncio.sleep(0)
        assert [ticker.seq for ticker in await observer.take(5)] == list(range(5))


async def test_pings_are_answered_with_their_payload(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(frame(PING, b"one") + text(quote(1)) + frame(PING, b"") + frame(PING, b"x" * 125))
        await venue.until(lambda: len(venue.of(PONG)) == 3)
        assert venue.of(PONG) == [b"one", b"", b"x" * 125]
        assert len(await observer.take(1)) == 1


async def test_fragments_are_joined_and_keep_their_place(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        parts = quote(2)
        venue.send(
            text(quote(1))
            + frame(TEXT, parts[:10], fin=False)
            + frame(PING, b"between")
            + frame(MORE, b"", fin=False)
            + frame(MORE, parts[10:20], fin=False)
        )
        await venue.until(lambda: venue.of(PONG) == [b"between"])
        venue.send(frame(MORE, parts[20:]) + text(quote(3)))
        assert [ticker.seq for ticker in await observer.take(3)] == [1, 2, 3]


async def test_binary_messages_are_read_too(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(frame(BINARY, quote(1)) + text(quote(2)))
        assert [ticker.seq for ticker in await observer.take(2)] == [1, 2]


async def test_text_that_is_no_utf8_is_a_parse_error(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        stream, _ = await started(run_stream, venue, observer)
        venue.send(text(b'{"data":"\xff\xfe"}') + text(quote(1)))
        assert [ticker.seq for ticker in await observer.take(1)] == [1]
        assert stream.stats["ticker"]["parse_errors"] == 1


async def test_message_that_is_too_large_ends_the_connection(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        part = b"x" * (MAX_MESSAGE_BYTES // 2)
        venue.send(text(quote(1)))
        assert len(await observer.take(1)) == 1
        venue.send(frame(TEXT, part, fin=False) + frame(MORE, part, fin=False) + frame(MORE, b"x"))
        await venue.until(lambda: len(venue.connections) == 2)
        assert next(data[:2] for data in venue.of(CLOSE)) == (1009).to_bytes(2, "big")
        assert [event.reason for event in observer.events if isinstance(event, Gap)] == ["disconnected"]


async def test_close_frame_behind_data_loses_nothing(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(text(quote(1)) + text(quote(2)) + frame(CLOSE, (1001).to_bytes(2, "big") + b"bye"))
        assert [ticker.seq for ticker in await observer.take(2)] == [1, 2]
        await venue.until(lambda: len(venue.connections) == 2)


async def test_greeting_in_the_packet_of_the_handshake(run_stream):
    async with RawServer(greeting=text(quote(5)) + text(quote(6))) as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(text(quote(7)))
        assert [ticker.seq for ticker in await observer.take(3)] == [5, 6, 7]


async def test_data_before_the_acknowledgement_is_delivered(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        stream, _ = run_stream("binance", venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.of(TEXT)))
        venue.send(text(quote(1)))
        assert len(await observer.take(1)) == 1
        assert not stream.stats["ticker"]["connected"]
        venue.send(ACK + text(quote(2)))
        assert len(await observer.take(1)) == 1
        assert stream.stats["ticker"]["connected"]


async def test_lost_trades_are_told_before_the_next_one(run_stream):
    async with RawServer() as venue:
        observer = Observer()
        rings = Rings(Trade)
        stream, _ = await started(run_stream, venue, observer, subscribe_channels=["trade"])
        stream.bind_observer(rings)
        messages = [json.dumps(binance_trade(number)).encode() for number in (1, 2, 2, 9)]
        venue.send(b"".join(map(text, messages)))
        await observer.count(3, Trade)
        assert [item.lost if isinstance(item, Gap) else item.tradeId for item in observer.log] == [1, 2, 6, 9]
        assert [trade.tradeId for trade in await rings.take(3)] == [1, 2, 9]
        assert stream.stats["trade"]["duplicates"] == 1


async def test_reconnect_in_the_middle_of_a_message(run_stream):
    async with RawServer() as venue:
        observer = Rings()
        await started(run_stream, venue, observer)
        venue.send(text(quote(8)) + frame(TEXT, quote(9)[:20], fin=False))
        assert len(await observer.take(1)) == 1
        venue.connections[0].transport.abort()
        await venue.until(lambda: len(venue.connections) == 2 and len(venue.of(TEXT)) == 2)
        venue.send(text(b'{"result":null,"id":2}') + text(quote(3)))
        assert [ticker.seq for ticker in await observer.take(1)] == [3]


async def test_drain_reaches_a_callback_without_a_task(run_stream):
    async with RawServer() as venue:
        observer, seen, batches = Rings(), [], []
        stream, _ = await started(run_stream, venue, observer)

        def take(ticker):
            seen.append(ticker.seq)
            if ticker.seq == 3:
                raise RuntimeError("user's error")

        stream.drain(observer.ticker_queue, take)
        stream.on_batch(lambda: batches.append(len(seen)))
        late = Observer()
        stream.bind_observer(late)
        venue.send(b"".join(text(quote(number)) for number in range(1, 6)))
        await late.count(5, Ticker)
        async with asyncio.timeout(20):
            while len(seen) < 5:
                await asyncio.sleep(0.01)
        assert seen == [1, 2, 3, 4, 5]
        assert batches and batches[-1] == 5
        assert stream.stats["ticker"]["callback_errors"] == 1
        assert observer.ticker_queue.empty()


@pytest.mark.parametrize("way", ["full", "raises", "closed", "capacity_1"])
async def test_one_bad_observer_harms_no_other(run_stream, way):
    class Raising:
        def put_nowait(self, item):
            raise RuntimeError("observer's error")

    async with RawServer() as venue:
        bad, good, mixed = Rings(capacity=1), Rings(), Observer()
        if way == "full":
            bad.ticker_queue = asyncio.Queue(1)
        elif way == "raises":
            bad.ticker_queue = Raising()
        elif way == "closed":
            bad.ticker_queue.close()
        stream, _ = await started(run_stream, venue, bad)
        stream.bind_observer(good)
        stream.bind_observer(mixed)
        venue.send(b"".join(text(quote(number)) for number in range(50)))
        assert [ticker.seq for ticker in await good.take(50)] == list(range(50))
        assert [ticker.seq for ticker in mixed.of(Ticker)] == list(range(50))
        dropped = {"full": 49, "raises": 50, "closed": 0, "capacity_1": 0}[way]
        assert stream.stats["ticker"]["dropped"] == [dropped, 0, 0]
        if way in ("closed", "capacity_1"):
            assert bad.ticker_queue.stats["dropped"] == (50 if way == "closed" else 49)


async def test_latency_shows_in_the_stats_of_the_native_way(run_stream, client):
    async with RawServer() as venue:
        observer = Rings(Trade)
        stream, _ = await started(run_stream, venue, observer, subscribe_channels=["trade"])
        venue.send(text(json.dumps(binance_trade(1)).encode()))
        assert len(await observer.take(1)) == 1
        latency = stream.stats["trade"]["latency"]
        hops = {"venue_to_socket", "socket_to_parse", "parse_to_ring"} if client == "picows" else set()
        assert set(latency) == hops
        for hop in ("socket_to_parse", "parse_to_ring") if latency else ():
            assert latency[hop]["count"] == 1 and 0 < latency[hop]["p50_ns"] <= latency[hop]["max_ns"] < 10**10


async def test_frames_that_only_the_protocol_forbids_end_the_connection(run_stream):
    async with RawServer() as venue:
        await started(run_stream, venue, Rings())
        venue.send(frame(3, b"reserved opcode"))
        await venue.until(lambda: len(venue.connections) == 2)


async def test_sending_on_a_closed_connection_is_an_error(client):
    closed = asyncio.Event()
    async with RawServer() as venue:
        opened = await connect(venue.url, lambda data: None, lambda code, reason: closed.set(), client)
        await opened.send("hello")
        await venue.until(lambda: venue.of(TEXT) == [b"hello"])
        venue.connections[0].transport.abort()
        await asyncio.wait_for(closed.wait(), 20)
        with pytest.raises(ConnectionError):
            await opened.send("again")
        opened.attach(None)
        await opened.close()
        await opened.close()


async def test_peer_that_goes_away_before_it_answers(client):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ConnectError, match="no connection to ws://127"):
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", print, print, client)


async def test_the_compiled_listener_is_the_usual_one():
    assert hftcore.picows_version.picows_complaint() == ""
    assert client_module._NATIVE_LISTENER.__name__ == "FeedListener"


@pytest.mark.parametrize(
    ("found", "message"),
    [("9.9.9", "needs picows 2.3.1, installed is 9.9.9"), (None, "picows is not installed, the native listener needs")],
)
def test_another_picows_is_not_trusted(monkeypatch, caplog, found, message):
    def version(name):
        if found is None:
            raise hftcore.picows_version.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(hftcore.picows_version, "version", version)
    with caplog.at_level(logging.WARNING, "hftpy.exchange"):
        assert client_module._load_native_listener() is None
    assert message in caplog.text


def test_a_build_without_the_listener_is_told(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "hftcore.ws_listener", None)
    with caplog.at_level(logging.WARNING, "hftpy.exchange"):
        assert client_module._load_native_listener() is None
    assert "hftcore.ws_listener cannot be imported" in caplog.text


async def test_deflate_needs_the_client_that_can(client):
    if client == "websockets":
        with pytest.raises(ConnectError):
            await connect("ws://127.0.0.1:1", print, print, client, deflate=True)
    else:
        with pytest.raises(ValueError, match="client must be websockets for permessage-deflate, was 'picows'"):
            await connect("ws://127.0.0.1:1", print, print, client, deflate=True)


async def test_pairs_of_several_connections_reach_one_ring(run_stream):
    pairs = [f"c{index}/usdt" for index in range(1030)]
    async with RawServer() as venue:
        observer, late = Rings(), Observer()
        stream, _ = run_stream("binance", venue, observer, currency_pairs=pairs)
        await venue.until(lambda: len(venue.connections) == 2 and len(venue.of(TEXT)) >= 2)
        stream.bind_observer(late)
        for number, writer in enumerate(venue.connections):
            for symbol in ("C0USDT", "C1029USDT", "NOBODYUSDT"):
                message = json.dumps(book_ticker(number + 1, symbol), separators=(",", ":"))
                writer.write(text(message.encode()))
        # Each connection delivers its own pairs and no others.
        found = await observer.take(2)
        assert {str(ticker.symbol) for ticker in found} == {"c0/usdt", "c1029/usdt"}
        await late.count(2, Ticker)
        async with asyncio.timeout(20):
            while stream.stats["ticker"]["unwanted"] < 4:
                await asyncio.sleep(0.01)
        stats = stream.stats["ticker"]
        assert (stats["frames"], stats["events"], stats["unwanted"]) == (6, 2, 4)
        await stream.stop()
        assert stream.stats["ticker"]["frames"] == 6
