"""Secrets by reference: from the environment or a private file, never shown."""

import logging
import os
import stat
from pathlib import Path
from typing import Any

from hftpy.errors import ConfigError

log = logging.getLogger(__name__)


class Secret:
    """A value that prints as ``***``; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def resolve_secret(key: str, value: Any, folder: Path) -> Secret | None:
    """The secret that a config value refers to.

    Parameters
    ----------
    key
        The setting's path, for messages.
    value
        ``{"env": NAME}``, ``{"file": PATH}`` (a file that nobody else can read), a plain string (accepted with a
        warning; or a Secret made of one), or None.
    folder
        What a relative path starts from.

    Raises
    ------
    ConfigError
        If the variable is unset, the file is missing or readable by others, or either is empty.
    """
    match value:
        case None | "":
            return None
        case str() | Secret():
            log.warning('%s stands in the config as plain text: refer to it by {"env": …} or {"file": …}', key)
            return value if isinstance(value, Secret) else Secret(value)
        case {"env": str(name)} if len(value) == 1:
            found = os.environ.get(name)
            if found is None:
                raise ConfigError(f"{key}: the environment variable {name} is not set")
            if not found:
                raise ConfigError(f"{key}: the environment variable {name} is empty")
            return Secret(found)
        case {"file": str(name)} if len(value) == 1:
            path = folder / name
            try:
                mode = path.stat().st_mode
                if stat.S_IMODE(mode) & 0o077:
                    raise ConfigError(
                        f"{key}: {path} must be readable by its owner alone (0600), was {mode & 0o777:04o}"
                    )
                found = path.read_text().strip()
            except OSError as error:
                raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from error
            if not found:
                raise ConfigError(f"{key}: {path} is empty")
            return Secret(found)
    raise ConfigError(f'{key} must be {{"env": NAME}}, {{"file": PATH}} or a string')
