"""OKX v5 market data on the simulated market: public and business channels, and a little REST.

Source: OKX API documentation v5, WebSocket: connect, subscribe, public channels; field order as the venue sends it.
"""

import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import web

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair, native_symbol
from hftpy.sim.candles import Candle, FundingTerms, KlineFeed, funding_terms
from hftpy.sim.connection import ClientConnection
from hftpy.sim.depth import DepthChange, changed_levels
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.market import Market, MarketTrade, Quote, RawFrame
from hftpy.sim.text import dumps, plain
from hftpy.trading.matching import Level

ADDRESSES = ("/ws/v5/public", "/ws/v5/business")
BUSINESS = ("trades-all", "candle")
PUBLIC_CHANNELS = ("tickers", "bbo-tbt", "trades", "books", "funding-rate", "mark-price")
# From six hours on those that begin by UTC; the venue's others begin eight hours before.
CANDLES = {
    "candle1s": 1, "candle1m": 60, "candle3m": 180, "candle5m": 300, "candle15m": 900, "candle30m": 1800,
    "candle1H": 3600, "candle2H": 7200, "candle4H": 14400, "candle6Hutc": 21600, "candle12Hutc": 43200,
    "candle1Dutc": 86400, "candle2Dutc": 172800, "candle3Dutc": 259200, "candle1Wutc": 604800,
}  # fmt: skip
CANDLE_NAMES = {seconds: name for name, seconds in CANDLES.items()}
CANDLE_PERIOD_S = 1.0
PRICE_PERIODS_S = {"mark-price": 0.2, "funding-rate": 30.0}
# What takes a recorded frame of another channel, where the recording has none of its own.
STAND_INS = {
    "tickers": "bbo-tbt", "bbo-tbt": "tickers", "trades": "trades-all", "trades-all": "trades",
    "books-l2-tbt": "books", "books50-l2-tbt": "books", "books5": "books",
}  # fmt: skip
BOOK_LEVELS = 400


@dataclass(slots=True)
class Session:
    """What one connection takes, as (channel, instrument), and when it was last heard of."""

    address: str
    subscribed: dict[tuple[str, str], None] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)


