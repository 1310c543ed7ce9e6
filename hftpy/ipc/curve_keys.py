"""The CURVE keys of processes: a key pair each, and the public keys of the peers that they know.

| file | what |
|---|---|
| ``{folder}/NAME.key_secret`` | both keys of NAME, which belong to this host alone: 0600 |
| ``{folder}/NAME.key`` | its public key, to be given to its peers |
| ``{folder}/peers/NAME.key`` | the public key of a peer: whoever has its secret key is NAME, and may connect |

The files are those of CZMQ and of `zmq.auth`; a peer's name is the file's. Public keys are no secret, but who may write
the folder decides who may connect: it must be ours, and nobody else's to write.

Source: https://rfc.zeromq.org/spec/26/ (CurveZMQ), https://rfc.zeromq.org/spec/32/ (Z85).
"""

import hashlib
import logging
import os
import secrets
import stat
import struct
import threading
from collections.abc import Iterable
from pathlib import Path

import zmq
from zmq.utils import z85

from hftcore.topic import check_process_id
from hftpy.common.log import LimitedLog
from hftpy.common.paths import make_private_folder
from hftpy.common.secrets import Secret
from hftpy.errors import ConfigError

logger = logging.getLogger(__name__)

SECRET_SUFFIX, PUBLIC_SUFFIX = ".key_secret", ".key"
PEERS_FOLDER = "peers"
KEY_CHARACTERS = 40
_MAX_FILE_BYTES = 4096

# (device, inode, size, time of change) of each file
_Seen = dict[str, tuple[int, int, int, int]]


def default_folder() -> Path:
    """Where keys are looked for: ``$HFT_KEYS``, else ``hft/keys`` in the user's configuration folder."""
    chosen = os.environ.get("HFT_KEYS")
    if chosen:
        return Path(os.path.abspath(chosen))
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hft" / "keys"


