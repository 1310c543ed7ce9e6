"""OKX: klines, and funding with mark prices.

Source: OKX API documentation v5, "Candlesticks channel", "Funding rate channel", "Mark price channel".
"""

from collections.abc import Mapping
from typing import ClassVar

from hftcore.enums import Channel, Exchange
from hftpy.exchange.okx import OkxProtocol
from hftpy.exchange.periodic import PeriodicProtocol


class OkxPeriodicProtocol(PeriodicProtocol, OkxProtocol):
    """One connection of ``candle<interval>``, or of ``funding-rate`` and ``mark-price``.

    Intervals of six hours and more begin by UTC, as everywhere else, and not by the venue's own time.
    """

    intervals: ClassVar[Mapping[str, str]] = {
        "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1H", "2h": "2H", "4h": "4H",
        "6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "2d": "2Dutc", "3d": "3Dutc", "1w": "1Wutc",
    }  # fmt: skip

    def channels_of(self, channel: Channel) -> tuple[str, ...]:
        if channel is Channel.KLINE:
            return (f"candle{self.intervals[self.interval]}",)
        return "funding-rate", "mark-price"


class OkxSwapPeriodicProtocol(OkxPeriodicProtocol):
    """As `OkxPeriodicProtocol`, for the swaps."""

    exchange = Exchange.OKX_SWAP
