"""``hftpy watch``: the market of a pair as a table that is kept up to date; as lines where there is no terminal."""

import asyncio
import logging
import signal
import time
from collections import deque
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hftcore.enums import Exchange
from hftpy.common import CurrencyPair, Gap, Reconnected, Snapshot, Stale, Ticker, Trade
from hftpy.exchange import get_exchange_stream

LOGGERS = ("hftpy.exchange", "ib_async")
REFRESH_S = 0.25
TRADES_SHOWN = 10
LEVELS_SHOWN = 10


class Watch(logging.Handler):
    """What was seen last of one pair; an observer of a stream, and of its warnings."""

    def __init__(self, console: Console, pair: CurrencyPair, as_lines: bool) -> None:
        super().__init__(logging.WARNING)
        self.items = 0
        self._console = console
        self._pair = pair
        self._as_lines = as_lines
        self._ticker: Ticker | None = None
        self._trades: deque[Trade] = deque(maxlen=TRADES_SHOWN)
        self._book: Any = None
        self._notes: deque[str] = deque(maxlen=5)
        self.ticker_queue = self.trade_queue = self.book_queue = self.event_queue = self

    def put_nowait(self, item: Any) -> None:
        """Take an item in."""
        self.items += isinstance(item, Ticker | Trade | Snapshot)
        if isinstance(item, Ticker):
            self._ticker = item
            line = f"ticker {item.bidVolume:g} {item.bidPrice:.10g} {item.askPrice:.10g} {item.askVolume:g}"
        elif isinstance(item, Trade):
            self._trades.appendleft(item)
            line = f"trade  {item.side} {item.volume:g} {item.price:.10g}"
        elif isinstance(item, Gap | Stale | Reconnected):
            line = f"{type(item).__name__.lower()} {item.channel} {getattr(item, 'reason', '')}".rstrip()
            self._note(line)
        else:
            self._book = item
            line = f"book   {_top(item.bidsVolume, item.bidsPrice)} {_top(item.asksPrice, item.asksVolume)}"
        self._print(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Show why nothing comes, such as a connection that is refused."""
        line = record.getMessage()
        if line.startswith(("Gap(", "Stale(")):
            return  # the stream tells its observers too
        self._note(line)
        self._print(f"note   {line}")

    def _note(self, line: str) -> None:
        self._notes.appendleft(f"{_clock()} {line}")

    def _print(self, line: str) -> None:
        if self._as_lines:
            self._console.print(f"{_clock()} {self._pair} {line}", highlight=False, markup=False, soft_wrap=True)

    def render(self) -> Group:
        """The tables of now."""
        best = Table(title=str(self._pair))
        for name in ("bid size", "bid", "ask", "ask size"):
            best.add_column(name, justify="right")
        if self._ticker is not None:
            item = self._ticker
            numbers = (item.bidVolume, item.bidPrice, item.askPrice, item.askVolume)
            best.add_row(*(f"{number:.10g}" for number in numbers))
        if self._book is not None:
            book = self._book
            for level in range(min(LEVELS_SHOWN, max(book.bidCount, book.askCount))):
                bid = [book.bidsVolume[level], book.bidsPrice[level]] if level < book.bidCount else [None, None]
                ask = [book.asksPrice[level], book.asksVolume[level]] if level < book.askCount else [None, None]
                best.add_row(*("" if number is None else f"{number:.10g}" for number in bid + ask))
        trades = Table("side", "price", "size", title="trades")
        for trade in self._trades:
            trades.add_row(str(trade.side), f"{trade.price:.10g}", f"{trade.volume:.10g}")
        return Group(best, trades, *map(Text, self._notes))


async def watch(
    venue: str, pair: str, *, book: bool, seconds: float | None, api_host: str | None, console: Console,
    rest_host: str | None = None,
) -> int:
    """Show a pair until SIGINT, SIGTERM, or the end of `seconds`.

    Returns
    -------
    int
        0; 1 if nothing of the pair came.

    Raises
    ------
    ValueError
        If there is no such venue or pair, or the venue's stream has no book.
    VenueError
        If the venue refuses the pair.
    """
    as_lines = not console.is_terminal
    seen = Watch(console, CurrencyPair(pair), as_lines)
    channels = ["ticker", "trade", *(["book"] if book else [])]
    stream = get_exchange_stream(
        Exchange.parse(venue), currency_pairs=[pair], subscribe_channels=channels, api_host=api_host,
        api_auth_data={"rest_host": rest_host} if rest_host else None,
    )  # fmt: skip
    stream.bind_observer(seen)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(seen)
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).propagate = False  # what is shown here is not written over the table
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(stream.start())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stream.stop)
    ends = None if seconds is None else loop.time() + seconds
    try:
        if as_lines:
            await asyncio.wait({running}, timeout=seconds)
        else:
            with Live(console=console, auto_refresh=False) as live:
                while not running.done() and (ends is None or loop.time() < ends):
                    await asyncio.wait({running}, timeout=REFRESH_S)
                    live.update(seen.render(), refresh=True)
    finally:
        await stream.stop()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(seen)
            logging.getLogger(name).setLevel(logging.NOTSET)
            logging.getLogger(name).propagate = True
    await running
    if not seen.items:
        Console(stderr=True).print(f"nothing of {pair} came from {venue}", highlight=False, markup=False)
    return 0 if seen.items else 1


def _top(*sides: Any) -> str:
    return " ".join(f"{side[0]:.10g}" if len(side) else "-" for side in sides)


def _clock() -> str:
    now = time.time()
    return time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
