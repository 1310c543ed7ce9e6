"""What the simulated venue trades: instruments, the market's events, and a seeded synthetic market."""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Protocol

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim.candles import Candle, CandleBook
from hftpy.sim.depth import DepthChange, Ladder, changed_levels
from hftpy.sim.replay_numbers import RecordedNumbers
from hftpy.trading.matching import Fill, Level, MatchingBook

USD_PRICES = {
    "btc": Decimal(60000),
    "eth": Decimal(3000),
    "bnb": Decimal(550),
    "sol": Decimal(150),
    "ltc": Decimal(80),
    "xrp": Decimal("0.6"),
    "ada": Decimal("0.4"),
    "doge": Decimal("0.12"),
    "eur": Decimal("1.1"),
    "gbp": Decimal("1.3"),
} | dict.fromkeys(("usd", "usdt", "usdc", "busd", "fdusd", "dai"), Decimal(1))
OTHER_USD_PRICE = Decimal(10)
LEVELS = 12
RECENT_TRADES = 50
LOT = Decimal("0.00000001")
LOG = logging.getLogger(__name__)
CATCH_UP_S = 1.0  # a market that fell further behind skips ticks instead of bursting


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable pair: prices are multiples of `tick`, amounts of `lot`, an order has at least `minimum`."""

    pair: CurrencyPair
    tick: Decimal
    lot: Decimal = LOT
    minimum: Decimal = LOT
    start_price: Decimal = Decimal(1)

    @classmethod
    def default(cls, pair: CurrencyPair) -> "Instrument":
        """Plausible values for a pair: a price of about today's size, six digits of it in steps of one tick."""
        price = USD_PRICES.get(pair.base, OTHER_USD_PRICE) / USD_PRICES.get(pair.quote, OTHER_USD_PRICE)
        tick = Decimal(1).scaleb(price.adjusted() - 5)
        minimum = max(Decimal(1).scaleb(-price.adjusted()), LOT)
        return cls(pair, tick, LOT, minimum, price.quantize(tick, rounding=ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of one pair, clients' orders included; a price of None is an empty side."""

    pair: CurrencyPair
    bid: Level | None
    ask: Level | None
    time_ns: int
    update_id: int
    by_trade: bool  # whether a trade caused it


@dataclass(frozen=True, slots=True)
class MarketTrade:
    """A public trade; `trade_id` counts by one per pair."""

    pair: CurrencyPair
    side: Side  # the taker's
    price: Decimal
    amount: Decimal
    trade_id: int
    time_ns: int
    is_limit: bool


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A recorded frame, to be sent as it is to whoever subscribed to one of its `pairs` on `channel`."""

    exchange: Exchange
    stream: str  # Binance: the stream's name; Kraken: empty
    channel: str  # the venue's own name: ticker, trade, book, …
    pairs: frozenset[CurrencyPair]
    text: str
    bare: str = ""  # Binance: without the combined stream's envelope
    events: int = 1
    recorded_on: str = ""  # which of the recording's connections carried it


class MarketListener(Protocol):
    """Receives a market's events; called in the event loop, must not wait."""

    def on_quote(self, quote: Quote) -> None: ...

    def on_market_trade(self, trade: MarketTrade) -> None: ...

    def on_depth(self, change: DepthChange) -> None:
        """The book of a pair changed whose depth somebody asked for."""
        ...

    def on_fills(self, pair: CurrencyPair, fills: list[Fill]) -> None:
        """The outside market filled clients' orders."""
        ...

    async def on_raw(self, frame: RawFrame, *, wait: bool) -> None:
        """A recorded frame; with `wait` until every connection that takes it has room."""
        ...

    async def drained(self) -> None:
        """Wait until everything delivered so far is on its way."""
        ...


@dataclass(slots=True)
class PairState:
    instrument: Instrument
    book: MatchingBook
    quote: Quote | None = None
    ladder: Ladder | None = None  # as it was told last; None: nobody asked for the depth
    last_price: Decimal | None = None
    next_trade_id: int = 1
    update_id: int = 0
    volume: Decimal = Decimal(0)
    turnover: Decimal = Decimal(0)
    low: Decimal | None = None
    high: Decimal | None = None
    open: Decimal | None = None
    recent: deque[MarketTrade] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))
    candles: CandleBook = field(default_factory=CandleBook)


