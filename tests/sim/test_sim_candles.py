"""Klines and funding of the simulated venue: made of the market's own trades, and read by the streams."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import connect

from hftcore.enums import Side
from hftpy.common import CurrencyPair, Flag, Funding, Gap, Kline, Trade
from hftpy.exchange import get_exchange_stream
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim.candles import INTERVALS, WEEK_S, Candle, CandleBook, KlineFeed, funding_terms, opening_ns
from hftpy.sim.market import Instrument, MarketTrade

PAIR = CurrencyPair("btc/usdt")
SECOND_NS = 10**9
BEGIN_S = 1_790_000_000
KLINE_VENUES = ("binance", "binance_future", "okx", "okx_swap", "kraken", "coinbase")
FUNDING_VENUES = ("binance_future", "okx_swap", "kraken_future")


class Clock:
    """The time of a market, which runs as fast as a test wants, or by hand."""

    def __init__(self, speed: float = 0.0) -> None:
        self.ns = BEGIN_S * SECOND_NS
        self._speed = speed
        self._began = time.monotonic()

    def __call__(self) -> int:
        return self.ns + int((time.monotonic() - self._began) * self._speed * SECOND_NS)


def trade(number: int, time_ns: int, price: str, amount: str = "1", side: Side = Side.BUY) -> MarketTrade:
    return MarketTrade(PAIR, side, Decimal(price), Decimal(amount), number, time_ns, True)


def slow_candle(trades: list[MarketTrade], opens: int, interval_s: int) -> Candle | None:
    """The candle of the trades that stand in an interval, the obvious way."""
    inside = [item for item in trades if opens <= item.time_ns < opens + interval_s * SECOND_NS]
    if not inside:
        return None
    prices, bought = [item.price for item in inside], [item for item in inside if item.side is Side.BUY]
    return Candle(
        opens, interval_s, prices[0], max(prices), min(prices), prices[-1], sum((t.amount for t in inside), Decimal(0)),
        sum((t.amount * t.price for t in inside), Decimal(0)), sum((t.amount for t in bought), Decimal(0)),
        sum((t.amount * t.price for t in bought), Decimal(0)), len(inside), inside[0].trade_id, inside[-1].trade_id,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_candles_against_a_slow_model(seed: int) -> None:
    rng = random.Random(seed)
    book, trades, now = CandleBook(), [], BEGIN_S * SECOND_NS + rng.randrange(WEEK_S * SECOND_NS)
    start = Decimal("100")
    for number in range(1, 400):
        now += rng.choice((1, 10**6, 3 * 10**8, 10**9, 40 * 10**9, 4000 * 10**9, 90_000 * 10**9))
        if rng.random() < 0.8:
            price = str(Decimal(rng.randint(9000, 11000)) / 100)
            trades.append(trade(number, now, price, str(rng.randint(1, 99)), rng.choice((Side.BUY, Side.SELL))))
            book.add(trades[-1])
            continue
        interval_s = rng.choice(INTERVALS)
        opens = opening_ns(now, interval_s)
        wanted = slow_candle(trades, opens, interval_s)
        last = trades[-1].price if trades else start
        assert book.current(interval_s, now, start) == (wanted or Candle.flat(opens, interval_s, last)), seed
        begins = sorted({opening_ns(item.time_ns, interval_s) for item in trades} - {opens})
        history = book.history(interval_s, now)
        if interval_s >= 60:
            assert history == [slow_candle(trades, begin, interval_s) for begin in begins[-50:]], seed


def test_intervals_begin_where_the_venues_begin_them() -> None:
    moment = BEGIN_S * SECOND_NS  # Monday, 2026-09-21T14:13:20Z
    assert opening_ns(moment, 60) == (BEGIN_S - 20) * SECOND_NS
    assert opening_ns(moment, 86400) == (BEGIN_S - 14 * 3600 - 13 * 60 - 20) * SECOND_NS
    assert opening_ns(moment, WEEK_S) == opening_ns(moment, 86400)
    assert opening_ns(moment - 86400 * SECOND_NS, WEEK_S) == opening_ns(moment, WEEK_S) - WEEK_S * SECOND_NS


def feed_of(fills: bool, period_s: float) -> tuple[SyntheticMarket, Clock, KlineFeed, list[tuple[int, int, bool]]]:
    clock, shown = Clock(), []
    market = SyntheticMarket([PAIR], clock_ns=clock)
    market.started.set()
    feed = KlineFeed(
        market, lambda _, candle, over: shown.append((candle.open_ns // SECOND_NS - BEGIN_S, candle.count, over)),
        period_s=period_s, fills=fills,
    )  # fmt: skip
    return market, clock, feed, shown


def test_each_candle_is_closed_once_and_empty_ones_are_filled() -> None:
    _, clock, feed, shown = feed_of(fills=True, period_s=0.25)
    feed.watch(PAIR, 60)
    assert feed.watch(PAIR, 60).open_ns == (BEGIN_S - 20) * SECOND_NS
    feed.take(trade(1, clock.ns, "10"))
    feed.tick()
    assert shown == [(-20, 1, False)]
    feed.tick()
    assert len(shown) == 1  # nothing is new
    clock.ns += 160 * SECOND_NS
    feed.take(trade(2, clock.ns, "11"))
    assert shown[1:] == [(-20, 1, True), (40, 0, True), (100, 0, True)]
    assert feed.watch(PAIR, 60).open == Decimal(11)
    clock.ns += 60 * SECOND_NS
    feed.tick()
    assert shown[4] == (160 - 20 + 20, 1, True) and feed.watch(PAIR, 60).close == Decimal(11)


def test_a_venue_that_leaves_empty_candles_out_shows_the_last_state_of_each() -> None:
    _, clock, feed, shown = feed_of(fills=False, period_s=1000.0)
    feed.watch(PAIR, 60)
    feed.take(trade(1, clock.ns, "10"))
    feed.take(trade(2, clock.ns, "12"))
    clock.ns += 600 * SECOND_NS
    feed.tick()
    assert shown == [(-20, 2, False)]
    feed.take(trade(3, clock.ns, "9"))
    clock.ns += 600 * SECOND_NS
    feed.tick()
    assert shown[1:] == [(580, 1, False)]


def test_a_clock_that_is_set_back_loses_no_trade() -> None:
    book = CandleBook()
    book.add(trade(1, (BEGIN_S + 60) * SECOND_NS, "10"))
    book.add(trade(2, BEGIN_S * SECOND_NS, "12"))
    candle = book.current(60, (BEGIN_S + 60) * SECOND_NS, Decimal(1))
    assert (candle.count, candle.high, candle.close) == (2, Decimal(12), Decimal(12))


class Observer:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.kline_queue = self.trade_queue = self.funding_queue = self
        self.changed = asyncio.Event()

    def put_nowait(self, item: Any) -> None:
        self.log.append(item)
        self.changed.set()

    on_gap = on_stale = on_reconnected = put_nowait

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.log if isinstance(item, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def streaming(venue: SimVenue, exchange: str, channels: list[str], **settings: Any) -> AsyncIterator[Observer]:
    observer = Observer()
    stream = get_exchange_stream(
        exchange, currency_pairs=[PAIR], subscribe_channels=channels, api_host=venue.ws_url(exchange), **settings
    )
    stream.bind_observer(observer)
    task = asyncio.create_task(stream.start())
    try:
        async with asyncio.timeout(20):
            while not all(stream.stats[channel]["connected"] for channel in channels):
                assert not task.done(), task.result()
                await asyncio.sleep(0.01)
        yield observer
    finally:
        await stream.stop()
        await asyncio.gather(task, return_exceptions=True)
    assert not observer.of(Gap) and all(found["parse_errors"] == 0 for found in stream.stats.values())


def exactly(number: float) -> Decimal:
    return Decimal(repr(number))


def check_klines(klines: list[Kline], trades: list[Trade], interval_s: int) -> int:
    """Each is made of the first trades of its interval, whatever their number; how many are made of some."""
    made = 0
    for kline in klines:
        inside = [
            item for item in trades
            if kline.openTimeNs <= item.tradeTimeNs // 10**6 * 10**6 < kline.openTimeNs + interval_s * SECOND_NS
        ]  # fmt: skip
        volume, count = Decimal(0), 0
        while volume < exactly(kline.volume):
            volume += exactly(inside[count].volume)
            count += 1
        prices = [item.price for item in inside[:count]] or [kline.close]
        assert (exactly(kline.volume), kline.open, kline.close) == (volume, prices[0], prices[-1])
        assert (kline.high, kline.low) == (max(prices), min(prices))
        assert kline.tradeCount in (count, -1) and kline.closeTimeNs == kline.openTimeNs + interval_s * SECOND_NS
        if kline.closed:
            assert count == len(inside), "a kline that is over has all trades of its interval"
        made += count > 0
    return made


@pytest.mark.parametrize("exchange", KLINE_VENUES)
async def test_klines_agree_with_the_trades_of_the_same_stream(exchange: str) -> None:
    interval_s = 300 if exchange == "coinbase" else 60
    market = SyntheticMarket([PAIR], seed=4, rate=150, autostart=False, clock_ns=Clock(interval_s / 0.8))
    async with (
        SimVenue(market, (exchange,)) as venue,
        streaming(venue, exchange, ["trade", "kline"]) as observer,
    ):
        market.start()
        await observer.until(lambda: len({kline.openTimeNs for kline in observer.of(Kline)}) >= 4)
        await market.stop()
        # What the venue has sent by now comes on two connections.
        states = len(observer.of(Kline))
        newest = observer.of(Kline)[-1]
        await observer.until(
            lambda: len([t for t in observer.of(Trade) if t.tradeTimeNs >= newest.openTimeNs]) > 0 or newest.volume == 0
        )
        await asyncio.sleep(0.3)
        klines, trades = observer.of(Kline)[:states], observer.of(Trade)
        begins = [kline.openTimeNs for kline in klines]
        assert begins == sorted(begins)
        assert {kline.intervalS for kline in klines} == {interval_s}
        assert check_klines([kline for kline in klines if not kline.flags & Flag.SNAPSHOT], trades, interval_s) >= 4
        closed = [kline.openTimeNs for kline in klines if kline.closed]
        if exchange in ("kraken", "coinbase"):
            assert closed == []
        else:
            assert len(closed) >= 3 and closed == list(range(closed[0], closed[-1] + 1, interval_s * SECOND_NS))


class Recorder:
    def __init__(self) -> None:
        self.trades: list[MarketTrade] = []

    def on_market_trade(self, item: MarketTrade) -> None:
        self.trades.append(item)

    def on_quote(self, quote: object) -> None: ...

    def on_depth(self, change: object) -> None: ...

    def on_fills(self, pair: object, fills: object) -> None: ...

    async def on_raw(self, frame: object, *, wait: bool) -> None: ...

    async def drained(self) -> None: ...


@pytest.mark.parametrize("exchange", KLINE_VENUES)
async def test_who_comes_late_sees_the_whole_candle(exchange: str) -> None:
    interval_s = 300 if exchange == "coinbase" else 60
    clock = Clock()
    market = SyntheticMarket([PAIR], seed=5, autostart=False, clock_ns=clock)
    recorder = Recorder()
    market.listen(recorder)
    for _ in range(600):
        clock.ns += SECOND_NS
        market.step(PAIR)
    market.started.set()  # it stands still, with a past
    now = clock()
    opens = opening_ns(now, interval_s)
    wanted = slow_candle(recorder.trades, opens, interval_s)
    assert wanted is not None
    args = {"kline": {"snapshot": True}} if exchange == "kraken" else {}
    async with (
        SimVenue(market, (exchange,)) as venue,
        streaming(venue, exchange, ["kline"], subscribe_args=args) as observer,
    ):
        await observer.until(lambda: any(kline.openTimeNs == opens for kline in observer.of(Kline)))
        klines = observer.of(Kline)
    newest = klines[-1]
    shown = (newest.open, newest.high, newest.low, newest.close, newest.volume)
    assert shown == tuple(map(float, (wanted.open, wanted.high, wanted.low, wanted.close, wanted.volume)))
    assert not newest.closed
    if exchange in ("kraken", "coinbase"):
        begins = sorted({opening_ns(item.time_ns, interval_s) for item in recorder.trades})
        assert [kline.openTimeNs for kline in klines] == begins and len(begins) >= 3
        assert all(kline.closed for kline in klines[:-1]) and all(Flag.SNAPSHOT in kline.flags for kline in klines)
        for kline in klines:
            model = slow_candle(recorder.trades, kline.openTimeNs, interval_s)
            assert model is not None and (kline.volume, kline.close) == (float(model.volume), float(model.close))


@pytest.mark.parametrize("exchange", FUNDING_VENUES)
async def test_funding_with_mark_prices(exchange: str) -> None:
    market = SyntheticMarket([PAIR], seed=6, rate=100, autostart=False)
    async with (
        SimVenue(market, (exchange,)) as venue,
        streaming(venue, exchange, ["funding"]) as observer,
    ):
        market.start()
        await observer.until(lambda: len([f for f in observer.of(Funding) if f.mark_price and f.rate is not None]) >= 3)
        terms = funding_terms(market, PAIR, 3600 if exchange == "kraken_future" else 28800)
        assert terms is not None
        for funding in (item for item in observer.of(Funding) if item.rate is not None and item.mark_price):
            assert funding.rate == float(terms.rate) and funding.next_funding_time == terms.time_ns // 1000
            assert abs(funding.mark_price / float(terms.mark) - 1) < 0.02
            assert (funding.next_rate == float(terms.next_rate)) is (exchange == "kraken_future")
            assert (funding.index_price is None) is (exchange == "okx_swap")
        marks = {item.mark_price for item in observer.of(Funding)}
        assert len(marks) > 1, "the mark follows the market"


def test_funding_terms_change_at_the_period_and_not_before() -> None:
    clock = Clock()
    market = SyntheticMarket([PAIR], clock_ns=clock)
    first = funding_terms(market, PAIR)
    assert first is not None and first.time_ns > clock.ns and first.next_time_ns == first.time_ns + 28800 * SECOND_NS
    clock.ns = first.time_ns - 1
    before = funding_terms(market, PAIR)
    assert before is not None and (before.rate, before.index) == (first.rate, first.index)
    assert abs(before.mark - before.index) <= abs(first.mark - first.index)
    clock.ns += 1
    after = funding_terms(market, PAIR)
    assert after is not None and (after.rate, after.time_ns) == (first.next_rate, first.next_time_ns)


async def test_dated_futures_have_prices_and_no_rate() -> None:
    pairs = ["btc/usdt:usdt-270326"]
    market = SyntheticMarket(pairs, rate=100)
    observer = Observer()
    async with SimVenue(market, ("binance_future",)) as venue:
        stream = get_exchange_stream(
            "binance_future", currency_pairs=pairs, subscribe_channels=["funding"],
            api_host=venue.ws_url("binance_future"),
        )  # fmt: skip
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        await observer.until(lambda: len(observer.of(Funding)) >= 2)
        await stream.stop()
        await task
    assert all(item.rate is None and item.next_funding_time is None for item in observer.of(Funding))
    assert all(item.mark_price > 0 for item in observer.of(Funding))


@pytest.mark.parametrize(
    ("exchange", "path", "request_text", "answer"),
    [
        ("kraken", "/v2", {"method": "subscribe", "params": {"channel": "ohlc", "symbol": ["BTC/USDT"], "interval": 7}},
         "Ohlc interval not supported: 7"),
        ("kraken", "/v2", {"method": "unsubscribe", "params": {"channel": "ohlc", "symbol": ["BTC/USDT"]}},
         "Subscription Not Found"),
        ("okx", "/ws/v5/public", {"op": "subscribe", "args": [{"channel": "candle1m", "instId": "BTC-USDT"}]}, "60018"),
        ("okx", "/ws/v5/business", {"op": "subscribe", "args": [{"channel": "candle7m", "instId": "BTC-USDT"}]},
         "60018"),
        ("okx", "/ws/v5/public", {"op": "subscribe", "args": [{"channel": "funding-rate", "instId": "BTC-USDT"}]},
         "60018"),
        ("coinbase", "", {"type": "subscribe", "channel": "candles", "product_ids": ["NO-SUCH"]}, "failure to"),
        ("kraken_future", "/ws/v1", {"event": "subscribe", "feed": "candles", "product_ids": ["PF_XBTUSDT"]},
         "Invalid feed"),
    ],
)  # fmt: skip
async def test_what_the_venues_refuse(exchange: str, path: str, request_text: dict[str, Any], answer: str) -> None:
    async with (
        SimVenue(SyntheticMarket([PAIR]), (exchange,)) as venue,
        connect(venue.ws_url(exchange) + path) as socket,
        asyncio.timeout(20),
    ):
        await socket.send(json.dumps(request_text))
        while answer not in str(await socket.recv()):
            pass


async def test_two_intervals_on_one_connection_of_kraken() -> None:
    market = SyntheticMarket([PAIR], rate=200)
    async with (
        SimVenue(market, ("kraken",)) as venue,
        connect(venue.ws_url("kraken") + "/v2") as socket,
        asyncio.timeout(20),
    ):
        for minutes in (1, 60):
            params = {"channel": "ohlc", "symbol": ["BTC/USDT"], "interval": minutes}
            await socket.send(json.dumps({"method": "subscribe", "params": params}))
        seen: set[int] = set()
        while seen != {1, 60}:
            frame = json.loads(await socket.recv())
            if frame.get("channel") == "ohlc" and frame["type"] == "update":
                seen.add(frame["data"][0]["interval"])
        params = {"channel": "ohlc", "symbol": ["BTC/USDT"], "interval": 1}
        await socket.send(json.dumps({"method": "unsubscribe", "params": params}))
        while json.loads(await socket.recv()).get("method") != "unsubscribe":
            pass
        for _ in range(20):
            frame = json.loads(await socket.recv())
            assert frame.get("channel") != "ohlc" or frame["data"][0]["interval"] == 60


async def test_all_mark_prices_of_usd_m() -> None:
    market = SyntheticMarket(["btc/usdt", Instrument.default(CurrencyPair("eth/usdt"))], rate=100)
    async with (
        SimVenue(market, ("binance_future",)) as venue,
        connect(venue.ws_url("binance_future") + "/market/stream?streams=!markPrice@arr@1s") as socket,
        asyncio.timeout(20),
    ):
        frame = json.loads(await socket.recv())
        assert frame["stream"] == "!markPrice@arr@1s"
        assert [row["s"] for row in frame["data"]] == ["BTCUSDT", "ETHUSDT"]
        assert all(row["e"] == "markPriceUpdate" and float(row["p"]) > 0 for row in frame["data"])
