"""Order books, klines and funding between processes: over ZeroMQ, whatever the transport of the tickers is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipc_observer import subscribed

from hftcore.snapshot import Snapshot
from hftpy.common import Channel, CurrencyPair, Exchange, Funding, Gap, Kline
from hftpy.ipc import IPCPublisher
from hftpy.ipc.codec import DECODERS, ENCODERS
from hftpy.wire import market_pb2 as wire

PAIR = CurrencyPair("btc/usd")


def book(seq: int, levels: int = 3, symbol: str = PAIR) -> Snapshot:
    return Snapshot(
        exchange=Exchange.KRAKEN, symbol=symbol, seq=seq, exchangeTimeNs=1_700_000_000_000_000_000 + seq,
        localTimeNs=5, flags=1,
        bids=[(100 - 0.1 * level, 1 / (level + 1)) for level in range(levels)],
        asks=[(101 + 0.1 * level, 2 / (level + 1)) for level in range(levels)],
    )  # fmt: skip


def gap(symbol: CurrencyPair | None, lost: int | None) -> Gap:
    return Gap(
        exchange=Exchange.KRAKEN, channel=Channel.BOOK, symbol=symbol, reason="checksum", lost=lost, source="venue",
        timestamp=1,
    )  # fmt: skip


@pytest.mark.parametrize("levels", [0, 1, 256])
def test_every_level_survives_the_trip(levels):
    sent = book(2**62, levels)
    received = DECODERS[Channel.BOOK](ENCODERS[Snapshot](sent, 7, 9))
    assert received.value == sent and type(received.value) is Snapshot
    assert (received.exchange, received.symbol, received.seq, received.epoch) == (Exchange.KRAKEN, PAIR, 7, 9)
    assert received.value.bids == sent.bids and received.value.flags == sent.flags


def test_a_book_that_does_not_fit_together_is_an_error():
    message = wire.BookSnapshot.FromString(ENCODERS[Snapshot](book(1), 1, 1))
    message.bid_volumes.append(1.0)
    with pytest.raises(ValueError, match="as many volumes as prices"):
        DECODERS[Channel.BOOK](message.SerializeToString())


@pytest.fixture(params=["zmq", "shm"])
def publisher(root: Path, request: pytest.FixtureRequest) -> Iterator[IPCPublisher]:
    made = IPCPublisher(root, request.param)
    yield made
    made.close()


def joined(root: Path, publisher: IPCPublisher, symbols: Any = (PAIR,)) -> Any:
    return subscribed(root, publisher, symbols, channel=Channel.BOOK, transport=publisher._transport)


async def test_books_arrive_in_order_and_of_the_symbols_asked_for(root, publisher, until):
    async with joined(root, publisher) as (subscriber, observer):
        sent = [book(seq, levels=seq % 20) for seq in range(1, 200)]
        for item in sent:
            publisher.send(item)
            publisher.send(book(item.seq, symbol="eth/usd"))
        await until(lambda: len(observer.log) == len(sent))
        assert observer.log == sent
        assert subscriber.stats["lost"] == 0


@pytest.mark.parametrize("symbols", [(PAIR,), ""])
async def test_a_late_joiner_is_told_the_last_book(root, publisher, until, symbols):
    publisher.open(Exchange.KRAKEN, Channel.BOOK)
    publisher.send(book(1))
    publisher.send(book(2))
    async with joined(root, publisher, symbols) as (_, observer):
        await until(lambda: observer.log)
        assert observer.log == [book(2)]


@pytest.mark.parametrize("symbol", [PAIR, None])
async def test_nobody_begins_with_a_book_that_is_no_longer_known(root, publisher, until, symbol):
    other = "eth/usd"
    publisher.open(Exchange.KRAKEN, Channel.BOOK)
    publisher.send(book(1))
    publisher.send(book(1, symbol=other))
    publisher.send_gap(gap(symbol, None))
    async with joined(root, publisher, [PAIR, other]) as (_, observer):
        publisher.send(book(2))
        await until(lambda: book(2) in observer.log)
        known = [] if symbol is None else [book(1, symbol=other)]
        assert [item for item in observer.log if item.symbol == other] == known
        assert [item for item in observer.log if item.symbol == PAIR] == [book(2)]


async def test_a_gap_comes_before_the_next_book(root, publisher, until):
    async with joined(root, publisher) as (_, observer):
        publisher.send(book(1))
        publisher.send_gap(gap(PAIR, 3))
        publisher.send(book(5))
        await until(lambda: len(observer.log) == 3)
        assert observer.seqs == [1, "gap", 5]


FULL = Kline(
    exchange=Exchange.KRAKEN, symbol=PAIR, openTimeNs=1, closeTimeNs=2, open=1.5, high=2.5, low=0.5, close=2.25,
    volume=9.75, quoteVolume=19.5, tradeCount=7, intervalS=60, exchangeTimeNs=3, localTimeNs=4, seq=5, flags=8,
)  # fmt: skip
FUNDING = Funding(
    exchange=Exchange.KRAKEN, symbol=PAIR, rate=1e-4, next_rate=-2e-4, next_funding_time=10, mark_price=9.5,
    index_price=9.25, timestamp=11, local_timestamp=12,
)  # fmt: skip
PERIODIC = [
    FULL,
    Kline(exchange=Exchange.KRAKEN, symbol=PAIR, openTimeNs=1, intervalS=60),
    FUNDING,
    Funding(exchange=Exchange.KRAKEN, symbol=PAIR),
    Funding(exchange=Exchange.KRAKEN, symbol=PAIR, rate=0.0, mark_price=0.0),
]


@pytest.mark.parametrize("sent", PERIODIC)
async def test_klines_and_fundings_arrive_as_they_were_sent(root, publisher, until, sent):
    channel = Channel.KLINE if isinstance(sent, Kline) else Channel.FUNDING
    transport = publisher._transport
    async with subscribed(root, publisher, (PAIR,), channel=channel, transport=transport) as (_, observer):
        publisher.send(sent)
        await until(lambda: observer.log)
        # What was not told is NaN in a kline, which equals nothing: compared as it is shown.
        assert [repr(item) for item in observer.log] == [repr(sent)]
        assert type(observer.log[0]) is type(sent)
