"""T16: from a producer to one handler: our ring against nautilus_trader's message bus and vnpy's event engine.

Each side hands over the same number of messages, and every one reaches a Python function of one argument. The bus calls
the handler inside `publish`; the event engine takes events in one thread and calls the handler in its own; ours puts
structs in bursts of 64, as a feed brings them, and calls the handler from the ring. The row "counted and timed" does
for each message what a running service does besides: its counter, and its latency in two histograms.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from hftcore.latency import LatencyHistogram
from hftcore.ring import Ring
from hftcore.types import Ticker

BURST = 64
FLOORS = {"nautilus_trader": 15.0, "vnpy": 30.0}
GOALS = {"nautilus_trader": 25.0, "vnpy": 50.0}


def ignore(message: object) -> None:
    """The handler."""


def ticker() -> Ticker:
    return Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=50000.0, askPrice=50000.1, localTimeNs=time.time_ns())


def ours(count: int, handler: Callable[[Any], None], *, measured: bool) -> Callable[[], None]:
    """Puts and drains in bursts, all of it timed."""
    ring = Ring(Ticker, 4096)
    if measured:
        ring.measure(LatencyHistogram(), LatencyHistogram())
        ring.count_in({}, "tickers")
    item = ticker()

    def run() -> None:
        put, drain = ring.put_nowait, ring.drain
        for _ in range(count // BURST):
            for _ in range(BURST):
                put(item)
            drain(handler)

    return run


def nautilus_side(versus: Any, count: int) -> Callable[[], None] | None:
    if versus.peer("nautilus_trader") is None:
        return None
    import peer_nautilus

    def publishing(handler: Callable[[Any], None]) -> Callable[[], None]:
        bus, tick = peer_nautilus.message_bus(), peer_nautilus.quote_tick()
        bus.subscribe("data.quotes.BINANCE.ETHUSDT", handler)

        def run() -> None:
            publish = bus.publish
            for _ in range(count):
                publish("data.quotes.BINANCE.ETHUSDT", tick)

        return run

    seen: list[Any] = []
    publishing(seen.append)()
    assert len(seen) == count
    return publishing(ignore)


def vnpy_side(versus: Any, count: int) -> Callable[[], None] | None:
    if versus.peer("vnpy") is None:
        return None
    import peer_vnpy

    def flooding() -> Callable[[], None]:
        engine = peer_vnpy.EventEngine()
        done: list[int] = [0]

        def handler(event: Any) -> None:
            done[0] += 1

        engine.register("tick", handler)
        engine.start()
        versus.cleanup(engine.stop)

        def run() -> None:
            done[0] = 0
            put, event = engine.put, peer_vnpy.Event("tick", None)
            for _ in range(count):
                put(event)
            while done[0] < count:
                time.sleep(0)

        return run

    return flooding()


@pytest.mark.parametrize("measured", [False, True], ids=["ring", "service"])
def test_dispatch_to_one_handler(versus, measured):
    n = versus.scale(32_768, multiple=BURST)
    seen: list[Any] = []
    ours(n, seen.append, measured=measured)()
    assert len(seen) == n
    sides = {"nautilus_trader": nautilus_side(versus, n), "vnpy": vnpy_side(versus, n)}
    peers = {name: side for name, side in sides.items() if side is not None}
    judged: dict[str, Any] = {} if measured else {"floors": FLOORS, "goals": GOALS}
    versus("T16", "to one handler" + (", counted and timed" if measured else ""), operations=n,
           ours=ours(n, ignore, measured=measured), peers=peers, **judged)  # fmt: skip
