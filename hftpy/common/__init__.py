"""What every layer shares: enumerations, symbols, market and account types, paths, logging, latency."""

from hftcore.enums import Channel, Exchange, Flag, OrderStatus, OrderType, Side
from hftcore.symbols import CurrencyPair, native_symbol, pair_of_native, register_instruments
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE, Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import Balance, MyOrder, MyTrade, Position
from hftpy.common.paths import get_root, set_root

__all__ = [
    "TICKER_DTYPE",
    "TRADE_DTYPE",
    "Balance",
    "Channel",
    "CurrencyPair",
    "Exchange",
    "Flag",
    "Gap",
    "MyOrder",
    "MyTrade",
    "OrderStatus",
    "OrderType",
    "Position",
    "Reconnected",
    "Side",
    "Stale",
    "Ticker",
    "Trade",
    "get_root",
    "native_symbol",
    "pair_of_native",
    "register_instruments",
    "set_root",
]
