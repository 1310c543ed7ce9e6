"""The balance of a demo: what was sent, what arrived, what was reported as lost, and what is left unexplained."""

from typing import Any

import msgspec

from hftpy.cli.demo_config import GATEWAY, STRATEGIES
from hftpy.cli.demo_view import hop_rows
from hftpy.cli.recorded import Recorded
from hftpy.cli.status import format_ns

VENUE_NAMES = {"ticker": {"ticker", "bookTicker"}, "trade": {"trade", "aggTrade"}}

Statuses = dict[str, dict[str, Any]]


class Flow(msgspec.Struct, kw_only=True):
    """One channel's way from the venue to the strategies; None where a side could not be read."""

    channel: str
    recorded: int | None  # in the session that was replayed
    sent: int | None  # by the venue
    withheld: int  # by a fault of the venue
    gateway: int | None
    published: int | None
    strategies: dict[str, int]
    lost: dict[str, int]  # reported by each strategy's subscriber and ring


class Summary(msgspec.Struct, kw_only=True):
    """What the demo prints at its end."""

    ok: bool
    seconds: float
    interrupted: bool
    problems: list[str]
    notes: list[str]
    flows: list[Flow]
    gaps: int
    reconnects: int
    orders: dict[str, int]
    orders_sent: int
    fills: int
    venue_fills: int
    positions: list[dict[str, str]]
    in_order: bool | None
    latency: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """JSON types alone."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def text(self) -> str:
        """For people."""
        lines = ["", f"summary of {self.seconds:.1f} s"]
        for flow in self.flows:
            arrived = ", ".join(f"{name} {count}" for name, count in flow.strategies.items())
            lost = sum(flow.lost.values())
            recorded = f"recorded {flow.recorded}, " if flow.recorded is not None else ""
            withheld = f" ({flow.withheld} withheld by a fault)" if flow.withheld else ""
            lines.append(
                f"  {flow.channel + 's':8} {recorded}sent {_shown(flow.sent)}{withheld}, "
                f"gateway {_shown(flow.gateway)}, {arrived}; reported lost {lost}"
            )
        if self.in_order is not None:
            verdict = "equal the recording, in order," if self.in_order else "DIFFER from the recording"
            lines.append(f"  order    tickers {verdict} at both strategies")
        states = ", ".join(f"{count} {state}" for state, count in self.orders.items()) or "none"
        lines.append(f"  orders   {self.orders_sent} sent: {states}; fills {self.fills} (venue {self.venue_fills})")
        for position in self.positions:
            lines.append(
                f"  position {position['strategy']} {position['symbol']} {position['amount']} "
                f"at {position['avgPrice']}, realised {position['realizedPnl']}"
            )
        lines.append(f"  gaps     {self.gaps} reported, {self.reconnects} reconnects")
        lines.append(f"  {'latency':34} {'count':>8} {'p50':>10} {'p99':>10} {'p99.9':>10}")
        for row in self.latency:
            lines.append(
                f"  {row['hop']:34} {row['count']:>8} {format_ns(row['p50_ns']):>10} {format_ns(row['p99_ns']):>10} "
                f"{format_ns(row['p999_ns']):>10}"
            )
        lines += [f"  note     {note}" for note in self.notes]
        lines += [f"  PROBLEM  {problem}" for problem in self.problems]
        verdict = "ok: nothing was lost without being reported" if self.ok else "FAILED"
        lines.append(f"  {'interrupted: not balanced' if self.interrupted else verdict}")
        return "\n".join(lines)


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)


def summarise(
    *,
    statuses: Statuses,
    sim: dict[str, Any],
    recorded: Recorded | None,
    faults: list[str],
    deaths: list[str],
    problems: list[str],
    interrupted: bool,
    seconds: float,
) -> Summary:
    """Draw the balance from the last status of each process and the venue's own counts."""
    problems = [*problems, *(f"{death}, unasked" for death in deaths)]
    notes = [f"fault {fault}" for fault in faults]
    gateway = statuses.get(GATEWAY)
    market = "kraken" if recorded is None else str(recorded.exchange)
    flows = [
        flow
        for channel in ("ticker", "trade")
        if (flow := _flow(channel, market, statuses, sim.get("venues", {}).get(market, {}), recorded)) is not None
    ]
    gaps = sum(status["counters"]["gaps"] for status in statuses.values())
    counters = gateway["counters"] if gateway else {}
    reconnects = counters.get("reconnects", 0)
    fills, venue_fills = counters.get("my_trades", 0), sim.get("fills", 0)
    complete = not interrupted and not deaths
    if complete:
        for flow in flows:
            problems += _unreported(flow, gaps_at_gateway=counters.get("gaps", 0))
        for name in (*STRATEGIES, GATEWAY):
            if name not in statuses:
                problems.append(f"{name} left no status")
            elif statuses[name]["state"] != "stopped":
                problems.append(f"{name} did not stop cleanly: {statuses[name]['state']}")
            elif statuses[name]["counters"]["errors"]:
                problems.append(f"{name}: {statuses[name]['counters']['errors']} errors in hooks")
        if fills != venue_fills and not sim.get("restarts"):
            problems.append(f"the venue made {venue_fills} fills, the gateway knows {fills}")
        told = sum(statuses[name]["counters"]["my_trades"] for name in STRATEGIES if name in statuses)
        if told != fills:
            problems.append(f"the gateway knows {fills} fills, the strategies {told}")
    in_order = None
    if recorded is not None and recorded.tickers and complete:
        in_order = all(statuses.get(name, {}).get("digest") == recorded.digest for name in STRATEGIES)
        if not in_order and not gaps:
            problems.append("the strategies' tickers differ from the recording, and no gap was reported")
    if sim.get("failure"):
        problems.append(f"the venue failed: {sim['failure']}")
    return Summary(
        ok=not problems,
        seconds=seconds,
        interrupted=interrupted,
        problems=problems,
        notes=notes,
        flows=flows,
        gaps=gaps,
        reconnects=reconnects,
        orders=gateway.get("orders", {}) if gateway else {},
        orders_sent=counters.get("orders_sent", 0),
        fills=fills,
        venue_fills=venue_fills,
        positions=gateway.get("positions", []) if gateway else [],
        in_order=in_order,
        latency=[
            {
                "hop": label,
                "count": histogram.count,
                "p50_ns": histogram.percentile(50),
                "p99_ns": histogram.percentile(99),
                "p999_ns": histogram.percentile(99.9),
            }
            for label, histogram in hop_rows(statuses)
        ],
    )


