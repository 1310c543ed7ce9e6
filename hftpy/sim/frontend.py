"""What the venue front ends share: connections, subscriptions by channel and pair, counters, faults on data."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from hftcore.enums import Exchange
from hftcore.symbols import CurrencyPair
from hftpy.sim.connection import QUEUE_CAPACITY, ClientConnection
from hftpy.sim.depth import DepthChange
from hftpy.sim.desk import OrderDesk
from hftpy.sim.faults import DataFrame, FaultState, Hits
from hftpy.sim.market import Market, MarketTrade, Quote, RawFrame
from hftpy.trading.matching import Fill

KEPT_CONNECTIONS = 1000  # whose counters are kept after they have gone


class FrontEnd:
    """One venue's WebSocket side on a market and a desk. Subclasses speak the protocol."""

    exchange: Exchange

    def __init__(
        self,
        market: Market,
        desk: OrderDesk,
        faults: FaultState,
        *,
        on_subscribed: Callable[[], None] = lambda: None,
        queue_capacity: int = QUEUE_CAPACITY,
    ) -> None:
        self.market = market
        self.desk = desk
        self.faults = faults
        self.connections: dict[ClientConnection, Any] = {}
        self.connections_total = 0
        self.slow_disconnects = 0
        self.requests = 0
        self.frames: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.faulted: Hits = {}
        self.sent_by_connection: dict[int, Counter[str]] = {}
        self._on_subscribed = on_subscribed
        self._capacity = queue_capacity
        self._numbers: dict[ClientConnection, int] = {}

    # What a venue defines.

    def open(self, connection: ClientConnection) -> Any:
        """A connection came in: greet it; what is returned is kept with the connection."""
        raise NotImplementedError

    def serves(self, path: str) -> bool:
        """Whether an address (without query) is one of this venue's, with or without its name before it."""
        raise NotImplementedError

    def takes(self, exchange: Exchange) -> bool:
        """Whether recorded frames of a venue are played here."""
        return exchange is self.exchange

    def receive(self, connection: ClientConnection, message: str | bytes) -> None:
        """A client's message."""
        raise NotImplementedError

    def malformed(self, connection: ClientConnection) -> None:
        """Answer a message that cannot be answered in its own terms."""
        raise NotImplementedError

    def close(self, connection: ClientConnection) -> None:
        """A connection has gone: forget its subscriptions."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what a restart forgets."""

    def tick(self) -> None:
        """Called about four times a second, for heartbeats."""

    def on_quote(self, quote: Quote) -> None:
        raise NotImplementedError

    def on_market_trade(self, trade: MarketTrade) -> None:
        raise NotImplementedError

    def on_depth(self, change: DepthChange) -> None:
        """A venue without a book channel here has nothing to tell."""

    def raw_takers(self, frame: RawFrame) -> list[ClientConnection]:
        """The connections that subscribed to what a recorded frame carries."""
        raise NotImplementedError

    def raw_text(self, connection: ClientConnection, frame: RawFrame) -> str:
        """A recorded frame as this connection takes it."""
        return frame.text

    # What they share.

    def on_fills(self, pair: CurrencyPair, fills: list[Fill]) -> None:
        """The desk books them; front ends hear of it as order events."""

    async def on_raw(self, frame: RawFrame, *, wait: bool) -> None:
        if not self.takes(frame.exchange):
            return
        for connection in self.raw_takers(frame):
            text = self.raw_text(connection, frame)
            if wait:
                await self.send_waiting(connection, frame.channel, text, frame.events)
            else:
                self.send_data(connection, frame.channel, text, frame.events)

    async def drained(self) -> None:
        for connection in tuple(self.connections):
            await connection.flushed()

    async def handle(self, socket: ServerConnection) -> None:
        """Serve one connection until it closes."""
        connection = ClientConnection(socket, capacity=self._capacity, on_slow=self._count_slow)
        self.connections_total += 1
        number = self._numbers[connection] = self.connections_total
        self.sent_by_connection[number] = Counter()
        if len(self.sent_by_connection) > KEPT_CONNECTIONS:
            del self.sent_by_connection[next(iter(self.sent_by_connection))]
        writer = asyncio.create_task(connection.write(), name=f"sim-{self.exchange}-writer-{number}")
        try:
            self.connections[connection] = self.open(connection)
            async for message in socket:
                self.requests += 1
                try:
                    self.receive(connection, message)
                except ValueError:
                    # Lone surrogates: JSON can say them, an answer cannot repeat them.
                    self.malformed(connection)
        except ConnectionClosed:
            pass  # an aborted connection is how most tests end
        finally:
            connection.mark_closed()
            self.connections.pop(connection, None)
            self.faults.forget(connection)
            self._numbers.pop(connection, None)
            self.close(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    def send_data(self, connection: ClientConnection, channel: str, text: str, events: int = 1) -> None:
        """Send market data, as far as no fault takes it away."""
        for frame in self._passed(connection, DataFrame(text, channel, events)):
            if connection.send(frame.text):
                self._count(connection, frame)

    async def send_waiting(self, connection: ClientConnection, channel: str, text: str, events: int = 1) -> None:
        """As `send_data`, but wait for room in the connection's queue."""
        for frame in self._passed(connection, DataFrame(text, channel, events)):
            if await connection.send_waiting(frame.text):
                self._count(connection, frame)

    def subscribed(self) -> None:
        """A client has subscribed to something: the clock of the faults starts."""
        self._on_subscribed()

    def abort_all(self) -> None:
        """Cut every connection without a closing handshake."""
        for connection in tuple(self.connections):
            connection.abort()

    def quiet(self, connection: ClientConnection, seconds: float) -> bool:
        """Whether nothing was sent to a connection for some seconds."""
        return time.monotonic() - connection.last_sent >= seconds

    def stats(self) -> dict[str, Any]:
        """Counters for `/sim/stats`."""
        return {
            "connections": len(self.connections),
            "connections_total": self.connections_total,
            "slow_disconnects": self.slow_disconnects,
            "requests": self.requests,
            "frames": dict(self.frames),
            "events": dict(self.events),
            "dropped_by_fault": dict(self.dropped),
            "faulted": {kind: dict(frames) for kind, frames in self.faulted.items()},
            "sent_by_connection": {str(number): dict(sent) for number, sent in self.sent_by_connection.items()},
        }

    @property
    def dropped(self) -> Counter[str]:
        """Data frames that a fault withheld, by channel."""
        return self.faulted.get("mute", Counter()) + self.faulted.get("drop", Counter())

    def _passed(self, connection: ClientConnection, frame: DataFrame) -> tuple[DataFrame, ...]:
        if connection.closed:
            return ()
        frames = self.faults.pass_on(connection, frame, self.faulted)
        if frames:
            for garbage in self.faults.garbage_for(connection):
                connection.send(garbage)
        return frames

    def _count(self, connection: ClientConnection, frame: DataFrame) -> None:
        self.frames[frame.channel] += 1
        self.events[frame.channel] += frame.events
        number = self._numbers.get(connection)
        if number is not None and number in self.sent_by_connection:
            self.sent_by_connection[number][frame.channel] += 1

    def _count_slow(self) -> None:
        self.slow_disconnects += 1
