"""A service publishes what its stream delivers through shared memory, and another one is told the same."""

from pathlib import Path

import pytest

from hftpy.common import Channel, Exchange
from hftpy.errors import ConfigError
from hftpy.ipc.shm_folder import segment_folder, segment_path
from hftpy.service import ServiceBase, parse_section


class Keeps(ServiceBase):
    def on_setup(self):
        self.tickers = []
        self.gaps = []
        return True

    def on_ticker(self, ticker):
        self.tickers.append(ticker)

    def on_gap(self, gap):
        self.gaps.append(gap)


def market(world, transport):
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"), "reconnect_times": {"times": -1, "initial": 0.02, "max": 0.1},
    }  # fmt: skip
    return world.config("market", streams=[stream], ipc_publish={"channels": ["ticker"], "transport": transport})


async def test_a_strategy_sees_what_the_publishing_service_sees(world, eventually, root):
    reading = [{"exchange": "kraken", "channel": "ticker", "symbols": ["btc/usd"], "transport": "shm"}]
    strategy = await world.start(Keeps(world.config("strategy", ipc_subscribers=reading)))
    source = await world.start(Keeps(market(world, "shm")))
    await eventually(lambda: len(strategy.tickers) > 20)
    assert (
        segment_path(root, Exchange.KRAKEN, Channel.TICKER).exists() and not (root / "zmq/kraken.ticker.ipc").exists()
    )
    await world.stop(source)
    await eventually(lambda: len(strategy.tickers) == len(source.tickers))
    assert strategy.tickers == source.tickers and not strategy.gaps
    again = await world.start(Keeps(market(world, "shm")))
    await eventually(lambda: strategy.gaps and len(strategy.tickers) > len(source.tickers))
    assert [gap.lost for gap in strategy.gaps] == [None]
    # What the venue lost is told in its place here too.
    world.venue.front("kraken").abort_all()
    await eventually(lambda: any(gap.source == "venue" for gap in strategy.gaps))
    await world.stop(again)
    await world.stop(strategy)
    assert not segment_folder(root).exists()


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("ipc_publish.transport", {"ipc_publish": {"channels": ["ticker"], "transport": "smoke"}}),
        (
            r"ipc_subscribers\[0\].transport",
            {"ipc_subscribers": [{"exchange": "kraken", "channel": "ticker", "transport": "smoke"}]},
        ),
    ],
)
def test_a_transport_that_is_none_is_named(key, setting):
    with pytest.raises(ConfigError, match=rf"{key} must be zmq or shm, was 'smoke'"):
        parse_section("test.s", {"class_name": "x:Y", "setting": setting}, Path("."))