def _flow(
    channel: str, market: str, statuses: Statuses, venue: dict[str, Any], recorded: Recorded | None
) -> Flow | None:
    in_recording = None if recorded is None else recorded.tickers if channel == "ticker" else recorded.trades
    if in_recording == 0:
        return None
    gateway = statuses.get(GATEWAY)
    streams = gateway["streams"] if gateway else []
    received = [stream["channels"][channel]["events"] for stream in streams if channel in stream["channels"]]
    return Flow(
        channel=channel,
        recorded=in_recording,
        sent=_sum(venue.get("events"), channel),
        withheld=_sum(venue.get("dropped_by_fault"), channel) or 0,
        gateway=sum(received) if received else None,
        published=gateway["publisher"].get(f"{market}.{channel}", {}).get("sent") if gateway else None,
        strategies={name: statuses[name]["counters"][channel + "s"] for name in STRATEGIES if name in statuses},
        lost={name: _reported_lost(statuses[name], channel) for name in STRATEGIES if name in statuses},
    )


def _sum(counts: dict[str, int] | None, channel: str) -> int | None:
    """What the venue counted under its own names of a channel; None if it has none of them."""
    found = [count for name, count in (counts or {}).items() if name in VENUE_NAMES[channel]]
    return sum(found) if found else None


def _reported_lost(status: dict[str, Any], channel: str) -> int:
    in_ring: int = status["queues"][channel]["dropped"]
    return in_ring + sum(int(subscriber.get("lost", 0)) for subscriber in status["subscribers"])


def _unreported(flow: Flow, gaps_at_gateway: int) -> list[str]:
    problems = []
    name = flow.channel
    if flow.recorded is not None and flow.sent is not None and flow.recorded != flow.sent + flow.withheld:
        problems.append(f"the recording has {flow.recorded} {name}s, the venue sent {flow.sent}")
    if flow.sent is None or flow.gateway is None:
        problems.append(f"the {name}s cannot be balanced: sent {_shown(flow.sent)}, gateway {_shown(flow.gateway)}")
        return problems
    if flow.sent != flow.gateway and not gaps_at_gateway:
        problems.append(f"the venue sent {flow.sent} {name}s, the gateway got {flow.gateway} and reported no gap")
    for strategy, count in flow.strategies.items():
        if count + flow.lost[strategy] < flow.gateway:
            missing = flow.gateway - count - flow.lost[strategy]
            problems.append(f"{strategy} got {count} {name}s of {flow.gateway} and did not report {missing} as lost")
    return problems
