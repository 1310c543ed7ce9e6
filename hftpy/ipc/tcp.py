"""Beyond one host: the tcp endpoints of a process and of its peers, and the keys that open them."""

import ipaddress
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq

from hftcore.enums import Channel, Exchange
from hftcore.topic import check_process_id
from hftpy.errors import AddressInUseError, ConfigError
from hftpy.ipc.command_protocol import MAX_ANSWER_BYTES
from hftpy.ipc.curve_guard import Listener
from hftpy.ipc.curve_keys import KeyPair, KnownKeys, default_folder, fingerprint, load_key_pair

logger = logging.getLogger(__name__)

COMMANDS = "commands"
LOOK_AGAIN_S = 0.5  # how old what is known of the keys may be
_SUBSCRIPTION_BYTES = 64 << 10  # and a handshake
_ENDPOINT = re.compile(r"tcp://(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9._*-]*):(\d{1,5})", re.ASCII)


def check_endpoint(key: str, endpoint: str, *, serve: bool) -> str:
    """An endpoint as libzmq takes it.

    Parameters
    ----------
    key
        What it is for, for messages.
    endpoint
        ``tcp://HOST:PORT``. To serve at: HOST is an address of this machine, ``*`` for all of them, and without one the
        loopback; PORT 0 lets the system choose. To connect to: an address or a name.
    serve
        Which of both.

    Raises
    ------
    ConfigError
        If it is none.
    """
    found = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if found is None or int(found[2]) > 65535:
        raise ConfigError(f"{key} must be tcp://HOST:PORT, was {endpoint!r}")
    host, port = found[1], int(found[2])
    if not serve:
        if not host or "*" in host or not port:
            raise ConfigError(f"{key} must name a host and a port, was {endpoint!r}")
        return endpoint
    if host in ("", "localhost"):
        host = "127.0.0.1"
    if host == "*":
        host = "0.0.0.0"
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise ConfigError(f"{key} must have an address of this machine (or * for all), was {endpoint!r}") from error
    return f"tcp://{host}:{port}"


def check_name(key: str, name: str) -> str:
    """The name of an endpoint: ``commands``, or a venue's channel such as ``kraken.ticker``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if name == COMMANDS:
        return name
    exchange, _, channel = name.rpartition(".")
    try:
        return channel_name(Exchange.parse(exchange), Channel.parse(channel))
    except ValueError as error:
        raise ConfigError(f"{key} must be commands or a venue's channel such as kraken.ticker, was {name!r}") from error


def channel_name(exchange: Exchange, channel: Channel) -> str:
    """The name of the endpoint of a venue's channel."""
    return f"{exchange}.{channel}"


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """An endpoint of a peer, and the key that proves that it is the peer's."""

    peer: str
    endpoint: str
    server_key: bytes


