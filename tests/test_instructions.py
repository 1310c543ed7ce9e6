"""The comparison of instruction counts: what fails, what is only said, and what a machine without a baseline is told.

The counting itself is `make instructions`, which CI runs.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "instructions"


def _count() -> ModuleType:
    spec = importlib.util.spec_from_file_location("count_instructions", FOLDER / "count.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


count = _count()


@pytest.fixture
def baseline(tmp_path) -> Path:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"gcc 1": {"push": 100.0, "pop": 50.0}}))
    return path


@pytest.mark.parametrize("push", [1.0, 97.0, 100.0, 102.9, 103.0])
def test_up_to_the_limit_passes(baseline, capsys, push):
    assert count.check("gcc 1", {"push": push, "pop": 50.0}, baseline) == 0
    assert "failed" not in capsys.readouterr().out


def test_a_rise_above_the_limit_fails_by_name(baseline, capsys):
    assert count.check("gcc 1", {"push": 103.1, "pop": 51.0}, baseline) == 1
    said = capsys.readouterr().out
    assert "rose above 3%" in said and said.rstrip().endswith("instructions: failed: push")


def test_many_small_rises_do_not_add_up_unseen(baseline):
    # The baseline stays where it is until somebody renews it.
    codes = [count.check("gcc 1", {"push": 100.0 + step, "pop": 50.0}, baseline) for step in range(6)]
    assert codes == [0, 0, 0, 0, 1, 1]


def test_a_path_that_is_no_longer_measured_fails(baseline, capsys):
    assert count.check("gcc 1", {"push": 100.0}, baseline) == 1
    assert "pop" in capsys.readouterr().out.splitlines()[-1]


def test_a_new_path_is_only_said(baseline, capsys):
    assert count.check("gcc 1", {"push": 100.0, "pop": 50.0, "view": 5.0}, baseline) == 0
    assert "new: --update adds it" in capsys.readouterr().out


def test_an_unknown_compiler_is_not_compared_and_is_told_how_to_be(baseline, capsys):
    assert count.check("gcc 2", {"push": 1e9, "pop": 1e9}, baseline) == 0
    said = capsys.readouterr().out
    assert "not compared" in said and "'gcc 2'" in said and "gcc 1" in said and "ARGS=--update" in said


def test_update_writes_the_baseline_and_keeps_the_others(baseline):
    assert count.check("gcc 2", {"push": 80.0}, baseline, update=True) == 0
    assert count.check("gcc 2", {"push": 83.0}, baseline) == 1
    assert count.check("gcc 1", {"push": 100.0, "pop": 50.0}, baseline) == 0


def test_a_machine_without_valgrind_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(count.CannotCount, match="valgrind is not installed"):
        count.count(tmp_path / "paths")


def test_the_committed_baseline_covers_all_kinds_of_paths():
    baselines = count.read_baselines(count.BASELINE)
    assert baselines
    for key, counts in baselines.items():
        assert key.count(", ") == 2, key
        assert all(value > 0 for value in counts.values())
        for kind in ("decode binance", "decode kraken", "ring push", "topic match", "latency record", "encode ticker"):
            assert any(name.startswith(kind) for name in counts), (key, kind)


def test_frames_are_well_formed():
    for line in (FOLDER / "frames.tsv").read_bytes().splitlines():
        name, exchange, frame = line.split(b"\t")
        assert name and exchange.isdigit() and json.loads(frame)
