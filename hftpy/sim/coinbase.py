"""Coinbase Advanced Trade market data on the simulated market: WebSocket channels and the list of products.

Source: Coinbase Developer Documentation, Advanced Trade WebSocket; field order and error texts as the venue sends them.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.sim.candles import Candle, KlineFeed
from hftpy.sim.connection import ClientConnection
from hftpy.sim.depth import DepthChange, Ladder, changed_levels
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.market import Market, MarketTrade, Quote, RawFrame
from hftpy.sim.replay_numbers import Renumbering, number_of, numbered
from hftpy.sim.text import dumps, plain
from hftpy.trading.matching import Level

HEARTBEAT_S = 1.0
BATCH_S = 5.0
CHANNELS = ("ticker", "ticker_batch", "market_trades", "level2", "candles")
CANDLE_S = 300
CANDLE_PERIOD_S = 1.0
RAW_CHANNELS = {"l2_data": "level2"}  # where a frame's name is not the one that is subscribed


@dataclass(slots=True)
class Session:
    """What one connection has subscribed to, and the number of its next frame."""

    number: int = 0
    channels: dict[str, dict[str, None]] = field(default_factory=dict)  # products by channel
    beaten: float = field(default_factory=time.monotonic)
    batched: float = field(default_factory=time.monotonic)
    renumbering: Renumbering | None = None

    def take_number(self) -> int:
        """Use up the next number."""
        self.number += 1
        return self.number - 1


class CoinbaseFrontEnd(FrontEnd):
    """Coinbase Advanced Trade. Every frame of a connection is numbered, also those that a fault loses on the way."""

    exchange = Exchange.COINBASE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._products = {native_symbol(self.exchange, pair): pair for pair in self.market.pairs}
        self._names = {pair: product for product, pair in self._products.items()}
        self._subscribers: dict[tuple[str, CurrencyPair], dict[ClientConnection, None]] = {}
        self._began = time.monotonic()
        self._played: dict[str, int] = {}  # up to where each connection of a recording is played
        self._klines = KlineFeed(self.market, self._show_candle, period_s=CANDLE_PERIOD_S, fills=False)

    def serves(self, path: str) -> bool:
        return path.removeprefix(f"/{self.exchange}") in ("", "/")

    def open(self, connection: ClientConnection) -> Session:
        session = Session()
        session.renumbering = self._renumbering(connection, session)
        return session

    def close(self, connection: ClientConnection) -> None:
        for subscribers in self._subscribers.values():
            subscribers.pop(connection, None)

    def tick(self) -> None:
        now = time.monotonic()
        for connection, session in tuple(self.connections.items()):
            if "heartbeats" in session.channels and now - session.beaten >= HEARTBEAT_S:
                session.beaten = now
                moment = datetime.fromtimestamp(self.market.clock_ns() / 1e9, UTC)
                count = int(now - self._began)
                beat = {
                    "current_time": f"{moment:%Y-%m-%d %H:%M:%S.%f} +0000 UTC m=+{count}",
                    "heartbeat_counter": count,
                }
                self._control(connection, session, "heartbeats", dumps([beat]))
                self.frames["heartbeats"] += 1
            if "ticker_batch" in session.channels and now - session.batched >= BATCH_S and not self.market.plays_raw:
                session.batched = now
                rows = [self._ticker_row(self._products[product]) for product in session.channels["ticker_batch"]]
                self._send(connection, "ticker_batch", self._event("update", "tickers", rows), len(rows))
        self._klines.tick()

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or request.get("type") not in ("subscribe", "unsubscribe"):
            self.malformed(connection)
            return
        channel, products = request.get("channel"), request.get("product_ids", [])
        known = channel in CHANNELS
        listed = isinstance(products, list) and all(isinstance(product, str) for product in products)
        session: Session = self.connections[connection]
        if channel == "heartbeats" and listed:
            if request["type"] == "subscribe":
                session.channels[channel] = {"heartbeats": None}
            else:
                session.channels.pop(channel, None)
        elif known and listed and products and all(self._known(product) for product in products):
            for product in map(self._known, products):
                assert product is not None
                self._subscription(connection, session, request["type"], str(channel), product)
        else:
            self._refuse(connection, f"failure to {request['type']}")
            return
        subscriptions = {name: list(entries) for name, entries in session.channels.items() if entries}
        self._control(connection, session, "subscriptions", dumps([{"subscriptions": subscriptions}]))
        if request["type"] == "subscribe" and channel != "heartbeats":
            self.subscribed()

    def malformed(self, connection: ClientConnection) -> None:
        self._refuse(connection, "failure to parse message")

    def _refuse(self, connection: ClientConnection, text: str) -> None:
        connection.send(dumps({"type": "error", "message": text}))

    def _known(self, product: str) -> str | None:
        """The product under whose name a product is answered: one in USDC under the one in USD."""
        if product in self._products:
            return product
        alias = product.removesuffix("C")
        return alias if product.endswith("-USDC") and alias in self._products else None

    def _subscription(
        self, connection: ClientConnection, session: Session, kind: str, channel: str, product: str
    ) -> None:
        pair = self._products[product]
        if session.renumbering is not None:
            for recorded_on, end in self._played.items():
                session.renumbering.advance(recorded_on, end, silent=self.faults.muted)
        if kind == "unsubscribe":
            session.channels.get(channel, {}).pop(product, None)
            self._subscribers.get((channel, pair), {}).pop(connection, None)
            return
        session.channels.setdefault(channel, {})[product] = None
        self._subscribers.setdefault((channel, pair), {})[connection] = None
        if self.market.plays_raw and not (channel == "level2" and self.market.knows_depth(pair)):
            return
        state = self.market.state(pair)
        if channel == "market_trades":
            rows = [self._trade_row(trade) for trade in reversed(state.recent)]
            self._send(connection, channel, self._event("snapshot", "trades", rows), len(rows))
        elif channel == "level2":
            ladder = self.market.watch_depth(pair)
            event = self._book_event("snapshot", product, ladder, self.market.depth_time_ns(pair))
            self._send(connection, "l2_data", event)
        elif channel == "candles":
            self._klines.watch(pair, CANDLE_S)
            candles = self.market.past_candles(pair, CANDLE_S)
            newest = self.market.candle(pair, CANDLE_S)
            rows = [self._candle_row(pair, candle) for candle in (*candles, *([newest] if newest.count else ()))]
            self._send(connection, channel, self._event("snapshot", "candles", rows), len(rows))
        elif state.quote is not None:
            row = self._ticker_row(pair, None if channel == "ticker_batch" else state.quote)
            self._send(connection, channel, self._event("snapshot", "tickers", [row]))

    # Frames

    def _frame(self, session: Session, channel: str, events: str) -> str:
        number = session.take_number()
        moment = _rfc3339(self.market.clock_ns())
        return f'{{"channel":"{channel}","timestamp":"{moment}","sequence_num":{number},"events":{events}}}'

    def _control(self, connection: ClientConnection, session: Session, channel: str, events: str) -> None:
        connection.send(self._frame(session, channel, events))

    def _send(self, connection: ClientConnection, channel: str, events: str, count: int = 1) -> None:
        session: Session = self.connections.get(connection) or Session()
        # A venue that is mute does not number what it does not send.
        text = events if self.faults.muted else self._frame(session, channel, events)
        self.send_data(connection, channel, text, count)

    def _event(self, kind: str, what: str, rows: Iterable[str]) -> str:
        return f'[{{"type":"{kind}","{what}":[{",".join(rows)}]}}]'

    def on_quote(self, quote: Quote) -> None:
        subscribers = self._subscribers.get(("ticker", quote.pair))
        if subscribers:
            events = self._event("update", "tickers", [self._ticker_row(quote.pair, quote)])
            for connection in tuple(subscribers):
                self._send(connection, "ticker", events)

    def on_market_trade(self, trade: MarketTrade) -> None:
        self._klines.take(trade)
        subscribers = self._subscribers.get(("market_trades", trade.pair))
        if subscribers:
            events = self._event("update", "trades", [self._trade_row(trade)])
            for connection in tuple(subscribers):
                self._send(connection, "market_trades", events)

    def on_depth(self, change: DepthChange) -> None:
        subscribers = self._subscribers.get(("level2", change.pair))
        if subscribers:
            levels = Ladder(
                tuple(changed_levels(change.before.bids, change.after.bids)),
                tuple(changed_levels(change.before.asks, change.after.asks)),
            )
            events = self._book_event("update", self._names[change.pair], levels, change.time_ns)
            for connection in tuple(subscribers):
                self._send(connection, "l2_data", events)

    def _show_candle(self, pair: CurrencyPair, candle: Candle, is_over: bool) -> None:
        subscribers = self._subscribers.get(("candles", pair))
        if subscribers:
            events = self._event("update", "candles", [self._candle_row(pair, candle)])
            for connection in tuple(subscribers):
                self._send(connection, "candles", events)

    def _candle_row(self, pair: CurrencyPair, candle: Candle) -> str:
        return (
            f'{{"start":"{candle.open_ns // 1_000_000_000}","high":"{candle.high:f}","low":"{candle.low:f}",'
            f'"open":"{candle.open:f}","close":"{candle.close:f}","volume":"{candle.volume:f}",'
            f'"product_id":"{self._names[pair]}"}}'
        )

    def _ticker_row(self, pair: CurrencyPair, quote: Quote | None = None) -> str:
        state = self.market.state(pair)
        last = state.last_price if state.last_price is not None else Decimal(0)
        opened = state.open if state.open is not None else last
        percent = (last - opened) / opened * 100 if opened else Decimal(0)
        low, high = (plain(last if value is None else value) for value in (state.low, state.high))
        best = ""
        if quote is not None:
            bid, ask = quote.bid or (Decimal(0), Decimal(0)), quote.ask or (Decimal(0), Decimal(0))
            best = (
                f',"best_bid":"{bid[0]:f}","best_ask":"{ask[0]:f}","best_bid_quantity":"{bid[1]:f}",'
                f'"best_ask_quantity":"{ask[1]:f}"'
            )
        return (
            f'{{"type":"ticker","product_id":"{self._names[pair]}","price":"{last:f}","volume_24_h":"{state.volume:f}",'
            f'"low_24_h":"{low}","high_24_h":"{high}","low_52_w":"{low}","high_52_w":"{high}",'
            f'"price_percent_chg_24_h":"{percent:f}"{best}}}'
        )

    def _trade_row(self, trade: MarketTrade) -> str:
        maker = "SELL" if trade.side is Side.BUY else "BUY"
        return (
            f'{{"product_id":"{self._names[trade.pair]}","trade_id":"{trade.trade_id}","price":"{trade.price:f}",'
            f'"size":"{trade.amount:f}","time":"{_rfc3339(trade.time_ns)}","side":"{maker}"}}'
        )

    def _book_event(self, kind: str, product: str, levels: Ladder, time_ns: int) -> str:
        moment = _rfc3339(time_ns)
        rows = [_level_row("bid", level, moment) for level in levels.bids]
        rows += [_level_row("offer", level, moment) for level in levels.asks]
        return f'[{{"type":"{kind}","product_id":"{product}","updates":[{",".join(rows)}]}}]'

    # Recorded frames are numbered anew: what a connection has not subscribed is not missing, what was lost is.

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        channel = RAW_CHANNELS.get(frame.channel, frame.channel)
        takers: dict[ClientConnection, None] = {}
        for pair in frame.pairs:
            takers.update(self._subscribers.get((channel, pair), {}))
            if channel == "ticker_batch" and "ticker" not in self.market.raw_channels:
                takers.update(self._subscribers.get(("ticker", pair), {}))
        return list(takers)

    async def on_raw(self, frame: RawFrame, *, wait: bool) -> None:
        await super().on_raw(frame, wait=wait)
        number = number_of(frame.text)
        if number is not None and self.takes(frame.exchange):
            self._played[frame.recorded_on] = max(self._played.get(frame.recorded_on, 0), number + 1)

    def raw_text(self, connection: ClientConnection, frame: RawFrame) -> str:
        session: Session | None = self.connections.get(connection)
        number = number_of(frame.text)
        if session is None or number is None or session.renumbering is None:
            return frame.text
        # A venue that is mute does not number what it does not send.
        return numbered(frame.text, session.renumbering.of(frame.recorded_on, number, silent=self.faults.muted))

    def _renumbering(self, connection: ClientConnection, session: Session) -> Renumbering | None:
        recorded = self.market.recorded_numbers
        if recorded is None:
            return None

        def wanted(channel: str, pairs: tuple[CurrencyPair, ...]) -> bool:
            name = RAW_CHANNELS.get(channel, channel)
            return any(connection in self._subscribers.get((name, pair), ()) for pair in pairs)

        return Renumbering(recorded, self._played, session.take_number, wanted)


class CoinbaseRest:
    """`/api/v3/brokerage`: time and the market's products."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under ``{prefix}/api/v3/brokerage``."""
        app.router.add_get(prefix + "/api/v3/brokerage/time", self._time)
        app.router.add_get(prefix + "/api/v3/brokerage/market/products", self._products)

    async def _time(self, request: web.Request) -> web.Response:
        now = self._market.clock_ns()
        return web.json_response(
            {"iso": _rfc3339(now), "epochSeconds": str(now // 10**9), "epochMillis": str(now // 10**6)}
        )

    async def _products(self, request: web.Request) -> web.Response:
        rows = [
            {
                "product_id": native_symbol(Exchange.COINBASE, item.pair), "base_increment": plain(item.lot),
                "quote_increment": plain(item.tick), "price_increment": plain(item.tick),
                "base_min_size": plain(item.minimum), "status": "online", "product_type": "SPOT",
                "base_currency_id": item.pair.base.upper(), "quote_currency_id": item.pair.quote.upper(),
                "is_disabled": False, "trading_disabled": False, "alias": "", "alias_to": [],
            }
            for item in self._market.instruments
        ]  # fmt: skip
        return web.json_response({"products": rows, "num_products": len(rows)})


def _level_row(side: str, level: Level, moment: str) -> str:
    size = f"{level[1]:f}" if level[1] else "0"
    return f'{{"side":"{side}","event_time":"{moment}","price_level":"{level[0]:f}","new_quantity":"{size}"}}'


def _rfc3339(time_ns: int) -> str:
    """``2026-01-19T14:45:24.534338001Z``"""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000:09d}Z"
