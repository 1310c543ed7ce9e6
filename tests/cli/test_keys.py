"""``hftpy keys``: pairs are made and peers known, and no secret key is shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hftpy.cli.app import app
from hftpy.errors import ConfigError
from hftpy.ipc.curve_keys import load_key_pair, read_peers


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["keys", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "keys"
    monkeypatch.setenv("HFT_KEYS", str(folder))
    assert "no keys in" in run("show")
    said = run("new", "gateway") + run("new", "mm1")
    pairs = {name: load_key_pair(name) for name in ("gateway", "mm1")}
    assert pairs["mm1"].public_key.decode() in said
    said += run("add", "mm1")
    other = tmp_path / "other"
    said += run("new", "far", "--folder", other)
    far = load_key_pair("far", other)
    said += run("add", "far", "--", far.public_key.decode())
    said += run("add", "far", other / "far.key")
    said += run("show")
    assert said.splitlines()[-4].split()[:3] == ["own", "gateway", pairs["gateway"].public_key.decode()]
    assert read_peers(folder / "peers") == {"far": far.public_key, "mm1": pairs["mm1"].public_key}
    shown = json.loads(run("show", "--json"))
    assert [(row["kind"], row["name"]) for row in shown] == [
        ("own", "gateway"), ("own", "mm1"), ("peer", "far"), ("peer", "mm1"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="exists, and is not replaced"):
        run("new", "mm1")
    said += run("new", "mm1", "--replace")
    assert load_key_pair("mm1").public_key != pairs["mm1"].public_key
    said += run("remove", "far")
    assert set(read_peers(folder / "peers")) == {"mm1"}
    with pytest.raises(ConfigError, match="far is not known"):
        run("remove", "far")
    for bad in ("nonsense", str(tmp_path / "missing.key")):
        with pytest.raises(ValueError):
            run("add", "x", bad)
    with pytest.raises(ValueError):
        run("new", "a b")
    for pair in (*pairs.values(), far, load_key_pair("mm1")):
        assert pair.secret_key.reveal() not in said + json.dumps(shown)
