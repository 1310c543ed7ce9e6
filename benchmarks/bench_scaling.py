"""T20: what a message costs with 1, 100 and 10,000 symbols, with 1 to 64 subscriptions, and with 1 to 8 subscribers.

Ratios are case / base, by cost of one message (of one delivery, where there are several receivers): 1 means that the
cost does not grow. All cases of a row read equally many distinct frames or objects, so that only the symbols differ,
not how much memory the input takes; order books get frames that have just been written, as a socket's buffer has.
"""

import asyncio
import itertools
import json
import random
import string
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hftcore.book_feed import BookFeed
from hftcore.enums import Channel, Exchange
from hftcore.parse import Parser
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker
from hftpy.exchange.stream import StreamBase
from hftpy.ipc.endpoint import TRANSPORTS
from hftpy.ipc.publisher import IPCPublisher
from hftpy.ipc.subscriber import IPCSubscriber

MESSAGES = 10_000
SYMBOLS = (1, 100, 10_000)
CEILING, GOAL = 1.3, 1.1
SUBSCRIPTIONS = (1, 8, 64)
RECEIVERS = (1, 2, 8)
BASES = ["".join(letters) for letters in itertools.islice(itertools.product(string.ascii_uppercase, repeat=4), 10_000)]


def frames_over(symbols: int) -> list[bytes]:
    """`MESSAGES` quotes of Binance, spread evenly over so many symbols of equal length."""
    return [
        (
            f'{{"stream":"{BASES[n % symbols].lower()}usdt@bookTicker","data":{{"u":{400900217 + n},'
            f'"s":"{BASES[n % symbols]}USDT","b":"250.{n % 10000:04d}0000","B":"31.21000000",'
            f'"a":"251.{n % 10000:04d}0000","A":"40.66000000"}}}}'
        ).encode()
        for n in range(MESSAGES)
    ]


def tickers_over(symbols: int, messages: int = MESSAGES) -> list[Ticker]:
    """Tickers, spread evenly over so many symbols."""
    pairs = [CurrencyPair(f"{base.lower()}/usdt") for base in BASES[:symbols]]
    return [
        Ticker(exchange=Exchange.BINANCE, symbol=pairs[n % symbols], bidPrice=250 + n / 1e4, askPrice=251 + n / 1e4,
               bidVolume=1.5, askVolume=2.5, localTimeNs=1_700_000_000_000_000_000 + n)
        for n in range(messages)
    ]  # fmt: skip


def compare_symbols(versus: Any, name: str, side_of: Callable[[int, int], Callable[[], object]], times: int) -> None:
    """`side_of(symbols, times)` gives what handles all messages `times` times."""
    sides = {symbols: side_of(symbols, times) for symbols in SYMBOLS}
    versus.cost(
        "T20",
        name,
        operations=MESSAGES * times,
        base=("1 symbol", sides[1]),
        others={f"{symbols:,} symbols": sides[symbols] for symbols in SYMBOLS[1:]},
        ceilings={f"{symbols:,} symbols": CEILING for symbols in SYMBOLS[1:]},
        goals={f"{symbols:,} symbols": GOAL for symbols in SYMBOLS[1:]},
    )


def test_symbols_parser_and_ring(versus):
    def side(symbols: int, times: int) -> Callable[[], None]:
        frames = frames_over(symbols)
        parse, ring = Parser(Exchange.BINANCE).parse, Ring(Ticker, 1024)
        put, get_batch = ring.put_nowait, ring.get_batch
        assert len({parse(frame)[0].symbol for frame in frames}) == symbols

        def run() -> None:
            for _ in range(times):
                for frame in frames:
                    for ticker in parse(frame):
                        put(ticker)
                    for _ticker in get_batch():
                        pass

        return run

    compare_symbols(versus, "parser → ring → Python", side, versus.scale(10))


def depth_frames(names: list[str], begin: int, count: int) -> list[bytes]:
    """Updates of Binance's books, each of the next of these symbols; `begin`: how many came before."""
    symbols = len(names)
    return [
        (
            f'{{"stream":"{names[n % symbols].lower()}usdt@depth@100ms","data":{{"e":"depthUpdate","E":1617647603573,'
            f'"s":"{names[n % symbols]}USDT","U":{n // symbols + 1},"u":{n // symbols + 1},'
            f'"b":[["249.{99 - n % 20}000000","{n % 9}.50000000"]],"a":[["250.{n % 20 + 10}000000","1.25000000"]]}}}}'
        ).encode()
        for n in range(begin, begin + count)
    ]


