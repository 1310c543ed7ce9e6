"""Binance: klines of spot and USD-M futures, funding of USD-M futures.

Source: Binance documentation, "Kline/Candlestick Streams" and "Mark Price Stream".
"""

from collections.abc import Mapping
from typing import ClassVar

from hftcore.enums import Channel
from hftpy.exchange.binance_future import BinanceFutureProtocol
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.periodic import PeriodicProtocol

_FUTURE_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")


class BinancePeriodicProtocol(PeriodicProtocol, BinanceMarketProtocol):
    """One combined connection of ``kline_<interval>`` streams."""

    intervals: ClassVar[Mapping[str, str]] = {interval: interval for interval in ("1s", *_FUTURE_INTERVALS)}

    @property
    def stream_name(self) -> str:
        return f"kline_{self.intervals[self.interval]}" if self.channel is Channel.KLINE else "markPrice@1s"


class BinanceFuturePeriodicProtocol(BinancePeriodicProtocol, BinanceFutureProtocol):
    """One combined connection of ``kline_<interval>`` or ``markPrice@1s`` streams of USD-M futures."""

    intervals: ClassVar[Mapping[str, str]] = {interval: interval for interval in _FUTURE_INTERVALS}
