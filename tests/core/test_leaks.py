"""Memory stays flat over many rounds of everything that the core makes and gives back, its errors included."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hftcore import codec
from hftcore.book import OrderBook
from hftcore.enums import Channel
from hftcore.errors import ParseError, SegmentError
from hftcore.latency import LatencyHistogram
from hftcore.parse import Parser
from hftcore.ring import Ring
from hftcore.shm import ShmReader, ShmWriter
from hftcore.strategy import NativeStrategy
from hftcore.symbols import CurrencyPair
from hftcore.topic import PrefixFilter
from hftcore.types import Ticker, Trade, tickers_from_array
from hftpy.exchange.kraken_market import KrakenMarketProtocol

pytestmark = pytest.mark.leak

# What one round may leave in a hundred rounds: nothing; but caches and freed arenas move by some kilobytes.
TRACED_SLACK = 8_000
RSS_SLACK = 3_000_000

TICKER = (
    b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.1,"bid_qty":0.25,"ask":64001.2,'
    b'"ask_qty":12.5}]}'
)
GENERAL = TICKER.replace(b'"bid":64001.1', b'"bid" : "64001.1"')
TRADES = (
    b'{"channel":"trade","type":"snapshot","data":['
    + b",".join(
        b'{"symbol":"SOL/EUR","side":"buy","price":150.25,"qty":2.0,"ord_type":"limit","trade_id":%d,'
        b'"timestamp":"2026-03-01T12:30:45.123456Z"}' % number
        for number in range(50)
    )
    + b"]}"
)
BROKEN = (b"{", b"", b"\xff\xfe", b"[" * 100, TICKER[:-1], TICKER.replace(b"64001.1", b"-1"),
          TICKER.replace(b"BTC/USD", b"x" * 5000), TICKER.replace(b'"ask"', b'"bid"'))  # fmt: skip


def grown(round_of_work: Callable[[], object], rounds: int, warm: int) -> tuple[int, int]:
    """How many bytes `rounds` rounds left behind: what Python counts, and what the process holds."""
    process = psutil.Process()
    tracemalloc.start()
    try:
        for _ in range(warm):
            round_of_work()
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]
        held = process.memory_info().rss
        for _ in range(rounds):
            round_of_work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - traced, process.memory_info().rss - held
    finally:
        tracemalloc.stop()


def assert_flat(round_of_work: Callable[[], object], rounds: int = 100, warm: int = 30) -> None:
    traced, held = grown(round_of_work, rounds, warm)
    assert traced < TRACED_SLACK, f"{traced} bytes of Python's after {rounds} rounds"
    assert held < RSS_SLACK, f"{held} bytes of the process after {rounds} rounds"


def test_a_leak_is_seen():
    kept: list[bytes] = []
    traced, _ = grown(lambda: kept.append(bytes(1000)), rounds=100, warm=1)
    assert traced > 90_000
    with pytest.raises(AssertionError, match="bytes of Python's"):
        assert_flat(lambda: kept.append(bytes(1000)))


def test_a_native_leak_is_seen():
    kept: list[Ring] = []  # its slots are malloc'ed where tracemalloc does not look
    with pytest.raises(AssertionError):
        assert_flat(lambda: kept.append(Ring(Ticker, 4096)), rounds=60, warm=2)


def parse_all() -> None:
    parser = Parser("kraken")
    for frame in (TICKER, GENERAL, TRADES):
        for _ in range(20):
            parser.parse(frame)
            _ = parser.kind, parser.nativeSymbols, parser.templateHits


def test_parsers_and_their_events():
    assert_flat(parse_all)


def test_one_parser_and_events_that_are_kept_for_a_while():
    parser = Parser("kraken")
    kept: list[list[Ticker | Trade]] = []

    def work() -> None:
        for frame in (TICKER, TRADES, GENERAL) * 10:
            kept.append(parser.parse(frame))
            del kept[:-7]

    assert_flat(work)


def test_parse_errors():
    parser = Parser("kraken")

    def work() -> None:
        for frame in BROKEN:
            with pytest.raises(ParseError) as caught:
                parser.parse(frame)
            assert str(caught.value)
        for junk in (None, 1, "text"):
            with pytest.raises(TypeError):
                parser.parse(junk)  # type: ignore[arg-type]

    assert_flat(work, rounds=60)


def test_huge_frames():
    huge = b'{"channel":"x","pad":"' + b"a" * (2 << 20) + b'"}'

    def work() -> None:
        parser = Parser("kraken")
        for _ in range(2):
            parser.parse(huge)
            parser.parse(GENERAL)

    assert_flat(work, rounds=15, warm=5)


def test_rings():
    ticker = Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=1.5, askPrice=2.5)

    def work() -> None:
        for overflow in ("drop_oldest", "drop_newest", "halt"):
            ring = Ring(Ticker, 64, overflow=overflow)
            for _ in range(100):
                ring.put_nowait(ticker) if not ring.full() else ring.get_nowait()
            ring.get_batch()
            with pytest.raises(asyncio.QueueEmpty):
                ring.get_nowait()
        with pytest.raises(ValueError):
            Ring(Ticker, 3)

    assert_flat(work)


def test_types():
    def work() -> None:
        tickers = [Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=float(n), seq=n) for n in range(50)]
        blob = b"".join(ticker.to_bytes() for ticker in tickers)
        assert list(tickers_from_array(blob)) == tickers
        for ticker in tickers:
            _ = repr(ticker), hash(ticker), ticker.to_dict(), ticker.symbol, ticker.timestamp
        Trade(exchange="okx", symbol="BTC/USDT", price=1.0, volume=2.0, side="buy")
        for wrong in ({"symbol": ""}, {"exchange": "nowhere"}, {"nonsense": 1}):
            with pytest.raises((ValueError, TypeError)):
                Ticker(**({"exchange": "kraken", "symbol": "BTC/USDT"} | wrong))

    assert_flat(work)


def test_codec():
    ticker = Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=1.5, askPrice=2.5)

    def work() -> None:
        for seq in range(50):
            message = codec.encode_ticker(ticker, seq, 7)
            codec.decode_ticker(message)
        for broken in (b"\xff" * 12, message[:-1], b"\x2a\x02\xff\xff"):
            with pytest.raises(ParseError):
                codec.decode_ticker(broken)

    assert_flat(work)


def test_topics_and_filters():
    def work() -> None:
        found = PrefixFilter()
        for number in range(200):
            found.add(b"topic%d" % number)
        assert found.match(b"topic7.start")
        for number in range(200):
            found.remove(b"topic%d" % number)

    assert_flat(work)


def test_symbols_that_are_known():
    def work() -> None:
        for _ in range(50):
            assert CurrencyPair("btc/usdt") is CurrencyPair("BTC-USDT")
            for wrong in ("", "/", "btc", "a b/c"):
                with pytest.raises(ValueError):
                    CurrencyPair(wrong)

    assert_flat(work, rounds=20, warm=10)


def test_histograms():
    def work() -> None:
        histogram = LatencyHistogram()
        for duration in range(0, 100_000, 997):
            histogram.record(duration)
        _ = histogram.percentile(99), histogram.to_dict()

    assert_flat(work)


def test_publisher_and_subscriber(root: Path):
    """Sockets opened and closed, and messages that nobody takes."""
    from hftpy.ipc import IPCPublisher, IPCSubscriber

    def work() -> None:
        async def life() -> None:
            publisher = IPCPublisher(root=root)
            for number in range(20):
                publisher.send_ticker(
                    exchange="kraken", symbol="BTC/USDT", bid_price=1.0, bid_volume=1.0, ask_price=2.0,
                    ask_volume=number,
                )
            IPCSubscriber([("kraken", "ticker", ["btc/usdt"])], root=root).stop()
            publisher.close()

        asyncio.run(life())

    assert_flat(work, rounds=15, warm=8)


def test_shared_memory_opened_lapped_and_closed(tmp_path: Path):
    tmp_path.chmod(0o700)
    path = tmp_path / "kraken.ticker.shm"
    ticker = Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=1.5)

    def work() -> None:
        writer = ShmWriter(path, Ticker, exchange="kraken", capacity=64, max_symbols=8)
        readers = [ShmReader(path, Ticker) for _ in range(3)]
        with pytest.raises(SegmentError):
            ShmReader(path, Trade)
        for _ in range(200):
            writer.put(ticker)
        writer.put_event(b"an event")
        for reader in readers:
            assert reader.get_batch()
            assert reader.stats["lost"] > 0
            reader.close()
        writer.close()

    assert_flat(work)


def test_strategies_and_their_rings():
    ticker = Ticker(exchange="kraken", symbol="BTC/USDT", bidPrice=1.5)

    def work() -> None:
        for _ in range(20):
            strategy, ring = NativeStrategy(), Ring(Ticker, 64)
            for _ in range(64):
                ring.put_nowait(ticker)
            assert strategy.drain(ring, 10) == 10
            strategy.dispatch(ring)
            with pytest.raises(ValueError, match="limit must be"):
                strategy.drain(ring, 0)
            assert strategy.tickers == 64

    assert_flat(work)


def test_what_reads_a_venues_frames():
    """A connection's protocol: its requests, tickers and trades by frames, and its end."""

    def work() -> None:
        for channel, frame in ((Channel.TICKER, TICKER), (Channel.TRADE, TRADES)):
            protocol = KrakenMarketProtocol(channel, [CurrencyPair("btc/usd"), CurrencyPair("sol/eur")], {})
            assert protocol.open()
            for _ in range(10):
                protocol.receive(frame, 1)

    # Up to 1024 objects of each kind are kept to be used again, which count as held: they come first.
    assert_flat(work, warm=2_000)


def test_books_and_their_snapshots():
    def work() -> None:
        book = OrderBook("kraken", "btc/usd", depth=25)
        book.apply_snapshot([(str(100 - n), "1" * 40) for n in range(40)], [(str(101 + n), "2") for n in range(40)])
        kept = [book.snapshot(levels) for levels in (1, 2, 20, 256)]
        assert kept[2].bidsPrice.sum() > 0
        with pytest.raises(ValueError, match="'x'"):
            book.apply([("x", "1")], [])

    assert_flat(work)
