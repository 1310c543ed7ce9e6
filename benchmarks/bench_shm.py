"""T9, T10, T11: shared memory between two processes: a spinning half round trip, and a flood into a Python callback.

Our items are tickers: 64 bytes, what the 184 bytes of the peers' messages say as protobuf under a topic. Our reader
gets a Ticker, the peers' readers the bytes alone.
"""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from shm_sides import PAYLOAD, Pair

ROUND_TRIPS = 20_000
FLOOD = 60_000  # fits into the ring: nothing may be lost

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processes that stay on their CPU")


def cpus() -> tuple[int, int]:
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


def opened(versus: Any, name: str, where: tuple[int, int]) -> Pair:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.TemporaryDirectory(dir=memory, prefix="hftb")
    versus.cleanup(folder.cleanup)
    pair = Pair(name, folder.name, where)
    versus.cleanup(pair.close)
    return pair


def needs_two_cpus() -> tuple[int, int]:
    where = cpus()
    if where[0] == where[1]:
        pytest.skip("a spinning half round trip needs two CPUs")
    return where


def test_spinning_half_round_trip(versus: Any) -> None:
    where = needs_two_cpus()
    count = versus.scale(ROUND_TRIPS)
    ours = opened(versus, "ours", where)
    peers: dict[str, Callable[[], None]] = {}
    python = opened(versus, "python", where)
    peers["pure-Python shared ring"] = lambda: python.round_trips(count)
    if versus.peer("iceoryx2") is not None:
        iceoryx2 = opened(versus, "iceoryx2", where)
        peers["iceoryx2"] = lambda: iceoryx2.round_trips(count)
    versus.peer("pyaeron")
    # One round trip is two half ones.
    versus(
        "T9", "shared memory, half round trip", operations=2 * count, ours=lambda: ours.round_trips(count), peers=peers,
        floors={"pure-Python shared ring": 2, "iceoryx2": 6}, goals={"pure-Python shared ring": 2.6, "iceoryx2": 9},
    )  # fmt: skip


def test_half_round_trip_of_pyzmq_on_one_cpu(versus: Any) -> None:
    where = needs_two_cpus()
    count = versus.scale(ROUND_TRIPS)
    ours, zmq = opened(versus, "ours", where), opened(versus, "zmq", (where[0], where[0]))
    versus(
        "T10", "half round trip, pyzmq on one CPU", operations=2 * count, ours=lambda: ours.round_trips(count),
        peers={"pyzmq": lambda: zmq.round_trips(count)}, floors={"pyzmq": 20}, goals={"pyzmq": 35},
    )  # fmt: skip


def test_flood_into_a_callback(versus: Any) -> None:
    where = needs_two_cpus()
    count = versus.scale(FLOOD)
    ours, zmq = opened(versus, "ours", where), opened(versus, "zmq", where)
    got: list[Any] = []
    ours.flood(100, got.append)
    assert got == [ours.near.item] * 100
    got.clear()
    zmq.flood(100, got.append)
    assert got == [PAYLOAD] * 100

    def callback(item: Any) -> None:
        pass

    versus(
        "T11", "lossless flood into a callback", operations=count, ours=lambda: ours.flood(count, callback),
        peers={"pyzmq": lambda: zmq.flood(count, callback)}, floors={"pyzmq": 8}, goals={"pyzmq": 14},
    )  # fmt: skip
