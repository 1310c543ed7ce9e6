"""Binance USD-M futures on the simulated market. What differs from spot; the rest is `hftpy.sim.binance`'s.

Source: Binance derivatives documentation, USD-M futures, WebSocket market streams and REST.
"""

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from hftcore.enums import Exchange, Side
from hftcore.symbols import CurrencyPair
from hftpy.sim.binance import KLINES, BinanceFrontEnd, BinanceRest
from hftpy.sim.candles import funding_terms
from hftpy.sim.depth import DepthChange
from hftpy.sim.market import MarketTrade, Quote

ROUTES = ("/public", "/market")
PUBLIC_STREAMS = ("bookTicker", "depth", "rpiDepth")
MARK_PRICES = {"markPrice": 3.0, "markPrice@1s": 1.0}  # how often
ALL_MARK_PRICES = {"!markPrice@arr": 3.0, "!markPrice@arr@1s": 1.0}


class BinanceFutureFrontEnd(BinanceFrontEnd):
    """USD-M market streams, on two routes and, as long as the venue answers there, on none.

    A stream of the other route is acknowledged and never delivers; ``trade`` is on both.
    """

    exchange = Exchange.BINANCE_FUTURE
    intervals: ClassVar[Mapping[str, int]] = KLINES
    kline_period_s = 0.25

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._marked: dict[str, float] = {}  # when the streams of mark prices were sent last

    def tick(self) -> None:
        super().tick()
        if not self.market.started.is_set() or self.market.plays_raw:
            return
        for ending, period_s in MARK_PRICES.items():
            if self._is_due(ending, period_s):
                for stream in tuple(self._subscribers):
                    name, _, rest = stream.partition("@")
                    pair = self._pairs.get(name.upper()) if rest == ending else None
                    if pair is not None and (text := self._mark_text(pair, name.upper())):
                        self._deliver(stream, "markPrice", text)
        for stream, period_s in ALL_MARK_PRICES.items():
            if self._subscribers.get(stream) and self._is_due(stream, period_s):
                rows = filter(None, (self._mark_text(pair, symbol) for pair, symbol in self._symbols.items()))
                self._deliver(stream, "markPrice", f"[{','.join(rows)}]")

    def _is_due(self, stream: str, period_s: float) -> bool:
        now = time.monotonic()
        if now - self._marked.get(stream, 0.0) < period_s:
            return False
        self._marked[stream] = now
        return True

    def _mark_text(self, pair: CurrencyPair, symbol: str) -> str:
        terms = funding_terms(self.market, pair)
        if terms is None:
            return ""
        # A dated future has no funding.
        rate, due = ("", 0) if "_" in symbol else (f"{terms.rate:.8f}", terms.time_ns // 1_000_000)
        return (
            f'{{"e":"markPriceUpdate","E":{self.market.clock_ns() // 1_000_000},"s":"{symbol}","p":"{terms.mark:.8f}",'
            f'"ap":"{terms.mark:.8f}","P":"{terms.index:.8f}","i":"{terms.index:.8f}","r":"{rate}","T":{due},"st":1}}'
        )

    def route_of(self, path: str) -> tuple[str, str] | None:
        bare = path.removeprefix(f"/{self.exchange}")
        for route in ROUTES:
            if bare.startswith(route + "/"):
                found = super().route_of(bare.removeprefix(route))
                return None if found is None else (route, found[1])
        return super().route_of(bare)

    def is_on(self, route: str, stream: str) -> bool:
        if not route or stream == "trade":
            return True
        return stream.startswith(PUBLIC_STREAMS) == (route == "/public")

    def quote_text(self, symbol: str, quote: Quote) -> str:
        bid, bid_size = quote.bid or (0, 0)
        ask, ask_size = quote.ask or (0, 0)
        time = quote.time_ns // 1_000_000
        return (
            f'{{"e":"bookTicker","u":{quote.update_id},"s":"{symbol}","ps":"{symbol}","b":"{bid:f}","B":"{bid_size:f}",'
            f'"a":"{ask:f}","A":"{ask_size:f}","T":{time},"E":{time},"st":1}}'
        )

    def trade_text(self, symbol: str, trade: MarketTrade, *, aggregate: bool) -> str:
        time, number, size = trade.time_ns // 1_000_000, trade.trade_id, f"{trade.amount:f}"
        maker = "true" if trade.side is Side.SELL else "false"
        if aggregate:
            return (
                f'{{"e":"aggTrade","E":{time},"a":{number},"s":"{symbol}","p":"{trade.price:f}","q":"{size}",'
                f'"nq":"{size}","f":{number},"l":{number},"T":{time},"m":{maker},"st":1}}'
            )
        return (
            f'{{"e":"trade","E":{time},"T":{time},"s":"{symbol}","t":{number},"p":"{trade.price:f}","q":"{size}",'
            f'"X":"MARKET","m":{maker},"st":1}}'
        )

    def depth_head(self, symbol: str, change: DepthChange) -> str:
        time = change.time_ns // 1_000_000
        return (
            f'"E":{time},"T":{time},"s":"{symbol}","ps":"{symbol}","U":{change.first_id},"u":{change.last_id},'
            f'"pu":{change.first_id - 1}'
        )


class BinanceFutureRest(BinanceRest):
    """`/fapi/v1`: ping, time, exchangeInfo, depth."""

    base = "/fapi/v1"
    exchange = Exchange.BINANCE_FUTURE

    def depth_head(self, update_id: int) -> str:
        time = self._market.clock_ns() // 1_000_000
        return f'"lastUpdateId":{update_id},"E":{time},"T":{time}'

    def symbol_row(self, symbol: str, pair: CurrencyPair) -> dict[str, Any]:
        settle = (pair.settle or pair.quote).upper()
        contract = {"pair": symbol, "contractType": "PERPETUAL", "marginAsset": settle}
        return super().symbol_row(symbol, pair) | contract
