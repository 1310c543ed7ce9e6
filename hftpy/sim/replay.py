"""A recorded session as the simulated venue's market: its frames exactly as recorded, orders filled on its prices."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, runtime_checkable

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.sim.depth import Ladder
from hftpy.sim.market import LOT, Instrument, Market, RawFrame
from hftpy.sim.recording import (
    FrameKey,
    SessionEntry,
    classify_frame,
    iter_session,
    recorded_book_depth,
    register_session_instruments,
    session_exchange,
)
from hftpy.sim.replay_books import RecordedPairs, ReplayBooks
from hftpy.sim.replay_numbers import RecordedNumbers
from hftpy.trading.matching import Fill, Level

PLAYED = (
    Exchange.KRAKEN, Exchange.BINANCE, Exchange.BINANCE_FUTURE, Exchange.OKX, Exchange.OKX_SWAP,
    Exchange.COINBASE, Exchange.KRAKEN_FUTURE,
)  # fmt: skip
BINANCE = (Exchange.BINANCE, Exchange.BINANCE_FUTURE)
BATCH = 64  # frames between two turns of the event loop where nothing else waits
FETCH_S = 10.0  # how long a book is waited for, or somebody who fetches it
# Binance, what is played to a subscriber of what was not recorded; books of another speed, or whole small ones.
DEPTHS = ("depth@100ms", "depth", "depth@0ms", "depth@250ms", "depth@500ms")
SMALL_DEPTHS = tuple(f"depth{levels}{speed}" for levels in (20, 10, 5) for speed in ("@100ms", "", "@250ms", "@500ms"))
STAND_INS = {"trade": ("aggTrade",), "aggTrade": ("trade",)} | dict.fromkeys(DEPTHS, DEPTHS + SMALL_DEPTHS)


class Legs:
    """Names for the connections of a recording; one that was made anew has another."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def connected(self, entry: SessionEntry) -> None:
        """A connection was made."""
        self._made[entry.conn] += 1

    def of(self, entry: SessionEntry) -> str:
        """The connection that carried a frame."""
        return f"{entry.conn}/{self._made[entry.conn]}"


@runtime_checkable
class TakesDepth(Protocol):
    """A front end whose clients fetch the whole books by REST."""

    def depth_takers(self, pair: CurrencyPair) -> int:
        """How many connections take a pair's updates."""
        ...


