"""The ring in shared memory by itself: a reader that drains into a callback, and one that spins in a thread.

Run: python examples/shm_ring.py
"""

import tempfile
import threading
from pathlib import Path

from hftcore.shm import ShmReader, ShmWriter
from hftcore.types import Ticker

COUNT = 10_000


def spin(path: Path, ready: threading.Event, prices: list[float]) -> None:
    reader: ShmReader[Ticker] = ShmReader(path, Ticker, wait="spin")
    ready.set()
    while len(prices) < COUNT:
        prices.append(reader.get_wait(timeout=30).bidPrice)
    reader.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kraken.ticker.shm"
        writer: ShmWriter[Ticker] = ShmWriter(path, Ticker, exchange="kraken", capacity=1 << 14)
        drained: list[Ticker] = []
        reader: ShmReader[Ticker] = ShmReader(
            path, Ticker, symbols=["btc/usd"], on_notice=lambda name, symbol, value: print(name, symbol, value)
        )
        prices: list[float] = []
        ready = threading.Event()
        thread = threading.Thread(target=spin, args=(path, ready, prices))
        thread.start()
        ready.wait()
        for step in range(COUNT):
            symbol = "eth/usd" if step % 2 else "btc/usd"
            writer.put(Ticker(exchange="kraken", symbol=symbol, bidPrice=float(step)))
        writer.wake_readers()  # once, after the batch: for those that sleep
        reader.drain(drained.append)
        thread.join()
        print(f"drained {len(drained)} of btc/usd, spun {len(prices)} of all, in order: {prices == sorted(prices)}")
        reader.close()
        writer.close()


if __name__ == "__main__":
    main()
