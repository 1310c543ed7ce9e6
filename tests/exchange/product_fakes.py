"""Coinbase and Kraken Futures of a few lines, and their frames."""

import json
from typing import Any

from exchange_fakes import FakeVenue
from websockets.asyncio.server import ServerConnection


class FakeCoinbase(FakeVenue):
    """Numbers its frames per connection, and answers with all subscriptions of the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[ServerConnection, int] = {}
        self.listed: dict[ServerConnection, dict[str, list[str]]] = {}
        self.left_out: set[str] = set()
        self.renamed: dict[str, str] = {}

    def numbered(self, channel: str, events: list[Any], connection: int = -1, skip: int = 0) -> str:
        socket = self.connections[connection]
        number = self.numbers.get(socket, 0) + skip
        self.numbers[socket] = number + 1
        return coinbase_frame(channel, number, events)

    async def emit(self, channel: str, events: list[Any], connection: int = -1, skip: int = 0) -> None:
        await self.connections[connection].send(self.numbered(channel, events, connection, skip))

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        index = self.connections.index(connection)
        channel, products = message["channel"], message.get("product_ids", [])
        wrong = [product for product in products if product in self.refused]
        if wrong:
            await connection.send(json.dumps({"type": "error", "message": self.refused[wrong[0]]}))
            return
        listed = self.listed.setdefault(connection, {})
        known = [self.renamed.get(product, product) for product in products if product not in self.left_out]
        listed.setdefault(channel, []).extend(known or ["heartbeats"] * (channel == "heartbeats"))
        if self.on_subscribed is not None:
            await self.on_subscribed(connection, message)
        await self.emit("subscriptions", [{"subscriptions": listed}], index)


def coinbase_frame(channel: str, number: int, events: list[Any]) -> str:
    frame = {
        "channel": channel, "timestamp": "2026-08-09T21:05:48.25Z", "sequence_num": number, "events": events,
    }  # fmt: skip
    return json.dumps(frame, separators=(",", ":"))


def coinbase_ticker(bid: float, product: str = "BTC-USD", kind: str = "update") -> dict[str, Any]:
    ticker = {
        "type": "ticker", "product_id": product, "price": str(bid), "volume_24_h": "1", "low_24_h": "1",
        "high_24_h": "1", "low_52_w": "1", "high_52_w": "1", "price_percent_chg_24_h": "0", "best_bid": str(bid),
        "best_ask": str(bid + 1), "best_bid_quantity": "1.5", "best_ask_quantity": "2.25",
    }  # fmt: skip
    return {"type": kind, "tickers": [ticker]}


def coinbase_trades(*numbers: int, product: str = "BTC-USD", kind: str = "update", second: int = 0) -> dict[str, Any]:
    trades = [
        {
            "product_id": product, "trade_id": str(number), "price": "100.5", "size": "0.25",
            "time": f"2026-08-09T21:05:{second:02}.{number % 1000000:06}Z", "side": "BUY",
        }
        for number in sorted(numbers, reverse=True)
    ]  # fmt: skip
    return {"type": kind, "trades": trades}


class FakeKrakenFuture(FakeVenue):
    async def greet(self, connection: ServerConnection) -> None:
        await connection.send('{"event":"info","version":1}')

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        feed = message["feed"]
        if feed == "heartbeat":
            await connection.send('{"event":"subscribed","feed":"heartbeat"}')
            return
        named = [product for product in message["product_ids"] if product in self.refused]
        if any(not self.refused[product] for product in named):
            await connection.send('{"event":"error","message":"Invalid product id"}')
            return
        for product in message["product_ids"]:
            if product in named:
                await connection.send(json.dumps({"event": "alert", "message": self.refused[product]}))
                continue
            ack = {"event": "subscribed", "feed": feed, "product_ids": [product]}
            await connection.send(json.dumps(ack, separators=(",", ":")))
        if self.on_subscribed is not None:
            await self.on_subscribed(connection, message)


def future_ticker(bid: float, product: str = "PF_XBTUSD") -> dict[str, Any]:
    return {
        "time": 1790000000000, "feed": "ticker", "product_id": product, "bid": bid, "ask": bid + 1, "bid_size": 1.5,
        "ask_size": 2.25, "volume": 1.0, "funding_rate": -8.6e-10, "markPrice": bid,
    }  # fmt: skip


def future_trade(number: int, product: str = "PF_XBTUSD", second: int = 0) -> dict[str, Any]:
    return {
        "feed": "trade", "product_id": product, "uid": f"0000-{number}", "side": "sell", "type": "fill", "seq": number,
        "time": 1790000000000 + second * 1000 + number, "qty": 0.25, "price": 100.5,
    }  # fmt: skip


def future_snapshot(*numbers: int, product: str = "PF_XBTUSD") -> dict[str, Any]:
    trades = [future_trade(number, product) for number in sorted(numbers, reverse=True)]
    return {"feed": "trade_snapshot", "product_id": product, "trades": trades}
