"""The feed's own promises; that it does what the Python path does is the business of test_feed_differential.py."""

import asyncio
import gc
import time
import weakref

import pytest

from hftcore.enums import Exchange
from hftcore.errors import RingClosed
from hftcore.feed import Feed
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair, register_instruments
from hftcore.types import Ticker, Trade
from hftcore.watch import SilenceWatch


@pytest.fixture(autouse=True)
def instruments():
    register_instruments(Exchange.BINANCE, {"BTCUSDT": "btc/usdt", "ETHUSDT": "eth/usdt"})


def quote(update: int, symbol: str = "BTCUSDT", bid: float = 100.5) -> bytes:
    return (
        b'{"stream":"%b@bookTicker","data":{"u":%d,"s":"%b","b":"%b","B":"1.50000000","a":"200.25000000",'
        b'"A":"2.50000000"}}' % (symbol.lower().encode(), update, symbol.encode(), b"%.8f" % bid)
    )


def trade(number: int, symbol: str = "BTCUSDT", ms: int | None = None) -> bytes:
    ms = 1790000000000 + number if ms is None else ms
    return (
        b'{"stream":"%b@trade","data":{"e":"trade","E":%d,"s":"%b","t":%d,"p":"100.10000000","q":"0.50000000",'
        b'"T":%d,"m":true,"M":true}}' % (symbol.lower().encode(), ms, symbol.encode(), number, ms)
    )


def ticker_feed(**settings):
    return Feed("binance", Ticker, ["btc/usdt", "eth/usdt"], **({"tickers": "newest"} | settings))


def trade_feed(**settings):
    return Feed("binance", Trade, ["btc/usdt", "eth/usdt"], **({"trades": "by_one"} | settings))


class Sink:
    def __init__(self) -> None:
        self.items = []
        self.errors = []

    def put_nowait(self, item) -> None:
        self.items.append(item)

    def failed(self, error) -> None:
        self.errors.append(error)


def bound(feed, queue):
    feed.bind(queue)
    return queue


def test_struct_and_object_are_the_same():
    feed = ticker_feed()
    ring, sink = bound(feed, Ring(Ticker, 64)), bound(feed, Sink())
    before = time.time_ns()
    feed.feed(quote(5))
    after = time.time_ns()
    found = ring.get_nowait()
    assert found == sink.items[0]
    assert (found.seq, found.bidPrice, found.symbol, str(found.exchange)) == (5, 100.5, "btc/usdt", "binance")
    assert before <= found.localTimeNs <= after
    assert feed.templateHits == 1


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_contiguous_bytes(wrap):
    feed = ticker_feed()
    ring = bound(feed, Ring(Ticker, 64))
    feed.feed(wrap(quote(5)))
    assert ring.get_nowait().seq == 5


def test_no_bytes_are_refused():
    feed = ticker_feed()
    with pytest.raises(TypeError):
        feed.feed("text")
    with pytest.raises(TypeError, match="frame must be bytes, was str"):
        feed.feed_all([quote(1), "text"])
    assert feed.take_counts()["events"] == 1


def test_outdated_unwanted_and_other_kinds_are_counted():
    feed = ticker_feed()
    ring = bound(feed, Ring(Ticker, 64))
    for frame in (quote(10), quote(12), quote(11), quote(12), quote(1, "ETHUSDT"), quote(9, "LTCUSDT"), trade(1)):
        feed.feed(frame)
    assert [ticker.seq for ticker in ring.get_batch()] == [10, 12, 12, 1]
    assert feed.take_counts() == {"frames": 7, "events": 4, "duplicates": 0, "outdated": 1, "unwanted": 2}
    assert set(feed.take_counts().values()) == {0}
    feed.reset()
    feed.feed(quote(3))
    assert ring.get_nowait().seq == 3


