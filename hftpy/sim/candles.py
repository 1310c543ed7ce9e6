"""Klines and funding of the simulated market: made of its own trades, and of the outside market's prices."""

import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from hftcore.enums import Side
from hftcore.symbols import CurrencyPair

if TYPE_CHECKING:
    from hftpy.sim.market import Market, MarketTrade

ZERO = Decimal(0)
SECOND_NS = 1_000_000_000
DAY_S = 86400
WEEK_S = 7 * DAY_S
FIRST_MONDAY_NS = 4 * DAY_S * SECOND_NS  # 1970-01-01 was a Thursday
INTERVALS = (
    1, 60, 180, 300, 900, 1800, 3600, 7200, 14400, 21600, 28800, 43200, DAY_S, 2 * DAY_S, 3 * DAY_S, WEEK_S,
    15 * DAY_S,
)  # fmt: skip
HISTORY = 50  # candles that are over are kept, of each interval of a minute and more
MOST_FILLED = 1000  # candles without a trade that are shown at once; a machine that slept for longer leaves some out
EIGHT = Decimal("0.00000001")
RATE_STEP = Decimal("0.000001")
USUAL_PERIOD_S = 28800


def opening_ns(time_ns: int, interval_s: int) -> int:
    """Where the candle that holds a time begins: by UTC, weeks on Monday."""
    shift = FIRST_MONDAY_NS if interval_s % WEEK_S == 0 else 0
    return (time_ns - shift) // (interval_s * SECOND_NS) * interval_s * SECOND_NS + shift


@dataclass(slots=True)
class Candle:
    """Open, high, low, close and volume of the trades of an interval; without a trade all prices are the last one."""

    open_ns: int
    interval_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    turnover: Decimal = ZERO
    bought: Decimal = ZERO  # by takers
    bought_turnover: Decimal = ZERO
    count: int = 0
    first_id: int = -1
    last_id: int = -1

    @classmethod
    def flat(cls, open_ns: int, interval_s: int, price: Decimal) -> "Candle":
        """Without a trade."""
        return cls(open_ns, interval_s, price, price, price, price)

    @property
    def close_ns(self) -> int:
        """Where the next one begins."""
        return self.open_ns + self.interval_s * SECOND_NS

    @property
    def vwap(self) -> Decimal:
        """The mean price of what was traded."""
        return (self.turnover / self.volume).quantize(self.close, ROUND_HALF_EVEN) if self.volume else self.close

    def add(self, trade: "MarketTrade") -> None:
        """Take one trade in, the newest of all."""
        price, value = trade.price, trade.amount * trade.price
        if self.count == 0:
            self.open = self.high = self.low = price
            self.first_id = trade.trade_id
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += trade.amount
        self.turnover += value
        if trade.side is Side.BUY:
            self.bought += trade.amount
            self.bought_turnover += value
        self.count += 1
        self.last_id = trade.trade_id

    def absorb(self, later: "Candle") -> None:
        """Take the trades of another one in, all newer than its own."""
        if self.count == 0:
            self.open, self.high, self.low, self.first_id = later.open, later.high, later.low, later.first_id
        self.high, self.low, self.close = max(self.high, later.high), min(self.low, later.low), later.close
        self.volume += later.volume
        self.turnover += later.turnover
        self.bought += later.bought
        self.bought_turnover += later.bought_turnover
        self.count += later.count
        self.last_id = later.last_id


@dataclass(slots=True)
class CandleBook:
    """The candles of one pair, of every interval, from the market's first trade on.

    The trades of a second wait together, so that a trade costs the same however many intervals there are.
    """

    _second: Candle | None = None
    _current: dict[int, Candle] = field(default_factory=dict)
    _over: dict[int, deque[Candle]] = field(default_factory=dict)

    def add(self, trade: "MarketTrade") -> None:
        """Take one trade in."""
        opens = opening_ns(trade.time_ns, 1)
        if self._second is not None and self._second.open_ns != opens:
            self._settle()
        if self._second is None:
            self._second = Candle.flat(opens, 1, trade.price)
        self._second.add(trade)

    def current(self, interval_s: int, now_ns: int, price: Decimal) -> Candle:
        """A copy of the candle of now; `price` is what one shows before any trade."""
        self._settle()
        opens = opening_ns(now_ns, interval_s)
        found = self._current.get(interval_s)
        if found is None:
            return Candle.flat(opens, interval_s, price)
        return replace(found) if found.open_ns >= opens else Candle.flat(opens, interval_s, found.close)

    def history(self, interval_s: int, now_ns: int) -> list[Candle]:
        """Copies of the last candles that are over, those without a trade left out, the oldest first."""
        self._settle()
        found = list(self._over.get(interval_s, ()))
        newest = self._current.get(interval_s)
        if newest is not None and newest.close_ns <= now_ns:
            found.append(newest)
        return [replace(candle) for candle in found[-HISTORY:]]

    def _settle(self) -> None:
        """Bring the trades of the second that waits into all intervals."""
        second, self._second = self._second, None
        if second is None:
            return
        for interval_s in INTERVALS:
            opens = opening_ns(second.open_ns, interval_s)
            found = self._current.get(interval_s)
            # A clock that was set back adds to the newest candle.
            if found is None or opens > found.open_ns:
                if found is not None and interval_s > 1:
                    self._over.setdefault(interval_s, deque(maxlen=HISTORY)).append(found)
                self._current[interval_s] = replace(second, open_ns=opens, interval_s=interval_s)
            else:
                found.absorb(second)


