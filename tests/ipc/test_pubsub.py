"""IPCPublisher to IPCSubscriber over real ZeroMQ."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from ipc_observer import Observer, subscribed, ticker

from hftcore.enums import Channel, Exchange, OrderStatus, OrderType, Side
from hftcore.ring import Ring
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade
from hftpy.common.events import Gap, Reconnected, Stale
from hftpy.common.orders import MyOrder, MyTrade
from hftpy.errors import AddressInUseError, ConfigError, ObserverError, RootError
from hftpy.ipc import IPCPublisher, IPCSubscriber
from hftpy.wire import market_pb2 as wire

KRAKEN, TICKER = Exchange.KRAKEN, Channel.TICKER
BTC = CurrencyPair("btc/usd")


@pytest.fixture
def publisher(root: Path) -> Any:
    made = IPCPublisher(root)
    yield made
    made.close()


@pytest.mark.parametrize("transport", ["zmq", "shm"])
async def test_structs_survive_the_trip(root: Path, until: Callable[..., Any], transport: str) -> None:
    publisher = IPCPublisher(root, transport)
    whole = Ticker(
        exchange=KRAKEN, symbol=BTC, bidPrice=0.1, bidVolume=-0.0, askPrice=1e300, askVolume=5e-324,
        exchangeTimeNs=-1, localTimeNs=(1 << 63) - 1, seq=(1 << 64) - 1, flags=5,
    )  # fmt: skip
    trade = Trade(
        exchange=KRAKEN, symbol="btc/usd:usd", price=0.3, volume=7.0, side="sell", tradeId=-5, exchangeTimeNs=1,
        tradeTimeNs=2, localTimeNs=3, seq=9, flags=2,
    )  # fmt: skip
    async with (
        subscribed(root, publisher, transport=transport) as (_, tickers),
        subscribed(root, publisher, "", Channel.TRADE, transport=transport) as (_, trades),
    ):
        assert publisher.send(whole) == 1
        assert publisher.send(whole) == 2
        publisher.send(trade)
        await until(lambda: len(tickers.log) == 2 and trades.log)
    publisher.close()
    assert tickers.log == [whole, whole] and trades.log == [trade]
    assert str(tickers.log[0].bidVolume) == "-0.0" and tickers.log[0].seq == (1 << 64) - 1


async def test_account_events_survive_the_trip(root: Path, publisher: IPCPublisher, until: Callable[..., Any]) -> None:
    order = MyOrder(
        exchange=KRAKEN, symbol=BTC, clientOrderId="c", orderId="o", side=Side.SELL, orderType=OrderType.LIMIT,
        price=Decimal("1.10"), amount=Decimal("0.00000001"), filled=Decimal("1E-9"), avgPrice=Decimal("3"),
        status=OrderStatus.PARTIAL_FILLED, postOnly=True, reason="r", strategy="mm1", commandId="x", timestamp=5,
        localTimestamp=6,
    )  # fmt: skip
    market = MyOrder(exchange=KRAKEN, symbol=CurrencyPair("eth/usd"), clientOrderId="d", orderType=OrderType.MARKET)
    fill = MyTrade(
        exchange=KRAKEN, symbol=BTC, tradeId="t", orderId="o", clientOrderId="c", side=Side.BUY, price=Decimal("1.10"),
        amount=Decimal("2"), fee=Decimal("0.002"), feeAsset="usd", maker=True, strategy="mm1", commandId="x",
        timestamp=7, localTimestamp=8,
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        _, orders = await enter(subscribed(root, publisher, "", Channel.MY_ORDER))
        _, batches = await enter(subscribed(root, publisher, "", Channel.MY_ORDER_BATCH))
        _, some = await enter(subscribed(root, publisher, ["eth/usd"], Channel.MY_ORDER_BATCH))
        _, fills = await enter(subscribed(root, publisher, ["btc/usd"], Channel.MY_TRADE))
        publisher.send_my_order(order)
        publisher.send_my_order(market)
        publisher.send_my_order_batch("kraken", [order, market])
        publisher.send_my_trade(fill)
        await until(lambda: len(orders.log) == 2 and batches.log and some.log and fills.log)
    assert orders.log == [order, market] and batches.log == [[order, market]] and fills.log == [fill]
    assert some.log == [[market]]
    assert str(orders.log[0].price) == "1.10" and orders.log[1].price is None


async def test_btcusd_never_receives_btcusdt(root: Path, publisher: IPCPublisher, until: Callable[..., Any]) -> None:
    async with subscribed(root, publisher) as (subscriber, observer):
        publisher.send(ticker(1, "btc/usdt"))
        publisher.send(ticker(2, "btcu/sd"))  # the same topic as btc/usd
        publisher.send(ticker(3))
        await until(lambda: observer.log)
        assert observer.log == [ticker(3)]
        assert subscriber.stats["filtered"] == 1 and subscriber.stats["lost"] == 0


async def test_a_late_joiner_alone_gets_the_last_values(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (_, early):
        publisher.send(ticker(1))
        publisher.send(ticker(2))
        publisher.send(ticker(3, "eth/usd"))
        async with subscribed(root, publisher) as (_, late), subscribed(root, publisher, "") as (_, late_all):
            await until(lambda: late.log and len(late_all.log) == 2)
            publisher.send(ticker(4))
            await until(lambda: len(late.log) == 2 and len(late_all.log) == 3 and len(early.log) == 3)
        assert early.seqs == [1, 2, 4]
        assert late.seqs == [2, 4]
        assert sorted(late_all.seqs[:2]) == [2, 3] and late_all.seqs[2] == 4


async def test_a_joiner_of_everything_is_not_sent_more_than_a_frame_may_hold(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    reason = "x" * (1 << 20)
    orders = [
        MyOrder(exchange=KRAKEN, symbol=CurrencyPair(f"s{number}/usd"), clientOrderId="1", reason=reason)
        for number in range(20)
    ]
    for order in orders:
        publisher.send(order)
    async with subscribed(root, publisher, "", Channel.MY_ORDER) as (subscriber, observer):
        await until(lambda: len(observer.log) == 11)  # what stands in 12 MiB
        for order in orders:
            publisher.send(msgspec.structs.replace(order, reason="short"))
        await until(lambda: len(observer.log) == 31)
        assert [order.reason for order in observer.log[11:]] == ["short"] * 20
        with pytest.raises(ValueError, match=r"a message must have at most 16777216 bytes with its topic, was 2097"):
            publisher.send(msgspec.structs.replace(orders[0], reason=reason * 20))
        with pytest.raises(ValueError, match="at most 16777216 bytes"):
            publisher.send_gap(
                Gap(
                    exchange=KRAKEN, channel=Channel.MY_ORDER, symbol=None, reason=reason * 20, lost=None,
                    source="venue", timestamp=1,
                )
            )  # fmt: skip
        assert publisher.send(orders[0]) == 3  # those had no number
        await until(lambda: len(observer.log) == 32)
        assert (subscriber.stats["received"], subscriber.stats["lost"]) == (32, 0)


async def test_a_fill_is_not_told_again_to_a_joiner(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    fill = MyTrade(exchange=KRAKEN, symbol=BTC, tradeId="1", orderId="o")
    publisher.send(fill)
    async with subscribed(root, publisher, "", Channel.MY_TRADE) as (subscriber, observer):
        publisher.send(fill)
        await until(lambda: observer.log)
        assert observer.log == [fill] and subscriber.stats["received"] == 1


async def test_loss_at_the_high_water_mark_is_exact(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root, send_hwm=10)
    async with subscribed(root, publisher, receive_hwm=10) as (subscriber, observer):
        for seq in range(1, 20_001):  # without a pause: the subscriber, on the same loop, cannot read meanwhile
            publisher.send(ticker(seq))
        await until(lambda: subscriber.stats["received"] + subscriber.stats["lost"] == 20_000)  # tail: by heartbeat
        assert subscriber.stats["lost"] > 0
        assert sum(gap.lost or 0 for gap in observer.gaps) == subscriber.stats["lost"]
        assert all(gap.source == "ipc" and gap.symbol == BTC for gap in observer.gaps)
        # A gap stands exactly before the message that follows it.
        at = 0
        for item in observer.log:
            at += item.lost or 0 if isinstance(item, Gap) else 1
            assert isinstance(item, Gap) or item.seq == at
    publisher.close()


async def test_heartbeat_shows_loss_at_the_tail(root: Path, until: Callable[..., Any]) -> None:
    """A publisher that speaks the protocol by hand loses its last two messages."""
    (root / "zmq").mkdir(mode=0o700)
    path = root / "zmq" / "kraken.ticker.ipc"
    control = b"\x00control".ljust(32)
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{path}")
        async with subscribed(root, None) as (subscriber, observer):
            for _ in range(2):
                await until(lambda: socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)
                socket.recv()
            hello = wire.Control(epoch=7, hello=wire.Hello())
            socket.send(control + hello.SerializeToString())
            message = wire.Ticker(seq=4, epoch=7, exchange=3, symbol="btc/usd", venue_seq=4)
            socket.send(b"btcusd".ljust(32) + message.SerializeToString())
            beat = wire.Heartbeat(topics=[wire.TopicState(topic=b"btcusd".ljust(32), seq=6)])
            socket.send(control + wire.Control(epoch=7, heartbeat=beat).SerializeToString())
            await until(lambda: len(observer.gaps) == 2)
            assert observer.seqs == ["gap", 4, "gap"]
            assert [gap.lost for gap in observer.gaps] == [3, 2]
            assert subscriber.stats["last_seq"] == {"kraken.ticker": {"btcusd": 6}}
    path.unlink(missing_ok=True)


async def test_a_topic_that_was_never_heard_is_named_where_its_letters_are_one_pair_alone(
    root: Path, until: Callable[..., Any]
) -> None:
    (root / "zmq").mkdir(mode=0o700)
    path = root / "zmq" / "kraken.ticker.ipc"
    control = b"\x00control".ljust(32)
    topics = {"ethbtc": "eth/btc", "1inchusdt": "1inch/usdt", "btcusdtusdt": None, "btcusdbtc": None, "ab": None}
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{path}")
        async with subscribed(root, None, "") as (_, observer):
            await until(lambda: socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)
            socket.recv()
            states = [wire.TopicState(topic=topic.encode().ljust(32), seq=5) for topic in topics]
            for frame in (
                wire.Control(epoch=7, hello=wire.Hello()),
                wire.Control(epoch=7, heartbeat=wire.Heartbeat(topics=states)),
            ):
                socket.send(control + frame.SerializeToString())
            await until(lambda: len(observer.gaps) == len(topics))
            assert [(gap.symbol, gap.lost) for gap in observer.gaps] == [(symbol, 5) for symbol in topics.values()]
    path.unlink(missing_ok=True)


async def test_restart_of_the_publisher_is_a_gap_before_its_first_message(
    root: Path, until: Callable[..., Any]
) -> None:
    publisher = IPCPublisher(root)
    async with subscribed(root, publisher) as (subscriber, observer):
        publisher.send(ticker(1))
        publisher.send(ticker(2))
        await until(lambda: len(observer.log) == 2)
        publisher.close()
        publisher = IPCPublisher(root)
        publisher.send(ticker(11))
        publisher.send(ticker(12))
        await until(lambda: subscriber.stats["restarts"] and len(observer.log) == 4)
        publisher.send(ticker(13))
        await until(lambda: len(observer.log) == 5)
        assert observer.seqs == [1, 2, "gap", 12, 13]
        assert observer.gaps[0].lost is None and "again" in observer.gaps[0].reason
        publisher.close()


async def test_events_of_the_publisher_reach_all_of_the_address(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    gap = Gap(exchange=KRAKEN, channel=TICKER, symbol=BTC, reason="r", lost=3, source="venue", timestamp=1)
    whole = Gap(exchange=KRAKEN, channel=TICKER, symbol=None, reason="r", lost=None, source="venue", timestamp=2)
    stale = Stale(exchange=KRAKEN, channel=TICKER, symbol=None, silent_s=1.5, timestamp=3)
    again = Reconnected(exchange=KRAKEN, channel=TICKER, attempts=2, down_s=0.5, timestamp=4)
    async with subscribed(root, publisher) as (_, one), subscribed(root, publisher, ["eth/usd"]) as (_, other):
        publisher.send_gap(gap)
        publisher.send_gap(whole)
        publisher.send_stale(stale)
        publisher.send_reconnected(again)
        await until(lambda: len(one.log) == 4 and len(other.log) == 3)
    assert one.log == [gap, whole, stale, again] and other.log == [whole, stale, again]


async def test_event_queue_is_used_where_there_is_one(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (_, observer):
        observer.event_queue = asyncio.Queue()  # type: ignore[attr-defined]
        publisher.send_stale(Stale(exchange=KRAKEN, channel=TICKER, symbol=None, silent_s=1.5, timestamp=3))
        await until(lambda: observer.event_queue.qsize() == 1)  # type: ignore[attr-defined]
        assert observer.log == []


async def test_a_silent_publisher_is_told_once(root: Path, until: Callable[..., Any]) -> None:
    publisher = IPCPublisher(root)
    async with subscribed(root, publisher, silence_limit_s=0.5) as (subscriber, observer):
        publisher.send(ticker(1))
        source = next(iter(subscriber._sources.values()))
        await until(lambda: source._has_heartbeat)
        publisher.close()
        await until(lambda: len(observer.log) == 2)
        assert isinstance(observer.log[1], Stale) and observer.log[1].silent_s > 0.5


@pytest.mark.parametrize(("ours", "theirs"), [("zmq", "shm"), ("shm", "zmq")])
async def test_a_publisher_of_another_transport_is_said_not_to_be_there(
    root: Path, until: Callable[..., Any], caplog: pytest.LogCaptureFixture, ours: Any, theirs: Any
) -> None:
    elsewhere = IPCPublisher(root, theirs)
    elsewhere.open(KRAKEN, TICKER)
    subscriber, observer = IPCSubscriber([(KRAKEN, TICKER, "")], root, transport=ours, silence_limit_s=0.5), Observer()
    subscriber.bind_observer(observer)
    task = asyncio.create_task(subscriber.start())
    said = f"kraken.ticker: no publisher has been heard by {ours} for"
    await until(lambda: said in caplog.text)
    assert float(caplog.text.partition(said)[2].split()[0]) < 60
    elsewhere.send(ticker(1))
    await asyncio.sleep(1.5)
    assert caplog.text.count(said) == 1 and observer.log == []  # once, and no event: one may come yet
    elsewhere.close()
    late = IPCPublisher(root, ours)
    late.send(ticker(2))
    await until(lambda: observer.log)
    subscriber.stop()
    await task
    late.close()


async def test_a_full_queue_of_one_observer_affects_no_other(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    async with subscribed(root, publisher) as (subscriber, observer):
        full, failing = Observer(), Observer()
        full.ticker_queue = asyncio.Queue(1)  # type: ignore[attr-defined]
        failing.put_nowait = None  # type: ignore[assignment,method-assign]
        with pytest.raises(ObserverError):
            subscriber.bind_observer(failing)
        subscriber.bind_observer(full)
        for seq in range(1, 4):
            publisher.send(ticker(seq))
        await until(lambda: len(observer.log) == 3)
        assert subscriber.stats["queue_full"] == 2
        assert subscriber.stats["queue_full_by_channel"] == {"ticker": 2}
        assert full.log == []


@pytest.mark.parametrize("overflow", ["block", "halt", "drop_newest", "conflate"])
async def test_a_full_ring_of_one_observer_affects_no_other(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any], overflow: Any
) -> None:
    async with subscribed(root, publisher) as (subscriber, observer):
        full = Observer()
        ring = Ring(Ticker, 1, overflow, block_timeout=3600)
        full.ticker_queue = ring  # type: ignore[attr-defined]
        await asyncio.to_thread(ring.get_batch)  # its consumer is another thread, which takes nothing more
        subscriber.bind_observer(full)
        for seq in range(1, 4):
            publisher.send(ticker(seq))
        await until(lambda: len(observer.log) == 3)
        refused = 0 if overflow == "conflate" else 2
        assert subscriber.stats["queue_full"] == refused
        assert ring.get_nowait() == observer.log[2 - refused]


async def test_a_full_queue_of_own_orders_is_told(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with subscribed(root, publisher, "", Channel.MY_ORDER) as (subscriber, observer):
        full = Observer()
        full.my_order_queue = asyncio.Queue(1)  # type: ignore[attr-defined]
        subscriber.bind_observer(full)
        for name in "ab":
            publisher.send(MyOrder(exchange=KRAKEN, symbol=BTC, clientOrderId=name))
        await until(lambda: len(observer.log) == 2)
        assert [gap.source for gap in full.gaps] == ["ring"] and not observer.gaps
    assert "my_order_queue is full" in caplog.text


async def test_malformed_frames_are_counted_and_lose_nothing_else(root: Path, until: Callable[..., Any]) -> None:
    (root / "zmq").mkdir(mode=0o700)
    path = root / "zmq" / "kraken.ticker.ipc"
    topic = b"btcusd".ljust(32)
    good = wire.Ticker(exchange=3, symbol="btc/usd", venue_seq=4).SerializeToString()
    bad = [
        b"btc",
        topic + b"\xff\xff\xff",
        topic + wire.Ticker(exchange=1, symbol="btc/usd").SerializeToString(),
        topic + wire.Ticker(exchange=3, symbol="").SerializeToString(),
        topic + wire.Ticker(exchange=3, symbol="eth/usd").SerializeToString(),
        topic + wire.Ticker(exchange=3, symbol="btc/usd", flags=1 << 20).SerializeToString(),
        b"\x00control".ljust(32) + b"\xff",
        b"\x00control".ljust(32) + wire.Control(seq=1, epoch=1, gap=wire.Gap(exchange=99)).SerializeToString(),
    ]
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{path}")
        async with subscribed(root, None, "") as (subscriber, observer):
            await until(lambda: socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)
            socket.recv()
            for frame in [*bad, topic + good]:
                socket.send(frame)
            await until(lambda: observer.log)
            assert observer.seqs == [4] and subscriber.stats["malformed"] == len(bad)
    path.unlink(missing_ok=True)


async def test_a_second_owner_is_refused_and_a_stale_socket_reclaimed(root: Path, publisher: IPCPublisher) -> None:
    publisher.open("kraken", "ticker")
    path = root / "zmq" / "kraken.ticker.ipc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = IPCPublisher(root)
    with pytest.raises(AddressInUseError, match=r"kraken\.ticker\.ipc is in use"):
        second.send(ticker(1))
    script = "import sys; from hftpy.ipc import IPCPublisher; IPCPublisher(sys.argv[1]).open('kraken', 'ticker')"
    other = subprocess.run([sys.executable, "-c", script, root], check=False, capture_output=True, text=True)
    assert "AddressInUseError" in other.stderr
    script = (
        "import os, sys\nfrom hftpy.ipc import IPCPublisher\n"
        "IPCPublisher(sys.argv[1]).open('kraken', 'trade')\nos.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, root], check=False).returncode == -9
    assert (root / "zmq" / "kraken.trade.ipc").exists()
    second.open("kraken", "trade")
    second.close()


async def test_a_socket_without_a_lock_is_not_stolen(root: Path) -> None:
    (root / "zmq").mkdir(mode=0o700)
    path = root / "zmq" / "kraken.ticker.ipc"
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.bind(f"ipc://{path}")
        publisher = IPCPublisher(root)
        with pytest.raises(AddressInUseError, match="no lock"):
            publisher.open("kraken", "ticker")
        publisher.close()
    path.unlink(missing_ok=True)


def test_bad_arguments(root: Path, publisher: IPCPublisher) -> None:
    with pytest.raises(ConfigError, match="'zmq' or 'shm', was 'pigeon'"):
        IPCPublisher(root, transport="pigeon")
    with pytest.raises(ConfigError, match="'carrier'"):
        IPCSubscriber([(KRAKEN, TICKER, "")], root=root, transport="carrier")
    with pytest.raises(ConfigError, match="balance"):
        IPCSubscriber([(KRAKEN, Channel.BALANCE, "")], root=root)
    with pytest.raises(ValueError, match="at least one"):
        IPCSubscriber([], root=root)
    with pytest.raises(ValueError, match=r"at most 32 bytes, was 'x+usd' \(33\)"):
        IPCSubscriber([(KRAKEN, TICKER, ["x" * 30 + "/usd"])], root=root)
    with pytest.raises(ValueError, match=r"at most 32 bytes, was 'x+usd' \(33\)"):
        publisher.send(ticker(1, "x" * 30 + "/usd"))
    with pytest.raises(TypeError, match="was dict"):
        publisher.send({})  # type: ignore[arg-type]
    wrong: list[tuple[Any, type[Exception], str]] = [
        (0, ValueError, "must be at least 1, was 0"),
        (1 << 31, ValueError, "must be at most 2147483647, was 2147483648"),
        (1.5, TypeError, "must be an int, was 1.5"),
        ("many", TypeError, "must be an int, was 'many'"),
    ]
    for value, error, says in wrong:
        for transport in ("zmq", "shm"):
            with pytest.raises(error, match=f"send_hwm {says}"):
                IPCPublisher(root, transport, send_hwm=value)
            with pytest.raises(error, match=f"receive_hwm {says}"):
                IPCSubscriber([(KRAKEN, TICKER, "")], root, transport, receive_hwm=value)
    for limit in (0, -1, float("nan"), "soon"):
        with pytest.raises(ValueError, match=f"silence_limit_s must be a number above 0, was {limit!r}"):
            IPCSubscriber([(KRAKEN, TICKER, "")], root=root, silence_limit_s=limit)  # type: ignore[arg-type]
    subscriber = IPCSubscriber([(KRAKEN, TICKER, ""), (KRAKEN, Channel.TRADE, "")], root=root)
    with pytest.raises(ObserverError, match="trade_queue"):
        observer = Observer()
        observer.trade_queue = None  # type: ignore[attr-defined]
        subscriber.bind_observer(observer)


async def test_stop_before_the_first_step_of_start_is_remembered(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any]
) -> None:
    subscriber = IPCSubscriber([(KRAKEN, TICKER, "")], root=root)
    subscriber.bind_observer(Observer())
    subscriber.stop()  # nothing runs: nothing to remember
    early = asyncio.create_task(subscriber.start())
    subscriber.stop()
    await asyncio.wait_for(early, 10)
    # A later start is not affected, and a second one beside it is refused.
    late = asyncio.create_task(subscriber.start())
    await until(lambda: publisher.subscriber_count(KRAKEN, TICKER) == 1)
    with pytest.raises(RuntimeError, match="already"):
        await subscriber.start()
    subscriber.stop()
    await asyncio.wait_for(late, 10)


async def test_a_queue_lost_after_binding_is_an_error_at_start(root: Path) -> None:
    subscriber = IPCSubscriber([(KRAKEN, TICKER, "")], root=root)
    observer = Observer()
    subscriber.bind_observer(observer)
    observer.ticker_queue = None  # type: ignore[attr-defined]
    with pytest.raises(ObserverError):
        await subscriber.start()


def test_unusable_roots(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    (root / "zmq").mkdir()
    (root / "zmq").chmod(0o777)
    with pytest.raises(RootError, match="writable by others"):
        IPCPublisher(root).open("kraken", "ticker")
    (root / "zmq").chmod(0o700)
    with pytest.raises(RootError, match=r"at most 10\d bytes"):
        IPCPublisher(root / ("x" * 90)).open("kraken", "ticker")


def test_without_an_event_loop(root: Path) -> None:
    """A plain script sends; the subscriber is another process."""
    script = (
        "import asyncio, sys\nfrom hftpy.ipc import IPCSubscriber\n"
        "class Observer: ticker_queue = asyncio.Queue()\n"
        "async def main():\n"
        "    sub = IPCSubscriber([('kraken', 'ticker', ['btc/usd'])], root=sys.argv[1])\n"
        "    sub.bind_observer(Observer)\n"
        "    task = asyncio.create_task(sub.start())\n"
        "    print('ready', flush=True)\n"
        "    got = [(await Observer.ticker_queue.get()).seq for _ in range(50)]\n"
        "    sub.stop(); await task\n"
        "    print(got == list(range(got[0], got[0] + 50)), sub.stats['lost'])\n"
        "asyncio.run(main())\n"
    )
    publisher = IPCPublisher(root)
    with subprocess.Popen([sys.executable, "-c", script, root], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        while not publisher.subscriber_count("kraken", "ticker"):
            assert child.poll() is None
        for seq in range(1, 51):
            publisher.send(ticker(seq))
        assert child.communicate(timeout=30)[0] == "True 0\n"
    publisher.close()
    assert os.listdir(root / "zmq") == []


@pytest.mark.parametrize("symbols", ["", ["btc/usd", "eth/usd"]])
async def test_subscribers_are_counted_as_they_come_and_go(
    root: Path, publisher: IPCPublisher, until: Callable[..., Any], symbols: Any
) -> None:
    async with subscribed(root, publisher) as (_, stays):
        async with subscribed(root, publisher, symbols):
            assert publisher.subscriber_count("kraken", "ticker") == 2
        await until(lambda: publisher.subscriber_count("kraken", "ticker") == 1)
        # Whatever leaves, the next message must reach all the others.
        publisher.send(ticker(1))
        await until(lambda: stays.log)
    await until(lambda: publisher.subscriber_count("kraken", "ticker") == 0)


@pytest.mark.parametrize("transport", ["zmq", "shm"])
async def test_a_forked_child_cannot_mix_its_messages_with_the_parents(
    root: Path, transport: str, until: Callable[..., Any]
) -> None:
    publisher = IPCPublisher(root, transport)
    try:
        async with subscribed(root, publisher, transport=transport) as (subscriber, observer):
            publisher.send(ticker(1))
            await until(lambda: observer.seqs == [1])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                signal.alarm(20)  # a send that hangs
                answer = 1
                try:
                    publisher.send(ticker(100))
                except ValueError as error:
                    answer = 0 if f"belongs to process {os.getppid()}" in str(error) else 2
                finally:
                    publisher.close()
                    os._exit(answer)
            assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
            for number in (2, 3):
                publisher.send(ticker(number))
            await until(lambda: len(observer.seqs) == 3)
            assert observer.seqs == [1, 2, 3] and subscriber.stats["lost"] == 0
    finally:
        publisher.close()


def test_a_forked_child_leaves_the_address_alone(root: Path) -> None:
    publisher = IPCPublisher(root)
    publisher.open("kraken", "ticker")
    address = next(iter(publisher._addresses.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn where there are threads: libzmq's
        child = os.fork()
    if child == 0:
        address._owned.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (root / "zmq" / "kraken.ticker.ipc").exists()
    publisher.close()
