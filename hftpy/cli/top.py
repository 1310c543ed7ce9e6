"""``hftpy top``: all processes under a root, live."""

import asyncio
import json
import signal
import time
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hftcore.latency import LatencyHistogram
from hftpy.cli.status import format_ns
from hftpy.common import get_root
from hftpy.service.metrics import shown_state
from hftpy.service.status import read_statuses

HOP = "receipt_to_callback"
PARAMS_SHOWN = 60  # characters
FULL_WIDTH = 120
NARROW_WITHOUT = ("pid", "age", "trade/s", "dropped", "params")
THEN_WITHOUT = ("p50", "queue", "tick/s", "lost", "p99", "stalls", "errors")  # one by one, until the rest fits
AROUND_ROWS = 6  # lines: title, blank, header, rule, the end of the table, what was left out
COLUMNS = (
    "process", "state", "pid", "age", "tick/s", "trade/s", "queue", "lost", "dropped", "errors", "p50", "p99", "stalls",
    "params",
)  # fmt: skip
STYLES = {
    "running": "green", "paused": "yellow", "stalled": "bold red", "silent": "bold red", "failed": "red", "gone": "red",
}  # fmt: skip
TROUBLED = ("stalled", "silent", "failed", "gone")

Status = dict[str, Any]
Row = dict[str, Any]


def row_of(name: str, status: Status, earlier: Status | None) -> Row:
    """What is shown of one process: JSON types.

    Parameters
    ----------
    name
        The process.
    status
        Its status.
    earlier
        One that the same process wrote before; rates and percentiles are of what happened since. None: since it was
        started.
    """
    if earlier is not None and (earlier["pid"], earlier["started"]) != (status["pid"], status["started"]):
        earlier = None
    since_s = status["written"] - (status["started"] if earlier is None else earlier["written"])
    counters, before = status["counters"], earlier["counters"] if earlier else {}

    def rate(key: str) -> float:
        return round((counters.get(key, 0) - before.get(key, 0)) / since_s, 1) if since_s > 0 else 0.0

    histogram = _since(status["latency"].get(HOP), earlier["latency"].get(HOP) if earlier else None)
    queues = status["queues"]
    fills = {queue: counts["waiting"] / counts["capacity"] for queue, counts in queues.items() if counts["capacity"]}
    fullest = max(fills, key=lambda queue: fills[queue], default="")
    loop = status.get("loop") or {}
    stack = loop.get("stack") or []
    return {
        "process": name,
        "pid": status["pid"],
        "state": shown_state(status),
        "warm": status.get("warm", True),
        "age_s": round(max(0.0, time.time() - status["started"]), 1),
        "written_s_ago": round(max(0.0, time.time() - status["written"]), 1),
        "tickers_per_s": rate("tickers"),
        "trades_per_s": rate("trades"),
        "books_per_s": rate("books"),
        "my_orders": counters.get("my_orders", 0),
        "queue": fullest,
        "queue_fill": round(fills.get(fullest, 0.0), 4),
        "queue_waiting": sum(counts["waiting"] for counts in queues.values()),
        "dropped": sum(counts.get("dropped", 0) for counts in queues.values()),
        "conflated": sum(counts.get("conflated", 0) for counts in queues.values()),
        "lost": counters.get("lost", 0),
        "gaps": counters.get("gaps", 0),
        "errors": counters.get("errors", 0),
        "overruns": counters.get("task_overruns", 0),
        "latency_count": histogram.count,
        "p50_ns": histogram.percentile(50),
        "p99_ns": histogram.percentile(99),
        "stalls": loop.get("stalls", 0) + bool(loop.get("stalled")),
        "stalled_at": stack[-1].strip() if loop.get("stalled") and stack else "",
        "tcp_refused": _refused_over_tcp(status),
        "params": status.get("params") or {},
    }


def _refused_over_tcp(status: Status) -> int:
    """Connections without a key that may connect, and what came in another name than its key's."""
    counted = [status.get("commands") or {}, *(status.get("publisher") or {}).values()]
    return sum(counts.get(key, 0) for counts in counted for key in ("tcp_denied", "tcp_failed", "forged"))


def _since(now: Status | None, before: Status | None) -> LatencyHistogram:
    """What was counted between two readings of a histogram; all of it if that is nothing."""
    histogram = LatencyHistogram()
    if now is None:
        return histogram
    old = dict(before["counts"]) if before is not None else {}
    fresh = [[bucket, count - old.get(bucket, 0)] for bucket, count in now["counts"] if count > old.get(bucket, 0)]
    histogram.merge({**now, "counts": fresh or now["counts"]})
    return histogram


