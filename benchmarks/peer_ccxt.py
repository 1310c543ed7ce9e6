"""ccxt.pro as a peer (T6): its client's own handler of text messages, fed without a network.

Written against ccxt 4.5. As in a program that loops over `await exchange.watch_…()`, each frame resolves the future
that the program waits for.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import ccxt.pro

URLS = {"binance": "wss://stream.binance.com:9443/ws/0", "kraken": "wss://ws.kraken.com/v2"}


class CcxtFeed:
    """Raw frames → `handle_text_or_binary_message` → the awaited ticker or list of trades → `on_event`.

    Parameters
    ----------
    exchange
        "binance" or "kraken" (WebSocket v2).
    natives
        The venue's name of each pair, by (base, quote).
    on_event
        Called with what the `watch_…` method would return.
    """

    def __init__(self, exchange: str, natives: dict[tuple[str, str], str], on_event: Callable[[Any], None]) -> None:
        self.loop = asyncio.new_event_loop()
        self.on_event = on_event
        self.exchange = getattr(ccxt.pro, exchange)({"asyncio_loop": self.loop, "newUpdates": True})
        self.loop.run_until_complete(self._prepare(exchange, natives))

    async def _prepare(self, exchange: str, natives: dict[tuple[str, str], str]) -> None:
        markets = [
            self.exchange.safe_market_structure({
                "id": native, "symbol": f"{base}/{quote}", "base": base, "quote": quote, "baseId": base,
                "quoteId": quote, "type": "spot", "spot": True, "active": True, "info": {"wsname": f"{base}/{quote}"},
            })
            for (base, quote), native in natives.items()
        ]  # fmt: skip
        self.exchange.set_markets(markets)
        self.client = self.exchange.client(URLS[exchange])

    def feed(self, frames: list[str], message_hash: str) -> None:
        """Hand the frames to the client; each must resolve the future of `message_hash`."""

        async def run() -> None:
            client, on_event = self.client, self.on_event
            handle = client.handle_text_or_binary_message
            for frame in frames:
                future = client.future(message_hash)
                handle(frame)
                on_event(await future)

        self.loop.run_until_complete(run())

    def close(self) -> None:
        """Close the exchange and its loop."""
        self.loop.run_until_complete(self.exchange.close())
        self.loop.close()
