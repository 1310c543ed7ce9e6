"""The shortest way from a venue to a strategy: a callback within the read of the socket, no task in between.

Run: python examples/stream_drain.py --count 10
"""

import argparse
import asyncio
import os

from hftcore.ring import Ring
from hftpy.common import Channel, Exchange, Gap, Ticker
from hftpy.exchange import get_exchange_stream


class Strategy:
    """Keeps the best bid and ask, and decides once per batch."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.enough = asyncio.Event()
        self.ticker_queue: Ring[Ticker] = Ring(Ticker, 4096)
        self.last: Ticker | None = None
        self.tickers = 0

    def on_ticker(self, ticker: Ticker) -> None:
        """Each ticker, in order."""
        self.tickers += 1
        self.last = ticker

    def on_batch(self) -> None:
        """After all that one read of the socket brought: the moment to decide."""
        assert self.last is not None
        print(f"{self.last.symbol} {self.last.bidPrice} / {self.last.askPrice}, {self.tickers} so far")
        if self.tickers >= self.count:
            self.enough.set()

    def on_gap(self, gap: Gap) -> None:
        """Something was, or may have been, lost."""
        print(gap)


async def main(count: int) -> None:
    """Take some tickers, then show how long the hops took."""
    strategy = Strategy(count)
    stream = get_exchange_stream(
        exchange=Exchange.KRAKEN,
        currency_pairs=["btc/usd"],
        subscribe_channels=[Channel.TICKER],
        api_host=os.environ.get("HFT_API_HOST"),
    )
    stream.bind_observer(strategy)
    stream.drain(strategy.ticker_queue, strategy.on_ticker)
    stream.on_batch(strategy.on_batch)
    running = asyncio.create_task(stream.start())
    await strategy.enough.wait()
    for hop, found in stream.stats["ticker"]["latency"].items():
        print(f"{hop}: {found['count']} times, p50 {found['p50_ns']} ns, p99 {found['p99_ns']} ns")
    await stream.stop()
    await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="tickers to take")
    asyncio.run(main(parser.parse_args().count))
