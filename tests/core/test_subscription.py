"""Publication and Subscription on real sockets, and the native tracker against its slow model."""

import asyncio
import gc
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tracker_model
import zmq

from hftcore.codec import decode_ticker, encode_ticker, encode_trade
from hftcore.publication import CONTROL_TOPIC, Publication, Router, checked_array
from hftcore.ring import Ring
from hftcore.subscription import SequenceTracker, Subscription
from hftcore.symbols import CurrencyPair
from hftcore.types import Ticker, Trade, tickers_to_array
from hftcore.zmq import NativeSocket
from hftpy.wire import market_pb2 as wire

TOPIC = b"btcusd".ljust(32)


def ticker(seq: int = 0, symbol: str = "btc/usd", exchange: str = "kraken") -> Ticker:
    return Ticker(exchange=exchange, symbol=symbol, bidPrice=1.5, askVolume=-0.0, seq=seq)


# The tracker


def test_tracker_does_what_its_model_does() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    names = [f"t{number}".encode().ljust(32) for number in range(6)]

    def wanted(topic: bytes) -> bool:
        return topic != names[0]

    for _ in range(300):
        ours, model = SequenceTracker(wanted), tracker_model.SequenceTracker(wanted)
        epochs = [rng.randrange(1, 4) for _ in range(3)]
        for _ in range(rng.randrange(60)):
            epoch = rng.choice(epochs)
            states = [(rng.choice(names), rng.randrange(1, 12)) for _ in range(rng.randrange(5))]
            match rng.randrange(6):
                case 0:
                    assert ours.on_hello(epoch, states) == model.on_hello(epoch, states)
                case 1:
                    assert ours.on_heartbeat(epoch, states) == model.on_heartbeat(epoch, states)
                case 2:
                    topics = [wire.TopicState(topic=topic, seq=seq) for topic, seq in states]
                    body = wire.Control(epoch=epoch, heartbeat=wire.Heartbeat(topics=topics)).SerializeToString()
                    assert ours.read_heartbeat(body) == model.on_heartbeat(epoch, states)
                case _:
                    topic, seq, resent = rng.choice(names), rng.randrange(12), rng.random() < 0.2
                    last = model.last.get(topic)
                    if last is not None and rng.random() < 0.5:
                        seq = last + 1
                    assert ours.on_message(topic, epoch, seq, resent) == model.on_message(topic, epoch, seq, resent)
            assert ours.last == model.last and ours.epoch == model.epoch


def test_a_heartbeat_of_another_shape_is_left_to_the_general_decoder() -> None:
    state = wire.TopicState(topic=TOPIC, seq=5)
    beat = wire.Control(epoch=1, heartbeat=wire.Heartbeat(topics=[state])).SerializeToString()
    strange = [
        b"",
        b"\xff",
        beat[:-1],
        beat + b"\x08\x01",
        beat + beat,
        wire.Control(epoch=1, hello=wire.Hello(topics=[state])).SerializeToString(),
        wire.Control(
            epoch=1, heartbeat=wire.Heartbeat(topics=[wire.TopicState(topic=b"short", seq=5)])
        ).SerializeToString(),
        wire.Control(
            epoch=1, heartbeat=wire.Heartbeat(topics=[state, wire.TopicState(topic=TOPIC, seq=6, value=b"x")])
        ).SerializeToString(),
        wire.Control(epoch=1, heartbeat=wire.Heartbeat(topics=[wire.TopicState(topic=TOPIC)])).SerializeToString(),
    ]
    seen = SequenceTracker(lambda topic: True)
    seen.on_message(TOPIC, 1, 1, False)
    for body in strange:
        assert seen.read_heartbeat(body) is None, body
        assert seen.last == {TOPIC: 1}
    assert seen.read_heartbeat(beat) == (False, [(TOPIC, 4)])


def test_topics_have_32_bytes() -> None:
    seen = SequenceTracker(lambda topic: True)
    for bad in (b"btcusd", b"x" * 33, "text", None):
        with pytest.raises(ValueError, match="a topic must be 32 bytes"):
            seen.on_message(bad, 1, 1, False)  # type: ignore[arg-type]
    assert seen.on_hello(1, [(b"short", 5)]) == seen.on_heartbeat(1, [(b"short", 9)]) == (False, [])


