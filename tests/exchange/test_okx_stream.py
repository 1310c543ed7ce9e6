"""OKX spot and swaps, against a venue that the test drives by hand."""

import asyncio
import json

import pytest
from exchange_fakes import FakeOkx, Observer, okx_best, okx_trade

from hftpy.common import Channel, CurrencyPair, Exchange, Flag, Gap, Reconnected, Side, Stale, Ticker, Trade
from hftpy.errors import SubscribeError
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.okx import OkxProtocol, OkxSwapProtocol

OKX, SWAP = Exchange.OKX, Exchange.OKX_SWAP
PAIRS = {"currency_pairs": ["btc/usdt"]}
NOW = 1790000000000


@pytest.mark.parametrize(
    ("channel", "settings", "path", "name"),
    [
        ("ticker", {}, "public", "bbo-tbt"),
        ("ticker", {"channel": "tickers"}, "public", "tickers"),
        ("trade", {}, "public", "trades"),
        ("trade", {"channel": "trades-all"}, "business", "trades-all"),
    ],
)
@pytest.mark.parametrize(("exchange", "instrument"), [(OKX, "BTC-USDT"), (SWAP, "BTC-USDT-SWAP")])
async def test_each_channel_is_asked_for_on_its_address(
    run_stream, exchange, instrument, channel, settings, path, name
):
    async with FakeOkx() as venue:
        args = {"subscribe_channels": [channel], "subscribe_args": {channel: settings}}
        stream, _ = run_stream(exchange, venue, Observer(), api_host=f"{venue.url}/{exchange}", **args, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        assert venue.paths == [f"/{exchange}/ws/v5/{path}"]
        assert venue.messages == [
            {"id": "1", "op": "subscribe", "args": [{"channel": name, "instId": instrument}]}
        ]
        async with asyncio.timeout(10):
            while not stream.stats[channel]["connected"]:
                await asyncio.sleep(0.01)


def test_the_real_venue_is_meant_unless_told_otherwise():
    protocol = OkxSwapProtocol(Channel.TICKER, [CurrencyPair("btc/usdt")], {})
    assert protocol.url == "wss://ws.okx.com:8443/ws/v5/public"
    assert protocol.keep_alive_s < protocol.heartbeat_timeout_s < 30


async def test_an_unknown_channel_is_an_error(run_stream):
    async with FakeOkx() as venue:
        _, task = run_stream(OKX, venue, Observer(), subscribe_args={"channel": "ticks"}, **PAIRS)
        with pytest.raises(ValueError, match="must be one of bbo-tbt, tickers, was 'ticks'"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_tickers_of_both_channels_and_frames_out_of_order(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for seq in (10, 12, 11, 12, 13):
            await venue.send(okx_best(seq))
        tickers = await observer.count(4, Ticker)
        assert [ticker.seq for ticker in tickers] == [10, 12, 12, 13]
        assert stream.stats["ticker"]["outdated"] == 1
        first = tickers[0]
        assert (first.symbol, first.exchange, first.exchangeTimeNs) == ("btc/usdt", OKX, (NOW + 10) * 1_000_000)
        assert (first.bidPrice, first.bidVolume, first.askPrice, first.askVolume) == (100.1, 1.5, 100.2, 2.5)
        row = {"instType": "SPOT", "instId": "BTC-USDT", "last": "5", "lastSz": "", "askPx": "5.5", "askSz": "1"}
        row |= {"bidPx": "", "bidSz": "", "ts": str(NOW)}
        await venue.send({"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": [row]})
        assert stream.stats["ticker"]["parse_errors"] == 0


async def test_sequence_that_starts_anew_after_maintenance_does_not_silence_the_stream(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(okx_best(1000))
        await venue.send(okx_best(1, time=NOW + 5000))
        await venue.send(okx_best(2, time=NOW + 5001))
        assert [ticker.seq for ticker in await observer.count(3, Ticker)] == [1000, 1, 2]
        assert stream.stats["ticker"]["outdated"] == 0


@pytest.mark.parametrize(
    ("exchange", "pair", "instrument", "symbol"),
    [
        (OKX, "btc/usdt:usdt", "BTC-USDT-SWAP", "btc/usdt:usdt"),
        (OKX, "BTC-USD:BTC", "BTC-USD-SWAP", "btc/usd:btc"),
        (OKX, "btc/usd:btc-270326", "BTC-USD-270326", "btc/usd:btc-270326"),
        (OKX, "btc/usd:btc-270326-60000-c", "BTC-USD-270326-60000-C", "btc/usd:btc-270326-60000-c"),
        (SWAP, "btc/usdt", "BTC-USDT-SWAP", "btc/usdt"),
        (SWAP, "btc/usdt:usdt", "BTC-USDT-SWAP", "btc/usdt:usdt"),
    ],
)
async def test_instruments(run_stream, exchange, pair, instrument, symbol):
    async with FakeOkx() as venue:
        observer = Observer()
        run_stream(exchange, venue, observer, currency_pairs=[pair], subscribe_channels=["trade"])
        await venue.until(lambda: bool(venue.messages))
        assert venue.messages[0]["args"][0]["instId"] == instrument
        await venue.send(okx_trade(1, instrument))
        (trade,) = await observer.count(1, Trade)
        assert (trade.symbol, trade.exchange) == (symbol, exchange)


def test_two_names_of_one_swap_are_refused():
    with pytest.raises(ValueError, match="spells both 'btc/usdt' and 'btc/usdt:usdt' BTC-USDT-SWAP"):
        get_exchange_stream(SWAP, currency_pairs=["btc/usdt", "btc/usdt:usdt"], subscribe_channels=["ticker"])
    both = get_exchange_stream(OKX, currency_pairs=["btc/usdt", "btc/usdt:usdt"], subscribe_channels=["ticker"])
    assert list(both.natives) == ["BTC-USDT", "BTC-USDT-SWAP"]


async def test_trades_repeated_and_aggregated(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(SWAP, venue, observer, subscribe_channels=["trade"], **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for number, count in ((7, 1), (10, 3), (10, 3), (9, 1), (14, 1)):
            await venue.send(okx_trade(number, "BTC-USDT-SWAP", count))
        trades = await observer.count(3, Trade)
        assert [trade.tradeId for trade in trades] == [7, 10, 14]
        assert [trade.flags for trade in trades] == [0, Flag.AGGREGATE, 0]
        assert trades[0].side is Side.SELL
        assert not observer.of(Gap)
        assert stream.stats["trade"]["duplicates"] == 2


async def test_one_refused_instrument_leaves_the_rest(run_stream):
    async with FakeOkx() as venue:
        venue.refused = {
            "ETH-USDT": "Wrong URL or channel:bbo-tbt,instId:ETH-USDT doesn't exist. Please use the correct URL"
        }
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, currency_pairs=["btc/usdt", "eth/usdt", "sol/usdt"])
        await venue.until(lambda: bool(venue.messages))
        await venue.send(okx_best(1, "SOL-USDT"))
        await venue.send(okx_best(2))
        await observer.count(2, Ticker)
        assert stream.stats["ticker"]["refused"] == 1
        assert stream.stats["ticker"]["connected"]


async def test_all_instruments_refused_is_an_error(run_stream):
    async with FakeOkx() as venue:
        venue.refused = {"BTC-USDT": "Wrong URL or channel:bbo-tbt,instId:BTC-USDT doesn't exist."}
        _, task = run_stream(OKX, venue, Observer(), **PAIRS)
        with pytest.raises(SubscribeError, match="60018: Wrong URL"):
            await asyncio.wait_for(asyncio.shield(task), 10)


async def test_a_refusal_that_names_nothing_is_of_the_whole_message(run_stream):
    async with FakeOkx() as venue:
        venue.refused = {"BTC-USDT": "Invalid request|60012"}
        _, task = run_stream(OKX, venue, Observer(), **PAIRS)
        with pytest.raises(SubscribeError, match="60012: Invalid request"):
            await asyncio.wait_for(asyncio.shield(task), 10)


@pytest.mark.parametrize("words", ["Requests too frequent|60014", "Internal system error|63999"])
async def test_temporary_refusals_connect_again(run_stream, words):
    async with FakeOkx() as venue:
        venue.refused = {"BTC-USDT": words}
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: len(venue.connections) >= 2)
        venue.refused = {}
        async with asyncio.timeout(10):
            while not stream.stats["ticker"]["connected"]:
                await asyncio.sleep(0.01)
        await venue.send(okx_best(1))
        await observer.count(1, Ticker)


async def test_service_upgrade_connects_again(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        await venue.send(okx_best(1))
        await observer.count(1, Ticker)
        words = "The connection will soon be closed for a service upgrade. Please reconnect."
        await venue.send({"event": "notice", "msg": words, "code": "64008", "connId": "8517149b"})
        await observer.count(1, Reconnected)
        assert [type(item) for item in observer.log] == [Ticker, Gap, Reconnected]


async def test_silence_is_answered_with_a_text_ping(run_stream, monkeypatch):
    monkeypatch.setattr(OkxProtocol, "keep_alive_s", 0.15)
    monkeypatch.setattr(OkxProtocol, "heartbeat_timeout_s", 5.0)
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: len(venue.pings) >= 4)
        await venue.send(okx_best(1))
        await observer.count(1, Ticker)
        assert len(venue.connections) == 1
        assert stream.stats["ticker"]["parse_errors"] == 0


async def test_data_makes_pings_unnecessary(run_stream, monkeypatch):
    monkeypatch.setattr(OkxProtocol, "keep_alive_s", 0.6)
    async with FakeOkx() as venue:
        run_stream(OKX, venue, Observer(), **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for seq in range(1, 16):
            await venue.send(okx_best(seq))
            await asyncio.sleep(0.1)
        assert not venue.pings


async def test_a_venue_that_answers_no_ping_is_left(run_stream, monkeypatch):
    monkeypatch.setattr(OkxProtocol, "keep_alive_s", 0.1)
    monkeypatch.setattr(OkxProtocol, "heartbeat_timeout_s", 0.4)
    async with FakeOkx() as venue:
        venue.ponging = False
        observer = Observer()
        run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: len(venue.connections) >= 2)
        assert venue.pings and len(observer.of(Gap)) >= 1


async def test_missing_acknowledgement_connects_again(run_stream, monkeypatch):
    monkeypatch.setattr(OkxProtocol, "ack_timeout_s", 0.2)
    async with FakeOkx() as venue:
        venue.answering = False
        observer = Observer()
        run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: len(venue.connections) >= 2)
        assert not observer.of(Reconnected)


async def test_one_silent_symbol_is_stale(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        run_stream(OKX, venue, observer, currency_pairs=["btc/usdt", "eth/usdt"], stale_after=0.3)
        await venue.until(lambda: bool(venue.messages))
        for seq in range(1, 9):
            await venue.send(okx_best(seq))
            await asyncio.sleep(0.1)
        assert [item.symbol for item in observer.of(Stale)] == ["eth/usdt"]
        assert len(venue.connections) == 1


ODD = [
    {"event": "channel-conn-count", "channel": "account", "connCount": "1", "connId": "4adc328c"},
    {"event": "error", "code": ["x"], "msg": {}, "id": []},
    {"event": ["subscribe"]},
    {"event": "subscribe", "arg": []},
    {"event": "subscribe", "arg": {"instId": ["BTC-USDT"]}},
    {"event": "login", "code": "0", "msg": ""},
    {"event": "notice"},
    {"arg": {"channel": "status"}, "data": [{"state": "ongoing", "title": "x", "ts": "1"}]},
    {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "update", "data": []},
    {"op": "x"},
    {"code": "50011", "msg": "Too Many Requests"},
    {}, [], 5, None,
]  # fmt: skip


async def test_odd_frames_kill_nothing(run_stream):
    async with FakeOkx() as venue:
        observer = Observer()
        stream, _ = run_stream(OKX, venue, observer, **PAIRS)
        await venue.until(lambda: bool(venue.messages))
        for odd in ODD:
            await venue.send(json.dumps(odd))
        for garbage in ("", "{", "pang", '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{}]}', b"\x00\xff"):
            await venue.send(garbage)
        await venue.send(okx_best(1))
        await observer.count(1, Ticker)
        assert stream.stats["ticker"]["parse_errors"] == 5
        assert len(venue.connections) == 1


def test_subscriptions_fit_the_venues_messages():
    pairs = [CurrencyPair(f"coin{i}/usdt") for i in range(3000)]
    protocol = OkxProtocol(Channel.TICKER, pairs, {})
    messages = protocol.open()
    assert all(len(message) <= 64 * 1024 for message in messages)
    assert len(messages) < 10
    assert sum(len(json.loads(message)["args"]) for message in messages) == 3000
    assert protocol.pending == set(pairs)
