"""Prometheus' text format, rendered from statuses: a name for every counter, a histogram for every hop.

`METRICS` is the one table of names. What a status counts and the table does not know is told under the name that the
same rule gives it, so that nothing is left out.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("setting up", "starting", "running", "paused", "stalled", "silent", "stopping", "stopped", "failed", "gone")
SILENT_S = 5.0  # ten times as long as there is between two statuses
# Upper edges of the buckets, seconds: 1, 2.5, 5 in each decade from 100 ns to 10 s.
EDGES_S = (*(round(digit * 10.0**power, 10) for power in range(-7, 1) for digit in (1, 2.5, 5)), 10.0)
STEPS = 32  # of hftcore.latency: buckets per power of two

_COUNT, _GAUGE, _HISTOGRAM = "counter", "gauge", "histogram"
_DESCRIBED: dict[str, dict[str, str]] = {
    # The names of a group's counters, and of its gauges with a "~".
    "": {
        "~up": "1 while the process runs",
        "~state": "1 for the state that it is in",
        "~start_time_seconds": "When it was started, since 1970",
        "~status_age_seconds": "Since its status was written",
        "~warm": "1 when the warm-up is over",
        "params_updates": "Updates of the parameters that were taken",
        "params_refused": "Updates of the parameters that were refused",
    },
    "service": {
        "tickers": "Calls of on_ticker",
        "trades": "Calls of on_trade",
        "books": "Calls of on_book",
        "klines": "Calls of on_kline",
        "fundings": "Calls of on_funding",
        "my_orders": "Calls of on_my_order",
        "my_trades": "Calls of on_my_trade",
        "gaps": "Calls of on_gap",
        "lost": "Messages that gaps told of as lost",
        "stale": "Calls of on_stale",
        "reconnects": "Calls of on_reconnected",
        "errors": "Hooks, tasks and parts that failed",
        "task_overruns": "Times of timers that passed while a call lasted",
        "private_dropped": "Events of the own account that found no room",
        "events_dropped": "Events about the data that found no room",
        "orders_sent": "Orders that a gateway sent to the venue",
        "orders_rejected": "Orders that were refused",
        "orders_unknown": "Orders whose outcome had to be asked for",
        "orders_repeated": "Order commands that came again",
        "orders_overtaken": "Order commands that came after a later cancel_all, and were refused",
        "cancels_sent": "Cancels that a gateway sent to the venue",
        "cancels_failed": "Cancels that failed",
    },
    "loop": {
        "~stalled": "1 while the event loop stands",
        "stalls": "How often it stood for longer than the threshold",
        "~longest_seconds": "The longest stall",
        "suspensions": "How often the process did not run for longer than that: it was stopped, or its machine",
        "~suspended_seconds": "For how long, together",
    },
    "interrupts": {
        "delivered": "Interrupts that reached an interruption point",
        "swallowed": "Interrupts whose cancellation was swallowed",
        "dropped": "Interrupts that interrupted nothing: no room, or their call had ended",
        "~waiting": "Tasks at an interruption point",
    },
    "next": {"rounds": "Rounds of next() that were begun", "interrupted": "Rounds that were interrupted"},
    "task": {
        "runs": "Calls of a timer",
        "overruns": "Times of a timer that passed while a call lasted",
        "~last_seconds": "How long the last call took",
        "~running_seconds": "How long the present call has taken",
    },
    "state": {
        "saves": "How often the saved state was written",
        "failures": "How often it could not be saved",
        "~saved_time_seconds": "When it was saved last, since 1970",
    },
    "queue": {
        "pushed": "Messages taken in",
        "popped": "Messages taken out",
        "dropped": "Messages lost because the hooks are too slow",
        "conflated": "Messages that a newer one replaced",
        "events_dropped": "Events about the data that found no room",
        "~waiting": "Messages that wait for a hook",
        "~high_water": "The most that ever waited",
        "~capacity": "How many may wait",
    },
    "stream": {
        "frames": "Frames read",
        "events": "Events delivered",
        "parse_errors": "Frames that could not be read",
        "callback_errors": "Observers that failed",
        "reconnects": "Connections after the first",
        "gaps": "Gaps found",
        "stale": "How often it was silent for too long",
        "refused": "Subscriptions or frames refused",
        "duplicates": "Events that came again",
        "outdated": "Events older than what was told",
        "unwanted": "Events of what was not subscribed",
        "resyncs": "Order books fetched anew",
        "dropped": "Events that an observer's queue refused",
        "~waiting": "Books that wait for a snapshot",
        "~held": "Updates held for a snapshot",
        "~connected": "1 while it is connected",
    },
    "subscriber": {
        "received": "Messages received",
        "lost": "Messages lost on the way",
        "gaps": "Gaps found",
        "malformed": "Frames that are no message",
        "duplicates": "Messages that came again",
        "filtered": "Messages of what was not subscribed",
        "restarts": "Publishers that began anew",
        "queue_full": "Messages that an observer's queue refused",
        "observer_errors": "Observers that failed",
        "tcp_refused": "Connections over tcp that a peer refused, or where it did not prove who it is",
    },
    "publisher": {
        "sent": "Messages sent",
        "~joins": "Subscriptions accepted",
        "tcp_accepted": "Connections over tcp with a key that is known",
        "tcp_denied": "Connections over tcp with a key that may not connect",
        "tcp_failed": "Connections over tcp that showed no key",
    },
    "command": {
        "sent": "Commands sent",
        "received": "Commands received",
        "handled": "Handlers that ended",
        "failed": "Handlers that failed",
        "duplicates": "Commands that came again",
        "malformed": "Frames that are no command",
        "refused": "Commands refused",
        "no_handler": "Commands without a handler",
        "no_route": "Commands whose target was not there",
        "queue_full": "Commands that found no room",
        "resent": "Commands sent again",
        "resolved": "Commands of unknown end whose end was told later",
        "ended_sent": "Commands to peers that acknowledge nothing, which ended as sent",
        "ended_received": "Commands that ended as received",
        "ended_done": "Commands whose handler ended",
        "ended_rejected": "Commands that their target refused",
        "ended_expired": "Commands whose deadline passed before they were sent",
        "ended_no_route": "Commands that nobody was there for",
        "ended_unknown": "Commands of which nobody told the end in time",
        "busy": "Commands refused for want of room",
        "expired": "Commands refused because their deadline had passed",
        "not_allowed": "Commands refused because of their sender",
        "bad_payload": "Commands refused because of their payload",
        "unknown": "Commands of which an earlier life may have run the handler",
        "malformed_answers": "Answers that cannot be read",
        "refused_answers": "Answers that are nobody's",
        "forged": "Commands, answers and subscriptions in another name than their key's",
        "tcp_refused": "Connections over tcp that a peer refused, or where it did not prove who it is",
        "tcp_accepted": "Connections over tcp with a key that is known",
        "tcp_denied": "Connections over tcp with a key that may not connect",
        "tcp_failed": "Connections over tcp that showed no key",
        "~held": "Commands that wait for their target",
        "~peers": "Processes that have joined",
        "~acknowledged": "Processes that acknowledge commands",
        "~open": "Commands without an end yet",
        "~waiting": "Commands that wait for a handler",
    },
    "gateway": {
        "~orders": "Orders of each status",
        "~joined": "Subscribers of each channel",
        "~position_amount": "Position of a strategy, in base currency",
        "~position_realized_pnl": "Its realised profit, in quote currency",
    },
    "latency": {"negative": "Durations below 0: clocks of two machines that disagree"},
}


class Metric(NamedTuple):
    """A name, its Prometheus type, and what it counts."""

    name: str
    type: str
    help: str


def _metric(group: str, key: str, text: str) -> Metric:
    is_gauge = key.startswith("~")
    parts = ["hftpy", *([group] if group else []), re.sub(r"[^a-zA-Z0-9_]", "_", key.lstrip("~"))]
    return Metric("_".join(parts) + ("" if is_gauge else "_total"), _GAUGE if is_gauge else _COUNT, text)


METRICS: dict[tuple[str, str], Metric] = {
    (group, key.lstrip("~")): _metric(group, key, text)
    for group, described in _DESCRIBED.items()
    for key, text in described.items()
}
LATENCY = Metric("hftpy_latency_seconds", _HISTOGRAM, "How long a hop took")

Labels = dict[str, str]
Sample = tuple[str, str, Labels, float]  # group, key, labels, value


def upper_edge_ns(bucket: int) -> int:
    """The largest duration in a bucket of `hftcore.latency`."""
    if bucket < 2 * STEPS:
        return bucket
    shift = bucket // STEPS - 1
    return ((bucket % STEPS + STEPS + 1) << shift) - 1


def render(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """The statuses of processes, as `read_statuses` gives them, in Prometheus' text format."""
    families: dict[str, tuple[Metric, list[str]]] = {}
    for process, status in statuses.items():
        series: dict[tuple[str, str], tuple[Metric, Labels, float]] = {}
        for group, key, labels, value in _samples(status):
            metric = METRICS.get((group, key)) or _metric(group, key, "Not described")
            place = metric.name, str(labels)
            # A series may stand there once: names of a service's own that are one to Prometheus are counted together.
            series[place] = metric, labels, value + (series[place][2] if place in series else 0)
        for metric, labels, value in series.values():
            lines = families.setdefault(metric.name, (metric, []))[1]
            lines.append(_line(metric.name, {"process": process, **labels}, value))
        for hop, counts in (status.get("latency") or {}).items():
            lines = families.setdefault(LATENCY.name, (LATENCY, []))[1]
            lines += _histogram({"process": process, "hop": hop}, counts)
    text = []
    for name in sorted(families):
        metric, lines = families[name]
        text += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.type}", *lines]
    return "\n".join(text) + "\n" if text else ""


