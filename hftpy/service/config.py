"""The JSON config of services: what may stand in it, checked, with suggestions for misspelt keys."""

import difflib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from hftcore.ring import MAX_CAPACITY
from hftcore.topic import check_process_id
from hftpy.common import Channel, CurrencyPair, Exchange
from hftpy.common.secrets import SECRET_NAME, Secret, check_secret, redacted, resolve_secret
from hftpy.errors import ConfigError
from hftpy.ipc.endpoint import TRANSPORTS
from hftpy.ipc.tcp import COMMANDS, check_endpoint, check_name


class ApiSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A REST account. `api_host` is another name of `rest_host`."""

    exchange: str
    api_key: Any = None
    api_secret: Any = None
    api_auth_data: dict[str, Any] | None = None
    rest_host: str | None = None
    api_host: str | None = None


class WsApiSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An account's order entry over WebSocket."""

    exchange: str
    api_key: Any = None
    api_secret: Any = None
    api_auth_data: dict[str, Any] | None = None
    api_host: str | None = None
    rest_host: str | None = None


class StreamSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A venue's WebSocket stream."""

    exchange: str
    currency_pairs: list[str] = []
    subscribe_channels: list[str]
    api_key: Any = None
    api_secret: Any = None
    api_auth_data: dict[str, Any] | None = None
    api_host: str | None = None
    reconnect_times: int | dict[str, int | float] = -1
    subscribe_args: dict[str, Any] = {}
    client: str = "picows"
    stale_after: float | dict[str, float] | None = None
    tls: dict[str, Any] | None = None


class SubscriberSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A channel that another process publishes. `symbols` empty: all."""

    exchange: str
    channel: str
    symbols: list[str] | str = []
    transport: str = "zmq"


class PublishSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the service's own streams deliver and other processes shall get."""

    channels: list[str]
    transport: str = "zmq"


class TcpSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is served and reached over tcp with CURVE; see `hftpy.ipc.TcpEndpoints`. The key is that of the process id;
    `keys` is the folder of keys."""

    keys: str | None = None
    allow: list[str] | None = None
    serve: dict[str, str] = {}
    peers: dict[str, dict[str, str]] = {}


class TaskSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A timer: `task_NAME` every `interval` seconds, first after `delay`."""

    interval: float
    delay: float = 0.0


class QueueSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The ring of one channel: how many messages may wait for the hooks, and what happens when more come."""

    capacity: int | None = None
    overflow: str | None = None


class WatchdogSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long, in seconds, the event loop may stand before that is reported; 0: it is not watched."""

    threshold: float = 1.0


class StateSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where `on_save`'s state is kept (None: under the root), how often it is saved in seconds (0: at the end and on
    demand), and what a damaged file does: ``fail`` the start, or be put aside (``discard``)."""

    folder: str | None = None
    interval: float = 60.0
    on_corrupt: Literal["fail", "discard"] = "fail"


class WarmUpSetting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Before orders are sent: seconds that must pass, and events per channel that must have come."""

    seconds: float = 0.0
    events: dict[str, int] = {}