class Market:
    """Base of the markets: books per pair, event delivery, start and stop."""

    plays_raw = False  # whether it delivers recorded frames, of any channel, instead of quotes and trades
    raw_channels: frozenset[str] = frozenset()  # the venue's names of the recorded channels
    raw_depths: frozenset[int] = frozenset()  # the depths of the recorded books, where they make a difference

    recorded_numbers: RecordedNumbers | None = None  # Coinbase: of a recording's frames

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        autostart: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.clock_ns = clock_ns
        self.autostart = autostart
        self.started = asyncio.Event()
        self.finished = asyncio.Event()
        self.failure: BaseException | None = None
        self._states = {item.pair: PairState(item, MatchingBook()) for item in instruments}
        if not self._states:
            raise ValueError("pairs must not be empty")
        self._listeners: list[MarketListener] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def pairs(self) -> list[CurrencyPair]:
        return list(self._states)

    @property
    def instruments(self) -> list[Instrument]:
        return [state.instrument for state in self._states.values()]

    def state(self, pair: CurrencyPair) -> PairState:
        """What is known of a pair.

        Raises
        ------
        KeyError
            If the market does not trade it.
        """
        return self._states[pair]

    def listen(self, listener: MarketListener) -> None:
        """Deliver events to `listener` too."""
        self._listeners.append(listener)

    def unlisten(self, listener: MarketListener) -> None:
        """Stop delivering to `listener`."""
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    def start(self) -> None:
        """Let events flow; calling it again changes nothing."""
        if self._task is None:
            self.started.set()
            self._task = asyncio.create_task(self._guarded_run(), name="sim-market")

    async def stop(self) -> None:
        """Stop the flow of events."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _guarded_run(self) -> None:
        try:
            await self.run()
        except Exception as error:  # noqa: BLE001  kept for `/sim/stats`: nobody awaits this task
            self.failure = error
            LOG.error("the market has ended by an error: %r", error)
        finally:
            self.finished.set()

    async def run(self) -> None:
        """Produce events until the market ends."""
        raise NotImplementedError

    def public_trades(self, pair: CurrencyPair, fills: list[Fill], *, is_limit: bool = True) -> None:
        """Report the trades behind `fills` (one print per trade, none for the second party)."""
        taken = [fill for fill in fills if not fill.maker]
        for fill in taken or fills:
            self.print_trade(pair, fill.taker_side, fill.price, fill.amount, is_limit=is_limit)

    def print_trade(self, pair: CurrencyPair, side: Side, price: Decimal, amount: Decimal, *, is_limit: bool) -> None:
        """Report one public trade."""
        state = self._states[pair]
        trade = MarketTrade(pair, side, price, amount, state.next_trade_id, self.clock_ns(), is_limit)
        state.next_trade_id += 1
        state.recent.append(trade)
        state.candles.add(trade)
        state.last_price = price
        state.volume += amount
        state.turnover += amount * price
        state.open = price if state.open is None else state.open
        state.low = price if state.low is None else min(state.low, price)
        state.high = price if state.high is None else max(state.high, price)
        for listener in tuple(self._listeners):
            listener.on_market_trade(trade)

    def candle(self, pair: CurrencyPair, interval_s: int) -> Candle:
        """The candle of now, made of all trades that were printed."""
        state = self._states[pair]
        price = state.last_price if state.last_price is not None else state.instrument.start_price
        return state.candles.current(interval_s, self.clock_ns(), price)

    def past_candles(self, pair: CurrencyPair, interval_s: int) -> list[Candle]:
        """The last candles that are over and had a trade, the oldest first."""
        return self._states[pair].candles.history(interval_s, self.clock_ns())

    def watch_depth(self, pair: CurrencyPair) -> Ladder:
        """All levels of a pair; from now on each change of them is told by `on_depth`."""
        state = self._states[pair]
        if state.ladder is None:
            state.ladder = Ladder.of(state.book)
        return state.ladder

    def stand_in(self, stream: str) -> str:
        """Binance: the recorded stream that is played to those who subscribed to one that was not recorded."""
        return stream

    def knows_depth(self, pair: CurrencyPair) -> bool:
        """Whether `watch_depth` gives the whole book of a pair."""
        return True

    def depth_time_ns(self, pair: CurrencyPair) -> int:
        """When a pair's book became what it is."""
        return self.clock_ns()

    async def fetch_depth(self, pair: CurrencyPair) -> str | None:
        """Somebody asks for a whole book: the recorded answer; None: `watch_depth` gives it.

        Raises
        ------
        LookupError
            If it is not known.
        """
        return None

    def _publish_depth(self, pair: CurrencyPair, state: PairState, before: Ladder) -> None:
        state.ladder = after = Ladder.of(state.book)
        count = len(changed_levels(before.bids, after.bids)) + len(changed_levels(before.asks, after.asks))
        if count:
            first_id = state.update_id + 1
            state.update_id += count
            change = DepthChange(pair, before, after, first_id, state.update_id, self.clock_ns())
            for listener in tuple(self._listeners):
                listener.on_depth(change)

    def publish_quote(self, pair: CurrencyPair, *, by_trade: bool) -> None:
        """Report the best bid and ask if they changed, after whatever changed in the book."""
        state = self._states[pair]
        if state.ladder is not None:
            self._publish_depth(pair, state, state.ladder)
        bid, ask = state.book.best(Side.BUY), state.book.best(Side.SELL)
        old = state.quote
        if old is not None and old.bid == bid and old.ask == ask and not by_trade:
            return
        if state.ladder is None:
            state.update_id += 1
        state.quote = Quote(pair, bid, ask, self.clock_ns(), state.update_id, by_trade)
        for listener in tuple(self._listeners):
            listener.on_quote(state.quote)

    def deliver_fills(self, pair: CurrencyPair, fills: list[Fill]) -> None:
        """Report that the outside market filled clients' orders."""
        if fills:
            for listener in tuple(self._listeners):
                listener.on_fills(pair, fills)

    def orders_changed(self, pair: CurrencyPair, fills: list[Fill], *, is_limit: bool = True) -> None:
        """A client placed or cancelled an order, with these fills: show it to the public."""
        self.public_trades(pair, fills, is_limit=is_limit)
        self.publish_quote(pair, by_trade=bool(fills))


