"""The parsers of the core read what the simulated venue sends."""

import asyncio
import json

from websockets.asyncio.client import connect

from hftcore.enums import Exchange
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker, Trade
from hftpy.sim import SimVenue, SyntheticMarket


async def test_every_frame_of_both_venues_is_read_as_sent() -> None:
    market = SyntheticMarket(["btc/usdt", "doge/usdt"], seed=3, rate=300)
    async with SimVenue(market, (Exchange.KRAKEN, Exchange.BINANCE)) as venue, asyncio.timeout(30):
        async with connect(venue.ws_url("kraken") + "/v2") as socket:
            for channel, more in (("ticker", {"event_trigger": "bbo"}), ("trade", {"snapshot": True})):
                params = {"channel": channel, "symbol": ["BTC/USDT", "DOGE/USDT"], **more}
                await socket.send(json.dumps({"method": "subscribe", "params": params}))
            parser, tickers, trades = Parser(Exchange.KRAKEN), 0, 0
            while tickers < 100 or trades < 50:
                text = str(await socket.recv())
                frame, events = json.loads(text), parser.parse(text.encode())
                if frame.get("channel") not in ("ticker", "trade"):
                    assert parser.kind is FrameKind.CONTROL and events == []
                    continue
                assert len(events) == len(frame["data"])
                for event, row in zip(events, frame["data"], strict=True):
                    if isinstance(event, Ticker):
                        tickers += 1
                        assert (event.bidPrice, event.askVolume) == (row["bid"], row["ask_qty"])
                    else:
                        trades += 1
                        assert (event.price, event.volume, event.tradeId) == (row["price"], row["qty"], row["trade_id"])
                        assert str(event.side) == row["side"]
        streams = "btcusdt@bookTicker/btcusdt@trade/dogeusdt@aggTrade"
        async with connect(f"{venue.ws_url('binance')}/stream?streams={streams}") as socket:
            parser = Parser(Exchange.BINANCE)
            seen: set[str] = set()
            while len(seen) < 3:
                text = str(await socket.recv())
                frame, (event,) = json.loads(text), parser.parse(text.encode())
                seen.add(frame["stream"])
                if isinstance(event, Ticker):
                    assert event.seq == frame["data"]["u"] and event.bidPrice == float(frame["data"]["b"])
                else:
                    assert isinstance(event, Trade) and event.price == float(frame["data"]["p"])