def shown_state(status: Mapping[str, Any]) -> str:
    """The state of a process; ``gone`` if it ended without saying so, ``silent`` if it lives and says nothing, as one
    that was stopped by SIGSTOP.
    """
    state = str(status["state"])
    if state in ("stopped", "failed"):
        return state
    if not status.get("alive", True):
        return "gone"
    return "silent" if state != "stalled" and time.time() - status["written"] > SILENT_S else state


def _samples(status: Mapping[str, Any]) -> Iterator[Sample]:
    state = shown_state(status)
    alive = bool(status.get("alive", True)) and state not in ("stopped", "failed")
    yield "", "up", {}, alive
    for name in STATES if state in STATES else (*STATES, state):
        yield "", "state", {"state": name}, name == state
    yield "", "start_time_seconds", {}, status["started"]
    yield "", "status_age_seconds", {}, max(0.0, time.time() - status["written"])
    for key in ("warm", "params_updates", "params_refused"):
        if key in status:
            yield "", key, {}, status[key]
    yield from _group("service", status.get("counters"))
    loop = dict(status.get("loop") or {})
    yield from _group("loop", _renamed(loop, {"longest_s": "longest_seconds", "suspended_s": "suspended_seconds"}))
    yield from _group("interrupts", status.get("interrupts"))
    yield from _group("next", status.get("next"))
    for task, counts in (status.get("tasks") or {}).items():
        seconds = {"last_s": "last_seconds", "running_s": "running_seconds"}
        yield from _group("task", _renamed(counts, seconds), {"task": task})
    saved = status.get("saved_state")
    if saved:
        yield from _group("state", {key: saved[key] for key in ("saves", "failures")})
        yield "state", "saved_time_seconds", {}, saved["saved_ns"] / 1e9
    for queue, counts in (status.get("queues") or {}).items():
        yield from _group("queue", counts, {"channel": queue})
    for index, stream in enumerate(status.get("streams") or ()):
        for channel, counts in stream["channels"].items():
            labels = {"stream": str(index), "exchange": stream["exchange"], "channel": channel}
            yield from _group("stream", {**counts, "dropped": sum(counts.get("dropped", ()))}, labels)
    for index, counts in enumerate(status.get("subscribers") or ()):
        yield from _group("subscriber", counts, {"subscriber": str(index)})
    for address, counts in (status.get("publisher") or {}).items():
        yield from _group("publisher", counts, {"address": address})
    yield from _group("command", status.get("commands"))
    for order_status, count in (status.get("orders") or {}).items():
        yield "gateway", "orders", {"status": order_status}, count
    for channel, count in (status.get("joined") or {}).items():
        yield "gateway", "joined", {"channel": channel}, count
    for position in status.get("positions") or ():
        labels = {"strategy": position["strategy"], "symbol": position["symbol"]}
        yield "gateway", "position_amount", labels, float(position["amount"])
        yield "gateway", "position_realized_pnl", labels, float(position["realizedPnl"])
    for hop, counts in (status.get("latency") or {}).items():
        yield "latency", "negative", {"hop": hop}, counts["negative"]


