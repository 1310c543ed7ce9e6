"""A publisher and a subscriber of tickers. They stand in one program here, and work the same in two processes.

Run: python examples/ipc_pubsub.py
"""

import asyncio
import tempfile

from hftpy.common import Channel, Exchange, Gap, Ticker
from hftpy.ipc import IPCPublisher, IPCSubscriber

COUNT = 5


class PriceWatcher:
    """An observer: it has the queue of each channel that is subscribed."""

    def __init__(self) -> None:
        self.ticker_queue: asyncio.Queue[Ticker] = asyncio.Queue(1000)

    def on_gap(self, gap: Gap) -> None:
        print(f"gap: {gap.lost} messages of {gap.symbol} lost: {gap.reason}")

    async def watch(self) -> None:
        for _ in range(COUNT):
            ticker = await self.ticker_queue.get()
            print(f"{ticker.exchange} {ticker.symbol}: {ticker.bidPrice} / {ticker.askPrice}")


async def publish(publisher: IPCPublisher) -> None:
    while not publisher.subscriber_count(Exchange.KRAKEN, Channel.TICKER):  # noqa: ASYNC110 - a count is no event
        await asyncio.sleep(0.01)
    for step in range(COUNT):
        for symbol in ("btc/usd", "btc/usdt"):  # the watcher sees the first alone
            publisher.send_ticker(
                exchange=Exchange.KRAKEN,
                symbol=symbol,
                bid_price=50_000.0 + step,
                bid_volume=1.5,
                ask_price=50_000.5 + step,
                ask_volume=0.7,
            )


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        publisher = IPCPublisher(root)
        subscriber = IPCSubscriber([(Exchange.KRAKEN, Channel.TICKER, ["btc/usd"])], root=root)
        watcher = PriceWatcher()
        subscriber.bind_observer(watcher)
        receiving = asyncio.create_task(subscriber.start())
        await asyncio.gather(watcher.watch(), publish(publisher))
        print(f"received {subscriber.stats['received']}, lost {subscriber.stats['lost']}")
        subscriber.stop()
        await receiving
        publisher.close()


if __name__ == "__main__":
    asyncio.run(main())
