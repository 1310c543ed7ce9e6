"""A stream of one's own: a subclass of StreamBase that reads a channel as decoded JSON.

`run_channel` connects, sends what `subscribe` gives, hands every message to `on_packet`, and connects again when the
connection is lost. Here: Kraken's ticker, read by hand.

    python examples/stream_subclass.py
    python examples/stream_subclass.py --api-host ws://127.0.0.1:9001/kraken --count 5   # the simulated venue
"""

import argparse
import asyncio
import os
from typing import Any

from hftpy.common import Channel, Exchange, native_symbol
from hftpy.exchange import StreamBase


class SpreadStream(StreamBase):
    """Puts (symbol, spread) into the ticker queue of each observer."""

    exchange = Exchange.KRAKEN

    def on_ticker(self, json_msg: dict[str, Any]) -> None:
        if json_msg.get("channel") != "ticker":
            return  # acknowledgements, heartbeats, status
        for row in json_msg["data"]:
            for ob in self._observers:
                ob.ticker_queue.put_nowait((row["symbol"], row["ask"] - row["bid"]))

    async def ticker_channel(self) -> None:
        async def subscribe() -> dict[str, Any]:
            symbols = [native_symbol(self.exchange, pair) for pair in self.currency_pairs]
            params = {"channel": "ticker", "symbol": symbols, "event_trigger": "bbo"}
            return {"method": "subscribe", "params": params}

        await self.run_channel(
            host="wss://ws.kraken.com/v2",  # api_host, where given, replaces the host
            channel=Channel.TICKER,
            subscribe=subscribe,
            on_packet=self.on_ticker,
            on_connected=lambda: print("connected", flush=True),
            on_disconnected=lambda: print("disconnected", flush=True),
        )


class Observer:
    def __init__(self) -> None:
        self.ticker_queue: asyncio.Queue[tuple[str, float]] = asyncio.Queue()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["btc/usd"])
    parser.add_argument("--api-host", default=os.environ.get("HFT_API_HOST", ""), help="default: the venue itself")
    parser.add_argument("--count", type=int, default=0, help="stop after so many lines; 0: never")
    options = parser.parse_args()

    stream = SpreadStream(
        currency_pairs=options.pairs, subscribe_channels=[Channel.TICKER], api_host=options.api_host
    )
    observer = Observer()
    stream.bind_observer(observer)
    running = asyncio.create_task(stream.start())
    printed = 0
    try:
        while not options.count or printed < options.count:
            symbol, spread = await observer.ticker_queue.get()
            print(f"{symbol} spread {spread:.8g}", flush=True)
            printed += 1
    finally:
        await stream.stop()
    await running


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
