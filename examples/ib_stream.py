"""Tickers and trades of Interactive Brokers, of TWS or IB Gateway on this host.

    python examples/ib_stream.py                                    # TWS's paper account, tcp://127.0.0.1:7497
    python examples/ib_stream.py --api-host tcp://127.0.0.1:4001 --pairs aapl/usd eur/usd
    python examples/ib_stream.py --delayed                          # no subscription: delayed quotes, marked as such

Needs the extra ib: pip install 'hftpy[ib]'. In TWS, "Enable ActiveX and Socket Clients" must be set.
"""

import argparse
import asyncio
import os

from hftcore.enums import Flag
from hftpy.common import Gap, Reconnected, Stale, Ticker, Trade
from hftpy.exchange import get_exchange_stream


class Printer:
    """An observer whose queues are itself: everything is printed as it comes."""

    def __init__(self, count: int) -> None:
        self.ticker_queue = self.trade_queue = self.event_queue = self
        self.left = count
        self.enough = asyncio.Event()

    def put_nowait(self, item: Ticker | Trade | Gap | Stale | Reconnected) -> None:
        if isinstance(item, Ticker):
            delayed = " (delayed)" if Flag.DELAYED in item.flags else ""
            print(f"ticker {item.symbol} {item.bidPrice} / {item.askPrice}{delayed}", flush=True)
        elif isinstance(item, Trade):
            print(f"trade  {item.symbol} {item.price} x {item.volume}", flush=True)
        elif isinstance(item, Gap):
            print(f"gap    {item.symbol or 'all'}: {item.reason}", flush=True)
        elif isinstance(item, Stale):
            print(f"stale  {item.symbol}: silent for {item.silent_s:.0f} s", flush=True)
        else:
            print(f"back   after {item.down_s:.1f} s", flush=True)
        self.left -= 1
        if self.left == 0:
            self.enough.set()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["aapl/usd"])
    parser.add_argument("--api-host", default=os.environ.get("HFT_API_HOST", ""))
    parser.add_argument("--delayed", action="store_true")
    parser.add_argument("--count", type=int, default=0, help="stop after so many lines; 0: never")
    options = parser.parse_args()

    stream = get_exchange_stream(
        exchange="ib",
        currency_pairs=options.pairs,
        subscribe_channels=["ticker"] if options.delayed else ["ticker", "trade"],
        api_host=options.api_host,
        subscribe_args={"feed": "market_data", "delayed": True} if options.delayed else {},
    )
    printer = Printer(options.count)
    stream.bind_observer(printer)
    running = asyncio.create_task(stream.start())
    enough = asyncio.create_task(printer.enough.wait())
    try:
        await asyncio.wait([running, enough], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await stream.stop()
        enough.cancel()
    await running


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
