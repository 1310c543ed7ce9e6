"""A subscriber process of bench_interference.py: counts, and answers one line of standard input with one of JSON.

    python interference_reader.py ROOT TRANSPORT

"wait N": answer once N messages are received or known to be lost. "stats": answer at once. "": end.
"""

import asyncio
import json
import sys
import time

from hftcore.enums import Channel, Exchange
from hftpy.ipc.subscriber import IPCSubscriber


class Counting:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.count = 0
        self.ticker_queue = self

    def put_nowait(self, ticker: object) -> bool:
        self.count += 1
        return True


async def main(root: str, transport: str) -> None:
    """Serve the commands until standard input ends."""
    observer = Counting()
    subscriber = IPCSubscriber([(Exchange.BINANCE, Channel.TICKER, "")], root, transport)
    subscriber.bind_observer(observer)
    running = asyncio.create_task(subscriber.start())
    loop = asyncio.get_running_loop()
    lines: asyncio.StreamReader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        if line[0] == "wait":
            deadline = time.monotonic() + 20
            while observer.count + subscriber.stats["lost"] < int(line[1]) and time.monotonic() < deadline:
                await asyncio.sleep(0.0005)
        print(json.dumps({"received": observer.count, "lost": subscriber.stats["lost"]}), flush=True)
    subscriber.stop()
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
