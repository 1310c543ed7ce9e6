"""Kraken's WebSocket API v2 on the simulated market: public channels, subscriptions, heartbeats.

Source: docs.kraken.com, WebSocket v2; field order and error texts as the venue sends them.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim.candles import Candle, KlineFeed
from hftpy.sim.connection import ClientConnection
from hftpy.sim.depth import DepthChange, Ladder, changed_levels, kraken_checksum
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.keys import KeyRefused, KeyRing
from hftpy.sim.kraken_private import PrivateChannel, RequestError
from hftpy.sim.market import MarketTrade, Quote, RawFrame
from hftpy.sim.text import dumps, plain, rfc3339
from hftpy.trading.matching import Level

HEARTBEAT_S = 1.0
ZERO = Decimal(0)
EVENT_TRIGGERS = ("trades", "bbo")
DEPTHS = (10, 25, 100, 500, 1000)
MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
ORDER_METHODS = ("add_order", "cancel_order", "cancel_all")


@dataclass(slots=True)
class Session:
    """What one connection has subscribed to."""

    # value: the ticker's event trigger, the book's depth
    public: dict[tuple[str, CurrencyPair], str] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)

    @property
    def subscribed(self) -> bool:
        return bool(self.public or self.private)


class KrakenFrontEnd(FrontEnd):
    """Kraken v2."""

    exchange = Exchange.KRAKEN

    def __init__(self, *args: Any, keys: KeyRing, **options: Any) -> None:
        super().__init__(*args, **options)
        self.keys = keys
        self.private = PrivateChannel(self)
        self._pairs = {f"{pair.base}/{pair.quote}".upper(): pair for pair in self.market.pairs}
        self._symbols = {pair: symbol for symbol, pair in self._pairs.items()}
        self._subscribers: dict[tuple[str, CurrencyPair], dict[ClientConnection, str]] = {}
        # Sent at each trade; the venue does not say that one is over, and sends none without a trade.
        self._klines = KlineFeed(self.market, self._show_candle, period_s=0, fills=False)
        self._snapshot_due: dict[CurrencyPair, set[ClientConnection]] = {}
        self._rng = random.Random()

    def symbol(self, pair: CurrencyPair) -> str:
        """Kraken v2's spelling of a pair of the market."""
        return self._symbols[pair]

    def pair(self, symbol: object) -> CurrencyPair | None:
        """The market's pair with this exact v2 spelling."""
        return self._pairs.get(symbol) if isinstance(symbol, str) else None

    def serves(self, path: str) -> bool:
        return path.removeprefix(f"/{self.exchange}") == "/v2"

    def open(self, connection: ClientConnection) -> Session:
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": self._rng.getrandbits(64),
        }
        connection.send(dumps({"channel": "status", "type": "update", "data": [status]}))
        return Session()

    def close(self, connection: ClientConnection) -> None:
        for subscribers in self._subscribers.values():
            subscribers.pop(connection, None)
        self.private.forget(connection)

    def reset(self) -> None:
        self.keys.forget_tokens()

    def tick(self) -> None:
        for connection, session in tuple(self.connections.items()):
            if session.subscribed and self.quiet(connection, HEARTBEAT_S):
                connection.send('{"channel":"heartbeat"}')
                self.frames["heartbeat"] += 1

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        time_in = rfc3339(self.market.clock_ns())
        try:
            request = json.loads(message, parse_float=Decimal)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            self.malformed(connection)
            return
        method, params, req_id = request["method"], request.get("params", {}), request.get("req_id")
        echo = {"req_id": req_id} if isinstance(req_id, int) else {}
        try:
            if not isinstance(params, dict):
                raise RequestError("Malformed request")
            if method == "ping":
                if "params" in request:
                    raise RequestError("Unsupported field: 'params' for the given msg type: ping")
                self._answer(connection, {"method": "pong", **echo}, time_in)
            elif method in ("subscribe", "unsubscribe"):
                self._subscription(connection, method, params, echo, time_in)
            elif method in ORDER_METHODS:
                self.private.request(connection, method, params, echo, time_in)
            else:
                raise RequestError("Unsupported event")
        except RequestError as error:
            self.refuse(connection, method, error.text, echo, time_in, symbol=error.symbol)
        except KeyRefused as error:
            self.refuse(connection, method, error.code, echo, time_in)

    def malformed(self, connection: ClientConnection) -> None:
        time_in = rfc3339(self.market.clock_ns())
        self._answer(connection, {"error": "Malformed request", "method": "error", "success": False}, time_in)

    def refuse(
        self,
        connection: ClientConnection,
        method: str,
        text: str,
        echo: dict[str, Any],
        time_in: str,
        *,
        symbol: str | None = None,
    ) -> None:
        """Answer a request with an error."""
        answer: dict[str, Any] = {"error": text, "method": method, **echo}
        if text == "ESession:Invalid session":
            answer["status"] = "error"
        answer["success"] = False
        if symbol is not None:
            answer["symbol"] = symbol
        self._answer(connection, answer, time_in)

    def accept(
        self, connection: ClientConnection, method: str, result: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        """Answer a request with its result."""
        self._answer(connection, {"method": method, **echo, "result": result, "success": True}, time_in)

    def _answer(self, connection: ClientConnection, answer: dict[str, Any], time_in: str) -> None:
        connection.send(dumps({**answer, "time_in": time_in, "time_out": rfc3339(self.market.clock_ns())}))

    def _subscription(
        self, connection: ClientConnection, method: str, params: dict[str, Any], echo: dict[str, Any], time_in: str
    ) -> None:
        channel = params.get("channel")
        if channel == "executions":
            self.private.subscription(connection, method, params, echo, time_in)
            return
        if channel == "status":
            raise RequestError("Symbol(s) not found")
        if channel not in ("ticker", "trade", "book", "ohlc"):
            raise RequestError("Unsupported event")
        symbols = params.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            raise RequestError("Symbol(s) not found")
        trigger = params.get("event_trigger", "trades")
        if trigger not in EVENT_TRIGGERS:
            raise RequestError(f"Event trigger not supported: {trigger}")
        if channel == "book":
            depth = params.get("depth", DEPTHS[0])
            recorded = self.market.raw_depths
            if depth not in DEPTHS or (recorded and depth not in recorded):
                # Of a recording, books of another depth would keep levels that have gone, or lack some.
                raise RequestError(f"Book depth not supported: {depth}")
            trigger = str(depth)
        if channel == "ohlc":
            trigger = _minutes_of(params)
        snapshot = params.get("snapshot", channel != "trade")
        if not isinstance(snapshot, bool):
            raise RequestError("Snapshot field must be a boolean")
        result: dict[str, Any] = {"channel": channel}
        if channel == "book":
            result["depth"] = int(trigger)
        if channel == "ohlc":
            result["interval"] = int(trigger)
        if channel == "ticker":
            result["event_trigger"] = trigger
        if method == "subscribe":
            result["snapshot"] = snapshot
        for symbol in symbols:
            pair = self.pair(symbol)
            if pair is None:
                text = f"Currency pair not supported {symbol}"
                self.refuse(connection, method, text, echo, time_in, symbol=str(symbol))
                continue
            # One connection may take candles of several intervals; a recording has its own.
            name = f"ohlc-{trigger}" if channel == "ohlc" and not self.market.plays_raw else channel
            self._subscribe_pair(
                connection, method, (name, pair), trigger, {**result, "symbol": symbol}, echo, time_in
            )

    def _subscribe_pair(
        self,
        connection: ClientConnection,
        method: str,
        key: tuple[str, CurrencyPair],
        trigger: str,
        result: dict[str, Any],
        echo: dict[str, Any],
        time_in: str,
    ) -> None:
        session: Session = self.connections[connection]
        channel, pair = key
        if method == "unsubscribe":
            subscribed = session.public.get(key)
            if subscribed is None or (channel == "book" and subscribed != trigger):
                self.refuse(connection, method, "Subscription Not Found", echo, time_in, symbol=result["symbol"])
                return
            del session.public[key]
            self._subscribers[key].pop(connection, None)
            self.accept(connection, method, result, echo, time_in)
            return
        session.public[key] = trigger
        self._subscribers.setdefault(key, {})[connection] = trigger
        self.accept(connection, method, result, echo, time_in)
        state = self.market.state(pair)
        if channel == "book" and (not self.market.plays_raw or self.market.knows_depth(pair)):
            # Without the snapshot a client could not begin.
            text = self._book_snapshot(pair, self.market.watch_depth(pair), int(trigger))
            self.send_data(connection, "book", text)
        if channel.startswith("ohlc-"):
            self._klines.watch(pair, int(trigger) * 60)
            if result["snapshot"]:
                self._send_candle_history(connection, pair, int(trigger) * 60)
        if result["snapshot"] and not self.market.plays_raw:
            if channel == "ticker" and not self.market.started.is_set():
                # Nothing flows before the start: the first quote is this subscription's snapshot.
                self._snapshot_due.setdefault(pair, set()).add(connection)
            elif channel == "ticker" and state.quote is not None:
                self.send_data(connection, "ticker", self._ticker_text(state.quote, "snapshot"))
            elif channel == "trade":
                rows = ",".join(self._trade_row(trade) for trade in state.recent)
                text = f'{{"channel":"trade","type":"snapshot","data":[{rows}]}}'
                self.send_data(connection, "trade", text, len(state.recent))
        self.subscribed()

    def on_quote(self, quote: Quote) -> None:
        subscribers = self._subscribers.get(("ticker", quote.pair))
        if not subscribers:
            return
        text = self._ticker_text(quote, "update")
        due = self._snapshot_due.pop(quote.pair, ())
        for connection, trigger in tuple(subscribers.items()):
            if connection in due:
                self.send_data(connection, "ticker", self._ticker_text(quote, "snapshot"))
            elif quote.by_trade or trigger == "bbo":
                self.send_data(connection, "ticker", text)

    def on_market_trade(self, trade: MarketTrade) -> None:
        self._klines.take(trade)
        subscribers = self._subscribers.get(("trade", trade.pair))
        if not subscribers:
            return
        text = f'{{"channel":"trade","type":"update","data":[{self._trade_row(trade)}]}}'
        for connection in tuple(subscribers):
            self.send_data(connection, "trade", text)

    def on_depth(self, change: DepthChange) -> None:
        texts: dict[str, str | None] = {}
        for connection, depth in tuple(self._subscribers.get(("book", change.pair), {}).items()):
            if depth not in texts:
                texts[depth] = self._book_update(change, int(depth))
            if (text := texts[depth]) is not None:
                self.send_data(connection, "book", text)

    def _show_candle(self, pair: CurrencyPair, candle: Candle, is_over: bool) -> None:
        subscribers = self._subscribers.get((f"ohlc-{candle.interval_s // 60}", pair))
        if subscribers:
            text = self._candles_text("update", pair, [candle])
            for connection in tuple(subscribers):
                self.send_data(connection, "ohlc", text)

    def _send_candle_history(self, connection: ClientConnection, pair: CurrencyPair, interval_s: int) -> None:
        candles = self.market.past_candles(pair, interval_s)
        newest = self.market.candle(pair, interval_s)
        candles += [newest] if newest.count else []
        self.send_data(connection, "ohlc", self._candles_text("snapshot", pair, candles), len(candles))

    def _candles_text(self, kind: str, pair: CurrencyPair, candles: Sequence[Candle]) -> str:
        rows = ",".join(
            f'{{"symbol":"{self._symbols[pair]}","open":{candle.open:f},"high":{candle.high:f},"low":{candle.low:f},'
            f'"close":{candle.close:f},"trades":{candle.count},"volume":{candle.volume:f},"vwap":{candle.vwap:f},'
            f'"interval_begin":"{_nanoseconds(candle.open_ns)}","interval":{candle.interval_s // 60},'
            f'"timestamp":"{rfc3339(candle.close_ns)}"}}'
            for candle in candles
        )
        moment = _nanoseconds(self.market.clock_ns())
        return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{moment}","data":[{rows}]}}'

    def _book_snapshot(self, pair: CurrencyPair, ladder: Ladder, depth: int) -> str:
        return self._book_text(
            "snapshot", pair, ladder.bids[:depth], ladder.asks[:depth], ladder, self.market.depth_time_ns(pair)
        )

    def _book_update(self, change: DepthChange, depth: int) -> str | None:
        before, after = change.before, change.after
        bids, asks = changed_levels(before.bids, after.bids, depth), changed_levels(before.asks, after.asks, depth)
        return self._book_text("update", change.pair, bids, asks, after, change.time_ns) if bids or asks else None

    def _book_text(
        self, kind: str, pair: CurrencyPair, bids: Sequence[Level], asks: Sequence[Level], after: Ladder, time_ns: int
    ) -> str:
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self._symbols[pair]}","bids":{_levels(bids)},'
            f'"asks":{_levels(asks)},"checksum":{kraken_checksum(after)},"timestamp":"{rfc3339(time_ns)}"}}]}}'
        )

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        takers: dict[ClientConnection, None] = {}
        for pair in frame.pairs:
            takers.update(dict.fromkeys(self._subscribers.get((frame.channel, pair), ())))
        return list(takers)

    def _ticker_text(self, quote: Quote, kind: str) -> str:
        state = self.market.state(quote.pair)
        bid, bid_size = quote.bid or (ZERO, ZERO)
        ask, ask_size = quote.ask or (ZERO, ZERO)
        last = state.last_price if state.last_price is not None else bid
        opened = state.open if state.open is not None else last
        change = last - opened
        tick = state.instrument.tick
        vwap = (state.turnover / state.volume).quantize(tick, ROUND_HALF_EVEN) if state.volume else ZERO
        percent = (change / opened * 100).quantize(Decimal("0.01"), ROUND_HALF_EVEN) if opened else ZERO
        return (
            f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{self._symbols[quote.pair]}",'
            f'"bid":{bid:f},"bid_qty":{bid_size:f},"ask":{ask:f},"ask_qty":{ask_size:f},"last":{last:f},'
            f'"volume":{state.volume:f},"vwap":{vwap:f},"low":{plain(state.low or last)},'
            f'"high":{plain(state.high or last)},"change":{change:f},"change_pct":{percent:f},'
            f'"timestamp":"{rfc3339(quote.time_ns)}"}}]}}'
        )

    def _trade_row(self, trade: MarketTrade) -> str:
        side = "buy" if trade.side is Side.BUY else "sell"
        kind = "limit" if trade.is_limit else "market"
        return (
            f'{{"symbol":"{self._symbols[trade.pair]}","side":"{side}","price":{trade.price:f},"qty":{trade.amount:f},'
            f'"ord_type":"{kind}","trade_id":{trade.trade_id},"timestamp":"{rfc3339(trade.time_ns)}"}}'
        )


def _minutes_of(params: Mapping[str, Any]) -> str:
    minutes = params.get("interval", MINUTES[0])
    if isinstance(minutes, bool) or minutes not in MINUTES:
        raise RequestError(f"Ohlc interval not supported: {minutes}")
    return str(minutes)


def _nanoseconds(time_ns: int) -> str:
    return f"{rfc3339(time_ns)[:-1]}{time_ns % 1000:03}Z"


def _levels(levels: Sequence[Level]) -> str:
    return "[" + ",".join(f'{{"price":{price:f},"qty":{size:f}}}' for price, size in levels) + "]"
