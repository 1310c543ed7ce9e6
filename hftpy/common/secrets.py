"""Secrets by reference: from the environment or a private file, never shown."""

import logging
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftpy.errors import ConfigError

log = logging.getLogger(__name__)

SECRET_NAME = re.compile(r"secret|pass_?(w|phrase)|token|api_?key|private_?key|credential", re.IGNORECASE)
REDACTED = "***"


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


def redacted(value: Any, name: str = "") -> Any:
    """A value of JSON types as it may be shown: without what its name, or a name in it, calls a secret."""
    if isinstance(value, Secret) or (name and value is not None and SECRET_NAME.search(name)):
        return REDACTED
    if isinstance(value, Mapping):
        return {key: redacted(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(entry) for entry in value]
    return value


def check_secret(key: str, value: Any) -> None:
    """Refuse what can be no secret, before anything is looked up.

    Raises
    ------
    ConfigError
        If it is neither text nor a reference; the message does not show it.
    """
    match value:
        case None | str() | Secret():
            return
        case {"env": str(name)} | {"file": str(name)} if len(value) == 1 and name:
            return
    keys = f" (its keys were {', '.join(map(repr, value))})" if isinstance(value, dict) else ""
    raise ConfigError(f'{key} must be {{"env": NAME}}, {{"file": PATH}} or a string{keys}')


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
        If it is none of these, the variable is unset, the file is missing or readable by others, or either is empty.
    """
    check_secret(key, value)
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
            except UnicodeDecodeError:  # whose own message shows what it could not read
                raise ConfigError(f"{key}: {path} is no text") from None
            if not found:
                raise ConfigError(f"{key}: {path} is empty")
            return Secret(found)
    raise AssertionError(f"{key} was checked")  # by check_secret
