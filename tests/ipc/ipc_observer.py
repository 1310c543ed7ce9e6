"""A subscriber with an observer that logs what it is given, for the tests of every transport."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hftcore.enums import Channel, Exchange
from hftcore.types import Ticker
from hftpy.common.events import Gap
from hftpy.ipc import IPCPublisher, IPCSubscriber


class Observer:
    """Has every queue, and one log in the order of arrival."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        for channel in Channel:
            setattr(self, f"{channel}_queue", self)

    def put_nowait(self, value: Any) -> None:
        self.log.append(value)

    def on_gap(self, gap: Gap) -> None:
        self.log.append(gap)

    on_stale = on_reconnected = on_gap

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.log if isinstance(item, Gap)]

    @property
    def seqs(self) -> list[Any]:
        """The tickers' own numbers, and "gap" for a gap."""
        return ["gap" if isinstance(item, Gap) else item.seq for item in self.log]


def ticker(seq: int, symbol: str = "btc/usd", exchange: Exchange = Exchange.KRAKEN) -> Ticker:
    return Ticker(exchange=exchange, symbol=symbol, bidPrice=1.5, askPrice=2.5, seq=seq)


@contextlib.asynccontextmanager
async def subscribed(
    root: Path,
    publisher: IPCPublisher | None,
    symbols: Any = ("btc/usd",),
    channel: Channel = Channel.TICKER,
    observer: Any = None,
    **kwargs: Any,
) -> AsyncIterator[tuple[IPCSubscriber, Any]]:
    """A subscriber of Kraken that has joined the publisher, if there is one, and its observer."""
    subscriber = IPCSubscriber([(Exchange.KRAKEN, channel, symbols)], root=root, **kwargs)
    observer = Observer() if observer is None else observer
    subscriber.bind_observer(observer)
    before = publisher.subscriber_count(Exchange.KRAKEN, channel) if publisher else 0
    task = asyncio.create_task(subscriber.start())
    try:
        await asyncio.sleep(0)
        while publisher and publisher.subscriber_count(Exchange.KRAKEN, channel) == before:
            assert not task.done()
            await asyncio.sleep(0.005)
        yield subscriber, observer
    finally:
        subscriber.stop()
        await task
