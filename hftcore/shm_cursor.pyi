import os
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from typing_extensions import disjoint_base

from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade

_Item = TypeVar("_Item", Ticker, Trade)

@disjoint_base
class SegmentCursor(Generic[_Item]):
    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: type[_Item],
        symbols: Iterable[str] | None,
        on_notice: Callable[[str, CurrencyPair | None, Any], object] | None,
    ) -> None: ...
    @property
    def kind(self) -> type[_Item]: ...
    @property
    def path(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    @property
    def malformed(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def attached(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def silent_s(self) -> float | None: ...
    @property
    def writer_alive(self) -> bool: ...
    @property
    def stats(self) -> dict[str, int]: ...
    def seqs(self) -> dict[CurrencyPair, int]: ...
