"""IB's example, and a service whose config names IB, against the small TWS."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tws_peer import Listed, TwsPeer, frame

from hftpy.service import ServiceBase, parse_section

EXAMPLE = Path(__file__).parents[2] / "examples" / "ib_stream.py"
AAPL = Listed("AAPL", conId=265598)


async def run(peer, *command, **env):
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**os.environ, "HFT_API_HOST": peer.url, **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


async def test_example():
    async with TwsPeer([AAPL]) as peer:

        def feed(subscription):
            if subscription.kind == "BidAsk":
                peer.quote("AAPL", "150.5", "150.55")
            else:
                peer.trade("AAPL", "150.5", 100)

        peer.on_subscribed = feed
        code, output = await run(peer, str(EXAMPLE), "--count", "2")
        assert code == 0, output
        assert sorted(output.splitlines()) == ["ticker aapl/usd 150.5 / 150.55", "trade  aapl/usd 150.5 x 100.0"]


async def test_example_with_delayed_data():
    async with TwsPeer([AAPL]) as peer:
        peer.data_type = 3

        def feed(subscription):
            request = subscription.request
            peer.send(frame(1, 6, request, 66, "1.5", 1, 0) + frame(1, 6, request, 67, "2.5", 1, 0))

        peer.on_subscribed = feed
        code, output = await run(peer, str(EXAMPLE), "--count", "1", "--delayed")
        assert code == 0, output
        assert output.splitlines() == ["ticker aapl/usd 1.5 / 2.5 (delayed)"]


class Watcher(ServiceBase):
    def on_setup(self):
        self.tickers = []
        self.gaps = []
        return True

    def on_ticker(self, ticker):
        self.tickers.append(ticker)

    def on_gap(self, gap):
        self.gaps.append(gap)


@pytest.mark.parametrize("subscribe_args", [{}, {"feed": "market_data"}])
async def test_service_with_only_the_exchange_changed(root, eventually, subscribe_args):
    async with TwsPeer([AAPL]) as peer:

        def feed(subscription):
            request = subscription.request
            peer.quote("AAPL", "1.5", "2.5")
            if subscription.kind == "MktData":
                peer.send(frame(1, 6, request, 1, "1.5", 1, 0) + frame(1, 6, request, 2, "2.5", 1, 0))

        peer.on_subscribed = feed
        stream = {
            "exchange": "ib", "currency_pairs": ["aapl/usd"], "subscribe_channels": ["ticker"], "api_host": peer.url,
            "reconnect_times": -1, "subscribe_args": subscribe_args,
        }  # fmt: skip
        section = {"class_name": "x:Y", "setting": {"streams": [stream]}}
        service = Watcher(parse_section("test.watcher", section, Path(".")))
        running = asyncio.create_task(service.run())
        try:
            await eventually(lambda: service.state == "running" and service.tickers)
            await eventually(lambda: service.streams[0].stats["ticker"]["connected"])
            (ticker,) = service.tickers
            assert (str(ticker.exchange), ticker.symbol, ticker.bidPrice) == ("ib", "aapl/usd", 1.5)
            peer.notice(2103, "Market data farm connection is broken:usfarm")
            await eventually(lambda: service.gaps)
            assert service.gaps[0].reason.startswith("2103")
        finally:
            service.request_stop()
            async with asyncio.timeout(20):
                await running
