"""Funding of perpetual swaps, with the prices it follows."""

import msgspec

from hftcore.enums import Exchange
from hftcore.symbols import CurrencyPair


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a contract's funding and mark price after a message of the venue; None: not told so far.

    `rate` is paid at `next_funding_time`; `next_rate` is the venue's forecast of the one after that. Rates are
    fractions of the position's value per funding period (eight hours mostly; Kraken Futures: one hour), prices in the
    quote currency, times microseconds.
    """

    exchange: Exchange
    symbol: CurrencyPair
    rate: float | None = None
    next_rate: float | None = None
    next_funding_time: int | None = None
    mark_price: float | None = None
    index_price: float | None = None
    timestamp: int = 0  # the venue's
    local_timestamp: int = 0