class Setting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything under ``setting``; all of it is optional."""

    apis: list[ApiSetting] = []
    ws_apis: list[WsApiSetting] = []
    streams: list[StreamSetting] = []
    ipc_subscribers: list[SubscriberSetting] = []
    ipc_publish: PublishSetting | None = None
    ipc_command_publisher: str | None = None
    ipc_command_subscribers: list[str] = []
    ipc_tcp: TcpSetting | None = None
    tasks: dict[str, TaskSetting] = {}
    next_interval: float = 0.0
    state: StateSetting = msgspec.field(default_factory=StateSetting)
    warm_up: WarmUpSetting = msgspec.field(default_factory=WarmUpSetting)
    watchdog: WatchdogSetting = msgspec.field(default_factory=WatchdogSetting)
    queues: dict[str, QueueSetting] = {}
    params: dict[str, Any] = {}

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__} | {"params": redacted(self.params)}
        return f"Setting({', '.join(f'{name}={value!r}' for name, value in values.items())})"


class ServiceConfig(msgspec.Struct, kw_only=True):
    """One section of a config file."""

    section: str  # such as service.mm_demo
    class_name: str
    setting: Setting
    folder: Path  # of the config file: modules and relative paths start here

    @property
    def process_id(self) -> str:
        """The name under which commands, status and logs know the process."""
        return self.setting.ipc_command_publisher or self.section.rpartition(".")[2]


LEAST_INTERVAL_S = 0.0001  # of a timer

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
# What a channel's ring may do when it is full. Blocking is none of it: a stream would wait for hooks of its own thread.
OVERFLOWS: dict[str, tuple[str, ...]] = {
    "ticker": ("drop_oldest", "drop_newest", "conflate", "halt"),
    "trade": ("drop_oldest", "drop_newest", "halt"),
    "book": ("drop_oldest", "drop_newest", "conflate", "halt"),
    "kline": ("drop_oldest", "drop_newest", "halt"),
    "funding": ("drop_oldest", "drop_newest", "conflate", "halt"),
    "my_order": ("halt",),
    "my_order_batch": ("halt",),
    "my_trade": ("halt",),
}
WARMING = frozenset({"ticker", "trade", "book", "kline", "funding"})
_NESTED_ONE: dict[str, type[msgspec.Struct]] = {
    "ipc_publish": PublishSetting,
    "ipc_tcp": TcpSetting,
    "state": StateSetting,
    "warm_up": WarmUpSetting,
    "watchdog": WatchdogSetting,
}
_NESTED: dict[str, type[msgspec.Struct]] = {
    "apis": ApiSetting,
    "ws_apis": WsApiSetting,
    "streams": StreamSetting,
    "ipc_subscribers": SubscriberSetting,
}


def load_config(path: Path) -> list[ServiceConfig]:
    """Read a config file.

    Returns
    -------
    list of ServiceConfig
        One per section, in the file's order.

    Raises
    ------
    ConfigError
        If it cannot be read or something in it is not as it must be; the message names the key.
    """
    try:
        content = json.loads(path.read_text("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"config {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config {path} is no JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"config {path} must be an object with a section per service")
    configs = [parse_section(section, value, path.parent) for section, value in content.items()]
    owners: dict[str, str] = {}
    for config in configs:
        other = owners.setdefault(config.process_id, config.section)
        if other != config.section:
            raise ConfigError(
                f"config {path}: {other} and {config.section} are both the process {config.process_id!r}: "
                "ipc_command_publisher must differ"
            )
    return configs


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def parse_section(section: str, value: Any, folder: Path) -> ServiceConfig:
    """Check one section.

    Raises
    ------
    ConfigError
        If something in it is not as it must be; the message names the key.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{section} must be an object, was {value!r}")
    _check_keys(section, value, ("class_name", "setting"))
    class_name = value.get("class_name")
    if not isinstance(class_name, str) or not class_name:
        raise ConfigError(f"{section}.class_name must be the name of a class, was {class_name!r}")
    setting = _convert(f"{section}.setting", value.get("setting", {}), Setting)
    _check_values(f"{section}.setting", setting)
    for group in ("apis", "ws_apis", "streams"):
        for index, account in enumerate(getattr(setting, group)):
            _hide_secrets(f"{section}.setting.{group}[{index}]", account)
    config = ServiceConfig(section=section, class_name=class_name, setting=setting, folder=folder)
    if setting.ipc_command_publisher is None:
        try:
            check_process_id(config.process_id)
        except ValueError as error:
            raise ConfigError(f"{section}: its last part names the process: {error}") from error
    return config


def _hide_secrets(key: str, account: ApiSetting | WsApiSetting | StreamSetting) -> None:
    """Check the references to secrets, and make a Secret of each plain one, so that printing the config shows none."""
    for name in ("api_key", "api_secret"):
        value = getattr(account, name)
        check_secret(f"{key}.{name}", value)
        if isinstance(value, str) and value:
            setattr(account, name, Secret(value))
    for name, value in (account.api_auth_data or {}).items():
        if isinstance(value, dict):
            check_secret(f"{key}.api_auth_data.{name}", value)
        elif isinstance(value, str) and value and SECRET_NAME.search(name):
            assert account.api_auth_data is not None
            account.api_auth_data[name] = Secret(value)


