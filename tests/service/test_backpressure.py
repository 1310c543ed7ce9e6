"""A hook that is too slow harms its own service alone, and what it loses is lost by policy and counted."""

import asyncio
import json
import signal

import pytest

from hftpy.common import Gap
from hftpy.service import ServiceBase
from hftpy.worker import Launcher

CAPACITY = 8


def stream(world) -> dict:
    return {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"),
    }  # fmt: skip


def what(ticker):
    return ticker.localTimeNs, ticker.bidPrice, ticker.bidVolume, ticker.askPrice, ticker.askVolume


def is_part_of(some, whole) -> bool:
    """Whether `some` stands in `whole` in one piece."""
    begin = whole.index(some[0])
    return some == whole[begin : begin + len(some)]


class Fast(ServiceBase):
    def __init__(self, config):
        super().__init__(config)
        self.seen = []
        self.gaps = []

    def on_ticker(self, ticker):
        self.seen.append(what(ticker))

    def on_gap(self, gap: Gap):
        self.gaps.append((gap.source, gap.lost))


class Slow(Fast):
    """Its first ticker takes until `go`."""

    def __init__(self, config):
        super().__init__(config)
        self.go = asyncio.Event()

    async def on_ticker(self, ticker):
        self.seen.append(what(ticker))
        await self.go.wait()


def subscriber(transport) -> dict:
    return {"ipc_subscribers": [{"exchange": "kraken", "channel": "ticker", "transport": transport}]}


@pytest.mark.parametrize("transport", ["zmq", "shm", "stream"])
@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "conflate"])
async def test_a_slow_hook_delays_nobody_and_its_losses_are_exact(world, eventually, transport, overflow):
    publish = {"channels": ["ticker"], "transport": "zmq" if transport == "stream" else transport}
    source = await world.start(Fast(world.config("source", streams=[stream(world)], ipc_publish=publish)))
    taken = {"streams": [stream(world)]} if transport == "stream" else subscriber(transport)
    queues = {"queues": {"ticker": {"capacity": CAPACITY, "overflow": overflow}}}
    fast = await world.start(Fast(world.config("fast", **taken)))
    slow = await world.start(Slow(world.config("slow", **taken, **queues)))
    await eventually(lambda: len(slow.seen) == 1 and fast.seen)
    begun = len(fast.seen)
    await eventually(lambda: len(fast.seen) >= begun + 4 * CAPACITY)
    # The others went on, without a loss, while the slow one has not come back from its first hook.
    assert len(slow.seen) == 1
    assert (fast.gaps, fast.counters["lost"], fast.status()["queues"]["ticker"]["dropped"]) == ([], 0, 0)
    assert (source.gaps, source.counters["errors"]) == ([], 0)
    assert transport == "stream" or is_part_of(fast.seen, source.seen)
    await eventually(lambda: _lost(slow) > CAPACITY)
    lost = _lost(slow)
    slow.go.set()
    await eventually(lambda: len(slow.seen) > 1 and slow.status()["queues"]["ticker"]["waiting"] == 0)
    counts = slow.status()["queues"]["ticker"]
    if overflow == "conflate":
        assert counts["conflated"] >= lost and counts["dropped"] == 0
        assert slow.gaps == []  # the newest is there: nothing that matters was lost
    else:
        await eventually(lambda: sum(lost for _, lost in slow.gaps) == slow.status()["queues"]["ticker"]["dropped"])
        assert {source for source, _ in slow.gaps} == {"ring"}
        assert sum(lost for _, lost in slow.gaps) >= lost
    await eventually(lambda: _balance(slow) == 0)
    assert slow.counters["tickers"] == len(slow.seen)
    times = [ticker[0] for ticker in slow.seen]
    assert times == sorted(times)


def _lost(service) -> int:
    counts = service.status()["queues"]["ticker"]
    return counts["dropped"] + counts["conflated"]


def _balance(service) -> int:
    """What was pushed and is neither delivered, nor lost by policy, nor waiting."""
    counts = service.status()["queues"]["ticker"]
    given_way = 0 if service.config.setting.queues["ticker"].overflow == "drop_newest" else _lost(service)
    return counts["pushed"] - counts["popped"] - given_way - counts["waiting"]


CODE = """
import time
from hftpy.service import ServiceBase

class Blocked(ServiceBase):
    def on_ticker(self, ticker):
        print("blocked", flush=True)
        time.sleep(900)
"""


@pytest.mark.parametrize("transport", ["zmq", "shm"])
@pytest.mark.parametrize("how", ["sleeps", "stopped"])
async def test_a_process_that_stands_still_delays_no_other(world, eventually, root, tmp_path, transport, how):
    publish = {"channels": ["ticker"], "transport": transport}
    source = await world.start(Fast(world.config("source", streams=[stream(world)], ipc_publish=publish)))
    fast = await world.start(Fast(world.config("fast", **subscriber(transport))))
    (tmp_path / "blocked.py").write_text(CODE)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"blocked": {"class_name": "Blocked", "setting": subscriber(transport)}}))
    output = tmp_path / "output"
    launcher = Launcher()
    with output.open("wb") as file:
        child = await launcher.start_service(config, "blocked", "blocked", output=file)
        try:
            await eventually(lambda: b"blocked\n" in output.read_bytes())
            if how == "stopped":
                child.process.send_signal(signal.SIGSTOP)
            begun = len(fast.seen)
            await eventually(lambda: len(fast.seen) >= begun + 40)
            assert (fast.gaps, fast.counters["lost"]) == ([], 0)
            assert is_part_of(fast.seen[begun:], source.seen)
        finally:
            child.process.kill()
            await launcher.stop("blocked")
