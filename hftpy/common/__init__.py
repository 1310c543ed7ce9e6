"""What every layer shares: enumerations, symbols, market and account types, paths, logging, latency."""

from hftcore.book import OrderBook, Snapshot
from hftcore.enums import BookState, Channel, Exchange, Flag, OrderStatus, OrderType, Side
from hftcore.symbols import CurrencyPair, native_symbol, pair_of_native, register_instruments
from hftcore.types import TICKER_DTYPE, TRADE_DTYPE, Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import Balance, MyOrder, MyTrade, Position
from hftpy.common.paths import get_root, set_root

__all__ = [
    "TICKER_DTYPE",
    "TRADE_DTYPE",
    "Balance",
    "BookState",
    "Channel",
    "CurrencyPair",
    "Exchange",
    "Flag",
    "Gap",
    "MyOrder",
    "MyTrade",
    "OrderBook",
    "OrderStatus",
    "OrderType",
    "Position",
    "Reconnected",
    "Side",
    "Snapshot",
    "Stale",
    "Ticker",
    "Trade",
    "get_root",
    "native_symbol",
    "pair_of_native",
    "register_instruments",
    "set_root",
]
