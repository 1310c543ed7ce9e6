"""The deadlines of docs/streams.md are those of the code: read from its table, proven on a clock of the test's own."""

import asyncio
import heapq
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hftcore.enums import Channel
from hftpy.common import Stale
from hftpy.exchange import client as client_module
from hftpy.exchange import get_exchange_stream
from hftpy.exchange.book import BookProtocol
from hftpy.exchange.client import PING_INTERVAL_S, PING_TIMEOUT_S
from hftpy.exchange.stream import STALE_AFTER_S
from hftpy.exchange.venue import NativeStream, VenueProtocol, VenueSession

DOCS = Path(__file__).parents[2] / "docs" / "streams.md"
VENUES = ("kraken", "binance", "binance_future", "okx", "okx_swap", "coinbase", "kraken_future")


def stated() -> dict[tuple[str, str], float]:
    """The table of deadlines: seconds by fault and venue."""
    text = DOCS.read_text()
    table = text[text.index("### Deadlines") :]
    head = next(line for line in table.splitlines() if line.startswith("| fault | kraken"))
    venues = [cell.strip() for cell in head.strip("|").split("|")][1:-1]
    assert tuple(venues) == VENUES
    found = {}
    for line in table[table.index(head) :].splitlines()[2:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for venue, cell in zip(venues, cells[1:-1], strict=True):
            if cell != "–":
                found[cells[0], venue] = float(cell)
    return found


async def protocols(venue: str, monkeypatch: pytest.MonkeyPatch) -> dict[Channel, VenueProtocol]:
    """The protocol of each channel, as the venue's stream makes it."""
    found: dict[Channel, VenueProtocol] = {}

    async def take(stream: NativeStream, protocol: VenueProtocol, channels: Any = ()) -> None:
        found[protocol.channel] = protocol

    monkeypatch.setattr(NativeStream, "run_protocol", take)
    for channel in STALE_AFTER_S:
        try:
            stream = get_exchange_stream(exchange=venue, currency_pairs=["btc/usdt"], subscribe_channels=[channel])
        except ValueError:
            continue  # the venue has no such channel
        # The simulated or real host is never asked: each channel's coroutine ends with the protocol.
        await getattr(stream, f"{channel}_channel")()
    return found


@pytest.mark.parametrize("venue", VENUES)
async def test_the_table_says_what_the_code_does(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, made = stated(), await protocols(venue, monkeypatch)
    assert {Channel.TICKER, Channel.TRADE, Channel.BOOK} <= made.keys()
    ping = PING_INTERVAL_S + PING_TIMEOUT_S
    for channel, protocol in made.items():
        silent = min(protocol.heartbeat_timeout_s or ping, ping)
        assert silent == table["`half_open`", venue], channel
        assert STALE_AFTER_S[channel] == table[f"`mute`, {channel}", venue]
        assert protocol.ack_timeout_s == table["no acknowledgement", venue]
        if isinstance(protocol, BookProtocol):
            assert protocol.answer_s == table["no snapshot of a book", venue]
    assert ping == table["`no_pong`", venue]
    assert {name for name, where in table if where == venue and name.startswith("`mute`")} == {
        f"`mute`, {channel}" for channel in made
    }
    kinds = set(re.findall(r"`(\w+)`", " ".join(name for name, _ in table)))
    assert {"disconnect", "restart", "close", "bomb", "half_open", "no_pong", "mute"} <= kinds


class Clock:
    """A loop's timers, by a time that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Any, Callable[..., Any], tuple[Any, ...]]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Any:
        clock = self
        self._count += 1

        class Timer:
            cancelled = False

            def when(self) -> float:
                return when

            def cancel(self) -> None:
                self.cancelled = True

        timer = Timer()
        heapq.heappush(clock._timers, (when, self._count, timer, callback, args))
        return timer

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        return self.call_at(self.now + delay, callback, *args)

    def run_until(self, end: float) -> None:
        while self._timers and self._timers[0][0] <= end:
            when, _, timer, callback, args = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if not timer.cancelled:
                callback(*args)
        self.now = max(self.now, end)


class Peer:
    """A transport whose peer answers pings until it is gone."""

    is_disconnected = False
    is_close_frame_sent = False

    def __init__(self, clock: Clock, gone_at: float, delay: float) -> None:
        self.clock = clock
        self.gone_at = gone_at
        self.delay = delay
        self.pings: list[float] = []
        self.pinger: Any = None

    def send_ping(self) -> None:
        self.pings.append(self.clock.now)
        if self.clock.now + self.delay < self.gone_at:
            self.clock.call_later(self.delay, self.pinger.answered)


def test_a_peer_that_goes_at_any_moment_is_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(500):
        clock = Clock()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda clock=clock: clock)
        gone_at, delay, found = rng.uniform(0, 200), rng.uniform(0, 9.9), list[float]()
        peer = Peer(clock, gone_at, delay)
        peer.pinger = client_module._Pinger(peer, lambda found=found, clock=clock: found.append(clock.now))
        clock.run_until(gone_at)
        assert not found or found[0] > gone_at - delay
        clock.run_until(gone_at + PING_INTERVAL_S + PING_TIMEOUT_S)
        assert len(found) == 1
        # Steadily, whatever the answers took: the venues that want pings get them.
        assert all(abs(b - a - PING_INTERVAL_S) < 1e-6 for a, b in zip(peer.pings, peer.pings[1:], strict=False))


def test_a_loop_that_was_blocked_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    found: list[float] = []
    peer = Peer(clock, 0.0, 1.0)
    peer.pinger = client_module._Pinger(peer, lambda: found.append(clock.now))
    clock.run_until(PING_INTERVAL_S)
    clock.now += 60.0  # a callback that took a minute: the pong lies in the socket
    clock.run_until(clock.now)
    assert not found
    peer.pinger.answered()
    clock.run_until(clock.now + PING_TIMEOUT_S + 1)
    assert not found
    # Who does not answer after that either is gone.
    clock.run_until(clock.now + PING_INTERVAL_S + PING_TIMEOUT_S + 1)
    assert len(found) == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_a_session_finds_what_is_due(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` is asked for at the deadline at the latest, and finds it then; not before."""
    made = await protocols(venue, monkeypatch)
    for channel, protocol in made.items():
        stream = get_exchange_stream(exchange=venue, currency_pairs=["btc/usdt"], subscribe_channels=[channel])
        events: list[Any] = []
        monkeypatch.setattr(stream, "emit", events.append)
        monkeypatch.setattr(protocol, "heartbeat_timeout_s", None)
        session = VenueSession(stream, protocol, "ws://nowhere", (channel,))
        await session.opened()
        session.sent()
        due = session._sent_at + protocol.ack_timeout_s
        deadline = session.next_deadline()
        assert deadline is not None and deadline <= due
        session.check(due - 0.01)
        assert not session.fault
        session.check(due)
        assert session.fault.startswith("no acknowledgement within 10 s")
        session.fault = ""
        protocol.pending.clear()
        session._acknowledged()
        assert session.ready
        silent = session._watch.last_event_s + STALE_AFTER_S[channel]
        deadline = session.next_deadline()
        assert deadline is not None and deadline <= silent
        session.check(silent - 0.01)
        assert not session.fault and not events
        session.check(silent + 0.01)
        assert session.fault.startswith("no data for") and [type(event) for event in events] == [Stale]
        session.end()
