"""Which venues the simulated venue speaks. A new one is a front end, what REST it has, and one function here."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from hftcore.enums import Exchange
from hftpy.sim.binance import BinanceFrontEnd, BinanceRest
from hftpy.sim.binance_future import BinanceFutureFrontEnd, BinanceFutureRest
from hftpy.sim.coinbase import CoinbaseFrontEnd, CoinbaseRest
from hftpy.sim.desk import OrderDesk
from hftpy.sim.faults import FaultState
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.keys import KeyRing
from hftpy.sim.kraken import KrakenFrontEnd
from hftpy.sim.kraken_future import KrakenFutureFrontEnd, KrakenFutureRest
from hftpy.sim.kraken_rest import KrakenRest
from hftpy.sim.market import Market
from hftpy.sim.okx import OkxFrontEnd, OkxRest, OkxSwapFrontEnd


class RestSide(Protocol):
    """A venue's REST side."""

    def register(self, app: web.Application, prefix: str) -> None:
        """Serve under a prefix."""
        ...


Made = tuple[FrontEnd, RestSide]
Maker = Callable[[Market, OrderDesk, FaultState, KeyRing, Mapping[str, Any]], Made]


def _kraken(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    front = KrakenFrontEnd(market, desk, faults, keys=keys, **options)
    return front, KrakenRest(market, desk, keys, front)


def _binance(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return BinanceFrontEnd(market, desk, faults, **options), BinanceRest(market)


def _binance_future(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return BinanceFutureFrontEnd(market, desk, faults, **options), BinanceFutureRest(market)


def _okx(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return OkxFrontEnd(market, desk, faults, **options), OkxRest(market, Exchange.OKX)


def _okx_swap(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return OkxSwapFrontEnd(market, desk, faults, **options), OkxRest(market, Exchange.OKX_SWAP)


def _coinbase(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return CoinbaseFrontEnd(market, desk, faults, **options), CoinbaseRest(market)


def _kraken_future(
    market: Market, desk: OrderDesk, faults: FaultState, keys: KeyRing, options: Mapping[str, Any]
) -> Made:
    return KrakenFutureFrontEnd(market, desk, faults, **options), KrakenFutureRest(market)


FRONT_ENDS: dict[Exchange, Maker] = {
    Exchange.KRAKEN: _kraken,
    Exchange.BINANCE: _binance,
    Exchange.BINANCE_FUTURE: _binance_future,
    Exchange.OKX: _okx,
    Exchange.OKX_SWAP: _okx_swap,
    Exchange.COINBASE: _coinbase,
    Exchange.KRAKEN_FUTURE: _kraken_future,
}
