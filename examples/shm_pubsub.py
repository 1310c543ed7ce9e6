"""A publisher in a process of its own, and a strategy that reads it through shared memory.

It is `ipc_pubsub.py` with ``transport="shm"``. The publisher is started twice: the strategy is told, and goes on.

Run: python examples/shm_pubsub.py
"""

import asyncio
import multiprocessing
import tempfile
import time

from hftpy.common import Channel, Exchange, Gap, Ticker
from hftpy.ipc import IPCPublisher, IPCSubscriber

COUNT = 1000


class Strategy:
    """An observer: it has the queue of each channel that is subscribed."""

    def __init__(self) -> None:
        self.ticker_queue: asyncio.Queue[Ticker] = asyncio.Queue(10 * COUNT)
        self.restarts = 0

    def on_gap(self, gap: Gap) -> None:
        self.restarts += gap.lost is None
        print(f"gap: {gap.reason}, lost {gap.lost}")

    async def watch(self) -> int:
        seen = 0
        while (await self.ticker_queue.get()).bidPrice != COUNT:
            seen += 1
        return seen + 1


def publish(root: str) -> None:
    publisher = IPCPublisher(root, transport="shm")
    for step in range(1, COUNT + 1):
        publisher.send_ticker(
            exchange="kraken", symbol="btc/usd", bid_price=step, bid_volume=1.5, ask_price=step + 0.5, ask_volume=0.7
        )
    time.sleep(0.2)  # a living publisher: whoever joins now gets its last value
    publisher.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        subscriber = IPCSubscriber([(Exchange.KRAKEN, Channel.TICKER, ["btc/usd"])], root=root, transport="shm")
        strategy = Strategy()
        subscriber.bind_observer(strategy)
        receiving = asyncio.create_task(subscriber.start())
        await asyncio.sleep(0)  # it waits for its publisher now, and will miss nothing
        for life in ("first", "second"):
            process = multiprocessing.get_context("spawn").Process(target=publish, args=(root,))
            process.start()
            print(f"{life} publisher: {await strategy.watch()} tickers")
            await asyncio.to_thread(process.join)
        print(f"received {subscriber.stats['received']}, lost {subscriber.stats['lost']}, restarts {strategy.restarts}")
        subscriber.stop()
        await receiving


if __name__ == "__main__":
    asyncio.run(main())