class ReplayMarket(Market):
    """Plays the received frames of a session to the connections that subscribed to their streams.

    Clients' orders meet the recorded best bid and ask (size included) and the recorded trades; they change neither.

    Whoever asks for a whole book (a subscription in the midst of it, Binance's REST) gets the recording's at its
    present place. Flat out it is waited for those who follow one of Binance's books until they have fetched it.

    Parameters
    ----------
    path
        The session; see `hftpy.sim.recording`.
    speed
        1.0: as recorded; 10.0: ten times as fast; 0: as fast as the slowest subscriber reads, nothing lost.
    autostart
        Begin with the first subscription; otherwise `POST /sim/start` begins.
    clock_ns
        Nanoseconds since 1970, for orders and fills.

    Raises
    ------
    ValueError
        If the speed is negative, the file is no session, or its venue is not one that the simulated venue speaks.
    """

    plays_raw = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        speed: float = 1.0,
        *,
        autostart: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 0 <= speed < float("inf"):
            raise ValueError(f"speed must be 0 (flat out) or positive, was {speed}")
        self.exchange = session_exchange(path)
        if self.exchange not in PLAYED:
            names = ", ".join(map(str, PLAYED))
            raise ValueError(f"session must be of one of {names}, was of {self.exchange} ({os.fspath(path)})")
        self.path = path
        self.speed = speed
        self.frames_played = 0
        self.frames_by_channel: dict[str, int] = {}
        self._updated: set[CurrencyPair] = set()  # whose book has moved
        self._owed: Counter[CurrencyPair] = Counter()  # how many are still to get the recorded answer
        self._answers: dict[CurrencyPair, str] = {}
        self._has_fetched = False
        self._patient = True
        self._turn = asyncio.Event()  # something of what `fetch_depth` and `run` wait for has changed
        pairs: dict[CurrencyPair, None] = {}
        self._with_trades: set[CurrencyPair] = set()
        channels: set[str] = set()
        streams: dict[str, None] = {}
        depths: set[int] = set()
        # What came on several connections is played once: as it came on the first.
        self._first: dict[tuple[str, CurrencyPair], str] = {}
        recorded = RecordedPairs(self.exchange)
        numbers = RecordedNumbers() if self.exchange is Exchange.COINBASE else None
        self.recorded_numbers = numbers
        legs = Legs()
        for entry in iter_session(path):
            if entry.kind == "http":
                register_session_instruments(self.exchange, entry)
            elif entry.kind == "conn":
                legs.connected(entry)
            elif entry.kind == "recv":
                key = classify_frame(self.exchange, entry.data)
                if (depth := recorded_book_depth(self.exchange, entry)) is not None:
                    depths.add(depth)
                if key is not None:
                    channels.add(key.channel)
                    for pair in key.pairs:
                        self._first.setdefault((key.name, pair), entry.conn)
                if numbers is not None:
                    played = key is not None and self._is_played(entry, key)
                    numbers.note(legs.of(entry), entry.data, key if played else None)
                if key is not None:
                    streams[key.stream] = None
                    recorded.note(key, entry.conn)
                    pairs.update(dict.fromkeys(key.pairs))
                    if key.channel == "trade":
                        self._with_trades.update(key.pairs)
        if not pairs:
            raise ValueError(f"session {os.fspath(path)!r} holds no market data")
        self.raw_channels = frozenset(channels)
        self.raw_depths = frozenset(depths)
        self._streams = frozenset(streams)
        self._books = ReplayBooks(recorded)
        super().__init__((Instrument(pair, LOT) for pair in pairs), autostart=autostart, clock_ns=clock_ns)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begin, first_ns = loop.time(), None
        legs = Legs()
        for number, entry in enumerate(iter_session(self.path)):
            if entry.kind == "conn":
                legs.connected(entry)
                self._books.connected(entry.conn)
            if (whole := self._books.snapshot_of(entry)) is not None:
                if self._books.take_snapshot(whole, entry.data):
                    self._answers[whole] = entry.data
                    self._owed[whole] = self._followers(whole)
                    await self._wait_for_fetch(whole)
                continue
            if entry.kind != "recv":
                continue
            key = classify_frame(self.exchange, entry.data)
            if key is None:
                self._books.take(entry.data, entry.conn)
                continue
            if not self._is_played(entry, key):
                continue
            first_ns = entry.time_ns if first_ns is None else first_ns
            wait = begin + (entry.time_ns - first_ns) / 1e9 / self.speed - loop.time() if self.speed else 0.0
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % BATCH == 0:
                await asyncio.sleep(0)
            await self._play(entry, key, legs.of(entry))
            for pair in key.pairs if key.channel == "depth" else ():
                self._updated.add(pair)
                await self._wait_for_fetch(pair)
        for listener in tuple(self._listeners):
            await listener.drained()

    def _is_played(self, entry: SessionEntry, key: FrameKey) -> bool:
        return not key.pairs or entry.conn in {self._first[key.name, pair] for pair in key.pairs}

    def stand_in(self, stream: str) -> str:
        symbol, _, name = stream.partition("@")
        if self.exchange not in BINANCE or stream in self._streams:
            return stream
        names = STAND_INS.get(name, ())
        return next((found for other in names if (found := f"{symbol}@{other}") in self._streams), stream)

    def knows_depth(self, pair: CurrencyPair) -> bool:
        return self._books.book(pair) is not None

    def depth_time_ns(self, pair: CurrencyPair) -> int:
        book = self._books.book(pair)
        return book.exchangeTimeNs if book is not None else self.clock_ns()

    def watch_depth(self, pair: CurrencyPair) -> Ladder:
        book, ladder = self._books.book(pair), self._books.ladder(pair)
        if book is None or ladder is None:
            return super().watch_depth(pair)
        self._states[pair].update_id = book.seq
        return ladder

    async def fetch_depth(self, pair: CurrencyPair) -> str | None:
        if pair not in self._books.pairs:
            raise LookupError(f"the recording has no book of {pair}")
        try:
            async with asyncio.timeout(FETCH_S):
                while not (self._owed[pair] > 0 or self._books.knows(pair)):
                    self._turn.clear()
                    await self._turn.wait()
        except TimeoutError:
            raise LookupError(f"the recording does not know the book of {pair} here") from None
        self._has_fetched = True
        if self._owed[pair] > 0:
            # Whoever follows the updates from before it begins where the recording's own client began.
            self._owed[pair] -= 1
            self._turn.set()
            return self._answers[pair]
        return self._books.answer(pair)

    def _followers(self, pair: CurrencyPair) -> int:
        return sum(listener.depth_takers(pair) for listener in self._listeners if isinstance(listener, TakesDepth))

    async def _wait_for_fetch(self, pair: CurrencyPair) -> None:
        """Flat out: let those who follow a book fetch it once its updates have told them to, before all is past."""
        self._turn.set()
        if self.speed or not self._patient or pair not in self._updated:
            return
        try:
            async with asyncio.timeout(FETCH_S):
                while self._owed[pair] > 0:
                    self._turn.clear()
                    await self._turn.wait()
        except TimeoutError:
            # Whoever is there does not fetch this one; if nobody ever did, nobody is waited for again.
            self._patient = self._has_fetched
            self._owed[pair] = 0

    async def _play(self, entry: SessionEntry, key: FrameKey, leg: str) -> None:
        text = entry.data
        self._books.take(text, entry.conn, key)
        self.frames_played += 1
        self.frames_by_channel[key.channel] = self.frames_by_channel.get(key.channel, 0) + 1
        bare, combined = text, text
        if key.stream and self.exchange in BINANCE:
            if '"stream"' in text[: text.find('"data"')] and '"data"' in text:
                bare = text[text.index(":", text.index('"data"')) + 1 : text.rindex("}")].strip()
            else:
                combined = f'{{"stream":"{key.stream}","data":{text}}}'
        frame = RawFrame(
            self.exchange, key.stream, key.channel, frozenset(key.pairs), combined, bare, key.events, leg,
        )  # fmt: skip
        for listener in tuple(self._listeners):
            await listener.on_raw(frame, wait=self.speed == 0)
        try:
            self._apply(key)
        except (KeyError, IndexError, TypeError, ValueError, InvalidOperation):
            # Recorded as it came; an odd frame is for the client to judge and changes no price here.
            return

    def _apply(self, key: FrameKey) -> None:
        if self.exchange in BINANCE:
            self._apply_binance(key)
        elif self.exchange in (Exchange.OKX, Exchange.OKX_SWAP):
            self._apply_okx(key)
        elif self.exchange is Exchange.COINBASE:
            self._apply_coinbase(key)
        elif self.exchange is Exchange.KRAKEN_FUTURE:
            self._apply_kraken_future(key)
        elif isinstance(key.payload, list):
            self._apply_kraken_v1(key)
        else:
            self._apply_kraken_v2(key)

    def _apply_binance(self, key: FrameKey) -> None:
        row = key.payload
        for pair in key.pairs:
            if key.channel == "bookTicker":
                self._set_top(pair, (row["b"], row["B"]), (row["a"], row["A"]))
            elif row.get("X") == "NA":
                continue  # uses up a number and trades nothing
            elif key.channel == "trade" or (key.channel == "aggTrade" and pair not in self._with_trades):
                self._trade(pair, Side.SELL if row["m"] else Side.BUY, row["p"], row["q"])

    def _apply_okx(self, key: FrameKey) -> None:
        for pair in key.pairs:
            for row in key.payload["data"]:
                if key.channel == "tickers":
                    self._set_top(pair, (row["bidPx"] or 0, row["bidSz"] or 0), (row["askPx"] or 0, row["askSz"] or 0))
                elif key.channel == "bbo-tbt":
                    bid, ask = (next(iter(row[side]), (0, 0))[:2] for side in ("bids", "asks"))
                    self._set_top(pair, bid, ask)
                elif key.channel == "trades":
                    self._trade(pair, Side.BUY if row["side"] == "buy" else Side.SELL, row["px"], row["sz"])

    def _apply_coinbase(self, key: FrameKey) -> None:
        pairs = {native_symbol(self.exchange, pair): pair for pair in key.pairs}
        for event in key.payload["events"]:
            if key.channel == "ticker":
                for row in event["tickers"]:
                    bid, ask = ((row[f"best_{side}"], row[f"best_{side}_quantity"]) for side in ("bid", "ask"))
                    self._set_top(pairs[row["product_id"]], bid, ask)
            elif key.channel == "market_trades" and event["type"] == "update":
                for row in reversed(event["trades"]):
                    taker = Side.SELL if row["side"] == "BUY" else Side.BUY
                    self._trade(pairs[row["product_id"]], taker, row["price"], row["size"])

    def _apply_kraken_future(self, key: FrameKey) -> None:
        row = key.payload
        for pair in key.pairs:
            if key.channel == "ticker":
                self._set_top(pair, (row["bid"], row["bid_size"]), (row["ask"], row["ask_size"]))
            elif row["feed"] == "trade":
                self._trade(pair, Side.BUY if row["side"] == "buy" else Side.SELL, row["price"], row["qty"])

    def _apply_kraken_v1(self, key: FrameKey) -> None:
        body = key.payload[1]
        for pair in key.pairs:
            if key.channel == "ticker":
                self._set_top(pair, (body["b"][0], body["b"][2]), (body["a"][0], body["a"][2]))
            elif key.channel == "trade":
                for row in body:
                    self._trade(pair, Side.BUY if row[3] == "b" else Side.SELL, row[0], row[1])

    def _apply_kraken_v2(self, key: FrameKey) -> None:
        snapshot = key.payload.get("type") == "snapshot"
        pairs = {f"{pair.base}/{pair.quote}": pair for pair in key.pairs}
        for row in key.payload["data"]:
            pair = pairs[CurrencyPair(row["symbol"])]
            if key.channel == "ticker":
                self._set_top(pair, (row["bid"], row["bid_qty"]), (row["ask"], row["ask_qty"]))
            elif key.channel == "trade" and not snapshot:
                self._trade(pair, Side.BUY if row["side"] == "buy" else Side.SELL, row["price"], row["qty"])

    def _set_top(self, pair: CurrencyPair, bid: tuple[Any, Any], ask: tuple[Any, Any]) -> None:
        bids, asks = ([level] if all(level) else [] for level in (_level(*bid), _level(*ask)))
        fills = self._states[pair].book.set_market(bids, asks)
        self.deliver_fills(pair, fills)
        self.public_trades(pair, fills)

    def _trade(self, pair: CurrencyPair, side: Side, price: Any, size: Any) -> None:
        fills, _ = self._states[pair].book.market_trade(side, Decimal(price), Decimal(size))
        self.deliver_fills(pair, fills)
        self.public_trades(pair, fills)

    # The public sees the recording and nothing else: clients' own trades take a number and are not printed.

    def print_trade(self, pair: CurrencyPair, side: Side, price: Decimal, amount: Decimal, *, is_limit: bool) -> None:
        self._states[pair].next_trade_id += 1

    def publish_quote(self, pair: CurrencyPair, *, by_trade: bool) -> None:
        return None

    def orders_changed(self, pair: CurrencyPair, fills: list[Fill], *, is_limit: bool = True) -> None:
        self.public_trades(pair, fills, is_limit=is_limit)


def _level(price: Any, size: Any) -> Level:
    return Decimal(price), Decimal(size)