def render(rows: list[Row], width: int = FULL_WIDTH, height: int | None = None) -> Group:
    """The table of now, and where stalled processes are.

    A narrow terminal leaves some columns out; one with few lines some rows, those in trouble last, and says how many.
    """
    title = Text(f"processes under {get_root()}", no_wrap=True, overflow="ellipsis")
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = rows if height is None else _fitting(rows, height)
    cells = [_cells(row) for row in shown]
    left_out = _left_out(cells, width)
    for column in COLUMNS:
        if column not in left_out:
            is_text = column in ("process", "state", "params")
            table.add_column(column, justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis")
    for texts in cells:
        table.add_row(*(text for column, text in zip(COLUMNS, texts, strict=True) if column not in left_out))
    notes = [
        Text(f"{row['process']} is stalled at {row['stalled_at']}", "bold red", no_wrap=height is not None)
        for row in shown
        if row["stalled_at"]
    ]
    notes += [
        Text(f"{row['process']} has refused {row['tcp_refused']} over tcp", "yellow", no_wrap=height is not None)
        for row in shown
        if row["tcp_refused"]
    ]
    if len(shown) < len(rows):
        notes.append(Text(f"and {len(rows) - len(shown)} more: hftpy top --once shows all", no_wrap=True))
    if not rows:
        notes.append(Text("none"))
    return Group(table, *notes)


def _fitting(rows: list[Row], height: int) -> list[Row]:
    """As many rows as there is room for with their notes, in their order; those in trouble come first."""
    room = max(1, height - AROUND_ROWS)
    chosen: set[int] = set()
    for index, row in sorted(enumerate(rows), key=lambda entry: entry[1]["state"] not in TROUBLED):
        lines = 1 + bool(row["stalled_at"]) + bool(row["tcp_refused"])
        if chosen and lines > room:
            break
        chosen.add(index)
        room -= lines
    return [row for index, row in enumerate(rows) if index in chosen]


def _left_out(cells: list[list[Text]], width: int) -> set[str]:
    """The columns that a terminal of this width does without."""
    if width >= FULL_WIDTH:
        return set()
    left_out = {*NARROW_WITHOUT}
    widths = {
        column: max(len(column), *(texts[place].cell_len for texts in cells)) if cells else len(column)
        for place, column in enumerate(COLUMNS)
    }
    for column in THEN_WITHOUT:
        if sum(widths[name] + 2 for name in COLUMNS if name not in left_out) + 1 <= width:
            break
        left_out.add(column)
    return left_out


def _cells(row: Row) -> list[Text]:
    state = row["state"] if row["warm"] or row["state"] not in ("running", "paused") else f"{row['state']}, cold"
    params = ", ".join(f"{key}={value}" for key, value in _items(row["params"]))
    fill = f"{row['queue_fill']:.0%}" + (f" {row['queue']}" if row["queue_fill"] >= 0.01 else "")
    return [
        Text(row["process"]),
        Text(state, STYLES.get(row["state"], "")),
        *map(
            Text,
            (
                str(row["pid"]), f"{row['age_s']:.0f} s", f"{row['tickers_per_s']:.0f}", f"{row['trades_per_s']:.0f}",
                fill, str(row["lost"]), str(row["dropped"]), str(row["errors"]), format_ns(row["p50_ns"]),
                format_ns(row["p99_ns"]), str(row["stalls"]), params[:PARAMS_SHOWN],
            ),
        ),
    ]  # fmt: skip


def _items(params: Any) -> list[tuple[str, Any]]:
    return list(params.items()) if isinstance(params, dict) else [("params", params)]


async def top(*, interval_s: float, seconds: float | None, once: bool, as_json: bool, console: Console) -> int:
    """Show the processes until SIGINT, SIGTERM, or the end of `seconds`; once where there is no terminal.

    Returns
    -------
    int
        0.

    Raises
    ------
    RootError
        If the root cannot be used.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    earlier = await asyncio.to_thread(read_statuses)
    if once or as_json or not console.is_terminal:
        if earlier:
            await _wait(ended, interval_s)
        rows = _rows(await asyncio.to_thread(read_statuses), earlier)
        if as_json:
            print(json.dumps(rows, indent=2))
        else:
            if not console.is_terminal:
                console.width = max(console.width, 2 * FULL_WIDTH)  # a pipe has no width of its own
            console.print(render(rows, console.width))
        return 0
    ends = None if seconds is None else loop.time() + seconds
    first = render(_rows(earlier, {}), console.width, console.height)
    with Live(first, console=console, auto_refresh=False, screen=seconds is None) as live:
        while not ended.is_set() and (ends is None or loop.time() < ends):
            await _wait(ended, interval_s)
            now = await asyncio.to_thread(read_statuses)
            live.update(render(_rows(now, earlier), console.width, console.height), refresh=True)
            earlier = now
    return 0


def _rows(now: dict[str, Status], earlier: dict[str, Status]) -> list[Row]:
    return [row_of(name, status, earlier.get(name)) for name, status in now.items()]


async def _wait(ended: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except TimeoutError:
        return
