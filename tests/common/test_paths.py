"""The root folder: which one is chosen, and which ones are refused."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from hftpy.common import paths
from hftpy.common.paths import MAX_SOCKET_PATH_BYTES, get_root, make_private_folder, set_root, socket_path, use_root
from hftpy.errors import HftError, RootError


@pytest.fixture(autouse=True)
def no_root_chosen(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "_root", None)
    monkeypatch.setenv("HFT_ROOT", "")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    real = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda self, **k: str(self) != "/hft" and real(self, **k))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_precedence(tmp_path, monkeypatch):
    assert get_root() == tmp_path / "temp" / f"hft-{os.getuid()}"
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert get_root() == tmp_path / "runtime" / "hft"
    monkeypatch.setenv("HFT_ROOT", str(tmp_path / "named"))
    assert get_root() == tmp_path / "named"
    set_root(tmp_path / "set")
    assert get_root() == tmp_path / "set"
    assert os.environ["HFT_ROOT"] == str(tmp_path / "set")  # for the processes that we start
    set_root(None)
    assert "HFT_ROOT" not in os.environ
    assert get_root() == tmp_path / "runtime" / "hft"


def test_a_runtime_folder_that_is_not_there_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    assert get_root() == tmp_path / "temp" / f"hft-{os.getuid()}"


def test_folders_are_private(tmp_path):
    old = os.umask(0)
    try:
        set_root(tmp_path / "root")
        path = socket_path(get_root(), "command/mm1.ipc")
    finally:
        os.umask(old)
    assert path == tmp_path / "root" / "zmq" / "command" / "mm1.ipc"
    assert [mode(folder) for folder in (path.parent, path.parent.parent, tmp_path / "root")] == [0o700] * 3
    assert not path.exists()


def test_a_relative_root_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    set_root("here")
    assert get_root() == tmp_path / "here"


def test_symlink_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(RootError, match="must not be a symbolic link"):
        set_root(tmp_path / "link")
    with pytest.raises(RootError, match="link"):
        make_private_folder(tmp_path / "link")


def test_dangling_symlink_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RootError, match="link"):
        set_root(tmp_path / "link")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("bits", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused(tmp_path, bits):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(bits)
    with pytest.raises(RootError, match=rf"writable by others \(mode {bits:03o}\)"):
        set_root(tmp_path / "open")


def test_another_users_folder_is_refused(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir(mode=0o700)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(RootError, match=f"belongs to user {mine}, not to {mine + 1}"):
        set_root(tmp_path / "theirs")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RootError, match="cannot be used: File exists"):
        set_root(tmp_path / "file")


def test_a_refused_root_leaves_the_old_one(tmp_path):
    set_root(tmp_path / "good")
    (tmp_path / "file").write_text("")
    with pytest.raises(RootError):
        set_root(tmp_path / "file")
    assert get_root() == tmp_path / "good"


def test_hft_root_that_cannot_be_used_is_an_error_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HFT_ROOT", str(tmp_path / "file" / "below"))
    with pytest.raises(RootError) as raised:
        get_root()
    assert isinstance(raised.value, HftError) and isinstance(raised.value, OSError)


def test_socket_path_is_measured_in_bytes(tmp_path):
    root = tmp_path / "r"
    set_root(root)
    limit = MAX_SOCKET_PATH_BYTES
    room = MAX_SOCKET_PATH_BYTES - len(os.fsencode(root / "zmq")) - 1
    name = "x" * (room - 4) + ".ipc"
    assert len(os.fsencode(socket_path(root, name))) == MAX_SOCKET_PATH_BYTES
    with pytest.raises(RootError, match=rf"at most {limit} bytes, was .* \({limit + 1}\)"):
        socket_path(root, "x" + name)
    with pytest.raises(RootError, match=f"at most {limit} bytes, was "):
        socket_path(root, "é" + name[1:])


def test_no_socket_path_that_is_allowed_is_refused_by_the_system(short_folder):
    path = socket_path(short_folder, "x" * (MAX_SOCKET_PATH_BYTES - len(os.fsencode(short_folder / "zmq")) - 1))
    with socket.socket(socket.AF_UNIX) as longest:
        longest.bind(os.fspath(path))
    with socket.socket(socket.AF_UNIX) as longer, pytest.raises(OSError, match="too long"):
        longer.bind(os.fspath(path) + "y")


def test_who_only_looks_creates_no_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HFT_ROOT", str(tmp_path / "named"))
    for path in (None, tmp_path / "given"):
        shown = path or tmp_path / "named"
        with pytest.raises(RootError, match=rf"root folder {shown} does not exist: no process has run under it"):
            use_root(path)
        assert not shown.exists()
    (tmp_path / "given").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RootError):
        use_root(tmp_path / "given")
    assert not (tmp_path / "nowhere").exists()
    get_root()
    use_root(None)
    assert get_root() == tmp_path / "named"
