"""From a checked config to objects: accounts, streams, subscribers, and the tap that publishes what streams deliver."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftpy.common import Channel, Exchange, Gap, Reconnected, Stale
from hftpy.common.secrets import Secret, resolve_secret
from hftpy.errors import ConfigError
from hftpy.exchange import StreamBase, create_exchange_api, create_exchange_ws_api, get_exchange_stream
from hftpy.ipc import IPCPublisher, IPCSubscriber, TcpEndpoints
from hftpy.service.config import ServiceConfig, Setting, SubscriberSetting, secrets_of

log = logging.getLogger(__name__)

MARKET_CHANNELS = frozenset({Channel.TICKER, Channel.TRADE, Channel.BOOK, Channel.KLINE, Channel.FUNDING})


class _Tap:
    """Looks like an observer's queue; publishes at once, in the stream's own call."""

    def __init__(self, send: Any) -> None:
        self.put_nowait = send


class PublishingObserver:
    """An observer of streams that publishes the config's channels, and the events about them.

    Parameters
    ----------
    publisher
        Where to.
    channels
        What to publish.
    """

    def __init__(self, publisher: IPCPublisher, channels: frozenset[Channel]) -> None:
        self._publisher = publisher
        self._channels = channels & MARKET_CHANNELS  # orders are the gateway's to publish
        for channel in Channel:
            setattr(self, f"{channel}_queue", _Tap(publisher.send if channel in self._channels else _ignore))
        self.event_queue = _Tap(self._on_event)

    def _on_event(self, event: Gap | Stale | Reconnected) -> None:
        if event.channel not in self._channels:
            return
        match event:
            case Gap():
                self._publisher.send_gap(event)
            case Stale():
                self._publisher.send_stale(event)
            case Reconnected():
                self._publisher.send_reconnected(event)


def _ignore(item: object) -> None:
    """What is not to be published."""


def make_apis(config: ServiceConfig) -> dict[str, Any]:
    """The accounts by attribute name (``kraken_api``, ``kraken_ws_api``).

    Raises
    ------
    ConfigError
        If a secret cannot be resolved, or the venue has no such account here.
    """
    found: dict[str, Any] = {}
    key = f"{config.section}.setting"
    for index, api in enumerate(config.setting.apis):
        api_key, api_secret = secrets_of(f"{key}.apis[{index}]", api, config.folder)
        name = f"{api.exchange.lower()}_api"
        if name in found:
            raise ConfigError(f"{key}.apis[{index}]: {api.exchange} stands twice in apis")
        found[name] = _create(
            f"{key}.apis[{index}]", create_exchange_api, Exchange.parse(api.exchange), api_key=api_key,
            api_secret=api_secret, rest_host=api.rest_host or api.api_host,
        )  # fmt: skip
    for index, ws_api in enumerate(config.setting.ws_apis):
        api_key, api_secret = secrets_of(f"{key}.ws_apis[{index}]", ws_api, config.folder)
        rest_host = ws_api.rest_host or next(
            (api.rest_host or api.api_host for api in config.setting.apis if api.exchange == ws_api.exchange), None
        )
        name = f"{ws_api.exchange.lower()}_ws_api"
        if name in found:
            raise ConfigError(f"{key}.ws_apis[{index}]: {ws_api.exchange} stands twice in ws_apis")
        found[name] = _create(
            f"{key}.ws_apis[{index}]", create_exchange_ws_api, Exchange.parse(ws_api.exchange), api_key=api_key,
            api_secret=api_secret, api_host=ws_api.api_host, rest_host=rest_host,
        )  # fmt: skip
    return found


def make_tcp(config: ServiceConfig) -> TcpEndpoints | None:
    """What the service serves and reaches over tcp; None: nothing.

    Raises
    ------
    ConfigError
        If it has no keys, or does not know those of its peers.
    RootError
        If others may write the folder of keys.
    """
    tcp = config.setting.ipc_tcp
    if tcp is None:
        return None
    folder = None if tcp.keys is None else config.folder / tcp.keys
    try:
        return TcpEndpoints(config.process_id, folder=folder, allow=tcp.allow, serve=tcp.serve, peers=tcp.peers)
    except ConfigError as error:
        raise ConfigError(f"{config.section}.setting.ipc_tcp: {error}") from error


def _auth_data(key: str, found: dict[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """What a venue needs besides key and secret; a secret among it may be a reference, such as a passphrase."""
    if found is None:
        return None
    resolved = dict(found)
    for name, value in found.items():
        if isinstance(value, dict | Secret):
            secret = resolve_secret(f"{key}.{name}", value, folder)
            resolved[name] = secret.reveal() if secret is not None else ""
    return resolved


def _tls(found: dict[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """The setting with its files found from the config's folder."""
    if found is None:
        return None
    return {
        name: str(folder / value) if name.endswith("_file") and isinstance(value, str) and value else value
        for name, value in found.items()
    }


