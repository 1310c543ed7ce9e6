from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, final

from hftcore.enums import Exchange
from hftcore.latency import LatencyHistogram
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftcore.watch import SilenceWatch

@final
class Outlet: ...

@final
class Feed:
    on_frame: Callable[[bytes], Any] | None
    on_gap: Callable[[CurrencyPair | None, str, int | None], Any] | None
    on_handled: Callable[[], Any] | None
    on_error: Callable[[Exception], Any] | None
    exposed: bool
    @property
    def watch(self) -> SilenceWatch: ...
    @property
    def kind(self) -> type[Ticker] | type[Trade]: ...
    @property
    def venue_to_socket(self) -> LatencyHistogram: ...
    @property
    def socket_to_parse(self) -> LatencyHistogram: ...
    @property
    def parse_to_ring(self) -> LatencyHistogram: ...
    def __init__(
        self,
        exchange: Exchange | str | int,
        kind: type[Ticker] | type[Trade],
        symbols: Iterable[str],
        *,
        tickers: Literal["all", "newest", "newest_or_anew"] = "all",
        trades: Literal["all", "by_one", "rising"] = "all",
        number: Literal["tradeId", "seq"] = "tradeId",
        newest_first: bool = False,
        flags: int = 0,
        watch: SilenceWatch | None = None,
        on_frame: Callable[[bytes], Any] | None = None,
        on_gap: Callable[[CurrencyPair | None, str, int | None], Any] | None = None,
        on_error: Callable[[Exception], Any] | None = None,
        natives: Mapping[str, str] | None = None,
    ) -> None: ...
    def feed(self, frame: bytes | bytearray | memoryview, last: bool = True) -> None: ...
    def feed_all(self, frames: Iterable[bytes]) -> None: ...
    def flush(self) -> None: ...
    def bind(self, queue: Any, failed: Callable[[Exception], Any] | None = None) -> None: ...
    def drain(self, ring: Ring[Any], callback: Callable[[Any], Any]) -> None: ...
    def on_batch(self, callback: Callable[[], Any]) -> None: ...
    def take_counts(self) -> dict[str, int]: ...
    def share_latency(self, histograms: dict[str, LatencyHistogram]) -> None: ...
    @property
    def counting(self) -> bool: ...
    @property
    def templateHits(self) -> int: ...
    def reset(self) -> None: ...