def test_gap_comes_before_the_next_trade_and_is_exact():
    log = []
    feed = trade_feed(on_gap=lambda *gap: log.append(gap))

    class Log(Sink):
        def put_nowait(self, item):
            log.append(item.tradeId)

    feed.bind(Log())
    for number in (7, 8, 8, 12, 11):
        feed.feed(trade(number))
    feed.feed(trade(3, ms=1790000000099))
    pair = CurrencyPair("btc/usdt")
    assert log == [7, 8, (pair, "trade ids", 3), 12, (pair, "trade ids started anew", None), 3]
    assert feed.take_counts()["duplicates"] == 2
    assert feed.counting


def test_rising_numbers_may_be_left_out():
    gaps = []
    feed = trade_feed(trades="rising", on_gap=lambda *gap: gaps.append(gap))
    ring = bound(feed, Ring(Trade, 64))
    for number in (7, 9, 9, 20):
        feed.feed(trade(number))
    assert [item.tradeId for item in ring.get_batch()] == [7, 9, 20]
    assert not gaps


def test_numbers_of_64_bits_do_not_wrap():
    gaps = []
    feed = trade_feed(on_gap=lambda *gap: gaps.append(gap[2]))
    ring = bound(feed, Ring(Trade, 64))
    for number in (1, 2**63 - 1):
        feed.feed(trade(number, ms=1790000000000))
    assert gaps == [2**63 - 3]
    assert len(ring.get_batch()) == 2


def test_frames_without_events_go_out_as_bytes():
    frames = []
    feed = ticker_feed(on_frame=frames.append)
    bound(feed, Ring(Ticker, 64))
    odd = [b'{"result":null,"id":1}', b"no json", b"", b'{"data":{"s":"BTCUSDT","u":1}}', b"\xff\xfe", b"{" * 4000]
    for frame in odd:
        feed.feed(frame)
    assert frames == odd
    assert feed.take_counts() == {"frames": 0, "events": 0, "duplicates": 0, "outdated": 0, "unwanted": 0}


def test_symbol_that_is_no_pair_goes_out_as_bytes():
    frames = []
    feed = ticker_feed(on_frame=frames.append)
    ring = bound(feed, Ring(Ticker, 64))
    odd = quote(1, "QQQQQQ")
    feed.feed(odd)
    feed.feed(quote(2))
    assert frames == [odd]
    assert [ticker.seq for ticker in ring.get_batch()] == [2]


def test_instruments_that_change_are_read_anew():
    feed = Feed("binance", Ticker, ["btc/usdt", "abc/def"])
    ring = bound(feed, Ring(Ticker, 64))
    feed.feed(quote(1))
    register_instruments(Exchange.BINANCE, {"ABCDEF": "abc/def"})
    feed.feed(quote(2, "ABCDEF"))
    assert [str(ticker.symbol) for ticker in ring.get_batch()] == ["btc/usdt", "abc/def"]


def test_sinks_do_not_touch_each_other():
    class Broken(Sink):
        def put_nowait(self, item):
            raise RuntimeError("broken")

    feed = ticker_feed()
    broken, full, sink = Broken(), asyncio.Queue(1), Sink()
    halted, newest, closed = Ring(Ticker, 1, "halt"), Ring(Ticker, 1, "drop_newest"), Ring(Ticker, 2)
    last, good, errors = Ring(Ticker, 1), Ring(Ticker, 64), []
    for queue in (broken, full, halted, newest, closed, last, sink, good):
        feed.bind(queue, lambda error, queue=queue: errors.append((queue, type(error))))
    closed.close()
    for update in (1, 2, 3):
        feed.feed(quote(update))
    assert [ticker.seq for ticker in good.get_batch()] == [ticker.seq for ticker in sink.items] == [1, 2, 3]
    assert last.get_nowait().seq == 3 and last.stats["dropped"] == 2
    assert newest.get_nowait().seq == halted.get_nowait().seq == full.get_nowait().seq == 1
    assert newest.stats["dropped"] == halted.stats["dropped"] == 2
    assert closed.empty() and closed.stats["dropped"] == 3
    full_errors = [(full, asyncio.QueueFull)] * 2 + [(halted, asyncio.QueueFull)] * 2
    assert sorted(errors, key=str) == sorted([(broken, RuntimeError)] * 3 + full_errors, key=str)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "halt"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_full_ring_does_what_its_policy_says_alone_or_beside_others(overflow, others):
    feed, ring, errors = trade_feed(), Ring(Trade, 4, overflow), []
    feed.bind(ring, errors.append)
    sinks = [bound(feed, Sink()) for _ in range(others)]
    feed.feed_all([trade(number) for number in range(1, 11)])
    kept = [7, 8, 9, 10] if overflow == "drop_oldest" else [1, 2, 3, 4]
    assert [item.tradeId for item in ring.get_batch()] == kept
    assert ring.stats["dropped"] == 6
    assert [str(error) for error in errors] == (
        ["ring of 4 items is halted: it was full; take, then reset"] * 6 if overflow == "halt" else []
    )
    assert all(len(sink.items) == 10 for sink in sinks)


