"""Binance spot market data on the simulated market: WebSocket streams and a little REST.

Source: binance-spot-api-docs, web-socket-streams and rest-api.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.sim.candles import Candle, KlineFeed
from hftpy.sim.connection import ClientConnection
from hftpy.sim.depth import DepthChange, changed_levels
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.market import Market, MarketTrade, Quote, RawFrame
from hftpy.sim.text import dumps, plain
from hftpy.trading.matching import Level

MAX_STREAMS = 1024
MAX_LEVELS = 5000
LEVELS = 100  # where a request for the depth names no limit
DEPTH_STREAMS = ("depth", "depth@100ms")
EIGHT = Decimal("0.00000000")
KLINE_PERIOD_S = 2.0  # of one second: 1 s
KLINES = {
    "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "6h": 21600,
    "8h": 28800, "12h": 43200, "1d": 86400, "3d": 259200, "1w": 604800,
}  # fmt: skip


@dataclass(slots=True)
class Session:
    """What one connection takes, in the order of subscribing, and how it wants it framed."""

    combined: bool
    streams: dict[str, None] = field(default_factory=dict)
    route: str = ""  # the half of the venue that the connection was made to, where it has halves


class BinanceFrontEnd(FrontEnd):
    """Binance spot market streams."""

    exchange = Exchange.BINANCE
    intervals: ClassVar[Mapping[str, int]] = {"1s": 1} | KLINES
    kline_period_s = KLINE_PERIOD_S

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._klines = KlineFeed(self.market, self._show_kline, period_s=self.kline_period_s, fills=True)
        self._interval_names = {seconds: name for name, seconds in self.intervals.items()}
        self._symbols = {pair: symbol_of(pair, self.exchange) for pair in self.market.pairs}
        self._pairs = {symbol: pair for pair, symbol in self._symbols.items()}
        self._subscribers: dict[str, dict[ClientConnection, Session]] = {}

    def serves(self, path: str) -> bool:
        return self.route_of(path) is not None

    def route_of(self, path: str) -> tuple[str, str] | None:
        """The half of the venue that a path names, and what follows; None where there is nothing."""
        bare = path.removeprefix(f"/{self.exchange}")
        return ("", bare) if bare in ("/stream", "/ws") or bare.startswith("/ws/") else None

    def is_on(self, route: str, stream: str) -> bool:
        """Whether a stream is delivered on that half of the venue; it is acknowledged on either."""
        return True

    def open(self, connection: ClientConnection) -> Session:
        parts = urlsplit(connection.path)
        route, path = self.route_of(parts.path) or ("", "/ws")
        combined = path == "/stream"
        if combined:
            names = parse_qs(parts.query).get("streams", [""])[0].split("/")
        else:
            names = [unquote(name) for name in path.removeprefix("/ws").split("/")]
        session = Session(combined, route=route)
        for name in names:
            if name:
                self._add(connection, session, name)
        return session

    def close(self, connection: ClientConnection) -> None:
        for subscribers in self._subscribers.values():
            subscribers.pop(connection, None)

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            self._refuse(connection, 3, "Invalid JSON: expected value at line 1 column 1")
            return
        if not isinstance(request, dict):
            self._refuse(connection, 2, "Invalid request: request must be an object")
            return
        request_id = request.get("id")
        wrong_id = isinstance(request_id, bool) or not isinstance(request_id, int | str | None)
        if wrong_id or (isinstance(request_id, str) and len(request_id) > 36):
            self._refuse(connection, 2, "Invalid request: request ID must be an unsigned integer or a string")
            return
        session: Session = self.connections[connection]
        params = request.get("params")
        match request.get("method"):
            case "SUBSCRIBE" | "UNSUBSCRIBE" as method:
                self._change(connection, session, method, params, request_id)
            case "LIST_SUBSCRIPTIONS":
                connection.send(dumps({"result": list(session.streams), "id": request_id}))
            case "SET_PROPERTY":
                if not (isinstance(params, list) and len(params) == 2 and params[0] == "combined"):
                    self._refuse(connection, 0, "Unknown property", request_id)
                elif not isinstance(params[1], bool):
                    self._refuse(connection, 1, "Invalid value type: expected Boolean", request_id)
                else:
                    session.combined = params[1]
                    connection.send(dumps({"result": None, "id": request_id}))
            case "GET_PROPERTY":
                connection.send(dumps({"result": session.combined, "id": request_id}))
            case method:
                text = f"Invalid request: unknown variant `{method}`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, "
                text += "`LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
                self._refuse(connection, 2, text, request_id)

    def malformed(self, connection: ClientConnection) -> None:
        self._refuse(connection, 2, "Invalid request: request cannot be read")

    def _change(
        self, connection: ClientConnection, session: Session, method: str, params: object, request_id: int | str | None
    ) -> None:
        if not isinstance(params, list):
            self._refuse(connection, 2, "Invalid request: streams must be an array", request_id)
            return
        if not all(isinstance(name, str) and "@" in name for name in params):
            self._refuse(connection, 2, "Invalid request: invalid stream", request_id)
            return
        if method == "SUBSCRIBE" and len(session.streams.keys() | set(params)) > MAX_STREAMS:
            self._refuse(connection, 2, f"Invalid request: too many streams (limit {MAX_STREAMS})", request_id)
            return
        connection.send(dumps({"result": None, "id": request_id}))
        for name in params:
            if method == "SUBSCRIBE":
                self._add(connection, session, name)
            else:
                session.streams.pop(name, None)
                self._subscribers.get(self.market.stand_in(name), {}).pop(connection, None)

    def _refuse(self, connection: ClientConnection, code: int, text: str, request_id: int | str | None = None) -> None:
        connection.send(dumps({"error": {"code": code, "msg": text}, "id": request_id}))

    def _add(self, connection: ClientConnection, session: Session, name: str) -> None:
        session.streams[name] = None
        symbol, _, stream = name.partition("@")
        if self.is_on(session.route, stream):
            self._subscribers.setdefault(self.market.stand_in(name), {})[connection] = session
        pair = self._pairs.get(symbol.upper())
        if pair is not None and (stream in DEPTH_STREAMS or (self.market.plays_raw and stream.startswith("depth"))):
            self.market.watch_depth(pair)
        interval_s = self.intervals.get(stream.removeprefix("kline_")) if stream.startswith("kline_") else None
        if pair is not None and interval_s is not None and not self.market.plays_raw:
            self._klines.watch(pair, interval_s)
        self.subscribed()

    def depth_takers(self, pair: CurrencyPair) -> int:
        """How many connections take a pair's depth updates."""
        head = f"{self._symbols[pair].lower()}@depth" if pair in self._symbols else "@"
        return sum(len(found) for name, found in self._subscribers.items() if name.startswith(head))

    def tick(self) -> None:
        self._klines.tick()

    def _show_kline(self, pair: CurrencyPair, candle: Candle, is_over: bool) -> None:
        interval = self._interval_names[candle.interval_s]
        symbol = self._symbols[pair]
        stream = f"{symbol.lower()}@kline_{interval}"
        if self._subscribers.get(stream):
            self._deliver(stream, "kline", self._kline_text(symbol, interval, candle, is_over))

    def _kline_text(self, symbol: str, interval: str, candle: Candle, is_over: bool) -> str:
        return (
            f'{{"e":"kline","E":{self.market.clock_ns() // 1_000_000},"s":"{symbol}","k":{{'
            f'"t":{candle.open_ns // 1_000_000},"T":{candle.close_ns // 1_000_000 - 1},"s":"{symbol}","i":"{interval}",'
            f'"f":{candle.first_id},"L":{candle.last_id},"o":"{candle.open:.8f}","c":"{candle.close:.8f}",'
            f'"h":"{candle.high:.8f}","l":"{candle.low:.8f}","v":"{candle.volume:.8f}","n":{candle.count},'
            f'"x":{"true" if is_over else "false"},"q":"{candle.turnover:.8f}","V":"{candle.bought:.8f}",'
            f'"Q":"{candle.bought_turnover:.8f}","B":"0"}}}}'
        )

    def _deliver(self, stream: str, channel: str, data: str) -> None:
        for connection, session in tuple(self._subscribers.get(stream, {}).items()):
            text = f'{{"stream":"{stream}","data":{data}}}' if session.combined else data
            self.send_data(connection, channel, text)

    def on_quote(self, quote: Quote) -> None:
        symbol = self._symbols[quote.pair]
        stream = f"{symbol.lower()}@bookTicker"
        if not self._subscribers.get(stream):
            return
        self._deliver(stream, "bookTicker", self.quote_text(symbol, quote))

    def quote_text(self, symbol: str, quote: Quote) -> str:
        """A bookTicker."""
        bid, bid_size = quote.bid or (EIGHT, EIGHT)
        ask, ask_size = quote.ask or (EIGHT, EIGHT)
        return (
            f'{{"u":{quote.update_id},"s":"{symbol}","b":"{bid:.8f}","B":"{bid_size:.8f}",'
            f'"a":"{ask:.8f}","A":"{ask_size:.8f}"}}'
        )

    def on_market_trade(self, trade: MarketTrade) -> None:
        self._klines.take(trade)
        symbol = self._symbols[trade.pair]
        for stream in ("trade", "aggTrade"):
            if self._subscribers.get(f"{symbol.lower()}@{stream}"):
                text = self.trade_text(symbol, trade, aggregate=stream == "aggTrade")
                self._deliver(f"{symbol.lower()}@{stream}", stream, text)

    def trade_text(self, symbol: str, trade: MarketTrade, *, aggregate: bool) -> str:
        """A trade, or an aggTrade of one trade."""
        milliseconds, number = trade.time_ns // 1_000_000, trade.trade_id
        head = f'"E":{milliseconds},"s":"{symbol}"'
        what = f'"p":"{trade.price:.8f}","q":"{trade.amount:.8f}"'
        tail = f'"T":{milliseconds},"m":{"true" if trade.side is Side.SELL else "false"},"M":true}}'
        if aggregate:
            return f'{{"e":"aggTrade",{head},"a":{number},{what},"f":{number},"l":{number},{tail}'
        return f'{{"e":"trade",{head},"t":{number},{what},{tail}'

    def on_depth(self, change: DepthChange) -> None:
        symbol = self._symbols[change.pair]
        streams = [f"{symbol.lower()}@{stream}" for stream in DEPTH_STREAMS]
        if not any(self._subscribers.get(stream) for stream in streams):
            return
        bids = _levels(changed_levels(change.before.bids, change.after.bids))
        asks = _levels(changed_levels(change.before.asks, change.after.asks))
        data = f'{{"e":"depthUpdate",{self.depth_head(symbol, change)},"b":{bids},"a":{asks}}}'
        for stream in streams:
            self._deliver(stream, "depth", data)

    def depth_head(self, symbol: str, change: DepthChange) -> str:
        """What stands before the levels of a depth update."""
        return f'"E":{change.time_ns // 1_000_000},"s":"{symbol}","U":{change.first_id},"u":{change.last_id}'

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        return list(self._subscribers.get(frame.stream, ()))

    def raw_text(self, connection: ClientConnection, frame: RawFrame) -> str:
        return frame.text if self.connections[connection].combined else frame.bare