def _convert(key: str, value: Any, kind: type[_Struct]) -> _Struct:
    if isinstance(value, dict):
        _check_keys(key, value, kind.__struct_fields__)
        for name, nested in _NESTED.items():
            entries = value.get(name) if kind is Setting else None
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                _convert(f"{key}.{name}[{index}]", entry, nested)
        if kind is Setting:
            for name, nested in _NESTED_ONE.items():
                if isinstance(value.get(name), dict):
                    _convert(f"{key}.{name}", value[name], nested)
            for group, nested in (("tasks", TaskSetting), ("queues", QueueSetting)):
                entries = value.get(group)
                for name, entry in entries.items() if isinstance(entries, dict) else ():
                    _convert(f"{key}.{group}.{name}", entry, nested)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}: {error}") from error


def suggestion(name: str, known: Iterable[str]) -> str:
    """What an unknown name may have meant, for a message."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}"


def _check_keys(key: str, value: Iterable[str], known: tuple[str, ...]) -> None:
    for name in value:
        if name not in known:
            raise ConfigError(f"{key} has an unknown key {name!r}: {suggestion(name, known)}")


def _check_transport(key: str, transport: str) -> None:
    if transport not in TRANSPORTS:
        raise ConfigError(f"{key}.transport must be {' or '.join(TRANSPORTS)}, was {transport!r}")


def _check_values(key: str, setting: Setting) -> None:
    def check(where: str, exchange: str, channels: list[str], symbols: list[str]) -> None:
        try:
            Exchange.parse(exchange)
            for channel in channels:
                Channel.parse(channel)
            for symbol in symbols:
                CurrencyPair(symbol)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error

    processes = {f"ipc_command_subscribers[{n}]": name for n, name in enumerate(setting.ipc_command_subscribers)}
    if setting.ipc_command_publisher is not None:
        processes["ipc_command_publisher"] = setting.ipc_command_publisher
    for where, process_id in processes.items():
        try:
            check_process_id(process_id)
        except ValueError as error:
            raise ConfigError(f"{key}.{where}: {error}") from error
    for name in ("apis", "ws_apis"):
        for index, api in enumerate(getattr(setting, name)):
            check(f"{key}.{name}[{index}]", api.exchange, [], [])
    for index, stream in enumerate(setting.streams):
        check(f"{key}.streams[{index}]", stream.exchange, stream.subscribe_channels, stream.currency_pairs)
        if stream.client not in ("picows", "websockets"):
            raise ConfigError(f"{key}.streams[{index}].client must be picows or websockets, was {stream.client!r}")
    for index, entry in enumerate(setting.ipc_subscribers):
        symbols = [entry.symbols] if isinstance(entry.symbols, str) else entry.symbols
        check(f"{key}.ipc_subscribers[{index}]", entry.exchange, [entry.channel], [s for s in symbols if s])
        _check_transport(f"{key}.ipc_subscribers[{index}]", entry.transport)
    if setting.ipc_publish is not None:
        check(f"{key}.ipc_publish", "unknown", setting.ipc_publish.channels, [])
        _check_transport(f"{key}.ipc_publish", setting.ipc_publish.transport)
    if setting.ipc_tcp is not None:
        _check_tcp(f"{key}.ipc_tcp", setting, setting.ipc_tcp)
    for name, task in setting.tasks.items():
        if f"task_{name}" in setting.tasks:
            raise ConfigError(f"{key}.tasks names one timer twice: {name!r} and 'task_{name}'")
        if not 0 < task.interval < math.inf or not 0 <= task.delay < math.inf:
            raise ConfigError(f"{key}.tasks.{name}: interval must be above 0 and delay at least 0, was {task}")
        if task.interval < LEAST_INTERVAL_S:
            raise ConfigError(f"{key}.tasks.{name}.interval must be at least {LEAST_INTERVAL_S} s, was {task.interval}")
    if not (setting.watchdog.threshold == 0 or 0.01 <= setting.watchdog.threshold < math.inf):
        raise ConfigError(f"{key}.watchdog.threshold must be 0 or at least 0.01 s, was {setting.watchdog.threshold}")
    if not 0 <= setting.state.interval < math.inf:
        raise ConfigError(f"{key}.state.interval must be seconds of at least 0, was {setting.state.interval}")
    _check_warm_up(f"{key}.warm_up", setting)
    if not 0 <= setting.next_interval < math.inf:
        raise ConfigError(f"{key}.next_interval must be seconds of at least 0, was {setting.next_interval}")
    _check_keys(f"{key}.queues", setting.queues, tuple(OVERFLOWS))
    for name, queue in setting.queues.items():
        where = f"{key}.queues.{name}"
        if queue.overflow is not None and queue.overflow not in OVERFLOWS[name]:
            allowed = ", ".join(OVERFLOWS[name])
            raise ConfigError(f"{where}.overflow must be one of {allowed}, was {queue.overflow!r}")
        capacity = queue.capacity
        if capacity is not None and (capacity < 1 or capacity & (capacity - 1) or capacity > MAX_CAPACITY):
            raise ConfigError(f"{where}.capacity must be a power of two up to {MAX_CAPACITY}, was {capacity}")


def _check_tcp(key: str, setting: Setting, tcp: TcpSetting) -> None:
    for name, endpoint in tcp.serve.items():
        check_name(f"{key}.serve", name)
        check_endpoint(f"{key}.serve.{name}", endpoint, serve=True)
    if COMMANDS in tcp.serve and setting.ipc_command_publisher is None:
        raise ConfigError(f"{key}.serve.{COMMANDS}: there are no commands, since ipc_command_publisher is not set")
    names = (("allow", tcp.allow or []), ("peers", tcp.peers))
    for where, processes in names:
        for process_id in processes:
            try:
                check_process_id(process_id)
            except ValueError as error:
                raise ConfigError(f"{key}.{where}: {error}") from error
    for peer, endpoints in tcp.peers.items():
        for name, endpoint in endpoints.items():
            check_name(f"{key}.peers.{peer}", name)
            check_endpoint(f"{key}.peers.{peer}.{name}", endpoint, serve=False)
        if COMMANDS in endpoints and peer not in setting.ipc_command_subscribers:
            raise ConfigError(f"{key}.peers.{peer}.{COMMANDS}: {peer} is not among ipc_command_subscribers")


def _check_warm_up(key: str, setting: Setting) -> None:
    if not 0 <= setting.warm_up.seconds < math.inf:
        raise ConfigError(f"{key}.seconds must be at least 0, was {setting.warm_up.seconds}")
    channels = {name for stream in setting.streams for name in stream.subscribe_channels}
    channels |= {entry.channel for entry in setting.ipc_subscribers}
    carried = {str(Channel.parse(name)) for name in channels} & WARMING
    for channel, count in setting.warm_up.events.items():
        if channel not in carried:
            among = ", ".join(sorted(carried)) or "none"
            raise ConfigError(f"{key}.events: no stream or subscriber carries {channel!r}, but {among}")
        if count < 1:
            raise ConfigError(f"{key}.events.{channel} must be at least 1, was {count}")


def secrets_of(key: str, account: ApiSetting | WsApiSetting | StreamSetting, folder: Path) -> tuple[str, str]:
    """The key and secret of an account, resolved; empty where none is given.

    Raises
    ------
    ConfigError
        As `hftpy.common.secrets.resolve_secret`.
    """
    found: list[Secret | None] = [
        resolve_secret(f"{key}.{name}", getattr(account, name), folder) for name in ("api_key", "api_secret")
    ]
    return tuple(secret.reveal() if secret else "" for secret in found)  # type: ignore[return-value]
