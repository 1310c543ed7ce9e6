"""Klines and funding of every venue that has them, against venues that the test drives by hand."""

import pytest
from exchange_fakes import FakeBinance, FakeKraken, FakeOkx, Observer
from product_fakes import FakeCoinbase, FakeKrakenFuture, future_ticker

from hftpy.common import Exchange, Flag, Funding, Gap, Kline
from hftpy.errors import ConfigError
from hftpy.exchange import get_exchange_stream

T = 1790000040000


def binance_kline(open_time=T, close="11", *, closed=False, event_time=None, interval="1m", symbol="BTCUSDT"):
    k = {"t": open_time, "T": open_time + 59999, "s": symbol, "i": interval, "o": "10", "c": close, "h": "20", "l": "5"}
    k |= {"v": "1", "n": 2, "x": closed, "q": "11"}
    data = {"e": "kline", "E": event_time or open_time + 500, "s": symbol, "k": k}
    return {"stream": f"{symbol.lower()}@kline_{interval}", "data": data}


def okx_frame(channel, row):
    return {"arg": {"channel": channel, "instId": "BTC-USDT-SWAP"}, "data": [row]}


@pytest.mark.parametrize(
    ("exchange", "path"), [(Exchange.BINANCE, "/stream"), (Exchange.BINANCE_FUTURE, "/market/stream")]
)
async def test_klines_of_binance(run_stream, exchange, path):
    async with FakeBinance() as venue:
        observer = Observer()
        args = {"subscribe_channels": ["kline"], "subscribe_args": {"kline": {"interval": "5m"}}}
        stream, _ = run_stream(exchange, venue, observer, currency_pairs=["btc/usdt"], **args)
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == [path] and venue.messages[0]["params"] == ["btcusdt@kline_5m"]
        await venue.send(binance_kline(close="11", interval="5m", event_time=T + 2))
        await venue.send(binance_kline(close="12", interval="5m", event_time=T + 1))  # older
        await venue.send(binance_kline(close="13", interval="1m"))  # of nobody
        await venue.send(binance_kline(close="14", interval="5m", event_time=T + 3, closed=True))
        await venue.send(binance_kline(T + 300000, close="15", interval="5m"))
        klines = await observer.count(3, Kline)
        assert [kline.close for kline in klines] == [11.0, 14.0, 15.0]
        assert [kline.closed for kline in klines] == [False, True, False]
        assert klines[0].symbol == "btc/usdt" and klines[0].intervalS == 300
        stats = stream.stats["kline"]
        assert (stats["outdated"], stats["unwanted"], stats["events"]) == (1, 1, 3)


async def test_klines_of_kraken(run_stream):
    async with FakeKraken() as venue:
        observer = Observer()
        args = {"subscribe_channels": ["kline"], "subscribe_args": {"interval": "1h"}}
        run_stream(Exchange.KRAKEN, venue, observer, **args)
        await venue.until(lambda: bool(venue.messages))
        params = {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 60, "snapshot": False}
        assert venue.messages[0]["params"] == params
        row = {"symbol": "BTC/USD", "open": 1, "high": 3, "low": 1, "close": 2, "volume": 5, "trades": 6}
        row["interval"] = 60
        row["interval_begin"] = "2026-11-20T10:00:00.000000000Z"
        frame = {"channel": "ohlc", "type": "update", "timestamp": "2026-11-20T10:00:01.5Z", "data": [row]}
        await venue.send(frame)
        (kline,) = await observer.count(1, Kline)
        assert (kline.symbol, kline.close, kline.tradeCount, kline.intervalS) == ("btc/usd", 2.0, 6, 3600)


