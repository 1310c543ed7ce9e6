"""The demo's strategy: joins the best bid and ask of some pairs, within a position limit."""

import time
import zlib
from decimal import Decimal
from typing import Any

from hftpy.common import CurrencyPair, MyTrade, OrderStatus, Side, Ticker
from hftpy.ipc import IPCCommand
from hftpy.service import OrderHandle, ServiceBase


class MarketMaker(ServiceBase):
    """Params: ``symbols`` to quote, ``notional`` per order and ``max_notional`` of the position in the quote currency,
    ``requote_s`` between two changes of a quote, ``edge`` (fraction of the price) away from the best price.
    """

    def on_setup(self) -> bool:
        self.symbols = {CurrencyPair(symbol) for symbol in self.params.get("symbols", [])}
        self.notional = float(self.params.get("notional", 100.0))
        self.max_notional = float(self.params.get("max_notional", 1000.0))
        self.requote_s = float(self.params.get("requote_s", 0.25))
        self.edge = float(self.params.get("edge", 0.0))
        self.quotes: dict[tuple[CurrencyPair, Side], OrderHandle] = {}
        self.changed_s: dict[tuple[CurrencyPair, Side], float] = {}
        self.position: dict[CurrencyPair, Decimal] = {}
        self.prices: dict[str, tuple[float, float]] = {}
        self.halted = False
        self.digest = 0
        self.ipc_command.register_handler("halt", self.on_halt)
        return True

    async def on_ticker(self, ticker: Ticker) -> None:
        symbol = ticker.symbol
        self.prices[symbol] = (ticker.bidPrice, ticker.askPrice)
        self.digest = fold(self.digest, ticker)
        if symbol not in self.symbols or self.halted or not ticker.bidPrice or not ticker.askPrice:
            return
        await self.quote(symbol, Side.BUY, ticker.bidPrice * (1 - self.edge))
        await self.quote(symbol, Side.SELL, ticker.askPrice * (1 + self.edge))

    async def quote(self, symbol: CurrencyPair, side: Side, price: float) -> None:
        """Keep one order at `price`, moved at most every `requote_s`."""
        key, now = (symbol, side), time.monotonic()
        if now - self.changed_s.get(key, 0.0) < self.requote_s:
            return
        handle = self.quotes.get(key)
        if handle is not None and handle.is_live:
            resting = float(handle.order.price or 0)
            if handle.status == OrderStatus.NEW and abs(resting - price) > price * 1e-5:
                self.changed_s[key] = now
                await self.cancel_order(handle)
            return
        held = float(self.position.get(symbol, 0)) * price * (1 if side == Side.BUY else -1)
        if held + self.notional <= self.max_notional:
            self.changed_s[key] = now
            self.quotes[key] = await self.place_order(
                symbol=symbol, side=side, amount=f"{self.notional / price:.8f}", price=f"{price:.8f}", post_only=True
            )

    def on_my_trade(self, my_trade: MyTrade) -> None:
        signed = my_trade.amount if my_trade.side == Side.BUY else -my_trade.amount
        self.position[my_trade.symbol] = self.position.get(my_trade.symbol, Decimal(0)) + signed

    async def on_halt(self, command: IPCCommand) -> None:
        """No new quotes; cancel what rests."""
        self.halted = True
        await self.cancel_all()

    async def on_stop(self) -> None:
        if not self.halted:
            await self.cancel_all()

    def status(self) -> dict[str, Any]:
        return super().status() | {
            "prices": self.prices,
            "position": {str(symbol): str(amount) for symbol, amount in self.position.items()},
            "halted": self.halted,
            "digest": self.digest,
        }


def fold(digest: int, ticker: Ticker) -> int:
    """A checksum of tickers in their order: equal only if the same ones came in the same order."""
    bid, ask = (ticker.bidPrice, ticker.bidVolume), (ticker.askPrice, ticker.askVolume)
    return zlib.crc32(f"{ticker.symbol} {bid} {ask} {ticker.seq}".encode(), digest)
