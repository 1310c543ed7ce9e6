"""The native way of a frame beside the Python one: the same data, events and counters in the same order.

Two sessions get the same script of frames and lost connections; one owns a Feed, the other goes through
`MarketProtocol.receive`.
"""

import asyncio
import gzip
import json
import random
from collections import Counter

import pytest
from exchange_fakes import Observer, binance_trade, book_ticker, kraken_ticker, kraken_trades
from product_fakes import coinbase_frame, coinbase_ticker, coinbase_trades

from hftcore.parse import Parser
from hftcore.ring import Ring
from hftpy.common import Channel, CurrencyPair, Exchange, Gap, Reconnected, Stale, Ticker, Trade
from hftpy.exchange import StreamBase
from hftpy.exchange.binance_future import BinanceFutureProtocol
from hftpy.exchange.binance_market import BinanceMarketProtocol
from hftpy.exchange.coinbase import CoinbaseMarketProtocol
from hftpy.exchange.kraken_market import KrakenMarketProtocol
from hftpy.exchange.market import FeedRules, MarketProtocol
from hftpy.exchange.venue import NativeStream, VenueSession

RULES = [
    FeedRules(),
    FeedRules(tickers="newest", trades="by_one"),
    FeedRules(trades="rising"),
    FeedRules(trades="by_one", number="seq"),
    FeedRules(trades="rising", number="seq"),
    FeedRules(tickers="newest_or_anew"),
]


class Market(NativeStream):
    stopping = False  # it runs, as far as the session knows

    async def ticker_channel(self):
        pass

    async def trade_channel(self):
        pass


def protocol_of(exchange, rules):
    """A protocol of any venue that can be parsed, which keeps the frames that carry no events."""

    class Protocol(MarketProtocol):
        def open(self):
            self.forget()
            self.pending.clear()
            return []

        def control_frame(self, frame, kind):
            self.refused[len(self.refused)] = ""
            self.other.append((frame, kind))

    Protocol.exchange, Protocol.rules, Protocol.url, Protocol.other = exchange, rules, "", []
    return Protocol


def shown(item):
    if isinstance(item, Gap | Stale | Reconnected):
        return type(item).__name__, item.channel, item.symbol, item.reason, item.lost
    fields = item.to_dict()
    assert fields.pop("localTimeNs") > 0
    return tuple(fields.values())


async def play(native, make, channel, pairs, script):
    """What two observers and the counters saw."""
    stream = Market(exchange=make.exchange, currency_pairs=pairs, subscribe_channels=[channel])
    kind = Ticker if channel is Channel.TICKER else Trade
    observer, late = Observer(), Observer()

    class Mixed:
        ticker_queue = trade_queue = Ring(kind, 1 << 16, "drop_newest")

    class Small:
        ticker_queue = trade_queue = asyncio.Queue(3)

    for bound in (observer, Mixed(), Small()):
        stream.bind_observer(bound)
    protocol = make(channel, stream.currency_pairs, {})
    session = VenueSession(stream, protocol, "", (channel,), native=native)
    assert (session.feed is not None) is native
    await session.opened()
    positions = []
    for number, step in enumerate(script):
        if number == len(script) // 2:
            stream.bind_observer(late)
        if step is None:
            session.ready = False
            await session.lost("test")
            await session.opened()
        else:
            session.frame(step)
        positions.append(len(observer.log))
    waiting = sorted(str(pair) for pair, _ in session._watch.newly_stale(session._watch.last_event_s + 1000.0, 500.0))
    stats = stream.stats[str(channel)]
    stats.pop("latency")
    session.end()
    after = stream.stats[str(channel)]
    assert after.pop("latency") is not None and after == stats
    return {
        "log": [shown(item) for item in observer.log],
        "late": [shown(item) for item in late.log],
        "ring": [shown(item) for item in Mixed.ticker_queue.get_batch()],
        "stats": stats,
        "positions": positions,
        "watched": waiting,
        "fault": session.fault,
        "started": protocol.trades_started,
        "other": getattr(protocol, "other", None),
        "pending": sorted(map(str, protocol.pending)),
    }


