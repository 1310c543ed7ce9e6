"""Base URLs of settings such as `api_host`: checked where they are given, with a suggestion."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from hftpy.errors import ConfigError

REST_SCHEMES = ("http", "https")
_PASSWORD = re.compile(r":[^:/@]*@")
_SWAPPED = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}


def check_base_url(key: str, value: Any, schemes: Sequence[str], *, port: bool = False, query: bool = False) -> str:
    """A base URL as it may be connected to, its scheme in lower case.

    Parameters
    ----------
    key
        The setting's name, for messages.
    value
        What was given.
    schemes
        Which schemes it may have, the usual one first.
    port
        Whether it must name a port and may have no path.
    query
        Whether it is a whole address, which may go on behind its path.

    Raises
    ------
    ConfigError
        If it is none.
    """
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be a URL that begins with {wanted}, was {value!r}")
    scheme, mark, rest = value.partition("://")
    if not mark or scheme.lower() not in schemes:
        swapped = _SWAPPED.get(scheme.lower(), "") if mark else ""
        better = swapped if swapped in schemes else schemes[0]
        suggestion = f"{better}://{rest if mark else value.removeprefix('//')}"
        usable = not _complaint(suggestion, port, query)
        raise ConfigError(
            f"{key} must begin with {wanted}, was {_shown(value)}"
            + (f"; did you mean {_shown(suggestion)}?" if usable else "")
        )
    if complaint := _complaint(value, port, query):
        form = f"{schemes[0]}://HOST:PORT" + ("" if port else "/PATH, port and path as needed")
        raise ConfigError(f"{key} must be {form}, was {_shown(value)}: {complaint}")
    return f"{scheme.lower()}://{rest}"


def _shown(url: str) -> str:
    """Without a password."""
    return repr(_PASSWORD.sub(":…@", url))


def _complaint(url: str, port: bool, query: bool) -> str:
    """What is wrong with a URL; empty: nothing."""
    if any(char.isspace() or not char.isprintable() for char in url):
        return "it has a space, or a character that cannot be seen"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        # What a socket does with a name: labels of at most 63 characters.
        host.encode("idna")
    except ValueError as error:  # UnicodeError is one
        return str(error)
    if not host:
        return "there is no host"
    if not query and (parts.query or parts.fragment or url.endswith(("?", "#"))):
        return "it goes on behind its path, which is appended to"
    return _complaint_of_port(parts, port)


def _complaint_of_port(parts: SplitResult, needed: bool) -> str:
    try:
        number = parts.port
    except ValueError:
        return f"the port must be a number from 1 to 65535, was {parts.netloc.rpartition(':')[2]!r}"
    if number == 0 or (number is None and (needed or parts.netloc.endswith(":"))):
        return "there is no port" if number is None else "the port must be a number from 1 to 65535, was 0"
    if needed and (parts.path.strip("/") or parts.username):
        return "it has more than host and port"
    return ""
