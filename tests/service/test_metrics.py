"""Prometheus' text format: complete, well formed, and of the right counts."""

import re
from pathlib import Path

import pytest

from hftcore.latency import LatencyHistogram
from hftpy.service.metrics import EDGES_S, METRICS, render, upper_edge_ns
from hftpy.service.status import read_statuses

ONE_LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(
    rf"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{{(?P<labels>{ONE_LABEL}(?:,{ONE_LABEL})*)\}} "
    r"(?P<value>[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf)|NaN)$"
)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text: str) -> dict[str, dict]:
    """A strict reader: families in one piece each, every sample under its own TYPE, no sample twice."""
    families: dict[str, dict] = {}
    current = None
    lines = text.split("\n")
    assert lines.pop() == ""
    for line in lines:
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            assert name not in families and text
            current = families[name] = {"help": text, "type": None, "samples": {}}
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert families[name] is current and kind in ("counter", "gauge", "histogram")
            current["type"] = kind
        else:
            found = LINE.match(line)
            assert found, line
            suffix = "_(bucket|sum|count)$" if current["type"] == "histogram" else "^$"
            assert families[re.sub(suffix, "", found["name"])] is current, line
            key = (found["name"], tuple(LABEL.findall(found["labels"])))
            assert key not in current["samples"], line
            current["samples"][key] = float(found["value"])
    return families


def value(families, name, **labels):
    """The one sample that has these labels."""
    family = next(family for key, family in families.items() if name == key or name.startswith(f"{key}_"))
    wanted = set(labels.items())
    found = [value for (key, have), value in family["samples"].items() if key == name and wanted <= set(have)]
    assert len(found) == 1, (name, labels, found)
    return found[0]


async def test_every_counter_of_a_gateway_and_a_strategy_is_told(world, eventually, root):
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"),
    }  # fmt: skip
    _, mm1 = await world.both()
    viewer = await world.strategy("viewer", streams=[stream], tasks={}, params={"spread": 1})
    await mm1.place_order(symbol="btc/usd", side="buy", amount=1, price=10)
    await eventually(lambda: viewer.counters["tickers"] > 3 and mm1.counters["my_orders"] >= 2)
    await eventually(lambda: read_statuses(root)["mm1"]["counters"]["my_orders"] >= 2)
    await eventually(lambda: read_statuses(root)["viewer"]["latency"].get("receipt_to_callback"))
    statuses = read_statuses(root)
    families = parse(render(statuses))
    assert value(families, "hftpy_up", process="mm1") == 1
    assert value(families, "hftpy_state", process="mm1", state="running") == 1
    assert value(families, "hftpy_state", process="mm1", state="paused") == 0
    for name, status in statuses.items():
        for counter, count in status["counters"].items():
            assert value(families, f"hftpy_service_{counter}_total", process=name) == count
        for channel, counts in status["queues"].items():
            assert value(families, "hftpy_queue_waiting", process=name, channel=channel) == counts["waiting"]
        for hop, counts in status["latency"].items():
            total = sum(count for _, count in counts["counts"])
            assert value(families, "hftpy_latency_seconds_count", process=name, hop=hop) == total
            assert value(families, "hftpy_latency_seconds_bucket", process=name, hop=hop, le="+Inf") == total
    assert value(families, "hftpy_gateway_orders", process="kraken_gateway", status="new") == 1
    labels = {"process": "viewer", "exchange": "kraken", "channel": "ticker"}
    assert value(families, "hftpy_stream_connected", **labels) == 1
    assert value(families, "hftpy_publisher_sent_total", process="kraken_gateway", address="kraken.my_order") >= 2
    undescribed = [name for name, family in families.items() if family["help"] == "Not described"]
    assert not [name for name in undescribed if not name.startswith("hftpy_command_")]
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert not [name for name in families if f"`{name}`" not in documented and name not in undescribed]


def status_of(**more):
    return {
        "pid": 1, "started": 1.0, "written": 2.0, "alive": True, "state": "running", "counters": {}, "queues": {},
        "latency": {}, **more,
    }  # fmt: skip


