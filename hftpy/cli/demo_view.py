"""The demo's screen: a live view on a terminal, plain lines elsewhere, nothing with ``--json``."""

import sys
import time
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from hftcore.latency import LatencyHistogram
from hftpy.cli.status import format_ns

PLAIN_INTERVAL_S = 2.0

HOPS = (
    ("venue → socket", "venue_to_socket", "gateway"),
    ("socket → parsed", "socket_to_parse", "gateway"),
    ("parsed → ring", "parse_to_ring", "gateway"),
    ("socket → strategy's callback", "receipt_to_callback", "strategies"),
    ("callback → command", "callback_to_command", "strategies"),
    ("strategy → gateway (command)", "command", "gateway"),
    ("order → venue → acknowledged", "order_ack", "gateway"),
    ("gateway → strategy (order)", "my_order", "strategies"),
)

Statuses = dict[str, dict[str, Any]]


class View(Protocol):
    """What the demo shows while it runs."""

    def show(self, statuses: Statuses, sim: dict[str, Any]) -> None: ...
    def note(self, line: str) -> None: ...
    def close(self) -> None: ...


def make_view(quiet: bool) -> View:
    """The view that fits standard output."""
    if quiet:
        return QuietView()
    return LiveView() if sys.stdout.isatty() else PlainView()


def hop_rows(statuses: Statuses) -> list[tuple[str, LatencyHistogram]]:
    """The latency of each hop, merged over the processes that measure it."""
    rows = []
    for label, name, where in HOPS:
        merged = LatencyHistogram()
        for process, status in statuses.items():
            if process.endswith("_gateway") == (where == "gateway") and name in status.get("latency", {}):
                merged.merge(status["latency"][name])
        rows.append((label, merged))
    return rows


class QuietView:
    """Shows nothing."""

    def show(self, statuses: Statuses, sim: dict[str, Any]) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """To standard error."""
        print(line, file=sys.stderr)

    def close(self) -> None:
        """Nothing."""


class PlainView:
    """A line every two seconds."""

    def __init__(self) -> None:
        self._next = 0.0
        self._started = time.monotonic()

    def show(self, statuses: Statuses, sim: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PLAIN_INTERVAL_S
        parts = []
        for name, status in statuses.items():
            counters = status["counters"]
            part = f"{name}: {counters['tickers']} tickers"
            if name.endswith("_gateway"):
                part += f", {counters.get('orders_sent', 0)} orders sent"
            else:
                part += f", {counters['my_trades']} fills"
            if counters["gaps"]:
                part += f", {counters['gaps']} gaps"
            parts.append(part)
        print(f"[{now - self._started:5.1f} s] " + " | ".join(parts), flush=True)

    def note(self, line: str) -> None:
        print(line, flush=True)

    def close(self) -> None:
        """Nothing to restore."""


class LiveView:
    """Tables that are drawn anew twice a second."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()
        self._last: dict[str, tuple[float, int]] = {}

    def show(self, statuses: Statuses, sim: dict[str, Any]) -> None:
        self._live.update(
            Group(self._prices(statuses), self._processes(statuses), self._orders(statuses), self._hops(statuses))
        )

    def note(self, line: str) -> None:
        self._console.print(line, highlight=False)

    def close(self) -> None:
        self._live.stop()

    def _prices(self, statuses: Statuses) -> Table:
        table = _table("market", "symbol", "bid", "ask")
        for status in statuses.values():
            for symbol, (bid, ask) in list(status.get("prices", {}).items())[:6]:
                table.add_row(symbol, f"{bid:,}", f"{ask:,}")
            if status.get("prices"):
                break
        return table

    def _processes(self, statuses: Statuses) -> Table:
        table = _table("processes", "process", "state", "tickers", "msg/s", "drops", "gaps", "lost", "errors")
        for name, status in statuses.items():
            counters = status["counters"]
            drops = sum(queue["dropped"] for queue in status["queues"].values())
            table.add_row(
                name, status["state"], str(counters["tickers"]), f"{self._rate(name, status):.0f}", str(drops),
                str(counters["gaps"]), str(counters["lost"]), str(counters["errors"]),
            )  # fmt: skip
        return table

    def _rate(self, name: str, status: dict[str, Any]) -> float:
        count = status["counters"]["tickers"] + status["counters"]["trades"]
        before, previous = self._last.get(name, (status["started"], 0))
        if status["written"] > before:
            self._last[name] = (status["written"], count)
        return float(count - previous) / max(float(status["written"] - before), 0.1)

    def _orders(self, statuses: Statuses) -> Table:
        table = _table("orders and positions", "strategy", "symbol", "position", "average", "realised PnL", "orders")
        for name, status in statuses.items():
            if not name.endswith("_gateway"):
                continue
            orders = ", ".join(f"{count} {state}" for state, count in status.get("orders", {}).items())
            for position in status.get("positions", []):
                table.add_row(
                    position["strategy"], position["symbol"], position["amount"], position["avgPrice"],
                    position["realizedPnl"], "",
                )  # fmt: skip
            table.add_row("all", "", "", "", "", orders)
        return table

    def _hops(self, statuses: Statuses) -> Table:
        table = _table("latency", "hop", "count", "p50", "p99", "p99.9")
        for label, histogram in hop_rows(statuses):
            table.add_row(label, str(histogram.count), *(format_ns(histogram.percentile(p)) for p in (50, 99, 99.9)))
        return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table