def test_a_ring_that_was_lapped_is_drained_whole():
    feed, ring, got = ticker_feed(), Ring(Ticker, 8), []
    feed.bind(ring)
    for first in (1, 101, 201):
        feed.feed_all([quote(first + number) for number in range(50)])
        assert ring.drain(lambda item: got.append(item.seq)) == 8
    assert got == [*range(43, 51), *range(143, 151), *range(243, 251)]
    assert ring.stats["dropped"] == 126 and ring.stats["popped"] == 24


def test_ring_of_the_other_kind_is_told_and_counted():
    feed, errors, sink = ticker_feed(), [], Sink()
    feed.bind(Ring(Trade, 4), errors.append)
    feed.bind(sink)
    feed.feed(quote(1))
    assert [type(error) for error in errors] == [TypeError]
    assert len(sink.items) == 1


def test_sink_bound_later_gets_what_comes_then():
    feed = ticker_feed()
    first = bound(feed, Ring(Ticker, 64))
    feed.feed(quote(1))
    second = bound(feed, Ring(Ticker, 64))
    feed.feed(quote(2))
    assert [ticker.seq for ticker in first.get_batch()] == [1, 2]
    assert [ticker.seq for ticker in second.get_batch()] == [2]


def test_sink_that_binds_another_while_it_is_served():
    feed, late = ticker_feed(), Ring(Ticker, 64)

    class Binding(Sink):
        def put_nowait(self, item):
            if item.seq == 1:
                feed.bind(late)

    feed.bind(Binding())
    for update in (1, 2):
        feed.feed(quote(update))
    assert [ticker.seq for ticker in late.get_batch()][-1] == 2


def test_burst_shares_its_time_of_receipt():
    feed = ticker_feed()
    ring = bound(feed, Ring(Ticker, 64))
    feed.feed(quote(1), False)
    feed.feed(quote(2), False)
    feed.flush()
    feed.feed_all([quote(3), quote(4)])
    times = [ticker.localTimeNs for ticker in ring.get_batch()]
    assert times[0] == times[1] < times[2] == times[3]


async def test_consumer_wakes_once_per_batch():
    feed = ticker_feed()
    ring = bound(feed, Ring(Ticker, 64))
    batches = []

    async def consume():
        while True:
            try:
                await ring.wait()
            except RingClosed:
                return
            batches.append(len(ring.get_batch()))

    task = asyncio.create_task(consume())
    await asyncio.sleep(0)
    for update in range(5):
        feed.feed(quote(update), False)
    for _ in range(3):
        await asyncio.sleep(0)
    assert batches == []
    feed.flush()
    for _ in range(3):
        await asyncio.sleep(0)
    assert batches == [5]
    ring.close()
    await task


def test_drain_is_called_in_the_feeds_own_call():
    feed, seen, errors = ticker_feed(), [], []
    ring = bound(feed, Ring(Ticker, 64))
    feed.on_error = errors.append

    def take(ticker):
        seen.append(ticker.seq)
        if ticker.seq == 2:
            raise RuntimeError("user's error")

    feed.drain(ring, take)
    feed.feed_all([quote(update) for update in range(1, 5)])
    assert seen == [1, 2, 3, 4]
    assert [str(error) for error in errors] == ["user's error"]
    assert ring.empty()


