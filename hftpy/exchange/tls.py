"""How ``wss://`` connections are checked: authorities, a certificate of our own, the name that the venue must have."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from hftpy.errors import ConfigError

KEYS = ("ca_file", "cert_file", "key_file", "server_name", "verify")

logger = logging.getLogger("hftpy.exchange")


@dataclass(frozen=True, slots=True)
class TlsContext:
    """What both clients need: the context, and the name for SNI and the certificate (empty: the URL's host)."""

    context: ssl.SSLContext
    server_name: str = ""


def make_tls(value: Mapping[str, Any] | None) -> TlsContext | None:
    """Read the setting `tls`.

    Parameters
    ----------
    value
        ``ca_file``: authorities (PEM) that are trusted in place of the system's. ``cert_file`` and ``key_file``: our
        own certificate, where the venue asks for one. ``server_name``: the name that is asked for (SNI) and must stand
        in the certificate, instead of the URL's host. ``verify``: False trusts anybody, and is logged as a warning.
        None or empty: the system's authorities.

    Raises
    ------
    ConfigError
        If a key is unknown, a value is of the wrong type, or a file cannot be read or is no such thing.
    """
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(f"tls must be a mapping, was {value!r}")
    for key in value:
        if key not in KEYS:
            raise ConfigError(f"tls must have no key but {', '.join(KEYS)}, had {key!r}")
    verify = value.get("verify", True)
    if not isinstance(verify, bool):
        raise ConfigError(f"tls.verify must be true or false, was {verify!r}")
    ca_file, cert_file, key_file = (_path(value, name) for name in ("ca_file", "cert_file", "key_file"))
    server_name = value.get("server_name") or ""
    if not isinstance(server_name, str):
        raise ConfigError(f"tls.server_name must be text, was {server_name!r}")
    if key_file and not cert_file:
        raise ConfigError("tls.cert_file must be given where key_file is")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls.ca_file {ca_file!r} cannot be used: {error}") from error
    if cert_file:
        try:
            # Never a prompt on the terminal: a key with a passphrase is refused.
            context.load_cert_chain(cert_file, key_file or None, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            files = f"{cert_file!r}" + (f" with key_file {key_file!r}" if key_file else "")
            raise ConfigError(f"tls.cert_file {files} cannot be used: {error}") from error
    if not verify:
        logger.warning("tls.verify is false: nothing proves that the venue is who it says it is")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return TlsContext(context, server_name)


def _path(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if found is None or found == "":
        return ""
    if not isinstance(found, str | PathLike):
        raise ConfigError(f"tls.{name} must be a path, was {found!r}")
    return str(fspath(found))


def _no_password() -> str:
    raise ValueError("the key has a passphrase")