def _create(key: str, create: Any, exchange: Exchange, **arguments: Any) -> Any:
    try:
        return create(exchange, **arguments)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


def make_streams(config: ServiceConfig, inlet: object, publisher: IPCPublisher) -> list[StreamBase]:
    """The streams, bound to the service's inlet and, where the config says so, to a publisher.

    Raises
    ------
    ConfigError
        If a stream cannot be made as the config says.
    """
    streams: list[StreamBase] = []
    publish = config.setting.ipc_publish
    channels = frozenset(Channel.parse(channel) for channel in publish.channels) if publish is not None else frozenset()
    for index, entry in enumerate(config.setting.streams):
        key = f"{config.section}.setting.streams[{index}]"
        api_key, api_secret = secrets_of(key, entry, config.folder)
        stream = _create(
            key,
            get_exchange_stream,
            Exchange.parse(entry.exchange),
            currency_pairs=entry.currency_pairs,
            subscribe_channels=entry.subscribe_channels,
            api_key=api_key,
            api_secret=api_secret,
            api_auth_data=_auth_data(f"{key}.api_auth_data", entry.api_auth_data, config.folder),
            api_host=entry.api_host,
            reconnect_times=entry.reconnect_times,
            subscribe_args=entry.subscribe_args,
            client=entry.client,
            stale_after=entry.stale_after,
            tls=_tls(entry.tls, config.folder),
        )
        if channels & {Channel.parse(channel) for channel in entry.subscribe_channels} & MARKET_CHANNELS:
            # First, so that other processes do not wait for this one's hooks.
            stream.bind_observer(PublishingObserver(publisher, channels))
        stream.bind_observer(inlet)
        streams.append(stream)
    carried = {Channel.parse(name) for entry in config.setting.streams for name in entry.subscribe_channels}
    if missing := sorted(str(channel) for channel in (channels & MARKET_CHANNELS) - carried):
        log.warning(
            "%s.setting.ipc_publish names %s, which no stream of the service carries: nothing is published by itself",
            config.section, ", ".join(missing),
        )  # fmt: skip
    return streams


def published(setting: Setting) -> set[tuple[Exchange, Channel]]:
    """The addresses that the config's `ipc_publish` owns: its channels, of the venues whose streams carry them."""
    publish = setting.ipc_publish
    wanted = {Channel.parse(channel) for channel in publish.channels} if publish is not None else set()
    return {
        (Exchange.parse(stream.exchange), channel)
        for stream in setting.streams
        for channel in wanted & {Channel.parse(name) for name in stream.subscribe_channels} & MARKET_CHANNELS
    }


def make_subscribers(
    config: ServiceConfig, inlet: object, extra: list[SubscriberSetting], tcp: TcpEndpoints | None = None
) -> list[IPCSubscriber]:
    """The subscribers of the config, and `extra` ones, bound to the service's inlet; one per transport.

    Raises
    ------
    ConfigError
        If one cannot be made as the config says.
    """
    by_transport: dict[str, list[tuple[Exchange, Channel, list[str]]]] = {}
    for entry in (*config.setting.ipc_subscribers, *extra):
        symbols = [entry.symbols] if isinstance(entry.symbols, str) else entry.symbols
        by_transport.setdefault(entry.transport, []).append(
            (Exchange.parse(entry.exchange), Channel.parse(entry.channel), [symbol for symbol in symbols if symbol])
        )
    subscribers = []
    for transport, entries in by_transport.items():
        try:
            subscriber = IPCSubscriber(entries, transport=transport, tcp=tcp)
        except ValueError as error:
            raise ConfigError(f"{config.section}.setting.ipc_subscribers: {error}") from error
        subscriber.bind_observer(inlet)
        subscribers.append(subscriber)
    return subscribers


def plain(value: Any) -> Any:
    """Counters as JSON types: keys become text."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