@pytest.mark.parametrize("order", ["one after the other", "in random order"])
def test_symbols_books(versus, order):
    """Updates of Binance's order books to their callback: every update of a symbol of its own, or all of one.

    Every book is made anew by its REST snapshot before each round, untimed, so that with 10,000 symbols each timed
    update is its book's first one. In random order the symbols' memory is not met in the order in which it was
    allocated, which a processor would foresee.
    """
    burst = 100

    def side(symbols: int, times: int) -> Callable[[], float]:
        bids, asks = ([[f"{250 + sign * n / 100:.8f}", "1.50000000"] for n in range(1, 21)] for sign in (-1, 1))
        snapshot = json.dumps({"lastUpdateId": 0, "bids": bids, "asks": asks}).encode()
        names = BASES[:symbols]
        pairs = [f"{base.lower()}/usdt" for base in names]
        feed = BookFeed(Exchange.BINANCE, pairs, snapshots="outside")
        observer = Counting()
        feed.bind(observer)
        if order == "in random order":
            random.Random(20).shuffle(names)

        def run() -> float:
            taken = 0.0
            for _ in range(times):
                feed.reset()
                for pair in pairs:
                    assert feed.snapshot(pair, snapshot)
                observer.count = 0
                for begin in range(0, MESSAGES, burst):
                    # As a socket's buffer: what is fed has just been written, however many symbols there are.
                    frames = depth_frames(names, begin, burst)
                    started = time.perf_counter()
                    for frame in frames:
                        feed.feed(frame)
                    taken += time.perf_counter() - started
                assert observer.count == MESSAGES
            return taken

        return run

    compare_symbols(versus, f"order book updates → Python, {order}", side, versus.scale(3))


def test_symbols_encode(versus):
    codec = versus.peer("hftcore.codec")
    if codec is None:
        pytest.skip("the native codec is not built")

    def side(symbols: int, times: int) -> Callable[[], None]:
        tickers, encode = tickers_over(symbols), codec.encode_ticker

        def run() -> None:
            for _ in range(times):
                for ticker in tickers:
                    encode(ticker, 1, 1)

        return run

    compare_symbols(versus, "protobuf encode", side, versus.scale(20))


def test_symbols_decode(versus):
    codec = versus.peer("hftcore.codec")
    if codec is None:
        pytest.skip("the native codec is not built")

    def side(symbols: int, times: int) -> Callable[[], None]:
        messages, decode = [codec.encode_ticker(ticker, 1, 1) for ticker in tickers_over(symbols)], codec.decode_ticker
        assert len({decode(message)[0].symbol for message in messages}) == symbols

        def run() -> None:
            for _ in range(times):
                for message in messages:
                    decode(message)

        return run

    compare_symbols(versus, "protobuf decode", side, versus.scale(20))


class Counting:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.count = 0
        self.ticker_queue = self

    def put_nowait(self, event: object) -> bool:
        self.count += 1
        return True


class Link:
    """A publisher and some subscribers on one event loop, connected and warm."""

    def __init__(self, transport: str, subscriptions: list[list[str]]) -> None:
        self.loop = asyncio.new_event_loop()
        self._root = tempfile.TemporaryDirectory(prefix="hb-")
        root = Path(self._root.name)
        self.observers = [Counting() for _ in subscriptions]
        self.publisher = IPCPublisher(root, transport)
        self.subscribers = []
        for observer, symbols in zip(self.observers, subscriptions, strict=True):
            subscriber = IPCSubscriber([(Exchange.BINANCE, Channel.TICKER, symbols)], root, transport)
            subscriber.bind_observer(observer)
            self.subscribers.append(subscriber)
        self.loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        self.publisher.open(Exchange.BINANCE, Channel.TICKER)
        self._tasks = [asyncio.create_task(subscriber.start()) for subscriber in self.subscribers]
        probe = Ticker(exchange=Exchange.BINANCE, symbol="aaaa/usdt", bidPrice=1.0, askPrice=2.0)
        deadline = time.monotonic() + 30
        while not all(observer.count for observer in self.observers):
            assert time.monotonic() < deadline, "a subscriber did not connect"
            self.publisher.send(probe)
            await asyncio.sleep(0.02)

    def pass_on(self, tickers: list[Ticker], burst: int = 500) -> float:
        """Send all in bursts, each of which every subscriber must have received before the next; seconds taken."""
        return self.loop.run_until_complete(self._pass_on(tickers, burst))

    async def _pass_on(self, tickers: list[Ticker], burst: int) -> float:
        # What the connecting left behind must not be counted.
        await asyncio.sleep(0.05)
        send, observers = self.publisher.send, self.observers
        started = time.perf_counter()
        for begin in range(0, len(tickers), burst):
            part = tickers[begin : begin + burst]
            wanted = [observer.count + len(part) for observer in observers]
            for ticker in part:
                send(ticker)
            while any(observer.count < count for observer, count in zip(observers, wanted, strict=True)):
                await asyncio.sleep(0)
        taken = time.perf_counter() - started
        assert not any(subscriber.stats["lost"] for subscriber in self.subscribers)
        return taken

    def close(self) -> None:
        async def end() -> None:
            for subscriber in self.subscribers:
                subscriber.stop()
            await asyncio.gather(*self._tasks)

        self.loop.run_until_complete(end())
        self.publisher.close()
        self.loop.close()
        self._root.cleanup()