async def assert_same(make, channel, pairs, script):
    make.other = []
    slow = await play(False, make, channel, pairs, script)
    make.other = []
    fast = await play(True, make, channel, pairs, script)
    for key, value in slow.items():
        assert fast[key] == value, key
    return slow


def encode(message):
    return message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()


ODD = [b"", b"no json", b"[]", b"{}", b'{"data":5}', b"\xff\xfe\x00", b'{"stream":"x","data":{}}', b"null", b"[" * 3000]


def binance_script(chance, length):
    """Quotes and trades with old, repeated, lost and unknown ones; acknowledgements; lost connections."""
    numbers = Counter()
    script = []
    for _ in range(length):
        symbol = chance.choice(["BTCUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT", "NOPAIRX"])
        numbers[symbol] += chance.choice([1, 1, 1, 1, 0, 2, 5, -1, -3])
        number = max(numbers[symbol], 0)
        choice = chance.random()
        if choice < 0.4:
            script.append(book_ticker(number, symbol))
        elif choice < 0.8:
            message = binance_trade(number, symbol)
            if chance.random() < 0.2:
                message["data"]["T"] += chance.choice([-10_000, 10_000])
            script.append(message)
        elif choice < 0.9:
            script.append(chance.choice(ODD))
        elif choice < 0.97:
            script.append({"result": None, "id": chance.randint(0, 4)})
        else:
            script.append(None)
    return [None if step is None else encode(step) for step in script]


