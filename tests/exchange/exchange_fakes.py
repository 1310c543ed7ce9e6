"""A venue of a few lines on a real loopback socket, that a test drives by hand."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class Observer:
    """Has every queue, and keeps events and data in one list, so that their order shows."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.changed = asyncio.Event()
        for name in ("ticker", "trade", "book", "my_order", "my_order_batch", "my_trade"):
            setattr(self, f"{name}_queue", self)

    def put_nowait(self, item: Any) -> None:
        self.log.append(item)
        self.changed.set()

    on_gap = on_stale = on_reconnected = put_nowait

    def of(self, *kinds: type) -> list[Any]:
        return [item for item in self.log if isinstance(item, kinds)]

    async def until(self, condition: Callable[[], bool], limit: float = 20.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def count(self, number: int, *kinds: type) -> list[Any]:
        await self.until(lambda: len(self.of(*kinds)) >= number)
        return self.of(*kinds)


class FakeVenue:
    """Takes connections; each message goes to `answer`, which may send."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.paths: list[str] = []
        self.received: list[tuple[float, Any]] = []
        self.refused: dict[str, str] = {}
        self.answering = True
        self.heartbeat_s = 0.0
        self.on_subscribed: Callable[[ServerConnection, dict[str, Any]], Awaitable[None]] | None = None
        self.close_at_once: int | None = None
        self.changed = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> "FakeVenue":
        self._server = await serve(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.changed.set()
        if self.close_at_once is not None:
            await connection.close(self.close_at_once, "go away")
            return
        beat = asyncio.create_task(self._beat(connection))
        try:
            await self.greet(connection)
            async for message in connection:
                if await self.text(connection, message):
                    continue
                self.received.append((asyncio.get_running_loop().time(), json.loads(message)))
                self.changed.set()
                if self.answering:
                    await self.answer(connection, json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self, connection: ServerConnection) -> None:
        while self.heartbeat_s:
            await asyncio.sleep(self.heartbeat_s)
            await connection.send('{"channel":"heartbeat"}')

    async def greet(self, connection: ServerConnection) -> None:
        return

    async def text(self, connection: ServerConnection, message: str | bytes) -> bool:
        """Take a message that is no JSON; False if it is."""
        return False

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        return

    async def until(self, condition: Callable[[], bool], limit: float = 20.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    @property
    def messages(self) -> list[Any]:
        return [message for _, message in self.received]

    async def send(self, message: Any, connection: int = -1) -> None:
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.connections[connection].send(text)


class FakeKraken(FakeVenue):
    async def greet(self, connection: ServerConnection) -> None:
        await connection.send(
            '{"channel":"status","data":[{"api_version":"v2","connection_id":18446744073709551615,'
            '"system":"online","version":"2.0.10"}],"type":"update"}'
        )

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["method"] != "subscribe":
            return
        params = message["params"]
        for symbol in params.get("symbol", [None]):
            base = {"method": "subscribe", "req_id": message.get("req_id"), "time_in": "x", "time_out": "y"}
            if str(symbol) in self.refused:
                refusal = {"error": self.refused[str(symbol)], "success": False}
                if symbol is not None:
                    refusal["symbol"] = symbol
                await connection.send(json.dumps(base | refusal))
            else:
                result = {"channel": params["channel"], "snapshot": True}
                if symbol is not None:
                    result["symbol"] = symbol
                await connection.send(json.dumps(base | {"result": result, "success": True}))
        if self.on_subscribed is not None:
            await self.on_subscribed(connection, params)


class FakeBinance(FakeVenue):
    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        if "refuse" in self.refused:
            error = {"error": {"code": 2, "msg": self.refused["refuse"]}, "id": message["id"]}
            await connection.send(json.dumps(error))
            return
        await connection.send(json.dumps({"result": None, "id": message["id"]}))
        if self.on_subscribed is not None:
            await self.on_subscribed(connection, message)


def kraken_ticker(bid: float, symbol: str = "BTC/USD", kind: str = "update") -> dict[str, Any]:
    return {
        "channel": "ticker",
        "type": kind,
        "data": [
            {
                "symbol": symbol, "bid": bid, "bid_qty": 1.5, "ask": bid + 1, "ask_qty": 2.25, "last": bid,
                "volume": 1.0, "vwap": bid, "low": bid, "high": bid, "change": 0.0, "change_pct": 0.0,
                "timestamp": "2026-11-20T10:00:00.000001Z",
            }
        ],
    }  # fmt: skip


def kraken_trades(*numbers: int, symbol: str = "BTC/USD", kind: str = "update", second: int = 0) -> dict[str, Any]:
    return {
        "channel": "trade",
        "type": kind,
        "data": [
            {
                "symbol": symbol, "side": "buy", "price": 100.5, "qty": 0.25, "ord_type": "limit",
                "trade_id": number, "timestamp": f"2026-11-20T10:00:{second:02}.{number % 1000000:06}Z",
            }
            for number in numbers
        ],
    }  # fmt: skip


def book_ticker(u: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = {"u": u, "s": symbol, "b": "100.10", "B": "1.5", "a": "100.20", "A": "2.5"}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def binance_trade(number: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = {
        "e": "trade", "E": 1790000000000 + number, "s": symbol, "t": number, "p": "100.1", "q": "0.5",
        "T": 1790000000000 + number, "m": True, "M": True,
    }  # fmt: skip
    return {"stream": f"{symbol.lower()}@trade", "data": data}


class FakeOkx(FakeVenue):
    def __init__(self) -> None:
        super().__init__()
        self.pings: list[float] = []
        self.ponging = True

    async def text(self, connection: ServerConnection, message: str | bytes) -> bool:
        if message != "ping":
            return False
        self.pings.append(asyncio.get_running_loop().time())
        self.changed.set()
        if self.ponging:
            await connection.send("pong")
        return True

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        for arg in message["args"]:
            if arg["instId"] in self.refused:
                words = self.refused[arg["instId"]]
                error = {"event": "error", "msg": words, "code": words.partition("|")[2] or "60018", "connId": "a4"}
                await connection.send(json.dumps({"id": message["id"], **error}))
            else:
                await connection.send(json.dumps({"id": message["id"], "event": "subscribe", "arg": arg}))
        if self.on_subscribed is not None:
            await self.on_subscribed(connection, message)


def okx_best(seq: int, instrument: str = "BTC-USDT", time: int | None = None) -> dict[str, Any]:
    row = {
        "asks": [["100.20", "2.5", "0", "3"]], "bids": [["100.10", "1.5", "0", "2"]],
        "ts": str(1790000000000 + seq if time is None else time), "seqId": seq,
    }  # fmt: skip
    return {"arg": {"channel": "bbo-tbt", "instId": instrument}, "data": [row]}


def okx_trade(number: int, instrument: str = "BTC-USDT", count: int = 1, time: int | None = None) -> dict[str, Any]:
    row = {
        "instId": instrument, "tradeId": str(number), "px": "100.1", "sz": "0.5", "side": "sell",
        "ts": str(1790000000000 + number if time is None else time), "count": str(count), "source": "0",
        "seqId": number,
    }  # fmt: skip
    return {"arg": {"channel": "trades", "instId": instrument}, "data": [row]}