def fingerprint(public_key: bytes) -> str:
    """A short name of a public key (z85), for logs and for people to compare: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def check_public_key(text: str | bytes) -> bytes:
    """A public key in z85.

    Raises
    ------
    ValueError
        If it is none.
    """
    key = text.encode() if isinstance(text, str) else text
    if len(key) == KEY_CHARACTERS:
        try:
            if z85.encode(z85.decode(key)) == key:
                return key
        except (KeyError, ValueError, struct.error):
            pass  # said below
    raise ValueError(f"a public key must have {KEY_CHARACTERS} characters of z85, was {key.decode(errors='replace')!r}")


class KeyPair:
    """Who a process is: its name, its public key, and its secret key, which nothing shows."""

    __slots__ = ("name", "public_key", "secret_key")

    def __init__(self, name: str, public_key: bytes, secret_key: Secret) -> None:
        self.name = name
        self.public_key = public_key
        self.secret_key = secret_key

    def __repr__(self) -> str:
        return f"KeyPair({self.name!r}, fingerprint {fingerprint(self.public_key)})"


def new_key_pair(name: str, folder: Path | None = None, *, replace: bool = False) -> KeyPair:
    """Make a key pair and write its two files, each at once or not at all.

    Raises
    ------
    ConfigError
        If there is one of this name and it is not to be replaced, or a file cannot be written.
    RootError
        If the folder cannot be used.
    TypeError, ValueError
        If the name is no process id.
    """
    check_process_id(name)
    folder = folder or default_folder()
    make_private_folder(folder)
    public, secret = zmq.curve_keypair()
    private = f'metadata\n    name = "{name}"\ncurve\n    public-key = "{public.decode()}"\n'
    whole = f'{private}    secret-key = "{secret.decode()}"\n'
    _write(folder / f"{name}{SECRET_SUFFIX}", whole, 0o600, replace)
    _write(folder / f"{name}{PUBLIC_SUFFIX}", private, 0o644, True)
    return KeyPair(name, public, Secret(secret.decode()))


def load_key_pair(name: str, folder: Path | None = None) -> KeyPair:
    """The key pair of a process.

    Raises
    ------
    ConfigError
        If there is none, it is not ours alone, or it is no key pair; the message names the file and no key.
    TypeError, ValueError
        If the name is no process id.
    """
    path = (folder or default_folder()) / f"{check_process_id(name)}{SECRET_SUFFIX}"
    try:
        fields = _read(path, 0o077)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: {name} has no keys, and tcp needs them: make them by `hftpy keys new {name}`"
        ) from error
    public, secret = fields.get("public-key", ""), fields.get("secret-key", "")
    try:
        key = check_public_key(public)
        is_pair = zmq.curve_public(secret.encode()) == key
    except (ValueError, zmq.ZMQError):
        is_pair = False
    if not is_pair:
        raise ConfigError(f"{path} must hold a public-key and the secret-key that belongs to it")
    return KeyPair(name, key, Secret(secret))


def add_peer(name: str, public_key: str | bytes, folder: Path | None = None) -> Path:
    """Let a peer be known by its public key, instead of the one before; returns the file.

    Raises
    ------
    ConfigError
        If another peer has this key, or the file cannot be written.
    RootError
        If the folder cannot be used.
    TypeError, ValueError
        If the name is no process id, or the key is none.
    """
    check_process_id(name)
    key = check_public_key(public_key)
    peers = (folder or default_folder()) / PEERS_FOLDER
    make_private_folder(peers)
    for other, known in read_peers(peers).items():
        if known == key and other != name:
            raise ConfigError(f"the key with fingerprint {fingerprint(key)} is known already, as that of {other}")
    path = peers / f"{name}{PUBLIC_SUFFIX}"
    _write(path, f'metadata\n    name = "{name}"\ncurve\n    public-key = "{key.decode()}"\n', 0o644, True)
    return path


def read_public_key(path: Path) -> bytes:
    """The public key in a file.

    Raises
    ------
    ConfigError
        If it cannot be read, others may write it, or it holds none.
    """
    try:
        return check_public_key(_read(path, 0o022).get("public-key", ""))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} cannot be read: there is no such file") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_peers(peers: Path, log: LimitedLog | None = None) -> dict[str, bytes]:
    """The public keys in a folder by name. A file that cannot be used, and a key that stands there twice, is nobody's;
    `log` is told so."""
    found: dict[str, bytes] = {}
    owners: dict[bytes, list[str]] = {}
    for path in sorted(peers.glob(f"*{PUBLIC_SUFFIX}")) if _is_safe(peers, log) else ():
        try:
            name = check_process_id(path.name.removesuffix(PUBLIC_SUFFIX))
            found[name] = read_public_key(path)
            owners.setdefault(found[name], []).append(name)
        except (ConfigError, ValueError) as error:
            if log is not None:
                log.warning(str(path), "a key is left out: %s", error)
    for key, names in owners.items():
        if len(names) > 1:
            for name in names:
                del found[name]
            if log is not None:
                log.warning(str(peers), "%s have the same key (%s), and are left out", names, fingerprint(key))
    return found


def _is_safe(peers: Path, log: LimitedLog | None) -> bool:
    """Whether nobody but us (and the system's administrator) may write a folder of peers, and the one it is in."""
    for folder in (peers, peers.parent):
        try:
            found = folder.lstat()
        except FileNotFoundError:
            return False
        why = ""
        if not stat.S_ISDIR(found.st_mode):
            why = "is no folder"
        elif found.st_uid not in (os.getuid(), 0):
            why = f"belongs to user {found.st_uid}"
        elif found.st_mode & 0o022:
            why = f"is writable by others (mode {stat.S_IMODE(found.st_mode):03o})"
        if why:
            if log is not None:
                log.warning(str(folder), "nobody may connect: %s %s", folder, why)
            return False
    return True


class KnownKeys:
    """The peers of a process: who may connect to it, and the keys of those that it connects to.

    The folder is looked at again by `refresh`; a file that cannot be used lets nobody in.

    Parameters
    ----------
    folder
        The folder of keys; its folder ``peers`` need not exist yet.
    allow
        Only these names; None: all that stand there.

    Raises
    ------
    TypeError, ValueError
        If a name is no process id.

    Thread safety: any thread may ask and refresh.
    """

    def __init__(self, folder: Path, allow: Iterable[str] | None = None) -> None:
        self._peers = folder / PEERS_FOLDER
        self._allow = None if allow is None else frozenset(check_process_id(name) for name in allow)
        self._log = LimitedLog(logger)
        self._refreshing = threading.Lock()  # who finds nothing new must find it read
        self._seen: _Seen = {}
        self._by_name: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self.refresh()

    @property
    def folder(self) -> Path:
        """Where the public keys are."""
        return self._peers

    @property
    def names(self) -> set[str]:
        """Who may connect."""
        return set(self._names.values())

    def name_of(self, public_key: bytes) -> str | None:
        """Who may connect by this key (z85); None: nobody."""
        return self._names.get(public_key)

    def key_of(self, name: str) -> bytes | None:
        """The public key of a peer, whether it may connect or not."""
        return self._by_name.get(name)

    def describe(self, public_key: bytes) -> str:
        """A key in words, for logs."""
        owner = next((name for name, key in self._by_name.items() if key == public_key), None)
        of = "an unknown key" if owner is None else f"the key of {owner}, who is not allowed"
        return f"{of} (fingerprint {fingerprint(public_key)})"

    def refresh(self) -> bool:
        """Read the folder again if it has changed; returns whether it has."""
        with self._refreshing:
            seen = self._look()
            if seen == self._seen:
                return False
            self._by_name = read_peers(self._peers, self._log)
            allowed = self._allow
            self._names = {key: name for name, key in self._by_name.items() if allowed is None or name in allowed}
            self._seen = seen
            return True

    def _look(self) -> _Seen:
        seen: _Seen = {}
        try:
            for name, folder in ((".", self._peers), ("..", self._peers.parent)):
                own = folder.lstat()
                seen[name] = (own.st_dev, own.st_ino, own.st_mode, own.st_uid)
            with os.scandir(self._peers) as entries:
                for entry in entries:
                    if entry.name.endswith(PUBLIC_SUFFIX):
                        found = entry.stat(follow_symlinks=False)
                        seen[entry.name] = (found.st_ino, found.st_mode, found.st_size, found.st_ctime_ns)
        except FileNotFoundError:
            seen.clear()  # a file that went meanwhile: its folder will look different the next time
        except OSError as error:
            self._log.warning("look", "%s cannot be read: %s", self._peers, error)
            seen.clear()
        return seen


def _read(path: Path, forbidden: int) -> dict[str, str]:
    """The fields of a key file that is ours; raises FileNotFoundError, else ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} must be a file")
        if found.st_uid not in (os.getuid(), 0):
            raise ConfigError(f"{path} belongs to user {found.st_uid}, not to {os.getuid()}")
        if found.st_mode & forbidden:
            wanted = "readable by its owner alone (0600)" if forbidden & 0o044 else "writable by its owner alone"
            raise ConfigError(f"{path} must be {wanted}, was {stat.S_IMODE(found.st_mode):04o}")
        text = os.read(descriptor, _MAX_FILE_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)
    fields = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            fields[key.strip()] = value.strip().strip("\"'")
    return fields


def _write(path: Path, text: str, mode: int, replace: bool) -> None:
    """Write a file that nobody ever sees in part, or with another mode."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(new, path)
            else:
                os.link(new, path)  # fails where there is one
        finally:
            if os.path.lexists(new):
                os.unlink(new)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists, and is not replaced") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
