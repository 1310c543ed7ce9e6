"""The ratios of a benchmark run as a bar chart with floors and goals."""

import importlib.util
from pathlib import Path

from hftpy.cli.bench_rows import Results, Row
from hftpy.errors import HftError

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = {"missed": "#c0392b", "below": "#e67e22", "above": "#e67e22", "goal": "#1e8449", "holds": "#7dcea0"}


def require_plot(path: Path) -> None:
    """See that a plot can be drawn into `path` later.

    Raises
    ------
    HftError
        If matplotlib is not installed.
    ValueError
        If the file's name does not end as one of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a plot must end in {', '.join(SUFFIXES)}, was {str(path)!r}")
    if importlib.util.find_spec("matplotlib") is None:
        raise HftError("a plot needs matplotlib: pip install 'hftpy[bench]'")


def draw(results: Results, path: Path) -> None:
    """Draw the ratios on a logarithmic scale, one bar per row, with its quartiles, floor and goal.

    Raises
    ------
    HftError
        If matplotlib is not installed.
    OSError
        If `path` cannot be written.
    ValueError
        If its name says no known format, or there is nothing to draw.
    """
    require_plot(path)
    rows = results.ordered()
    if not rows:
        raise ValueError("there is no row to draw")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(12, 1.6 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    low, high = zip(*(row.quartiles for row in rows), strict=True)
    ratios = [row.ratio for row in rows]
    spread = (
        [max(0.0, ratio - below) for ratio, below in zip(ratios, low, strict=True)],
        [max(0.0, above - ratio) for ratio, above in zip(ratios, high, strict=True)],
    )
    # Bars begin at 1: to the right ours is faster (or, for a cost, dearer than its base).
    axes.barh(
        places, [ratio - 1 for ratio in ratios], left=1, height=0.7, xerr=spread, error_kw={"lw": 0.8, "capsize": 1.5},
        color=[COLOURS.get(row.verdict, "#95a5a6") for row in rows],
    )  # fmt: skip
    for attribute, style, name in (("floor", "-", "floor (≤ for a cost)"), ("goal", ":", "goal")):
        marks = [(place, getattr(row, attribute)) for place, row in zip(places, rows, strict=True)]
        for number, (place, value) in enumerate((place, value) for place, value in marks if value is not None):
            axes.plot([value, value], [place - 0.45, place + 0.45], style, color="black", lw=1.6,
                      label="_" if number else name)  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", lw=0.8)
    axes.set_yticks(places, [label_of(row) for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.margins(y=0.005)
    axes.grid(axis="x", which="both", lw=0.3)
    axes.set_xlabel("ratio peer / ours (cost rows: case / base), median and quartiles of the rounds")
    environment = results.environment
    axes.set_title(
        f"{environment.get('machine')}, {environment.get('cpus')} CPUs, {environment.get('python')}, "
        f"{environment.get('date')}" + (" (quick)" if environment.get("quick") else ""),
        fontsize=9,
    )
    if any(row.floor is not None or row.goal is not None for row in rows):
        axes.legend(loc="lower right", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def label_of(row: Row) -> str:
    """Target, name and peer of one bar."""
    return f"{row.target}  {row.name} · {row.peer}"
