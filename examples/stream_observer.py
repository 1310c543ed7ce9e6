"""A stream on its own: tickers and trades of two pairs, printed as they come.

    python examples/stream_observer.py
    python examples/stream_observer.py --exchange binance --pairs btc/usdt eth/usdt
    python examples/stream_observer.py --api-host ws://127.0.0.1:9001/kraken --count 20   # the simulated venue
"""

import argparse
import asyncio
import os

from hftpy.common import Channel, Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.exchange import get_exchange_stream


class Printer:
    """An observer: one queue per subscribed channel, and what to do about gaps."""

    def __init__(self, count: int) -> None:
        self.ticker_queue: asyncio.Queue[Ticker] = asyncio.Queue(maxsize=10_000)
        self.trade_queue: asyncio.Queue[Trade] = asyncio.Queue(maxsize=10_000)
        self.left = count
        self.enough = asyncio.Event()

    async def print_tickers(self) -> None:
        while True:
            ticker = await self.ticker_queue.get()
            print(f"ticker {ticker.symbol} {ticker.bidPrice} / {ticker.askPrice}", flush=True)
            self.printed()

    async def print_trades(self) -> None:
        while True:
            trade = await self.trade_queue.get()
            print(f"trade  {trade.symbol} {trade.side} {trade.price} x {trade.volume}", flush=True)
            self.printed()

    def printed(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.enough.set()

    def on_gap(self, gap: Gap) -> None:
        print(f"gap    {gap.channel} {gap.symbol or 'all'}: {gap.reason}, lost {gap.lost}", flush=True)

    def on_stale(self, stale: Stale) -> None:
        print(f"stale  {stale.channel} {stale.symbol}: silent for {stale.silent_s:.0f} s", flush=True)

    def on_reconnected(self, event: Reconnected) -> None:
        print(f"back   {event.channel} after {event.down_s:.1f} s", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", default="kraken")
    parser.add_argument("--pairs", nargs="+", default=["btc/usd", "eth/usd"])
    parser.add_argument("--api-host", default=os.environ.get("HFT_API_HOST", ""), help="default: the venue itself")
    parser.add_argument("--count", type=int, default=0, help="stop after so many lines; 0: never")
    options = parser.parse_args()

    stream = get_exchange_stream(
        exchange=Exchange.parse(options.exchange),
        currency_pairs=options.pairs,
        subscribe_channels=[Channel.TICKER, Channel.TRADE],
        api_host=options.api_host,
    )
    printer = Printer(options.count)
    stream.bind_observer(printer)
    consumers = [asyncio.create_task(printer.print_tickers()), asyncio.create_task(printer.print_trades())]
    running = asyncio.create_task(stream.start())
    enough = asyncio.create_task(printer.enough.wait())
    try:
        await asyncio.wait([running, enough], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await stream.stop()
        for task in (enough, *consumers):
            task.cancel()
        await asyncio.gather(enough, *consumers, return_exceptions=True)
    await running


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
