"""``hftpy keys``: make the key pair of a process, and say which peers it knows. No secret key is ever shown."""

import json
from pathlib import Path
from typing import TextIO

from hftpy.errors import ConfigError
from hftpy.ipc.curve_keys import (
    PEERS_FOLDER,
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    add_peer,
    check_public_key,
    default_folder,
    fingerprint,
    load_key_pair,
    new_key_pair,
    read_peers,
    read_public_key,
)


def new(name: str, folder: Path | None, replace: bool, out: TextIO) -> None:
    """Make a key pair and print its public key."""
    folder = folder or default_folder()
    pair = new_key_pair(name, folder, replace=replace)
    public = folder / f"{name}{PUBLIC_SUFFIX}"
    print(f"{name} {pair.public_key.decode()} fingerprint {fingerprint(pair.public_key)}", file=out)
    print(f"The secret key is in {folder / f'{name}{SECRET_SUFFIX}'}: it must not leave this host.", file=out)
    print(f"Its peers need the public key ({public}): hftpy keys add {name} -- '{pair.public_key.decode()}'", file=out)


def add(name: str, key: str | None, folder: Path | None, out: TextIO) -> None:
    """Let a peer be known: by its public key, the file of it, or the one of that name in the folder."""
    folder = folder or default_folder()
    if key is None:
        public = read_public_key(folder / f"{name}{PUBLIC_SUFFIX}")
    else:
        try:
            public = check_public_key(key)
        except ValueError:
            if not Path(key).is_file():
                raise
            public = read_public_key(Path(key))
    path = add_peer(name, public, folder)
    print(f"{name} fingerprint {fingerprint(public)} in {path}", file=out)


def remove(name: str, folder: Path | None, out: TextIO) -> None:
    """Let a peer be known no more: processes that run cut its connections within a second or so."""
    path = (folder or default_folder()) / PEERS_FOLDER / f"{name}{PUBLIC_SUFFIX}"
    try:
        path.unlink()
    except FileNotFoundError:
        raise ConfigError(f"{name} is not known: there is no {path}") from None
    print(f"{name} is not known any more", file=out)


def show(folder: Path | None, as_json: bool, out: TextIO) -> None:
    """List our key pairs and the peers."""
    folder = folder or default_folder()
    rows = []
    for path in sorted(folder.glob(f"*{SECRET_SUFFIX}")):
        pair = load_key_pair(path.name.removesuffix(SECRET_SUFFIX), folder)
        rows.append(("own", pair.name, pair.public_key))
    rows += [("peer", name, key) for name, key in read_peers(folder / PEERS_FOLDER).items()]
    if as_json:
        found = [
            {"kind": kind, "name": name, "public_key": key.decode(), "fingerprint": fingerprint(key)}
            for kind, name, key in rows
        ]
        print(json.dumps(found), file=out)
        return
    if not rows:
        print(f"no keys in {folder}: make a pair by hftpy keys new NAME", file=out)
    width = max((len(name) for _, name, _ in rows), default=0)
    for kind, name, key in rows:
        print(f"{kind:4} {name:{width}} {key.decode()} {fingerprint(key)}", file=out)