class TcpEndpoints:
    """What a process serves and reaches over tcp. All else stays on unix paths.

    Everything over tcp is encrypted, and both ends show their keys (CURVE): a process is whoever has its secret key.
    There is no tcp without keys.

    Parameters
    ----------
    key
        Whose key pair this process shows: its process id.
    folder
        The folder of keys (`hftpy.ipc.curve_keys`); None: ``$HFT_KEYS``, or ``hft/keys`` in ``~/.config``.
    allow
        The names of the peers that may connect; None: all whose public key is in the folder.
    serve
        Where this process is reached, besides the unix path: ``{"commands": "tcp://10.0.0.5:7001", "kraken.ticker":
        "tcp://10.0.0.5:7101"}``. A venue's channels have an endpoint each. Without a host it is the loopback.
    peers
        Where others are reached: by name the same of each.

    Raises
    ------
    ConfigError
        If there is no key pair of this name or it is not ours alone, a peer's public key is not known, or an endpoint
        or a name is none.
    RootError
        If others may write the folder of keys.
    TypeError, ValueError
        If a process id is none.

    Thread safety: one thread at a time.
    """

    def __init__(
        self,
        key: str,
        *,
        folder: str | os.PathLike[str] | None = None,
        allow: Iterable[str] | None = None,
        serve: Mapping[str, str] | None = None,
        peers: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._folder = default_folder() if folder is None else Path(os.path.abspath(folder))
        self._pair = load_key_pair(key, self._folder)
        self._known = KnownKeys(self._folder, allow)
        self._looked_s = 0.0
        self._serve = {
            check_name("serve", name): check_endpoint(f"serve.{name}", endpoint, serve=True)
            for name, endpoint in (serve or {}).items()
        }
        self._remote: dict[tuple[str, str], RemoteEndpoint] = {}  # by name of the endpoint, and peer
        for peer, endpoints in (peers or {}).items():
            self.add_peer(peer, endpoints)

    @property
    def key(self) -> KeyPair:
        """The key pair of this process."""
        return self._pair

    def add_peer(self, peer: str, endpoints: Mapping[str, str]) -> None:
        """Say where a peer is reached: before what connects to it is started.

        Raises
        ------
        ConfigError
            If its public key is not known, another peer serves the same channel, or a name or an endpoint is none.
        TypeError, ValueError
            If the peer is no process id.
        """
        check_process_id(peer)
        self._known.refresh()
        server_key = self._known.key_of(peer)
        if server_key is None:
            raise ConfigError(
                f"the public key of {peer} is not in {self._known.folder}, and tcp needs it: add it by `hftpy keys add`"
            )
        for name, endpoint in endpoints.items():
            known = check_name(f"peers.{peer}", name)
            owner = None if known == COMMANDS else self.channel(known)
            if owner is not None and owner.peer != peer:
                raise ConfigError(f"peers.{peer}.{name}: {owner.peer} serves it already")
            checked = check_endpoint(f"peers.{peer}.{name}", endpoint, serve=False)
            self._remote[known, peer] = RemoteEndpoint(peer, checked, server_key)

    def commands_of(self, peer: str) -> RemoteEndpoint | None:
        """Where a peer's commands come from; None: from its unix path."""
        return self._remote.get((COMMANDS, peer))

    def channel(self, name: str) -> RemoteEndpoint | None:
        """Who serves a venue's channel over tcp, and where; None: nobody."""
        return next((remote for (known, _), remote in self._remote.items() if known == name), None)

    def serves(self, name: str) -> bool:
        """Whether this process serves it over tcp."""
        return name in self._serve

    def listen(self, name: str, socket: zmq.Socket[bytes]) -> Listener | None:
        """Bind a socket to its endpoint too, if it has one.

        Raises
        ------
        AddressInUseError
            If somebody else has the port.
        ConfigError
            If the endpoint cannot be bound.
        """
        endpoint = self._serve.get(name)
        if endpoint is None:
            return None
        if not self._known.names:
            logger.warning("nobody may connect to %s: no peer that is allowed is in %s", endpoint, self._known.folder)
        shown = f"{self._pair.name}.{name}" if name == COMMANDS else name
        listener = Listener(shown, socket, self._pair.secret_key, self._known)
        try:
            listener.bind(endpoint, MAX_ANSWER_BYTES if name == COMMANDS else _SUBSCRIPTION_BYTES)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUseError(f"address {endpoint} is in use by another process or object") from None
            raise ConfigError(f"address {endpoint} cannot be bound: {error.strerror}") from None
        return listener

    def key_of(self, peer: str) -> bytes | None:
        """The public key of a peer as it stands in the folder now, or did at most half a second ago; None: nobody's."""
        now_s = time.monotonic()
        if now_s >= self._looked_s + LOOK_AGAIN_S:  # however many links ask
            self._looked_s = now_s
            self._known.refresh()
        return self._known.key_of(peer)

    def show_key(self, socket: zmq.Socket[bytes], remote: RemoteEndpoint) -> None:
        """Let a socket that is to be connected show our key, and want the peer's."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, remote.server_key)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._pair.public_key)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret_key.reveal().encode())
        socket.setsockopt(zmq.IPV6, int("[" in remote.endpoint))

    def __repr__(self) -> str:
        print_ = fingerprint(self._pair.public_key)
        return f"TcpEndpoints({self._pair.name!r}, fingerprint {print_}, serve={self._serve!r})"
