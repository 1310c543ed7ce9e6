"""The order book of one pair: its top after each update, what is lost on the way, and how the book comes back.

    python examples/stream_book.py                      # a simulated venue of its own, which leaves frames out
    python examples/stream_book.py --exchange binance --count 200
    python examples/stream_book.py --live --pair btc/usd --levels 5
"""

import argparse
import asyncio
from contextlib import AsyncExitStack

from hftpy.common import CurrencyPair, Exchange, Gap, Snapshot
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.venue import NativeStream
from hftpy.sim import SimVenue, SyntheticMarket


class BookPrinter:
    """An observer: `book_queue` gets a copy of the book after each update that leaves it whole."""

    def __init__(self, count: int) -> None:
        self.book_queue: asyncio.Queue[Snapshot] = asyncio.Queue(maxsize=1000)
        self.left = count

    def on_gap(self, gap: Gap) -> None:
        """The book has a hole, and is asked for again; nothing of it comes before it is whole."""
        print(f"gap  {gap.symbol or 'all'}: {gap.reason}, lost {gap.lost}", flush=True)

    async def run(self, stream: NativeStream, pair: CurrencyPair) -> None:
        """Print what comes, until there was enough."""
        while self.left > 0:
            top = await self.book_queue.get()
            live = stream.book(pair)  # the book itself, which may be newer than the copy
            print(
                f"book {top.symbol} {top.bidVolume} @ {top.bidPrice} / {top.askPrice} @ {top.askVolume}, "
                f"{top.bidCount}+{top.askCount} levels, now {live.state}",
                flush=True,
            )
            self.left -= 1


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", default="kraken")
    parser.add_argument("--pair", default="btc/usd")
    parser.add_argument("--levels", type=int, default=10)
    parser.add_argument("--live", action="store_true", help="the venue itself")
    parser.add_argument("--fault", default="drop@1:1", help="what the simulated venue does wrong, see docs/sim.md")
    parser.add_argument("--count", type=int, default=300, help="stop after so many updates")
    options = parser.parse_args()

    async with AsyncExitStack() as stack:
        api_host, book_args = "", {"levels": options.levels}
        if not options.live:
            exchange = Exchange.parse(options.exchange)
            market = SyntheticMarket([options.pair], rate=100)
            venue = await stack.enter_async_context(SimVenue(market, (exchange,), faults=(options.fault,)))
            api_host = venue.ws_url(exchange)
            if exchange in (Exchange.BINANCE, Exchange.BINANCE_FUTURE):
                book_args["rest_host"] = venue.rest_url(exchange)  # its snapshots come by REST
        stream = get_exchange_stream(
            exchange=options.exchange,
            currency_pairs=[options.pair],
            subscribe_channels=["book"],
            api_host=api_host,
            subscribe_args={"book": book_args},
        )
        assert isinstance(stream, NativeStream)
        printer = BookPrinter(options.count)
        stream.bind_observer(printer)
        running = asyncio.create_task(stream.start())
        printing = asyncio.create_task(printer.run(stream, CurrencyPair(options.pair)))
        await asyncio.wait({running, printing}, return_when=asyncio.FIRST_COMPLETED)
        await stream.stop()
        await running
        printing.cancel()
        counted = stream.stats["book"]
        print(f"{counted['events']} updates, {counted['gaps']} gaps, {counted['resyncs']} times asked again")


if __name__ == "__main__":
    asyncio.run(main())
