"""A thread floods a ring that conflates by symbol: the loop, however late, reads the latest price of each."""

import asyncio
import threading

from hftcore.ring import Ring
from hftcore.types import Ticker

SYMBOLS = ("btc/usdt", "eth/usdt", "sol/usdt")
ROUNDS = 2000


def feed(ring: "Ring[Ticker]") -> None:
    """The producer's thread."""
    for number in range(1, ROUNDS + 1):
        for symbol in SYMBOLS:
            ring.put_nowait(Ticker(exchange="kraken", symbol=symbol, bidPrice=number, askPrice=number + 1, seq=number))
    ring.close()


async def main() -> dict[str, float]:
    """Take until the ring is closed; returns the last bid of each symbol."""
    ring = Ring(Ticker, 8, "conflate")
    last: dict[str, float] = {}

    def on_ticker(ticker: Ticker) -> None:
        last[str(ticker.symbol)] = ticker.bidPrice

    thread = threading.Thread(target=feed, args=(ring,))
    thread.start()
    while not (ring.closed and ring.empty()):
        if ring.empty():
            await asyncio.sleep(0.001)  # whatever else this loop has to do
        ring.drain(on_ticker)
    thread.join()
    stats = ring.stats
    assert stats["pushed"] == stats["popped"] + stats["conflated"] + stats["dropped"]
    print(f"{stats['pushed']} put, {stats['popped']} read, {stats['conflated']} conflated, {stats['dropped']} dropped")
    print(f"last bids: {last}")
    return last


if __name__ == "__main__":
    asyncio.run(main())
