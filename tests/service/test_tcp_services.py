"""A gateway and a strategy that meet over tcp alone: orders, what becomes of them, market data, metrics."""

import logging
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from hftpy.common import OrderStatus
from hftpy.errors import ConfigError
from hftpy.ipc.curve_keys import add_peer, load_key_pair, new_key_pair
from hftpy.service import ServiceBase, parse_section
from hftpy.service.metrics import METRICS, render

LOW = {"symbol": "btc/usd", "side": "buy", "amount": "0.001", "price": "1000"}  # rests for ever
CHANNELS = ("my_order", "my_order_batch", "my_trade")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    for name in ("kraken_gateway", "mm1"):
        add_peer(name, new_key_pair(name, folder).public_key, folder)
    return folder


def tcp(keys: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the gateway and of the strategy."""
    commands, answers, *others = (free_port() for _ in range(2 + len(CHANNELS)))
    serve = {"commands": f"tcp://:{commands}"}
    serve |= {f"kraken.{channel}": f"tcp://:{port}" for channel, port in zip(CHANNELS, others, strict=True)}
    reached = {name: endpoint.replace("//:", "//127.0.0.1:") for name, endpoint in serve.items()}
    one = {"keys": str(keys), "serve": serve, "peers": {"mm1": {"commands": f"tcp://127.0.0.1:{answers}"}}}
    other = {
        "keys": str(keys),
        "serve": {"commands": f"tcp://:{answers}"},
        "peers": {"kraken_gateway": reached},
        "allow": ["kraken_gateway"],
    }
    return one, other


async def test_orders_over_tcp(world: Any, eventually: Any, keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gateway_tcp, strategy_tcp = tcp(keys)
    gateway = await world.gateway(strategies=("mm1",), ipc_tcp=gateway_tcp)
    mm1 = await world.strategy("mm1", ipc_tcp=strategy_tcp)
    await eventually(lambda: min(gateway.status()["joined"].values()) >= 1)
    handle = await mm1.place_order(**LOW)
    await eventually(lambda: handle.status == OrderStatus.NEW)
    await mm1.cancel_order(handle)
    await eventually(lambda: handle.status == OrderStatus.CANCELED)
    status = gateway.status()
    assert status["commands"]["tcp_accepted"] == 1 and status["commands"]["tcp_failed"] == 0
    for channel in CHANNELS:
        assert status["publisher"][f"kraken.{channel}"]["tcp_accepted"] == 1
    assert mm1.status()["commands"]["tcp_accepted"] == 1 and mm1.status()["commands"]["forged"] == 0
    shown = render({"kraken_gateway": {**status, "started": 0.0, "written": 0.0}})
    assert 'hftpy_command_tcp_accepted_total{process="kraken_gateway"} 1' in shown
    assert 'hftpy_publisher_tcp_denied_total{process="kraken_gateway",address="kraken.my_order"} 0' in shown
    assert "Not described" not in shown and ("command", "forged") in METRICS
    for name in ("kraken_gateway", "mm1"):
        secret = load_key_pair(name, keys).secret_key.reveal()
        for text in (caplog.text, repr(gateway.config), repr(mm1.config), str(status), repr(gateway._tcp)):
            assert secret not in text


async def test_a_service_without_keys_does_not_start(world: Any, keys: Path) -> None:
    _, strategy_tcp = tcp(keys)
    (keys / "mm1.key_secret").unlink()
    with pytest.raises(ConfigError, match=r"test.mm1.setting.ipc_tcp: .*mm1 has no keys, and tcp needs them"):
        await world.strategy("mm1", ipc_tcp=strategy_tcp)
    (keys / "peers" / "kraken_gateway.key").unlink()
    new_key_pair("mm1", keys, replace=True)
    with pytest.raises(ConfigError, match=r"the public key of kraken_gateway is not in"):
        await world.strategy("mm1", ipc_tcp=strategy_tcp)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"server": {}}, r"ipc_tcp has an unknown key 'server': did you mean 'serve'\?"),
        ({"serve": {"commands": "10.0.0.5:7001"}}, r"ipc_tcp.serve.commands must be tcp://HOST:PORT, was '10"),
        ({"serve": {"kraken.tick": "tcp://:1"}}, r"ipc_tcp.serve must be commands or a venue's channel"),
        ({"peers": {"other": {"commands": "tcp://h:1"}}}, r"other is not among ipc_command_subscribers"),
        ({"peers": {"a b": {}}}, r"ipc_tcp.peers: "),
        ({"peers": {"gw": {"commands": "tcp://*:1"}}}, r"ipc_tcp.peers.gw.commands must name a host and a port"),
        ({"allow": ["a b"]}, r"ipc_tcp.allow: "),
        ({"serve": {"commands": 7001}}, r"ipc_tcp"),
    ],
)
def test_what_the_config_may_not_say(found: dict[str, Any], says: str) -> None:
    setting = {"ipc_command_publisher": "mm1", "ipc_command_subscribers": ["gw"], "ipc_tcp": found}
    with pytest.raises(ConfigError, match=says):
        parse_section("service.mm1", {"class_name": "x:Y", "setting": setting}, Path())


def test_commands_need_a_name() -> None:
    setting = {"ipc_tcp": {"serve": {"commands": "tcp://:1"}}}
    with pytest.raises(ConfigError, match=r"serve.commands: there are no commands, since ipc_command_publisher"):
        parse_section("service.mm1", {"class_name": "x:Y", "setting": setting}, Path())


def test_without_tcp_nothing_of_it_is_there(root: Path) -> None:
    service = ServiceBase(parse_section("service.mm1", {"class_name": "x:Y", "setting": {}}, Path()))
    assert service._tcp is None and "tcp" not in str(service.status()["publisher"])