class BinanceRest:
    """`/api/v3`: ping, time, exchangeInfo, depth."""

    base = "/api/v3"
    exchange = Exchange.BINANCE

    def __init__(self, market: Market) -> None:
        self._market = market
        self._pairs = {symbol_of(pair, self.exchange): pair for pair in market.pairs}

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under ``{prefix}`` and the base path."""
        app.router.add_get(f"{prefix}{self.base}/ping", self._ping)
        app.router.add_get(f"{prefix}{self.base}/time", self._time)
        app.router.add_get(f"{prefix}{self.base}/exchangeInfo", self._exchange_info)
        app.router.add_get(f"{prefix}{self.base}/depth", self._depth)

    def depth_head(self, update_id: int) -> str:
        """What stands before the levels of a depth snapshot."""
        return f'"lastUpdateId":{update_id}'

    async def _ping(self, request: web.Request) -> web.Response:
        return _json({})

    async def _time(self, request: web.Request) -> web.Response:
        return _json({"serverTime": self._market.clock_ns() // 1_000_000})

    async def _exchange_info(self, request: web.Request) -> web.Response:
        wanted = self._pairs
        if "symbol" in request.query:
            if request.query["symbol"] not in self._pairs:
                return _json({"code": -1121, "msg": "Invalid symbol."}, 400)
            wanted = {request.query["symbol"]: self._pairs[request.query["symbol"]]}
        return _json(
            {
                "timezone": "UTC",
                "serverTime": self._market.clock_ns() // 1_000_000,
                "rateLimits": [],
                "exchangeFilters": [],
                "symbols": [self.symbol_row(symbol, pair) for symbol, pair in wanted.items()],
            }
        )

    def symbol_row(self, symbol: str, pair: CurrencyPair) -> dict[str, Any]:
        """An instrument of exchangeInfo."""
        instrument = self._market.state(pair).instrument
        return {
            "symbol": symbol,
            "status": "TRADING",
            "baseAsset": pair.base.upper(),
            "baseAssetPrecision": 8,
            "quoteAsset": pair.quote.upper(),
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "isSpotTradingAllowed": True,
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": plain(instrument.tick),
                    "maxPrice": "1000000.00000000",
                    "tickSize": plain(instrument.tick),
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": plain(instrument.minimum),
                    "maxQty": "9000000.00000000",
                    "stepSize": plain(instrument.lot),
                },
            ],
        }

    async def _depth(self, request: web.Request) -> web.Response:
        pair = self._pairs.get(request.query.get("symbol", ""))
        if pair is None:
            return _json({"code": -1121, "msg": "Invalid symbol."}, 400)
        try:
            limit = int(request.query.get("limit", LEVELS))
        except ValueError:
            return _json({"code": -1100, "msg": "Illegal characters found in parameter 'limit'."}, 400)
        try:
            recorded = await self._market.fetch_depth(pair)
        except LookupError as error:
            return _json({"code": -1001, "msg": f"Internal error; {error}."}, 503)
        if recorded is not None:
            return web.Response(text=recorded, content_type="application/json")
        ladder = self._market.watch_depth(pair)
        depth = min(limit, MAX_LEVELS) if limit > 0 else LEVELS
        text = f'{{{self.depth_head(self._market.state(pair).update_id)},'
        text += f'"bids":{_levels(ladder.bids[:depth])},"asks":{_levels(ladder.asks[:depth])}}}'
        return web.Response(text=text, content_type="application/json")


def _levels(levels: Sequence[Level]) -> str:
    return "[" + ",".join(f'["{price:.8f}","{size:.8f}"]' for price, size in levels) + "]"


def symbol_of(pair: CurrencyPair, exchange: Exchange = Exchange.BINANCE) -> str:
    """Binance's spelling of a pair."""
    return native_symbol(exchange, pair)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=dumps(value), status=status, content_type="application/json")
