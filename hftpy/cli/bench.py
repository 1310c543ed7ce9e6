"""``hftpy bench``: run the benchmarks of a source checkout, or show a stored result."""

import importlib.util
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import hftpy
from hftpy.cli.bench_rows import Results
from hftpy.cli.bench_table import markdown, show
from hftpy.errors import HftError

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"
NO_TESTS_RAN = 5


def benchmarks_folder(package: Path | None = None) -> Path:
    """The folder ``benchmarks`` of the checkout that hftpy is imported from.

    Raises
    ------
    HftError
        If hftpy is installed without one.
    """
    root = (package or Path(hftpy.__file__)).resolve().parents[1]
    folder = root / "benchmarks"
    if not (folder / "conftest.py").is_file():
        raise HftError(f"benchmarks need a source checkout of hftpy, there is none at {root} (--show needs none)")
    return folder


def run_benchmarks(
    *, quick: bool = False, keyword: str | None = None, rounds: int | None = None, to_stderr: bool = False
) -> Results:
    """Run the suite in a process of its own and read what it stored.

    Parameters
    ----------
    quick
        Few operations: that all runs, not how fast.
    keyword
        Only benchmarks that match this expression of pytest's ``-k``.
    rounds
        How many; None for the suite's own number.
    to_stderr
        Show progress on standard error, since standard output is wanted for something else.

    Raises
    ------
    HftError
        If there is no checkout, the extra ``bench`` is not installed, nothing matches `keyword`, or a benchmark failed.
    """
    folder = benchmarks_folder()
    for module in ("pytest", "pytest_benchmark", "pytest_timeout"):
        if importlib.util.find_spec(module) is None:
            raise HftError(f"benchmarks need {module}: pip install 'hftpy[bench]'")
    with tempfile.TemporaryDirectory(prefix="hftpy-bench-") as scratch:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        path = Path(scratch) / "quick.json" if quick else folder / "results" / f"{stamp}.json"
        command = [sys.executable, "-m", "pytest", "-q", str(folder), "--no-table", "--results", str(path)]
        command += ["--quick"] * quick + (["-k", keyword] if keyword else [])
        command += [] if rounds is None else ["--rounds", str(rounds)]
        done = subprocess.run(command, cwd=folder.parent, check=False, stdout=sys.stderr if to_stderr else None)
        if done.returncode == NO_TESTS_RAN:
            raise HftError(f"no benchmark matches {keyword!r}")
        if done.returncode:
            raise HftError(f"benchmarks failed with status {done.returncode}; what they say stands above")
        return Results.load(path)


def update(document: Path, results: Results) -> None:
    """Replace what stands between the result marks of a Markdown file.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    ValueError
        If it does not hold both marks, in order.
    """
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} must hold the lines {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}")


def bench(
    *,
    quick: bool = False,
    keyword: str | None = None,
    rounds: int | None = None,
    stored: Path | None = None,
    json_file: Path | None = None,
    plot: Path | None = None,
    as_markdown: bool = False,
    document: Path | None = None,
    check: bool = False,
    strict: bool = False,
) -> int:
    """Run or load, show, store, plot and check.

    Returns
    -------
    int
        The exit status: 1 if `check` or `strict` found a missed floor, else 0.

    Raises
    ------
    HftError
        If the benchmarks cannot be run, or matplotlib is missing for a plot.
    OSError
        If a file cannot be read or written.
    ValueError
        If a stored result, a plot's name or the marks of `document` are not what they must be.
    """
    if plot is not None:
        # Before a run of minutes, not after it.
        from hftpy.cli.bench_plot import require_plot

        require_plot(plot)
    if stored is not None:
        results = Results.load(stored)
    else:
        results = run_benchmarks(quick=quick, keyword=keyword, rounds=rounds, to_stderr=as_markdown)
    if as_markdown:
        print(markdown(results), end="")
    else:
        show(results)
    if json_file is not None:
        results.save(json_file)
    if document is not None:
        update(document, results)
    if plot is not None:
        from hftpy.cli.bench_plot import draw

        draw(results, plot)
    missed = results.missed(strict=strict) if check or strict else []
    for row in missed:
        beyond = "ceiling" if row.ceiling else "floor"
        print(f"{row.verdict}: {row.target} {row.name}, {row.peer}: {row.ratio:.2f}, {beyond} {row.floor:g}",
              file=sys.stderr)  # fmt: skip
    return 1 if missed else 0
