"""ccxt.pro as a peer (T6): its client's own handler of text messages, fed without a network.

Written against ccxt 4.5. As in a program that loops over `await exchange.watch_…()`, each frame resolves the future
that the program waits for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import ccxt.pro

# Of each of ours: ccxt's class, the kind of market, and an address of the venue's, which tells some of them the kind.
EXCHANGES = {
    "binance": ("binance", "spot", "wss://stream.binance.com:9443/ws/0"),
    "binance_future": ("binanceusdm", "swap", "wss://fstream.binance.com/ws/0"),
    "coinbase": ("coinbase", "spot", "wss://advanced-trade-ws.coinbase.com"),
    "kraken": ("kraken", "spot", "wss://ws.kraken.com/v2"),
    "kraken_future": ("krakenfutures", "swap", "wss://futures.kraken.com/ws/v1"),
    "okx": ("okx", "spot", "wss://ws.okx.com:8443/ws/v5/public"),
    "okx_swap": ("okx", "swap", "wss://ws.okx.com:8443/ws/v5/public"),
}


class CcxtFeed:
    """Raw frames → `handle_text_or_binary_message` → the awaited ticker, list of trades or book → `on_event`.

    Parameters
    ----------
    exchange
        A key of `EXCHANGES`; Kraken: WebSocket v2.
    natives
        The venue's name of each pair, by (base, quote).
    on_event
        Called with what the `watch_…` method would return.
    """

    def __init__(self, exchange: str, natives: Mapping[tuple[str, str], str], on_event: Callable[[Any], None]) -> None:
        self.loop = asyncio.new_event_loop()
        self.on_event = on_event
        name, self._kind, self._url = EXCHANGES[exchange]
        self.exchange = getattr(ccxt.pro, name)({"asyncio_loop": self.loop, "newUpdates": True})
        self.loop.run_until_complete(self._prepare(natives))

    async def _prepare(self, natives: Mapping[tuple[str, str], str]) -> None:
        swap = self._kind == "swap"
        markets = [
            self.exchange.safe_market_structure({
                "id": native, "symbol": f"{base}/{quote}" + (f":{quote}" if swap else ""), "base": base,
                "quote": quote, "settle": quote if swap else None, "baseId": base, "quoteId": quote,
                "type": self._kind, "spot": not swap, "swap": swap, "contract": swap, "linear": True if swap else None,
                "contractSize": 1 if swap else None, "active": True, "info": {"wsname": f"{base}/{quote}"},
            })
            for (base, quote), native in natives.items()
        ]  # fmt: skip
        self.exchange.set_markets(markets)
        self.client = self.exchange.client(self._url)

    def feed(self, frames: list[str], message_hash: str) -> None:
        """Hand the frames to the client; each must resolve the future of `message_hash`."""

        async def run() -> None:
            client, on_event = self.client, self.on_event
            # Who waits for it has subscribed it.
            client.subscriptions.setdefault(message_hash, {"limit": 1000})
            handle = client.handle_text_or_binary_message
            for frame in frames:
                future = client.future(message_hash)
                handle(frame)
                if not future.done():
                    raise ValueError(f"ccxt.pro must answer {message_hash!r} to {frame[:500]}")
                on_event(await future)

        self.loop.run_until_complete(run())

    def load(self, symbol: str, answer: bytes) -> None:
        """Take an answer of Binance's REST API as the snapshot of a symbol's book."""
        parsed = self.exchange.parse_json(answer.decode())
        snapshot = self.exchange.parse_order_book(parsed, symbol)
        snapshot["nonce"] = parsed["lastUpdateId"]
        self.exchange.orderbooks[symbol] = self.exchange.order_book(snapshot, 1000)

    def close(self) -> None:
        """Close the exchange and its loop."""
        self.loop.run_until_complete(self.exchange.close())
        self.loop.close()
