"""Every benchmark runs with --quick and says what it must; how fast it was is nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hftcore

pytestmark = pytest.mark.suite

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
BENCHMARKS = sorted(FOLDER.glob("bench_*.py"))
release_only = pytest.mark.skipif(
    hftcore.build_mode != "release", reason="benchmarks refuse a core that is not built for release"
)


def run(*options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run([sys.executable, *program], cwd=FOLDER, capture_output=True, text=True, check=False)


def test_there_are_benchmarks():
    assert FOLDER / "bench_parse.py" in BENCHMARKS


@release_only
@pytest.mark.slow
@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_quick_run(path, tmp_path):
    done = run(str(path), "--quick", "--results", str(tmp_path / "results.json"))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    document = json.loads((tmp_path / "results.json").read_text())
    environment = document["environment"]
    assert {"machine", "cpus", "kernel", "python", "compiler", "libraries"} <= set(environment)
    assert environment["build_mode"] == "release"
    assert document["results"] or document["skipped"]
    for result in document["results"]:
        assert result["rounds"] >= 9
        assert 0 < result["ratio_min"] <= result["ratio_q1"] <= result["ratio"] <= result["ratio_q3"]
        assert result["ratio_q3"] <= result["ratio_max"]
        assert result["target"] in done.stdout and result["verdict"] in done.stdout


def test_too_few_rounds_are_refused():
    done = run("bench_parse.py", "--quick", "--rounds", "8")
    assert done.returncode == 4 and "rounds must be at least 9, was 8" in done.stderr


def test_another_build_mode_is_refused():
    done = run("bench_parse.py", "--quick", code="import measure; measure.require_release('debug')")
    assert done.returncode == 1 and "benchmarks need HFT_BUILD=release, the core was built as 'debug'" in done.stderr
