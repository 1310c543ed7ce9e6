"""A small TWS: it speaks the handshake and the text messages of the socket API on loopback, and has faults.

Not for trading: no orders, no accounts. A test drives it by hand.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

CONTRACT_FIELDS = 12


@dataclass
class Listed:
    """A contract that the peer knows."""

    symbol: str
    secType: str = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    conId: int = 1
    localSymbol: str = ""
    expiry: str = ""

    def frame(self, request: str) -> bytes:
        return frame(
            10, request, self.symbol, self.secType, self.expiry, 0, "", self.exchange, self.currency,
            self.localSymbol or self.symbol, "NMS", "NMS", self.conId, 0.01, "", "LMT,MKT", "SMART,ISLAND", 1, 0,
            f"{self.symbol} Corp", "NASDAQ", "", "Technology", "", "", "US/Eastern", "", "", "", "", 0, 1, "", "", "26",
            "", "COMMON", 1, 1, 100,
        )  # fmt: skip


@dataclass
class Subscription:
    """What a client asked for: `kind` is BidAsk, AllLast, Last or MktData."""

    client: "TwsClient"
    request: str
    kind: str
    contract: list[str]
    ticks: str = ""

    @property
    def symbol(self) -> str:
        return self.contract[1]


@dataclass
class TwsClient:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: str = ""
    versions: str = ""
    requests: list[list[str]] = field(default_factory=list)
    live: bool = False


def frame(*fields: Any) -> bytes:
    payload = "".join(f"{item}\0" for item in fields).encode()
    return struct.pack(">I", len(payload)) + payload


class TwsPeer:
    """Listens on loopback. `answer` may be replaced; faults are the plain attributes."""

    def __init__(self, listed: Iterable[Listed] = (), server_version: int = 178) -> None:
        self.listed = list(listed)
        self.server_version = server_version
        self.clients: list[TwsClient] = []
        self.subscriptions: list[Subscription] = []
        self.cancelled: list[str] = []
        self.refused: dict[str, tuple[int, str]] = {}  # symbol -> error of its subscription
        self.in_use: set[str] = set()  # client ids
        self.dead = False  # takes connections, answers nothing
        self.greeting: bytes | None = None  # instead of the handshake's answer
        self.no_details: set[str] = set()  # symbols whose details are never answered
        self.no_time = False  # leaves requests for the time without an answer
        self.data_type = 1
        self.on_subscribed: Callable[[Subscription], None] | None = None
        self.closed_port = 0  # where it listened
        self.changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "TwsPeer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.closed_port = self.port
        self._server.close()
        for client in self.clients:
            client.writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], object], limit: float = 20.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = TwsClient(reader, writer)
        self.clients.append(client)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(client)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            client.live = False
            self.changed.set()
            writer.close()

    async def _talk(self, client: TwsClient) -> None:
        assert await client.reader.readexactly(4) == b"API\0"
        client.versions = (await self._payload(client)).decode()
        if self.dead:
            await client.reader.read()
            return
        if self.greeting is not None:
            client.writer.write(self.greeting)
        else:
            low, _, high = client.versions.removeprefix("v").partition("..")
            assert int(low) <= self.server_version
            client.writer.write(frame(min(self.server_version, int(high)), "20261120 10:00:00 US/Eastern"))
        while True:
            fields = (await self._payload(client)).decode().split("\0")[:-1]
            client.requests.append(fields)
            if not self.dead:
                self._answer(client, fields)
            self.changed.set()

    async def _payload(self, client: TwsClient) -> bytes:
        length = int.from_bytes(await client.reader.readexactly(4))
        return await client.reader.readexactly(length)

    def _answer(self, client: TwsClient, fields: list[str]) -> None:
        number = fields[0]
        if number == "71":
            client.client_id = fields[2]
            if client.client_id in self.in_use:
                client.writer.write(self.error(-1, 326, "Unable to connect as the client id is already in use."))
                client.writer.close()
                return
            client.writer.write(frame(15, 1, "DU1234567") + frame(9, 1, 1))
            client.writer.write(self.error(-1, 2104, "Market data farm connection is OK:usfarm"))
            client.live = True
        elif number == "49" and not self.no_time:
            client.writer.write(frame(49, 1, 1790000000))
        elif number == "8":
            client.writer.write(frame(9, 1, 1))
        elif number == "9":
            self._details(client, fields)
        elif number == "97":
            self._subscribe(Subscription(client, fields[1], fields[14], fields[2:14]))
        elif number == "1":
            self._subscribe(Subscription(client, fields[2], "MktData", fields[3:15], fields[16]))
        elif number in ("98", "2"):
            self.cancelled.append(fields[-1])

    def error(self, request: int | str, code: int, text: str) -> bytes:
        """An error as this server's version writes it."""
        return frame(4, 2, request, code, text, *([""] if self.server_version >= 166 else []))

    def _details(self, client: TwsClient, fields: list[str]) -> None:
        request, contract = fields[2], fields[3:15]
        number, symbol, kind, expiry, currency, local = (contract[i] for i in (0, 1, 2, 3, 9, 10))
        if symbol in self.no_details:
            return
        found = [
            item
            for item in self.listed
            if (number == "0" or number == str(item.conId))
            and (not symbol or symbol == item.symbol)
            and (not kind or kind == item.secType)
            and item.expiry.startswith(expiry)
            and (not currency or currency == item.currency)
            and (not local or local == item.localSymbol)
        ]
        if not found:
            client.writer.write(self.error(request, 200, "No security definition has been found for the request"))
            return
        for item in found:
            client.writer.write(item.frame(request))
        client.writer.write(frame(52, 1, request))

    def _subscribe(self, subscription: Subscription) -> None:
        refusal = self.refused.get(subscription.symbol)
        if refusal is not None:
            subscription.client.writer.write(self.error(subscription.request, *refusal))
            return
        self.subscriptions.append(subscription)
        if subscription.kind == "MktData":
            subscription.client.writer.write(frame(58, 1, subscription.request, self.data_type))
        if self.on_subscribed is not None:
            self.on_subscribed(subscription)

    def live(self, kind: str, symbol: str) -> list[Subscription]:
        """The subscriptions of connections that are open."""
        return [item for item in self.subscriptions if item.client.live and item.kind == kind and item.symbol == symbol]

    def send(self, data: bytes) -> None:
        """Bytes to every open connection."""
        for client in self.clients:
            if client.live:
                client.writer.write(data)

    def quote(
        self, symbol: str, bid: object, ask: object, sizes: tuple[object, object] = (1, 2), second: int = 0
    ) -> None:
        for item in self.live("BidAsk", symbol):
            item.client.writer.write(frame(99, item.request, 3, 1790000000 + second, bid, ask, *sizes, 0))

    def trade(self, symbol: str, price: object, size: object = 1, second: int = 0, mask: int = 0) -> None:
        for kind in ("AllLast", "Last"):
            for item in self.live(kind, symbol):
                number = 1 if kind == "Last" else 2
                item.client.writer.write(
                    frame(99, item.request, number, 1790000000 + second, price, size, mask, "NASDAQ", "")
                )

    def refuse(self, kind: str, symbol: str, code: int, text: str) -> None:
        """An error of a subscription that is open."""
        for item in self.live(kind, symbol):
            item.client.writer.write(self.error(item.request, code, text))
            self.subscriptions.remove(item)

    def notice(self, code: int, text: str) -> None:
        """A message about the system."""
        self.send(self.error(-1, code, text))

    def disconnect(self) -> None:
        """Reset every connection."""
        for client in self.clients:
            client.live = False
            client.writer.transport.abort()
