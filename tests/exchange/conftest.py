import sys
import types

try:
    import hftcore.parse  # noqa: F401
except ImportError:  # stand-in until the compiled parser is merged
    import enum
    import json
    from datetime import datetime

    from hftcore.enums import Exchange
    from hftcore.errors import ParseError
    from hftcore.symbols import pair_of_native
    from hftcore.types import Ticker, Trade

    class FrameKind(enum.IntEnum):
        EVENTS = 1
        CONTROL = 2
        OTHER = 3

    class Parser:
        def __init__(self, exchange):
            self.exchange, self.kind, self.nativeSymbols = exchange, FrameKind.OTHER, []

        def parse(self, frame, localTimeNs=0, flags=0):
            try:
                return self._parse(json.loads(frame), localTimeNs, flags)
            except (ValueError, KeyError, TypeError) as error:
                raise ParseError(str(error)) from error

        def _parse(self, m, local, flags):
            self.kind = FrameKind.EVENTS
            out = []
            if self.exchange is Exchange.KRAKEN:
                if m.get("channel") not in ("ticker", "trade"):
                    self.kind = FrameKind.CONTROL
                    return []
                flags |= m["type"] == "snapshot"
                for d in m["data"]:
                    pair = pair_of_native(self.exchange, d["symbol"])
                    t = int(datetime.fromisoformat(d["timestamp"]).timestamp() * 1e6) * 1000
                    if m["channel"] == "ticker":
                        out.append(Ticker(exchange=3, symbol=pair, bidPrice=d["bid"], bidVolume=d["bid_qty"],
                                          askPrice=d["ask"], askVolume=d["ask_qty"], exchangeTimeNs=t,
                                          localTimeNs=local, flags=flags))
                    else:
                        out.append(Trade(exchange=3, symbol=pair, price=d["price"], volume=d["qty"], side=d["side"],
                                         tradeId=d["trade_id"], tradeTimeNs=t, exchangeTimeNs=t, localTimeNs=local,
                                         flags=flags))
                return out
            d = m.get("data", m)
            if d.get("e") in ("trade", "aggTrade"):
                pair = pair_of_native(self.exchange, d["s"])
                return [Trade(exchange=1, symbol=pair, price=float(d["p"]), volume=float(d["q"]),
                              side="sell" if d["m"] else "buy", tradeId=d["t" if d["e"] == "trade" else "a"],
                              tradeTimeNs=d["T"] * 10**6, exchangeTimeNs=d["E"] * 10**6, localTimeNs=local,
                              flags=flags | (2 if d["e"] == "aggTrade" else 0))]
            if {"u", "b", "B"} <= d.keys():
                pair = pair_of_native(self.exchange, d["s"])
                return [Ticker(exchange=1, symbol=pair, bidPrice=float(d["b"]), bidVolume=float(d["B"]),
                               askPrice=float(d["a"]), askVolume=float(d["A"]), seq=d["u"], localTimeNs=local,
                               flags=flags)]
            self.kind = FrameKind.CONTROL
            return []

    module = types.ModuleType("hftcore.parse")
    module.Parser, module.FrameKind = Parser, FrameKind
    sys.modules["hftcore.parse"] = module

import asyncio

import pytest

from hftpy.exchange import get_exchange_stream

FAST = {"times": -1, "initial": 0.01, "max": 0.05}


@pytest.fixture(params=["picows", "websockets"])
def client(request):
    return request.param


@pytest.fixture
async def run_stream(client):
    """Starts streams; ends them, and checks that no task is left."""
    before = asyncio.all_tasks()
    started = []

    def start(exchange, venue, observer, **settings):
        settings = {
            "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"], "api_host": venue.url,
            "reconnect_times": FAST, "client": client,
        } | settings  # fmt: skip
        stream = get_exchange_stream(exchange=exchange, **settings)
        stream.bind_observer(observer)
        task = asyncio.create_task(stream.start())
        started.append((stream, task))
        return stream, task

    yield start
    for stream, task in started:
        async with asyncio.timeout(5):
            await stream.stop()
            await asyncio.gather(task, return_exceptions=True)
    ours = [
        task.get_name() for task in asyncio.all_tasks() - before if "hftpy" in task.get_name() and not task.done()
    ]
    assert not ours
