"""The measuring core of the benchmarks: who runs when, whose clock counts, what is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.suite
FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
BENCH = '''
import time
import pytest

LOG = []

def side(name, seconds=None):
    def run():
        LOG.append(name)
        time.sleep(0.0002)
        return seconds
    return run

def test_order(versus):
    rows = versus("T7", "order", operations=1, ours=side("ours"), peers={"a": side("a"), "b": side("b")})
    assert LOG[:3] == ["ours", "a", "b"]  # unmeasured
    rounds = [LOG[i:i + 3] for i in range(3, len(LOG), 3)]
    assert len(rounds) == versus.rounds == 9
    assert rounds[0::2] == [["a", "b", "ours"]] * 5 and rounds[1::2] == [["ours", "b", "a"]] * 4
    assert [row.peer for row in rows] == ["a", "b"]

def test_own_clock(versus):
    (row,) = versus("T7", "clock", operations=1000, ours=side("o", 0.5), peers={"a": side("a", 2.0)},
                    floors={"a": 3}, goals={"a": 5})
    assert row.ratios == (4.0,) * 9 and row.verdict == "holds"
    assert (row.ours_ns, row.peer_ns) == (500_000.0, 2_000_000.0)

def test_cost(versus):
    (row,) = versus.cost("T20", "cost", operations=1, base=("1", side("a", 2.0)), others={"9": side("b", 3.0)},
                         ceilings={"9": 1.3})
    assert row.ratios == (1.5,) * 9 and row.verdict == "missed" and row.peer == "9 / 1"
    assert (row.ours_ns, row.peer_ns) == (3e9, 2e9)

def test_mean(versus):
    (row,) = versus.mean("T7", "mean", of=lambda row: row.name in ("clock", "none"), floors={"a": 4.5})
    assert row.ratios == pytest.approx([4.0] * 9) and row.name == "mean (1)" and row.verdict == "missed"

def test_gc_is_off_and_on_again(versus):
    import gc
    seen = []
    versus("T7", "gc", operations=1, ours=lambda: seen.append(gc.isenabled()), peers={"a": side("a")})
    assert seen[0] is True and not any(seen[1:]) and gc.isenabled()

def test_scale(versus):
    assert versus.quick and versus.scale(100_000) == 1000 and versus.scale(64_000, multiple=64) == 640
    assert versus.scale(10) == 1 and versus.scale(10, multiple=64) == 10 and versus.scale(6400, multiple=100) == 100

def test_no_time_at_all_is_refused(versus):
    with pytest.raises(ValueError, match="must have taken some time, was 0"):
        versus("T7", "zero", operations=1, ours=side("o", 0.0), peers={"a": side("a")})

def test_a_floor_of_nobody_is_refused(versus):
    with pytest.raises(ValueError, match="a floor must belong to a peer, was 'asyncio'"):
        versus("T7", "typo", operations=1, ours=side("o"), peers={"a": side("a")}, floors={"asyncio": 3})

def test_no_operation_is_refused(versus):
    with pytest.raises(ValueError, match="operations must be at least 1, was 0"):
        versus("T7", "none", operations=0, ours=side("o"), peers={"a": side("a")})

def test_a_missing_peer_is_skipped(versus):
    assert versus.peer("no_such_peer") is None
    versus("T7", "missing", operations=1, ours=side("o"), peers={}, floors={"no_such_peer": 3})
    raise AssertionError("must have been skipped")
'''


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of its own beside the real conftest."""
    for name in ("conftest.py", "measure.py", "limits.py", "limits.cpp"):
        shutil.copy(FOLDER / name, tmp_path / name)
    (tmp_path / "bench_probe.py").write_text(BENCH)
    return tmp_path


def run(suite: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=bench_*.py"]
    return subprocess.run([*command, *options, "."], cwd=suite, capture_output=True, text=True, check=False)


def test_versus(suite):
    done = run(suite, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed, 1 skipped" in done.stdout
    assert "left out: no_such_peer" in done.stdout
    assert "--quick: few operations" in done.stdout
    assert not (suite / "results").exists()


def test_a_full_run_stores_its_results_and_the_limits(suite):
    done = run(suite, "--rounds", "9", "-k", "own_clock or gc")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (suite / "results").glob("*.json")
    assert f"results: {path}" in done.stdout
    if shutil.which("g++"):
        assert "system call" in done.stdout


def test_a_benchmark_that_fails_leaves_the_others_their_rows(suite):
    (suite / "bench_probe.py").write_text(BENCH + "\ndef test_broken(versus):\n    raise RuntimeError('broken')\n")
    done = run(suite, "--quick", "--results", "r.json")
    assert done.returncode == 1 and "RuntimeError: broken" in done.stdout
    assert '"clock"' in (suite / "r.json").read_text()