class SyntheticMarket(Market):
    """A seeded random walk per pair, with a spread, sizes and market trades.

    The sequence of events depends on `seed` alone; only their times come from the clock. Clients' orders meet it (see
    `hftpy.trading.matching`) and do not change its course.

    Parameters
    ----------
    pairs
        Pairs (``btc/usdt``) or instruments.
    seed
        Of the random walk.
    rate
        Events per second and pair.
    autostart
        Whether the venue starts it; otherwise `POST /sim/start` does.
    clock_ns
        Nanoseconds since 1970.
    """

    def __init__(
        self,
        pairs: Iterable[str | Instrument],
        seed: int = 0,
        rate: float = 100.0,
        *,
        autostart: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if rate <= 0:
            raise ValueError(f"rate must be positive, was {rate}")
        instruments = [
            item if isinstance(item, Instrument) else Instrument.default(CurrencyPair(item)) for item in pairs
        ]
        super().__init__(instruments, autostart=autostart, clock_ns=clock_ns)
        self.rate = rate
        self.seed = seed
        self._walks = {item.pair: _Walk(item, random.Random(f"{seed}/{item.pair}")) for item in self.instruments}
        for pair, walk in self._walks.items():
            self._states[pair].book.set_market(*walk.ladder())
            self._states[pair].last_price = walk.instrument.start_price
            self.publish_quote(pair, by_trade=False)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begin, done = loop.time(), 0
        pairs = self.pairs
        pause = max(0.005, 1.0 / (self.rate * len(pairs)))
        while True:
            due = int((loop.time() - begin) * self.rate * len(pairs))
            behind = due - done - int(CATCH_UP_S * self.rate * len(pairs))
            done += max(behind, 0)
            while done < due:
                self.step(pairs[done % len(pairs)])
                done += 1
            await asyncio.sleep(pause)

    def step(self, pair: CurrencyPair) -> None:
        """One event of a pair: a change of its quote or a trade."""
        walk, book = self._walks[pair], self._states[pair].book
        trade = walk.step()
        if trade is not None:
            side, depth, size = trade
            price = walk.price_at(side, depth)
            fills, left = book.market_trade(side, price, size)
            self.deliver_fills(pair, fills)
            self.public_trades(pair, fills)
            best = book.market_best(Side.SELL if side is Side.BUY else Side.BUY)
            if left and best is not None:
                self.print_trade(pair, side, best[0], left, is_limit=walk.is_limit)
        fills = book.set_market(*walk.ladder())
        self.deliver_fills(pair, fills)
        self.public_trades(pair, fills)
        self.publish_quote(pair, by_trade=trade is not None or bool(fills))


class _Walk:
    """The random walk of one pair, in whole ticks and size units."""

    def __init__(self, instrument: Instrument, rng: random.Random) -> None:
        self.instrument = instrument
        self._rng = rng
        self._bid = int(instrument.start_price / instrument.tick)
        self._spread = 1
        self._sizes = {Side.BUY: 500, Side.SELL: 500}
        # Sizes count in tenths of the smallest order, so that they look like a venue's and stay on the lot.
        self._unit = max((instrument.minimum / 10).quantize(instrument.lot), instrument.lot)
        self.is_limit = True

    def step(self) -> tuple[Side, int, Decimal] | None:
        """Move on; a trade as (taker's side, levels deep, size) if this step is one."""
        rng = self._rng
        roll = rng.random()
        side = Side.BUY if rng.random() < 0.5 else Side.SELL
        if roll < 0.2:
            self.is_limit = rng.random() < 0.6
            return side, 0 if roll < 0.18 else 1, self._unit * rng.randint(10, 3000)
        if roll < 0.5:
            self._bid = max(self._bid + rng.choice((-2, -1, -1, 1, 1, 2)), LEVELS + 1)
        elif roll < 0.6:
            self._spread = rng.choice((1, 1, 1, 2, 2, 3, 5))
        self._sizes[side] = rng.randint(10, 5000)
        return None

    def price_at(self, taker: Side, depth: int) -> Decimal:
        ticks = self._bid + self._spread + depth if taker is Side.BUY else self._bid - depth
        return ticks * self.instrument.tick

    def ladder(self) -> tuple[list[Level], list[Level]]:
        """The outside market: the best level as walked, some deeper ones whose size is a fixed mix of their price."""
        tick, unit = self.instrument.tick, self._unit
        bid, ask = self._bid, self._bid + self._spread
        bids: list[Level] = [(bid * tick, unit * self._sizes[Side.BUY])]
        asks: list[Level] = [(ask * tick, unit * self._sizes[Side.SELL])]
        for depth in range(1, LEVELS):
            bids.append(((bid - depth) * tick, unit * _mixed(bid - depth)))
            asks.append(((ask + depth) * tick, unit * _mixed(ask + depth)))
        return bids, asks


def _mixed(number: int) -> int:
    return 1000 + number * 2654435761 % 50000
