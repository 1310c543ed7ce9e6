from collections.abc import Awaitable
from typing import Any

from typing_extensions import disjoint_base

from hftcore.ring import Ring

@disjoint_base
class NativeStrategy:
    @property
    def tickers(self) -> int: ...
    @property
    def trades(self) -> int: ...
    def drain(self, ring: Ring[Any], limit: int | None = None) -> int: ...
    def dispatch(
        self,
        ring: Ring[Any],
        limit: int | None = None,
        *,
        until: int | None = None,
        since: int | None = None,
        budget_ns: int = 0,
    ) -> Any: ...
    async def run(self, ring: Ring[Any], *, batch: int = 1024) -> None: ...
    def on_signal(self) -> Awaitable[object] | None: ...
    def take_signal(self) -> bool: ...
