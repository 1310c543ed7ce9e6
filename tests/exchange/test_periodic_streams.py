"""Klines and funding of every venue that has them, against venues that the test drives by hand."""

import pytest
from exchange_fakes import FakeBinance, FakeKraken, FakeOkx, Observer

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
    for exchange in (Exchange.BINANCE, Exchange.KRAKEN):
        with pytest.raises(ValueError, match="has no channel 'funding'"):
            get_exchange_stream(exchange, currency_pairs=["btc/usdt"], subscribe_channels=["funding"])
