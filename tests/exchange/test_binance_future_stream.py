"""Binance USD-M futures, against a venue that the test drives by hand."""

import asyncio
import json

import pytest
from exchange_fakes import FakeBinance, Observer

from hftcore.parse import Parser
from hftpy.common import Channel, CurrencyPair, Exchange, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.errors import ConfigError, SubscribeError
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.binance_future import BinanceFutureProtocol

FUTURE = Exchange.BINANCE_FUTURE
PAIRS = {"currency_pairs": ["btc/usdt:usdt"]}
NOW = 1790000000000


def future_ticker(update, symbol="BTCUSDT", bid="100.10", time=None):
    time = NOW + update if time is None else time
    data = {
        "e": "bookTicker", "u": update, "s": symbol, "ps": symbol, "b": bid, "B": "1.5", "a": "100.20", "A": "2.5",
        "T": time - 1, "E": time, "st": 1,
    }  # fmt: skip
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def future_trade(number, symbol="BTCUSDT", kind="MARKET", time=None, aggregate=False):
    time = NOW + number if time is None else time
    price, quantity = ("0", "0") if kind == "NA" else ("100.1", "0.5")
    name, key = ("aggTrade", "a") if aggregate else ("trade", "t")
    data = {"e": name, "E": time + 2, "T": time, "s": symbol, key: number, "p": price, "q": quantity, "m": True}
    data |= {"st": 1, "nq": quantity, "f": number, "l": number} if aggregate else {"X": kind, "st": 1}
    return {"stream": f"{symbol.lower()}@{name}", "data": data}


@pytest.mark.parametrize(
    ("channel", "settings", "path", "stream"),
    [
        ("ticker", {}, "/public/stream", "btcusdt@bookTicker"),
        ("trade", {}, "/public/stream", "btcusdt@trade"),
        ("trade", {"aggregate": True}, "/market/stream", "btcusdt@aggTrade"),
    ],
)
async def test_each_stream_is_asked_for_on_its_route(run_stream, channel, settings, path, stream):
    async with FakeBinance() as venue:
        host = venue.url + "/binance_future"
        run_stream(
            FUTURE, venue, Observer(), api_host=host, subscribe_channels=[channel], subscribe_args=settings, **PAIRS
        )
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == ["/binance_future" + path]
        assert venue.messages == [{"method": "SUBSCRIBE", "params": [stream], "id": 1}]


def test_the_real_venue_is_meant_unless_told_otherwise():
    protocol = BinanceFutureProtocol(Channel.TICKER, [CurrencyPair("btc/usdt")], {})
    assert protocol.url == "wss://fstream.binance.com/public/stream"


async def test_tickers_and_frames_out_of_order(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for update in (10, 12, 11, 12, 13):
            await venue.send(future_ticker(update))
        # An old update stays old, whatever its time says.
        await venue.send(future_ticker(9, time=NOW + 99))
        await venue.send(future_ticker(14))
        tickers = await observer.count(5, Ticker)
        assert [ticker.seq for ticker in tickers] == [10, 12, 12, 13, 14]
        assert stream.stats["ticker"]["outdated"] == 2
        assert (tickers[0].symbol, tickers[0].exchange) == ("btc/usdt:usdt", FUTURE)
        assert tickers[0].exchangeTimeNs == (NOW + 10) * 1_000_000
        assert (tickers[0].bidPrice, tickers[0].bidVolume, tickers[0].askPrice) == (100.1, 1.5, 100.2)


@pytest.mark.parametrize("spelling", ["btc/usdt", "btc/usdt:usdt", "BTC-USDT"])
async def test_events_carry_the_pair_as_it_was_subscribed(run_stream, spelling):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, currency_pairs=[spelling])
        await venue.until(lambda: bool(venue.messages))
        await venue.send(future_ticker(1))
        (ticker,) = await observer.count(1, Ticker)
        assert ticker.symbol == CurrencyPair(spelling)
        # What one stream subscribed is no other's concern.
        assert Parser("binance_future").parse(json.dumps(future_ticker(1)).encode())[0].symbol == "btc/usdt:usdt"


async def test_dated_futures(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, currency_pairs=["btc/usdt:usdt-270326"])
        await venue.until(lambda: bool(venue.messages))
        assert venue.messages[0]["params"] == ["btcusdt_270326@bookTicker"]
        await venue.send(future_ticker(1, "BTCUSDT_270326"))
        assert (await observer.count(1, Ticker))[0].symbol == "btc/usdt:usdt-270326"


def test_two_names_of_one_contract_are_refused_and_so_is_what_the_venue_cannot_have():
    with pytest.raises(ValueError, match="spells both 'btc/usdt' and 'btc/usdt:usdt' BTCUSDT"):
        get_exchange_stream(FUTURE, currency_pairs=["btc/usdt", "btc/usdt:usdt"], subscribe_channels=["ticker"])
    with pytest.raises(ValueError, match="no options"):
        get_exchange_stream(FUTURE, currency_pairs=["btc/usd:btc-240927-60000-c"], subscribe_channels=["ticker"])


@pytest.mark.parametrize("channel", ["ticker", "trade", "book", "kline", "funding"])
@pytest.mark.parametrize("pair", ["btc/usd:btc", "btc/usd:btc-270326"])
async def test_what_is_of_coin_m_is_refused_by_name(channel, pair):
    stream = get_exchange_stream(FUTURE, currency_pairs=["btc/usdt", pair], subscribe_channels=[channel])
    stream.bind_observer(Observer())
    with pytest.raises(ConfigError, match=f"must be of USD-M futures, was '{pair}', which is of COIN-M"):
        async with asyncio.timeout(10):
            await stream.start()


