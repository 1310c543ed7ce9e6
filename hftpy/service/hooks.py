"""The hooks of a service: what a subclass overrides. Each may be a function or a coroutine function."""

from collections.abc import Awaitable
from typing import Any

from hftpy.common import Funding, Gap, Kline, MyOrder, MyTrade, Reconnected, Snapshot, Stale, Ticker, Trade
from hftpy.errors import StateError
from hftpy.ipc import IPCCommand


class ServiceHooks:
    """Every hook, doing nothing."""

    def on_setup(self) -> bool | Awaitable[bool | None] | None:
        """Register command handlers, check the config. Nothing is connected yet. False aborts the start."""
        return True

    def on_start(self) -> Any:
        """Everything is connected or connecting."""

    def on_stop(self) -> Any:
        """The last call, while commands can still be sent."""

    def on_ticker(self, ticker: Ticker) -> Any:
        """A new best bid or ask."""

    def on_trade(self, trade: Trade) -> Any:
        """A trade of the venue."""

    def on_book(self, book: Snapshot) -> Any:
        """The best levels of an order book, after an update that left it whole."""

    def on_kline(self, kline: Kline) -> Any:
        """A kline began, changed or closed (`Flag.CLOSED`)."""

    def on_funding(self, funding: Funding) -> Any:
        """A contract's funding or mark price changed."""

    def on_my_order(self, my_order: MyOrder) -> Any:
        """One of our orders changed."""

    def on_my_order_batch(self, my_orders: list[MyOrder]) -> Any:
        """All live orders, from time to time: repairs what was lost."""

    def on_my_trade(self, my_trade: MyTrade) -> Any:
        """One of our orders was filled, wholly or in part."""

    def on_gap(self, gap: Gap) -> Any:
        """Messages were, or may have been, lost."""

    def on_stale(self, stale: Stale) -> Any:
        """A channel has been silent for longer than its limit."""

    def on_reconnected(self, reconnected: Reconnected) -> Any:
        """A stream is connected and subscribed again."""

    def next(self) -> Any:
        """One round of the service's own work, called again and again from when `on_start` has ended.

        A command that was registered by `register_interrupt`, a pause and the stop end a round at once, wherever it
        waits: it gets `asyncio.CancelledError` there and has `finally` for its clean-up.

        Returns
        -------
        None, bool or float
            The seconds until the next round; None or False: the config's `next_interval`; True: no further one.
        """

    def on_interrupt(self, command: IPCCommand) -> Any:
        """An interrupt that has no handler of its own; called before what it interrupted goes on."""

    def on_pause(self) -> Any:
        """The service is paused: its round has ended, and orders are refused. Cancel what must not stay open."""

    def on_resume(self) -> Any:
        """The service goes on; rounds begin after this hook."""

    def on_params(self, old: Any, new: Any) -> Any:
        """The parameters changed: `self.params` is `new` already. Raise, or return False, to put the old ones back."""

    def on_save(self) -> Any:
        """The service's state, to be saved: JSON types, or what msgspec writes as JSON. None: nothing."""

    def on_load(self, state: Any) -> Any:
        """What was saved by an earlier life of the service; after `on_setup`, before anything is connected."""

    def on_migrate(self, state: Any, version: int) -> Any:
        """Turn what another `state_version` has saved into what this one wants, and return it."""
        raise StateError(f"the saved state has version {version}: override on_migrate")

    def on_warm(self) -> Any:
        """The warm-up is over, or there is none and `on_start` has ended: from now on orders are sent."""