def test_a_subscriber_of_few_among_many_remembers_a_bounded_number() -> None:
    asked = 0

    def wanted(topic: bytes) -> bool:
        nonlocal asked
        asked += 1
        return False

    seen = SequenceTracker(wanted)
    states = [(b"%031d " % number, 1) for number in range(70_000)]
    for _ in range(2):
        assert seen.on_heartbeat(1, states) == (False, [])
    assert 70_000 < asked < 140_000  # most are remembered, and not all


# The publication


@pytest.fixture
def sockets() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub, context.socket(zmq.SUB) as sub:
        pub.linger = sub.linger = 0
        pub.sndhwm = sub.rcvhwm = 0
        port = pub.bind_to_random_port("tcp://127.0.0.1")
        sub.connect(f"tcp://127.0.0.1:{port}")
        sub.subscribe(b"")
        end = time.monotonic() + 20
        while not sub.poll(10):
            assert time.monotonic() < end
            pub.send(b"")
        while sub.poll(50):
            sub.recv()
        yield pub, sub


def test_frames_are_a_topic_and_upb_s_bytes(sockets: Any) -> None:
    pub, sub = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    for seq in (1, 2, 3):
        assert publication.send(ticker(seq)) == seq
        assert sub.recv() == TOPIC + encode_ticker(ticker(seq), seq, 9)
    # Two pairs whose letters are the same share the topic's numbers.
    assert publication.send(ticker(4, "btcu/sd")) == 4
    assert sub.recv() == TOPIC + encode_ticker(ticker(4, "btcu/sd"), 4, 9)
    assert publication.send(ticker(5, "币安/usd")) == 1
    assert sub.recv() == "币安usd".encode().ljust(32) + encode_ticker(ticker(5, "币安/usd"), 1, 9)
    whole = "x" * 28 + "/usdt"
    assert publication.send(ticker(6, whole)) == 1
    assert sub.recv()[:32] == whole.replace("/", "").encode()
    with pytest.raises(ValueError, match="at most 32 bytes"):
        publication.send(ticker(6, "x" * 29 + "/usdt"))
    with pytest.raises(ValueError, match="exchange must be kraken, was binance"):
        publication.send(ticker(1, exchange="binance"))
    with pytest.raises(TypeError, match="was 7"):
        publication.send(7)  # type: ignore[arg-type]
    trade = Trade(exchange="kraken", symbol="btc/usd", price=1.0, side="buy", tradeId=-1)
    trades = Publication(NativeSocket(pub), "kraken", 9)
    assert trades.send(trade) == 1 and sub.recv() == TOPIC + encode_trade(trade, 1, 9)
    assert publication.sent == 6
    assert publication.last_frame(TOPIC) == TOPIC + encode_ticker(ticker(4, "btcu/sd"), 4, 9) + b"\x18\x01"
    assert decode_ticker(publication.last_frame(TOPIC)[32:])[1:] == (4, 9, True)
    assert publication.last_frame(b"btcusd") == publication.last_frame(b"ethusd".ljust(32)) == b""


def test_what_is_told_to_joiners_and_at_each_heartbeat(sockets: Any) -> None:
    pub, _ = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    publication.send(ticker())
    publication.send(ticker())
    eth = b"ethusd".ljust(32)
    assert publication.next_seq(eth) == 1
    assert publication.send_message(eth, b"\x08\x01") == 1
    assert publication.send_message(CONTROL_TOPIC, b"\x08\x01") == 1

    def states(frame: bytes, body: str) -> dict[bytes, tuple[int, bytes]]:
        assert frame[:32] == CONTROL_TOPIC
        control = wire.Control.FromString(frame[32:])
        assert control.epoch == 9 and control.WhichOneof("body") == body
        assert control.SerializeToString() == frame[32:]  # byte for byte
        return {state.topic: (state.seq, state.value) for state in getattr(control, body).topics}

    numbers = {TOPIC: (2, b""), eth: (1, b""), CONTROL_TOPIC: (1, b"")}
    for _ in range(3):  # each is named thrice after its last message, since a heartbeat can be lost
        assert states(publication.heartbeat(False), "heartbeat") == numbers
    assert states(publication.heartbeat(False), "heartbeat") == {}
    assert states(publication.heartbeat(True), "heartbeat") == numbers
    publication.send(ticker())
    assert states(publication.heartbeat(False), "heartbeat") == {TOPIC: (3, b"")}
    assert states(publication.hello(False), "hello") == {**numbers, TOPIC: (3, b"")}
    assert states(publication.hello(True), "hello") == {
        TOPIC: (3, encode_ticker(ticker(), 3, 9)), eth: (1, b"\x08\x01"), CONTROL_TOPIC: (1, b""),
    }  # fmt: skip
    forgetful = Publication(NativeSocket(pub), "kraken", 9, keep=False)
    forgetful.send_message(eth, b"x")
    forgetful.send(ticker())
    assert forgetful.last_frame(eth) == forgetful.last_frame(TOPIC) == b""
    with pytest.raises(ValueError, match="32 bytes"):
        publication.send_message(b"short", b"")
    with pytest.raises(ValueError, match="32 bytes"):
        publication.next_seq(b"short")


