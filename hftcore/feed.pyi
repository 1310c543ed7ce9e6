from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, final

from hftcore.enums import Exchange
from hftcore.feed_base import FeedBase
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftcore.watch import SilenceWatch

@final
class Outlet: ...

@final
class Drain: ...

@final
class Feed(FeedBase):
    on_gap: Callable[[CurrencyPair | None, str, int | None], Any] | None
    @property
    def kind(self) -> type[Ticker] | type[Trade]: ...
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
    def bind(self, queue: Any, failed: Callable[[Exception], Any] | None = None) -> None: ...
    def drain(self, ring: Ring[Any], callback: Callable[[Any], Any]) -> None: ...
    @property
    def counting(self) -> bool: ...
    @property
    def templateHits(self) -> int: ...
    def reset(self) -> None: ...
