"""Kraken Futures market data on the simulated market: public feeds and the list of instruments.

Source: Kraken documentation, Futures WebSocket and REST; field order and error texts as the venue sends them.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import web

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.sim.candles import funding_terms
from hftpy.sim.connection import ClientConnection
from hftpy.sim.depth import DepthChange, changed_levels
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.market import Market, MarketTrade, Quote, RawFrame
from hftpy.sim.text import dumps, plain
from hftpy.trading.matching import Level

HEARTBEAT_S = 10.0
FEEDS = ("ticker", "ticker_lite", "trade", "book")
FUNDING_PERIOD_S = 3600


@dataclass(slots=True)
class Session:
    """What one connection takes, as (feed, product), and when it was sent a heartbeat."""

    subscribed: dict[tuple[str, CurrencyPair], None] = field(default_factory=dict)
    heartbeat: bool = False
    beaten: float = 0.0


class KrakenFutureFrontEnd(FrontEnd):
    """Kraken Futures: ``ticker``, ``ticker_lite``, ``trade``, ``book``, ``heartbeat``."""

    exchange = Exchange.KRAKEN_FUTURE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._products = {native_symbol(self.exchange, pair): pair for pair in self.market.pairs}
        self._names = {pair: product for product, pair in self._products.items()}
        self._subscribers: dict[tuple[str, CurrencyPair], dict[ClientConnection, None]] = {}

    def serves(self, path: str) -> bool:
        return path.removeprefix(f"/{self.exchange}") == "/ws/v1"

    def open(self, connection: ClientConnection) -> Session:
        connection.send('{"event":"info","version":1}')
        return Session()

    def close(self, connection: ClientConnection) -> None:
        for subscribers in self._subscribers.values():
            subscribers.pop(connection, None)

    def tick(self) -> None:
        now = time.monotonic()
        for connection, session in tuple(self.connections.items()):
            if session.heartbeat and now - session.beaten >= HEARTBEAT_S:
                session.beaten = now
                connection.send(f'{{"feed":"heartbeat","time":{self.market.clock_ns() // 1_000_000}}}')
                self.frames["heartbeat"] += 1

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            self._say(connection, "error", "Json Error")
            return
        if not isinstance(request, dict) or request.get("event") not in ("subscribe", "unsubscribe"):
            self.malformed(connection)
            return
        event, feed, products = request["event"], request.get("feed"), request.get("product_ids")
        session: Session = self.connections[connection]
        if feed == "heartbeat":
            session.heartbeat = event == "subscribe"
            connection.send(f'{{"event":"{event}d","feed":"heartbeat"}}')
        elif feed not in FEEDS:
            self._say(connection, "error", "Invalid feed")
        elif not isinstance(products, list) or not products or not all(isinstance(name, str) for name in products):
            self._say(connection, "error", "Invalid product id")
        else:
            for product in products:
                pair = self._products.get(product.upper())
                if pair is None:
                    self._say(connection, "alert", f"Couldn't {event} to invalid product `{product}`")
                else:
                    self._subscription(connection, session, event, (str(feed), pair))

    def malformed(self, connection: ClientConnection) -> None:
        self._say(connection, "alert", "Bad request")

    def _say(self, connection: ClientConnection, event: str, text: str) -> None:
        connection.send(dumps({"event": event, "message": text}))

    def _subscription(
        self, connection: ClientConnection, session: Session, event: str, key: tuple[str, CurrencyPair]
    ) -> None:
        feed, pair = key
        if event == "subscribe" and key in session.subscribed:
            self._say(connection, "alert", "Already subscribed to feed, re-requesting")
        connection.send(f'{{"event":"{event}d","feed":"{feed}","product_ids":["{self._names[pair]}"]}}')
        if event == "unsubscribe":
            session.subscribed.pop(key, None)
            self._subscribers.get(key, {}).pop(connection, None)
            return
        session.subscribed[key] = None
        self._subscribers.setdefault(key, {})[connection] = None
        state = self.market.state(pair)
        if self.market.plays_raw:
            if feed == "book" and self.market.knows_depth(pair):
                self.send_data(connection, "book", self._snapshot_text(pair))
        else:
            if feed == "trade":
                rows = ",".join(self._trade_text(trade) for trade in reversed(state.recent))
                text = f'{{"feed":"trade_snapshot","product_id":"{self._names[pair]}","trades":[{rows}]}}'
                self.send_data(connection, "trade", text, len(state.recent))
            elif feed == "book":
                self.send_data(connection, "book", self._snapshot_text(pair))
            elif state.quote is not None:
                self.send_data(connection, feed, self._ticker_text(feed, state.quote))
        self.subscribed()

    def on_quote(self, quote: Quote) -> None:
        for feed in ("ticker", "ticker_lite"):
            if subscribers := self._subscribers.get((feed, quote.pair)):
                text = self._ticker_text(feed, quote)
                for connection in tuple(subscribers):
                    self.send_data(connection, feed, text)

    def on_market_trade(self, trade: MarketTrade) -> None:
        for connection in tuple(self._subscribers.get(("trade", trade.pair), ())):
            self.send_data(connection, "trade", self._trade_text(trade))

    def on_depth(self, change: DepthChange) -> None:
        subscribers = self._subscribers.get(("book", change.pair))
        if not subscribers:
            return
        bids = changed_levels(change.before.bids, change.after.bids)
        asks = changed_levels(change.before.asks, change.after.asks)
        rows = [("buy", level) for level in bids] + [("sell", level) for level in asks]
        rows.sort(key=lambda row: row[1][1] != 0)  # what goes comes first: a client's book never crosses on the way
        for number, (side, (price, size)) in enumerate(rows, change.first_id):
            text = (
                f'{{"feed":"book","product_id":"{self._names[change.pair]}","side":"{side}","seq":{number},'
                f'"price":{price:f},"qty":{_number(size)},"timestamp":{change.time_ns // 1_000_000}}}'
            )
            for connection in tuple(subscribers):
                self.send_data(connection, "book", text)

    def _snapshot_text(self, pair: CurrencyPair) -> str:
        ladder, state = self.market.watch_depth(pair), self.market.state(pair)
        bids, asks = (_levels(side) for side in (ladder.bids, ladder.asks))
        return (
            f'{{"feed":"book_snapshot","product_id":"{self._names[pair]}",'
            f'"timestamp":{self.market.depth_time_ns(pair) // 1_000_000},"seq":{state.update_id},"tickSize":null,'
            f'"bids":[{bids}],"asks":[{asks}]}}'
        )

    def _ticker_text(self, feed: str, quote: Quote) -> str:
        state, product = self.market.state(quote.pair), self._names[quote.pair]
        bid, bid_size = quote.bid or (Decimal(0), Decimal(0))
        ask, ask_size = quote.ask or (Decimal(0), Decimal(0))
        last = state.last_price if state.last_price is not None else bid
        opened = state.open if state.open is not None else last
        change = (last - opened) / opened * 100 if opened else Decimal(0)
        milliseconds = quote.time_ns // 1_000_000
        tag = "perpetual" if product[0] == "P" else "month"
        volume, pair = _number(state.volume), f"{product.split('_')[1][:-3]}:{product.split('_')[1][-3:]}"
        if feed == "ticker_lite":
            return (
                f'{{"feed":"ticker_lite","product_id":"{product}","bid":{bid:f},"ask":{ask:f},'
                f'"change":{float(change)},"premium":0.0,"volume":{volume},"tag":"{tag}","pair":"{pair}","dtm":0,'
                f'"maturityTime":0,"volumeQuote":{_number(state.turnover)}}}'
            )
        terms = funding_terms(self.market, quote.pair, FUNDING_PERIOD_S)
        mark, index = (terms.mark, terms.index) if terms else (last, last)
        funding = ""
        if terms is not None and product[0] == "P":
            # A rate that is zero is left out.
            rates = {
                "funding_rate": terms.rate * index, "funding_rate_prediction": terms.next_rate * index,
                "relative_funding_rate": terms.rate, "relative_funding_rate_prediction": terms.next_rate,
            }  # fmt: skip
            funding = "".join(f'"{name}":{float(rate)},' for name, rate in rates.items() if rate)
            funding += f'"next_funding_rate_time":{terms.time_ns // 1_000_000},'
        return (
            f'{{"time":{milliseconds},"product_id":"{product}",{funding}'
            f'"feed":"ticker","bid":{bid:f},"ask":{ask:f},"bid_size":{_number(bid_size)},'
            f'"ask_size":{_number(ask_size)},"volume":{volume},"dtm":0,"leverage":"50x","index":{index:f},"premium":0.0,'
            f'"last":{last:f},"change":{float(change)},"suspended":false,"tag":"{tag}","pair":"{pair}",'
            f'"openInterest":0.0,"markPrice":{mark:f},"maturityTime":0,"post_only":false,'
            f'"volumeQuote":{_number(state.turnover)}}}'
        )

    def _trade_text(self, trade: MarketTrade) -> str:
        product, side = self._names[trade.pair], "buy" if trade.side is Side.BUY else "sell"
        uid = uuid.uuid5(uuid.NAMESPACE_OID, f"{product}/{trade.trade_id}")
        return (
            f'{{"feed":"trade","product_id":"{product}","uid":"{uid}","side":"{side}","type":"fill",'
            f'"seq":{trade.trade_id},"time":{trade.time_ns // 1_000_000},"qty":{_number(trade.amount)},'
            f'"price":{trade.price:f}}}'
        )

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        takers: dict[ClientConnection, None] = {}
        for pair in frame.pairs:
            takers.update(self._subscribers.get((frame.channel, pair), {}))
            if frame.channel == "ticker_lite" and "ticker" not in self.market.raw_channels:
                takers.update(self._subscribers.get(("ticker", pair), {}))
        return list(takers)


class KrakenFutureRest:
    """`/derivatives/api/v3`: instruments."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under ``{prefix}/derivatives/api/v3``."""
        app.router.add_get(prefix + "/derivatives/api/v3/instruments", self._instruments)

    async def _instruments(self, request: web.Request) -> web.Response:
        rows = [
            {
                "symbol": native_symbol(Exchange.KRAKEN_FUTURE, item.pair), "type": "flexible_futures",
                "tickSize": float(item.tick), "contractSize": 1, "tradeable": True,
                "contractValueTradePrecision": -item.lot.adjusted(),
                "base": item.pair.base.upper(), "quote": item.pair.quote.upper(),
            }
            for item in self._market.instruments
        ]  # fmt: skip
        return web.json_response({"result": "success", "instruments": rows})


def _levels(levels: tuple[Level, ...]) -> str:
    return ",".join(f'{{"price":{price:f},"qty":{_number(size)}}}' for price, size in levels)


def _number(number: Decimal) -> str:
    text = plain(number)
    return text if "." in text else text + ".0"