@dataclass(slots=True)
class _Watched:
    candle: Candle
    is_news: bool = True
    shown_s: float = 0.0


class KlineFeed:
    """What one venue sends of the candles that somebody asked for.

    Parameters
    ----------
    market
        Whose candles they are.
    show
        Called with the pair, the candle (to be read at once), and whether it is over.
    period_s
        How often a candle that changed is shown; 0: at each trade.
    fills
        Whether candles without a trade are shown too, and candles are shown once more when they are over.
    """

    def __init__(
        self, market: "Market", show: Callable[[CurrencyPair, Candle, bool], None], *, period_s: float, fills: bool
    ) -> None:
        self._market = market
        self._show = show
        self._period_s = period_s
        self._fills = fills
        self._watched: dict[CurrencyPair, dict[int, _Watched]] = {}

    def watch(self, pair: CurrencyPair, interval_s: int) -> Candle:
        """The candle of now; from now on its changes are shown."""
        found = self._watched.setdefault(pair, {})
        if interval_s not in found:
            found[interval_s] = _Watched(self._market.candle(pair, interval_s))
        self._advance(pair, found[interval_s], self._market.clock_ns())
        return found[interval_s].candle

    def take(self, trade: "MarketTrade") -> None:
        """A trade of the market."""
        for watched in self._watched.get(trade.pair, {}).values():
            self._advance(trade.pair, watched, trade.time_ns)
            watched.candle.add(trade)
            watched.is_news = True
            if self._period_s == 0:
                self._show_state(trade.pair, watched)

    def tick(self) -> None:
        """Called about four times a second."""
        if not self._market.started.is_set():
            return
        now, now_ns = time.monotonic(), self._market.clock_ns()
        for pair, by_interval in self._watched.items():
            for watched in by_interval.values():
                self._advance(pair, watched, now_ns)
                period_s = min(self._period_s, watched.candle.interval_s)
                if self._period_s and watched.is_news and now - watched.shown_s >= period_s:
                    watched.shown_s = now
                    self._show_state(pair, watched)

    def _show_state(self, pair: CurrencyPair, watched: _Watched) -> None:
        watched.is_news = False
        self._show(pair, watched.candle, False)

    def _advance(self, pair: CurrencyPair, watched: _Watched, now_ns: int) -> None:
        """Go on to the candle of a time, telling of those that end before it."""
        opens = opening_ns(now_ns, watched.candle.interval_s)
        while watched.candle.open_ns < opens:
            old = watched.candle
            if self._fills or (watched.is_news and old.count):
                self._show(pair, old, self._fills)
            earliest = opens - MOST_FILLED * old.interval_s * SECOND_NS
            next_ns = max(old.close_ns, earliest) if self._fills else opens
            watched.candle = Candle.flat(next_ns, old.interval_s, old.close)
            watched.is_news = self._fills


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """A perpetual's funding: `rate` is paid at `time_ns`, `next_rate` one period later; and the prices it follows."""

    rate: Decimal
    next_rate: Decimal
    time_ns: int
    next_time_ns: int
    mark: Decimal
    index: Decimal


def funding_terms(market: "Market", pair: CurrencyPair, period_s: int = USUAL_PERIOD_S) -> FundingTerms | None:
    """What funding a venue with that period would ask; None before the market has a price.

    The index is the middle of the outside market, whatever clients' orders show; the mark is above it by what a
    position will still pay: the index times 1 + rate · time left / period. Rates depend on pair and period alone.

    Source: Binance, "Mark price in USD-M futures", price 1.
    """
    state, now_ns = market.state(pair), market.clock_ns()
    bid, ask = state.book.market_best(Side.BUY), state.book.market_best(Side.SELL)
    index = (bid[0] + ask[0]) / 2 if bid and ask else state.last_price
    if index is None:
        return None
    number = now_ns // (period_s * SECOND_NS) + 1
    time_ns, next_ns = (each * period_s * SECOND_NS for each in (number, number + 1))
    rate, next_rate = (_rate(pair, each, period_s) for each in (number, number + 1))
    mark = index * (1 + rate * (time_ns - now_ns) / (period_s * SECOND_NS))
    return FundingTerms(rate, next_rate, time_ns, next_ns, mark.quantize(EIGHT), index.quantize(EIGHT))


def _rate(pair: CurrencyPair, number: int, period_s: int) -> Decimal:
    """From -0.01 % to 0.03 % per eight hours."""
    steps = zlib.crc32(f"{pair}/{period_s}/{number}".encode()) % 401 - 100
    return (steps * RATE_STEP * period_s / USUAL_PERIOD_S).quantize(EIGHT)