async def test_klines_of_okx_are_on_the_business_address(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        args = {"subscribe_channels": ["kline"], "subscribe_args": {"kline": {"interval": "1d"}}}
        run_stream(Exchange.OKX_SWAP, venue, observer, currency_pairs=["btc/usdt"], **args)
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == ["/ws/v5/business"]
        assert venue.messages[0]["args"] == [{"channel": "candle1Dutc", "instId": "BTC-USDT-SWAP"}]
        await venue.send(okx_frame("candle1Dutc", [str(T), "1", "2", "1", "2", "3", "3", "4", "1"]))
        (kline,) = await observer.count(1, Kline)
        assert (kline.symbol, kline.flags, kline.quoteVolume) == ("btc/usdt", Flag.CLOSED, 4.0)


async def test_funding_of_okx_comes_from_two_channels(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(
            Exchange.OKX_SWAP, venue, observer, currency_pairs=["btc/usdt"], subscribe_channels=["funding"]
        )
        await venue.until(lambda: bool(venue.messages))
        assert [arg["channel"] for arg in venue.messages[0]["args"]] == ["funding-rate", "mark-price"]
        row = {"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "nextFundingRate": "0.0002", "ts": str(T)}
        row |= {"fundingTime": str(T + 1000), "nextFundingTime": str(T + 2000)}
        await venue.send(okx_frame("funding-rate", row))
        await venue.send(okx_frame("mark-price", {"instId": "BTC-USDT-SWAP", "markPx": "100.5", "ts": str(T + 5)}))
        await venue.send(okx_frame("mark-price", {"instId": "BTC-USDT-SWAP", "markPx": "99", "ts": str(T + 4)}))
        await venue.send(okx_frame("funding-rate", {**row, "nextFundingRate": "", "ts": str(T + 6)}))
        first, second, third = await observer.count(3, Funding)
        assert (first.rate, first.next_rate, first.next_funding_time, first.mark_price) == (
            0.0001, 0.0002, (T + 1000) * 1000, None,
        )  # fmt: skip
        assert (second.rate, second.mark_price, second.timestamp) == (0.0001, 100.5, (T + 5) * 1000)
        assert (third.next_rate, third.mark_price) == (None, 100.5)
        assert stream.stats["funding"]["outdated"] == 1 and stream.stats["funding"]["connected"]


async def test_funding_of_binance(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        settings = {"currency_pairs": ["btc/usdt"], "subscribe_channels": ["funding"]}
        run_stream(Exchange.BINANCE_FUTURE, venue, observer, **settings)
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == ["/market/stream"] and venue.messages[0]["params"] == ["btcusdt@markPrice@1s"]
        data = {"e": "markPriceUpdate", "E": T, "s": "BTCUSDT", "p": "100.5", "P": "1", "i": "100.25", "r": "-0.0002"}
        await venue.send({"stream": "btcusdt@markPrice@1s", "data": {**data, "T": T + 1000}})
        (funding,) = await observer.count(1, Funding)
        assert (funding.symbol, funding.rate, funding.mark_price, funding.index_price, funding.next_funding_time) == (
            "btc/usdt", -0.0002, 100.5, 100.25, (T + 1000) * 1000,
        )  # fmt: skip
        await venue.connections[0].close()
        await observer.count(1, Gap)


async def test_an_interval_that_the_venue_does_not_have(run_stream):
    async with FakeBinance() as venue:
        args = {"subscribe_channels": ["kline"], "subscribe_args": {"interval": "7m"}}
        _, task = run_stream(Exchange.BINANCE, venue, Observer(), **args)
        with pytest.raises(ConfigError, match=r"interval must be one of 1s, 1m, .* at binance, was '7m'"):
            await task


def test_spot_has_no_funding():
    for exchange in (Exchange.BINANCE, Exchange.KRAKEN, Exchange.COINBASE):
        with pytest.raises(ConfigError, match="has no channel 'funding': spot pairs have no funding"):
            get_exchange_stream(exchange, currency_pairs=["btc/usdt"], subscribe_channels=["funding"])


def test_kraken_futures_has_no_klines():
    with pytest.raises(ConfigError, match=r"KrakenFutureStream has no channel 'kline': .* no feed of candles"):
        get_exchange_stream("kraken_future", currency_pairs=["btc/usd"], subscribe_channels=["kline"])


def candle(start, close="11", product="BTC-USD"):
    row = {"start": str(start), "high": "20", "low": "5", "open": "10", "close": close, "volume": "1.5"}
    return row | {"product_id": product}


# The fake's frames were published at this second.
PUBLISHED = 1786309548
OPEN = PUBLISHED // 300 * 300


@pytest.mark.parametrize("client", ["picows", "websockets"])
async def test_klines_of_coinbase(run_stream, client):
    async with FakeCoinbase() as venue:
        observer = Observer()
        settings = {"currency_pairs": ["btc/usdc"], "subscribe_channels": ["kline"], "client": client}
        stream, _ = run_stream(Exchange.COINBASE, venue, observer, **settings)
        await venue.until(lambda: len(venue.messages) == 2)
        assert venue.messages[0] == {"type": "subscribe", "product_ids": ["BTC-USDC"], "channel": "candles"}
        assert venue.messages[1]["channel"] == "heartbeats"
        # The newest first, under the name of the pair in USD.
        history = [candle(OPEN, "3"), candle(OPEN - 300, "2"), candle(OPEN - 600, "1")]
        await venue.emit("candles", [{"type": "snapshot", "candles": history}])
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "4")]}])
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "9", "ETH-USD")]}])
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN + 300, "5")]}])
        klines = await observer.count(5, Kline)
        assert [kline.close for kline in klines] == [1.0, 2.0, 3.0, 4.0, 5.0]
        closed = Flag.SNAPSHOT | Flag.CLOSED
        assert [kline.flags for kline in klines] == [closed, closed, Flag.SNAPSHOT, 0, 0]
        assert {(str(kline.symbol), kline.intervalS) for kline in klines} == {("btc/usdc", 300)}
        stats = stream.stats["kline"]
        assert (stats["events"], stats["gaps"], stats["unwanted"], stats["parse_errors"]) == (5, 0, 1, 0)


