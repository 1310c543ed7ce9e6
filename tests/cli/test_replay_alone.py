"""A replay reaches nothing beyond its recording: no venue, account, other process or saved state, and no file of it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hftpy.ipc import IPCCommandSystem, IPCPublisher

BOOK = {
    "channel": "ticker", "type": "update",
    "data": [{"symbol": "BTC/USD", "bid": 100.1, "bid_qty": 1.0, "ask": 100.2, "ask_qty": 2.0, "last": 100.1,
              "volume": 1.0, "vwap": 100.1, "low": 100.0, "high": 101.0, "change": 0.1, "change_pct": 0.1}],
}  # fmt: skip
STRATEGY = """
from hftpy.service import ServiceBase

class Strategy(ServiceBase):
    count = 0
    def on_load(self, state):
        print("loaded", state)
        self.count = state["count"]
    def on_save(self):
        return {"count": self.count}
    async def on_ticker(self, ticker):
        self.count += 1
        await self.place_order(symbol=ticker.symbol, side="buy", amount="1", price=ticker.bidPrice)
"""


def write(folder: Path, exchange: str, streams: list[dict[str, Any]], **setting: Any) -> tuple[Path, Path]:
    session, config = folder / f"{exchange}.jsonl", folder / "config.json"
    conn = {"t": "conn", "ts_ns": 1, "conn": "kraken.ticker.1", "url": "wss://ws.kraken.com/v2"}
    recv = {"t": "recv", "ts_ns": 2, "conn": f"{exchange}.ticker.1", "data": json.dumps(BOOK)}
    lines = [{"t": "header", "exchange": exchange}, *([conn] if exchange == "kraken" else []), recv]
    session.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "strategy.py").write_text(STRATEGY)
    config.write_text(json.dumps({"strategy": {"class_name": "Strategy", "setting": {"streams": streams, **setting}}}))
    return session, config


async def replay(*arguments: object, status: int = 0) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.cli", "replay", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == status, errors.decode()
    return output.decode(), errors.decode()


@pytest.fixture
async def listener() -> Any:
    """Counts connections."""
    made: list[Any] = []
    server = await asyncio.start_server(lambda reader, writer: (made.append(1), writer.close()), "127.0.0.1", 0)
    async with server:
        yield made, server.sockets[0].getsockname()[1]


KRAKEN = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"]}


async def test_no_order_no_message_and_no_state(root: Path, tmp_path: Path) -> None:
    session, config = write(
        tmp_path, "kraken", [KRAKEN], ipc_command_publisher="strategy", ipc_command_subscribers=["kraken_gateway"],
        ipc_publish={"channels": ["ticker"]}, state={"folder": str(tmp_path / "kept")},
    )  # fmt: skip
    orders: list[Any] = []
    gateway = IPCCommandSystem("kraken_gateway")
    gateway.register_handler("place_order", orders.append)
    gateway.connect_to_process("strategy")
    live = IPCPublisher()
    live.open("kraken", "ticker")  # the address is taken by the live one, and so is the process's name
    await gateway.start()
    try:
        for _ in range(2):
            output, _ = await replay(session, config)
            assert output == "1 frames replayed, 1 events\n"  # nothing was loaded
        await asyncio.sleep(0.5)
        assert orders == []
    finally:
        await gateway.stop()
        live.close()
    assert not (tmp_path / "kept").exists() and not (root / "state").exists()


async def test_no_venue_is_connected(tmp_path: Path, listener: Any) -> None:
    made, port = listener
    interactive = {"exchange": "ib", "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker", "trade"],
                   "api_host": f"tcp://127.0.0.1:{port}"}  # fmt: skip
    private = KRAKEN | {"subscribe_channels": ["my_order"], "api_host": f"ws://127.0.0.1:{port}",
                        "api_auth_data": {"rest_host": f"http://127.0.0.1:{port}"}}  # fmt: skip
    keys = {"api_key": {"env": "NOT_ON_THIS_MACHINE"}, "api_secret": {"env": "NOT_ON_THIS_MACHINE"}}
    session, config = write(
        tmp_path, "kraken", [KRAKEN, interactive, private | keys],
        ws_apis=[{"exchange": "kraken", "api_host": f"ws://127.0.0.1:{port}", "rest_host": f"http://127.0.0.1:{port}"}
                 | keys],
    )  # fmt: skip
    output, _ = await replay(session, config, "--speed", "1")
    assert "1 frames replayed" in output
    assert made == []


async def test_a_recording_of_ib_that_says_not_what_its_requests_are_for(tmp_path: Path, listener: Any) -> None:
    made, port = listener
    stream = {"exchange": "ib", "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"],
              "api_host": f"tcp://127.0.0.1:{port}"}  # fmt: skip
    session, config = write(tmp_path, "ib", [stream])
    _, errors = await replay(session, config, status=2)
    assert 'recording must have lines "link", which say what each request of ib is for' in errors
    assert made == []


async def test_a_gateway_is_not_replayed(tmp_path: Path) -> None:
    session, _ = write(tmp_path, "kraken", [KRAKEN])
    config = tmp_path / "gateway.json"
    keys = {"exchange": "kraken", "api_key": {"env": "NOT_HERE"}, "api_secret": {"env": "NOT_HERE"}}
    setting = {"apis": [keys], "ws_apis": [keys], "streams": [KRAKEN]}
    config.write_text(json.dumps({"gateway": {"class_name": "hftpy.service:GatewayService", "setting": setting}}))
    _, errors = await replay(session, config, status=2)
    assert errors == "hftpy: gateway is a gateway: what is replayed are services that trade by one\n"


async def test_the_log_of_events_never_takes_the_place_of_what_is_read(tmp_path: Path) -> None:
    session, config = write(tmp_path, "kraken", [KRAKEN])
    link = tmp_path / "link"
    link.symlink_to(session)
    for events in (session, config, link):
        before = events.read_bytes()
        _, errors = await replay(session, config, "--events", events, status=2)
        assert f"events must be a file of its own, was {events}" in errors
        assert events.read_bytes() == before


async def test_a_service_that_begins_paused(tmp_path: Path) -> None:
    session, config = write(tmp_path, "kraken", [KRAKEN])
    path = tmp_path / "strategy.py"
    path.write_text(path.read_text() + "    def on_setup(self):\n        self.pause()\n")
    output, _ = await replay(session, config)
    assert output == "1 frames replayed, 1 events\n"


ASKING = """
import asyncio
from decimal import Decimal
from hftpy.errors import VenueError
from hftpy.exchange.instruments import fetch_instruments
from hftpy.service import ServiceBase

