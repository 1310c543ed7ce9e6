import asyncio
import json

import pytest
from exchange_fakes import FakeBinance, Observer, binance_trade, book_ticker

from hftpy.common import Channel, Exchange, Gap, Stale, Ticker, Trade
from hftpy.errors import SubscribeError
from hftpy.exchange.binance_market import BinanceMarketProtocol

BINANCE = Exchange.BINANCE
PAIRS = {"currency_pairs": ["btc/usdt"]}


async def test_ticker_and_frames_out_of_order(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(BINANCE, venue, observer, currency_pairs=["btc/usdt", "eth/usdt"])
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == ["/stream"]
        assert venue.messages == [
            {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@bookTicker"], "id": 1}
        ]
        for update in (10, 12, 11, 13):
            await venue.send(book_ticker(update))
        await venue.send(book_ticker(5, "ETHUSDT"))
        tickers = await observer.count(4, Ticker)
        assert [ticker.seq for ticker in tickers] == [10, 12, 13, 5]
        assert stream.stats["ticker"]["outdated"] == 1


async def test_trades_count_by_one(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        stream, _ = run_stream(BINANCE, venue, observer, subscribe_channels=["trade"], **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        assert venue.messages[0]["params"] == ["btcusdt@trade"]
        for number in (7, 8, 8, 12):
            await venue.send(binance_trade(number))
        await observer.count(3, Trade)
        assert [getattr(item, "tradeId", None) for item in observer.log] == [7, 8, None, 12]
        assert observer.of(Gap)[0].lost == 3
        assert stream.stats["trade"]["duplicates"] == 1


async def test_aggregate_trades_on_request(run_stream):
    async with FakeBinance() as venue:
        settings = {"subscribe_channels": ["trade"], "subscribe_args": {"aggregate": True}}
        run_stream(BINANCE, venue, Observer(), **settings, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        assert venue.messages[0] == {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1}


async def test_shutdown_notice_connects_again(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(BINANCE, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1790000000000}})
        await venue.until(lambda: len(venue.connections) == 2)
        assert len(observer.of(Gap)) == 1


async def test_unknown_symbol_is_acknowledged_and_shows_as_stale(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(BINANCE, venue, observer, currency_pairs=["btc/usdt", "nosuch/usdt"], stale_after=0.3)
        await venue.until(lambda: bool(venue.messages))
        for number in range(1, 9):
            await venue.send(book_ticker(number))
            await asyncio.sleep(0.1)
        assert [item.symbol for item in observer.of(Stale)] == ["nosuch/usdt"]
        assert len(venue.connections) == 1


async def test_refusal_is_an_error(run_stream):
    async with FakeBinance() as venue:
        venue.refused = {"refuse": "Invalid request"}
        _, task = run_stream(BINANCE, venue, Observer(), **PAIRS)
        with pytest.raises(SubscribeError, match="2: Invalid request"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_odd_control_frames_kill_nothing(run_stream):
    async with FakeBinance() as venue:
        observer = Observer()
        run_stream(BINANCE, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for odd in ({"result": None, "id": [1]}, {"error": None, "id": {}}, {"data": {"e": []}}, [], 5, {}):
            await venue.send(json.dumps(odd))
        await venue.send(book_ticker(1))
        await observer.count(1, Ticker)
        assert len(venue.connections) == 1


def test_subscriptions_come_in_batches():
    protocol = BinanceMarketProtocol(Channel.TICKER, [f"c{i}/usdt" for i in range(450)], {})
    assert len(protocol.open()) == 3
    assert protocol.send_interval_s >= 0.2


async def test_many_pairs_use_several_connections_and_keep_the_message_rate(run_stream):
    async with FakeBinance() as venue:
        run_stream(BINANCE, venue, Observer(), currency_pairs=[f"c{i}/usdt" for i in range(1030)])
        await venue.until(lambda: len(venue.messages) == 7)
        assert len(venue.connections) == 2
        sizes = sorted(len(message["params"]) for message in venue.messages)
        assert sizes == [6, 24, 200, 200, 200, 200, 200]
