"""A client's own orders, trades, balances and positions. Money is exact: `decimal.Decimal`.

Attributes mirror the native structs (lowerCamelCase); timestamps are microseconds since 1970, 0 if not known.
"""

from decimal import Decimal

import msgspec

from hftcore.enums import Exchange, OrderStatus, OrderType, Side
from hftcore.symbols import CurrencyPair

ZERO = Decimal(0)


class MyOrder(msgspec.Struct, kw_only=True):
    """The state of one of our orders after its latest change."""

    exchange: Exchange
    symbol: CurrencyPair
    clientOrderId: str
    orderId: str = ""  # the venue's; empty until it is known
    side: Side = Side.UNKNOWN
    orderType: OrderType = OrderType.LIMIT
    price: Decimal | None = None  # None: market
    amount: Decimal = ZERO
    filled: Decimal = ZERO
    avgPrice: Decimal = ZERO
    status: OrderStatus = OrderStatus.NONE
    postOnly: bool = False
    reason: str = ""  # why it failed or ended, in the venue's words
    strategy: str = ""  # the process that placed it; empty: not one of ours
    commandId: str = ""  # the command that placed it
    timestamp: int = 0
    localTimestamp: int = 0

    @property
    def is_live(self) -> bool:
        return self.status.is_live

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled


class MyTrade(msgspec.Struct, kw_only=True):
    """One fill of one of our orders."""

    exchange: Exchange
    symbol: CurrencyPair
    tradeId: str
    orderId: str
    clientOrderId: str = ""
    side: Side = Side.UNKNOWN
    price: Decimal = ZERO
    amount: Decimal = ZERO
    fee: Decimal = ZERO
    feeAsset: str = ""
    maker: bool = False
    strategy: str = ""
    commandId: str = ""
    timestamp: int = 0
    localTimestamp: int = 0


class Balance(msgspec.Struct, kw_only=True):
    """What an account holds of one asset."""

    exchange: Exchange
    asset: str
    total: Decimal
    available: Decimal | None = None
    timestamp: int = 0
    localTimestamp: int = 0


class Position(msgspec.Struct, kw_only=True):
    """A net position in one symbol; positive is long."""

    exchange: Exchange
    symbol: CurrencyPair
    amount: Decimal = ZERO
    avgPrice: Decimal = ZERO
    realizedPnl: Decimal = ZERO
    strategy: str = ""
    timestamp: int = 0