def test_drain_without_anybody_to_tell_errors():
    feed = ticker_feed()
    ring, calls = bound(feed, Ring(Ticker, 64)), []

    def take(ticker):
        calls.append(ticker.seq)
        raise RuntimeError

    feed.drain(ring, take)
    feed.feed_all([quote(1), quote(2)])
    assert calls == [1, 2]


@pytest.mark.parametrize("capacity", [1, 2, 64, 4096])
def test_drain_keeps_a_flood_from_filling_the_ring(capacity):
    feed, seen = ticker_feed(), []
    ring = bound(feed, Ring(Ticker, capacity))
    feed.drain(ring, lambda ticker: seen.append(ticker.seq))
    feed.feed_all([quote(update) for update in range(1, 10_001)])
    assert seen == list(range(1, 10_001))
    assert ring.stats["dropped"] == 0


def test_drain_reaches_into_one_long_frame():
    rows = b",".join(
        b'{"symbol":"BTC/USD","side":"buy","price":%d.5,"qty":0.25,"ord_type":"limit","trade_id":%d,'
        b'"timestamp":"2026-11-20T10:00:00.000001Z"}' % (number, number)
        for number in range(1, 1001)
    )
    feed, seen = Feed("kraken", Trade, ["btc/usd"], trades="by_one"), []
    ring = bound(feed, Ring(Trade, 16))
    feed.drain(ring, lambda trade: seen.append(trade.tradeId))
    feed.feed(b'{"channel":"trade","type":"snapshot","data":[%b]}' % rows)
    assert seen == list(range(1, 1001))


def test_callback_after_each_batch_that_delivered():
    feed, calls = ticker_feed(on_frame=lambda frame: None), []
    bound(feed, Ring(Ticker, 64))
    feed.on_batch(lambda: calls.append(1))
    feed.feed(b'{"result":null,"id":1}')
    feed.flush()
    assert not calls
    feed.feed_all([quote(1), quote(2)])
    feed.feed(quote(3))
    feed.feed(quote(1))  # outdated
    assert calls == [1, 1]


def test_a_callback_must_be_one():
    feed = ticker_feed()
    with pytest.raises(TypeError, match="callback must be callable, was 5"):
        feed.drain(Ring(Ticker, 2), 5)
    with pytest.raises(TypeError, match="callback must be callable, was None"):
        feed.on_batch(None)
    with pytest.raises(TypeError):
        feed.drain(asyncio.Queue(), print)


@pytest.mark.parametrize("way", ["sink", "drain", "batch", "frame"])
def test_feeding_from_within_is_refused_and_harms_nothing(way):
    feed, errors = ticker_feed(), []
    ring = bound(feed, Ring(Ticker, 64))

    def again(*_):
        try:
            feed.feed(quote(99))
        except RuntimeError as error:
            errors.append(str(error))

    if way == "sink":
        sink = Sink()
        sink.put_nowait = again
        feed.bind(sink)
    elif way == "drain":
        other = bound(feed, Ring(Ticker, 64))
        feed.drain(other, again)
    elif way == "batch":
        feed.on_batch(again)
    else:
        feed.on_frame = again
        feed.feed(b"[]")
    feed.feed(quote(1))
    assert errors == ["a feed must not be called from within its own sinks and callbacks"]
    assert [ticker.seq for ticker in ring.get_batch()] == [1]
    feed.feed(quote(2))
    assert ring.get_nowait().seq == 2