class Strategy(ServiceBase):
    async def attempt(self, call):
        try:
            print("answered", len(await call))
        except VenueError as error:
            print(type(error).__name__, error.retryable, error)

    async def on_setup(self):
        await self.attempt(self.kraken_api.asset_pairs())

    async def on_ticker(self, ticker):
        host = self.kraken_api.rest_host
        order = {"symbol": "btc/usd", "side": "buy", "amount": Decimal(1), "price": Decimal(1)}
        await self.attempt(self.kraken_api.add_order(**order))
        await self.attempt(self.kraken_api.server_time())
        await self.attempt(self.kraken_api.balances())
        await self.attempt(fetch_instruments("okx", host))
        await self.attempt(fetch_instruments("kraken", host))
        await self.attempt(self.kraken_ws_api.add_order(**order))
        await self.attempt(self.kraken_ws_api.start())
        loop = asyncio.get_running_loop()
        # A thread that knows nothing of the task's context.
        ask = lambda: asyncio.run_coroutine_threadsafe(self.attempt(self.kraken_api.cancel_all()), loop).result()
        await loop.run_in_executor(None, ask)
"""
ASSET_PAIRS = {"error": [], "result": {"XXBTZUSD": {
    "altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8, "ordermin": "0.0001",
}}}  # fmt: skip


@pytest.mark.parametrize("listed", [True, False])
async def test_what_a_hook_asks_of_a_venue_never_reaches_it(tmp_path: Path, listener: Any, listed: bool) -> None:
    made, port = listener
    rest, keys = f"http://127.0.0.1:{port}", {"api_key": {"env": "NOT_HERE"}, "api_secret": {"env": "NOT_HERE"}}
    session, config = write(
        tmp_path, "kraken", [KRAKEN], apis=[{"exchange": "kraken", "rest_host": rest} | keys],
        ws_apis=[{"exchange": "kraken", "api_host": f"ws://127.0.0.1:{port}"} | keys],
    )  # fmt: skip
    (tmp_path / "strategy.py").write_text(ASKING)
    if listed:
        url, text = "https://api.kraken.com/0/public/AssetPairs", session.read_text()
        row = {"t": "http", "ts_ns": 1, "url": url, "data": json.dumps(ASSET_PAIRS)}
        session.write_text(text.replace("\n", "\n" + json.dumps(row) + "\n", 1))
    output, _ = await replay(session, config)

    def refused(call: str) -> str:
        return f"RequestRejected False {call} was not sent: a recording is replayed, which has no answer to it"

    pairs = refused(f"GET {rest}/0/public/AssetPairs")
    assert output.splitlines() == [
        "answered 1" if listed else pairs,
        refused(f"POST {rest}/0/private/AddOrder"),
        refused(f"GET {rest}/0/public/Time"),
        refused(f"POST {rest}/0/private/Balance"),
        refused(f"GET {rest}/api/v5/public/instruments?instType=SPOT"),
        "answered 3" if listed else pairs,
        refused(f"add_order ws://127.0.0.1:{port}/v2"),
        refused(f"CONNECT ws://127.0.0.1:{port}/v2"),
        refused(f"POST {rest}/0/private/CancelAll"),
        "1 frames replayed, 1 events",
    ]
    assert made == []
