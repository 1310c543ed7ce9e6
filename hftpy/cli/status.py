"""``hftpy status``: the processes under a root."""

import json
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hftcore.latency import LatencyHistogram
from hftpy.common import get_root
from hftpy.service.metrics import shown_state
from hftpy.service.status import read_statuses


def show(as_json: bool) -> None:
    """Print the status of every process under the root."""
    statuses = read_statuses()
    if as_json:
        print(json.dumps(statuses, indent=2))
        return
    table = Table(title=Text(f"processes under {get_root()}"))
    for column in (
        "process",
        "pid",
        "state",
        "age",
        "tickers",
        "trades",
        "orders",
        "gaps",
        "lost",
        "errors",
        "p50",
        "p99",
    ):
        table.add_column(column, justify="left" if column in ("process", "state") else "right")
    for name, status in statuses.items():
        counters = status["counters"]
        histogram = LatencyHistogram()
        if "receipt_to_callback" in status["latency"]:
            histogram.merge(status["latency"]["receipt_to_callback"])
        keys = ("tickers", "trades", "my_orders", "gaps", "lost", "errors")
        table.add_row(
            name, str(status["pid"]), shown_state(status), f"{time.time() - status['started']:.0f} s",
            *(str(counters.get(key, 0)) for key in keys), format_ns(histogram.percentile(50)),
            format_ns(histogram.percentile(99)),
        )  # fmt: skip
    Console().print(table)
    if not statuses:
        print("none")


def show_latency() -> None:
    """Print every hop that the processes under the root have measured."""
    table = Table(title=Text(f"latency under {get_root()}"))
    for column in ("process", "hop", "count", "p50", "p99", "p99.9", "max"):
        table.add_column(column, justify="left" if column in ("process", "hop") else "right")
    for process, status in read_statuses().items():
        for hop, counts in status["latency"].items():
            histogram = LatencyHistogram()
            histogram.merge(counts)
            durations = [*(histogram.percentile(percent) for percent in (50, 99, 99.9)), histogram.max_ns]
            table.add_row(process, hop, str(histogram.count), *map(format_ns, durations))
    Console().print(table)
    if not table.row_count:
        print("none")


def format_ns(duration_ns: int) -> str:
    """A duration in the unit that reads best."""
    if duration_ns >= 10**9:
        return f"{duration_ns / 1e9:.2f} s"
    if duration_ns >= 10**6:
        return f"{duration_ns / 1e6:.2f} ms"
    return f"{duration_ns / 1e3:.0f} µs"