def test_labels_are_escaped_and_numbers_are_written_as_prometheus_reads_them():
    name = 'a"b\\c\nd'
    counters = {"odd name!": float("inf"), "mine": float("nan"), "flag": True}
    families = parse(render({name: status_of(counters=counters)}))
    escaped = 'a\\"b\\\\c\\nd'
    assert ("hftpy_up", (("process", escaped),)) in families["hftpy_up"]["samples"]
    assert value(families, "hftpy_service_odd_name__total") == float("inf")
    assert value(families, "hftpy_service_flag_total") == 1
    assert families["hftpy_service_mine_total"]["help"] == "Not described"


def test_nothing_at_all():
    assert render({}) == ""


@pytest.mark.parametrize(("state", "alive", "up"), [("running", True, 1), ("running", False, 0), ("stopped", True, 0)])
def test_a_process_that_is_gone(state, alive, up):
    families = parse(render({"s": status_of(state=state, alive=alive)}))
    assert value(families, "hftpy_up") == up
    assert value(families, "hftpy_state", state="gone") == (not alive)


def test_the_buckets_are_those_of_the_core():
    """The upper edge of every duration's bucket, against the histogram itself."""
    for duration in [*range(200), *(3**power for power in range(35)), *(2**power - 1 for power in range(62))]:
        histogram = LatencyHistogram()
        histogram.record(duration)
        ((bucket, count),) = histogram.to_dict()["counts"]
        # The histogram never tells more than its maximum, so a longer one stands beside it.
        histogram.record(2**62)
        assert (histogram.percentile(50), count) == (upper_edge_ns(bucket), 1)


def test_a_histogram_counts_cumulatively():
    histogram = LatencyHistogram()
    for duration_ns in (50, 90_000, 1_000_000_000, 60_000_000_000):
        histogram.record(duration_ns)
    histogram.record(-1)
    families = parse(render({"s": status_of(latency={"hop": histogram.to_dict()})}))
    counts = [value(families, "hftpy_latency_seconds_bucket", le=f"{edge:g}") for edge in EDGES_S]
    assert counts == sorted(counts)
    assert value(families, "hftpy_latency_seconds_bucket", le="1e-07") == 1
    assert value(families, "hftpy_latency_seconds_bucket", le="0.0001") == 2
    assert value(families, "hftpy_latency_seconds_bucket", le="2.5") == 3
    assert value(families, "hftpy_latency_seconds_bucket", le="10") == 3
    assert value(families, "hftpy_latency_seconds_bucket", le="+Inf") == 4
    assert value(families, "hftpy_latency_seconds_sum") == pytest.approx(61.00009, rel=0.02)
    assert value(families, "hftpy_latency_negative_total") == 1


def test_the_official_reader_understands_it():
    """Where prometheus-client is installed; our own reader above is stricter, but ours."""
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed (extra test)")
    histogram = LatencyHistogram()
    for duration_ns in (50, 90_000, 1_000_000_000, 60_000_000_000):
        histogram.record(duration_ns)
    streams = [{"exchange": "kraken", "channels": {"ticker": {"frames": n}}} for n in (5, 7)]
    counters = {"tickers": 3, "my counter": 1, "my.counter": 2, "zähler": 4, "nan": float("nan")}
    name, hop = 'a"b\\c\nd', 'h"o\\p'
    status = status_of(counters=counters, streams=streams, latency={hop: histogram.to_dict()}, tasks={"x": {"runs": 2}})
    families = {family.name: family for family in parser.text_string_to_metric_families(render({name: status}))}
    series = [(s.name, tuple(sorted(s.labels.items()))) for family in families.values() for s in family.samples]
    assert len(series) == len(set(series))
    assert all(labels["process"] == name for labels in (dict(found) for _, found in series))
    assert [s.value for s in families["hftpy_service_my_counter"].samples] == [3]
    assert {s.labels["stream"]: s.value for s in families["hftpy_stream_frames"].samples} == {"0": 5, "1": 7}
    assert (families["hftpy_service_tickers"].type, families["hftpy_up"].type) == ("counter", "gauge")
    latency = families["hftpy_latency_seconds"]
    buckets = [(float(s.labels["le"]), s.value) for s in latency.samples if s.name.endswith("_bucket")]
    assert latency.type == "histogram" and buckets == sorted(buckets) and buckets[-1] == (float("inf"), 4)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert {s.labels["hop"] for s in latency.samples} == {hop}
    assert [s.value for s in latency.samples if s.name.endswith("_count")] == [4]


def test_no_two_counters_have_one_name():
    names = [metric.name for metric in METRICS.values()]
    assert len(names) == len(set(names))
