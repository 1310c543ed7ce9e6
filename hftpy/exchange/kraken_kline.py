"""Kraken spot: klines (``ohlc``) of the WebSocket API v2.

Source: https://docs.kraken.com/api/docs/websocket-v2/ohlc.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hftcore.enums import Channel
from hftcore.symbols import CurrencyPair
from hftpy.exchange.kraken_market import KrakenMarketProtocol
from hftpy.exchange.periodic import PeriodicProtocol


class KrakenKlineProtocol(PeriodicProtocol, KrakenMarketProtocol):
    """The venue does not say that a kline has closed: the first one of the next interval tells.

    Subscribe arguments: `interval`; ``{"snapshot": True}`` for the history first.
    """

    intervals: ClassVar[Mapping[str, str]] = {
        "1m": "1", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "4h": "240", "1d": "1440", "1w": "10080",
        "15d": "21600",
    }  # fmt: skip

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        super().__init__(channel, pairs, args)
        self.args = {"interval": int(self.intervals[self.interval]), "snapshot": False, **self.args}

    @property
    def venue_channel(self) -> str:
        return "ohlc"
