"""Services in this process, on real sockets, against the simulated venue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hftpy.common import Exchange
from hftpy.exchange import book as book_module
from hftpy.exchange import book_rest
from hftpy.service import GatewayService, ServiceBase, parse_section
from hftpy.sim import SimVenue, SyntheticMarket
from hftpy.sim import replay as replay_module

PAIR = "btc/usd"
FAST = {"times": -1, "initial": 0.02, "max": 0.1}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No snapshot is asked for again, and none given up, because the machine is busy."""
    monkeypatch.setattr(book_module.BookProtocol, "answer_s", 90.0)
    monkeypatch.setattr(book_rest, "TIMEOUT_S", 90.0)
    monkeypatch.setattr(replay_module, "FETCH_S", 90.0)


class Recorder(ServiceBase):
    """Keeps what its hooks are told."""

    def on_setup(self) -> bool:
        self.orders: list[Any] = []
        self.trades: list[Any] = []
        self.batches: list[Any] = []
        return True

    def on_my_order(self, my_order: Any) -> None:
        self.orders.append(my_order)

    def on_my_trade(self, my_trade: Any) -> None:
        self.trades.append(my_trade)

    def on_my_order_batch(self, my_orders: Any) -> None:
        self.batches.append(my_orders)


class World:
    """Starts services, and ends them."""

    def __init__(self, venue: SimVenue, eventually: Callable[..., Any]) -> None:
        self.venue = venue
        self.eventually = eventually
        self.running: dict[ServiceBase, asyncio.Task[None]] = {}

    @property
    def desk(self) -> Any:
        return self.venue.desk

    def open_orders(self) -> list[Any]:
        return [order for owner in self.desk.accounts for order in self.desk.open_orders(owner)]

    def config(self, name: str, **setting: Any) -> Any:
        return parse_section(f"test.{name}", {"class_name": "x:Y", "setting": setting}, Path("."))

    def gateway_config(self, strategies: tuple[str, ...] = ("mm1", "mm2"), **setting: Any) -> Any:
        ws, rest = self.venue.ws_url("kraken"), self.venue.rest_url("kraken")
        account = {"exchange": "kraken", "api_key": "key", "api_secret": "c2VjcmV0"}
        stream = {
            **account, "subscribe_channels": ["my_order", "my_order_batch", "my_trade"], "api_host": ws,
            "api_auth_data": {"rest_host": rest}, "reconnect_times": FAST,
        }  # fmt: skip
        return self.config(
            "kraken_gateway",
            **{
                "apis": [{**account, "rest_host": rest}],
                "ws_apis": [{**account, "api_host": ws, "rest_host": rest}],
                "streams": [stream],
                "ipc_command_publisher": "kraken_gateway",
                "ipc_command_subscribers": [*strategies],
                **setting,
            },
        )

    async def start(self, service: Any) -> Any:
        task = asyncio.create_task(service.run())
        self.running[service] = task
        await self.eventually(lambda: service.state == "running" or task.done())
        if task.done():
            self.running.pop(service)
            task.result()
        return service

    async def gateway(self, **setting: Any) -> GatewayService:
        gateway: GatewayService = await self.start(GatewayService(self.gateway_config(**setting)))
        await self.eventually(gateway._ready.is_set)
        return gateway

    async def strategy(self, name: str = "mm1", kind: type[ServiceBase] = Recorder, **setting: Any) -> Any:
        settings = {"ipc_command_publisher": name, "ipc_command_subscribers": ["kraken_gateway"], **setting}
        return await self.start(kind(self.config(name, **settings)))

    async def both(self, *names: str) -> list[Any]:
        """A gateway, and strategies that hear it."""
        gateway = await self.gateway()
        strategies = [await self.strategy(name) for name in names or ("mm1",)]
        await self.eventually(lambda: min(gateway.status()["joined"].values()) >= len(strategies))
        return [gateway, *strategies]

    async def stop(self, service: Any) -> None:
        task = self.running.pop(service)
        service.request_stop()
        async with asyncio.timeout(20):
            await task

    async def kill(self, service: Any) -> None:
        """End a service as a crash would: no `on_stop`."""
        service.on_stop = lambda: None
        await self.stop(service)


@pytest.fixture
async def world(root: Path, eventually: Callable[..., Any]) -> AsyncIterator[World]:
    venue = SimVenue(SyntheticMarket([PAIR], seed=1, rate=20), venues=[Exchange.KRAKEN], down_s=0.1)
    async with venue:
        made = World(venue, eventually)
        try:
            yield made
        finally:
            ends = await asyncio.gather(*map(made.stop, list(made.running)), return_exceptions=True)
            assert not [end for end in ends if end is not None]