class OkxFrontEnd(FrontEnd):
    """OKX spot and derivatives: ``tickers``, ``bbo-tbt``, ``trades``, ``trades-all``, ``books``, ``candle…``,
    ``mark-price``, and ``funding-rate`` of swaps.
    """

    exchange = Exchange.OKX
    idle_s = 30.0  # without a word from either side a connection is closed

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A recording spells every instrument out, whatever this front end calls its pairs.
        speller = Exchange.OKX if self.market.plays_raw else self.exchange
        self._instruments = {native_symbol(speller, pair): pair for pair in self.market.pairs}
        self._natives = {pair: native for native, pair in self._instruments.items()}
        self._subscribers: dict[tuple[str, str], dict[ClientConnection, None]] = {}
        self._connection_id = 0
        self._klines = KlineFeed(self.market, self._show_candle, period_s=CANDLE_PERIOD_S, fills=True)
        self._priced = dict.fromkeys(PRICE_PERIODS_S, 0.0)  # when they were sent last
        self._marks: dict[str, Decimal] = {}

    def serves(self, path: str) -> bool:
        return path.removeprefix(f"/{self.exchange}") in ADDRESSES

    def takes(self, exchange: Exchange) -> bool:
        return exchange in (Exchange.OKX, Exchange.OKX_SWAP)

    def open(self, connection: ClientConnection) -> Session:
        return Session(connection.path.partition("?")[0].rpartition("/")[2])

    def close(self, connection: ClientConnection) -> None:
        for subscribers in self._subscribers.values():
            subscribers.pop(connection, None)

    def tick(self) -> None:
        now = time.monotonic()
        for connection, session in tuple(self.connections.items()):
            if now - max(connection.last_sent, session.heard) >= self.idle_s:
                connection.abort()
        self._klines.tick()
        if not self.market.started.is_set() or self.market.plays_raw:
            return
        for channel, period_s in PRICE_PERIODS_S.items():
            if now - self._priced[channel] >= period_s:
                self._priced[channel] = now
                for name, native in tuple(self._subscribers):
                    if name == channel:
                        self._send_price(channel, native)

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        session: Session = self.connections[connection]
        session.heard = time.monotonic()
        if message == "ping":
            connection.send("pong")
            return
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or request.get("op") not in ("subscribe", "unsubscribe"):
            self.malformed(connection)
            return
        args, echo = request.get("args"), {"id": request["id"]} if isinstance(request.get("id"), str) else {}
        if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            self._refuse(connection, "60012", f"Invalid request: {dumps(request)}", echo)
            return
        for arg in args:
            self._subscription(connection, session, str(request["op"]), arg, echo)

    def malformed(self, connection: ClientConnection) -> None:
        self._refuse(connection, "60012", "Invalid request", {})

    def _refuse(self, connection: ClientConnection, code: str, text: str, echo: dict[str, Any]) -> None:
        connection.send(dumps({**echo, "event": "error", "msg": text, "code": code, "connId": "5a3c0de1"}))

    def _subscription(
        self, connection: ClientConnection, session: Session, op: str, arg: dict[str, Any], echo: dict[str, Any]
    ) -> None:
        channel, native = arg.get("channel"), arg.get("instId")
        address = "business" if isinstance(channel, str) and channel.startswith(BUSINESS) else "public"
        if native not in self._instruments or not self._has(channel, native) or address != session.address:
            text = f"Wrong URL or channel:{channel},instId:{native} doesn't exist. Please use the correct URL, "
            text += "channel and parameters referring to API document."
            self._refuse(connection, "60018", text, echo)
            return
        connection.send(dumps({**echo, "event": op, "arg": arg, "connId": "5a3c0de1"}))
        key = (str(channel), str(native))
        if op == "unsubscribe":
            session.subscribed.pop(key, None)
            self._subscribers.get(key, {}).pop(connection, None)
            return
        session.subscribed[key] = None
        self._subscribers.setdefault(key, {})[connection] = None
        if not self.market.plays_raw or self._has_book(*key):
            self._begin(connection, *key)
        self.subscribed()

    def _has(self, channel: object, native: str) -> bool:
        if not isinstance(channel, str):
            return False
        if channel == "funding-rate" and not self.market.plays_raw and _kind(native) != "SWAP":
            return False
        return self.market.plays_raw or channel in PUBLIC_CHANNELS or channel in BUSINESS[:1] or channel in CANDLES

    def _has_book(self, channel: str, native: str) -> bool:
        """Whether a recording is so far that it knows the book that is subscribed."""
        return channel.startswith("books") and self.market.knows_depth(self._instruments[native])

    def _begin(self, connection: ClientConnection, channel: str, native: str) -> None:
        """What a new subscription is sent at once: how things stand."""
        pair = self._instruments[native]
        quote = self.market.state(pair).quote
        if channel.startswith("books"):
            ladder = self.market.watch_depth(pair)
            text = self._book_text(native, ladder.bids[:BOOK_LEVELS], ladder.asks[:BOOK_LEVELS], pair)
            self.send_data(connection, channel, text)
        elif channel in ("tickers", "bbo-tbt") and quote is not None and self.market.started.is_set():
            self.send_data(connection, channel, self._quote_text(channel, native, quote))
        elif channel in CANDLES:
            candle = self._klines.watch(pair, CANDLES[channel])
            if self.market.started.is_set():
                self.send_data(connection, channel, self._candle_text(native, candle, is_over=False))
        elif channel in PRICE_PERIODS_S and (terms := funding_terms(self.market, pair)):
            self.send_data(connection, channel, self._price_text(channel, native, terms))

    def _show_candle(self, pair: CurrencyPair, candle: Candle, is_over: bool) -> None:
        native, channel = self._natives[pair], CANDLE_NAMES[candle.interval_s]
        if self._subscribers.get((channel, native)):
            self._send(channel, native, self._candle_text(native, candle, is_over=is_over))

    def _candle_text(self, native: str, candle: Candle, *, is_over: bool) -> str:
        channel = CANDLE_NAMES[candle.interval_s]
        prices = ",".join(f'"{price:f}"' for price in (candle.open, candle.high, candle.low, candle.close))
        # A spot pair's second volume is in the quote currency, a derivative's in the base.
        second = candle.turnover if _kind(native) == "SPOT" else candle.volume
        return (
            f'{{"arg":{{"channel":"{channel}","instId":"{native}"}},"data":[["{candle.open_ns // 1_000_000}",{prices},'
            f'"{candle.volume:f}","{second:f}","{candle.turnover:f}","{int(is_over)}"]]}}'
        )

    def _send_price(self, channel: str, native: str) -> None:
        terms = funding_terms(self.market, self._instruments[native])
        if terms is None or (channel == "mark-price" and self._marks.get(native) == terms.mark):
            return
        if channel == "mark-price":
            self._marks[native] = terms.mark
        self._send(channel, native, self._price_text(channel, native, terms))

    def _price_text(self, channel: str, native: str, terms: FundingTerms) -> str:
        now = self.market.clock_ns() // 1_000_000
        head = f'{{"arg":{{"channel":"{channel}","instId":"{native}"}},"data":[{{'
        if channel == "mark-price":
            return f'{head}"instId":"{native}","instType":"{_kind(native)}","markPx":"{terms.mark:f}","ts":"{now}"}}]}}'
        return (
            f'{head}"formulaType":"withRate","fundingRate":"{terms.rate:f}",'
            f'"fundingTime":"{terms.time_ns // 1_000_000}","impactValue":"20000","instId":"{native}","instType":"SWAP",'
            f'"interestRate":"0.0001","maxFundingRate":"0.00375","method":"current_period","minFundingRate":"-0.00375",'
            f'"nextFundingRate":"","nextFundingTime":"{terms.next_time_ns // 1_000_000}","premium":"0",'
            f'"settFundingRate":"{terms.rate:f}","settState":"settled","ts":"{now}"}}]}}'
        )

    def _send(self, channel: str, native: str, text: str) -> None:
        for connection in tuple(self._subscribers.get((channel, native), ())):
            self.send_data(connection, channel, text)

    def on_quote(self, quote: Quote) -> None:
        native = self._natives[quote.pair]
        for channel in ("tickers", "bbo-tbt"):
            if self._subscribers.get((channel, native)):
                self._send(channel, native, self._quote_text(channel, native, quote))

    def _quote_text(self, channel: str, native: str, quote: Quote) -> str:
        milliseconds = quote.time_ns // 1_000_000
        head = f'{{"arg":{{"channel":"{channel}","instId":"{native}"}},"data":['
        if channel == "bbo-tbt":
            asks, bids = (_levels([side] if side else []) for side in (quote.ask, quote.bid))
            return f'{head}{{"asks":{asks},"bids":{bids},"ts":"{milliseconds}","seqId":{quote.update_id}}}]}}'
        state = self.market.state(quote.pair)
        bid, bid_size, ask, ask_size = (
            plain(value) for side in (quote.bid, quote.ask) for value in (side or (Decimal(0), Decimal(0)))
        )
        bid, bid_size = (bid, bid_size) if quote.bid else ("", "")
        ask, ask_size = (ask, ask_size) if quote.ask else ("", "")
        last = plain(state.last_price) if state.last_price is not None else bid
        opened = plain(state.open) if state.open is not None else last
        high, low = (last if value is None else plain(value) for value in (state.high, state.low))
        return (
            f'{head}{{"instType":"{_kind(native)}","instId":"{native}","last":"{last}","lastSz":"1",'
            f'"askPx":"{ask}","askSz":"{ask_size}","bidPx":"{bid}","bidSz":"{bid_size}","open24h":"{opened}",'
            f'"high24h":"{high}","low24h":"{low}","sodUtc0":"{opened}","sodUtc8":"{opened}",'
            f'"volCcy24h":"{state.turnover:f}","vol24h":"{state.volume:f}","ts":"{milliseconds}"}}]}}'
        )

    def on_market_trade(self, trade: MarketTrade) -> None:
        self._klines.take(trade)
        native = self._natives[trade.pair]
        side = "buy" if trade.side is Side.BUY else "sell"
        for channel in ("trades", "trades-all"):
            if not self._subscribers.get((channel, native)):
                continue
            more = f',"count":"1","source":"0","seqId":{trade.trade_id}' if channel == "trades" else ',"source":"0"'
            self._send(
                channel,
                native,
                f'{{"arg":{{"channel":"{channel}","instId":"{native}"}},"data":[{{"instId":"{native}",'
                f'"tradeId":"{trade.trade_id}","px":"{trade.price:f}","sz":"{trade.amount:f}","side":"{side}",'
                f'"ts":"{trade.time_ns // 1_000_000}"{more}}}]}}',
            )

    def on_depth(self, change: DepthChange) -> None:
        native = self._natives[change.pair]
        if self._subscribers.get(("books", native)):
            bids = changed_levels(change.before.bids, change.after.bids)
            asks = changed_levels(change.before.asks, change.after.asks)
            self._send("books", native, self._book_text(native, bids, asks, change.pair, change))

    def _book_text(
        self, native: str, bids: Any, asks: Any, pair: CurrencyPair, change: DepthChange | None = None
    ) -> str:
        action, last = ("snapshot", self.market.state(pair).update_id) if change is None else ("update", change.last_id)
        before = -1 if change is None else change.first_id - 1
        time_ns = self.market.depth_time_ns(pair) if change is None else change.time_ns
        return (
            f'{{"arg":{{"channel":"books","instId":"{native}"}},"action":"{action}","data":[{{"asks":{_levels(asks)},'
            f'"bids":{_levels(bids)},"ts":"{time_ns // 1_000_000}","checksum":0,"prevSeqId":{before},'
            f'"seqId":{last}}}]}}'
        )

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        channel, _, native = frame.stream.partition(":")
        takers = dict(self._subscribers.get((channel, native), {}))
        stand_in = STAND_INS.get(channel)
        if stand_in is not None and stand_in not in self.market.raw_channels:
            takers |= self._subscribers.get((stand_in, native), {})
        return list(takers)


