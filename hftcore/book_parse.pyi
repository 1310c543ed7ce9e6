from collections.abc import Mapping
from typing import NamedTuple, final

from hftcore.enums import Exchange
from hftcore.parse import FrameKind
from hftcore.symbols import CurrencyPair

class BookUpdate(NamedTuple):
    symbol: CurrencyPair
    exchange: Exchange
    snapshot: bool
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    exchangeTimeNs: int
    localTimeNs: int
    firstSeq: int | None
    lastSeq: int | None
    prevSeq: int | None
    checksum: int | None
    native: str

@final
class BookParser:
    def __init__(self, exchange: Exchange | str | int, *, symbols: Mapping[str, str] | None = None) -> None: ...
    def parse(
        self, frame: bytes | bytearray | memoryview, localTimeNs: int = 0, symbol: str | None = None
    ) -> list[BookUpdate]: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def kind(self) -> FrameKind | None: ...
    @property
    def otherEvents(self) -> int: ...
    @property
    def frameSeq(self) -> int | None: ...
