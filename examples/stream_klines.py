"""Klines and funding of one pair, as far as the venue has them, printed as they come.

    python examples/stream_klines.py --exchange binance_future --pair btc/usdt --interval 5m
    python examples/stream_klines.py --exchange kraken --pair btc/usd --count 3
    python examples/stream_klines.py --exchange kraken_future --pair btc/usd     # which has no klines
"""

import argparse
import asyncio
import os

from hftpy.common import Channel, Funding, Kline
from hftpy.exchange import get_exchange_stream

CHANNELS = {
    "binance_future": [Channel.KLINE, Channel.FUNDING],
    "okx_swap": [Channel.KLINE, Channel.FUNDING],
    "kraken_future": [Channel.FUNDING],
}


class Printer:
    """An observer with a queue for each channel."""

    def __init__(self, count: int) -> None:
        self.kline_queue: asyncio.Queue[Kline] = asyncio.Queue(maxsize=1000)
        self.funding_queue: asyncio.Queue[Funding] = asyncio.Queue(maxsize=1000)
        self.left = count
        self.enough = asyncio.Event()

    async def print_klines(self) -> None:
        while True:
            kline = await self.kline_queue.get()
            state = "closed" if kline.closed else "open"
            print(f"kline {kline.symbol} {kline.open} {kline.high} {kline.low} {kline.close} {state}", flush=True)
            self.printed()

    async def print_funding(self) -> None:
        while True:
            funding = await self.funding_queue.get()
            print(f"funding {funding.symbol} {funding.rate} mark {funding.mark_price}", flush=True)
            self.printed()

    def printed(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.enough.set()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", default="kraken")
    parser.add_argument("--pair", default="btc/usd")
    parser.add_argument("--interval", default="", help="default: 1m; Coinbase has 5m alone")
    parser.add_argument("--api-host", default=os.environ.get("HFT_API_HOST", ""), help="default: the venue itself")
    parser.add_argument("--count", type=int, default=0, help="stop after so many lines; 0: never")
    options = parser.parse_args()

    stream = get_exchange_stream(
        exchange=options.exchange,
        currency_pairs=[options.pair],
        subscribe_channels=CHANNELS.get(options.exchange, [Channel.KLINE]),
        api_host=options.api_host,
        subscribe_args={"kline": {"interval": options.interval} if options.interval else {}},
    )
    printer = Printer(options.count)
    stream.bind_observer(printer)
    tasks = [
        asyncio.create_task(work)
        for work in (stream.start(), printer.print_klines(), printer.print_funding(), printer.enough.wait())
    ]
    try:
        # The stream runs until it is stopped or fails for good.
        await asyncio.wait((tasks[0], tasks[3]), return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        await stream.stop()
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
