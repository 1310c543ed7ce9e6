"""Every benchmark runs with --quick and says what it must; how fast it was is nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hftcore

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
BENCHMARKS = sorted(FOLDER.glob("bench_*.py"))


def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(path), *options], capture_output=True, text=True, check=False)


def test_there_are_benchmarks():
    assert FOLDER / "bench_ring.py" in BENCHMARKS


@pytest.mark.skipif(hftcore.build_mode != "release", reason="benchmarks refuse a core that is not built for release")
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_quick_run(path, tmp_path):
    done = run(path, "--quick", "--json", str(tmp_path / "results.json"))
    assert done.returncode == 0, done.stderr[-4000:]
    document = json.loads((tmp_path / "results.json").read_text())
    assert {"machine", "kernel", "python", "compiler", "build_mode", "libraries"} <= set(document["environment"])
    assert document["environment"]["build_mode"] == "release"
    assert document["results"]
    for result in document["results"]:
        assert result["rounds"] >= 9
        assert 0 < result["ratio_min"] <= result["ratio"] <= result["ratio_max"]
        assert result["name"] in done.stdout


def test_too_few_rounds_are_refused():
    done = run(FOLDER / "bench_ring.py", "--quick", "--rounds", "8")
    assert done.returncode == 2 and "rounds must be at least 9, was 8" in done.stderr


def test_another_build_mode_is_refused():
    code = "import hftcore; hftcore.build_mode = 'debug'; import peers; peers.require_release()"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "benchmarks need HFT_BUILD=release, the core was built as 'debug'" in done.stderr
