"""Where `hftpy send` and `hftpy tail` meet processes over tcp: as their options say, or the config of the processes."""

from collections.abc import Mapping
from pathlib import Path

from hftcore.topic import target_matches
from hftpy.errors import ConfigError
from hftpy.ipc import TcpEndpoints
from hftpy.ipc.tcp import COMMANDS, check_endpoint
from hftpy.service.config import ServiceConfig, load_config, suggestion

LOOPBACK = "127.0.0.1"


def sender_endpoints(
    sender: str, target: str, *, serve: str | None, config: Path | None, keys: Path | None
) -> TcpEndpoints | None:
    """What a sender of commands serves over tcp: a target is who connects. None: nothing.

    Parameters
    ----------
    sender, target
        Whose key we show, and whom the command is for. Of one process, nobody else may connect.
    serve
        ``tcp://HOST:PORT`` of ours; None: where the config says that the target looks for us.
    config
        The target's; None: it is not known.
    keys
        The folder of keys; None: that of the config, else the default one.

    Raises
    ------
    ConfigError
        If the config names no such target, the targets look for us at several endpoints, a key is not known, or an
        endpoint is none.
    """
    if config is not None:
        targets = _targets(config, target)
        looked_for = {
            endpoint: found
            for found in targets
            if (endpoint := _peers(found).get(sender, {}).get(COMMANDS)) is not None
        }
        if serve is None and len(looked_for) > 1:
            raise ConfigError(f"config {config}: {sender} is looked for at {' and '.join(looked_for)}: give --serve")
        if serve is None and looked_for:
            serve = next(iter(looked_for))
        keys = keys or _folder(targets)
    if serve is None:
        return None
    is_one = not target.endswith("*")
    tcp = TcpEndpoints(sender, folder=keys, allow=[target] if is_one else None, serve={COMMANDS: serve})
    if is_one and tcp.key_of(target) is None:
        raise ConfigError(f"the public key of {target} is not known, and tcp needs it: add it by `hftpy keys add`")
    return tcp


def watched_endpoints(
    watcher: str, names: list[str], *, peers: list[str], config: Path | None, keys: Path | None
) -> tuple[TcpEndpoints | None, list[str]]:
    """Where processes that are to be watched serve their commands over tcp, and their names.

    Parameters
    ----------
    watcher
        Whose key we show.
    names
        Which processes of the config; all if there are none.
    peers
        ``NAME=tcp://HOST:PORT``.
    config, keys
        As of `sender_endpoints`.

    Raises
    ------
    ConfigError
        As `sender_endpoints`; or if one of `peers` is not of that form.
    """
    found: dict[str, str] = {}
    if config is not None:
        sections = load_config(config)
        for section in sections:
            endpoint = _served(section)
            if endpoint is not None and (not names or section.process_id in names):
                found[section.process_id] = endpoint
        keys = keys or _folder(sections)
    for peer in peers:
        name, mark, endpoint = peer.partition("=")
        if not mark:
            raise ConfigError(f"--peer must be NAME=tcp://HOST:PORT, was {peer!r}")
        found[name] = endpoint
    if not found:
        return None, []
    endpoints = {name: {COMMANDS: endpoint} for name, endpoint in found.items()}
    return TcpEndpoints(watcher, folder=keys, peers=endpoints), list(found)


def _targets(path: Path, target: str) -> list[ServiceConfig]:
    configs = load_config(path)
    found = [config for config in configs if target_matches(target, config.process_id)]
    if not found:
        raise ConfigError(
            f"config {path} has no process {target}: {suggestion(target, [config.process_id for config in configs])}"
        )
    return found


def _peers(config: ServiceConfig) -> Mapping[str, Mapping[str, str]]:
    tcp = config.setting.ipc_tcp
    return {} if tcp is None else tcp.peers


def _served(config: ServiceConfig) -> str | None:
    """Where a process serves its commands, for whoever connects from the host that its config is on."""
    tcp = config.setting.ipc_tcp
    endpoint = None if tcp is None else tcp.serve.get(COMMANDS)
    if endpoint is None:
        return None
    endpoint = check_endpoint(COMMANDS, endpoint, serve=True).replace("//0.0.0.0:", f"//{LOOPBACK}:")
    endpoint = endpoint.replace("//[::]:", "//[::1]:")
    if endpoint.endswith(":0"):
        key = f"{config.section}.setting.ipc_tcp.serve.{COMMANDS}"
        raise ConfigError(f"{key} lets the system choose the port: give --peer")
    return endpoint


def _folder(configs: list[ServiceConfig]) -> Path | None:
    """The folder of keys that the first of them names."""
    named = ((config, config.setting.ipc_tcp) for config in configs)
    return next((config.folder / tcp.keys for config, tcp in named if tcp is not None and tcp.keys is not None), None)