def kraken_script(chance, length):
    number, script = 100_000, []
    for second in range(length):
        symbol = chance.choice(["BTC/USD", "ETH/USD", "SOL/USD", "BAD"])
        choice = chance.random()
        if choice < 0.3:
            script.append(kraken_ticker(chance.randint(1, 99999) / 4, symbol, chance.choice(["snapshot", "update"])))
        elif choice < 0.8:
            count = chance.randint(0, 4)
            first = number + chance.choice([0, 0, 0, 1, 3, -2, -9])
            kind = chance.choice(["snapshot", "update", "update"])
            script.append(
                kraken_trades(*range(first, first + count), symbol=symbol, kind=kind, second=second // 8 % 60)
            )
            number = first + count
            if chance.random() < 0.2:
                script.append(script[-1])  # told twice
        elif choice < 0.9:
            script.append(chance.choice([*ODD, b'{"channel":"heartbeat"}', b"CloudFlare WebSocket proxy restarting"]))
        elif choice < 0.97:
            result = {"channel": "trade", "symbol": chance.choice(["BTC/USD", "ETH/USD"])}
            success = chance.random() < 0.8
            script.append({"method": "subscribe", "success": success, "result": result, "error": "no"})
        else:
            script.append(None)
    return [None if step is None else encode(step) for step in script]


def coinbase_script(chance, length):
    """Frames that count by one, most of them; trades with the newest first; acknowledgements; lost connections."""
    script, number, trade = [], 0, Counter()
    for second in range(length):
        product = chance.choice(["BTC-USD", "ETH-USD", "LTC-USD", "BAD"])
        number += chance.choice([1] * 12 + [0, 2, 5, -1, -4])
        number = max(number, 0) if chance.random() > 0.02 else 0
        choice = chance.random()
        if choice < 0.35:
            kind = chance.choice(["snapshot", "update"])
            script.append(coinbase_frame("ticker", number, [coinbase_ticker(second / 4, product, kind)]))
        elif choice < 0.75:
            count = chance.randint(0, 4)
            first = trade[product] = trade[product] + chance.choice([0, 0, 0, 1, 3, -2])
            numbers = range(first, first + count)
            kind = chance.choice(["snapshot", "update"])
            event = coinbase_trades(*numbers, product=product, kind=kind, second=second // 8 % 60)
            if chance.random() < 0.2:
                event["trades"].reverse()
            script.append(coinbase_frame("market_trades", number, [event] * chance.choice([1, 1, 1, 2])))
            trade[product] += count
        elif choice < 0.85:
            script.append(coinbase_frame(chance.choice(["heartbeats", "l2_data", "candles"]), number, []))
        elif choice < 0.92:
            listed = {"subscriptions": {chance.choice(["ticker", "market_trades"]): ["BTC-USD"], "heartbeats": ["x"]}}
            error = {"type": "error", "message": "failure to subscribe"}
            script.append(chance.choice([coinbase_frame("subscriptions", number, [listed]), error, *ODD]))
        else:
            script.append(None if chance.random() < 0.2 else {"channel": "ticker", "events": []})
    return [step if step is None else encode(step.encode() if isinstance(step, str) else step) for step in script]


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
@pytest.mark.parametrize("seed", range(8))
async def test_random_coinbase(channel, seed):
    script = coinbase_script(random.Random(seed), 400)
    found = await assert_same(CoinbaseMarketProtocol, channel, ["btc/usd", "eth/usd"], script)
    assert found["stats"]["events"] > 20 and found["stats"]["unwanted"] and found["stats"]["parse_errors"]
    assert found["stats"]["outdated"] and found["stats"]["gaps"] > 3
    assert "frame numbers" in {entry[3] for entry in found["log"] if entry[0] == "Gap"}


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
@pytest.mark.parametrize("seed", range(8))
async def test_random_binance(channel, seed):
    script = binance_script(random.Random(seed), 400)
    found = await assert_same(BinanceMarketProtocol, channel, ["btc/usdt", "eth/usdt"], script)
    assert found["stats"]["events"] > 20 and found["stats"]["unwanted"] and found["stats"]["parse_errors"]
    assert found["stats"]["outdated" if channel is Channel.TICKER else "duplicates"]


def futures_script(chance, length):
    """As `binance_script`, with times in tickers, and trades that are none."""
    script = []
    for number, step in enumerate(binance_script(chance, length)):
        message = None if step is None else json.loads(step) if step.startswith(b'{"stream":"btc') else step
        if isinstance(message, dict):
            time = 1790000000000 + number + chance.choice([0, 0, 0, 0, 9, -9])
            message["data"] |= {"E": time, "T": time}
            if message["data"].get("e") == "trade":
                nothing = chance.random() < 0.3
                message["data"] |= {"X": "NA", "p": "0", "q": "0"} if nothing else {"X": "MARKET"}
            message = encode(message)
        script.append(message)
    return script


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
@pytest.mark.parametrize("rules", [BinanceFutureProtocol.rules, FeedRules("newest_or_anew", "rising")], ids=str)
async def test_random_binance_futures(channel, rules):
    make = type("Protocol", (BinanceFutureProtocol,), {"rules": rules})
    for seed in range(6):
        script = futures_script(random.Random(seed), 400)
        found = await assert_same(make, channel, ["btc/usdt", "eth/usdt:usdt"], script)
        assert found["stats"]["events"] > 20 and found["stats"]["unwanted"]
        assert found["stats"]["outdated" if channel is Channel.TICKER else "duplicates"]


@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
@pytest.mark.parametrize("seed", range(8))
async def test_random_kraken(channel, seed):
    script = kraken_script(random.Random(seed), 400)
    found = await assert_same(KrakenMarketProtocol, channel, ["btc/usd", "eth/usd"], script)
    assert found["stats"]["events"] > 20 and found["stats"]["unwanted"] and found["stats"]["parse_errors"]
    assert found["stats"]["duplicates"] > 0 or channel is Channel.TICKER
    assert found["stats"]["gaps"] > 3


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
async def test_every_rule(channel, rules):
    for seed in range(3):
        make = protocol_of(Exchange.BINANCE, rules)
        await assert_same(make, channel, ["btc/usdt", "eth/usdt"], binance_script(random.Random(seed), 200))
        make = protocol_of(Exchange.KRAKEN, rules)
        await assert_same(make, channel, ["btc/usd", "eth/usd"], kraken_script(random.Random(seed), 200))


def lines_of(path):
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from (line.rstrip(b"\n") for line in file)


def recorded_frames(folder, exchange):
    """Frames that carry events, and every fifth of the others, in the files' order."""
    parser = Parser(exchange)
    for path in sorted(folder.glob("*.jsonl*")):
        if path.name.startswith(("EXPECTED", "DERIVED", "rest_")):
            continue
        for number, frame in enumerate(lines_of(path)):
            try:
                events = parser.parse(frame)
            except ValueError:
                events = []
            if events or number % 5 == 0:
                yield frame, [str(event.symbol) for event in events]


def session_frames(path):
    for line in lines_of(path):
        message = json.loads(line)
        if message["t"] == "recv":
            yield message["data"].encode()
        elif message["t"] == "conn":
            yield None


VENUES = {
    "binance_spot": "binance", "binance_us": "binance", "kraken": "kraken", "coinbase": "coinbase",
    "kraken_futures": "kraken_future", "okx_spot": "okx", "okx_swap": "okx_swap", "binance_usdm": "binance_future",
}  # fmt: skip


SESSIONS = [
    "binance_spot__all_20210417", "binance_us__all_20210417", "binance_spot__hftbacktest_spot_btcusdt_20240808",
    "kraken__v1_ticker_20210405", "kraken__v1_trade_20210405",
    "binance_usdm__all_20210417", "binance_usdm__hftbacktest_usdm_btcusdt_20240808",
]  # fmt: skip


PROTOCOLS = {
    "kraken": KrakenMarketProtocol, "binance_usdm": BinanceFutureProtocol, "binance": BinanceMarketProtocol,
}  # fmt: skip


@pytest.mark.recorded
@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("channel", [Channel.TICKER, Channel.TRADE])
async def test_recorded_messages(fixtures, venue, channel):
    exchange = Exchange.parse(VENUES[venue])
    try:
        Parser(exchange)
    except ValueError:
        pytest.skip(f"there is no parser for {exchange} yet")
    frames, symbols = [], Counter()
    for frame, found in recorded_frames(fixtures / venue, exchange):
        if exchange is Exchange.COINBASE:
            frames.append(None)  # its frames are numbered per connection, and these are of many
        frames.append(frame)
        symbols.update(found)
    pairs = [symbol for symbol, _ in symbols.most_common(40)]
    make = protocol_of(exchange, FeedRules(tickers="newest", trades="by_one"))
    found = await assert_same(make, channel, pairs, frames)
    assert found["stats"]["events"] > 10 and found["stats"]["unwanted"]


@pytest.mark.recorded
@pytest.mark.parametrize("name", SESSIONS)
async def test_recorded_sessions(fixtures, name):
    frames = list(session_frames(fixtures / "sessions" / f"{name}.jsonl.gz"))
    protocol = next(found for start, found in PROTOCOLS.items() if name.startswith(start))
    parser, symbols = Parser(protocol.exchange), Counter()
    for frame in frames:
        if frame is not None:
            symbols.update(str(event.symbol) for event in parser.parse(frame))
    assert symbols
    events = 0
    for channel in (Channel.TICKER, Channel.TRADE):
        found = await assert_same(protocol, channel, [CurrencyPair(symbol) for symbol in symbols], frames)
        events += found["stats"]["events"]
    assert events > 5


async def test_a_stream_that_overrides_deliver_sees_everything():
    class Own(Market):
        def deliver(self, channel, item):
            seen.append(item.seq)

    seen = []
    stream = Own(exchange="binance", currency_pairs=["btc/usdt"], subscribe_channels=["ticker"])
    protocol = BinanceMarketProtocol(Channel.TICKER, stream.currency_pairs, {})
    session = VenueSession(stream, protocol, "", (Channel.TICKER,))
    assert session.feed is None
    await session.opened()
    session.frame(encode(book_ticker(7)))
    assert seen == [7]


async def test_a_protocol_that_overrides_receive_sees_every_frame():
    class Own(BinanceMarketProtocol):
        def receive(self, frame, local_ns):
            seen.append(frame)
            return super().receive(frame, local_ns)

    seen = []
    stream = Market(exchange="binance", currency_pairs=["btc/usdt"], subscribe_channels=["ticker"])
    session = VenueSession(stream, Own(Channel.TICKER, stream.currency_pairs, {}), "", (Channel.TICKER,))
    await session.opened()
    session.frame(encode(book_ticker(7)))
    assert len(seen) == 1 and isinstance(stream, StreamBase)
