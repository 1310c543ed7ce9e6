"""The table of a benchmark run, for a terminal and as Markdown."""

import sys
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hftpy.cli.bench_rows import Results, Row

STYLES = {"missed": "bold red", "below": "yellow", "above": "yellow", "goal": "bold green", "holds": "green"}
COLUMNS = ("target", "benchmark", "peer", "peer ns", "ours ns", "ratio", "quartiles", "floor", "goal", "verdict")


def show(results: Results, file: IO[str] | None = None) -> None:
    """Print environment, table, limits and what was skipped.

    Raises
    ------
    OSError
        If `file` cannot be written.
    """
    console = Console(file=file or sys.stdout, highlight=False)
    # Not in a terminal: as wide as it needs, so that a log keeps every column whole.
    if not console.is_terminal:
        console = Console(file=file or sys.stdout, highlight=False, width=170)
    console.print(environment_text(results), markup=False)
    if results.environment.get("quick"):
        console.print("--quick: few operations; these figures say that all runs, not how fast", style="yellow")
    table = Table(pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("target", "benchmark", "peer", "verdict") else "right",
                         no_wrap=column not in ("benchmark", "peer"))  # fmt: skip
    previous = ""
    for row in results.ordered():
        if previous and row.target != previous:
            table.add_section()
        previous = row.target
        cells = cells_of(row)
        style = STYLES.get(row.verdict, "")
        table.add_row(*map(escape, cells[:-1]), f"[{style}]{cells[-1]}[/]" if style else cells[-1])
    console.print(table)
    for line in notes(results):
        console.print(line, markup=False, soft_wrap=True)


def cells_of(row: Row) -> tuple[str, ...]:
    """The texts of one row, by `COLUMNS`."""
    sign = "≤ " if row.ceiling else ""
    return (
        row.target,
        row.name,
        row.peer,
        number(row.peer_ns),
        number(row.ours_ns),
        number(row.ratio),
        " … ".join(map(number, row.quartiles)),
        "" if row.floor is None else f"{sign}{row.floor:g}",
        "" if row.goal is None else f"{sign}{row.goal:g}",
        row.verdict,
    )


def markdown(results: Results) -> str:
    """Environment, table, limits and what was skipped as Markdown, to stand in BENCHMARKING.md."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "|".join("---" for _ in COLUMNS) + "|"]
    for row in results.ordered():
        cells = [cell.replace("|", "\\|") for cell in cells_of(row)]
        if row.verdict in ("missed", "below", "above"):
            cells[-1] = f"**{cells[-1]}**"
        lines.append("| " + " | ".join(cells) + " |")
    environment = [f"    {line}" for line in environment_text(results).splitlines()]
    return "\n".join([*environment, "", *lines, "", *(f"{line}\n" for line in notes(results))]).rstrip() + "\n"


def environment_text(results: Results) -> str:
    """The environment, one line per property."""
    lines = []
    for key, value in results.environment.items():
        text = " ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else str(value)
        lines.append(f"{key:12} {text}")
    return "\n".join(lines)


def notes(results: Results) -> list[str]:
    """The counts of verdicts, the limits of this machine, and the peers that were not there."""
    verdicts = [row.verdict for row in results.rows if row.verdict]
    counts = {name: verdicts.count(name) for name in ("goal", "holds", "below", "above", "missed")}
    lines = ["; ".join(f"{name}: {count}" for name, count in counts.items() if count) or "no floors"]
    if results.limits:
        limits = (f"{name} {number(value)} ns" for name, value in results.limits.items())
        lines.append("limits of this machine: " + ", ".join(limits))
    if results.skipped:
        reasons = (f"{name} ({reason})" for name, reason in sorted(results.skipped.items()))
        lines.append("left out: " + ", ".join(reasons))
    return lines


def number(value: float) -> str:
    """Three digits that matter, no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
