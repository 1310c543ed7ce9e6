"""A venue that cuts its connections all the time: nothing piles up, every counter is exact, attempts grow apart."""

import asyncio
import gc
import json
import os
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_fakes import FakeVenue, Observer, binance_trade
from websockets.asyncio.server import ServerConnection

from hftcore.book import Snapshot
from hftpy.common import Exchange, Gap, Reconnected, Stale, Trade
from hftpy.errors import VenueError
from hftpy.exchange import book as book_module
from hftpy.exchange.policy import ReconnectPolicy
from hftpy.sim import SimVenue, SyntheticMarket

CUTS = 200
BOOK_CUTS = 30
PER_CONNECTION = 3
AT_ONCE = {"times": -1, "initial": 0.0, "max": 0.0}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class CuttingVenue(FakeVenue):
    """Acknowledges, sends some trades that go on where the last connection ended, and cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.cutting = True

    async def answer(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        await connection.send(json.dumps({"result": None, "id": message["id"]}))
        for _ in range(PER_CONNECTION):
            self.number += 1
            await connection.send(json.dumps(binance_trade(self.number)))
        if self.cutting and len(self.connections) <= CUTS:
            # What was sent must arrive: no reset, but no closing handshake either.
            connection.transport.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted by /proc")
async def test_two_hundred_cuts_leave_nothing_behind_and_are_counted(run_stream, client):
    async with CuttingVenue() as venue:
        observer = Observer()
        stream, task = run_stream(
            Exchange.BINANCE, venue, observer, currency_pairs=["btc/usdt"], subscribe_channels=["trade"],
            reconnect_times=AT_ONCE, stale_after=0,
        )  # fmt: skip
        await observer.count(1, Reconnected)
        gc.collect()
        tasks, files = len(asyncio.all_tasks()), open_files()
        await observer.until(lambda: len(observer.of(Reconnected)) >= CUTS, 60)
        await observer.count((CUTS + 1) * PER_CONNECTION, Trade)
        stats = stream.stats["trade"]
        assert [trade.tradeId for trade in observer.of(Trade)] == list(range(1, (CUTS + 1) * PER_CONNECTION + 1))
        assert {gap.reason for gap in observer.of(Gap)} == {"disconnected"}
        assert (stats["gaps"], stats["reconnects"]) == (CUTS, CUTS)
        assert stats["frames"] == (CUTS + 1) * (PER_CONNECTION + 1)
        assert stats["events"] == (CUTS + 1) * PER_CONNECTION
        assert (stats["parse_errors"], stats["duplicates"], stats["connected"]) == (0, 0, True)
        kinds = [type(item) for item in observer.log if not isinstance(item, Trade)]
        assert kinds == [Gap, Reconnected] * CUTS
        gc.collect()
        assert len(asyncio.all_tasks()) <= tasks + 2 and open_files() <= files + 4
        assert not task.done()


@pytest.mark.parametrize("client", ["picows"], indirect=True)
@pytest.mark.parametrize("exchange", [Exchange.KRAKEN, Exchange.BINANCE, Exchange.OKX], ids=str)
async def test_books_survive_many_cuts(run_stream, client, exchange, monkeypatch):
    # A book that falls again at once is asked for with growing patience, on a new connection too.
    monkeypatch.setattr(book_module.Resyncs, "_pause", lambda self, times: 0.0)
    pair = "btc/usd" if exchange is Exchange.KRAKEN else "btc/usdt"
    async with SimVenue(SyntheticMarket([pair], rate=200), (exchange,)) as venue:
        observer = Observer()
        rest = {"rest_host": venue.rest_url(exchange)} if exchange is Exchange.BINANCE else {}
        stream, _ = run_stream(
            exchange, SimpleNamespace(url=venue.ws_url(exchange)), observer, currency_pairs=[pair],
            subscribe_channels=["book"], subscribe_args={"book": rest}, reconnect_times=AT_ONCE,
        )  # fmt: skip
        await observer.count(1, Snapshot)
        for number in range(1, BOOK_CUTS + 1):
            venue.front(exchange).abort_all()
            await observer.count(number, Reconnected)
            shown = len(observer.of(Snapshot))
            await observer.count(shown + 2, Snapshot)
            if number == 5:
                gc.collect()
                tasks, files = len(asyncio.all_tasks()), open_files()
        gc.collect()
        assert len(asyncio.all_tasks()) <= tasks + 4 and open_files() <= files + 6
        assert stream.stats["book"]["reconnects"] == BOOK_CUTS == stream.stats["book"]["gaps"]
        assert not observer.of(Stale) and {gap.reason for gap in observer.of(Gap)} == {"disconnected"}
        assert all(item.bidsPrice[0] < item.asksPrice[0] for item in observer.of(Snapshot))


class Recorded:
    """How often in a row a connection was tried, in place of waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: list[int] = []

        def delay(policy: ReconnectPolicy, attempt: int) -> float:
            self.attempts.append(attempt)
            return 0.001

        monkeypatch.setattr(ReconnectPolicy, "delay", delay)


async def test_attempts_count_until_a_connection_is_healthy(run_stream, client, monkeypatch):
    recorded = Recorded(monkeypatch)
    async with CuttingVenue() as venue:
        observer = Observer()
        run_stream(
            Exchange.BINANCE, venue, observer, currency_pairs=["btc/usdt"], subscribe_channels=["trade"],
            reconnect_times=ReconnectPolicy(healthy_s=0.2),
        )  # fmt: skip
        await observer.until(lambda: len(recorded.attempts) >= 8)
        # Each connection was subscribed, and brought trades: that alone does not make it healthy.
        assert recorded.attempts[:8] == list(range(1, 9))
        venue.cutting = False
        await asyncio.sleep(0.6)
        before = len(recorded.attempts)
        await venue.connections[-1].close()
        await observer.until(lambda: len(recorded.attempts) > before)
        assert recorded.attempts[before] == 1


async def test_a_number_of_times_ends_the_stream_after_exactly_so_many(run_stream, client, monkeypatch):
    recorded = Recorded(monkeypatch)
    async with CuttingVenue() as venue:
        stream, task = run_stream(
            Exchange.BINANCE, venue, Observer(), currency_pairs=["btc/usdt"], subscribe_channels=["trade"],
            reconnect_times=7,
        )  # fmt: skip
        with pytest.raises(VenueError, match="gave up after 7 reconnects"):
            async with asyncio.timeout(20):
                await task
        assert len(venue.connections) == 8 and recorded.attempts == list(range(1, 8))
        assert stream.stats["trade"]["connected"] is False