@pytest.mark.parametrize("aggregate", [False, True])
async def test_trades_count_by_one(run_stream, aggregate):
    async with FakeBinance() as venue:
        observer = Observer()
        settings = {"subscribe_channels": ["trade"], "subscribe_args": {"aggregate": aggregate}}
        stream, _ = run_stream(FUTURE, venue, observer, **settings, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for number in (7, 8, 8, 12, 11):
            await venue.send(future_trade(number, aggregate=aggregate))
        await venue.send(future_trade(13, aggregate=aggregate))
        trades = await observer.count(4, Trade)
        assert [getattr(item, "tradeId", None) for item in observer.log] == [7, 8, None, 12, 13]
        gap = observer.of(Gap)[0]
        assert (gap.lost, gap.symbol, gap.channel, gap.reason) == (3, "btc/usdt:usdt", Channel.TRADE, "trade ids")
        assert stream.stats["trade"]["duplicates"] == 2
        assert (trades[0].side, trades[0].volume) == (Side.SELL, 0.5)
        assert trades[0].tradeTimeNs == (NOW + 7) * 1_000_000
        assert trades[0].exchangeTimeNs == (NOW + 9) * 1_000_000


async def test_what_is_no_trade_uses_up_its_number(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, subscribe_channels=["trade"], **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(future_trade(1, kind="NA"))
        await venue.send(future_trade(2))
        await venue.send(future_trade(3, kind="NA"))
        await venue.send(future_trade(3, kind="NA"))
        await venue.send(future_trade(4, kind="RPI"))
        await venue.send(future_trade(5, "ETHUSDT", kind="NA"))
        await venue.send(future_trade(7, kind="NA"))
        await venue.send(future_trade(8, kind="INSURANCE_FUND"))
        trades = await observer.count(3, Trade)
        assert [trade.tradeId for trade in trades] == [2, 4, 8]
        assert [getattr(item, "tradeId", "gap") for item in observer.log] == [2, 4, "gap", 8]
        assert observer.of(Gap)[0].lost == 2
        assert stream.stats["trade"]["parse_errors"] == 0


async def test_trade_ids_that_start_anew_do_not_silence_the_stream(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, subscribe_channels=["trade"], **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(future_trade(1000))
        await venue.send(future_trade(1, time=NOW + 5000))
        await venue.send(future_trade(2, time=NOW + 5001))
        assert [trade.tradeId for trade in await observer.count(3, Trade)] == [1000, 1, 2]
        assert [gap.lost for gap in observer.of(Gap)] == [None]


async def test_disconnect_is_a_gap_and_trades_lost_meanwhile_are_counted(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, subscribe_channels=["trade"], **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(future_trade(5))
        await observer.count(1, Trade)
        await venue.connections[0].close(1001, "24 hours")
        await venue.until(lambda: len(venue.messages) == 2)
        await observer.count(1, Reconnected)
        await venue.send(future_trade(9))
        await observer.count(2, Trade)
        assert [gap.lost for gap in observer.of(Gap)] == [None, 3]
        assert stream.stats["trade"]["reconnects"] == 1


async def test_shutdown_notice_connects_again(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": NOW}})
        await venue.until(lambda: len(venue.connections) == 2)
        assert len(observer.of(Gap)) == 1


async def test_silent_symbol_is_stale_and_nobody_else_is_touched(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(FUTURE, venue, observer, currency_pairs=["btc/usdt", "nosuch/usdt"], stale_after=0.3)
        await venue.until(lambda: bool(venue.messages))
        for number in range(1, 9):
            await venue.send(future_ticker(number))
            await asyncio.sleep(0.1)
        assert [item.symbol for item in observer.of(Stale)] == ["nosuch/usdt"]
        assert len(venue.connections) == 1


async def test_refusal_is_an_error(run_stream):
    async with FakeBinance() as venue:
        venue.refused = {"refuse": "Invalid request: too many streams"}
        _, task = run_stream(FUTURE, venue, Observer(), **PAIRS)
        with pytest.raises(SubscribeError, match="too many streams"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_partial_depth_and_other_channels_are_no_data_and_no_error(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(FUTURE, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        depth = {"e": "depthUpdate", "E": NOW, "T": NOW, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [], "a": []}
        await venue.send({"stream": "btcusdt@depth5", "data": depth})
        await venue.send({"stream": "!markPrice@arr@1s", "data": [{"e": "markPriceUpdate", "s": "BTCUSD_PERP"}]})
        await venue.send({"e": "listenKeyExpired", "E": NOW})
        for garbage in ('{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTC', "[]", b"\xff\xfe", ""):
            await venue.send(garbage)
        await venue.send(future_ticker(1))
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["parse_errors"] == 3
        assert len(venue.connections) == 1


async def test_many_pairs_use_several_connections_and_keep_the_message_rate(run_stream):
    async with FakeBinance() as venue:
        run_stream(FUTURE, venue, Observer(), currency_pairs=[f"c{i}/usdt" for i in range(1030)])
        await venue.until(lambda: len(venue.messages) == 7)
        assert len(venue.connections) == 2
        assert sorted(len(message["params"]) for message in venue.messages) == [6, 24, 200, 200, 200, 200, 200]
        assert BinanceFutureProtocol.send_interval_s >= 0.1