def test_hooks_that_raise_lose_nothing():
    errors = []
    feed = trade_feed(on_error=errors.append)
    ring = bound(feed, Ring(Trade, 64))

    def broken(*_):
        raise RuntimeError("hook")

    feed.on_gap = feed.on_frame = feed.on_handled = broken
    for frame in (trade(1), b"[]", trade(5)):
        feed.feed(frame)
    assert [item.tradeId for item in ring.get_batch()] == [1, 5]
    assert len(errors) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("binance", int, ["btc/usdt"], {}), TypeError, "kind must be Ticker or Trade"),
        (("sim", Ticker, ["btc/usdt"], {}), ValueError, "exchange must be"),
        (("binance", Ticker, ["nopair"], {}), ValueError, "a currency pair must read"),
        (("binance", Ticker, [], {"tickers": "old"}), ValueError, "tickers must be one of .*newest_or_anew, was 'old'"),
        (("binance", Trade, [], {"trades": "x"}), ValueError, "trades must be one of all, by_one, rising, was 'x'"),
        (("binance", Trade, [], {"number": "id"}), ValueError, "number must be one of tradeId, seq, was 'id'"),
    ],
)
def test_bad_arguments_name_the_value(arguments, error, message):
    *positional, settings = arguments
    with pytest.raises(error, match=message):
        Feed(*positional, **settings)


def test_many_symbols():
    pairs = [f"c{index}/usdt" for index in range(10_000)]
    register_instruments(Exchange.BINANCE, {f"C{index}USDT": pair for index, pair in enumerate(pairs)})
    feed = Feed("binance", Ticker, pairs)
    ring = bound(feed, Ring(Ticker, 16384))
    feed.feed_all([quote(index, f"C{index}USDT") for index in range(10_000)])
    assert [str(ticker.symbol) for ticker in ring.get_batch()] == pairs


def test_latency_of_each_hop_is_recorded():
    feed, shared = trade_feed(), {}
    other = trade_feed()
    feed.share_latency(shared)
    other.share_latency(shared)
    bound(feed, Ring(Trade, 64))
    bound(other, Ring(Trade, 64))
    feed.feed(trade(1, ms=time.time_ns() // 1_000_000 - 1000))
    other.feed(trade(1, ms=time.time_ns() // 1_000_000 - 1000))
    other.feed(trade(2, ms=1))  # history
    assert {hop: histogram.count for hop, histogram in shared.items()} == {
        "venue_to_socket": 2, "socket_to_parse": 3, "parse_to_ring": 3,
    }  # fmt: skip
    assert shared["venue_to_socket"].percentile(50) >= 900_000_000


def test_watch_knows_who_was_heard_of():
    watch = SilenceWatch()
    feed = ticker_feed(watch=watch)
    bound(feed, Ring(Ticker, 64))
    watch.connected()
    assert watch.oldest_s is None
    watch.begin(["btc/usdt", "eth/usdt"])
    started = watch.last_event_s
    time.sleep(0.02)
    feed.feed(quote(1))
    now = time.monotonic()
    assert started < watch.last_event_s == watch.last_frame_s <= now
    assert watch.oldest_s == started
    assert watch.newly_stale(started + 5, 5.0) == [("eth/usdt", pytest.approx(5.0))]
    assert watch.newly_stale(started + 5, 5.0) == []
    assert watch.oldest_s == watch.last_event_s
    feed.feed(quote(2, "ETHUSDT"))
    assert [pair for pair, _ in watch.newly_stale(now + 100, 5.0)] == ["btc/usdt", "eth/usdt"]
    watch.frame_seen()
    watch.event_seen("ltc/usdt")
    assert [pair for pair, _ in watch.newly_stale(now + 100, 5.0)] == ["ltc/usdt"]


def test_patience_ends_with_news_and_not_with_history():
    watch = SilenceWatch()
    watch.silence_factor = 8
    watch.event_seen("btc/usdt", 1)
    assert watch.silence_factor == 8
    watch.event_seen("btc/usdt", 0)
    assert watch.silence_factor == 1


def test_feed_lets_go_of_its_sinks():
    class Owner:
        def __init__(self):
            self.feed = ticker_feed(on_frame=self.take)
            self.feed.bind(self)

        def take(self, frame):
            pass

        put_nowait = take

    owner = Owner()
    owner.feed.feed(quote(1))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
