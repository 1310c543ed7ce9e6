from collections.abc import Mapping
from enum import IntEnum
from typing import final

from hftcore.enums import Exchange
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade

class FrameKind(IntEnum):
    EVENTS = 1
    CONTROL = 2
    OTHER = 3

@final
class Parser:
    def __init__(
        self, exchange: Exchange | str | int, *, templates: bool = True, symbols: Mapping[str, str] | None = None
    ) -> None: ...
    def parse(
        self, frame: bytes | bytearray | memoryview, localTimeNs: int = 0, flags: int = 0
    ) -> list[Ticker | Trade]: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def kind(self) -> FrameKind | None: ...
    @property
    def frameNumber(self) -> int | None: ...
    @property
    def nativeSymbols(self) -> list[str]: ...
    @property
    def passedOver(self) -> tuple[CurrencyPair, int, int] | None: ...
    @property
    def templateHits(self) -> int: ...