async def test_lost_frames_of_coinbase_klines_are_told(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()
        settings = {"currency_pairs": ["btc/usd"], "subscribe_channels": ["kline"]}
        settings["subscribe_args"] = {"interval": "5m"}
        stream, _ = run_stream(Exchange.COINBASE, venue, observer, **settings)
        await venue.until(lambda: len(venue.messages) == 2)
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "1")]}])
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "2")]}], skip=2)
        # By a heartbeat too; a frame that comes late is dropped.
        await venue.emit("heartbeats", [{"heartbeat_counter": 1}], skip=1)
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "3")]}], skip=-2)
        await observer.count(2, Gap)
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "4")]}], skip=1)
        await observer.count(3, Kline)
        shown = [item.close if isinstance(item, Kline) else (item.reason, item.lost) for item in observer.log]
        assert shown == [1.0, ("frame numbers", 2), 2.0, ("frame numbers", 1), 4.0]
        assert stream.stats["kline"]["outdated"] == 1
        # A frame that cannot be read is one that is lost.
        bad = venue.numbered("candles", [{"type": "update", "candles": [candle(OPEN, "NaN")]}])
        await venue.send(bad)
        await venue.emit("candles", [{"type": "update", "candles": [candle(OPEN, "5")]}])
        assert [kline.close for kline in await observer.count(4, Kline)][3] == 5.0
        assert stream.stats["kline"]["parse_errors"] == 1 and stream.stats["kline"]["gaps"] == 3


async def test_history_of_klines_comes_once(run_stream):
    async with FakeCoinbase() as venue:
        observer = Observer()

        async def begin(connection, message):
            if message["channel"] == "candles":
                rows = [candle(OPEN - 300, "1"), candle(OPEN, "2" if len(venue.connections) == 1 else "3")]
                await venue.emit("candles", [{"type": "snapshot", "candles": rows}])

        venue.on_subscribed = begin
        settings = {"currency_pairs": ["btc/usd"], "subscribe_channels": ["kline"]}
        stream, _ = run_stream(Exchange.COINBASE, venue, observer, **settings)
        await observer.count(2, Kline)
        await venue.until(lambda: len(venue.messages) == 2)
        await venue.connections[0].close()
        klines = await observer.count(3, Kline)
        assert [kline.close for kline in klines] == [1.0, 2.0, 3.0]
        assert stream.stats["kline"]["duplicates"] == 1 and len(observer.of(Gap)) == 1


async def test_coinbase_has_klines_of_five_minutes_alone(run_stream):
    async with FakeCoinbase() as venue:
        args = {"subscribe_channels": ["kline"], "subscribe_args": {"interval": "1m"}}
        _, task = run_stream(Exchange.COINBASE, venue, Observer(), **args)
        with pytest.raises(ConfigError, match="interval must be one of 5m at coinbase, was '1m'"):
            await task


async def test_funding_of_kraken_futures(run_stream):
    async with FakeKrakenFuture() as venue:
        observer = Observer()
        settings = {"currency_pairs": ["btc/usd", "eth/usd"], "subscribe_channels": ["funding"]}
        settings["subscribe_args"] = {"lite": True}  # the lite feed has no funding
        stream, _ = run_stream(Exchange.KRAKEN_FUTURE, venue, observer, **settings)
        await venue.until(lambda: len(venue.messages) == 2)
        assert venue.messages[0] == {
            "event": "subscribe", "feed": "ticker", "product_ids": ["PF_XBTUSD", "PF_ETHUSD"],
        }  # fmt: skip
        row = future_ticker(100.0) | {
            "index": 99.5, "tag": "perpetual", "funding_rate": 2.0, "relative_funding_rate": 0.00002,
            "funding_rate_prediction": 3.0, "relative_funding_rate_prediction": 0.00003,
            "next_funding_rate_time": 1790002800000,
        }  # fmt: skip
        await venue.send(row)
        await venue.send({**row, "time": row["time"] - 1, "markPrice": 1.0})
        await venue.send({**row, "product_id": "PF_SOLUSD"})
        # Zeros are left out: what was told before must not stand.
        zero = {name: value for name, value in row.items() if "funding_rate" not in name}
        await venue.send({**zero, "time": row["time"] + 1, "markPrice": 101.5})
        first, second = await observer.count(2, Funding)
        assert (first.symbol, first.rate, first.next_rate, first.mark_price, first.index_price) == (
            "btc/usd", 0.00002, 0.00003, 100.0, 99.5,
        )  # fmt: skip
        assert (first.next_funding_time, first.timestamp) == (1790002800000000, 1790000000000000)
        assert (second.rate, second.next_rate, second.next_funding_time, second.mark_price) == (0.0, 0.0, None, 101.5)
        stats = stream.stats["funding"]
        assert (stats["outdated"], stats["unwanted"], stats["parse_errors"]) == (1, 1, 0)
