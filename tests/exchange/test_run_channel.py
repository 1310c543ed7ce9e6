"""The subclass program of the documentation, and what its callbacks may do."""

import asyncio

import pytest
from exchange_fakes import FakeVenue, Observer

from hftpy.common import Channel, Gap, Reconnected
from hftpy.exchange import StreamBase
from hftpy.exchange.hooks import SESSION_SOURCE

FAST = {"times": -1, "initial": 0.01, "max": 0.05}


class MyStream(StreamBase):
    host = ""
    subscribe_message: object = "your subscribe message"

    def on_ticker(self, json_msg: dict):
        ticker = json_msg
        for ob in self._observers:
            ob.ticker_queue.put_nowait(ticker)

    async def ticker_channel(self):
        async def subscribe_wrapper():
            return self.subscribe_message

        params = {
            "host": self.host,
            "channel": Channel.TICKER,
            "subscribe": subscribe_wrapper,
            "on_packet": self.on_ticker,
            "on_connected": None,
            "on_disconnected": None,
        }
        await self.run_channel(**params)


async def test_where_a_recording_is_played_nothing_is_connected(client, caplog):
    """Whatever makes a runner: the one place where the recording takes over."""
    served = []

    class Source:
        async def serve(self, session):
            served.append(session.name)
            await asyncio.Event().wait()

    async def play():
        SESSION_SOURCE.set(Source())  # of this task, and of what it starts
        stream = MyStream(subscribe_channels=[Channel.TICKER], reconnect_times=FAST, client=client)
        stream.host = "ws://127.0.0.1:1"
        stream.bind_observer(Observer())
        running = asyncio.create_task(stream.start())
        while not served:
            await asyncio.sleep(0.001)
        await stream.stop()
        await running

    async with asyncio.timeout(30):
        await asyncio.create_task(play())
    assert served == ["unknown.ticker"] and "127.0.0.1:1" not in caplog.text


class Recorder(FakeVenue):
    async def _serve(self, connection):
        self.connections.append(connection)
        self.paths.append(connection.request.path)
        self.changed.set()
        async for message in connection:
            self.received.append((0.0, message))
            self.changed.set()


@pytest.fixture
async def run(client):
    started = []

    def start(stream_class, venue, observer, **settings):
        settings = {"subscribe_channels": [Channel.TICKER], "reconnect_times": FAST, "client": client} | settings
        stream = stream_class(**settings)
        stream.host = stream.host or venue.url + "/feed"
        stream.bind_observer(observer)
        started.append((stream, asyncio.create_task(stream.start())))
        return stream

    yield start
    for stream, task in started:
        async with asyncio.timeout(5):
            await stream.stop()
            await task


async def test_subclass_as_documented(run):
    async with Recorder() as venue:
        observer = Observer()
        run(MyStream, venue, observer)
        await venue.until(lambda: bool(venue.received))
        assert venue.messages == ["your subscribe message"]
        await venue.send({"bid": 1})
        await observer.count(1, dict)
        assert observer.log == [{"bid": 1}]


@pytest.mark.parametrize(
    ("message", "sent"),
    [({"a": 1}, ['{"a":1}']), (b"xy", [b"xy"]), (["one", {"two": 2}], ["one", '{"two":2}']), (None, [])],
)
async def test_forms_of_a_subscribe_message(run, message, sent):
    async with Recorder() as venue:
        observer = Observer()
        stream = run(type("Own", (MyStream,), {"subscribe_message": message}), venue, observer)
        await venue.until(lambda: (len(venue.received) == len(sent) and bool(venue.connections)) or not sent)
        async with asyncio.timeout(5):
            while not stream.stats["ticker"]["connected"]:
                await asyncio.sleep(0.01)
        assert venue.messages == sent


async def test_api_host_replaces_the_host(run):
    async with Recorder() as venue:
        stream_class = type("Own", (MyStream,), {"host": "wss://venue.invalid/ws/v9"})
        run(stream_class, venue, Observer(), api_host=venue.url + "/sim")
        await venue.until(lambda: bool(venue.received))
        assert venue.paths == ["/sim/ws/v9"]


async def test_callbacks_that_raise_or_are_coroutines(run):
    calls = []

    class Own(MyStream):
        async def on_ticker(self, json_msg):
            await asyncio.sleep(0.01 if json_msg["n"] == 1 else 0)
            if json_msg["n"] == 2:
                raise RuntimeError("user's error")
            for ob in self._observers:
                ob.ticker_queue.put_nowait(json_msg["n"])

        async def connected(self):
            calls.append("connected")

        def disconnected(self):
            calls.append("disconnected")
            raise RuntimeError("user's error")

        async def ticker_channel(self):
            async def subscribe():
                return "hello"

            await self.run_channel(
                self.host, Channel.TICKER, subscribe, self.on_ticker, self.connected, self.disconnected
            )

    async with Recorder() as venue:
        observer = Observer()
        stream = run(Own, venue, observer)
        await venue.until(lambda: bool(venue.received))
        for number in (1, 2, 3):
            await venue.send({"n": number})
        await venue.send("no json")
        await observer.count(2, int)
        assert observer.of(int) == [1, 3]
        await venue.connections[0].close()
        await venue.until(lambda: len(venue.received) == 2)
        await observer.count(1, Reconnected)
        assert calls == ["connected", "disconnected", "connected"]
        assert [gap.reason for gap in observer.of(Gap)] == ["disconnected"]
        assert stream.stats["ticker"]["callback_errors"] == 2
        assert stream.stats["ticker"]["parse_errors"] == 1


async def test_subscribe_that_raises_is_tried_again(run):
    tries = []

    class Own(MyStream):
        async def ticker_channel(self):
            async def subscribe():
                tries.append(1)
                if len(tries) == 1:
                    raise OSError("no token")
                return "hello"

            await self.run_channel(self.host, Channel.TICKER, subscribe, self.on_ticker)

    async with Recorder() as venue:
        run(Own, venue, Observer())
        await venue.until(lambda: venue.messages == ["hello"])
        assert len(tries) == 2


async def test_events_go_to_event_queue_where_there_is_one(run):
    class WithQueue:
        def __init__(self):
            self.ticker_queue = asyncio.Queue()
            self.event_queue = asyncio.Queue()

    async with Recorder() as venue:
        observer = WithQueue()
        run(MyStream, venue, observer)
        await venue.until(lambda: bool(venue.received))
        await venue.connections[0].close()
        async with asyncio.timeout(10):
            assert isinstance(await observer.event_queue.get(), Gap)
            assert isinstance(await observer.event_queue.get(), Reconnected)
        assert observer.ticker_queue.empty()
