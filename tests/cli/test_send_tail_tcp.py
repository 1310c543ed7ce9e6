"""`hftpy send` and `hftpy tail` over tcp, with keys: a target whose config names its endpoints, or options that do."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from hftpy.cli.reach import sender_endpoints, watched_endpoints
from hftpy.errors import ConfigError
from hftpy.ipc import IPCCommandSystem, TcpEndpoints
from hftpy.ipc.curve_keys import PEERS_FOLDER, PUBLIC_SUFFIX, add_peer, new_key_pair


async def begin(root: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "hftpy.cli", *arguments, env={**os.environ, "HFT_ROOT": str(root)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def hftpy(root: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await begin(root, *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@dataclass
class Far:
    """A process `gateway` under a root of its own, reached over tcp alone."""

    folder: Path
    here: Path
    system: IPCCommandSystem
    ours: str
    theirs: str
    config: Path
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> str:
        return str(self.folder / "operator_keys")


def write_config(path: Path, **sections: Any) -> Path:
    entries = {name: {"class_name": "x:Y", "setting": setting} for name, setting in sections.items()}
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
async def far(short_folder: Path) -> AsyncIterator[Far]:
    roots = [short_folder / "there", short_folder / "here"]
    for root in roots:
        root.mkdir(mode=0o700)
    folders = {name: short_folder / f"{name}_keys" for name in ("gateway", "operator")}
    public = {name: new_key_pair(name, folder).public_key for name, folder in folders.items()}
    add_peer("operator", public["operator"], folders["gateway"])
    add_peer("gateway", public["gateway"], folders["operator"])
    ours, theirs = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    tcp = TcpEndpoints(
        "gateway", folder=folders["gateway"], serve={"commands": theirs}, peers={"operator": {"commands": ours}}
    )
    system = IPCCommandSystem("gateway", roots[0], tcp=tcp)
    system.register_handler("double", lambda command: 2 * command.payload["n"])
    system.connect_to_process("operator")
    await system.start()
    setting = {
        "ipc_command_publisher": "gateway",
        "ipc_command_subscribers": ["operator"],
        "ipc_tcp": {"serve": {"commands": theirs}, "peers": {"operator": {"commands": ours}}},
    }
    config = write_config(short_folder / "c.json", **{"service.gateway": setting})
    yield Far(short_folder, roots[1], system, ours, theirs, config, setting)
    await system.stop()


async def test_send_over_tcp(far: Far) -> None:
    double = ("send", "gateway", "double", '{"n": 21}', "--wait", "--timeout", "30")
    by_option, by_config = ("--serve", far.ours), ("--config", str(far.config))
    for reach in (by_option, by_config, (*by_option, *by_config)):
        assert await hftpy(far.here, *double, *reach, "--keys", far.keys) == (0, "42\n", "")
    # The folder of keys may stand in the config, and is looked for beside it.
    far.setting["ipc_tcp"]["keys"] = "operator_keys"
    write_config(far.config, **{"service.gateway": far.setting})
    assert await hftpy(far.here, *double, *by_config) == (0, "42\n", "")
    assert await hftpy(far.here, "send", "*", "double", '{"n": 4}', "--wait", *by_config) == (0, '{"gateway": 8}\n', "")
    assert far.system.stats["handled"] == 5


async def test_send_over_tcp_to_whom_does_not_know_us(
    far: Far, caplog: pytest.LogCaptureFixture, eventually: Any
) -> None:
    (far.folder / "gateway_keys" / PEERS_FOLDER / f"operator{PUBLIC_SUFFIX}").unlink()
    await eventually(lambda: "left operator at" in caplog.text)
    send = ("send", "gateway", "double", "--serve", far.ours, "--timeout", "3")
    status, out, err = await hftpy(far.here, *send, "--keys", far.keys)
    assert status == 1 and "no_route its target has not joined in time" in out
    assert "over tcp operator must be among its ipc_tcp.peers" in err
    # And to whom we do not know: nobody is let in, and nothing is sent.
    (far.folder / "operator_keys" / PEERS_FOLDER / f"gateway{PUBLIC_SUFFIX}").unlink()
    status, _, err = await hftpy(far.here, *send, "--keys", far.keys)
    assert status == 2 and "the public key of gateway is not known, and tcp needs it" in err
    assert far.system.stats["handled"] == 0


async def test_an_imposter_is_let_in_to_nothing(far: Far) -> None:
    """Somebody whose key we know, but not for this target."""
    add_peer("other", new_key_pair("other", far.folder / "gateway_keys").public_key, far.folder / "operator_keys")
    tcp = TcpEndpoints("other", folder=far.folder / "gateway_keys", peers={"operator": {"commands": far.ours}})
    other = IPCCommandSystem("other", far.folder / "there", tcp=tcp)
    other.register_handler("double", lambda command: 0)
    other.connect_to_process("operator")
    await far.system.stop()
    await other.start()
    try:
        send = ("send", "gateway", "double", "--serve", far.ours, "--keys", far.keys, "--timeout", "3")
        status, _, err = await hftpy(far.here, *send)
        assert status == 1 and "came with a key that may not connect" in err
        assert other.stats["received"] == 0
    finally:
        await other.stop()


async def read_until(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = await process.stdout.readline()
        assert line, seen
        seen += line.decode()
    return seen


@pytest.mark.parametrize("how", ["config", "peer"])
async def test_tail_over_tcp(far: Far, how: str) -> None:
    reach = ("--config", str(far.config)) if how == "config" else ("--peer", f"gateway={far.theirs}")
    missing = far.folder / "missing"  # no process of this host is needed
    process = await begin(missing, "tail", *reach, "--keys", far.keys)
    reading = asyncio.create_task(read_until(process, "gateway -> nobody ping"))
    while not reading.done():
        far.system.send_command("nobody", "ping", fail_fast=True)
        await asyncio.wait([reading], timeout=0.1)
    assert "sent" in reading.result() or "no_route" in reading.result()
    process.terminate()
    _, err = await process.communicate()
    assert process.returncode == 0 and err == b"" and not missing.exists()


async def test_tail_over_tcp_says_that_it_is_refused(far: Far) -> None:
    (far.folder / "gateway_keys" / PEERS_FOLDER / f"operator{PUBLIC_SUFFIX}").unlink()
    process = await begin(far.here, "tail", "--peer", f"gateway={far.theirs}", "--keys", far.keys)
    assert process.stderr is not None
    said = await asyncio.wait_for(process.stderr.readline(), 30)
    assert f"no connection to gateway at {far.theirs}: our key is not allowed there" in said.decode()
    process.terminate()
    await process.communicate()


def test_what_cannot_be_reached_is_refused(far: Far, tmp_path: Path) -> None:
    keys = Path(far.keys)

    def serve(target: str, config: Path, serve: str | None = None) -> TcpEndpoints | None:
        return sender_endpoints("operator", target, serve=serve, config=config, keys=keys)

    def watch(*peers: str, config: Path | None = None) -> tuple[TcpEndpoints | None, list[str]]:
        return watched_endpoints("operator", [], peers=list(peers), config=config, keys=keys)

    with pytest.raises(ConfigError, match=r"has no process gatway: did you mean 'gateway'\?"):
        serve("gatway", far.config)
    other = {**far.setting, "ipc_command_publisher": "gateway.two"}
    other["ipc_tcp"] = {"serve": {"commands": "tcp://:0"}, "peers": {"operator": {"commands": "tcp://127.0.0.1:9"}}}
    local = {"ipc_command_publisher": "local"}
    both = write_config(tmp_path / "c.json", gateway=far.setting, two=other, local=local)
    with pytest.raises(
        ConfigError, match=r"operator is looked for at .*127.0.0.1:\d+ and tcp://127.0.0.1:9: give --ser"
    ):
        serve("*", both)
    assert serve("*", both, far.ours) is not None
    assert serve("local", both) is None
    with pytest.raises(ConfigError, match=r"two.setting.ipc_tcp.serve.commands lets the system choose the port: give"):
        watch(config=both)
    for wrong, says in (
        ("gateway", "NAME=tcp://HOST:PORT"),
        ("gateway=x", "must be tcp://HOST"),
        ("a=tcp://h:1", "key of a"),
    ):
        with pytest.raises(ConfigError, match=says):
            watch(wrong)
    assert watch() == (None, [])
    far.setting["ipc_tcp"]["serve"]["commands"] = "tcp://*:7001"
    tcp, names = watch(config=write_config(tmp_path / "c.json", gateway=far.setting))
    assert tcp is not None and names == ["gateway"]
    reached = tcp.commands_of("gateway")
    assert reached is not None and reached.endpoint == "tcp://127.0.0.1:7001"
