"""One observer for whatever venue: changing the word changes the venue.

Run: python examples/any_venue.py coinbase btc/usd --count 20
Against the simulated venue: HFT_API_HOST=ws://127.0.0.1:PORT/coinbase python examples/any_venue.py coinbase btc/usd
"""

import argparse
import asyncio
import os

from hftpy.common import Gap, Ticker, Trade
from hftpy.exchange import get_exchange_stream


class Printer:
    """Prints tickers and trades until there were enough."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.enough = asyncio.Event()
        self.ticker_queue = self.trade_queue = self

    def put_nowait(self, item: Ticker | Trade) -> None:
        """What a stream delivers."""
        if self.left <= 0:
            return
        if isinstance(item, Ticker):
            print(f"{item.exchange} {item.symbol} {item.bidPrice} / {item.askPrice}")
        else:
            print(f"{item.exchange} {item.symbol} {item.side} {item.price} x {item.volume}")
        self.left -= 1
        if self.left == 0:
            self.enough.set()

    def on_gap(self, gap: Gap) -> None:
        """Something is missing before the next item."""
        print(f"gap: {gap.reason}, lost {gap.lost}")


async def main(venue: str, pair: str, count: int) -> None:
    """Follow one pair."""
    printer = Printer(count)
    stream = get_exchange_stream(
        venue,
        currency_pairs=[pair],
        subscribe_channels=["ticker", "trade"],
        api_host=os.environ.get("HFT_API_HOST"),
    )
    stream.bind_observer(printer)
    running = asyncio.create_task(stream.start())
    await asyncio.wait({running, asyncio.create_task(printer.enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
    await stream.stop()
    await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venue")
    parser.add_argument("pair")
    parser.add_argument("--count", type=int, default=20)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.venue, chosen.pair, chosen.count))
