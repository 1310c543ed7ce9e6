"""Keys, ports and endpoints for processes of tests that meet over tcp on the loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from free_ports import free_port

from hftcore.enums import Channel, Exchange
from hftpy.ipc import IPCCommandSystem, IPCPublisher, IPCSubscriber, TcpEndpoints
from hftpy.ipc.curve_keys import PEERS_FOLDER, PUBLIC_SUFFIX, add_peer, new_key_pair


class TcpNet:
    """A folder of keys, in which everybody knows everybody, and the port of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._endpoints: dict[str, str] = {}

    def key(self, name: str, folder: Path | None = None) -> None:
        """Make a key pair, known to all."""
        folder = folder or self.folder
        if not (folder / f"{name}.key_secret").exists():
            add_peer(name, new_key_pair(name, folder).public_key, self.folder)

    def forget(self, name: str) -> Path:
        """Take a key away, to another file."""
        path = self.folder / PEERS_FOLDER / f"{name}{PUBLIC_SUFFIX}"
        return path.rename(path.with_suffix(".away"))

    def at(self, name: str) -> str:
        """The endpoint of that name."""
        if name not in self._endpoints:
            self._endpoints[name] = f"tcp://127.0.0.1:{free_port()}"
        return self._endpoints[name]

    def use(self, name: str, endpoint: str) -> None:
        """Another endpoint for that name."""
        self._endpoints[name] = endpoint

    def commands(self, name: str) -> TcpEndpoints:
        """Of a process with commands."""
        self.key(name)
        return TcpEndpoints(name, folder=self.folder, serve={"commands": self.at(name)})

    def system(self, name: str, root: Path, **options: Any) -> IPCCommandSystem:
        """A command system that is reached over tcp, and reaches others so."""
        return TcpSystem(self, name, root, **options)

    def publisher(self, root: Path, **options: Any) -> IPCPublisher:
        """A publisher of Kraken and Binance over tcp."""
        self.key("gateway")
        serve = {name: self.at(f"{root}/{name}") for name in channels()}
        return IPCPublisher(root, tcp=TcpEndpoints("gateway", folder=self.folder, serve=serve), **options)

    def subscriber(self, subscriptions: Any, root: Path, name: str = "mm1", **options: Any) -> IPCSubscriber:
        """A subscriber of it."""
        self.key("gateway")
        self.key(name)
        peers = {"gateway": {name: self.at(f"{root}/{name}") for name in channels()}}
        return IPCSubscriber(subscriptions, root, tcp=TcpEndpoints(name, folder=self.folder, peers=peers), **options)

    def subscriber_of(self, tcp: TcpEndpoints, root: Path) -> IPCSubscriber:
        """A subscriber of Kraken's tickers, wherever they are."""
        return IPCSubscriber([(Exchange.KRAKEN, Channel.TICKER, "")], root, tcp=tcp)


class TcpSystem(IPCCommandSystem):
    """A command system of a net."""

    def __init__(self, net: TcpNet, name: str, root: Path | None = None, **options: Any) -> None:
        self.net = net
        self.endpoints = net.commands(name)
        super().__init__(name, root, tcp=self.endpoints, **options)

    def connect_to_process(self, remote_process_id: str) -> Any:
        self.net.key(remote_process_id)
        self.endpoints.add_peer(remote_process_id, {"commands": self.net.at(remote_process_id)})
        return super().connect_to_process(remote_process_id)


def channels() -> Iterator[str]:
    for exchange in (Exchange.KRAKEN, Exchange.BINANCE):
        for channel in (
            Channel.TICKER, Channel.TRADE, Channel.MY_ORDER, Channel.MY_ORDER_BATCH, Channel.MY_TRADE, Channel.BOOK,
        ):  # fmt: skip
            yield f"{exchange}.{channel}"