def _group(group: str, counts: Mapping[str, Any] | None, labels: Labels | None = None) -> Iterator[Sample]:
    for key, value in (counts or {}).items():
        if isinstance(value, int | float):  # a flag too
            yield group, key, labels or {}, value


def _renamed(counts: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): 0.0 if key in names and value is None else value for key, value in counts.items()}


def _histogram(labels: Labels, counts: Mapping[str, Any]) -> Iterable[str]:
    """Cumulative counts; a bucket of ours counts as its upper edge, at most 3% above what was measured."""
    within = [0] * len(EDGES_S)
    total, sum_s = 0, 0.0
    for bucket, count in counts["counts"]:
        edge_s = upper_edge_ns(bucket) / 1e9
        total += count
        sum_s += count * (edge_s + (upper_edge_ns(bucket - 1) if bucket else 0) / 1e9) / 2
        for index, limit_s in enumerate(EDGES_S):
            if edge_s <= limit_s:
                within[index] += count
    for limit_s, count in zip(EDGES_S, within, strict=True):
        yield _line(f"{LATENCY.name}_bucket", {**labels, "le": f"{limit_s:g}"}, count)
    yield _line(f"{LATENCY.name}_bucket", {**labels, "le": "+Inf"}, total)
    yield _line(f"{LATENCY.name}_sum", labels, round(sum_s, 9))
    yield _line(f"{LATENCY.name}_count", labels, total)


def _line(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{shown}}} {_number(value)}"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))  # a flag is 0 or 1
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
