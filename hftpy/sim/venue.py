"""The simulated venue: front ends of several venues on one market, served on loopback."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from hftcore.enums import Exchange
from hftcore.symbols import CurrencyPair
from hftpy.sim.connection import QUEUE_CAPACITY, ClientConnection
from hftpy.sim.desk import OrderDesk
from hftpy.sim.faults import Fault, FaultState
from hftpy.sim.front_ends import FRONT_ENDS, RestSide
from hftpy.sim.frontend import FrontEnd
from hftpy.sim.keys import KeyRing
from hftpy.sim.market import Market, MarketListener
from hftpy.sim.text import plain
from hftpy.sim.wire_faults import FaultyTransport
from hftpy.trading.matching import Fill

TICK_S = 0.25


class _DeskListener:
    """Books the fills that the market causes; the rest of the market's events are the front ends'."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def on_quote(self, quote: object) -> None: ...

    def on_market_trade(self, trade: object) -> None: ...

    def on_depth(self, change: object) -> None: ...

    def on_fills(self, pair: CurrencyPair, fills: list[Fill]) -> None:
        self._desk.take_fills(pair, fills)

    async def on_raw(self, frame: object, *, wait: bool) -> None: ...

    async def drained(self) -> None: ...


class SimVenue:
    """A venue to connect to instead of the real one.

    Parameters
    ----------
    market
        `SyntheticMarket` or `ReplayMarket`; it belongs to this venue, which starts and stops it.
    venues
        Which protocols to speak, see `hftpy.sim.front_ends`.
    host
        A loopback address.
    ws_port, rest_port
        Ports to listen on; 0 chooses free ones, see `ws_port` and `rest_port` after `start`.
    faults
        Faults to commit, as `Fault` or text (``restart@5``); seconds count from the first subscription or from
        ``POST /sim/start``, whichever is first.
    balances
        What each account holds at the beginning, by asset (``usd``); None: a million of everything.
    maker_bps, taker_bps
        Fees in basis points.
    api_keys, accept_any_key, token_ttl
        See `hftpy.sim.keys.KeyRing`.
    queue_capacity
        Frames that may wait for one connection before it is cut as too slow.
    down_s
        How long a restart takes.
    deflate
        Accept permessage-deflate where a client offers it.

    Raises
    ------
    ValueError
        If a venue is not one of those that it speaks, the host is no loopback address, or a fault cannot be read.
    """

    def __init__(
        self,
        market: Market,
        venues: Iterable[Exchange | str] = (Exchange.KRAKEN,),
        host: str = "127.0.0.1",
        ws_port: int = 0,
        rest_port: int = 0,
        faults: Iterable[Fault | str] = (),
        *,
        balances: Mapping[str, Decimal] | None = None,
        maker_bps: Decimal = Decimal(16),
        taker_bps: Decimal = Decimal(26),
        api_keys: Mapping[str, str] | None = None,
        accept_any_key: bool = True,
        token_ttl: float = 900,
        queue_capacity: int = QUEUE_CAPACITY,
        down_s: float = 1.0,
        deflate: bool = False,
    ) -> None:
        if not (host.startswith("127.") or host in ("localhost", "::1")):
            raise ValueError(f"host must be a loopback address, was {host!r}")
        self.market = market
        self.desk = OrderDesk(market, balances=balances, maker_bps=maker_bps, taker_bps=taker_bps)
        self.keys = KeyRing(api_keys, accept_any_key=accept_any_key, token_ttl=token_ttl)
        self.faults = [Fault.parse(item) if isinstance(item, str) else item for item in faults]
        self.fault_state = FaultState()
        self.restarts = 0
        self.down_s = down_s
        self._compression = "deflate" if deflate else None
        self._host = host
        self._ws_port = ws_port
        self._rest_port = rest_port
        self._fronts: dict[Exchange, FrontEnd] = {}
        self._rests: list[tuple[str, RestSide]] = []
        options: dict[str, Any] = {"on_subscribed": self._on_subscribed, "queue_capacity": queue_capacity}
        for venue in venues:
            exchange = Exchange.parse(venue)
            maker = FRONT_ENDS.get(exchange)
            if maker is None:
                raise ValueError(f"venue must be one of {', '.join(map(str, FRONT_ENDS))}, was {str(exchange)!r}")
            front, rest = maker(market, self.desk, self.fault_state, self.keys, options)
            self._fronts[exchange] = front
            self._rests.append((f"/{exchange}", rest))
        if not self._fronts:
            raise ValueError("venues must not be empty")
        self._desk_listener = _DeskListener(self.desk)
        self._server: Server | None = None
        self._runner: web.AppRunner | None = None
        self._begun = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ws_port(self) -> int:
        return self._ws_port

    @property
    def rest_port(self) -> int:
        return self._rest_port

    def ws_url(self, exchange: Exchange | str) -> str:
        """Base of a venue's WebSocket addresses, for `api_host`."""
        return f"ws://{self._netloc(self._ws_port)}/{Exchange.parse(exchange)}"

    def rest_url(self, exchange: Exchange | str) -> str:
        """Base of a venue's REST addresses, for `rest_host`."""
        return f"http://{self._netloc(self._rest_port)}/{Exchange.parse(exchange)}"

    @property
    def control_url(self) -> str:
        """Base of the control addresses (``/start``, ``/stats``, ``/fault``)."""
        return f"http://{self._netloc(self._rest_port)}/sim"

    def front(self, exchange: Exchange | str) -> FrontEnd:
        """One venue's WebSocket side, for its counters."""
        return self._fronts[Exchange.parse(exchange)]

    async def start(self) -> None:
        """Listen, and let the market run if it starts by itself.

        Raises
        ------
        OSError
            If a port is taken.
        """
        self.market.listen(self._desk_listener)
        for front in self._fronts.values():
            self.market.listen(front)
        try:
            await self._listen()
        except OSError:
            await self.stop()
            raise
        self._spawn(self._tick())
        # A recording begins when somebody listens; a synthetic market is always there.
        if self.market.autostart and not self.market.plays_raw:
            self.market.start()

    async def stop(self) -> None:
        """Stop the market, cut all connections, close the ports."""
        for task in tuple(self._tasks):
            task.cancel()
        for task in tuple(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.market.stop()
        listeners: list[MarketListener] = [self._desk_listener, *self._fronts.values()]
        for listener in listeners:
            self.market.unlisten(listener)
        await self._unlisten()

    async def __aenter__(self) -> "SimVenue":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def commit(self, fault: Fault) -> None:
        """Commit a fault now, whatever its second says."""
        self.fault_state.committed.append(str(fault))
        match fault.kind:
            case "restart":
                await self._restart(fault.duration)
            case "disconnect":
                for front in self._fronts.values():
                    front.abort_all()
            case "garbage":
                self.fault_state.garble(set(self._connections()))
            case "close":
                for connection in self._connections():
                    self._spawn(connection.socket.close(int(fault.duration), "fault"))
            case "half_open" | "dribble" | "no_pong" | "bomb":
                for connection in self._connections():
                    _commit_on_wire(connection.socket, fault)
            case kind:
                self.fault_state.begin(kind, fault.duration)

    def stats(self) -> dict[str, Any]:
        """What `/sim/stats` shows: JSON types alone."""
        accounts = {}
        for key, account in self.desk.accounts.items():
            accounts[key] = {
                "balances": {asset: plain(amount) for asset, amount in account.balances.items()},
                "positions": {
                    asset: plain(amount - self.desk.initial_balance(asset))
                    for asset, amount in account.balances.items()
                },
                "open_orders": len(self.desk.open_orders(key)),
            }
        return {
            "started": self.market.started.is_set(),
            "finished": self.market.finished.is_set(),
            "failure": repr(self.market.failure) if self.market.failure is not None else None,
            "pairs": [str(pair) for pair in self.market.pairs],
            "restarts": self.restarts,
            "faults": list(self.fault_state.committed),
            "connections": sum(len(front.connections) for front in self._fronts.values()),
            "orders": self.desk.orders_placed,
            "orders_refused": self.desk.orders_refused,
            "fills": self.desk.fills,
            "venues": {str(exchange): front.stats() for exchange, front in self._fronts.items()},
            "accounts": accounts,
        }

    def _connections(self) -> list[ClientConnection]:
        return [connection for front in self._fronts.values() for connection in front.connections]

    def _netloc(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    async def _listen(self) -> None:
        self._server = await serve(
            self._handle,
            self._host,
            self._ws_port,
            process_request=self._route,
            compression=self._compression,
            ping_interval=20,
            ping_timeout=60,
            close_timeout=1,
            max_size=1 << 20,
        )
        self._ws_port = next(iter(self._server.sockets)).getsockname()[1]
        app = web.Application()
        app.router.add_post("/sim/start", self._serve_start)
        app.router.add_get("/sim/stats", self._serve_stats)
        app.router.add_post("/sim/fault", self._serve_fault)
        for prefix, rest in self._rests:
            rest.register(app, prefix)
            rest.register(app, "")
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._rest_port)
        await site.start()
        self._rest_port = self._runner.addresses[0][1]

    async def _unlisten(self) -> None:
        for front in self._fronts.values():
            front.abort_all()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _front_of(self, path: str) -> FrontEnd | None:
        return next((front for front in self._fronts.values() if front.serves(path)), None)

    def _route(self, socket: ServerConnection, request: Request) -> Response | None:
        if self._front_of(request.path.partition("?")[0]) is None:
            return socket.respond(HTTPStatus.NOT_FOUND, "no such stream\n")
        return None

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        front = self._front_of(socket.request.path.partition("?")[0])
        assert front is not None
        await front.handle(socket)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for front in self._fronts.values():
                front.tick()

    def _on_subscribed(self) -> None:
        # A market that waits for `/sim/start` starts the clock of the faults with it.
        if self.market.autostart:
            self.market.start()
            self._begin()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            for fault in self.faults:
                self._spawn(self._commit_later(fault))

    async def _commit_later(self, fault: Fault) -> None:
        await asyncio.sleep(fault.second)
        await self.commit(fault)

    async def _restart(self, down_s: float) -> None:
        self.restarts += 1
        host_ports = self._ws_port, self._rest_port
        await self._unlisten()
        self.fault_state.clear()
        for front in self._fronts.values():
            front.reset()
        self.desk.reset()
        await asyncio.sleep(down_s)
        self._ws_port, self._rest_port = host_ports
        await self._listen()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_start(self, request: web.Request) -> web.Response:
        self.market.start()
        self._begin()
        return web.json_response({"started": True})

    async def _serve_stats(self, request: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _serve_fault(self, request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            if not isinstance(wanted, dict):
                raise ValueError(f"body must be an object, was {wanted!r}")
            text = str(wanted.get("kind"))
            fault = Fault.parse(text) if "@" in text else Fault.now(text, wanted.get("duration"))
        except (json.JSONDecodeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        # After the answer: a restart takes this connection down too.
        self._spawn(self._commit_later(fault if "@" in text else Fault(fault.kind, 0.05, fault.duration)))
        return web.json_response({"fault": str(fault)})


def _commit_on_wire(socket: ServerConnection, fault: Fault) -> None:
    wire = FaultyTransport.of(socket)
    match fault.kind:
        case "half_open":
            wire.go_silent()
        case "dribble":
            wire.dribble(fault.duration)
        case "no_pong":
            wire.withhold_pongs(fault.duration)
        case "bomb":
            wire.bomb(bool(socket.protocol.extensions))
