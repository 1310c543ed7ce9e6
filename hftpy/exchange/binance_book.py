"""Binance: order books from the diff depth stream and REST snapshots, spot and USD-M futures alike.

The first update of a symbol asks for its snapshot; updates wait for it (bounded). Where one is missing, the symbol's
next snapshot is fetched, and no other's.

Source: binance-spot-api-docs and Binance derivatives documentation, "How to manage a local order book correctly".
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hftcore.enums import Channel, Exchange
from hftcore.symbols import CurrencyPair
from hftpy.errors import ConfigError
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.book import BookProtocol


class BinanceBookProtocol(BookProtocol, BinanceMarketProtocol):
    """One combined connection of ``depth`` streams.

    Subscribe arguments: `depth` of the snapshot (default 1000; the weight of the request grows with it), `speed`
    (``100ms``, the default, or ``1000ms``).
    """

    snapshots = "outside"
    default_depth = 1000
    rest_url: ClassVar[str] = "https://api.binance.com"
    rest_path: ClassVar[str] = "/api/v3/depth"
    weight_per_minute: ClassVar[int] = 6000
    # Levels up to which a request weighs so much. Source: REST API, "Order book".
    weights: ClassVar[tuple[tuple[int, int], ...]] = ((100, 5), (500, 25), (1000, 50), (5000, 250))
    speeds: ClassVar[Mapping[str, str]] = {"100ms": "depth@100ms", "1000ms": "depth"}
    default_speed: ClassVar[str] = "100ms"

    def __init__(self, channel: Channel, pairs: Sequence[CurrencyPair], args: Mapping[str, Any]) -> None:
        own = dict(args)
        speed = own.pop("speed", self.default_speed)
        if speed not in self.speeds:
            raise ConfigError(f"speed must be one of {', '.join(self.speeds)}, was {speed!r}")
        super().__init__(channel, pairs, own)
        if not 1 <= self.depth <= self.weights[-1][0]:
            raise ConfigError(f"depth must be 1 to {self.weights[-1][0]} at {self.exchange}, was {self.depth}")
        self._stream_name = self.speeds[speed]

    @property
    def stream_name(self) -> str:
        return self._stream_name

    @property
    def kept_depth(self) -> int:
        # Updates reach beyond the snapshot: what is cut off here would be missing when the market moves there.
        return 0

    @property
    def request_interval_s(self) -> float:
        """The pause between two snapshots that uses up half of what the venue grants."""
        weight = next(weight for levels, weight in self.weights if self.depth <= levels)
        return weight * 120.0 / self.weight_per_minute

    def path_of(self, pair: CurrencyPair) -> str:
        """Path and query of a snapshot."""
        return f"{self.rest_path}?symbol={self.native_of[pair]}&limit={self.depth}"


class BinanceFutureBookProtocol(BinanceBookProtocol):
    """The same of USD-M futures: updates name the one before."""

    exchange = Exchange.BINANCE_FUTURE
    url = "wss://fstream.binance.com/public/stream"
    send_interval_s = 0.125
    rest_url = "https://fapi.binance.com"
    rest_path = "/fapi/v1/depth"
    weight_per_minute = 2400
    weights = ((50, 2), (100, 5), (500, 10), (1000, 20))
    speeds: ClassVar[Mapping[str, str]] = {"100ms": "depth@100ms", "250ms": "depth", "500ms": "depth@500ms"}
