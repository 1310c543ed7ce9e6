"""``hftpy bench``: stored results, verdicts, table, Markdown, plot, and what it refuses."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import hftcore
from hftpy.cli.bench import BEGIN, END, benchmarks_folder, update
from hftpy.cli.bench_rows import Results, Row, geometric_mean
from hftpy.cli.bench_table import markdown
from hftpy.errors import HftError

HFTPY = [sys.executable, "-m", "hftpy.cli"]


def row(*ratios: float, floor: float | None = 3.0, goal: float | None = 5.0, **fields: object) -> Row:
    settings = {"target": "T7", "name": "put", "peer": "asyncio.Queue", "operations": 10, "ours_ns": 10.0,
                "peer_ns": 40.0, "floor": floor, "goal": goal} | fields  # fmt: skip
    return Row(ratios=ratios * 9 if len(ratios) == 1 else ratios, **settings)


def results(*rows: Row, **fields: object) -> Results:
    environment = {"machine": "a machine", "cpus": 2, "python": "CPython 3.11", "quick": False, "libraries": {"a": "1"}}
    return Results(environment, list(rows), **fields)


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HFTPY, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=110, check=False, cwd=cwd
    )


def stored(tmp_path: Path, *rows: Row, **fields: object) -> Path:
    path = tmp_path / "stored.json"
    results(*rows, **fields).save(path)
    return path


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((2.9,), "missed"),
        # One lucky round does not excuse a miss, and one unlucky round makes none.
        ((2.9, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9, 40.0), "missed"),
        ((3.1, 3.1, 3.1, 3.1, 3.1, 3.1, 3.1, 3.1, 0.01), "holds"),
        ((2.8, 2.8, 2.8, 2.8, 2.9, 3.2, 3.2, 3.2, 3.2), "below"),
        ((3.0,), "holds"),
        ((5.0,), "goal"),
    ],
)
def test_verdict_of_a_speed(ratios, verdict):
    assert row(*ratios).verdict == verdict


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((1.31,), "missed"),
        ((1.2, 1.2, 1.2, 1.2, 1.35, 1.35, 1.35, 1.35, 1.35), "above"),
        ((1.3,), "holds"),
        ((1.1,), "goal"),
    ],
)
def test_verdict_of_a_cost(ratios, verdict):
    assert row(*ratios, floor=1.3, goal=1.1, ceiling=True).verdict == verdict


def test_a_row_without_a_floor_has_no_verdict():
    assert row(0.5, floor=None).verdict == ""


def test_too_few_rounds_and_impossible_ratios_are_refused():
    with pytest.raises(ValueError, match="rounds must be at least 9, was 8"):
        row(*[3.0] * 8)
    with pytest.raises(ValueError, match="a ratio must be positive and finite, was 0"):
        row(*[3.0] * 8, 0.0)


def test_what_is_stored_is_read_back(tmp_path):
    rows = [row(2.9, name="a"), row(*map(float, range(1, 10)), floor=None, goal=None, extra={"lost": 3})]
    path = stored(tmp_path, *rows, limits={"syscall": 90.0}, skipped={"vnpy": "No module named 'vnpy'"})
    loaded = Results.load(path)
    assert loaded.rows == rows
    assert (loaded.limits, loaded.skipped) == ({"syscall": 90.0}, {"vnpy": "No module named 'vnpy'"})
    first = json.loads(path.read_text())["results"][0]
    assert (first["verdict"], first["rounds"], first["ratio_q1"]) == ("missed", 9, 2.9)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"format": 99}', '{"format": 1, "results": [{}]}'])
def test_what_is_no_stored_result_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    done = run("--show", path)
    assert done.returncode == 2 and done.stderr.startswith("hftpy: ") and done.stderr.count("\n") == 1


def test_geometric_mean_is_taken_round_by_round():
    mean = geometric_mean("T1", "all", [row(*[2.0, 8.0] * 5), row(*[8.0, 2.0] * 5)], floor=3.3)
    assert mean.ratios == pytest.approx((4.0,) * 10)
    assert (mean.peer, mean.floor, mean.ours_ns) == ("asyncio.Queue", 3.3, pytest.approx(10.0))
    with pytest.raises(ValueError, match="one peer"):
        geometric_mean("T1", "all", [row(2.0), row(2.0, peer="uvloop")])
    with pytest.raises(ValueError, match="0 rows"):
        geometric_mean("T1", "all", [])


def test_targets_stand_by_number():
    loaded = results(row(4.0, target="T10"), row(4.0, target="T2"), row(4.0, target="disturbance"))
    assert [one.target for one in loaded.ordered()] == ["T2", "T10", "disturbance"]


def test_show_prints_the_table_and_runs_nothing(tmp_path):
    path = stored(tmp_path, row(4.0, name="[b]put[/b]"), row(2.0, name="get"), skipped={"vnpy": "not there"})
    # From a folder without benchmarks, so that a run would fail.
    done = run("--show", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[b]put[/b]" in done.stdout and "a machine" in done.stdout
    assert "holds: 1; missed: 1" in done.stdout and "vnpy (not there)" in done.stdout


def test_check_fails_only_on_a_missed_floor(tmp_path):
    below = row(2.8, 2.8, 2.8, 2.8, 2.9, 3.2, 3.2, 3.2, 3.2)
    assert run("--show", stored(tmp_path, row(4.0), below), "--check").returncode == 0
    done = run("--show", stored(tmp_path, row(4.0), below), "--strict")
    assert done.returncode == 1 and "below: T7 put, asyncio.Queue: 2.90, floor 3" in done.stderr
    done = run("--show", stored(tmp_path, row(4.0), row(1.4, floor=1.3, ceiling=True)), "--check")
    assert done.returncode == 1 and "missed: T7 put, asyncio.Queue: 1.40, ceiling 1.3" in done.stderr


def test_markdown_replaces_what_stands_between_the_marks(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text(f"# Before\n\n{BEGIN}\nformer\n{END}\n\nafter\n")
    loaded = results(row(4.0, name="a|b"), row(2.0))
    update(page, loaded)
    text = page.read_text()
    assert text.startswith("# Before\n") and text.endswith("\n\nafter\n") and "former" not in text
    assert "| T7 | a\\|b | asyncio.Queue | 40.0 | 10.0 | 4.00 | 4.00 … 4.00 | 3 | 5 | holds |" in text
    assert "**missed**" in text
    update(page, loaded)
    assert page.read_text() == text
    page.write_text("nothing here")
    with pytest.raises(ValueError, match="must hold the lines"):
        update(page, loaded)
    done = run("--show", stored(tmp_path, row(4.0)), "--markdown")
    assert done.stdout == markdown(results(row(4.0)))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_plot(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "folder" / f"ratios.{suffix}"
    path = stored(tmp_path, row(4.0), row(0.5), row(1.2, floor=1.3, ceiling=True), row(2.0, floor=None, goal=None))
    done = run("--show", path, "--plot", plot)
    assert done.returncode == 0, done.stderr
    if suffix == "svg":
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    else:
        assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_no_known_kind_is_refused_before_anything_runs(tmp_path):
    done = run("--plot", tmp_path / "ratios.bmp")
    assert done.returncode == 2 and ".png, .svg, .pdf, was" in done.stderr


def test_an_installation_without_benchmarks_says_so(tmp_path):
    (tmp_path / "hftpy").mkdir()
    with pytest.raises(HftError, match=f"need a source checkout of hftpy, there is none at {tmp_path}"):
        benchmarks_folder(tmp_path / "hftpy" / "__init__.py")


@pytest.mark.skipif(hftcore.build_mode != "release", reason="benchmarks refuse a core that is not built for release")
@pytest.mark.slow
@pytest.mark.suite
def test_a_quick_run_of_one_benchmark(tmp_path):
    done = run("--quick", "-k", "test_one_in_and_out", "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = Results.load(tmp_path / "r.json")
    assert {one.target for one in loaded.rows} == {"T7"}
    assert done.stdout.count("┏") == 1


@pytest.mark.slow
@pytest.mark.suite
def test_a_keyword_that_matches_nothing_is_an_error():
    done = run("--quick", "-k", "no_such_benchmark")
    assert done.returncode == 2 and "no benchmark matches 'no_such_benchmark'" in done.stderr
