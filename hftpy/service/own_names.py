"""What a service keeps under names of its own, which a subclass must not take for something else.

`self._status = None` in a strategy would otherwise stop the status file from being written, without a word.
"""

from collections.abc import Mapping
from typing import Any

from hftpy.errors import ConfigError

# What a subclass may replace, and what the framework itself sets anew while `on_setup` runs: `pause`, `update_params`
# and the like, a source that fails.
FREE = frozenset({
    "params", "native_strategy", "_failure", "_lifecycle", "_paused", "_pause_told", "_changes", "_params_updates",
    "_params_refused", "_state_saves", "_state_failures", "_state_saved_ns", "_rounds_task",
})  # fmt: skip
# Properties: an attribute of a class in their place would be taken for them.
READ_ONLY = frozenset({"state", "paused", "warm", "ipc_command", "market_idle"})


def check_class(kind: type) -> None:
    """Refuse a class that has an attribute in place of a property of the service.

    Raises
    ------
    TypeError
        If it has.
    """
    for name in sorted(READ_ONLY & vars(kind).keys()):
        raise TypeError(f"{kind.__name__}.{name}: every service has a {name} of its own, choose another name")


def check_instance(service: object, before: Mapping[str, Any]) -> None:
    """Refuse a service whose subclass has replaced one of the attributes that it had `before`.

    Raises
    ------
    ConfigError
        If it has; the message names it.
    """
    now = vars(service)
    taken = [name for name, value in before.items() if name not in FREE and now.get(name) is not value]
    for name in taken:
        now[name] = before[name]  # the service still has to stop in order
    if taken:
        raise ConfigError(
            f"{type(service).__name__} sets self.{taken[0]}, which every service has of its own: choose another name"
        )