def test_a_send_that_failed_has_no_number(sockets: Any) -> None:
    pub, _ = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    publication.send(ticker())
    pub.close()
    for message in (lambda: publication.send(ticker()), lambda: publication.send_message(TOPIC, b"x")):
        with pytest.raises(zmq.ZMQError):
            message()
    assert publication.sent == 1 and publication.next_seq(TOPIC) == 2
    assert publication.last_frame(TOPIC) == b""


def test_many_topics(sockets: Any) -> None:
    pub, sub = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    symbols = [f"c{number}/usd" for number in range(5_000)]
    for turn in (1, 2):
        for number, symbol in enumerate(symbols):
            assert publication.send(ticker(number, symbol)) == turn
    for turn in (1, 2):
        for number, symbol in enumerate(symbols):
            frame = sub.recv()
            assert frame[:32].rstrip() == symbol.replace("/", "").encode()
            found, seq, *_ = decode_ticker(frame[32:])
            assert found.seq == number and found.symbol == symbol and seq == turn
    assert len(wire.Control.FromString(publication.heartbeat(False)[32:]).heartbeat.topics) == 5_000


async def test_router_takes_the_short_way_only_where_nothing_else_is_to_be_done(sockets: Any) -> None:
    pub, sub = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    router = Router()
    router.add(Ticker, "kraken", publication)
    assert router.send(ticker()) == 0  # a loop runs, and does not serve it
    router.serve_on(asyncio.get_running_loop())
    assert router.send(ticker()) == 1
    assert router.send(ticker(exchange="binance")) == router.send("text") == 0
    assert router.send(Trade(exchange="kraken", symbol="btc/usd")) == 0
    items = [ticker(1), ticker(2), ticker(3, exchange="binance"), ticker(4)]
    assert router.send_list(items, 0) == 2 and router.send_list(items, 3) == 4
    rows = tickers_to_array(items)
    assert router.send_array(rows, 0) == 2 and router.send_array(rows, 3) == 4
    assert [decode_ticker(sub.recv()[32:])[0].seq for _ in range(7)] == [0, 1, 2, 4, 1, 2, 4]

    def without_a_loop() -> None:
        router.serve_on(None)
        assert router.send(ticker()) == 0  # nobody has looked for subscribers
        end = time.monotonic() + 20
        while True:
            router.served()
            if router.send(ticker()):
                break
            assert time.monotonic() < end
        time.sleep(0.01)
        assert router.send(ticker()) == 0

    await asyncio.to_thread(without_a_loop)
    router.clear()
    with pytest.raises(TypeError):
        router.add(str, "kraken", publication)


def test_arrays_are_checked() -> None:
    rows = tickers_to_array([ticker(1), ticker(2)])
    assert checked_array(rows) is rows
    assert checked_array(rows[::-1]).flags.c_contiguous
    for field, value, says in (
        ("symbol", -1, "no currency pair has the number -1"),
        ("symbol", 1 << 30, "no currency pair"),
        ("exchange", 4, "4 is not a valid Exchange"),
    ):
        bad = rows.copy()
        bad[field][1] = value
        with pytest.raises(ValueError, match=says):
            checked_array(bad)
    with pytest.raises(TypeError, match="dtype"):
        checked_array(np.zeros(3))
    with pytest.raises(TypeError, match="one dimension"):
        checked_array(rows.reshape(1, 2))
    with pytest.raises(TypeError, match="array must be a numpy array, was 'rows'"):
        checked_array("rows")