def link(versus: Any, transport: str, subscriptions: list[list[str]]) -> Link:
    made = Link(transport, subscriptions)
    versus.cleanup(made.close)
    return made


every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@every_transport
def test_symbols_publisher(versus, transport):
    def side(symbols: int, times: int) -> Callable[[], None]:
        tickers = tickers_over(symbols)
        root = tempfile.TemporaryDirectory(prefix="hb-")
        versus.cleanup(root.cleanup)
        publisher = IPCPublisher(root.name, transport)
        versus.cleanup(publisher.close)
        send = publisher.send

        def run() -> None:
            for _ in range(times):
                for ticker in tickers:
                    send(ticker)

        return run

    compare_symbols(versus, f"{transport} send, no subscriber", side, versus.scale(4))


@every_transport
def test_symbols_publisher_to_subscriber(versus, transport):
    def side(symbols: int, times: int) -> Callable[[], float]:
        # With --quick not all symbols come by: what counts then is that it runs.
        tickers = tickers_over(symbols)[: 1000 if versus.quick else MESSAGES]
        made = link(versus, transport, [[]])
        return lambda: sum(made.pass_on(tickers) for _ in range(times))

    compare_symbols(versus, f"{transport} publisher → subscriber → queue", side, versus.scale(3))


@every_transport
def test_subscriptions(versus, transport):
    # Every ticker is wanted; they are spread over as many symbols as are subscribed, but never fewer than 64.
    names = [f"{base.lower()}/usdt" for base in BASES[:64]]
    n = versus.scale(20_000, multiple=640)

    def side(subscriptions: int) -> Callable[[], float]:
        tickers = tickers_over(subscriptions, n)
        made = link(versus, transport, [names[:subscriptions]])
        return lambda: made.pass_on(tickers, 640)

    versus.cost("T20", f"{transport} publisher → subscriber, by subscribed symbols", operations=n,
                base=("1 subscription", side(1)),
                others={f"{count} subscriptions": side(count) for count in SUBSCRIPTIONS[1:]})  # fmt: skip


@every_transport
def test_subscribers(versus, transport):
    n = versus.scale(8_000, multiple=80)

    def side(subscribers: int) -> Callable[[], float]:
        # Fewer messages where there are more receivers: as many deliveries, so that the ratio is per delivery.
        tickers = tickers_over(1, n // subscribers)
        made = link(versus, transport, [[] for _ in range(subscribers)])
        return lambda: made.pass_on(tickers, 80)

    versus.cost("T20", f"{transport} publisher → subscribers, per delivery", operations=n,
                base=("1 subscriber", side(1)),
                others={f"{count} subscribers": side(count) for count in RECEIVERS[1:]})  # fmt: skip


class Deaf(StreamBase):
    """A stream without a venue: only what delivers to observers."""

    exchange = Exchange.BINANCE

    def ticker_channel(self) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)


def test_observers_of_a_stream(versus):
    n = versus.scale(64_000, multiple=64)
    ticker = tickers_over(1, 1)[0]

    def side(count: int) -> Callable[[], None]:
        stream = Deaf(subscribe_channels=["ticker"])
        observers = [Counting() for _ in range(count)]
        for observer in observers:
            stream.bind_observer(observer)

        def run() -> None:
            for _ in range(n // count):
                stream.deliver(Channel.TICKER, ticker)

        run()
        assert [observer.count for observer in observers] == [n // count] * count
        return run

    versus.cost("T20", "stream → observers, per delivery", operations=n, base=("1 observer", side(1)),
                others={f"{count} observers": side(count) for count in RECEIVERS[1:]})  # fmt: skip
