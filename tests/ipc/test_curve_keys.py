"""Key files: who may read them, what is refused, and that no secret is shown."""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth

from hftpy.errors import ConfigError, RootError
from hftpy.ipc import curve_keys
from hftpy.ipc.curve_keys import (
    KnownKeys,
    add_peer,
    check_public_key,
    default_folder,
    fingerprint,
    load_key_pair,
    new_key_pair,
    read_public_key,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_new_pair(folder: Path) -> None:
    os.umask(os.umask(0o022))
    made = new_key_pair("mm1", folder)
    secret = folder / "mm1.key_secret"
    assert secret.stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["mm1.key", "mm1.key_secret"]
    loaded = load_key_pair("mm1", folder)
    assert loaded.public_key == made.public_key and loaded.secret_key.reveal() == made.secret_key.reveal()
    assert zmq.curve_public(made.secret_key.reveal().encode()) == made.public_key
    assert read_public_key(folder / "mm1.key") == made.public_key
    assert made.secret_key.reveal() not in (folder / "mm1.key").read_text()
    for text in (repr(made), str(made), repr(loaded.secret_key), f"{made.secret_key}"):
        assert made.secret_key.reveal() not in text
    # The files are those of pyzmq's own tools, both ways.
    assert zmq.auth.load_certificate(secret) == (made.public_key, made.secret_key.reveal().encode())
    zmq.auth.create_certificates(folder, "other")
    (folder / "other.key_secret").chmod(0o600)
    assert load_key_pair("other", folder).public_key == read_public_key(folder / "other.key")


def test_a_pair_is_not_replaced_unless_told(folder: Path) -> None:
    first = new_key_pair("mm1", folder)
    with pytest.raises(ConfigError, match=r"mm1.key_secret exists, and is not replaced"):
        new_key_pair("mm1", folder)
    assert load_key_pair("mm1", folder).public_key == first.public_key == read_public_key(folder / "mm1.key")
    second = new_key_pair("mm1", folder, replace=True)
    assert second.public_key != first.public_key
    assert load_key_pair("mm1", folder).public_key == second.public_key == read_public_key(folder / "mm1.key")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    for bad in ("", "a b", "../x", "*"):
        with pytest.raises(ValueError):
            new_key_pair(bad, folder)


def test_a_secret_that_others_can_read_is_refused(folder: Path) -> None:
    secret = new_key_pair("mm1", folder).secret_key.reveal()
    path = folder / "mm1.key_secret"
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigError, match=r"must be readable by its owner alone \(0600\), was 0\d\d\d") as caught:
            load_key_pair("mm1", folder)
        assert secret not in str(caught.value)
    path.chmod(0o600)
    moved = path.rename(folder / "elsewhere")
    path.symlink_to(moved)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_key_pair("mm1", folder)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="must be a file"):
        load_key_pair("mm1", folder)
    path.unlink()
    with pytest.raises(ConfigError, match="mm1 has no keys, and tcp needs them: make them by `hftpy keys new mm1`"):
        load_key_pair("mm1", folder)


def test_what_is_no_pair_is_refused_and_not_shown(folder: Path) -> None:
    one, other = new_key_pair("a", folder), new_key_pair("b", folder)
    path = folder / "a.key_secret"
    good = path.read_text()
    for text in (
        good.replace(one.public_key.decode(), other.public_key.decode()),
        good.replace(one.secret_key.reveal(), "x" * 39),
        good.replace("secret-key", "secret"),
        "",
        "\0" * 100,
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match="must hold a public-key and the secret-key that belongs to it") as caught:
            load_key_pair("a", folder)
        assert one.secret_key.reveal() not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "x", "x" * 41, "\\" * 40, "é" * 40, " " * 40, "%" * 40, b"\xff" * 40])
def test_what_is_no_public_key(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="a public key must have 40 characters of z85"):
        check_public_key(text)


def test_known_keys(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = {name: new_key_pair(name, folder).public_key for name in ("a", "b", "c", "d")}
    known = KnownKeys(folder)
    assert known.name_of(keys["a"]) is None and not known.refresh()
    path = add_peer("a", keys["a"], folder)
    assert known.refresh() and known.name_of(keys["a"]) == "a" and known.key_of("a") == keys["a"]
    assert not known.refresh()
    with pytest.raises(ConfigError, match="is known already, as that of a"):
        add_peer("b", keys["a"], folder)
    add_peer("b", keys["b"].decode(), folder)
    assert known.refresh() and known.name_of(keys["b"]) == "b"
    # Another key of the same name: the old one is nobody's.
    add_peer("b", keys["c"], folder)
    assert known.refresh() and known.name_of(keys["b"]) is None and known.name_of(keys["c"]) == "b"
    path.unlink()
    assert known.refresh() and known.name_of(keys["a"]) is None
    assert f"an unknown key (fingerprint {fingerprint(keys['a'])})" == known.describe(keys["a"])
    # A file that cannot be used lets nobody in, and takes nobody else with it.
    add_peer("a", keys["a"], folder)
    (folder / "peers" / "broken.key").write_text("public-key = short")
    (folder / "peers" / "no name.key").write_text(f'public-key = "{keys["d"].decode()}"')
    caplog.set_level(logging.WARNING)
    assert known.refresh()
    assert known.name_of(keys["a"]) == "a" and known.name_of(keys["d"]) is None
    assert "broken.key" in caplog.text and "no name" in caplog.text
    # A key under two names is nobody's.
    (folder / "peers" / "z.key").write_text((folder / "peers" / "a.key").read_text())
    assert known.refresh() and known.name_of(keys["a"]) is None
    (folder / "peers" / "z.key").unlink()
    # What others may write is not believed.
    path.chmod(0o666)
    assert known.refresh() and known.name_of(keys["a"]) is None and known.name_of(keys["c"]) == "b"
    path.chmod(0o644)
    assert known.refresh() and known.name_of(keys["a"]) == "a"
    (folder / "peers").chmod(0o777)
    assert known.refresh() and known.name_of(keys["a"]) is None
    with pytest.raises(RootError):
        add_peer("d", keys["d"], folder)
    (folder / "peers").chmod(0o700)
    assert known.refresh() and known.name_of(keys["a"]) == "a"
    folder.chmod(0o770)
    assert known.refresh() and known.name_of(keys["a"]) is None and "is writable by others" in caplog.text
    folder.chmod(0o700)
    some = KnownKeys(folder, ["b"])
    assert some.name_of(keys["c"]) == "b" and some.name_of(keys["a"]) is None and some.key_of("a") == keys["a"]
    assert some.describe(keys["a"]) == f"the key of a, who is not allowed (fingerprint {fingerprint(keys['a'])})"


def test_where_keys_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HFT_KEYS", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("HFT_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    assert default_folder() == tmp_path / "c" / "hft" / "keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".config" / "hft" / "keys"


def test_whoever_finds_nothing_new_finds_it_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads refresh: the one that comes second waits until the first has read what both have seen."""
    known = KnownKeys(folder)
    add_peer("b", new_key_pair("b", folder).public_key, folder)
    reading, go_on = threading.Event(), threading.Event()
    read_peers = curve_keys.read_peers

    def slowly(*args: Any) -> dict[str, bytes]:
        reading.set()
        assert go_on.wait(30)
        return read_peers(*args)

    monkeypatch.setattr(curve_keys, "read_peers", slowly)
    first = threading.Thread(target=known.refresh)
    first.start()
    assert reading.wait(30)
    threading.Timer(0.05, go_on.set).start()
    known.refresh()
    assert known.key_of("b") is not None and known.names == {"b"}
    first.join(30)
