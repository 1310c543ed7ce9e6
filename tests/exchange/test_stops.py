"""A stream is stopped or cancelled at every turn of the event loop, once and twice: it ends, and nothing is left."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from exchange_fakes import Observer
from tws_peer import Listed, TwsPeer

from hftpy.common import Exchange
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.client import Connection
from hftpy.exchange.hooks import FRAME_TAP
from hftpy.exchange.kraken_api import KrakenApi
from hftpy.exchange.kraken_ws_api import KrakenWsApi
from hftpy.exchange.policy import ReconnectPolicy
from hftpy.exchange.runner import Runner, Session
from hftpy.exchange.stream import StreamBase
from hftpy.sim import SimVenue, SyntheticMarket

FAST = {"times": -1, "initial": 0.01, "max": 0.05}
VENUES = (Exchange.KRAKEN, Exchange.BINANCE)


class Own(StreamBase):
    """A stream as a user writes it."""

    exchange = Exchange.KRAKEN

    async def ticker_channel(self) -> None:
        await self.run_channel("wss://ws.kraken.com/v2", self.subscribe_channels[0], self.ask, lambda packet: None)

    async def ask(self) -> str:
        await asyncio.sleep(0)
        return '{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"]}}'


@pytest.fixture
async def venue() -> AsyncIterator[SimVenue]:
    async with SimVenue(SyntheticMarket(["btc/usd"], seed=1, rate=50), VENUES) as venue:
        yield venue


def make(kind: str, venue: SimVenue, peer: TwsPeer) -> Any:
    common: dict[str, Any] = {"currency_pairs": ["btc/usd"], "reconnect_times": FAST}
    if kind == "own":
        stream: Any = Own(subscribe_channels=["ticker"], api_host=venue.ws_url("kraken"), **common)
    elif kind == "ib":
        stream = get_exchange_stream(
            "ib", subscribe_channels=["ticker", "trade"], api_host=peer.url, **common | {"currency_pairs": ["aapl/usd"]}
        )
    elif kind == "binance":
        books = {"book": {"rest_host": venue.rest_url("binance")}}
        stream = get_exchange_stream(
            "binance", subscribe_channels=["ticker", "book"], api_host=venue.ws_url("binance"), subscribe_args=books,
            **common,
        )  # fmt: skip
    else:
        stream = get_exchange_stream(
            "kraken", subscribe_channels=["ticker", "trade"], api_host=venue.ws_url("kraken"), client=kind, **common
        )
    stream.bind_observer(Observer())
    return stream


def ours(before: set[asyncio.Task[Any]]) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() - before if "hftpy" in task.get_name() and not task.done()]


async def ends(task: "asyncio.Task[Any]") -> None:
    """The task ends, by itself or by its cancelling."""
    async with asyncio.timeout(10):
        await asyncio.wait({task})
    assert task.cancelled() or task.exception() is None


async def turns(count: int) -> None:
    """Let the loop turn; a real moment now and then, so that sockets come to something too."""
    for number in range(count):
        await asyncio.sleep(0.002 if number % 4 == 3 else 0)


async def stop(stream: Any, task: "asyncio.Task[Any]", wait: int) -> None:
    stream.stop()
    await turns(wait)
    async with asyncio.timeout(10):
        await stream.stop()
    await ends(task)
    assert not task.cancelled()


async def cancel(stream: Any, task: "asyncio.Task[Any]", wait: int) -> None:
    task.cancel()
    await ends(task)
    async with asyncio.timeout(10):
        await stream.stop()


async def cancel_twice(stream: Any, task: "asyncio.Task[Any]", wait: int) -> None:
    task.cancel()
    await turns(wait)
    task.cancel()
    await ends(task)
    async with asyncio.timeout(10):
        await stream.stop()


async def stop_and_cancel(stream: Any, task: "asyncio.Task[Any]", wait: int) -> None:
    stopped = stream.stop()
    await turns(wait)
    task.cancel()
    await ends(task)
    async with asyncio.timeout(10):
        await stopped


async def start_again(stream: Any, task: "asyncio.Task[Any]", wait: int) -> None:
    stream.stop()
    again = asyncio.create_task(stream.start())
    await ends(task)
    await turns(wait)
    assert not again.done()
    async with asyncio.timeout(10):
        await stream.stop()
    await ends(again)


WAYS = [stop, cancel, cancel_twice, stop_and_cancel, start_again]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("kind", ["picows", "websockets", "binance", "own", "ib"])
async def test_at_every_turn(
    venue: SimVenue, kind: str, way: Callable[..., Any], eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    async with TwsPeer([Listed("AAPL", conId=265598)]) as peer:
        for turn in [*range(24), 32, 48, 64]:
            stream = make(kind, venue, peer)
            task = asyncio.create_task(stream.start())
            await turns(turn)
            await way(stream, task, turn % 5)
            assert ours(before) == [], turn
        await eventually(lambda: not venue._connections() and not any(client.live for client in peer.clients))
    gc.collect()  # an exception that nobody took would be told now
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text and "was destroyed" not in caplog.text


@pytest.mark.parametrize("kind", ["picows", "own", "ib"])
async def test_a_stop_before_the_first_step(venue: SimVenue, kind: str) -> None:
    async with TwsPeer([Listed("AAPL", conId=265598)]) as peer:
        stream = make(kind, venue, peer)
        first, second = asyncio.create_task(stream.start()), asyncio.create_task(stream.start())
        async with asyncio.timeout(10):
            await stream.stop()  # nothing has begun
            await first
            await second
        assert venue.stats()["venues"]["kraken"]["connections"] == 0 and not peer.clients
        # It counts for what was called before it alone.
        third = asyncio.create_task(stream.start())
        await turns(8)
        with pytest.raises(RuntimeError, match="already running"):
            await stream.start()
        assert not third.done() and not stream.stopping
        await stream.stop()
        await third


@pytest.mark.parametrize("wait", range(0, 24, 3))
async def test_order_entry(venue: SimVenue, wait: int, eventually: Callable[..., Any]) -> None:
    before = asyncio.all_tasks()
    for way in ("stop first", "stop", "cancel"):
        rest = KrakenApi("demo", "c2VjcmV0", venue.rest_url("kraken"))
        api = KrakenWsApi(rest, venue.ws_url("kraken"), owns_api=True, reconnect_times=FAST)
        task = asyncio.create_task(api.start())
        if way != "stop first":
            await turns(wait)
        if way == "cancel":
            task.cancel()
            await ends(task)
            assert not task.cancelled() or ours(before) == []
        async with asyncio.timeout(10):
            await api.stop()
            await asyncio.wait({task})
        assert ours(before) == [] and not api.stats["connected"]
    await eventually(lambda: not venue._connections())


class Silent(Session):
    """Keeps what it hears."""

    def __init__(self) -> None:
        super().__init__("kraken.ticker")
        self.heard: list[bytes] = []

    async def url(self) -> str:
        return "ws://venue"

    async def opened(self) -> list[str | bytes]:
        return []

    def frame(self, data: bytes) -> None:
        self.heard.append(data)

    def next_deadline(self) -> float | None:
        return None

    def check(self, now: float) -> None: ...

    async def lost(self, reason: str) -> None: ...

    def recovered(self, attempts: int, down_s: float) -> None: ...


class Closing(Connection):
    """A peer that goes on sending until it has seen that we close."""

    def __init__(self, on_frame: Any) -> None:
        self.on_frame = on_frame

    async def send(self, message: str | bytes) -> None: ...

    async def close(self) -> None:
        self.on_frame(b"late")


@pytest.mark.parametrize("end", ["stop", "fault"])
async def test_what_comes_while_a_connection_closes_is_not_recorded_either(end: str) -> None:
    session, noted, made = Silent(), [], asyncio.Event()

    class Tap:
        def connection(self, name: str) -> Any:
            return lambda kind, message: noted.append((kind, message))

        def http(self, url: str, body: str) -> None: ...

    async def dial(url: str, on_frame: Any, on_closed: Any) -> Connection:
        on_frame(b"early")
        asyncio.get_running_loop().call_later(0.05, on_frame, b"data")
        asyncio.get_running_loop().call_later(0.1, made.set)
        return Closing(on_frame)

    token = FRAME_TAP.set(Tap())
    runner = Runner(session, ReconnectPolicy(times=0), "picows", dial=dial)
    FRAME_TAP.reset(token)
    task = asyncio.create_task(runner.run())
    await made.wait()
    session.give_up("over") if end == "fault" else task.cancel()
    await asyncio.wait({task}, timeout=10)
    assert task.cancelled() if end == "stop" else "over" in str(task.exception())
    assert session.heard == [b"early", b"data"]
    assert noted == [("conn", "ws://venue"), ("recv", b"early"), ("recv", b"data")]
