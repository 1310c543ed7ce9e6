from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, final

from hftcore.book import OrderBook, Snapshot
from hftcore.enums import Exchange
from hftcore.feed_base import FeedBase
from hftcore.symbols import CurrencyPair
from hftcore.watch import SilenceWatch

@final
class Entry: ...

@final
class Outlet: ...

@final
class BookFeed(FeedBase):
    on_gap: Callable[[CurrencyPair, str, int | None], Any] | None
    on_ask: Callable[[CurrencyPair], Any] | None
    @property
    def kind(self) -> type[Snapshot]: ...
    @property
    def levels(self) -> int: ...
    def __init__(
        self,
        exchange: Exchange | str | int,
        symbols: Iterable[str],
        *,
        depth: int = 0,
        levels: int = 20,
        snapshots: Literal["in_band", "outside"] = "in_band",
        natives: Mapping[str, str] | None = None,
        flags: int = 0,
        watch: SilenceWatch | None = None,
        on_frame: Callable[[bytes], Any] | None = None,
        on_gap: Callable[[CurrencyPair, str, int | None], Any] | None = None,
        on_ask: Callable[[CurrencyPair], Any] | None = None,
        on_error: Callable[[Exception], Any] | None = None,
    ) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def feed(self, frame: bytes | bytearray | memoryview, last: bool = True) -> None: ...
    def snapshot(self, symbol: str, frame: bytes | bytearray | memoryview, localTimeNs: int = 0) -> bool: ...
    def book(self, symbol: str) -> OrderBook: ...
    def waits(self, symbol: str) -> bool: ...
    def held(self, symbol: str) -> int: ...
    def unreadable(self, symbols: Iterable[str]) -> None: ...
    def bind(self, queue: Any, failed: Callable[[Exception], Any] | None = None) -> None: ...
    def reset(self) -> None: ...