# The subscription


class Python:
    """The Python side of a subscription; delivers what `takes` says."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.refused: list[tuple[object, int]] = []
        self.failed: list[object] = []
        self.takes = True
        self.subscription: Any = None

    def on_frame(self, frame: bytes) -> bool:
        self.frames.append(frame)
        _, seq, epoch, resent = decode_ticker(frame[32:])
        return self.takes and self.subscription.tracker.on_message(frame[:32], epoch, seq, resent).deliver


def subscription(sub: Any, python: Python, kind: type | None = Ticker) -> Subscription:
    def refused(observer: object, count: int) -> None:
        python.refused.append((observer, count))

    made = Subscription(
        NativeSocket(sub), kind, "kraken", lambda topic: True, python.on_frame, refused, python.failed.append
    )
    python.subscription = made
    return made


def total(refused: list[tuple[object, int]]) -> dict[object, int]:
    found: dict[object, int] = {}
    for observer, count in refused:
        found[observer] = found.get(observer, 0) + count
    return found


def drain(made: Subscription, frames: int) -> None:
    found, end = 0, time.monotonic() + 20
    while found < frames:
        assert time.monotonic() < end
        made.drain(1_000)
        found += made.take_counts()[1]


def test_only_what_is_simply_next_is_delivered_here(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    ring = Ring(Ticker, 64)
    made.bind([("one", ring)])

    def frame(
        seq: int, epoch: int = 9, symbol: str = "btc/usd", exchange: str = "kraken", topic: bytes = TOPIC
    ) -> bytes:
        return topic + encode_ticker(ticker(seq, symbol, exchange), seq, epoch)

    straight = [frame(2), frame(3), frame(0), frame(4)]
    other = [
        frame(1),  # the first
        frame(6), frame(3),  # a gap, an old one
        frame(8, 10),  # another publisher
        frame(9, 10, "btcu/sd"),  # another pair of the topic
        frame(1, 10, topic=b"ethusd".ljust(32), symbol="eth/usd"),
        TOPIC + encode_ticker(ticker(2, exchange="binance"), 12, 10),
    ]  # fmt: skip
    for one in [other[0], *straight, *other[1:]]:
        pub.send(one)
    drain(made, 11)
    assert python.frames == other
    assert [item.seq for item in ring.get_batch()] == [2, 3, 0, 4]
    assert made.tracker.last[TOPIC] == 12


def test_other_queues_refusals_and_failures(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    small, log = Ring(Ticker, 2, "drop_newest"), []

    class Queue:
        def __init__(self, result: Any) -> None:
            self.result = result

        def put_nowait(self, item: Ticker) -> Any:
            log.append(item)
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result

    wrong: Any = Ring(Trade, 64)
    made.bind(
        [("ring", small), ("fine", Queue(None)), ("refuses", Queue(False)), ("full", Queue(asyncio.QueueFull())),
         ("fails", Queue(KeyError("x"))), ("wrong", wrong)]
    )  # fmt: skip
    for seq in range(1, 5):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    drain(made, 4)
    # The first message went to the Python side.
    assert [item.seq for item in small.get_batch()] == [2, 3]
    assert [item.seq for item in log] == [2] * 4 + [3] * 4 + [4] * 4
    assert total(python.refused) == {"ring": 1, "refuses": 3, "full": 3}
    assert python.failed == ["fails", "wrong"] * 3


def test_a_ring_that_blocks_refuses_instead_of_stopping_the_reader(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    ring = Ring(Ticker, 2, "block", block_timeout=1e9)
    made.bind([("one", ring)])
    for seq in range(1, 6):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    drain(made, 5)
    assert [item.seq for item in ring.get_batch()] == [2, 3] and total(python.refused) == {"one": 2}


@pytest.mark.parametrize("options", [{"producers": "many"}, {"overflow": "conflate"}, {"overflow": "drop_oldest"}])
def test_rings_of_every_kind_get_structs(sockets: Any, options: dict[str, Any]) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    ring = Ring(Ticker, 8, **options)
    made.bind([("one", ring)])
    for seq in range(1, 6):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    drain(made, 5)
    expected = [5] if options.get("overflow") == "conflate" else [2, 3, 4, 5]
    assert [item.seq for item in ring.get_batch()] == expected and not python.refused


def test_a_full_asyncio_queue_is_counted_exactly_and_raises_nothing(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    small, large = asyncio.Queue[Ticker](2), asyncio.Queue[Ticker]()
    made.bind([("small", small), ("large", large)])
    for seq in range(1, 1_001):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    drain(made, 1_000)
    assert small.qsize() == 2 and large.qsize() == 999
    assert total(python.refused) == {"small": 997} and not python.failed


def test_closing_within_a_callback_ends_the_batch(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    got: list[int] = []

    class Queue:
        def put_nowait(self, item: Ticker) -> None:
            got.append(item.seq)
            if item.seq == 3:
                made.close()

    made.bind([("one", Queue()), ("two", Queue())])
    for seq in range(1, 7):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    assert sub.poll(20_000)
    end = time.monotonic() + 20
    while got[-1:] != [3]:
        assert time.monotonic() < end
        made.drain(100)
    assert got == [2, 2, 3] and made.drain(100) is False and made.take_counts() == (2, 3)
    made.resume(NativeSocket(sub))
    drain(made, 3)
    assert got == [2, 2, 3, 4, 4, 5, 5, 6, 6]


async def test_a_waiting_task_is_woken_once_there_is_something(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    made = subscription(sub, python)
    ring = Ring(Ticker, 64)
    made.bind([("one", ring)])
    for seq in (1, 2):
        pub.send(TOPIC + encode_ticker(ticker(seq), seq, 9))
    task = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    drain(made, 2)
    assert (await asyncio.wait_for(task, 20)).seq == 2


def test_trades_and_other_kinds(sockets: Any) -> None:
    pub, sub = sockets
    python = Python()
    python.on_frame = lambda frame: (python.frames.append(frame), True)[1]  # type: ignore[method-assign]
    made = subscription(sub, python, Trade)
    ring = Ring(Trade, 64)
    made.bind([("one", ring)])
    trade = Trade(exchange="kraken", symbol="btc/usd", price=1.5, side="sell", tradeId=-7, flags=2)
    bad_side = wire.Trade(exchange=3, symbol="btc/usd", side=3).SerializeToString()  # type: ignore[arg-type]
    frames = [TOPIC + encode_trade(trade, 0, 0), TOPIC + encode_trade(trade, 0, 0), TOPIC + bad_side, b"short", b""]
    for frame in frames:
        pub.send(frame)
    drain(made, 5)
    assert ring.get_batch() == [trade] and python.frames == [frames[0], *frames[2:]]
    every = Python()
    every.on_frame = lambda frame: (every.frames.append(frame), True)[1]  # type: ignore[method-assign]
    made = subscription(sub, every, None)
    pub.send(frames[0])
    drain(made, 1)
    assert every.frames == [frames[0]]
    with pytest.raises(TypeError, match="kind must be"):
        subscription(sub, every, str)


@pytest.mark.leak
def test_memory_is_flat(sockets: Any) -> None:
    pub, sub = sockets
    publication = Publication(NativeSocket(pub), "kraken", 9)
    python = Python()
    made = subscription(sub, python)
    ring, queue = Ring(Ticker, 4096), asyncio.Queue[Ticker]()
    made.bind([("one", ring), ("two", queue)])
    one, pair = ticker(), CurrencyPair("btc/usd")

    def rounds(count: int) -> None:
        for _ in range(count):
            for _ in range(100):
                publication.send(one)
            drain(made, 100)
            ring.get_array()
            while not queue.empty():
                queue.get_nowait()
            publication.heartbeat(False)
            publication.hello(True)
            publication.last_frame(TOPIC)
        python.frames.clear()

    rounds(20)
    gc.collect()
    before, refs = sys.getallocatedblocks(), (sys.getrefcount(one), sys.getrefcount(pair))
    rounds(200)
    gc.collect()
    assert sys.getallocatedblocks() - before < 300
    assert (sys.getrefcount(one), sys.getrefcount(pair)) == refs
