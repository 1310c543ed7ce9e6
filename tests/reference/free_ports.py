"""Ports of the loopback for processes that are told of one before it is bound."""

import itertools
import os
import socket

# Below those that the system hands out. Each process that runs tests has a thousand, in which those that it starts
# begin elsewhere: none takes what another has found and not bound yet.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
_FIRST = 12_000 + 1000 * _WORKER
_ports = (_FIRST + number % 1000 for number in itertools.count(os.getpid() * 37))


def free_port() -> int:
    """A port that nobody has now; another one each time."""
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