class OkxSwapFrontEnd(OkxFrontEnd):
    """The same where ``btc/usdt`` is the perpetual swap."""

    exchange = Exchange.OKX_SWAP


class OkxRest:
    """`/api/v5/public`: time and instruments."""

    def __init__(self, market: Market, exchange: Exchange) -> None:
        self._market = market
        self._exchange = exchange

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under ``{prefix}/api/v5``; without a prefix the first of OKX's front ends is served."""
        paths = {str(route.resource.canonical) for route in app.router.routes() if route.resource is not None}
        for path, handler in (("time", self._time), ("instruments", self._instruments)):
            if f"{prefix}/api/v5/public/{path}" not in paths:
                app.router.add_get(f"{prefix}/api/v5/public/{path}", handler)

    async def _time(self, request: web.Request) -> web.Response:
        return _json([{"ts": str(self._market.clock_ns() // 1_000_000)}])

    async def _instruments(self, request: web.Request) -> web.Response:
        rows = []
        for instrument in self._market.instruments:
            native = native_symbol(self._exchange, instrument.pair)
            contract = "" if _kind(native) == "SPOT" else "1"
            if request.query.get("instType", _kind(native)) == _kind(native):
                rows.append(
                    {
                        "instType": _kind(native), "instId": native, "baseCcy": instrument.pair.base.upper(),
                        "quoteCcy": instrument.pair.quote.upper(), "settleCcy": instrument.pair.settle.upper(),
                        "ctVal": contract, "ctMult": contract,
                        "tickSz": plain(instrument.tick), "lotSz": plain(instrument.lot),
                        "minSz": plain(instrument.minimum), "state": "live",
                    }
                )  # fmt: skip
        return _json(rows)


def _kind(native: str) -> str:
    parts = native.split("-")
    if len(parts) == 2:
        return "SPOT"
    return "SWAP" if parts[2] == "SWAP" else "FUTURES" if len(parts) == 3 else "OPTION"


def _levels(levels: Any) -> str:
    return "[" + ",".join(_level(level) for level in levels) + "]"


def _level(level: Level) -> str:
    return f'["{level[0]:f}","{level[1]:f}","0","{1 if level[1] else 0}"]'


def _json(rows: list[dict[str, Any]]) -> web.Response:
    return web.Response(text=dumps({"code": "0", "data": rows, "msg": ""}), content_type="application/json")
