"""``hftpy status``: the processes under a root."""

import json
import time
from collections.abc import Set

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hftcore.latency import LatencyHistogram
from hftpy.common import get_root
from hftpy.service.metrics import shown_state
from hftpy.service.status import read_statuses

COLUMNS = (
    "process", "state", "pid", "age", "tickers", "trades", "orders", "gaps", "lost", "errors", "p50", "p99",
)  # fmt: skip
WITHOUT = ("age", "p50", "trades", "orders", "pid", "p99", "tickers", "gaps")  # one by one, until the rest fits
HOP_COLUMNS = ("process", "hop", "count", "p50", "p99", "p99.9", "max")
HOPS_WITHOUT = ("p99.9", "count", "p50", "max", "p99")


def show(as_json: bool) -> None:
    """Print the status of every process under the root."""
    statuses = read_statuses()
    if as_json:
        print(json.dumps(statuses, indent=2))
        return
    rows = []
    for name, status in statuses.items():
        counters = status["counters"]
        histogram = LatencyHistogram()
        if "receipt_to_callback" in status["latency"]:
            histogram.merge(status["latency"]["receipt_to_callback"])
        keys = ("tickers", "trades", "my_orders", "gaps", "lost", "errors")
        rows.append([
            name, shown_state(status), str(status["pid"]), f"{time.time() - status['started']:.0f} s",
            *(str(counters.get(key, 0)) for key in keys), format_ns(histogram.percentile(50)),
            format_ns(histogram.percentile(99)),
        ])  # fmt: skip
    _print(f"processes under {get_root()}", COLUMNS, rows, WITHOUT)


def show_latency() -> None:
    """Print every hop that the processes under the root have measured."""
    rows = []
    for process, status in read_statuses().items():
        for hop, counts in status["latency"].items():
            histogram = LatencyHistogram()
            histogram.merge(counts)
            durations = [*(histogram.percentile(percent) for percent in (50, 99, 99.9)), histogram.max_ns]
            rows.append([process, hop, str(histogram.count), *map(format_ns, durations)])
    _print(f"latency under {get_root()}", HOP_COLUMNS, rows, HOPS_WITHOUT)


def _print(title: str, columns: tuple[str, ...], rows: list[list[str]], without: tuple[str, ...]) -> None:
    """Print a table; a narrow terminal leaves some columns out, and nothing is cut."""
    console = Console()
    widths = {name: max(len(name), *(len(row[place]) for row in rows), 0) for place, name in enumerate(columns)}
    if not console.is_terminal:  # a pipe has no width of its own
        console.width = max(console.width, _width(widths))
    left_out: set[str] = set()
    for name in without:
        if _width(widths, left_out) <= console.width:
            break
        left_out.add(name)
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        if column not in left_out:
            is_name = column in ("process", "state", "hop")
            table.add_column(column, justify="left" if is_name else "right", no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text, column in zip(row, columns, strict=True) if column not in left_out))
    console.print(table)
    if not rows:
        print("none")


def _width(widths: dict[str, int], left_out: Set[str] = frozenset()) -> int:
    """Of a table with these columns: a rule between two of them, a space behind each, and two edges."""
    return 1 + sum(width + 2 for column, width in widths.items() if column not in left_out)


def format_ns(duration_ns: int) -> str:
    """A duration in the unit that reads best."""
    if duration_ns >= 10**9:
        return f"{duration_ns / 1e9:.2f} s"
    if duration_ns >= 10**6:
        return f"{duration_ns / 1e6:.2f} ms"
    return f"{duration_ns / 1e3:.0f} µs"
